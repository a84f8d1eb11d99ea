//! A line of a chat as a stanza: its text, the wish for a receipt, and the receipt (XEP-0184).

use xtls_stanza::{Element, Kind, Stanza};

/// What a stanza is to a chat.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Somebody says something; the id that they want confirmed, if they do.
    Text {
        text: String,
        confirm: Option<String>,
    },
    /// The peer has got a message of ours.
    Receipt(String),
}

/// What a stanza says in a chat, if anything.
pub(super) fn read(stanza: &Stanza) -> Option<Message> {
    if stanza.kind != Kind::Message || stanza.type_.as_deref() == Some("error") {
        return None;
    }
    let children = stanza.elements().ok()?;
    let child = |name, namespace| children.iter().find(|child| child.is(name, namespace));
    if let Some(body) = child("body", "jabber:client") {
        return Some(Message::Text {
            text: body.text(),
            confirm: child("request", RECEIPTS)
                .and_then(|_| stanza.id.as_deref().map(str::to_owned)),
        });
    }
    let received = child("received", RECEIPTS)?;
    Some(Message::Receipt(received.attr("id")?.to_owned()))
}

/// A line that asks for a receipt.
pub(super) fn text(id: &str, text: &str) -> Stanza {
    let body = Element::new("body", "jabber:client").with_text(text);
    Stanza::new(Kind::Message)
        .with_id(id)
        .with_type("chat")
        .with_child(&body)
        .with_child(&Element::new("request", RECEIPTS))
}

/// The receipt for a line.
pub(super) fn receipt(id: &str) -> Stanza {
    let received = Element::new("received", RECEIPTS).with_attr("id", id);
    Stanza::new(Kind::Message)
        .with_type("chat")
        .with_child(&received)
}

/// A text in pieces that each fit into a stanza, cut at line ends where there are any.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() || pieces.is_empty() {
        let end = fitting(rest);
        let (piece, more) = rest.split_at(end);
        // The line end at the cut is where the next message begins.
        pieces.push(if more.is_empty() {
            piece
        } else {
            piece.strip_suffix('\n').unwrap_or(piece)
        });
        rest = more;
    }
    pieces
}

/// How much of a text fits into one message.
fn fitting(text: &str) -> usize {
    let (mut written, mut line_end) = (0, None);
    for (at, c) in text.char_indices() {
        written += written_length(c);
        if written > LONGEST {
            return line_end.unwrap_or_else(|| at.max(1));
        }
        if c == '\n' {
            line_end = Some(at + 1);
        }
    }
    text.len()
}

/// Bytes that a character takes in XML, at most.
fn written_length(c: char) -> usize {
    match c {
        '&' | '<' | '>' | '"' | '\'' | '\r' => 6,
        c => c.len_utf8(),
    }
}

/// The first character that XML cannot carry (XML 1.0 §2.2).
pub(super) fn unsendable(text: &str) -> Option<char> {
    text.chars().find(|c| {
        matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
    })
}

/// Bytes of text in one message: a stanza inside a tunnel holds 262,144, and has a head.
const LONGEST: usize = 250_000;

const RECEIPTS: &str = "urn:xmpp:receipts";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let line = text("a1", "è < & \n second");
        assert_eq!(
            read(&line),
            Some(Message::Text {
                text: "è < & \n second".to_owned(),
                confirm: Some("a1".to_owned())
            })
        );
        assert_eq!(
            read(&receipt("a1")),
            Some(Message::Receipt("a1".to_owned()))
        );
        assert_eq!(read(&Stanza::new(Kind::Presence)), None);
        assert_eq!(read(&text("a1", "x").with_type("error")), None);
    }

    #[test]
    fn a_text_that_fits_is_one_message() {
        for text in ["", "a", "a\nb\n", &"x".repeat(LONGEST)] {
            assert_eq!(pieces(text), [text]);
        }
    }

    #[test]
    fn a_long_text_is_cut_at_line_ends_and_nothing_of_it_is_lost() {
        let lines: Vec<_> = (0..20_000).map(|n| format!("line {n} & more è")).collect();
        let text = lines.join("\n");
        let pieces = pieces(&text);
        assert!(pieces.len() > 1);
        assert_eq!(pieces.join("\n"), text);
        for piece in pieces {
            assert!(piece.chars().map(written_length).sum::<usize>() <= LONGEST);
        }
        let one = "è".repeat(LONGEST);
        let pieces = super::pieces(&one);
        assert_eq!(pieces.len(), 2);
        assert_eq!(pieces.concat(), one);
        // Every message fits even where each character must be escaped.
        let worst = "<".repeat(LONGEST);
        let stanza = super::text("line-4000000000", super::pieces(&worst)[0]);
        let mut xml = Vec::new();
        stanza.write(&mut xml);
        assert!(xml.len() < 262_144, "{}", xml.len());
    }

    #[test]
    fn what_xml_cannot_carry_is_named() {
        assert_eq!(unsendable("tab\tand\nline"), None);
        assert_eq!(unsendable("a\u{1b}[0m"), Some('\u{1b}'));
    }
}
