//! TLS records from outside: their sizes, and their kinds.

/// Fewest plaintext bytes in a full record.
pub const MIN_RECORD: usize = 27;

/// Most plaintext bytes in a record (RFC 8446 §5.1).
pub const MAX_RECORD: usize = 16_384;

/// What a record adds to its plaintext on the wire: 5 bytes of header, 1 of type, 16 of authentication.
pub const RECORD_OVERHEAD: usize = 22;

/// The kind of record that holds an alert in plaintext (RFC 8446 §5.1).
pub(crate) const ALERT: u8 = 0x15;
/// The kind of every record under keys.
pub(crate) const PROTECTED: u8 = 0x17;

/// The kind of the last record in `wire`.
pub(crate) fn last_record(mut wire: &[u8]) -> Option<u8> {
    let mut last = None;
    while let [kind, _, _, high, low, rest @ ..] = wire {
        last = Some(*kind);
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        wire = rest.get(len..).unwrap_or_default();
    }
    last
}
