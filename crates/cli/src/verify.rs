//! `xtls verify`, and what the other verbs do when a peer asks for a verification.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use xtls_client::router::{TunnelId, What};
use xtls_client::session::{
    Broken, Compare, Introduction, Run, Verdict, Verify as Event, VerifyError,
};
use xtls_client::stanza::verify::Reason;
use xtls_client::tls::Fingerprint;
use xtls_client::tls::trust::MAX_ATTEMPTS;
use xtls_client::tls::verify::{Code, Method};
use xtls_client::{Home, Sender, Tunnel};
use xtls_stanza::Address;

use crate::args::{TrustPolicy, Verify};
use crate::ask::{self, Answer};
use crate::failure::{self, Failure};
use crate::link;
use crate::say::Say;
use crate::suggest::Suggest;
use crate::{account, secret, words};

/// Compares with one peer, or with those who come.
pub(crate) async fn run(args: &Verify, say: Say) -> Result<(), Failure> {
    let compare = match &args.code_file {
        Some(path) => Compare::Code(code_in(path)?),
        None if args.code => Compare::Code(ask::code().await?),
        None => Compare::Words,
    };
    let mut talk = args.talk.clone();
    // The comparison is the question, so none is asked before.
    talk.tunnel.trust.get_or_insert(TrustPolicy::Ask);
    let mut link = link::connect(&talk).await?;
    link::greet(&talk, &link, say);
    let home = account::home(&talk.account)?;
    let attempts = Attempts {
        account: account::account(&talk.account, &home)?,
        home,
        suggest: Suggest::new(&talk.account),
    };
    let work = async {
        if let Some(peer) = &talk.peer {
            let peer = link::exact(peer)?;
            let mut tunnel = link.client.open(&peer).await?;
            return verify(&mut tunnel, &compare, &attempts, say).await;
        }
        while let Some(mut tunnel) = link.incoming.next().await {
            let outcome = verify(&mut tunnel, &compare, &attempts, say).await;
            // A code serves once.
            if talk.tunnel.once || compare.method() == Method::Code {
                return outcome;
            }
            if let Err(failure) = outcome {
                say.failure(&failure);
            }
        }
        Err(Failure::new(
            failure::Code::Server,
            "the link to the server has ended",
        ))
    };
    let result = tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::interrupted()),
    };
    result.and(link::leave(link).await)
}

