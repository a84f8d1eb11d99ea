//! `xtls chat` with piped lines.

use xtls_tests::live::person::Person;
use xtls_tests::live::program::end_both;
use xtls_tests::live::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn lines_go_both_ways_and_one_end_ends_both() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut listener = juliet
        .listen("chat", "chat", &["--accept", romeo.address().as_str()])
        .await;
    let to = juliet.at("chat");
    let mut initiator = romeo.online(&["chat", to.as_str()]).start();
    initiator.event("established").await;
    for line in [
        "But soft",
        "  \"what light\" <through> yonder & window ",
        "breaks? 漢 😀",
    ] {
        initiator.say(format!("{line}\n")).await;
        assert_eq!(listener.text().await, line);
        listener.say(format!("{line}\r\n")).await;
        assert_eq!(initiator.text().await, line);
    }
    let ended = initiator.end().await;
    ended.expect(0).silent();
    assert_eq!(ended.event("closed").unwrap()["clean"], true);
    let ended = listener.end().await;
    ended.expect(0).silent();
    assert_eq!(ended.event("closed").unwrap()["clean"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_passes_between_pipes_unchanged() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut listener = juliet
        .listen("chat", "pipes", &["--accept", romeo.address().as_str()])
        .await;
    let mut initiator = romeo.online(&["chat", juliet.at("pipes").as_str()]).start();
    // A byte-order mark at the start is not text; empty lines, directional marks and C1 controls are.
    let lines = [
        "first",
        "",
        "\u{200F}\u{5E9}\u{5DC}\u{5D5}\u{5DD}\u{200E} \u{202E}",
        "",
        "\u{9b}31m\tend",
    ];
    initiator.say("\u{FEFF}").await;
    for line in lines {
        initiator.say(format!("{line}\n")).await;
    }
    for line in lines {
        assert_eq!(listener.text().await, line);
    }
    for ended in end_both(initiator, listener).await {
        ended.expect(0).silent();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_not_utf8_is_named_and_the_next_one_goes() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut listener = juliet
        .listen("chat", "latin", &["--accept", romeo.address().as_str()])
        .await;
    let mut initiator = romeo.online(&["chat", juliet.at("latin").as_str()]).start();
    initiator.say(b"good\nr\xE9sum\xE9\ngood again\n").await;
    for line in ["good", "good again"] {
        assert_eq!(listener.text().await, line);
    }
    let [initiator, listener] = end_both(initiator, listener).await;
    initiator.expect(2).saying("line 2 is not UTF-8");
    listener.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_gone_is_an_error_at_both_ends() {
    let (romeo, juliet) = Person::pair(&Server::free());
    for verb in ["chat", "stanzas"] {
        let mut listener = juliet
            .listen(verb, "reader", &["--accept", romeo.address().as_str()])
            .await;
        let mut initiator = romeo.online(&[verb, juliet.at("reader").as_str()]).start();
        initiator.event("established").await;
        listener.event("established").await;
        listener.stop_reading();
        let said = if verb == "chat" {
            "one\ntwo\n"
        } else {
            "<message id='1'/><message id='2'/>"
        };
        initiator.say(said).await;
        listener.event("failed").await;
        let listener = listener.end().await;
        listener.expect(1).saying("has gone");
        let initiator = initiator.end().await;
        assert!(
            matches!(initiator.code, Some(4 | 6)),
            "{verb}: {:#?}",
            initiator.heard
        );
        assert_ne!(initiator.event("closed").unwrap()["unconfirmed"], 0);
    }
}
