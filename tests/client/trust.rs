//! Pins as the client writes and keeps them.

use std::fs;
use std::path::PathBuf;

use xtls_client::relay::Limits;
use xtls_client::router::{TunnelEvent, Why};
use xtls_client::{Home, JudgeError, Pins, PinsError, Relay, Tunnel};
use xtls_session::{Verdict, Why as Ended};
use xtls_tests::keys::{self, JULIET, ROMEO};
use xtls_tests::pair::message;
use xtls_tls::trust::{Level, Policy, TrustError};
use xtls_tls::{Fingerprint, Standing, TlsError};

use crate::world::*;

/// A folder with Juliet's pins, and how to open them.
pub(crate) struct Store {
    _folder: tempfile::TempDir,
    home: Home,
}

impl Store {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("xtls"));
        Self {
            _folder: folder,
            home,
        }
    }

    pub(crate) fn open(&self) -> Pins {
        self.home.pins(&keys::address(JULIET)).unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.home.account(&keys::address(JULIET)).join("pins")
    }

    /// The numbers of the keys that are pinned for Romeo.
    pub(crate) fn keys(&self) -> Vec<u8> {
        let store = self.open().store();
        let pins = store.of(keys::address(ROMEO).bare());
        let number = |key| (0..20).find(|n| keys::fingerprint(ROMEO, *n) == key);
        pins.iter()
            .map(|pin| number(pin.fingerprint).unwrap())
            .collect()
    }
}

/// Romeo, with this key, opens a tunnel to Juliet, who uses the store under this policy.
async fn meet(store: &Store, key: u8, policy: Policy) -> (Relay, Party, Party, Tunnel, Tunnel) {
    let relay = Relay::start(Limits::default());
    let romeo = romeo().key(key).on(&relay).await;
    let mut juliet = juliet().pins(store.open()).policy(policy).on(&relay).await;
    let own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let theirs = juliet.incoming.next().await.unwrap();
    (relay, romeo, juliet, own, theirs)
}

/// Romeo's key by default.
pub(crate) fn romeos() -> Fingerprint {
    keys::fingerprint(ROMEO, 1)
}

