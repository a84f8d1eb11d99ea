//! One tunnel at one moment, as quinn's streams are seen through their connection.

use std::time::Instant;

use bytes::Bytes;
use xtls_session::{Compare, Mode, Receipt, Run, Session, Verdict, VerifyError};
use xtls_stanza::Stanza;
use xtls_stanza::verify::Reason;
use xtls_tls::Fingerprint;
use xtls_tls::trust::TrustError;

use super::Router;
use super::config::Config;
use super::event::{Gone, JudgeError, SendError, TunnelId};
use super::progress::Intent;
use super::transports::Transports;
use super::tunnel::Tunnel;
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
    /// The most that the peer has said, inside, of what was sent to it; `None` as there.
    pub receipt: Option<Receipt>,
    /// The stream beneath; `None` when it has ended, and for transports that do not count (the start flow).
    pub stream: Option<transport::Stats>,
}

/// A tunnel that has not ended, and what it can say of itself. [`Router::tunnel_ref`] gives one.
#[derive(Debug, Clone, Copy)]
pub struct TunnelRef<'a> {
    id: TunnelId,
    tunnel: &'a Tunnel,
    transports: &'a Transports,
    config: &'a Config,
}

/// A tunnel that has not ended, and the moment of the calls on it. [`Router::tunnel`] gives one.
///
/// The same rules hold as for the calls of the router: after it, poll for stanzas and events. On a tunnel that has ended by an
/// earlier call, calls do nothing, or say so where they return a `Result`.
#[derive(Debug)]
pub struct TunnelMut<'a> {
    router: &'a mut Router,
    now: Instant,
    id: TunnelId,
}

