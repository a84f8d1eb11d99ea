//! Requests and addresses inside the tunnel, seen from both ends of it.

use xtls_session::{Event, Violation};

use super::support::{End as _, JULIET, ROMEO, Setup, address, bodies, message, settle, stanza};

const PING: &str = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
const ROSTER: &str = "<iq type='set' id='r'><query xmlns='jabber:iq:roster'>\
    <item jid='mallory@example.org' subscription='both'/></query></iq>";

#[test]
fn a_ping_is_answered_inside_and_not_told() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.say(PING, &mut juliet);
    assert_eq!(
        stranger.heard(),
        "<iq xmlns='jabber:client' id='p' type='result'/>"
    );
    assert!(juliet.names().is_empty());
}

#[test]
fn a_request_that_nobody_may_make_is_refused_inside_and_told() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.say(ROSTER, &mut juliet);
    let answer = stanza(&stranger.heard());
    assert_eq!(
        (answer.id.as_deref(), answer.type_.as_deref()),
        (Some("r"), Some("error"))
    );
    assert_eq!((&answer.from, &answer.to), (&None, &None));
    let error = xtls_stanza::StanzaError::read(&answer.elements().unwrap()[0]);
    assert_eq!(error.condition, xtls_stanza::Condition::ServiceUnavailable);
    let [Event::Refused(Violation::Payload { ns, name })] = &juliet.events[..] else {
        panic!("{:?}", juliet.events)
    };
    assert_eq!((ns.as_str(), name.as_str()), ("jabber:iq:roster", "query"));
}

#[test]
fn a_question_is_answered_after_our_finish_and_not_after_our_close_notify() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    juliet.session.finish(juliet.now);
    settle(&mut juliet, &mut stranger);
    stranger.plain.clear();
    stranger.say(PING, &mut juliet);
    assert_eq!(
        stranger.heard(),
        "<iq xmlns='jabber:client' id='p' type='result'/>"
    );
    stranger.plain.clear();
    juliet.session.part(juliet.now);
    settle(&mut juliet, &mut stranger);
    stranger.say(PING, &mut juliet);
    stranger.say(ROSTER, &mut juliet);
    assert!(stranger.plain.is_empty());
    assert_eq!(juliet.names(), ["refused"]);
}

#[test]
fn a_question_is_not_answered_to_a_transport_that_has_gone() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write(PING.repeat(10_000));
    stranger.write("<presence/>");
    juliet.session.handle_wire(juliet.now, &stranger.take());
    juliet.session.handle_wire_end(juliet.now);
    // 10,000 answers would be more than is ever held.
    assert_eq!(juliet.closed().why, xtls_session::Why::Truncated);
    assert_eq!(juliet.names(), ["stanza", "closed"]);
}

#[test]
fn a_refusal_ends_nothing() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.say("<presence type='subscribe'/>", &mut juliet);
    stranger.say("<message type='groupchat'/>", &mut juliet);
    stranger.say("<iq type='get'/>", &mut juliet);
    stranger.say("<message/>", &mut juliet);
    assert_eq!(juliet.names(), ["refused", "refused", "refused", "stanza"]);
    assert!(stranger.plain.is_empty());
}

#[test]
fn addresses_do_not_travel_and_arrive_restored() {
    let setup = Setup::stanzas();
    let (mut juliet, mut stranger) = setup.juliet_and_stranger();
    juliet.send(&stanza(&format!(
        "<message from='{JULIET}' to='{ROMEO}' type='chat' id='m1' xml:lang='en'><body>hi</body></message>"
    )));
    settle(&mut juliet, &mut stranger);
    assert_eq!(
        stranger.heard(),
        "<message xmlns='jabber:client' id='m1' type='chat' xml:lang='en'><body>hi</body></message>"
    );
    stranger.say(
        "<message id='m2' xml:lang='it'><body>ciao</body></message>",
        &mut juliet,
    );
    let arrived = &juliet.stanzas()[0];
    assert_eq!(arrived.from, Some(address(ROMEO)));
    assert_eq!(arrived.to, Some(address(JULIET)));
    assert_eq!(arrived.lang.as_deref(), Some("it"));
}

/// How many TLS records there are.
fn records(mut wire: &[u8]) -> usize {
    let mut count = 0;
    while let [_, _, _, high, low, rest @ ..] = wire {
        wire = &rest[usize::from(u16::from_be_bytes([*high, *low]))..];
        count += 1;
    }
    count
}

#[test]
fn stanzas_share_records_when_they_are_sent_in_a_row_and_not_otherwise() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    let bodies_sent = ["one", "two", "three"];
    for body in bodies_sent {
        romeo.send(&message(body));
    }
    let wire = romeo.take();
    assert_eq!(records(&wire), 1);
    juliet.feed(&wire);
    for body in bodies_sent {
        romeo.send(&message(body));
        let wire = romeo.take();
        assert_eq!(records(&wire), 1, "{body}");
        juliet.feed(&wire);
    }
    assert_eq!(
        bodies(&juliet.stanzas()),
        [bodies_sent, bodies_sent].concat()
    );
}
