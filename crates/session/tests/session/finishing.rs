//! Who has taken what: told inside, by an answer to `<finish/>`, or not at all.

use std::time::Duration;

use xtls_session::{Close, Config, Event, Receipt, SendError, Violation, Why};
use xtls_stanza::{Element, Kind, Stanza, finish};
use xtls_tls::Role;

use super::support::{End as _, Ours, Setup, Stranger, bodies, message, settle, stanza};

const FINISH: &str = "<iq xmlns='jabber:client' id='xtls-finish' type='set'>\
    <finish xmlns='urn:xmpp:tmp:xtls#finish'/></iq>";
const TAKEN: &str = "<iq id='xtls-finish' type='result'/>";
const UNKNOWN: &str = "<iq id='xtls-finish' type='error'><error type='cancel'>\
    <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";

fn sent(close: &Close) -> (u64, Receipt) {
    (close.unconfirmed, close.receipt)
}

/// Juliet has said so many words to a stranger and finished.
fn finished(setup: &Setup, words: usize) -> (Ours, Stranger) {
    let (mut juliet, mut stranger) = setup.juliet_and_stranger();
    for _ in 0..words {
        juliet.send(&message("word"));
    }
    juliet.session.finish(juliet.now);
    settle(&mut juliet, &mut stranger);
    (juliet, stranger)
}

#[test]
fn nothing_is_confirmed_that_the_application_has_not_taken() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    juliet.takes = false;
    romeo.send(&message("one"));
    romeo.send(&message("two"));
    romeo.session.finish(romeo.now);
    settle(&mut romeo, &mut juliet);
    // It has read them, and may still drop them.
    assert_eq!(juliet.names(), ["stanza", "stanza", "peer finished"]);
    juliet.session.abort();
    romeo.cut();
    assert_eq!(sent(&romeo.closed()), (2, Receipt::Accepted));
}

#[test]
fn what_the_application_has_taken_is_confirmed_also_after_an_early_finish_of_its_own() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    juliet.send(&message("all that I have to say"));
    juliet.session.finish(juliet.now);
    settle(&mut romeo, &mut juliet);
    juliet.takes = false;
    for _ in 0..3 {
        romeo.send(&message("much more"));
    }
    romeo.session.finish(romeo.now);
    settle(&mut romeo, &mut juliet);
    assert!(romeo.is_open() && juliet.is_open());
    juliet.session.took(juliet.now);
    settle(&mut romeo, &mut juliet);
    for end in [&mut romeo, &mut juliet] {
        let close = end.closed();
        assert_eq!((close.why.clone(), close.clean), (Why::Finished, true));
        assert_eq!(sent(&close), (0, Receipt::Taken));
    }
}

#[test]
fn a_reader_may_take_its_time() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    juliet.takes = false;
    romeo.send(&message("heavy"));
    let begun = romeo.now;
    romeo.session.finish(romeo.now);
    settle(&mut romeo, &mut juliet);
    for _ in 0..10 {
        // A question for a sign of life, and the sign.
        assert_eq!(romeo.expire(), "probe");
        juliet.now = romeo.now;
        settle(&mut romeo, &mut juliet);
    }
    assert_eq!(romeo.now - begun, Duration::from_secs(3000));
    juliet.session.took(juliet.now);
    juliet.session.finish(juliet.now);
    settle(&mut romeo, &mut juliet);
    assert_eq!(sent(&romeo.closed()), (0, Receipt::Taken));
}

#[test]
fn a_reader_that_is_gone_is_noticed() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    romeo.send(&message("to nobody"));
    romeo.session.finish(romeo.now);
    juliet.session.abort();
    romeo.take();
    assert_eq!(romeo.expire(), "probe");
    romeo.take();
    assert_eq!(romeo.expire(), "probe");
    let close = romeo.closed();
    assert_eq!(close.why, Why::Silent);
    assert_eq!(sent(&close), (1, Receipt::Accepted));
}

#[test]
fn finishes_that_cross_are_both_answered() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    for end in [&mut romeo, &mut juliet] {
        end.send(&message("at once"));
        end.session.finish(end.now);
    }
    settle(&mut romeo, &mut juliet);
    for end in [&mut romeo, &mut juliet] {
        assert_eq!(end.names(), ["stanza", "peer finished", "closed"]);
        assert_eq!(end.events[2], Event::PeerClosed);
        assert_eq!(sent(&end.closed()), (0, Receipt::Taken));
    }
}

#[test]
fn a_peer_that_does_not_know_it_has_read_everything_and_taken_nothing_that_we_know_of() {
    let (mut juliet, mut stranger) = finished(&Setup::stanzas(), 2);
    assert!(stranger.heard().ends_with(FINISH), "{}", stranger.heard());
    assert!(!stranger.tls.peer_closed());
    stranger.say(UNKNOWN, &mut juliet);
    // As before there was anything to know: close_notify, and the peer's is awaited.
    assert!(stranger.tls.peer_closed() && juliet.is_open());
    stranger.write(message_xml("still talking"));
    stranger.tls.close();
    settle(&mut juliet, &mut stranger);
    let close = juliet.closed();
    assert_eq!((close.why.clone(), close.clean), (Why::Finished, true));
    assert_eq!(sent(&close), (2, Receipt::Read));
    assert_eq!(bodies(&juliet.stanzas()), ["still talking"]);
}

