//! What travels inside the tunnel: stanzas or bytes.

use bytes::BytesMut;
use xtls_framer::Limits;

use super::bytes::ByteReader;
use super::stanzas::StanzaReader;
use crate::{Config, Mode};

/// What the peer sent and the application has not taken yet, by what it consists of.
#[derive(Debug)]
pub(super) enum Inside {
    Stanzas(StanzaReader),
    Bytes(ByteReader),
}

impl Inside {
    pub(super) fn new(mode: Mode, config: &Config) -> Self {
        Self::over(BytesMut::new(), mode, config)
    }

    fn over(plain: BytesMut, mode: Mode, config: &Config) -> Self {
        match mode {
            Mode::Stanzas => {
                let limits = Limits::default()
                    .max_len(config.max_stanza)
                    .max_depth(config.max_depth);
                Self::Stanzas(StanzaReader::new(plain, limits))
            }
            Mode::Bytes => Self::Bytes(ByteReader::new(plain)),
        }
    }

    /// The peer has named another service before anything was read.
    pub(super) fn change(&mut self, mode: Mode, config: &Config) {
        if self.mode() != mode {
            let plain = std::mem::take(self.buffer());
            *self = Self::over(plain, mode, config);
        }
    }

    pub(super) fn mode(&self) -> Mode {
        match self {
            Self::Stanzas(_) => Mode::Stanzas,
            Self::Bytes(_) => Mode::Bytes,
        }
    }

    /// Where plaintext is appended.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        match self {
            Self::Stanzas(stanzas) => stanzas.buffer(),
            Self::Bytes(bytes) => bytes.buffer(),
        }
    }

    /// Whether more is welcome, with room for `backlog` bytes.
    pub(super) fn wants_more(&self, backlog: usize) -> bool {
        match self {
            Self::Stanzas(stanzas) => stanzas.wants_more(backlog),
            Self::Bytes(bytes) => bytes.wants_more(backlog),
        }
    }

    /// Whether anything has come that shows that the responder accepts our key.
    pub(super) fn is_confirmed(&self) -> bool {
        match self {
            Self::Stanzas(stanzas) => stanzas.is_confirmed(),
            Self::Bytes(bytes) => !bytes.is_empty(),
        }
    }

    /// Whether it would end in the middle of a stanza.
    pub(super) fn is_torn(&self) -> bool {
        match self {
            Self::Stanzas(stanzas) => stanzas.is_torn(),
            Self::Bytes(_) => false,
        }
    }

    /// Gives memory back that an idle session does not need.
    pub(super) fn release(&mut self) {
        match self {
            Self::Stanzas(stanzas) => stanzas.release(),
            Self::Bytes(bytes) => bytes.release(),
        }
    }

    /// Drops what was not taken.
    pub(super) fn clear(&mut self) {
        *self.buffer() = BytesMut::new();
    }
}
