//! Connections to where somebody else says.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{sleep, timeout};
use tracing::debug;
use xtls_reach::{Reach, may_dial};
use xtls_s5b::{ConnectError, Destination, SocksError};
use xtls_stanza::s5b::Host;

use super::pipe::Pipe;
use super::{Boxed, without_delay};

/// What is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dial {
    /// A relay, which is asked for this bytestream.
    Relay(Destination),
    /// The peer itself.
    Direct,
}

/// Why there is no pipe. No message names an address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The name can't be looked up.
    #[error("its name can't be looked up: {0}")]
    Lookup(io::Error),
    /// The name has no address.
    #[error("its name has no address")]
    NoAddress,
    /// Nobody else may send us there.
    #[error("it leads to an address that is not in the Internet ({0:?})")]
    Address(Reach),
    /// None of its addresses can be connected to.
    #[error("it can't be reached: {0}")]
    Unreachable(io::Error),
    /// Looking up and connecting took too long.
    #[error("it was not reached in {} s", .0.as_secs())]
    Timeout(Duration),
    /// The relay does not agree.
    #[error(transparent)]
    Socks(SocksError),
    /// The relay has ended the connection before it agreed.
    #[error("the connection to the relay broke: {0}")]
    Broken(io::Error),
    /// This end has too many pipes.
    #[error("there are too many connections already")]
    TooMany,
}

/// Looks up, judges every address, connects, and asks a relay.
pub(super) async fn dial(
    host: Host,
    port: NonZeroU16,
    how: Dial,
    near: Vec<Reach>,
) -> Result<Pipe, DialError> {
    let patience = match how {
        Dial::Relay(_) => CONNECTING_TO_RELAY,
        Dial::Direct => CONNECTING_DIRECTLY,
    };
    let reached = async { connect(addresses(&host, port, &near).await?).await };
    let reached = timeout(patience, reached).await;
    let mut socket = reached.map_err(|_| DialError::Timeout(patience))??;
    without_delay(&socket);
    let relayed = match how {
        Dial::Relay(destination) => {
            let agreed = xtls_s5b::dial(&mut socket, destination).await;
            agreed.map_err(of_socks)?;
            true
        }
        Dial::Direct => false,
    };
    Ok(Pipe::new(socket, relayed))
}

/// Every address of a host. If one of them may not be dialled, none is.
async fn addresses(
    host: &Host,
    port: NonZeroU16,
    near: &[Reach],
) -> Result<Vec<SocketAddr>, DialError> {
    let name = ascii(host);
    let found = lookup_host((name.as_str(), port.get())).await;
    let found: Vec<SocketAddr> = found.map_err(DialError::Lookup)?.collect();
    let ips = found.iter().map(SocketAddr::ip);
    if let Some(ip) = ips.into_iter().find(|ip| !may_dial(*ip, near)) {
        let reach = Reach::of(ip);
        debug!(%host, %ip, ?reach, "somebody wants us to connect to a forbidden address");
        return Err(DialError::Address(reach));
    }
    match found.is_empty() {
        true => Err(DialError::NoAddress),
        false => Ok(found.into_iter().take(MAX_ADDRESSES).collect()),
    }
}

/// A name as the DNS writes it, and an address without brackets.
fn ascii(host: &Host) -> String {
    let host = host.as_str().trim_matches(['[', ']']);
    idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_owned())
}

/// The first of the addresses that answers. Each is tried when the one before has failed, or has said nothing for a moment
/// (RFC 8305 §5).
async fn connect(addresses: Vec<SocketAddr>) -> Result<TcpStream, DialError> {
    let mut waiting = VecDeque::from(addresses);
    let mut flying: Vec<Boxed<io::Result<TcpStream>>> = Vec::new();
    loop {
        flying.extend(waiting.pop_front().map(flight));
        let landed = tokio::select! {
            biased;
            landed = land(&mut flying) => landed,
            () = sleep(NEXT_ADDRESS), if !waiting.is_empty() => continue,
        };
        match landed {
            Ok(socket) => return Ok(socket),
            Err(why) if waiting.is_empty() && flying.is_empty() => {
                return Err(DialError::Unreachable(why));
            }
            Err(_) => {}
        }
    }
}

fn flight(address: SocketAddr) -> Boxed<io::Result<TcpStream>> {
    Box::pin(TcpStream::connect(address))
}

async fn land(flying: &mut Vec<Boxed<io::Result<TcpStream>>>) -> io::Result<TcpStream> {
    std::future::poll_fn(|cx| {
        for at in 0..flying.len() {
            if let Some(flight) = flying.get_mut(at)
                && let Poll::Ready(landed) = flight.as_mut().poll(cx)
            {
                drop(flying.remove(at));
                return Poll::Ready(landed);
            }
        }
        Poll::Pending
    })
    .await
}

fn of_socks(error: ConnectError) -> DialError {
    match error {
        ConnectError::Socks(why) => DialError::Socks(why),
        ConnectError::Broken(why) | ConnectError::Lookup(why) | ConnectError::Unreachable(why) => {
            DialError::Broken(why)
        }
        ConnectError::NoAddress => DialError::NoAddress,
        ConnectError::Forbidden(reach) => DialError::Address(reach),
        ConnectError::Timeout | _ => DialError::Socks(SocksError::Timeout),
    }
}

/// How long looking up and connecting may take: a relay.
const CONNECTING_TO_RELAY: Duration = Duration::from_secs(5);

/// The same: a peer.
const CONNECTING_DIRECTLY: Duration = Duration::from_secs(3);

/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// How long one address may be silent before the next one is tried beside it.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);
