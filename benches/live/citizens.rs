//! Many bulk streams at once through one server, who share it and break nothing: `cargo xtask bench citizens` runs this.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use xtls_client::bytestreams;
use xtls_client::ibb::io::{Endpoint, Listener};
use xtls_client::ibb::{Allow, Config, OpenOptions};
use xtls_stanza::Address;
use xtls_stanza::ibb::BlockSize;

use crate::link::Server;
use crate::median;

/// Interleaved rounds through Prosody: one stream alone, and each shape.
const ROUNDS: usize = 3;
/// Streams at once there, and how long they are measured.
const TEN: usize = 10;
const TEN_TIME: Duration = Duration::from_secs(10);
/// One of them alone.
const ALONE_TIME: Duration = Duration::from_secs(5);
/// The least share of a fair one that a stream gets, and of one alone that all together do.
const FAIR: f64 = 0.5;
const SUM: f64 = 0.8;

/// Runs through ejabberd of each shape, streams at once, and how long each run lasts.
const RUNS: usize = 10;
const THIRTY: usize = 30;
const THIRTY_TIME: Duration = Duration::from_secs(4);
/// What ejabberd says when it ends a link whose client has too much to acknowledge.
const KILLED: &str = "Too many unacked stanzas";

/// Which links streams share.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// All of them both.
    Pair,
    /// Each has two of its own.
    Apart,
    /// Each has one of its own, to one listener.
    Fan,
}

impl Shape {
    fn words(self) -> &'static str {
        match self {
            Self::Pair => "in one pair of links",
            Self::Apart => "each between links of its own",
            Self::Fan => "from links of their own to one",
        }
    }
}

