//! Bytes that are missing or changed: exit code 6, and what came before is kept.

use xtls_tests::live::secure::Heard;

use crate::stage::{ROLES, Role, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cut_before_close_notify_is_truncated() {
    for role in ROLES {
        let stage = Stage::new("cut-1");
        let (mut program, mut secure) = stage.established(role).await;
        secure.say("<message id='kept'/>").await;
        assert!(program.text().await.contains("id='kept'"));
        secure.cut().await;
        let ended = program.end().await;
        ended
            .expect(6)
            .silent()
            .saying("cut")
            .saying("may be missing");
        assert_eq!(ended.event("closed").unwrap()["clean"], false);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cut_inside_a_stanza_is_truncated() {
    let stage = Stage::new("cut-2");
    let (mut program, mut secure) = stage.established(Role::Listener).await;
    secure
        .say("<message id='kept'/><message id='lost'><body>Good ni")
        .await;
    assert!(program.text().await.contains("id='kept'"));
    secure.cut().await;
    program.end().await.expect(6).silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_inside_a_stanza_is_truncated() {
    let stage = Stage::new("cut-3");
    let (mut program, mut secure) = stage.established(Role::Initiator).await;
    secure
        .say("<message id='kept'/><message id='lost'><body>Good ni")
        .await;
    secure.finish().await;
    assert!(program.text().await.contains("id='kept'"));
    program.end().await.expect(6).silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cut_in_the_handshake_has_no_peer() {
    let stage = Stage::new("cut-4");
    let mut puppet = stage.puppet().await;
    let program = stage.initiator(&[]);
    // The first cut may mean that an early flight was removed on the way: the program opens once more, without one.
    for _ in 0..2 {
        let stream = puppet.accept().await;
        assert!(puppet.read(stream).await.is_some());
        puppet.close(stream).await;
    }
    let ended = program.end().await;
    ended.expect(6).silent();
    assert!(ended.event("established").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_record_is_noticed() {
    for role in ROLES {
        let stage = Stage::new("changed");
        let (mut program, mut secure) = stage.established(role).await;
        secure.say("<message id='kept'/>").await;
        assert!(program.text().await.contains("id='kept'"));
        let mut record = secure.seal("<message id='changed'/>");
        let last = record.len() - 1;
        record[last] ^= 1;
        secure.puppet.write(secure.stream, &record).await;
        assert!(matches!(secure.hear().await, Heard::Fault(_)));
        program
            .end()
            .await
            .expect(6)
            .silent()
            .saying("changed on the way");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_record_is_noticed() {
    let stage = Stage::new("repeated");
    let (mut program, mut secure) = stage.established(Role::Listener).await;
    let record = secure.seal("<message id='once'/>");
    for _ in 0..2 {
        secure.puppet.write(secure.stream, &record).await;
    }
    assert!(program.text().await.contains("id='once'"));
    assert!(matches!(secure.hear_out().await.1, Heard::Fault(_)));
    program
        .end()
        .await
        .expect(6)
        .silent()
        .saying("changed on the way");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_conversation_is_whole() {
    // The puppet can also behave: the faults that the other tests see refused are its own.
    for role in ROLES {
        let stage = Stage::new("whole");
        let (mut program, mut secure) = stage.established(role).await;
        secure.say("<message id='kept'/>").await;
        assert!(program.text().await.contains("id='kept'"));
        program.say("<message id='answer'/>").await;
        secure.finish().await;
        program.event("peer_finished").await;
        program.hush();
        let (said, end) = secure.hear_out().await;
        assert_eq!(
            String::from_utf8(said).unwrap(),
            "<message xmlns='jabber:client' id='answer'/>"
        );
        assert_eq!(end, Heard::Closed);
        secure.cut().await;
        let ended = program.end().await;
        // Everything that was sent was read; a peer that doesn't know `<finish/>` can't say whether the answer was
        // taken.
        ended
            .expect(6)
            .silent()
            .saying("has not confirmed that it took everything");
        assert_eq!(ended.event("closed").unwrap()["clean"], true);
    }
}
