//! The bytes of one byte tunnel between its handle and the driver, each way, and how each direction ended.
//!
//! Both share it, and neither waits while it holds the lock. Each direction has a limit; at the limit the writer waits for
//! room, and the driver leaves bytes in the session, so that the peer's chunks are not acknowledged.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::io::ReadBuf;
use xtls_tunnel::router::Closed;

use crate::error::{read_error, write_error};

/// Shared by the two.
#[derive(Default)]
pub(crate) struct ByteChannel(Mutex<State>);

#[derive(Default)]
struct State {
    /// For the application to read.
    inbound: VecDeque<Bytes>,
    inbound_bytes: usize,
    /// The driver may give more than the reader has room for.
    unlimited: bool,
    /// The driver has left bytes in the session.
    more: bool,
    /// Written and not yet taken by the driver.
    outbound: BytesMut,
    /// Written and not yet taken by the session, those that the driver has taken included.
    outbound_bytes: usize,
    /// The application has written its last byte.
    finishing: bool,
    /// That has been passed on: close_notify follows the last byte.
    finished: bool,
    /// The peer's close_notify stands behind what is left to read.
    ended: bool,
    /// It has turned out to be a tunnel of stanzas.
    stanzas: bool,
    closed: Option<Closed>,
    /// The driver has been signalled to look here and has not looked yet.
    signalled: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// What a handle does next.
pub(crate) enum Turn<T> {
    Done(T),
    /// Done, and the driver has to be signalled.
    Signal(T),
}

impl ByteChannel {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn usable(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.stanzas {
            return Err(unsupported());
        }
        Ok(state)
    }

    /// Whether the driver has to be signalled: not if it has been already.
    fn signal(state: &mut State) -> bool {
        !std::mem::replace(&mut state.signalled, true)
    }

    // The handle's side.

    pub(crate) fn poll_read(
        &self,
        cx: &Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Turn<()>>> {
        let mut state = self.usable()?;
        if state.inbound.is_empty() {
            return match &state.closed {
                _ if state.ended => Poll::Ready(Ok(Turn::Done(()))),
                Some(closed) => Poll::Ready(Err(read_error(closed))),
                None => {
                    state.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            };
        }
        while let Some(first) = state.inbound.front_mut()
            && buffer.remaining() > 0
        {
            let length = first.len().min(buffer.remaining());
            buffer.put_slice(&first.split_to(length));
            let empty = first.is_empty();
            state.inbound_bytes = state.inbound_bytes.saturating_sub(length);
            if empty {
                state.inbound.pop_front();
            }
        }
        // At half, so that the driver is not woken for every byte.
        let room = state.more && state.inbound_bytes <= READ / 2;
        Poll::Ready(Ok(if room && Self::signal(&mut state) {
            Turn::Signal(())
        } else {
            Turn::Done(())
        }))
    }

    pub(crate) fn poll_write(
        &self,
        cx: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<Turn<usize>>> {
        let mut state = self.usable()?;
        if let Some(closed) = &state.closed {
            return Poll::Ready(Err(write_error(closed)));
        }
        if state.finishing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WRITE.saturating_sub(state.outbound_bytes);
        let taken = bytes.get(..room).unwrap_or(bytes);
        if taken.is_empty() && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.outbound.extend_from_slice(taken);
        state.outbound_bytes = state.outbound_bytes.saturating_add(taken.len());
        let tell = !taken.is_empty() && Self::signal(&mut state);
        Poll::Ready(Ok(if tell {
            Turn::Signal(taken.len())
        } else {
            Turn::Done(taken.len())
        }))
    }

    /// Until the session has taken all that was written.
    pub(crate) fn poll_flush(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.usable()?;
        if state.outbound_bytes == 0 {
            return Poll::Ready(Ok(()));
        }
        if let Some(closed) = &state.closed {
            return Poll::Ready(Err(write_error(closed)));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The last byte is written: true if the driver has to be signalled.
    pub(crate) fn finish(&self) -> bool {
        let mut state = self.state();
        let first = !std::mem::replace(&mut state.finishing, true);
        first && state.closed.is_none() && Self::signal(&mut state)
    }

    /// Until close_notify stands behind the last byte.
    pub(crate) fn poll_finished(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.usable()?;
        if state.finished {
            return Poll::Ready(Ok(()));
        }
        if let Some(closed) = &state.closed {
            return Poll::Ready(Err(write_error(closed)));
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    // The driver's side.

    /// The driver looks here now, and can be signalled again.
    pub(crate) fn look(&self) {
        self.state().signalled = false;
    }

    /// Takes what was written since.
    pub(crate) fn take(&self) -> BytesMut {
        std::mem::take(&mut self.state().outbound)
    }

    /// The session has taken so many bytes.
    pub(crate) fn taken(&self, bytes: usize) {
        let mut state = self.state();
        state.outbound_bytes = state.outbound_bytes.saturating_sub(bytes);
        wake(state.writer.take(), state);
    }

    /// How many bytes may be given. After 0, the reader signals when it has made room.
    pub(crate) fn room(&self) -> usize {
        let mut state = self.state();
        let limit = if state.unlimited { usize::MAX } else { READ };
        let room = limit.saturating_sub(state.inbound_bytes);
        state.more = room == 0;
        room
    }

    /// From now on everything may be given.
    pub(crate) fn lift_limit(&self) {
        self.state().unlimited = true;
    }

    pub(crate) fn give(&self, bytes: Bytes) {
        let mut state = self.state();
        state.inbound_bytes = state.inbound_bytes.saturating_add(bytes.len());
        state.inbound.push_back(bytes);
        wake(state.reader.take(), state);
    }

    pub(crate) fn is_finishing(&self) -> bool {
        self.state().finishing
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.state().finished
    }

    /// Our direction has ended: nothing is written any more, and close_notify has been queued.
    pub(crate) fn set_finished(&self) {
        let mut state = self.state();
        (state.finishing, state.finished) = (true, true);
        wake(state.writer.take(), state);
    }

    /// It has turned out to be a tunnel of stanzas.
    pub(crate) fn set_stanzas(&self) {
        let mut state = self.state();
        state.stanzas = true;
        wake_all(state);
    }

    pub(crate) fn has_peer_finished(&self) -> bool {
        self.state().ended
    }

    /// The peer's direction has ended in order.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        wake(state.reader.take(), state);
    }

    pub(crate) fn close(&self, closed: &Closed) {
        let mut state = self.state();
        state.ended |= closed.clean;
        state.closed = Some(closed.clone());
        wake_all(state);
    }
}

/// Wakes without the lock.
fn wake(waker: Option<Waker>, state: MutexGuard<'_, State>) {
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn wake_all(mut state: MutexGuard<'_, State>) {
    let wakers = [state.reader.take(), state.writer.take()];
    drop(state);
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}

/// A tunnel of stanzas is not read and written like this.
pub(crate) fn unsupported() -> io::Error {
    let why = "the tunnel carries stanzas, not bytes";
    io::Error::new(io::ErrorKind::Unsupported, why)
}

impl std::fmt::Debug for ByteChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("ByteChannel")
            .field("inbound", &state.inbound_bytes)
            .field("outbound", &state.outbound_bytes)
            .finish_non_exhaustive()
    }
}

/// Bytes that wait for the application to read them, of one byte tunnel.
const READ: usize = 262_144;

/// Bytes that wait for the session to take them, of one byte tunnel.
const WRITE: usize = 262_144;
