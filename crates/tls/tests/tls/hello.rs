//! What our flights do not contain: nothing that links sessions or could be replayed.

use std::io::Write as _;

use rustls::{client::Resumption, server::ServerSessionMemoryCache};
use xtls_tls::Role;

use super::{
    certificate::Says,
    raw::{Raw, Script},
    support::{ALICE, BOB, End as _, config, expect, ours, records, settle},
};

const SERVER_NAME: u16 = 0;
const SESSION_TICKET: u16 = 35;
const COMPRESS_CERTIFICATE: u16 = 27;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;
const TICKET_REQUEST: u16 = 58;

/// The extensions of a ClientHello that fills one record (RFC 8446 §4.1.2).
fn extensions(wire: &[u8]) -> Vec<(u16, &[u8])> {
    let hello = &wire[5 + 4..];
    let mut rest = &hello[2 + 32..];
    rest = &rest[1 + usize::from(rest[0])..];
    rest = &rest[2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]))..];
    rest = &rest[1 + usize::from(rest[0]) + 2..];
    let mut found = Vec::new();
    while let [a, b, c, d, more @ ..] = rest {
        let (content, after) = more.split_at(usize::from(u16::from_be_bytes([*c, *d])));
        found.push((u16::from_be_bytes([*a, *b]), content));
        rest = after;
    }
    found
}

#[test]
fn the_hello_names_no_server_ticket_or_early_data() {
    let mut alice = ours(Role::Client, &config(ALICE, 1), expect(ALICE, BOB));
    let hello = alice.take();
    assert_eq!(records(&hello).len(), 1);
    let extensions = extensions(&hello);
    assert!(extensions.len() > 5);
    for unwanted in [
        SERVER_NAME,
        SESSION_TICKET,
        COMPRESS_CERTIFICATE,
        PRE_SHARED_KEY,
        EARLY_DATA,
        TICKET_REQUEST,
    ] {
        assert!(
            extensions.iter().all(|(kind, _)| *kind != unwanted),
            "extension {unwanted}"
        );
    }
    let versions = extensions
        .iter()
        .find(|(kind, _)| *kind == SUPPORTED_VERSIONS);
    assert_eq!(
        versions,
        Some(&(SUPPORTED_VERSIONS, &[2, 3, 4][..])),
        "TLS 1.3 alone"
    );
}

/// 1,000 handshakes: the server says nothing after its Finished, so nobody can resume.
#[test]
fn no_server_ever_sends_a_ticket() {
    let (alice_config, bob_config) = (config(ALICE, 1), config(BOB, 2));
    for _ in 0..1000 {
        let mut alice = ours(Role::Client, &alice_config, expect(ALICE, BOB));
        let mut bob = ours(Role::Server, &bob_config, expect(BOB, ALICE));
        bob.feed(&alice.take());
        alice.feed(&bob.take());
        bob.feed(&alice.take());
        assert!(!bob.tls.is_handshaking());
        assert_eq!(bob.tls.wire_pending(), 0);
        assert_eq!(alice.tls.wire_pending(), 0);
    }
}

/// A client that resumes whenever it can, asks for tickets, and sends early data when it may.
fn eager() -> Script {
    Script {
        edit_client: |config| {
            config.resumption = Resumption::in_memory_sessions(8);
            config.enable_early_data = true;
            config.send_ticket_request = Some(rustls::client::TicketRequest {
                new_session_count: 3,
                resumption_count: 2,
            });
        },
        ..Script::saying(Says::jid(ALICE), 1)
    }
}

