//! URIs of XMPP addresses (RFC 5122), as they stand in links and QR codes.

use std::fmt;

/// A `xmpp:` URI or IRI, its parts decoded.
///
/// The address is text: it is an address only if whoever takes it from a person says so after normalising it, as with any
/// other that was typed. A fragment, which RFC 5122 gives no meaning, is left out.
///
/// ```
/// use xtls_stanza::uri::XmppUri;
///
/// let uri = XmppUri::parse("xmpp:juliet@capulet.example/the%20balcony?xtls;fp=2d71")?;
/// assert_eq!(uri.address, "juliet@capulet.example/the balcony");
/// assert_eq!(uri.action.as_deref(), Some("xtls"));
/// assert_eq!(uri.field("fp"), Some("2d71"));
/// # Ok::<(), xtls_stanza::uri::UriError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct XmppUri {
    /// The address as text, not normalised: `local@domain/resource`.
    pub address: String,
    /// What to do with it, the word behind the `?`: `message`, `roster`, `xtls` and others.
    pub action: Option<String>,
    /// What belongs to that, in order: names, each once, and values.
    pub fields: Vec<(String, String)>,
}

impl XmppUri {
    /// Whether a text claims to be such a URI. No address begins with `xmpp:`.
    pub fn is(text: &str) -> bool {
        scheme(text).is_some()
    }

    /// Reads a URI.
    ///
    /// # Errors
    ///
    /// Another scheme; an account to log in with (`xmpp://romeo@montague.example/…`), which belongs to the person and not to
    /// a link; no address; characters that RFC 5122 wants encoded, and encodings that are none, not UTF-8, or of what would
    /// make another address of it; a field without a value, and one that appears twice.
    pub fn parse(text: &str) -> Result<Self, UriError> {
        let rest = scheme(text).ok_or(UriError::Scheme)?;
        if rest.starts_with("//") {
            return Err(UriError::Authority);
        }
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let (action, fields) = match query {
            Some(query) => self::query(query)?,
            None => (None, Vec::new()),
        };
        Ok(Self {
            address: address(path)?,
            action,
            fields,
        })
    }

    /// The value of the field with this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A part of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriPart {
    /// Before the `@`.
    Local,
    /// The domain.
    Domain,
    /// After the first `/`.
    Resource,
    /// After the `?`.
    Query,
}

impl fmt::Display for UriPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local part",
            Self::Domain => "domain",
            Self::Resource => "resource",
            Self::Query => "query",
        })
    }
}

/// Why a text is not the URI of an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with `xmpp:`.
    #[error("not an xmpp: URI (RFC 5122 §2.2)")]
    Scheme,
    /// It names an account to log in with.
    #[error(
        "an xmpp: URI with `//` names the account to log in with, which is not a link's to say (RFC 5122 §2.3); write xmpp:ADDRESS"
    )]
    Authority,
    /// There is no address, or a part of it is empty.
    #[error("the {part} in the xmpp: URI is empty (RFC 5122 §2.2)")]
    Empty {
        /// Which part.
        part: UriPart,
    },
    /// A character that must be encoded.
    #[error(
        "the {part} in the xmpp: URI holds {found:?}, which must be written as %XX (RFC 5122 §2.2)"
    )]
    Unencoded {
        /// Which part.
        part: UriPart,
        /// The first such character.
        found: char,
    },
    /// `%` without two digits.
    #[error("the {part} in the xmpp: URI holds a % without two hexadecimal digits (RFC 3986 §2.1)")]
    Percent {
        /// Which part.
        part: UriPart,
    },
    /// What was encoded is not text.
    #[error("the {part} in the xmpp: URI is not UTF-8 (RFC 5122 §2.2)")]
    NotUtf8 {
        /// Which part.
        part: UriPart,
    },
    /// An encoded character that would end the part.
    #[error(
        "the {part} in the xmpp: URI holds an encoded {found:?}, which would make another address of it (RFC 6122 §2)"
    )]
    Separator {
        /// Which part.
        part: UriPart,
        /// The first such character.
        found: char,
    },
    /// A field that is not `name=value`.
    #[error("{field:?} in the xmpp: URI is not name=value (RFC 5122 §2.2)")]
    Field {
        /// As it is written.
        field: String,
    },
    /// A field appears twice.
    #[error("{name:?} appears twice in the xmpp: URI")]
    Twice {
        /// Its name.
        name: String,
    },
}

/// What follows the scheme.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    scheme.eq_ignore_ascii_case("xmpp").then_some(rest)
}

fn address(path: &str) -> Result<String, UriError> {
    let (bare, resource) = match path.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (path, None),
    };
    let (local, domain) = match bare.split_once('@') {
        Some((local, domain)) => (Some(local), domain),
        None => (None, bare),
    };
    let mut address = String::new();
    if let Some(local) = local {
        address += &part(UriPart::Local, local)?;
        address.push('@');
    }
    address += &part(UriPart::Domain, domain)?;
    if let Some(resource) = resource {
        address.push('/');
        address += &part(UriPart::Resource, resource)?;
    }
    Ok(address)
}

/// A part of the address, which may hold no separator that would not be one any more.
fn part(part: UriPart, raw: &str) -> Result<String, UriError> {
    if raw.is_empty() {
        return Err(UriError::Empty { part });
    }
    let text = decode(part, raw)?;
    let ends = |c: &char| match part {
        UriPart::Local | UriPart::Domain => matches!(c, '@' | '/'),
        UriPart::Resource | UriPart::Query => false,
    };
    match text.chars().find(ends) {
        Some(found) => Err(UriError::Separator { part, found }),
        None => Ok(text),
    }
}

type Query = (Option<String>, Vec<(String, String)>);

fn query(query: &str) -> Result<Query, UriError> {
    let part = UriPart::Query;
    let mut pieces = query.split(';');
    let action = decode(part, pieces.next().unwrap_or_default())?;
    if action.is_empty() {
        return Err(UriError::Empty { part });
    }
    let mut fields: Vec<(String, String)> = Vec::new();
    for piece in pieces {
        let field = piece.split_once('=').filter(|(name, _)| !name.is_empty());
        let (name, value) = field.ok_or_else(|| UriError::Field {
            field: piece.to_owned(),
        })?;
        let (name, value) = (decode(part, name)?, decode(part, value)?);
        if fields.iter().any(|(known, _)| *known == name) {
            return Err(UriError::Twice { name });
        }
        fields.push((name, value));
    }
    Ok((Some(action), fields))
}

/// Resolves what is encoded. Characters outside of ASCII may stand as they are, as in an IRI (RFC 5122 §2.2, RFC 3987).
fn decode(part: UriPart, raw: &str) -> Result<String, UriError> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        let found = match c {
            '%' => {
                let mut digit = || chars.next().and_then(|c| c.to_digit(16));
                let byte = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                let byte = byte.and_then(|byte| u8::try_from(byte).ok());
                bytes.push(byte.ok_or(UriError::Percent { part })?);
                continue;
            }
            // The brackets of an IPv6 address.
            '[' | ']' if part == UriPart::Domain => None,
            ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}' | '[' | ']' => Some(c),
            _ => Some(c).filter(|c| c.is_control()),
        };
        if let Some(found) = found {
            return Err(UriError::Unencoded { part, found });
        }
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| UriError::NotUtf8 { part })
}
