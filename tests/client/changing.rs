//! Pins that another program changes while this one is running.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;
use xtls_client::relay::Limits;
use xtls_client::router::{Closed, TunnelEvent, Why};
use xtls_client::{Pins, Relay, Tunnel};
use xtls_session::{Compare, Verify, Why as Ended};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;
use xtls_tls::TlsError;
use xtls_tls::trust::{Judgement, Level, Method, Policy, TrustError};

use crate::trust::{ROMEO_BARE, Store, romeos};
use crate::world::*;

const FINGERPRINT: Level = Level::Verified(Method::Fingerprint);

/// A store in which Romeo's key is verified, and was first met long ago.
fn verified() -> Store {
    let store = Store::new();
    let pin = |pins: &mut Pins| {
        pins.change(|store, now| {
            store.pin(ROMEO_BARE, romeos(), FINGERPRINT, now - 1_000_000)?;
            store.touch(ROMEO_BARE, &romeos(), now - 900_000);
            Ok(())
        })
    };
    pin(&mut store.open()).unwrap();
    store
}

fn revoke(store: &Store) {
    let revoked = store
        .open()
        .change(|store, now| store.revoke(ROMEO_BARE, romeos(), now));
    revoked.unwrap();
}

/// Why a key was refused: in the handshake, or in an established session.
fn refusal(closed: &Closed) -> Option<&TrustError> {
    match &closed.why {
        Why::Session(Ended::Tls(TlsError::Trust(why))) => Some(why),
        Why::Session(Ended::Untrusted(why)) => Some(why),
        _ => None,
    }
}

fn is_revoked(closed: &Closed) -> bool {
    matches!(refusal(closed), Some(TrustError::Revoked { .. }))
}

/// Romeo opens again, and is refused.
async fn refused_again(romeo: &Party, juliet: &mut Party) {
    let _own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let mut theirs = juliet.incoming.next().await.unwrap();
    let (told, closed) = rest(&mut theirs).await;
    assert!(is_revoked(&closed), "{closed:?}");
    assert_eq!(told, []);
}

