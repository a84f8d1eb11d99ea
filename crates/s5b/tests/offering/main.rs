//! Offers: both ends with each other, and every error of the XEP.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing, and begins now"
)]

mod requests;
mod support;
mod targets;
