//! Byte tunnels as what they are: `AsyncRead + AsyncWrite`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use xtls_session::Peer;

use super::Tunnel;
use crate::driver::Note;
use crate::pipe::{Pipe, Turn, unsupported};

impl Tunnel {
    /// Waits until both ends of a byte tunnel have accepted each other, and says who the peer has proven to be: its
    /// address, its key, what was known of that key, the service.
    ///
    /// An unknown key is asked about first ([`What::Judge`](xtls_tunnel::router::What::Judge)) where the policy is to ask. There
    /// is no need to wait before writing: nothing leaves before our own verdict.
    ///
    /// # Errors
    /// The tunnel has ended; with [`Unsupported`](io::ErrorKind::Unsupported), it carries stanzas.
    pub async fn established(&self) -> io::Result<Peer> {
        let pipe = self.pipe()?;
        std::future::poll_fn(|cx| pipe.poll_peer(cx)).await
    }

    /// Who the peer of a byte tunnel has proven to be; `None` before that, and in a tunnel of stanzas.
    #[must_use]
    pub fn proven(&self) -> Option<Peer> {
        self.pipe.as_ref()?.peer()
    }

    fn pipe(&self) -> io::Result<&Arc<Pipe>> {
        self.pipe.as_ref().ok_or_else(unsupported)
    }

    fn told<T>(&self, turn: Turn<T>) -> T {
        match turn {
            Turn::Done(value) => value,
            Turn::Tell(value) => {
                self.note(Note::Moved(self.sender.id));
                value
            }
        }
    }
}

/// Reading gives an end of file for the peer's close_notify and for nothing else: every other end is an error, and a cut
/// stream is [`UnexpectedEof`](io::ErrorKind::UnexpectedEof). What came before is read first.
impl AsyncRead for Tunnel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let turn = ready!(self.pipe()?.poll_read(cx, buffer))?;
        self.told(turn);
        Poll::Ready(Ok(()))
    }
}

/// Writing takes up to 64 KiB ahead of the session, also before the tunnel is open. Flushing waits until the session has
/// taken it, and shutting down until close_notify is queued behind it. Neither says that the peer has read anything.
impl AsyncWrite for Tunnel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let turn = ready!(self.pipe()?.poll_write(cx, bytes))?;
        Poll::Ready(Ok(self.told(turn)))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let pipe = self.pipe()?;
        if pipe.finish() {
            self.note(Note::Moved(self.sender.id));
        }
        pipe.poll_finished(cx)
    }
}
