//! `xtls send`: files and folders to a peer, until they are on the peer's disk.

use std::convert::Infallible;
use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use xtls_files::{
    Ended, Kind, Outcome, Reason, SERVICE, SendError, Sending, Sources, Told, Totals,
};

use crate::args::{ConversationArgs, Send as Args};
use crate::bytes::{Ends, Secure};
use crate::failure::{Code, Failure, chain};
use crate::progress::{Place, Progress, amount, size};
use crate::say::{Say, shown};
use crate::stop::Stop;
use crate::throttle::Throttle;
use crate::{terminal, verify};

/// Runs until everything is there, or what is wrong will not mend itself.
pub(crate) async fn run(args: &Args, say: Say, stop: Stop) -> Result<(), Failure> {
    let talk = args.talk();
    // What cannot be sent is told before anybody is called.
    collect(args.files.clone(), say, true).await?;
    let mut ends = Ends::connect(&talk, SERVICE, args.code, say, &stop).await?;
    ends.suggest = ends.suggest.with_listener("xtls receive");
    let outcome = tokio::select! {
        outcome = transfer(args, &talk, &mut ends) => outcome,
        () = stop.asked() => Err(Failure::interrupted().hint("what has arrived is kept: the same command goes on from there")),
    };
    ends.leave(stop.or_interrupted(outcome)).await
}

async fn transfer(args: &Args, talk: &ConversationArgs, ends: &mut Ends) -> Result<(), Failure> {
    if args.code {
        let code = ends.person.code().await?;
        let (person, say) = (ends.person.clone(), ends.say);
        verify::first(talk, &mut ends.link, code, &person, say).await?;
    }
    let mut states = ends.link.client.link_states();
    let mut waits = Waits::new();
    // Whether the peer has been there: then it is worth waiting for.
    let mut met = false;
    loop {
        let (failure, stored) = match attempt(args, ends, &mut met).await {
            Err(_) if ends.link.task.is_finished() => return Err(ends.lost().await),
            Ok(()) => return Ok(()),
            Err(Attempt::Final(failure)) => return Err(failure),
            Err(Attempt::Again { failure, stored }) => (failure, stored),
        };
        if !(met || args.wait) {
            return Err(failure);
        }
        if stored {
            waits = Waits::new();
        }
        let Some(wait) = waits.next(met) else {
            return Err(failure);
        };
        let seconds = wait.as_secs();
        let fields = [
            ("why", Value::from(failure.what.as_str())),
            ("retry", Value::from(seconds)),
        ];
        let text = match met {
            true => format!("interrupted: {}; going on in {seconds} s", failure.what),
            false => format!("{}; trying again every {seconds} s", failure.what),
        };
        if met || waits.is_first() || ends.say.is_json() {
            ends.say.event("waiting_for_peer", &fields, text);
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // The connection to the server is back: there is no better moment.
            Some(_) = states.changed(), if met => {}
        }
    }
}

/// How an attempt has failed.
enum Attempt {
    /// It will fail again.
    Final(Failure),
    /// It may not. `stored`: this attempt has brought something to the peer's disk.
    Again { failure: Failure, stored: bool },
}

impl From<Failure> for Attempt {
    fn from(failure: Failure) -> Self {
        match failure.code {
            Code::Peer | Code::Timeout | Code::Corrupt => Self::Again {
                failure,
                stored: false,
            },
            Code::Failed | Code::Usage | Code::Server | Code::Identity | Code::Interrupted => {
                Self::Final(failure)
            }
        }
    }
}

async fn attempt(args: &Args, ends: &Ends, met: &mut bool) -> Result<(), Attempt> {
    let sources = collect(args.files.clone(), ends.say, false)
        .await
        .map_err(Attempt::Final)?;
    let secure = ends.call(&args.peer).await?;
    *met = true;
    // Nothing is asked from here on; the bar has the terminal.
    terminal::leave();
    let (say, peer) = (secure.say, secure.peer.clone());
    let report = Report::new(say, peer.as_str(), None, Place::Bar);
    match over(secure, sources, report).await {
        Ok((outcome, sum)) => told(&outcome, peer.as_str(), &sum, say).map_err(Attempt::Final),
        Err(stopped) => Err(match stopped.lost {
            true if stopped.failure.code != Code::Identity => Attempt::Again {
                failure: stopped.failure,
                stored: stopped.stored,
            },
            _ => Attempt::Final(stopped.failure),
        }),
    }
}

/// Why a transfer did not come to its end.
pub(crate) struct Stopped {
    pub(crate) failure: Failure,
    /// The tunnel was: over another one it can go on.
    pub(crate) lost: bool,
    /// Something had come to the peer's disk before.
    stored: bool,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            lost: false,
            stored: false,
        }
    }
}

