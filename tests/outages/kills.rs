//! Servers that are killed, or restarted in order, under load: who had a tunnel is told at once, and new ones work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use xtls_client::xmpp::Retry;
use xtls_client::{LinkState, LinkStates, Tunnel};
use xtls_tests::live::person::Person;
use xtls_tests::live::server::Server;
use xtls_tests::live::soon;
use xtls_tests::live::switch::Switch;

use crate::many;
use crate::party::{Party, Who};
use crate::pattern::{Lots, seed};
use crate::times::{Times, print_head};

/// Tunnels that carry bytes both ways while the server dies, and how long each end pauses between two kilobytes. With none, one bulk
/// stream leaves a Prosody no time for the others.
const LOAD: usize = 8;
const PAUSE: Duration = Duration::from_millis(5);

/// From the link's knowing that the session is gone until the last tunnel has been told.
const TOLD: Duration = Duration::from_secs(10);

/// From the server's taking connections until the link is bound: the longest wait, and a log-in.
const BACK: Duration = Duration::from_secs(7);

async fn everybody_is_told_and_comes_back(server: &Server) {
    let rounds = many(1, 50);
    let mut lots = Lots::new(seed());
    let (romeo, juliet) = Person::strangers(server);
    // Deaths that follow each other so fast are one outage, in which the waits would grow and the link would be given up.
    let retry = Retry {
        longest: Duration::from_secs(2),
        give_up: Duration::from_secs(7_200),
        ..Retry::default()
    };
    let options = |person: &Person| person.options("kills").retry(retry);
    let here = Party::start(Who::Romeo, &romeo, options(&romeo)).await;
    let mut there = Party::start(Who::Juliet, &juliet, options(&juliet)).await;
    let mut switch = Switch::of(server);
    for (order, name) in [(false, "killed"), (true, "stopped in order")] {
        let mut known = Times::new("interruption known, after the end began");
        let mut away = Times::new("server away");
        let mut back = Times::new("link bound, after the server was back");
        let mut told = Times::new("end of a tunnel told, after its link was bound");
        let mut again = Times::new("new tunnel used, after both links were bound");
        for _ in 0..rounds {
            let mut tunnels = Vec::new();
            for _ in 0..LOAD {
                tunnels.extend(here.connect(&mut there).await.map(Busy::start));
            }
            sleep(Duration::from_millis(100 + lots.below(400))).await;
            let moving = async {
                while !tunnels.iter().all(Busy::has_moved) {
                    sleep(PAUSE).await;
                }
            };
            soon("bytes in all of them", moving).await;
            let links = [&here, &there].map(|party| Watch::start(party.client.link_states()));
            let start = Instant::now();
            match order {
                true => switch.stop().await,
                false => switch.kill().await,
            }
            let down = Instant::now();
            switch.start().await;
            let up = Instant::now();
            away.add(up - down);
            let mut ends = Vec::new();
            for tunnel in tunnels {
                ends.push(soon("the end of a tunnel", tunnel.ended).await.unwrap());
            }
            let [mut one, mut other] = here.connect(&mut there).await;
            for (from, to) in [(0, 1), (1, 0)] {
                let both = [&mut one, &mut other];
                both[from].write_all(b"again").await.unwrap();
                let mut read = [0; 5];
                let reading = both[to].read_exact(&mut read);
                soon("bytes in a new tunnel", reading).await.unwrap();
                assert_eq!(&read, b"again");
            }
            let used = Instant::now();
            // Some have been told before, by what the server said as it stopped.
            for (end, ended) in ends.into_iter().enumerate() {
                let bound = links[end % 2].first(true);
                told.add(ended.saturating_duration_since(bound));
            }
            for link in &links {
                known.add(link.first(false) - start);
                back.add(link.last().saturating_duration_since(up));
            }
            again.add(used - links.each_ref().map(Watch::last).into_iter().max().unwrap());
            for tunnel in [&one, &other] {
                tunnel.abort().await;
            }
        }
        print_head(name);
        for times in [&mut known, &mut away, &mut back, &mut told, &mut again] {
            times.print();
        }
        assert!(told.longest() <= TOLD, "{:?}", told.longest());
        assert!(back.longest() <= BACK, "{:?}", back.longest());
    }
    here.stop().await;
    there.stop().await;
}

/// One end of a tunnel that writes and reads until it ends.
struct Busy {
    moved: Arc<AtomicU64>,
    /// When it has been told.
    ended: JoinHandle<Instant>,
}

impl Busy {
    fn start(tunnel: Tunnel) -> Self {
        let moved = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&moved);
        let ended = tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(tunnel);
            let writing = async {
                while to.write_all(&[7; 1_024]).await.is_ok() {
                    sleep(PAUSE).await;
                }
            };
            let reading = async {
                let mut buffer = [0; 8_192];
                while let Ok(read @ 1..) = from.read(&mut buffer).await {
                    count.fetch_add(read as u64, Ordering::Relaxed);
                }
            };
            tokio::join!(writing, reading);
            Instant::now()
        });
        Self { moved, ended }
    }

    fn has_moved(&self) -> bool {
        self.moved.load(Ordering::Relaxed) > 0
    }
}

/// What a link reports: whether it is bound, and since when.
struct Watch(Arc<Mutex<Vec<(bool, Instant)>>>);

impl Watch {
    fn start(mut states: LinkStates) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let watch = Self(Arc::clone(&seen));
        // What was before is of no interest.
        while states.changed().now_or_never().is_some() {}
        tokio::spawn(async move {
            while let Some(state) = states.changed().await {
                let bound = match state {
                    LinkState::Interrupted(_) => false,
                    LinkState::Bound(_) => true,
                    other => panic!("a server that was away cannot go on: {other:?}"),
                };
                seen.lock().unwrap().push((bound, Instant::now()));
            }
        });
        watch
    }

    /// When it was first interrupted, or bound.
    fn first(&self, bound: bool) -> Instant {
        let seen = self.0.lock().unwrap();
        let first = seen.iter().find(|(is, _)| *is == bound);
        first.expect("it was interrupted and bound").1
    }

    /// Since when it is bound: a server that is about to stop may let it in once more.
    fn last(&self) -> Instant {
        let seen = self.0.lock().unwrap();
        let last = seen.last().expect("something happened");
        assert!(last.0, "it is bound");
        last.1
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_had_a_tunnel_is_told_when_prosody_dies_and_new_ones_work() {
    everybody_is_told_and_comes_back(&Server::quiet()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_had_a_tunnel_is_told_when_ejabberd_dies_and_new_ones_work() {
    everybody_is_told_and_comes_back(&Server::ejabberd()).await;
}
