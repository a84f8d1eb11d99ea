//! What runs out, in every phase, and what never does.

use std::time::Duration;

use xtls_session::{By, Config, Mode, Receipt, Verdict, Why};
use xtls_tls::{Role, TlsError};

use super::support::{End as _, Ours, Setup, bodies, message, settle};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_handshake_without_a_byte_ends_after_its_idle_time() {
    for role in [Role::Client, Role::Server] {
        let mut end = Setup::stanzas().end(role);
        let begun = end.now;
        // Too early, nothing happens.
        end.session.handle_timeout(end.now + 59 * SECOND);
        assert!(end.is_open());
        assert_eq!(end.expire(), "handshake");
        assert_eq!(end.now - begun, 60 * SECOND);
        let close = end.closed();
        assert_eq!(
            (close.by, close.why, close.clean),
            (By::Us, Why::HandshakeTimeout, false)
        );
    }
}

#[test]
fn a_byte_is_progress_and_no_bytes_are_none() {
    let setup = Setup::stanzas();
    let (mut juliet, mut stranger) = (setup.juliet(), setup.stranger(Role::Client));
    let begun = juliet.now;
    let hello = stranger.take();
    juliet.now += 50 * SECOND;
    juliet.feed(&hello[..1]);
    juliet.now += 50 * SECOND;
    juliet.feed(&[]);
    let deadline = juliet.session.poll_timeout().unwrap();
    assert_eq!(deadline.at - begun, 110 * SECOND);
}

#[test]
fn a_handshake_that_dribbles_ends_after_its_total_time() {
    let setup = Setup::stanzas();
    let (mut juliet, mut stranger) = (setup.juliet(), setup.stranger(Role::Client));
    let begun = juliet.now;
    for byte in &stranger.take()[..9] {
        juliet.now += 19 * SECOND;
        juliet.feed(&[*byte]);
        assert!(juliet.is_open());
    }
    assert_eq!(juliet.expire(), "handshake");
    assert_eq!(juliet.now - begun, 180 * SECOND);
    assert_eq!(juliet.closed().why, Why::HandshakeTimeout);
}

#[test]
fn a_verdict_is_awaited_for_its_time() {
    for role in [Role::Client, Role::Server] {
        let setup = Setup::stanzas().strangers();
        let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
        settle(&mut romeo, &mut juliet);
        let end = if role == Role::Client {
            &mut romeo
        } else {
            &mut juliet
        };
        let begun = end.now;
        assert_eq!(end.expire(), "verdict");
        assert_eq!(end.now - begun, 300 * SECOND);
        assert_eq!(end.closed().why, Why::JudgingTimeout);
        assert_eq!(end.names(), ["judge", "closed"]);
        assert!(end.judge(Verdict::Accept).is_err());
        assert_eq!(end.session.poll_event(), None);
    }
}

#[test]
fn an_open_session_and_a_half_closed_one_have_no_deadline_but_for_signs_of_life_and_keys() {
    let config = Config::default().probe(Duration::MAX, Duration::MAX);
    let (mut romeo, mut juliet) = Setup::stanzas().with(config).connected();
    assert_eq!(
        romeo.session.poll_timeout().map(|deadline| deadline.why),
        Some("keys")
    );
    romeo.session.finish(romeo.now);
    settle(&mut romeo, &mut juliet);
    for end in [&romeo, &juliet] {
        let deadline = end.session.poll_timeout();
        assert_eq!(deadline.map(|deadline| deadline.why), Some("keys"));
    }
    romeo.session.handle_timeout(romeo.now + 1_000_000 * SECOND);
    assert!(romeo.is_open());
}

#[test]
fn close_waits_for_the_peer_for_its_time() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    let begun = romeo.now;
    romeo.session.close(romeo.now);
    settle(&mut romeo, &mut juliet);
    // Asking again does not prolong it.
    romeo.session.close(romeo.now + 5 * SECOND);
    juliet.send(&message("late, but in time"));
    settle(&mut romeo, &mut juliet);
    // Juliet has taken everything, and goes on talking.
    assert_eq!(romeo.expire(), "close");
    assert_eq!(romeo.now - begun, 10 * SECOND);
    juliet.send(&message("later still"));
    settle(&mut romeo, &mut juliet);
    assert!(juliet.session.peer_closed());
    assert_eq!(romeo.expire(), "close");
    assert_eq!(romeo.now - begun, 20 * SECOND);
    let close = romeo.closed();
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Us, Why::CloseTimeout, false)
    );
    assert_eq!(close.receipt, Receipt::Taken);
    let bodies = bodies(&romeo.stanzas());
    assert_eq!(bodies, ["late, but in time", "later still"]);
}

#[test]
fn an_owner_that_leaves_waits_for_the_peer_once() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    let begun = romeo.now;
    romeo.session.leave(romeo.now);
    settle(&mut romeo, &mut juliet);
    assert_eq!(juliet.names(), ["peer finished"]);
    assert_eq!(romeo.expire(), "close");
    assert_eq!(romeo.now - begun, 10 * SECOND);
    assert_eq!(romeo.closed().why, Why::CloseTimeout);
}

