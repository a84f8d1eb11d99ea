//! The program on real servers: what users do, what servers do, and what both may see.

#[path = "live/answers.rs"]
mod answers;
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
#[path = "live/trust.rs"]
mod trust;
#[path = "live/usage.rs"]
mod usage;
