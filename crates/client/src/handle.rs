//! One tunnel, as its owner holds it.

mod io;

use std::io::Result;
use std::sync::Arc;

use xtls_tunnel::router::TunnelEvent;

use crate::byte_channel::{ByteChannel, unsupported};
use crate::command::Port;
use crate::sender::Sender;

/// One tunnel: of stanzas or of bytes, depending on the service it was opened for.
///
/// * A tunnel of stanzas is written by [`send`](Sender::send) and read by [`next`](Self::next). Dropping it closes it in
///   order.
/// * A tunnel of bytes is `AsyncRead + AsyncWrite`, and [`next`](Self::next) reports what else happens: questions about a
///   key, say. Each direction ends by itself: shutting down is TLS's close_notify, after which the other direction goes on.
///   Dropping it closes it in order if it was shut down, and otherwise cuts it: a program that dies in the middle never
///   looks like one that has sent everything.
#[derive(Debug)]
pub struct Tunnel {
    sender: Sender,
    port: Port,
}

impl Tunnel {
    pub(crate) fn new(port: Port) -> Self {
        let commands = port.commands().clone();
        let sender = Sender::new(
            port.id(),
            port.peer().clone(),
            port.progress().clone(),
            commands,
        );
        Self { sender, port }
    }

    /// What happened; `None` after [`TunnelEvent::Closed`]. An owner that stops asking slows the peer down.
    ///
    /// Asking again after [`TunnelEvent::PeerFinished`] confirms that everything before it has been taken, and so does
    /// [`finish`](Sender::finish) or [`close`](Sender::close) after it: the peer learns it inside TLS, and may then report to
    /// its own user that nothing was lost. Do not ask again before what you took is safe, on a disk say. Dropping the tunnel,
    /// or [`abort`](Sender::abort), confirms nothing.
    ///
    /// Cancel-safe: if the future is dropped before it is ready, no event is lost.
    pub async fn next(&mut self) -> Option<TunnelEvent> {
        self.port.next().await
    }

    /// A handle for writing, for another task.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    fn bytes(&self) -> Result<&Arc<ByteChannel>> {
        self.port.bytes().ok_or_else(unsupported)
    }

    fn signal_moved(&self) {
        self.port.signal_moved();
    }
}

impl std::ops::Deref for Tunnel {
    type Target = Sender;

    fn deref(&self) -> &Sender {
        &self.sender
    }
}
