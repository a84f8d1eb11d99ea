//! Tunnels of the program that leave the server: through its relay, and straight to the peer.

mod recorder;

use std::fs;
use std::time::Duration;

use xtls_tests::live::person::Person;
use xtls_tests::live::server::Server;

use crate::files::{file, folder, receiver};

/// Sends a file of so many bytes with these options at both ends, and gives what the sender and the receiver said of their path.
async fn send(
    server: &Server,
    resource: &str,
    size: usize,
    sending: &[&str],
    receiving: &[&str],
) -> ([Vec<String>; 2], Duration) {
    let (romeo, juliet) = Person::pair(server);
    let (out, inbox) = (folder(&romeo, "out"), folder(&juliet, "in"));
    let octets = file(&out.join("film"), size, 7);
    let mut options = vec!["--yes"];
    options.extend(receiving);
    let receiver = receiver(&romeo, &juliet, resource, &inbox, &options).await;
    let to = juliet.at(resource).to_string();
    let sender = romeo
        .online(&["send", &to])
        .arg(out.join("film"))
        .args(sending)
        .start();
    let (sent, received) = (sender.end().await, receiver.end().await);
    sent.expect(0);
    received.expect(0);
    assert!(fs::read(inbox.join("film")).unwrap() == octets);
    let seconds = sent.event("sent").unwrap()["seconds"].as_f64().unwrap();
    let paths = [&sent, &received].map(|end| {
        let events = end.events().into_iter();
        let paths = events.filter(|event| event["event"] == "path");
        paths
            .map(|event| event["path"].as_str().unwrap().to_owned())
            .collect()
    });
    (paths, Duration::from_secs_f64(seconds))
}

/// In-band, at 10 kB a second or less, it would take more than ten minutes.
const FILM: usize = 8_000_000;

#[tokio::test]
async fn a_stock_server_with_a_relay_carries_a_film_in_seconds() {
    let (paths, time) = send(&Server::stock(), "path-stock", FILM, &[], &[]).await;
    assert_eq!(paths, [["relay"], ["relay"]]);
    assert!(time < Duration::from_secs(30), "{time:?}");
}

#[tokio::test]
async fn ejabberd_relays_too() {
    let (paths, _) = send(&Server::ejabberd(), "path-ejabberd", FILM, &[], &[]).await;
    assert_eq!(paths, [["relay"], ["relay"]]);
}

#[tokio::test]
async fn one_end_that_stays_in_band_keeps_the_tunnel_there() {
    let in_band = ["--path", "in-band"];
    for (sending, receiving) in [(&in_band[..], &[][..]), (&[][..], &in_band[..])] {
        let (paths, _) = send(&Server::free(), "path-stays", 300_000, sending, receiving).await;
        assert_eq!(paths, [[""; 0]; 2]);
    }
}

#[tokio::test]
async fn a_peer_that_listens_is_met_directly() {
    let listening = ["--path", "direct", "--path-listen", "127.0.0.1:0"];
    let calling = ["--path", "direct", "--path-private"];
    let (paths, _) = send(&Server::stock(), "path-direct", FILM, &calling, &listening).await;
    assert_eq!(paths, [["direct"], ["direct"]]);
    // Nobody else may send us to this machine.
    let calling = ["--path", "direct"];
    let (paths, _) = send(
        &Server::free(),
        "path-private",
        300_000,
        &calling,
        &listening,
    )
    .await;
    assert!(!paths.concat().contains(&"direct".to_owned()), "{paths:?}");
}
