//! A component's link, as its owner holds it.

mod connect;

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};
use xtls_stanza::{Address, AddressCache, Envelope};

pub use self::connect::ComponentOptions;
use self::connect::Connector;
use super::link::normal;
use super::plain::Plain;
use super::waiting::Waiting;
use crate::cause::Cause;
use crate::component::{Component, ComponentEvent, SendError};
use crate::error::ConnectError;
use crate::event::{LinkError, LinkEvent, Outage};
use crate::retry::Reconnect;

/// The link of a component (XEP-0114), to which a whole domain belongs, with its server. Made by [`ComponentLink::connect`].
///
/// It is polled, and needs no task or channel: it makes progress, reconnecting included, while
/// [`poll_next`](Self::poll_next) or [`next`](Self::next) is called. When it is dropped, the server is told good-bye in the
/// background.
///
/// The protocol has no acknowledgements. After a loss the component has its domain again ([`LinkEvent::Rebound`]), and nobody
/// knows which of the stanzas were received that were sent shortly before it; what is sent meanwhile waits, and follows.
pub struct ComponentLink {
    connector: Arc<Connector>,
    reconnect: Reconnect,
    state: State,
    events: VecDeque<LinkEvent>,
    /// Bytes of stanzas that were read before anybody asked for them.
    ahead: usize,
    /// What was sent while there was no connection, as it goes to the server.
    waiting: Waiting,
    addresses: AddressCache,
    /// Who waits for room.
    ready: Option<Waker>,
    closing: Option<Pin<Box<Sleep>>>,
}

enum State {
    Online(Box<Plain<Component>>),
    Away(Attempt),
    Ended(LinkError),
}

type Attempt = Pin<Box<dyn Future<Output = Result<Plain<Component>, ConnectError>> + Send>>;

impl ComponentLink {
    /// Connects, and proves that it has the component's secret.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, the connection is dropped with it.
    ///
    /// # Errors
    /// Nothing is tried twice here: the reason is returned.
    pub async fn connect(options: ComponentOptions) -> Result<Self, ConnectError> {
        let mut reconnect = Reconnect::new(options.retry);
        let connector = Arc::new(Connector::new(options)?);
        let plain = Arc::clone(&connector).connect().await?;
        reconnect.opened(Instant::now().into_std());
        Ok(Self {
            connector,
            reconnect,
            state: State::Online(Box::new(plain)),
            events: VecDeque::new(),
            ahead: 0,
            waiting: Waiting::default(),
            addresses: AddressCache::default(),
            ready: None,
            closing: None,
        })
    }

