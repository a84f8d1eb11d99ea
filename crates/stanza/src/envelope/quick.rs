//! The two stanzas that bytestreams consist of, read in one pass: the chunk in an iq and the empty result.
//!
//! As with stanzas in general, nothing is refused here: what is not plain is `None`.

use super::{Content, Envelope};
use crate::base64::Whitespace;
use crate::ibb::Data;
use crate::ns;
use crate::payload::Payload;
use crate::read::Known;
use crate::stanza::{Kind, Plain, address};

/// What stands behind the text of the chunk.
const TAIL: &[u8] = b"</data></iq>";

pub(super) fn read(frame: &[u8]) -> Option<Envelope> {
    let (Kind::Iq, plain, tag) = Plain::read(frame)? else {
        return None;
    };
    let id = plain.id.filter(|id| !id.is_empty())?;
    let content = match plain.type_? {
        "result" if tag.is_empty() && tag.after().is_empty() => Content::Result(None),
        "set" => Content::Set(Payload::Data(data(tag)?)),
        _ => return None,
    };
    Some(Envelope {
        from: address(plain.from)?,
        to: address(plain.to)?,
        id: id.to_owned(),
        content,
    })
}

/// The chunk that is all that an iq holds.
fn data(before: Known<'_>) -> Option<Data> {
    let (mut tag, "data") = before.next()? else {
        return None;
    };
    let (mut declared, mut sid, mut seq) = (None, None, None);
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
