use super::{Judgement, Level, Method, Pin, PinError, Store, TrustError};
use crate::{Fingerprint, JidError};

const BOB: &str = "bob@example.net";
const EVE: &str = "eve@example.net";
const VERIFIED: Level = Level::Verified(Method::Words);

fn key(byte: u8) -> Fingerprint {
    Fingerprint::of_spki(&[byte])
}

fn with(jid: &str, pins: &[(u8, Level)]) -> Store {
    let mut store = Store::new();
    for (byte, level) in pins {
        store.pin_another(jid, key(*byte), *level, 100).unwrap();
    }
    store
}

#[test]
fn nobody_is_known_at_first() {
    let store = Store::new();
    assert_eq!(store.judge(BOB, &key(1)), Judgement::Unknown);
    assert_eq!(store.of(BOB), []);
    assert_eq!(store.list().count(), 0);
}

#[test]
fn a_pinned_key_is_known_in_any_case_of_letters() {
    let mut store = Store::new();
    store
        .pin("Bob@Example.NET", key(1), Level::FirstUse, 100)
        .unwrap();
    let pin = Pin {
        fingerprint: key(1),
        level: Level::FirstUse,
        first_seen: 100,
        since: 100,
        last_seen: Some(100),
    };
    assert_eq!(store.judge(BOB, &key(1)), Judgement::Pinned(&pin));
    assert_eq!(
        store.judge("BOB@EXAMPLE.NET", &key(1)),
        Judgement::Pinned(&pin)
    );
    assert_eq!(store.list().collect::<Vec<_>>(), [(BOB, &[pin][..])]);
}

#[test]
fn another_key_of_a_known_jid_is_a_change() {
    for level in [Level::FirstUse, VERIFIED, Level::Revoked] {
        let store = with(BOB, &[(1, level)]);
        assert_eq!(
            store.judge(BOB, &key(2)),
            Judgement::Changed(store.of(BOB)),
            "{level}"
        );
    }
}

#[test]
fn a_key_of_another_jid_is_noticed_before_anything_else() {
    let mut store = with(EVE, &[(1, VERIFIED)]);
    assert_eq!(store.judge(BOB, &key(1)), Judgement::KeyOfAnother(EVE));
    store.pin(BOB, key(2), VERIFIED, 100).unwrap();
    assert_eq!(store.judge(BOB, &key(1)), Judgement::KeyOfAnother(EVE));
}

#[test]
fn a_revoked_key_is_revoked_for_everybody() {
    let store = with(EVE, &[(1, VERIFIED), (2, Level::Revoked)]);
    assert_eq!(store.judge(EVE, &key(2)), Judgement::Revoked);
    assert_eq!(store.judge(BOB, &key(2)), Judgement::Revoked);
    assert_eq!(store.judge("not a jid", &key(2)), Judgement::Revoked);
}

#[test]
fn a_pin_is_never_overwritten() {
    for level in [Level::FirstUse, VERIFIED, Level::Revoked] {
        let mut store = with(BOB, &[(1, level)]);
        let before = store.clone();
        for new in [Level::FirstUse, VERIFIED] {
            let error = store.pin(BOB, key(2), new, 200).unwrap_err();
            assert_eq!(
                error,
                PinError::KnownJid {
                    jid: BOB.to_owned(),
                    known: before.of(BOB).to_vec(),
                    key: key(2)
                }
            );
        }
        assert_eq!(store, before);
    }
}

#[test]
fn a_key_that_is_revoked_is_told_with_whose_it_was() {
    let mut store = with(EVE, &[(1, Level::Revoked)]);
    let before = store.clone();
    let error = || PinError::Revoked {
        jid: BOB.to_owned(),
        owner: EVE.to_owned(),
        key: key(1),
    };
    assert_eq!(store.pin(BOB, key(1), VERIFIED, 200), Err(error()));
    assert_eq!(store.pin_another(BOB, key(1), VERIFIED, 200), Err(error()));
    assert_eq!(store.revoke(BOB, key(1), 200), Err(error()));
    assert_eq!(store, before);
    // Its owner's once more is no fault.
    store.revoke(EVE, key(1), 300).unwrap();
}

