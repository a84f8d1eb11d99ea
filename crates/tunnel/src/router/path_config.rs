//! What the owner allows of paths beside the server.

use std::num::NonZeroU16;

use xtls_path::{Kind, Settings, Stay};
use xtls_session::Peer;
use xtls_stanza::Address;
use xtls_stanza::path::Takes;
use xtls_stanza::s5b::Host;
use xtls_tls::Standing;

/// Where tunnels may move, and who may learn an address by that. Tunnels that have paths go on when a stream breaks or another
/// address is bound, whatever is allowed here.
#[derive(Debug, Clone)]
pub struct PathConfig {
    policy: Takes,
    advertise: Vec<(Host, NonZeroU16)>,
}

impl PathConfig {
    /// Where this end connects to, and where it may be met. Nobody new learns an address by [`Takes::InBand`] and
    /// [`Takes::Own`], unless the link to your server goes through a proxy: sockets are connected directly.
    #[must_use]
    pub fn new(policy: Takes) -> Self {
        Self {
            policy,
            advertise: Vec::new(),
        }
    }

    /// Addresses at which peers can reach our listener. Told only under [`Takes::Direct`] and [`Takes::Any`], and to nobody whose
    /// key is new. Default none.
    #[must_use]
    pub fn advertise(mut self, addresses: impl IntoIterator<Item = (Host, NonZeroU16)>) -> Self {
        self.advertise = addresses.into_iter().collect();
        self
    }

    /// Whether a faster path is looked for as soon as a tunnel stands.
    pub(super) fn seeks(&self) -> bool {
        self.policy != Takes::InBand
    }

    pub(super) fn settings(&self, own: &Address, peer: &Peer) -> Settings {
        Settings {
            policy: self.policy,
            first_seen: !matches!(peer.key.standing, Standing::Pinned(_)),
            own: own.clone(),
            peer: peer.address.clone(),
            advertise: self.advertise.clone(),
        }
    }
}

/// What has become of the path of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathEvent {
    /// Both ends write there from now on.
    Moved(Kind),
    /// No better path was found; what carried still does.
    Stayed(Stay),
    /// What carried has gone. Nothing is lost: another path is being looked for.
    Lost,
    /// What the peer's owner lets it connect to.
    PeerAllows(Takes),
}
