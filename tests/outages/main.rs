//! Connections that are cut and servers that die, under tunnels of bytes. `cargo xtask outages` runs the same at full length.

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

mod cuts;
mod kills;
mod moves;
mod party;
mod pattern;
mod times;
mod transfer;
mod tunnels;

/// How many of something: few in an ordinary run, many where `cargo xtask outages` asks for them.
fn many(few: usize, many: usize) -> usize {
    match std::env::var_os("XTLS_OUTAGES") {
        Some(_) => many,
        None => few,
    }
}
