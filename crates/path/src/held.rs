//! What has come in order and was not yet read.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// The least that a block holds.
const BLOCK: usize = 4_096;

#[derive(Debug, Default)]
pub(crate) struct Held {
    blocks: VecDeque<BytesMut>,
    len: usize,
    /// What has been read.
    got: u64,
}

impl Held {
    /// So much has been read already.
    pub(crate) fn new(got: u64) -> Self {
        Self {
            got,
            ..Self::default()
        }
    }

    /// Bytes are read as they come: they pass, if nothing is before them.
    pub(crate) fn pass(&mut self, bytes: Bytes) -> Option<Bytes> {
        if self.len > 0 {
            self.push(&bytes);
            return self.read(bytes.len());
        }
        self.got += bytes.len() as u64;
        Some(bytes)
    }

    /// Copies `bytes` behind what is there. It is the only copy on the way in.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        let mut rest = bytes;
        if let Some(last) = self.blocks.back_mut() {
            let fits = (last.capacity() - last.len()).min(rest.len());
            let (first, more) = rest.split_at(fits);
            last.extend_from_slice(first);
            rest = more;
        }
        if !rest.is_empty() {
            let mut block = BytesMut::with_capacity(rest.len().max(BLOCK));
            block.extend_from_slice(rest);
            self.blocks.push_back(block);
        }
    }

    /// The next bytes, at most `max`; `None` if there are none.
    pub(crate) fn read(&mut self, max: usize) -> Option<Bytes> {
        let front = self.blocks.front_mut()?;
        let bytes = front.split_to(front.len().min(max)).freeze();
        if front.is_empty() {
            self.blocks.pop_front();
        }
        if bytes.is_empty() {
            return None;
        }
        self.len -= bytes.len();
        self.got += bytes.len() as u64;
        if self.len == 0 {
            // An idle wire holds no buffer.
            self.blocks = VecDeque::new();
        }
        Some(bytes)
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// What has been read.
    pub(crate) const fn got(&self) -> u64 {
        self.got
    }

    /// What has come, read or not.
    pub(crate) const fn arrived(&self) -> u64 {
        self.got + self.len as u64
    }
}