#[test]
fn a_key_that_was_never_met_was_never_seen() {
    let mut store = Store::new();
    let level = Level::Verified(Method::Fingerprint);
    store.pin(BOB, key(1), level, 100).unwrap();
    let last = |store: &Store| store.of(BOB).first().map(|pin| pin.last_seen);
    assert_eq!(last(&store), Some(None));
    assert!(store.of(BOB)[0].to_string().ends_with("never met)"));
    store.pin(BOB, key(1), level, 200).unwrap();
    assert_eq!(last(&store), Some(None));
    store.touch(BOB, &key(1), 300);
    assert_eq!(last(&store), Some(Some(300)));
}

#[test]
fn a_day_takes_so_many_first_uses_and_no_more() {
    let mut store = Store::new();
    store.limit_first_uses(3);
    let (noon, day) = (43_200, 86_400);
    let pin = |store: &mut Store, number: u8, level, now| {
        store.pin(&format!("p{number}@x.example"), key(number), level, now)
    };
    for number in 0..3 {
        pin(&mut store, number, Level::FirstUse, noon).unwrap();
    }
    let full = Err(PinError::FirstUses { limit: 3 });
    assert_eq!(pin(&mut store, 3, Level::FirstUse, noon), full);
    // Known ones are not counted again, and a restart forgets nothing.
    pin(&mut store, 0, Level::FirstUse, noon).unwrap();
    let mut again = Store::parse(&store.to_text()).unwrap();
    again.limit_first_uses(3);
    assert_eq!(pin(&mut again, 3, Level::FirstUse, day - 1), full);
    // What somebody has compared is no first use; and there is another day.
    pin(&mut store, 3, VERIFIED, noon).unwrap();
    pin(&mut store, 4, Level::FirstUse, day).unwrap();
    pin(&mut store, 1, VERIFIED, noon).unwrap();
    pin(&mut store, 5, Level::FirstUse, noon).unwrap();
    assert_eq!(super::FIRST_USES, 1_000);
}

#[test]
fn a_copy_is_left_alone_and_differs_in_what_was_changed() {
    let store = with(BOB, &[(1, VERIFIED)]);
    let mut other = store.clone();
    other.pin(EVE, key(2), VERIFIED, 200).unwrap();
    other.attempt("nurse@example.net", None, 200).unwrap();
    assert_eq!(
        other.differences(&store),
        [EVE, "nurse@example.net"].map(Into::into)
    );
    assert_eq!(store.of(EVE), []);
    other.forget(EVE);
    assert_eq!(
        other.differences(&store),
        ["nurse@example.net"].map(Into::into)
    );
}

#[test]
fn several_keys_are_explicit_and_never_first_use() {
    let mut store = with(BOB, &[(1, VERIFIED)]);
    assert!(matches!(
        store.pin_another(BOB, key(2), Level::FirstUse, 200),
        Err(PinError::KnownJid { .. })
    ));
    store.pin_another(BOB, key(2), VERIFIED, 200).unwrap();
    assert!(matches!(store.judge(BOB, &key(1)), Judgement::Pinned(_)));
    assert!(matches!(store.judge(BOB, &key(2)), Judgement::Pinned(_)));
    assert!(matches!(store.judge(BOB, &key(3)), Judgement::Changed(known) if known.len() == 2));
}

#[test]
fn a_key_belongs_to_one_jid() {
    let mut store = with(EVE, &[(1, Level::FirstUse)]);
    let before = store.clone();
    let error = PinError::KeyOfAnother {
        jid: BOB.to_owned(),
        owner: EVE.to_owned(),
        key: key(1),
    };
    assert_eq!(store.pin(BOB, key(1), VERIFIED, 200), Err(error.clone()));
    assert_eq!(
        store.pin_another(BOB, key(1), VERIFIED, 200),
        Err(error.clone())
    );
    assert_eq!(store.revoke(BOB, key(1), 200), Err(error));
    assert_eq!(store, before);
}

#[test]
fn a_level_rises_and_never_falls() {
    let mut store = with(BOB, &[(1, Level::FirstUse)]);
    store.pin(BOB, key(1), VERIFIED, 200).unwrap();
    assert_eq!(
        store.of(BOB),
        [Pin {
            fingerprint: key(1),
            level: VERIFIED,
            first_seen: 100,
            since: 200,
            last_seen: Some(200)
        }]
    );
    store.pin(BOB, key(1), Level::FirstUse, 300).unwrap();
    assert_eq!(
        store.of(BOB),
        [Pin {
            fingerprint: key(1),
            level: VERIFIED,
            first_seen: 100,
            since: 200,
            last_seen: Some(300)
        }]
    );
    store.revoke(BOB, key(1), 400).unwrap();
    assert_eq!(
        store.of(BOB),
        [Pin {
            fingerprint: key(1),
            level: Level::Revoked,
            first_seen: 100,
            since: 400,
            last_seen: Some(300)
        }]
    );
    assert_eq!(
        store.pin(BOB, key(1), VERIFIED, 500),
        Err(PinError::Revoked {
            jid: BOB.to_owned(),
            owner: BOB.to_owned(),
            key: key(1)
        })
    );
}

