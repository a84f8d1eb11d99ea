//! What was sent and is not known to be stored.

use std::collections::VecDeque;

/// The files of which something is on its way, in the order in which they were begun.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    flights: VecDeque<Flight>,
}

#[derive(Debug)]
struct Flight {
    index: u32,
    stored: u64,
    sent: u64,
}

impl Flights {
    /// A file is sent from there on.
    pub(crate) fn begin(&mut self, index: u32, offset: u64) {
        let (stored, sent) = (offset, offset);
        self.flights.push_back(Flight {
            index,
            stored,
            sent,
        });
    }

    /// The file that was begun last has been sent up to there.
    pub(crate) fn send(&mut self, to: u64) {
        if let Some(flight) = self.flights.back_mut() {
            flight.sent = to;
        }
    }

    /// A file is stored up to there. `false`: that was not sent, or is no news.
    pub(crate) fn store(&mut self, index: u32, to: u64) -> bool {
        let flight = self.flights.iter_mut().find(|flight| flight.index == index);
        let Some(flight) = flight.filter(|flight| to > flight.stored && to <= flight.sent) else {
            return false;
        };
        flight.stored = to;
        true
    }

    /// Nothing more is to be heard of a file.
    pub(crate) fn remove(&mut self, index: u32) {
        self.flights.retain(|flight| flight.index != index);
    }

    /// Bytes that are on their way.
    pub(crate) fn bytes(&self) -> u64 {
        let each = self.flights.iter();
        each.map(|flight| flight.sent.saturating_sub(flight.stored))
            .fold(0, u64::saturating_add)
    }
}
