//! The task that owns tokio-xmpp's stream, whole and alone, and reconnects it.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_xmpp::Stanza;
use tokio_xmpp::parsers::presence::Presence;
use tokio_xmpp::stanzastream::{
    Connection, Event, StanzaStage, StanzaState, StanzaStream, StanzaToken, StreamEvent,
};
use xtls_stanza::{Address, Condition};

use super::connector::{Connector, farewell};
use super::error::ConnectError;
use super::options::Retry;
use super::pending::{jittered, some, taken};
use super::screen::Sighting;
use crate::LinkError;
use xtls_stanza::normalise::normalise;

/// Stanzas in each queue: to tokio-xmpp, from it, and between this task and the link, both ways.
pub(super) const QUEUE: usize = 64;

/// Messages to the bare address are for people's clients; peers write to the full one.
const PRIORITY: i8 = -1;

/// A connection that held so long is not part of the last outage.
const STEADY: Duration = Duration::from_secs(30);

/// How long a good-bye may take: tokio-xmpp gives the server 10 s.
const GOODBYE: Duration = Duration::from_secs(12);

/// What the link hears from the task.
#[derive(Debug)]
pub(super) enum TaskEvent {
    Stanza(Bytes),
    Suspended,
    Resumed,
    Rebound(Bound),
}

/// What a server gave us.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) address: Address,
    /// The longest stanza that it says it takes, in bytes.
    pub(super) stanza_limit: Option<usize>,
}

/// What the task hears from the link. An end of the queue is a good-bye.
pub(super) type Outgoing = Box<Stanza>;

type Slot = oneshot::Sender<Connection>;
type Attempt = Pin<Box<dyn Future<Output = Result<Box<Connection>, ConnectError>> + Send>>;

pub(super) struct LinkTask {
    connector: Connector,
    limit: Duration,
    retry: Retry,
    stream: StanzaStream,
    /// tokio-xmpp asks for a connection here. It is empty except between two connections, when it holds one.
    slots: mpsc::UnboundedReceiver<Slot>,
    sightings: mpsc::UnboundedReceiver<Sighting>,
    saw: mpsc::UnboundedSender<Sighting>,
    outgoing: mpsc::Receiver<Outgoing>,
    events: mpsc::Sender<TaskEvent>,
    first: Option<oneshot::Sender<Result<Bound, ConnectError>>>,
    state: State,
    /// Stanzas set aside by the screen whose place in the stream has not come yet.
    aside: BTreeMap<u64, Bytes>,
    /// Stanzas that tokio-xmpp has not taken out of its queue yet, oldest first.
    queued: VecDeque<StanzaToken>,
    notes: Notes,
    /// The server does not know yet that we are there.
    hail: bool,
    /// The address that we have, or had last; until the first binding the one that is asked for.
    address: String,
    /// What the server of the last connection says it takes.
    stanza_limit: Option<usize>,
}

/// Where the connection stands.
enum State {
    /// Someone waits for a connection and an attempt is on its way.
    Connecting { slot: Slot, attempt: Attempt },
    /// tokio-xmpp has a connection; bound or resumed since `ready`, if it is.
    Connected { ready: Option<Instant> },
    /// Before the first request for a connection.
    Idle,
}

/// What is known about the present outage.
#[derive(Default)]
struct Notes {
    attempts: u32,
    since: Option<Instant>,
    /// Why the last connection ended, if the server or the screen said so.
    ended: Option<ConnectError>,
}

/// What to do next.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are events")]
enum Turn {
    Slot(Slot),
    Attempted(Result<Box<Connection>, ConnectError>),
    Event(Option<Event>),
    Outgoing(Option<Outgoing>),
    Room,
    Unread,
}

