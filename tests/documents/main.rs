//! The documents match the code: examples, tables, limits, commands, names.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

mod attacks;
mod bugs;
mod cancelling;
mod dependencies;
mod ends;
mod examples;
mod inside;
mod limits;
mod markdown;
mod meeting;
mod names;
mod programs;
mod refusals;
mod relays;
mod signals;
mod signatures;
