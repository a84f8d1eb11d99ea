//! When to ask the server for an acknowledgement, and when to give one (XEP-0198 §4).
//!
//! For a server each of them is as much work as a stanza: a read, a reply, a wake-up. So few of them go: a request is for all
//! that was sent before it, and an acknowledgement counts from the beginning. Both ride on a write that is made anyway, or
//! make one when their time has come.

use std::time::{Duration, Instant};

/// When to ask.
#[derive(Debug, Default)]
pub(crate) struct Ask {
    last: Last,
    /// When the oldest stanza behind the last request was sent, if there is one.
    since: Option<Instant>,
    /// How much was sent behind it.
    stanzas: usize,
    bytes: usize,
    /// Nothing that holds a request back counts.
    hurried: bool,
}

/// The last request on this connection.
#[derive(Debug, Clone, Copy, Default)]
enum Last {
    #[default]
    None,
    Unanswered(Instant),
    Answered(Instant),
}

impl Ask {
    /// Stanzas were sent, so many bytes of them.
    pub(crate) fn on_sent(&mut self, now: Instant, stanzas: usize, bytes: usize) {
        self.since.get_or_insert(now);
        self.stanzas = self.stanzas.saturating_add(stanzas);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The next request goes at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.since.get_or_insert(now);
        self.hurried = true;
    }

    /// The server has acknowledged something, which answers a request, or makes one unnecessary.
    pub(crate) fn on_answer(&mut self) {
        if let Last::Unanswered(at) = self.last {
            self.last = Last::Answered(at);
        }
    }

    /// When to ask; `None`: there is nothing to ask for.
    pub(crate) fn due(&self) -> Option<Instant> {
        let since = self.since?;
        let many = self.stanzas >= ASK_STANZAS || self.bytes >= ASK_BYTES;
        Some(match self.last {
            Last::None => since,
            Last::Unanswered(_) | Last::Answered(_) if self.hurried => since,
            Last::Unanswered(at) => at + PATIENCE,
            Last::Answered(_) if many => since,
            Last::Answered(at) => at + HOLD,
        })
    }

    /// Whether to ask now. If so, the caller does.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let take = self.due().is_some_and(|due| due <= now);
        if take {
            let last = Last::Unanswered(now);
            *self = Self {
                last,
                ..Self::default()
            };
        }
        take
    }
}

/// When to acknowledge.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    due: Option<Instant>,
    /// Stanzas handled since the last acknowledgement.
    unreported: usize,
}

impl Answer {
    /// The server asks.
    pub(crate) fn on_request(&mut self, now: Instant) {
        self.until(now + HOLD);
    }

    /// A stanza was handled.
    pub(crate) fn on_handled(&mut self, now: Instant) {
        self.unreported = self.unreported.saturating_add(1);
        if self.unreported >= REPORT {
            self.until(now);
        }
    }

    /// When to acknowledge; `None`: there is no reason to.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether to acknowledge now. If so, the caller does.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let take = self.due.is_some_and(|due| due <= now);
        if take {
            *self = Self::default();
        }
        take
    }

    fn until(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

/// Between two requests, and from the server's request to its answer. Far below what anybody waits for, and few enough
/// stanzas meanwhile for a server that keeps hundreds.
const HOLD: Duration = Duration::from_millis(20);

/// How long an unanswered request holds back the next.
const PATIENCE: Duration = Duration::from_secs(1);

/// Stanzas behind a request that are worth another at once.
const ASK_STANZAS: usize = 256;

/// Bytes of them that are.
const ASK_BYTES: usize = 2 << 20;

/// Handled stanzas that are acknowledged without a request: servers end a session in which too many are not.
const REPORT: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn nothing_sent_is_nothing_to_ask_for() {
        let (mut ask, now) = (Ask::default(), Instant::now());
        assert_eq!(ask.due(), None);
        assert!(!ask.take(now));
        ask.on_sent(now, 1, 10);
        assert!(ask.take(now), "the first goes at once");
        ask.on_answer();
        assert!(!ask.take(now + ms(10_000)));
    }

    #[test]
    fn a_request_waits_for_the_answer_to_the_last_for_a_second_at_most() {
        let (mut ask, now) = (Ask::default(), Instant::now());
        ask.on_sent(now, 1, 10);
        assert!(ask.take(now));
        ask.on_sent(now, ASK_STANZAS, ASK_BYTES);
        assert_eq!(ask.due(), Some(now + PATIENCE));
        assert!(!ask.take(now + PATIENCE - ms(1)));
        assert!(ask.take(now + PATIENCE));
    }

    #[test]
    fn an_answered_request_holds_back_the_next_for_twenty_milliseconds() {
        let (mut ask, now) = (Ask::default(), Instant::now());
        ask.on_sent(now, 1, 10);
        assert!(ask.take(now));
        ask.on_answer();
        ask.on_sent(now + ms(1), 1, 10);
        assert!(!ask.take(now + ms(19)));
        assert_eq!(ask.due(), Some(now + HOLD));
        assert!(ask.take(now + HOLD));
    }

    #[test]
    fn many_stanzas_or_bytes_are_asked_for_at_once() {
        let now = Instant::now();
        let after = |stanzas, bytes| {
            let mut ask = Ask::default();
            ask.on_sent(now, 1, 10);
            assert!(ask.take(now));
            ask.on_answer();
            ask.on_sent(now, stanzas, bytes);
            ask.take(now)
        };
        assert!(!after(ASK_STANZAS - 1, ASK_BYTES - 1));
        assert!(after(ASK_STANZAS, 0));
        assert!(after(1, ASK_BYTES));
    }

    #[test]
    fn what_is_hurried_waits_for_nothing_and_once() {
        let (mut ask, now) = (Ask::default(), Instant::now());
        ask.hurry(now);
        assert!(ask.take(now));
        ask.hurry(now);
        assert!(ask.take(now), "although the last is unanswered");
        ask.on_sent(now, 1, 10);
        assert!(!ask.take(now));
    }

    #[test]
    fn a_request_of_the_server_is_answered_after_twenty_milliseconds_and_once() {
        let (mut answer, now) = (Answer::default(), Instant::now());
        answer.on_handled(now);
        assert_eq!(answer.due(), None, "no request");
        answer.on_request(now);
        answer.on_request(now + ms(10));
        assert!(!answer.take(now + ms(19)));
        assert_eq!(answer.due(), Some(now + HOLD));
        assert!(answer.take(now + HOLD));
        assert!(!answer.take(now + HOLD * 10));
    }

    #[test]
    fn the_first_stanza_too_many_is_acknowledged_without_a_request() {
        let (mut answer, now) = (Answer::default(), Instant::now());
        (1..REPORT).for_each(|_| answer.on_handled(now));
        assert!(!answer.take(now + ms(10_000)));
        answer.on_request(now);
        answer.on_handled(now);
        assert!(answer.take(now), "sooner than the request wants");
        answer.on_handled(now);
        assert!(!answer.take(now + ms(10_000)), "it begins anew");
    }
}
