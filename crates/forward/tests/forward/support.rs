//! Two ends of a tunnel, and what they report.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle, JoinSet};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use xtls_forward::{
    ForwardError, Found, Greeting, Options, Report, Resolve, Retry, Rule, Serve, Why, forward,
    serve,
};
use yamux::{Config, Connection, Mode};

/// A tunnel between a forwarding end and a serving one, which end with this.
pub(crate) struct Pair {
    tasks: JoinSet<()>,
    /// Reports of the end that forwards.
    pub(crate) near: mpsc::Receiver<Report>,
    /// Reports of the end that serves.
    pub(crate) far: mpsc::Receiver<Report>,
    /// The serving ends of all tunnels so far. To abort one cuts its tunnel.
    pub(crate) tunnels: Arc<Mutex<Vec<AbortHandle>>>,
    pub(crate) ended: JoinHandle<Result<(), ForwardError>>,
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.ended.abort();
        self.tasks.abort_all();
        for tunnel in self.tunnels.lock().unwrap().iter() {
            tunnel.abort();
        }
    }
}

impl Pair {
    pub(crate) fn new(rules: &[Rule], served: Serve) -> Self {
        let (reports, far) = mpsc::channel(4_096);
        let served = Serve {
            reports: Some(reports),
            ..served
        };
        let tunnels = Arc::new(Mutex::new(Vec::new()));
        let made = Arc::clone(&tunnels);
        let connect = move || {
            let (near, tunnel) = duplex(65_536);
            let end = tokio::spawn(serve(tunnel, served.clone()));
            made.lock().unwrap().push(end.abort_handle());
            std::future::ready(Ok::<_, io::Error>(near))
        };
        let (reports, near) = mpsc::channel(4_096);
        let options = Options {
            reports: Some(reports),
            retry: Retry {
                first: std::time::Duration::ZERO,
                ..Retry::default()
            },
            ..Options::default()
        };
        Self {
            tasks: JoinSet::new(),
            near,
            far,
            tunnels,
            ended: tokio::spawn(forward(connect, rules.to_vec(), options)),
        }
    }

    /// Where the first listener of the near end is.
    pub(crate) async fn listening(&mut self) -> SocketAddr {
        loop {
            if let Report::Listening { at, .. } = self.near.recv().await.unwrap() {
                return at;
            }
        }
    }

    /// The next report of a connection's end or refusal at the near end.
    pub(crate) async fn last_of_near(&mut self) -> Report {
        last(&mut self.near).await
    }

    pub(crate) async fn last_of_far(&mut self) -> Report {
        last(&mut self.far).await
    }

    /// Runs as long as the pair does.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }
}

async fn last(reports: &mut mpsc::Receiver<Report>) -> Report {
    loop {
        let report = reports.recv().await.unwrap();
        if matches!(
            report,
            Report::Closed { .. }
                | Report::Refused { .. }
                | Report::NotListening { .. }
                | Report::NotSocks { .. }
        ) {
            return report;
        }
    }
}

/// A server on loopback.
pub(crate) async fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

/// `-L` from any free port to this address.
pub(crate) fn local(to: SocketAddr) -> Rule {
    Rule::Local(format!("0:{to}").parse().unwrap())
}

pub(crate) fn allowing(rules: &[String]) -> Serve {
    Serve {
        allow: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
        ..Serve::default()
    }
}

/// A server, a forward to it that is allowed, and a connection through that with its two ends.
pub(crate) async fn connected() -> (Pair, TcpStream, TcpStream) {
    let (listener, at) = server().await;
    let mut pair = Pair::new(&[local(at)], allowing(&[at.to_string()]));
    let client = TcpStream::connect(pair.listening().await).await.unwrap();
    let (served, _) = listener.accept().await.unwrap();
    (pair, client, served)
}

/// Whether a connection was reset, and not ended.
pub(crate) async fn is_reset(stream: &mut TcpStream) -> bool {
    let read = stream.read_to_end(&mut Vec::new()).await;
    read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(length).collect()
}

pub(crate) fn refused(report: &Report) -> Why {
    match report {
        Report::Refused { refusal, .. } => refusal.why,
        other => panic!("{other:?}"),
    }
}

/// Gives these addresses, one list for each look-up, and counts.
pub(crate) struct Answers {
    lists: Mutex<VecDeque<Vec<IpAddr>>>,
    pub(crate) asked: AtomicUsize,
}

impl Answers {
    pub(crate) fn new(lists: &[&[&str]]) -> Arc<Self> {
        let parsed = |list: &&[&str]| {
            list.iter()
                .map(|address| address.parse().unwrap())
                .collect()
        };
        Arc::new(Self {
            lists: Mutex::new(lists.iter().map(parsed).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

impl Resolve for Answers {
    fn resolve(&self, _: &str) -> Found {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let list = self.lists.lock().unwrap().pop_front();
        let found = list.ok_or_else(|| io::Error::other("no such name"));
        Box::pin(std::future::ready(found))
    }
}

/// A peer that speaks yamux and nothing above it, unless it is told to.
pub(crate) struct Raw {
    connection: Connection<Compat<DuplexStream>>,
}

pub(crate) type Stream = Compat<yamux::Stream>;

impl Raw {
    /// Greets as one should.
    pub(crate) async fn greeted(mut tunnel: DuplexStream, mode: Mode) -> Self {
        tunnel.write_all(&Greeting::OURS).await.unwrap();
        tunnel.read_exact(&mut [0; 6]).await.unwrap();
        let connection = Connection::new(tunnel.compat(), Config::default(), mode);
        Self { connection }
    }

    pub(crate) async fn open(&mut self) -> Stream {
        poll_fn(|cx| self.connection.poll_new_outbound(cx))
            .await
            .unwrap()
            .compat()
    }

    /// Moves what its streams have, until `until` is ready.
    pub(crate) async fn drive<T>(&mut self, until: impl Future<Output = T>) -> T {
        let driven = async {
            while let Some(Ok(_)) = poll_fn(|cx| self.connection.poll_next_inbound(cx)).await {}
        };
        tokio::select! {
            biased;
            done = until => done,
            () = driven => panic!("the tunnel has ended"),
        }
    }

    /// The next stream that the other end opens.
    pub(crate) async fn accept(&mut self) -> Stream {
        poll_fn(|cx| self.connection.poll_next_inbound(cx))
            .await
            .unwrap()
            .unwrap()
            .compat()
    }
}

/// A frame with a number, a port and a host, as far as it has them.
pub(crate) fn frame(kind: u8, number: Option<u32>, port: u16, host: &str) -> Vec<u8> {
    let mut payload: Vec<u8> = number.into_iter().flat_map(u32::to_be_bytes).collect();
    payload.extend(port.to_be_bytes());
    payload.extend(host.bytes());
    let [.., high, middle, low] = payload.len().to_be_bytes();
    [[kind, high, middle, low].as_slice(), &payload].concat()
}

/// The type of the next frame, and the first byte of its payload if there is one.
pub(crate) async fn answer(stream: &mut Stream) -> Option<(u8, Option<u8>)> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.ok()?;
    let mut payload = vec![0; usize::from(header[2]) << 8 | usize::from(header[3])];
    stream.read_exact(&mut payload).await.ok()?;
    Some((header[0], payload.first().copied()))
}
