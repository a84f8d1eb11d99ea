//! Too many at once: whom a limit turns away, and who is told of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::{Address, Bare};

/// Somebody asked for a tunnel whom the accept policy allows, and a limit turned it away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnedAway {
    /// The bare address, as the servers say.
    pub peer: Bare,
    /// Which limit, and what the peer was told last.
    pub busy: Busy,
    /// How often since it was told of before.
    pub times: u64,
}

/// Those who were turned away, few and seldom: whoever asks a thousand times is told of twice, with the number.
#[derive(Debug, Default)]
pub(super) struct Crowd(BTreeMap<(Bare, Limit), Turned>);

#[derive(Debug)]
struct Turned {
    busy: Busy,
    /// Not told yet.
    times: u64,
    /// When it was told last.
    told: Option<Instant>,
    due: bool,
}

impl Crowd {
    pub(super) fn note(&mut self, now: Instant, from: &Address, busy: Busy) {
        let key = (from.to_bare(), busy.limit);
        if !self.0.contains_key(&key) && self.0.len() >= TURNED_AWAY {
            // Whoever was told of longest ago makes room; if all are news, there is enough of it.
            let told = self.0.iter().filter(|(_, turned)| !turned.due);
            let oldest = told.min_by_key(|(_, turned)| turned.told);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            self.0.remove(&oldest);
        }
        let turned = self.0.entry(key).or_insert(Turned {
            busy,
            times: 0,
            told: None,
            due: false,
        });
        turned.busy = busy;
        turned.times = turned.times.saturating_add(1);
        turned.due |= turned.told.is_none_or(|told| told + QUIET <= now);
    }

    /// Whom the owner is to be told of now.
    pub(super) fn poll(&mut self, now: Instant) -> Option<TurnedAway> {
        let mut all = self.0.iter_mut();
        let ((peer, _), turned) = all.find(|(_, turned)| turned.due)?;
        turned.due = false;
        turned.told = Some(now);
        Some(TurnedAway {
            peer: peer.clone(),
            busy: turned.busy,
            times: std::mem::take(&mut turned.times),
        })
    }
}

/// Addresses and limits of which the owner is told.
pub const TURNED_AWAY: usize = 16;

/// How long nothing more is told of the same.
const QUIET: Duration = Duration::from_secs(60);

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    fn often() -> Busy {
        Busy {
            limit: Limit::OpensPerMinute,
            most: 6,
            wait: 37,
        }
    }

    fn address(number: usize) -> Address {
        Address::new(&format!("a{number}@west.example/one")).unwrap()
    }

    #[test]
    fn the_same_is_told_once_a_minute_with_its_number() {
        let (mut crowd, start) = (Crowd::default(), Instant::now());
        for _ in 0..1000 {
            crowd.note(start, &address(1), often());
        }
        let told = crowd.poll(start).unwrap();
        assert_eq!((told.peer, told.times), (address(1).to_bare(), 1000));
        let later = start + QUIET - Duration::from_millis(1);
        crowd.note(later, &address(1), often());
        assert_eq!(crowd.poll(later), None);
        let later = start + QUIET;
        crowd.note(later, &address(1), often());
        assert_eq!(crowd.poll(later).map(|told| told.times), Some(2));
        assert_eq!(crowd.poll(later), None);
    }

    #[test]
    fn sixteen_are_remembered_and_news_is_not_pushed_out_by_news() {
        let (mut crowd, now) = (Crowd::default(), Instant::now());
        for number in 0..100 {
            crowd.note(now, &address(number), often());
        }
        let told: Vec<_> = std::iter::from_fn(|| crowd.poll(now)).collect();
        assert_eq!(told.len(), TURNED_AWAY);
        assert!(told.iter().all(|told| told.times == 1));
        crowd.note(now, &address(200), often());
        assert_eq!(crowd.0.len(), TURNED_AWAY);
        assert_eq!(
            crowd.poll(now).map(|told| told.peer),
            Some(address(200).to_bare())
        );
    }
}
