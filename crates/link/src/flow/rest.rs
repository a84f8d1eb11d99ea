//! When a stream rests.

use std::time::{Duration, Instant};

/// Notices that nothing has moved for a while, at the cost of one timer in that time.
#[derive(Debug, Default)]
pub(super) struct Rest {
    moved: Option<Instant>,
    /// When to look again.
    due: Option<Instant>,
}

impl Rest {
    pub(super) fn moved(&mut self, now: Instant) {
        self.moved = Some(now);
        self.due.get_or_insert(now + REST);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it has begun. It says so once.
    pub(super) fn begins(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| now < due) {
            return false;
        }
        self.due = self
            .moved
            .map(|moved| moved + REST)
            .filter(|due| now < *due);
        self.due.is_none()
    }
}

/// How long nothing moves before memory is given back.
const REST: Duration = Duration::from_secs(5);

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    #[test]
    fn it_begins_five_seconds_after_the_last_movement_and_once() {
        let start = Instant::now();
        let mut rest = Rest::default();
        assert_eq!((rest.due(), rest.begins(start)), (None, false));
        rest.moved(start);
        rest.moved(start + REST / 2);
        assert_eq!(rest.due(), Some(start + REST), "the timer stays");
        assert!(!rest.begins(start + REST));
        assert_eq!(rest.due(), Some(start + REST * 3 / 2));
        assert!(rest.begins(start + REST * 3 / 2));
        assert!(!rest.begins(start + REST * 2));
        assert_eq!(rest.due(), None);
    }
}
