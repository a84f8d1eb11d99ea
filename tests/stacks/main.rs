//! Third-party TLS stacks at the other end of our adapter: GnuTLS, and OpenSSL through Python's `ssl.MemoryBIO`. Their
//! certificates are made by OpenSSL.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

mod command;
mod peer;
mod refused;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use peer::{ALPN, Kind, OURS, ROLES, STACKS, Script, Stack, THEIRS, Talk};
use sha2::{Digest as _, Sha256};
use xtls_tests::keys;
use xtls_tls::{RECORD_OVERHEAD, Role, Standing, TlsError};

/// How much is sent in each direction.
const LEN: usize = 64 * 1024 * 1024;

/// How much may be under way in both directions, in bytes.
const WINDOW: usize = 256 * 1024;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn start(script: Script, role: Role) -> Talk {
    script.start(role, |config, _| config)
}

/// What each stack must have learned about us when a handshake was finished.
fn met(said: &BTreeMap<String, String>, what: &str) {
    let get = |name: &str| said.get(name).map_or("", String::as_str);
    assert_eq!(get("failed"), "", "{what}: {said:?}");
    assert!(get("version").ends_with("1.3"), "{what}: {said:?}");
    assert_eq!(get("alpn"), ALPN, "{what}");
    let own = keys::identity(OURS, peer::KEY);
    assert_eq!(
        get("certificate"),
        hex(&Sha256::digest(own.certificate())),
        "{what}"
    );
}

/// Sends `len` bytes and receives them back, then ends our direction and receives the other's end.
fn echo(talk: &mut Talk, len: usize) {
    let block: Vec<u8> = (0..=255).cycle().take(WINDOW).collect();
    let (mut sent, mut back) = (0, 0);
    talk.tls.set_max_record(4096 - RECORD_OVERHEAD);
    while back < len {
        let more = WINDOW.saturating_sub(sent - back).min(len - sent);
        // Boundaries of every kind: full records, and the remainder of each turn.
        if more > 0 {
            let at = sent % 256;
            let more = more.min(block.len() - at);
            talk.tls.write(&block[at..at + more]).unwrap();
            sent += more;
        }
        talk.read();
        assert_eq!(talk.tls.failure(), None);
        let at = back % 256;
        let got = talk.plain.len();
        assert!(got <= WINDOW && talk.plain[..] == [&block[at..], &block][..].concat()[..got]);
        talk.plain.clear();
        back += got;
    }
    assert_eq!((sent, back), (len, len));
    talk.tls.close();
    talk.read_to_end();
    assert_eq!(talk.tls.failure(), None);
    assert_eq!(
        &talk.plain[..],
        b"bye",
        "the other direction went on after ours had ended"
    );
}

#[test]
fn what_is_sent_comes_back() {
    for stack in STACKS {
        for role in ROLES {
            let what = format!("{stack:?}, we are {role:?}");
            let mut talk = start(Script::new(stack, "echo"), role);
            talk.handshake();
            assert_eq!(talk.tls.failure(), None, "{what}");
            let peer = talk.tls.peer().unwrap();
            assert_eq!(peer.san.as_deref(), Some(THEIRS));
            assert_eq!(peer.standing, Standing::New);
            assert_eq!(talk.tls.alpn(), Some(ALPN.as_bytes()));
            echo(&mut talk, LEN);
            let (_, said) = talk.finish();
            met(&said, &what);
            assert_eq!(said["end"], "clean", "{what}");
            assert_eq!(said["read"], LEN.to_string(), "{what}");
            if role == Role::Server {
                assert_eq!(
                    said["ticket"], "0",
                    "{what}: both clients can take tickets, and get none"
                );
            }
        }
    }
}

/// GnuTLS computes the exporter itself (RFC 8446 §7.5), and with it the channel binding of RFC 9266.
#[test]
fn both_ends_export_the_same() {
    for role in ROLES {
        for priority in [
            "NORMAL",
            "NORMAL:-CIPHER-ALL:+CHACHA20-POLY1305",
            "NORMAL:-CIPHER-ALL:+AES-128-GCM",
        ] {
            let script = Script {
                priority,
                ..Script::new(Stack::GnuTls, "echo")
            };
            let mut talk = start(script, role);
            talk.handshake();
            let export = |label: &str, context: &[u8]| {
                let mut out = [0; 32];
                talk.tls.export(label, context, &mut out).unwrap();
                hex(&out)
            };
            let ours = export("EXPERIMENTAL-xtls-test", b"context");
            let binding = export("EXPORTER-Channel-Binding", b"");
            talk.tls.close();
            talk.read_to_end();
            let (_, said) = talk.finish();
            met(&said, priority);
            assert_eq!(
                (&said["exporter"], &said["binding"]),
                (&ours, &binding),
                "{role:?}, {priority}"
            );
            assert_ne!(ours, binding);
        }
    }
}

