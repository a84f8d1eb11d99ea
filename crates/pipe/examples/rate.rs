//! How fast 64 MiB go through a pipe, beside the stream under it alone.
//!
//! `cargo run --release -p xtls-pipe --example rate`

#![allow(clippy::print_stdout, reason = "what the program is for")]

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, empty, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use xtls_pipe::{Options, run};

const BYTES: u64 = 64 << 20;
const ROUNDS: usize = 7;

async fn connected() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let near = TcpStream::connect(listener.local_addr()?).await?;
    let (far, _) = listener.accept().await?;
    Ok((near, far))
}

/// Zeros, through a buffer as large as a pipe's.
fn zeros() -> impl tokio::io::AsyncRead + Unpin {
    tokio::io::repeat(0).take(BYTES)
}

async fn bare() -> std::io::Result<f64> {
    let (mut near, mut far) = connected().await?;
    let start = Instant::now();
    let far = tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while far.read(&mut buffer).await? > 0 {}
        std::io::Result::Ok(())
    });
    let mut input = tokio::io::BufReader::with_capacity(65_536, zeros());
    tokio::io::copy_buf(&mut input, &mut near).await?;
    near.shutdown().await?;
    far.await??;
    Ok(rate(start))
}

async fn piped() -> Result<f64, Box<dyn std::error::Error>> {
    let (near, far) = connected().await?;
    let start = Instant::now();
    let far = tokio::spawn(run(far, empty(), sink(), Options::default()));
    run(near, zeros(), sink(), Options::default()).await?;
    far.await??;
    Ok(rate(start))
}

/// Mebibytes in a second.
fn rate(start: Instant) -> f64 {
    64.0 / start.elapsed().as_secs_f64()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    copy(&mut zeros(), &mut sink()).await?;
    let mut shares = Vec::new();
    for _ in 0..ROUNDS {
        let (bare, piped) = (bare().await?, piped().await?);
        println!(
            "bare {bare:.0} MiB/s, pipe {piped:.0} MiB/s: {:.0} %",
            100.0 * piped / bare
        );
        shares.push(piped / bare);
    }
    shares.sort_by(f64::total_cmp);
    let median = shares.get(ROUNDS / 2).copied().unwrap_or_default();
    println!("median {:.0} %", 100.0 * median);
    Ok(())
}
