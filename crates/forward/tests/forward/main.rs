//! Forwards through tunnels, with sockets on loopback at both ends, and peers that speak yamux and follow no rule above it.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

mod carrying;
mod fairness;
mod hostile;
mod leaving;
mod listening;
mod reconnecting;
mod refusing;
mod socks;
mod stopping;
mod support;
