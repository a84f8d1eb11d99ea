//! The two stanzas that bytestreams consist of, read in one pass: the chunk in an iq and the empty result.
//!
//! Nothing is refused here. Whatever is not written as nearly everybody writes it is `None`, and read again by
//! the strict reader; so whatever is accepted here must be accepted there, as the same.

use super::{Content, Envelope};
use crate::address::Address;
use crate::base64::Whitespace;
use crate::ibb::Data;
use crate::ns;
use crate::payload::Payload;
use crate::read::Known;

/// What stands behind the text of the chunk.
const TAIL: &[u8] = b"</data></iq>";

pub(super) fn read(frame: &[u8]) -> Option<Envelope> {
    let (mut tag, "iq") = Known::first(frame)? else {
        return None;
    };
    let [mut from, mut to, mut id, mut type_, mut declared] = [None; 5];
    while let Some((name, value)) = tag.attribute()? {
        let place = match name {
            "from" => &mut from,
            "to" => &mut to,
            "id" => &mut id,
            "type" => &mut type_,
            "xmlns" => &mut declared,
            _ => return None,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    if declared.is_some_and(|ns| ns != ns::CLIENT) {
        return None;
    }
    let id = id.filter(|id| !id.is_empty())?;
    let content = match type_? {
        "result" if tag.is_empty() && tag.after().is_empty() => Content::Result(None),
        "set" => Content::Set(Payload::Data(data(tag)?)),
        _ => return None,
    };
    Some(Envelope {
        from: address(from)?,
        to: address(to)?,
        id: id.to_owned(),
        content,
    })
}

/// An address, if there is one; `None` if it is wrong.
fn address(text: Option<&str>) -> Option<Option<Address>> {
    text.map(Address::new).transpose().ok()
}

/// The chunk that is all that an iq holds.
fn data(before: Known<'_>) -> Option<Data> {
    let (mut tag, "data") = before.next()? else {
        return None;
    };
    let [mut declared, mut sid, mut seq] = [None; 3];
    while let Some((name, value)) = tag.attribute()? {
        let place = match name {
            "sid" => &mut sid,
            "seq" => &mut seq,
            "xmlns" => &mut declared,
            _ => return None,
        };
        if place.replace(value).is_some() {
            return None;
        }
    }
    let text = tag.after().strip_suffix(TAIL)?;
    if tag.is_empty() || text.is_empty() || declared? != ns::IBB {
        return None;
    }
    Data::from_bytes(sid?, seq?, text, Whitespace::Refuse).ok()
}
