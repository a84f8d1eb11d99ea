//! The early hello: what it saves, and everything that somebody between the two can do to it.

use bytes::Bytes;
use xtls_session::By;
use xtls_stanza::{Condition, ErrorType, StanzaError, ibb};

use super::*;
use crate::transport::StreamEnd;

/// The ClientHello in an open.
fn hello(envelope: &Envelope) -> Option<Bytes> {
    let Content::Set(Payload::Open(open)) = &envelope.content else {
        return None;
    };
    match xtls::Control::in_open(open) {
        Ok(Some(xtls::Control::Start { hello })) => hello,
        _ => None,
    }
}

/// The server's flight in the answer to an open.
fn flight(envelope: &Envelope) -> Option<Bytes> {
    match &envelope.content {
        Content::Result(Some(Payload::Xtls(xtls::Control::Proceed { hello }))) => hello.clone(),
        _ => None,
    }
}

/// Another `<start/>` in an open.
fn restart(mut envelope: Envelope, hello: Option<Bytes>) -> Envelope {
    if let Content::Set(Payload::Open(open)) = &mut envelope.content {
        open.extensions = vec![xtls::Control::Start { hello }.to_element()];
    }
    envelope
}

fn proceed(mut envelope: Envelope, hello: Option<Bytes>) -> Envelope {
    envelope.content = Content::Result(Some(Payload::Xtls(xtls::Control::Proceed { hello })));
    envelope
}

/// The chunks of an end, in order.
fn chunks(world: &World, end: usize) -> Vec<ibb::Data> {
    let data = |(who, envelope): &(usize, Envelope)| match &envelope.content {
        Content::Set(Payload::Data(data)) if *who == end => Some(data.clone()),
        _ => None,
    };
    world.log.iter().filter_map(data).collect()
}

fn opens(world: &World, end: usize) -> Vec<Envelope> {
    let open = |(who, envelope): &&(usize, Envelope)| *who == end && word(envelope) == "open";
    world
        .log
        .iter()
        .filter(open)
        .map(|(_, e)| e.clone())
        .collect()
}

/// Which round trips had passed when A's first word left it.
fn round_trips(early: bool) -> usize {
    let mut world = World::with(config(A).early(early), config(B));
    let id = world.open(A);
    for trips in 0..10 {
        if world.tunnel(A, id).send(&message("m1", "word")).is_ok() {
            world.settle();
            assert_eq!(world.received(B, world.last_id(B)), ["m1"]);
            // It shares the chunk of the last flight, so what the wire shows is one chunk for both.
            assert_eq!(chunks(&world, A).len(), if early { 1 } else { 2 });
            return trips;
        }
        world.flush(A);
        while world.ends[A].wire.front().is_some() {
            world.deliver(A);
        }
        while world.ends[B].wire.front().is_some() {
            let now = world.now;
            let envelope = world.ends[B].wire.pop_front().unwrap();
            world.router(A).handle(now, envelope);
        }
    }
    panic!("A never may speak");
}

#[test]
fn the_letter_takes_two_round_trips_to_the_first_word() {
    assert_eq!(round_trips(false), 2);
}

#[test]
fn an_early_hello_takes_one_round_trip_to_the_first_word() {
    assert_eq!(round_trips(true), 1);
}

#[test]
fn both_directions_count_from_0_after_it() {
    let mut world = World::new();
    let ids = world.establish(A);
    assert!(hello(&opens(&world, A)[0]).is_some());
    for end in [A, B] {
        assert_eq!(chunks(&world, end)[0].seq.0, 0);
    }
    world.say(A, ids[A], "m1");
    world.say(B, ids[B], "m2");
    world.settle();
    assert_eq!(world.received(B, ids[B]), ["m1"]);
    assert_eq!(world.received(A, ids[A]), ["m2"]);
}

#[test]
fn it_can_be_switched_off_at_either_end() {
    let mut world = World::with(config(A).early(false), config(B));
    world.establish(A);
    assert_eq!(hello(&opens(&world, A)[0]), None);
    assert!(
        world
            .log
            .iter()
            .all(|(_, envelope)| flight(envelope).is_none())
    );

    let mut world = World::with(config(A), config(B).early(false));
    world.establish(A);
    assert!(
        world
            .log
            .iter()
            .all(|(_, envelope)| flight(envelope).is_none())
    );
}

