//! The end that has forwards: it opens the tunnel, and again when it is lost.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, future};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use yamux::Mode;

use super::linger::{cut_on_drop, end_on_drop};
use super::listen::Listener;
use super::mux::{Mux, Opener};
use super::talk::{NoAnswer, Talk};
use super::tunnel::{ANSWER, CONNECTIONS, Duties, Hold, carry, run};
use super::{End, ForwardError, GOODBYE, Report, Reports, Resolve, system};
use crate::allow::Allow;
use crate::channel::Request;
use crate::socks::{Next, NotSocks, Socks, answer};
use crate::spec::{Bind, Spec};
use crate::wire::{Place, Refusal, Why};

/// A forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `-L`: connections to a port here go to a place there.
    Local(Spec),
    /// `-R`: connections to a port there go to a place here.
    Remote(Spec),
    /// `-D`: a SOCKS5 proxy here, whose clients say where they go to from there.
    Dynamic(Bind),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(spec) => write!(f, "-L {spec}"),
            Self::Remote(spec) => write!(f, "-R {spec}"),
            Self::Dynamic(bind) => write!(f, "-D {bind}"),
        }
    }
}

/// How a tunnel that is lost is made again.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// Before the first attempt. Each later one waits twice as long.
    pub first: Duration,
    /// Between two attempts at most.
    pub longest: Duration,
    /// After so long without a tunnel it is given up. The first tunnel is not tried twice.
    pub give_up: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: FIRST,
            longest: LONGEST,
            give_up: GIVE_UP,
        }
    }
}

