//! Ends in order: each direction by itself, then the session, once.

use xtls_session::{By, SendError, Why};
use xtls_tls::Role;

use super::support::{End as _, Ours, Setup, bodies, message, settle};

fn finish(end: &mut Ours) {
    end.session.finish(end.now);
}

#[test]
fn both_directions_end_in_either_order() {
    for romeo_first in [false, true] {
        let (romeo, juliet) = Setup::stanzas().connected();
        let (mut first, mut second) = if romeo_first {
            (romeo, juliet)
        } else {
            (juliet, romeo)
        };
        first.send(&message("last"));
        finish(&mut first);
        settle(&mut first, &mut second);
        assert!(first.names().is_empty());
        assert_eq!(second.names(), ["stanza", "peer finished"]);
        finish(&mut second);
        settle(&mut first, &mut second);
        assert_eq!(first.names(), ["peer finished", "closed"]);
        assert_eq!(second.names(), ["stanza", "peer finished", "closed"]);
        let (first, second) = (first.closed(), second.closed());
        for close in [&first, &second] {
            assert_eq!(
                (&close.why, close.clean, close.unconfirmed),
                (&Why::Finished, true, 0)
            );
        }
        assert_eq!((first.by, second.by), (By::Us, By::Peer));
    }
}

#[test]
fn both_may_end_at_once_and_both_were_first() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    romeo.send(&message("bye"));
    juliet.send(&message("bye"));
    finish(&mut romeo);
    finish(&mut juliet);
    settle(&mut romeo, &mut juliet);
    for mut end in [romeo, juliet] {
        assert_eq!(end.names(), ["stanza", "peer finished", "closed"]);
        let close = end.closed();
        assert_eq!(
            (close.by, close.why, close.clean),
            (By::Us, Why::Finished, true)
        );
    }
}

#[test]
fn the_other_direction_goes_on_for_as_long_as_it_likes() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    finish(&mut romeo);
    settle(&mut romeo, &mut juliet);
    assert_eq!(
        romeo.session.send(&message("more")),
        Err(SendError::Finished)
    );
    // Only signs of life are asked for.
    assert_eq!(romeo.session.poll_timeout().unwrap().why, "probe");
    let said: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    for body in &said {
        juliet.send(&message(body));
        settle(&mut romeo, &mut juliet);
    }
    assert_eq!(bodies(&romeo.stanzas()), said);
    finish(&mut juliet);
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.closed().why, Why::Finished);
    assert_eq!(juliet.closed().why, Why::Finished);
}

#[test]
fn finishing_twice_is_finishing_once() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    finish(&mut romeo);
    finish(&mut romeo);
    romeo.session.close(romeo.now);
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.names(), ["peer finished"]);
    finish(&mut juliet);
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.closed().why, Why::Finished);
}

#[test]
fn the_session_is_not_closed_before_our_last_byte_is_out() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.tls.close();
    juliet.feed(&stranger.take());
    juliet.send(&message("last"));
    finish(&mut juliet);
    juliet.collect();
    assert_eq!(juliet.names(), ["peer finished"]);
    // One byte at a time; the last one ends it.
    while let Some(byte) = juliet.session.poll_wire(1) {
        assert!(!juliet.names().contains(&"closed"));
        stranger.feed(&byte);
        juliet.collect();
    }
    assert_eq!(juliet.names(), ["peer finished", "closed"]);
    assert!(stranger.heard().contains("last") && stranger.tls.peer_closed());
    assert_eq!(juliet.closed().why, Why::Finished);
}

#[test]
fn what_comes_after_close_notify_is_not_heard() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.tls.close();
    settle(&mut stranger, &mut juliet);
    juliet.feed(b"\x17\x03\x03\x00\x01x");
    assert_eq!(juliet.names(), ["peer finished"]);
    juliet.send(&message("still here"));
    finish(&mut juliet);
    settle(&mut juliet, &mut stranger);
    assert!(stranger.tls.peer_closed());
    assert_eq!(juliet.closed().why, Why::Finished);
}

#[test]
fn white_space_before_close_notify_is_no_stanza() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write("<presence/> \n\t ");
    stranger.tls.close();
    settle(&mut stranger, &mut juliet);
    assert_eq!(juliet.names(), ["stanza", "peer finished"]);
}

#[test]
fn giving_up_before_the_session_is_open_is_an_abort() {
    for role in [Role::Client, Role::Server] {
        for closing in [false, true] {
            let mut end = Setup::stanzas().end(role);
            if closing {
                end.session.close(end.now);
            } else {
                finish(&mut end);
            }
            let close = end.closed();
            assert_eq!((close.by, close.why), (By::Us, Why::Aborted));
        }
    }
    // While the owner of the key is being asked about, too.
    let setup = Setup::stanzas().strangers();
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    settle(&mut romeo, &mut juliet);
    finish(&mut juliet);
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.closed().why, Why::Aborted);
    assert_eq!(juliet.names(), ["judge", "closed"]);
}

#[test]
fn an_abort_says_nothing_to_the_peer_and_ends_at_once() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    juliet.send(&message("never sent"));
    juliet.session.abort();
    settle(&mut juliet, &mut stranger);
    let close = juliet.closed();
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Us, Why::Aborted, false)
    );
    assert!(!stranger.was_told() && stranger.plain.is_empty());
}

#[test]
fn an_abort_after_the_peers_end_keeps_what_was_read() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.tls.close();
    settle(&mut stranger, &mut juliet);
    juliet.session.abort();
    let close = juliet.closed();
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Us, Why::Aborted, true)
    );
}

#[test]
fn an_end_has_the_final_counters() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    romeo.send(&message("how long"));
    settle(&mut romeo, &mut juliet);
    romeo.session.abort();
    juliet.cut();
    let (sent, received) = (romeo.closed().traffic, juliet.closed().traffic);
    assert!(sent.written > 0);
    assert_eq!((sent.written, sent.read), (received.read, received.written));
}
