use proptest::prelude::*;

use super::*;

fn decode(bytes: &[u8]) -> Result<Vec<Frame>, Fault> {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next()? {
        frames.push(frame);
    }
    Ok(frames)
}

fn raw(code: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[code], &length[1..], payload].concat()
}

#[test]
fn a_frame_that_is_too_long_is_refused_by_its_head() {
    let mut head = raw(DATA, &vec![7; MAX_PAYLOAD]);
    assert_eq!(decode(&head).unwrap().len(), 1);
    head[1..4].copy_from_slice(&[1, 0, 1]);
    assert_eq!(
        decode(&head[..4]),
        Err(Fault::TooLong {
            frame: "data",
            length: MAX_PAYLOAD + 1,
            most: MAX_PAYLOAD
        })
    );
    // Those that may be skipped are no exception.
    assert!(decode(&[0xff, 1, 0, 1]).is_err());
}

#[test]
fn an_unknown_type_below_0x80_is_named_and_one_above_is_skipped() {
    assert_eq!(decode(&raw(0x7f, b"x")), Err(Fault::Unknown(0x7f)));
    assert_eq!(decode(&raw(0, b"")), Err(Fault::Unknown(0)));
    let both = [raw(0x80, b"later"), raw(BYE, b"")].concat();
    assert_eq!(decode(&both), Ok(vec![Frame::Bye]));
}

#[test]
fn a_payload_that_is_not_of_its_type_is_refused() {
    let entry = |kind: u8, size: u64, nanos: u32, names: &[u8]| {
        let mut payload = vec![kind, 0];
        payload.extend(size.to_be_bytes());
        payload.extend(0_i64.to_be_bytes());
        payload.extend(nanos.to_be_bytes());
        payload.extend(names);
        payload
    };
    let one = b"\0\x01a";
    assert!(decode(&raw(ENTRY_CODE, &entry(0, 9, 999_999_999, one))).is_ok());
    for (code, payload) in [
        (HELLO, vec![]),
        (HELLO, vec![1]),
        (HELLO, vec![1, 0, 0]),
        (ABORT, vec![]),
        (FAILED, vec![0, 0, 0, 1]),
        (ENTRY_CODE, vec![]),
        (ENTRY_CODE, entry(2, 0, 0, one)),
        (ENTRY_CODE, entry(1, 1, 0, one)),
        (ENTRY_CODE, entry(0, 0, 1_000_000_000, one)),
        (ENTRY_CODE, entry(0, 0, 0, b"")),
        (ENTRY_CODE, entry(0, 0, 0, b"\0")),
        (ENTRY_CODE, entry(0, 0, 0, b"\0\x02a")),
        (ENTRY_CODE, entry(0, 0, 0, b"\0\x01ab")),
        (OFFER_END, vec![0; 15]),
        (OFFER_END, vec![0; 17]),
        (BEGIN, vec![0; 11]),
        (BEGIN, vec![0; 13]),
        (DATA, vec![]),
        (PACKED, vec![0; 3]),
        (HOLE, vec![0; 7]),
        (HOLE, vec![0; 8]),
        (HOLE, vec![1; 9]),
        (END, vec![0; 31]),
        (END, vec![0; 33]),
        (BYE, vec![0]),
        (ACCEPT, vec![0]),
        (REFUSE, vec![]),
        (WANT, vec![0; 11]),
        (WANT, vec![0; 13]),
        (WANT, vec![0; 45]),
        (SKIP, vec![0; 4]),
        (STORED, vec![0; 13]),
        (DONE, vec![0; 3]),
        (DONE, vec![0; 5]),
        (COMPLETE, vec![0; 11]),
    ] {
        assert_eq!(
            decode(&raw(code, &payload)),
            Err(Fault::Malformed(name(code))),
            "{payload:?}"
        );
    }
}

#[test]
fn a_later_version_may_say_more_in_its_hello() {
    let hello = Frame::Hello {
        version: 2,
        zstd: true,
    };
    assert_eq!(decode(&raw(HELLO, &[2, 0xff, 1, 2, 3])), Ok(vec![hello]));
}

#[test]
fn a_path_that_fits_no_frame_is_not_encoded() {
    let long = |length: usize| Entry::file("x".repeat(length), 0, Date::default());
    assert!(RawEntry::new(&long(MAX_PAYLOAD - ENTRY - 2)).is_ok());
    assert_eq!(
        RawEntry::new(&long(MAX_PAYLOAD - ENTRY - 1)),
        Err(NameTooLong)
    );
}

#[test]
fn data_is_given_as_it_comes_and_nothing_of_another_frame_with_it() {
    let wire = [raw(DATA, &[7; 10_000]), raw(HOLE, &9_u64.to_be_bytes())].concat();
    let mut decoder = Decoder::default();
    decoder.push(&wire[..HEAD + PART - 1]);
    assert_eq!(decoder.next(), Ok(None), "too little to be worth it");
    decoder.push(&wire[HEAD + PART - 1..HEAD + PART]);
    let part = Frame::Data(vec![7; PART].into());
    assert_eq!(decoder.next(), Ok(Some(part)));
    decoder.push(&wire[HEAD + PART..HEAD + 9_999]);
    let part = Frame::Data(vec![7; 9_999 - PART].into());
    assert_eq!(decoder.next(), Ok(Some(part)));
    decoder.push(&wire[HEAD + 9_999..]);
    let last = Frame::Data(vec![7].into());
    assert_eq!(decoder.next(), Ok(Some(last)));
    assert_eq!(decoder.next(), Ok(Some(Frame::Hole(9))));
    assert_eq!(decoder.next(), Ok(None));
}

