//! Our stream over the client's link.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use xtls_client::bytestreams;
use xtls_client::ibb::io::{Endpoint, Listener};
use xtls_client::ibb::{Allow, Config, OpenOptions, Stats, Window};
use xtls_stanza::Address;
use xtls_stanza::ibb::BlockSize;

use crate::link::Server;

pub(crate) struct Ours {
    near: Endpoint,
    _far: Endpoint,
    listener: Listener,
    to: Address,
}

impl Ours {
    pub(crate) async fn start(server: &Server) -> Self {
        let config = || Config::default().opens_per_minute(1000);
        let (link, other) = (
            server.login("romeo", "ours").await,
            server.login("juliet", "ours").await,
        );
        let to = other.bound().clone();
        let (near, _, _) = bytestreams::start(link, config()).expect("random bytes");
        let (far, listener, _) = bytestreams::start(other, config()).expect("random bytes");
        far.with_mux(|mux| mux.allow(Allow::Anyone));
        Self {
            near,
            _far: far,
            listener,
            to,
        }
    }

    /// As the client configures it between ends that support XTLS: blocks up to 65535, an adaptive window.
    pub(crate) async fn default(&mut self, size: usize) -> (Duration, Stats) {
        let options = OpenOptions::default().block_size(BlockSize::MAX);
        self.run(size, options).await
    }

    /// One chunk of 4096 bytes, then its answer.
    pub(crate) async fn one_chunk(&mut self, size: usize) -> (Duration, Stats) {
        self.run(size, OpenOptions::default().window(Window::OneChunk))
            .await
    }

    /// How long `size` bytes take through a new stream, from the first write until all of them were acknowledged, and
    /// the stream's window and chunk size at the end.
    async fn run(&mut self, size: usize, options: OpenOptions) -> (Duration, Stats) {
        let accepting = async {
            let incoming = self.listener.next().await.expect("the link holds");
            incoming.accept(None).expect("it is open")
        };
        let (opened, mut far) = tokio::join!(self.near.open(&self.to, options), accepting);
        let mut near = opened.expect("it is accepted");
        let reading = tokio::spawn(async move {
            let (mut taken, mut buffer) = (0, vec![0; 65_536]);
            loop {
                match far.read(&mut buffer).await.expect("the link holds") {
                    0 => break taken,
                    read => taken += read,
                }
            }
        });
        let piece = vec![0x5a; 65_536];
        let start = Instant::now();
        let mut left = size;
        while left > 0 {
            let part = piece.get(..left).unwrap_or(&piece);
            near.write_all(part).await.expect("room");
            left -= part.len();
        }
        near.flush().await.expect("the link holds");
        let stats = near.stats().expect("an open stream");
        near.shutdown().await.expect("all is acknowledged");
        let time = start.elapsed();
        assert_eq!(reading.await.expect("no panic"), size);
        (time, stats)
    }
}
