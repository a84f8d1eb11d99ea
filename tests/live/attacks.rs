//! A server in the middle: a second login to an account, with the same full address and another key. It can do what a
//! server can that chooses who receives which stanzas.

use xtls_client::Home;
use xtls_tests::live::person::Person;
use xtls_tests::live::program::Program;
use xtls_tests::live::server::Server;
use xtls_tests::live::terminal::Terminal;

/// Juliet listens on a terminal.
async fn listener(juliet: &Person, verb: &str, resource: &str, more: &[&str]) -> Terminal {
    let args = [
        verb,
        "--listen",
        "--resource",
        resource,
        "--accept",
        "romeo@localhost",
    ];
    let mut terminal = Terminal::run(&juliet.online(&args).args(more).without_json());
    terminal.shows("listening as").await;
    terminal
}

/// Someone opens a tunnel to her under Romeo's full address.
fn caller(who: &Person, juliet: &Person, verb: &str, resource: &str, more: &[&str]) -> Program {
    let to = juliet.at(resource);
    who.online(&[verb, to.as_str(), "--resource", "orchard"])
        .args(more)
        .without_json()
}

fn pinned(who: &Person, whose: &str) -> usize {
    let pins = Home::at(who.home()).pins(&who.address()).unwrap();
    pins.store().of(whose).len()
}

/// F1: a yes that was earned by an honest run has no effect on the run that a server puts in its place.
#[tokio::test(flavor = "multi_thread")]
async fn words_of_one_run_confirm_no_other_run() {
    let server = Server::free();
    let (romeo, juliet) = Person::strangers(&server);
    let middle = Person::new(&server, "romeo");
    let mut hers = listener(&juliet, "verify", "words", &[]).await;
    let mut his = Terminal::run(&caller(&romeo, &juliet, "verify", "words", &[]));
    his.shows(" word, as ").await;
    let text = hers.shows(" word, as ").await;
    let row = text
        .lines()
        .find(|row| row.starts_with("      ") && row.split_whitespace().count() == 4);
    let words: Vec<_> = row.unwrap().split_whitespace().map(str::to_owned).collect();
    // Before she types, the server takes his place.
    let mut other = Terminal::run(&caller(
        &middle,
        &juliet,
        "verify",
        "words",
        &["--trust", "tofu"],
    ));
    hers.shows("nothing was accepted").await;
    hers.shows("Press Enter to wait for another try").await;
    // Whatever she types now was meant for the previous run.
    for word in &words {
        hers.enters(word);
    }
    hers.enters("yes");
    hers.until("the question to stand", |text| {
        text.contains("yes") && text.trim_end().ends_with("or Ctrl-C to end:")
    })
    .await;
    assert_eq!(pinned(&juliet, "romeo@localhost"), 0);
    other
        .until("to be declined", |text| text.contains("xtls: error:"))
        .await;
    hers.presses("C-c");
    hers.ends_with(130).await;
    assert_eq!(pinned(&juliet, "romeo@localhost"), 0);
}

/// F3: two different keys for one address within one first contact are both refused, with a clear report.
#[tokio::test(flavor = "multi_thread")]
async fn two_keys_in_one_first_contact_are_both_refused() {
    let server = Server::free();
    let (romeo, juliet) = Person::strangers(&server);
    let middle = Person::new(&server, "romeo");
    let first = romeo.fingerprint().hex()[..8].to_owned();
    for (verb, once) in [("chat", false), ("stanzas", true)] {
        let more: &[&str] = if once {
            &["--trust", "ask", "--once"]
        } else {
            &["--trust", "ask"]
        };
        let mut hers = listener(&juliet, verb, "keys", more).await;
        let mut his = Terminal::run(&caller(&romeo, &juliet, verb, "keys", &["--trust", "tofu"]));
        hers.shows("First group of the key of romeo@localhost")
            .await;
        hers.shows(&first).await;
        // The server opens in his name, with its own key.
        let mut other = Terminal::run(&caller(
            &middle,
            &juliet,
            verb,
            "keys",
            &["--trust", "tofu"],
        ));
        let text = hers.shows("two different keys").await;
        assert!(text.contains("xtls: error:"), "{text}");
        // The answer to the question that was there, typed after it is gone, and once more.
        hers.enters(&first);
        hers.enters("y");
        his.until("his end", |text| text.contains("xtls: error:"))
            .await;
        other
            .until("the other's end", |text| text.contains("xtls: error:"))
            .await;
        assert_eq!(pinned(&juliet, "romeo@localhost"), 0);
        assert!(!hers.text().contains("secure with"), "{}", hers.text());
        if once {
            hers.ends_with(5).await;
        } else {
            hers.presses("C-c");
            hers.end().await;
        }
    }
}

