//! Two keys for one address within one first contact: somebody is in between, so neither gets in.

use xtls_session::Why as Session;
use xtls_tls::trust::TrustError;
use xtls_tls::{Alert, Fingerprint, TlsError};

use super::*;

/// Who knows nobody, and asks.
fn stranger(end: usize, number: u8, policy: Policy) -> Config {
    Config::new(tls(&identity(NAMES[end], number)), Arc::new(Store::new()))
        .policy(policy)
        .accept(Accept::Only([address(NAMES[1 - end]).to_bare()].into()))
}

fn key(number: u8) -> Fingerprint {
    identity(NAMES[A], number).fingerprint()
}

/// B asks about A's key 1; then A has another one, and opens again.
fn two(policy: Policy, between: impl FnOnce(&mut World, TunnelId)) -> (World, [TunnelId; 2]) {
    let mut world = World::with(config(A), stranger(B, 2, policy));
    world.open(A);
    world.settle();
    let first = world.last_id(B);
    assert!(is_asked(&world, first));
    between(&mut world, first);
    world.restart(A, another_a(7));
    world.open(A);
    world.settle();
    let second = world.last_id(B);
    assert_ne!(first, second);
    (world, [first, second])
}

fn is_asked(world: &World, id: TunnelId) -> bool {
    world
        .whats(B, id)
        .any(|what| matches!(what, TunnelEvent::Judge(_)))
}

fn two_keys(first: u8, second: u8) -> Why {
    let (first, second) = (key(first), key(second));
    let peer = address(NAMES[A]).bare().to_owned();
    Why::Session(Session::Untrusted(Box::new(TrustError::TwoKeys {
        peer,
        first,
        second,
    })))
}

#[test]
fn a_second_key_is_refused_and_the_owner_is_not_asked_about_it() {
    for policy in [Policy::Ask, Policy::Tofu] {
        let (mut world, [first, second]) = two(policy, |_, _| {});
        assert_eq!(world.closed(B, second).why, two_keys(1, 7));
        assert!(!is_asked(&world, second));
        // The first was superseded by the newer open; a verdict on its key comes too late.
        let judged = world.late(B, first).judge(key(1), Verdict::Accept);
        assert!(judged.is_err());
        let denied = Why::Session(Session::Tls(TlsError::Alert(Alert::ACCESS_DENIED)));
        assert_eq!(world.closed(A, world.last_id(A)).why, denied);
        // Nor does the first key come in again.
        world.restart(A, config(A));
        world.open(A);
        world.settle();
        let third = world.last_id(B);
        assert_eq!(world.closed(B, third).why, two_keys(1, 7));
    }
}

/// From another resource, whose tunnel does not take the first one's place.
#[test]
fn a_question_that_still_stands_ends_for_that_reason_too() {
    let mut world = World::with(config(A), stranger(B, 2, Policy::Ask));
    world.open(A);
    world.settle();
    let first = world.last_id(B);
    let elsewhere = address("a@west.example/elsewhere");
    let mut other = Router::new(elsewhere.clone(), another_a(7), [77; 32]);
    let now = world.now;
    other.open(now, &address(NAMES[B])).unwrap();
    for _ in 0..100 {
        while let Some(mut envelope) = other.poll_transmit(now) {
            envelope.from = Some(elsewhere.clone());
            world.router(B).handle(now, envelope);
        }
        world.settle();
        for mut envelope in std::mem::take(&mut world.ends[B].others) {
            envelope.from = Some(address(NAMES[B]));
            other.handle(now, envelope);
        }
    }
    let second = world.last_id(B);
    assert_ne!(first, second);
    for id in [first, second] {
        assert_eq!(world.closed(B, id).why, two_keys(1, 7), "{id}");
    }
    assert_eq!(world.ends[B].router.leftovers(), 0);
}

#[test]
fn it_is_noticed_whatever_became_of_the_first_question() {
    let refuse = |world: &mut World, id| {
        world.tunnel(B, id).judge(key(1), Verdict::Refuse).unwrap();
        world.settle();
    };
    let abort = |world: &mut World, id| {
        world.tunnel(B, id).abort();
        world.settle();
    };
    let expire = |world: &mut World, _| world.wait(Duration::from_secs(299));
    let ways: [fn(&mut World, TunnelId); 3] = [refuse, abort, expire];
    for between in ways {
        let (world, [_, second]) = two(Policy::Ask, between);
        assert_eq!(world.closed(B, second).why, two_keys(1, 7));
    }
    // And forgotten after a while.
    let (world, [_, second]) = two(Policy::Ask, |world, id| {
        refuse(world, id);
        world.wait(Duration::from_secs(300));
    });
    assert!(world.ended(B, second).is_none() && is_asked(&world, second));
}

#[test]
fn the_same_key_again_is_asked_about_again() {
    let mut world = World::with(config(A), stranger(B, 2, Policy::Ask));
    for _ in 0..3 {
        world.open(A);
        world.settle();
        let id = world.last_id(B);
        assert!(is_asked(&world, id));
        world.restart(A, config(A));
        world.wait(Duration::from_secs(20));
    }
}

/// The honest second device: refused in a pending first contact, and welcome when it is pinned.
#[test]
fn a_pin_ends_the_suspicion() {
    let (mut world, _) = two(Policy::Ask, |_, _| {});
    let mut store = Store::new();
    let level = Level::Verified(Method::Fingerprint);
    let bare = address(NAMES[A]).bare().to_owned();
    store.pin(&bare, key(1), level, 5).unwrap();
    store.pin_another(&bare, key(7), level, 5).unwrap();
    let now = world.now;
    world.router(B).set_trust(now, Arc::new(store));
    for own in [config(A), another_a(7)] {
        world.restart(A, own);
        world.open(A);
        world.settle();
        let id = world.last_id(B);
        assert!(world.established(B, id), "{:?}", world.ended(B, id));
        world.tunnel(B, id).abort();
        world.settle();
    }
    // Forgotten again, it is a first contact again.
    world.router(B).set_trust(now, Arc::new(Store::new()));
    world.restart(A, config(A));
    world.wait(Duration::from_secs(60));
    world.open(A);
    world.settle();
    assert!(is_asked(&world, world.last_id(B)));
}

/// We call, and a server answers first in one name and then in the other's.
#[test]
fn an_initiator_notices_it_too() {
    let mut world = World::with(stranger(A, 1, Policy::Ask), config(B));
    let first = world.open(A);
    world.settle();
    assert!(
        world
            .whats(A, first)
            .any(|what| matches!(what, TunnelEvent::Judge(_)))
    );
    world.tunnel(A, first).abort();
    world.settle();
    let other = Config::new(tls(&identity(NAMES[B], 7)), verified(&[(NAMES[A], 1)]))
        .accept(Accept::Only([address(NAMES[A]).to_bare()].into()));
    world.restart(B, other);
    let second = world.open(A);
    world.settle();
    let why = world.closed(A, second).why;
    let two = matches!(&why, Why::Session(Session::Untrusted(why)) if matches!(**why, TrustError::TwoKeys { .. }));
    assert!(two, "{why:?}");
}
