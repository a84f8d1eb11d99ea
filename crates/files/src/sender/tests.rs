//! Hostile receivers, frame by frame. What two honest ends do is in tests/machines.rs.

use super::*;
use crate::entry::Date;

fn wire(frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
    let mut out = BytesMut::new();
    for frame in frames {
        frame.write(&mut out);
    }
    out.to_vec()
}

const HELLO: Frame = Frame::Hello {
    version: 1,
    zstd: false,
};

fn want(index: u32, offset: u64) -> Frame {
    Frame::Want {
        index,
        offset,
        prefix: None,
    }
}

fn stored(index: u32, offset: u64) -> Frame {
    Frame::Stored { index, offset }
}

fn done(index: u32) -> Frame {
    Frame::Done { index }
}

fn skip(index: u32) -> Frame {
    let told = Reason::Have.into();
    Frame::Skip { index, told }
}

fn failed(index: u32) -> Frame {
    let told = Reason::Disk.into();
    Frame::Failed { index, told }
}

fn complete(done: u32, skipped: u32, failed: u32) -> Frame {
    Frame::Complete(Outcome {
        done,
        skipped,
        failed,
    })
}

/// A sender of a file of ten bytes, a folder, and many files of one byte.
fn accepted() -> Sender {
    let mut sender = Sender::new(100);
    sender
        .offer(&Entry::file("a", 10, Date::default()))
        .unwrap();
    sender.offer(&Entry::folder("d", Date::default())).unwrap();
    for number in 2..102 {
        sender
            .offer(&Entry::file(format!("{number}"), 1, Date::default()))
            .unwrap();
    }
    sender.end_offer().unwrap();
    sender.handle_wire(&wire([HELLO, Frame::Accept]));
    assert_eq!(sender.poll_event(), Some(SenderEvent::Accepted));
    sender
}

/// The same, with the file of ten bytes sent.
fn sent() -> Sender {
    let mut sender = accepted();
    sender.handle_wire(&wire([want(0, 0)]));
    sender.poll_event();
    sender.begin(0, 0).unwrap();
    sender
        .block(Block::Raw(Bytes::from_static(b"0123456789")))
        .unwrap();
    sender.end([7; 32]).unwrap();
    sender
}

fn fault(sender: &mut Sender, frames: impl IntoIterator<Item = Frame>) -> Fault {
    sender.poll_wire();
    sender.handle_wire(&wire(frames));
    let Some(SenderEvent::Broken(fault)) = std::iter::from_fn(|| sender.poll_event()).last() else {
        panic!("not broken");
    };
    assert!(sender.is_over());
    let mut decoder = Decoder::default();
    decoder.push(&sender.poll_wire().unwrap());
    let told = Told::new(Reason::Protocol, fault.to_string());
    assert_eq!(decoder.next(), Ok(Some(Frame::Abort(told))));
    fault
}

#[test]
fn nothing_comes_before_hello_and_no_other_version_is_spoken() {
    let mut sender = Sender::new(100);
    assert_eq!(
        fault(&mut sender, [Frame::Accept]),
        Fault::OutOfTurn("accept")
    );
    let hello = Frame::Hello {
        version: 2,
        zstd: false,
    };
    assert_eq!(fault(&mut Sender::new(100), [hello]), Fault::Version(2));
    assert_eq!(
        fault(&mut Sender::new(100), [HELLO, HELLO]),
        Fault::OutOfTurn("hello")
    );
}

#[test]
fn an_offer_is_accepted_once_and_not_before_its_end() {
    let mut sender = Sender::new(100);
    assert_eq!(
        fault(&mut sender, [HELLO, Frame::Accept]),
        Fault::OutOfTurn("accept")
    );
    assert_eq!(
        fault(&mut accepted(), [Frame::Accept]),
        Fault::OutOfTurn("accept")
    );
    let refuse = Frame::Refuse(Reason::Declined.into());
    assert_eq!(fault(&mut accepted(), [refuse]), Fault::OutOfTurn("refuse"));
}

#[test]
fn nothing_is_sent_before_it_was_accepted() {
    for frame in [
        want(0, 0),
        stored(0, 1),
        done(0),
        skip(0),
        failed(0),
        complete(0, 0, 0),
    ] {
        let name = frame.name();
        let mut sender = Sender::new(100);
        sender
            .offer(&Entry::file("a", 10, Date::default()))
            .unwrap();
        sender.end_offer().unwrap();
        assert_eq!(fault(&mut sender, [HELLO, frame]), Fault::OutOfTurn(name));
    }
}

#[test]
fn an_entry_that_was_not_offered_is_refused() {
    for frame in [
        want(102, 0),
        stored(102, 1),
        done(102),
        skip(u32::MAX),
        failed(102),
    ] {
        let fault = fault(&mut accepted(), [frame]);
        assert!(
            matches!(fault, Fault::NoSuchEntry { entries: 102, .. }),
            "{fault}"
        );
    }
}

#[test]
fn a_folder_is_not_asked_for_nor_a_file_beyond_its_end() {
    let wrong = fault(&mut accepted(), [want(1, 0)]);
    assert!(matches!(wrong, Fault::WrongEntry { index: 1, .. }));
    let wrong = fault(&mut accepted(), [want(0, 11)]);
    assert!(matches!(wrong, Fault::WrongOffset { offset: 11, .. }));
}