fn code_in(path: &std::path::Path) -> Result<Code, Failure> {
    let line = secret::in_file("code", path)?;
    Code::new(&line).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Where failed attempts are told from.
struct Attempts {
    home: Home,
    account: Address,
    suggest: Suggest,
}

impl Attempts {
    fn failed(&self, peer: &Address) -> usize {
        let pins = self.home.pins(&self.account);
        pins.map_or(0, |pins| pins.store().failed(peer.bare()))
    }
}

/// One verification over one tunnel, to the tunnel's end.
async fn verify(
    tunnel: &mut Tunnel,
    compare: &Compare,
    attempts: &Attempts,
    say: Say,
) -> Result<(), Failure> {
    let sender = tunnel.sender();
    let peer = sender.peer().clone();
    let told = [("peer", Value::from(peer.as_str()))];
    let (mut run, mut judging) = (None, None);
    let mut begun = false;
    let mut outcome: Option<Result<(), Failure>> = None;
    let mut answer: Option<Asking> = None;
    loop {
        let answered = async {
            match &mut answer {
                Some(asking) => asking.await,
                None => std::future::pending().await,
            }
        };
        let what = tokio::select! {
            what = tunnel.next() => match what {
                Some(what) => what,
                None => break,
            },
            same = answered => {
                answer = None;
                if let Some(run) = run {
                    agree(&sender, run, same, say).await;
                }
                continue;
            }
        };
        match what {
            What::Judge(_) | What::Ready | What::Established(_) => {
                if let What::Judge(introduction) = &what {
                    judging = Some(introduction.fingerprint);
                }
                if !std::mem::replace(&mut begun, true) {
                    say.event(
                        "asking",
                        &told,
                        format_args!(
                            "waiting for {peer} to compare {} too",
                            noun(compare.method())
                        ),
                    );
                    match sender.verify(compare.clone()).await {
                        Ok(begun) => run = Some(begun),
                        Err(error) => {
                            outcome.get_or_insert_with(|| Err(not_begun(&peer, error)));
                            if let Some(run) = run {
                                cancel(&sender, run, Reason::Method).await;
                            }
                            end(&sender, judging).await;
                        }
                    }
                }
            }
            What::Verify(Event::Asked { run: asked, .. }) => run = Some(asked),
            What::Verify(Event::Compare { words: shown, .. }) => {
                say.data(
                    "compare",
                    &[
                        ("peer", peer.as_str().into()),
                        ("words", words::shown(shown).into()),
                    ],
                );
                let asked = peer.clone();
                answer = Some(Box::pin(async move { ask::same(&asked, shown).await }));
            }
            What::Verify(Event::Done { method, key, .. }) => {
                verified(&peer, method, &key.hex(), say);
                outcome.get_or_insert(Ok(()));
                sender.close().await;
            }
            What::Verify(Event::Failed { why, counted, .. }) => {
                answer = None;
                let failed = counted.then(|| attempts.failed(&peer));
                outcome.get_or_insert_with(|| Err(failure(&peer, &why, failed)));
                end(&sender, judging).await;
            }
            What::NotVerified(why) => {
                outcome.get_or_insert_with(|| Err(Failure::failed(why)));
            }
            What::Closed(closed) => {
                let early = || {
                    Failure::of_close(&closed, &attempts.suggest)
                        .unwrap_or_else(|| failure(&peer, &Broken::Ended, None))
                };
                outcome.get_or_insert_with(|| Err(early()));
            }
            // What the peer says is no part of this.
            What::Incoming(_)
            | What::Stanza(_)
            | What::Refused(_)
            | What::Verify(Event::Due { .. })
            | What::Writable
            | What::NotPinned(_)
            | What::PeerFinished
            | _ => {}
        }
    }
    outcome.unwrap_or_else(|| Err(failure(&peer, &Broken::Ended, None)))
}

/// A question that waits for its answer.
type Asking = Pin<Box<dyn Future<Output = Option<bool>> + Send>>;

async fn end(sender: &Sender, judging: Option<Fingerprint>) {
    if let Some(key) = judging {
        // Nothing was pinned, and nothing is let in. An owner who has accepted meanwhile is not asked again.
        let _ = sender.judge(key, Verdict::Refuse).await;
    }
    sender.close().await;
}

/// Ends a run that may be over already.
async fn cancel(sender: &Sender, run: Run, reason: Reason) {
    let _ = sender.verify_cancel(run, reason).await;
}

async fn agree(sender: &Sender, run: Run, same: Option<bool>, say: Say) {
    match same {
        // A run that has ended meanwhile says so by itself.
        Some(true) => drop(sender.verify_agree(run).await),
        Some(false) => cancel(sender, run, Reason::Mismatch).await,
        None => {
            say.warn(
                "nobody_to_ask",
                &[],
                "there is no terminal to ask on whether the words are the same",
            );
            cancel(sender, run, Reason::Declined).await;
        }
    }
}

fn verified(peer: &Address, method: Method, key: &str, say: Say) {
    let fields = [
        ("peer", Value::from(peer.as_str())),
        ("fingerprint", Value::from(key)),
        ("method", Value::from(method.name())),
    ];
    let text = format_args!(
        "the key of {} is verified by {}",
        peer.bare(),
        method.name()
    );
    say.event("verified", &fields, text);
}

fn noun(method: Method) -> &'static str {
    match method {
        Method::Words => "words",
        Method::Code => "a code",
    }
}

