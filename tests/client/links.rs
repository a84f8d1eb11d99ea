//! Links that stop, stall, come back, and come back as new ones.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use xtls_client::relay::{Limits, RelayLink};
use xtls_client::router::{TunnelEvent, Why};
use xtls_client::transport::StreamEnd;
use xtls_client::{LinkError, LinkEvent, Outage, Relay, Uplink};
use xtls_session::Why as Ended;
use xtls_stanza::{Address, Envelope};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;

use crate::world::*;

/// A link through a relay that a test interrupts.
struct Puppet {
    link: RelayLink,
    strings: mpsc::UnboundedReceiver<LinkEvent>,
    bound: Address,
}

impl Uplink for Puppet {
    fn bound(&self) -> &Address {
        &self.bound
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>> {
        match self.strings.poll_recv(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(Ok(event)),
            Poll::Ready(None) | Poll::Pending => self.link.poll_next(cx),
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_ready(cx)
    }

    fn start_send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        self.link.start_send(envelope)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_close(cx)
    }
}

/// Romeo on an interruptible link, and Juliet.
async fn puppet(relay: &Relay) -> (mpsc::UnboundedSender<LinkEvent>, Party, Party) {
    let bound = keys::address(ROMEO);
    let link = relay.attach(bound.clone()).await.unwrap();
    let (pull, strings) = mpsc::unbounded_channel();
    let romeo = romeo().over(Puppet {
        link,
        strings,
        bound,
    });
    (pull, romeo, juliet().on(relay).await)
}

fn outage() -> Outage {
    Outage::new("a test", Duration::ZERO, Duration::ZERO)
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_link_interrupts_and_ends_nothing() {
    let relay = Relay::start(Limits::default());
    let (pull, romeo, mut juliet) = puppet(&relay).await;
    let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
    pull.send(LinkEvent::Suspended(outage())).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    own.send(message("m1", "word")).await.unwrap();
    own.close().await;
    let nothing = timeout(Duration::from_secs(240), theirs.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    pull.send(LinkEvent::Resumed).unwrap();
    assert_eq!(stanza(&mut theirs).await, "m1");
    theirs.finish().await;
    // The tunnel's ten seconds for closing have not passed.
    assert!(rest(&mut own).await.1.clean);
    assert!(rest(&mut theirs).await.1.clean);
}

#[tokio::test(start_paused = true)]
async fn another_binding_ends_every_tunnel_and_new_ones_begin() {
    let relay = Relay::start(Limits::default());
    let (pull, romeo, mut juliet) = puppet(&relay).await;
    let (mut own, mut theirs) = established(&romeo, &mut juliet).await;
    pull.send(LinkEvent::Rebound(keys::address(ROMEO))).unwrap();
    let (_, closed) = rest(&mut own).await;
    assert!(
        matches!(
            closed.why,
            Why::Cut {
                stream: StreamEnd::LinkLost,
                ..
            }
        ),
        "{closed:?}"
    );
    // The peer is told, and does not find out by the next open.
    let told = rest(&mut theirs).await.1;
    assert!(told.is_cut() && told.why != Why::Replaced, "{told:?}");
    let (mut again, mut other) = established(&romeo, &mut juliet).await;
    again.send(message("m1", "word")).await.unwrap();
    assert_eq!(stanza(&mut other).await, "m1");
    again.finish().await;
    other.finish().await;
    let (again, other) = tokio::join!(rest(&mut again), rest(&mut other));
    assert!(again.1.clean && other.1.clean);
}

/// A server that accepts nothing while we don't read what it has for us: its process is busy writing.
struct Coupled {
    link: RelayLink,
    shared: Arc<Coupling>,
}

#[derive(Default)]
struct Coupling {
    /// Stanzas for the client that the client has not read.
    unread: Mutex<VecDeque<LinkEvent>>,
    /// Waits until it has read them.
    writer: Mutex<Option<Waker>>,
}

impl Uplink for Coupled {
    fn bound(&self) -> &Address {
        self.link.bound()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>> {
        let unread = self.shared.unread.lock().unwrap().pop_front();
        if let Some(event) = unread {
            if let Some(writer) = self.shared.writer.lock().unwrap().take() {
                writer.wake();
            }
            return Poll::Ready(Ok(event));
        }
        self.link.poll_next(cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if !self.shared.unread.lock().unwrap().is_empty() {
            *self.shared.writer.lock().unwrap() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.link.poll_ready(cx)
    }

    fn start_send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        self.link.start_send(envelope)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.link.poll_close(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_waits_for_us_to_read_is_read() {
    let relay = Relay::start(Limits::default());
    let shared = Arc::new(Coupling::default());
    let link = relay.attach(keys::address(ROMEO)).await.unwrap();
    let romeo = romeo().over(Coupled {
        link,
        shared: Arc::clone(&shared),
    });
    let mut juliet = juliet().on(&relay).await;
    let (own, mut theirs) = established(&romeo, &mut juliet).await;
    // The server has 200 stanzas for us the moment we have one for it.
    let noise = Envelope {
        from: Some(keys::address("nurse@capulet.example/door")),
        to: None,
        id: "i1".to_owned(),
        content: xtls_stanza::Content::Result(None),
    };
    let noise = std::iter::repeat_n(LinkEvent::Envelope(noise), 200);
    shared.unread.lock().unwrap().extend(noise);
    let started = tokio::time::Instant::now();
    own.send(message("m1", "word")).await.unwrap();
    assert_eq!(stanza(&mut theirs).await, "m1");
    // It waited for no timer.
    assert_eq!(started.elapsed(), Duration::ZERO);
}

/// A link that never has room.
struct Glacier(RelayLink);

impl Uplink for Glacier {
    fn bound(&self) -> &Address {
        self.0.bound()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<LinkEvent, LinkError>> {
        self.0.poll_next(cx)
    }

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Pending
    }

    fn start_send(&mut self, _: Envelope) -> Result<(), LinkError> {
        unreachable!("there was never room")
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.0.poll_close(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_nothing_stops_neither_calls_nor_deadlines() {
    let relay = Relay::start(Limits::default());
    let link = relay.attach(keys::address(ROMEO)).await.unwrap();
    let romeo = romeo().over(Glacier(link));
    let mut first = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let second = romeo
        .client
        .open(&keys::address("nurse@capulet.example/door"))
        .await;
    let mut second = second.unwrap();
    second.abort().await;
    let (_, closed) = rest(&mut second).await;
    assert_eq!(closed.why, Why::Session(Ended::Aborted));
    let (told, closed) = rest(&mut first).await;
    assert_eq!(told, []);
    assert_eq!(closed.why, Why::NoAnswer);
}

#[tokio::test(start_paused = true)]
async fn no_one_is_there() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let mut own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let sending = own.send(message("m1", "word"));
    let (sent, (told, closed)) = {
        let sender = own.sender();
        drop(sending);
        tokio::join!(
            async move { sender.send(message("m1", "word")).await },
            rest(&mut own)
        )
    };
    assert!(sent.is_err());
    assert_eq!(told, []);
    assert!(matches!(closed.why, Why::Unavailable(_)), "{closed:?}");
    assert!(matches!(
        romeo.client.open(&keys::address(ROMEO)).await,
        Err(xtls_client::router::OpenError::Own(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn crossing_opens_of_two_programs_make_one_tunnel() {
    for (ahead, latency) in [(0, 10), (5, 10), (0, 0), (10, 10)] {
        let relay = Relay::start(Limits::default().latency(Duration::from_millis(latency)));
        let (romeo, juliet) = (romeo().on(&relay).await, juliet().on(&relay).await);
        let peer = keys::address(JULIET);
        let own = romeo.client.open(&peer);
        let theirs = async {
            tokio::time::sleep(Duration::from_millis(ahead)).await;
            juliet.client.open(&keys::address(ROMEO)).await
        };
        let (own, theirs) = tokio::join!(own, theirs);
        let mut own = own.unwrap();
        let Ok(mut theirs) = theirs else {
            // Romeo's had arrived.
            continue;
        };
        let (one, two) = tokio::join!(until_established(&mut own), until_established(&mut theirs));
        assert_eq!(one.address, keys::address(JULIET));
        assert_eq!(two.address, keys::address(ROMEO));
        own.send(message("m1", "word")).await.unwrap();
        assert_eq!(stanza(&mut theirs).await, "m1");
        let silent = timeout(Duration::from_secs(60), own.next()).await;
        assert!(
            silent.is_err() || matches!(silent, Ok(Some(TunnelEvent::Ready))),
            "{silent:?}"
        );
    }
}
