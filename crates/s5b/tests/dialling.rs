//! Both sides of SOCKS5: what is refused, in pieces of any size, and with each other.

#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing, and begins now"
)]

use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;
use xtls_s5b::xtls_stanza::{Address, s5b::Sid};
use xtls_s5b::{Accept, AcceptEvent, Destination, Dial, DialEvent, NotAsked, SocksError};

fn destination() -> Destination {
    Destination::new(
        &Sid::new("k3v9").unwrap(),
        &Address::new("romeo@montague.example/orchard").unwrap(),
        &Address::new("juliet@capulet.example/balcony").unwrap(),
    )
}

fn request() -> Vec<u8> {
    let mut request = vec![5, 1, 0, 3, 40];
    request.extend_from_slice(destination().as_bytes());
    request.extend_from_slice(&[0, 0]);
    request
}

/// One whose greeting was answered.
fn greeted(now: Instant) -> Dial {
    let mut dial = Dial::new(now, destination());
    assert_eq!(dial.poll_transmit().unwrap(), [5, 1, 0]);
    dial.handle_bytes(now, &[5, 0]);
    assert_eq!(dial.poll_transmit().unwrap(), request());
    dial
}

fn failed(mut dial: Dial) -> SocksError {
    let Some(DialEvent::Failed(why)) = dial.poll_event() else {
        panic!("it has not failed");
    };
    assert_eq!(
        (dial.poll_transmit(), dial.poll_timeout(), dial.wanted()),
        (None, None, 0)
    );
    why
}

fn refused(opening: &[u8]) -> (Vec<u8>, SocksError) {
    let mut accept = Accept::new(Instant::now());
    accept.handle_bytes(Instant::now(), opening);
    let Some(AcceptEvent::Failed(why)) = accept.poll_event() else {
        panic!("{opening:?} is not refused");
    };
    (accept.poll_transmit().unwrap_or_default(), why)
}

#[test]
fn a_greeting_that_is_not_answered_in_socks5_ends_it() {
    let now = Instant::now();
    for (answer, why) in [
        (&b"HTTP/1.1 400"[..], SocksError::Version(b'H')),
        (&[4, 0], SocksError::Version(4)),
        (&[5, 0xff], SocksError::Method(0xff)),
        (&[5, 2], SocksError::Method(2)),
        (&[5, 0, 5], SocksError::Early),
        (&[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0], SocksError::Early),
    ] {
        let mut dial = Dial::new(now, destination());
        let _ = dial.poll_transmit();
        dial.handle_bytes(now, answer);
        assert_eq!(failed(dial), why, "{answer:?}");
    }
}

#[test]
fn a_request_that_is_not_granted_ends_it() {
    let now = Instant::now();
    for (answer, why) in [
        (&[4][..], SocksError::Version(4)),
        (&[5, 1], SocksError::Refused(1)),
        (&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0], SocksError::Refused(5)),
        (&[5, 0xff], SocksError::Refused(0xff)),
        (&[5, 0, 0, 0], SocksError::Kind(0)),
        (&[5, 0, 0, 2], SocksError::Kind(2)),
        (&[5, 0, 0, 5], SocksError::Kind(5)),
    ] {
        let mut dial = greeted(now);
        dial.handle_bytes(now, answer);
        assert_eq!(failed(dial), why, "{answer:?}");
    }
}

#[test]
fn an_answer_before_its_request_has_left_ends_it() {
    let now = Instant::now();
    let mut dial = Dial::new(now, destination());
    let _ = dial.poll_transmit();
    dial.handle_bytes(now, &[5, 0]);
    dial.handle_bytes(now, &[5]);
    assert_eq!(failed(dial), SocksError::Early);
}

