//! Hostile senders, frame by frame. What two honest ends do is in tests/machines.rs.

use super::*;
use crate::entry::{Date, MAX_ENTRIES, MAX_NAMES};
use crate::wire::RawEntry;

fn wire(frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
    let mut out = BytesMut::new();
    for frame in frames {
        frame.write(&mut out);
    }
    out.to_vec()
}

fn entry(path: &str, size: u64) -> Frame {
    Frame::Entry(RawEntry::new(&Entry::file(path, size, Date::default())).unwrap())
}

fn folder(path: &str) -> Frame {
    Frame::Entry(RawEntry::new(&Entry::folder(path, Date::default())).unwrap())
}

const HELLO: Frame = Frame::Hello {
    version: 1,
    zstd: true,
};

/// A receiver that was offered these files and has accepted.
fn accepted(files: &[(&str, u64)]) -> Receiver {
    let mut receiver = Receiver::new(Rules::Unix, false);
    let bytes = files.iter().map(|(_, size)| size).sum();
    let frames = files.iter().map(|(path, size)| entry(path, *size));
    let end = Frame::OfferEnd(Totals {
        files: u32::try_from(files.len()).unwrap(),
        folders: 0,
        bytes,
    });
    receiver.handle_wire(&wire([HELLO].into_iter().chain(frames).chain([end])));
    assert_eq!(receiver.poll_event(), Some(ReceiverEvent::Offered));
    receiver.accept().unwrap();
    receiver
}

/// The same, with every file wanted from its beginning.
fn wanting(files: &[(&str, u64)]) -> Receiver {
    let mut receiver = accepted(files);
    while let Some(event) = receiver.poll_event() {
        let ReceiverEvent::Look { index } = event else {
            panic!("{event:?}");
        };
        receiver.want(index, 0, None).unwrap();
    }
    receiver
}

fn events(receiver: &mut Receiver) -> Vec<ReceiverEvent> {
    std::iter::from_fn(|| receiver.poll_event()).collect()
}

/// What the sender did wrong, which also is what the sender is told.
fn fault(receiver: &mut Receiver, frames: impl IntoIterator<Item = Frame>) -> Fault {
    receiver.poll_wire();
    receiver.handle_wire(&wire(frames));
    let Some(ReceiverEvent::Broken(fault)) = events(receiver).pop() else {
        panic!("not broken");
    };
    assert!(receiver.is_over());
    let told = Told::new(Reason::Protocol, fault.to_string());
    let mut decoder = Decoder::default();
    decoder.push(&receiver.poll_wire().unwrap());
    assert_eq!(decoder.next(), Ok(Some(Frame::Abort(told))));
    // Whatever follows is nothing.
    receiver.handle_wire(&wire([Frame::Bye]));
    assert_eq!(receiver.poll_event(), None);
    fault
}

const BEGIN: Frame = Frame::Begin {
    index: 0,
    offset: 0,
};

fn data(length: usize) -> Frame {
    Frame::Data(Bytes::from(vec![7; length]))
}

#[test]
fn a_later_version_is_refused_with_a_sentence() {
    for version in [0, 2, 255] {
        let hello = Frame::Hello {
            version,
            zstd: false,
        };
        let fault = fault(&mut Receiver::new(Rules::Unix, false), [hello]);
        assert_eq!(fault, Fault::Version(version));
        assert!(fault.to_string().contains("version 1"));
    }
}

#[test]
fn nothing_comes_before_hello_and_hello_comes_once() {
    let mut receiver = Receiver::new(Rules::Unix, false);
    assert_eq!(
        fault(&mut receiver, [entry("a", 0)]),
        Fault::OutOfTurn("entry")
    );
    let mut receiver = Receiver::new(Rules::Unix, false);
    assert_eq!(
        fault(&mut receiver, [HELLO, HELLO]),
        Fault::OutOfTurn("hello")
    );
}

#[test]
fn what_a_receiver_says_is_refused_from_a_sender() {
    for frame in [
        Frame::Accept,
        Frame::Refuse(Reason::Declined.into()),
        Frame::Want {
            index: 0,
            offset: 0,
            prefix: None,
        },
        Frame::Done { index: 0 },
        Frame::Stored {
            index: 0,
            offset: 1,
        },
        Frame::Skip {
            index: 0,
            told: Reason::Have.into(),
        },
        Frame::Complete(Outcome {
            done: 1,
            skipped: 0,
            failed: 0,
        }),
    ] {
        let name = frame.name();
        let mut receiver = wanting(&[("a", 1)]);
        assert_eq!(fault(&mut receiver, [frame]), Fault::OutOfTurn(name));
    }
}

#[test]
fn content_before_the_offer_was_accepted_is_refused() {
    for frame in [BEGIN, data(1), Frame::Hole(1), Frame::End([0; 32])] {
        let name = frame.name();
        let mut receiver = Receiver::new(Rules::Unix, false);
        assert_eq!(
            fault(&mut receiver, [HELLO, entry("a", 1), frame]),
            Fault::OutOfTurn(name)
        );
    }
}

