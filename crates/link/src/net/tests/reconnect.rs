//! After a loss.

use tokio::sync::mpsc;
use xtls_stanza::{Address, Content, Envelope, Payload};

use super::*;
use crate::{LinkError, LinkEvent};

fn ping(id: &str) -> Envelope {
    Envelope {
        from: None,
        to: Some(Address::new("example.org").unwrap()),
        id: id.to_owned(),
        content: Content::Get(Payload::Ping),
    }
}

/// What happens next besides interruptions, of which there may be more than one.
async fn after_interruption(link: &mut Link) -> Result<LinkEvent, LinkError> {
    assert!(matches!(link.next().await?, LinkEvent::Suspended(_)));
    loop {
        let inbound = link.next().await?;
        if !matches!(inbound, LinkEvent::Suspended(_) | LinkEvent::Waiting(_)) {
            return Ok(inbound);
        }
    }
}

#[tokio::test]
async fn a_lost_connection_is_resumed_and_what_was_lost_is_sent_again() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (heard, mut hears) = mpsc::unbounded_channel();
    let server = Server::start(move |tcp, number| {
        let (tls, heard) = (tls.clone(), heard.clone());
        async move {
            let mut script = Script::new(tcp).logged_in(&tls, BIND_AND_SM).await;
            if number == 0 {
                script.bind("x").await;
                script.hear("<enable").await;
                script.hear(">").await;
                script
                    .say(
                        "<enabled xmlns='urn:xmpp:sm:3' id='sm1' resume='true'/><message id='m0'/>",
                    )
                    .await;
                script.hear("</presence>").await;
                script.say("<a xmlns='urn:xmpp:sm:3' h='1'/>").await;
                script.hear("</iq>").await;
                return;
            }
            script.hear("<resume ").await;
            let resume = script.hear("/>").await;
            script
                .say("<resumed xmlns='urn:xmpp:sm:3' h='1' previd='sm1'/><message id='m1'/>")
                .await;
            let again = script.hear("</iq>").await;
            heard.send((resume, again)).unwrap();
            script.rest().await;
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    assert!(matches!(link.next().await.unwrap(), LinkEvent::Envelope(first) if first.id == "m0"));
    link.send(ping("p1")).await.unwrap();
    assert_eq!(
        after_interruption(&mut link).await.unwrap(),
        LinkEvent::Resumed
    );
    assert!(matches!(link.next().await.unwrap(), LinkEvent::Envelope(second) if second.id == "m1"));
    let (resume, again) = hears.recv().await.unwrap();
    assert!(
        resume.contains("h='1'") && resume.contains("previd='sm1'"),
        "{resume}"
    );
    assert!(again.contains("'p1'"), "{again}");
}

#[tokio::test]
async fn what_cannot_be_resumed_is_bound_anew() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, number| {
        let tls = tls.clone();
        async move {
            let script = Script::new(tcp).bound(&tls, &format!("x{number}")).await;
            if number > 0 {
                script.rest().await;
            }
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    assert_eq!(link.bound().as_str(), "juliet@example.org/x0");
    let new = Address::new("juliet@example.org/x1").unwrap();
    assert_eq!(
        after_interruption(&mut link).await.unwrap(),
        LinkEvent::Rebound(new.clone())
    );
    assert_eq!(link.bound(), &new);
}

#[tokio::test]
async fn a_password_that_no_longer_fits_ends_the_link() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, number| {
        let tls = tls.clone();
        async move {
            if number == 0 {
                Script::new(tcp).bound(&tls, "x").await;
                return;
            }
            let mut script = Script::new(tcp).starttls(&tls).await;
            script.greet(&mechanisms(&["PLAIN"])).await;
            script.hear("</auth>").await;
            script
                .say(
                    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
                )
                .await;
            script.rest().await;
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    let end = after_interruption(&mut link).await.unwrap_err();
    assert!(matches!(end, LinkError::Refused(_)), "{end:?}");
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, number| {
        let tls = tls.clone();
        async move {
            if number == 0 {
                Script::new(tcp).bound(&tls, "x").await;
            }
        }
    })
    .await;
    let retry = Retry {
        first: Duration::from_millis(1),
        longest: Duration::from_millis(4),
        give_up: Duration::from_secs(1),
    };
    let mut link = connect(server.options(&authority).allow_plain(true).retry(retry))
        .await
        .unwrap();
    let end = after_interruption(&mut link).await.unwrap_err();
    assert!(matches!(end, LinkError::Lost(_)), "{end:?}");
    assert!(server.connections() > 2);
}

#[tokio::test]
async fn a_resource_in_use_stops_the_first_attempt() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, _| {
        let tls = tls.clone();
        async move {
            let mut script = Script::new(tcp).logged_in(&tls, BIND).await;
            let id = script.binding().await;
            script
                .say(&format!(
                    "<iq type='error' id='{id}'><error type='cancel'>\
                     <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
                ))
                .await;
            script.rest().await;
        }
    })
    .await;
    let options = server
        .options(&authority)
        .allow_plain(true)
        .resource("xtls");
    let error = connect(options).await.unwrap_err();
    assert_eq!(
        error,
        ConnectError::Conflict {
            address: "juliet@example.org/xtls".to_owned()
        }
    );
    // Flags are the program's to name.
    assert!(!error.to_string().contains("--"), "{error}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_server_without_room_is_told() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, _| {
        let tls = tls.clone();
        async move {
            let mut script = Script::new(tcp).logged_in(&tls, BIND).await;
            let id = script.binding().await;
            script
                .say(&format!(
                    "<iq type='error' id='{id}'><error type='wait'>\
                     <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
                ))
                .await;
            script.rest().await;
        }
    })
    .await;
    let error = connect(server.options(&authority).allow_plain(true))
        .await
        .unwrap_err();
    assert_eq!(error, ConnectError::Busy);
    assert!(!error.is_final());
}

#[tokio::test]
async fn closing_ends_even_while_the_server_is_away() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, number| {
        let tls = tls.clone();
        async move {
            if number == 0 {
                Script::new(tcp).bound(&tls, "x").await;
            } else {
                // Never says a word.
                Script::new(tcp).rest().await;
            }
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    assert!(matches!(link.next().await, Ok(LinkEvent::Suspended(_))));
    link.close().await.unwrap();
}

#[tokio::test]
async fn what_is_lost_is_given_once_and_kept_for_one_binding_only() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let server = Server::start(move |tcp, number| {
        let tls = tls.clone();
        async move {
            let script = Script::new(tcp).bound(&tls, &format!("x{number}")).await;
            if number > 1 {
                script.rest().await;
            }
        }
    })
    .await;
    let mut link = server.link(&authority).await;
    for outage in ["first", "second"] {
        assert!(matches!(link.next().await, Ok(LinkEvent::Suspended(_))));
        link.send(ping(outage)).await.unwrap();
        assert!(matches!(link.next().await, Ok(LinkEvent::Rebound(_))));
    }
    let lost = link.take_lost();
    assert_eq!(lost.len(), 1, "{lost:?}");
    let lost = std::str::from_utf8(&lost[0]).unwrap();
    assert!(lost.contains("'second'"), "{lost}");
    assert!(link.take_lost().is_empty());
}
