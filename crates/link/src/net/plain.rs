//! A stream in the clear, on this machine or inside what somebody else encrypts, and what carries it.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWrite as _;
#[cfg(feature = "serve")]
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::io::poll_read_buf;

use super::socket::Socket;

/// A stream without I/O, as what carries it sees it.
pub(super) trait Machine {
    type Event;
    type Error;

    fn buffer(&mut self) -> &mut BytesMut;
    fn heard(&mut self, now: std::time::Instant);
    fn poll_event(&mut self, now: std::time::Instant) -> Result<Option<Self::Event>, Self::Error>;
    fn poll_transmit(&mut self, now: std::time::Instant) -> Option<&[u8]>;
    /// When something is to be done; `blocked`: that needs no writing, which the network does not take.
    fn poll_timeout(&self, blocked: bool) -> Option<std::time::Instant>;
    fn handle_timeout(&mut self, now: std::time::Instant) -> Result<(), Self::Error>;
    fn shrink(&mut self);
    fn close(&mut self, now: std::time::Instant);
    fn is_closed(event: &Self::Event) -> bool;
    /// The connection broke.
    fn broken(why: io::Error) -> Self::Error;
}

/// A stream and what carries it.
pub(super) struct Plain<M> {
    socket: Socket,
    machine: M,
    /// What is being written, and how much of it was.
    batch: Vec<u8>,
    given: usize,
    timer: Option<Pin<Box<Sleep>>>,
    /// The end of the stream is among what is, or was, written.
    closing: bool,
}

impl<M: Machine> Plain<M> {
    pub(super) fn new(socket: Socket, machine: M) -> Self {
        Self {
            socket,
            machine,
            batch: Vec::new(),
            given: 0,
            timer: None,
            closing: false,
        }
    }

    pub(super) fn machine(&self) -> &M {
        &self.machine
    }

    pub(super) fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The next event, and what is due to be written meanwhile.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Result<M::Event, M::Error>> {
        loop {
            let now = Instant::now().into_std();
            if let Some(event) = self.machine.poll_event(now)? {
                return Poll::Ready(Ok(event));
            }
            match self.poll_read(cx) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    // Answers to what was read, as far as they are due.
                    if let Poll::Ready(Err(why)) = self.poll_write(cx) {
                        return Poll::Ready(Err(why));
                    }
                    ready!(self.poll_due(cx))?;
                }
            }
        }
    }

    /// Something is due, and was done. Until then the task is woken in time.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        let Some(due) = self.machine.poll_timeout(!self.is_flushed()) else {
            self.timer = None;
            return Poll::Pending;
        };
        let due = Instant::from_std(due);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        ready!(timer.as_mut().poll(cx));
        self.machine.handle_timeout(Instant::now().into_std())?;
        self.machine.shrink();
        if let Poll::Ready(Err(why)) = self.poll_write(cx) {
            return Poll::Ready(Err(why));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        let buffer = self.machine.buffer();
        buffer.reserve(READ);
        let read = ready!(poll_read_buf(Pin::new(&mut self.socket), cx, buffer));
        if read.map_err(M::broken)? == 0 {
            return Poll::Ready(Err(M::broken(io::ErrorKind::UnexpectedEof.into())));
        }
        self.machine.heard(Instant::now().into_std());
        Poll::Ready(Ok(()))
    }

    /// Passes on what is there. Ready: all of it has left for the network.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        loop {
            while let Some(rest) = self.batch.get(self.given..).filter(|rest| !rest.is_empty()) {
                let written = ready!(Pin::new(&mut self.socket).poll_write(cx, rest));
                let written = written.map_err(M::broken)?;
                if written == 0 {
                    return Poll::Ready(Err(M::broken(io::ErrorKind::WriteZero.into())));
                }
                self.given += written;
            }
            self.batch.clear();
            self.batch.shrink_to(IDLE);
            self.given = 0;
            match self.machine.poll_transmit(Instant::now().into_std()) {
                Some(octets) => self.batch.extend_from_slice(octets),
                None => return Pin::new(&mut self.socket).poll_flush(cx).map_err(M::broken),
            }
        }
    }

    fn is_flushed(&self) -> bool {
        self.given == self.batch.len()
    }

    /// Ends the stream behind all that was sent.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        self.closing = true;
        loop {
            let now = Instant::now().into_std();
            self.machine.close(now);
            if let Poll::Ready(Err(why)) = self.poll_write(cx) {
                return Poll::Ready(Err(why));
            }
            match self.machine.poll_event(now)? {
                Some(event) if M::is_closed(&event) => {
                    let _ = Pin::new(&mut self.socket).poll_shutdown(cx);
                    return Poll::Ready(Ok(()));
                }
                Some(_) => continue,
                None => {}
            }
            match ready!(self.poll_read(cx)) {
                // It hangs up in place of an end tag, and has had everything.
                Err(_) if self.has_said_good_bye() => return Poll::Ready(Ok(())),
                read => read?,
            }
        }
    }

    /// Whether the end of the stream has left, and all before it.
    pub(super) fn has_said_good_bye(&self) -> bool {
        self.closing && self.is_flushed()
    }

    /// Passes on what is there, for a stream that has ended by an error of the other end, which may say more meanwhile. If that was
    /// left unread, the system could take back what was written.
    #[cfg(feature = "serve")]
    pub(super) async fn take_leave(mut self) {
        let mut rest = [0; 4_096];
        let left = async {
            poll_fn(|cx| self.poll_write(cx)).await.ok()?;
            self.socket.shutdown().await.ok()?;
            while self.socket.read(&mut rest).await.ok()? > 0 {}
            Some(())
        };
        let _ = tokio::time::timeout(LEAVING, left).await;
    }

    /// Says good-bye for somebody who does not wait for it.
    pub(super) async fn good_bye(mut self) {
        let said = poll_fn(|cx| self.poll_closed(cx));
        let _ = tokio::time::timeout(LEAVING, said).await;
    }
}

/// Room for what is read at a time.
const READ: usize = 16_384;

/// What the buffer may hold while nothing is written.
const IDLE: usize = 4_096;

/// How long a link that is dropped may take to say good-bye.
const LEAVING: Duration = Duration::from_secs(2);
