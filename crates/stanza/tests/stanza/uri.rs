use proptest::prelude::*;

use xtls_stanza::uri::{UriError, XmppUri};

fn refused(text: &str) -> UriError {
    XmppUri::parse(text).unwrap_err()
}

fn address(text: &str) -> String {
    XmppUri::parse(text).unwrap().address
}

#[test]
fn what_is_no_uri_of_an_address_is_refused_by_name() {
    use xtls_stanza::uri::UriPart::{Domain, Local, Query, Resource};
    let cases = [
        ("juliet@capulet.example", UriError::Scheme),
        ("http://capulet.example/", UriError::Scheme),
        ("xmpp", UriError::Scheme),
        ("xmpp://guest@example.com", UriError::Authority),
        (
            "xmpp://guest@example.com/support@example.com?message",
            UriError::Authority,
        ),
        ("xmpp:", UriError::Empty { part: Domain }),
        ("xmpp:?xtls", UriError::Empty { part: Domain }),
        ("xmpp:@capulet.example", UriError::Empty { part: Local }),
        ("xmpp:juliet@", UriError::Empty { part: Domain }),
        ("xmpp:capulet.example/", UriError::Empty { part: Resource }),
        ("xmpp:capulet.example?", UriError::Empty { part: Query }),
        (
            "xmpp:capulet.example?;fp=1",
            UriError::Empty { part: Query },
        ),
        ("xmpp:jul%2", UriError::Percent { part: Domain }),
        ("xmpp:a@b/%", UriError::Percent { part: Resource }),
        ("xmpp:a%zz@b", UriError::Percent { part: Local }),
        ("xmpp:a%+1@b", UriError::Percent { part: Local }),
        ("xmpp:a%C3@b", UriError::NotUtf8 { part: Local }),
        ("xmpp:a@b?xtls;fp=%FF", UriError::NotUtf8 { part: Query }),
        (
            "xmpp:a b@c",
            UriError::Unencoded {
                part: Local,
                found: ' ',
            },
        ),
        (
            "xmpp:a@b/<c>",
            UriError::Unencoded {
                part: Resource,
                found: '<',
            },
        ),
        (
            "xmpp:a@b\n",
            UriError::Unencoded {
                part: Domain,
                found: '\n',
            },
        ),
        (
            "xmpp:[a@b",
            UriError::Unencoded {
                part: Local,
                found: '[',
            },
        ),
        // Each of these, put together without a look, is somebody else's address.
        (
            "xmpp:evil.example%2F@capulet.example",
            UriError::Separator {
                part: Local,
                found: '/',
            },
        ),
        (
            "xmpp:juliet%40evil.example@capulet.example",
            UriError::Separator {
                part: Local,
                found: '@',
            },
        ),
        (
            "xmpp:evil%40capulet.example",
            UriError::Separator {
                part: Domain,
                found: '@',
            },
        ),
        (
            "xmpp:capulet.example%2Fbalcony",
            UriError::Separator {
                part: Domain,
                found: '/',
            },
        ),
    ];
    for (text, error) in cases {
        assert_eq!(refused(text), error, "{text}");
    }
    for field in ["fp", "=1", ""] {
        let error = refused(&format!("xmpp:a@b?xtls;{field}"));
        let field = field.to_owned();
        assert_eq!(error, UriError::Field { field });
    }
    let name = "fp".to_owned();
    assert_eq!(refused("xmpp:a@b?xtls;fp=1;fp=2"), UriError::Twice { name });
    assert_eq!(
        refused("xmpp:a@b?xtls;fp=1;f%70=2").to_string(),
        "\"fp\" appears twice in the xmpp: URI"
    );
}

/// The examples of RFC 5122 §2 and §3, those with an account to log in with apart.
#[test]
fn the_examples_of_rfc_5122_are_read() {
    let cases = [
        ("xmpp:node@example.com", "node@example.com"),
        ("xmpp:example.com", "example.com"),
        ("xmpp:example-node@example.com", "example-node@example.com"),
        (
            "xmpp:example-node@example.com/some-resource",
            "example-node@example.com/some-resource",
        ),
        (
            "xmpp:example.com/some-resource",
            "example.com/some-resource",
        ),
        (
            "xmpp:example-node@example.com?message",
            "example-node@example.com",
        ),
        ("xmpp:support@example.com?message", "support@example.com"),
        (
            "xmpp:nasty!%23$%25()*+,-.;=%3F%5B%5C%5D%5E_%60%7B%7C%7D~node@example.com",
            "nasty!#$%()*+,-.;=?[\\]^_`{|}~node@example.com",
        ),
        (
            "xmpp:node@example.com/repulsive%20!%23%22$%25&'()*+,-.%2F:;%3C=%3E%3F%40%5B%5C%5D%5E_%60%7B%7C%7D~resource",
            "node@example.com/repulsive !#\"$%&'()*+,-./:;<=>?@[\\]^_`{|}~resource",
        ),
        (
            "xmpp:ji%C5%99i@%C4%8Dechy.example/v%20Praze",
            "jiři@čechy.example/v Praze",
        ),
        (
            "xmpp:jiři@čechy.example/v%20Praze",
            "jiři@čechy.example/v Praze",
        ),
    ];
    for (uri, expected) in cases {
        assert_eq!(address(uri), expected, "{uri}");
        assert!(XmppUri::is(uri) && !XmppUri::is(expected), "{uri}");
    }
    let uri =
        XmppUri::parse("xmpp:example-node@example.com?message;subject=Hello%20World").unwrap();
    assert_eq!(uri.action.as_deref(), Some("message"));
    assert_eq!(uri.field("subject"), Some("Hello World"));
    assert_eq!(uri.field("body"), None);
}

#[test]
fn the_scheme_is_of_any_case_and_a_fragment_is_left_out() {
    let uri = XmppUri::parse("XMPP:juliet@capulet.example?xtls;fp=2d71#there").unwrap();
    assert_eq!(uri.address, "juliet@capulet.example");
    assert_eq!(uri.fields, [("fp".to_owned(), "2d71".to_owned())]);
    assert_eq!(address("xmpp:[2001:db8::1]/x"), "[2001:db8::1]/x");
    let plain = XmppUri::parse("xmpp:juliet@capulet.example").unwrap();
    assert_eq!((plain.action, plain.fields), (None, Vec::new()));
    assert_eq!(
        XmppUri::parse("xmpp:a@b?x;y=").unwrap().field("y"),
        Some("")
    );
}

fn encoded(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

proptest! {
    #[test]
    fn what_is_encoded_comes_back(local in "[^@/]{1,8}", domain in "[^@/]{1,8}", resource in ".{1,8}", value in ".{0,8}") {
        let (l, d, r, v) = (encoded(&local), encoded(&domain), encoded(&resource), encoded(&value));
        let uri = XmppUri::parse(&format!("xmpp:{l}@{d}/{r}?xtls;fp={v}")).unwrap();
        prop_assert_eq!(uri.address, format!("{local}@{domain}/{resource}"));
        prop_assert_eq!(&uri.fields, &[("fp".to_owned(), value)]);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(xmpp:)?[a-z%@/?;=#0-9A-F]{0,16}.{0,3}") {
        if let Ok(uri) = XmppUri::parse(&text) {
            prop_assert!(XmppUri::is(&text) && !uri.address.is_empty());
        }
    }
}
