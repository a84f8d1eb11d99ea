//! Receives files into a folder of this system.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use bytes::Buf as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::Instant;

use super::destination::{
    Decision, Destination, MAX_LISTED, Offer, ReceiveError, Received, Receiving,
};
use super::job::{Job, Outcomes, Work, weight};
use super::reports::Reports;
use super::{Ended, Moved, Progress, Wire};
use crate::disk::{Disk, End, Look, Stop, is_full};
use crate::entry::{Date, Entry, Kind};
use crate::name::Rules;
use crate::reason::{Reason, Told};
use crate::receiver::{Receiver, ReceiverEvent};
use crate::turn::OutOfTurn;

/// Takes an offer, asks `decide` about it, and stores what is offered. Returns once everything is on the disk under its final name,
/// and the sender has been told so.
///
/// Not cancel-safe: the stream is gone with it. What is there is kept then under names that end with `.xtls-part`, as it is if the
/// stream is cut, and the same call over another stream goes on from there.
pub async fn receive<S, D>(
    stream: S,
    destination: Destination,
    decide: impl FnOnce(Offer) -> D,
    mut events: impl FnMut(Receiving<'_>),
) -> Result<Received, ReceiveError>
where
    S: AsyncRead + AsyncWrite,
    D: Future<Output = Decision>,
{
    let mut wire = Wire::new(stream);
    let mut run = Run::open(&destination).await?;
    let mut decide = Some(decide);
    let mut deciding: Option<Pin<Box<D>>> = None;
    let result = loop {
        run.take_events(&mut events)?;
        if let Some(decide) = decide.take_if(|_| run.offered) {
            let offer = run.offer();
            match offer.refusal() {
                Some(told) => run.refuse(told)?,
                None => deciding = Some(Box::pin(decide(offer))),
            }
        }
        run.start();
        if wire.output.is_empty() {
            wire.output = run.machine.poll_wire().unwrap_or_default();
        }
        if run.end.is_some() && wire.output.is_empty() {
            let _ = wire.finish().await;
            break run.end.take();
        }
        let reads = run.end.is_none() && run.queued < AHEAD && run.machine.has_room();
        tokio::select! {
            moved = wire.step(reads) => match moved {
                Ok(Moved::Read) => {
                    run.machine.handle_wire(&wire.input);
                    let read = wire.input.len();
                    wire.input.advance(read);
                }
                Ok(Moved::Wrote) => {}
                Ok(Moved::End) => break run.lost(None),
                Err(error) => break run.lost(Some(error)),
            },
            done = run.job.done() => run.take_results(done?, &mut events)?,
            () = run.reports.wait() => run.report(true)?,
            Some(settled) = run.settling.join_next(), if !run.settling.is_empty() => {
                let (index, settled) = settled.map_err(|_| ReceiveError::Writing)?;
                run.take_settled(index, settled, &mut events)?;
            }
            decision = poll_some(&mut deciding) => {
                deciding = None;
                match decision {
                    Decision::Accept => {
                        run.compare();
                        run.machine.accept()?;
                    }
                    Decision::Refuse(told) => run.refuse(told)?,
                }
            }
        }
    };
    // Nothing is written any more once this has returned, so that another try finds everything unlocked.
    run.stop().await;
    result.unwrap_or(Err(ReceiveError::Writing))
}

/// Waits for what is decided; for ever, if nobody was asked.
async fn poll_some<D: Future>(deciding: &mut Option<Pin<Box<D>>>) -> D::Output {
    match deciding {
        Some(deciding) => deciding.await,
        None => std::future::pending().await,
    }
}

/// What is known of a transfer.
struct Run {
    folder: PathBuf,
    machine: Receiver,
    job: Job,
    free: u64,
    /// Bytes of the offer that are there, once they have been counted.
    there: Option<u64>,
    /// Whether somebody can be asked.
    offered: bool,
    /// What the disk is to do next.
    work: Vec<Work>,
    /// Bytes in it.
    queued: usize,
    settling: JoinSet<(u32, io::Result<Result<String, Told>>)>,
    progress: Progress,
    reports: Reports,
    folders: Vec<String>,
    end: Option<Result<Received, ReceiveError>>,
}

impl Run {
    async fn open(destination: &Destination) -> Result<Self, ReceiveError> {
        let own = destination.clone();
        let opened = spawn_blocking(move || {
            let disk = Disk::open(&own.folder, &own.peer, own.existing, own.probe)?;
            let free = disk.free()?;
            Ok::<_, io::Error>((disk, free))
        });
        let opened = opened.await.map_err(|_| ReceiveError::Writing)?;
        let folder = destination.folder.clone();
        let (disk, free) = match opened {
            Ok(opened) => opened,
            Err(source) => return Err(ReceiveError::Folder { folder, source }),
        };
        Ok(Self {
            folder,
            machine: Receiver::new(Rules::here(), destination.hidden),
            job: Job::new(disk),
            free,
            there: None,
            offered: false,
            work: Vec::new(),
            queued: 0,
            settling: JoinSet::new(),
            progress: Progress::default(),
            reports: Reports::default(),
            folders: Vec::new(),
            end: None,
        })
    }

    fn offer(&self) -> Offer {
        let mut offer = Offer {
            totals: self.machine.totals(),
            tops: Vec::new(),
            more: 0,
            refused: Vec::new(),
            more_refused: 0,
            free: self.free,
            there: self.there.unwrap_or_default(),
        };
        let mut seen = BTreeSet::new();
        for (entry, fault) in self.machine.entries() {
            if let Some(fault) = fault {
                match offer.refused.len() < MAX_LISTED {
                    true => offer.refused.push((entry.path.clone(), fault)),
                    false => offer.more_refused += 1,
                }
                continue;
            }
            let (top, below) = match entry.path.split_once('/') {
                Some((top, _)) => (top, true),
                None => (&*entry.path, false),
            };
            match seen.insert(top) {
                false => {}
                true if offer.tops.len() >= MAX_LISTED => offer.more += 1,
                // A folder that is no entry of its own is made all the same.
                true if below => offer.tops.push(Entry::folder(top, Date::default())),
                true => offer.tops.push(entry.clone()),
            }
        }
        offer
    }

    fn refuse(&mut self, told: Told) -> Result<(), OutOfTurn> {
        // The sender may have given up meanwhile, and has its own end then.
        if self.end.is_none() {
            self.machine.refuse(told.clone())?;
            self.end = Some(Err(ReceiveError::Refused(told)));
        }
        Ok(())
    }

    /// The stream ended. If everything was said, that is no loss.
    fn lost(&mut self, error: Option<io::Error>) -> Option<Result<Received, ReceiveError>> {
        if let Some(end) = self.end.take() {
            return Some(end);
        }
        if self.machine.is_complete() {
            return Some(Ok(self.received(false)));
        }
        Some(Err(Ended::Lost(error).into()))
    }

    fn received(&mut self, known: bool) -> Received {
        Received {
            outcome: self.machine.outcome(),
            folders: std::mem::take(&mut self.folders),
            known,
        }
    }

    fn take_events(&mut self, events: &mut impl FnMut(Receiving<'_>)) -> Result<(), ReceiveError> {
        while let Some(event) = self.machine.poll_event() {
            match event {
                ReceiverEvent::Offered if self.machine.totals().bytes > self.free => {
                    let entries = self.machine.entries();
                    let tops = entries
                        .filter(|(entry, fault)| fault.is_none() && !entry.path.contains('/'));
                    self.work.push(Work::Measure(
                        tops.map(|(entry, _)| entry.clone()).collect(),
                    ));
                }
                ReceiverEvent::Offered => self.offered = true,
                ReceiverEvent::Look { index } => {
                    if let Some(entry) = self.machine.entry(index) {
                        self.work.push(Work::Look(index, entry.clone()));
                    }
                }
                ReceiverEvent::Misnamed { index, fault } => {
                    let told = Told::new(Reason::Name, fault.to_string());
                    self.skipped(index, &told, events);
                }
                ReceiverEvent::Begin { index, offset } => {
                    self.work.push(Work::Begin(index, offset));
                    let total = self.progress.set(index, offset);
                    if let Some(entry) = self.machine.entry(index) {
                        events(Receiving::Began {
                            entry,
                            offset,
                            total,
                        });
                    }
                }
                ReceiverEvent::Block { index, block } => {
                    self.queued += weight(&block);
                    self.work.push(Work::Write(index, block));
                }
                ReceiverEvent::End { index, hash } => self.work.push(Work::End(index, hash)),
                ReceiverEvent::Failed { index, told } => {
                    self.work
                        .push(Work::Forget(index, told.reason == Reason::Changed));
                    self.failed(index, &told, false, events);
                }
                ReceiverEvent::Settled => self.work.push(Work::Finish),
                ReceiverEvent::Bye => {
                    let received = self.received(true);
                    self.end = Some(Ok(received));
                }
                ReceiverEvent::Aborted(told) => self.end = Some(Err(Ended::Aborted(told).into())),
                ReceiverEvent::Broken(fault) => self.end = Some(Err(Ended::Broken(fault).into())),
            }
        }
        Ok(())
    }

    /// Lets the disk look which of the offered folders are there.
    fn compare(&mut self) {
        let entries = self.machine.entries();
        let in_folders = entries.filter(|(entry, fault)| {
            fault.is_none() && (entry.kind == Kind::Folder || entry.path.contains('/'))
        });
        let entries: Vec<_> = in_folders
            .map(|(entry, _)| entry.clone())
            .take(MAX_COMPARED + 1)
            .collect();
        if !entries.is_empty() && entries.len() <= MAX_COMPARED {
            self.work.push(Work::Compare(entries));
        }
    }

    /// Lets the disk do what there is to do.
    fn start(&mut self) {
        if self.end.is_none() && !self.work.is_empty() && self.job.is_idle() {
            self.queued = 0;
            self.job.start(std::mem::take(&mut self.work));
        }
    }

    fn take_results(
        &mut self,
        results: Vec<Outcomes>,
        events: &mut impl FnMut(Receiving<'_>),
    ) -> Result<(), ReceiveError> {
        for result in results {
            if self.end.is_some() {
                return Ok(());
            }
            // What is told of a file stands before its end.
            self.report(!matches!(result, Outcomes::Stored(..)))?;
            match result {
                Outcomes::Measured(bytes) => {
                    self.there = Some(bytes);
                    self.offered = true;
                }
                Outcomes::Looked(index, look) => self.looked(index, look, events)?,
                Outcomes::Stored(index, offset) => {
                    let total = self.progress.set(index, offset);
                    if !self.machine.gets(index) {
                        continue;
                    }
                    self.reports.store(index, offset);
                    self.report(false)?;
                    if let Some(entry) = self.machine.entry(index) {
                        events(Receiving::Stored {
                            entry,
                            offset,
                            total,
                        });
                    }
                }
                Outcomes::Ended(index, end) if self.machine.gets(index) => {
                    self.ended(index, end, events)?
                }
                Outcomes::Failed(index, told) if self.machine.gets(index) => {
                    self.fail(index, told, events)?;
                }
                Outcomes::Ended(..) | Outcomes::Failed(..) => {}
                Outcomes::Finished(folders) => {
                    self.folders = folders;
                    self.machine.complete()?;
                }
                Outcomes::Stopped(Stop::Fault(fault)) => self.machine.break_off(fault),
                Outcomes::Stopped(Stop::Disk(error)) => self.stop_for(error),
            }
        }
        Ok(())
    }

    /// Tells the sender what is on the disk: if it is time for it, or `now`.
    fn report(&mut self, now: bool) -> Result<(), OutOfTurn> {
        match self.reports.next(Instant::now(), now) {
            Some((index, offset)) if self.end.is_none() && self.machine.gets(index) => {
                self.machine.stored(index, offset)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn looked(
        &mut self,
        index: u32,
        look: Look,
        events: &mut impl FnMut(Receiving<'_>),
    ) -> Result<(), ReceiveError> {
        match look {
            Look::Made => {
                self.machine.made(index)?;
                if let Some(entry) = self.machine.entry(index) {
                    let (path, total) = (&*entry.path, self.progress.total);
                    events(Receiving::Done { entry, path, total });
                }
            }
            Look::Want { offset, prefix } => self.machine.want(index, offset, prefix)?,
            Look::Skip(told) => self.skip(index, &told, events)?,
            Look::Fail(told) => self.fail(index, told, events)?,
        }
        Ok(())
    }

    fn ended(
        &mut self,
        index: u32,
        end: End,
        events: &mut impl FnMut(Receiving<'_>),
    ) -> Result<(), ReceiveError> {
        match end {
            End::Settle(settle) => {
                self.settling.spawn_blocking(move || (index, settle.run()));
            }
            End::Want { offset, prefix } => self.machine.want(index, offset, prefix)?,
            End::Skip(told) => self.skip(index, &told, events)?,
            End::Fail(told) => self.fail(index, told, events)?,
        }
        Ok(())
    }

    fn take_settled(
        &mut self,
        index: u32,
        settled: io::Result<Result<String, Told>>,
        events: &mut impl FnMut(Receiving<'_>),
    ) -> Result<(), ReceiveError> {
        if self.end.is_some() {
            return Ok(());
        }
        match settled {
            Ok(Ok(path)) => {
                self.machine.done(index)?;
                let Some(entry) = self.machine.entry(index) else {
                    return Ok(());
                };
                let (path, total) = (&*path, self.progress.close(index, entry.size));
                events(Receiving::Done { entry, path, total });
            }
            Ok(Err(told)) => self.skip(index, &told, events)?,
            Err(error) => match crate::disk::of_one(&error) {
                Some(told) => self.fail(index, told, events)?,
                None => self.stop_for(error),
            },
        }
        Ok(())
    }

    fn skip(
        &mut self,
        index: u32,
        told: &Told,
        events: &mut impl FnMut(Receiving<'_>),
    ) -> Result<(), OutOfTurn> {
        self.machine.skip(index, told.clone())?;
        self.skipped(index, told, events);
        Ok(())
    }

    fn skipped(&mut self, index: u32, told: &Told, events: &mut impl FnMut(Receiving<'_>)) {
        if let Some(entry) = self.machine.entry(index) {
            let there = if told.reason == Reason::Have {
                entry.size
            } else {
                0
            };
            let total = self.progress.close(index, there);
            events(Receiving::Skipped { entry, told, total });
        }
    }

    fn fail(
        &mut self,
        index: u32,
        told: Told,
        events: &mut impl FnMut(Receiving<'_>),
    ) -> Result<(), OutOfTurn> {
        self.machine.fail(index, told.clone())?;
        self.work.push(Work::Forget(index, false));
        self.failed(index, &told, true, events);
        Ok(())
    }

    fn failed(
        &mut self,
        index: u32,
        told: &Told,
        here: bool,
        events: &mut impl FnMut(Receiving<'_>),
    ) {
        self.progress.close(index, 0);
        if let Some(entry) = self.machine.entry(index) {
            events(Receiving::Failed { entry, told, here });
        }
    }

    /// The disk can't go on: both ends are told so, and everything that is there is kept.
    fn stop_for(&mut self, source: io::Error) {
        let folder = self.folder.clone();
        let full = is_full(&source);
        let reason = if full { Reason::DiskFull } else { Reason::Disk };
        self.machine.cancel(Told::new(reason, source.to_string()));
        self.end = Some(Err(match full {
            true => ReceiveError::DiskFull { folder, source },
            false => ReceiveError::Disk { folder, source },
        }));
    }

    /// Waits for what the disk is doing.
    async fn stop(&mut self) {
        if !self.job.is_idle() {
            let _ = self.job.done().await;
        }
        while self.settling.join_next().await.is_some() {}
    }
}

/// Bytes that wait for the disk, beyond which nothing more is read.
const AHEAD: usize = 524_288;

/// Entries in folders that are compared with what is there before anything is asked for; more of them are sent in any case.
const MAX_COMPARED: usize = 100_000;
