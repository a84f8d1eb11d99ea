//! New inputs from old ones, for use without coverage feedback.

use super::random::Random;

/// Generates inputs: the same for the same seed and the same corpus.
pub(super) struct Mutator<'a> {
    random: Random,
    corpus: &'a [Vec<u8>],
    words: Vec<Vec<u8>>,
    /// The most bytes of an input.
    max_len: usize,
}

impl<'a> Mutator<'a> {
    pub(super) fn new(seed: u64, corpus: &'a [Vec<u8>], max_len: usize) -> Self {
        Self {
            random: Random::seeded(seed),
            corpus,
            words: dictionary(include_str!("../../fuzz/words.dict")),
            max_len,
        }
    }

    /// An input from the corpus with a few changes, or a sequence of words, which often looks more like a document than
    /// noise does.
    pub(super) fn input(&mut self) -> Vec<u8> {
        let mut input = match self.random.below(4) {
            0 => self.row(),
            _ if self.corpus.is_empty() => self.row(),
            _ => self.corpus[self.random.below(self.corpus.len())].clone(),
        };
        for _ in 0..=self.random.below(4) {
            self.change(&mut input);
        }
        input.truncate(self.max_len);
        input
    }

    fn row(&mut self) -> Vec<u8> {
        let count = self.random.below(10);
        (0..count).flat_map(|_| self.word()).collect()
    }

    fn word(&mut self) -> Vec<u8> {
        self.words[self.random.below(self.words.len())].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.random.below(input.len() + 1);
        let rest = input.len() - at;
        let some = self.random.below(rest.min(16) + 1);
        match self.random.below(8) {
            0 => input.insert(at, self.random.byte()),
            1 if rest > 0 => input[at] = self.random.byte(),
            2 if rest > 0 => input[at] ^= 1 << self.random.below(8),
            3 => drop(input.drain(at..at + some)),
            4 => {
                let piece = input[at..at + some].to_vec();
                let to = self.random.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            5 => {
                let word = self.word();
                input.splice(at..at + some.min(word.len()), word);
            }
            6 if !self.corpus.is_empty() => {
                let other = &self.corpus[self.random.below(self.corpus.len())];
                let from = self.random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let word = self.word();
                input.splice(at..at, word);
            }
        }
    }
}

/// The words of a libFuzzer dictionary: a line is a comment or `"…"`, in which `\"`, `\\` and `\xAB` are escapes.
fn dictionary(text: &str) -> Vec<Vec<u8>> {
    let lines = text.lines().map(str::trim);
    let quoted = lines.filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    quoted.map(|word| unescape(word.as_bytes())).collect()
}

fn unescape(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = word;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'\\', [b'x', high, low, after @ ..]) => {
                let digit = |d: &u8| char::from(*d).to_digit(16).expect("a hex digit");
                out.push((digit(high) << 4 | digit(low)).to_le_bytes()[0]);
                rest = after;
            }
            (b'\\', [escaped, after @ ..]) => {
                out.push(*escaped);
                rest = after;
            }
            (&byte, _) => out.push(byte),
        }
    }
    out
}
