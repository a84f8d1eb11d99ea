//! `/send`: files to and from the other end of a conversation, each transfer over a tunnel of bytes beside it.
//!
//! Such a tunnel is with the key that the conversation is with, or it carries nothing.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use xtls_client::router::{Closed, OpenError, TunnelEvent, Why};
use xtls_client::session::{Mode, Service, Why as Session};
use xtls_client::tls::{Fingerprint, TlsError};
use xtls_client::{Client, Tunnel};
use xtls_files::{Decision, Destination, Existing, Outcome, Reason, SERVICE, Told};
use xtls_stanza::Address;

use super::commands::paths;
use super::returns::NO_ONE;
use crate::ask::{Person, place};
use crate::attended::Attended;
use crate::bytes::Secure;
use crate::failure::{Code, Failure};
use crate::progress::{Place, Row, amount, size};
use crate::receive::{self, Rules, Taken};
use crate::say::{Say, shown};
use crate::send::{self, Report, Stopped, Sum, missing, summary};
use crate::suggest::Suggest;

/// The transfers of a conversation: one there and one back at a time.
pub(super) struct Transfers {
    say: Say,
    suggest: Suggest,
    person: Person,
    /// Where files go that the peer sends.
    dir: PathBuf,
    sending: Option<Transfer>,
    receiving: Option<Transfer>,
}

struct Transfer {
    /// What it is called until more is known.
    what: String,
    peer: Address,
    /// How far it has come.
    row: watch::Receiver<Option<String>>,
    run: Pin<Box<dyn Future<Output = ()>>>,
}

/// The full address and the key that a conversation is with.
type Partner = (Address, Fingerprint);

impl Transfers {
    pub(super) fn new(dir: PathBuf, person: Person, say: Say, suggest: Suggest) -> Self {
        Self {
            say,
            suggest,
            person,
            dir,
            sending: None,
            receiving: None,
        }
    }

    /// Offers what was typed behind `/send` to the peer of the conversation.
    pub(super) fn send(&mut self, typed: &str, with: Option<Partner>, client: &Client) {
        if typed.is_empty() {
            let why = "name a file or a folder: /send FILE";
            return self.say.warn("not_sent", &[("why", why.into())], why);
        }
        let Some((peer, key)) = with else {
            return self.not_sent(typed, NO_ONE);
        };
        if let Some(earlier) = &self.sending {
            let why = format!("{} is still on its way", earlier.what);
            return self.not_sent(typed, &why);
        }
        let (row, shown) = Row::new("sending");
        let sending = Sending {
            typed: typed.to_owned(),
            peer: peer.clone(),
            key,
            client: client.clone(),
            say: self.say,
            suggest: self.suggest.clone(),
        };
        self.sending = Some(Transfer {
            what: called(&[PathBuf::from(typed)]),
            peer,
            row: shown,
            run: Box::pin(sending.run(row)),
        });
    }

    fn not_sent(&self, typed: &str, why: &str) {
        let name = called(&[PathBuf::from(typed)]);
        let text = format_args!("{name} was not sent: {why}");
        self.say.warn("not_sent", &[("why", why.into())], text);
    }

    /// Asks whether to take what comes over a tunnel of the peer, if it is the peer of the conversation.
    pub(super) fn receive(&mut self, tunnel: Tunnel, with: Option<Partner>) {
        let peer = tunnel.peer().clone();
        let Some((_, key)) = with.filter(|(known, _)| *known == peer) else {
            return refuse(tunnel, ELSEWHERE);
        };
        if tunnel.proven().is_none_or(|it| it.key.fingerprint != key) {
            // Dropped, it is cut.
            drop(tunnel);
            return failed("in", &peer, None, &another_key(&peer), self.say);
        }
        if self.receiving.is_some() {
            return refuse(tunnel, "another file from you is still on its way");
        }
        let (row, shown) = Row::new("receiving");
        let rules = Rules {
            dir: self.dir.clone(),
            hidden: false,
            existing: Existing::Rename,
            yes: false,
            place: Place::Row(row),
        };
        let secure = Secure::of(tunnel, self.say, self.suggest.clone());
        let person = self.person.clone();
        self.receiving = Some(Transfer {
            what: "a file".to_owned(),
            peer,
            row: shown,
            run: Box::pin(take(secure, person, rules)),
        });
    }

    /// Goes on with them, until there is something new to show. Cancel-safe.
    pub(super) async fn step(&mut self) {
        tokio::select! {
            () = step(&mut self.sending) => {}
            () = step(&mut self.receiving) => {}
        }
    }

    /// How far each has come.
    pub(super) fn rows(&self) -> Vec<String> {
        let transfers = [&self.sending, &self.receiving];
        let rows = transfers.into_iter().flatten();
        rows.filter_map(|transfer| transfer.row.borrow().clone())
            .collect()
    }

