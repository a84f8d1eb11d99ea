//! `xtls stanzas`: XML stanzas on standard input → tunnels → XML stanzas on standard output.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::IsTerminal as _;
use std::pin::Pin;

use serde_json::Value;
use tokio::sync::mpsc;
use xtls_client::router::{Closed, SendError, TunnelId, Why};
use xtls_client::session::{Receipt, Service};
use xtls_client::{Arrival, Sender, Tunnel};
use xtls_framer::{Framer, Limits};
use xtls_stanza::{Address, Stanza};

use crate::args::Stanzas as Args;
use crate::ask::Person;
use crate::attended::{Attended, Seen};
use crate::failure::{Code, Failure};
use crate::input::Pieces;
use crate::link::{self, Link};
use crate::output::Output;
use crate::say::Say;
use crate::stop::Stop;
use crate::suggest::Suggest;
use crate::terminal::Terminal;

/// Runs until the conversations are over.
pub(crate) async fn run(args: &Args, say: Say, stop: Stop) -> Result<(), Failure> {
    let person = Person::at_the_terminal();
    let link = tokio::select! {
        link = link::connect(&args.talk, &person, [Service::stanzas()]) => link?,
        () = stop.asked() => return Err(Failure::interrupted()),
    };
    link::greet(&args.talk, &link, say);
    let mut stanzas = Stanzas {
        say,
        stop,
        suggest: Suggest::new(&args.talk.account).with_listener("xtls stanzas --listen"),
        args: args.clone(),
        input: Input::open(&person),
        person,
        framer: Framer::new(Limits::default()),
        input_ended: false,
        output: Output::open(),
        tunnels: BTreeMap::new(),
        sending: None,
        outcome: Ok(()),
        unsent: None,
        ended: 0,
    };
    stanzas.turn(link).await
}

struct Stanzas {
    say: Say,
    stop: Stop,
    suggest: Suggest,
    args: Args,
    person: Person,
    input: Input,
    framer: Framer,
    input_ended: bool,
    output: Output,
    tunnels: BTreeMap<TunnelId, End>,
    sending: Option<Sending>,
    outcome: Result<(), Failure>,
    /// The first stanza that was not sent. If a tunnel has failed as well, its failure takes precedence.
    unsent: Option<Failure>,
    /// Tunnels that have ended.
    ended: usize,
}

/// Standard input, which is read while there is a peer to send it to.
enum Input {
    Pipe(Pieces),
    /// A terminal has one reader, which also asks questions.
    Terminal(mpsc::Receiver<Vec<u8>>),
}

/// One tunnel from the point of view of the verb.
struct End {
    sender: Sender,
    /// Stanzas can be sent.
    open: bool,
    /// The peer has finished.
    peer_finished: bool,
}

/// A stanza on its way into a tunnel, which may have to wait for room, and the result.
type Sending = Pin<Box<dyn Future<Output = (Stanza, Result<(), SendError>)> + Send>>;

/// What the task of a tunnel reports.
#[expect(
    clippy::large_enum_variant,
    reason = "there is one at a time, and rarely the smaller one"
)]
enum TunnelEvent {
    Seen(Seen),
    /// Standard output did not accept a stanza from the peer.
    NotTaken(Failure),
}

/// Where the tasks of all tunnels report.
type Events = mpsc::Sender<(TunnelId, TunnelEvent)>;

impl Input {
    fn open(person: &Person) -> Self {
        match person.terminal().filter(|_| std::io::stdin().is_terminal()) {
            Some(terminal) => Self::Terminal(Terminal::read(terminal)),
            None => Self::Pipe(Pieces::default()),
        }
    }

    /// The next chunk; `None` at the end. Cancel-safe.
    async fn next(&mut self) -> Option<std::io::Result<Vec<u8>>> {
        match self {
            Self::Pipe(pieces) => pieces.next().await,
            Self::Terminal(pieces) => pieces.recv().await.map(Ok),
        }
    }
}

