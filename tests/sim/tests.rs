//! The simulated world, for as long as a test may run; `cargo xtask sim` runs longer.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on says so by failing"
)]

mod attacks;
mod spoof;

use std::time::Duration;

use stateright::{Checker as _, Model as _};
use xtls_ibb::Window;
use xtls_sim::model::{self, Crossing};
use xtls_sim::paths::{Harm, Paths};
use xtls_sim::run::{run, run_setup};
use xtls_sim::setup::{Adversary, Cuts, Setup};
use xtls_sim::totals::Totals;

/// Steps that all seeds together may take here.
const STEPS: u64 = 30_000;

#[test]
fn no_seed_breaks_a_rule() {
    let mut totals = Totals::default();
    for seed in 0.. {
        let setup = Setup::draw(seed);
        if setup.long {
            continue;
        }
        let outcome = run_setup(setup, false);
        assert_eq!(
            outcome.violation, None,
            "cargo xtask sim --seed {seed} --trace"
        );
        totals.add(&outcome.totals);
        if totals.steps > STEPS {
            break;
        }
    }
    assert_eq!(totals.adversaries.len(), Adversary::ALL.len(), "{totals}");
    assert!(totals.established > 20 && totals.clean > 20, "{totals}");
}

#[test]
fn links_are_cut_resumed_and_bound_anew_by_their_own_machine() {
    let mut totals = Totals::default();
    for seed in 0..60 {
        let cuts = match seed % 2 {
            0 => Cuts::Resumed,
            _ => Cuts::Any,
        };
        let setup = Setup {
            cuts,
            linked: true,
            ..Setup::calm_weather(seed)
        };
        let outcome = run_setup(setup, false);
        assert_eq!(outcome.violation, None, "{seed}");
        totals.add(&outcome.totals);
    }
    for fault in [
        "link resumed by its machine",
        "link bound anew by its machine",
        "link cut as it came back",
    ] {
        assert!(totals.faults.contains_key(fault), "{fault}: {totals}");
    }
}

/// Two who move to whatever there is, while this happens to sockets.
fn moving(seed: u64, harm: Harm) -> Setup {
    let paths = Paths {
        harm,
        listen: [seed.is_multiple_of(2); 2],
        tails: seed.is_multiple_of(3),
        lag: 100,
        ..Paths::calm()
    };
    Setup {
        bulk: seed.is_multiple_of(5),
        paths: Some(paths),
        ..Setup::calm_weather(seed)
    }
}

#[test]
fn tunnels_leave_their_servers_and_lose_nothing_but_paths() {
    let mut totals = Totals::default();
    for seed in 0..40 {
        let outcome = run_setup(moving(seed, Harm::Breaks), false);
        assert_eq!(outcome.violation, None, "{seed}");
        totals.add(&outcome.totals);
    }
    for fault in [
        "moved to a relay",
        "moved to a direct path",
        "moved to a stream",
        "relay died",
        "wire reset",
        "wire silent",
        "wire stalls",
        "listener probed",
    ] {
        assert!(totals.faults.contains_key(fault), "{fault}: {totals}");
    }
}

#[test]
fn what_is_altered_on_a_path_is_a_cut_and_no_close() {
    let mut totals = Totals::default();
    for seed in 0..40 {
        let setup = moving(seed, Harm::Alters);
        let (one, two) = (run_setup(setup.clone(), false), run_setup(setup, false));
        assert_eq!(one.violation, None, "{seed}");
        assert_eq!(one.trace, two.trace, "{seed}");
        totals.add(&one.totals);
    }
    for fault in ["wire altered", "third party at a relay"] {
        assert!(totals.faults.contains_key(fault), "{fault}: {totals}");
    }
}

#[test]
fn no_seed_of_before_breaks_a_rule_again() {
    for line in include_str!("regressions.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        let seed = line.trim().parse().expect("a seed");
        assert_eq!(
            run(seed, false).violation,
            None,
            "cargo xtask sim --seed {seed} --trace"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 14, 15, 92, 65] {
        let (one, two) = (run(seed, false), run(seed, false));
        assert_eq!(
            (one.trace, one.totals),
            (two.trace, two.totals),
            "seed {seed}"
        );
    }
    assert_ne!(run(3, false).trace, run(14, false).trace);
}

#[test]
fn a_stream_in_messages_goes_on_although_nothing_answers() {
    let setup = Setup {
        messages: true,
        block: 256,
        window: Window::OneChunk,
        ..Setup::calm_weather(1)
    };
    assert_eq!(run_setup(setup, false).violation, None);
}

#[test]
fn both_may_open_at_the_same_time_in_any_order_and_get_one_tunnel() {
    for seed in 0..40 {
        let delay = (Duration::from_millis(seed % 7), Duration::from_millis(20));
        let setup = Setup {
            crossing: true,
            delay,
            ..Setup::calm_weather(seed)
        };
        assert_eq!(run_setup(setup, false).violation, None, "{seed}");
    }
}

#[test]
fn every_interleaving_of_crossing_opens_and_closes_ends_in_one_tunnel_or_none() {
    let crossing = Crossing {
        opens: 1,
        closes: 1,
        losses: 1,
        repeats: 1,
    };
    let checker = crossing.checker().spawn_bfs().join();
    assert_eq!(model::broken_always(&checker), None);
    assert!(checker.unique_state_count() > 500);
}
