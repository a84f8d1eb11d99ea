//! An open costs the same however many streams and tunnels there are, and so does the end of one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xtls_client::Accept;
use xtls_client::router::{Config, Event as Told, Router, TunnelEvent};
use xtls_ibb::{Allow, Event, Mux};
use xtls_stanza::busy::Limit;
use xtls_stanza::ibb::{BlockSize, Open, Sid};
use xtls_stanza::{Address, Content, Envelope, Payload, PresenceKind, ibb, xtls};
use xtls_tests::keys::{self, JULIET, address};
use xtls_tls::trust::Store;

use super::{ROUNDS, alone, used};

/// Opens in one measurement.
const OPENS: usize = 200;
/// Less than this many times as long may an open take among many as among 10. Work that looked at each of the others would
/// need more than a hundred times as long.
const MOST: f64 = 1.5;

/// One end that peers open something to, and what they have opened.
trait Crowd {
    fn open(&mut self, number: usize);
    fn close(&mut self, number: usize);
}

fn open(number: usize, extensions: Vec<xtls_stanza::Element>) -> Envelope {
    let open = Open {
        sid: Sid::new("s").unwrap(),
        block_size: BlockSize::new(4096).unwrap(),
        carrier: ibb::Carrier::Iq,
        extensions,
    };
    from(number, "open", Content::Set(Payload::Open(open)))
}

/// From an account of its own.
fn from(number: usize, id: &str, content: Content) -> Envelope {
    Envelope {
        from: Some(Address::new(&format!("p{number}@montague.example/r")).unwrap()),
        to: Some(address(JULIET)),
        id: id.into(),
        content,
    }
}

#[allow(clippy::disallowed_methods, reason = "any moment will do")]
fn any_moment() -> Instant {
    Instant::now()
}

struct Streams {
    mux: Mux,
    now: Instant,
}

impl Streams {
    fn new() -> Self {
        let most = usize::MAX;
        let config = xtls_ibb::Config::default()
            .max_streams(most)
            .max_pending(most)
            .opens_per_minute_in_all(most);
        let mut mux = Mux::new(address(JULIET), config, [1; 32]);
        mux.allow(Allow::Anyone);
        Self {
            mux,
            now: any_moment(),
        }
    }
}

impl Crowd for Streams {
    fn open(&mut self, number: usize) {
        assert_eq!(self.mux.handle(self.now, open(number, Vec::new())), None);
        let Some(Event::Incoming { id, .. }) = self.mux.poll_event() else {
            panic!("the open did not come");
        };
        self.mux.stream(self.now, id).accept(None).unwrap();
        assert!(self.mux.poll_transmit(self.now).is_some());
    }

    fn close(&mut self, number: usize) {
        let close = ibb::Close {
            sid: Sid::new("s").unwrap(),
        };
        let close = from(number, "close", Content::Set(Payload::Close(close)));
        assert_eq!(self.mux.handle(self.now, close), None);
        assert!(matches!(
            self.mux.poll_event(),
            Some(Event::PeerClosed { .. } | Event::Closed { .. })
        ));
        while self.mux.poll_event().is_some() {}
        while self.mux.poll_transmit(self.now).is_some() {}
    }
}

/// Tunnels whose peers have not said their hello.
struct Tunnels {
    router: Router,
    now: Instant,
}

impl Tunnels {
    fn new() -> Self {
        let tls = keys::tls(
            keys::identity("juliet@capulet.example", 2),
            xtls_tls::default_provider(),
        );
        let mut config = Config::new(tls, Arc::new(Store::new())).accept(Accept::Anyone);
        for limit in Limit::ALL {
            config = config.limit(limit, 1 << 20);
        }
        Self {
            router: Router::new(address(JULIET), config, [1; 32]),
            now: any_moment(),
        }
    }
}

impl Crowd for Tunnels {
    fn open(&mut self, number: usize) {
        let start = xtls::Control::Start { hello: None }.to_element();
        self.router.handle(self.now, open(number, vec![start]));
        let answer = self.router.poll_transmit(self.now).unwrap();
        assert_eq!(answer.content, Content::Result(None));
    }

    fn close(&mut self, number: usize) {
        let gone = Content::Presence {
            kind: PresenceKind::Unavailable,
            payloads: Vec::new(),
        };
        self.router.handle(self.now, from(number, "gone", gone));
        let told = std::iter::from_fn(|| self.router.poll_event(self.now));
        let ended = |event: &Told| matches!(event.what, TunnelEvent::Closed(_));
        assert_eq!(told.filter(ended).count(), 1);
        while self.router.poll_transmit(self.now).is_some() {}
    }
}

/// Times opens and ends among 10 others and among `many`.
fn compare<C: Crowd>(what: &str, many: usize, new: impl Fn() -> C) {
    let mut number = 0;
    let mut crowd = |others: usize| {
        let mut crowd = new();
        for _ in 0..others {
            crowd.open(number);
            number += 1;
        }
        crowd
    };
    let (mut few, mut many_others) = (crowd(10), crowd(many));
    let mut best = [Duration::MAX; 2];
    let mut next = 1_000_000;
    for _ in 0..ROUNDS {
        for (crowd, best) in [&mut few, &mut many_others].into_iter().zip(&mut best) {
            let start = used();
            for number in next..next + OPENS {
                crowd.open(number);
            }
            for number in next..next + OPENS {
                crowd.close(number);
            }
            *best = (used() - start).min(*best);
            next += OPENS;
        }
        let times = best[1].as_secs_f64() / best[0].as_secs_f64();
        if times < MOST {
            return;
        }
    }
    panic!("{what}: {OPENS} opens and ends among 10 and among {many}: {best:?}");
}

#[test]
fn an_open_costs_the_same_among_10_streams_and_among_10_000() {
    alone(|| compare("streams", 10_000, Streams::new));
}

#[test]
fn an_open_costs_the_same_among_10_tunnels_and_among_10_000() {
    alone(|| compare("tunnels", 10_000, Tunnels::new));
}