#[test]
fn an_offer_does_not_grow_after_its_end() {
    let mut receiver = accepted(&[("a", 1)]);
    assert_eq!(
        fault(&mut receiver, [entry("b", 1)]),
        Fault::OutOfTurn("entry")
    );
}

#[test]
fn an_offer_whose_end_does_not_fit_is_refused() {
    for (files, folders, bytes) in [(0, 1, 5), (2, 1, 5), (1, 0, 5), (1, 1, 4), (1, 1, 6)] {
        let end = Frame::OfferEnd(Totals {
            files,
            folders,
            bytes,
        });
        let frames = [HELLO, entry("a", 5), folder("d"), end];
        let fault = fault(&mut Receiver::new(Rules::Unix, false), frames);
        assert!(matches!(fault, Fault::Miscounted { .. }), "{fault}");
    }
}

#[test]
fn more_entries_than_an_offer_may_have_are_refused() {
    let mut receiver = Receiver::new(Rules::Unix, false);
    receiver.handle_wire(&wire([HELLO]));
    let thousand = wire(std::iter::repeat_n(folder("d"), 1_000));
    for _ in 0..MAX_ENTRIES / 1_000 {
        receiver.handle_wire(&thousand);
    }
    assert_eq!(receiver.totals().entries(), MAX_ENTRIES);
    assert_eq!(
        fault(&mut receiver, [folder("d")]),
        Fault::TooManyEntries(MAX_ENTRIES)
    );
}

#[test]
fn longer_names_than_an_offer_may_have_are_refused() {
    let mut receiver = Receiver::new(Rules::Unix, false);
    let long = vec!["x".repeat(255); 64].join("/");
    let times = MAX_NAMES / long.len();
    receiver.handle_wire(&wire([HELLO]));
    for _ in 0..times {
        receiver.handle_wire(&wire([folder(&long)]));
    }
    assert!(!receiver.is_over());
    assert_eq!(
        fault(&mut receiver, [folder(&long)]),
        Fault::TooManyNames(MAX_NAMES)
    );
}

#[test]
fn a_file_that_was_not_asked_for_is_refused() {
    let mut receiver = accepted(&[("a", 1), ("b", 1)]);
    assert_eq!(
        fault(&mut receiver, [BEGIN]),
        Fault::WrongEntry {
            frame: "begin",
            index: 0
        }
    );
    let mut receiver = wanting(&[("a", 1), ("b", 1)]);
    let out_of_order = Frame::Begin {
        index: 1,
        offset: 0,
    };
    assert_eq!(
        fault(&mut receiver, [out_of_order]),
        Fault::WrongEntry {
            frame: "begin",
            index: 1
        }
    );
}

#[test]
fn an_entry_that_was_not_offered_is_refused() {
    let no_such = |frame| Fault::NoSuchEntry {
        frame,
        index: 1,
        entries: 1,
    };
    let begin = Frame::Begin {
        index: 1,
        offset: 0,
    };
    assert_eq!(fault(&mut wanting(&[("a", 1)]), [begin]), no_such("begin"));
    let failed = Frame::Failed {
        index: 1,
        told: Reason::Changed.into(),
    };
    let fault = fault(&mut wanting(&[("a", 1)]), [failed]);
    assert!(matches!(fault, Fault::WrongEntry { index: 1, .. }));
}

#[test]
fn a_file_begins_where_it_was_asked_for_or_at_its_beginning() {
    for (offset, fits) in [
        (0, true),
        (5, true),
        (4, false),
        (6, false),
        (10, false),
        (u64::MAX, false),
    ] {
        let mut receiver = accepted(&[("a", 10)]);
        receiver.poll_event();
        receiver.want(0, 5, Some([1; 32])).unwrap();
        let begin = Frame::Begin { index: 0, offset };
        receiver.handle_wire(&wire([begin]));
        let event = match fits {
            true => ReceiverEvent::Begin { index: 0, offset },
            false => ReceiverEvent::Broken(Fault::WrongOffset {
                frame: "begin",
                index: 0,
                offset,
            }),
        };
        assert_eq!(events(&mut receiver), [event]);
    }
}

#[test]
fn a_file_begins_once() {
    let mut receiver = wanting(&[("a", 1), ("b", 1)]);
    assert_eq!(
        fault(&mut receiver, [BEGIN, BEGIN]),
        Fault::OutOfTurn("begin")
    );
}

#[test]
fn content_without_a_beginning_is_refused() {
    for frame in [data(1), Frame::Hole(1), Frame::End([0; 32])] {
        let name = frame.name();
        assert_eq!(
            fault(&mut wanting(&[("a", 1)]), [frame]),
            Fault::OutOfTurn(name)
        );
    }
}

