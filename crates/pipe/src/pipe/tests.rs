use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::frame::{DATA, EXIT, HELLO, STOPPED, TAKEN};

const HELLO_WIRE: [u8; 6] = [HELLO, 0, 0, 2, 1, 0];

/// What came, with data joined.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    data: Vec<u8>,
    other: Vec<String>,
}

impl Seen {
    fn add(&mut self, event: &Event<'_>) {
        match event {
            Event::Data(bytes) => self.data.extend_from_slice(bytes),
            other @ (Event::End | Event::Taken | Event::Stopped(_) | Event::Exited(_)) => {
                self.other.push(format!("{other:?} at {}", self.data.len()))
            }
        }
    }
}

fn greeted() -> Pipe {
    let mut pipe = Pipe::new(Settings::default());
    pipe.poll_wire(&mut Vec::new());
    pipe
}

/// What a pipe says to these bytes.
fn hear(pipe: &mut Pipe, mut wire: &[u8]) -> Result<Seen, Broken> {
    let mut seen = Seen::default();
    while let Some(event) = pipe.handle_wire(&mut wire)? {
        seen.add(&event);
    }
    assert!(wire.is_empty());
    Ok(seen)
}

/// What a pipe says to these bytes behind a hello.
fn after_hello(wire: &[u8]) -> Result<Seen, Broken> {
    hear(&mut greeted(), &[&HELLO_WIRE, wire].concat())
}

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let header = header(kind, payload.len()).unwrap();
    [&header, payload].concat()
}

#[test]
fn a_later_version_is_refused_by_its_number() {
    let refused = hear(&mut greeted(), &[HELLO, 0, 0, 2, 2, 0]);
    assert_eq!(refused, Err(Broken::Version(2)));
    assert!(Broken::Version(2).to_string().contains("version 2"));
}

#[test]
fn whatever_comes_before_the_hello_is_refused() {
    for wire in [frame(DATA, b"x"), frame(3, b""), frame(TAKEN, &[0; 8])] {
        assert_eq!(hear(&mut greeted(), &wire), Err(Broken::NoHello));
    }
}

#[test]
fn a_second_hello_is_refused() {
    assert_eq!(after_hello(&HELLO_WIRE), Err(Broken::SecondHello));
}

#[test]
fn an_unknown_type_below_0x80_is_refused_by_its_number() {
    for kind in [0, 7, 0x7f] {
        assert_eq!(after_hello(&frame(kind, b"")), Err(Broken::Unknown(kind)));
    }
}

#[test]
fn an_unknown_type_from_0x80_on_is_skipped_with_its_payload() {
    for kind in [0x80, 0xff] {
        let wire = [frame(kind, &[DATA; 300]), frame(DATA, b"x")].concat();
        assert_eq!(after_hello(&wire).unwrap().data, b"x");
    }
}

#[test]
fn a_payload_of_65536_bytes_passes_and_one_more_is_refused_whatever_the_type() {
    assert_eq!(after_hello(&[DATA, 1, 0, 0]), Ok(Seen::default()));
    for kind in [DATA, 0x80, TAKEN] {
        let length = 65_537;
        assert_eq!(
            after_hello(&[kind, 1, 0, 1]),
            Err(Broken::TooLong { kind, length })
        );
    }
}

#[test]
fn a_length_that_a_type_does_not_have_is_refused() {
    for (kind, length) in [
        (HELLO, 1),
        (DATA, 0),
        (3, 1),
        (TAKEN, 7),
        (TAKEN, 9),
        (STOPPED, 0),
        (STOPPED, 2),
        (EXIT, 4),
    ] {
        let wire = frame(kind, &vec![0; length]);
        assert_eq!(after_hello(&wire), Err(Broken::Length { kind, length }));
    }
}

#[test]
fn a_reason_that_there_is_not_is_refused() {
    for code in [0, 4, 255] {
        assert_eq!(
            after_hello(&frame(STOPPED, &[code])),
            Err(Broken::Reason(code))
        );
    }
    assert_eq!(
        Cutter::new().next(&mut frame(EXIT, &[2, 0, 0, 0, 0]).as_slice()),
        Err(Broken::Reason(2))
    );
}

