//! What is reported to the owners of tunnels, compared with what was really sent.

use std::collections::BTreeMap;

use xtls_client::router::{Closed, TunnelId, Why};
use xtls_session::Peer;
use xtls_stanza::{Address, Element, Kind, Stanza};
use xtls_tls::Fingerprint;

use crate::client::MALLORY;

/// One end of a tunnel: its client's number and its own.
pub type End = (usize, TunnelId);

/// Everything that one end sent, and that was reported to it.
#[derive(Debug, Default)]
pub struct Record {
    /// The peer, according to the router.
    pub peer: Option<Address>,
    /// We have opened it.
    pub ours: bool,
    /// Writable.
    pub ready: bool,
    /// Both have accepted each other.
    pub established: Option<Peer>,
    /// What was accepted for sending.
    pub sent: Vec<Stanza>,
    /// How many stanzas have arrived, and from which end.
    pub received: usize,
    source: Option<End>,
    /// The first of them that came out here.
    first: usize,
    /// The peer has ended its direction.
    pub finished: bool,
    /// The owner has processed everything that came before that.
    pub took: bool,
    /// The end.
    pub closed: Option<Closed>,
    /// The end of this record has been asked to send no more.
    pub ended: bool,
}

/// All ends of a run.
#[derive(Debug, Default)]
pub struct Oracle {
    /// By client and tunnel.
    pub ends: BTreeMap<End, Record>,
    taken: BTreeMap<End, End>,
    /// Tunnels by their numbers as text.
    names: BTreeMap<(usize, u64), TunnelId>,
}

impl Oracle {
    /// An end, which exists from now on at the latest.
    pub fn end(&mut self, end: End) -> &mut Record {
        if let Ok(number) = end.1.to_string().parse() {
            self.names.insert((end.0, number), end.1);
        }
        self.ends.entry(end).or_default()
    }

    /// I3, I4: established, by a key that the owner trusts according to `allowed`, and that a real client has.
    ///
    /// # Errors
    /// What is wrong.
    pub fn established(&mut self, end: End, peer: Peer, allowed: bool) -> Result<(), String> {
        let record = self.end(end);
        if record.closed.is_some() || record.established.is_some() {
            return Err("I3: established twice, or after the end".to_owned());
        }
        if !allowed {
            return Err(format!(
                "I3: established with {} by a key that is not pinned",
                peer.address.as_str()
            ));
        }
        if !peer.bound {
            return Err("I3: both ends speak ALPN, and the context is not bound".to_owned());
        }
        record.ready = true;
        record.established = Some(peer);
        Ok(())
    }

    /// I3: a newer session continues, which belongs to the same peer and uses the same key.
    ///
    /// # Errors
    /// What is wrong.
    pub fn renewed(&mut self, end: End, peer: &Peer) -> Result<(), String> {
        let record = self.end(end);
        let before = record.established.as_ref();
        let same = before.is_some_and(|before| {
            before.address == peer.address && before.key.fingerprint == peer.key.fingerprint
        });
        if same && record.closed.is_none() && peer.bound {
            Ok(())
        } else {
            Err("I3: renewed with someone else, unbound, or after the end".to_owned())
        }
    }

    /// I1, I3: a stanza comes out of a tunnel. `key_of` gives the owner and the location of a client's key.
    ///
    /// # Errors
    /// What is wrong.
    pub fn stanza(
        &mut self,
        end: End,
        own: &Address,
        stanza: &Stanza,
        client: impl Fn(usize) -> Option<(Address, Fingerprint)>,
    ) -> Result<(), String> {
        let record = self.end(end);
        let Some(peer) = record
            .established
            .clone()
            .filter(|_| record.closed.is_none() && !record.finished)
        else {
            return Err("I3: a stanza outside of an established session".to_owned());
        };
        if stanza.from.as_ref() != Some(&peer.address) || stanza.to.as_ref() != Some(own) {
            return Err(format!(
                "I1: a stanza from {:?} to {:?}",
                stanza.from, stanza.to
            ));
        }
        let Some((source, number)) = stanza.id.as_deref().and_then(name) else {
            return Err(format!(
                "I1: a stanza that no one has sent: {:?}",
                stanza.id
            ));
        };
        // A friend who breaks rules sends what she likes, as herself.
        if source.1 == RAW {
            return match client(source.0) {
                Some((_, key)) if key == peer.key.fingerprint => Ok(()),
                _ => Err("I1: a stanza from someone else".to_owned()),
            };
        }
        let sender = self.names.get(&source).map(|id| (source.0, *id));
        let Some((sender, said)) =
            sender.and_then(|sender| Some((sender, self.ends.get(&sender)?)))
        else {
            return Err("I1: a stanza of an unknown tunnel".to_owned());
        };
        let matches = said.sent.get(number).is_some_and(|sent| {
            (&sent.id, &sent.type_, &sent.children, sent.kind)
                == (&stanza.id, &stanza.type_, &stanza.children, stanza.kind)
        });
        if !matches {
            return Err(format!("I1: {:?} is not what was sent", stanza.id));
        }
        match client(sender.0) {
            Some((address, key)) if key == peer.key.fingerprint && address == peer.address => {}
            _ => {
                return Err(format!(
                    "I1: {:?} comes out of a tunnel with someone else",
                    stanza.id
                ));
            }
        }
        let moved = self.moved_from(end, sender);
        let record = self.end(end);
        if record.source.is_none() && moved.is_some_and(|before| number >= before) {
            // What is missing was reported as missing.
            (record.received, record.first) = (number, number);
            self.taken.insert(sender, end);
        }
        if number == 0 && self.was_replaced(end, sender) {
            let record = self.end(end);
            (record.source, record.received, record.first) = (Some(sender), 0, 0);
        }
        let record = self.end(end);
        if *record.source.get_or_insert(sender) != sender || record.received != number {
            return Err(format!(
                "I1: {:?} where stanza {} of {:?} is next",
                stanza.id, record.received, record.source
            ));
        }
        record.received += 1;
        if *self.taken.entry(sender).or_insert(end) != end {
            return Err(format!("I1: what {sender:?} said comes out at two ends"));
        }
        Ok(())
    }

