//! New keys for a conversation that goes on, and what becomes of requests.

use xtls_session::{By, Receipt};
use xtls_stanza::{Condition, ErrorType, StanzaError};

use super::*;

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn keys(age: Duration, bytes: u64) -> xtls_session::Config {
    xtls_session::Config::default().keys(age, bytes)
}

pub(super) fn with(session: xtls_session::Config, early: bool) -> World {
    let ibb = || {
        xtls_ibb::Config::default()
            .block_size(ibb::BlockSize::MAX)
            .opens_per_minute(1000)
            .opens_per_minute_in_all(1000)
    };
    World::with(
        config(A).session(session).ibb(ibb()).early(early),
        config(B).session(session).ibb(ibb()).early(early),
    )
}

impl World {
    fn renewals(&self, end: usize, id: TunnelId) -> usize {
        let renewed = |what: &&TunnelEvent| matches!(what, TunnelEvent::Renewed(_));
        self.whats(end, id).filter(renewed).count()
    }

    fn unanswered(&self, end: usize, id: TunnelId) -> Vec<String> {
        let id_of = |what: &TunnelEvent| match what {
            TunnelEvent::Unanswered(stanza) => stanza.id.clone(),
            _ => None,
        };
        self.whats(end, id).filter_map(id_of).collect()
    }
}

fn request(id: &str) -> Stanza {
    let query = Element::new("query", "jabber:iq:version");
    Stanza::new(Kind::Iq)
        .with_type("get")
        .with_id(id)
        .with_child(&query)
}

fn sids(world: &World) -> usize {
    let open = |(_, envelope): &&(usize, Envelope)| word(envelope) == "open";
    world.log.iter().filter(open).count()
}

#[test]
fn keys_of_a_day_are_replaced_and_the_conversation_keeps_its_name() {
    for opener in [A, B] {
        let mut world = World::new();
        let ids = world.establish(opener);
        world.wait(HOUR * 23);
        assert_eq!(world.renewals(A, ids[A]), 0);
        world.wait(HOUR * 2);
        for end in [A, B] {
            assert_eq!(world.renewals(end, ids[end]), 1, "{opener} {end}");
            assert!(world.ended(end, ids[end]).is_none());
            assert_eq!(
                world.last_id(end),
                ids[end],
                "nobody hears of a second tunnel"
            );
        }
        world.say(A, ids[A], "m1");
        world.say(B, ids[B], "m2");
        world.settle();
        assert_eq!(world.received(B, ids[B]), ["m1"]);
        assert_eq!(world.received(A, ids[A]), ["m2"]);
        assert_eq!(sids(&world), 2);
        world.tunnel(A, ids[A]).close();
        world.tunnel(B, ids[B]).close();
        world.wait(Duration::from_secs(100));
        world.assert_clean(ids);
    }
}

#[test]
fn renewals_lose_and_reorder_nothing() {
    for early in [true, false] {
        let mut world = with(keys(HOUR * 24, 30_000), early);
        let ids = world.establish(A);
        let body = "x".repeat(500);
        for number in 0..1000 {
            for end in [A, B] {
                let stanza = message(&format!("m{number}"), &body);
                loop {
                    match world.tunnel(end, ids[end]).send(&stanza) {
                        Ok(()) => break,
                        Err(super::super::SendError::Session(xtls_session::SendError::Full)) => {
                            assert!(world.deliver(end) | world.deliver(1 - end));
                        }
                        Err(error) => panic!("{number} {end} {error}"),
                    }
                }
                // Neither end keeps step with the other.
                if number % 3 == end {
                    world.deliver(end);
                }
                if number % 7 == 0 {
                    world.deliver(1 - end);
                }
            }
        }
        world.settle();
        let all: Vec<_> = (0..1000).map(|number| format!("m{number}")).collect();
        for end in [A, B] {
            assert_eq!(world.received(end, ids[end]), all, "{end}");
            assert_eq!(world.last_id(end), ids[end]);
            assert!(
                world.renewals(end, ids[end]) >= 3,
                "{}",
                world.renewals(end, ids[end])
            );
        }
        assert_eq!(
            world.ends[A].router.tunnels.len(),
            1,
            "what was replaced has been closed"
        );
    }
}

