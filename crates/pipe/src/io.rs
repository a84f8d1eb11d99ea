//! A pipe between a stream, a reader and a writer (feature `tokio`).

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::watch;

use crate::error::{Fault, PipeError};
use crate::frame::{Exit, HEADER, Stop};
use crate::pipe::{Event, Outcome, Pipe, Settings, Traffic};

/// How a command has exited, once it has.
pub type Exiting = Pin<Box<dyn Future<Output = Exit> + Send>>;

/// What a pipe is to do.
pub struct Options {
    /// Send what the reader has. Without, the reader is not touched, and the peer is told at once that nothing comes.
    pub sends: bool,
    /// Take what the peer sends. Without, the peer is told so, and the writer gets nothing.
    pub takes: bool,
    /// Wait for the end of the peer's data. Without, the pipe ends when the peer has taken everything of ours.
    pub waits: bool,
    /// The reader and the writer are those of a command, which exits so. The peer is told after the end of its output. A command
    /// that closes its input goes on speaking; without one, an output that takes no more is the end of the pipe.
    pub exit: Option<Exiting>,
    /// Where the bytes so far are shown.
    pub progress: Option<watch::Sender<Traffic>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sends: true,
            takes: true,
            waits: true,
            exit: None,
            progress: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("sends", &self.sends)
            .field("takes", &self.takes)
            .field("waits", &self.waits)
            .field("exit", &self.exit.is_some())
            .field("progress", &self.progress.is_some())
            .finish()
    }
}

/// Moves what `reader` has to the peer, and what the peer sends to `writer`, until both have ended and each side has said that it
/// took everything. The writer is shut down at the end of the peer's data, whatever our own direction does.
///
/// Success means that the peer's application has taken every byte of ours, or that the peer wanted none and there was none, and
/// that ours has every byte of the peer's. At the end the stream is shut down, and waited for 10 s at most.
///
/// Not cancel-safe: the peer sees a pipe whose future is dropped as a cut.
///
/// # Errors
/// What went wrong, on which side, and how far it had come.
pub async fn run<S, R, W>(
    stream: S,
    reader: R,
    writer: W,
    options: Options,
) -> Result<Outcome, PipeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut run = Run::new(stream, reader, writer, options);
    poll_fn(|cx| run.poll(cx)).await;
    let verdict = poll_fn(|cx| Poll::Ready(run.verdict(cx))).await;
    // What this side had to say is on its way, and what the peer said is known: a stream that does not end changes nothing.
    let _ = tokio::time::timeout(LINGER, async {
        if run.unflushed > 0 {
            let _ = run.writer.flush().await;
        }
        leave(run.stream, run.from).await;
    })
    .await;
    verdict
}

/// Sends the last bytes on their way, and reads what the peer still has to say: closed with unread bytes, a socket would throw
/// away what it has not sent yet.
async fn leave<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, mut buffer: Box<[u8]>) {
    if stream.shutdown().await.is_ok() {
        while let Ok(1..) = stream.read(&mut buffer).await {}
    }
}

struct Run<S, R, W> {
    stream: S,
    reader: R,
    writer: W,
    pipe: Pipe,
    options: Options,
    /// What goes to the stream: the input is read in behind the room for its header.
    to: Box<[u8]>,
    to_send: Span,
    control: Vec<u8>,
    stream_dirty: bool,
    /// What came from the stream, and how far it has been looked at.
    from: Box<[u8]>,
    came: Span,
    /// Data in `from` that are for the writer.
    to_write: Span,
    unflushed: usize,
    /// What ends the run before the pipe is over.
    fault: Option<Fault>,
    /// The stream takes nothing any more. What it still gives says why.
    outward_cut: Option<Error>,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// The peer's data have ended; the writer is being told.
    Closing,
    /// Something here has failed: the peer is told, and that is all.
    Leaving,
    Over,
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

impl<S, R, W> Run<S, R, W>
where
    S: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    fn new(stream: S, reader: R, writer: W, options: Options) -> Self {
        let mut pipe = Pipe::new(Settings {
            takes: options.takes,
            command: options.exit.is_some(),
        });
        if !options.sends {
            pipe.end();
        }
        Self {
            stream,
            reader,
            writer,
            pipe,
            options,
            to: vec![0; BUFFER].into_boxed_slice(),
            to_send: Span::default(),
            control: Vec::new(),
            stream_dirty: false,
            from: vec![0; BUFFER].into_boxed_slice(),
            came: Span::default(),
            to_write: Span::default(),
            unflushed: 0,
            fault: None,
            outward_cut: None,
            phase: Phase::Running,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let outward = self.outward(cx);
            let inward = self.inward(cx);
            if let Some(progress) = &self.options.progress {
                let now = self.pipe.outcome().traffic;
                progress.send_if_modified(|shown| std::mem::replace(shown, now) != now);
            }
            if self.is_done() {
                return Poll::Ready(());
            }
            if !outward && !inward {
                return Poll::Pending;
            }
        }
    }

