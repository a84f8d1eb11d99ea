//! A component's link, over servers that are scripts in memory or on loopback.

use std::sync::Mutex;

use tokio::io::DuplexStream;
use xtls_stanza::{Address, Content, Envelope, PresenceKind};

use super::dialled::{Dialled, dialler};
use super::*;
use crate::{ComponentLink, ComponentOptions, LinkError, LinkEvent, SendError};

const COMPONENT: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
    xmlns:stream='http://etherx.jabber.org/streams' from='echo.example.org' id='3BF96D32'>";

fn options() -> ComponentOptions {
    let domain = Address::new("echo.example.org").unwrap();
    ComponentOptions::new(&domain, Zeroizing::new("pencil".to_owned())).retry(Retry {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(4),
        give_up: Duration::from_secs(20),
    })
}

fn in_memory<F, S>(script: S) -> (ComponentOptions, Arc<Dialled>)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(Script<DuplexStream>, usize) -> F + Send + Sync + 'static,
{
    let (dialer, dialled) = dialler(script);
    (options().dialer(dialer), dialled)
}

async fn refuse(mut script: Script<DuplexStream>, condition: &str) {
    script.hear(" to='echo.example.org'>").await;
    let conditions = "urn:ietf:params:xml:ns:xmpp-streams";
    let error = format!("<stream:error><{condition} xmlns='{conditions}'/></stream:error>");
    script
        .say(&format!("{COMPONENT}{error}</stream:stream>"))
        .await;
    script.rest().await;
}

async fn accept(script: &mut Script<DuplexStream>) {
    script.hear(" to='echo.example.org'>").await;
    script.say(COMPONENT).await;
    let proof = "<handshake>c1de38bb7c8c976c7c797aa823cc87fed81f408b</handshake>";
    assert_eq!(script.hear("</handshake>").await, proof);
    script.say("<handshake/>").await;
}

fn presence(from: Option<&str>, id: &str) -> Envelope {
    Envelope {
        from: from.map(|from| Address::new(from).unwrap()),
        to: Some(Address::new("juliet@example.org").unwrap()),
        id: id.to_owned(),
        content: Content::Presence {
            kind: PresenceKind::Available,
            payloads: Vec::new(),
        },
    }
}

