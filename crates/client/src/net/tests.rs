#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

mod dialling;
mod listening;
mod passing;
mod support;
