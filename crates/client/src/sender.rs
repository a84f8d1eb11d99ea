//! The writing side of a tunnel.

use std::io;

use tokio::sync::{mpsc, oneshot};
use xtls_session::{Compare, Peer, Run, Service, Verdict, VerifyError};
use xtls_stanza::verify::Reason;
use xtls_stanza::{Address, Stanza};
use xtls_tls::Fingerprint;
#[cfg(doc)]
use xtls_tunnel::router::TunnelEvent;
use xtls_tunnel::router::{Closed, Gone, SendError, Stats, TunnelId};
use zeroize::Zeroizing;

use crate::command::{Answer, Command};
use crate::error::JudgeError;
use crate::paths::Paths;
use crate::progress::Progress;

/// The writing side of a [`Tunnel`](crate::Tunnel), for another task.
#[derive(Debug, Clone)]
pub struct Sender {
    id: TunnelId,
    peer: Address,
    progress: Progress,
    commands: mpsc::Sender<Command>,
}

impl Sender {
    pub(crate) fn new(
        id: TunnelId,
        peer: Address,
        progress: Progress,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        Self {
            id,
            peer,
            progress,
            commands,
        }
    }

    /// Names this tunnel within its client.
    #[must_use]
    pub fn id(&self) -> TunnelId {
        self.id
    }

    /// The address at the other end.
    #[must_use]
    pub fn peer(&self) -> &Address {
        &self.peer
    }

    /// Waits until it is known what the tunnel is for: at once if we opened it, and otherwise as soon as both ends have
    /// accepted each other. Cancel-safe.
    ///
    /// Where the policy is to ask about unknown keys, answer [`TunnelEvent::Judge`] meanwhile.
    ///
    /// # Errors
    /// The tunnel has ended before.
    pub async fn service(&self) -> io::Result<Service> {
        self.progress.service().await
    }

    /// Waits until both ends have accepted each other, and returns what the peer has proven to be: its address, its key,
    /// what was known of that key, the service. Cancel-safe.
    ///
    /// Where the policy is to ask about unknown keys, answer [`TunnelEvent::Judge`] meanwhile. There is no need to wait before
    /// writing: nothing leaves before our own verdict.
    ///
    /// # Errors
    /// The tunnel has ended before.
    pub async fn established(&self) -> io::Result<Peer> {
        self.progress.established().await
    }

    /// What the peer has proven to be; `None` until both ends have accepted each other.
    #[must_use]
    pub fn proven(&self) -> Option<Peer> {
        self.progress.peer()
    }

    /// Where it goes, if it [may move](xtls_tunnel::Config::paths).
    #[must_use]
    pub fn paths(&self) -> Paths {
        Paths::new(self.progress.clone())
    }

    /// Waits for the end of the tunnel, also after the [`Tunnel`](crate::Tunnel) was dropped. Cancel-safe.
    ///
    /// It takes no events: a tunnel whose owner neither reads nor drops it may not end.
    ///
    /// # Errors
    /// The client's task was aborted.
    pub async fn closed(&self) -> Result<Closed, Gone> {
        self.progress.closed().await
    }

    /// Sends a stanza; waits while the tunnel is not open yet, and while there is no room. What is sent before the
    /// tunnel is open leaves together with the last flight of the handshake.
    ///
    /// Cancel-safe in this sense: if the future is dropped while it waits for room, the stanza is normally not sent; it may
    /// be if the room came at the same moment.
    ///
    /// # Errors
    /// The caller's faults, or the tunnel has ended.
    pub async fn send(&self, stanza: Stanza) -> Result<(), SendError> {
        let (done, sent) = oneshot::channel();
        let command = Command::Send {
            id: self.id,
            stanza: Box::new(stanza),
            done,
        };
        self.commands.send(command).await.map_err(|_| Gone)?;
        sent.await.map_err(|_| Gone)?
    }

    /// Answers [`TunnelEvent::Judge`], about exactly that key. Accepting pins the key first.
    ///
    /// Not cancel-safe: once the client has it, a verdict counts even if the future is dropped. The answer is lost, the pin is
    /// not.
    ///
    /// # Errors
    /// See [`JudgeError`]: nothing was accepted.
    pub async fn judge(&self, key: Fingerprint, verdict: Verdict) -> Result<(), JudgeError> {
        let (done, judged) = oneshot::channel();
        let command = Command::Judge {
            id: self.id,
            key,
            verdict,
            done,
        };
        self.commands.send(command).await.map_err(|_| Gone)?;
        judged.await.map_err(|_| Gone)?
    }

