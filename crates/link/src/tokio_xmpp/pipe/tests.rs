//! What leaves a pipe, and in pieces of what length.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::super::align::{Align, RECORD};
use super::super::hold::HOLD;
use super::super::screen::{Numbers, Screen};
use super::{BATCH, Pipe};

/// Takes everything, and keeps what came with each write. As TLS would, it makes records of each write by itself.
#[derive(Clone, Default)]
struct Writes(Arc<Mutex<Vec<Vec<u8>>>>);

impl Writes {
    fn taken(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl AsyncRead for Writes {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Writes {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn pipe(align: Option<Align>) -> (Pipe<Writes>, Writes) {
    let writes = Writes::default();
    let (sightings, _) = mpsc::unbounded_channel();
    let screen = Screen::new(Numbers::default());
    (Pipe::new(writes.clone(), screen, sightings, align), writes)
}

/// What is left of a write without the white space at its end.
fn said(write: &[u8]) -> usize {
    let end = write.iter().rposition(|&b| b != b' ');
    end.map_or(0, |end| end + 1)
}

#[tokio::test(start_paused = true)]
async fn what_leaves_at_once_is_one_write_and_whole_records_while_much_is_sent() {
    let (mut pipe, writes) = pipe(Some(Align::default()));
    for len in [9000, 26, 5690, 94, 40_000] {
        pipe.write_all(&vec![b'x'; len]).await.unwrap();
        assert!(writes.taken().is_empty(), "before the flush");
        pipe.flush().await.unwrap();
        pipe.flush().await.unwrap();
        let all = writes.taken();
        assert_eq!(all.len(), 1, "{len}");
        assert_eq!((said(&all[0]), all[0].len() % RECORD), (len, 0));
        assert!(all[0].len() < len + RECORD);
    }
}

#[tokio::test(start_paused = true)]
async fn small_talk_and_whoever_wants_no_filling_are_left_alone() {
    let (mut some, written) = pipe(Some(Align::default()));
    let (mut none, bare) = pipe(None);
    for len in [100, 26, 3000] {
        some.write_all(&vec![b'x'; len]).await.unwrap();
        some.flush().await.unwrap();
        assert_eq!(written.taken(), [vec![b'x'; len]]);
    }
    for len in [9000, 26, 5690] {
        none.write_all(&vec![b'x'; len]).await.unwrap();
        none.flush().await.unwrap();
        assert_eq!(bare.taken(), [vec![b'x'; len]]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_for_a_batch_goes_in_whole_batches_before_the_flush() {
    let (mut pipe, writes) = pipe(Some(Align::default()));
    let piece = vec![b'x'; 5690];
    for _ in 0..100 {
        pipe.write_all(&piece).await.unwrap();
    }
    let early = writes.taken();
    assert!(!early.is_empty() && early.iter().all(|write| write.len() == BATCH));
    pipe.flush().await.unwrap();
    let late = writes.taken();
    assert!(late.iter().all(|write| write.len() % RECORD == 0));
    let all: usize = early.iter().chain(&late).map(|write| said(write)).sum();
    assert_eq!(all, 100 * piece.len());
}

const ASK: &str = "<r xmlns='urn:xmpp:sm:3'></r>";

#[tokio::test(start_paused = true)]
async fn requests_for_acknowledgement_leave_once_in_a_while_and_wait_for_nothing_else() {
    let (mut pipe, writes) = pipe(None);
    let said = |writes: &Writes| -> Vec<String> {
        let all = writes.taken().into_iter();
        all.map(|write| String::from_utf8(write).unwrap()).collect()
    };
    for number in 0..3 {
        let text = format!("<iq id='{number}'/>{ASK}");
        pipe.write_all(text.as_bytes()).await.unwrap();
        pipe.flush().await.unwrap();
    }
    let first = format!("<iq id='0'/>{ASK}");
    assert_eq!(said(&writes), [&first, "<iq id='1'/>", "<iq id='2'/>"]);
    // Whoever only reads sends what is left.
    let begun = Instant::now();
    let mut byte = [0];
    let read = pipe.read(&mut byte);
    assert!(timeout(HOLD * 2, read).await.is_err(), "nothing comes");
    assert_eq!(said(&writes), [ASK]);
    assert!(begun.elapsed() >= HOLD);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_into_the_middle_of_a_stanza() {
    let (mut pipe, writes) = pipe(None);
    for _ in 0..2 {
        pipe.write_all(ASK.as_bytes()).await.unwrap();
        pipe.flush().await.unwrap();
    }
    assert_eq!(writes.taken(), [ASK.as_bytes()]);
    pipe.write_all(b"<iq id='").await.unwrap();
    let mut byte = [0];
    assert!(timeout(HOLD * 2, pipe.read(&mut byte)).await.is_err());
    assert!(writes.taken().is_empty());
    pipe.write_all(b"1'/>").await.unwrap();
    pipe.flush().await.unwrap();
    assert_eq!(writes.taken(), [format!("<iq id='1'/>{ASK}").as_bytes()]);
}
