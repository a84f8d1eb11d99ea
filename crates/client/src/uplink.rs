//! The connection to your server as the client sees it: stanzas in, stanzas out.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use xtls_stanza::{Address, Envelope};

pub use xtls_link::{Cause, LinkError, LinkEvent, Outage};
pub use xtls_stanza::normalise::{NotAnAddress, normalise};

/// A bound XMPP connection, or something that behaves like one.
///
/// The client's task owns the link and is its only caller. A link is polled, like a `futures` sink and stream in one, and
/// needs no task or channel of its own. [`next`](Self::next), [`send`](Self::send) and [`close`](Self::close) are async
/// shorthands for callers that use a link without a client.
///
/// # Contract
///
/// * **Wakers.** A method that returns [`Poll::Pending`] arranges for the waker of the *latest* call of that method to be
///   woken as soon as a further call can make progress. Each method keeps a waker of its own: the caller polls several of
///   them in turn with the same task.
/// * **Both directions move.** A link that has no room still delivers what arrives: a pending
///   [`poll_ready`](Self::poll_ready) or [`poll_flush`](Self::poll_flush) never keeps [`poll_next`](Self::poll_next) from
///   making progress. A server may be waiting for us to read before it reads on.
/// * **Back-pressure is the absence of room.** `poll_ready` is pending while the link has no room, and a link whose
///   `poll_next` is not called stops reading from the network once its own bounded queue is full.
/// * **Order.** Stanzas leave in the order of the calls of [`start_send`](Self::start_send), and arrive in the order in
///   which the server sent them. An event takes its place among them: what comes out after [`LinkEvent::Rebound`] belongs
///   to the new binding.
/// * **Cancel safety.** No method leaves anything half done when the caller stops polling: no stanza is lost, and none is
///   sent twice.
/// * **Errors are final.** Once a method has returned an error the link has ended: `poll_ready`, `start_send` and
///   `poll_flush` return the same error from then on. `poll_next` may first deliver what had arrived, then returns it too.
pub trait Uplink: Send {
    /// The full address under which the server knows us. It changes only by [`LinkEvent::Rebound`].
    fn bound(&self) -> &Address;

    /// The longest stanza in bytes that the server announces to accept (XEP-0478). It changes only by
    /// [`LinkEvent::Rebound`].
    ///
    /// A link that wraps another one passes this on. The default is `None`: no limit is known.
    fn stanza_limit(&self) -> Option<usize> {
        None
    }

    /// Where the server was reached, if that is known: its relays may be where it is. The default is `None`.
    fn server_address(&self) -> Option<SocketAddr> {
        None
    }

    /// Waits for the next event.
    ///
    /// # Errors
    /// The link has ended for good.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>>;

    /// Waits for room for one stanza. Room that was granted stays until [`start_send`](Self::start_send) takes it.
    ///
    /// # Errors
    /// The link has ended for good.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Queues one stanza. The server sets the sender's address, so `from` is not sent.
    ///
    /// Call it only after [`poll_ready`](Self::poll_ready) has returned `Ready(Ok(()))`, once for each time. Success means
    /// queued: the server may never receive it.
    ///
    /// # Errors
    /// The link has ended for good.
    ///
    /// # Panics
    /// May panic if `poll_ready` was not asked before.
    fn start_send(&mut self, envelope: Envelope) -> Result<(), LinkError>;

    /// Passes on everything queued, as far as the network takes it. A link that needs no help for that is always ready.
    ///
    /// # Errors
    /// The link has ended for good.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let _ = cx;
        Poll::Ready(Ok(()))
    }

    /// Sends what is queued, ends the stream and frees the resource. It finishes within seconds, whatever the server does.
    /// After the first call nothing but `poll_close` is called. What arrives meanwhile is dropped.
    ///
    /// # Errors
    /// The link had been lost before, or was lost before everything queued was sent.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;

    /// Returns the next event, and passes on what is queued meanwhile.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing is lost.
    ///
    /// # Errors
    /// The link has ended for good.
    fn next(&mut self) -> impl Future<Output = Result<LinkEvent, LinkError>> + Send
    where
        Self: Sized,
    {
        poll_fn(|cx| {
            // An end of the link comes out of `poll_next`, behind what had arrived.
            let _ = self.poll_flush(cx);
            self.poll_next(cx)
        })
    }

    /// Queues one stanza, waiting for room.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, the stanza was not sent.
    ///
    /// # Errors
    /// The link has ended for good.
    fn send(&mut self, envelope: Envelope) -> impl Future<Output = Result<(), LinkError>> + Send
    where
        Self: Sized,
    {
        let mut envelope = Some(envelope);
        poll_fn(move |cx| {
            ready!(self.poll_ready(cx))?;
            if let Some(envelope) = envelope.take() {
                self.start_send(envelope)?;
            }
            // What does not leave now goes with the next call.
            let _ = self.poll_flush(cx);
            Poll::Ready(Ok(()))
        })
    }

    /// Sends what is queued, ends the stream and frees the resource.
    ///
    /// # Errors
    /// The link had been lost before, or was lost before everything queued was sent.
    fn close(mut self) -> impl Future<Output = Result<(), LinkError>> + Send
    where
        Self: Sized,
    {
        async move { poll_fn(|cx| self.poll_close(cx)).await }
    }
}

#[cfg(feature = "xmpp")]
impl Uplink for xtls_link::Link {
    fn bound(&self) -> &Address {
        self.bound()
    }

    fn stanza_limit(&self) -> Option<usize> {
        self.stanza_limit()
    }

    fn server_address(&self) -> Option<SocketAddr> {
        self.server_address()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>> {
        let event = self.poll_next(cx);
        if matches!(event, Poll::Ready(Ok(LinkEvent::Rebound(_)))) {
            // No tunnel survives it, so nobody wants what was sent in them.
            drop(self.take_lost());
        }
        event
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_ready(cx)
    }

    fn start_send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        self.start_send(envelope)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_flush(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.poll_close(cx)
    }
}
