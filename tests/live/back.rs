//! Chats that are cut: both ends are told at once, the peer comes back by itself, and a line that was not confirmed arrives once.

use tokio::io::AsyncWriteExt as _;
use xtls_tests::live::person::Person;
use xtls_tests::live::program::{Program, Running, end_both};
use xtls_tests::live::server::Server;
use xtls_tests::live::switch::Switch;
use xtls_tests::live::terminal::Terminal;

/// Juliet as a program that takes a chat's lines and confirms none.
async fn mute(juliet: &Person, romeo: &Person, resource: &str) -> Running {
    let accept = romeo.address();
    juliet
        .listen("stanzas", resource, &["--accept", accept.as_str()])
        .await
}

/// What the line says, and its origin id.
async fn line(from: &mut Running) -> (String, String) {
    let line = from.text().await;
    let between = |start: &str, end: &str| {
        let (_, rest) = line.split_once(start).expect(&line);
        rest.split_once(end).expect(&line).0.to_owned()
    };
    let origin = between("<origin-id xmlns='urn:xmpp:sid:0' id='", "'");
    (between("<body>", "</body>"), origin)
}

fn chat(person: &Person, args: &[&str]) -> Program {
    person.online(&["chat"]).args(args)
}

/// A line of a chat, as another client may write it.
fn written(id: &str, text: &str) -> String {
    format!(
        "<message id='{id}' type='chat'><body>{text}</body><request xmlns='urn:xmpp:receipts'/>\
         <origin-id xmlns='urn:xmpp:sid:0' id='{id}'/></message>\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_not_sent_again_to_another_key() {
    let server = Server::free();
    let (romeo, juliet) = Person::pair(&server);
    let other = Person::new(&server, "juliet");
    let (address, key) = (juliet.address(), other.fingerprint().hex());
    let pin = ["trust", "pin", "--another", address.as_str(), &key];
    romeo.program(&pin).run().await.expect(0);
    other.verify(&romeo);
    let mut first = mute(&juliet, &romeo, "keys").await;
    let to = juliet.at("keys");
    let mut his = chat(&romeo, &["--reconnect", to.as_str()]).start();
    his.event("established").await;
    his.say("for her alone\n").await;
    assert_eq!(line(&mut first).await.0, "for her alone");
    first.signal("KILL").await;
    let second = mute(&other, &romeo, "keys").await;
    his.say("who is there?\n").await;
    let missing = his.event("undelivered").await;
    assert_eq!(missing["lines"][0], "for her alone");
    his.end()
        .await
        .expect(5)
        .saying("not the key that the conversation was with");
    let heard = second.end().await;
    heard.silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_ends_with_the_cut_unless_it_is_told_to_reconnect() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut hers = mute(&juliet, &romeo, "pipe").await;
    let mut his = chat(&romeo, &[juliet.at("pipe").as_str()]).start();
    his.event("established").await;
    his.say("one\n").await;
    line(&mut hers).await;
    hers.signal("KILL").await;
    let _second = mute(&juliet, &romeo, "pipe").await;
    // It may know already.
    let _ = his.take_input().write_all(b"two\n").await;
    let missing = his.event("undelivered").await;
    assert_eq!(missing["lines"][0], "one");
    his.end().await.expect(6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_confirmed_is_sent_again_once_under_the_same_id() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let mut hers = mute(&juliet, &romeo, "again").await;
    let to = juliet.at("again");
    let mut his = chat(&romeo, &["--reconnect", to.as_str()]).start();
    his.event("established").await;
    his.say("one\ntwo\n").await;
    let lines = [line(&mut hers).await, line(&mut hers).await];
    hers.signal("KILL").await;
    let mut hers = mute(&juliet, &romeo, "again").await;
    // She does not know this tunnel, which ends it.
    his.say("three\n").await;
    let cut = his.event("cut").await;
    assert!(cut["retry"].as_f64().unwrap() <= 1.0);
    let again = his.event("restored").await["again"].clone();
    assert_eq!(again, cut["again"]);
    for known in &lines {
        assert_eq!(line(&mut hers).await, *known);
    }
    assert_eq!(line(&mut hers).await.0, "three");
    hers.signal("KILL").await;
    let mut hers = mute(&juliet, &romeo, "again").await;
    his.say("four\n").await;
    let missing = his.event("undelivered").await;
    // Each line once. The third may have been sent once.
    assert_eq!(missing["lines"][0], "one");
    assert_eq!(missing["lines"][1], "two");
    his.event("restored").await;
    let mut heard = line(&mut hers).await.0;
    if heard == "three" {
        heard = line(&mut hers).await.0;
    }
    assert_eq!(heard, "four");
    his.hush();
    hers.end().await.expect(0).silent();
    his.end().await.expect(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_again_is_shown_once_and_confirmed_twice() {
    let server = Server::free();
    let (romeo, juliet) = Person::pair(&server);
    let mercutio = Person::new(&server, "mercutio");
    juliet.verify(&mercutio);
    mercutio.verify(&juliet);
    let mut hers = chat(
        &juliet,
        &["--listen", "--accept", "any", "--resource", "twice"],
    )
    .start();
    hers.event("listening").await;
    let to = juliet.at("twice");
    for (person, more) in [(&romeo, "one"), (&romeo, "two"), (&mercutio, "three")] {
        let mut caller = person.online(&["stanzas", to.as_str()]).start();
        caller.event("established").await;
        caller.say(written("same", "good night")).await;
        caller.say(written(more, more)).await;
        for id in ["same", more] {
            let receipt = caller.text().await;
            let id = format!("id='{id}'");
            assert!(receipt.contains(&id), "{receipt}");
        }
        caller.end().await.expect(0);
        // She takes one at a time.
        hers.event("closed").await;
    }
    // Another key may use the same id.
    for text in ["good night", "one", "two", "good night", "three"] {
        assert_eq!(hers.text().await, text);
    }
    hers.interrupt().await;
    hers.end().await.expect(130).silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_says_what_was_delivered() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let file = romeo.file("history");
    let keep = file.to_str().unwrap();
    let to = juliet.at("kept");
    let accept = romeo.address();
    let mut hers = juliet
        .listen("chat", "kept", &["--accept", accept.as_str()])
        .await;
    let mut his = chat(&romeo, &[to.as_str(), "--history", keep]).start();
    his.say("one\n").await;
    assert_eq!(hers.text().await, "one");
    hers.say("two\n").await;
    assert_eq!(his.text().await, "two");
    for ended in end_both(his, hers).await {
        ended.expect(0);
    }
    let mut hers = mute(&juliet, &romeo, "kept").await;
    let mut his = chat(&romeo, &[to.as_str(), "--history", keep]).start();
    his.say("three\n").await;
    line(&mut hers).await;
    hers.signal("KILL").await;
    his.interrupt().await;
    his.end().await.expect(130);
    let text = std::fs::read_to_string(file).unwrap();
    let kept: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| (line["text"].clone(), line["delivered"].clone()))
        .collect();
    let expected = [
        ("one".into(), true.into()),
        ("two".into(), serde_json::Value::Null),
        ("three".into(), false.into()),
    ];
    // Which of the first two came first is not known.
    for line in &expected {
        assert!(kept.contains(line), "{text}");
    }
    assert_eq!(kept.len(), 3, "{text}");
}

/// The server dies under a chat between two people, who do nothing about it.
async fn two_people_go_on(server: &Server) {
    let (romeo, juliet) = Person::pair(server);
    let accept = romeo.address();
    let (name, his_name) = (juliet.address(), romeo.address());
    let listener = chat(&juliet, &["--listen", "--accept", accept.as_str()]).without_json();
    let mut hers = Terminal::run(&listener.args(["--resource", "storm"]));
    hers.shows("listening as").await;
    let caller = chat(&romeo, &[juliet.at("storm").as_str()]).without_json();
    let mut his = Terminal::run(&caller);
    his.shows(&format!("{name} · verified> ")).await;
    his.enters("before");
    hers.shows(&format!("{his_name}: before")).await;
    his.until("the receipt", |text| text.contains("you: before"))
        .await;
    let mut switch = Switch::of(server);
    switch.kill().await;
    his.shows("the connection to the server is interrupted")
        .await;
    his.enters("in the dark");
    his.types("half a li");
    switch.start().await;
    his.shows(&format!("the tunnel with {} goes on", juliet.at("storm")))
        .await;
    his.shows("you: in the dark").await;
    hers.shows(&format!("{his_name}: in the dark")).await;
    // What he was writing stayed, and she can answer.
    his.enters("ne");
    hers.shows(&format!("{his_name}: half a line")).await;
    hers.enters("after");
    his.shows(&format!("{name}: after")).await;
    let text = hers.text();
    assert_eq!(text.matches(": in the dark").count(), 1, "{text}");
    his.presses("C-d");
    his.ends_with(0).await;
    hers.shows("has left").await;
    hers.presses("C-d");
    hers.ends_with(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_go_on_when_their_prosody_was_killed() {
    two_people_go_on(&Server::quiet()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_go_on_when_their_ejabberd_was_killed() {
    two_people_go_on(&Server::ejabberd()).await;
}
