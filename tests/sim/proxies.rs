//! What a client asks its own server about relays, and relays about bytestreams: discovery and activation (XEP-0065).

use std::num::NonZeroU16;
use std::time::Duration;

use xtls_client::tunnel::s5b::Destination;
use xtls_stanza::disco::{Identity, Info, Item, Items, NS_ITEMS};
use xtls_stanza::s5b::{Host, Query, Sid, Streamhost};
use xtls_stanza::{Address, Condition, Content, Envelope, ErrorType, Payload, StanzaError};

use crate::keys;
use crate::paths::{Activated, Announced};
use crate::world::{ROMEO, World};

/// The port of every relay.
const PORT: NonZeroU16 = NonZeroU16::new(5_000).unwrap();

/// The relay of a client's server, as it is.
pub(crate) fn relay_of(at: usize) -> Streamhost {
    let name = match at {
        ROMEO => "relay.montague.example",
        _ => "relay.capulet.example",
    };
    Streamhost {
        jid: keys::address(name),
        host: Host::new(name).expect("a host"),
        port: PORT,
    }
}

/// The same, as the server says.
fn announced(at: usize, how: Announced) -> Streamhost {
    let right = relay_of(at);
    let at = |host: &str| Host::new(host).expect("a host");
    let (jid, host) = match how {
        Announced::Loopback => (right.jid, at("127.0.0.1")),
        Announced::LinkLocal => (right.jid, at("fe80::1")),
        Announced::Resolved => (right.jid, at("localhost.evil.example")),
        Announced::Elsewhere => (keys::address("relay.evil.example"), right.host),
        Announced::Right | Announced::Refused | Announced::Silent => (right.jid, right.host),
    };
    Streamhost {
        jid,
        host,
        port: PORT,
    }
}

impl World {
    /// Whether a stanza is for the client's own server, or its relay. These answer it.
    pub(crate) fn ask_server(&mut self, from: usize, request: &Envelope) -> bool {
        let Some(paths) = self.setup.paths.clone() else {
            return false;
        };
        let Some(to) = request.to.clone().filter(|_| from < 2) else {
            return false;
        };
        let relay = relay_of(from);
        let own = to.as_str() == self.clients[from].address.domain();
        if !own && to != relay.jid {
            return false;
        }
        let answer = self.answer_of(from, own, request, &relay);
        if let Some(mut answer) = answer {
            (answer.from, answer.to) = (Some(to), Some(self.clients[from].address.clone()));
            let late = match paths.lies.any() {
                true => self.dice.time(Duration::from_secs(3)),
                false => Duration::ZERO,
            };
            self.carry(30 + from, from, &answer, late, true);
        }
        true
    }

    fn answer_of(
        &mut self,
        from: usize,
        own: bool,
        request: &Envelope,
        relay: &Streamhost,
    ) -> Option<Envelope> {
        let paths = self.setup.paths.clone()?;
        let there = paths.relays[from];
        let refuse = |condition| request.error(StanzaError::new(ErrorType::Cancel, condition));
        Some(match &request.content {
            Content::Get(Payload::DiscoQuery(_)) => {
                let (category, type_) = match own {
                    true => ("server", "im"),
                    false => ("proxy", "bytestreams"),
                };
                let identity = Identity {
                    category: category.into(),
                    type_: type_.into(),
                    name: None,
                };
                request.result(Some(Payload::DiscoInfo(Info {
                    node: None,
                    identities: vec![identity],
                    features: Vec::new(),
                })))
            }
            Content::Get(Payload::Other(element)) if element.is("query", NS_ITEMS) => {
                let item = Item {
                    jid: relay.jid.clone(),
                    node: None,
                    name: None,
                };
                let items = Items {
                    items: there.then_some(item).into_iter().collect(),
                    ..Items::default()
                };
                request.result(Some(Payload::Other(items.to_element())))
            }
            Content::Get(Payload::Other(_)) => match paths.announced {
                Announced::Silent => return None,
                Announced::Refused => refuse(Condition::Forbidden),
                how => {
                    let hosts = Query::Hosts(vec![announced(from, how)]);
                    request.result(Some(Payload::Other(hosts.to_element())))
                }
            },
            Content::Set(Payload::Other(element)) => match Query::read(element) {
                Ok(Query::Activate { sid, target }) => {
                    return self.activate(from, request, &sid, &target);
                }
                _ => refuse(Condition::BadRequest),
            },
            Content::Get(_) | Content::Set(_) => refuse(Condition::ServiceUnavailable),
            _ => return None,
        })
    }

    /// A relay is to join the two ends of a bytestream.
    fn activate(
        &mut self,
        from: usize,
        request: &Envelope,
        sid: &Sid,
        target: &Address,
    ) -> Option<Envelope> {
        let paths = self.setup.paths.clone()?;
        let refuse = |condition| request.error(StanzaError::new(ErrorType::Cancel, condition));
        let destination = Destination::new(sid, &self.clients[from].address, target);
        match paths.activated {
            Activated::Refused => Some(refuse(Condition::NotAllowed)),
            Activated::Limited => Some(refuse(Condition::ResourceConstraint)),
            Activated::Silent => None,
            Activated::Right if self.join(from, destination) => Some(request.result(None)),
            Activated::Right => Some(refuse(Condition::ItemNotFound)),
        }
    }
}

/// Whether a client's server has announced its relay at this host.
pub(crate) fn is_announced(setup: &crate::setup::Setup, at: usize, host: &Host) -> bool {
    let how = setup.paths.as_ref().map(|paths| paths.announced);
    how.is_some_and(|how| announced(at, how).host == *host)
}