#[test]
fn a_renewal_that_is_refused_changes_nothing() {
    let mut world = World::new();
    let ids = world.establish(A);
    world.alter = Some(Box::new(|end, mut envelope| {
        if end == B && matches!(&envelope.content, Content::Result(Some(Payload::Xtls(_)))) {
            let error = StanzaError::new(ErrorType::Cancel, Condition::NotAcceptable);
            envelope.content = Content::Error(error);
        }
        envelope
    }));
    world.wait(HOUR * 25);
    for end in [A, B] {
        assert_eq!(world.renewals(end, ids[end]), 0);
        assert!(
            world.ended(end, ids[end]).is_none(),
            "{:?}",
            world.closed(end, ids[end])
        );
        assert_eq!(world.last_id(end), ids[end]);
    }
    world.say(A, ids[A], "m1");
    world.say(B, ids[B], "m2");
    world.settle();
    assert_eq!(world.received(B, ids[B]), ["m1"]);
    assert_eq!(world.received(A, ids[A]), ["m2"]);
}

#[test]
fn requests_move_with_a_renewal_and_are_answered_in_the_new_session() {
    let mut world = World::new();
    let ids = world.establish(A);
    world.tunnel(A, ids[A]).send(&request("v1")).unwrap();
    world.wait(HOUR * 25);
    assert_eq!(world.renewals(A, ids[A]), 1);
    world.tunnel(A, ids[A]).abort();
    world.settle();
    assert_eq!(world.unanswered(A, ids[A]), ["v1"], "it was waiting still");
}

#[test]
fn requests_without_an_answer_fail_when_the_tunnel_ends() {
    let mut world = World::new();
    let ids = world.establish(A);
    for id in ["v1", "v2", "v3"] {
        world.tunnel(A, ids[A]).send(&request(id)).unwrap();
    }
    world.settle();
    let answer = Stanza::new(Kind::Iq).with_type("result").with_id("v2");
    world.tunnel(B, ids[B]).send(&answer).unwrap();
    world.settle();
    world.tunnel(B, ids[B]).abort();
    world.settle();
    assert_eq!(world.unanswered(A, ids[A]), ["v1", "v3"]);
    let failed = world.whats(A, ids[A]).find_map(|what| match what {
        TunnelEvent::Unanswered(stanza) => Some(stanza.clone()),
        _ => None,
    });
    let failed = failed.unwrap();
    assert_eq!(failed.from, Some(address(NAMES[B])));
    assert_eq!(failed.to, Some(address(NAMES[A])));
    assert!(String::from_utf8_lossy(&failed.children).contains("remote-server-timeout"));
    assert!(world.ended(A, ids[A]).is_some());
    assert_eq!(world.unanswered(B, ids[B]), [""; 0]);
}

#[test]
fn requests_of_a_tunnel_that_was_not_closed_fail_although_a_newer_one_stands() {
    let mut world = World::new();
    let [_, old] = world.establish(A);
    world.tunnel(B, old).send(&request("v1")).unwrap();
    world.settle();
    world.restart(A, config(A));
    let [_, new] = world.establish(A);
    assert_eq!(world.closed(B, old).why, Why::Replaced);
    assert_eq!(world.unanswered(B, old), ["v1"]);
    assert_eq!(world.unanswered(B, new), [""; 0]);
}

#[test]
fn a_replaced_tunnel_whose_end_never_comes_is_cut_after_10_s() {
    let mut world = World::new();
    let [_, old] = world.establish(A);
    // What B says on the old stream goes astray, so nobody tells it that the stream is gone.
    let sid = world
        .log
        .iter()
        .find_map(|(_, envelope)| match &envelope.content {
            Content::Set(Payload::Open(open)) => Some(open.sid.clone()),
            _ => None,
        });
    world.restart(A, config(A));
    world.filter = Some(Box::new(move |end, envelope| match &envelope.content {
        Content::Set(Payload::Data(data)) => end == A || Some(&data.sid) != sid.as_ref(),
        _ => true,
    }));
    let a = world.open(A);
    world.settle();
    world.say(A, a, "m1");
    world.wait(Duration::from_millis(9_900));
    assert!(world.ended(B, old).is_none());
    assert_eq!(
        world.last_id(B),
        old,
        "nothing of the new one is handed out before"
    );
    world.wait(Duration::from_millis(200));
    let closed = world.closed(B, old);
    assert_eq!(
        (closed.by, closed.why, closed.clean),
        (By::Us, Why::Replaced, false)
    );
    let new = world.last_id(B);
    assert!(world.established(B, new));
    assert_eq!(world.received(B, new), ["m1"]);
}

