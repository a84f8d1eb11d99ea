//! What one connection must turn out to be.

use crate::trust::{Current, Policy};

/// What one connection must turn out to be: who the peer is, by which pins, and which ALPN name binds the context.
///
/// ```
/// use xtls_tls::{Expectations, trust};
///
/// let pins = trust::Store::new();
/// let mut expect = Expectations::new("alice@example.org", "bob@example.net", pins, trust::Policy::Ask);
/// expect.alpn = b"example".to_vec();
/// expect.alpn_required = true;
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Expectations {
    /// The peer's bare JID: what its certificate must name, and whose pins count.
    pub peer: String,
    /// Our own bare JID. A peer with the same one needs a pin: your own JID is never trusted on first use.
    pub own: String,
    /// The one ALPN name that is offered or accepted; empty for none (RFC 7301). At most 255 bytes.
    pub alpn: Vec<u8>,
    /// Further names that a server accepts, of 1 to 255 bytes each; a client offers the one only.
    pub also: Vec<Vec<u8>>,
    /// Whether a peer that knows no ALPN is refused. A peer that names another protocol always is.
    pub alpn_required: bool,
    /// The pins.
    pub trust: Current,
    /// What is done about a key of a JID without pins.
    pub policy: Policy,
}

impl Expectations {
    /// A peer without an ALPN name.
    #[must_use]
    pub fn new(
        own: impl Into<String>,
        peer: impl Into<String>,
        trust: impl Into<Current>,
        policy: Policy,
    ) -> Self {
        Self {
            peer: peer.into(),
            own: own.into(),
            alpn: Vec::new(),
            also: Vec::new(),
            alpn_required: false,
            trust: trust.into(),
            policy,
        }
    }
}
