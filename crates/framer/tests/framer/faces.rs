//! The faces over the framer, and what they show of a stanza.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use super::outcome;
use xtls_framer::{Cutter, FrameError, Framer, Limits, frames};

const STREAM: &str = "<message><body>O Romeo</body></message>\n<presence/>";

#[test]
fn frames_are_slices_of_one_buffer() {
    let mut framer = Framer::new(Limits::default());
    framer.push(STREAM.as_bytes());
    let message = framer.next().unwrap().unwrap().into_bytes();
    let presence = framer.next().unwrap().unwrap().into_bytes();
    assert_eq!(
        message.as_ptr_range().end.wrapping_add(1),
        presence.as_ptr()
    );
}

#[test]
fn a_cutter_copies_nothing() {
    let mut buffer = bytes::BytesMut::from(STREAM);
    let start = buffer.as_ptr();
    let frame = Cutter::new(Limits::default())
        .cut(&mut buffer)
        .unwrap()
        .unwrap();
    assert_eq!(frame.as_bytes().as_ptr(), start);
}

#[test]
fn whole_stanzas_come_before_the_error_behind_them() {
    let outcome = outcome("<a/><b/><c/></d>", Limits::default());
    assert_eq!(outcome.frames, [b"<a/>", b"<b/>", b"<c/>"]);
    assert_eq!(outcome.error, Some(FrameError::StrayEndTag { at: 12 }));
}

#[test]
fn only_an_unfinished_stanza_counts_as_buffered() {
    let mut framer = Framer::new(Limits::default());
    for (piece, buffered) in [
        ("", 0),
        (" \n", 0),
        (" <", 1),
        ("iq", 3),
        ("/> ", 0),
        ("<a>", 3),
    ] {
        framer.push(piece.as_bytes());
        while framer.next().unwrap().is_some() {}
        assert_eq!(framer.buffered(), buffered, "{piece:?}");
    }
}

#[test]
fn whitespace_not_yet_looked_at_does_not_count_as_buffered() {
    let mut framer = Framer::default();
    framer.push(b" \r\n\t");
    assert_eq!(framer.buffered(), 0);
    assert_eq!(framer.finish(), Ok(()));
}

#[test]
fn debug_shows_nothing_of_a_stanza() {
    let mut framer = Framer::new(Limits::default());
    framer.push(b"<secret/><secret");
    let frame = framer.next().unwrap().unwrap();
    assert_eq!(framer.next(), Ok(None));
    assert_eq!(format!("{frame:?}"), "Frame { len: 9 }");
    let shown = format!(
        "{framer:?} {:?}",
        frames(b"<secret/>".as_slice(), Limits::default())
    );
    assert!(
        !shown.contains("secret") && !shown.contains("115"),
        "{shown}"
    );
    assert!(shown.contains("buffered: 7"), "{shown}");
}

#[test]
fn the_iterator_reads_to_the_end() {
    for capacity in [1, 2, 7, 8192] {
        let reader = BufReader::with_capacity(capacity, STREAM.as_bytes());
        let stanzas: Vec<_> = frames(reader, Limits::default())
            .map(|f| f.unwrap().as_str().to_owned())
            .collect();
        assert_eq!(
            stanzas,
            ["<message><body>O Romeo</body></message>", "<presence/>"]
        );
    }
}

#[test]
fn the_iterator_takes_a_large_buffer_in_pieces() {
    let stream = STREAM.repeat(5000);
    assert_eq!(
        frames(stream.as_bytes(), Limits::default())
            .map(Result::unwrap)
            .count(),
        10_000
    );
}

#[test]
fn the_iterator_tells_a_truncation_and_ends() {
    let mut frames = frames(b"<iq/> <iq".as_slice(), Limits::default());
    assert_eq!(frames.next().unwrap().unwrap().as_bytes(), b"<iq/>");
    let error = frames.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!(inside(&error), FrameError::Truncated { at: 6 });
    assert!(frames.next().is_none());
}

#[test]
fn the_iterator_tells_a_broken_rule_and_ends() {
    let mut frames = frames(b"<iq/>!<iq/>".as_slice(), Limits::default());
    assert!(frames.next().unwrap().is_ok());
    let error = frames.next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(inside(&error), FrameError::StrayText { at: 5 });
    assert!(frames.next().is_none());
}

