//! Verification through two routers. Some steps are answered without a word to the owner, and must leave all the same.

use xtls_session::{Compare, Verify, VerifyError};
use xtls_stanza::verify::Reason;
use xtls_tls::verify::{Code, Method};

use super::*;

fn code(text: &str) -> Compare {
    Compare::Code(Code::new(text).unwrap())
}

/// Both want it, and the attempts are counted.
fn begun(compare: [Compare; 2]) -> (World, [TunnelId; 2]) {
    begun_after(Duration::ZERO, A, compare)
}

/// The same in a tunnel that `opener` has opened that long ago.
fn begun_after(age: Duration, opener: usize, compare: [Compare; 2]) -> (World, [TunnelId; 2]) {
    let mut world = World::new();
    let ids = world.establish(opener);
    world.wait(age);
    begin(&mut world, ids, compare);
    (world, ids)
}

/// Both want it, and the attempts are counted, in this tunnel.
pub(super) fn begin(world: &mut World, ids: [TunnelId; 2], compare: [Compare; 2]) {
    for (end, compare) in (0..).zip(compare) {
        world.tunnel(end, ids[end]).verify(compare).unwrap();
    }
    world.settle();
    for end in [A, B] {
        let run = last(world, end, ids[end]).run();
        world.tunnel(end, ids[end]).verify_go(run).unwrap();
    }
    world.settle();
}

/// What an end was told of it last.
pub(super) fn last(world: &World, end: usize, id: TunnelId) -> Verify {
    let told = world.whats(end, id).filter_map(|what| match what {
        TunnelEvent::Verify(verify) => Some(verify.clone()),
        _ => None,
    });
    told.last().unwrap()
}

#[test]
fn another_code_fails_at_both_ends_and_the_tunnel_stays() {
    let (mut world, ids) = begun([code("correct horse"), code("correct house")]);
    for end in [A, B] {
        let told = last(&world, end, ids[end]);
        let failed =
            matches!(&told, Verify::Failed { why, counted: true, .. } if why.is_mismatch());
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
        Verify::Compare { words, .. } => words.numbers(),
        other => panic!("{other:?}"),
    });
    assert_eq!(words[0], words[1]);
    for end in [A, B] {
        let run = last(&world, end, ids[end]).run();
        world.tunnel(end, ids[end]).verify_agree(run).unwrap();
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
    let (mut world, ids) = begun([Compare::Words, Compare::Words]);
    let run = last(&world, A, ids[A]).run();
    world.tunnel(A, ids[A]).abort();
    world.settle();
    let refused = world.late(A, ids[A]).verify(Compare::Words);
    assert_eq!(refused, Err(VerifyError::NotOpen));
    let stale = Err(VerifyError::Stale(run));
    assert_eq!(world.late(A, ids[A]).verify_go(run), stale);
    assert_eq!(world.late(A, ids[A]).verify_agree(run), stale);
    let cancelled = world.late(A, ids[A]).verify_cancel(run, Reason::Mismatch);
    assert_eq!(cancelled, stale);
}

/// The answer that a person owes to a tunnel which has ended must not count in the next one with the same peer.
#[test]
fn runs_of_two_tunnels_have_different_names() {
    let (mut world, ids) = begun([Compare::Words, Compare::Words]);
    let first = last(&world, B, ids[B]).run();
    world.tunnel(A, ids[A]).abort();
    world.settle();
    let ids = world.establish(A);
    for end in [A, B] {
        let words = Compare::Words;
        world.tunnel(end, ids[end]).verify(words).unwrap();
    }
    world.settle();
    let second = last(&world, B, ids[B]).run();
    assert_ne!(first, second);
    let agreed = world.tunnel(B, ids[B]).verify_agree(first);
    assert_eq!(agreed, Err(VerifyError::Stale(first)));
}

/// A moment before the keys are old.
const NEARLY_A_DAY: Duration = Duration::from_secs(86_400 - 60);
const TWO_MINUTES: Duration = Duration::from_secs(120);

fn renewed(world: &World, end: usize, id: TunnelId) -> bool {
    let renewed = |what: &TunnelEvent| matches!(what, TunnelEvent::Renewed(_));
    world.whats(end, id).any(renewed)
}

/// A renewal comes while words are compared: the run ends with the old session, and both owners hear so.
#[test]
fn a_run_ends_with_the_session_that_is_renewed_and_is_told() {
    for opener in [A, B] {
        let words = [Compare::Words, Compare::Words];
        let (mut world, ids) = begun_after(NEARLY_A_DAY, opener, words);
        let runs = [A, B].map(|end| last(&world, end, ids[end]).run());
        world.wait(TWO_MINUTES);
        for end in [A, B] {
            assert!(renewed(&world, end, ids[end]));
            let told = last(&world, end, ids[end]);
            let ended = matches!(told, Verify::Failed { run, .. } if run == runs[end]);
            assert!(ended, "{opener} {end}: {told:?}");
            let agreed = world.tunnel(end, ids[end]).verify_agree(runs[end]);
            assert_eq!(agreed, Err(VerifyError::Stale(runs[end])));
        }
        world.say(A, ids[A], "hark");
        world.settle();
        assert_eq!(world.received(B, ids[B]), ["hark"]);
    }
}

/// What a run came to is told, however late its owner listens, and although a newer session has taken over by then.
#[test]
fn how_a_run_ended_is_told_although_its_session_is_renewed_meanwhile() {
    for opener in [A, B] {
        for (deaf, held) in [(A, true), (A, false), (B, true), (B, false)] {
            let words = [Compare::Words, Compare::Words];
            let (mut world, ids) = begun_after(NEARLY_A_DAY, opener, words);
            let runs = [A, B].map(|end| last(&world, end, ids[end]).run());
            // What was not taken waits in the router, or it is not even read.
            world.ends[deaf].taking = held;
            world.tunnel(deaf, ids[deaf]).hold(held);
            for end in [deaf, 1 - deaf] {
                let agreed = world.tunnel(end, ids[end]).verify_agree(runs[end]);
                agreed.unwrap();
            }
            world.wait(TWO_MINUTES);
            world.ends[deaf].taking = true;
            world.tunnel(deaf, ids[deaf]).hold(false);
            world.wait(TWO_MINUTES);
            for end in [A, B] {
                assert!(renewed(&world, end, ids[end]), "{opener} {deaf} {end}");
                let told = last(&world, end, ids[end]);
                assert_eq!(told.run(), runs[end]);
                let done = matches!(told, Verify::Done { .. });
                // A proof that was not read when its session gave way is none.
                let unread = held && end == deaf && matches!(told, Verify::Failed { .. });
                assert!(done || unread, "{opener} {deaf} {end}: {told:?}");
            }
        }
    }
}
