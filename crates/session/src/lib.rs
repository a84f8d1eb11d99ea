//! A secure conversation with one peer over any ordered byte stream.
//!
//! A [`Session`] joins TLS, the framer and the stanza reader. It knows nothing of the transport beneath it: an In-Band
//! Bytestream, a pipe and a socket look the same. It does no I/O, and the time is passed in. What it guarantees:
//!
//! * nothing passes in either direction before both ends' keys are judged;
//! * no stanza leaves it without the addresses of the [`Binding`];
//! * what was received before a cut, or before the peer's alert, is handed out before the end, in any cutting of the wire;
//! * [`Event::Closed`] comes exactly once, last, and tells a clean end from a cut one;
//! * everything it holds is limited ([`Config`]), and a slow reader slows its peer down.
//!
//! You move bytes and the time, and poll for events until there are none:
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//!
//! use xtls_session::{Binding, Config, Event, Service, Session, Verdict};
//! use xtls_stanza::{Address, Element, Kind, Stanza};
//! use xtls_tls::{Identity, Role, Tls, rustls, trust};
//! use zeroize::Zeroizing;
//!
//! # type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//! // Real keys come from a secure random source, and the sid from the transport.
//! fn session(own: &str, peer: &str, role: Role, seed: u8) -> Result<Session> {
//!     let (own, peer) = (Address::new(own)?, Address::new(peer)?);
//!     let identity = Identity::generate(own.bare(), &Zeroizing::new([seed; 32]), 1_767_225_600)?;
//!     let time = Arc::new(rustls::time_provider::DefaultTimeProvider);
//!     let config = xtls_tls::Config::new(Arc::new(identity), xtls_tls::default_provider(), time)?;
//!     let binding = Binding { own, peer, sid: "s1".into(), service: Service::stanzas(), role };
//!     let expect = binding.expect(Arc::new(trust::Store::new()), trust::Policy::Ask);
//!     let tls = Tls::new(role, &config, expect)?;
//!     Ok(Session::new(binding, tls, Config::default(), Instant::now()))
//! }
//!
//! # fn main() -> Result<()> {
//! let (r, j) = ("romeo@montague.example/orchard", "juliet@capulet.example/balcony");
//! let mut ends = [session(r, j, Role::Client, 1)?, session(j, r, Role::Server, 2)?];
//! let mut received = None;
//! while received.is_none() {
//!     let now = Instant::now();
//!     for (from, to) in [(0, 1), (1, 0)] {
//!         while let Some(wire) = ends[from].poll_wire(4096) {
//!             ends[to].handle_wire(now, &wire);
//!         }
//!         while let Some(event) = ends[to].poll_event() {
//!             match event {
//!                 // In production, a person compares fingerprints here.
//!                 Event::Judge(peer) => ends[to].judge(now, peer.fingerprint, Verdict::Accept)?,
//!                 Event::Ready => {
//!                     let body = Element::new("body", "jabber:client").with_text("Call me but love");
//!                     ends[to].send(&Stanza::new(Kind::Message).with_child(&body))?;
//!                 }
//!                 Event::Stanza(stanza) => received = Some(stanza),
//!                 _ => {}
//!             }
//!         }
//!     }
//! }
//! assert_eq!(received.and_then(|stanza| stanza.from), Some(Address::new(r)?));
//! # Ok(())
//! # }
//! ```

mod binding;
mod config;
mod event;
mod glare;
#[cfg(feature = "tokio")]
pub mod io;
mod routing;
mod session;
mod verify;

pub use binding::{Binding, Mode, Service};
pub use config::Config;
pub use event::{
    By, Close, Event, Introduction, JudgeError, Peer, Receipt, SendError, Verdict, Why,
};
pub use glare::{Glare, glare};
pub use routing::{FalseAddress, Violation};
pub use session::{Carried, Deadline, Session, Traffic};
pub use verify::{Broken, Compare, Run, Verify, VerifyError};
/// What the signatures name, as this crate was built with it.
pub use {bytes, xtls_framer as framer, xtls_stanza as stanza, xtls_tls as tls, zeroize};

/// The examples of the README are compiled as those of the documentation are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