/// One stanza each way a second, for so long.
fn creep(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        world.now += Duration::from_secs(1);
        let now = world.now;
        for end in [A, B] {
            world.router(end).handle_timeout(now);
            world.deliver(end);
        }
    }
}

#[test]
fn a_renewal_on_a_slow_path_loses_nothing_while_anything_moves() {
    let ibb = || {
        xtls_ibb::Config::default()
            .block_size(ibb::BlockSize::new(256).unwrap())
            .window(xtls_ibb::Window::OneChunk)
    };
    let session = keys(HOUR, u64::MAX);
    let mut world = World::with(
        config(A).session(session).ibb(ibb()),
        config(B).session(session).ibb(ibb()),
    );
    let ids = world.establish(A);
    world.wait(HOUR - Duration::from_secs(1));
    let body = "x".repeat(300);
    for number in 0..30 {
        for end in [A, B] {
            let stanza = message(&format!("m{number}"), &body);
            world.tunnel(end, ids[end]).send(&stanza).unwrap();
        }
    }
    creep(&mut world, 400);
    let all: Vec<_> = (0..30).map(|number| format!("m{number}")).collect();
    for end in [A, B] {
        assert_eq!(world.ended(end, ids[end]), None);
        assert_eq!(world.renewals(end, ids[end]), 1);
        assert_eq!(world.received(end, ids[end]), all, "{end}");
    }
}

#[test]
fn a_slow_owner_is_waited_for_when_its_session_is_replaced() {
    let mut world = with(keys(HOUR, u64::MAX), true);
    let ids = world.establish(A);
    world.wait(HOUR - Duration::from_secs(1));
    world.tunnel(A, ids[A]).hold(true);
    for number in 0..200 {
        let stanza = message(&format!("m{number}"), &"x".repeat(1000));
        if world.tunnel(B, ids[B]).send(&stanza).is_err() {
            break;
        }
        world.deliver(B);
    }
    world.wait(Duration::from_secs(50));
    world.tunnel(A, ids[A]).hold(false);
    world.wait(Duration::from_secs(60));
    for end in [A, B] {
        assert_eq!(world.last_id(end), ids[end]);
        assert_eq!(world.ended(end, ids[end]), None);
        assert_eq!(world.renewals(end, ids[end]), 1);
    }
}

/// A renews its keys. What B says in the new session is lost on the way, its sign that it has moved there included.
fn withheld() -> (World, [TunnelId; 2]) {
    let mut world = World::new();
    let ids = world.establish(A);
    let first = world.sid();
    world.filter = Some(Box::new(move |end, envelope| match &envelope.content {
        Content::Set(Payload::Data(data)) => end == A || data.sid == first,
        _ => true,
    }));
    world.wait(HOUR * 24);
    (world, ids)
}

#[test]
fn an_end_that_may_have_been_a_move_to_a_session_that_never_stood_is_not_clean() {
    let (mut world, ids) = withheld();
    world.say(B, ids[B], "m1");
    world.wait(Duration::from_secs(1));
    assert_eq!(world.received(A, ids[A]), [""; 0], "it went the new way");
    world.wait(HOUR);
    let closed = world.closed(A, ids[A]);
    assert!(!closed.clean, "{closed:?}");
    let finished = |what: &TunnelEvent| matches!(what, TunnelEvent::PeerFinished);
    assert!(!world.whats(A, ids[A]).any(finished), "nobody has said so");
}

#[test]
fn an_end_is_the_peers_when_the_newer_session_cannot_have_stood() {
    let mut world = World::new();
    let ids = world.establish(A);
    // The renewal's open is never answered.
    world.filter = Some(Box::new(|end, envelope| {
        end == A || !matches!(envelope.content, Content::Result(Some(_)))
    }));
    world.wait(HOUR * 24);
    world.tunnel(B, ids[B]).finish();
    world.wait(HOUR);
    assert!(
        world
            .whats(A, ids[A])
            .any(|what| matches!(what, TunnelEvent::PeerFinished))
    );
    world.tunnel(A, ids[A]).finish();
    world.wait(HOUR);
    assert!(world.closed(A, ids[A]).clean);
}

