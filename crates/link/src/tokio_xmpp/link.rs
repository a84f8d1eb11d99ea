//! The link as its driver holds it.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Sleep;
use tokio_util::sync::PollSender;
use xtls_stanza::{Address, AddressCache, Envelope};

use super::bridge::Bridge;
use super::connector::Connector;
use super::error::ConnectError;
use super::link_task::{LinkTask, Outgoing, QUEUE, TaskEvent};
use super::options::Options;
use crate::{LinkError, LinkEvent};
use xtls_stanza::normalise::{is_raw, normalise};

/// How long a link that is closed may take to send what is queued.
const FLUSH: Duration = Duration::from_secs(10);

/// A logged-in connection to one's own server. Made by [`connect`].
///
/// When it is dropped, the server is told good-bye in the background.
#[derive(Debug)]
pub struct XmppLink {
    bound: Address,
    stanza_limit: Option<usize>,
    events: mpsc::Receiver<TaskEvent>,
    outgoing: PollSender<Outgoing>,
    bridge: Bridge,
    addresses: AddressCache,
    task: JoinHandle<LinkError>,
    ended: Option<LinkError>,
    closing: Option<Closing>,
}

/// How far a link that is being closed has come.
#[derive(Debug)]
enum Closing {
    /// The task sends what is queued, until then at the latest.
    Flushing(Pin<Box<Sleep>>),
    /// It did not finish in time, and sends nothing more.
    Overdue,
}

/// Connects, logs in, binds a resource and says that we are there.
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
/// # Errors
/// Nothing is tried twice here: the reason is returned.
pub async fn connect(options: Options) -> Result<XmppLink, ConnectError> {
    let limit = options.timeout;
    let retry = options.retry;
    // Reading the system's certificates takes a moment.
    let connector = tokio::task::spawn_blocking(move || Connector::new(&options))
        .await
        .map_err(|error| ConnectError::Broken {
            during: "at once",
            why: error.to_string(),
        })??;
    let (outgoing, outgoing_end) = mpsc::channel(QUEUE);
    let (events_end, events) = mpsc::channel(QUEUE);
    let (first, bound) = oneshot::channel();
    let link_task = LinkTask::new(connector, limit, retry, outgoing_end, events_end, first);
    let task = tokio::spawn(link_task.run());
    // The attempt has a limit of its own, and so has the binding that follows.
    let bound = tokio::time::timeout(limit.saturating_mul(2), bound)
        .await
        .map_err(|_| ConnectError::Timeout { limit })?
        .map_err(|_| ConnectError::Broken {
            during: "at once",
            why: ended().to_string(),
        })??;
    Ok(XmppLink {
        bound: bound.address,
        stanza_limit: bound.stanza_limit,
        events,
        outgoing: PollSender::new(outgoing),
        bridge: Bridge::default(),
        addresses: AddressCache::default(),
        task,
        ended: None,
        closing: None,
    })
}

impl XmppLink {
    /// Why the task has ended, which it has or is about to.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<LinkError> {
        if let Some(end) = &self.ended {
            return Poll::Ready(end.clone());
        }
        let end = ready!(Pin::new(&mut self.task).poll(cx)).unwrap_or_else(|_| ended());
        self.ended = Some(end.clone());
        Poll::Ready(end)
    }

    fn stanza(&mut self, envelope: Envelope) -> Option<Outgoing> {
        match self.bridge.stanza(envelope) {
            Ok(stanza) => Some(Box::new(stanza)),
            Err(error) => {
                tracing::debug!(%error, "dropped a stanza that cannot be sent");
                None
            }
        }
    }

    /// Reads a stanza. One that cannot be read is answered if its sender waits for an answer.
    fn read(&mut self, stanza: &Bytes) -> Option<LinkEvent> {
        match Envelope::read_cached(stanza, &mut self.addresses) {
            Ok(envelope) => normal(envelope).map(LinkEvent::Envelope),
            Err(error) => {
                tracing::debug!(%error, "dropped a stanza that cannot be read");
                // A full queue has better things to carry.
                let _ = error
                    .reply()
                    .and_then(|reply| self.stanza(reply))
                    .and_then(|reply| self.outgoing.get_ref()?.try_send(reply).ok());
                None
            }
        }
    }
}

