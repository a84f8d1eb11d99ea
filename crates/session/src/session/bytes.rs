//! Bytes that have come out of the tunnel.

use bytes::{Bytes, BytesMut};

/// Decrypted bytes that the application has not read.
#[derive(Debug)]
pub(super) struct ByteReader {
    plain: BytesMut,
}

/// What stands where the confirmation is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmation {
    Given,
    Missing,
    Wrong(u8),
}

impl ByteReader {
    pub(super) fn new(plain: BytesMut) -> Self {
        Self { plain }
    }

    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.plain
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// Bytes are handed out as they are, so that more than a record is of no use.
    pub(super) fn wants_more(&self, backlog: usize) -> bool {
        self.plain.len() < backlog.min(xtls_tls::MAX_RECORD)
    }

    /// Takes the responder's confirmation out: one space.
    pub(super) fn take_confirmation(&mut self) -> Confirmation {
        match self.plain.first() {
            Some(b' ') => {
                drop(self.plain.split_to(1));
                Confirmation::Given
            }
            Some(&other) => Confirmation::Wrong(other),
            None => Confirmation::Missing,
        }
    }

    pub(super) fn read(&mut self, max: usize) -> Option<Bytes> {
        let length = self.plain.len().min(max);
        (length > 0).then(|| self.plain.split_to(length).freeze())
    }

    pub(super) fn release(&mut self) {
        if self.plain.is_empty() {
            self.plain = BytesMut::new();
        }
    }
}