impl<'a> TunnelRef<'a> {
    pub(super) fn new(
        id: TunnelId,
        tunnel: &'a Tunnel,
        transports: &'a Transports,
        config: &'a Config,
    ) -> Self {
        Self {
            id,
            tunnel,
            transports,
            config,
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(self) -> TunnelId {
        self.id
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(self) -> Stats {
        let session = self.tunnel.session();
        let traffic = session.map(Session::traffic);
        let stream = self.tunnel.carrier().stream();
        Stats {
            written: traffic.map_or(0, |traffic| traffic.written),
            read: traffic.map_or(0, |traffic| traffic.read),
            post_quantum: session.and_then(Session::is_post_quantum),
            receipt: session.map(Session::receipt),
            stream: stream.and_then(|stream| self.transports.stats(stream)),
        }
    }

    /// What travels inside, as far as it is known: a responder that takes several services learns it from TLS.
    #[must_use]
    pub fn mode(self) -> Option<Mode> {
        self.tunnel.carrier().mode()
    }

    /// Whether it carries bytes, or may turn out to.
    #[must_use]
    pub fn may_carry_bytes(self) -> bool {
        match self.mode() {
            Some(mode) => mode == Mode::Bytes,
            None => self.config.serves_bytes(),
        }
    }

    /// Whether this verdict on this key would be taken now: to be asked before a pin is written for it.
    ///
    /// # Errors
    /// Why it would not be.
    pub fn awaits_verdict(self, key: Fingerprint, verdict: Verdict) -> Result<(), JudgeError> {
        let session = self.tunnel.session().ok_or(Gone)?;
        Ok(session.awaits_verdict(key, verdict)?)
    }
}

impl<'a> TunnelMut<'a> {
    pub(super) fn new(router: &'a mut Router, now: Instant, id: TunnelId) -> Self {
        Self { router, now, id }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> TunnelId {
        self.id
    }

    /// As [`TunnelRef::stats`].
    #[must_use]
    pub fn stats(&self) -> Stats {
        let shared = self.router.tunnel_ref(self.id);
        shared.map(TunnelRef::stats).unwrap_or_default()
    }

    /// As [`TunnelRef::mode`].
    #[must_use]
    pub fn mode(&self) -> Option<Mode> {
        self.router.tunnel_ref(self.id).ok()?.mode()
    }

    // What is said in it.

    /// Sends a stanza.
    ///
    /// # Errors
    /// The caller's faults, and `Full` when there is no room; [`TunnelEvent::Writable`](super::TunnelEvent::Writable) follows.
    pub fn send(&mut self, stanza: &Stanza) -> Result<(), SendError> {
        self.router.send(self.now, self.id, stanza)
    }

    /// Writes bytes into a byte tunnel, as many as there is room for, and says how many.
    ///
    /// # Errors
    /// The caller's faults, and `Full` when there is no room; [`TunnelEvent::Writable`](super::TunnelEvent::Writable) follows.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, SendError> {
        self.router.write(self.now, self.id, bytes)
    }

    /// Reads bytes from a byte tunnel, at most `max`; `None` when there are none now, or never again. Bytes that are not
    /// read slow the peer down: their chunks are not acknowledged.
    pub fn read(&mut self, max: usize) -> Option<Bytes> {
        // Afterwards there is room below, or the peer's end behind it.
        let read = |session: &mut Session, _| Ok(session.read(max));
        let read = self.router.in_session(self.now, self.id, Gone, read);
        read.ok().flatten()
    }

    /// Says whether the owner takes events of it now. While it does not, the tunnel stops reading and its peer is slowed
    /// down.
    pub fn hold(&mut self, hold: bool) {
        self.router.hold(self.now, self.id, hold);
    }

    /// Keying material that only the two ends of this tunnel know (RFC 8446 §7.5), while its session is open.
    ///
    /// It covers addresses, sid and service, but not the initiator's key: bind that separately.
    ///
    /// # Errors
    /// Before the verdict and after the end of the session.
    pub fn export(&mut self, label: &str, context: &[u8], out: &mut [u8]) -> Result<(), SendError> {
        self.router.export(self.id, label, context, out)
    }

    // How owners end it in order, and say that they have taken what the peer sent.

    /// Ends our direction; what the peer still says is read without a limit of time, and what we said is delivered without
    /// one. [`Closed::receipt`](super::Closed::receipt) tells what became of it.
    pub fn finish(&mut self) {
        self.end_in_order(Intent::Finish, Session::finish);
    }

    /// The owner has taken everything that came before [`TunnelEvent::PeerFinished`](super::TunnelEvent::PeerFinished): the
    /// peer may know, and waits for it. Ignored until that has been told.
    pub fn took(&mut self) {
        self.router.took(self.now, self.id);
    }

    /// Ends it in order, each step within the configured time. [`Closed::receipt`](super::Closed::receipt) tells what became
    /// of what we said.
    pub fn close(mut self) {
        self.end_in_order(Intent::Close, Session::close);
    }

    /// Ends a byte tunnel in order as [`close`](Self::close) does, after these last bytes, for which there need not be room.
    ///
    /// # Errors
    /// The caller's faults. The tunnel goes on then.
    pub fn close_after(self, last: &[u8]) -> Result<(), SendError> {
        self.router.close_after(self.now, self.id, last)
    }

    /// Ends it in order for an owner that is not there any more to hear what became of it: what was said is delivered, each
    /// step within the configured time, and what the peer says is not taken.
    pub fn leave(mut self) {
        self.end_in_order(Intent::Close, Session::leave);
    }

    fn end_in_order(&mut self, intent: Intent, end: fn(&mut Session, Instant)) {
        self.router.end_in_order(self.now, self.id, intent, end);
    }

    /// Ends it at once. The peer sees a truncation.
    pub fn abort(self) {
        self.router.abort(self.now, self.id);
    }

    // Whom it lets in.

    /// Gives the owner's word on [`TunnelEvent::Asked`](super::TunnelEvent::Asked), which holds for this open only. One that
    /// was asked about before is no error.
    pub fn admit(&mut self, yes: bool) {
        self.router.admit(self.now, self.id, yes);
    }

    /// Gives the owner's word on [`TunnelEvent::Judge`](super::TunnelEvent::Judge), about exactly this key.
    ///
    /// # Errors
    /// See [`JudgeError`]. Nothing has changed then.
    pub fn judge(&mut self, key: Fingerprint, verdict: Verdict) -> Result<(), JudgeError> {
        let judge = |session: &mut Session, now| Ok(session.judge(now, key, verdict)?);
        self.router
            .in_session(self.now, self.id, Gone.into(), judge)
    }

    /// Ends it because its peer's key is not to be trusted.
    pub fn distrust(self, why: TrustError) {
        self.router.distrust(self.now, self.id, why);
    }

    // Verification, passed on to its session.

    /// The person here wants to verify the peer: begins a run, or takes part in the one that the peer asks for. No two runs
    /// of one router have one name.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub fn verify(&mut self, compare: Compare) -> Result<Run, VerifyError> {
        let seed = self.router.fresh_secret();
        self.verification(VerifyError::NotOpen, |session, now| {
            session.verify(now, compare, seed)
        })
    }

    /// The person here says yes to exactly this run of [`Verify::Asked`](xtls_session::Verify::Asked).
    ///
    /// # Errors
    /// See [`VerifyError`]. With a tunnel its runs have ended, here and below.
    pub fn verify_join(&mut self, run: Run, compare: Compare) -> Result<(), VerifyError> {
        let seed = self.router.fresh_secret();
        self.verification(VerifyError::Stale(run), |session, now| {
            session.verify_join(now, run, compare, seed)
        })
    }

    /// The attempt is counted: the run may begin.
    ///
    /// # Errors
    /// [`VerifyError::Stale`] and [`VerifyError::NotDue`].
    pub fn verify_go(&mut self, run: Run) -> Result<(), VerifyError> {
        self.verification(VerifyError::Stale(run), |session, now| {
            session.verify_go(now, run)
        })
    }

    /// The words of this run are the same.
    ///
    /// # Errors
    /// [`VerifyError::Stale`] and [`VerifyError::NotDue`].
    pub fn verify_agree(&mut self, run: Run) -> Result<(), VerifyError> {
        self.verification(VerifyError::Stale(run), |session, now| {
            session.verify_agree(now, run)
        })
    }

    /// Ends a run, or declines one.
    ///
    /// # Errors
    /// [`VerifyError::Stale`].
    pub fn verify_cancel(&mut self, run: Run, reason: Reason) -> Result<(), VerifyError> {
        self.verification(VerifyError::Stale(run), |session, now| {
            session.verify_cancel(now, run, reason)
        })
    }

    fn verification<T>(
        &mut self,
        ended: VerifyError,
        call: impl FnOnce(&mut Session, Instant) -> Result<T, VerifyError>,
    ) -> Result<T, VerifyError> {
        self.router.in_session(self.now, self.id, ended, call)
    }
}
