//! The established byte stream: sizes, limits, back-pressure.

use std::io::Write as _;

use xtls_tls::{Config, ConfigError, Expectations, RECORD_OVERHEAD, Role, Tls, WriteError};

use super::{
    certificate::Says,
    raw::Script,
    support::{ALICE, BOB, End as _, config, connected, expect, ours, records, settle},
};

/// rustls alone stops at 16 KiB of unread plaintext and calls the next read an error.
#[test]
fn pending_plaintext_beyond_rustls_buffers_comes_out_at_once() {
    for len in [
        16 * 1024,
        16 * 1024 + 1,
        32 * 1024,
        33_000,
        1024 * 1024 - 4096,
    ] {
        let (mut alice, mut bob) = connected();
        let data: Vec<u8> = (0..=255).cycle().take(len).collect();
        alice.tls.write(&data).unwrap();
        bob.feed(&alice.take());
        assert_eq!(bob.tls.failure(), None);
        assert!(bob.plain == data[..], "{len} bytes");
    }
}

#[test]
fn many_small_records_come_out_at_once() {
    let (mut alice, mut bob) = connected();
    for _ in 0..5000 {
        alice.tls.write(b"x").unwrap();
    }
    bob.feed(&alice.take());
    assert_eq!(bob.plain.len(), 5000);
}

#[test]
fn each_write_is_a_record_of_its_own() {
    let (mut alice, _bob) = connected();
    alice.tls.write(b"one").unwrap();
    alice.tls.write(b"").unwrap();
    alice.tls.write(b"three").unwrap();
    assert_eq!(records(&alice.take()), [(23, 3 + 17), (23, 5 + 17)]);
}

#[test]
fn shared_writes_share_a_record_until_something_else_is_called() {
    let (mut alice, mut bob) = connected();
    alice.tls.write_shared(b"one").unwrap();
    assert_eq!(alice.tls.wire_pending(), 3 + RECORD_OVERHEAD);
    alice.tls.write_shared(b"").unwrap();
    alice.tls.write_shared(b"three").unwrap();
    assert_eq!(alice.tls.wire_pending(), 8 + RECORD_OVERHEAD);
    let mut wire = alice.take();
    assert_eq!(records(&wire), [(23, 8 + 17)]);
    // Polled in between, and before something that has a record of its own.
    alice.tls.write_shared(b"four").unwrap();
    wire.extend(alice.take());
    alice.tls.write_shared(b"five").unwrap();
    alice.tls.write(b"six").unwrap();
    alice.tls.write_shared(b"seven").unwrap();
    let rest = alice.take();
    assert_eq!(records(&rest), [(23, 4 + 17), (23, 3 + 17), (23, 5 + 17)]);
    wire.extend(rest);
    bob.feed(&wire);
    assert_eq!(&bob.plain[..], b"onethreefourfivesixseven");
}

#[test]
fn a_shared_record_is_never_longer_than_a_record() {
    let (mut alice, mut bob) = connected();
    for len in [10_000, 6384, 1, 16_384, 20_000] {
        alice.tls.write_shared(&vec![7; len]).unwrap();
    }
    let wire = alice.take();
    let lengths = [16_384, 1, 16_384, 16_384, 3616];
    assert_eq!(records(&wire), lengths.map(|len| (23, len + 17)));
    bob.feed(&wire);
    assert_eq!(bob.plain.len(), 52_769);
}

#[test]
fn a_shared_write_goes_out_before_whatever_ends_the_connection() {
    for end in [Tls::close, Tls::reject] {
        let (mut alice, mut bob) = connected();
        alice.tls.write_shared(b"last words").unwrap();
        end(&mut alice.tls);
        let wire = alice.take();
        assert_eq!(records(&wire).len(), 2);
        bob.feed(&wire);
        assert_eq!(&bob.plain[..], b"last words");
        assert!(alice.tls.write_shared(b"more").is_err());
    }
}

#[test]
fn shared_writes_count_for_the_limit() {
    let (mut alice, _bob) = connected();
    let room = alice.tls.room();
    alice.tls.write_shared(b"12345").unwrap();
    assert_eq!(alice.tls.room(), room - 5 - RECORD_OVERHEAD);
    let much = vec![1; room];
    assert!(matches!(
        alice.tls.write_shared(&much),
        Err(WriteError::Full { .. })
    ));
    assert_eq!(records(&alice.take()), [(23, 5 + 17)]);
}

