//! Options that a user can set: padding, and no classical key exchange.

use xtls_tests::live::secure::{Heard, Secure};

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_classical_key_exchange_is_refused_if_the_user_says_so() {
    let stage = Stage::new("quantum");
    let program = stage.listener(&["--require-post-quantum"]).await;
    let to = stage.juliet.at("quantum");
    let me = stage.romeo.identity();
    let mut secure = Secure::open_classical(stage.puppet().await, &to, Some(&me)).await;
    assert!(secure.handshake().await.is_err());
    let ended = program.end().await;
    ended.expect(4).silent().saying("key exchange");

    // Without the option it is accepted.
    let mut program = stage.listener(&[]).await;
    let mut secure = Secure::open_classical(stage.puppet().await, &to, Some(&me)).await;
    secure.handshake().await.expect("a right handshake");
    assert_eq!(secure.hear().await, Heard::Plain(b" ".to_vec()));
    program.event("established").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn padded_stanzas_are_as_long_as_each_other() {
    let stage = Stage::new("padded");
    let me = stage.romeo.identity();
    let puppet = stage.puppet().await;
    let mut program = stage.initiator(&["--pad", "--require-post-quantum"]);
    let mut secure = stage.accept(puppet, &me).await;
    secure.handshake().await.expect("a right handshake");
    secure.say(" ").await;
    program.event("established").await;
    for body in ["no", "a much longer line than the other"] {
        program
            .say(&format!("<message><body>{body}</body></message>"))
            .await;
        let Heard::Plain(plain) = secure.hear().await else {
            panic!("no stanza")
        };
        let text = String::from_utf8(plain).unwrap();
        assert_eq!(text.len(), 256, "{text}");
        assert!(text.trim_end().ends_with("</message>") && text.contains(body));
    }
}
