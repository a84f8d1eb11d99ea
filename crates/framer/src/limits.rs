/// How large one stanza may be.
///
/// Both limits are checked while the stanza arrives, so an unfinished stanza never makes the framer
/// hold more than the limit plus the push that exceeded it. RFC 6120 §13.12 leaves such limits
/// to the receiver (and requires servers to allow at least 10 000 bytes).
///
/// ```
/// let limits = xtls_framer::Limits::default().max_len(65_536).max_depth(16);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) max_len: usize,
    pub(crate) max_depth: u32,
}

impl Limits {
    /// Bytes of one stanza, from its `<` to its last `>`. Default 262 144, the size that stock
    /// servers allow.
    #[must_use]
    pub const fn max_len(mut self, bytes: usize) -> Self {
        self.max_len = bytes;
        self
    }

    /// Depth of nested elements, counting the stanza itself. Default 64, the same as the strict
    /// reader's.
    #[must_use]
    pub const fn max_depth(mut self, elements: u32) -> Self {
        self.max_depth = elements;
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_len: 262_144,
            max_depth: 64,
        }
    }
}
