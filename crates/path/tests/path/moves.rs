//! A tunnel that moves to a relay, to the other end itself, and back.

use proptest::prelude::*;
use xtls_path::xtls_stanza::path::{Because, Signal, Takes};
use xtls_path::{GiveUp, Kind, RouteEvent, Stay};

use crate::city::{City, MS, S, Temper, home, relay, settings};
use crate::world::{CLIENT, SERVER};

pub(crate) const RELAY: &str = "proxy.montague.example";

/// Bytes both ways, for this long.
pub(crate) fn talk(city: &mut City, steps: usize) {
    for _ in 0..steps {
        for end in [CLIENT, SERVER] {
            let length = 1 + city.draw.below(5_000);
            city.write(end, length);
        }
        city.pass(20 * MS);
    }
}

/// Both ends have a relay that both may use.
pub(crate) fn with_a_relay(seed: u64) -> City {
    let mut city = City::new(seed, [Takes::Own; 2]);
    city.relays = [vec![relay(RELAY)], vec![relay(RELAY)]];
    city
}

#[track_caller]
fn carries(city: &City, kind: Kind) {
    assert_eq!(city.kinds(), [Some(kind); 2], "{:#?}", city.ends);
}

#[test]
fn nobody_says_anything_unless_the_owner_asks() {
    let mut city = with_a_relay(1);
    talk(&mut city, 50);
    city.pass(100 * S);
    city.all_arrived();
    for end in [CLIENT, SERVER] {
        assert!(city.log.said[end].is_empty() && city.log.wishes[end].is_empty());
        assert!(city.log.events[end].is_empty());
        assert_eq!(city.ends[end].poll_timeout(), None);
    }
}

#[test]
fn in_band_asks_for_nothing_even_if_told_to() {
    let mut city = City::new(1, [Takes::InBand, Takes::Any]);
    city.seek(CLIENT);
    city.pass(30 * S);
    assert!(city.log.said[CLIENT].is_empty() && city.log.wishes[CLIENT].is_empty());
}

#[test]
fn a_relay_of_either_end_is_found_whoever_asks() {
    for who in [CLIENT, SERVER] {
        for owner in [CLIENT, SERVER] {
            let mut city = City::new(2, [Takes::Proxy; 2]);
            city.relays[owner] = vec![relay(RELAY)];
            talk(&mut city, 5);
            city.seek(who);
            talk(&mut city, 100);
            carries(&city, Kind::Relay);
            city.pass(60 * S);
            city.all_arrived();
            city.at_rest();
            for end in [CLIENT, SERVER] {
                assert!(city.log.heard(end, RouteEvent::Moved { to: Kind::Relay }));
                assert!(city.log.heard(end, RouteEvent::CloseZero) || !city.zero);
                assert!(!city.log.heard(end, RouteEvent::Lost));
            }
        }
    }
}

#[test]
fn two_people_on_one_server_have_a_relay_under_own() {
    for seed in 0..20 {
        let mut city = with_a_relay(seed);
        city.seek(CLIENT);
        city.seek(SERVER);
        talk(&mut city, 150);
        carries(&city, Kind::Relay);
        city.pass(60 * S);
        city.all_arrived();
        city.at_rest();
    }
}

#[test]
fn an_address_is_better_than_a_relay() {
    for seed in 0..20 {
        let mut both = [0, 1].map(|end| settings(end, Takes::Any));
        both[CLIENT].advertise = vec![home(CLIENT)];
        let mut city = City::with(seed, both);
        city.relays = [vec![relay(RELAY)], vec![relay(RELAY)]];
        city.seek(SERVER);
        talk(&mut city, 200);
        carries(&city, Kind::Direct);
        city.pass(60 * S);
        city.all_arrived();
        city.at_rest();
    }
}

