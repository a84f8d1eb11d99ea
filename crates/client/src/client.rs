//! Handles: what an application holds.

mod io;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use xtls_session::{Compare, Run, Service, Verdict, VerifyError};
use xtls_stanza::verify::Reason;
use xtls_stanza::{Address, Stanza};
use xtls_tls::Fingerprint;
use zeroize::Zeroizing;

use crate::driver::{Answer, Command, Driver, HEAVY, Handles, Life, Link, Note, Trust};
use crate::pipe::Pipe;
use crate::uplink::{LinkError, Uplink};
use xtls_keys::{Pins, PinsError};
use xtls_tunnel::router::{
    Config, Gone, OpenError, Router, SendError, Stats, TURNED_AWAY, TunnelId, TurnedAway, What,
};

pub(crate) type Shared = mpsc::Sender<Command>;

/// The task that [`Client::start`] starts, and how its link ended.
pub type Task = JoinHandle<Result<(), LinkError>>;

/// A connection to one's own server with the tunnels on it. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Client {
    commands: Shared,
    own: Address,
}

/// Tunnels that peers open. Nothing is proven of them yet: ask [`Tunnel::next`].
///
/// As many wait here as [`Config::incoming`] says; further opens are refused before they are accepted.
#[derive(Debug)]
pub struct Incoming {
    tunnels: mpsc::Receiver<Tunnel>,
    turned_away: mpsc::Receiver<TurnedAway>,
    paused: Arc<AtomicBool>,
}

/// What happens at the door.
#[derive(Debug)]
pub enum Arrival {
    /// A peer has opened a tunnel.
    Tunnel(Tunnel),
    /// A limit turned an open away; the peer was told which, and how long to wait. Of one address and limit this comes
    /// once in a minute at most.
    TurnedAway(TurnedAway),
}

impl Incoming {
    /// The next tunnel; `None` when the client has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Tunnel> {
        self.tunnels.recv().await
    }

    /// Whether further opens are refused for now, before they are accepted: each opener is told to try again later, and
    /// [`arrival`](Self::arrival) tells of it. Tunnels that there are, and their renewals, go on.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// The next tunnel, or who was turned away; `None` when the client has ended. Cancel-safe.
    pub async fn arrival(&mut self) -> Option<Arrival> {
        tokio::select! {
            biased;
            Some(away) = self.turned_away.recv() => Some(Arrival::TurnedAway(away)),
            tunnel = self.tunnels.recv() => tunnel.map(Arrival::Tunnel),
        }
    }
}

impl Client {
    /// Starts the one task that owns link, router and pins. It ends when the link is lost for good, or after
    /// [`stop`](Self::stop); its result says which.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn start<U: Uplink + 'static>(
        uplink: U,
        config: Config,
        pins: Pins,
    ) -> Result<(Self, Incoming, Task), LinkError> {
        let mut seed = [0_u8; 32];
        crate::random(&mut seed)?;
        Ok(Self::seeded(uplink, config, pins, seed))
    }

    /// As [`start`](Self::start), with the seed of ids and sids given: for tests that repeat.
    pub fn seeded<U: Uplink + 'static>(
        uplink: U,
        config: Config,
        pins: Pins,
        seed: [u8; 32],
    ) -> (Self, Incoming, Task) {
        let own = uplink.bound().clone();
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (notes_end, notes) = mpsc::unbounded_channel();
        let room = config.incoming_limit().min(MOST_INCOMING);
        let (incoming, tunnels) = mpsc::channel(room.saturating_add(SPARE));
        let (away_end, turned_away) = mpsc::channel(TURNED_AWAY);
        let mut router = Router::new(own.clone(), config, seed);
        router.set_server_limit(uplink.stanza_limit());
        let paused = Arc::new(AtomicBool::new(false));
        let driver = Driver {
            link: Link::new(uplink),
            router,
            trust: Trust::new(pins),
            commands: receiver,
            shared: commands.downgrade(),
            notes,
            notes_end,
            incoming,
            incoming_paused: Arc::clone(&paused),
            turned_away: away_end,
            life: Life::Running,
            handles: Handles::default(),
        };
        let task = tokio::spawn(driver.run());
        let incoming = Incoming {
            tunnels,
            turned_away,
            paused,
        };
        (Self { commands, own }, incoming, task)
    }

    /// Our own address as the server bound it first.
    #[must_use]
    pub fn own(&self) -> &Address {
        &self.own
    }

    /// Opens a tunnel to a full address. The handle comes at once; what becomes of it is told by [`Tunnel::next`].
    ///
    /// # Errors
    /// The caller's faults: see [`OpenError`].
    pub async fn open(&self, peer: &Address) -> Result<Tunnel, OpenError> {
        self.ask(peer, None).await
    }

    /// As [`open`](Self::open), for a service of its own instead of [`Config::service`]: one of bytes, say, in a client that
    /// carries stanzas otherwise. The peer must serve the same.
    ///
    /// # Errors
    /// The caller's faults: see [`OpenError`].
    pub async fn open_for(&self, peer: &Address, service: Service) -> Result<Tunnel, OpenError> {
        self.ask(peer, Some(service)).await
    }

    async fn ask(&self, peer: &Address, service: Option<Service>) -> Result<Tunnel, OpenError> {
        let (done, opened) = oneshot::channel();
        let command = Command::Open {
            peer: peer.clone(),
            service,
            done,
        };
        if self.commands.send(command).await.is_err() {
            return Err(OpenError::Stopped);
        }
        opened.await.unwrap_or(Err(OpenError::Stopped))
    }

    /// Closes every tunnel in order, then the link. Byte tunnels whose writer has not shut down are cut instead: the peer
    /// must not take what it has for the whole.
    pub async fn stop(&self) {
        // A client that has ended has stopped.
        let _ = self.commands.send(Command::Stop).await;
    }
}

