//! The two sides of SOCKS5 over sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use xtls_reach::{Reach, may_dial};
use xtls_stanza::s5b::Streamhost;

use crate::accept::{Accept, AcceptEvent};
use crate::destination::Destination;
use crate::dial::{Dial, DialEvent};
use crate::socks::SocksError;

/// How long looking a name up, and then connecting, may take.
const CONNECTING: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Why a streamhost can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Its name can't be looked up.
    #[error("the streamhost's name can't be looked up: {0}")]
    Lookup(io::Error),
    /// Its name has no address.
    #[error("the streamhost's name has no address")]
    NoAddress,
    /// It leads somewhere where others may not send you.
    #[error("the streamhost's address is not in the Internet ({0:?})")]
    Forbidden(Reach),
    /// It can't be reached.
    #[error("the streamhost can't be reached: {0}")]
    Unreachable(io::Error),
    /// It took longer than 5 s.
    #[error("the streamhost was not reached in {} s", CONNECTING.as_secs())]
    Timeout,
    /// The connection broke.
    #[error("the connection to the streamhost broke: {0}")]
    Broken(io::Error),
    /// It does not agree.
    #[error(transparent)]
    Socks(#[from] SocksError),
}

/// Connects to a streamhost and asks it for a bytestream.
///
/// Its name is looked up, every address is judged, and nothing else is connected to. An address that is not public is refused unless
/// its kind is among `near`; so is a name that has such an address beside others. The connection goes there directly: if you reach your
/// own server through a proxy, connect yourself and call [`dial`].
///
/// If this future is dropped, the connection is closed.
///
/// # Errors
///
/// What can't be looked up, may not be reached, can't be reached in 5 s, or does not agree.
pub async fn connect(
    host: &Streamhost,
    destination: Destination,
    near: &[Reach],
) -> Result<TcpStream, ConnectError> {
    let addresses = timeout(CONNECTING, judged(host, near)).await;
    let addresses = addresses.map_err(|_| ConnectError::Timeout)??;
    let mut stream = timeout(CONNECTING, TcpStream::connect(addresses.as_slice()))
        .await
        .map_err(|_| ConnectError::Timeout)?
        .map_err(ConnectError::Unreachable)?;
    // What is sent is asked for, and not to be held back.
    stream.set_nodelay(true).map_err(ConnectError::Broken)?;
    dial(&mut stream, destination).await?;
    Ok(stream)
}

async fn judged(host: &Streamhost, near: &[Reach]) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = lookup_host((host.host.as_str(), host.port.get())).await;
    let found: Vec<SocketAddr> = found.map_err(ConnectError::Lookup)?.collect();
    let ips = found.iter().map(SocketAddr::ip);
    if let Some(ip) = ips.clone().find(|ip: &IpAddr| !may_dial(*ip, near)) {
        return Err(ConnectError::Forbidden(Reach::of(ip)));
    }
    match found.is_empty() {
        true => Err(ConnectError::NoAddress),
        false => Ok(found.into_iter().take(MAX_ADDRESSES).collect()),
    }
}

/// Asks for a bytestream over a connection to a streamhost. No byte of the stream itself is read.
///
/// If this future is dropped, close the connection: it is somewhere in between.
///
/// # Errors
///
/// The streamhost does not agree, or the connection breaks.
pub async fn dial<S>(stream: &mut S, destination: Destination) -> Result<(), ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut dial = Dial::new(Instant::now().into_std(), destination);
    loop {
        match dial.poll_event() {
            Some(DialEvent::Connected { rest: _ }) => return Ok(()),
            Some(DialEvent::Failed(why)) => return Err(ConnectError::Socks(why)),
            None => {}
        }
        let deadline = dial.poll_timeout();
        if let Some(bytes) = dial.poll_transmit() {
            match within(deadline, stream.write_all(&bytes)).await {
                Some(written) => written.map_err(ConnectError::Broken)?,
                None => dial.handle_timeout(Instant::now().into_std()),
            }
            continue;
        }
        let mut bytes = vec![0; dial.wanted()];
        match within(deadline, stream.read(&mut bytes)).await {
            Some(Ok(0)) => dial.handle_end(),
            Some(Ok(count)) => {
                let now = Instant::now().into_std();
                dial.handle_bytes(now, bytes.get(..count).unwrap_or_default());
            }
            Some(Err(why)) => return Err(ConnectError::Broken(why)),
            None => dial.handle_timeout(Instant::now().into_std()),
        }
    }
}

/// Serves one connection that someone has made to you, and agrees to bytestreams that `expected` is true of.
///
/// If this future is dropped, close the connection: it is somewhere in between.
///
/// # Errors
///
/// Another protocol, a bytestream that nobody expects, and connections that break.
pub async fn accept<S>(
    stream: &mut S,
    mut expected: impl FnMut(&Destination) -> bool,
) -> Result<Destination, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut accept = Accept::new(Instant::now().into_std());
    let mut asked = None;
    loop {
        let event = accept.poll_event();
        if let Some(AcceptEvent::Asked(destination)) = event {
            asked = Some(destination);
            // It has just been asked for.
            let _ = match expected(&destination) {
                true => accept.accept(),
                false => accept.refuse(),
            };
            continue;
        }
        let deadline = accept.poll_timeout();
        if let Some(bytes) = accept.poll_transmit() {
            let patience = deadline.unwrap_or_else(|| (Instant::now() + CONNECTING).into_std());
            match within(Some(patience), stream.write_all(&bytes)).await {
                Some(written) => written.map_err(ConnectError::Broken)?,
                None => return Err(ConnectError::Socks(SocksError::Timeout)),
            }
        }
        match (event, asked) {
            (Some(AcceptEvent::Connected), Some(destination)) => return Ok(destination),
            (Some(AcceptEvent::Failed(why)), _) => return Err(ConnectError::Socks(why)),
            (Some(AcceptEvent::Asked(_) | AcceptEvent::Connected) | None, _) => {}
        }
        let mut bytes = vec![0; accept.wanted()];
        match within(deadline, stream.read(&mut bytes)).await {
            Some(Ok(0)) => accept.handle_end(),
            Some(Ok(count)) => {
                let now = Instant::now().into_std();
                accept.handle_bytes(now, bytes.get(..count).unwrap_or_default());
            }
            Some(Err(why)) => return Err(ConnectError::Broken(why)),
            None => accept.handle_timeout(Instant::now().into_std()),
        }
    }
}

/// What comes of it in time.
async fn within<F: Future>(deadline: Option<std::time::Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(deadline) => timeout_at(Instant::from_std(deadline), future).await.ok(),
        None => Some(future.await),
    }
}
