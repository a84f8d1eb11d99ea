//! How fast 64 MiB go through a forward over one and over 16 connections, and what a question and its answer cost, beside the
//! tunnel alone. The tunnel is as slow as the argument says, in MiB/s.
//!
//! `cargo run --release -p xtls-forward --example rates -- 100`

#![allow(clippy::print_stdout, reason = "what the program is for")]

use std::error::Error;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use xtls_forward::{Options, Report, Rule, Serve, forward, serve};

const BYTES: usize = 64 << 20;
const QUESTIONS: u32 = 200;
const PIECE: usize = 16_384;

/// Two ends of a tunnel that passes so many bytes a second, each way.
fn paced(rate: f64) -> (DuplexStream, DuplexStream) {
    let ((near, one), (other, far)) = (duplex(65_536), duplex(65_536));
    let ((from_one, to_one), (from_other, to_other)) =
        (tokio::io::split(one), tokio::io::split(other));
    tokio::spawn(pass(from_one, to_other, rate));
    tokio::spawn(pass(from_other, to_one, rate));
    (near, far)
}

async fn pass(
    mut from: tokio::io::ReadHalf<DuplexStream>,
    mut to: tokio::io::WriteHalf<DuplexStream>,
    rate: f64,
) -> std::io::Result<()> {
    let mut buffer = vec![0; PIECE];
    let mut due = Instant::now();
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(buffer.get(..length).unwrap_or_default())
            .await?;
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        due = due.max(Instant::now() - SLACK) + Duration::from_secs_f64(f64::from(length) / rate);
        // The timer counts milliseconds: shorter waits are saved up.
        if due > Instant::now() + TICK {
            sleep_until(due).await;
        }
    }
}

const TICK: Duration = Duration::from_millis(2);

/// What a machine that has other things to do may catch up on.
const SLACK: Duration = Duration::from_millis(100);

/// Who says `b` gets his share of the bytes, and who says `q` gets it back.
async fn answer(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    share: usize,
) -> std::io::Result<()> {
    let piece = vec![0; PIECE];
    loop {
        match stream.read_u8().await? {
            b'q' => stream.write_all(b"q").await?,
            _ => {
                for _ in 0..share / PIECE {
                    stream.write_all(&piece).await?;
                }
            }
        }
        stream.flush().await?;
    }
}

/// Mebibytes in a second, all streams together; and how long a question takes.
async fn measured<S>(streams: Vec<S>) -> Result<(f64, Duration), Box<dyn Error>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let share = BYTES / streams.len();
    let mut readers = JoinSet::new();
    let start = Instant::now();
    for mut stream in streams {
        readers.spawn(async move {
            stream.write_all(b"b").await?;
            let mut buffer = vec![0; 65_536];
            let mut left = share;
            while left > 0 {
                left -= stream.read(&mut buffer).await?.clamp(1, left);
            }
            std::io::Result::Ok(stream)
        });
    }
    let mut last = None;
    while let Some(read) = readers.join_next().await {
        last = Some(read??);
    }
    let rate = 64.0 / start.elapsed().as_secs_f64();
    let mut stream = last.ok_or("no stream")?;
    let start = Instant::now();
    for _ in 0..QUESTIONS {
        stream.write_all(b"q").await?;
        stream.read_u8().await?;
    }
    Ok((rate, start.elapsed() / QUESTIONS))
}

async fn forwarded(connections: usize, rate: f64) -> Result<(f64, Duration), Box<dyn Error>> {
    let server = TcpListener::bind("127.0.0.1:0").await?;
    let at = server.local_addr()?;
    tokio::spawn(async move {
        while let Ok((socket, _)) = server.accept().await {
            let _ = socket.set_nodelay(true);
            tokio::spawn(answer(socket, BYTES / connections));
        }
    });
    let (near, far) = paced(rate);
    let allow = vec![at.to_string().parse()?];
    tokio::spawn(serve(
        far,
        Serve {
            allow,
            ..Serve::default()
        },
    ));
    let (reports, mut told) = mpsc::channel(64);
    let mut once = Some(near);
    let connect =
        move || std::future::ready(once.take().ok_or_else(|| std::io::Error::other("no more")));
    let options = Options {
        reports: Some(reports),
        ..Options::default()
    };
    let forwarding = tokio::spawn(forward(
        connect,
        vec![Rule::Local(format!("0:{at}").parse()?)],
        options,
    ));
    let Some(Report::Listening { at, .. }) = told.recv().await else {
        return Err("does not listen".into());
    };
    let mut streams = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let measured = measured(streams).await;
    forwarding.abort();
    measured
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let rate = std::env::args()
        .nth(1)
        .map_or(Ok(100.0), |rate| rate.parse::<f64>())?;
    let bytes = rate * f64::from(1 << 20);
    let (near, far) = paced(bytes);
    tokio::spawn(answer(far, BYTES));
    let (bare, ping) = measured(vec![near]).await?;
    println!("the tunnel: {bare:.1} MiB/s, {ping:?} for a question");
    for connections in [1, 16] {
        let (through, asked) = forwarded(connections, bytes).await?;
        println!(
            "{connections} connections: {through:.1} MiB/s, {:.0} %, {asked:?} for a question",
            100.0 * through / bare
        );
    }
    Ok(())
}
