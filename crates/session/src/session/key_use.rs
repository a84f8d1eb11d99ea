//! How much the present keys have been used.

/// What the present keys have done, and whether the owner knows that they are old.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct KeyUse {
    /// Bytes in both directions.
    bytes: u64,
    age: Age,
}

#[derive(Debug, Clone, Copy, Default)]
enum Age {
    #[default]
    Serving,
    Reported,
}

impl KeyUse {
    /// So many bytes more; whether the keys have served for `limit` bytes.
    pub(super) fn count(&mut self, bytes: usize, limit: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.bytes >= limit
    }

    /// New keys begin.
    pub(super) fn renew(&mut self) {
        *self = Self::default();
    }

    /// The owner learns that the keys are old. It learns it once.
    pub(super) fn report(&mut self) {
        self.age = Age::Reported;
    }

    pub(super) fn is_reported(self) -> bool {
        matches!(self.age, Age::Reported)
    }
}
