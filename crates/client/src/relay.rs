//! A server in one process: routes stanzas between addresses, bounces what it cannot deliver.
//!
//! It is the second [`Uplink`]: demonstrations, tests and embedded uses need no XMPP server. Everything
//! crosses it as XML text, so what a server would see is what its watchers see. Its limits imitate those that servers
//! ship with.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::debug;
use xtls_stanza::{Address, Condition, Envelope, ErrorType, Familiar, Kind, Stanza, StanzaError};

use crate::uplink::{Inbound, LinkError, Uplink};

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

    /// Bytes that may wait for one link that does not read; beyond it the link is cut. Default 8 MiB.
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

/// A running relay. Clones are handles to the same one; it stops when all handles and links are gone.
#[derive(Debug, Clone)]
pub struct Relay {
    asks: mpsc::UnboundedSender<Ask>,
    limits: Limits,
}

enum Ask {
    Attach {
        address: Address,
        link: Mailbox,
        done: oneshot::Sender<Result<LinkId, LinkError>>,
    },
    Watch(mpsc::UnboundedSender<Seen>),
    Route {
        from: Address,
        link: LinkId,
        xml: Bytes,
    },
    Detach {
        address: Address,
        link: LinkId,
    },
}

/// Tells the links of one address apart, of which there may be one after the other.
type LinkId = u64;

/// The relay's end of a link: what waits for it, and how much that is.
struct Mailbox {
    /// Given by the relay.
    id: LinkId,
    sender: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
}

impl Relay {
    /// Starts a relay as a task of the current runtime.
    #[must_use]
    pub fn start(limits: Limits) -> Self {
        let (asks, receiver) = mpsc::unbounded_channel();
        tokio::spawn(serve(receiver, limits));
        Self { asks, limits }
    }

    /// Binds an address.
    ///
    /// # Errors
    /// [`LinkError::Conflict`] when it is bound already.
    pub async fn attach(&self, address: Address) -> Result<RelayLink, LinkError> {
        let (sender, inbound) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (done, attached) = oneshot::channel();
        let link = Mailbox {
            id: 0,
            sender,
            waiting: Arc::clone(&waiting),
        };
        self.asks
            .send(Ask::Attach {
                address: address.clone(),
                link,
                done,
            })
            .map_err(|_| LinkError::Lost("the relay has stopped".to_owned()))?;
        let id = attached
            .await
            .map_err(|_| LinkError::Lost("the relay has stopped".to_owned()))??;
        let (outbound, paced) = mpsc::channel(PENDING);
        let (asks, limits) = (self.asks.clone(), self.limits);
        tokio::spawn(pace(address.clone(), id, paced, asks, limits));
        Ok(RelayLink {
            address,
            inbound,
            waiting,
            outbound: Some(outbound),
            limits,
            familiar: Familiar::default(),
            ended: None,
        })
    }

    /// Everything that passes from now on, in order. A watcher that does not read costs memory: drop it when done.
    #[must_use]
    pub fn watch(&self) -> mpsc::UnboundedReceiver<Seen> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // A relay that has stopped has nothing to show: the receiver is at its end.
        let _ = self.asks.send(Ask::Watch(sender));
        receiver
    }
}

/// One bound address at a [`Relay`].
#[derive(Debug)]
pub struct RelayLink {
    address: Address,
    inbound: mpsc::UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
    /// Until the link has ended.
    outbound: Option<mpsc::Sender<Bytes>>,
    limits: Limits,
    familiar: Familiar,
    ended: Option<LinkError>,
}

impl RelayLink {
    /// Ends the link: the address is free once what was sent has been routed.
    fn end(&mut self, why: LinkError) -> LinkError {
        self.inbound.close();
        self.outbound = None;
        self.ended.get_or_insert(why).clone()
    }

    fn cut(&mut self) -> LinkError {
        self.end(LinkError::Lost("the relay has cut the link".to_owned()))
    }
}

impl Uplink for RelayLink {
    fn bound(&self) -> &Address {
        &self.address
    }

    async fn next(&mut self) -> Result<Inbound, LinkError> {
        loop {
            if let Some(ended) = &self.ended {
                return Err(ended.clone());
            }
            let Some(xml) = self.inbound.recv().await else {
                return Err(self.cut());
            };
            self.waiting.fetch_sub(xml.len(), Ordering::AcqRel);
            match Envelope::read_familiar(&xml, &mut self.familiar) {
                Ok(envelope) => return Ok(Inbound::Envelope(envelope)),
                Err(error) => {
                    debug!(%error, "a stanza that breaks the rules of its kind");
                    if let Some(reply) = error.reply() {
                        let mut xml = Vec::new();
                        reply.write(&mut xml);
                        // A link that is full cannot be told; it is the peer's request that goes unanswered.
                        let _ = self
                            .outbound
                            .as_ref()
                            .map(|outbound| outbound.try_send(xml.into()));
                    }
                }
            }
        }
    }

    async fn send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone());
        }
        let mut xml = Vec::new();
        envelope.write(&mut xml);
        if xml.len() > self.limits.max_stanza {
            // What a server does: the stream error policy-violation, and the connection is gone.
            return Err(self.end(LinkError::Lost(format!(
                "policy-violation: a stanza of {} bytes where {} is the limit",
                xml.len(),
                self.limits.max_stanza
            ))));
        }
        let sent = match &self.outbound {
            Some(outbound) => outbound.send(xml.into()).await.is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(self.cut()) }
    }

    async fn close(self) -> Result<(), LinkError> {
        // What was sent is still routed; the address is free once it has been.
        Ok(())
    }
}

