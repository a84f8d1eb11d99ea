//! The link as its owner holds it: stanzas in, stanzas out, whatever becomes of the connection beneath.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep};
use xtls_stanza::normalise::{is_raw, normalise};
use xtls_stanza::{Address, AddressCache, Envelope};

use super::connect::{Connection, Connector, Goal};
use super::online::Online;
use super::options::Options;
use super::waiting::Waiting;
use crate::cause::Cause;
use crate::error::ConnectError;
use crate::event::{LinkError, LinkEvent, Outage};
use crate::retry::{Again, Reconnect};
use crate::session::Session;
use crate::stream::{Event, Opened};

/// A logged-in connection to your own server. Made by [`connect`].
///
/// It is polled, and needs no task or channel: it makes progress, reconnecting included, while
/// [`poll_next`](Self::poll_next) or [`next`](Self::next) is called. When it is dropped, the server is told good-bye in the
/// background.
pub struct Link {
    connector: Arc<Connector>,
    reconnect: Reconnect,
    presence: Option<i8>,
    fill: bool,
    bound: Address,
    stanza_limit: Option<usize>,
    state: State,
    events: VecDeque<LinkEvent>,
    /// Bytes of stanzas that were read before anybody asked for them.
    ahead: usize,
    /// What was sent while there was no connection.
    waiting: Waiting,
    lost: Vec<Bytes>,
    addresses: AddressCache,
    /// Fires when the stream has something to do.
    timer: Option<Pin<Box<Sleep>>>,
    /// Who waits for room.
    ready: Option<Waker>,
    closing: Option<Pin<Box<Sleep>>>,
}

enum State {
    Online(Box<Online>),
    Away(Attempt),
    Ended(LinkError),
}

type Attempt = Pin<Box<dyn Future<Output = Attempted> + Send>>;
type Attempted = Result<(Connection, Opened), Box<(ConnectError, Session)>>;

/// Connects, logs in, binds a resource and says that you are there.
///
/// ```no_run
/// use xtls_link::stanza::normalise::normalise;
/// use xtls_link::{Options, connect};
/// use zeroize::Zeroizing;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let account = normalise("juliet@capulet.example")?;
/// let password = Zeroizing::new(std::fs::read_to_string("password")?);
/// let mut link = connect(Options::new(&account, password).resource("xtls")).await?;
/// println!("this is {}", link.bound());
/// println!("the first thing that happened: {:?}", link.next().await?);
/// link.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// Cancel-safe: if the future is dropped before it is ready, the connection is dropped with it.
///
/// # Errors
/// Nothing is tried twice here, but that another host is followed to (`see-other-host`, three times at most): the reason is
/// returned.
pub async fn connect(options: Options) -> Result<Link, ConnectError> {
    let (retry, presence, fill) = (options.retry, options.presence, options.fill);
    // Reading the system's certificates takes a moment.
    let made = tokio::task::spawn_blocking(move || Connector::new(&options)).await;
    let (connector, mut session) =
        made.map_err(|why| ConnectError::broken("at once", Cause::new(why)))??;
    let connector = Arc::new(connector);
    let mut reconnect = Reconnect::new(retry);
    let mut goal = Goal::Home;
    loop {
        let (why, kept) = match Arc::clone(&connector).connect(session, goal).await {
            Ok((connection, opened)) => {
                let mut link = Link {
                    bound: connection.stream.session().account().clone(),
                    connector,
                    reconnect,
                    presence,
                    fill,
                    stanza_limit: None,
                    state: State::Ended(LinkError::Closed),
                    events: VecDeque::new(),
                    ahead: 0,
                    waiting: Waiting::default(),
                    lost: Vec::new(),
                    addresses: AddressCache::default(),
                    timer: None,
                    ready: None,
                    closing: None,
                };
                link.on_opened(connection, opened);
                // The caller learns it from the link itself.
                link.events.clear();
                // The server is to know that we are there, also if nobody calls for a while.
                let _ = poll_fn(|cx| Poll::Ready(link.poll_flush(cx))).await;
                return Ok(link);
            }
            Err(failed) => *failed,
        };
        let again = reconnect.ended(Instant::now().into_std(), &why, 0);
        goal = match again
            .filter(|again| again.elsewhere)
            .and_then(|_| elsewhere(&why))
        {
            Some(goal) => goal,
            None => return Err(why),
        };
        session = kept;
    }
}

impl Link {
    /// The full address under which the server knows you. It changes only by [`LinkEvent::Rebound`].
    #[must_use]
    pub fn bound(&self) -> &Address {
        &self.bound
    }

    /// The longest stanza in bytes that the server says it takes (XEP-0478). It changes only by [`LinkEvent::Rebound`].
    #[must_use]
    pub fn stanza_limit(&self) -> Option<usize> {
        self.stanza_limit
    }

