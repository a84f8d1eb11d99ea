//! Who else speaks with servers and clients: a component with real servers, and real clients with our server's end.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

mod component;
mod serve;
