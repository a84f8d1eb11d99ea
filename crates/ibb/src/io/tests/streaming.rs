//! What an open stream does.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::*;

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
    theirs.shutdown().await.unwrap();
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
async fn flush_waits_until_everything_has_left_and_no_longer() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    // The channel holds one stanza: the result. No chunk fits.
    stream.write_all(b"hello").await.unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(1), stream.flush()).await;
    assert!(waited.is_err());
    hand.from.recv().await.unwrap();
    stream.flush().await.unwrap();
    // It has not been acknowledged.
    assert_eq!(stream.stats().unwrap().in_flight, 5);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_until_everything_was_read_and_no_longer() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    hand.from.recv().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    let shutdown = tokio::spawn(async move { (stream.shutdown().await, stream) });
    let chunk = hand.from.recv().await.unwrap();
    assert!(matches!(chunk.content, Content::Set(Payload::Data(_))));
    settle().await;
    assert!(!shutdown.is_finished());
    hand.to.send(chunk.result(None)).await.unwrap();
    let (result, mut stream) = shutdown.await.unwrap();
    result.unwrap();
    // The other direction is open, and the peer has not answered our close.
    let close = hand.from.recv().await.unwrap();
    assert!(matches!(close.content, Content::Set(Payload::Close(_))));
    assert_eq!(stream.close_reason(), None);
    stream.shutdown().await.unwrap();
    hand.data(0, b"answer").await;
    let mut got = [0; 6];
    stream.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"answer");
    hand.to.send(close.result(None)).await.unwrap();
    assert_eq!(stream.read(&mut got).await.unwrap(), 0);
    assert_eq!(stream.close_reason().unwrap().why, Why::Done);
    stream.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_until_the_close_has_left() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    // The channel holds one stanza, the result of the open: the close has no place in it.
    let shutdown = tokio::time::timeout(Duration::from_secs(1), stream.shutdown());
    assert!(shutdown.await.is_err());
    hand.from.recv().await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_close_without_an_answer_ends_reading_with_an_error() {
    let mut hand = hand();
    let mut stream = hand.open().await.accept(None).unwrap();
    hand.from.recv().await.unwrap();
    stream.shutdown().await.unwrap();
    let error = stream.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_unread_bytes() {
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
async fn each_direction_ends_by_itself() {
    let mut ends = ends(Config::default().half_close(Duration::from_secs(60)));
    let (ours, mut theirs) = ends.stream().await;
    let (mut reader, mut writer) = tokio::io::split(ours);
    let ask = async {
        writer.write_all(b"question").await.unwrap();
        writer.shutdown().await
    };
    let hear = async {
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).await.map(|_| answer)
    };
    let answer = async {
        let mut question = String::new();
        theirs.read_to_string(&mut question).await.unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
        theirs.write_all(&[7; 100_000]).await.unwrap();
        theirs.shutdown().await.unwrap();
        question
    };
    let (asked, received, question) = tokio::join!(ask, hear, answer);
    asked.unwrap();
    assert_eq!(
        (question.as_str(), received.unwrap()),
        ("question", vec![7; 100_000])
    );
}

#[tokio::test(start_paused = true)]
async fn the_traits_of_futures_work_through_compat() {
    use futures::AsyncWriteExt as _;
    use tokio_util::compat::TokioAsyncReadCompatExt as _;

    let mut ends = ends(Config::default());
    let (ours, theirs) = ends.stream().await;
    let (mut ours, mut theirs) = (ours.compat(), theirs.compat());
    let write = async {
        ours.write_all(b"but soft").await.unwrap();
        futures::AsyncWriteExt::flush(&mut ours).await.unwrap();
        ours.close().await.unwrap();
    };
    let read = async {
        let mut got = String::new();
        futures::AsyncReadExt::read_to_string(&mut theirs, &mut got)
            .await
            .unwrap();
        got
    };
    assert_eq!(tokio::join!(write, read).1, "but soft");
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
