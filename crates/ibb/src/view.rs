//! One stream of a mux, borrowed for a change at a given time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use xtls_stanza::{Payload, StanzaError};

use crate::error::{Gone, WriteError};
use crate::event::{StreamId, Why};
use crate::mux::Mux;
use crate::window::Window;

/// One stream of a [`Mux`], borrowed with [`Mux::stream`] to change it at a given time.
///
/// On a stream that does not exist any more, calls do nothing, or say so where they return a `Result`. What a stream is like
/// without changing it, [`Mux`] says by id: [`Mux::room`], [`Mux::readable`], [`Mux::stats`] and so on.
#[derive(Debug)]
pub struct StreamMut<'a> {
    mux: &'a mut Mux,
    now: Instant,
    id: StreamId,
}

impl<'a> StreamMut<'a> {
    pub(crate) fn new(mux: &'a mut Mux, now: Instant, id: StreamId) -> Self {
        Self { mux, now, id }
    }

    /// Which stream this is.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Accepts what [`Event::Incoming`](crate::Event::Incoming) asked for; the result carries `answer`.
    ///
    /// # Errors
    ///
    /// The stream no longer waits for this.
    pub fn accept(&mut self, answer: Option<Payload>) -> Result<(), Gone> {
        let accepted = self.mux.change(self.now, self.id, |stream, _, outbox| {
            stream.accept(answer, outbox)
        });
        accepted.filter(|done| *done).map(|_| ()).ok_or(Gone)
    }

    /// Refuses what [`Event::Incoming`](crate::Event::Incoming) asked for.
    ///
    /// # Errors
    ///
    /// The stream no longer waits for this.
    pub fn refuse(&mut self, with: StanzaError) -> Result<(), Gone> {
        let refused = self.mux.change(self.now, self.id, |stream, now, outbox| {
            stream.refuse(now, with, Why::Declined, outbox)
        });
        refused.filter(|done| *done).map(|_| ()).ok_or(Gone)
    }

    /// Gives bytes to the stream and returns how many it took, at most [`Mux::room`].
    ///
    /// They are cut into chunks as [`Mux::poll_transmit`] takes them out: write everything that is to share a chunk before
    /// you poll.
    ///
    /// # Errors
    ///
    /// The stream is not accepted yet, closing, or closed.
    pub fn write(&mut self, bytes: Bytes) -> Result<usize, WriteError> {
        let written = self
            .mux
            .change(self.now, self.id, |stream, now, _| stream.write(now, bytes));
        written.unwrap_or(Err(WriteError::Closed))
    }

    /// Takes up to `max` bytes. A chunk that has been taken whole is acknowledged: a reader that
    /// does not read holds the writer back, and nothing else.
    pub fn read(&mut self, max: usize) -> Option<Bytes> {
        self.mux
            .change(self.now, self.id, |stream, now, outbox| {
                stream.read(now, max, outbox)
            })
            .flatten()
    }

    /// Ends both directions in order: what was written goes out and is acknowledged, then `<close/>`;
    /// what the peer still sends can be read. Ends within the config's limits, with
    /// [`Event::Closed`](crate::Event::Closed). A stream that is not open yet is withdrawn, one that is not accepted yet
    /// is refused.
    pub fn close(&mut self) {
        self.mux.change(self.now, self.id, |stream, now, outbox| {
            stream.close(now, outbox);
        });
    }

    /// Ends our direction: what was written goes out and is acknowledged, then `<close/>`. Without
    /// [`Config::half_close`](crate::Config::half_close) this is [`close`](Self::close). With it, reading goes on until the
    /// peer has finished too, for as long as anything moves; a peer that does not do the same ends both directions when it
    /// gets the `<close/>`, and what its owner has not written by then never comes.
    pub fn finish(&mut self) {
        self.mux.change(self.now, self.id, |stream, now, outbox| {
            stream.finish(now, outbox);
        });
    }

    /// Drops what was written and what was not read, and sends `<close/>`.
    /// [`Event::Closed`](crate::Event::Closed) is there at once.
    pub fn abort(&mut self) {
        self.mux.change(self.now, self.id, |stream, now, outbox| {
            stream.abort(now, outbox);
        });
    }

    /// Gives the stream another window.
    pub fn set_window(&mut self, window: Window) {
        let config = self.mux.config().clone();
        self.mux.change(self.now, self.id, |stream, _, _| {
            stream.set_window(window, &config);
        });
    }

    /// Gives the stream another patience; see [`Config::patient`](crate::Config::patient).
    pub fn set_patient(&mut self, patient: bool) {
        self.mux.change(self.now, self.id, |stream, _, _| {
            stream.set_patient(patient)
        });
    }

    /// Gives the stream another [`Config::ack_timeout`](crate::Config::ack_timeout).
    pub fn set_ack_timeout(&mut self, wait: Duration) {
        self.mux.change(self.now, self.id, |stream, _, _| {
            stream.set_ack_timeout(wait);
        });
    }

    /// From now on [`Event::Acknowledged`](crate::Event::Acknowledged) tells whenever everything that was written is acknowledged.
    pub fn tell_acknowledged(&mut self) {
        self.mux.change(self.now, self.id, |stream, _, _| {
            stream.tell_acknowledged();
        });
    }

    /// The peer was heard from where no one can speak in its name: chunks that wait for their answers wait
    /// [`Config::ack_timeout`](crate::Config::ack_timeout) from now. A reader may be slow for as long as it lives.
    pub fn alive(&mut self) {
        self.mux.change(self.now, self.id, |stream, now, _| {
            stream.alive(now);
        });
    }
}
