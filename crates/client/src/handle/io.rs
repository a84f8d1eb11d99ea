//! Byte tunnels as what they are: `AsyncRead + AsyncWrite`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Tunnel;
use crate::byte_channel::Turn;

/// Reading gives an end of file for the peer's close_notify and for nothing else: every other end is an error, and a cut
/// stream is [`UnexpectedEof`](io::ErrorKind::UnexpectedEof). What came before is read first.
impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let turn = ready!(self.bytes()?.poll_read(cx, buffer))?;
        after(&self, turn);
        Poll::Ready(Ok(()))
    }
}

/// Writing runs up to 256 KiB ahead of the session, also before the tunnel is open. Flushing waits until the session has
/// taken it, and shutting down until close_notify is queued behind it. Neither means that the peer has read anything.
impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let turn = ready!(self.bytes()?.poll_write(cx, bytes))?;
        Poll::Ready(Ok(after(&self, turn)))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.bytes()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let bytes = self.bytes()?;
        if bytes.finish() {
            self.signal_moved();
        }
        bytes.poll_finished(cx)
    }
}

fn after<T>(tunnel: &Tunnel, turn: Turn<T>) -> T {
    match turn {
        Turn::Done(value) => value,
        Turn::Signal(value) => {
            tunnel.signal_moved();
            value
        }
    }
}
