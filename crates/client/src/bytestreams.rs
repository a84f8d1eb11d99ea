//! Bytestreams without TLS: XEP-0047 as every client speaks it, over an [`Uplink`].
//!
//! The servers on the way read everything, and can change everything. This is for peers that know no XTLS, for
//! measurements, and for what is encrypted already; a [`Client`](crate::Client) never falls back to it.
//!
//! ```
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use xtls_client::relay::{Limits, Relay};
//! use xtls_client::{bytestreams, ibb, uplink::normalise};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let relay = Relay::start(Limits::default());
//! let (romeo, juliet) = (normalise("romeo@montague.example/orchard")?, normalise("juliet@capulet.example/balcony")?);
//! // In earnest a link is `xmpp::connect(…)`.
//! let (streams, _, _) = bytestreams::start(relay.attach(romeo.clone()).await?, ibb::Config::default())?;
//! let (hers, mut listener, _) = bytestreams::start(relay.attach(juliet.clone()).await?, ibb::Config::default())?;
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

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio_util::sync::PollSender;
use xtls_ibb::io::{self, Endpoint, Listener, Pause};
use xtls_ibb::{Config, Mux};
use xtls_stanza::Envelope;

use crate::Task;
use crate::uplink::{LinkError, LinkEvent, Uplink};

/// Stanzas between the link and the streams, each way. Few: a chunk that waits here counts as sent, and its answer as late.
const QUEUE: usize = 4;

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
        into: PollSender::new(into),
        next: None,
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
    into: PollSender<Envelope>,
    /// Waits for the link's room.
    next: Option<Envelope>,
}

impl<U: Uplink> Carrier<U> {
    async fn run(mut self) -> Result<(), LinkError> {
        poll_fn(|cx| self.poll_carry(cx)).await?;
        self.uplink.close().await
    }

    /// Ready when the streams have nothing more to send. The link is read whether it has room or not: a server that waits
    /// for us to read may be what we wait for.
    fn poll_carry(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let ended = self.poll_send(cx)?;
        // Their end of this channel closes with the other one.
        while let Poll::Ready(Ok(())) = self.into.poll_reserve(cx)
            && let Poll::Ready(event) = self.uplink.poll_next(cx)
        {
            self.take(event?)?;
        }
        ended.map(Ok)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let ended = loop {
            if self.next.is_none() {
                match self.out.poll_recv(cx) {
                    Poll::Ready(Some(envelope)) => self.next = Some(envelope),
                    Poll::Ready(None) => break Poll::Ready(Ok(())),
                    Poll::Pending => break Poll::Pending,
                }
            }
            if self.uplink.poll_ready(cx)?.is_pending() {
                break Poll::Pending;
            }
            if let Some(envelope) = self.next.take() {
                self.uplink.start_send(envelope)?;
            }
        };
        // Pending or not: what is queued in the link keeps nobody waiting here.
        let _ = self.uplink.poll_flush(cx)?;
        ended
    }

    fn take(&mut self, event: LinkEvent) -> Result<(), LinkError> {
        match event {
            // Should the streams have ended, nobody wants it.
            LinkEvent::Envelope(envelope) => drop(self.into.send_item(envelope)),
            LinkEvent::Suspended(_) => self.pause.suspend(),
            LinkEvent::Resumed => self.pause.resume(),
            LinkEvent::Rebound(address) => {
                return Err(LinkError::lost(format!(
                    "it was bound anew, as {address}: no stream survives that"
                )));
            }
            // Still suspended, or of a later version.
            LinkEvent::Waiting(_) | _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
