//! What an XMPP client must answer, requested by the other account.

use xtls_stanza::{Condition, Content, Element, Payload, disco};
use xtls_tests::live::person::Person;
use xtls_tests::live::puppet::Puppet;
use xtls_tests::live::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn discovery_names_the_features() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let listener = juliet
        .listen("stanzas", "disco", &["--accept", romeo.address().as_str()])
        .await;
    let mut puppet = Puppet::login(&romeo, "disco").await;
    let query = |node: Option<&str>| {
        Content::Get(Payload::DiscoQuery(disco::Query {
            node: node.map(str::to_owned),
        }))
    };
    let Content::Result(Some(Payload::DiscoInfo(info))) =
        puppet.ask(&juliet.at("disco"), "d1", query(None)).await
    else {
        panic!("no information");
    };
    assert!(info.has("urn:xmpp:tmp:xtls"));
    assert!(info.has("http://jabber.org/protocol/ibb"));
    assert!(info.has("http://jabber.org/protocol/disco#info"));
    assert!(!info.identities.is_empty());
    let Content::Error(error) = puppet
        .ask(&juliet.at("disco"), "d2", query(Some("secret")))
        .await
    else {
        panic!("a node that no one has");
    };
    assert_eq!(error.condition, Condition::ItemNotFound);
    drop(listener);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unknown_request_is_answered() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let listener = juliet
        .listen(
            "stanzas",
            "unknown",
            &["--accept", romeo.address().as_str()],
        )
        .await;
    let mut puppet = Puppet::login(&romeo, "unknown").await;
    let unknown = [
        ("query", "jabber:iq:version"),
        ("query", "jabber:iq:last"),
        ("query", "jabber:iq:roster"),
        ("query", "http://jabber.org/protocol/disco#items"),
        ("vCard", "vcard-temp"),
        ("time", "urn:xmpp:time"),
        ("block", "urn:xmpp:blocking"),
        ("jingle", "urn:xmpp:jingle:1"),
        ("x", ""),
        ("soliloquy", "urn:example:play"),
    ];
    let payload = |(name, ns)| Payload::Other(Element::new(name, ns));
    let requests = unknown
        .into_iter()
        .flat_map(|what| [Content::Get(payload(what)), Content::Set(payload(what))]);
    for (number, request) in requests.enumerate() {
        let answer = puppet
            .ask(
                &juliet.at("unknown"),
                &format!("u{number}"),
                request.clone(),
            )
            .await;
        let Content::Error(error) = answer else {
            panic!("{request:?} was answered {answer:?}")
        };
        assert_eq!(
            error.condition,
            Condition::ServiceUnavailable,
            "{request:?}"
        );
    }
    drop(listener);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_learns_nothing() {
    let (romeo, juliet) = Person::pair(&Server::free());
    let listener = juliet
        .listen("stanzas", "quiet", &["--accept", "mercutio@localhost"])
        .await;
    let mut puppet = Puppet::login(&romeo, "quiet").await;
    for (number, payload) in [
        Payload::DiscoQuery(disco::Query { node: None }),
        Payload::Ping,
    ]
    .into_iter()
    .enumerate()
    {
        let here = puppet
            .ask(
                &juliet.at("quiet"),
                &format!("h{number}"),
                Content::Get(payload.clone()),
            )
            .await;
        let nobody = puppet
            .ask(
                &juliet.at("nobody"),
                &format!("n{number}"),
                Content::Get(payload),
            )
            .await;
        let (Content::Error(here), Content::Error(nobody)) = (here, nobody) else {
            panic!("an answer")
        };
        assert_eq!(here.condition, nobody.condition);
        assert_eq!(here.kind, nobody.kind);
    }
    drop(listener);
}
