//! The adapter against itself and against hostile rustls peers, in both roles.
//!
//! Peers of other makes, and real transports, are tested in the workspace's `tests`.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests, and what they share"
)]

mod alerts;
mod certificate;
mod closing;
mod context;
mod forge;
mod handshake;
mod hello;
#[cfg(feature = "tokio")]
mod io;
mod names;
#[cfg(feature = "aws-lc-rs")]
mod providers;
mod raw;
mod reasons;
mod refusal;
mod rekey;
#[cfg(feature = "aws-lc-rs")]
mod seal;
mod secrets;
mod stream;
mod support;
#[cfg(feature = "aws-lc-rs")]
mod table;
mod tamper;
mod under_tokio;