/// What [`forward`] is to do beside its rules.
pub struct Options {
    /// How a tunnel that is lost is made again.
    pub retry: Retry,
    /// Looks up the names in rules of [`Rule::Remote`]: this system, by default.
    pub resolver: Arc<dyn Resolve>,
    /// Where reports go. What is not taken in time is lost.
    pub reports: Option<mpsc::Sender<Report>>,
    /// Ends everything in good order when it is ready.
    pub until: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            resolver: system(),
            reports: None,
            until: Box::pin(future::pending()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

/// Forwards over tunnels that `connect` opens, one at a time. Listeners are there before the first tunnel is.
///
/// While there is no tunnel, new connections wait for one, 30 s at most; those that the last one carried are cut, and reset here.
/// At most 128 connections are taken at a time; others wait until one of these ends.
///
/// Not cancel-safe: connections of a future that is dropped are cut.
///
/// # Errors
/// If a port cannot be listened on, here or there, if the first tunnel cannot be opened or none for too long, or if the peer breaks
/// the protocol.
pub async fn forward<C, F, S>(
    mut connect: C,
    rules: Vec<Rule>,
    options: Options,
) -> Result<(), ForwardError>
where
    C: FnMut() -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let reports = Reports(options.reports);
    let (stands, tunnel) = watch::channel(None);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut listeners = JoinSet::new();
    let mut remote = BTreeMap::new();
    for (rule, number) in rules.into_iter().zip(0..) {
        let (bind, to) = match &rule {
            Rule::Remote(spec) => {
                remote.insert(number, spec.clone());
                continue;
            }
            Rule::Local(spec) => (spec.bind, Some(spec.to.clone())),
            Rule::Dynamic(bind) => (*bind, None),
        };
        let what = rule.to_string();
        let listener = match Listener::bind(bind)
            .await
            .and_then(|socket| Ok((socket.at()?, socket)))
        {
            Ok((at, listener)) => {
                reports.tell(Report::Listening { what, at });
                listener
            }
            Err(why) => return Err(ForwardError::Listen { what, why }),
        };
        listeners.spawn(take(
            listener,
            to,
            Arc::clone(&room),
            tunnel.clone(),
            reports.clone(),
        ));
    }
    let duties = Arc::new(Duties {
        allow: Allow::default(),
        remote,
        resolver: options.resolver,
        reports,
    });
    let mut keeper = Keeper {
        retry: options.retry,
        duties,
        stands,
        mux: None,
        stood: false,
    };
    let mut until = options.until;
    let ended = tokio::select! {
        error = keeper.keep(&mut connect) => Err(error),
        () = &mut until => Ok(()),
    };
    if let Some(mux) = keeper.mux.take() {
        // The peer is not at fault, or is told so: it sees an end. One that does not take the last frames sees a cut.
        let _ = timeout(GOODBYE, mux.close()).await;
    }
    ended
}

/// Keeps a tunnel, as long as that can be done.
struct Keeper<S> {
    retry: Retry,
    duties: Arc<Duties>,
    stands: watch::Sender<Option<Opener>>,
    /// The one that stands, or has ended for a reason that the peer is to see as an end.
    mux: Option<Mux<S>>,
    /// There was one.
    stood: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Keeper<S> {
    async fn keep<C, F>(&mut self, connect: &mut C) -> ForwardError
    where
        C: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
    {
        let mut wait = self.retry.first;
        let mut lost = Instant::now();
        loop {
            let error = match self.attempt(connect).await {
                Ok(()) => ForwardError::Left,
                Err(error) => error,
            };
            if self.stands.send_replace(None).is_some() {
                (lost, wait) = (Instant::now(), self.retry.first);
            }
            let passing = matches!(
                error,
                ForwardError::Connect(_)
                    | ForwardError::Tunnel(_)
                    | ForwardError::Left
                    | ForwardError::Silent
            );
            if !passing {
                return error;
            }
            self.mux = None;
            if !self.stood || lost.elapsed() + wait > self.retry.give_up {
                return error;
            }
            self.duties.reports.tell(Report::Down {
                why: with_source(&error),
                again: wait,
            });
            sleep(wait).await;
            wait = (wait * 2).min(self.retry.longest);
        }
    }

    /// One tunnel, from its beginning to its end.
    async fn attempt<C, F>(&mut self, connect: &mut C) -> Result<(), ForwardError>
    where
        C: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
    {
        let stream = connect().await.map_err(ForwardError::Connect)?;
        let (mux, opener) = Mux::begin(stream, Mode::Client).await?;
        self.duties.reports.tell(Report::Up);
        let hold = if self.stood {
            Hold::AskAgain
        } else {
            Hold::OrEnd
        };
        self.stood = true;
        self.stands.send_replace(Some(opener.clone()));
        run(self.mux.insert(mux), opener, Arc::clone(&self.duties), hold).await
    }
}

fn with_source(error: &ForwardError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// Takes the connections of one listener.
async fn take(
    listener: Listener,
    to: Option<Place>,
    room: Arc<Semaphore>,
    tunnel: watch::Receiver<Option<Opener>>,
    reports: Reports,
) {
    let mut tasks = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let (socket, from) = listener.accept().await;
        while tasks.try_join_next().is_some() {}
        let local = Local {
            socket,
            from,
            tunnel: tunnel.clone(),
            reports: reports.clone(),
        };
        let to = to.clone();
        tasks.spawn(async move {
            match to {
                Some(to) => local.fixed(to).await,
                None => local.dynamic().await,
            }
            drop(permit);
        });
    }
}

/// A connection that was taken here.
struct Local {
    socket: TcpStream,
    from: SocketAddr,
    tunnel: watch::Receiver<Option<Opener>>,
    reports: Reports,
}

impl Local {
    async fn fixed(mut self, to: Place) {
        match self.ask(&to).await {
            Ok(talk) => {
                drop(carry(talk, self.socket, self.from.to_string(), to, &self.reports).await)
            }
            Err((refusal, by)) => self.refused(to, refusal, by),
        }
    }