#[test]
fn an_end_in_the_middle_is_named_and_one_behind_is_not() {
    let now = Instant::now();
    let mut dial = Dial::new(now, destination());
    dial.handle_end();
    assert_eq!(failed(dial), SocksError::Ended);
    let mut dial = greeted(now);
    dial.handle_bytes(now, &[5, 0, 0, 3, 200]);
    dial.handle_end();
    assert_eq!(failed(dial), SocksError::Ended);
    let mut dial = greeted(now);
    dial.handle_bytes(now, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        dial.poll_event(),
        Some(DialEvent::Connected { rest: Vec::new() })
    );
    dial.handle_end();
    dial.handle_bytes(now, b"x");
    assert_eq!(dial.poll_event(), None);
}

#[test]
fn each_step_may_take_five_seconds_and_no_longer() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let mut dial = Dial::new(now, destination());
    let _ = dial.poll_transmit();
    dial.handle_bytes(now + 4 * second, &[5, 0]);
    dial.handle_timeout(now + 5 * second);
    assert_eq!(dial.poll_event(), None);
    // A byte at a time does not help.
    dial.handle_bytes(now + 8 * second, &[]);
    dial.handle_timeout(now + 9 * second);
    assert_eq!(failed(dial), SocksError::Timeout);

    let mut accept = Accept::new(now);
    accept.handle_timeout(now + 5 * second - Duration::from_millis(1));
    assert_eq!(accept.poll_event(), None);
    accept.handle_timeout(now + 5 * second);
    assert_eq!(
        accept.poll_event(),
        Some(AcceptEvent::Failed(SocksError::Timeout))
    );
    assert_eq!(accept.poll_transmit(), None);
}

#[test]
fn the_longest_answer_has_262_bytes_and_what_follows_belongs_to_the_stream() {
    let now = Instant::now();
    for (head, length) in [
        (vec![5, 0, 0, 1], 10),
        (vec![5, 0, 0, 4], 22),
        (vec![5, 0, 0, 3, 0], 7),
        (vec![5, 0, 0, 3, 255], 262),
    ] {
        let mut answer = head;
        answer.resize(length, 0);
        let mut dial = greeted(now);
        dial.handle_bytes(now, &answer[..length - 1]);
        assert_eq!((dial.poll_event(), dial.wanted()), (None, 1));
        dial.handle_bytes(now, &answer[length - 1..]);
        assert_eq!(
            dial.poll_event(),
            Some(DialEvent::Connected { rest: Vec::new() })
        );
        let mut dial = greeted(now);
        dial.handle_bytes(now, &[&answer[..], b"hello"].concat());
        assert_eq!(
            dial.poll_event(),
            Some(DialEvent::Connected {
                rest: b"hello".to_vec()
            })
        );
    }
}

#[test]
fn what_asks_for_something_else_is_refused() {
    let opened = |rest: &[u8]| [&[5, 1, 0][..], rest].concat();
    let mut other = request();
    other[10] = b'G';
    let mut port = request();
    *port.last_mut().unwrap() = 80;
    let no = [5, 0, 5, 2, 0, 3, 0, 0, 0];
    for (opening, answer, why) in [
        (
            b"GET / HTTP/1.1\r\n".to_vec(),
            &[][..],
            SocksError::Version(b'G'),
        ),
        (vec![0x16, 3, 1], &[], SocksError::Version(0x16)),
        (vec![5, 0], &[5, 0xff], SocksError::Method(0xff)),
        (vec![5, 1, 2], &[5, 0xff], SocksError::Method(2)),
        (opened(&[4]), &[5, 0], SocksError::Version(4)),
        (
            opened(&[5, 2]),
            &[5, 0, 5, 7, 0, 3, 0, 0, 0],
            SocksError::Command(2),
        ),
        (
            opened(&[5, 1, 0, 9]),
            &[5, 0, 5, 8, 0, 3, 0, 0, 0],
            SocksError::Kind(9),
        ),
        (
            opened(&[5, 1, 0, 1, 127, 0, 0, 1, 0, 80]),
            &no,
            SocksError::Destination,
        ),
        (opened(&[5, 1, 0, 3, 0, 0, 0]), &no, SocksError::Destination),
        (opened(&other), &no, SocksError::Destination),
        (opened(&port), &no, SocksError::Destination),
        (
            opened(&[&request()[..], b"x"].concat()),
            &[5, 0],
            SocksError::Early,
        ),
    ] {
        assert_eq!(refused(&opening), (answer.to_vec(), why), "{opening:?}");
    }
}

