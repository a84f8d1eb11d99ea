//! What a server says it takes (XEP-0478).

use std::time::Instant;

use tokio::sync::mpsc;

use super::*;
use crate::LinkEvent;

fn bind_within(limits: &str) -> String {
    BIND.replace(
        "<bind ",
        &format!("<limits xmlns='urn:xmpp:stream-limits:0'>{limits}</limits><bind "),
    )
}

/// A link to a server with these limits, which hands on what it hears after the presence.
async fn limited(limits: &str) -> (Link, mpsc::UnboundedReceiver<String>) {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (heard, hears) = mpsc::unbounded_channel();
    let features = bind_within(limits);
    let server = Server::start(move |tcp, _| {
        let (tls, heard, features) = (tls.clone(), heard.clone(), features.clone());
        async move {
            let mut script = Script::new(tcp).logged_in(&tls, &features).await;
            script.bind("xtls").await;
            script.hear("</presence>").await;
            while let Some(iq) = script.element("</iq>").await {
                let _ = heard.send(iq);
            }
        }
    })
    .await;
    (server.link(&authority).await, hears)
}

#[tokio::test]
async fn limits_without_sense_keep_nobody_out() {
    for limits in [
        "<max-bytes>0</max-bytes>",
        "<max-bytes>-1</max-bytes>",
        "<max-bytes>1000000000000000000000000000000</max-bytes>",
        "<max-bytes/>",
        "<idle-seconds>0</idle-seconds>",
        "<max-bytes><max-bytes/></max-bytes>",
        "nonsense",
    ] {
        let (link, _) = limited(limits).await;
        assert_eq!(link.stanza_limit(), None, "{limits}");
    }
    for limits in [
        "<max-bytes>1</max-bytes>",
        "<max-bytes>1</max-bytes><max-bytes>20000</max-bytes>",
        "<max-bytes>20000</max-bytes></limits><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>1</max-bytes>",
    ] {
        let (link, _) = limited(limits).await;
        assert_eq!(link.stanza_limit(), Some(10_000), "{limits}");
    }
}

#[tokio::test]
async fn blocks_keep_within_the_limit_that_the_server_announces() {
    for (limit, block) in [("10000", 6732), ("65536", 48_384), ("262144", 65_535)] {
        let (mut link, mut hears) = limited(&format!("<max-bytes>{limit}</max-bytes>")).await;
        let config = xtls_ibb::Config::default().block_size(xtls_stanza::ibb::BlockSize::MAX);
        let mut mux = xtls_ibb::Mux::new(link.bound().clone(), config, [7; 32]);
        mux.set_server_limit(link.stanza_limit());
        let (now, to) = (Instant::now(), normalise("romeo@example.net/x").unwrap());
        mux.open(now, &to, xtls_ibb::OpenOptions::default())
            .unwrap();
        link.send(mux.poll_transmit(now).unwrap()).await.unwrap();
        let open = hears.recv().await.unwrap();
        assert!(open.contains("<open "), "{open}");
        assert!(
            open.contains(&format!("block-size='{block}'")),
            "{limit}: {open}"
        );
    }
}

#[tokio::test]
async fn a_new_binding_brings_the_limit_of_its_own_server() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, number| {
        let tls = tls.clone();
        async move {
            let features = match number {
                0 => bind_within("<max-bytes>20000</max-bytes>"),
                _ => BIND.to_owned(),
            };
            let mut script = Script::new(tcp).logged_in(&tls, &features).await;
            script.bind("xtls").await;
            script.hear("</presence>").await;
            if number > 0 {
                script.rest().await;
            }
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    assert_eq!(link.stanza_limit(), Some(20_000));
    while !matches!(link.next().await.unwrap(), LinkEvent::Rebound(_)) {
        assert_eq!(link.stanza_limit(), Some(20_000));
    }
    assert_eq!(link.stanza_limit(), None);
}
