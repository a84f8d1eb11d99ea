//! A peer, or a server in its name, that breaks a rule is refused by name, and nothing of it reaches the application.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

use xtls_client::router::{PathConfig, TunnelEvent, Why};
use xtls_session::{By, Verdict, Violation, Why as Session};
use xtls_stanza::path::Takes;
use xtls_stanza::xtls::Control;
use xtls_stanza::{Condition, Content, Envelope, Payload};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::raw::Duel;
use xtls_tls::TlsError;
use xtls_tls::trust::{Policy, TrustError};

const STRANGER: &str = "mallory@evil.example/den";

fn open() -> Duel {
    let mut duel = Duel::friends();
    duel.open();
    assert!(duel.established());
    duel
}

/// Ends the session for this reason, delivers nothing, and sends no close_notify: the end must not look clean.
fn refused(duel: &Duel, expected: &dyn Fn(&Session) -> bool) {
    let closed = duel.closed();
    let Why::Session(why) = &closed.why else {
        panic!("{closed:?}")
    };
    assert!(expected(why), "{why:?}");
    assert_eq!(closed.by, By::Us);
    assert!(!closed.clean);
    assert!(duel.delivered().is_empty());
    assert!(!duel.tls.as_ref().unwrap().peer_closed(), "no close_notify");
}

#[test]
fn a_forged_from_ends_the_session() {
    for from in [
        STRANGER,
        "mallory@evil.example",
        "romeo@montague.example/other",
        "montague.example",
        "juliet@capulet.example",
    ] {
        let mut duel = open();
        duel.say(format!(
            "<message xmlns='jabber:client' from='{from}'><body>I am the boss</body></message>"
        ));
        refused(
            &duel,
            &|why| matches!(why, Session::Routing(Violation::Address(wrong)) if wrong.attribute == "from" && wrong.claimed.as_str() == from),
        );
    }
}

#[test]
fn a_forged_to_ends_the_session() {
    let mut duel = open();
    duel.say(format!(
        "<message xmlns='jabber:client' to='{STRANGER}'><body>pass it on</body></message>"
    ));
    refused(
        &duel,
        &|why| matches!(why, Session::Routing(Violation::Address(wrong)) if wrong.attribute == "to"),
    );
}

#[test]
fn truthful_addresses_are_no_offence() {
    for from in [
        ROMEO,
        "romeo@montague.example",
        "ROMEO@Montague.example/orchard",
    ] {
        let mut duel = open();
        duel.say(format!(
            "<message xmlns='jabber:client' from='{from}'><body>It is I</body></message>"
        ));
        assert_eq!(duel.delivered().len(), 1, "{from}");
    }
}

#[test]
fn what_is_not_xmpp_ends_the_session() {
    let documents = [
        "<?xml version='1.0'?>",
        "<!DOCTYPE x>",
        "<!-- note --><message/>",
        "</stream:stream>",
        "text",
        "<message><body>&bomb;</body></message>",
        "<message><a></b></message>",
        "<message><x:y/></message>",
        "<message a='1' a='2'/>",
        "<message><body>\u{1}</body></message>",
        "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'></stream:stream>",
        "<message xmlns='jabber:server'/>",
        "<body xmlns='jabber:client'/>",
    ];
    for document in documents {
        let mut duel = open();
        duel.say(document);
        refused(&duel, &|why| {
            matches!(why, Session::Framing(_) | Session::Xml(_))
        });
    }
}

#[test]
fn a_stanza_longer_than_the_limit_ends_the_session() {
    let mut duel = open();
    duel.say("<message><body>");
    for _ in 0..17 {
        if duel
            .events
            .iter()
            .any(|event| matches!(event.what, TunnelEvent::Closed(_)))
        {
            break;
        }
        duel.say("x".repeat(16_384));
    }
    refused(&duel, &|why| matches!(why, Session::Framing(_)));
}

#[test]
fn a_deeply_nested_stanza_ends_the_session() {
    let mut duel = open();
    duel.say(format!("<message>{}", "<a>".repeat(100)));
    refused(&duel, &|why| matches!(why, Session::Framing(_)));
}

