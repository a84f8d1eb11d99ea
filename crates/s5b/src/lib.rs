//! SOCKS5 bytestreams (XEP-0065) without I/O: byte streams between two people, through a relay that one of their servers runs, or
//! directly.
//!
//! - [`Relays`] finds the relays of your server.
//! - [`Request`] offers a bytestream; [`Target`] takes an offer. They say when to connect, and to whom.
//! - [`Dial`] and [`Accept`] are the two sides of SOCKS5 as the XEP wants it. Each is the same at a relay and without one.
//! - [`connect`], [`dial`] and [`accept`] (feature `tokio`) do that over sockets.
//!
//! Stanzas, bytes and the time go in through `handle_…`; stanzas, bytes and events come out of `poll_…`. Nothing here encrypts: a relay
//! sees what passes, and its server sees both addresses. Give the stream to TLS.

mod accept;
mod destination;
mod dial;
#[cfg(feature = "tokio")]
mod io;
mod relays;
mod request;
mod socks;
mod target;

pub use accept::{Accept, AcceptEvent, NotAsked};
pub use destination::Destination;
pub use dial::{Dial, DialEvent};
#[cfg(feature = "tokio")]
pub use io::{ConnectError, accept, connect, dial};
pub use relays::{Relay, Relays, RelaysEvent, Unusable};
pub use request::{Offer, OfferError, Request, RequestError, RequestEvent};
pub use socks::SocksError;
pub use target::{Target, TargetError, TargetEvent};
#[cfg(feature = "tokio")]
pub use tokio;
pub use {xtls_reach, xtls_stanza};

/// The examples of the README are compiled, and run, as those of the documentation are.
#[cfg(all(doctest, feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
