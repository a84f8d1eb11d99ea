//! Addresses as servers normalise them.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use idna::punycode;
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use stringprep::tables::unassigned_code_point;
use stringprep::{nameprep, nodeprep, resourceprep};

use crate::address::{split_local, split_resource};
use crate::{Address, Part};

/// Reads what a person typed, or a server sent, as an address, normalised as Prosody and ejabberd do it: by stringprep
/// (RFC 6122, RFC 3454), whose Unicode is 3.2, and not by its successor (RFC 7622).
///
/// One thing goes beyond that: the labels of a domain that are written for the DNS (`xn--…`) become what they stand for
/// (RFC 3490 §4.2), so that both spellings are one address.
///
/// [`Address`] itself lower-cases ASCII only; whatever a person typed goes through here.
///
/// ```
/// use xtls_stanza::normalise::normalise;
///
/// let address = normalise("Juliet@Capulet.Example/Balcony")?;
/// assert_eq!(address.as_str(), "juliet@capulet.example/Balcony");
/// assert_eq!(normalise("romeo@xn--bcher-kva.example")?, normalise("romeo@bücher.example")?);
/// # Ok::<(), xtls_stanza::normalise::NotAnAddress>(())
/// ```
///
/// # Errors
/// The text is not an address; the error names the part, the code point and the rule. Code points that Unicode 3.2 had not
/// assigned are refused before anything else happens to them: today's tables make other names of some.
pub fn normalise(text: &str) -> Result<Address, NotAnAddress> {
    prepared(text).map_err(|why| NotAnAddress {
        text: text.to_owned(),
        why,
    })
}

/// Whether an address that was read off a stanza has yet to be normalised: of ASCII, only what is written for the DNS.
#[must_use]
pub fn is_raw(address: &Address) -> bool {
    !address.as_str().is_ascii()
        || address
            .domain()
            .split('.')
            .any(|label| ace(label).is_some())
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an XMPP address: {why}")]
#[non_exhaustive]
pub struct NotAnAddress {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

fn prepared(text: &str) -> Result<Address, String> {
    let (bare, resource) = split_resource(text);
    let (local, domain) = split_local(bare);
    let mut normal = String::with_capacity(text.len());
    if let Some(local) = local {
        normal += &prepare(Part::Local, local)?;
        normal.push('@');
    }
    normal += &self::domain(domain)?;
    if let Some(resource) = resource {
        normal.push('/');
        normal += &prepare(Part::Resource, resource)?;
    }
    let address = Address::new(&normal).map_err(|error| error.to_string())?;
    // Preparation makes no separators, but what it makes must be what it is read as.
    if address.as_str() == normal {
        Ok(address)
    } else {
        Err("it is another one when it is normalised (RFC 6122 §2)".to_owned())
    }
}

/// A part by its profile of stringprep.
fn prepare(part: Part, text: &str) -> Result<String, String> {
    if let Some(found) = text.chars().find(|&c| unassigned_code_point(c)) {
        return Err(format!(
            "the {part} holds {}, which XMPP addresses by stringprep (Unicode 3.2) cannot hold (RFC 3454 §7)",
            Shown(found)
        ));
    }
    let text: String = text.chars().map(before_corrigendum_4).collect();
    let wrong = |_| {
        let alone = |c: &char| profile(part, c.encode_utf8(&mut [0; 4])).is_err();
        match text.chars().find(alone) {
            Some(found) => format!(
                "the {part} holds {}, which {} forbids there",
                Shown(found),
                rule(part)
            ),
            None => format!(
                "the {part} is written from right to left and from left to right at once (RFC 3454 §6)"
            ),
        }
    };
    profile(part, &text).map(Cow::into_owned).map_err(wrong)
}

fn profile(part: Part, text: &str) -> Result<Cow<'_, str>, stringprep::Error> {
    match part {
        Part::Local => nodeprep(text),
        Part::Domain => nameprep(text),
        Part::Resource => resourceprep(text),
    }
}

fn rule(part: Part) -> &'static str {
    match part {
        Part::Local => "RFC 6122 appendix A (Nodeprep)",
        Part::Domain => "RFC 3491 (Nameprep)",
        Part::Resource => "RFC 6122 appendix B (Resourceprep)",
    }
}

/// The five ideographs whose decompositions Unicode 4.0 corrected, as Unicode 3.2 decomposed them, and so both servers do.
fn before_corrigendum_4(c: char) -> char {
    match c {
        '\u{2F868}' => '\u{2136A}',
        '\u{2F874}' => '\u{5F33}',
        '\u{2F91F}' => '\u{43AB}',
        '\u{2F95F}' => '\u{7AAE}',
        '\u{2F9BF}' => '\u{4D57}',
        other => other,
    }
}

/// A domain, or an address of IPv4, or of IPv6 in brackets.
fn domain(text: &str) -> Result<String, String> {
    let is_v6 = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .is_some_and(|text| text.parse::<Ipv6Addr>().is_ok());
    if is_v6 || text.parse::<Ipv4Addr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let labels: Vec<Cow<'_, str>> = text.split('.').map(shown_label).collect();
    let normal = prepare(Part::Domain, &labels.join("."))?;
    is_host_name(&normal)?;
    Ok(normal)
}

/// What follows the mark of a label for the DNS.
fn ace(label: &str) -> Option<&str> {
    let mark = label.get(..4)?;
    mark.eq_ignore_ascii_case("xn--").then(|| label.get(4..))?
}

/// What a label for the DNS stands for, if it comes of just that (RFC 3490 §4.2); any other label as it is. What newer rules
/// made, such as one with `ß`, stays as it is: it is another domain than the one that Nameprep would make of it.
fn shown_label(label: &str) -> Cow<'_, str> {
    let Some(encoded) = ace(label).map(str::to_ascii_lowercase) else {
        return Cow::Borrowed(label);
    };
    let decoded = punycode::decode_to_string(&encoded).filter(|decoded| {
        !decoded.is_ascii()
            && punycode::encode_str(decoded).is_some_and(|again| again == encoded)
            && prepare(Part::Domain, decoded).is_ok_and(|normal| normal == *decoded)
    });
    decoded.map_or(Cow::Borrowed(label), Cow::Owned)
}

/// Whether the DNS can carry it.
fn is_host_name(domain: &str) -> Result<(), String> {
    let ascii = |domain: &str| {
        let deny = AsciiDenyList::URL;
        Uts46::new()
            .to_ascii(domain.as_bytes(), deny, Hyphens::Check, DnsLength::Verify)
            .is_ok()
    };
    if domain.is_empty() || ascii(domain) {
        // Address says that it is empty.
        return Ok(());
    }
    let alone = |c: &char| *c != '.' && *c != '-' && !ascii(c.encode_utf8(&mut [0; 4]));
    Err(match domain.chars().find(alone) {
        Some(found) => format!(
            "the domain holds {}, which host names cannot hold (RFC 6122 §2.2, UTS 46)",
            Shown(found)
        ),
        None => "the domain is no host name: a label is empty, has more than 63 bytes, or a hyphen at an end (RFC 6122 §2.2, UTS 46)".to_owned(),
    })
}

/// A code point for a person: its number, and itself where that can be seen.
struct Shown(char);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U+{:04X}", u32::from(self.0))?;
        if self.0.is_ascii_graphic() {
            write!(f, " ({:?})", self.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
