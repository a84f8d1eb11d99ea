//! Services: who is answered and who is not, and what one call does to the others.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use xtls_client::relay::Limits;
use xtls_client::router::Why;
use xtls_client::service::{Call, Caller, Offer, Outcome, Report, Retry, Services, What};
use xtls_client::{Client, ConnectError, Incoming, LinkError, Relay};
use xtls_session::{Service, Why as Inner};
use xtls_stanza::busy::Limit;
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;
use xtls_tls::TlsError;
use xtls_tls::trust::Policy;

use crate::world::{Maker, juliet, romeo, stanza};

/// Services at Juliet's address that are running.
struct Running {
    /// As long as this is there, tunnels of other services come out there.
    incoming: Option<Incoming>,
    reports: mpsc::Receiver<Report>,
    stop: oneshot::Sender<()>,
    run: JoinHandle<Result<(), LinkError>>,
}

async fn run(relay: &Relay, services: Services) -> Running {
    run_as(juliet(), relay, services).await
}

async fn run_as(maker: Maker, relay: &Relay, services: Services) -> Running {
    let (reports, reported) = mpsc::channel(64);
    let services = services.reports(reports);
    let (_client, incoming, host) = maker.offering(relay, services).await;
    let (stop, stopped) = oneshot::channel();
    Running {
        incoming: Some(incoming),
        reports: reported,
        stop,
        run: tokio::spawn(host.run(async { drop(stopped.await) })),
    }
}

impl Running {
    async fn outcome(&mut self) -> Outcome {
        loop {
            let report = timeout(LONG, self.reports.recv()).await;
            let report = report.expect("in time").expect("a report");
            if let What::Ended(outcome) = report.what {
                return outcome;
            }
        }
    }

    async fn stop(self) {
        drop(self.stop);
        self.run.await.unwrap().unwrap();
    }
}

fn caller(client: &Client, name: &str) -> Caller {
    Caller::new(client, &keys::address(JULIET), name)
}

async fn echo(mut call: Call) -> io::Result<()> {
    let mut heard = Vec::new();
    call.read_to_end(&mut heard).await?;
    call.write_all(&heard).await?;
    call.shutdown().await
}

