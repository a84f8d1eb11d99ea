//! Invalid command lines and invalid input: exit code 2, and a message that says what is wrong.

use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Program, end_both};
use xtls_tests::live::server::Server;

#[tokio::test]
async fn wrong_command_lines_are_refused() {
    let wrong: [(&[&str], &str); 14] = [
        (&[], "Usage"),
        (&["sing"], "unrecognized subcommand"),
        (&["stanzas"], "required"),
        (
            &["stanzas", "juliet@localhost", "--listen"],
            "cannot be used with",
        ),
        (&["stanzas", "juliet@@localhost"], "juliet@@localhost"),
        (
            &["stanzas", "juliet@localhost", "--once"],
            "cannot be used with",
        ),
        (
            &["stanzas", "juliet@localhost", "--account", "localhost"],
            "name@domain",
        ),
        (
            &["stanzas", "juliet@localhost", "--password", "x"],
            "unexpected argument",
        ),
        (
            &["stanzas", "juliet@localhost", "--server", "localhost"],
            "HOST:PORT",
        ),
        (
            &["stanzas", "juliet@localhost", "--trust", "everybody"],
            "everybody",
        ),
        (
            &["stanzas", "juliet@localhost", "--block-size", "0"],
            "--block-size",
        ),
        (&["stanzas", "juliet@localhost", "--pad=1"], "--pad"),
        (&["stanzas", "juliet@localhost", "--pad", "64"], "64"),
        (
            &["chat", "--listen", "--accept", "any", "--record-plaintext"],
            "--record",
        ),
    ];
    for (args, word) in wrong {
        let ended = Program::new(args).run().await;
        ended.expect(2).silent();
        let said = ended.heard.join("\n");
        assert!(said.contains(word), "{args:?} said {said}");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let romeo = Person::new(&Server::free(), "romeo");
    let stanzas = ["stanzas", "juliet@localhost"];
    romeo
        .online(&stanzas)
        .without("--account")
        .run()
        .await
        .expect(2)
        .silent()
        .saying("--account");
    romeo
        .online(&stanzas)
        .without("--password-file")
        .run()
        .await
        .expect(2)
        .silent()
        .saying("--password-file");
    let program = romeo
        .online(&stanzas)
        .without("--password-file")
        .args(["--password-file", "/nowhere"]);
    program.run().await.expect(2).silent().saying("/nowhere");
    romeo
        .online(&["stanzas", "--listen", "--accept", "any", "--resource", ""])
        .run()
        .await
        .expect(2)
        .silent();
}

#[tokio::test]
async fn help_and_version_are_data() {
    for (args, part) in [
        (&["--help"][..], "Verbs:"),
        (&["chat", "--help"], "identity mismatch"),
    ] {
        let help = Program::new(args).run().await;
        assert!(help.expect(0).text().contains(part), "{args:?}");
        assert!(help.heard.is_empty());
    }
    let version = Program::new(&["--version"]).run().await;
    assert!(version.expect(0).text().starts_with("xtls "));
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_is_no_stanza_ends_it_and_what_came_before_is_sent() {
    let (romeo, juliet) = Person::pair(&Server::free());
    for (wrong, word) in [
        ("<message", "standard input"),
        ("hello", "standard input"),
        ("<iq xmlns='jabber:server'/>", "standard input"),
        ("<message><body>&nbsp;</body></message>", "standard input"),
        ("<?xml version='1.0'?><message/>", "standard input"),
    ] {
        let listener = juliet
            .listen("stanzas", "wrong", &["--accept", romeo.address().as_str()])
            .await;
        let to = juliet.at("wrong");
        let mut initiator = romeo.online(&["stanzas", to.as_str()]).start();
        initiator
            .say(format!("<message id='before'/>{wrong}"))
            .await;
        let [initiator, ended] = end_both(initiator, listener).await;
        initiator.expect(2).silent().saying(word);
        ended.expect(0);
        assert_eq!(ended.output.len(), 1, "{wrong}: {}", ended.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stanza_for_someone_else_is_not_sent() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let listener = juliet
        .listen("stanzas", "else", &["--accept", romeo.address().as_str()])
        .await;
    let to = juliet.at("else");
    let mut initiator = romeo.online(&["stanzas", to.as_str()]).start();
    initiator
        .say("<message id='1'/><message id='2' to='mercutio@localhost'/><message id='3'/>")
        .await;
    let [initiator, ended] = end_both(initiator, listener).await;
    initiator
        .expect(2)
        .silent()
        .saying("mercutio@localhost")
        .saying("was not sent");
    ended.expect(0);
    let text = ended.text();
    assert!(
        text.contains("id='1'") && text.contains("id='3'") && !text.contains("id='2'"),
        "{text}"
    );
}