    /// The conversation is over, and they are with it. What has arrived is kept, and the same transfer goes on from there.
    pub(super) fn end(&mut self) {
        if let Some(Transfer { what, peer, .. }) = self.sending.take() {
            let why = "the conversation has ended; what has arrived is kept";
            failed(
                "out",
                &peer,
                Some(&what),
                &Failure::new(Code::Peer, why),
                self.say,
            );
        }
        if let Some(Transfer { peer, .. }) = self.receiving.take() {
            let why = format!(
                "{peer}: the transfer ends with the conversation; what has arrived is kept"
            );
            failed("in", &peer, None, &Failure::new(Code::Peer, why), self.say);
        }
    }
}

async fn step(transfer: &mut Option<Transfer>) {
    let Some(Transfer { row, run, .. }) = transfer else {
        return std::future::pending().await;
    };
    let over = tokio::select! {
        () = run => true,
        Ok(()) = row.changed() => false,
    };
    if over {
        *transfer = None;
    }
}

/// What a transfer to the peer needs.
struct Sending {
    typed: String,
    peer: Address,
    key: Fingerprint,
    client: Client,
    say: Say,
    suggest: Suggest,
}

impl Sending {
    async fn run(self, row: Row) {
        let mut name = called(&[PathBuf::from(&self.typed)]);
        if let Err(Stopped { failure, lost, .. }) = self.attempt(row, &mut name).await {
            if lost {
                // If it is the conversation that ends, that is about to be told, and this with it.
                tokio::time::sleep(MOMENT).await;
            }
            failed("out", &self.peer, Some(&name), &failure, self.say);
        }
    }

    async fn attempt(&self, row: Row, name: &mut String) -> Result<(), Stopped> {
        let typed = self.typed.clone();
        let files = tokio::task::spawn_blocking(move || paths(&typed, Path::exists))
            .await
            .map_err(|error| Failure::failed(error.to_string()))?
            .map_err(Failure::usage)?;
        *name = called(&files);
        let sources = send::collect(files, self.say, true).await?;
        let opened = self.client.open_for(&self.peer, service()).await;
        // Of bytes there may be many, except where a transport has one tunnel for two addresses.
        if let Err(OpenError::Already(_)) = &opened {
            return Err(Failure::usage(ALONE).into());
        }
        let mut tunnel = opened.map_err(Failure::from)?;
        let say = self.say.of(tunnel.id());
        say.data("opening", &[("peer", self.peer.as_str().into())]);
        self.expect_peer(&mut tunnel).await?;
        let secure = Secure::of(tunnel, self.say, self.suggest.clone());
        let report = Report::new(say, self.peer.bare(), Some(name.clone()), Place::Row(row));
        let sent = send::over(secure, sources, report).await;
        let (outcome, sum) = sent.map_err(|mut stopped| {
            if stopped.lost {
                let hint = "what has arrived is kept: send it again, and it goes on from there";
                stopped.failure = stopped.failure.hint(hint);
            }
            stopped
        })?;
        let fields = summary(&outcome, self.peer.as_str(), &sum);
        let what = how_much(&outcome, &sum);
        let text = match sum.files {
            0 => format!("{name}: nothing had to be sent"),
            _ => format!("{name}: {what}, delivered"),
        };
        say.event("sent", &fields, text);
        Ok(missing(&outcome, self.peer.as_str())?)
    }

    /// Waits until the tunnel is established with the key of the conversation.
    async fn expect_peer(&self, tunnel: &mut Tunnel) -> Result<(), Failure> {
        while let Some(what) = tunnel.next().await {
            match what {
                TunnelEvent::Established(peer) if peer.key.fingerprint == self.key => {
                    return Ok(());
                }
                // Nobody is asked about a key: there is only one that is right.
                TunnelEvent::Established(_) | TunnelEvent::Judge(_) => {
                    tunnel.abort().await;
                    return Err(another_key(&self.peer));
                }
                TunnelEvent::Closed(closed) => return Err(self.not_opened(&closed)),
                TunnelEvent::Incoming(_)
                | TunnelEvent::Asked(_)
                | TunnelEvent::Ready
                | TunnelEvent::Renewed(_)
                | TunnelEvent::OtherKey(_)
                | TunnelEvent::Unanswered(_)
                | TunnelEvent::Stanza(_)
                | TunnelEvent::Refused(_)
                | TunnelEvent::Verify(_)
                | TunnelEvent::NotVerified(_)
                | TunnelEvent::Writable
                | TunnelEvent::Readable
                | TunnelEvent::NotPinned(_)
                | TunnelEvent::PeerFinished
                | _ => {}
            }
        }
        Err(left(&self.peer))
    }

