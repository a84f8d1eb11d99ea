//! What is not allowed is not reached.

use std::sync::atomic::Ordering;

use tokio::net::TcpStream;
use xtls_forward::{End, ForwardError, Report, Rule, Serve, Why};

use crate::support::{Answers, Pair, allowing, is_reset, local, refused, server};

/// Asks for `to` through a server with these rules and answers; why not.
async fn asked(to: &str, rules: &[&str], answers: &[&[&str]]) -> (Why, usize) {
    let answers = Answers::new(answers);
    let rules: Vec<_> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let serve = Serve {
        resolver: answers.clone(),
        ..allowing(&rules)
    };
    let rule = Rule::Local(format!("0:{to}").parse().unwrap());
    let mut pair = Pair::new(&[rule], serve);
    let mut client = TcpStream::connect(pair.listening().await).await.unwrap();
    assert!(is_reset(&mut client).await);
    let why = refused(&pair.last_of_near().await);
    assert_eq!(refused(&pair.last_of_far().await), why);
    (why, answers.asked.load(Ordering::Relaxed))
}

#[tokio::test]
async fn nothing_is_reached_unless_it_is_allowed() {
    let (listener, at) = server().await;
    assert_eq!(asked(&at.to_string(), &[], &[]).await, (Why::Denied, 0));
    let other = format!("127.0.0.1:{}", at.port().wrapping_add(1));
    assert_eq!(
        asked(&at.to_string(), &[&other], &[]).await,
        (Why::Denied, 0)
    );
    let accepted = tokio::select! {
        biased;
        _ = listener.accept() => true,
        () = tokio::task::yield_now() => false,
    };
    assert!(!accepted);
}

#[tokio::test]
async fn a_name_that_is_not_allowed_is_not_even_looked_up() {
    let denied = asked(
        "intranet:80",
        &["a.example:80", "10.0.0.5:80"],
        &[&["10.0.0.5"]],
    )
    .await;
    assert_eq!(denied, (Why::Denied, 0));
}

#[tokio::test]
async fn a_name_that_leads_to_this_machine_is_refused_where_only_public_ones_are_allowed() {
    let (_listener, at) = server().await;
    let place = format!("a.example:{}", at.port());
    for addresses in [
        &["127.0.0.1"][..],
        &["93.184.216.34", "127.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["169.254.169.254"],
    ] {
        assert_eq!(
            asked(&place, &["*:*"], &[addresses]).await,
            (Why::Denied, 1)
        );
    }
}

#[tokio::test]
async fn a_name_without_an_address_is_told_as_that() {
    assert_eq!(
        asked("a.example:80", &["a.example:80"], &[]).await,
        (Why::Unresolvable, 1)
    );
    assert_eq!(
        asked("a.example:80", &["a.example:80"], &[&[]]).await,
        (Why::Unresolvable, 1)
    );
}

#[tokio::test]
async fn a_place_where_nobody_listens_is_told_as_that() {
    let (listener, at) = server().await;
    drop(listener);
    assert_eq!(
        asked(&at.to_string(), &[&at.to_string()], &[]).await,
        (Why::Refused, 0)
    );
}

#[tokio::test]
async fn a_name_is_looked_up_once_and_what_was_judged_is_connected_to() {
    let (listener, at) = server().await;
    // Whoever asks a second time gets another answer.
    let answers = Answers::new(&[&["127.0.0.1"], &["169.254.169.254"]]);
    let place = format!("db.internal:{}", at.port());
    let serve = Serve {
        resolver: answers.clone(),
        ..allowing(std::slice::from_ref(&place))
    };
    let mut pair = Pair::new(&[Rule::Local(format!("0:{place}").parse().unwrap())], serve);
    let client = TcpStream::connect(pair.listening().await).await.unwrap();
    listener.accept().await.unwrap();
    assert_eq!(answers.asked.load(Ordering::Relaxed), 1);
    drop(client);
}

#[tokio::test]
async fn a_port_that_is_taken_here_is_an_error_before_there_is_a_tunnel() {
    let (_listener, at) = server().await;
    let rule = Rule::Local(format!("{}:a.example:80", at.port()).parse().unwrap());
    let mut pair = Pair::new(&[rule], Serve::default());
    let ended = (&mut pair.ended).await.unwrap();
    assert!(
        matches!(ended, Err(ForwardError::Listen { .. })),
        "{ended:?}"
    );
    assert!(pair.tunnels.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_peer_that_may_not_have_us_listen_is_refused_and_that_ends_the_forward() {
    let (_listener, at) = server().await;
    for allowed in [vec![], vec!["127.0.0.2:0".parse().unwrap()]] {
        let serve = Serve {
            allow_bind: allowed,
            ..Serve::default()
        };
        let rule = Rule::Remote(format!("0:{at}").parse().unwrap());
        let mut pair = Pair::new(&[rule], serve);
        let ended = (&mut pair.ended).await.unwrap();
        match ended {
            Err(ForwardError::Refused { refusal, .. }) => assert_eq!(refusal.why, Why::Denied),
            other => panic!("{other:?}"),
        }
        let report = pair.last_of_far().await;
        let Report::NotListening { refusal, .. } = report else {
            panic!("{report:?}");
        };
        assert_eq!(refusal.why, Why::Denied);
    }
}

#[tokio::test]
async fn a_first_tunnel_that_cannot_be_opened_is_an_error() {
    let connect = || {
        std::future::ready(Err::<tokio::io::DuplexStream, _>(std::io::Error::other(
            "offline",
        )))
    };
    let options = xtls_forward::Options::default();
    let ended = xtls_forward::forward(connect, Vec::new(), options).await;
    assert!(matches!(ended, Err(ForwardError::Connect(_))));
}

#[tokio::test]
async fn a_forward_that_is_refused_is_reported_with_where_it_came_from() {
    let (_listener, at) = server().await;
    let mut pair = Pair::new(&[local(at)], Serve::default());
    let client = TcpStream::connect(pair.listening().await).await.unwrap();
    let report = pair.last_of_near().await;
    let Report::Refused { from, to, by, .. } = report else {
        panic!("{report:?}");
    };
    assert_eq!(by, End::There);
    assert_eq!(from, client.local_addr().unwrap().to_string());
    assert_eq!(to.to_string(), at.to_string());
    let report = pair.last_of_far().await;
    assert!(matches!(report, Report::Refused { by: End::Here, .. }));
}
