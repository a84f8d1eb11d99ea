//! What a server does to two who talk through it, one attack a test. docs/THREATS.md lists them, with those that are
//! tested elsewhere.

use std::cell::RefCell;
use std::rc::Rc;

use xtls_session::Why as Session;
use xtls_stanza::Condition;

use super::*;

/// The chunks that a server has kept.
type Kept = Rc<RefCell<Vec<Envelope>>>;

impl World {
    /// From now on the server keeps what this end sends, where `which` says so.
    fn keep(&mut self, from: usize, which: impl Fn(&Envelope) -> bool + 'static) -> Kept {
        let kept = Kept::default();
        let shelf = Rc::clone(&kept);
        self.filter = Some(Box::new(move |end, envelope| {
            let keep = end == from && which(envelope);
            if keep {
                shelf.borrow_mut().push(envelope.clone());
            }
            !keep
        }));
        kept
    }

    /// The server delivers what it has kept, and lets everything pass again.
    fn deliver_late(&mut self, from: usize, kept: &Kept) {
        self.filter = None;
        let now = self.now;
        for envelope in kept.borrow_mut().drain(..) {
            self.router(1 - from).handle(now, envelope);
            self.flush(1 - from);
        }
        self.settle();
    }

    /// The server answers in the peer's name all that it has kept so far, and throws it away.
    fn swallow(&mut self, from: usize, kept: &Kept) -> usize {
        let requests: Vec<_> = kept.borrow_mut().drain(..).collect();
        let now = self.now;
        for request in &requests {
            let mut answer = request.result(None);
            if let Content::Set(Payload::Xtls(xtls::Control::Close { .. })) = &request.content {
                answer.content = Content::Result(Some(Payload::Xtls(xtls::Control::Closed)));
            }
            self.router(from).handle(now, answer);
            self.flush(from);
        }
        requests.len()
    }

    /// Both ends of a tunnel still speak and hear.
    pub(super) fn assert_alive(&mut self, ids: [TunnelId; 2], name: &str) {
        for end in [A, B] {
            let name = format!("{name}-{end}");
            self.say(end, ids[end], &name);
            self.settle();
            let heard = self.received(1 - end, ids[1 - end]);
            assert_eq!(heard.last(), Some(&name));
        }
    }
}

fn is_data(envelope: &Envelope) -> bool {
    word(envelope) == "data"
}

#[test]
fn a_last_flight_that_was_withheld_until_a_newer_session_stands_changes_nothing() {
    for early in [true, false] {
        let mut world = World::with(config(A).early(early), config(B).early(early));
        // A's first handshake is complete but for the flight that the server keeps.
        let kept = world.keep(A, move |envelope| {
            matches!(&envelope.content, Content::Set(Payload::Data(data)) if early || data.seq.0 > 0)
        });
        world.open(A);
        world.settle();
        let first = world.last_id(B);
        assert!(!world.established(B, first));
        assert!(!kept.borrow().is_empty());
        world.filter = None;
        world.restart(A, config(A).early(early));
        let ids = world.establish(A);
        assert_ne!(ids[B], first);

        world.deliver_late(A, &kept);
        assert!(!world.established(B, first));
        assert_eq!(world.closed(B, first).why, Why::Superseded);
        world.assert_alive(ids, "m");
        assert!(world.ended(A, ids[A]).is_none() && world.ended(B, ids[B]).is_none());
    }
}

#[test]
fn an_open_that_was_withheld_until_a_newer_session_stands_changes_nothing() {
    let mut world = World::new();
    let kept = world.keep(A, |envelope| word(envelope) == "open");
    let first = world.open(A);
    world.settle();
    world.filter = None;
    world.tunnel(A, first).abort();
    world.settle();
    let ids = world.establish(A);

    world.deliver_late(A, &kept);
    world.assert_alive(ids, "m");
    // What B makes of it ends in time, and the tunnel stands.
    world.wait(Duration::from_secs(200));
    world.assert_alive(ids, "n");
    assert_eq!(world.last_id(B), ids[B], "the owner never heard of it");
}

/// Shows an end everything that is not under TLS of an orderly end of its peer.
fn forge_end(world: &mut World, end: usize) {
    let (sid, stream) = (world.sid(), ibb::NS);
    for xml in [
        format!("<iq type='set' id='f1'><close xmlns='urn:xmpp:tmp:xtls' sid='{sid}'/></iq>"),
        format!("<iq type='set' id='f2'><close xmlns='{stream}' sid='{sid}'/></iq>"),
    ] {
        let answers = world.inject(end, Some(NAMES[1 - end]), &xml);
        assert_eq!(answers.len(), 1, "{xml}");
    }
}

#[test]
fn a_tail_that_is_dropped_behind_forged_acks_and_a_forged_closed_is_no_clean_end() {
    for b_finishes in [false, true] {
        let mut world = World::new();
        let ids = world.establish(A);
        world.say(A, ids[A], "m1");
        world.settle();
        assert_eq!(world.received(B, ids[B]), ["m1"]);

        // The rest of what A says, its end included, goes nowhere, and A is told that all of it has arrived.
        let kept = world.keep(A, |envelope| matches!(envelope.content, Content::Set(_)));
        world.say(A, ids[A], "m2");
        world.tunnel(A, ids[A]).close();
        world.settle();
        if b_finishes {
            world.tunnel(B, ids[B]).finish();
        }
        let mut forged = Vec::new();
        for _ in 0..300 {
            world.settle();
            forged.extend(kept.borrow().iter().map(word));
            world.swallow(A, &kept);
            world.wait(Duration::from_secs(1));
        }
        let closed = world.closed(A, ids[A]);
        if b_finishes {
            assert_eq!(forged, ["data", "data", "data", "ibb close"]);
            // True of what A has heard. That B has taken all of A only B could tell, inside.
            assert!(closed.clean, "{closed:?}");
        } else {
            assert_eq!(forged, ["data", "data", "ibb close"]);
            assert!(!closed.clean, "B's end never came: {closed:?}");
        }
        assert_eq!(closed.unconfirmed, 2, "{closed:?}");

        world.filter = Some(Box::new(|end, _| end == A));
        forge_end(&mut world, B);
        world.wait(Duration::from_secs(300));
        assert_eq!(world.received(B, ids[B]), ["m1"]);
        let closed = world.closed(B, ids[B]);
        let finished = matches!(closed.why, Why::Session(Session::Finished));
        assert!(!closed.clean && !finished, "{closed:?}");
    }
}

