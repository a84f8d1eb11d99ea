//! Sends files of this system.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::{Ended, Moved, Progress, Wire};
use crate::entry::{Entry, Totals};
use crate::pace::{LEAST, Pace};
use crate::reason::{Reason, Told, turned_down};
use crate::sender::{NotOffered, Sender, SenderEvent};
use crate::source::Sources;
use crate::source::reader::{BLOCK, Reader, Step};
use crate::turn::{OutOfTurn, Outcome, ROOM};

/// What happens while files are sent. `total` counts the bytes of all files that are on the receiver's disk, those that were there
/// before among them.
#[derive(Debug)]
#[non_exhaustive]
pub enum Sending<'a> {
    /// The offer is on its way; somebody may have to be asked.
    Offered(Totals),
    /// The offer was accepted.
    Accepted,
    /// A file goes over, from `offset` on.
    Began {
        /// The file.
        entry: &'a Entry,
        /// Bytes that the receiver has.
        offset: u64,
        /// Bytes of all files that it has.
        total: u64,
    },
    /// More of a file is there.
    Stored {
        /// The file.
        entry: &'a Entry,
        /// Bytes that the receiver has.
        offset: u64,
        /// Bytes of all files that it has.
        total: u64,
    },
    /// A file or folder is complete.
    Done {
        /// Which.
        entry: &'a Entry,
        /// Bytes of all files that the receiver has.
        total: u64,
    },
    /// One is not sent: it is there, or not wanted.
    Skipped {
        /// Which.
        entry: &'a Entry,
        /// Why.
        told: &'a Told,
        /// Bytes of all files that the receiver has.
        total: u64,
    },
    /// One could not be sent.
    Failed {
        /// Which.
        entry: &'a Entry,
        /// Why.
        told: &'a Told,
        /// Whether it is this end that failed.
        here: bool,
    },
}

/// Why nothing, or not everything, was sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The receiver said no.
    #[error("{}", turned_down(.0))]
    Refused(Told),
    /// The stream ended.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// It can't be offered.
    #[error("this cannot be sent at once: {0}")]
    NotOffered(#[from] NotOffered),
    /// The thread that reads has panicked.
    #[error("reading files has failed")]
    Reading,
}

impl From<OutOfTurn> for SendError {
    fn from(_: OutOfTurn) -> Self {
        Self::Reading
    }
}