#[test]
fn what_cannot_work_is_said_at_once_and_the_tunnel_stays() {
    // No relay; one that refuses everybody; one of the other's server only, under own.
    for (temper, owners, why) in [
        (None, vec![], Stay::Nothing),
        (
            Some(Temper::Down),
            vec![CLIENT, SERVER],
            Stay::Failed(Because::Refused),
        ),
        (
            Some(Temper::Socks),
            vec![CLIENT, SERVER],
            Stay::Failed(Because::Socks),
        ),
        (
            Some(Temper::Address),
            vec![CLIENT, SERVER],
            Stay::Failed(Because::Address),
        ),
        (
            Some(Temper::Limited),
            vec![CLIENT, SERVER],
            Stay::Failed(Because::Activation),
        ),
        (
            Some(Temper::Good),
            vec![SERVER],
            Stay::Failed(Because::Policy),
        ),
    ] {
        let mut city = City::new(3, [Takes::Own; 2]);
        for owner in owners {
            city.relays[owner] = vec![relay(RELAY)];
        }
        if let Some(temper) = temper {
            city.tempers.insert(RELAY.into(), temper);
        }
        city.seek(CLIENT);
        talk(&mut city, 100);
        for end in [CLIENT, SERVER] {
            let stayed: Vec<RouteEvent> = city.log.events[end]
                .iter()
                .map(|(_, event)| *event)
                .filter(|event| matches!(event, RouteEvent::Stayed { .. }))
                .collect();
            let expected = if why == Stay::Nothing && end == SERVER {
                Stay::GivenUp
            } else {
                why
            };
            assert_eq!(
                stayed,
                [RouteEvent::Stayed { why: expected }],
                "{temper:?} {end}"
            );
        }
        carries(&city, Kind::InBand);
        city.pass(5 * S);
        city.at_rest();
        city.all_arrived();
    }
}

#[test]
fn a_relay_that_is_silent_or_never_activates_costs_20_s_at_most() {
    for temper in [Temper::Silent, Temper::NeverActivates] {
        let mut city = with_a_relay(4);
        city.tempers.insert(RELAY.into(), temper);
        city.seek(CLIENT);
        talk(&mut city, 20);
        city.pass(26 * S);
        for end in [CLIENT, SERVER] {
            let stayed = |event: &RouteEvent| matches!(event, RouteEvent::Stayed { .. });
            assert!(
                city.log.events[end].iter().any(|(_, event)| stayed(event)),
                "{temper:?} {end}"
            );
        }
        carries(&city, Kind::InBand);
        city.at_rest();
        assert_eq!(
            [
                city.ends[CLIENT].poll_timeout(),
                city.ends[SERVER].poll_timeout()
            ],
            [None; 2]
        );
    }
}

#[test]
fn when_a_relay_dies_the_tunnel_goes_on_in_band_and_tries_it_again_three_times() {
    let mut city = with_a_relay(5);
    city.seek(CLIENT);
    talk(&mut city, 100);
    carries(&city, Kind::Relay);
    city.tempers.insert(RELAY.into(), Temper::Down);
    assert!(city.kill(Some(RELAY)) >= 1);
    let lost = city.now;
    talk(&mut city, 50);
    carries(&city, Kind::InBand);
    assert!(city.log.heard(CLIENT, RouteEvent::Lost) && city.log.heard(SERVER, RouteEvent::Lost));
    let dialled = city.log.dialled[SERVER].len();
    city.pass(29 * S - (city.now - lost));
    assert_eq!(city.log.dialled[SERVER].len(), dialled, "not before 30 s");
    city.pass(3_000 * S);
    city.all_arrived();
    carries(&city, Kind::InBand);
    let hints = city.log.said[CLIENT]
        .iter()
        .filter(|signal| matches!(signal, Signal::Hints(_)));
    // The first, after the loss, soon after that, and three again.
    assert_eq!(hints.count(), 6);
    city.at_rest();
}

#[test]
fn a_relay_that_comes_back_carries_again() {
    let mut city = with_a_relay(6);
    city.seek(SERVER);
    talk(&mut city, 100);
    city.kill(Some(RELAY));
    talk(&mut city, 50);
    carries(&city, Kind::InBand);
    city.pass(40 * S);
    talk(&mut city, 50);
    carries(&city, Kind::Relay);
    city.pass(10 * S);
    city.all_arrived();
    city.at_rest();
}

#[test]
fn after_a_loss_bytes_flow_within_eight_ways() {
    for seed in 0..50 {
        let mut city = with_a_relay(seed);
        city.seek(CLIENT);
        talk(&mut city, 100);
        carries(&city, Kind::Relay);
        city.kill(Some(RELAY));
        let before = city.read;
        city.write(CLIENT, 100);
        city.write(SERVER, 100);
        city.pass(8 * 31 * MS);
        assert!(city.read[CLIENT] > before[CLIENT] && city.read[SERVER] > before[SERVER]);
    }
}