#[test]
fn without_its_start_an_open_is_refused_and_nothing_follows_in_the_clear() {
    let mut world = World::new();
    world.alter = Some(Box::new(|_, mut envelope| {
        if let Content::Set(Payload::Open(open)) = &mut envelope.content {
            open.extensions.clear();
        }
        envelope
    }));
    let id = world.open(A);
    world.settle();
    let why = world.closed(A, id).why;
    let Why::Declined(error) = why else {
        panic!("{why:?}")
    };
    assert_eq!(error.condition, Condition::NotAcceptable);
    assert!(world.ends[B].events.is_empty());
    assert!(world.log.iter().all(|(_, envelope)| !is_data(envelope)));
}

#[test]
fn a_start_that_was_forged_establishes_nothing_and_ends_in_time() {
    for original in [false, true] {
        let mut world = World::with(config(A).original(original), config(B).original(original));
        let start = "<start xmlns='urn:xmpp:tmp:xtls'/>";
        let forged = match original {
            true => format!("<iq type='set' id='f1'>{start}</iq>"),
            false => format!(
                "<iq type='set' id='f1'><open xmlns='{}' sid='f' block-size='4096'>{start}</open></iq>",
                ibb::NS
            ),
        };
        // A never asked, so whatever B answers finds nothing there.
        let answers = world.inject(B, Some(NAMES[A]), &forged);
        assert!(
            matches!(answers[0].content, Content::Result(_)),
            "{answers:?}"
        );
        world.settle();
        world.wait(Duration::from_secs(300));
        let told = |world: &World, end: usize| {
            let mut events = world.ends[end].events.iter();
            events.any(|event| {
                matches!(
                    event.what,
                    TunnelEvent::Established(_) | TunnelEvent::Stanza(_)
                )
            })
        };
        assert!(!told(&world, A) && !told(&world, B));
        for end in [A, B] {
            assert_eq!(world.ends[end].router.leftovers(), 0, "{original}");
        }
        // And it stands in nobody's way.
        world.establish(A);
    }
}

#[test]
fn a_start_that_was_taken_out_of_the_original_flow_ends_it() {
    let mut world = World::with(config(A).original(true), config(B).original(true));
    world.alter = Some(Box::new(|_, mut envelope| {
        if let Content::Set(Payload::Xtls(xtls::Control::Start { .. })) = &envelope.content {
            envelope.content = Content::Get(Payload::Ping);
        }
        envelope
    }));
    // B's answer to the ping is no `<proceed/>`, and so no reason to go on.
    let id = world.open(A);
    world.wait(Duration::from_secs(300));
    assert!(world.ended(A, id).is_some_and(|closed| !closed.clean));
    assert!(world.ends[B].events.is_empty());
}

#[test]
fn proceed_data_and_closed_of_others_are_nothing_to_the_original_flow() {
    let others = [
        "mallory@east.example/two",
        "a@west.example/two",
        "b@east.example/three",
    ];
    let mut world = World::with(config(A).original(true), config(B).original(true));
    // A's `<start/>` is under way, and others answer it.
    let kept = world.keep(A, |_| true);
    let id = world.open(A);
    world.settle();
    let start = kept.borrow()[0].id.clone();
    for from in others {
        let xml =
            format!("<iq type='result' id='{start}'><proceed xmlns='urn:xmpp:tmp:xtls'/></iq>");
        assert_eq!(world.inject(A, Some(from), &xml), []);
    }
    world.deliver_late(A, &kept);
    let ids = [id, world.last_id(B)];
    assert!(world.established(A, ids[A]) && world.established(B, ids[B]));

    // So do their bytes and their ends, at any time.
    for end in [A, B] {
        for from in others {
            for child in [
                "<data xmlns='urn:xmpp:tmp:xtls' method='x509'>QUJD</data>",
                "<close xmlns='urn:xmpp:tmp:xtls'/>",
            ] {
                let xml = format!("<iq type='set' id='f1'>{child}</iq>");
                let answers = world.inject(end, Some(from), &xml);
                assert!(
                    matches!(
                        answers[..],
                        [Envelope {
                            content: Content::Error(_),
                            ..
                        }]
                    ),
                    "{answers:?}"
                );
            }
        }
    }
    world.assert_alive(ids, "m");
    let requests = world.keep(A, |envelope| word(envelope) == "xtls close");
    world.tunnel(A, ids[A]).finish();
    world.settle();
    world.tunnel(B, ids[B]).finish();
    world.settle();
    let close = requests.borrow()[0].id.clone();
    for from in others {
        let xml =
            format!("<iq type='result' id='{close}'><closed xmlns='urn:xmpp:tmp:xtls'/></iq>");
        world.inject(A, Some(from), &xml);
        assert!(world.ended(A, ids[A]).is_none());
    }
    world.deliver_late(A, &requests);
    world.wait(Duration::from_secs(100));
    world.assert_clean(ids);
}
