//! The stream header that we send (RFC 6120 §4.7).

use bytes::BytesMut;

/// Writes the start tag of a client's stream, with an XML declaration before it.
pub(crate) fn open_tag(content: &str, from: Option<&str>, to: &str, out: &mut BytesMut) {
    let mut tag = Vec::new();
    let version = [("xml:lang", "en"), ("version", "1.0")];
    let names = from.map(|from| ("from", from)).into_iter();
    let names = names.chain([("to", to)]).chain(version);
    start(content, names, &mut tag);
    out.extend_from_slice(&tag);
}

/// Writes the start tag of any stream with these attributes, and an XML declaration before it.
pub(crate) fn start<'a>(
    content: &str,
    attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"<?xml version='1.0'?><stream:stream xmlns='");
    out.extend_from_slice(content.as_bytes());
    out.extend_from_slice(b"' xmlns:stream='http://etherx.jabber.org/streams'");
    for (name, value) in attributes {
        out.extend_from_slice(format!(" {name}='{}'", escaped(value)).as_bytes());
    }
    out.push(b'>');
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
        assert!(tag.ends_with(" xml:lang='en' version='1.0'>"), "{tag}");
    }
}
