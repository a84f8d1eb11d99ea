//! Lines that a peer takes long to confirm: it may be gone, which nobody else says before its time is up.

use std::time::Duration;

use tokio::time::Instant;

/// The line that has waited longest.
#[derive(Debug, Default)]
pub(super) struct Late {
    waiting: Option<(u64, Instant)>,
    /// It was told, and not everything has been confirmed since.
    told: bool,
}

impl Late {
    /// Looks which line has waited longest now. Returns whether it is time to tell.
    pub(super) fn look(&mut self, oldest: Option<u64>, now: Instant) -> bool {
        let Some(oldest) = oldest else {
            *self = Self::default();
            return false;
        };
        let since = match self.waiting {
            Some((line, since)) if line == oldest => since,
            Some(_) | None => now,
        };
        self.waiting = Some((oldest, since));
        let late = now.saturating_duration_since(since) >= LATE;
        late && !std::mem::replace(&mut self.told, true)
    }
}

/// How long a peer that is there may take on the slowest of usual paths.
pub(super) const LATE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_waits_long_is_told_once_until_everything_has_arrived() {
        let mut late = Late::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!late.look(Some(1), at(0)));
        assert!(!late.look(Some(1), at(14)));
        // Another one is the oldest now: there is somebody.
        assert!(!late.look(Some(2), at(15)));
        assert!(!late.look(Some(2), at(29)));
        assert!(late.look(Some(2), at(30)));
        assert!(!late.look(Some(2), at(60)));
        assert!(!late.look(Some(3), at(61)) && !late.look(Some(3), at(90)));
        assert!(!late.look(None, at(91)) && !late.look(Some(4), at(92)));
        assert!(late.look(Some(4), at(107)));
    }
}
