//! The right key, but lies inside the tunnel: exit code 5 for a false address, 6 for anything that is not a stanza.

use xtls_tests::live::secure::Heard;

use crate::stage::{ROLES, Role, Stage};

/// A valid stanza, then `wrong`, then another valid one, in one record. Only the first comes out.
async fn said(role: Role, resource: &'static str, wrong: &str, code: i32, words: &str) {
    let stage = Stage::new(resource);
    let (mut program, mut secure) = stage.established(role).await;
    secure
        .say(format!("<message id='1'/>{wrong}<message id='3'/>"))
        .await;
    let line = program.text().await;
    let (from, to) = (stage.romeo.at(resource), stage.juliet.at(resource));
    assert_eq!(
        line,
        format!("<message xmlns='jabber:client' from='{from}' to='{to}' id='1'/>")
    );
    let ended = program.end().await;
    ended.expect(code).silent().saying(words);
    assert_eq!(ended.event("closed").unwrap()["clean"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_from_ends_the_session() {
    for role in ROLES {
        let forged = "<message from='mercutio@localhost/orchard'><body>A plague</body></message>";
        let words = "says from='mercutio@localhost/orchard' where only romeo@localhost/forged-1";
        said(role, "forged-1", forged, 5, words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_from_of_our_server_ends_the_session() {
    let forged = "<iq from='localhost' type='set' id='r1'><query xmlns='jabber:iq:roster'/></iq>";
    said(
        Role::Listener,
        "forged-2",
        forged,
        5,
        "says from='localhost'",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_to_ends_the_session() {
    let forged = "<message to='mercutio@localhost'/>";
    said(
        Role::Initiator,
        "forged-3",
        forged,
        5,
        "says to='mercutio@localhost'",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_stanza_ends_the_session() {
    for (wrong, words) in [
        ("<!DOCTYPE message>", "inside the tunnel"),
        ("<message><body></message></body>", "inside the tunnel"),
        ("<message xmlns='jabber:server'/>", "inside the tunnel"),
        ("hello", "inside the tunnel"),
    ] {
        said(Role::Listener, "garbage", wrong, 6, words).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stanza_without_end_ends_the_session() {
    let stage = Stage::new("endless");
    let (program, mut secure) = stage.established(Role::Listener).await;
    let open = format!("<message><body>{}", "x".repeat(300_000));
    for piece in open.as_bytes().chunks(16_000) {
        secure.say(piece).await;
    }
    program.end().await.expect(6).silent().saying("262144");
}

#[tokio::test(flavor = "multi_thread")]
async fn authority_that_a_peer_does_not_have_is_dropped_and_reported() {
    let stage = Stage::new("authority");
    let (mut program, mut secure) = stage.established(Role::Listener).await;
    let carbon = "<message><received xmlns='urn:xmpp:carbons:2'/></message>";
    secure
        .say(format!("<message id='1'/>{carbon}<message id='3'/>"))
        .await;
    for id in ["id='1'", "id='3'"] {
        assert!(program.text().await.contains(id));
    }
    program.event("refused").await;
    secure.finish().await;
    program.hush();
    assert_eq!(secure.hear_out().await.1, Heard::Closed);
    secure.cut().await;
    program.end().await.expect(0).silent();
}
