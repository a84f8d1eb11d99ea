//! Two ends that signal to each other, and what is refused.

#![allow(clippy::disallowed_methods, reason = "any moment will do")]

mod hostile;

use xtls_stanza::path::{Because, Cid, SIGNAL_STEP};
use xtls_tls::{SEAL_KEY, default_provider};

use super::*;

/// The keys of the two directions.
const KEYS: [[u8; SEAL_KEY]; 2] = [[1; SEAL_KEY], [2; SEAL_KEY]];

fn sid() -> Sid {
    Sid::new("sn6k5ruc9q7s4yv8wzd2mxh3jtb").unwrap()
}

/// One end, which seals with this key.
fn end(own: usize) -> Signals {
    let crypto = default_provider();
    let seal = Seal::new(&crypto, &KEYS[own]).unwrap();
    let open = Open::new(&crypto, &KEYS[1 - own]).unwrap();
    Signals::new(sid(), seal, open)
}

fn pair() -> (Signals, Signals) {
    (end(0), end(1))
}

fn over(attempt: u64) -> Signal {
    Signal::Over { attempt }
}

/// What the peer reads of a request.
fn sealed(request: &Request) -> Sealed {
    let Payload::Other(element) = &request.payload else {
        panic!("another payload");
    };
    let sealed = Sealed::read(element).unwrap();
    assert_eq!((&sealed.sid, sealed.n), (&sid(), request.n));
    sealed
}

/// A record of the first end's, whatever is inside.
fn record(n: u64, plain: &[u8]) -> Sealed {
    let mut seal = Seal::new(&default_provider(), &KEYS[0]).unwrap();
    let record = seal.seal(n, plain).unwrap();
    Sealed {
        sid: sid(),
        n,
        record,
    }
}

fn refused(taken: Result<Option<Signal>, StanzaError>) -> (ErrorType, Condition) {
    let error = taken.unwrap_err();
    assert!(error.text.is_none() && error.app.is_none());
    (error.kind, error.condition)
}

const NOT_ACCEPTABLE: (ErrorType, Condition) = (ErrorType::Cancel, Condition::NotAcceptable);
const UNEXPECTED: (ErrorType, Condition) = (ErrorType::Cancel, Condition::UnexpectedRequest);
const TOO_MUCH: (ErrorType, Condition) = (ErrorType::Wait, Condition::PolicyViolation);

#[test]
fn what_says_nothing_readable_is_not_acceptable() {
    let mut other = end(1);
    let now = Instant::now();
    let spaces = [b' '; SIGNAL_STEP];
    let mut unknown = b"<later xmlns='urn:xmpp:tmp:xtls#path' attempt='1'/>".to_vec();
    unknown.resize(SIGNAL_STEP, b' ');
    let readable = over(1).write();
    for (n, plain) in [&b""[..], &spaces, &unknown, &readable[1..]]
        .iter()
        .enumerate()
    {
        let sealed = record(n as u64, plain);
        assert_eq!(refused(other.take(now, &sealed)), NOT_ACCEPTABLE, "{n}");
        assert_eq!(refused(other.take(now, &sealed)), NOT_ACCEPTABLE, "{n}");
    }
    assert_eq!(other.take(now, &record(0, &readable)), Ok(Some(over(1))));
}

#[test]
fn an_old_number_with_other_bytes_is_unexpected() {
    let mut other = end(1);
    let now = Instant::now();
    for n in [3, 5] {
        let taken = other.take(now, &record(n, &over(n).write()));
        assert_eq!(taken, Ok(Some(over(n))));
    }
    for n in 0..=5 {
        // Even of the peer itself, who must not seal two signals with a number.
        let sealed = record(n, &over(9).write());
        assert_eq!(refused(other.take(now, &sealed)), UNEXPECTED, "{n}");
        let mut forged = record(n, &over(n).write());
        let mut bytes = forged.record.to_vec();
        bytes[7] ^= 1;
        forged.record = bytes.into();
        assert_eq!(refused(other.take(now, &forged)), UNEXPECTED, "{n}");
        forged.record = Bytes::new();
        assert_eq!(refused(other.take(now, &forged)), UNEXPECTED, "{n}");
    }
}

#[test]
fn the_same_signal_again_is_answered_and_ignored() {
    let (mut one, mut other) = pair();
    let now = Instant::now();
    let all: Vec<_> = (0..3)
        .map(|n| sealed(&one.send(now, &over(n)).unwrap()))
        .collect();
    for sealed in &all {
        assert!(other.take(now, sealed).unwrap().is_some());
    }
    for sealed in all.iter().chain(&all) {
        assert_eq!(other.take(now, sealed), Ok(None));
    }
}

#[test]
fn only_so_many_are_remembered() {
    let (mut one, mut other) = pair();
    let mut now = Instant::now();
    let mut all = Vec::new();
    for n in 0..=MAX_REMEMBERED as u64 {
        let sealed = sealed(&one.send(now, &over(n)).unwrap());
        assert!(one.answered(n).is_some());
        assert_eq!(other.take(now, &sealed), Ok(Some(over(n))));
        now += MINUTE;
        all.push(sealed);
    }
    assert_eq!(other.taken.len(), MAX_REMEMBERED);
    assert_eq!(refused(other.take(now, &all[0])), UNEXPECTED);
    assert_eq!(other.take(now, &all[1]), Ok(None));
}

