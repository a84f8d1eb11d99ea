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
#[path = "../crates/link/examples/component.rs"]
mod component;
#[path = "../crates/stanza/examples/echo.rs"]
mod echo;
#[path = "../crates/client/examples/echo_service.rs"]
mod echo_service;
#[path = "../crates/client/examples/files_service.rs"]
mod files_service;
#[path = "../crates/client/examples/forward_service.rs"]
mod forward_service;
#[path = "../crates/tls/examples/pinned.rs"]
mod pinned;
#[path = "../crates/client/examples/pipe_service.rs"]
mod pipe_service;
#[path = "../crates/client/examples/service.rs"]
mod service;
#[path = "../crates/link/examples/socks.rs"]
mod socks;
#[path = "../crates/session/examples/talk.rs"]
mod talk;

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use xtls_client::Home;
use xtls_client::relay::{Limits, Relay, RelayLink};
use xtls_link::Dial as _;
use xtls_link::stanza::Envelope;
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

#[test]
fn component_answers_from_the_address_that_was_asked() {
    let answer = |text: &str| {
        let heard = Envelope::read(&bytes::Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let mut out = Vec::new();
        component::answer(&heard)?.write(&mut out);
        Some(String::from_utf8(out).unwrap())
    };
    let addresses = "from='a@example.org/x' to='b@echo.example.org' id='1'";
    let turned = "from='b@echo.example.org' to='a@example.org/x' id='1'";
    for silent in ["type='error'", "type='chat'"] {
        assert_eq!(answer(&format!("<message {addresses} {silent}/>")), None);
    }
    let said = answer(&format!(
        "<message {addresses} type='chat'><body>hi</body></message>"
    ));
    let expected =
        format!("<message xmlns='jabber:client' {turned} type='chat'><body>hi</body></message>");
    assert_eq!(said, Some(expected));
    let ping = format!("<iq {addresses} type='get'><ping xmlns='urn:xmpp:ping'/></iq>");
    let refused = answer(&ping).unwrap();
    assert!(
        refused.starts_with(&format!("<iq xmlns='jabber:client' {turned} type='error'>")),
        "{refused}"
    );
}

/// A proxy that takes part in one connection as far as this answer, and sends back what comes after it.
async fn proxy(answer: &'static [u8]) -> (String, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut greeting = [0; 3];
        client.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, [5, 1, 0]);
        let (way, rest) = answer.split_at(2);
        client.write_all(way).await.unwrap();
        let mut asked = vec![0; 5 + "xmpp.example.org".len() + 2];
        if client.read_exact(&mut asked).await.is_err() {
            return Vec::new();
        }
        client.write_all(rest).await.unwrap();
        let (mut reader, mut writer) = client.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
        asked
    });
    (address, asked)
}

#[tokio::test]
async fn socks_gives_the_proxy_the_name_and_passes_octets_both_ways() {
    for answer in [
        &[5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 0, 80][..],
        &[5, 0, 5, 0, 0, 3, 1, b'a', 0, 80],
        &[
            5, 0, 5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80,
        ],
    ] {
        let (address, asked) = proxy(answer).await;
        let mut stream = socks::Socks(address)
            .dial("xmpp.example.org", 5222)
            .await
            .unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello");
        drop(stream);
        let request = [
            b"\x05\x01\0\x03\x10xmpp.example.org",
            &5222_u16.to_be_bytes()[..],
        ];
        assert_eq!(asked.await.unwrap(), request.concat());
    }
}

