//! Where a server sends us.

use tokio::io::DuplexStream;

use super::dialled::{Dialled, dialler};
use super::*;
use crate::LinkEvent;

/// A stream error that names another host.
fn other_host(host: &str) -> String {
    format!(
        "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{host}</see-other-host></stream:error></stream:stream>"
    )
}

/// Binds, and stays.
async fn works(script: Script<DuplexStream>, tls: TlsAcceptor) {
    script.bound(&tls, "x").await.rest().await;
}

/// Sends on, before TLS or inside it.
async fn sends_on(mut script: Script<DuplexStream>, tls: TlsAcceptor, inside: bool, to: &str) {
    match inside {
        false => {
            let header = script.hear("version='1.0'>").await;
            assert!(header.contains("to='example.org'"), "{header}");
            script.say(&format!("{HEADER}{}", other_host(to))).await;
        }
        true => {
            let mut script = script.starttls(&tls).await;
            script.greet(&other_host(to)).await;
            script.rest().await;
        }
    }
}

#[tokio::test]
async fn hosts_are_followed_to_three_times_and_the_next_one_is_named() {
    for inside in [false, true] {
        let authority = Authority::new();
        let tls = authority.server("example.org");
        let (dialer, dialled) = dialler(move |script, number| {
            let tls = tls.clone();
            let next = format!("{number}.example:{}", 6000 + number);
            async move { sends_on(script, tls, inside, &next).await }
        });
        let error = connect(authority.through(dialer)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the server ended the connection: see-other-host 3.example:6003"
        );
        assert_eq!(
            dialled.all(),
            [
                "example.org 5222",
                "0.example 6000",
                "1.example 6001",
                "2.example 6002"
            ]
        );
    }
}

#[tokio::test]
async fn another_host_that_proves_the_name_is_followed_to() {
    for inside in [false, true] {
        for (host, dialled) in [
            ("b.example", "b.example 5222"),
            ("b.example:9222", "b.example 9222"),
            ("[2001:db8::1]:9222", "2001:db8::1 9222"),
            ("bücher.example", "xn--bcher-kva.example 5222"),
        ] {
            let authority = Authority::new();
            let tls = authority.server("example.org");
            let (dialer, all) = dialler(move |script, number| {
                let tls = tls.clone();
                async move {
                    match number {
                        0 => sends_on(script, tls, inside, host).await,
                        _ => works(script, tls).await,
                    }
                }
            });
            let link = connect(authority.through(dialer)).await.unwrap();
            assert_eq!(link.bound().as_str(), "juliet@example.org/x");
            assert_eq!(all.all(), ["example.org 5222", dialled]);
        }
    }
}

#[tokio::test]
async fn another_host_that_has_only_its_own_name_is_refused() {
    for inside in [false, true] {
        let authority = Authority::new();
        let tls = authority.server("example.org");
        let other = authority.server("b.example");
        let (dialer, all) = dialler(move |mut script, number| {
            let (tls, other) = (tls.clone(), other.clone());
            async move {
                if number == 0 {
                    return sends_on(script, tls, inside, "b.example").await;
                }
                script.greet(STARTTLS).await;
                script.hear("/>").await;
                script.say(PROCEED).await;
                assert!(other.accept(script.io).await.is_err());
            }
        });
        let error = connect(authority.through(dialer)).await.unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(why, "it is for b.example, not for example.org");
        assert_eq!(all.all(), ["example.org 5222", "b.example 5222"]);
    }
}

#[tokio::test]
async fn another_host_without_the_pinned_key_is_refused() {
    let authority = Authority::new();
    let (tls, pin) = authority.server_and_pin("a.example");
    let other = authority.server("example.org");
    let (dialer, all) = dialler(move |mut script, number| {
        let (tls, other) = (tls.clone(), other.clone());
        async move {
            if number == 0 {
                return sends_on(script, tls, true, "b.example").await;
            }
            script.greet(STARTTLS).await;
            script.hear("/>").await;
            script.say(PROCEED).await;
            assert!(other.accept(script.io).await.is_err());
        }
    });
    let error = connect(authority.through(dialer).pin(pin))
        .await
        .unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    let pinned = format!("its key is not the pinned one: pinned {pin}, presented ");
    assert!(why.starts_with(&pinned), "{why}");
    assert_eq!(all.all(), ["example.org 5222", "b.example 5222"]);
}

