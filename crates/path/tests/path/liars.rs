//! Peers that say anything: what is bounded, what is ignored.

use std::num::NonZeroU16;
use std::time::Instant;

use xtls_path::xtls_stanza::path::{Because, Candidate, CandidateKind, Hints, Signal, Takes, Why};
use xtls_path::xtls_stanza::s5b::Host;
use xtls_path::{Dial, GiveUp, KNOCK, Kind, LegId, Role, Route, RouteEvent, Wish};

use crate::city::{City, MS, S, home, relay, settings};
use crate::lone::{Lone, RELAY, cid, direct, hints, relayed, stream};
use crate::world::{CLIENT, SERVER, bound, keys};

#[test]
fn of_a_hundred_candidates_six_are_tried() {
    let mut lone = Lone::of(Role::Server, Takes::Any);
    let addresses = (0..100).map(direct);
    let relays = (0..100).map(|at| relayed(at, "relay.example"));
    lone.says(hints(1, Why::Faster, addresses.chain(relays).collect()));
    let mut dials = 0;
    for _ in 0..100 {
        for pipe in lone.dials() {
            dials += 1;
            lone.route.failed(lone.now, pipe, Because::Refused);
        }
        lone.pass(200 * MS);
    }
    assert_eq!(dials, 6);
    let failed = |signal: &&Signal| matches!(signal, Signal::Failed { .. });
    assert_eq!(lone.signals().iter().filter(failed).count(), 6);
}

#[test]
fn four_are_tried_at_a_time_by_priority_and_200_ms_apart() {
    let mut lone = Lone::of(Role::Server, Takes::Any);
    let mut all: Vec<Candidate> = (0..4).map(direct).collect();
    all[2].priority += 5;
    all.insert(0, relayed(0, "relay.example"));
    lone.says(hints(1, Why::Faster, all));
    let mut hosts = Vec::new();
    let mut first = None;
    for step in 0..20 {
        for wish in lone.wishes() {
            if let Wish::Dial { pipe, port, .. } = wish {
                hosts.push((step, port.get()));
                first.get_or_insert(pipe);
            }
        }
        lone.pass(100 * MS);
    }
    assert_eq!(hosts, [(0, 1_002), (2, 1_000), (4, 1_001), (6, 1_003)]);
    lone.route
        .failed(lone.now, first.unwrap(), Because::Refused);
    assert_eq!(lone.dials().len(), 1, "the relay is the fifth");
    // Each has its time.
    lone.pass(3 * S);
    let drops = lone.wishes();
    assert_eq!(
        drops
            .iter()
            .filter(|wish| matches!(wish, Wish::Drop { .. }))
            .count(),
        3
    );
}

#[test]
fn a_relay_that_only_resembles_one_of_ours_is_not_dialled_under_own() {
    for policy in [Takes::Own, Takes::Direct, Takes::InBand] {
        let mut lone = Lone::of(Role::Server, policy);
        let mut other_port = relayed(0, RELAY);
        let CandidateKind::Relay { port, .. } = &mut other_port.kind else {
            panic!()
        };
        *port = NonZeroU16::new(22).unwrap();
        let mut other_host = relayed(1, RELAY);
        let CandidateKind::Relay { host, .. } = &mut other_host.kind else {
            panic!()
        };
        *host = Host::new("127.0.0.1").unwrap();
        lone.says(hints(1, Why::Faster, vec![other_port, other_host]));
        assert!(lone.dials().is_empty());
        let failed = |signal: &Signal| {
            matches!(
                signal,
                Signal::Failed {
                    because: Because::Policy,
                    ..
                }
            )
        };
        let count = lone
            .signals()
            .iter()
            .filter(|signal| failed(signal))
            .count();
        assert_eq!(count, if policy == Takes::InBand { 0 } else { 2 });
        let mut lone = Lone::of(Role::Server, policy);
        lone.says(hints(1, Why::Faster, vec![relayed(0, RELAY)]));
        assert_eq!(lone.dials().len(), usize::from(policy != Takes::InBand));
    }
}

#[test]
fn under_own_nothing_is_dialled_before_our_server_has_said_what_it_has() {
    let mut lone = Lone::of(Role::Server, Takes::Own);
    let now = lone.now;
    let settings = settings(SERVER, Takes::Own);
    lone.route = Route::new(
        now,
        bound(now, keys(Role::Server), Role::Server),
        settings,
        [3; 32],
    );
    lone.says(hints(1, Why::Faster, vec![relayed(0, RELAY)]));
    assert_eq!(lone.wishes(), [Wish::FindRelays]);
    assert!(lone.signals().is_empty());
    lone.pass(4_999 * MS);
    assert!(lone.signals().is_empty());
    lone.pass(MS);
    // Hints without any, and the refusal.
    assert_eq!(lone.signals().len(), 2);
    assert!(lone.dials().is_empty());
}