/// Reads one link at the configured rate, as servers throttle: by not reading.
async fn pace(
    address: Address,
    link: LinkId,
    mut stanzas: mpsc::Receiver<Bytes>,
    asks: mpsc::UnboundedSender<Ask>,
    limits: Limits,
) {
    let (delayed, mut due) = mpsc::channel::<(Instant, Ask)>(UNDER_WAY);
    let delay = async move {
        while let Some((at, ask)) = due.recv().await {
            sleep_until(at).await;
            if asks.send(ask).is_err() {
                return;
            }
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
            let from = address.clone();
            let route = Ask::Route { from, link, xml };
            let at = Instant::now() + limits.latency;
            if delayed.send((at, route)).await.is_err() {
                return;
            }
        }
        let at = Instant::now() + limits.latency;
        // A relay that has stopped has let go already.
        let _ = delayed.send((at, Ask::Detach { address, link })).await;
    };
    tokio::join!(delay, read);
}

struct Table {
    links: BTreeMap<Address, Mailbox>,
    /// Links that the relay has cut and that do not know it yet.
    cut: BTreeSet<LinkId>,
    next: LinkId,
    watchers: Vec<mpsc::UnboundedSender<Seen>>,
    limits: Limits,
    started: Instant,
}

fn serve(
    mut asks: mpsc::UnboundedReceiver<Ask>,
    limits: Limits,
) -> impl Future<Output = ()> + Send {
    let mut table = Table {
        links: BTreeMap::new(),
        cut: BTreeSet::new(),
        next: 0,
        watchers: Vec::new(),
        limits,
        started: Instant::now(),
    };
    async move {
        while let Some(ask) = asks.recv().await {
            match ask {
                Ask::Attach {
                    address,
                    link,
                    done,
                } => {
                    let _ = done.send(table.attach(address, link));
                }
                Ask::Watch(watcher) => table.watchers.push(watcher),
                Ask::Route { from, link, xml } => table.route(&from, link, &xml),
                Ask::Detach { address, link } => table.detach(&address, link),
            }
        }
    }
}

impl Table {
    fn attach(&mut self, address: Address, mut link: Mailbox) -> Result<LinkId, LinkError> {
        let bound = self.links.get(&address);
        if bound.is_some_and(|link| !link.sender.is_closed()) {
            return Err(LinkError::Conflict(address.to_string()));
        }
        self.next += 1;
        link.id = self.next;
        self.links.insert(address, link);
        Ok(self.next)
    }

    /// The link has ended at its own end. The address may be another's by now.
    fn detach(&mut self, address: &Address, link: LinkId) {
        self.cut.remove(&link);
        if self
            .links
            .get(address)
            .is_some_and(|found| found.id == link)
        {
            self.links.remove(address);
        }
    }

    /// Ends a link from here.
    fn cut(&mut self, address: &Address) {
        if let Some(link) = self.links.remove(address) {
            self.cut.insert(link.id);
        }
    }

    /// Stamps the sender and delivers, or bounces.
    fn route(&mut self, from: &Address, link: LinkId, xml: &Bytes) {
        if self.cut.contains(&link) {
            return;
        }
        let Ok(mut stanza) = Stanza::read(xml) else {
            // A server ends the stream of a client that sends what is not XML.
            self.cut(from);
            return;
        };
        stanza.from = Some(from.clone());
        let to = stanza.to.clone();
        self.show(from, &stanza);
        let delivered = to.as_ref().is_some_and(|to| self.deliver(to, &stanza));
        if !delivered && let Some(bounce) = bounce(&stanza) {
            if let Some(sender) = &bounce.from {
                self.show(&sender.clone(), &bounce);
            }
            self.deliver(from, &bounce);
        }
    }

    fn deliver(&mut self, to: &Address, stanza: &Stanza) -> bool {
        let Some(link) = self.links.get(to) else {
            return false;
        };
        let mut xml = Vec::new();
        stanza.write(&mut xml);
        let waiting = link
            .waiting
            .fetch_add(xml.len(), Ordering::AcqRel)
            .saturating_add(xml.len());
        if waiting > self.limits.queue || link.sender.send(xml.into()).is_err() {
            self.cut(to);
            return false;
        }
        true
    }

    fn show(&mut self, from: &Address, stanza: &Stanza) {
        if self.watchers.is_empty() {
            return;
        }
        let mut xml = Vec::new();
        stanza.write(&mut xml);
        let at = self.started.elapsed();
        let seen = Seen {
            at,
            from: from.clone(),
            to: stanza.to.clone(),
            xml: xml.into(),
        };
        self.watchers
            .retain(|watcher| watcher.send(seen.clone()).is_ok());
    }
}

/// The error for a stanza that found nobody: requests and messages get one, everything else is dropped (RFC 6121 §8.5).
fn bounce(stanza: &Stanza) -> Option<Stanza> {
    let wanted = match (stanza.kind, stanza.type_.as_deref()) {
        (Kind::Iq, Some("get" | "set")) => true,
        (Kind::Message, type_) => type_ != Some("error"),
        (Kind::Iq | Kind::Presence, _) => false,
    };
    if !wanted {
        return None;
    }
    let mut bounce = Stanza::new(stanza.kind);
    bounce.type_ = Some("error".to_owned());
    bounce.id.clone_from(&stanza.id);
    bounce.to.clone_from(&stanza.from);
    bounce.from.clone_from(&stanza.to);
    let mut children = Vec::new();
    let error = StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable);
    error.to_element().write("jabber:client", &mut children);
    bounce.children = children.into();
    Some(bounce)
}

/// Stanzas of one link that the relay has not read yet; then `send` waits.
const PENDING: usize = 64;

/// Stanzas of one link that are on their way through the relay; then it does not read on.
const UNDER_WAY: usize = 1024;

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