    /// Why there is no tunnel.
    fn not_opened(&self, closed: &Closed) -> Failure {
        if let Why::Session(Session::Tls(TlsError::Alpn)) = &closed.why {
            let what = format!("{}: their program takes no files", self.peer);
            return Failure::new(Code::Peer, what)
                .hint("do they run `xtls chat`, and a version with /send?");
        }
        let failure = Failure::of_close(closed, &self.suggest);
        failure.unwrap_or_else(|| left(&self.peer))
    }
}

/// Takes what the peer sends, if the person at this end wants it.
async fn take(secure: Secure, person: Person, rules: Rules) {
    let (say, peer) = (secure.say, secure.peer.clone());
    match receive::over(secure, person, &rules).await {
        Ok(taken) => {
            let Taken {
                received,
                sum,
                tops,
            } = &taken;
            let fields = summary(&received.outcome, peer.as_str(), sum);
            let (name, bare) = (listed(tops), peer.bare());
            let what = how_much(&received.outcome, sum);
            let text = match sum.files {
                0 => format!("{name} from {bare}: nothing had to be stored"),
                _ => format!("{name}: {what} from {bare}, in {}", place(&rules.dir)),
            };
            say.event("received", &fields, text);
            receive::remarks(&taken, bare, say);
            if let Err(failure) = missing(&received.outcome, peer.as_str()) {
                failed("in", &peer, None, &failure, say);
            }
        }
        Err(failure) => failed("in", &peer, None, &failure, say),
    }
}

/// Refuses the files of somebody with whom there is no conversation.
pub(super) fn decline(attended: Attended) {
    let peer = attended.peer();
    let text = format_args!("declined files of {peer}: {ELSEWHERE}");
    let fields = [("peer", peer.as_str().into())];
    attended.say().event("declined", &fields, text);
    refuse(attended.into_tunnel(), ELSEWHERE);
}

/// Refuses what is offered over a tunnel, so that its owner learns why.
fn refuse(tunnel: Tunnel, why: &'static str) {
    tokio::spawn(async move {
        let nowhere = Destination::new(".", tunnel.peer().bare());
        let refusal = Decision::Refuse(Told::new(Reason::Declined, why));
        let refused = xtls_files::receive(tunnel, nowhere, async |_| refusal, |_| {});
        // One that offers nothing is cut.
        let _ = tokio::time::timeout(REFUSING, refused).await;
    });
}

/// Reports a transfer that came to nothing. The conversation goes on.
fn failed(direction: &str, peer: &Address, name: Option<&str>, failure: &Failure, say: Say) {
    let mut why = failure.what.clone();
    if let Some(hint) = &failure.hint {
        why.push('\n');
        why.push_str(hint);
    }
    let mut fields = vec![
        ("direction", Value::from(direction)),
        ("peer", Value::from(peer.as_str())),
        ("why", Value::from(failure.what.as_str())),
    ];
    let text = match name {
        Some(name) => {
            fields.push(("name", Value::from(name)));
            format!("{} was not delivered: {why}", shown(name))
        }
        None => why,
    };
    // What this person has declined is no surprise.
    if failure.what == receive::declined(peer.as_str()) {
        say.event("transfer_failed", &fields, text);
    } else {
        say.warn("transfer_failed", &fields, text);
    }
}

fn another_key(peer: &Address) -> Failure {
    let what = format!(
        "{peer}: the key at the other end of the transfer is not the one of this conversation, so nothing was carried"
    );
    Failure::new(Code::Identity, what)
}

fn left(peer: &Address) -> Failure {
    Failure::new(Code::Peer, format!("{peer} has left"))
}

/// What files are called together.
fn called(files: &[PathBuf]) -> String {
    let names: Vec<String> = files
        .iter()
        .map(|path| {
            let name = path.file_name().unwrap_or(path.as_os_str());
            shown(&name.to_string_lossy())
        })
        .collect();
    listed(&names)
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [name] => shown(name),
        [first, rest @ ..] => format!("{} and {} more", shown(first), rest.len()),
    }
}

/// One file by its size, more by their number too.
fn how_much(outcome: &Outcome, sum: &Sum) -> String {
    match (outcome.done, sum.files) {
        (1, 1) => size(sum.bytes),
        (_, files) => amount(files, sum.bytes),
    }
}

/// The service that transfers are for.
pub(super) fn service() -> Service {
    Service::new(SERVICE, Mode::Bytes)
}

/// Why a chat refuses files of others.
const ELSEWHERE: &str = "a chat takes files from the other end of the conversation only; `xtls receive` takes them from others";

/// Why nothing goes beside a conversation over the original flow.
const ALONE: &str =
    "with --transport original there is one tunnel for the two of you, and it is this conversation";

/// How long somebody who is refused may take to make an offer.
const REFUSING: Duration = Duration::from_secs(10);

/// Between the end of a transfer and that of its conversation, at most.
const MOMENT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
