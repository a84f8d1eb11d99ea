//! The message and exit code of each way to end.

use xtls_client::session::{By, Traffic};
use xtls_client::tls::Fingerprint;
use xtls_client::tls::trust::TrustError;
use xtls_client::uplink::normalise;

use super::*;

fn closed(why: Why) -> Closed {
    Closed {
        peer: normalise("juliet@capulet.example/balcony").unwrap(),
        by: By::Us,
        why,
        clean: false,
        unconfirmed: 0,
        receipt: Receipt::Unaccepted,
        traffic: Traffic::default(),
    }
}

fn failure(closed: &Closed) -> Option<Failure> {
    Failure::of_close(closed, &Suggest::default())
}

fn code(why: Why) -> Option<Code> {
    failure(&closed(why)).map(|failure| failure.code)
}

/// The message and code for a tunnel that was established.
fn established(
    why: Session,
    clean: bool,
    unconfirmed: u64,
    receipt: Receipt,
) -> Option<(Code, String)> {
    let closed = Closed {
        clean,
        unconfirmed,
        receipt,
        ..closed(Why::Session(why))
    };
    let failure = failure(&closed)?;
    let what = failure.what.split_once(": ").unwrap().1.to_owned();
    Some((failure.code, what))
}

#[test]
fn a_conversation_that_was_cut_by_a_lost_link_is_told_as_that() {
    let cut = |stream| {
        let why = Why::Cut {
            session: Session::Truncated,
            stream,
        };
        failure(&closed(why)).unwrap().by_lost_link
    };
    assert!(cut(StreamEnd::LinkLost));
    assert!(!cut(StreamEnd::Reset));
    assert!(
        failure(&closed(Why::Stream(StreamEnd::LinkLost)))
            .unwrap()
            .by_lost_link
    );
}

#[test]
fn an_orderly_end_succeeds_only_if_everything_was_delivered() {
    let finished =
        |unconfirmed, receipt| established(Session::Finished, true, unconfirmed, receipt);
    assert_eq!(finished(0, Receipt::Taken), None);
    assert_eq!(finished(0, Receipt::Accepted), None, "nothing was sent");
    let (code, what) = finished(2, Receipt::Accepted).unwrap();
    assert_eq!(code, Code::Corrupt);
    assert!(
        what.ends_with("2 stanzas sent, but the peer has not confirmed that it took everything")
    );
    let (_, what) = finished(1, Receipt::Read).unwrap();
    assert!(what.ends_with("1 stanza sent, which the peer has read but cannot confirm"));
}

#[test]
fn every_unclean_end_warns_that_something_may_be_missing() {
    let missing = "the end of the conversation may be missing";
    for why in [
        Session::Silent,
        Session::CloseTimeout,
        Session::Afterthought,
        Session::Truncated,
        Session::Tls(TlsError::Corrupt),
        Session::Tls(TlsError::Idle),
        Session::Tls(TlsError::Protocol("something".to_owned())),
    ] {
        let (code, what) = established(why.clone(), false, 0, Receipt::Accepted).unwrap();
        assert_eq!(what.matches(missing).count(), 1, "{what}");
        assert!(matches!(code, Code::Corrupt | Code::Timeout), "{what}");
        // A tunnel that was never established has no end that could be missing.
        if why != Session::Truncated {
            let (_, what) = established(why, false, 0, Receipt::Unaccepted).unwrap();
            assert!(!what.contains(missing), "{what}");
        }
    }
}

#[test]
fn a_peer_that_gives_up_before_its_verdict_has_refused_us() {
    assert_eq!(code(Why::Session(Session::Unconfirmed)), Some(Code::Peer));
}

