use super::{ATTEMPT_LIFE, MAX_ATTEMPTS, MAX_KEPT};
use crate::{
    Fingerprint,
    trust::{Level, Method, PinError, Store},
};

const BOB: &str = "bob@example.net";
const EVE: &str = "eve@example.net";

fn key(byte: u8) -> Fingerprint {
    Fingerprint::of_spki(&[byte])
}

/// Through the text form, as a restart does it.
fn restarted(store: &Store) -> Store {
    Store::parse(&store.to_text()).unwrap()
}

fn locked() -> Store {
    let mut store = Store::new();
    for (at, left) in (1000..).zip((0..MAX_ATTEMPTS).rev()) {
        assert_eq!(store.attempt(BOB, None, at), Ok(left));
        store = restarted(&store);
    }
    store
}

#[test]
fn the_fourth_attempt_in_a_day_is_refused_also_after_a_restart() {
    let mut store = locked();
    let refused = PinError::Locked {
        jid: BOB.to_owned(),
        failed: 3,
        last: 1002,
    };
    assert_eq!(
        store.attempt("Bob@Example.net", None, 1003),
        Err(refused.clone())
    );
    assert_eq!(
        restarted(&store).attempt(BOB, Some(1), 1000 + ATTEMPT_LIFE - 1),
        Err(refused)
    );
    // Other peers are not concerned.
    assert_eq!(store.attempt(EVE, None, 1003), Ok(2));
}

#[test]
fn an_attempt_is_forgotten_after_a_day() {
    let mut store = locked();
    assert_eq!(store.attempt(BOB, None, 1000 + ATTEMPT_LIFE), Ok(0));
    assert!(store.attempt(BOB, None, 1000 + ATTEMPT_LIFE).is_err());
    assert_eq!(store.failed(BOB), 3);
}

#[test]
fn forgetting_a_peer_gives_no_further_attempts() {
    let mut store = locked();
    store.pin(BOB, key(1), Level::FirstUse, 1003).unwrap();
    store.forget(BOB);
    assert!(store.attempt(BOB, None, 1004).is_err());
}

#[test]
fn a_clock_that_was_wrong_locks_for_a_day_at_most() {
    let mut store = Store::new();
    for _ in 0..3 {
        store.attempt(BOB, None, i64::MAX).unwrap();
    }
    assert!(store.attempt(BOB, None, 1000).is_err());
    assert!(store.attempt(BOB, None, 1000 + ATTEMPT_LIFE - 1).is_err());
    let mut store = restarted(&store);
    assert_eq!(store.attempt(BOB, None, 1000 + ATTEMPT_LIFE), Ok(2));
}

#[test]
fn a_code_serves_once_also_after_success_and_restart() {
    let mut store = Store::new();
    store.attempt(BOB, Some(7), 1000).unwrap();
    let used = || PinError::UsedCode {
        jid: BOB.to_owned(),
    };
    assert_eq!(store.attempt(BOB, Some(7), 1001), Err(used()));
    assert_eq!(store.failed(BOB), 1);
    store.verified(BOB, key(1), Method::Code, 1002).unwrap();
    assert_eq!(store.failed(BOB), 0);
    let mut store = restarted(&store);
    assert_eq!(store.attempt(BOB, Some(7), 1003), Err(used()));
    assert_eq!(store.attempt(BOB, Some(8), 1003), Ok(2));
    assert_eq!(store.attempt(EVE, Some(7), 1003), Ok(2));
}

#[test]
fn success_gives_three_new_attempts_and_names_the_method() {
    let mut store = Store::new();
    for _ in 0..3 {
        store.attempt(BOB, None, 1000).unwrap();
    }
    store.verified(BOB, key(1), Method::Words, 1001).unwrap();
    assert_eq!(
        store.of(BOB).first().map(|pin| (pin.level, pin.since)),
        Some((Level::Verified(Method::Words), 1001))
    );
    assert_eq!(store.attempt(BOB, None, 1002), Ok(2));
}

#[test]
fn what_may_not_be_pinned_is_not_verified_and_the_attempts_count_on() {
    let mut store = locked();
    store.pin(BOB, key(1), Level::FirstUse, 1003).unwrap();
    let error = store
        .verified(BOB, key(2), Method::Words, 1004)
        .unwrap_err();
    assert!(matches!(error, PinError::KnownJid { .. }), "{error}");
    assert!(store.verified(EVE, key(1), Method::Words, 1004).is_err());
    assert_eq!(store.failed(BOB), 3);
    assert!(store.attempt("no/jid", None, 1004).is_err());
}

#[test]
fn successes_push_out_no_failure() {
    let mut store = Store::new();
    store.attempt(BOB, None, 1000).unwrap();
    store.verified(BOB, key(1), Method::Words, 1000).unwrap();
    for tag in 0..16 {
        store.attempt(BOB, Some(tag), 1001).unwrap();
        store.verified(BOB, key(1), Method::Code, 1001).unwrap();
    }
    for _ in 0..3 {
        store.attempt(BOB, None, 1002).unwrap();
    }
    assert!(store.attempt(BOB, None, 1003).is_err());
    assert_eq!(store.to_text().matches("@try").count(), MAX_KEPT);
}
