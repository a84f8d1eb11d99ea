//! Signs of life inside the tunnel: acknowledgements outside prove nothing, because servers can forge them.

use std::time::Instant;

use xtls_stanza::{Element, Kind, Stanza, ns};

use super::{Deadline, Direction, Phase, Session};
use crate::Mode;
use crate::event::{By, Why};
use crate::routing::{self, Arrival};

/// When the peer was heard, and what it was asked.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Probe {
    heard: Option<Instant>,
    /// When the probe under way was sent.
    sent: Option<Instant>,
    number: u64,
}

impl Probe {
    /// Silence counts from here at the earliest.
    pub(super) fn begin(&mut self, now: Instant) {
        self.heard.get_or_insert(now);
    }

    /// What TLS has let through is a sign of life. Bytes of a record that is not whole may be anybody's.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.sent = None;
    }
}

impl Session {
    /// When the peer was heard last: not its server, which could say anything but what TLS lets through.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        self.probe.heard
    }

    pub(super) fn probe_deadline(&self) -> Option<Deadline> {
        if !self.probes() {
            return None;
        }
        let at = match self.probe.sent {
            Some(sent) => sent.checked_add(self.config.probe_answer)?,
            None => self.probe.heard?.checked_add(self.config.probe_idle)?,
        };
        Some(Deadline { at, why: "probe" })
    }

    /// Whether silence means anything: nobody is asked who has no say any more, or while we owe the transport something,
    /// which has its own limits for a peer that takes nothing. Nor while we do not listen ourselves: the answer would lie
    /// unread before us.
    fn probes(&self) -> bool {
        self.binding.service.mode() == Mode::Stanzas
            && matches!(self.phase, Phase::Open { confirmed: true })
            && self.writing != Direction::Ended
            && !self.tls.peer_closed()
            && self.last.is_none()
            && !self.gone
            && self.tls.wire_pending() == 0
            && self.wants_wire()
    }

    /// Asks, or gives up waiting for the answer.
    pub(super) fn probe_now(&mut self, now: Instant) {
        if self
            .probe_deadline()
            .is_none_or(|deadline| deadline.at > now)
        {
            return;
        }
        if self.probe.sent.is_some() {
            self.end_after_reading(By::Transport, Why::Silent);
            return;
        }
        self.probe.number = self.probe.number.wrapping_add(1);
        self.probe.sent = Some(now);
        let ping = Stanza::new(Kind::Iq)
            .with_type("get")
            .with_id(probe_id(self.probe.number))
            .with_child(&Element::new("ping", ns::PING));
        self.reply(&ping);
    }

    /// Whether this is the answer to a probe of ours, an old one maybe that has lain here for long: result or error, it has
    /// come from the peer.
    pub(super) fn is_probed(&self, stanza: &Stanza) -> bool {
        stanza.kind == Kind::Iq
            && matches!(stanza.type_.as_deref(), Some("result" | "error"))
            && stanza
                .id
                .as_deref()
                .and_then(probe_number)
                .is_some_and(|number| (1..=self.probe.number).contains(&number))
    }

    /// Cuts what is whole, and answers the peer's probes among it: an owner that takes nothing for hours is slow, and
    /// not dead. Everything else waits for the owner.
    pub(super) fn look_ahead(&mut self) {
        let open = matches!(self.phase, Phase::Open { .. });
        if !open || self.binding.service.mode() == Mode::Bytes {
            return;
        }
        // An error is met again when the owner asks, after what came before it.
        while let Ok(Some(frame)) = self.cutter.cut(&mut self.plain) {
            let frame = frame.into_bytes();
            // One at a time: whoever asks for more than it reads waits its turn.
            if self.tls.wire_pending() < SMALL
                && is_small_ping(&frame)
                && let Ok(stanza) = Stanza::read(&frame)
                && let Ok(Arrival::Answer {
                    reply,
                    refused: None,
                }) = routing::restore(stanza, &self.binding)
            {
                self.reply(&reply);
                continue;
            }
            self.ahead_bytes = self.ahead_bytes.saturating_add(frame.len());
            self.ahead.push_back(frame);
        }
    }
}

/// Worth a closer look.
fn is_small_ping(frame: &[u8]) -> bool {
    let needle = ns::PING.as_bytes();
    frame.len() <= SMALL
        && frame.starts_with(b"<iq")
        && frame.windows(needle.len()).any(|window| window == needle)
}

fn probe_id(number: u64) -> String {
    format!("{PROBE}{number}")
}

fn probe_number(id: &str) -> Option<u64> {
    id.strip_prefix(PROBE)?.parse().ok()
}

/// What the ids of our probes begin with.
pub(super) const PROBE: &str = "xtls-probe-";

/// Longest request that is looked at before its turn, and most that may be on its way out then, in bytes.
const SMALL: usize = 512;
