//! One connection that stands.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// A connection, and what waits to be written to it. One that is idle holds no buffer.
pub(super) struct Pipe {
    socket: TcpStream,
    /// What holds the end of a burst until it is acknowledged, if anybody does.
    haste: Option<Haste>,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// The queue was more than half full: its owner is told when it no longer is.
    crowded: bool,
    /// Writing has failed. What has come before that is still read.
    broken: Option<io::Error>,
}

/// What has happened on a pipe.
pub(super) enum Happened {
    /// There is room again.
    Ready,
    Bytes(Bytes),
    Ended(Option<io::Error>),
}

/// More is written than there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pipe has no room for so much")]
pub(crate) struct NoRoom;

impl Pipe {
    pub(super) fn new(socket: TcpStream, relayed: bool) -> Self {
        Self {
            socket,
            haste: relayed.then(Haste::default),
            queue: VecDeque::new(),
            queued: 0,
            crowded: false,
            broken: None,
        }
    }

    pub(super) fn room(&self) -> usize {
        MAX_QUEUED.saturating_sub(self.queued)
    }

    pub(super) fn write(&mut self, bytes: Bytes) -> Result<(), NoRoom> {
        if bytes.len() > self.room() {
            return Err(NoRoom);
        }
        if self.broken.is_none() && !bytes.is_empty() {
            self.queued += bytes.len();
            self.crowded |= self.queued > MAX_QUEUED / 2;
            self.queue.push_back(bytes);
        }
        Ok(())
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<Happened> {
        // Pending or not, it is read.
        let _ = self.poll_flush(cx);
        if let Some(haste) = &mut self.haste {
            haste.poll(cx, &self.socket);
        }
        if self.crowded && self.queued <= MAX_QUEUED / 2 {
            self.crowded = false;
            return Poll::Ready(Happened::Ready);
        }
        self.poll_read(cx, buffer)
    }

    /// Ends it: what is queued leaves first, and what still comes is ignored, as a socket that is let go with unread bytes would
    /// take back what it has sent.
    pub(super) async fn leave(mut self: Box<Self>) {
        let left = async {
            poll_fn(|cx| self.poll_flush(cx)).await;
            if self.broken.is_none() {
                poll_fn(|cx| self.poll_end(cx)).await;
            }
        };
        let left = timeout(LEAVING, left).await;
        if left.is_err() && !self.queue.is_empty() {
            // Nobody may take what has left for all there was.
            let _ = self.socket.set_zero_linger();
        }
    }

    /// Writes what is queued, as far as it goes. A failure shows in `broken`.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.queue.is_empty() {
            let mut slices = [IoSlice::new(b""); MAX_SLICES];
            let mut count = 0;
            for (slice, bytes) in slices.iter_mut().zip(&self.queue) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, slices));
            match written {
                Ok(0) => self.fail(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(why) => self.fail(why),
            }
        }
        Poll::Ready(())
    }

    fn advance(&mut self, mut written: usize) {
        self.queued = self.queued.saturating_sub(written);
        while let Some(first) = self.queue.front_mut() {
            if first.len() > written {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.queue.pop_front();
        }
        self.queue = VecDeque::new();
    }

    fn fail(&mut self, why: io::Error) {
        self.queue = VecDeque::new();
        self.queued = 0;
        self.crowded = false;
        self.broken = Some(why);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut Buffer) -> Poll<Happened> {
        // There is no buffer before there is something to be read.
        let read = match ready!(self.socket.poll_read_ready(cx)) {
            // What does not fill the buffer has emptied the socket, which is not asked again then.
            Ok(()) => {
                let mut room = buffer.room().limit(MAX_READ);
                ready!(pin!(self.socket.read_buf(&mut room)).poll(cx))
            }
            Err(why) => Err(why),
        };
        Poll::Ready(match read {
            Ok(0) => Happened::Ended(self.broken.take()),
            Ok(_) => {
                if let Some(haste) = &mut self.haste {
                    haste.read(&self.socket);
                }
                Happened::Bytes(buffer.take())
            }
            Err(why) => Happened::Ended(Some(self.broken.take().unwrap_or(why))),
        })
    }

    /// Says the end, and waits for the other side's.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut socket = Pin::new(&mut self.socket);
        if ready!(socket.as_mut().poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        let mut ignored = [0; IGNORED];
        loop {
            let mut buffer = ReadBuf::new(&mut ignored);
            let read = ready!(socket.as_mut().poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

/// Relays leave Nagle's algorithm on, and then hold the rest of a burst until we have acknowledged what came before. The kernel would
/// wait with that for 40 ms if we have written anything, so it is asked to do so at once: for the first piece, and then once in a
/// [`HASTE`], as in the middle of much each acknowledgement costs both sides more than it helps.
#[derive(Default)]
struct Haste {
    /// When more is acknowledged, if more has come.
    next: Option<Pin<Box<Sleep>>>,
    more: bool,
}

impl Haste {
    /// Something was read.
    fn read(&mut self, socket: &TcpStream) {
        if self.next.is_some() {
            self.more = true;
        } else {
            acknowledge(socket);
            self.next = Some(Box::pin(sleep(HASTE)));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, socket: &TcpStream) {
        while let Some(next) = &mut self.next
            && next.as_mut().poll(cx).is_ready()
        {
            if std::mem::take(&mut self.more) {
                acknowledge(socket);
                next.as_mut().reset(Instant::now() + HASTE);
            } else {
                self.next = None;
            }
        }
    }
}

/// Acknowledges what has come. A refusal costs speed only.
#[cfg(target_os = "linux")]
fn acknowledge(socket: &TcpStream) {
    let _ = rustix::net::sockopt::set_tcp_quickack(socket, true);
}

#[cfg(not(target_os = "linux"))]
fn acknowledge(_: &TcpStream) {}

/// What is read into, by one pipe after another.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: BytesMut,
    /// Since the last rest.
    used: bool,
}

impl Buffer {
    fn room(&mut self) -> &mut BytesMut {
        if self.bytes.capacity() < LEAST_ROOM {
            // What was here before is used again if nobody holds it any more.
            self.bytes.reserve(MAX_READ);
        }
        &mut self.bytes
    }

    fn take(&mut self) -> Bytes {
        self.used = true;
        self.bytes.split().freeze()
    }

    /// Nothing is to be read. The second time in a row, the memory is given back.
    pub(super) fn rest(&mut self) {
        if !std::mem::take(&mut self.used) {
            self.bytes = BytesMut::new();
        }
    }
}

/// Bytes that wait to be written to one pipe.
const MAX_QUEUED: usize = 262_144;

/// Pieces written in one go.
const MAX_SLICES: usize = 64;

/// Bytes read in one go.
pub(super) const MAX_READ: usize = 65_536;

/// Bytes that a read has room for at least.
const LEAST_ROOM: usize = 16_384;

/// Bytes of a pipe that leaves, ignored in one go.
const IGNORED: usize = 4_096;

/// How long what comes from a relay is unacknowledged at most.
const HASTE: Duration = Duration::from_millis(2);

/// How long a pipe may take to leave.
pub(super) const LEAVING: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_given_back_when_nothing_was_read_twice() {
        let mut buffer = Buffer::default();
        buffer.room().put_slice(b"hello");
        assert_eq!(buffer.take(), "hello");
        buffer.rest();
        assert!(buffer.bytes.capacity() > 0);
        buffer.rest();
        assert_eq!(buffer.bytes.capacity(), 0);
    }

    #[test]
    fn what_was_taken_and_dropped_is_read_into_again() {
        let mut buffer = Buffer::default();
        buffer.room().put_bytes(1, MAX_READ);
        let first = buffer.take();
        let place = first.as_ptr();
        drop(first);
        buffer.room().put_bytes(2, MAX_READ);
        assert_eq!(buffer.take().as_ptr(), place);
    }
}