/// Another 1,000, of a client that asks: no byte comes after our Finished, and rustls has seen no ticket in what came.
#[test]
fn a_client_that_asks_for_tickets_gets_none_and_never_resumes() {
    let bob_config = config(BOB, 2);
    for _ in 0..1000 {
        let mut alice = eager().start(Role::Client);
        let mut bob = ours(Role::Server, &bob_config, expect(BOB, ALICE));
        let hello = alice.take();
        assert!(
            extensions(&hello)
                .iter()
                .any(|(kind, _)| *kind == TICKET_REQUEST)
        );
        bob.feed(&hello);
        alice.feed(&bob.take());
        bob.feed(&alice.take());
        assert!(!bob.tls.is_handshaking());
        assert_eq!(bob.tls.wire_pending(), 0, "not a byte after the handshake");
        assert_eq!((bob.tls.failure(), &alice.error), (None, &None));
        let rustls::Connection::Client(client) = &alice.connection else {
            panic!("a client")
        };
        assert_eq!(client.tls13_tickets_received(), 0);
        assert_eq!(
            alice.connection.handshake_kind(),
            Some(rustls::HandshakeKind::Full)
        );
    }
}

/// It has a ticket that allows early data, from somebody with the same name and key. We take neither.
#[test]
fn a_ticket_of_another_server_resumes_nothing_and_its_early_data_is_not_read() {
    let generous = Script {
        edit_server: |config| {
            config.session_storage = ServerSessionMemoryCache::new(8);
            config.send_tls13_tickets = 4;
            config.max_early_data_size = 1000;
        },
        ..Script::saying(Says::jid(BOB), 2)
    };
    // rustls resumes only with the very configuration that the ticket came to.
    let config_of_alice = eager().client();
    let mut alice = Raw::client(config_of_alice.clone());
    let mut other = generous.start(Role::Server);
    settle(&mut alice, &mut other);
    assert_eq!((&alice.error, &other.error), (&None, &None));

    let mut alice = Raw::client(config_of_alice);
    let rustls::Connection::Client(client) = &mut alice.connection else {
        panic!("a client")
    };
    client
        .early_data()
        .unwrap()
        .write_all(b"replayable")
        .unwrap();
    let mut bob = ours(Role::Server, &config(BOB, 2), expect(BOB, ALICE));
    let wire = alice.take();
    let hello = 5 + records(&wire)[0].1;
    let kinds: Vec<u16> = extensions(&wire[..hello])
        .iter()
        .map(|(kind, _)| *kind)
        .collect();
    assert!(
        kinds.contains(&PRE_SHARED_KEY) && kinds.contains(&EARLY_DATA),
        "it does try"
    );
    assert!(wire.len() > hello, "and the early data is on the wire");
    bob.feed(&wire);
    settle(&mut alice, &mut bob);
    assert_eq!((bob.tls.failure(), &alice.error), (None, &None));
    let rustls::Connection::Client(client) = &alice.connection else {
        panic!("a client")
    };
    assert!(!client.is_early_data_accepted());
    assert_eq!(
        alice.connection.handshake_kind(),
        Some(rustls::HandshakeKind::Full)
    );
    assert!(!bob.plain.windows(10).any(|window| window == b"replayable"));
    assert!(
        bob.tls.peer().is_some(),
        "the certificate was asked for and judged again"
    );
}

/// A server that sends tickets is endured, and they are not used: each connection has a state of its own.
#[test]
fn tickets_of_a_server_are_ignored() {
    let alice_config = config(ALICE, 1);
    for _ in 0..3 {
        let generous = Script {
            edit_server: |config| {
                config.session_storage = ServerSessionMemoryCache::new(8);
                config.send_tls13_tickets = 4;
                config.max_early_data_size = 1000;
            },
            ..Script::saying(Says::jid(BOB), 2)
        };
        let mut bob = generous.start(Role::Server);
        let mut alice = ours(Role::Client, &alice_config, expect(ALICE, BOB));
        let hello = alice.take();
        assert!(
            extensions(&hello)
                .iter()
                .all(|(kind, _)| *kind != PRE_SHARED_KEY)
        );
        bob.feed(&hello);
        settle(&mut alice, &mut bob);
        assert_eq!((alice.tls.failure(), &bob.error), (None, &None));
        assert_eq!(&alice.plain[..], b"early");
    }
}