#[test]
fn what_nobody_expects_is_refused() {
    let now = Instant::now();
    let mut accept = Accept::new(now);
    assert_eq!(
        (accept.accept(), accept.refuse()),
        (Err(NotAsked), Err(NotAsked))
    );
    accept.handle_bytes(now, &[&[5, 1, 0], &request()[..]].concat());
    assert_eq!(accept.poll_event(), Some(AcceptEvent::Asked(destination())));
    accept.refuse().unwrap();
    assert_eq!(
        accept.poll_event(),
        Some(AcceptEvent::Failed(SocksError::Unexpected))
    );
    let answer = accept.poll_transmit().unwrap();
    assert_eq!((&answer[..4], answer.len()), (&[5, 0, 5, 2][..], 49));
    assert_eq!(accept.accept(), Err(NotAsked));
}

#[test]
fn bytes_before_the_answer_are_refused() {
    let now = Instant::now();
    let mut accept = Accept::new(now);
    accept.handle_bytes(now, &[&[5, 1, 0], &request()[..]].concat());
    let _ = accept.poll_event();
    accept.handle_bytes(now, b"x");
    assert_eq!(
        accept.poll_event(),
        Some(AcceptEvent::Failed(SocksError::Early))
    );
}

proptest! {
    /// Any two ends that read no more than they want, however little comes at a time, agree and have read nothing of the stream.
    #[test]
    fn both_sides_agree_in_pieces_of_any_size(sizes in vec(1_usize..60, 1..40)) {
        let now = Instant::now();
        let (mut dial, mut accept) = (Dial::new(now, destination()), Accept::new(now));
        let (mut out, mut back) = (Vec::new(), Vec::new());
        let mut sizes = sizes.into_iter().cycle();
        let mut ends = (false, false);
        for _ in 0..400 {
            out.extend(dial.poll_transmit().unwrap_or_default());
            let count = out.len().min(accept.wanted()).min(sizes.next().unwrap());
            accept.handle_bytes(now, &out.drain(..count).collect::<Vec<_>>());
            match accept.poll_event() {
                Some(AcceptEvent::Asked(asked)) => {
                    prop_assert_eq!(asked, destination());
                    accept.accept().unwrap();
                }
                Some(AcceptEvent::Connected) => ends.0 = true,
                Some(AcceptEvent::Failed(why)) => prop_assert!(false, "{}", why),
                None => {}
            }
            back.extend(accept.poll_transmit().unwrap_or_default());
            let count = back.len().min(dial.wanted()).min(sizes.next().unwrap());
            dial.handle_bytes(now, &back.drain(..count).collect::<Vec<_>>());
            match dial.poll_event() {
                Some(DialEvent::Connected { rest }) => {
                    prop_assert!(rest.is_empty());
                    ends.1 = true;
                }
                Some(DialEvent::Failed(why)) => prop_assert!(false, "{}", why),
                None => {}
            }
        }
        prop_assert_eq!(ends, (true, true));
        prop_assert!(out.is_empty() && back.is_empty());
    }

    /// Whatever comes, both end or wait, and hold no more than one message.
    #[test]
    fn anything_at_all_is_taken(pieces in vec(vec(any::<u8>(), 0..300), 0..8), valid in any::<bool>()) {
        let now = Instant::now();
        let (mut dial, mut accept) = (greeted(now), Accept::new(now));
        if valid {
            accept.handle_bytes(now, &[5, 1, 0, 5]);
            dial.handle_bytes(now, &[5, 0]);
        }
        for piece in pieces {
            dial.handle_bytes(now, &piece);
            accept.handle_bytes(now, &piece);
            let _ = (dial.poll_event(), accept.poll_event(), accept.poll_transmit());
            prop_assert!(dial.wanted() <= 262 && accept.wanted() <= 262);
        }
    }
}
