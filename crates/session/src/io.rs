//! A session over any `AsyncRead + AsyncWrite` (feature `tokio`).
//!
//! [`Connection`] moves the bytes of a [`Session`] and keeps its deadlines. One task owns it, and waits for its events beside
//! whatever else the application waits for:
//!
//! ```no_run
//! use tokio::io::{AsyncRead, AsyncWrite};
//! use tokio::sync::mpsc;
//! use xtls_session::{Close, Event, Introduction, SendError, Verdict, io::Connection};
//! use xtls_stanza::Stanza;
//!
//! async fn talk<T: AsyncRead + AsyncWrite + Unpin>(
//!     mut connection: Connection<T>,
//!     mut lines: mpsc::Receiver<Stanza>,
//!     judge: impl Fn(&Introduction) -> Verdict,       // a person compares fingerprints
//! ) -> Result<Option<Close>, Box<dyn std::error::Error>> {
//!     let (mut open, mut room) = (false, true);
//!     let mut waiting = None;
//!     loop {
//!         if let Some(stanza) = waiting.take_if(|_| open && room) {
//!             match connection.session_mut().send(&stanza) {
//!                 Err(SendError::Full) => (room, waiting) = (false, Some(stanza)),
//!                 sent => sent?,
//!             }
//!         }
//!         tokio::select! {
//!             event = connection.next() => match event {
//!                 Some(Event::Judge(who)) => connection.judge(who.fingerprint, judge(&who))?,
//!                 Some(Event::Ready | Event::Established(_)) => open = true,
//!                 Some(Event::Writable) => room = true,
//!                 Some(Event::Stanza(stanza)) => println!("{stanza:?}"),
//!                 Some(Event::PeerFinished) => connection.took(),   // it is safe: the peer waits to hear that
//!                 Some(Event::Closed(close)) => { connection.next().await; return Ok(Some(close)) }
//!                 Some(_) => {}
//!                 None => return Ok(None),
//!             },
//!             stanza = lines.recv(), if waiting.is_none() => match stanza {
//!                 Some(stanza) => waiting = Some(stanza),
//!                 None => connection.finish(),
//!             },
//!         }
//!     }
//! }
//! ```

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};
use xtls_stanza::Stanza;
use xtls_tls::Fingerprint;

use crate::event::{Event, JudgeError, SendError, Verdict};
use crate::session::Session;

/// A [`Session`] on a transport. Bytes move, and deadlines pass, while [`next`](Self::next), [`send`](Self::send) or
/// [`flush`](Self::flush) is polled: keep one of them polled.
///
/// Back-pressure is the session's: while events wait to be taken, nothing is read from the transport.
/// What the session holds for the transport is limited by [`Config::queue`](crate::Config::queue).
///
/// Dropping it is seen by the peer as a cut.
#[derive(Debug)]
pub struct Connection<T> {
    session: Session,
    transport: T,
    /// Of the session, and not taken by the transport yet.
    wire: Bytes,
    timer: Pin<Box<Sleep>>,
    /// The transport has ended, or failed, in this direction.
    inward: Direction,
    outward: Direction,
    /// Until when the end of the transport is waited for, once [`Event::Closed`] was given.
    closed: Option<Instant>,
    fault: Option<std::io::Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Open,
    Ended,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    /// Puts a session on a transport that both sides have agreed on. Must be called within a runtime.
    pub fn new(session: Session, transport: T) -> Self {
        Self {
            session,
            transport,
            wire: Bytes::new(),
            timer: Box::pin(sleep_until(now().into())),
            inward: Direction::Open,
            outward: Direction::Open,
            closed: None,
            fault: None,
        }
    }

    /// The session: who the peer is, exported keys, counters.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, for everything that has no method here. What this leaves to be sent goes out with the next
    /// [`next`](Self::next), [`send`](Self::send) or [`flush`](Self::flush).
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// What the transport failed with, if it did. The session takes that for its end.
    pub fn fault(&self) -> Option<&std::io::Error> {
        self.fault.as_ref()
    }

