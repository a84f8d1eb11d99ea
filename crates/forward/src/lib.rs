//! TCP connections through one tunnel, as ssh forwards them.
//!
//! * [`Spec`], [`Bind`], [`Allowed`]: what ssh's options say, and what a peer may reach.
//! * [`Allow`]: judges what a peer asks for. Nothing is allowed that does not stand in it.
//! * [`Channel`]: one connection inside the tunnel; [`Socks`]: one client of a dynamic forward. Both are machines without I/O.
//! * [`serve`] and [`forward`] (feature `tokio`, on by default): the two ends of a tunnel, with listeners, connections and the
//!   multiplexer between them.
//!
//! The stream below must be ordered, reliable and authenticated, as a tunnel of bytes is: there is no encryption here.

mod allow;
mod channel;
#[cfg(feature = "tokio")]
mod io;
mod socks;
mod spec;
mod wire;

pub use allow::{Allow, Allowed, Judgement, NotAllowed};
pub use channel::{Channel, Event, Request};
pub use socks::{Next, NotSocks, Socks, answer};
pub use spec::{Bind, Malformed, On, Spec};
pub use wire::{Greeting, Place, Refusal, Violation, Why};

#[cfg(feature = "tokio")]
pub use io::{
    End, ForwardError, Found, How, Options, Report, Resolve, Retry, Rule, Serve, forward, serve,
};
#[cfg(feature = "tokio")]
pub use tokio;

/// The name of the service of a tunnel that carries forwards.
pub const SERVICE: &str = "forward";

/// The examples of the README are compiled, and run, as those of the documentation are.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
