//! What the wire brings: records in, plaintext out.

use std::io::BufRead as _;
use std::panic::{self, AssertUnwindSafe};

use bytes::{BufMut as _, BytesMut};
use rustls::{Error, IoState};

use super::{RUSTLS_READ, Tls};
use crate::alert::Alert;
use crate::error::TlsError;

impl Tls {
    /// Takes all of `wire`, in any cutting, and appends what it says to `plain`.
    ///
    /// `plain` grows by at most the length of `wire` (plus what was held back of an unfinished record: under 17 KiB). Bytes
    /// after the peer's `close_notify` (RFC 8446 §6.1) and after a failure are dropped.
    pub fn handle_wire(&mut self, mut wire: &[u8], plain: &mut BytesMut) {
        self.seal();
        // rustls makes its buffer longer by a whole read each time. With the odd bytes first, it ends where the wire does.
        let mut odd = Some(wire.len() % RUSTLS_READ).filter(|odd| *odd > 0);
        while !wire.is_empty() && self.failure.is_none() && !self.peer_closed {
            let mut piece = odd.take().and_then(|odd| wire.get(..odd)).unwrap_or(wire);
            piece = piece.get(..self.idle.piece(piece)).unwrap_or(piece);
            let (whole, before, mut ended) = (piece, plain.len(), self.peer.is_some());
            let Some(connection) = &mut self.connection else {
                return;
            };
            // Plaintext is drained after each read, so that rustls always has room for more.
            let outcome = match connection.read_tls(&mut piece) {
                Ok(0) => Err(Error::General("no more bytes are taken".to_owned())),
                Ok(taken) => {
                    ended &= self.idle.read(whole.get(..taken).unwrap_or(whole));
                    wire = wire.get(taken..).unwrap_or_default();
                    self.process()
                }
                Err(error) => Err(Error::General(error.to_string())),
            };
            self.finish();
            self.drain(plain);
            match outcome {
                Ok(_) if planted!("close-notify-ignored") => {}
                Ok(state) => self.peer_closed |= state.peer_has_closed(),
                Err(error) => self.fail(&error),
            }
            let going_on = ended && !self.peer_closed && self.failure.is_none();
            if going_on && self.idle.ended(plain.len() > before) {
                self.last_word(Alert::UNEXPECTED_MESSAGE);
                self.failure = Some(TlsError::Idle);
            }
        }
        self.release();
        self.collect();
        if planted!("alert-swallowed") && self.failure.is_some() {
            self.out.clear();
        }
    }

    /// The transport has ended. Without the peer's `close_notify` before, the connection is [`TlsError::Truncated`].
    pub fn handle_wire_end(&mut self) {
        self.peer_closed |= planted!("truncation-is-clean") && self.peer.is_some();
        if !self.peer_closed && self.failure.is_none() {
            self.failure = Some(TlsError::Truncated);
        }
    }

    fn process(&mut self) -> Result<IoState, Error> {
        let Some(connection) = &mut self.connection else {
            return Err(Error::HandshakeNotComplete);
        };
        if !self.closed {
            return connection.process_new_packets();
        }
        // rustls asserts in debug builds that no alert follows our close_notify, and sends one all the same when the peer
        // breaks a rule after it. A peer must not be able to stop the program with that.
        panic::catch_unwind(AssertUnwindSafe(|| connection.process_new_packets())).unwrap_or_else(
            |_| {
                Err(Error::General(
                    "a record after our close_notify cannot be read".to_owned(),
                ))
            },
        )
    }

    /// Moves decrypted data out of rustls.
    fn drain(&mut self, plain: &mut BytesMut) {
        let Some(connection) = self.connection.as_mut().filter(|_| self.peer.is_some()) else {
            return;
        };
        let mut reader = connection.reader();
        while let Ok(chunk) = reader.fill_buf() {
            let len = chunk.len();
            if len == 0 {
                return;
            }
            plain.put_slice(chunk);
            reader.consume(len);
        }
    }
}
