//! Verification through two routers. Some steps are answered without a word to the owner, and must leave all the same.

use xtls_session::{Compare, Verify, VerifyError};
use xtls_tls::verify::{Code, Method};

use super::*;

fn code(text: &str) -> Compare {
    Compare::Code(Code::new(text).unwrap())
}

/// Both want it, and the attempts are counted.
fn begun(compare: [Compare; 2]) -> (World, [TunnelId; 2]) {
    let mut world = World::new();
    let ids = world.establish(A);
    let now = world.now;
    for (end, compare) in (0..).zip(compare) {
        world.router(end).verify(now, ids[end], compare).unwrap();
    }
    world.settle();
    for end in [A, B] {
        world.router(end).verify_go(now, ids[end]);
    }
    world.settle();
    (world, ids)
}

fn last(world: &World, end: usize, id: TunnelId) -> Verify {
    let told = world.whats(end, id).filter_map(|what| match what {
        What::Verify(verify) => Some(verify.clone()),
        _ => None,
    });
    told.last().unwrap()
}

#[test]
fn another_code_fails_at_both_ends_and_the_tunnel_stays() {
    let (mut world, ids) = begun([code("correct horse"), code("correct house")]);
    for end in [A, B] {
        let told = last(&world, end, ids[end]);
        let failed = matches!(&told, Verify::Failed { why, counted: true } if why.is_mismatch());
        assert!(failed, "{told:?}");
    }
    world.say(A, ids[A], "hark");
    world.settle();
    assert_eq!(world.received(B, ids[B]), ["hark"]);
}

#[test]
fn a_code_and_words_come_to_an_end_at_both_ends() {
    let (world, ids) = begun([code("correct horse"), code("correct horse")]);
    for end in [A, B] {
        let told = last(&world, end, ids[end]);
        assert!(
            matches!(
                told,
                Verify::Done {
                    method: Method::Code,
                    ..
                }
            ),
            "{told:?}"
        );
    }
    let (mut world, ids) = begun([Compare::Words, Compare::Words]);
    let words = [A, B].map(|end| match last(&world, end, ids[end]) {
        Verify::Compare(words) => words.numbers(),
        other => panic!("{other:?}"),
    });
    assert_eq!(words[0], words[1]);
    let now = world.now;
    for end in [A, B] {
        world.router(end).verify_agree(now, ids[end]);
        world.settle();
    }
    for end in [A, B] {
        let told = last(&world, end, ids[end]);
        assert!(
            matches!(
                told,
                Verify::Done {
                    method: Method::Words,
                    ..
                }
            ),
            "{told:?}"
        );
    }
}

#[test]
fn a_tunnel_that_has_ended_cannot_be_verified_in() {
    let mut world = World::new();
    let ids = world.establish(A);
    let now = world.now;
    world.router(A).abort(now, ids[A]);
    world.settle();
    let refused = world.router(A).verify(now, ids[A], Compare::Words);
    assert_eq!(refused, Err(VerifyError::NotOpen));
    world.router(A).verify_go(now, ids[A]);
    world.router(A).verify_agree(now, ids[A]);
}
