//! Whatever is no frame is refused, and what is written is read.

use proptest::prelude::*;

use super::*;

fn broken(wire: &[u8]) -> Broken {
    let mut wire = wire;
    let mut cutter = Cutter::new();
    loop {
        match cutter.next(&mut wire) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("nothing is wrong with it"),
            Err(broken) => {
                assert_eq!(cutter.next(&mut &b"\x01\0\0\0"[..]), Err(broken));
                return broken;
            }
        }
    }
}

#[test]
fn a_type_that_does_not_exist_is_no_frame() {
    assert_eq!(broken(&[7, 0, 0, 0]), Broken::Type(7));
    assert_eq!(broken(&[255, 0, 0, 0]), Broken::Type(255));
}

#[test]
fn a_length_that_the_type_does_not_have_is_no_frame() {
    for (kind, length) in [
        (0, 32),
        (0, 34),
        (1, 1),
        (2, 8),
        (2, MAX_DATA + 9),
        (3, 15),
        (3, 17),
        (4, 7),
        (5, 9),
        (6, 0),
        (6, 2),
    ] {
        assert_eq!(
            broken(&header(kind, length)),
            Broken::Length { kind, length }
        );
    }
}

#[test]
fn another_version_or_a_reason_that_does_not_exist_is_no_frame() {
    assert_eq!(
        broken(&[[0, 0, 0, 33].as_slice(), &[2; 33]].concat()),
        Broken::Version(2)
    );
    assert_eq!(broken(&[6, 0, 0, 1, 3]), Broken::Reason(3));
}

/// An owned frame, so that lists of them can be drawn.
#[derive(Debug, Clone, PartialEq)]
enum Owned {
    Data(u64, Vec<u8>),
    Other(Frame<'static>),
}

fn any_frame() -> impl Strategy<Value = Owned> {
    let reason = prop_oneof![Just(Bye::Moved), Just(Bye::Finished), Just(Bye::Gap)];
    prop_oneof![
        (any::<u64>(), proptest::collection::vec(any::<u8>(), 1..400))
            .prop_map(|(offset, bytes)| Owned::Data(offset, bytes)),
        any::<(u64, u64, [u8; MAC])>().prop_map(|(got, limit, mac)| Owned::Other(Frame::Hello {
            got,
            limit,
            mac
        })),
        any::<(u64, u64)>().prop_map(|(got, limit)| Owned::Other(Frame::Ack { got, limit })),
        any::<u64>().prop_map(|content| Owned::Other(Frame::Ping(content))),
        any::<u64>().prop_map(|content| Owned::Other(Frame::Pong(content))),
        reason.prop_map(|reason| Owned::Other(Frame::Bye(reason))),
        Just(Owned::Other(Frame::Choose)),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_any_pieces(
        frames in proptest::collection::vec(any_frame(), 0..20),
        size in 1_usize..100,
    ) {
        let mut wire = Vec::new();
        for frame in &frames {
            match frame {
                Owned::Data(offset, bytes) => {
                    Frame::Data { offset: *offset, bytes }.write(&mut wire);
                }
                Owned::Other(frame) => frame.write(&mut wire),
            }
        }
        let mut cutter = Cutter::new();
        let mut read: Vec<Owned> = Vec::new();
        let mut whole = 0;
        for mut piece in wire.chunks(size) {
            while let Some(frame) = cutter.next(&mut piece).unwrap() {
                if let Frame::Data { offset, bytes } = frame {
                    let begun = whole != 0;
                    let Some(Owned::Data(first, all)) = frames.get(read.len() - usize::from(begun)) else {
                        panic!("data where there were none");
                    };
                    prop_assert_eq!(offset, first.wrapping_add(whole as u64));
                    if !begun {
                        read.push(Owned::Data(offset, Vec::new()));
                    }
                    if let Some(Owned::Data(_, have)) = read.last_mut() {
                        have.extend(bytes);
                    }
                    whole = (whole + bytes.len()) % all.len();
                } else if let Frame::Hello { got, limit, mac } = frame {
                    read.push(Owned::Other(Frame::Hello { got, limit, mac }));
                } else if let Frame::Ack { got, limit } = frame {
                    read.push(Owned::Other(Frame::Ack { got, limit }));
                } else {
                    read.push(Owned::Other(match frame {
                        Frame::Ping(content) => Frame::Ping(content),
                        Frame::Pong(content) => Frame::Pong(content),
                        Frame::Bye(reason) => Frame::Bye(reason),
                        Frame::Choose | Frame::Hello { .. } | Frame::Ack { .. } | Frame::Data { .. } => Frame::Choose,
                    }));
                }
            }
        }
        prop_assert_eq!(read, frames);
    }
}
