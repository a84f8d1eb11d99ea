use bytes::Bytes;
use proptest::prelude::*;

use crate::stanza::tests::stanza;
use crate::{Element, Kind, RawAttr, Stanza, ns};

fn line(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write_line(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn line_of(xml: &str) -> String {
    line(&Stanza::read(&Bytes::from(xml.to_owned())).unwrap())
}

/// What `splitlines` of Python splits at, and whatever else is read as the end of a line.
const ENDS: &[char] = &[
    '\n', '\r', '\u{B}', '\u{C}', '\u{1C}', '\u{1D}', '\u{1E}', '\u{85}', '\u{2028}', '\u{2029}',
];

/// What turns the direction of what is shown (Unicode's Bidi_Control).
const TURNS: &[char] = &[
    '\u{61C}', '\u{200E}', '\u{200F}', '\u{202A}', '\u{202B}', '\u{202C}', '\u{202D}', '\u{202E}',
    '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

#[test]
fn a_section_that_ends_like_another_is_text_that_reads_again() {
    let written = line_of(
        "<message><body><![CDATA[\n]]]]>></body></message>"
            .replace("]]]]>>", "]]]]>&gt;")
            .as_str(),
    );
    assert_eq!(
        written,
        "<message xmlns='jabber:client'><body>&#xA;]]&gt;</body></message>"
    );
    // With a bare `>` behind it, the text would hold `]]>`: the reader, like all others, takes the section apart from it.
    let bare = line_of("<message><body><![CDATA[\n]]]]>></body></message>");
    assert_eq!(bare, written);
    assert_eq!(line_of(&bare), bare);
}

#[test]
fn a_tag_in_a_section_stays_text() {
    let forged = "\u{2028}<message from='boss@capulet.example'><body>pay</body></message>";
    assert_eq!(
        line_of(&format!(
            "<message><body><![CDATA[{forged}]]></body></message>"
        )),
        "<message xmlns='jabber:client'><body>&#x2028;&lt;message from='boss@capulet.example'&gt;\
         &lt;body&gt;pay&lt;/body&gt;&lt;/message&gt;</body></message>"
    );
}

#[test]
fn what_ends_a_line_controls_a_terminal_or_turns_text_becomes_a_reference() {
    let controls = ('\u{80}'..='\u{9F}').chain(['\t', '\n', '\u{7F}']);
    for c in controls
        .chain(['\u{2028}', '\u{2029}'])
        .chain(TURNS.iter().copied())
    {
        let xml = format!("<message id='a{c}'><body b='{c}'>a{c}</body></message>");
        // Literal white space in a value is a space.
        let value = if matches!(c, '\t' | '\n') {
            " ".to_owned()
        } else {
            format!("&#x{:X};", u32::from(c))
        };
        let text = format!("&#x{:X};", u32::from(c));
        assert_eq!(
            line_of(&xml),
            format!(
                "<message xmlns='jabber:client' id='a{value}'><body b='{value}'>a{text}</body></message>"
            )
        );
    }
}

#[test]
fn everything_else_stays_as_it_is() {
    let xml =
        "<message xmlns='jabber:client' id='é😀'><body>\u{A0}\u{200B}\u{AD}日本 x</body></message>";
    assert_eq!(line_of(xml), xml);
}

#[test]
fn text_between_children_and_attributes_with_prefixes_are_kept() {
    let xml =
        "<message xmlns:p='u' p:a='1' type='chat' xml:lang='en'>\n<p:b/> x<c xmlns=''/></message>";
    assert_eq!(
        line_of(xml),
        "<message xmlns='jabber:client' type='chat' xml:lang='en' xmlns:a0='u' a0:a='1'>&#xA;<b xmlns='u'/> x<c xmlns=''/></message>"
    );
}

#[test]
fn children_that_were_set_by_hand_and_do_not_read_are_refused_and_nothing_is_written() {
    let mut stanza = Stanza::new(Kind::Message);
    stanza.children = Bytes::from_static(b"</message><message>");
    let mut out = Vec::new();
    assert!(stanza.write_line(&mut out).is_err());
    assert!(out.is_empty());
}

/// As many namespaces as the reader allows at one place, which all are used there.
#[test]
fn the_widest_scope_that_is_read_is_read_again() {
    let declared = |range: std::ops::Range<usize>| -> String {
        range.map(|i| format!(" xmlns:p{i}='urn:{i}'")).collect()
    };
    let used = |range: std::ops::Range<usize>| -> String {
        range.map(|i| format!(" p{i}:a=''")).collect()
    };
    let xml = format!(
        "<message{}><b{}{}><c{}>{}</c></b></message>",
        declared(0..64),
        declared(64..128),
        used(0..64),
        used(64..128),
        "<p0:d/><p1:d/>".repeat(40),
    );
    let stanza = Stanza::read(&Bytes::from(xml)).unwrap();
    let written = line(&stanza);
    let read = Element::read(written.as_bytes(), ns::CLIENT).unwrap();
    assert_eq!(read, stanza.to_element().unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_line_is_one_line_and_reads_as_the_same_tree(stanza in stanza()) {
        let written = line(&stanza);
        prop_assert!(!written.contains(ENDS) && !written.contains(TURNS), "{:?}", written);
        prop_assert!(!written.contains(char::is_control), "{:?}", written);
        prop_assert_eq!(written.lines().count(), 1);
        let tree = stanza.to_element().unwrap();
        prop_assert_eq!(&Element::read(written.as_bytes(), "").unwrap(), &tree);

        let mut plain = Vec::new();
        stanza.write(&mut plain);
        prop_assert_eq!(&Element::read(&plain, "").unwrap(), &tree);

        let read = Stanza::read(&Bytes::from(written.clone())).unwrap();
        prop_assert_eq!(line(&read), written);
    }

    #[test]
    fn nothing_in_a_field_leaves_the_line(
        id in crate::strategy::nasty(), name in crate::strategy::nasty(), value in crate::strategy::nasty(),
        child in crate::strategy::wild(),
    ) {
        let mut stanza = Stanza::new(Kind::Message).with_id(id).with_child(&child);
        stanza.extra.extend(RawAttr::new(name, value));
        let written = line(&stanza);
        prop_assert!(!written.contains(ENDS) && !written.contains(char::is_control), "{:?}", written);
        prop_assert!(Stanza::read(&Bytes::from(written)).is_ok());
    }
}
