//! In-Band Bytestreams (XEP-0047) as a sans-IO state machine: ordered byte streams over XMPP stanzas.
//!
//! A [`Mux`] holds all bytestreams of one full address. It takes in [`Envelope`]s (stanzas whose
//! payload is decoded) and gives out envelopes and [`Event`]s. It knows no sockets, no clock, no
//! tasks and no XML text; the time is an argument and all ids come from a seed, so the same calls
//! give the same stanzas.
//!
//! # Two muxes in one process
//!
//! ```
//! use std::time::Instant;
//! use xtls_ibb::{Allow, Config, Event, Mux, OpenOptions};
//! use xtls_stanza::Address;
//!
//! let romeo = Address::new("romeo@montague.example/orchard")?;
//! let juliet = Address::new("juliet@capulet.example/balcony")?;
//! // In production, use random seeds.
//! let mut a = Mux::new(romeo.clone(), Config::default(), [1; 32]);
//! let mut b = Mux::new(juliet.clone(), Config::default(), [2; 32]);
//! // No one may open a stream unless you allow it.
//! b.allow(Allow::Only([romeo.to_bare()].into()));
//! let now = Instant::now();
//!
//! let stream = a.open(now, &juliet, OpenOptions::default())?;
//! a.stream(now, stream).write("wherefore art thou?".into())?;
//! let mut received = Vec::new();
//! loop {
//!     while let Some(event) = b.poll_event() {
//!         match event {
//!             Event::Incoming { id, .. } => b.stream(now, id).accept(None).unwrap_or_default(),
//!             Event::Readable { id } => {
//!                 while let Some(bytes) = b.stream(now, id).read(usize::MAX) {
//!                     received.extend_from_slice(&bytes);
//!                 }
//!             }
//!             _ => {}
//!         }
//!     }
//!     if let Some(stanza) = a.poll_transmit(now) {
//!         b.handle(now, stanza);
//!     } else if let Some(stanza) = b.poll_transmit(now) {
//!         a.handle(now, stanza);
//!     } else {
//!         break;
//!     }
//! }
//! assert_eq!(received, b"wherefore art thou?");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The owner's loop
//!
//! After every call that takes `&mut self`: [`Mux::poll_event`] until `None`, [`Mux::poll_transmit`]
//! until `None` (or until the connection has no room: that is the back-pressure), then wait for a
//! stanza or for [`Mux::poll_timeout`]. The peer's faults are events; the caller's faults are
//! errors.
//!
//! # Rules that hold always
//!
//! * A stream is known by own address, peer's full address and sid, and by nothing less.
//! * Every request that [`Mux::handle`] takes is answered exactly once: at once, or (a chunk) when
//!   its bytes have been read, or at the end of the stream.
//! * An answer counts only if its id and its sender match a request of ours.
//! * Nothing is kept beyond a gap; no queue is without a limit (see [`Config`]).
//! * Answers never wait for our own window, so two full windows cannot block each other.
//! * Each stream ends with exactly one [`Event::Closed`], its last event, within the limits of the
//!   config. The reason is [`Why::Done`] only if all that was written was acknowledged and all that
//!   came was read.
//!
//! # Message mode
//!
//! With [`Carrier::Message`](xtls_stanza::ibb::Carrier) chunks travel in messages: nothing is
//! acknowledged, a slow reader cannot hold the writer back, and what servers do to messages can
//! break the stream. It is for peers that know nothing else, and off for incoming streams unless
//! [`Config::messages`] says so. A chunk counts only in a message to exactly our own address, from
//! exactly the peer's, that was not delayed, stored, copied or forwarded. Some peers answer an open
//! for messages with chunks in requests; those are taken as well, in the same numbering.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod admission;
mod clock;
mod config;
mod error;
mod event;
mod flight;
mod ids;
mod incoming;
#[cfg(feature = "tokio")]
pub mod io;
mod mux;
mod outbox;
mod outgoing;
mod phase;
mod rate;
mod recv;
mod scheduler;
mod send;
mod stats;
mod stream;
mod table;
mod view;
mod window;

#[cfg(test)]
mod tests;

pub use admission::{Allow, TRY_AGAIN};
pub use bytes;
pub use clock::{Clock, Deadline};
pub use config::{Config, OpenOptions};
pub use error::{Gone, OpenError, Refusal, WriteError, presentable};
pub use event::{Awaited, By, Close, Event, Loss, StreamId, Violation, Why};
#[cfg(feature = "stream")]
pub use futures_core;
pub use mux::Mux;
pub use outgoing::{MAX_ID, Outgoing};
pub use rate::{Opens, Rate};
pub use stats::Stats;
#[cfg(feature = "tokio")]
pub use tokio;
pub use view::StreamMut;
pub use window::Window;
pub use xtls_stanza as stanza;
pub use xtls_stanza::{Envelope, Payload};

/// The README's example, compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