/// F4: a line goes to the person it was typed for, no matter who else opens a tunnel meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_third_person_gets_no_line_of_a_conversation() {
    let server = Server::free();
    let (romeo, juliet) = Person::pair(&server);
    let mercutio = Person::new(&server, "mercutio");
    juliet.verify(&mercutio);
    mercutio.verify(&juliet);
    let mut hers = listener(
        &juliet,
        "chat",
        "third",
        &["--accept", "mercutio@localhost"],
    )
    .await;
    let mut his = Terminal::run(&caller(&romeo, &juliet, "chat", "third", &[]));
    his.shows("their key is verified").await;
    hers.shows("romeo@localhost · verified> ").await;
    hers.types("the garden door is open");
    hers.shows("> the garden door is open").await;
    let to = juliet.at("third");
    let third = mercutio.online(&["chat", to.as_str()]).start();
    hers.shows("mercutio@localhost").await;
    hers.enters(" at nine");
    his.shows("juliet@localhost: the garden door is open at nine")
        .await;
    let third = third.end().await;
    third.expect(4).silent();
    hers.presses("C-d");
    hers.ends_with(0).await;
    his.ends_with(0).await;
}

/// F9: a superseded peer has delivered nothing, and the program says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_is_superseded_ends_with_an_error_and_names_what_was_lost() {
    let server = Server::free();
    let (romeo, juliet) = Person::strangers(&server);
    // She is asked about his key and doesn't answer; his line waits.
    let mut hers = listener(&juliet, "stanzas", "superseded", &["--trust", "ask"]).await;
    let to = juliet.at("superseded");
    let mut his = romeo
        .online(&[
            "stanzas",
            to.as_str(),
            "--resource",
            "orchard",
            "--trust",
            "tofu",
            "--accept",
            "juliet@localhost",
        ])
        .start();
    his.say("<message><body>the only copy</body></message>")
        .await;
    hers.shows("First group of the key of romeo@localhost")
        .await;
    hers.presses("C-c");
    hers.ends_with(130).await;
    let ended = his.end().await;
    assert!(matches!(ended.code, Some(4..=6)), "{:#?}", ended.heard);
    assert_ne!(ended.event("closed").unwrap()["unconfirmed"], 0);
}

/// F11: a question about a key and the lines of the conversation are read by the same reader.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_reaches_the_question_where_stanzas_are_typed() {
    let server = Server::free();
    let (romeo, juliet) = Person::strangers(&server);
    let mut listener = juliet
        .listen(
            "stanzas",
            "reader",
            &["--accept", "romeo@localhost", "--trust", "tofu"],
        )
        .await;
    let mut his = Terminal::run(&caller(
        &romeo,
        &juliet,
        "stanzas",
        "reader",
        &["--trust", "ask"],
    ));
    his.shows("First group of the key of juliet@localhost")
        .await;
    his.enters(&juliet.fingerprint().hex()[..8]);
    his.shows("secure with juliet@localhost").await;
    for number in 0..4 {
        his.enters(&format!("<message id='{number}'/>"));
        let line = listener.text().await;
        assert!(line.contains(&format!("id='{number}'")), "{line}");
    }
    his.presses("C-d");
    listener.end().await.expect(0);
    his.ends_with(0).await;
}

/// F14: Ctrl-C works while standard output is blocked.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_works_while_no_one_reads_standard_output() {
    let server = Server::free();
    let (romeo, juliet) = Person::pair(&server);
    let args = [
        "stanzas",
        "--listen",
        "--once",
        "--resource",
        "blocked",
        "--accept",
        "romeo@localhost",
    ];
    // `sleep` holds the pipe and never reads it.
    let mut hers = Terminal::line(&juliet.online(&args).without_json(), "| sleep 300");
    hers.shows("listening as").await;
    let to = juliet.at("blocked");
    let mut his = romeo.online(&["stanzas", to.as_str()]).start();
    his.event("established").await;
    let stanza = format!("<message><body>{}</body></message>", "x".repeat(60_000));
    for _ in 0..4 {
        his.say(&stanza).await;
    }
    hers.shows("secure with").await;
    let process = hers.process_named("xtls");
    let kill = |signal: &str| {
        let sent = std::process::Command::new("kill")
            .args([signal, &process])
            .status();
        assert!(sent.unwrap().success(), "{process}");
    };
    kill("-INT");
    hers.shows("press Ctrl-C again").await;
    let begun = std::time::Instant::now();
    kill("-INT");
    hers.shows("xtls: error: interrupted").await;
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}