pub(crate) async fn run(check: bool) -> ExitCode {
    let (prosody, ejabberd) = (
        Server::named_in("XTLS_PROSODY_QUIET"),
        Server::named_in("XTLS_EJABBERD"),
    );
    let mut met = true;
    if prosody.is_none() && ejabberd.is_none() {
        eprintln!("please run `cargo xtask bench citizens`");
        return ExitCode::from(2);
    }
    if let Some(server) = prosody {
        met &= shares(&server).await;
    }
    if let Some(server) = ejabberd {
        met &= holds(&server).await;
    }
    if met || !check {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Whether ten streams through Prosody share it, and use it as one alone does.
async fn shares(server: &Server) -> bool {
    const SHAPES: [Shape; 2] = [Shape::Pair, Shape::Apart];
    let mut least: [Vec<f64>; 2] = Default::default();
    let mut sums: [Vec<f64>; 2] = Default::default();
    for round in 1..=ROUNDS {
        let alone = load(server, Shape::Pair, 1, ALONE_TIME).await;
        let alone = alone.pace(ALONE_TIME);
        for (at, shape) in SHAPES.into_iter().enumerate() {
            let ten = load(server, shape, TEN, TEN_TIME).await;
            let (share, pace) = (ten.least_share(), ten.pace(TEN_TIME));
            println!(
                "{round}: {TEN} streams through Prosody {}: {pace:6.2} MB/s, alone {alone:6.2}; shares of a fair one {}; {} ended",
                shape.words(),
                ten.shares(),
                ten.ended
            );
            least[at].push(share);
            sums[at].push(pace / alone);
        }
    }
    let mut met = true;
    for ((shape, least), sums) in SHAPES.into_iter().zip(least).zip(sums) {
        // One that starves is not made good by another round in which it does not.
        let worst = least.into_iter().fold(f64::INFINITY, f64::min);
        met &= bar("the least of all shares", shape, worst, FAIR);
        met &= bar("in sum, of one alone (median)", shape, median(sums), SUM);
    }
    met
}

fn bar(what: &str, shape: Shape, figure: f64, least: f64) -> bool {
    let verdict = if figure >= least { "met" } else { "MISSED" };
    println!(
        "{TEN} streams through Prosody {}, {what}: {figure:.2}, at least {least:.2}: {verdict}",
        shape.words()
    );
    figure >= least
}

/// Whether ejabberd ends no link on which thirty streams send.
async fn holds(server: &Server) -> bool {
    let mut met = true;
    for shape in [Shape::Pair, Shape::Fan] {
        let (mut killed, mut ended) = (0, 0);
        for run in 1..=RUNS {
            let before = server.logged(KILLED);
            let thirty = load(server, shape, THIRTY, THIRTY_TIME).await;
            let now = server.logged(KILLED) - before;
            println!(
                "{run:>2}: {THIRTY} streams through ejabberd {}: {:6.2} MB/s, least share {:.2}, {now} links killed, {} streams ended",
                shape.words(),
                thirty.pace(THIRTY_TIME),
                thirty.least_share(),
                thirty.ended
            );
            killed += now;
            ended += thirty.ended;
        }
        let verdict = if killed + ended == 0 { "met" } else { "MISSED" };
        println!(
            "{THIRTY} streams through ejabberd {}, {RUNS} runs: {killed} links killed, {ended} streams ended, at most 0: {verdict}",
            shape.words()
        );
        met &= killed + ended == 0;
    }
    met
}

/// What came of a load.
struct Outcome {
    taken: Vec<u64>,
    /// Streams that ended although nobody ended them.
    ended: usize,
}

impl Outcome {
    fn sum(&self) -> f64 {
        self.taken.iter().sum::<u64>() as f64
    }

    fn pace(&self, time: Duration) -> f64 {
        self.sum() / time.as_secs_f64() / 1e6
    }

    fn share(&self, taken: u64) -> f64 {
        taken as f64 * self.taken.len() as f64 / self.sum().max(1.0)
    }

    fn least_share(&self) -> f64 {
        self.share(self.taken.iter().copied().min().unwrap_or_default())
    }

    fn shares(&self) -> String {
        let mut taken = self.taken.clone();
        taken.sort_unstable();
        let shares = taken
            .into_iter()
            .map(|taken| format!("{:.2}", self.share(taken)));
        shares.collect::<Vec<_>>().join(" ")
    }
}

/// So many streams that always have more to send, for this time: the bytes that each passed.
async fn load(server: &Server, shape: Shape, streams: usize, time: Duration) -> Outcome {
    let (nears, fars) = match shape {
        Shape::Pair => (1, 1),
        Shape::Apart => (streams, streams),
        Shape::Fan => (streams, 1),
    };
    let mut senders = Vec::new();
    for at in 0..nears {
        senders.push(End::start(server, "romeo", &format!("near{at}")).await);
    }
    let mut takers = Vec::new();
    for at in 0..fars {
        takers.push(End::start(server, "juliet", &format!("far{at}")).await);
    }
    let mut tasks = JoinSet::<()>::new();
    let ended = Arc::new(AtomicUsize::new(0));
    let mut taken = Vec::new();
    let mut opened = Vec::new();
    for at in 0..streams {
        let near = &senders[at % nears];
        let far = &mut takers[at % fars];
        let options = OpenOptions::default().block_size(BlockSize::MAX);
        let accepting = async {
            let incoming = far.listener.next().await.expect("the link holds");
            incoming.accept(None).expect("it is open")
        };
        let (near, far) = tokio::join!(near.endpoint.open(&far.own, options), accepting);
        opened.push((near.expect("it is accepted"), far));
    }
    for (mut near, mut far) in opened {
        let (count, over) = (Arc::new(AtomicU64::new(0)), ended.clone());
        taken.push(count.clone());
        tasks.spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok(read @ 1..) = far.read(&mut buffer).await {
                count.fetch_add(read as u64, Ordering::Relaxed);
            }
            over.fetch_add(1, Ordering::Relaxed);
            std::future::pending().await
        });
        tasks.spawn(async move {
            let piece = vec![0x5a; 65_536];
            while near.write_all(&piece).await.is_ok() {}
            std::future::pending().await
        });
    }
    tokio::time::sleep(time).await;
    let outcome = Outcome {
        taken: taken
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect(),
        ended: ended.load(Ordering::Relaxed),
    };
    tasks.shutdown().await;
    for end in senders.into_iter().chain(takers) {
        end.stop().await;
    }
    // Their good-byes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    outcome
}

/// A link with its streams.
struct End {
    endpoint: Endpoint,
    listener: Listener,
    task: xtls_client::Task,
    own: Address,
}

impl End {
    async fn start(server: &Server, account: &str, resource: &str) -> Self {
        let config = Config::default()
            .opens_per_minute(1_000)
            .opens_per_minute_in_all(1_000)
            .max_streams_per_peer(THIRTY)
            .max_pending_per_peer(THIRTY);
        let link = server.login(account, resource).await;
        let own = link.bound().clone();
        let (endpoint, listener, task) = bytestreams::start(link, config).expect("random bytes");
        endpoint.with_mux(|mux| mux.allow(Allow::Anyone));
        Self {
            endpoint,
            listener,
            task,
            own,
        }
    }

    /// Hangs up without waiting for the streams.
    async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}