#[test]
fn an_end_that_overtakes_a_renewal_leaves_one_tunnel_and_is_told_once() {
    for finish_at in 0..12 {
        let mut world = with(keys(HOUR, u64::MAX), true);
        let ids = world.establish(A);
        world.now += HOUR;
        let now = world.now;
        world.router(A).handle_timeout(now);
        // So much of the new session's beginning has gone over the wire.
        for _ in 0..finish_at {
            world.deliver(A);
            world.deliver(B);
        }
        // What A says on the new stream comes late from here on.
        let first = world.sid();
        world.filter = Some(Box::new(move |end, envelope| match &envelope.content {
            Content::Set(Payload::Data(data)) => end == B || data.sid == first,
            _ => true,
        }));
        world.say(A, ids[A], "m1");
        let (now, before) = (world.now, world.log.len());
        world.tunnel(A, ids[A]).finish();
        world.settle();
        world.filter = None;
        let late: Vec<_> = world.log[before..]
            .iter()
            .filter(|(end, envelope)| match &envelope.content {
                Content::Set(Payload::Data(data)) => *end == A && data.sid != world.sid(),
                _ => false,
            })
            .map(|(_, envelope)| envelope.clone())
            .collect();
        for envelope in late {
            world.router(B).handle(now, envelope);
        }
        world.settle();
        world.say(B, ids[B], "m2");
        world.tunnel(B, ids[B]).finish();
        world.wait(Duration::from_secs(300));
        assert_eq!(world.received(B, ids[B]), ["m1"], "{finish_at}");
        assert_eq!(world.received(A, ids[A]), ["m2"], "{finish_at}");
        for end in [A, B] {
            assert_eq!(world.last_id(end), ids[end], "{finish_at} {end}");
            let finished = world
                .whats(end, ids[end])
                .filter(|what| matches!(what, TunnelEvent::PeerFinished));
            assert_eq!(finished.count(), 1, "{finish_at} {end}");
            let closed = world.closed(end, ids[end]);
            assert!(closed.clean, "{finish_at} {end}");
            let taken = (closed.unconfirmed, closed.receipt);
            assert_eq!(taken, (0, Receipt::Taken), "{finish_at} {end}");
        }
    }
}

#[test]
fn half_a_conversation_gets_new_keys_too() {
    let mut world = with(keys(HOUR, u64::MAX), true);
    let ids = world.establish(A);
    world.tunnel(B, ids[B]).finish();
    world.wait(HOUR + Duration::from_secs(100));
    world.say(A, ids[A], "m1");
    world.wait(Duration::from_secs(100));
    assert_eq!(world.renewals(A, ids[A]), 1);
    assert_eq!(world.received(B, ids[B]), ["m1"]);
    world.tunnel(A, ids[A]).finish();
    world.wait(Duration::from_secs(100));
    world.assert_clean(ids);
    let finished = |what: &&TunnelEvent| matches!(what, TunnelEvent::PeerFinished);
    assert_eq!(world.whats(A, ids[A]).filter(finished).count(), 1);
}

#[test]
fn an_abort_takes_back_a_renewal_that_is_on_its_way() {
    let mut world = with(keys(HOUR, u64::MAX), true);
    let ids = world.establish(A);
    // Its open is not answered yet.
    world.filter = Some(Box::new(|end, envelope| {
        end == A || !matches!(envelope.content, Content::Result(Some(_)))
    }));
    world.wait(HOUR);
    assert_eq!(sids(&world), 2);
    world.filter = None;
    world.tunnel(A, ids[A]).abort();
    world.wait(HOUR);
    for end in [A, B] {
        assert!(world.ended(end, ids[end]).is_some());
        assert_eq!(world.ends[end].router.tunnels.len(), 0, "{end}");
    }
    assert_eq!(world.last_id(A), ids[A]);
}

#[test]
fn a_third_session_waits_until_the_second_stands() {
    let mut world = World::new();
    let [_, old] = world.establish(A);
    let sid = world
        .log
        .iter()
        .find_map(|(_, envelope)| match &envelope.content {
            Content::Set(Payload::Open(open)) => Some(open.sid.clone()),
            _ => None,
        });
    world.filter = Some(Box::new(move |end, envelope| match &envelope.content {
        Content::Set(Payload::Data(data)) => end == A || Some(&data.sid) != sid.as_ref(),
        _ => true,
    }));
    world.restart(A, config(A));
    world.open(A);
    world.settle();
    world.restart(A, config(A));
    let third = world.open(A);
    world.settle();
    assert!(matches!(world.closed(A, third).why, Why::Declined(_)));
    assert!(world.ended(B, old).is_none());
    world.wait(Duration::from_secs(11));
    assert_eq!(world.closed(B, old).why, Why::Replaced);
}