#[test]
fn a_peer_that_does_not_know_it_gets_the_same_hello_as_its_first_chunk() {
    let mut world = World::with(config(A), config(B).early(false));
    world.establish(A);
    let opens = opens(&world, A);
    assert_eq!(opens.len(), 1);
    assert_eq!(chunks(&world, A)[0].bytes, hello(&opens[0]).unwrap());
    assert_eq!(chunks(&world, A)[0].seq.0, 0);
}

#[test]
fn a_hello_that_was_taken_out_on_the_way_is_sent_as_data() {
    let mut world = World::new();
    world.alter = Some(Box::new(|_, envelope| match hello(&envelope) {
        Some(_) => restart(envelope, None),
        None => envelope,
    }));
    world.establish(A);
    assert_eq!(opens(&world, A).len(), 1);
}

#[test]
fn a_hello_of_more_than_4096_bytes_is_answered_plainly() {
    let mut world = World::new();
    world.alter = Some(Box::new(|_, envelope| match hello(&envelope) {
        Some(_) => restart(envelope, Some(vec![22; 4097].into())),
        None => envelope,
    }));
    world.establish(A);
    assert!(
        world
            .log
            .iter()
            .all(|(_, envelope)| flight(envelope).is_none())
    );
}

#[test]
fn a_hello_of_4096_bytes_is_looked_at() {
    let mut world = World::new();
    world.alter = Some(Box::new(|_, envelope| match hello(&envelope) {
        Some(_) => restart(envelope, Some(vec![22; 4096].into())),
        None => envelope,
    }));
    let a = world.open(A);
    world.settle();
    // It is no ClientHello, and the alert that says so is the answer.
    assert!(
        world
            .log
            .iter()
            .any(|(_, envelope)| flight(envelope).is_some())
    );
    assert!(matches!(
        world.closed(A, a).why,
        Why::Session(xtls_session::Why::Tls(_))
    ));
}

#[test]
fn an_answer_that_was_taken_out_ends_in_one_more_try_without_a_hello() {
    let mut world = World::new();
    world.alter = Some(Box::new(|_, mut envelope| {
        if flight(&envelope).is_some() {
            envelope.content = Content::Result(None);
        }
        envelope
    }));
    let a = world.open(A);
    world.settle();
    assert!(world.established(A, a), "{:?}", world.ends[A].events);
    let opens = opens(&world, A);
    assert_eq!(opens.len(), 2);
    assert!(hello(&opens[0]).is_some() && hello(&opens[1]).is_none());
    // The first one's ClientHello came twice, and that ended it at B.
    let first = world.ends[B].events.first().unwrap().id;
    assert!(matches!(
        world.closed(B, first).why,
        Why::Session(xtls_session::Why::Tls(_))
    ));
    let b = world.last_id(B);
    world.say(A, a, "m1");
    world.settle();
    assert_eq!(world.received(B, b), ["m1"]);
}

#[test]
fn bad_request_is_answered_by_one_more_try_without_a_hello() {
    let mut world = World::new();
    let mut strict = 2;
    world.alter = Some(Box::new(move |end, mut envelope| {
        if end == B && strict > 0 && matches!(envelope.content, Content::Result(_)) {
            strict -= 1;
            let error = StanzaError::new(ErrorType::Modify, Condition::BadRequest);
            envelope.content = Content::Error(error);
        }
        envelope
    }));
    let a = world.open(A);
    world.settle();
    // The second refusal is the last word.
    assert_eq!(opens(&world, A).len(), 2);
    assert!(hello(&opens(&world, A)[1]).is_none());
    assert!(matches!(world.closed(A, a).why, Why::Unavailable(_)));
}

