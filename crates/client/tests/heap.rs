//! What an idle tunnel holds on the heap. The only test of its process: everything allocated meanwhile would count.

#![cfg(feature = "aws-lc-rs")]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

use std::sync::Arc;

use peak_alloc::PeakAlloc;
use xtls_client::relay::Limits;
use xtls_client::stanza::Address;
use xtls_client::tls::rustls::time_provider::DefaultTimeProvider;
use xtls_client::tls::trust::Policy;
use xtls_client::tls::{self, Identity};
use xtls_client::{Accept, Client, Config, Incoming, Pins, Relay, Tunnel};
use zeroize::Zeroizing;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Accounts that have a tunnel to the listener each.
const TUNNELS: usize = 20;

/// What one of them may add at both ends, in bytes.
const MOST: usize = 48 << 10;

async fn client(relay: &Relay, name: &str, number: u8) -> (Client, Incoming) {
    let own = Address::new(&format!("{name}{number}@montague.example/orchard")).unwrap();
    let seed = Zeroizing::new([number; 32]);
    let identity = Identity::generate(own.bare(), &seed, 1_767_225_600).unwrap();
    let time = Arc::new(DefaultTimeProvider);
    let tls = tls::Config::new(Arc::new(identity), tls::default_provider(), time).unwrap();
    let pins = Pins::memory();
    let config = Config::new(tls, pins.store())
        .policy(Policy::Tofu)
        .accept(Accept::Anyone);
    let link = relay.attach(own).await.unwrap();
    let (client, incoming, _task) = Client::start(link, config, pins).unwrap();
    (client, incoming)
}

async fn tunnel(opener: &Client, listener: &Client, incoming: &mut Incoming) -> [Tunnel; 2] {
    let near = opener.open(listener.own()).await.unwrap();
    let far = incoming.next().await.unwrap();
    near.established().await.unwrap();
    far.established().await.unwrap();
    [near, far]
}

#[tokio::test]
async fn both_ends_of_an_idle_tunnel_hold_at_most_48_kb() {
    let relay = Relay::start(Limits::default());
    let (listener, mut incoming) = client(&relay, "juliet", 100).await;
    let mut openers = Vec::new();
    for number in 0..=u8::try_from(TUNNELS).unwrap() {
        openers.push(client(&relay, "romeo", number).await.0);
    }
    // Data that is created once, such as tables for TLS and base64.
    let (one, others) = openers.split_first().unwrap();
    let _held = tunnel(one, &listener, &mut incoming).await;
    let before = HEAP.current_usage();
    let mut tunnels = Vec::new();
    for opener in others {
        tunnels.push(tunnel(opener, &listener, &mut incoming).await);
    }
    // There is one thread: whatever does not wait for the time is done then.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let each = (HEAP.current_usage() - before) / TUNNELS;
    assert!(each <= MOST, "{each} bytes");
}
