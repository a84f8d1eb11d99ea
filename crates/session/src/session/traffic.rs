//! What an application has read and written.

/// What has passed between a session and its application, in bytes of plaintext.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Written by the application: of stanzas the text without routing data, padding included.
    pub written: u64,
    /// Read by the application.
    pub read: u64,
}

impl Traffic {
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes as u64);
    }

    pub(super) fn read(&mut self, bytes: usize) {
        self.read = self.read.saturating_add(bytes as u64);
    }
}
