//! What carries the octets, and its discipline.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::dial::Duplex;

/// A TCP connection that neither delays what it sends nor, on Linux, what it acknowledges; or what somebody else's dialler
/// gave.
///
/// Servers leave Nagle's algorithm on. With XEP-0198, whose requests and answers are small writes of their own, each
/// round trip then waits some 40 ms for our delayed acknowledgement: 22 stanzas a second.
pub(super) enum Socket {
    Tcp(Tcp),
    Dialled(Box<dyn Duplex>),
}

pub(super) struct Tcp {
    stream: TcpStream,
    /// Something has come, and nothing has left behind it that would acknowledge it in passing.
    owes: bool,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        Ok(Self::Tcp(Tcp {
            stream: tcp,
            owes: false,
        }))
    }

    /// Of the other end.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.stream.peer_addr().ok(),
            Self::Dialled(_) => None,
        }
    }
}

impl Tcp {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.owes |= buf.filled().len() > before;
        // Not sooner: an answer that leaves meanwhile saves a packet and two calls.
        if read.is_pending() && std::mem::take(&mut self.owes) {
            acknowledge(&self.stream);
        }
        read
    }

    /// Octets have left, and with them what was owed.
    fn settle(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.owes &= !matches!(written, Poll::Ready(Ok(1..)));
        written
    }
}

/// Has the kernel send an acknowledgement that it holds back. A refusal costs speed only.
#[cfg(target_os = "linux")]
fn acknowledge(tcp: &TcpStream) {
    let _ = rustix::net::sockopt::set_tcp_quickack(tcp, true);
}

#[cfg(not(target_os = "linux"))]
fn acknowledge(_: &TcpStream) {}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => tcp.poll_read(cx, buf),
            Self::Dialled(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => {
                let written = Pin::new(&mut tcp.stream).poll_write(cx, bytes);
                tcp.settle(written)
            }
            Self::Dialled(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => {
                let written = Pin::new(&mut tcp.stream).poll_write_vectored(cx, slices);
                tcp.settle(written)
            }
            Self::Dialled(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.stream.is_write_vectored(),
            Self::Dialled(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(&mut tcp.stream).poll_flush(cx),
            Self::Dialled(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(&mut tcp.stream).poll_shutdown(cx),
            Self::Dialled(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
