use proptest::{collection, prelude::*, sample};

use super::{Ledger, Store, StoreError, StoreRule};
use crate::{
    Fingerprint,
    trust::{Level, Method, Pin},
};

mod first;

const LEVELS: [Level; 5] = [
    Level::FirstUse,
    Level::Verified(Method::Fingerprint),
    Level::Verified(Method::Words),
    Level::Verified(Method::Code),
    Level::Revoked,
];

fn sample_store() -> Store {
    let mut store = Store::new();
    for (at, level) in (0_u8..).zip(LEVELS) {
        let jid = format!("{}@example.net", char::from(b'a' + at));
        store
            .pin_another(&jid, Fingerprint::of_spki(&[at]), level, 1_700_000_000)
            .unwrap();
        store.touch(&jid, &Fingerprint::of_spki(&[at]), 1_700_000_001);
    }
    store
        .pin_another(
            "a@example.net",
            Fingerprint::of_spki(b"second"),
            LEVELS[1],
            -5,
        )
        .unwrap();
    store.attempt("b@example.net", None, 1_700_000_000).unwrap();
    store
        .verified(
            "b@example.net",
            Fingerprint::of_spki(&[1]),
            Method::Words,
            1_700_000_001,
        )
        .unwrap();
    store
        .attempt("b@example.net", Some(7), 1_700_000_002)
        .unwrap();
    store.attempt("c@example.net", None, 1_700_000_003).unwrap();
    let key = Fingerprint::of_spki(b"doubted");
    store
        .doubt_key("c@example.net", key, Method::Code, 1_700_000_004)
        .unwrap();
    store
        .doubt_key("z@example.net", key, Method::Words, 1_700_000_004)
        .unwrap();
    let level = Level::Verified(Method::Fingerprint);
    store
        .pin("never.example", Fingerprint::of_spki(b"never"), level, 7)
        .unwrap();
    store
}

/// Lines with a fitting head.
fn sealed(lines: &[&str]) -> String {
    let records: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut ledger = Ledger::default();
    ledger.count(&records);
    ledger.head() + &records
}

fn rule(text: &str) -> (usize, StoreRule) {
    let StoreError { line, rule } = Store::parse(text).unwrap_err();
    (line, rule)
}

#[test]
fn the_form_is_fixed() {
    let mut store = Store::new();
    let jid = "Bob@example.net";
    store
        .pin(jid, Fingerprint::of_spki(b""), LEVELS[2], 1_228_694_400)
        .unwrap();
    let key = Fingerprint::of_spki(b"other");
    store
        .doubt_key(jid, key, Method::Code, 1_228_694_401)
        .unwrap();
    store.attempt(jid, Some(7), 1_228_694_402).unwrap();
    let records = format!(
        "@peer bob@example.net\n\
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 verified-words 1228694400 1228694400 1228694400\n\
         @doubt {} code 1228694401\n\
         @try 1228694402 failed 7\n",
        key.hex()
    );
    let text = store.to_text();
    let (head, rest) = text.split_at(Ledger::HEAD);
    assert_eq!(rest, records);
    let length = records.len();
    assert!(
        head.starts_with(&format!("xtls-trust 2 {length:020} ")),
        "{head}"
    );
    assert!(head.ends_with('\n'));
}

#[test]
fn stores_read_back_the_empty_one_too() {
    for store in [Store::new(), sample_store()] {
        assert_eq!(Store::parse(&store.to_text()), Ok(store));
    }
}

#[test]
fn a_domain_cannot_look_like_a_line_of_another_kind() {
    let mut store = Store::new();
    for jid in ["peer", "try", "doubt", "xtls-trust"] {
        store
            .pin(jid, Fingerprint::of_spki(jid.as_bytes()), LEVELS[1], 0)
            .unwrap();
    }
    assert_eq!(Store::parse(&store.to_text()), Ok(store));
}

#[test]
fn a_text_cut_anywhere_is_refused() {
    for store in [Store::new(), sample_store()] {
        let text = store.to_text();
        for len in 0..text.len() {
            assert!(Store::parse(&text[..len]).is_err(), "cut at {len}");
        }
    }
    assert_eq!(rule(""), (1, StoreRule::Header));
    assert_eq!(rule("xtls-trust 2\n"), (1, StoreRule::Header));
}

#[test]
fn a_text_with_one_changed_bit_is_refused() {
    let text = sample_store().to_text().into_bytes();
    for at in 0..text.len() {
        for bit in 0..7 {
            let mut changed = text.clone();
            changed[at] ^= 1 << bit;
            assert!(
                Store::parse(str::from_utf8(&changed).unwrap()).is_err(),
                "bit {bit} of byte {at}"
            );
        }
    }
}

