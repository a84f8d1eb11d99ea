//! A stanza with a typed head and raw children.

mod extra;
mod line;
mod namespaces;
mod stanza_type;

use std::borrow::Cow;
use std::fmt;

use bytes::{Buf as _, Bytes};

pub use self::extra::RawAttr;
pub use self::stanza_type::{OtherType, StanzaType};
use crate::address::Address;
use crate::element::{Element, read_all, read_started};
use crate::read::{ReadError, Reader, Rule, Token};
use crate::{ns, weight, write};

/// Bytes that the tags of a stanza may have before its children are copied, so that a short body doesn't keep a long head in
/// memory. Tags shorter than a quarter of the children don't count.
const MAX_AROUND: usize = 512;

/// The three kinds of stanzas (RFC 6120 §8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `<message/>`
    Message,
    /// `<presence/>`
    Presence,
    /// `<iq/>`
    Iq,
}

impl Kind {
    /// The name of the element.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "message" => Some(Self::Message),
            "presence" => Some(Self::Presence),
            "iq" => Some(Self::Iq),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A stanza with a typed head and raw, uncopied children.
///
/// Reading checks the whole element; writing puts a canonical head before the same bytes.
/// Debug output shows the head and the length of the children only.
///
/// ```
/// use bytes::Bytes;
/// use xtls_stanza::{Address, Kind, Stanza};
///
/// let frame = Bytes::from_static(b"<message to='juliet@capulet.example'><body>Call me but love</body></message>");
/// let mut stanza = Stanza::read(&frame)?;
/// assert_eq!(stanza.kind, Kind::Message);
/// assert_eq!(stanza.elements()?[0].text(), "Call me but love");
///
/// stanza.to = None;
/// let mut out = Vec::new();
/// stanza.write(&mut out);
/// assert_eq!(out, b"<message xmlns='jabber:client'><body>Call me but love</body></message>");
/// # Ok::<(), xtls_stanza::ReadError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Stanza {
    /// Message, presence or iq.
    pub kind: Kind,
    /// The sender.
    pub from: Option<Address>,
    /// The addressee.
    pub to: Option<Address>,
    /// The id, repeated in answers.
    pub id: Option<String>,
    /// The type, which means different things for each kind.
    pub type_: Option<StanzaType>,
    /// The language of human-readable text (`xml:lang`).
    pub lang: Option<String>,
    /// Declarations of prefixes, which the children may need, and then other attributes.
    pub extra: Vec<RawAttr>,
    /// Everything between the tags, with `jabber:client` as the default namespace. Checked by
    /// [`Stanza::read`], [`Stanza::with_child`] and [`Stanza::with_children`]; if you set it
    /// directly, make sure that it is well-formed.
    pub children: Bytes,
}