#[test]
fn a_peer_that_has_closed_cannot_answer_and_is_not_asked() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.tls.close();
    settle(&mut juliet, &mut stranger);
    juliet.send(&message("who hears this?"));
    juliet.session.finish(juliet.now);
    settle(&mut juliet, &mut stranger);
    assert!(!stranger.heard().contains("finish"));
    assert_eq!(sent(&juliet.closed()), (1, Receipt::Accepted));
}

#[test]
fn a_close_notify_in_place_of_the_answer_confirms_nothing() {
    let (mut juliet, mut stranger) = finished(&Setup::stanzas(), 1);
    stranger.tls.close();
    settle(&mut juliet, &mut stranger);
    let close = juliet.closed();
    assert_eq!((close.why.clone(), close.clean), (Why::Finished, true));
    assert_eq!(sent(&close), (1, Receipt::Accepted));
}

#[test]
fn an_answer_right_before_the_peers_close_notify_counts() {
    let (mut juliet, mut stranger) = finished(&Setup::stanzas(), 1);
    stranger.write(TAKEN);
    stranger.tls.close();
    settle(&mut juliet, &mut stranger);
    assert_eq!(sent(&juliet.closed()), (0, Receipt::Taken));
}

#[test]
fn a_close_waits_for_the_answer_for_its_time_and_tells_the_peer_then() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    juliet.takes = false;
    romeo.send(&message("in a hurry"));
    romeo.session.close(romeo.now);
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.expire(), "close");
    settle(&mut romeo, &mut juliet);
    // Juliet has heard that nothing follows. It is too late for her answer to be asked for, not for it to be given.
    assert!(juliet.session.peer_closed() && romeo.is_open());
    juliet.session.took(juliet.now);
    juliet.session.finish(juliet.now);
    settle(&mut romeo, &mut juliet);
    let close = romeo.closed();
    assert_eq!(close.why, Why::Finished);
    assert_eq!(sent(&close), (0, Receipt::Taken));
}

#[test]
fn a_letter_only_peer_has_ten_seconds_to_answer() {
    let setup = Setup::stanzas();
    let mut juliet = setup.juliet();
    let mut stranger = setup.letter_only(Role::Client);
    settle(&mut juliet, &mut stranger);
    juliet.send(&message("word"));
    let begun = juliet.now;
    juliet.session.finish(juliet.now);
    settle(&mut juliet, &mut stranger);
    assert!(!stranger.tls.peer_closed());
    assert_eq!(juliet.expire(), "finish");
    assert_eq!(juliet.now - begun, Duration::from_secs(10));
    settle(&mut juliet, &mut stranger);
    assert!(stranger.tls.peer_closed() && juliet.is_open());
    stranger.tls.close();
    settle(&mut juliet, &mut stranger);
    assert_eq!(sent(&juliet.closed()), (1, Receipt::Accepted));
}

#[test]
fn an_answer_to_something_else_is_none() {
    for answer in [
        "<iq id='xtls-finish-2' type='result'/>",
        "<message id='xtls-finish' type='result'/>",
        "<iq id='xtls-finish' type='get'><query xmlns='a'/></iq>",
    ] {
        let (mut juliet, mut stranger) = finished(&Setup::stanzas(), 1);
        stranger.say(answer, &mut juliet);
        juliet.cut();
        assert_eq!(sent(&juliet.closed()), (1, Receipt::Accepted), "{answer}");
    }
    // An answer to a question that nobody has asked yet.
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    juliet.send(&message("word"));
    stranger.say(TAKEN, &mut juliet);
    juliet.session.finish(juliet.now);
    juliet.cut();
    assert_eq!(sent(&juliet.closed()), (1, Receipt::Accepted));
}

#[test]
fn an_application_cannot_speak_for_the_session() {
    let (mut romeo, _juliet) = Setup::stanzas().connected();
    let request = |id: &str| {
        Stanza::new(Kind::Iq)
            .with_type("get")
            .with_id(id)
            .with_child(&Element::new("query", "jabber:iq:version"))
    };
    let own = [
        finish::request("f"),
        stanza("<message><finish xmlns='urn:xmpp:tmp:xtls&#35;finish'/></message>"),
        stanza("<message><ready xmlns='urn:xmpp:tmp:xtls#verify' method='words'/></message>"),
        finish::answer("xtls-finish", None),
        request("xtls-finish"),
        request("xtls-probe-1"),
    ];
    for stanza in &own {
        let refused = romeo.session.send(stanza);
        assert!(
            matches!(refused, Err(SendError::Reserved(_))),
            "{stanza:?}: {refused:?}"
        );
    }
    // Ids of messages answer nothing.
    romeo.send(&message("fine").with_id("xtls-finish"));
    romeo.send(&request("xtls"));
}

