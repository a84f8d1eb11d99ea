//! The law: frames and error depend on the bytes and not on how they came.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::{Outcome, accepts, feed, in_place, outcome};
use xtls_framer::Limits;

/// Everything well-formed that could lead a scanner astray.
const NASTY: &str = concat!(
    " \t\r\n<a/>\n<a />\r\n<a></a><a ></a >",
    "<a b='>'/><a b='/>'/><a b=\"/>\"></a><a b='\"' c=\"'\"/><a b=\"'>\" c='\">'></a>",
    "<a b='c='/><a b='c= '/><a b = 'c'/><a b= '>' /><a b='= '></a><a b=''/><a b='' c=''></a>",
    "<a b='>/a>'>></a><a b=\"it's\">it's \"so\"</a><a b='x' c=\"y>\" d='z'/>",
    "<a><![CDATA[]]></a><a><![CDATA[>]]></a><a><![CDATA[]>]]></a><a><![CDATA[]]]></a>",
    "<a><![CDATA[<a><b/></c> <!-- --> <?xml?> ']]></a><a>x<![CDATA[]]]]><![CDATA[>]]>y</a>",
    "<a>&lt;&#x10FFFF; é€𐍈 / > = ' \"</a><a\n\tb\n=\n'c'\n/><é ü='ö'>ß</é>",
    "<a><b><c><d/></c><c/></b><b/></a><a b='\u{1F980}>'/>  ",
);

#[test]
fn a_nasty_document_is_cut_alike_everywhere() {
    let outcome = outcome(NASTY, Limits::default());
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.frames.len(), 30);
    let joined: Vec<u8> = outcome.frames.concat();
    let kept: Vec<u8> = NASTY.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let joined: Vec<u8> = joined
        .into_iter()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    assert_eq!(joined, kept);
}

#[test]
fn a_nasty_document_is_cut_alike_in_three_pieces() {
    let whole = feed([NASTY.as_bytes()], Limits::default());
    for first in (0..NASTY.len()).step_by(3) {
        for second in (first..NASTY.len()).step_by(5) {
            let (head, tail) = NASTY.as_bytes().split_at(second);
            let (head, middle) = head.split_at(first);
            assert_eq!(
                feed([head, middle, tail], Limits::default()),
                whole,
                "{first}, {second}"
            );
        }
    }
}

#[test]
fn the_end_of_a_tag_is_not_in_its_attributes() {
    for element in [
        "<a b='>'></a>",
        "<a b='/>'></a>",
        "<a b=\">\" c='>'></a>",
        "<a b='x>' c='y'></a>",
        "<a b=\"x'>\"></a>",
        "<a b='x' c=\"'>\"></a>",
        "<a b= '>'></a>",
        "<a b='=>'></a>",
        "<a b='\n>'></a>",
        "<a b='/ >'></a>",
    ] {
        accepts(format!("{element}<i/>"), &[element, "<i/>"]);
        let (empty, _) = element.split_at(element.len() - 5);
        let empty = format!("{empty}/>");
        accepts(format!("{empty}<i/>"), &[&empty, "<i/>"]);
    }
}

#[test]
fn a_slash_inside_a_tag_does_not_close_it() {
    accepts(
        "<a b='/'></a><a b=\"/\" ></a>",
        &["<a b='/'></a>", "<a b=\"/\" ></a>"],
    );
}

#[test]
fn a_cdata_section_ends_at_its_first_end_only() {
    for text in [
        "",
        "]",
        "]]",
        ">",
        "]>",
        "]] >",
        "<b>",
        "</a>",
        "<![CDATA[",
        "'",
        "é",
        "-->",
        "]></a>",
    ] {
        let stanza = format!("<a><![CDATA[{text}]]></a>");
        accepts(format!("{stanza}<i/>"), &[&stanza, "<i/>"]);
    }
}

#[test]
fn space_between_stanzas_is_dropped_and_no_other() {
    accepts(
        " \t\r\n<a> <b/> </a> \t\r\n<a/>",
        &["<a> <b/> </a>", "<a/>"],
    );
}

/// One well-formed element, in all the shapes that XML allows and XMPP does not forbid.
fn element() -> impl Strategy<Value = String> {
    let name = select(vec!["a", "message", "x:y", "é", "a-b.c_d0"]);
    let space = select(vec!["", " ", "\n\t", "  "]);
    let value = vec(
        select(vec![
            "x", ">", "/", "=", " ", "&lt;", "é", "/>", "Q", "]]>", "-",
        ]),
        0..6,
    );
    let attribute = (
        name.clone(),
        space.clone(),
        space.clone(),
        any::<bool>(),
        value,
    )
        .prop_map(|(name, before, after, single, value)| {
            // The other quote may stand in the value.
            let (quote, other) = if single { ("'", "\"") } else { ("\"", "'") };
            let value = value.concat().replace('Q', other);
            format!(" {name}{before}={after}{quote}{value}{quote}")
        });
    let tag = (name, vec(attribute, 0..4), space);
    let text = vec(
        select(vec![
            "x", ">", "'", "\"", "/", " ", "&amp;", "é", "]", "=", "-->",
        ]),
        0..6,
    );
    let text = text.prop_map(|text| no_end_of_cdata(&text.concat()));
    let cdata = vec(
        select(vec![
            "x", "<", ">", "]", "'", "\"", "</a>", "<!--", "?>", "é",
        ]),
        0..6,
    );
    let cdata = cdata.prop_map(|text| format!("<![CDATA[{}]]>", no_end_of_cdata(&text.concat())));
    let empty = tag
        .clone()
        .prop_map(|(name, attrs, space)| format!("<{name}{}{space}/>", attrs.concat()));
    prop_oneof![
        empty,
        cdata.clone().prop_map(|cdata| format!("<a>{cdata}</a>"))
    ]
    .prop_recursive(4, 32, 6, move |inner| {
        let child = prop_oneof![2 => inner, 2 => text.clone(), 1 => cdata.clone()];
        (tag.clone(), vec(child, 0..6)).prop_map(|((name, attrs, space), children)| {
            let (attrs, children) = (attrs.concat(), children.concat());
            format!("<{name}{attrs}{space}>{children}</{name}{space}>")
        })
    })
}

