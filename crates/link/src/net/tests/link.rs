//! A link that works.

use tokio::sync::mpsc;
use xtls_stanza::ibb::{Data, Seq, Sid};
use xtls_stanza::{Address, Content, Envelope, MessageKind, Payload};

use super::*;
use crate::{LinkError, LinkEvent};

fn data(to: &str, id: &str, bytes: &[u8]) -> Envelope {
    Envelope {
        from: Some(Address::new("mallory@example.net").unwrap()),
        to: Some(Address::new(to).unwrap()),
        id: id.to_owned(),
        content: Content::Set(Payload::Data(Data {
            sid: Sid::new("s").unwrap(),
            seq: Seq(7),
            bytes: bytes.to_vec().into(),
        })),
    }
}

async fn envelope(link: &mut Link) -> Envelope {
    let inbound = link.next().await.unwrap();
    let LinkEvent::Envelope(envelope) = inbound else {
        panic!("{inbound:?}")
    };
    envelope
}

#[tokio::test]
async fn the_resource_is_the_servers_and_stanzas_pass_both_ways() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (heard, mut hears) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, _| {
        let (tls, heard) = (tls.clone(), heard.clone());
        async move {
            let mut script = Script::new(tcp).logged_in(&tls, BIND).await;
            script.bind("other").await;
            heard.send(script.hear("</presence>").await).unwrap();
            script
                .say(
                    "<iq from='romeo@example.net/Órchard' id='i' type='result'/>\
                     <message from='romeo@example.net/x' type='chat'><body>Art thou not Romeo?</body></message>",
                )
                .await;
            heard.send(script.hear("</iq>").await).unwrap();
            heard.send(script.hear("</stream:stream>").await).unwrap();
            script.say("</stream:stream>").await;
        }
    })
    .await;
    let options = server
        .options(&authority)
        .allow_plain(true)
        .resource("xtls");
    let mut link = connect(options).await.unwrap();
    assert_eq!(link.bound().as_str(), "juliet@example.org/other");
    let presence = hears.recv().await.unwrap();
    assert!(
        presence.contains("<presence") && presence.contains(">-1</priority>"),
        "{presence}"
    );
    assert!(!presence.contains("unavailable"));

    let result = envelope(&mut link).await;
    assert_eq!(result.content, Content::Result(None));
    assert_eq!(result.from.unwrap().as_str(), "romeo@example.net/Órchard");
    let Content::Message {
        kind: MessageKind::Chat,
        payloads,
        ..
    } = envelope(&mut link).await.content
    else {
        panic!()
    };
    let [Payload::Other(body)] = &payloads[..] else {
        panic!()
    };
    assert_eq!(body.text(), "Art thou not Romeo?");

    link.send(data("romeo@example.net/x", "d1", b"hello"))
        .await
        .unwrap();
    let sent = hears.recv().await.unwrap();
    let sent = &sent[sent.find("<iq").unwrap()..];
    assert!(
        sent.contains("aGVsbG8=") && sent.contains("to='romeo@example.net/x'"),
        "{sent}"
    );
    assert!(
        !sent.contains("mallory"),
        "the sender is the server's to name: {sent}"
    );
    link.close().await.unwrap();
    hears.recv().await.unwrap();
}

