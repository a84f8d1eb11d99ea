//! Tunnels of bytes, from the call or the caller to the point where both ends have accepted each other.

use tokio::task::JoinSet;
use xtls_client::router::Closed;
use xtls_client::session::{Mode, Service};
use xtls_client::{Arrival, Client, Sender, Tunnel};
use xtls_stanza::Address;

use crate::args::ConversationArgs;
use crate::ask::Person;
use crate::attended::{Attended, Seen};
use crate::failure::{Code, Failure};
use crate::link::{self, Link};
use crate::say::Say;
use crate::stop::Stop;
use crate::suggest::Suggest;

/// A verb's link to the server and what its tunnels need.
pub(crate) struct Ends {
    pub(crate) link: Link,
    pub(crate) person: Person,
    pub(crate) say: Say,
    pub(crate) suggest: Suggest,
    service: Service,
    /// Callers that have not been accepted, or have not accepted us, yet.
    callers: JoinSet<Result<Secure, Failure>>,
}

/// A tunnel whose ends have accepted each other.
#[derive(Debug)]
pub(crate) struct Secure {
    pub(crate) tunnel: Tunnel,
    pub(crate) peer: Address,
    pub(crate) say: Say,
    suggest: Suggest,
}

impl Ends {
    /// Logs in for one service, and for a verification before that if `verifies`.
    pub(crate) async fn connect(
        talk: &ConversationArgs,
        service: &str,
        verifies: bool,
        say: Say,
        stop: &Stop,
    ) -> Result<Self, Failure> {
        let person = Person::at_the_terminal();
        let service = Service::new(service, Mode::Bytes);
        let link = tokio::select! {
            link = link::connect(talk, &person, services(&service, verifies)) => link?,
            () = stop.asked() => return Err(Failure::interrupted()),
        };
        link::greet(talk, &link, say);
        Ok(Self {
            link,
            person,
            say,
            suggest: Suggest::new(&talk.account),
            service,
            callers: JoinSet::new(),
        })
    }

    /// What calls peers, beside whatever else these ends are needed for.
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            client: self.link.client.clone(),
            service: self.service.clone(),
            person: self.person.clone(),
            say: self.say,
            suggest: self.suggest.clone(),
        }
    }

    /// Calls a peer, as a [`Caller`] does.
    pub(crate) async fn call(&self, peer: &Address) -> Result<Secure, Failure> {
        self.caller().call(peer).await
    }

    /// The next caller that both ends have accepted. A caller that fails is reported, and is not the end. Cancel-safe.
    pub(crate) async fn next_caller(&mut self) -> Result<Secure, Failure> {
        loop {
            tokio::select! {
                arrival = self.link.incoming.arrival() => match arrival {
                    Some(Arrival::Tunnel(tunnel)) => {
                        let peer = tunnel.peer().clone();
                        let fields = [("peer", peer.as_str().into())];
                        self.say.of(tunnel.id()).event("incoming", &fields, format_args!("{peer} is calling"));
                        self.callers.spawn(self.caller().attend(tunnel));
                    }
                    Some(Arrival::TurnedAway(away)) => link::say_turned_away(&away, self.say),
                    None => return Err(Failure::new(Code::Server, "the connection to the server has ended")),
                },
                Some(Ok(caller)) = self.callers.join_next() => match caller {
                    Ok(secure) => return Ok(secure),
                    Err(failure) => self.say.failure(&failure),
                },
            }
        }
    }

    /// Attends to each caller, all at the same time, until this program is asked to stop: then each is waited for. `once`: to one of
    /// them, whose end is that of this.
    pub(crate) async fn serve<F>(
        &mut self,
        once: bool,
        stop: &Stop,
        attend: impl Fn(Secure) -> F,
    ) -> Result<(), Failure>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let mut running = JoinSet::new();
        let mut open = true;
        loop {
            tokio::select! {
                secure = self.next_caller(), if open => {
                    let secure = secure?;
                    if once {
                        open = false;
                        self.pause(true);
                    }
                    running.spawn(attend(secure));
                }
                Some(ended) = running.join_next() => {
                    let outcome = ended.unwrap_or_else(|error| Err(Failure::failed(error.to_string())));
                    if !open {
                        return outcome;
                    }
                    if let Err(failure) = outcome {
                        self.say.failure(&failure);
                    }
                }
                () = stop.asked() => {
                    while running.join_next().await.is_some() {}
                    return Err(Failure::interrupted());
                }
            }
        }
    }

    /// Whether new callers are asked to call later.
    pub(crate) fn pause(&self, paused: bool) {
        self.link.incoming.pause(paused);
    }

    /// Waits for the link to be lost for good.
    pub(crate) async fn lost(&mut self) -> Failure {
        link::ended((&mut self.link.task).await)
    }

    /// Logs out, and says how the run ended.
    pub(crate) async fn leave(self, outcome: Result<(), Failure>) -> Result<(), Failure> {
        drop(self.callers);
        link::leave(self.link, outcome).await
    }
}

