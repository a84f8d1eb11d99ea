//! Ctrl-C: exit code 130, and the peer is notified.

use std::time::{Duration, Instant};

use xtls_tests::live::person::Person;
use xtls_tests::live::program::Running;
use xtls_tests::live::puppet::Puppet;
use xtls_tests::live::server::Server;

async fn established(romeo: &Person, juliet: &Person, verb: &str, resource: &str) -> [Running; 2] {
    let mut listener = juliet
        .listen(verb, resource, &["--accept", romeo.address().as_str()])
        .await;
    let to = juliet.at(resource);
    let mut initiator = romeo.online(&[verb, to.as_str()]).start();
    initiator.event("established").await;
    listener.event("established").await;
    [initiator, listener]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_initiator_closes_the_tunnel_in_order() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let [initiator, mut listener] = established(&romeo, &juliet, "stanzas", "interrupt-1").await;
    initiator.interrupt().await;
    listener.event("peer_finished").await;
    let ended = listener.end().await;
    ended.expect(0).silent();
    assert_eq!(ended.event("closed").unwrap()["clean"], true);
    let ended = initiator.end().await;
    ended.expect(130).silent();
    assert_eq!(ended.event("closed").unwrap()["clean"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_listener_closes_the_tunnel_in_order() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let [mut initiator, listener] = established(&romeo, &juliet, "chat", "interrupt-2").await;
    listener.interrupt().await;
    initiator.event("peer_finished").await;
    for (process, code) in [(listener, 130), (initiator, 0)] {
        let ended = process.end().await;
        ended.expect(code).silent();
        assert_eq!(ended.event("closed").unwrap()["clean"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_does_not_wait_for_a_peer_that_goes_on_talking() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let [initiator, mut listener] = established(&romeo, &juliet, "stanzas", "interrupt-3").await;
    initiator.interrupt().await;
    listener.event("peer_finished").await;
    // Its input stays open.
    let ended = initiator.end().await;
    ended.expect(130).silent();
    listener.event("closed").await;
    listener
        .end()
        .await
        .expect(6)
        .silent()
        .saying("may not have received the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_an_opening_at_once() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut puppet = Puppet::login(&juliet, "silent").await;
    let mut initiator = romeo.online(&["stanzas", puppet.own().as_str()]).start();
    initiator.event("opening").await;
    puppet.accept().await;
    let started = Instant::now();
    initiator.interrupt().await;
    initiator.end().await.expect(130).silent();
    assert!(
        started.elapsed() < Duration::from_secs(15),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_listener_ends_at_once() {
    let juliet = Person::new(&Server::free(), "juliet");
    let listener = juliet.listen("stanzas", "idle", &["--accept", "any"]).await;
    listener.interrupt().await;
    listener.end().await.expect(130).silent();
}

/// A listener that is stopped stands for one whose network is gone.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_dead_peer_is_told_so_once_and_can_end_at_once() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let [mut initiator, listener] = established(&romeo, &juliet, "chat", "interrupt-4").await;
    listener.signal("STOP").await;
    initiator.interrupt().await;
    initiator.event("closing").await;
    // Longer than nothing is said of an end that takes its time.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    initiator.interrupt().await;
    let ended = initiator.end().await;
    ended.expect(130).silent();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    let closing = |line: &&String| line.contains("\"closing\"");
    assert_eq!(ended.heard.iter().filter(closing).count(), 1);
    listener.signal("KILL").await;
    listener.end().await;
}
