//! Version 1 is read as it was, and nothing that is wrong with it passes.

use super::{LEVELS, Store, rule};
use crate::{
    Fingerprint,
    trust::{
        Level, Method,
        format::{StoreRule, first::end_line},
    },
};

/// `lines` with the first line and a fitting last one.
fn sealed(lines: &[&str]) -> String {
    let lines_text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let text = format!("xtls-trust 1\n{lines_text}");
    let end = end_line(&text, lines.len());
    text + &end
}

fn line(jid: &str, key: &[u8]) -> String {
    format!("{jid} {} first-use 1 1 2", Fingerprint::of_spki(key).hex())
}

#[test]
fn it_is_read_as_the_same_store() {
    let key = |byte: u8| Fingerprint::of_spki(&[byte]);
    let mut store = Store::new();
    let jid = "b@example.net";
    store.pin(jid, key(1), LEVELS[2], 10).unwrap();
    store.touch(jid, &key(1), 20);
    store.revoke(jid, key(2), 30).unwrap();
    store.attempt(jid, Some(7), 40).unwrap();
    let (one, two) = (key(1).hex(), key(2).hex());
    let lines = [
        &*format!("{jid} {one} verified-words 10 10 20"),
        &*format!("{jid} {two} revoked 30 30 30"),
        "@try b@example.net 40 failed 7",
    ];
    let read = Store::parse(&sealed(&lines)).unwrap();
    // It wrote a day for keys that were never met, too.
    store.forget_key(jid, &key(2));
    let mut met = read.clone();
    met.forget_key(jid, &key(2));
    assert_eq!(met, store);
    assert_eq!(read.of(jid)[1].level, Level::Revoked);
    assert_eq!(read.of(jid)[1].last_seen, Some(30));
    assert_eq!(Store::parse(&read.to_text()), Ok(read));
    assert_eq!(Store::parse(&sealed(&[])), Ok(Store::new()));
    assert_eq!(LEVELS[2], Level::Verified(Method::Words));
}

#[test]
fn it_is_refused_when_it_is_cut_or_changed_anywhere() {
    let text = sealed(&[
        &line("alice@example.org", b"a"),
        &line("bob@example.net", b"b"),
        "@try bob@example.net 5 failed -",
    ]);
    assert!(Store::parse(&text).is_ok());
    for len in 0..text.len() {
        assert!(Store::parse(&text[..len]).is_err(), "cut at {len}");
    }
    for at in 0..text.len() {
        for bit in 0..7 {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= 1 << bit;
            let changed = String::from_utf8(changed).unwrap();
            assert!(Store::parse(&changed).is_err(), "bit {bit} of byte {at}");
        }
    }
    assert_eq!(rule("xtls-trust 1\n"), (2, StoreRule::CutOff));
    assert_eq!(rule("xtls-trust 1"), (1, StoreRule::CutOff));
    assert_eq!(rule(&format!("{text}\n")), (6, StoreRule::AfterEnd));
    let shorter: String = text
        .split_inclusive('\n')
        .enumerate()
        .filter(|(at, _)| *at != 2)
        .map(|(_, line)| line)
        .collect();
    assert_eq!(rule(&shorter), (4, StoreRule::Hash));
}

#[test]
fn each_broken_line_is_told_with_its_number_and_rule() {
    let good = line("bob@example.net", b"");
    let cases = [
        (String::new(), StoreRule::Fields),
        (format!("{good} x"), StoreRule::Fields),
        (good.replace("bob", "Bob"), StoreRule::Jid),
        (good.replace("net ", "net/phone "), StoreRule::Jid),
        (good.replace("first-use", "trusted"), StoreRule::Level),
        (good.replace(" 1 1 2", " 2 1 2"), StoreRule::Dates),
        (
            "@try bob@example.net 1 failed".to_owned(),
            StoreRule::Fields,
        ),
        ("@try Bob@example.net 1 failed -".to_owned(), StoreRule::Jid),
        (
            "@try bob@example.net 1 tried -".to_owned(),
            StoreRule::Attempt,
        ),
    ];
    for (broken, expected) in cases {
        let text = sealed(&[&line("alice@example.org", b"a"), &broken]);
        assert_eq!(rule(&text), (3, expected), "{broken}");
    }
}

#[test]
fn order_and_contradictions_are_refused() {
    let (alice, bob) = (
        line("alice@example.org", b"a"),
        line("bob@example.net", b"b"),
    );
    let attempt = |jid: &str, at: i64| format!("@try {jid} {at} failed -");
    let (early, late) = (attempt("bob@example.net", 5), attempt("bob@example.net", 6));
    let eve = attempt("eve@example.net", 1);
    assert!(Store::parse(&sealed(&[&alice, &bob, &early, &early, &late, &eve])).is_ok());
    assert_eq!(rule(&sealed(&[&bob, &alice])), (3, StoreRule::Order));
    assert_eq!(rule(&sealed(&[&early, &bob])), (3, StoreRule::Order));
    assert_eq!(rule(&sealed(&[&late, &early])), (3, StoreRule::Order));
    assert_eq!(rule(&sealed(&[&eve, &early])), (3, StoreRule::Order));
    assert_eq!(rule(&sealed(&[&alice, &alice])), (3, StoreRule::Duplicate));
    let same = line("bob@example.net", b"a");
    assert_eq!(rule(&sealed(&[&alice, &same])), (3, StoreRule::Duplicate));
}
