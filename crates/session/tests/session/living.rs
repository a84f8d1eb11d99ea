//! Signs of life, padding, and the age of keys.

use std::time::Duration;

use xtls_session::{By, Config, Event, Why};

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Passes what both have to say, and time to both.
fn pass(romeo: &mut Ours, juliet: &mut Ours, time: Duration) {
    let until = romeo.now + time;
    loop {
        settle(romeo, juliet);
        let next = [&*romeo, &*juliet]
            .into_iter()
            .filter_map(|end| end.session.poll_timeout());
        let Some(at) = next
            .map(|deadline| deadline.at)
            .min()
            .filter(|at| *at <= until)
        else {
            break;
        };
        for end in [&mut *romeo, &mut *juliet] {
            end.now = end.now.max(at);
            end.session.handle_timeout(end.now);
            end.collect();
        }
    }
    romeo.now = until;
    juliet.now = until;
}

#[test]
fn idle_ends_stay_open_for_ever() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    pass(&mut romeo, &mut juliet, MINUTE * 600);
    assert!(
        romeo.events.is_empty() && juliet.events.is_empty(),
        "{:?}",
        romeo.events
    );
}

#[test]
fn a_peer_that_is_silent_inside_has_gone_whatever_the_transport_says() {
    let (mut romeo, juliet) = Setup::stanzas().connected();
    drop(juliet);
    let mut asked = 0;
    let end = romeo.now + MINUTE * 6;
    while let Some(deadline) = romeo
        .session
        .poll_timeout()
        .filter(|deadline| deadline.at <= end)
    {
        romeo.now = deadline.at;
        romeo.session.handle_timeout(romeo.now);
        romeo.collect();
        // The transport takes everything, as a server does that forges acknowledgements.
        asked += usize::from(!romeo.take().is_empty());
    }
    assert_eq!(asked, 1);
    let Some(Event::Closed(close)) = romeo.events.last() else {
        panic!("{:?}", romeo.events);
    };
    assert_eq!(
        (close.by, &close.why, close.clean),
        (By::Transport, &Why::Silent, false)
    );
}

#[test]
fn a_slow_reader_gives_signs_of_life() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    for _ in 0..20 {
        romeo.session.send(&message("Call me but love")).unwrap();
    }
    while let Some(wire) = romeo.session.poll_wire(usize::MAX) {
        juliet.session.handle_wire(juliet.now, &wire);
    }
    // She reads nothing for ten hours.
    for _ in 0..600 {
        romeo.now += MINUTE;
        juliet.now += MINUTE;
        romeo.session.handle_timeout(romeo.now);
        romeo.collect();
        let wire = romeo.take();
        juliet.session.handle_wire(juliet.now, &wire);
        while let Some(wire) = juliet.session.poll_wire(usize::MAX) {
            romeo.session.handle_wire(romeo.now, &wire);
        }
        romeo.collect();
    }
    assert!(romeo.events.is_empty(), "{:?}", romeo.events);
    juliet.collect();
    let heard = juliet
        .events
        .iter()
        .filter(|event| matches!(event, Event::Stanza(_)))
        .count();
    assert_eq!(heard, 20);
}

#[test]
fn a_peer_that_knows_no_ping_is_alive_all_the_same() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    juliet.now += MINUTE * 5;
    juliet.session.handle_timeout(juliet.now);
    let wire = juliet.take();
    stranger.feed(&wire);
    let asked = stranger.heard();
    assert!(asked.contains("urn:xmpp:ping"), "{asked}");
    stranger.write(b"<iq xmlns='jabber:client' type='error' id='xtls-probe-1'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>");
    let wire = stranger.take();
    juliet.session.handle_wire(juliet.now, &wire);
    juliet.now += MINUTE * 2;
    juliet.session.handle_timeout(juliet.now);
    juliet.collect();
    assert!(
        juliet.events.is_empty(),
        "the answer is not the application's: {:?}",
        juliet.events
    );
}

