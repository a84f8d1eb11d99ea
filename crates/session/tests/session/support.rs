//! Two ends, or one end and a stranger, and the wire between them.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use xtls_session::{
    Binding, Close, Config, Event, JudgeError, Mode, Peer, Service, Session, Verdict, Verify,
};
use xtls_stanza::{Address, Kind, Stanza};
use xtls_tls::trust::{Level, Method, Policy, Store};
use xtls_tls::{Identity, Role, Tls, default_provider, rustls, seeded};
use zeroize::Zeroizing;

pub(crate) const ROMEO: &str = "romeo@montague.example/orchard";
pub(crate) const JULIET: &str = "juliet@capulet.example/balcony";

/// What every Finished, confirmation or alert fits into, many times over.
const ROUNDS: usize = 10_000;

/// Something at one end of a wire.
pub(crate) trait End {
    /// All it has for the wire.
    fn take(&mut self) -> Vec<u8>;
    /// What the wire brought.
    fn feed(&mut self, wire: &[u8]);
}

/// How two ends are made.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) service: Service,
    pub(crate) config: Config,
    pub(crate) sid: &'static str,
    /// Who knows whose key.
    pub(crate) romeo_knows: bool,
    pub(crate) juliet_knows: bool,
    pub(crate) seed: u8,
}

impl Setup {
    pub(crate) fn stanzas() -> Self {
        Self {
            service: Service::stanzas(),
            config: Config::default(),
            sid: "s1",
            romeo_knows: true,
            juliet_knows: true,
            seed: 1,
        }
    }

    pub(crate) fn bytes() -> Self {
        Self {
            service: Service::new("pipe", Mode::Bytes),
            ..Self::stanzas()
        }
    }

    /// Neither knows the other's key.
    pub(crate) fn strangers(mut self) -> Self {
        self.romeo_knows = false;
        self.juliet_knows = false;
        self
    }

    pub(crate) fn with(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    pub(crate) fn binding(&self, role: Role) -> Binding {
        let (romeo, juliet) = (address(ROMEO), address(JULIET));
        let (own, peer) = match role {
            Role::Client => (romeo, juliet),
            Role::Server => (juliet, romeo),
        };
        Binding {
            own,
            peer,
            sid: self.sid.to_owned(),
            service: self.service.clone(),
            role,
        }
    }

    /// What this end knows.
    pub(crate) fn store(&self, role: Role) -> Store {
        let (knows, peer, identity) = match role {
            Role::Client => (self.romeo_knows, JULIET, &*IDENTITIES.1),
            Role::Server => (self.juliet_knows, ROMEO, &*IDENTITIES.0),
        };
        let mut store = Store::new();
        if knows {
            let level = Level::Verified(Method::Fingerprint);
            let bare = address(peer).to_bare();
            store
                .pin(bare.as_str(), identity.fingerprint(), level, 0)
                .unwrap();
        }
        store
    }

    pub(crate) fn tls_with(&self, role: Role, alpn: Option<Vec<u8>>) -> Tls {
        let store = Arc::new(self.store(role));
        let mut expect = self.binding(role).expect(store, Policy::Ask);
        if let Some(alpn) = alpn {
            expect.alpn = alpn;
            expect.alpn_required = false;
        }
        Tls::new(role, &self.tls_config(role), expect).unwrap()
    }

    pub(crate) fn tls_config(&self, role: Role) -> xtls_tls::Config {
        let (identity, seed) = match role {
            Role::Client => (&IDENTITIES.0, self.seed),
            Role::Server => (&IDENTITIES.1, self.seed ^ 0x80),
        };
        // The same first flight whatever features of rustls other crates ask for.
        let mut base = rustls::crypto::CryptoProvider::clone(&default_provider());
        base.cipher_suites.retain(|suite| suite.tls13().is_some());
        let crypto = seeded::provider(&base, [seed; 32]);
        let time = Arc::new(rustls::time_provider::DefaultTimeProvider);
        xtls_tls::Config::new(identity.clone(), crypto, time).unwrap()
    }

    pub(crate) fn end(&self, role: Role) -> Ours {
        self.end_over(role, self.tls_with(role, None))
    }

    /// An end whose TLS was made otherwise.
    pub(crate) fn end_over(&self, role: Role, tls: Tls) -> Ours {
        let now = start();
        Ours {
            now,
            session: Session::new(self.binding(role), tls, self.config, now),
            events: Vec::new(),
            takes: true,
        }
    }

    pub(crate) fn romeo(&self) -> Ours {
        self.end(Role::Client)
    }

    pub(crate) fn juliet(&self) -> Ours {
        self.end(Role::Server)
    }

    /// TLS as it should be, and whatever the test writes inside.
    pub(crate) fn stranger(&self, role: Role) -> Stranger {
        Stranger::over(self.tls_with(role, None))
    }

    /// A peer that knows the letter only.
    pub(crate) fn letter_only(&self, role: Role) -> Stranger {
        Stranger::over(self.tls_with(role, Some(Vec::new())))
    }

    /// Both ends, handshake and verdicts done, and no events left.
    pub(crate) fn connected(&self) -> (Ours, Ours) {
        let (mut romeo, mut juliet) = (self.romeo(), self.juliet());
        settle(&mut romeo, &mut juliet);
        assert_eq!(romeo.names(), ["ready", "established"]);
        assert_eq!(juliet.names(), ["established"]);
        romeo.events.clear();
        juliet.events.clear();
        (romeo, juliet)
    }

    /// Juliet, established, and a stranger in Romeo's place.
    pub(crate) fn juliet_and_stranger(&self) -> (Ours, Stranger) {
        let (mut juliet, mut stranger) = (self.juliet(), self.stranger(Role::Client));
        settle(&mut juliet, &mut stranger);
        assert_eq!(juliet.names(), ["established"]);
        assert_eq!(&stranger.plain[..], b" ");
        juliet.events.clear();
        stranger.plain.clear();
        (juliet, stranger)
    }
}

static IDENTITIES: LazyLock<(Arc<Identity>, Arc<Identity>)> = LazyLock::new(|| {
    let identity = |jid: &str, seed: u8| {
        let bare = address(jid).to_bare();
        let seed = Zeroizing::new([seed; 32]);
        Arc::new(Identity::generate(bare.as_str(), &seed, 1_767_225_600).unwrap())
    };
    (identity(ROMEO, 1), identity(JULIET, 2))
});

/// One of our ends and what it has told.
pub(crate) struct Ours {
    pub(crate) now: Instant,
    pub(crate) session: Session,
    pub(crate) events: Vec<Event>,
    /// Its application takes what comes.
    pub(crate) takes: bool,
}

impl Ours {
    /// Takes all events that there are.
    pub(crate) fn collect(&mut self) {
        while let Some(event) = self.session.poll_event() {
            let finished = event == Event::PeerFinished;
            self.events.push(event);
            if finished && self.takes {
                self.session.took(self.now);
            }
        }
    }

