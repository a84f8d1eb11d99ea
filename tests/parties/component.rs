//! A component of Prosody's and of ejabberd's, with a user of theirs.

use xtls_link::{ComponentLink, ComponentOptions, ConnectError, Link, LinkEvent};
use xtls_stanza::{Address, Body, Condition, Content, Envelope, MessageKind, Payload, StanzaError};
use xtls_tests::live::person::Person;
use xtls_tests::live::server::Server;
use xtls_tests::live::soon;
use zeroize::Zeroizing;

fn options(server: &Server, secret: &str) -> ComponentOptions {
    let domain = Address::new(server.component()).unwrap();
    let secret = Zeroizing::new(secret.trim().to_owned());
    ComponentOptions::new(&domain, secret).server("127.0.0.1", server.component_port())
}

async fn refused(server: &Server) {
    let connected = ComponentLink::connect(options(server, "wherefore"));
    let error = soon("a refusal", connected).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Authentication { .. }),
        "{error:?}"
    );
}

fn message(from: Option<&Address>, to: &Address, text: &str) -> Envelope {
    Envelope {
        from: from.cloned(),
        to: Some(to.clone()),
        id: "m1".to_owned(),
        content: Content::Message {
            kind: MessageKind::Chat,
            payloads: vec![Payload::from(Body::new(text))],
            error: None,
        },
    }
}

async fn next(component: &mut ComponentLink) -> Envelope {
    loop {
        match soon("a stanza for the component", component.next())
            .await
            .unwrap()
        {
            LinkEvent::Envelope(envelope) => return envelope,
            other => println!("{other:?}"),
        }
    }
}

/// The next stanza from the component.
async fn answer(link: &mut Link, domain: &str) -> Envelope {
    loop {
        match soon("an answer of the component", link.next())
            .await
            .unwrap()
        {
            LinkEvent::Envelope(envelope)
                if envelope.from.as_ref().map(Address::domain) == Some(domain) =>
            {
                return envelope;
            }
            other => println!("{other:?}"),
        }
    }
}

async fn answered(server: &Server) {
    let secret = std::fs::read_to_string(server.component_secret_file()).unwrap();
    let connected = ComponentLink::connect(options(server, &secret));
    let mut component = soon("the component", connected).await.unwrap();
    let romeo = Person::new(server, "romeo");
    let mut link = romeo.link("orchard").await;

    // From one address of the domain to one of its users, and back, with what XML escapes.
    let nurse = Address::new(&format!("nurse@{}", server.component())).unwrap();
    let said = "by & by <i>I come</i> \u{1f339}";
    link.send(message(None, &nurse, said)).await.unwrap();
    let heard = next(&mut component).await;
    assert_eq!(heard.to.as_ref(), Some(&nurse));
    assert_eq!(heard.from.as_ref(), Some(link.bound()));
    assert_eq!(heard.body(None).unwrap().text, said);
    component
        .send(&message(Some(&nurse), link.bound(), said))
        .await
        .unwrap();
    let back = answer(&mut link, server.component()).await;
    assert_eq!(back.from.as_ref(), Some(&nurse));
    assert_eq!(back.body(None).unwrap().text, said);

    // A request to the domain itself, refused.
    let domain = Address::new(server.component()).unwrap();
    let request = Envelope {
        from: None,
        to: Some(domain.clone()),
        id: "q1".to_owned(),
        content: Content::Get(Payload::Ping),
    };
    link.send(request).await.unwrap();
    let heard = next(&mut component).await;
    let condition = Condition::ServiceUnavailable;
    let refused = heard.error(StanzaError::new(condition.default_type(), condition));
    component.send(&refused).await.unwrap();
    let back = answer(&mut link, server.component()).await;
    assert_eq!((back.from.as_ref(), &*back.id), (Some(&domain), "q1"));
    assert!(matches!(back.content, Content::Error(error) if error.condition == condition));

    // What it asks of itself comes back, which shows that the server is there.
    let ping = Envelope {
        from: Some(domain.clone()),
        to: Some(domain.clone()),
        id: "q2".to_owned(),
        content: Content::Get(Payload::Ping),
    };
    component.send(&ping).await.unwrap();
    let heard = next(&mut component).await;
    assert_eq!((heard.from.as_ref(), &*heard.id), (Some(&domain), "q2"));

    soon("the end", component.close()).await.unwrap();
    soon("the end", link.close()).await.unwrap();
}

#[tokio::test]
async fn prosody_refuses_a_component_with_a_wrong_secret() {
    refused(&Server::free()).await;
}

#[tokio::test]
async fn ejabberd_refuses_a_component_with_a_wrong_secret() {
    refused(&Server::ejabberd()).await;
}

#[tokio::test]
async fn a_user_of_prosody_is_answered_by_a_component() {
    answered(&Server::free()).await;
}

#[tokio::test]
async fn a_user_of_ejabberd_is_answered_by_a_component() {
    answered(&Server::ejabberd()).await;
}
