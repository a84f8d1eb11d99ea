//! Connections to the server that are cut, again and again.

use std::time::Duration;

use memchr::memmem;
use xtls_client::uplink::LinkEvent;
use xtls_client::xmpp::{Link, Options, Retry};
use xtls_stanza::{Address, Content, Envelope, MessageKind};
use xtls_tests::live::canary::Log;
use xtls_tests::live::person::Person;
use xtls_tests::live::server::Server;
use xtls_tests::live::soon;
use xtls_tests::live::way::Way;

async fn link(options: Options, way: &Way) -> Link {
    let quickly = Retry {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(50),
        ..Retry::default()
    };
    let options = options.server("127.0.0.1", way.port());
    let connected = xtls_client::xmpp::connect(options.retry(quickly));
    soon("the login", connected).await.unwrap()
}

fn numbered(number: usize, to: &Address) -> Envelope {
    Envelope {
        from: None,
        to: Some(to.clone()),
        id: number.to_string(),
        content: Content::Message {
            kind: MessageKind::Chat,
            payloads: Vec::new(),
            error: None,
        },
    }
}

/// The next message that arrives. Both links come back as often as they are cut.
async fn arrival(from: &mut Link, to: &mut Link) -> Envelope {
    loop {
        let (event, arrived) = tokio::select! {
            event = to.next() => (event, true),
            event = from.next() => (event, false),
        };
        match event.unwrap() {
            LinkEvent::Rebound(address) => panic!("bound anew, as {address}"),
            LinkEvent::Envelope(envelope) => {
                let message = matches!(envelope.content, Content::Message { .. });
                if arrived && message {
                    return envelope;
                }
            }
            _ => {}
        }
    }
}

const CUTS: usize = 200;

async fn nothing_is_lost(server: &Server, options: fn(&Person) -> Options) {
    const BETWEEN: usize = 5;
    let (romeo, juliet) = Person::pair(server);
    let (here, there) = (
        Way::to(server.starttls()).await,
        Way::to(server.starttls()).await,
    );
    let mut from = link(options(&romeo), &here).await;
    let mut to = link(options(&juliet), &there).await;
    let address = to.bound().clone();
    for cut in 0..CUTS {
        let numbers = cut * BETWEEN..(cut + 1) * BETWEEN;
        for number in numbers.clone() {
            from.send(numbered(number, &address)).await.unwrap();
        }
        // Each end in turn, while some of what was sent is on its way.
        let way = if cut % 2 == 0 { &here } else { &there };
        way.cut();
        for number in numbers {
            let arrived = soon("a message", arrival(&mut from, &mut to)).await;
            assert_eq!(arrived.id, number.to_string(), "after {cut} cuts");
        }
    }
    for link in [from, to] {
        soon("the good-bye", link.close()).await.unwrap();
    }
}

#[tokio::test]
async fn two_hundred_cuts_lose_nothing_and_double_nothing_through_prosody() {
    nothing_is_lost(&Server::free(), |person| person.options("cut")).await;
}

/// Each time within the log-in: a session is resumed by SASL2 alone.
#[tokio::test]
async fn two_hundred_cuts_lose_nothing_and_double_nothing_by_sasl2() {
    let server = Server::sasl2();
    let log = Log::begin(&server);
    nothing_is_lost(&server, |person| person.options_anywhere().bind2(true)).await;
    let log = log.read();
    let count = |what: &[u8]| memmem::find_iter(&log, what).count();
    assert_eq!(count(b"RECV: <auth "), 0);
    // Whatever order of attributes and quotes it writes.
    assert_eq!(count(b"RECV: <resume "), 0);
    assert_eq!(count(b"<bound "), 2);
    assert_eq!(count(b"<resumed "), CUTS);
}

#[tokio::test]
async fn two_hundred_cuts_lose_nothing_and_double_nothing_through_ejabberd() {
    nothing_is_lost(&Server::ejabberd(), |person| person.options("cut")).await;
}

/// Whoever runs a tunnel reads at once that the way to the server is interrupted, why, and for how long it is tried; and when
/// it is back. What was said meanwhile arrives.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_at_once_and_so_is_its_end() {
    let server = Server::free();
    let (romeo, juliet) = Person::pair(&server);
    romeo.verify(&juliet);
    juliet.verify(&romeo);
    let way = Way::to(server.starttls()).await;
    let accept = romeo.address();
    let mut listener = juliet
        .listen("stanzas", "outage", &["--accept", accept.as_str()])
        .await;
    let to = juliet.at("outage");
    let opener = romeo.online(&["stanzas", to.as_str()]).without("--server");
    let mut opener = opener
        .arg("--server")
        .arg(format!("127.0.0.1:{}", way.port()))
        .start();
    opener.event("established").await;
    way.cut();
    let interrupted = opener.event("interrupted").await;
    let why = interrupted["why"].as_str().unwrap();
    assert_eq!(
        why,
        "the connection broke on the stream: the server hung up"
    );
    assert!(interrupted["retry"].as_f64().unwrap() <= 1.0);
    assert_eq!(interrupted["give_up"], 300);
    opener
        .say("<message id='said'><body>in the dark</body></message>")
        .await;
    opener.event("resumed").await;
    let line = listener.line().await.unwrap();
    assert!(String::from_utf8(line).unwrap().contains("in the dark"));
    opener.interrupt().await;
    drop(listener.take_input());
    opener.end().await.expect(130);
    listener.end().await.expect(0);
}
