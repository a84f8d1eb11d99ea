//! How often each address asks for a stream.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::{Address, Bare};

const MINUTE: Duration = Duration::from_secs(60);

/// How many opens a minute reach the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opens {
    /// Of one bare address.
    pub one: usize,
    /// Of one bare address whose key the owner knows.
    pub known: usize,
    /// Of all peers together.
    pub all: usize,
}

/// The opens of the last minute that reached the owner; as many as [`Opens::all`] allows.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    /// By bare address.
    of: BTreeMap<Bare, VecDeque<Visit>>,
    all: VecDeque<(Instant, Bare)>,
}

#[derive(Clone, Debug)]
struct Visit {
    at: Instant,
    from: Address,
    request: String,
}

impl Rate {
    /// Whether this very request came before. A peer that resumes its link sends some stanzas again (XEP-0198), and an open
    /// that was refused or closed meanwhile must not begin anew.
    #[must_use]
    pub fn is_repeated(&self, from: &Address, request: &str) -> bool {
        let mut visits = self.of.get(&from.to_bare()).into_iter().flatten();
        visits.any(|visit| visit.from == *from && visit.request == request)
    }

    /// The limit that one more open would break, and for how long. `known` says whether the owner knows the address's key.
    pub fn objection(
        &mut self,
        now: Instant,
        opens: Opens,
        from: &Address,
        known: bool,
    ) -> Option<Busy> {
        self.expire(now);
        let visits = self.of.get(&from.to_bare());
        let (limit, most) = match known {
            true => (Limit::OpensPerMinuteKnown, opens.known),
            false => (Limit::OpensPerMinute, opens.one),
        };
        let of_peer = visits.map_or(0, VecDeque::len);
        if of_peer >= most {
            // As many have to grow old as leave room for one.
            let old = visits.and_then(|visits| visits.get(of_peer.saturating_sub(most)));
            let wait = seconds(old.map(|visit| visit.at), now);
            return Some(busy(limit, most, wait));
        }
        if self.all.len() >= opens.all {
            let old = self.all.get(self.all.len().saturating_sub(opens.all));
            let wait = seconds(old.map(|(at, _)| *at), now);
            return Some(busy(Limit::OpensPerMinuteInAll, opens.all, wait));
        }
        None
    }

    /// Counts an open that reaches the owner.
    pub fn enter(&mut self, now: Instant, from: &Address, request: &str) {
        let bare = from.to_bare();
        self.all.push_back((now, bare.clone()));
        self.of.entry(bare).or_default().push_back(Visit {
            at: now,
            from: from.clone(),
            request: request.to_owned(),
        });
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, _)) = self.all.front()
            && *at + MINUTE <= now
            && let Some((_, bare)) = self.all.pop_front()
        {
            if let Some(visits) = self.of.get_mut(&bare) {
                visits.pop_front();
                if visits.is_empty() {
                    self.of.remove(&bare);
                }
            }
        }
    }
}

/// Whole seconds until a visit is a minute old, at least one.
fn seconds(visit: Option<Instant>, now: Instant) -> u32 {
    let left = visit.map_or(MINUTE, |at| (at + MINUTE).saturating_duration_since(now));
    let whole = left.as_millis().div_ceil(1000).max(1);
    u32::try_from(whole).unwrap_or(u32::MAX)
}

/// What a peer that has met a limit is sent.
pub(crate) fn busy(limit: Limit, most: usize, wait: u32) -> Busy {
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    Busy { limit, most, wait }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment may be the first")]
mod tests {
    use super::*;

    const OPENS: Opens = Opens {
        one: 3,
        known: 5,
        all: 8,
    };

    fn address(text: &str) -> Address {
        Address::new(text).unwrap()
    }

    /// Lets the address in as often as it may come; how often that was, and what stopped it.
    fn fill(rate: &mut Rate, now: Instant, from: &str, known: bool) -> (usize, Busy) {
        for count in 0.. {
            match rate.objection(now, OPENS, &address(from), known) {
                None => rate.enter(now, &address(from), "r"),
                Some(busy) => return (count, busy),
            }
        }
        unreachable!()
    }

    #[test]
    fn a_stranger_a_known_peer_and_all_together_have_a_limit_each() {
        let (mut rate, now) = (Rate::default(), Instant::now());
        let (count, busy) = fill(&mut rate, now, "a@x.example/1", false);
        assert_eq!(
            (count, busy.limit, busy.most),
            (3, Limit::OpensPerMinute, 3)
        );
        // Another resource is the same address.
        assert_eq!(fill(&mut rate, now, "a@x.example/2", false).0, 0);
        // Being known, it may go on.
        let (count, busy) = fill(&mut rate, now, "a@x.example/1", true);
        assert_eq!(
            (count, busy.limit, busy.most),
            (2, Limit::OpensPerMinuteKnown, 5)
        );
        let (count, busy) = fill(&mut rate, now, "b@x.example/1", true);
        assert_eq!(
            (count, busy.limit, busy.most),
            (3, Limit::OpensPerMinuteInAll, 8)
        );
    }

    #[test]
    fn the_wait_is_until_there_is_room_and_not_a_second_longer() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let from = address("a@x.example/1");
        for second in [0, 10, 20] {
            rate.enter(start + Duration::from_secs(second), &from, "r");
        }
        let wait = |rate: &mut Rate, millis| {
            let now = start + Duration::from_millis(millis);
            rate.objection(now, OPENS, &from, false)
                .map(|busy| busy.wait)
        };
        assert_eq!(wait(&mut rate, 23_000), Some(37));
        assert_eq!(wait(&mut rate, 23_001), Some(37));
        assert_eq!(wait(&mut rate, 59_999), Some(1));
        assert_eq!(wait(&mut rate, 60_000), None);
        // More than a stranger may: enough have to grow old.
        rate.enter(start + Duration::from_secs(60), &from, "r");
        rate.enter(start + Duration::from_secs(60), &from, "r");
        assert_eq!(wait(&mut rate, 60_000), Some(20));
    }

    #[test]
    fn a_request_is_recognised_for_a_minute_and_by_all_it_has() {
        let (mut rate, now) = (Rate::default(), Instant::now());
        rate.enter(now, &address("a@x.example/1"), "r");
        assert!(rate.is_repeated(&address("a@x.example/1"), "r"));
        assert!(!rate.is_repeated(&address("a@x.example/2"), "r"));
        assert!(!rate.is_repeated(&address("a@x.example/1"), "s"));
        rate.objection(now + MINUTE, OPENS, &address("b@x.example/1"), false);
        assert!(!rate.is_repeated(&address("a@x.example/1"), "r"));
        assert!(rate.of.is_empty() && rate.all.is_empty());
    }
}
