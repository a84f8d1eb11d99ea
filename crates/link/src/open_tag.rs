//! The stream header that we send (RFC 6120 §4.7).

use bytes::BytesMut;

/// Writes the start tag of a stream, with an XML declaration before it.
pub(crate) fn open_tag(content: &str, from: Option<&str>, to: &str, out: &mut BytesMut) {
    out.extend_from_slice(b"<?xml version='1.0'?><stream:stream xmlns='");
    out.extend_from_slice(content.as_bytes());
    out.extend_from_slice(b"' xmlns:stream='http://etherx.jabber.org/streams'");
    for (name, value) in [("from", from), ("to", Some(to))] {
        if let Some(value) = value {
            out.extend_from_slice(format!(" {name}='{}'", escaped(value)).as_bytes());
        }
    }
    out.extend_from_slice(b" xml:lang='en' version='1.0'>");
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_break_out_of_the_header() {
        let mut out = BytesMut::new();
        open_tag("jabber:client", Some("a'&<@b"), "b", &mut out);
        let tag = std::str::from_utf8(&out).unwrap();
        assert!(tag.contains(" from='a&apos;&amp;&lt;@b' to='b' "), "{tag}");
    }
}
