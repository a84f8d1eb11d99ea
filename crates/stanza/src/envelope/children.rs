//! The children of a stanza, decoded as they are read.

use std::borrow::Cow;

use crate::base64::Whitespace;
use crate::element::{grow, read_started};
use crate::ibb::Data;
use crate::ns;
use crate::payload::Payload;
use crate::payload_error::PayloadError;
use crate::read::{RawText, ReadError, Reader, Token};

/// The payloads of a stanza in order. An iq has at most one, which needs no list.
#[derive(Default)]
pub(super) struct Payloads {
    first: Option<Payload>,
    /// Empty as long as there is no first.
    others: Vec<Payload>,
}

impl Payloads {
    /// The only one, or all if there are several.
    pub(super) fn only(self) -> Result<Option<Payload>, Vec<Payload>> {
        if self.others.is_empty() {
            Ok(self.first)
        } else {
            Err(self.into())
        }
    }

    fn push(&mut self, payload: Payload) {
        if self.first.is_none() {
            self.first = Some(payload);
        } else {
            grow(&mut self.others);
            self.others.push(payload);
        }
    }
}

impl From<Payloads> for Vec<Payload> {
    fn from(payloads: Payloads) -> Self {
        let mut all = payloads.others;
        if let Some(first) = payloads.first {
            if all.len() == all.capacity() {
                all.reserve_exact(1);
            }
            all.insert(0, first);
        }
        all
    }
}

/// Reads children up to the end of the stanza.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Payloads, ReadError> {
    let mut payloads = Payloads::default();
    loop {
        match reader.next()? {
            Token::Start if reader.name() == "data" && reader.ns() == ns::IBB => {
                let only = if payloads.first.is_none() {
                    only_data(reader)
                } else {
                    None
                };
                payloads.push(match only {
                    Some(data) => {
                        // The end tag, or an error: base64 contains nothing else.
                        reader.next()?;
                        Payload::Data(data)
                    }
                    None => read_data(reader)?,
                });
            }
            Token::Start => payloads.push(Payload::from(read_started(reader)?)),
            // Text between the children has no meaning (RFC 6120 §8).
            Token::Text(_) => {}
            Token::End | Token::Eof => return Ok(payloads),
        }
    }
}

/// Reads an IBB `<data/>` that is the only child, up to its end tag. `None`, with no effect, if it looks
/// like anything else.
///
/// The position of the closing tags is known without a search, and that there is nothing in between is known once
/// the text decodes as base64.
fn only_data(reader: &mut Reader<'_>) -> Option<Data> {
    let (text, sid, seq) = (
        reader.only_text()?,
        reader.attr("sid")?,
        reader.attr("seq")?,
    );
    let data = Data::from_bytes(sid, seq, text.bytes, Whitespace::Refuse).ok()?;
    reader.took(&text);
    Some(data)
}

/// Reads an IBB `<data/>`, leaving its text in the frame.
///
/// Base64 contains nothing that XML forbids, so only other text is checked for that.
fn read_data(reader: &mut Reader<'_>) -> Result<Payload, ReadError> {
    let sid = reader.attr("sid").map(str::to_owned);
    let seq = reader.attr("seq").map(str::to_owned);
    let raw = reader.raw_text();
    let mut token = match (reader.next(), &raw) {
        (Ok(token), _) => token,
        // Errors in the text precede those in the rest.
        (Err(error), raw) => {
            raw.as_ref().map(RawText::check).transpose()?;
            return Err(error);
        }
    };
    if let (Token::End, Some(raw), Some(sid), Some(seq)) = (&token, &raw, &sid, &seq)
        && let Ok(data) = Data::from_bytes(sid, seq, raw.bytes, Whitespace::Skip)
    {
        return Ok(Payload::Data(data));
    }

    let mut text = raw.map_or(Ok(Cow::Borrowed("")), |raw| raw.check())?;
    let mut nested = false;
    loop {
        match token {
            Token::Text(piece) => text.to_mut().push_str(&piece),
            Token::Start => {
                nested = true;
                reader.skip()?;
            }
            Token::End | Token::Eof => break,
        }
        token = reader.next()?;
    }
    let missing = |attribute| PayloadError::Missing {
        element: "data",
        attribute,
    };
    let read = match (&sid, &seq) {
        (None, _) => Err(missing("sid")),
        (_, None) => Err(missing("seq")),
        _ if nested => Err(PayloadError::Children { element: "data" }),
        (Some(sid), Some(seq)) => Data::from_parts(sid, seq, &text, Whitespace::Skip),
    };
    Ok(match read {
        Ok(data) => Payload::Data(data),
        Err(why) => Payload::Malformed {
            ns: ns::IBB.into(),
            name: "data".into(),
            sid,
            why,
        },
    })
}
