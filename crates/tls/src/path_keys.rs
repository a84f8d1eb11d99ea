//! The keys of what two ends say beside their connection, and of the paths that they move it to.

use std::fmt;

use rustls::crypto::cipher::Tls13AeadAlgorithm;
use zeroize::Zeroizing;

use crate::{
    role::Role,
    seal::{Open, SEAL_KEY, Seal},
    verify,
};

/// Of the exporter (RFC 8446 §7.5).
pub(crate) const LABEL: &str = "EXPERIMENTAL-xtls-path-1";

/// The keys of one end, from [`Tls::path_keys`](crate::Tls::path_keys). They are wiped when dropped; `Debug` shows none.
pub struct PathKeys {
    /// Which end this is.
    pub role: Role,
    /// What only the two ends know: further keys come from it.
    pub secret: Zeroizing<[u8; 32]>,
    /// Both bare JIDs and both keys, the same at both ends. The secret does not cover the client's certificate, so every key from
    /// it has to be bound to this.
    pub ends: Vec<u8>,
    /// Seals what this end says.
    pub seal: Seal,
    /// Opens what the other end says.
    pub open: Open,
}

impl PathKeys {
    pub(crate) fn new(algorithm: &dyn Tls13AeadAlgorithm, context: &verify::Context) -> Self {
        let key = |role| {
            let mut key = Zeroizing::new([0; SEAL_KEY]);
            context.derive(&[], signals(role), key.as_mut_slice());
            key
        };
        let role = context.role();
        let other = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        Self {
            role,
            secret: context.secret().clone(),
            ends: context.ends().to_vec(),
            seal: Seal::with(algorithm, &key(role)),
            open: Open::with(algorithm, &key(other)),
        }
    }
}

/// What the key for that end's signals is derived for.
fn signals(role: Role) -> &'static str {
    match role {
        Role::Client => "xtls path signal client 1",
        Role::Server => "xtls path signal server 1",
    }
}

impl fmt::Debug for PathKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathKeys")
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}
