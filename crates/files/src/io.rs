//! The disk and the stream, under tokio: [`send`](send::send) and [`receive`](receive::receive).

use std::collections::BTreeMap;
use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};

pub(crate) mod destination;
mod job;
pub(crate) mod receive;
mod reports;
pub(crate) mod send;

use crate::fault::Fault;
use crate::reason::Told;

/// How a stream ended that should not have.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// It was cut. What is there is kept: the same transfer over another stream goes on from there.
    #[error("the connection ended before everything was there; what is there is kept")]
    Lost(#[source] Option<io::Error>),
    /// The other end gave up.
    #[error("the other end gave up: {0}")]
    Aborted(Told),
    /// The other end broke the protocol.
    #[error("the other end broke the protocol")]
    Broken(#[source] Fault),
}

/// A stream with what was read of it and what is to be written.
struct Wire<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    input: BytesMut,
    output: Bytes,
    /// Written, but perhaps kept in a buffer.
    unflushed: bool,
}

/// What happened on it.
#[derive(Debug)]
enum Moved {
    /// There is input.
    Read,
    /// There is room.
    Wrote,
    /// The other end says no more.
    End,
}

impl<S: AsyncRead + AsyncWrite> Wire<S> {
    fn new(stream: S) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            input: BytesMut::new(),
            output: Bytes::new(),
            unflushed: false,
        }
    }

    /// Whether everything that was to be written has left.
    fn is_clear(&self) -> bool {
        self.output.is_empty() && !self.unflushed
    }

    /// Writes, and reads if `reads`; what has not happened when this is dropped happens next time.
    async fn step(&mut self, reads: bool) -> io::Result<Moved> {
        let Self {
            reader,
            writer,
            input,
            output,
            unflushed,
        } = self;
        input.reserve(READ);
        let writes = !output.is_empty();
        let flushes = !writes && *unflushed;
        tokio::select! {
            got = reader.read_buf(input), if reads => Ok(match got? {
                0 => Moved::End,
                _ => Moved::Read,
            }),
            wrote = write(writer, output, unflushed), if writes || flushes => wrote.map(|()| Moved::Wrote),
            // Somebody else has something to do.
            () = std::future::pending(), if !reads && !writes && !flushes => Ok(Moved::Wrote),
        }
    }

    /// Writes what is left, and ends this direction.
    async fn finish(&mut self) -> io::Result<()> {
        while !self.is_clear() {
            self.step(false).await?;
        }
        self.writer.shutdown().await
    }
}

/// Writes some of what waits, or flushes what was written.
async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    output: &mut Bytes,
    unflushed: &mut bool,
) -> io::Result<()> {
    if output.is_empty() {
        writer.flush().await?;
        *unflushed = false;
        return Ok(());
    }
    let wrote = writer.write(output).await?;
    if wrote == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    output.advance(wrote);
    *unflushed = true;
    Ok(())
}

/// How many bytes of all files are on the receiver's disk.
#[derive(Debug, Default)]
struct Progress {
    total: u64,
    /// Those of files that are not complete.
    open: BTreeMap<u32, u64>,
}

impl Progress {
    /// There are so many bytes of a file; how many there are of all is returned.
    fn set(&mut self, index: u32, bytes: u64) -> u64 {
        let before = self.open.insert(index, bytes).unwrap_or_default();
        self.total = self.total.saturating_sub(before).saturating_add(bytes);
        self.total
    }

    /// Nothing more comes of a file of which there are so many.
    fn close(&mut self, index: u32, bytes: u64) -> u64 {
        let total = self.set(index, bytes);
        self.open.remove(&index);
        total
    }
}

/// Bytes that are read from a stream at once, at least.
const READ: usize = 65_536;

#[cfg(test)]
mod tests;
