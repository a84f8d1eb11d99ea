//! A server in one process: routes stanzas between addresses, bounces what it cannot deliver.
//!
//! It is the second [`Uplink`]: demonstrations, tests and embedded uses need no XMPP server. Everything
//! crosses it as XML text, so what a server would see is what its watchers see. Its limits imitate those that servers
//! ship with.

mod mailbox;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::PollSender;
use tracing::debug;
use xtls_stanza::{
    Address, AddressCache, Condition, Envelope, ErrorType, Kind, Stanza, StanzaError, StanzaType,
};

use crate::uplink::{LinkError, LinkEvent, Uplink};
use mailbox::{Mailbox, Undelivered};

/// What the relay lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    max_stanza: usize,
    rate: Option<u32>,
    latency: Duration,
    queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_stanza: 262_144,
            rate: None,
            latency: Duration::ZERO,
            queue: 8 * 1024 * 1024,
        }
    }
}

impl Limits {
    /// The longest stanza in bytes; the link that sends a longer one is cut, as servers do. Default 262 144.
    #[must_use]
    pub fn max_stanza(mut self, bytes: usize) -> Self {
        self.max_stanza = bytes;
        self
    }

    /// Bytes a second that the relay reads from each link. Default: as many as come. Prosody ships with 10 000.
    #[must_use]
    pub fn rate(mut self, bytes_per_second: u32) -> Self {
        self.rate = Some(bytes_per_second.max(1));
        self
    }

    /// How long a stanza takes through the relay. Default: no time.
    #[must_use]
    pub fn latency(mut self, one_way: Duration) -> Self {
        self.latency = one_way;
        self
    }

    /// Bytes that may wait for one link, and bytes of one link that may be on their way. Default 8 MiB. Senders share them:
    /// each waits when its part is as large as what is left. Answers do not wait, and are dropped; what comes for
    /// a link that has read nothing for 10 s is bounced.
    #[must_use]
    pub fn queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }
}

/// A stanza as the relay saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Since the relay was started.
    pub at: Duration,
    /// The sender, as stamped by the relay.
    pub from: Address,
    /// Whom it is for, if anybody.
    pub to: Option<Address>,
    /// The whole stanza as text.
    pub xml: Bytes,
}

/// A running relay. Clones are handles to the same one; it lives as long as any handle or link.
#[derive(Debug, Clone)]
pub struct Relay {
    table: Arc<Mutex<Table>>,
    limits: Limits,
}

/// Tells the links of one address apart, of which there may be one after the other.
type LinkId = u64;

impl Relay {
    /// Starts a relay. Its links need a runtime.
    #[must_use]
    pub fn start(limits: Limits) -> Self {
        let table = Table {
            links: BTreeMap::new(),
            cut: BTreeSet::new(),
            next: 0,
            watchers: Vec::new(),
            started: Instant::now(),
        };
        let table = Arc::new(Mutex::new(table));
        Self { table, limits }
    }

    /// Binds an address.
    ///
    /// Cancel-safe: it never waits, so it is done when it is polled.
    ///
    /// # Errors
    /// [`LinkError::Conflict`] when it is bound already.
    pub async fn attach(&self, address: Address) -> Result<RelayLink, LinkError> {
        let mailbox = Arc::new(Mailbox::new(self.limits.queue));
        let id = self.table().attach(&address, &mailbox)?;
        let (outbound, paced) = mpsc::channel(PENDING);
        tokio::spawn(pace(self.clone(), address.clone(), id, paced));
        Ok(RelayLink {
            address,
            mailbox,
            outbound: PollSender::new(outbound),
            limits: self.limits,
            addresses: AddressCache::default(),
            ended: None,
        })
    }

    /// Everything that passes from now on, in order. A watcher that does not read costs memory: drop it when done.
    #[must_use]
    pub fn watch(&self) -> mpsc::UnboundedReceiver<Seen> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.table().watchers.push(sender);
        receiver
    }

    /// Ends the link of an address, as a server does that goes down. What has come can still be read.
    pub fn cut(&self, address: &Address) {
        self.table().cut(address);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing in here can be left half done.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stamps the sender and delivers, or bounces. Waits while the addressee has no room for more of this sender.
    async fn route(&self, from: &Address, link: LinkId, xml: &Bytes) {
        let stanza = {
            let mut table = self.table();
            if table.cut.contains(&link) {
                return;
            }
            let Ok(mut stanza) = Stanza::read(xml) else {
                // A server ends the stream of a client that sends what is not XML.
                table.cut(from);
                return;
            };
            stanza.from = Some(from.clone());
            table.show(from, &stanza);
            stanza
        };
        let to = stanza.to.clone();
        let mailbox = to.and_then(|to| self.table().mailbox(&to));
        let undelivered = match mailbox {
            Some(mailbox) if is_answered(&stanza) => {
                mailbox.put(from, written(&stanza, xml.len())).await.err()
            }
            // Whoever does not read its answers must not stop those who give them.
            Some(mailbox) => {
                mailbox.offer(from, &written(&stanza, xml.len()));
                None
            }
            None => Some(Undelivered::Gone),
        };
        let Some(bounce) = undelivered.and_then(|why| bounce(&stanza, why)) else {
            return;
        };
        let mut table = self.table();
        if let Some(sender) = &bounce.from {
            table.show(sender, &bounce);
        }
        if let Some(mailbox) = table.mailbox(from) {
            mailbox.offer(from, &written(&bounce, 0));
        }
    }
}

