//! Keys that were presented for addresses without a pin: two of them for one address say that somebody is in between.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use xtls_tls::Fingerprint;

/// How long a key is remembered that was presented for an address without a pin: as long as a person may take to judge it.
const MEMORY: Duration = Duration::from_secs(300);

/// How many such addresses are remembered at once; beyond that the oldest is forgotten. More than a router lets open in
/// that time by default.
const MAX_CONTACTS: usize = 2_048;

/// The first contacts of a router, by bare address.
#[derive(Debug, Default)]
pub(super) struct Contacts(BTreeMap<String, Contact>);

#[derive(Debug, Clone, Copy)]
struct Contact {
    first: Fingerprint,
    second: Option<Fingerprint>,
    until: Instant,
}

impl Contacts {
    /// A key was presented. Gives the two that cannot both be right, if there are two. `pending`: another key of this
    /// address still waits for its verdict, however long ago it came.
    pub(super) fn presented(
        &mut self,
        now: Instant,
        bare: &str,
        key: Fingerprint,
        pending: bool,
    ) -> Option<(Fingerprint, Fingerprint)> {
        let until = now.checked_add(MEMORY).unwrap_or(now);
        let known = self.0.get_mut(bare);
        if let Some(contact) = known.filter(|contact| pending || contact.until > now) {
            if contact.second.is_none() {
                contact.second = (contact.first != key).then_some(key);
                contact.until = until;
            }
            return contact.second.map(|second| (contact.first, second));
        }
        self.0.retain(|_, contact| contact.until > now);
        if self.0.len() >= MAX_CONTACTS {
            let oldest = self.0.iter().min_by_key(|(_, contact)| contact.until);
            if let Some(bare) = oldest.map(|(bare, _)| bare.clone()) {
                self.0.remove(&bare);
            }
        }
        let contact = Contact {
            first: key,
            second: None,
            until,
        };
        self.0.insert(bare.to_owned(), contact);
        None
    }

    /// The address has a pin, so there is no first contact with it any more.
    pub(super) fn settled(&mut self, bare: &str) {
        self.0.remove(bare);
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any moment will do")]
mod tests {
    use super::*;

    fn key(number: usize) -> Fingerprint {
        Fingerprint::of_spki(&number.to_be_bytes())
    }

    #[test]
    fn a_second_key_is_noticed_for_300_seconds_and_both_are_refused_as_long() {
        let start = Instant::now();
        let mut contacts = Contacts::default();
        let mut presented = |after: u64, number| {
            contacts.presented(
                start + Duration::from_secs(after),
                "r@m",
                key(number),
                false,
            )
        };
        assert_eq!(presented(0, 1), None);
        assert_eq!(presented(299, 1), None);
        let two = Some((key(1), key(2)));
        assert_eq!(presented(598, 2), two);
        assert_eq!(presented(897, 1), two);
        assert_eq!(presented(897, 3), two);
        // What keeps on trying does not lengthen it.
        assert_eq!(presented(898, 2), None);
    }

    #[test]
    fn a_key_that_waits_longer_is_not_forgotten() {
        let start = Instant::now();
        let mut contacts = Contacts::default();
        assert_eq!(contacts.presented(start, "r@m", key(1), false), None);
        let later = start + MEMORY * 2;
        let two = Some((key(1), key(2)));
        assert_eq!(contacts.presented(later, "r@m", key(2), true), two);
    }

    #[test]
    fn each_address_has_its_own_and_a_pin_settles_it() {
        let start = Instant::now();
        let mut contacts = Contacts::default();
        assert_eq!(contacts.presented(start, "r@m", key(1), false), None);
        assert_eq!(contacts.presented(start, "j@c", key(2), false), None);
        contacts.settled("r@m");
        assert_eq!(contacts.presented(start, "r@m", key(2), false), None);
    }

    #[test]
    fn at_most_2048_are_remembered_and_the_oldest_goes_first() {
        let start = Instant::now();
        let mut contacts = Contacts::default();
        let moment = |number: usize| start + Duration::from_millis(number.try_into().unwrap());
        for number in 0..MAX_CONTACTS {
            contacts.presented(moment(number), &number.to_string(), key(1), false);
        }
        let now = moment(MAX_CONTACTS);
        assert!(
            contacts.presented(now, "0", key(2), false).is_some(),
            "the border"
        );
        contacts.presented(now, "one more", key(1), false);
        assert_eq!(contacts.0.len(), MAX_CONTACTS);
        assert_eq!(
            contacts.presented(now, "1", key(2), false),
            None,
            "one past it"
        );
    }
}
