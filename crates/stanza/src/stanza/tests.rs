//! Tests of stanzas.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::strategy;

fn read(document: &str) -> Result<Stanza, ReadError> {
    Stanza::read(&Bytes::copy_from_slice(document.as_bytes()))
}

fn refused(document: &str) -> Rule {
    read(document).unwrap_err().rule
}

fn written(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out);
    String::from_utf8(out).unwrap()
}

/// What becomes of a document that is read and written.
fn rewritten(document: &str) -> String {
    written(&read(document).unwrap())
}

#[test]
fn another_element_is_refused() {
    assert_eq!(refused("<body xmlns='jabber:client'/>"), Rule::NotAStanza);
    assert_eq!(refused("<Message/>"), Rule::NotAStanza);
}

#[test]
fn another_namespace_is_refused() {
    assert_eq!(
        refused("<message xmlns='jabber:server'/>"),
        Rule::StanzaNamespace
    );
    assert_eq!(refused("<message xmlns=''/>"), Rule::StanzaNamespace);
    assert_eq!(
        refused("<stream:stream xmlns:stream='http://etherx.jabber.org/streams'/>"),
        Rule::StanzaNamespace
    );
    assert_eq!(
        refused("<s:message xmlns:s='jabber:server'/>"),
        Rule::StanzaNamespace
    );
}

#[test]
fn a_prefixed_stanza_with_another_default_namespace_is_refused() {
    assert_eq!(
        refused("<c:message xmlns:c='jabber:client' xmlns='u'><a/></c:message>"),
        Rule::DefaultNamespace
    );
    assert_eq!(
        refused("<c:message xmlns:c='jabber:client' xmlns=''/>"),
        Rule::DefaultNamespace
    );
}

#[test]
fn an_address_that_is_none_is_refused() {
    assert_eq!(refused("<message from='@'/>"), Rule::Address);
    assert_eq!(refused("<message to=''/>"), Rule::Address);
}

#[test]
fn a_fault_deep_inside_is_refused() {
    assert_eq!(
        read("<message><a><b>&#0;</b></a></message>"),
        Err(ReadError {
            at: 15,
            rule: Rule::Character
        })
    );
    assert_eq!(refused("<message><a></message>"), Rule::EndTag);
    assert_eq!(refused("<message/><message/>"), Rule::SecondElement);
    assert_eq!(refused("<message>"), Rule::Unclosed);
    assert_eq!(refused(""), Rule::NoElement);
}

#[test]
fn the_head_is_typed_and_the_children_are_a_slice_of_the_frame() {
    let frame = Bytes::from_static(
        b"<iq xmlns='jabber:client' id='i' type='get' to='a@b/c' from='D@E' xml:lang='en'> <x xmlns='u' ></x>&amp;</iq >",
    );
    let stanza = Stanza::read(&frame).unwrap();
    assert_eq!(stanza.kind, Kind::Iq);
    assert_eq!(
        (
            stanza.from.as_ref().unwrap().as_str(),
            stanza.to.as_ref().unwrap().as_str()
        ),
        ("d@e", "a@b/c")
    );
    assert_eq!(
        (
            stanza.id.as_deref(),
            stanza.type_.as_deref(),
            stanza.lang.as_deref()
        ),
        (Some("i"), Some("get"), Some("en"))
    );
    assert_eq!(stanza.children, " <x xmlns='u' ></x>&amp;");
    assert_eq!(stanza.children.as_ptr(), frame[80..].as_ptr());
    assert_eq!(
        written(&stanza),
        "<iq xmlns='jabber:client' from='d@e' to='a@b/c' id='i' type='get' xml:lang='en'> <x xmlns='u' ></x>&amp;</iq>"
    );
}

#[test]
fn a_stanza_without_namespace_is_one_of_a_client() {
    assert_eq!(
        rewritten("<presence/>"),
        "<presence xmlns='jabber:client'/>"
    );
    assert_eq!(
        rewritten("<presence></presence>"),
        "<presence xmlns='jabber:client'/>"
    );
}

#[test]
fn a_prefix_on_the_stanza_goes_and_its_declaration_stays() {
    assert_eq!(
        rewritten("<c:message xmlns:c='jabber:client'><c:body/><d/></c:message>"),
        "<message xmlns='jabber:client' xmlns:c='jabber:client'><c:body/><d/></message>"
    );
}

