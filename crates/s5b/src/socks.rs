//! What both sides of SOCKS5 (RFC 1928) share.

use std::time::Duration;

use crate::destination::{Destination, LENGTH};

pub(crate) const VERSION: u8 = 5;
pub(crate) const NO_AUTHENTICATION: u8 = 0;
pub(crate) const NO_METHOD: u8 = 0xff;
pub(crate) const CONNECT: u8 = 1;
pub(crate) const SUCCEEDED: u8 = 0;
pub(crate) const NOT_ALLOWED: u8 = 2;
pub(crate) const COMMAND_UNKNOWN: u8 = 7;
pub(crate) const KIND_UNKNOWN: u8 = 8;
pub(crate) const IPV4: u8 = 1;
pub(crate) const NAME: u8 = 3;
pub(crate) const IPV6: u8 = 4;

/// How long the other side may take for one step.
pub(crate) const STEP: Duration = Duration::from_secs(5);

/// Why SOCKS5 has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocksError {
    /// Another protocol, or another version.
    #[error("the other side does not speak SOCKS5 (it sent version 0x{0:02x})")]
    Version(u8),
    /// The relay wants a password, or the client offers nothing else.
    #[error("the other side does not go on without authentication (SOCKS5 method 0x{0:02x})")]
    Method(u8),
    /// The relay refuses the request.
    #[error("the relay refused the SOCKS5 request with code {0} (RFC 1928 §6)")]
    Refused(u8),
    /// A kind of address that RFC 1928 doesn't define.
    #[error("the other side sent a SOCKS5 address of unknown kind {0}")]
    Kind(u8),
    /// The client asks for something else than a connection.
    #[error("the client sent the SOCKS5 command {0}, and only CONNECT (1) has a meaning here")]
    Command(u8),
    /// The client asks for a host that is no hash, or a port other than 0.
    #[error("the client asked for what is no bytestream (XEP-0065 §5.3.2)")]
    Destination,
    /// You have refused it.
    #[error("nobody here expects this bytestream")]
    Unexpected,
    /// Bytes came before it was the other side's turn.
    #[error("the other side sent bytes before it was its turn in SOCKS5")]
    Early,
    /// The connection has ended.
    #[error("the other side closed the connection during SOCKS5")]
    Ended,
    /// A step took longer than 5 s.
    #[error("the other side took longer than {} s for a step of SOCKS5", STEP.as_secs())]
    Timeout,
}

/// A request, or its answer: the destination as a name, port 0.
pub(crate) fn message(code: u8, destination: &Destination) -> Vec<u8> {
    // 40, which fits.
    let length = u8::try_from(LENGTH).unwrap_or_default();
    let mut bytes = vec![VERSION, code, 0, NAME, length];
    bytes.extend_from_slice(destination.as_bytes());
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

/// How many bytes of a request or reply are known to come, of which these have. Five say all.
pub(crate) fn length(have: &[u8]) -> Result<usize, SocksError> {
    match have {
        [_, _, _, IPV4, ..] => Ok(10),
        [_, _, _, IPV6, ..] => Ok(22),
        [_, _, _, NAME, length, ..] => Ok(7 + usize::from(*length)),
        [_, _, _, NAME] => Ok(5),
        [_, _, _, kind, ..] => Err(SocksError::Kind(*kind)),
        _ => Ok(4),
    }
}