impl LinkTask {
    /// Starts the task's stream. It must run inside a tokio runtime.
    pub(super) fn new(
        connector: Connector,
        limit: Duration,
        retry: Retry,
        outgoing: mpsc::Receiver<Outgoing>,
        events: mpsc::Sender<TaskEvent>,
        first: oneshot::Sender<Result<Bound, ConnectError>>,
    ) -> Self {
        let (ask, slots) = mpsc::unbounded_channel();
        let (saw, sightings) = mpsc::unbounded_channel();
        let ask = move |_location, slot| {
            // A slot that nobody takes any more is dropped with the queue.
            let _ = ask.send(slot);
        };
        Self {
            address: connector.wanted().to_owned(),
            connector,
            limit,
            retry,
            stream: StanzaStream::new(Box::new(ask), QUEUE),
            slots,
            sightings,
            saw,
            outgoing,
            events,
            first: Some(first),
            state: State::Idle,
            aside: BTreeMap::new(),
            queued: VecDeque::new(),
            notes: Notes::default(),
            hail: false,
            stanza_limit: None,
        }
    }

    /// Runs until the link is closed or lost for good, and says which.
    pub(super) async fn run(mut self) -> LinkError {
        let end = self.turns().await;
        if end.is_some() {
            self.last_words().await;
        }
        if let Some(first) = self.first.take() {
            let why = end
                .clone()
                .unwrap_or(ConnectError::Timeout { limit: self.limit });
            let _ = first.send(Err(why));
        }
        self.put_down().await;
        end.map_or(LinkError::Closed, LinkError::from)
    }

    /// `None`: closed at this end.
    async fn turns(&mut self) -> Option<ConnectError> {
        let events = self.events.clone();
        let mut permit = None;
        loop {
            while self
                .queued
                .front()
                .is_some_and(|token| token.state() != StanzaStage::Queued)
            {
                self.settle();
            }
            // `send` never waits, because tokio-xmpp's queue holds as many as are counted here.
            if self.hail && self.queued.len() < QUEUE {
                self.hail = false;
                let available = Presence::available().with_priority(PRIORITY);
                self.send(Box::new(available.into())).await;
            }
            let room = self.queued.len() < QUEUE;
            let connecting = match &mut self.state {
                State::Connecting { attempt, .. } => Some(attempt),
                State::Connected { .. } | State::Idle => None,
            };
            let turn = tokio::select! {
                biased;
                Some(slot) = self.slots.recv() => Turn::Slot(slot),
                attempted = some(connecting) => Turn::Attempted(attempted),
                reserved = events.reserve(), if permit.is_none() => match reserved {
                    Ok(reserved) => { permit = Some(reserved); continue; }
                    Err(_) => Turn::Unread,
                },
                event = self.stream.next(), if permit.is_some() => Turn::Event(event),
                outgoing = self.outgoing.recv(), if room => Turn::Outgoing(outgoing),
                () = taken(self.queued.front_mut()), if !room => Turn::Room,
            };
            match turn {
                Turn::Slot(slot) => {
                    if let Err(end) = self.reconnect(slot) {
                        return Some(end);
                    }
                }
                Turn::Attempted(result) => {
                    if let Err(end) = self.attempted(result) {
                        return Some(end);
                    }
                }
                Turn::Event(None) => {
                    let why = "the XMPP library gave the stream up".to_owned();
                    return Some(ConnectError::Broken {
                        during: "inside",
                        why,
                    });
                }
                Turn::Event(Some(event)) => match self.event(event) {
                    Ok(Some(item)) => {
                        if let Some(permit) = permit.take() {
                            permit.send(item);
                        }
                    }
                    Ok(None) => {}
                    Err(end) => return Some(end),
                },
                Turn::Outgoing(Some(stanza)) => self.send(stanza).await,
                Turn::Room => self.settle(),
                Turn::Outgoing(None) | Turn::Unread => return None,
            }
        }
    }

