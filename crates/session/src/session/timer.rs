//! What a session waits for: one table of deadlines.

use std::time::Instant;

/// The deadlines of a session. Those that are due at once expire in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// A verification has to be finished.
    Verification,
    /// Bytes of the handshake have to come.
    HandshakeIdle,
    /// The handshake has to be finished.
    HandshakeTotal,
    /// The owner has to judge the peer's key.
    Verdict,
    /// An alert has to be taken by the transport.
    LastWords,
    /// A session that is being closed has to end.
    Close,
    /// A peer that may not know `<finish/>` has to answer it.
    FinishAnswer,
    /// The responder has to accept our key.
    Confirmation,
    /// The keys have served long enough.
    Keys,
    /// A peer that is held back has to see that we live.
    SignOfLife,
    /// The peer has to give a sign of life, or to be asked for one.
    Probe,
}

impl Timer {
    pub(super) const ALL: [Self; 11] = [
        Self::Verification,
        Self::HandshakeIdle,
        Self::HandshakeTotal,
        Self::Verdict,
        Self::LastWords,
        Self::Close,
        Self::FinishAnswer,
        Self::Confirmation,
        Self::Keys,
        Self::SignOfLife,
        Self::Probe,
    ];

    /// What runs out, as [`Deadline`](super::Deadline) names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::HandshakeIdle | Self::HandshakeTotal => "handshake",
            Self::Verdict => "verdict",
            Self::LastWords => "last words",
            Self::Close => "close",
            Self::FinishAnswer => "finish",
            Self::Confirmation => "confirmation",
            Self::Keys => "keys",
            Self::SignOfLife => "sign of life",
            Self::Probe => "probe",
        }
    }
}

/// When each timer expires, if it is set. Whether a timer counts at the moment is for the session to say.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; Timer::ALL.len()]);

impl Timers {
    pub(super) fn get(&self, timer: Timer) -> Option<Instant> {
        self.0.get(timer as usize).copied().flatten()
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.get(timer).is_some()
    }

    /// `None` is a moment too far away for the clock: the timer never expires.
    pub(super) fn set(&mut self, timer: Timer, at: Option<Instant>) {
        if let Some(slot) = self.0.get_mut(timer as usize) {
            *slot = at;
        }
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.set(timer, None);
    }

    /// A timer that is set expires at this moment at the earliest.
    pub(super) fn postpone(&mut self, timer: Timer, at: Option<Instant>) {
        if let (Some(set), Some(at)) = (self.get(timer), at) {
            self.set(timer, Some(set.max(at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_timer_has_a_slot_of_its_own() {
        let slots: Vec<usize> = Timer::ALL.iter().map(|timer| *timer as usize).collect();
        assert_eq!(slots, (0..Timer::ALL.len()).collect::<Vec<_>>());
    }
}
