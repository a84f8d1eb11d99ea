//! What the verbs make of a tunnel of bytes: `cargo xtask bench verbs` runs this.
//!
//! In each round the bare tunnel, a pipe, a file, and a forward over one and over 16 connections take turns, with as many bytes from the
//! far end to the near one; the file's are read from the disk, hashed, and written to it. Then a question and its answer, of one byte each, go over the bare tunnel and over a forward.

use std::fs::File;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use xtls_client::router::Config;
use xtls_client::{Sockets, ibb};
use xtls_files::{Decision, Destination, Sources};
use xtls_forward::{Options, Report, Rule, Serve, forward, serve};
use xtls_stanza::ibb::BlockSize;

use crate::clients::{Clients, through_each};
use crate::link::Server;
use crate::{median, rate, reaches};

const ROUNDS: usize = 7;
const BYTES: usize = 64 << 20;
const QUESTIONS: u32 = 200;

/// The bars: at least so much of the bare tunnel's rate, and at most so much longer for a question.
const PIPE: f64 = 0.90;
const SEND: f64 = 0.90;
const FORWARD: f64 = 0.75;
const LONGER: Duration = Duration::from_micros(1_500);

pub(crate) async fn run(check: bool) -> ExitCode {
    // Through a server that is faster than a disk, a file is as fast as the disk is.
    let bars = [("XTLS_PROSODY_QUIET", SEND), ("XTLS_EJABBERD", 0.0)];
    through_each("verbs", check, bars, through).await
}

/// Whether the bars are met through this server, which is `send` for a file.
async fn through(server: &Server, send_bar: f64) -> bool {
    let mut ends = Ends::start(server).await;
    println!("{ROUNDS} rounds, MB/s of payload, and µs of a question");
    let mut rates: [Vec<f64>; 5] = Default::default();
    let mut longer = Vec::new();
    for round in 0..=ROUNDS {
        let (bare, asked) = ends.bare().await;
        let pipe = ends.pipe().await;
        let send = ends.send().await;
        let (one, through) = ends.forward(1).await;
        let (many, _) = ends.forward(16).await;
        let figures = [bare, pipe, send, one, many].map(|time| rate(BYTES, time));
        let [bare, pipe, send, one, many] = figures;
        println!(
            "{round:>2}: bare {bare:6.2}, pipe {pipe:6.2}, send {send:6.2}, forward {one:6.2}, over 16 connections {many:6.2}; question {}, \
             forwarded {}",
            asked.as_micros(),
            through.as_micros()
        );
        // The first round warms up all contenders.
        if round > 0 {
            for (rates, figure) in rates.iter_mut().zip(figures) {
                rates.push(figure);
            }
            longer.push(through.as_secs_f64() - asked.as_secs_f64());
        }
    }
    println!();
    let [bare, pipe, send, one, many] = rates;
    let beside = |rates: &[f64]| {
        let pairs = rates.iter().zip(&bare);
        pairs.map(|(one, bare)| one / bare).collect::<Vec<_>>()
    };
    let mut met = reaches("pipe / bare tunnel", beside(&pipe), PIPE);
    met &= reaches("send / bare tunnel", beside(&send), send_bar);
    met &= reaches("forward / bare tunnel", beside(&one), FORWARD);
    met &= reaches(
        "forward over 16 connections / bare tunnel",
        beside(&many),
        FORWARD,
    );
    let longer = median(longer);
    let verdict = if longer <= LONGER.as_secs_f64() {
        "met"
    } else {
        met = false;
        "MISSED"
    };
    println!(
        "a forwarded question takes {:.2} ms longer, at most {:.2}: {verdict}",
        longer * 1e3,
        LONGER.as_secs_f64() * 1e3
    );
    met
}

struct Ends {
    clients: Clients,
    /// With a file in it that nothing compresses.
    folder: TempDir,
}

