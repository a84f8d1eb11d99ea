//! Streams that peers open.

use std::future::poll_fn;
#[cfg(feature = "stream")]
use std::pin::Pin;
use std::task::{Context, Poll};

use xtls_stanza::ibb::Open;
use xtls_stanza::{Address, Condition, ErrorType, Payload, StanzaError};

use super::state::{Handle, Slot, now};
use super::stream::Stream;
use crate::event::StreamId;

/// Gives the streams that peers ask for. Dropping it refuses all further ones as if bytestreams
/// were not known here.
#[derive(Debug)]
pub struct Listener {
    handle: Handle,
}

impl Listener {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// The next one; `None` when the driver has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Incoming> {
        poll_fn(|cx| self.poll_next_incoming(cx)).await
    }

    /// As [`next`](Self::next), polled.
    pub fn poll_next_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        let mut state = self.handle.lock();
        if let Some((id, from, open)) = state.incoming.pop_front() {
            state.slots.insert(id, Slot::default());
            drop(state);
            let handle = self.handle.clone();
            return Poll::Ready(Some(Incoming {
                handle,
                id,
                from,
                open,
                decided: false,
            }));
        }
        if state.ended {
            return Poll::Ready(None);
        }
        state.listener = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The same streams as [`next`](Self::next) gives (feature `stream`).
#[cfg(feature = "stream")]
impl futures_core::Stream for Listener {
    type Item = Incoming;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.get_mut().poll_next_incoming(cx)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.handle.lock();
        state.listening = false;
        for (id, ..) in std::mem::take(&mut state.incoming) {
            let error = StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable);
            // One that has just expired is answered.
            let _gone = state.mux.stream(now(), id).refuse(error);
        }
    }
}

/// A stream that a peer asks for. Dropping it refuses it.
#[derive(Debug)]
pub struct Incoming {
    handle: Handle,
    id: StreamId,
    from: Address,
    open: Open,
    decided: bool,
}

impl Incoming {
    /// Who asks.
    #[must_use]
    pub fn from(&self) -> &Address {
        &self.from
    }

    /// What is asked for.
    #[must_use]
    pub fn open(&self) -> &Open {
        &self.open
    }

    /// Accepts it; `answer` goes into the result.
    ///
    /// # Errors
    ///
    /// `NotConnected`, if the peer or the time limit was faster.
    pub fn accept(mut self, answer: Option<Payload>) -> std::io::Result<Stream> {
        self.decided = true;
        let accepted = self.handle.lock().mux.stream(now(), self.id).accept(answer);
        let stream = Stream::new(self.handle.clone(), self.id);
        self.handle.wake_driver();
        accepted.map_err(|gone| std::io::Error::new(std::io::ErrorKind::NotConnected, gone))?;
        Ok(stream)
    }

    /// Refuses it.
    pub fn refuse(mut self, with: StanzaError) {
        self.decide(with);
    }

    fn decide(&mut self, with: StanzaError) {
        if !std::mem::replace(&mut self.decided, true) {
            let mut state = self.handle.lock();
            // One that has just expired is answered.
            let _gone = state.mux.stream(now(), self.id).refuse(with);
            state.slots.remove(&self.id);
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.decide(StanzaError::new(
            ErrorType::Cancel,
            Condition::NotAcceptable,
        ));
    }
}