#[test]
fn prefixes_that_children_need_stay_declared() {
    let document = "<message xmlns='jabber:client' id='i' xmlns:p='u&apos;' p:a='&lt;&#10;' b=''><p:x p:y=''/></message>";
    assert_eq!(rewritten(document), document);
    let stanza = read(document).unwrap();
    let [x] = &stanza.elements().unwrap()[..] else {
        panic!()
    };
    assert!(x.is("x", "u'"));
    assert_eq!(x.attrs[0].ns.as_deref(), Some("u'"));
    assert_eq!(
        stanza.extra.iter().map(RawAttr::name).collect::<Vec<_>>(),
        ["xmlns:p", "p:a", "b"]
    );
    assert_eq!(stanza.extra[1].value(), "<\n");
}

#[test]
fn nested_stanzas_are_not_touched() {
    let document = "<message xmlns='jabber:client'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='a@b' to='c@d'/></forwarded></message>";
    let mut stanza = read(document).unwrap();
    (stanza.from, stanza.to) = (None, None);
    assert_eq!(written(&stanza), document);
}

#[test]
fn a_byte_order_mark_inside_is_text() {
    let stanza = read("<message>\u{FEFF}<a/></message>").unwrap();
    assert_eq!(stanza.children, "\u{FEFF}<a/>");
    assert_eq!(stanza.elements().unwrap().len(), 1);
}

#[test]
fn what_is_retained_stays_as_it_came_and_nothing_changes_without_need() {
    let xml = "<message xmlns:p='u'> <a b=\"c\"><d></d></a>x<p:e/> <f/>\n</message>";
    let mut stanza = read(xml).unwrap();
    let before = stanza.clone();
    stanza.retain(|_| true).unwrap();
    assert_eq!(stanza, before);
    stanza.retain(|child| child.name != "f").unwrap();
    assert_eq!(stanza.children, "<a b=\"c\"><d></d></a><p:e/>");
    stanza.retain(|child| child.ns == "u").unwrap();
    assert_eq!(stanza.children, "<p:e/>");
    stanza.retain(|_| false).unwrap();
    assert_eq!(stanza.children, "");
    stanza.children = Bytes::from_static(b"<a>");
    let before = stanza.clone();
    assert!(stanza.retain(|_| false).is_err());
    assert_eq!(stanza, before);
}

#[test]
fn elements_leave_out_text_and_refuse_what_was_set_by_hand() {
    let mut stanza = read("<message> <a>b</a> c <d/></message>").unwrap();
    let names: Vec<String> = stanza
        .elements()
        .unwrap()
        .into_iter()
        .map(|e| e.name.into())
        .collect();
    assert_eq!(names, ["a", "d"]);
    stanza.children = Bytes::from_static(b"<a>");
    assert_eq!(
        stanza.elements(),
        Err(ReadError {
            at: 3,
            rule: Rule::Unclosed
        })
    );
}

#[test]
fn with_children_refuses_what_would_end_the_stanza() {
    let with = |children: &'static str| Stanza::new(Kind::Message).with_children(children.into());
    assert_eq!(
        with("</message><message>"),
        Err(ReadError {
            at: 0,
            rule: Rule::EndTag
        })
    );
    assert_eq!(
        with("<a>"),
        Err(ReadError {
            at: 3,
            rule: Rule::Unclosed
        })
    );
    assert_eq!(
        with("<p:a/>"),
        Err(ReadError {
            at: 0,
            rule: Rule::Prefix
        })
    );
    assert_eq!(
        written(&with("a<b/>").unwrap()),
        "<message xmlns='jabber:client'>a<b/></message>"
    );
}

#[test]
fn setters_set_and_values_are_escaped() {
    let address = Address::new("o'neil&co.example/it's").unwrap_err();
    assert!(address.to_string().contains('\''));
    let stanza = Stanza::new(Kind::Message)
        .with_from(Address::new("a@b/it's").unwrap())
        .with_to(Address::new("c").unwrap())
        .with_id("'/><evil/>")
        .with_type("a\0b")
        .with_lang("en\n")
        .with_child(&Element::new("x", "").with_text("]]>"))
        .with_child(&Element::new("y", ns::CLIENT));
    assert_eq!(
        written(&stanza),
        "<message xmlns='jabber:client' from='a@b/it&apos;s' to='c' id='&apos;/&gt;&lt;evil/&gt;' type='a\u{FFFD}b' xml:lang='en&#10;'>\
         <x xmlns=''>]]&gt;</x><y/></message>"
    );
}

#[test]
fn extra_attributes_that_do_not_fit_cannot_be_made() {
    for name in [
        "",
        "xmlns",
        "from",
        "to",
        "id",
        "type",
        "xml:lang",
        "xmlns:",
        "xmlns:xml",
        "xmlns:xmlns",
        "a:b:c",
        ":a",
        "a:",
        "a b",
        "xmlns:1",
    ] {
        assert_eq!(RawAttr::new(name, "x"), None, "{name:?}");
    }
    for (name, value) in [
        ("xmlns:p", ""),
        ("xmlns:p", ns::XML),
        ("xmlns:p", ns::XMLNS),
        ("a", "\0"),
        ("a", "\u{FFFE}"),
    ] {
        assert_eq!(RawAttr::new(name, value), None, "{name:?} {value:?}");
    }
}