#[test]
fn a_stream_cut_before_close_notify_is_a_truncation_and_what_came_before_is_delivered() {
    let mut duel = open();
    duel.say("<message xmlns='jabber:client' id='m1'/>");
    duel.close_stream();
    let closed = duel.closed();
    assert!(
        matches!(
            closed.why,
            Why::Cut {
                session: Session::Truncated,
                ..
            }
        ),
        "{closed:?}"
    );
    assert!(!closed.clean);
    assert_eq!(duel.delivered().len(), 1);
}

#[test]
fn close_notify_in_the_middle_of_a_stanza_is_a_truncation() {
    let mut duel = open();
    duel.say("<message xmlns='jabber:client'><body>half a");
    duel.close_tls();
    let closed = duel.closed();
    assert!(
        matches!(closed.why, Why::Session(Session::Truncated)),
        "{closed:?}"
    );
    assert!(!closed.clean);
    assert!(duel.delivered().is_empty());
}

#[test]
fn a_flipped_bit_ends_the_session_and_releases_nothing() {
    let mut duel = open();
    duel.tamper = Some(|envelope: &mut Envelope| {
        if let Content::Set(Payload::Data(data)) = &mut envelope.content {
            let mut bytes = data.bytes.to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            data.bytes = bytes.into();
        }
    });
    duel.say("<message xmlns='jabber:client' id='m1'/>");
    let closed = duel.closed();
    assert!(
        matches!(closed.why, Why::Session(Session::Tls(TlsError::Corrupt))),
        "{closed:?}"
    );
    assert!(duel.delivered().is_empty());
}

#[test]
fn a_changed_key_is_refused_before_anything_is_sent() {
    let mut duel = Duel::new(
        Some(&keys::identity(ROMEO, 1)),
        keys::identity(ROMEO, 9),
        Policy::Tofu,
    );
    duel.open();
    let closed = duel.closed();
    assert!(
        matches!(
            &closed.why,
            Why::Session(Session::Tls(TlsError::Trust(TrustError::KeyChanged { .. })))
        ),
        "{closed:?}"
    );
    assert!(!duel.established());
    // The initiator learns it from an alert, after its own Finished.
    assert!(duel.tls.as_ref().unwrap().failure().is_some());
}

#[test]
fn a_certificate_for_another_address_is_refused() {
    for policy in [Policy::Ask, Policy::Tofu] {
        let mut duel = Duel::new(None, keys::identity("mallory@evil.example", 1), policy);
        duel.open();
        let closed = duel.closed();
        assert!(
            matches!(&closed.why, Why::Session(Session::Tls(TlsError::Trust(TrustError::WrongJid { san, .. })))
                if san == "mallory@evil.example"),
            "{closed:?}"
        );
    }
}

#[test]
fn an_unknown_key_waits_for_its_verdict_and_nothing_passes_before() {
    let mut duel = Duel::new(None, keys::identity(ROMEO, 1), Policy::Ask);
    duel.open();
    duel.say("<message xmlns='jabber:client' id='m1'/>");
    assert!(
        duel.events
            .iter()
            .any(|event| matches!(event.what, TunnelEvent::Judge(_)))
    );
    assert!(!duel.established() && duel.delivered().is_empty());
    assert!(
        duel.plain.is_empty(),
        "the confirmation comes after the verdict"
    );
    duel.judge(Verdict::Accept);
    assert_eq!(&duel.plain[..], b" ");
    assert_eq!(duel.delivered().len(), 1);
}

#[test]
fn a_refused_key_ends_the_session_and_what_it_sent_is_dropped() {
    let mut duel = Duel::new(None, keys::identity(ROMEO, 1), Policy::Ask);
    duel.open();
    duel.say("<message xmlns='jabber:client' id='m1'/>");
    duel.judge(Verdict::Refuse);
    let closed = duel.closed();
    assert!(
        matches!(closed.why, Why::Session(Session::Refused)),
        "{closed:?}"
    );
    assert!(duel.delivered().is_empty() && duel.plain.is_empty());
}

