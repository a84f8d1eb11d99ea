//! `xtls trace`: what a recording of a real conversation looks like.

use xtls_stanza::Element;
use xtls_tests::live::person::Person;
use xtls_tests::live::program::end_both;
use xtls_tests::live::server::Server;

async fn recorded(server: &Server) -> (Person, std::path::PathBuf) {
    let (romeo, juliet) = Person::pair(server);
    let file = romeo.file("session");
    let accept = romeo.address();
    let more = ["--accept", accept.as_str()];
    let mut listener = juliet.listen("stanzas", "trace", &more).await;
    let to = juliet.at("trace");
    let verb = ["stanzas", to.as_str(), "--record", file.to_str().unwrap()];
    let mut initiator = romeo.online(&verb).start();
    initiator
        .say("<message id='m1'><body>x</body></message>")
        .await;
    listener.text().await;
    listener
        .say("<message id='m2'><body>y</body></message>")
        .await;
    initiator.text().await;
    for ended in end_both(initiator, listener).await {
        ended.expect(0);
    }
    (romeo, file)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_drawn_as_a_ladder() {
    draws(&Server::free()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_through_ejabberd_is_drawn_as_a_ladder() {
    draws(&Server::ejabberd()).await;
}

async fn draws(server: &Server) {
    let (romeo, file) = recorded(server).await;
    let file = file.to_str().unwrap();
    let drawn = romeo.program(&["trace", file]).without("--account");
    let drawn = drawn.without("--home").without_json().run().await;
    drawn.expect(0);
    let text = drawn.text();
    for part in [
        "open, start with a ClientHello",
        "result, proceed with a ServerHello",
        "sealed ",
        "╞═ message m1 ═",
        "│◀═ message m2 ═",
        "close of the tunnel",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }

    let svg = romeo.file("picture.svg");
    let verb = ["trace", file, "--svg", svg.to_str().unwrap()];
    let draw = || romeo.program(&verb).without("--account").without("--home");
    let drawn = draw().run().await;
    drawn.expect(0).silent();
    assert!(drawn.event("drawn").is_some());
    let picture = std::fs::read(&svg).unwrap();
    let tree = Element::read(picture.trim_ascii_end(), "").unwrap();
    assert!(tree.is("svg", "http://www.w3.org/2000/svg"));
    // It is not overwritten.
    draw().run().await.expect(2).saying("choose another name");
    assert_eq!(std::fs::read(&svg).unwrap(), picture);

    let verb = ["trace", file];
    let steps = romeo.program(&verb).without("--account").without("--home");
    let steps = steps.run().await;
    let inner = steps.expect(0).objects();
    let inner = inner.iter().filter(|step| step["layer"] == "inner");
    assert_eq!(inner.count(), 2);
}
