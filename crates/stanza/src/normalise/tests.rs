use stringprep::tables::unassigned_code_point;
use stringprep::{nameprep, nodeprep, resourceprep};

use super::{is_raw, normalise};
use crate::Address;

fn why(text: &str) -> String {
    normalise(text).unwrap_err().why
}

fn normal(text: &str) -> String {
    normalise(text).unwrap().as_str().to_owned()
}

/// Where a character may stand: an address with it in the middle of each part.
fn places(c: char) -> [String; 3] {
    [
        format!("a{c}b@capulet.example"),
        format!("a{c}b.example"),
        format!("a@capulet.example/a{c}b"),
    ]
}

#[test]
fn no_code_point_that_unicode_3_2_had_not_assigned_is_read_as_another() {
    // What today's tables map, and nothing would say so after the mapping.
    let mut confusable = 0;
    let mut unassigned = 0;
    for c in '\0'..=char::MAX {
        if !unassigned_code_point(c) {
            continue;
        }
        unassigned += 1;
        let text = c.to_string();
        let profiles = [nodeprep(&text), nameprep(&text), resourceprep(&text)];
        let mapped = profiles.iter().any(Result::is_ok);
        confusable += usize::from(mapped);
        // All would take half a minute: the others stand in one place each.
        for (place, text) in places(c).iter().enumerate() {
            if mapped || unassigned % 3 == place {
                let why = why(text);
                let point = format!("holds U+{:04X}, ", u32::from(c));
                assert!(why.contains(&point) && why.contains("Unicode 3.2"), "{why}");
            }
        }
    }
    assert!(unassigned > 800_000, "{unassigned}");
    assert!(confusable >= 734, "{confusable}");
}

#[test]
fn what_looks_like_juliet_is_not_juliet() {
    let error = normalise("juli\u{1D49}t@capulet.example").unwrap_err();
    assert_eq!(
        error.why,
        "the local part holds U+1D49, which XMPP addresses by stringprep (Unicode 3.2) cannot hold (RFC 3454 §7)"
    );
}

#[test]
fn an_emoji_in_a_resource_is_named() {
    assert_eq!(
        why("juliet@capulet.example/\u{1F600}"),
        "the resource holds U+1F600, which XMPP addresses by stringprep (Unicode 3.2) cannot hold (RFC 3454 §7)"
    );
}

#[test]
fn the_part_the_code_point_and_the_rule_are_named() {
    let cases = [
        (
            "a b@c",
            "the local part holds U+0020, which RFC 6122 appendix A (Nodeprep) forbids there",
        ),
        (
            "a:b@c",
            "the local part holds U+003A (':'), which RFC 6122 appendix A (Nodeprep) forbids there",
        ),
        (
            "a@b\u{E000}c",
            "the domain holds U+E000, which RFC 3491 (Nameprep) forbids there",
        ),
        (
            "a@b/\u{7}",
            "the resource holds U+0007, which RFC 6122 appendix B (Resourceprep) forbids there",
        ),
        (
            "a@b c",
            "the domain holds U+0020, which host names cannot hold (RFC 6122 §2.2, UTS 46)",
        ),
        (
            "a\u{5D0}@b",
            "the local part is written from right to left and from left to right at once (RFC 3454 §6)",
        ),
        ("", "the domain of the address is empty (RFC 6122 §2)"),
        ("@b", "the local part of the address is empty (RFC 6122 §2)"),
        (
            "\u{AD}@b",
            "the local part of the address is empty (RFC 6122 §2)",
        ),
        ("a@b/", "the resource of the address is empty (RFC 6122 §2)"),
    ];
    for (text, expected) in cases {
        assert_eq!(why(text), expected, "{text:?}");
    }
    for text in ["a@-.-", "a@b..c", &format!("a@{}", "b".repeat(64))] {
        assert!(
            why(text).contains("no host name"),
            "{text:?}: {}",
            why(text)
        );
    }
    let error = normalise("a b@c").unwrap_err();
    assert_eq!(error.text, "a b@c");
}

#[test]
fn parts_are_prepared_as_servers_do_it() {
    let cases = [
        ("Ｊuliet@Éxample.ORG/Å", "juliet@éxample.org/Å"),
        (
            "STRASSE@Straße.example/Straße",
            "strasse@strasse.example/Straße",
        ),
        ("jul\u{AD}iet@capulet.example", "juliet@capulet.example"),
        ("Ϋ@capulet.example", "ϋ@capulet.example"),
        ("a@[2001:DB8::1]/x", "a@[2001:db8::1]/x"),
        ("a@192.0.2.1", "a@192.0.2.1"),
        ("a@Capulet.example./b@c/d", "a@capulet.example/b@c/d"),
        ("a@b/ﬁ", "a@b/fi"),
    ];
    for (text, expected) in cases {
        assert_eq!(normal(text), expected, "{text:?}");
        assert_eq!(normal(expected), expected);
    }
}

#[test]
fn five_ideographs_are_what_they_were_before_corrigendum_4() {
    for (c, old) in [
        ('\u{2F868}', '\u{2136A}'),
        ('\u{2F874}', '\u{5F33}'),
        ('\u{2F91F}', '\u{43AB}'),
        ('\u{2F95F}', '\u{7AAE}'),
        ('\u{2F9BF}', '\u{4D57}'),
    ] {
        assert_eq!(normal(&format!("{c}@b/{c}")), format!("{old}@b/{old}"));
    }
}

#[test]
fn a_label_for_the_dns_is_what_it_stands_for() {
    for typed in [
        "romeo@xn--bcher-kva.example",
        "romeo@XN--Bcher-KVA.Example",
        "romeo@bücher.example",
        "romeo@BÜCHER.example",
    ] {
        assert_eq!(normal(typed), "romeo@bücher.example", "{typed}");
    }
    let full = Address::new("romeo@xn--bcher-kva.example/x").unwrap();
    assert!(is_raw(&full));
    assert!(!is_raw(
        &Address::new("romeo@example.org/xn--bcher-kva").unwrap()
    ));
}

#[test]
fn a_label_of_another_domain_is_left_as_it_is() {
    // Of newer rules (faß, which Nameprep makes fass), and what is no encoding or not the one of its text.
    for label in ["xn--fa-hia", "xn--abc-", "xn--99999999", "xn--\u{FC}"] {
        let text = format!("a@{label}.example");
        let read = normalise(&text).map(|address| address.domain().to_owned());
        assert!(
            read.as_ref()
                .map_or(true, |domain| *domain == format!("{label}.example")),
            "{read:?}"
        );
    }
    assert_eq!(normal("a@xn--fa-hia.example"), "a@xn--fa-hia.example");
    assert_ne!(normal("a@xn--fa-hia.example"), normal("a@faß.example"));
    // What it stands for is looked at as what is typed: U+1D49 was not assigned.
    let encoded = idna::punycode::encode_str("juli\u{1D49}t").unwrap();
    let text = format!("a@xn--{encoded}");
    assert!(!normalise(&text).is_ok_and(|address| address.as_str() == "a@juliet"));
}

#[test]
fn to_normalise_twice_is_to_normalise_once() {
    for c in ('\0'..=char::MAX).filter(|&c| !unassigned_code_point(c)) {
        for text in places(c) {
            if let Ok(once) = normalise(&text) {
                let twice = normalise(once.as_str());
                assert_eq!(twice.as_ref().ok(), Some(&once), "U+{:04X}", u32::from(c));
            }
        }
    }
}
