//! Opening, accepting, refusing, and the driver's life.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_refused_open_is_an_error_with_its_reason() {
    let mut ends = ends(Config::default());
    let juliet = address(JULIET);
    let open = ends.romeo.open(&juliet, OpenOptions::default());
    let refuse = async {
        let incoming = ends.listener.next().await.unwrap();
        assert_eq!(incoming.from().as_str(), ROMEO);
        assert_eq!(incoming.open().block_size.get(), 4096);
        incoming.refuse(StanzaError::new(ErrorType::Cancel, Condition::Conflict));
    };
    let (error, ()) = tokio::join!(open, refuse);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let why = error.get_ref().unwrap().downcast_ref::<Why>().unwrap();
    assert!(matches!(why, Why::Refused { error, .. } if error.condition == Condition::Conflict));
}

#[tokio::test(start_paused = true)]
async fn an_open_that_the_mux_refuses_is_invalid_input() {
    let ends = ends(Config::default());
    for to in ["juliet@capulet.example", ROMEO] {
        let error = ends
            .romeo
            .open(&address(to), OpenOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test(start_paused = true)]
async fn an_incoming_that_is_dropped_is_refused() {
    let mut hand = hand();
    drop(hand.open().await);
    assert_eq!(
        condition(&hand.from.recv().await.unwrap()),
        Condition::NotAcceptable
    );
}

#[tokio::test(start_paused = true)]
async fn an_incoming_that_expired_cannot_be_accepted() {
    let mut hand = hand();
    let incoming = hand.open().await;
    tokio::time::sleep(Duration::from_secs(51)).await;
    assert_eq!(
        incoming.accept(None).unwrap_err().kind(),
        ErrorKind::NotConnected
    );
    assert_eq!(
        condition(&hand.from.recv().await.unwrap()),
        Condition::NotAcceptable
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_listener_opens_are_answered_as_if_there_were_no_bytestreams() {
    let Ends {
        romeo,
        juliet,
        listener,
        ..
    } = ends(Config::default());
    drop(listener);
    let error = romeo
        .open(&address(JULIET), OpenOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("service-unavailable"), "{error}");
    juliet.with_mux(|mux| mux.allow(Allow::Expected));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_open_is_withdrawn() {
    let hand = hand();
    let romeo = address(ROMEO);
    let open = hand.endpoint.open(&romeo, OpenOptions::default());
    assert!(
        tokio::time::timeout(Duration::from_secs(1), open)
            .await
            .is_err()
    );
    let mut from = hand.from;
    assert!(matches!(
        from.recv().await.unwrap().content,
        Content::Set(Payload::Open(_))
    ));
    assert!(matches!(
        from.recv().await.unwrap().content,
        Content::Set(Payload::Close(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_dropped_ends_everything() {
    let mut ends = ends(Config::default());
    let (mut ours, _theirs) = ends.stream().await;
    ends.drivers[0].abort();
    assert_eq!(
        ours.read(&mut [0; 1]).await.unwrap_err().kind(),
        ErrorKind::ConnectionAborted
    );
}

#[tokio::test(start_paused = true)]
async fn drivers_end_when_the_last_handle_is_dropped() {
    let mut ends = ends(Config::default());
    let (mut ours, theirs) = ends.stream().await;
    ours.shutdown().await.unwrap();
    let Ends {
        romeo,
        juliet,
        listener,
        drivers,
    } = ends;
    drop((romeo, juliet, listener, ours, theirs));
    for driver in drivers {
        tokio::time::timeout(Duration::from_secs(60), driver)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_others_are_refused_or_passed_on() {
    let mut hand = hand();
    hand.send("ping", Content::Get(Payload::Ping)).await;
    let refusal = hand.from.recv().await.unwrap();
    assert_eq!(
        (refusal.id.as_str(), condition(&refusal)),
        ("ping", Condition::ServiceUnavailable)
    );

    let (to, incoming) = mpsc::channel(4);
    let (outgoing, mut from) = mpsc::channel(4);
    let (others, mut foreign) = mpsc::channel(1);
    let mux = Mux::new(address(JULIET), Config::default(), [2; 32]);
    let (_endpoint, _listener, driver) = endpoint(mux, incoming, outgoing);
    tokio::spawn(driver.others(others).run());
    for id in ["first", "second"] {
        let (sender, own) = (Some(address(ROMEO)), Some(address(JULIET)));
        let content = Content::Get(Payload::Ping);
        to.send(Envelope {
            from: sender,
            to: own,
            id: id.into(),
            content,
        })
        .await
        .unwrap();
    }
    settle().await;
    assert_eq!(foreign.recv().await.unwrap().id, "first");
    // The channel was full: refused, not waited for.
    let refusal = from.recv().await.unwrap();
    assert_eq!(
        (refusal.id.as_str(), condition(&refusal)),
        ("second", Condition::ServiceUnavailable)
    );
}
