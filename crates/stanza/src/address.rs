//! Addresses (JIDs), compared by octets.

mod exact;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

pub use self::exact::{Bare, Full};
use crate::text::Text;
use crate::write;
use crate::xml::simd;

/// Longest local, domain or resource part in bytes (RFC 6122 §2).
const MAX_PART: usize = 1023;

/// Longest address stored inline, in bytes. Most full addresses have 30 to 45.
const SHORT: usize = 54;

/// An XMPP address (`local@domain/resource`, RFC 6122), cheap to clone.
///
/// ASCII letters of the local and domain parts are lower-cased and the dot at the end of a domain
/// is dropped, so that equal addresses are equal octets. The Unicode part of the normalisation
/// (stringprep) is not done here: normalise addresses that a person types or a server sends first.
///
/// It may or may not have a resource; use [`Bare`] and [`Full`] where one or the other is meant.
///
/// ```
/// use xtls_stanza::Address;
///
/// let juliet = Address::new("Juliet@Capulet.example/Balcony")?;
/// assert_eq!(juliet.as_str(), "juliet@capulet.example/Balcony");
/// assert_eq!(juliet.bare(), "juliet@capulet.example");
/// assert_eq!(juliet.resource(), Some("Balcony"));
/// # Ok::<(), xtls_stanza::AddressError>(())
/// ```
#[derive(Clone)]
pub struct Address {
    text: Text<SHORT>,
    /// Where the domain starts: after the `@`, or 0.
    domain: u16,
    /// Where the bare address ends: at the `/`, or at the end.
    bare: u16,
    /// It can be written to XML without escapes.
    plain: bool,
}

impl Address {
    /// Checks and normalises an address.
    ///
    /// # Errors
    ///
    /// A part that is empty, longer than 1023 bytes, or holds a character that RFC 6122 forbids in it.
    #[inline]
    pub fn new(text: &str) -> Result<Self, AddressError> {
        match plain(text.as_bytes()) {
            Some((domain, bare)) => Ok(Self::made_plain(text.into(), domain, bare)),
            None => Self::normalise(text),
        }
    }

    /// Like [`Address::new`], but writes to the final place.
    #[inline]
    pub(crate) fn read(place: &mut Option<Self>, text: &str) -> Result<(), AddressError> {
        if let Some((domain, bare)) = plain(text.as_bytes()) {
            let address = place.insert(Self {
                text: Text::EMPTY,
                domain: offset(domain),
                bare: offset(bare),
                plain: true,
            });
            if address.text.fill(text.as_bytes()) {
                return Ok(());
            }
        }
        *place = Some(Self::new(text)?);
        Ok(())
    }

    /// Like [`Address::new`], for ASCII text.
    #[inline]
    pub(crate) fn of_ascii(text: &[u8]) -> Option<Self> {
        if let Some((domain, bare)) = plain(text)
            && let Some(text) = Text::short(text)
        {
            return Some(Self::made_plain(text, domain, bare));
        }
        Self::normalise(str::from_utf8(text).ok()?).ok()
    }

    /// The slow path of [`Address::new`], for any text.
    fn normalise(text: &str) -> Result<Self, AddressError> {
        let (bare, resource) = split_resource(text);
        let (local, domain) = split_local(bare);
        let domain = domain.strip_suffix('.').unwrap_or(domain);

        if let Some(local) = local {
            check(Part::Local, local)?;
        }
        check(Part::Domain, domain)?;
        if domain.split('.').any(str::is_empty) {
            return Err(AddressError::Forbidden {
                part: Part::Domain,
                found: '.',
            });
        }
        if let Some(resource) = resource {
            check(Part::Resource, resource)?;
        }
        let domain_at = local.map_or(0, |local| local.len() + 1);
        let bare_end = domain_at + domain.len();
        let offsets = (offset(domain_at), offset(bare_end));
        let text = if bare_end == bare.len() && !bare.bytes().any(|b| b.is_ascii_uppercase()) {
            text.into()
        } else {
            let mut normal = text
                .get(..bare_end)
                .unwrap_or_default()
                .to_ascii_lowercase();
            if let Some(resource) = resource {
                normal.push('/');
                normal.push_str(resource);
            }
            normal.as_str().into()
        };
        Ok(Self::made(text, offsets.0, offsets.1))
    }

