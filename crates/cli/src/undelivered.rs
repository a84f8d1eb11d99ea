//! Undelivered lines: sent, but not yet acknowledged by a receipt (XEP-0184, inside the tunnel).

use std::collections::VecDeque;

use crate::say;

/// The lines of one conversation for which no receipt has arrived.
#[derive(Debug, Default)]
pub(crate) struct Undelivered {
    lines: VecDeque<(u64, String)>,
    /// Lines that are only counted, because there were too many.
    more: u64,
    sent: u64,
}

impl Undelivered {
    /// Records a line that is being sent, and returns the id for its message.
    pub(crate) fn sent(&mut self, text: &str) -> String {
        self.sent += 1;
        if self.lines.len() == REMEMBERED && self.lines.pop_front().is_some() {
            self.more += 1;
        }
        self.lines.push_back((self.sent, kept(text)));
        format!("{PREFIX}{}", self.sent)
    }

    /// Records a receipt, and returns the text of the message if it is still remembered.
    pub(crate) fn confirmed(&mut self, id: &str) -> Option<String> {
        let number = id.strip_prefix(PREFIX)?.parse::<u64>().ok()?;
        if let Some(at) = self.lines.iter().position(|(n, _)| *n == number) {
            return self.lines.remove(at).map(|(_, text)| text);
        }
        let first = self.lines.front().map_or(self.sent + 1, |(n, _)| *n);
        // One of those that are only counted.
        if (1..first).contains(&number) {
            self.more = self.more.saturating_sub(1);
        }
        None
    }

    /// Records that everything was delivered, and returns the lines that are remembered.
    pub(crate) fn all_confirmed(&mut self) -> Vec<String> {
        self.more = 0;
        self.lines.drain(..).map(|(_, text)| text).collect()
    }

    /// Forgets a line that was not sent after all.
    pub(crate) fn unsent(&mut self, id: &str) {
        self.confirmed(id);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.more == 0
    }

    /// The number of undelivered lines.
    pub(crate) fn count(&self) -> u64 {
        self.more
            .saturating_add(u64::try_from(self.lines.len()).unwrap_or(u64::MAX))
    }

    /// The remembered lines, oldest first, each made safe to show on one line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.lines.iter().map(|(_, line)| say::shown(line))
    }
}

/// The part of a text that will be shown once it is delivered.
fn kept(text: &str) -> String {
    let lines: Vec<_> = text.lines().take(KEPT_LINES + 1).collect();
    let mut kept: String = match lines.get(..KEPT_LINES) {
        Some(first) if lines.len() > KEPT_LINES => {
            format!("{}\n… ({} lines)", first.join("\n"), text.lines().count())
        }
        _ => text.to_owned(),
    };
    if let Some((end, _)) = kept.char_indices().nth(KEPT) {
        kept.truncate(end);
        kept.push('…');
    }
    kept
}

/// Lines that are remembered with their text; beyond these, only the number is known.
const REMEMBERED: usize = 200;

/// Characters of a line that are kept until it is delivered.
const KEPT: usize = 1000;

/// Lines of a longer text that are kept.
const KEPT_LINES: usize = 4;

const PREFIX: &str = "line-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_undelivered_until_its_own_receipt_comes() {
        let mut undelivered = Undelivered::default();
        let (one, two) = (undelivered.sent("one"), undelivered.sent("two"));
        assert_ne!(one, two);
        assert_eq!(undelivered.confirmed("line-3"), None);
        assert_eq!(undelivered.confirmed("two"), None);
        assert_eq!(undelivered.confirmed(&two).as_deref(), Some("two"));
        assert_eq!(undelivered.confirmed(&two), None);
        assert_eq!(undelivered.lines().collect::<Vec<_>>(), ["one"]);
        assert_eq!(undelivered.confirmed(&one).as_deref(), Some("one"));
        assert!(undelivered.is_empty());
    }

    #[test]
    fn the_count_stays_right_for_very_many_lines() {
        let mut undelivered = Undelivered::default();
        let ids: Vec<_> = (0..1000)
            .map(|n| undelivered.sent(&n.to_string()))
            .collect();
        assert_eq!(undelivered.count(), 1000);
        assert_eq!(undelivered.lines().count(), REMEMBERED);
        for id in &ids {
            undelivered.confirmed(id);
        }
        assert_eq!((undelivered.count(), undelivered.is_empty()), (0, true));
    }

    #[test]
    fn the_beginning_of_a_long_text_is_kept() {
        assert_eq!(kept("a\nb"), "a\nb");
        let text = vec!["row"; 2000].join("\n");
        assert_eq!(kept(&text), "row\nrow\nrow\nrow\n… (2000 lines)");
        assert!(kept(&"x".repeat(1 << 20)).len() < 1100);
    }
}