#[test]
fn private_addresses_are_for_who_dials_to_refuse_and_nobody_is_dialled_twice() {
    let mut lone = Lone::of(Role::Client, Takes::Any);
    let mut inside = direct(1);
    inside.kind = CandidateKind::Direct {
        host: Host::new("10.0.0.1").unwrap(),
        port: NonZeroU16::MIN,
    };
    lone.says(hints(1, Why::Faster, vec![inside.clone(), inside]));
    let dials = lone.dials();
    assert_eq!(dials.len(), 1, "one name is one candidate");
    lone.route.failed(lone.now, dials[0], Because::Address);
    let signals = lone.signals();
    assert!(signals.contains(&Signal::Failed {
        attempt: 1,
        cid: cid("x1"),
        because: Because::Address
    }));
}

#[test]
fn attempts_without_end_are_ignored_after_twenty_a_minute() {
    let mut lone = Lone::of(Role::Server, Takes::Any);
    let mut answered = 0;
    for attempt in 1..=1_000 {
        lone.says(hints(attempt, Why::Faster, (0..4).map(direct).collect()));
        let signals = lone.signals();
        answered += signals
            .iter()
            .filter(|signal| matches!(signal, Signal::Hints(_)))
            .count();
        assert!(signals.len() < 20);
        assert!(lone.wishes().len() < 30);
    }
    assert_eq!(answered, 20);
    lone.pass(60 * S);
    lone.says(hints(2_000, Why::Faster, vec![]));
    assert!(matches!(lone.signals()[..], [Signal::Hints(_)]));
}

#[test]
fn a_number_that_leaves_no_next_one_only_keeps_the_tunnel_where_it_is() {
    let mut lone = Lone::of(Role::Server, Takes::Any);
    lone.says(hints(u64::MAX, Why::Faster, vec![]));
    assert_eq!(lone.signals().len(), 1);
    lone.says(Signal::Over { attempt: u64::MAX });
    lone.route.seek(lone.now);
    lone.pass(100 * S);
    assert!(lone.signals().is_empty());
    assert_eq!(lone.route.carrying(), Some(Kind::InBand));
    assert_eq!(lone.route.poll_timeout(), None);
}

#[test]
fn what_is_said_about_another_attempt_is_ignored() {
    for role in [Role::Client, Role::Server] {
        let mut lone = Lone::of(role, Takes::Any);
        lone.route.seek(lone.now);
        let said = lone.signals();
        let [Signal::Hints(ours)] = &said[..] else {
            panic!("{said:?}")
        };
        assert!(
            lone.wishes()
                .iter()
                .all(|wish| matches!(wish, Wish::Expect { .. }))
        );
        for attempt in [0, 2, u64::MAX] {
            for one in &ours.candidates {
                let cid = one.cid;
                lone.says(Signal::Joined { attempt, cid });
                lone.says(Signal::Failed {
                    attempt,
                    cid,
                    because: Because::Refused,
                });
            }
            lone.says(Signal::Over { attempt });
        }
        lone.says(hints(0, Why::Faster, vec![direct(0)]));
        assert!(lone.wishes().is_empty() && lone.signals().is_empty());
        // Candidates that nobody has named.
        lone.says(Signal::Joined {
            attempt: 1,
            cid: cid("zz"),
        });
        lone.says(Signal::Failed {
            attempt: 1,
            cid: cid("zz"),
            because: Because::Socks,
        });
        assert!(lone.wishes().is_empty() && lone.signals().is_empty());
    }
}

#[test]
fn the_second_hints_of_an_attempt_are_ignored_and_so_is_an_end_that_the_server_declares() {
    let mut lone = Lone::of(Role::Client, Takes::Any);
    lone.says(hints(1, Why::Faster, vec![direct(0)]));
    assert_eq!(lone.dials().len(), 1);
    lone.says(hints(1, Why::Faster, vec![direct(1), direct(2)]));
    lone.says(Signal::Over { attempt: 1 });
    lone.pass(1 * S);
    assert!(lone.wishes().is_empty());
}

#[test]
fn a_candidate_with_one_of_our_names_is_ignored_and_a_stream_of_the_server_too() {
    let mut lone = Lone::of(Role::Client, Takes::Any);
    lone.route.seek(lone.now);
    let said = lone.signals();
    let [Signal::Hints(ours)] = &said[..] else {
        panic!("{said:?}")
    };
    let mut same = direct(0);
    same.cid = ours.candidates[0].cid;
    lone.wishes();
    lone.says(hints(1, Why::Lost, vec![same, stream("b2"), stream("b4")]));
    let wishes = lone.wishes();
    assert!(
        !wishes
            .iter()
            .any(|wish| matches!(wish, Wish::Dial { .. } | Wish::ExpectStream { .. })),
        "{wishes:?}"
    );
    let mut lone = Lone::of(Role::Server, Takes::Any);
    lone.says(hints(1, Why::Lost, vec![stream("b1"), stream("b3")]));
    let expects = |wish: &&Wish| matches!(wish, Wish::ExpectStream { .. });
    assert_eq!(lone.wishes().iter().filter(expects).count(), 1);
}