    /// Assembles an address from normalised text and its offsets.
    #[inline]
    fn made(text: Text<SHORT>, domain: u16, bare: u16) -> Self {
        let plain = simd::needs_no_escape(text.as_bytes());
        Self {
            text,
            domain,
            bare,
            plain,
        }
    }

    /// Like `made`, with the offsets that [`plain`] found.
    #[inline]
    fn made_plain(text: Text<SHORT>, domain: usize, bare: usize) -> Self {
        Self {
            text,
            domain: offset(domain),
            bare: offset(bare),
            plain: true,
        }
    }

    /// The whole normalised address.
    pub fn as_str(&self) -> &str {
        self.text.as_str()
    }

    pub(crate) fn text(&self) -> &Text<SHORT> {
        &self.text
    }

    /// Appends ` name='address'`; `start` is ` name='`.
    #[inline]
    pub(crate) fn write<const N: usize>(&self, start: &[u8; N], out: &mut Vec<u8>) {
        if self.plain {
            write::unchanged(out, start, self.as_bytes());
        } else {
            write::quoted(out, start, self.as_str());
        }
    }

    /// Like [`as_str`](Self::as_str), without checking UTF-8 again.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// The part before the `@`.
    pub fn local(&self) -> Option<&str> {
        let end = usize::from(self.domain).checked_sub(1)?;
        self.as_str().get(..end)
    }

    /// The part between `@` and `/`.
    pub fn domain(&self) -> &str {
        self.as_str()
            .get(usize::from(self.domain)..usize::from(self.bare))
            .unwrap_or_default()
    }

    /// The part after the first `/`.
    pub fn resource(&self) -> Option<&str> {
        self.as_str().get(usize::from(self.bare) + 1..)
    }

    /// The address without its resource, as text.
    pub fn bare(&self) -> &str {
        self.as_str()
            .get(..usize::from(self.bare))
            .unwrap_or_default()
    }

    /// The address without its resource.
    pub fn to_bare(&self) -> Bare {
        Bare::of(self)
    }

    /// The same bare address with this resource, replacing any that it has.
    ///
    /// # Errors
    ///
    /// A resource that is empty, too long, or holds a forbidden character.
    pub fn with_resource(&self, resource: &str) -> Result<Full, AddressError> {
        Full::of(self, resource)
    }

    fn without_resource(&self) -> Self {
        if !self.is_full() {
            return self.clone();
        }
        Self::made(self.bare().into(), self.domain, self.bare)
    }

    fn replace_resource(&self, resource: &str) -> Result<Self, AddressError> {
        check(Part::Resource, resource)?;
        let text = format!("{}/{resource}", self.bare());
        Ok(Self::made(text.as_str().into(), self.domain, self.bare))
    }

    /// Whether there is a resource.
    pub fn is_full(&self) -> bool {
        usize::from(self.bare) < self.text.len()
    }

    /// Whether both are addresses of the same account.
    pub fn same_bare(&self, other: &Self) -> bool {
        self.bare == other.bare && self.bare() == other.bare()
    }
}

