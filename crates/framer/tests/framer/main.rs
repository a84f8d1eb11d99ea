//! The laws of the framer, on whole documents. Each is fed in every way there is.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests, and what they share"
)]

mod cutting;
mod faces;
mod limits;
mod refusals;

use bytes::BytesMut;

use xtls_framer::{Cutter, FrameError, Framer, Limits, Restricted};

/// What a stream comes to: its frames, and the error it ends with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Outcome {
    frames: Vec<Vec<u8>>,
    error: Option<FrameError>,
}

/// Feeds the pieces, drains after each, and says that the stream has ended.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Outcome {
    let mut framer = Framer::new(limits);
    let mut frames = Vec::new();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(frame)) => frames.push(frame.as_bytes().to_vec()),
                Ok(None) => break,
                Err(error) => {
                    return Outcome {
                        frames,
                        error: Some(error),
                    };
                }
            }
        }
    }
    assert_eq!(framer.buffered() > 0, framer.finish().is_err());
    Outcome {
        frames,
        error: framer.finish().err(),
    }
}

/// The outcome of a document, which is the same whole, cut in two anywhere, and byte by byte.
fn outcome(document: impl AsRef<[u8]>, limits: Limits) -> Outcome {
    let document = document.as_ref();
    let whole = feed([document], limits);
    for cut in 0..=document.len() {
        let (head, tail) = document.split_at(cut);
        assert_eq!(feed([head, tail], limits), whole, "cut at {cut}");
    }
    assert_eq!(feed(document.chunks(1), limits), whole, "byte by byte");
    assert_eq!(in_place(document, limits), whole, "in place");
    whole
}

/// The same with a buffer of the caller's.
fn in_place(document: &[u8], limits: Limits) -> Outcome {
    let mut cutter = Cutter::new(limits);
    let mut buffer = BytesMut::from(document);
    let mut frames = Vec::new();
    loop {
        match cutter.cut(&mut buffer) {
            Ok(Some(frame)) => frames.push(frame.as_bytes().to_vec()),
            Ok(None) => {
                return Outcome {
                    frames,
                    error: cutter.finish(&buffer).err(),
                };
            }
            Err(error) => {
                return Outcome {
                    frames,
                    error: Some(error),
                };
            }
        }
    }
}

/// A document that is cut into these frames and ends well.
#[track_caller]
fn accepts(document: impl AsRef<[u8]>, frames: &[&str]) {
    let outcome = outcome(document, Limits::default());
    let texts: Vec<_> = outcome
        .frames
        .iter()
        .map(|f| str::from_utf8(f).unwrap())
        .collect();
    assert_eq!((texts.as_slice(), outcome.error), (frames, None));
}

/// A document that is refused, alone and behind a good stanza.
#[track_caller]
fn refuses(document: impl AsRef<[u8]>, error: FrameError) {
    let document = document.as_ref();
    let alone = outcome(document, Limits::default());
    assert_eq!((alone.frames.len(), alone.error), (0, Some(error)));

    let behind = outcome([b" <iq/>\n", document].concat(), Limits::default());
    assert_eq!(behind.frames, [b"<iq/>"]);
    assert_eq!(behind.error.map(|e| e.at()), Some(error.at() + 7));
}

#[track_caller]
fn restricts(document: &str, what: Restricted, at: u64) {
    refuses(document, FrameError::Restricted { what, at });
}
