//! Both sides of SOCKS5 with another side that says the input: any cutting gives the same, and how it ends is final.

use std::time::{Duration, Instant};

use xtls_s5b::xtls_stanza::{Address, s5b::Sid};
use xtls_s5b::{Accept, AcceptEvent, Destination, Dial, DialEvent};

use super::cutting::Cutting;
use super::random::Random;

/// Longest answer: five bytes, a name of 255, and a port.
const MAX_WANTED: usize = 262;

pub(super) fn check(input: &[u8]) -> Result<(), String> {
    let whole = dial(input, Cutting::Whole)?;
    let other = dial(input, Cutting::of(input))?;
    if other != whole {
        return Err(format!("dialling {whole:?} whole, and {other:?} cut"));
    }
    let whole = accept(input, Cutting::Whole)?;
    let other = accept(input, Cutting::of(input))?;
    if other != whole {
        return Err(format!("accepting {whole:?} whole, and {other:?} cut"));
    }
    hasty(input)
}

fn destination() -> Result<Destination, String> {
    let address = |text| Address::new(text).map_err(|error| error.to_string());
    let sid = Sid::new("k3v9").map_err(|error| error.to_string())?;
    let (romeo, juliet) = (
        address("romeo@a.example/1")?,
        address("juliet@b.example/2")?,
    );
    Ok(Destination::new(&sid, &romeo, &juliet))
}

/// What is sent, the event, and, if it is a connection, how many bytes an owner took who reads only what is wanted.
type Course<E> = (Vec<u8>, Option<E>, usize);

fn dial(input: &[u8], mut cutting: Cutting) -> Result<Course<DialEvent>, String> {
    let now = Instant::now();
    let mut dial = Dial::new(now, destination()?);
    let (mut sent, mut events, mut taken) = (Vec::new(), Vec::new(), 0);
    sent.extend(dial.poll_transmit().unwrap_or_default());
    'pieces: for mut piece in cutting.pieces(input) {
        while !piece.is_empty() {
            let wanted = dial.wanted();
            if wanted > MAX_WANTED {
                return Err(format!("{wanted} bytes are wanted"));
            }
            let (now_taken, rest) = piece.split_at(wanted.min(piece.len()));
            if now_taken.is_empty() {
                break 'pieces;
            }
            dial.handle_bytes(now, now_taken);
            taken += now_taken.len();
            sent.extend(dial.poll_transmit().unwrap_or_default());
            events.extend(dial.poll_event());
            piece = rest;
        }
    }
    if let [DialEvent::Connected { rest }] = events.as_slice()
        && !rest.is_empty()
    {
        return Err("bytes of the stream were read".to_owned());
    }
    dial.handle_end();
    events.extend(dial.poll_event());
    dial.handle_bytes(now, input);
    dial.handle_end();
    dial.handle_timeout(now + Duration::from_secs(60));
    events.extend(dial.poll_event());
    let last = dial.poll_transmit().is_some() || dial.poll_timeout().is_some();
    if last || events.len() != 1 || dial.wanted() != 0 {
        return Err(format!("dialling goes on after {events:?}"));
    }
    let connected = matches!(events.as_slice(), [DialEvent::Connected { .. }]);
    Ok((sent, events.pop(), if connected { taken } else { 0 }))
}

fn accept(input: &[u8], mut cutting: Cutting) -> Result<Course<AcceptEvent>, String> {
    let now = Instant::now();
    let agrees = Random::of(input).below(2) == 0;
    let mut accept = Accept::new(now);
    let (mut sent, mut events, mut taken) = (Vec::new(), Vec::new(), 0);
    'pieces: for mut piece in cutting.pieces(input) {
        while !piece.is_empty() {
            let wanted = accept.wanted();
            if wanted > MAX_WANTED {
                return Err(format!("{wanted} bytes are wanted"));
            }
            let (now_taken, rest) = piece.split_at(wanted.min(piece.len()));
            if now_taken.is_empty() {
                break 'pieces;
            }
            accept.handle_bytes(now, now_taken);
            taken += now_taken.len();
            sent.extend(accept.poll_transmit().unwrap_or_default());
            match accept.poll_event() {
                Some(AcceptEvent::Asked(_)) => {
                    let answer = if agrees {
                        accept.accept()
                    } else {
                        accept.refuse()
                    };
                    answer.map_err(|_| "a request that cannot be answered")?;
                    sent.extend(accept.poll_transmit().unwrap_or_default());
                    events.extend(accept.poll_event());
                }
                other => events.extend(other),
            }
            piece = rest;
        }
    }
    accept.handle_end();
    events.extend(accept.poll_event());
    accept.handle_bytes(now, input);
    accept.handle_end();
    accept.handle_timeout(now + Duration::from_secs(60));
    events.extend(accept.poll_event());
    let answered = accept.accept().is_ok() || accept.refuse().is_ok();
    let last = accept.poll_transmit().is_some() || accept.poll_timeout().is_some();
    if answered || last || events.len() != 1 || accept.wanted() != 0 {
        return Err(format!("accepting goes on after {events:?}"));
    }
    let connected = matches!(events.as_slice(), [AcceptEvent::Connected]);
    Ok((sent, events.pop(), if connected { taken } else { 0 }))
}

/// An owner who reads whatever comes: each side ends at most once.
fn hasty(input: &[u8]) -> Result<(), String> {
    let now = Instant::now();
    let (mut dial, mut accept) = (Dial::new(now, destination()?), Accept::new(now));
    let (mut dialled, mut accepted) = (0, 0);
    for piece in Cutting::of(input).pieces(input) {
        let _: Option<Vec<u8>> = dial.poll_transmit();
        dial.handle_bytes(now, piece);
        dialled += usize::from(dial.poll_event().is_some());
        accept.handle_bytes(now, piece);
        let event = accept.poll_event();
        accepted += usize::from(matches!(event, Some(AcceptEvent::Failed(_))));
    }
    if dialled > 1 || accepted > 1 {
        return Err(format!("{dialled} and {accepted} ends"));
    }
    Ok(())
}
