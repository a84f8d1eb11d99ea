//! A small owned tree.

mod build;
mod spaces;
#[cfg(test)]
mod tests;
mod tree;
mod writer;

pub(crate) use self::build::{grow, read_all, read_started};
pub use self::tree::{Attr, Element, Node};
pub(crate) use self::writer::Writer;
