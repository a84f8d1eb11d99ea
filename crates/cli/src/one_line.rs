//! A stanza on one line, meaning the same.

/// Rewrites the line ends of a well-formed stanza so that it has none: in text they become `&#10;`, in tags a space, and
/// CDATA sections that hold some become text. XML's own rules make the two equal: line ends are normalised to U+000A
/// (XML 1.0 §2.11), and to a space in attribute values (§3.3.3).
pub(crate) fn one_line(xml: &[u8]) -> Vec<u8> {
    if !xml.iter().any(|octet| matches!(octet, b'\n' | b'\r')) {
        return xml.to_vec();
    }
    let mut out = Vec::with_capacity(xml.len() + 64);
    let mut rest = xml;
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(section) = rest.strip_prefix(b"<![CDATA[") {
            let end = find(section, b"]]>").unwrap_or(section.len());
            let (text, after) = section.split_at(end);
            escape(text, &mut out);
            rest = after.strip_prefix(b"]]>").unwrap_or(after);
        } else if first == b'<' {
            rest = tag(rest, &mut out);
        } else {
            let end = rest
                .iter()
                .position(|octet| *octet == b'<')
                .unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            lines(text, b"&#10;", &mut out);
            rest = after;
            let _ = tail;
        }
    }
    out
}

/// Copies one tag; says what follows it.
fn tag<'a>(xml: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let mut quote = None;
    let mut end = xml.len();
    for (at, octet) in xml.iter().enumerate() {
        match (quote, octet) {
            (None, b'\'' | b'"') => quote = Some(*octet),
            (Some(open), close) if open == *close => quote = None,
            (None, b'>') => {
                end = at + 1;
                break;
            }
            _ => {}
        }
    }
    let (tag, after) = xml.split_at(end);
    lines(tag, b" ", out);
    after
}

/// Copies text with its line ends replaced.
fn lines(text: &[u8], with: &[u8], out: &mut Vec<u8>) {
    let mut octets = text.iter().peekable();
    while let Some(&octet) = octets.next() {
        match octet {
            b'\r' => {
                octets.next_if(|next| **next == b'\n');
                out.extend_from_slice(with);
            }
            b'\n' => out.extend_from_slice(with),
            other => out.push(other),
        }
    }
}

/// The text of a CDATA section as ordinary text.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    for piece in text.split_inclusive(|octet| matches!(octet, b'<' | b'&' | b'>')) {
        let (plain, special): (&[u8], &[u8]) = match piece.split_last() {
            Some((b'<', plain)) => (plain, b"&lt;"),
            Some((b'&', plain)) => (plain, b"&amp;"),
            Some((b'>', plain)) => (plain, b"&gt;"),
            _ => (piece, b""),
        };
        lines(plain, b"&#10;", out);
        out.extend_from_slice(special);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(xml: &str) -> String {
        String::from_utf8(one_line(xml.as_bytes())).unwrap()
    }

    #[test]
    fn a_stanza_without_line_ends_is_untouched() {
        let xml = "<message id='a'><body><![CDATA[x<y]]></body></message>";
        assert_eq!(text(xml), xml);
    }

    #[test]
    fn line_ends_in_text_become_references() {
        assert_eq!(text("<a>x\ny\r\nz\rw</a>"), "<a>x&#10;y&#10;z&#10;w</a>");
    }

    #[test]
    fn line_ends_in_tags_become_spaces() {
        assert_eq!(text("<a\nb='c\nd>e'\r\n/>"), "<a b='c d>e' />");
    }

    #[test]
    fn sections_become_text() {
        assert_eq!(
            text("<a>\n<![CDATA[<b>\n&]]]></a>"),
            "<a>&#10;&lt;b&gt;&#10;&amp;]</a>"
        );
    }
}
