//! How much memory a value holds, for queues that are limited by bytes.
//!
//! What counts is what others can make large: every string, list and tree, and for each piece of the heap what the
//! allocator needs beside it. Memory that is shared counts for everyone who holds it, so a sum is never too small.

use std::mem::size_of;

use bytes::Bytes;

use crate::address::Address;
use crate::condition::StanzaError;
use crate::disco::{Identity, Info, Query};
use crate::element::{Attr, Element, Node};
use crate::envelope::{Content, Envelope};
use crate::ibb::{Close, Data, Open, Sid};
use crate::name::Namespace;
use crate::payload::Payload;
use crate::stanza::{RawAttr, Stanza, StanzaType};
use crate::text::Text;
use crate::xtls::Control;

/// The counts that stand in front of what is shared.
const COUNTS: usize = 2 * size_of::<usize>();

/// What an allocator needs for a piece of the heap, beside what was asked for.
const PIECE: usize = 16;

/// What [`Stanza::weight`] says.
pub(crate) fn stanza(stanza: &Stanza) -> usize {
    let Stanza {
        kind: _,
        from,
        to,
        id,
        type_,
        lang,
        extra,
        children,
    } = stanza;
    size_of::<Stanza>()
        + [id, lang].into_iter().flatten().map(string).sum::<usize>()
        + match type_ {
            Some(StanzaType::Other(other)) => piece(other.as_str().len()),
            Some(_) | None => 0,
        }
        + [from, to].into_iter().flatten().map(address).sum::<usize>()
        + list(extra, |attr: &RawAttr| {
            string(&attr.name) + string(&attr.value)
        })
        + shared(children)
}

/// What [`Envelope::weight`] says.
pub(crate) fn envelope(envelope: &Envelope) -> usize {
    let Envelope {
        from,
        to,
        id,
        content,
    } = envelope;
    let content = match content {
        Content::Get(payload) | Content::Set(payload) | Content::Result(Some(payload)) => {
            heap(payload)
        }
        Content::Result(None) => 0,
        Content::Error(error) => error_heap(error),
        Content::Message {
            kind: _,
            payloads,
            error,
        } => list(payloads, heap) + error.as_ref().map_or(0, error_heap),
        Content::Presence { kind: _, payloads } => list(payloads, heap),
    };
    size_of::<Envelope>()
        + string(id)
        + [from, to].into_iter().flatten().map(address).sum::<usize>()
        + content
}

/// What [`Element::weight`] says.
pub(crate) fn element(element: &Element) -> usize {
    size_of::<Element>() + element_heap(element)
}

fn element_heap(element: &Element) -> usize {
    tree(element, &mut Recent::default())
}

fn tree(element: &Element, recent: &mut Recent) -> usize {
    let Element {
        name,
        ns,
        attrs,
        children,
    } = element;
    let own = text(name.text()) + recent.namespace(ns);
    let mut lists = piece(attrs.capacity() * size_of::<Attr>());
    for Attr { ns, name, value } in attrs {
        let ns = ns.as_ref().map_or(0, |ns| recent.namespace(ns));
        lists += ns + text(name.text()) + string(value);
    }
    lists += piece(children.capacity() * size_of::<Node>());
    for node in children {
        lists += match node {
            Node::Element(element) => piece(size_of::<Element>()) + tree(element, recent),
            Node::Text(text) => string(text),
        };
    }
    own + lists
}

/// The places of the namespaces that were counted last.
#[derive(Default)]
struct Recent {
    places: [Option<*const u8>; 4],
}

impl Recent {
    /// What a namespace adds.
    fn namespace(&mut self, ns: &Namespace) -> usize {
        let place = Some(ns.place());
        if self.places.contains(&place) {
            return 0;
        }
        let [first, second, third, _] = self.places;
        self.places = [place, first, second, third];
        COUNTS + piece(ns.len())
    }
}

fn error_heap(error: &StanzaError) -> usize {
    let StanzaError {
        kind: _,
        condition: _,
        text,
        app,
    } = error;
    text.as_ref().map_or(0, string) + app.as_ref().map_or(0, element_heap)
}

fn heap(payload: &Payload) -> usize {
    match payload {
        Payload::Open(Open {
            sid: name,
            block_size: _,
            carrier: _,
            extensions,
        }) => sid(name) + list(extensions, element_heap),
        Payload::Data(Data {
            sid: name,
            seq: _,
            bytes,
        }) => sid(name) + shared(bytes),
        Payload::Close(Close { sid: name }) => sid(name),
        Payload::Xtls(control) => match control {
            Control::Start { hello } | Control::Proceed { hello } => {
                hello.as_ref().map_or(0, shared)
            }
            Control::Data(bytes) => shared(bytes),
            Control::Close { sid: name } => name.as_ref().map_or(0, sid),
            Control::Closed => 0,
        },
        Payload::DiscoQuery(Query { node }) => node.as_ref().map_or(0, string),
        Payload::DiscoInfo(Info {
            node,
            identities,
            features,
        }) => {
            node.as_ref().map_or(0, string)
                + list(identities, |identity: &Identity| {
                    let name = identity.name.as_ref().map_or(0, string);
                    string(&identity.category) + string(&identity.type_) + name
                })
                + list(features, string)
        }
        Payload::Ping => 0,
        Payload::Malformed {
            ns,
            name,
            sid,
            why: _,
        } => piece(ns.len()) + text(name.text()) + sid.as_ref().map_or(0, string),
        Payload::Other(element) => element_heap(element),
    }
}

fn sid(sid: &Sid) -> usize {
    text(sid.text())
}

fn address(address: &Address) -> usize {
    text(address.text())
}

fn text<const N: usize>(text: &Text<N>) -> usize {
    match text {
        Text::Short { .. } => 0,
        Text::Long(text) => COUNTS + piece(text.len()),
    }
}

fn string(text: &String) -> usize {
    piece(text.capacity())
}

fn shared(bytes: &Bytes) -> usize {
    piece(bytes.len())
}

fn list<T>(entries: &Vec<T>, heap: impl Fn(&T) -> usize) -> usize {
    piece(entries.capacity() * size_of::<T>()) + entries.iter().map(heap).sum::<usize>()
}

fn piece(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes + PIECE }
}

#[cfg(test)]
mod tests;