/// GnuTLS ends a connection after more than 8 updates a second, and ours in answer to its own count as well.
#[test]
fn keys_are_renewed_from_both_ends() {
    for role in ROLES {
        let mut talk = start(Script::new(Stack::GnuTls, "update"), role);
        talk.handshake();
        for round in 0..60_u32 {
            if matches!(round, 10 | 30) {
                talk.tls.refresh_keys();
            }
            talk.tls.write(&round.to_be_bytes()).unwrap();
            while talk.plain.len() < 4 {
                talk.read();
                assert_eq!(talk.tls.failure(), None, "{role:?}, round {round}");
            }
            assert_eq!(talk.plain.split()[..], round.to_be_bytes());
        }
        talk.tls.close();
        talk.read_to_end();
        assert_eq!((talk.tls.failure(), &talk.plain[..]), (None, &b"bye"[..]));
        let (_, said) = talk.finish();
        met(&said, "update");
        assert_eq!(said["updates"], "3");
    }
}

/// A group that we support but don't offer a share for: the server requests another hello (RFC 8446 §4.1.4).
#[test]
fn a_second_hello_is_given_and_taken() {
    let gnutls = Script {
        priority: "NORMAL:-GROUP-ALL:+GROUP-SECP256R1",
        ..Script::new(Stack::GnuTls, "echo")
    };
    for script in [gnutls, Script::new(Stack::OpenSsl, "p256")] {
        for role in ROLES {
            let mut talk = start(script, role);
            talk.handshake();
            assert_eq!(talk.tls.failure(), None, "{script:?}, {role:?}");
            assert_eq!(talk.tls.is_post_quantum(), Some(false));
            echo(&mut talk, 100_000);
            met(&talk.finish().1, "p256");
        }
    }
}

#[test]
fn a_p256_key_is_welcome() {
    for stack in STACKS {
        for role in ROLES {
            let script = Script {
                kind: Kind::P256,
                ..Script::new(stack, "echo")
            };
            let mut talk = start(script, role);
            talk.handshake();
            assert_eq!(talk.tls.failure(), None, "{stack:?}, {role:?}");
            echo(&mut talk, 1000);
            met(&talk.finish().1, "a P-256 key");
        }
    }
}

/// They close first, and receive everything that we still send.
#[test]
fn each_direction_ends_by_itself() {
    for stack in STACKS {
        for role in ROLES {
            let mut talk = start(Script::new(stack, "first"), role);
            talk.handshake();
            talk.read_to_end();
            assert!(talk.tls.peer_closed() && talk.tls.failure().is_none());
            assert_eq!(&talk.plain[..], b"first");
            talk.tls.write(&[5; 100_000]).unwrap();
            talk.tls.close();
            let (tls, said) = talk.finish();
            assert_eq!(tls.failure(), None);
            met(&said, "half-close");
            assert_eq!(
                (&*said["end"], &*said["read"]),
                ("clean", "100000"),
                "{stack:?}, {role:?}"
            );
        }
    }
}

#[test]
fn a_cut_is_distinguished_from_a_close() {
    for stack in STACKS {
        for role in ROLES {
            // They leave without a close_notify.
            let mut talk = start(Script::new(stack, "cut"), role);
            talk.handshake();
            talk.tls.write(b"one record").unwrap();
            talk.read_to_end();
            assert_eq!(
                talk.tls.failure(),
                Some(&TlsError::Truncated),
                "{stack:?}, {role:?}"
            );
            assert_eq!(&talk.plain[..], b"one record");
            assert!(!talk.tls.peer_closed());
            met(&talk.finish().1, "cut");
            // And so do we.
            let mut talk = start(Script::new(stack, "echo"), role);
            talk.handshake();
            talk.tls.write(b"one record").unwrap();
            while talk.plain.is_empty() {
                talk.read();
            }
            talk.cut();
            let (_, said) = talk.finish();
            met(&said, "cut");
            assert_eq!(said["end"], "cut", "{stack:?}, {role:?}");
        }
    }
}
