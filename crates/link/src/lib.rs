//! A connection to your own XMPP server.
//!
//! [`connect`] gives a [`Link`]: whole stanzas out, whole stanzas in. It is always encrypted (STARTTLS or direct TLS), always
//! checked (the certificate names the account's domain and leads to an authority of the system or of a file, or its key is pinned),
//! logged in with SCRAM, and bound to the TLS channel where the server can. A lost connection is resumed (XEP-0198) or, failing
//! that, bound anew. It knows nothing of tunnels, and nothing of TLS between people.
//!
//! Below it lie state machines without I/O, for owners with a runtime, a transport or a test of their own: [`StartTls`] up to
//! the byte where TLS begins, [`Stream`] from there to the end of the connection, and [`Session`], which outlives connections.
//!
//! With the feature `component` there is also the link of a component (XEP-0114), which has a domain of its own behind a server;
//! with the feature `serve`, the server's end, where other people's clients on this machine connect.
//!
//! Without the feature `tokio` there are only these.

#[cfg(all(feature = "tokio", not(any(feature = "aws-lc-rs", feature = "ring"))))]
compile_error!("xtls-link needs cryptography: enable the feature `aws-lc-rs` (default) or `ring`");

mod ack;
mod alive;
mod cause;
#[cfg(feature = "component")]
mod component;
mod error;
mod event;
mod features;
mod flow;
mod header;
mod location;
mod manage;
mod mechanism;
mod negotiate;
#[cfg(feature = "tokio")]
mod net;
mod open_tag;
mod pin;
mod random;
mod requests;
mod retry;
mod sasl;
mod sasl2;
mod scram;
#[cfg(feature = "serve")]
mod serve;
mod session;
mod starttls;
mod stream;
mod stream_error;

pub use cause::Cause;
#[cfg(feature = "component")]
pub use component::{Component, ComponentEvent, SendError};
pub use error::ConnectError;
pub use event::{LinkError, LinkEvent, Outage};
pub use header::HeaderError;
pub use location::Location;
pub use manage::Miscount;
#[cfg(all(feature = "tokio", feature = "serve"))]
pub use net::{Accounts, Arrival, Listener, Served};
#[cfg(feature = "tokio")]
pub use net::{
    CertificateFault, Dial, Dialling, Duplex, Encryption, Link, Options, Security, Step, connect,
};
#[cfg(all(feature = "tokio", feature = "component"))]
pub use net::{ComponentLink, ComponentOptions};
pub use pin::{NotAPin, Pin};
pub use retry::{Again, Reconnect, Retry};
pub use scram::{Exporter, Job, Keys};
#[cfg(feature = "serve")]
pub use serve::{Login, ServeError, Serving, ServingEvent};
pub use session::{Session, Software};
pub use starttls::StartTls;
pub use stream::{Event, NotSent, Opened, Stream};
pub use stream_error::StreamError;

/// The layer beneath, and what else the signatures of this crate name, as it was built with them.
pub use {bytes, xtls_stanza as stanza, zeroize};

#[cfg(feature = "tokio")]
pub use tokio;

/// The examples of the README are compiled, and run, as those of the documentation are.
#[cfg(all(doctest, feature = "tokio", feature = "component"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
