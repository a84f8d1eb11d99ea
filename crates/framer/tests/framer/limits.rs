use super::outcome;
use xtls_framer::{FrameError, Framer, Limits};

#[test]
fn a_stanza_of_just_the_limit_passes() {
    let stanza = "<iq><ping xmlns='urn:xmpp:ping'/></iq>";
    let limits = Limits::default().max_len(stanza.len());
    let two = outcome([stanza, " ", stanza].concat(), limits);
    assert_eq!((two.frames.len(), two.error), (2, None));
}

#[test]
fn a_stanza_one_byte_past_the_limit_is_refused() {
    let stanza = "<iq><ping xmlns='urn:xmpp:ping'/></iq>";
    for limit in 0..stanza.len() {
        let at = limit as u64 + 1;
        let refused = outcome(format!(" {stanza}"), Limits::default().max_len(limit));
        assert_eq!(refused.frames.len(), 0);
        assert_eq!(refused.error, Some(FrameError::TooLong { limit, at }));
    }
}

/// The limit is on what is there, not on what is whole.
#[test]
fn an_unfinished_stanza_is_refused_at_the_first_byte_past_the_limit() {
    for begin in [
        "<iq>",
        "<iq ",
        "<iq a='",
        "<iq a=\"",
        "<iq><![CDATA[",
        "<iq></",
        "<",
    ] {
        let limits = Limits::default().max_len(100);
        let mut framer = Framer::new(limits);
        framer.push(begin.as_bytes());
        framer.push(&vec![b'x'; 100 - begin.len()]);
        assert_eq!(framer.next(), Ok(None), "{begin}");
        assert_eq!(framer.buffered(), 100);
        framer.push(b"x");
        assert_eq!(
            framer.next(),
            Err(FrameError::TooLong {
                limit: 100,
                at: 100
            }),
            "{begin}"
        );
    }
}

#[test]
fn whitespace_between_stanzas_does_not_count() {
    let limits = Limits::default().max_len(5);
    let outcome = outcome(format!("{0}<iq/>{0}<iq/>{0}", " \n".repeat(20)), limits);
    assert_eq!((outcome.frames.len(), outcome.error), (2, None));
}

/// Rules broken within the limit come first, rules broken past it are not seen.
#[test]
fn what_breaks_first_is_told() {
    let limits = Limits::default().max_len(8);
    let comment = FrameError::Restricted {
        what: xtls_framer::Restricted::Comment,
        at: 4,
    };
    assert_eq!(
        outcome("<iq><!-- psst --></iq>", limits).error,
        Some(comment)
    );
    let long = FrameError::TooLong { limit: 8, at: 8 };
    assert_eq!(
        outcome("<iq>psst<!-- psst --></iq>", limits).error,
        Some(long)
    );
    assert_eq!(
        outcome("<iq>ps<!-- psst --></iq>", limits).error,
        Some(long)
    );
}

#[test]
fn elements_of_just_the_depth_pass() {
    let limits = Limits::default().max_depth(3);
    for document in [
        "<a><b><c/></b><b><c>x</c></b></a>",
        "<a><b><c></c></b></a><a/>",
    ] {
        assert_eq!(outcome(document, limits).error, None);
    }
}

#[test]
fn an_element_one_past_the_depth_is_refused() {
    let limits = Limits::default().max_depth(3);
    let error = Some(FrameError::TooDeep { limit: 3, at: 9 });
    for document in [
        "<a><b><c><d></d></c></b></a>",
        "<a><b><c><d/></c></b></a>",
        "<a><b><c><d",
    ] {
        assert_eq!(outcome(document, limits).error, error, "{document}");
    }
    let none = outcome("<a/>", Limits::default().max_depth(0));
    assert_eq!(none.error, Some(FrameError::TooDeep { limit: 0, at: 0 }));
}

#[test]
fn the_default_limits() {
    let nested = |depth| ["<a>".repeat(depth), "</a>".repeat(depth)].concat();
    let deep = |depth| super::feed([nested(depth).as_bytes()], Limits::default()).error;
    assert_eq!(deep(64), None);
    assert_eq!(deep(65), Some(FrameError::TooDeep { limit: 64, at: 192 }));

    let padded = |len: usize| format!("<a>{}</a>", "x".repeat(len - 7));
    let long = |len| super::feed([padded(len).as_bytes()], Limits::default()).error;
    assert_eq!(long(262_144), None);
    assert_eq!(
        long(262_145),
        Some(FrameError::TooLong {
            limit: 262_144,
            at: 262_144
        })
    );
}
