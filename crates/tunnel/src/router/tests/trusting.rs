//! Pins that change while tunnels stand, are renewed, or are being made.

use xtls_session::Why as Session;
use xtls_tls::trust::{Doubt, TrustError};
use xtls_tls::{Alert, Fingerprint, TlsError};

use super::*;

fn key(end: usize) -> Fingerprint {
    identity(NAMES[end], u8::try_from(end).unwrap() + 1).fingerprint()
}

fn bare(end: usize) -> String {
    address(NAMES[end]).bare().to_owned()
}

/// What B knows, after a change to what it knew.
fn changed(change: impl FnOnce(&mut Store)) -> Arc<Store> {
    let mut store = Store::clone(&verified(&[(NAMES[A], 1)]));
    change(&mut store);
    Arc::new(store)
}

fn revoked() -> Arc<Store> {
    changed(|store| store.revoke(&bare(A), key(A), 5).unwrap())
}

fn is_revoked(why: &Why) -> bool {
    let trust = match why {
        Why::Session(Session::Untrusted(trust)) => trust,
        Why::Session(Session::Tls(TlsError::Trust(trust))) => trust,
        _ => return false,
    };
    let (peer, presented) = (bare(A), key(A));
    *trust == TrustError::Revoked { peer, presented }
}

impl World {
    fn trust(&mut self, end: usize, store: Arc<Store>) {
        let now = self.now;
        self.router(end).set_trust(now, store);
    }
}

#[test]
fn a_key_that_is_revoked_ends_the_tunnel_that_stands_on_it() {
    for opener in [A, B] {
        for service in [Service::stanzas(), pipe()] {
            let config = |end| config(end).service(service.clone());
            let mut world = World::with(config(A), config(B));
            let ids = world.establish(opener);
            world.trust(B, revoked());
            // What was on its way is not handed out any more.
            let _ = world.tunnel(A, ids[A]).send(&message("m1", "word"));
            world.settle();
            let closed = world.closed(B, ids[B]);
            assert!(is_revoked(&closed.why), "{:?}", closed.why);
            assert_eq!(world.received(B, ids[B]), [""; 0]);
            let denied = Why::Session(Session::Tls(TlsError::Alert(Alert::ACCESS_DENIED)));
            assert_eq!(world.closed(A, ids[A]).why, denied);
            for end in [A, B] {
                assert_eq!(world.ends[end].router.leftovers(), 0);
            }
        }
    }
}

#[test]
fn an_owner_that_takes_nothing_does_not_keep_it_alive() {
    let mut world = World::new();
    let ids = world.establish(A);
    world.tunnel(B, ids[B]).hold(true);
    world.say(A, ids[A], "m1");
    world.settle();
    world.trust(B, revoked());
    world.settle();
    assert!(is_revoked(&world.closed(B, ids[B]).why));
}

#[test]
fn other_changes_that_speak_against_a_key_end_it_too() {
    let other = identity(NAMES[A], 7).fingerprint();
    let level = Level::Verified(Method::Fingerprint);
    let against: [(&str, Arc<Store>); 4] = [
        (
            "the address has another key now",
            changed(|store| {
                store.forget(&bare(A));
                store.pin(&bare(A), other, level, 5).unwrap();
            }),
        ),
        (
            "the key is another's now",
            changed(|store| {
                store.forget(&bare(A));
                store.pin("c@x.example", key(A), level, 5).unwrap();
            }),
        ),
        (
            "words differed",
            changed(|store| store.doubt_key(&bare(A), key(A), Method::Words, 5).unwrap()),
        ),
        (
            "a code did not fit",
            changed(|store| store.doubt_key(&bare(A), key(A), Method::Code, 5).unwrap()),
        ),
    ];
    for (what, store) in against {
        for policy in [Policy::Pinned, Policy::Ask, Policy::Tofu] {
            let mut world = World::with(config(A), config(B).policy(policy));
            let ids = world.establish(A);
            world.trust(B, Arc::clone(&store));
            world.settle();
            let why = world.closed(B, ids[B]).why;
            assert!(
                matches!(why, Why::Session(Session::Untrusted(_))),
                "{what}: {why:?}"
            );
        }
    }
}

