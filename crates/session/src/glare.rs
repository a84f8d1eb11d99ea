//! Two opens that cross.

use xtls_stanza::Address;

/// What to do with a peer's open while our own to the same peer is unanswered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glare {
    /// Ours stands: answer the peer's with `<conflict/>` and go on waiting.
    Ours,
    /// The peer's stands: accept it, and expect `<conflict/>` for ours.
    Theirs,
    /// Both ends are one address: refuse.
    Same,
}

/// Resolves crossing opens: the smaller full JID wins, compared octet by octet (`i;octet`, RFC 4790 §9.3; the rule of
/// inbox/xtls 0.0.3). Both ends come to the same answer without a further message.
#[must_use]
pub fn glare(own: &Address, peer: &Address) -> Glare {
    match own.as_str().as_bytes().cmp(peer.as_str().as_bytes()) {
        std::cmp::Ordering::Less => Glare::Ours,
        std::cmp::Ordering::Greater => Glare::Theirs,
        std::cmp::Ordering::Equal => Glare::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_address_wins_on_both_ends() {
        let a = Address::new("a@example.org/z").unwrap();
        let b = Address::new("b@example.org/a").unwrap();
        assert_eq!(glare(&a, &b), Glare::Ours);
        assert_eq!(glare(&b, &a), Glare::Theirs);
    }

    #[test]
    fn octets_are_compared_and_not_characters_of_some_locale() {
        // U+00FF is two octets from 0xC3; U+FFxx from 0xEF; upper case resources sort before lower case ones.
        let upper = Address::new("a@example.org/Z").unwrap();
        let lower = Address::new("a@example.org/a").unwrap();
        assert_eq!(glare(&upper, &lower), Glare::Ours);
    }

    #[test]
    fn an_open_to_oneself_is_neither() {
        let a = Address::new("a@example.org/z").unwrap();
        assert_eq!(glare(&a, &a), Glare::Same);
    }
}
