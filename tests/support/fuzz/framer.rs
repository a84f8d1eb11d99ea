//! The framer: any chunking gives the same frames, and they are what rxml and expat see in the whole stream.

use std::io::BufReader;

use bytes::BytesMut;
use xtls_framer::{Cutter, FrameError, Framer, Limits, Restricted, frames};
use xtls_stanza::Element;

use super::differential::stricter;
use super::judges::Judges;
use super::notation::{self, Order};
use super::random::Random;

/// The outcome of a stream.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    frames: Vec<Vec<u8>>,
    error: Option<FrameError>,
}

pub(super) fn check(input: &[u8], judges: &mut Judges) -> Result<(), String> {
    let mut random = Random::of(input);
    let whole = one_verdict(input, Limits::default(), &mut random)?;
    shape(input, &whole, usize::MAX)?;
    whole_stream(input, &whole, judges)?;

    let len = random.below(input.len().max(1)) + 1;
    let depth = u32::try_from(random.below(4)).unwrap_or_default();
    let tight = Limits::default().max_len(len).max_depth(depth);
    shape(input, &one_verdict(input, tight, &mut random)?, len)
}

/// The outcome, on which every chunking and every interface must agree.
fn one_verdict(input: &[u8], limits: Limits, random: &mut Random) -> Result<Outcome, String> {
    let whole = feed([input], limits)?;
    let agree = |how: &str, other: Outcome| {
        if other == whole {
            return Ok(());
        }
        Err(format!("{how} gives {other:?} and whole {whole:?}"))
    };
    agree("byte by byte", feed(input.chunks(1), limits)?)?;
    for _ in 0..3 {
        let (head, tail) = input.split_at(random.below(input.len() + 1));
        agree("cut in two", feed([head, tail], limits)?)?;
    }
    let mut pieces = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(random.below(rest.len().min(64)) + 1);
        pieces.push(piece);
        rest = after;
    }
    agree("cut anywhere", feed(pieces, limits)?)?;
    agree("in place", in_place(input, limits)?)?;
    agree("a reader", read(input, limits, random.below(32) + 1))?;
    Ok(whole)
}

/// Feeds the pieces, drains after each, and signals the end of the stream.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Result<Outcome, String> {
    let mut framer = Framer::new(limits);
    let mut frames = Vec::new();
    let mut error = None;
    for piece in pieces {
        let before = framer.buffered();
        framer.push(piece);
        while error.is_none() {
            match framer.next() {
                Ok(Some(frame)) => frames.push(frame.as_bytes().to_vec()),
                Ok(None) => break,
                Err(first) => error = Some(first),
            }
        }
        // Memory is bounded: what is held comes from this push and from one unfinished stanza.
        if framer.buffered() > before + piece.len() {
            return Err("more is held than came in".to_owned());
        }
        if let Some(first) = error
            && (framer.next() != Err(first) || framer.buffered() != 0)
        {
            return Err(format!("{first:?} is not final"));
        }
    }
    let end = framer.finish().err();
    match error {
        Some(first) if end != Some(first) => Err(format!("{first:?} and {end:?} at the end")),
        None if end.is_some() != (framer.buffered() > 0) => Err(format!("{end:?} at the end")),
        _ => Ok(Outcome { frames, error: end }),
    }
}

fn in_place(input: &[u8], limits: Limits) -> Result<Outcome, String> {
    let mut cutter = Cutter::new(limits);
    let mut buffer = BytesMut::from(input);
    let mut frames = Vec::new();
    loop {
        match cutter.cut(&mut buffer) {
            Ok(Some(frame)) => frames.push(frame.as_bytes().to_vec()),
            Ok(None) => {
                let error = cutter.finish(&buffer).err();
                return Ok(Outcome { frames, error });
            }
            Err(error) if cutter.cut(&mut buffer) != Err(error) => {
                return Err(format!("{error:?} is not final"));
            }
            Err(error) => {
                let error = Some(error);
                return Ok(Outcome { frames, error });
            }
        }
    }
}

