//! The strict reader.
//!
//! quick-xml cuts the document into tokens and checks little; the rest is checked here, so that a
//! document is accepted only if expat and rxml accept it too, and gives the same tree there. A server
//! and a client that disagree about a document are how stanzas get smuggled. On top of that, what
//! RFC 6120 §11.1 forbids is refused.

mod chars;
mod rule;
mod scope;
mod tag;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use quick_xml::events::Event;

pub use self::rule::{ReadError, Rule};
use self::scope::{Scope, Space};
pub(crate) use self::tag::Attribute;
use crate::element::{Attr, Element};

/// Elements inside each other, the outermost counted.
pub const MAX_DEPTH: usize = 64;
/// Attributes of one element, declarations of namespaces not counted.
pub const MAX_ATTRIBUTES: usize = 64;
/// Declarations of namespaces on one element.
pub const MAX_DECLARATIONS: usize = 32;
/// Declarations of namespaces that are in scope at one place.
pub const MAX_IN_SCOPE: usize = 128;

/// What the reader found next.
pub(crate) enum Token<'a> {
    /// An element begins; ask the reader for its name, namespace and attributes.
    Start,
    /// A piece of text. There may be several in a row, and none is empty.
    Text(Cow<'a, str>),
    /// The innermost element ends.
    End,
    /// The document has ended, and was whole.
    Eof,
}

/// Where the reader stands.
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
struct Open<'a> {
    /// The name as written: the end tag must repeat it.
    raw: &'a str,
    /// How many declarations were in scope outside of it.
    mark: usize,
}

/// Reads a document token by token.
pub(crate) struct Reader<'a> {
    document: &'a str,
    tokens: quick_xml::Reader<&'a [u8]>,
    state: State,
    /// Several elements and text may stand at the top.
    fragment: bool,
    /// Elements around the document.
    outside: usize,
    /// Where the last token begins and ends.
    start: usize,
    end: usize,
    scope: Scope<'a>,
    open: Vec<Open<'a>>,
    name: &'a str,
    space: Space,
    attributes: Vec<Attribute<'a>>,
}

impl<'a> Reader<'a> {
    /// A reader of a document with one element.
    pub(crate) fn new(document: &'a [u8], inherited_ns: &'a str) -> Result<Self, ReadError> {
        let document = match std::str::from_utf8(document) {
            Ok(text) => text,
            Err(error) => {
                return Err(ReadError {
                    at: error.valid_up_to(),
                    rule: Rule::NotUtf8,
                });
            }
        };
        if document.starts_with('\u{FEFF}') {
            return Err(ReadError {
                at: 0,
                rule: Rule::ByteOrderMark,
            });
        }
        let mut tokens = quick_xml::Reader::from_str(document);
        // Names are compared here, with the offset of the tag.
        tokens.config_mut().check_end_names = false;
        tokens.config_mut().allow_unmatched_ends = true;
        Ok(Self {
            document,
            tokens,
            state: State::Before,
            fragment: false,
            outside: 0,
            start: 0,
            end: 0,
            scope: Scope::new(inherited_ns),
            open: Vec::new(),
            name: "",
            space: Space::None,
            attributes: Vec::new(),
        })
    }

    /// A reader of what stands between the tags of an element that declares `prefixes`.
    pub(crate) fn fragment<'p: 'a>(
        content: &'a [u8],
        inherited_ns: &'a str,
        prefixes: impl Iterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, ReadError> {
        let mut reader = Self::new(content, inherited_ns)?;
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
            let event = self.tokens.read_event();
            self.end = usize::try_from(self.tokens.buffer_position()).unwrap_or(usize::MAX);
            let raw = self.document.get(self.start..self.end).unwrap_or_default();
            let text = match event {
                Ok(Event::Start(_)) => {
                    self.open(raw)?;
                    return Ok(Token::Start);
                }
                Ok(Event::Empty(_)) => {
                    self.open(raw)?;
                    self.state = State::Ending;
                    return Ok(Token::Start);
                }
                Ok(Event::End(_)) => {
                    self.end_tag(raw)?;
                    return Ok(Token::End);
                }
                Ok(Event::Text(_)) if self.state == State::Inside => chars::text(raw, self.start)?,
                // quick-xml begins and ends with an empty text now and then.
                Ok(Event::Text(_)) if raw.is_empty() => continue,
                Ok(Event::GeneralRef(_)) if self.state == State::Inside => {
                    chars::reference(raw, self.start)?
                }
                Ok(Event::CData(_)) if self.state == State::Inside => {
                    chars::cdata(raw, self.start)?
                }
                Ok(Event::Text(_) | Event::GeneralRef(_) | Event::CData(_)) => {
                    return Err(self.error(Rule::TextOutside));
                }
                Ok(Event::Comment(_)) => return Err(self.error(Rule::Comment)),
                Ok(Event::Decl(_)) => return Err(self.error(Rule::Declaration)),
                Ok(Event::PI(_)) => return Err(self.error(Rule::ProcessingInstruction)),
                Ok(Event::DocType(_)) => return Err(self.error(Rule::Doctype)),
                Ok(Event::Eof) => return self.eof(),
                Err(_) => return Err(self.error(self.broken())),
            };
            if !text.is_empty() {
                return Ok(Token::Text(text));
            }
        }
    }

