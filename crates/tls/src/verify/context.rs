//! What a verification is bound to, and the hashes that bind it.

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::{fingerprint::Fingerprint, role::Role};

/// One end's view of one TLS connection: the two ends of one connection agree on all of it but the role, and nobody else
/// does. Made by [`Tls::verification`](crate::Tls::verification); `Debug` shows the role only.
#[derive(Clone)]
pub struct Context {
    role: Role,
    /// Client's JID, server's JID, client's key, server's key, each with its length before it. The exporter does not cover
    /// the client's certificate, so both keys stand here.
    ends: Vec<u8>,
    secret: Zeroizing<[u8; 32]>,
}

impl Context {
    pub(crate) fn new(
        role: Role,
        client: (&str, &Fingerprint),
        server: (&str, &Fingerprint),
        secret: Zeroizing<[u8; 32]>,
    ) -> Self {
        let mut ends = Vec::new();
        let fields = [
            client.0.as_bytes(),
            server.0.as_bytes(),
            client.1.as_bytes(),
            server.1.as_bytes(),
        ];
        for field in fields {
            // A bare JID is never near 4 GiB: it ends at 2 047 bytes.
            let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
            ends.extend_from_slice(&length.to_be_bytes());
            ends.extend_from_slice(field);
        }
        Self { role, ends, secret }
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn ends(&self) -> &[u8] {
        &self.ends
    }

    pub(crate) fn secret(&self) -> &Zeroizing<[u8; 32]> {
        &self.secret
    }

    /// SHA-256 over `label`, the connection's secret, its ends and `rest`. Labels have no common beginnings.
    pub(super) fn hash(&self, label: &str, rest: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(label)
            .chain_update(*self.secret)
            .chain_update(&self.ends)
            .chain_update(rest)
            .finalize()
            .into()
    }

    /// HKDF (RFC 5869) from the connection's secret.
    pub(crate) fn derive(&self, salt: &[u8], label: &str, out: &mut [u8]) {
        self.derive_from(&*self.secret, salt, label, out);
    }

    /// HKDF from another secret, bound to the ends all the same.
    pub(super) fn derive_from(&self, secret: &[u8], salt: &[u8], label: &str, out: &mut [u8]) {
        let hkdf = Hkdf::<Sha256>::new(Some(salt), secret);
        // Fails beyond 8 160 bytes only; ours are at most 70.
        let expanded = hkdf.expand_multi_info(&[label.as_bytes(), &self.ends], out);
        debug_assert!(expanded.is_ok(), "HKDF gives 8 160 bytes");
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// HMAC-SHA-256 (RFC 2104).
pub(super) fn mac(key: &[u8; 32], message: &[u8]) -> Zeroizing<[u8; 32]> {
    // The key, filled up to a block of the hash with zeros, as HMAC itself does it.
    let mut block = Zeroizing::new([0; 64]);
    if let Some(begin) = block.first_chunk_mut() {
        *begin = *key;
    }
    let mut mac = Hmac::<Sha256>::new(&(*block).into());
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// In a time that does not depend on where the two differ.
pub(super) fn same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.as_slice().ct_eq(other.as_slice()).into()
}
