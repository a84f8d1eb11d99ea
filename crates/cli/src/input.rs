//! Standard input without a line editor: bytes, read on demand.

use std::io::{self, Read as _};

use tokio::sync::mpsc;

/// Chunks of standard input, read by a separate thread because reads from a pipe block. It starts with the first request,
/// and reads one chunk ahead.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    receiver: Option<mpsc::Receiver<io::Result<Vec<u8>>>>,
    begun: bool,
}

impl Pieces {
    /// The next chunk; `None` at the end. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<io::Result<Vec<u8>>> {
        let receiver = self.receiver.get_or_insert_with(read);
        let mut piece = receiver.recv().await?;
        // Windows starts text with a byte-order mark, which is not part of the text.
        if !std::mem::replace(&mut self.begun, true)
            && let Ok(bytes) = &mut piece
            && bytes.starts_with(BYTE_ORDER_MARK)
        {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        Some(piece)
    }
}

fn read() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (pieces, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut piece = vec![0; PIECE];
            let read = input.read(&mut piece).map(|read| {
                piece.truncate(read);
                piece
            });
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(piece) if piece.is_empty() => return,
                read => {
                    let failed = read.is_err();
                    if pieces.blocking_send(read).is_err() || failed {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

/// Splits chunks into lines, wherever the chunk borders are.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// The length of the prefix of `rest` that contains no line end.
    searched: usize,
    taken: usize,
    number: u64,
}

/// A line without its line end, and its number, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) number: u64,
    /// The text; `None` if the bytes are not UTF-8.
    pub(crate) text: Option<String>,
}

impl Lines {
    /// Appends a chunk.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.rest.drain(..self.taken);
        self.searched = self.searched.saturating_sub(self.taken);
        self.taken = 0;
        self.rest.extend_from_slice(piece);
    }

    /// The next complete line, if there is one.
    pub(crate) fn next(&mut self) -> Option<Line> {
        let from = self.searched.max(self.taken);
        let rest = self.rest.get(from..)?;
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.rest.len();
            return None;
        };
        let line = self.rest.get(self.taken..from + end).unwrap_or_default();
        let line = Self::line(&mut self.number, line);
        self.taken = from + end + 1;
        self.searched = self.taken;
        Some(line)
    }

    /// The last line, if it has no line end.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        let rest = self.rest.split_off(self.taken.min(self.rest.len()));
        *self = Self {
            number: self.number,
            ..Self::default()
        };
        (!rest.is_empty()).then(|| Self::line(&mut self.number, &rest))
    }

    /// The length of the incomplete line, in bytes.
    pub(crate) fn unfinished(&self) -> usize {
        self.rest.len().saturating_sub(self.taken)
    }

    fn line(number: &mut u64, bytes: &[u8]) -> Line {
        *number += 1;
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let mut text = std::str::from_utf8(bytes).ok();
        // Tiny chunks can split the mark, so the first line may still start with one. The text is the same without it.
        if *number == 1 {
            text = text.map(|text| text.strip_prefix('\u{FEFF}').unwrap_or(text));
        }
        Line {
            number: *number,
            text: text.map(str::to_owned),
        }
    }
}

/// Bytes read at once.
const PIECE: usize = 65_536;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<Line> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.next() {
                found.push(line);
            }
        }
        found.extend(lines.finish());
        found
    }

    fn texts(pieces: &[&[u8]]) -> Vec<Option<String>> {
        lines(pieces).into_iter().map(|line| line.text).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn lines_are_the_same_in_any_pieces() {
        let text = "one\n\ntwo\r\nthree è\nfour".as_bytes();
        let whole = texts(&[text]);
        assert_eq!(
            whole,
            ["one", "", "two", "three è", "four"].map(some).to_vec()
        );
        for at in 0..text.len() {
            let (head, tail) = text.split_at(at);
            assert_eq!(texts(&[head, tail]), whole, "cut at {at}");
        }
        let bytes: Vec<_> = text.chunks(1).collect();
        assert_eq!(texts(&bytes), whole);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_numbered_and_the_next_one_is_read() {
        let found = lines(&[b"good\nr\xE9sum\xE9\ngood again\n"]);
        assert_eq!(found[1].number, 2);
        assert_eq!(found[1].text, None);
        assert_eq!(found[2].text, some("good again"));
    }

    #[test]
    fn a_leading_byte_order_mark_is_not_text() {
        assert_eq!(texts(&[b"\xEF\xBB\xBFhello\n"]), [some("hello")]);
        assert_eq!(
            texts(&[b"\xEF", b"\xBB\xBFhello\n\xEF\xBB\xBFkept"]),
            [some("hello"), some("\u{FEFF}kept")]
        );
    }

    #[test]
    fn empty_input_has_no_lines() {
        assert_eq!(texts(&[b""]), []);
        assert_eq!(texts(&[b"\n"]), [some("")]);
    }
}
