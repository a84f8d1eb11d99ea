//! Standard output, written by a separate task so that callers can do other work while it blocks.

use std::io;

use tokio::io::AsyncWriteExt as _;
use tokio::sync::{mpsc, oneshot};

use crate::failure::Failure;

/// Standard output.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pieces: mpsc::Sender<Piece>,
}

#[derive(Debug)]
struct Piece {
    bytes: Vec<u8>,
    written: oneshot::Sender<io::Result<()>>,
}

impl Output {
    /// Starts the task.
    pub(crate) fn open() -> Self {
        let (pieces, receiver) = mpsc::channel(1);
        tokio::spawn(write(receiver));
        Self { pieces }
    }

    /// Writes bytes, and returns once the reader of standard output has accepted them.
    ///
    /// # Errors
    /// The reader has gone, or the write failed.
    pub(crate) async fn write(&self, bytes: Vec<u8>) -> Result<(), Failure> {
        let (written, result) = oneshot::channel();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        let sent = self.pieces.send(Piece { bytes, written }).await;
        let result = match sent {
            Ok(()) => result.await.unwrap_or_else(|_| Err(gone())),
            Err(_) => Err(gone()),
        };
        result.map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                return Failure::failed(
                    "standard output: its reader has gone; what arrived for it was not delivered",
                );
            }
            Failure::failed(format!("standard output: {error}"))
        })
    }
}

/// The width of the terminal on standard output, or what `COLUMNS` says where there is none.
pub(crate) fn columns() -> Option<usize> {
    if let Some((width, _)) = terminal_size::terminal_size_of(io::stdout()) {
        return Some(usize::from(width.0));
    }
    std::env::var("COLUMNS").ok()?.parse().ok()
}

/// Whether standard output shows colours: it is a terminal, and neither `NO_COLOR` nor `TERM=dumb` is set.
pub(crate) fn colours() -> bool {
    std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
        && anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never
}

async fn write(mut pieces: mpsc::Receiver<Piece>) {
    let mut out = tokio::io::stdout();
    while let Some(piece) = pieces.recv().await {
        let result = async {
            out.write_all(&piece.bytes).await?;
            out.flush().await
        };
        let _ = piece.written.send(result.await);
    }
}
