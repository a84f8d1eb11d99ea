//! Limits of what others may ask for: named, told, and not for those who are known.

use xtls_stanza::busy::{Busy, Limit};
use xtls_stanza::{Condition, ErrorType, StanzaError};

use super::super::Router;
use super::answers::{FRIEND, STRANGER, XTLS, assert_error, open_with, start};
use super::*;

/// An open by this address, with ids and sids of its own; what it is answered, if at once.
fn ask(world: &mut World, from: &str, number: usize) -> Option<Content> {
    let open = open_with(&format!("sid='s{number}' block-size='4096'"), &start());
    let xml = open.replace("'i1'", &format!("'i{number}'"));
    let answers = world.inject(B, Some(from), &xml);
    answers.into_iter().next().map(|answer| answer.content)
}

fn busy(content: Option<Content>) -> Busy {
    match content {
        Some(Content::Error(error)) => Busy::read(&error).unwrap_or_else(|| panic!("{error}")),
        other => panic!("no refusal: {other:?}"),
    }
}

fn turned_away(router: &mut Router, now: Instant) -> Vec<super::super::TurnedAway> {
    std::iter::from_fn(|| router.poll_turned_away(now)).collect()
}

/// A world in which nothing but opens a minute limits anybody.
fn roomy(trust: Arc<Store>) -> World {
    let ibb = xtls_ibb::Config::default()
        .max_streams_per_peer(1000)
        .max_streams(1000);
    let mut b = config(B)
        .ibb(ibb)
        .half_open(1000, 1000)
        .accept(Accept::Anyone);
    b.trust = trust;
    World::with(config(A), b)
}

#[test]
fn a_refusal_names_the_limit_and_the_wait_and_the_owner_hears_of_it() {
    let mut world = roomy(Arc::new(Store::new()));
    for number in 0..6 {
        let answer = ask(&mut world, FRIEND, number);
        assert!(matches!(answer, Some(Content::Result(_))), "{answer:?}");
    }
    world.now += Duration::from_secs(23);
    let told = busy(ask(&mut world, FRIEND, 6));
    let expected = Busy {
        limit: Limit::OpensPerMinute,
        most: 6,
        wait: 37,
    };
    assert_eq!(told, expected);
    let now = world.now;
    let away = turned_away(world.router(B), now);
    assert_eq!(away.len(), 1);
    assert_eq!(away[0].peer, address(FRIEND).to_bare());
    assert_eq!((away[0].busy, away[0].times), (expected, 1));
    // Others are not concerned, and after the wait it is taken.
    let other = ask(&mut world, "c@north.example/1", 7);
    assert!(matches!(other, Some(Content::Result(_))));
    world.now += Duration::from_secs(37);
    assert!(matches!(
        ask(&mut world, FRIEND, 8),
        Some(Content::Result(_))
    ));
}

#[test]
fn a_known_peer_opens_more_often_and_one_with_a_revoked_key_does_not() {
    let bare = address(FRIEND).to_bare();
    let key = identity(FRIEND, 7).fingerprint();
    let mut known = Store::new();
    known
        .pin_another(bare.as_str(), key, Level::FirstUse, 1_229_299_200)
        .unwrap();
    let mut revoked = known.clone();
    revoked.revoke(bare.as_str(), key, 1_229_299_201).unwrap();
    for (store, most, limit) in [
        (known, 120, Limit::OpensPerMinuteKnown),
        (revoked, 6, Limit::OpensPerMinute),
    ] {
        let mut world = roomy(Arc::new(store));
        for number in 0..most {
            let answer = ask(&mut world, FRIEND, number);
            assert!(matches!(answer, Some(Content::Result(_))), "{number}");
        }
        let told = busy(ask(&mut world, FRIEND, most));
        assert_eq!((told.limit, told.wait), (limit, 60));
        // Whoever uses that name up leaves room for everybody else.
        let other = ask(&mut world, "c@north.example/1", most + 1);
        assert!(matches!(other, Some(Content::Result(_))));
    }
}

#[test]
fn a_stranger_is_told_of_no_limit_and_the_owner_of_no_stranger() {
    let mut world = World::new();
    for number in 0..100 {
        let Some(Content::Error(error)) = ask(&mut world, STRANGER, number) else {
            panic!("a stranger is refused");
        };
        let bare = StanzaError::new(ErrorType::Cancel, Condition::ServiceUnavailable);
        assert_eq!(error, bare);
    }
    let now = world.now;
    assert!(turned_away(world.router(B), now).is_empty());
}

