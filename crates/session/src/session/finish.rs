//! How each end ends: what it asks for first, what it answers, and when it says close_notify.
//!
//! close_notify takes an end's voice, so an end that finished early could not say what became of what it read later. In a
//! session of stanzas an end therefore says `<finish/>` first, which the other end answers once its application has taken
//! everything before it. Only when both have been answered does close_notify follow. Everything outside of TLS could be
//! forged, and says nothing.

use std::time::Instant;

use tracing::debug;
use xtls_stanza::{Kind, Stanza, finish};

use super::probe::PROBE;
use super::{Deadline, Direction, Phase, Session};
use crate::event::{By, Event, Receipt, SendError, Why};
use crate::{Mode, routing};

/// What has been asked and answered.
#[derive(Debug, Default)]
pub(super) struct Finish {
    /// What the peer has said to ours.
    answer: Option<Answer>,
    /// When the answer of a peer that may know nothing of it is not waited for any more.
    answer_by: Option<Instant>,
    /// The id of the peer's, until it is answered.
    asked: Option<Box<str>>,
    /// The sid of the stream on which the conversation began, if that was not this one.
    since: Option<Box<str>>,
    /// Everything had been taken when this session went on with it.
    taken_before: bool,
}

/// What a session leaves to the one that goes on with its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The sid of the stream on which the conversation began.
    since: Box<str>,
    /// Stanzas that were sent and not confirmed.
    unconfirmed: u64,
    /// The peer has said that everything was taken.
    taken: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// An error: it has read this far, and knows nothing of `<finish/>`.
    Read,
    /// It has taken what this session brought, and has not seen how the conversation began.
    Partly,
    Taken,
}

impl Session {
    /// Says that we have nothing more to say, after all that was sent; the peer's direction stays open without a limit.
    ///
    /// With stanzas, the peer is asked to say when its application has taken everything ([`Receipt::Taken`]), and
    /// close_notify follows when it has, and when the peer has finished as well. A peer without our ALPN is given the time of
    /// [`Config::close`](crate::Config::close) to answer. With bytes, it is close_notify at once.
    pub fn finish(&mut self, now: Instant) {
        match self.phase {
            Phase::Handshaking { .. } | Phase::Judging { .. } => self.end(By::Us, Why::Aborted),
            Phase::Open { .. } if self.writing == Direction::Open => {
                let bytes = self.binding.service.mode() == Mode::Bytes;
                if bytes || self.reading == Direction::Ended {
                    return self.part(now);
                }
                self.now = now;
                self.verification_ends();
                self.put(&finish::request(FINISH), true);
                self.writing = Direction::Finished;
                if !self.is_bound() {
                    self.finish.answer_by = now.checked_add(self.config.close);
                }
                self.advance(now);
            }
            Phase::Open { .. } | Phase::Ending(_) | Phase::Closed => {}
        }
    }

    /// Ends our direction at once: close_notify after all that was sent, and no question what became of it. For a session
    /// that another one replaces, and for an owner that does not want to know.
    pub fn part(&mut self, now: Instant) {
        match self.phase {
            Phase::Handshaking { .. } | Phase::Judging { .. } => self.end(By::Us, Why::Aborted),
            Phase::Open { .. } if self.writing != Direction::Ended => {
                self.now = now;
                self.verification_ends();
                self.shut();
                self.advance(now);
            }
            Phase::Open { .. } | Phase::Ending(_) | Phase::Closed => {}
        }
    }

    /// As [`finish`](Self::finish), in a hurry: the answer, and the peer's own `<finish/>`, are waited for no longer than the
    /// configured time, and its close_notify no longer than that once more. What has come by then is still handed out; in
    /// byte mode, what was not read by then is dropped.
    pub fn close(&mut self, now: Instant) {
        self.finish(now);
        self.hurry(now);
    }

    /// As [`part`](Self::part), in a hurry: the peer has the configured time to end its own direction.
    pub fn leave(&mut self, now: Instant) {
        self.part(now);
        self.hurry(now);
    }