#[test]
fn a_relay_that_turns_out_slower_is_left_once_and_for_all() {
    for (relay_passes, stays) in [(200, false), (2_000, true)] {
        for sender in [CLIENT, SERVER] {
            let mut city = with_a_relay(11);
            city.faults.narrow = [Some(1_000), Some(relay_passes)];
            let full = |city: &mut City, seconds: usize| {
                for _ in 0..20 * seconds {
                    city.write(sender, 20_000);
                    city.pass(50 * MS);
                }
            };
            full(&mut city, 5);
            city.seek(CLIENT);
            full(&mut city, 4);
            carries(&city, Kind::Relay);
            full(&mut city, 20);
            let kind = [Kind::InBand, Kind::Relay][usize::from(stays)];
            carries(&city, kind);
            city.faults.narrow = [None; 2];
            let dialled = city.log.dialled[SERVER].len();
            city.seek(SERVER);
            city.pass(60 * S);
            carries(&city, kind);
            assert_eq!(city.log.dialled[SERVER].len(), dialled);
            city.all_arrived();
            city.at_rest();
        }
    }
}

#[test]
fn an_in_band_stream_that_breaks_is_healed() {
    for seed in 0..20 {
        for ends in [vec![CLIENT], vec![SERVER], vec![CLIENT, SERVER]] {
            let mut city = City::new(seed, [Takes::InBand; 2]);
            talk(&mut city, 10);
            city.kill_in_band(&ends);
            talk(&mut city, 50);
            carries(&city, Kind::InBand);
            city.kill_in_band(&ends);
            talk(&mut city, 50);
            city.pass(5 * S);
            city.all_arrived();
            city.at_rest();
        }
    }
}

#[test]
fn three_attempts_without_anything_end_it() {
    let mut city = City::new(7, [Takes::Own; 2]);
    city.faults.no_streams = true;
    city.kill_in_band(&[CLIENT, SERVER]);
    city.pass(120 * S);
    for end in [CLIENT, SERVER] {
        let given_up = RouteEvent::GivenUp {
            why: GiveUp::Attempts,
        };
        assert!(city.log.heard(end, given_up), "{:?}", city.log.events[end]);
        assert_eq!(city.ends[end].poll_timeout(), None);
        assert_eq!(city.ends[end].poll_signal(), None);
    }
    city.at_rest();
}

#[test]
fn a_minute_without_anything_ends_it_and_so_does_a_peer_that_knows_nothing() {
    let mut city = City::new(8, [Takes::Own; 2]);
    city.faults.mute = [true; 2];
    city.kill_in_band(&[CLIENT, SERVER]);
    city.pass(61 * S);
    for end in [CLIENT, SERVER] {
        assert!(
            city.log
                .heard(end, RouteEvent::GivenUp { why: GiveUp::Alone }),
            "{:?}",
            city.log.events
        );
    }
    let mut city = City::new(8, [Takes::Own; 2]);
    city.faults.refused = [true; 2];
    city.faults.gone = true;
    city.kill_in_band(&[CLIENT, SERVER]);
    city.pass(1 * S);
    assert!(
        city.log
            .heard(CLIENT, RouteEvent::GivenUp { why: GiveUp::Gone })
    );
}

#[test]
fn a_leg_outlives_the_link_and_a_tunnel_without_one_waits() {
    // Signals get lost meanwhile, so the ends count attempts differently.
    for offline in [15 * S, 30 * S] {
        let mut city = with_a_relay(9);
        city.seek(CLIENT);
        talk(&mut city, 100);
        carries(&city, Kind::Relay);
        let now = city.now;
        city.ends[CLIENT].link_lost(now);
        city.faults.mute = [true; 2];
        talk(&mut city, 1_000);
        carries(&city, Kind::Relay);
        city.kill(Some(RELAY));
        city.pass(offline);
        assert_eq!(city.ends[CLIENT].carrying(), None);
        let own = settings(CLIENT, Takes::Own).own;
        city.faults.mute = [false; 2];
        let now = city.now;
        city.ends[CLIENT].link_bound(now, own);
        city.pass(59 * S - offline);
        talk(&mut city, 10);
        assert!(city.kinds().iter().all(Option::is_some), "{:#?}", city.ends);
        city.pass(5 * S);
        city.all_arrived();
    }
}

