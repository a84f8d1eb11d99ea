//! `xtls forward`: TCP connections through a tunnel, as ssh forwards them.

mod told;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use xtls_client::{Sender, Tunnel, router, session};
use xtls_forward::{ForwardError, Options, Report, Retry, Rule, SERVICE, Serve, Violation, Why};
use xtls_stanza::Address;

use crate::args::Forward as Args;
use crate::bytes::{Caller, Ends, Secure};
use crate::failure::{Code, Failure, chain};
use crate::link;
use crate::say::Say;
use crate::stop::Stop;
use crate::suggest::{self, Suggest};

use told::{Told, listed};

/// Runs until the program is asked to end, or there is no way on.
pub(crate) async fn run(args: &Args, say: Say, stop: Stop) -> Result<(), Failure> {
    let mut ends = Ends::connect(&args.talk, SERVICE, false, say, &stop).await?;
    ends.suggest = ends.suggest.with_listener("xtls forward --serve");
    let outcome = match &args.talk.peer {
        Some(peer) => forward(args, peer, &mut ends, &stop).await,
        None => serve(args, &mut ends, &stop).await,
    };
    ends.leave(stop.or_interrupted(outcome)).await
}

/// The end that has forwards.
async fn forward(args: &Args, peer: &Address, ends: &mut Ends, stop: &Stop) -> Result<(), Failure> {
    let (hopeless, mut given_up) = mpsc::channel(1);
    let dialler = Arc::new(Dialler {
        caller: ends.caller(),
        peer: link::exact(peer)?,
        waits: args.wait,
        say: ends.say,
        suggest: ends.suggest.clone(),
        hopeless,
        called: AtomicBool::new(false),
        stood: AtomicBool::new(false),
        known: Mutex::default(),
    });
    let retry = match args.wait {
        true => Retry {
            give_up: Duration::MAX,
            ..Retry::default()
        },
        false => Retry::default(),
    };
    let (reports, mut reported) = mpsc::channel(REPORTS);
    let asked = stop.clone();
    let options = Options {
        retry,
        reports: Some(reports),
        until: Box::pin(async move { asked.asked().await }),
        ..Options::default()
    };
    let rules = rules(args);
    let mut told = Told::of_forwards(peer, &rules, ends.say);
    // In a task, and so on the threads of what it talks to: to wake this one, which waits, takes the system.
    let mut forwarding = JoinSet::new();
    let dials = Arc::clone(&dialler);
    let dial = move || {
        let dials = Arc::clone(&dials);
        async move { dials.dial().await }
    };
    forwarding.spawn(xtls_forward::forward(dial, rules.clone(), options));
    let outcome = tokio::select! {
        Some(ended) = forwarding.join_next() => match ended {
            Ok(ended) => ended.map_err(|error| dialler.failure(error, &rules)),
            Err(error) => Err(Failure::failed(error.to_string())),
        },
        Some(failure) = given_up.recv() => Err(failure),
        lost = ends.lost() => Err(lost),
        never = dialler.follow(&mut reported, &mut told) => match never {},
    };
    while let Ok(report) = reported.try_recv() {
        told.tell(report);
    }
    outcome
}

fn rules(args: &Args) -> Vec<Rule> {
    let local = args.local.iter().cloned().map(Rule::Local);
    let remote = args.remote.iter().cloned().map(Rule::Remote);
    let dynamic = args.dynamic.iter().copied().map(Rule::Dynamic);
    local.chain(remote).chain(dynamic).collect()
}

/// Calls the peer, and again when a tunnel is lost.
struct Dialler {
    caller: Caller,
    peer: Address,
    waits: bool,
    say: Say,
    suggest: Suggest,
    /// Takes what no further call would change.
    hopeless: mpsc::Sender<Failure>,
    called: AtomicBool,
    /// There has been a tunnel.
    stood: AtomicBool,
    known: Mutex<Known>,
}

/// What is known of the calls so far.
#[derive(Default)]
struct Known {
    /// The last tunnel, until it is known why it has ended.
    tunnel: Option<(Sender, Say)>,
    /// Why the last call failed.
    failure: Option<Failure>,
}

impl Dialler {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing in there can be left half done.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_stood(&self) -> bool {
        self.stood.load(Ordering::Relaxed)
    }

