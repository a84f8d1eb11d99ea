//! Another identity: exit code 5, and nothing of what it sends is delivered.

use xtls_tests::live::program::Ended;
use xtls_tests::live::secure::{Heard, Secure};
use xtls_tls::Identity;
use xtls_tls::rustls::Error;

use crate::stage::{Role, Stage, other_key};

/// What the puppet tries to send before it knows that it was refused.
const WORDS: &str = " <message id='refused'><body>I am Romeo</body></message>";

/// The puppet presents `me` to the program. Returns how the program ended and what the puppet received.
async fn shown(stage: &Stage, role: Role, me: Option<&Identity>, more: &[&str]) -> (Ended, Heard) {
    match (role, me) {
        (Role::Listener, me) => {
            let program = stage.listener(more).await;
            let mut secure = stage.open(me).await;
            secure.say(WORDS).await;
            let heard = secure.hear_out().await;
            assert!(heard.0.is_empty(), "it said {:?} to a stranger", heard.0);
            (program.end().await, heard.1)
        }
        (Role::Initiator, Some(me)) => {
            let puppet = stage.puppet().await;
            let mut program = stage.initiator(more);
            // Early input must not leave either.
            program.say("<message id='secret'/>").await;
            let mut secure = stage.accept(puppet, me).await;
            let heard = match secure.handshake().await {
                Ok(()) => {
                    secure.say(WORDS).await;
                    let heard = secure.hear_out().await;
                    assert!(heard.0.is_empty(), "it said {:?} to a stranger", heard.0);
                    heard.1
                }
                Err(error) => Heard::Fault(error),
            };
            (program.end().await, heard)
        }
        (Role::Initiator, None) => unreachable!("a server has a certificate"),
    }
}

/// The program reports what is wrong, exits with 5, and sends the peer an alert.
fn refused(end: &(Ended, Heard), words: &str) {
    end.0.expect(5).silent().saying(words);
    assert!(
        matches!(end.1, Heard::Fault(Error::AlertReceived(_))),
        "the peer received {:?}",
        end.1
    );
    assert!(end.0.event("established").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_refuses_a_changed_key() {
    let stage = Stage::new("changed-1");
    let me = other_key(stage.romeo.address().as_str());
    for policy in ["ask", "tofu", "pinned"] {
        let end = shown(&stage, Role::Listener, Some(&me), &["--trust", policy]).await;
        refused(&end, "the key of romeo@localhost has changed");
        end.0
            .saying(&me.fingerprint().to_string())
            .saying("romeo@localhost '<the fingerprint they give you>'");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initiator_refuses_a_changed_key() {
    let stage = Stage::new("changed-2");
    let me = other_key(stage.romeo.address().as_str());
    let end = shown(&stage, Role::Initiator, Some(&me), &["--trust", "tofu"]).await;
    refused(&end, "the key of romeo@localhost has changed");
    end.0
        .saying(&me.fingerprint().to_string())
        .saying("romeo@localhost '<the fingerprint they give you>'");
    // The pin is unchanged.
    let shown = stage
        .juliet
        .program(&["trust", "show", "romeo@localhost"])
        .run()
        .await;
    assert!(
        shown
            .expect(0)
            .text()
            .contains(&stage.romeo.fingerprint().hex())
    );
    assert_eq!(shown.output.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_refuses_a_certificate_that_names_another() {
    let stage = Stage::first_contact("named-1");
    let end = shown(
        &stage,
        Role::Listener,
        Some(&other_key("mercutio@localhost")),
        &["--trust", "tofu"],
    )
    .await;
    refused(
        &end,
        "should be romeo@localhost, but its certificate names mercutio@localhost",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initiator_refuses_a_certificate_that_names_another() {
    let stage = Stage::first_contact("named-2");
    let end = shown(
        &stage,
        Role::Initiator,
        Some(&other_key("mercutio@localhost")),
        &["--trust", "tofu"],
    )
    .await;
    refused(
        &end,
        "should be romeo@localhost, but its certificate names mercutio@localhost",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_where_pins_are_required() {
    let stage = Stage::first_contact("unknown");
    let me = stage.romeo.identity();
    for role in [Role::Listener, Role::Initiator] {
        let end = shown(&stage, role, Some(&me), &["--trust", "pinned"]).await;
        refused(&end, "no key is pinned for romeo@localhost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_key_is_refused() {
    let stage = Stage::first_contact("mirror");
    // Juliet's own key in a certificate that names Romeo: its sender must have copied her key.
    let key = stage.juliet.identity();
    for role in [Role::Listener, Role::Initiator] {
        let end = shown(&stage, role, Some(&key), &["--trust", "tofu"]).await;
        refused(&end, "our own key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_certificate_is_refused() {
    let stage = Stage::new("nameless-1");
    let end = shown(&stage, Role::Listener, None, &["--trust", "tofu"]).await;
    refused(&end, "presented no certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_ask_who_we_are_is_refused() {
    let stage = Stage::new("nameless-2");
    let puppet = stage.puppet().await;
    let mut program = stage.initiator(&[]);
    program.say("<message id='secret'/>").await;
    let from = stage.juliet.at("nameless-2");
    let mut secure = Secure::accept(puppet, &from, &stage.romeo.identity(), false).await;
    let heard = match secure.handshake().await {
        Ok(()) => secure.hear().await,
        Err(error) => Heard::Fault(error),
    };
    refused(
        &(program.end().await, heard),
        "did not ask for our certificate",
    );
}