    /// Where the server was reached. `None` while there is no connection, and where your own dialler has made it.
    #[must_use]
    pub fn server_address(&self) -> Option<SocketAddr> {
        match &self.state {
            State::Online(online) => online.address(),
            State::Away(_) | State::Ended(_) => None,
        }
    }

    /// What the server has granted. `None` while there is no connection.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        match &self.state {
            State::Online(online) => Some(online.session()),
            State::Away(_) | State::Ended(_) => None,
        }
    }

    /// The octets of stanzas that were sent before the last [`LinkEvent::Rebound`] and never acknowledged, in order: the server
    /// may have delivered them, or not. Those that waited for a connection are among them. They are given once, and kept until the
    /// next such event only.
    pub fn take_lost(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.lost)
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
            State::Away(attempt) => {
                let attempted = ready!(attempt.as_mut().poll(cx));
                self.on_attempted(attempted);
            }
            State::Online(online) => match ready!(online.poll_event(cx, &mut self.timer)) {
                Ok(Event::Stanza(octets)) => {
                    self.wake_if_room();
                    self.ahead = self.ahead.saturating_add(octets.len());
                    let event = self.read(&octets);
                    self.events.extend(event);
                }
                Ok(Event::Software) => self.set_records(),
                Ok(Event::Closed | Event::Opened(_) | Event::Derive(_)) => {}
                Err(why) => self.on_lost(why),
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
            self.on_lost(why);
        }
        if self.has_room() {
            return Poll::Ready(Ok(()));
        }
        self.ready = Some(cx.waker().clone());
        Poll::Pending
    }

    fn has_room(&self) -> bool {
        match &self.state {
            State::Online(online) => online.has_room(),
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

    /// Queues one stanza, once after each [`poll_ready`](Self::poll_ready). The server sets the sender's address, so `from`
    /// is not sent. Success means queued: the server may never receive it.
    ///
    /// # Errors
    /// The link has ended for good.
    pub fn start_send(&mut self, mut envelope: Envelope) -> Result<(), LinkError> {
        envelope.from = None;
        let Some(envelope) = normal(envelope) else {
            return Ok(());
        };
        let write = |out: &mut Vec<u8>| envelope.write(out);
        match &mut self.state {
            State::Online(online) => {
                online.send(write);
                Ok(())
            }
            State::Away(_) => {
                self.waiting.push(write);
                Ok(())
            }
            State::Ended(error) => Err(error.clone()),
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
                Err(why) => self.on_lost(why),
            },
            State::Away(_) => {}
            State::Ended(error) => return Poll::Ready(Err(error.clone())),
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is queued, closes the stream and frees the resource. It finishes within seconds, whatever the server
    /// does. After the first call, call nothing else.
    ///
    /// # Errors
    /// The link had been lost before, or was lost before everything queued was sent.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let closing = self.closing.get_or_insert_with(|| Box::pin(sleep(CLOSING)));
        let late = closing.as_mut().poll(cx).is_ready();
        loop {
            match &mut self.state {
                State::Ended(LinkError::Closed) => return Poll::Ready(Ok(())),
                State::Ended(error) => return Poll::Ready(Err(error.clone())),
                State::Away(_) if self.waiting.is_empty() => {
                    self.state = State::Ended(LinkError::Closed)
                }
                State::Away(_) if late => {
                    let why = "it was interrupted, and closed before all was sent";
                    self.state = State::Ended(LinkError::Lost(why.into()));
                }
                State::Away(attempt) => {
                    let attempted = ready!(attempt.as_mut().poll(cx));
                    self.on_attempted(attempted);
                    self.events.clear();
                }
                State::Online(online) => {
                    let closed = online.poll_closed(cx);
                    self.state = State::Ended(match closed {
                        Poll::Ready(Ok(())) => LinkError::Closed,
                        Poll::Ready(Err(why)) => LinkError::from(why),
                        // All was sent, and who does not answer a good-bye has had it all the same.
                        Poll::Pending if late && online.has_said_good_bye() => LinkError::Closed,
                        Poll::Pending if late => {
                            LinkError::Lost("the server took nothing more before the end".into())
                        }
                        Poll::Pending => return Poll::Pending,
                    });
                }
            }
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
    /// The link has ended for good.
    pub async fn send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
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

    /// Sends what is queued, closes the stream and frees the resource. It finishes within seconds, whatever the server
    /// does.
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
                    let _ = self.start_send(reply);
                }
                None
            }
        }
    }

    fn on_attempted(&mut self, attempted: Attempted) {
        match attempted {
            Ok((connection, opened)) => self.on_opened(connection, opened),
            Err(failed) => {
                let (why, session) = *failed;
                self.away(why, session, true);
            }
        }
    }

    fn on_opened(&mut self, connection: Connection, opened: Opened) {
        self.reconnect.opened(Instant::now().into_std());
        self.stanza_limit = connection.stream.stanza_limit();
        let waiting = std::mem::take(&mut self.waiting);
        let online = match opened {
            Opened::Resumed { .. } => {
                self.events.push_back(LinkEvent::Resumed);
                Online::new(connection, self.fill, waiting)
            }
            Opened::Bound { address, lost } => {
                self.lost = lost;
                self.lost.extend(waiting.into_stanzas());
                self.bound = address.clone();
                let mut online = Online::new(connection, self.fill, Waiting::default());
                if let Some(priority) = self.presence {
                    let presence = format!("<presence><priority>{priority}</priority></presence>");
                    online.send(|out| out.extend_from_slice(presence.as_bytes()));
                }
                if self.fill {
                    online.ask_for_software();
                }
                self.events.push_back(LinkEvent::Rebound(address));
                online
            }
        };
        self.timer = None;
        self.state = State::Online(Box::new(online));
        self.wake_if_room();
    }

    /// The connection is of no use any more.
    fn on_lost(&mut self, why: ConnectError) {
        let ended = State::Ended(LinkError::Closed);
        match std::mem::replace(&mut self.state, ended) {
            State::Online(online) => {
                let (session, waiting) = online.fail(&why);
                self.waiting = waiting;
                self.away(why, session, false);
            }
            other @ (State::Away(_) | State::Ended(_)) => self.state = other,
        }
    }

    /// There is no connection: tries to get one, or gives up.
    fn away(&mut self, why: ConnectError, mut session: Session, again: bool) {
        let now = Instant::now();
        // Somebody has taken our address.
        let is_taken = matches!(&why, ConnectError::Stream(error) if error.condition == "conflict");
        let why = match is_taken {
            true => ConnectError::Conflict {
                address: self.bound.to_string(),
            },
            false => why,
        };
        let next = self.reconnect.ended(now.into_std(), &why, session.random());
        let (Some(next), None) = (next, &self.closing) else {
            self.lost = session.take_unacknowledged();
            self.lost
                .extend(std::mem::take(&mut self.waiting).into_stanzas());
            self.state = State::Ended(why.into());
            self.wake_if_room();
            return;
        };
        let until = self.reconnect.until().unwrap_or_else(|| now.into_std());
        let outage = Outage {
            retry: next.after,
            give_up: until.saturating_duration_since(now.into_std()),
            why: Cause::new(why.clone()),
        };
        self.events.push_back(match again {
            true => LinkEvent::Waiting(outage),
            false => LinkEvent::Suspended(outage),
        });
        self.state = State::Away(self.attempt(session, next, &why));
        self.wake_if_room();
    }

    fn attempt(&self, mut session: Session, next: Again, why: &ConnectError) -> Attempt {
        let connector = Arc::clone(&self.connector);
        if !next.resume {
            session.forget();
        }
        let goal = match next.elsewhere {
            true => elsewhere(why),
            // Who was given a server has not asked for another name of it.
            false if self.connector.is_given() => None,
            false => {
                let location = session.take_location(Instant::now().into_std());
                location.map(Goal::Elsewhere)
            }
        };
        Box::pin(async move {
            sleep(next.after).await;
            connector.connect(session, goal.unwrap_or(Goal::Home)).await
        })
    }

    fn set_records(&mut self) {
        if let State::Online(online) = &mut self.state {
            online.learn_software(self.fill);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let ended = State::Ended(LinkError::Closed);
        if let State::Online(online) = std::mem::replace(&mut self.state, ended)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(online.good_bye());
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Online(_) => "online",
            State::Away(_) => "away",
            State::Ended(_) => "ended",
        };
        f.debug_struct("Link")
            .field("bound", &self.bound)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// The envelope with its addresses as this end writes them. Servers normalise, but not all alike.
pub(super) fn normal(mut envelope: Envelope) -> Option<Envelope> {
    for address in [&mut envelope.from, &mut envelope.to].into_iter().flatten() {
        if is_raw(address) {
            match normalise(address.as_str()) {
                Ok(normal) => *address = normal,
                Err(error) => {
                    tracing::debug!(%error, "dropped a stanza");
                    return None;
                }
            }
        }
    }
    Some(envelope)
}

/// Where a server sends us.
fn elsewhere(why: &ConnectError) -> Option<Goal> {
    let ConnectError::Stream(error) = why else {
        return None;
    };
    error.other_host.clone().map(Goal::Elsewhere)
}

/// Bytes of stanzas that are read while somebody waits for room to send, and asks for none.
const AHEAD: usize = 1024 * 1024;

/// How long a link that is closed may take to send what is queued, and the server to answer.
const CLOSING: Duration = Duration::from_secs(10);
