//! The task that moves stanzas.

use std::sync::Arc;

use tokio::sync::mpsc;
use xtls_stanza::{Condition, Content, Envelope, ErrorType, StanzaError};

use super::state::{Shared, now};

/// Moves stanzas between the mux and its channels; see [`endpoint`](super::endpoint).
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    incoming: mpsc::Receiver<Envelope>,
    outgoing: mpsc::Sender<Envelope>,
    others: Option<mpsc::Sender<Envelope>>,
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        incoming: mpsc::Receiver<Envelope>,
        outgoing: mpsc::Sender<Envelope>,
    ) -> Self {
        Self {
            shared,
            incoming,
            outgoing,
            others: None,
        }
    }

    /// Passes on what is not for the mux. Without this, and while the channel is full, requests of
    /// others are answered `service-unavailable` and the rest is dropped: a slow reader of
    /// foreign stanzas must not hold up the streams.
    #[must_use]
    pub fn others(mut self, others: mpsc::Sender<Envelope>) -> Self {
        self.others = Some(others);
        self
    }

    /// Runs until the incoming channel ends or the outgoing one closes, which ends all streams
    /// with [`Why::LinkLost`](crate::Why); or until all handles are dropped and all streams have
    /// ended.
    ///
    /// Not cancel-safe: if the future is dropped before it is ready, all streams end.
    pub async fn run(mut self) {
        let mut unanswered: Option<Envelope> = None;
        let mut may_send = true;
        loop {
            let deadline = {
                let mut state = self.shared.lock();
                state.dispatch();
                if state.is_idle() && unanswered.is_none() && !may_send {
                    break;
                }
                state.mux.poll_timeout().map(|deadline| deadline.at)
            };
            tokio::select! {
                room = self.outgoing.reserve(), if may_send || unanswered.is_some() => {
                    let Ok(room) = room else { break };
                    if let Some(refusal) = unanswered.take() {
                        room.send(refusal);
                        continue;
                    }
                    let mut state = self.shared.lock();
                    match state.mux.poll_transmit(now()) {
                        Some(envelope) => {
                            room.send(envelope);
                            state.wake_writers();
                        }
                        None => may_send = false,
                    }
                }
                envelope = self.incoming.recv(), if unanswered.is_none() => {
                    let Some(envelope) = envelope else { break };
                    let foreign = self.shared.lock().mux.handle(now(), envelope);
                    unanswered = foreign.and_then(|envelope| self.pass_on(envelope));
                    may_send = true;
                }
                () = self.shared.woken() => may_send = true,
                () = sleep_until(deadline) => {
                    self.shared.lock().mux.handle_timeout(now());
                    may_send = true;
                }
            }
        }
    }

    /// Passes on what is not ours; returns the refusal of a request that no one takes.
    fn pass_on(&self, envelope: Envelope) -> Option<Envelope> {
        if let Some(Ok(room)) = self.others.as_ref().map(mpsc::Sender::try_reserve) {
            room.send(envelope);
            return None;
        }
        match envelope.content {
            Content::Get(_) | Content::Set(_) => {
                let error = StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable);
                Some(envelope.error(error))
            }
            Content::Result(_)
            | Content::Error(_)
            | Content::Message { .. }
            | Content::Presence { .. } => None,
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.lock().end();
    }
}

async fn sleep_until(deadline: Option<std::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
