//! What the framer holds.

use crate::{FrameError, Framer, Limits};

#[test]
fn an_error_stays_and_holds_no_memory() {
    let mut framer = Framer::new(Limits::default());
    framer.push(b"<iq/>x<iq/>");
    assert!(framer.next().unwrap().is_some());
    for _ in 0..3 {
        assert_eq!(framer.next(), Err(FrameError::StrayText { at: 5 }));
        assert_eq!(framer.finish(), Err(FrameError::StrayText { at: 5 }));
        assert_eq!((framer.buffered(), framer.capacity()), (0, 0));
        framer.push(b"<iq/>");
    }
}

/// What a peer can make the framer hold is bounded by the limit, whatever it sends.
#[test]
fn memory_stays_within_the_limit() {
    for piece in [1, 7, 100, 1024] {
        let mut framer = Framer::new(Limits::default().max_len(10_000));
        let mut most = 0;
        for stanza in [1, 100, 9_000, 10_000 - 7, 5, 10_000 - 7, 3, 20_000] {
            let stanza = format!("<a>{}</a>", "x".repeat(stanza));
            for piece in stanza.as_bytes().chunks(piece) {
                framer.push(piece);
                most = most.max(framer.capacity());
                while let Ok(Some(_)) = framer.next() {}
            }
        }
        assert_eq!(
            framer.next(),
            Err(FrameError::TooLong {
                limit: 10_000,
                at: 39_144
            })
        );
        assert!(
            most <= 4 * 10_000 + 2 * piece,
            "{most} bytes for pieces of {piece}"
        );
    }
}
