//! What ends a session by its contents: no close_notify and no alert may claim that it ended well.

use xtls_framer::{FrameError, Restricted};
use xtls_session::{By, Violation, Why};

use super::support::{End as _, JULIET, ROMEO, Setup, message, settle};

/// What Juliet ends with when she hears this, after which the stranger must have been told nothing.
fn heard(plain: &str) -> Why {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.say(format!("<message/>{plain}"), &mut juliet);
    let close = juliet.closed();
    assert_eq!(juliet.names(), ["stanza", "closed"], "{plain}");
    assert_eq!(
        (close.by, close.clean, close.unconfirmed),
        (By::Us, false, 0)
    );
    assert!(!stranger.was_told() && stranger.plain.is_empty(), "{plain}");
    close.why
}

#[test]
fn what_is_no_sequence_of_stanzas() {
    let at = |plain| match heard(plain) {
        Why::Framing(error) => error,
        other => panic!("{plain}: {other:?}"),
    };
    // Juliet has read the stranger's 10 bytes of `<message/>` before.
    let restricted = |what| FrameError::Restricted { what, at: 10 };
    assert_eq!(
        at("<?xml version='1.0'?>"),
        restricted(Restricted::Declaration)
    );
    assert_eq!(at("<?pi?>"), restricted(Restricted::ProcessingInstruction));
    assert_eq!(at("<!-- a comment -->"), restricted(Restricted::Comment));
    assert_eq!(at("<!DOCTYPE message>"), restricted(Restricted::Doctype));
    assert_eq!(at("<![CDATA[x]]>"), restricted(Restricted::CData));
    assert_eq!(at("hello"), FrameError::StrayText { at: 10 });
    assert_eq!(at("\u{FEFF}"), FrameError::StrayText { at: 10 });
    assert_eq!(at("</stream:stream>"), FrameError::StrayEndTag { at: 10 });
    let deep = "<message>".repeat(70);
    assert_eq!(
        at(&deep),
        FrameError::TooDeep {
            limit: 64,
            at: 10 + 64 * 9
        }
    );
}

#[test]
fn the_start_tag_of_a_stream_or_of_anything_else_that_is_no_stanza_is_not_waited_for() {
    for plain in [
        "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
        "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' to='nev",
        " \r\n<features>",
        "<messages to='somebody'>",
        "<message:iqs>",
    ] {
        assert!(matches!(heard(plain), Why::Xml(_)), "{plain}");
    }
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    for plain in [
        "<",
        "mess",
        "age",
        " xmlns:c='jabber:client'><bo",
        "dy/></message>",
    ] {
        stranger.say(plain, &mut juliet);
    }
    for plain in [
        "<c:i",
        "q xmlns:c='jabber:client' type='result' ",
        "id='r'/>",
    ] {
        stranger.say(plain, &mut juliet);
    }
    assert_eq!(juliet.names(), ["stanza", "stanza"]);
}

#[test]
fn bytes_that_are_not_utf8() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.say(b"<message><body>\xFF</body></message>", &mut juliet);
    assert_eq!(
        juliet.closed().why,
        Why::Framing(FrameError::NotUtf8 { at: 15 })
    );
    assert!(!stranger.was_told());
}

#[test]
fn what_is_no_stanza_or_no_xml() {
    let bad = [
        "<stream xmlns='http://etherx.jabber.org/streams'/>",
        "<stream:stream/>",
        "<body/>",
        "<message xmlns='jabber:server'/>",
        "<message xmlns='urn:example'/>",
        "<message xmlns=''/>",
        "<x:message xmlns:x='jabber:server'/>",
        "<message><body></subject></message>",
        "<message><a:body/></message>",
        "<message id='1' id='2'/>",
        "<message><body>&entity;</body></message>",
        "<message><body>&#0;</body></message>",
        "<message from='@'/>",
        "<message from=''/>",
        "<message to='juliet@capulet.example/'/>",
    ];
    for plain in bad {
        assert!(matches!(heard(plain), Why::Xml(_)), "{plain}");
    }
}

#[test]
fn a_false_address_ends_the_session() {
    let mallory = "mallory@example.org/x";
    for (attribute, true_one) in [("from", ROMEO), ("to", JULIET)] {
        let plain = format!("<message {attribute}='{mallory}'><body>pay</body></message>");
        let Why::Routing(Violation::Address(address)) = heard(&plain) else {
            panic!("{attribute} was believed")
        };
        assert_eq!(address.attribute, attribute);
        assert_eq!(address.claimed.as_str(), mallory);
        assert_eq!(address.expected.as_str(), true_one);
    }
}

#[test]
fn a_close_notify_that_waits_in_the_queue_does_not_go_out_any_more() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write("<!---->");
    juliet.send(&message("on its way"));
    juliet.session.part(juliet.now);
    juliet.feed(&stranger.take());
    settle(&mut juliet, &mut stranger);
    assert!(matches!(juliet.closed().why, Why::Framing(_)));
    assert!(!stranger.was_told() && stranger.plain.is_empty());
}

#[test]
fn what_came_before_a_cut_is_judged_like_everything_else() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write("<message from='mallory@example.org'/>");
    juliet.session.handle_wire(juliet.now, &stranger.take());
    juliet.session.handle_wire_end(juliet.now);
    assert!(matches!(juliet.closed().why, Why::Routing(_)));
}

#[test]
fn nothing_after_a_violation_is_heard() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.say("<message/><!----><message/>", &mut juliet);
    stranger.say("<message/>", &mut juliet);
    assert_eq!(juliet.names(), ["stanza", "closed"]);
}

#[test]
fn pings_that_are_not_read_end_the_session_and_do_not_fill_memory() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>".repeat(100);
    let mut asked = 0;
    while juliet.is_open() {
        // The transport takes nothing from Juliet.
        stranger.write(&ping);
        juliet.feed(&stranger.take());
        asked += 100;
        assert!(asked < 10_000);
    }
    // It ends although the transport is still stuck. What one answer holds is far below 100 bytes.
    let close = juliet.closed();
    assert_eq!((close.by, close.why), (By::Us, Why::Unread));
    let bound = 2 * 65_536 + 262_144;
    assert!(
        asked * 60 < bound,
        "{asked} answers are more than {bound} bytes"
    );
}

#[test]
fn answers_have_room_beside_what_the_application_has_queued() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    juliet.send(&super::support::long(200_000));
    assert_eq!(juliet.session.room(), 0);
    for _ in 0..100 {
        stranger.write("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
        juliet.feed(&stranger.take());
    }
    assert!(juliet.is_open());
    settle(&mut juliet, &mut stranger);
    assert_eq!(stranger.heard().matches("type='result'").count(), 100);
}

#[test]
fn an_answer_swollen_by_escapes_counts_with_its_length() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    // Each of these becomes six bytes in the answer.
    let id = "'".repeat(200_000);
    stranger.write(format!(
        "<iq type='get' id=\"{id}\"><ping xmlns='urn:xmpp:ping'/></iq>"
    ));
    juliet.feed(&stranger.take());
    assert_eq!(juliet.closed().why, Why::Unread);
}
