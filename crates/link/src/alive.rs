//! Whether the server is still there. Any byte of it says so.

use std::time::{Duration, Instant};

/// How long the server has been silent.
#[derive(Debug)]
pub(crate) struct Alive {
    heard: Instant,
    /// It was asked since.
    asked: bool,
}

/// What follows from a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It is to be asked.
    Ask,
    /// It was asked, and has not answered.
    Dead,
}

impl Alive {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            heard: now,
            asked: false,
        }
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = false;
    }

    pub(crate) fn deadline(&self) -> Instant {
        match self.asked {
            false => self.heard + SILENCE,
            true => self.heard + SILENCE + PATIENCE,
        }
    }

    pub(crate) fn expire(&mut self, now: Instant) -> Option<Silence> {
        if now < self.deadline() {
            return None;
        }
        match std::mem::replace(&mut self.asked, true) {
            false => Some(Silence::Ask),
            true => Some(Silence::Dead),
        }
    }
}

/// How long the server may say nothing before it is asked to.
pub(crate) const SILENCE: Duration = Duration::from_secs(60);

/// How long it may take to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_once_and_dead_after_ninety_seconds() {
        let start = Instant::now();
        let mut alive = Alive::new(start);
        assert_eq!(
            alive.expire(start + SILENCE - Duration::from_millis(1)),
            None
        );
        assert_eq!(alive.expire(start + SILENCE), Some(Silence::Ask));
        assert_eq!(alive.expire(start + SILENCE), None);
        let end = start + Duration::from_secs(90);
        assert_eq!(alive.deadline(), end);
        assert_eq!(alive.expire(end), Some(Silence::Dead));
    }

    #[test]
    fn a_byte_is_life() {
        let start = Instant::now();
        let mut alive = Alive::new(start);
        alive.expire(start + SILENCE);
        alive.heard(start + SILENCE);
        assert_eq!(alive.deadline(), start + SILENCE * 2);
    }
}