    /// The application has taken everything that came before [`Event::PeerFinished`]: the peer may know. Ignored at any other
    /// time.
    pub fn took(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Open { .. }) {
            return;
        }
        self.now = now;
        if let Some(id) = self.finish.asked.take() {
            self.put(&finish::answer(&id, self.finish.since.as_deref()), true);
            self.shut_if_done();
            self.advance(now);
        }
    }

    /// Whether the peer's close_notify has come, and everything before it was handed out.
    #[must_use]
    pub fn peer_closed(&self) -> bool {
        self.reading == Direction::Ended
    }

    /// What was sent by this session belongs to another conversation: says how many stanzas stayed unconfirmed, and forgets
    /// them.
    pub fn disown(&mut self) -> u64 {
        std::mem::take(&mut self.unconfirmed)
    }

    fn hurry(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Open { .. }) && self.close_by.is_none() && !self.hasty {
            self.close_by = now.checked_add(self.config.close);
        }
    }

    /// A time of [`close`](Self::close) is over.
    pub(super) fn close_now(&mut self, now: Instant) {
        self.close_by = None;
        if self.writing == Direction::Finished {
            // No answer in time. The peer is told that nothing follows, and has as long again for the same.
            self.shut();
            self.hurry(now);
            return self.advance(now);
        }
        self.hasty = true;
        let unread = self.binding.service.mode() == Mode::Bytes && !self.plain.is_empty();
        if unread {
            let (by, why) = self.take_last().unwrap_or((By::Us, Why::CloseTimeout));
            self.end(by, why);
        } else if self.last.is_none() && self.tls.peer_closed() && self.is_flushed() {
            // The owner has not asked yet: what it will find is an end in order.
            return;
        } else {
            self.end_after_reading(By::Us, Why::CloseTimeout);
        }
        self.gone = true;
    }

    pub(super) fn finish_deadline(&self) -> Option<Deadline> {
        let waits = self.writing == Direction::Finished && self.finish.answer.is_none();
        let at = self.finish.answer_by.filter(|_| waits)?;
        Some(Deadline { at, why: "finish" })
    }

    /// Says close_notify, after which nothing can be said.
    pub(super) fn shut(&mut self) {
        self.tls.close();
        self.writing = Direction::Ended;
        self.first.get_or_insert(By::Us);
    }

    fn shut_if_done(&mut self) {
        let answered = self.writing == Direction::Finished && self.finish.answer.is_some();
        if answered && self.reading == Direction::Finished && self.finish.asked.is_none() {
            self.shut();
        }
    }

    /// The peer has nothing more to say.
    pub(super) fn on_finish(&mut self, request: &Stanza, id: Box<str>) -> Option<Event> {
        if let Err(violation) = routing::is_truthful(request, &self.binding) {
            self.end(By::Us, Why::Routing(violation));
            return None;
        }
        if self.reading != Direction::Open {
            self.end(By::Us, Why::Afterthought);
            return None;
        }
        self.verification_ends();
        self.reading = Direction::Finished;
        self.finish.asked = Some(id);
        if planted!("confirmed-untaken") {
            self.took(self.now);
        }
        // How a verification ended belongs to what came before.
        self.events.push_back(Event::PeerFinished);
        self.events.pop_front()
    }

    /// Whether this is the answer to our `<finish/>`. No application can say it, and no request of ours has its id.
    pub(super) fn is_finish_answer(&self, stanza: &Stanza) -> bool {
        self.writing != Direction::Open
            && self.finish.answer.is_none()
            && is_answer(stanza)
            && stanza.id.as_deref() == Some(FINISH)
    }

    pub(super) fn on_finish_answer(&mut self, answer: &Stanza) {
        if let Err(violation) = routing::is_truthful(answer, &self.binding) {
            return self.end(By::Us, Why::Routing(violation));
        }
        let error = answer.type_.as_deref() == Some("error");
        let whole = finish::since(answer).as_deref() == self.finish.since.as_deref()
            || self.finish.since.is_none()
            || planted!("beginning-forgotten");
        let answer = match (error, whole) {
            (true, _) => Answer::Read,
            (false, false) => Answer::Partly,
            (false, true) => Answer::Taken,
        };
        debug!(?answer, "the peer has answered our finish");
        self.finish.answer = Some(answer);
        if answer == Answer::Taken {
            self.unconfirmed = 0;
        }
        // A peer that knows nothing of it says close_notify when it has finished.
        if error && self.writing == Direction::Finished {
            self.shut();
        }
        self.shut_if_done();
    }

    /// Whether a peer says this that has nothing more to say. Answers are due all the same, and so are signs of life.
    pub(super) fn is_afterthought(&self, stanza: &Stanza) -> bool {
        self.reading == Direction::Finished && !is_answer(stanza)
    }

    pub(super) fn receipt(&self) -> Receipt {
        if self.finish.taken_before && self.unconfirmed == 0 {
            return Receipt::Taken;
        }
        match (self.finish.answer, &self.phase) {
            (Some(Answer::Taken), _) => Receipt::Taken,
            (Some(Answer::Read | Answer::Partly), _) => Receipt::Read,
            (None, Phase::Open { confirmed: true }) => Receipt::Accepted,
            (
                None,
                Phase::Handshaking { .. }
                | Phase::Judging { .. }
                | Phase::Open { confirmed: false }
                | Phase::Ending(_)
                | Phase::Closed,
            ) => Receipt::Unaccepted,
        }
    }

    /// What a session that goes on with the conversation has to know of this one, also after its end. This one forgets it.
    pub fn carried(&mut self) -> Carried {
        let began = self.finish.since.take();
        Carried {
            since: began.unwrap_or_else(|| self.binding.sid.as_str().into()),
            taken: self.receipt() == Receipt::Taken,
            unconfirmed: self.disown(),
        }
    }

    /// Goes on with a conversation that another session began.
    pub fn carry(&mut self, carried: Carried) {
        self.finish.since = Some(carried.since);
        self.finish.taken_before = carried.taken;
        self.unconfirmed = self.unconfirmed.saturating_add(carried.unconfirmed);
    }
}

/// Refuses what an application would say in a session's place.
pub(super) fn is_ours_to_say(stanza: &Stanza) -> Result<(), SendError> {
    match stanza.id.as_deref() {
        Some(id) if stanza.kind == Kind::Iq && (id == FINISH || id.starts_with(PROBE)) => {
            Err(SendError::Reserved(format!("the id {id:?}")))
        }
        Some(_) | None => Ok(()),
    }
}

fn is_answer(stanza: &Stanza) -> bool {
    stanza.kind == Kind::Iq && matches!(stanza.type_.as_deref(), Some("result" | "error"))
}

/// The id of our `<finish/>`: there is one in a session.
const FINISH: &str = "xtls-finish";
