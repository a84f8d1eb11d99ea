//! What is wrong with a server's certificate, in words.

use std::fmt;
use std::time::Duration;

use der::asn1::AnyRef;
use der::{DateTime, Tag, Tagged as _};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, OtherError};
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls;

use super::x509::{self, Values, X509, explicit, implicit, sole};
use crate::pin::Pin;
use crate::stream_error::legible;

/// Why a server's certificate is not accepted.
///
/// The texts are sentences about the certificate: "expired on 3 May 2026".
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFault {
    /// Its time is over.
    Expired {
        /// The day, as in "3 May 2026".
        on: String,
    },
    /// Its time has not come, or this machine's clock is wrong.
    NotYetValid {
        /// The day from which on it holds.
        from: String,
        /// What day it is by this machine's clock.
        today: String,
    },
    /// It names others.
    OtherName {
        /// The domains and addresses it is for; at most eight.
        names: Vec<String>,
        /// How many more there are.
        more: usize,
        /// Whom it should be for.
        wanted: String,
    },
    /// It has no subjectAltName, and a common name is no proof (RFC 9525).
    NoNames,
    /// It has signed itself, and is none of those that were given as trusted.
    SelfSigned {
        /// Its key, to be compared and pinned.
        key: Pin,
    },
    /// Nobody we trust has signed it, nor those who have.
    UnknownIssuer {
        /// Who has signed it, as it says.
        issuer: String,
        /// Its key, to be compared and pinned.
        key: Pin,
    },
    /// An authority that we trust has the name of its issuer, and another has signed it.
    Namesake {
        /// The name.
        issuer: String,
        /// The key of the certificate, to be compared and pinned.
        key: Pin,
    },
    /// Its key is not the pinned one.
    OtherKey {
        /// The pinned one.
        pinned: Pin,
        /// The one it has.
        presented: Pin,
    },
    /// Anything else.
    Other(String),
}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { on } => write!(f, "it expired on {on}"),
            Self::NotYetValid { from, today } => write!(
                f,
                "it is not valid before {from}, and by this machine's clock it is {today}"
            ),
            Self::OtherName {
                names,
                more,
                wanted,
            } => write!(f, "it is for {}, not for {wanted}", listed(names, *more)),
            Self::NoNames => f.write_str(
                "it has no subjectAltName, so it is for no one (a common name does not count)",
            ),
            Self::SelfSigned { key } => write!(
                f,
                "it is self-signed and not among those you trust (SHA-256 of its key: {key})"
            ),
            Self::UnknownIssuer { issuer, key } => write!(
                f,
                "it is signed by {issuer}, which is not among the authorities you trust (SHA-256 of its key: {key})"
            ),
            Self::Namesake { issuer, key } => write!(
                f,
                "it is not signed by the {issuer} that you trust, but by another of that name (SHA-256 of its key: {key})"
            ),
            Self::OtherKey { pinned, presented } => write!(
                f,
                "its key is not the pinned one: pinned {pinned}, presented {presented}"
            ),
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for CertificateFault {}

