//! Two who have never met, and what each hears when one of them turns the other away.

use xtls_session::{By, Why as Session};
use xtls_tls::trust::Policy;
use xtls_tls::{Alert, TlsError};

use super::*;

/// A has opened a tunnel to B; both owners are asked about the other's key, and nobody has answered.
fn introduced(early: bool) -> (World, [TunnelId; 2]) {
    let stranger = |end: usize, number| {
        Config::new(tls(&identity(NAMES[end], number)), Arc::new(Store::new()))
            .policy(Policy::Ask)
            .accept(Accept::Only([address(NAMES[1 - end]).to_bare()].into()))
            .early(early)
    };
    let mut world = World::with(stranger(A, 1), stranger(B, 2));
    let own = world.open(A);
    world.settle();
    let ids = [own, world.last_id(B)];
    for end in [A, B] {
        let asked = |what: &TunnelEvent| matches!(what, TunnelEvent::Judge(_));
        assert!(world.whats(end, ids[end]).any(asked));
    }
    (world, ids)
}

fn refuse(world: &mut World, end: usize, id: TunnelId) {
    let key = world
        .whats(end, id)
        .find_map(|what| match what {
            TunnelEvent::Judge(introduction) => Some(introduction.fingerprint),
            _ => None,
        })
        .unwrap();
    // It may come too late to count.
    let _ = world.late(end, id).judge(key, Verdict::Refuse);
}

#[test]
fn who_has_not_judged_yet_hears_that_it_is_refused_and_not_a_truncation() {
    let denied = Why::Session(Session::Tls(TlsError::Alert(Alert::ACCESS_DENIED)));
    for early in [true, false] {
        for quick in [A, B] {
            let (mut world, ids) = introduced(early);
            refuse(&mut world, quick, ids[quick]);
            world.settle();
            let slow = 1 - quick;
            // Its owner's word comes too late to count.
            refuse(&mut world, slow, ids[slow]);
            world.settle();
            let told = world.closed(slow, ids[slow]);
            assert_eq!((told.by, &told.why), (By::Peer, &denied), "{quick} {early}");
            let own = world.closed(quick, ids[quick]);
            assert_eq!((own.by, own.why), (By::Us, Why::Session(Session::Refused)));
            for end in [A, B] {
                assert_eq!(world.ends[end].router.leftovers(), 0);
            }
        }
    }
}

#[test]
fn both_may_refuse_at_once() {
    let (mut world, ids) = introduced(true);
    for end in [A, B] {
        refuse(&mut world, end, ids[end]);
    }
    world.settle();
    for end in [A, B] {
        let closed = world.closed(end, ids[end]);
        assert_eq!(closed.why, Why::Session(Session::Refused));
        assert_eq!(world.ends[end].router.leftovers(), 0);
    }
}

/// The refusal of A, alert and `<close/>`, arrives in one go with the end of its handshake: B is not asked any more.
#[test]
fn a_refusal_behind_the_handshake_is_heard_without_a_question() {
    let stranger = |end: usize, number| {
        Config::new(tls(&identity(NAMES[end], number)), Arc::new(Store::new()))
            .policy(Policy::Ask)
            .accept(Accept::Only([address(NAMES[1 - end]).to_bare()].into()))
    };
    let mut world = World::with(stranger(A, 1), stranger(B, 2));
    world.ends[A].verdict = Some(Verdict::Refuse);
    let own = world.open(A);
    world.settle();
    let theirs = world.last_id(B);
    let denied = Why::Session(Session::Tls(TlsError::Alert(Alert::ACCESS_DENIED)));
    assert_eq!(world.closed(B, theirs).why, denied);
    assert_eq!(
        world.closed(A, own).why,
        Why::Session(Session::Refused),
        "its own verdict"
    );
}
