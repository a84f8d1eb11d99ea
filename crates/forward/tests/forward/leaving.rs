//! Whoever leaves says so: a stream is shut down and not merely dropped, which a tunnel would see as a cut.

use std::future::ready;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::oneshot;
use xtls_forward::{ForwardError, Options, Report, Rule, Serve, forward, serve};

use crate::support::{Pair, local, server};

/// A stream, and whether it was shut down.
struct Noted(DuplexStream, Arc<AtomicBool>);

fn noted(stream: DuplexStream) -> (Noted, Arc<AtomicBool>) {
    let shut = Arc::new(AtomicBool::new(false));
    (Noted(stream, Arc::clone(&shut)), shut)
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Noted {
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
        self.1.store(true, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_forward_that_the_peer_refuses_leaves_in_order() {
    let (near, far) = duplex(65_536);
    let ((near, near_shut), (far, far_shut)) = (noted(near), noted(far));
    let serving = tokio::spawn(serve(far, Serve::default()));
    let mut once = Some(near);
    let connect = move || ready(once.take().ok_or_else(|| io::Error::other("once")));
    let rule = Rule::Remote("0:localhost:80".parse().unwrap());
    let ended = forward(connect, vec![rule], Options::default()).await;
    assert!(matches!(ended, Err(ForwardError::Refused { .. })));
    serving.await.unwrap().unwrap();
    assert!(near_shut.load(Ordering::Relaxed) && far_shut.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_forward_that_is_stopped_leaves_in_order() {
    let (near, far) = duplex(65_536);
    let ((near, near_shut), (far, far_shut)) = (noted(near), noted(far));
    let serving = tokio::spawn(serve(far, Serve::default()));
    let mut once = Some(near);
    let connect = move || ready(once.take().ok_or_else(|| io::Error::other("once")));
    let (stop, stopped) = oneshot::channel::<()>();
    let (reports, mut told) = tokio::sync::mpsc::channel(16);
    let options = Options {
        reports: Some(reports),
        until: Box::pin(async move { drop(stopped.await) }),
        ..Options::default()
    };
    let forwarding = tokio::spawn(forward(connect, Vec::new(), options));
    assert_eq!(told.recv().await, Some(Report::Up));
    stop.send(()).unwrap();
    forwarding.await.unwrap().unwrap();
    serving.await.unwrap().unwrap();
    assert!(near_shut.load(Ordering::Relaxed) && far_shut.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_peer_that_has_left_is_no_fault_of_the_tunnel() {
    let (_listener, at) = server().await;
    let mut pair = Pair::new(&[local(at)], Serve::default());
    let why = loop {
        match pair.near.recv().await.unwrap() {
            Report::Up => pair.tunnels.lock().unwrap()[0].abort(),
            Report::Down { why, .. } => break why,
            _ => {}
        }
    };
    assert_eq!(why, "the peer has left");
}
