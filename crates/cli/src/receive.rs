//! `xtls receive`: files and folders that peers send.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use xtls_files::{
    Decision, Destination, Ended, Kind, Offer, Reason, ReceiveError, Received, Receiving, SERVICE,
    Told,
};
use xtls_stanza::Address;

use crate::args::{Acceptable, ConversationArgs, Existing, Receive as Args};
use crate::ask::{Person, place};
use crate::bytes::{Ends, Secure};
use crate::failure::{Code, Failure, chain};
use crate::progress::{Place, Progress, amount, size};
use crate::say::{Say, shown};
use crate::send::{Sum, missing, not_stored, skipped, summary};
use crate::stop::Stop;
use crate::suggest::Suggest;
use crate::throttle::Throttle;
use crate::{terminal, verify};

/// Runs until one transfer is complete, or on and on.
pub(crate) async fn run(args: &Args, say: Say, stop: Stop) -> Result<(), Failure> {
    let talk = args.talk();
    if args.code {
        verify::for_one(&talk)?;
    }
    if !args.dir.is_dir() {
        return Err(no_folder(&args.dir));
    }
    let mut ends = Ends::connect(&talk, SERVICE, args.code, say, &stop).await?;
    invite(&talk, &ends);
    let outcome = tokio::select! {
        outcome = serve(args, &talk, &mut ends) => outcome,
        () = stop.asked() => Err(Failure::interrupted()),
    };
    ends.leave(stop.or_interrupted(outcome)).await
}

pub(crate) fn no_folder(dir: &Path) -> Failure {
    let what = format!("there is no folder {}", dir.display());
    Failure::usage(what).hint("make it, or choose another one with --dir")
}

/// Says what the other side has to type.
fn invite(talk: &ConversationArgs, ends: &Ends) {
    let own = &ends.link.own;
    let address = match own.resource() {
        Some(crate::link::LISTENER) => own.bare(),
        _ => own.as_str(),
    };
    let command = Suggest::default().line(&["send"], &[address, "FILE"]);
    let fields = [("command", Value::from(command.as_str()))];
    let who = match talk.calls.accept.as_slice() {
        [Acceptable::One(peer)] => peer.to_string(),
        _ => "the other side".to_owned(),
    };
    let text = format!("{who} can send now:{}", Suggest::block(&[command]));
    ends.say.event("invite", &fields, text);
}

async fn serve(args: &Args, talk: &ConversationArgs, ends: &mut Ends) -> Result<(), Failure> {
    if args.code {
        let code = ends.person.code().await?;
        let (person, say) = (ends.person.clone(), ends.say);
        verify::first(talk, &mut ends.link, code, &person, say).await?;
    }
    loop {
        let secure = ends.next_caller().await?;
        // One after the other: a bar, and a question, are about one of them.
        ends.pause(true);
        let (person, say) = (ends.person.clone(), ends.say);
        let outcome = tokio::select! {
            outcome = transfer(args, secure, person) => outcome,
            lost = ends.lost() => return Err(lost),
        };
        ends.pause(false);
        match outcome {
            Ok(()) if args.keep => {}
            Ok(()) => return Ok(()),
            // The same peer goes on from where it was.
            Err(failure) if args.keep || failure.code == Code::Corrupt => say.failure(&failure),
            Err(failure) => return Err(failure),
        }
    }
}

async fn transfer(args: &Args, secure: Secure, person: Person) -> Result<(), Failure> {
    let rules = Rules {
        dir: args.dir.clone(),
        hidden: args.hidden,
        existing: match args.existing {
            Existing::Rename => xtls_files::Existing::Rename,
            Existing::Refuse => xtls_files::Existing::Refuse,
        },
        yes: args.yes,
        place: match args.keep {
            true => Place::Nowhere,
            false => Place::Bar,
        },
    };
    let (say, peer) = (secure.say, secure.peer.clone());
    let taken = over(secure, person, &rules).await?;
    told(&rules, &taken, peer.as_str(), say)
}

/// What is taken, and where it goes.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) dir: PathBuf,
    pub(crate) hidden: bool,
    pub(crate) existing: xtls_files::Existing,
    /// Without asking.
    pub(crate) yes: bool,
    pub(crate) place: Place,
}

/// What has come.
pub(crate) struct Taken {
    pub(crate) received: Received,
    pub(crate) sum: Sum,
    /// The names at the top of the offer.
    pub(crate) tops: Vec<String>,
}

