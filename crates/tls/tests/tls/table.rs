//! The table of failures in this crate's README, cell by cell: who is refused, in which role, by which name.

use std::sync::Arc;

use rustls::{NamedGroup, crypto::CryptoProvider, version::TLS12};
use xtls_tls::{
    Config, Expectations, Fingerprint, Role, TlsError, default_provider,
    trust::{Level, Method, Policy, Store},
};

use super::{
    certificate::{Key, Public, Says, der},
    raw::{Raw, Script},
    support::{ALICE, BOB, End as _, Ours, config, expect, ours, settle},
};

const VERIFIED: Level = Level::Verified(Method::Fingerprint);
const ACCEPTED: &str = "accepted";

/// One row: the other end is always expected to be Alice, whose key has the seed 1.
pub(crate) struct Case {
    what: &'static str,
    script: fn() -> Script,
    expect: fn() -> Expectations,
    config: fn(Config) -> Config,
    /// Outcome when we are the client, and when we are the server; none where the case cannot be.
    pub(crate) outcomes: [Option<&'static str>; 2],
}

fn case(
    what: &'static str,
    script: fn() -> Script,
    expect: fn() -> Expectations,
    outcome: &'static str,
) -> Case {
    Case {
        what,
        script,
        expect,
        config: |config| config,
        outcomes: [Some(outcome); 2],
    }
}

fn key(seed: u8) -> Key {
    Key::ed25519(&default_provider(), seed)
}

fn saying(says: Says) -> Script {
    Script::saying(says, 1)
}

fn alice() -> Script {
    saying(Says::jid(ALICE))
}

fn with_chain(says: Says, copies: usize) -> Script {
    let certificate = says.signed(&key(1));
    Script::new(vec![certificate; copies], &key(1))
}

fn naming(names: &[&[u8]]) -> Script {
    Script {
        alpn: names.iter().map(|name| name.to_vec()).collect(),
        ..alice()
    }
}

fn anyone() -> Expectations {
    expect(BOB, ALICE)
}

fn pinned_to(jid: &str, seed: u8, level: Level) -> Expectations {
    let mut store = Store::new();
    let key = Fingerprint::of_spki(&key(seed).sign.public_key().unwrap());
    store.pin(jid, key, level, 100).unwrap();
    let mut expect = anyone();
    expect.trust = store.into();
    expect
}

fn doubted(by: Method) -> Expectations {
    let mut store = Store::new();
    let key = Fingerprint::of_spki(&key(1).sign.public_key().unwrap());
    store.doubt_key(ALICE, key, by, 100).unwrap();
    let mut expect = anyone();
    expect.trust = store.into();
    expect
}

fn verified() -> Expectations {
    pinned_to(ALICE, 1, VERIFIED)
}

fn classical() -> Script {
    let mut crypto = CryptoProvider::clone(&default_provider());
    let classical = |name| name == NamedGroup::X25519;
    crypto.kx_groups.retain(|group| classical(group.name()));
    Script {
        crypto: Arc::new(crypto),
        ..alice()
    }
}

fn rsa() -> Script {
    let numbers = [&[0x02, 0x02, 0x7f, 0xff][..], &[0x02, 0x01, 0x03]];
    let rsa = Public(&rcgen::PKCS_RSA_SHA256, der(0x30, &numbers));
    Script::new(vec![Says::jid(ALICE).about(&rsa, &key(1))], &key(1))
}

fn p256() -> Script {
    let key = Key::p256(&default_provider());
    Script::new(vec![Says::jid(ALICE).signed(&key)], &key)
}

pub(crate) fn cases() -> Vec<Case> {
    let stolen = || Script::new(vec![Says::jid(ALICE).signed(&key(1))], &key(9));
    let expired = || saying(Says::jid(ALICE).expired());
    let nameless = || saying(Says::nothing());
    vec![
        case(
            "another key than the pinned one",
            || Script::saying(Says::jid(ALICE), 9),
            verified,
            "Trust(KeyChanged)",
        ),
        case(
            "another key than the one of first use",
            || Script::saying(Says::jid(ALICE), 9),
            || pinned_to(ALICE, 1, Level::FirstUse),
            "Trust(KeyChanged)",
        ),
        case(
            "a key that nobody knows, where pins are required",
            alice,
            || {
                let mut expect = anyone();
                expect.policy = Policy::Pinned;
                expect
            },
            "Trust(NotPinned)",
        ),
        case(
            "a pinned certificate, with somebody else's private key",
            stolen,
            verified,
            "Trust(NotProven)",
        ),
        case(
            "an unknown certificate, with somebody else's private key",
            stolen,
            anyone,
            "Trust(NotProven)",
        ),
        Case {
            outcomes: [None, Some("NoCertificate")],
            ..case(
                "a client that shows no certificate",
                || Script {
                    shows: false,
                    ..alice()
                },
                anyone,
                "",
            )
        },
        Case {
            outcomes: [Some("NoCertificate"), None],
            ..case(
                "a server that shows an empty certificate",
                || Script {
                    chain: Vec::new(),
                    ..alice()
                },
                anyone,
                "",
            )
        },
        Case {
            outcomes: [Some("NotAsked"), None],
            ..case(
                "a server that asks for no certificate",
                || Script {
                    asks: false,
                    ..alice()
                },
                anyone,
                "",
            )
        },
        case(
            "two certificates",
            || with_chain(Says::jid(ALICE), 2),
            verified,
            "Trust(SeveralCertificates)",
        ),
        case("an RSA key", rsa, anyone, "Trust(BadCertificate)"),
        case("a P-256 key", p256, anyone, ACCEPTED),
        case(
            "no address in the certificate, on first use",
            nameless,
            anyone,
            "Trust(NoJid)",
        ),
        case(
            "no address in the certificate, key verified",
            nameless,
            verified,
            ACCEPTED,
        ),
        case(
            "another address in the certificate",
            || saying(Says::jid("mallory@example.org")),
            verified,
            "Trust(WrongJid)",
        ),
        case(
            "two addresses in the certificate",
            || saying(Says::jid(ALICE).and_jid("mallory@example.org")),
            verified,
            "Trust(SeveralJids)",
        ),
        case(
            "a NUL inside the address",
            || saying(Says::jid("alice@example.org\0.evil")),
            verified,
            "Trust(BadCertificate)",
        ),
        case(
            "a resource behind the address",
            || saying(Says::jid("alice@example.org/phone")),
            verified,
            "Trust(BadCertificate)",
        ),
        case(
            "a certificate that is none",
            || Script::new(vec![b"none".to_vec().into()], &key(1)),
            anyone,
            "Trust(BadCertificate)",
        ),
        case(
            "an expired certificate, key pinned",
            expired,
            verified,
            ACCEPTED,
        ),
        case(
            "TLS 1.2 at most",
            || Script {
                versions: vec![&TLS12],
                ..alice()
            },
            anyone,
            "Version",
        ),
        Case {
            config: |config| config.require_post_quantum(true),
            // The server is the one that notices (RFC 8446 §4.1.1).
            outcomes: [Some("Alert(handshake_failure)"), Some("KeyExchange")],
            ..case(
                "X25519 alone, where post-quantum is required",
                classical,
                anyone,
                "",
            )
        },
        case(
            "another context in the ALPN name",
            || naming(&[b"xtls-stanza;other"]),
            anyone,
            "Alpn",
        ),
        case(
            "another context, where a name is optional",
            || naming(&[b"xtls-stanza;other"]),
            || {
                let mut expect = anyone();
                expect.alpn_required = false;
                expect
            },
            "Alpn",
        ),
        case(
            "no ALPN, where it is required",
            || naming(&[]),
            anyone,
            "Alpn",
        ),
        case(
            "no ALPN, where it is optional",
            || naming(&[]),
            || {
                let mut expect = anyone();
                expect.alpn_required = false;
                expect
            },
            ACCEPTED,
        ),
        case(
            "our own key",
            || Script::saying(Says::jid(ALICE), 2),
            anyone,
            "Trust(OwnKey)",
        ),
        case(
            "our own address, key not pinned",
            || Script::saying(Says::jid(BOB), 9),
            || expect(BOB, BOB),
            "Trust(NotPinned)",
        ),
        case(
            "a key that is pinned for somebody else",
            alice,
            || pinned_to("carol@example.org", 1, VERIFIED),
            "Trust(KeyOfAnother)",
        ),
        case(
            "a revoked key",
            alice,
            || pinned_to(ALICE, 1, Level::Revoked),
            "Trust(Revoked)",
        ),
        case(
            "a key that words have spoken against",
            alice,
            || doubted(Method::Words),
            "Trust(Doubted)",
        ),
        case(
            "a key that a code has spoken against",
            alice,
            || doubted(Method::Code),
            ACCEPTED,
        ),
    ]
}

/// The name of an error without what it holds, but for why the trust is missing and which alert came.
pub(crate) fn name(error: &TlsError) -> String {
    let variant = |text: String| text.split([' ', '(']).next().unwrap_or_default().to_owned();
    match error {
        TlsError::Trust(why) => format!("Trust({})", variant(format!("{why:?}"))),
        TlsError::Alert(alert) => format!("Alert({})", alert.name()),
        other => variant(format!("{other:?}")),
    }
}

/// The outcome; and whatever it is, that nothing was released which must not be.
fn outcome(case: &Case, role: Role) -> String {
    let other = match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    };
    let mut bob: Ours = ours(role, &(case.config)(config(BOB, 2)), (case.expect)());
    let mut raw: Raw = (case.script)().start(other);
    settle(&mut bob, &mut raw);
    let (what, tls) = (case.what, &bob.tls);
    let mut exported = [0; 32];
    let exports = tls.export("EXPERIMENTAL-xtls-test", b"", &mut exported);
    let Some(failure) = tls.failure().cloned() else {
        assert!(tls.peer().is_some() && exports.is_ok(), "{what}, {role:?}");
        assert_eq!(&bob.plain[..], b"early", "{what}, {role:?}");
        return ACCEPTED.to_owned();
    };
    assert_eq!(bob.plain.len(), 0, "{what}, {role:?}");
    assert_eq!((tls.peer(), tls.alpn()), (None, None), "{what}, {role:?}");
    assert!(tls.is_handshaking() && !tls.peer_closed() && exports.is_err());
    assert!(bob.tls.write(b"x").is_err() && bob.take().is_empty());
    assert_eq!(
        raw.plain.len(),
        0,
        "{what}, {role:?}: nothing of ours either"
    );
    assert!(
        raw.error.is_some(),
        "{what}, {role:?}: the other end must be told"
    );
    name(&failure)
}