/// Sends over one tunnel, until both ends know what became of it.
pub(crate) async fn over(
    secure: Secure,
    sources: Sources,
    mut report: Report,
) -> Result<(Outcome, Sum), Stopped> {
    let (sender, say, suggest) = (secure.sender(), secure.say, secure.suggest().clone());
    let peer = secure.peer.clone();
    let throttle = report.throttle.clone();
    // In a task, and so on the threads of what it talks to: to wake this one, which waits, takes the system.
    let mut sending = JoinSet::new();
    sending.spawn(async move {
        let sent = xtls_files::send(secure.tunnel, sources, |event| report.on(event)).await;
        (sent, report)
    });
    let watching = async {
        throttle.watch(&sender).await;
        pending::<Infallible>().await
    };
    let (sent, report) = tokio::select! {
        Some(sent) = sending.join_next() => {
            sent.map_err(|error| Failure::failed(error.to_string()))?
        }
        never = watching => match never {},
    };
    let (sum, stored) = report.end();
    match sent {
        Ok(outcome) => {
            sender.close().await;
            Ok((outcome, sum))
        }
        Err(error) => {
            let lost = matches!(error, SendError::Ended(Ended::Lost(_)));
            let why = match lost {
                true => Secure::why(&sender, say, &suggest).await,
                false => None,
            };
            if !lost {
                sender.abort().await;
            }
            let failure = why.unwrap_or_else(|| failure(&error, peer.as_str()));
            Err(Stopped {
                failure,
                lost,
                stored,
            })
        }
    }
}

/// Looks at what is to be sent, and says what of it cannot be, if `tells`.
pub(crate) async fn collect(
    files: Vec<PathBuf>,
    say: Say,
    tells: bool,
) -> Result<Sources, Failure> {
    let sources = tokio::task::spawn_blocking(move || Sources::collect(files))
        .await
        .map_err(|error| Failure::failed(error.to_string()))?
        .map_err(|error| {
            let what = format!("{}: {}", error.path.display(), chain(&error.why));
            Failure::usage(what).hint("nothing was sent: name files and folders that you can read")
        })?;
    if tells {
        for left_out in sources.left_out() {
            let path = left_out.path.display().to_string();
            let why = chain(&left_out.why);
            let fields = [
                ("path", Value::from(path.as_str())),
                ("why", Value::from(why.as_str())),
            ];
            say.warn(
                "left_out",
                &fields,
                format_args!("{path} is not sent: {why}"),
            );
        }
    }
    Ok(sources)
}

/// Reports one attempt.
pub(crate) struct Report {
    say: Say,
    peer: String,
    /// What it is called, where that is not how many files there are.
    name: Option<String>,
    place: Place,
    totals: Totals,
    progress: Option<Progress>,
    throttle: Throttle,
    files: u32,
    /// Whether anything has come to the peer's disk.
    stored: bool,
}

impl Report {
    pub(crate) fn new(say: Say, peer: &str, name: Option<String>, place: Place) -> Self {
        Self {
            say,
            peer: peer.to_owned(),
            name,
            place,
            totals: Totals::default(),
            progress: None,
            throttle: Throttle::default(),
            files: 0,
            stored: false,
        }
    }

    fn on(&mut self, event: Sending<'_>) {
        let peer = self.peer.as_str();
        match event {
            Sending::Offered(totals) => {
                self.totals = totals;
                let fields = [
                    ("peer", Value::from(peer)),
                    ("files", Value::from(totals.files)),
                    ("bytes", Value::from(totals.bytes)),
                ];
                let what = match &self.name {
                    Some(name) => format!("{name}, {}", size(totals.bytes)),
                    None => amount(totals.files, totals.bytes),
                };
                self.say.event(
                    "offered",
                    &fields,
                    format_args!("offering {what} to {peer} …"),
                );
            }
            Sending::Accepted => {
                self.say.data("accepted", &[("peer", peer.into())]);
                let bytes = self.totals.bytes;
                self.progress = Some(Progress::new(
                    bytes,
                    self.say,
                    self.place.clone(),
                    self.throttle.clone(),
                ));
            }
            Sending::Began {
                entry,
                offset,
                total,
            } => {
                if offset > 0 {
                    let fields = [
                        ("path", Value::from(&*entry.path)),
                        ("offset", Value::from(offset)),
                    ];
                    let path = shown(&entry.path);
                    self.say.event(
                        "resumed_file",
                        &fields,
                        format_args!("{path}: going on from byte {offset}"),
                    );
                }
                self.update(&entry.path, total);
            }
            Sending::Stored { entry, total, .. } => {
                self.stored = true;
                self.update(&entry.path, total);
            }
            Sending::Done { entry, total } => {
                self.stored = true;
                self.files += u32::from(entry.kind == Kind::File);
                self.say
                    .data("stored", &[("path", Value::from(&*entry.path))]);
                self.update(&entry.path, total);
            }
            Sending::Skipped { entry, told, total } => {
                skipped(&entry.path, told, self.say);
                self.update(&entry.path, total);
            }
            Sending::Failed { entry, told, .. } => not_stored(&entry.path, told, self.say),
            _ => {}
        }
    }

