//! Which side of the handshake an end takes.

/// Which side of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Speaks first: the initiator of the byte stream.
    Client,
    /// Answers.
    Server,
}
