//! The original flow: the same tunnels, with nothing beneath them but requests and answers.

use xtls_session::By;
use xtls_stanza::Condition;

use super::*;

fn originals() -> World {
    World::with(config(A).original(true), config(B).original(true))
}

/// Whether anything of a bytestream was sent.
fn bytestreams(world: &World) -> bool {
    let of_stream =
        |(_, envelope): &(usize, Envelope)| matches!(word(envelope), "open" | "data" | "ibb close");
    world.log.iter().any(of_stream)
}

#[test]
fn a_tunnel_begins_speaks_and_ends_without_a_bytestream() {
    for (opener, early) in [(A, true), (B, true), (A, false), (B, false)] {
        let mut world = World::with(
            config(A).original(true).early(early),
            config(B).original(true).early(early),
        );
        let ids = world.establish(opener);
        for number in 0..20 {
            world.say(A, ids[A], &format!("a{number}"));
            world.say(B, ids[B], &format!("b{number}"));
        }
        world.settle();
        assert_eq!(world.received(A, ids[A]).len(), 20);
        assert_eq!(world.received(B, ids[B]).len(), 20);
        world.tunnel(A, ids[A]).finish();
        world.settle();
        world.say(B, ids[B], "late");
        world.settle();
        assert_eq!(
            world.received(A, ids[A]).last().map(String::as_str),
            Some("late")
        );
        world.tunnel(B, ids[B]).finish();
        world.wait(Duration::from_secs(100));
        world.assert_clean(ids);
        assert!(!bytestreams(&world));
        // And again: nothing is left of the first.
        world.establish(opener);
    }
}

#[test]
fn a_flow_ends_with_the_close_at_once_whoever_says_it() {
    for (opener, first) in [(A, A), (A, B), (B, A), (B, B)] {
        let mut world = originals();
        let ids = world.establish(opener);
        for end in [first, 1 - first] {
            world.tunnel(end, ids[end]).finish();
            world.settle();
        }
        // No time has passed.
        world.assert_clean(ids);
    }
}

#[test]
fn one_request_is_under_way_in_each_direction() {
    let mut world = originals();
    let ids = world.establish(A);
    let from = world.log.len();
    world.say_all(A, ids[A], 100, 1000);
    world.settle();
    let (mut waiting, mut most) = (0, 0);
    for (end, envelope) in &world.log[from..] {
        match &envelope.content {
            Content::Set(Payload::Xtls(xtls::Control::Data(bytes))) if *end == A => {
                assert!(bytes.len() <= 4096);
                waiting += 1;
                most = most.max(waiting);
            }
            Content::Result(None) if *end == B => waiting -= 1,
            _ => {}
        }
    }
    assert_eq!((waiting, most), (0, 1));
    assert_eq!(world.received(B, ids[B]).len(), 100);
}

#[test]
fn a_slow_reader_holds_the_writer_back() {
    let mut world = originals();
    let ids = world.establish(A);
    world.tunnel(B, ids[B]).hold(true);
    let body = "x".repeat(2000);
    let mut sent = 0;
    for number in 0..1000 {
        let stanza = message(&format!("m{number}"), &body);
        if world.tunnel(A, ids[A]).send(&stanza).is_err() {
            break;
        }
        sent += 1;
        world.settle();
    }
    assert!(
        sent < 200,
        "{sent} stanzas of 2 kB for a reader that reads nothing"
    );
    world.tunnel(B, ids[B]).hold(false);
    world.settle();
    assert_eq!(world.received(B, ids[B]).len(), sent);
}

