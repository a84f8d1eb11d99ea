//! Request ids and stream ids that nobody can guess.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use xtls_stanza::ibb::Sid;

/// 32 symbols, five bits each; none of them is mistaken for another.
const SYMBOLS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// 26 symbols hold 130 random bits.
const LENGTH: usize = 26;

/// Whoever can guess an id can answer in the peer's place: 130 bits from ChaCha20, in `[a-z0-9]`.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Names {
    rng: ChaCha20Rng,
}

impl Names {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            rng: ChaCha20Rng::from_seed(seed),
        }
    }

    /// An id for a request: it starts with a letter, as an XML name would.
    pub(crate) fn request(&mut self) -> String {
        self.name('q')
    }

    /// An id for a stream. `None` cannot happen: the text is a valid NMTOKEN by its making.
    pub(crate) fn sid(&mut self) -> Option<Sid> {
        Sid::new(&self.name('s')).ok()
    }

    fn name(&mut self, first: char) -> String {
        let mut bytes = [0; LENGTH];
        self.rng.fill_bytes(&mut bytes);
        let mut name = String::with_capacity(1 + LENGTH);
        name.push(first);
        name.extend(bytes.iter().filter_map(|b| {
            let symbol = SYMBOLS.get(usize::from(b % 32));
            symbol.map(|&symbol| char::from(symbol))
        }));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_starts_with_a_letter_and_holds_130_bits() {
        let mut names = Names::new([7; 32]);
        for _ in 0..100 {
            let sid = names.sid().unwrap();
            assert!(sid.as_str().starts_with(|c: char| c.is_ascii_lowercase()));
            assert_eq!(sid.as_str().len(), 27);
            assert!(
                sid.as_str()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            );
        }
    }

    #[test]
    fn one_seed_gives_one_row_of_names_and_none_twice() {
        let (mut a, mut b) = (Names::new([1; 32]), Names::new([1; 32]));
        let row: Vec<String> = (0..1000).map(|_| a.request()).collect();
        assert!(row.iter().all(|name| *name == b.request()));
        let set: std::collections::BTreeSet<&String> = row.iter().collect();
        assert_eq!(set.len(), row.len());
    }
}
