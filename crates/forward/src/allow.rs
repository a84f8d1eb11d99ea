//! What a peer may reach from here: nothing, unless it is allowed.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use xtls_reach::is_public;

use crate::spec::{Bind, Malformed, host_and_port};
use crate::wire::Place;

/// One place, or several, that a peer may reach: `HOST:PORT`, where the host is a name, an address or `*`, and the port a number or `*`.
///
/// A name stands for whatever it resolves to here. An address stands for itself, not for names that resolve to it. `*` stands for
/// everything that is public: loopback, link-local and private addresses are reached only where they, or their name, stand in the
/// list themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    host: Host,
    port: Ports,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    Name(String),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    Any,
    One(u16),
}

impl Ports {
    fn has(self, port: u16) -> bool {
        match self {
            Self::Any => port != 0,
            Self::One(one) => port == one,
        }
    }
}

impl FromStr for Allowed {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (host, port) = host_and_port(text)?;
        let port = match port {
            "*" => Ports::Any,
            port => Ports::One(crate::spec::port(text, port)?),
        };
        let host = match host.as_str() {
            "*" => Host::Any,
            host => match address(host) {
                Some(address) => Host::Address(address),
                None => Host::Name(plain(host)),
            },
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => f.write_str("*:"),
            Host::Name(name) => write!(f, "{name}:"),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}:"),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:"),
        }?;
        match self.port {
            Ports::Any => f.write_str("*"),
            Ports::One(port) => port.fmt(f),
        }
    }
}

/// It is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not among what is allowed")]
pub struct NotAllowed;

/// What is to be done with a request that may be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// Connect to this address.
    Connect(SocketAddr),
    /// Look the name up, once, and give what was found to [`Allow::judge_found`]. Connect to nothing else.
    LookUp,
}

/// Everything that a peer may ask for.
#[derive(Debug, Clone, Default)]
pub struct Allow {
    /// Where it may have us connect to.
    pub connect: Vec<Allowed>,
    /// Where it may have us listen.
    pub listen: Vec<Bind>,
}

impl Allow {
    /// Judges a request before anything is looked up.
    ///
    /// # Errors
    /// If it is not allowed, whatever the name resolves to.
    pub fn judge(&self, place: &Place) -> Result<Judgement, NotAllowed> {
        let rules = || self.connect.iter().filter(|rule| rule.port.has(place.port));
        let any = rules().any(|rule| rule.host == Host::Any);
        if let Some(address) = address(&place.host) {
            let itself = rules().any(|rule| rule.host == Host::Address(address));
            let allowed = itself || (any && is_public(address));
            return match allowed {
                true => Ok(Judgement::Connect(SocketAddr::new(address, place.port))),
                false => Err(NotAllowed),
            };
        }
        let allowed = !place.host.is_empty() && (any || self.names(place));
        allowed.then_some(Judgement::LookUp).ok_or(NotAllowed)
    }

    /// Judges what a name was found to resolve to: all of it, or none.
    ///
    /// # Errors
    /// If one of the addresses is not allowed. A name that has such an address beside others is not to be trusted.
    pub fn judge_found(
        &self,
        place: &Place,
        found: &[IpAddr],
    ) -> Result<Vec<SocketAddr>, NotAllowed> {
        let named = self.names(place);
        let rules = || self.connect.iter().filter(|rule| rule.port.has(place.port));
        let any = rules().any(|rule| rule.host == Host::Any);
        let allowed = |address: IpAddr| {
            let itself = rules().any(|rule| rule.host == Host::Address(address));
            named || (any && (is_public(address) || itself))
        };
        let found: Vec<_> = found.iter().map(IpAddr::to_canonical).collect();
        if !found.iter().all(|address| allowed(*address)) {
            return Err(NotAllowed);
        }
        let first = found.into_iter().take(MAX_ADDRESSES);
        Ok(first
            .map(|address| SocketAddr::new(address, place.port))
            .collect())
    }

    /// Whether the name itself is in the list.
    fn names(&self, place: &Place) -> bool {
        let name = plain(&place.host);
        let mut rules = self.connect.iter();
        rules.any(|rule| {
            rule.port.has(place.port) && matches!(&rule.host, Host::Name(one) if *one == name)
        })
    }

    /// Judges a request to listen.
    ///
    /// # Errors
    /// If exactly that is not in the list.
    pub fn judge_listen(&self, place: &Place) -> Result<Bind, NotAllowed> {
        let bind = Bind::new(&place.host, place.port).map_err(|_| NotAllowed)?;
        self.listen
            .contains(&bind)
            .then_some(bind)
            .ok_or(NotAllowed)
    }
}

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// A name as names are compared.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The address that a text is. Other spellings of addresses (`127.1`, `0x7f000001`) are names here: what they resolve to is judged.
fn address(host: &str) -> Option<IpAddr> {
    Some(host.parse::<IpAddr>().ok()?.to_canonical())
}

#[cfg(test)]
mod tests;
