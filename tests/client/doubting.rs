//! Keys that failed a comparison.

use xtls_client::relay::Limits;
use xtls_client::router::{JudgeError as Stale, TunnelEvent, Why};
use xtls_client::{JudgeError, Relay, Tunnel};
use xtls_session::{Compare, JudgeError as NotTaken, Run, Verdict, Verify, Why as Ended};
use xtls_stanza::verify::Reason;
use xtls_tests::keys::{self, JULIET};
use xtls_tls::TlsError;
use xtls_tls::trust::{Doubt, Level, Method, Policy, TrustError};
use xtls_tls::verify::Code;

use crate::trust::{ROMEO_BARE, Store, introduction, romeos};
use crate::world::*;

async fn pair(store: &Store, policy: Policy) -> (Relay, Party, Party) {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let juliet = juliet().pins(store.open()).policy(policy).on(&relay).await;
    (relay, romeo, juliet)
}

async fn opened(romeo: &Party, juliet: &mut Party) -> (Tunnel, Tunnel) {
    let own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    (own, juliet.incoming.next().await.unwrap())
}

fn code(text: &str) -> Compare {
    Compare::Code(Code::new(text).unwrap())
}

fn marks(store: &Store) -> Vec<(Method, bool)> {
    let store = store.open().store();
    let marks = store.doubts(ROMEO_BARE).iter();
    marks
        .map(|doubt| (doubt.by, doubt.fingerprint == romeos()))
        .collect()
}

/// The run that waits for the person's answer about its words.
async fn compared(tunnel: &mut Tunnel) -> Run {
    loop {
        match next(tunnel).await {
            TunnelEvent::Verify(Verify::Compare { run, .. }) => return run,
            TunnelEvent::Closed(closed) => panic!("{closed:?}"),
            _ => {}
        }
    }
}

async fn begun(own: &mut Tunnel, theirs: &mut Tunnel) -> [Run; 2] {
    own.verify(Compare::Words).await.unwrap();
    theirs.verify(Compare::Words).await.unwrap();
    [compared(own).await, compared(theirs).await]
}

fn is_doubted(why: &Why) -> bool {
    match why {
        Why::Session(Ended::Untrusted(why)) => matches!(**why, TrustError::Doubted { .. }),
        Why::Session(Ended::Tls(TlsError::Trust(why))) => matches!(why, TrustError::Doubted { .. }),
        _ => false,
    }
}

const LEVELS: [Option<Level>; 3] = [
    None,
    Some(Level::FirstUse),
    Some(Level::Verified(Method::Fingerprint)),
];

