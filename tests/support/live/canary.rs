//! Words that must not be seen, and where to look for them.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use memchr::memmem;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use xtls_stanza::base64;

use super::server::Server;

/// A word that appears nowhere else.
#[derive(Debug, Clone)]
pub struct Canary(String);

impl Canary {
    /// The word for a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        Self(format!(
            "canary{:016x}{:016x}",
            random.next_u64(),
            random.next_u64()
        ))
    }

    /// A word that somebody else has chosen.
    pub fn of(word: &str) -> Self {
        Self(word.to_owned())
    }

    /// The word.
    pub fn word(&self) -> &str {
        &self.0
    }

    /// How the word is found in these bytes: raw, and in base64 by its position in a group of three bytes.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&'static str> {
        let raw = ("raw", self.0.clone().into_bytes());
        let coded = ["base64 + 0", "base64 + 1", "base64 + 2"];
        let coded = (0..)
            .zip(coded)
            .map(|(shift, name)| (name, self.in_base64(shift)));
        let needles = std::iter::once(raw).chain(coded);
        needles
            .filter(|(_, needle)| memmem::find(bytes, needle).is_some())
            .map(|(name, _)| name)
            .collect()
    }

    /// The characters of base64 that depend on the word alone, if `shift` bytes precede it.
    fn in_base64(&self, shift: usize) -> Vec<u8> {
        let text = encode(&[&vec![0; shift], self.0.as_bytes()].concat());
        let first = (shift * 8).div_ceil(6);
        let last = (shift + self.0.len()) * 8 / 6;
        text.as_bytes()[first..last].to_vec()
    }
}

/// Base64 as it travels.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    String::from_utf8(text).expect("base64 is ASCII")
}

/// What a server writes to its log from now on: everything that it sees.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    from: u64,
}

impl Log {
    /// Begins here.
    pub fn begin(server: &Server) -> Self {
        let path = server.log_file();
        let from = std::fs::metadata(&path).expect("the server's log").len();
        Self { path, from }
    }

    /// What it has written since.
    pub fn read(&self) -> Vec<u8> {
        let mut file = File::open(&self.path).expect("the server's log");
        file.seek(SeekFrom::Start(self.from))
            .expect("the log only grows");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("the server's log");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_wherever_it_stands() {
        let canary = Canary::new(1);
        for before in 0..50 {
            let plain = [
                "x".repeat(before),
                canary.word().to_owned(),
                "tail".to_owned(),
            ]
            .concat();
            assert_eq!(canary.found_in(plain.as_bytes()), ["raw"]);
            let found = canary.found_in(encode(plain.as_bytes()).as_bytes());
            assert_eq!(found, [format!("base64 + {}", before % 3)]);
        }
    }

    #[test]
    fn another_word_is_not_found() {
        let plain = Canary::new(2).word().to_owned();
        assert!(Canary::new(1).found_in(plain.as_bytes()).is_empty());
        assert!(
            Canary::new(1)
                .found_in(encode(plain.as_bytes()).as_bytes())
                .is_empty()
        );
    }
}