    fn update(&mut self, path: &str, total: u64) {
        if let Some(progress) = &mut self.progress {
            progress.update(path, total);
        }
    }

    /// What was moved, and whether anything has come to the peer's disk.
    fn end(self) -> (Sum, bool) {
        let (bytes, time) = self.progress.map_or((0, Duration::ZERO), Progress::end);
        let sum = Sum {
            files: self.files,
            bytes,
            time,
        };
        (sum, self.stored)
    }
}

/// Reports one that is not sent.
pub(crate) fn skipped(path: &str, told: &Told, say: Say) {
    let fields = [
        ("path", Value::from(path)),
        ("why", Value::from(told.to_string())),
    ];
    let path = shown(path);
    if told.reason == Reason::Have {
        say.event("skipped", &fields, format_args!("{path}: {told}"));
    } else {
        say.warn(
            "skipped",
            &fields,
            format_args!("{path} was not taken: {told}"),
        );
    }
}

/// Reports one that could not be stored.
pub(crate) fn not_stored(path: &str, told: &Told, say: Say) {
    let fields = [
        ("path", Value::from(path)),
        ("why", Value::from(told.to_string())),
    ];
    let path = shown(path);
    say.warn("not_stored", &fields, format_args!("{path}: {told}"));
}

/// Reports the end of a transfer that both ends know of.
fn told(outcome: &Outcome, peer: &str, sum: &Sum, say: Say) -> Result<(), Failure> {
    let fields = summary(outcome, peer, sum);
    let taken = format!("{peer} has {}", amount(sum.files, sum.bytes));
    say.event(
        "sent",
        &fields,
        format_args!(
            "{taken}, in {:.1} s; every hash was right",
            sum.time.as_secs_f64()
        ),
    );
    missing(outcome, peer)
}

/// What was moved, and in which time.
#[derive(Debug)]
pub(crate) struct Sum {
    pub(crate) files: u32,
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

/// The fields of a summary.
pub(crate) fn summary<'a>(outcome: &Outcome, peer: &str, sum: &Sum) -> [(&'a str, Value); 6] {
    [
        ("peer", Value::from(peer)),
        ("done", Value::from(outcome.done)),
        ("skipped", Value::from(outcome.skipped)),
        ("failed", Value::from(outcome.failed)),
        ("bytes", Value::from(sum.bytes)),
        ("seconds", Value::from(sum.time.as_secs_f64())),
    ]
}

/// A failure if not everything is there.
pub(crate) fn missing(outcome: &Outcome, peer: &str) -> Result<(), Failure> {
    match outcome.failed {
        0 => Ok(()),
        1 => Err(Failure::failed(format!("{peer}: 1 entry is missing"))),
        failed => Err(Failure::failed(format!(
            "{peer}: {failed} entries are missing"
        ))),
    }
}

fn failure(error: &SendError, peer: &str) -> Failure {
    let code = match error {
        SendError::Refused(_) => Code::Peer,
        SendError::Ended(Ended::Lost(_) | Ended::Broken(_)) => Code::Corrupt,
        SendError::Ended(_) => Code::Peer,
        SendError::NotOffered(_) => Code::Usage,
        SendError::Reading | _ => Code::Failed,
    };
    Failure::new(code, format!("{peer}: {}", chain(error)))
}

/// How long to wait between attempts that bring nothing: longer and longer, and not for ever.
#[derive(Debug)]
struct Waits {
    attempts: u32,
    waited: Duration,
}

impl Waits {
    fn new() -> Self {
        Self {
            attempts: 0,
            waited: Duration::ZERO,
        }
    }

    fn is_first(&self) -> bool {
        self.attempts == 1
    }

    /// The next wait. Somebody who was there is waited for, but not for ever; somebody who was not, as long as it takes.
    fn next(&mut self, met: bool) -> Option<Duration> {
        let wait = Duration::from_secs(2_u64 << self.attempts.min(3));
        self.attempts = self.attempts.saturating_add(1);
        self.waited += wait;
        (!met || self.waited < LONGEST).then_some(wait)
    }
}

/// How long a peer that was there is waited for.
const LONGEST: Duration = Duration::from_secs(15 * 60);
