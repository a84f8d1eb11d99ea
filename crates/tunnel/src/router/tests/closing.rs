//! The orderly end: TLS, then the tunnel, then the stream; and peers that do not play along.

use xtls_ibb::Window;
use xtls_session::{By, Why as Session};
use xtls_stanza::{Condition, ErrorType, StanzaError};

use super::*;

type Loss = fn(usize, &Envelope) -> bool;

/// B ends its direction, then A: B was first, so the closing is its own.
fn b_closes(world: &mut World, ids: [TunnelId; 2]) {
    world.tunnel(B, ids[B]).finish();
    world.settle();
    world.tunnel(A, ids[A]).finish();
    world.settle();
}

pub(super) fn established() -> (World, [TunnelId; 2]) {
    let mut world = World::new();
    let ids = world.establish(A);
    (world, ids)
}

/// Every `<close/>` of XTLS that was sent, with its `sid`.
fn closes(world: &World) -> Vec<(usize, Option<ibb::Sid>)> {
    let close = |(end, envelope): &(usize, Envelope)| match &envelope.content {
        Content::Set(Payload::Xtls(xtls::Control::Close { sid })) => Some((*end, sid.clone())),
        _ => None,
    };
    world.log.iter().filter_map(close).collect()
}

#[test]
fn layers_close_from_the_top_and_whoever_was_first_leads() {
    let (mut world, ids) = established();
    let before = world.log.len();
    b_closes(&mut world, ids);
    assert_eq!(
        world.words(before),
        [
            // B has finished, and A has taken everything.
            (B, "data"),
            (A, "result"),
            (A, "data"),
            (B, "result"),
            // A has finished, and B has taken everything: nothing can follow.
            (A, "data"),
            (B, "result"),
            (B, "data"),
            (A, "result"),
            (A, "data"),
            (B, "result"),
            (B, "xtls close"),
            (A, "xtls closed"),
            (B, "ibb close"),
            (A, "result"),
        ]
    );
    world.assert_clean(ids);
    assert_eq!(world.closed(A, ids[A]).by, By::Peer);
    assert_eq!(world.closed(B, ids[B]).by, By::Us);
}

#[test]
fn close_names_its_stream_where_our_alpn_was_agreed_on() {
    let (mut world, ids) = established();
    b_closes(&mut world, ids);
    assert_eq!(closes(&world), [(B, Some(world.sid()))]);
}

#[test]
fn close_is_the_letters_where_it_was_not() {
    let (mut world, ids) = established();
    let tunnel = world.router(B).tunnels.get_mut(ids[B]);
    tunnel.unwrap().carrier_mut().know_the_letter_only();
    b_closes(&mut world, ids);
    assert_eq!(closes(&world), [(B, None)]);
    world.assert_clean(ids);
}

#[test]
fn crossing_closes_end_in_every_order() {
    let mut crossed = 0;
    for order in interleavings(8) {
        let (mut world, ids) = established();
        for end in [A, B] {
            world.tunnel(end, ids[end]).close();
            world.flush(end);
        }
        for &end in &order {
            world.deliver(end);
        }
        world.settle();
        world.assert_clean(ids);
        if closes(&world).len() == 1 {
            continue;
        }
        crossed += 1;
        // The initiator closes the stream, unless its close was the other's already.
        let ibb = counts(
            world
                .words(0)
                .into_iter()
                .filter(|(_, word)| *word == "ibb close"),
        );
        assert_eq!(ibb.get(&(A, "ibb close")), Some(&1), "{order:?}");
    }
    assert!(crossed > 0);
}

#[test]
fn a_close_while_the_other_still_speaks_lets_it_end() {
    for order in interleavings(6) {
        let (mut world, ids) = established();
        for number in 0..20 {
            world.say(B, ids[B], &format!("m{number}"));
        }
        world.tunnel(B, ids[B]).finish();
        world.tunnel(A, ids[A]).close();
        for &end in &order {
            world.deliver(end);
        }
        world.settle();
        world.assert_clean(ids);
        assert_eq!(world.received(A, ids[A]).len(), 20);
    }
}

