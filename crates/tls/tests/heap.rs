//! What a connection holds on the heap. The only test of its process: everything allocated meanwhile would count.

#![cfg(feature = "aws-lc-rs")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

use std::sync::Arc;

use bytes::BytesMut;
use peak_alloc::PeakAlloc;
use rustls::time_provider::DefaultTimeProvider;
use xtls_tls::{Config, Expectations, Identity, Role, Tls, default_provider, trust};
use zeroize::Zeroizing;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Pairs of connections held at once.
const PAIRS: usize = 20;

fn end(role: Role, seed: u8, own: &str, peer: &str) -> Tls {
    let identity = Identity::generate(own, &Zeroizing::new([seed; 32]), 1_767_225_600).unwrap();
    let time = Arc::new(DefaultTimeProvider);
    let config = Config::new(Arc::new(identity), default_provider(), time).unwrap();
    let mut expect = Expectations::new(own, peer, trust::Store::new(), trust::Policy::Tofu);
    expect.alpn = b"heap".to_vec();
    expect.alpn_required = true;
    Tls::new(role, &config, expect).unwrap()
}

fn carry(from: &mut Tls, to: &mut Tls) {
    let mut plain = BytesMut::new();
    while let Some(wire) = from.poll_wire(5000) {
        to.handle_wire(&wire, &mut plain);
    }
    assert_eq!((from.failure(), to.failure()), (None, None));
}

fn pair() -> (Tls, Tls) {
    let mut alice = end(Role::Client, 1, "alice@example.org", "bob@example.net");
    let mut bob = end(Role::Server, 2, "bob@example.net", "alice@example.org");
    for _ in 0..2 {
        carry(&mut alice, &mut bob);
        carry(&mut bob, &mut alice);
    }
    assert!(alice.peer().is_some() && bob.peer().is_some());
    (alice, bob)
}

#[test]
fn an_idle_connection_gives_back_what_traffic_took() {
    drop(pair());
    let start = HEAP.current_usage();
    let mut pairs: Vec<_> = (0..PAIRS).map(|_| pair()).collect();
    let each = || (HEAP.current_usage() - start) / (2 * PAIRS);
    let fresh = each();
    assert!(fresh <= 10 * 1024, "{fresh} bytes before traffic");
    for (alice, bob) in &mut pairs {
        for _ in 0..3 {
            alice.write(&[1; 100_000]).unwrap();
            carry(alice, bob);
            bob.write(&[2; 100_000]).unwrap();
            carry(bob, alice);
        }
    }
    let idle = each();
    assert!(
        idle <= fresh + 512,
        "{fresh} bytes before traffic, {idle} after"
    );
}
