//! The one task that owns everything: the router, the link to the server, the pins.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info};
use xtls_session::{Introduction, Verdict};
use xtls_stanza::{Address, Content, Envelope, Payload, Stanza};
use xtls_tls::trust::Policy;

use crate::client::Tunnel;
use crate::pins::{Pins, PinsError};
use crate::router::{Event, Gone, OpenError, Router, SendError, TunnelId, What};
use crate::uplink::{Inbound, LinkError, Uplink};

/// What handles ask of the driver.
pub(crate) enum Command {
    Open {
        peer: Address,
        done: oneshot::Sender<Result<Tunnel, OpenError>>,
    },
    Send {
        id: TunnelId,
        stanza: Stanza,
        done: oneshot::Sender<Result<(), SendError>>,
    },
    Judge {
        id: TunnelId,
        verdict: Verdict,
        done: oneshot::Sender<Result<(), PinsError>>,
    },
    Finish(TunnelId),
    Close(TunnelId),
    Abort(TunnelId),
    /// The handle has taken events and has room again.
    Room(TunnelId),
    /// Nobody reads this tunnel's events any more.
    Dropped(TunnelId),
    Stop,
}

/// The driver's side of one tunnel.
struct Handle {
    events: mpsc::UnboundedSender<What>,
    /// Events sent and not yet taken.
    queued: Arc<AtomicUsize>,
    /// Stanzas whose senders wait for room, oldest first: one for each waiting call.
    waiting: VecDeque<(Stanza, oneshot::Sender<Result<(), SendError>>)>,
    introduction: Option<Introduction>,
    /// Stanzas may be sent.
    open: bool,
    /// The owner has said everything; our direction ends when that has been sent.
    finishing: bool,
}

pub(crate) struct Driver<U> {
    pub(crate) uplink: U,
    pub(crate) router: Router,
    pub(crate) pins: Pins,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Weak, so that the task ends when nobody holds a handle any more.
    pub(crate) shared: mpsc::WeakSender<Command>,
    pub(crate) incoming: mpsc::Sender<Tunnel>,
    pub(crate) stopping: bool,
    pub(crate) handles: Handles,
}

/// The handles by tunnel.
#[derive(Default)]
pub(crate) struct Handles(BTreeMap<TunnelId, Handle>);

impl<U: Uplink> Driver<U> {
    /// Runs until the link is lost for good, or until it is told to stop and every tunnel has ended.
    pub(crate) async fn run(mut self) -> Result<(), LinkError> {
        let ended = self.turn().await;
        self.router.lost(now());
        self.give_out();
        ended?;
        self.uplink.close().await
    }