#[test]
fn without_a_link_and_anything_that_carries_a_tunnel_is_given_up_after_ten_minutes() {
    let mut city = City::new(9, [Takes::Own; 2]);
    let now = city.now;
    city.ends[CLIENT].link_lost(now);
    let given_up = RouteEvent::GivenUp {
        why: GiveUp::Offline,
    };
    city.pass(599 * S);
    assert!(!city.log.heard(CLIENT, given_up));
    city.pass(S);
    assert!(city.log.heard(CLIENT, given_up));
    assert_eq!(city.ends[CLIENT].poll_timeout(), None);
}

#[test]
fn what_has_been_said_to_the_end_ends_on_any_path() {
    for moves in [false, true] {
        let mut city = with_a_relay(10);
        if moves {
            city.seek(CLIENT);
            talk(&mut city, 100);
        }
        talk(&mut city, 5);
        city.pass(3 * S);
        for end in [CLIENT, SERVER] {
            let now = city.now;
            city.ends[end].wire_mut().finish(now);
        }
        city.pass(10 * S);
        city.all_arrived();
        for end in [CLIENT, SERVER] {
            let ends = city.log.events[end]
                .iter()
                .filter(|(_, event)| *event == RouteEvent::Finished);
            assert_eq!(ends.count(), 1);
            assert_eq!(city.ends[end].poll_timeout(), None);
            assert!(city.open[end].is_empty());
        }
    }
}

/// Anything may happen to paths; bytes are written all the time.
fn course(seed: u64) -> City {
    let mut draw = crate::world::Draw::new(seed);
    let mut both = [0, 1].map(|end| settings(end, Takes::ALL[draw.below(5)]));
    for (end, one) in both.iter_mut().enumerate() {
        if draw.one_in(2) {
            one.advertise = vec![home(end)];
        }
        one.first_seen = draw.one_in(4);
    }
    let mut city = City::with(seed, both);
    city.delay = 1 + draw.below(200);
    let names = [RELAY, "proxy.capulet.example", "relay.example"];
    for end in [CLIENT, SERVER] {
        let known = names.iter().filter(|_| draw.one_in(2));
        city.relays[end] = known.map(|name| relay(name)).collect();
    }
    let tempers = [
        Temper::Good,
        Temper::Good,
        Temper::Good,
        Temper::Down,
        Temper::NeverActivates,
        Temper::Limited,
        Temper::Silent,
        Temper::Address,
        Temper::Socks,
    ];
    for _ in 0..60 {
        for name in names {
            if draw.one_in(6) {
                city.tempers
                    .insert(name.into(), tempers[draw.below(tempers.len())]);
            }
        }
        talk(&mut city, 1 + draw.below(10));
        match draw.below(8) {
            0 | 1 => city.seek(draw.below(2)),
            2 => drop(city.kill(Some(names[draw.below(3)]))),
            3 => drop(city.kill(None)),
            4 => city.kill_in_band([&[CLIENT][..], &[SERVER], &[CLIENT, SERVER]][draw.below(3)]),
            5 => city.pass(S * u32::try_from(draw.below(40)).unwrap()),
            _ => {}
        }
    }
    city.pass(100 * S);
    while city.ends.iter().any(xtls_path::Route::is_attempting) {
        city.pass(S);
    }
    city
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_happens_to_paths_every_byte_arrives(seed: u64) {
        let city = course(seed);
        let ends = |event: &RouteEvent| {
            matches!(event, RouteEvent::Cut { .. } | RouteEvent::GivenUp { .. })
        };
        let mut events = city.log.events.iter().flatten();
        prop_assert!(!events.any(|(_, event)| ends(event)), "seed {seed}: {:#?}", city.log.events);
        city.all_arrived();
        city.at_rest();
    }
}

#[test]
fn the_same_seed_gives_the_same_signals() {
    let [one, two] = [(); 2].map(|()| course(77));
    assert_eq!(one.log.said, two.log.said);
    assert_eq!(one.log.events, two.log.events);
    assert_eq!(one.log.dialled, two.log.dialled);
}
