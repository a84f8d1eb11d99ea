//! Attacks by servers, each under its name: the adversary's actions are in the world's `server.rs` and `storm.rs`.

use std::time::Duration;

use xtls_sim::run::{Outcome, run_setup};
use xtls_sim::setup::{Adversary, Rates, Setup, Trust};
use xtls_tls::trust::Policy;

/// A run with this adversary, in which no rule may be broken.
fn against(adversary: Adversary, change: impl Fn(&mut Setup)) -> Vec<Outcome> {
    let outcomes = (0..12).map(|seed| {
        let mut setup = Setup {
            adversary,
            ..Setup::calm_weather(seed)
        };
        change(&mut setup);
        let outcome = run_setup(setup, true);
        assert_eq!(outcome.violation, None, "{}", outcome.log.join("\n"));
        outcome
    });
    outcomes.collect()
}

/// What was reported to owners while the adversary was at work.
fn told<'a>(outcome: &'a Outcome, what: &'a str) -> impl Iterator<Item = &'a String> {
    let storm = |line: &&String| {
        line.trim_start()
            .split('.')
            .next()
            .and_then(|time| time.parse::<u64>().ok())
            .is_some_and(|time| time < 150)
    };
    outcome
        .log
        .iter()
        .filter(storm)
        .filter(move |line| line.contains(" told ") && line.contains(what))
}

#[test]
fn a_relabelled_resource_establishes_nothing() {
    for outcome in against(Adversary::Resource, |_| {}) {
        assert_eq!(told(&outcome, "Established").count(), 0);
        assert!(told(&outcome, "Closed").count() > 0);
    }
}

#[test]
fn a_relabelled_sid_establishes_nothing() {
    for outcome in against(Adversary::Sid, |_| {}) {
        assert_eq!(told(&outcome, "Established").count(), 0);
        assert!(told(&outcome, "Closed").count() > 0);
    }
}

#[test]
fn a_conversation_under_another_name_is_not_established_even_with_strangers() {
    for policy in [Policy::Tofu, Policy::Ask] {
        for outcome in against(Adversary::Relay, |setup| {
            setup.trust = Trust::Strangers;
            setup.policy = policy;
            setup.careful = false;
        }) {
            assert_eq!(told(&outcome, "Established").count(), 0);
        }
    }
}

#[test]
fn a_stolen_certificate_establishes_nothing() {
    for trust in [Trust::Friends, Trust::Strangers] {
        for outcome in against(Adversary::Thief, |setup| {
            setup.trust = trust;
            setup.policy = Policy::Tofu;
        }) {
            assert_eq!(told(&outcome, "Established").count(), 0);
        }
    }
}

#[test]
fn one_in_the_middle_meets_no_friend() {
    for outcome in against(Adversary::Middle, |_| {}) {
        assert_eq!(told(&outcome, "Established").count(), 0);
    }
}

#[test]
fn offers_that_are_stripped_or_changed_never_mislead() {
    for outcome in against(Adversary::Strip, |_| {}) {
        assert!(outcome.totals.faults.contains_key("open changed"));
    }
}

#[test]
fn a_tail_that_is_swallowed_behind_forged_acknowledgements_is_never_called_clean() {
    let mut swallowed = 0;
    for outcome in against(Adversary::Tamper, |setup| {
        setup.rates = Rates {
            swallow: 120,
            forge: 200,
            ..Rates::default()
        };
        setup.delay = (Duration::from_millis(10), Duration::ZERO);
    }) {
        swallowed += outcome
            .totals
            .faults
            .get("swallowed and acknowledged")
            .copied()
            .unwrap_or(0);
    }
    assert!(swallowed > 10, "{swallowed}");
}