    /// Hands over what came before the end. The link may be waiting for room meanwhile, in vain.
    async fn last_words(&mut self) {
        while let Some(Some(event)) = self.stream.next().now_or_never() {
            let Ok(Some(mut item)) = self.event(event) else {
                continue;
            };
            loop {
                item = tokio::select! {
                    biased;
                    Some(_) = self.outgoing.recv() => item,
                    reserved = self.events.reserve() => {
                        if let Ok(permit) = reserved {
                            permit.send(item);
                        }
                        break;
                    }
                };
            }
        }
    }

    /// Waits for nothing: see `room`.
    async fn send(&mut self, stanza: Outgoing) {
        let token = self.stream.send(stanza).await;
        self.queued.push_back(token);
    }

    /// Counts the oldest queued stanza as taken.
    fn settle(&mut self) {
        if let Some(token) = self.queued.pop_front()
            && let StanzaState::Failed { error } = token.state()
        {
            tracing::debug!(%error, "a stanza could not be sent");
        }
    }

    fn event(&mut self, event: Event) -> Result<Option<TaskEvent>, ConnectError> {
        match event {
            Event::Stanza(stanza) => Ok(self.stanza_for(&stanza)),
            Event::Stream(StreamEvent::Suspended) => {
                tracing::debug!("the connection is interrupted");
                // Before the first binding there is nothing that could be interrupted.
                Ok(if self.first.is_none() {
                    Some(TaskEvent::Suspended)
                } else {
                    None
                })
            }
            Event::Stream(StreamEvent::Resumed) => {
                tracing::debug!("the connection is resumed");
                self.ready();
                Ok(Some(TaskEvent::Resumed))
            }
            Event::Stream(StreamEvent::Reset { bound_jid, .. }) => {
                let bound = normalise(bound_jid.as_str())?;
                if !bound.is_full() {
                    return Err(ConnectError::protocol("binding a resource", "it gave none"));
                }
                tracing::debug!(%bound, "bound");
                self.address = bound.to_string();
                self.take_notes();
                let bound = Bound {
                    address: bound,
                    stanza_limit: self.stanza_limit,
                };
                self.ready();
                self.hail = true;
                Ok(match self.first.take() {
                    Some(first) => {
                        let _ = first.send(Ok(bound));
                        None
                    }
                    None => Some(TaskEvent::Rebound(bound)),
                })
            }
        }
    }

    /// The stanza in whose place this one came. Those before it are of a lost connection.
    fn stanza_for(&mut self, stanza: &Stanza) -> Option<TaskEvent> {
        self.take_notes();
        let number = match stanza {
            Stanza::Message(message) => message.id.as_ref().and_then(|id| id.0.parse().ok()),
            Stanza::Iq(_) | Stanza::Presence(_) => None,
        };
        let Some(number) = number else {
            tracing::debug!("dropped a stanza that came before the resource was bound");
            return None;
        };
        self.aside = self.aside.split_off(&number);
        self.aside.remove(&number).map(TaskEvent::Stanza)
    }

    fn take_notes(&mut self) {
        while let Ok(sighting) = self.sightings.try_recv() {
            self.note(sighting);
        }
    }

    fn note(&mut self, sighting: Sighting) {
        match sighting {
            Sighting::Stanza(number, stanza) => {
                self.aside.insert(number, stanza);
            }
            Sighting::StanzaLimit(limit) => self.stanza_limit = limit,
            Sighting::StreamError(condition, text) => {
                tracing::debug!(condition, text, "the server ends the stream");
                self.notes.ended = Some(ConnectError::Stream { condition, text });
            }
            Sighting::BindRefused(error) => {
                self.notes.ended = Some(if error.condition == Condition::Conflict {
                    ConnectError::Conflict {
                        address: self.address.clone(),
                    }
                } else {
                    ConnectError::Bind {
                        why: error.to_string(),
                    }
                });
            }
            Sighting::Fault(fault) => {
                self.notes.ended = Some(ConnectError::protocol("on the stream", fault));
            }
        }
    }

    fn ready(&mut self) {
        // The connection may be gone already: its events wait their turn, and a slot must not be dropped.
        if let State::Connected { ready } = &mut self.state {
            *ready = Some(Instant::now());
        }
    }

