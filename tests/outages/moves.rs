//! Servers that die under a tunnel on their relay: it goes on, and loses no byte.

use std::time::Duration;

use tokio::time::sleep;
use xtls_client::router::{PathConfig, PathEvent};
use xtls_client::tunnel::path::Kind;
use xtls_client::xmpp::Retry;
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
    for _ in 0..rounds {
        let goes_on = async {
            loop {
                match paths.changed().await.expect("the tunnel goes on") {
                    PathEvent::Moved(kind) => return kind,
                    event => println!("{event:?}"),
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