impl Stanza {
    /// A stanza without attributes or children.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            from: None,
            to: None,
            id: None,
            type_: None,
            lang: None,
            extra: Vec::new(),
            children: Bytes::new(),
        }
    }

    /// Reads one stanza. The children are a slice of `frame`.
    ///
    /// Without a declaration, the default namespace is `jabber:client`. A prefix on the stanza itself
    /// is understood but not preserved.
    ///
    /// # Errors
    ///
    /// Anything that [`Element::read`] refuses, an element that isn't a stanza in `jabber:client`, and a
    /// `from` or `to` that isn't an address.
    pub fn read(frame: &Bytes) -> Result<Self, ReadError> {
        Self::try_from(frame.clone())
    }

    /// Appends the stanza: `xmlns`, `from`, `to`, `id`, `type`, `xml:lang`, [`extra`](Self::extra),
    /// and then the children unchanged.
    ///
    /// Characters that XML can't represent become U+FFFD in values. Duplicates in `extra`
    /// and attributes whose prefix isn't declared there are omitted.
    pub fn write(&self, out: &mut Vec<u8>) {
        Head {
            kind: self.kind,
            from: self.from.as_ref(),
            to: self.to.as_ref(),
            id: self.id.as_deref(),
            type_: self.type_.as_deref(),
            lang: self.lang.as_deref(),
        }
        .write(out);
        extra::write(&self.extra, out);
        if self.children.is_empty() {
            write::all(out, &["/>"]);
        } else {
            write::all(out, &[">"]);
            out.extend_from_slice(&self.children);
            write::all(out, &["</", self.kind.name(), ">"]);
        }
    }

    /// The child elements as trees, without the text between them.
    ///
    /// # Errors
    ///
    /// None after [`Stanza::read`]; anything that [`Element::read`] refuses if `children` or `extra` were set directly.
    pub fn elements(&self) -> Result<Vec<Element>, ReadError> {
        read_all(&mut self.child_reader()?)
    }

    /// Removes the child elements that aren't wanted. If any is removed, so is the text between children. What
    /// stays is left unchanged.
    ///
    /// # Errors
    ///
    /// As [`Stanza::elements`]; the stanza is unchanged then.
    pub fn retain(&mut self, mut wanted: impl FnMut(&Element) -> bool) -> Result<(), ReadError> {
        let mut reader = self.child_reader()?;
        let (mut kept, mut all) = (Vec::new(), true);
        loop {
            match reader.next()? {
                Token::Start => {
                    let start = reader.span().start;
                    if wanted(&read_started(&mut reader)?) {
                        kept.push(start..reader.span().end);
                    } else {
                        all = false;
                    }
                }
                Token::Text(_) => {}
                Token::End | Token::Eof => break,
            }
        }
        if !all {
            let kept = kept
                .into_iter()
                .filter_map(|range| self.children.get(range));
            self.children = kept.collect::<Vec<_>>().concat().into();
        }
        Ok(())
    }

    pub(crate) fn child_reader(&self) -> Result<Reader<'_>, ReadError> {
        let prefixes = self
            .extra
            .iter()
            .filter_map(|attr| Some((attr.declares()?, attr.value.as_str())));
        Reader::fragment(&self.children, ns::CLIENT, prefixes)
    }

    /// Sets the sender.
    #[must_use]
    pub fn with_from(mut self, from: Address) -> Self {
        self.from = Some(from);
        self
    }

    /// Sets the addressee.
    #[must_use]
    pub fn with_to(mut self, to: Address) -> Self {
        self.to = Some(to);
        self
    }

    /// Sets the id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the type.
    #[must_use]
    pub fn with_type(mut self, type_: impl Into<StanzaType>) -> Self {
        self.type_ = Some(type_.into());
        self
    }

    /// Sets the language.
    #[must_use]
    pub fn with_lang(mut self, lang: impl Into<String>) -> Self {
        self.lang = Some(lang.into());
        self
    }

    /// Adds a child. The children are copied.
    #[must_use]
    pub fn with_child(mut self, child: &Element) -> Self {
        let mut children = Vec::from(self.children);
        child.write(ns::CLIENT, &mut children);
        self.children = children.into();
        self
    }

    /// Replaces the children, after checking the new ones.
    ///
    /// # Errors
    ///
    /// Anything that [`Element::read`] refuses.
    pub fn with_children(mut self, children: Bytes) -> Result<Self, ReadError> {
        self.children = children;
        let mut reader = self.child_reader()?;
        while !matches!(reader.next()?, Token::Eof) {}
        Ok(self)
    }

    /// The whole stanza as a tree.
    ///
    /// # Errors
    ///
    /// As [`Stanza::elements`]. Anything in [`extra`](Self::extra) that [`Stanza::write`] omits is omitted.
    pub fn to_element(&self) -> Result<Element, ReadError> {
        line::element(self)
    }

    /// Appends the stanza on one line, by any reader's definition of a line, and without anything that a terminal
    /// interprets. The line end is up to the caller.
    ///
    /// CDATA sections become ordinary text. Controls (U+0000 to U+001F, U+007F to U+009F), line and paragraph
    /// separators (U+2028, U+2029) and bidirectional controls (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066
    /// to U+2069) become references such as `&#x2028;`. [`Stanza::read`] reads the same tree from it.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use xtls_stanza::Stanza;
    ///
    /// let frame = Bytes::from("<message><body><![CDATA[a\u{2028}<b>\n]]>c</body></message>");
    /// let mut line = Vec::new();
    /// Stanza::read(&frame)?.write_line(&mut line)?;
    /// assert_eq!(line, b"<message xmlns='jabber:client'><body>a&#x2028;&lt;b&gt;&#xA;c</body></message>");
    /// # Ok::<(), xtls_stanza::ReadError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Stanza::elements`]; nothing is appended then.
    pub fn write_line(&self, out: &mut Vec<u8>) -> Result<(), ReadError> {
        line::write(self, out)
    }

    /// Whether an element inside may be in a namespace that begins with one of these. `false` is certain;
    /// `true` may be wrong, because nothing is parsed: check [`Stanza::elements`].
    ///
    /// ```
    /// use bytes::Bytes;
    /// use xtls_stanza::Stanza;
    ///
    /// let receipt = b"<message><received xmlns='urn:xmpp:receipts' id='a1'/></message>";
    /// let receipt = Stanza::read(&Bytes::from_static(receipt))?;
    /// assert!(receipt.may_hold(&["urn:xmpp:"]));
    /// assert!(!receipt.may_hold(&["jabber:iq:"]));
    /// # Ok::<(), xtls_stanza::ReadError>(())
    /// ```
    pub fn may_hold(&self, namespaces: &[&str]) -> bool {
        namespaces::may_hold(self, namespaces)
    }

    /// Bytes of memory that it holds: itself, its children, id, type, language, addresses and every other attribute.
    ///
    /// Children that share their memory with a longer frame count with their own length.
    pub fn weight(&self) -> usize {
        weight::stanza(self)
    }
}

/// Like [`Stanza::read`], but takes over the frame, which becomes the children.
impl TryFrom<Bytes> for Stanza {
    type Error = ReadError;

