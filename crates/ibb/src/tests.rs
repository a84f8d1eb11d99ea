//! Tests of the whole mux.

// A test looks for one case, and any moment may be its first.
#![allow(clippy::wildcard_enum_match_arm, clippy::disallowed_methods)]

mod admission;
mod answers;
mod close;
mod data;
mod dump;
mod half_close;
mod law;
mod limits;
mod many;
mod message;
mod mistimed;
mod model;
mod others;
mod pair;
mod path;
mod pressure;
mod reference;
mod shaped;
mod support;
mod tables;
mod window;

pub(crate) use dump::Dump;