#[test]
fn nothing_of_the_data_follows_their_end() {
    for (wire, what) in [
        (frame(DATA, b"x"), "data"),
        (frame(3, b""), "end"),
        (frame(STOPPED, &[3]), "stopped"),
    ] {
        let refused = after_hello(&[frame(3, b""), wire].concat());
        assert_eq!(refused, Err(Broken::AfterEnd(what)));
    }
}

#[test]
fn nobody_takes_more_than_was_sent_or_less_than_before() {
    let sent = 10;
    let mut pipe = greeted();
    pipe.data(10).unwrap();
    hear(&mut pipe, &HELLO_WIRE).unwrap();
    let taken = |bytes: u64| frame(TAKEN, &bytes.to_be_bytes());
    hear(&mut pipe, &taken(9)).unwrap();
    assert_eq!(
        hear(&mut pipe, &taken(8)),
        Err(Broken::TakenBack { now: 8, before: 9 })
    );
    assert_eq!(
        hear(&mut pipe, &taken(11)),
        Err(Broken::TakenTooMuch { taken: 11, sent })
    );
    assert_eq!(hear(&mut pipe, &taken(10)).unwrap().other.len(), 1);
}

#[test]
fn an_exit_belongs_to_a_command_after_the_end_of_its_output_and_comes_once() {
    let exit = frame(EXIT, &[0, 0, 0, 0, 3]);
    assert_eq!(
        after_hello(&[frame(3, b""), exit.clone()].concat()),
        Err(Broken::Exit)
    );
    let hello = [HELLO, 0, 0, 2, 1, COMMAND];
    let early = [hello.as_slice(), &exit].concat();
    assert_eq!(hear(&mut greeted(), &early), Err(Broken::Exit));
    let mut pipe = greeted();
    let good = [hello.as_slice(), &frame(3, b""), &exit].concat();
    hear(&mut pipe, &good).unwrap();
    assert_eq!(pipe.outcome().exit, Some(Exit::Code(3)));
    assert_eq!(hear(&mut pipe, &exit), Err(Broken::Exit));
}

#[test]
fn a_pipe_is_not_over_before_the_exit_of_the_peers_command() {
    let mut pipe = greeted();
    pipe.end();
    let all = [
        [HELLO, 0, 0, 2, 1, COMMAND].as_slice(),
        &frame(3, b""),
        &frame(TAKEN, &[0; 8]),
    ]
    .concat();
    hear(&mut pipe, &all).unwrap();
    pipe.took_all();
    pipe.poll_wire(&mut Vec::new());
    assert!(matches!(
        pipe.verdict(),
        Err(Fault::Truncated(Missing::Exit))
    ));
    hear(&mut pipe, &frame(EXIT, &[1, 0, 0, 0, 9])).unwrap();
    assert_eq!(pipe.verdict().unwrap().exit, Some(Exit::Signal(9)));
}

#[test]
fn a_hello_of_a_later_revision_may_be_longer() {
    let wire = [
        frame(HELLO, &[1, 0, 9, 9, 9, 9, 9, 9, 9, 9]),
        frame(DATA, b"x"),
    ]
    .concat();
    assert_eq!(hear(&mut greeted(), &wire).unwrap().data, b"x");
}

#[test]
fn an_input_without_a_byte_is_not_taken_before_the_peer_says_so() {
    let mut pipe = greeted();
    pipe.end();
    pipe.poll_wire(&mut Vec::new());
    hear(&mut pipe, &[HELLO_WIRE.as_slice(), &frame(3, b"")].concat()).unwrap();
    pipe.took_all();
    pipe.poll_wire(&mut Vec::new());
    assert!(matches!(
        pipe.verdict(),
        Err(Fault::Truncated(Missing::Taken))
    ));
    hear(&mut pipe, &frame(TAKEN, &[0; 8])).unwrap();
    assert!(pipe.is_over());
}