#[test]
fn a_file_is_asked_for_again_only_after_its_end_and_not_for_ever() {
    let wrong = fault(&mut accepted(), [want(0, 0), want(0, 0)]);
    assert!(matches!(wrong, Fault::WrongEntry { index: 0, .. }));
    let mut sender = sent();
    for _ in 1..MAX_TRIES {
        sender.handle_wire(&wire([want(0, 10)]));
        assert!(matches!(
            sender.poll_event(),
            Some(SenderEvent::Wanted { .. })
        ));
        sender.begin(0, 10).unwrap();
        sender.end([7; 32]).unwrap();
    }
    assert_eq!(fault(&mut sender, [want(0, 10)]), Fault::WantedTooOften(0));
}

#[test]
fn more_files_than_are_allowed_are_not_asked_for_at_a_time() {
    let most = u32::try_from(MAX_WANTS).unwrap();
    let mut sender = accepted();
    sender.handle_wire(&wire((2..2 + most).map(|index| want(index, 0))));
    assert!(!sender.is_over());
    assert_eq!(
        fault(&mut sender, [want(0, 0)]),
        Fault::TooManyWants(MAX_WANTS)
    );
}

#[test]
fn nothing_is_stored_that_was_not_sent_nor_twice() {
    let wrong = fault(&mut accepted(), [stored(0, 1)]);
    assert!(matches!(wrong, Fault::WrongEntry { .. }));
    for offsets in [&[11][..], &[0], &[5, 5], &[5, 4], &[u64::MAX]] {
        let frames = offsets.iter().map(|offset| stored(0, *offset));
        let wrong = fault(&mut sent(), frames);
        assert!(matches!(wrong, Fault::WrongOffset { .. }), "{offsets:?}");
    }
}

#[test]
fn nothing_is_done_before_its_end_nor_twice() {
    for frames in [vec![done(0)], vec![want(0, 0), done(0)]] {
        let wrong = fault(&mut accepted(), frames);
        assert!(matches!(wrong, Fault::WrongEntry { frame: "done", .. }));
    }
    for frames in [
        [done(0), done(0)],
        [done(0), skip(0)],
        [skip(0), done(0)],
        [done(0), failed(0)],
        [done(0), want(0, 0)],
    ] {
        let wrong = fault(&mut sent(), frames);
        assert!(matches!(wrong, Fault::WrongEntry { .. }));
    }
}

#[test]
fn complete_is_believed_only_when_everything_is_accounted_for() {
    let one = || {
        let mut sender = Sender::new(100);
        sender.offer(&Entry::folder("d", Date::default())).unwrap();
        sender.end_offer().unwrap();
        sender.handle_wire(&wire([HELLO, Frame::Accept]));
        sender
    };
    for wrong in [
        vec![complete(0, 0, 0)],
        vec![complete(1, 0, 0)],
        vec![done(1)],
        vec![done(0), complete(0, 1, 0)],
    ] {
        fault(&mut one(), wrong);
    }
    let mut sender = one();
    sender.handle_wire(&wire([done(0), complete(1, 0, 0)]));
    let last = std::iter::from_fn(|| sender.poll_event()).last();
    assert!(matches!(last, Some(SenderEvent::Complete(outcome)) if outcome.done == 1));
}

#[test]
fn what_a_sender_says_is_refused_from_a_receiver() {
    for frame in [
        Frame::Bye,
        Frame::End([0; 32]),
        Frame::Hole(1),
        Frame::Data(Bytes::from_static(b"x")),
    ] {
        let name = frame.name();
        assert_eq!(fault(&mut accepted(), [frame]), Fault::OutOfTurn(name));
    }
}

#[test]
fn a_file_that_the_receiver_gives_up_is_cut_short() {
    let mut sender = accepted();
    sender.handle_wire(&wire([want(0, 0), want(2, 0)]));
    sender.poll_event();
    sender.begin(0, 0).unwrap();
    sender.block(Block::Hole(4)).unwrap();
    assert_eq!(sender.room(), 96);
    sender.handle_wire(&wire([failed(2), failed(0)]));
    assert!(!sender.wants(0) && !sender.wants(2));
    assert!(sender.block(Block::Hole(1)).is_err());
    assert_eq!(sender.room(), 100);
    let events: Vec<_> = std::iter::from_fn(|| sender.poll_event()).collect();
    assert!(matches!(
        events[..],
        [
            SenderEvent::Failed { index: 2, .. },
            SenderEvent::Failed { index: 0, .. }
        ]
    ));
}

#[test]
fn a_call_that_does_not_fit_changes_nothing() {
    let mut sender = accepted();
    assert!(sender.offer(&Entry::file("x", 0, Date::default())).is_err());
    assert!(sender.begin(0, 0).is_err() && sender.end([0; 32]).is_err());
    sender.handle_wire(&wire([want(2, 0), want(0, 0)]));
    assert!(sender.begin(0, 0).is_err(), "the other was asked for first");
    assert!(sender.fail(0, Reason::Changed.into()).is_err());
    sender.begin(2, 0).unwrap();
    assert!(sender.end([0; 32]).is_err(), "a byte is missing");
    assert!(sender.block(Block::Hole(2)).is_err() && sender.block(Block::Hole(0)).is_err());
    assert!(sender.block(Block::Raw(Bytes::new())).is_err());
    sender.block(Block::Hole(1)).unwrap();
    sender.end([0; 32]).unwrap();
}