#[test]
fn an_end_of_one_direction_has_no_limit() {
    let (mut world, ids) = established();
    world.tunnel(A, ids[A]).finish();
    world.settle();
    assert!(
        world
            .whats(B, ids[B])
            .any(|what| *what == TunnelEvent::PeerFinished)
    );
    world.wait(Duration::from_secs(36_000));
    world.say(B, ids[B], "m1");
    world.settle();
    assert_eq!(world.received(A, ids[A]), ["m1"]);
    world.tunnel(B, ids[B]).finish();
    world.settle();
    world.assert_clean(ids);
}

/// The peer has said all it had to say, and a long answer goes out over a slow path: ends have no hurry unless asked.
#[test]
fn what_was_said_before_the_end_arrives_however_slow_the_path() {
    let window = Window::Fixed {
        bytes: 1024,
        chunk: 1024,
    };
    let slow = |end| config(end).ibb(xtls_ibb::Config::default().window(window));
    for first in [A, B] {
        let mut world = World::with(slow(A), slow(B));
        let ids = world.establish(A);
        let second = 1 - first;
        world.tunnel(first, ids[first]).finish();
        world.settle();
        world.say_all(second, ids[second], 60, 1000);
        world.tunnel(second, ids[second]).finish();
        // Every stanza takes two seconds.
        for _ in 0..2000 {
            if !world.deliver(A) && !world.deliver(B) {
                break;
            }
            world.wait_only(Duration::from_secs(2));
        }
        world.settle();
        assert_eq!(world.received(first, ids[first]).len(), 60);
        world.assert_clean(ids);
    }
}

#[test]
fn a_closer_without_its_answers_ends_in_time() {
    let lost: [(Loss, u64); 6] = [
        (
            |end, envelope| end == B || word(envelope) != "xtls closed",
            10,
        ),
        (
            |end, envelope| end == B || !matches!(word(envelope), "xtls closed" | "result"),
            80,
        ),
        (
            |end, envelope| end == A || word(envelope) != "xtls close",
            10,
        ),
        (
            |end, envelope| end == A || word(envelope) != "ibb close",
            10,
        ),
        (
            |end, envelope| end == A || !matches!(word(envelope), "xtls close" | "ibb close"),
            20,
        ),
        (
            |_, envelope| !matches!(word(envelope), "xtls close" | "xtls closed" | "ibb close"),
            20,
        ),
    ];
    for (at, (passes, limit)) in lost.into_iter().enumerate() {
        let (mut world, ids) = established();
        world.tunnel(B, ids[B]).finish();
        world.settle();
        world.filter = Some(Box::new(passes));
        world.tunnel(A, ids[A]).finish();
        world.settle();
        world.wait(Duration::from_secs(limit + 1));
        let closed = world.closed(B, ids[B]);
        assert!(closed.clean, "{at}: {closed:?}");
        world.wait(Duration::from_secs(100));
        assert!(world.closed(A, ids[A]).clean, "{at}");
        for end in [A, B] {
            assert_eq!(world.ends[end].router.leftovers(), 0, "{at}");
        }
    }
}

#[test]
fn an_error_in_place_of_closed_is_as_good() {
    for condition in [
        Condition::ItemNotFound,
        Condition::ServiceUnavailable,
        Condition::FeatureNotImplemented,
    ] {
        let (mut world, ids) = established();
        let now = world.now;
        world.tunnel(B, ids[B]).finish();
        world.settle();
        world.tunnel(A, ids[A]).finish();
        while world.ends[B].wire.back().map(word) != Some("xtls close") {
            assert!(world.deliver(A) || world.deliver(B));
            world.flush(B);
        }
        let close = world.ends[B].wire.pop_back().unwrap();
        world.settle();
        let error = StanzaError::new(ErrorType::Cancel, condition);
        world.router(B).handle(now, reread(&close.error(error)));
        world.settle();
        world.assert_clean(ids);
    }
}

