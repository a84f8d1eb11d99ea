use std::collections::BTreeSet;
use std::sync::Arc;

use xtls_client::relay::Limits;
use xtls_client::router::Config;
use xtls_client::tls::Identity;
use xtls_client::tls::trust::Policy;
use xtls_client::{Accept, Incoming, Pins, Relay};

use super::*;
use crate::args::Output;

const ROMEO: &str = "romeo@montague.example/xtls";
const JULIET: &str = "juliet@capulet.example/xtls";

fn say() -> Say {
    Say::new(&Output {
        json: false,
        verbose: 0,
        quiet: true,
    })
}

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

/// Whoever takes files of the other.
async fn client(relay: &Relay, own: &str, other: &str) -> (Client, Incoming, Fingerprint) {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    xtls_client::random(seed.as_mut_slice()).unwrap();
    let own = address(own);
    let identity = Identity::generate(own.bare(), &seed, xtls_client::unix_now()).unwrap();
    let key = identity.fingerprint();
    let tls = xtls_client::tls::Config::new(
        Arc::new(identity),
        xtls_client::tls::default_provider(),
        Arc::new(xtls_client::tls::rustls::time_provider::DefaultTimeProvider),
    )
    .unwrap();
    let pins = Pins::memory();
    let config = Config::new(tls, pins.store())
        .policy(Policy::Tofu)
        .accept(Accept::Only(BTreeSet::from([address(other).to_bare()])))
        .also_serve([service()]);
    let link = relay.attach(own).await.unwrap();
    let (client, incoming, _) = Client::start(link, config, pins).unwrap();
    (client, incoming, key)
}

fn another() -> Fingerprint {
    Fingerprint::of_spki(b"another key")
}

#[tokio::test]
async fn nothing_is_offered_to_another_key_than_that_of_the_conversation() {
    let relay = Relay::start(Limits::default());
    let (romeo, _, _) = client(&relay, ROMEO, JULIET).await;
    let (_juliet, _incoming, key) = client(&relay, JULIET, ROMEO).await;
    let peer = address(JULIET);
    let sending = |key| Sending {
        typed: String::new(),
        peer: peer.clone(),
        key,
        client: romeo.clone(),
        say: say(),
        suggest: Suggest::default(),
    };
    let mut tunnel = romeo.open_for(&peer, service()).await.unwrap();
    let refused = sending(another()).expect_peer(&mut tunnel).await;
    assert_eq!(refused.unwrap_err().code, Code::Identity);
    assert!(!tunnel.closed().await.unwrap().clean);
    let mut tunnel = romeo.open_for(&peer, service()).await.unwrap();
    sending(key).expect_peer(&mut tunnel).await.unwrap();
}

#[tokio::test]
async fn only_the_address_and_the_key_of_the_conversation_are_listened_to() {
    let relay = Relay::start(Limits::default());
    let (romeo, _, key) = client(&relay, ROMEO, JULIET).await;
    let (_juliet, mut incoming, _) = client(&relay, JULIET, ROMEO).await;
    let his = address(ROMEO);
    let other_client = his.with_resource("other").unwrap().into();
    let dir = PathBuf::from(".");
    let mut transfers = Transfers::new(dir, Person::default(), say(), Suggest::default());
    let refused = [
        None,
        Some((his.clone(), another())),
        Some((other_client, key)),
    ];
    let taken = [Some((his, key))];
    for (with, is_taken) in refused
        .into_iter()
        .map(|with| (with, false))
        .chain(taken.into_iter().map(|with| (with, true)))
    {
        let _own = romeo.open_for(&address(JULIET), service()).await.unwrap();
        let tunnel = incoming.next().await.unwrap();
        tunnel.established().await.unwrap();
        transfers.receive(tunnel, with);
        assert_eq!(transfers.receiving.is_some(), is_taken);
    }
}
