//! Opening again while the previous tunnel is still ending.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use xtls_client::relay::Limits;
use xtls_client::router::OpenError;
use xtls_client::{Relay, Tunnel};
use xtls_session::Service;
use xtls_tests::keys::{self, JULIET};
use xtls_tests::pair::message;

use crate::bytes::pipe;
use crate::world::{Party, juliet, romeo, stanza};

async fn two(service: Service) -> (Relay, Party, Party) {
    let latency = std::time::Duration::from_millis(50);
    let relay = Relay::start(Limits::default().latency(latency));
    let services = [service];
    let romeo = romeo().serving(&services).on(&relay).await;
    let juliet = juliet().serving(&services).on(&relay).await;
    (relay, romeo, juliet)
}

async fn again(romeo: &Party, juliet: &mut Party) -> (Tunnel, Tunnel) {
    let own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let theirs = juliet.incoming.next().await.unwrap();
    own.established().await.unwrap();
    theirs.established().await.unwrap();
    (own, theirs)
}

#[tokio::test(start_paused = true)]
async fn an_open_waits_for_the_tunnel_of_bytes_that_was_dropped() {
    let (_relay, romeo, mut juliet) = two(pipe()).await;
    for number in 0..10_u8 {
        let (mut own, mut theirs) = again(&romeo, &mut juliet).await;
        own.write_all(&[number]).await.unwrap();
        own.shutdown().await.unwrap();
        assert_eq!(theirs.read_u8().await.unwrap(), number);
        drop((own, theirs));
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_waits_for_the_tunnel_of_stanzas_that_was_dropped_or_closed() {
    let (_relay, romeo, mut juliet) = two(Service::stanzas()).await;
    for number in 0..10 {
        let (own, mut theirs) = again(&romeo, &mut juliet).await;
        let id = format!("m{number}");
        own.send(message(&id, "word")).await.unwrap();
        assert_eq!(stanza(&mut theirs).await, id);
        if number % 2 == 0 {
            own.close().await;
            own.closed().await.unwrap();
        }
        drop((own, theirs));
    }
}

#[tokio::test(start_paused = true)]
async fn an_open_beside_a_tunnel_in_use_is_refused_at_once() {
    let (_relay, romeo, mut juliet) = two(Service::stanzas()).await;
    let (own, theirs) = again(&romeo, &mut juliet).await;
    let started = tokio::time::Instant::now();
    let refused = romeo.client.open(&keys::address(JULIET)).await;
    assert!(matches!(refused, Err(OpenError::Already(_))), "{refused:?}");
    assert_eq!(started.elapsed(), std::time::Duration::ZERO);
    drop(theirs);
    drop(own);
}

#[tokio::test(start_paused = true)]
async fn an_open_that_waits_ends_with_the_client() {
    let (_relay, romeo, mut juliet) = two(Service::stanzas()).await;
    let (own, _theirs) = again(&romeo, &mut juliet).await;
    drop(own);
    let to = keys::address(JULIET);
    let (refused, ()) = tokio::join!(romeo.client.open(&to), romeo.client.stop());
    assert!(matches!(refused, Err(OpenError::Stopped)), "{refused:?}");
    romeo.task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_can_be_awaited_after_the_handle_was_dropped() {
    let (_relay, romeo, mut juliet) = two(Service::stanzas()).await;
    let (own, mut theirs) = again(&romeo, &mut juliet).await;
    own.send(message("m1", "word")).await.unwrap();
    let sender = own.sender();
    drop(own);
    let reader = async {
        let mut last = None;
        while let Some(what) = theirs.next().await {
            last = Some(what);
        }
        last
    };
    let (closed, _) = tokio::join!(sender.closed(), reader);
    assert_eq!(closed.unwrap().peer, keys::address(JULIET));
    assert!(theirs.closed().await.unwrap().clean);
    // It stays known when the client has gone.
    romeo.task.abort();
    assert!(sender.closed().await.is_ok());
}
