use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::wire::Why;

fn place() -> Place {
    Place {
        host: "a.example".to_owned(),
        port: 80,
    }
}

fn wire(frame: &Frame<'_>) -> Vec<u8> {
    let mut wire = Vec::new();
    write(&mut wire, frame);
    wire
}

/// Whether a channel takes this frame.
fn takes(channel: &mut Channel, frame: &Frame<'_>) -> bool {
    channel.handle_wire(&mut wire(frame).as_slice()).is_ok()
}

fn every() -> [Frame<'static>; 8] {
    [
        Frame::Data(b"x"),
        Frame::End,
        Frame::Broken,
        Frame::Connect(place()),
        Frame::Listen(1, place()),
        Frame::Incoming(1, place()),
        Frame::Accepted(place()),
        Frame::Refused(Why::Denied.into()),
    ]
}

/// Which frames are taken in a state, in the order of `every`.
fn taken(state: impl Fn() -> Channel) -> Vec<bool> {
    every()
        .iter()
        .map(|frame| takes(&mut state(), frame))
        .collect()
}

fn asked() -> Channel {
    let mut channel = Channel::asked();
    assert!(takes(&mut channel, &Frame::Connect(place())));
    channel
}

fn open() -> Channel {
    let mut channel = asked();
    channel.accept(place());
    channel
}

#[test]
fn each_frame_is_taken_in_its_place_only() {
    let (no, yes) = (false, true);
    let table = [
        (taken(Channel::asked), [no, no, no, yes, yes, yes, no, no]),
        (taken(asked), [no; 8]),
        (
            taken(|| Channel::asking(&Request::Connect(place()))),
            [no, no, no, no, no, no, yes, yes],
        ),
        (taken(open), [yes, yes, yes, no, no, no, no, no]),
        (
            taken(|| {
                let mut channel = open();
                assert!(takes(&mut channel, &Frame::End));
                channel
            }),
            [no, no, yes, no, no, no, no, no],
        ),
        (
            taken(|| {
                let mut channel = open();
                assert!(takes(&mut channel, &Frame::Broken));
                channel
            }),
            [no; 8],
        ),
        (
            taken(|| {
                let mut channel = asked();
                channel.refuse(Why::Denied.into());
                channel
            }),
            [no; 8],
        ),
    ];
    for (at, (seen, expected)) in table.into_iter().enumerate() {
        assert_eq!(seen, expected, "row {at}");
    }
}

#[test]
fn nothing_is_sent_before_the_answer_or_after_the_end() {
    assert_eq!(asked().data(1), None);
    assert_eq!(Channel::asking(&Request::Connect(place())).data(1), None);
    let mut channel = open();
    assert!(channel.data(1).is_some() && channel.data(0).is_none());
    assert!(channel.data(65_536).is_some() && channel.data(65_537).is_none());
    channel.end();
    assert_eq!(channel.data(1), None);
}

#[test]
fn a_broken_connection_is_never_complete() {
    let mut channel = open();
    assert!(takes(&mut channel, &Frame::End));
    channel.fail();
    channel.poll_wire();
    assert!(!channel.is_complete());
    let mut other = open();
    other.end();
    other.poll_wire();
    assert!(takes(&mut other, &Frame::Broken));
    assert!(!other.is_complete());
}

#[test]
fn both_ends_make_a_connection_complete() {
    let mut channel = open();
    channel.end();
    assert!(!channel.is_complete());
    assert!(takes(&mut channel, &Frame::End));
    assert!(
        !channel.is_complete(),
        "the answer and the end are not sent yet"
    );
    channel.poll_wire();
    assert!(channel.is_complete());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A hostile stream ends in an error or goes on, and makes an end say nothing unless it was accepted.
    #[test]
    fn any_bytes_end_in_an_error_or_in_events(bytes in vec(any::<u8>(), 0..300), ours: bool) {
        let mut channel = if ours { Channel::asking(&Request::Connect(place())) } else { Channel::asked() };
        channel.poll_wire();
        let mut wire = bytes.as_slice();
        while let Ok(Some(_)) = channel.handle_wire(&mut wire) {}
        prop_assert_eq!(channel.poll_wire(), None);
    }

    #[test]
    fn what_goes_in_comes_out(pieces in vec(vec(any::<u8>(), 1..100), 0..8)) {
        let mut near = Channel::asking(&Request::Connect(place()));
        let mut far = Channel::asked();
        let request = near.poll_wire().unwrap();
        prop_assert_eq!(
            far.handle_wire(&mut request.as_slice()),
            Ok(Some(Event::Asked(Request::Connect(place()))))
        );
        far.accept(place());
        let mut to_near = far.poll_wire().unwrap();
        for piece in &pieces {
            to_near.extend(far.data(piece.len()).unwrap());
            to_near.extend(piece);
        }
        far.end();
        to_near.extend(far.poll_wire().unwrap());
        let (mut got, mut ended) = (Vec::new(), false);
        let mut wire = to_near.as_slice();
        while let Some(event) = near.handle_wire(&mut wire).unwrap() {
            match event {
                Event::Data(bytes) => got.extend_from_slice(bytes),
                Event::End => ended = true,
                Event::Accepted(at) => prop_assert_eq!(at, place()),
                Event::Asked(_) | Event::Refused(_) | Event::Broken => prop_assert!(false),
            }
        }
        prop_assert!(ended);
        prop_assert_eq!(got, pieces.concat());
    }
}
