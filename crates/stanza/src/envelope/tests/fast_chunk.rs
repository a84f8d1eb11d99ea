//! What is read in one pass is what the strict reader reads.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{AddressCache, Envelope, ns};

const CHUNK: &str = "<iq xmlns='jabber:client' from='romeo@montague.example/orchard' to='juliet@capulet.example/balcony' \
     id='q1' type='set'><data xmlns='http://jabber.org/protocol/ibb' seq='0' sid='s'>QUJD</data></iq>";
/// With addresses of [`PIECES`].
const OTHERS: &str = "<iq from='a@b/c' to='a@B/c d' id='q1' type='result'/>";
const RESULT: &str = "<iq from='romeo@montague.example/orchard' id='q1' type='result'/>";

fn quick(document: &str) -> Option<Envelope> {
    Envelope::read_fast(document.as_bytes(), &mut AddressCache::default())
}

/// Read in one pass, if at all, then as the strict reader does, whatever was read before.
fn agrees(document: &[u8]) -> Result<(), TestCaseError> {
    let frame = Bytes::copy_from_slice(document);
    let text = String::from_utf8_lossy(document);
    let strict = Envelope::read_strictly(&frame);
    let alone = Envelope::read_fast(&frame, &mut AddressCache::default());
    for before in [CHUNK, RESULT, OTHERS, &text] {
        let mut cache = AddressCache::default();
        Envelope::read_fast(before.as_bytes(), &mut cache);
        let after = Envelope::read_fast(&frame, &mut cache);
        prop_assert_eq!(&after, &alone, "{}", text);
    }
    if let Some(envelope) = alone {
        prop_assert_eq!(Ok(envelope), strict, "{}", text);
    }
    Ok(())
}

#[test]
fn what_is_not_plain_is_left_to_the_strict_reader() {
    let iq = |attributes: &str| {
        format!(
            "<iq id='i' type='set'{attributes}><data xmlns='{}' seq='0' sid='s'>QUJD</data></iq>",
            ns::IBB
        )
    };
    assert!(quick(&iq("")).is_some());
    for attributes in [
        " xml:lang='en'",
        " id='j'",
        " xmlns='jabber:server'",
        " from='@'",
        " to='&amp;'",
        "  to='a'",
        " ",
        " a='b'",
    ] {
        assert_eq!(quick(&iq(attributes)), None, "{attributes}");
    }
    for (from, to) in [
        ("<iq", "<message"),
        ("type='set'", "type='get'"),
        ("type='set'", ""),
        ("id='q1'", "id=''"),
        ("id='q1' ", ""),
        ("<data", "<open"),
        ("protocol/ibb", "protocol/ibb2"),
        ("seq='0'", "seq='65536'"),
        ("seq='0'", "seq='0' seq='0'"),
        ("sid='s'", ""),
        ("sid='s'", "sid='s t'"),
        ("QUJD", "QUJ"),
        ("QUJD", "QU JD"),
        ("QUJD", "QUJD<a/>"),
        ("QUJD", ""),
        ("</data></iq>", "</data></iq> "),
        ("</data></iq>", "</data ></iq>"),
        ("</data></iq>", "</data><data/></iq>"),
        ("</data></iq>", "</iq>"),
    ] {
        let document = CHUNK.replacen(from, to, 1);
        assert_ne!(document, CHUNK);
        assert_eq!(quick(&document), None, "{document}");
    }
    for (from, to) in [
        ("type='result'", "type='error'"),
        ("/>", "></iq>"),
        ("/>", "/> "),
        ("/>", "/ >"),
        ("/>", "/"),
    ] {
        let document = RESULT.replacen(from, to, 1);
        assert_eq!(quick(&document), None, "{document}");
    }
}

#[test]
fn the_stanzas_of_a_bytestream_are_read_in_one_pass() {
    for document in [CHUNK, RESULT] {
        let frame = Bytes::copy_from_slice(document.as_bytes());
        let envelope = quick(document).unwrap();
        assert_eq!(Envelope::read_strictly(&frame), Ok(envelope));
    }
}