impl Stanzas {
    async fn turn(&mut self, mut link: Link) -> Result<(), Failure> {
        let (event_sender, mut events) = mpsc::channel(1);
        if let Some(peer) = &self.args.talk.peer {
            let peer = link::calling(peer, self.say)?;
            let tunnel = link.client.open(&peer).await?;
            // What is sent before the tunnel is open leaves with the last flight of its handshake.
            let id = tunnel.id();
            self.follow(&link, tunnel, &event_sender);
            if let Some(end) = self.tunnels.get_mut(&id) {
                end.open = true;
            }
        }
        let mut stopping = false;
        while !self.is_over() {
            let wanted = self.wants_input();
            tokio::select! {
                piece = self.input.next(), if wanted => self.on_piece(piece).await,
                (stanza, sent) = sending(&mut self.sending) => {
                    self.sending = None;
                    self.on_sent(&link, &stanza, sent).await;
                }
                Some((id, event)) = events.recv() => self.on_event(id, event).await,
                Some(arrival) = link.incoming.arrival(), if self.args.talk.listen => match arrival {
                    Arrival::Tunnel(tunnel) => {
                        let peer = tunnel.peer().clone();
                        self.say.of(tunnel.id()).event("incoming", &[("peer", peer.as_str().into())], format_args!("{peer} is calling"));
                        self.follow(&link, tunnel, &event_sender);
                    }
                    Arrival::TurnedAway(away) => link::say_turned_away(&away, self.say),
                },
                () = self.stop.asked(), if !stopping => {
                    stopping = true;
                    self.interrupted().await;
                }
                ended = &mut link.task => return Err(link::ended(ended)),
            }
        }
        let outcome = std::mem::replace(&mut self.outcome, Ok(()));
        let outcome = self.stop.or_interrupted(outcome);
        let outcome = outcome.and_then(|()| self.unsent.take().map_or(Ok(()), Err));
        link::leave(link, outcome).await
    }

    /// Forwards a tunnel's events, one at a time, so that backpressure slows down this tunnel and no other. A stanza is
    /// written before the next one is read.
    fn follow(&mut self, link: &Link, tunnel: Tunnel, events: &Events) {
        let mut attended =
            Attended::new(tunnel, self.person.clone(), self.say, self.suggest.clone());
        let (id, sender) = (attended.id(), attended.sender());
        self.tunnels.insert(
            id,
            End {
                sender: sender.clone(),
                open: false,
                peer_finished: false,
            },
        );
        let (events, output, recorder) =
            (events.clone(), self.output.clone(), link.recorder.clone());
        tokio::spawn(async move {
            while let Some(seen) = attended.next().await {
                let event = match seen {
                    Seen::Stanza(stanza) => {
                        if let Some(recorder) = &recorder {
                            recorder.inner("in", &stanza);
                        }
                        let mut line = Vec::new();
                        // It has passed the parser of the session, so it can be written.
                        if stanza.write_line(&mut line).is_err() {
                            continue;
                        }
                        line.push(b'\n');
                        match output.write(line).await {
                            Ok(()) => continue,
                            Err(failure) => {
                                // The peer must not believe that it was delivered.
                                sender.abort().await;
                                TunnelEvent::NotTaken(failure)
                            }
                        }
                    }
                    Seen::PeerFinished if attended.came_to_verify() => {
                        // The peer has what it came for.
                        sender.finish().await;
                        TunnelEvent::Seen(Seen::PeerFinished)
                    }
                    seen @ (Seen::Ready
                    | Seen::Established
                    | Seen::Refused(_)
                    | Seen::Unanswered(_)
                    | Seen::PeerFinished
                    | Seen::Mismatch(_)
                    | Seen::Closed(_)) => TunnelEvent::Seen(seen),
                };
                if events.send((id, event)).await.is_err() {
                    return;
                }
            }
        });
    }

    /// An initiator is done when its tunnel has ended; a listener only with `--once`, or when asked to stop.
    fn is_over(&self) -> bool {
        let last = self.tunnels.is_empty() && (self.ended > 0 || self.stop.is_asked());
        last && (!self.args.talk.listen || self.args.talk.calls.once || self.stop.is_asked())
            || (self.tunnels.is_empty()
                && matches!(&self.outcome, Err(failure) if failure.code == Code::Failed))
    }

    fn wants_input(&self) -> bool {
        !self.input_ended && self.sending.is_none() && self.tunnels.values().any(|end| end.open)
    }

