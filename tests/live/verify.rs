//! `xtls verify` between two people: with words that they compare on terminals, and with a code from files.

use std::path::PathBuf;

use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Ended, Program, Running};
use xtls_tests::live::server::Server;
use xtls_tests::live::terminal::Terminal;
use xtls_tls::trust::{Level, Method};

/// Juliet waits to be verified, or for a conversation.
fn listening(juliet: &Person, romeo: &Person, verb: &str, more: &[&str]) -> Program {
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
    juliet.online(&args).args(more)
}

/// Romeo asks her.
fn asking(romeo: &Person, juliet: &Person, more: &[&str]) -> Program {
    let to = juliet.at("verify");
    romeo.online(&["verify", to.as_str()]).args(more)
}

/// The two on terminals.
async fn terminals(romeo: &Person, juliet: &Person, verb: &str) -> [Terminal; 2] {
    let mut hers =
        Terminal::run(&listening(juliet, romeo, verb, &["--trust", "ask"]).without_json());
    hers.shows("listening as").await;
    [
        Terminal::run(&asking(romeo, juliet, &[]).without_json()),
        hers,
    ]
}

/// The words on a terminal, and the one to type if they are the same at the other end.
pub(crate) async fn words(terminal: &mut Terminal) -> (String, String) {
    let text = terminal.shows(" word, as ").await;
    let words = text
        .lines()
        .find(|line| {
            let letters = |c: char| c.is_ascii_lowercase() || c == ' ';
            line.starts_with("      ")
                && line.split_whitespace().count() == 4
                && line.chars().all(letters)
        })
        .unwrap_or_else(|| panic!("no words in {text}"))
        .trim()
        .to_owned();
    let names = ["first", "second", "third", "fourth"];
    let nth = names
        .iter()
        .position(|nth| text.contains(&format!("The {nth} word, as ")))
        .unwrap_or_else(|| panic!("no question in {text}"));
    let word = words.split(' ').nth(nth).unwrap().to_owned();
    (words, word)
}

/// What a person's store knows of the other: the level, if there is one, and the failed attempts.
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

