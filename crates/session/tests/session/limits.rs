//! What the caller may not do, and the room there is.

use xtls_session::{Config, Event, SendError};
use xtls_stanza::{Kind, Rule, Stanza};
use xtls_tls::Role;

use super::support::{JULIET, ROMEO, Setup, address, bodies, long, message, settle, stanza};

#[test]
fn not_open() {
    let setup = Setup::stanzas();
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    assert_eq!(romeo.session.send(&message("x")), Err(SendError::NotOpen));
    assert_eq!(juliet.session.send(&message("x")), Err(SendError::NotOpen));
}

#[test]
fn finished() {
    let (mut romeo, _juliet) = Setup::stanzas().connected();
    romeo.session.finish(romeo.now);
    assert_eq!(romeo.session.send(&message("x")), Err(SendError::Finished));
    let (mut romeo, _juliet) = Setup::stanzas().connected();
    romeo.session.abort();
    assert_eq!(romeo.session.send(&message("x")), Err(SendError::Finished));
    romeo.collect();
    assert_eq!(romeo.session.send(&message("x")), Err(SendError::Finished));
}

#[test]
fn the_wrong_mode() {
    let (mut romeo, _juliet) = Setup::stanzas().connected();
    let error = romeo.session.write(b"x").unwrap_err();
    assert!(matches!(error, SendError::Mode(_)));
    assert_eq!(error.to_string(), "this session carries stanzas, not bytes");
    assert_eq!(romeo.session.read(10), None);
    let (mut romeo, _juliet) = Setup::bytes().connected();
    let error = romeo.session.send(&message("x")).unwrap_err();
    assert_eq!(error.to_string(), "this session carries bytes, not stanzas");
}

#[test]
fn another_address() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    for (attribute, told, expected) in [
        ("to", "mallory@example.org", JULIET),
        ("to", "juliet@capulet.example/garden", JULIET),
        ("to", ROMEO, JULIET),
        ("from", JULIET, ROMEO),
        ("from", "montague.example", ROMEO),
    ] {
        let error = romeo
            .session
            .send(&stanza(&format!("<message {attribute}='{told}'/>")));
        let Err(SendError::Address(wrong)) = error else {
            panic!("{attribute}='{told}' was sent: {error:?}")
        };
        assert_eq!(wrong.attribute, attribute);
        assert_eq!(wrong.claimed, address(told));
        assert_eq!(wrong.expected, address(expected));
    }
    settle(&mut romeo, &mut juliet);
    assert!(juliet.stanzas().is_empty());
}

#[test]
fn too_long() {
    let config = Config::default().max_stanza(10_000);
    let (mut romeo, mut juliet) = Setup::stanzas().with(config).connected();
    let around = "<message xmlns='jabber:client'></message>".len();
    let longest = long(10_000 - around);
    romeo.send(&longest);
    let error = romeo.session.send(&long(10_001 - around));
    let expected = SendError::TooLong {
        length: 10_001,
        limit: 10_000,
    };
    assert_eq!(error, Err(expected));
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.stanzas()[0].children, longest.children);
}

#[test]
fn longer_than_tls_holds_at_once() {
    let setup = Setup::stanzas();
    let expect = setup
        .binding(Role::Client)
        .expect(setup.store(Role::Client), Default::default());
    let config = setup.tls_config(Role::Client).max_pending(20_000);
    let tls = xtls_tls::Tls::new(Role::Client, &config, expect).unwrap();
    let (mut romeo, mut juliet) = (setup.end_over(Role::Client, tls), setup.juliet());
    settle(&mut romeo, &mut juliet);
    // It never fits.
    let error = romeo.session.send(&long(30_000));
    assert!(
        matches!(error, Err(SendError::TooLong { limit: 20_000, .. })),
        "{error:?}"
    );
    // It does not fit now.
    romeo.send(&long(15_000));
    assert_eq!(romeo.session.send(&long(15_000)), Err(SendError::Full));
    // Nothing has changed as long as the transport takes nothing.
    assert_eq!(romeo.session.poll_wire(0), None);
    assert_eq!(romeo.session.poll_event(), None);
    settle(&mut romeo, &mut juliet);
    assert!(romeo.names().contains(&"writable"));
    romeo.send(&long(15_000));
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.stanzas().len(), 2);
}

#[test]
fn children_that_are_no_xml() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    // Set by hand, these would end the stanza and begin another, or never end it.
    for children in [
        "</message><message>",
        "</message>",
        "<body>",
        "<!-- c -->",
        "<hint xmlns='urn:xmpp:hints'>",
        "<a xmlns='urn:xmpp:hints' b='<'/>",
    ] {
        let mut bad = Stanza::new(Kind::Message);
        bad.children = children.into();
        assert!(
            matches!(romeo.session.send(&bad), Err(SendError::Xml(_))),
            "{children}"
        );
    }
    let mut bad = Stanza::new(Kind::Message);
    bad.children = "</message><message>".into();
    let Err(SendError::Xml(error)) = romeo.session.send(&bad) else {
        panic!("taken")
    };
    assert_eq!(error.rule, Rule::SecondElement);
    romeo.send(&message("good"));
    settle(&mut romeo, &mut juliet);
    assert_eq!(bodies(&juliet.stanzas()), ["good"]);
}

#[test]
fn full_and_writable_again() {
    let config = Config::default().queue(1_000);
    let (mut romeo, mut juliet) = Setup::stanzas().with(config).connected();
    let mut sent = 0;
    while romeo.session.room() > 0 {
        romeo.send(&message("a line of some length"));
        sent += 1;
    }
    assert_eq!(romeo.session.send(&message("x")), Err(SendError::Full));
    assert_eq!(romeo.session.send(&message("x")), Err(SendError::Full));
    romeo.collect();
    assert!(romeo.names().is_empty());
    settle(&mut romeo, &mut juliet);
    // Once, however often it was refused.
    assert_eq!(romeo.names(), ["writable"]);
    assert_eq!(juliet.stanzas().len(), sent);
}

#[test]
fn writable_waits_for_half_of_the_queue() {
    let config = Config::default().queue(1_000);
    let (mut romeo, _juliet) = Setup::stanzas().with(config).connected();
    while romeo.session.send(&message("x")).is_ok() {}
    romeo.session.poll_wire(100);
    assert_eq!(romeo.session.poll_event(), None);
    romeo.session.poll_wire(1_000);
    assert_eq!(romeo.session.poll_event(), Some(Event::Writable));
}

#[test]
fn one_stanza_may_exceed_the_queue() {
    let config = Config::default().queue(0).backlog(0);
    let (mut romeo, mut juliet) = Setup::stanzas().with(config).connected();
    assert!(romeo.session.room() > 0);
    romeo.send(&long(100_000));
    assert_eq!(romeo.session.room(), 0);
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.stanzas().len(), 1);
}

#[test]
fn writable_is_not_told_of_a_direction_that_has_ended() {
    let config = Config::default().queue(1_000);
    let (mut romeo, mut juliet) = Setup::stanzas().with(config).connected();
    while romeo.session.send(&message("x")).is_ok() {}
    romeo.session.finish(romeo.now);
    settle(&mut romeo, &mut juliet);
    assert!(romeo.names().is_empty());
}
