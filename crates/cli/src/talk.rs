//! `xtls stanzas` and `xtls chat`: one loop for both, with another face.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::IsTerminal as _;
use std::pin::Pin;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use xtls_client::router::{Closed, SendError, TunnelId, What};
use xtls_client::session::Peer;
use xtls_client::tls::Standing;
use xtls_client::tls::trust::Level;
use xtls_client::{Sender, Tunnel};
use xtls_stanza::{Address, Stanza};

use crate::args::Talk;
use crate::face::{Face, Item};
use crate::failure::{Code, Failure};
use crate::link::{self, Link};
use crate::say::Say;
use crate::suggest::Suggest;
use crate::verify::Desk;

/// Runs until the conversation is over.
pub(crate) async fn run(talk: &Talk, face: Face, say: Say) -> Result<(), Failure> {
    let mut link = link::connect(talk).await?;
    let mut hub = Hub {
        say,
        face,
        talk: talk.clone(),
        senders: BTreeMap::new(),
        desk: Desk::default(),
        current: None,
        items: None,
        input_ended: false,
        sending: None,
        outcome: Ok(()),
        ended: 0,
        link_ended: false,
    };
    link::greet(talk, &link, say);
    let result = hub.turn(&mut link).await;
    if hub.link_ended {
        return result;
    }
    result.and(link::leave(link).await)
}

/// A stanza on its way into a tunnel that may have no room, and what became of it.
type Sending = Pin<Box<dyn Future<Output = (Stanza, Result<(), SendError>)> + Send>>;

struct Hub {
    say: Say,
    face: Face,
    talk: Talk,
    /// Tunnels that may be written to.
    senders: BTreeMap<TunnelId, Sender>,
    /// Questions of trust.
    desk: Desk,
    /// Whom input without an address goes to: the tunnel that opened last.
    current: Option<TunnelId>,
    items: Option<mpsc::Receiver<Item>>,
    input_ended: bool,
    sending: Option<Sending>,
    outcome: Result<(), Failure>,
    /// Tunnels that have ended.
    ended: usize,
    /// The link has ended by itself and has said why: there is nobody left to say good-bye to.
    link_ended: bool,
}

