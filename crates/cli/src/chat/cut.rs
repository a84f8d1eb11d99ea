//! A conversation that was cut, until its peer is back.

use std::time::Duration;

use tokio::time::Instant;
use xtls_client::router::Why;
use xtls_client::session::Why as Session;
use xtls_client::tls::Fingerprint;
use xtls_client::xmpp::Retry;
use xtls_stanza::Address;

use crate::failure::{Code, Failure};
use crate::terminal::Prompt;
use crate::undelivered::Undelivered;

/// Waits for the peer, or for the time to call it again.
#[derive(Debug)]
pub(super) struct Cut {
    peer: Address,
    /// Who it was. Nobody else gets what was meant for them.
    key: Fingerprint,
    /// What was sent and not confirmed.
    pub(super) undelivered: Undelivered,
    /// How it was cut, which counts if the peer does not come back.
    failure: Failure,
    retry: Retry,
    /// When it was cut.
    since: Instant,
    /// The wait after the next attempt.
    wait: Duration,
    /// When to call; `None` where the peer calls.
    call: Option<Instant>,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Call(Address),
    GiveUp,
}

impl Cut {
    /// Of a conversation with this peer, which we call, or which calls us. `random` cuts the first wait.
    pub(super) fn new(
        (peer, key): (Address, Fingerprint),
        undelivered: Undelivered,
        failure: Failure,
        calls: Option<u32>,
        now: Instant,
    ) -> Self {
        let retry = Retry::default();
        let mut cut = Self {
            peer,
            key,
            undelivered,
            failure,
            retry,
            since: now,
            wait: retry.first,
            call: None,
        };
        cut.again(calls, now);
        cut
    }

    /// Sets when to call, where that is up to us: `random` cuts the wait, as that for a server.
    fn again(&mut self, random: Option<u32>, now: Instant) {
        self.call = random.map(|random| now + cut(self.wait, random));
        self.wait = (self.wait * 2).min(self.retry.longest);
    }

    /// An attempt has failed, or the peer came and was cut again before it had proven its key.
    pub(super) fn missed(&mut self, random: u32, now: Instant) {
        let calls = self.call.map(|_| random);
        self.again(calls, now);
    }

    /// How long until the next call; `None` where the peer calls.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        self.call.map(|at| at.saturating_duration_since(now))
    }

    /// For how long the peer is waited for, in all.
    pub(super) fn give_up(&self) -> Duration {
        self.retry.give_up
    }

    /// What there is to do next, and when.
    pub(super) fn next(&self) -> (Instant, Due) {
        let until = self.since + self.retry.give_up;
        match self.call {
            Some(at) if at < until => (at, Due::Call(self.peer.clone())),
            Some(_) | None => (until, Due::GiveUp),
        }
    }

    /// Whether a caller claims to be this peer.
    pub(super) fn is_with(&self, peer: &Address) -> bool {
        self.peer.bare() == peer.bare()
    }

    /// Whether this is the key that the conversation was with.
    pub(super) fn is_of(&self, key: Fingerprint) -> bool {
        self.key == key
    }

    pub(super) fn peer(&self) -> &Address {
        &self.peer
    }

    /// The prompt meanwhile.
    pub(super) fn prompt(&self, conversation: u64) -> Prompt {
        Prompt {
            conversation,
            name: self.peer.bare().to_owned(),
            certainty: Some(AWAY.to_owned()),
            undelivered: self.undelivered.lines().collect(),
            transfers: Vec::new(),
            closed: Some(format!("{} is not back yet", self.peer.bare())),
        }
    }

    /// The peer has not come back, or only somebody else in its place.
    pub(super) fn into_failure(self) -> Failure {
        self.failure
    }
}