#[test]
fn closed_from_somebody_else_or_under_another_id_is_nothing() {
    let (mut world, ids) = established();
    b_closes_without_answer(&mut world, ids);
    let close = world
        .log
        .iter()
        .rev()
        .find(|(_, envelope)| word(envelope) == "xtls close")
        .unwrap()
        .1
        .clone();
    let closed = "<closed xmlns='urn:xmpp:tmp:xtls'/>";
    for (from, id) in [
        ("mallory@evil.example/den", close.id.as_str()),
        ("a@west.example/other", &close.id),
        ("a@west.example", &close.id),
        ("b@east.example", &close.id),
        (NAMES[A], "xtls_0"),
    ] {
        for type_ in ["result", "error"] {
            let answers = world.inject(
                B,
                Some(from),
                &format!("<iq type='{type_}' id='{id}'>{closed}</iq>"),
            );
            assert_eq!(answers, [], "{from} {id}");
        }
    }
    assert!(world.ended(B, ids[B]).is_none());
    let answers = world.inject(
        B,
        Some(NAMES[A]),
        &format!("<iq type='result' id='{}'>{closed}</iq>", close.id),
    );
    assert_eq!(answers.iter().map(word).collect::<Vec<_>>(), ["ibb close"]);
    world.settle();
    world.assert_clean(ids);
}

fn b_closes_without_answer(world: &mut World, ids: [TunnelId; 2]) {
    world.filter = Some(Box::new(|_, envelope| word(envelope) != "xtls closed"));
    b_closes(world, ids);
    world.filter = None;
}

/// `<close/>` from A to B, with these attributes; what it is answered.
fn close(world: &mut World, attributes: &str) -> &'static str {
    let xml = format!("<iq type='set' id='c1'><close xmlns='urn:xmpp:tmp:xtls'{attributes}/></iq>");
    let answers = world.inject(B, Some(NAMES[A]), &xml);
    let mine: Vec<_> = answers.iter().filter(|answer| answer.id == "c1").collect();
    assert_eq!(mine.len(), 1, "{answers:?}");
    word(mine[0])
}

#[test]
fn a_close_must_name_the_tunnel_or_nothing() {
    let (mut world, _) = established();
    assert_eq!(close(&mut world, " sid='another'"), "error");
    let named = format!(" sid='{}'", world.sid());
    assert_eq!(close(&mut world, &named), "xtls closed");
    let (mut world, _) = established();
    assert_eq!(close(&mut world, ""), "xtls closed");
    // Once more is no fault.
    assert_eq!(close(&mut world, ""), "xtls closed");
}

#[test]
fn a_close_before_the_open_is_answered_is_unknown() {
    let mut world = World::new();
    world.open(B);
    world.flush(B);
    assert_eq!(close(&mut world, ""), "error");
    world.settle();
    assert!(world.established(B, world.last_id(B)));
}

#[test]
fn a_close_during_the_handshake_ends_it() {
    let mut world = World::new();
    let a = world.open(A);
    world.deliver(A);
    let b = world.last_id(B);
    assert_eq!(close(&mut world, ""), "xtls closed");
    let closed = world.closed(B, b);
    assert_eq!(
        (closed.by, closed.why, closed.clean),
        (By::Peer, Why::HandshakeAborted, false)
    );
    world.settle();
    assert!(!world.closed(A, a).clean);
    world.wait(Duration::from_secs(60));
    assert_eq!(world.ends[B].router.leftovers(), 0);
}

#[test]
fn what_was_sent_before_an_aborted_handshake_is_counted() {
    let mut world = World::new();
    let b = world.open(B);
    while !world.whats(B, b).any(|what| *what == TunnelEvent::Ready) {
        assert!(world.deliver(B) || world.deliver(A));
    }
    world.say(B, b, "m1");
    world.say(B, b, "m2");
    assert_eq!(close(&mut world, ""), "xtls closed");
    let closed = world.closed(B, b);
    assert_eq!((closed.why, closed.unconfirmed), (Why::HandshakeAborted, 2));
}

