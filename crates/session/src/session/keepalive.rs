//! Signs of life inside the tunnel, in both directions.
//!
//! What the server sends proves nothing: it can answer in the peer's name, or not answer. So a peer that is silent is asked
//! inside, and a session that holds its peer back shows that it is slow and not gone.

use std::time::{Duration, Instant};

use xtls_stanza::{Element, Kind, Stanza, ns};

use super::requests::is_answer;
use super::timer::{Timer, Timers};
use crate::{Config, Mode};

/// How often a reader of stanzas shows that it lives: well within the minute that a bytestream waits for an answer.
const STANZAS: Duration = Duration::from_secs(25);
/// How often a reader of bytes does.
const BYTES: Duration = Duration::from_secs(240);
/// How often it does so without a byte of data in between: rustls takes 32 KeyUpdates and then takes them for an attack.
const IN_A_ROW: u8 = 30;

/// When the peer gave a sign of life, what it was asked, and what it was shown.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Keepalive {
    /// When TLS last let something through.
    heard: Option<Instant>,
    probe: Probe,
    /// The number of the last probe.
    number: u64,
    /// Signs of life without data in between.
    shown_in_a_row: u8,
}

#[derive(Debug, Clone, Copy, Default)]
enum Probe {
    #[default]
    Idle,
    /// Its answer is awaited.
    Sent,
}

impl Keepalive {
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// The session is open: silence counts from here at the earliest.
    pub(super) fn begin(&mut self, now: Instant, config: &Config, mode: Mode, timers: &mut Timers) {
        if self.heard.is_none() {
            self.on_sign(now, config, timers);
            self.on_read(mode, timers);
        }
    }

    /// What TLS has let through is a sign of life. Bytes of a record that is not whole may be anybody's.
    pub(super) fn on_sign(&mut self, now: Instant, config: &Config, timers: &mut Timers) {
        self.heard = Some(now);
        self.probe = Probe::Idle;
        timers.set(Timer::Probe, now.checked_add(config.probe_idle));
    }

    /// The peer was read, so it is not held back.
    pub(super) fn on_read(&mut self, mode: Mode, timers: &mut Timers) {
        let next = self
            .heard
            .and_then(|heard| heard.checked_add(interval(mode)));
        timers.set(Timer::SignOfLife, next);
    }

    /// Data has gone out.
    pub(super) fn on_write(&mut self) {
        self.shown_in_a_row = 0;
    }

    /// Silence has lasted too long: the probe to send, or `None` if the last one was not answered.
    pub(super) fn next_probe(
        &mut self,
        now: Instant,
        config: &Config,
        timers: &mut Timers,
    ) -> Option<Stanza> {
        match self.probe {
            Probe::Sent => None,
            Probe::Idle => {
                self.probe = Probe::Sent;
                self.number = self.number.wrapping_add(1);
                timers.set(Timer::Probe, now.checked_add(config.probe_answer));
                let ping = Stanza::new(Kind::Iq)
                    .with_type("get")
                    .with_id(format!("{PROBE}{}", self.number))
                    .with_child(&Element::new("ping", ns::PING));
                Some(ping)
            }
        }
    }

    /// Whether this answers a probe of ours, maybe an old one that has waited here for long: result or error, it has come from
    /// the peer.
    pub(super) fn is_probed(&self, stanza: &Stanza) -> bool {
        is_answer(stanza)
            && stanza
                .id
                .as_deref()
                .and_then(probe_number)
                .is_some_and(|number| (1..=self.number).contains(&number))
    }

    /// Whether signs of life would be taken for an attack.
    pub(super) fn is_spent(&self, mode: Mode) -> bool {
        mode == Mode::Bytes && self.shown_in_a_row >= IN_A_ROW
    }

    /// A sign of life is due, and the next one is later.
    pub(super) fn on_due(&mut self, now: Instant, mode: Mode, timers: &mut Timers) {
        timers.set(Timer::SignOfLife, now.checked_add(interval(mode)));
    }

    /// One that is no data was shown.
    pub(super) fn on_shown(&mut self) {
        self.shown_in_a_row = self.shown_in_a_row.saturating_add(1);
    }
}

fn interval(mode: Mode) -> Duration {
    match mode {
        Mode::Stanzas => STANZAS,
        Mode::Bytes => BYTES,
    }
}

fn probe_number(id: &str) -> Option<u64> {
    id.strip_prefix(PROBE)?.parse().ok()
}

/// What the ids of our probes begin with.
pub(super) const PROBE: &str = "xtls-probe-";