async fn both(store: &Store, limits: Limits) -> (Relay, Party, Party) {
    let relay = Relay::start(limits);
    let romeo = romeo().on(&relay).await;
    let juliet = juliet().pins(store.open()).on(&relay).await;
    (relay, romeo, juliet)
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_a_standing_session_within_a_minute() {
    for policy in [Policy::Pinned, Policy::Ask, Policy::Tofu] {
        let store = verified();
        let relay = Relay::start(Limits::default());
        let romeo = romeo().on(&relay).await;
        let mut juliet = juliet().pins(store.open()).policy(policy).on(&relay).await;
        let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
        tokio::time::sleep(Duration::from_secs(100)).await;
        revoke(&store);
        let before = Instant::now();
        let (_, closed) = rest(&mut theirs).await;
        assert!(is_revoked(&closed), "{closed:?}");
        assert!(
            before.elapsed() <= Duration::from_secs(60),
            "{:?}",
            before.elapsed()
        );
        let (_, closed) = rest(&mut own).await;
        assert!(!closed.clean);
    }
}

#[tokio::test(start_paused = true)]
async fn it_does_so_without_a_word_of_anybody_and_while_the_owner_takes_nothing() {
    let store = verified();
    let (_relay, romeo, mut juliet) = both(&store, Limits::default()).await;
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    let sender = own.sender();
    let flood = tokio::spawn(async move {
        for number in 0..1_000 {
            if sender.send(numbered(number, 1_000)).await.is_err() {
                return;
            }
        }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    revoke(&store);
    tokio::time::sleep(Duration::from_secs(60)).await;
    // What was delivered before is there; nothing has arrived since.
    let (told, closed) = rest(&mut theirs).await;
    assert!(is_revoked(&closed), "{closed:?}");
    assert!(ids(&told).len() < 1_000);
    flood.abort();
}

/// Counting an attempt reads the file: what it finds there must reach the code that judges.
#[tokio::test(start_paused = true)]
async fn a_revocation_that_is_found_on_the_way_counts() {
    let store = verified();
    let (_relay, romeo, mut juliet) = both(&store, Limits::default()).await;
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    revoke(&store);
    own.verify(Compare::Words).await.unwrap();
    theirs.verify(Compare::Words).await.unwrap();
    let before = Instant::now();
    let (_, closed) = rest(&mut theirs).await;
    assert!(is_revoked(&closed), "{closed:?}");
    assert!(before.elapsed() < Duration::from_secs(1));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        refused_again(&romeo, &mut juliet).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_revoked_during_the_handshake_is_refused_for_good() {
    let store = verified();
    let slow = Limits::default().latency(Duration::from_secs(1));
    let (_relay, romeo, mut juliet) = both(&store, slow).await;
    let _own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let mut theirs = juliet.incoming.next().await.unwrap();
    revoke(&store);
    let (told, closed) = rest(&mut theirs).await;
    assert!(is_revoked(&closed), "{closed:?}");
    assert_eq!(told, []);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        refused_again(&romeo, &mut juliet).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_original_flow_reads_the_pins_as_the_letters_does() {
    for original in [false, true] {
        let store = verified();
        let relay = Relay::start(Limits::default());
        let romeo = romeo().original(original).on(&relay).await;
        let mut juliet = juliet()
            .pins(store.open())
            .original(original)
            .on(&relay)
            .await;
        revoke(&store);
        refused_again(&romeo, &mut juliet).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_exchanged_lets_the_new_one_in_and_not_the_old_one() {
    let store = verified();
    let (relay, romeo, mut juliet) = both(&store, Limits::default()).await;
    let (_own, mut theirs) = established(&romeo, &mut juliet).await;
    let other = keys::fingerprint(ROMEO, 7);
    let exchanged = store.open().change(|store, now| {
        store.forget(ROMEO_BARE);
        store.pin(ROMEO_BARE, other, FINGERPRINT, now)
    });
    exchanged.unwrap();
    let (_, closed) = rest(&mut theirs).await;
    assert!(
        matches!(refusal(&closed), Some(TrustError::KeyChanged { .. })),
        "{closed:?}"
    );
    romeo.client.stop().await;
    romeo.task.await.unwrap().unwrap();
    let romeo = crate::world::romeo().key(7).on(&relay).await;
    established(&romeo, &mut juliet).await;
}

/// Something that another program does, or this one.
#[derive(Debug, Clone, Copy)]
enum Act {
    Revoke(u8),
    Forget,
    Pin(u8),
    Doubt(u8),
    /// This program counts an attempt, which reads the file.
    Attempt,
    Wait,
    Open,
}

fn act() -> impl Strategy<Value = Act> {
    let key = prop_oneof![3 => Just(1_u8), 1 => Just(7_u8)];
    prop_oneof![
        1 => key.clone().prop_map(Act::Revoke),
        2 => Just(Act::Forget),
        3 => key.clone().prop_map(Act::Pin),
        1 => key.prop_map(Act::Doubt),
        1 => Just(Act::Attempt),
        1 => Just(Act::Wait),
        4 => Just(Act::Open),
    ]
}

fn apply(pins: &mut Pins, act: Act) {
    let key = |number| keys::fingerprint(ROMEO, number);
    // A change that the rules forbid has no effect.
    let _ = pins.change(|store, now| match act {
        Act::Revoke(number) => store.revoke(ROMEO_BARE, key(number), now),
        Act::Pin(number) => store.pin_another(ROMEO_BARE, key(number), FINGERPRINT, now),
        Act::Doubt(number) => store.doubt_key(ROMEO_BARE, key(number), Method::Words, now),
        Act::Forget => {
            store.forget(ROMEO_BARE);
            Ok(())
        }
        Act::Attempt | Act::Wait | Act::Open => Ok(()),
    });
}

/// Whether the current file lets Romeo in.
fn welcome(store: &Store) -> bool {
    let store = store.open().store();
    matches!(store.judge(ROMEO_BARE, &romeos()), Judgement::Pinned(_))
}

/// Romeo opens: Juliet judges by the file at that moment.
async fn opens(store: &Store, romeo: &Party, juliet: &mut Party) -> Option<[Tunnel; 2]> {
    let own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let mut theirs = juliet.incoming.next().await.unwrap();
    let told = next(&mut theirs).await;
    match told {
        TunnelEvent::Established(_) => assert!(welcome(store), "let in against the file"),
        TunnelEvent::Closed(_) => assert!(!welcome(store), "refused against the file"),
        other => panic!("{other:?}"),
    }
    matches!(told, TunnelEvent::Established(_)).then_some([own, theirs])
}

async fn run(acts: &[Act]) {
    let store = verified();
    let (_relay, romeo, mut juliet) = both(&store, Limits::default()).await;
    let mut other = store.open();
    let mut tunnel: Option<[Tunnel; 2]> = None;
    for act in acts {
        match act {
            Act::Open if tunnel.is_none() => tunnel = opens(&store, &romeo, &mut juliet).await,
            Act::Attempt => {
                if let Some([own, theirs]) = &tunnel {
                    let _ = own.verify(Compare::Words).await;
                    let _ = theirs.verify(Compare::Words).await;
                }
            }
            Act::Wait => tokio::time::sleep(Duration::from_secs(60)).await,
            act => apply(&mut other, *act),
        }
        // A tunnel that is still open a minute later is allowed by the file.
        if let Some([_, theirs]) = &mut tunnel
            && (!welcome(&store) || matches!(act, Act::Attempt))
        {
            let until = tokio::time::timeout(Duration::from_secs(60), ended(theirs)).await;
            assert_eq!(until.is_ok(), !welcome(&store), "{act:?}");
            if until.is_ok() {
                tunnel = None;
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
    }
}

async fn ended(tunnel: &mut Tunnel) {
    while let Some(what) = tunnel.next().await {
        if let TunnelEvent::Verify(Verify::Failed { .. }) = &what {
            continue;
        }
        if matches!(what, TunnelEvent::Closed(_)) {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever two programs do to the pins, in any order: the file decides who may open, and which tunnels stay.
    #[test]
    fn what_the_router_believes_is_the_file(acts in proptest::collection::vec(act(), 1..10)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(&acts));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_is_forgotten_takes_its_session_where_pins_are_required() {
    for policy in [Policy::Pinned, Policy::Ask] {
        let store = verified();
        let relay = Relay::start(Limits::default());
        let romeo = romeo().on(&relay).await;
        let mut juliet = juliet().pins(store.open()).policy(policy).on(&relay).await;
        let (own, mut theirs) = established(&romeo, &mut juliet).await;
        store
            .open()
            .change(|store, _| Ok(store.forget(ROMEO_BARE)))
            .unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        if policy == Policy::Pinned {
            let (_, closed) = rest(&mut theirs).await;
            assert!(
                matches!(refusal(&closed), Some(TrustError::NotPinned { .. })),
                "{closed:?}"
            );
        } else {
            own.send(message("m1", "word")).await.unwrap();
            assert_eq!(stanza(&mut theirs).await, "m1");
        }
    }
}
