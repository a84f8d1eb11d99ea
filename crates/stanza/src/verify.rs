//! Verification: what two ends of a tunnel say to each other, inside of it, to find out whether anybody is between them.
//!
//! Each step is the only child of a `<message/>`, which is the ends' own and no application's.

use std::fmt;

use crate::base64::{self, Whitespace};
use crate::element::{Element, read_started};
use crate::payload_error::PayloadError;
use crate::read::{ReadError, Reader, Token};
use crate::stanza::{Kind, Stanza, StanzaType};

/// The namespace.
pub const NS: &str = crate::ns::XTLS_VERIFY;

/// How two people compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Words that both ends show.
    Words,
    /// A code that both people enter.
    Code,
}

/// One step. `Debug` shows the kind only.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// The person here wants it, by this method.
    Ready(Method),
    /// SHA-256 that promises the client's nonce.
    Commit([u8; 32]),
    /// The server's nonce.
    Nonce([u8; 32]),
    /// The client's nonce.
    Reveal([u8; 32]),
    /// One side of SPAKE2.
    Pake([u8; 33]),
    /// The proof that this end has seen the same.
    Confirm([u8; 32]),
    /// It is over, and nothing is verified.
    Cancel(Reason),
}

/// Why it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The person there does not want it.
    Declined,
    /// What was compared is not the same.
    Mismatch,
    /// The other method is wanted.
    Method,
    /// Too many attempts have failed, or the code has served before.
    Locked,
    /// It took too long.
    Timeout,
    /// Something else, or a word that is not known here.
    Failed,
}

impl Reason {
    const ALL: [Self; 6] = [
        Self::Declined,
        Self::Mismatch,
        Self::Method,
        Self::Locked,
        Self::Timeout,
        Self::Failed,
    ];

    /// As it stands on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::Mismatch => "mismatch",
            Self::Method => "method",
            Self::Locked => "locked",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
        }
    }
}

impl Step {
    /// The name of the element.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ready(_) => "ready",
            Self::Commit(_) => "commit",
            Self::Nonce(_) => "nonce",
            Self::Reveal(_) => "reveal",
            Self::Pake(_) => "pake",
            Self::Confirm(_) => "confirm",
            Self::Cancel(_) => "cancel",
        }
    }

    /// Reads an element. Attributes and children that are not known are ignored.
    ///
    /// # Errors
    ///
    /// An element of another name or namespace, a method that is not known, and text that is not exactly the bytes that are
    /// due in base64 without white space.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        if element.ns != NS {
            return Err(PayloadError::Unknown);
        }
        match element.name.as_str() {
            "ready" => match element.attr("method") {
                Some("words") => Ok(Self::Ready(Method::Words)),
                Some("code") => Ok(Self::Ready(Method::Code)),
                Some(_) | None => Err(PayloadError::Attribute {
                    element: "ready",
                    attribute: "method",
                }),
            },
            "commit" => Ok(Self::Commit(bytes(element, "commit")?)),
            "nonce" => Ok(Self::Nonce(bytes(element, "nonce")?)),
            "reveal" => Ok(Self::Reveal(bytes(element, "reveal")?)),
            "pake" => Ok(Self::Pake(bytes(element, "pake")?)),
            "confirm" => Ok(Self::Confirm(bytes(element, "confirm")?)),
            "cancel" => {
                let word = element.attr("reason").unwrap_or_default();
                let known = Reason::ALL.into_iter().find(|reason| reason.name() == word);
                Ok(Self::Cancel(known.unwrap_or(Reason::Failed)))
            }
            _ => Err(PayloadError::Unknown),
        }
    }

    /// The step in a stanza that came out of a tunnel; `None` if it is about something else, or an error that repeats one.
    ///
    /// # Errors
    ///
    /// A step in a stanza that is not a message, one beside other children, or one that [`read`](Self::read) refuses.
    pub fn in_stanza(stanza: &Stanza) -> Option<Result<Self, PayloadError>> {
        if !stanza.may_hold(&[NS]) || stanza.type_ == Some(StanzaType::Error) {
            return None;
        }
        // What cannot be read is refused by who reads it next.
        let (step, count) = Self::among(&mut stanza.child_reader().ok()?).ok()??;
        if count == 1 && stanza.kind == Kind::Message {
            Some(Self::read(&step))
        } else {
            Some(Err(PayloadError::Unknown))
        }
    }

    /// The first step among these children, and how many children there are. No tree is made of the others.
    fn among(reader: &mut Reader<'_>) -> Result<Option<(Element, usize)>, ReadError> {
        let (mut step, mut count) = (None, 0_usize);
        loop {
            match reader.next()? {
                Token::Start => {
                    count += 1;
                    if step.is_none() && reader.ns() == NS {
                        step = Some(read_started(reader)?);
                    } else {
                        reader.skip()?;
                    }
                }
                Token::Text(_) => {}
                Token::End | Token::Eof => return Ok(step.map(|step| (step, count))),
            }
        }
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        let element = Element::new(self.name(), NS);
        match self {
            Self::Ready(Method::Words) => element.with_attr("method", "words"),
            Self::Ready(Method::Code) => element.with_attr("method", "code"),
            Self::Commit(bytes)
            | Self::Nonce(bytes)
            | Self::Reveal(bytes)
            | Self::Confirm(bytes) => element.with_text(text(bytes)),
            Self::Pake(bytes) => element.with_text(text(bytes)),
            Self::Cancel(reason) => element.with_attr("reason", reason.name()),
        }
    }

    /// The stanza that carries it, without addresses.
    pub fn to_stanza(&self) -> Stanza {
        Stanza::new(Kind::Message).with_child(&self.to_element())
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(method) => write!(f, "ready({method:?})"),
            Self::Cancel(reason) => write!(f, "cancel({reason:?})"),
            Self::Commit(_)
            | Self::Nonce(_)
            | Self::Reveal(_)
            | Self::Pake(_)
            | Self::Confirm(_) => f.write_str(self.name()),
        }
    }
}

fn bytes<const N: usize>(element: &Element, name: &'static str) -> Result<[u8; N], PayloadError> {
    let wrong = |why| PayloadError::Base64 { element: name, why };
    let bytes = base64::decode(&element.text(), Whitespace::Refuse).map_err(wrong)?;
    <[u8; N]>::try_from(bytes.as_ref()).map_err(|_| wrong(base64::Error::Length))
}

fn text(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    base64::encode(bytes, &mut text);
    String::from_utf8(text).unwrap_or_default()
}
