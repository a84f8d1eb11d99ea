//! The one task that owns everything: the router, the link to the server, the pins.

mod conduit;
mod life;
mod link;
mod parked;
mod reception;
mod trust;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::{mpsc, watch};
use tracing::{debug, info};
use xtls_keys::Pins;
use xtls_session::{Service, VerifyError};
use xtls_stanza::Address;
use xtls_tls::trust::Policy;
use xtls_tunnel::router::{
    Config, Event, Gone, OpenError, Router, SendError, TURNED_AWAY, TunnelEvent, TunnelId,
    TunnelMut, TunnelRef, TurnedAway,
};

use crate::command::{Answer, Command, Port, Signal};
use crate::error::ListenError;
use crate::link_state::{LinkState, LinkStates};
use crate::sockets::Sockets;
use crate::uplink::{LinkError, LinkEvent, Uplink};
use crate::{events, link_state, progress};
use conduit::Conduit;
use life::Life;
use link::Link;
use parked::{Opening, Parked};
pub(crate) use reception::Pauses;
use reception::Reception;
use trust::Trust;

pub(crate) struct Driver<U> {
    link: Link<U>,
    router: Router,
    trust: Trust,
    commands: mpsc::Receiver<Command>,
    /// Weak, so that the task ends with the last handle.
    shared: mpsc::WeakSender<Command>,
    signals: mpsc::UnboundedReceiver<Signal>,
    /// For the handles to come.
    signals_end: mpsc::UnboundedSender<Signal>,
    reception: Reception,
    turned_away: mpsc::Sender<TurnedAway>,
    link_state: watch::Sender<LinkState>,
    /// Connections beside the server.
    sockets: Sockets,
    /// Opens that wait for a tunnel to the same peer to end.
    parked: Parked,
    /// The service of opens that name none.
    service: Service,
    life: Life,
    /// Boxed: most clients have few, and a map has room for eleven.
    conduits: BTreeMap<TunnelId, Box<Conduit>>,
}

/// The application's ends of the driver's channels.
pub(crate) struct Ends {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) incoming: mpsc::Receiver<Port>,
    pub(crate) pauses: Arc<Pauses>,
    pub(crate) turned_away: mpsc::Receiver<TurnedAway>,
    pub(crate) link_states: LinkStates,
}

impl<U: Uplink> Driver<U> {
    /// A driver, and the application's ends of its channels.
    pub(crate) fn new(
        uplink: U,
        config: Config,
        pins: Pins,
        mut sockets: Sockets,
        seed: [u8; 32],
    ) -> (Self, Ends) {
        sockets.set_server(uplink.server_address());
        let served: Vec<_> = config.services().cloned().collect();
        let service = served.first().cloned().unwrap_or_else(Service::stanzas);
        let (reception, incoming, pauses) = Reception::new(served, config.incoming_limit());
        let mut router = Router::new(uplink.bound().clone(), config, seed);
        router.set_server_limit(uplink.stanza_limit());
        let (commands_end, commands) = mpsc::channel(COMMANDS);
        let (signals_end, signals) = mpsc::unbounded_channel();
        let (away_end, turned_away) = mpsc::channel(TURNED_AWAY);
        let (link_state, link_states) = watch::channel(LinkState::Bound(uplink.bound().clone()));
        let driver = Self {
            link: Link::new(uplink),
            router,
            trust: Trust::new(pins),
            commands,
            shared: commands_end.downgrade(),
            signals,
            signals_end,
            reception,
            turned_away: away_end,
            link_state,
            sockets,
            parked: Parked::default(),
            service,
            life: Life::Running,
            conduits: BTreeMap::new(),
        };
        let ends = Ends {
            commands: commands_end,
            incoming,
            pauses,
            turned_away,
            link_states: LinkStates::new(link_states),
        };
        (driver, ends)
    }

    /// From now on tunnels of this service come out here.
    pub(crate) fn listen(&mut self, service: Service) -> Result<mpsc::Receiver<Port>, ListenError> {
        self.reception.listen(service)
    }

    /// Runs until the link is lost for good, or until it is asked to stop and every tunnel has ended.
    pub(crate) async fn run(mut self) -> Result<(), LinkError> {
        let ended = self.turns().await;
        // A reader that is behind gets all that has come, and how it ended.
        self.life = Life::Ended;
        for conduit in self.conduits.values_mut() {
            conduit.lift_limits(&mut self.router);
        }
        self.router.lost(now());
        for conduit in self.conduits.values_mut() {
            conduit.moved(&mut self.router);
        }
        self.give_out();
        self.sockets.follow(&mut self.router);
        self.sockets.finish().await;
        ended?;
        self.link.close().await
    }

