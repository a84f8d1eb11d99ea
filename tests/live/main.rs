//! The program on real servers: what users do, what servers do, and what each may see.

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

mod answers;
mod attacks;
mod back;
mod chat;
mod cuts;
mod doctor;
mod exchange;
mod files;
mod forward;
mod guide;
mod interrupt;
mod kills;
mod login;
mod paths;
mod pipe;
mod readme;
mod record;
mod terminal;
mod trace;
mod transfers;
mod trust;
mod turns;
mod usage;
mod verify;
