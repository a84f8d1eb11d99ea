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

impl Stanza {
    /// Bytes of memory that it holds: itself, its children, id, type, language, addresses and every other attribute.
    ///
    /// Children that share their memory with a longer frame count with their own length.
    pub fn weight(&self) -> usize {
        let Self {
            kind: _,
            from,
            to,
            id,
            type_,
            lang,
            extra,
            children,
        } = self;
        size_of::<Self>()
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
}

impl Envelope {
    /// Bytes of memory that it holds: itself, its addresses, its id and what it carries.
    pub fn weight(&self) -> usize {
        let Self {
            from,
            to,
            id,
            content,
        } = self;
        let content = match content {
            Content::Get(payload) | Content::Set(payload) | Content::Result(Some(payload)) => {
                heap(payload)
            }
            Content::Result(None) => 0,
            Content::Error(error) => error.heap(),
            Content::Message {
                kind: _,
                payloads,
                error,
            } => list(payloads, heap) + error.as_ref().map_or(0, StanzaError::heap),
            Content::Presence { kind: _, payloads } => list(payloads, heap),
        };
        size_of::<Self>()
            + string(id)
            + [from, to].into_iter().flatten().map(address).sum::<usize>()
            + content
    }
}

impl Element {
    /// Bytes of memory that the tree holds, itself among them. A namespace that elements next to each other share counts
    /// once.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.heap()
    }

    fn heap(&self) -> usize {
        self.tree(&mut Recent::default())
    }

    fn tree(&self, recent: &mut Recent) -> usize {
        let Self {
            name,
            ns,
            attrs,
            children,
        } = self;
        let own = text(name.text()) + recent.namespace(ns);
        let mut lists = piece(attrs.capacity() * size_of::<Attr>());
        for Attr { ns, name, value } in attrs {
            let ns = ns.as_ref().map_or(0, |ns| recent.namespace(ns));
            lists += ns + text(name.text()) + string(value);
        }
        lists += piece(children.capacity() * size_of::<Node>());
        for node in children {
            lists += match node {
                Node::Element(element) => piece(size_of::<Self>()) + element.tree(recent),
                Node::Text(text) => string(text),
            };
        }
        own + lists
    }
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

impl StanzaError {
    fn heap(&self) -> usize {
        let Self {
            kind: _,
            condition: _,
            text,
            app,
        } = self;
        text.as_ref().map_or(0, string) + app.as_ref().map_or(0, Element::heap)
    }
}

fn heap(payload: &Payload) -> usize {
    match payload {
        Payload::Open(Open {
            sid: name,
            block_size: _,
            carrier: _,
            extensions,
        }) => sid(name) + list(extensions, Element::heap),
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
        Payload::Other(element) => element.heap(),
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
