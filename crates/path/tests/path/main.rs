//! Two wires, and what lies between them.

#![allow(
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing, any moment will do, and bytes are cut out of numbers"
)]

mod allowed;
mod beginning;
mod city;
mod liars;
mod lone;
mod moves;
mod peer;
mod refusals;
mod relay;
mod switches;
mod time;
mod waiting;
mod world;
mod zero;
