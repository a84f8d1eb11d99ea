//! `xtls doctor`: which step it stops at, what it advises, and what it can know of a peer.

use serde_json::Value;
use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Ended, Program};
use xtls_tests::live::server::Server;

/// The checks, by step: how each went.
fn marks(ended: &Ended) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = ended.objects().into_iter();
    checks
        .map(|check| (text(&check["step"]), text(&check["mark"])))
        .collect()
}

#[track_caller]
fn check(ended: &Ended, step: &str) -> Value {
    let mut checks = ended.objects().into_iter();
    let check = checks.find(|check| check["step"] == step);
    check.unwrap_or_else(|| panic!("no {step} in {}", ended.text()))
}

/// The step that failed is the last but what could not be tried.
#[track_caller]
fn stopped_at(ended: &Ended, step: &str, before: &[&str]) {
    let marks = marks(ended);
    let expected: Vec<_> = before
        .iter()
        .map(|step| (*step, "ok"))
        .chain([(step, "failed"), ("the rest", "unknown")])
        .map(|(step, mark)| (step.to_owned(), mark.to_owned()))
        .collect();
    assert_eq!(marks, expected);
}

fn without_server(person: &Person, verb: &[&str], server: &str) -> Program {
    person
        .online(verb)
        .without("--server")
        .args(["--server", server])
}

