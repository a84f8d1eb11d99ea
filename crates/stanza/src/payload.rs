//! What a stanza carries.

use crate::body::Body;
use crate::element::Element;
use crate::name::{Name, Namespace};
use crate::payload_error::PayloadError;
use crate::receipts::Receipt;
use crate::{disco, ibb, ns, xtls};

/// A child of a stanza, decoded if its type is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// IBB `<open/>`.
    Open(ibb::Open),
    /// IBB `<data/>`.
    Data(ibb::Data),
    /// IBB `<close/>`.
    Close(ibb::Close),
    /// An element of XTLS.
    Xtls(xtls::Control),
    /// A disco#info request.
    DiscoQuery(disco::Query),
    /// A disco#info answer.
    DiscoInfo(disco::Info),
    /// `<ping/>` (XEP-0199).
    Ping,
    /// An element of a known namespace that can't be decoded. Answer with `bad-request`, or
    /// `feature-not-implemented` if `why` is [`PayloadError::Unknown`].
    Malformed {
        /// Its namespace.
        ns: Namespace,
        /// Its name.
        name: Name,
        /// The attribute `sid` as received, in case the bytestream is known.
        sid: Option<String>,
        /// What is wrong with it.
        why: PayloadError,
    },
    /// Anything else.
    Other(Element),
}

impl Payload {
    /// Reads a child of a stanza. Never fails: see [`Payload::Malformed`] and [`Payload::Other`].
    ///
    /// A disco#info `<query/>` that contains an identity or a feature counts as an answer.
    pub fn read(element: &Element) -> Self {
        match Self::decode(element) {
            Some(Self::Open(mut open)) => {
                open.extensions = element.elements().cloned().collect();
                Self::Open(open)
            }
            Some(payload) => payload,
            None => Self::Other(element.clone()),
        }
    }

    /// `None` if the element's type is unknown. An IBB `<open/>` is returned without its children.
    fn decode(element: &Element) -> Option<Self> {
        let read = match element.ns.as_str() {
            ns::IBB => match element.name.as_str() {
                "open" => ibb::Open::bare(element).map(Self::Open),
                "data" => ibb::Data::read(element).map(Self::Data),
                "close" => ibb::Close::read(element).map(Self::Close),
                _ => Err(PayloadError::Unknown),
            },
            ns::XTLS => xtls::Control::read(element).map(Self::Xtls),
            ns::DISCO_INFO if element.name == "query" => {
                if element
                    .elements()
                    .any(|e| e.is("identity", ns::DISCO_INFO) || e.is("feature", ns::DISCO_INFO))
                {
                    disco::Info::read(element).map(Self::DiscoInfo)
                } else {
                    disco::Query::read(element).map(Self::DiscoQuery)
                }
            }
            ns::PING if element.name == "ping" => Ok(Self::Ping),
            _ => return None,
        };
        Some(read.unwrap_or_else(|why| Self::Malformed {
            ns: element.ns.clone(),
            name: element.name.clone(),
            sid: element.attr("sid").map(str::to_owned),
            why,
        }))
    }

    /// The element. Only name, namespace and sid are left of a [`Payload::Malformed`].
    pub fn to_element(&self) -> Element {
        match self {
            Self::Open(open) => open.to_element(),
            Self::Data(data) => data.to_element(),
            Self::Close(close) => close.to_element(),
            Self::Xtls(control) => control.to_element(),
            Self::DiscoQuery(query) => query.to_element(),
            Self::DiscoInfo(info) => info.to_element(),
            Self::Ping => Element::new("ping", ns::PING),
            Self::Malformed {
                ns,
                name,
                sid,
                why: _,
            } => {
                let element = Element::new(name.clone(), ns.clone());
                match sid {
                    Some(sid) => element.with_attr("sid", sid),
                    None => element,
                }
            }
            Self::Other(element) => element.clone(),
        }
    }

    /// The element, if it isn't decoded.
    pub(crate) fn other(&self) -> Option<&Element> {
        match self {
            Self::Other(element) => Some(element),
            Self::Open(_)
            | Self::Data(_)
            | Self::Close(_)
            | Self::Xtls(_)
            | Self::DiscoQuery(_)
            | Self::DiscoInfo(_)
            | Self::Ping
            | Self::Malformed { .. } => None,
        }
    }

    /// Appends the element inside of a stanza in `jabber:client`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Data(data) => data.write(out),
            Self::Other(element) => element.write(ns::CLIENT, out),
            Self::Open(_)
            | Self::Close(_)
            | Self::Xtls(_)
            | Self::DiscoQuery(_)
            | Self::DiscoInfo(_)
            | Self::Ping
            | Self::Malformed { .. } => self.to_element().write(ns::CLIENT, out),
        }
    }

    /// The text of a message, if this is one.
    pub fn as_body(&self) -> Option<Body> {
        self.other().and_then(|element| Body::read(element).ok())
    }

    /// The delivery receipt, or the request for one, if this is one.
    pub fn as_receipt(&self) -> Option<Receipt> {
        self.other().and_then(|element| Receipt::read(element).ok())
    }
}

/// As [`Payload::read`], without a copy.
impl From<Element> for Payload {
    fn from(element: Element) -> Self {
        match Self::decode(&element) {
            Some(Self::Open(mut open)) => {
                open.extensions = element.into_elements();
                Self::Open(open)
            }
            Some(payload) => payload,
            None => Self::Other(element),
        }
    }
}
