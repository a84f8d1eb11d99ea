//! Byte tunnels: an opaque stream each way in place of stanzas, and what any tunnel can say of itself.

use std::time::Instant;

use bytes::Bytes;
use xtls_session::Mode;

use super::Router;
use super::event::{Gone, SendError, TunnelId};
use crate::transport;

/// What a tunnel has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Plaintext bytes that were written: of stanzas the text without routing data.
    pub written: u64,
    /// Plaintext bytes that were read.
    pub read: u64,
    /// Whether the key exchange resists quantum computers; `None` before the handshake is finished, and after the session.
    pub post_quantum: Option<bool>,
    /// The stream beneath; `None` when it has ended, and for transports that do not count (the start flow).
    pub stream: Option<transport::Stats>,
}

impl Router {
    /// Writes bytes into a byte tunnel, as many as there is room for, and says how many.
    ///
    /// # Errors
    /// The caller's faults, and `Full` when there is no room; [`TunnelEvent::Writable`](super::TunnelEvent::Writable) follows.
    pub fn write(&mut self, now: Instant, id: TunnelId, bytes: &[u8]) -> Result<usize, SendError> {
        let now = self.clock.read(now);
        let tunnel = self.tunnels.get_mut(&id).ok_or(Gone)?;
        let taken = tunnel.carrier_mut().sending()?.write(bytes)?;
        self.mark_and_pump(now, id);
        Ok(taken)
    }

    /// Reads bytes from a byte tunnel, at most `max`; `None` when there are none now, or never again. Bytes that are not
    /// read slow the peer down: their chunks are not acknowledged.
    pub fn read(&mut self, now: Instant, id: TunnelId, max: usize) -> Option<Bytes> {
        let now = self.clock.read(now);
        let session = self.running(id)?;
        let bytes = session.read(max);
        // There is room below, or the peer's end behind it.
        self.mark_and_pump(now, id);
        bytes
    }

    /// Ends a byte tunnel in order as [`close`](Self::close) does, after these last bytes, for which there need not be room.
    ///
    /// # Errors
    /// The caller's faults. The tunnel goes on then.
    pub fn close_after(
        &mut self,
        now: Instant,
        id: TunnelId,
        last: &[u8],
    ) -> Result<(), SendError> {
        let inner = self.clock.read(now);
        let tunnel = self.tunnels.get_mut(&id).ok_or(Gone)?;
        if !last.is_empty() {
            tunnel.carrier_mut().sending()?.close_after(inner, last)?;
        }
        self.close(now, id);
        Ok(())
    }

    /// Keying material that only the two ends of this tunnel know (RFC 8446 §7.5), while its session is open.
    ///
    /// It covers addresses, sid and service, but not the initiator's key: bind that separately.
    ///
    /// # Errors
    /// Before the verdict and after the end of the session.
    pub fn export(
        &mut self,
        id: TunnelId,
        label: &str,
        context: &[u8],
        out: &mut [u8],
    ) -> Result<(), SendError> {
        let tunnel = self.tunnels.get_mut(&id).ok_or(Gone)?;
        Ok(tunnel
            .carrier_mut()
            .sending()?
            .export(label, context, out)?)
    }

    /// What a tunnel has done so far; `None` when it has ended.
    #[must_use]
    pub fn stats(&self, id: TunnelId) -> Option<Stats> {
        let tunnel = self.tunnels.get(&id)?;
        let session = tunnel.session();
        let traffic = session.map(xtls_session::Session::traffic);
        Some(Stats {
            written: traffic.map_or(0, |traffic| traffic.written),
            read: traffic.map_or(0, |traffic| traffic.read),
            post_quantum: session.and_then(xtls_session::Session::is_post_quantum),
            stream: self
                .stream_of(id)
                .and_then(|stream| self.transports.stats(stream)),
        })
    }

    /// What travels inside, as far as it is known: a responder that takes several services learns it from TLS.
    #[must_use]
    pub fn mode(&self, id: TunnelId) -> Option<Mode> {
        self.tunnels.get(&id)?.carrier().mode()
    }

    /// Whether a tunnel carries bytes, or may turn out to.
    #[must_use]
    pub fn may_carry_bytes(&self, id: TunnelId) -> bool {
        let mut services = std::iter::once(&self.config.service).chain(self.config.also.iter());
        match self.mode(id) {
            Some(mode) => mode == Mode::Bytes,
            None => services.any(|service| service.mode() == Mode::Bytes),
        }
    }
}