impl Hub {
    async fn turn(&mut self, link: &mut Link) -> Result<(), Failure> {
        let (told, mut news) = mpsc::channel::<(TunnelId, What)>(1);
        if let Some(peer) = &self.talk.peer {
            let peer = link::exact(peer)?;
            self.say.event(
                "opening",
                &[("peer", peer.as_str().into())],
                format_args!("opening a tunnel to {peer}"),
            );
            let tunnel = link.client.open(&peer).await?;
            // What is said before the tunnel is open leaves with the last flight of its handshake. A person types once
            // the question of trust is answered.
            if matches!(self.face, Face::Stanzas) {
                self.ready(tunnel.id());
            }
            self.follow(tunnel, &told);
        }
        let mut interrupted = false;
        loop {
            if self.over() {
                return std::mem::replace(&mut self.outcome, Ok(()));
            }
            let idle = self.sending.is_none() && self.current.is_some();
            let input = async {
                match &mut self.items {
                    Some(items) if idle => items.recv().await,
                    Some(_) | None => std::future::pending().await,
                }
            };
            let sending = async {
                match &mut self.sending {
                    Some(sending) => sending.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                item = input => self.on_input(item).await?,
                (stanza, sent) = sending => {
                    self.sending = None;
                    self.on_sent(link, &stanza, sent);
                }
                Some((id, what)) = news.recv() => self.on_news(link, id, what).await?,
                Some(tunnel) = link.incoming.next(), if self.talk.listen => {
                    let peer = tunnel.peer().clone();
                    self.say.event("incoming", &[("peer", peer.as_str().into())], format_args!("{peer} opens a tunnel"));
                    self.follow(tunnel, &told);
                }
                ended = &mut link.task => {
                    self.link_ended = true;
                    return Err(link_ended(ended));
                }
                _ = tokio::signal::ctrl_c() => {
                    if interrupted {
                        return Err(Failure::interrupted());
                    }
                    interrupted = true;
                    self.outcome = Err(Failure::interrupted());
                    if self.senders.is_empty() {
                        return Err(Failure::interrupted());
                    }
                    for sender in self.senders.values() {
                        sender.close().await;
                    }
                }
            }
        }
    }

    /// Passes a tunnel's events on, one at a time: whoever does not take them slows that tunnel down and no other.
    fn follow(&mut self, mut tunnel: Tunnel, told: &mpsc::Sender<(TunnelId, What)>) {
        let id = tunnel.id();
        self.senders.insert(id, tunnel.sender());
        let told = told.clone();
        tokio::spawn(async move {
            while let Some(what) = tunnel.next().await {
                if told.send((id, what)).await.is_err() {
                    return;
                }
            }
        });
    }

    /// An initiator's conversation is over with its tunnel, a listener's with `--once`.
    fn over(&self) -> bool {
        let last = self.senders.is_empty() && self.ended > 0;
        last && (!self.talk.listen
            || self.talk.tunnel.once
            || self
                .outcome
                .as_ref()
                .is_err_and(|f| f.code == Code::Interrupted))
    }

    async fn on_news(&mut self, link: &Link, id: TunnelId, what: What) -> Result<(), Failure> {
        let Some(sender) = self.senders.get(&id).cloned() else {
            return Ok(());
        };
        match what {
            What::Judge(introduction) => {
                self.desk.judge(sender, introduction, self.say);
            }
            What::NotPinned(why) => self.say.warn("not_pinned", &[], why),
            What::Verify(event) => {
                // Two that read one terminal would each get half of what is typed.
                let busy = self.items.is_some() && std::io::stdin().is_terminal();
                if let Some(failure) = self.desk.on_verify(&sender, &event, busy, self.say) {
                    self.fail(failure);
                }
            }
            What::NotVerified(why) => self.say.warn("not_verified", &[], why),
            What::Ready => self.ready(id),
            What::Established(peer) => {
                self.established(id, &peer);
                self.ready(id);
                if self.input_ended {
                    sender.finish().await;
                }
            }
            What::Stanza(stanza) => {
                self.desk.heard(id);
                if let Some(recorder) = &link.recorder {
                    recorder.inner("in", &stanza);
                }
                self.deliver(&stanza).await?;
            }
            What::Refused(violation) => {
                self.say.warn(
                    "refused",
                    &[("peer", sender.peer().as_str().into())],
                    format_args!("{}: {violation}", sender.peer()),
                );
            }
            What::PeerFinished => {
                let peer = sender.peer();
                self.say.event(
                    "peer_finished",
                    &[("peer", peer.as_str().into())],
                    format_args!("{peer} has said everything"),
                );
                // A conversation between people ends for both; a stream of stanzas may go on the other way. A peer that
                // came to verify has what it came for.
                if matches!(self.face, Face::Chat(_)) || self.desk.is_settled(id) {
                    sender.finish().await;
                }
            }
            What::Closed(closed) => self.closed(id, &closed),
            What::Unanswered(request) => {
                let id = request.id.as_deref().unwrap_or_default().to_owned();
                self.say.warn(
                    "unanswered",
                    &[
                        ("peer", sender.peer().as_str().into()),
                        ("id", id.as_str().into()),
                    ],
                    format_args!(
                        "{}: no answer to the request {id:?} before the end",
                        sender.peer()
                    ),
                );
            }
            What::Incoming(_) | What::Asked(_) | What::Renewed(_) | What::Writable | _ => {}
        }
        Ok(())
    }

    fn ready(&mut self, id: TunnelId) {
        self.current = Some(id);
        if self.items.is_none() && !self.input_ended {
            self.items = Some(self.face.input());
        }
    }

    fn established(&self, id: TunnelId, peer: &Peer) {
        let address = &peer.address;
        let key = &peer.key.fingerprint;
        let (standing, level) = match peer.key.standing {
            _ if self.desk.is_verified(id) => ("its key is verified now", "verified"),
            Standing::Pinned(Level::Verified(_)) => ("its key is verified", "verified"),
            Standing::Pinned(_) => ("its key is the one met before, not verified", "pinned"),
            Standing::Doubted(_) => ("its key is doubted", "doubted"),
            Standing::New => (
                "FIRST CONTACT: its key was pinned now and is UNVERIFIED (`xtls verify` them)",
                "unverified",
            ),
        };
        let fields = [
            ("peer", Value::from(address.as_str())),
            ("fingerprint", Value::from(key.hex())),
            ("standing", Value::from(level)),
            ("bound", Value::from(peer.bound)),
        ];
        self.say.event(
            "established",
            &fields,
            format_args!("secure with {address}\n      peer key {key}: {standing}"),
        );
        if !peer.bound {
            self.say.warn(
                "unbound",
                &[],
                "the peer speaks the letter of 2008 only: the session is not bound to resources",
            );
        }
    }

    async fn deliver(&mut self, stanza: &Stanza) -> Result<(), Failure> {
        let Some(line) = self.face.show(stanza) else {
            return Ok(());
        };
        let mut out = tokio::io::stdout();
        let written = async {
            out.write_all(&line).await?;
            out.flush().await
        };
        written
            .await
            .map_err(|error| Failure::failed(format!("standard output: {error}")))
    }

    async fn on_input(&mut self, item: Option<Item>) -> Result<(), Failure> {
        match item {
            Some(Ok(stanza)) => self.dispatch(stanza),
            Some(Err(failure)) => {
                self.outcome = Err(failure);
                self.end_input().await;
            }
            None => self.end_input().await,
        }
        Ok(())
    }

    /// Sends a stanza to whom it is addressed, or to the tunnel that opened last.
    fn dispatch(&mut self, stanza: Stanza) {
        let by_address = |to: &Address| {
            let fits =
                |sender: &&Sender| sender.peer() == to || sender.peer().bare() == to.as_str();
            self.senders.values().find(fits).cloned()
        };
        let addressed = stanza.to.as_ref().and_then(by_address);
        let current = self.current.and_then(|id| self.senders.get(&id)).cloned();
        let Some(sender) = addressed.or(current) else {
            return;
        };
        self.sending = Some(Box::pin(async move {
            let sent = sender.send(stanza.clone()).await;
            (stanza, sent)
        }));
    }

    fn on_sent(&mut self, link: &Link, stanza: &Stanza, sent: Result<(), SendError>) {
        match sent {
            Ok(()) => {
                if let Some(recorder) = &link.recorder {
                    recorder.inner("out", stanza);
                }
            }
            // The tunnel's own end says why.
            Err(
                SendError::Gone(_) | SendError::Session(xtls_client::session::SendError::Finished),
            ) => {}
            Err(error) => {
                let failure =
                    Failure::usage(format!("standard input: {error}; the stanza was not sent"));
                let why = [("why", Value::from(error.to_string()))];
                self.say.warn("not_sent", &why, &failure.what);
                if self.outcome.is_ok() {
                    self.outcome = Err(failure);
                }
            }
        }
    }

    async fn end_input(&mut self) {
        self.items = None;
        self.input_ended = true;
        for sender in self.senders.values() {
            sender.finish().await;
        }
    }

    fn closed(&mut self, id: TunnelId, closed: &Closed) {
        self.senders.remove(&id);
        self.desk.closed(id);
        self.ended = self.ended.saturating_add(1);
        if self.current == Some(id) {
            self.current = self.senders.keys().next_back().copied();
        }
        let failure = Failure::of_close(closed, &Suggest::new(&self.talk.account));
        let fields = [
            ("peer", Value::from(closed.peer.as_str())),
            ("by", Value::from(format!("{:?}", closed.by).to_lowercase())),
            ("why", Value::from(closed.why.to_string())),
            ("clean", Value::from(closed.clean)),
            ("unconfirmed", Value::from(closed.unconfirmed)),
        ];
        let peer = &closed.peer;
        match failure {
            None => self.say.event(
                "closed",
                &fields,
                format_args!("closed with {peer}: {}", closed.why),
            ),
            Some(failure) => {
                self.say.data("closed", &fields);
                self.fail(failure);
            }
        }
    }

    /// A tunnel has failed: a listener goes on, everybody else ends with the first failure.
    fn fail(&mut self, failure: Failure) {
        if self.talk.listen && !self.talk.tunnel.once {
            self.say.failure(&failure);
        } else if self.outcome.is_ok() {
            self.outcome = Err(failure);
        }
    }
}

fn link_ended(
    ended: Result<Result<(), xtls_client::LinkError>, tokio::task::JoinError>,
) -> Failure {
    match ended {
        Ok(Ok(())) => Failure::new(Code::Server, "the link to the server has ended"),
        Ok(Err(error)) => error.into(),
        Err(error) => Failure::failed(format!("the client stopped: {error}")),
    }
}
