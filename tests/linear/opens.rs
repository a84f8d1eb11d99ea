//! An open costs the same however many streams there are.

use std::time::{Duration, Instant};

use xtls_ibb::{Allow, Config, Event, Mux};
use xtls_stanza::ibb::{BlockSize, Carrier, Open, Sid};
use xtls_stanza::{Address, Content, Envelope, Payload};
use xtls_tests::keys::{JULIET, address};

use super::{ROUNDS, alone, used};

/// Opens in one measurement.
const OPENS: usize = 200;
/// Less than this many times as long may an open take among 10,000 streams as among 10. A mux that looked at each of them
/// would need more than a hundred times as long.
const MOST: u32 = 3;

/// A mux with so many streams, each of an address of its own.
struct Crowd {
    mux: Mux,
    now: Instant,
    streams: usize,
}

impl Crowd {
    fn new(streams: usize) -> Self {
        let most = usize::MAX;
        let config = Config::default()
            .max_streams(most)
            .max_pending(most)
            .opens_per_minute_in_all(most);
        let mut mux = Mux::new(address(JULIET), config, [1; 32]);
        mux.allow(Allow::Anybody);
        #[allow(clippy::disallowed_methods, reason = "any moment will do")]
        let now = Instant::now();
        let mut crowd = Self {
            mux,
            now,
            streams: 0,
        };
        for _ in 0..streams {
            crowd.open();
        }
        crowd
    }

    fn open(&mut self) {
        let from = Address::new(&format!("p{}@montague.example/r", self.streams)).unwrap();
        self.streams += 1;
        let open = Open {
            sid: Sid::new("s").unwrap(),
            block_size: BlockSize::new(4096).unwrap(),
            carrier: Carrier::Iq,
            extensions: Vec::new(),
        };
        let envelope = Envelope {
            from: Some(from),
            to: Some(address(JULIET)),
            id: "open".into(),
            content: Content::Set(Payload::Open(open)),
        };
        assert_eq!(self.mux.handle(self.now, envelope), None);
        let Some(Event::Incoming { id, .. }) = self.mux.poll_event() else {
            panic!("the open did not come");
        };
        self.mux.stream(self.now, id).accept(None).unwrap();
        assert!(self.mux.poll_transmit(self.now).is_some());
    }

    fn time(&mut self) -> Duration {
        let start = used();
        for _ in 0..OPENS {
            self.open();
        }
        used() - start
    }
}

#[test]
fn an_open_costs_the_same_among_10_streams_and_among_10_000() {
    alone(|| {
        let mut best = [Duration::MAX; 2];
        let mut many = Crowd::new(10_000);
        for _ in 0..ROUNDS {
            best[0] = best[0].min(Crowd::new(10).time());
            best[1] = best[1].min(many.time());
            if best[1] < best[0] * MOST {
                println!("{OPENS} opens among 10 and among 10,000 streams: {best:?}");
                return;
            }
        }
        panic!("{OPENS} opens among 10 and among 10,000 streams: {best:?}");
    });
}
