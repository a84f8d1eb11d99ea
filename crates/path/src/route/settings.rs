//! What the owner allows: who may learn an address, and where this end connects to. The file to review first.

use std::num::NonZeroU16;

use xtls_stanza::Address;
use xtls_stanza::path::Takes;
use xtls_stanza::s5b::{Host, Streamhost};

use super::event::Kind;

/// What the owner allows for a tunnel.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where this end connects to, and where it may be met.
    pub policy: Takes,
    /// The peer's key was first seen in this session, and is not verified: who is in the middle of a first contact must not get an
    /// address by it, so `direct` and `any` count as `own`.
    pub first_seen: bool,
    /// Our full address.
    pub own: Address,
    /// The peer's full address.
    pub peer: Address,
    /// Where we can be met directly, as far as the peer may be told.
    pub advertise: Vec<(Host, NonZeroU16)>,
}

impl Settings {
    /// Where this end connects to.
    #[must_use]
    pub const fn takes(&self) -> Takes {
        if self.first_seen && takes_direct(self.policy) {
            Takes::Own
        } else {
            self.policy
        }
    }

    /// The addresses that an end which takes this may be told, if it is known.
    pub(crate) fn told(&self, peer: Option<Takes>) -> &[(Host, NonZeroU16)] {
        if takes_direct(self.takes()) && peer.is_none_or(takes_direct) {
            &self.advertise
        } else {
            &[]
        }
    }
}

/// Whether an end that takes this connects to addresses of its peer.
pub(crate) const fn takes_direct(takes: Takes) -> bool {
    match takes {
        Takes::Direct | Takes::Any => true,
        Takes::InBand | Takes::Own | Takes::Proxy => false,
    }
}

/// Whether an end that takes this connects to any relays.
pub(crate) const fn takes_relays(takes: Takes) -> bool {
    match takes {
        Takes::Own | Takes::Proxy | Takes::Direct | Takes::Any => true,
        Takes::InBand => false,
    }
}

/// Whether we connect to this relay, if our own server has announced these.
pub(crate) fn dials(takes: Takes, relay: &Streamhost, own: &[Streamhost]) -> bool {
    match takes {
        Takes::InBand => false,
        Takes::Own | Takes::Direct => own.contains(relay),
        Takes::Proxy | Takes::Any => true,
    }
}

/// Whether this is more than what carries.
pub(crate) fn improves(kind: Kind, carrying: Option<Kind>) -> bool {
    carrying.is_none_or(|carrying| kind > carrying)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(jid: &str, host: &str, port: u16) -> Streamhost {
        Streamhost {
            jid: Address::new(jid).unwrap(),
            host: Host::new(host).unwrap(),
            port: NonZeroU16::new(port).unwrap(),
        }
    }

    #[test]
    fn under_own_only_what_our_server_announced_is_dialled_name_host_and_port() {
        let ours = relay("proxy.capulet.example", "192.0.2.7", 7_777);
        for other in [
            relay("proxy.montague.example", "192.0.2.7", 7_777),
            relay("proxy.capulet.example", "192.0.2.8", 7_777),
            relay("proxy.capulet.example", "192.0.2.7", 22),
        ] {
            for takes in [Takes::InBand, Takes::Own, Takes::Direct] {
                assert!(!dials(takes, &other, std::slice::from_ref(&ours)));
            }
            assert!(dials(Takes::Proxy, &other, std::slice::from_ref(&ours)));
        }
        assert!(dials(Takes::Own, &ours, std::slice::from_ref(&ours)));
        assert!(!dials(Takes::InBand, &ours, std::slice::from_ref(&ours)));
    }

    #[test]
    fn a_key_that_is_new_gets_no_address() {
        let mut settings = Settings {
            policy: Takes::Any,
            first_seen: true,
            own: Address::new("romeo@montague.example/orchard").unwrap(),
            peer: Address::new("juliet@capulet.example/balcony").unwrap(),
            advertise: vec![(Host::new("192.0.2.1").unwrap(), NonZeroU16::new(1).unwrap())],
        };
        assert_eq!(settings.takes(), Takes::Own);
        assert!(settings.told(None).is_empty());
        settings.first_seen = false;
        assert_eq!(settings.told(None).len(), 1);
        assert!(
            settings.told(Some(Takes::Proxy)).is_empty(),
            "it would not be used"
        );
        for policy in [Takes::InBand, Takes::Own, Takes::Proxy] {
            settings.policy = policy;
            assert!(settings.told(Some(Takes::Any)).is_empty());
        }
    }
}