/// The client that is refused late: it has finished, and learns the truth from an alert.
fn late() -> [String; 2] {
    let mut alice = ours(Role::Client, &config(ALICE, 1), expect(ALICE, BOB));
    let required = {
        let mut expect = expect(BOB, ALICE);
        expect.policy = Policy::Pinned;
        expect
    };
    let mut bob = ours(Role::Server, &config(BOB, 2), required);
    bob.feed(&alice.take());
    alice.feed(&bob.take());
    alice.tls.write(b"early").unwrap();
    settle(&mut alice, &mut bob);
    assert_eq!((alice.plain.len(), bob.plain.len()), (0, 0));
    assert!(bob.tls.peer().is_none());
    [&alice, &bob].map(|end| name(end.tls.failure().unwrap()))
}

#[test]
fn the_readme_lists_every_cell_as_it_is() {
    let mut table = vec![
        "| the other end has | we are the client | we are the server |".to_owned(),
        "| --- | --- | --- |".to_owned(),
    ];
    let row = |what: &str, cells: [String; 2]| {
        let cells = cells.map(|cell| match &*cell {
            "" => "cannot be".to_owned(),
            ACCEPTED => cell,
            _ => format!("`{cell}`"),
        });
        format!("| {what} | {} | {} |", cells[0], cells[1])
    };
    for case in cases() {
        let roles = [Role::Client, Role::Server];
        let cells = std::array::from_fn(|at| {
            let Some(expected) = case.outcomes[at] else {
                return String::new();
            };
            let found = outcome(&case, roles[at]);
            assert_eq!(found, expected, "{}, as {:?}", case.what, roles[at]);
            found
        });
        table.push(row(case.what, cells));
    }
    table.push(row(
        "refused the client, which has finished by then",
        late(),
    ));
    let readme = include_str!("../../README.md");
    let shown: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with('|'))
        .collect();
    assert_eq!(
        shown,
        table,
        "what the README must say:\n{}",
        table.join("\n")
    );
}
