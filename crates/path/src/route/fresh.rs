//! Salts and names that nobody can guess.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use xtls_stanza::{ibb, s5b};
use zeroize::Zeroizing;

use crate::keys::SALT;

/// Random bytes from a seed: HMAC-SHA-256 of a number that counts them. Far smaller than a generator, and little is needed.
pub(crate) struct Fresh {
    seed: Zeroizing<[u8; 32]>,
    count: u64,
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fresh").finish_non_exhaustive()
    }
}

impl Fresh {
    pub(crate) const fn new(seed: Zeroizing<[u8; 32]>) -> Self {
        Self { seed, count: 0 }
    }

    /// Bytes that were never given before.
    pub(crate) fn salt(&mut self) -> [u8; SALT] {
        self.count += 1;
        let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
        for (to, from) in key.iter_mut().zip(self.seed.iter()) {
            *to = *from;
        }
        let mut mac = Hmac::<Sha256>::new(&key);
        zeroize::Zeroize::zeroize(key.as_mut_slice());
        mac.update(&self.count.to_be_bytes());
        mac.finalize().into_bytes().into()
    }

    /// 128 bits, as a letter and hexadecimal digits.
    fn name(&mut self) -> String {
        let salt = self.salt();
        let digits = salt.iter().take(16).map(|byte| format!("{byte:02x}"));
        std::iter::once("p".to_owned()).chain(digits).collect()
    }

    /// The name of a bytestream at a relay.
    pub(crate) fn relayed(&mut self) -> s5b::Sid {
        loop {
            // Letters and digits fit.
            if let Ok(sid) = s5b::Sid::new(&self.name()) {
                return sid;
            }
        }
    }

    /// The name of an In-Band Bytestream.
    pub(crate) fn in_band(&mut self) -> ibb::Sid {
        loop {
            if let Ok(sid) = ibb::Sid::new(&self.name()) {
                return sid;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_given_twice_and_the_same_seed_gives_the_same() {
        let two = [(); 2].map(|()| Fresh::new(Zeroizing::new([3; 32])));
        let [one, other] = two.map(|mut fresh| (fresh.salt(), fresh.salt(), fresh.in_band()));
        assert_eq!(one, other);
        assert_ne!(one.0, one.1);
        assert_eq!(one.2.as_str().len(), 33);
    }
}