#[test]
fn whoever_has_joined_our_relay_is_met_there_once() {
    let mut lone = Lone::of(Role::Client, Takes::Own);
    lone.route.seek(lone.now);
    let said = lone.signals();
    let [Signal::Hints(ours)] = &said[..] else {
        panic!("{said:?}")
    };
    let name = ours.candidates[0].cid;
    let joined = Signal::Joined {
        attempt: 1,
        cid: name,
    };
    lone.says(joined.clone());
    lone.says(joined.clone());
    let wishes = lone.wishes();
    let [
        Wish::Dial {
            pipe,
            how: Dial::Relay { ours: true, .. },
            ..
        },
    ] = &wishes[..]
    else {
        panic!("{wishes:?}")
    };
    lone.route.connected(lone.now, *pipe);
    lone.route.connected(lone.now, *pipe);
    lone.says(joined);
    let wishes = lone.wishes();
    assert!(matches!(&wishes[..], [Wish::Activate { .. }]), "{wishes:?}");
    // What comes before it is activated comes from nobody.
    lone.route.handle_pipe(lone.now, *pipe, b"hello");
    assert!(matches!(lone.wishes()[..], [Wish::Drop { .. }]));
}

#[test]
fn hints_that_say_lost_end_what_carries_only_if_it_is_older() {
    let mut city = City::new(1, [Takes::Own; 2]);
    city.relays = [vec![relay(RELAY)], vec![relay(RELAY)]];
    city.seek(CLIENT);
    city.pass(5 * S);
    assert_eq!(city.kinds(), [Some(Kind::Relay); 2]);
    let now = city.now;
    // Attempt 1 has found it: these are late, and about what was there before.
    for attempt in [0, 1] {
        city.ends[SERVER].handle_signal(now, hints(attempt, Why::Lost, vec![]));
        assert_eq!(city.ends[SERVER].carrying(), Some(Kind::Relay));
    }
    city.ends[SERVER].handle_signal(now, hints(2, Why::Lost, vec![]));
    assert_eq!(city.ends[SERVER].carrying(), None);
    let lone = Lone::of(Role::Server, Takes::Own);
    let mut lone = lone;
    lone.says(hints(1, Why::Lost, vec![]));
    assert_eq!(lone.route.wire().carrying(), None);
    assert!(lone.events().contains(&RouteEvent::CloseZero));
    let answer = lone.signals();
    assert!(
        matches!(&answer[..], [Signal::Hints(Hints { why: Why::Lost, .. })]),
        "{answer:?}"
    );
}

#[test]
fn a_probe_of_our_port_gets_nothing() {
    let mut both = [0, 1].map(|end| settings(end, Takes::Any));
    both[SERVER].advertise = vec![home(SERVER)];
    let [client, server] = both;
    let now = Instant::now();
    let mut first = Lone::new(Role::Client, client);
    let mut second = Lone::new(Role::Server, server);
    first.now = now;
    second.now = now;
    second.route.seek(now);
    let said = second.signals();
    first.says(said[0].clone());
    let dials = first.wishes();
    let Some(Wish::Dial { pipe, .. }) = dials.iter().find(|wish| {
        matches!(
            wish,
            Wish::Dial {
                how: Dial::Direct,
                ..
            }
        )
    }) else {
        panic!("{dials:?}")
    };
    first.route.connected(now, *pipe);
    let knock = first.route.poll_pipe(now, *pipe, 1_000).unwrap();
    let knock: [u8; KNOCK] = knock[..].try_into().unwrap();
    for probe in [[0; KNOCK], [5; KNOCK], [255; KNOCK]] {
        assert_eq!(second.route.knock(now, &probe), None);
    }
    for at in 0..KNOCK {
        let mut changed = knock;
        changed[at] ^= 1;
        assert_eq!(second.route.knock(now, &changed), None);
    }
    let found = second.route.knock(now, &knock).unwrap();
    assert_eq!(second.route.knock(now, &knock), None, "a right one, twice");
    assert!(second.route.poll_pipe(now, found, 1_000).is_some());
    // A right one, when the attempt is over.
    let mut late = Lone::of(Role::Server, Takes::Any);
    assert_eq!(late.route.knock(now, &knock), None);
}

#[test]
fn a_tunnel_without_keys_does_not_move_and_ends_with_its_stream() {
    let now = Instant::now();
    let wire = xtls_path::Wire::new(now, Role::Client);
    let mut route = Route::new(now, wire, settings(CLIENT, Takes::Any), [0; 32]);
    route.seek(now);
    route.handle_signal(now, hints(1, Why::Lost, vec![]));
    assert_eq!((route.poll_signal(), route.poll_wish()), (None, None));
    assert_eq!(route.wire().carrying(), Some(LegId::ZERO));
    route.zero_ended(now);
    assert_eq!(route.poll_event(), Some(RouteEvent::Lost));
    let why = GiveUp::Unbound;
    assert_eq!(route.poll_event(), Some(RouteEvent::GivenUp { why }));
}