#[test]
fn a_change_that_concerns_others_ends_nothing_nor_does_a_further_key() {
    let level = Level::Verified(Method::Fingerprint);
    let other = identity(NAMES[A], 7).fingerprint();
    let neutral = [
        changed(|store| store.revoke("c@x.example", other, 5).unwrap()),
        changed(|store| store.revoke(&bare(A), other, 5).unwrap()),
        changed(|store| store.pin_another(&bare(A), other, level, 5).unwrap()),
        changed(|store| store.doubt_key(&bare(A), other, Method::Words, 5).unwrap()),
        changed(|store| assert!(store.touch(&bare(A), &key(A), 5))),
    ];
    let mut world = World::new();
    let ids = world.establish(A);
    for store in neutral {
        world.trust(B, store);
        world.settle();
    }
    world.say(A, ids[A], "m1");
    world.settle();
    assert_eq!(world.received(B, ids[B]), ["m1"]);
}

#[test]
fn a_key_that_is_forgotten_stays_until_the_end_of_its_tunnel_unless_pins_are_required() {
    let forgotten = changed(|store| assert_eq!(store.forget(&bare(A)), 1));
    for policy in [Policy::Ask, Policy::Tofu, Policy::Pinned] {
        let mut world = World::with(config(A), config(B).policy(policy));
        let ids = world.establish(A);
        world.trust(B, Arc::clone(&forgotten));
        world.settle();
        let ended = world.ended(B, ids[B]).map(|closed| closed.why);
        match (policy, ended) {
            (Policy::Pinned, Some(Why::Session(Session::Untrusted(why)))) => {
                assert!(matches!(*why, TrustError::NotPinned { .. }), "{why}");
            }
            (Policy::Ask | Policy::Tofu, None) => {
                world.say(A, ids[A], "m1");
                world.settle();
                assert_eq!(world.received(B, ids[B]), ["m1"]);
            }
            (policy, ended) => panic!("{policy:?}: {ended:?}"),
        }
    }
}

/// A thief who has begun in time may take three minutes for his last flight.
#[test]
fn a_key_that_is_revoked_during_the_handshake_is_refused_at_its_end() {
    for early in [true, false] {
        for judge in [A, B] {
            for opener in [A, B] {
                let mut world = World::with(config(A).early(early), config(B).early(early));
                world.open(opener);
                // Everything but the last flight of the peer.
                let mut deliveries = 0;
                let store = match judge {
                    A => {
                        let mut store = Store::clone(&verified(&[(NAMES[B], 2)]));
                        store.revoke(&bare(B), key(B), 5).unwrap();
                        Arc::new(store)
                    }
                    _ => revoked(),
                };
                while !world.ends[judge]
                    .events
                    .iter()
                    .any(|event| matches!(event.what, TunnelEvent::Incoming(_)))
                    && judge != opener
                    && deliveries < 100
                {
                    world.deliver(A);
                    world.deliver(B);
                    deliveries += 1;
                }
                world.trust(judge, store);
                world.settle();
                let id = world.last_id(judge);
                let closed = world.closed(judge, id);
                let trust = matches!(
                    closed.why,
                    Why::Session(Session::Tls(TlsError::Trust(TrustError::Revoked { .. })))
                        | Why::Session(Session::Untrusted(_))
                );
                assert!(trust, "{early} {judge} {opener}: {closed:?}");
                assert!(!world.established(judge, id));
            }
        }
    }
}

#[test]
fn a_key_that_waits_for_its_verdict_when_it_is_revoked_waits_no_longer() {
    let stranger = Config::new(tls(&identity(NAMES[B], 2)), Arc::new(Store::new()))
        .accept(Accept::Only([address(NAMES[A]).to_bare()].into()));
    let mut world = World::with(config(A), stranger);
    world.open(A);
    world.settle();
    let id = world.last_id(B);
    assert!(
        world
            .whats(B, id)
            .any(|what| matches!(what, TunnelEvent::Judge(_)))
    );
    let mut store = Store::new();
    store.revoke(&bare(A), key(A), 5).unwrap();
    world.trust(B, Arc::new(store));
    world.settle();
    assert!(is_revoked(&world.closed(B, id).why));
    let judged = world.late(B, id).judge(key(A), Verdict::Accept);
    assert_eq!(judged, Err(JudgeError::Gone(Gone)));
}

