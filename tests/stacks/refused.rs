//! What we refuse from third-party stacks, by name, and what they learn of it.

use std::sync::Arc;

use xtls_tests::keys;
use xtls_tls::{Alert, Config, Expectations, Role, TlsError, TrustError, trust};

use crate::peer::{Kind, OURS, ROLES, STACKS, Script, Stack, THEIRS};

/// How a handshake must end.
enum End {
    /// We refuse for this reason, and send them this alert.
    Ours(TlsError, u8),
    /// They give up first, so we only know what they report.
    Theirs(TlsError),
}

fn fails(
    script: Script,
    role: Role,
    edit: impl FnOnce(Config, &mut Expectations) -> Config,
    end: &End,
) {
    let (End::Ours(why, _) | End::Theirs(why)) = end;
    let mut talk = script.start(role, edit);
    talk.handshake();
    let what = format!("{script:?}, we are {role:?}");
    assert_eq!(talk.tls.failure(), Some(why), "{what}");
    assert_eq!((talk.tls.peer(), talk.plain.len()), (None, 0), "{what}");
    let (_, said) = talk.finish();
    let End::Ours(_, alert) = end else { return };
    match script.stack {
        Stack::GnuTls => assert_eq!(said["alert"], alert.to_string(), "{what}: {said:?}"),
        Stack::OpenSsl => {
            let name = Alert::new(*alert).name();
            let heard = said["failed"].to_lowercase().replace(' ', "_");
            assert!(heard.contains(name), "{what}: {said:?} instead of {name}");
        }
    }
}

fn plainly(config: Config, _: &mut Expectations) -> Config {
    config
}

fn given_up() -> End {
    End::Theirs(TlsError::Alert(Alert::HANDSHAKE_FAILURE))
}

#[test]
fn another_address_in_the_certificate() {
    for stack in STACKS {
        for role in ROLES {
            let jid = "mallory@montague.example";
            let script = Script {
                jid,
                ..Script::new(stack, "echo")
            };
            let why = TrustError::WrongJid {
                san: jid.to_owned(),
                peer: THEIRS.to_owned(),
            };
            fails(script, role, plainly, &End::Ours(why.into(), 49));
        }
    }
}

#[test]
fn another_key_than_the_pinned_one() {
    for stack in STACKS {
        for role in ROLES {
            let mut store = trust::Store::new();
            let key = keys::fingerprint(THEIRS, 9);
            store.pin(THEIRS, key, trust::Level::FirstUse, 0).unwrap();
            let store = Arc::new(store);
            let mut talk = Script::new(stack, "echo").start(role, |config, expect| {
                expect.trust = Arc::clone(&store).into();
                config
            });
            talk.handshake();
            let changed = matches!(
                talk.tls.failure(),
                Some(TlsError::Trust(TrustError::KeyChanged { known, .. })) if known[0].fingerprint == key
            );
            assert!(changed, "{stack:?}, {role:?}: {:?}", talk.tls.failure());
            assert_eq!((talk.tls.peer(), talk.plain.len()), (None, 0));
        }
    }
}

#[test]
fn another_context() {
    for stack in STACKS {
        for role in ROLES {
            let script = Script {
                alpn: "xtls-bytes;other",
                ..Script::new(stack, "echo")
            };
            // GnuTLS insists on the name by itself; Python's OpenSSL would continue without one.
            let end = match (stack, role) {
                (Stack::GnuTls, Role::Client) => End::Theirs(TlsError::Alpn),
                (Stack::OpenSsl, Role::Client) | (_, Role::Server) => {
                    End::Ours(TlsError::Alpn, 120)
                }
            };
            fails(script, role, plainly, &end);
        }
    }
}

#[test]
fn an_older_version() {
    for stack in STACKS {
        for role in ROLES {
            let script = match stack {
                Stack::GnuTls => Script {
                    priority: "NORMAL:-VERS-ALL:+VERS-TLS1.2",
                    ..Script::new(stack, "echo")
                },
                Stack::OpenSsl => Script::new(stack, "old"),
            };
            let end = match role {
                Role::Client => End::Theirs(TlsError::Version),
                Role::Server => End::Ours(TlsError::Version, 70),
            };
            fails(script, role, plainly, &end);
        }
    }
}

/// A client has none; a server without one cannot even answer.
#[test]
fn no_certificate() {
    for stack in STACKS {
        let bare = Script::new(stack, "bare");
        fails(
            bare,
            Role::Server,
            plainly,
            &End::Ours(TlsError::NoCertificate, 116),
        );
        // Without a certificate OpenSSL does not even offer TLS 1.3.
        let end = match stack {
            Stack::GnuTls => given_up(),
            Stack::OpenSsl => End::Theirs(TlsError::Version),
        };
        fails(bare, Role::Client, plainly, &end);
    }
}

/// We request Ed25519 or P-256, so a stack that conforms to TLS presents no RSA key at all.
#[test]
fn an_rsa_key() {
    for stack in STACKS {
        let script = Script {
            kind: Kind::Rsa,
            ..Script::new(stack, "echo")
        };
        fails(
            script,
            Role::Server,
            plainly,
            &End::Ours(TlsError::NoCertificate, 116),
        );
        fails(script, Role::Client, plainly, &given_up());
    }
}

/// Neither stack supports X25519MLKEM768 in these versions.
#[test]
fn a_classical_key_exchange_where_post_quantum_is_required() {
    let required = |config: Config, _: &mut Expectations| config.require_post_quantum(true);
    for stack in STACKS {
        let script = Script::new(stack, "echo");
        fails(
            script,
            Role::Server,
            required,
            &End::Ours(TlsError::KeyExchange, 40),
        );
        fails(script, Role::Client, required, &given_up());
    }
}

/// The other end is ourselves, through another library: the same key.
#[test]
fn our_own_key() {
    for stack in STACKS {
        for role in ROLES {
            let script = Script {
                kind: Kind::Ours,
                ..Script::new(stack, "echo")
            };
            let why = TrustError::OwnKey {
                peer: THEIRS.to_owned(),
            };
            fails(script, role, plainly, &End::Ours(why.into(), 49));
        }
    }
    assert_ne!(OURS, THEIRS);
}
