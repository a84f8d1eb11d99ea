//! A tunnel whose questions to the user are handled here: those about its key and its verifications are asked, answered and
//! withdrawn in this file, so that the verbs see nothing but a conversation.

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use xtls_client::router::{Closed, OtherKey, TunnelEvent, TunnelId};
use xtls_client::session::{Introduction, Peer, Run, Verdict, Verify, Violation};
use xtls_client::stanza::verify::Reason;
use xtls_client::tls::Standing;
use xtls_client::tls::trust::Level;
use xtls_client::tls::verify::Method;
use xtls_client::{JudgeError, Sender, Tunnel};
use xtls_stanza::{Address, Stanza};

use crate::ask::{Answer, Compared, Person};
use crate::failure::Failure;
use crate::say::Say;
use crate::suggest::Suggest;
use crate::verify;
use crate::{paths, words};

/// The events of a tunnel that a verb sees.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Stanzas may be sent; the peer has not accepted our key yet.
    Ready,
    /// Both ends have accepted each other.
    Established,
    /// A stanza from the peer.
    Stanza(Stanza),
    /// A stanza from the peer was dropped, because the peer had no authority to send it.
    Refused(Violation),
    /// One of our requests will not be answered any more.
    Unanswered(Stanza),
    /// The peer has finished. Asking for the next event confirms that everything was taken.
    PeerFinished,
    /// The comparison failed, which ends the tunnel.
    Mismatch(Failure),
    /// The end.
    Closed(Closed),
}

/// A tunnel whose questions to the user are handled.
pub(crate) struct Attended {
    tunnel: Tunnel,
    person: Person,
    say: Say,
    suggest: Suggest,
    /// The question that is shown or queued, and what happens with its answer.
    question: Option<(About, Question)>,
    /// The key that awaits a decision.
    judging: Option<Introduction>,
    /// A verification that the peer requested while another question was open.
    wanted: Option<(Run, Method)>,
    /// The peer has requested a verification.
    tried: bool,
    /// Stanzas have arrived.
    talked: bool,
    verified: bool,
    /// What is known about the peer.
    standing: String,
    /// The same in a word or two, once the peer has proven its key.
    certainty: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Key,
    Verification,
}

type Question = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// The outcome of a question.
#[derive(Debug)]
enum Answered {
    Judged(Option<Answer>, Result<(), JudgeError>),
    /// A verification was started, joined or declined, or words were compared; the error says why it had no effect.
    Verification(Result<(), xtls_client::session::VerifyError>),
}

impl Attended {
    pub(crate) fn new(tunnel: Tunnel, person: Person, say: Say, suggest: Suggest) -> Self {
        Self {
            person,
            say: say.of(tunnel.id()),
            tunnel,
            suggest,
            question: None,
            judging: None,
            wanted: None,
            tried: false,
            talked: false,
            verified: false,
            standing: "a peer that has not proven its key yet".to_owned(),
            certainty: None,
        }
    }

    /// Gives the tunnel back, once there is nothing left to ask.
    pub(crate) fn into_tunnel(self) -> Tunnel {
        self.tunnel
    }

    /// Who is at the other end, and how certain that is.
    pub(crate) fn standing(&self) -> String {
        format!("{}: {}", self.tunnel.peer(), self.standing)
    }

