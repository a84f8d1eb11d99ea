//! When to connect again, and when not to.

use std::time::{Duration, Instant};

use crate::error::ConnectError;
use crate::stream_error::Verdict;

/// How a lost connection is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The wait before the first attempt; it doubles with each. Default 1 s. Each wait is cut at random to between half
    /// and the whole, so that the clients of a restarted server do not all come at once.
    pub first: Duration,
    /// The longest wait. Default 30 s.
    pub longest: Duration,
    /// An outage that lasts longer ends the link. Default 5 min.
    pub give_up: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            give_up: Duration::from_secs(300),
        }
    }
}

/// Whether a lost connection is tried to be had again, and when: what is known about the present outage.
#[derive(Debug, Clone)]
pub struct Reconnect {
    retry: Retry,
    /// Attempts since the last connection that held.
    attempts: u32,
    since: Option<Instant>,
    /// When the connection was bound or resumed, while there is one.
    open: Option<Instant>,
    /// A connection was open once.
    known: bool,
    redirections: u32,
    /// Ends in a row that said that we broke the server's rules.
    violations: u32,
}

/// The next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Again {
    /// How long to wait before it.
    pub after: Duration,
    /// Whether the session may be tried to be resumed.
    pub resume: bool,
    /// Whether it goes to the host that the server has named.
    pub elsewhere: bool,
}

impl Reconnect {
    /// Before the first attempt.
    #[must_use]
    pub fn new(retry: Retry) -> Self {
        Self {
            retry,
            attempts: 0,
            since: None,
            open: None,
            known: false,
            redirections: 0,
            violations: 0,
        }
    }

    /// The connection is bound or resumed.
    pub fn opened(&mut self, now: Instant) {
        self.open = Some(now);
        self.known = true;
    }

    /// Until when attempts are made, while there is no connection.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        Some(self.since? + self.retry.give_up)
    }

    /// What follows the end of a connection or of an attempt. `random` cuts the wait. `None`: nothing more.
    pub fn ended(&mut self, now: Instant, why: &ConnectError, random: u32) -> Option<Again> {
        let open = self.open.take();
        // A connection that held so long is not part of the last outage.
        if open.is_some_and(|open| now.saturating_duration_since(open) >= STEADY) {
            *self = Self {
                known: true,
                ..Self::new(self.retry)
            };
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.retry.give_up {
            return None;
        }
        let verdict = why.verdict(self.known);
        self.violations = match why.is_policy_violation() {
            true => self.violations.saturating_add(1),
            false => 0,
        };
        let patient = match verdict {
            Verdict::Stop => return None,
            Verdict::RebindLater if self.violations >= MAX_VIOLATIONS => return None,
            Verdict::RebindLater => true,
            Verdict::Elsewhere if self.redirections >= MAX_REDIRECTIONS => return None,
            Verdict::Elsewhere => {
                self.redirections = self.redirections.saturating_add(1);
                return Some(Again {
                    after: Duration::ZERO,
                    resume: true,
                    elsewhere: true,
                });
            }
            Verdict::Resume | Verdict::Rebind => false,
        };
        let doubled = 2_u32.saturating_pow(self.attempts);
        let wait = self.retry.first.saturating_mul(doubled);
        self.attempts = self.attempts.saturating_add(1);
        let wait = match patient {
            true => self.retry.longest,
            false => wait.min(self.retry.longest),
        };
        Some(Again {
            after: jittered(wait, random),
            resume: verdict == Verdict::Resume,
            elsewhere: false,
        })
    }
}

