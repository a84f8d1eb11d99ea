//! The contract of a link, polled by hand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::*;

/// A waker that counts, for links that are polled by hand.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_without_room_delivers_and_says_when_there_is_room() {
    let (_relay, mut a, mut b) = two(Limits::default().rate(1000)).await;
    let (reader, writer) = (Arc::<Woken>::default(), Arc::<Woken>::default());
    let wakers = [&reader, &writer].map(|woken| Waker::from(Arc::clone(woken)));
    let [reading, writing] = &wakers;
    let (reading, writing) = (
        &mut Context::from_waker(reading),
        &mut Context::from_waker(writing),
    );
    let mut queued = 0;
    while a.poll_ready(writing).is_ready() {
        a.start_send(ping(B, &format!("i{queued}"))).unwrap();
        queued += 1;
        assert!(queued < 10_000, "there is always room");
    }
    assert!(a.poll_next(reading).is_pending());
    b.send(ping(A, "over")).await.unwrap();
    while reader.0.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let Poll::Ready(Ok(LinkEvent::Envelope(arrived))) = a.poll_next(reading) else {
        panic!("nothing was delivered");
    };
    assert_eq!(arrived.id, "over");
    for number in 0..queued {
        assert_eq!(next(&mut b).await.id, format!("i{number}"));
    }
    assert!(writer.0.load(Ordering::Relaxed) > 0);
    assert!(a.poll_ready(writing).is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_stanza_whose_sending_was_given_up_was_not_sent() {
    let (_relay, mut a, mut b) = two(Limits::default().rate(1000)).await;
    let mut sent = 0;
    loop {
        let sending = a.send(ping(B, &format!("i{sent}")));
        if tokio::time::timeout(Duration::ZERO, sending).await.is_err() {
            break;
        }
        sent += 1;
    }
    for number in 0..sent {
        assert_eq!(next(&mut b).await.id, format!("i{number}"));
    }
    a.send(ping(B, "last")).await.unwrap();
    assert_eq!(next(&mut b).await.id, "last");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_link_is_final_and_comes_behind_what_had_arrived() {
    let (relay, mut a, mut b) = two(Limits::default()).await;
    b.send(ping(A, "last")).await.unwrap();
    b.send(ping("nobody@x.example/r", "i2")).await.unwrap();
    // The bounce of the second says that the first has been delivered.
    next(&mut b).await;
    relay.cut(&address(A));
    assert_eq!(next(&mut a).await.id, "last");
    let end = a.next().await.unwrap_err();
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..2 {
        assert_eq!(a.poll_next(cx), Poll::Ready(Err(end.clone())));
        assert_eq!(a.poll_ready(cx), Poll::Ready(Err(end.clone())));
        assert_eq!(a.start_send(ping(B, "i3")), Err(end.clone()));
    }
}
