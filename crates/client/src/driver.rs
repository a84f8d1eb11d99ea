//! The one task that owns everything: the router, the link to the server, the pins.

mod bytes;
mod command;
mod handle;
mod link;
mod trust;

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tracing::debug;
use xtls_session::Service;
use xtls_stanza::{Address, Stanza};
use xtls_tls::trust::Policy;

use crate::client::Tunnel;
use crate::uplink::{LinkError, Uplink};
pub(crate) use command::{Answer, Command, Note};
pub(crate) use handle::Handles;
pub(crate) use link::Link;
pub(crate) use trust::Trust;
use xtls_tunnel::router::{Event, Gone, OpenError, Router, SendError, TunnelId, TurnedAway, What};

pub(crate) struct Driver<U> {
    pub(crate) link: Link<U>,
    pub(crate) router: Router,
    pub(crate) trust: Trust,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Weak, so that the task ends when nobody holds a handle any more.
    pub(crate) shared: mpsc::WeakSender<Command>,
    pub(crate) notes: mpsc::UnboundedReceiver<Note>,
    /// For the handles to come.
    pub(crate) notes_end: mpsc::UnboundedSender<Note>,
    pub(crate) incoming: mpsc::Sender<Tunnel>,
    /// The application takes no further tunnels for now.
    pub(crate) incoming_paused: Arc<AtomicBool>,
    pub(crate) turned_away: mpsc::Sender<TurnedAway>,
    pub(crate) life: Life,
    pub(crate) handles: Handles,
}

/// How far the driver's end has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Life {
    Running,
    /// Every tunnel is being closed, and none is opened any more.
    Stopping,
    /// As well, and no handle is left that could say anything.
    Alone,
    /// The link is gone. What has come is handed out, whether it is taken or not.
    Ended,
}

impl<U: Uplink> Driver<U> {
    /// Runs until the link is lost for good, or until it is told to stop and every tunnel has ended.
    pub(crate) async fn run(mut self) -> Result<(), LinkError> {
        let ended = self.turns().await;
        // A reader that is behind gets all that has come, and how it ended.
        self.life = Life::Ended;
        for id in self.handles.0.keys() {
            self.router.hold(now(), *id, false);
        }
        self.router.lost(now());
        for id in self.handles.0.keys().copied().collect::<Vec<_>>() {
            self.on_moved(id);
        }
        self.give_out();
        ended?;
        self.link.close().await
    }

