//! `xtls_session::io::Connection`: a session on a transport, with its deadlines and its back-pressure.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};
use tokio::time::timeout;
use xtls_session::io::Connection;
use xtls_session::{By, Close, Config, Event, Receipt, SendError, Session, Why};
use xtls_stanza::{Body, Kind, Stanza};
use xtls_tls::Role;

use super::support::Setup;

fn session(role: Role) -> Session {
    let setup = Setup::stanzas();
    let now = tokio::time::Instant::now().into_std();
    Session::new(
        setup.binding(role),
        setup.tls_with(role, None),
        Config::default(),
        now,
    )
}

type Ends = (Connection<DuplexStream>, Connection<DuplexStream>);

async fn connected(room: usize) -> Ends {
    let (near, far) = duplex(room);
    let mut romeo = Connection::new(session(Role::Client), near);
    let mut juliet = Connection::new(session(Role::Server), far);
    tokio::join!(established(&mut romeo), established(&mut juliet));
    (romeo, juliet)
}

async fn established(connection: &mut Connection<DuplexStream>) {
    while !matches!(connection.next().await.unwrap(), Event::Established(_)) {}
    connection.flush().await;
}

fn message(number: usize) -> Stanza {
    let body = Body::new("x".repeat(2000)).to_element();
    Stanza::new(Kind::Message)
        .with_id(format!("m{number}"))
        .with_child(&body)
}

/// Takes everything, confirms it and finishes: the ids, and the end.
async fn hear(connection: &mut Connection<DuplexStream>) -> (Vec<String>, Close) {
    let mut ids = Vec::new();
    loop {
        match connection.next().await.unwrap() {
            Event::Stanza(stanza) => ids.push(stanza.id.unwrap()),
            Event::PeerFinished => {
                connection.took();
                connection.finish();
            }
            Event::Closed(close) => {
                assert_eq!(connection.next().await, None);
                return (ids, close);
            }
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_stanza_arrives_in_order_and_both_ends_end() {
    let (mut romeo, mut juliet) = connected(700).await;
    let say = async {
        for number in 0..200 {
            romeo.send(&message(number)).await.unwrap();
        }
        romeo.finish();
        hear(&mut romeo).await.1
    };
    let (said, (ids, heard)) = tokio::join!(say, hear(&mut juliet));
    let all: Vec<_> = (0..200).map(|number| format!("m{number}")).collect();
    assert_eq!(ids, all);
    for close in [said, heard] {
        assert_eq!((close.why, close.receipt), (Why::Finished, Receipt::Taken));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_makes_the_sender_wait_and_loses_nothing() {
    let (mut romeo, mut juliet) = connected(700).await;
    let mut sent = 0;
    // What is given up was not sent.
    while timeout(Duration::from_secs(1), romeo.send(&message(sent)))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 10_000, "there is no limit");
    }
    assert_eq!(
        romeo.session_mut().send(&message(sent)),
        Err(SendError::Full)
    );
    romeo.finish();
    let (_, (ids, _)) = tokio::join!(hear(&mut romeo), hear(&mut juliet));
    let all: Vec<_> = (0..sent).map(|number| format!("m{number}")).collect();
    assert_eq!(ids, all);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_waited_for_is_not_lost() {
    let (mut romeo, mut juliet) = connected(700).await;
    romeo.send(&message(1)).await.unwrap();
    let say = romeo.flush();
    let hear = async {
        loop {
            // Polled once, and dropped.
            let next = timeout(Duration::ZERO, juliet.next()).await;
            if let Ok(Some(Event::Stanza(stanza))) = next {
                return stanza.id;
            }
            tokio::task::yield_now().await;
        }
    };
    let ((), id) = tokio::join!(say, hear);
    assert_eq!(id.as_deref(), Some("m1"));
}

#[tokio::test(start_paused = true)]
async fn deadlines_pass_without_the_peer() {
    let (near, mut far) = duplex(10_000);
    let mut romeo = Connection::new(session(Role::Client), near);
    let Some(Event::Closed(close)) = romeo.next().await else {
        panic!("something else")
    };
    assert_eq!((close.by, close.why), (By::Us, Why::HandshakeTimeout));
    assert_eq!(romeo.next().await, None);
    // The transport was shut down, behind the last words.
    far.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_breaks_is_a_cut() {
    let (mut romeo, juliet) = connected(700).await;
    drop(juliet);
    let Some(Event::Closed(close)) = romeo.next().await else {
        panic!("something else")
    };
    assert_eq!((close.by, close.why), (By::Transport, Why::Truncated));
    assert!(!close.clean);
    assert_eq!(romeo.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn an_end_does_not_wait_for_ever_for_a_transport_that_takes_nothing() {
    let (near, far) = duplex(10);
    let mut romeo = Connection::new(session(Role::Client), near);
    while !matches!(romeo.next().await, Some(Event::Closed(_))) {}
    assert_eq!(romeo.next().await, None);
    drop(far);
}
