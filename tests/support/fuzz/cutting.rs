//! How what is said to a stream is cut.

use super::random::Random;

/// How what is said is cut.
pub(super) enum Cutting {
    Whole,
    Single,
    Random(Random),
}

impl Cutting {
    /// Another one than whole, which depends on the input.
    pub(super) fn of(input: &[u8]) -> Self {
        let mut random = Random::of(input);
        match random.below(4) {
            0 => Self::Single,
            _ => Self::Random(random),
        }
    }

    pub(super) fn pieces<'a>(&mut self, mut said: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !said.is_empty() {
            let len = match self {
                Self::Whole => said.len(),
                Self::Single => 1,
                Self::Random(random) => random.below(said.len().min(64)) + 1,
            };
            let (piece, rest) = said.split_at(len);
            pieces.push(piece);
            said = rest;
        }
        pieces
    }
}