#[test]
fn a_key_that_is_verified_again_is_verified_by_the_latest_method() {
    let mut store = with(BOB, &[(1, Level::Verified(Method::Code))]);
    store
        .pin(BOB, key(1), Level::Verified(Method::Fingerprint), 200)
        .unwrap();
    let pin = store.of(BOB).first().unwrap();
    assert_eq!(
        (pin.level, pin.since),
        (Level::Verified(Method::Fingerprint), 200)
    );
    // A clock that was set back does not put it before the first meeting.
    store.pin(BOB, key(1), VERIFIED, 50).unwrap();
    assert_eq!(store.of(BOB).first().map(|pin| pin.since), Some(100));
}

#[test]
fn a_key_can_be_revoked_before_it_was_seen() {
    let mut store = Store::new();
    store.revoke(BOB, key(1), 100).unwrap();
    assert_eq!(store.judge(BOB, &key(1)), Judgement::Revoked);
    assert!(matches!(
        store.pin(BOB, key(2), Level::FirstUse, 200),
        Err(PinError::KnownJid { .. })
    ));
    store.pin_another(BOB, key(2), VERIFIED, 200).unwrap();
}

#[test]
fn forgetting_keeps_revoked_keys() {
    let mut store = with(BOB, &[(1, VERIFIED), (2, VERIFIED), (3, Level::Revoked)]);
    assert_eq!(store.forget("Bob@example.net"), 2);
    assert_eq!(store.judge(BOB, &key(3)), Judgement::Revoked);
    assert!(matches!(store.judge(BOB, &key(1)), Judgement::Changed(_)));
    assert_eq!(store.forget(BOB), 0);
    assert!(store.forget_key(BOB, &key(3)));
    assert!(!store.forget_key(BOB, &key(3)));
    assert_eq!(store, Store::new());
}

#[test]
fn a_forgotten_jid_is_new_again() {
    let mut store = with(BOB, &[(1, VERIFIED)]);
    assert_eq!(store.forget(BOB), 1);
    assert_eq!(store.judge(BOB, &key(2)), Judgement::Unknown);
    assert_eq!(store.forget("nobody@example.net"), 0);
    assert_eq!(store.forget("no/jid"), 0);
}

#[test]
fn meetings_are_noted_and_time_never_runs_back() {
    let mut store = with(BOB, &[(1, VERIFIED), (2, Level::Revoked)]);
    assert!(store.touch(BOB, &key(1), 500));
    assert!(store.touch(BOB, &key(1), 50));
    assert_eq!(
        store
            .of(BOB)
            .first()
            .map(|pin| (pin.first_seen, pin.last_seen)),
        Some((100, Some(500)))
    );
    assert!(!store.touch(BOB, &key(2), 500));
    assert!(!store.touch(BOB, &key(3), 500));
    assert!(!store.touch(EVE, &key(1), 500));
}

#[test]
fn what_is_no_bare_jid_cannot_be_pinned() {
    let error = Store::new()
        .pin("bob@example.net/phone", key(1), VERIFIED, 100)
        .unwrap_err();
    assert_eq!(
        error,
        PinError::Jid {
            jid: "bob@example.net/phone".to_owned(),
            why: JidError::Resource
        }
    );
}

#[test]
fn a_changed_key_is_told_with_names_keys_dates_and_what_to_do() {
    let store = with(BOB, &[(1, VERIFIED)]);
    let error = TrustError::KeyChanged {
        peer: BOB.to_owned(),
        known: store.of(BOB).to_vec(),
        presented: key(2),
    };
    let text = error.to_string();
    for part in [
        BOB,
        &key(1).grouped(),
        &key(2).grouped(),
        "verified by words on 1970-01-01",
        "first seen 1970-01-01",
        "forget",
        "pin",
    ] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}