/// The rows of the table in docs/PROTOCOL.md.
#[test]
fn the_ends_that_the_page_names_are_what_the_program_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PROTOCOL.md");
    let page = std::fs::read_to_string(page).unwrap();
    let session = |why| Why::Session(why);
    let mut rows = String::new();
    for (what, why) in [
        (
            "the peer gives up before its verdict",
            session(Session::Unconfirmed),
        ),
        (
            "the two ends mean different addresses, sids or services",
            session(Session::Tls(TlsError::Alpn)),
        ),
        (
            "our owner refuses the peer's key",
            session(Session::Refused),
        ),
        (
            "a record was changed on the way",
            session(Session::Tls(TlsError::Corrupt)),
        ),
        (
            "too many records without data",
            session(Session::Tls(TlsError::Idle)),
        ),
        ("a stanza after `<finish/>`", session(Session::Afterthought)),
        (
            "the bytestream ends before the peer has finished",
            session(Session::Truncated),
        ),
        (
            "it ends before both `close_notify`",
            session(Session::Unfinished),
        ),
        (
            "no progress of the handshake",
            session(Session::HandshakeTimeout),
        ),
        ("no sign of life", session(Session::Silent)),
        ("no verdict of our owner", session(Session::JudgingTimeout)),
        (
            "no end of the peer's after `close`",
            session(Session::CloseTimeout),
        ),
        ("our owner gives up", session(Session::Aborted)),
        ("no answer to the open", Why::NoAnswer),
        (
            "xtls `<close/>` during the handshake",
            Why::HandshakeAborted,
        ),
        (
            "a flight of more than 4 096 bytes in the answer",
            Why::LongFlight { bytes: 5000 },
        ),
        ("a flight in the answer that nobody asked for", Why::Unasked),
        ("a tunnel that stands was established first", Why::Second),
        ("the same, by another key", Why::Impostor),
        ("the peer came back before the end", Why::Replaced),
    ] {
        let closed = Closed {
            receipt: if matches!(
                &why,
                Why::Session(
                    Session::Afterthought | Session::Silent | Session::Tls(TlsError::Idle)
                )
            ) {
                Receipt::Accepted
            } else {
                Receipt::Unaccepted
            },
            ..closed(why)
        };
        let failure = failure(&closed).unwrap();
        let text = closed.why.to_string();
        rows.push_str(&format!("| {what} | {} | {text} |\n", failure.code as u8));
    }
    assert!(page.contains(&rows), "the page should have:\n{rows}");
}

fn hint(trust: TrustError) -> String {
    let closed = Closed {
        peer: normalise("$(ran)@evil.example/x").unwrap(),
        ..closed(Why::Session(Session::Tls(TlsError::Trust(trust))))
    };
    let failure = Failure::of_close(&closed, &Suggest::default()).unwrap();
    assert_eq!(failure.code, Code::Identity);
    failure.hint.unwrap()
}

#[test]
fn a_key_that_was_merely_presented_is_in_no_command() {
    let presented = Fingerprint::of_spki(b"presented");
    let peer = "$(ran)@evil.example".to_owned();
    let changed = TrustError::KeyChanged {
        peer: peer.clone(),
        known: Vec::new(),
        presented,
    };
    let forget = "xtls trust forget '$(ran)@evil.example'";
    let pin = "xtls trust pin '$(ran)@evil.example' '<the fingerprint they give you>'";
    for (error, commands) in [
        (changed, [forget, pin].as_slice()),
        (TrustError::NotPinned { peer, presented }, &[pin]),
    ] {
        let hint = hint(error);
        let found: Vec<_> = hint.lines().skip(1).map(str::trim).collect();
        assert_eq!(found, commands, "{hint}");
        assert!(!hint.contains(&presented.hex()) && !hint.contains(&presented.grouped()));
    }
}

#[test]
fn a_tunnel_replaced_before_its_end_is_truncated() {
    assert_eq!(code(Why::Replaced), Some(Code::Corrupt));
}

#[test]
fn a_tunnel_that_was_superseded_has_delivered_nothing() {
    assert_eq!(code(Why::Superseded), Some(Code::Peer));
}

#[test]
fn a_reader_of_an_answer_that_has_gone_needs_no_message() {
    use std::io::{Error, ErrorKind};
    assert!(Failure::of_output(&Error::from(ErrorKind::BrokenPipe)).reported);
    assert!(!Failure::of_output(&Error::from(ErrorKind::StorageFull)).reported);
}

#[test]
fn a_key_that_contradicts_the_pins_is_an_identity_mismatch() {
    let (first, second) = (Fingerprint::of_spki(b"1"), Fingerprint::of_spki(b"2"));
    let peer = "juliet@capulet.example".to_owned();
    let two = TrustError::TwoKeys {
        peer,
        first,
        second,
    };
    assert_eq!(
        code(Why::Session(Session::Untrusted(Box::new(two)))),
        Some(Code::Identity)
    );
}