/// Between half of it and the whole.
fn jittered(wait: Duration, random: u32) -> Duration {
    wait.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

/// A connection that is open for so long ends an outage.
const STEADY: Duration = Duration::from_secs(30);

/// Hosts that are followed to in one outage.
const MAX_REDIRECTIONS: u32 = 3;

/// Policy violations in a row that end the link.
const MAX_VIOLATIONS: u32 = 3;

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;
    use crate::location::Location;
    use crate::stream_error::StreamError;

    const SECOND: Duration = Duration::from_secs(1);

    fn stream(condition: &str) -> ConnectError {
        ConnectError::Stream(StreamError {
            condition: condition.to_owned(),
            text: String::new(),
            other_host: Location::read("b.example"),
            handled_count_too_high: false,
        })
    }

    fn opened() -> (Reconnect, Instant) {
        let (mut reconnect, now) = (Reconnect::new(Retry::default()), Instant::now());
        reconnect.opened(now);
        (reconnect, now)
    }

    #[test]
    fn policy_violation_at_log_in_stops_after_three() {
        let (mut reconnect, now) = opened();
        let violation = stream("policy-violation");
        for _ in 0..2 {
            let again = reconnect.ended(now, &violation, u32::MAX).unwrap();
            assert_eq!((again.after, again.resume), (SECOND * 30, false));
        }
        assert_eq!(reconnect.ended(now, &violation, 0), None);
        // Only in a row.
        let (mut reconnect, now) = opened();
        for condition in [
            "policy-violation",
            "reset",
            "policy-violation",
            "reset",
            "policy-violation",
        ] {
            assert!(reconnect.ended(now, &stream(condition), 0).is_some());
        }
    }

    #[test]
    fn conflict_is_not_reconnected() {
        let (mut reconnect, now) = opened();
        assert_eq!(reconnect.ended(now, &stream("conflict"), 0), None);
    }

    #[test]
    fn see_other_host_ends_after_three() {
        let (mut reconnect, now) = opened();
        let other = stream("see-other-host");
        for _ in 0..3 {
            let again = reconnect.ended(now, &other, 0).unwrap();
            assert!(again.elsewhere && again.resume && again.after.is_zero());
        }
        assert_eq!(reconnect.ended(now, &other, 0), None);
    }

    #[test]
    fn an_outage_ends_the_link_in_its_time() {
        let (mut reconnect, now) = opened();
        assert!(reconnect.ended(now, &stream("reset"), 0).is_some());
        let until = reconnect.until().unwrap();
        assert_eq!(until, now + SECOND * 300);
        assert!(
            reconnect
                .ended(until - SECOND, &stream("reset"), 0)
                .is_some()
        );
        assert_eq!(reconnect.ended(until, &stream("reset"), 0), None);
    }

    #[test]
    fn waits_double_up_to_the_longest_and_are_cut_at_random() {
        let (mut reconnect, now) = opened();
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push(
                reconnect
                    .ended(now, &stream("reset"), u32::MAX)
                    .unwrap()
                    .after
                    .as_secs(),
            );
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(
            reconnect.ended(now, &stream("reset"), 0).unwrap().after,
            SECOND * 15
        );
    }

    #[test]
    fn only_a_connection_that_held_begins_anew() {
        for (held, wait) in [(STEADY - SECOND, 2), (STEADY, 1)] {
            let (mut reconnect, now) = opened();
            reconnect.ended(now, &stream("reset"), u32::MAX);
            reconnect.opened(now + SECOND);
            let again = reconnect.ended(now + SECOND + held, &stream("reset"), u32::MAX);
            assert_eq!(again.unwrap().after, SECOND * wait, "{held:?}");
        }
    }

    #[test]
    fn certificates_are_tried_again_once_they_were_right() {
        let portal = ConnectError::Certificate {
            domain: "example.org".to_owned(),
            why: "expired".into(),
        };
        let mut new = Reconnect::new(Retry::default());
        let (mut reconnect, now) = opened();
        assert_eq!(new.ended(now, &portal, 0), None);
        assert!(reconnect.ended(now, &portal, 0).is_some());
        let injected = ConnectError::Injected {
            domain: "example.org".to_owned(),
            bytes: 1,
        };
        assert_eq!(reconnect.ended(now, &injected, 0), None);
    }
}
