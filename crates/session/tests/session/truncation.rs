//! Cuts and alerts: told apart from ends, and what came before them is not lost.

use xtls_session::{By, SendError, Verdict, Why};
use xtls_tls::{Role, TlsError};

use super::support::{End as _, Ours, Setup, Stranger, message, settle, settle_cut};

/// Changes the last byte of what the stranger has to say: a record that cannot be read.
fn spoil(wire: &mut [u8]) {
    *wire.last_mut().unwrap() ^= 1;
}

/// Juliet with the handshake done but for the stranger's last flight, which is returned with what he wrote after it.
fn last_flight(setup: &Setup, write: impl FnOnce(&mut Stranger)) -> (Ours, Vec<u8>) {
    let (mut juliet, mut stranger) = (setup.juliet(), setup.stranger(Role::Client));
    juliet.feed(&stranger.take());
    stranger.feed(&juliet.take());
    write(&mut stranger);
    (juliet, stranger.take())
}

#[test]
fn a_cut_during_the_handshake() {
    for role in [Role::Client, Role::Server] {
        let mut end = Setup::stanzas().end(role);
        end.cut();
        let close = end.closed();
        assert_eq!(
            (close.by, close.why, close.clean),
            (By::Transport, Why::Truncated, false)
        );
    }
}

#[test]
fn a_cut_before_the_confirmation() {
    let setup = Setup::stanzas();
    let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
    settle(&mut romeo, &mut stranger);
    romeo.send(&message("one"));
    romeo.cut();
    let close = romeo.closed();
    assert_eq!(romeo.names(), ["ready", "closed"]);
    assert_eq!((close.by, close.why), (By::Transport, Why::Truncated));
    assert_eq!((close.clean, close.unconfirmed), (false, 1));
}

#[test]
fn a_cut_in_an_open_session() {
    let (mut romeo, juliet) = Setup::stanzas().connected();
    romeo.cut();
    let close = romeo.closed();
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Transport, Why::Truncated, false)
    );
    drop(juliet);
}

#[test]
fn a_cut_after_our_own_end_is_still_a_cut() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    romeo.session.finish(romeo.now);
    settle(&mut romeo, &mut juliet);
    romeo.cut();
    let close = romeo.closed();
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Transport, Why::Truncated, false)
    );
}

#[test]
fn a_cut_after_the_peers_end_cuts_what_we_say() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    juliet.session.finish(juliet.now);
    settle(&mut romeo, &mut juliet);
    romeo.send(&message("lost"));
    romeo.session.handle_wire_end(romeo.now);
    // The owner has not been told yet, and still nothing more is taken.
    assert_eq!(
        romeo.session.send(&message("too late")),
        Err(SendError::Finished)
    );
    romeo.collect();
    assert_eq!(
        romeo.session.send(&message("too late")),
        Err(SendError::Finished)
    );
    let close = romeo.closed();
    assert_eq!(romeo.names(), ["peer finished", "closed"]);
    // All was read, but this was no end in order.
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Transport, Why::Unfinished, true)
    );
}

#[test]
fn a_cut_before_our_close_notify_is_out_cuts_what_we_say() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    juliet.session.finish(juliet.now);
    settle(&mut romeo, &mut juliet);
    romeo.session.finish(romeo.now);
    romeo.session.poll_wire(3).unwrap();
    romeo.cut();
    assert_eq!(romeo.closed().why, Why::Unfinished);
}

#[test]
fn a_cut_after_both_ends_is_no_cut() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    juliet.session.part(juliet.now);
    settle(&mut romeo, &mut juliet);
    romeo.session.finish(romeo.now);
    while romeo.session.poll_wire(usize::MAX).is_some() {}
    romeo.session.handle_wire_end(romeo.now);
    let close = romeo.closed();
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Peer, Why::Finished, true)
    );
}

#[test]
fn what_came_before_a_cut_is_delivered_before_the_end() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write("<message><body>one</body></message><message><body>two</body></message><mess");
    juliet.session.handle_wire(juliet.now, &stranger.take());
    juliet.session.handle_wire_end(juliet.now);
    assert_eq!(
        juliet.session.send(&message("no")),
        Err(SendError::Finished)
    );
    let close = juliet.closed();
    assert_eq!(juliet.names(), ["stanza", "stanza", "closed"]);
    assert_eq!(
        (close.by, close.why, close.clean),
        (By::Transport, Why::Truncated, false)
    );
}

#[test]
fn what_came_before_a_bad_record_is_delivered_in_any_cutting() {
    for cut in [1, 50, usize::MAX] {
        let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
        stranger.write("<message><body>one</body></message>");
        stranger.write("<message><body>two</body></message>");
        let mut wire = stranger.take();
        spoil(&mut wire);
        for piece in wire.chunks(cut) {
            juliet.session.handle_wire(juliet.now, piece);
        }
        settle(&mut juliet, &mut stranger);
        let close = juliet.closed();
        assert_eq!(juliet.names(), ["stanza", "closed"]);
        assert_eq!((close.by, close.why), (By::Us, Why::Tls(TlsError::Corrupt)));
        // This fault is TLS's, so the peer is told in its words.
        assert!(matches!(stranger.tls.failure(), Some(TlsError::Alert(_))));
    }
}

