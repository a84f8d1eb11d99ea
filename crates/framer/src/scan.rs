//! Finds the end of the element at the start of some bytes, which may stop anywhere.
//!
//! The scanner holds positions, not bytes. However the input is cut, it visits each byte a few
//! times at most, and its decision about a tag depends on the bytes of that tag alone.

use std::mem;
use std::ops::Range;

use memchr::{memchr, memchr2};

use crate::error::Restricted;
use crate::plain::{STEP, is_ascii, plain_len};

/// What stops the scan for good; the position is the `<` of the offending markup.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) pos: usize,
}

#[derive(Debug)]
pub(crate) enum FaultKind {
    TooDeep,
    Restricted(Restricted),
    StrayEndTag,
}

/// An element whose end has been found.
pub(crate) struct Whole {
    pub(crate) len: usize,
    /// Bytes that are ASCII; whether others are UTF-8 has yet to be checked.
    pub(crate) ascii: Range<usize>,
}

#[derive(Debug)]
pub(crate) struct Scanner {
    /// The first undecided byte, counted from the `<` that begins the stanza.
    pos: usize,
    /// Elements open before `pos`.
    depth: u32,
    place: Place,
    /// The quote that the last attributes did not use. A wrong guess costs time, never a
    /// wrong border.
    rare: u8,
    /// The longest text known to be ASCII, which need not be looked at again to find out whether it is UTF-8.
    ascii: Range<usize>,
    #[cfg(test)]
    pub(crate) looked_at: usize,
}

/// What `pos` points at.
#[derive(Clone, Copy, Debug)]
enum Place {
    Text,
    StartTag { from: usize, quotes: Quotes },
    EndTag,
    CData,
}

/// How the `>` that ends a start tag is distinguished from one in an attribute value.
#[derive(Clone, Copy, Debug)]
enum Quotes {
    /// No rare quote up to `pos`: the first `>` can be judged by what precedes it.
    OneKind { turned: bool },
    /// Counted up to `pos`, which is inside this quote.
    Counted { open: Option<u8> },
}

enum Step {
    /// Look again at the new position.
    On,
    /// The stanza ends before this position.
    End(usize),
    /// All bytes are used up.
    Starved,
}

