//! One byte stream over one path after another.
//!
//! A [`Wire`] counts the bytes of a stream in each direction, keeps what the peer has not confirmed, and carries it over one *leg* at
//! a time. Leg 0 is whatever stream the two ends met on; its bytes travel as they are. Every later leg is any pipe that carries
//! frames, and begins with a proof that both ends are those who met: a stranger gets no byte out of it. Moving to a faster pipe,
//! moving back and going on after a loss are one rule: a leg begins where the receiver stands.
//!
//! There is no I/O and no encryption here. What travels must prove by itself that it was not altered, as TLS does.

mod credit;
mod error;
mod event;
mod frame;
mod held;
mod kept;
mod keys;
mod leg;
mod life;
mod opening;
mod pace;
mod route;
mod wire;

pub use bytes;

pub use error::{Cut, Fault, LegEnd, Refused};
pub use event::{Event, LegId};
pub use frame::{Broken, Bye, Cutter, Frame, MAX_DATA, VERSION};
pub use keys::{Keys, Role};
pub use opening::{Beginning, KNOCK, Place};
pub use route::{Dial, GiveUp, Kind, Pipe, Refusal, Route, RouteEvent, Settings, Stay, Wish};
pub use wire::Wire;
pub use xtls_stanza;

/// The examples of the README are compiled, and run, as those of the documentation are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
