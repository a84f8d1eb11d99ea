//! The law: bytes out = bytes in, or closed with a reason; always an end; always one answer.

use proptest::prelude::*;
use xtls_stanza::ibb::Carrier;
use xtls_stanza::{Condition, ErrorType};

use super::pair::{Fate, Pair};
use super::support::*;
use crate::{Config, OpenOptions, Why, Window};

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        60 => Just(Fate::Pass),
        4 => (1..5_000u64).prop_map(|ms| Fate::Delay(millis(ms))),
        2 => Just(Fate::Lose),
        4 => Just(Fate::Double),
        6 => Just(Fate::Bounce(ErrorType::Wait, Condition::RecipientUnavailable)),
        1 => Just(Fate::Bounce(ErrorType::Cancel, Condition::ServiceUnavailable)),
    ]
}

fn windows() -> impl Strategy<Value = Window> {
    prop_oneof![
        Just(Window::default()),
        Just(Window::OneChunk),
        (1..5_000u32, 1..2_000u16).prop_map(|(bytes, chunk)| Window::Fixed { bytes, chunk }),
    ]
}

/// How one end behaves.
#[derive(Clone, Debug)]
struct Habits {
    window: Window,
    len: usize,
    read_size: usize,
    closes: bool,
}

fn habits() -> impl Strategy<Value = Habits> {
    let sizes = prop_oneof![Just(0usize), 1..100usize, 1_000..20_000usize];
    let reads = prop_oneof![Just(usize::MAX), 1..500usize];
    (windows(), sizes, reads, any::<bool>()).prop_map(|(window, len, read_size, closes)| Habits {
        window,
        len,
        read_size,
        closes,
    })
}

fn run(fate: Vec<Fate>, habits: [Habits; 2], size: u16, carrier: Carrier) {
    let config = |at: usize| Config::default().window(habits[at].window).messages(true);
    let mut pair = Pair::new(config(0), config(1));
    let options = OpenOptions::default()
        .block_size(block(size))
        .carrier(carrier);
    let calm = fate
        .iter()
        .all(|fate| matches!(fate, Fate::Pass | Fate::Double));
    let mut fate = fate.into_iter();
    pair.fate = Box::new(move |_| fate.next().unwrap_or(Fate::Pass));
    let ours = pair.open(0, options);
    pair.run(seconds(100));
    let Some(theirs) = pair.ends[1].incoming.first().copied() else {
        // The open did not get through.
        assert!(matches!(
            pair.ends[0].why(ours),
            Some(Why::TimedOut(_) | Why::Refused { .. })
        ));
        pair.settled();
        return;
    };

    let ids = [ours, theirs];
    let written = [0, 1].map(|at: usize| pattern(habits[at].len + at));
    for at in 0..2 {
        pair.ends[at].read_size = habits[at].read_size;
        pair.ends[at].close_when_written = habits[at].closes;
        let bytes = written[at].clone();
        pair.queue(at, ids[at], &bytes);
    }
    pair.run(seconds(1200));
    for at in 0..2 {
        pair.ends[at].close_when_written = true;
    }
    pair.run(seconds(1200));

    let whys = [0, 1].map(|at: usize| pair.ends[at].why(ids[at]));
    for at in 0..2 {
        let other = 1 - at;
        let got = pair.ends[other]
            .received
            .get(&ids[other])
            .cloned()
            .unwrap_or_default();
        assert!(
            written[at].starts_with(&got),
            "other bytes arrived at {other}"
        );
        let why = whys[at].clone().expect("every stream ends");
        if why == Why::Done && carrier == Carrier::Iq {
            // Unless the owner's writes were cut short by the peer's close.
            let cut = pair.ends[at].closed[&ids[at]].by == crate::By::Peer;
            assert!(
                cut || got == written[at],
                "{at} is done, {} arrived",
                got.len()
            );
        }
        if calm && habits[0].closes == habits[1].closes && !habits[0].closes {
            assert_eq!((why, got.len()), (Why::Done, written[at].len()));
        }
    }
    pair.settled();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn bytes_out_are_bytes_in_or_the_stream_is_closed_with_a_reason(
        fate in prop::collection::vec(fates(), 0..200),
        a in habits(),
        b in habits(),
        size in prop_oneof![64..5_000u16, Just(u16::MAX)],
    ) {
        run(fate, [a, b], size, Carrier::Iq);
    }

    #[test]
    fn messages_arrive_in_order_or_the_stream_is_closed_with_a_reason(
        fate in prop::collection::vec(fates(), 0..100),
        a in habits(),
        b in habits(),
        size in 64..5_000u16,
    ) {
        run(fate, [a, b], size, Carrier::Message);
    }

    #[test]
    fn without_faults_everything_arrives(
        doubles in prop::collection::vec(any::<bool>(), 0..200),
        mut a in habits(),
        mut b in habits(),
        size in 64..5_000u16,
    ) {
        (a.closes, b.closes) = (false, false);
        let fate = doubles.into_iter().map(|d| if d { Fate::Double } else { Fate::Pass });
        run(fate.collect(), [a, b], size, Carrier::Iq);
    }
}
