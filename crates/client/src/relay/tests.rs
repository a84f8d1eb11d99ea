mod polling;

use xtls_stanza::{Content, MessageKind, Payload, Stanza};

use super::*;

const A: &str = "a@west.example/one";
const B: &str = "b@east.example/two";

fn address(text: &str) -> Address {
    Address::new(text).unwrap()
}

fn ping(to: &str, id: &str) -> Envelope {
    Envelope {
        from: None,
        to: Some(address(to)),
        id: id.to_owned(),
        content: Content::Get(Payload::Ping),
    }
}

async fn two(limits: Limits) -> (Relay, RelayLink, RelayLink) {
    let relay = Relay::start(limits);
    let a = relay.attach(address(A)).await.unwrap();
    let b = relay.attach(address(B)).await.unwrap();
    (relay, a, b)
}

async fn next(link: &mut RelayLink) -> Envelope {
    match link.next().await {
        Ok(LinkEvent::Envelope(envelope)) => envelope,
        other => panic!("{other:?}"),
    }
}

fn is_refusal(envelope: &Envelope) -> bool {
    matches!(&envelope.content, Content::Error(e) if e.condition == Condition::ServiceUnavailable)
}

#[tokio::test(start_paused = true)]
async fn a_stanza_arrives_stamped_whoever_it_claims_to_be_from() {
    let (_relay, mut a, mut b) = two(Limits::default()).await;
    let mut forged = ping(B, "i1");
    forged.from = Some(address("mallory@evil.example/den"));
    a.send(forged).await.unwrap();
    let got = next(&mut b).await;
    assert_eq!(got.from, Some(address(A)));
    assert_eq!(got.to, Some(address(B)));
    assert_eq!(got.id, "i1");
}

#[tokio::test(start_paused = true)]
async fn what_finds_nobody_comes_back_if_somebody_waits_for_it() {
    let (_relay, mut a, _b) = two(Limits::default()).await;
    for to in [
        "nobody@x.example/r",
        "b@east.example",
        "east.example",
        "b@east.example/other",
    ] {
        a.send(ping(to, "i1")).await.unwrap();
        let bounce = next(&mut a).await;
        assert_eq!((bounce.from, bounce.id.as_str()), (Some(address(to)), "i1"));
        let message = Content::Message {
            kind: MessageKind::Chat,
            payloads: Vec::new(),
            error: None,
        };
        a.send(Envelope {
            content: message,
            ..ping(to, "m1")
        })
        .await
        .unwrap();
        let bounce = next(&mut a).await;
        assert_eq!(bounce.id, "m1");
        assert!(matches!(
            bounce.content,
            Content::Message {
                kind: MessageKind::Error,
                error: Some(_),
                ..
            }
        ));
    }
    // Answers, errors and presence are dropped: nothing of them comes before the next bounce.
    let request = ping("nobody@x.example/r", "i2");
    a.send(Envelope {
        content: Content::Result(None),
        ..request.clone()
    })
    .await
    .unwrap();
    let error = StanzaError::new(ErrorType::Cancel, Condition::Conflict);
    a.send(Envelope {
        content: Content::Error(error.clone()),
        ..request.clone()
    })
    .await
    .unwrap();
    let error = Content::Message {
        kind: MessageKind::Error,
        payloads: Vec::new(),
        error: Some(error),
    };
    a.send(Envelope {
        content: error,
        ..request.clone()
    })
    .await
    .unwrap();
    let presence = Content::Presence {
        kind: xtls_stanza::PresenceKind::Available,
        payloads: Vec::new(),
    };
    a.send(Envelope {
        content: presence,
        ..request.clone()
    })
    .await
    .unwrap();
    a.send(Envelope {
        id: "last".to_owned(),
        ..request
    })
    .await
    .unwrap();
    let bounce = next(&mut a).await;
    assert!(is_refusal(&bounce));
    assert_eq!(bounce.id, "last");
}

