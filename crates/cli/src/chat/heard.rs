//! Which messages of a peer were shown already: one that is sent again is shown once (XEP-0359, `<origin-id/>`).

use std::collections::VecDeque;

use xtls_client::tls::Fingerprint;

/// The last messages that were shown, by the key of their author and their origin id.
#[derive(Debug, Default)]
pub(super) struct Heard {
    messages: VecDeque<(Fingerprint, String)>,
}

impl Heard {
    /// Records a message. Returns whether it is new.
    pub(super) fn is_new(&mut self, key: Fingerprint, origin: &str) -> bool {
        let known = self
            .messages
            .iter()
            .rev()
            .any(|(by, id)| *by == key && id == origin);
        if known {
            return false;
        }
        if self.messages.len() == REMEMBERED {
            self.messages.pop_front();
        }
        self.messages.push_back((key, origin.to_owned()));
        true
    }
}

/// Messages that are remembered. A peer sends again what it has no receipt for, 200 messages at most.
const REMEMBERED: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_new_once_for_each_key() {
        let mut heard = Heard::default();
        let [hers, his] = ["hers", "his"].map(|key| Fingerprint::of_spki(key.as_bytes()));
        assert!(heard.is_new(hers, "a"));
        assert!(!heard.is_new(hers, "a"));
        assert!(heard.is_new(his, "a"));
        assert!(heard.is_new(hers, "b"));
        assert!(!heard.is_new(hers, "a"));
    }

    #[test]
    fn only_the_oldest_is_forgotten() {
        let mut heard = Heard::default();
        let key = Fingerprint::of_spki(b"hers");
        for number in 0..=REMEMBERED {
            assert!(heard.is_new(key, &number.to_string()));
        }
        assert_eq!(heard.messages.len(), REMEMBERED);
        assert!(!heard.is_new(key, "1"));
        assert!(heard.is_new(key, "0"));
    }
}
