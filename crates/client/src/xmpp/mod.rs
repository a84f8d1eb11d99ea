//! The link to a real XMPP server, on tokio-xmpp.
//!
//! [`connect`] gives an [`XmppLink`], which is an [`Uplink`](crate::Uplink). Encrypted always (STARTTLS or direct TLS),
//! checked always (the certificate names the account's domain and leads to a root of the system or of `ca_file`), logged
//! in with SCRAM, bound to the TLS channel where the server can. A lost connection is resumed (XEP-0198) or, failing
//! that, bound anew.
//!
//! tokio-xmpp is used in one way: a whole `StanzaStream`, owned by one task, over connections that are made here. Its
//! halves lose wake-ups, its `Client` is built on them, its own connector retries a wrong password for ever, and its
//! parser is not fit for strangers' stanzas (see `screen.rs`). It says what it does, whole stanzas included, to the `log`
//! crate: do not bridge that to `tracing` below `info`.

mod align;
mod bridge;
mod connector;
mod dial;
mod error;
mod header;
mod hold;
mod limits;
mod link;
mod options;
mod owner;
mod pipe;
mod sasl;
mod screen;
mod socket;
mod starttls;
mod talk;
mod tls;
mod wait;

#[cfg(test)]
mod tests;

pub use error::ConnectError;
pub use link::{XmppLink, connect};
pub use options::{Options, Retry, Security};
