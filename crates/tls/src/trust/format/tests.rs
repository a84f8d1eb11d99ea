use proptest::{collection, prelude::*, sample};

use super::{Store, StoreError, StoreRule, end_line};
use crate::{
    Fingerprint,
    trust::{Level, Method},
};

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
    store
}

/// `lines` with a header and a fitting end.
fn sealed(lines: &[&str]) -> String {
    let text = format!(
        "xtls-trust 1\n{}",
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    );
    let end = end_line(&text, lines.len());
    text + &end
}

fn rule(text: &str) -> (usize, StoreRule) {
    let StoreError { line, rule } = Store::parse(text).unwrap_err();
    (line, rule)
}

#[test]
fn the_form_is_fixed() {
    let mut store = Store::new();
    store
        .pin(
            "Bob@example.net",
            Fingerprint::of_spki(b""),
            LEVELS[2],
            1_228_694_400,
        )
        .unwrap();
    let expected = "xtls-trust 1\n\
        bob@example.net e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 verified-words 1228694400 1228694400 1228694400\n\
        @end 1 ";
    let text = store.to_text();
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(text.len(), expected.len() + 65);
}

#[test]
fn stores_read_back_the_empty_one_too() {
    for store in [Store::new(), sample_store()] {
        assert_eq!(Store::parse(&store.to_text()), Ok(store));
    }
}

#[test]
fn a_domain_cannot_look_like_the_end() {
    let mut store = Store::new();
    for jid in ["end", "xtls-trust"] {
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
    assert_eq!(rule("xtls-trust 1\n"), (2, StoreRule::CutOff));
    assert_eq!(rule("xtls-trust 1"), (1, StoreRule::CutOff));
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
    assert_eq!(rule("xtls-trust 2\nwhatever\n"), (1, StoreRule::Version));
    assert_eq!(rule("xtls-trust 1 \n"), (1, StoreRule::Version));
    assert_eq!(rule("xtls-trust\n"), (1, StoreRule::Header));
    assert_eq!(rule("known_hosts 1\n"), (1, StoreRule::Header));
}

#[test]
fn each_broken_line_is_told_with_its_number_and_rule() {
    let key = Fingerprint::of_spki(b"").hex();
    let good = format!("bob@example.net {key} first-use 1 1 2");
    let cases = [
        (String::new(), StoreRule::Fields),
        (format!("{good} "), StoreRule::Fields),
        (format!("{good} x"), StoreRule::Fields),
        (good.replace(' ', "  "), StoreRule::Fields),
        ("# a comment".to_owned(), StoreRule::Fields),
        (good.replace("bob", "Bob"), StoreRule::Jid),
        (good.replace("net ", "net/phone "), StoreRule::Jid),
        (good.replace(&key, &key.to_uppercase()), StoreRule::Key),
        (good.replace(&key, &key[1..]), StoreRule::Key),
        (good.replace("first-use", "first use"), StoreRule::Fields),
        (good.replace("first-use", "trusted"), StoreRule::Level),
        (good.replace(" 1 1 2", " 1 2"), StoreRule::Fields),
        (good.replace(" 1 1 2", " 2 1 2"), StoreRule::Dates),
        (good.replace(" 1 1 2", " 2 2 1"), StoreRule::Dates),
        (good.replace(" 1 1 2", " 01 1 2"), StoreRule::Dates),
        (good.replace(" 1 1 2", " +1 1 2"), StoreRule::Dates),
        (
            good.replace(" 1 1 2", " 1 1 9223372036854775808"),
            StoreRule::Dates,
        ),
        (good.replace(" 1 1 2", " 1 1 2\r"), StoreRule::Dates),
        (
            "@try bob@example.net 1 failed".to_owned(),
            StoreRule::Fields,
        ),
        ("@try Bob@example.net 1 failed -".to_owned(), StoreRule::Jid),
        (
            "@try bob@example.net 01 failed -".to_owned(),
            StoreRule::Dates,
        ),
        (
            "@try bob@example.net 1 tried -".to_owned(),
            StoreRule::Attempt,
        ),
        (
            "@try bob@example.net 1 failed 65536".to_owned(),
            StoreRule::Attempt,
        ),
        (
            "@try bob@example.net 1 failed 01".to_owned(),
            StoreRule::Attempt,
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(
            rule(&sealed(&["alice@example.org aa first-use 1 1 2", &line])).0,
            2
        );
        let first = good
            .replace("bob", "alice")
            .replace(&key, &Fingerprint::of_spki(b"a").hex());
        assert_eq!(rule(&sealed(&[&first, &line])), (3, expected), "{line}");
    }
}

#[test]
fn order_and_contradictions_are_refused() {
    let line = |jid: &str, key: &[u8]| {
        format!("{jid} {} first-use 1 1 2", Fingerprint::of_spki(key).hex())
    };
    let (alice, bob) = (
        line("alice@example.org", b"a"),
        line("bob@example.net", b"b"),
    );
    assert!(Store::parse(&sealed(&[&alice, &bob])).is_ok());
    assert_eq!(rule(&sealed(&[&bob, &alice])), (3, StoreRule::Order));
    assert_eq!(rule(&sealed(&[&alice, &alice])), (3, StoreRule::Duplicate));
    assert_eq!(
        rule(&sealed(&[&alice, &line("bob@example.net", b"a")])),
        (3, StoreRule::Duplicate)
    );
}

#[test]
fn attempts_stand_after_the_pins_and_in_order() {
    let pin = format!(
        "bob@example.net {} first-use 1 1 2",
        Fingerprint::of_spki(b"b").hex()
    );
    let attempt = |jid: &str, at: i64| format!("@try {jid} {at} failed -");
    let (bob, later, eve) = (
        attempt("bob@example.net", 5),
        attempt("bob@example.net", 6),
        attempt("eve@example.net", 1),
    );
    assert!(Store::parse(&sealed(&[&pin, &bob, &bob, &later, &eve])).is_ok());
    assert_eq!(rule(&sealed(&[&bob, &pin])), (3, StoreRule::Order));
    assert_eq!(rule(&sealed(&[&later, &bob])), (3, StoreRule::Order));
    assert_eq!(rule(&sealed(&[&eve, &bob])), (3, StoreRule::Order));
}

#[test]
fn a_line_taken_out_or_put_after_the_end_is_noticed() {
    let text = sample_store().to_text();
    let shorter: String = text
        .split_inclusive('\n')
        .enumerate()
        .filter(|(at, _)| *at != 2)
        .map(|(_, line)| line)
        .collect();
    assert_eq!(rule(&shorter), (10, StoreRule::Hash));
    assert_eq!(rule(&format!("{text}\n")), (12, StoreRule::AfterEnd));
    assert_eq!(rule(&format!("{text}{text}")), (12, StoreRule::AfterEnd));
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
        }
        let text = store.to_text();
        prop_assert_eq!(Store::parse(&text).unwrap(), store);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(xtls-trust 1\n)?([@a-f0-9 .\n-]|first-use|@try ){0,64}") {
        let _ = Store::parse(&text);
    }
}
