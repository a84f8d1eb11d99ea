//! The relays of our own server: which there are, and which of our bytestreams they have joined (XEP-0065 §4 and §6.3).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tracing::debug;
use xtls_s5b as s5b;
use xtls_stanza::s5b::{Query, Sid, Streamhost};
use xtls_stanza::{Address, Condition, Content, Envelope, Payload};

/// What our server has answered on this connection. Another one begins with a new one, but for [`Relays::rebind`].
#[derive(Debug, Default)]
pub(super) struct Relays {
    search: Search,
    /// By the ids of their requests.
    activations: BTreeMap<String, Activation>,
    count: u64,
    transmit: VecDeque<Envelope>,
    events: VecDeque<RelaysEvent>,
    /// Relays at which we have as many streams as they allow, and until when they are not asked again.
    limited: BTreeMap<Address, Instant>,
}

#[derive(Debug, Default)]
enum Search {
    #[default]
    NotWanted,
    Going(Box<s5b::Relays>, Vec<Streamhost>),
    Over(Vec<Streamhost>),
}

#[derive(Debug)]
struct Activation {
    jid: Address,
    sid: Sid,
    until: Instant,
}

/// What has been answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RelaysEvent {
    /// [`Relays::found`] has them, if there are any.
    Found,
    /// A relay has joined the two ends of a bytestream, or not.
    Activated {
        sid: Sid,
        result: Result<(), NotActivated>,
    },
}

/// Why a relay has not joined the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotActivated {
    /// It answers with an error.
    Refused,
    /// We have as many streams there as it allows (`resource-constraint`), now or a short time ago.
    Limited,
    /// It does not answer.
    TimedOut,
}

impl Relays {
    /// Looks for relays, once: [`RelaysEvent::Found`] follows if they are not known yet.
    pub(super) fn want(&mut self, now: Instant, own: &Address) {
        if let Search::NotWanted = self.search {
            self.count += 1;
            let ids = format!("{SEARCH}-{}", self.count);
            let search = Box::new(s5b::Relays::new(now, &ids, own));
            self.search = Search::Going(search, Vec::new());
            self.collect();
        }
    }

    /// Where our relays are, but for those that take no more streams now. `None` while they are not known.
    pub(super) fn found(&self, now: Instant) -> Option<Vec<Streamhost>> {
        let Search::Over(found) = &self.search else {
            return None;
        };
        let free = |host: &&Streamhost| !self.is_limited(now, &host.jid);
        Some(found.iter().filter(free).cloned().collect())
    }

    /// Tells a relay to join the two ends, which are both connected to it: [`RelaysEvent::Activated`] follows.
    pub(super) fn activate(&mut self, now: Instant, jid: Address, sid: Sid, target: Address) {
        if self.is_limited(now, &jid) {
            self.activated(sid, Err(NotActivated::Limited));
            return;
        }
        self.count += 1;
        let id = format!("{ACTIVATE}-{}", self.count);
        let query = Query::Activate {
            sid: sid.clone(),
            target,
        };
        self.transmit.push_back(Envelope {
            from: None,
            to: Some(jid.clone()),
            id: id.clone(),
            content: Content::Set(Payload::Other(query.to_element())),
        });
        let until = now + ACTIVATION;
        self.activations.insert(id, Activation { jid, sid, until });
    }

    /// Another address is bound: what was asked is not answered any more, and nobody hears of it. A relay counts the streams of a
    /// user, so those that have as many as they allow are remembered.
    pub(super) fn rebind(&mut self) {
        let limited = std::mem::take(&mut self.limited);
        // Ids are not used twice.
        let count = self.count;
        *self = Self {
            limited,
            count,
            ..Self::default()
        };
    }

    /// What is to be sent.
    pub(super) fn poll_transmit(&mut self) -> Option<Envelope> {
        if let Some(request) = self.transmit.pop_front() {
            return Some(request);
        }
        match &mut self.search {
            Search::Going(search, _) => search.poll_transmit(),
            Search::NotWanted | Search::Over(_) => None,
        }
    }

    /// What has been answered.
    pub(super) fn poll_event(&mut self) -> Option<RelaysEvent> {
        self.events.pop_front()
    }

    /// Takes a stanza; `false` if it answers no question of ours. Only the one who was asked can answer.
    pub(super) fn handle(&mut self, now: Instant, envelope: &Envelope) -> bool {
        if let Search::Going(search, _) = &mut self.search
            && search.handle(envelope)
        {
            self.collect();
            return true;
        }
        let result = match &envelope.content {
            Content::Result(_) => Ok(()),
            Content::Error(error) => Err(error.condition),
            Content::Get(_)
            | Content::Set(_)
            | Content::Message { .. }
            | Content::Presence { .. } => return false,
        };
        let asked = self.activations.get(&envelope.id);
        if asked.is_none_or(|asked| envelope.from.as_ref() != Some(&asked.jid)) {
            return false;
        }
        let Some(Activation { jid, sid, .. }) = self.activations.remove(&envelope.id) else {
            return false;
        };
        let result = result.map_err(|condition| {
            debug!(%jid, condition = condition.name(), "a relay does not activate a bytestream");
            if condition != Condition::ResourceConstraint {
                return NotActivated::Refused;
            }
            self.limited.retain(|_, until| *until > now);
            self.limited.insert(jid, now + LIMITED);
            NotActivated::Limited
        });
        self.activated(sid, result);
        true
    }

    /// When to call [`Relays::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let search = match &self.search {
            Search::Going(search, _) => search.poll_timeout(),
            Search::NotWanted | Search::Over(_) => None,
        };
        let activations = self.activations.values().map(|asked| asked.until);
        activations.chain(search).min()
    }

    /// The time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Search::Going(search, _) = &mut self.search {
            search.handle_timeout(now);
            self.collect();
        }
        let mut late = Vec::new();
        self.activations.retain(|_, asked| {
            let is_due = asked.until <= now;
            late.extend(is_due.then(|| asked.sid.clone()));
            !is_due
        });
        for sid in late {
            self.activated(sid, Err(NotActivated::TimedOut));
        }
    }

    fn activated(&mut self, sid: Sid, result: Result<(), NotActivated>) {
        self.events
            .push_back(RelaysEvent::Activated { sid, result });
    }

    fn is_limited(&self, now: Instant, jid: &Address) -> bool {
        self.limited.get(jid).is_some_and(|until| *until > now)
    }

    /// Takes what the search has found.
    fn collect(&mut self) {
        let Search::Going(search, found) = &mut self.search else {
            return;
        };
        while let Some(event) = search.poll_event() {
            match event {
                s5b::RelaysEvent::Found(relay) => found.push(relay.streamhost().clone()),
                s5b::RelaysEvent::Unusable { jid, why } => {
                    debug!(%jid, %why, "a relay of our server can't be used");
                }
                s5b::RelaysEvent::Over => {
                    self.search = Search::Over(std::mem::take(found));
                    self.events.push_back(RelaysEvent::Found);
                    return;
                }
            }
        }
    }
}

/// Begin the ids of our questions.
const SEARCH: &str = "relays";
const ACTIVATE: &str = "activate";

/// How long a relay may take to join the two ends of a bytestream.
const ACTIVATION: Duration = Duration::from_secs(10);

/// How long a relay is left alone that has as many streams of ours as it allows.
const LIMITED: Duration = Duration::from_secs(600);

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests;