#[test]
fn a_flight_that_nobody_asked_for_ends_the_tunnel() {
    let mut world = World::with(config(A).early(false), config(B));
    world.alter = Some(Box::new(|end, envelope| {
        let answer = end == B && matches!(envelope.content, Content::Result(None));
        if answer {
            proceed(envelope, Some(vec![22, 3, 3, 0, 0].into()))
        } else {
            envelope
        }
    }));
    let a = world.open(A);
    world.settle();
    let closed = world.closed(A, a);
    assert_eq!((closed.by, closed.why), (By::Us, Why::Unasked));
    assert_eq!(chunks(&world, A).len(), 0);
}

#[test]
fn a_flight_of_more_than_4096_bytes_ends_the_tunnel() {
    let mut world = World::new();
    world.alter = Some(Box::new(|_, envelope| match flight(&envelope) {
        Some(_) => proceed(envelope, Some(vec![22; 4097].into())),
        None => envelope,
    }));
    let a = world.open(A);
    world.settle();
    let why = world.closed(A, a).why;
    assert_eq!(why, Why::LongFlight { bytes: 4097 });
}

#[test]
fn a_forged_flight_ends_the_tunnel() {
    for forged in [
        &[][..],
        &[21, 3, 3, 0, 2, 2, 40],
        &[22, 3, 3, 0, 4, 2, 0, 0, 0],
        &[0; 99],
    ] {
        let mut world = World::new();
        let forged = Bytes::from_static(forged);
        let empty = forged.is_empty();
        world.alter = Some(Box::new(move |_, envelope| match flight(&envelope) {
            Some(_) => proceed(envelope, Some(forged.clone())),
            None => envelope,
        }));
        let a = world.open(A);
        world.wait(Duration::from_secs(200));
        let closed = world.closed(A, a);
        assert!(
            !closed.clean && !world.established(A, a),
            "{empty} {closed:?}"
        );
        assert_eq!(
            opens(&world, A).len(),
            1,
            "a flight, even a bad one, was an early answer"
        );
    }
}

#[test]
fn a_proceed_without_a_flight_is_a_plain_answer() {
    let mut world = World::with(config(A), config(B).early(false));
    world.alter = Some(Box::new(|end, envelope| {
        let answer = end == B && matches!(envelope.content, Content::Result(None));
        if answer {
            proceed(envelope, None)
        } else {
            envelope
        }
    }));
    world.establish(A);
}

#[test]
fn one_hello_never_serves_two_sids() {
    // B takes small blocks only, so A asks again under another sid.
    let small = xtls_ibb::Config::default().max_block(ibb::BlockSize::new(4096).unwrap());
    let mut world = World::with(config(A), config(B).ibb(small));
    world.establish(A);
    let opens = opens(&world, A);
    assert_eq!(opens.len(), 5);
    assert!(hello(&opens[0]).is_some());
    assert!(opens[1..].iter().all(|open| hello(open).is_none()));
    let first = &chunks(&world, A)[0].bytes;
    assert_ne!(Some(first), hello(&opens[0]).as_ref());
}

#[test]
fn an_old_hello_in_a_new_open_is_worth_nothing() {
    let mut world = World::new();
    world.establish(A);
    let old = hello(&opens(&world, A)[0]);
    world.restart(A, config(A));
    world.alter = Some(Box::new(move |_, envelope| match hello(&envelope) {
        Some(_) => restart(envelope, old.clone()),
        None => envelope,
    }));
    let a = world.open(A);
    world.settle();
    assert!(!world.closed(A, a).clean);
    assert!(!world.established(A, a));
}

#[test]
fn crossing_opens_with_hellos_become_one_tunnel() {
    for order in interleavings(6) {
        let mut world = World::new();
        let ids = [world.open(A), world.open(B)];
        for end in order {
            world.deliver(end);
        }
        world.settle();
        assert!(world.established(A, ids[A]) && world.established(B, ids[B]));
        world.say(B, ids[B], "m1");
        world.settle();
        assert_eq!(world.received(A, ids[A]), ["m1"]);
    }
}

#[test]
fn no_tls_work_before_the_accept_policy() {
    let mut world = World::with(config(A), config(B).accept(Accept::NoOne));
    let a = world.open(A);
    world.settle();
    assert!(matches!(world.closed(A, a).why, Why::Unavailable(_)));
    assert!(world.ends[B].events.is_empty());
}