#[test]
fn padded_stanzas_of_different_lengths_look_alike() {
    let lengths = |config| {
        let (mut romeo, _juliet) = Setup::stanzas().with(config).connected();
        let mut lengths = Vec::new();
        for body in ["a", "Call me but love", &"x".repeat(100)] {
            romeo.session.send(&message(body)).unwrap();
            lengths.push(romeo.take().len());
        }
        lengths
    };
    let plain = lengths(Config::default());
    assert!(plain[0] < plain[1] && plain[1] < plain[2]);
    // One record of 256 bytes each, and its 22 bytes of frame.
    assert_eq!(lengths(Config::default().padding(256)), [278; 3]);
}

#[test]
fn padded_stanzas_are_read_by_anybody() {
    let (mut romeo, mut juliet) = Setup::stanzas()
        .with(Config::default().padding(256))
        .connected();
    for _ in 0..3 {
        romeo.session.send(&message("Call me but love")).unwrap();
    }
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.names(), ["stanza"; 3]);
}

#[test]
fn keys_of_a_byte_session_renew_themselves() {
    let config = Config::default().keys(MINUTE, 1 << 30);
    let (mut romeo, mut juliet) = Setup::bytes().with(config).connected();
    for round in 0..50 {
        pass(&mut romeo, &mut juliet, MINUTE);
        assert_eq!(romeo.session.write(b"word").unwrap(), 4, "{round}");
        settle(&mut romeo, &mut juliet);
        assert_eq!(juliet.session.read(100).as_deref(), Some(&b"word"[..]));
        assert_eq!(juliet.session.write(b"echo").unwrap(), 4);
        settle(&mut romeo, &mut juliet);
        assert_eq!(romeo.session.read(100).as_deref(), Some(&b"echo"[..]));
    }
    assert!(
        romeo
            .events
            .iter()
            .all(|event| matches!(event, Event::Readable))
    );
}

#[test]
fn keys_of_a_byte_session_renew_themselves_by_volume() {
    // With 10 000 bytes a key, nothing but more records shows: both ends still understand each other.
    let config = Config::default().keys(MINUTE * 60, 10_000);
    let (mut romeo, mut juliet) = Setup::bytes().with(config).connected();
    let mut plain = 0;
    let mut wire = 0;
    for _ in 0..100 {
        romeo.session.write(&[7; 1000]).unwrap();
        let bytes = romeo.take();
        wire += bytes.len();
        juliet.session.handle_wire(juliet.now, &bytes);
        juliet.collect();
        plain += juliet.session.read(10_000).unwrap().len();
        let back = juliet.take();
        romeo.session.handle_wire(romeo.now, &back);
    }
    assert_eq!(plain, 100_000);
    // A KeyUpdate is a record of 27 bytes.
    let updates = (wire - 100 * 1022) / 27;
    assert!((5..=25).contains(&updates), "{updates} key updates");
}

#[test]
fn the_owner_hears_once_that_keys_are_old() {
    let config = Config::default().keys(MINUTE * 10, 1 << 30);
    let (mut romeo, mut juliet) = Setup::stanzas().with(config).connected();
    pass(&mut romeo, &mut juliet, MINUTE * 100);
    assert_eq!(romeo.events, [Event::KeysOld]);
    romeo.session.refresh_keys(romeo.now);
    pass(&mut romeo, &mut juliet, MINUTE * 11);
    assert_eq!(romeo.events, [Event::KeysOld, Event::KeysOld]);
    romeo.session.send(&message("Call me but love")).unwrap();
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.names().last(), Some(&"stanza"));
}

#[test]
fn bytes_that_tls_has_not_opened_are_no_sign_of_life() {
    let (mut romeo, juliet) = Setup::stanzas().connected();
    drop(juliet);
    let died = romeo.now;
    // A record that somebody on the way begins, and never finishes.
    romeo.feed(&[23, 3, 3, 0x40, 0]);
    while romeo.is_open() {
        romeo.now += MINUTE / 2;
        romeo.feed(b"?");
        romeo.session.handle_timeout(romeo.now);
        romeo.take();
        assert!(romeo.now <= died + MINUTE * 7, "it goes on for ever");
    }
    assert_eq!(romeo.closed().why, Why::Silent);
}
