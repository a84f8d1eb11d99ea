//! What is kept when a stream is cut, and by whom it is continued.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{DuplexStream, ReadBuf};

use super::*;

/// A stream that breaks once so many bytes were read from it.
struct Cut {
    inner: DuplexStream,
    left: Arc<AtomicUsize>,
}

impl Cut {
    fn spend(&self, bytes: usize) -> io::Result<()> {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(bytes)
            });
        left.map(|_| ()).map_err(|_| {
            self.left.store(0, Ordering::SeqCst);
            io::ErrorKind::ConnectionReset.into()
        })
    }
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let got = buf.filled().len() - before;
        polled.map(|read| read.and_then(|()| self.spend(got)))
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl World {
    /// Lets so many bytes go over. How many bytes of files were stored before, and sent in vain, is returned.
    fn cut_after(
        &self,
        bytes: usize,
        destination: Destination,
    ) -> (Result<Outcome, SendError>, u64) {
        let left = Arc::new(AtomicUsize::new(bytes));
        let mut began = 0;
        runtime().block_on(async {
            let (one, inner) = duplex(10_000);
            let other = Cut { inner, left };
            let decide = |_| async { Decision::Accept };
            let events = |event: Sending<'_>| {
                if let Sending::Began { offset, .. } = event {
                    began += offset;
                }
            };
            let (sent, _) = tokio::join!(
                send(one, self.sources(), events),
                receive(other, destination, decide, |_| {})
            );
            (sent, began)
        })
    }
}

#[test]
fn a_cut_stream_is_a_loss_at_both_ends_and_what_is_there_is_continued() {
    let world = World::new();
    write(world.from.path(), "a", &noise(1, 1_000_000));
    let (sent, _) = world.cut_after(700_000, world.destination());
    assert!(
        matches!(sent, Err(SendError::Ended(Ended::Lost(_)))),
        "{sent:?}"
    );
    let parts = tree(world.to.path());
    let (name, part) = parts.first_key_value().unwrap();
    assert!(
        name.starts_with(".a.") && name.ends_with(".xtls-part"),
        "{name}"
    );
    assert!(part.len() > 500_000 && noise(1, 1_000_000).starts_with(part));
    let kept = u64::try_from(part.len()).unwrap();
    let (sent, began) = world.cut_after(usize::MAX, world.destination());
    assert_eq!((sent.unwrap().done, began), (1, kept));
    world.is_whole();
}

#[test]
fn a_transfer_that_is_cut_anywhere_ends_complete() {
    let world = World::filled();
    let mut times = 0;
    // Each time a little more goes over, so that every file has its turn.
    for bytes in (50..).map(|step| step * 1_003) {
        times += 1;
        let (sent, _) = world.cut_after(bytes, world.destination());
        let from = tree(world.from.path());
        for (name, content) in tree(world.to.path()) {
            if !name.contains(".xtls-part") {
                assert!(
                    from.get(&name) == Some(&content),
                    "{name} is wrong after {bytes}"
                );
            }
        }
        if sent.is_ok() {
            break;
        }
    }
    assert!(times > 5, "{times}");
    world.is_whole();
}

#[test]
fn a_part_is_not_continued_for_anybody_else_nor_for_another_state_of_the_file() {
    let world = World::new();
    write(world.from.path(), "a", &noise(1, 1_000_000));
    world.cut_after(500_000, world.destination()).0.unwrap_err();
    let other = Destination::new(world.to.path(), "tybalt@capulet.example");
    let (sent, began) = world.cut_after(usize::MAX, other);
    assert_eq!((sent.unwrap().done, began), (1, 0));
    fs::remove_file(world.to.path().join("a")).unwrap();
    write(world.from.path(), "a", &noise(2, 1_000_000));
    let (sent, began) = world.cut_after(usize::MAX, world.destination());
    assert_eq!((sent.unwrap().done, began), (1, 0));
}

#[test]
fn a_part_that_is_of_something_else_is_begun_anew() {
    let world = World::new();
    write(world.from.path(), "a", &noise(1, 1_000_000));
    world.cut_after(500_000, world.destination()).0.unwrap_err();
    let (name, _) = tree(world.to.path()).pop_first().unwrap();
    fs::write(world.to.path().join(name), noise(9, 400_000)).unwrap();
    let (sent, began) = world.cut_after(usize::MAX, world.destination());
    assert_eq!((sent.unwrap().done, began), (1, 0));
    world.is_whole();
}

#[test]
fn a_part_that_is_longer_than_the_file_is_begun_anew() {
    let world = World::new();
    write(world.from.path(), "a", &noise(1, 300_000));
    world.cut_after(200_000, world.destination()).0.unwrap_err();
    let (name, _) = tree(world.to.path()).pop_first().unwrap();
    fs::write(world.to.path().join(name), noise(1, 300_001)).unwrap();
    assert_eq!(
        world
            .cut_after(usize::MAX, world.destination())
            .0
            .unwrap()
            .done,
        1
    );
    world.is_whole();
}