fn read(input: &[u8], limits: Limits, capacity: usize) -> Outcome {
    let mut outcome = Outcome {
        frames: Vec::new(),
        error: None,
    };
    for frame in frames(BufReader::with_capacity(capacity, input), limits) {
        match frame {
            Ok(frame) => outcome.frames.push(frame.as_bytes().to_vec()),
            Err(error) => {
                let inner = error.get_ref().and_then(|error| error.downcast_ref());
                outcome.error = inner.copied();
            }
        }
    }
    outcome
}

/// What must be true of any outcome by itself: the frames are what the stream begins with, apart from white space, each
/// is an element within the limits, and an error points into the stream.
fn shape(input: &[u8], outcome: &Outcome, max_len: usize) -> Result<(), String> {
    let gaps = gaps(input, &outcome.frames).ok_or("the frames are not what the stream holds")?;
    let last = gaps.last().map_or(0, |gap| gap.len());
    for frame in &outcome.frames {
        let whole = frame.starts_with(b"<") && frame.ends_with(b">");
        if !whole || frame.len() > max_len || str::from_utf8(frame).is_err() {
            return Err(format!("no frame is {}", frame.escape_ascii()));
        }
        let alone = feed([&**frame], Limits::default().max_len(usize::MAX))?;
        if alone.frames != [&**frame] || alone.error.is_some() {
            return Err(format!("alone {} is {alone:?}", frame.escape_ascii()));
        }
    }
    let white = gaps.iter().take(outcome.frames.len()).all(|g| is_white(g));
    if !white || (outcome.error.is_none() && !gaps.last().is_none_or(|gap| is_white(gap))) {
        return Err("more than white space was passed over".to_owned());
    }
    let after = input.len() - last;
    match outcome.error.map(|error| error.at()) {
        Some(at) if at > input.len() as u64 || at < after as u64 => {
            Err(format!("{:?} is not behind the frames", outcome.error))
        }
        Some(_) | None => Ok(()),
    }
}

/// What precedes each frame, and what follows the last.
fn gaps<'a>(input: &'a [u8], frames: &[Vec<u8>]) -> Option<Vec<&'a [u8]>> {
    let mut gaps = Vec::new();
    let mut rest = input;
    for frame in frames {
        let white = rest.iter().take_while(|b| is_white(&[**b])).count();
        let (gap, after) = rest.split_at(white);
        gaps.push(gap);
        rest = after.strip_prefix(&**frame)?;
    }
    gaps.push(rest);
    Some(gaps)
}

fn is_white(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n'))
}

/// A strict reader of every frame is a strict reader of the stream: if it accepts them all, rxml and expat see exactly
/// these elements in the stream, and if not, those two don't agree about it either.
fn whole_stream(input: &[u8], outcome: &Outcome, judges: &mut Judges) -> Result<(), String> {
    let stream = [b"<s>", input, b"</s>"].concat();
    match outcome.error {
        // rules of XMPP and limits, which XML does not have
        Some(
            FrameError::TooLong { .. }
            | FrameError::TooDeep { .. }
            | FrameError::StrayText { .. }
            | FrameError::Restricted {
                what: Restricted::CData,
                ..
            },
        ) => return Ok(()),
        Some(error) => {
            judges.refuse(input, &stream, || error.to_string());
            return Ok(());
        }
        None => {}
    }
    let gaps = gaps(input, &outcome.frames).unwrap_or_default();
    let mut trees = [Vec::new(), Vec::new()];
    for tree in &mut trees {
        notation::start(tree, "", "s", std::iter::empty());
    }
    for (at, gap) in gaps.into_iter().enumerate() {
        let element = match outcome.frames.get(at).map(|frame| Element::read(frame, "")) {
            Some(Err(error)) => {
                if !stricter(error.rule) {
                    judges.refuse(input, &stream, || error.to_string());
                }
                return Ok(());
            }
            Some(Ok(element)) => Some(element),
            None => None,
        };
        let gap = String::from_utf8_lossy(gap).replace("\r\n", "\n");
        let gap = gap.replace('\r', "\n");
        for (tree, order) in trees.iter_mut().zip([Order::Kept, Order::Sorted]) {
            tree.extend_from_slice(gap.as_bytes());
            if let Some(element) = &element {
                notation::element_to(tree, element, order);
            }
        }
    }
    let [mut tree, mut sorted] = trees;
    notation::end(&mut tree);
    notation::end(&mut sorted);
    judges.accept_tree(input, stream, tree, &sorted)
}