impl Scanner {
    pub(crate) const fn new() -> Self {
        Self {
            pos: 0,
            depth: 0,
            place: Place::Text,
            rare: b'"',
            ascii: 0..0,
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// Whether the stanza's first tag has yet to be recognised.
    pub(crate) const fn is_between_stanzas(&self) -> bool {
        self.pos == 0
    }

    /// Continues where the last call stopped. `bytes` begins with the stanza's `<` and everything that
    /// was there before. Returns the element and is then ready for the next; `None` asks for more bytes.
    pub(crate) fn scan(&mut self, bytes: &[u8], max_depth: u32) -> Result<Option<Whole>, Fault> {
        loop {
            let step = match self.place {
                Place::Text => self.whole_tags(bytes, max_depth)?,
                Place::StartTag { from, quotes } => self.start_tag(bytes, from, quotes),
                Place::EndTag => self.end_tag(bytes),
                Place::CData => self.cdata(bytes),
            };
            match step {
                Step::On => {}
                Step::End(len) => {
                    self.pos = 0;
                    let ascii = mem::take(&mut self.ascii);
                    return Ok(Some(Whole { len, ascii }));
                }
                Step::Starved => return Ok(None),
            }
        }
    }

    /// The fast path: text, and complete tags that are easy to judge. The rest is handled
    /// by kind.
    fn whole_tags(&mut self, bytes: &[u8], max_depth: u32) -> Result<Step, Fault> {
        let (mut pos, mut depth) = (self.pos, self.depth);
        let step = loop {
            let rest = bytes.get(pos..).unwrap_or_default();
            // Tags are often adjacent; a search would cost more than this check.
            let text = if rest.first() == Some(&b'<') {
                Some(0)
            } else {
                self.text(rest, pos)
            };
            let Some(text) = text else {
                pos += rest.len();
                break Step::Starved;
            };
            pos += text;
            let fault = |kind| Err(Fault { kind, pos });
            let rest = rest.get(text + 1..).unwrap_or_default();
            match rest.first() {
                None => break Step::Starved,
                Some(b'/') if depth == 0 => return fault(FaultKind::StrayEndTag),
                Some(b'/') => {
                    let found = short_end(rest).or_else(|| memchr(b'>', rest));
                    self.looked(found.unwrap_or(rest.len()));
                    let Some(found) = found else {
                        pos += 1 + rest.len();
                        self.place = Place::EndTag;
                        break Step::Starved;
                    };
                    pos += 1 + found + 1;
                    depth -= 1;
                    if depth == 0 {
                        break Step::End(pos);
                    }
                }
                Some(b'!' | b'?') => match classify(bytes.get(pos..).unwrap_or_default()) {
                    None => break Step::Starved,
                    Some(Restricted::CData) if depth > 0 => {
                        pos += CDATA.len();
                        self.place = Place::CData;
                        break Step::On;
                    }
                    Some(what) => return fault(FaultKind::Restricted(what)),
                },
                Some(_) if depth >= max_depth => return fault(FaultKind::TooDeep),
                Some(_) => {
                    let found = memchr2(b'>', self.rare, rest);
                    let (tag, after) = rest
                        .split_at_checked(found.unwrap_or(rest.len()))
                        .unwrap_or_default();
                    self.looked(2 * tag.len());
                    if after.first() == Some(&b'>') && is_whole(tag, other_quote(self.rare)) {
                        pos += 1 + tag.len() + 1;
                        if tag.last() != Some(&b'/') {
                            depth += 1;
                        } else if depth == 0 {
                            break Step::End(pos);
                        }
                    } else {
                        self.place = Place::StartTag {
                            from: pos,
                            quotes: Quotes::OneKind { turned: false },
                        };
                        pos += 1;
                        break Step::On;
                    }
                }
            }
        };
        (self.pos, self.depth) = (pos, depth);
        Ok(step)
    }

    /// How long the text is that begins at `pos`, if it ends in `rest`.
    #[inline]
    fn text(&mut self, rest: &[u8], pos: usize) -> Option<usize> {
        let near = rest.get(..NEAR).unwrap_or(rest);
        let found = memchr(b'<', near);
        self.looked(found.unwrap_or(near.len()));
        if found.is_some() || near.len() == rest.len() {
            return found;
        }
        self.long_text(rest, pos)
    }

    /// Text that is long is a chunk's, and finds out in the same pass that it is ASCII.
    #[inline(never)]
    fn long_text(&mut self, rest: &[u8], pos: usize) -> Option<usize> {
        let plain = plain_len(rest);
        let found = memchr(b'<', rest.get(plain..).unwrap_or_default()).map(|more| plain + more);
        self.looked(plain + found.unwrap_or(rest.len()));
        // Text that goes on must go on from here; a few bytes before a tag are checked with the tag.
        let tail = rest.get(plain..).unwrap_or_default();
        let ascii = if found.is_none() && tail.len() < STEP && is_ascii(tail) {
            rest.len()
        } else {
            plain
        };
        if self.ascii.end == pos {
            self.ascii.end = pos + ascii;
        } else if ascii > self.ascii.len() {
            self.ascii = pos..pos + ascii;
        }
        found
    }

    fn start_tag(&mut self, bytes: &[u8], from: usize, mut quotes: Quotes) -> Step {
        loop {
            let rest = bytes.get(self.pos..).unwrap_or_default();
            match quotes {
                Quotes::OneKind { turned } => {
                    let found = memchr2(b'>', self.rare, rest);
                    self.looked(found.map_or(rest.len(), |n| n + 1));
                    let Some(found) = found else {
                        self.pos += rest.len();
                        self.place = Place::StartTag { from, quotes };
                        return Step::Starved;
                    };
                    if rest.get(found) == Some(&b'>') {
                        self.pos += found;
                        let tag = bytes.get(from..self.pos).unwrap_or_default();
                        self.looked(2 * tag.len());
                        if is_whole(tag, other_quote(self.rare)) {
                            return self.opened(tag);
                        }
                        let open = open_quote(None, tag);
                        if open.is_none() {
                            return self.opened(tag);
                        }
                        quotes = Quotes::Counted { open };
                    } else {
                        self.rare = other_quote(self.rare);
                        self.pos = from;
                        quotes = if turned {
                            Quotes::Counted { open: None }
                        } else {
                            Quotes::OneKind { turned: true }
                        };
                    }
                }
                Quotes::Counted { open } => {
                    let found = memchr(b'>', rest);
                    let piece = rest.get(..found.unwrap_or(rest.len())).unwrap_or_default();
                    self.looked(2 * piece.len() + 1);
                    let open = open_quote(open, piece);
                    self.pos += piece.len();
                    quotes = Quotes::Counted { open };
                    if found.is_none() {
                        self.place = Place::StartTag { from, quotes };
                        return Step::Starved;
                    }
                    if open.is_none() {
                        return self.opened(bytes.get(from..self.pos).unwrap_or_default());
                    }
                    self.pos += 1;
                }
            }
        }
    }

    /// `tag` is the start tag without its `>`, which stands at `pos`.
    fn opened(&mut self, tag: &[u8]) -> Step {
        self.pos += 1;
        self.place = Place::Text;
        if tag.last() != Some(&b'/') {
            self.depth += 1;
            Step::On
        } else if self.depth == 0 {
            Step::End(self.pos)
        } else {
            Step::On
        }
    }

    fn end_tag(&mut self, bytes: &[u8]) -> Step {
        let rest = bytes.get(self.pos..).unwrap_or_default();
        let found = memchr(b'>', rest);
        self.looked(found.map_or(rest.len(), |n| n + 1));
        let Some(found) = found else {
            self.pos += rest.len();
            return Step::Starved;
        };
        self.pos += found + 1;
        self.place = Place::Text;
        self.depth -= 1;
        if self.depth == 0 {
            Step::End(self.pos)
        } else {
            Step::On
        }
    }

    fn cdata(&mut self, bytes: &[u8]) -> Step {
        loop {
            let rest = bytes.get(self.pos..).unwrap_or_default();
            let found = memchr(b'>', rest);
            self.looked(found.map_or(rest.len(), |n| n + 1));
            let Some(found) = found else {
                self.pos += rest.len();
                return Step::Starved;
            };
            self.pos += found;
            // The section's own `[` precedes its content, so these two brackets are never the
            // opening ones.
            let ends = bytes
                .get(..self.pos)
                .is_some_and(|before| before.ends_with(b"]]"));
            self.pos += 1;
            if ends {
                self.place = Place::Text;
                return Step::On;
            }
        }
    }

    #[cfg(test)]
    fn looked(&mut self, bytes: usize) {
        self.looked_at += bytes;
    }

    #[cfg(not(test))]
    const fn looked(&self, _: usize) {}
}

/// Text that is shorter is searched for its end alone: that is faster, and most texts are.
const NEAR: usize = 128;

const CDATA: &[u8] = b"<![CDATA[";

/// Names markup that begins with `<!` or `<?`; `None` when it takes more bytes to tell.
fn classify(markup: &[u8]) -> Option<Restricted> {
    if markup.starts_with(b"<?") {
        return Some(
            if begins(markup, b"<?xml")? && !is_name_byte(*markup.get(5)?) {
                Restricted::Declaration
            } else {
                Restricted::ProcessingInstruction
            },
        );
    }
    Some(match markup.get(2)? {
        b'-' => Restricted::Comment,
        b'[' if begins(markup, CDATA)? => Restricted::CData,
        _ => Restricted::Doctype,
    })
}

/// Does `bytes` begin with `word`? `None` when it is too short to tell.
fn begins(bytes: &[u8], word: &[u8]) -> Option<bool> {
    if bytes.len() < word.len() && word.starts_with(bytes) {
        return None;
    }
    Some(bytes.starts_with(word))
}

/// Whether this byte continues a target that begins with `xml`. Any but whitespace and `?` makes it another
/// name.
const fn is_name_byte(byte: u8) -> bool {
    !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'?')
}

const fn other_quote(quote: u8) -> u8 {
    quote ^ b'"' ^ b'\''
}

/// Whether the `>` after `tag`, which holds no other kind of quote than this, certainly ends it.
///
/// With a single kind of quote, a last one that doesn't follow `=` or whitespace closes a value,
/// because in a well-formed tag an opening one always follows them. In a tag that is not
/// well-formed the answer is meaningless, and none is needed: a strict reader refuses
/// the frame.
fn is_whole(tag: &[u8], quote: u8) -> bool {
    let mut end = tag.strip_suffix(b"/").unwrap_or(tag);
    while let [head @ .., b' ' | b'\t' | b'\r' | b'\n'] = end {
        end = head;
    }
    match end {
        [.., before, last] if *last == quote => {
            !matches!(before, b'=' | b' ' | b'\t' | b'\r' | b'\n')
        }
        _ => !tag.iter().any(|byte| matches!(byte, b'"' | b'\'')),
    }
}

/// The position of the `>` of an end tag, if the tag is as short as most are. A search would cost more than this check.
#[inline]
fn short_end(bytes: &[u8]) -> Option<usize> {
    first_in_word(bytes, b'>').or_else(|| Some(8 + first_in_word(bytes.get(8..)?, b'>')?))
}

/// The position of `byte` within the first eight bytes.
#[inline]
fn first_in_word(bytes: &[u8], byte: u8) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let differs = u64::from_le_bytes(*bytes.first_chunk()?) ^ (ONES * u64::from(byte));
    // The lowest mark is right; higher ones may come from its borrow.
    let marks = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
    (marks != 0).then_some(marks.trailing_zeros() as usize / 8)
}

/// Which quote is open after `bytes`, when `open` was before.
fn open_quote(open: Option<u8>, bytes: &[u8]) -> Option<u8> {
    bytes.iter().fold(open, |open, &byte| match open {
        None if byte == b'"' || byte == b'\'' => Some(byte),
        Some(quote) if quote == byte => None,
        None | Some(_) => open,
    })
}
