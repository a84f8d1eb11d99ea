//! Room for what is kept until it is acknowledged.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Octets are copied into blocks, one behind the other. A block is used again when all that lies in it is gone, so that a steady flow
/// allocates nothing.
#[derive(Default)]
pub(super) struct Kept {
    block: Block,
    /// Blocks that are full, and may be empty again. Stanzas are acknowledged in order, so the first is empty first.
    full: VecDeque<Block>,
}

#[derive(Default)]
struct Block {
    /// The room that is left.
    rest: BytesMut,
    size: usize,
}

impl Kept {
    pub(super) fn keep(&mut self, octets: &[u8]) -> Bytes {
        if self.block.rest.capacity() < octets.len() {
            let size = octets.len().saturating_mul(8).clamp(LEAST, MOST);
            self.next_block(size.max(octets.len()));
        }
        self.block.rest.extend_from_slice(octets);
        self.block.rest.split().freeze()
    }

    fn next_block(&mut self, size: usize) {
        let full = std::mem::take(&mut self.block);
        if full.size > 0 {
            self.full.push_back(full);
        }
        let first = self.full.front_mut();
        let again = first.is_some_and(|first| first.rest.try_reclaim(size));
        let again = again.then(|| self.full.pop_front()).flatten();
        self.block = again.unwrap_or_else(|| Block {
            rest: BytesMut::with_capacity(size),
            size,
        });
        while self.size() > SPARE {
            self.full.pop_front();
        }
    }

    /// Bytes of blocks that are full, also of those in which nothing is left.
    fn size(&self) -> usize {
        self.full.iter().map(|block| block.size).sum()
    }

    /// Gives all memory back in which nothing is kept.
    pub(super) fn shrink(&mut self) {
        *self = Self::default();
    }
}

/// The size of a block for short stanzas, and that for long ones.
const LEAST: usize = 4_096;
const MOST: usize = 128 * 1_024;

/// Bytes of full blocks that are kept to be used again. Beyond that they live as long as what lies in them.
const SPARE: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_as_it_was_whatever_follows() {
        let mut kept = Kept::default();
        let pieces: Vec<_> = (0..=200_u8)
            .map(|number| {
                (
                    number,
                    kept.keep(&vec![number; 1 + 97 * usize::from(number)]),
                )
            })
            .collect();
        for (number, piece) in pieces {
            assert_eq!(piece, vec![number; 1 + 97 * usize::from(number)]);
        }
    }

    #[test]
    fn a_block_is_used_again_when_all_in_it_is_gone_and_not_before() {
        let mut kept = Kept::default();
        let mut queue = VecDeque::new();
        let mut blocks = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            queue.push_back(kept.keep(&[1; 1_000]));
            blocks.insert(kept.block.rest.as_ptr() as usize / 16_384);
            if queue.len() > 20 {
                queue.pop_front();
            }
        }
        assert!(queue.iter().all(|piece| piece == &[1; 1_000][..]));
        assert!(blocks.len() < 20, "{} places", blocks.len());
    }

    #[test]
    fn blocks_that_nobody_gives_back_are_not_held() {
        let mut kept = Kept::default();
        let pieces: Vec<_> = (0..100).map(|_| kept.keep(&[1; 65_536])).collect();
        assert!(kept.size() <= SPARE, "{}", kept.size());
        drop(pieces);
        kept.shrink();
        assert_eq!((kept.size(), kept.block.size), (0, 0));
    }
}