    async fn dial(&self) -> io::Result<Tunnel> {
        let mut wait = FIRST;
        loop {
            let called = match self.called.swap(true, Ordering::Relaxed) {
                false => self.caller.call(&self.peer).await,
                true => self.caller.call_again(&self.peer).await,
            };
            let failure = match called {
                Ok(secure) => {
                    self.stood.store(true, Ordering::Relaxed);
                    self.known().tunnel = Some((secure.sender(), secure.say));
                    return Ok(secure.tunnel);
                }
                Err(failure) => failure,
            };
            match failure.code {
                Code::Peer | Code::Timeout | Code::Corrupt => {}
                // An older tunnel may not be gone yet.
                Code::Failed if self.has_stood() => {}
                Code::Failed | Code::Usage | Code::Server | Code::Identity | Code::Interrupted => {
                    // What follows drops this call.
                    let _ = self.hopeless.try_send(failure);
                    return pending().await;
                }
            }
            if self.has_stood() || !self.waits {
                let error = io::Error::other(failure.what.clone());
                self.known().failure = Some(failure);
                return Err(error);
            }
            if wait == FIRST || self.say.is_json() {
                let fields = [
                    ("why", failure.what.as_str().into()),
                    ("retry", wait.as_secs().into()),
                ];
                let text = format_args!("{}; calling again until there is an answer", failure.what);
                self.say.event("waiting_for_peer", &fields, text);
            }
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
    }

    /// Tells what is reported.
    async fn follow(&self, reported: &mut mpsc::Receiver<Report>, told: &mut Told) -> Infallible {
        while let Some(report) = reported.recv().await {
            if let Report::Down { why, again } = report {
                told.lost(&self.why(why).await, again);
            } else {
                told.tell(report);
            }
        }
        pending().await
    }

    /// Why there is no tunnel: the tunnel itself and a call know more than who used them.
    async fn why(&self, otherwise: String) -> String {
        let tunnel = self.known().tunnel.take();
        if let Some((sender, say)) = tunnel {
            let Ok(Ok(closed)) = timeout(TOLD, sender.closed()).await else {
                return otherwise;
            };
            say.data("closed", &link::closed_fields(&closed));
            let failure = Failure::of_close(&closed, &self.suggest);
            return match failure {
                // It was of no use any more, and who used it knows why.
                Some(_) if closed.why == router::Why::Session(session::Why::Aborted) => otherwise,
                Some(failure) => failure.what,
                None => otherwise,
            };
        }
        let known = self.known();
        let failure = known.failure.as_ref();
        failure.map_or(otherwise, |failure| failure.what.clone())
    }

    /// Why forwarding has ended, or never began.
    fn failure(&self, error: ForwardError, rules: &[Rule]) -> Failure {
        let peer = &self.peer;
        let text = format!("{peer}: {}", chain(&error));
        match error {
            ForwardError::Listen { what, why } => {
                let rule = rules.iter().find(|rule| rule.to_string() == what);
                cannot_listen(&what, &why, rule)
            }
            ForwardError::Connect(_) => match self.known().failure.take() {
                Some(failure) if self.has_stood() => failure,
                Some(failure) => {
                    let hint = failure.hint.clone().unwrap_or_default();
                    let wait = "with --wait, the peer is called until it answers";
                    failure.hint(match hint.as_str() {
                        "" => wait.to_owned(),
                        hint => format!("{hint}\n{wait}"),
                    })
                }
                None => Failure::new(Code::Peer, text),
            },
            ForwardError::Refused { what, refusal } => {
                let hint = if refusal.why == Why::Denied {
                    let option = suggest::option("--allow-bind", &what.bind.to_string());
                    Some(format!("they have to add {option}"))
                } else if refusal.why == Why::CannotListen {
                    Some("is that port taken there? Choose another one, or ask them".to_owned())
                } else {
                    None
                };
                let why = told::refusal_there(peer.bare(), &refusal);
                Failure::new(Code::Peer, format!("-R {what}: {why}")).maybe_hint(hint)
            }
            ForwardError::Silent => Failure::new(Code::Timeout, text),
            ForwardError::StoppedListening(_) | ForwardError::Left => {
                Failure::new(Code::Peer, text)
            }
            ForwardError::Violation(Violation::Version(_)) => Failure::new(Code::Peer, text),
            ForwardError::Violation(_) | ForwardError::Tunnel(_) => {
                Failure::new(Code::Corrupt, text)
            }
            _ => Failure::failed(text),
        }
    }
}

/// A port of this machine that is not to be had.
fn cannot_listen(what: &str, why: &io::Error, rule: Option<&Rule>) -> Failure {
    let port = match rule {
        Some(Rule::Local(spec)) => spec.bind.port,
        Some(Rule::Dynamic(bind)) => bind.port,
        Some(Rule::Remote(_)) | None => 0,
    };
    let kind = why.kind();
    let (text, hint) = if kind == io::ErrorKind::AddrInUse {
        (
            format!("port {port} is taken by another program"),
            format!(
                "choose another port, or 0 for any that is free; who has this one:\n        ss -ltnp 'sport = :{port}'"
            ),
        )
    } else if kind == io::ErrorKind::PermissionDenied {
        (
            format!("you may not listen on port {port}"),
            "ports below 1024 are for root: choose another one".to_owned(),
        )
    } else if kind == io::ErrorKind::AddrNotAvailable {
        (
            "this machine does not have that address".to_owned(),
            "leave the address out to listen on loopback, or use `*` for every address".to_owned(),
        )
    } else {
        return Failure::failed(format!("{what}: cannot listen there: {why}"));
    };
    Failure::failed(format!("{what}: {text}")).hint(hint)
}

/// The end that does what its callers ask for, where that is allowed.
async fn serve(args: &Args, ends: &mut Ends, stop: &Stop) -> Result<(), Failure> {
    let fields = [
        ("allow", listed(&args.allow)),
        ("allow_bind", listed(&args.allow_bind)),
    ];
    ends.say.event("serving", &fields, told::allowed(args));
    let attend = |secure| {
        let serve = Serve {
            allow: args.allow.clone(),
            allow_bind: args.allow_bind.clone(),
            ..Serve::default()
        };
        attend(serve, secure, stop.clone())
    };
    ends.serve(args.talk.calls.once, stop, attend).await
}

/// Serves one caller until it leaves, or this program is asked to.
async fn attend(serve: Serve, mut secure: Secure, stop: Stop) -> Result<(), Failure> {
    let (sender, say, suggest) = (secure.sender(), secure.say, secure.suggest().clone());
    let peer = secure.peer.clone();
    let (reports, mut reported) = mpsc::channel(REPORTS);
    let serve = Serve {
        reports: Some(reports),
        ..serve
    };
    let mut told = Told::of_caller(&peer, say);
    let served = {
        let following = async {
            while let Some(report) = reported.recv().await {
                told.tell(report);
            }
            pending().await
        };
        tokio::select! {
            served = xtls_forward::serve(&mut secure.tunnel, serve) => Some(served),
            never = following => match never {},
            () = stop.asked() => None,
        }
    };
    let Some(served) = served else {
        // A caller that does not take the end sees a cut.
        let _ = timeout(GOODBYE, secure.tunnel.shutdown()).await;
        return Ok(());
    };
    drop(secure);
    while let Ok(report) = reported.try_recv() {
        told.tell(report);
    }
    let Err(error) = served else {
        if let Ok(Ok(closed)) = timeout(TOLD, sender.closed()).await {
            let text = format_args!("{peer} has left");
            say.event("closed", &link::closed_fields(&closed), text);
        }
        return Ok(());
    };
    let why = Secure::why(&sender, say, &suggest).await;
    // What happened to the tunnel says more than that it was cut.
    let why = why.filter(|_| matches!(error, ForwardError::Tunnel(_)));
    let text = format!("{peer}: {}", chain(&error));
    Err(why.unwrap_or_else(|| Failure::new(Code::Corrupt, text)))
}

/// Reports that wait to be told; further ones are dropped.
const REPORTS: usize = 256;

/// Between two calls to a peer that has not answered yet: at first, and later.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// How long the end of a tunnel may take to be told.
const TOLD: Duration = Duration::from_secs(12);

/// For the end of a tunnel to be sent.
const GOODBYE: Duration = Duration::from_secs(1);