/// Old and new session of a renewal stand on one key.
#[test]
fn a_renewal_does_not_outlive_the_key() {
    for opener in [A, B] {
        for steps in 0..40 {
            let mut world = World::new();
            let ids = world.establish(opener);
            world.wait(Duration::from_secs(86_400 - 1));
            let day = world.now + Duration::from_secs(2);
            for end in [A, B] {
                world.router(end).handle_timeout(day);
            }
            world.now = day;
            for _ in 0..steps {
                world.deliver(A);
                world.deliver(B);
            }
            world.trust(B, revoked());
            world.settle();
            world.wait(Duration::from_secs(100));
            let closed = world.closed(B, ids[B]);
            assert!(is_revoked(&closed.why), "{opener} {steps}: {closed:?}");
            // A newcomer that has not finished its handshake by then may be told of, and fails by itself.
            let told: Vec<_> = world.ends[B].events.iter().map(|event| event.id).collect();
            for id in told {
                let why = world.closed(B, id).why;
                assert!(is_revoked(&why), "{opener} {steps} {id}: {why:?}");
                assert!(id == ids[B] || !world.established(B, id));
            }
            assert_eq!(world.ends[B].router.leftovers(), 0);
        }
    }
}

#[test]
fn a_key_that_a_code_has_spoken_against_comes_as_far_as_a_verification() {
    use xtls_session::{Compare, Verify};
    for pinned in [true, false] {
        let mut store = match pinned {
            true => Store::clone(&verified(&[(NAMES[A], 1)])),
            false => Store::new(),
        };
        store.doubt_key(&bare(A), key(A), Method::Code, 5).unwrap();
        let policies = [Policy::Ask, Policy::Tofu, Policy::Pinned];
        for policy in policies {
            let b = Config::new(tls(&identity(NAMES[B], 2)), Arc::new(store.clone()))
                .policy(policy)
                .accept(Accept::Only([address(NAMES[A]).to_bare()].into()));
            let mut world = World::with(config(A), b);
            let own = world.open(A);
            world.settle();
            let id = world.last_id(B);
            let doubt = Doubt::new(key(A), Method::Code, 5);
            let asked = world.whats(B, id).find_map(|what| match what {
                TunnelEvent::Judge(introduction) => Some(introduction.doubt),
                _ => None,
            });
            if policy == Policy::Pinned && !pinned {
                assert_eq!(asked, None);
                continue;
            }
            assert_eq!(asked, Some(Some(doubt)));
            let accepted = world.tunnel(B, id).judge(key(A), Verdict::Accept);
            assert_eq!(
                accepted,
                Err(JudgeError::Session(xtls_session::JudgeError::Doubted))
            );
            world.tunnel(B, id).verify(Compare::Words).unwrap();
            world.tunnel(A, own).verify(Compare::Words).unwrap();
            world.settle();
            let due = world
                .whats(B, id)
                .any(|what| matches!(what, TunnelEvent::Verify(Verify::Due { .. })));
            assert!(due);
            assert!(!world.established(B, id));
            // It has been verified: the mark is gone, and the verdict counts.
            let mut store = store.clone();
            store.verified(&bare(A), key(A), Method::Words, 6).unwrap();
            world.trust(B, Arc::new(store));
            world.tunnel(B, id).judge(key(A), Verdict::Accept).unwrap();
            world.settle();
            assert!(world.established(B, id));
        }
    }
}

#[test]
fn a_doubted_key_is_refused_under_every_policy() {
    for policy in [Policy::Ask, Policy::Tofu, Policy::Pinned] {
        for pinned in [true, false] {
            let mut store = match pinned {
                true => Store::clone(&verified(&[(NAMES[A], 1)])),
                false => Store::new(),
            };
            store.doubt_key(&bare(A), key(A), Method::Words, 5).unwrap();
            let b = Config::new(tls(&identity(NAMES[B], 2)), Arc::new(store))
                .policy(policy)
                .accept(Accept::Only([address(NAMES[A]).to_bare()].into()));
            let mut world = World::with(config(A), b);
            world.open(A);
            world.settle();
            let why = world.closed(B, world.last_id(B)).why;
            let refused = matches!(
                &why,
                Why::Session(Session::Tls(TlsError::Trust(TrustError::Doubted { .. })))
            );
            assert!(refused, "{policy:?} {pinned}: {why:?}");
        }
    }
}
