//! The contenders that cut stanzas out of a stream. Each takes the whole stream and counts what it found.

use std::hint::black_box;

use bytes::{BufMut, BytesMut};
use rxml::Parse as _;
use xtls_framer::{Cutter, Framer, Limits};

/// How much arrives at once: one read from a client's socket.
const PIECE: usize = 8192;

/// The framer as a client uses it, including the copy of each piece into its buffer.
pub fn framer(stream: &[u8]) -> usize {
    let mut framer = Framer::new(Limits::default());
    let mut stanzas = 0;
    for piece in stream.chunks(PIECE) {
        framer.push(piece);
        while let Some(frame) = framer.next().expect("a good stream") {
            black_box(frame.as_bytes());
            stanzas += 1;
        }
    }
    stanzas
}

/// The same scanner over an existing buffer, as for a borrowed reader.
pub fn cutter(buffer: &mut BytesMut) -> usize {
    let mut cutter = Cutter::new(Limits::default());
    let mut stanzas = 0;
    while let Some(frame) = cutter.cut(buffer).expect("a good stream") {
        black_box(frame.as_bytes());
        stanzas += 1;
    }
    stanzas
}

/// The buffer that [`cutter`] consumes.
pub fn buffer(stream: &[u8]) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(stream.len());
    buffer.put_slice(stream);
    buffer
}

/// The borrowed reader: quick-xml's fastest interface, which checks end names and little else. It gets the knowledge
/// that the stream is UTF-8 for free, while the framer checks it.
pub fn quick_xml(stream: &str) -> usize {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(stream);
    let (mut depth, mut stanzas) = (0_u32, 0);
    loop {
        match reader.read_event().expect("a good stream") {
            Event::Start(_) => depth += 1,
            Event::End(_) => {
                depth -= 1;
                stanzas += usize::from(depth == 0);
            }
            Event::Empty(_) => stanzas += usize::from(depth == 0),
            Event::Eof => return stanzas,
            other => drop(black_box(other)),
        }
    }
}

/// The XMPP parser of the Rust ecosystem, used as xmpp-rs uses it. It needs one root.
pub fn rxml(stream: &[u8]) -> usize {
    let mut parser = rxml::Parser::default();
    let (mut depth, mut stanzas) = (0_u32, 0);
    for mut piece in std::iter::once(b"<stream>".as_slice()).chain(stream.chunks(PIECE)) {
        loop {
            match parser.parse(&mut piece, false) {
                Ok(Some(rxml::Event::StartElement(..))) => depth += 1,
                Ok(Some(rxml::Event::EndElement(..))) => {
                    depth -= 1;
                    stanzas += usize::from(depth == 1);
                }
                Ok(Some(other)) => drop(black_box(other)),
                Ok(None) => return stanzas,
                Err(rxml::error::EndOrError::NeedMoreData) => break,
                Err(rxml::error::EndOrError::Error(error)) => panic!("{error}"),
            }
        }
    }
    stanzas
}
