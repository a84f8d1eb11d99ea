//! The receiver's disk, in a thread that may block.

use tokio::task::{JoinHandle, spawn_blocking};

use super::destination::ReceiveError;
use crate::content::{Block, Hash};
use crate::disk::{Disk, End, Look, Stop};
use crate::entry::Entry;
use crate::reason::Told;

/// What the disk is to do.
#[derive(Debug)]
pub(super) enum Work {
    Measure(Vec<Entry>),
    Compare(Vec<Entry>),
    Look(u32, Entry),
    Begin(u32, u64),
    Write(u32, Block),
    End(u32, Hash),
    Forget(u32, bool),
    Finish,
}

/// What the disk has done.
#[derive(Debug)]
pub(super) enum Outcomes {
    Measured(u64),
    Looked(u32, Look),
    Stored(u32, u64),
    Ended(u32, End),
    Failed(u32, Told),
    Finished(Vec<String>),
    Stopped(Stop),
}

/// The disk, in its thread or not.
pub(super) struct Job {
    disk: Option<Disk>,
    running: Option<JoinHandle<(Disk, Vec<Outcomes>)>>,
}

impl Job {
    pub(super) fn new(disk: Disk) -> Self {
        Self {
            disk: Some(disk),
            running: None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    pub(super) fn start(&mut self, work: Vec<Work>) {
        let Some(mut disk) = self.disk.take() else {
            return;
        };
        self.running = Some(spawn_blocking(move || {
            let mut outcomes = Vec::new();
            for work in work {
                if let Err(stop) = carry_out(&mut disk, work, &mut outcomes) {
                    outcomes.push(Outcomes::Stopped(stop));
                    break;
                }
            }
            (disk, outcomes)
        }));
    }

    /// Waits until it has done something; for ever, if it does nothing.
    pub(super) async fn done(&mut self) -> Result<Vec<Outcomes>, ReceiveError> {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        let (disk, outcomes) = running.await.map_err(|_| ReceiveError::Writing)?;
        self.running = None;
        self.disk = Some(disk);
        Ok(outcomes)
    }
}

fn carry_out(disk: &mut Disk, work: Work, outcomes: &mut Vec<Outcomes>) -> Result<(), Stop> {
    match work {
        Work::Measure(tops) => outcomes.push(Outcomes::Measured(disk.measure(&tops))),
        Work::Compare(entries) => disk.compare(&entries),
        Work::Look(index, entry) => {
            let look = disk.look(index, &entry)?;
            outcomes.push(Outcomes::Looked(index, look));
        }
        Work::Begin(index, offset) => {
            if let Some(told) = disk.begin(index, offset)? {
                disk.forget(index, false);
                outcomes.push(Outcomes::Failed(index, told));
            }
        }
        Work::Write(index, block) => match disk.write(index, &block)? {
            Ok(offset) => match outcomes.last_mut() {
                // One report for all that was written in one go.
                Some(Outcomes::Stored(last, before)) if *last == index => *before = offset,
                _ => outcomes.push(Outcomes::Stored(index, offset)),
            },
            Err(told) => {
                disk.forget(index, false);
                outcomes.push(Outcomes::Failed(index, told));
            }
        },
        Work::End(index, hash) => {
            let end = disk.end(index, &hash)?;
            outcomes.push(Outcomes::Ended(index, end));
        }
        Work::Forget(index, spoilt) => disk.forget(index, spoilt),
        Work::Finish => outcomes.push(Outcomes::Finished(disk.finish()?)),
    }
    Ok(())
}

/// Bytes that a block holds in memory, with what holds it: there may be many that are small.
pub(super) fn weight(block: &Block) -> usize {
    COST + match block {
        Block::Raw(bytes) | Block::Packed { bytes, .. } => bytes.len(),
        Block::Hole(_) => 0,
    }
}

/// What any block weighs besides its bytes.
const COST: usize = 128;
