//! Whether the other owner has taken everything.

use xtls_session::{Receipt, Why as Session};

use super::closing::established;
use super::renewing::{HOUR, keys, with};
use super::*;

#[test]
fn a_finish_that_nobody_answers_confirms_nothing() {
    let (mut world, ids) = established();
    world.tunnel(A, ids[A]).finish();
    world.settle();
    world.say(B, ids[B], "m1");
    world.tunnel(B, ids[B]).finish();
    world.filter = Some(Box::new(|_, _| false));
    world.wait(Duration::from_secs(200));
    let closed = world.closed(B, ids[B]);
    assert!(closed.clean, "all of A's words were read");
    let unfinished = matches!(
        closed.why,
        Why::Cut {
            session: Session::Unfinished,
            ..
        }
    );
    assert!(unfinished && closed.unconfirmed == 1, "{closed:?}");
}

#[test]
fn an_owner_that_takes_nothing_lets_nobody_believe_it_did() {
    for aborts in [false, true] {
        let (mut world, ids) = established();
        world.ends[B].confirming = false;
        world.say(A, ids[A], "m1");
        world.tunnel(A, ids[A]).finish();
        world.settle();
        assert_eq!(world.received(B, ids[B]), ["m1"]);
        if aborts {
            world.tunnel(B, ids[B]).abort();
        } else {
            world.tunnel(B, ids[B]).leave();
        }
        world.wait(Duration::from_secs(100));
        let closed = world.closed(A, ids[A]);
        assert_eq!(closed.unconfirmed, 1, "{closed:?}");
        assert_eq!(closed.receipt, Receipt::Accepted, "{closed:?}");
        assert_eq!(closed.why == Why::Session(Session::Finished), !aborts);
    }
}

#[test]
fn what_the_owner_has_not_been_told_it_cannot_have_taken() {
    let (mut world, ids) = established();
    world.ends[B].taking = false;
    world.say(A, ids[A], "m1");
    world.tunnel(A, ids[A]).finish();
    world.settle();
    world.tunnel(B, ids[B]).took();
    world.settle();
    world.ends[B].confirming = false;
    world.ends[B].taking = true;
    world.settle();
    world.tunnel(B, ids[B]).abort();
    world.wait(Duration::from_secs(100));
    assert_eq!(world.closed(A, ids[A]).unconfirmed, 1);
}

/// Both ends finish while a renewal is on its way, and B's owner takes nothing.
#[test]
fn what_was_not_taken_is_not_forgotten_over_a_renewal_that_an_end_overtakes() {
    for deliveries in 0..30 {
        let mut world = with(keys(HOUR, u64::MAX), true);
        world.ends[B].confirming = false;
        let ids = world.establish(A);
        world.say(A, ids[A], "m1");
        world.settle();
        world.now += HOUR;
        let now = world.now;
        world.router(A).handle_timeout(now);
        for _ in 0..deliveries {
            let _ = world.deliver(A) || world.deliver(B);
        }
        world.tunnel(B, ids[B]).close();
        world.wait(Duration::from_secs(11));
        world.tunnel(A, ids[A]).close();
        world.wait(Duration::from_secs(300));
        assert_eq!(world.received(B, ids[B]), ["m1"], "{deliveries}");
        assert_eq!(world.closed(A, ids[A]).unconfirmed, 1, "{deliveries}");
        assert_eq!(world.closed(B, ids[B]).unconfirmed, 0, "{deliveries}");
    }
}
