//! What `Debug` shows: who and how far, never a key or what was said.

use std::fmt::{Debug, Write as _};

use xtls_tls::{Role, default_provider, seeded, trust::Policy};

use super::support::{
    ALICE, BOB, End as _, Ours, config, config_with, expect, exported, identity, ours, settle,
};

/// A private key is 32 times this byte, a seed of randomness 32 times the other.
const KEY: u8 = 173;
const SEED: u8 = 211;
const CANARY: &[u8] = b"canary-of-the-application";

/// Some bytes in every dress that a dump could give them.
fn dresses(bytes: &[u8]) -> Vec<String> {
    let each = |style: fn(u8) -> String, between: &str| {
        let shown: Vec<String> = bytes.iter().map(|byte| style(*byte)).collect();
        shown.join(between)
    };
    vec![
        String::from_utf8_lossy(bytes).into_owned(),
        each(|byte| byte.to_string(), ", "),
        each(|byte| byte.to_string(), ",\n    "),
        each(|byte| format!("{byte:x}"), ", "),
        each(|byte| format!("{byte:02x}"), ""),
        each(|byte| format!("{byte:02X}"), ""),
        each(|byte| format!("{byte:02x}"), ":"),
        each(|byte| format!("\\x{byte:02x}"), ""),
        each(|byte| format!("0x{byte:02x}"), ", "),
    ]
}

/// Which secrets a text shows.
fn shown(text: &str) -> Vec<&'static str> {
    let indented = text
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("\n    ");
    let secrets = [
        ("key", vec![KEY; 8]),
        ("seed", vec![SEED; 8]),
        ("plaintext", CANARY.to_vec()),
    ];
    let found = secrets.into_iter().filter(|(_, bytes)| {
        dresses(bytes)
            .iter()
            .any(|dress| text.contains(dress) || indented.contains(dress))
    });
    let mut found: Vec<&str> = found.map(|(name, _)| name).collect();
    // Base64 of the key, wherever it begins.
    if ["ra2tra2t", "tra2tra2", "2tra2tra"]
        .iter()
        .any(|dress| text.contains(dress))
    {
        found.push("key in base64");
    }
    found
}

#[test]
fn the_search_finds_what_is_shown() {
    assert_eq!(shown(&format!("{:?}", [KEY; 32])), ["key"]);
    assert_eq!(shown(&format!("{:#?}", [SEED; 32])), ["seed"]);
    assert_eq!(
        shown(&format!(
            "{:x?} {:?}",
            [KEY; 32],
            bytes::Bytes::from_static(CANARY)
        )),
        ["key", "plaintext"]
    );
    assert_eq!(shown(&format!("{:?}", CANARY)), ["plaintext"]);
    assert_eq!(shown(&identity(ALICE, KEY).to_pem()), ["key in base64"]);
}

fn pair() -> (Ours, Ours) {
    let crypto = seeded::provider(&default_provider(), [SEED; 32]);
    let alice = config_with(ALICE, KEY, crypto);
    let alice = ours(Role::Client, &alice, expect(ALICE, BOB));
    (
        alice,
        ours(Role::Server, &config(BOB, 2), expect(BOB, ALICE)),
    )
}

/// Everything public that has a key, a seed, or plaintext in reach, in every state.
fn everything() -> String {
    let mut text = String::new();
    let mut show = |value: &dyn Debug| write!(text, "{value:?}\n{value:#?}\n").unwrap();
    let crypto = seeded::provider(&default_provider(), [SEED; 32]);
    let config = config_with(ALICE, KEY, crypto.clone());
    show(&identity(ALICE, KEY));
    show(&config);
    show(&crypto);
    show(&expect(ALICE, BOB));
    let (client, checks) = config.client(&expect(ALICE, BOB)).unwrap();
    show(&client);
    show(&checks);
    let (server, checks) = config.server(&expect(ALICE, BOB)).unwrap();
    show(&server);
    show(&checks);

    let (mut alice, mut bob) = pair();
    show(&alice.tls);
    settle(&mut alice, &mut bob);
    show(&alice.tls.peer());
    alice.tls.write(CANARY).unwrap();
    show(&alice.tls);
    let wire = alice.take();
    bob.feed(&wire[..wire.len() / 2]);
    show(&bob.tls);
    bob.feed(&wire[wire.len() / 2..]);
    assert_eq!(&bob.plain[..], CANARY);
    show(&bob.tls);
    show(&alice.tls.write(&vec![7; alice.tls.room() + 1]).unwrap_err());
    let secret = exported(&alice);
    bob.feed(&wire);
    show(&bob.tls);
    show(&bob.tls.failure());
    let _ = write!(text, "{}", bob.tls.failure().unwrap());
    assert!(
        dresses(&secret[..8])
            .iter()
            .all(|dress| !text.contains(dress))
    );
    text
}

#[test]
fn debug_shows_no_key_seed_or_plaintext() {
    assert_eq!(shown(&everything()), [""; 0]);
}

/// Whole, so that a new field is looked at before it is shown.
#[test]
fn debug_shows_exactly_this() {
    let key = identity(ALICE, 1).fingerprint();
    assert_eq!(
        format!("{:?}", identity(ALICE, 1)),
        format!("Identity {{ jid: {ALICE:?}, fingerprint: {key:?}, .. }}")
    );
    assert_eq!(
        format!("{:?}", config(ALICE, 1).max_pending(5)),
        format!(
            "Config {{ identity: Identity {{ jid: {ALICE:?}, fingerprint: {key:?}, .. }}, \
             post_quantum: false, max_record: 16384, max_pending: 5, .. }}"
        )
    );
    let (mut alice, mut bob) = pair();
    let pending = alice.tls.wire_pending();
    assert_eq!(
        format!("{:?}", alice.tls),
        format!(
            "Tls {{ peer: None, failure: None, closed: false, peer_closed: false, wire_pending: {pending}, .. }}"
        )
    );
    settle(&mut alice, &mut bob);
    bob.tls.close();
    let peer = format!("{:?}", bob.tls.peer());
    let pending = bob.tls.wire_pending();
    assert_eq!(
        format!("{:?}", bob.tls),
        format!(
            "Tls {{ peer: {peer}, failure: None, closed: true, peer_closed: false, wire_pending: {pending}, .. }}"
        )
    );
    let (_, checks) = config(ALICE, 1).client(&expect(ALICE, BOB)).unwrap();
    assert_eq!(format!("{checks:?}"), "Checks { role: Client, .. }");
    let ask = {
        let mut expect = expect(ALICE, BOB);
        expect.policy = Policy::Ask;
        expect
    };
    assert!(
        format!("{ask:?}")
            .starts_with("Expectations { peer: \"bob@example.net\", own: \"alice@example.org\",")
    );
}
