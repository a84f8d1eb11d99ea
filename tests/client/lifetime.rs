//! Handles that are dropped, clients that stop, links that are lost.

use std::time::Duration;

use tokio::time::timeout;
use xtls_client::relay::Limits;
use xtls_client::router::{OpenError, SendError, TunnelEvent, Why};
use xtls_client::transport::StreamEnd;
use xtls_client::{JudgeError, LinkError, Relay};
use xtls_session::{Verdict, Why as Ended};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;

use crate::world::*;

#[tokio::test(start_paused = true)]
async fn a_dropped_tunnel_is_closed_in_order() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    own.send(message("m1", "word")).await.unwrap();
    let sender = own.sender();
    drop(own);
    assert_eq!(stanza(&mut theirs).await, "m1");
    assert_eq!(next(&mut theirs).await, TunnelEvent::PeerFinished);
    theirs.finish().await;
    let (_, closed) = rest(&mut theirs).await;
    assert!(
        closed.clean && closed.why == Why::Session(Ended::Finished),
        "{closed:?}"
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(matches!(
        sender.send(message("m2", "word")).await,
        Err(SendError::Gone(_))
    ));
    // The slot is free.
    established(&romeo, &mut juliet).await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_dropped_before_it_is_open_is_withdrawn() {
    let (_relay, romeo, mut juliet) =
        friends(Limits::default().latency(Duration::from_secs(1))).await;
    drop(romeo.client.open(&keys::address(JULIET)).await.unwrap());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut theirs = juliet.incoming.next().await.unwrap();
    let (_, closed) = rest(&mut theirs).await;
    assert!(!closed.clean);
    established(&romeo, &mut juliet).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_without_handles_ends() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    own.send(message("m1", "word")).await.unwrap();
    drop((romeo.client, romeo.incoming, own));
    assert_eq!(stanza(&mut theirs).await, "m1");
    theirs.finish().await;
    assert!(rest(&mut theirs).await.1.clean);
    assert_eq!(timeout(LONG, romeo.task).await.unwrap().unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_client_without_handles_ends_although_its_peer_does_not() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (own, _theirs) = established(&romeo, &mut juliet).await;
    drop((romeo.client, romeo.incoming, own));
    assert_eq!(timeout(LONG, romeo.task).await.unwrap().unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn any_handle_keeps_the_client() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    drop((romeo.client, romeo.incoming));
    let sender = own.sender();
    tokio::time::sleep(LONG).await;
    sender.send(message("m1", "word")).await.unwrap();
    assert_eq!(stanza(&mut theirs).await, "m1");
    assert!(!romeo.task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_asked_to_stop_closes_what_is_open() {
    let (relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
    romeo.client.stop().await;
    let again = romeo
        .client
        .open(&keys::address("nurse@capulet.example/door"))
        .await;
    assert!(matches!(again, Err(OpenError::Stopped)));
    assert_eq!(next(&mut theirs).await, TunnelEvent::PeerFinished);
    theirs.finish().await;
    assert!(rest(&mut own).await.1.clean);
    assert!(rest(&mut theirs).await.1.clean);
    assert_eq!(timeout(LONG, romeo.task).await.unwrap().unwrap(), Ok(()));
    assert!(matches!(
        romeo.client.open(&keys::address(JULIET)).await,
        Err(OpenError::Stopped)
    ));
    romeo.client.stop().await;
    // Its address is free.
    tokio::time::sleep(Duration::from_secs(1)).await;
    relay.attach(keys::address(ROMEO)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_stops_although_no_one_reads_its_tunnels() {
    let (_relay, mut romeo, juliet) = friends(Limits::default()).await;
    let theirs = juliet.client.open(&keys::address(ROMEO)).await.unwrap();
    let mut own = romeo.incoming.next().await.unwrap();
    for number in 0.. {
        let sending = theirs.send(numbered(number, 1000));
        if timeout(Duration::from_secs(1), sending).await.is_err() {
            break;
        }
    }
    romeo.client.stop().await;
    assert_eq!(timeout(LONG, romeo.task).await.unwrap().unwrap(), Ok(()));
    let (told, closed) = rest(&mut own).await;
    assert!(!ids(&told).is_empty() && !closed.clean);
    assert_eq!(closed.why, Why::Session(Ended::CloseTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_no_one_takes_is_not_left_open() {
    let (_relay, romeo, juliet) = friends(Limits::default()).await;
    drop(juliet.incoming);
    let mut own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let (_, closed) = rest(&mut own).await;
    assert!(!closed.clean, "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn incoming_ends_with_its_client() {
    let (_relay, mut romeo, _juliet) = friends(Limits::default()).await;
    romeo.client.stop().await;
    assert!(
        timeout(LONG, romeo.incoming.next())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test(start_paused = true)]
async fn an_abort_is_a_truncation_to_the_peer() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
    own.abort().await;
    assert_eq!(rest(&mut own).await.1.why, Why::Session(Ended::Aborted));
    let (_, closed) = rest(&mut theirs).await;
    assert!(
        matches!(
            closed.why,
            Why::Cut {
                session: Ended::Truncated,
                ..
            }
        ),
        "{closed:?}"
    );
    assert!(!closed.clean);
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_its_peer_no_longer_than_it_says() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
    own.close().await;
    let started = tokio::time::Instant::now();
    let (_, closed) = rest(&mut own).await;
    assert_eq!(closed.why, Why::Session(Ended::CloseTimeout));
    // No one there has taken anything, or ended.
    assert!(started.elapsed() < Duration::from_secs(21));
    assert_eq!(next(&mut theirs).await, TunnelEvent::PeerFinished);
    assert!(
        rest(&mut theirs).await.1.clean,
        "all of ours was read there"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_ends_every_tunnel_and_every_call() {
    // Enough for a handshake, but too little for a full chunk.
    let (_relay, romeo, mut juliet) = friends(Limits::default().max_stanza(4000)).await;
    let (mut own, _theirs) = established(&romeo, &mut juliet).await;
    let sender = own.sender();
    let sending = tokio::spawn(async move {
        for number in 0..10_000 {
            if let Err(error) = sender.send(numbered(number, 10_000)).await {
                return error;
            }
        }
        panic!("the link is never cut");
    });
    let (told, closed) = rest(&mut own).await;
    assert_eq!(told, []);
    assert!(
        matches!(
            &closed.why,
            Why::Cut {
                stream: StreamEnd::LinkLost,
                ..
            }
        ),
        "{closed:?}"
    );
    assert!(matches!(sending.await.unwrap(), SendError::Gone(_)));
    let ended = romeo.task.await.unwrap();
    assert!(
        matches!(&ended, Err(LinkError::Lost(why)) if why.to_string().contains("policy-violation")),
        "{ended:?}"
    );
    assert!(matches!(
        romeo.client.open(&keys::address(JULIET)).await,
        Err(OpenError::Stopped)
    ));
    assert!(matches!(
        own.send(message("m", "word")).await,
        Err(SendError::Gone(_))
    ));
    let key = keys::fingerprint(JULIET, 2);
    let judged = own.judge(key, Verdict::Accept).await;
    assert!(matches!(judged, Err(JudgeError::Stale(_))), "{judged:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_is_behind_when_the_link_is_lost_gets_all_that_came() {
    let relay = Relay::start(Limits::default());
    let (romeo, mut juliet) = (romeo().on(&relay).await, juliet().on(&relay).await);
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    let mut sent = 0;
    while timeout(Duration::from_secs(1), own.send(numbered(sent, 1000)))
        .await
        .is_ok()
    {
        sent += 1;
    }
    relay.cut(&keys::address(JULIET));
    assert!(timeout(LONG, juliet.task).await.unwrap().unwrap().is_err());
    let (told, closed) = rest(&mut theirs).await;
    let received = ids(&told);
    assert!(received.len() > 50, "{}", received.len());
    assert_eq!(received, names(0..received.len()));
    assert!(
        matches!(
            closed.why,
            Why::Cut {
                stream: StreamEnd::LinkLost,
                ..
            }
        ),
        "{closed:?}"
    );
}
