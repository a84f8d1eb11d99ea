//! The strict reader.
//!
//! quick-xml's own reader accepts much that isn't XML. So only its search for the end of a tag is
//! used, and everything is checked here, so that a document is accepted only if expat and rxml
//! accept it too and yield the same tree. A server
//! and a client that disagree about a document allow stanza smuggling. On top of that, what
//! RFC 6120 §11.1 forbids is refused.

mod content;
mod fast_path;
mod qname;
mod rule;
mod scope;
mod stack;
mod tag;
mod tokenize;

use std::borrow::Cow;

use self::qname::QName;
pub use self::rule::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_IN_SCOPE, MAX_NAMESPACE, ReadError, Rule};
use self::scope::{Scope, Space};
use self::stack::Stack;
pub(crate) use self::tag::Attribute;
use self::tokenize::Piece;
use crate::name::Namespace;
use crate::xml::chars::is_white_space;

/// Bytes checked for UTF-8 at once.
const WINDOW: usize = 512;

/// What the reader found.
pub(crate) enum Token<'a> {
    /// An element begins; ask the reader for its name, namespace and attributes.
    Start,
    /// A non-empty piece of text. There may be several in a row.
    Text(Cow<'a, str>),
    /// The innermost element ends.
    End,
    /// The document has ended, and was complete.
    Eof,
}

/// What the fast path found.
enum Plain<'a> {
    Start,
    Text(&'a str),
    /// The first bytes, so many, of a text that extends beyond the window.
    LongText(usize),
    End,
    /// Something for the slow path.
    Not,
}

/// The reader's state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the element of the document.
    Before,
    /// Inside elements, or between those of a fragment.
    Inside,
    /// The last tag was `<a/>`: its end comes next.
    Ending,
    /// After the element of the document.
    After,
}

/// An open element.
#[derive(Default)]
struct Open<'a> {
    /// The name as written: the end tag must repeat it.
    raw: &'a str,
    /// The number of declarations in scope outside.
    mark: usize,
}

/// Unchecked text.
pub(crate) struct RawText<'a> {
    /// As written.
    pub(crate) bytes: &'a [u8],
    at: usize,
}

impl<'a> RawText<'a> {
    /// Checks and normalises it, as the reader would.
    pub(crate) fn check(&self) -> Result<Cow<'a, str>, ReadError> {
        content::text(self.bytes, self.at)
    }
}

/// Reads a document token by token.
pub(crate) struct Reader<'a> {
    document: &'a [u8],
    state: State,
    /// Several elements and text may appear at the top level.
    fragment: bool,
    /// Elements around the document.
    outside: usize,
    /// Start and end of the last token.
    start: usize,
    end: usize,
    /// A part of the document known to be UTF-8, and its offset.
    window: (&'a str, usize),
    scope: Scope<'a>,
    open: Stack<Open<'a>, 4>,
    name: QName<'a>,
    space: Space,
    attributes: Vec<Attribute<'a>>,
}

impl<'a> Reader<'a> {
    /// A reader of a document with one element.
    pub(crate) fn new(document: &'a [u8], inherited_ns: &'a str) -> Self {
        Self {
            document,
            state: State::Before,
            fragment: false,
            outside: 0,
            start: 0,
            end: 0,
            window: ("", 0),
            scope: Scope::new(inherited_ns),
            open: Stack::new(),
            name: QName::default(),
            space: Space::None,
            attributes: Vec::with_capacity(8),
        }
    }

    /// A reader of the content of an element that declares `prefixes`.
    pub(crate) fn fragment<'p: 'a>(
        content: &'a [u8],
        inherited_ns: &'a str,
        prefixes: impl Iterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, ReadError> {
        let mut reader = Self::new(content, inherited_ns);
        reader.fragment = true;
        reader.state = State::Inside;
        reader.outside = 1;
        for (prefix, uri) in prefixes {
            reader
                .scope
                .bind(prefix, Cow::Borrowed(uri))
                .map_err(|rule| ReadError { at: 0, rule })?;
        }
        Ok(reader)
    }

    /// The next token.
    pub(crate) fn next(&mut self) -> Result<Token<'a>, ReadError> {
        if self.state == State::Ending {
            self.close();
            return Ok(Token::End);
        }
        loop {
            self.start = self.end;
            match self.plain() {
                Plain::Start => return Ok(Token::Start),
                Plain::Text(text) => return Ok(Token::Text(Cow::Borrowed(text))),
                Plain::End => return Ok(Token::End),
                Plain::LongText(_) | Plain::Not => {}
            }
            let rest = self.document.get(self.start..).unwrap_or_default();
            let Some((piece, len)) = tokenize::first(rest).map_err(|rule| self.error(rule))? else {
                return self.eof();
            };
            self.end = self.start + len;
            let raw = rest.get(..len).unwrap_or_default();
            let text = match piece {
                Piece::Tag => {
                    self.open(content::utf8(raw, self.start)?)?;
                    if raw.ends_with(b"/>") {
                        self.state = State::Ending;
                    }
                    return Ok(Token::Start);
                }
                Piece::EndTag => {
                    self.end_tag(raw)?;
                    return Ok(Token::End);
                }
                _ if self.state != State::Inside => return Err(self.outside(raw)),
                Piece::Text => content::text(raw, self.start)?,
                Piece::Reference => {
                    content::reference(content::utf8(raw, self.start)?, self.start)?
                }
                Piece::CData => content::cdata(content::utf8(raw, self.start)?, self.start)?,
            };
            if !text.is_empty() {
                return Ok(Token::Text(text));
            }
        }
    }

