//! A tunnel with a person beside it: the questions that its key and its verifications raise are asked, answered and
//! withdrawn here, so that the verbs see a conversation and nothing else.

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;
use xtls_client::router::{Closed, Rival, TunnelId, What};
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
use crate::words;

/// What a verb sees of a tunnel.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Stanzas may be sent; the peer has not accepted us yet.
    Ready,
    /// Both ends have accepted each other.
    Established,
    /// A stanza of the peer.
    Stanza(Stanza),
    /// A stanza of the peer was dropped, because it had no authority to send it.
    Refused(Violation),
    /// A request of ours gets no answer any more.
    Unanswered(Stanza),
    /// The peer has said everything. Asking for what comes next says that all of it was taken.
    PeerFinished,
    /// What was compared is not the same: the tunnel ends for this.
    Mismatch(Failure),
    /// The end.
    Closed(Closed),
}

/// A tunnel whose questions are taken care of.
pub(crate) struct Attended {
    tunnel: Tunnel,
    person: Person,
    say: Say,
    suggest: Suggest,
    /// The question that stands or waits, and what is done with its answer.
    question: Option<(About, Question)>,
    /// The key that is not judged yet.
    judging: Option<Introduction>,
    /// A verification that the peer has asked for while something else was being asked.
    wanted: Option<(Run, Method)>,
    /// The peer has asked for a verification.
    tried: bool,
    /// Stanzas have come.
    talked: bool,
    verified: bool,
    /// What is known of the peer.
    standing: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Key,
    Verification,
}

type Question = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// What has come of a question.
#[derive(Debug)]
enum Answered {
    Judged(Option<Answer>, Result<(), JudgeError>),
    /// A verification was begun, joined or declined, or words were compared; why it had no effect.
    Verification(Result<(), xtls_client::session::VerifyError>),
}

impl Attended {
    pub(crate) fn new(tunnel: Tunnel, person: Person, say: Say, suggest: Suggest) -> Self {
        Self {
            tunnel,
            person,
            say,
            suggest,
            question: None,
            judging: None,
            wanted: None,
            tried: false,
            talked: false,
            verified: false,
            standing: "a peer that has not proven its key yet".to_owned(),
        }
    }

    /// Who is at the other end, and how sure that is.
    pub(crate) fn standing(&self) -> String {
        format!("{}: {}", self.tunnel.peer(), self.standing)
    }

    pub(crate) fn id(&self) -> TunnelId {
        self.tunnel.id()
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

    /// What happens next; `None` after the end. Cancel-safe.
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

    fn on(&mut self, what: What) -> Option<Seen> {
        match what {
            What::Judge(introduction) => self.judge(introduction),
            What::NotPinned(why) => self.say.warn("not_pinned", &[], why),
            What::NotVerified(why) => self.say.warn("not_verified", &[], why),
            What::Verify(event) => return self.on_verify(&event),
            What::Ready => return Some(Seen::Ready),
            What::Established(peer) => {
                self.established(&peer);
                return Some(Seen::Established);
            }
            What::Stanza(stanza) => {
                self.talked = true;
                return Some(Seen::Stanza(stanza));
            }
            What::Refused(violation) => return Some(Seen::Refused(violation)),
            What::Rival(rival) => self.rival(&rival),
            What::Unanswered(request) => return Some(Seen::Unanswered(request)),
            What::PeerFinished => return Some(Seen::PeerFinished),
            What::Closed(closed) => {
                // What was asked about is no more.
                self.question = None;
                return Some(Seen::Closed(closed));
            }
            What::Incoming(_) | What::Asked(_) | What::Renewed(_) | What::Writable | _ => {}
        }
        None
    }

    /// Somebody else calls in the peer's name: another device of theirs, or an attack.
    fn rival(&self, rival: &Rival) {
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
                    // The key waits for its verdict.
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

    /// Begins to verify the peer by words, because the person wants it.
    pub(crate) fn verify_by_words(&mut self) {
        self.verify(true);
    }

    /// Takes part in the verification that the peer has asked for, or begins one. `agreed`: the person wants to, by words.
    fn verify(&mut self, agreed: bool) {
        let wanted = self.wanted.take();
        let (person, sender) = (self.person.clone(), self.sender());
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
                    // Declined before it is counted as an attempt.
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
                // It is pinned with that.
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
                // The key still waits for a verdict.
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
        let (standing, level) = match peer.key.standing {
            _ if self.verified => ("their key is verified now".to_owned(), "verified"),
            Standing::Pinned(Level::Verified(_)) => {
                ("their key is verified".to_owned(), "verified")
            }
            Standing::Pinned(_) => (
                "their key is the same as before, not yet verified".to_owned(),
                "pinned",
            ),
            Standing::Doubted(_) => (
                "their key is in doubt, because a code did not match".to_owned(),
                "doubted",
            ),
            Standing::New => (
                format!(
                    "first contact: key pinned, not yet verified ({})",
                    self.suggest.line(&["verify"], &[address.bare()])
                ),
                "unverified",
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
        self.standing = format!("{standing}\n{first}\n{second}");
        if !peer.bound {
            self.say.warn(
                "unbound",
                &[],
                "the peer supports only the letter of 2008: the session is not bound to resources",
            );
        }
    }
}
