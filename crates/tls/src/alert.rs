//! The peer's last words.

use std::fmt;

/// A TLS alert that the peer sent (RFC 8446 §6), by its number.
///
/// Until the handshake is finished, an alert may come from anyone in between; it ends the connection nonetheless.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alert(u8);

impl Alert {
    /// `unexpected_message` (RFC 8446 §6.2): a message that has no place here.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);

    /// `handshake_failure` (RFC 8446 §6.2): no acceptable security parameters.
    pub const HANDSHAKE_FAILURE: Self = Self(40);

    /// `decode_error` (RFC 8446 §6.2): a message that cannot be read, or an empty certificate of a server.
    pub const DECODE_ERROR: Self = Self(50);

    /// The peer has judged our key, and does not want to talk to us.
    pub const ACCESS_DENIED: Self = Self(49);

    /// `protocol_version` (RFC 8446 §6.2): no version in common.
    pub const PROTOCOL_VERSION: Self = Self(70);

    /// `user_canceled` (RFC 8446 §6.1): the handshake was given up, through no fault.
    pub const USER_CANCELED: Self = Self(90);

    /// `no_application_protocol` (RFC 7301 §3.2): no ALPN name in common.
    pub const NO_APPLICATION_PROTOCOL: Self = Self(120);

    /// The alert with this number.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self(number)
    }

    /// The number in the TLS registry.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Its name in RFC 8446 §6; `unknown` for numbers that have none.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            60 => "export_restriction",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            111 => "certificate_unobtainable",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            114 => "bad_certificate_hash_value",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            121 => "ech_required",
            _ => "unknown",
        }
    }

    /// Whether it means that the peer refused our certificate or key.
    ///
    /// `decrypt_error` counts: it means that our signature did not fit the key in our certificate.
    #[must_use]
    pub fn refuses_us(self) -> bool {
        matches!(self.0, 41..=46 | 48 | 49 | 51 | 116)
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)?;
        if self.refuses_us() {
            f.write_str(": it does not accept our key")
        } else {
            Ok(())
        }
    }
}

impl fmt::Debug for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Alert({})", self.name())
    }
}