/// Neither text nor a CDATA section may hold its end; `]]]>` has to lose more than one bracket.
fn no_end_of_cdata(text: &str) -> String {
    text.replace("]]>", "]]x>")
}

#[test]
fn what_the_generator_writes_holds_no_end_of_cdata() {
    for text in ["]]>", "]]]>", "]]]]>]]>", "]]>>"] {
        assert!(!no_end_of_cdata(text).contains("]]>"), "{text}");
    }
}

/// Scraps of markup, which make anything but well-formed documents.
fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scraps: Vec<&[u8]> = vec![
        b"<",
        b">",
        b"/",
        b"'",
        b"\"",
        b"=",
        b" ",
        b"\n",
        b"a",
        b"!",
        b"?",
        b"[",
        b"]",
        b"-",
        b"\xff",
        b"<a>",
        b"</a>",
        b"<a/>",
        b"<a b='",
        b"<a b=\"",
        b"'>",
        b"\">",
        b"'/>",
        b"<![CDATA[",
        b"]]>",
        b"<?xml",
        b"<!--",
        b"<!DOCTYPE",
        b"\xc3",
        b"\xa9",
    ];
    vec(select(scraps), 0..24).prop_map(|scraps| scraps.concat())
}

/// The pieces between cuts anywhere.
fn pieces<'a>(document: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<_> = cuts
        .iter()
        .map(|cut| cut.index(document.len() + 1))
        .collect();
    at.extend([0, document.len()]);
    at.sort_unstable();
    at.windows(2)
        .map(|pair| &document[pair[0]..pair[1]])
        .collect()
}

proptest! {
    #[test]
    fn well_formed_elements_are_the_frames(
        elements in vec(element(), 0..6),
        space in select(vec!["", " ", "\r\n", "\t \n"]),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let document: String = elements.iter().map(|element| format!("{space}{element}")).collect();
        let document = format!("{document}{space}");
        let frames = elements.into_iter().map(String::into_bytes).collect();
        let expected = Outcome { frames, error: None };
        let document = document.as_bytes();
        prop_assert_eq!(&feed(pieces(document, &cuts), Limits::default()), &expected);
        prop_assert_eq!(&feed(document.chunks(1), Limits::default()), &expected);
        prop_assert_eq!(&in_place(document, Limits::default()), &expected);
    }

    #[test]
    fn any_bytes_come_to_the_same_in_any_pieces(
        document in scraps(),
        cuts in vec(any::<Index>(), 0..12),
        max_len in 0_usize..80,
        max_depth in 0_u32..5,
    ) {
        let limits = Limits::default().max_len(max_len).max_depth(max_depth);
        let whole = feed([document.as_slice()], limits);
        prop_assert_eq!(&feed(pieces(&document, &cuts), limits), &whole);
        prop_assert_eq!(&feed(document.chunks(1), limits), &whole);
        prop_assert_eq!(&in_place(&document, limits), &whole);
    }

    /// Which quotes a peer used before never moves a border.
    #[test]
    fn any_bytes_come_to_the_same_after_either_quote(document in scraps()) {
        let behind = |first: &str| {
            feed([[first.as_bytes(), &document].concat().as_slice()], Limits::default())
        };
        let [single, double] = ["<a b='c'/>", "<a b=\"c\"/>"].map(behind);
        prop_assert_eq!(single.error, double.error);
        prop_assert_eq!(&single.frames[1..], &double.frames[1..]);
    }

    /// What is handed out and what is dropped is the stream, as far as it was good.
    #[test]
    fn nothing_is_lost_or_made_up(document in scraps()) {
        let outcome = feed([document.as_slice()], Limits::default());
        let mut rest = document.as_slice();
        for frame in &outcome.frames {
            prop_assert!(frame.len() >= 2 && frame.starts_with(b"<") && frame.ends_with(b">"));
            prop_assert!(str::from_utf8(frame).is_ok());
            rest = rest.trim_ascii_start();
            prop_assert!(rest.starts_with(frame));
            rest = &rest[frame.len()..];
        }
        let used = (document.len() - rest.len()) as u64;
        match outcome.error {
            None => prop_assert!(rest.trim_ascii().is_empty()),
            Some(error) => prop_assert!((used..=document.len() as u64).contains(&error.at())),
        }
    }
}