#[tokio::test(flavor = "multi_thread")]
async fn words_that_differ_to_one_person_verify_no_one_and_leave_a_mark_on_the_key() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let [mut his, mut hers] = terminals(&romeo, &juliet, "verify").await;
    let (_, word) = words(&mut his).await;
    words(&mut hers).await;
    his.enters(&word);
    hers.enters("no");
    for terminal in [&mut his, &mut hers] {
        let text = terminal.ends_with(5).await;
        assert!(text.contains("1 of 3 attempts"), "{text}");
        assert!(text.contains("someone may be intercepting you"), "{text}");
    }
    for (one, other) in [(&romeo, &juliet), (&juliet, &romeo)] {
        let (level, failed) = known(one, other);
        assert!(
            !matches!(level, Some(Level::Verified(_) | Level::FirstUse)),
            "{level:?}"
        );
        assert_eq!(failed, 1);
    }
    // The key is refused from now on, whatever the policy.
    let accept = romeo.address();
    let more = ["--accept", accept.as_str(), "--trust", "tofu"];
    let hers = juliet.listen("stanzas", "marked", &more).await;
    let to = juliet.at("marked");
    let his = romeo
        .online(&["stanzas", to.as_str(), "--trust", "tofu"])
        .start();
    for ended in both(his, hers).await {
        ended.expect(5).silent();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_that_are_the_same_verify_two_strangers() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let [mut his, mut hers] = terminals(&romeo, &juliet, "verify").await;
    let (one, his_word) = words(&mut his).await;
    let (other, her_word) = words(&mut hers).await;
    assert_eq!((&one, &his_word), (&other, &her_word));
    // A yes, a typing error and a word from another position say nothing.
    for wrong in ["yes", "zzz", ""] {
        let asked = his.text().matches(" word, as ").count();
        his.enters(wrong);
        his.until("the question again", |text| {
            text.matches(" word, as ").count() > asked
        })
        .await;
    }
    his.enters(&his_word);
    hers.enters(&her_word);
    for terminal in [&mut his, &mut hers] {
        let text = terminal.ends_with(0).await;
        assert!(text.contains("is verified by words"), "{text}");
    }
    let verified = (Some(Level::Verified(Method::Words)), 0);
    assert_eq!(known(&romeo, &juliet), verified);
    assert_eq!(known(&juliet, &romeo), verified);
    let shown = romeo
        .program(&["trust", "show", juliet.address().as_str()])
        .without_json()
        .run()
        .await;
    let text = shown.expect(0).text();
    assert!(text.contains("verified by words on 20"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_different_code_verifies_no_one_and_the_same_one_does() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let run = async |his: &str, hers: &str| {
        let (his, hers) = (code_file(&romeo, his), code_file(&juliet, hers));
        let more = |file: &PathBuf| ["--code-file".to_owned(), file.display().to_string()];
        let (his, hers) = (more(&his), more(&hers));
        let mut hers = listening(&juliet, &romeo, "verify", &[&hers[0], &hers[1]]).start();
        hers.event("listening").await;
        let his = asking(&romeo, &juliet, &[&his[0], &his[1]]).start();
        both(his, hers).await
    };
    for ended in run("abandon ability able", "abandon ability about").await {
        ended
            .expect(5)
            .silent()
            .saying("not verified")
            .saying("mistyped")
            .saying("1 of 3 attempts");
    }
    assert_eq!(known(&romeo, &juliet).1, 1);
    for ended in run("zebra zero zone", "Zebra-Zero Zone").await {
        assert_eq!(
            ended.expect(0).silent().event("verified").unwrap()["method"],
            "code"
        );
    }
    let verified = (Some(Level::Verified(Method::Code)), 0);
    assert_eq!(known(&romeo, &juliet), verified);
    assert_eq!(known(&juliet, &romeo), verified);
    // A code is valid once, here in other processes.
    for ended in run("zebra zero zone", "zebra zero zone").await {
        assert!(matches!(ended.code, Some(1 | 4 | 5)), "{:?}", ended.heard);
        ended.saying("a code serves once");
    }
    let log = std::fs::read_to_string(romeo.server().log_file()).unwrap();
    assert!(
        !log.contains("urn:xmpp:tmp:xtls#verify"),
        "the server has seen a step"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_of_another_verb_asks_its_person() {
    for verb in ["stanzas", "chat"] {
        let (romeo, juliet) = Person::strangers(&Server::free());
        // She is asked about his key, and wants to verify it first.
        let [mut his, mut hers] = terminals(&romeo, &juliet, verb).await;
        hers.shows("asks to compare words").await;
        hers.shows("First group of the key of romeo@localhost")
            .await;
        hers.enters("v");
        let (one, his_word) = words(&mut his).await;
        let (other, her_word) = words(&mut hers).await;
        assert_eq!(one, other);
        his.enters(&his_word);
        hers.enters(&her_word);
        his.ends_with(0).await;
        let text = hers.ends_with(0).await;
        assert!(text.contains("their key is verified now"), "{text}");
        assert_eq!(
            known(&juliet, &romeo),
            (Some(Level::Verified(Method::Words)), 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_one_answers_for_a_person() {
    let (romeo, juliet) = Person::pair(&Server::free());
    // No terminal at her end: declined before it counts, and the listener of the conversation continues.
    let mut hers = listening(&juliet, &romeo, "stanzas", &[]).start_without_a_terminal();
    hers.event("listening").await;
    let mut his = Terminal::run(&asking(&romeo, &juliet, &[]).without_json());
    let text = his.ends_with(4).await;
    assert!(text.contains("not wanted"), "{text}");
    hers.end().await.expect(0);
    let verified = (Some(Level::Verified(Method::Fingerprint)), 0);
    assert_eq!(known(&romeo, &juliet), verified);
    assert_eq!(known(&juliet, &romeo), verified);
    // No terminal, and words that no one could compare: reported before the login, and no attempt is counted.
    let ended = asking(&romeo, &juliet, &[])
        .start_without_a_terminal()
        .end()
        .await;
    ended.expect(2).silent().saying("no terminal");
    assert_eq!(known(&romeo, &juliet), verified);
    // One compares words and the other a code.
    let file = code_file(&juliet, "abandon ability able")
        .display()
        .to_string();
    let mut hers = listening(&juliet, &romeo, "verify", &["--code-file", &file]).start();
    hers.event("listening").await;
    let mut his = Terminal::run(&asking(&romeo, &juliet, &[]).without_json());
    let text = his.ends_with(4).await;
    assert!(text.contains("--code"), "{text}");
    hers.end().await.expect(4).saying("--code");
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
    let program = romeo.online(&["verify", juliet.address().as_str(), "--code"]);
    let ended = program.start_without_a_terminal().end().await;
    ended.expect(2).silent().saying("--code-file");
    // The first to come would use it up.
    let file = code_file(&romeo, "abandon ability able")
        .display()
        .to_string();
    let args = [
        "verify",
        "--listen",
        "--code-file",
        &file,
        "--accept",
        "juliet@localhost",
        "--accept",
        "mercutio@localhost",
    ];
    romeo
        .online(&args)
        .run()
        .await
        .expect(2)
        .saying("exactly one");
}