impl Ends {
    async fn start(server: &Server) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = File::create(folder.path().join(FILE)).expect("a file");
        let mut piece = vec![0; 1 << 20];
        for _ in 0..BYTES / piece.len() {
            xtls_client::random(&mut piece).expect("random bytes");
            file.write_all(&piece).expect("room for it");
        }
        file.sync_all().expect("room for it");
        // As the program has them.
        let with = |config: Config| {
            let ibb = ibb::Config::default()
                .block_size(BlockSize::MAX)
                .max_block(BlockSize::MAX);
            (config.ibb(ibb), Sockets::default())
        };
        Self {
            clients: Clients::start(server, "verbs", with).await,
            folder,
        }
    }

    async fn bare(&mut self) -> (Duration, Duration) {
        let [near, far] = self.clients.tunnel().await;
        let answering = tokio::spawn(answer(far, BYTES));
        let (took, mut near) = fetch(vec![near]).await;
        let asked = ask(&mut near).await;
        end(near).await;
        answering.await.expect("no panic");
        (took, asked)
    }

    async fn pipe(&mut self) -> Duration {
        let [near, far] = self.clients.tunnel().await;
        let source = tokio::io::repeat(0x5a).take(BYTES as u64);
        let options = xtls_pipe::Options::default;
        let start = Instant::now();
        let sending = tokio::spawn(xtls_pipe::run(far, source, tokio::io::sink(), options()));
        let piping = xtls_pipe::run(near, tokio::io::empty(), tokio::io::sink(), options());
        for end in [tokio::spawn(piping), sending] {
            end.await.expect("no panic").expect("a whole pipe");
        }
        start.elapsed()
    }

    /// From the offer until the sender knows that the file has its name.
    async fn send(&mut self) -> Duration {
        let [near, far] = self.clients.tunnel().await;
        let sources = Sources::collect([self.folder.path().join(FILE)]).expect("a file");
        let inbox = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        let destination = Destination::new(inbox.path(), "juliet");
        let start = Instant::now();
        let sending = tokio::spawn(xtls_files::send(far, sources, |_| {}));
        let accept = async |_| Decision::Accept;
        let receiving = xtls_files::receive(near, destination, accept, |_| {});
        let (sent, received) = tokio::join!(sending, receiving);
        let took = start.elapsed();
        let sent = sent.expect("no panic").expect("a whole file");
        assert_eq!(
            (sent.done, received.expect("a whole file").outcome.done),
            (1, 1)
        );
        took
    }

    async fn forward(&mut self, connections: usize) -> (Duration, Duration) {
        let [near, far] = self.clients.tunnel().await;
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = server.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut answering = JoinSet::new();
            while let Ok((socket, _)) = server.accept().await {
                socket.set_nodelay(true).expect("a socket");
                answering.spawn(answer(socket, BYTES / connections));
            }
        });
        let allow = vec![to.to_string().parse().expect("a place")];
        let options = Serve {
            allow,
            ..Serve::default()
        };
        let serving = tokio::spawn(serve(far, options));
        let (reports, mut told) = mpsc::channel(64);
        let mut once = Some(near);
        let connect = move || {
            std::future::ready(
                once.take()
                    .ok_or_else(|| std::io::Error::other("one is enough")),
            )
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let options = Options {
            reports: Some(reports),
            until: Box::pin(async move { drop(stopped.await) }),
            ..Options::default()
        };
        let rule = Rule::Local(format!("0:{to}").parse().expect("a forward"));
        let forwarding = tokio::spawn(forward(connect, vec![rule], options));
        let Some(Report::Listening { at, .. }) = told.recv().await else {
            panic!("it does not listen");
        };
        let mut streams = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(at).await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            streams.push(stream);
        }
        let (took, mut last) = fetch(streams).await;
        let asked = ask(&mut last).await;
        drop((last, stop));
        for end in [forwarding, serving] {
            end.await.expect("no panic").expect("an end in order");
        }
        (took, asked)
    }
}

/// The file that is sent.
const FILE: &str = "file";

/// Who says `b` gets his share of the bytes, and who says `q` gets it back.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, share: usize) {
    let piece = vec![0x5a; 65_536];
    while let Ok(asked) = stream.read_u8().await {
        let mut left = if asked == b'q' { 1 } else { share };
        while left > 0 {
            let part = piece.get(..left).unwrap_or(&piece);
            stream.write_all(part).await.expect("a reader");
            left -= part.len();
        }
        stream.flush().await.expect("a reader");
    }
    // The other end may be gone.
    let _ = stream.shutdown().await;
}

/// Ends a stream in order: a contender that begins while another one's stream is still there would inherit its pace.
async fn end<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    stream.shutdown().await.expect("a reader");
    let rest = stream.read_to_end(&mut Vec::new()).await;
    rest.expect("an end in order");
}

/// How long it takes until all shares are here, and one of the streams.
async fn fetch<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    streams: Vec<S>,
) -> (Duration, S) {
    let share = BYTES / streams.len();
    let start = Instant::now();
    let mut reading = JoinSet::new();
    for mut stream in streams {
        reading.spawn(async move {
            stream.write_all(b"b").await.expect("a reader");
            stream.flush().await.expect("a reader");
            let (mut left, mut buffer) = (share, vec![0; 65_536]);
            while left > 0 {
                match stream.read(&mut buffer).await.expect("the tunnel holds") {
                    0 => panic!("the bytes ended, {left} of {share} before their end"),
                    read => left -= read,
                }
            }
            stream
        });
    }
    let mut streams = reading.join_all().await;
    (start.elapsed(), streams.pop().expect("a stream"))
}

/// How long a question takes.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Duration {
    let start = Instant::now();
    for _ in 0..QUESTIONS {
        stream.write_all(b"q").await.expect("a reader");
        stream.flush().await.expect("a reader");
        stream.read_u8().await.expect("an answer");
    }
    start.elapsed() / QUESTIONS
}
