use super::{accepts, feed, refuses, restricts};
use xtls_framer::{FrameError, Limits, Restricted};

#[test]
fn xml_declaration() {
    restricts("<?xml version='1.0'?><iq/>", Restricted::Declaration, 0);
    restricts("<?xml?>", Restricted::Declaration, 0);
    restricts("<iq><?xml version='1.0'?></iq>", Restricted::Declaration, 4);
}

#[test]
fn processing_instruction() {
    restricts("<?php echo ?>", Restricted::ProcessingInstruction, 0);
    restricts("<?xm ?>", Restricted::ProcessingInstruction, 0);
    restricts("<?xml-stylesheet ?>", Restricted::ProcessingInstruction, 0);
    restricts(
        "<?XML version='1.0'?>",
        Restricted::ProcessingInstruction,
        0,
    );
    restricts("<iq>ab<?p?></iq>", Restricted::ProcessingInstruction, 6);
}

#[test]
fn doctype() {
    restricts(
        "<!DOCTYPE iq [<!ENTITY lol 'lol'>]><iq/>",
        Restricted::Doctype,
        0,
    );
    restricts("<iq><!DOCTYPE iq></iq>", Restricted::Doctype, 4);
}

#[test]
fn pieces_of_a_doctype() {
    restricts("<!ENTITY lol 'lol'>", Restricted::Doctype, 0);
    restricts("<iq><!ELEMENT iq ANY></iq>", Restricted::Doctype, 4);
    restricts("<![INCLUDE[", Restricted::Doctype, 0);
    restricts("<iq><![CDATX[x]]></iq>", Restricted::Doctype, 4);
}

/// Nobody waits for more than it takes to tell.
#[test]
fn markup_is_refused_at_its_first_telling_byte() {
    restricts("<?p", Restricted::ProcessingInstruction, 0);
    restricts("<?xn", Restricted::ProcessingInstruction, 0);
    restricts("<?xml ", Restricted::Declaration, 0);
    restricts("<!-", Restricted::Comment, 0);
    restricts("<!D", Restricted::Doctype, 0);
    restricts("<![I", Restricted::Doctype, 0);
    restricts("<a><![CX", Restricted::Doctype, 3);
    restricts("<![CDATA[", Restricted::CData, 0);
}

#[test]
fn comment() {
    restricts("<!-- psst -->", Restricted::Comment, 0);
    restricts("<iq><query/><!-- psst --></iq>", Restricted::Comment, 12);
}

#[test]
fn cdata_between_stanzas() {
    restricts("<![CDATA[ ]]>", Restricted::CData, 0);
    restricts("<![CDATA[<iq/>]]>", Restricted::CData, 0);
}

#[test]
fn text_between_stanzas() {
    for text in ["x", "&#32;", "\0", "\u{a0}", "]]>", ">", "/>"] {
        refuses(text, FrameError::StrayText { at: 0 });
        refuses(format!("\r\n{text}"), FrameError::StrayText { at: 2 });
    }
    refuses(b" \xff", FrameError::StrayText { at: 1 });
    refuses("\x0c<iq/>", FrameError::StrayText { at: 0 });
}

#[test]
fn byte_order_mark() {
    refuses("\u{feff}<iq/>", FrameError::StrayText { at: 0 });
}

#[test]
fn stray_end_tag() {
    refuses("</iq>", FrameError::StrayEndTag { at: 0 });
    refuses("  </stream:stream>", FrameError::StrayEndTag { at: 2 });
    refuses("</", FrameError::StrayEndTag { at: 0 });
}

#[test]
fn not_utf8() {
    refuses(b"<iq>\xff</iq>", FrameError::NotUtf8 { at: 4 });
    refuses(b"<iq>\xc3\xa9\xc3</iq>", FrameError::NotUtf8 { at: 6 });
    refuses(b"<iq a='\xc0\xaf'/>", FrameError::NotUtf8 { at: 7 });
    refuses(b"<iq>\xed\xa0\x80</iq>", FrameError::NotUtf8 { at: 4 });
    refuses(b"<\x80/>", FrameError::NotUtf8 { at: 1 });
}