#[test]
fn what_is_too_long_is_against_the_policy() {
    let mut other = end(1);
    let now = Instant::now();
    let long = record(0, &[b' '; MAX_SIGNAL + 1]);
    assert_eq!(long.record.len(), MAX_RECORD + 1);
    assert_eq!(refused(other.take(now, &long)), TOO_MUCH);
    let mut longest = over(1).write();
    longest.resize(MAX_SIGNAL, b' ');
    assert_eq!(other.take(now, &record(0, &longest)), Ok(Some(over(1))));
}

#[test]
fn the_sixty_first_of_a_minute_is_against_the_policy() {
    let mut other = end(1);
    let start = Instant::now();
    let at = |n: u64| start + Duration::from_millis(n * 100);
    for n in 0..60 {
        let taken = other.take(at(n), &record(n, &over(n).write()));
        assert_eq!(taken, Ok(Some(over(n))));
    }
    let next = record(60, &over(60).write());
    for millis in [6_000, 59_999] {
        let now = start + Duration::from_millis(millis);
        assert_eq!(refused(other.take(now, &next)), TOO_MUCH);
    }
    // The first one is a minute old.
    assert_eq!(other.take(start + MINUTE, &next), Ok(Some(over(60))));
    let next = record(61, &over(61).write());
    assert_eq!(refused(other.take(start + MINUTE, &next)), TOO_MUCH);
    assert_eq!(other.take(start + MINUTE * 3, &next), Ok(Some(over(61))));
    assert_eq!(other.heard.len(), 1);
}

#[test]
fn what_cannot_be_read_counts_against_the_minute() {
    let mut other = end(1);
    let now = Instant::now();
    let bad = Sealed {
        record: Bytes::from_static(b"?"),
        ..record(0, b"")
    };
    for _ in 0..60 {
        assert_eq!(refused(other.take(now, &bad)), NOT_ACCEPTABLE);
    }
    assert_eq!(refused(other.take(now, &bad)), TOO_MUCH);
}

#[test]
fn no_more_than_32_may_be_unanswered() {
    let mut one = end(0);
    let now = Instant::now();
    for n in 0..32 {
        assert_eq!(one.send(now, &over(n)).unwrap().n, n);
    }
    assert_eq!(one.send(now, &over(32)), None);
    assert!(one.answered(7).is_some());
    assert_eq!(one.answered(7), None);
    assert_eq!(one.send(now, &over(32)).unwrap().n, 32);
}

#[test]
fn an_answer_that_takes_longer_than_20_s_does_not_come() {
    let mut one = end(0);
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(one.poll_timeout(), None);
    one.send(start, &over(1)).unwrap();
    one.send(at(5), &over(2)).unwrap();
    assert_eq!(one.poll_timeout(), Some(at(20)));
    assert_eq!(one.handle_timeout(at(19)), None);
    assert!(one.handle_timeout(at(20)).is_some());
    assert_eq!(one.answered(0), None);
    assert_eq!(one.poll_timeout(), Some(at(25)));
    assert!(one.answered(1).is_some());
    assert_eq!(one.poll_timeout(), None);
    assert_eq!(one.handle_timeout(at(60)), None);
}

#[test]
fn what_is_unanswered_goes_out_again_as_it_was() {
    let (mut one, mut other) = pair();
    let start = Instant::now();
    let requests: Vec<_> = (0..4).map(|n| one.send(start, &over(n)).unwrap()).collect();
    assert!(one.answered(1).is_some());
    let later = start + Duration::from_secs(19);
    let again = one.again(later);
    let unanswered = [0, 2, 3].map(|n: usize| requests[n].clone());
    assert_eq!(again, unanswered);
    assert_eq!(one.poll_timeout(), Some(later + ANSWER));
    // Had it taken some of them before.
    assert!(other.take(start, &sealed(&requests[0])).unwrap().is_some());
    let taken: Vec<_> = again
        .iter()
        .map(|request| other.take(later, &sealed(request)).unwrap())
        .collect();
    assert_eq!(taken, [None, Some(over(2)), Some(over(3))]);
    assert_eq!(end(0).again(start), []);
}

#[test]
fn signals_go_both_ways_and_look_alike() {
    let (mut one, mut other) = pair();
    let now = Instant::now();
    let cid = Cid::new("r1").unwrap();
    let signals = [
        over(1),
        Signal::Joined { attempt: 1, cid },
        Signal::Failed {
            attempt: u64::MAX,
            cid,
            because: Because::Activation,
        },
    ];
    for signal in &signals {
        let there = sealed(&one.send(now, signal).unwrap());
        let back = sealed(&other.send(now, signal).unwrap());
        assert_eq!(there.n, back.n);
        assert_ne!(there.record, back.record);
        assert_eq!(there.record.len(), SIGNAL_STEP + RECORD_OVERHEAD);
        assert_eq!(other.take(now, &there).as_ref(), Ok(&Some(signal.clone())));
        assert_eq!(one.take(now, &back).as_ref(), Ok(&Some(signal.clone())));
    }
}

#[test]
fn debug_shows_nothing_of_a_signal() {
    let mut one = end(0);
    one.send(Instant::now(), &over(1)).unwrap();
    let sid = sid();
    let shown = format!("Signals {{ sid: {sid:?}, next: 1, unanswered: 1, .. }}");
    assert_eq!(format!("{one:?}"), shown);
}
