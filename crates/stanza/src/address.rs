//! Addresses (JIDs), compared by octets.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

/// Longest local, domain or resource part in bytes (RFC 7622 §3.2, §3.3, §3.4).
const MAX_PART: usize = 1023;

/// An XMPP address (`local@domain/resource`, RFC 7622), cheap to clone.
///
/// ASCII letters of the local and domain parts are lower-cased and the dot at the end of a domain
/// is dropped, so that equal addresses are equal octets. The Unicode part of the normalisation
/// (PRECIS, IDNA) is not done here: whoever takes an address from a person does it first.
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
    text: Arc<str>,
    /// Where the domain starts: after the `@`, or 0.
    domain: u16,
    /// Where the bare address ends: at the `/`, or at the end.
    bare: u16,
}

impl Address {
    /// Checks and normalises an address.
    ///
    /// # Errors
    ///
    /// A part that is empty, longer than 1023 bytes, or holds a character that RFC 7622 forbids in it.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        let (bare, resource) = match text.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (text, None),
        };
        let (local, domain) = match bare.split_once('@') {
            Some((local, domain)) => (Some(local), domain),
            None => (None, bare),
        };
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
            normal.into()
        };
        Ok(Self {
            text,
            domain: offsets.0,
            bare: offsets.1,
        })
    }

    /// The whole normalised address.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The part before the `@`.
    pub fn local(&self) -> Option<&str> {
        let end = usize::from(self.domain).checked_sub(1)?;
        self.text.get(..end)
    }

    /// The part between `@` and `/`.
    pub fn domain(&self) -> &str {
        self.text
            .get(usize::from(self.domain)..usize::from(self.bare))
            .unwrap_or_default()
    }

    /// The part after the first `/`.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(usize::from(self.bare) + 1..)
    }

    /// The address without its resource, as text.
    pub fn bare(&self) -> &str {
        self.text.get(..usize::from(self.bare)).unwrap_or_default()
    }

    /// The address without its resource.
    pub fn to_bare(&self) -> Self {
        if !self.is_full() {
            return self.clone();
        }
        Self {
            text: self.bare().into(),
            domain: self.domain,
            bare: self.bare,
        }
    }

    /// Whether there is a resource.
    pub fn is_full(&self) -> bool {
        usize::from(self.bare) < self.text.len()
    }

    /// The same bare address with this resource.
    ///
    /// # Errors
    ///
    /// A resource that is empty, too long, or holds a forbidden character.
    pub fn with_resource(&self, resource: &str) -> Result<Self, AddressError> {
        check(Part::Resource, resource)?;
        let text = format!("{}/{resource}", self.bare());
        Ok(Self {
            text: text.into(),
            domain: self.domain,
            bare: self.bare,
        })
    }

    /// Whether both are addresses of the same account.
    pub fn same_bare(&self, other: &Self) -> bool {
        self.bare() == other.bare()
    }
}

