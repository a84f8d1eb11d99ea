//! A TCP connection and its stream in the tunnel: bytes and ends both ways.

use std::future::poll_fn;
use std::io::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use super::How;
use super::linger::end_on_drop;
use super::mux::Stream;
use super::talk::Talk;
use crate::channel::{Channel, Event};
use crate::wire::HEADER;

/// What was carried, and how it ended.
pub(super) struct Carried {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) how: How,
}

/// Carries a connection to its end. If that is not a good one, or this is dropped before, the socket is reset, so that nobody takes
/// it for one: it is one that is [cut on drop](super::linger::cut_on_drop).
pub(super) async fn relay(talk: Talk, socket: TcpStream) -> Carried {
    // An answer is not held back in the hope of more; where that cannot be set it only takes longer.
    let _ = socket.set_nodelay(true);
    let mut relay = Relay::new(talk, socket);
    let how = poll_fn(|cx| relay.poll(cx)).await;
    let carried = Carried {
        sent: relay.sent,
        received: relay.received,
        how,
    };
    // A stream that takes no good-bye is dropped, which the peer sees as a cut.
    let _ = tokio::time::timeout(GOODBYE, relay.leave(carried.how == How::Ended)).await;
    carried
}

struct Relay {
    socket: TcpStream,
    stream: Stream,
    channel: Channel,
    /// From the socket, read in behind the room for its header.
    to: Box<[u8]>,
    to_send: Span,
    control: Vec<u8>,
    /// From the stream, and how far it has been looked at.
    from: Vec<u8>,
    came: Span,
    /// Data in `from` that are for the socket.
    to_write: Span,
    socket_in: Way,
    socket_out: Way,
    sent: u64,
    received: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Ending,
    Ended,
}

/// A part of a buffer.
#[derive(Debug, Default, Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    const fn len(self) -> usize {
        self.end.saturating_sub(self.start)
    }

    fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start..self.end).unwrap_or_default()
    }
}

/// A step that ends the connection, or whether anything moved.
type Step = Result<bool, How>;

