//! What goes into the tunnel.

use bytes::Bytes;
use xtls_framer::is_one;
use xtls_stanza::Stanza;
use xtls_tls::{MAX_RECORD, RECORD_OVERHEAD, WriteError};

use super::finish::is_ours_to_say;
use super::{Direction, Phase, Session};
use crate::event::SendError;
use crate::{Mode, routing};

impl Session {
    /// Sends one stanza. `to` and `from` may be absent or truthful; they do not travel.
    ///
    /// # Errors
    /// The caller's faults: see [`SendError`]. Nothing was sent then.
    pub fn send(&mut self, stanza: &Stanza) -> Result<(), SendError> {
        if self.binding.service.mode() == Mode::Bytes {
            return Err(SendError::Mode("bytes, not stanzas"));
        }
        self.may_write()?;
        self.may_ask(stanza)?;
        is_ours_to_say(stanza)?;
        let stripped = routing::strip(stanza, &self.binding)?;
        let mut xml = whole(&stripped)?;
        if xml.len() > self.config.max_stanza {
            return Err(SendError::TooLong {
                length: xml.len(),
                limit: self.config.max_stanza,
            });
        }
        self.pad(&mut xml);
        let written = self.tls.write_shared(&xml);
        self.wrote(written, xml.len())?;
        self.asked(stanza);
        self.unconfirmed = self.unconfirmed.saturating_add(1);
        Ok(())
    }

    /// Writes bytes (byte mode), as many as there is room for, and says how many.
    ///
    /// # Errors
    /// The caller's faults: see [`SendError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, SendError> {
        if self.binding.service.mode() == Mode::Stanzas {
            return Err(SendError::Mode("stanzas, not bytes"));
        }
        self.may_write()?;
        let taken = bytes.get(..self.room()).unwrap_or(bytes);
        let written = self.tls.write(taken);
        self.wrote(written, taken.len())?;
        self.count_early(taken.len() as u64);
        Ok(taken.len())
    }

    /// Bytes for which there need not be room in the queue: the session's last ones.
    pub(super) fn write_last(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        if self.binding.service.mode() == Mode::Stanzas {
            return Err(SendError::Mode("stanzas, not bytes"));
        }
        self.may_speak()?;
        let written = self.tls.write(bytes);
        self.wrote(written, bytes.len())?;
        self.count_early(bytes.len() as u64);
        Ok(())
    }

    /// One TLS write, so that the length of the stanza shows nowhere.
    pub(super) fn pad(&self, xml: &mut Vec<u8>) {
        xml.resize(xml.len().next_multiple_of(self.config.padding), b' ');
    }

    fn may_write(&mut self) -> Result<(), SendError> {
        self.may_speak()?;
        if self.room() == 0 {
            self.said_full = true;
            return Err(SendError::Full);
        }
        Ok(())
    }

    fn may_speak(&self) -> Result<(), SendError> {
        match self.phase {
            Phase::Handshaking { .. } | Phase::Judging { .. } => return Err(SendError::NotOpen),
            Phase::Ending(_) | Phase::Closed => return Err(SendError::Finished),
            Phase::Open { .. } => {}
        }
        if self.writing != Direction::Open || self.last.is_some() || self.gone {
            return Err(SendError::Finished);
        }
        Ok(())
    }

    /// What became of a write of so many bytes.
    fn wrote(&mut self, written: Result<(), WriteError>, length: usize) -> Result<(), SendError> {
        match written {
            Ok(()) => {
                self.signs.wrote();
                self.count(length);
                self.traffic.wrote(length);
                Ok(())
            }
            // TLS holds nothing, and still this is too much at once.
            Err(WriteError::Full { room }) if self.tls.wire_pending() == 0 => {
                Err(SendError::TooLong {
                    length,
                    limit: room,
                })
            }
            Err(WriteError::Full { .. }) => {
                self.said_full = true;
                Err(SendError::Full)
            }
            Err(_) => Err(SendError::Finished),
        }
    }

    fn count_early(&mut self, sent: u64) {
        if matches!(self.phase, Phase::Open { confirmed: false }) {
            self.unconfirmed = self.unconfirmed.saturating_add(sent);
        }
    }
}

/// The most bytes of which the records are not longer than `wire`.
pub(super) fn fitting(wire: usize) -> usize {
    const RECORD: usize = MAX_RECORD + RECORD_OVERHEAD;
    let last = (wire % RECORD).saturating_sub(RECORD_OVERHEAD);
    wire / RECORD * MAX_RECORD + last
}

/// The stanza as it is sent: one, and whole. Children that were set by hand could end it and begin another.
///
/// Only the borders are looked at, which costs little; whether the children are well-formed in between was for
/// [`Stanza::read`] or [`Stanza::with_children`] to see.
fn whole(stanza: &Stanza) -> Result<Vec<u8>, SendError> {
    let mut xml = Vec::with_capacity(stanza.children.len().saturating_add(256));
    stanza.write(&mut xml);
    // The strict reader refuses for the same reason and says it better.
    if !is_one(&xml) {
        Stanza::read(&Bytes::copy_from_slice(&xml)).map_err(SendError::Xml)?;
    }
    Ok(xml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_fills_the_queue_and_no_more() {
        for wire in [0, 1, 22, 23, 16_406, 16_407, 16_428, 16_429, 65_535, 65_536] {
            let plain = fitting(wire);
            let len = |plain: usize| plain + plain.div_ceil(MAX_RECORD) * RECORD_OVERHEAD;
            assert!(len(plain) <= wire, "{wire}");
            assert!(len(plain + 1) > wire, "{wire}");
        }
    }
}