#[test]
fn the_iterator_goes_on_after_a_pause_and_ends_after_a_failure() {
    let script = [
        Ok("<i"),
        Err(ErrorKind::Interrupted),
        Ok("q"),
        Err(ErrorKind::WouldBlock),
        Ok("/><iq"),
        Err(ErrorKind::TimedOut),
        Ok("/>"),
        Err(ErrorKind::ConnectionReset),
        Ok("<iq/>"),
    ];
    let mut frames = frames(
        Script(script.into_iter().collect(), Vec::new()),
        Limits::default(),
    );
    let mut next = || {
        frames
            .next()
            .map(|f| f.map(|f| f.as_str().to_owned()).map_err(|e| e.kind()))
    };
    assert_eq!(next(), Some(Err(ErrorKind::WouldBlock)));
    assert_eq!(next(), Some(Ok("<iq/>".to_owned())));
    assert_eq!(next(), Some(Err(ErrorKind::TimedOut)));
    assert_eq!(next(), Some(Ok("<iq/>".to_owned())));
    assert_eq!(next(), Some(Err(ErrorKind::ConnectionReset)));
    assert_eq!(next(), None);
}

/// A reader that does what it is told; then what it has at hand.
struct Script(
    std::collections::VecDeque<Result<&'static str, ErrorKind>>,
    Vec<u8>,
);

impl Read for Script {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("a BufRead is read through its buffer")
    }
}

impl BufRead for Script {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.1.is_empty() {
            match self.0.pop_front() {
                Some(Ok(text)) => self.1.extend_from_slice(text.as_bytes()),
                Some(Err(kind)) => return Err(kind.into()),
                None => {}
            }
        }
        Ok(&self.1)
    }

    fn consume(&mut self, amount: usize) {
        self.1.drain(..amount);
    }
}

fn inside(error: &io::Error) -> FrameError {
    *error
        .get_ref()
        .unwrap()
        .downcast_ref::<FrameError>()
        .unwrap()
}

#[cfg(feature = "codec")]
mod codec {
    use bytes::BytesMut;
    use tokio_util::codec::Decoder;

    use super::*;
    use xtls_framer::FrameDecoder;

    #[test]
    fn the_decoder_cuts_stanzas_out_of_its_buffer() {
        let mut decoder = FrameDecoder::new(Limits::default());
        let mut buffer = BytesMut::new();
        let mut stanzas = Vec::new();
        for byte in STREAM.bytes() {
            buffer.extend_from_slice(&[byte]);
            while let Some(frame) = decoder.decode(&mut buffer).unwrap() {
                stanzas.push(frame.as_str().to_owned());
            }
        }
        assert_eq!(decoder.decode_eof(&mut buffer).unwrap(), None);
        assert_eq!(
            stanzas,
            ["<message><body>O Romeo</body></message>", "<presence/>"]
        );
    }

    #[test]
    fn the_decoder_gives_what_is_whole_at_the_end_and_then_tells_the_truncation() {
        let mut decoder = FrameDecoder::new(Limits::default());
        let mut buffer = BytesMut::from("<iq/><presence/> <mess");
        assert_eq!(
            decoder.decode_eof(&mut buffer).unwrap().unwrap().as_str(),
            "<iq/>"
        );
        assert_eq!(
            decoder.decode_eof(&mut buffer).unwrap().unwrap().as_str(),
            "<presence/>"
        );
        let error = decoder.decode_eof(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(inside(&error), FrameError::Truncated { at: 17 });
    }

    #[test]
    fn the_decoder_ends_well_on_whitespace() {
        let mut decoder = FrameDecoder::new(Limits::default());
        assert_eq!(
            decoder.decode_eof(&mut BytesMut::from(" \n")).unwrap(),
            None
        );
    }

    #[test]
    fn the_decoder_tells_a_broken_rule() {
        let mut decoder = FrameDecoder::new(Limits::default());
        let error = decoder.decode(&mut BytesMut::from("<?xml?>")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert_eq!(inside(&error).at(), 0);
    }
}

#[test]
fn a_frame_names_its_element_as_it_is_written() {
    for (element, name) in [
        ("<iq/>", "iq"),
        ("<message><body/></message>", "message"),
        ("<a\n b='c'/>", "a"),
        ("<stream:features></stream:features>", "stream:features"),
        ("<\u{e9}/>", "\u{e9}"),
        ("<>", ""),
    ] {
        let mut framer = Framer::default();
        framer.push(element.as_bytes());
        framer.push(b"</>");
        assert_eq!(framer.next().unwrap().unwrap().name(), name, "{element}");
    }
}