#[tokio::test]
async fn what_is_queued_when_the_link_is_closed_is_sent() {
    const MANY: usize = 500;
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (heard, mut hears) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, _| {
        let (tls, heard) = (tls.clone(), heard.clone());
        async move {
            let mut script = Script::new(tcp).bound(&tls, "x").await;
            let all = script.hear("</stream:stream>").await;
            script.say("</stream:stream>").await;
            heard.send(all.matches("</iq>").count()).unwrap();
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    for number in 0..MANY {
        link.send(data("romeo@example.net/x", &number.to_string(), &[7; 512]))
            .await
            .unwrap();
    }
    link.close().await.unwrap();
    assert_eq!(hears.recv().await.unwrap(), MANY);
}

/// Both ends send all they have before they look at what came: nobody may wait for the other for ever.
#[tokio::test]
async fn a_flood_both_ways_goes_through() {
    const MANY: usize = 3_000;
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, _| {
        let tls = tls.clone();
        async move {
            let script = Script::new(tcp).bound(&tls, "x").await;
            let (mut reader, mut writer) = tokio::io::split(script.io);
            tokio::spawn(async move {
                for number in 0..MANY {
                    let iq = format!(
                        "<iq type='set' id='{number}' from='a@b/c'><data xmlns='http://jabber.org/protocol/ibb' \
                         sid='s' seq='0'>{}</data></iq>",
                        "QUFB".repeat(500)
                    );
                    writer.write_all(iq.as_bytes()).await.unwrap();
                    writer.flush().await.unwrap();
                }
                // It must stay open until all was read.
                std::future::pending::<()>().await;
            });
            let mut buffer = vec![0; 65_536];
            while reader.read(&mut buffer).await.unwrap_or_default() > 0 {}
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    for number in 0..MANY {
        link.send(data("a@b/c", &number.to_string(), &[7; 1_500]))
            .await
            .unwrap();
    }
    for number in 0..MANY {
        assert_eq!(envelope(&mut link).await.id, number.to_string());
    }
}

#[tokio::test]
async fn an_abandoned_next_loses_nothing() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, _| {
        let tls = tls.clone();
        async move {
            let mut script = Script::new(tcp).bound(&tls, "x").await;
            for number in 0..200 {
                script.say(&format!("<message id='{number}'/>")).await;
            }
            script.rest().await;
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    let mut next = 0;
    while next < 200 {
        tokio::select! {
            biased;
            () = tokio::task::yield_now() => {}
            inbound = link.next() => {
                let LinkEvent::Envelope(envelope) = inbound.unwrap() else { panic!() };
                assert_eq!(envelope.id, next.to_string());
                next += 1;
            }
        }
        // The other branch wins most of the time; this one lets the task run.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stanza_that_cannot_be_addressed_is_dropped_and_the_link_goes_on() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (heard, mut hears) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, _| {
        let (tls, heard) = (tls.clone(), heard.clone());
        async move {
            let mut script = Script::new(tcp).bound(&tls, "x").await;
            heard.send(script.hear("</iq>").await).unwrap();
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    link.send(data("a@b/\u{378}", "one", b"")).await.unwrap();
    link.send(data("a@b/c", "two", b"")).await.unwrap();
    let heard = hears.recv().await.unwrap();
    assert!(
        heard.contains("'two'") && !heard.contains("'one'"),
        "{heard}"
    );
}

#[tokio::test]
async fn a_lost_link_says_so_each_time_it_is_asked() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, number| {
        let tls = tls.clone();
        async move {
            if number == 0 {
                let mut script = Script::new(tcp).bound(&tls, "x").await;
                script
                    .say("<message id='parting'/><stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")
                    .await;
                script.rest().await;
            }
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    let lost = LinkError::Conflict("juliet@example.org/x".to_owned());
    assert_eq!(envelope(&mut link).await.id, "parting");
    assert_eq!(link.next().await, Err(lost.clone()));
    assert_eq!(link.next().await, Err(lost.clone()));
    assert_eq!(link.send(data("a@b/c", "1", b"")).await, Err(lost.clone()));
    assert_eq!(link.close().await, Err(lost));
    assert_eq!(
        server.connections(),
        1,
        "whoever was replaced does not push back"
    );
}

/// An acknowledgement that is due while nothing can leave waits for the network, and does not keep the thread busy.
#[tokio::test]
async fn a_server_that_reads_nothing_and_asks_is_waited_for_in_peace() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let full = Arc::new(tokio::sync::Notify::new());
    let is_full = Arc::clone(&full);
    let server = Server::start(move |tcp, _| {
        let (tls, is_full) = (tls.clone(), Arc::clone(&is_full));
        async move {
            let mut script = Script::new(tcp).logged_in(&tls, BIND_AND_SM).await;
            script.bind("x").await;
            script.hear("<enable").await;
            script.say("<enabled xmlns='urn:xmpp:sm:3'/>").await;
            script.hear("</presence>").await;
            is_full.notified().await;
            script
                .say("<message id='m'/><r xmlns='urn:xmpp:sm:3'/>")
                .await;
            std::future::pending::<()>().await;
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    // Until there is no room: the server's buffers and ours are full.
    let sending = tokio::time::timeout(Duration::from_millis(200), async {
        loop {
            link.send(data("a@b/c", "1", &[7; 60_000])).await.unwrap();
        }
    });
    sending.await.unwrap_err();
    full.notify_one();
    assert_eq!(envelope(&mut link).await.id, "m");
    // The acknowledgement is due after 20 ms.
    let mut polls = 0;
    let next = std::future::poll_fn(|cx| {
        polls += 1;
        link.poll_next(cx)
    });
    let next = tokio::time::timeout(Duration::from_millis(200), next).await;
    assert!(next.is_err(), "{next:?}");
    assert!(polls < 20, "polled {polls} times for nothing");
}
