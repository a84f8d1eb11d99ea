//! The program on real servers: what users do, what servers do, and what each may see.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

#[path = "live/answers.rs"]
mod answers;
#[path = "live/attacks.rs"]
mod attacks;
#[path = "live/chat.rs"]
mod chat;
#[path = "live/exchange.rs"]
mod exchange;
#[path = "live/interrupt.rs"]
mod interrupt;
#[path = "live/login.rs"]
mod login;
#[path = "live/record.rs"]
mod record;
#[path = "live/terminal.rs"]
mod terminal;
#[path = "live/trust.rs"]
mod trust;
#[path = "live/usage.rs"]
mod usage;
#[path = "live/verify.rs"]
mod verify;