#[test]
fn a_signal_of_a_peer_that_knows_the_letter_alone_is_not_implemented() {
    let identity = keys::identity(ROMEO, 1);
    let shown = keys::identity(ROMEO, 1);
    let mut duel = Duel::with(Some(&identity), shown, Policy::Pinned, |config| {
        config.paths(PathConfig::new(Takes::Own))
    });
    duel.bound = false;
    duel.open();
    assert!(duel.established());
    for (sid, condition) in [
        (duel.sid().to_string(), Condition::FeatureNotImplemented),
        ("nobody".to_owned(), Condition::ItemNotFound),
    ] {
        duel.send_text(&format!(
            "<iq type='set' id='{sid}' from='{ROMEO}' to='{JULIET}'>\
             <path xmlns='urn:xmpp:tmp:xtls#path' sid='{sid}' n='0'>AAAA</path></iq>"
        ));
        let answer = duel.answers.iter().find(|sent| sent.id == sid);
        assert!(
            matches!(answer.map(|answer| &answer.content), Some(Content::Error(error)) if error.condition == condition),
            "{answer:?}"
        );
    }
}

#[test]
fn garbage_in_place_of_a_handshake_ends_the_session() {
    let mut duel = Duel::friends();
    duel.open();
    let mut duel = {
        // A new stream on which TLS never begins.
        duel.events.clear();
        duel
    };
    duel.inject(b"GET / HTTP/1.1\r\n\r\n");
    let closed = duel.closed();
    assert!(
        matches!(closed.why, Why::Session(Session::Tls(_))),
        "{closed:?}"
    );
}

#[test]
fn a_chunk_from_someone_else_is_not_part_of_the_stream() {
    let mut duel = open();
    let stolen = duel
        .answers
        .iter()
        .find_map(|envelope| match &envelope.content {
            Content::Set(Payload::Data(data)) => Some(data.clone()),
            _ => None,
        })
        .expect("juliet sent a chunk");
    for from in [
        STRANGER,
        "romeo@montague.example/other",
        "romeo@montague.example",
    ] {
        let before = duel.answers.len();
        let content = Content::Set(Payload::Data(stolen.clone()));
        duel.send_as(
            from,
            Envelope {
                from: None,
                to: None,
                id: "i1".to_owned(),
                content,
            },
        );
        let answer = &duel.answers[before];
        assert!(
            matches!(&answer.content, Content::Error(error) if error.condition == Condition::ItemNotFound
                || error.condition == Condition::ServiceUnavailable),
            "{answer:?}"
        );
    }
    duel.say("<message xmlns='jabber:client' id='m1'/>");
    assert_eq!(duel.delivered().len(), 1, "the stream lives");
}

#[test]
fn a_close_from_someone_else_closes_nothing() {
    let mut duel = open();
    for from in [STRANGER, "romeo@montague.example/other"] {
        let content = Content::Set(Payload::Xtls(Control::Close { sid: None }));
        duel.send_as(
            from,
            Envelope {
                from: None,
                to: None,
                id: "i1".to_owned(),
                content,
            },
        );
    }
    duel.say("<message xmlns='jabber:client' id='m1'/>");
    assert_eq!(duel.delivered().len(), 1);
}

#[test]
fn a_forged_xtls_close_never_makes_a_clean_end() {
    let mut duel = open();
    let content = Content::Set(Payload::Xtls(Control::Close { sid: None }));
    duel.send(Envelope {
        from: None,
        to: Some(keys::address(JULIET)),
        id: "i1".to_owned(),
        content,
    });
    duel.close_stream();
    assert!(!duel.closed().clean);
}

#[test]
fn a_stranger_learns_nothing() {
    let mut duel = Duel::friends();
    let requests = [
        "<open xmlns='http://jabber.org/protocol/ibb' sid='s1' block-size='4096'><start xmlns='urn:xmpp:tmp:xtls'/></open>",
        "<start xmlns='urn:xmpp:tmp:xtls'/>",
        "<close xmlns='urn:xmpp:tmp:xtls'/>",
        "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        "<anything xmlns='urn:example'/>",
    ];
    for (at, request) in requests.iter().enumerate() {
        let before = duel.answers.len();
        let type_ = if request.contains("disco") {
            "get"
        } else {
            "set"
        };
        duel.send_text(&format!(
            "<iq xmlns='jabber:client' from='{STRANGER}' to='{}' type='{type_}' id='i{at}'>{request}</iq>",
            JULIET
        ));
        let answers = &duel.answers[before..];
        assert_eq!(answers.len(), 1, "{request}");
        assert_eq!(answers[0].id, format!("i{at}"));
        assert!(
            matches!(&answers[0].content, Content::Error(error) if error.condition == Condition::ServiceUnavailable),
            "{request}: {:?}",
            answers[0]
        );
    }
    assert!(duel.events.is_empty());
}