/// What comes back for a word.
async fn said(mut call: Call) -> io::Result<String> {
    call.write_all(b"word").await?;
    call.shutdown().await?;
    let mut answer = String::new();
    call.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn works(client: &Client) {
    let call = caller(client, "echo").call().await.unwrap();
    assert_eq!(said(call).await.unwrap(), "word");
}

fn assert_not_served(error: &ConnectError) {
    let why = error.why().expect("why the tunnel ended");
    assert!(
        matches!(
            why,
            Why::Session(Inner::Tls(TlsError::Alpn | TlsError::Alert(_)))
        ),
        "{why:?}"
    );
    assert!(!error.may_pass());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_offered_is_not_answered() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let running = run(&relay, Services::new().offer(Offer::new("echo", echo))).await;
    for other in ["Echo", "shell", "stanzas"] {
        let error = caller(&romeo.client, other).call().await.unwrap_err();
        assert_not_served(&error);
    }
    let stanzas = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    assert!(stanzas.established().await.is_err());
    works(&romeo.client).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn somebody_who_is_not_accepted_learns_nothing() {
    let relay = Relay::start(Limits::default());
    let running = run(&relay, Services::new().offer(Offer::new("echo", echo))).await;
    let mallory = Maker::new("mallory@west.example/x", JULIET, 3).policy(Policy::Tofu);
    let mallory = mallory.on(&relay).await;
    let error = caller(&mallory.client, "echo").call().await.unwrap_err();
    assert!(
        matches!(error.why(), Some(Why::Unavailable(_))),
        "{error:?}"
    );
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_for_others_is_none() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let nurse = keys::address("nurse@capulet.example").to_bare();
    let secret = || Offer::new("secret", echo).only([nurse.clone()]);
    // He may not know that there is anything.
    let running = run(&relay, Services::new().offer(secret())).await;
    let error = caller(&romeo.client, "secret").call().await.unwrap_err();
    assert!(
        matches!(error.why(), Some(Why::Unavailable(_))),
        "{error:?}"
    );
    running.stop().await;
    romeo.client.stop().await;
    romeo.task.await.unwrap().unwrap();
    // Beside one for him, it is as if it were not there, whether his open says what it is for or not.
    for early in [true, false] {
        let romeo = crate::world::romeo().early(early).on(&relay).await;
        let services = Services::new().offer(secret());
        let services = services.offer(Offer::new("echo", echo));
        let running = run(&relay, services).await;
        let error = caller(&romeo.client, "secret").call().await.unwrap_err();
        assert_not_served(&error);
        works(&romeo.client).await;
        running.stop().await;
        romeo.client.stop().await;
        romeo.task.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_beyond_the_limit_is_told_which_and_gets_through_later() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let services = Services::new().offer(Offer::new("echo", echo).at_most(3, 2));
    let mut running = run(&relay, services).await;
    let caller = caller(&romeo.client, "echo");
    let first = caller.call().await.unwrap();
    let second = caller.call().await.unwrap();
    let error = caller.call().await.unwrap_err();
    let busy = error.why().and_then(Why::busy).expect("the limit");
    assert_eq!((busy.limit, busy.most), (Limit::TunnelsPerPeer, 2));
    assert!(error.may_pass());

    let began = Instant::now();
    let third = tokio::spawn(async move { caller.reach().await });
    assert_eq!(said(first).await.unwrap(), "word");
    assert_eq!(said(third.await.unwrap().unwrap()).await.unwrap(), "word");
    assert!(began.elapsed() >= Duration::from_secs(busy.wait.into()));
    assert_eq!(said(second).await.unwrap(), "word");
    for _ in 0..3 {
        assert!(matches!(running.outcome().await, Outcome::Done));
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_place_of_one_that_is_still_being_answered() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let (go, busy) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let (gone, most) = (Arc::clone(&go), Arc::clone(&busy));
    let slow = move |call: Call| {
        let (go, busy) = (Arc::clone(&gone), Arc::clone(&most));
        async move {
            assert_eq!(busy.fetch_add(1, Ordering::Relaxed), 0, "one at a time");
            let heard = echo(call).await;
            // Whether its caller is still there or not.
            go.notified().await;
            busy.fetch_sub(1, Ordering::Relaxed);
            heard
        }
    };
    let services = Services::new().offer(Offer::new("echo", slow).at_most(1, 1));
    let mut running = run(&relay, services).await;
    let caller = caller(&romeo.client, "echo");
    drop(caller.call().await.unwrap());
    // One that leaves while it waits is not answered.
    drop(caller.reach().await.unwrap());
    assert!(matches!(running.outcome().await, Outcome::Left));
    let next = caller.reach().await.unwrap();
    let next = tokio::spawn(said(next));
    let early = timeout(LONG, running.reports.recv()).await;
    assert!(early.is_err() || !next.is_finished(), "{early:?}");
    go.notify_one();
    assert!(matches!(running.outcome().await, Outcome::Failed(_)));
    assert_eq!(next.await.unwrap().unwrap(), "word");
    go.notify_one();
    assert!(matches!(running.outcome().await, Outcome::Done));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_is_an_error_of_its_own_call_only() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let mut running = run(&relay, Services::new().offer(Offer::new("echo", echo))).await;
    let other = caller(&romeo.client, "echo").call().await.unwrap();
    let mut call = caller(&romeo.client, "echo").call().await.unwrap();
    call.write_all(b"wor").await.unwrap();
    drop(call);
    let Outcome::Failed(error) = running.outcome().await else {
        panic!("a word that was cut is none")
    };
    let error = error.downcast_ref::<io::Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(said(other).await.unwrap(), "word");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_own_call_only() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let fragile = |mut call: Call| async move {
        let word = call.read_u8().await?;
        assert_ne!(word, b'!', "a planted panic");
        call.shutdown().await
    };
    let services = Services::new().offer(Offer::new("echo", echo));
    let services = services.offer(Offer::new("fragile", fragile));
    let mut running = run(&relay, services).await;
    let other = caller(&romeo.client, "echo").call().await.unwrap();
    for _ in 0..40 {
        let mut call = caller(&romeo.client, "fragile").reach().await.unwrap();
        call.write_all(b"!").await.unwrap();
        let error = call.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "a cut, no end");
        assert!(matches!(running.outcome().await, Outcome::Panicked));
    }
    assert_eq!(said(other).await.unwrap(), "word");
    works(&romeo.client).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_service_is_seen_as_a_cut() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let failing = |call: Call| async move {
        drop(call);
        Err("no more paper")
    };
    let mut running = run(&relay, Services::new().offer(Offer::new("print", failing))).await;
    let mut call = caller(&romeo.client, "print").call().await.unwrap();
    let error = call.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    let Outcome::Failed(error) = running.outcome().await else {
        panic!("it has failed")
    };
    assert_eq!(error.to_string(), "no more paper");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_for_compared_keys_does_not_answer_others() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let offer = || Offer::new("echo", echo).verified();
    let running = run(&relay, Services::new().offer(offer())).await;
    works(&romeo.client).await;
    running.stop().await;

    let stranger = Maker::new(JULIET, ROMEO, 2).policy(Policy::Tofu);
    let mut running = run_as(stranger, &relay, Services::new().offer(offer())).await;
    let mut call = caller(&romeo.client, "echo").call().await.unwrap();
    assert_eq!(
        call.read_u8().await.unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
    assert!(matches!(running.outcome().await, Outcome::Unverified));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_is_asked_about_is_refused() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let asking = Maker::new(JULIET, ROMEO, 2).policy(Policy::Ask);
    let services = Services::new().offer(Offer::new("echo", echo));
    let mut running = run_as(asking, &relay, services).await;
    running.incoming = None;
    assert!(caller(&romeo.client, "echo").call().await.is_err());
    running.stop().await;

    let asking = Maker::new(ROMEO, JULIET, 1).policy(Policy::Ask);
    romeo.client.stop().await;
    romeo.task.await.unwrap().unwrap();
    let romeo = asking.on(&relay).await;
    let running = run(&relay, Services::new().offer(Offer::new("echo", echo))).await;
    let error = caller(&romeo.client, "echo").call().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unknown(_)), "{error:?}");
    assert!(!error.may_pass());
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn other_services_come_out_at_incoming() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let services = Services::new().offer(Offer::new("echo", echo));
    let mut running = run(&relay, services.beside(Service::stanzas())).await;
    let own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    own.send(message("m1", "word")).await.unwrap();
    works(&romeo.client).await;
    let incoming = running.incoming.as_mut().unwrap();
    let mut theirs = incoming.next().await.unwrap();
    assert_eq!(stanza(&mut theirs).await, "m1");
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_stops_lets_calls_end_and_cuts_what_does_not() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let (told, mut tell) = mpsc::channel(1);
    let until_told = move |mut call: Call| {
        let told = told.clone();
        async move {
            call.stopping().await;
            told.send(()).await.unwrap();
            call.write_all(b"bye").await?;
            call.shutdown().await
        }
    };
    let stubborn = async |_call: Call| -> io::Result<()> { std::future::pending().await };
    let services = Services::new()
        .grace(Duration::from_secs(7))
        .offer(Offer::new("polite", until_told))
        .offer(Offer::new("stubborn", stubborn));
    let mut running = run(&relay, services).await;
    let mut polite = caller(&romeo.client, "polite").call().await.unwrap();
    let mut stubborn = caller(&romeo.client, "stubborn").call().await.unwrap();
    let (stop, began) = (running.stop, Instant::now());
    drop(stop);
    tell.recv().await.unwrap();
    let error = caller(&romeo.client, "polite").call().await.unwrap_err();
    let busy = error.why().and_then(Why::busy).expect("the limit");
    assert_eq!(busy.limit, Limit::Incoming);

    let mut heard = String::new();
    polite.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "bye");
    assert_eq!(
        stubborn.read_u8().await.unwrap_err().kind(),
        ErrorKind::UnexpectedEof
    );
    let waited = began.elapsed();
    assert!(waited >= Duration::from_secs(7) && waited < Duration::from_secs(9));
    drop((polite, stubborn));
    running.run.await.unwrap().unwrap();
    let mut outcomes = Vec::new();
    while let Some(report) = running.reports.recv().await {
        if let What::Ended(outcome) = report.what {
            outcomes.push(outcome);
        }
    }
    assert!(
        matches!(outcomes[..], [Outcome::Done, Outcome::Stopped]),
        "{outcomes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_lost_is_made_again_when_the_peer_is_back() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let stubborn = async |_call: Call| -> io::Result<()> { std::future::pending().await };
    let services = Services::new().grace(Duration::ZERO);
    let first = run(&relay, services.offer(Offer::new("echo", stubborn))).await;
    let caller = caller(&romeo.client, "echo");
    let (tried, mut tries) = mpsc::channel(8);
    let keeping = tokio::spawn(async move {
        caller
            .keep(async |call| {
                tried.send(()).await.unwrap();
                said(call).await
            })
            .await
    });
    tries.recv().await.unwrap();
    first.stop().await;
    // Longer than a few attempts take.
    tokio::time::sleep(Duration::from_secs(40)).await;
    let second = run(&relay, Services::new().offer(Offer::new("echo", echo))).await;
    assert_eq!(keeping.await.unwrap().unwrap(), "word");
    assert_eq!(tries.recv().await, Some(()));
    assert_eq!(tries.recv().await, None);
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_calling_again_does_not_mend_ends_it() {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let began = Instant::now();
    let retry = Retry {
        give_up: Duration::from_secs(20),
        ..Retry::default()
    };
    let caller = |name| caller(&romeo.client, name).retry(retry);
    // Nobody is there, for too long.
    let error = caller("echo").reach().await.unwrap_err();
    assert!(error.may_pass(), "{error:?}");
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(10) && waited <= Duration::from_secs(20));

    let running = run(&relay, Services::new().offer(Offer::new("echo", echo))).await;
    let error = caller("shell").reach().await.unwrap_err();
    assert_not_served(&error);
    // The job's own error, of a call that was not lost.
    let (mut times, began) = (0, Instant::now());
    let echoes = caller("echo");
    let own = echoes.keep(|call| {
        times += 1;
        async move {
            drop(call);
            Err::<(), _>(io::Error::other("mine"))
        }
    });
    assert_eq!(own.await.unwrap_err().to_string(), "mine");
    assert_eq!((times, began.elapsed().as_secs()), (1, 0));
    running.stop().await;
}

/// Longer than any step may take.
const LONG: Duration = Duration::from_secs(60);
