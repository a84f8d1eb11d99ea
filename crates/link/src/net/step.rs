//! How far an attempt to connect has come.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// What an attempt to connect has achieved, for programs that show how far one comes. See
/// [`Options::watch`](crate::Options::watch).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Where the server may be is known.
    Located {
        /// Hosts and ports, best first: those of the domain's records, the one that was given, or the domain's own.
        places: Vec<String>,
    },
    /// A connection stands. There may be several, one after another, until one leads to the server.
    Connected {
        /// Of the server. A dialer's connection has none.
        address: Option<SocketAddr>,
    },
    /// It is encrypted, and the server has proven that it is the account's domain.
    Encrypted(Encryption),
}

/// The encryption to your own server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Encryption {
    /// From the first byte (XEP-0368), and not by STARTTLS.
    pub direct: bool,
    /// The version of TLS, such as "1.3".
    pub version: &'static str,
    /// The domains and addresses that the certificate is for; at most eight.
    pub names: Vec<String>,
    /// How many more there are.
    pub more: usize,
    /// The certificate's last day, as in "3 May 2026".
    pub until: String,
}

/// Who is told of the steps.
#[derive(Clone)]
pub(super) struct Watch(pub(super) Arc<dyn Fn(Step) + Send + Sync>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
