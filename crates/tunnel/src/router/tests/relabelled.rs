//! A server that changes what the two mean: names, services, offers. docs/THREATS.md lists these attacks.

use bytes::Bytes;

use super::*;

/// Nothing has been established, at either end, and nothing is called clean.
fn assert_nothing(world: &World) {
    for end in [A, B] {
        for event in &world.ends[end].events {
            let good = match &event.what {
                TunnelEvent::Established(_) => true,
                TunnelEvent::Closed(closed) => closed.clean,
                _ => false,
            };
            assert!(!good, "{end}: {event:?}");
        }
    }
}

/// Changes the bytes of a ClientHello wherever it is: in an open, a start or a chunk.
fn change_hello(mut envelope: Envelope, change: fn(&mut [u8])) -> Envelope {
    let changed = |bytes: &Bytes| {
        let mut bytes = bytes.to_vec();
        change(&mut bytes);
        Bytes::from(bytes)
    };
    match &mut envelope.content {
        Content::Set(Payload::Open(open)) => {
            if let Ok(Some(xtls::Control::Start { hello: Some(hello) })) =
                xtls::Control::in_open(open)
            {
                let hello = Some(changed(&hello));
                open.extensions = vec![xtls::Control::Start { hello }.to_element()];
            }
        }
        Content::Set(Payload::Xtls(xtls::Control::Start { hello: Some(bytes) })) => {
            *bytes = changed(bytes);
        }
        Content::Set(Payload::Data(data)) => data.bytes = changed(&data.bytes),
        Content::Set(Payload::Xtls(xtls::Control::Data(bytes))) => *bytes = changed(bytes),
        _ => {}
    }
    envelope
}

fn alpn(hello: &[u8]) -> Option<usize> {
    hello.windows(5).position(|window| window == b"xtls-")
}

/// Makes the extension one that nobody knows (RFC 8446 §4.1.2: it is ignored).
fn strip_alpn(hello: &mut [u8]) {
    // Before the name: type, length, length of the list, length of the name (RFC 7301 §3.1).
    if let Some(at) = alpn(hello).and_then(|at| at.checked_sub(7)) {
        assert_eq!(hello[at..at + 2], [0, 16]);
        hello[at..at + 2].copy_from_slice(&[0xfa, 0xfa]);
    }
}

/// Another service, sid or address, as the other end computes it.
fn relabel_alpn(hello: &mut [u8]) {
    if let Some(at) = alpn(hello) {
        let last = at + 12;
        hello[last] = if hello[last] == b'A' { b'B' } else { b'A' };
    }
}

fn with_changed_hello(make: fn(usize) -> Config, change: fn(&mut [u8])) {
    for (early, original) in [(true, false), (false, false), (true, true), (false, true)] {
        let config = |end| make(end).early(early).original(original);
        let mut world = World::with(config(A), config(B));
        let seen = std::rc::Rc::new(std::cell::Cell::new(0));
        let count = std::rc::Rc::clone(&seen);
        world.alter = Some(Box::new(move |end, envelope| {
            if end == B {
                return envelope;
            }
            let changed = change_hello(envelope.clone(), change);
            count.set(count.get() + usize::from(changed != envelope));
            changed
        }));
        let a = world.open(A);
        world.wait(Duration::from_secs(200));
        assert!(seen.get() > 0, "early {early}, original {original}");
        assert!(world.ended(A, a).is_some());
        assert_nothing(&world);
    }
}

#[test]
fn an_alpn_that_is_taken_out_on_the_way_establishes_nothing() {
    with_changed_hello(config, strip_alpn);
    with_changed_hello(in_bytes, strip_alpn);
}

#[test]
fn a_service_that_is_relabelled_on_the_way_establishes_nothing() {
    with_changed_hello(config, relabel_alpn);
    with_changed_hello(in_bytes, relabel_alpn);
}

#[test]
fn a_resource_that_is_relabelled_for_both_sides_establishes_nothing() {
    const OTHER: &str = "a@west.example/other";
    for (early, original) in [(true, false), (false, false), (true, true), (false, true)] {
        let config = |end| config(end).early(early).original(original);
        let mut world = World::with(config(A), config(B));
        world.alter = Some(Box::new(|end, mut envelope| {
            if end == A {
                envelope.from = Some(address(OTHER));
            }
            envelope
        }));
        let a = world.open(A);
        // What B says to the other resource, A hears as its own.
        let mut answers = 0;
        for _ in 0..50 {
            world.settle();
            for mut envelope in std::mem::take(&mut world.ends[B].others) {
                envelope.to = Some(address(NAMES[A]));
                world.ends[B].wire.push_back(envelope);
                answers += 1;
            }
        }
        assert!(answers > 0, "B took it for an open of the other resource");
        world.wait(Duration::from_secs(200));
        assert!(world.ended(A, a).is_some());
        assert_nothing(&world);
    }
}

#[test]
fn a_sid_that_is_relabelled_for_both_sides_establishes_nothing() {
    for early in [true, false] {
        let mut world = World::with(config(A).early(early), config(B).early(early));
        let mut names: Option<[ibb::Sid; 2]> = None;
        world.alter = Some(Box::new(move |end, mut envelope| {
            if let Content::Set(Payload::Open(open)) = &envelope.content
                && end == A
            {
                // Every open gets its own name, so that later tries do not collide.
                let other = format!("{}x", open.sid);
                names = Some([open.sid.clone(), ibb::Sid::new(&other).unwrap()]);
            }
            let Some([at_a, at_b]) = &names else {
                return envelope;
            };
            let other = |sid: &mut ibb::Sid| {
                if end == A && sid == at_a {
                    *sid = at_b.clone();
                } else if end == B && sid == at_b {
                    *sid = at_a.clone();
                }
            };
            match &mut envelope.content {
                Content::Set(Payload::Open(open)) => other(&mut open.sid),
                Content::Set(Payload::Data(data)) => other(&mut data.sid),
                _ => {}
            }
            envelope
        }));
        let a = world.open(A);
        world.wait(Duration::from_secs(200));
        assert!(world.ended(A, a).is_some());
        assert!(!world.ends[B].events.is_empty(), "the handshake had begun");
        assert_nothing(&world);
    }
}

#[test]
fn a_hello_or_flight_that_is_taken_out_of_the_original_flow_never_misleads() {
    for strip_flight in [false, true] {
        let original = |end| config(end).original(true);
        let mut world = World::with(original(A), original(B));
        world.alter = Some(Box::new(move |_, mut envelope| {
            match &mut envelope.content {
                Content::Set(Payload::Xtls(xtls::Control::Start { hello })) if !strip_flight => {
                    *hello = None;
                }
                Content::Result(Some(Payload::Xtls(xtls::Control::Proceed { hello })))
                    if strip_flight =>
                {
                    *hello = None;
                }
                _ => {}
            }
            envelope
        }));
        let a = world.open(A);
        world.wait(Duration::from_secs(200));
        if world.established(A, a) {
            let b = world.last_id(B);
            world.alter = None;
            world.assert_alive([a, b], "talk");
        } else {
            assert!(strip_flight, "the same hello goes as data");
            assert!(world.ended(A, a).is_some());
            assert_nothing(&world);
        }
    }
}