    async fn dynamic(mut self) {
        // What a client is refused with has to reach it.
        end_on_drop(&self.socket);
        let Ok(Ok(Some(to))) = timeout(SOCKS, self.socks()).await else {
            return;
        };
        let asked = self.ask(&to).await;
        let outcome = asked.as_ref().map(drop).map_err(|(refusal, _)| refusal.why);
        if outcome.is_ok() {
            cut_on_drop(&self.socket);
        }
        let answered = self.socket.write_all(&answer(outcome)).await;
        match asked {
            Err((refusal, by)) => self.refused(to, refusal, by),
            Ok(_) if answered.is_err() => {}
            Ok(talk) => {
                drop(carry(talk, self.socket, self.from.to_string(), to, &self.reports).await)
            }
        }
    }

    /// Where a client of SOCKS5 goes to.
    async fn socks(&mut self) -> io::Result<Option<Place>> {
        let mut socks = Socks::new();
        let mut next = Next::Read;
        let mut buffer = [0; 512];
        loop {
            next = match next {
                Next::Read => match self.socket.read(&mut buffer).await? {
                    0 => return Ok(None),
                    length => socks.handle(buffer.get(..length).unwrap_or_default()),
                },
                Next::Send(bytes) => {
                    self.socket.write_all(&bytes).await?;
                    socks.handle(&[])
                }
                Next::Connect(place) => return Ok(Some(place)),
                Next::Refuse(bytes, why) => {
                    self.not_socks(why);
                    self.socket.write_all(&bytes).await?;
                    return Ok(None);
                }
            };
        }
    }

    /// Asks the peer, and a later tunnel if this one ends before there is an answer.
    async fn ask(&mut self, to: &Place) -> Result<Talk, (Refusal, End)> {
        let request = Request::Connect(to.clone());
        let late = Instant::now() + WAIT;
        let mut gone: Option<Opener> = None;
        loop {
            let stands = |tunnel: &Option<Opener>| match (tunnel, &gone) {
                (Some(tunnel), Some(gone)) => !tunnel.is(gone),
                (tunnel, _) => tunnel.is_some(),
            };
            let opener = match timeout_at(late, self.tunnel.wait_for(stands)).await {
                Ok(Ok(tunnel)) => tunnel.clone(),
                Ok(Err(_)) | Err(_) => None,
            };
            let Some(opener) = opener else {
                return Err(no_tunnel());
            };
            match timeout(ANSWER, Talk::ask(&opener, &request)).await {
                Ok(Ok((talk, _))) => return Ok(talk),
                Ok(Err(NoAnswer::Refused(refusal))) => return Err((refusal, End::There)),
                Ok(Err(NoAnswer::Violation(violation))) => {
                    let refusal = Refusal {
                        why: Why::Unreachable,
                        text: violation.to_string(),
                    };
                    return Err((refusal, End::Here));
                }
                // It was asked, and may have been done: not again.
                Ok(Err(NoAnswer::Ended)) => return Err(no_tunnel()),
                Ok(Err(NoAnswer::NoTunnel)) => gone = Some(opener),
                Err(_) => return Err((Why::Timeout.into(), End::Here)),
            }
        }
    }

    fn refused(&self, to: Place, refusal: Refusal, by: End) {
        self.reports.tell(Report::Refused {
            from: self.from.to_string(),
            to,
            refusal,
            by,
        });
    }

    fn not_socks(&self, why: NotSocks) {
        self.reports.tell(Report::NotSocks {
            from: self.from.to_string(),
            why,
        });
    }
}

fn no_tunnel() -> (Refusal, End) {
    let refusal = Refusal {
        why: Why::Unreachable,
        text: "there is no tunnel".to_owned(),
    };
    (refusal, End::Here)
}

/// A connection that waits for a tunnel.
const WAIT: Duration = Duration::from_secs(30);

/// The request of a client of SOCKS5.
const SOCKS: Duration = Duration::from_secs(10);

/// Before the first attempt at a new tunnel.
const FIRST: Duration = Duration::from_secs(1);

/// Between two attempts.
const LONGEST: Duration = Duration::from_secs(30);

/// Without a tunnel, until it is given up.
const GIVE_UP: Duration = Duration::from_secs(300);