    /// The component's domain.
    #[must_use]
    pub fn domain(&self) -> &Address {
        self.connector.domain()
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// The link has ended for good. Every later call returns the same error.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            self.ahead = 0;
            ready!(self.poll_more(cx))?;
        }
    }

    /// Goes on with whatever comes next, which may be an event.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match &mut self.state {
            State::Ended(error) => return Poll::Ready(Err(error.clone())),
            State::Away(attempt) => match ready!(attempt.as_mut().poll(cx)) {
                Ok(plain) => self.on_opened(plain),
                Err(why) => self.away(why, true),
            },
            State::Online(online) => match ready!(online.poll_event(cx)) {
                Ok(ComponentEvent::Stanza(octets)) => {
                    self.wake_if_room();
                    self.ahead = self.ahead.saturating_add(octets.len());
                    let event = self.read(&octets);
                    self.events.extend(event);
                }
                Ok(ComponentEvent::Opened | ComponentEvent::Closed) => {}
                Err(why) => self.away(why, false),
            },
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for room for one stanza, which [`start_send`](Self::start_send) takes.
    ///
    /// # Errors
    /// The link has ended for good.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if let State::Ended(error) = &self.state
            && self.events.is_empty()
        {
            return Poll::Ready(Err(error.clone()));
        }
        if !self.has_room()
            && let State::Online(online) = &mut self.state
            && let Poll::Ready(Err(why)) = online.poll_write(cx)
        {
            self.away(why, false);
        }
        if self.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.ready = Some(cx.waker().clone());
        Poll::Pending
    }

    fn has_room(&self) -> bool {
        match &self.state {
            State::Online(online) => online.machine().has_room(),
            State::Away(_) => self.waiting.has_room(),
            // It is told by the next call.
            State::Ended(_) => true,
        }
    }

    fn wake_if_room(&mut self) {
        if self.ready.is_some()
            && self.has_room()
            && let Some(waker) = self.ready.take()
        {
            waker.wake();
        }
    }

    /// Queues one stanza, once after each [`poll_ready`](Self::poll_ready). It says from which address of the domain it comes. Success
    /// means queued: the server may never receive it.
    ///
    /// # Errors
    /// It is not from the domain, or to nobody, and is not sent; or the link has ended for good.
    pub fn start_send(&mut self, envelope: &Envelope) -> Result<(), SendError> {
        match &mut self.state {
            State::Online(online) => online.machine_mut().send_with(|out| envelope.write(out)),
            State::Away(_) => {
                let mut octets = Vec::new();
                envelope.write(&mut octets);
                let octets = self.connector.checked(&octets)?;
                self.waiting.push(|out| out.extend_from_slice(&octets));
                Ok(())
            }
            State::Ended(error) => Err(error.clone().into()),
        }
    }

    /// Passes on what is queued, as far as the network takes it.
    ///
    /// # Errors
    /// The link has ended for good.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match &mut self.state {
            State::Online(online) => match ready!(online.poll_write(cx)) {
                Ok(()) => self.wake_if_room(),
                Err(why) => self.away(why, false),
            },
            State::Away(_) => {}
            State::Ended(error) => return Poll::Ready(Err(error.clone())),
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is queued, and closes the stream. It finishes within seconds, whatever the server does. After the first call, call
    /// nothing else.
    ///
    /// # Errors
    /// The link had been lost before, or was lost before everything queued was sent.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let closing = self.closing.get_or_insert_with(|| Box::pin(sleep(CLOSING)));
        let late = closing.as_mut().poll(cx).is_ready();
        loop {
            self.state = State::Ended(match &mut self.state {
                State::Ended(LinkError::Closed) => return Poll::Ready(Ok(())),
                State::Ended(error) => return Poll::Ready(Err(error.clone())),
                State::Away(_) if self.waiting.is_empty() => LinkError::Closed,
                State::Away(_) if late => {
                    LinkError::lost("it was interrupted, and closed before all was sent")
                }
                State::Away(attempt) => {
                    match ready!(attempt.as_mut().poll(cx)) {
                        Ok(plain) => self.on_opened(plain),
                        Err(why) => self.away(why, true),
                    }
                    self.events.clear();
                    continue;
                }
                State::Online(online) => match online.poll_closed(cx) {
                    Poll::Ready(Ok(())) => LinkError::Closed,
                    Poll::Ready(Err(why)) => LinkError::from(why),
                    // All was sent, and who does not answer a good-bye has had it all the same.
                    Poll::Pending if late && online.has_said_good_bye() => LinkError::Closed,
                    Poll::Pending if late => {
                        LinkError::lost("the server took nothing more before the end")
                    }
                    Poll::Pending => return Poll::Pending,
                },
            });
        }
    }

    /// Returns the next event, and passes on what is queued meanwhile.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing is lost.
    ///
    /// # Errors
    /// The link has ended for good. Every later call returns the same error.
    pub async fn next(&mut self) -> Result<LinkEvent, LinkError> {
        poll_fn(|cx| {
            let _ = self.poll_flush(cx);
            self.poll_next(cx)
        })
        .await
    }

    /// Queues one stanza, waiting for room. See [`start_send`](Self::start_send). What comes meanwhile is kept for
    /// [`next`](Self::next), up to 1 MiB.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, the stanza was not sent.
    ///
    /// # Errors
    /// The stanza is refused, or the link has ended for good.
    pub async fn send(&mut self, envelope: &Envelope) -> Result<(), SendError> {
        poll_fn(|cx| {
            while self.poll_ready(cx)?.is_pending() {
                // A server that waits for us to read would wait for ever.
                if self.ahead >= AHEAD || self.poll_more(cx)?.is_pending() {
                    return Poll::Pending;
                }
            }
            Poll::Ready(Ok::<_, LinkError>(()))
        })
        .await?;
        self.start_send(envelope)?;
        // What does not leave now goes with the next call.
        poll_fn(|cx| {
            let _ = self.poll_flush(cx);
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Sends what is queued, and closes the stream. It finishes within seconds, whatever the server does.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, the link is dropped, and says good-bye in the background.
    ///
    /// # Errors
    /// The link had been lost before, or was lost before everything queued was sent.
    pub async fn close(mut self) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_close(cx)).await
    }

    /// Reads a stanza. One that cannot be read is answered if its sender waits for an answer.
    fn read(&mut self, octets: &Bytes) -> Option<LinkEvent> {
        match Envelope::read_cached(octets, &mut self.addresses) {
            Ok(envelope) => normal(envelope).map(LinkEvent::Envelope),
            Err(error) => {
                tracing::debug!(%error, "dropped a stanza that cannot be read");
                // A full queue has better things to carry.
                if let Some(reply) = error.reply().filter(|_| self.has_room()) {
                    let _ = self.start_send(&reply);
                }
                None
            }
        }
    }

    fn on_opened(&mut self, mut plain: Plain<Component>) {
        self.reconnect.opened(Instant::now().into_std());
        for stanza in std::mem::take(&mut self.waiting).into_stanzas() {
            // They may be more than there is room for, and less than what a connection may hold.
            let _ = plain.machine_mut().send_checked(&stanza);
        }
        let domain = self.connector.domain().clone();
        self.events.push_back(LinkEvent::Rebound(domain));
        self.state = State::Online(Box::new(plain));
        self.wake_if_room();
    }

    /// There is no connection: tries to get one, or gives up.
    fn away(&mut self, why: ConnectError, again: bool) {
        let now = Instant::now();
        // A server that has not noticed the loss refuses the domain to us for our own sake.
        let is_held = matches!(&why, ConnectError::Stream(error) if error.condition == "conflict");
        let judged = match again && is_held {
            true => ConnectError::Busy,
            false => why.clone(),
        };
        let next = self
            .reconnect
            .ended(now.into_std(), &judged, connect::random());
        let (Some(next), None) = (next, &self.closing) else {
            self.state = State::Ended(why.into());
            self.wake_if_room();
            return;
        };
        let until = self.reconnect.until().unwrap_or_else(|| now.into_std());
        let give_up = until.saturating_duration_since(now.into_std());
        let outage = Outage::new(Cause::new(why), next.after, give_up);
        self.events.push_back(match again {
            true => LinkEvent::Waiting(outage),
            false => LinkEvent::Suspended(outage),
        });
        let connector = Arc::clone(&self.connector);
        self.state = State::Away(Box::pin(async move {
            sleep(next.after).await;
            connector.connect().await
        }));
        self.wake_if_room();
    }
}

impl Drop for ComponentLink {
    fn drop(&mut self) {
        let ended = State::Ended(LinkError::Closed);
        if let State::Online(online) = std::mem::replace(&mut self.state, ended)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(online.good_bye());
        }
    }
}

impl fmt::Debug for ComponentLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Online(_) => "online",
            State::Away(_) => "away",
            State::Ended(_) => "ended",
        };
        f.debug_struct("ComponentLink")
            .field("domain", self.domain())
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// Bytes of stanzas that are read while somebody waits for room to send, and asks for none.
const AHEAD: usize = 1024 * 1024;

/// How long a link that is closed may take to send what is queued, and the server to answer.
const CLOSING: Duration = Duration::from_secs(10);
