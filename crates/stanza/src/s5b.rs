//! SOCKS5 bytestreams (XEP-0065 1.8.2 §4 to §6), over TCP.
//!
//! These elements are the business of applications: in an envelope each is a [`Payload::Other`](crate::Payload::Other).

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use crate::address::Address;
use crate::element::Element;
use crate::ibb::u16_of;
use crate::payload_error::{PayloadError, required};

/// The namespace and disco feature.
pub const NS: &str = crate::ns::BYTESTREAMS;

/// Longest [`Sid`] in bytes: ejabberd takes no longer one (XEP-0065 §2).
const MAX_SID: usize = 128;

/// Longest [`Host`] in bytes: what SOCKS5 can say and the domain name system can hold.
const MAX_HOST: usize = 255;

/// Most streamhosts of one element.
pub const MAX_STREAMHOSTS: usize = 32;

/// The port of a streamhost that names none (XEP-0065, XML Schema).
const DEFAULT_PORT: u16 = 1080;

/// The name of a bytestream: 1 to 128 bytes without controls.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(Box<str>);

impl Sid {
    /// Checks a name.
    ///
    /// # Errors
    ///
    /// The text is empty, longer than 128 bytes, or has a control character or one that XML can't carry.
    pub fn new(text: &str) -> Result<Self, SidError> {
        if text.len() > MAX_SID {
            Err(SidError::TooLong { len: text.len() })
        } else if text.is_empty() || text.contains(unfit) {
            Err(SidError::Unfit)
        } else {
            Ok(Self(text.into()))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a [`Sid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SidError {
    /// It is empty or has a character that no sid may have.
    #[error("the sid is empty or has a control character")]
    Unfit,
    /// It is longer than 128 bytes.
    #[error("the sid has {len} bytes, at most {MAX_SID} are allowed (XEP-0065 §2)")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

/// Where a streamhost can be reached: a name or an IP address, 1 to 255 bytes without white space and controls.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(Box<str>);

impl Host {
    /// Checks a name or an address; `None` if it can be neither.
    pub fn new(text: &str) -> Option<Self> {
        let fits = |c: char| !unfit(c) && !c.is_whitespace();
        let length = (1..=MAX_HOST).contains(&text.len());
        (length && text.chars().all(fits)).then(|| Self(text.into()))
    }

    /// The name or address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}')
}

macro_rules! text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    };
}

text!(Sid);
text!(Host);

impl FromStr for Sid {
    type Err = SidError;

    fn from_str(text: &str) -> Result<Self, SidError> {
        Self::new(text)
    }
}

/// `<streamhost/>`: who accepts connections for a bytestream, and where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Streamhost {
    /// Its address: the requester's own, or a relay's.
    pub jid: Address,
    /// Its name or IP address.
    pub host: Host,
    /// Its port.
    pub port: NonZeroU16,
}

impl Streamhost {
    fn read(element: &Element) -> Result<Self, PayloadError> {
        let name = "streamhost";
        let host = Host::new(required(element, name, "host")?);
        let port = match element.attr("port") {
            Some(text) => u16_of(text),
            None => Some(DEFAULT_PORT),
        };
        Ok(Self {
            jid: jid(element, name)?,
            host: host.ok_or_else(|| attribute(name, "host"))?,
            port: port
                .and_then(NonZeroU16::new)
                .ok_or_else(|| attribute(name, "port"))?,
        })
    }

    fn to_element(&self) -> Element {
        Element::new("streamhost", NS)
            .with_attr("jid", self.jid.as_str())
            .with_attr("host", self.host.as_str())
            .with_attr("port", self.port.to_string())
    }
}

/// `<query/>`: everything that is said about a bytestream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Without a sid. Empty, it asks a relay where it is; the answer has its streamhosts.
    Hosts(Vec<Streamhost>),
    /// Offers a bytestream through one of these, the first being the first to try.
    Offer {
        /// The name of the new bytestream.
        sid: Sid,
        /// Where the target may connect.
        hosts: Vec<Streamhost>,
    },
    /// The answer to an offer: the target is connected to this streamhost.
    Used {
        /// The bytestream. Some implementations leave it out.
        sid: Option<Sid>,
        /// The streamhost.
        jid: Address,
    },
    /// Tells a relay to connect the two ends with each other.
    Activate {
        /// The bytestream.
        sid: Sid,
        /// The full address of the target.
        target: Address,
    },
}

impl Query {
    /// Reads `<query/>`. Children of other namespaces are ignored.
    ///
    /// # Errors
    ///
    /// Another element, attributes that are missing or out of range, another mode than `tcp`, more than 32 streamhosts, and
    /// children that don't belong together.
    pub fn read(element: &Element) -> Result<Self, PayloadError> {
        PayloadError::unless(element, "query", NS)?;
        if element.attr("mode").is_some_and(|mode| mode != "tcp") {
            return Err(attribute("query", "mode"));
        }
        let sid = element.attr("sid").map(Sid::new).transpose();
        let sid = sid.map_err(|_| attribute("query", "sid"))?;
        let mut children = element.elements().filter(|child| child.ns == NS);
        let first = element.elements().find(|child| child.ns == NS);
        match first.map(|child| (child, child.name.as_str())) {
            None | Some((_, "streamhost")) => {
                let hosts = streamhosts(children)?;
                Ok(match sid {
                    Some(sid) => Self::Offer { sid, hosts },
                    None => Self::Hosts(hosts),
                })
            }
            Some((used, "streamhost-used")) => {
                only("streamhost-used", children.nth(1))?;
                let jid = jid(used, "streamhost-used")?;
                Ok(Self::Used { sid, jid })
            }
            Some((activate, "activate")) => {
                only("activate", children.nth(1))?;
                let target = Address::new(activate.text().trim());
                Ok(Self::Activate {
                    sid: sid.ok_or(PayloadError::Missing {
                        element: "query",
                        attribute: "sid",
                    })?,
                    target: target.map_err(|_| PayloadError::Text {
                        element: "activate",
                    })?,
                })
            }
            Some(_) => Err(PayloadError::Unknown),
        }
    }

    /// The element.
    pub fn to_element(&self) -> Element {
        let query = Element::new("query", NS);
        let with = |query: Element, hosts: &[Streamhost]| {
            let hosts = hosts.iter().map(Streamhost::to_element);
            hosts.fold(query, Element::with_child)
        };
        match self {
            Self::Hosts(hosts) => with(query, hosts),
            Self::Offer { sid, hosts } => with(query.with_attr("sid", sid.as_str()), hosts),
            Self::Used { sid, jid } => {
                let query = match sid {
                    Some(sid) => query.with_attr("sid", sid.as_str()),
                    None => query,
                };
                query.with_child(Element::new("streamhost-used", NS).with_attr("jid", jid.as_str()))
            }
            Self::Activate { sid, target } => query
                .with_attr("sid", sid.as_str())
                .with_child(Element::new("activate", NS).with_text(target.as_str())),
        }
    }
}

fn streamhosts<'e>(
    children: impl Iterator<Item = &'e Element>,
) -> Result<Vec<Streamhost>, PayloadError> {
    let mut hosts = Vec::new();
    for child in children {
        PayloadError::unless(child, "streamhost", NS)?;
        if hosts.len() == MAX_STREAMHOSTS {
            return Err(PayloadError::TooMany {
                element: "query",
                most: MAX_STREAMHOSTS,
            });
        }
        hosts.push(Streamhost::read(child)?);
    }
    Ok(hosts)
}

/// Nothing may stand beside it.
fn only(name: &'static str, second: Option<&Element>) -> Result<(), PayloadError> {
    match second {
        None => Ok(()),
        Some(second) if second.name == name => Err(PayloadError::Twice { element: name }),
        Some(_) => Err(PayloadError::Unknown),
    }
}

fn jid(element: &Element, name: &'static str) -> Result<Address, PayloadError> {
    Address::new(required(element, name, "jid")?).map_err(|_| attribute(name, "jid"))
}

fn attribute(element: &'static str, attribute: &'static str) -> PayloadError {
    PayloadError::Attribute { element, attribute }
}

#[cfg(test)]
mod tests;
