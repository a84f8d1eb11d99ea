//! When the sender is told what is on the disk: early enough for its window and for whoever watches, and no more often, because each
//! report is a stanza that a server carries.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What has been told of the file that is coming, and what has not.
#[derive(Debug, Default)]
pub(super) struct Reports {
    /// The file, how much of it, and when.
    told: Option<(u32, u64, Instant)>,
    held: Option<(u32, u64)>,
}

impl Reports {
    /// So much of a file is on the disk.
    pub(super) fn store(&mut self, index: u32, offset: u64) {
        self.held = Some((index, offset));
    }

    /// What is to be told by `now`, or all that there is, if `all` is wanted.
    pub(super) fn next(&mut self, now: Instant, all: bool) -> Option<(u32, u64)> {
        let told = self.told;
        let (index, offset) = self.held.take_if(|(index, offset)| {
            all || told.is_none_or(|(other, before, then)| {
                other != *index || offset.saturating_sub(before) >= STEP || now >= then + EVERY
            })
        })?;
        self.told = Some((index, offset, now));
        Some((index, offset))
    }

    /// Waits until something must be told; for ever, if there is nothing.
    pub(super) async fn wait(&self) {
        match self.due() {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    fn due(&self) -> Option<Instant> {
        let (_, _, then) = self.told?;
        self.held.map(|_| then + EVERY)
    }
}

/// Bytes on the disk that are worth a report: half of what a sender has on its way at least.
const STEP: u64 = 98_304;

/// How long anything may be on the disk of which the sender does not know.
const EVERY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_held_back_and_never_for_long() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        assert_eq!(reports.next(now, true), None);
        reports.store(3, 1);
        assert_eq!(
            reports.next(now, false),
            Some((3, 1)),
            "the first of a file"
        );
        assert_eq!(reports.due(), None);
        reports.store(3, STEP);
        assert_eq!(reports.next(now, false), None);
        let due = reports.due().unwrap();
        assert_eq!(due, now + EVERY);
        assert_eq!(reports.next(due, false), Some((3, STEP)));
        assert_eq!(reports.next(due, true), None);
    }

    #[test]
    fn much_is_told_at_once_and_so_is_another_file() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        reports.store(3, 100);
        reports.next(now, false);
        reports.store(3, 99 + STEP);
        assert_eq!(reports.next(now, false), None);
        reports.store(3, 100 + STEP);
        assert_eq!(reports.next(now, false), Some((3, 100 + STEP)));
        reports.store(4, 1);
        assert_eq!(reports.next(now, false), Some((4, 1)));
        reports.store(4, 2);
        assert_eq!(reports.next(now, true), Some((4, 2)), "its end has come");
    }
}
