//! TLS 1.3 as a sans-IO byte stream between two people: identities, pins and trust.
//!
//! [`Tls`] turns wire bytes into plaintext and back, over rustls. It knows nothing of XMPP stanzas, sockets, clocks or files:
//! you move the bytes, and keep the [`Identity`] and the [`trust::Store`] on disk.
//!
//! - **Who**: each side has one Ed25519 key in a self-signed certificate that names its bare JID. A peer is accepted when its
//!   certificate names the expected JID *and* its key fits the pins; see [`trust`].
//! - **What**: TLS 1.3 with client authentication, X25519MLKEM768 where possible; one ALPN name that binds the context; no
//!   tickets, resumption, early data, server name, or anything else that would let two sessions be linked or replayed.
//! - **Cryptography** is passed in ([`Provider`]); nothing is installed for the process.
//!
//! ```
//! use std::sync::Arc;
//!
//! use bytes::BytesMut;
//! use xtls_tls::{Config, Expectations, Identity, Role, Tls, rustls, trust, zeroize::Zeroizing};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Real keys come from a secure random source.
//! let config = |jid, seed: u8| -> Result<Config, Box<dyn std::error::Error>> {
//!     let identity = Identity::generate(jid, &Zeroizing::new([seed; 32]), 1_767_225_600)?;
//!     let time = Arc::new(rustls::time_provider::DefaultTimeProvider);
//!     Ok(Config::new(Arc::new(identity), xtls_tls::default_provider(), time)?)
//! };
//! let expect = |own: &str, peer: &str| {
//!     let mut expect = Expectations::new(own, peer, trust::Store::new(), trust::Policy::Tofu);
//!     expect.alpn = b"example".to_vec();
//!     expect.alpn_required = true;
//!     expect
//! };
//! let mut alice = Tls::new(Role::Client, &config("alice@example.org", 1)?, expect("alice@example.org", "bob@example.net"))?;
//! let mut bob = Tls::new(Role::Server, &config("bob@example.net", 2)?, expect("bob@example.net", "alice@example.org"))?;
//!
//! // Any transport carries the bytes; here they go straight across, at most 4096 at a time.
//! let (mut to_alice, mut to_bob) = (BytesMut::new(), BytesMut::new());
//! while alice.is_handshaking() || bob.is_handshaking() {
//!     while let Some(wire) = alice.poll_wire(4096) {
//!         bob.handle_wire(&wire, &mut to_bob);
//!     }
//!     while let Some(wire) = bob.poll_wire(4096) {
//!         alice.handle_wire(&wire, &mut to_alice);
//!     }
//!     assert!(alice.failure().or(bob.failure()).is_none());
//! }
//! println!("talking to {}", alice.peer().ok_or("no peer")?.fingerprint);
//!
//! alice.write(b"hello")?;
//! alice.close();
//! while let Some(wire) = alice.poll_wire(4096) {
//!     bob.handle_wire(&wire, &mut to_bob);
//! }
//! assert_eq!(&to_bob[..], b"hello");
//! assert!(bob.peer_closed());
//! # Ok(())
//! # }
//! ```

pub mod trust;
pub mod verify;

mod alert;
mod client_hello;
mod config;
mod error;
mod expectations;
mod fingerprint;
mod identity;
mod idle;
#[cfg(feature = "tokio")]
pub mod io;
mod io_buffers;
mod jid;
mod last_alert;
mod path_keys;
mod pem;
mod post_handshake;
mod provider;
mod record;
mod role;
mod san;
mod seal;
#[cfg(feature = "seeded")]
pub mod seeded;
mod tls;
mod verifier;
mod x509;

pub use alert::Alert;
pub use bytes;
pub use client_hello::offered_protocols;
pub use config::Config;
pub use error::{ConfigError, ExportError, TlsError, WriteError};
pub use expectations::Expectations;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use identity::{Identity, IdentityError};
pub use jid::JidError;
pub use path_keys::PathKeys;
pub use post_handshake::Checks;
pub use provider::Provider;
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
pub use provider::default_provider;
pub use record::{MAX_RECORD, MIN_RECORD, RECORD_OVERHEAD};
pub use role::Role;
pub use rustls;
pub use san::CertificateFault;
pub use seal::{Open, OpenError, SEAL_KEY, Seal, SealError};
pub use tls::Tls;
#[cfg(feature = "tokio")]
pub use tokio;
pub use trust::TrustError;
pub use verifier::{PeerKey, Standing};
pub use zeroize;

/// The examples of the README are compiled as those of the documentation are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
