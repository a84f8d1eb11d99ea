//! Chat states (XEP-0085): what somebody does besides what they say. For those who have asked for them.

use std::time::Duration;

use tokio::time::Instant;

use crate::terminal::Typing;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Active,
    Composing,
    Paused,
    Inactive,
    Gone,
}

impl State {
    pub(super) const ALL: [Self; 5] = [
        Self::Active,
        Self::Composing,
        Self::Paused,
        Self::Inactive,
        Self::Gone,
    ];

    /// The name of its element.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Composing => "composing",
            Self::Paused => "paused",
            Self::Inactive => "inactive",
            Self::Gone => "gone",
        }
    }
}

/// The states of one conversation.
#[derive(Debug)]
pub(super) struct States {
    /// What the peer does, once it has said so.
    theirs: Option<State>,
    /// What we have said last.
    ours: State,
    /// The line being typed when it was last looked at, and when it was found changed.
    line: Typing,
    changed: Instant,
}

impl States {
    pub(super) fn new(line: Typing, now: Instant) -> Self {
        Self {
            theirs: None,
            ours: State::Active,
            line,
            changed: now,
        }
    }

    /// The peer has said what it does. Returns whether that is news.
    pub(super) fn heard(&mut self, state: State) -> bool {
        self.theirs.replace(state) != Some(state)
    }

    /// Whether the peer is writing something.
    pub(super) fn is_composing(&self) -> bool {
        self.theirs == Some(State::Composing)
    }

    /// A message was sent, which says by itself that we are there.
    pub(super) fn said(&mut self) {
        self.ours = State::Active;
    }

    /// The line being typed is looked at. Returns what to tell the peer.
    pub(super) fn look(&mut self, line: Typing, now: Instant) -> Option<State> {
        if line != self.line {
            (self.line, self.changed) = (line, now);
        }
        let idle = now.saturating_duration_since(self.changed) >= PAUSE;
        let state = match (line.empty, idle) {
            (true, _) => State::Active,
            (false, false) => State::Composing,
            (false, true) => State::Paused,
        };
        // XEP-0085 §5.1: nothing but what is in messages goes to a peer that may not know them.
        if self.theirs.is_none() || state == self.ours {
            return None;
        }
        self.ours = state;
        Some(state)
    }
}

/// How often the line being typed is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// Without a key for so long, somebody pauses.
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn line(changes: u64, empty: bool) -> Typing {
        Typing { changes, empty }
    }

    #[test]
    fn who_has_said_no_state_is_told_none() {
        let now = Instant::now();
        let mut states = States::new(line(0, true), now);
        assert_eq!(states.look(line(1, false), now), None);
        assert!(states.heard(State::Active));
        assert!(!states.heard(State::Active));
        assert_eq!(states.look(line(2, false), now), Some(State::Composing));
    }

    #[test]
    fn each_state_is_told_once_and_a_message_is_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut states = States::new(line(0, true), start);
        states.heard(State::Composing);
        assert!(states.is_composing());
        assert_eq!(states.look(line(0, true), at(1)), None);
        assert_eq!(states.look(line(1, false), at(2)), Some(State::Composing));
        assert_eq!(states.look(line(2, false), at(3)), None);
        assert_eq!(states.look(line(2, false), at(12)), None);
        assert_eq!(states.look(line(2, false), at(13)), Some(State::Paused));
        assert_eq!(states.look(line(3, false), at(14)), Some(State::Composing));
        states.said();
        assert_eq!(states.look(line(4, true), at(15)), None);
        assert_eq!(states.look(line(5, false), at(16)), Some(State::Composing));
        assert_eq!(states.look(line(6, true), at(17)), Some(State::Active));
    }
}
