//! The tokio face, in stopped time.

// A test looks for one case.
#![allow(clippy::wildcard_enum_match_arm)]

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use xtls_stanza::{Address, Condition, Content, Envelope, ErrorType, Payload, StanzaError};

use super::{Endpoint, Incoming, Listener, Stream, endpoint};
use crate::{Allow, By, Close, Config, Mux, OpenOptions, Violation, Why, Window};

const ROMEO: &str = "romeo@montague.example/orchard";
const JULIET: &str = "juliet@capulet.example/balcony";

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

struct Ends {
    romeo: Endpoint,
    juliet: Endpoint,
    listener: Listener,
    drivers: [tokio::task::JoinHandle<()>; 2],
}

fn ends(config: Config) -> Ends {
    let (to_juliet, from_romeo) = mpsc::channel(4);
    let (to_romeo, from_juliet) = mpsc::channel(4);
    let mux = Mux::new(address(ROMEO), config.clone(), [1; 32]);
    let (romeo, _, driver) = endpoint(mux, from_juliet, to_juliet);
    let first = tokio::spawn(driver.run());
    let mux = Mux::new(address(JULIET), config, [2; 32]);
    let (juliet, listener, driver) = endpoint(mux, from_romeo, to_romeo);
    let drivers = [first, tokio::spawn(driver.run())];
    Ends {
        romeo,
        juliet,
        listener,
        drivers,
    }
}

impl Ends {
    async fn stream(&mut self) -> (Stream, Stream) {
        let juliet = address(JULIET);
        let open = self.romeo.open(&juliet, OpenOptions::default());
        let accept = async { self.listener.next().await.unwrap().accept(None).unwrap() };
        let (ours, theirs) = tokio::join!(open, accept);
        (ours.unwrap(), theirs)
    }
}

/// One end whose network is this test.
struct Hand {
    endpoint: Endpoint,
    listener: Listener,
    to: mpsc::Sender<Envelope>,
    from: mpsc::Receiver<Envelope>,
}

fn hand() -> Hand {
    let (to, incoming) = mpsc::channel(4);
    let (outgoing, from) = mpsc::channel(1);
    let mux = Mux::new(
        address(JULIET),
        Config::default().window(Window::OneChunk),
        [2; 32],
    );
    let (endpoint, listener, driver) = endpoint(mux, incoming, outgoing);
    tokio::spawn(driver.run());
    Hand {
        endpoint,
        listener,
        to,
        from,
    }
}

impl Hand {
    async fn send(&self, id: &str, content: Content) {
        let (from, to) = (Some(address(ROMEO)), Some(address(JULIET)));
        self.to
            .send(Envelope {
                from,
                to,
                id: id.into(),
                content,
            })
            .await
            .unwrap();
    }

    async fn open(&mut self) -> Incoming {
        let open = xtls_stanza::ibb::Open {
            sid: xtls_stanza::ibb::Sid::new("s").unwrap(),
            block_size: xtls_stanza::ibb::BlockSize::new(4096).unwrap(),
            carrier: xtls_stanza::ibb::Carrier::Iq,
            extensions: Vec::new(),
        };
        self.send("open", Content::Set(Payload::Open(open))).await;
        self.listener.next().await.unwrap()
    }

    async fn data(&self, seq: u16, bytes: &'static [u8]) {
        let data = xtls_stanza::ibb::Data {
            sid: xtls_stanza::ibb::Sid::new("s").unwrap(),
            seq: xtls_stanza::ibb::Seq(seq),
            bytes: bytes.into(),
        };
        self.send("data", Content::Set(Payload::Data(data))).await;
    }

    /// Answers the next request with success.
    async fn agree(&mut self) -> Envelope {
        let request = self.from.recv().await.unwrap();
        let answer = request.result(None);
        self.to.send(answer).await.unwrap();
        request
    }
}

fn condition(envelope: &Envelope) -> Condition {
    match &envelope.content {
        Content::Error(error) => error.condition,
        other => panic!("{other:?}"),
    }
}

