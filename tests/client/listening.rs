//! Tunnels that peers open are delivered to the listener for their service.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use xtls_client::relay::Limits;
use xtls_client::router::TunnelEvent;
use xtls_client::{Arrival, ListenError, Relay};
use xtls_session::{Mode, Service, Verdict};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;
use xtls_tls::trust::Policy;

use crate::bytes::pipe;
use crate::world::{Maker, juliet, next, romeo, stanza};

fn files() -> Service {
    Service::new("files", Mode::Bytes)
}

#[tokio::test(start_paused = true)]
async fn each_tunnel_comes_out_at_the_listener_of_its_service() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let services = [Service::stanzas(), pipe(), files()];
    let mut juliet = juliet().serving(&services).on(&relay).await;
    let mut pipes = juliet.client.listen(pipe()).await.unwrap();
    let mut stanzas = juliet.client.listen(Service::stanzas()).await.unwrap();
    let to = keys::address(JULIET);

    let mut own = romeo.client.open_for(&to, pipe()).await.unwrap();
    own.write_all(b"word").await.unwrap();
    assert_eq!(own.service().await.unwrap(), pipe());
    let mut theirs = pipes.next().await.unwrap();
    assert_eq!(theirs.service().await.unwrap(), pipe());
    assert_eq!(theirs.proven().unwrap().address, keys::address(ROMEO));
    let mut word = [0; 4];
    theirs.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"word");
    drop((own, theirs));

    let own = romeo
        .client
        .open_for(&to, Service::stanzas())
        .await
        .unwrap();
    own.send(message("m1", "word")).await.unwrap();
    let mut theirs = stanzas.next().await.unwrap();
    // The dispatcher took nothing.
    assert_eq!(stanza(&mut theirs).await, "m1");
    drop((own, theirs));

    // Tunnels without a listener, or whose listener is gone, are delivered as before.
    let _own = romeo.client.open_for(&to, files()).await.unwrap();
    let other = juliet.incoming.next().await.unwrap();
    assert_eq!(other.service().await.unwrap(), files());
    drop((pipes, other, _own));
    let _own = romeo.client.open_for(&to, pipe()).await.unwrap();
    let other = juliet.incoming.next().await.unwrap();
    assert_eq!(other.service().await.unwrap(), pipe());
}

#[tokio::test(start_paused = true)]
async fn who_takes_no_newcomers_takes_bytes_of_whom_it_talks_to() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let services = [Service::stanzas(), files()];
    let mut juliet = juliet().serving(&services).on(&relay).await;
    let to = keys::address(JULIET);
    juliet.incoming.turn_newcomers_away(true);
    let refused = romeo.client.open_for(&to, files()).await.unwrap();
    let away = juliet.incoming.arrival().await;
    assert!(matches!(away, Some(Arrival::TurnedAway(_))), "{away:?}");
    assert!(!refused.closed().await.unwrap().clean);

    juliet.incoming.turn_newcomers_away(false);
    let _own = romeo
        .client
        .open_for(&to, Service::stanzas())
        .await
        .unwrap();
    let theirs = juliet.incoming.next().await.unwrap();
    theirs.established().await.unwrap();
    juliet.incoming.turn_newcomers_away(true);
    let _own = romeo.client.open_for(&to, files()).await.unwrap();
    let other = juliet.incoming.next().await.unwrap();
    assert_eq!(other.service().await.unwrap(), files());
}

#[tokio::test(start_paused = true)]
async fn a_listener_suffices() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let services = [Service::stanzas(), pipe()];
    let juliet = juliet().serving(&services).on(&relay).await;
    let mut pipes = juliet.client.listen(pipe()).await.unwrap();
    drop(juliet.incoming);
    let to = keys::address(JULIET);
    let _own = romeo.client.open_for(&to, pipe()).await.unwrap();
    let theirs = pipes.next().await.unwrap();
    drop((_own, theirs));
    // A tunnel that no one takes is ended.
    let own = romeo.client.open(&to).await.unwrap();
    assert!(!own.closed().await.unwrap().clean);
    juliet.client.stop().await;
    assert!(pipes.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_question_comes_out_at_incoming() {
    let relay = Relay::start(Limits::default());
    let make = |own, peer, key| {
        let maker = Maker::new(own, peer, key).serving(&[pipe()]);
        maker.policy(Policy::Ask)
    };
    let romeo = make(ROMEO, JULIET, 1).on(&relay).await;
    let mut juliet = make(JULIET, ROMEO, 2).on(&relay).await;
    let mut pipes = juliet.client.listen(pipe()).await.unwrap();
    let mut own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    assert!(matches!(next(&mut own).await, TunnelEvent::Judge(_)));
    own.judge(keys::fingerprint(JULIET, 2), Verdict::Accept)
        .await
        .unwrap();
    let mut theirs = juliet.incoming.next().await.unwrap();
    assert!(matches!(next(&mut theirs).await, TunnelEvent::Judge(_)));
    theirs
        .judge(keys::fingerprint(ROMEO, 1), Verdict::Accept)
        .await
        .unwrap();
    assert_eq!(theirs.service().await.unwrap(), pipe());
    let nothing = timeout(Duration::from_secs(60), pipes.next()).await;
    assert!(nothing.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_service_is_served_and_listened_for_once() {
    let relay = Relay::start(Limits::default());
    let juliet = juliet().serving(&[pipe()]).on(&relay).await;
    let not = juliet.client.listen(files()).await.unwrap_err();
    assert_eq!(not, ListenError::NotServed(files()));
    let first = juliet.client.listen(pipe()).await.unwrap();
    assert_eq!(first.service(), &pipe());
    let twice = juliet.client.listen(pipe()).await.unwrap_err();
    assert_eq!(twice, ListenError::Taken(pipe()));
    drop(first);
    let _again = juliet.client.listen(pipe()).await.unwrap();
    juliet.client.stop().await;
    juliet.task.await.unwrap().unwrap();
    let late = juliet.client.listen(pipe()).await.unwrap_err();
    assert_eq!(late, ListenError::Stopped);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_opens_and_does_not_finish_is_never_listed() {
    let relay = Relay::start(Limits::default());
    let romeo = Maker::new(ROMEO, JULIET, 3).serving(&[pipe()]);
    let romeo = romeo.policy(Policy::Tofu).on(&relay).await;
    let mut juliet = juliet().serving(&[pipe()]).on(&relay).await;
    let mut pipes = juliet.client.listen(pipe()).await.unwrap();
    // With a key other than the one that Juliet has pinned.
    let own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    assert_eq!(
        own.established().await.map_err(|error| error.kind()).err(),
        Some(ErrorKind::InvalidData)
    );
    own.closed().await.unwrap();
    for nothing in [
        timeout(Duration::from_secs(60), pipes.next()).await,
        timeout(Duration::from_secs(60), juliet.incoming.next()).await,
    ] {
        assert!(nothing.is_err());
    }
}
