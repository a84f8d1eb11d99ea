//! One bytestream as `AsyncRead + AsyncWrite`.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use xtls_stanza::ibb::Sid;
use xtls_stanza::{Address, Payload};

use super::error_of;
use super::state::{Handle, State, Wait, now};
use crate::event::{Awaited, Close, StreamId, Why};
use crate::stats::Stats;

/// A bytestream.
///
/// * Reading takes what has come, and acknowledges it. It ends when the peer has closed.
/// * Writing takes as much as there is room for.
/// * `flush` is done when everything that was written has left (not: was acknowledged). A full
///   window, and so a slow reader on the other side, makes it wait.
/// * `shutdown` ends our direction. It is done when the peer's application has read everything, and this is the only
///   proof that it has; reading goes on until the peer has shut down as well. Two applications that both write, shut down
///   and only then read wait for each other until [`Config::ack_timeout`](crate::Config::ack_timeout): read meanwhile, as
///   `copy_bidirectional` does.
/// * Reading ends with `Ok(0)` when the peer has shut down its direction, and writing goes on until our own `shutdown`. If
///   the peer aborts or vanishes instead, reading ends with an error.
/// * Dropping it closes both directions in the background, without a proof. If there are unread bytes, or if
///   more come, it is aborted.
///
/// # Peers that do not close by halves
///
/// For XEP-0047 a `<close/>` ends both directions, and many implementations take it so: they answer at once. After our
/// `shutdown`, reading then ends with `Ok(0)` although the peer's application had more to send; that application gets an
/// error, but nothing on the wire shows it. After such a peer's close, what we still write is answered with an error, so
/// that `write`, `flush` or `shutdown` fails. Where it matters whether everything has come, use a protocol that marks its own end, as
/// TLS, HTTP and most others do, or shut down last.
///
/// # Cancelling
///
/// A read, write, flush or shutdown that is dropped before it is done can be called again: nothing is lost or sent twice.
/// `write_all` and `read_exact` may have moved a part, as over any stream.
#[derive(Debug)]
pub struct Stream {
    handle: Handle,
    id: StreamId,
    answer: Option<Payload>,
}

impl Stream {
    pub(super) fn new(handle: Handle, id: StreamId) -> Self {
        Self {
            handle,
            id,
            answer: None,
        }
    }

    /// Waits for the peer's answer to our open.
    pub(super) async fn opened(&mut self) -> io::Result<()> {
        let answer = poll_fn(|context| {
            let mut state = self.handle.lock();
            let Some(slot) = state.slots.get_mut(&self.id) else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            if let Some(answer) = slot.opened.take() {
                return Poll::Ready(Ok(answer));
            }
            if let Some(close) = &slot.close {
                return Poll::Ready(Err(error_of(close)));
            }
            slot.writer = Some(context.waker().clone());
            Poll::Pending
        });
        self.answer = answer.await?;
        Ok(())
    }

    /// What the result of our open carried.
    #[must_use]
    pub fn answer(&self) -> Option<&Payload> {
        self.answer.as_ref()
    }

    /// The peer's address; `None` after the end.
    #[must_use]
    pub fn peer(&self) -> Option<Address> {
        self.handle.lock().mux.peer(self.id).cloned()
    }

    /// The stream's sid; `None` after the end.
    #[must_use]
    pub fn sid(&self) -> Option<Sid> {
        self.handle.lock().mux.sid(self.id).cloned()
    }