    /// The next event. [`Event::Closed`] is the last one; the call after it sends what the peer is to hear of the end, shuts down
    /// the transport, and returns `None`, after 10 s at the latest.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing is lost.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), polled.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(until) = self.closed {
            return self.poll_end(until, cx).map(|()| None);
        }
        loop {
            if let Some(event) = self.session.poll_event() {
                if matches!(event, Event::Closed(_)) {
                    self.closed = now().checked_add(LAST_WORDS);
                }
                return Poll::Ready(Some(event));
            }
            if !self.carry(cx) {
                return Poll::Pending;
            }
        }
    }

    /// Sends a stanza; waits while there is no room. Events are not taken meanwhile: where both ends may send so much at
    /// the same time that neither reads, use [`Session::send`] and wait for [`Event::Writable`] with [`next`](Self::next), as the
    /// example of this [module](self) does.
    ///
    /// Cancel-safe in this sense: if the future is dropped while it waits for room, the stanza is not sent.
    ///
    /// # Errors
    /// The caller's faults, but for [`SendError::Full`], which is what it waits out.
    pub async fn send(&mut self, stanza: &Stanza) -> Result<(), SendError> {
        poll_fn(|cx| {
            loop {
                let sent = self.session.send(stanza);
                if sent == Err(SendError::Full) && self.carry(cx) {
                    continue;
                }
                if sent == Err(SendError::Full) {
                    return Poll::Pending;
                }
                self.carry(cx);
                return Poll::Ready(sent);
            }
        })
        .await
    }

    /// Waits until the transport has taken everything that was sent. Cancel-safe.
    pub async fn flush(&mut self) {
        poll_fn(|cx| {
            while self.carry(cx) {}
            if self.outward == Direction::Open && !(self.wire.is_empty() && self.is_drained()) {
                return Poll::Pending;
            }
            match Pin::new(&mut self.transport).poll_flush(cx) {
                Poll::Ready(flushed) => {
                    self.note(flushed);
                    Poll::Ready(())
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
    }

    /// [`Session::judge`], now.
    ///
    /// # Errors
    /// See [`JudgeError`].
    pub fn judge(&mut self, key: Fingerprint, verdict: Verdict) -> Result<(), JudgeError> {
        self.session.judge(now(), key, verdict)
    }

    /// [`Session::took`], now.
    pub fn took(&mut self) {
        self.session.took(now());
    }

    /// [`Session::finish`], now.
    pub fn finish(&mut self) {
        self.session.finish(now());
    }

    /// [`Session::close`], now.
    pub fn close(&mut self) {
        self.session.close(now());
    }

    fn is_drained(&self) -> bool {
        self.session.peek_wire().is_empty()
    }

    /// Moves bytes both ways and looks at the time, once; whether the session has changed.
    fn carry(&mut self, cx: &mut Context<'_>) -> bool {
        let sent = self.send_wire(cx);
        let received = self.receive_wire(cx);
        let late = self.look_at_time(cx);
        sent || received || late
    }

    /// Whether the session has room that it had not.
    fn send_wire(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        loop {
            if self.wire.is_empty() {
                match self.session.poll_wire(AT_ONCE) {
                    Some(wire) => (self.wire, moved) = (wire, true),
                    None => return moved,
                }
            }
            if self.outward == Direction::Ended {
                self.wire.clear();
                continue;
            }
            match Pin::new(&mut self.transport).poll_write(cx, &self.wire) {
                Poll::Pending => return moved,
                Poll::Ready(Ok(taken)) if taken > 0 => self.wire.advance(taken),
                Poll::Ready(Ok(_)) => self.note(Err(std::io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(error)) => self.note(Err(error)),
            }
        }
    }

    /// The transport takes nothing more once it has failed. Whether that is the end shows in what it still gives.
    fn note(&mut self, outcome: std::io::Result<()>) {
        if let Err(error) = outcome {
            self.outward = Direction::Ended;
            self.fault.get_or_insert(error);
        }
    }

    fn receive_wire(&mut self, cx: &mut Context<'_>) -> bool {
        if self.inward == Direction::Ended || !self.session.wants_wire() {
            return false;
        }
        let mut buffer = [0; READ];
        let mut buffer = ReadBuf::new(&mut buffer);
        match Pin::new(&mut self.transport).poll_read(cx, &mut buffer) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                self.session.handle_wire(now(), buffer.filled());
                return true;
            }
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => {
                self.fault.get_or_insert(error);
            }
        }
        self.inward = Direction::Ended;
        self.session.handle_wire_end(now());
        true
    }

    fn look_at_time(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.session.poll_timeout() else {
            return false;
        };
        let late = self.has_come(deadline.at, cx);
        if late {
            self.session.handle_timeout(now());
        }
        late
    }

    fn has_come(&mut self, moment: Instant, cx: &mut Context<'_>) -> bool {
        if self.timer.deadline() != moment.into() {
            self.timer.as_mut().reset(moment.into());
        }
        self.timer.as_mut().poll(cx).is_ready()
    }

    /// The last words go out, and the transport is shut down. A transport that takes neither is not waited for any longer.
    fn poll_end(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_come(until, cx) {
            return Poll::Ready(());
        }
        self.send_wire(cx);
        if !self.wire.is_empty() {
            return Poll::Pending;
        }
        // That it cannot be shut down changes nothing: the session has ended.
        Pin::new(&mut self.transport).poll_shutdown(cx).map(drop)
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How long a transport may take the last words and its shutdown.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Bytes that are read from the transport at a time.
const READ: usize = 8192;

/// Bytes that the transport is given at a time.
const AT_ONCE: usize = 16_384;
