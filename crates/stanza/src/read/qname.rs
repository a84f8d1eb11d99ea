//! Names with a prefix.

/// A name with an optional prefix (Namespaces in XML 1.0 §4, production 7).
#[derive(Clone, Copy, Default)]
pub(crate) struct QName<'a> {
    /// As written.
    pub(crate) raw: &'a str,
    /// Where the part after the colon begins; 0 without one.
    pub(super) local_at: usize,
}

impl<'a> QName<'a> {
    /// Without the prefix.
    #[inline]
    pub(crate) fn local(&self) -> &'a str {
        self.raw.get(self.local_at..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn prefix(&self) -> Option<&'a str> {
        self.raw.get(..self.local_at.checked_sub(1)?)
    }
}
