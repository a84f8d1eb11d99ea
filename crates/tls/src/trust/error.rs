//! Why a peer's key is refused, and why a pin is not written.

use super::{Doubt, Pin, day::Day};
use crate::{fingerprint::Fingerprint, jid::JidError, san::CertificateFault};

/// Why the peer's certificate was refused during the handshake. Always fatal; nothing was delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The peer is known by other keys.
    #[error(
        "the key of {peer} has changed: known is {}, presented was {presented}; either they use a new device or somebody is \
         in between, so compare the presented fingerprint with them over another channel, and only if it is theirs forget the \
         old key and pin the new one",
        list(known)
    )]
    KeyChanged {
        /// The peer's bare JID.
        peer: String,
        /// Every key known for it, revoked ones too.
        known: Vec<Pin>,
        /// The key it presented now.
        presented: Fingerprint,
    },
    /// The peer has no pinned key, and the policy or the case (your own JID) demands one.
    #[error(
        "no key is pinned for {peer}, and one is required: it presented {presented}; compare that with them over another \
         channel, then pin it"
    )]
    NotPinned {
        /// The peer's bare JID.
        peer: String,
        /// The key it presented.
        presented: Fingerprint,
    },
    /// The certificate names someone else.
    #[error(
        "the other end should be {peer}, but its certificate names {san}: somebody else answered"
    )]
    WrongJid {
        /// The bare JID in the certificate.
        san: String,
        /// The peer's bare JID.
        peer: String,
    },
    /// The certificate names no one, and its key is not pinned explicitly.
    #[error(
        "the certificate presented by {peer} names no XMPP address, so its key {presented} is accepted only when it is pinned \
         and verified"
    )]
    NoJid {
        /// The peer's bare JID.
        peer: String,
        /// The key it presented.
        presented: Fingerprint,
    },
    /// The certificate names several XMPP addresses.
    #[error(
        "the certificate presented by {peer} names several XMPP addresses, exactly one is allowed"
    )]
    SeveralJids {
        /// The peer's bare JID.
        peer: String,
    },
    /// The peer presented our own key: someone reflects our messages, or a key was copied.
    #[error(
        "the other end presented our own key as that of {peer}: somebody reflects us, or the key was copied"
    )]
    OwnKey {
        /// The peer's bare JID.
        peer: String,
    },
    /// The key is pinned for another JID.
    #[error(
        "{peer} presented a key that is pinned for {jid}: either they share a key, which is not allowed, or {jid} answered"
    )]
    KeyOfAnother {
        /// Whose key it is.
        jid: String,
        /// The peer's bare JID.
        peer: String,
        /// The key.
        presented: Fingerprint,
    },
    /// The key is revoked.
    #[error("{peer} presented the key {presented}, which is revoked")]
    Revoked {
        /// The peer's bare JID.
        peer: String,
        /// The key.
        presented: Fingerprint,
    },
    /// The key was compared before, and what was compared was not the same.
    #[error(
        "{peer} presented the key {doubt}: somebody may be in between, so it is refused until it is pinned by its whole \
         fingerprint, revoked or forgotten"
    )]
    Doubted {
        /// The peer's bare JID.
        peer: String,
        /// The key, and what spoke against it.
        doubt: Doubt,
    },
    /// Two keys were presented for one JID that has no pin, while the first of them was being judged or soon after.
    #[error(
        "two different keys were presented for {peer} within one first contact, {first} and {second}: somebody may be in \
         between, so neither is accepted; compare fingerprints over another channel, then pin the right one"
    )]
    TwoKeys {
        /// The peer's bare JID.
        peer: String,
        /// The one that came first.
        first: Fingerprint,
        /// The one that came second.
        second: Fingerprint,
    },
    /// A chain of certificates; exactly one certificate is allowed.
    #[error("{peer} presented {count} certificates, exactly one is allowed")]
    SeveralCertificates {
        /// The peer's bare JID.
        peer: String,
        /// How many.
        count: usize,
    },
    /// The certificate cannot be used.
    #[error("the certificate presented by {peer} cannot be used: {fault}")]
    BadCertificate {
        /// The peer's bare JID.
        peer: String,
        /// The rule it breaks.
        fault: CertificateFault,
    },
    /// The signature of the handshake was not made with the presented key.
    #[error(
        "{peer} presented the key {presented}, but did not prove to hold it: somebody shows another's certificate"
    )]
    NotProven {
        /// The peer's bare JID.
        peer: String,
        /// The key.
        presented: Fingerprint,
    },
}