#[test]
fn records_follow_the_size_that_is_set() {
    let (mut alice, mut bob) = connected();
    alice.tls.set_max_record(4096 - RECORD_OVERHEAD);
    alice.tls.write(&[1; 10_000]).unwrap();
    let wire = alice.take();
    assert_eq!(records(&wire), [(23, 4091), (23, 4091), (23, 1852 + 17)]);
    bob.feed(&wire);
    alice.tls.set_max_record(usize::MAX);
    alice.tls.write(&[2; 20_000]).unwrap();
    let wire = alice.take();
    assert_eq!(records(&wire), [(23, 16_384 + 17), (23, 3616 + 17)]);
    bob.feed(&wire);
    alice.tls.set_max_record(0);
    alice.tls.write(&[3; 2]).unwrap();
    let wire = alice.take();
    assert_eq!(records(&wire), [(23, 1 + 17), (23, 1 + 17)]);
    bob.feed(&wire);
    assert_eq!(bob.plain.len(), 30_002);
}

#[test]
fn the_queue_toward_the_wire_is_bounded() {
    let mut alice = ours(
        Role::Client,
        &config(ALICE, 1).max_pending(1000),
        expect(ALICE, BOB),
    );
    let mut bob = ours(Role::Server, &config(BOB, 2), expect(BOB, ALICE));
    settle(&mut alice, &mut bob);
    assert_eq!(alice.tls.room(), 1000);
    assert_eq!(
        alice.tls.write(&[0; 1001]),
        Err(WriteError::Full { room: 1000 })
    );
    assert_eq!(alice.tls.wire_pending(), 0, "all or nothing");
    alice.tls.write(&[0; 1000]).unwrap();
    assert_eq!(alice.tls.room(), 0);
    assert_eq!(alice.tls.write(&[0]), Err(WriteError::Full { room: 0 }));
    bob.feed(&alice.take());
    assert_eq!(alice.tls.room(), 1000);
    assert_eq!(bob.plain.len(), 1000);
}

#[test]
fn plain_rustls_is_understood_and_understands() {
    for role in [Role::Client, Role::Server] {
        let (other, script) = match role {
            Role::Client => (Role::Server, Script::saying(Says::jid(ALICE), 1)),
            Role::Server => (Role::Client, Script::saying(Says::jid(ALICE), 1)),
        };
        let mut raw = script.start(role);
        let mut bob = ours(other, &config(BOB, 2), expect(BOB, ALICE));
        settle(&mut raw, &mut bob);
        assert_eq!((bob.tls.failure(), &raw.error), (None, &None));
        assert_eq!(&bob.plain[..], b"early");
        raw.connection.writer().write_all(&[9; 40_000]).unwrap();
        bob.tls.write(&[8; 40_000]).unwrap();
        settle(&mut raw, &mut bob);
        assert_eq!(bob.plain.len(), 5 + 40_000);
        assert_eq!(raw.plain, [8; 40_000][..]);
    }
}

#[test]
fn impossible_configurations_are_refused_by_name() {
    let make =
        |config: Config, expect: Expectations| Tls::new(Role::Client, &config, expect).unwrap_err();
    let good = || config(ALICE, 1);
    for given in [0, 26, 16_385] {
        assert_eq!(
            make(good().max_record(given), expect(ALICE, BOB)),
            ConfigError::Record { given }
        );
    }
    let with = |alpn: &[u8]| {
        let mut expect = expect(ALICE, BOB);
        expect.alpn = alpn.to_vec();
        expect
    };
    assert_eq!(
        make(good(), with(&[b'x'; 256])),
        ConfigError::Alpn { len: 256 }
    );
    assert_eq!(make(good(), with(b"")), ConfigError::Alpn { len: 0 });
    let own = ConfigError::OwnJid {
        identity: ALICE.to_owned(),
        own: "carol@example.org".to_owned(),
    };
    assert_eq!(make(good(), expect("carol@example.org", BOB)), own);
    assert!(matches!(
        make(good(), expect(ALICE, "bob@example.net/phone")),
        ConfigError::Jid { .. }
    ));
    assert!(matches!(
        make(good(), expect("", BOB)),
        ConfigError::Jid { .. }
    ));
}
