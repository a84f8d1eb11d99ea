//! Undelivered lines: sent, but not yet acknowledged by a receipt (XEP-0184, inside the tunnel).

use std::collections::VecDeque;

use crate::say;

/// The lines of one conversation for which no receipt has arrived.
#[derive(Debug)]
pub(crate) struct Undelivered {
    /// What every id of this conversation begins with, and none of another one.
    prefix: String,
    lines: VecDeque<Line>,
    /// Lines that are only counted, because there were too many.
    more: u64,
    sent: u64,
    /// Bytes of the lines that are kept whole.
    whole: usize,
}

#[derive(Debug)]
struct Line {
    number: u64,
    text: String,
    /// Its beginning, safe to show on one line.
    shown: String,
    /// Nothing of the text is left out.
    whole: bool,
    /// It was sent a second time.
    again: bool,
}

/// Lines that may not have arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) count: u64,
    /// Those that are remembered, oldest first, as they were written.
    pub(crate) lines: Vec<String>,
}

impl Undelivered {
    /// Of a conversation whose ids begin with `prefix`.
    pub(crate) fn new(prefix: String) -> Self {
        Self {
            prefix,
            lines: VecDeque::new(),
            more: 0,
            sent: 0,
            whole: 0,
        }
    }

    /// Records a line that is being sent, and returns the id for its message.
    pub(crate) fn sent(&mut self, text: &str) -> String {
        self.sent += 1;
        if self.lines.len() == REMEMBERED && self.take(0).is_some() {
            self.more += 1;
        }
        let whole = self.whole.saturating_add(text.len()) <= WHOLE;
        let beginning = beginning(text);
        let shown = say::shown(&beginning);
        let text = match whole {
            true => text.to_owned(),
            false => beginning,
        };
        self.whole += if whole { text.len() } else { 0 };
        self.lines.push_back(Line {
            number: self.sent,
            text,
            shown,
            whole,
            again: false,
        });
        self.id(self.sent)
    }

    fn id(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    fn take(&mut self, at: usize) -> Option<Line> {
        let line = self.lines.remove(at)?;
        if line.whole {
            self.whole = self.whole.saturating_sub(line.text.len());
        }
        Some(line)
    }

    /// Records a receipt, and returns the text of the message if it is still remembered.
    pub(crate) fn confirmed(&mut self, id: &str) -> Option<String> {
        let number = id.strip_prefix(&self.prefix)?.parse::<u64>().ok()?;
        if let Some(at) = self.lines.iter().position(|line| line.number == number) {
            return self.take(at).map(|line| line.text);
        }
        let first = self.lines.front().map_or(self.sent + 1, |line| line.number);
        // One of those that are only counted.
        if (1..first).contains(&number) {
            self.more = self.more.saturating_sub(1);
        }
        None
    }

    /// Records that everything was delivered, and returns the lines that are remembered.
    pub(crate) fn all_confirmed(&mut self) -> Vec<String> {
        (self.more, self.whole) = (0, 0);
        self.lines.drain(..).map(|line| line.text).collect()
    }

    /// Forgets a line that was not sent after all.
    pub(crate) fn unsent(&mut self, id: &str) {
        self.confirmed(id);
    }

    /// The ids and texts of the lines to send again, oldest first: every line once.
    pub(crate) fn again(&mut self) -> Vec<(String, String)> {
        let mut again = Vec::new();
        for line in self
            .lines
            .iter_mut()
            .filter(|line| line.can_be_sent_again())
        {
            line.again = true;
            again.push((format!("{}{}", self.prefix, line.number), line.text.clone()));
        }
        again
    }

    /// Forgets the lines that cannot be sent again, because they were already, or because there is too much, and returns them.
    pub(crate) fn give_up(&mut self) -> Missing {
        let (keep, lost): (VecDeque<_>, VecDeque<_>) =
            self.lines.drain(..).partition(Line::can_be_sent_again);
        self.whole = keep.iter().map(|line| line.text.len()).sum();
        self.lines = keep;
        Missing {
            count: std::mem::take(&mut self.more).saturating_add(count(&lost)),
            lines: lost.into_iter().map(|line| line.text).collect(),
        }
    }

    /// Which line has waited longest.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.lines.front().map(|line| line.number)
    }

    /// All undelivered lines.
    pub(crate) fn missing(&self) -> Missing {
        Missing {
            count: self.more.saturating_add(count(&self.lines)),
            lines: self.lines.iter().map(|line| line.text.clone()).collect(),
        }
    }

    /// The remembered lines, oldest first, each made safe to show on one line.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        self.lines.iter().map(|line| line.shown.clone())
    }
}

