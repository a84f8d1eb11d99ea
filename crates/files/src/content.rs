//! What is in a file, on its way: blocks, compressed where that helps, runs of zeros as numbers, and the hash of it all.

use std::fmt;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::fault::Fault;

/// A SHA-256 (`sha-256` in XEP-0300).
pub type Hash = [u8; 32];

/// A piece of a file. `Debug` shows how long it is, and nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Block {
    /// The bytes themselves: 1 to [`PIECE`].
    Raw(Bytes),
    /// A Zstandard frame (RFC 8878) that stands alone.
    Packed {
        /// Bytes that it gives, at most [`MAX_UNPACKED`].
        size: u32,
        /// The frame.
        bytes: Bytes,
    },
    /// So many bytes of zero.
    Hole(u64),
}

impl Block {
    /// Bytes of the file that this stands for.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Raw(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Packed { size, .. } => (*size).into(),
            Self::Hole(length) => *length,
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Raw(_) => "Raw",
            Self::Packed { .. } => "Packed",
            Self::Hole(_) => "Hole",
        };
        f.debug_tuple(name).field(&self.size()).finish()
    }
}

/// The hash of a file, from its beginning on.
#[derive(Debug, Clone, Default)]
pub struct Hasher {
    sha: Sha256,
}

impl Hasher {
    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.sha.update(bytes);
    }

    /// Adds so many bytes of zero.
    pub fn add_zeros(&mut self, length: u64) {
        let mut left = length;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            self.sha.update(ZEROS.get(..now).unwrap_or_default());
            left = left.saturating_sub(u64::try_from(now).unwrap_or(u64::MAX));
        }
    }

    /// The hash of what was added so far; more may follow.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.sha.clone().finalize().into()
    }
}

/// Makes blocks of pieces.
#[derive(Default)]
pub struct Packer {
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::bulk::Compressor<'static>>,
    /// Pieces that go as they are before the next try.
    raw: u32,
}

impl fmt::Debug for Packer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    /// Another file begins, which may be of another kind.
    pub fn next_file(&mut self) {
        self.raw = 0;
    }

    /// A block for 1 to [`PIECE`] bytes; `packed`: the receiver can read compressed ones.
    pub fn pack(&mut self, piece: &[u8], packed: bool) -> Block {
        if is_zero(piece) {
            return Block::Hole(u64::try_from(piece.len()).unwrap_or(u64::MAX));
        }
        if packed && self.raw == 0 {
            if let Some(block) = self.try_to_pack(piece) {
                return block;
            }
            self.raw = TRY_AGAIN;
        }
        self.raw = self.raw.saturating_sub(1);
        Block::Raw(Bytes::copy_from_slice(piece))
    }

    /// `None`: it saves less than an eighth.
    #[cfg(feature = "zstd")]
    fn try_to_pack(&mut self, piece: &[u8]) -> Option<Block> {
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        let most = piece.len() - piece.len() / 8;
        // One that does not fit is an error.
        let mut bytes = Vec::with_capacity(most);
        self.zstd
            .as_mut()?
            .compress_to_buffer(piece, &mut bytes)
            .ok()?;
        let size = u32::try_from(piece.len()).ok()?;
        let bytes = Bytes::from(bytes);
        Some(Block::Packed { size, bytes })
    }

    #[cfg(not(feature = "zstd"))]
    fn try_to_pack(&mut self, _: &[u8]) -> Option<Block> {
        None
    }
}

/// Whether there is nothing but zeros, and something.
fn is_zero(piece: &[u8]) -> bool {
    let (Some((first, rest)), Some((_, but_last))) = (piece.split_first(), piece.split_last())
    else {
        return false;
    };
    // Each byte is the one before it: one comparison of memory with itself.
    *first == 0 && rest == but_last
}

/// Gives the bytes of compressed blocks.
#[derive(Default)]
pub struct Unpacker {
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    #[cfg(feature = "zstd")]
    bytes: Vec<u8>,
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

impl Unpacker {
    /// The `size` bytes of a [`Block::Packed`]. No more memory is used than these need, whatever the frame says of itself.
    #[cfg(feature = "zstd")]
    pub fn unpack(&mut self, size: u32, frame: &[u8]) -> Result<&[u8], Fault> {
        let wrong = Fault::Unpacking(size);
        let Some(wanted) = usize::try_from(size)
            .ok()
            .filter(|size| (1..=MAX_UNPACKED).contains(size))
        else {
            return Err(wrong);
        };
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Decompressor::new().ok();
        }
        let Some(zstd) = &mut self.zstd else {
            return Err(wrong);
        };
        self.bytes.clear();
        // Room for one byte more, so that a frame that gives more than it should is told from one that is right.
        self.bytes.reserve_exact(wanted);
        match zstd.decompress_to_buffer(frame, &mut self.bytes) {
            Ok(got) if got == wanted => Ok(&self.bytes),
            _ => Err(wrong),
        }
    }