#[test]
fn extra_attributes_that_would_break_the_stanza_are_left_out() {
    let attr = |name: &str, value: &str| RawAttr::new(name, value).unwrap();
    let mut stanza = Stanza::new(Kind::Iq);
    stanza.extra = vec![
        attr("p:a", "1"),
        attr("xmlns:p", "u"),
        attr("xmlns:p", "v"),
        attr("xmlns:q", "u"),
        attr("q:a", "twice"),
        attr("r:a", "undeclared"),
        attr("a", "2"),
        attr("a", "3"),
        attr("xml:space", "4"),
    ];
    assert_eq!(
        written(&stanza),
        "<iq xmlns='jabber:client' xmlns:p='u' xmlns:q='u' p:a='1' a='2' xml:space='4'/>"
    );
}

#[test]
fn debug_output_shows_no_contents() {
    let stanza =
        read("<message xmlns:p='u' id='i' p:a='secret'><body>secret</body></message>").unwrap();
    let shown = format!("{stanza:?}");
    assert!(
        !shown.contains("secret") && shown.contains("19 bytes"),
        "{shown}"
    );
}

fn address() -> impl Strategy<Value = Option<Address>> {
    option::of(
        (
            "[a-z']{1,3}".prop_filter("local", |l| !l.contains('\'')),
            strategy::text(),
        )
            .prop_map(|(local, resource)| {
                let bare = Address::new(&format!("{local}@example")).unwrap();
                bare.with_resource(&resource).map_or(bare, Address::from)
            }),
    )
}

pub(super) fn stanza() -> impl Strategy<Value = Stanza> {
    let kind = proptest::sample::select(&[Kind::Message, Kind::Presence, Kind::Iq]);
    let text = || option::of(strategy::text());
    let extra = vec(("(xmlns:|p:|q:|xml:)?[pqr]", strategy::text()), 0..6).prop_map(|attrs| {
        attrs
            .into_iter()
            .filter_map(|(name, value)| RawAttr::new(name, value))
            .collect()
    });
    (
        kind,
        address(),
        address(),
        text(),
        text(),
        text(),
        extra,
        vec(strategy::element(), 0..3),
    )
        .prop_map(|(kind, from, to, id, type_, lang, extra, children)| {
            let stanza = Stanza {
                kind,
                from,
                to,
                id,
                type_: type_.map(StanzaType::from),
                lang,
                extra,
                children: Bytes::new(),
            };
            children.iter().fold(stanza, Stanza::with_child)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn reading_what_was_written_gives_the_same_stanza(stanza in stanza()) {
        let text = written(&stanza);
        let read = read(&text).unwrap();
        prop_assert_eq!(written(&read), text);
        // Extra attributes that do not fit are left out, and declarations come first.
        prop_assert_eq!(Stanza { extra: stanza.extra.clone(), ..read }, stanza);
    }

    #[test]
    fn nothing_in_a_field_changes_the_structure(
        id in strategy::nasty(), type_ in strategy::nasty(), lang in strategy::nasty(),
        name in strategy::nasty(), value in strategy::nasty(), child in strategy::wild(),
    ) {
        let mut stanza = Stanza::new(Kind::Message).with_id(id).with_type(type_).with_lang(lang).with_child(&child);
        stanza.extra.extend(RawAttr::new(name, value));
        let text = written(&stanza);
        let read = read(&text).unwrap();
        prop_assert_eq!(&read.children, &stanza.children);
        prop_assert_eq!(read.elements().unwrap().len(), 1);
        prop_assert_eq!(written(&read), text);
    }
}

/// Children are read over in pieces, and trees are made of whole texts.
#[test]
fn a_long_text_is_judged_as_it_is_in_a_tree() {
    for odd in [
        "", "&amp;", "]]>", "]]", "é", "\u{FFFE}", "\u{1}", "\r", "&x;", "<b/>", "</b>", "日本",
    ] {
        for before in (0..40).chain(490..530).chain(1000..1040) {
            for after in [0, 1, 600] {
                let (before, after) = ("a".repeat(before), "z".repeat(after));
                let document =
                    format!("<message xmlns='jabber:client'>{before}{odd}{after}</message>");
                let read = Stanza::read(&Bytes::from(document.clone())).map(drop);
                let tree = Element::read(document.as_bytes(), ns::CLIENT).map(drop);
                assert_eq!(read, tree, "{} {odd:?} {}", before.len(), after.len());
            }
        }
    }
}