    /// How much of what `sender` sent had come out at another end of the same client, which was cut when a newer
    /// session took over, so that the rest comes out here.
    fn moved_from(&self, end: End, sender: End) -> Option<usize> {
        let Some(before) = self.taken.get(&sender).copied() else {
            return self.unread(end).then_some(0);
        };
        let record = self.ends.get(&before).filter(|_| before.0 == end.0)?;
        let closed = record.closed.as_ref()?;
        (!closed.clean && before != end).then_some(record.received)
    }

    /// Whether another end of the same client with the same peer was cut before anything came out of it.
    fn unread(&self, end: End) -> bool {
        let peer = self.ends.get(&end).and_then(|record| record.peer.as_ref());
        let cut = |record: &Record| record.closed.as_ref().is_some_and(|closed| !closed.clean);
        self.ends.iter().any(|(other, record)| {
            let same = other.0 == end.0 && *other != end && record.peer.as_ref() == peer;
            same && record.source.is_none() && cut(record)
        })
    }

    /// Whether what came out here so far was said by an end that was cut, and told so, because this one takes its place: it
    /// had seen a newer session in a tunnel whose peer had given up the older one.
    fn was_replaced(&self, end: End, sender: End) -> bool {
        let source = self.ends.get(&end).and_then(|record| record.source);
        let Some(source) = source.filter(|source| source.0 == sender.0 && *source != sender) else {
            return false;
        };
        let closed = self.ends.get(&source).and_then(|said| said.closed.as_ref());
        closed.is_some_and(|closed| !closed.clean && closed.why == Why::Replaced)
    }

    /// I14: what is reported as taken was taken, all of it, by one owner.
    fn taken(&self, end: End, sent: usize) -> Result<(), String> {
        let taker = self.taken.get(&end).and_then(|taker| self.ends.get(taker));
        match taker {
            Some(taker) if taker.took && (taker.first, taker.received) == (0, sent) => Ok(()),
            Some(taker) => Err(format!(
                "I14: {sent} stanzas are reported as taken, where {} to {} came out and the owner {}",
                taker.first,
                taker.received,
                if taker.took { "took them" } else { "has not" }
            )),
            None => Err(format!(
                "I14: {sent} stanzas are reported as taken, and none came out"
            )),
        }
    }

    /// The end of a tunnel: once, last, clean only if everything that the peer sent was read, and without doubt about
    /// what we sent only if it was taken. (A malicious peer may lie about itself.)
    ///
    /// # Errors
    /// What is wrong.
    pub fn closed(&mut self, end: End, closed: Closed) -> Result<(), String> {
        let record = self.end(end);
        if record.closed.is_some() {
            return Err("the end of a tunnel is reported twice".to_owned());
        }
        record.closed = Some(closed.clone());
        let (sent, malicious) = (record.sent.len(), closed.peer.as_str() == MALLORY);
        if closed.unconfirmed == 0 && sent > 0 && !malicious {
            self.taken(end, sent)?;
        }
        let record = self.end(end);
        if closed.clean {
            let (received, finished, source) = (record.received, record.finished, record.source);
            // A tunnel that waits for a newer one may be cut before the owner learns that the peer has finished.
            let cut = matches!(closed.why, Why::Cut { .. });
            if !finished && !cut {
                return Err("I1: a clean end without the peer's".to_owned());
            }
            let said = source
                .and_then(|source| self.ends.get(&source))
                .map_or(0, |said| said.sent.len());
            if source.is_some() && said != received {
                return Err(format!(
                    "I1: a clean end after {received} of {said} stanzas"
                ));
            }
        }
        Ok(())
    }
}

/// The tunnel number in ids from someone who has no router.
pub const RAW: u64 = 999_999;

/// The id of a stanza: which client, which tunnel, and its number.
pub fn id(client: usize, tunnel: &str, number: usize) -> String {
    format!("s{client}-{tunnel}-{number}")
}

fn name(id: &str) -> Option<((usize, u64), usize)> {
    let mut parts = id.strip_prefix('s')?.split('-');
    let client = parts.next()?.parse().ok()?;
    let tunnel = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    Some(((client, tunnel), number))
}

/// A message with this id and body.
pub fn message(id: &str, body: &str) -> Stanza {
    let body = Element::new("body", "jabber:client").with_text(body);
    Stanza::new(Kind::Message)
        .with_type("chat")
        .with_id(id)
        .with_child(&body)
}