#[test]
fn addresses_of_the_stanza_before_are_not_taken_for_others() {
    let mut cache = AddressCache::default();
    let mut from = |document: &str| {
        let frame = Bytes::copy_from_slice(document.as_bytes());
        let envelope = Envelope::read_cached(&frame, &mut cache).unwrap();
        (
            envelope.from.map(|from| from.to_string()),
            envelope.to.map(|to| to.to_string()),
        )
    };
    let (romeo, juliet) = (
        "romeo@montague.example/orchard",
        "juliet@capulet.example/balcony",
    );
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(from(CHUNK), (some(romeo), some(juliet)));
    assert_eq!(from(RESULT), (some(romeo), None));
    let turned = format!("<iq from='{juliet}' to='{romeo}' id='i' type='result'/>");
    assert_eq!(from(&turned), (some(juliet), some(romeo)));
    for changed in [
        "romeo@montague.example/Orchard",
        "romeo@montague.example/orchar",
        "romeo@montague.example",
    ] {
        let document = RESULT.replace(romeo, changed);
        assert_eq!(from(&document), (some(changed), None));
    }
    assert_eq!(from("<iq id='i' type='result'/>"), (None, None));
    assert_eq!(from(CHUNK), (some(romeo), some(juliet)));
    // An error is no answer of the address before.
    let wrong = Bytes::from(RESULT.replace(romeo, "@"));
    assert!(Envelope::read_cached(&wrong, &mut cache).is_err());
}

/// The pieces that the two consist of, and others that could stand there.
const PIECES: &[&str] = &[
    "<iq",
    "<message",
    "<presence",
    "</message>",
    "<body>",
    "</body>",
    "<a:b/>",
    "]]>",
    "<data",
    "</data>",
    "</iq>",
    ">",
    "/>",
    " ",
    "QUJD",
    "QQ==",
    "=",
    " type='set'",
    " type='result'",
    " id='q1'",
    " id=\"q'1\"",
    " from='a@b/c'",
    " to='a@B/c d'",
    " to='é@b/c'",
    " to=''",
    " xmlns='jabber:client'",
    " xmlns='http://jabber.org/protocol/ibb'",
    " xmlns:a='b'",
    " xmlns:iq=''",
    " xml:lang='en'",
    " a:b='c'",
    " seq='0'",
    " seq='00001'",
    " sid='s'",
    " sid='&#115;'",
    " sid=s",
    "\n",
    "\u{1}",
    "é",
    "&",
    "<!--",
    "<?a?>",
    "'",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn one_pass_over_any_pieces_agrees(pieces in vec(proptest::sample::select(PIECES), 0..14)) {
        agrees(pieces.concat().as_bytes())?;
    }

    #[test]
    fn one_pass_over_a_changed_stanza_agrees(
        which in proptest::sample::select(&[CHUNK, RESULT]),
        changes in vec((any::<prop::sample::Index>(), 0..3u8, proptest::sample::select(PIECES), any::<u8>()), 1..4),
    ) {
        let mut document = which.as_bytes().to_vec();
        for (at, what, piece, byte) in changes {
            let at = at.index(document.len());
            match what {
                0 => document[at] = byte,
                1 => drop(document.splice(at..at, piece.bytes())),
                _ => drop(document.remove(at)),
            }
            if document.is_empty() {
                break;
            }
        }
        agrees(&document)?;
    }

    #[test]
    fn one_pass_over_attributes_in_any_order_agrees(
        outer in Just(vec![" xmlns='jabber:client'", " from='a@b/c'", " to='d@e'", " id='i'", " type='set'"]).prop_shuffle(),
        inner in Just(vec![" xmlns='http://jabber.org/protocol/ibb'", " seq='65535'", " sid='x.y'"]).prop_shuffle(),
        left_out in 0..12usize,
    ) {
        let without = |all: Vec<&str>, at: usize| all.into_iter().enumerate().filter(|(n, _)| *n != at).map(|(_, a)| a).collect::<String>();
        let (outer, inner) = (without(outer, left_out), without(inner, left_out.wrapping_sub(5)));
        let document = format!("<iq{outer}><data{inner}>QUJD</data></iq>");
        agrees(document.as_bytes())?;
    }
}
