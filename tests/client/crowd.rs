//! Many at once: each open is accepted, or refused with a reason and a wait.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;
use xtls_client::relay::Limits;
use xtls_client::router::{Closed, Config, TunnelEvent, Why};
use xtls_client::{Accept, Arrival, Client, Incoming, Pins, Relay, Tunnel, Uplink};
use xtls_stanza::busy::Limit;
use xtls_stanza::{Content, Envelope, Payload};
use xtls_tests::keys::{self, JULIET};
use xtls_tests::pair::message;
use xtls_tls::Identity;
use xtls_tls::trust::Policy;
use zeroize::Zeroizing;

use crate::world::{LONG, friends, next, stanza};

/// A client that accepts any key.
async fn client(
    relay: &Relay,
    own: &str,
    key: u16,
    change: impl FnOnce(Config) -> Config,
) -> (Client, Incoming) {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&key.to_be_bytes());
    let address = keys::address(own);
    let identity = Identity::generate(address.bare(), &Zeroizing::new(seed), keys::LETTER).unwrap();
    let tls = keys::seeded_tls(identity, seed);
    let pins = Pins::memory();
    let config = Config::new(tls, pins.store())
        .policy(Policy::Tofu)
        .accept(Accept::Anyone);
    let link = relay.attach(address).await.unwrap();
    let (client, incoming, _task) = Client::seeded(link, change(config), pins, seed);
    (client, incoming)
}

/// Opens from this many accounts at once, while the listener's application takes nothing.
async fn burst(relay: &Relay, openers: usize) -> Vec<(Client, Tunnel)> {
    let mut opened = Vec::new();
    for number in 0..openers {
        let own = format!("u{number}@montague.example/r");
        let key = u16::try_from(number).unwrap() + 3;
        let (client, _incoming) = client(relay, &own, key, |config| config).await;
        opened.push(client);
    }
    let mut tunnels = Vec::new();
    for client in opened {
        let tunnel = client.open(&keys::address(JULIET)).await.unwrap();
        tunnels.push((client, tunnel));
    }
    tunnels
}

/// What an opener learns in the end: that it is established, or how it was refused.
async fn outcome(tunnel: &mut Tunnel) -> Option<Closed> {
    loop {
        match timeout(LONG, tunnel.next()).await.expect("nothing is said") {
            Some(TunnelEvent::Established(_)) => return None,
            Some(TunnelEvent::Closed(closed)) => return Some(closed),
            Some(_) => {}
            None => panic!("the end was not reported"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_opens_at_once_none_is_cut_and_each_refusal_says_why_and_how_long() {
    let relay = Relay::start(Limits::default());
    let (_listener, mut incoming) = client(&relay, JULIET, 2, |config| config).await;
    let mut tunnels = burst(&relay, 1000).await;
    let (mut taken, mut refused) = (0, BTreeMap::new());
    for (_, tunnel) in &mut tunnels {
        match outcome(tunnel).await {
            None => taken += 1,
            Some(closed) => {
                let busy = closed.why.busy();
                let busy = busy.unwrap_or_else(|| panic!("cut: {closed:?}"));
                assert!((1..=60).contains(&busy.wait), "{busy:?}");
                *refused.entry(busy.limit).or_insert(0) += 1;
            }
        }
    }
    assert!(taken >= 32, "{taken} taken, {refused:?} refused");
    assert_eq!(taken + refused.values().sum::<usize>(), 1000);
    assert!(refused.contains_key(&Limit::Incoming) || refused.contains_key(&Limit::Unfinished));
    // An accepted tunnel is available to the application, which also receives others.
    let (mut there, mut away) = (0, 0);
    while let Ok(Some(arrival)) = timeout(Duration::from_secs(1), incoming.arrival()).await {
        match arrival {
            Arrival::Tunnel(_) => there += 1,
            Arrival::TurnedAway(_) => away += 1,
        }
    }
    assert_eq!(there, taken);
    assert!((1..=32).contains(&away), "{away}");
}

#[tokio::test(start_paused = true)]
async fn with_the_limits_raised_a_thousand_opens_at_once_are_a_thousand_tunnels() {
    let relay = Relay::start(Limits::default());
    let raise = |config| {
        Limit::ALL
            .into_iter()
            .fold(config, |config: Config, limit| config.limit(limit, 2000))
    };
    let (_listener, mut incoming) = client(&relay, JULIET, 2, raise).await;
    let mut tunnels = burst(&relay, 1000).await;
    for (_, tunnel) in &mut tunnels {
        assert_eq!(outcome(tunnel).await, None);
    }
    for _ in 0..1000 {
        assert!(timeout(LONG, incoming.next()).await.unwrap().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn an_application_that_takes_its_tunnels_is_offered_further_ones() {
    let relay = Relay::start(Limits::default());
    let (_listener, mut incoming) = client(&relay, JULIET, 2, |config| config.incoming(1)).await;
    let mut tunnels = burst(&relay, 2).await;
    assert_eq!(outcome(&mut tunnels[0].1).await, None);
    let closed = outcome(&mut tunnels[1].1).await.unwrap();
    assert!(matches!(closed.why, Why::Unreachable(_)));
    assert_eq!(closed.why.busy().map(|busy| busy.most), Some(1));
    let _taken = incoming.next().await.unwrap();
    let mut again = tunnels[1].0.open(&keys::address(JULIET)).await.unwrap();
    assert_eq!(outcome(&mut again).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_flood_at_one_address_takes_turns_with_its_tunnel_and_cuts_nothing() {
    let (relay, romeo, mut juliet) = friends(Limits::default().queue(1 << 20)).await;
    let (own, mut theirs) = crate::world::established(&romeo, &mut juliet).await;
    let mut flood = relay
        .attach(keys::address("mallory@evil.example/den"))
        .await
        .unwrap();
    let noise = Envelope {
        from: None,
        to: Some(keys::address(JULIET)),
        id: "i".repeat(100_000),
        content: Content::Get(Payload::Ping),
    };
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&sent);
    let flooding = tokio::spawn(async move {
        // It reads none of its answers.
        loop {
            flood.send(noise.clone()).await.unwrap();
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let words = 20;
    let speaking = tokio::spawn(async move {
        for number in 0..words {
            own.send(message(&format!("m{number}"), &"x".repeat(20_000)))
                .await
                .unwrap();
        }
        own
    });
    for number in 0..words {
        assert_eq!(stanza(&mut theirs).await, format!("m{number}"));
    }
    let flooded = sent.load(std::sync::atomic::Ordering::Relaxed);
    // A stanza needs six chunks of the first window, and the victim takes several stanzas in one go before it answers.
    assert!(flooded <= 64 * words, "{flooded} stanzas of noise");
    flooding.abort();
    let own = speaking.await.unwrap();
    theirs.send(message("back", "word")).await.unwrap();
    let mut own = own;
    loop {
        if let TunnelEvent::Stanza(said) = next(&mut own).await {
            assert_eq!(said.id.as_deref(), Some("back"));
            return;
        }
    }
}
