//! The whole client: handles, the task that drives them, pins and the relay, on a clock that only jumps.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

#[path = "client/bytes.rs"]
mod bytes;
#[path = "client/changing.rs"]
mod changing;
#[path = "client/crowd.rs"]
mod crowd;
#[path = "client/doubting.rs"]
mod doubting;
#[path = "client/flow.rs"]
mod flow;
#[path = "client/lifetime.rs"]
mod lifetime;
#[path = "client/links.rs"]
mod links;
#[path = "client/log.rs"]
mod log;
#[path = "client/services.rs"]
mod services;
#[path = "client/taking.rs"]
mod taking;
#[path = "client/trust.rs"]
mod trust;
#[path = "client/world.rs"]
mod world;
