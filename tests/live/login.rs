//! Your server refuses, or is not what it should be: exit code 3. The peer is unavailable: 4.

use std::time::{Duration, Instant};

use memchr::memmem;
use xtls_client::xmpp::{self, ConnectError, Options};
use xtls_tests::live::canary::Log;
use xtls_tests::live::person::Person;
use xtls_tests::live::program::end_both;
use xtls_tests::live::server::Server;
use xtls_tests::live::soon;
use zeroize::Zeroizing;

#[tokio::test]
async fn a_wrong_password_is_tried_once() {
    let romeo = Person::new(&Server::free(), "romeo");
    let log = Log::begin(romeo.server());
    let file = romeo.secret("password", "wherefore\n");
    let started = Instant::now();
    let program = romeo
        .online(&["stanzas", "--listen", "--accept", "any"])
        .without("--password-file")
        .arg("--password-file")
        .arg(file);
    let ended = program.run().await;
    ended
        .expect(3)
        .silent()
        .saying("could not log in: not-authorized");
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    let log = log.read();
    assert_eq!(memmem::find_iter(&log, "SEND: <failure").count(), 1);
}

#[tokio::test]
async fn ejabberd_refuses_a_wrong_password_and_takes_the_right_one() {
    let romeo = Person::new(&Server::ejabberd(), "romeo");
    let file = romeo.secret("password", "wherefore\n");
    let program = romeo
        .online(&["stanzas", "--listen", "--accept", "any"])
        .without("--password-file");
    let ended = program.arg("--password-file").arg(file).run().await;
    ended
        .expect(3)
        .silent()
        .saying("could not log in: not-authorized");
    // The right one: the server says that no one is there.
    let to = romeo.at("nobody");
    let ended = romeo.online(&["stanzas", to.as_str()]).run().await;
    ended.expect(4).silent();
}

/// An exact resource is asked for, which SASL2 can only log in for, so the older profile is as good.
#[tokio::test]
async fn a_server_with_sasl2_gives_the_resource_that_was_asked_for() {
    let server = Server::sasl2();
    let romeo = Person::new(&server, "romeo");
    let link = romeo.link("balcony").await;
    assert_eq!(*link.bound(), romeo.at("balcony"));
    soon("the good-bye", link.close()).await.unwrap();
    // It makes one up where none is asked for: one that begins with what the client is called.
    let connected = xmpp::connect(romeo.options_anywhere().bind2(true));
    let link = soon("the login", connected).await.unwrap();
    let resource = link.bound().resource().unwrap().to_owned();
    assert!(
        resource.len() > 4 && resource.starts_with("xtls"),
        "{resource}"
    );
    soon("the good-bye", link.close()).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_by_sasl2() {
    let server = Server::sasl2();
    let romeo = Person::new(&server, "romeo");
    let log = Log::begin(&server);
    let options = Options::new(&romeo.address(), Zeroizing::new("wherefore".to_owned()));
    let (host, port) = server.starttls();
    let options = options
        .server(host, port)
        .ca_file(server.ca_file())
        .bind2(true);
    let error = soon("the refusal", xmpp::connect(options))
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ConnectError::Authentication { condition, .. } if condition == "not-authorized"),
        "{error}"
    );
    let log = log.read();
    assert_eq!(memmem::find_iter(&log, "RECV: <authenticate ").count(), 1);
    assert_eq!(memmem::find_iter(&log, "RECV: <auth ").count(), 0);
}

#[tokio::test]
async fn the_password_may_come_from_the_environment() {
    let romeo = Person::new(&Server::free(), "romeo");
    let password = std::fs::read_to_string(romeo.server().password_file("romeo")).unwrap();
    let program = romeo
        .online(&["stanzas", "romeo@localhost/nobody"])
        .without("--password-file");
    program
        .variable("XTLS_PASSWORD", password.trim())
        .run()
        .await
        .expect(4)
        .silent();
}

#[tokio::test]
async fn a_file_without_certificates_is_a_wrong_option() {
    let romeo = Person::new(&Server::free(), "romeo");
    let garbage = romeo.secret("garbage", "not a certificate");
    for file in [garbage, romeo.file("nowhere")] {
        let program = romeo
            .online(&["stanzas", "--listen", "--accept", "any"])
            .without("--ca-file");
        let ended = program.arg("--ca-file").arg(&file).run().await;
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        ended.expect(2).silent().saying(&name);
    }
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let romeo = Person::new(&Server::free(), "romeo");
    let program = romeo
        .online(&["stanzas", "--listen", "--accept", "any"])
        .without("--ca-file");
    let ended = program
        .arg("--ca-file")
        .arg(Server::stock().ca_file())
        .run()
        .await;
    ended
        .expect(3)
        .silent()
        .saying("the certificate of localhost is not accepted")
        .saying("but by another of that name")
        .saying("--pin-server ");
}

