//! Tunnels of a listener over the relay, each with an account of its own.

use xtls_client::relay::{Limits, Relay};
use xtls_client::router::{Config, TunnelEvent};
use xtls_client::{Accept, Client, Pins, Tunnel};
use xtls_stanza::busy::Limit;
use xtls_stanza::{Element, Kind, Stanza};
use xtls_tls::trust::{Level, Method, Policy};

use crate::keys::{address, config, identity};

const HUB: &str = "hub@west.example/one";

/// The clients are there before, as the accounts of a process are; `measure` tells what it has before and with the tunnels.
/// Each tunnel has carried a stanza there and back, and is idle. The result is what one of them adds at both ends.
pub(crate) fn added(count: u8, measure: impl Fn() -> usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let relay = Relay::start(Limits::default());
        let limits = [
            Limit::Unfinished,
            Limit::Incoming,
            Limit::OpensPerMinuteInAll,
            Limit::Streams,
            Limit::Pending,
        ];
        let mut pins = Pins::memory();
        pins.limit_first_uses(usize::MAX);
        let listener = limits
            .into_iter()
            .fold(settings(HUB, 1, &pins), |settings, limit| {
                settings.limit(limit, usize::from(count) + 1)
            })
            .policy(Policy::Tofu);
        let link = relay.attach(address(HUB)).await.expect("a link");
        let (_hub, mut incoming, _task) = Client::seeded(link, listener, pins, [1; 32]);
        let mut clients = Vec::new();
        for number in 0..count {
            clients.push(peer(&relay, number + 2).await);
        }
        let before = measure();
        let mut tunnels = Vec::new();
        for client in &clients {
            let mut near = client.open(&address(HUB)).await.expect("an open");
            established(&mut near).await;
            let mut far = incoming.next().await.expect("a tunnel");
            established(&mut far).await;
            say(&near, &mut far).await;
            say(&far, &mut near).await;
            tunnels.push((near, far));
        }
        // What is left to do is done: there is one thread, and nothing waits for the time.
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        measure().saturating_sub(before) / usize::from(count)
    })
}

/// `number` is its key, which no two of them may share.
async fn peer(relay: &Relay, number: u8) -> Client {
    let own = address(&format!("peer{number}@east.example/one"));
    let mut pins = Pins::memory();
    let hub = (address(HUB), identity(HUB, 1).fingerprint());
    let verified = Level::Verified(Method::Fingerprint);
    pins.change(|store, now| store.pin(hub.0.bare(), hub.1, verified, now))
        .expect("a pin");
    let settings = settings(own.as_str(), number, &pins).policy(Policy::Pinned);
    let link = relay.attach(own).await.expect("a link");
    Client::seeded(link, settings, pins, [number; 32]).0
}

fn settings(own: &str, seed: u8, pins: &Pins) -> Config {
    Config::new(config(&identity(own, seed)), pins.store()).accept(Accept::Anyone)
}

async fn established(tunnel: &mut Tunnel) {
    loop {
        match tunnel.next().await {
            Some(TunnelEvent::Established(_)) => return,
            Some(TunnelEvent::Closed(closed)) => panic!("{closed:?}"),
            Some(_) => {}
            None => panic!("no end"),
        }
    }
}

async fn say(from: &Tunnel, to: &mut Tunnel) {
    let body = Element::new("body", "jabber:client").with_text("Good night.");
    from.send(Stanza::new(Kind::Message).with_child(&body))
        .await
        .expect("open");
    while !matches!(to.next().await, Some(TunnelEvent::Stanza(_))) {}
}
