//! Alerts after the handshake: for a peer that its owner turns away, and for one that only keeps us busy.
//!
//! rustls sends alerts for the faults that it finds itself, and cannot be asked for another one. So we take the keys of our
//! direction from it (`enable_secret_extraction`), and the cipher suite that made all other records makes one last record with
//! them. The connection is over then.

use std::io::Write as _;

use rustls::{
    Connection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
    crypto::cipher::{OutboundChunks, OutboundPlainMessage},
};

use crate::alert::Alert;

/// The level of every alert but `close_notify` and `user_canceled` (RFC 8446 §6).
const FATAL: u8 = 2;

/// The record with this alert, which is the last of this connection; nothing if it has no keys of its own any more.
///
/// All that rustls had to send has to be taken before.
pub(crate) fn last_word(mut connection: Connection, alert: Alert) -> Option<Vec<u8>> {
    let mut wire = Vec::new();
    // Asked for new keys, rustls announces them with its next write, even an empty one, and uses them already.
    let nothing = connection.writer().write(b"").ok()?;
    debug_assert_eq!(nothing, 0, "there was nothing to write");
    while connection.wants_write() {
        connection.write_tls(&mut wire).ok()?;
    }
    let suite = connection.negotiated_cipher_suite()?.tls13()?;
    let (sequence, secrets) = connection.dangerous_extract_secrets().ok()?.tx;
    let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
    else {
        return None;
    };
    let alert = [FATAL, alert.number()];
    let message = OutboundPlainMessage {
        typ: ContentType::Alert,
        version: ProtocolVersion::TLSv1_2,
        payload: OutboundChunks::Single(&alert),
    };
    let mut encrypter = suite.aead_alg.encrypter(key, iv);
    wire.extend(encrypter.encrypt(message, sequence).ok()?.encode());
    Some(wire)
}