#[test]
fn more_than_a_file_was_said_to_have_is_refused_before_it_reaches_a_disk() {
    for frame in [data(11), Frame::Hole(11), Frame::Hole(u64::MAX)] {
        let size = 10;
        let mut receiver = wanting(&[("a", size)]);
        let fault = fault(&mut receiver, [BEGIN, frame]);
        assert!(matches!(fault, Fault::WrongSize { index: 0, .. }));
    }
    let mut receiver = wanting(&[("a", 10)]);
    receiver.handle_wire(&wire([BEGIN, data(10)]));
    assert_eq!(
        fault(&mut receiver, [data(1)]),
        Fault::WrongSize {
            index: 0,
            size: 10,
            got: 11
        }
    );
}

#[test]
fn a_file_that_ends_early_is_refused() {
    let mut receiver = wanting(&[("a", 10)]);
    assert_eq!(
        fault(&mut receiver, [BEGIN, data(9), Frame::End([0; 32])]),
        Fault::WrongSize {
            index: 0,
            size: 10,
            got: 9
        }
    );
}

#[test]
fn a_block_that_would_give_too_much_is_refused_by_its_head() {
    for size in [0, 262_145, u32::MAX] {
        let bytes = Bytes::from_static(b"whatever");
        let mut receiver = wanting(&[("a", u64::MAX)]);
        let fault = fault(&mut receiver, [BEGIN, Frame::Packed { size, bytes }]);
        assert!(matches!(fault, Fault::Unpacking(_) | Fault::NotAsked));
    }
}

#[test]
fn a_goodbye_before_the_end_is_refused() {
    assert_eq!(
        fault(&mut wanting(&[("a", 1)]), [Frame::Bye]),
        Fault::OutOfTurn("bye")
    );
}

#[test]
fn what_was_given_up_is_dropped_until_its_end() {
    for end in [
        Frame::End([0; 32]),
        Frame::Failed {
            index: 0,
            told: Reason::Cancelled.into(),
        },
    ] {
        let mut receiver = wanting(&[("a", 10)]);
        receiver.handle_wire(&wire([BEGIN, data(4)]));
        assert_eq!(events(&mut receiver).len(), 2);
        receiver.fail(0, Reason::Disk.into()).unwrap();
        receiver.handle_wire(&wire([data(6), end]));
        assert_eq!(events(&mut receiver), [ReceiverEvent::Settled]);
        assert_eq!(receiver.complete().unwrap().failed, 1);
    }
}

#[test]
fn hostile_names_are_skipped_and_the_rest_is_taken() {
    let mut receiver = Receiver::new(Rules::Unix, false);
    let end = Frame::OfferEnd(Totals {
        files: 4,
        folders: 0,
        bytes: 4,
    });
    let files = [
        entry("../a", 1),
        entry("b", 1),
        entry(".profile", 1),
        entry("b", 1),
    ];
    receiver.handle_wire(&wire([HELLO].into_iter().chain(files).chain([end])));
    let faults: Vec<_> = receiver.entries().map(|(_, fault)| fault).collect();
    assert_eq!(
        faults,
        [
            Some(NameFault::Dots),
            None,
            Some(NameFault::Hidden),
            Some(NameFault::Twice)
        ]
    );
    receiver.poll_event();
    receiver.accept().unwrap();
    let looks: Vec<_> = events(&mut receiver);
    assert_eq!(looks.len(), 4);
    assert_eq!(looks[1], ReceiverEvent::Look { index: 1 });
    assert!(receiver.want(0, 0, None).is_err());
}

#[test]
fn a_call_that_does_not_fit_changes_nothing() {
    let mut receiver = accepted(&[("a", 10)]);
    assert!(receiver.want(0, 0, None).is_err(), "nobody has looked");
    receiver.poll_event();
    for wrong in [
        receiver.done(0),
        receiver.made(0),
        receiver.stored(0, 1),
        receiver.want(0, 11, None),
        receiver.want(1, 0, None),
        receiver.accept(),
        receiver.refuse(Reason::Declined.into()),
        receiver.complete().map(|_| ()),
    ] {
        assert!(wrong.is_err());
    }
    receiver.want(0, 0, None).unwrap();
    assert!(receiver.want(0, 0, None).is_err());
}

#[test]
fn no_more_files_are_asked_for_than_are_allowed_at_a_time() {
    let names: Vec<_> = (0..MAX_WANTS + 10)
        .map(|number| format!("{number}"))
        .collect();
    let files: Vec<_> = names.iter().map(|name| (&**name, 0)).collect();
    let mut receiver = wanting(&files);
    let begin = Frame::Begin {
        index: 0,
        offset: 0,
    };
    receiver.handle_wire(&wire([begin, Frame::End([0; 32])]));
    assert_eq!(events(&mut receiver).len(), 2);
    receiver.done(0).unwrap();
    let next = u32::try_from(MAX_WANTS).unwrap();
    assert_eq!(events(&mut receiver), [ReceiverEvent::Look { index: next }]);
}