fn not_begun(peer: &Address, error: VerifyError) -> Failure {
    let failure = Failure::usage(format!("{peer}: {error}"));
    match error {
        VerifyError::Method(Method::Words) => failure.hint("both use `xtls verify` without --code"),
        VerifyError::Method(Method::Code) => failure.hint("both use --code, with the same code"),
        VerifyError::NotOpen
        | VerifyError::Mode
        | VerifyError::Busy
        | VerifyError::Stale(_)
        | VerifyError::NotDue(_)
        | _ => failure,
    }
}

/// A verification that came to nothing: what to do about it, and how many attempts are gone.
fn failure(peer: &Address, why: &Broken, failed: Option<usize>) -> Failure {
    use failure::Code;
    let code = match why {
        Broken::Here(Reason::Mismatch) | Broken::There(Reason::Mismatch) => Code::Identity,
        Broken::Fault(_) if why.is_mismatch() => Code::Identity,
        Broken::Here(Reason::Method) | Broken::There(Reason::Method) => Code::Usage,
        Broken::Timeout | Broken::There(Reason::Timeout) => Code::Timeout,
        Broken::Here(_) => Code::Failed,
        Broken::There(_) | Broken::Fault(_) | Broken::Unreadable(_) | Broken::Ended | _ => {
            Code::Peer
        }
    };
    let mut what = format!("{peer} is not verified: {why}");
    if let Some(failed) = failed {
        what.push_str(&format!(
            " ({failed} of {MAX_ATTEMPTS} attempts within a day)"
        ));
    }
    let hint = match code {
        Code::Identity => {
            "somebody may be between you: say nothing in confidence over this connection, and compare the fingerprints \
             that `xtls id` shows, word for word, another way"
        }
        Code::Usage => "both use --code, or neither",
        Code::Timeout => "does the other end run `xtls verify`, or a version that knows it?",
        Code::Failed | Code::Peer | Code::Server | Code::Corrupt | Code::Interrupted => {
            "agree on a time, and try again"
        }
    };
    Failure::new(code, what).hint(hint)
}

/// What peers ask for while a conversation goes on.
#[derive(Default)]
pub(crate) struct Desk {
    asked: BTreeMap<TunnelId, Arc<Mutex<Asked>>>,
    verified: BTreeSet<TunnelId>,
    /// Tunnels in which the peer has asked for a verification.
    tried: BTreeSet<TunnelId>,
    /// Tunnels from which stanzas have come.
    talked: BTreeSet<TunnelId>,
}

#[derive(Default)]
struct Asked {
    /// What the peer wants.
    wanted: Option<(Run, Method)>,
    /// The person is being asked about the key.
    judging: bool,
}

impl Desk {
    /// A stanza has come through this tunnel.
    pub(crate) fn heard(&mut self, id: TunnelId) {
        self.talked.insert(id);
    }

    /// Whether the peer came for a verification and nothing else.
    pub(crate) fn is_settled(&self, id: TunnelId) -> bool {
        self.tried.contains(&id) && !self.talked.contains(&id)
    }

    /// Whether the key of this tunnel was verified in it.
    pub(crate) fn is_verified(&self, id: TunnelId) -> bool {
        self.verified.contains(&id)
    }

    fn of(&mut self, id: TunnelId) -> Arc<Mutex<Asked>> {
        Arc::clone(self.asked.entry(id).or_default())
    }

    /// Asks about a key, without stopping the other tunnels.
    pub(crate) fn judge(&mut self, sender: Sender, introduction: Introduction, say: Say) {
        let asked = self.of(sender.id());
        set(&asked, |asked| asked.judging = true);
        tokio::spawn(async move {
            let key = introduction.fingerprint;
            let answer = ask::verdict(introduction, say).await;
            let wanted = set(&asked, |asked| {
                asked.judging = false;
                asked.wanted
            });
            let judged = match answer {
                Answer::Accept => sender.judge(key, Verdict::Accept).await,
                Answer::Refuse => sender.judge(key, Verdict::Refuse).await,
                Answer::Verify => {
                    begin(&sender, wanted, true, say).await;
                    Ok(())
                }
            };
            if let Err(error) = judged {
                say.failure(&Failure::from(error));
            }
            if answer == Answer::Accept && wanted.is_some() {
                begin(&sender, wanted, false, say).await;
            }
        });
    }