    fn is_done(&self) -> bool {
        let sent = self.to_send.len() == 0 && self.control.is_empty();
        match self.phase {
            Phase::Over => true,
            Phase::Leaving => sent && self.pipe.is_told(),
            Phase::Running | Phase::Closing => sent && self.pipe.is_over(),
        }
    }

    /// Moves our data one step; whether anything moved.
    fn outward(&mut self, cx: &mut Context<'_>) -> bool {
        if self.to_send.len() > 0 || !self.control.is_empty() {
            return self.send(cx);
        }
        self.poll_exit(cx);
        self.pipe.poll_wire(&mut self.control);
        if !self.control.is_empty() {
            return true;
        }
        if self.phase != Phase::Leaving && self.pipe.wants_input() && self.read_input(cx) {
            return true;
        }
        if self.stream_dirty {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.stream_dirty = false,
                Poll::Ready(Err(error)) => self.cut_outward(error),
                Poll::Pending => {}
            }
        }
        false
    }

    fn send(&mut self, cx: &mut Context<'_>) -> bool {
        let control = !self.control.is_empty();
        let wire = if control {
            self.control.as_slice()
        } else {
            self.to_send.of(&self.to)
        };
        if self.outward_cut.is_some() {
            self.to_send = Span::default();
            self.control.clear();
            return true;
        }
        match Pin::new(&mut self.stream).poll_write(cx, wire) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.cut_outward(ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(sent)) => {
                self.stream_dirty = true;
                if control {
                    self.control.drain(..sent.min(self.control.len()));
                } else {
                    self.to_send.start += sent;
                }
            }
            Poll::Ready(Err(error)) => self.cut_outward(error),
        }
        true
    }

    fn cut_outward(&mut self, error: Error) {
        self.stream_dirty = false;
        self.outward_cut.get_or_insert(error);
    }

    fn poll_exit(&mut self, cx: &mut Context<'_>) {
        if let Some(exit) = &mut self.options.exit
            && let Poll::Ready(exit) = exit.as_mut().poll(cx)
        {
            self.options.exit = None;
            self.pipe.exit(exit);
        }
    }

    fn read_input(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(room) = self.to.get_mut(HEADER..) else {
            return false;
        };
        let mut buffer = ReadBuf::new(room);
        match Pin::new(&mut self.reader).poll_read(cx, &mut buffer) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {
                let length = buffer.filled().len();
                match (self.pipe.data(length), self.to.first_chunk_mut()) {
                    (Ok(header), Some(place)) => {
                        *place = header;
                        self.to_send = Span {
                            start: 0,
                            end: HEADER + length,
                        };
                    }
                    _ => self.pipe.end(),
                }
            }
            Poll::Ready(Err(error)) => {
                self.pipe.fail();
                self.leave(Fault::Input(error));
            }
        }
        true
    }

    fn leave(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
        self.phase = Phase::Leaving;
    }

    /// Moves the peer's data one step; whether anything moved.
    fn inward(&mut self, cx: &mut Context<'_>) -> bool {
        if matches!(self.phase, Phase::Leaving | Phase::Over) {
            return false;
        }
        if self.to_write.len() > 0 {
            return self.write_output(cx);
        }
        if self.phase == Phase::Closing {
            return self.close_output(cx);
        }
        if !self.options.waits && self.pipe.is_taken() && self.pipe.is_receiving() {
            if self.flush_output(cx) {
                self.pipe.stop(Stop::NoMore);
            }
            return self.unflushed == 0;
        }
        if self.came.len() > 0 {
            self.look();
            return true;
        }
        if self.receive(cx) {
            return true;
        }
        if self.unflushed > 0 {
            self.flush_output(cx);
        }
        false
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut buffer = ReadBuf::new(&mut self.from);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {
                let end = buffer.filled().len();
                self.came = Span { start: 0, end };
                if end == 0 {
                    self.phase = Phase::Over;
                }
            }
            Poll::Ready(Err(error)) => {
                self.outward_cut.get_or_insert(error);
                self.phase = Phase::Over;
            }
        }
        true
    }

    /// Looks at the next frame of what came.
    fn look(&mut self) {
        let mut wire = self.came.of(&self.from);
        let event = self.pipe.handle_wire(&mut wire);
        let rest = wire.len();
        self.came.start = self.came.end.saturating_sub(rest);
        match event {
            Ok(Some(Event::Data(data))) => {
                self.to_write = Span {
                    start: self.came.start - data.len(),
                    end: self.came.start,
                };
            }
            Ok(Some(Event::End)) => self.phase = Phase::Closing,
            Ok(Some(Event::Taken | Event::Stopped(_) | Event::Exited(_)) | None) => {}
            Err(broken) => {
                self.fault.get_or_insert(Fault::Broken(broken));
                self.phase = Phase::Over;
            }
        }
    }

    fn write_output(&mut self, cx: &mut Context<'_>) -> bool {
        match Pin::new(&mut self.writer).poll_write(cx, self.to_write.of(&self.from)) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => self.output_gone(ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(written)) => {
                self.to_write.start += written;
                self.unflushed += written;
            }
            Poll::Ready(Err(error)) => self.output_gone(error),
        }
        true
    }

    /// Whether everything written is flushed.
    fn flush_output(&mut self, cx: &mut Context<'_>) -> bool {
        match Pin::new(&mut self.writer).poll_flush(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {
                self.pipe.took(self.unflushed);
                self.unflushed = 0;
            }
            Poll::Ready(Err(error)) => self.output_gone(error),
        }
        self.phase == Phase::Running
    }

    /// The writer learns that there is no more, before the peer learns that it has everything.
    fn close_output(&mut self, cx: &mut Context<'_>) -> bool {
        match Pin::new(&mut self.writer).poll_shutdown(cx) {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) => {
                self.pipe.took_all();
                self.phase = Phase::Running;
            }
            Poll::Ready(Err(error)) => self.output_gone(error),
        }
        true
    }

    fn output_gone(&mut self, error: Error) {
        self.to_write = Span::default();
        self.unflushed = 0;
        self.pipe.stop(Stop::ReaderGone);
        self.phase = Phase::Running;
        let speaks_on = self.pipe.is_command();
        self.fault.get_or_insert(Fault::Output(error));
        if !speaks_on {
            self.phase = Phase::Leaving;
        }
    }

    fn verdict(&mut self, cx: &mut Context<'_>) -> Result<Outcome, PipeError> {
        let outcome = self.pipe.outcome();
        let fault = match (self.fault.take(), self.pipe.verdict()) {
            (Some(fault), _) => fault,
            (None, Ok(_)) if self.pipe.is_unwanted() && self.has_input(cx) => Fault::NotWanted,
            (None, Ok(outcome)) => return Ok(outcome),
            (None, Err(fault)) => match self.outward_cut.take() {
                Some(error) if fault.is_truncation() => Fault::Tunnel(error),
                _ => fault,
            },
        };
        Err(PipeError { fault, outcome })
    }

    /// Whether there is input at hand that nobody takes.
    fn has_input(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.options.sends {
            return false;
        }
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let read = Pin::new(&mut self.reader).poll_read(cx, &mut buffer);
        read.is_ready() && !buffer.filled().is_empty()
    }
}

/// Bytes that are moved at a time, each way; with the header, what a frame of data is at most.
const BUFFER: usize = 65_536;

/// How long the stream may take to end once everything is said.
const LINGER: Duration = Duration::from_secs(10);
