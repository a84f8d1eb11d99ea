//! What the handles and the driver share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use tokio::sync::Notify;
use xtls_stanza::ibb::Open;
use xtls_stanza::{Address, Condition, ErrorType, Payload, StanzaError};

use crate::config::OpenOptions;
use crate::error::OpenError;
use crate::event::{Close, Event, StreamId};
use crate::mux::Mux;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Wakes the driver when the mux may have something to send, or a new deadline.
    driver: Notify,
}

impl Shared {
    /// Held for single calls, never across an await. A panic under it leaves a mux that is whole
    /// between calls.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wake(&self) {
        self.driver.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.driver.notified().await;
    }
}

/// Keeps the driver alive; the last one to go lets it end.
#[derive(Debug)]
pub(super) struct Handle(Arc<Shared>);

impl Handle {
    pub(super) fn new(mux: Mux) -> Self {
        let state = State {
            mux,
            handles: 1,
            slots: BTreeMap::new(),
            incoming: VecDeque::new(),
            listening: true,
            listener: None,
            writers: BTreeMap::new(),
            ended: false,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            driver: Notify::new(),
        }))
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        self.0.clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    pub(super) fn wake_driver(&self) {
        self.0.wake();
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.lock().handles += 1;
        Self(self.0.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.lock().handles -= 1;
        self.wake_driver();
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) mux: Mux,
    handles: usize,
    pub(super) slots: BTreeMap<StreamId, Slot>,
    /// Opens that have not been taken from the listener yet; the mux limits how many.
    pub(super) incoming: VecDeque<(StreamId, Address, Open)>,
    pub(super) listening: bool,
    pub(super) listener: Option<Waker>,
    /// Streams whose writing side waits, and for what.
    writers: BTreeMap<StreamId, Wait>,
    /// The driver is gone.
    pub(super) ended: bool,
}

/// What a writing side waits for, unless the stream ends before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wait {
    Room,
    /// Everything has left.
    Flushed,
    /// Everything was acknowledged, and our `<close/>` has left.
    Finished,
}

/// What the handles of one stream wait for, and what has happened to it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The peer accepted our open, with this answer.
    pub(super) opened: Option<Option<Payload>>,
    pub(super) close: Option<Close>,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// The stream has no handle any more.
    pub(super) dropped: bool,
}

impl Slot {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

/// The time of the runtime, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl State {
    pub(super) fn open(&mut self, to: &Address, options: OpenOptions) -> std::io::Result<StreamId> {
        if self.ended {
            return Err(std::io::ErrorKind::NotConnected.into());
        }
        let invalid =
            |error: OpenError| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
        let id = self.mux.open(now(), to, options).map_err(invalid)?;
        self.slots.insert(id, Slot::default());
        Ok(id)
    }

    /// Nothing is left to drive, and there is no handle that could start anything.
    pub(super) fn is_idle(&self) -> bool {
        self.handles == 0 && self.mux.is_empty()
    }

    /// The writing side of this stream waits.
    pub(super) fn await_writer(&mut self, id: StreamId, wait: Wait, waker: Waker) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.writer = Some(waker);
            self.writers.insert(id, wait);
        }
    }

    /// Wakes the writing sides whose wait is over.
    pub(super) fn wake_writers(&mut self) {
        let Self {
            writers,
            mux,
            slots,
            ..
        } = self;
        writers.retain(|id, wait| {
            let over = match wait {
                Wait::Room => mux.room(*id) > 0,
                Wait::Flushed => mux.is_flushed(*id),
                Wait::Finished => mux.is_finished(*id),
            };
            let over = over || mux.ending(*id).is_some() || mux.peer(*id).is_none();
            if over && let Some(waker) = slots.get_mut(id).and_then(|slot| slot.writer.take()) {
                waker.wake();
            }
            !over
        });
    }

    /// Passes the mux's events on to those who wait for them.
    pub(super) fn dispatch(&mut self) {
        let now = now();
        while let Some(event) = self.mux.poll_event() {
            match event {
                Event::Incoming { id, from, open } if self.listening => {
                    self.incoming.push_back((id, from, open));
                    if let Some(waker) = self.listener.take() {
                        waker.wake();
                    }
                }
                Event::Incoming { id, .. } => {
                    let error = StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable);
                    // It cannot be gone: it has come this moment.
                    let _gone = self.mux.stream(now, id).refuse(error);
                }
                Event::Opened { id, answer } => {
                    if let Some(slot) = self.slots.get_mut(&id) {
                        slot.opened = Some(answer);
                        slot.wake();
                    }
                }
                Event::Readable { id } => match self.slots.get_mut(&id) {
                    // As when a socket is closed before all was read: the peer has to know.
                    Some(slot) if slot.dropped => self.mux.stream(now, id).abort(),
                    Some(slot) => slot.reader.take().into_iter().for_each(Waker::wake),
                    None => {}
                },
                Event::PeerClosed { id } => {
                    if let Some(slot) = self.slots.get_mut(&id) {
                        slot.reader.take().into_iter().for_each(Waker::wake);
                    }
                }
                // Seen below; the peer has been sent its answer.
                Event::Writable { .. } | Event::Acknowledged { .. } | Event::TurnedAway { .. } => {}
                Event::Closed { id, close } => {
                    self.incoming.retain(|(waiting, ..)| *waiting != id);
                    if let Some(slot) = self.slots.get_mut(&id) {
                        slot.close = Some(close);
                        slot.wake();
                        if slot.dropped {
                            self.slots.remove(&id);
                        }
                    }
                }
            }
        }
        self.wake_writers();
    }

    /// The driver ends, and with it everything.
    pub(super) fn end(&mut self) {
        self.mux.lost(now());
        self.dispatch();
        self.ended = true;
        self.slots.values_mut().for_each(Slot::wake);
        self.listener.take().into_iter().for_each(Waker::wake);
    }
}
