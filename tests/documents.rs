//! The documents match the code: examples, tables, limits, commands, names.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

#[path = "documents/attacks.rs"]
mod attacks;
#[path = "documents/ends.rs"]
mod ends;
#[path = "documents/examples.rs"]
mod examples;
#[path = "documents/inside.rs"]
mod inside;
#[path = "documents/limits.rs"]
mod limits;
#[path = "documents/markdown.rs"]
mod markdown;
#[path = "documents/names.rs"]
mod names;
#[path = "documents/programs.rs"]
mod programs;
#[path = "documents/refusals.rs"]
mod refusals;