    pub(crate) fn send(&mut self, stanza: &Stanza) {
        self.session.send(stanza).unwrap();
    }

    /// The owner's word on the key that the peer has.
    pub(crate) fn judge(&mut self, verdict: Verdict) -> Result<(), JudgeError> {
        let peer = match self.session.binding().role {
            Role::Client => &IDENTITIES.1,
            Role::Server => &IDENTITIES.0,
        };
        self.session.judge(self.now, peer.fingerprint(), verdict)
    }

    /// The transport ends.
    pub(crate) fn cut(&mut self) {
        self.session.handle_wire_end(self.now);
        self.collect();
    }

    /// Tells the time of the next deadline, whatever it is.
    pub(crate) fn expire(&mut self) -> &'static str {
        let deadline = self.session.poll_timeout().unwrap();
        self.now = deadline.at;
        self.session.handle_timeout(self.now);
        self.collect();
        deadline.why
    }

    /// What has been told, but for the close_notify that follows a finish.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let events = self.events.iter();
        events
            .filter(|event| **event != Event::PeerClosed)
            .map(name)
            .collect()
    }

    pub(crate) fn stanzas(&self) -> Vec<Stanza> {
        let stanzas = self.events.iter().filter_map(|event| match event {
            Event::Stanza(stanza) => Some(stanza.clone()),
            _ => None,
        });
        stanzas.collect()
    }

    pub(crate) fn established(&self) -> Option<&Peer> {
        self.events.iter().find_map(|event| match event {
            Event::Established(peer) => Some(peer),
            _ => None,
        })
    }

    /// The end, which must be there, once, and last; and nothing may come after it.
    pub(crate) fn closed(&mut self) -> Close {
        self.collect();
        let closes = self
            .names()
            .iter()
            .filter(|name| **name == "closed")
            .count();
        assert_eq!(closes, 1, "{:?}", self.names());
        let Some(Event::Closed(close)) = self.events.last().cloned() else {
            panic!("closed, but not last: {:?}", self.names());
        };
        self.session.handle_wire(self.now, b"more");
        self.session.handle_wire_end(self.now);
        self.session.handle_timeout(self.now);
        self.session.finish(self.now);
        self.session.close(self.now);
        assert!(self.judge(Verdict::Accept).is_err());
        self.session.abort();
        assert_eq!(self.session.poll_event(), None);
        assert_eq!(self.session.poll_timeout(), None);
        assert_eq!(self.session.poll_wire(usize::MAX), None);
        assert_eq!(self.session.poll_event(), None);
        close
    }

    pub(crate) fn is_open(&mut self) -> bool {
        self.collect();
        !self.names().contains(&"closed")
    }
}

