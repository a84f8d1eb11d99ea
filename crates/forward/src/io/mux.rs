//! Many streams in the tunnel: yamux, moved by one task.

use std::io;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use yamux::{Config, Connection, ConnectionError, Mode};

use super::gather::{Gather, Hold};
use super::{ForwardError, GREETING};
use crate::wire::Greeting;

/// One stream in the tunnel.
pub(super) type Stream = Compat<yamux::Stream>;

/// The tunnel is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone;

/// Opens streams.
#[derive(Debug, Clone)]
pub(super) struct Opener(mpsc::Sender<oneshot::Sender<Stream>>);

impl Opener {
    /// Whether both open streams in the same tunnel.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }

    pub(super) async fn open(&self) -> Result<Stream, Gone> {
        let (sender, stream) = oneshot::channel();
        self.0.send(sender).await.map_err(|_| Gone)?;
        stream.await.map_err(|_| Gone)
    }
}

/// The streams of one tunnel. They move while [`poll_next`](Self::poll_next) is polled.
pub(super) struct Mux<S> {
    connection: Connection<Compat<Gather<S>>>,
    /// What the connection writes is on hold while there may be more.
    hold: Hold,
    opens: mpsc::Receiver<oneshot::Sender<Stream>>,
    /// Waits for a stream of its own.
    waiting: Option<oneshot::Sender<Stream>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Mux<S> {
    /// Greets, and begins. Whoever opened the tunnel is the client.
    pub(super) async fn begin(stream: S, mode: Mode) -> Result<(Self, Opener), ForwardError> {
        let hold = Hold::default();
        let mut stream = Gather::new(stream, hold.clone());
        tokio::time::timeout(GREETING, greet(&mut stream))
            .await
            .map_err(|_| ForwardError::Silent)??;
        let mut config = Config::default();
        config.set_max_num_streams(MAX_STREAMS);
        config.set_max_connection_receive_window(Some(MAX_WINDOWS));
        config.set_split_send_size(FRAME);
        let connection = Connection::new(stream.compat(), config, mode);
        let (opener, opens) = mpsc::channel(1);
        let mux = Self {
            connection,
            hold,
            opens,
            waiting: None,
        };
        Ok((mux, Opener(opener)))
    }

    /// The next stream that the peer opens; `None` when the tunnel has ended.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Stream>>> {
        loop {
            if self.waiting.is_none()
                && let Poll::Ready(waiting) = self.opens.poll_recv(cx)
            {
                self.waiting = waiting;
            }
            let Some(waiting) = self.waiting.take() else {
                break;
            };
            match self.connection.poll_new_outbound(cx) {
                // Whoever has given up meanwhile drops it, which the peer sees.
                Poll::Ready(Ok(stream)) => drop(waiting.send(stream.compat())),
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(as_io(error)))),
                Poll::Pending => {
                    self.waiting = Some(waiting);
                    break;
                }
            }
        }
        self.hold.set(true);
        let mut next = self.connection.poll_next_inbound(cx);
        self.hold.set(false);
        if next.is_pending() {
            // There is no more for now.
            next = self.connection.poll_next_inbound(cx);
        }
        next.map(|next| next.map(|stream| stream.map(|stream| stream.compat()).map_err(as_io)))
    }

    /// Ends the tunnel in good order.
    pub(super) async fn close(mut self) {
        // What is left unsaid is not needed.
        let _ = std::future::poll_fn(|cx| self.connection.poll_close(cx)).await;
    }
}

async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut Gather<S>,
) -> Result<(), ForwardError> {
    stream
        .write_all(&Greeting::OURS)
        .await
        .map_err(ForwardError::Tunnel)?;
    stream.flush().await.map_err(ForwardError::Tunnel)?;
    let mut greeting = Greeting::new();
    loop {
        let missing = greeting.missing()?;
        if missing == 0 {
            return Ok(());
        }
        let mut bytes = vec![0; missing];
        stream
            .read_exact(&mut bytes)
            .await
            .map_err(ForwardError::Tunnel)?;
        greeting.handle_wire(&bytes);
    }
}

/// What the transport failed with; anything else is the peer's doing, in words.
fn as_io(error: ConnectionError) -> io::Error {
    if let ConnectionError::Io(error) = error {
        return error;
    }
    io::Error::other(error)
}

/// Bytes that one stream sends before it is another one's turn.
const FRAME: usize = 16_384;

/// Streams in one tunnel. There are fewer connections: streams that have ended are still known for a moment.
const MAX_STREAMS: usize = 576;

/// Bytes that all streams of a tunnel may have under way to us: 262 144 for each, and 16 MiB more for those that need them.
const MAX_WINDOWS: usize = 576 * 262_144 + 16 * 1_048_576;