/// The offsets of the domain and of the end of the bare address, if the address is already normalised and consists of
/// the characters that nearly all addresses use, none of which needs an escape. `None` means nothing about the text.
#[inline]
fn plain(text: &[u8]) -> Option<(usize, usize)> {
    if text.len() > MAX_PART {
        return None;
    }
    let (mut domain, mut label) = (0, 0);
    let bare = loop {
        let at = label + simd::label_len(text.get(label..)?);
        match text.get(at) {
            // An empty label is an error in a domain, but not in a local part.
            Some(b'.') if label == at && domain > 0 => return None,
            Some(b'.') => label = at + 1,
            Some(b'@') if domain == 0 && at > 0 => (domain, label) = (at + 1, at + 1),
            None | Some(b'/') => break at,
            Some(_) => return None,
        }
    };
    let good = match text.get(bare..)? {
        [] => true,
        [_, resource @ ..] => !resource.is_empty() && simd::is_visible_and_plain(resource),
    };
    // Without an `@` it was a domain from the start, and its empty labels have yet to be checked.
    let normal = label < bare && good && (domain > 0 || is_domain(text.get(..bare)?));
    normal.then_some((domain, bare))
}

/// Whether no label is empty.
fn is_domain(text: &[u8]) -> bool {
    text.split(|&b| b == b'.').all(|label| !label.is_empty())
}

/// Offsets fit: at most two parts of 1023 bytes precede them.
fn offset(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

/// A bare address, and the resource behind the first `/` (RFC 7622 §3.2).
pub(crate) fn split_resource(text: &str) -> (&str, Option<&str>) {
    match text.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (text, None),
    }
}

/// The local part before the first `@` of a bare address, and the domain.
pub(crate) fn split_local(bare: &str) -> (Option<&str>, &str) {
    match bare.split_once('@') {
        Some((local, domain)) => (Some(local), domain),
        None => (None, bare),
    }
}

fn check(part: Part, text: &str) -> Result<(), AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty { part });
    }
    if text.len() > MAX_PART {
        return Err(AddressError::TooLong {
            part,
            len: text.len(),
        });
    }
    if text
        .bytes()
        .all(|b| b.is_ascii() && allowed(part, char::from(b)))
    {
        return Ok(());
    }
    match text.chars().find(|&c| !allowed(part, c)) {
        Some(found) => Err(AddressError::Forbidden { part, found }),
        None => Ok(()),
    }
}

/// What RFC 6122 allows, except for the Unicode tables of stringprep.
fn allowed(part: Part, c: char) -> bool {
    if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') {
        return false;
    }
    match part {
        // RFC 6122 appendix A.5 forbids these eight, and spaces.
        Part::Local => {
            !matches!(c, '"' | '&' | '\'' | '/' | ':' | '<' | '>' | '@') && !c.is_whitespace()
        }
        // Host names, IPv4, and IPv6 in brackets.
        Part::Domain => {
            c.is_ascii_alphanumeric()
                || matches!(c, '-' | '.' | '_' | ':' | '[' | ']')
                || (!c.is_ascii() && !c.is_whitespace())
        }
        Part::Resource => true,
    }
}

/// A part of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Before the `@`.
    Local,
    /// Between `@` and `/`.
    Domain,
    /// After the first `/`.
    Resource,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local part",
            Self::Domain => "domain",
            Self::Resource => "resource",
        })
    }
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The part is present but empty.
    #[error("the {part} of the address is empty (RFC 6122 §2)")]
    Empty {
        /// Which part.
        part: Part,
    },
    /// The part is longer than 1023 bytes.
    #[error("the {part} of the address has {len} bytes, at most 1023 are allowed (RFC 6122 §2)")]
    TooLong {
        /// Which part.
        part: Part,
        /// Its length in bytes.
        len: usize,
    },
    /// The part contains a character that it must not contain.
    #[error("the {part} of the address holds {found:?} (RFC 6122 §2)")]
    Forbidden {
        /// Which part.
        part: Part,
        /// The first such character.
        found: char,
    },
    /// The address has a resource where one without is required.
    #[error("the address has a resource, where an account or a server is meant (RFC 6122 §2)")]
    NotBare,
    /// The address has no resource where one is required.
    #[error("the address has no resource, where one client is meant (RFC 6122 §2)")]
    NotFull,
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Address {}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Ordered by octets (`i;octet`), as the rule for simultaneous opens requires.
impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl AsRef<str> for Address {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Address {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests;
