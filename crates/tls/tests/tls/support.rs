//! Two ends and the wire between them.

use std::sync::Arc;

use bytes::BytesMut;
use rustls::{crypto::CryptoProvider, time_provider::DefaultTimeProvider};
use xtls_tls::{Config, Expectations, Identity, Role, Tls, default_provider, trust};
use zeroize::Zeroizing;

pub(crate) const ALICE: &str = "alice@example.org";
pub(crate) const BOB: &str = "bob@example.net";
pub(crate) const ALPN: &[u8] = b"xtls-stanza;abc";

/// Keys are 32 times this byte.
pub(crate) const ALICE_SEED: u8 = 1;
pub(crate) const BOB_SEED: u8 = 2;

/// Something that puts bytes on a wire and takes some from it.
pub(crate) trait End {
    fn take(&mut self) -> Vec<u8>;
    fn feed(&mut self, wire: &[u8]);
}

/// One of our ends, with all it received.
pub(crate) struct Ours {
    pub(crate) tls: Tls,
    pub(crate) plain: BytesMut,
}

impl End for Ours {
    fn take(&mut self) -> Vec<u8> {
        self.tls
            .poll_wire(usize::MAX)
            .map(Vec::from)
            .unwrap_or_default()
    }

    fn feed(&mut self, wire: &[u8]) {
        self.tls.handle_wire(wire, &mut self.plain);
    }
}

pub(crate) fn identity(jid: &str, seed: u8) -> Arc<Identity> {
    Arc::new(Identity::generate(jid, &Zeroizing::new([seed; 32]), 1_767_225_600).unwrap())
}

pub(crate) fn config_with(jid: &str, seed: u8, crypto: Arc<CryptoProvider>) -> Config {
    Config::new(identity(jid, seed), crypto, Arc::new(DefaultTimeProvider)).unwrap()
}

pub(crate) fn config(jid: &str, seed: u8) -> Config {
    config_with(jid, seed, default_provider())
}

pub(crate) fn expect(own: &str, peer: &str) -> Expectations {
    let mut expect = Expectations::new(own, peer, trust::Store::new(), trust::Policy::Tofu);
    expect.alpn = ALPN.to_vec();
    expect.alpn_required = true;
    expect
}

pub(crate) fn ours(role: Role, config: &Config, expect: Expectations) -> Ours {
    Ours {
        tls: Tls::new(role, config, expect).unwrap(),
        plain: BytesMut::new(),
    }
}

/// Alice as client, Bob as server.
pub(crate) fn pair() -> (Ours, Ours) {
    let alice = ours(Role::Client, &config(ALICE, ALICE_SEED), expect(ALICE, BOB));
    let bob = ours(Role::Server, &config(BOB, BOB_SEED), expect(BOB, ALICE));
    (alice, bob)
}

/// A pair whose handshake is finished and whose wire is empty.
pub(crate) fn connected() -> (Ours, Ours) {
    let (mut alice, mut bob) = pair();
    settle(&mut alice, &mut bob);
    for end in [&alice, &bob] {
        assert_eq!(end.tls.failure(), None);
        assert!(!end.tls.is_handshaking());
    }
    (alice, bob)
}

/// Carries bytes both ways, in pieces of `cut`, until both ends are silent.
pub(crate) fn settle_cut(one: &mut impl End, other: &mut impl End, cut: usize) {
    for _ in 0..100 {
        let (to_other, to_one) = (one.take(), other.take());
        if to_other.is_empty() && to_one.is_empty() {
            return;
        }
        to_other.chunks(cut).for_each(|piece| other.feed(piece));
        to_one.chunks(cut).for_each(|piece| one.feed(piece));
    }
    panic!("the two ends never fall silent");
}

pub(crate) fn settle(one: &mut impl End, other: &mut impl End) {
    settle_cut(one, other, usize::MAX);
}

pub(crate) fn exported(end: &Ours) -> [u8; 32] {
    let mut out = [0; 32];
    end.tls
        .export("EXPERIMENTAL-xtls-test", b"context", &mut out)
        .unwrap();
    out
}

/// The records on a wire: type and length of the content.
pub(crate) fn records(mut wire: &[u8]) -> Vec<(u8, usize)> {
    let mut found = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = wire {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        found.push((*kind, len));
        wire = &rest[len..];
    }
    assert!(wire.is_empty(), "half a record at the end");
    found
}