/// The stanza as text, in memory of its length and little more than was `expected`.
fn written(stanza: &Stanza, expected: usize) -> Bytes {
    let mut xml = Vec::with_capacity(expected.saturating_add(STAMP));
    stanza.write(&mut xml);
    xml.shrink_to_fit();
    xml.into()
}

/// One bound address at a [`Relay`].
#[derive(Debug)]
pub struct RelayLink {
    address: Address,
    mailbox: Arc<Mailbox>,
    /// Closed once the link has ended.
    outbound: PollSender<Bytes>,
    limits: Limits,
    addresses: AddressCache,
    ended: Option<LinkError>,
}

impl RelayLink {
    /// Ends the link: the address is free once what was sent has been routed.
    fn end(&mut self, why: LinkError) -> LinkError {
        self.mailbox.leave();
        self.outbound.abort_send();
        self.outbound.close();
        self.ended.get_or_insert(why).clone()
    }

    fn cut(&mut self) -> LinkError {
        self.end(LinkError::Lost("the relay has cut the link".into()))
    }
}

impl Drop for RelayLink {
    fn drop(&mut self) {
        self.mailbox.leave();
    }
}

impl Uplink for RelayLink {
    fn bound(&self) -> &Address {
        &self.address
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>> {
        loop {
            if let Some(ended) = &self.ended {
                return Poll::Ready(Err(ended.clone()));
            }
            let Some(xml) = ready!(self.mailbox.poll_next(cx)) else {
                return Poll::Ready(Err(self.cut()));
            };
            match Envelope::read_cached(&xml, &mut self.addresses) {
                Ok(envelope) => return Poll::Ready(Ok(LinkEvent::Envelope(envelope))),
                Err(error) => {
                    debug!(%error, "a stanza that breaks the rules of its kind");
                    if let (Some(reply), Some(outbound)) = (error.reply(), self.outbound.get_ref())
                    {
                        let mut xml = Vec::new();
                        reply.write(&mut xml);
                        // While the link is full there is no room for the answer; the peer's request goes unanswered.
                        let _ = outbound.try_send(xml.into());
                    }
                }
            }
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if let Some(ended) = &self.ended {
            return Poll::Ready(Err(ended.clone()));
        }
        let room = ready!(self.outbound.poll_reserve(cx));
        Poll::Ready(room.map_err(|_| self.cut()))
    }

    fn start_send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        let mut xml = Vec::new();
        envelope.write(&mut xml);
        // It waits, perhaps with many others.
        xml.shrink_to_fit();
        if xml.len() > self.limits.max_stanza {
            // What a server does: the stream error policy-violation, and the connection is gone.
            return Err(self.end(LinkError::lost(format!(
                "policy-violation: a stanza of {} bytes where {} is the limit",
                xml.len(),
                self.limits.max_stanza
            ))));
        }
        let sent = self.outbound.send_item(xml.into());
        sent.map_err(|_| self.cut())
    }

    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        // What was sent is still routed; the address is free once it has been.
        self.end(LinkError::Closed);
        Poll::Ready(Ok(()))
    }
}

