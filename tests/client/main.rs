//! The whole client: handles, the task that drives them, pins and the relay, on a clock that only jumps.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

mod bytes;
mod changing;
mod crowd;
mod doubting;
mod flow;
mod lifetime;
mod links;
mod listening;
mod log;
mod offers;
mod reopening;
mod services;
mod taking;
mod trust;
mod world;
