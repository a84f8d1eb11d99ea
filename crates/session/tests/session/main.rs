//! Two ends with real TLS between them, and peers that follow no rule but TLS's own.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "tests, and what they share"
)]

mod answering;
mod bytes;
mod closing;
mod confirming;
mod cutting;
mod finishing;
mod inside;
#[cfg(feature = "tokio")]
mod io;
mod judging;
mod limits;
mod living;
mod paths;
mod recording;
mod refusing;
mod support;
mod timing;
mod truncation;
mod trusting;
mod verifying;
mod violations;