#[tokio::test]
async fn another_machine_is_refused_before_anything_is_sent() {
    // Addresses for documentation, which nobody has.
    for host in [
        "192.0.2.1",
        "2001:db8::1",
        "[2001:db8::1]",
        "::ffff:192.0.2.1",
    ] {
        let error = ComponentLink::connect(options().server(host, 5347)).await;
        let error = error.unwrap_err();
        assert!(
            matches!(error, ConnectError::Unencrypted { .. }) && error.is_final(),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn an_address_in_a_domain_is_no_component() {
    let address = Address::new("juliet@example.org").unwrap();
    let options = ComponentOptions::new(&address, Zeroizing::default());
    let error = ComponentLink::connect(options).await.unwrap_err();
    assert!(matches!(error, ConnectError::Address(_)), "{error:?}");
}

#[tokio::test]
async fn a_wrong_secret_is_tried_once() {
    let (options, dialled) = in_memory(|script, _| refuse(script, "not-authorized"));
    let error = ComponentLink::connect(options).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Authentication { .. }),
        "{error:?}"
    );
    assert_eq!(dialled.all(), ["localhost 5347"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let (options, _) = in_memory(|script, _| async move { drop(script.rest().await) });
    let options = options.timeout(Duration::from_secs(7));
    let error = ComponentLink::connect(options).await.unwrap_err();
    let limit = Duration::from_secs(7);
    assert_eq!(error, ConnectError::Timeout { limit });
}

#[tokio::test]
async fn a_stanza_from_elsewhere_is_refused_and_nothing_of_it_is_sent() {
    let (options, _) = in_memory(|mut script, _| async move {
        accept(&mut script).await;
        let rest = script.hear("</stream:stream>").await;
        assert!(!rest.contains("presence"), "{rest}");
        script.say("</stream:stream>").await;
    });
    let mut link = ComponentLink::connect(options).await.unwrap();
    for from in [None, Some("a@example.org"), Some("example.org")] {
        let sent = link.send(&presence(from, "p")).await;
        let is_refused = matches!(
            sent,
            Err(SendError::NoSender | SendError::OtherSender { .. })
        );
        assert!(is_refused, "{sent:?}");
    }
    link.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_the_server_still_holds_is_waited_for_after_a_loss_and_not_before() {
    let (options, _) = in_memory(|script, _| refuse(script, "conflict"));
    let error = ComponentLink::connect(options).await.unwrap_err();
    assert!(matches!(error, ConnectError::Stream(_)), "{error:?}");

    let (options, dialled) = in_memory(|mut script, number| async move {
        match number {
            0 => accept(&mut script).await,
            1 | 2 => refuse(script, "conflict").await,
            _ => {
                accept(&mut script).await;
                script.rest().await;
            }
        }
    });
    let mut link = ComponentLink::connect(options).await.unwrap();
    loop {
        match link.next().await.unwrap() {
            LinkEvent::Suspended(_) | LinkEvent::Waiting(_) => {}
            LinkEvent::Rebound(domain) => break assert_eq!(domain.as_str(), "echo.example.org"),
            other @ (LinkEvent::Envelope(_) | LinkEvent::Resumed) => panic!("{other:?}"),
        }
    }
    assert_eq!(dialled.all().len(), 4);
}

#[tokio::test]
async fn a_domain_that_somebody_has_taken_ends_the_link() {
    let (options, dialled) = in_memory(|mut script, _| async move {
        accept(&mut script).await;
        let conditions = "urn:ietf:params:xml:ns:xmpp-streams";
        let error = format!("<stream:error><conflict xmlns='{conditions}'/></stream:error>");
        script.say(&error).await;
        script.rest().await;
    });
    let mut link = ComponentLink::connect(options).await.unwrap();
    let error = link.next().await.unwrap_err();
    assert!(matches!(error, LinkError::Lost(_)), "{error:?}");
    let sent = link.send(&presence(Some("echo.example.org"), "p")).await;
    assert_eq!(sent, Err(SendError::Ended(error)));
    assert_eq!(dialled.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_is_bound_anew_and_sends_what_waited() {
    let heard = Arc::new(Mutex::new(String::new()));
    let all = Arc::clone(&heard);
    let (options, _) = in_memory(move |mut script, number| {
        let all = Arc::clone(&all);
        async move {
            accept(&mut script).await;
            if number == 0 {
                return;
            }
            let rest = script.hear("</stream:stream>").await;
            all.lock().unwrap().push_str(&rest);
            script.say("</stream:stream>").await;
        }
    });
    let mut link = ComponentLink::connect(options).await.unwrap();
    let event = link.next().await.unwrap();
    assert!(matches!(event, LinkEvent::Suspended(_)), "{event:?}");
    let other = link.send(&presence(Some("a@example.org"), "p0")).await;
    assert!(
        matches!(other, Err(SendError::OtherSender { .. })),
        "{other:?}"
    );
    for id in ["p1", "p2"] {
        let sent = link.send(&presence(Some("echo.example.org/x"), id)).await;
        assert_eq!(sent, Ok(()));
    }
    let event = link.next().await.unwrap();
    assert!(matches!(event, LinkEvent::Rebound(_)), "{event:?}");
    let sent = link.send(&presence(Some("x@echo.example.org"), "p3")).await;
    assert_eq!(sent, Ok(()));
    link.close().await.unwrap();
    let heard = heard.lock().unwrap();
    let ids: Vec<_> = heard.split(" id='").skip(1).map(|id| &id[..2]).collect();
    assert_eq!(ids, ["p1", "p2", "p3"]);
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_answered_from_the_domain() {
    let (options, _) = in_memory(|mut script, _| async move {
        accept(&mut script).await;
        script
            .say("<iq type='get' id='q' from='a@b' to='echo.example.org'/>")
            .await;
        let answer = script.hear("</iq>").await;
        assert!(answer.starts_with("<iq from='echo.example.org' to='a@b' id='q' type='error'>"));
        script
            .say("<message from='a@b' to='x@echo.example.org' id='m'/>")
            .await;
        script.rest().await;
    });
    let mut link = ComponentLink::connect(options).await.unwrap();
    let event = link.next().await.unwrap();
    assert!(matches!(event, LinkEvent::Envelope(envelope) if envelope.id == "m"));
}

#[tokio::test]
async fn a_component_works_over_tcp_on_this_machine() {
    let server = Server::start(|tcp, _| async move {
        let mut script = Script::new(tcp);
        script.hear(" to='echo.example.org'>").await;
        script.say(COMPONENT).await;
        script.hear("</handshake>").await;
        script
            .say("<handshake/><message from='a@b' to='echo.example.org' id='m'/>")
            .await;
        script.hear("</stream:stream>").await;
    })
    .await;
    let options = options().server("127.0.0.1", server.port);
    let mut link = ComponentLink::connect(options).await.unwrap();
    let event = link.next().await.unwrap();
    assert!(matches!(event, LinkEvent::Envelope(envelope) if envelope.id == "m"));
    // The server hangs up in place of an end tag.
    link.close().await.unwrap();
}