impl Relay {
    fn new(talk: Talk, socket: TcpStream) -> Self {
        let mut from = talk.came;
        let came = Span {
            start: 0,
            end: from.len(),
        };
        from.resize(from.len().max(BUFFER), 0);
        Self {
            socket,
            stream: talk.stream,
            channel: talk.channel,
            to: vec![0; BUFFER].into_boxed_slice(),
            to_send: Span::default(),
            control: Vec::new(),
            from,
            came,
            to_write: Span::default(),
            socket_in: Way::Open,
            socket_out: Way::Open,
            sent: 0,
            received: 0,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<How> {
        loop {
            let moved = self
                .outward(cx)
                .and_then(|outward| Ok(self.inward(cx)? || outward));
            match moved {
                Err(how) => return Poll::Ready(how),
                Ok(_) if self.is_done() => return Poll::Ready(How::Ended),
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
            }
        }
    }

    fn is_done(&self) -> bool {
        let sent = self.to_send.len() == 0 && self.control.is_empty();
        sent && self.socket_out == Way::Ended && self.channel.is_complete()
    }

    /// From the socket into the stream, one step.
    fn outward(&mut self, cx: &mut Context<'_>) -> Step {
        if !self.control.is_empty() {
            let sent = write(&mut self.stream, cx, &self.control).map_err(|_| How::Cut)?;
            self.control.drain(..sent.min(self.control.len()));
            return Ok(sent > 0);
        }
        if self.to_send.len() > 0 {
            let sent =
                write(&mut self.stream, cx, self.to_send.of(&self.to)).map_err(|_| How::Cut)?;
            self.to_send.start += sent;
            return Ok(sent > 0);
        }
        if let Some(wire) = self.channel.poll_wire() {
            self.control = wire;
            return Ok(true);
        }
        if self.socket_in == Way::Open {
            return self.read_socket(cx);
        }
        Ok(false)
    }

    fn read_socket(&mut self, cx: &mut Context<'_>) -> Step {
        let Some(room) = self.to.get_mut(HEADER..) else {
            return Ok(false);
        };
        let mut buffer = ReadBuf::new(room);
        match Pin::new(&mut self.socket).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(false),
            Poll::Ready(Err(error)) => Err(How::BrokenHere(error.to_string())),
            Poll::Ready(Ok(())) => {
                let length = buffer.filled().len();
                if let (Some(header), Some(place)) =
                    (self.channel.data(length), self.to.first_chunk_mut())
                {
                    *place = header;
                    self.to_send = Span {
                        start: 0,
                        end: HEADER + length,
                    };
                    self.sent += length as u64;
                } else {
                    self.socket_in = Way::Ended;
                    self.channel.end();
                }
                Ok(true)
            }
        }
    }

    /// From the stream to the socket, one step.
    fn inward(&mut self, cx: &mut Context<'_>) -> Step {
        if self.to_write.len() > 0 {
            let written = write(&mut self.socket, cx, self.to_write.of(&self.from))
                .map_err(|error| How::BrokenHere(error.to_string()))?;
            self.to_write.start += written;
            self.received += written as u64;
            return Ok(written > 0);
        }
        if self.socket_out == Way::Ending {
            return match Pin::new(&mut self.socket).poll_shutdown(cx) {
                Poll::Pending => Ok(false),
                Poll::Ready(Ok(())) => {
                    self.socket_out = Way::Ended;
                    Ok(true)
                }
                Poll::Ready(Err(error)) => Err(How::BrokenHere(error.to_string())),
            };
        }
        if self.came.len() > 0 {
            return self.look();
        }
        // Nothing follows an end but the news that the other connection broke after all, or a cut.
        self.receive(cx)
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Step {
        let mut buffer = ReadBuf::new(&mut self.from);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                let end = buffer.filled().len();
                self.came = Span { start: 0, end };
                Ok(true)
            }
            Poll::Ready(Ok(()) | Err(_)) if self.channel.is_complete() => Ok(false),
            Poll::Ready(Ok(()) | Err(_)) => Err(How::Cut),
        }
    }

    /// Looks at the next frame of what came.
    fn look(&mut self) -> Step {
        let mut wire = self.came.of(&self.from);
        let event = self.channel.handle_wire(&mut wire);
        self.came.start = self.came.end.saturating_sub(wire.len());
        match event.map_err(How::Violation)? {
            Some(Event::Data(data)) => {
                self.to_write = Span {
                    start: self.came.start.saturating_sub(data.len()),
                    end: self.came.start,
                };
            }
            Some(Event::End) => self.socket_out = Way::Ending,
            Some(Event::Broken) => return Err(How::BrokenThere),
            // The channel lets none of these through any more.
            Some(Event::Asked(_) | Event::Accepted(_) | Event::Refused(_)) | None => {}
        }
        Ok(true)
    }

    /// Says the last, and lets go of both sides.
    async fn leave(mut self, ended: bool) {
        if ended {
            end_on_drop(&self.socket);
        }
        drop(self.socket);
        if !ended {
            // Nothing may stand between the rest of a frame that is half sent and what follows.
            self.channel.fail();
            self.control
                .extend(self.channel.poll_wire().into_iter().flatten());
            let rest = self.to_send.of(&self.to);
            if self.stream.write_all(rest).await.is_err() {
                return;
            }
            if self.stream.write_all(&self.control).await.is_err() {
                return;
            }
        }
        let _ = self.stream.shutdown().await;
    }
}

/// Writes what there is room for now: 0 bytes if that is none.
fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Result<usize, Error> {
    match Pin::new(writer).poll_write(cx, bytes) {
        Poll::Pending => Ok(0),
        Poll::Ready(Ok(0)) => Err(std::io::ErrorKind::WriteZero.into()),
        Poll::Ready(written) => written,
    }
}

/// Bytes that are moved at a time, each way; with the header, what a frame of data is at most.
const BUFFER: usize = 65_536;

/// How long a stream may take its last frames.
const GOODBYE: Duration = Duration::from_secs(5);
