//! Ways to a server other than a TCP connection of one's own.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

/// Makes the connections of a link, through a proxy for example; see [`Options::dialer`](crate::Options::dialer).
pub trait Dial: Send + Sync {
    /// A stream of octets to this port of a host, both ways, as TCP has them. The host is a name as the DNS writes it
    /// (`xn--…`), which nobody has looked up, or an address without brackets.
    ///
    /// The future is dropped when it takes too long.
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialling<'a>;
}

/// What [`Dial::dial`] returns.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Duplex>>> + Send + 'a>>;

/// A stream of octets both ways. Whatever can be one is one.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
