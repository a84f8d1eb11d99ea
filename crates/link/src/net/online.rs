//! A connection on which stanzas pass, and what is done with it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::AsyncWrite as _;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::io::poll_read_buf;

use super::connect::Connection;
use super::waiting::Waiting;
use super::writer::{Records, Writer};
use crate::error::{ConnectError, HUNG_UP};
use crate::session::{Session, Software};
use crate::stream::{Event, Stream};

/// An open stream and what carries it.
pub(super) struct Online {
    connection: Connection,
    writer: Writer,
    /// What was sent before it was open, and has to wait for what the server is to get before.
    waiting: Waiting,
}

impl Online {
    /// `waiting` goes out before anything else, once the server has what it is to get before.
    pub(super) fn new(connection: Connection, fill: bool, waiting: Waiting) -> Self {
        let software = connection.stream.session().software();
        Self {
            writer: Writer::new(records(software, fill)),
            connection,
            waiting,
        }
    }

    pub(super) fn session(&self) -> &Session {
        self.connection.stream.session()
    }

    /// Where the server was reached, unless somebody else has dialled.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.connection.tls.get_ref().0.address()
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_empty() && self.connection.stream.has_room()
    }

    /// Sends one stanza, which `write` appends.
    pub(super) fn send(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        send(&mut self.connection.stream, write);
    }

    /// Asks the server what it is, and writes to it as it reads best once it has answered.
    pub(super) fn ask_for_software(&mut self) {
        self.connection.stream.ask_for_software();
    }

    pub(super) fn learn_software(&mut self, fill: bool) {
        let software = self.connection.stream.session().software();
        self.writer.set_records(records(software, fill));
    }

    /// The next event, and what is due to be written meanwhile.
    pub(super) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        timer: &mut Option<Pin<Box<Sleep>>>,
    ) -> Poll<Result<Event, ConnectError>> {
        loop {
            let now = Instant::now().into_std();
            if let Some(event) = self.connection.stream.poll_event(now)? {
                return Poll::Ready(Ok(event));
            }
            match self.poll_read(cx) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    // Answers to what was read, as far as they are due.
                    if let Poll::Ready(Err(why)) = self.poll_write(cx) {
                        return Poll::Ready(Err(why));
                    }
                    ready!(self.poll_due(cx, timer))?;
                }
            }
        }
    }

    /// Something is due, and was done. Until then the task is woken in time.
    fn poll_due(
        &mut self,
        cx: &mut Context<'_>,
        timer: &mut Option<Pin<Box<Sleep>>>,
    ) -> Poll<Result<(), ConnectError>> {
        let stream = &self.connection.stream;
        // What is due to be written waits for the network like everything else, and not for the time.
        let due = match self.writer.is_flushed() {
            true => stream.poll_timeout(),
            false => stream.silence_timeout(),
        };
        let Some(due) = due else {
            *timer = None;
            return Poll::Pending;
        };
        let due = Instant::from_std(due);
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() != due {
            timer.as_mut().reset(due);
        }
        ready!(timer.as_mut().poll(cx));
        let stream = &mut self.connection.stream;
        stream.handle_timeout(Instant::now().into_std())?;
        if let Poll::Ready(Err(why)) = self.poll_write(cx) {
            return Poll::Ready(Err(why));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let Connection { tls, stream } = &mut self.connection;
        let buffer = stream.buffer();
        buffer.reserve(READ);
        let read = ready!(poll_read_buf(Pin::new(tls), cx, buffer)).map_err(broken)?;
        if read == 0 {
            return Poll::Ready(Err(ConnectError::broken(DURING, HUNG_UP)));
        }
        stream.heard(Instant::now().into_std());
        Poll::Ready(Ok(()))
    }

    /// Passes on what is there. Ready: all of it has left for the network.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        let Connection { tls, stream } = &mut self.connection;
        loop {
            ready!(self.writer.poll_flush(cx, tls)).map_err(broken)?;
            if !self.waiting.is_empty() && stream.has_room() {
                for stanza in std::mem::take(&mut self.waiting).into_stanzas() {
                    send(stream, |out| out.extend_from_slice(&stanza));
                }
            }
            let now = Instant::now().into_std();
            let Some(octets) = stream.poll_transmit(now) else {
                return Poll::Ready(Ok(()));
            };
            self.writer.start(now, octets, tls).map_err(broken)?;
        }
    }

    /// Ends the stream behind all that was sent.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        loop {
            let now = Instant::now().into_std();
            if self.waiting.is_empty() {
                self.connection.stream.close(now);
            }
            if let Poll::Ready(Err(why)) = self.poll_write(cx) {
                return Poll::Ready(Err(why));
            }
            match self.connection.stream.poll_event(now)? {
                Some(Event::Closed) => {
                    let _ = Pin::new(&mut self.connection.tls).poll_shutdown(cx);
                    return Poll::Ready(Ok(()));
                }
                Some(_) => continue,
                None => {}
            }
            match ready!(self.poll_read(cx)) {
                // It hangs up in place of an end tag, and has had everything.
                Err(_) if self.has_said_good_bye() => return Poll::Ready(Ok(())),
                read => read?,
            }
        }
    }

    /// Whether the end of the stream has left, and all before it.
    pub(super) fn has_said_good_bye(&self) -> bool {
        !self.connection.stream.is_open() && self.writer.is_flushed()
    }

    /// Gives up the connection, and says why where the protocol wants it.
    pub(super) fn fail(mut self, why: &ConnectError) -> (Session, Waiting) {
        let Connection {
            mut tls,
            mut stream,
        } = self.connection;
        stream.fail(why);
        let now = Instant::now().into_std();
        if let Some(octets) = stream.poll_transmit(now)
            && self.writer.is_flushed()
            && self.writer.start(now, octets, &mut tls).is_ok()
        {
            // What does not leave now was not worth waiting for.
            let mut cx = Context::from_waker(Waker::noop());
            let _ = self.writer.poll_flush(&mut cx, &mut tls);
        }
        (stream.into_session(now), self.waiting)
    }

    /// Says good-bye for somebody who does not wait for it.
    pub(super) async fn good_bye(mut self) {
        let said = poll_fn(|cx| self.poll_closed(cx));
        let _ = tokio::time::timeout(LEAVING, said).await;
    }
}

fn send(stream: &mut Stream, write: impl FnOnce(&mut Vec<u8>)) {
    if let Err(error) = stream.send_with(write) {
        tracing::warn!(%error, "dropped a stanza");
    }
}

fn records(software: Software, fill: bool) -> Records {
    match (software, fill) {
        (Software::Other, _) => Records::Large,
        (Software::Unknown | Software::Prosody, true) => Records::Filled,
        (Software::Unknown | Software::Prosody, false) => Records::Small,
    }
}

fn broken(why: io::Error) -> ConnectError {
    ConnectError::broken_io(DURING, why)
}

const DURING: &str = "on the stream";

/// Room for what is read at a time.
const READ: usize = 16_384;

/// How long a link that is dropped may take to say good-bye.
const LEAVING: Duration = Duration::from_secs(2);