impl CertificateFault {
    /// What rustls says about this certificate, which should be for `wanted`.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what rustls may add has words of its own"
    )]
    pub(super) fn of(
        error: &CertificateError,
        certificate: &CertificateDer<'_>,
        wanted: &str,
        now: UnixTime,
    ) -> Self {
        let Ok(parsed) = X509::read(certificate) else {
            return Self::Other("it is not an X.509 certificate in DER".to_owned());
        };
        let today = || day(at(now));
        match error {
            CertificateError::ExpiredContext { not_after, .. } => {
                let on = day(at(*not_after));
                match at(*not_after) == parsed.not_after {
                    true => Self::Expired { on },
                    false => Self::Other(format!("an authority above it expired on {on}")),
                }
            }
            CertificateError::Expired => Self::Other(
                "its time ends before it begins, or that of an authority above it".to_owned(),
            ),
            CertificateError::NotValidYetContext { not_before, .. } => {
                let (from, today) = (day(at(*not_before)), today());
                match at(*not_before) == parsed.not_before {
                    true => Self::NotYetValid { from, today },
                    false => Self::Other(format!(
                        "an authority above it is not valid before {from}, and by this machine's clock it is {today}"
                    )),
                }
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                match Names::read(&parsed) {
                    None => Self::NoNames,
                    Some(names) => Self::OtherName {
                        names: names.all,
                        more: names.more,
                        wanted: wanted.to_owned(),
                    },
                }
            }
            CertificateError::UnknownIssuer => Self::unknown(&parsed),
            // There may well be another one of this name.
            error if is_by_namesake(error) => match Self::unknown(&parsed) {
                Self::UnknownIssuer { issuer, key } => Self::Namesake { issuer, key },
                own => own,
            },
            CertificateError::Other(other) if is_ca_as_end_entity(other) => {
                match is_self_issued(&parsed) {
                    true => Self::unknown(&parsed),
                    false => Self::Other("it is an authority's, not a server's".to_owned()),
                }
            }
            other => Self::Other(said(other)),
        }
    }

    fn unknown(parsed: &X509<'_>) -> Self {
        let key = Pin::new(Sha256::digest(parsed.key).into());
        match is_self_issued(parsed) {
            true => Self::SelfSigned { key },
            false => Self::UnknownIssuer {
                issuer: x509::name(parsed.issuer)
                    .map_or_else(|_| "an unreadable name".to_owned(), |name| legible(&name)),
                key,
            },
        }
    }
}

fn is_self_issued(parsed: &X509<'_>) -> bool {
    parsed.issuer == parsed.subject
}

/// Whether the key of the authority that it names, as we know it, is not the one that has signed.
pub(super) fn is_by_namesake(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    )
}

/// What rustls says only to those who know it well.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what rustls may add has words of its own"
)]
fn said(error: &CertificateError) -> String {
    let sentence = match error {
        CertificateError::BadEncoding => "it cannot be read",
        CertificateError::UnhandledCriticalExtension => CRITICAL,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for servers, by its extended key usage"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            "it is signed with an algorithm that is not accepted"
        }
        CertificateError::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::UnsupportedCriticalExtension) => CRITICAL,
            Some(webpki::Error::NameConstraintViolation) => {
                "an authority above it may not speak for all of its names"
            }
            _ => {
                return format!(
                    "it breaks a rule of X.509 ({})",
                    legible(&other.to_string())
                );
            }
        },
        other => return legible(&other.to_string()),
    };
    sentence.to_owned()
}