#[test]
fn what_came_in_time_is_delivered_after_the_time_is_over() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    juliet.session.close(juliet.now);
    juliet.take();
    stranger.write("<message><body>one</body></message><message><body>two</body></message><mess");
    // The owner is busy elsewhere.
    juliet.session.handle_wire(juliet.now, &stranger.take());
    serve(&mut juliet, 2);
    let close = juliet.closed();
    assert_eq!(juliet.names(), ["stanza", "stanza", "closed"]);
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Us, Why::CloseTimeout, false)
    );
}

#[test]
fn an_owner_that_looks_late_finds_an_end_in_order() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    juliet.session.close(juliet.now);
    juliet.take();
    stranger.write("<message/>");
    stranger.tls.close();
    juliet.session.handle_wire(juliet.now, &stranger.take());
    serve(&mut juliet, 2);
    let close = juliet.closed();
    assert_eq!(juliet.names(), ["stanza", "peer finished", "closed"]);
    assert_eq!((close.why, close.clean), (Why::Finished, true));
}

#[test]
fn close_ends_in_time_when_the_transport_is_stuck() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.tls.close();
    juliet.feed(&stranger.take());
    juliet.send(&message("never taken"));
    juliet.session.close(juliet.now);
    juliet.collect();
    assert_eq!(juliet.expire(), "close");
    let close = juliet.closed();
    // All was read, and not all was sent.
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Us, Why::CloseTimeout, true)
    );
}

#[test]
fn last_words_wait_for_a_stuck_transport_only_for_their_time() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write("<message/>");
    let mut wire = stranger.take();
    *wire.last_mut().unwrap() ^= 1;
    juliet.feed(&wire);
    // The alert is not taken by anybody.
    assert!(juliet.is_open());
    let begun = juliet.now;
    juliet.expire();
    assert_eq!(juliet.now - begun, 10 * SECOND);
    assert_eq!(juliet.closed().why, Why::Tls(TlsError::Corrupt));
}

#[test]
fn last_words_do_not_wait_for_a_transport_that_has_gone() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write("<message/>");
    let mut wire = stranger.take();
    *wire.last_mut().unwrap() ^= 1;
    juliet.feed(&wire);
    juliet.cut();
    assert_eq!(juliet.closed().why, Why::Tls(TlsError::Corrupt));
}

#[test]
fn endless_times_are_no_deadlines() {
    let endless = Config::default()
        .handshake(Duration::MAX, Duration::MAX)
        .judging(Duration::MAX)
        .confirming(Duration::MAX)
        .close(Duration::MAX);
    let setup = Setup::stanzas().strangers().with(endless);
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    assert_eq!(romeo.session.poll_timeout(), None);
    settle(&mut romeo, &mut juliet);
    assert_eq!(romeo.session.poll_timeout(), None);
    romeo.judge(Verdict::Accept).unwrap();
    romeo.session.close(romeo.now);
    let deadline = romeo.session.poll_timeout();
    assert!(
        deadline.is_none_or(|deadline| deadline.why == "keys"),
        "{deadline:?}"
    );
}

/// Serves so many deadlines, and carries away what is said then, without looking at anything else; another one must not be
/// there.
fn serve(end: &mut Ours, times: usize) {
    for _ in 0..times {
        let deadline = end.session.poll_timeout().unwrap();
        end.session.handle_timeout(deadline.at);
        while end.session.poll_wire(usize::MAX).is_some() {}
    }
    assert_eq!(end.session.poll_timeout(), None);
}

fn serve_once(end: &mut Ours) {
    let deadline = end.session.poll_timeout().unwrap();
    end.session.handle_timeout(deadline.at);
    assert_eq!(end.session.poll_timeout(), None);
}

#[test]
fn an_owner_that_lives_by_deadlines_never_spins() {
    serve_once(&mut Setup::stanzas().romeo());

    // An alert that nobody takes.
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write("<message/>");
    let mut wire = stranger.take();
    *wire.last_mut().unwrap() ^= 1;
    juliet.feed(&wire);
    serve_once(&mut juliet);
    assert_eq!(juliet.closed().why, Why::Tls(TlsError::Corrupt));

    // A close whose time is over before the last stanza, or the last byte, is taken.
    for setup in [Setup::stanzas(), Setup::bytes()] {
        for whole in [false, true] {
            let (mut juliet, mut stranger) = setup.juliet_and_stranger();
            juliet.session.close(juliet.now);
            juliet.take();
            stranger.write("<message/>");
            if whole {
                stranger.tls.close();
            }
            juliet.session.handle_wire(juliet.now, &stranger.take());
            let steps = match setup.service.mode() {
                Mode::Stanzas => 2,
                Mode::Bytes => 1,
            };
            serve(&mut juliet, steps);
            juliet.closed();
        }
    }
}
