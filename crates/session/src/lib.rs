//! One peer's secure conversation over any ordered byte stream.
//!
//! A [`Session`] joins TLS, the framer and the stanza reader. It knows nothing of the transport beneath it: an In-Band
//! Bytestream, a pipe and a socket look the same. It does no I/O and is told the time. What it guarantees:
//!
//! * nothing goes in or out before both ends' keys are judged;
//! * no stanza leaves it without the addresses of the [`Binding`];
//! * it says [`Event::Closed`] exactly once, last, and tells a clean end from a cut one.

mod binding;
mod config;
mod event;
mod glare;
mod routing;
mod session;

pub use binding::{Binding, Mode, Service};
pub use config::Config;
pub use event::{By, Close, Event, Introduction, Peer, SendError, Verdict, Why};
pub use glare::{Glare, glare};
pub use routing::Violation;
pub use session::{Deadline, Session};