#[tokio::test]
async fn a_closed_port_is_where_it_stops() {
    let romeo = Person::new(&Server::free(), "romeo");
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = unused.local_addr().unwrap().to_string();
    drop(unused);
    let ended = without_server(&romeo, &["doctor"], &address).run().await;
    ended.expect(3).saying("cannot be reached");
    stopped_at(&ended, "TCP", &["DNS"]);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_where_it_stops() {
    let romeo = Person::new(&Server::free(), "romeo");
    let program = romeo.online(&["doctor"]).without("--ca-file");
    let other = Server::stock().ca_file();
    let ended = program.arg("--ca-file").arg(other).run().await;
    ended.expect(3).saying("--pin-server");
    stopped_at(&ended, "TLS", &["DNS", "TCP"]);
}

#[tokio::test]
async fn a_wrong_password_is_where_it_stops() {
    let romeo = Person::new(&Server::free(), "romeo");
    let file = romeo.secret("password", "wherefore\n");
    let program = romeo.online(&["doctor"]).without("--password-file");
    let ended = program.arg("--password-file").arg(file).run().await;
    ended.expect(3).saying("not-authorized");
    stopped_at(&ended, "login", &["DNS", "TCP", "TLS"]);
    // People read it in the line, and not a second time.
    let file = romeo.secret("password", "wherefore\n");
    let program = romeo.online(&["doctor"]).without_json();
    let program = program.without("--password-file").arg("--password-file");
    let ended = program.arg(file).run().await;
    ended.expect(3);
    assert!(ended.text().contains("✗ login"), "{}", ended.text());
    assert!(ended.heard.is_empty(), "{:?}", ended.heard);
}

#[tokio::test]
async fn a_healthy_server_passes_every_step() {
    let romeo = Person::new(&Server::free(), "romeo");
    let ended = romeo.online(&["doctor"]).run().await;
    ended.expect(0);
    for step in ["DNS", "TCP", "TLS", "login", "resource", "resuming", "rate"] {
        assert_eq!(check(&ended, step)["mark"], "ok", "{}", ended.text());
    }
    let tls = check(&ended, "TLS")["text"].to_string();
    assert!(tls.contains("1.3") && tls.contains("localhost"), "{tls}");
    // It changes nothing: not even a key is made.
    let new = Person::new(&Server::free(), "romeo");
    new.online(&["doctor"]).run().await.expect(0);
    assert!(!new.home().exists());
}

#[tokio::test]
async fn a_relay_is_named_and_without_one_the_line_that_an_admin_needs() {
    for server in [Server::free(), Server::ejabberd()] {
        let romeo = Person::new(&server, "romeo");
        let ended = romeo.online(&["doctor"]).run().await;
        ended.expect(0);
        let relays = check(&ended, "relays");
        assert_eq!(relays["mark"], "ok", "{relays}");
        let text = relays["text"].to_string();
        assert!(text.contains("answers"), "{text}");
    }
    let romeo = Person::new(&Server::sasl2(), "romeo");
    let ended = romeo.online(&["doctor"]).run().await;
    ended.expect(0);
    let relays = check(&ended, "relays");
    assert_eq!(relays["mark"], "remark", "{relays}");
    let hint = relays["hint"].as_str().unwrap();
    let line = "\n        Component \"proxy.localhost\" \"proxy65\"";
    assert!(hint.ends_with(line), "{hint}");
}

#[tokio::test]
async fn a_server_that_throttles_is_named() {
    let romeo = Person::new(&Server::stock(), "romeo");
    let ended = romeo.online(&["doctor"]).run().await;
    ended.expect(0);
    let rate = check(&ended, "rate");
    assert_eq!(rate["mark"], "remark", "{rate}");
    let said = rate.to_string();
    assert!(said.contains("limited by the server"), "{said}");
    assert!(said.contains("Prosody"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_there_or_not_and_so_is_its_key() {
    let (romeo, juliet) = Person::strangers(&Server::free());
    let to = juliet.at("examined");
    let examine = || romeo.online(&["doctor", to.as_str()]).run();
    let ended = examine().await;
    ended.expect(4).saying("nobody is there").saying("--accept");
    assert_eq!(check(&ended, "peer")["mark"], "failed");
    assert_eq!(check(&ended, "key")["mark"], "remark");
    // What comes after it is examined all the same.
    assert_eq!(check(&ended, "rate")["mark"], "ok");

    romeo.verify(&juliet);
    let accept = romeo.address();
    let listener = juliet
        .listen("stanzas", "examined", &["--accept", accept.as_str()])
        .await;
    let ended = examine().await;
    ended.expect(0);
    assert_eq!(check(&ended, "peer")["mark"], "ok", "{}", ended.text());
    assert_eq!(check(&ended, "key")["mark"], "ok", "{}", ended.text());
    // The listener was asked, and nobody has called it.
    listener.interrupt().await;
    let listener = listener.end().await;
    listener.expect(130);
    assert!(listener.event("incoming").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_that_a_listener_has_is_left_to_it() {
    let juliet = Person::new(&Server::free(), "juliet");
    let listener = juliet.listen("stanzas", "kept", &["--accept", "any"]).await;
    let program = juliet.online(&["doctor", "--resource", "kept"]);
    let ended = program.run().await;
    ended.expect(0);
    let resource = check(&ended, "resource");
    assert_eq!(resource["mark"], "remark", "{resource}");
    assert!(resource["text"].to_string().contains("/kept is taken"));
    listener.interrupt().await;
    listener.end().await.expect(130);
}

#[tokio::test]
async fn ejabberd_passes_and_refuses_a_wrong_password() {
    let server = Server::ejabberd();
    let (romeo, juliet) = Person::strangers(&server);
    let ended = romeo.online(&["doctor"]).run().await;
    ended.expect(0);
    for step in ["DNS", "TCP", "TLS", "login", "resource", "resuming"] {
        assert_eq!(check(&ended, step)["mark"], "ok", "{}", ended.text());
    }
    let to = juliet.at("nobody");
    let ended = romeo.online(&["doctor", to.as_str()]).run().await;
    ended.expect(4).saying("nobody is there");
    let file = romeo.secret("password", "wherefore\n");
    let program = romeo.online(&["doctor"]).without("--password-file");
    let ended = program.arg("--password-file").arg(file).run().await;
    ended.expect(3);
    stopped_at(&ended, "login", &["DNS", "TCP", "TLS"]);
}