/// The envelope with its addresses as this end writes them. Servers normalise, but not all alike.
fn normal(mut envelope: Envelope) -> Option<Envelope> {
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

fn ended() -> LinkError {
    LinkError::Lost("its task ended unexpectedly".to_owned())
}

impl XmppLink {
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

    /// Waits for the next event.
    ///
    /// # Errors
    /// The link has ended for good. Every later call returns the same error.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>> {
        loop {
            let Some(events) = ready!(self.events.poll_recv(cx)) else {
                return Poll::Ready(Err(ready!(self.poll_end(cx))));
            };
            match events {
                TaskEvent::Stanza(stanza) => {
                    if let Some(event) = self.read(&stanza) {
                        return Poll::Ready(Ok(event));
                    }
                }
                TaskEvent::Suspended => return Poll::Ready(Ok(LinkEvent::Suspended)),
                TaskEvent::Resumed => return Poll::Ready(Ok(LinkEvent::Resumed)),
                TaskEvent::Rebound(bound) => {
                    self.bound = bound.address.clone();
                    self.stanza_limit = bound.stanza_limit;
                    return Poll::Ready(Ok(LinkEvent::Rebound(bound.address)));
                }
            }
        }
    }

    /// Waits for room for one stanza, which [`start_send`](Self::start_send) takes.
    ///
    /// # Errors
    /// The link has ended for good.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        match ready!(self.outgoing.poll_reserve(cx)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(_) => Poll::Ready(Err(ready!(self.poll_end(cx)))),
        }
    }

    /// Queues one stanza, once after each [`poll_ready`](Self::poll_ready). The server sets the sender's address, so `from`
    /// is not sent. Success means queued: the server may never receive it.
    ///
    /// # Errors
    /// The link has ended for good.
    ///
    /// # Panics
    /// If `poll_ready` was not asked before.
    pub fn start_send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        let Some(stanza) = self.stanza(envelope) else {
            return Ok(());
        };
        let sent = self.outgoing.send_item(stanza);
        sent.map_err(|_| self.ended.clone().unwrap_or_else(ended))
    }

    /// Sends what is queued, closes the stream and frees the resource. It finishes within seconds, whatever the server
    /// does. After the first call, call nothing else.
    ///
    /// # Errors
    /// The link had been lost before, or was lost before everything queued was sent.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.closing.is_none() {
            if let Some(lost) = &self.ended {
                return Poll::Ready(Err(lost.clone()));
            }
            self.outgoing.abort_send();
            self.outgoing.close();
        }
        let closing = self.closing.get_or_insert_with(|| {
            let until = tokio::time::sleep(FLUSH);
            Closing::Flushing(Box::pin(until))
        });
        if let Closing::Flushing(until) = closing {
            // The task goes on until it has taken everything, as long as what comes in is taken from it.
            let flushed = loop {
                match self.events.poll_recv(cx) {
                    Poll::Ready(Some(_)) => {}
                    Poll::Ready(None) => break true,
                    Poll::Pending => break false,
                }
            };
            if !flushed {
                ready!(until.as_mut().poll(cx));
                self.events.close();
                *closing = Closing::Overdue;
            }
        }
        let overdue = matches!(closing, Closing::Overdue);
        // A place that the task had reserved is its last word.
        if overdue {
            while let Ok(_dropped) = self.events.try_recv() {}
        }
        let end = ready!(self.poll_end(cx));
        Poll::Ready(match (end, overdue) {
            (LinkError::Closed, false) => Ok(()),
            (LinkError::Closed, true) => Err(LinkError::Lost(
                "it was interrupted, and closed before all was sent".to_owned(),
            )),
            (lost, _) => Err(lost),
        })
    }

    /// Returns the next event.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing is lost.
    ///
    /// # Errors
    /// The link has ended for good. Every later call returns the same error.
    pub async fn next(&mut self) -> Result<LinkEvent, LinkError> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Queues one stanza, waiting for room. See [`start_send`](Self::start_send).
    ///
    /// Cancel-safe: if the future is dropped before it is ready, the stanza was not sent.
    ///
    /// # Errors
    /// The link has ended for good.
    pub async fn send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.start_send(envelope)
    }

    /// Sends what is queued, closes the stream and frees the resource. It finishes within seconds, whatever the server
    /// does.
    ///
    /// # Errors
    /// The link had been lost before, or was lost before everything queued was sent.
    pub async fn close(mut self) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_close(cx)).await
    }
}
