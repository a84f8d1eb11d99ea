//! A friend of Juliet's with a key that she trusts, who breaks every rule inside the tunnel and below it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use xtls_client::router::TunnelId;
use xtls_ibb::{Mux, OpenOptions, StreamId};
use xtls_session::{Binding, Service};
use xtls_stanza::verify::{self, Step};
use xtls_stanza::xtls::Control;
use xtls_stanza::{Address, Content, Envelope, Payload};
use xtls_tls::trust::{Policy, Store};
use xtls_tls::verify::{Message, Method, Run};
use xtls_tls::{Fingerprint, Role, Tls, default_provider, seeded};

use crate::client::{self, Act, MALLORY as MALLORY_ADDRESS, NURSE};
use crate::dice::Dice;
use crate::keys;
use crate::oracle::{RAW, id};
use crate::setup::{Adversary, Setup, Trust};
use crate::world::{Deed, MALLORY, World};

/// Streams and TLS with nothing above them.
pub struct Mallory {
    mux: Mux,
    config: xtls_tls::Config,
    tls: Option<Tls>,
    stream: Option<StreamId>,
    plain: BytesMut,
    /// She has ended her direction in the middle of a stanza.
    pub torn: bool,
    /// She has sent something forbidden.
    pub guilty: bool,
    said: usize,
    /// Chunks exceed the size that was agreed with Juliet.
    oversize: bool,
    /// She claims another identity, with the help of a server, and shows her own certificate.
    liar: bool,
    cheat: Option<Cheat>,
}

/// A verification in which she lies.
struct Cheat {
    nonce: [u8; 32],
    /// She reveals a nonce other than the committed one; otherwise only her proof is invalid.
    promise: bool,
    broken: bool,
}

impl Mallory {
    /// She exists if the peer is the adversary.
    pub fn new(setup: &Setup) -> Option<Self> {
        if setup.adversary != Adversary::Peer {
            return None;
        }
        let own = keys::address(MALLORY_ADDRESS);
        let mut dice = Dice::new(setup.seed, 30);
        let crypto = seeded::provider(&default_provider(), dice.seed());
        let liar = setup.trust == Trust::Strangers && dice.permille(500);
        let config = xtls_tls::Config::new(
            client::key(own.bare(), if liar { 8 } else { 6 }),
            crypto,
            Arc::new(keys::Clock),
        )
        .expect("a test's TLS");
        Some(Self {
            mux: Mux::new(
                if liar { keys::address(NURSE) } else { own },
                xtls_ibb::Config::default(),
                dice.seed(),
            ),
            config,
            tls: None,
            stream: None,
            plain: BytesMut::new(),
            torn: false,
            guilty: false,
            said: 0,
            oversize: dice.permille(300),
            liar,
            cheat: None,
        })
    }

    /// Her address.
    pub fn address(&self) -> Address {
        keys::address(if self.liar { NURSE } else { MALLORY_ADDRESS })
    }

    /// Her key.
    pub fn key(&self) -> Fingerprint {
        self.config.identity().fingerprint()
    }

    /// When her streams need to be called again.
    pub fn deadline(&self) -> Option<Instant> {
        self.mux.poll_timeout().map(|deadline| deadline.at)
    }

    fn on_stream(&mut self, event: xtls_ibb::Event) {
        match event {
            xtls_ibb::Event::Opened { id, .. } => {
                let binding = Binding {
                    own: self.address(),
                    peer: keys::address(keys::JULIET),
                    sid: self.mux.sid(id).expect("a sid").to_string(),
                    service: Service::stanzas(),
                    role: Role::Client,
                };
                let mut expect = binding.expect(Arc::new(Store::new()), Policy::Ask);
                expect.own = self.config.identity().jid().to_owned();
                self.tls = Some(Tls::new(Role::Client, &self.config, expect).expect("TLS"));
            }
            xtls_ibb::Event::Closed { .. } => {
                self.stream = None;
                self.tls = None;
            }
            _ => {}
        }
    }

    fn pump(&mut self, now: Instant) {
        let (Some(tls), Some(stream)) = (&mut self.tls, self.stream) else {
            return;
        };
        while let Some(wire) = self.mux.stream(now, stream).read(16_384) {
            tls.handle_wire(&wire, &mut self.plain);
            self.plain.clear();
        }
        loop {
            let room = self.mux.room(stream);
            let Some(wire) = (room > 0).then(|| tls.poll_wire(room)).flatten() else {
                return;
            };
            if self.mux.stream(now, stream).write(wire).is_err() {
                return;
            }
        }
    }
}