    /// Answers [`TunnelEvent::Asked`]: whether this open may become a tunnel.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing is answered.
    pub async fn admit(&self, yes: bool) {
        let _ = self.commands.send(Command::Admit(self.id, yes)).await;
    }

    /// Begins to verify the peer, or takes part in the run that the peer asks for. [`TunnelEvent::Verify`] reports what becomes of
    /// it; the client counts the attempt and stores the result.
    ///
    /// Not cancel-safe: once the client has it, the run goes on even if the future is dropped, and its events name it.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify(&self, compare: Compare) -> Result<Run, VerifyError> {
        let (done, begun) = oneshot::channel();
        let command = Command::Verify {
            id: self.id,
            compare,
            done,
        };
        if self.commands.send(command).await.is_err() {
            return Err(VerifyError::NotOpen);
        }
        begun.await.unwrap_or(Err(VerifyError::NotOpen))
    }

    /// Joins exactly this run of [`Verify::Asked`](xtls_session::Verify::Asked).
    ///
    /// Not cancel-safe: once the client has it, it counts even if the future is dropped; here and in the next two.
    ///
    /// # Errors
    /// See [`VerifyError`]: [`Stale`](VerifyError::Stale) if the run, or its tunnel, has ended; here and below.
    pub async fn verify_join(&self, run: Run, compare: Compare) -> Result<(), VerifyError> {
        self.answer(run, Answer::Join(compare)).await
    }

    /// Confirms that a person has compared the words of this run of [`Verify::Compare`](xtls_session::Verify::Compare), and
    /// that they are the same.
    ///
    /// Not cancel-safe, as [`verify_join`](Self::verify_join).
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify_agree(&self, run: Run) -> Result<(), VerifyError> {
        self.answer(run, Answer::Agree).await
    }

    /// Ends a run, or declines one.
    ///
    /// Not cancel-safe, as [`verify_join`](Self::verify_join).
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify_cancel(&self, run: Run, reason: Reason) -> Result<(), VerifyError> {
        self.answer(run, Answer::Cancel(reason)).await
    }

    async fn answer(&self, run: Run, answer: Answer) -> Result<(), VerifyError> {
        let (done, taken) = oneshot::channel();
        let command = Command::Answer {
            id: self.id,
            run,
            answer,
            done,
        };
        if self.commands.send(command).await.is_err() {
            return Err(VerifyError::Stale(run));
        }
        taken.await.unwrap_or(Err(VerifyError::Stale(run)))
    }

    /// Keying material that only the two ends of this tunnel know (RFC 8446 §7.5), `length` bytes of it, while its session is
    /// open. It covers addresses, sid and service, but not the initiator's key: bind that separately.
    ///
    /// Cancel-safe: it changes nothing, and what nobody waits for is wiped.
    ///
    /// # Errors
    /// Our verdict on the peer's key is still open, or the tunnel has ended.
    pub async fn export(
        &self,
        label: &str,
        context: &[u8],
        length: usize,
    ) -> Result<Zeroizing<Vec<u8>>, SendError> {
        let (done, exported) = oneshot::channel();
        let command = Command::Export {
            id: self.id,
            label: label.to_owned(),
            context: context.to_vec(),
            out: Zeroizing::new(vec![0; length]),
            done,
        };
        self.commands.send(command).await.map_err(|_| Gone)?;
        exported.await.map_err(|_| Gone)?
    }

    /// What has passed through the tunnel so far.
    ///
    /// Cancel-safe: it changes nothing.
    ///
    /// # Errors
    /// It has ended: the last counts are in [`Closed::traffic`](xtls_tunnel::router::Closed::traffic).
    pub async fn stats(&self) -> Result<Stats, Gone> {
        let (done, counted) = oneshot::channel();
        let command = Command::Stats { id: self.id, done };
        self.commands.send(command).await.map_err(|_| Gone)?;
        counted.await.ok().flatten().ok_or(Gone)
    }

    /// Ends our direction once everything that waits has been sent; the peer's stays open. [`TunnelEvent::Closed`] says whether the
    /// other end took everything.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, nothing ends; here and in the next two.
    pub async fn finish(&self) {
        let _ = self.commands.send(Command::Finish(self.id)).await;
    }

    /// Ends the tunnel in order, each step within the configured time. [`TunnelEvent::Closed`] says whether the other end took
    /// everything.
    ///
    /// Cancel-safe, as [`finish`](Self::finish).
    pub async fn close(&self) {
        let _ = self.commands.send(Command::Close(self.id)).await;
    }

    /// Ends the tunnel at once; the peer sees a truncation.
    ///
    /// Cancel-safe, as [`finish`](Self::finish).
    pub async fn abort(&self) {
        let _ = self.commands.send(Command::Abort(self.id)).await;
    }
}
