//! Bytes of which each tells its place, written and checked.

use sha2::{Digest as _, Sha256};
use std::fmt;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// A place in an endless row of bytes that does not repeat itself, and what came before it.
pub(crate) struct Pattern {
    seed: u64,
    at: u64,
    hash: Sha256,
}

/// A length and a hash.
#[derive(PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) length: u64,
    hash: [u8; 32],
}

impl Pattern {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            at: 0,
            hash: Sha256::new(),
        }
    }

    /// The next bytes of it.
    pub(crate) fn next(&mut self, length: usize) -> Vec<u8> {
        let bytes: Vec<u8> = (self.at..).take(length).map(|at| self.byte(at)).collect();
        self.hash.update(&bytes);
        self.at += length as u64;
        bytes
    }

    /// Takes bytes that must be the next ones.
    fn check(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let at = self.at;
            assert_eq!(byte, self.byte(at), "byte {at} of what was sent");
            self.at += 1;
        }
        self.hash.update(bytes);
    }

    fn byte(&self, at: u64) -> u8 {
        let word = mixed(self.seed ^ (at / 8));
        word.to_be_bytes()[(at % 8) as usize]
    }

    pub(crate) fn sum(self) -> Sum {
        Sum {
            length: self.at,
            hash: self.hash.finalize().into(),
        }
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.hash;
        write!(f, "{} bytes, {a:02x}{b:02x}{c:02x}{d:02x}…", self.length)
    }
}

/// Writes the pattern until `enough` says so, and then its end. `Err`: the tunnel ended before.
pub(crate) async fn write<W: AsyncWrite + Unpin>(
    mut to: W,
    seed: u64,
    enough: impl Fn() -> bool,
) -> Result<Sum, Sum> {
    let (mut pattern, mut lots) = (Pattern::new(seed), Lots::new(seed));
    while !enough() {
        let bytes = pattern.next(lots.below(16_384) as usize + 1);
        if to.write_all(&bytes).await.is_err() {
            return Err(pattern.sum());
        }
    }
    match to.shutdown().await {
        Ok(()) => Ok(pattern.sum()),
        Err(_) => Err(pattern.sum()),
    }
}

/// Reads the pattern up to its end. `Err`: the tunnel ended before, and what came until then was right.
pub(crate) async fn read<R: AsyncRead + Unpin>(mut from: R, seed: u64) -> Result<Sum, Sum> {
    let (mut pattern, mut buffer) = (Pattern::new(seed), vec![0; 65_536]);
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => return Ok(pattern.sum()),
            Ok(read) => pattern.check(&buffer[..read]),
            Err(_) => return Err(pattern.sum()),
        }
    }
}

/// Lots that a seed has drawn.
pub(crate) struct Lots(u64);

impl Lots {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mixed(seed))
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0) % bound
    }
}

/// SplitMix64.
fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// The seed of a run: `XTLS_SEED`, or another one each time. It is printed.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("XTLS_SEED") {
        Ok(seed) => seed.parse().expect("XTLS_SEED is a number"),
        Err(_) => u64::from(rand()),
    };
    println!("XTLS_SEED={seed}");
    seed
}

fn rand() -> u32 {
    use std::hash::{BuildHasher as _, RandomState};

    (RandomState::new().hash_one(0) >> 32) as u32
}
