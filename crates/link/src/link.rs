//! The link as its driver holds it.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use xtls_stanza::{Address, AddressCache, Envelope};

use super::bridge::Bridge;
use super::connector::Connector;
use super::error::ConnectError;
use super::options::Options;
use super::owner::{News, Outgoing, Owner, QUEUE};
use crate::{Inbound, LinkError};
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
    news: mpsc::Receiver<News>,
    outgoing: mpsc::Sender<Outgoing>,
    bridge: Bridge,
    addresses: AddressCache,
    task: JoinHandle<LinkError>,
    ended: Option<LinkError>,
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
    let (news_end, news) = mpsc::channel(QUEUE);
    let (first, bound) = oneshot::channel();
    let owner = Owner::new(connector, limit, retry, outgoing_end, news_end, first);
    let task = tokio::spawn(owner.run());
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
        news,
        outgoing,
        bridge: Bridge::default(),
        addresses: AddressCache::default(),
        task,
        ended: None,
    })
}

impl XmppLink {
    /// Why the task has ended, which it has or is about to.
    async fn end(&mut self) -> LinkError {
        if let Some(end) = &self.ended {
            return end.clone();
        }
        let end = (&mut self.task).await.unwrap_or_else(|_| ended());
        self.ended = Some(end.clone());
        end
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
    fn read(&mut self, stanza: &Bytes) -> Option<Inbound> {
        match Envelope::read_cached(stanza, &mut self.addresses) {
            Ok(envelope) => normal(envelope).map(Inbound::Envelope),
            Err(error) => {
                tracing::debug!(%error, "dropped a stanza that cannot be read");
                // A full queue has better things to carry.
                let _ = error
                    .reply()
                    .and_then(|reply| self.stanza(reply))
                    .and_then(|reply| self.outgoing.try_send(reply).ok());
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
    /// The full address under which the server knows you. It changes only by [`Inbound::Rebound`].
    #[must_use]
    pub fn bound(&self) -> &Address {
        &self.bound
    }

    /// The longest stanza in bytes that the server says it takes (XEP-0478). It changes only by [`Inbound::Rebound`].
    #[must_use]
    pub fn stanza_limit(&self) -> Option<usize> {
        self.stanza_limit
    }

    /// The next thing that happened.
    ///
    /// Cancel-safe: nothing is lost when the future is dropped before it is ready.
    ///
    /// # Errors
    /// The link has ended for good. Every later call returns the same error.
    pub async fn next(&mut self) -> Result<Inbound, LinkError> {
        loop {
            let Some(news) = self.news.recv().await else {
                return Err(self.end().await);
            };
            match news {
                News::Stanza(stanza) => {
                    if let Some(inbound) = self.read(&stanza) {
                        return Ok(inbound);
                    }
                }
                News::Suspended => return Ok(Inbound::Suspended),
                News::Resumed => return Ok(Inbound::Resumed),
                News::Rebound(bound) => {
                    self.bound = bound.address.clone();
                    self.stanza_limit = bound.stanza_limit;
                    return Ok(Inbound::Rebound(bound.address));
                }
            }
        }
    }

    /// Queues one stanza, waiting for room. Its sender's address is the server's to set, so `from` is not sent.
    ///
    /// A future that is dropped before it is ready has sent nothing. Success means queued: the server may never see it.
    ///
    /// # Errors
    /// The link has ended for good.
    pub async fn send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        let Some(stanza) = self.stanza(envelope) else {
            return Ok(());
        };
        match self.outgoing.send(stanza).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.end().await),
        }
    }

    /// Sends what is queued, closes the stream and frees the resource. It always ends, within seconds.
    ///
    /// # Errors
    /// The link had been lost before, or was lost before everything queued was sent.
    pub async fn close(self) -> Result<(), LinkError> {
        let Self {
            outgoing,
            mut news,
            task,
            ended: lost,
            ..
        } = self;
        if let Some(lost) = lost {
            return Err(lost);
        }
        drop(outgoing);
        // The task goes on until it has taken everything, if somebody takes what comes in.
        let flushed =
            tokio::time::timeout(FLUSH, async { while news.recv().await.is_some() {} }).await;
        drop(news);
        let end = task.await.unwrap_or_else(|_| ended());
        match (end, flushed) {
            (LinkError::Closed, Ok(())) => Ok(()),
            (LinkError::Closed, Err(_)) => Err(LinkError::Lost(
                "it was interrupted, and closed before all was sent".to_owned(),
            )),
            (lost, _) => Err(lost),
        }
    }
}