    /// A verification goes on. `busy`: somebody types into the terminal, so that nothing can be asked on it. Gives the
    /// failure that ends the tunnel: what was compared is not the same.
    pub(crate) fn on_verify(
        &mut self,
        sender: &Sender,
        event: &Event,
        busy: bool,
        say: Say,
    ) -> Option<Failure> {
        let (id, peer) = (sender.id(), sender.peer().clone());
        let asked = self.of(id);
        match event {
            Event::Asked { run, method } => {
                let (run, method) = (*run, *method);
                self.tried.insert(id);
                let judging = set(&asked, |asked| {
                    asked.wanted = Some((run, method));
                    asked.judging
                });
                let fields = [
                    ("peer", Value::from(peer.as_str())),
                    ("method", Value::from(method.name())),
                ];
                let text = format_args!("{peer} asks to compare {}", noun(method));
                say.event("verification_asked", &fields, text);
                let sender = sender.clone();
                if busy {
                    say.warn(
                        "nobody_to_ask",
                        &[],
                        format_args!(
                            "declined, because this terminal is in use: `xtls verify --listen` here, or \
                             `xtls verify` to them"
                        ),
                    );
                    tokio::spawn(async move { cancel(&sender, run, Reason::Declined).await });
                } else if !judging {
                    let wanted = Some((run, method));
                    tokio::spawn(async move { begin(&sender, wanted, false, say).await });
                }
            }
            Event::Due { .. } => {}
            Event::Compare { run, words: shown } => {
                let (run, shown, sender) = (*run, *shown, sender.clone());
                let fields = [
                    ("peer", Value::from(peer.as_str())),
                    ("words", Value::from(words::shown(shown))),
                ];
                say.data("compare", &fields);
                tokio::spawn(async move {
                    let same = ask::same(&peer, shown).await;
                    agree(&sender, run, same, say).await;
                });
            }
            Event::Done { method, key, .. } => {
                self.verified.insert(id);
                verified(&peer, *method, &key.hex(), say);
            }
            Event::Failed { why, .. } => {
                set(&asked, |asked| asked.wanted = None);
                let failure = failure(&peer, why, None);
                let fields = [
                    ("peer", Value::from(peer.as_str())),
                    ("why", Value::from(why.to_string())),
                ];
                say.warn("verification_failed", &fields, &failure.what);
                if why.is_mismatch() {
                    // Whoever may be in between gets nothing more to read.
                    let sender = sender.clone();
                    tokio::spawn(async move { sender.abort().await });
                    return Some(failure);
                }
            }
        }
        None
    }

    pub(crate) fn closed(&mut self, id: TunnelId) {
        self.asked.remove(&id);
        self.verified.remove(&id);
        self.tried.remove(&id);
        self.talked.remove(&id);
    }
}

/// Begins what the person wants; asks whether it is wanted if the peer was first.
async fn begin(sender: &Sender, wanted: Option<(Run, Method)>, ours: bool, say: Say) {
    let method = wanted.map_or(Method::Words, |(_, method)| method);
    let compare = if ours && method == Method::Words {
        Some(Compare::Words)
    } else {
        ask::wanted(sender.peer(), method).await
    };
    let begun = match (compare, wanted) {
        (None, Some((run, _))) => sender.verify_cancel(run, Reason::Declined).await,
        (None, None) => Ok(()),
        (Some(compare), Some((run, _))) => sender.verify_join(run, compare).await,
        (Some(compare), None) => sender.verify(compare).await.map(drop),
    };
    if let Err(error) = begun {
        say.warn(
            "not_verified",
            &[],
            format_args!("{}: {error}", sender.peer()),
        );
    }
}

fn set<T>(asked: &Mutex<Asked>, change: impl FnOnce(&mut Asked) -> T) -> T {
    let mut asked = asked
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    change(&mut asked)
}
