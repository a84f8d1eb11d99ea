//! What holds of every signal.

use std::collections::BTreeSet;
use std::num::NonZeroU16;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{cid, hints, read};
use crate::address::Address;
use crate::element::Element;
use crate::path::{
    Because, Candidate, CandidateKind, Hints, MAX_SIGNAL, SIGNAL_STEP, Sealed, Signal, SignalError,
    Takes, Why,
};
use crate::{ibb, s5b, strategy};

fn a_candidate() -> impl Strategy<Value = Candidate> {
    let host = || strategy::text().prop_filter_map("a host", |text| s5b::Host::new(&text));
    let port = || (1..=u16::MAX).prop_map(|port| NonZeroU16::new(port).unwrap());
    let jid =
        "[a-z]{1,3}@[a-z]{1,3}(/[a-zA-Z'&<]{1,3})?".prop_map(|text| Address::new(&text).unwrap());
    let sid = strategy::text().prop_filter_map("a sid", |text| s5b::Sid::new(&text).ok());
    let stream = "[a-zA-Z0-9._:-]{1,30}".prop_map(|sid| ibb::Sid::new(&sid).unwrap());
    let kind = prop_oneof![
        (jid, host(), port(), sid).prop_map(|(jid, host, port, sid)| CandidateKind::Relay {
            jid,
            host,
            port,
            sid
        }),
        (host(), port()).prop_map(|(host, port)| CandidateKind::Direct { host, port }),
        stream.prop_map(|sid| CandidateKind::Stream { sid }),
    ];
    ("[a-z0-9]{1,16}", kind, any::<u32>()).prop_map(|(name, kind, priority)| Candidate {
        cid: cid(&name),
        kind,
        priority,
    })
}

fn a_signal() -> impl Strategy<Value = Signal> {
    let name = || "[a-z0-9]{1,16}".prop_map(|name| cid(&name));
    let why = proptest::sample::select(&[Why::Faster, Why::Slower, Why::Lost]);
    let takes = proptest::sample::select(&Takes::ALL);
    let because = proptest::sample::select(&[
        Because::Refused,
        Because::Timeout,
        Because::Policy,
        Because::Address,
        Because::Socks,
        Because::Activation,
    ]);
    let candidates = vec(a_candidate(), 0..6).prop_filter("no cid twice", |all| {
        let cids: BTreeSet<_> = all.iter().map(|one| one.cid).collect();
        cids.len() == all.len()
    });
    prop_oneof![
        (any::<u64>(), why, takes, candidates).prop_map(|(attempt, why, takes, candidates)| {
            Signal::Hints(Hints {
                attempt,
                why,
                takes,
                candidates,
            })
        }),
        (any::<u64>(), name()).prop_map(|(attempt, cid)| Signal::Joined { attempt, cid }),
        (any::<u64>(), name(), because).prop_map(|(attempt, cid, because)| Signal::Failed {
            attempt,
            cid,
            because
        }),
        any::<u64>().prop_map(|attempt| Signal::Over { attempt }),
        any::<u64>().prop_map(|attempt| Signal::Gone { attempt }),
    ]
}

proptest! {
    #[test]
    fn reading_what_was_written_gives_the_same(signal in a_signal()) {
        let plain = signal.write();
        prop_assert!(plain.len().is_multiple_of(SIGNAL_STEP) && plain.len() <= MAX_SIGNAL);
        prop_assert_eq!(Signal::read(&plain), Ok(signal));
    }

    #[test]
    fn no_plaintext_makes_the_reader_panic(document in strategy::nasty(), candidates in strategy::nasty()) {
        let _: Result<Signal, SignalError> = read(&document);
        let _: Result<Signal, SignalError> = hints(&candidates);
    }

    #[test]
    fn reading_a_sealed_signal_that_was_written_gives_the_same(
        sid in "[a-zA-Z0-9._:-]{1,256}",
        n in any::<u64>(),
        record in vec(any::<u8>(), 0..200),
    ) {
        let sealed = Sealed { sid: ibb::Sid::new(&sid).unwrap(), n, record: record.into() };
        let mut out = Vec::new();
        sealed.to_element().write("jabber:client", &mut out);
        let element = Element::read(&out, "jabber:client").unwrap();
        prop_assert_eq!(Sealed::read(&element), Ok(sealed));
    }
}