fn asking() -> (World, TunnelId, TunnelId) {
    let mut world = World::with(config(A), config(B).accept(Accept::Ask([].into())));
    let a = world.open(A);
    world.settle();
    let b = world.last_id(B);
    assert_eq!(
        world.whats(B, b).next(),
        Some(&TunnelEvent::Asked(address(NAMES[A])))
    );
    // Nothing is answered, and no TLS has begun.
    assert!(world.log.iter().all(|(end, _)| *end == A));
    (world, a, b)
}

#[test]
fn a_prompt_that_is_affirmed_becomes_a_tunnel() {
    let (mut world, a, b) = asking();
    world.tunnel(B, b).admit(true);
    world.settle();
    assert!(world.established(A, a) && world.established(B, b));
    assert_eq!(chunks(&world, A).len(), 1, "its early hello was kept");
}

#[test]
fn a_prompt_that_is_declined_is_not_acceptable() {
    let (mut world, a, b) = asking();
    world.tunnel(B, b).admit(false);
    world.settle();
    assert!(matches!(world.closed(A, a).why, Why::Declined(_)));
    assert!(world.ended(B, b).is_some());
    // The verdict was on that open only.
    world.open(A);
    world.settle();
    assert!(matches!(
        world.ends[B].events.last().unwrap().what,
        TunnelEvent::Asked(_)
    ));
}

#[test]
fn a_prompt_ends_after_50_s() {
    let (mut world, a, b) = asking();
    world.wait(Duration::from_millis(49_900));
    assert!(world.ended(A, a).is_none() && world.ended(B, b).is_none());
    world.wait(Duration::from_millis(200));
    let Why::Declined(error) = world.closed(A, a).why else {
        panic!("{:?}", world.closed(A, a));
    };
    assert_eq!(error.condition, Condition::NotAcceptable);
    assert_eq!(world.closed(B, b).why, Why::Stream(StreamEnd::Expired));
    // Late words change nothing.
    world.late(B, b).admit(true);
    world.settle();
    assert_eq!(world.ends[B].router.leftovers(), 0);
}

/// A config of one end that offers and accepts this key exchange only, or what it is shipped with.
fn with_group(end: usize, group: Option<xtls_tls::rustls::NamedGroup>) -> Config {
    let number = u8::try_from(end).unwrap() + 1;
    let mut crypto = xtls_tls::rustls::crypto::CryptoProvider::clone(&xtls_tls::default_provider());
    if let Some(group) = group {
        crypto.kx_groups.retain(|offered| offered.name() == group);
        assert_eq!(crypto.kx_groups.len(), 1);
    }
    let identity = identity(NAMES[end], number);
    let tls =
        xtls_tls::Config::new(identity, Arc::new(crypto), Arc::new(DefaultTimeProvider)).unwrap();
    Config::new(tls, verified(&[(NAMES[1 - end], 3 - number)]))
        .policy(Policy::Pinned)
        .accept(Accept::Anyone)
}

/// Bytes of all carrying stanzas, in both directions, until both ends are established and at rest.
fn set_up(group: Option<xtls_tls::rustls::NamedGroup>, early: bool) -> usize {
    let mut world = World::with(
        with_group(A, group).early(early),
        with_group(B, group).early(early),
    );
    world.establish(A);
    let mut xml = Vec::new();
    for (_, envelope) in &world.log {
        envelope.write(&mut xml);
    }
    xml.len()
}

#[test]
fn a_whole_set_up_takes_at_most_6500_bytes_of_carrying_stanzas() {
    use xtls_tls::rustls::NamedGroup::{X25519, X25519MLKEM768};
    for group in [None, Some(X25519MLKEM768), Some(X25519)] {
        for early in [true, false] {
            let bytes = set_up(group, early);
            println!("{group:?}, early hello {early}: {bytes} bytes of carrying stanzas");
            assert!(bytes <= 6500, "{group:?} {early}: {bytes}");
        }
    }
    assert!(set_up(Some(X25519), true) < set_up(Some(X25519MLKEM768), true));
}
