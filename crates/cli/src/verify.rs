//! `xtls verify`, and the messages about verifications for all verbs.

use serde_json::Value;
use xtls_client::router::TunnelEvent;
use xtls_client::session::{Broken, Compare, Run, Service, Verdict, Verify as Event, VerifyError};
use xtls_client::stanza::verify::Reason;
use xtls_client::tls::Fingerprint;
use xtls_client::tls::trust::MAX_ATTEMPTS;
use xtls_client::tls::verify::{Code, Method, ShortWords};
use xtls_client::{Home, Sender, Tunnel};
use xtls_stanza::Address;

use crate::args::{Acceptable, ConversationArgs, TrustPolicy, Verify};
use crate::ask::{Compared, Person, asked_for};
use crate::failure::{self, Failure};
use crate::link::{self, Link};
use crate::say::Say;
use crate::stop::Stop;
use crate::suggest::Suggest;
use crate::{account, secret, words};

/// Verifies one peer, or whoever calls.
pub(crate) async fn run(args: &Verify, say: Say, stop: Stop) -> Result<(), Failure> {
    let person = Person::at_the_terminal();
    tokio::select! {
        result = verify(args, &person, say) => result,
        () = stop.asked() => Err(Failure::interrupted()),
    }
}

/// Compares a code with a peer, or with the first one that calls, over a link that is for something else afterwards.
pub(crate) async fn first(
    talk: &ConversationArgs,
    link: &mut Link,
    code: Code,
    person: &Person,
    say: Say,
) -> Result<(), Failure> {
    let compare = Compare::Code(code);
    let runs = Runs::new(talk, person, say)?;
    if let Some(peer) = &talk.peer {
        let peer = link::exact(peer)?;
        let mut tunnel = link.client.open_for(&peer, Service::stanzas()).await?;
        return runs.one(&mut tunnel, &compare).await;
    }
    let ended = || {
        Failure::new(
            failure::Code::Server,
            "the connection to the server has ended",
        )
    };
    let mut tunnel = link.incoming.next().await.ok_or_else(ended)?;
    runs.beside(&mut tunnel, &compare, &mut link.incoming).await
}

/// A code is for one person: `listen` needs to know for whom.
pub(crate) fn for_one(talk: &ConversationArgs) -> Result<(), Failure> {
    match (talk.listen, talk.calls.accept.as_slice()) {
        (true, [Acceptable::One(_)]) | (false, _) => Ok(()),
        (true, _) => Err(Failure::usage(
            "a code is for one person, and the first caller uses it up",
        )
        .hint("name exactly one account with --accept")),
    }
}

async fn verify(args: &Verify, person: &Person, say: Say) -> Result<(), Failure> {
    let by_code = args.code || args.code_file.is_some();
    if by_code {
        for_one(&args.talk)?;
    }
    if !by_code && !person.is_there() {
        return Err(Failure::usage("there is no terminal to show the words on")
            .hint("run it in a terminal, or agree on a code and use --code-file FILE"));
    }
    let compare = match &args.code_file {
        Some(path) => Compare::Code(code_in(path)?),
        None if args.code => Compare::Code(person.code().await?),
        None => Compare::Words,
    };
    let mut talk = args.talk.clone();
    // The comparison decides about the key, so no other question comes first.
    talk.tunnel.trust.get_or_insert(TrustPolicy::Ask);
    let mut link = link::connect(&talk, person, [Service::stanzas()]).await?;
    link::greet(&talk, &link, say);
    let runs = Runs::new(&talk, person, say)?;
    let result = async {
        if let Some(peer) = &talk.peer {
            let peer = link::exact(peer)?;
            let mut tunnel = link.client.open(&peer).await?;
            return runs.one(&mut tunnel, &compare).await;
        }
        while let Some(mut tunnel) = link.incoming.next().await {
            let outcome = runs.beside(&mut tunnel, &compare, &mut link.incoming).await;
            // A code works only once.
            if talk.calls.once || compare.method() == Method::Code || outcome.is_ok() {
                return outcome;
            }
            if let Err(failure) = outcome {
                say.failure(&failure);
            }
            // The next caller may be someone else under the same name, so it waits until the user is ready.
            tokio::select! {
                again = person.again() => {
                    if again.is_none() {
                        return Err(Failure::interrupted());
                    }
                }
                () = decline_all(&mut link.incoming, say) => {}
            }
        }
        Err(Failure::new(
            failure::Code::Server,
            "the connection to the server has ended",
        ))
    };
    let result = result.await;
    link::leave(link, result).await
}

