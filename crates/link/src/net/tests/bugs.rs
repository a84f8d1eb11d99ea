//! Bugs of other implementations, by what must hold instead.

use std::future::poll_fn;
use std::task::Poll;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::*;
use crate::{LinkError, LinkEvent, Security};

// pontarius #51, #67, profanity #1628
#[tokio::test]
async fn see_other_host_keeps_name_and_policy_and_ends_after_three() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (named, mut names) = mpsc::unbounded_channel();
    // It has a certificate of the same authority, and of its own name.
    let elsewhere = authority.server("127.0.0.1");
    let (trusted, mut trusts) = mpsc::unbounded_channel();
    let other = Server::start(move |tcp, _| {
        let (tls, trusted) = (elsewhere.clone(), trusted.clone());
        async move {
            let mut script = Script::new(tcp);
            script.greet(STARTTLS).await;
            script.hear("/>").await;
            script.say(PROCEED).await;
            trusted.send(tls.accept(script.io).await.is_ok()).unwrap();
        }
    })
    .await;
    let (to, tos) = tokio::sync::watch::channel(0);
    let server = Server::start(move |tcp, number| {
        let (tls, named, tos) = (tls.clone(), named.clone(), tos.clone());
        let other = other.port;
        async move {
            let mut script = match number {
                0 | 1 => Script::new(tcp).bound(&tls, "x").await,
                _ => {
                    let mut script = Script::new(tcp).starttls(&tls).await;
                    script.hear("version='1.0'>").await;
                    script.say(HEADER).await;
                    script
                }
            };
            let name = script.io.get_ref().1.server_name().map(ToOwned::to_owned);
            named.send(name).unwrap();
            let port = if number == 0 { other } else { *tos.borrow() };
            script
                .say(&format!(
                    "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>127.0.0.1:{port}\
                     </see-other-host></stream:error></stream:stream>"
                ))
                .await;
            script.rest().await;
        }
    })
    .await;
    to.send(server.port).unwrap();
    let mut link = server.link(&authority).await;
    let mut rebound = 0;
    let end = loop {
        match link.next().await {
            Ok(event) => rebound += usize::from(matches!(event, LinkEvent::Rebound(_))),
            Err(end) => break end,
        }
    };
    assert!(!trusts.recv().await.unwrap(), "the name is the account's");
    assert_eq!(rebound, 1, "and the link goes home");
    // That was one of the three.
    assert_eq!(server.connections(), 4);
    for _ in 0..4 {
        assert_eq!(names.recv().await.unwrap().as_deref(), Some("example.org"));
    }
    let LinkError::Lost(why) = end else {
        panic!("{end:?}")
    };
    assert!(
        why.to_string().contains("see-other-host 127.0.0.1"),
        "{why}"
    );
}

// xmppjs/xmpp.js #993
#[tokio::test]
async fn a_silent_connection_is_dead_after_ninety_seconds_also_with_direct_tls() {
    for security in [Security::StartTls, Security::DirectTls] {
        let authority = Authority::new();
        let tls = authority.server("example.org");
        let server = Server::start(move |tcp, _| {
            let tls = tls.clone();
            async move {
                let mut script = match security {
                    Security::DirectTls => Script::new(tls.accept(tcp).await.unwrap()),
                    Security::StartTls | Security::Auto => Script::new(tcp).starttls(&tls).await,
                };
                script.greet(&mechanisms(&["PLAIN"])).await;
                script.hear("</auth>").await;
                script.say(SUCCESS).await;
                script.greet(BIND).await;
                script.bind("x").await;
                script.rest().await;
            }
        })
        .await;
        let options = server.options(&authority).allow_plain(true);
        let mut link = connect(options.security(security)).await.unwrap();
        tokio::time::pause();
        let start = Instant::now();
        let LinkEvent::Suspended(outage) = link.next().await.unwrap() else {
            panic!()
        };
        let elapsed = start.elapsed();
        // From the last octet, which came before.
        assert!((60..=90).contains(&elapsed.as_secs()), "{elapsed:?}");
        let why = std::error::Error::source(&outage.why).unwrap().to_string();
        assert_eq!(why, "the server has said nothing for 90 s");
        tokio::time::resume();
    }
}

// jigasi #253
#[tokio::test]
async fn both_directions_full_do_not_block() {
    const MANY: usize = 1_500;
    // More in all than the system keeps for a connection.
    const LEN: usize = 8_000;
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let stanza = format!("<body>{}</body>", "x".repeat(LEN));
    let (heard, mut hears) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, _| {
        let (tls, heard) = (tls.clone(), heard.clone());
        let stanza = format!("<message from='a@b/c'>{stanza}</message>");
        async move {
            let mut script = Script::new(tcp).bound(&tls, "x").await;
            // It does not read before all of it is written.
            script.say(&stanza.repeat(MANY)).await;
            let mut all = script.heard.as_bytes().to_vec();
            while !all.ends_with(b"</stream:stream>") {
                assert!(script.io.read_buf(&mut all).await.unwrap() > 0);
            }
            let all = String::from_utf8(all).unwrap();
            heard.send(all.matches("<message").count()).unwrap();
            script.say("</stream:stream>").await;
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    let body = xtls_stanza::Element::new("body", "jabber:client").with_text("x".repeat(LEN));
    let message = xtls_stanza::Envelope {
        from: None,
        to: Some(xtls_stanza::Address::new("a@b/c").unwrap()),
        id: String::new(),
        content: xtls_stanza::Content::Message {
            kind: xtls_stanza::MessageKind::Chat,
            payloads: vec![xtls_stanza::Payload::Other(body)],
            error: None,
        },
    };
    let (mut sent, mut received) = (0, 0);
    poll_fn(|cx| {
        loop {
            // What has no room waits, and nothing else does.
            let mut moved = false;
            if sent < MANY && link.poll_ready(cx).is_ready() {
                link.start_send(message.clone()).unwrap();
                (sent, moved) = (sent + 1, true);
            }
            if let Poll::Ready(event) = link.poll_next(cx) {
                let event = event.unwrap();
                assert!(matches!(event, LinkEvent::Envelope(_)), "{event:?}");
                (received, moved) = (received + 1, true);
            }
            if (sent, received) == (MANY, MANY) {
                return Poll::Ready(());
            }
            if !moved {
                let _ = link.poll_flush(cx).map(Result::unwrap);
                return Poll::Pending;
            }
        }
    })
    .await;
    link.close().await.unwrap();
    assert_eq!(hears.recv().await.unwrap(), MANY);
}