    fn try_from(mut frame: Bytes) -> Result<Self, ReadError> {
        let mut reader = Reader::new(&frame, ns::CLIENT);
        let (mut sender, mut addressee) = (None, None);
        let start = Start::read(&mut reader, &mut sender, &mut addressee)?;
        let from = reader.span().end;
        reader.skip()?;
        let to = reader.span().start;
        reader.finish()?;
        let mut stanza = Self {
            kind: start.kind,
            from: sender,
            to: addressee,
            id: start.id.map(Cow::into_owned),
            type_: start.type_,
            lang: start.lang.map(Cow::into_owned),
            extra: start.extra,
            children: Bytes::new(),
        };
        // The end of `<message/>` has no position of its own.
        if from < to {
            let around = frame.len() - (to - from);
            frame.truncate(to);
            frame.advance(from);
            // A slice keeps the whole frame alive, including the tags.
            let wasteful = around > MAX_AROUND && around > frame.len() / 4;
            stanza.children = if wasteful {
                Bytes::copy_from_slice(&frame)
            } else {
                frame
            };
        }
        Ok(stanza)
    }
}

/// The start tag of a stanza, with its strings left in the frame.
pub(crate) struct Start<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) type_: Option<StanzaType>,
    lang: Option<Cow<'a, str>>,
    extra: Vec<RawAttr>,
}

impl<'a> Start<'a> {
    /// Reads the first tag of a document, writing the addresses to their final place.
    pub(crate) fn read(
        reader: &mut Reader<'a>,
        from: &mut Option<Address>,
        to: &mut Option<Address>,
    ) -> Result<Self, ReadError> {
        match reader.next()? {
            Token::Start => {}
            Token::Text(_) | Token::End | Token::Eof => return Err(reader.error(Rule::NoElement)),
        }
        if reader.ns() != ns::CLIENT {
            return Err(reader.error(Rule::StanzaNamespace));
        }
        let Some(kind) = Kind::from_name(reader.name()) else {
            return Err(reader.error(Rule::NotAStanza));
        };
        let mut extra = Vec::new();
        for (prefix, uri) in reader.declarations() {
            if !prefix.is_empty() {
                extra.push(RawAttr {
                    name: format!("xmlns:{prefix}"),
                    value: uri.to_owned(),
                });
            } else if uri != ns::CLIENT {
                return Err(reader.error(Rule::DefaultNamespace));
            }
        }
        let at = reader.span().start;
        let wrong = |_| ReadError {
            at,
            rule: Rule::Address,
        };
        let (mut id, mut type_, mut lang) = (None, None, None);
        for attribute in reader.take_attributes() {
            let value = attribute.value;
            match attribute.name.raw {
                "from" => Address::read(from, &value).map_err(wrong)?,
                "to" => Address::read(to, &value).map_err(wrong)?,
                "id" => id = Some(value),
                "type" => type_ = Some(StanzaType::from(&*value)),
                "xml:lang" => lang = Some(value),
                raw => extra.push(RawAttr {
                    name: raw.to_owned(),
                    value: value.into_owned(),
                }),
            }
        }
        Ok(Self {
            kind,
            id,
            type_,
            lang,
            extra,
        })
    }

    /// The start tag of a stanza that has already been read.
    pub(crate) fn of(stanza: &'a Stanza) -> Self {
        Self {
            kind: stanza.kind,
            id: stanza.id.as_deref().map(Cow::Borrowed),
            type_: stanza.type_.clone(),
            lang: None,
            extra: Vec::new(),
        }
    }
}

/// The typed attributes of a stanza.
pub(crate) struct Head<'a> {
    pub(crate) kind: Kind,
    pub(crate) from: Option<&'a Address>,
    pub(crate) to: Option<&'a Address>,
    pub(crate) id: Option<&'a str>,
    pub(crate) type_: Option<&'a str>,
    pub(crate) lang: Option<&'a str>,
}

impl Head<'_> {
    /// Appends the start tag up to where more attributes may follow.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self.kind {
            Kind::Iq => out.extend_from_slice(b"<iq xmlns='jabber:client'"),
            Kind::Message => out.extend_from_slice(b"<message xmlns='jabber:client'"),
            Kind::Presence => out.extend_from_slice(b"<presence xmlns='jabber:client'"),
        }
        if let Some(from) = self.from {
            from.write(b" from='", out);
        }
        if let Some(to) = self.to {
            to.write(b" to='", out);
        }
        if let Some(id) = self.id {
            write::quoted(out, b" id='", id);
        }
        if let Some(type_) = self.type_ {
            write::quoted(out, b" type='", type_);
        }
        if let Some(lang) = self.lang {
            write::quoted(out, b" xml:lang='", lang);
        }
    }
}

impl fmt::Debug for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stanza")
            .field("kind", &self.kind)
            .field("from", &self.from)
            .field("to", &self.to)
            .field("id", &self.id)
            .field("type", &self.type_)
            .field("lang", &self.lang)
            .field("extra", &self.extra)
            .field("children", &format_args!("{} bytes", self.children.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests;