/// One tunnel: of stanzas, or of bytes, as the service says that it was opened for.
///
/// * A tunnel of stanzas is written by [`send`](Sender::send) and read by [`next`](Self::next). Dropping it closes it in
///   order.
/// * A tunnel of bytes is `AsyncRead + AsyncWrite`, and [`next`](Self::next) tells what else happens: questions about a key,
///   say. Each direction ends by itself: shutting down is TLS's close_notify, after which the other direction goes on.
///   Dropping it closes it in order if it was shut down, and otherwise cuts it: a program that dies in the middle never
///   looks like one that has said everything.
#[derive(Debug)]
pub struct Tunnel {
    events: mpsc::UnboundedReceiver<What>,
    backlog: Arc<AtomicUsize>,
    /// The application was given [`What::PeerFinished`].
    heard_out: Arc<AtomicBool>,
    /// And has asked for more since.
    took: bool,
    notes: mpsc::UnboundedSender<Note>,
    sender: Sender,
    ended: bool,
    pipe: Option<Arc<Pipe>>,
}

/// The writing side of a [`Tunnel`], for another task.
#[derive(Debug, Clone)]
pub struct Sender {
    id: TunnelId,
    peer: Address,
    commands: Shared,
}

impl Tunnel {
    pub(crate) fn new(
        id: TunnelId,
        peer: Address,
        events: mpsc::UnboundedReceiver<What>,
        backlog: Arc<AtomicUsize>,
        heard_out: Arc<AtomicBool>,
        notes: mpsc::UnboundedSender<Note>,
        commands: Shared,
        pipe: Option<Arc<Pipe>>,
    ) -> Self {
        Self {
            events,
            backlog,
            heard_out,
            took: false,
            notes,
            sender: Sender { id, peer, commands },
            ended: false,
            pipe,
        }
    }

    /// What happened; `None` after [`What::Closed`]. Cancel-safe. An owner that stops asking slows the peer down.
    ///
    /// Asking again after [`What::PeerFinished`] says that everything before it has been taken, and so does
    /// [`finish`](Sender::finish) or [`close`](Sender::close) after it: the peer hears so inside TLS, and may then tell its
    /// own user that nothing was lost. What is not safe yet, on a disk say, is not to be asked beyond. Dropping the tunnel,
    /// or [`abort`](Sender::abort), says nothing of the kind.
    pub async fn next(&mut self) -> Option<What> {
        if !self.took && self.heard_out.load(Ordering::Acquire) {
            self.took = true;
            self.note(Note::Took(self.sender.id));
        }
        // Nothing may wait after this, or an event that was taken would be lost with the future.
        let what = self.events.recv().await?;
        let weight = what.weight();
        let before = self.backlog.fetch_sub(weight, Ordering::AcqRel);
        if before > HEAVY / 2 && before.saturating_sub(weight) <= HEAVY / 2 {
            self.note(Note::Room(self.sender.id));
        }
        self.ended |= matches!(what, What::Closed(_));
        if matches!(what, What::PeerFinished) {
            self.heard_out.store(true, Ordering::Release);
        }
        Some(what)
    }