    /// The stream's counters; `None` after the end.
    #[must_use]
    pub fn stats(&self) -> Option<Stats> {
        self.handle.lock().mux.stats(self.id)
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn close_reason(&self) -> Option<Close> {
        self.handle
            .lock()
            .slots
            .get(&self.id)
            .and_then(|slot| slot.close.clone())
    }

    /// Ends it now: what was not sent and not read is dropped.
    pub fn abort(self) {
        self.handle.lock().mux.stream(now(), self.id).abort();
        self.handle.wake_driver();
    }
}

/// The end as the writing side sees it.
fn written(close: &Close) -> io::Result<()> {
    match close.why {
        // Everything of ours was acknowledged before the other direction was cut short.
        Why::Done | Why::Unread { .. } | Why::CutShort(_) => Ok(()),
        Why::Unfinished { .. }
        | Why::Aborted
        | Why::Declined
        | Why::Expired
        | Why::Refused { .. }
        | Why::Rejected(_)
        | Why::Lost(_)
        | Why::Violation(_)
        | Why::TimedOut(_)
        | Why::LinkLost => Err(error_of(close)),
    }
}

/// The end as the reading side sees it. That our own bytes did not all get through is not its
/// concern.
fn read(close: &Close) -> io::Result<()> {
    match close.why {
        Why::Done | Why::Unfinished { .. } | Why::TimedOut(Awaited::Owner) => Ok(()),
        Why::Unread { .. }
        | Why::CutShort(_)
        | Why::Aborted
        | Why::Declined
        | Why::Expired
        | Why::Refused { .. }
        | Why::Rejected(_)
        | Why::Lost(_)
        | Why::Violation(_)
        | Why::TimedOut(_)
        | Why::LinkLost => Err(error_of(close)),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.handle.lock();
        if let Some(bytes) = state.mux.stream(now(), self.id).read(buffer.remaining()) {
            if state.ended {
                // There is no driver any more that would report the end.
                state.dispatch();
            }
            drop(state);
            self.handle.wake_driver();
            buffer.put_slice(&bytes);
            return Poll::Ready(Ok(()));
        }
        let half_closed = state.mux.peer_closed(self.id);
        let Some(slot) = state.slots.get_mut(&self.id) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if let Some(close) = &slot.close {
            return Poll::Ready(read(close));
        }
        if half_closed {
            return Poll::Ready(Ok(()));
        }
        slot.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Stream {
    /// Runs `attempt` on the writing side until it has a result or the stream an end.
    fn poll_writer<T>(
        &self,
        context: &Context<'_>,
        wait: Wait,
        attempt: impl FnOnce(&mut State) -> Option<T>,
    ) -> Poll<Result<T, Option<Close>>> {
        let mut state = self.handle.lock();
        let ending = state.mux.ending(self.id).cloned();
        let closed = state.slots.get(&self.id).map(|slot| slot.close.clone());
        match (closed, ending) {
            (None, _) => return Poll::Ready(Err(None)),
            (Some(Some(close)), _) | (Some(None), Some(close)) => {
                return Poll::Ready(Err(Some(close)));
            }
            (Some(None), None) => {}
        }
        if let Some(result) = attempt(&mut state) {
            drop(state);
            self.handle.wake_driver();
            return Poll::Ready(Ok(result));
        }
        state.await_writer(self.id, wait, context.waker().clone());
        drop(state);
        self.handle.wake_driver();
        Poll::Pending
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let id = self.id;
        let result = ready!(self.poll_writer(context, Wait::Room, |state| {
            let part = bytes.get(..state.mux.room(id)).unwrap_or(bytes);
            match state
                .mux
                .stream(now(), id)
                .write(Bytes::copy_from_slice(part))
            {
                Ok(0) if !bytes.is_empty() => None,
                Ok(taken) => Some(Ok(taken)),
                Err(error) => Some(Err(io::Error::new(io::ErrorKind::BrokenPipe, error))),
            }
        }));
        Poll::Ready(result.unwrap_or_else(|close| Err(broken(close.as_ref()))))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let id = self.id;
        let result = ready!(self.poll_writer(context, Wait::Flushed, |state| {
            state.mux.is_flushed(id).then_some(())
        }));
        Poll::Ready(result.or_else(|close| close.map_or(Ok(()), |close| written(&close))))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let id = self.id;
        let result = ready!(self.poll_writer(context, Wait::Finished, |state| {
            state.mux.stream(now(), id).finish();
            state.mux.is_finished(id).then_some(())
        }));
        Poll::Ready(result.or_else(|close| match close {
            Some(close) => written(&close),
            None => Err(io::ErrorKind::NotConnected.into()),
        }))
    }
}

/// Writing after the end.
fn broken(close: Option<&Close>) -> io::Error {
    close.map_or_else(|| io::ErrorKind::NotConnected.into(), error_of)
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.handle.lock();
        match state.mux.readable(self.id) {
            0 => state.mux.stream(now(), self.id).close(),
            _ => state.mux.stream(now(), self.id).abort(),
        }
        match state.slots.get_mut(&self.id) {
            Some(slot) if slot.close.is_none() => slot.dropped = true,
            Some(_) | None => drop(state.slots.remove(&self.id)),
        }
    }
}