#[tokio::test]
async fn the_pin_that_a_refusal_names_is_accepted_and_no_other() {
    let romeo = Person::new(&Server::free(), "romeo");
    let listen = || {
        romeo
            .online(&["stanzas", "--listen", "--accept", "any"])
            .without("--ca-file")
    };
    let refused = listen().run().await;
    let hint = refused.expect(3).failure()["hint"]
        .as_str()
        .unwrap()
        .to_owned();
    let pin = hint.rsplit_once("--pin-server ").unwrap().1.trim();
    let mut listening = listen().arg("--pin-server").arg(pin).start();
    listening.event("listening").await;
    listening.interrupt().await;
    listening.end().await.expect(130);
    let other = pin.chars().rev().collect::<String>();
    let other = listen().arg("--pin-server").arg(other).run().await;
    other.expect(3).saying("its key is not the pinned one");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_not_waited_for() {
    let romeo = Person::new(&Server::free(), "romeo");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let program = romeo
        .online(&["stanzas", "--listen", "--accept", "any"])
        .without("--server");
    let ended = program
        .args(["--server", &format!("127.0.0.1:{port}")])
        .run()
        .await;
    ended
        .expect(3)
        .silent()
        .saying(&format!("127.0.0.1:{port} cannot be reached"));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_the_same_resource_conflict() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let first = juliet
        .listen("stanzas", "conflict", &["--accept", "any"])
        .await;
    let second = juliet
        .listen(
            "stanzas",
            "conflict",
            &["--accept", romeo.address().as_str()],
        )
        .await;
    first
        .end()
        .await
        .expect(3)
        .silent()
        .saying("in use by another client")
        .saying("--resource");
    // The one that stays works.
    let to = juliet.at("conflict");
    let initiator = romeo.online(&["stanzas", to.as_str()]).start();
    for ended in end_both(initiator, second).await {
        ended.expect(0).silent();
    }
}

#[tokio::test]
async fn a_peer_that_is_offline_is_unavailable() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let to = juliet.at("nobody");
    let ended = romeo.online(&["stanzas", to.as_str()]).run().await;
    ended
        .expect(4)
        .silent()
        .saying(to.as_str())
        .saying("--listen");
    // Without a resource, the listener's default is meant.
    let ended = romeo
        .online(&["chat", juliet.address().as_str()])
        .run()
        .await;
    ended.expect(4).silent().saying(juliet.at("xtls").as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_not_let_in() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let listener = juliet
        .listen("stanzas", "strict", &["--accept", "mercutio@localhost"])
        .await;
    let to = juliet.at("strict");
    let ended = romeo.online(&["stanzas", to.as_str()]).run().await;
    // As if no one were there.
    ended.expect(4).silent().saying("service-unavailable");
    listener.interrupt().await;
    let ended = listener.end().await;
    ended.expect(130).silent();
    assert!(ended.event("incoming").is_none());
    // A listener must say whom it accepts.
    for verb in ["stanzas", "chat", "verify"] {
        let ended = juliet.online(&[verb, "--listen"]).run().await;
        ended.expect(2).silent().saying("--accept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anyone_may_be_let_in() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let listener = juliet.listen("stanzas", "open", &["--accept", "any"]).await;
    let to = juliet.at("open");
    let initiator = romeo.online(&["stanzas", to.as_str()]).start();
    for ended in end_both(initiator, listener).await {
        ended.expect(0).silent();
    }
}

/// Whoever takes the resource of a listener ends its conversations, and both are told as what they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_another_client_ends_by_taking_the_resource_is_told_as_a_conflict() {
    for _ in 0..3 {
        let (romeo, juliet) = Person::pair(&Server::free());
        romeo.verify(&juliet);
        juliet.verify(&romeo);
        let listener = juliet
            .listen("stanzas", "taken", &["--accept", romeo.address().as_str()])
            .await;
        let to = juliet.at("taken");
        let mut opener = romeo.online(&["stanzas", to.as_str()]).start();
        opener.event("established").await;
        let other = juliet.link("taken").await;
        let ended = listener.end().await;
        ended
            .expect(3)
            .saying("is in use by another client")
            .saying("--resource");
        // Its own link stands, and whoever has the address now does not know the conversation.
        other.close().await.unwrap();
        opener.interrupt().await;
        opener.end().await;
    }
}