#[tokio::test]
async fn socks_says_what_the_proxy_refuses() {
    for (answer, expected) in [
        (&[5, 0xff][..], "the proxy wants a password"),
        (&[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0], "the proxy answers 5"),
    ] {
        let (address, _) = proxy(answer).await;
        let refused = socks::Socks(address).dial("xmpp.example.org", 5222).await;
        assert_eq!(refused.err().unwrap().to_string(), expected);
    }
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

/// Juliet's link, where she offers something, Romeo's link, and a folder for their keys and all else.
async fn ends() -> (RelayLink, RelayLink, tempfile::TempDir) {
    let relay = Relay::start(Limits::default());
    let juliet = relay.attach(address(JULIET)).await.unwrap();
    let romeo = relay.attach(address(ROMEO)).await.unwrap();
    (juliet, romeo, tempfile::tempdir().unwrap())
}

/// Runs a service until a task of its caller is done, and ends it in order.
async fn beside<S, E: std::fmt::Debug>(
    service: impl FnOnce(Home, oneshot::Receiver<()>) -> S,
    folder: &Path,
    calls: impl Future,
) where
    S: Future<Output = Result<(), E>>,
{
    let (stop, stopped) = oneshot::channel();
    let serving = service(Home::at(folder.join("juliet")), stopped);
    let calls = async {
        calls.await;
        drop(stop);
    };
    let (served, ()) = tokio::join!(serving, calls);
    served.unwrap();
}

#[tokio::test]
async fn echo_service_says_back_what_it_hears() {
    let (juliet, romeo, folder) = ends().await;
    let friend = address(ROMEO);
    let service = async |keys, stopped: oneshot::Receiver<()>| {
        echo_service::offer(juliet, &keys, &friend, async { drop(stopped.await) }).await
    };
    let calls = async {
        let keys = Home::at(folder.path().join("romeo"));
        let answer = echo_service::call(romeo, &keys, &address(JULIET), "by and by").await;
        assert_eq!(answer.unwrap(), "by and by");
    };
    beside(service, folder.path(), calls).await;
}

#[tokio::test]
async fn files_service_stores_what_its_friend_sends() {
    let (juliet, romeo, folder) = ends().await;
    let (friend, inbox) = (address(ROMEO), folder.path().join("inbox"));
    let letter = folder.path().join("letter.txt");
    std::fs::write(&letter, "come, night").unwrap();
    std::fs::create_dir(&inbox).unwrap();
    let there = inbox.clone();
    let service = async |keys, stopped: oneshot::Receiver<()>| {
        let stop = async { drop(stopped.await) };
        files_service::take(juliet, &keys, &friend, there, stop).await
    };
    let calls = async {
        let keys = Home::at(folder.path().join("romeo"));
        let paths = [letter.to_str().unwrap().to_owned()];
        let sent = files_service::send(romeo, &keys, &address(JULIET), &paths).await;
        assert_eq!(sent.unwrap().done, 1);
    };
    beside(service, folder.path(), calls).await;
    let stored = std::fs::read_to_string(inbox.join("letter.txt"));
    assert_eq!(stored.unwrap(), "come, night");
}

#[tokio::test]
async fn forward_service_reaches_the_place_that_is_allowed() {
    let (juliet, romeo, folder) = ends().await;
    let friend = address(ROMEO);
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = target.local_addr().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = free.local_addr().unwrap();
    drop(free);
    let service = async |keys, stopped: oneshot::Receiver<()>| {
        let stop = async { drop(stopped.await) };
        let allowed = place.to_string().parse().unwrap();
        forward_service::offer(juliet, &keys, &friend, allowed, stop).await
    };
    let calls = async {
        let keys = Home::at(folder.path().join("romeo"));
        let peer = address(JULIET);
        let rule = format!("{}:{place}", here.port()).parse().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let reaching = forward_service::reach(
            romeo,
            &keys,
            &peer,
            xtls_forward::Rule::Local(rule),
            stopped,
        );
        let using = async {
            let mut near = loop {
                // It listens soon.
                match TcpStream::connect(here).await {
                    Ok(near) => break near,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            let (mut far, _) = target.accept().await.unwrap();
            near.write_all(b"lark").await.unwrap();
            let mut heard = [0; 4];
            far.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"lark");
            drop((near, far, stop));
        };
        let (reached, ()) = tokio::join!(reaching, using);
        reached.unwrap();
    };
    beside(service, folder.path(), calls).await;
}

#[tokio::test]
async fn pipe_service_gives_the_file_as_it_is_then() {
    let (juliet, romeo, folder) = ends().await;
    let (friend, file) = (address(ROMEO), folder.path().join("sonnet"));
    std::fs::write(&file, "my bounty is as boundless as the sea").unwrap();
    let path = file.clone();
    let service = async |keys, stopped: oneshot::Receiver<()>| {
        let stop = async { drop(stopped.await) };
        pipe_service::give(juliet, &keys, &friend, path, stop).await
    };
    let calls = async {
        let keys = Home::at(folder.path().join("romeo"));
        let (peer, mut fetched) = (address(JULIET), Vec::new());
        let fetching = pipe_service::fetch(romeo, &keys, &peer, &mut fetched);
        fetching.await.unwrap();
        assert_eq!(fetched, std::fs::read(&file).unwrap());
    };
    beside(service, folder.path(), calls).await;
}