    fn note(&self, note: Note) {
        // A client that has ended holds nothing back, and has closed everything.
        let _ = self.notes.send(note);
    }

    /// A handle for writing, for another task.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }
}

impl std::ops::Deref for Tunnel {
    type Target = Sender;

    fn deref(&self) -> &Sender {
        &self.sender
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        if !self.ended {
            self.note(Note::Dropped(self.sender.id));
        }
    }
}

impl Sender {
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

    /// Sends a stanza; waits while the tunnel is not open yet, and while there is no room. What is sent before the
    /// tunnel is open leaves together with the last flight of the handshake.
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

    /// Gives the owner's word on [`What::Judge`], about exactly that key. Accepting pins the key first.
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

    /// Gives the owner's word on [`What::Asked`]: whether this open may become a tunnel.
    pub async fn admit(&self, yes: bool) {
        let _ = self.commands.send(Command::Admit(self.id, yes)).await;
    }

    /// Wants to verify the peer: begins a run, or takes part in the one that the peer asks for. What becomes of it is told by
    /// [`What::Verify`]; the client counts the attempt and stores the result.
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

    /// Says yes to exactly this run of [`Verify::Asked`](xtls_session::Verify::Asked).
    ///
    /// # Errors
    /// See [`VerifyError`]: [`Stale`](VerifyError::Stale) when the run, or its tunnel, has ended; here and below.
    pub async fn verify_join(&self, run: Run, compare: Compare) -> Result<(), VerifyError> {
        self.answer(run, Answer::Join(compare)).await
    }

    /// The person has compared the words of this run of [`Verify::Compare`](xtls_session::Verify::Compare): they are the
    /// same.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify_agree(&self, run: Run) -> Result<(), VerifyError> {
        self.answer(run, Answer::Agree).await
    }

    /// Ends a run, or declines one.
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
    /// # Errors
    /// Before our verdict and after the end.
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

    /// What the tunnel has done so far.
    ///
    /// # Errors
    /// It has ended.
    pub async fn stats(&self) -> Result<Stats, Gone> {
        let (done, counted) = oneshot::channel();
        let command = Command::Stats { id: self.id, done };
        self.commands.send(command).await.map_err(|_| Gone)?;
        counted.await.ok().flatten().ok_or(Gone)
    }

    /// Ends our direction once all that is waiting has been sent; the peer's stays open. [`What::Closed`] says at the end
    /// whether the other end took everything.
    pub async fn finish(&self) {
        let _ = self.commands.send(Command::Finish(self.id)).await;
    }

    /// Ends the tunnel in order, each step within the configured time. [`What::Closed`] says whether the other end took
    /// everything.
    pub async fn close(&self) {
        let _ = self.commands.send(Command::Close(self.id)).await;
    }

    /// Ends the tunnel at once; the peer sees a truncation.
    pub async fn abort(&self) {
        let _ = self.commands.send(Command::Abort(self.id)).await;
    }
}

/// Why a verdict on a key had no effect: nothing was accepted.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// What it was about has ended, was judged already, or is another key.
    #[error(transparent)]
    Stale(#[from] xtls_tunnel::router::JudgeError),
    /// The pin could not be written; the key is refused.
    #[error(transparent)]
    Pins(#[from] PinsError),
}

impl From<Gone> for JudgeError {
    fn from(gone: Gone) -> Self {
        Self::Stale(gone.into())
    }
}

/// Commands that wait for the driver; then callers wait.
const COMMANDS: usize = 64;

/// Room beside [`Config::incoming`], for tunnels that were to replace another one and come to stand for themselves.
pub(crate) const SPARE: usize = 32;

/// The most that [`Config::incoming`] may be.
const MOST_INCOMING: usize = 1 << 20;