#[test]
fn what_the_application_has_taken_is_told_every_mebibyte_and_at_the_end() {
    let mut pipe = greeted();
    hear(&mut pipe, &HELLO_WIRE).unwrap();
    let mut wire = Vec::new();
    for _ in 0..17 {
        hear(&mut pipe, &frame(DATA, &[0; 65_536])).unwrap();
    }
    pipe.took(usize::try_from(TELL_EVERY).unwrap() - 1);
    pipe.poll_wire(&mut wire);
    assert!(wire.is_empty());
    pipe.took(1);
    pipe.poll_wire(&mut wire);
    assert_eq!(wire, frame(TAKEN, &TELL_EVERY.to_be_bytes()));
    wire.clear();
    hear(&mut pipe, &frame(3, b"")).unwrap();
    pipe.poll_wire(&mut wire);
    assert!(wire.is_empty(), "the rest is not taken yet");
    pipe.took_all();
    pipe.poll_wire(&mut wire);
    assert_eq!(wire, frame(TAKEN, &(17 * 65_536_u64).to_be_bytes()));
}

#[test]
fn an_application_cannot_take_more_than_came() {
    let mut pipe = greeted();
    hear(
        &mut pipe,
        &[HELLO_WIRE.as_slice(), &frame(DATA, b"abc")].concat(),
    )
    .unwrap();
    pipe.took(usize::MAX);
    assert_eq!(pipe.outcome().traffic.received, 3);
}

#[test]
fn data_that_crossed_our_stop_are_no_event() {
    let mut pipe = greeted();
    hear(&mut pipe, &HELLO_WIRE).unwrap();
    pipe.stop(Stop::ReaderGone);
    let rest = [frame(DATA, b"x"), frame(3, b"")].concat();
    assert_eq!(hear(&mut pipe, &rest), Ok(Seen::default()));
}

#[test]
fn more_data_than_a_frame_holds_have_no_header() {
    let mut pipe = greeted();
    assert_eq!(pipe.data(Pipe::MAX_DATA + 1), Err(NotOpen));
    assert_eq!(pipe.data(0), Err(NotOpen));
    assert!(pipe.data(Pipe::MAX_DATA).is_ok());
    pipe.end();
    assert_eq!(pipe.data(1), Err(NotOpen));
}

#[test]
fn every_error_is_a_sentence_without_a_full_stop() {
    for broken in [
        Broken::Version(2),
        Broken::Unknown(7),
        Broken::TooLong {
            kind: 2,
            length: 70_000,
        },
        Broken::Length { kind: 4, length: 3 },
        Broken::Reason(9),
        Broken::NoHello,
        Broken::SecondHello,
        Broken::AfterEnd("data"),
        Broken::TakenTooMuch { taken: 2, sent: 1 },
        Broken::TakenBack { now: 1, before: 2 },
        Broken::Exit,
    ] {
        let text = broken.to_string();
        assert!(
            text.starts_with("the peer ") || text.starts_with("the peer's "),
            "{text}"
        );
        assert!(!text.ends_with('.') && text.len() > 20, "{text}");
        assert_eq!(Fault::from(broken).to_string(), text);
    }
}

fn item() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 1..300).prop_map(|bytes| frame(DATA, &bytes)),
        (0x80..=0xff_u8, vec(any::<u8>(), 0..100)).prop_map(|(kind, bytes)| frame(kind, &bytes)),
        Just(frame(TAKEN, &[0; 8])),
        Just(frame(STOPPED, &[2])),
    ]
}

/// The same bytes in pieces of these lengths, in turn.
fn cut<'a>(mut wire: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut lengths = lengths.iter().cycle();
    while !wire.is_empty() {
        let length = lengths
            .next()
            .map_or(wire.len(), |length| (*length).min(wire.len()));
        let (piece, rest) = wire.split_at(length);
        pieces.push(piece);
        wire = rest;
    }
    pieces
}

/// One end of a conversation: what it sends, in pieces, and what it got.
struct End<'a> {
    pipe: Pipe,
    pieces: Vec<&'a [u8]>,
    next: usize,
    wire: Vec<u8>,
    got: Vec<u8>,
    fault: Option<Fault>,
}

impl<'a> End<'a> {
    fn new(pieces: Vec<&'a [u8]>) -> Self {
        Self {
            pipe: Pipe::new(Settings::default()),
            pieces,
            next: 0,
            wire: Vec::new(),
            got: Vec::new(),
            fault: None,
        }
    }

    fn speak(&mut self) {
        self.pipe.poll_wire(&mut self.wire);
        match self.pieces.get(self.next) {
            Some(piece) => {
                let header = self.pipe.data(piece.len()).unwrap();
                self.wire.extend(header);
                self.wire.extend_from_slice(piece);
                self.next += 1;
            }
            None => self.pipe.end(),
        }
        self.pipe.poll_wire(&mut self.wire);
    }