/// Reads one link at the configured rate, as servers throttle: by not reading.
async fn pace(relay: Relay, address: Address, link: LinkId, mut stanzas: mpsc::Receiver<Bytes>) {
    // Boxed: a channel holds room for 32 of them, in use or not.
    type Delayed = Box<(Instant, Bytes, OwnedSemaphorePermit)>;
    let (delayed, mut due) = mpsc::channel::<Delayed>(UNDER_WAY);
    let limits = relay.limits;
    let room = Arc::new(Semaphore::new(limits.queue.min(Semaphore::MAX_PERMITS)));
    let delay = async {
        while let Some(next) = due.recv().await {
            let (at, xml, _room) = *next;
            // A timer is coarse: what is due goes at once.
            if at > Instant::now() {
                sleep_until(at).await;
            }
            relay.route(&address, link, &xml).await;
        }
    };
    let read = async move {
        let mut free = Instant::now();
        while let Some(xml) = stanzas.recv().await {
            if let Some(rate) = limits.rate {
                free = free.max(Instant::now());
                free += Duration::from_secs_f64(xml.len() as f64 / f64::from(rate));
                sleep_until(free).await;
            }
            let weight = xml.len().min(limits.queue);
            let weight = u32::try_from(weight).unwrap_or(u32::MAX);
            let Ok(place) = Arc::clone(&room).acquire_many_owned(weight).await else {
                return;
            };
            let at = Instant::now() + limits.latency;
            if delayed.send(Box::new((at, xml, place))).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(delay, read);
    // The farewell takes its time as well.
    if !limits.latency.is_zero() {
        sleep_until(Instant::now() + limits.latency).await;
    }
    relay.table().detach(&address, link);
}

#[derive(Debug)]
struct Table {
    links: BTreeMap<Address, (LinkId, Arc<Mailbox>)>,
    /// Links that the relay has cut and that do not know it yet.
    cut: BTreeSet<LinkId>,
    next: LinkId,
    watchers: Vec<mpsc::UnboundedSender<Seen>>,
    started: Instant,
}

impl Table {
    fn attach(&mut self, address: &Address, mailbox: &Arc<Mailbox>) -> Result<LinkId, LinkError> {
        let bound = self.links.get(address);
        if bound.is_some_and(|(_, mailbox)| !mailbox.is_closed()) {
            return Err(LinkError::Conflict(address.to_string()));
        }
        self.next += 1;
        let link = (self.next, Arc::clone(mailbox));
        self.links.insert(address.clone(), link);
        Ok(self.next)
    }

    fn mailbox(&self, address: &Address) -> Option<Arc<Mailbox>> {
        self.links
            .get(address)
            .map(|(_, mailbox)| Arc::clone(mailbox))
    }

    /// The link has ended at its own end. The address may be another's by now.
    fn detach(&mut self, address: &Address, link: LinkId) {
        self.cut.remove(&link);
        if self.links.get(address).is_some_and(|(id, _)| *id == link) {
            self.links.remove(address);
        }
    }

    /// Ends a link from here.
    fn cut(&mut self, address: &Address) {
        if let Some((id, mailbox)) = self.links.remove(address) {
            mailbox.close();
            self.cut.insert(id);
        }
    }

    fn show(&mut self, from: &Address, stanza: &Stanza) {
        if self.watchers.is_empty() {
            return;
        }
        let at = self.started.elapsed();
        let seen = Seen {
            at,
            from: from.clone(),
            to: stanza.to.clone(),
            xml: written(stanza, 0),
        };
        self.watchers
            .retain(|watcher| watcher.send(seen.clone()).is_ok());
    }
}

/// Whether the sender hears of it when the stanza finds nobody.
fn is_answered(stanza: &Stanza) -> bool {
    match (stanza.kind, stanza.type_.as_deref()) {
        (Kind::Iq, Some("get" | "set")) => true,
        (Kind::Message, type_) => type_ != Some("error"),
        (Kind::Iq | Kind::Presence, _) => false,
    }
}

/// The error for a stanza that found nobody: requests and messages get one, everything else is dropped (RFC 6121 §8.5).
fn bounce(stanza: &Stanza, why: Undelivered) -> Option<Stanza> {
    if !is_answered(stanza) {
        return None;
    }
    let mut bounce = Stanza::new(stanza.kind);
    bounce.type_ = Some(StanzaType::Error);
    bounce.id.clone_from(&stanza.id);
    bounce.to.clone_from(&stanza.from);
    bounce.from.clone_from(&stanza.to);
    let mut children = Vec::new();
    let error = match why {
        Undelivered::Gone => StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable),
        Undelivered::Stalled => StanzaError::new(ErrorType::Wait, Condition::ResourceConstraint),
    };
    error.to_element().write("jabber:client", &mut children);
    bounce.children = children.into();
    Some(bounce)
}

/// Stanzas of one link that the relay has not read yet; then `send` waits.
const PENDING: usize = 64;

/// Stanzas of one link that are on their way through the relay, beside [`Limits::queue`] bytes of them; then it does not
/// read on.
const UNDER_WAY: usize = 1024;

/// Room for what the relay adds to a stanza: the sender's address.
const STAMP: usize = 128;

#[cfg(test)]
mod tests;
