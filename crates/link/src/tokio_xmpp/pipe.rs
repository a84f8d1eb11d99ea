//! What tokio-xmpp reads from and writes to.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

use super::align::Align;
use super::hold::Hold;
use super::screen::{Screen, Sighting};

/// Taken from the TLS layer at a time: as much as one record can hold.
const READ: usize = 16 * 1024;

/// Held back until a flush; beyond it the oldest part goes first. A multiple of what the server reads at a time.
const BATCH: usize = 128 * 1024;

/// The encrypted stream with the [`Screen`] on its reading side, and one write a batch on its writing side.
pub(super) struct Pipe<T> {
    io: T,
    screen: Screen,
    /// Bounded by what is pushed into the screen: one [`READ`] at a time, and only once tokio-xmpp has read the last.
    sightings: mpsc::UnboundedSender<Sighting>,
    scratch: Box<[u8]>,
    inbound: BytesMut,
    outbound: BytesMut,
    /// `None`: nothing is filled.
    align: Option<Align>,
    hold: Hold,
    /// Fires when what is held back is due. There only while something is.
    timer: Option<Pin<Box<Sleep>>>,
    /// What was held back is leaving.
    flushing: bool,
    /// Bytes that were written since the last flush.
    since_flush: usize,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Pipe<T> {
    pub(super) fn new(
        io: T,
        screen: Screen,
        sightings: mpsc::UnboundedSender<Sighting>,
        align: Option<Align>,
    ) -> Self {
        Self {
            io,
            screen,
            sightings,
            scratch: vec![0; READ].into(),
            inbound: BytesMut::new(),
            outbound: BytesMut::new(),
            align,
            hold: Hold::default(),
            timer: None,
            flushing: false,
            since_flush: 0,
        }
    }

    /// Writes what is there in whole batches, and the rest of it if `all`. A batch goes only when the last has left, so
    /// that TLS takes it whole: what it took in parts would make records of any length.
    fn poll_drain(&mut self, cx: &mut Context<'_>, all: bool) -> Poll<io::Result<()>> {
        while self.outbound.len() >= BATCH || all && !self.outbound.is_empty() {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            let batch = self.outbound.get(..BATCH).unwrap_or(&self.outbound);
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, batch))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outbound.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Fills up what leaves at once, of which `len` bytes are something.
    fn fill(&mut self, now: Instant, len: usize) {
        if let Some(align) = self.align.as_mut().filter(|_| len > 0) {
            let fill = align.fill(now, len);
            self.outbound.resize(self.outbound.len() + fill, b' ');
        }
    }

    /// Whether what is held back is due. Otherwise the task is woken when it is.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(due) = self.hold.due() else {
            self.timer = None;
            return false;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx).is_ready()
    }

    /// Sends what is held back once it is due, unless tokio-xmpp is in the middle of something: its flush does the same.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.since_flush > 0 {
            return Ok(());
        }
        if self.is_due(cx) {
            let (now, before) = (Instant::now(), self.outbound.len());
            self.hold.release(now, &mut self.outbound);
            self.fill(now, self.outbound.len() - before);
            self.flushing = true;
        }
        if !self.flushing {
            return Ok(());
        }
        // Nobody else may come back for it.
        if let Poll::Ready(sent) = self.poll_drain(cx, true) {
            sent?;
            if let Poll::Ready(flushed) = Pin::new(&mut self.io).poll_flush(cx) {
                flushed?;
                self.flushing = false;
            }
        }
        Ok(())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncBufRead for Pipe<T> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        this.poll_held(cx)?;
        while this.inbound.is_empty() {
            let mut buf = ReadBuf::new(&mut this.scratch);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(&[]));
            }
            let sightings = &this.sightings;
            let see = |sighting| {
                // Nobody listens any more: the link is being put down.
                let _ = sightings.send(sighting);
            };
            this.screen
                .push(buf.filled(), &mut this.inbound, see)
                .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?;
        }
        Poll::Ready(Ok(&this.inbound))
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().inbound.advance(amount);
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Pipe<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes = ready!(self.as_mut().poll_fill_buf(cx))?;
        let amount = bytes.len().min(buf.remaining());
        buf.put_slice(bytes.get(..amount).unwrap_or_default());
        self.consume(amount);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Pipe<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.outbound.len() >= BATCH {
            ready!(this.poll_drain(cx, false))?;
        }
        this.outbound.extend_from_slice(bytes);
        this.since_flush += bytes.len();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let now = Instant::now();
        let len = std::mem::take(&mut this.since_flush);
        let before = this.outbound.len();
        if len > 0 {
            // Of what is larger than a batch a part has left.
            let start = before.saturating_sub(len);
            this.hold.pass(now, &mut this.outbound, start);
        }
        let len = (len + this.outbound.len()).saturating_sub(before);
        this.fill(now, len);
        // It reads before it writes, and would not be woken for what is held back from here on.
        if this.is_due(cx) {
            cx.waker().wake_by_ref();
        }
        ready!(this.poll_drain(cx, true))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(cx, true))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
