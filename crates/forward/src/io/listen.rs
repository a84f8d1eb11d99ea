//! Listeners.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::linger::cut_on_drop;
use crate::spec::{Bind, On};

/// The sockets of one listener.
#[derive(Debug)]
pub(super) struct Listener {
    first: TcpListener,
    /// Loopback is two addresses, and not every machine has both.
    second: Option<TcpListener>,
}

impl Listener {
    pub(super) async fn bind(bind: Bind) -> io::Result<Self> {
        let at = |address| TcpListener::bind((address, bind.port));
        let (first, second) = match bind.on {
            On::Address(address) => (TcpListener::bind((address, bind.port)).await?, None),
            On::All => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, bind.port)).await {
                Ok(both) => (both, None),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                Err(_) => (at(Ipv4Addr::UNSPECIFIED).await?, None),
            },
            On::Loopback => {
                let first = at(Ipv4Addr::LOCALHOST).await?;
                let port = first.local_addr()?.port();
                let second = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await;
                match second {
                    // Somebody else there would get what is meant for us.
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
                    second => (first, second.ok()),
                }
            }
        };
        Ok(Self { first, second })
    }

    pub(super) fn at(&self) -> io::Result<SocketAddr> {
        self.first.local_addr()
    }

    /// The next connection, which is reset if it is dropped. Cancel-safe.
    pub(super) async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = match &self.second {
                None => self.first.accept().await,
                Some(second) => tokio::select! {
                    accepted = self.first.accept() => accepted,
                    accepted = second.accept() => accepted,
                },
            };
            match accepted {
                Ok(accepted) => {
                    cut_on_drop(&accepted.0);
                    return accepted;
                }
                // Too many open files, for one: others end meanwhile.
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}

/// Between two attempts to accept a connection that fail.
const AGAIN: Duration = Duration::from_millis(100);
