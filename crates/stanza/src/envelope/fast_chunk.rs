//! One-pass readers for the two stanzas that make up bytestreams: the chunk in an iq and the empty result.
//!
//! Nothing is refused here. Anything not written the way nearly all clients write it yields `None` and is read again by
//! the strict reader. Anything accepted here must be accepted there, with the same result.

use crate::address::Address;
use crate::base64::{self, Whitespace};
use crate::ibb::{self, Data, Seq, Sid};
use crate::ns;
use crate::xml::simd;

/// What follows the text of the chunk.
const TAIL: &[u8] = b"</data></iq>";

/// The addresses of the last stanza read, for [`Envelope::read_cached`](super::Envelope::read_cached): most stanzas of a
/// bytestream repeat them. Keep one for each direction of a connection.
#[derive(Clone, Debug, Default)]
pub struct AddressCache {
    from: Option<Address>,
    to: Option<Address>,
}

/// One of the two stanzas.
pub(super) struct Iq {
    pub(super) from: Option<Address>,
    pub(super) to: Option<Address>,
    pub(super) id: String,
    /// The chunk of a `set`; `None` is the empty result.
    pub(super) data: Option<Data>,
}

pub(super) fn read(frame: &[u8], known: &mut AddressCache) -> Option<Iq> {
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
    let data = match type_? {
        b"result" if is_empty => None,
        b"set" if !is_empty => Some(data(rest)?),
        _ => return None,
    };
    Some(Iq {
        from: address(from, &mut known.from)?,
        to: address(to, &mut known.to)?,
        id: str::from_utf8(id).ok()?.to_owned(),
        data,
    })
}

/// The chunk, if it is the only content of the iq.
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

/// Parses `='…'` of an attribute that has not occurred before and returns the rest. The value is ASCII without
/// references or controls.
#[inline]
fn once<'a>(place: &mut Option<&'a [u8]>, text: &'a [u8]) -> Option<&'a [u8]> {
    let [b'=', quote @ (b'\'' | b'"'), text @ ..] = text else {
        return None;
    };
    let (value, rest) = text.split_at_checked(simd::value_len(text, *quote))?;
    let [end, rest @ ..] = rest else {
        return None;
    };
    (end == quote && place.replace(value).is_none()).then_some(rest)
}

/// An optional address; `None` if it is invalid.
fn address(text: Option<&[u8]>, known: &mut Option<Address>) -> Option<Option<Address>> {
    let Some(text) = text else {
        return Some(None);
    };
    if known.as_ref().is_none_or(|known| known.as_bytes() != text) {
        *known = Some(Address::of_ascii(text)?);
    }
    Some(known.clone())
}
