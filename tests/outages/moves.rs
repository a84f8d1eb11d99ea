//! Servers that die under a tunnel on their relay: it goes on, and loses no byte.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep};
use xtls_client::router::PathConfig;
use xtls_client::tunnel::path::Kind;
use xtls_client::xmpp::Retry;
use xtls_client::{Config, PathState};
use xtls_stanza::path::Takes;
use xtls_tests::live::person::Person;
use xtls_tests::live::server::Server;
use xtls_tests::live::soon;
use xtls_tests::live::switch::Switch;

use crate::many;
use crate::party::{Party, Who};
use crate::pattern::{Lots, seed};
use crate::transfer::Transfer;

/// One tunnel, whose server is killed again and again while bytes go both ways. The relay dies with it, and so do both links.
async fn a_tunnel_goes_on(server: &Server) {
    let rounds = many(2, 50);
    let seed = seed();
    let mut lots = Lots::new(seed);
    let (romeo, juliet) = Person::strangers(server);
    let retry = Retry {
        longest: Duration::from_secs(1),
        give_up: Duration::from_secs(7_200),
        ..Retry::default()
    };
    let options = |person: &Person| person.options("moves").retry(retry);
    let own = PathConfig::new(Takes::Own);
    let start = |who, person| {
        let own = own.clone();
        let options = options(person);
        Party::start_with(who, person, options, |config| config.paths(own))
    };
    let here = start(Who::Romeo, &romeo).await;
    let mut there = start(Who::Juliet, &juliet).await;
    let mut switch = Switch::of(server);
    let ends = here.connect(&mut there).await;
    let mut paths = ends[0].paths();
    let transfer = Transfer::start(ends, seed);
    let mut moved = Vec::new();
    let mut before = PathState::default();
    for _ in 0..rounds {
        let goes_on = async {
            loop {
                let state = paths.changed().await.expect("the tunnel goes on");
                println!("{state:?}");
                let was = std::mem::replace(&mut before, state).carrying;
                if let Some(kind) = state.carrying.filter(|_| state.carrying != was) {
                    return kind;
                }
            }
        };
        moved.push(soon("a path", goes_on).await);
        sleep(Duration::from_millis(lots.below(500))).await;
        switch.kill().await;
        switch.start().await;
    }
    for [written, read] in transfer.end().await {
        println!("{written:?}, {read:?}");
        assert_eq!(read.unwrap(), written.unwrap());
    }
    let relayed = moved.iter().filter(|kind| **kind == Kind::Relay).count();
    println!("moved {rounds} times, {relayed} times to the relay");
    assert!(relayed > 0);
    here.stop().await;
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_on_a_relay_goes_on_when_prosody_is_killed() {
    a_tunnel_goes_on(&Server::quiet()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_on_a_relay_goes_on_when_ejabberd_is_killed() {
    a_tunnel_goes_on(&Server::ejabberd()).await;
}

/// Prosody's relay keeps the last 904 of 5,000 bytes until one more comes.
async fn no_burst_stalls(server: &Server) {
    let (romeo, juliet) = Person::strangers(server);
    let own = PathConfig::new(Takes::Own);
    let paths = |config: Config| config.paths(own.clone());
    let here = Party::start_with(Who::Romeo, &romeo, romeo.options("bursts"), paths).await;
    let mut there = Party::start_with(Who::Juliet, &juliet, juliet.options("bursts"), paths).await;
    let [mut asking, answering] = here.connect(&mut there).await;
    let mut paths = asking.paths();
    let relayed = async {
        let relayed = paths.carried_by(Kind::Relay).await;
        relayed.expect("the tunnel goes on");
    };
    soon("the relay", relayed).await;
    let echo = tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(answering);
        tokio::io::copy(&mut from, &mut to).await
    });
    let mut slowest = Duration::ZERO;
    for burst in (1..=20_000).step_by(487).chain([904, 4_096, 5_000, 8_192]) {
        let start = Instant::now();
        asking.write_all(&vec![7; burst]).await.unwrap();
        asking.flush().await.unwrap();
        let mut answer = vec![0; burst];
        let reading = asking.read_exact(&mut answer);
        soon("the answer to a burst", reading).await.unwrap();
        slowest = slowest.max(start.elapsed());
    }
    println!("the slowest answer took {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    asking.abort().await;
    drop(echo.await);
    here.stop().await;
    there.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bursts_through_the_relay_of_prosody_are_answered() {
    no_burst_stalls(&Server::quiet()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bursts_through_the_relay_of_ejabberd_are_answered() {
    no_burst_stalls(&Server::ejabberd()).await;
}
