//! The two stanzas that bytestreams consist of, read in one pass: the chunk in an iq and the empty result.
//!
//! Nothing is refused here. Whatever is not written as nearly everybody writes it is `None`, and read again by
//! the strict reader; so whatever is accepted here must be accepted there, as the same.

use crate::address::Address;
use crate::base64::Whitespace;
use crate::ibb::Data;
use crate::ns;
use crate::payload::Payload;
use crate::read::Known;

use super::{Content, Envelope};

/// What stands behind the text of the chunk.
const TAIL: &[u8] = b"</data></iq>";

/// The attributes of an iq.
#[derive(Default)]
struct Head<'a> {
    from: Option<&'a str>,
    to: Option<&'a str>,
    id: Option<&'a str>,
    type_: Option<&'a str>,
}

pub(super) fn read(frame: &[u8]) -> Option<Envelope> {
    let mut tag = Known::first(frame, "iq")?;
    let mut head = Head::default();
    let (mut from, mut to, mut declared) = (None, None, None);
    while let Some((name, value)) = tag.attribute()? {
        let place = match name {
            "from" => &mut from,
            "to" => &mut to,
            "id" => &mut head.id,
            "type" => &mut head.type_,
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
    (head.from, head.to) = (from, to);
    if tag.is_empty() {
        return (head.type_? == "result" && tag.after().is_empty())
            .then(|| head.with(Content::Result(None)))
            .flatten();
    }
    if head.type_? != "set" {
        return None;
    }
    let data = data(tag)?;
    head.with(Content::Set(Payload::Data(data)))
}

/// The chunk that is all that an iq holds.
fn data(before: Known<'_>) -> Option<Data> {
    let mut tag = before.next("data")?;
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

impl Head<'_> {
    fn with(self, content: Content) -> Option<Envelope> {
        let address = |text: Option<&str>| text.map(Address::new).transpose().ok();
        let id = self.id.filter(|id| !id.is_empty())?;
        Some(Envelope {
            from: address(self.from)?,
            to: address(self.to)?,
            id: id.to_owned(),
            content,
        })
    }
}
