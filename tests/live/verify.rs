//! `xtls verify` between two processes: by words that people compare on terminals, and by a code from files.

use std::path::PathBuf;

use serde_json::Value;
use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Ended, Program, Running};
use xtls_tests::live::server::Server;
use xtls_tls::trust::{Level, Method};

/// Juliet waits to be verified, or for a conversation.
async fn listen(
    juliet: &Person,
    romeo: &Person,
    verb: &str,
    more: &[&str],
    terminal: bool,
) -> Running {
    let accept = romeo.address();
    let args = [
        verb,
        "--listen",
        "--once",
        "--accept",
        accept.as_str(),
        "--resource",
        "verify",
    ];
    let program = juliet.online(&args).args(more);
    let mut running = start(program, terminal);
    running.event("listening").await;
    running
}

/// Romeo asks her.
fn ask(romeo: &Person, juliet: &Person, more: &[&str], terminal: bool) -> Running {
    let to = juliet.at("verify");
    start(romeo.online(&["verify", to.as_str()]).args(more), terminal)
}

fn start(program: Program, terminal: bool) -> Running {
    if terminal {
        program.on_a_terminal().start()
    } else {
        program.start()
    }
}

/// How a person's store knows the other: the level, if there is one, and the failed attempts.
fn known(person: &Person, other: &Person) -> (Option<Level>, usize) {
    let pins = xtls_client::Home::at(person.home())
        .pins(&person.address())
        .unwrap();
    let (store, bare) = (pins.store(), other.address());
    let of = store.of(bare.as_str());
    let level = of.first().map(|pin| {
        assert_eq!(
            pin.fingerprint,
            other.fingerprint(),
            "the key of the handshake"
        );
        pin.level
    });
    (level, store.failed(bare.as_str()))
}

async fn both(romeo: Running, juliet: Running) -> [Ended; 2] {
    let (romeo, juliet) = tokio::join!(romeo.end(), juliet.end());
    [romeo, juliet]
}

fn code_file(person: &Person, code: &str) -> PathBuf {
    person.secret("code", &format!("{code}\n"))
}