#[test]
fn another_version_is_refused_whatever_follows() {
    assert_eq!(rule("xtls-trust 3\nwhatever\n"), (1, StoreRule::Version));
    assert_eq!(rule("xtls-trust 1 \n"), (1, StoreRule::Version));
    assert_eq!(rule("xtls-trust\n"), (1, StoreRule::Header));
    assert_eq!(rule("known_hosts 1\n"), (1, StoreRule::Header));
}

#[test]
fn each_broken_line_is_told_with_its_number_and_rule() {
    let key = Fingerprint::of_spki(b"").hex();
    let good = format!("{key} first-use 1 1 2");
    let doubt = format!("@doubt {key} code 1");
    let cases = [
        (String::new(), StoreRule::Fields),
        (format!("{good} "), StoreRule::Fields),
        (format!("{good} x"), StoreRule::Fields),
        (good.replace(' ', "  "), StoreRule::Fields),
        ("# a comment".to_owned(), StoreRule::Fields),
        ("@peer Bob@example.net".to_owned(), StoreRule::Jid),
        ("@peer bob@example.net/phone".to_owned(), StoreRule::Jid),
        (good.replace(&key, &key.to_uppercase()), StoreRule::Key),
        (good.replace(&key, &key[1..]), StoreRule::Key),
        (good.replace("first-use", "first use"), StoreRule::Fields),
        (good.replace("first-use", "trusted"), StoreRule::Level),
        (good.replace(" 1 1 2", " 1 2"), StoreRule::Fields),
        (good.replace(" 1 1 2", " 2 1 2"), StoreRule::Dates),
        (good.replace(" 1 1 2", " 2 2 1"), StoreRule::Dates),
        (good.replace(" 1 1 2", " 01 1 2"), StoreRule::Dates),
        (good.replace(" 1 1 2", " +1 1 2"), StoreRule::Dates),
        (good.replace(" 1 1 2", " - 1 2"), StoreRule::Dates),
        (
            good.replace(" 1 1 2", " 1 1 9223372036854775808"),
            StoreRule::Dates,
        ),
        (good.replace(" 1 1 2", " 1 1 2\r"), StoreRule::Dates),
        (doubt.replace("code", "guess"), StoreRule::Doubt),
        (doubt.replace(&key, "aa"), StoreRule::Key),
        (doubt.replace(" 1", " x"), StoreRule::Dates),
        (doubt.replace(" 1", ""), StoreRule::Fields),
        ("@try 1 failed".to_owned(), StoreRule::Fields),
        ("@try 01 failed -".to_owned(), StoreRule::Dates),
        ("@try 1 tried -".to_owned(), StoreRule::Attempt),
        ("@try 1 failed 65536".to_owned(), StoreRule::Attempt),
        ("@try 1 failed 01".to_owned(), StoreRule::Attempt),
    ];
    for (line, expected) in cases {
        let text = sealed(&["@peer alice@example.org", &line]);
        assert_eq!(rule(&text), (3, expected), "{line}");
    }
    assert_eq!(rule(&sealed(&[&good])), (2, StoreRule::Jid));
}

#[test]
fn order_and_contradictions_are_refused() {
    let (alice, bob) = ("@peer alice@example.org", "@peer bob@example.net");
    let pin = |key: &[u8]| format!("{} first-use 1 1 2", Fingerprint::of_spki(key).hex());
    let (one, two) = (pin(b"1"), pin(b"2"));
    let doubt = |key: &[u8]| format!("@doubt {} words 1", Fingerprint::of_spki(key).hex());
    let (earlier, later) = ("@try 5 failed -", "@try 6 failed -");
    let whole = [
        alice,
        &one,
        &two,
        &doubt(b"1"),
        &doubt(b"3"),
        earlier,
        earlier,
        later,
    ];
    assert!(Store::parse(&sealed(&whole)).is_ok());
    assert_eq!(
        rule(&sealed(&[alice, later, earlier])),
        (4, StoreRule::Order)
    );
    assert_eq!(
        rule(&sealed(&[alice, earlier, &one])),
        (4, StoreRule::Order)
    );
    assert_eq!(
        rule(&sealed(&[alice, &doubt(b"1"), &one])),
        (4, StoreRule::Order)
    );
    assert_eq!(
        rule(&sealed(&[alice, earlier, &doubt(b"1")])),
        (4, StoreRule::Order)
    );
    assert_eq!(
        rule(&sealed(&[alice, &doubt(b"1"), &doubt(b"1")])).1,
        StoreRule::Duplicate
    );
    assert_eq!(rule(&sealed(&[alice, &one, &one])).1, StoreRule::Duplicate);
    assert_eq!(
        rule(&sealed(&[alice, &one, bob, &one])).1,
        StoreRule::Duplicate
    );
}

