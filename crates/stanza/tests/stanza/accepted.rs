//! Documents that look odd and are right.

use xtls_stanza::{Element, ns};

/// The tree in a notation that shows everything.
pub(super) fn tree(element: &Element) -> String {
    use xtls_stanza::Node;
    let mut out = format!("({{{}}}{}", element.ns, element.name);
    for attr in &element.attrs {
        out += &format!(
            " {{{}}}{}={:?}",
            attr.ns.as_deref().unwrap_or_default(),
            attr.name,
            attr.value
        );
    }
    for child in &element.children {
        out += &match child {
            Node::Element(element) => format!(" {}", tree(element)),
            Node::Text(text) => format!(" {text:?}"),
        };
    }
    out + ")"
}

fn reads(document: &str, expected: &str) {
    assert_eq!(
        tree(&Element::read(document.as_bytes(), "d").unwrap()),
        expected
    );
}

#[test]
fn the_inherited_namespace_counts_until_another_is_declared() {
    reads(
        "<a><b xmlns='u'><c/></b><d xmlns=''/></a>",
        "({d}a ({u}b ({u}c)) ({}d))",
    );
}

#[test]
fn prefixes_are_resolved_and_attributes_without_one_have_no_namespace() {
    reads(
        "<p:a xmlns:p='u' b='1' p:b='2'><p:c xmlns:p='v'/><p:d/></p:a>",
        "({u}a {}b=\"1\" {u}b=\"2\" ({v}c) ({u}d))",
    );
}

#[test]
fn a_declaration_counts_for_attributes_in_front_of_it() {
    reads("<p:a p:b='' xmlns:p='u'/>", "({u}a {u}b=\"\")");
}

#[test]
fn the_prefix_xml_needs_no_declaration_and_may_have_one() {
    let expected = format!("({{d}}a {{{}}}lang=\"en\")", ns::XML);
    reads("<a xml:lang='en'/>", &expected);
    reads(
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='en'/>",
        &expected,
    );
}

#[test]
fn the_name_of_a_namespace_may_hold_references() {
    reads(
        "<a xmlns='jabber:&#x63;lient&amp;'/>",
        "({jabber:client&}a)",
    );
}

#[test]
fn an_element_may_be_called_xmlns() {
    reads("<xmlns/>", "({d}xmlns)");
}

#[test]
fn references_are_resolved_and_joined() {
    reads(
        "<a>&lt;&#65;&#x1F600;&amp;lt;&#00000066;</a>",
        "({d}a \"<A\u{1F600}&lt;B\")",
    );
    reads("<a b='&quot;&apos;&gt;'/>", "({d}a {}b=\"\\\"'>\")");
}

#[test]
fn cdata_is_text() {
    reads(
        "<a>b<![CDATA[<c>&amp;]]]]><![CDATA[>]]></a>",
        "({d}a \"b<c>&amp;]]>\")",
    );
    reads("<a><![CDATA[]]></a>", "({d}a)");
}

#[test]
fn line_ends_become_line_feeds() {
    reads(
        "<a>1\r\n2\r3\n4\r\r\n5&#13;\n<![CDATA[6\r\n]]></a>",
        "({d}a \"1\\n2\\n3\\n4\\n\\n5\\r\\n6\\n\")",
    );
}

#[test]
fn white_space_in_values_becomes_spaces_unless_referred_to() {
    reads(
        "<a b=' 1\t2\n3\r\n4&#9;&#10;&#13;'/>",
        "({d}a {}b=\" 1 2 3 4\\t\\n\\r\")",
    );
}

#[test]
fn white_space_inside_of_tags() {
    reads("<a\n\tb\r=  'c'\n></a \t\r\n>", "({d}a {}b=\"c\")");
}

#[test]
fn greater_than_and_the_other_quote_may_stand_in_values() {
    reads(
        "<a b='\">]]>' c=\"'/>\"/>",
        "({d}a {}b=\"\\\">]]>\" {}c=\"'/>\")",
    );
}

#[test]
fn brackets_in_text() {
    reads("<a>]] > ]>]]&gt;]</a>", "({d}a \"]] > ]>]]>]\")");
}

#[test]
fn names_outside_of_ascii() {
    reads(
        "<日本 é='\u{FFFD}'>\u{7F}\u{85}\u{FEFF}\u{10FFFF}</日本>",
        "({d}日本 {}é=\"\u{FFFD}\" \"\\u{7f}\\u{85}\\u{feff}\\u{10ffff}\")",
    );
}

/// Documents are looked at through windows of 512 bytes; tags, text and characters lie on both sides of every seam.
#[test]
fn where_a_window_ends_does_not_show() {
    for shift in 0..520 {
        let pad = "x".repeat(shift);
        reads(
            &format!("<a>{pad}<b c='d&lt;é' f=\"g\">é&amp;é<h xmlns='u'/>\u{FFFD}</b>日本</a>"),
            &format!(
                "({{d}}a {}({{d}}b {{}}c=\"d<é\" {{}}f=\"g\" \"é&é\" ({{u}}h) \"\u{FFFD}\") \"日本\")",
                if pad.is_empty() {
                    String::new()
                } else {
                    format!("{pad:?} ")
                }
            ),
        );
    }
}