impl TrustError {
    /// The key that was presented, where one could be read and was not our own.
    #[must_use]
    pub fn presented(&self) -> Option<Fingerprint> {
        match self {
            Self::KeyChanged { presented, .. }
            | Self::NotPinned { presented, .. }
            | Self::NoJid { presented, .. }
            | Self::KeyOfAnother { presented, .. }
            | Self::Revoked { presented, .. }
            | Self::NotProven { presented, .. } => Some(*presented),
            Self::Doubted { doubt, .. } => Some(doubt.fingerprint),
            Self::TwoKeys { second, .. } => Some(*second),
            Self::WrongJid { .. }
            | Self::SeveralJids { .. }
            | Self::OwnKey { .. }
            | Self::SeveralCertificates { .. }
            | Self::BadCertificate { .. } => None,
        }
    }
}

/// Why a pin was not written. The store is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The JID is known by other keys; a pin is never overwritten.
    #[error(
        "{jid} is already known by {}; the key {key} was not pinned",
        list(known)
    )]
    KnownJid {
        /// The JID.
        jid: String,
        /// Its keys.
        known: Vec<Pin>,
        /// The key that was to be pinned.
        key: Fingerprint,
    },
    /// The key is pinned for another JID; keys are never shared.
    #[error("the key {key} is pinned for {owner}; it was not pinned for {jid}")]
    KeyOfAnother {
        /// The JID.
        jid: String,
        /// Whose key it is.
        owner: String,
        /// The key.
        key: Fingerprint,
    },
    /// The key is revoked, for this JID or for another.
    #[error("the key {key} is revoked, as one of {owner}; it was not pinned for {jid}")]
    Revoked {
        /// The JID.
        jid: String,
        /// Whose key it was when it was revoked; perhaps the same JID.
        owner: String,
        /// The key.
        key: Fingerprint,
    },
    /// The key was compared before, and what was compared was not the same.
    #[error("{jid} presented the key {doubt}; it was not pinned")]
    Doubted {
        /// The JID.
        jid: String,
        /// The key, and what spoke against it.
        doubt: Doubt,
    },
    /// Enough keys were taken on first use today.
    #[error(
        "{limit} keys were taken on first use today, which is the limit; no further one is pinned unseen before tomorrow (UTC)"
    )]
    FirstUses {
        /// The limit: keys a day.
        limit: usize,
    },
    /// Too many attempts to verify the key have failed or were broken off.
    #[error(
        "{failed} attempts to verify the key of {jid} failed or were broken off within a day, the last on {}: somebody may \
         be guessing, so no further one is made before a day has passed; compare the whole fingerprints instead",
        Day(*.last)
    )]
    Locked {
        /// The JID.
        jid: String,
        /// How many.
        failed: usize,
        /// The last one, in unix seconds.
        last: i64,
    },
    /// The code has served for an attempt already.
    #[error("this code was used with {jid} before; a code serves once, agree on a new one")]
    UsedCode {
        /// The JID.
        jid: String,
    },
    /// Not a bare JID.
    #[error("cannot pin a key for {jid:?}: {why}")]
    Jid {
        /// What was given.
        jid: String,
        /// The rule it breaks.
        why: JidError,
    },
}

fn list(pins: &[Pin]) -> String {
    pins.iter()
        .map(Pin::to_string)
        .collect::<Vec<_>>()
        .join(" and ")
}