/// Offsets fit: two parts of at most 1023 bytes lie before either of them.
fn offset(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
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

/// What RFC 7622 allows, short of the Unicode tables of PRECIS.
fn allowed(part: Part, c: char) -> bool {
    if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') {
        return false;
    }
    match part {
        // RFC 7622 §3.3.1 forbids these eight on top of the IdentifierClass, which has no spaces.
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
    /// The part is there but holds nothing.
    #[error("the {part} of the address is empty (RFC 7622 §3)")]
    Empty {
        /// Which part.
        part: Part,
    },
    /// The part is longer than 1023 bytes.
    #[error("the {part} of the address has {len} bytes, at most 1023 are allowed (RFC 7622 §3)")]
    TooLong {
        /// Which part.
        part: Part,
        /// Its length in bytes.
        len: usize,
    },
    /// The part holds a character that may not stand in it.
    #[error("the {part} of the address holds {found:?} (RFC 7622 §3)")]
    Forbidden {
        /// Which part.
        part: Part,
        /// The first such character.
        found: char,
    },
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

/// Order by octets (`i;octet`), as the rule for simultaneous opens needs it.
impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.as_bytes().cmp(other.text.as_bytes())
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

impl AsRef<str> for Address {
    fn as_ref(&self) -> &str {
        &self.text
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> AddressError {
        Address::new(text).unwrap_err()
    }

    #[test]
    fn an_empty_address_is_refused() {
        assert_eq!(refused(""), AddressError::Empty { part: Part::Domain });
    }

    #[test]
    fn an_empty_local_part_is_refused() {
        assert_eq!(refused("@b"), AddressError::Empty { part: Part::Local });
    }

    #[test]
    fn an_empty_domain_is_refused() {
        assert_eq!(refused("a@/r"), AddressError::Empty { part: Part::Domain });
        assert_eq!(refused("a@."), AddressError::Empty { part: Part::Domain });
    }

    #[test]
    fn an_empty_resource_is_refused() {
        assert_eq!(
            refused("a@b/"),
            AddressError::Empty {
                part: Part::Resource
            }
        );
    }

    #[test]
    fn a_part_of_1024_bytes_is_refused_and_1023_pass() {
        let long = "a".repeat(1024);
        let fits = "a".repeat(1023);
        assert_eq!(
            refused(&format!("{long}@b")),
            AddressError::TooLong {
                part: Part::Local,
                len: 1024
            }
        );
        assert_eq!(
            refused(&long),
            AddressError::TooLong {
                part: Part::Domain,
                len: 1024
            }
        );
        assert_eq!(
            refused(&format!("a@b/{long}")),
            AddressError::TooLong {
                part: Part::Resource,
                len: 1024
            }
        );
        let all = Address::new(&format!("{fits}@{fits}/{fits}")).unwrap();
        assert_eq!(
            (all.local(), all.domain(), all.resource()),
            (Some(&*fits), &*fits, Some(&*fits))
        );
    }

    #[test]
    fn forbidden_characters_are_refused_in_each_part() {
        for c in [
            '"', '&', '\'', ':', '<', '>', ' ', '\t', '\u{A0}', '\0', '\u{7F}',
        ] {
            assert_eq!(
                refused(&format!("a{c}@b")),
                AddressError::Forbidden {
                    part: Part::Local,
                    found: c
                }
            );
        }
        for c in ['@', ' ', '\n', '<', '\'', '\u{3000}', '\u{85}'] {
            assert_eq!(
                refused(&format!("a@b{c}")),
                AddressError::Forbidden {
                    part: Part::Domain,
                    found: c
                }
            );
        }
        for c in ['\0', '\n', '\u{1F}', '\u{FFFF}'] {
            assert_eq!(
                refused(&format!("a@b/{c}")),
                AddressError::Forbidden {
                    part: Part::Resource,
                    found: c
                }
            );
        }
    }

    #[test]
    fn a_domain_with_an_empty_label_is_refused() {
        for text in ["a@b..", "a@.b", "a@b..c", ".."] {
            assert_eq!(
                refused(text),
                AddressError::Forbidden {
                    part: Part::Domain,
                    found: '.'
                }
            );
        }
    }

    #[test]
    fn the_first_slash_starts_the_resource() {
        let address = Address::new("Capulet.example/a@b/c d").unwrap();
        assert_eq!(
            (address.local(), address.domain(), address.resource()),
            (None, "capulet.example", Some("a@b/c d"))
        );
        assert!(address.is_full());
        assert_eq!(address.to_bare().as_str(), "capulet.example");
        assert_eq!(address.to_bare().resource(), None);
    }

    #[test]
    fn case_counts_in_the_resource_only() {
        let upper = Address::new("A@B./R").unwrap();
        assert_eq!(upper.as_str(), "a@b/R");
        assert_ne!(upper, Address::new("a@b/r").unwrap());
        assert!(upper.same_bare(&Address::new("a@b").unwrap()));
        assert_eq!(upper.with_resource("x").unwrap().as_str(), "a@b/x");
        assert!(upper.with_resource("").is_err());
    }

    #[test]
    fn order_is_by_octets() {
        let order = |a: &str, b: &str| Address::new(a).unwrap().cmp(&Address::new(b).unwrap());
        assert_eq!(order("a@b/A", "a@b/a"), Ordering::Less);
        assert_eq!(order("z@b", "é@b"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn parts_put_together_give_the_same_address(text in "\\PC{0,12}[@/.]?\\PC{0,12}[@/]?\\PC{0,12}") {
            if let Ok(address) = Address::new(&text) {
                let again = Address::new(address.as_str()).unwrap();
                prop_assert_eq!(&again, &address);
                let local = address.local().map(|l| format!("{l}@")).unwrap_or_default();
                let resource = address.resource().map(|r| format!("/{r}")).unwrap_or_default();
                prop_assert_eq!(format!("{local}{}{resource}", address.domain()), address.as_str());
                let bare = address.to_bare();
                prop_assert_eq!(bare.as_str(), address.bare());
            }
        }
    }
}
