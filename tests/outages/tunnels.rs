//! Many tunnels of one listener, each on a link of its own, and a server that dies beneath them: all of them are told, and all are
//! opened again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use xtls_client::xmpp::Retry;
use xtls_client::{Client, LinkState};
use xtls_stanza::Address;
use xtls_tests::live::person::Person;
use xtls_tests::live::server::Server;
use xtls_tests::live::switch::Switch;

use crate::many;
use crate::party::{Party, Who};
use crate::times::{Times, print_head};

/// How long after the server was gone all have been told, at both ends. It comes back meanwhile: before that, nobody can know
/// whether it goes on with the old sessions.
const TOLD: Duration = Duration::from_secs(10);
/// How long after the server takes log-ins all are back.
const BACK: Duration = Duration::from_secs(15);
/// Between two tries to open.
const AGAIN: Duration = Duration::from_millis(250);
/// Deaths that are closer together count as one outage, in which the waits between attempts grow.
const APART: Duration = Duration::from_secs(31);
/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What becomes of the tunnels.
#[derive(Clone, Copy)]
enum News {
    /// A tunnel of this opener carries bytes there and back.
    Up(usize),
    /// It has been told that it ended.
    Down(usize, Instant),
    /// The listener has been told of the end of one.
    Cut(Instant),
}

async fn all_are_told_and_come_back(server: &Server) {
    let (count, rounds) = (many(20, 500), many(1, 5));
    let (romeo, juliet) = Person::strangers(server);
    let retry = match many(0, 1) {
        0 => Retry {
            longest: Duration::from_secs(2),
            ..Retry::default()
        },
        _ => Retry::default(),
    };
    let options = juliet.options("crowd").retry(retry);
    let mut listener = Party::start(Who::Juliet, &juliet, options).await;
    let to = listener.client.own().clone();
    let (told, mut news) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let cut = told.clone();
    let echoing = tokio::spawn(async move {
        while let Some(tunnel) = listener.incoming.next().await {
            let cut = cut.clone();
            tokio::spawn(async move {
                // One that never was whole is of no interest.
                if tunnel.established().await.is_err() {
                    return;
                }
                let (mut from, mut to) = tokio::io::split(tunnel);
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = cut.send(News::Cut(Instant::now()));
            });
        }
        listener
    });
    let romeo = Arc::new(romeo);
    let openers = stream::iter(0..count)
        .map(|number| {
            let romeo = Arc::clone(&romeo);
            // All are of one account, and its server would tell each of the presence of all others.
            let options = romeo.options(&number.to_string()).presence(None);
            let options = options.retry(retry);
            async move { Party::start(Who::Romeo, &romeo, options).await }
        })
        .buffer_unordered(16);
    let openers: Vec<Party> = openers.collect().await;
    for (number, party) in openers.iter().enumerate() {
        let opener = Opener {
            number,
            client: party.client.clone(),
            to: to.clone(),
            news: told.clone(),
        };
        tokio::spawn(opener.run(stopped.clone()));
    }
    let mut up = BTreeSet::new();
    while up.len() < count {
        if let News::Up(number) = next(&mut news).await {
            up.insert(number);
        }
    }

    let mut switch = Switch::of(server);
    for (order, name) in [(false, "killed"), (true, "stopped in order")] {
        let mut away = Times::new("server away");
        let mut first = Times::new("opener told, after the server was gone");
        let mut cuts = Times::new("listener told, after the server was gone");
        let mut back = Times::new("opened again, after the server was back");
        for _ in 0..rounds {
            if many(0, 1) > 0 {
                sleep(APART).await;
            }
            match order {
                true => switch.stop().await,
                false => switch.kill().await,
            }
            let down = Instant::now();
            switch.start().await;
            let ready = Instant::now();
            away.add(ready - down);
            let (mut downs, mut ups, mut ends) = (BTreeSet::new(), BTreeSet::new(), 0);
            while downs.len() < count || ups.len() < count || ends < count {
                match next(&mut news).await {
                    News::Down(number, at) => {
                        // It may come back for a moment while the server is about to stop.
                        ups.remove(&number);
                        if downs.insert(number) {
                            first.add(at.saturating_duration_since(down));
                        }
                    }
                    News::Up(number) => drop(ups.insert(number)),
                    News::Cut(at) => {
                        ends += 1;
                        cuts.add(at.saturating_duration_since(down));
                    }
                }
                if downs.len() == count && ups.len() == count && ends >= count {
                    back.add(ready.elapsed());
                }
            }
        }
        print_head(name);
        for times in [&mut away, &mut first, &mut cuts, &mut back] {
            times.print();
        }
        for times in [first, cuts] {
            assert!(times.longest() <= TOLD, "told after {:?}", times.longest());
        }
        assert!(back.longest() <= BACK, "back after {:?}", back.longest());
    }
    let _ = stop.send(true);
    for party in openers {
        party.stop().await;
    }
    echoing.abort();
}

async fn next(news: &mut mpsc::UnboundedReceiver<News>) -> News {
    let next = timeout(PATIENCE, news.recv()).await;
    next.expect("no news").expect("somebody is there")
}

/// Keeps one tunnel open, as an application does.
struct Opener {
    number: usize,
    client: Client,
    to: Address,
    news: mpsc::UnboundedSender<News>,
}

impl Opener {
    async fn run(self, mut stopped: watch::Receiver<bool>) {
        tokio::select! {
            () = self.keep_open() => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn keep_open(&self) {
        let mut states = self.client.link_states();
        loop {
            while !matches!(states.current(), LinkState::Bound(_) | LinkState::Resumed) {
                if states.changed().await.is_none() {
                    return;
                }
            }
            let Ok(mut tunnel) = self.client.open(&self.to).await else {
                return;
            };
            let mut bytes = [0; 5];
            let used = async {
                tunnel.write_all(b"there").await?;
                tunnel.flush().await?;
                tunnel.read_exact(&mut bytes).await
            };
            if used.await.is_ok() {
                let _ = self.news.send(News::Up(self.number));
                // Nothing more comes but the end.
                let _ = tunnel.read(&mut bytes).await;
                let _ = self.news.send(News::Down(self.number, Instant::now()));
            } else {
                sleep(AGAIN).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tunnels_are_told_and_come_back_when_prosody_dies() {
    all_are_told_and_come_back(&Server::quiet()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_tunnels_are_told_and_come_back_when_ejabberd_dies() {
    all_are_told_and_come_back(&Server::ejabberd()).await;
}