fn services(service: &Service, verifies: bool) -> Vec<Service> {
    let mut services = vec![service.clone()];
    if verifies {
        services.push(Service::stanzas());
    }
    services
}

/// Calls peers for one service.
pub(crate) struct Caller {
    client: Client,
    service: Service,
    person: Person,
    say: Say,
    suggest: Suggest,
}

impl Caller {
    /// Calls a peer, and waits until both ends have accepted each other. Cancel-safe: a call that is not waited for any more is
    /// given up.
    pub(crate) async fn call(&self, peer: &Address) -> Result<Secure, Failure> {
        self.open(&link::calling(peer, self.say)?).await
    }

    /// Calls a peer that was called before, of which people need not hear again. Cancel-safe, as [`call`](Self::call).
    pub(crate) async fn call_again(&self, peer: &Address) -> Result<Secure, Failure> {
        let peer = link::exact(peer)?;
        self.say.data("opening", &[("peer", peer.as_str().into())]);
        self.open(&peer).await
    }

    async fn open(&self, peer: &Address) -> Result<Secure, Failure> {
        let tunnel = self.client.open_for(peer, self.service.clone()).await?;
        self.attend(tunnel).await
    }

    fn attend(
        &self,
        tunnel: Tunnel,
    ) -> impl Future<Output = Result<Secure, Failure>> + Send + use<> {
        let attended = Attended::new(tunnel, self.person.clone(), self.say, self.suggest.clone());
        secure(attended, self.service.clone(), self.suggest.clone())
    }
}

/// Waits until both ends have accepted each other.
async fn secure(
    mut attended: Attended,
    service: Service,
    suggest: Suggest,
) -> Result<Secure, Failure> {
    while let Some(seen) = attended.next().await {
        match seen {
            Seen::Established
                if attended
                    .sender()
                    .proven()
                    .is_none_or(|peer| peer.service != service) =>
            {
                attended.sender().abort().await;
                let what = format!(
                    "{} called for something else than {}",
                    attended.peer(),
                    service.name()
                );
                return Err(Failure::new(Code::Peer, what));
            }
            Seen::Established => {
                let say = attended.say();
                return Ok(Secure::of(attended.into_tunnel(), say, suggest));
            }
            Seen::Ready => {
                let peer = attended.peer();
                let fields = [("peer", peer.as_str().into())];
                attended.say().event(
                    "waiting",
                    &fields,
                    format_args!("waiting for {peer} to accept your key …"),
                );
            }
            Seen::Mismatch(failure) => {
                attended.sender().abort().await;
                return Err(failure);
            }
            Seen::Closed(closed) => return Err(ended(&closed, attended.say(), &suggest)),
            Seen::Stanza(_) | Seen::Refused(_) | Seen::Unanswered(_) | Seen::PeerFinished => {}
        }
    }
    Err(Failure::new(
        Code::Server,
        "the connection to the server has ended",
    ))
}

/// The end of a tunnel that did not do what it was for.
fn ended(closed: &Closed, say: Say, suggest: &Suggest) -> Failure {
    say.data("closed", &link::closed_fields(closed));
    Failure::of_close(closed, suggest)
        .unwrap_or_else(|| Failure::new(Code::Peer, format!("{} has left", closed.peer)))
}

impl Secure {
    /// A tunnel of which that is known.
    pub(crate) fn of(tunnel: Tunnel, say: Say, suggest: Suggest) -> Self {
        let (peer, say) = (tunnel.peer().clone(), say.of(tunnel.id()));
        Self {
            tunnel,
            peer,
            say,
            suggest,
        }
    }

    /// A handle that outlives the use of the tunnel as bytes.
    pub(crate) fn sender(&self) -> Sender {
        self.tunnel.sender()
    }

    /// Why a tunnel of which `sender` is a handle has ended, if it was not in order; `None` too if it has not.
    pub(crate) async fn why(sender: &Sender, say: Say, suggest: &Suggest) -> Option<Failure> {
        let closed = tokio::time::timeout(TOLD, sender.closed())
            .await
            .ok()?
            .ok()?;
        say.data("closed", &link::closed_fields(&closed));
        Failure::of_close(&closed, suggest)
    }

    /// How to suggest commands about the peer.
    pub(crate) fn suggest(&self) -> &Suggest {
        &self.suggest
    }
}

/// How long the reason for an end may take to come after the end.
const TOLD: std::time::Duration = std::time::Duration::from_secs(12);
