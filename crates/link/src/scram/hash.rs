//! The hash functions of SCRAM, and what it makes of them (RFC 5802 §2.2). What comes out is wiped when it is dropped.

use hmac::digest::{Digest, Key};
use hmac::{EagerHash, Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use zeroize::{Zeroize as _, Zeroizing};

/// A hash function; the weakest is the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    /// `H()`.
    pub(super) fn digest(self, text: &[u8]) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Sha1 => digest::<Sha1>(text),
            Self::Sha256 => digest::<Sha256>(text),
            Self::Sha512 => digest::<Sha512>(text),
        }
    }

    /// `HMAC()`.
    pub(super) fn hmac(self, key: &[u8], text: &[u8]) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Sha1 => hmac::<Sha1>(key, text),
            Self::Sha256 => hmac::<Sha256>(key, text),
            Self::Sha512 => hmac::<Sha512>(key, text),
        }
    }

    /// `Hi()`, which is PBKDF2 for as many bytes as the hash has.
    pub(super) fn hi(self, password: &[u8], salt: &[u8], rounds: u32) -> Zeroizing<Vec<u8>> {
        match self {
            Self::Sha1 => hi::<Sha1>(password, salt, rounds),
            Self::Sha256 => hi::<Sha256>(password, salt, rounds),
            Self::Sha512 => hi::<Sha512>(password, salt, rounds),
        }
    }
}

fn digest<D: Digest>(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut hash = D::digest(text);
    let kept = Zeroizing::new(hash.to_vec());
    hash.as_mut_slice().zeroize();
    kept
}

fn hmac<D: EagerHash + Digest>(key: &[u8], text: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut mac = keyed::<D>(key).chain_update(text).finalize().into_bytes();
    let kept = Zeroizing::new(mac.to_vec());
    mac.as_mut_slice().zeroize();
    kept
}

fn hi<D: EagerHash + Digest>(password: &[u8], salt: &[u8], rounds: u32) -> Zeroizing<Vec<u8>> {
    // Hashed once; each round begins with a copy of the state.
    let keyed = keyed::<D>(password);
    let first = keyed.clone().chain_update(salt);
    let mut last = first
        .chain_update(1_u32.to_be_bytes())
        .finalize()
        .into_bytes();
    let mut sum = Zeroizing::new(last.to_vec());
    for _ in 1..rounds {
        last = keyed.clone().chain_update(&last).finalize().into_bytes();
        for (sum, last) in sum.iter_mut().zip(&last) {
            *sum ^= last;
        }
    }
    last.as_mut_slice().zeroize();
    sum
}

/// HMAC with a key of any length, which becomes a block as RFC 2104 §2 says. Unlike `new_from_slice` it can't fail.
fn keyed<D: EagerHash + Digest>(key: &[u8]) -> Hmac<D> {
    let mut block = Key::<Hmac<D>>::default();
    let hashed;
    let key = if key.len() > block.len() {
        hashed = digest::<D>(key);
        hashed.as_slice()
    } else {
        key
    };
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let keyed = Hmac::new(&block);
    block.as_mut_slice().zeroize();
    keyed
}
