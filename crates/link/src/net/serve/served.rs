//! A client of this machine that has logged in.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Sleep, sleep};
use xtls_stanza::Address;

use crate::net::plain::Plain;
use crate::serve::{ServeError, Serving, ServingEvent};

/// A client of this machine that has logged in. Made by [`Arrival::log_in`](crate::Arrival::log_in). Stanzas pass as they are, octet
/// for octet, and nothing that they say about their sender is checked.
///
/// It is polled as a [`Link`](crate::Link) is. When it is dropped, the client is told good-bye in the background.
pub struct Served {
    address: Address,
    state: State,
    /// Stanzas that were read before anybody asked for them, and their bytes.
    ahead: VecDeque<Bytes>,
    held: usize,
    /// Who waits for room.
    ready: Option<Waker>,
    closing: Option<Pin<Box<Sleep>>>,
}

enum State {
    Open(Box<Plain<Serving>>),
    Ended(Result<(), ServeError>),
}

impl Served {
    pub(super) fn new(plain: Plain<Serving>, address: Address) -> Self {
        Self {
            address,
            state: State::Open(Box::new(plain)),
            ahead: VecDeque::new(),
            held: 0,
            ready: None,
            closing: None,
        }
    }

    /// The client's full address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Waits for the next stanza. `None`: the client has closed the stream.
    ///
    /// # Errors
    /// The stream has ended otherwise. Every later call returns the same error.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ServeError>> {
        loop {
            if let Some(stanza) = self.ahead.pop_front() {
                self.held = self.held.saturating_sub(stanza.len());
                return Poll::Ready(Ok(Some(stanza)));
            }
            if let State::Ended(end) = &self.state {
                return Poll::Ready(end.clone().map(|()| None));
            }
            ready!(self.poll_more(cx));
        }
    }

    /// Goes on with whatever comes next, which may be a stanza or the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Open(plain) = &mut self.state else {
            return Poll::Ready(());
        };
        match ready!(plain.poll_event(cx)) {
            Ok(ServingEvent::Stanza(octets)) => {
                self.held = self.held.saturating_add(octets.len());
                self.ahead.push_back(octets);
            }
            Ok(ServingEvent::Closed) => self.ended(Ok(())),
            Ok(ServingEvent::Login(_) | ServingEvent::Bind(_)) => {}
            Err(why) => self.ended(Err(why)),
        }
        self.wake_if_room();
        Poll::Ready(())
    }

    /// What the client is told at the end leaves in the background.
    fn ended(&mut self, end: Result<(), ServeError>) {
        let ended = State::Ended(end);
        if let State::Open(plain) = std::mem::replace(&mut self.state, ended)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(plain.take_leave());
        }
        self.wake_if_room();
    }

    /// Waits for room for one stanza, which [`start_send`](Self::start_send) takes.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        if let State::Open(plain) = &mut self.state
            && !plain.machine().has_room()
            && let Poll::Ready(Err(why)) = plain.poll_write(cx)
        {
            self.ended(Err(why));
        }
        match &self.state {
            State::Ended(end) => Poll::Ready(Err(over(end))),
            State::Open(plain) if plain.machine().has_room() => Poll::Ready(Ok(())),
            State::Open(_) => {
                self.ready = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn wake_if_room(&mut self) {
        let is_room = match &self.state {
            State::Open(plain) => plain.machine().has_room(),
            // It is told by the next call.
            State::Ended(_) => true,
        };
        if is_room && let Some(waker) = self.ready.take() {
            waker.wake();
        }
    }

    /// Queues the octets of one stanza, exactly one element in `jabber:client`, once after each [`poll_ready`](Self::poll_ready). They
    /// are passed on as they are.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn start_send(&mut self, stanza: &[u8]) -> Result<(), ServeError> {
        let write = |out: &mut Vec<u8>| out.extend_from_slice(stanza);
        match &mut self.state {
            State::Ended(end) => Err(over(end)),
            State::Open(plain) => {
                let sent = plain.machine_mut().send_with(write);
                sent.map_err(|_| ServeError::Closed)
            }
        }
    }

    /// Passes on what is queued, as far as the network takes it.
    ///
    /// # Errors
    /// The stream has ended.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        let written = match &mut self.state {
            State::Ended(end) => return Poll::Ready(Err(over(end))),
            State::Open(plain) => ready!(plain.poll_write(cx)),
        };
        match &written {
            Ok(()) => self.wake_if_room(),
            Err(why) => self.ended(Err(why.clone())),
        }
        Poll::Ready(written)
    }

    /// Sends what is queued, and closes the stream. It finishes within seconds, whatever the client does. After the first call, call
    /// nothing else.
    ///
    /// # Errors
    /// The stream had ended otherwise before, or ended before everything queued was sent.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        let plain = match &mut self.state {
            State::Ended(end) => return Poll::Ready(end.clone()),
            State::Open(plain) => plain,
        };
        let closing = self.closing.get_or_insert_with(|| Box::pin(sleep(CLOSING)));
        let late = closing.as_mut().poll(cx).is_ready();
        let end = match plain.poll_closed(cx) {
            Poll::Ready(end) => end,
            // All was sent, and who does not answer a good-bye has had it all the same.
            Poll::Pending if late && plain.has_said_good_bye() => Ok(()),
            Poll::Pending if late => Err(ServeError::Broken(
                "the client took nothing more before the end".into(),
            )),
            Poll::Pending => return Poll::Pending,
        };
        self.state = State::Ended(end.clone());
        Poll::Ready(end)
    }

    /// Returns the next stanza, and passes on what is queued meanwhile. `None`: the client has closed the stream.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing is lost.
    ///
    /// # Errors
    /// The stream has ended otherwise. Every later call returns the same error.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ServeError> {
        poll_fn(|cx| {
            let _ = self.poll_flush(cx);
            self.poll_next(cx)
        })
        .await
    }

    /// Queues the octets of one stanza, waiting for room. See [`start_send`](Self::start_send). What comes meanwhile is kept for
    /// [`next`](Self::next), up to 1 MiB.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, the stanza was not sent.
    ///
    /// # Errors
    /// The stream has ended.
    pub async fn send(&mut self, stanza: &[u8]) -> Result<(), ServeError> {
        poll_fn(|cx| {
            while self.poll_ready(cx)?.is_pending() {
                // A client that waits for us to read would wait for ever.
                if self.held >= AHEAD || self.poll_more(cx).is_pending() {
                    return Poll::Pending;
                }
            }
            Poll::Ready(Ok::<_, ServeError>(()))
        })
        .await?;
        self.start_send(stanza)?;
        // What does not leave now goes with the next call.
        poll_fn(|cx| {
            let _ = self.poll_flush(cx);
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Ends the stream behind what was sent, with a condition (RFC 6120 §4.9.3): `conflict` where another client takes the address,
    /// `system-shutdown`, or whatever the server beyond has said. The client is told in the background.
    pub fn end(mut self, condition: &str) {
        if let State::Open(plain) = &mut self.state {
            plain.machine_mut().end(condition);
            self.ended(Ok(()));
        }
    }

    /// Sends what is queued, and closes the stream. It finishes within seconds, whatever the client does.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, the client is told good-bye in the background.
    ///
    /// # Errors
    /// The stream had ended otherwise before, or ended before everything queued was sent.
    pub async fn close(mut self) -> Result<(), ServeError> {
        poll_fn(|cx| self.poll_close(cx)).await
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let ended = State::Ended(Ok(()));
        if let State::Open(plain) = std::mem::replace(&mut self.state, ended)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(plain.good_bye());
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("address", &self.address)
            .field("open", &matches!(self.state, State::Open(_)))
            .finish_non_exhaustive()
    }
}

/// Why nothing is sent any more.
fn over(end: &Result<(), ServeError>) -> ServeError {
    match end {
        Ok(()) => ServeError::Closed,
        Err(why) => why.clone(),
    }
}

/// Bytes of stanzas that are read while somebody waits for room to send, and asks for none.
const AHEAD: usize = 1024 * 1024;

/// How long a client whose stream is closed may take to read what is queued, and to answer.
const CLOSING: Duration = Duration::from_secs(10);
