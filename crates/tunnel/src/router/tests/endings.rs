//! Every way to end, at every moment, with a peer that plays along or has vanished: once, last, in time, without a rest.

use xtls_session::{By, Why as Session};
use xtls_tls::trust::Policy;

use super::super::SendError;
use super::*;

/// A moment of a tunnel's life, at the end that is asked to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Opening,
    Yielding,
    Handshaking,
    Judging,
    Ready,
    Established,
    Finished,
    PeerFinished,
    Emptying,
    Closing,
    Awaiting,
    Ending,
}

const MOMENTS: [Moment; 12] = [
    Moment::Opening,
    Moment::Yielding,
    Moment::Handshaking,
    Moment::Judging,
    Moment::Ready,
    Moment::Established,
    Moment::Finished,
    Moment::PeerFinished,
    Moment::Emptying,
    Moment::Closing,
    Moment::Awaiting,
    Moment::Ending,
];

/// B at this moment: its tunnel.
fn at(moment: Moment) -> (World, TunnelId) {
    let asking = |config: Config| config.policy(Policy::Ask);
    let mut world = match moment {
        Moment::Judging => {
            let stranger = Config::new(tls(&identity(NAMES[B], 2)), Arc::new(Store::new()));
            World::with(config(A), asking(stranger))
        }
        _ => World::new(),
    };
    let ids = match moment {
        Moment::Opening => {
            let id = world.open(B);
            world.flush(B);
            return (world, id);
        }
        Moment::Yielding => {
            let id = world.open(B);
            world.flush(B);
            let open = world.ends[B].wire.pop_front().unwrap();
            let conflict = xtls_stanza::StanzaError::new(
                xtls_stanza::ErrorType::Cancel,
                xtls_stanza::Condition::Conflict,
            );
            let now = world.now;
            world.router(B).handle(now, reread(&open.error(conflict)));
            return (world, id);
        }
        Moment::Handshaking => {
            world.open(A);
            world.deliver(A);
            let id = world.last_id(B);
            return (world, id);
        }
        Moment::Judging => {
            let id = world.open(B);
            world.settle();
            assert!(
                world
                    .whats(B, id)
                    .any(|what| matches!(what, TunnelEvent::Judge(_)))
            );
            return (world, id);
        }
        Moment::Ready => {
            let id = world.open(B);
            while !world.whats(B, id).any(|what| *what == TunnelEvent::Ready) {
                assert!(world.deliver(B) || world.deliver(A));
            }
            return (world, id);
        }
        _ => world.establish(A),
    };
    let finish = |world: &mut World, end: usize| {
        world.tunnel(end, ids[end]).finish();
        world.settle();
    };
    match moment {
        Moment::Finished => finish(&mut world, B),
        Moment::PeerFinished => finish(&mut world, A),
        Moment::Emptying => {
            finish(&mut world, A);
            // A acknowledges nothing.
            world.filter = Some(Box::new(|end, _| end == B));
            world.say(B, ids[B], "m1");
            world.tunnel(B, ids[B]).finish();
            world.flush(B);
        }
        Moment::Closing => {
            finish(&mut world, B);
            world.filter = Some(Box::new(|_, envelope| word(envelope) != "xtls close"));
            finish(&mut world, A);
            world.filter = None;
        }
        Moment::Awaiting => {
            finish(&mut world, A);
            world.filter = Some(Box::new(|_, envelope| word(envelope) != "xtls close"));
            finish(&mut world, B);
            world.filter = None;
        }
        Moment::Ending => {
            finish(&mut world, B);
            world.filter = Some(Box::new(|_, envelope| word(envelope) != "ibb close"));
            finish(&mut world, A);
            world.filter = None;
        }
        _ => {}
    }
    assert!(world.ended(B, ids[B]).is_none(), "{moment:?}");
    (world, ids[B])
}

