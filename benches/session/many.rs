//! One router with tunnels to many others.

use std::time::{Duration, Instant};

use xtls_client::Accept;
use xtls_client::router::{Config, Router, TunnelEvent};
use xtls_stanza::ibb::BlockSize;
use xtls_stanza::{Address, Element, Envelope, Kind, Stanza};
use xtls_tls::trust::Policy;

use crate::keys::{address, config, identity, knows};

/// The router of one address with tunnels to many resources of another.
pub(crate) struct Many {
    now: Instant,
    hub: Router,
    spokes: Vec<Router>,
}

const HUB: &str = "hub@west.example/one";

pub(crate) fn spoke(number: usize) -> Address {
    address(&format!("spoke@east.example/{number}"))
}

pub(crate) fn router(own: Address, peer: &str, seed: u8, streams: usize) -> Router {
    let key = identity(own.bare(), seed);
    let ibb = xtls_ibb::Config::default()
        .block_size(BlockSize::MAX)
        .max_streams(streams)
        .max_streams_per_peer(streams);
    let config = Config::new(config(&key), knows(peer, &identity(peer, 3 - seed)))
        .policy(Policy::Pinned)
        .accept(Accept::Anyone)
        .ibb(ibb);
    let mut seed = [seed; 32];
    let name = own.as_str().as_bytes();
    let tail = name.get(name.len().saturating_sub(16)..).unwrap_or(name);
    for (seed, byte) in seed.iter_mut().zip(tail) {
        *seed ^= byte;
    }
    Router::new(own, config, seed)
}

impl Many {
    /// With all of them alive.
    pub(crate) fn connected(count: usize) -> Self {
        Self::with(count, true)
    }

    /// One end of each only: the other end is dropped when it has done its part, as if it were on another machine.
    pub(crate) fn alone(count: usize) -> Self {
        Self::with(count, false)
    }

    fn with(count: usize, keep: bool) -> Self {
        let mut many = Self {
            now: Instant::now(),
            hub: router(address(HUB), "spoke@east.example", 1, count + 1),
            spokes: Vec::new(),
        };
        for number in 0..count {
            let peer = spoke(number);
            let mut other = router(peer.clone(), "hub@west.example", 2, 4);
            let id = many.hub.open(many.now, &peer).expect("an open");
            many.settle(&mut other, &peer);
            // Traffic in both directions, in full records.
            let body = Element::new("body", "jabber:client").with_text("x".repeat(20_000));
            let stanza = Stanza::new(Kind::Message).with_child(&body);
            let theirs = loop {
                match other.poll_event(many.now) {
                    Some(event) if matches!(event.what, TunnelEvent::Established(_)) => {
                        break event.id;
                    }
                    Some(_) => {}
                    None => panic!("not established"),
                }
            };
            for (router, id) in [(&mut many.hub, id), (&mut other, theirs)] {
                let mut tunnel = router.tunnel(many.now, id).expect("established");
                tunnel.send(&stanza).expect("room");
            }
            many.settle(&mut other, &peer);
            while other.poll_event(many.now).is_some() {}
            while many.hub.poll_event(many.now).is_some() {}
            if keep {
                many.spokes.push(other);
            }
        }
        many
    }

    /// Passes stanzas between the hub and one spoke until nothing moves.
    fn settle(&mut self, other: &mut Router, name: &Address) {
        let hub = address(HUB);
        loop {
            let mut moved = false;
            while let Some(envelope) = self.hub.poll_transmit(self.now) {
                moved = true;
                other.handle(self.now, carried(envelope, &hub));
            }
            while let Some(envelope) = other.poll_transmit(self.now) {
                moved = true;
                self.hub.handle(self.now, carried(envelope, name));
            }
            if !moved {
                return;
            }
        }
    }

    /// Lets time pass for all of them. Returns how many timers fired.
    pub(crate) fn wait(&mut self, time: Duration) -> usize {
        let until = self.now + time;
        let mut fired = 0;
        let mut spokes = std::mem::take(&mut self.spokes);
        let hub = address(HUB);
        loop {
            while let Some(envelope) = self.hub.poll_transmit(self.now) {
                let to = envelope.to.clone().expect("a peer");
                let number: usize = to
                    .resource()
                    .and_then(|name| name.parse().ok())
                    .expect("a spoke");
                let Some(other) = spokes.get_mut(number) else {
                    continue;
                };
                other.handle(self.now, carried(envelope, &hub));
                while let Some(answer) = other.poll_transmit(self.now) {
                    self.hub.handle(self.now, carried(answer, &to));
                }
            }
            while let Some(event) = self.hub.poll_event(self.now) {
                assert!(!matches!(event.what, TunnelEvent::Closed(_)), "{event:?}");
            }
            let Some(due) = self.hub.poll_timeout().filter(|due| due.at <= until) else {
                break;
            };
            self.now = self.now.max(due.at);
            self.hub.handle_timeout(self.now);
            fired += 1;
        }
        self.spokes = spokes;
        self.now = until;
        fired
    }
}

pub(crate) fn carried(mut envelope: Envelope, from: &Address) -> Envelope {
    envelope.from = Some(from.clone());
    let mut text = Vec::new();
    envelope.write(&mut text);
    Envelope::read(&text.into()).expect("a stanza")
}
