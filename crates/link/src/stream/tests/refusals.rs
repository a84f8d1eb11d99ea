//! Headers, limits, and what XMPP forbids.

use super::*;
use crate::header::HeaderError;

fn header(server: &Peer) -> HeaderError {
    match &server.end {
        Some(ConnectError::Header { why, .. }) => why.clone(),
        other => panic!("{other:?}"),
    }
}

/// Both headers of a server are looked at.
fn each_header(say: &str, check: impl Fn(HeaderError)) {
    for second in [false, true] {
        in_every_cutting(|mut server| {
            if second {
                server.greet(PLAIN);
                server.said();
                server.say(SUCCESS);
            }
            server.said();
            server.say(say);
            check(header(&server));
            assert_eq!(server.said(), "");
            assert!(server.error().unwrap().is_final());
        });
    }
}

#[test]
fn a_stream_from_another_domain_is_refused() {
    for from in ["example.net", "juliet@example.org", "a.example.org", ""] {
        let text = HEADER.replace("from='example.org'", &format!("from='{from}'"));
        each_header(&text, |why| {
            assert_eq!(
                why,
                HeaderError::From {
                    from: from.to_owned()
                }
            );
        });
    }
    for from in ["", " from='EXAMPLE.org'"] {
        in_every_cutting(|mut server| {
            server.said();
            server.say(HEADER.replace(" from='example.org'", from));
            server.say(features(PLAIN));
            assert!(server.said().contains("<auth "), "{from}");
        });
    }
}

#[test]
fn a_stream_of_another_version_or_namespace_is_refused() {
    for version in ["0.9", "2.0", ""] {
        let text = HEADER.replace(" version='1.0'>", &format!(" version='{version}'>"));
        each_header(&text, |why| {
            assert_eq!(
                why,
                HeaderError::Version {
                    version: version.to_owned()
                }
            );
        });
    }
    each_header(&HEADER.replace(" version='1.0'>", ">"), |why| {
        assert!(matches!(why, HeaderError::Version { .. }), "{why:?}");
    });
    let text = HEADER.replace("jabber:client", "jabber:server");
    each_header(&text, |why| {
        assert!(matches!(why, HeaderError::Namespace { .. }))
    });
    for text in [
        "HTTP/1.1 400 Bad Request",
        "<message/>",
        "\u{16}\u{3}",
        "<!DOCTYPE x>",
    ] {
        each_header(text, |why| assert_eq!(why, HeaderError::NotAHeader));
    }
}

#[test]
fn a_header_of_4096_bytes_is_taken_and_a_longer_one_refused() {
    let of = |len: usize| {
        let pad = "x".repeat(len - HEADER.len());
        HEADER.replace("id='1'", &format!("id='1{pad}'"))
    };
    each_header(&of(4_097), |why| assert_eq!(why, HeaderError::TooLong));
    in_every_cutting(|mut server| {
        server.said();
        server.say(of(4_096));
        server.say(features(PLAIN));
        assert!(server.said().contains("<auth "));
    });
}

#[test]
fn an_element_before_stanzas_is_not_longer_than_64_kib_and_nothing_more_is_held() {
    let empty = features("<x xmlns='y'></x>").len();
    let fits = |len: usize| features(&format!("<x xmlns='y'>{}</x>", "x".repeat(len - empty)));
    for cutting in [
        Cutting::Even(usize::MAX),
        Cutting::Even(4_096),
        Cutting::Random(1),
    ] {
        let mut server = Peer::new(cutting.clone());
        server.greet("");
        assert!(matches!(
            server.error(),
            Some(ConnectError::NoMechanism { .. })
        ));
        for (len, taken) in [(MAX_ELEMENT, true), (MAX_ELEMENT + 1, false)] {
            let mut server = Peer::new(cutting.clone());
            server.said();
            server.say(HEADER);
            server.say(fits(len));
            let end = server.error();
            assert_eq!(
                matches!(end, Some(ConnectError::NoMechanism { .. })),
                taken,
                "{end:?}"
            );
            // Whatever is sent behind it.
            server.say(vec![b'x'; 100_000]);
            assert_eq!(server.stream.buffer().len(), 0);
        }
    }
}

#[test]
fn a_negotiation_has_256_elements_at_most() {
    for (count, taken) in [(MAX_ELEMENTS - 3, true), (MAX_ELEMENTS - 2, false)] {
        in_every_cutting(|mut server| {
            server.log_in(BIND);
            server.say("<x/>".repeat(count - 1));
            assert_eq!(server.error(), None);
            if taken {
                server.bind(RESOURCE);
            } else {
                server.said();
                server.say("<x/>");
                assert_eq!(server.protocol(), "it does not come to an end");
            }
        });
    }
}

#[test]
fn a_stanza_has_4_mib_at_most_and_nothing_more_is_held() {
    let fits = |len: usize| format!("<message>{}</message>", "x".repeat(len - 19));
    for cutting in [Cutting::Even(usize::MAX), Cutting::Even(100_000)] {
        let mut server = Peer::new(cutting.clone()).open();
        server.say(fits(MAX_STANZA));
        assert_eq!(server.stanzas().len(), 1);
        server.say(fits(MAX_STANZA + 1));
        server.protocol();
        server.say(vec![b'x'; 100_000]);
        assert_eq!(server.stream.buffer().len(), 0);
    }
}

#[test]
fn an_element_that_is_no_stanza_has_4_kib_at_most() {
    let fits = |len: usize| format!("<x xmlns='y'>{}</x>", "x".repeat(len - 17));
    in_every_cutting(|server| {
        let mut server = server.open_with_sm();
        server.say(fits(MAX_OTHER));
        assert_eq!(server.error(), None);
        server.say(fits(MAX_OTHER + 1));
        let why = server.protocol();
        assert!(why.contains("longer than 4096"), "{why}");
    });
}

#[test]
fn depth_is_judged_before_the_log_in_and_later_for_one_stanza_at_a_time() {
    let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    in_every_cutting(|mut server| {
        server.said();
        server.say(HEADER);
        server.say(features(&deep(16)));
        server.protocol();
    });
    in_every_cutting(|server| {
        let mut server = server.open();
        let stanza = format!("<message>{}</message>", deep(1_000));
        server.say(&stanza);
        server.say("<message/>");
        assert_eq!(server.stanzas(), [&*stanza, "<message/>"]);
    });
}

#[test]
fn what_xmpp_forbids_ends_the_stream_and_is_not_tried_again() {
    for text in [
        "<!-- -->",
        "<?pi?>",
        "text",
        "<!DOCTYPE x>",
        "<x>&unheard-of;</x>",
        "<c:x/>",
    ] {
        in_every_cutting(|server| {
            let mut server = server.open_with_sm();
            server.say(text);
            let end = server.error();
            assert!(
                matches!(end, Some(ConnectError::Protocol { .. })),
                "{text}: {end:?}"
            );
            assert!(server.error().unwrap().is_final(), "{text}");
        });
    }
}