impl World {
    /// She takes her next action.
    pub(crate) fn mallory_acts(&mut self) {
        let now = self.now;
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let Some(stream) = mallory.stream else {
            let options =
                OpenOptions::default().extension(Control::Start { hello: None }.to_element());
            mallory.stream = mallory
                .mux
                .open(now, &keys::address(keys::JULIET), options)
                .ok();
            mallory.torn = false;
            mallory.guilty = false;
            mallory.said = 0;
            mallory.cheat = None;
            return self.mallory_moves();
        };
        let number = mallory.said;
        mallory.said += 1;
        let own = id(MALLORY, &RAW.to_string(), number);
        let kind = self.dice.below(14);
        let harmless = format!(
            "<message xmlns='jabber:client' id='{own}'><body>{}</body></message>",
            self.song()
        );
        let text = match kind {
            0 => format!(
                "<message xmlns='jabber:client' id='{own}' from='romeo@montague.example/orchard'/>"
            ),
            1 => format!(
                "<iq xmlns='jabber:client' id='{own}' type='set'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>"
            ),
            2 => format!(
                "<message xmlns='jabber:client' id='{own}'><received xmlns='urn:xmpp:carbons:2'/></message>"
            ),
            3 => format!("<message xmlns='jabber:client' id='{own}' to='nurse@capulet.example'/>"),
            4 => "<message xmlns='jabber:client'><body>half a ".to_owned(),
            5 => "</stream:stream>".to_owned(),
            6 => format!(
                "<iq xmlns='jabber:client' id='{own}' type='get'><ping xmlns='urn:xmpp:ping'/></iq>"
            ),
            _ => harmless,
        };
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        match kind {
            7 => {
                mallory
                    .mux
                    .stream(now, stream)
                    .write(Bytes::from_static(b"no record at all, beneath TLS"))
                    .ok();
            }
            8 => mallory.mux.stream(now, stream).close(),
            _ => {
                if let Some(tls) = &mut mallory.tls
                    && tls.write(text.as_bytes()).is_ok()
                {
                    mallory.guilty |= matches!(kind, 0 | 3 | 5);
                    if kind == 4 {
                        mallory.torn = true;
                        tls.close();
                    }
                }
            }
        }
        self.totals.fault("broken by the peer");
        self.mallory_moves();
    }

    /// She pretends to compare words: requests it, commits to a nonce, reveals that or another, and proves nothing.
    pub(crate) fn mallory_cheats(&mut self, step: u8) {
        let (nonce, other, lie) = (self.dice.seed(), self.dice.seed(), self.dice.permille(500));
        let Some(mallory) = &mut self.mallory else {
            return;
        };
        let Some(tls) = &mut mallory.tls else {
            return;
        };
        let said = match (step, &mut mallory.cheat) {
            (0, _) => Step::Ready(verify::Method::Words),
            (1, cheat) => {
                let Ok(context) = tls.verification(Method::Words) else {
                    return;
                };
                let (_, Some(Message::Commit(commit))) = Run::words(context, nonce.into()) else {
                    return;
                };
                *cheat = Some(Cheat {
                    nonce,
                    promise: lie,
                    broken: false,
                });
                Step::Commit(commit)
            }
            (2, Some(cheat)) => {
                cheat.broken = cheat.promise;
                Step::Reveal(if cheat.promise { other } else { cheat.nonce })
            }
            (3, Some(_)) => Step::Confirm(other),
            _ => return,
        };
        let mut text = Vec::new();
        said.to_stanza().write(&mut text);
        if tls.write(&text).is_ok() {
            self.totals.fault("false step of a verification");
            let next = Duration::from_secs(8);
            self.later(next, Deed::Act(MALLORY, Act::Cheat(step + 1)));
        }
        self.mallory_moves();
    }

    /// I8: words that result from a broken commitment are not shown.
    pub(crate) fn judge_promise(&mut self, at: usize, id: TunnelId) {
        let peer = self.oracle.end((at, id)).peer.clone();
        let broken = self.mallory.as_ref().is_some_and(|mallory| {
            Some(mallory.address()) == peer
                && mallory.cheat.as_ref().is_some_and(|cheat| cheat.broken)
        });
        if broken {
            self.accuse("I8: words are shown although the nonce is not the promised one");
        }
    }

    pub(crate) fn mallory_expires(&mut self) {
        let now = self.now;
        if let Some(mallory) = &mut self.mallory {
            mallory.mux.handle_timeout(now);
        }
        self.mallory_moves();
    }

    pub(crate) fn mallory_hears(&mut self, xml: &Bytes) {
        let now = self.now;
        if let (Some(mallory), Ok(envelope)) = (&mut self.mallory, Envelope::read(xml)) {
            mallory.mux.handle(now, envelope);
        }
        self.mallory_moves();
    }

    fn mallory_moves(&mut self) {
        let now = self.now;
        loop {
            let Some(mallory) = &mut self.mallory else {
                return;
            };
            while let Some(event) = mallory.mux.poll_event() {
                mallory.on_stream(event);
            }
            mallory.pump(now);
            let Some(mut envelope) = mallory.mux.poll_transmit(now) else {
                return;
            };
            if let Content::Set(Payload::Open(open)) = &mut envelope.content
                && mallory.oversize
            {
                open.block_size = xtls_stanza::ibb::BlockSize::new(100).expect("a size");
            }
            self.route(MALLORY, envelope, 0);
        }
    }

    /// No tunnel with her that she has cut may be called clean.
    pub(crate) fn judge_mallory(&mut self, closed: &xtls_client::router::Closed) {
        let torn = self
            .mallory
            .as_ref()
            .is_some_and(|mallory| mallory.torn && closed.peer == mallory.address());
        if torn && closed.clean {
            self.accuse("I1: a stream that ends in the middle of a stanza is called clean");
        }
    }
}