    async fn on_piece(&mut self, piece: Option<std::io::Result<Vec<u8>>>) {
        match piece {
            Some(Ok(piece)) => {
                self.framer.push(&piece);
                self.send_next().await;
            }
            Some(Err(error)) => {
                self.wrong_input(Failure::failed(format!("standard input: {error}")))
                    .await;
            }
            None => match self.framer.finish() {
                Ok(()) => self.end_input().await,
                Err(error) => {
                    self.wrong_input(Failure::usage(format!("standard input: {error}")))
                        .await;
                }
            },
        }
    }

    /// Sends the next complete stanza.
    async fn send_next(&mut self) {
        while self.sending.is_none() && !self.input_ended {
            let stanza = match self.framer.next() {
                Ok(None) => return,
                Ok(Some(frame)) => {
                    Stanza::read(&frame.into_bytes()).map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            match stanza {
                Ok(stanza) => self.dispatch(stanza),
                Err(why) => {
                    self.wrong_input(Failure::usage(format!("standard input: {why}")))
                        .await;
                    return;
                }
            }
        }
    }

    /// Reports invalid input immediately. What came before it is still sent, what follows is not.
    async fn wrong_input(&mut self, failure: Failure) {
        self.say.failure(&failure);
        self.outcome = Err(failure.reported());
        self.end_input().await;
    }

    async fn end_input(&mut self) {
        self.input_ended = true;
        for end in self.tunnels.values() {
            end.sender.finish().await;
            if self.args.no_wait {
                leave_when_taken(end.sender.clone());
            } else if end.open && !end.peer_finished {
                let peer = end.sender.peer();
                self.say.event(
                    "waiting",
                    &[("peer", peer.as_str().into())],
                    format_args!("your input has ended; waiting for {peer} to finish too"),
                );
            }
        }
    }

    /// Sends a stanza to the peer it is addressed to, or to the only peer.
    fn dispatch(&mut self, stanza: Stanza) {
        let fits = |to: &Address, sender: &Sender| {
            sender.peer() == to || (!to.is_full() && sender.peer().bare() == to.bare())
        };
        let mut open = self.tunnels.values().filter(|end| end.open);
        let sender = match &stanza.to {
            Some(to) => match open.find(|end| fits(to, &end.sender)) {
                Some(end) => Ok(&end.sender),
                // If there is only one tunnel, that one refuses the stanza with a precise reason.
                None => only(&mut self.tunnels.values().filter(|end| end.open))
                    .map_err(|_| format!("no one is connected as {to}")),
            },
            None => only(&mut open).map_err(str::to_owned),
        };
        match sender {
            Ok(sender) => {
                let sender = sender.clone();
                self.sending = Some(Box::pin(async move {
                    let sent = sender.send(stanza.clone()).await;
                    (stanza, sent)
                }));
            }
            Err(why) => self.not_sent(&why, Code::Peer),
        }
    }

    fn not_sent(&mut self, why: &str, code: Code) {
        let failure = Failure::new(
            code,
            format!("standard input: {why}; the stanza was not sent"),
        );
        self.say
            .warn("not_sent", &[("why", why.into())], &failure.what);
        self.unsent.get_or_insert(failure);
    }

    async fn on_sent(&mut self, link: &Link, stanza: &Stanza, sent: Result<(), SendError>) {
        match sent {
            Ok(()) => {
                if let Some(recorder) = &link.recorder {
                    recorder.inner("out", stanza);
                }
            }
            Err(SendError::Gone(_)) => self.not_sent("its recipient has left", Code::Peer),
            Err(SendError::Session(xtls_client::session::SendError::Finished)) => {
                self.not_sent("the tunnel is ending", Code::Peer);
            }
            Err(error) => self.not_sent(&error.to_string(), Code::Usage),
        }
        self.send_next().await;
    }

    async fn on_event(&mut self, id: TunnelId, event: TunnelEvent) {
        let Some(end) = self.tunnels.get_mut(&id) else {
            return;
        };
        let peer = end.sender.peer().clone();
        let of_peer = ("peer", Value::from(peer.as_str()));
        match event {
            TunnelEvent::Seen(Seen::Ready) => end.open = true,
            TunnelEvent::Seen(Seen::Established) => {
                end.open = true;
                if self.input_ended {
                    end.sender.finish().await;
                    if self.args.no_wait {
                        leave_when_taken(end.sender.clone());
                    }
                }
            }
            TunnelEvent::Seen(Seen::Refused(violation)) => {
                link::say_refused(&peer, &violation, self.say.of(id));
            }
            TunnelEvent::Seen(Seen::PeerFinished) => {
                end.peer_finished = true;
                self.say.of(id).event(
                    "peer_finished",
                    &[of_peer],
                    format_args!("{peer} has finished"),
                );
            }
            TunnelEvent::Seen(Seen::Unanswered(request)) => {
                let name = request.id.as_deref().unwrap_or_default();
                let fields = [of_peer, ("id", name.into())];
                let text =
                    format_args!("{peer} did not answer the request {name:?} before the end");
                self.say.of(id).warn("unanswered", &fields, text);
            }
            TunnelEvent::Seen(Seen::Mismatch(failure)) => {
                // A possible interceptor gets nothing more to read.
                end.sender.abort().await;
                self.fail(failure);
            }
            TunnelEvent::Seen(Seen::Closed(closed)) => self.closed(id, &closed),
            TunnelEvent::Seen(Seen::Stanza(_)) => {}
            TunnelEvent::NotTaken(failure) => {
                self.input_ended = true;
                for end in self.tunnels.values() {
                    end.sender.abort().await;
                }
                self.outcome = Err(failure);
            }
        }
    }

    fn closed(&mut self, id: TunnelId, closed: &Closed) {
        self.tunnels.remove(&id);
        let fields = link::closed_fields(closed);
        // The conversation continues in the tunnel that superseded this one.
        let goes_on = closed.why == Why::Superseded && self.args.talk.listen;
        // Whoever wants no more than that everything arrives has got it.
        let enough = self.args.no_wait && self.input_ended && closed.receipt == Receipt::Taken;
        let failure = Failure::of_close(closed, &self.suggest).filter(|_| !goes_on && !enough);
        self.ended += usize::from(!goes_on);
        match failure {
            None => {
                let peer = &closed.peer;
                let text = match enough && !closed.clean {
                    true => format!("{peer} has taken everything"),
                    false => format!("closed with {peer}: {}", closed.why),
                };
                self.say.of(id).event("closed", &fields, text);
            }
            Some(failure) => {
                self.say.of(id).data("closed", &fields);
                self.fail(failure);
            }
        }
    }

    /// Handles a failed tunnel: a listener continues, other modes end with the first failure.
    fn fail(&mut self, failure: Failure) {
        if self.args.talk.listen && !self.args.talk.calls.once {
            self.say.failure(&failure);
        } else if self.outcome.is_ok() {
            self.outcome = Err(failure);
        }
    }

    async fn interrupted(&mut self) {
        self.outcome = Err(Failure::interrupted());
        self.input_ended = true;
        if !self.tunnels.is_empty() {
            self.stop.closing("closing");
        }
        for end in self.tunnels.values() {
            end.sender.close().await;
        }
    }
}

/// Ends a tunnel as soon as the peer has confirmed everything, unless it ends in order before.
fn leave_when_taken(sender: Sender) {
    tokio::spawn(async move {
        let mut looks = tokio::time::interval(LOOK);
        while let Ok(stats) = sender.stats().await {
            looks.tick().await;
            if stats.receipt == Some(Receipt::Taken) {
                // The peer may be finishing too.
                tokio::time::sleep(LOOK).await;
                return sender.abort().await;
            }
        }
    });
}

/// The only open tunnel; the error says why there is none.
fn only<'a>(open: &mut dyn Iterator<Item = &'a End>) -> Result<&'a Sender, &'static str> {
    match (open.next(), open.next()) {
        (Some(only), None) => Ok(&only.sender),
        (Some(_), Some(_)) => Err("several peers are connected, and `to` is missing"),
        (None, _) => Err("no one is connected"),
    }
}

async fn sending(sending: &mut Option<Sending>) -> (Stanza, Result<(), SendError>) {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}

/// How often to look whether the peer has taken everything.
const LOOK: std::time::Duration = std::time::Duration::from_millis(50);