    /// Reads to the end, where nothing may be left.
    pub(crate) fn finish(&mut self) -> Result<(), ReadError> {
        match self.next()? {
            Token::Eof => Ok(()),
            // Reached only by a caller that stops inside an element.
            Token::Start | Token::Text(_) | Token::End => Err(self.error(Rule::TextOutside)),
        }
    }

    /// Reads over the element of which [`Token::Start`] was just returned.
    pub(crate) fn skip(&mut self) -> Result<(), ReadError> {
        let depth = self.open.len();
        while !(matches!(self.next()?, Token::End) && self.open.len() < depth) {}
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
        self.name
    }

    /// Its namespace.
    pub(crate) fn ns(&self) -> &str {
        self.scope.uri(self.space)
    }

    /// Its attributes in order.
    pub(crate) fn attributes(&self) -> &[Attribute<'a>] {
        &self.attributes
    }

    /// The value of its attribute with this name and no namespace.
    pub(crate) fn attr(&self, name: &str) -> Option<&str> {
        let found = self
            .attributes
            .iter()
            .find(|a| a.space == Space::None && a.name == name);
        found.map(|a| a.value.as_ref())
    }

    /// The namespace of an attribute.
    pub(crate) fn attr_ns(&self, attribute: &Attribute<'_>) -> Option<&str> {
        match attribute.space {
            Space::None => None,
            Space::Xml | Space::Bound(_) => Some(self.scope.uri(attribute.space)),
        }
    }

    /// The declarations on the element that just began: prefix (empty for the default) and namespace.
    pub(crate) fn declarations(&self) -> impl Iterator<Item = (&'a str, &str)> {
        self.scope
            .since(self.open.last().map_or(0, |open| open.mark))
    }

    /// The element that just began, without children.
    pub(crate) fn element(&self) -> Element {
        let attrs = self.attributes.iter().map(|a| Attr {
            ns: self.attr_ns(a).map(str::to_owned),
            name: a.name.to_owned(),
            value: a.value.clone().into_owned(),
        });
        Element {
            name: self.name.to_owned(),
            ns: self.ns().to_owned(),
            attrs: attrs.collect(),
            children: Vec::new(),
        }
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
        self.space = self.scope.element(name).map_err(|rule| self.error(rule))?;
        self.name = name.local;
        self.open.push(Open {
            raw: name.raw,
            mark,
        });
        self.state = State::Inside;
        Ok(())
    }

    fn end_tag(&mut self, raw: &str) -> Result<(), ReadError> {
        let name = raw
            .strip_prefix("</")
            .and_then(|r| r.strip_suffix('>'))
            .unwrap_or_default();
        match self.open.last() {
            Some(open) if open.raw == name.trim_end_matches(chars::WHITE_SPACE) => {
                self.close();
                Ok(())
            }
            Some(_) | None => Err(self.error(Rule::EndTag)),
        }
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.scope.truncate(open.mark);
        }
        self.state = if self.open.is_empty() && !self.fragment {
            State::After
        } else {
            State::Inside
        };
    }

    fn eof(&self) -> Result<Token<'a>, ReadError> {
        match self.state {
            State::Before => Err(self.error(Rule::NoElement)),
            State::Inside if !self.open.is_empty() => Err(self.error(Rule::Unclosed)),
            State::Inside | State::Ending | State::After => Ok(Token::Eof),
        }
    }

    /// The rule that the token broke where quick-xml gave up.
    fn broken(&self) -> Rule {
        let rest = self.document.get(self.start..).unwrap_or_default();
        if rest.starts_with("<!--") {
            Rule::Comment
        } else if rest.starts_with("<!DOCTYPE") {
            Rule::Doctype
        } else if rest.starts_with("<?") {
            Rule::ProcessingInstruction
        } else if rest.starts_with("<![CDATA[") || !rest.starts_with("<!") && rest.starts_with('<')
        {
            Rule::Unclosed
        } else if rest.starts_with('&') {
            Rule::Reference
        } else {
            Rule::Markup
        }
    }
}