    /// Without the feature `zstd` no block is compressed.
    #[cfg(not(feature = "zstd"))]
    pub fn unpack(&mut self, _: u32, _: &[u8]) -> Result<&[u8], Fault> {
        Err(Fault::NotAsked)
    }
}

/// Bytes of a file in one block as they are.
pub const PIECE: usize = 65_536;

/// Bytes that a compressed block may give.
pub const MAX_UNPACKED: usize = 262_144;

/// Pieces that go as they are after one that could not be made smaller: a try costs as much as a hundred copies.
const TRY_AGAIN: u32 = 32;

/// How hard it is tried to make pieces small: the fastest of zstd's levels, which is nearly as good as others on 64 KiB.
#[cfg(feature = "zstd")]
const LEVEL: i32 = 1;

const ZEROS: &[u8] = &[0; 16_384];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_what_is_in_a_file() {
        let (bytes, size) = (Bytes::from_static(b"secret"), 9);
        let blocks = [
            Block::Raw(bytes.clone()),
            Block::Packed { size, bytes },
            Block::Hole(7),
        ];
        assert_eq!(format!("{blocks:?}"), "[Raw(6), Packed(9), Hole(7)]");
    }

    #[test]
    fn zeros_are_told_from_what_only_begins_and_ends_with_them() {
        assert!(!is_zero(&[]));
        assert!(is_zero(&[0]) && is_zero(&[0; 70_000]));
        assert!(!is_zero(&[1]) && !is_zero(&[7; 9]) && !is_zero(&[0, 1, 0]));
    }

    #[test]
    fn a_hash_of_zeros_is_the_hash_of_as_many_bytes() {
        for length in [0, 1, 16_383, 16_384, 16_385, 100_000] {
            let (mut one, mut other) = (Hasher::default(), Hasher::default());
            one.add_zeros(length);
            other.add(&vec![0; usize::try_from(length).unwrap()]);
            assert_eq!(one.hash(), other.hash());
        }
    }

    #[cfg(feature = "zstd")]
    mod packed {
        use super::*;

        fn packed(content: &[u8]) -> Bytes {
            Bytes::from(zstd::bulk::compress(content, 1).unwrap())
        }

        #[test]
        fn a_frame_that_gives_more_or_less_than_it_says_is_refused() {
            let mut unpacker = Unpacker::default();
            let frame = packed(&[7; 1_000]);
            for size in [0, 1, 999, 1_001, u32::MAX] {
                assert_eq!(unpacker.unpack(size, &frame), Err(Fault::Unpacking(size)));
            }
            assert_eq!(unpacker.unpack(1_000, &frame), Ok(&[7; 1_000][..]));
        }

        #[test]
        fn a_bomb_is_refused_without_its_memory() {
            let bomb = packed(&vec![0; 50_000_000]);
            assert!(bomb.len() < PIECE);
            let mut unpacker = Unpacker::default();
            for size in [50_000_000, 262_145, 262_144, 1] {
                assert_eq!(unpacker.unpack(size, &bomb), Err(Fault::Unpacking(size)));
            }
            assert!(unpacker.bytes.capacity() <= MAX_UNPACKED);
        }

        #[test]
        fn what_is_no_frame_is_refused() {
            let mut unpacker = Unpacker::default();
            let frame = packed(b"content content content content");
            for frame in [&b""[..], b"nonsense", &frame[..frame.len() - 1]] {
                assert!(unpacker.unpack(31, frame).is_err());
            }
        }

        #[test]
        fn what_gets_no_smaller_goes_as_it_is_and_is_not_tried_each_time() {
            let mut packer = Packer::default();
            let text = b"all work and no play ".repeat(3_000);
            assert!(matches!(packer.pack(&text, true), Block::Packed { .. }));
            assert!(matches!(packer.pack(&text, false), Block::Raw(_)));
            let mut hasher = Hasher::default();
            let noise: Vec<u8> = (0..2_000)
                .flat_map(|_| {
                    hasher.add(b"x");
                    hasher.hash()
                })
                .collect();
            assert!(matches!(packer.pack(&noise, true), Block::Raw(_)));
            for _ in 1..TRY_AGAIN {
                assert!(matches!(packer.pack(&text, true), Block::Raw(_)));
            }
            assert!(matches!(packer.pack(&text, true), Block::Packed { .. }));
            packer.pack(&noise, true);
            packer.next_file();
            let Block::Packed { size, bytes } = packer.pack(&text, true) else {
                panic!("not packed");
            };
            assert_eq!(Unpacker::default().unpack(size, &bytes), Ok(&text[..]));
        }
    }
}