pub(crate) async fn introduction(tunnel: &mut Tunnel) -> xtls_session::Introduction {
    match next(tunnel).await {
        TunnelEvent::Judge(introduction) => introduction,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_pinned_on_first_use_and_no_other_is_accepted_afterwards() {
    let store = Store::new();
    let (_relay, _romeo, _juliet, _own, mut theirs) = meet(&store, 1, Policy::Tofu).await;
    assert_eq!(
        until_established(&mut theirs).await.key.standing,
        Standing::New
    );
    assert_eq!(store.keys(), [1]);
    // The same key again, in another program.
    let (_relay, _romeo, _juliet, _own, mut theirs) = meet(&store, 1, Policy::Tofu).await;
    let peer = until_established(&mut theirs).await;
    assert_eq!(peer.key.standing, Standing::Pinned(Level::FirstUse));
    // Another one, under every policy.
    for policy in [Policy::Tofu, Policy::Ask, Policy::Pinned] {
        let (_relay, _romeo, _juliet, mut own, mut theirs) = meet(&store, 7, policy).await;
        let (told, closed) = rest(&mut theirs).await;
        assert_eq!(told, []);
        let why = Why::Session(Ended::Tls(TlsError::Trust(TrustError::KeyChanged {
            peer: keys::address(ROMEO).bare().to_owned(),
            known: store
                .open()
                .store()
                .of(keys::address(ROMEO).bare())
                .to_vec(),
            presented: keys::fingerprint(ROMEO, 7),
        })));
        assert_eq!(closed.why, why);
        let (_, closed) = rest(&mut own).await;
        assert!(
            matches!(closed.why, Why::Session(Ended::Tls(TlsError::Alert(_)))),
            "{closed:?}"
        );
        assert_eq!(store.keys(), [1]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_cannot_be_written_refuses_its_key() {
    for policy in [Policy::Tofu, Policy::Ask] {
        let store = Store::new();
        store.open();
        // In place of the file that would be written.
        fs::create_dir(store.path().with_file_name("pins.new")).unwrap();
        let (_relay, _romeo, _juliet, _own, mut theirs) = meet(&store, 1, policy).await;
        if policy == Policy::Ask {
            introduction(&mut theirs).await;
            let judged = theirs.judge(romeos(), Verdict::Accept).await;
            assert!(
                matches!(judged, Err(JudgeError::Pins(PinsError::File { .. }))),
                "{judged:?}"
            );
        } else {
            let what = next(&mut theirs).await;
            assert!(
                matches!(&what, TunnelEvent::NotPinned(why) if why.contains("pins")),
                "{what:?}"
            );
        }
        let (told, closed) = rest(&mut theirs).await;
        assert_eq!(told, []);
        assert_eq!(closed.why, Why::Session(Ended::Refused));
        assert_eq!(store.keys(), [0; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_damaged_meanwhile_refuses_new_keys() {
    let store = Store::new();
    store
        .open()
        .pin_first_use("nurse@capulet.example", keys::fingerprint(ROMEO, 9))
        .unwrap();
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let mut juliet = juliet()
        .pins(store.open())
        .policy(Policy::Tofu)
        .on(&relay)
        .await;
    fs::write(store.path(), "xtls-trust 2\n").unwrap();
    let _own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let mut theirs = juliet.incoming.next().await.unwrap();
    assert!(matches!(next(&mut theirs).await, TunnelEvent::NotPinned(_)));
    assert_eq!(rest(&mut theirs).await.1.why, Why::Session(Ended::Refused));
    assert_eq!(fs::read_to_string(store.path()).unwrap(), "xtls-trust 2\n");
}

#[tokio::test(start_paused = true)]
async fn the_owner_is_asked_and_nothing_passes_before() {
    let store = Store::new();
    let (_relay, _romeo, _juliet, mut own, mut theirs) = meet(&store, 1, Policy::Ask).await;
    assert_eq!(next(&mut own).await, TunnelEvent::Ready);
    own.send(message("m1", "word")).await.unwrap();
    let asked = introduction(&mut theirs).await;
    assert_eq!(asked.peer, keys::address(ROMEO));
    assert_eq!(asked.fingerprint, keys::fingerprint(ROMEO, 1));
    let nothing = tokio::time::timeout(std::time::Duration::from_secs(60), theirs.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    assert_eq!(store.keys(), [0; 0]);
    theirs.judge(romeos(), Verdict::Accept).await.unwrap();
    assert_eq!(store.keys(), [1], "before anything else");
    until_established(&mut theirs).await;
    assert_eq!(stanza(&mut theirs).await, "m1");
    until_established(&mut own).await;
    // Once more has no effect.
    let again = theirs.judge(romeos(), Verdict::Refuse).await;
    assert!(matches!(again, Err(JudgeError::Stale(_))), "{again:?}");
    theirs.send(message("m2", "word")).await.unwrap();
    assert_eq!(stanza(&mut own).await, "m2");
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_not_pinned() {
    let store = Store::new();
    let (_relay, _romeo, _juliet, mut own, mut theirs) = meet(&store, 1, Policy::Ask).await;
    own.send(message("m1", "word")).await.unwrap();
    introduction(&mut theirs).await;
    theirs.judge(romeos(), Verdict::Refuse).await.unwrap();
    let (told, closed) = rest(&mut theirs).await;
    assert_eq!(told, []);
    assert_eq!(closed.why, Why::Session(Ended::Refused));
    let (told, closed) = rest(&mut own).await;
    assert_eq!(told, [TunnelEvent::Ready]);
    assert_eq!(closed.unconfirmed, 1, "{closed:?}");
    assert_eq!(store.keys(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_after_the_end_pins_nothing() {
    let store = Store::new();
    let (_relay, _romeo, _juliet, own, mut theirs) = meet(&store, 1, Policy::Ask).await;
    introduction(&mut theirs).await;
    own.abort().await;
    rest(&mut theirs).await;
    let judged = theirs.judge(romeos(), Verdict::Accept).await;
    assert!(matches!(judged, Err(JudgeError::Stale(_))), "{judged:?}");
    assert_eq!(store.keys(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_about_another_key_pins_nothing_and_the_question_stands() {
    let store = Store::new();
    let (_relay, _romeo, _juliet, _own, mut theirs) = meet(&store, 1, Policy::Ask).await;
    introduction(&mut theirs).await;
    let other = theirs
        .judge(keys::fingerprint(ROMEO, 7), Verdict::Accept)
        .await;
    assert!(matches!(other, Err(JudgeError::Stale(_))), "{other:?}");
    assert_eq!(store.keys(), [0; 0]);
    theirs.judge(romeos(), Verdict::Accept).await.unwrap();
    until_established(&mut theirs).await;
    assert_eq!(store.keys(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_no_one_answers_ends_in_time() {
    let store = Store::new();
    let (_relay, _romeo, _juliet, _own, mut theirs) = meet(&store, 1, Policy::Ask).await;
    introduction(&mut theirs).await;
    tokio::time::sleep(LONG).await;
    let (_, closed) = rest(&mut theirs).await;
    assert_eq!(closed.why, Why::Session(Ended::JudgingTimeout));
    assert_eq!(store.keys(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_initiator_is_asked_too_and_says_nothing_before() {
    let relay = Relay::start(Limits::default());
    let romeo = Maker::new(ROMEO, JULIET, 1)
        .policy(Policy::Ask)
        .on(&relay)
        .await;
    let mut juliet = juliet().on(&relay).await;
    let mut own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let sender = own.sender();
    let sending = tokio::spawn(async move { sender.send(message("m1", "word")).await });
    let mut theirs = juliet.incoming.next().await.unwrap();
    assert_eq!(
        introduction(&mut own).await.fingerprint,
        keys::fingerprint(JULIET, 2)
    );
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    assert!(!sending.is_finished());
    own.judge(keys::fingerprint(JULIET, 2), Verdict::Accept)
        .await
        .unwrap();
    sending.await.unwrap().unwrap();
    assert_eq!(stanza(&mut theirs).await, "m1");
}

#[tokio::test(start_paused = true)]
async fn what_another_program_pins_counts_from_the_next_open_on() {
    let store = Store::new();
    let relay = Relay::start(Limits::default());
    let romeo = romeo().on(&relay).await;
    let mut juliet = juliet()
        .pins(store.open())
        .policy(Policy::Pinned)
        .on(&relay)
        .await;
    let mut own = romeo.client.open(&keys::address(JULIET)).await.unwrap();
    let mut theirs = juliet.incoming.next().await.unwrap();
    let (_, closed) = rest(&mut theirs).await;
    assert!(
        matches!(
            closed.why,
            Why::Session(Ended::Tls(TlsError::Trust(TrustError::NotPinned { .. })))
        ),
        "{closed:?}"
    );
    rest(&mut own).await;
    store
        .open()
        .pin_first_use(keys::address(ROMEO).bare(), keys::fingerprint(ROMEO, 1))
        .unwrap();
    established(&romeo, &mut juliet).await;
    store
        .open()
        .change(|store, _| Ok(store.forget(ROMEO_BARE)))
        .unwrap();
    assert_eq!(store.keys(), [0; 0]);
}

pub(crate) const ROMEO_BARE: &str = "romeo@montague.example";
