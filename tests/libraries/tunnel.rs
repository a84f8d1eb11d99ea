//! Over a tunnel of bytes: `xtls_client::Tunnel`.

use std::collections::BTreeSet;

use xtls_client::relay::{Limits, Relay};
use xtls_client::router::Config;
use xtls_client::{Accept, Client, Incoming, Pins, Tunnel};
use xtls_session::{Mode, Service};
use xtls_tests::keys::{self, JULIET, ROMEO, address};
use xtls_tls::trust::Policy;

use super::{copying, tls, yamux};

/// One client of two, who trust each other on first use.
async fn client(relay: &Relay, own: &str, peer: &str, key: u8) -> (Client, Incoming) {
    let link = relay.attach(address(own)).await.unwrap();
    let tls = keys::seeded_tls(keys::identity(own, key), [key; 32]);
    let pins = Pins::memory();
    let config = Config::new(tls, pins.store())
        .policy(Policy::Tofu)
        .service(Service::new("libraries", Mode::Bytes))
        .accept(Accept::Only(BTreeSet::from([address(peer).to_bare()])));
    let (client, incoming, _task) = Client::seeded(link, config, pins, [key + 100; 32]);
    (client, incoming)
}

async fn pair() -> (Tunnel, Tunnel) {
    let relay = Relay::start(Limits::default());
    let (romeo, _) = client(&relay, ROMEO, JULIET, 1).await;
    let (_juliet, mut incoming) = client(&relay, JULIET, ROMEO, 2).await;
    let near = romeo.open(&address(JULIET)).await.unwrap();
    let far = incoming.next().await.unwrap();
    let (at_near, at_far) = tokio::join!(near.established(), far.established());
    at_near.unwrap();
    at_far.unwrap();
    (near, far)
}

#[tokio::test(start_paused = true)]
async fn copy_bidirectional_carries_ten_megabytes_each_way() {
    let (near, far) = pair().await;
    copying::between_proxies(near, far, 10_000_000, 10_000_000).await;
}

#[tokio::test(start_paused = true)]
async fn the_direction_that_is_done_first_does_not_end_the_other() {
    let (near, far) = pair().await;
    copying::between_proxies(near, far, 300_000, 3_000_000).await;
    let (near, far) = pair().await;
    copying::between_proxies(near, far, 3_000_000, 0).await;
}

#[tokio::test(start_paused = true)]
async fn tokio_rustls() {
    let (near, far) = pair().await;
    tls::both_directions_end_by_themselves(near, far).await;
}

#[tokio::test(start_paused = true)]
async fn yamux_with_a_hundred_streams() {
    let (near, far) = pair().await;
    yamux::a_hundred_streams_are_echoed(near, far).await;
}
