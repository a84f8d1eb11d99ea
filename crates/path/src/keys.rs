//! Who may begin a leg: keys from the tunnel's secret, and the MACs under them.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::frame::MAC;

/// Random bytes of one end at the beginning of a leg.
pub(crate) const SALT: usize = 32;
/// The secret of a tunnel, and each key from it.
const KEY: usize = 32;

/// Which end of the tunnel's TLS this is. It, and not who connects, decides about keys; the client chooses legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The TLS client.
    Client,
    /// The TLS server.
    Server,
}

impl Role {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Client => b"xtls path knock client 1",
            Self::Server => b"xtls path knock server 1",
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// The keys by which both ends of a tunnel recognise each other on a new leg. They are wiped when dropped.
pub struct Keys {
    role: Role,
    ours: Zeroizing<[u8; KEY]>,
    theirs: Zeroizing<[u8; KEY]>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Keys {
    /// From a secret that only the two ends have, such as one of the TLS exporter, and what names both ends, the same at both.
    #[must_use]
    pub fn new(secret: &[u8; KEY], ends: &[u8], role: Role) -> Self {
        Self {
            role,
            ours: derived(secret, ends, role),
            theirs: derived(secret, ends, role.other()),
        }
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// Our MAC of these parts.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; MAC] {
        let whole = keyed(&self.ours, parts).finalize().into_bytes();
        let mut mac = [0; MAC];
        for (to, from) in mac.iter_mut().zip(whole) {
            *to = from;
        }
        mac
    }

    /// Whether `mac` is the peer's of these parts. Takes the same time whether it is or not.
    pub(crate) fn verify(&self, parts: &[&[u8]], mac: &[u8; MAC]) -> bool {
        keyed(&self.theirs, parts)
            .verify_truncated_left(mac)
            .is_ok()
    }
}

fn derived(secret: &[u8; KEY], ends: &[u8], role: Role) -> Zeroizing<[u8; KEY]> {
    let mut key = Zeroizing::new([0; KEY]);
    // 32 bytes are one block of the hash: RFC 5869 §2.3 allows 255.
    let expanded =
        Hkdf::<Sha256>::new(None, secret).expand_multi_info(&[role.label(), ends], key.as_mut());
    debug_assert!(expanded.is_ok(), "too long a key");
    key
}

fn keyed(key: &[u8; KEY], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(&block);
    zeroize::Zeroize::zeroize(block.as_mut_slice());
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: u8, ends: &[u8], role: Role) -> Keys {
        Keys::new(&[secret; KEY], ends, role)
    }

    #[test]
    fn a_mac_of_another_end_another_tunnel_or_other_parts_does_not_fit() {
        let mac = keys(1, b"ends", Role::Client).sign(&[b"a", b"b"]);
        assert!(!keys(1, b"ends", Role::Client).verify(&[b"a", b"b"], &mac));
        assert!(!keys(2, b"ends", Role::Server).verify(&[b"a", b"b"], &mac));
        assert!(!keys(1, b"send", Role::Server).verify(&[b"a", b"b"], &mac));
        assert!(!keys(1, b"ends", Role::Server).verify(&[b"a", b"c"], &mac));
        let mut changed = mac;
        changed[15] ^= 1;
        assert!(!keys(1, b"ends", Role::Server).verify(&[b"a", b"b"], &changed));
        assert!(keys(1, b"ends", Role::Server).verify(&[b"a", b"b"], &mac));
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(
            format!("{:?}", keys(7, b"ends", Role::Server)),
            "Keys { role: Server, .. }"
        );
    }
}