fn code_in(path: &std::path::Path) -> Result<Code, Failure> {
    let line = secret::in_file("code", path)?;
    Code::new(&line).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Declines all callers.
async fn decline_all(incoming: &mut xtls_client::Incoming, say: Say) {
    while let Some(tunnel) = incoming.next().await {
        let peer = tunnel.peer();
        say.event(
            "declined",
            &[("peer", peer.as_str().into())],
            format_args!("declined a call from {peer}"),
        );
        tunnel.abort().await;
    }
}

/// The context that every run of a verification needs.
struct Runs {
    /// Where the number of failed attempts is read from.
    home: Home,
    account: Address,
    suggest: Suggest,
    person: Person,
    say: Say,
}

impl Runs {
    fn new(talk: &ConversationArgs, person: &Person, say: Say) -> Result<Self, Failure> {
        let home = account::home(&talk.account)?;
        Ok(Self {
            account: account::account(&talk.account, &home)?,
            home,
            suggest: Suggest::new(&talk.account).with_listener("xtls verify --listen"),
            person: person.clone(),
            say,
        })
    }

    fn failed(&self, peer: &Address) -> usize {
        let pins = self.home.pins(&self.account);
        pins.map_or(0, |pins| pins.store().failed(peer.bare()))
    }

    /// One verification, while all other callers are declined.
    async fn beside(
        &self,
        tunnel: &mut Tunnel,
        compare: &Compare,
        incoming: &mut xtls_client::Incoming,
    ) -> Result<(), Failure> {
        tokio::select! {
            outcome = self.one(tunnel, compare) => outcome,
            () = decline_all(incoming, self.say) => Err(Failure::new(
                failure::Code::Server,
                "the connection to the server has ended",
            )),
        }
    }

    /// One verification over one tunnel, until the tunnel ends.
    async fn one(&self, tunnel: &mut Tunnel, compare: &Compare) -> Result<(), Failure> {
        let sender = tunnel.sender();
        let peer = sender.peer().clone();
        let mut one = One {
            runs: self,
            sender,
            peer,
            compare,
            begun: false,
            asked: None,
            other_method: None,
            key: None,
            comparing: None,
            outcome: None,
        };
        loop {
            let compared = async {
                match &mut one.comparing {
                    Some((_, comparing)) => comparing.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                what = tunnel.next() => match what {
                    Some(what) => one.on(what).await,
                    None => break,
                },
                same = compared => one.on_compared(same).await,
            }
        }
        one.outcome
            .unwrap_or_else(|| Err(failure(&one.peer, &Broken::Ended, None, &self.suggest)))
    }
}

/// The user is comparing words.
type Comparing = std::pin::Pin<Box<dyn Future<Output = Option<Compared>> + Send>>;

/// One run.
struct One<'a> {
    runs: &'a Runs,
    sender: Sender,
    peer: Address,
    compare: &'a Compare,
    /// We have requested the comparison.
    begun: bool,
    /// The run that the peer requested.
    asked: Option<Run>,
    /// The peer wants the other method, and this failure will end the run.
    other_method: Option<Failure>,
    /// The key that awaits a verdict.
    key: Option<Fingerprint>,
    comparing: Option<(Run, Comparing)>,
    outcome: Option<Result<(), Failure>>,
}

impl One<'_> {
    async fn on(&mut self, what: TunnelEvent) {
        let say = self.runs.say;
        match what {
            TunnelEvent::Judge(introduction) => {
                self.key = Some(introduction.fingerprint);
                self.begin().await;
            }
            TunnelEvent::Ready | TunnelEvent::Established(_) => self.begin().await,
            TunnelEvent::Verify(Event::Asked { run, .. }) => {
                self.asked = Some(run);
                if let Some(failure) = self.other_method.take() {
                    self.decline(run, failure).await;
                }
            }
            TunnelEvent::Verify(Event::Compare { run, words: shown }) => {
                say_compare(&self.peer, shown, say);
                let (person, peer) = (self.runs.person.clone(), self.peer.clone());
                self.comparing = Some((
                    run,
                    Box::pin(async move { person.same(&peer, shown).await }),
                ));
            }
            TunnelEvent::Verify(Event::Done { method, key, .. }) => {
                say_verified(&self.peer, method, &key.hex(), say);
                self.key = None;
                self.outcome.get_or_insert(Ok(()));
                self.sender.close().await;
            }
            TunnelEvent::Verify(Event::Failed { why, counted, .. }) => {
                self.comparing = None;
                let failed = counted.then(|| self.runs.failed(&self.peer));
                self.end(failure(&self.peer, &why, failed, &self.runs.suggest))
                    .await;
            }
            TunnelEvent::NotVerified(why) => {
                let hint = format!(
                    "compare the fingerprints that `xtls id` shows instead, and pin theirs:{}",
                    by_hand(&self.peer, &self.runs.suggest)
                );
                self.outcome
                    .get_or_insert_with(|| Err(Failure::failed(why).hint(hint)));
            }
            TunnelEvent::Closed(closed) => {
                // There is nothing left to compare.
                self.comparing = None;
                let suggest = &self.runs.suggest;
                let early = || {
                    Failure::of_close(&closed, suggest)
                        .unwrap_or_else(|| failure(&closed.peer, &Broken::Ended, None, suggest))
                };
                self.outcome.get_or_insert_with(|| Err(early()));
            }
            // Anything else from the peer is irrelevant here.
            TunnelEvent::Incoming(_)
            | TunnelEvent::Stanza(_)
            | TunnelEvent::Refused(_)
            | TunnelEvent::Verify(Event::Due { .. })
            | TunnelEvent::Writable
            | TunnelEvent::NotPinned(_)
            | TunnelEvent::PeerFinished
            | _ => {}
        }
    }

    /// Requests the comparison, once.
    async fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) || self.outcome.is_some() {
            return;
        }
        let method = self.compare.method();
        self.runs.say.event(
            "asking",
            &[("peer", self.peer.as_str().into())],
            format_args!("waiting for {} to compare {} too", self.peer, noun(method)),
        );
        let Err(error) = self.sender.verify(self.compare.clone()).await else {
            return;
        };
        let other_method = matches!(error, VerifyError::Method(_));
        let failure = not_begun(&self.peer, error);
        match self.asked {
            Some(run) => self.decline(run, failure).await,
            // The peer's request is about to arrive.
            None if other_method => self.other_method = Some(failure),
            None => self.end(failure).await,
        }
    }

    /// The peer wants to compare something else.
    async fn decline(&mut self, run: Run, failure: Failure) {
        // The tunnel ends in any case.
        let _ = self.sender.verify_cancel(run, Reason::Method).await;
        self.end(failure).await;
    }

    async fn on_compared(&mut self, same: Option<Compared>) {
        let Some((run, _)) = self.comparing.take() else {
            return;
        };
        let answered = match same {
            Some(Compared::Same) => self.sender.verify_agree(run).await,
            Some(Compared::Different) => self.sender.verify_cancel(run, Reason::Mismatch).await,
            None => self.sender.verify_cancel(run, Reason::Declined).await,
        };
        if let Err(error) = answered {
            self.end(Failure::new(
                failure::Code::Peer,
                format!("{}: {error}", self.peer),
            ))
            .await;
        }
    }

    /// Ends an unsuccessful run, and refuses a key that awaits a verdict.
    async fn end(&mut self, failure: Failure) {
        self.outcome.get_or_insert(Err(failure));
        if let Some(key) = self.key.take() {
            // If the tunnel has ended, the key is refused as well.
            let _ = self.sender.judge(key, Verdict::Refuse).await;
        }
        self.sender.close().await;
    }
}

