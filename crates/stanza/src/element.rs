//! A small owned tree.

mod build;
mod spaces;
#[cfg(test)]
mod tests;
mod tree;
mod writer;

pub(crate) use self::build::grow;
pub use self::tree::{Attr, Element, Node};
pub(crate) use self::writer::Writer;