#[test]
fn no_other_frame_is_given_before_all_of_it_has_come() {
    let mut decoder = Decoder::default();
    let packed = raw(PACKED, &[1; 50_000]);
    decoder.push(&packed[..packed.len() - 1]);
    assert_eq!(decoder.next(), Ok(None));
}

fn told() -> impl Strategy<Value = Told> {
    (any::<u8>(), "[a-zä ]{0,40}").prop_map(|(code, text)| Told::new(Reason::from_code(code), text))
}

fn raw_entry() -> impl Strategy<Value = RawEntry> {
    let names = "[a-zß.]{0,9}(/[a-zß.]{0,9}){0,4}";
    (
        names,
        any::<bool>(),
        any::<u64>(),
        any::<i64>(),
        0..1_000_000_000_u32,
    )
        .prop_map(|(path, executable, size, seconds, nanos)| {
            let date = Date { seconds, nanos };
            let entry = match size % 3 {
                0 => Entry::folder(path, date),
                _ => Entry {
                    executable,
                    ..Entry::file(path, size, date)
                },
            };
            RawEntry::new(&entry).unwrap()
        })
}

fn frame() -> impl Strategy<Value = Frame> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..200).prop_map(Bytes::from);
    let place = || (any::<u32>(), any::<u64>());
    prop_oneof![
        any::<bool>().prop_map(|zstd| Frame::Hello {
            version: VERSION,
            zstd
        }),
        told().prop_map(Frame::Abort),
        (any::<u32>(), told()).prop_map(|(index, told)| Frame::Failed { index, told }),
        raw_entry().prop_map(Frame::Entry),
        (any::<u32>(), any::<u32>(), any::<u64>()).prop_map(|(files, folders, bytes)| {
            Frame::OfferEnd(Totals {
                files,
                folders,
                bytes,
            })
        }),
        place().prop_map(|(index, offset)| Frame::Begin { index, offset }),
        bytes().prop_map(Frame::Data),
        (any::<u32>(), bytes()).prop_map(|(size, bytes)| Frame::Packed { size, bytes }),
        (1..u64::MAX).prop_map(Frame::Hole),
        any::<[u8; 32]>().prop_map(Frame::End),
        Just(Frame::Bye),
        Just(Frame::Accept),
        told().prop_map(Frame::Refuse),
        (place(), any::<Option<[u8; 32]>>()).prop_map(|((index, offset), prefix)| Frame::Want {
            index,
            offset,
            prefix
        }),
        (any::<u32>(), told()).prop_map(|(index, told)| Frame::Skip { index, told }),
        place().prop_map(|(index, offset)| Frame::Stored { index, offset }),
        any::<u32>().prop_map(|index| Frame::Done { index }),
        any::<[u32; 3]>().prop_map(|[done, skipped, failed]| Frame::Complete(Outcome {
            done,
            skipped,
            failed
        })),
    ]
}

proptest! {
    #[test]
    fn frames_come_back_in_every_cutting(
        frames in prop::collection::vec(frame(), 1..8),
        cuts in prop::collection::vec(1..64_usize, 1..20),
    ) {
        let mut wire = BytesMut::new();
        for frame in &frames {
            frame.write(&mut wire);
        }
        let mut decoder = Decoder::default();
        let mut got = Vec::new();
        let mut rest = &wire[..];
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            decoder.push(piece);
            while let Some(frame) = decoder.next().unwrap() {
                got.push(frame);
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(got, frames);
        prop_assert!(decoder.bytes.is_empty());
    }

    #[test]
    fn long_data_comes_back_in_every_cutting(
        lengths in prop::collection::vec(1..30_000_usize, 1..5),
        cuts in prop::collection::vec(1..9_000_usize, 1..20),
    ) {
        let mut wire = BytesMut::new();
        let mut content = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let bytes = vec![u8::try_from(number).unwrap(); *length];
            content.extend_from_slice(&bytes);
            Frame::Data(bytes.into()).write(&mut wire);
        }
        Frame::Bye.write(&mut wire);
        let mut decoder = Decoder::default();
        let mut got = Vec::new();
        let mut byes = 0;
        let mut rest = &wire[..];
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            decoder.push(piece);
            while let Some(frame) = decoder.next().unwrap() {
                if let Frame::Data(bytes) = frame {
                    got.extend_from_slice(&bytes);
                } else {
                    prop_assert_eq!(frame, Frame::Bye);
                    byes += 1;
                }
            }
            // What could be written to a disk does not wait here.
            prop_assert!(decoder.bytes.len() < HEAD + PART);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(got, content);
        prop_assert_eq!(byes, 1);
    }

    #[test]
    fn what_is_read_from_any_bytes_is_written_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::default();
        // A length that the bytes can fill.
        let bytes: Vec<u8> = bytes.chunks(24).flat_map(|chunk| raw(chunk[0] % 0x28, &chunk[1..])).collect();
        decoder.push(&bytes);
        while let Ok(Some(frame)) = decoder.next() {
            let mut again = BytesMut::new();
            frame.write(&mut again);
            prop_assert_eq!(decode(&again), Ok(vec![frame]));
        }
    }
}