    /// tokio-xmpp wants a connection, because it has none yet or has lost the last one.
    fn reconnect(&mut self, slot: Slot) -> Result<(), ConnectError> {
        self.take_notes();
        let now = Instant::now();
        let ended = self.notes.ended.take();
        let State::Connected { ready } = self.state else {
            self.attempt(slot, Duration::ZERO);
            return Ok(());
        };
        if ready.is_some_and(|ready| now.duration_since(ready) >= STEADY) {
            self.notes = Notes::default();
        }
        let why = ended.unwrap_or_else(|| {
            let why = "the server hung up".to_owned();
            ConnectError::Broken {
                during: "unexpectedly",
                why,
            }
        });
        // The slot must outlive this call in any case: see `farewell`.
        let verdict = self.judge(why, now);
        self.attempt(slot, verdict.as_ref().copied().unwrap_or_default());
        verdict.map(drop)
    }

    fn attempted(
        &mut self,
        result: Result<Box<Connection>, ConnectError>,
    ) -> Result<(), ConnectError> {
        let State::Connecting { slot, .. } = std::mem::replace(&mut self.state, State::Idle) else {
            return Ok(());
        };
        match result {
            Ok(connection) => {
                self.state = State::Connected { ready: None };
                // The worker that asked is gone only when the whole stream is.
                let _ = slot.send(*connection);
                Ok(())
            }
            Err(why) => {
                tracing::debug!(%why, "no connection");
                let verdict = self.judge(why, Instant::now());
                self.attempt(slot, verdict.as_ref().copied().unwrap_or_default());
                verdict.map(drop)
            }
        }
    }

    /// How long to wait before the next attempt, or why there is none.
    fn judge(&mut self, why: ConnectError, now: Instant) -> Result<Duration, ConnectError> {
        let replaced =
            matches!(&why, ConnectError::Stream { condition, .. } if condition == "conflict");
        if replaced {
            return Err(ConnectError::Conflict {
                address: self.address.clone(),
            });
        }
        let since = *self.notes.since.get_or_insert(now);
        if self.first.is_some() || why.is_final() || now.duration_since(since) >= self.retry.give_up
        {
            return Err(why);
        }
        let wait = self
            .retry
            .first
            .saturating_mul(2_u32.saturating_pow(self.notes.attempts));
        self.notes.attempts = self.notes.attempts.saturating_add(1);
        Ok(jittered(wait.min(self.retry.longest)))
    }

    fn attempt(&mut self, slot: Slot, after: Duration) {
        let connector = self.connector.clone();
        let saw = self.saw.clone();
        let limit = self.limit;
        let attempt = Box::pin(async move {
            sleep(after).await;
            let connected = timeout(limit, connector.connect(saw)).await;
            connected
                .unwrap_or(Err(ConnectError::Timeout { limit }))
                .map(Box::new)
        });
        self.state = State::Connecting { slot, attempt };
    }

    /// Says good-bye to the server, or ends tokio-xmpp's worker if there is none to say it to.
    async fn put_down(self) {
        let Self {
            connector,
            stream,
            mut slots,
            state,
            events,
            ..
        } = self;
        drop(events);
        let mut held = match state {
            State::Connecting { slot, .. } => Some(slot),
            State::Connected { .. } | State::Idle => None,
        };
        let closing = stream.close();
        tokio::pin!(closing);
        let goodbye = async {
            loop {
                let slot = tokio::select! {
                    // First of all, for the worker looks whether its stream is closed.
                    biased;
                    () = &mut closing => return,
                    slot = some(held.take().map(std::future::ready)) => slot,
                    Some(slot) = slots.recv() => slot,
                };
                if let Some(connection) = farewell(connector.wanted()).await {
                    let _ = slot.send(connection);
                }
            }
        };
        if timeout(GOODBYE, goodbye).await.is_err() {
            tracing::debug!("the server does not answer the good-bye");
        }
    }
}
