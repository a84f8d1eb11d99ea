//! A line of a chat as a stanza: its text, the request for a receipt, and the receipt (XEP-0184); its origin id (XEP-0359).

use xtls_stanza::{Element, Kind, Stanza};

use super::states::State;

/// The meaning of a stanza in a chat.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A text, the id to confirm if its author requests a receipt, and the id by which it is known again.
    Text {
        text: String,
        confirm: Option<String>,
        origin: Option<String>,
    },
    /// The peer has received one of our messages.
    Receipt(String),
}

/// Interprets a stanza; `None` if it means nothing in a chat.
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
            origin: child("origin-id", ORIGIN)
                .and_then(|origin| origin.attr("id").map(str::to_owned)),
        });
    }
    let received = child("received", RECEIPTS)?;
    Some(Message::Receipt(received.attr("id")?.to_owned()))
}

/// What a stanza says that its author does.
pub(super) fn state(stanza: &Stanza) -> Option<State> {
    let children = stanza.elements().ok()?;
    let said = |state: &State| children.iter().any(|child| child.is(state.name(), STATES));
    let said = State::ALL.into_iter().find(said);
    said.filter(|_| stanza.kind == Kind::Message && stanza.type_.as_deref() != Some("error"))
}

/// A stanza that says what we do, and nothing else.
pub(super) fn doing(state: State) -> Stanza {
    Stanza::new(Kind::Message)
        .with_type("chat")
        .with_child(&Element::new(state.name(), STATES))
}

/// A line that requests a receipt, and that is known again if it is sent again. With `states`, it says that we know them.
pub(super) fn text(id: &str, text: &str, states: bool) -> Stanza {
    let body = Element::new("body", "jabber:client").with_text(text);
    let stanza = Stanza::new(Kind::Message)
        .with_id(id)
        .with_type("chat")
        .with_child(&body)
        .with_child(&Element::new("request", RECEIPTS))
        .with_child(&Element::new("origin-id", ORIGIN).with_attr("id", id));
    match states {
        true => stanza.with_child(&Element::new(State::Active.name(), STATES)),
        false => stanza,
    }
}

/// The receipt for a line.
pub(super) fn receipt(id: &str) -> Stanza {
    let received = Element::new("received", RECEIPTS).with_attr("id", id);
    Stanza::new(Kind::Message)
        .with_type("chat")
        .with_child(&received)
}

/// Splits a text into pieces that each fit into a stanza, at line ends where possible.
pub(super) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() || pieces.is_empty() {
        let end = fitting(rest);
        let (piece, more) = rest.split_at(end);
        // The next message stands for the line end at the split.
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

/// The most bytes that a character takes in XML.
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

/// Bytes of text in one message: a stanza inside a tunnel may have 262,144, including its other parts.
const LONGEST: usize = 250_000;

const RECEIPTS: &str = "urn:xmpp:receipts";

const STATES: &str = "http://jabber.org/protocol/chatstates";

/// XEP-0359.
const ORIGIN: &str = "urn:xmpp:sid:0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_messages_are_read_again() {
        let line = text("a1", "è < & \n second", false);
        assert_eq!(
            read(&line),
            Some(Message::Text {
                text: "è < & \n second".to_owned(),
                confirm: Some("a1".to_owned()),
                origin: Some("a1".to_owned()),
            })
        );
        assert_eq!(
            read(&receipt("a1")),
            Some(Message::Receipt("a1".to_owned()))
        );
        assert_eq!(read(&Stanza::new(Kind::Presence)), None);
        assert_eq!(read(&text("a1", "x", false).with_type("error")), None);
    }

    #[test]
    fn a_state_is_read_as_it_was_written_and_is_no_text() {
        for state in State::ALL {
            let stanza = doing(state);
            assert_eq!(super::state(&stanza), Some(state));
            assert_eq!(read(&stanza), None);
            assert_eq!(super::state(&stanza.with_type("error")), None);
        }
        assert_eq!(state(&text("a1", "x", false)), None);
        assert_eq!(state(&text("a1", "x", true)), Some(State::Active));
    }

    #[test]
    fn a_text_that_fits_is_one_message() {
        for text in ["", "a", "a\nb\n", &"x".repeat(LONGEST)] {
            assert_eq!(pieces(text), [text]);
        }
    }

    #[test]
    fn a_long_text_is_split_at_line_ends_without_loss() {
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
        let stanza = super::text(
            "0123456789abcdef-1000000-4000000000",
            super::pieces(&worst)[0],
            true,
        );
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
