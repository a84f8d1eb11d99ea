//! The examples of the crates, as far as they need no network: each does what its first lines say.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    dead_code,
    reason = "programs, whose `main` nobody calls here, and tests"
)]

#[path = "../crates/client/examples/ask.rs"]
mod ask;
#[path = "../crates/stanza/examples/echo.rs"]
mod echo;
#[path = "../crates/tls/examples/pinned.rs"]
mod pinned;
#[path = "../crates/client/examples/service.rs"]
mod service;
#[path = "../crates/session/examples/talk.rs"]
mod talk;

use std::sync::Arc;

use tokio::io::duplex;
use xtls_client::Home;
use xtls_client::relay::{Limits, Relay};
use xtls_session::{Receipt, Why, io::Connection};
use xtls_tests::keys::{self, JULIET, ROMEO, address};
use xtls_tls::Role;

#[test]
fn echo_answers_messages_that_say_something() {
    let input = "<message from='a@example.org' to='b@example.net' id='1'><body>one &amp; two</body></message>\n\
                 <presence from='a@example.org'/>\n\
                 <message from='a@example.org' id='2'><active xmlns='http://jabber.org/protocol/chatstates'/></message>\n";
    let mut output = Vec::new();
    echo::echo(input.as_bytes(), &mut output).unwrap();
    let answer = "<message xmlns='jabber:client' from='b@example.net' to='a@example.org' id='1' type='chat'>\
                  <body>one &amp; two</body></message>\n";
    assert_eq!(String::from_utf8(output).unwrap(), answer);
}

#[tokio::test]
async fn pinned_exports_one_secret_at_both_ends_and_refuses_another_key() {
    let alice = Arc::new(keys::identity("alice@example.org", 1));
    let bob = Arc::new(keys::identity("bob@example.net", 2));
    let mallory = Arc::new(keys::identity("bob@example.net", 3));
    let end = |role, own, peer| pinned::end(role, own, peer).unwrap();
    let client = end(Role::Client, &alice, &bob);
    let server = end(Role::Server, &bob, &alice);
    let (near, far) = pinned::talk(client, server).await.unwrap();
    assert!(near == far && near != [0; 32]);
    let client = end(Role::Client, &alice, &bob);
    let server = end(Role::Server, &mallory, &alice);
    let error = pinned::talk(client, server).await.unwrap_err();
    assert!(error.to_string().contains("bob@example.net"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn talk_brings_every_line_and_ends_when_both_have_said_everything() {
    let (near, far) = duplex(1000);
    let said: String = (0..500).map(|line| format!("line {line}\n")).collect();
    let (mut at_romeo, mut at_juliet) = (Vec::new(), Vec::new());
    let romeo = talk::session([1; 32], ROMEO, JULIET, Role::Client).unwrap();
    let juliet = talk::session([2; 32], JULIET, ROMEO, Role::Server).unwrap();
    let romeo = talk::talk(Connection::new(romeo, near), said.as_bytes(), &mut at_romeo);
    let answer = b"good night\n".as_slice();
    let juliet = talk::talk(Connection::new(juliet, far), answer, &mut at_juliet);
    let (romeo, juliet) = tokio::join!(romeo, juliet);
    for close in [juliet.unwrap(), romeo.unwrap()] {
        assert!(close.clean, "{close:?}");
        assert_eq!((close.why, close.receipt), (Why::Finished, Receipt::Taken));
    }
    assert_eq!(at_juliet, said.as_bytes());
    assert_eq!(at_romeo, answer);
}

#[tokio::test]
async fn ask_gets_from_service_who_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let home = |name| Home::at(folder.path().join(name));
    let relay = Relay::start(Limits::default());
    let server = relay
        .attach(address("juliet@capulet.example/http"))
        .await
        .unwrap();
    let client = relay.attach(address(ROMEO)).await.unwrap();
    let server_keys = home("juliet");
    let serving = service::serve(server, &server_keys, "romeo@montague.example");
    let client_keys = home("romeo");
    let asking = ask::ask(client, &client_keys, "juliet@capulet.example/http", "/");
    tokio::select! {
        ended = serving => panic!("{ended:?}"),
        answer = asking => assert_eq!(answer.unwrap(), ROMEO),
    }
}
