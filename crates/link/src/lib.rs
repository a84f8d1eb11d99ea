//! A logged-in connection to your own XMPP server.
//!
//! [`connect`] gives an [`XmppLink`]: whole stanzas out, whole stanzas in. It is always encrypted (STARTTLS or direct TLS), always
//! checked (the certificate names the account's domain and leads to a root of the system or of `ca_file`), logged in with
//! SCRAM, and bound to the TLS channel where the server can. A lost connection is resumed (XEP-0198) or, failing that, bound
//! anew. It knows nothing of tunnels, and nothing of TLS between people.
//!
//! tokio-xmpp is used in one way: a whole `StanzaStream`, owned by one task, over connections that are made here. Its
//! halves lose wake-ups, its `Client` is built on them, its own connector retries a wrong password for ever, and its
//! parser is not fit for strangers' stanzas (see `tokio_xmpp/screen.rs`). It says what it does, whole stanzas included, to the `log`
//! crate: do not bridge that to `tracing` below `info`.
//!
//! Without the feature `xmpp` there is only what a link reports, [`LinkEvent`] and [`LinkError`], for links of your own.

#[cfg(all(feature = "xmpp", not(any(feature = "aws-lc-rs", feature = "ring"))))]
compile_error!("xtls-link needs cryptography: enable the feature `aws-lc-rs` (default) or `ring`");

mod ack;
mod event;
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the stream that uses it comes next")
)]
mod manage;
mod mechanism;
mod sasl;
mod scram;
#[cfg(feature = "xmpp")]
mod tokio_xmpp;

pub use event::{LinkError, LinkEvent};
#[cfg(feature = "xmpp")]
pub use tokio_xmpp::{ConnectError, Options, Retry, Security, XmppLink, connect};

/// The layer beneath, as this crate was built with it.
pub use xtls_stanza as stanza;

/// The examples of the README are compiled, and run, as those of the documentation are.
#[cfg(all(doctest, feature = "xmpp"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
