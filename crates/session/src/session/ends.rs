//! How each direction ends: what it asks for first, what it answers, and when it sends close_notify.
//!
//! After its close_notify an end can send nothing, so an end that finished early could not confirm what it read later. In a
//! session of stanzas an end therefore sends `<finish/>` first, which the other end answers once its application has taken
//! everything before it. close_notify follows only when both have been answered. Anything outside of TLS could be forged, and
//! proves nothing.

use tracing::debug;
use xtls_stanza::{Kind, Stanza, finish};

use super::keepalive::PROBE;
use super::requests::is_answer;
use crate::event::{By, Event, Receipt, SendError, Why};

/// The id of our `<finish/>`: there is one in a session.
const FINISH: &str = "xtls-finish";

/// How far both directions have ended, and what was confirmed.
#[derive(Debug)]
pub(super) struct Ends {
    writing: Direction,
    reading: Direction,
    /// Which end sent its close_notify first.
    first: Option<By>,
    /// How the peer has answered our `<finish/>`.
    answer: Option<Answer>,
    /// The id of the peer's `<finish/>`, until it is answered.
    asked: Option<Box<str>>,
    /// The sid of the stream on which the conversation began, if that was not this one.
    since: Option<Box<str>>,
    /// What the peer had confirmed when this session continued the conversation.
    before: Receipt,
    /// What was sent and not confirmed by the peer's application.
    unconfirmed: u64,
}

/// What a session passes on to the one that continues its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The sid of the stream on which the conversation began.
    since: Box<str>,
    /// Stanzas that were sent and not confirmed.
    unconfirmed: u64,
    /// What the peer has confirmed of those before them.
    receipt: Receipt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Open,
    /// `<finish/>` has passed: nothing but answers and signs of life follows.
    Finished,
    /// close_notify has passed.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// An error: it has read this far, and knows nothing of `<finish/>`.
    Read,
    /// It has taken what this session brought, and has not seen how the conversation began.
    Partly,
    Taken,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            writing: Direction::Open,
            reading: Direction::Open,
            first: None,
            answer: None,
            asked: None,
            since: None,
            before: Receipt::Unaccepted,
            unconfirmed: 0,
        }
    }
}

impl Ends {
    /// Whether the application may write.
    pub(super) fn may_write(&self) -> bool {
        self.writing == Direction::Open
    }

    /// Whether our close_notify was sent.
    pub(super) fn is_closed(&self) -> bool {
        self.writing == Direction::Ended
    }

    /// Whether the peer has finished: only answers follow.
    pub(super) fn peer_finished(&self) -> bool {
        self.reading != Direction::Open
    }

    /// Whether the peer's close_notify has come, and everything before it was handed out.
    pub(super) fn peer_closed(&self) -> bool {
        self.reading == Direction::Ended
    }

    /// Who ended its direction first.
    pub(super) fn first(&self) -> By {
        self.first.unwrap_or(By::Us)
    }

    /// Finishes our direction: returns the request that asks the peer for a confirmation.
    pub(super) fn finish(&mut self) -> Stanza {
        self.writing = Direction::Finished;
        finish::request(FINISH)
    }

    /// Whether our `<finish/>` waits for its answer.
    pub(super) fn awaits_answer(&self) -> bool {
        self.writing == Direction::Finished && self.answer.is_none()
    }

    /// Whether our `<finish/>` was sent and our close_notify was not.
    pub(super) fn is_finishing(&self) -> bool {
        self.writing == Direction::Finished
    }

    /// Our close_notify is sent.
    pub(super) fn close(&mut self) {
        self.writing = Direction::Ended;
        self.first.get_or_insert(By::Us);
    }

    /// The peer's close_notify has arrived. What it sent before may not have been handed out.
    pub(super) fn on_close_notify(&mut self) {
        self.first.get_or_insert(By::Peer);
    }

    /// Everything before the peer's close_notify was handed out.
    pub(super) fn on_read_all(&mut self) -> Event {
        let event = match self.reading {
            Direction::Open => Event::PeerFinished,
            Direction::Finished | Direction::Ended => Event::PeerClosed,
        };
        self.reading = Direction::Ended;
        event
    }

