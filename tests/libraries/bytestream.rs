//! Over a bytestream without TLS: `xtls_ibb::io::Stream`.

use tokio::sync::mpsc;
use xtls_ibb::io::{self, Endpoint, Listener, Stream};
use xtls_ibb::{Allow, Config, Mux, OpenOptions};
use xtls_tests::keys::{JULIET, ROMEO, address};

use super::{conveyors, copying, http, tls, yamux};

/// As many streams at once as the requests of [`http`].
fn config() -> Config {
    Config::default()
        .max_streams_per_peer(http::AT_ONCE)
        .max_pending_per_peer(http::AT_ONCE)
        .opens_per_minute(100)
}

fn endpoints() -> (Endpoint, Listener) {
    let (to_juliet, from_romeo) = mpsc::channel(4);
    let (to_romeo, from_juliet) = mpsc::channel(4);
    let mux = Mux::new(address(ROMEO), config(), [1; 32]);
    let (endpoint, _, driver) = io::endpoint(mux, from_juliet, to_juliet);
    tokio::spawn(driver.run());
    let mut mux = Mux::new(address(JULIET), config(), [2; 32]);
    mux.allow(Allow::Anyone);
    let (_, listener, driver) = io::endpoint(mux, from_romeo, to_romeo);
    tokio::spawn(driver.run());
    (endpoint, listener)
}

async fn pair() -> (Stream, Stream) {
    let (endpoint, mut listener) = endpoints();
    let to = address(JULIET);
    let open = endpoint.open(&to, OpenOptions::default());
    let accept = async { listener.next().await.unwrap().accept(None).unwrap() };
    let (ours, theirs) = tokio::join!(open, accept);
    (ours.unwrap(), theirs)
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
    let (endpoint, mut listener) = endpoints();
    let (accepted, streams) = mpsc::channel(1);
    tokio::spawn(async move {
        // As any `futures::Stream`.
        while let Some(incoming) = futures::StreamExt::next(&mut listener).await {
            let stream = incoming.accept(None).unwrap();
            if accepted.send(stream).await.is_err() {
                break;
            }
        }
    });
    let open = move || {
        let endpoint = endpoint.clone();
        async move {
            endpoint
                .open(&address(JULIET), OpenOptions::default())
                .await
        }
    };
    http::a_pool_of_eight_requests(open, streams).await;
}