type Way = (&'static str, fn(&mut World, TunnelId));

const WAYS: [Way; 10] = [
    ("finish", |world, id| {
        world.tunnel(B, id).finish();
    }),
    ("close", |world, id| {
        world.tunnel(B, id).close();
    }),
    ("close twice", |world, id| {
        world.tunnel(B, id).close();
        world.late(B, id).close();
    }),
    ("abort", |world, id| {
        world.tunnel(B, id).abort();
    }),
    ("everything", |world, id| {
        world.tunnel(B, id).finish();
        world.late(B, id).close();
        world.late(B, id).abort();
    }),
    ("refuse", |world, id| {
        let key = identity(NAMES[A], 1).fingerprint();
        // It may come too early or too late.
        let _ = world.tunnel(B, id).judge(key, Verdict::Refuse);
        world.late(B, id).close();
    }),
    ("lost", |world, _| {
        let now = world.now;
        world.router(B).lost(now);
    }),
    ("rebind", |world, _| {
        let now = world.now;
        world.router(B).rebind(now, address(NAMES[B]));
    }),
    ("gone", |world, _| {
        let answers = world.inject(B, Some(NAMES[A]), "<presence type='unavailable'/>");
        assert!(!answers.iter().any(|answer| word(answer) == "error"));
    }),
    ("peer's ibb close", |world, _| {
        for stream in world.sids() {
            let close = format!("<close xmlns='http://jabber.org/protocol/ibb' sid='{stream}'/>");
            world.inject(
                B,
                Some(NAMES[A]),
                &format!("<iq type='set' id='c9'>{close}</iq>"),
            );
        }
    }),
];

impl World {
    fn sids(&self) -> Vec<String> {
        let sid = |(_, envelope): &(usize, Envelope)| match &envelope.content {
            Content::Set(Payload::Open(open)) => Some(open.sid.to_string()),
            _ => None,
        };
        self.log.iter().filter_map(sid).collect()
    }
}

#[test]
fn every_way_to_end_at_every_moment_ends_once_and_leaves_nothing() {
    for moment in MOMENTS {
        for (name, way) in WAYS {
            for dead in [false, true] {
                // A half-close waits for its peer as long as that takes, and a finished one waits for us.
                let waits = name == "finish"
                    && match moment {
                        Moment::Ready | Moment::Established => !dead,
                        Moment::Finished => true,
                        _ => false,
                    };
                let (mut world, id) = at(moment);
                if dead {
                    world.filter = Some(Box::new(|_, _| false));
                    world.ends[A].wire.clear();
                    world.ends[B].wire.clear();
                }
                way(&mut world, id);
                world.flush(B);
                world.wait(Duration::from_secs(200));
                let what = format!("{name} while {moment:?}, dead: {dead}");
                if waits {
                    assert!(world.ended(B, id).is_none(), "{what}");
                    continue;
                }
                let closed = world
                    .ended(B, id)
                    .unwrap_or_else(|| panic!("{what}: {:?}", world.ends[B]));
                assert_eq!(
                    world.ends[B].router.leftovers(),
                    0,
                    "{what}: {:?}",
                    world.ends[B].router
                );
                let early = !matches!(
                    moment,
                    Moment::PeerFinished
                        | Moment::Emptying
                        | Moment::Closing
                        | Moment::Awaiting
                        | Moment::Ending
                );
                if dead && early {
                    assert!(!closed.clean, "{what}: {closed:?}");
                }
                if matches!(moment, Moment::Closing | Moment::Awaiting | Moment::Ending) {
                    assert!(closed.clean, "{what}: {closed:?}");
                    assert_eq!(closed.why, Why::Session(Session::Finished), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_peer_that_goes_offline_cuts_its_tunnels_and_nobody_elses() {
    let mut world = World::new();
    let ids = world.establish(A);
    for from in [
        "a@west.example/other",
        "a@west.example",
        "mallory@evil.example/den",
        "west.example",
    ] {
        world.inject(B, Some(from), "<presence type='unavailable'/>");
        world.inject(B, Some(from), "<presence type='error'/>");
    }
    assert!(world.ended(B, ids[B]).is_none());
    world.say(A, ids[A], "m1");
    world.settle();
    world.inject(B, Some(NAMES[A]), "<presence type='unavailable'/>");
    let closed = world.closed(B, ids[B]);
    assert!(!closed.clean && closed.by == By::Transport, "{closed:?}");
    assert!(matches!(
        closed.why,
        Why::Cut {
            session: Session::Truncated,
            ..
        }
    ));
    assert_eq!(world.received(B, ids[B]), ["m1"]);
}

#[test]
fn a_peer_that_goes_offline_before_it_answers_is_unreachable() {
    let mut world = World::new();
    let b = world.open(B);
    world.flush(B);
    world.inject(B, Some(NAMES[A]), "<presence type='unavailable'/>");
    assert!(matches!(world.closed(B, b).why, Why::Unreachable(_)));
}

#[test]
fn what_had_come_before_the_peer_went_is_handed_out() {
    let mut world = World::new();
    let ids = world.establish(A);
    world.ends[B].taking = false;
    for number in 0..300 {
        world.say(A, ids[A], &format!("m{number}"));
    }
    world.tunnel(A, ids[A]).finish();
    world.settle();
    world.inject(B, Some(NAMES[A]), "<presence type='unavailable'/>");
    world.ends[B].taking = true;
    world.settle();
    assert_eq!(world.received(B, ids[B]).len(), 300);
    // Its close_notify was among it: everything was read.
    assert!(world.closed(B, ids[B]).clean);
}

#[test]
fn a_call_after_the_end_does_nothing() {
    let mut world = World::new();
    let ids = world.establish(A);
    world.tunnel(B, ids[B]).abort();
    world.settle();
    world.closed(B, ids[B]);
    let key = identity(NAMES[A], 1).fingerprint();
    let judged = world.late(B, ids[B]).judge(key, Verdict::Accept);
    assert_eq!(judged, Err(JudgeError::Gone(Gone)));
    world.late(B, ids[B]).finish();
    world.late(B, ids[B]).close();
    world.late(B, ids[B]).abort();
    world.late(B, ids[B]).hold(true);
    let sent = world.late(B, ids[B]).send(&message("m1", "word"));
    assert_eq!(sent, Err(SendError::Gone(Gone)));
    world.settle();
    world.closed(B, ids[B]);
    assert_eq!(world.ends[B].router.leftovers(), 0);
}

#[test]
fn a_tunnel_that_has_ended_cannot_be_looked_at() {
    let mut world = World::new();
    let ids = world.establish(A);
    let now = world.now;
    let tunnel = world.tunnel(A, ids[A]);
    assert_eq!((tunnel.id(), tunnel.mode()), (ids[A], Some(Mode::Stanzas)));
    tunnel.abort();
    world.settle();
    assert!(world.ended(A, ids[A]).is_some());
    assert_eq!(world.router(A).tunnel(now, ids[A]).err(), Some(Gone));
}
