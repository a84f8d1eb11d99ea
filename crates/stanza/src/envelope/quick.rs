//! The two stanzas that bytestreams consist of, read in one pass: the chunk in an iq and the empty result.
//!
//! Nothing is refused here. Whatever is not written as nearly everybody writes it is `None`, and read again by
//! the strict reader; so whatever is accepted here must be accepted there, as the same.

use super::{Content, Envelope, Familiar};
use crate::address::Address;
use crate::base64::{self, Whitespace};
use crate::ibb::{self, Data, Seq, Sid};
use crate::ns;
use crate::payload::Payload;
use crate::read::word;

/// What stands behind the text of the chunk.
const TAIL: &[u8] = b"</data></iq>";

pub(super) fn read(frame: &[u8], known: &mut Familiar) -> Option<Envelope> {
    let mut rest = frame.strip_prefix(b"<iq")?;
    let [mut from, mut to, mut id, mut type_, mut declared] = [None; 5];
    let is_empty = loop {
        let (place, value) = match rest {
            [b' ', b'f', b'r', b'o', b'm', value @ ..] => (&mut from, value),
            [b' ', b't', b'o', value @ ..] => (&mut to, value),
            [b' ', b'i', b'd', value @ ..] => (&mut id, value),
            [b' ', b't', b'y', b'p', b'e', value @ ..] => (&mut type_, value),
            [b' ', b'x', b'm', b'l', b'n', b's', value @ ..] => (&mut declared, value),
            [b'>', after @ ..] => {
                rest = after;
                break false;
            }
            [b'/', b'>'] => break true,
            _ => return None,
        };
        rest = once(place, value)?;
    };
    if declared.is_some_and(|ns| ns != ns::CLIENT.as_bytes()) {
        return None;
    }
    let id = id.filter(|id| !id.is_empty())?;
    let content = match type_? {
        b"result" if is_empty => Content::Result(None),
        b"set" if !is_empty => Content::Set(Payload::Data(data(rest)?)),
        _ => return None,
    };
    Some(Envelope {
        from: address(from, &mut known.from)?,
        to: address(to, &mut known.to)?,
        id: str::from_utf8(id).ok()?.to_owned(),
        content,
    })
}

/// The chunk that is all that an iq holds.
fn data(frame: &[u8]) -> Option<Data> {
    let mut rest = frame.strip_prefix(b"<data")?;
    let [mut declared, mut sid, mut seq] = [None; 3];
    let text = loop {
        let (place, value) = match rest {
            [b' ', b's', b'i', b'd', value @ ..] => (&mut sid, value),
            [b' ', b's', b'e', b'q', value @ ..] => (&mut seq, value),
            [b' ', b'x', b'm', b'l', b'n', b's', value @ ..] => (&mut declared, value),
            [b'>', text @ ..] => break text.strip_suffix(TAIL)?,
            _ => return None,
        };
        rest = once(place, value)?;
    };
    if text.is_empty() || declared? != ns::IBB.as_bytes() {
        return None;
    }
    Some(Data {
        sid: Sid::of_ascii(sid?)?,
        seq: ibb::u16_of(str::from_utf8(seq?).ok()?).map(Seq)?,
        bytes: base64::decode_bytes(text, Whitespace::Refuse).ok()?,
    })
}

/// Takes `='…'` of an attribute that did not come before; gives what follows it. What is between the quotes is ASCII without
/// references and controls.
#[inline]
fn once<'a>(place: &mut Option<&'a [u8]>, text: &'a [u8]) -> Option<&'a [u8]> {
    let [b'=', quote @ (b'\'' | b'"'), text @ ..] = text else {
        return None;
    };
    let (value, rest) = text.split_at_checked(word::value_len(text, *quote))?;
    let [end, rest @ ..] = rest else {
        return None;
    };
    (end == quote && place.replace(value).is_none()).then_some(rest)
}

/// An address, if there is one; `None` if it is wrong.
fn address(text: Option<&[u8]>, known: &mut Option<Address>) -> Option<Option<Address>> {
    let Some(text) = text else {
        return Some(None);
    };
    if known.as_ref().is_none_or(|known| known.as_bytes() != text) {
        *known = Some(Address::of_ascii(text)?);
    }
    Some(known.clone())
}
