//! A router with paths, and a peer that signals whatever a test wants.

use std::num::NonZeroU16;
use xtls_client::router::{PathConfig, PathEvent, PipeId, SocketWish, TunnelEvent, Whom};
use xtls_ibb::Payload;
use xtls_path::Stay;
use xtls_stanza::disco::{Identity, Info, Item, Items, NS_ITEMS};
use xtls_stanza::path::{Candidate, Hints, Sealed, Signal, Takes, Why};
use xtls_stanza::s5b::{Host, Streamhost};
use xtls_stanza::{Content, Element, Envelope, ibb};
use xtls_tests::keys::{self, ROMEO};
use xtls_tests::raw::Duel;
use xtls_tls::trust::Policy;
use xtls_tls::{Open, Seal};

/// Juliet's router, and a Romeo that signals whatever a test wants.
pub(crate) struct Meeting {
    pub(crate) duel: Duel,
    seal: Seal,
    open: Open,
    pub(crate) sid: ibb::Sid,
    /// The number of Romeo's next signal.
    n: u64,
    requests: u64,
    /// What of Juliet's has been looked at.
    looked: usize,
    unanswered: Vec<Envelope>,
}

/// Two who know each other, with these paths of Juliet's; what they have opened nothing yet.
pub(crate) fn friends(paths: Option<Takes>) -> Duel {
    let romeo = keys::identity(ROMEO, 1);
    let known = keys::identity(ROMEO, 1);
    Duel::with(Some(&known), romeo, Policy::Pinned, |config| match paths {
        Some(takes) => config.paths(PathConfig::new(takes)),
        None => config,
    })
}

impl Meeting {
    /// They have a tunnel, and Juliet allows this.
    pub(crate) fn new(takes: Takes) -> Self {
        Self::of(friends(Some(takes)))
    }

    pub(crate) fn of(mut duel: Duel) -> Self {
        duel.open();
        assert!(duel.established());
        let keys = duel.tls.as_mut().expect("TLS").path_keys();
        let keys = keys.expect("our ALPN was agreed on");
        let sid = duel.sid();
        Self {
            duel,
            sid,
            seal: keys.seal,
            open: keys.open,
            n: 0,
            requests: 0,
            looked: 0,
            unanswered: Vec::new(),
        }
    }

    /// Romeo's next signal, whatever is inside.
    pub(crate) fn record(&mut self, plain: &[u8]) -> Sealed {
        let n = self.n;
        self.n += 1;
        let record = self.seal.seal(n, plain).expect("cryptography");
        let sid = self.sid.clone();
        Sealed { sid, n, record }
    }

    /// Romeo signals, and Juliet takes it.
    pub(crate) fn signal(&mut self, signal: &Signal) {
        let sealed = self.record(&signal.write());
        self.requests += 1;
        let id = format!("s{}", self.requests);
        let answer = ask(&mut self.duel, &id, sealed.to_element());
        assert_eq!(answer, Content::Result(None), "{signal:?}");
    }

    /// What Juliet has asked since the last call, of Romeo or of somebody else.
    pub(crate) fn asked(&mut self, romeo: bool) -> Vec<Envelope> {
        let new = self.duel.answers.get(self.looked..).unwrap_or_default();
        self.unanswered.extend_from_slice(new);
        self.looked = self.duel.answers.len();
        let question = |said: &Envelope| {
            let of_romeo = said.to.as_ref().is_some_and(|to| to.as_str() == ROMEO);
            matches!(said.content, Content::Get(_) | Content::Set(_)) && of_romeo == romeo
        };
        self.unanswered
            .extract_if(.., |said| question(said))
            .collect()
    }

    /// What Juliet has signalled since the last call. Each is answered.
    pub(crate) fn heard(&mut self) -> Vec<Signal> {
        let mut signals = Vec::new();
        for said in self.asked(true) {
            let Content::Set(Payload::Other(element)) = &said.content else {
                continue;
            };
            let Ok(sealed) = Sealed::read(element) else {
                continue;
            };
            let plain = self.open.open(sealed.n, &sealed.record);
            signals.push(Signal::read(&plain.expect("Juliet's")).expect("a signal"));
            self.duel.send_as(ROMEO, said.result(None));
        }
        signals
    }

    /// Answers what Juliet asks others: her server has a relay, which answers as it likes.
    pub(crate) fn serve(&mut self, relay: &mut dyn FnMut(&Envelope) -> Envelope) {
        loop {
            let asked = self.asked(false);
            if asked.is_empty() {
                return;
            }
            for question in asked {
                let to = question.to.clone().expect("to whom");
                let of_relay = to == relay_of_juliet().jid;
                let answer = match &question.content {
                    Content::Get(Payload::DiscoQuery(_)) => {
                        let identity = match of_relay {
                            true => ("proxy", "bytestreams"),
                            false => ("server", "im"),
                        };
                        let identity = Identity {
                            category: identity.0.into(),
                            type_: identity.1.into(),
                            name: None,
                        };
                        let info = Info {
                            node: None,
                            identities: vec![identity],
                            features: Vec::new(),
                        };
                        question.result(Some(Payload::DiscoInfo(info)))
                    }
                    Content::Get(Payload::Other(element)) if element.is("query", NS_ITEMS) => {
                        let item = Item {
                            jid: relay_of_juliet().jid,
                            node: None,
                            name: None,
                        };
                        let items = Items {
                            items: vec![item],
                            ..Items::default()
                        };
                        question.result(Some(Payload::Other(items.to_element())))
                    }
                    _ => relay(&question),
                };
                self.duel.send_as(to.as_str(), answer);
            }
        }
    }

    /// The socket to a relay that Juliet wishes for.
    pub(crate) fn dialled(&mut self) -> PipeId {
        let mut wishes = Vec::new();
        while let Some(wish) = self.duel.juliet.poll_wish() {
            if let SocketWish::Dial {
                pipe,
                whom: Whom::Relay(_),
                ..
            } = wish
            {
                return pipe;
            }
            wishes.push(wish);
        }
        panic!("no dial: {wishes:?}")
    }

    pub(crate) fn stayed(&self) -> Vec<Stay> {
        let events = self.duel.events.iter();
        let stayed = events.filter_map(|event| match &event.what {
            TunnelEvent::Path(PathEvent::Stayed(why)) => Some(*why),
            _ => None,
        });
        stayed.collect()
    }
}

pub(crate) fn hints(attempt: u64, candidates: Vec<Candidate>) -> Signal {
    Signal::Hints(Hints {
        attempt,
        why: Why::Faster,
        takes: Takes::Any,
        candidates,
    })
}

/// Somebody asks Juliet, as Romeo: the one answer.
pub(crate) fn ask(duel: &mut Duel, id: &str, child: Element) -> Content {
    let request = Envelope {
        from: None,
        to: None,
        id: id.to_owned(),
        content: Content::Set(Payload::Other(child)),
    };
    duel.send_as(ROMEO, request);
    let answers = duel.answers.iter().filter(|sent| {
        sent.id == id && matches!(sent.content, Content::Result(_) | Content::Error(_))
    });
    let answers: Vec<_> = answers.collect();
    assert_eq!(answers.len(), 1, "one answer to {id}: {answers:?}");
    answers[0].content.clone()
}

pub(crate) fn relay_of_juliet() -> Streamhost {
    Streamhost {
        jid: keys::address("proxy.capulet.example"),
        host: Host::new("192.0.2.1").expect("a host"),
        port: NonZeroU16::new(5_000).expect("a port"),
    }
}
