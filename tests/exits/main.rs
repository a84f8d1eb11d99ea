//! A hostile peer against the real program: what it refuses, what it reports, and its exit codes.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

mod cut;
mod identity;
mod inside;
mod stage;
mod version;
mod wishes;
