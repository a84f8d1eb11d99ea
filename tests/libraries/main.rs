//! Libraries of others over our streams: what works over a socket works over them, and nothing is lost.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

mod bytestream;
mod conveyors;
mod copying;
mod http;
mod serving;
mod tls;
mod tunnel;
mod yamux;

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream of any kind.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Duplex for T {}

/// Bytes that differ from place to place.
fn pattern(len: usize, seed: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at * 31 + at / 509 + seed) % 256).unwrap();
    (0..len).map(byte).collect()
}
