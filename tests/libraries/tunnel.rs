//! Over a tunnel of bytes: `xtls_client::Tunnel`.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use xtls_client::relay::{Limits, Relay};
use xtls_client::router::Config;
use xtls_client::{Accept, Client, Incoming, Pins, Tunnel};
use xtls_session::{Mode, Service};
use xtls_stanza::busy::Limit;
use xtls_tests::keys::{self, JULIET, ROMEO, address};
use xtls_tls::trust::Policy;

use super::{conveyors, copying, http, tls, yamux};

pub(crate) fn service() -> Service {
    Service::new("libraries", Mode::Bytes)
}

async fn client(
    relay: &Relay,
    own: &str,
    peer: &str,
    key: u8,
    policy: Policy,
) -> (Client, Incoming) {
    let link = relay.attach(address(own)).await.unwrap();
    let tls = keys::seeded_tls(keys::identity(own, key), [key; 32]);
    let pins = Pins::memory();
    let config = Config::new(tls, pins.store())
        .policy(policy)
        .service(service())
        // A pool opens more at once than a stranger may by default.
        .limit(Limit::OpensPerMinute, 100)
        .limit(Limit::StreamsPerPeer, 100)
        .limit(Limit::UnfinishedPerPeer, 8)
        .accept(Accept::Only(BTreeSet::from([address(peer).to_bare()])));
    let (client, incoming, _task) = Client::seeded(link, config, pins, [key + 100; 32]);
    (client, incoming)
}

/// Two clients on a relay, who have never met.
pub(crate) struct Two {
    pub(crate) romeo: Client,
    pub(crate) juliet: Client,
    /// What is opened to Juliet.
    pub(crate) incoming: Incoming,
}

impl Two {
    /// With the policies of Romeo and of Juliet.
    pub(crate) async fn new([romeo, juliet]: [Policy; 2]) -> Self {
        let relay = Relay::start(Limits::default());
        let (romeo, _) = client(&relay, ROMEO, JULIET, 1, romeo).await;
        let (juliet, incoming) = client(&relay, JULIET, ROMEO, 2, juliet).await;
        Self {
            romeo,
            juliet,
            incoming,
        }
    }

    pub(crate) async fn on_first_use() -> Self {
        Self::new([Policy::Tofu, Policy::Tofu]).await
    }
}

async fn pair() -> (Tunnel, Tunnel) {
    let mut two = Two::on_first_use().await;
    let near = two.romeo.open(&address(JULIET)).await.unwrap();
    let far = two.incoming.next().await.unwrap();
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

#[tokio::test(start_paused = true)]
async fn a_pipe_both_ways() {
    let (near, far) = pair().await;
    conveyors::a_pipe_proves_what_went_both_ways(near, far).await;
}

#[tokio::test(start_paused = true)]
async fn a_pipe_that_is_cut() {
    let (near, far) = pair().await;
    conveyors::a_pipe_over_a_stream_that_is_dropped_is_cut(near, far).await;
}

#[tokio::test]
async fn a_forward() {
    let (near, far) = pair().await;
    conveyors::a_forward_carries_connections_with_their_ends(near, far).await;
}

#[tokio::test(start_paused = true)]
async fn hyper_with_a_pool_of_eight() {
    let Two {
        romeo,
        juliet,
        mut incoming,
    } = Two::on_first_use().await;
    let (accepted, tunnels) = mpsc::channel(1);
    let (in_use, mut done) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let _juliet = juliet;
        loop {
            tokio::select! {
                Some(tunnel) = incoming.next() => accepted.send(tunnel).await.unwrap(),
                _ = &mut done => break,
            }
        }
    });
    let in_use = Arc::new(in_use);
    let open = move || {
        let (romeo, in_use) = (romeo.clone(), in_use.clone());
        async move {
            let _in_use = in_use;
            romeo.open(&address(JULIET)).await.map_err(io::Error::other)
        }
    };
    http::a_pool_of_eight_requests(open, tunnels).await;
}