/// Receives over one tunnel.
pub(crate) async fn over(secure: Secure, person: Person, rules: &Rules) -> Result<Taken, Failure> {
    let (sender, say, suggest) = (secure.sender(), secure.say, secure.suggest().clone());
    let peer = secure.peer.clone();
    let destination = Destination::new(&rules.dir, peer.bare())
        .hidden(rules.hidden)
        .existing(rules.existing);
    let (asked, rules) = (peer.clone(), rules.clone());
    // In a task, as a sender does.
    let mut receiving = JoinSet::new();
    receiving.spawn(async move {
        let report = Mutex::new(Report::new(say, rules.place.clone()));
        let decide = async |offer: Offer| {
            let decision = decide(&rules, &offer, &asked, &person, say).await;
            if decision == Decision::Accept {
                if matches!(rules.place, Place::Bar) {
                    terminal::leave();
                }
                lock(&report).begin(&offer);
            }
            decision
        };
        let events = |event: Receiving<'_>| lock(&report).on(event);
        let received = xtls_files::receive(secure.tunnel, destination, decide, events).await;
        let report = report.into_inner().unwrap_or_else(PoisonError::into_inner);
        (received, report.end())
    });
    let Some(received) = receiving.join_next().await else {
        return Err(Failure::failed("nothing was received"));
    };
    let (received, (sum, tops)) = received.map_err(|error| Failure::failed(error.to_string()))?;
    match received {
        Ok(received) => {
            // The other end closes once it knows.
            let _ = tokio::time::timeout(GOODBYE, sender.closed()).await;
            Ok(Taken {
                received,
                sum,
                tops,
            })
        }
        Err(error) => {
            let lost = matches!(error, ReceiveError::Ended(Ended::Lost(_)));
            let why = match lost {
                true => Secure::why(&sender, say, &suggest).await,
                false => None,
            };
            // A refusal has been told; everything else is a cut.
            if matches!(error, ReceiveError::Refused(_)) {
                let _ = tokio::time::timeout(GOODBYE, sender.closed()).await;
            } else {
                sender.abort().await;
            }
            let failure = failure(&error, peer.as_str());
            Err(match why {
                Some(why) if why.code == Code::Identity => why,
                _ => failure,
            })
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says what is offered, and asks whether to take it.
async fn decide(
    rules: &Rules,
    offer: &Offer,
    peer: &Address,
    person: &Person,
    say: Say,
) -> Decision {
    let totals = offer.totals;
    let names: Vec<String> = offer.tops.iter().map(|entry| shown(&entry.path)).collect();
    let fields = [
        ("peer", Value::from(peer.as_str())),
        ("files", Value::from(totals.files)),
        ("bytes", Value::from(totals.bytes)),
        ("names", Value::from(names.clone())),
    ];
    let mut listed = names
        .iter()
        .take(NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let more = offer.more + names.len().saturating_sub(NAMED);
    if more > 0 {
        listed.push_str(&format!(" and {more} more"));
    }
    let what = amount(totals.files, totals.bytes);
    say.event(
        "offer",
        &fields,
        format_args!("{peer} offers {what}: {listed}"),
    );
    for (name, why) in &offer.refused {
        let fields = [
            ("path", Value::from(&**name)),
            ("why", Value::from(why.to_string())),
        ];
        say.warn(
            "skipped",
            &fields,
            format_args!("{} will not be taken: {why}", shown(name)),
        );
    }
    if rules.yes {
        return Decision::Accept;
    }
    if !person.is_there() {
        say.warn(
            "nobody_to_ask",
            &[],
            match rules.place {
                Place::Bar | Place::Nowhere => {
                    "refused, because there is no terminal to ask you on: --yes takes what is offered"
                }
                Place::Row(_) => "refused, because there is no terminal to ask you on",
            },
        );
        return Decision::Refuse(Told::new(Reason::Declined, "nobody is there to be asked"));
    }
    // One thing goes by its name.
    let asked = match names.as_slice() {
        [name] if offer.more == 0 && totals.files == 1 => format!("{name}, {}", size(totals.bytes)),
        [name] if offer.more == 0 => format!("{name} ({what})"),
        _ => what,
    };
    match person.takes(peer, &asked, &rules.dir).await {
        Some(true) => Decision::Accept,
        Some(false) | None => Decision::Refuse(Told::from(Reason::Declined)),
    }
}

/// Reports one transfer.
struct Report {
    say: Say,
    place: Place,
    progress: Option<Progress>,
    files: u32,
    /// The names at the top of the offer.
    tops: Vec<String>,
}

impl Report {
    fn new(say: Say, place: Place) -> Self {
        Self {
            say,
            place,
            progress: None,
            files: 0,
            tops: Vec::new(),
        }
    }

    fn begin(&mut self, offer: &Offer) {
        let bytes = offer.totals.bytes;
        self.tops = offer
            .tops
            .iter()
            .map(|entry| entry.path.to_string())
            .collect();
        self.progress = Some(Progress::new(
            bytes,
            self.say,
            self.place.clone(),
            Throttle::default(),
        ));
    }

    fn on(&mut self, event: Receiving<'_>) {
        match event {
            Receiving::Began {
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
            Receiving::Stored { entry, total, .. } => self.update(&entry.path, total),
            Receiving::Done { entry, path, total } => {
                self.files += u32::from(entry.kind == Kind::File);
                let fields = [("path", Value::from(path))];
                if *path == *entry.path {
                    self.say.data("stored", &fields);
                } else {
                    let text = format!("{} is stored as {}", shown(&entry.path), shown(path));
                    self.say.event("stored", &fields, text);
                }
                self.update(&entry.path, total);
            }
            Receiving::Skipped { entry, told, total } => {
                skipped(&entry.path, told, self.say);
                self.update(&entry.path, total);
            }
            Receiving::Failed { entry, told, .. } => not_stored(&entry.path, told, self.say),
            _ => {}
        }
    }

    fn update(&mut self, path: &str, total: u64) {
        if let Some(progress) = &mut self.progress {
            progress.update(path, total);
        }
    }

    fn end(self) -> (Sum, Vec<String>) {
        let (bytes, time) = self.progress.map_or((0, Duration::ZERO), Progress::end);
        (
            Sum {
                files: self.files,
                bytes,
                time,
            },
            self.tops,
        )
    }
}

fn told(rules: &Rules, taken: &Taken, peer: &str, say: Say) -> Result<(), Failure> {
    let Taken { received, sum, .. } = taken;
    let fields = summary(&received.outcome, peer, sum);
    let what = amount(sum.files, sum.bytes);
    let text = format!(
        "{what} from {peer} in {}, in {:.1} s; every hash was right",
        place(&rules.dir),
        sum.time.as_secs_f64()
    );
    say.event("received", &fields, text);
    remarks(taken, peer, say);
    missing(&received.outcome, peer)
}

/// What else there is to say of what has come.
pub(crate) fn remarks(taken: &Taken, peer: &str, say: Say) {
    let Taken { received, tops, .. } = taken;
    for folder in received
        .folders
        .iter()
        .filter(|folder| !tops.contains(folder))
    {
        let fields = [("path", Value::from(folder.as_str()))];
        say.event(
            "stored",
            &fields,
            format_args!(
                "a folder of that name was there: it is called {} here",
                shown(folder)
            ),
        );
    }
    if !received.known {
        say.warn(
            "unconfirmed",
            &[],
            format_args!("{peer} may not know that everything is here"),
        );
    }
}

/// What somebody is told who has declined an offer.
pub(crate) fn declined(peer: &str) -> String {
    format!("you declined the offer of {peer}")
}

fn failure(error: &ReceiveError, peer: &str) -> Failure {
    let code = match error {
        ReceiveError::Refused(_) => Code::Peer,
        ReceiveError::Ended(Ended::Lost(_) | Ended::Broken(_)) => Code::Corrupt,
        ReceiveError::Ended(_) => Code::Peer,
        ReceiveError::DiskFull { .. }
        | ReceiveError::Disk { .. }
        | ReceiveError::Folder { .. }
        | ReceiveError::Writing
        | _ => Code::Failed,
    };
    if let ReceiveError::Refused(told) = error
        && told.reason == Reason::Declined
        && told.text.is_empty()
    {
        return Failure::new(code, declined(peer));
    }
    let failure = Failure::new(code, format!("{peer}: {}", chain(error)));
    match error {
        ReceiveError::Ended(Ended::Lost(_)) => {
            failure.hint("waiting for it to go on; the sender tries by itself")
        }
        ReceiveError::DiskFull { .. } => {
            failure.hint("make room and run this again: the transfer goes on from there")
        }
        ReceiveError::Refused(_)
        | ReceiveError::Ended(_)
        | ReceiveError::Disk { .. }
        | ReceiveError::Folder { .. }
        | ReceiveError::Writing
        | _ => failure,
    }
}

/// Names of an offer in its announcement.
const NAMED: usize = 4;

/// How long the other end may take to hang up.
const GOODBYE: Duration = Duration::from_secs(10);