/// Offers what was collected, and sends what is wanted of it. Returns once the receiver has confirmed that everything is on its disk
/// under its final name, and what of it is not.
///
/// Not cancel-safe: the stream is gone with it. The receiver keeps what it has then, as it does if the stream is cut, and the same
/// call over another stream goes on from there.
pub async fn send<S: AsyncRead + AsyncWrite>(
    stream: S,
    sources: Sources,
    mut events: impl FnMut(Sending<'_>),
) -> Result<Outcome, SendError> {
    let sources = Arc::new(sources);
    let mut job = Job::new(&sources);
    let mut sending = Run {
        machine: Sender::new(LEAST),
        sources,
        offered: 0,
        progress: Progress::default(),
        pace: Pace::new(),
        steps: VecDeque::new(),
        end: None,
    };
    let mut wire = Wire::new(stream);
    loop {
        sending.offer(&mut events)?;
        sending.take_events(&mut job, &mut events);
        sending.take_steps(&mut events)?;
        if wire.output.is_empty() {
            wire.output = sending.machine.poll_wire().unwrap_or_default();
        }
        if let Some(end) = sending.end.take_if(|_| wire.output.is_empty()) {
            // The receiver may be gone already, which changes nothing.
            let _ = wire.finish().await;
            return end;
        }
        let over = sending.machine.is_over();
        if sending.steps.is_empty() && !over {
            job.start(&sending.machine);
        }
        tokio::select! {
            moved = wire.step(!over) => match moved {
                Ok(Moved::Read) => {
                    sending.machine.handle_wire(&wire.input);
                    let read = wire.input.len();
                    wire.input.advance(read);
                }
                Ok(Moved::Wrote) => {}
                Ok(Moved::End) => return Err(Ended::Lost(None).into()),
                // What could not be written is of no interest if it was only a good-bye.
                Err(error) => {
                    let lost = Ended::Lost(Some(error)).into();
                    return sending.end.unwrap_or(Err(lost));
                }
            },
            steps = job.done() => sending.steps.extend(steps?),
        }
    }
}

/// What is known of a transfer.
struct Run {
    machine: Sender,
    sources: Arc<Sources>,
    /// Entries that have been offered.
    offered: usize,
    progress: Progress,
    pace: Pace,
    /// Read, and not handed to the machine yet.
    steps: VecDeque<(u32, Step)>,
    /// How it ends, once that has been said.
    end: Option<Result<Outcome, SendError>>,
}

impl Run {
    fn offer(&mut self, events: &mut impl FnMut(Sending<'_>)) -> Result<(), SendError> {
        let entries = self.sources.entries().len();
        if self.offered > entries || self.machine.is_over() {
            return Ok(());
        }
        for entry in self.sources.entries().skip(self.offered) {
            if self.machine.pending() >= ROOM {
                return Ok(());
            }
            self.machine.offer(entry)?;
            self.offered += 1;
        }
        self.machine.end_offer()?;
        self.offered += 1;
        events(Sending::Offered(self.machine.totals()));
        Ok(())
    }

    fn take_events(&mut self, job: &mut Job, events: &mut impl FnMut(Sending<'_>)) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                SenderEvent::Accepted => events(Sending::Accepted),
                SenderEvent::Wanted {
                    index,
                    offset,
                    prefix,
                } => job.want(index, offset, prefix),
                SenderEvent::Stored { index, offset } => {
                    let before = self.progress.total;
                    let total = self.progress.set(index, offset);
                    let now = Instant::now().into_std();
                    self.pace.store(now, total.saturating_sub(before));
                    self.machine.set_window(self.pace.window());
                    let Some(entry) = self.sources.entry(index) else {
                        continue;
                    };
                    events(Sending::Stored {
                        entry,
                        offset,
                        total,
                    });
                }
                SenderEvent::Done { index } => {
                    let Some(entry) = self.sources.entry(index) else {
                        continue;
                    };
                    let total = self.progress.close(index, entry.size);
                    events(Sending::Done { entry, total });
                }
                SenderEvent::Skipped { index, told } => {
                    let Some(entry) = self.sources.entry(index) else {
                        continue;
                    };
                    let there = if told.reason == Reason::Have {
                        entry.size
                    } else {
                        0
                    };
                    let total = self.progress.close(index, there);
                    let told = &told;
                    events(Sending::Skipped { entry, told, total });
                }
                SenderEvent::Failed { index, told } => {
                    job.forget(index);
                    self.fail(index, &told, false, events);
                }
                SenderEvent::Refused(told) => self.end = Some(Err(SendError::Refused(told))),
                SenderEvent::Complete(outcome) => self.end = Some(Ok(outcome)),
                SenderEvent::Aborted(told) => self.end = Some(Err(Ended::Aborted(told).into())),
                SenderEvent::Broken(fault) => self.end = Some(Err(Ended::Broken(fault).into())),
            }
        }
    }

    /// Hands over what was read, as far as there is room.
    fn take_steps(&mut self, events: &mut impl FnMut(Sending<'_>)) -> Result<(), SendError> {
        while let Some((index, step)) = self.steps.pop_front() {
            // The receiver has given it up, or everything.
            if !self.machine.wants(index) || self.machine.is_over() {
                continue;
            }
            match step {
                Step::Begin { offset } => {
                    self.machine.begin(index, offset)?;
                    let total = self.progress.set(index, offset);
                    let Some(entry) = self.sources.entry(index) else {
                        continue;
                    };
                    events(Sending::Began {
                        entry,
                        offset,
                        total,
                    });
                }
                Step::Block(block) => {
                    self.pace.send(Instant::now().into_std(), block.size());
                    self.machine.block(block)?;
                }
                Step::End(hash) => self.machine.end(hash)?,
                Step::Fail(told) => {
                    self.machine.fail(index, told.clone())?;
                    self.fail(index, &told, true, events);
                }
            }
        }
        Ok(())
    }

    fn fail(&mut self, index: u32, told: &Told, here: bool, events: &mut impl FnMut(Sending<'_>)) {
        self.progress.close(index, 0);
        self.pace.lose();
        if let Some(entry) = self.sources.entry(index) {
            events(Sending::Failed { entry, told, here });
        }
    }
}

/// What was read, with the number of the entry.
type Steps = Vec<(u32, Step)>;

/// The reader, in its thread or not.
struct Job {
    reader: Option<Reader>,
    running: Option<JoinHandle<(Reader, Steps)>>,
    /// What it has to be told when it is back.
    wants: Vec<(u32, u64, Option<[u8; 32]>)>,
    forgotten: Vec<u32>,
}

impl Job {
    fn new(sources: &Arc<Sources>) -> Self {
        Self {
            reader: Some(Reader::new(Arc::clone(sources))),
            running: None,
            wants: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    fn want(&mut self, index: u32, offset: u64, prefix: Option<[u8; 32]>) {
        self.wants.push((index, offset, prefix));
    }

    fn forget(&mut self, index: u32) {
        self.wants.retain(|(wanted, ..)| *wanted != index);
        self.forgotten.push(index);
    }

    /// Reads on, if there is something to read and room for it.
    fn start(&mut self, machine: &Sender) {
        let Some(reader) = &mut self.reader else {
            return;
        };
        for index in self.forgotten.drain(..) {
            reader.forget(index);
        }
        for (index, offset, prefix) in self.wants.drain(..) {
            reader.want(index, offset, prefix);
        }
        let budget = machine.room().min(BUDGET);
        if budget < u64::try_from(BLOCK).unwrap_or(u64::MAX) || reader.is_idle() {
            return;
        }
        let packed = machine.may_pack();
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        self.running = Some(spawn_blocking(move || {
            let steps = reader.run(budget, packed);
            (reader, steps)
        }));
    }

    /// Waits until it has read something; for ever, if it does not read.
    async fn done(&mut self) -> Result<Steps, SendError> {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        let (reader, steps) = running.await.map_err(|_| SendError::Reading)?;
        self.running = None;
        self.reader = Some(reader);
        Ok(steps)
    }
}

/// Bytes that are read in one go.
const BUDGET: u64 = 131_072;
