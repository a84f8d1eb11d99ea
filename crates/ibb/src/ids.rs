//! Request ids and stream ids that no one can guess.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use xtls_stanza::ibb::Sid;

/// 64 symbols, six bits each, all of them allowed in an NMTOKEN; the first 32 are letters.
const SYMBOLS: &[u8; 64] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789l-_";
/// How many of them a id may begin with, as an XML id would.
const LETTERS: u8 = 32;
/// One symbol of five bits and 16 of six hold 101 random bits.
const LENGTH: usize = 17;

/// An id in the place where it is kept, because there is one for every chunk that is under way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id([u8; LENGTH]);

impl Id {
    pub(crate) fn as_str(&self) -> &str {
        // It is made of symbols, which are ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether an answer bears it.
    pub(crate) fn is(&self, id: &str) -> bool {
        self.0 == id.as_bytes()
    }
}

/// An attacker that can guess an id can answer in the peer's place. 101 bits from ChaCha20 are out of reach when they have
/// to be tried one request at a time, and every stanza carries one or two such ids.
#[cfg_attr(test, derive(Clone))]
pub(crate) struct Ids {
    rng: ChaCha20Rng,
}

impl Ids {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            rng: ChaCha20Rng::from_seed(seed),
        }
    }

    /// An id for a request.
    pub(crate) fn request(&mut self) -> Id {
        let mut bytes = [0; LENGTH];
        self.rng.fill_bytes(&mut bytes);
        let mut count = LETTERS;
        Id(bytes.map(|byte| {
            let of = std::mem::replace(&mut count, 64);
            SYMBOLS.get(usize::from(byte % of)).copied().unwrap_or(b'_')
        }))
    }

    /// An id for a stream. `None` cannot happen: the text is a valid NMTOKEN by its making.
    pub(crate) fn sid(&mut self) -> Option<Sid> {
        Sid::new(self.request().as_str()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_17_characters_of_a_name_token_and_begins_with_a_letter() {
        let mut ids = Ids::new([7; 32]);
        for _ in 0..1000 {
            let sid = ids.sid().unwrap();
            assert!(sid.as_str().starts_with(|c: char| c.is_ascii_alphabetic()));
            assert_eq!(sid.as_str().len(), 17);
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            assert!(sid.as_str().bytes().all(fits));
        }
    }

    #[test]
    fn it_holds_101_random_bits() {
        let (mut ids, mut seen) = (Ids::new([9; 32]), vec![[0_u32; 256]; LENGTH]);
        for _ in 0..20_000 {
            for (place, byte) in ids.request().as_str().bytes().enumerate() {
                seen[place][usize::from(byte)] += 1;
            }
        }
        let mut bits = 0.0;
        for (place, counts) in seen.iter().enumerate() {
            let symbols = if place == 0 { 32 } else { 64 };
            let found: Vec<u32> = counts.iter().copied().filter(|count| *count > 0).collect();
            assert_eq!(found.len(), symbols);
            // None is preferred: each comes as often as chance has it, give or take five times the usual distance.
            let (mean, distance) = (
                20_000.0 / symbols as f64,
                (20_000.0 / symbols as f64).sqrt(),
            );
            let fair = |count: &u32| (f64::from(*count) - mean).abs() < 5.0 * distance;
            assert!(found.iter().all(fair), "place {place}: {found:?}");
            bits += (symbols as f64).log2();
        }
        assert_eq!(bits, 101.0);
    }

    #[test]
    fn one_seed_gives_one_row_of_names_and_none_twice() {
        let (mut a, mut b) = (Ids::new([1; 32]), Ids::new([1; 32]));
        let row: Vec<Id> = (0..1000).map(|_| a.request()).collect();
        assert!(row.iter().all(|id| b.request().is(id.as_str())));
        let set: std::collections::BTreeSet<&str> = row.iter().map(Id::as_str).collect();
        assert_eq!(set.len(), row.len());
    }
}
