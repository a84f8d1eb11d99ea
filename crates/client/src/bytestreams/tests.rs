use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use xtls_ibb::io::Stream;
use xtls_ibb::{Allow, OpenOptions};
use xtls_stanza::{Address, Condition, Content, Payload};

use super::*;
use crate::relay::{Limits, Relay, RelayLink};
use crate::uplink::Outage;

const A: &str = "a@west.example/one";
const B: &str = "b@east.example/two";

fn outage() -> Outage {
    Outage::new("a test", Duration::ZERO, Duration::ZERO)
}

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

/// A link that is interrupted when a test says so.
struct Frail {
    link: RelayLink,
    /// Comes before what the link brings.
    news: mpsc::UnboundedReceiver<LinkEvent>,
    /// Has no room until something was read.
    stuck: bool,
    /// Waits for that.
    writer: Option<Waker>,
    closed: Arc<AtomicBool>,
}

impl Uplink for Frail {
    fn bound(&self) -> &Address {
        self.link.bound()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>> {
        let event = match self.news.poll_recv(cx) {
            Poll::Ready(Some(news)) => Ok(news),
            Poll::Ready(None) | Poll::Pending => ready!(self.link.poll_next(cx)),
        };
        self.stuck = false;
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
        Poll::Ready(event)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.stuck {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.link.poll_ready(cx)
    }

    fn start_send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        self.link.start_send(envelope)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.closed.store(true, Ordering::Relaxed);
        self.link.poll_close(cx)
    }
}

struct World {
    relay: Relay,
    news: mpsc::UnboundedSender<LinkEvent>,
    closed: Arc<AtomicBool>,
    ours: (Endpoint, Listener, Task),
    theirs: (Endpoint, Listener, Task),
}

async fn world(stuck: bool) -> World {
    let relay = Relay::start(Limits::default());
    let link = relay.attach(address(A)).await.unwrap();
    let (news, receiver) = mpsc::unbounded_channel();
    let closed = Arc::new(AtomicBool::new(false));
    let frail = Frail {
        link,
        news: receiver,
        stuck,
        writer: None,
        closed: Arc::clone(&closed),
    };
    let there = relay.attach(address(B)).await.unwrap();
    let theirs = start(there, Config::default()).unwrap();
    theirs.0.with_mux(|mux| mux.allow(Allow::Anyone));
    World {
        relay,
        news,
        closed,
        ours: start(frail, Config::default()).unwrap(),
        theirs,
    }
}

impl World {
    async fn stream(&mut self) -> (Stream, Stream) {
        let to = address(B);
        let opening = self.ours.0.open(&to, OpenOptions::default());
        let accepting = async {
            let incoming = self.theirs.1.next().await.unwrap();
            incoming.accept(None).unwrap()
        };
        let (opened, accepted) = tokio::join!(opening, accepting);
        (opened.unwrap(), accepted)
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_is_bound_anew_ends_every_stream() {
    let mut world = world(false).await;
    let (mut ours, _theirs) = world.stream().await;
    let rebound = LinkEvent::Rebound(address("a@west.example/three"));
    world.news.send(rebound).unwrap();
    let error = ours.read(&mut [0; 9]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    let ended = world.ours.2.await.unwrap();
    assert!(matches!(ended, Err(LinkError::Lost(_))), "{ended:?}");
    let again = world.ours.0.open(&address(B), OpenOptions::default()).await;
    assert_eq!(again.unwrap_err().kind(), ErrorKind::NotConnected);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_about_streams_is_refused() {
    let world = world(false).await;
    let mut stranger = world
        .relay
        .attach(address("c@east.example/x"))
        .await
        .unwrap();
    let ping = Envelope {
        from: None,
        to: Some(address(A)),
        id: "p1".to_owned(),
        content: Content::Get(Payload::Ping),
    };
    stranger.send(ping).await.unwrap();
    let LinkEvent::Envelope(answer) = stranger.next().await.unwrap() else {
        panic!("no answer");
    };
    let Content::Error(error) = answer.content else {
        panic!("an answer");
    };
    assert_eq!(error.condition, Condition::ServiceUnavailable);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_nothing_is_still_read() {
    let mut world = world(true).await;
    world.news.send(LinkEvent::Resumed).unwrap();
    world.stream().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_late_while_the_link_is_interrupted() {
    let mut world = world(false).await;
    let (mut ours, mut theirs) = world.stream().await;
    world.news.send(LinkEvent::Suspended(outage())).unwrap();
    // Far longer than a stream lives without an answer.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    ours.write_all(b"still there").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    world.news.send(LinkEvent::Resumed).unwrap();
    let mut heard = [0; 11];
    theirs.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still there");
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_handle() {
    let mut world = world(false).await;
    let (mut ours, theirs) = world.stream().await;
    drop((world.ours.0, world.ours.1));
    ours.write_all(b"the last words").await.unwrap();
    let (closed, heard) = tokio::join!(ours.shutdown(), async {
        let mut theirs = theirs;
        let mut heard = String::new();
        theirs.read_to_string(&mut heard).await.unwrap();
        heard
    });
    closed.unwrap();
    assert_eq!(heard, "the last words");
    drop(ours);
    assert_eq!(world.ours.2.await.unwrap(), Ok(()));
    assert!(world.closed.load(Ordering::Relaxed));
}