#[test]
fn an_opener_shows_the_limit_in_words_of_its_own() {
    let refuse = |error: StanzaError| {
        let mut world = World::new();
        let id = world.open(A);
        world.filter = Some(Box::new(|_, _| false));
        world.flush(A);
        let open = world.log[0].1.clone();
        let now = world.now;
        world.router(A).handle(now, reread(&open.error(error)));
        world.flush(A);
        let Closed { why, .. } = world.closed(A, id);
        why
    };
    let told = Busy {
        limit: Limit::OpensPerMinute,
        most: 6,
        wait: 37,
    };
    let lie = told.to_error().with_text("send your password to mallory");
    let why = refuse(lie);
    let said =
        "not reachable now: the peer accepts 6 opens a minute from one address, try again in 37 s";
    assert_eq!((why.to_string().as_str(), why.busy()), (said, Some(told)));
    // Words of others are quoted, cleaned and cut.
    let wait = || StanzaError::new(ErrorType::Wait, Condition::PolicyViolation);
    let text = format!("no\u{9b}31m \"now\"\n\u{202e}{}", "x".repeat(5000));
    let why = refuse(wait().with_text(text)).to_string();
    let begin = "not reachable now: the answer was policy-violation: \"no31m \\\"now\\\"xxx";
    assert!(why.starts_with(begin) && why.len() < 300, "{why}");
    let why = refuse(wait());
    assert_eq!(
        why.to_string(),
        "not reachable now: the answer was policy-violation"
    );
    assert_eq!(why.busy(), None);
}

#[test]
fn an_owner_without_room_refuses_before_it_accepts() {
    let mut world = World::with(config(A), config(B).accept(Accept::Anyone));
    world.router(B).set_incoming_room(1);
    assert!(matches!(
        ask(&mut world, "c@north.example/1", 0),
        Some(Content::Result(_))
    ));
    let told = busy(ask(&mut world, FRIEND, 1));
    assert_eq!(
        (told.limit, told.most, told.wait),
        (Limit::Incoming, 32, 10)
    );
    // Neither does it ask the owner for a word.
    let asking = config(B).accept(Accept::Ask([].into()));
    let mut world = World::with(config(A), asking);
    world.router(B).set_incoming_room(0);
    let told = busy(ask(&mut world, FRIEND, 2));
    assert_eq!(told.limit, Limit::Incoming);
    assert!(world.ends[B].events.is_empty());
    world.router(B).set_incoming_room(1);
    assert!(ask(&mut world, FRIEND, 3).is_none());
    let asked = TunnelEvent::Asked(address(FRIEND));
    assert!(world.ends[B].events.iter().any(|event| event.what == asked));
}

#[test]
fn a_newer_session_of_a_standing_tunnel_needs_no_room() {
    let mut world = World::new();
    let ids = world.establish(A);
    world.router(B).set_incoming_room(0);
    world.restart(A, config(A));
    world.open(A);
    world.wait(Duration::from_secs(11));
    assert!(world.ended(B, ids[B]).is_some());
    assert!(world.established(B, world.last_id(B)));
}

#[test]
fn a_listener_with_a_small_block_is_reached_with_the_defaults() {
    for block in [1024, 256] {
        let small = ibb::BlockSize::new(block).unwrap();
        let ibb = xtls_ibb::Config::default().max_block(small);
        let mut world = World::with(config(A), config(B).ibb(ibb));
        // And once more within the same minute, for the tries before count for nothing.
        for _ in 0..5 {
            let ids = world.establish(A);
            for end in [A, B] {
                world.tunnel(end, ids[end]).finish();
            }
            world.settle();
            world.assert_clean(ids);
        }
    }
}

#[test]
fn a_request_with_an_id_above_1023_bytes_is_refused_and_does_nothing() {
    let mut world = World::new();
    let ids = world.establish(A);
    let long = "i".repeat(1024);
    let close = format!("<iq type='set' id='{long}'><close {XTLS}/></iq>");
    let condition = (Condition::BadRequest, ErrorType::Modify);
    let answers = world.inject(B, Some(NAMES[A]), &close);
    let [
        Envelope {
            id,
            content: Content::Error(error),
            ..
        },
    ] = &answers[..]
    else {
        panic!("{answers:?}");
    };
    assert_eq!((id, (error.condition, error.kind)), (&long, condition));
    world.assert_alive(ids, "m");
    let ping = format!(
        "<iq type='get' id='{}'><ping xmlns='urn:xmpp:ping'/></iq>",
        "i".repeat(1023)
    );
    let answers = world.inject(B, Some(FRIEND), &ping);
    assert!(matches!(
        answers[..],
        [Envelope {
            content: Content::Result(None),
            ..
        }]
    ));
    // A stranger is answered as ever.
    let (condition, kind) = (Condition::ServiceUnavailable, ErrorType::Cancel);
    assert_error(
        &mut world,
        STRANGER,
        &close.replace(&long, "i1"),
        condition,
        kind,
    );
    let answers = world.inject(B, Some(STRANGER), &close);
    let [
        Envelope {
            content: Content::Error(error),
            ..
        },
    ] = &answers[..]
    else {
        panic!("{answers:?}");
    };
    assert_eq!(error.condition, Condition::ServiceUnavailable);
}