    /// Whether both have been answered, so that close_notify is due.
    pub(super) fn is_done(&self) -> bool {
        self.writing == Direction::Finished
            && self.answer.is_some()
            && self.reading == Direction::Finished
            && self.asked.is_none()
    }

    /// The peer's `<finish/>` has come.
    ///
    /// # Errors
    /// It has sent one before.
    pub(super) fn on_finish(&mut self, id: Box<str>) -> Result<(), Why> {
        if self.reading != Direction::Open {
            return Err(Why::Afterthought);
        }
        self.reading = Direction::Finished;
        self.asked = Some(id);
        Ok(())
    }

    /// The application has taken everything: returns the answer, if one is due.
    pub(super) fn took(&mut self) -> Option<Stanza> {
        let id = self.asked.take()?;
        Some(finish::answer(&id, self.since.as_deref()))
    }

    /// Whether this is the answer to our `<finish/>`. No application can send it, and no request of ours has its id.
    pub(super) fn is_answer(&self, stanza: &Stanza) -> bool {
        self.writing != Direction::Open
            && self.answer.is_none()
            && is_answer(stanza)
            && stanza.id.as_deref() == Some(FINISH)
    }

    /// The answer has arrived; returns whether close_notify is due.
    pub(super) fn on_answer(&mut self, answer: &Stanza) -> bool {
        let error = answer.type_.as_deref() == Some("error");
        let whole =
            finish::since(answer).as_deref() == self.since.as_deref() || self.since.is_none();
        let answer = match (error, whole) {
            (true, _) => Answer::Read,
            (false, false) => Answer::Partly,
            (false, true) => Answer::Taken,
        };
        debug!(?answer, "the peer has answered our finish");
        self.answer = Some(answer);
        if answer == Answer::Taken {
            self.unconfirmed = 0;
        }
        // A peer that knows nothing of it sends close_notify when it has finished.
        (error && self.writing == Direction::Finished) || self.is_done()
    }

    /// Whether a peer that has finished sends more than it may: answers are still due, and so are signs of life.
    pub(super) fn is_afterthought(&self, stanza: &Stanza) -> bool {
        self.reading == Direction::Finished && !is_answer(stanza)
    }

    /// So much was sent that is to be confirmed.
    pub(super) fn on_sent(&mut self, count: u64) {
        self.unconfirmed = self.unconfirmed.saturating_add(count);
    }

    /// The peer is known to have all of it, or it counts elsewhere: how much was unconfirmed.
    pub(super) fn forget_unconfirmed(&mut self) -> u64 {
        std::mem::take(&mut self.unconfirmed)
    }

    pub(super) fn unconfirmed(&self) -> u64 {
        self.unconfirmed
    }

    /// The most that the peer has confirmed of what was sent to it, in a session that is `established` or not.
    pub(super) fn receipt(&self, established: bool) -> Receipt {
        if self.before == Receipt::Taken && self.unconfirmed == 0 {
            return Receipt::Taken;
        }
        match self.answer {
            Some(Answer::Taken) => Receipt::Taken,
            Some(Answer::Read | Answer::Partly) => Receipt::Read,
            None if established => Receipt::Accepted,
            None => Receipt::Unaccepted,
        }
    }

    /// What the session that continues the conversation has to know of this one, on the stream `sid`.
    pub(super) fn carried(&mut self, sid: &str, established: bool) -> Carried {
        Carried {
            since: self.since.take().unwrap_or_else(|| sid.into()),
            receipt: self.receipt(established),
            unconfirmed: self.forget_unconfirmed(),
        }
    }

    /// Continues a conversation that another session began.
    pub(super) fn carry(&mut self, carried: Carried) {
        self.since = Some(carried.since);
        self.before = carried.receipt;
        self.on_sent(carried.unconfirmed);
    }
}

/// Refuses what only a session may send.
pub(super) fn is_free_to_say(stanza: &Stanza) -> Result<(), SendError> {
    match stanza.id.as_deref() {
        Some(id) if stanza.kind == Kind::Iq && (id == FINISH || id.starts_with(PROBE)) => {
            Err(SendError::Reserved(format!("the id {id:?}")))
        }
        Some(_) | None => Ok(()),
    }
}
