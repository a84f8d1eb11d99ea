//! The stream header (RFC 6120 §4.7), which is a start tag without an end.

use xtls_framer::{Cutter, Limits};
use xtls_stanza::{Element, Node, ReadError};

/// A peer's stream header as it came, with all that may stand before it.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    /// The start tag alone.
    tag: Vec<u8>,
    root: Element,
}

impl Header {
    /// Finds a whole header at the start of `bytes`: it, and how many bytes it takes. `None`: more bytes, please.
    pub(crate) fn find(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeaderError> {
        // No more than that, so that it doesn't matter how much comes at a time.
        let found = Self::search(bytes.get(..MAX_HEADER).unwrap_or(bytes))?;
        if found.is_none() && bytes.len() > MAX_HEADER {
            return Err(HeaderError::TooLong);
        }
        Ok(found)
    }

    fn search(bytes: &[u8]) -> Result<Option<(Self, usize)>, HeaderError> {
        let rest = bytes.trim_ascii_start();
        let rest = match rest.strip_prefix(b"<?xml") {
            Some(declaration) => match find(declaration, b"?>") {
                Some(end) => declaration.get(end + 2..).unwrap_or_default(),
                None => return Ok(None),
            },
            None if b"<?xml".starts_with(rest) => return Ok(None),
            None => rest,
        };
        let rest = rest.trim_ascii_start();
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
                    let tag = rest.get(..=at).unwrap_or_default();
                    let taken = bytes.len() - rest.len() + at + 1;
                    return Self::new(tag).map(|header| Some((header, taken)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn new(tag: &[u8]) -> Result<Self, HeaderError> {
        if tag.ends_with(b"/>") {
            return Err(HeaderError::NotAHeader);
        }
        let document = [tag, &footer(tag)].concat();
        let root = Element::read(&document, "").map_err(HeaderError::Unreadable)?;
        if !root.is("stream", STREAMS) {
            return Err(HeaderError::NotAHeader);
        }
        let tag = tag.to_vec();
        Ok(Self { tag, root })
    }

    /// Checks what every stream of this content namespace has in common.
    pub(crate) fn check(&self, content: &str) -> Result<(), HeaderError> {
        // The default namespace is the one that an element without any has.
        let probe = self.read(b"<x/>").map_err(HeaderError::Unreadable)?;
        if !probe.is("x", content) {
            let ns = probe.ns.as_str().to_owned();
            return Err(HeaderError::Namespace { ns });
        }
        Ok(())
    }

    /// Checks that the stream is one of XMPP 1.x (RFC 6120 §4.7.5), which earlier servers do not say.
    pub(crate) fn check_version(&self) -> Result<(), HeaderError> {
        let version = self.root.attr("version").unwrap_or_default();
        let major = version
            .split_once('.')
            .map(|(major, _)| major.parse::<u32>());
        if major == Some(Ok(1)) {
            return Ok(());
        }
        let version = version.chars().take(16).collect();
        Err(HeaderError::Version { version })
    }

    pub(crate) fn from(&self) -> Option<&str> {
        self.root.attr("from")
    }

    #[cfg(feature = "serve")]
    pub(crate) fn to(&self) -> Option<&str> {
        self.root.attr("to")
    }

    /// The stream's id.
    #[cfg(feature = "component")]
    pub(crate) fn id(&self) -> Option<&str> {
        self.root.attr("id")
    }

    /// The end tag that closes this stream.
    pub(crate) fn footer(&self) -> Vec<u8> {
        footer(&self.tag)
    }

    /// Reads a top-level element with the header's namespaces around it.
    pub(crate) fn read(&self, element: &[u8]) -> Result<Element, ReadError> {
        let document = [&self.tag, element, &self.footer()].concat();
        let mut root = Element::read(&document, "")?;
        let first = root.children.drain(..).find_map(|node| match node {
            Node::Element(element) => Some(*element),
            Node::Text(_) => None,
        });
        Ok(first.unwrap_or(root))
    }
}

/// What cuts the elements behind a header out, until stanzas pass.
pub(crate) fn cutter() -> Cutter {
    Cutter::new(Limits::default().max_len(MAX_ELEMENT).max_depth(MAX_DEPTH))
}

fn footer(tag: &[u8]) -> Vec<u8> {
    let name = tag.iter().skip(1);
    let name = name.take_while(|&&byte| !byte.is_ascii_whitespace() && byte != b'>');
    let mut footer = b"</".to_vec();
    footer.extend(name);
    footer.push(b'>');
    footer
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut windows = bytes.windows(wanted.len());
    windows.position(|window| window == wanted)
}

/// Why bytes are no stream header, or not one that we can go on with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// It does not end.
    #[error("a stream header of more than {MAX_HEADER} bytes")]
    TooLong,
    /// What came begins no stream.
    #[error("something other than a stream header")]
    NotAHeader,
    /// It is not well-formed.
    #[error("an unreadable stream header")]
    Unreadable(#[source] ReadError),
    /// Its elements are in a namespace that is not what this kind of stream carries (RFC 6120 §4.8.2).
    #[error("a stream of {ns:?}, which is another kind of stream")]
    Namespace {
        /// Its default namespace.
        ns: String,
    },
    /// It does not say that it is XMPP 1.x (RFC 6120 §4.7.5).
    #[error("a stream of version {version:?}, and XMPP is 1.0")]
    Version {
        /// What it says, or nothing; at most 16 characters.
        version: String,
    },
    /// It says that it comes from somebody else.
    #[error("a stream from {from:?}, which was not asked for")]
    From {
        /// Who.
        from: String,
    },
}

pub(crate) const STREAMS: &str = "http://etherx.jabber.org/streams";

/// Bytes of an element before stanzas pass, and its depth. Nobody is known yet, so little is believed.
pub(crate) const MAX_ELEMENT: usize = 65_536;
const MAX_DEPTH: u32 = 16;

/// More than any server's header.
const MAX_HEADER: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' from='a>b' \
        xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

    fn taken(text: &str) -> Result<Option<usize>, HeaderError> {
        Ok(Header::find(text.as_bytes())?.map(|(_, taken)| taken))
    }

    fn header(attributes: &str) -> Header {
        let text = format!("<s:stream xmlns:s='{STREAMS}' {attributes}>");
        Header::find(text.as_bytes()).unwrap().unwrap().0
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
            assert_eq!(taken(text), Err(HeaderError::NotAHeader), "{text}");
        }
        assert!(matches!(taken("<a:b>"), Err(HeaderError::Unreadable(_))));
    }

    #[test]
    fn an_endless_header_is_refused() {
        let long = format!("<stream:stream a='{}", "a".repeat(MAX_HEADER));
        assert_eq!(taken(&long), Err(HeaderError::TooLong));
    }

    #[test]
    fn streams_of_other_namespaces_are_refused() {
        let ns = |ns: &str| HeaderError::Namespace { ns: ns.to_owned() };
        let check = |attributes| header(attributes).check("jabber:client");
        assert_eq!(check("xmlns='jabber:client'"), Ok(()));
        assert_eq!(check("xmlns='jabber:server'"), Err(ns("jabber:server")));
        assert_eq!(check(""), Err(ns("")));
    }

    #[test]
    fn streams_of_other_versions_are_refused() {
        for version in ["", "0.9", "2.0", "1", "one.zero", "-1.0"] {
            let header = header(&format!("version='{version}'"));
            let error = HeaderError::Version {
                version: version.to_owned(),
            };
            assert_eq!(header.check_version(), Err(error));
        }
        for version in ["1.0", "1.1", "1.10", "01.0"] {
            let header = header(&format!("version='{version}'"));
            assert_eq!(header.check_version(), Ok(()), "{version}");
        }
        assert!(header("").check_version().is_err());
    }

    #[test]
    fn a_header_ends_where_it_ends_and_not_before() {
        for at in 0..HEADER.len() {
            assert_eq!(taken(&HEADER[..at]), Ok(None), "{at}");
        }
        assert_eq!(
            taken(&format!(" \n{HEADER}<more")),
            Ok(Some(HEADER.len() + 2))
        );
        let without = HEADER.strip_prefix("<?xml version='1.0'?>").unwrap();
        assert_eq!(taken(without), Ok(Some(without.len())));
    }

    #[test]
    fn the_header_gives_its_prefixes_to_what_it_holds() {
        let (header, _) = Header::find(HEADER.as_bytes()).unwrap().unwrap();
        assert_eq!(header.footer(), b"</stream:stream>");
        let error = header.read(b"<stream:error/>").unwrap();
        assert!(error.is("error", STREAMS));
        assert!(header.read(b"<a/>").unwrap().is("a", "jabber:client"));
        assert_eq!(header.from(), Some("a>b"));
    }
}
