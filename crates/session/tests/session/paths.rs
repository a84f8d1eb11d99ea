//! Keys for what is said beside a session, and how much has gone over its transport.

use xtls_session::Verdict;
use xtls_tls::Role;

use super::support::{End as _, Setup, message, settle};

#[test]
fn there_are_no_path_keys_before_both_ends_have_accepted_each_other() {
    for setup in [Setup::stanzas(), Setup::bytes()] {
        let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
        assert!(romeo.session.path_keys().is_none());
        assert!(juliet.session.path_keys().is_none());
        let (mut romeo_judges, mut other) = (setup.clone().strangers().romeo(), setup.juliet());
        settle(&mut romeo_judges, &mut other);
        assert_eq!(romeo_judges.names(), ["judge"]);
        assert!(romeo_judges.session.path_keys().is_none());
        romeo_judges.judge(Verdict::Accept).unwrap();
        settle(&mut romeo_judges, &mut other);
        assert!(romeo_judges.session.path_keys().is_some());
        // Ready, and the responder has not confirmed.
        let mut stranger = setup.stranger(Role::Server);
        settle(&mut romeo, &mut stranger);
        assert_eq!(romeo.names(), ["ready"]);
        assert!(romeo.session.path_keys().is_none());
        juliet.session.abort();
        assert!(juliet.session.path_keys().is_none());
    }
}

#[test]
fn there_are_no_path_keys_with_a_peer_that_is_not_bound() {
    let setup = Setup::stanzas();
    let (mut juliet, mut romeo) = (setup.juliet(), setup.letter_only(Role::Client));
    settle(&mut juliet, &mut romeo);
    assert!(!juliet.established().unwrap().bound);
    assert!(juliet.session.path_keys().is_none());
}

#[test]
fn there_are_no_path_keys_after_the_end() {
    let (mut romeo, mut juliet) = Setup::stanzas().connected();
    romeo.session.abort();
    juliet.cut();
    assert!(romeo.session.path_keys().is_none());
    juliet.closed();
    assert!(juliet.session.path_keys().is_none());
}

#[test]
fn path_keys_are_given_once_and_fit_each_other() {
    for setup in [Setup::stanzas(), Setup::bytes()] {
        let (mut romeo, mut juliet) = setup.connected();
        let mut one = romeo.session.path_keys().unwrap();
        let mut other = juliet.session.path_keys().unwrap();
        assert!(romeo.session.path_keys().is_none());
        assert_eq!((one.role, other.role), (Role::Client, Role::Server));
        assert_eq!(one.secret, other.secret);
        assert_eq!(one.ends, other.ends);
        let record = one.seal.seal(0, b"hints").unwrap();
        assert_eq!(other.open.open(0, &record).unwrap().as_slice(), b"hints");
        let record = other.seal.seal(0, b"hints").unwrap();
        assert_eq!(one.open.open(0, &record).unwrap().as_slice(), b"hints");
    }
}

#[test]
fn what_goes_over_the_transport_is_counted_at_both_ends() {
    let setup = Setup::stanzas();
    let (mut romeo, mut juliet) = (setup.romeo(), setup.juliet());
    assert_eq!(
        (romeo.session.wire_sent(), romeo.session.wire_received()),
        (0, 0)
    );
    // What is only looked at has not gone.
    assert!(!romeo.session.peek_wire().is_empty());
    assert_eq!(romeo.session.wire_sent(), 0);
    let hello = romeo.take();
    assert_eq!(romeo.session.wire_sent(), hello.len() as u64);
    for byte in hello.chunks(1) {
        juliet.feed(byte);
    }
    assert_eq!(juliet.session.wire_received(), hello.len() as u64);
    settle(&mut romeo, &mut juliet);
    for round in 0..20 {
        romeo.send(&message(&format!("{round}")));
        juliet.send(&message("x"));
        settle(&mut romeo, &mut juliet);
    }
    assert!(romeo.session.wire_sent() > hello.len() as u64);
    assert_eq!(romeo.session.wire_sent(), juliet.session.wire_received());
    assert_eq!(juliet.session.wire_sent(), romeo.session.wire_received());
}