    async fn turns(&mut self) -> Result<(), LinkError> {
        loop {
            self.trust
                .watch(&mut self.router, !self.conduits.is_empty());
            // Each round takes what waits everywhere, so that nothing waits for the rest. The handles come first: what they
            // send shares a chunk with what the streams are about to send.
            self.take_requests();
            self.give_out();
            self.open_parked();
            self.sockets.follow(&mut self.router);
            let idle = !self.link.has_more(&mut self.router) && self.conduits.is_empty();
            if idle && self.life != Life::Running {
                return Ok(());
            }
            let deadline = self.router.poll_timeout().map(|deadline| deadline.at);
            let deadline = [deadline, self.trust.next_look(!self.conduits.is_empty())]
                .into_iter()
                .flatten()
                .min();
            let timer = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                moved = poll_fn(|cx| {
                    poll_turn(cx, &mut self.link, &mut self.sockets, &mut self.router)
                }) => {
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
                Some(signal) = self.signals.recv() => self.on_signal(signal),
                // Handled in the next round.
                () = timer => {}
            }
        }
    }

    /// Takes what the handles ask and signal, and what has run out.
    fn take_requests(&mut self) {
        for _ in 0..BATCH {
            let Ok(command) = self.commands.try_recv() else {
                break;
            };
            self.on_command(command);
        }
        for _ in 0..BATCH {
            let Ok(signal) = self.signals.try_recv() else {
                break;
            };
            self.on_signal(signal);
        }
        let now = now();
        if self.router.poll_timeout().is_some_and(|due| due.at <= now) {
            self.router.handle_timeout(now);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Open {
                peer,
                service,
                done,
            } => {
                let service = service.unwrap_or_else(|| self.service.clone());
                self.parked.push(Opening {
                    peer,
                    service,
                    done,
                });
            }
            Command::Listen { service, done } => drop(done.send(self.listen(service))),
            Command::Send { id, stanza, done } => match self.conduits.get_mut(&id) {
                Some(conduit) => conduit.send(&mut self.router, *stanza, done),
                None => drop(done.send(Err(SendError::Gone(Gone)))),
            },
            Command::Judge {
                id,
                key,
                verdict,
                done,
            } => {
                let judged = match self.conduits.get(&id) {
                    Some(conduit) => {
                        let bare = conduit.bare_peer();
                        let router = &mut self.router;
                        self.trust.judge(router, id, bare, key, verdict)
                    }
                    None => Err(Gone.into()),
                };
                let _ = done.send(judged);
            }
            Command::Admit(id, yes) => self.with_tunnel(id, |mut tunnel| tunnel.admit(yes)),
            Command::Verify { id, compare, done } => {
                let begun = match self.tunnel(id) {
                    Ok(mut tunnel) => tunnel.verify(compare),
                    Err(Gone) => Err(VerifyError::NotOpen),
                };
                let _ = done.send(begun);
            }
            Command::Answer {
                id,
                run,
                answer,
                done,
            } => {
                let taken = match (self.tunnel(id), answer) {
                    (Ok(mut tunnel), Answer::Join(compare)) => tunnel.verify_join(run, compare),
                    (Ok(mut tunnel), Answer::Agree) => tunnel.verify_agree(run),
                    (Ok(mut tunnel), Answer::Cancel(reason)) => tunnel.verify_cancel(run, reason),
                    (Err(Gone), _) => Err(VerifyError::Stale(run)),
                };
                let _ = done.send(taken);
            }
            Command::Finish(id) => self.with_conduit(id, Conduit::finish),
            Command::Close(id) => self.with_conduit(id, Conduit::close),
            Command::Abort(id) => self.with_conduit(id, Conduit::abort),
            Command::Export {
                id,
                label,
                context,
                mut out,
                done,
            } => {
                let tunnel = self.tunnel(id).map_err(SendError::from);
                let exported =
                    tunnel.and_then(|mut tunnel| tunnel.export(&label, &context, &mut out));
                let _ = done.send(exported.map(|()| out));
            }
            Command::Stats { id, done } => {
                let stats = self.router.tunnel_ref(id).map(TunnelRef::stats);
                let _ = done.send(stats.ok());
            }
            Command::Stop => self.stop(),
        }
    }

