//! Stanzas of all sizes from a seed, and exactly what `xtls stanzas` must write for each at the other end.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use xtls_stanza::Address;

use super::canary::Canary;

/// What one end sends.
#[derive(Debug)]
pub struct Speech {
    random: ChaCha20Rng,
    from: Address,
    to: Address,
    canary: Canary,
    number: u32,
}

/// One stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// What goes into standard input.
    pub input: String,
    /// The line that comes out at the other end.
    pub output: String,
    /// Whether the canary is in it.
    pub canary: bool,
}

impl Speech {
    /// The shortest stanza in bytes: `<message/>`.
    pub const SHORTEST: usize = 10;
    /// The longest in bytes.
    pub const LONGEST: usize = 200_000;

    /// What `from` sends to `to`, with the canary in every stanza that has room for it.
    pub fn new(seed: u64, from: &Address, to: &Address, canary: &Canary) -> Self {
        let random = ChaCha20Rng::seed_from_u64(seed);
        Self {
            random,
            from: from.clone(),
            to: to.clone(),
            canary: canary.clone(),
            number: 0,
        }
    }

    /// The next stanza, its size drawn log-uniformly up to `longest` bytes.
    pub fn next_up_to(&mut self, longest: usize) -> Said {
        let share = f64::from(self.random.next_u32()) / f64::from(u32::MAX);
        let (least, most) = (Self::SHORTEST as f64, longest as f64);
        let length = (least * (most / least).powf(share)).round();
        #[allow(
            clippy::cast_possible_truncation,
            reason = "between the two, which are of this type"
        )]
        self.of(length as usize)
    }

    /// The next stanza, with exactly this size.
    pub fn of(&mut self, length: usize) -> Said {
        self.number += 1;
        let addresses = format!(" from='{}' to='{}'", self.from, self.to);
        let ours = format!("<message xmlns='jabber:client'{addresses}");
        if length < 17 {
            let input = format!("<message{}/>", " ".repeat(length - Self::SHORTEST));
            return Said {
                input,
                output: format!("{ours}/>"),
                canary: false,
            };
        }
        if length < 200 {
            let id = "i".repeat(length - 16);
            return Said {
                input: format!("<message id='{id}'/>"),
                output: format!("{ours} id='{id}'/>"),
                canary: false,
            };
        }
        let n = self.number;
        // The head as typed, the part of it that comes out, the text's surroundings, and the stanza's name.
        let (head, rest, before, after, name) = match self.random.next_u32() % 5 {
            0 => (
                "type='chat'".to_owned(),
                format!(" id='m{n}' type='chat'"),
                "<body>",
                "</body>",
                "message",
            ),
            1 => (
                "type=\"set\"".to_owned(),
                format!(" id='m{n}' type='set'"),
                "<act xmlns='urn:example:play' scene=\"2\"><line n = '1'/>",
                "</act>",
                "iq",
            ),
            2 => (
                "type='unavailable'".to_owned(),
                format!(" id='m{n}' type='unavailable'"),
                "<status>",
                "</status>",
                "presence",
            ),
            3 => (
                "p:scene='it&apos;s \"2\"' xmlns:p='urn:example:play' xml:lang='en'".to_owned(),
                format!(
                    " id='m{n}' xml:lang='en' xmlns:p='urn:example:play' p:scene='it&apos;s \"2\"'"
                ),
                "<p:line>",
                "</p:line>",
                "message",
            ),
            _ => (
                format!(
                    "to=\"{}\" from='{}' xmlns='jabber:client'",
                    self.to,
                    self.from.bare()
                ),
                format!(" id='m{n}'"),
                "<subject>s</subject><body>",
                "</body>",
                "message",
            ),
        };
        let open = format!("<{name} id='m{n}' {head}>{before}");
        let close = format!("{after}</{name}>");
        let (typed, shown) = self.text(length - open.len() - close.len());
        let input = format!("{open}{typed}{close}");
        let output =
            format!("<{name} xmlns='jabber:client'{addresses}{rest}>{before}{shown}{close}");
        assert_eq!(input.len(), length);
        Said {
            input,
            output,
            canary: true,
        }
    }

    /// Text of exactly this many bytes, as typed and as shown.
    fn text(&mut self, length: usize) -> (String, String) {
        let (mut typed, mut shown) = (String::new(), String::new());
        // One in four stanzas has line ends; the program then shows CDATA sections as text.
        let lines = self.random.next_u32().is_multiple_of(4);
        let mut left = length;
        let mut put = |input: &str, output: &str| {
            if input.len() <= left {
                left -= input.len();
                typed.push_str(input);
                shown.push_str(output);
            }
        };
        put(self.canary.word(), self.canary.word());
        if lines {
            put("\n", "&#10;");
        }
        for _ in 0..length / 8 {
            let draw = self.random.next_u32();
            match draw % 64 {
                0 => put("é", "é"),
                1 => put("漢", "漢"),
                2 => put("😀", "😀"),
                3 => put("&lt;&amp;&#x41;&apos;", "&lt;&amp;&#x41;&apos;"),
                4 => put(
                    "<b xmlns='urn:example:b' c=\"d>\">e</b>",
                    "<b xmlns='urn:example:b' c=\"d>\">e</b>",
                ),
                5 if lines => put("<![CDATA[<i>\n&]]>", "&lt;i&gt;&#10;&amp;"),
                5 => put("<![CDATA[<i> &]]>", "<![CDATA[<i> &]]>"),
                6 if lines => put("\r\n\n", "&#10;&#10;"),
                7 if lines => put("<br\nxmlns=''\n/>", "<br xmlns='' />"),
                8 => put(self.canary.word(), self.canary.word()),
                _ => {
                    let word = format!("{draw:08x} ");
                    put(&word, &word);
                }
            }
        }
        let rest = "x".repeat(length - typed.len());
        (typed + &rest, shown + &rest)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use xtls_stanza::Stanza;

    use super::*;
    use crate::keys::{JULIET, ROMEO, address};

    #[test]
    fn every_size_is_a_stanza_of_exactly_that_size() {
        let mut speech = Speech::new(1, &address(ROMEO), &address(JULIET), &Canary::new(1));
        for length in (Speech::SHORTEST..2000).chain([20_000, Speech::LONGEST]) {
            let said = speech.of(length);
            assert_eq!(said.input.len(), length);
            assert!(
                Stanza::read(&Bytes::from(said.input.clone())).is_ok(),
                "{}",
                said.input
            );
            assert!(
                Stanza::read(&Bytes::from(said.output.clone())).is_ok(),
                "{}",
                said.output
            );
            assert!(!said.output.contains(['\n', '\r']));
            assert_eq!(said.canary, said.input.contains(speech.canary.word()));
        }
    }

    #[test]
    fn sizes_reach_from_one_end_to_the_other() {
        let mut speech = Speech::new(2, &address(ROMEO), &address(JULIET), &Canary::new(2));
        let lengths: Vec<_> = (0..1000)
            .map(|_| speech.next_up_to(Speech::LONGEST).input.len())
            .collect();
        for (low, high) in [
            (10, 100),
            (100, 1000),
            (1000, 10_000),
            (10_000, 100_000),
            (100_000, 200_001),
        ] {
            let count = lengths
                .iter()
                .filter(|length| (low..high).contains(*length))
                .count();
            assert!(count > 30, "{count} from {low} to {high}");
        }
    }
}
