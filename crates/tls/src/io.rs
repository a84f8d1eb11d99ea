//! TLS over any `AsyncRead + AsyncWrite` (feature `tokio`).
//!
//! [`Stream`] moves the bytes of a [`Tls`]; everything that `Tls` promises holds. Over TCP, for example:
//!
//! ```no_run
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::TcpStream;
//! use xtls_tls::{Config, Expectations, Identity, Role, Tls, io::Stream, trust, zeroize::Zeroizing};
//!
//! # async fn alice(seed: Zeroizing<[u8; 32]>, pins: trust::Store) -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::with_defaults(Identity::generate("alice@example.org", &seed, 1_767_225_600)?)?;
//! let mut expect = Expectations::new("alice@example.org", "bob@example.net", pins, trust::Policy::Pinned);
//! expect.alpn = b"example".to_vec();
//! expect.alpn_required = true;
//! let tls = Tls::new(Role::Client, &config, expect)?;
//! let mut stream = Stream::handshake(tls, TcpStream::connect("example.net:4000").await?).await?;
//! stream.write_all(b"hello").await?;
//! stream.shutdown().await?;                      // close_notify; the other direction goes on
//! let mut answer = Vec::new();
//! stream.read_to_end(&mut answer).await?;        // to Bob's close_notify; a cut is an error
//! # Ok(())
//! # }
//! ```

use std::future::poll_fn;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::{TlsError, WriteError};
use crate::tls::Tls;

/// A [`Tls`] on a transport, after its handshake.
///
/// Reading gives an end of file for the peer's close_notify and for nothing else: a transport that ends without it is
/// [`UnexpectedEof`](ErrorKind::UnexpectedEof), and a failure of the connection an error that holds the [`TlsError`].
/// What came before is read first. Shutting down sends close_notify and shuts down the transport's direction; the peer's goes on.
///
/// The halves of `tokio::io::split` may be in two tasks. At most one record, 16 KiB, waits for the transport: then the writer waits.
/// Dropping the stream without shutting it down is seen as a cut.
///
/// `Debug` shows neither keys nor plaintext.
#[derive(Debug)]
pub struct Stream<T> {
    tls: Tls,
    transport: T,
    /// Decrypted, and not read yet.
    plain: Plain,
    /// Encrypted, and not taken by the transport yet.
    wire: Bytes,
    /// The task that waits for the transport to take more.
    writer: Option<Waker>,
}

/// Plaintext, which nobody prints.
struct Plain(BytesMut);

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream<T> {
    /// Shakes hands: done when the peer is known ([`Tls::peer`]) and our last flight is with the transport. A client does not know
    /// yet whether the server accepts it; the first read says so.
    ///
    /// There is no time limit: put it under `tokio::time::timeout`. Not cancel-safe: what was sent and received is dropped
    /// with the future.
    ///
    /// # Errors
    /// The [`TlsError`] inside says why there is no connection; the peer was sent the alert. Others are the transport's.
    pub async fn handshake(tls: Tls, transport: T) -> Result<Self> {
        let mut stream = Self {
            tls,
            transport,
            plain: Plain(BytesMut::new()),
            wire: Bytes::new(),
            writer: None,
        };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// The connection: who the peer is, the ALPN name, exported keys.
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// The connection, for a change. What this leaves to be sent goes out with the next write or flush.
    pub fn tls_mut(&mut self) -> &mut Tls {
        &mut self.tls
    }

    /// The transport.
    pub fn get_ref(&self) -> &T {
        &self.transport
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            ready!(self.poll_send(cx))?;
            ready!(Pin::new(&mut self.transport).poll_flush(cx))?;
            if let Some(failure) = self.tls.failure() {
                return Poll::Ready(Err(error_of(failure)));
            }
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_receive(cx))?;
        }
    }

    /// Gives the transport what there is, until nothing is left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            if self.wire.is_empty() {
                match self.tls.poll_wire(AT_ONCE) {
                    Some(wire) => self.wire = wire,
                    None => return Poll::Ready(Ok(())),
                }
            }
            match ready!(Pin::new(&mut self.transport).poll_write(cx, &self.wire))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                taken => self.wire.advance(taken),
            }
        }
    }

    /// As [`poll_send`](Self::poll_send), for a writer, who is to be woken when the connection fails.
    fn poll_send_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let sent = self.poll_send(cx);
        self.writer = sent.is_pending().then(|| cx.waker().clone());
        sent
    }

    /// Takes some bytes from the transport, or its end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut buffer = [0; READ];
        let mut buffer = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut self.transport).poll_read(cx, &mut buffer))?;
        match buffer.filled() {
            [] => self.tls.handle_wire_end(),
            wire => self.tls.handle_wire(wire, &mut self.plain.0),
        }
        Poll::Ready(Ok(()))
    }

    /// The connection has failed while reading: the alert goes out if the transport takes it now, and a waiting writer is told.
    fn say_last_words(&mut self, cx: &mut Context<'_>) {
        // The failure is reported whether or not the peer hears of it.
        let _ = self.poll_send(cx);
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn may_write(&self) -> Result<()> {
        match self.tls.failure() {
            Some(failure) => Err(Error::new(ErrorKind::BrokenPipe, failure.clone())),
            None if self.tls.is_closed() => {
                Err(Error::new(ErrorKind::BrokenPipe, WriteError::Closed))
            }
            None => Ok(()),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        while self.plain.0.is_empty() && buffer.remaining() > 0 {
            if let Some(failure) = self.tls.failure() {
                return Poll::Ready(Err(error_of(failure)));
            }
            if self.tls.peer_closed() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_receive(cx))?;
            if self.tls.failure().is_some() {
                self.say_last_words(cx);
            }
        }
        let len = self.plain.0.len().min(buffer.remaining());
        buffer.put_slice(&self.plain.0.split_to(len));
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize>> {
        self.may_write()?;
        ready!(self.poll_send_all(cx))?;
        let len = bytes.len().min(AT_ONCE).min(self.tls.room());
        let written = self.tls.write(bytes.get(..len).unwrap_or(bytes));
        written.map_err(|error| Error::new(ErrorKind::BrokenPipe, error))?;
        // What the transport does not take now waits for the next write or flush.
        if let Poll::Ready(sent) = self.poll_send_all(cx) {
            sent?;
        }
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_send_all(cx))?;
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.tls.close();
        ready!(self.poll_send_all(cx))?;
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

/// What a reader gets for the end of a connection.
fn error_of(failure: &TlsError) -> Error {
    let kind = match failure {
        TlsError::Truncated => ErrorKind::UnexpectedEof,
        TlsError::Trust(_) | TlsError::Rejected => ErrorKind::PermissionDenied,
        TlsError::Cancelled | TlsError::Alert(_) => ErrorKind::ConnectionAborted,
        TlsError::NoCertificate
        | TlsError::NotAsked
        | TlsError::Version
        | TlsError::KeyExchange
        | TlsError::Alpn
        | TlsError::Corrupt
        | TlsError::Idle
        | TlsError::Protocol(_) => ErrorKind::InvalidData,
    };
    Error::new(kind, failure.clone())
}

/// Bytes that are read from the transport at a time.
const READ: usize = 8192;

/// Bytes that one write takes at most, and that the transport is given at a time.
const AT_ONCE: usize = 16_384;
