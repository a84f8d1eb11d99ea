//! Frames on their way to the tunnel, gathered: the multiplexer flushes after each of them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};

/// Whether what is written waits for more.
#[derive(Debug, Clone, Default)]
pub(super) struct Hold(Arc<AtomicBool>);

impl Hold {
    pub(super) fn set(&self, holds: bool) {
        // Both ends are in one task.
        self.0.store(holds, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream with buffers. While it holds, flushing does nothing; a full buffer is sent all the same.
#[derive(Debug)]
pub(super) struct Gather<S> {
    stream: BufReader<S>,
    out: Vec<u8>,
    /// The part of `out` that is sent.
    sent: usize,
    hold: Hold,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gather<S> {
    pub(super) fn new(stream: S, hold: Hold) -> Self {
        Self {
            stream: BufReader::with_capacity(BUFFER, stream),
            out: Vec::with_capacity(BUFFER),
            sent: 0,
            hold,
        }
    }

    /// Sends what was gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.out.get(self.sent..) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.out.len() >= BUFFER {
            ready!(self.poll_send(cx))?;
        }
        let room = BUFFER.saturating_sub(self.out.len());
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.out.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hold.is_set() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Bytes between the multiplexer and the tunnel, each way: the header of a frame goes with its payload.
const BUFFER: usize = 65_536;
