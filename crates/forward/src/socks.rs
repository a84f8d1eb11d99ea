//! The server's part of SOCKS5 (RFC 1928) without I/O: no authentication, CONNECT only.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::wire::{Place, Why};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Why a client of SOCKS5 gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotSocks {
    /// Another protocol, or version 4.
    #[error("what connected does not speak SOCKS5 (it began with 0x{0:02x})")]
    Version(u8),
    /// A password is required of us, and there is none.
    #[error("what connected wants to authenticate to the SOCKS5 port, and there is no password")]
    Method,
    /// BIND or UDP.
    #[error("what connected asks for the SOCKS5 command {0}, and only CONNECT (1) is offered")]
    Command(u8),
    /// An address of a kind that does not exist, or a name that is none.
    #[error("what connected names a place that is none")]
    Place,
    /// Bytes beyond the request, before the answer.
    #[error("what connected does not wait for the answer to its SOCKS5 request")]
    Hasty,
}

/// A client's way to its request.
#[derive(Debug, Default)]
pub struct Socks {
    have: Vec<u8>,
    step: Step,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Step {
    #[default]
    Method,
    Request,
    Over,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Read more.
    Read,
    /// Send this, and go on.
    Send(Vec<u8>),
    /// Connect there, and send [`answer`].
    Connect(Place),
    /// Send this if there is any, and close.
    Refuse(Vec<u8>, NotSocks),
}

impl Socks {
    /// A client of which nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what came, which may be nothing, and says what is to be done.
    pub fn handle(&mut self, bytes: &[u8]) -> Next {
        self.have.extend_from_slice(bytes);
        match self.step {
            Step::Method => self.method(),
            Step::Request => self.request(),
            Step::Over => Next::Read,
        }
    }

    fn refuse(&mut self, answer: Vec<u8>, why: NotSocks) -> Next {
        self.step = Step::Over;
        Next::Refuse(answer, why)
    }

    fn method(&mut self) -> Next {
        let (length, methods) = match self.have.as_slice() {
            [version, ..] if *version != VERSION => {
                let version = *version;
                return self.refuse(Vec::new(), NotSocks::Version(version));
            }
            [_, length, methods @ ..] if methods.len() >= usize::from(*length) => {
                (usize::from(*length), methods)
            }
            _ => return Next::Read,
        };
        let offers = methods.get(..length).unwrap_or_default();
        if !offers.contains(&NO_AUTHENTICATION) {
            return self.refuse(vec![VERSION, NO_METHOD], NotSocks::Method);
        }
        self.have.drain(..2 + length);
        self.step = Step::Request;
        Next::Send(vec![VERSION, NO_AUTHENTICATION])
    }

    fn request(&mut self) -> Next {
        let [version, command, _, kind, rest @ ..] = self.have.as_slice() else {
            return Next::Read;
        };
        let (version, command, kind) = (*version, *command, *kind);
        if version != VERSION {
            return self.refuse(Vec::new(), NotSocks::Version(version));
        }
        if command != CONNECT {
            return self.refuse(reply(7), NotSocks::Command(command));
        }
        let length = match (kind, rest.first()) {
            (IPV4, _) => 4,
            (IPV6, _) => 16,
            (NAME, Some(length)) => 1 + usize::from(*length),
            (NAME, None) => return Next::Read,
            _ => return self.refuse(reply(8), NotSocks::Place),
        };
        let Some((host, rest)) = rest.split_at_checked(length) else {
            return Next::Read;
        };
        let (port, more) = match rest {
            [high, low, more @ ..] => (u16::from_be_bytes([*high, *low]), !more.is_empty()),
            _ => return Next::Read,
        };
        let place = host_of(kind, host).map(|host| Place { host, port });
        match place {
            Some(place) if !more && port != 0 => {
                self.step = Step::Over;
                Next::Connect(place)
            }
            Some(_) if more => self.refuse(Vec::new(), NotSocks::Hasty),
            _ => self.refuse(reply(1), NotSocks::Place),
        }
    }
}

fn host_of(kind: u8, host: &[u8]) -> Option<String> {
    match kind {
        IPV4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(host).ok()?).to_string()),
        IPV6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(host).ok()?).to_string()),
        _ => {
            let name = std::str::from_utf8(host.get(1..)?).ok()?;
            let strange = |c: char| c.is_control() || c.is_whitespace();
            (!name.is_empty() && !name.contains(strange)).then(|| name.to_owned())
        }
    }
}

/// The answer to a request: connected, or why not.
#[must_use]
pub fn answer(outcome: Result<(), Why>) -> Vec<u8> {
    reply(match outcome {
        Ok(()) => 0,
        Err(Why::Denied) => 2,
        Err(Why::Unreachable | Why::Unresolvable) => 4,
        Err(Why::Refused) => 5,
        Err(Why::Timeout) => 6,
        Err(Why::TooMany | Why::CannotListen | Why::Other(_)) => 1,
    })
}

/// The address that it is connected from is the other end's affair.
fn reply(code: u8) -> Vec<u8> {
    vec![VERSION, code, 0, IPV4, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests;