/// A character cut in two by a chunk is no error; one cut in two by a border is.
#[test]
fn not_utf8_in_a_long_stanza() {
    let stanza = |text: &[u8]| [b"<iq>", text, b"</iq>"].concat();
    for at in [0, 1, 15, 511, 512, 1023, 1500, 2046] {
        let mut text = vec![b'x'; 2048];
        text[at..at + 2].copy_from_slice("é".as_bytes());
        let good = stanza(&text);
        assert_eq!(feed([good.as_slice()], Limits::default()).frames, [good]);

        text[at] = b'x';
        // Wherever the stanza stands in memory, and however it comes.
        for space in 0..64 {
            let bad = [" ".repeat(space).into_bytes(), stanza(&text)].concat();
            let error = FrameError::NotUtf8 {
                at: (space + 4 + at + 1) as u64,
            };
            for piece in [100, 700, bad.len()] {
                let outcome = feed(bad.chunks(piece), Limits::default());
                assert_eq!(outcome.error, Some(error), "{at}, {space}, {piece}");
            }
        }
    }
}

#[test]
fn truncated() {
    for cut in [
        "<",
        "<i",
        "<iq a='",
        "<iq>",
        "<iq>x",
        "<iq></i",
        "<iq><![CDATA[",
        "<iq><![CDATA[]]",
    ] {
        refuses(cut, FrameError::Truncated { at: 0 });
        refuses(format!("\t\t\t{cut}"), FrameError::Truncated { at: 3 });
    }
    refuses("<?xm", FrameError::Truncated { at: 0 });
    refuses("<![CDATA", FrameError::Truncated { at: 0 });
}

#[test]
fn whitespace_at_the_end_is_no_truncation() {
    accepts("<iq/> \t\r\n", &["<iq/>"]);
    accepts(" \t\r\n", &[]);
    accepts("", &[]);
}

#[test]
fn errors_name_place_and_rule() {
    let text = |error: FrameError| error.to_string();
    let limit = 9;
    assert_eq!(
        text(FrameError::TooLong { limit, at: 10 }),
        "the stanza goes on at byte 10, past the limit of 9 bytes (RFC 6120 §13.12)"
    );
    assert_eq!(
        text(FrameError::TooDeep { limit: 9, at: 10 }),
        "the element at byte 10 is nested deeper than 9 (RFC 6120 §13.12)"
    );
    let restricted = |what| text(FrameError::Restricted { what, at: 10 });
    assert_eq!(
        restricted(Restricted::Declaration),
        "an XML declaration at byte 10 (RFC 6120 §11.5)"
    );
    assert_eq!(
        restricted(Restricted::ProcessingInstruction),
        "a processing instruction at byte 10 (RFC 6120 §11.1)"
    );
    assert_eq!(
        restricted(Restricted::Doctype),
        "a document type declaration at byte 10 (RFC 6120 §11.1)"
    );
    assert_eq!(
        restricted(Restricted::Comment),
        "a comment at byte 10 (RFC 6120 §11.1)"
    );
    assert_eq!(
        restricted(Restricted::CData),
        "a CDATA section between stanzas at byte 10 (RFC 6120 §11.7)"
    );
    assert_eq!(
        text(FrameError::StrayText { at: 10 }),
        "text between stanzas at byte 10 (RFC 6120 §11.7)"
    );
    assert_eq!(
        text(FrameError::StrayEndTag { at: 10 }),
        "an end tag at byte 10 where no element is open (RFC 6120 §11.3)"
    );
    assert_eq!(
        text(FrameError::NotUtf8 { at: 10 }),
        "not UTF-8 at byte 10 (RFC 6120 §11.6)"
    );
    assert_eq!(
        text(FrameError::Truncated { at: 10 }),
        "the stream ended inside the stanza that begins at byte 10 (RFC 6120 §11.3)"
    );
}
