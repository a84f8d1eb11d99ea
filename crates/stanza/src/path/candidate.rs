//! Where an end of a tunnel can be met.

use std::fmt;
use std::num::NonZeroU16;

use super::{NS, attribute, digits, leaf};
use crate::address::Address;
use crate::element::Element;
use crate::ibb::{self, u16_of};
use crate::payload_error::{PayloadError, required};
use crate::s5b;

/// Longest [`Cid`] in bytes.
const MAX_CID: usize = 16;

/// `<candidate/>`: one place where the sender of [`Hints`](super::Hints) can be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name in this attempt.
    pub cid: Cid,
    /// What is there.
    pub kind: CandidateKind,
    /// Which to try first: the higher. [`CandidateKind::priority`] is that of a kind.
    pub priority: u32,
}

/// What is at a [`Candidate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CandidateKind {
    /// A relay (XEP-0065) of the sender's server.
    Relay {
        /// The relay, which the sender will ask to activate the stream.
        jid: Address,
        /// Its name or IP address.
        host: s5b::Host,
        /// Its port.
        port: NonZeroU16,
        /// The stream there.
        sid: s5b::Sid,
    },
    /// The sender itself, over TCP.
    Direct {
        /// Its name or IP address.
        host: s5b::Host,
        /// Its port.
        port: NonZeroU16,
    },
    /// An In-Band Bytestream, which the sender opens.
    Stream {
        /// The stream.
        sid: ibb::Sid,
    },
}

impl CandidateKind {
    /// The priority of a candidate of this kind that states none (XEP-0260 §2.2, with 0 for an in-band one).
    #[must_use]
    pub fn priority(&self) -> u32 {
        match self {
            Self::Direct { .. } => 126 << 16,
            Self::Relay { .. } => 10 << 16,
            Self::Stream { .. } => 0,
        }
    }
}

impl Candidate {
    /// `None` for a kind that is not known.
    pub(super) fn read(element: &Element) -> Result<Option<Self>, PayloadError> {
        let name = "candidate";
        let host = || {
            let host = s5b::Host::new(required(element, name, "host")?);
            host.ok_or_else(|| attribute(name, "host"))
        };
        let port = || {
            let port = u16_of(required(element, name, "port")?).and_then(NonZeroU16::new);
            port.ok_or_else(|| attribute(name, "port"))
        };
        let kind = match required(element, name, "kind")? {
            "relay" => CandidateKind::Relay {
                jid: Address::new(required(element, name, "jid")?)
                    .map_err(|_| attribute(name, "jid"))?,
                host: host()?,
                port: port()?,
                sid: s5b::Sid::new(required(element, name, "sid")?)
                    .map_err(|_| attribute(name, "sid"))?,
            },
            "direct" => CandidateKind::Direct {
                host: host()?,
                port: port()?,
            },
            "stream" => CandidateKind::Stream {
                sid: ibb::Sid::new(required(element, name, "sid")?)
                    .map_err(|_| attribute(name, "sid"))?,
            },
            _ => return Ok(None),
        };
        leaf(element, name)?;
        let priority = match element.attr("priority") {
            Some(text) => digits(text)
                .and_then(|n| u32::try_from(n).ok())
                .ok_or_else(|| attribute(name, "priority"))?,
            None => kind.priority(),
        };
        Ok(Some(Self {
            cid: cid(element, name)?,
            kind,
            priority,
        }))
    }

    pub(super) fn to_element(&self) -> Element {
        let element = Element::new("candidate", NS).with_attr("cid", self.cid.as_str());
        let element = match &self.kind {
            CandidateKind::Relay {
                jid,
                host,
                port,
                sid,
            } => element
                .with_attr("kind", "relay")
                .with_attr("jid", jid.as_str())
                .with_attr("host", host.as_str())
                .with_attr("port", port.to_string())
                .with_attr("sid", sid.as_str()),
            CandidateKind::Direct { host, port } => element
                .with_attr("kind", "direct")
                .with_attr("host", host.as_str())
                .with_attr("port", port.to_string()),
            CandidateKind::Stream { sid } => element
                .with_attr("kind", "stream")
                .with_attr("sid", sid.as_str()),
        };
        if self.priority == self.kind.priority() {
            element
        } else {
            element.with_attr("priority", self.priority.to_string())
        }
    }
}

/// The name of a candidate: 1 to 16 of `a` to `z` and `0` to `9`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid([u8; MAX_CID]);

impl Cid {
    /// Checks a name; `None` if it is none.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9');
        if text.is_empty() || !text.as_bytes().iter().all(fits) {
            return None;
        }
        let mut cid = [0; MAX_CID];
        cid.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self(cid))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let len = self.0.iter().take_while(|&&b| b != 0).count();
        let text = self.0.get(..len).unwrap_or_default();
        str::from_utf8(text).unwrap_or_default()
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

pub(super) fn cid(element: &Element, name: &'static str) -> Result<Cid, PayloadError> {
    Cid::new(required(element, name, "cid")?).ok_or_else(|| attribute(name, "cid"))
}
