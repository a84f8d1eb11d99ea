//! Bare JIDs as this crate compares them: octet by octet, after lower-casing ASCII letters.
//!
//! Full preparation (stringprep, RFC 6122) happens where addresses enter the program; here a JID is a name that must be equal on
//! three sides: the session, the certificate and the trust store.

/// Longest part of a JID in bytes (RFC 6122 §2).
const MAX_PART: usize = 1023;

/// Why a text is not a bare JID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JidError {
    /// Nothing there, or nothing before or after the `@`.
    #[error("a part of the JID is empty")]
    Empty,
    /// A part has more than 1023 bytes (RFC 6122 §2).
    #[error("a part of the JID has more than 1023 bytes")]
    TooLong,
    /// A resource: only bare JIDs name a key.
    #[error("the JID has a resource, a bare JID is needed")]
    Resource,
    /// A NUL or another control character.
    #[error("the JID has a control character")]
    Control,
    /// White space, a second `@`, or a character that RFC 6122 appendix A bans from the local part.
    #[error("the JID has a character that RFC 6122 does not allow")]
    Character,
}

/// The bare JID `text`, normalised for comparison.
pub(crate) fn bare(text: &str) -> Result<String, JidError> {
    if text.chars().any(char::is_control) {
        return Err(JidError::Control);
    }
    if text.contains('/') {
        return Err(JidError::Resource);
    }
    let (local, domain) = match text.split_once('@') {
        Some((local, domain)) => (Some(local), domain),
        None => (None, text),
    };
    for part in local.into_iter().chain([domain]) {
        if part.is_empty() {
            return Err(JidError::Empty);
        }
        if part.len() > MAX_PART {
            return Err(JidError::TooLong);
        }
        if part.contains(|c: char| {
            c.is_whitespace() || matches!(c, '@' | '"' | '&' | '\'' | '<' | '>')
        }) {
            return Err(JidError::Character);
        }
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{JidError, bare};

    #[test]
    fn letters_of_ascii_are_lower_cased_and_no_others() {
        assert_eq!(bare("Bob@Example.NET").unwrap(), "bob@example.net");
        assert_eq!(bare("ÄB@exämple.net").unwrap(), "Äb@exämple.net");
        assert_eq!(bare("example.net").unwrap(), "example.net");
    }

    #[test]
    fn what_is_no_bare_jid_is_refused_by_name() {
        let cases = [
            ("", JidError::Empty),
            ("@example.net", JidError::Empty),
            ("bob@", JidError::Empty),
            ("bob@example.net/phone", JidError::Resource),
            ("bob@example.net\0", JidError::Control),
            ("bob\u{85}@example.net", JidError::Control),
            ("bob@evil@example.net", JidError::Character),
            ("bob @example.net", JidError::Character),
            ("bob\u{a0}@example.net", JidError::Character),
            ("<bob>@example.net", JidError::Character),
        ];
        for (text, error) in cases {
            assert_eq!(bare(text), Err(error), "{text:?}");
        }
        assert_eq!(
            bare(&format!("{}@example.net", "b".repeat(1024))),
            Err(JidError::TooLong)
        );
        assert!(bare(&format!("{}@example.net", "b".repeat(1023))).is_ok());
    }
}
