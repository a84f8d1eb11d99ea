//! Bytestreams without TLS: XEP-0047 as every client speaks it, over an [`Uplink`].
//!
//! The servers on the way read everything, and can change everything. This is for peers that know no XTLS, for
//! measurements, and for what is encrypted already; a [`Client`](crate::Client) never falls back to it.
//!
//! ```
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use xtls_client::relay::{Limits, Relay};
//! use xtls_client::{ibb, plain, uplink::normalise};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let relay = Relay::start(Limits::default());
//! let (romeo, juliet) = (normalise("romeo@montague.example/orchard")?, normalise("juliet@capulet.example/balcony")?);
//! // In earnest a link is `xmpp::connect(…)`.
//! let (streams, _, _) = plain::start(relay.attach(romeo.clone()).await?, ibb::Config::default())?;
//! let (hers, mut listener, _) = plain::start(relay.attach(juliet.clone()).await?, ibb::Config::default())?;
//! hers.with_mux(|mux| mux.allow(ibb::Allow::Only([romeo.to_bare()].into())));
//! tokio::spawn(async move {
//!     let mut stream = streams.open(&juliet, ibb::OpenOptions::default()).await?;
//!     stream.write_all(b"wherefore art thou?").await?;
//!     stream.shutdown().await
//! });
//! let incoming = listener.next().await.ok_or("the link has ended")?;
//! let mut heard = String::new();
//! incoming.accept(None)?.read_to_string(&mut heard).await?;
//! assert_eq!(heard, "wherefore art thou?");
//! # Ok(())
//! # }
//! ```

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::mpsc;
use xtls_ibb::io::{self, Endpoint, Listener, Pause};
use xtls_ibb::{Config, Mux};
use xtls_stanza::Envelope;

use crate::client::Task;
use crate::uplink::{Inbound, LinkError, Uplink};

/// Stanzas between the link and the streams, each way. Few: a chunk that waits here counts as sent, and its answer as late.
const QUEUE: usize = 4;

/// How long the link may take nothing before it is read in between.
const STALL: Duration = Duration::from_millis(50);

/// Starts the one task that owns the link and its streams.
///
/// Nobody may open a stream to us until [`Mux::allow`] says who, by way of [`Endpoint::with_mux`].
///
/// It ends, with a good-bye to the server, when every handle is dropped and every stream has ended; or when the link is
/// lost, or bound anew, which ends all streams. A request that is not about streams is answered `service-unavailable`.
///
/// # Errors
/// When the operating system gives no random bytes.
pub fn start<U: Uplink + 'static>(
    uplink: U,
    config: Config,
) -> Result<(Endpoint, Listener, Task), LinkError> {
    let mut seed = [0; 32];
    crate::random(&mut seed)?;
    let mut mux = Mux::new(uplink.bound().clone(), config, seed);
    mux.set_server_limit(uplink.stanza_limit());
    let (into, incoming) = mpsc::channel(QUEUE);
    let (outgoing, out) = mpsc::channel(QUEUE);
    let (endpoint, listener, driver) = io::endpoint(mux, incoming, outgoing);
    let carrier = Carrier {
        uplink,
        pause: endpoint.pause(),
        out,
        into,
        next: None,
        held: None,
    };
    // Each ends when the other does.
    let task = tokio::spawn(async { tokio::join!(carrier.run(), driver.run()).0 });
    Ok((endpoint, listener, task))
}

/// Carries stanzas between the link and the streams.
struct Carrier<U> {
    uplink: U,
    pause: Pause,
    out: mpsc::Receiver<Envelope>,
    into: mpsc::Sender<Envelope>,
    /// Waits for the link's room.
    next: Option<Envelope>,
    /// Waits for the streams' room.
    held: Option<Envelope>,
}

impl<U: Uplink> Carrier<U> {
    async fn run(mut self) -> Result<(), LinkError> {
        loop {
            self.send().await?;
            if self.next.is_some() {
                // While the link takes nothing it is still read: a server that waits for us to read may be what we wait for.
                if self.held.is_none()
                    && let Some(inbound) = at_once(self.uplink.next())
                {
                    self.take(inbound?)?;
                }
                self.hand_in();
                continue;
            }
            tokio::select! {
                envelope = self.out.recv() => match envelope {
                    Some(envelope) => self.next = Some(envelope),
                    None => return self.uplink.close().await,
                },
                inbound = self.uplink.next(), if self.held.is_none() => self.take(inbound?)?,
                () = room(&self.into), if self.held.is_some() => self.hand_in(),
            }
        }
    }

    async fn send(&mut self) -> Result<(), LinkError> {
        while let Some(envelope) = &self.next {
            let sending = self.uplink.send(envelope.clone());
            match tokio::time::timeout(STALL, sending).await {
                Ok(sent) => sent?,
                Err(_) => return Ok(()),
            }
            self.next = self.out.try_recv().ok();
        }
        Ok(())
    }

    fn hand_in(&mut self) {
        if let Some(envelope) = self.held.take()
            // Their end of the channel closes with `out`, which is seen there.
            && let Err(mpsc::error::TrySendError::Full(envelope)) = self.into.try_send(envelope)
        {
            self.held = Some(envelope);
        }
    }

    fn take(&mut self, inbound: Inbound) -> Result<(), LinkError> {
        match inbound {
            Inbound::Envelope(envelope) => {
                self.held = Some(envelope);
                self.hand_in();
            }
            Inbound::Suspended => self.pause.suspend(),
            Inbound::Resumed => self.pause.resume(),
            Inbound::Rebound(address) => {
                return Err(LinkError::Lost(format!(
                    "it was bound anew, as {address}: no stream survives that"
                )));
            }
        }
        Ok(())
    }
}

/// Waits for room in the channel, or for its end.
async fn room(channel: &mpsc::Sender<Envelope>) {
    drop(channel.reserve().await);
}

/// What a cancel-safe future gives without waiting.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests;
