//! A text that is part of every plaintext and must never be seen outside.

use memchr::memmem::Finder;
use xtls_stanza::base64;

use crate::dice::Dice;

/// 16 random bytes as text, and the patterns that find them in raw data and in base64 of any alignment.
#[derive(Debug)]
pub struct Canary {
    /// The text in every body.
    pub song: String,
    finders: Vec<Finder<'static>>,
}

impl Canary {
    /// The canary of a run.
    pub fn new(dice: &mut Dice) -> Self {
        let song = format!("{:016x}{:016x}", dice.any(), dice.any());
        let mut finders = vec![Finder::new(song.as_bytes()).into_owned()];
        for shift in 0..3 {
            let mut text = vec![b' '; shift];
            text.extend_from_slice(song.as_bytes());
            let mut encoded = Vec::new();
            base64::encode(&text, &mut encoded);
            // Neighbouring bytes contribute to the first and the last group.
            let inner = &encoded[4..encoded.len() - 4];
            finders.push(Finder::new(inner).into_owned());
        }
        Self { song, finders }
    }

    /// Whether data that a server sees contains the canary.
    pub fn sings(&self, wire: &[u8]) -> bool {
        self.finders
            .iter()
            .any(|finder| finder.find(wire).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_heard_in_any_alignment() {
        let canary = Canary::new(&mut Dice::new(7, 0));
        for before in 0..7 {
            let plain = format!("{}{}tail", "x".repeat(before), canary.song);
            assert!(canary.sings(plain.as_bytes()));
            let mut encoded = Vec::new();
            base64::encode(plain.as_bytes(), &mut encoded);
            assert!(canary.sings(&encoded), "{before}");
        }
        assert!(!canary.sings(&[b'a'; 300]));
    }
}
