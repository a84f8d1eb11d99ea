//! What the relay and the peers counted.

use std::time::Duration;

use super::row::Row;

/// Counts what a display is shown.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) carrying: u64,
    pub(super) carrying_bytes: u64,
    pub(super) inner: u64,
    pub(super) inner_bytes: u64,
    pub(super) ready: Option<Duration>,
    pub(super) secure: Option<Duration>,
    pub(super) first_word: Option<Duration>,
    pub(super) last: Duration,
}

impl Totals {
    pub(super) fn count(&mut self, row: &Row) {
        self.last = self.last.max(row.at());
        match row {
            Row::Carrying(seen) => {
                self.carrying += 1;
                self.carrying_bytes += seen.xml.len() as u64;
            }
            Row::Inner { at, xml, .. } => {
                self.inner += 1;
                self.inner_bytes += xml.len() as u64;
                self.first_word.get_or_insert(*at);
            }
            Row::Ready { at, .. } => {
                self.ready.get_or_insert(*at);
            }
            Row::Established { at, .. } => self.secure = Some(*at),
            Row::Note { .. } => {}
        }
    }

    /// The steps towards a secure tunnel, in words and as a field: when, and after how many round trips.
    pub(super) fn steps(
        &self,
        latency: Duration,
    ) -> Vec<(&'static str, &'static str, Duration, f64)> {
        let trip = latency * 2;
        let steps = [
            (
                "the initiator could send",
                "round_trips_to_speak",
                self.ready,
            ),
            (
                "the first stanza was read",
                "round_trips_to_first_word",
                self.first_word,
            ),
            (
                "both sides were secure",
                "round_trips_to_secure",
                self.secure,
            ),
        ];
        let known = steps.into_iter().filter(|_| !trip.is_zero());
        known
            .filter_map(|(text, field, at)| {
                let at = at?;
                Some((text, field, at, at.as_secs_f64() / trip.as_secs_f64()))
            })
            .collect()
    }

    /// The same for programs.
    pub(super) fn fields(&self, latency: Duration) -> Vec<(&'static str, f64)> {
        let mut fields = vec![
            ("carrying_stanzas", self.carrying as f64),
            ("carrying_bytes", self.carrying_bytes as f64),
            ("inner_stanzas", self.inner as f64),
            ("inner_bytes", self.inner_bytes as f64),
            ("seconds", self.last.as_secs_f64()),
        ];
        let steps = self.steps(latency);
        fields.extend(steps.into_iter().map(|(_, field, _, trips)| (field, trips)));
        fields
    }
}
