//! hyper: a client with a pool, and as many connections as it has requests at once.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{Barrier, Mutex, mpsc};
use tokio::task::JoinSet;

use super::{Duplex, pattern};

pub(crate) const AT_ONCE: usize = 8;
const ROUNDS: usize = 3;
const BYTES: usize = 100_000;

/// What makes a stream a connection of hyper-util's client.
struct Pooled<T>(TokioIo<T>);

impl<T> Connection for Pooled<T> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl<T: Duplex> Read for Pooled<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<T: Duplex> Write for Pooled<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Opens a stream for each connection that the pool wants.
#[derive(Clone)]
struct Connector<F>(F);

impl<F, O, T> tower_service::Service<Uri> for Connector<F>
where
    F: Fn() -> O,
    O: Future<Output = io::Result<T>> + Send + 'static,
    T: Duplex,
{
    type Response = Pooled<T>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Pooled<T>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let open = (self.0)();
        Box::pin(async move { Ok(Pooled(TokioIo::new(open.await?))) })
    }
}

/// Answers with the body of the request, when as many requests are here as are asked at once.
async fn serve(stream: impl Duplex, together: Arc<Barrier>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let together = together.clone();
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            together.wait().await;
            Ok::<_, hyper::Error>(Response::new(Full::new(body)))
        }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .unwrap();
}

/// `open` opens a stream, whose other end comes out of `accepted`.
pub(crate) async fn a_pool_of_eight_requests<F, O, T>(open: F, mut accepted: mpsc::Receiver<T>)
where
    F: Fn() -> O + Clone + Send + Sync + 'static,
    O: Future<Output = io::Result<T>> + Send + 'static,
    T: Duplex,
{
    let connections = Arc::new(Mutex::new(JoinSet::new()));
    let serving = connections.clone();
    let server = tokio::spawn(async move {
        let together = Arc::new(Barrier::new(AT_ONCE));
        while let Some(stream) = accepted.recv().await {
            let connection = serve(stream, together.clone());
            serving.lock().await.spawn(connection);
        }
    });
    let client = Client::builder(TokioExecutor::new()).build(Connector(open));
    for round in 0..ROUNDS {
        let mut requests = JoinSet::new();
        for at in 0..AT_ONCE {
            let seed = round * AT_ONCE + at;
            let body = Full::new(Bytes::from(pattern(BYTES, seed)));
            let request = Request::post("http://juliet/").body(body).unwrap();
            let answer = client.request(request);
            requests.spawn(async move {
                let body = answer.await.unwrap().into_body();
                assert!(body.collect().await.unwrap().to_bytes() == pattern(BYTES, seed));
            });
        }
        while let Some(done) = requests.join_next().await {
            done.unwrap();
        }
    }
    // Idle connections of the pool are closed with it, and the server reads that as their end.
    drop(client);
    server.await.unwrap();
    let mut connections = connections.lock().await;
    assert!((AT_ONCE..=AT_ONCE * ROUNDS).contains(&connections.len()));
    while let Some(done) = connections.join_next().await {
        done.unwrap();
    }
}