#[test]
fn what_came_with_the_last_flight_is_delivered_before_a_bad_record_in_any_cutting() {
    for cut in [1, 50, usize::MAX] {
        let (mut juliet, mut wire) = last_flight(&Setup::stanzas(), |stranger| {
            stranger.write("<message><body>one</body></message>");
            stranger.write("<message><body>two</body></message>");
        });
        spoil(&mut wire);
        for piece in wire.chunks(cut) {
            juliet.session.handle_wire(juliet.now, piece);
        }
        juliet.take();
        let close = juliet.closed();
        assert_eq!(juliet.names(), ["established", "stanza", "closed"], "{cut}");
        assert_eq!(close.why, Why::Tls(TlsError::Corrupt));
    }
}

#[test]
fn what_came_with_the_confirmation_is_delivered_before_a_bad_record_in_any_cutting() {
    for cut in [1, 50, usize::MAX] {
        let setup = Setup::stanzas();
        let (mut romeo, mut stranger) = (setup.romeo(), setup.stranger(Role::Server));
        settle(&mut romeo, &mut stranger);
        romeo.send(&message("early"));
        stranger.write(" <message><body>one</body></message>");
        stranger.write("<message><body>two</body></message>");
        let mut wire = stranger.take();
        spoil(&mut wire);
        for piece in wire.chunks(cut) {
            romeo.session.handle_wire(romeo.now, piece);
        }
        romeo.take();
        let close = romeo.closed();
        assert_eq!(romeo.names(), ["ready", "established", "stanza", "closed"]);
        assert_eq!(
            (close.why, close.unconfirmed),
            (Why::Tls(TlsError::Corrupt), 1)
        );
    }
}

#[test]
fn the_first_fault_is_the_one_that_is_told() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write("<message/>");
    stranger.write("<message/>");
    let mut wire = stranger.take();
    spoil(&mut wire);
    juliet.session.handle_wire(juliet.now, &wire);
    juliet.session.handle_wire_end(juliet.now);
    let close = juliet.closed();
    assert_eq!(juliet.names(), ["stanza", "closed"]);
    assert_eq!(close.why, Why::Tls(TlsError::Corrupt));
}

#[test]
fn a_bad_record_while_the_owner_thinks_releases_nothing() {
    let (mut juliet, mut wire) = last_flight(&Setup::stanzas().strangers(), |stranger| {
        stranger.write("<message/>");
        stranger.write("<message/>");
    });
    spoil(&mut wire);
    juliet.session.handle_wire(juliet.now, &wire);
    assert!(juliet.judge(Verdict::Accept).is_err());
    juliet.take();
    let close = juliet.closed();
    assert_eq!(juliet.names(), ["closed"]);
    assert_eq!(close.why, Why::Tls(TlsError::Corrupt));
}

#[test]
fn all_that_came_with_the_last_flight_is_delivered_before_an_end_in_order() {
    for cut in [1, 50, usize::MAX] {
        let (mut juliet, wire) = last_flight(&Setup::stanzas(), |stranger| {
            stranger.write("<message><body>one</body></message>");
            stranger.tls.close();
        });
        for piece in wire.chunks(cut) {
            juliet.session.handle_wire(juliet.now, piece);
        }
        juliet.collect();
        assert_eq!(juliet.names(), ["established", "stanza", "peer finished"]);
    }
}

#[test]
fn a_close_notify_in_mid_stanza_is_a_truncation() {
    for half in [
        "<",
        "<message>",
        "<message><body>one</body></message><iq id='",
        "</",
    ] {
        let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
        stranger.write(half);
        stranger.tls.close();
        juliet.feed(&stranger.take());
        if half == "</" {
            // Not the beginning of a stanza at all.
            assert!(matches!(juliet.closed().why, Why::Framing(_)));
            continue;
        }
        let close = juliet.closed();
        assert!(!juliet.names().contains(&"peer finished"));
        assert_eq!(
            (close.by, close.why, close.clean),
            (By::Peer, Why::Truncated, false)
        );
        settle(&mut juliet, &mut stranger);
        assert!(!stranger.was_told());
    }
}

#[test]
fn an_abort_while_a_cut_waits_to_be_told_keeps_the_cut() {
    let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
    stranger.write("<message/>");
    juliet.session.handle_wire(juliet.now, &stranger.take());
    juliet.session.handle_wire_end(juliet.now);
    juliet.session.abort();
    let close = juliet.closed();
    assert_eq!(juliet.names(), ["closed"]);
    assert_eq!((close.by, close.why), (By::Transport, Why::Truncated));
}

#[test]
fn an_alert_of_the_peer_is_its_word_after_what_it_said() {
    for cut in [1, usize::MAX] {
        let (mut juliet, mut stranger) = Setup::stanzas().juliet_and_stranger();
        stranger.write("<message><body>one</body></message>");
        // What Juliet says is spoiled on its way, so the stranger ends with an alert.
        juliet.send(&message("hello"));
        let mut wire = juliet.take();
        spoil(&mut wire);
        stranger.feed(&wire);
        settle_cut(&mut juliet, &mut stranger, cut);
        let close = juliet.closed();
        assert_eq!(juliet.names(), ["stanza", "closed"]);
        assert!(
            matches!(close.why, Why::Tls(TlsError::Alert(_))),
            "{close:?}"
        );
        assert_eq!((close.by, close.clean), (By::Peer, false));
    }
}