/// Reports that a key is verified.
pub(crate) fn say_verified(peer: &Address, method: Method, key: &str, say: Say) {
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

/// Reports which words to compare, and which of them (counted from 1) confirms that they match.
pub(crate) fn say_compare(peer: &Address, shown: ShortWords, say: Say) {
    let fields = [
        ("peer", Value::from(peer.as_str())),
        ("words", Value::from(words::shown(shown))),
        ("confirm", Value::from(asked_for(shown) + 1)),
    ];
    say.data("compare", &fields);
}

/// What is compared.
pub(crate) fn noun(method: Method) -> &'static str {
    match method {
        Method::Words => "words",
        Method::Code => "a code",
    }
}

fn not_begun(peer: &Address, error: VerifyError) -> Failure {
    let failure = Failure::new(failure::Code::Peer, format!("{peer}: {error}"));
    match error {
        VerifyError::Method(Method::Words) => failure
            .hint("use the same method: `xtls verify` with --code at both ends, or at neither"),
        VerifyError::Method(Method::Code) => failure
            .hint("use the same method: --code with the same code at both ends, or at neither"),
        VerifyError::NotOpen
        | VerifyError::Mode
        | VerifyError::Busy
        | VerifyError::Stale(_)
        | VerifyError::NotDue(_)
        | _ => failure,
    }
}

