//! A peer whose In-Band Bytestreams and TLS are correct, and that sends whatever a test wants inside.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use xtls_client::Accept;
use xtls_client::router::{Closed, Config, Event, Router, TunnelEvent};
use xtls_ibb::{Mux, OpenOptions, StreamId};
use xtls_session::{Binding, Service, Verdict};
use xtls_stanza::ibb::Sid;
use xtls_stanza::xtls::Control;
use xtls_stanza::{Address, Envelope, Stanza};
use xtls_tls::trust::{Level, Method, Policy, Store};
use xtls_tls::{Expectations, Identity, Role, Tls};

use crate::keys::{self, JULIET, ROMEO};

/// Juliet's router against a raw Romeo, connected without delay.
pub struct Duel {
    /// Virtual time.
    pub now: Instant,
    /// Juliet's router.
    pub juliet: Router,
    /// Its events.
    pub events: Vec<Event>,
    /// Everything that Juliet sent, decoded.
    pub answers: Vec<Envelope>,
    mux: Mux,
    /// Romeo's TLS, once the stream is open.
    pub tls: Option<Tls>,
    stream: Option<StreamId>,
    tls_config: xtls_tls::Config,
    /// What Romeo has read.
    pub plain: BytesMut,
    /// How Romeo's stream ended.
    pub stream_closed: Option<xtls_ibb::Close>,
    /// Changes each stanza that Romeo sends.
    pub tamper: Option<fn(&mut Envelope)>,
    /// Whether Romeo names our ALPN, and not only the letter's.
    pub bound: bool,
}

impl Duel {
    /// Juliet has verified Romeo's key `known`; Romeo presents `shown`.
    pub fn new(known: Option<&Identity>, shown: Identity, policy: Policy) -> Self {
        Self::with(known, shown, policy, |config| config)
    }

    /// The same, with a router of Juliet's that is configured further.
    pub fn with(
        known: Option<&Identity>,
        shown: Identity,
        policy: Policy,
        further: impl FnOnce(Config) -> Config,
    ) -> Self {
        let (romeo, juliet) = (keys::address(ROMEO), keys::address(JULIET));
        let mut store = Store::new();
        if let Some(known) = known {
            let level = Level::Verified(Method::Fingerprint);
            store
                .pin(romeo.bare(), known.fingerprint(), level, keys::LETTER)
                .expect("a first pin");
        }
        let tls = keys::seeded_tls(keys::identity(JULIET, 2), [2; 32]);
        let config = Config::new(tls, Arc::new(store))
            .policy(policy)
            .accept(Accept::Only(BTreeSet::from([romeo.to_bare()])));
        Self {
            now: Instant::now(),
            juliet: Router::new(juliet, further(config), [3; 32]),
            events: Vec::new(),
            answers: Vec::new(),
            mux: Mux::new(romeo, xtls_ibb::Config::default(), [4; 32]),
            tls: None,
            stream: None,
            tls_config: keys::seeded_tls(shown, [1; 32]),
            plain: BytesMut::new(),
            stream_closed: None,
            tamper: None,
            bound: true,
        }
    }

    /// Two who know each other.
    pub fn friends() -> Self {
        let identity = keys::identity(ROMEO, 1);
        Self::new(Some(&identity), keys::identity(ROMEO, 1), Policy::Pinned)
    }

    /// The name of Romeo's stream.
    pub fn sid(&self) -> Sid {
        let stream = self.stream.expect("a stream");
        self.mux.sid(stream).expect("a name").clone()
    }

    /// Opens and performs the handshake, as far as it gets.
    pub fn open(&mut self) {
        let start = Control::Start { hello: None }.to_element();
        let options = OpenOptions::default().extension(start);
        let to = keys::address(JULIET);
        self.stream = Some(self.mux.open(self.now, &to, options).expect("an open"));
        self.run();
    }

    /// Sends bytes inside TLS.
    pub fn say(&mut self, plain: impl AsRef<[u8]>) {
        self.tls
            .as_mut()
            .expect("a stream")
            .write(plain.as_ref())
            .expect("an open TLS");
        self.run();
    }

    /// Puts bytes on the stream, below TLS.
    pub fn inject(&mut self, wire: &[u8]) {
        let stream = self.stream.expect("a stream");
        self.mux
            .stream(self.now, stream)
            .write(Bytes::copy_from_slice(wire))
            .expect("room");
        self.run();
    }

    /// close_notify.
    pub fn close_tls(&mut self) {
        self.tls.as_mut().expect("a stream").close();
        self.run();
    }

    /// IBB `<close/>` after what was written.
    pub fn close_stream(&mut self) {
        let stream = self.stream.expect("a stream");
        self.mux.stream(self.now, stream).close();
        self.run();
    }

    /// Any stanza from Romeo.
    pub fn send(&mut self, envelope: Envelope) {
        self.hand_over(envelope);
        self.run();
    }

    /// Any stanza from anyone.
    pub fn send_as(&mut self, from: &str, mut envelope: Envelope) {
        envelope.from = Some(keys::address(from));
        envelope.to = Some(keys::address(JULIET));
        let mut xml = Vec::new();
        envelope.write(&mut xml);
        let envelope = Envelope::read(&xml.into()).expect("a stanza");
        self.juliet.handle(self.now, envelope);
        self.run();
    }

