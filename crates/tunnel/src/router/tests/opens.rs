//! Opens that are refused, and those that are not.

use xtls_stanza::{Condition, ErrorType};

use super::answers::{FRIEND, XTLS, assert_error, open_with, start};
use super::*;

#[test]
fn opens_are_refused_for_their_form() {
    let good = "sid='s1' block-size='4096'";
    let two = start() + &start();
    let bad_hello =
        format!("<start {XTLS}><hello xmlns='urn:xmpp:tmp:xtls#early'>!</hello></start>");
    let not_acceptable = (Condition::NotAcceptable, ErrorType::Cancel);
    let bad_request = (Condition::BadRequest, ErrorType::Modify);
    for (open, (condition, kind)) in [
        (open_with(good, ""), not_acceptable),
        (
            open_with(good, "<start xmlns='urn:example'/>"),
            not_acceptable,
        ),
        (
            open_with(
                good,
                "<x xmlns='urn:example'><start xmlns='urn:xmpp:tmp:xtls'/></x>",
            ),
            not_acceptable,
        ),
        (open_with(good, &two), bad_request),
        (open_with(good, &bad_hello), bad_request),
        (open_with("sid='s1'", &start()), bad_request),
        (open_with("block-size='4096'", &start()), bad_request),
        (open_with("sid='' block-size='4096'", &start()), bad_request),
        (open_with("sid='s1' block-size='0'", &start()), bad_request),
        (
            open_with("sid='s1' block-size='65536'", &start()),
            bad_request,
        ),
        (
            open_with(&format!("{good} stanza='message'"), &start()),
            (Condition::FeatureNotImplemented, ErrorType::Cancel),
        ),
    ] {
        let mut world = World::new();
        assert_error(&mut world, FRIEND, &open, condition, kind);
        assert!(world.ends[B].events.is_empty(), "{open}");
        assert_eq!(world.ends[B].router.leftovers(), 0, "{open}");
    }
}

#[test]
fn an_open_with_too_large_a_block_is_refused_for_that() {
    let ibb = xtls_ibb::Config::default().max_block(ibb::BlockSize::new(4096).unwrap());
    let mut world = World::with(config(A), config(B).ibb(ibb));
    let open = open_with("sid='s1' block-size='4097'", &start());
    let (condition, kind) = (Condition::ResourceConstraint, ErrorType::Modify);
    assert_error(&mut world, FRIEND, &open, condition, kind);
}

#[test]
fn what_the_server_says_it_takes_holds_until_another_server_says_nothing() {
    let mut world = World::new();
    let offered = |world: &mut World| {
        let now = world.now;
        world.router(A).open(now, &address(NAMES[B])).unwrap();
        let open = world.router(A).poll_transmit(now).unwrap();
        let Content::Set(Payload::Open(open)) = open.content else {
            panic!("{open:?}")
        };
        open.block_size.get()
    };
    world.router(A).set_server_limit(Some(10_000));
    assert_eq!(offered(&mut world), 6732);
    let now = world.now;
    world.router(A).rebind(now, address(NAMES[A]));
    while world.router(A).poll_event(now).is_some() {}
    assert_eq!(offered(&mut world), 65_535);
}

#[test]
fn an_unknown_start_is_a_start() {
    let mut world = World::new();
    let start = format!("<start {XTLS} version='9'><offer xmlns='urn:xmpp:tmp:c2ctls'/></start>");
    let answers = world.inject(
        B,
        Some(FRIEND),
        &open_with("sid='s1' block-size='4096'", &start),
    );
    assert_eq!(answers[0].content, Content::Result(None));
    // Who is calling is told when it is known what for.
    assert!(world.ends[B].events.is_empty());
    assert_eq!(world.ends[B].router.tunnels.len(), 1);
}

#[test]
fn an_open_from_our_own_address_is_refused() {
    let mut world = World::new();
    let open = open_with("sid='s1' block-size='4096'", &start());
    let (condition, kind) = (Condition::NotAcceptable, ErrorType::Cancel);
    assert_error(&mut world, NAMES[B], &open, condition, kind);
}

#[test]
fn a_sid_in_use_is_refused() {
    let mut world = World::new();
    let open = open_with("sid='s1' block-size='4096'", &start());
    world.inject(B, Some(FRIEND), &open);
    let again = open.replace("i1", "i2");
    let answers = world.inject(B, Some(FRIEND), &again);
    assert!(
        matches!(&answers[0].content, Content::Error(e) if e.condition == Condition::NotAcceptable)
    );
}

#[test]
fn unfinished_tunnels_are_few_in_all_and_for_each_account() {
    let mut world = World::with(config(A), config(B).accept(Accept::Anyone).half_open(3, 2));
    let open = open_with("sid='s1' block-size='4096'", &start());
    let accepted = |world: &mut World, from: &str| {
        let answers = world.inject(B, Some(from), &open);
        assert_eq!(answers.iter().filter(|answer| answer.id == "i1").count(), 1);
        matches!(answers[0].content, Content::Result(None))
    };
    let refused = (Condition::PolicyViolation, ErrorType::Wait);
    assert!(accepted(&mut world, "c@north.example/1"));
    assert!(accepted(&mut world, "c@north.example/2"));
    assert_error(&mut world, "c@north.example/3", &open, refused.0, refused.1);
    assert!(accepted(&mut world, "d@north.example/1"));
    assert_error(&mut world, "e@north.example/1", &open, refused.0, refused.1);
    // An unfinished handshake ends in time, and makes room.
    world.wait(Duration::from_secs(61));
    assert!(accepted(&mut world, "e@north.example/2"));
}

#[test]
fn established_tunnels_are_not_unfinished() {
    let mut world = World::with(config(A), config(B).accept(Accept::Anyone).half_open(1, 1));
    world.establish(A);
    let open = open_with("sid='s1' block-size='4096'", &start());
    let answers = world.inject(B, Some("c@north.example/1"), &open);
    assert_eq!(answers[0].content, Content::Result(None));
}
