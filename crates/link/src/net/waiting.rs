//! Stanzas that wait for a connection.

use bytes::Bytes;

/// What was sent while there was no connection, in order.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    octets: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.octets.len() < MAX_BYTES && self.ends.len() < MAX_STANZAS
    }

    /// Takes one stanza, which `write` appends.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.octets.len();
        write(&mut self.octets);
        if self.octets.len() > before {
            self.ends.push(self.octets.len());
        }
    }

    /// All of them, stanza by stanza.
    pub(super) fn into_stanzas(self) -> impl Iterator<Item = Bytes> {
        let octets = Bytes::from(self.octets);
        let mut start = 0;
        self.ends.into_iter().map(move |end| {
            let stanza = octets.slice(start..end);
            start = end;
            stanza
        })
    }
}

/// Bytes that wait. Beyond them there is no room.
const MAX_BYTES: usize = 1024 * 1024;

/// Stanzas that wait.
const MAX_STANZAS: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_room_beyond_the_limits() {
        let mut waiting = Waiting::default();
        for _ in 0..MAX_STANZAS {
            assert!(waiting.has_room());
            waiting.push(|out| out.extend_from_slice(b"<iq/>"));
        }
        assert!(!waiting.has_room());
        let mut waiting = Waiting::default();
        waiting.push(|out| out.resize(MAX_BYTES, b' '));
        assert!(!waiting.has_room());
    }

    #[test]
    fn stanzas_come_out_one_by_one() {
        let mut waiting = Waiting::default();
        for stanza in ["<iq/>", "", "<message/>"] {
            waiting.push(|out| out.extend_from_slice(stanza.as_bytes()));
        }
        let all: Vec<_> = std::mem::take(&mut waiting).into_stanzas().collect();
        assert_eq!(all, ["<iq/>", "<message/>"]);
        assert!(waiting.is_empty() && waiting.has_room());
    }
}
