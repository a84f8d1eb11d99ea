//! XMPP stanzas and the payloads of In-Band Bytestreams and XTLS, typed both ways, read strictly.
//!
//! Three views of the same bytes, from near to far:
//!
//! - [`Stanza`]: a typed head and raw, uncopied children. For passing stanzas on.
//! - [`Envelope`]: the payload decoded into [`Payload`]. For answering stanzas.
//! - [`Element`]: a small owned tree. For everything without a type of its own.
//!
//! ```
//! use bytes::Bytes;
//! use xtls_stanza::ibb::{BlockSize, Carrier, Open, Sid};
//! use xtls_stanza::xtls::Control;
//! use xtls_stanza::{Address, Content, Envelope, Payload};
//!
//! let open = Open {
//!     sid: Sid::new("s1")?,
//!     block_size: BlockSize::new(4096).ok_or("zero")?,
//!     carrier: Carrier::Iq,
//!     extensions: vec![Control::Start { hello: None }.to_element()],
//! };
//! let request = Envelope {
//!     from: None,
//!     to: Some(Address::new("juliet@capulet.example/balcony")?),
//!     id: "x7Qk2".into(),
//!     content: Content::Set(Payload::Open(open)),
//! };
//! let mut wire = Vec::new();
//! request.write(&mut wire);
//! assert_eq!(Envelope::read(&Bytes::from(wire))?, request);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

//!
//! # What may grow
//!
//! RFC 6120 and RFC 6121 fix [`Content`], [`Kind`], [`StanzaType`], [`Condition`] and [`ErrorType`], and schemas fix the fields of
//! structs such as [`ibb::Open`]: these won't change. Errors are `non_exhaustive`. [`Payload`] gains a
//! variant for each further element that is decoded and was [`Payload::Other`] before. It isn't `non_exhaustive`, so that the
//! compiler points out each match that needs attention; end yours with `_` if you don't want that. The same goes for
//! [`busy::Limit`] and [`verify::Reason`].
//!
//! The only other crate in the public interface is [`bytes`], which is re-exported.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
pub mod base64;
mod body;
pub mod busy;
mod condition;
pub mod disco;
mod element;
mod envelope;
pub mod finish;
pub mod hints;
pub mod ibb;
pub mod limits;
mod name;
#[cfg(feature = "stringprep")]
pub mod normalise;
pub mod ns;
pub mod path;
mod payload;
mod payload_error;
mod read;
pub mod receipts;
pub mod s5b;
mod stanza;
#[cfg(test)]
mod strategy;
mod text;
pub mod uri;
pub mod verify;
mod weight;
mod write;
mod xml;
pub mod xtls;

pub use address::{Address, AddressError, Bare, Full, Part};
pub use body::Body;
pub use bytes;
pub use condition::{Condition, ErrorType, StanzaError};
pub use element::{Attr, Element, Node};
pub use envelope::{
    AddressCache, Content, Envelope, EnvelopeError, MessageKind, PresenceKind, Requester,
};
pub use name::{Name, Namespace};
pub use payload::Payload;
pub use payload_error::PayloadError;
pub use read::{MAX_ATTRIBUTES, MAX_DEPTH, MAX_IN_SCOPE, MAX_NAMESPACE, ReadError, Rule};
pub use stanza::{Kind, OtherType, RawAttr, Stanza, StanzaType};

/// Runs the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
