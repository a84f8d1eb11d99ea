//! What is read, what is refused, and what comes of elements.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests, and what they share"
)]

mod accepted;
mod body;
mod condition;
mod cost;
mod differential;
mod payload;
mod refused;
mod uri;
mod verify;
mod xtls;