#[test]
fn crossing_starts_become_one_tunnel() {
    for order in interleavings(6) {
        let mut world = originals();
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
fn it_is_not_acceptable_where_it_is_off() {
    let mut world = World::with(config(A).original(true), config(B));
    let a = world.open(A);
    world.settle();
    let Why::Declined(error) = world.closed(A, a).why else {
        panic!("{:?}", world.closed(A, a));
    };
    assert_eq!(error.condition, Condition::NotAcceptable);
    assert!(world.ends[B].events.is_empty());
}

#[test]
fn whoever_is_not_accepted_learns_nothing() {
    let closed_to_all = config(B).original(true).accept(Accept::NoOne);
    let mut world = World::with(config(A).original(true), closed_to_all);
    let a = world.open(A);
    world.settle();
    assert!(matches!(world.closed(A, a).why, Why::Unavailable(_)));
    assert!(world.ends[B].events.is_empty());
}

#[test]
fn it_opens_to_the_letter_all_the_same() {
    let mut world = World::with(config(A), config(B).original(true));
    let ids = world.establish(A);
    world.say(A, ids[A], "m1");
    world.settle();
    assert_eq!(world.received(B, ids[B]), ["m1"]);
    assert!(bytestreams(&world));
}

#[test]
fn a_close_before_its_close_notify_is_a_truncation() {
    let mut world = originals();
    let ids = world.establish(A);
    world.say(B, ids[B], "m1");
    world.settle();
    let close = "<iq type='set' id='c1'><close xmlns='urn:xmpp:tmp:xtls'/></iq>";
    let answers = world.inject(A, Some(NAMES[B]), close);
    assert!(answers.iter().any(|answer| word(answer) == "xtls closed"));
    world.settle();
    assert_eq!(world.received(A, ids[A]), ["m1"]);
    let closed = world.closed(A, ids[A]);
    assert!(!closed.clean, "{closed:?}");
}

#[test]
fn data_without_a_flow_finds_nothing() {
    let mut world = originals();
    let data =
        "<iq type='set' id='d1'><data xmlns='urn:xmpp:tmp:xtls' method='x509'>AAAA</data></iq>";
    let answers = world.inject(A, Some(NAMES[B]), data);
    let Content::Error(error) = &answers[0].content else {
        panic!("{answers:?}");
    };
    assert_eq!(error.condition, Condition::ItemNotFound);
}

/// What `<data/>` with this between its tags is answered in a flow that stands, and whether the flow stands still.
fn data_in_flow(child: &str, unread: bool) -> (Option<Condition>, bool) {
    let mut world = originals();
    let ids = world.establish(A);
    world.tunnel(B, ids[B]).hold(true);
    if unread {
        // More than the session takes of a reader that reads nothing, so that the last request is not answered.
        world.fill_up(A, ids[A], 2000);
    }
    let answers = world.inject(
        B,
        Some(NAMES[A]),
        &format!("<iq type='set' id='d1'>{child}</iq>"),
    );
    let answer = answers.iter().find(|answer| answer.id == "d1");
    let condition = answer.and_then(|answer| match &answer.content {
        Content::Error(error) => Some(error.condition),
        _ => None,
    });
    world.tunnel(B, ids[B]).hold(false);
    world.wait(Duration::from_secs(1));
    (condition, world.ended(B, ids[B]).is_none())
}

#[test]
fn what_no_peer_may_send_is_answered_with_an_error_and_ends_the_flow() {
    let ns = "xmlns='urn:xmpp:tmp:xtls'";
    let too_long = "AAAA".repeat(1366);
    for child in [
        format!("<data {ns} method='x509'>A*==</data>"),
        format!("<data {ns} method='x509'/>"),
        format!("<data {ns} method='x509'>{too_long}</data>"),
        format!("<data {ns}>AAAA</data>"),
        format!("<data {ns} method='openpgp'>AAAA</data>"),
    ] {
        let (condition, stands) = data_in_flow(&child, false);
        assert_eq!(
            (condition, stands),
            (Some(Condition::BadRequest), false),
            "{child}"
        );
    }
    // Whoever does not wait for an answer.
    let second = format!("<data {ns} method='x509'>AAAA</data>");
    let (condition, stands) = data_in_flow(&second, true);
    assert_eq!(
        (condition, stands),
        (Some(Condition::UnexpectedRequest), false)
    );
}

#[test]
fn a_request_at_the_border_of_4096_bytes_is_taken() {
    let text = format!("{}AA==", "AAAA".repeat(1365));
    let child = format!("<data xmlns='urn:xmpp:tmp:xtls' method='x509'>{text}</data>");
    // It is no TLS, which is the session's to say: the flow takes it.
    assert_eq!(data_in_flow(&child, false).0, None);
}

#[test]
fn starts_are_limited_as_opens_are() {
    let ibb = xtls_ibb::Config::default().opens_per_minute(1);
    let b = config(B).original(true).ibb(ibb).accept(Accept::Anyone);
    let mut world = World::with(config(A), b);
    for number in 0..2 {
        let start = "<iq type='set' id='s1'><start xmlns='urn:xmpp:tmp:xtls'/></iq>";
        let from = format!("c@north.example/{number}");
        let answers = world.inject(B, Some(&from), start);
        match &answers[0].content {
            Content::Error(error) if number == 1 => {
                let busy = xtls_stanza::busy::Busy::read(error).unwrap();
                assert_eq!((busy.most, busy.wait), (1, 60));
            }
            content => assert!(matches!(content, Content::Result(_)) && number == 0),
        }
    }
    let now = world.now;
    assert!(world.router(B).poll_turned_away(now).is_some());
}

#[test]
fn a_second_start_does_not_touch_the_first() {
    let mut world = originals();
    let ids = world.establish(A);
    let start = "<iq type='set' id='s1'><start xmlns='urn:xmpp:tmp:xtls'/></iq>";
    let answers = world.inject(B, Some(NAMES[A]), start);
    let Content::Error(error) = &answers[0].content else {
        panic!("{answers:?}");
    };
    assert_eq!(error.condition, Condition::NotAcceptable);
    world.say(A, ids[A], "m1");
    world.settle();
    assert_eq!(world.received(B, ids[B]), ["m1"]);
}

#[test]
fn an_unanswered_request_ends_the_tunnel() {
    let mut world = originals();
    let ids = world.establish(A);
    world.filter = Some(Box::new(|end, _| end == A));
    world.say(A, ids[A], "m1");
    world.wait(Duration::from_secs(61));
    let closed = world.closed(A, ids[A]);
    assert_eq!((closed.by, closed.clean), (By::Transport, false));
}

#[test]
fn an_error_to_data_ends_the_tunnel() {
    let mut world = originals();
    let ids = world.establish(A);
    world.filter = Some(Box::new(|end, envelope| {
        end == A || word(envelope) != "xtls close"
    }));
    world.tunnel(B, ids[B]).abort();
    world.settle();
    world.say(A, ids[A], "m1");
    world.settle();
    assert!(!world.closed(A, ids[A]).clean);
    assert_eq!(world.ends[A].router.tunnels.len(), 0);
}

#[test]
fn a_prompt_expires_in_this_flow_too() {
    let asking = config(B).original(true).accept(Accept::Ask([].into()));
    let mut world = World::with(config(A).original(true), asking);
    let a = world.open(A);
    world.wait(Duration::from_secs(51));
    assert!(matches!(world.closed(A, a).why, Why::Declined(_)));
    let a = world.open(A);
    world.settle();
    let b = world.last_id(B);
    world.tunnel(B, b).admit(true);
    world.settle();
    assert!(world.established(A, a) && world.established(B, b));
}

/// KeyUpdates that an end has sent. They show by their size: header 4, body 1, type 1, tag 16 (RFC 8446 §4.6.3, §5.2),
/// and nothing else that is said here is as short.
fn key_updates(log: &[(usize, Envelope)], from: usize) -> usize {
    let mut wire = Vec::new();
    for (end, envelope) in log {
        if let Content::Set(Payload::Xtls(xtls::Control::Data(bytes))) = &envelope.content
            && *end == from
        {
            wire.extend_from_slice(bytes);
        }
    }
    let (mut rest, mut updates) = (&wire[..], 0);
    while let [_, _, _, high, low, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        updates += usize::from(length == 22);
        rest = &more[length..];
    }
    assert!(rest.is_empty(), "whole records");
    updates
}

#[test]
fn keys_are_renewed_in_place() {
    let mut world = originals();
    let ids = world.establish(A);
    let say = |world: &mut World, number: u32, wait: Duration| {
        let from = world.log.len();
        // The first probe after a day may take them with it.
        world.wait(wait);
        world.say(A, ids[A], &format!("a{number}"));
        world.say(B, ids[B], &format!("b{number}"));
        world.settle();
        [A, B].map(|end| key_updates(&world.log[from..], end))
    };
    assert_eq!(say(&mut world, 1, Duration::ZERO), [0, 0]);
    let updates = say(&mut world, 2, Duration::from_secs(25 * 3600));
    assert!(
        updates.iter().all(|count| (1..=2).contains(count)),
        "{updates:?}"
    );
    assert_eq!(say(&mut world, 3, Duration::ZERO), [0, 0]);
    assert_eq!(world.received(B, ids[B]), ["a1", "a2", "a3"]);
    assert_eq!(world.received(A, ids[A]), ["b1", "b2", "b3"]);
}

/// XEP-0198 §5: what was not acknowledged before a link broke is sent again after its resumption.
#[test]
fn a_repeated_request_of_the_original_flow_is_answered_again_and_not_taken_twice() {
    for slow in [false, true] {
        let original = |end| config(end).original(true);
        let mut world = World::with(original(A), original(B));
        let ids @ [a, b] = world.establish(A);
        let now = world.now;
        // A reader that does not read yet has not answered the first either.
        world.tunnel(B, b).hold(slow);
        let from = world.log.len();
        world.say(A, a, "m1");
        world.settle();
        let data = world.log[from].1.clone();
        assert!(matches!(
            data.content,
            Content::Set(Payload::Xtls(xtls::Control::Data(_)))
        ));
        for _ in 0..2 {
            world.router(B).handle(now, data.clone());
            world.settle();
        }
        world.tunnel(B, b).hold(false);
        world.settle();
        let answers = world.log[from..].iter();
        let answers: Vec<_> = answers
            .filter(|(end, answer)| *end == B && answer.id == data.id)
            .map(|(_, answer)| word(answer))
            .collect();
        assert!(!answers.is_empty());
        assert!(answers.iter().all(|word| *word == "result"), "{answers:?}");
        assert_eq!(world.received(B, b), ["m1"]);
        world.assert_alive(ids, "talk");
    }
}

#[test]
fn a_repeated_start_of_the_original_flow_does_not_refuse_the_first() {
    let asking = config(B).original(true).accept(Accept::Ask([].into()));
    let mut world = World::with(config(A).original(true), asking);
    let a = world.open(A);
    world.settle();
    let (start, now) = (world.log[0].1.clone(), world.now);
    world.router(B).handle(now, start);
    world.settle();
    assert!(world.ended(A, a).is_none());
    let b = world.last_id(B);
    world.tunnel(B, b).admit(true);
    world.settle();
    assert!(world.established(A, a) && world.established(B, b));
    world.assert_alive([a, b], "talk");
}
