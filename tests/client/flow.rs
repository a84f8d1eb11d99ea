//! Stanzas through handles: early, many, and to owners that don't read.

use std::time::Duration;

use tokio::time::timeout;
use xtls_client::relay::{Limits, Seen};
use xtls_client::router::{SendError, TunnelEvent, Why};
use xtls_session::{SendError as Session, Why as Ended};
use xtls_stanza::{Content, Envelope, Payload};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;

use crate::world::*;

/// The chunks that one end has sent.
fn chunks(seen: &[Seen], from: &str) -> usize {
    let chunk = |seen: &&Seen| {
        let content = Envelope::read(&seen.xml).unwrap().content;
        seen.from.as_str() == from && matches!(content, Content::Set(Payload::Data(_)))
    };
    seen.iter().filter(chunk).count()
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_before_the_tunnel_is_open_leaves_with_the_last_flight() {
    let limits = Limits::default().latency(Duration::from_millis(10));
    let (relay, romeo, mut juliet) = friends(limits).await;
    let mut seen = relay.watch();
    let mut own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    // Four at once, before anything has come back; each call returns when its stanza is on its way.
    let senders: Vec<_> = (0..4)
        .map(|number| {
            let sender = own.sender();
            tokio::spawn(async move { sender.send(numbered(number, 10)).await })
        })
        .collect();
    let mut theirs = juliet.incoming.next().await.unwrap();
    for sender in senders {
        sender.await.unwrap().unwrap();
    }
    let mut received = Vec::new();
    for _ in 0..4 {
        received.push(stanza(&mut theirs).await);
    }
    assert_eq!(received, names(0..4));
    assert_eq!(next(&mut own).await, TunnelEvent::Ready);
    let mut all = Vec::new();
    while let Ok(seen) = seen.try_recv() {
        all.push(seen);
    }
    assert_eq!(
        chunks(&all, ROMEO),
        1,
        "the last flight with all four; the hello travelled in the open"
    );
}

#[tokio::test(start_paused = true)]
async fn an_end_before_the_tunnel_is_open_comes_after_what_was_sent() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let mut own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let sender = own.sender();
    let sending = tokio::spawn(async move { sender.send(message("m0", "word")).await });
    tokio::task::yield_now().await;
    own.finish().await;
    sending.await.unwrap().unwrap();
    let late = own.send(message("m1", "word")).await;
    assert_eq!(late, Err(SendError::Session(Session::Finished)));
    let mut theirs = juliet.incoming.next().await.unwrap();
    until_established(&mut theirs).await;
    assert_eq!(stanza(&mut theirs).await, "m0");
    assert_eq!(next(&mut theirs).await, TunnelEvent::PeerFinished);
    // The other direction may be as long as it likes.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    theirs.send(message("m2", "word")).await.unwrap();
    theirs.finish().await;
    let (told, closed) = rest(&mut own).await;
    assert_eq!(ids(&told), ["m2"]);
    for closed in [closed, rest(&mut theirs).await.1] {
        assert!(
            closed.clean && closed.why == Why::Session(Ended::Finished),
            "{closed:?}"
        );
        assert_eq!(closed.unconfirmed, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_stanzas_each_way_arrive_in_order() {
    for limits in [
        Limits::default(),
        Limits::default().latency(Duration::from_millis(80)),
        Limits::default()
            .rate(200_000)
            .latency(Duration::from_millis(20)),
    ] {
        let (_relay, romeo, mut juliet) = friends(limits).await;
        let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
        let mut tasks = Vec::new();
        for sender in [own.sender(), theirs.sender()] {
            tasks.push(tokio::spawn(async move {
                for number in 0..1000 {
                    // From nothing to several records.
                    let length = [0, 10, 300, 5000][number % 4];
                    sender.send(numbered(number, length)).await.unwrap();
                }
                sender.finish().await;
            }));
        }
        let (mine, others) = tokio::join!(rest(&mut own), rest(&mut theirs));
        for (told, closed) in [mine, others] {
            assert_eq!(ids(&told), names(0..1000));
            assert!(
                closed.clean && closed.why == Why::Session(Ended::Finished),
                "{closed:?}"
            );
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
}

/// Sends until there has been no room for half a minute; returns how many stanzas were sent.
async fn fill(sender: &xtls_client::Sender, length: usize) -> usize {
    for number in 0.. {
        let sending = sender.send(numbered(number, length));
        if timeout(Duration::from_secs(30), sending).await.is_err() {
            return number;
        }
        assert!(number * (length + 200) < 8_000_000, "there is no limit");
    }
    0
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_stops_stops_the_sender_and_loses_nothing() {
    for length in [1, 1000, 100_000] {
        let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
        let (own, mut theirs) = established(&romeo, &mut juliet).await;
        let sent = fill(&own, length).await;
        for number in 0..sent {
            assert_eq!(stanza(&mut theirs).await, format!("m{number}"));
        }
        own.send(message("last", "word")).await.unwrap();
        // The cancelled send is not repeated.
        assert_eq!(stanza(&mut theirs).await, "last");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_who_stops_stops_no_one_else() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, theirs) = established(&romeo, &mut juliet).await;
    fill(&own, 1000).await;
    theirs.send(message("m1", "word")).await.unwrap();
    assert_eq!(stanza(&mut own).await, "m1");
}

#[tokio::test(start_paused = true)]
async fn sends_that_are_given_up_do_not_pile_up() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    let sent = fill(&own, 1000).await;
    for number in 0..1000 {
        let given_up = own.send(message(&format!("x{number}"), "word"));
        assert!(timeout(Duration::from_millis(1), given_up).await.is_err());
    }
    for number in 0..sent {
        assert_eq!(stanza(&mut theirs).await, format!("m{number}"));
    }
    own.send(message("last", "word")).await.unwrap();
    assert_eq!(stanza(&mut theirs).await, "last");
}

#[tokio::test(start_paused = true)]
async fn no_event_is_lost_with_a_future() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    let sender = own.sender();
    let sending = tokio::spawn(async move {
        for number in 0..2000 {
            sender.send(numbered(number, 300)).await.unwrap();
        }
    });
    let mut received = Vec::new();
    while received.len() < 2000 {
        // Each future is polled once, then dropped.
        match timeout(Duration::ZERO, theirs.next()).await {
            Ok(Some(TunnelEvent::Stanza(stanza))) => received.push(stanza.id.unwrap()),
            Ok(what) => panic!("{what:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    assert_eq!(received, names(0..2000));
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stanza_that_cannot_be_sent_is_reported_and_harms_nothing() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    let long = own.send(numbered(0, 300_000)).await;
    assert!(
        matches!(long, Err(SendError::Session(Session::TooLong { .. }))),
        "{long:?}"
    );
    let misdirected = message("m1", "word").with_to(keys::address("nurse@capulet.example"));
    let misdirected = own.send(misdirected).await;
    assert!(matches!(
        misdirected,
        Err(SendError::Session(Session::Address(_)))
    ));
    own.send(message("m2", "word")).await.unwrap();
    assert_eq!(stanza(&mut theirs).await, "m2");
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_only_takes_time() {
    // ejabberd's default, and a path around the world.
    let limits = Limits::default()
        .rate(3000)
        .latency(Duration::from_millis(150));
    let (_relay, romeo, mut juliet) = friends(limits).await;
    let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
    for number in 0..30 {
        own.send(numbered(number, 1000)).await.unwrap();
    }
    own.finish().await;
    theirs.finish().await;
    // Each waits for the other to take everything.
    let ((told, closed), (_, own)) = tokio::join!(rest(&mut theirs), rest(&mut own));
    assert_eq!(ids(&told), names(0..30));
    assert!(closed.clean && own.clean);
    assert_eq!((closed.unconfirmed, own.unconfirmed), (0, 0));
}