#[test]
fn a_later_record_takes_the_place_of_the_earlier_one() {
    let (alice, bob) = ("@peer alice@example.org", "@peer bob@example.net");
    let pin = |key: &[u8]| format!("{} first-use 1 1 2", Fingerprint::of_spki(key).hex());
    let (one, two) = (pin(b"1"), pin(b"2"));
    let text = sealed(&[alice, &one, "@try 5 failed -", bob, &two, alice, &pin(b"3")]);
    let store = Store::parse(&text).unwrap();
    let keys = |jid| {
        store
            .of(jid)
            .iter()
            .map(|pin: &Pin| pin.fingerprint)
            .collect::<Vec<_>>()
    };
    assert_eq!(keys("alice@example.org"), [Fingerprint::of_spki(b"3")]);
    assert_eq!(store.failed("alice@example.org"), 0);
    assert_eq!(keys("bob@example.net"), [Fingerprint::of_spki(b"2")]);
    // A key may pass from one to the other, and a record without a line forgets.
    let text = sealed(&[alice, &one, bob, &one, alice]);
    let store = Store::parse(&text).unwrap();
    assert_eq!(store.list().count(), 1);
    assert_eq!(store.of("bob@example.net").len(), 1);
}

#[test]
fn what_stands_behind_the_bytes_that_count_is_no_part_of_a_store() {
    let text = sample_store().to_text();
    let longer = format!("{text}@peer eve@exa");
    assert_eq!(Store::parse(&longer).unwrap_err().rule, StoreRule::AfterEnd);
    // Whoever goes on with a file finds it after a writer that was stopped.
    let (store, ledger) = Ledger::read(&longer).unwrap();
    assert_eq!(store, sample_store());
    assert_eq!(ledger.unwrap().head(), text[..Ledger::HEAD]);
}

#[test]
fn reading_on_gives_the_same_as_reading_the_whole() {
    let mut store = sample_store();
    let (mut ledger, records) = Ledger::of(&store);
    let mut text = ledger.head() + &records;
    let (mut read, reader) = Ledger::read(&text).unwrap();
    let mut reader = reader.unwrap();
    for round in 0..5_u8 {
        let before = store.clone();
        store.forget("a@example.net");
        let key = Fingerprint::of_spki(&[100 + round]);
        store.pin("a@example.net", key, LEVELS[0], 5).unwrap();
        store
            .attempt("e@example.net", None, 1_700_000_010)
            .unwrap_or_default();
        let added = ledger.add(&store, &store.differences(&before));
        text = ledger.head() + &text[Ledger::HEAD..] + &added;
        assert_eq!(Store::parse(&text).as_ref(), Ok(&store));
        // Damage changes nothing here.
        let (mut same, mut kept) = (reader.clone(), read.clone());
        let damaged = added.replacen("first-use", "revoked", 1);
        assert!(same.read_on(&ledger.head(), &damaged, &mut kept).is_err());
        assert!(
            same.read_on(&ledger.head(), &added[1..], &mut kept)
                .is_err()
        );
        assert_eq!((same.head(), &kept), (reader.head(), &read));
        reader.read_on(&ledger.head(), &added, &mut read).unwrap();
        assert_eq!(read, store);
        assert_eq!(reader.head(), ledger.head());
    }
}

#[test]
fn a_text_is_worn_when_twice_as_much_was_written_as_is_needed() {
    let store = sample_store();
    let (mut ledger, records) = Ledger::of(&store);
    let jids = store.differences(&Store::new());
    let needed = u64::try_from(records.len()).unwrap();
    let mut rounds = 0;
    while !ledger.is_worn() {
        ledger.add(&store, &jids);
        rounds += 1;
        assert!(ledger.length() <= 2 * needed + super::WEAR + needed);
    }
    assert!(rounds > 1);
    assert!(ledger.length() > 2 * needed + super::WEAR);
}

proptest! {
    #[test]
    fn any_store_reads_back(
        pins in collection::vec(("[a-z]{1,3}(@[a-zß]{1,3})?", any::<[u8; 2]>(), sample::select(&LEVELS[..]), any::<i64>()), 0..12),
        attempts in collection::vec(("[a-z]{1,2}", any::<Option<u16>>(), 0..1000_i64), 0..12),
    ) {
        let mut store = Store::new();
        for (jid, key, level, now) in pins {
            // Refusals are judged elsewhere.
            let _ = store.pin_another(&jid, Fingerprint::of_spki(&key), level, now);
        }
        for (jid, tag, now) in attempts {
            let _ = store.attempt(&jid, tag, now);
            if let Some(tag) = tag {
                let by = if tag % 2 == 0 { Method::Words } else { Method::Code };
                let _ = store.doubt_key(&jid, Fingerprint::of_spki(&tag.to_be_bytes()), by, now);
            }
        }
        let text = store.to_text();
        prop_assert_eq!(Store::parse(&text).unwrap(), store);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(xtls-trust [12]\n)?([@a-f0-9 .\n-]|first-use|@try |@peer |@doubt ){0,64}") {
        let _ = Store::parse(&text);
    }
}
