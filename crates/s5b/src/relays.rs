//! Which relays a server has (XEP-0065 §4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use xtls_stanza::disco::{self, Items};
use xtls_stanza::s5b::{Query, Streamhost};
use xtls_stanza::{Address, Condition, Content, Envelope, Payload};

/// Items of a domain that are asked what they are.
const MAX_ITEMS: usize = 16;
/// Streamhosts of one relay.
const MAX_HOSTS: usize = 4;
/// Questions that wait for an answer at a time.
const MAX_ASKED: usize = 4;
/// How long discovery may take in all.
const DISCOVERY: Duration = Duration::from_secs(20);

/// A relay that your own server has announced: only [`Relays`] makes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Relay(Streamhost);

impl Relay {
    /// Who it is, to which the activation goes, and where it can be reached.
    #[must_use]
    pub fn streamhost(&self) -> &Streamhost {
        &self.0
    }
}

/// Asks a domain, and what belongs to it, for relays.
///
/// ```
/// use std::time::Instant;
/// use xtls_s5b::Relays;
/// use xtls_s5b::xtls_stanza::Address;
///
/// let mut relays = Relays::new(Instant::now(), "r1", &Address::new("romeo@montague.example/orchard")?);
/// let question = relays.poll_transmit().ok_or("nothing to ask")?;
/// assert_eq!(question.to, Some(Address::new("montague.example")?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Relays {
    domain: Option<Address>,
    ids: String,
    count: usize,
    /// In the order in which they are asked.
    waiting: VecDeque<(Address, Question)>,
    asked: BTreeMap<String, (Address, Question)>,
    events: VecDeque<RelaysEvent>,
    deadline: Instant,
    over: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Items,
    Info,
    Hosts,
}

/// What has been found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RelaysEvent {
    /// A relay that may be used.
    Found(Relay),
    /// An entity that is a relay and can't be used.
    Unusable {
        /// Its address.
        jid: Address,
        /// Why it can't.
        why: Unusable,
    },
    /// Everything has been asked.
    Over,
}

/// Why a relay can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It refuses to say where it is: you may not use it (`forbidden`), or it can't be used now (`not-allowed`).
    #[error("the relay refuses with {}", .0.name())]
    Refused(Condition),
    /// Its answer can't be read.
    #[error("the relay's answer can't be read")]
    Malformed,
    /// It names no streamhost.
    #[error("the relay does not say where it is")]
    NoHost,
    /// It names another entity.
    #[error("the relay names another one in its place")]
    Elsewhere,
    /// It has not answered.
    #[error("the relay has not answered in {} s", DISCOVERY.as_secs())]
    Timeout,
}

impl Relays {
    /// Asks the domain of your own address. The ids of its questions begin with `ids`, and no others may.
    #[must_use]
    pub fn new(now: Instant, ids: &str, own: &Address) -> Self {
        let domain = Address::new(own.domain()).ok();
        let questions = [Question::Items, Question::Info];
        let ask = |domain: &Address| questions.map(|question| (domain.clone(), question));
        Self {
            waiting: domain.iter().flat_map(ask).collect(),
            domain,
            ids: ids.to_owned(),
            count: 0,
            asked: BTreeMap::new(),
            events: VecDeque::new(),
            deadline: now + DISCOVERY,
            over: false,
        }
    }

    /// The next question.
    pub fn poll_transmit(&mut self) -> Option<Envelope> {
        if self.over || self.asked.len() >= MAX_ASKED {
            return None;
        }
        let (to, question) = self.waiting.pop_front()?;
        self.count += 1;
        let id = format!("{}-{}", self.ids, self.count);
        self.asked.insert(id.clone(), (to.clone(), question));
        let payload = match question {
            Question::Items => Payload::Other(Items::default().to_element()),
            Question::Info => Payload::DiscoQuery(disco::Query::default()),
            Question::Hosts => Payload::Other(Query::Hosts(Vec::new()).to_element()),
        };
        Some(Envelope {
            from: None,
            to: Some(to),
            id,
            content: Content::Get(payload),
        })
    }