/// Whether the end of a tunnel leaves hope for another one. An attempt is allowed more than a conversation.
pub(super) fn may_come_back(why: &Why, attempt: bool) -> bool {
    match why {
        Why::Cut { session, .. } | Why::Session(session) => match session {
            Session::Truncated | Session::Silent => true,
            Session::HandshakeTimeout => attempt,
            Session::Finished
            | Session::Refused
            | Session::Untrusted(_)
            | Session::Aborted
            | Session::Tls(_)
            | Session::Framing(_)
            | Session::Xml(_)
            | Session::Routing(_)
            | Session::Afterthought
            | Session::Confirmation(_)
            | Session::Unconfirmed
            | Session::Unread
            | Session::Unfinished
            | Session::JudgingTimeout
            | Session::CloseTimeout
            | _ => false,
        },
        Why::Replaced | Why::Superseded => true,
        Why::Stream(_)
        | Why::Unavailable(_)
        | Why::Unreachable(_)
        | Why::NoAnswer
        | Why::HandshakeAborted
        | Why::Busy(_) => attempt,
        Why::Declined(_)
        | Why::Unasked
        | Why::LongFlight { .. }
        | Why::Impostor
        | Why::Second
        | Why::Setup(_)
        | _ => false,
    }
}

/// Somebody with another key has answered in the peer's place.
pub(super) fn another_key(peer: &Address) -> Failure {
    Failure::new(
        Code::Identity,
        format!(
            "{peer}: this is not the key that the conversation was with, so nothing was said to it"
        ),
    )
    .hint("it may be another device of theirs: ask them over another channel, then call again")
}

/// The conversation is over, and something was not confirmed.
pub(super) fn unconfirmed(peer: &Address) -> Failure {
    let what = format!("{peer} has not confirmed everything you sent");
    Failure::new(Code::Corrupt, what)
}

/// A wait cut at random to between half and the whole, so that not everybody calls at once.
fn cut(wait: Duration, random: u32) -> Duration {
    let half = wait / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Shown in the prompt of a conversation that was cut, until the peer has proven the same key.
pub(super) const AWAY: &str = "away";

#[cfg(test)]
mod tests {
    use xtls_client::transport::StreamEnd;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn cut_off(calls: Option<u32>, now: Instant) -> Cut {
        let peer = Address::new("juliet@capulet.example/xtls").unwrap();
        let key = Fingerprint::of_spki(b"hers");
        Cut::new(
            (peer, key),
            Undelivered::new("line-".to_owned()),
            Failure::new(Code::Corrupt, "cut"),
            calls,
            now,
        )
    }

    #[test]
    fn calls_come_at_growing_intervals_and_end_in_time() {
        let start = Instant::now();
        let mut cut = cut_off(Some(u32::MAX), start);
        let mut waits = Vec::new();
        let end = loop {
            let (at, due) = cut.next();
            let Due::Call(peer) = due else {
                break at;
            };
            assert_eq!(peer, *cut.peer());
            waits.push((at - start).as_secs());
            cut.missed(u32::MAX, at);
        };
        assert_eq!(waits[..7], [1, 3, 7, 15, 31, 61, 91]);
        assert_eq!(end, start + SECOND * 300);
    }

    #[test]
    fn who_is_called_waits_and_calls_nobody() {
        let start = Instant::now();
        let mut cut = cut_off(None, start);
        cut.missed(7, start);
        assert_eq!(cut.wait(start), None);
        assert_eq!(cut.next(), (start + SECOND * 300, Due::GiveUp));
    }

    #[test]
    fn a_wait_is_cut_to_between_half_and_the_whole() {
        assert_eq!(cut(SECOND * 8, 0), SECOND * 4);
        assert_eq!(cut(SECOND * 8, u32::MAX), SECOND * 8);
    }

    #[test]
    fn a_key_that_is_not_trusted_and_a_refusal_leave_no_hope() {
        let lost = Why::Cut {
            session: Session::Truncated,
            stream: StreamEnd::LinkLost,
        };
        assert!(may_come_back(&lost, false));
        for why in [
            Session::Refused,
            Session::Aborted,
            Session::Finished,
            Session::Unconfirmed,
        ] {
            assert!(!may_come_back(&Why::Session(why), true));
        }
        assert!(!may_come_back(&Why::Impostor, true));
        // Nobody there: at first that is the answer, later a reason to call again.
        assert!(!may_come_back(&Why::NoAnswer, false));
        assert!(may_come_back(&Why::NoAnswer, true));
    }
}