    fn on_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Room(id) => self.with_tunnel(id, |mut tunnel| tunnel.hold(false)),
            Signal::Took(id) => self.with_tunnel(id, |mut tunnel| tunnel.took()),
            Signal::Moved(id) => self.with_conduit(id, Conduit::moved),
            Signal::Dropped(id) => self.with_conduit(id, Conduit::dropped),
        }
    }

    /// A tunnel, until it has ended.
    fn tunnel(&mut self, id: TunnelId) -> Result<TunnelMut<'_>, Gone> {
        self.router.tunnel(now(), id)
    }

    fn with_tunnel(&mut self, id: TunnelId, call: impl FnOnce(TunnelMut<'_>)) {
        if let Ok(tunnel) = self.tunnel(id) {
            call(tunnel);
        }
    }

    fn with_conduit(&mut self, id: TunnelId, call: impl FnOnce(&mut Conduit, &mut Router)) {
        if let Some(conduit) = self.conduits.get_mut(&id) {
            call(conduit, &mut self.router);
        }
    }

    fn on_link_event(&mut self, event: LinkEvent) {
        if let Some(state) = link_state::after(&event) {
            self.link_state.send_replace(state);
        }
        match event {
            LinkEvent::Envelope(envelope) => {
                let begins = link::is_open(&envelope);
                self.trust.look(&mut self.router, begins);
                if begins {
                    self.make_room();
                }
                self.router.handle(now(), envelope);
            }
            LinkEvent::Suspended(outage) => {
                info!(why = %outage.why, "the connection to the server is interrupted");
                self.router.pause(now());
            }
            LinkEvent::Waiting(outage) => debug!(why = %outage.why, "the server is still away"),
            LinkEvent::Resumed => {
                info!("the connection to the server is back");
                self.router.resume(now());
            }
            LinkEvent::Rebound(address) => {
                // Of the tunnels only those that may move go on.
                debug!("bound anew");
                self.link.discard_unsent();
                self.router.rebind(now(), address);
                self.router.set_server_limit(self.link.stanza_limit());
                self.sockets.set_server(self.link.server_address());
            }
            // Of a later version.
            _ => {}
        }
    }

    /// Sets how many tunnels the application has room for, once it has been given those that wait.
    fn make_room(&mut self) {
        self.give_out_all();
        let room = self.reception.room();
        self.router.set_incoming_room(room);
        let closed = self.reception.is_closed_to_newcomers();
        self.router.turn_newcomers_away(closed);
    }

    /// Opens what the handles have asked for. Where the owner of a tunnel to the same peer is done with it, the open waits
    /// for its end.
    fn open_parked(&mut self) {
        for Opening {
            peer,
            service,
            done,
        } in self.parked.take_due()
        {
            if done.is_closed() {
                continue;
            }
            let opened = self.open(&peer, service.clone());
            if matches!(opened, Err(OpenError::Already(_))) && self.is_leaving(&peer) {
                self.parked.wait(Opening {
                    peer,
                    service,
                    done,
                });
                continue;
            }
            // A caller that has given up drops the tunnel, which ends it.
            let _ = done.send(opened);
        }
    }

    fn is_leaving(&self, peer: &Address) -> bool {
        let mut to_peer = self
            .conduits
            .values()
            .filter(|conduit| conduit.peer() == peer);
        to_peer.any(|conduit| conduit.is_leaving())
    }

    fn open(&mut self, peer: &Address, service: Service) -> Result<Port, OpenError> {
        if self.life != Life::Running {
            return Err(OpenError::Stopped);
        }
        self.trust.refresh(&mut self.router);
        let id = self.router.open_for(now(), peer, service.clone())?;
        self.port(id, peer.clone(), Some(service)).ok_or_else(|| {
            self.with_tunnel(id, |tunnel| tunnel.abort());
            OpenError::Stopped
        })
    }

    /// The ends of the channels of a new tunnel: one kept here, one for the application.
    fn port(&mut self, id: TunnelId, peer: Address, service: Option<Service>) -> Option<Port> {
        let commands = self.shared.upgrade()?;
        let (sender, receiver) = events::channel();
        let (known, progress) = progress::channel(service);
        let bytes = match self.router.tunnel_ref(id) {
            Ok(tunnel) => tunnel.may_carry_bytes(),
            Err(Gone) => self.router.serves_bytes(),
        };
        let bytes = bytes.then(Arc::default);
        let conduit = Conduit::new(id, peer.clone(), sender, known, bytes.clone());
        self.conduits.insert(id, Box::new(conduit));
        let signals = self.signals_end.clone();
        Some(Port::new(
            id, peer, commands, signals, receiver, progress, bytes,
        ))
    }

    fn stop(&mut self) {
        self.life = self.life.max(Life::Stopping);
        self.parked.retry();
        for conduit in self.conduits.values_mut() {
            conduit.stop(&mut self.router);
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
            let Some(unwritten) = self.trust.write(&mut self.router) else {
                return;
            };
            for (id, what) in unwritten {
                self.pass(id, what);
            }
        }
    }

    fn give_out_all(&mut self) {
        while let Some(Event { id, what }) = self.router.poll_event(now()) {
            if let Some(conduit) = self.conduits.get_mut(&id) {
                conduit.note(&mut self.router, &what);
            }
            match &what {
                TunnelEvent::Incoming(peer) | TunnelEvent::Asked(peer) => {
                    let peer = peer.clone();
                    self.on_incoming(id, peer, what);
                    continue;
                }
                TunnelEvent::Judge(introduction) => {
                    // A key that a verification has spoken against is never accepted as a first use.
                    if self.router.policy() != Policy::Ask && introduction.doubt.is_none() {
                        let peer = introduction.peer.bare();
                        self.trust
                            .pin_on_first_use(id, peer, introduction.fingerprint);
                        continue;
                    }
                    self.expect_taken(id, |reception| reception.ask(id));
                }
                TunnelEvent::Writable => {
                    self.with_conduit(id, Conduit::retry);
                    continue;
                }
                // The handle is told another way.
                TunnelEvent::Readable | TunnelEvent::Path(_) => continue,
                TunnelEvent::Ready => self.with_conduit(id, Conduit::opened),
                TunnelEvent::Established(peer) => {
                    self.trust.met(peer);
                    self.expect_taken(id, |reception| reception.claim(id, &peer.service));
                    self.with_conduit(id, Conduit::opened);
                }
                TunnelEvent::Verify(verify) => {
                    let Some(conduit) = self.conduits.get(&id) else {
                        continue;
                    };
                    let bare = conduit.bare_peer();
                    let stored = self.trust.on_verify(&mut self.router, id, bare, verify);
                    if let Some(error) = stored.error {
                        conduit.pass(&mut self.router, TunnelEvent::NotVerified(error));
                    }
                    if !stored.pass {
                        continue;
                    }
                    self.expect_taken(id, |reception| reception.ask(id));
                }
                TunnelEvent::Closed(_) => {
                    self.pass(id, what);
                    self.reception.forget(id);
                    self.parked.retry();
                    if let Some(conduit) = self.conduits.remove(&id) {
                        conduit.end();
                    }
                    continue;
                }
                // The rest is for the handle.
                TunnelEvent::Renewed(_)
                | TunnelEvent::OtherKey(_)
                | TunnelEvent::Unanswered(_)
                | TunnelEvent::Stanza(_)
                | TunnelEvent::Refused(_)
                | TunnelEvent::NotVerified(_)
                | TunnelEvent::NotPinned(_)
                | TunnelEvent::PeerFinished
                | _ => {}
            }
            self.pass(id, what);
        }
    }

    fn on_incoming(&mut self, id: TunnelId, peer: Address, what: TunnelEvent) {
        let port = self.port(id, peer, None);
        let port = port.filter(|_| self.life == Life::Running);
        let asked = matches!(what, TunnelEvent::Asked(_));
        self.expect_taken(id, |reception| {
            port.is_some_and(|port| reception.arrive(id, port)) && (!asked || reception.ask(id))
        });
        if asked {
            self.pass(id, what);
        }
    }

    /// Ends a tunnel that comes out nowhere.
    fn expect_taken(&mut self, id: TunnelId, take: impl FnOnce(&mut Reception) -> bool) {
        if !take(&mut self.reception) {
            debug!("an incoming tunnel finds no one to take it");
            self.with_tunnel(id, |tunnel| tunnel.abort());
        }
    }

    fn pass(&mut self, id: TunnelId, what: TunnelEvent) {
        if let Some(conduit) = self.conduits.get(&id) {
            conduit.pass(&mut self.router, what);
        }
    }
}

/// Moves what can move between the router, the link and the sockets. Ready when anything has.
fn poll_turn<U: Uplink>(
    cx: &mut Context<'_>,
    link: &mut Link<U>,
    sockets: &mut Sockets,
    router: &mut Router,
) -> Poll<Result<(), LinkError>> {
    let moved = sockets.poll_turn(cx, router);
    match link.poll_turn(cx, router) {
        Poll::Pending => moved.map(Ok),
        sent @ Poll::Ready(_) => sent,
    }
}

/// The executor's time, so that paused clocks in tests hold here too.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Commands and signals taken in one go.
const BATCH: usize = 64;

/// Commands that wait for the driver; then callers wait.
const COMMANDS: usize = 64;