    async fn turns(&mut self) -> Result<(), LinkError> {
        loop {
            self.watch_pins();
            // All that is waiting is heard in each round, so none of it waits for the rest. What the owners say comes
            // first: it shares a chunk with what the streams are about to send.
            self.hear();
            self.give_out();
            let idle = !self.link.has_more(&mut self.router) && self.handles.0.is_empty();
            if idle && self.life != Life::Running {
                return Ok(());
            }
            let deadline = self.router.poll_timeout().map(|deadline| deadline.at);
            let deadline = [deadline, self.next_look()].into_iter().flatten().min();
            let timer = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                moved = poll_fn(|cx| self.link.poll_turn(cx, &mut self.router)) => {
                    moved?;
                    self.trust.time_has_passed();
                    while let Some(event) = self.link.pop_arrived() {
                        self.on_link_event(event);
                    }
                }
                command = self.commands.recv(), if self.life != Life::Alone => match command {
                    Some(command) => self.on_command(command),
                    None => {
                        self.stop();
                        self.life = Life::Alone;
                    }
                },
                Some(note) = self.notes.recv() => self.on_note(note),
                // Told in the next round.
                () = timer => {}
            }
        }
    }

    /// Takes what the owners have said, and what has run out.
    fn hear(&mut self) {
        for _ in 0..BATCH {
            let Ok(command) = self.commands.try_recv() else {
                break;
            };
            self.on_command(command);
        }
        for _ in 0..BATCH {
            let Ok(note) = self.notes.try_recv() else {
                break;
            };
            self.on_note(note);
        }
        let now = now();
        if self.router.poll_timeout().is_some_and(|due| due.at <= now) {
            self.router.handle_timeout(now);
        }
    }

    fn on_command(&mut self, command: Command) {
        let now = now();
        match command {
            Command::Open {
                peer,
                service,
                done,
            } => {
                // Whoever does not wait for the answer any more hears of it by dropping the tunnel.
                let _ = done.send(self.open(peer, service));
            }
            Command::Send { id, stanza, done } => self.send(id, *stanza, done),
            Command::Judge {
                id,
                key,
                verdict,
                done,
            } => {
                let judged = self.judge(id, key, verdict);
                let _ = done.send(judged);
            }
            Command::Admit(id, yes) => self.router.admit(now, id, yes),
            Command::Verify { id, compare, done } => {
                let _ = done.send(self.router.verify(now, id, compare));
            }
            Command::Answer {
                id,
                run,
                answer,
                done,
            } => {
                let taken = match answer {
                    Answer::Join(compare) => self.router.verify_join(now, id, run, compare),
                    Answer::Agree => self.router.verify_agree(now, id, run),
                    Answer::Cancel(reason) => self.router.verify_cancel(now, id, run, reason),
                };
                let _ = done.send(taken);
            }
            Command::Finish(id) => {
                self.took(id);
                if let Some(handle) = self.handles.0.get_mut(&id) {
                    handle.finish();
                }
                self.retry(id);
            }
            Command::Close(id) => match self.pipe(id) {
                Some(pipe) => self.close_bytes(id, &pipe),
                None => {
                    self.took(id);
                    self.router.close(now, id);
                }
            },
            Command::Abort(id) => self.router.abort(now, id),
            Command::Export {
                id,
                label,
                context,
                mut out,
                done,
            } => {
                let exported = self.router.export(id, &label, &context, &mut out);
                let _ = done.send(exported.map(|()| out));
            }
            Command::Stats { id, done } => drop(done.send(self.router.stats(id))),
            Command::Stop => self.stop(),
        }
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::Room(id) => self.router.hold(now(), id, false),
            Note::Took(id) => self.router.took(now(), id),
            Note::Moved(id) => self.on_moved(id),
            Note::Dropped(id) => {
                self.router.hold(now(), id, false);
                match self.pipe(id) {
                    Some(pipe) => self.leave_bytes(id, &pipe),
                    None => self.router.leave(now(), id),
                }
            }
        }
    }

    fn open(&mut self, peer: Address, service: Option<Service>) -> Result<Tunnel, OpenError> {
        if self.life != Life::Running {
            return Err(OpenError::Stopped);
        }
        self.refresh_pins();
        let id = match service {
            Some(service) => self.router.open_for(now(), &peer, service)?,
            None => self.router.open(now(), &peer)?,
        };
        self.handle(id, peer).ok_or_else(|| {
            self.router.abort(now(), id);
            OpenError::Stopped
        })
    }

    fn stop(&mut self) {
        self.life = self.life.max(Life::Stopping);
        for id in self.handles.0.keys().copied().collect::<Vec<_>>() {
            match self.pipe(id) {
                Some(pipe) => self.leave_bytes(id, &pipe),
                None => {
                    self.took(id);
                    self.router.close(now(), id);
                }
            }
        }
    }

    /// The application goes on after it was told that the peer has nothing more to say: it has taken everything.
    fn took(&mut self, id: TunnelId) {
        let handle = self.handles.0.get(&id);
        if handle.is_some_and(|handle| handle.heard_out.load(Ordering::Acquire)) {
            self.router.took(now(), id);
        }
    }

    fn send(&mut self, id: TunnelId, stanza: Stanza, done: oneshot::Sender<Result<(), SendError>>) {
        let Some(handle) = self.handles.0.get_mut(&id) else {
            let _ = done.send(Err(SendError::Gone(Gone)));
            return;
        };
        if handle.finishing {
            let finished = xtls_session::SendError::Finished;
            let _ = done.send(Err(SendError::Session(finished)));
            return;
        }
        // Calls that were given up wait for nothing.
        handle.waiting.retain(|(_, done)| !done.is_closed());
        handle.waiting.push_back((stanza, done));
        if handle.waiting.len() == 1 {
            self.retry(id);
        }
    }

    fn retry(&mut self, id: TunnelId) {
        if let Some(pipe) = self.pipe(id) {
            self.push(id, &pipe);
        }
        while let Some(handle) = self.handles.0.get_mut(&id)
            && let Some((stanza, done)) = handle.waiting.pop_front()
        {
            if done.is_closed() {
                continue;
            }
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

    /// Hands the router's events to their tunnels. The pins that they ask for are written in one go.
    fn give_out(&mut self) {
        while let Ok(place) = self.turned_away.try_reserve()
            && let Some(away) = self.router.poll_turned_away(now())
        {
            place.send(away);
        }
        loop {
            self.give_out_all();
            if !self.write_pins() {
                return;
            }
        }
    }

    pub(super) fn give_out_all(&mut self) {
        while let Some(Event { id, what }) = self.router.poll_event(now()) {
            if let Some(pipe) = self.pipe(id) {
                self.on_bytes(id, &what, &pipe);
            }
            match &what {
                What::Incoming(peer) | What::Asked(peer) => {
                    let tunnel = self
                        .handle(id, peer.clone())
                        .filter(|_| self.life == Life::Running);
                    let taken = tunnel.is_some_and(|tunnel| self.incoming.try_send(tunnel).is_ok());
                    if !taken {
                        debug!("nobody takes an incoming tunnel");
                        self.router.abort(now(), id);
                    } else if matches!(what, What::Asked(_)) {
                        self.pass(id, what);
                    }
                    continue;
                }
                What::Judge(introduction) => {
                    // What a code has spoken against is nobody's first use.
                    if self.router.policy() != Policy::Ask && introduction.doubt.is_none() {
                        self.pin_on_first_use(id, introduction.fingerprint);
                        continue;
                    }
                }
                What::Writable => {
                    self.retry(id);
                    continue;
                }
                What::Readable => continue,
                // What waited for the session to open leaves with the last flight of the handshake.
                What::Ready | What::Established(_) => {
                    if let What::Established(peer) = &what {
                        self.met(peer);
                    }
                    if let Some(handle) = self.handles.0.get_mut(&id) {
                        handle.open = true;
                    }
                    self.retry(id);
                }
                What::Verify(verify) => {
                    if !self.on_verify(id, verify) {
                        continue;
                    }
                }
                // The rest is for the handle.
                _ => {}
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
        let weight = what.weight();
        let backlog = handle.backlog.fetch_add(weight, Ordering::AcqRel) + weight;
        let taken = handle.events.send(what).is_ok();
        if taken && backlog >= HEAVY && self.life != Life::Ended {
            self.router.hold(now(), id, true);
            // The handle may have emptied the queue between the count and the hold.
            if handle.backlog.load(Ordering::Acquire) <= HEAVY / 2 {
                self.router.hold(now(), id, false);
            }
        }
    }
}

/// The session will take it later: it is not open yet, or has no room.
fn is_early(error: &SendError) -> bool {
    use xtls_session::SendError as Session;
    matches!(error, SendError::Session(Session::Full | Session::NotOpen))
}

/// The executor's time, so that paused clocks in tests hold here too.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Commands and signals taken in one go.
const BATCH: usize = 64;

/// Weight of one tunnel's events that wait for its handle before the tunnel stops reading, in bytes.
pub(crate) const HEAVY: usize = 131_072;
