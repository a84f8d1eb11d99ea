//! Support for whole-stack tests: a deterministic pair of routers, a seeded network, fixed keys, and the live servers.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_debug_implementations,
    reason = "a test that cannot go on says so by failing"
)]

pub mod fuzz;
pub mod live;
pub mod net;
pub mod pair;
pub mod raw;

pub use xtls_test_keys as keys;
