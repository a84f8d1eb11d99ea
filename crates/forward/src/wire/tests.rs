use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn place_at(host: &str, port: u16) -> Place {
    Place {
        host: host.to_owned(),
        port,
    }
}

/// Everything in these bytes, or why not.
fn frames(mut wire: &[u8]) -> Result<Vec<Vec<u8>>, Violation> {
    let mut cutter = Cutter::new();
    let mut frames = Vec::new();
    while let Some(frame) = cutter.next(&mut wire)? {
        let mut again = Vec::new();
        write(&mut again, &frame);
        frames.push(again);
    }
    assert!(wire.is_empty() && cutter.short.len() <= MAX_SHORT);
    Ok(frames)
}

fn raw(kind: u8, payload: &[u8]) -> Vec<u8> {
    let [.., high, middle, low] = payload.len().to_be_bytes();
    [[kind, high, middle, low].as_slice(), payload].concat()
}

#[test]
fn an_unknown_type_below_0x80_is_refused_by_its_number() {
    for kind in [0x00, 0x01, 0x05, 0x13, 0x22, 0x7f] {
        assert_eq!(frames(&raw(kind, b"")), Err(Violation::Unknown(kind)));
    }
}

#[test]
fn an_unknown_type_from_0x80_on_is_skipped_with_its_payload() {
    for kind in [0x80, 0xff] {
        let wire = [raw(kind, &[END; 2_000]), raw(END, b"")].concat();
        assert_eq!(frames(&wire), Ok(vec![raw(END, b"")]));
    }
}

#[test]
fn a_length_that_a_type_does_not_have_is_refused_before_anything_is_held() {
    for (kind, length) in [
        (DATA, 0),
        (DATA, MAX_PAYLOAD + 1),
        (END, 1),
        (BROKEN, 1),
        (CONNECT, 1),
        (CONNECT, MAX_SHORT + 1),
        (ACCEPTED, 1),
        (LISTEN, 5),
        (INCOMING, MAX_SHORT + 1),
        (REFUSED, 0),
        (REFUSED, MAX_SHORT + 1),
        (0x80, MAX_PAYLOAD + 1),
    ] {
        let [.., high, middle, low] = length.to_be_bytes();
        let refused = frames(&[kind, high, middle, low]);
        assert_eq!(refused, Err(Violation::Length { kind, length }));
    }
}

#[test]
fn a_host_has_255_bytes_and_one_more_is_refused() {
    let host = "a".repeat(MAX_HOST);
    let wire = |host: &str| raw(CONNECT, &[&[0, 80], host.as_bytes()].concat());
    assert!(frames(&wire(&host)).is_ok());
    assert_eq!(frames(&wire(&format!("{host}a"))), Err(Violation::Host));
}

#[test]
fn a_host_that_could_deceive_whoever_reads_it_is_refused() {
    for host in [
        "a b",
        "a\nb",
        "a\u{1b}[2J",
        "a\u{202e}moc.elgoog",
        "a\u{200b}",
    ] {
        let wire = raw(CONNECT, &[&[0, 80], host.as_bytes()].concat());
        assert_eq!(frames(&wire), Err(Violation::Host), "{host:?}");
    }
    assert_eq!(frames(&raw(CONNECT, &[0, 80, 0xff])), Err(Violation::Host));
}

#[test]
fn a_peers_text_is_shown_without_what_moves_a_terminal_and_not_at_length() {
    let text = format!("\u{1b}[31mno\r\n\u{202e}{}", "x".repeat(900));
    let wire = raw(REFUSED, &[&[1], text.as_bytes()].concat());
    let Ok(Some(Frame::Refused(refusal))) = Cutter::new().next(&mut wire.as_slice()) else {
        panic!("no refusal");
    };
    assert_eq!(refusal.why, Why::Denied);
    assert!(refusal.text.starts_with("[31mnoxxx"), "{}", refusal.text);
    assert_eq!(refusal.text.chars().count(), MAX_TEXT);
}

#[test]
fn a_greeting_of_a_later_version_is_refused_by_its_number() {
    let mut greeting = Greeting::new();
    greeting.handle_wire(&[HELLO, 0, 0, 2, 2, 0]);
    assert_eq!(greeting.missing(), Err(Violation::Version(2)));
}

