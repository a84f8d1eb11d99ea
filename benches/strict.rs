//! The contenders that read stanzas strictly.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use xtls_framer::{Cutter, Framer, Limits};
use xtls_stanza::{Envelope, Stanza};

/// How much arrives at once: one read from a client's socket.
const PIECE: usize = 8192;

/// Framer and strict reader as a client uses them: each stanza to a typed head and checked children, which stay raw.
pub fn framer(stream: &[u8]) -> usize {
    let mut framer = Framer::new(Limits::default());
    let mut stanzas = 0;
    for piece in stream.chunks(PIECE) {
        framer.push(piece);
        while let Some(frame) = framer.next().expect("a good stream") {
            let stanza = Stanza::try_from(frame.into_bytes()).expect("a good stanza");
            black_box(&stanza);
            stanzas += 1;
        }
    }
    stanzas
}

/// The same over an existing buffer, as for the parsers that it is compared with.
pub fn cutter(buffer: &mut BytesMut) -> usize {
    let mut cutter = Cutter::new(Limits::default());
    let mut stanzas = 0;
    while let Some(frame) = cutter.cut(buffer).expect("a good stream") {
        let stanza = Stanza::try_from(frame.into_bytes()).expect("a good stanza");
        black_box(&stanza);
        stanzas += 1;
    }
    stanzas
}

/// Whole stanzas to their payloads.
pub fn envelopes(frames: &[Bytes]) -> usize {
    let read = |frame| black_box(Envelope::read(frame)).is_ok();
    frames.iter().filter(|frame| read(frame)).count()
}

/// The stanzas of a stream.
pub fn frames(stream: &[u8]) -> Vec<Bytes> {
    let mut buffer = BytesMut::from(stream);
    let mut cutter = Cutter::new(Limits::default());
    let next = || cutter.cut(&mut buffer).expect("a good stream");
    std::iter::from_fn(next).map(Bytes::from).collect()
}
