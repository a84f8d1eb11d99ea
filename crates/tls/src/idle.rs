//! Records that bring no data: new keys, for one. A few in a row are lawful, and without end they only keep us busy.

/// Follows the borders of records in the wire, and counts those without data in a row.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Idle {
    header: [u8; HEADER],
    /// Bytes of the header that have come.
    have: usize,
    /// Bytes of the record that are still to come.
    left: usize,
    in_a_row: u32,
}

impl Idle {
    /// How many bytes of `wire` belong to the record under way; all that there are, or up to its end.
    pub(crate) fn piece(&self, wire: &[u8]) -> usize {
        if self.left > 0 {
            return wire.len().min(self.left);
        }
        let mut after = *self;
        let head = wire.len().min(HEADER.saturating_sub(self.have));
        after.begin(wire.get(..head).unwrap_or_default());
        wire.len().min(head.saturating_add(after.left))
    }

    /// Such a piece was read; whether a record has ended with it.
    pub(crate) fn read(&mut self, piece: &[u8]) -> bool {
        let head = if self.left > 0 {
            0
        } else {
            piece.len().min(HEADER.saturating_sub(self.have))
        };
        let (head, body) = piece.split_at_checked(head).unwrap_or((piece, &[]));
        self.begin(head);
        self.left = self.left.saturating_sub(body.len());
        let ended = self.have == HEADER && self.left == 0;
        if ended {
            self.have = 0;
        }
        ended
    }

    /// Bytes of a header have come.
    fn begin(&mut self, head: &[u8]) {
        let free = self.header.iter_mut().skip(self.have);
        for (at, byte) in free.zip(head) {
            *at = *byte;
        }
        self.have = self.have.saturating_add(head.len());
        if self.have == HEADER && !head.is_empty() {
            let [.., high, low] = self.header;
            self.left = usize::from(u16::from_be_bytes([high, low]));
        }
    }

    /// A record has ended, with data in it or without; whether that was one too many.
    pub(crate) fn ended(&mut self, data: bool) -> bool {
        self.in_a_row = if data {
            0
        } else {
            self.in_a_row.saturating_add(1)
        };
        self.in_a_row > MOST_IDLE
    }
}

/// Type, version and length.
const HEADER: usize = 5;

/// Records without data in a row that are taken. rustls gives up one later, and has no word for the peer then.
pub(crate) const MOST_IDLE: u32 = 31;

#[cfg(test)]
mod tests {
    use super::*;

    /// Three records of 0, 1 and 300 bytes.
    fn wire() -> Vec<u8> {
        let mut wire = vec![23, 3, 3, 0, 0, 23, 3, 3, 0, 1, 7, 23, 3, 3, 1, 44];
        wire.extend([9; 300]);
        wire
    }

    #[test]
    fn borders_are_found_in_any_cutting() {
        for cut in [1, 2, 4, 5, 6, 7, 1000] {
            let (mut idle, mut at, mut borders) = (Idle::default(), 0, Vec::new());
            let wire = wire();
            for chunk in wire.chunks(cut) {
                let mut rest = chunk;
                while !rest.is_empty() {
                    let piece = idle.piece(rest);
                    assert!(piece > 0, "{cut}");
                    at += piece;
                    if idle.read(&rest[..piece]) {
                        borders.push(at);
                    }
                    rest = &rest[piece..];
                }
            }
            assert_eq!(borders, [5, 11, 316], "{cut}");
        }
    }

    #[test]
    fn so_many_are_taken_and_data_makes_the_count_begin_anew() {
        let mut idle = Idle::default();
        for _ in 0..2 {
            assert!((0..MOST_IDLE).all(|_| !idle.ended(false)));
            assert!(!idle.ended(true));
        }
        assert!((0..MOST_IDLE).all(|_| !idle.ended(false)));
        assert!(idle.ended(false));
    }
}
