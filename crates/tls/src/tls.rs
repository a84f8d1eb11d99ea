//! TLS as a byte stream: wire bytes in and out, plaintext in and out.

use std::{
    fmt,
    io::{BufRead as _, Write as _},
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use rustls::{
    ClientConnection, Connection, Error, IoState, ServerConnection,
    crypto::cipher::Tls13AeadAlgorithm, pki_types::ServerName,
};
use zeroize::Zeroizing;

use crate::{
    alert::Alert,
    config::Config,
    error::{ConfigError, ExportError, TlsError, WriteError},
    expectations::Expectations,
    idle::Idle,
    io_buffers::{Queue, Waiting},
    last_alert,
    path_keys::{self, PathKeys},
    post_handshake::Checks,
    record::{ALERT, MAX_RECORD, PROTECTED, RECORD_OVERHEAD, last_record},
    role::Role,
    trust::TrustError,
    verifier::{PeerKey, Standing},
    verify,
};

/// rustls wants a name even when it is neither sent nor checked (RFC 6761 §6.4: resolves to nothing).
const NO_NAME: &str = "xtls.invalid";

/// What rustls reads at a time, in bytes.
const RUSTLS_READ: usize = 4096;
/// From so many bytes on, a write is a part of something large, and so much room is made for it.
const BULK: usize = 8192;
const AHEAD: usize = 66_000;

/// One end of a TLS 1.3 connection, without I/O.
///
/// - Wire bytes go into [`handle_wire`](Self::handle_wire), cut in any way, and come out of [`poll_wire`](Self::poll_wire).
/// - The peer's faults end the connection: see [`failure`](Self::failure). Poll once more then, the alert is in the queue.
/// - Nothing is decrypted into `plain`, and [`peer`](Self::peer) is `None`, before the peer's certificate, its signature
///   and its Finished were checked and the ALPN name fits.
/// - A client that has finished does not know yet whether the server accepts it: that shows in the first bytes it
///   receives, or in an alert.
/// - The directions end separately: [`close`](Self::close) ends ours, [`peer_closed`](Self::peer_closed) tells that the
///   peer has ended its own.
///
/// `Debug` shows neither keys nor plaintext.
pub struct Tls {
    /// Gone once the peer was turned away.
    connection: Option<Connection>,
    checks: Checks,
    /// What the path keys are for; gone with them.
    sealing: Option<&'static dyn Tls13AeadAlgorithm>,
    max_record: usize,
    max_pending: usize,
    /// Plaintext whose record is still open for more.
    unsealed: Vec<u8>,
    /// Wire bytes that were not polled yet.
    out: BytesMut,
    peer: Option<PeerKey>,
    failure: Option<TlsError>,
    closed: bool,
    peer_closed: bool,
    rekey: bool,
    idle: Idle,
}

impl Tls {
    /// A new connection. A client has its first flight ready at once.
    ///
    /// # Errors
    /// [`ConfigError`]: an address that is no bare JID or not ours, an impossible ALPN name or record size, or a provider
    /// without what is required.
    pub fn new(role: Role, config: &Config, expect: Expectations) -> Result<Self, ConfigError> {
        let refused = |error: Error| ConfigError::Provider(error.to_string());
        let (mut connection, checks) = match role {
            Role::Client => {
                let (client, checks) = config.client(&expect)?;
                let name = ServerName::try_from(NO_NAME)
                    .map_err(|error| ConfigError::Provider(error.to_string()))?;
                let client = ClientConnection::new(Arc::new(client), name).map_err(refused)?;
                (Connection::Client(client), checks)
            }
            Role::Server => {
                let (server, checks) = config.server(&expect)?;
                let server = ServerConnection::new(Arc::new(server)).map_err(refused)?;
                (Connection::Server(server), checks)
            }
        };
        // The limit is `max_pending`, kept here: rustls's own would silently take a part of a write.
        connection.set_buffer_limit(None);
        let mut tls = Self {
            connection: Some(connection),
            checks,
            sealing: config.sealing(),
            max_record: MAX_RECORD,
            max_pending: config.max_pending,
            unsealed: Vec::new(),
            out: BytesMut::new(),
            peer: None,
            failure: None,
            closed: false,
            peer_closed: false,
            rekey: false,
            idle: Idle::default(),
        };
        tls.collect();
        Ok(tls)
    }

    /// Takes all of `wire`, however it is cut, and appends the plaintext to `plain`.
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
    }

    /// The transport has ended. Without the peer's `close_notify` before, the connection is [`TlsError::Truncated`].
    pub fn handle_wire_end(&mut self) {
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

    /// Encrypts `plain` for the peer: all of it, or nothing.
    ///
    /// Records hold at most [`set_max_record`](Self::set_max_record) bytes, and two of these writes never share one. A client
    /// may write right after the `handle_wire` that finished its handshake: its last flight and this data are then polled
    /// together.
    ///
    /// # Errors
    /// The caller's only: too early, too late, or more than [`room`](Self::room).
    pub fn write(&mut self, plain: &[u8]) -> Result<(), WriteError> {
        self.seal();
        if self.may_write(plain.len())? {
            self.encrypt(plain);
        }
        Ok(())
    }

    /// As [`write`](Self::write), but small writes of this kind share records for as long as nothing else is called: one that
    /// is polled before the next is written has a record of its own.
    ///
    /// # Errors
    /// As those of [`write`](Self::write).
    pub fn write_shared(&mut self, plain: &[u8]) -> Result<(), WriteError> {
        if plain.len() > self.max_record.saturating_sub(self.unsealed.len()) {
            self.seal();
        }
        if plain.len() > self.max_record {
            return self.write(plain);
        }
        if self.may_write(plain.len())? {
            if !self.unsealed.is_empty() {
                // A second one is seldom the last one.
                self.unsealed.reserve(self.max_record - self.unsealed.len());
            }
            self.unsealed.extend_from_slice(plain);
        }
        Ok(())
    }

    /// Whether a write of so many bytes is one.
    fn may_write(&mut self, len: usize) -> Result<bool, WriteError> {
        if self.failure.is_some() {
            return Err(WriteError::Failed);
        }
        if self.closed {
            return Err(WriteError::Closed);
        }
        if self.peer.is_none() {
            return Err(WriteError::Handshaking);
        }
        if len > self.room() {
            return Err(WriteError::Full { room: self.room() });
        }
        let connection = self.connection.as_mut().ok_or(WriteError::Failed)?;
        if len > 0 && std::mem::take(&mut self.rekey) {
            connection
                .refresh_traffic_keys()
                .map_err(|_| WriteError::Failed)?;
        }
        Ok(len > 0)
    }

    /// Closes the record that is still open for more.
    fn seal(&mut self) {
        if !self.unsealed.is_empty() {
            // An idle connection holds no memory for it.
            let plain = std::mem::take(&mut self.unsealed);
            self.encrypt(&plain);
        }
    }

    fn encrypt(&mut self, plain: &[u8]) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        if plain.len() >= BULK {
            // More of it follows until the queue is full: growing for each would copy what is there.
            self.out.reserve(AHEAD.saturating_sub(self.out.len()));
        }
        for record in plain.chunks(self.max_record) {
            // rustls keeps all of it: it has no limit of its own here.
            let kept = connection.writer().write_all(record);
            debug_assert!(kept.is_ok(), "{kept:?}");
        }
        self.collect();
    }

    /// How many bytes [`write`](Self::write) takes now: [`Config::max_pending`] less what was not polled yet.
    #[must_use]
    pub fn room(&self) -> usize {
        self.max_pending.saturating_sub(self.wire_pending())
    }

    /// Changes the most plaintext bytes in a record, from the next write on: [`Config::max_record`] at most.
    ///
    /// A record of `n` bytes takes `n +` [`RECORD_OVERHEAD`](crate::RECORD_OVERHEAD) on the wire.
    pub fn set_max_record(&mut self, bytes: usize) {
        self.seal();
        self.max_record = bytes.clamp(1, MAX_RECORD);
    }

    /// The next bytes for the wire, at most `max`; `None` when there are none, or `max` is 0.
    ///
    /// After a failure this is the rest: data written before it, then the alert for the peer.
    pub fn poll_wire(&mut self, max: usize) -> Option<Bytes> {
        self.seal();
        let len = self.out.len().min(max);
        if len == 0 {
            return None;
        }
        if len == self.out.len() {
            // Gives the memory away with the bytes: an idle connection holds none.
            return Some(std::mem::take(&mut self.out).freeze());
        }
        Some(self.out.split_to(len).freeze())
    }

    /// What [`poll_wire`](Self::poll_wire) has to give, without taking it, as far as its records are closed.
    #[must_use]
    pub fn peek_wire(&self) -> &[u8] {
        &self.out
    }

    /// How many bytes [`poll_wire`](Self::poll_wire) has to give.
    #[must_use]
    pub fn wire_pending(&self) -> usize {
        match self.unsealed.len() {
            0 => self.out.len(),
            open => self.out.len() + open + RECORD_OVERHEAD,
        }
    }

    /// Ends our direction with `close_notify` (RFC 8446 §6.1); the peer's goes on until it does the same.
    ///
    /// During the handshake this gives the connection up ([`TlsError::Cancelled`]). Doing it twice does nothing.
    pub fn close(&mut self) {
        if self.closed || self.failure.is_some() {
            return;
        }
        self.seal();
        self.closed = true;
        if self.peer.is_none() {
            self.cancel();
        } else if let Some(connection) = &mut self.connection {
            connection.send_close_notify();
        }
        self.collect();
    }

    /// Renews the keys of both directions (KeyUpdate, RFC 8446 §4.6.3) with the next non-empty write.
    ///
    /// It waits for data on purpose: rustls ends a connection on which more than 32 updates came without data in between.
    /// The peer's keys are renewed when it writes next. Seldom is enough: GnuTLS ends a connection on more than 8 updates
    /// a second, those that it asked for included.
    pub fn refresh_keys(&mut self) {
        self.seal();
        self.rekey = true;
    }

    /// Renews them at once, as a sign of life that is no data: a peer on rustls takes 32 such in a row.
    pub fn show_life(&mut self) {
        self.seal();
        let ready = self.peer.is_some() && !self.closed && self.failure.is_none();
        if let Some(connection) = self.connection.as_mut().filter(|_| ready) {
            // Of a connection that is over it is no news.
            let _ = connection.refresh_traffic_keys();
        }
        self.collect();
    }

    /// Ends the connection because of who the peer is, and lets it know: what was written before, then `access_denied`
    /// (RFC 8446 §6.2). It is over with [`TlsError::Rejected`].
    ///
    /// Before the end of the handshake and after [`close`](Self::close) it is as if `close` were called.
    pub fn reject(&mut self) {
        if self.peer.is_none() || self.closed || self.failure.is_some() {
            self.close();
            return;
        }
        self.last_word(Alert::ACCESS_DENIED);
        self.failure = Some(TlsError::Rejected);
    }

    /// How the pins judge the peer's key now: they may have changed since the handshake.
    ///
    /// # Errors
    /// A new connection would be refused for this. `None` while the peer is not known.
    pub fn judge_again(&self) -> Option<Result<Standing, TrustError>> {
        let peer = self.peer.as_ref()?;
        Some(self.checks.verifier().judge_again(peer))
    }

    /// The last record of this connection is `alert`, behind everything that was written. Nothing follows our close_notify.
    fn last_word(&mut self, alert: Alert) {
        self.seal();
        self.collect();
        let connection = self.connection.take().filter(|_| !self.closed);
        let last = connection.and_then(|connection| last_alert::last_word(connection, alert));
        self.out.put_slice(&last.unwrap_or_default());
    }

    /// Whether the handshake is not finished. Stays `true` when it fails: see [`failure`](Self::failure).
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.peer.is_none()
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the peer ended its direction properly: its `close_notify` came.
    #[must_use]
    pub fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// The ALPN name that both sides agreed on: the expected one or none. `None` until the handshake is finished.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.peer
            .as_ref()
            .and_then(|_| self.connection.as_ref()?.alpn_protocol())
    }

    /// As a server: the ALPN name that answers the client's hello, or that there is none, once the hello was read. Nothing is
    /// proven yet: see [`alpn`](Self::alpn).
    #[must_use]
    pub fn answered_alpn(&self) -> Option<Option<&[u8]>> {
        let connection = self.connection.as_ref()?;
        // Chosen with the answer to the hello, and before the names.
        connection.negotiated_key_exchange_group()?;
        Some(connection.alpn_protocol())
    }

    /// Who the peer is; `None` until it proved to hold its key and the handshake is finished.
    #[must_use]
    pub fn peer(&self) -> Option<&PeerKey> {
        self.peer.as_ref()
    }

    /// Whether the key exchange resists quantum computers (X25519MLKEM768); `None` until the handshake is finished.
    #[must_use]
    pub fn is_post_quantum(&self) -> Option<bool> {
        let group = self
            .peer
            .as_ref()
            .and_then(|_| self.connection.as_ref()?.negotiated_key_exchange_group());
        group.map(|group| group.name() == rustls::NamedGroup::X25519MLKEM768)
    }

    /// Fills `out` with key material that only the two ends know (RFC 8446 §7.5, RFC 5705).
    ///
    /// It covers the handshake up to the server's Finished, thus not the client's certificate: bind that separately.
    ///
    /// # Errors
    /// [`ExportError`] before the handshake is finished, after a failure, and for an impossible length.
    pub fn export(&self, label: &str, context: &[u8], out: &mut [u8]) -> Result<(), ExportError> {
        if self.peer.is_none() || self.failure.is_some() {
            return Err(ExportError);
        }
        let connection = self.connection.as_ref().ok_or(ExportError)?;
        let exported = connection.export_keying_material(out, label.as_bytes(), Some(context));
        exported.map(|_| ()).map_err(|_| ExportError)
    }

    /// What a verification by `method` is bound to: this connection, both keys and both bare JIDs.
    ///
    /// # Errors
    /// [`ExportError`] before the handshake is finished and after a failure.
    pub fn verification(&self, method: verify::Method) -> Result<verify::Context, ExportError> {
        self.context(verify::LABEL, method.name().as_bytes())
    }

    /// The keys of what the two ends say beside this connection, and of the paths that it moves to. They are given once, so that
    /// no key [seals](crate::Seal) two records with one number.
    ///
    /// `None` before the handshake is finished, after a failure, if no ALPN name binds the connection, and if the provider of
    /// cryptography has no AES-256-GCM.
    pub fn path_keys(&mut self) -> Option<PathKeys> {
        self.alpn()?;
        let context = self.context(path_keys::LABEL, b"").ok()?;
        Some(PathKeys::new(self.sealing.take()?, &context))
    }

    fn context(&self, label: &str, about: &[u8]) -> Result<verify::Context, ExportError> {
        let mut secret = Zeroizing::new([0; 32]);
        self.export(label, about, secret.as_mut_slice())?;
        let (peer_jid, own_jid, own_key) = self.checks.verifier().ends();
        let peer = self.peer.as_ref().ok_or(ExportError)?;
        let (own, peer) = ((own_jid, &own_key), (peer_jid, &peer.fingerprint));
        Ok(match self.connection.as_ref().ok_or(ExportError)? {
            Connection::Client(_) => verify::Context::new(Role::Client, own, peer, secret),
            Connection::Server(_) => verify::Context::new(Role::Server, peer, own, secret),
        })
    }

    /// Why the connection is over, if it is over by a fault.
    #[must_use]
    pub fn failure(&self) -> Option<&TlsError> {
        self.failure.as_ref()
    }

    /// Checks what rustls leaves open, once; nothing was delivered yet.
    fn finish(&mut self) {
        let Some(connection) = &self.connection else {
            return;
        };
        if self.peer.is_some() || connection.is_handshaking() {
            return;
        }
        match self.checks.peer(connection) {
            Ok(peer) => self.peer = Some(peer),
            Err(TlsError::Alpn) => self.refuse(TlsError::Alpn, Alert::NO_APPLICATION_PROTOCOL),
            Err(why @ TlsError::Trust(_)) => {
                // Both ends have all keys by now.
                self.last_word(Alert::ACCESS_DENIED);
                self.failure = Some(why);
            }
            Err(why) => self.refuse(why, Alert::HANDSHAKE_FAILURE),
        }
    }

    /// Gives the handshake up, in words that the peer understands at this point.
    fn cancel(&mut self) {
        if self.speaks_plainly() {
            // A `close_notify` would be a mere warning to it.
            self.refuse(TlsError::Cancelled, Alert::USER_CANCELED);
        } else {
            // Our flight is under way, so the alert belongs to the keys at its end.
            if let Some(connection) = &mut self.connection {
                connection.send_close_notify();
            }
            self.failure = Some(TlsError::Cancelled);
        }
    }

    /// Fails with `alert` in place of what is queued, in plaintext: the peer has not seen a byte under our keys yet, and
    /// accepts a plaintext alert until it has (RFC 8446 §6). A client's Finished is thus never sent.
    fn refuse(&mut self, why: TlsError, alert: Alert) {
        self.collect();
        self.out.clear();
        self.out
            .put_slice(&[ALERT, 0x03, 0x03, 0x00, 0x02, 0x02, alert.number()]);
        self.failure = Some(why);
    }

    fn fail(&mut self, error: &Error) {
        if self.failure.is_some() {
            return;
        }
        let unnamed = self.checks.verifier().refusal() == Some(&TlsError::Alpn);
        if unnamed {
            self.refuse(TlsError::Alpn, Alert::NO_APPLICATION_PROTOCOL);
            return;
        }
        let why = self.checks.explain(error);
        self.collect();
        let heard = matches!(error, Error::AlertReceived(_));
        let told = matches!(last_record(&self.out), Some(ALERT | PROTECTED));
        if heard || told || !self.speaks_plainly() {
            self.failure = Some(why);
        } else if matches!(error, Error::PeerMisbehaved(_)) {
            // rustls sends no alert for some faults, and the peer would wait.
            self.refuse(why, Alert::UNEXPECTED_MESSAGE);
        } else {
            self.refuse(why, Alert::DECODE_ERROR);
        }
    }

    /// Whether the peer has not seen a byte under our keys yet.
    fn speaks_plainly(&self) -> bool {
        let unseen = match &self.connection {
            Some(Connection::Client(_)) => true,
            Some(Connection::Server(server)) => server.protocol_version().is_none(),
            None => false,
        };
        self.peer.is_none() && unseen
    }

    /// Lets go of what rustls has read into, all but 4 KiB: up to 28 KiB after full records, for as long as nothing comes.
    fn release(&mut self) {
        if !self.peer_closed
            && self.failure.is_none()
            && let Some(connection) = &mut self.connection
        {
            // rustls sizes its buffer before it asks for bytes, now or when the next ones come; asked to wait, it
            // changes nothing else.
            let _ = connection.read_tls(&mut Waiting);
        }
    }

    /// Moves encrypted data out of rustls.
    fn collect(&mut self) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        while connection.wants_write() {
            // Writing to memory cannot fail.
            if connection.write_tls(&mut Queue(&mut self.out)).is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("peer", &self.peer)
            .field("failure", &self.failure)
            .field("closed", &self.closed)
            .field("peer_closed", &self.peer_closed)
            .field("wire_pending", &self.wire_pending())
            .finish_non_exhaustive()
    }
}
