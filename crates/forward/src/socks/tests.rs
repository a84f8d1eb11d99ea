use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const METHODS: [u8; 3] = [5, 1, 0];

/// What a client that says all this at once is told, step by step.
fn talk(bytes: &[u8]) -> Vec<Next> {
    let mut socks = Socks::new();
    let mut steps = vec![socks.handle(bytes)];
    while matches!(steps.last(), Some(Next::Send(_))) {
        steps.push(socks.handle(&[]));
    }
    steps
}

/// What a client that asks for this is told in the end.
fn asks(request: &[u8]) -> Next {
    talk(&[&METHODS, request].concat()).pop().unwrap()
}

fn refused(next: &Next) -> (Option<u8>, NotSocks) {
    match next {
        Next::Refuse(answer, why) => (answer.get(1).copied(), *why),
        other @ (Next::Read | Next::Send(_) | Next::Connect(_)) => panic!("{other:?}"),
    }
}

fn request(kind: u8, host: &[u8], port: u16) -> Vec<u8> {
    [&[5, 1, 0, kind], host, &port.to_be_bytes()].concat()
}

#[test]
fn other_protocols_are_refused_at_their_first_byte() {
    for (bytes, first) in [
        (b"GET / HTTP/1.1".as_slice(), b'G'),
        (&[4, 1, 0, 80], 4),
        (&[0x16, 3, 1], 0x16),
    ] {
        let steps = talk(bytes);
        assert_eq!(refused(&steps[0]), (None, NotSocks::Version(first)));
    }
}

#[test]
fn a_client_that_wants_to_authenticate_is_refused() {
    for methods in [[5, 1, 2].as_slice(), &[5, 0], &[5, 2, 1, 2]] {
        assert_eq!(refused(&talk(methods)[0]), (Some(0xff), NotSocks::Method));
    }
}

#[test]
fn commands_other_than_connect_are_refused() {
    for command in [0, 2, 3, 255] {
        let next = asks(&[5, command, 0, 1, 1, 1, 1, 1, 0, 80]);
        assert_eq!(refused(&next), (Some(7), NotSocks::Command(command)));
    }
}

#[test]
fn places_that_are_none_are_refused() {
    assert_eq!(
        refused(&asks(&request(2, &[1, 1, 1, 1], 80))),
        (Some(8), NotSocks::Place)
    );
    for (kind, host, port) in [
        (IPV4, [1, 1, 1, 1].as_slice(), 0),
        (NAME, b"\x00", 80),
        (NAME, b"\x03a\nb", 80),
        (NAME, b"\x03a b", 80),
        (NAME, b"\x01\xff", 80),
    ] {
        assert_eq!(
            refused(&asks(&request(kind, host, port))),
            (Some(1), NotSocks::Place)
        );
    }
}

#[test]
fn a_client_that_does_not_wait_for_the_answer_is_refused() {
    let hasty = [request(IPV4, &[1, 1, 1, 1], 80), b"GET".to_vec()].concat();
    assert_eq!(refused(&asks(&hasty)), (None, NotSocks::Hasty));
}

#[test]
fn a_client_goes_where_it_says() {
    let six = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
    for (kind, host, shown) in [
        (IPV4, [3, 97, 98, 99].as_slice(), "3.97.98.99"),
        (IPV6, &six, "2001:db8::1"),
        (NAME, b"\x09a.example", "a.example"),
    ] {
        let steps = talk(&[&METHODS, request(kind, host, 443).as_slice()].concat());
        let place = Place {
            host: shown.to_owned(),
            port: 443,
        };
        assert_eq!(steps, [Next::Send(vec![5, 0]), Next::Connect(place)]);
    }
}

#[test]
fn every_answer_has_the_code_of_its_reason() {
    assert_eq!(answer(Ok(())), [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for (why, code) in [
        (Why::Denied, 2),
        (Why::Unresolvable, 4),
        (Why::Unreachable, 4),
        (Why::Refused, 5),
        (Why::Timeout, 6),
        (Why::TooMany, 1),
        (Why::Other(99), 1),
    ] {
        assert_eq!(answer(Err(why))[1], code);
    }
}

proptest! {
    #[test]
    fn a_request_in_pieces_is_the_same_request(name in "[a-z.]{1,255}", port in 1..=u16::MAX, lengths in vec(1..9_usize, 1..5)) {
        let length = u8::try_from(name.len()).unwrap();
        let host = [&[length], name.as_bytes()].concat();
        let wire = [&METHODS, request(NAME, &host, port).as_slice()].concat();
        let (mut socks, mut rest) = (Socks::new(), wire.as_slice());
        let mut lengths = lengths.iter().cycle();
        let mut last = Next::Read;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(lengths.next().map_or(1, |length| (*length).min(rest.len())));
            rest = after;
            last = socks.handle(piece);
            if matches!(last, Next::Send(_)) {
                last = socks.handle(&[]);
            }
        }
        prop_assert_eq!(last, Next::Connect(Place { host: name, port }));
    }

    /// Whatever comes, no more is held than one request.
    #[test]
    fn any_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..600), five: bool) {
        let bytes = if five { [&METHODS, bytes.as_slice()].concat() } else { bytes };
        let mut socks = Socks::new();
        for piece in bytes.chunks(7) {
            match socks.handle(piece) {
                Next::Read | Next::Send(_) => {}
                Next::Connect(_) | Next::Refuse(..) => break,
            }
            prop_assert!(socks.have.len() <= 2 + 255 + 6 + 256 + 7);
        }
    }
}