    fn hear(&mut self, mut wire: &[u8]) {
        while let Some(event) = self.pipe.handle_wire(&mut wire).unwrap() {
            match event {
                Event::Data(bytes) => {
                    self.got.extend_from_slice(bytes);
                    self.pipe.took(bytes.len());
                }
                Event::End => self.pipe.took_all(),
                Event::Taken => {}
                Event::Stopped(stop) => {
                    self.fault = Some(Fault::Input(std::io::Error::other(format!("{stop:?}"))))
                }
                Event::Exited(_) => panic!("there is no command"),
            }
        }
        self.pipe.poll_wire(&mut self.wire);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_same_bytes_mean_the_same_in_any_pieces(
        items in vec(item(), 0..12),
        lengths in vec(1..40_usize, 1..8),
    ) {
        let wire = [&HELLO_WIRE, items.concat().as_slice()].concat();
        let whole = hear(&mut greeted(), &wire);
        let mut pipe = greeted();
        let mut seen = Seen::default();
        for mut piece in cut(&wire, &lengths) {
            while let Some(event) = pipe.handle_wire(&mut piece).unwrap() {
                seen.add(&event);
            }
        }
        prop_assert_eq!(Ok(seen), whole);
    }

    /// Bytes of a hostile peer end in an error or go on, and never say more than there is room for.
    #[test]
    fn any_bytes_end_in_an_error_or_in_events(wire in vec(any::<u8>(), 0..400), hello: bool) {
        let mut pipe = greeted();
        let wire = if hello { [&HELLO_WIRE, wire.as_slice()].concat() } else { wire };
        let heard = hear(&mut pipe, &wire);
        let mut out = Vec::new();
        pipe.poll_wire(&mut out);
        prop_assert!(out.len() <= 64);
        if let Ok(seen) = heard {
            prop_assert!(seen.data.len() <= wire.len());
        }
    }

    #[test]
    fn what_goes_in_comes_out_and_each_end_knows_it(
        near in vec(any::<u8>(), 0..2_000),
        far in vec(any::<u8>(), 0..2_000),
        pieces in vec(1..200_usize, 1..6),
        steps in vec(1..97_usize, 1..6),
    ) {
        let mut ends = [End::new(cut(&near, &pieces)), End::new(cut(&far, &pieces))];
        let mut steps = steps.iter().cycle();
        for turn in 0..20_000 {
            let [one, other] = &mut ends;
            let (from, to) = if turn % 2 == 0 { (one, other) } else { (other, one) };
            from.speak();
            let step = steps.next().map_or(1, |step| (*step).min(from.wire.len()));
            let wire: Vec<u8> = from.wire.drain(..step).collect();
            to.hear(&wire);
            if ends.iter().all(|end| end.pipe.is_over() && end.wire.is_empty()) {
                break;
            }
        }
        let [one, other] = ends;
        for (end, sent, got) in [(&one, &near, &far), (&other, &far, &near)] {
            prop_assert!(end.fault.is_none());
            let traffic = end.pipe.verdict().unwrap().traffic;
            prop_assert_eq!(&end.got, got);
            prop_assert_eq!(traffic.taken, sent.len() as u64);
            prop_assert_eq!(traffic.received, got.len() as u64);
        }
    }

    /// A pipe that was cut anywhere before its last byte is never a good one.
    #[test]
    fn a_cut_anywhere_is_never_called_a_success(data in vec(any::<u8>(), 1..300), at: prop::sample::Index) {
        let mut far = End::new(vec![&data]);
        far.speak();
        far.speak();
        let ours = [frame(TAKEN, &[0; 8])].concat();
        let wire = [far.wire.as_slice(), &ours].concat();
        let mut pipe = greeted();
        pipe.end();
        pipe.poll_wire(&mut Vec::new());
        let cut = at.index(wire.len());
        let mut rest = wire.get(..cut).unwrap();
        while let Some(event) = pipe.handle_wire(&mut rest).unwrap() {
            if matches!(event, Event::End) {
                pipe.took_all();
            }
        }
        pipe.poll_wire(&mut Vec::new());
        prop_assert!(matches!(pipe.verdict(), Err(Fault::Truncated(_))));
    }
}