    /// The text of any stanza from anyone, as a server would deliver it.
    pub fn send_text(&mut self, xml: &str) {
        let frame = Bytes::copy_from_slice(xml.as_bytes());
        match Envelope::read(&frame) {
            Ok(envelope) => self.juliet.handle(self.now, envelope),
            Err(error) => self.answers.extend(error.reply()),
        }
        self.run();
    }

    /// Lets time pass on both ends.
    pub fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let own = self.juliet.poll_timeout().map(|deadline| deadline.at);
            let theirs = self.mux.poll_timeout().map(|deadline| deadline.at);
            let Some(at) = own
                .into_iter()
                .chain(theirs)
                .min()
                .filter(|at| *at <= until)
            else {
                break;
            };
            self.now = self.now.max(at);
            self.juliet.handle_timeout(self.now);
            self.mux.handle_timeout(self.now);
            self.run();
        }
        self.now = until;
    }

    /// The stanzas that Juliet's application received.
    pub fn delivered(&self) -> Vec<Stanza> {
        let stanza = |event: &Event| match &event.what {
            TunnelEvent::Stanza(stanza) => Some(stanza.clone()),
            _ => None,
        };
        self.events.iter().filter_map(stanza).collect()
    }

    /// Whether Juliet's side reported the session as established.
    pub fn established(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event.what, TunnelEvent::Established(_)))
    }

    /// How Juliet's tunnel ended; panics unless it ended once, and last.
    pub fn closed(&self) -> Closed {
        let closed: Vec<_> = self
            .events
            .iter()
            .filter_map(|event| match &event.what {
                TunnelEvent::Closed(closed) => Some(closed.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(closed.len(), 1, "{:?}", self.events);
        assert!(matches!(
            self.events.last(),
            Some(Event {
                what: TunnelEvent::Closed(_),
                ..
            })
        ));
        closed.into_iter().next().expect("one")
    }

    /// Accepts or refuses Romeo's key.
    pub fn judge(&mut self, verdict: Verdict) {
        let asked = self.events.iter().find_map(|event| match &event.what {
            TunnelEvent::Judge(introduction) => Some((event.id, introduction.fingerprint)),
            _ => None,
        });
        let (id, key) = asked.expect("a question about a key");
        self.juliet
            .tunnel(self.now, id)
            .expect("it waits for that")
            .judge(key, verdict)
            .expect("it waits for that");
        self.run();
    }

    /// Moves everything until nothing moves.
    pub fn run(&mut self) {
        for _ in 0..100_000 {
            let mut quiet = true;
            while let Some(event) = self.juliet.poll_event(self.now) {
                self.events.push(event);
                quiet = false;
            }
            while let Some(mut envelope) = self.juliet.poll_transmit(self.now) {
                envelope.from = Some(keys::address(JULIET));
                self.answers.push(envelope.clone());
                if envelope.to.as_ref().is_some_and(|to| to.as_str() == ROMEO) {
                    self.mux.handle(self.now, envelope);
                }
                quiet = false;
            }
            while let Some(event) = self.mux.poll_event() {
                self.on_stream(event);
                quiet = false;
            }
            self.pump();
            while let Some(envelope) = self.mux.poll_transmit(self.now) {
                self.hand_over(envelope);
                quiet = false;
            }
            if quiet {
                return;
            }
        }
        panic!("the duel never comes to rest");
    }

    fn hand_over(&mut self, mut envelope: Envelope) {
        if let Some(tamper) = self.tamper {
            tamper(&mut envelope);
        }
        envelope.from = Some(keys::address(ROMEO));
        let mut xml = Vec::new();
        envelope.write(&mut xml);
        let envelope = Envelope::read(&xml.into()).expect("a stanza");
        self.juliet.handle(self.now, envelope);
    }

    fn on_stream(&mut self, event: xtls_ibb::Event) {
        match event {
            xtls_ibb::Event::Opened { id, .. } => {
                let binding = Binding {
                    own: keys::address(ROMEO),
                    peer: keys::address(JULIET),
                    sid: self.mux.sid(id).expect("a sid").to_string(),
                    service: Service::stanzas(),
                    role: Role::Client,
                };
                let mut expect = Expectations::new(
                    self.tls_config.identity().jid(),
                    keys::address(JULIET).bare(),
                    Store::new(),
                    Policy::Ask,
                );
                if self.bound {
                    expect.alpn = binding.alpn();
                }
                self.tls = Some(Tls::new(Role::Client, &self.tls_config, expect).expect("TLS"));
            }
            xtls_ibb::Event::Closed { close, .. } => self.stream_closed = Some(close),
            _ => {}
        }
    }

    fn pump(&mut self) {
        let (Some(tls), Some(stream)) = (&mut self.tls, self.stream) else {
            return;
        };
        while let Some(wire) = self.mux.stream(self.now, stream).read(16_384) {
            tls.handle_wire(&wire, &mut self.plain);
        }
        loop {
            let room = self.mux.room(stream);
            let Some(wire) = (room > 0).then(|| tls.poll_wire(room)).flatten() else {
                return;
            };
            if self.mux.stream(self.now, stream).write(wire).is_err() {
                return;
            }
        }
    }
}

/// The address for a full JID in a test.
pub fn address(text: &str) -> Address {
    keys::address(text)
}