    async fn turn(&mut self) -> Result<(), LinkError> {
        loop {
            self.give_out();
            while let Some(envelope) = self.router.poll_transmit(now()) {
                self.uplink.send(envelope).await?;
                self.give_out();
            }
            if self.stopping && self.handles.0.is_empty() {
                return Ok(());
            }
            let deadline = self.router.poll_timeout();
            let timer = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                inbound = self.uplink.next() => self.on_inbound(inbound?),
                command = self.commands.recv() => match command {
                    Some(command) => {
                        self.on_command(command);
                        // What has piled up meanwhile goes out in one batch.
                        for _ in 0..BATCH {
                            let Ok(command) = self.commands.try_recv() else { break };
                            self.on_command(command);
                        }
                    }
                    None => self.stop(),
                },
                () = timer => self.router.handle_timeout(now()),
            }
        }
    }

    fn on_inbound(&mut self, inbound: Inbound) {
        match inbound {
            Inbound::Envelope(envelope) => {
                if is_open(&envelope) {
                    self.refresh_pins();
                }
                self.router.handle(now(), envelope);
            }
            Inbound::Suspended => {
                info!("the connection to the server is interrupted");
                self.router.pause(now());
            }
            Inbound::Resumed => {
                info!("the connection to the server is back");
                self.router.resume(now());
            }
            Inbound::Rebound(address) => {
                // A new binding is a new end: no tunnel survives it, whatever the resource is called.
                debug!("bound anew");
                self.router.rebind(now(), address);
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        let now = now();
        match command {
            Command::Open { peer, done } => {
                self.refresh_pins();
                let opened = self.router.open(now, &peer);
                let id = opened.as_ref().ok().copied();
                let tunnel = opened.and_then(|id| self.handle(id, peer).ok_or(OpenError::Stopped));
                if (tunnel.is_err() || done.send(tunnel).is_err())
                    && let Some(id) = id
                {
                    self.router.abort(now, id);
                }
            }
            Command::Send { id, stanza, done } => self.send(id, stanza, done),
            Command::Judge { id, verdict, done } => {
                let judged = self.judge(id, verdict);
                let _ = done.send(judged);
            }
            Command::Finish(id) => {
                if let Some(handle) = self.handles.0.get_mut(&id) {
                    handle.finishing = true;
                }
                self.retry(id);
            }
            Command::Close(id) => self.router.close(now, id),
            Command::Abort(id) => self.router.abort(now, id),
            Command::Room(id) => self.router.hold(now, id, false),
            Command::Dropped(id) => {
                if let Some(handle) = self.handles.0.get_mut(&id) {
                    handle.queued.store(0, Ordering::Release);
                    self.router.hold(now, id, false);
                    self.router.close(now, id);
                }
            }
            Command::Stop => self.stop(),
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        let ids: Vec<_> = self.handles.0.keys().copied().collect();
        for id in ids {
            self.router.close(now(), id);
        }
    }

    fn send(&mut self, id: TunnelId, stanza: Stanza, done: oneshot::Sender<Result<(), SendError>>) {
        let Some(handle) = self.handles.0.get_mut(&id) else {
            let _ = done.send(Err(SendError::Gone(Gone)));
            return;
        };
        if !handle.waiting.is_empty() {
            handle.waiting.push_back((stanza, done));
            return;
        }
        match self.router.send(now(), id, &stanza) {
            Err(error) if is_early(&error) => handle.waiting.push_back((stanza, done)),
            sent => drop(done.send(sent)),
        }
    }

    fn retry(&mut self, id: TunnelId) {
        while let Some(handle) = self.handles.0.get_mut(&id)
            && let Some((stanza, done)) = handle.waiting.pop_front()
        {
            match self.router.send(now(), id, &stanza) {
                Err(error) if is_early(&error) => {
                    handle.waiting.push_front((stanza, done));
                    return;
                }
                sent => drop(done.send(sent)),
            }
        }
        if let Some(handle) = self.handles.0.get(&id)
            && handle.open
            && handle.finishing
        {
            self.router.finish(now(), id);
        }
    }

    /// Hands the router's events to their tunnels.
    fn give_out(&mut self) {
        while let Some(Event { id, what }) = self.router.poll_event(now()) {
            match &what {
                What::Incoming(peer) => {
                    let tunnel = self.handle(id, peer.clone()).filter(|_| !self.stopping);
                    let taken = tunnel.is_some_and(|tunnel| self.incoming.try_send(tunnel).is_ok());
                    if !taken {
                        debug!("nobody takes an incoming tunnel");
                        self.router.abort(now(), id);
                    }
                    continue;
                }
                What::Judge(introduction) => {
                    if let Some(handle) = self.handles.0.get_mut(&id) {
                        handle.introduction = Some(introduction.clone());
                    }
                    if self.router.policy() != Policy::Ask {
                        self.pin_on_first_use(id);
                        continue;
                    }
                }
                What::Writable => {
                    self.retry(id);
                    continue;
                }
                // What waited for the session to open leaves with the last flight of the handshake.
                What::Ready | What::Established(_) => {
                    if let Some(handle) = self.handles.0.get_mut(&id) {
                        handle.open = true;
                    }
                    self.retry(id);
                }
                What::Stanza(_)
                | What::Refused(_)
                | What::NotPinned(_)
                | What::PeerFinished
                | What::Closed(_) => {}
            }
            let last = matches!(what, What::Closed(_));
            self.pass(id, what);
            if last && let Some(handle) = self.handles.0.remove(&id) {
                for (_, done) in handle.waiting {
                    let _ = done.send(Err(SendError::Gone(Gone)));
                }
            }
        }
    }

    fn pass(&mut self, id: TunnelId, what: What) {
        let Some(handle) = self.handles.0.get(&id) else {
            return;
        };
        let queued = handle
            .queued
            .fetch_add(1, Ordering::AcqRel)
            .saturating_add(1);
        if handle.events.send(what).is_ok() && queued >= HELD {
            self.router.hold(now(), id, true);
            // The handle may have emptied the queue between the count and the hold.
            if handle.queued.load(Ordering::Acquire) < HELD / 2 {
                self.router.hold(now(), id, false);
            }
        }
    }

    fn handle(&mut self, id: TunnelId, peer: Address) -> Option<Tunnel> {
        let commands = self.shared.upgrade()?;
        let (events, receiver) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let handle = Handle {
            events,
            queued: Arc::clone(&queued),
            waiting: VecDeque::new(),
            introduction: None,
            open: false,
            finishing: false,
        };
        self.handles.0.insert(id, handle);
        Some(Tunnel::new(id, peer, receiver, queued, commands))
    }

    /// Writes the pin first and opens then: what was accepted survives a crash.
    fn judge(&mut self, id: TunnelId, verdict: Verdict) -> Result<(), PinsError> {
        let introduction = self
            .handles
            .0
            .get_mut(&id)
            .and_then(|h| h.introduction.take());
        if verdict == Verdict::Accept
            && let Some(introduction) = introduction
        {
            let pinned = self
                .pins
                .pin_first_use(introduction.peer.bare(), introduction.fingerprint);
            if let Err(error) = pinned {
                self.router.judge(now(), id, Verdict::Refuse);
                return Err(error);
            }
            self.router.set_trust(self.pins.store());
        }
        self.router.judge(now(), id, verdict);
        Ok(())
    }

    fn pin_on_first_use(&mut self, id: TunnelId) {
        if let Err(error) = self.judge(id, Verdict::Accept) {
            self.pass(id, What::NotPinned(error.to_string()));
        }
    }

    /// Another process may have pinned or forgotten a key.
    fn refresh_pins(&mut self) {
        match self.pins.refresh() {
            Ok(true) => self.router.set_trust(self.pins.store()),
            Ok(false) => {}
            // The last good pins stand: a store that cannot be read is never an empty one.
            Err(error) => tracing::error!(%error, "the pin store cannot be read"),
        }
    }
}

/// The session will take it later: it is not open yet, or has no room.
fn is_early(error: &SendError) -> bool {
    use xtls_session::SendError as Session;
    matches!(error, SendError::Session(Session::Full | Session::NotOpen))
}

fn is_open(envelope: &Envelope) -> bool {
    matches!(envelope.content, Content::Set(Payload::Open(_)))
}

/// The executor's time, so that paused clocks in tests hold here too.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Commands taken at one go.
const BATCH: usize = 64;

/// Events of one tunnel that wait for its handle before the tunnel stops reading.
pub(crate) const HELD: usize = 64;