    /// How certain it is who is at the other end, in a word or two; `None` until the peer has proven its key.
    pub(crate) fn certainty(&self) -> Option<&'static str> {
        self.certainty
    }

    pub(crate) fn id(&self) -> TunnelId {
        self.tunnel.id()
    }

    /// Reports what happens to this tunnel.
    pub(crate) fn say(&self) -> Say {
        self.say
    }

    /// The address at the other end.
    pub(crate) fn peer(&self) -> &Address {
        self.tunnel.peer()
    }

    pub(crate) fn sender(&self) -> Sender {
        self.tunnel.sender()
    }

    /// Whether the peer came for a verification and nothing else.
    pub(crate) fn came_to_verify(&self) -> bool {
        self.tried && !self.talked
    }

    /// The next event; `None` after the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Seen> {
        loop {
            let answered = async {
                match &mut self.question {
                    Some((_, question)) => question.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                what = self.tunnel.next() => {
                    if let Some(seen) = self.on(what?) {
                        return Some(seen);
                    }
                }
                answered = answered => {
                    self.question = None;
                    self.on_answer(answered);
                }
            }
        }
    }

    fn on(&mut self, what: TunnelEvent) -> Option<Seen> {
        match what {
            TunnelEvent::Judge(introduction) => self.judge(introduction),
            TunnelEvent::NotPinned(why) => self.say.warn("not_pinned", &[], why),
            TunnelEvent::NotVerified(why) => self.say.warn("not_verified", &[], why),
            TunnelEvent::Verify(event) => return self.on_verify(&event),
            TunnelEvent::Ready => return Some(Seen::Ready),
            TunnelEvent::Established(peer) => {
                self.established(&peer);
                return Some(Seen::Established);
            }
            TunnelEvent::Stanza(stanza) => {
                self.talked = true;
                return Some(Seen::Stanza(stanza));
            }
            TunnelEvent::Refused(violation) => return Some(Seen::Refused(violation)),
            TunnelEvent::OtherKey(rival) => self.rival(&rival),
            TunnelEvent::Unanswered(request) => return Some(Seen::Unanswered(request)),
            TunnelEvent::PeerFinished => return Some(Seen::PeerFinished),
            TunnelEvent::Closed(closed) => {
                // The subject of the question is gone.
                self.question = None;
                return Some(Seen::Closed(closed));
            }
            TunnelEvent::Incoming(_)
            | TunnelEvent::Asked(_)
            | TunnelEvent::Renewed(_)
            | TunnelEvent::Writable
            | _ => {}
        }
        None
    }

    /// Someone else called in the peer's name: another device of theirs, or an attacker.
    fn rival(&self, rival: &OtherKey) {
        let peer = self.tunnel.peer();
        let key = rival.key.map(|key| key.hex());
        let fields = [
            ("peer", Value::from(peer.as_str())),
            ("fingerprint", Value::from(key)),
            ("pinned", Value::from(rival.pinned)),
        ];
        if rival.pinned {
            let text = format_args!(
                "{peer} also called with another key that you have pinned: another device of theirs, which has to \
                 wait until this conversation is over"
            );
            self.say.event("rival", &fields, text);
        } else {
            let text = format_args!(
                "someone called as {peer} with another key than theirs, and was refused: a server may be trying to \
                 intercept you. This conversation continues with the key you know"
            );
            self.say.warn("rival", &fields, text);
        }
    }

    fn judge(&mut self, introduction: Introduction) {
        let fields = [
            ("peer", introduction.peer.as_str().into()),
            ("fingerprint", introduction.fingerprint.hex().into()),
        ];
        self.say.data("judge", &fields);
        if !self.person.is_there() {
            let pin = self.suggest.line(
                &["trust", "pin"],
                &[introduction.peer.bare(), crate::suggest::THEIR_FINGERPRINT],
            );
            self.say.warn(
                "nobody_to_ask",
                &[],
                format_args!(
                    "{} presented a key that is not pinned, and there is no terminal to ask you on: refused\n\
                     {pin}, or --trust tofu",
                    introduction.peer
                ),
            );
        }
        let (person, sender) = (self.person.clone(), self.sender());
        self.judging = Some(introduction.clone());
        self.ask(About::Key, async move {
            let key = introduction.fingerprint;
            let answer = person.verdict(&introduction).await;
            let judged = match answer {
                Some(Answer::Accept) => sender.judge(key, Verdict::Accept).await,
                Some(Answer::Refuse) | None => sender.judge(key, Verdict::Refuse).await,
                Some(Answer::Verify) => Ok(()),
            };
            Answered::Judged(answer, judged)
        });
    }

    fn ask(&mut self, about: About, question: impl Future<Output = Answered> + Send + 'static) {
        self.question = Some((about, Box::pin(question)));
    }

    fn on_answer(&mut self, answered: Answered) {
        match answered {
            Answered::Judged(answer, judged) => {
                if let Err(error) = judged {
                    self.say.failure(&Failure::from(error));
                    return;
                }
                match answer {
                    // The key still awaits a verdict.
                    Some(Answer::Verify) => return self.verify(true),
                    Some(Answer::Accept) if self.wanted.is_some() => self.verify(false),
                    Some(Answer::Accept | Answer::Refuse) | None => {}
                }
                self.judging = None;
            }
            Answered::Verification(Ok(())) => {}
            Answered::Verification(Err(error)) => self.say.warn(
                "not_verified",
                &[],
                format_args!("{}: {error}", self.tunnel.peer()),
            ),
        }
    }

    /// Starts to verify the peer by words, at the user's request.
    pub(crate) fn verify_by_words(&mut self) {
        self.verify(true);
    }

    /// Joins the verification that the peer requested, or starts one. `agreed`: the user has already agreed to compare words.
    fn verify(&mut self, agreed: bool) {
        let wanted = self.wanted.take();
        let (person, sender) = (self.person.clone(), self.sender());
        if wanted.is_none() {
            let peer = sender.peer();
            let text = format_args!("waiting for {peer} to compare words too");
            self.say
                .event("asking", &[("peer", peer.as_str().into())], text);
        }
        self.ask(About::Verification, async move {
            let result = match wanted {
                None => {
                    let begun = sender.verify(xtls_client::session::Compare::Words).await;
                    begun.map(drop)
                }
                Some((run, method)) => {
                    let compare = if agreed && method == Method::Words {
                        Some(xtls_client::session::Compare::Words)
                    } else {
                        person.wanted(sender.peer(), method).await
                    };
                    match compare {
                        Some(compare) => sender.verify_join(run, compare).await,
                        None => sender.verify_cancel(run, Reason::Declined).await,
                    }
                }
            };
            Answered::Verification(result)
        });
    }

    fn on_verify(&mut self, event: &Verify) -> Option<Seen> {
        let peer = self.tunnel.peer().clone();
        let of_peer = ("peer", Value::from(peer.as_str()));
        match event {
            Verify::Asked { run, method } => {
                self.tried = true;
                let fields = [of_peer, ("method", Value::from(method.name()))];
                let text = format_args!("{peer} asks to compare {}", verify::noun(*method));
                self.say.event("verification_asked", &fields, text);
                self.wanted = Some((*run, *method));
                if !self.person.is_there() {
                    // Declining now does not count as an attempt.
                    self.say.warn(
                        "nobody_to_ask",
                        &[],
                        "declined, because there is no terminal to ask you on",
                    );
                }
                if self.question.is_none() {
                    self.verify(false);
                }
            }
            Verify::Due { .. } => {}
            Verify::Compare { run, words: shown } => {
                verify::say_compare(&peer, *shown, self.say);
                let (run, shown) = (*run, *shown);
                let (person, sender) = (self.person.clone(), self.sender());
                self.ask(About::Verification, async move {
                    let result = match person.same(&peer, shown).await {
                        Some(Compared::Same) => sender.verify_agree(run).await,
                        Some(Compared::Different) => {
                            sender.verify_cancel(run, Reason::Mismatch).await
                        }
                        None => sender.verify_cancel(run, Reason::Declined).await,
                    };
                    Answered::Verification(result)
                });
            }
            Verify::Done { method, key, .. } => {
                self.verified = true;
                "their key is verified".clone_into(&mut self.standing);
                // Only one that is in use already has a place on the screen.
                self.certainty = self.certainty.map(|_| VERIFIED);
                // The verification has pinned it.
                self.judging = None;
                self.question = None;
                verify::say_verified(&peer, *method, &key.hex(), self.say);
            }
            Verify::Failed { why, .. } => {
                self.wanted = None;
                if matches!(self.question, Some((About::Verification, _))) {
                    self.question = None;
                }
                let failure = verify::failure(&peer, why, None, &self.suggest);
                let fields = [of_peer, ("why", Value::from(why.to_string()))];
                if why.is_mismatch() {
                    self.say.data("verification_failed", &fields);
                    return Some(Seen::Mismatch(failure));
                }
                self.say.warn("verification_failed", &fields, &failure.what);
                // The key still awaits a verdict, so ask again.
                if self.question.is_none()
                    && let Some(introduction) = self.judging.take()
                {
                    self.judge(introduction);
                }
            }
        }
        None
    }

    fn established(&mut self, peer: &Peer) {
        let address = &peer.address;
        let key = &peer.key.fingerprint;
        let (standing, level, certainty) = match peer.key.standing {
            _ if self.verified => ("their key is verified now".to_owned(), "verified", VERIFIED),
            Standing::Pinned(Level::Verified(_)) => {
                ("their key is verified".to_owned(), "verified", VERIFIED)
            }
            Standing::Pinned(_) => (
                "their key is the same as before, not yet verified".to_owned(),
                "pinned",
                NOT_VERIFIED,
            ),
            Standing::Doubted(_) => (
                "their key is in doubt, because a code did not match".to_owned(),
                "doubted",
                "in doubt",
            ),
            Standing::New => (
                format!(
                    "first contact: key pinned, not yet verified ({})",
                    self.suggest.line(&["verify"], &[address.bare()])
                ),
                "unverified",
                NOT_VERIFIED,
            ),
        };
        let fields = [
            ("peer", Value::from(address.as_str())),
            ("fingerprint", Value::from(key.hex())),
            ("standing", Value::from(level)),
            ("bound", Value::from(peer.bound)),
        ];
        let [first, second] = words::rows(key);
        self.say.event(
            "established",
            &fields,
            format_args!("secure with {address}\n{first}\n{second}\n{standing}"),
        );
        tokio::spawn(paths::report(
            self.tunnel.paths(),
            address.clone(),
            self.say,
        ));
        self.standing = format!("{standing}\n{first}\n{second}");
        self.certainty = Some(certainty);
        if !peer.bound {
            self.say.warn(
                "unbound",
                &[],
                "the peer supports only the letter of 2008: the session is not bound to resources",
            );
        }
    }
}

const VERIFIED: &str = "verified";

const NOT_VERIFIED: &str = "not verified";
