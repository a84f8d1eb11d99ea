//! One tunnel while it stands: what the peer opens in it, and what it asks for.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::linger::cut_on_drop;
use super::listen::Listener;
use super::mux::{Mux, Opener, Stream};
use super::relay::relay;
use super::talk::{NoAnswer, Talk};
use super::{End, ForwardError, How, Report, Reports, Resolve};
use crate::allow::{Allow, Judgement};
use crate::channel::Request;
use crate::spec::Spec;
use crate::wire::{Place, Refusal, Why};

/// What this end does for its peer.
pub(super) struct Duties {
    pub(super) allow: Allow,
    /// The forwards that the peer listens for, by their number: where their connections go is decided here.
    pub(super) remote: BTreeMap<u32, Spec>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) reports: Reports,
}

/// What follows when the peer does not listen for a forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// The end of the tunnel: the forward has never worked.
    OrEnd,
    /// It is asked again: it may not have noticed yet that an older tunnel is gone.
    AskAgain,
}

/// Carries on until the tunnel ends, or the peer does not do what is essential.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    mux: &mut Mux<S>,
    opener: Opener,
    duties: Arc<Duties>,
    hold: Hold,
) -> Result<(), ForwardError> {
    let mut tasks: JoinSet<Result<(), ForwardError>> = JoinSet::new();
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let refusals = Arc::new(Semaphore::new(CONNECTIONS));
    let ours = Arc::new(Semaphore::new(CONNECTIONS));
    for (number, spec) in duties.remote.clone() {
        let (opener, reports) = (opener.clone(), duties.reports.clone());
        tasks.spawn(async move {
            loop {
                let lost = hold_one(&opener, number, &spec, &reports).await;
                match (hold, lost) {
                    (Hold::AskAgain, Err(ForwardError::Refused { what, refusal })) => {
                        let (from, to) = (what.bind.to_string(), what.to);
                        reports.tell(Report::Refused {
                            from,
                            to,
                            refusal,
                            by: End::There,
                        });
                    }
                    (Hold::AskAgain, Err(ForwardError::StoppedListening(_))) => {}
                    (_, lost) => return lost,
                }
                sleep(AGAIN).await;
            }
        });
    }
    loop {
        let stream = tokio::select! {
            next = poll_fn(|cx| mux.poll_next(cx)) => match next {
                None => return Ok(()),
                Some(stream) => stream.map_err(ForwardError::Tunnel)?,
            },
            Some(done) = tasks.join_next() => {
                // A task that panicked has lost its own connection only.
                done.unwrap_or(Ok(()))?;
                continue;
            }
        };
        if let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
            let (duties, opener, ours) = (Arc::clone(&duties), opener.clone(), Arc::clone(&ours));
            tasks.spawn(async move {
                answer(stream, &duties, &opener, &ours).await;
                drop(permit);
                Ok(())
            });
        } else if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
            tasks.spawn(async move {
                if let Ok(Ok((talk, _))) = timeout(REQUEST, Talk::asked(stream)).await {
                    talk.refuse(Why::TooMany.into()).await;
                }
                drop(permit);
                Ok(())
            });
        }
        // Beyond that, a stream is dropped, which resets it.
    }
}

/// Has the peer listen for a forward, as long as the tunnel stands.
async fn hold_one(
    opener: &Opener,
    number: u32,
    spec: &Spec,
    reports: &Reports,
) -> Result<(), ForwardError> {
    let request = Request::Listen(number, spec.bind.place());
    let what = spec.clone();
    match timeout(ANSWER, Talk::ask(opener, &request)).await {
        Ok(Ok((mut talk, at))) => {
            let report = what.clone();
            reports.tell(Report::ListeningThere { what: report, at });
            talk.wait_for_end().await;
            Err(ForwardError::StoppedListening(what))
        }
        Ok(Err(NoAnswer::Refused(refusal))) => Err(ForwardError::Refused { what, refusal }),
        Ok(Err(NoAnswer::Violation(violation))) => Err(violation.into()),
        // The tunnel ends, and says why by itself.
        Ok(Err(NoAnswer::NoTunnel)) => Ok(()),
        Ok(Err(NoAnswer::Ended)) => Err(ForwardError::StoppedListening(what)),
        Err(_) => {
            let refusal = Why::Timeout.into();
            Err(ForwardError::Refused { what, refusal })
        }
    }
}

/// Does what the peer asks for with a stream.
async fn answer(stream: Stream, duties: &Duties, opener: &Opener, ours: &Arc<Semaphore>) {
    // A peer that asks for nothing, or breaks the protocol, gets nothing: the stream is dropped.
    let Ok(Ok((talk, request))) = timeout(REQUEST, Talk::asked(stream)).await else {
        return;
    };
    match request {
        Request::Connect(to) => {
            let socket = dial_allowed(duties, &to).await;
            join(talk, socket, "the peer".to_owned(), to, &duties.reports).await;
        }
        Request::Incoming(number, from) => match duties.remote.get(&number) {
            None => talk.refuse(Why::Denied.into()).await,
            Some(spec) => {
                let socket = timeout(DIAL, dial(&spec.to, duties))
                    .await
                    .unwrap_or(Err(Why::Timeout));
                join(
                    talk,
                    socket,
                    from.to_string(),
                    spec.to.clone(),
                    &duties.reports,
                )
                .await;
            }
        },
        Request::Listen(number, at) => listen(talk, number, &at, duties, opener, ours).await,
    }
}

