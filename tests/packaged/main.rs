//! The program on Prosody and ejabberd as Debian's packages configure them: their own limits, modules and certificates.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by failing"
)]

use std::fmt::Write as _;

use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Program, end_both};
use xtls_tests::live::server::Server;

/// What Romeo says: much for ejabberd's 3,000 bytes a second, and more than it lets through at once.
const LINES: usize = 8;

/// Two people exchange stanzas, and end in order; `trust` is how they trust their server.
async fn talk(romeo: &Person, juliet: &Person, trust: impl Fn(Program) -> Program) {
    let accept = romeo.address();
    let listen = ["stanzas", "--listen", "--once", "--resource", "packaged"];
    let listener = juliet.online(&listen).args(["--accept", accept.as_str()]);
    let mut listener = trust(listener).start();
    listener.event("listening").await;
    let to = juliet.at("packaged");
    let mut opener = trust(romeo.online(&["stanzas", to.as_str()])).start();
    opener.event("established").await;
    let body = "wherefore ".repeat(100);
    for number in 0..LINES {
        let mut line = String::new();
        write!(
            line,
            "<message id='r{number}'><body>{body}</body></message>"
        )
        .unwrap();
        opener.say(line).await;
    }
    listener
        .say("<message id='j'><body>deny thy father</body></message>")
        .await;
    for number in 0..LINES {
        let line = String::from_utf8(listener.line().await.unwrap()).unwrap();
        assert!(line.contains(&format!("r{number}")), "{line}");
        assert!(line.contains(&body), "{line}");
    }
    let line = String::from_utf8(opener.line().await.unwrap()).unwrap();
    assert!(line.contains("deny thy father"), "{line}");
    for ended in end_both(opener, listener).await {
        ended.expect(0).silent();
    }
}

/// The key that a refusal names, to compare it with the server's.
async fn key_of(server: &Server) -> String {
    let romeo = Person::new(server, "romeo");
    let listen = ["stanzas", "--listen", "--accept", "any"];
    let refused = romeo.online(&listen).without("--ca-file").run().await;
    let hint = refused.expect(3).silent().failure()["hint"].clone();
    let hint = hint.as_str().unwrap();
    let (_, pin) = hint.rsplit_once("--pin-server ").expect("a key");
    pin.trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_prosodyctl_makes_is_taken_from_ca_file_and_two_people_talk() {
    let (romeo, juliet) = Person::pair(&Server::packaged_prosody());
    talk(&romeo, &juliet, |program| program).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_packaged_prosody_is_pinned_and_two_people_talk() {
    let server = Server::packaged_prosody();
    let (pin, (romeo, juliet)) = (key_of(&server).await, Person::pair(&server));
    talk(&romeo, &juliet, |program| {
        program.without("--ca-file").args(["--pin-server", &pin])
    })
    .await;
}

/// The package makes a certificate for the name `ejabberd`, and for that as a common name only.
#[tokio::test]
async fn the_certificate_of_the_ejabberd_package_is_refused_because_it_has_no_name() {
    let romeo = Person::new(&Server::packaged_ejabberd(), "romeo");
    let listen = ["stanzas", "--listen", "--accept", "any"];
    let ended = romeo.online(&listen).run().await;
    ended
        .expect(3)
        .silent()
        .saying("the certificate of localhost is not accepted")
        .saying("it has no subjectAltName");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_packaged_ejabberd_is_pinned_and_two_people_talk() {
    let server = Server::packaged_ejabberd();
    let (pin, (romeo, juliet)) = (key_of(&server).await, Person::pair(&server));
    talk(&romeo, &juliet, |program| {
        program.without("--ca-file").args(["--pin-server", &pin])
    })
    .await;
}