/// A store that knows Romeo's key at this level.
fn knows(level: Option<Level>) -> Store {
    let store = Store::new();
    if let Some(level) = level {
        let pinned = store
            .open()
            .change(|store, now| store.pin(ROMEO_BARE, romeos(), level, now));
        pinned.unwrap();
    }
    store
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_words_differed_is_refused_under_every_policy_until_it_is_pinned() {
    for level in LEVELS {
        for theirs_says in [true, false] {
            let store = knows(level);
            let (relay, romeo, mut juliet) = pair(&store, Policy::Ask).await;
            let (mut own, mut theirs) = opened(&romeo, &mut juliet).await;
            if level.is_none() {
                introduction(&mut theirs).await;
            } else {
                until_established(&mut theirs).await;
            }
            let runs = begun(&mut own, &mut theirs).await;
            let said = if theirs_says {
                theirs.verify_cancel(runs[1], Reason::Mismatch).await
            } else {
                own.verify_cancel(runs[0], Reason::Mismatch).await
            };
            said.unwrap();
            let (told, closed) = rest(&mut theirs).await;
            // The end that says no first may be seen to refuse the key as well.
            let denied = matches!(closed.why, Why::Session(Ended::Tls(TlsError::Alert(_))));
            assert!(
                is_doubted(&closed.why) || (!theirs_says && denied),
                "{closed:?}"
            );
            let failed =
                |what: &TunnelEvent| matches!(what, TunnelEvent::Verify(Verify::Failed { .. }));
            assert!(told.iter().any(failed), "{told:?}");
            assert_eq!(marks(&store), [(Method::Words, true)]);
            // The other end as well: it was told.
            let (_, closed) = rest(&mut own).await;
            assert!(!closed.clean);
            drop((romeo, juliet, relay));

            for policy in [Policy::Ask, Policy::Tofu, Policy::Pinned] {
                let (_relay, romeo, mut juliet) = pair(&store, policy).await;
                let (_own, mut theirs) = opened(&romeo, &mut juliet).await;
                let (told, closed) = rest(&mut theirs).await;
                assert!(is_doubted(&closed.why), "{level:?} {policy:?}: {closed:?}");
                assert_eq!(told, []);
            }
            let pinned = store.open().change(|store, now| {
                store.pin(
                    ROMEO_BARE,
                    romeos(),
                    Level::Verified(Method::Fingerprint),
                    now,
                )
            });
            pinned.unwrap();
            let (_relay, romeo, mut juliet) = pair(&store, Policy::Pinned).await;
            established(&romeo, &mut juliet).await;
            assert_eq!(marks(&store), []);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_broken_off_marks_nothing() {
    for way in [
        "declined",
        "failed",
        "closed",
        "aborted",
        "late",
        "before it was compared",
    ] {
        let store = knows(Some(Level::FirstUse));
        let (_relay, romeo, mut juliet) = pair(&store, Policy::Pinned).await;
        let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
        if way == "before it was compared" {
            let run = own.verify(Compare::Words).await.unwrap();
            assert!(matches!(
                next(&mut theirs).await,
                TunnelEvent::Verify(Verify::Asked { .. })
            ));
            own.verify_cancel(run, Reason::Mismatch).await.unwrap();
        } else {
            let runs = begun(&mut own, &mut theirs).await;
            match way {
                "declined" => own.verify_cancel(runs[0], Reason::Declined).await.unwrap(),
                "failed" => theirs.verify_cancel(runs[1], Reason::Failed).await.unwrap(),
                "closed" => own.close().await,
                "aborted" => own.abort().await,
                _ => tokio::time::sleep(LONG).await,
            }
        }
        loop {
            if let TunnelEvent::Verify(Verify::Failed { .. }) = next(&mut theirs).await {
                break;
            }
        }
        assert_eq!(marks(&store), [], "{way}");
        drop((own, theirs));
        tokio::time::sleep(LONG).await;
        established(&romeo, &mut juliet).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_code_that_does_not_fit_leaves_only_another_verification_open() {
    for level in LEVELS {
        let store = knows(level);
        let (_relay, romeo, mut juliet) = pair(&store, Policy::Ask).await;
        let (own, mut theirs) = opened(&romeo, &mut juliet).await;
        if level.is_none() {
            introduction(&mut theirs).await;
        } else {
            until_established(&mut theirs).await;
        }
        own.verify(code("correct horse")).await.unwrap();
        theirs.verify(code("correct house")).await.unwrap();
        // Romeo knows Juliet, and refuses a key that doesn't match, as she does.
        let (told, closed) = rest(&mut theirs).await;
        let failed =
            |what: &TunnelEvent| matches!(what, TunnelEvent::Verify(Verify::Failed { .. }));
        assert!(told.iter().any(failed), "{told:?}");
        let denied = matches!(closed.why, Why::Session(Ended::Tls(TlsError::Alert(_))));
        assert!(is_doubted(&closed.why) || denied, "{closed:?}");
        assert_eq!(marks(&store), [(Method::Code, true)]);
        drop((own, theirs, romeo, juliet));

        // Romeo, whose store is separate, has forgotten it.
        for policy in [Policy::Tofu, Policy::Ask] {
            let (_relay, romeo, mut juliet) = pair(&store, policy).await;
            let (own, mut theirs) = opened(&romeo, &mut juliet).await;
            let asked = introduction(&mut theirs).await;
            assert!(
                matches!(
                    asked.doubt,
                    Some(Doubt {
                        by: Method::Code,
                        ..
                    })
                ),
                "{asked:?}"
            );
            let judged = theirs.judge(romeos(), Verdict::Accept).await;
            let doubted = Stale::Session(NotTaken::Doubted);
            assert!(
                matches!(&judged, Err(JudgeError::Stale(why)) if *why == doubted),
                "{judged:?}"
            );
            if policy == Policy::Ask {
                own.verify(code("battery staple")).await.unwrap();
                theirs.verify(code("battery staple")).await.unwrap();
                until_done(&mut theirs).await;
                until_established(&mut theirs).await;
            }
        }
        assert_eq!(marks(&store), []);
        let level = store.open().store().of(ROMEO_BARE)[0].level;
        assert_eq!(level, Level::Verified(Method::Code));
    }
}

async fn until_done(tunnel: &mut Tunnel) {
    loop {
        match next(tunnel).await {
            TunnelEvent::Verify(Verify::Done { .. }) => return,
            TunnelEvent::Closed(closed) => panic!("{closed:?}"),
            _ => {}
        }
    }
}

/// A mark that can't be written is reported, and the session ends all the same.
#[tokio::test(start_paused = true)]
async fn a_mark_that_cannot_be_written_ends_the_session_all_the_same() {
    let store = knows(Some(Level::FirstUse));
    let (_relay, romeo, mut juliet) = pair(&store, Policy::Pinned).await;
    let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
    let runs = begun(&mut own, &mut theirs).await;
    std::fs::write(store.path(), "xtls-trust 2\n").unwrap();
    theirs
        .verify_cancel(runs[1], Reason::Mismatch)
        .await
        .unwrap();
    let (told, closed) = rest(&mut theirs).await;
    assert!(is_doubted(&closed.why), "{closed:?}");
    assert!(
        told.iter()
            .any(|what| matches!(what, TunnelEvent::NotVerified(_))),
        "{told:?}"
    );
}

/// An end that can't ask its person declines before anything is counted.
#[tokio::test(start_paused = true)]
async fn a_wish_that_is_declined_is_no_attempt() {
    let store = knows(Some(Level::FirstUse));
    let (_relay, romeo, mut juliet) = pair(&store, Policy::Pinned).await;
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    for _ in 0..5 {
        own.verify(Compare::Words).await.unwrap();
        let TunnelEvent::Verify(Verify::Asked { run, .. }) = next(&mut theirs).await else {
            panic!("a wish comes first");
        };
        theirs.verify_cancel(run, Reason::Declined).await.unwrap();
        let failed = next(&mut theirs).await;
        assert!(matches!(
            failed,
            TunnelEvent::Verify(Verify::Failed { counted: false, .. })
        ));
    }
    assert_eq!(store.open().store().failed(ROMEO_BARE), 0);
}