    /// What has been found.
    pub fn poll_event(&mut self) -> Option<RelaysEvent> {
        let event = self.events.pop_front();
        if event.is_none() && !self.over && self.waiting.is_empty() && self.asked.is_empty() {
            self.over = true;
            return Some(RelaysEvent::Over);
        }
        event
    }

    /// Takes a stanza; `false` if it answers no question of ours. Only the one who was asked can answer.
    pub fn handle(&mut self, envelope: &Envelope) -> bool {
        let answer = match &envelope.content {
            Content::Result(payload) => Ok(payload.as_ref()),
            Content::Error(error) => Err(error.condition),
            Content::Get(_)
            | Content::Set(_)
            | Content::Message { .. }
            | Content::Presence { .. } => return false,
        };
        let Some((jid, question)) = self.asked.get(&envelope.id) else {
            return false;
        };
        if envelope.from.as_ref() != Some(jid) {
            return false;
        }
        let (jid, question) = (jid.clone(), *question);
        self.asked.remove(&envelope.id);
        match (question, answer) {
            (Question::Items, Ok(Some(Payload::Other(items)))) => {
                self.on_items(Items::read(items).ok())
            }
            (Question::Info, Ok(Some(Payload::DiscoInfo(info)))) => {
                let is_relay =
                    |one: &disco::Identity| one.category == "proxy" && one.type_ == "bytestreams";
                if info.identities.iter().any(is_relay) {
                    self.waiting.push_back((jid, Question::Hosts));
                }
            }
            (Question::Items | Question::Info, _) => {}
            (Question::Hosts, Ok(payload)) => self.on_hosts(jid, payload),
            (Question::Hosts, Err(condition)) => self.unusable(jid, Unusable::Refused(condition)),
        }
        true
    }

    /// When to call [`Relays::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.over).then_some(self.deadline)
    }

    /// The time has passed: what has been found is all there is.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| deadline > now) {
            return;
        }
        let left = std::mem::take(&mut self.asked).into_values();
        let left = left.chain(std::mem::take(&mut self.waiting));
        let relays: Vec<Address> = left
            .filter(|(_, question)| *question == Question::Hosts)
            .map(|(jid, _)| jid)
            .collect();
        for jid in relays {
            self.unusable(jid, Unusable::Timeout);
        }
    }

    /// The domain itself has been asked already.
    fn on_items(&mut self, items: Option<Items>) {
        let items = items.map(|items| items.items).unwrap_or_default();
        let mut seen: BTreeSet<Address> = self.domain.iter().cloned().collect();
        let new = items
            .into_iter()
            .filter(|item| item.node.is_none() && seen.insert(item.jid.clone()));
        let questions = new.take(MAX_ITEMS).map(|item| (item.jid, Question::Info));
        self.waiting.extend(questions);
    }

    fn on_hosts(&mut self, jid: Address, payload: Option<&Payload>) {
        let hosts = match payload {
            None => Some(Vec::new()),
            Some(Payload::Other(element)) => match Query::read(element) {
                Ok(Query::Hosts(hosts)) => Some(hosts),
                Ok(Query::Offer { .. } | Query::Used { .. } | Query::Activate { .. }) | Err(_) => {
                    None
                }
            },
            Some(_) => None,
        };
        let Some(hosts) = hosts else {
            return self.unusable(jid, Unusable::Malformed);
        };
        if hosts.is_empty() {
            return self.unusable(jid, Unusable::NoHost);
        }
        // ejabberd's has a resource. Another entity would be told whom we talk to.
        let own = |host: &Streamhost| host.jid.same_bare(&jid);
        let found: Vec<Streamhost> = hosts.into_iter().filter(own).take(MAX_HOSTS).collect();
        if found.is_empty() {
            return self.unusable(jid, Unusable::Elsewhere);
        }
        let found = found
            .into_iter()
            .map(|host| RelaysEvent::Found(Relay(host)));
        self.events.extend(found);
    }

    fn unusable(&mut self, jid: Address, why: Unusable) {
        self.events.push_back(RelaysEvent::Unusable { jid, why });
    }
}
