//! Every XTLS tunnel of one XMPP address, without I/O.
//!
//! * [`Router`]: stanzas from your server and the time go in; stanzas for your server, and events of each tunnel, come out.
//! * [`transport`]: what carries tunnels, and how to add a transport of yours.
//!
//! It needs no runtime, opens no socket and reads no file: `xtls-client` drives it in a task, the simulated world of the tests
//! drives it by dice.

pub mod router;
pub mod transport;

/// The layers beneath, as this crate was built with them.
pub use {
    bytes, xtls_ibb as ibb, xtls_path as path, xtls_s5b as s5b, xtls_session as session,
    xtls_stanza as stanza, xtls_tls as tls,
};

pub use router::{Accept, Config, Router};
pub use transport::Transport;

/// The examples of the README are compiled, and run, as those of the documentation are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