/// Answers with a connection, or with why there is none, and carries it to its end.
async fn join(
    mut talk: Talk,
    socket: Result<(TcpStream, SocketAddr), Why>,
    from: String,
    to: Place,
    reports: &Reports,
) {
    match socket {
        Ok((socket, at)) => {
            talk.channel.accept(place_of(at));
            carry(talk, socket, from, to, reports).await;
        }
        Err(why) => {
            let refusal = Refusal::from(why);
            reports.tell(Report::Refused {
                from,
                to,
                refusal: refusal.clone(),
                by: End::Here,
            });
            talk.refuse(refusal).await;
        }
    }
}

/// Carries a connection to its end, with a report before and after.
pub(super) async fn carry(
    talk: Talk,
    socket: TcpStream,
    from: String,
    to: Place,
    reports: &Reports,
) -> How {
    reports.tell(Report::Opened {
        from: from.clone(),
        to: to.clone(),
    });
    let carried = relay(talk, socket).await;
    reports.tell(Report::Closed {
        from,
        to,
        sent: carried.sent,
        received: carried.received,
        how: carried.how.clone(),
    });
    carried.how
}

async fn dial_allowed(duties: &Duties, to: &Place) -> Result<(TcpStream, SocketAddr), Why> {
    let allowed = duties.allow.judge(to).map_err(|_| Why::Denied)?;
    let dialling = async {
        let addresses = match allowed {
            Judgement::Connect(address) => vec![address],
            Judgement::LookUp => {
                let found = duties
                    .resolver
                    .resolve(&to.host)
                    .await
                    .map_err(|_| Why::Unresolvable)?;
                duties
                    .allow
                    .judge_found(to, &found)
                    .map_err(|_| Why::Denied)?
            }
        };
        first_of(&addresses).await
    };
    timeout(DIAL, dialling).await.unwrap_or(Err(Why::Timeout))
}

/// Connects to a place of our own choice.
async fn dial(to: &Place, duties: &Duties) -> Result<(TcpStream, SocketAddr), Why> {
    let found = match to.host.parse() {
        Ok(address) => vec![address],
        Err(_) => duties
            .resolver
            .resolve(&to.host)
            .await
            .map_err(|_| Why::Unresolvable)?,
    };
    let addresses: Vec<_> = found
        .into_iter()
        .map(|ip| SocketAddr::new(ip, to.port))
        .collect();
    first_of(&addresses).await
}

/// The first of the addresses that answers, by a socket that is reset if it is dropped. What the last one says is said if none does.
async fn first_of(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Why> {
    let mut why = Why::Unresolvable;
    for (tried, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        why = match timeout(DIAL / left, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                cut_on_drop(&socket);
                return Ok((socket, *address));
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Why::Refused,
            Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => Why::Timeout,
            Ok(Err(_)) => Why::Unreachable,
            Err(_) => Why::Timeout,
        };
    }
    Err(why)
}

/// Listens where the peer asks for it, if that is allowed.
async fn listener_for(at: &Place, duties: &Duties) -> Result<(SocketAddr, Listener), Refusal> {
    let bind = duties.allow.judge_listen(at).map_err(|_| Why::Denied)?;
    let listening = async {
        let listener = Listener::bind(bind).await?;
        Ok::<_, io::Error>((listener.at()?, listener))
    };
    let (at, listener) = listening.await.map_err(|error| Refusal {
        why: Why::CannotListen,
        text: error.kind().to_string(),
    })?;
    duties.reports.tell(Report::Listening {
        what: format!("{bind}, for the peer"),
        at,
    });
    Ok((at, listener))
}

/// Listens for the peer until it ends the stream that it asked with.
async fn listen(
    mut talk: Talk,
    number: u32,
    at: &Place,
    duties: &Duties,
    opener: &Opener,
    ours: &Arc<Semaphore>,
) {
    let listener = match listener_for(at, duties).await {
        Ok((at, listener)) => {
            talk.channel.accept(place_of(at));
            listener
        }
        Err(refusal) => {
            duties.reports.tell(Report::NotListening {
                at: at.clone(),
                refusal: refusal.clone(),
            });
            return talk.refuse(refusal).await;
        }
    };
    if talk.say().await.is_err() {
        return;
    }
    let mut tasks = JoinSet::new();
    loop {
        let accepted = async {
            let permit = Arc::clone(ours).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let ((socket, from), permit) = tokio::select! {
            () = talk.wait_for_end() => return,
            Some(_) = tasks.join_next() => continue,
            accepted = accepted => accepted,
        };
        let (opener, reports) = (opener.clone(), duties.reports.clone());
        tasks.spawn(async move {
            let request = Request::Incoming(number, place_of(from));
            let to = Place {
                host: "the peer".to_owned(),
                port: from.port(),
            };
            match timeout(ANSWER, Talk::ask(&opener, &request)).await {
                Ok(Ok((talk, to))) => {
                    drop(carry(talk, socket, from.to_string(), to, &reports).await)
                }
                Ok(Err(NoAnswer::Refused(refusal))) => {
                    reports.tell(Report::Refused {
                        from: from.to_string(),
                        to,
                        refusal,
                        by: End::There,
                    });
                }
                _ => {}
            }
            drop(permit);
        });
    }
}

pub(super) fn place_of(address: SocketAddr) -> Place {
    Place {
        host: address.ip().to_canonical().to_string(),
        port: address.port(),
    }
}

/// Before a peer is asked again to listen.
const AGAIN: Duration = Duration::from_secs(5);

/// Connections at once that one end asks for in a tunnel. More than these are refused, or wait where they come from.
pub(super) const CONNECTIONS: usize = 128;

/// The request of a stream that the peer has opened.
const REQUEST: Duration = Duration::from_secs(10);

/// Looking up a name and connecting, addresses that do not answer included.
const DIAL: Duration = Duration::from_secs(15);

/// The peer's answer to a request of ours: longer than it dials.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
