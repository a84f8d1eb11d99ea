//! Whether the other application has taken everything: what a handle confirms by itself, and what it never confirms.

use std::time::Duration;

use xtls_client::relay::Limits;
use xtls_client::router::{TunnelEvent, Why};
use xtls_session::{Receipt, Why as Ended};
use xtls_tests::pair::message;

use crate::world::*;

#[tokio::test(start_paused = true)]
async fn dropping_or_aborting_a_handle_takes_nothing() {
    for aborts in [false, true] {
        let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
        let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
        own.send(message("m1", "the only copy")).await.unwrap();
        own.finish().await;
        assert_eq!(stanza(&mut theirs).await, "m1");
        assert_eq!(next(&mut theirs).await, TunnelEvent::PeerFinished);
        if aborts {
            theirs.abort().await;
        }
        drop(theirs);
        let (_, closed) = rest(&mut own).await;
        assert_eq!(
            (closed.unconfirmed, closed.receipt),
            (1, Receipt::Accepted),
            "{aborts}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn asking_for_more_or_ending_after_the_last_event_takes_everything() {
    for way in ["next", "finish", "close", "stop"] {
        let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
        let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
        own.send(message("m1", "word")).await.unwrap();
        own.finish().await;
        assert_eq!(stanza(&mut theirs).await, "m1");
        assert_eq!(next(&mut theirs).await, TunnelEvent::PeerFinished);
        // It may be busy with it for a long time.
        tokio::time::sleep(Duration::from_secs(3600)).await;
        match way {
            "next" => {
                let sender = theirs.sender();
                let asking = tokio::spawn(async move { rest(&mut theirs).await });
                tokio::time::sleep(Duration::from_secs(30)).await;
                sender.finish().await;
                let (_, closed) = rest(&mut own).await;
                assert_eq!((closed.unconfirmed, closed.receipt), (0, Receipt::Taken));
                assert!(asking.await.unwrap().1.clean);
                continue;
            }
            "finish" => theirs.finish().await,
            "close" => theirs.close().await,
            _ => juliet.client.stop().await,
        }
        let (_, closed) = rest(&mut own).await;
        assert_eq!(
            (closed.unconfirmed, closed.receipt),
            (0, Receipt::Taken),
            "{way}"
        );
        assert_eq!(closed.why, Why::Session(Ended::Finished), "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_was_not_handed_out_yet_is_not_taken_by_ending() {
    let (_relay, romeo, mut juliet) = friends(Limits::default()).await;
    let (mut own, theirs) = established(&romeo, &mut juliet).await;
    own.send(message("m1", "nobody reads this")).await.unwrap();
    own.finish().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    theirs.close().await;
    let (_, closed) = rest(&mut own).await;
    assert_eq!((closed.unconfirmed, closed.receipt), (1, Receipt::Accepted));
    drop(theirs);
}
