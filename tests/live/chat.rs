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
async fn a_peer_cannot_reach_the_terminal_through_a_line() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut listener = juliet
        .listen("chat", "escape", &["--accept", romeo.address().as_str()])
        .await;
    let to = juliet.at("escape");
    let mut initiator = romeo.online(&["stanzas", to.as_str()]).start();
    // Bells and escapes are no XML; what is left of them are C1 controls and changes of direction.
    initiator
        .say("<message><body>&#x9b;31m\u{202e}red</body></message>")
        .await;
    assert_eq!(listener.text().await, "\u{FFFD}31m\u{FFFD}red");
    for ended in end_both(initiator, listener).await {
        ended.expect(0).silent();
    }
}
