//! One call of a service, at either end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use xtls_session::Peer;

use crate::handle::Tunnel;

/// A tunnel of bytes whose ends have accepted each other, and who is at the other end.
///
/// It is read, written, shut down and dropped as a [`Tunnel`] is: an end of file is the peer's own, a cut is
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof), and a call that is dropped before it was shut down is cut.
#[derive(Debug)]
pub struct Call {
    tunnel: Tunnel,
    peer: Peer,
    stopping: CancellationToken,
}

impl Call {
    pub(crate) fn new(tunnel: Tunnel, peer: Peer) -> Self {
        Self::until(tunnel, peer, CancellationToken::new())
    }

    /// One that is told when its host stops.
    pub(super) fn until(tunnel: Tunnel, peer: Peer, stopping: CancellationToken) -> Self {
        Self {
            tunnel,
            peer,
            stopping,
        }
    }

    /// Who is at the other end: the address, the key and what is known of it, the service.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The tunnel.
    #[must_use]
    pub fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// The tunnel alone.
    #[must_use]
    pub fn into_tunnel(self) -> Tunnel {
        self.tunnel
    }

    /// Is ready when the host that answers this call is asked to stop; never, if we have called. A service that would go on
    /// for long comes to an end then, or is cut soon.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        self.stopping.clone().cancelled_owned()
    }
}

impl AsyncRead for Call {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tunnel).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Call {
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