    /// The fast path: reads the most frequent tokens in one pass, which are tags and text of plain
    /// characters.
    #[inline(always)]
    fn plain(&mut self) -> Plain<'a> {
        let text = self.known();
        match text.as_bytes() {
            [b'<', b'/', ..] => {
                let len = self
                    .open
                    .last()
                    .and_then(|open| fast_path::end_tag(text, open.raw));
                let Some(len) = len else { return Plain::Not };
                self.end += len;
                self.close();
                Plain::End
            }
            [b'<', ..] => {
                if self.start_tag(text) {
                    Plain::Start
                } else {
                    Plain::Not
                }
            }
            _ if self.state != State::Inside => Plain::Not,
            [b'&', ..] => match fast_path::reference(text) {
                Some((len, char)) => {
                    self.end += len;
                    Plain::Text(char)
                }
                None => Plain::Not,
            },
            _ => match fast_path::text(text) {
                Some(piece) if piece.len() < text.len() => {
                    self.end += piece.len();
                    Plain::Text(piece)
                }
                Some(piece) if !piece.is_empty() => Plain::LongText(piece.len()),
                Some(_) | None => Plain::Not,
            },
        }
    }

    /// Reads the start tag at the beginning of this text, if it is plain.
    #[inline(never)]
    fn start_tag(&mut self, text: &'a str) -> bool {
        if self.state == State::After || self.open.len() + self.outside >= MAX_DEPTH {
            return false;
        }
        let mark = self.scope.len();
        let tag = fast_path::tag(text, self.start, &mut self.scope, &mut self.attributes);
        let Some((tag, space)) = tag else {
            self.scope.truncate(mark);
            return false;
        };
        self.end += tag.len;
        self.opened(tag.name, space, mark);
        if tag.is_empty {
            self.state = State::Ending;
        }
        true
    }

    /// What follows the last token and is known to be UTF-8; may be empty.
    #[inline]
    fn known(&mut self) -> &'a str {
        let (window, at) = self.window;
        // A tag at the end of the window might be incomplete.
        match window.get(self.end - at..) {
            Some(known) if known.len() > WINDOW / 2 || at + window.len() == self.document.len() => {
                known
            }
            Some(_) | None => self.next_window(),
        }
    }

    #[inline(never)]
    fn next_window(&mut self) -> &'a str {
        let rest = self.document.get(self.end..).unwrap_or_default();
        let bytes = rest.get(..WINDOW).unwrap_or(rest);
        let known = content::utf8_prefix(bytes);
        self.window = (known, self.end);
        known
    }

    /// The text that follows, as written and unchecked, if any.
    pub(crate) fn raw_text(&mut self) -> Option<RawText<'a>> {
        if self.state != State::Inside {
            return None;
        }
        let rest = self.document.get(self.end..)?;
        match tokenize::first(rest) {
            Ok(Some((Piece::Text, len))) => {
                self.start = self.end;
                self.end += len;
                Some(RawText {
                    bytes: rest.get(..len)?,
                    at: self.start,
                })
            }
            Ok(Some((Piece::Tag | Piece::EndTag | Piece::Reference | Piece::CData, _)) | None)
            | Err(_) => None,
        }
    }

    /// Everything up to the end tag that would follow if it were the only text of the
    /// only child, unchecked. This only peeks: see [`Reader::took`].
    pub(crate) fn only_text(&self) -> Option<RawText<'a>> {
        if self.state != State::Inside {
            return None;
        }
        let rest = self.document.get(self.end..)?;
        let mut len = memchr::memrchr(b'<', rest)?;
        if !self.fragment {
            len = memchr::memrchr(b'<', rest.get(..len)?)?;
        }
        let (bytes, after) = rest.split_at_checked(len)?;
        (len > 0 && after.starts_with(b"</")).then_some(RawText {
            bytes,
            at: self.end,
        })
    }

    /// Continues after a text that turned out to contain no `<`, no `&` and nothing
    /// that XML forbids.
    pub(crate) fn took(&mut self, text: &RawText<'_>) {
        self.start = self.end;
        self.end += text.bytes.len();
    }

    /// Checks that the document ends here.
    pub(crate) fn finish(&mut self) -> Result<(), ReadError> {
        match self.next()? {
            Token::Eof => Ok(()),
            // Reached only by a caller that stops inside an element.
            Token::Start | Token::Text(_) | Token::End => Err(self.error(Rule::TextOutside)),
        }
    }

    /// Skips the rest of the element whose [`Token::Start`] was just returned.
    pub(crate) fn skip(&mut self) -> Result<(), ReadError> {
        let depth = self.open.len();
        while self.open.len() >= depth {
            self.start = self.end;
            if self.state == State::Ending {
                self.next()?;
                continue;
            }
            match self.plain() {
                Plain::Start | Plain::Text(_) | Plain::End => {}
                Plain::LongText(len) => self.end += len,
                Plain::Not => {
                    self.next()?;
                }
            }
        }
        Ok(())
    }

    /// An error at the last token.
    pub(crate) fn error(&self, rule: Rule) -> ReadError {
        ReadError {
            at: self.start,
            rule,
        }
    }

    /// Offsets of the last token.
    pub(crate) fn span(&self) -> std::ops::Range<usize> {
        self.start..self.end
    }

    /// The name of the element that just began, without a prefix.
    pub(crate) fn name(&self) -> &'a str {
        self.name.local()
    }

    /// Its namespace.
    pub(crate) fn ns(&self) -> &str {
        self.scope.uri(self.space)
    }

    /// Takes its attributes, in order.
    pub(crate) fn take_attributes(&mut self) -> impl Iterator<Item = Attribute<'a>> {
        self.attributes.drain(..)
    }

    /// The value of its attribute with this name and no namespace.
    pub(crate) fn attr(&self, name: &str) -> Option<&str> {
        let found = self
            .attributes
            .iter()
            .find(|a| a.space == Space::None && a.name.raw == name);
        found.map(|a| a.value.as_ref())
    }

    /// The declarations on the element that just began: prefix (empty for the default) and namespace.
    pub(crate) fn declarations(&self) -> impl Iterator<Item = (&'a str, &str)> {
        self.scope
            .since(self.open.last().map_or(0, |open| open.mark))
    }

    /// Its namespace for a tree, shared by everything in its scope.
    pub(crate) fn shared_ns(&mut self) -> Namespace {
        self.scope.namespace(self.space)
    }

    /// Takes its attributes, in order, each with its namespace for a tree.
    pub(crate) fn take_attributes_with_ns(
        &mut self,
    ) -> impl Iterator<Item = (Option<Namespace>, Attribute<'a>)> {
        let scope = &mut self.scope;
        self.attributes.drain(..).map(|attribute| {
            let ns = match attribute.space {
                Space::None => None,
                Space::Xml | Space::Bound(_) => Some(scope.namespace(attribute.space)),
            };
            (ns, attribute)
        })
    }

    fn open(&mut self, raw: &'a str) -> Result<(), ReadError> {
        if self.state == State::After {
            return Err(self.error(Rule::SecondElement));
        }
        if self.open.len() + self.outside >= MAX_DEPTH {
            return Err(self.error(Rule::Depth));
        }
        let mark = self.scope.len();
        let name = tag::read(raw, self.start, &mut self.scope, &mut self.attributes)?;
        let space = self.scope.element(name).map_err(|rule| self.error(rule))?;
        self.opened(name, space, mark);
        Ok(())
    }

    /// Opens an element of this name, whose declarations begin at the mark.
    fn opened(&mut self, name: QName<'a>, space: Space, mark: usize) {
        self.space = space;
        self.name = name;
        self.open.push(Open {
            raw: name.raw,
            mark,
        });
        self.state = State::Inside;
    }

    fn end_tag(&mut self, raw: &[u8]) -> Result<(), ReadError> {
        let name = raw
            .strip_prefix(b"</")
            .and_then(|r| r.strip_suffix(b">"))
            .unwrap_or_default();
        let matches = |open: &Open<'_>| match name.strip_prefix(open.raw.as_bytes()) {
            Some(after) => after.iter().all(|&b| is_white_space(b)),
            None => false,
        };
        if self.open.last().is_some_and(matches) {
            self.close();
            Ok(())
        } else {
            Err(self.error(Rule::EndTag))
        }
    }

    #[inline]
    fn close(&mut self) {
        if let Some(open) = self.open.last()
            && open.mark < self.scope.len()
        {
            self.scope.truncate(open.mark);
        }
        self.open.truncate(self.open.len().saturating_sub(1));
        self.state = if self.open.len() == 0 && !self.fragment {
            State::After
        } else {
            State::Inside
        };
    }

    fn eof(&self) -> Result<Token<'a>, ReadError> {
        match self.state {
            State::Before => Err(self.error(Rule::NoElement)),
            State::Inside if self.open.len() > 0 => Err(self.error(Rule::Unclosed)),
            State::Inside | State::Ending | State::After => Ok(Token::Eof),
        }
    }

    /// The error for anything but a tag outside of the element.
    fn outside(&self, raw: &[u8]) -> ReadError {
        match content::utf8(raw, self.start) {
            Ok(text) if self.start == 0 && text.starts_with('\u{FEFF}') => {
                self.error(Rule::ByteOrderMark)
            }
            Ok(_) => self.error(Rule::TextOutside),
            Err(error) => error,
        }
    }
}
