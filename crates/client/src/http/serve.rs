//! What `axum::serve` wants of a listener, and who calls.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use xtls_session::Peer;
use xtls_stanza::Address;

use crate::handle::Tunnel;
use crate::incoming::Listener;

/// Tunnels for `axum::serve` (feature `axum`).
///
/// axum knows no end of a listener: when the client has ended, nothing more comes. Give `with_graceful_shutdown` the client's
/// [`Task`](crate::Task), and the server ends with it.
impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = Address;

    async fn accept(&mut self) -> (Connection, Address) {
        while let Some(tunnel) = self.next().await {
            // A listener gives only tunnels whose peer is known.
            if let Some(peer) = tunnel.proven() {
                let address = peer.address.clone();
                return (Connection { tunnel, peer }, address);
            }
        }
        std::future::pending().await
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(self.own().clone())
    }
}

/// A tunnel that axum serves, and who is at its other end (feature `axum`).
#[derive(Debug)]
pub struct Connection {
    tunnel: Tunnel,
    peer: Peer,
}

impl Connection {
    /// The tunnel.
    #[must_use]
    pub fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tunnel).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tunnel).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tunnel).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tunnel).poll_shutdown(cx)
    }
}

/// Who sends a request, proven by its key: for `into_make_service_with_connect_info::<Caller>()`, after which handlers take
/// `ConnectInfo<Caller>` (feature `axum`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller(Peer);

impl Caller {
    /// The full address, the key, and what is known of that key.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.0
    }
}

impl Connected<IncomingStream<'_, Listener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(stream.io().peer().clone())
    }
}