#[test]
fn a_close_out_of_order_ends_in_time_and_never_clean_by_itself() {
    let (mut world, ids) = established();
    assert_eq!(close(&mut world, ""), "xtls closed");
    world.filter = Some(Box::new(|end, _| end == B));
    world.wait(Duration::from_secs(100));
    let closed = world.closed(B, ids[B]);
    assert!(!closed.clean, "{closed:?}");
    assert!(
        matches!(closed.why, Why::Session(Session::CloseTimeout)),
        "{closed:?}"
    );
    assert_eq!(world.ends[B].router.leftovers(), 0);
}

#[test]
fn a_close_before_its_close_notify_is_clean_when_that_comes() {
    let (mut world, ids) = established();
    world.say(A, ids[A], "m1");
    assert_eq!(close(&mut world, ""), "xtls closed");
    world.settle();
    world.tunnel(A, ids[A]).finish();
    world.settle();
    // B has been told `<close/>`, so it says none; it awaits the stream's end, and brings it about in time.
    assert!(closes(&world).is_empty());
    world.wait(Duration::from_secs(30));
    let closed = world.closed(B, ids[B]);
    assert!(
        closed.clean && closed.why == Why::Session(Session::Finished),
        "{closed:?}"
    );
    assert_eq!(world.received(B, ids[B]), ["m1"]);
}

/// Until B has read all that A says, and has itself said the last of what it says, which is lost with all that follows.
fn lose_the_last_word(world: &mut World, ids: [TunnelId; 2]) {
    while world
        .router(B)
        .tunnels
        .get(ids[B])
        .unwrap()
        .session()
        .is_some()
    {
        assert!(world.deliver(B) || world.deliver(A));
    }
    world.ends[B].wire.clear();
    world.filter = Some(Box::new(|_, _| false));
}

#[test]
fn an_end_that_was_not_acknowledged_is_no_orderly_one() {
    let (mut world, ids) = established();
    world.tunnel(A, ids[A]).finish();
    world.settle();
    world.say(B, ids[B], "m1");
    world.tunnel(B, ids[B]).finish();
    lose_the_last_word(&mut world, ids);
    world.wait(Duration::from_secs(200));
    let closed = world.closed(B, ids[B]);
    assert!(closed.clean, "all of A's words were read");
    assert!(
        matches!(
            closed.why,
            Why::Cut {
                session: Session::Finished,
                ..
            }
        ),
        "{closed:?}"
    );
    assert_eq!(world.ends[B].router.leftovers(), 0);
}

#[test]
fn close_bounds_what_finish_does_not() {
    let (mut world, ids) = established();
    world.tunnel(A, ids[A]).finish();
    world.settle();
    world.say(B, ids[B], "m1");
    world.tunnel(B, ids[B]).finish();
    lose_the_last_word(&mut world, ids);
    world.wait(Duration::from_secs(5));
    world.tunnel(B, ids[B]).close();
    world.wait(Duration::from_secs(11));
    let closed = world.closed(B, ids[B]);
    assert!(
        matches!(
            closed.why,
            Why::Cut {
                session: Session::Finished,
                ..
            }
        ),
        "{closed:?}"
    );
}

#[test]
fn a_peer_that_leaves_the_stream_open_is_left_in_time() {
    let (mut world, ids) = established();
    world.filter = Some(Box::new(|end, envelope| {
        end == B || !word(envelope).ends_with("close")
    }));
    world.tunnel(A, ids[A]).finish();
    world.settle();
    world.tunnel(B, ids[B]).finish();
    world.settle();
    assert!(world.ended(B, ids[B]).is_none());
    world.wait(Duration::from_secs(11));
    let sent = world.words(0);
    assert!(sent.contains(&(B, "ibb close")), "{sent:?}");
    assert!(world.closed(B, ids[B]).clean);
}
