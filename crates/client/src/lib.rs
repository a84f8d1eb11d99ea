//! XTLS for applications: end-to-end encrypted conversations over a connection to one's own XMPP server.
//!
//! * [`Uplink`]: a connection to your own server; [`relay`] is one in the process, `xmpp` (feature) a real one.
//! * [`Client`], [`Incoming`], [`Tunnel`]: handles on the one task that drives both.
//! * [`service`]: services that peers call by name, and calls of theirs, over tunnels of bytes.
//! * [`bytestreams`]: bytestreams without any of this, for peers that know no XTLS.
//! * [`Home`], [`Pins`]: the account's key and the keys of its peers on disk, from `xtls-keys`.
//! * [`Router`]: every tunnel of one address, without I/O, from `xtls-tunnel`.
//!
//! A tunnel of bytes is `AsyncRead + AsyncWrite`. Here two clients on a relay in the process meet for the first time; with
//! `xmpp::connect` in place of [`Relay::attach`] they meet through their servers:
//!
//! ```
//! use std::sync::Arc;
//!
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use xtls_client::relay::Limits;
//! use xtls_client::session::{Mode, Service};
//! use xtls_client::stanza::Address;
//! use xtls_client::tls::{self, Identity, rustls::time_provider::DefaultTimeProvider, trust::Policy};
//! use xtls_client::{Accept, Client, Config, Incoming, Pins, Relay};
//! use zeroize::Zeroizing;
//!
//! # type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
//! async fn client(relay: &Relay, address: &Address, seed: u8) -> Result<(Client, Incoming)> {
//!     // In earnest: `Home::identity` and `Home::pins`.
//!     let identity = Identity::generate(address.bare(), &Zeroizing::new([seed; 32]), 1_767_225_600)?;
//!     let pins = Pins::memory();
//!     let time = Arc::new(DefaultTimeProvider);
//!     let tls = tls::Config::new(Arc::new(identity), tls::default_provider(), time)?;
//!     let config = Config::new(tls, pins.store())
//!         .service(Service::new("shout", Mode::Bytes))
//!         .policy(Policy::Tofu)
//!         .accept(Accept::Anyone);
//!     let (client, incoming, _task) = Client::start(relay.attach(address.clone()).await?, config, pins)?;
//!     Ok((client, incoming))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let relay = Relay::start(Limits::default());
//! let (romeo, juliet) = ("romeo@montague.example/orchard", "juliet@capulet.example/balcony");
//! let (romeo, juliet) = (Address::new(romeo)?, Address::new(juliet)?);
//! let (opener, _) = client(&relay, &romeo, 1).await?;
//! let (listener, mut incoming) = client(&relay, &juliet, 2).await?;
//!
//! let server = tokio::spawn(async move {
//!     let mut tunnel = incoming.next().await.ok_or("the client has ended")?;
//!     let peer = tunnel.established().await?;        // address, key, trust, service
//!     let mut heard = String::new();
//!     tunnel.read_to_string(&mut heard).await?;      // to the peer's close_notify; a cut stream is an error
//!     tunnel.write_all(heard.to_uppercase().as_bytes()).await?;
//!     tunnel.shutdown().await?;
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(peer.address)
//! });
//! let mut tunnel = opener.open(&juliet).await?;
//! tunnel.write_all(b"call me but love").await?;      // leaves with the last flight of the handshake
//! tunnel.shutdown().await?;                          // our direction only
//! let mut answer = String::new();
//! tunnel.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "CALL ME BUT LOVE");
//! # let Ok(peer) = server.await? else { panic!("the server has failed") };
//! # assert_eq!(peer, romeo);
//! # drop(listener);
//! # Ok(())
//! # }
//! ```

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!(
    "xtls-client needs cryptography: enable the feature `aws-lc-rs` (default) or `ring`"
);

mod byte_channel;
pub mod bytestreams;
mod client;
mod command;
mod connect;
#[cfg(feature = "tower")]
mod connector;
mod driver;
mod error;
mod events;
mod handle;
#[cfg(any(feature = "axum", feature = "hyper"))]
pub mod http;
mod incoming;
mod link_state;
#[cfg(feature = "paths")]
mod net;
mod paths;
mod progress;
pub mod relay;
mod sender;
pub mod service;
mod sockets;
pub mod uplink;

/// The layers beneath, as this crate was built with them.
pub use {
    xtls_ibb as ibb, xtls_keys as keys, xtls_session as session, xtls_stanza as stanza,
    xtls_tls as tls, xtls_tunnel as tunnel,
};

#[cfg(feature = "stream")]
pub use futures_core;
#[cfg(feature = "tower")]
pub use tower_service;
/// What the signatures name of others.
pub use {bytes, tokio, zeroize};

/// The link to a real XMPP server.
#[cfg(feature = "xmpp")]
pub use xtls_link as xmpp;

pub use client::{Client, Task};
pub use connect::ConnectError;
#[cfg(feature = "tower")]
pub use connector::Connector;
pub use error::{JudgeError, ListenError};
pub use handle::Tunnel;
pub use incoming::{Arrival, Incoming, Listener};
pub use link_state::{LinkState, LinkStates};
pub use paths::{PathState, Paths};
pub use relay::Relay;
pub use sender::Sender;
pub use sockets::Sockets;
#[cfg(feature = "paths")]
pub use sockets::{BindError, SocketOptions};
pub use uplink::{Cause, LinkError, LinkEvent, Outage, Uplink};
pub use xtls_keys::{Exposed, Home, HomeError, LockError, Pins, PinsError, unix_now};
pub use xtls_tunnel::{Accept, Config, Router, router, transport};

/// Fills a buffer with the operating system's random bytes.
///
/// # Errors
/// [`LinkError::Lost`] when there are none to be had.
pub fn random(buffer: &mut [u8]) -> Result<(), LinkError> {
    getrandom::fill(buffer).map_err(|error| LinkError::lost(format!("no random bytes: {error}")))
}

/// The examples of the README are compiled as those of the documentation are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