impl End for Ours {
    fn take(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while let Some(bytes) = self.session.poll_wire(usize::MAX) {
            wire.extend_from_slice(&bytes);
        }
        self.collect();
        wire
    }

    fn feed(&mut self, wire: &[u8]) {
        self.session.handle_wire(self.now, wire);
        self.collect();
    }
}

/// A peer that has the right keys and writes what it likes.
pub(crate) struct Stranger {
    pub(crate) tls: Tls,
    pub(crate) plain: BytesMut,
}

impl Stranger {
    pub(crate) fn over(tls: Tls) -> Self {
        Self {
            tls,
            plain: BytesMut::new(),
        }
    }

    pub(crate) fn write(&mut self, plain: impl AsRef<[u8]>) {
        self.tls.write(plain.as_ref()).unwrap();
    }

    /// What it has received, as text.
    pub(crate) fn heard(&self) -> String {
        String::from_utf8(self.plain.to_vec()).unwrap()
    }

    /// Writes, and lets the other end hear it.
    pub(crate) fn say(&mut self, plain: impl AsRef<[u8]>, to: &mut Ours) {
        self.write(plain);
        settle(self, to);
    }

    /// Whether it was told anything about an end: close_notify, or an alert.
    pub(crate) fn was_told(&self) -> bool {
        self.tls.peer_closed() || self.tls.failure().is_some()
    }
}

impl End for Stranger {
    fn take(&mut self) -> Vec<u8> {
        let wire = self.tls.poll_wire(usize::MAX);
        wire.map(Vec::from).unwrap_or_default()
    }

    fn feed(&mut self, wire: &[u8]) {
        self.tls.handle_wire(wire, &mut self.plain);
    }
}

/// Carries bytes both ways, in pieces of `cut`, until both ends are silent.
pub(crate) fn settle_cut(one: &mut impl End, other: &mut impl End, cut: usize) {
    for _ in 0..ROUNDS {
        let (to_other, to_one) = (one.take(), other.take());
        if to_other.is_empty() && to_one.is_empty() {
            return;
        }
        to_other.chunks(cut).for_each(|piece| other.feed(piece));
        to_one.chunks(cut).for_each(|piece| one.feed(piece));
    }
    panic!("the two ends never fall silent");
}

pub(crate) fn settle(one: &mut impl End, other: &mut impl End) {
    settle_cut(one, other, usize::MAX);
}

pub(crate) fn name(event: &Event) -> &'static str {
    match event {
        Event::Judge(_) => "judge",
        Event::Ready => "ready",
        Event::Established(_) => "established",
        Event::Stanza(_) => "stanza",
        Event::Readable => "readable",
        Event::Refused(_) => "refused",
        Event::Writable => "writable",
        Event::Unanswered(_) => "unanswered",
        Event::KeysOld => "keys old",
        Event::Verify(Verify::Asked { .. }) => "asked",
        Event::Verify(Verify::Due { .. }) => "due",
        Event::Verify(Verify::Compare { .. }) => "compare",
        Event::Verify(Verify::Done { .. }) => "done",
        Event::Verify(Verify::Failed { .. }) => "failed",
        Event::PeerFinished => "peer finished",
        Event::PeerClosed => "peer closed",
        Event::Closed(_) => "closed",
        _ => panic!("an event without a name"),
    }
}

pub(crate) fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

/// A stanza as somebody may write it.
pub(crate) fn stanza(xml: &str) -> Stanza {
    Stanza::read(&Bytes::copy_from_slice(xml.as_bytes())).unwrap()
}

pub(crate) fn message(body: &str) -> Stanza {
    stanza(&format!("<message><body>{body}</body></message>"))
}

/// A message with `length` bytes between its tags.
pub(crate) fn long(length: usize) -> Stanza {
    let body = format!("<body>{}</body>", "x".repeat(length.saturating_sub(13)));
    Stanza::new(Kind::Message)
        .with_children(body.into())
        .unwrap()
}

pub(crate) fn bodies(stanzas: &[Stanza]) -> Vec<String> {
    let body = |stanza: &Stanza| stanza.elements().unwrap().first().unwrap().text();
    stanzas.iter().map(body).collect()
}

/// Any moment may be the first.
#[expect(clippy::disallowed_methods, reason = "any moment may be the first")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
