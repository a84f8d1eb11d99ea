//! The stream header (RFC 6120 §4.7), which is a start tag without an end.

use xtls_stanza::{Element, ReadError};

/// More than any server's header.
const MAX_HEADER: usize = 4_096;

const STREAMS: &str = "http://etherx.jabber.org/streams";

/// A server's stream header as it came, with all that may stand before it.
#[derive(Debug, Clone)]
pub(super) struct Header {
    /// The start tag alone.
    tag: Vec<u8>,
}

impl Header {
    /// Finds a whole header at the start of `bytes`: it, and how many bytes it takes. `None`: more bytes, please.
    pub(super) fn find(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeaderError> {
        let found = Self::search(bytes)?;
        if found.is_none() && bytes.len() > MAX_HEADER {
            return Err(HeaderError::TooLong);
        }
        Ok(found)
    }

    fn search(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeaderError> {
        let space = bytes
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        let rest = bytes.get(space..).unwrap_or_default();
        let rest = match rest.strip_prefix(b"<?xml") {
            Some(declaration) => match find(declaration, b"?>") {
                Some(end) => declaration.get(end + 2..).unwrap_or_default(),
                None => return Ok(None),
            },
            None if b"<?xml".starts_with(rest) => return Ok(None),
            None => rest,
        };
        let space = rest
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        let rest = rest.get(space..).unwrap_or_default();
        match rest {
            [] | [b'<'] => return Ok(None),
            [b'<', b'!' | b'?' | b'/', ..] => return Err(HeaderError::NotAHeader),
            [b'<', ..] => {}
            _ => return Err(HeaderError::NotAHeader),
        }
        let mut quote = None;
        for (at, &byte) in rest.iter().enumerate() {
            match (quote, byte) {
                (None, b'"' | b'\'') => quote = Some(byte),
                (Some(open), _) if open == byte => quote = None,
                (None, b'>') => {
                    let tag = rest.get(..=at).unwrap_or_default().to_vec();
                    let taken = bytes.len() - rest.len() + at + 1;
                    let header = Self { tag };
                    return header.check().map(|()| Some((header, taken)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn check(&self) -> Result<(), HeaderError> {
        if self.tag.ends_with(b"/>") {
            return Err(HeaderError::NotAHeader);
        }
        let mut document = self.tag.clone();
        document.extend_from_slice(&self.footer());
        let root = Element::read(&document, "").map_err(HeaderError::Unreadable)?;
        if root.is("stream", STREAMS) {
            Ok(())
        } else {
            Err(HeaderError::NotAHeader)
        }
    }

    /// The end tag that closes this stream.
    pub(super) fn footer(&self) -> Vec<u8> {
        let name = self
            .tag
            .iter()
            .skip(1)
            .take_while(|&&byte| !byte.is_ascii_whitespace() && byte != b'>');
        let mut footer = b"</".to_vec();
        footer.extend(name);
        footer.push(b'>');
        footer
    }

    /// Reads a top-level element with the header's namespaces around it.
    pub(super) fn read(&self, element: &[u8]) -> Result<Element, ReadError> {
        let mut document = self.tag.clone();
        document.extend_from_slice(element);
        document.extend_from_slice(&self.footer());
        let mut root = Element::read(&document, "")?;
        let first = root.children.drain(..).find_map(|node| match node {
            xtls_stanza::Node::Element(element) => Some(*element),
            xtls_stanza::Node::Text(_) => None,
        });
        Ok(first.unwrap_or(root))
    }
}

/// A stream error or the like: the condition's name, and the text beside it or nothing.
pub(super) fn condition(error: &Element) -> (String, String) {
    let condition = error.elements().find(|child| child.name != "text");
    let text = error.elements().find(|child| child.name == "text");
    (
        condition.map_or_else(
            || "undefined-condition".to_owned(),
            |child| child.name.to_string(),
        ),
        text.map(Element::text).unwrap_or_default(),
    )
}

/// Whether an element is a stream error (RFC 6120 §4.9).
pub(super) fn is_stream_error(element: &Element) -> bool {
    element.is("error", STREAMS)
}

pub(super) fn is_features(element: &Element) -> bool {
    element.is("features", STREAMS)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Why bytes are no stream header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("a stream header of more than {MAX_HEADER} bytes")]
    TooLong,
    #[error("something else than a stream header")]
    NotAHeader,
    #[error("an unreadable stream header: {0}")]
    Unreadable(ReadError),
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' from='a>b' \
        xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

    fn header(text: &str) -> Result<Option<usize>, HeaderError> {
        Ok(Header::find(text.as_bytes())?.map(|(_, taken)| taken))
    }

    #[test]
    fn a_header_ends_where_it_ends_and_not_before() {
        for at in 0..HEADER.len() {
            assert_eq!(header(&HEADER[..at]), Ok(None), "{at}");
        }
        assert_eq!(
            header(&format!(" \n{HEADER}<more")),
            Ok(Some(HEADER.len() + 2))
        );
        let without = HEADER.strip_prefix("<?xml version='1.0'?>").unwrap();
        assert_eq!(header(without), Ok(Some(without.len())));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in [
            "HTTP/1.1 400 Bad Request",
            "\u{16}\u{3}\u{1}",
            "<!DOCTYPE x>",
            "</a>",
            "<stream xmlns='jabber:client'>",
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>",
        ] {
            assert_eq!(header(text), Err(HeaderError::NotAHeader), "{text}");
        }
        assert!(matches!(header("<a:b>"), Err(HeaderError::Unreadable(_))));
    }

    #[test]
    fn an_endless_header_is_refused() {
        let long = format!("<stream:stream a='{}", "a".repeat(MAX_HEADER));
        assert_eq!(header(&long), Err(HeaderError::TooLong));
    }

    #[test]
    fn the_header_gives_its_prefixes_to_what_it_holds() {
        let (header, _) = Header::find(HEADER.as_bytes()).unwrap().unwrap();
        assert_eq!(header.footer(), b"</stream:stream>");
        let error = header
            .read(b"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
            .unwrap();
        assert!(is_stream_error(&error));
        assert_eq!(condition(&error), ("conflict".to_owned(), String::new()));
        assert!(header.read(b"<a/>").unwrap().is("a", "jabber:client"));
    }
}
