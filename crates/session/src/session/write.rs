//! What goes into the tunnel.

use xtls_stanza::Stanza;

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
        let stripped = routing::strip(stanza, &self.binding)?;
        let mut xml = Vec::with_capacity(stripped.children.len() + 256);
        stripped.write(&mut xml);
        if xml.len() > self.config.max_stanza {
            return Err(SendError::TooLong {
                length: xml.len(),
                limit: self.config.max_stanza,
            });
        }
        self.write_plain(&xml)?;
        self.count_early(1);
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
        let taken = bytes.get(..bytes.len().min(self.room())).unwrap_or(bytes);
        self.write_plain(taken)?;
        self.count_early(taken.len() as u64);
        Ok(taken.len())
    }

    pub(super) fn may_write(&mut self) -> Result<(), SendError> {
        match self.phase {
            Phase::Handshaking { .. } | Phase::Judging { .. } => return Err(SendError::NotOpen),
            Phase::Ending(_) | Phase::Closed => return Err(SendError::Finished),
            Phase::Open { .. } => {}
        }
        if self.writing == Direction::Ended || self.last.is_some() {
            return Err(SendError::Finished);
        }
        if self.room() == 0 {
            self.said_full = true;
            return Err(SendError::Full);
        }
        Ok(())
    }

    pub(super) fn write_plain(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.tls.write(bytes).map_err(|_| SendError::Finished)
    }

    pub(super) fn count_early(&mut self, sent: u64) {
        if matches!(self.phase, Phase::Open { confirmed: false }) {
            self.unconfirmed = self.unconfirmed.saturating_add(sent);
        }
    }
}
