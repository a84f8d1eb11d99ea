//! A provider whose randomness follows from a seed: **for tests only** (feature `seeded`, or this crate's own tests).
//!
//! Two runs with the same seeds put the same bytes on the wire. Anyone who knows the seed can read everything.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use curve25519_dalek::MontgomeryPoint;
use rustls::{
    Error, NamedGroup, PeerMisbehaved,
    crypto::{
        ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret,
        SupportedKxGroup,
    },
};
use sha2::{Digest, Sha256};

/// `base` with all randomness drawn from `seed`, and X25519 as its only key exchange.
///
/// Give each end its own: ends that share one depend on the order in which they draw. A few hundred bytes are never freed,
/// because rustls keeps providers for ever.
#[must_use]
pub fn provider(base: &CryptoProvider, seed: [u8; 32]) -> Arc<CryptoProvider> {
    let stream: &'static Stream = Box::leak(Box::new(Stream {
        seed,
        block: AtomicU64::new(0),
    }));
    let group: &'static Group = Box::leak(Box::new(Group(stream)));
    Arc::new(CryptoProvider {
        secure_random: stream,
        kx_groups: vec![group],
        ..base.clone()
    })
}

/// An identity with the certificate of `victim`, which is no secret, and another private key.
#[cfg(feature = "seeded")]
#[must_use]
pub fn thief(victim: &crate::Identity, seed: [u8; 32]) -> crate::Identity {
    victim.stolen(seed)
}

/// SHA-256 in counter mode.
struct Stream {
    seed: [u8; 32],
    block: AtomicU64,
}

impl SecureRandom for Stream {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        for chunk in buffer.chunks_mut(32) {
            let block = self.block.fetch_add(1, Ordering::Relaxed);
            let hash = Sha256::new()
                .chain_update(self.seed)
                .chain_update(block.to_be_bytes())
                .finalize();
            for (byte, random) in chunk.iter_mut().zip(hash) {
                *byte = random;
            }
        }
        Ok(())
    }
}

/// The seed is a key like any other.
impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Group(&'static Stream);

impl SupportedKxGroup for Group {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = [0; 32];
        self.0.fill(&mut secret)?;
        let public = MontgomeryPoint::mul_base_clamped(secret).to_bytes();
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Exchange {
    secret: [u8; 32],
    public: [u8; 32],
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let invalid = || Error::from(PeerMisbehaved::InvalidKeyShare);
        let peer = MontgomeryPoint(<[u8; 32]>::try_from(peer).map_err(|_| invalid())?);
        let shared = peer.mul_clamped(self.secret).to_bytes();
        // A point of small order: no secret at all (RFC 7748 §6.1).
        if shared == [0; 32] {
            Err(invalid())
        } else {
            Ok(SharedSecret::from(&shared[..]))
        }
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}