/// Lets all other tasks run until they wait.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn is_stream<T: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static>(_: &T) {}

#[tokio::test(start_paused = true)]
async fn megabytes_go_both_ways_through_one_stream() {
    let mut ends = ends(Config::default());
    let (ours, theirs) = ends.stream().await;
    is_stream(&ours);
    let bytes: Vec<u8> = (0..2_000_000u32)
        .map(|i| u8::try_from(i % 251).unwrap())
        .collect();
    let side = |stream: Stream| {
        let bytes = bytes.clone();
        let (mut reader, mut writer) = tokio::io::split(stream);
        let len = bytes.len();
        let write = async move {
            writer.write_all(&bytes).await.unwrap();
            writer.flush().await.unwrap();
            writer
        };
        let read = async move {
            let mut got = vec![0; len];
            reader.read_exact(&mut got).await.unwrap();
            (reader, got)
        };
        async move {
            let (writer, (reader, got)) = tokio::join!(write, read);
            (reader.unsplit(writer), got)
        }
    };
    let ((mut ours, got), (mut theirs, got_there)) = tokio::join!(side(ours), side(theirs));
    assert!(got == bytes && got_there == bytes);
    ours.shutdown().await.unwrap();
    assert_eq!(theirs.read(&mut [0; 9]).await.unwrap(), 0);
    assert_eq!(ours.read(&mut [0; 9]).await.unwrap(), 0);
    assert_eq!(
        ours.close_reason().unwrap(),
        Close {
            by: By::Us,
            why: Why::Done
        }
    );
    assert_eq!(
        theirs.close_reason().unwrap(),
        Close {
            by: By::Peer,
            why: Why::Done
        }
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_open_is_an_error_with_its_reason() {
    let mut ends = ends(Config::default());
    let juliet = address(JULIET);
    let open = ends.romeo.open(&juliet, OpenOptions::default());
    let refuse = async {
        let incoming = ends.listener.next().await.unwrap();
        assert_eq!(incoming.from().as_str(), ROMEO);
        assert_eq!(incoming.open().block_size.get(), 4096);
        incoming.refuse(StanzaError::new(ErrorType::Cancel, Condition::Conflict));
    };
    let (error, ()) = tokio::join!(open, refuse);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let why = error.get_ref().unwrap().downcast_ref::<Why>().unwrap();
    assert!(matches!(why, Why::Refused { error, .. } if error.condition == Condition::Conflict));
}

#[tokio::test(start_paused = true)]
async fn an_open_that_the_mux_refuses_is_invalid_input() {
    let ends = ends(Config::default());
    for to in ["juliet@capulet.example", ROMEO] {
        let error = ends
            .romeo
            .open(&address(to), OpenOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test(start_paused = true)]
async fn an_incoming_that_is_dropped_is_refused() {
    let mut hand = hand();
    drop(hand.open().await);
    assert_eq!(
        condition(&hand.from.recv().await.unwrap()),
        Condition::NotAcceptable
    );
}

#[tokio::test(start_paused = true)]
async fn an_incoming_that_expired_cannot_be_accepted() {
    let mut hand = hand();
    let incoming = hand.open().await;
    tokio::time::sleep(Duration::from_secs(51)).await;
    assert_eq!(
        incoming.accept(None).unwrap_err().kind(),
        ErrorKind::NotConnected
    );
    assert_eq!(
        condition(&hand.from.recv().await.unwrap()),
        Condition::NotAcceptable
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_listener_opens_are_answered_as_if_there_were_no_bytestreams() {
    let Ends {
        romeo,
        juliet,
        listener,
        ..
    } = ends(Config::default());
    drop(listener);
    let error = romeo
        .open(&address(JULIET), OpenOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("service-unavailable"), "{error}");
    juliet.with_mux(|mux| mux.allow(Allow::Expected));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_open_is_withdrawn() {
    let hand = hand();
    let romeo = address(ROMEO);
    let open = hand.endpoint.open(&romeo, OpenOptions::default());
    assert!(
        tokio::time::timeout(Duration::from_secs(1), open)
            .await
            .is_err()
    );
    let mut from = hand.from;
    assert!(matches!(
        from.recv().await.unwrap().content,
        Content::Set(Payload::Open(_))
    ));
    assert!(matches!(
        from.recv().await.unwrap().content,
        Content::Set(Payload::Close(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn flush_waits_until_everything_has_left_and_no_longer() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    // The channel holds one stanza: the result. No chunk fits.
    stream.write_all(b"hello").await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(1), stream.flush()).await;
    assert!(waited.is_err());
    hand.from.recv().await.unwrap();
    stream.flush().await.unwrap();
    // Nobody has acknowledged it.
    assert_eq!(stream.stats().unwrap().in_flight, 5);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_acknowledgement_and_close() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    hand.from.recv().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let shutdown = tokio::spawn(async move { (stream.shutdown().await, stream) });
    assert!(matches!(
        hand.agree().await.content,
        Content::Set(Payload::Data(_))
    ));
    settle().await;
    assert!(!shutdown.is_finished());
    assert!(matches!(
        hand.agree().await.content,
        Content::Set(Payload::Close(_))
    ));
    let (result, stream) = shutdown.await.unwrap();
    result.unwrap();
    assert_eq!(stream.close_reason().unwrap().why, Why::Done);
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_an_answer_times_out_and_says_so() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    hand.from.recv().await.unwrap();
    let error = stream.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_bytes_that_nobody_reads() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    hand.from.recv().await.unwrap();
    hand.data(0, b"unread").await;
    settle().await;
    let shutdown = tokio::spawn(async move { (stream.shutdown().await, stream) });
    hand.agree().await;
    let (result, mut stream) = shutdown.await.unwrap();
    result.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "unread");
}

#[tokio::test(start_paused = true)]
async fn a_writer_without_room_learns_of_the_end_while_bytes_are_unread() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    hand.data(0, b"unread").await;
    settle().await;
    let write = tokio::spawn(async move { stream.write_all(&[0; 100_000]).await });
    settle().await;
    hand.data(7, b"gap").await;
    // The outgoing channel is taken from as a server would.
    tokio::spawn(async move { while hand.from.recv().await.is_some() {} });
    let error = write.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

#[tokio::test(start_paused = true)]
async fn a_violation_is_invalid_data_after_the_good_bytes() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    hand.data(0, b"good").await;
    hand.data(2, b"gap").await;
    settle().await;
    let mut got = [0; 4];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"good");
    let error = stream.read(&mut got).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    let why = error.get_ref().unwrap().downcast_ref::<Why>().unwrap();
    assert!(matches!(why, Why::Violation(Violation::Gap { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_closes_and_its_tail_arrives() {
    let mut ends = ends(Config::default());
    let (mut ours, mut theirs) = ends.stream().await;
    ours.write_all(b"tail").await.unwrap();
    drop(ours);
    let mut got = String::new();
    theirs.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "tail");
}

#[tokio::test(start_paused = true)]
async fn a_stream_dropped_with_unread_bytes_is_aborted() {
    let mut ends = ends(Config::default());
    let (ours, mut theirs) = ends.stream().await;
    theirs.write_all(b"never read").await.unwrap();
    settle().await;
    drop(ours);
    let error = theirs.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn bytes_for_a_dropped_stream_abort_it() {
    let mut hand = hand();
    let stream = hand.open().await.accept(None).unwrap();
    hand.from.recv().await.unwrap();
    drop(stream);
    assert!(matches!(
        hand.from.recv().await.unwrap().content,
        Content::Set(Payload::Close(_))
    ));
    hand.data(0, b"late").await;
    assert_eq!(
        condition(&hand.from.recv().await.unwrap()),
        Condition::ItemNotFound
    );
}

#[tokio::test(start_paused = true)]
async fn when_the_link_ends_everything_ends_after_what_had_come() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    hand.data(0, b"before").await;
    settle().await;
    let Hand {
        endpoint,
        mut listener,
        to,
        from: _from,
    } = hand;
    drop(to);
    settle().await;
    let mut got = [0; 6];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"before");
    let error = stream.read(&mut got).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    assert_eq!(
        stream.close_reason().unwrap(),
        Close {
            by: By::Link,
            why: Why::LinkLost
        }
    );
    assert!(listener.next().await.is_none());
    let error = endpoint
        .open(&address(ROMEO), OpenOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_is_dropped_ends_everything() {
    let mut ends = ends(Config::default());
    let (mut ours, _theirs) = ends.stream().await;
    ends.drivers[0].abort();
    assert_eq!(
        ours.read(&mut [0; 1]).await.unwrap_err().kind(),
        ErrorKind::ConnectionAborted
    );
}

#[tokio::test(start_paused = true)]
async fn drivers_end_when_nobody_holds_them_any_more() {
    let mut ends = ends(Config::default());
    let (mut ours, theirs) = ends.stream().await;
    ours.shutdown().await.unwrap();
    let Ends {
        romeo,
        juliet,
        listener,
        drivers,
    } = ends;
    drop((romeo, juliet, listener, ours, theirs));
    for driver in drivers {
        tokio::time::timeout(Duration::from_secs(60), driver)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn requests_of_others_are_refused_or_passed_on() {
    let mut hand = hand();
    hand.send("ping", Content::Get(Payload::Ping)).await;
    let refusal = hand.from.recv().await.unwrap();
    assert_eq!(
        (refusal.id.as_str(), condition(&refusal)),
        ("ping", Condition::ServiceUnavailable)
    );

    let (to, incoming) = mpsc::channel(4);
    let (outgoing, mut from) = mpsc::channel(4);
    let (others, mut foreign) = mpsc::channel(1);
    let mux = Mux::new(address(JULIET), Config::default(), [2; 32]);
    let (_endpoint, _listener, driver) = endpoint(mux, incoming, outgoing);
    tokio::spawn(driver.others(others).run());
    for id in ["first", "second"] {
        let (sender, own) = (Some(address(ROMEO)), Some(address(JULIET)));
        let content = Content::Get(Payload::Ping);
        to.send(Envelope {
            from: sender,
            to: own,
            id: id.into(),
            content,
        })
        .await
        .unwrap();
    }
    settle().await;
    assert_eq!(foreign.recv().await.unwrap().id, "first");
    // The channel was full: refused, not waited for.
    let refusal = from.recv().await.unwrap();
    assert_eq!(
        (refusal.id.as_str(), condition(&refusal)),
        ("second", Condition::ServiceUnavailable)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_once_on_two_threads_lose_no_wake_up() {
    let config = Config::default()
        .max_streams(200)
        .max_streams_per_peer(200)
        .max_pending(200)
        .max_pending_per_peer(200)
        .opens_per_minute(200);
    let Ends {
        romeo,
        juliet: _juliet,
        mut listener,
        drivers: _drivers,
    } = ends(config);
    let server = tokio::spawn(async move {
        for _ in 0..50 {
            let stream = listener.next().await.unwrap().accept(None).unwrap();
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(stream);
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.ok();
            });
        }
        listener
    });
    let clients: Vec<_> = (0..50u8)
        .map(|n| {
            let romeo = romeo.clone();
            tokio::spawn(async move {
                let stream = romeo
                    .open(&address(JULIET), OpenOptions::default())
                    .await
                    .unwrap();
                let (mut reader, mut writer) = tokio::io::split(stream);
                let bytes = vec![n; 50_000];
                let write = async { writer.write_all(&bytes).await.unwrap() };
                let mut got = vec![0; bytes.len()];
                let read = async { reader.read_exact(&mut got).await.unwrap() };
                tokio::join!(write, read);
                assert!(got == bytes);
                writer.shutdown().await.unwrap();
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    drop(server.await.unwrap());
}