#[tokio::test]
async fn another_host_without_encryption_is_refused() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (dialer, _) = dialler(move |mut script, number| {
        let tls = tls.clone();
        async move {
            match number {
                0 => sends_on(script, tls, true, "b.example").await,
                _ => script.greet(&mechanisms(&["PLAIN"])).await,
            }
        }
    });
    let error = connect(authority.through(dialer)).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::NoStartTls { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_link_that_is_sent_elsewhere_is_resumed_there() {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (dialer, all) = dialler(move |script, number| {
        let tls = tls.clone();
        async move {
            let mut script = script.logged_in(&tls, BIND_AND_SM).await;
            if number == 0 {
                script.bind("x").await;
                script.hear("<enable").await;
                script
                    .say("<enabled xmlns='urn:xmpp:sm:3' id='sm1' resume='true'/>")
                    .await;
                script.hear("</presence>").await;
                script.say(&other_host("b.example")).await;
            } else {
                script.hear("<resume ").await;
                script
                    .say("<resumed xmlns='urn:xmpp:sm:3' h='1' previd='sm1'/>")
                    .await;
            }
            script.rest().await;
        }
    });
    let mut link = connect(authority.through(dialer)).await.unwrap();
    assert!(matches!(
        link.next().await.unwrap(),
        LinkEvent::Suspended(_)
    ));
    assert_eq!(link.next().await.unwrap(), LinkEvent::Resumed);
    assert_eq!(all.all(), ["example.org 5222", "b.example 5222"]);
}

/// A session that was enabled with a place to come back to (XEP-0198 §3), and what becomes of the second connection.
async fn comes_back(
    server: Option<&str>,
    second: fn(Script<DuplexStream>, TlsAcceptor) -> Boxed,
) -> (Vec<LinkEvent>, Arc<Dialled>) {
    let authority = Authority::new();
    let tls = authority.server("example.org");
    let (dialer, all) = dialler(move |script, number| {
        let tls = tls.clone();
        async move {
            match number {
                0 => {
                    let mut script = script.logged_in(&tls, BIND_AND_SM).await;
                    script.bind("x").await;
                    script.hear("<enable").await;
                    script
                        .say("<enabled xmlns='urn:xmpp:sm:3' id='sm1' resume='true' location='b.example:9222'/>")
                        .await;
                    script.hear("</presence>").await;
                }
                1 => second(script, tls).await,
                _ => works(script, tls).await,
            }
        }
    });
    let mut options = authority.through(dialer);
    if let Some(server) = server {
        options = options.server(server, 5222);
    }
    let mut link = connect(options).await.unwrap();
    let mut events = Vec::new();
    loop {
        let event = link.next().await.unwrap();
        let is_back = matches!(event, LinkEvent::Resumed | LinkEvent::Rebound(_));
        events.push(event);
        if is_back {
            return (events, all);
        }
    }
}

type Boxed = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

#[tokio::test]
async fn a_place_to_come_back_to_is_tried_first() {
    let (events, all) = comes_back(None, |script, tls| {
        Box::pin(async move {
            let mut script = script.logged_in(&tls, BIND_AND_SM).await;
            script.hear("<resume ").await;
            script
                .say("<resumed xmlns='urn:xmpp:sm:3' h='1' previd='sm1'/>")
                .await;
            script.rest().await;
        })
    })
    .await;
    assert!(matches!(
        events[..],
        [LinkEvent::Suspended(_), LinkEvent::Resumed]
    ));
    assert_eq!(all.all(), ["example.org 5222", "b.example 9222"]);
}

#[tokio::test]
async fn a_place_to_come_back_to_is_tried_once() {
    let (events, all) = comes_back(None, |_, _| Box::pin(async {})).await;
    assert!(matches!(
        events[..],
        [
            LinkEvent::Suspended(_),
            LinkEvent::Waiting(_),
            LinkEvent::Rebound(_)
        ]
    ));
    assert_eq!(
        all.all(),
        ["example.org 5222", "b.example 9222", "example.org 5222"]
    );
}

#[tokio::test]
async fn who_was_given_a_server_comes_back_to_it() {
    let (_, all) = comes_back(Some("a.example"), |script, tls| {
        Box::pin(works(script, tls))
    })
    .await;
    assert_eq!(all.all(), ["a.example 5222", "a.example 5222"]);
}