/// A failed verification: what to do about it, and how many attempts were used up.
pub(crate) fn failure(
    peer: &Address,
    why: &Broken,
    failed: Option<usize>,
    suggest: &Suggest,
) -> Failure {
    use failure::Code;
    let code = match why {
        _ if why.is_mismatch() => Code::Identity,
        Broken::Timeout | Broken::There(Reason::Timeout) => Code::Timeout,
        Broken::Here(Reason::Locked) => Code::Identity,
        Broken::Here(Reason::Method) => Code::Peer,
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
    let by_hand = by_hand(peer, suggest);
    let hint = match why {
        // The user has declared that the words differ, which is no typing error.
        Broken::Here(Reason::Mismatch) | Broken::There(Reason::Mismatch) => format!(
            "someone may be intercepting you: send nothing confidential over this connection, and compare, over another \
             channel, the fingerprints that `xtls id` shows:{by_hand}"
        ),
        _ if why.is_mismatch() => format!(
            "if one of you mistyped the code, agree on a new one and try again: a code serves once. If neither of you did, \
             someone is intercepting you: compare, over another channel, the fingerprints that `xtls id` shows:{by_hand}"
        ),
        Broken::Here(Reason::Locked) | Broken::There(Reason::Locked) => format!(
            "verification with them is locked for a day, or the code was used before. You can still compare, \
             over another channel, the fingerprints that `xtls id` shows:{by_hand}"
        ),
        Broken::Here(Reason::Method) | Broken::There(Reason::Method) => {
            "use the same method: --code with the same code at both ends, or at neither".to_owned()
        }
        Broken::Timeout | Broken::There(Reason::Timeout) => {
            "is the peer running `xtls verify`, in a version that supports it?".to_owned()
        }
        Broken::Here(_)
        | Broken::There(_)
        | Broken::Fault(_)
        | Broken::Unreadable(_)
        | Broken::Ended
        | _ => "agree on a time, and on a new code if you use one, and try again".to_owned(),
    };
    Failure::new(code, what).hint(hint)
}

/// The way to pin a key without a verification.
fn by_hand(peer: &Address, suggest: &Suggest) -> String {
    Suggest::block(&[suggest.line(
        &["trust", "pin"],
        &[peer.bare(), crate::suggest::THEIR_FINGERPRINT],
    )])
}

#[cfg(test)]
mod tests;
