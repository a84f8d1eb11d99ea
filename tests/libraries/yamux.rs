//! yamux: a hundred streams in one.

use std::future::poll_fn;
use std::task::Poll;

use futures::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::compat::TokioAsyncReadCompatExt;
use yamux::{Config, Connection, Mode, Stream};

use super::{Duplex, pattern};

const STREAMS: usize = 100;
const BYTES: usize = 50_000;

/// Moves the connection until the other end closes it; gives the streams that it opens to `incoming`.
async fn drive<T: Duplex>(
    mut connection: Connection<tokio_util::compat::Compat<T>>,
    mut incoming: impl FnMut(Stream),
) {
    while let Some(stream) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
        incoming(stream.unwrap());
    }
}

async fn echo(mut stream: Stream) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    stream.close().await.unwrap();
}

async fn ask(mut stream: Stream, seed: usize) {
    stream.write_all(&pattern(BYTES, seed)).await.unwrap();
    stream.close().await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes == pattern(BYTES, seed));
}

pub(crate) async fn a_hundred_streams_are_echoed(near: impl Duplex, far: impl Duplex) {
    let server = async {
        let mut echoes = JoinSet::new();
        let connection = Connection::new(far.compat(), Config::default(), Mode::Server);
        drive(connection, |stream| {
            echoes.spawn(echo(stream));
        })
        .await;
        assert_eq!(echoes.len(), STREAMS);
        while let Some(done) = echoes.join_next().await {
            done.unwrap();
        }
    };
    let client = async {
        let mut connection = Connection::new(near.compat(), Config::default(), Mode::Client);
        let mut asked = JoinSet::new();
        for seed in 0..STREAMS {
            let stream = poll_fn(|cx| connection.poll_new_outbound(cx)).await;
            asked.spawn(ask(stream.unwrap(), seed));
        }
        // The connection moves while its streams are asked.
        poll_fn(|cx| {
            while let Poll::Ready(done) = asked.poll_join_next(cx) {
                match done {
                    Some(done) => done.unwrap(),
                    None => return Poll::Ready(()),
                }
            }
            match connection.poll_next_inbound(cx) {
                Poll::Ready(other) => panic!("the server opened or ended: {other:?}"),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        poll_fn(|cx| connection.poll_close(cx)).await.unwrap();
    };
    tokio::join!(client, server);
}