#[tokio::test(start_paused = true)]
async fn a_stanza_without_an_addressee_is_the_servers_who_knows_nothing() {
    let (_relay, mut a, _b) = two(Limits::default()).await;
    a.send(Envelope {
        to: None,
        ..ping(B, "i1")
    })
    .await
    .unwrap();
    let bounce = next(&mut a).await;
    assert!(is_refusal(&bounce) && bounce.from.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_address_is_bound_once_and_free_again_afterwards() {
    let (relay, a, mut b) = two(Limits::default().latency(Duration::from_secs(5))).await;
    let error = relay.attach(address(A)).await.unwrap_err();
    assert_eq!(error, LinkError::Conflict(A.to_owned()));
    drop(a);
    let mut again = relay.attach(address(A)).await.unwrap();
    // The old link's farewell arrives late, and is not the new one's.
    tokio::time::sleep(Duration::from_secs(60)).await;
    b.send(ping(A, "i1")).await.unwrap();
    assert_eq!(next(&mut again).await.id, "i1");
    again.send(ping(B, "i2")).await.unwrap();
    assert_eq!(next(&mut b).await.id, "i2");
    drop(again);
    tokio::time::sleep(Duration::from_secs(60)).await;
    b.send(ping(A, "i3")).await.unwrap();
    assert!(is_refusal(&next(&mut b).await));
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_the_end_still_arrives() {
    let (_relay, mut a, mut b) = two(Limits::default().latency(Duration::from_secs(5))).await;
    for number in 0..10 {
        a.send(ping(B, &format!("i{number}"))).await.unwrap();
    }
    a.close().await.unwrap();
    for number in 0..10 {
        assert_eq!(next(&mut b).await.id, format!("i{number}"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stanza_that_is_too_long_cuts_its_senders_link_for_good() {
    let (relay, mut a, mut b) = two(Limits::default().max_stanza(200)).await;
    a.send(ping(B, "short")).await.unwrap();
    let error = a.send(ping(B, &"i".repeat(200))).await.unwrap_err();
    let why = std::error::Error::source(&error).unwrap().to_string();
    assert!(why.contains("policy-violation"), "{why}");
    for _ in 0..2 {
        assert_eq!(a.send(ping(B, "i2")).await, Err(error.clone()));
        assert_eq!(a.next().await, Err(error.clone()));
    }
    assert_eq!(next(&mut b).await.id, "short");
    // To the others its address is nobody's.
    tokio::time::sleep(Duration::from_millis(1)).await;
    b.send(ping(A, "i3")).await.unwrap();
    assert!(is_refusal(&next(&mut b).await));
    relay.attach(address(A)).await.unwrap();
}

/// Sends until that takes longer than a second; how many stanzas went out.
async fn flood(link: &mut RelayLink, to: &str, id: &str) -> usize {
    for sent in 0..10_000 {
        let send = link.send(ping(to, id));
        if tokio::time::timeout(Duration::from_secs(1), send)
            .await
            .is_err()
        {
            return sent;
        }
    }
    panic!("there is no limit");
}

#[tokio::test(start_paused = true)]
async fn who_sends_more_than_is_read_waits_and_the_link_of_the_other_stands() {
    let (_relay, mut a, mut b) = two(Limits::default().queue(20_000)).await;
    let sent = flood(&mut a, B, "flood").await;
    for _ in 0..sent {
        assert_eq!(next(&mut b).await.id, "flood");
    }
    // Nothing was bounced, and both go on.
    b.send(ping(A, "i1")).await.unwrap();
    assert_eq!(next(&mut a).await.id, "i1");
    a.send(ping(B, "i2")).await.unwrap();
    assert_eq!(next(&mut b).await.id, "i2");
}

#[tokio::test(start_paused = true)]
async fn a_flood_leaves_room_and_turns_to_others() {
    let (relay, mut a, mut b) = two(Limits::default().queue(20_000)).await;
    let friend = "friend@south.example/three";
    let mut c = relay.attach(address(friend)).await.unwrap();
    let flooded = flood(&mut a, B, &"x".repeat(1000)).await;
    for number in 0..5 {
        c.send(ping(B, &format!("i{number}"))).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut before = 0;
    for number in 0..5 {
        loop {
            let envelope = next(&mut b).await;
            if envelope.from == Some(address(friend)) {
                assert_eq!(envelope.id, format!("i{number}"));
                break;
            }
            before += 1;
        }
    }
    assert!(before <= 3 && flooded > 10, "{before} of {flooded}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_its_answers_stops_nobody() {
    let (relay, mut a, mut b) = two(Limits::default().queue(20_000)).await;
    let mut c = relay
        .attach(address("friend@south.example/three"))
        .await
        .unwrap();
    let started = Instant::now();
    for number in 0..1000 {
        // It asks and reads no answer.
        a.send(ping(B, &format!("i{number}"))).await.unwrap();
        let request = next(&mut b).await;
        b.send(request.result(None)).await.unwrap();
    }
    b.send(ping("friend@south.example/three", "i1"))
        .await
        .unwrap();
    assert_eq!(next(&mut c).await.id, "i1");
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn what_comes_for_a_link_that_reads_nothing_for_10_s_is_bounced_until_it_reads() {
    let (_relay, mut a, mut b) = two(Limits::default().queue(2000)).await;
    let started = Instant::now();
    let mut sent = 0;
    let bounce = loop {
        tokio::select! {
            bounce = next(&mut a) => break bounce,
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
        if let Ok(done) = tokio::time::timeout(Duration::ZERO, a.send(ping(B, "i1"))).await {
            done.unwrap();
            sent += 1;
        }
    };
    let took = started.elapsed();
    assert!((10..11).contains(&took.as_secs()), "{took:?}");
    assert!(matches!(&bounce.content, Content::Error(error)
        if (error.condition, error.kind) == (Condition::ResourceConstraint, ErrorType::Wait)));
    assert!(sent < 100, "{sent}");
    // Its link stands, and what had come is read.
    assert_eq!(next(&mut b).await.id, "i1");
    while tokio::time::timeout(Duration::from_secs(1), next(&mut b))
        .await
        .is_ok()
    {}
    b.send(ping(A, "back")).await.unwrap();
    while next(&mut a).await.id != "back" {}
    a.send(ping(B, "again")).await.unwrap();
    assert_eq!(next(&mut b).await.id, "again");
}

#[tokio::test(start_paused = true)]
async fn a_reader_keeps_its_link_whatever_passes() {
    let (_relay, mut a, mut b) = two(Limits::default().queue(2000)).await;
    for number in 0..1000 {
        a.send(ping(B, &format!("i{number}"))).await.unwrap();
        assert_eq!(next(&mut b).await.id, format!("i{number}"));
    }
}

#[tokio::test(start_paused = true)]
async fn latency_delays_and_keeps_the_order() {
    let latency = Duration::from_millis(300);
    let (_relay, mut a, mut b) = two(Limits::default().latency(latency)).await;
    let started = Instant::now();
    for number in 0..100 {
        a.send(ping(B, &format!("i{number}"))).await.unwrap();
    }
    for number in 0..100 {
        assert_eq!(next(&mut b).await.id, format!("i{number}"));
    }
    let took = started.elapsed();
    assert!(took >= latency && took < latency * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_delay_a_stanza_waits_for_no_timer() {
    let (_relay, mut a, mut b) = two(Limits::default()).await;
    let started = Instant::now();
    for number in 0..100 {
        a.send(ping(B, &format!("i{number}"))).await.unwrap();
        let request = next(&mut b).await;
        b.send(request.result(None)).await.unwrap();
        next(&mut a).await;
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_and_the_sender_waits() {
    let (_relay, mut a, mut b) = two(Limits::default().rate(1000)).await;
    let length = {
        let mut xml = Vec::new();
        ping(B, "0000").write(&mut xml);
        xml.len()
    };
    let started = Instant::now();
    let reader = tokio::spawn(async move {
        for number in 0..300 {
            assert_eq!(next(&mut b).await.id, format!("{number:04}"));
        }
    });
    for number in 0..300 {
        a.send(ping(B, &format!("{number:04}"))).await.unwrap();
    }
    let sent = started.elapsed();
    reader.await.unwrap();
    let took = started.elapsed().as_secs_f64();
    let least = (300 * length) as f64 / 1000.0;
    assert!(
        took >= least && took < least * 1.1,
        "{took} s instead of {least}"
    );
    // A few wait in the relay's queue, and the others in the sender.
    assert!(sent.as_secs_f64() > least * 0.7, "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_on_its_way_is_bounded() {
    let (_relay, mut a, _b) = two(Limits::default().latency(Duration::from_secs(1000))).await;
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_secs(1), a.send(ping(B, "i1")))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 10_000, "there is no limit");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watcher_sees_everything_in_order() {
    let (relay, mut a, mut b) = two(Limits::default().latency(Duration::from_secs(1))).await;
    let mut seen = relay.watch();
    a.send(ping(B, "i1")).await.unwrap();
    let request = next(&mut b).await;
    b.send(request.result(None)).await.unwrap();
    a.send(ping("nobody@x.example/r", "i2")).await.unwrap();
    next(&mut a).await;
    next(&mut a).await;
    let mut pairs = Vec::new();
    while let Ok(seen) = seen.try_recv() {
        let stanza = Stanza::read(&seen.xml).unwrap();
        assert_eq!(stanza.from.as_ref(), Some(&seen.from));
        pairs.push((
            seen.from.to_string(),
            seen.to.unwrap().to_string(),
            stanza.id.unwrap(),
        ));
    }
    let of = |from: &str, to: &str, id: &str| (from.to_owned(), to.to_owned(), id.to_owned());
    pairs.sort();
    assert_eq!(
        pairs,
        [
            of(A, B, "i1"),
            of(A, "nobody@x.example/r", "i2"),
            of(B, A, "i1"),
            of("nobody@x.example/r", A, "i2"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_that_breaks_the_rules_is_answered_for_its_reader() {
    let (relay, a, mut b) = two(Limits::default()).await;
    // Two payloads in one request: no envelope at all, so it goes in as text.
    let xml = format!(
        "<iq xmlns='jabber:client' type='set' id='i1' to='{B}'><a xmlns='x'/><b xmlns='x'/></iq>"
    );
    relay.route(&address(A), 1, &xml.into_bytes().into()).await;
    let mut a = a;
    let (answer, _) = tokio::join!(
        next(&mut a),
        tokio::time::timeout(Duration::from_secs(1), b.next())
    );
    assert_eq!(answer.id, "i1");
    assert!(matches!(answer.content, Content::Error(e) if e.condition == Condition::BadRequest));
}

#[tokio::test(start_paused = true)]
async fn what_is_no_xml_cuts_its_sender() {
    let (relay, mut a, mut b) = two(Limits::default()).await;
    relay
        .route(&address(A), 1, &Bytes::from_static(b"<iq"))
        .await;
    assert!(matches!(a.next().await, Err(LinkError::Lost(_))));
    b.send(ping(A, "i1")).await.unwrap();
    assert!(is_refusal(&next(&mut b).await));
}

#[tokio::test(start_paused = true)]
async fn a_relay_without_handles_goes_on_for_its_links() {
    let (relay, mut a, mut b) = two(Limits::default()).await;
    drop(relay);
    a.send(ping(B, "i1")).await.unwrap();
    assert_eq!(next(&mut b).await.id, "i1");
}
