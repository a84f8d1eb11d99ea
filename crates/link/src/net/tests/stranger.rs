//! Stanzas that a stranger can send through any server.

use tokio::sync::mpsc;

use super::*;
use crate::{LinkError, LinkEvent};

/// Sends these and then a plain one; gives what came out before it, and what the server heard.
async fn survives(stanzas: String) -> (Vec<LinkEvent>, String) {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (heard, mut hears) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, _| {
        let (tls, heard, stanzas) = (tls.clone(), heard.clone(), stanzas.clone());
        async move {
            let mut script = Script::new(tcp).bound(&tls, "x").await;
            script.say(&stanzas).await;
            script.say("<message id='last'/>").await;
            let all = script.hear("</stream:stream>").await;
            script.say("</stream:stream>").await;
            heard.send(all).unwrap();
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    let mut out = Vec::new();
    loop {
        let inbound = link.next().await.unwrap();
        if matches!(&inbound, LinkEvent::Envelope(envelope) if envelope.id == "last") {
            break;
        }
        out.push(inbound);
    }
    link.close().await.unwrap();
    assert_eq!(server.connections(), 1);
    (out, hears.recv().await.unwrap())
}

#[tokio::test]
async fn a_deep_stanza_is_dropped() {
    let deep = format!(
        "<message from='a@b/c'>{}{}</message>",
        "<a>".repeat(30_000),
        "</a>".repeat(30_000)
    );
    assert_eq!(survives(deep).await.0, []);
}

#[tokio::test]
async fn a_long_attribute_does_not_end_the_stream() {
    let long = "x".repeat(20_000);
    let (out, _) = survives(format!(
        "<message from='a@b/c' id='{long}'/><message from='a@b/c'><x xmlns='y' a='{long}'/></message>"
    ))
    .await;
    assert_eq!(out.len(), 2);
}

#[tokio::test]
async fn a_request_with_two_payloads_is_answered() {
    let (out, heard) =
        survives("<iq type='get' id='q' from='a@b/c'><x xmlns='y'/><x xmlns='y'/></iq>".to_owned())
            .await;
    assert_eq!(out, []);
    assert!(
        heard.contains("bad-request") && heard.contains("'q'") && heard.contains("'a@b/c'"),
        "{heard}"
    );
}

#[tokio::test]
async fn stanzas_of_any_shape_come_out() {
    let (out, _) = survives(
        "<iq type='error' id='1' from='a@b/c'><error code='503'/></iq>\
         <message from='a@b/c'><body>one</body><body>two</body></message>\
         <presence from='a@b/c'><show>lurking</show></presence>\
         <message from='a@b/c' type='unheard-of'/>"
            .to_owned(),
    )
    .await;
    assert_eq!(out.len(), 4);
}

#[tokio::test]
async fn what_xmpp_forbids_ends_the_link_and_is_not_tried_again() {
    let texts = [
        "<!-- a comment -->".to_owned(),
        "<?pi?>".to_owned(),
        "text".to_owned(),
        format!("<iq>{}</iq>", "a".repeat(5 * 1024 * 1024)),
        format!("<unheard-of a='{}'/>", "a".repeat(10_000)),
    ];
    for text in texts {
        let short: String = text.chars().take(40).collect();
        let authority = Authority::new();
        let tls = authority.server("example.org");
        let server = Server::start(move |tcp, _| {
            let (tls, text) = (tls.clone(), text.clone());
            async move {
                let mut script = Script::new(tcp).bound(&tls, "x").await;
                let _ = script.io.write_all(text.as_bytes()).await;
                let _ = script.io.flush().await;
                script.rest().await;
            }
        })
        .await;
        let mut link = server.link(&authority).await;
        let end = loop {
            match link.next().await {
                Ok(_) => {}
                Err(end) => break end,
            }
        };
        assert!(matches!(end, LinkError::Protocol(_)), "{short:?}: {end:?}");
        assert_eq!(server.connections(), 1, "{short:?}");
    }
}

#[tokio::test]
async fn a_sender_whose_name_unicode_3_2_does_not_know_is_dropped_and_is_nobody_else() {
    // Today's tables read the first as juliet@b, and know the emoji; the third asks, and the answer would go to another.
    let (out, heard) = survives(
        "<message from='juli\u{1D49}t@b/c'/><message from='juliet@b/\u{1F600}'/>\
         <iq type='get' id='q' from='juli\u{1D49}t@b/c'><x xmlns='y'/><x xmlns='y'/></iq>\
         <message from='a@b/c' to='juli\u{1D49}t@example.org/x'/>"
            .to_owned(),
    )
    .await;
    assert_eq!(out, []);
    assert!(
        !heard.contains("'q'") && !heard.contains("juliet@b"),
        "{heard}"
    );
}

#[tokio::test]
async fn a_sender_of_a_domain_written_for_the_dns_is_the_one_of_its_unicode_name() {
    let from = "romeo@xn--bcher-kva.example/x";
    let (out, _) = survives(format!("<message from='{from}'/>")).await;
    let senders = out.iter().map(|inbound| {
        let LinkEvent::Envelope(envelope) = inbound else {
            return None;
        };
        envelope.from.as_ref().map(|from| from.as_str())
    });
    assert_eq!(
        senders.collect::<Vec<_>>(),
        [Some("romeo@bücher.example/x")]
    );
}
