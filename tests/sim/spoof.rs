//! Forged stanzas from nine kinds of senders, none of them the peer: no effect on any session. Each run is compared
//! with a twin world without the forged stanza: everything that is reported to owners and everything on the wire, to
//! the end.

use std::time::Duration;

use xtls_sim::client::Act;
use xtls_sim::keys::{JULIET, ROMEO};
use xtls_sim::setup::Setup;
use xtls_sim::world::{Deed, World};

/// Senders that are not the peer, from Juliet's point of view; empty means no `from` at all.
const SENDERS: [&str; 9] = [
    "tybalt@evil.example/den",
    "evil.example",
    "romeo@montague.example/attic",
    "romeo@montague.example",
    "montague.example",
    "juliet@capulet.example/attic",
    "juliet@capulet.example",
    "capulet.example",
    "",
];

/// Two who talk, with stanzas under way.
fn conversation() -> World {
    let delay = (Duration::from_millis(10), Duration::ZERO);
    let mut world = World::new(
        Setup {
            delay,
            ..Setup::calm_weather(7)
        },
        true,
    );
    world.later(Duration::ZERO, Deed::Act(0, Act::Open));
    for (seconds, who) in [(1, 0), (2, 1), (20, 0), (20, 1)] {
        world.later(
            Duration::from_secs(seconds),
            Deed::Act(who, Act::Say(3, 100, 0)),
        );
    }
    run(&mut world, Duration::from_millis(20_005));
    world
}

/// The rest of it, and everything that happened.
fn rest(mut world: World) -> Vec<String> {
    for (seconds, who) in [(1, 1), (2, 0)] {
        world.later(
            Duration::from_secs(seconds),
            Deed::Act(who, Act::Say(2, 50, 0)),
        );
    }
    world.later(Duration::from_secs(10), Deed::Act(0, Act::Finish));
    run(&mut world, Duration::from_secs(120));
    let clean = world
        .oracle
        .ends
        .values()
        .filter(|end| end.closed.as_ref().is_some_and(|closed| closed.clean));
    assert_eq!(clean.count(), 2);
    world.log.expect("a log")
}

fn run(world: &mut World, time: Duration) {
    let until = world.now + time;
    while world.step(until) {}
}

/// The values of an attribute in everything that was sent so far, the last ones first.
fn said(log: &[String], attribute: &str) -> Vec<String> {
    let mark = format!(" {attribute}='");
    let value = |line: &String| Some(line.split(&mark).nth(1)?.split('\'').next()?.to_owned());
    let mut values: Vec<_> = log.iter().rev().filter_map(value).collect();
    values.dedup();
    values
}

/// What a forger may send, using names that are in use.
fn stanzas(log: &[String]) -> Vec<String> {
    let sid = &said(log, "sid")[0];
    let data = "xmlns='http://jabber.org/protocol/ibb'";
    let mut bodies = vec![
        format!("<close {data} sid='{sid}'/>"),
        format!(
            "<open {data} sid='{sid}' block-size='4096'><start xmlns='urn:xmpp:tmp:xtls'/></open>"
        ),
        format!("<open {data} sid='{sid}' block-size='65535'/>"),
        "<start xmlns='urn:xmpp:tmp:xtls'/>".to_owned(),
        "<close xmlns='urn:xmpp:tmp:xtls'/>".to_owned(),
        format!("<close xmlns='urn:xmpp:tmp:xtls' sid='{sid}'/>"),
        "<data xmlns='urn:xmpp:tmp:xtls' method='x509'>FQMDAAICAA==</data>".to_owned(),
        format!("<data {data} sid='{sid}' seq='x'>AAAA</data>"),
        format!("<data {data} sid='{sid}' seq='0'>AA!A</data>"),
    ];
    bodies.extend(
        (0..8).map(|seq| format!("<data {data} sid='{sid}' seq='{seq}'>FQMDAAIBAA==</data>")),
    );
    let mut stanzas: Vec<String> = bodies
        .iter()
        .map(|body| format!("<iq type='set' id='spoof'FROM>{body}</iq>"))
        .collect();
    stanzas.extend(
        bodies
            .iter()
            .skip(9)
            .map(|body| format!("<message id='spoof'FROM>{body}</message>")),
    );
    stanzas.push("<presence type='unavailable'FROM/>".to_owned());
    let condition = |name: &str| {
        format!(
            "<error type='cancel'><{name} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        )
    };
    for id in said(log, "id").iter().take(4) {
        stanzas.push(format!("<iq type='result' id='{id}'FROM/>"));
        stanzas.push(format!(
            "<iq type='result' id='{id}'FROM><closed xmlns='urn:xmpp:tmp:xtls'/></iq>"
        ));
        stanzas.push(format!(
            "<iq type='error' id='{id}'FROM>{}</iq>",
            condition("item-not-found")
        ));
        stanzas.push(format!(
            "<message type='error' id='{id}'FROM>{}</message>",
            condition("gone")
        ));
    }
    stanzas
}

#[test]
fn no_forged_stanza_has_an_effect_on_any_session() {
    let calm = conversation();
    let stanzas = stanzas(calm.log.as_deref().expect("a log"));
    let expected = rest(calm);
    let mut forged = 0;
    for sender in SENDERS {
        for stanza in &stanzas {
            // Another resource of a friend may open a tunnel of its own.
            if sender.ends_with("/attic")
                && stanza.contains("<start xmlns='urn:xmpp:tmp:xtls'/></open>")
            {
                continue;
            }
            let from = if sender.is_empty() {
                String::new()
            } else {
                format!(" from='{sender}'")
            };
            let stanza = stanza.replace(
                "FROM",
                &format!("{from} to='{JULIET}' xmlns='jabber:client'"),
            );
            let mut world = conversation();
            let before = world.log.as_ref().expect("a log").len();
            world.arrive(1, stanza.clone().into_bytes().into());
            let log = world.log.as_mut().expect("a log");
            // The stanza itself, and at most the answer to its sender.
            let during = log.split_off(before);
            let answer = |line: &String| {
                line.contains("<- 1 ")
                    && line.contains("id='spoof'")
                    && !line.contains(&format!("to='{ROMEO}'"))
            };
            assert!(
                during.len() <= 2 && during.iter().skip(1).all(answer),
                "{stanza}: {during:?}"
            );
            assert_eq!(rest(world), expected, "{stanza}");
            forged += 1;
        }
    }
    assert!(forged >= 200, "{forged}");
}
