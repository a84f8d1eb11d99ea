use super::{Doubt, MAX_DOUBTED, MAX_DOUBTS};
use crate::{
    Fingerprint,
    trust::{Judgement, Level, Method, PinError, Store},
};

const BOB: &str = "bob@example.net";
const EVE: &str = "eve@example.net";
const FINGERPRINT: Level = Level::Verified(Method::Fingerprint);

fn key(number: usize) -> Fingerprint {
    Fingerprint::of_spki(&number.to_be_bytes())
}

fn doubted(by: Method) -> Doubt {
    Doubt::new(key(1), by, 200)
}

/// A store in which Bob's key 1 is pinned at this level, if at one, and marked.
fn marked(level: Option<Level>, by: Method) -> Store {
    let mut store = Store::new();
    if let Some(level) = level {
        store.pin(BOB, key(1), level, 100).unwrap();
    }
    store.doubt_key("Bob@Example.net", key(1), by, 200).unwrap();
    Store::parse(&store.to_text()).unwrap()
}

const LEVELS: [Option<Level>; 3] = [None, Some(Level::FirstUse), Some(FINGERPRINT)];

#[test]
fn a_marked_key_is_doubted_whether_it_is_pinned_or_not_also_after_a_restart() {
    for level in LEVELS {
        for by in [Method::Words, Method::Code] {
            let store = marked(level, by);
            let doubt = doubted(by);
            assert_eq!(store.judge(BOB, &key(1)), Judgement::Doubted(&doubt));
            assert_eq!(store.doubts(BOB), [doubt]);
            assert_eq!(store.doubted().count(), 1);
        }
    }
}

#[test]
fn it_is_not_taken_on_first_use_nor_verified_after_words_have_differed() {
    for level in LEVELS {
        let mut store = marked(level, Method::Words);
        let before = store.clone();
        let words = Level::Verified(Method::Words);
        for level in [Level::FirstUse, words, Level::Verified(Method::Code)] {
            let refused = PinError::Doubted {
                jid: BOB.to_owned(),
                doubt: doubted(Method::Words),
            };
            assert_eq!(store.pin(BOB, key(1), level, 300), Err(refused.clone()));
            assert_eq!(store.pin_another(BOB, key(1), level, 300), Err(refused));
        }
        assert!(store.verified(BOB, key(1), Method::Words, 300).is_err());
        assert_eq!(store, before);
    }
}

#[test]
fn it_ends_with_a_fingerprint_a_revocation_or_forgetting() {
    for level in LEVELS {
        for by in [Method::Words, Method::Code] {
            let mut store = marked(level, by);
            store.pin(BOB, key(1), FINGERPRINT, 300).unwrap();
            assert!(matches!(store.judge(BOB, &key(1)), Judgement::Pinned(_)));
            assert_eq!(store.doubts(BOB), []);

            let mut store = marked(level, by);
            store.revoke(BOB, key(1), 300).unwrap();
            assert_eq!(store.judge(BOB, &key(1)), Judgement::Revoked);

            let mut store = marked(level, by);
            store.forget(BOB);
            assert_eq!(store, Store::new());

            let mut store = marked(level, by);
            assert!(store.forget_key(BOB, &key(1)));
            assert_eq!(store, Store::new());
        }
    }
}

#[test]
fn what_a_code_said_ends_with_a_verification_and_not_with_first_use() {
    for level in LEVELS {
        let mut store = marked(level, Method::Code);
        assert!(store.pin(BOB, key(1), Level::FirstUse, 300).is_err());
        store.verified(BOB, key(1), Method::Code, 300).unwrap();
        assert!(matches!(store.judge(BOB, &key(1)), Judgement::Pinned(_)));
    }
    assert!(!doubted(Method::Code).is_final());
    assert!(doubted(Method::Words).is_final());
}

#[test]
fn words_weigh_more_than_a_code() {
    let mut store = marked(None, Method::Code);
    store.doubt_key(BOB, key(1), Method::Words, 300).unwrap();
    assert!(store.doubts(BOB)[0].is_final());
    store.doubt_key(BOB, key(1), Method::Code, 400).unwrap();
    assert_eq!(store.doubts(BOB), [Doubt::new(key(1), Method::Words, 300)]);
}

#[test]
fn a_mark_is_on_one_key_of_one_address() {
    let mut store = marked(None, Method::Words);
    assert_eq!(store.judge(BOB, &key(2)), Judgement::Unknown);
    assert_eq!(store.judge(EVE, &key(1)), Judgement::Unknown);
    store.pin(BOB, key(2), Level::FirstUse, 300).unwrap();
    // Beside another key words still speak, and a code gives no way in.
    assert!(matches!(store.judge(BOB, &key(1)), Judgement::Doubted(_)));
    let mut store = marked(None, Method::Code);
    store.pin(BOB, key(2), Level::FirstUse, 300).unwrap();
    assert!(matches!(store.judge(BOB, &key(1)), Judgement::Changed(_)));
    // Revoked is more than doubted, and so is another's.
    let mut store = marked(None, Method::Words);
    store.pin(EVE, key(1), FINGERPRINT, 300).unwrap();
    assert_eq!(store.judge(BOB, &key(1)), Judgement::KeyOfAnother(EVE));
    assert!(
        Store::new()
            .doubt_key("no/jid", key(1), Method::Words, 0)
            .is_err()
    );
}

#[test]
fn at_most_16_keys_of_an_address_are_marked_and_codes_go_first() {
    let mut store = Store::new();
    store.doubt_key(BOB, key(0), Method::Words, 0).unwrap();
    store.doubt_key(BOB, key(1), Method::Code, 1).unwrap();
    for number in 2..MAX_DOUBTS {
        store.doubt_key(BOB, key(number), Method::Words, 2).unwrap();
    }
    assert_eq!(store.doubts(BOB).len(), MAX_DOUBTS);
    store.doubt_key(BOB, key(100), Method::Words, 3).unwrap();
    assert_eq!(store.judge(BOB, &key(1)), Judgement::Unknown);
    store.doubt_key(BOB, key(101), Method::Words, 3).unwrap();
    assert_eq!(store.judge(BOB, &key(0)), Judgement::Unknown);
    assert_eq!(store.doubts(BOB).len(), MAX_DOUBTS);
}

#[test]
fn at_most_1024_addresses_have_marks_and_the_oldest_goes_first() {
    let mut store = Store::new();
    let jid = |number: usize| format!("p{number}@x.example");
    for number in 0..MAX_DOUBTED {
        let at = i64::try_from(number).unwrap();
        store
            .doubt_key(&jid(number), key(number), Method::Words, at)
            .unwrap();
    }
    assert_eq!(store.doubted().count(), MAX_DOUBTED);
    // A revocation is no mark, and never goes.
    store.revoke(&jid(0), key(7), 0).unwrap();
    store.doubt_key(EVE, key(1), Method::Words, 5_000).unwrap();
    assert_eq!(store.doubted().count(), MAX_DOUBTED);
    assert_eq!(store.doubts(&jid(0)), []);
    assert_eq!(store.judge(&jid(0), &key(7)), Judgement::Revoked);
    assert_eq!(store.doubts(&jid(1)).len(), 1);
}