#[test]
fn who_goes_on_after_a_finish_ends_the_session() {
    for more in [
        message_xml("and another thing"),
        "<presence/>".to_owned(),
        "<presence type='subscribe'/>".to_owned(),
        "<iq type='get' id='v'><query xmlns='jabber:iq:version'/></iq>".to_owned(),
        "<iq type='set' id='v'><query xmlns='jabber:iq:roster'/></iq>".to_owned(),
        FINISH.to_owned(),
    ] {
        let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
        stranger.say(FINISH, &mut juliet);
        stranger.say(&more, &mut juliet);
        let close = juliet.closed();
        assert_eq!(close.why, Why::Afterthought, "{more}");
        assert_eq!(juliet.names(), ["peer finished", "closed"], "{more}");
    }
}

#[test]
fn answers_and_signs_of_life_may_follow_a_finish() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.say(FINISH, &mut juliet);
    for more in [
        " \r\n",
        "<iq type='result' id='v'/>",
        "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
    ] {
        stranger.say(more, &mut juliet);
    }
    assert!(juliet.is_open());
    assert_eq!(juliet.names(), ["peer finished", "stanza"]);
}

#[test]
fn a_finish_or_its_answer_from_somebody_else_ends_the_session() {
    let forged = |xml: &str| xml.replacen("<iq", "<iq from='capulet.example'", 1);
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.say(forged(FINISH), &mut juliet);
    assert!(matches!(juliet.closed().why, Why::Routing(_)));
    assert_eq!(juliet.names(), ["closed"]);
    let (mut juliet, mut stranger) = finished(&Setup::stanzas(), 1);
    stranger.say(forged(TAKEN), &mut juliet);
    let close = juliet.closed();
    assert!(matches!(close.why, Why::Routing(_)));
    assert_eq!(sent(&close), (1, Receipt::Accepted));
}

#[test]
fn what_only_looks_like_a_finish_is_refused_as_before() {
    for xml in [
        FINISH.replacen("set", "get", 1),
        FINISH.replacen("<finish", "<finished", 1),
        FINISH.replacen("</iq>", "<a xmlns='b'/></iq>", 1),
    ] {
        let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
        stranger.say(&xml, &mut juliet);
        assert_eq!(juliet.names(), ["refused"], "{xml}");
        assert!(stranger.heard().contains("type='error'"), "{xml}");
    }
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.say(
        "<message><finish xmlns='urn:xmpp:tmp:xtls#finish'/></message>",
        &mut juliet,
    );
    let [Event::Refused(Violation::Payload { .. })] = &juliet.events[..] else {
        panic!("{:?}", juliet.events)
    };
}

#[test]
fn a_cut_after_the_peers_finish_has_cut_nothing_that_it_said() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write(message_xml("all of it"));
    stranger.write(FINISH);
    // The owner looks when it is over.
    juliet.session.handle_wire(juliet.now, &stranger.take());
    juliet.cut();
    let close = juliet.closed();
    assert_eq!(juliet.names(), ["stanza", "peer finished", "closed"]);
    assert_eq!((close.why, close.clean), (Why::Unfinished, true));
}

#[test]
fn a_session_that_goes_on_with_another_says_since_when_it_has_taken_everything() {
    let (mut old, mut old_peer) = Setup::stanzas().connected();
    let second = Setup {
        sid: "s2",
        ..Setup::stanzas()
    };
    let (mut new, mut new_peer) = second.connected();
    old.send(&message("before"));
    old.session.part(old.now);
    settle(&mut old, &mut old_peer);
    // Here the conversation goes on; there it begins anew, because the rest of the old one was cut.
    old.session.hand_over(&mut new.session);
    new.send(&message("after"));
    new.session.finish(new.now);
    settle(&mut new, &mut new_peer);
    new_peer.session.finish(new_peer.now);
    settle(&mut new, &mut new_peer);
    assert_eq!(sent(&new.closed()), (2, Receipt::Read));
    assert_eq!(sent(&new_peer.closed()), (0, Receipt::Taken));
}

#[test]
fn two_ends_that_went_on_together_have_taken_everything_since_the_beginning() {
    let (mut old, mut old_peer) = Setup::stanzas().connected();
    let second = Setup {
        sid: "s2",
        ..Setup::stanzas()
    };
    let (mut new, mut new_peer) = second.connected();
    old.send(&message("before"));
    old.session.part(old.now);
    old_peer.session.part(old_peer.now);
    settle(&mut old, &mut old_peer);
    old.session.hand_over(&mut new.session);
    old_peer.session.hand_over(&mut new_peer.session);
    for end in [&mut new, &mut new_peer] {
        end.session.finish(end.now);
    }
    settle(&mut new, &mut new_peer);
    for end in [&mut new, &mut new_peer] {
        assert_eq!(sent(&end.closed()), (0, Receipt::Taken));
    }
}

#[test]
fn a_finish_is_padded_as_anything_else() {
    let setup = Setup::stanzas().with(Config::default().padding(256));
    let (_juliet, stranger) = finished(&setup, 1);
    assert_eq!(stranger.plain.len(), 512);
}

fn message_xml(body: &str) -> String {
    format!("<message><body>{body}</body></message>")
}
