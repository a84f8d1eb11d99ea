//! What ssh's options `-L`, `-R` and `-D` are given, and what is allowed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use crate::wire::Place;

/// A text that is no forward, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {why}")]
pub struct Malformed {
    text: String,
    why: String,
}

fn malformed(text: &str, why: impl Into<String>) -> Malformed {
    Malformed {
        text: text.to_owned(),
        why: why.into(),
    }
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bind {
    /// On which addresses.
    pub on: On,
    /// The port; 0 for any that is free.
    pub port: u16,
}

/// The addresses of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// This machine alone can connect. What is meant unless something else is said.
    Loopback,
    /// Everybody who reaches this machine can connect: `*`.
    All,
    /// One address of this machine.
    Address(IpAddr),
}

impl Bind {
    /// Listens on what the words of ssh mean: nothing or `localhost`, `*`, or an address.
    pub(crate) fn new(host: &str, port: u16) -> Result<Self, Malformed> {
        let on = match host {
            "" => On::Loopback,
            "*" => On::All,
            _ if host.eq_ignore_ascii_case("localhost") => On::Loopback,
            _ => match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
                Ok(address) if address == Ipv4Addr::LOCALHOST => On::Loopback,
                Ok(address) if address.is_unspecified() => On::All,
                Ok(address) => On::Address(address),
                Err(_) => {
                    let why = "listens on an address, on `localhost` or on `*` (every address), not on a name";
                    return Err(malformed(host, why));
                }
            },
        };
        Ok(Self { on, port })
    }

    /// As it is asked for.
    pub(crate) fn place(self) -> Place {
        let host = match self.on {
            On::Loopback => String::new(),
            On::All => "*".to_owned(),
            On::Address(address) => address.to_string(),
        };
        Place {
            host,
            port: self.port,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.on {
            On::Loopback => write!(f, "localhost:{}", self.port),
            On::All | On::Address(_) => self.place().fmt(f),
        }
    }
}

/// `[BIND:]PORT`
impl FromStr for Bind {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parts = parts(text)?;
        match parts.as_slice() {
            [one] => Self::new("", port(text, one)?),
            [host, one] => Self::new(host, port(text, one)?),
            _ => Err(malformed(
                text,
                "is not `[BIND:]PORT`; addresses of IPv6 stand in brackets",
            )),
        }
        .map_err(|error| malformed(text, error.why))
    }
}

/// `[BIND:]PORT:HOST:PORT`: what is connected to the listener there comes out at the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Where to listen.
    pub bind: Bind,
    /// Where to connect to.
    pub to: Place,
}

impl FromStr for Spec {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parts = parts(text)?;
        let (bind, listen, host, to) = match parts.as_slice() {
            [listen, host, to] => ("", listen, host, to),
            [bind, listen, host, to] => (bind.as_str(), listen, host, to),
            _ => {
                let why = "is not `[BIND:]PORT:HOST:PORT`; addresses of IPv6 stand in brackets";
                return Err(malformed(text, why));
            }
        };
        let bind =
            Bind::new(bind, port(text, listen)?).map_err(|error| malformed(text, error.why))?;
        let to = Place {
            host: named(text, host)?,
            port: port(text, to)?,
        };
        match to.port {
            0 => Err(malformed(text, "nobody can connect to port 0")),
            _ => Ok(Self { bind, to }),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.bind, self.to)
    }
}

/// Host and port, of which the port may be anything.
pub(crate) fn host_and_port(text: &str) -> Result<(String, &str), Malformed> {
    let Some((_, port)) = text.rsplit_once(':') else {
        return Err(malformed(text, "is not `HOST:PORT`"));
    };
    match parts(text)?.as_slice() {
        [host, _] => Ok((named(text, host)?, port)),
        _ => Err(malformed(
            text,
            "is not `HOST:PORT`; addresses of IPv6 stand in brackets",
        )),
    }
}

/// What is between colons, brackets kept together and taken off.
fn parts(text: &str) -> Result<Vec<String>, Malformed> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        let (part, after) = match rest.strip_prefix('[') {
            Some(inside) => {
                let Some((part, after)) = inside.split_once(']') else {
                    return Err(malformed(text, "a bracket is not closed"));
                };
                if part.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(malformed(text, format!("`{part}` is no address of IPv6")));
                }
                (part, after)
            }
            None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
        };
        parts.push(part.to_owned());
        match (after.strip_prefix(':'), after) {
            (Some(next), _) => rest = next,
            (None, "") => return Ok(parts),
            (None, _) => {
                return Err(malformed(
                    text,
                    "something stands between a bracket and the next colon",
                ));
            }
        }
    }
}

/// A host that can be asked for.
fn named(text: &str, host: &str) -> Result<String, Malformed> {
    let why = match host {
        "" => "the host is missing",
        _ if host.len() > MAX_HOST => "the host is longer than 255 bytes",
        _ if host
            .contains(|c: char| c.is_control() || c.is_whitespace() || "[]/@\\".contains(c)) =>
        {
            "the host has characters that no host has"
        }
        _ => return Ok(host.to_owned()),
    };
    Err(malformed(text, why))
}

pub(crate) fn port(text: &str, port: &str) -> Result<u16, Malformed> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let number = port.parse().ok().filter(|_| digits);
    number.ok_or_else(|| malformed(text, format!("`{port}` is no port: a number up to 65535")))
}

/// Bytes of a name.
const MAX_HOST: usize = 255;

#[cfg(test)]
mod tests;