/// An authority's certificate that a server shows as its own, as `openssl req -x509` makes them.
pub(super) fn is_ca_as_end_entity(error: &OtherError) -> bool {
    error.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// Whether a certificate is for an XMPP service of this domain by a name that only XMPP has (RFC 6120 §13.7.1.2):
/// `id-on-dnsSRV` for clients (RFC 4985), or `id-on-xmppAddr`.
pub(super) fn is_for_service(certificate: &CertificateDer<'_>, domain: &str) -> bool {
    let Ok(parsed) = X509::read(certificate) else {
        return false;
    };
    let (Some(names), Ok(ascii)) = (Names::read(&parsed), idna::domain_to_ascii(domain)) else {
        return false;
    };
    let same = |name: &String| {
        let name = idna::domain_to_ascii(name);
        name.is_ok_and(|name| name.eq_ignore_ascii_case(&ascii))
    };
    names.services.iter().any(same)
}

/// Whether an authority may speak for some names only. Constraints are written for domains, and hold nobody back from
/// naming the same ones in the ways that only XMPP has.
pub(super) fn is_constrained(authority: &CertificateDer<'_>) -> bool {
    X509::read(authority).map_or(true, |parsed| {
        parsed.extensions(NAME_CONSTRAINTS).count() > 0
    })
}

/// The names of a certificate, how many more there are, and its last day, for people.
pub(super) fn said_by(certificate: &CertificateDer<'_>) -> (Vec<String>, usize, String) {
    let Ok(parsed) = X509::read(certificate) else {
        return Default::default();
    };
    let names = Names::read(&parsed).unwrap_or_default();
    (names.all, names.more, day(parsed.not_after))
}

/// The names in a certificate.
#[derive(Debug, Default)]
struct Names {
    /// For people, as many as one reads.
    all: Vec<String>,
    /// How many more there are.
    more: usize,
    /// The domains whose XMPP service it is.
    services: Vec<String>,
}

impl Names {
    /// `None`: it has no extension with names, or one that cannot be read, or several.
    fn read(parsed: &X509<'_>) -> Option<Self> {
        let mut extensions = parsed.extensions(SUBJECT_ALT_NAME);
        let extension = extensions.next().filter(|_| extensions.next().is_none())?;
        let mut names = Self::default();
        for name in Values::of(sole(extension, Tag::Sequence).ok()?).ok()? {
            let name = name.ok()?;
            let Some(shown) = names.take(name.tag(), name.value()) else {
                continue;
            };
            match names.all.len() < MAX_NAMES {
                true => names.all.push(legible(&shown)),
                false => names.more += 1,
            }
        }
        Some(names)
    }

    /// One GeneralName (RFC 5280 §4.2.1.6) for people, if it is for a server.
    fn take(&mut self, tag: Tag, value: &[u8]) -> Option<String> {
        if tag == DNS_NAME {
            return str::from_utf8(value).ok().map(ToOwned::to_owned);
        }
        if tag == IP_ADDRESS {
            return Some(address(value));
        }
        if tag != OTHER_NAME {
            return None;
        }
        let mut parts = Values::of(value).ok()?;
        let (kind, value) = (parts.next()?.ok()?, parts.next()?.ok()?);
        kind.tag().assert_eq(Tag::ObjectIdentifier).ok()?;
        let text = text(value).filter(|_| parts.next().is_none())?;
        let service = match () {
            () if kind.value() == XMPP_ADDR => Some(text.as_str()),
            () if kind.value() == DNS_SRV => client_service(&text),
            () => None,
        };
        self.services.extend(service.map(ToOwned::to_owned));
        Some(text)
    }
}

/// The domain of a service for XMPP clients.
fn client_service(name: &str) -> Option<&str> {
    let (service, domain) = name.split_once('.')?;
    service
        .eq_ignore_ascii_case("_xmpp-client")
        .then_some(domain)
}

/// The text in an `otherName`: a UTF8String or an IA5String, explicitly tagged.
fn text(value: AnyRef<'_>) -> Option<String> {
    value.tag().assert_eq(explicit(0)).ok()?;
    let inner = AnyRef::try_from(value.value()).ok()?;
    let is_text = [Tag::Utf8String, Tag::Ia5String].contains(&inner.tag());
    let text = str::from_utf8(inner.value()).ok()?;
    is_text.then(|| text.to_owned())
}

fn address(octets: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return std::net::Ipv4Addr::from(v4).to_string();
    }
    match <[u8; 16]>::try_from(octets) {
        Ok(v6) => std::net::Ipv6Addr::from(v6).to_string(),
        Err(_) => "an unreadable address".to_owned(),
    }
}

fn listed(names: &[String], more: usize) -> String {
    match names {
        [] => "no one".to_owned(),
        names if more > 0 => format!("{} and {more} others", names.join(", ")),
        [name] => name.clone(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}

fn at(time: UnixTime) -> Option<DateTime> {
    DateTime::from_unix_duration(Duration::from_secs(time.as_secs())).ok()
}

/// As people write a day: "3 May 2026". Nothing if it is beyond the calendar.
fn day(time: Option<DateTime>) -> String {
    let named = time.and_then(|time| {
        let month = MONTHS.get(usize::from(time.month()).checked_sub(1)?)?;
        Some(format!("{} {month} {}", time.day(), time.year()))
    });
    named.unwrap_or_default()
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const CRITICAL: &str = "it has a critical extension that nobody knows here";

/// `id-ce-subjectAltName`, 2.5.29.17 (RFC 5280 §4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];

/// `id-ce-nameConstraints`, 2.5.29.30 (RFC 5280 §4.2.1.10).
const NAME_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 30];

/// `id-on-xmppAddr`, 1.3.6.1.5.5.7.8.5 (RFC 6120 §13.7.1.4).
const XMPP_ADDR: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 5];

/// `id-on-dnsSRV`, 1.3.6.1.5.5.7.8.7 (RFC 4985).
const DNS_SRV: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 7];

const OTHER_NAME: Tag = explicit(0);
const DNS_NAME: Tag = implicit(2);
const IP_ADDRESS: Tag = implicit(7);

/// Names that are shown.
const MAX_NAMES: usize = 8;