#[test]
fn something_else_than_a_greeting_is_refused_after_four_bytes() {
    for wire in [b"HTTP", b"SSH-", &[HELLO, 0, 0, 1], &[HELLO, 1, 0, 2]] {
        let mut greeting = Greeting::new();
        greeting.handle_wire(wire);
        assert_eq!(greeting.missing(), Err(Violation::NoHello));
    }
}

#[test]
fn a_greeting_says_how_much_of_it_is_missing_to_the_byte() {
    let mut greeting = Greeting::new();
    let wire = [HELLO, 0, 0, 4, VERSION, 0xff, 9, 9];
    for (at, byte) in wire.iter().enumerate() {
        let missing = greeting.missing().unwrap();
        assert_eq!(
            missing,
            if at < HEADER {
                HEADER - at
            } else {
                wire.len() - at
            }
        );
        greeting.handle_wire(&[*byte]);
    }
    assert_eq!(greeting.missing(), Ok(0));
    let mut ours = Greeting::new();
    ours.handle_wire(&Greeting::OURS);
    assert_eq!(ours.missing(), Ok(0));
}

#[test]
fn every_reason_has_a_code_of_its_own() {
    for code in 0..=255 {
        assert_eq!(Why::of_code(code).code(), code);
    }
    assert!(Why::Other(77).to_string().contains("77"));
    assert_eq!(place_at("::1", 80).to_string(), "[::1]:80");
    assert_eq!(place_at("a.example", 80).to_string(), "a.example:80");
}

fn frame() -> impl Strategy<Value = Frame<'static>> {
    let place =
        || ("[a-z0-9.:-]{0,60}", any::<u16>()).prop_map(|(host, port)| Place { host, port });
    prop_oneof![
        Just(Frame::End),
        Just(Frame::Broken),
        place().prop_map(Frame::Connect),
        place().prop_map(Frame::Accepted),
        (any::<u32>(), place()).prop_map(|(number, place)| Frame::Listen(number, place)),
        (any::<u32>(), place()).prop_map(|(number, place)| Frame::Incoming(number, place)),
        (any::<u8>(), "[a-zäß ]{0,199}").prop_map(|(code, text)| Frame::Refused(Refusal {
            why: Why::of_code(code),
            text,
        })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_written_is_read(frame in frame()) {
        let mut wire = Vec::new();
        write(&mut wire, &frame);
        let mut rest = wire.as_slice();
        prop_assert_eq!(Cutter::new().next(&mut rest), Ok(Some(frame)));
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn the_same_bytes_mean_the_same_in_any_pieces(
        frames in vec(frame(), 0..6),
        data in vec(any::<u8>(), 1..200),
        lengths in vec(1..30_usize, 1..6),
    ) {
        let mut wire = raw(DATA, &data);
        for frame in &frames {
            write(&mut wire, frame);
        }
        let mut cutter = Cutter::new();
        let (mut bytes, mut seen) = (Vec::new(), Vec::new());
        let mut lengths = lengths.iter().cycle();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            let (mut piece, after) = rest.split_at(lengths.next().map_or(1, |length| (*length).min(rest.len())));
            rest = after;
            while let Some(frame) = cutter.next(&mut piece).unwrap() {
                match frame {
                    Frame::Data(piece) => bytes.extend_from_slice(piece),
                    other @ (Frame::End | Frame::Broken | Frame::Connect(_) | Frame::Listen(..) | Frame::Incoming(..) | Frame::Accepted(_) | Frame::Refused(_)) => {
                        let mut again = Vec::new();
                        write(&mut again, &other);
                        seen.push(again);
                    }
                }
            }
        }
        let written = frames.iter().map(|frame| {
            let mut wire = Vec::new();
            write(&mut wire, frame);
            wire
        });
        prop_assert_eq!(bytes, data);
        prop_assert_eq!(seen, written.collect::<Vec<_>>());
    }

    #[test]
    fn any_bytes_end_in_an_error_or_in_frames(wire in vec(any::<u8>(), 0..400)) {
        let _ = frames(&wire);
    }
}
