//! First use by a crowd: `cargo xtask bench session` runs this too. With `--check` it fails below the bars; a number
//! sets the number of peers.
//!
//! Accounts that a listener has never met open tunnels to it over the relay, many at once, and each key is pinned in a
//! file before its session opens. For comparison, the same with all keys already pinned. Measured are the wall time,
//! since waiting for the disk is part of it, and the memory that a tunnel adds at both ends, whose clients exist
//! before.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a benchmark that cannot go on says so by failing, and prints a table"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use xtls_benches::bars::verdict;
use xtls_client::relay::{Limits, Relay};
use xtls_client::router::{Config, TunnelEvent};
use xtls_client::{Accept, Client, Pins, Tunnel};
use xtls_stanza::Address;
use xtls_stanza::busy::Limit;
use xtls_tls::rustls::time_provider::DefaultTimeProvider;
use xtls_tls::trust::{Level, Method, Policy};
use xtls_tls::{Fingerprint, Identity, default_provider};
use zeroize::Zeroizing;

const HUB: &str = "hub@west.example/one";

/// Peers, unless an argument says otherwise.
const CROWD: usize = 10_000;

/// Opens that are under way at a time.
const AT_ONCE: usize = 256;

/// Set-ups per second on first use, as a share of those with all keys pinned.
const LEAST: f64 = 0.6;

/// What both ends of a tunnel may hold, in bytes.
const MOST: usize = 60_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let check = args.iter().any(|arg| arg == "--check");
    let count = args
        .iter()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(CROWD);
    let folder = std::env::temp_dir().join(format!("xtls-first-use-{}", std::process::id()));
    private(&folder);
    println!("first use by {count} peers, {AT_ONCE} opens at once, pins in a file");
    let crowd: Vec<_> = (0..count).map(member).collect();
    let first = run(&crowd, &folder.join("first"), Policy::Tofu);
    let pinned = run(&crowd, &folder.join("pinned"), Policy::Pinned);
    fs::remove_dir_all(&folder).expect("our own folder");
    let share = first.pace / pinned.pace;
    println!(
        "| with all keys pinned | {:>6.0} set-ups/s | |",
        pinned.pace
    );
    println!(
        "| on first use | {:>6.0} set-ups/s | {share:.2} of that, bar {LEAST} |",
        first.pace
    );
    println!(
        "| both ends of a tunnel | {:>6} bytes | bar {MOST} |",
        first.bytes
    );
    verdict(share >= LEAST && first.bytes <= MOST, check)
}

/// One of the crowd.
fn member(number: usize) -> (Address, Arc<Identity>) {
    let own = address(&format!("peer{number}@east.example/one"));
    let identity = identity(&own, number);
    (own, identity)
}

fn address(text: &str) -> Address {
    Address::new(text).expect("an address")
}

/// A key that follows from a number.
fn identity(own: &Address, number: usize) -> Arc<Identity> {
    let mut seed = Zeroizing::new([1; 32]);
    let digits = seed.iter_mut().zip(number.to_be_bytes());
    digits.for_each(|(seed, byte)| *seed = byte);
    Arc::new(Identity::generate(own.bare(), &seed, 1_767_225_600).expect("an identity"))
}

fn config(identity: &Arc<Identity>) -> xtls_tls::Config {
    let time = Arc::new(DefaultTimeProvider);
    xtls_tls::Config::new(Arc::clone(identity), default_provider(), time).expect("TLS")
}

struct Outcome {
    /// Set-ups per second.
    pace: f64,
    /// What both ends of a tunnel hold.
    bytes: usize,
}

fn run(crowd: &[(Address, Arc<Identity>)], folder: &Path, policy: Policy) -> Outcome {
    private(folder);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(meet(crowd, folder.join("pins"), policy));
    runtime.shutdown_background();
    outcome
}

async fn meet(crowd: &[(Address, Arc<Identity>)], file: PathBuf, policy: Policy) -> Outcome {
    let relay = Relay::start(Limits::default().queue(1 << 30));
    let mut pins = Pins::open(&file).expect("pins");
    pins.limit_first_uses(usize::MAX);
    if policy == Policy::Pinned {
        pins.change(|store, now| {
            for (own, identity) in crowd {
                store.pin(own.bare(), identity.fingerprint(), Level::FirstUse, now)?;
            }
            Ok(())
        })
        .expect("all pinned");
    }
    let hub = identity(&address(HUB), usize::MAX);
    let limits = [
        Limit::Unfinished,
        Limit::Incoming,
        Limit::OpensPerMinuteInAll,
        Limit::Streams,
        Limit::Pending,
    ];
    let settings = Config::new(config(&hub), pins.store())
        .policy(policy)
        .accept(Accept::Anyone);
    let settings = limits.into_iter().fold(settings, |settings, limit| {
        settings.limit(limit, crowd.len() + 1)
    });
    let link = relay.attach(address(HUB)).await.expect("a link");
    let (_client, mut incoming, _task) = Client::seeded(link, settings, pins, [9; 32]);
    let listening = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Some(tunnel) = incoming.next().await {
            held.push(tunnel);
        }
    });

    let mut clients = Vec::new();
    for (own, identity) in crowd {
        clients.push(client(&relay, own.clone(), identity, hub.fingerprint()).await);
    }
    let before = resident();
    let begun = tokio::time::Instant::now();
    let turn = Arc::new(Semaphore::new(AT_ONCE));
    let mut opening = JoinSet::new();
    for client in &clients {
        let turn = Arc::clone(&turn).acquire_owned();
        let turn = turn.await.expect("it is never closed");
        let client = client.clone();
        opening.spawn(async move {
            let tunnel = open(&client).await;
            drop(turn);
            tunnel
        });
    }
    let held = opening.join_all().await;
    let took = begun.elapsed();
    let bytes = resident().saturating_sub(before) / crowd.len();
    let pinned = Pins::open(&file).expect("pins").store();
    assert_eq!(
        pinned.list().count(),
        crowd.len(),
        "every key is on the disk"
    );
    drop((held, clients));
    listening.abort();
    Outcome {
        pace: crowd.len() as f64 / took.as_secs_f64(),
        bytes,
    }
}

/// One of the crowd, who has verified the listener's key.
async fn client(relay: &Relay, own: Address, identity: &Arc<Identity>, key: Fingerprint) -> Client {
    let hub = address(HUB);
    let mut pins = Pins::memory();
    pins.change(|store, now| store.pin(hub.bare(), key, Level::Verified(Method::Fingerprint), now))
        .expect("a pin");
    let settings = Config::new(config(identity), pins.store()).policy(Policy::Pinned);
    let mut seed = [7; 32];
    let name = own.as_str().bytes();
    seed.iter_mut()
        .zip(name)
        .for_each(|(seed, byte)| *seed ^= byte);
    let link = relay.attach(own).await.expect("a link");
    Client::seeded(link, settings, pins, seed).0
}

/// Opens a tunnel, and waits until the listener has pinned our key and confirmed it.
async fn open(client: &Client) -> Tunnel {
    let mut tunnel = client.open(&address(HUB)).await.expect("an open");
    loop {
        match tunnel.next().await.expect("a word") {
            TunnelEvent::Established(_) => return tunnel,
            TunnelEvent::Closed(closed) => panic!("{closed:?}"),
            _ => {}
        }
    }
}

fn private(folder: &Path) {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder).expect("a folder of our own");
}

/// Resident memory of this process in bytes, as Linux reports it.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    kilobytes
        .and_then(|number| number.parse::<usize>().ok())
        .expect("a number")
        * 1024
}
