//! Pipes over streams, readers and writers of tokio.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
    empty, sink,
};
use tokio::sync::watch;
use xtls_pipe::{Broken, Exit, Fault, Missing, Options, Outcome, PipeError, Side, Traffic, run};

const HELLO: [u8; 6] = [1, 0, 0, 2, 1, 0];

/// A writer whose content is looked at afterwards.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn content(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
}

/// Takes this many bytes, and fails with the next ones, or at its end.
struct Broke {
    room: usize,
    shutdown: bool,
}

impl AsyncWrite for Broke {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        if self.room == 0 {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(if self.shutdown {
            Ok(())
        } else {
            Err(Error::other("the disk is full"))
        })
    }
}

/// Has these bytes and then fails.
struct Failing(&'static [u8]);

impl AsyncRead for Failing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        if self.0.is_empty() {
            return Poll::Ready(Err(Error::other("a bad sector")));
        }
        buffer.put_slice(self.0);
        self.0 = &[];
        Poll::Ready(Ok(()))
    }
}

/// Counts what is read from it, without end.
struct Zeros(Arc<AtomicUsize>);

impl AsyncRead for Zeros {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        let room = buffer.remaining();
        buffer.put_slice(&vec![0; room]);
        self.0.fetch_add(room, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(length).collect()
}

fn tunnel() -> (DuplexStream, DuplexStream) {
    duplex(4_096)
}

fn options() -> Options {
    Options::default()
}

/// What a pipe with an empty input says to a peer that sends this and is gone.
async fn hearing(wire: &[u8]) -> (Result<Outcome, PipeError>, Vec<u8>) {
    let (near, mut far) = tunnel();
    far.write_all(wire).await.unwrap();
    drop(far);
    let output = Kept::default();
    let end = run(near, empty(), output.clone(), options()).await;
    (end, output.content())
}

#[tokio::test]
async fn a_tunnel_that_ends_without_an_end_is_a_truncation_and_what_came_is_written() {
    let (end, output) = hearing(&[HELLO.as_slice(), &[2, 0, 0, 5], b"hell"].concat()).await;
    let fault = end.unwrap_err().fault;
    assert!(
        fault.is_truncation() && fault.side() == Side::Tunnel,
        "{fault}"
    );
    assert_eq!(output, b"hell");
}

#[tokio::test]
async fn a_tunnel_that_ends_before_ours_was_taken_is_a_truncation() {
    let (near, mut far) = tunnel();
    far.write_all(&[HELLO.as_slice(), &[3, 0, 0, 0]].concat())
        .await
        .unwrap();
    let peer = async {
        far.read_exact(&mut [0; 17]).await.unwrap();
        far.shutdown().await.unwrap();
        far.read_to_end(&mut Vec::new()).await.unwrap();
    };
    let (end, ()) = tokio::join!(run(near, b"abc".as_slice(), sink(), options()), peer);
    let error = end.unwrap_err();
    assert!(
        matches!(error.fault, Fault::Truncated(Missing::Taken)),
        "{error}"
    );
    assert_eq!(error.outcome.traffic.sent, 3);
    assert_eq!(error.outcome.traffic.taken, 0);
}

#[tokio::test]
async fn a_peer_that_speaks_another_protocol_is_told_from_a_truncation() {
    let (end, _) = hearing(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let fault = end.unwrap_err().fault;
    assert!(
        matches!(fault, Fault::Broken(Broken::Unknown(b'H'))),
        "{fault}"
    );
    assert!(!fault.is_truncation() && fault.side() == Side::Peer);
}

#[tokio::test]
async fn a_reader_that_went_away_is_an_error_at_both_ends() {
    let (near, far) = tunnel();
    let (gone, told) = tokio::join!(
        run(
            near,
            empty(),
            Broke {
                room: 10,
                shutdown: true
            },
            options()
        ),
        run(far, Zeros(Arc::default()), sink(), options()),
    );
    let gone = gone.unwrap_err();
    assert!(matches!(&gone.fault, Fault::Output(error) if error.kind() == ErrorKind::BrokenPipe));
    assert_eq!(gone.fault.side(), Side::Here);
    let told = told.unwrap_err().fault;
    assert!(matches!(told, Fault::PeerReader), "{told}");
}

#[tokio::test]
async fn an_output_that_fails_at_its_end_has_not_taken_everything() {
    let (near, far) = tunnel();
    let (gone, told) = tokio::join!(
        run(
            near,
            empty(),
            Broke {
                room: 10,
                shutdown: false
            },
            options()
        ),
        run(far, b"abc".as_slice(), sink(), options()),
    );
    assert!(matches!(gone.unwrap_err().fault, Fault::Output(_)));
    assert!(matches!(told.unwrap_err().fault, Fault::PeerReader));
}

#[tokio::test]
async fn an_input_that_fails_is_not_told_as_an_end() {
    let (near, far) = tunnel();
    let output = Kept::default();
    let (failed, told) = tokio::join!(
        run(near, Failing(b"abc"), sink(), options()),
        run(far, empty(), output.clone(), options()),
    );
    assert!(matches!(failed.unwrap_err().fault, Fault::Input(_)));
    let told = told.unwrap_err().fault;
    assert!(
        matches!(told, Fault::PeerInput) && !told.is_truncation(),
        "{told}"
    );
    assert_eq!(output.content(), b"abc");
}

#[tokio::test]
async fn data_for_a_side_that_takes_none_are_an_error_where_they_are() {
    let (near, far) = tunnel();
    let only = Options {
        takes: false,
        ..options()
    };
    let output = Kept::default();
    let (sends, refused) = tokio::join!(
        run(near, b"abc".as_slice(), sink(), only),
        run(far, b"unheard".as_slice(), output.clone(), options()),
    );
    assert_eq!(sends.unwrap().traffic.taken, 3);
    assert!(matches!(refused.unwrap_err().fault, Fault::NotWanted));
    assert_eq!(output.content(), b"abc");
}

#[tokio::test]
async fn an_input_that_says_nothing_does_not_hold_up_a_side_that_only_sends() {
    let (near, far) = tunnel();
    let only = Options {
        takes: false,
        ..options()
    };
    let (silent, _open) = duplex(1);
    let output = Kept::default();
    let (sends, takes) = tokio::join!(
        run(near, b"abc".as_slice(), sink(), only),
        run(far, silent, output.clone(), options()),
    );
    assert_eq!(sends.unwrap().traffic.taken, 3);
    assert_eq!(takes.unwrap().traffic.received, 3);
}

#[tokio::test]
async fn a_side_that_only_receives_leaves_its_input_alone() {
    let (near, far) = tunnel();
    let only = Options {
        sends: false,
        ..options()
    };
    let read = Arc::new(AtomicUsize::new(0));
    let output = Kept::default();
    let (receives, sends) = tokio::join!(
        run(near, Zeros(Arc::clone(&read)), output.clone(), only),
        run(far, b"abc".as_slice(), sink(), options()),
    );
    assert_eq!(receives.unwrap().traffic.received, 3);
    assert_eq!(sends.unwrap().traffic.taken, 3);
    assert_eq!(read.load(Ordering::Relaxed), 0);
    assert_eq!(output.content(), b"abc");
}

#[tokio::test]
async fn without_waiting_a_pipe_ends_when_its_input_was_taken() {
    let (near, far) = tunnel();
    let hurried = Options {
        waits: false,
        ..options()
    };
    let (open, mut speaker) = duplex(64);
    let (output, mut listener) = duplex(64);
    // The peer has said something, and would say more.
    speaker.write_all(b"yes").await.unwrap();
    let peer = async {
        let mut heard = Vec::new();
        listener.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let said = Kept::default();
    let (ended, told, heard) = tokio::join!(
        run(near, b"abc".as_slice(), said.clone(), hurried),
        run(far, open, output, options()),
        peer,
    );
    assert_eq!(
        ended.unwrap().traffic,
        Traffic {
            sent: 3,
            taken: 3,
            received: 3
        }
    );
    assert_eq!(
        told.unwrap().traffic,
        Traffic {
            sent: 3,
            taken: 3,
            received: 3
        }
    );
    assert_eq!((heard, said.content()), (b"abc".to_vec(), b"yes".to_vec()));
}

#[tokio::test]
async fn an_end_travels_while_the_other_direction_goes_on() {
    let (near, far) = tunnel();
    let (input, mut speaker) = duplex(64);
    let (output, mut listener) = duplex(64);
    let question = b"how much is six times seven?".as_slice();
    let peer = async {
        let mut heard = Vec::new();
        listener.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, question);
        // Only the end of the question brings the answer.
        speaker.write_all(b"42").await.unwrap();
        drop(speaker);
    };
    let answer = Kept::default();
    let (asked, answered, ()) = tokio::join!(
        run(near, question, answer.clone(), options()),
        run(far, input, output, options()),
        peer,
    );
    assert_eq!(answer.content(), b"42");
    assert_eq!(asked.unwrap().traffic.received, 2);
    assert_eq!(answered.unwrap().traffic.taken, 2);
}

#[tokio::test]
async fn how_a_command_exits_follows_the_end_of_its_output() {
    let (near, far) = tunnel();
    let (exits, exit) = tokio::sync::oneshot::channel();
    let command = Options {
        exit: Some(Box::pin(async { exit.await.unwrap() })),
        ..options()
    };
    let (output, mut listener) = duplex(64);
    let child = async {
        let mut heard = Vec::new();
        listener.read_to_end(&mut heard).await.unwrap();
        exits.send(Exit::Code(7)).unwrap();
        heard
    };
    let (here, there, heard) = tokio::join!(
        run(near, b"in".as_slice(), sink(), options()),
        run(far, b"out".as_slice(), output, command),
        child,
    );
    assert_eq!(here.unwrap().exit, Some(Exit::Code(7)));
    assert_eq!(there.unwrap().exit, None);
    assert_eq!(heard, b"in");
}

#[tokio::test]
async fn a_command_that_closes_its_input_still_speaks_and_exits() {
    let (near, far) = tunnel();
    let command = Options {
        exit: Some(Box::pin(async { Exit::Signal(13) })),
        ..options()
    };
    let speech = pattern(100_000);
    let output = Kept::default();
    let (here, there) = tokio::join!(
        run(near, Zeros(Arc::default()), output.clone(), options()),
        run(
            far,
            speech.as_slice(),
            Broke {
                room: 5,
                shutdown: true
            },
            command
        ),
    );
    let here = here.unwrap_err();
    assert!(matches!(here.fault, Fault::PeerReader), "{here}");
    assert_eq!(here.outcome.exit, Some(Exit::Signal(13)));
    assert!(matches!(there.unwrap_err().fault, Fault::Output(_)));
    assert!(output.content() == speech);
}

#[tokio::test]
async fn a_writer_that_takes_nothing_stops_the_reader_at_the_other_end() {
    let (near, far) = tunnel();
    let read = Arc::new(AtomicUsize::new(0));
    let (output, _unread) = duplex(1);
    let moving = async {
        tokio::join!(
            run(near, Zeros(Arc::clone(&read)), sink(), options()),
            run(far, empty(), output, options()),
        )
    };
    tokio::pin!(moving);
    for _ in 0..1_000 {
        let polled = futures_poll(moving.as_mut()).await;
        assert!(polled.is_pending());
        tokio::task::yield_now().await;
    }
    // One buffer at each end, and what is in the tunnel.
    let most = 2 * 65_536 + 4_096 + 1;
    assert!(read.load(Ordering::Relaxed) <= most);
}

async fn futures_poll<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test]
async fn much_goes_both_ways_and_each_end_shows_how_far_it_is() {
    let (near, far) = tunnel();
    let (shown, progress) = watch::channel(Traffic::default());
    let watched = Options {
        progress: Some(shown),
        ..options()
    };
    let (one, other) = (pattern(3_000_000), pattern(1_234_567));
    let outputs = (Kept::default(), Kept::default());
    let (near, far) = tokio::join!(
        run(near, one.as_slice(), outputs.0.clone(), watched),
        run(far, other.as_slice(), outputs.1.clone(), options()),
    );
    assert!(outputs.0.content() == other && outputs.1.content() == one);
    let near = near.unwrap().traffic;
    assert_eq!(near.taken, 3_000_000);
    assert_eq!(*progress.borrow(), near);
    assert_eq!(far.unwrap().traffic.taken, 1_234_567);
}

#[tokio::test]
async fn a_stream_that_never_ends_does_not_hold_up_a_pipe_that_is_over() {
    tokio::time::pause();
    let (near, mut far) = tunnel();
    let wire = [HELLO.as_slice(), &[3, 0, 0, 0], &[4, 0, 0, 8], &[0; 8]].concat();
    far.write_all(&wire).await.unwrap();
    let end = run(near, empty(), sink(), options()).await;
    assert_eq!(end.unwrap(), Outcome::default());
}

#[tokio::test]
async fn the_other_end_is_told_of_a_dropped_pipe_as_a_cut() {
    let (near, far) = tunnel();
    drop(run(near, empty(), sink(), options()));
    let end = run(far, empty(), sink(), options()).await;
    assert!(end.unwrap_err().fault.is_truncation());
}