/// One run by words. Gives the words that each has seen.
async fn words(romeo: &mut Running, juliet: &mut Running, answers: [&str; 2]) -> [Value; 2] {
    let seen = [
        romeo.event("compare").await["words"].clone(),
        juliet.event("compare").await["words"].clone(),
    ];
    romeo.say(format!("{}\n", answers[0])).await;
    juliet.say(format!("{}\n", answers[1])).await;
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_differ_to_one_person_verify_nobody_and_count() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    for failed in 1..=3 {
        let mut hers = listen(&juliet, &romeo, "verify", &[], true).await;
        let mut his = ask(&romeo, &juliet, &[], true);
        words(&mut his, &mut hers, ["yes", "no"]).await;
        for ended in both(his, hers).await {
            ended.expect(5).saying("not the same").saying("xtls id");
            ended.saying(&format!("{failed} of 3 attempts"));
        }
        assert_eq!(known(&romeo, &juliet), (None, failed));
        assert_eq!(known(&juliet, &romeo), (None, failed));
    }
    // Other processes, the same count.
    let hers = listen(&juliet, &romeo, "verify", &[], true).await;
    let his = ask(&romeo, &juliet, &[], true);
    for ended in both(his, hers).await {
        let failure = ended.failure().to_string();
        assert!(matches!(ended.code, Some(1 | 4)), "{failure}");
        assert!(failure.contains("attempts"), "{failure}");
        assert!(ended.event("compare").is_none());
    }
    assert_eq!(known(&romeo, &juliet), (None, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_are_the_same_verify_two_strangers() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let mut hers = listen(&juliet, &romeo, "verify", &[], true).await;
    let mut his = ask(&romeo, &juliet, &[], true);
    let [one, other] = words(&mut his, &mut hers, ["yes", "yes"]).await;
    assert_eq!(one, other);
    assert_eq!(one.as_str().unwrap().split(' ').count(), 4);
    for ended in both(his, hers).await {
        assert_eq!(
            ended.expect(0).event("verified").unwrap()["method"],
            "words"
        );
    }
    let verified = (Some(Level::Verified(Method::Words)), 0);
    assert_eq!(known(&romeo, &juliet), verified);
    assert_eq!(known(&juliet, &romeo), verified);
    let shown = romeo
        .program(&["trust", "show", juliet.address().as_str()])
        .run()
        .await;
    let [pin] = shown.expect(0).objects().try_into().expect("one pin");
    assert_eq!(pin["level"], "verified by words");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_code_verifies_nobody_and_the_same_one_does() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let run = async |his: &str, hers: &str| {
        let (his, hers) = (code_file(&romeo, his), code_file(&juliet, hers));
        let more = |file: &PathBuf| ["--code-file".to_owned(), file.display().to_string()];
        let (his, hers) = (more(&his), more(&hers));
        let hers = listen(&juliet, &romeo, "verify", &[&hers[0], &hers[1]], false).await;
        let his = ask(&romeo, &juliet, &[&his[0], &his[1]], false);
        both(his, hers).await
    };
    for ended in run("abandon ability able", "abandon ability about").await {
        ended
            .expect(5)
            .silent()
            .saying("not verified")
            .saying("1 of 3 attempts");
    }
    assert_eq!(known(&romeo, &juliet), (None, 1));
    for ended in run("zebra zero zone", "Zebra-Zero Zone").await {
        assert_eq!(
            ended.expect(0).silent().event("verified").unwrap()["method"],
            "code"
        );
    }
    let verified = (Some(Level::Verified(Method::Code)), 0);
    assert_eq!(known(&romeo, &juliet), verified);
    assert_eq!(known(&juliet, &romeo), verified);
    // A code serves once, here in other processes.
    for ended in run("zebra zero zone", "zebra zero zone").await {
        assert!(matches!(ended.code, Some(1 | 4)), "{:?}", ended.heard);
    }
    let log = std::fs::read_to_string(romeo.server().log_file()).unwrap();
    assert!(
        !log.contains("urn:xmpp:tmp:xtls#verify"),
        "the server has seen a step"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_another_verb_asks_its_person() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    // She is asked about his key, and wants to verify it first.
    let mut hers = listen(&juliet, &romeo, "stanzas", &["--trust", "ask"], true).await;
    let mut his = ask(&romeo, &juliet, &[], true);
    hers.event("verification_asked").await;
    hers.say("v\n").await;
    let [one, other] = words(&mut his, &mut hers, ["yes", "yes"]).await;
    assert_eq!(one, other);
    let [romeo_ended, juliet_ended] = both(his, hers).await;
    romeo_ended.expect(0);
    juliet_ended.expect(0);
    assert_eq!(
        juliet_ended.event("established").unwrap()["standing"],
        "verified"
    );
    assert_eq!(
        known(&juliet, &romeo),
        (Some(Level::Verified(Method::Words)), 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_for_a_person() {
    let (romeo, juliet) = Person::pair(&Server::free());
    // No terminal at her end: declined, and the conversation's listener goes on.
    let hers = listen(&juliet, &romeo, "stanzas", &[], false).await;
    let romeo_ended = ask(&romeo, &juliet, &[], true).end().await;
    let juliet_ended = hers.end().await;
    romeo_ended.expect(4).saying("not wanted");
    juliet_ended.expect(0);
    assert_eq!(
        known(&romeo, &juliet),
        (Some(Level::Verified(Method::Fingerprint)), 0)
    );
    // No terminal at either end, and words that nobody compares.
    let hers = listen(&juliet, &romeo, "verify", &[], false).await;
    let his = ask(&romeo, &juliet, &[], false);
    for ended in both(his, hers).await {
        assert!(matches!(ended.code, Some(1 | 4)), "{:?}", ended.heard);
        assert!(ended.event("verified").is_none());
    }
    // One compares words and the other a code.
    let file = code_file(&juliet, "abandon ability able")
        .display()
        .to_string();
    let hers = listen(&juliet, &romeo, "verify", &["--code-file", &file], false).await;
    let his = ask(&romeo, &juliet, &[], true);
    for ended in both(his, hers).await {
        ended.expect(2).saying("--code");
    }
}

#[tokio::test]
async fn a_code_that_is_none_is_a_usage_error() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    for (code, word) in [("12345", "6 to 128"), ("", "is empty")] {
        let file = code_file(&romeo, code).display().to_string();
        let args = ["verify", juliet.address().as_str(), "--code-file", &file].map(str::to_owned);
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        romeo
            .online(&args)
            .run()
            .await
            .expect(2)
            .silent()
            .saying(word);
    }
    let args = ["verify", juliet.address().as_str(), "--code"].map(str::to_owned);
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    romeo
        .online(&args)
        .run()
        .await
        .expect(2)
        .silent()
        .saying("--code-file");
}
