//! What a server can see of a TLS stream: the headers of its records.

use std::fmt;

/// Follows the records of one direction across chunks.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Bytes of an incomplete record header.
    header: Vec<u8>,
    /// Bytes of the current record that are still missing.
    rest: usize,
}

/// One record, or a part of one, as seen in one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    kind: u8,
    length: usize,
    begins: bool,
}

impl Records {
    /// The parts of records in this chunk.
    pub(crate) fn follow(&mut self, mut chunk: &[u8]) -> Vec<Part> {
        let mut parts = Vec::new();
        if self.rest > 0 && self.header.is_empty() {
            let here = self.rest.min(chunk.len());
            parts.push(Part {
                kind: 0,
                length: here,
                begins: false,
            });
            self.rest -= here;
            chunk = chunk.get(here..).unwrap_or(&[]);
        }
        while let Some((&first, tail)) = chunk.split_first() {
            self.header.push(first);
            chunk = tail;
            if let [kind, _, _, high, low] = *self.header.as_slice() {
                self.header.clear();
                let length = usize::from(u16::from_be_bytes([high, low]));
                parts.push(Part {
                    kind,
                    length,
                    begins: true,
                });
                let here = length.min(chunk.len());
                self.rest = length - here;
                chunk = chunk.get(here..).unwrap_or(&[]);
            }
        }
        parts
    }
}

impl Part {
    /// The bytes of a record of sealed data that begins here.
    pub(crate) fn sealed(self) -> usize {
        if self.begins && self.kind == SEALED {
            self.length
        } else {
            0
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.begins {
            return write!(f, "…{}", self.length);
        }
        let name = match self.kind {
            20 => "ccs",
            21 => "alert",
            22 => "handshake",
            SEALED => "sealed",
            _ => "not TLS",
        };
        write!(f, "{name} {}", self.length)
    }
}

/// The content type of a record whose own one is encrypted (RFC 8446 §5.2).
const SEALED: u8 = 23;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parts: &[Part]) -> String {
        parts
            .iter()
            .map(Part::to_string)
            .collect::<Vec<_>>()
            .join(" + ")
    }

    #[test]
    fn whole_records_are_named() {
        let mut records = Records::default();
        assert_eq!(
            text(&records.follow(b"\x16\x03\x01\x00\x02ab\x17\x03\x03\x00\x01c")),
            "handshake 2 + sealed 1"
        );
    }

    #[test]
    fn a_record_over_three_chunks_is_one() {
        let mut records = Records::default();
        assert_eq!(text(&records.follow(b"\x17\x03")), "");
        assert_eq!(text(&records.follow(b"\x03\x00\x04ab")), "sealed 4");
        assert_eq!(
            text(&records.follow(b"cd\x15\x03\x03\x00\x00")),
            "…2 + alert 0"
        );
    }
}