impl Line {
    fn can_be_sent_again(&self) -> bool {
        self.whole && !self.again
    }
}

fn count(lines: &VecDeque<Line>) -> u64 {
    u64::try_from(lines.len()).unwrap_or(u64::MAX)
}

/// The part of a text that is shown once it is delivered.
pub(crate) fn beginning(text: &str) -> String {
    let lines: Vec<_> = text.lines().take(SHOWN_LINES + 1).collect();
    let mut shown: String = match lines.get(..SHOWN_LINES) {
        Some(first) if lines.len() > SHOWN_LINES => {
            format!("{}\n… ({} lines)", first.join("\n"), text.lines().count())
        }
        _ => text.to_owned(),
    };
    if let Some((end, _)) = shown.char_indices().nth(SHOWN) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

/// Lines that are remembered with their text; beyond these, only the number is known.
const REMEMBERED: usize = 200;

/// Bytes of undelivered lines that are kept whole, to be sent again; beyond these, only the beginning of a line is known.
const WHOLE: usize = 1_048_576;

/// Characters of a line that are shown.
const SHOWN: usize = 1000;

/// Lines of a longer text that are shown.
const SHOWN_LINES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn undelivered() -> Undelivered {
        Undelivered::new("line-".to_owned())
    }

    #[test]
    fn a_line_is_undelivered_until_its_own_receipt_comes() {
        let mut undelivered = undelivered();
        let (one, two) = (undelivered.sent("one"), undelivered.sent("two"));
        assert_ne!(one, two);
        assert_eq!(undelivered.confirmed("line-3"), None);
        assert_eq!(undelivered.confirmed("two"), None);
        assert_eq!(undelivered.confirmed("other-1"), None);
        assert_eq!(undelivered.confirmed(&two).as_deref(), Some("two"));
        assert_eq!(undelivered.confirmed(&two), None);
        assert_eq!(undelivered.lines().collect::<Vec<_>>(), ["one"]);
        assert_eq!(undelivered.confirmed(&one).as_deref(), Some("one"));
        assert_eq!(undelivered.missing().count, 0);
    }

    #[test]
    fn a_line_is_sent_again_once_under_its_own_id_and_then_given_up() {
        let mut undelivered = undelivered();
        let ids = ["one", "two", "three"].map(|text| undelivered.sent(text));
        undelivered.confirmed(&ids[1]);
        assert_eq!(undelivered.give_up().count, 0);
        let again = [(0, "one"), (2, "three")].map(|(n, text)| (ids[n].clone(), text.to_owned()));
        assert_eq!(undelivered.again(), again);
        // Both wait for a receipt still.
        assert_eq!(undelivered.confirmed(&ids[0]).as_deref(), Some("one"));
        let four = undelivered.sent("four");
        let missing = undelivered.give_up();
        assert_eq!(
            (missing.count, missing.lines),
            (1, vec!["three".to_owned()])
        );
        assert_eq!(undelivered.again(), [(four, "four".to_owned())]);
    }

    #[test]
    fn what_is_too_much_to_keep_is_given_up_and_the_rest_is_sent_again() {
        let mut undelivered = undelivered();
        let half = "x".repeat(WHOLE / 2);
        let ids = [&half, &half, "y"].map(|text| undelivered.sent(text));
        let missing = undelivered.give_up();
        assert_eq!((missing.count, missing.lines), (1, vec!["y".to_owned()]));
        assert_eq!(undelivered.confirmed(&ids[0]), Some(half.clone()));
        // There is room again.
        let last = undelivered.sent("last");
        let again = [(ids[1].clone(), half), (last, "last".to_owned())];
        assert_eq!(undelivered.again(), again);
    }

    #[test]
    fn the_count_stays_right_for_very_many_lines() {
        let mut undelivered = undelivered();
        let ids: Vec<_> = (0..1000)
            .map(|n| undelivered.sent(&n.to_string()))
            .collect();
        let missing = undelivered.missing();
        assert_eq!((missing.count, missing.lines.len()), (1000, REMEMBERED));
        for id in &ids {
            undelivered.confirmed(id);
        }
        assert_eq!(undelivered.missing().count, 0);
        assert_eq!(undelivered.whole, 0);
    }

    #[test]
    fn the_beginning_of_a_long_text_is_shown() {
        assert_eq!(beginning("a\nb"), "a\nb");
        let text = vec!["row"; 2000].join("\n");
        assert_eq!(beginning(&text), "row\nrow\nrow\nrow\n… (2000 lines)");
        assert!(beginning(&"x".repeat(1 << 20)).len() < 1100);
    }
}
