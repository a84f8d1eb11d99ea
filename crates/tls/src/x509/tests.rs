use der::SliceReader;
use proptest::{collection, prelude::*, sample};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::Certificate;
use crate::{
    Identity,
    san::{self, Names},
};

const ALGORITHM: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
const XMPP_ADDR: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x05];
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let head = match u16::try_from(content.len()).unwrap().to_be_bytes() {
        [0, len @ 0..128] => vec![tag, len],
        [0, len] => vec![tag, 0x81, len],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}

fn name(kind: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[kind, value])])])
}

fn dates(first: &[u8], second: &[u8]) -> Vec<u8> {
    tlv(0x30, &[first, second])
}

fn extension(kind: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x06, &[kind]), &tlv(0x04, &[value])])
}

/// A certificate in pieces, each of which can be another one.
#[derive(Clone)]
struct Pieces {
    version: Vec<u8>,
    serial: Vec<u8>,
    inner_algorithm: Vec<u8>,
    issuer: Vec<u8>,
    dates: Vec<u8>,
    subject: Vec<u8>,
    key: Vec<u8>,
    unique_ids: Vec<u8>,
    extensions: Vec<u8>,
    end: Vec<u8>,
    outer_algorithm: Vec<u8>,
    signature: Vec<u8>,
}

impl Pieces {
    fn new() -> Self {
        let cn = name(&[0x06, 0x03, 0x55, 0x04, 0x03], &tlv(0x0c, &[b"xtls"]));
        let address = tlv(0xa0, &[XMPP_ADDR, &tlv(0xa0, &[&tlv(0x0c, &[b"a@b"])])]);
        let names = extension(super::SUBJECT_ALT_NAME, &tlv(0x30, &[&address]));
        Self {
            version: tlv(0xa0, &[&[0x02, 0x01, 0x02]]),
            serial: vec![0x02, 0x01, 0x05],
            inner_algorithm: ALGORITHM.to_vec(),
            issuer: cn.clone(),
            dates: dates(
                &tlv(UTC_TIME, &[b"260102030405Z"]),
                &tlv(GENERALIZED_TIME, &[b"99991231235959Z"]),
            ),
            subject: cn,
            key: tlv(0x30, &[ALGORITHM, &tlv(0x03, &[&[0], &[0x11; 32]])]),
            unique_ids: Vec::new(),
            extensions: tlv(0xa3, &[&tlv(0x30, &[&names])]),
            end: Vec::new(),
            outer_algorithm: ALGORITHM.to_vec(),
            signature: tlv(0x03, &[&[0], &[0x22; 64]]),
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut pieces = Self::new();
        change(&mut pieces);
        pieces.whole()
    }

    fn dated(date: &[u8]) -> Vec<u8> {
        Self::with(|pieces| pieces.dates = dates(date, date))
    }

    fn whole(&self) -> Vec<u8> {
        let signed = tlv(
            0x30,
            &[
                &self.version,
                &self.serial,
                &self.inner_algorithm,
                &self.issuer,
                &self.dates,
                &self.subject,
                &self.key,
                &self.unique_ids,
                &self.extensions,
                &self.end,
            ],
        );
        tlv(0x30, &[&signed, &self.outer_algorithm, &self.signature])
    }
}

fn reads(certificate: &[u8]) -> bool {
    let mut reader = SliceReader::new(certificate).unwrap();
    Certificate::read(&mut reader).is_ok()
}

type Field = fn(&mut Pieces) -> &mut Vec<u8>;

#[test]
fn a_field_that_is_missing_or_another_is_refused() {
    assert!(reads(&Pieces::new().whole()));
    let fields: [Field; 8] = [
        |pieces| &mut pieces.serial,
        |pieces| &mut pieces.inner_algorithm,
        |pieces| &mut pieces.issuer,
        |pieces| &mut pieces.dates,
        |pieces| &mut pieces.subject,
        |pieces| &mut pieces.key,
        |pieces| &mut pieces.outer_algorithm,
        |pieces| &mut pieces.signature,
    ];
    let others: [&[u8]; 5] = [
        &[],
        &[0x05, 0x00],
        &[0x31, 0x00],
        &[0x80, 0x00],
        &[0x30, 0x02, 0x05, 0x00],
    ];
    for (at, field) in fields.into_iter().enumerate() {
        for other in others {
            let certificate = Pieces::with(|pieces| *field(pieces) = other.to_vec());
            assert!(!reads(&certificate), "field {at} as {other:02x?}");
        }
    }
}

#[test]
fn bytes_after_the_last_field_are_refused_at_every_depth() {
    // The first NULL could be the parameters of an algorithm.
    let more = [0x05, 0x00, 0x05, 0x00];
    let fields: [Field; 7] = [
        |pieces| &mut pieces.version,
        |pieces| &mut pieces.inner_algorithm,
        |pieces| &mut pieces.issuer,
        |pieces| &mut pieces.dates,
        |pieces| &mut pieces.key,
        |pieces| &mut pieces.extensions,
        |pieces| &mut pieces.outer_algorithm,
    ];
    for (at, field) in fields.into_iter().enumerate() {
        let certificate = Pieces::with(|pieces| {
            let field = field(pieces);
            *field = tlv(field[0], &[&field[2..], &more]);
        });
        assert!(!reads(&certificate), "field {at}");
    }
    let kind = tlv(0x06, &[&[0x2a, 0x03]]);
    let long = tlv(0x30, &[&kind, &tlv(0x04, &[]), &more]);
    let extension = tlv(0xa3, &[&tlv(0x30, &[&long])]);
    assert!(!reads(
        &Pieces::with(|pieces| pieces.extensions = extension)
    ));
    assert!(!reads(&Pieces::with(|pieces| pieces.end = more.to_vec())));
    assert!(!reads(&Pieces::with(|pieces| pieces
        .signature
        .extend(more))));
}

#[test]
fn a_length_that_is_longer_than_need_be_or_open_is_refused() {
    let cases: [&[u8]; 4] = [
        &[0x02, 0x81, 0x01, 0x05],
        &[0x02, 0x82, 0x00, 0x01, 0x05],
        &[0x22, 0x80, 0x02, 0x01, 0x05, 0x00, 0x00],
        &[0x02, 0x84, 0xff, 0xff, 0xff, 0xff, 0x05],
    ];
    for serial in cases {
        let certificate = Pieces::with(|pieces| pieces.serial = serial.to_vec());
        assert!(!reads(&certificate), "{serial:02x?}");
    }
}

#[test]
fn an_object_identifier_that_ends_within_a_number_or_begins_with_nothing_is_refused() {
    let cases: [&[u8]; 4] = [&[], &[0x2b, 0x85], &[0x80, 0x2b], &[0x2b, 0x80, 0x05]];
    for oid in cases {
        let certificate = Pieces::with(|pieces| {
            pieces.inner_algorithm = tlv(0x30, &[&tlv(0x06, &[oid])]);
        });
        assert!(!reads(&certificate), "{oid:02x?}");
    }
    // Under 2.25 there are numbers of 128 bits.
    let long = [0x69, 0x83, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f].repeat(5);
    assert!(reads(&Pieces::with(|pieces| {
        pieces.extensions = tlv(0xa3, &[&tlv(0x30, &[&extension(&long, b"")])]);
    })));
}

#[test]
fn bits_beyond_the_end_of_a_string_are_refused() {
    let bits = |unused: u8, last: u8| tlv(0x03, &[&[unused, 0x11, last]]);
    for (unused, last, fits) in [(0, 1, true), (3, 8, true), (3, 4, false), (8, 0, false)] {
        let key = tlv(0x30, &[ALGORITHM, &bits(unused, last)]);
        let unique_id = tlv(0x81, &[&bits(unused, last)[2..]]);
        let cases = [
            Pieces::with(|pieces| pieces.key = key),
            Pieces::with(|pieces| pieces.unique_ids = unique_id),
            Pieces::with(|pieces| pieces.signature = bits(unused, last)),
        ];
        for certificate in cases {
            assert_eq!(reads(&certificate), fits, "{unused} beside {last:08b}");
        }
    }
}

#[test]
fn a_name_without_a_type_or_with_an_empty_set_is_refused() {
    let value = tlv(0x0c, &[b"xtls"]);
    let cases = [
        tlv(0x30, &[&tlv(0x31, &[])]),
        tlv(0x30, &[&tlv(0x30, &[&tlv(0x30, &[&value])])]),
        name(&[], &value),
        name(&[0x06, 0x03, 0x55, 0x04, 0x03], &[]),
        name(&[0x06, 0x03, 0x55, 0x04, 0x03], &[0x0c, 0x05, b'x']),
        name(
            &[0x06, 0x03, 0x55, 0x04, 0x03],
            &[value.clone(), value.clone()].concat(),
        ),
    ];
    for name in cases {
        let certificate = Pieces::with(|pieces| pieces.subject = name.clone());
        assert!(!reads(&certificate), "{name:02x?}");
    }
    assert!(reads(&Pieces::with(|pieces| {
        pieces.subject = vec![0x30, 0x00];
    })));
}

#[test]
fn what_is_no_date_is_refused() {
    let cases: [(u8, &[u8]); 16] = [
        (UTC_TIME, b""),
        (UTC_TIME, b"2601020304Z"),
        (UTC_TIME, b"260102030405"),
        (UTC_TIME, b"260102030405+0000"),
        (UTC_TIME, b"261302030405Z"),
        (UTC_TIME, b"260230030405Z"),
        (UTC_TIME, b"260102240000Z"),
        (UTC_TIME, b"260102030460Z"),
        (UTC_TIME, b"+60102030405Z"),
        (UTC_TIME, b"20260102030405Z"),
        (GENERALIZED_TIME, b"260102030405Z"),
        (GENERALIZED_TIME, b"20260102030405.5Z"),
        (GENERALIZED_TIME, b"+0260102030405Z"),
        (GENERALIZED_TIME, b"19000229000000Z"),
        (GENERALIZED_TIME, b"120260102030405Z"),
        (0x04, b"260102030405Z"),
    ];
    for (tag, text) in cases {
        let certificate = Pieces::dated(&tlv(tag, &[text]));
        assert!(!reads(&certificate), "{}", text.escape_ascii());
    }
}

#[test]
fn dates_of_any_year_are_read() {
    let cases: [(u8, &[u8]); 6] = [
        (UTC_TIME, b"500101000000Z"),
        (UTC_TIME, b"000229235959Z"),
        (UTC_TIME, b"491231235959Z"),
        (GENERALIZED_TIME, b"00010101000000Z"),
        (GENERALIZED_TIME, b"16000229000000Z"),
        (GENERALIZED_TIME, b"99991231235959Z"),
    ];
    for (tag, text) in cases {
        let certificate = Pieces::dated(&tlv(tag, &[text]));
        assert!(reads(&certificate), "{}", text.escape_ascii());
    }
}

#[test]
fn fields_that_may_be_absent_or_present_are_read_either_way() {
    let absent = Pieces::with(|pieces| {
        pieces.version.clear();
        pieces.extensions.clear();
    });
    let present = Pieces::with(|pieces| {
        pieces.unique_ids = [tlv(0x81, &[&[0, 1]]), tlv(0x82, &[&[0, 2]])].concat();
    });
    let (_, found) = X509Certificate::from_der(&present).unwrap();
    assert!(found.subject_uid.is_some());
    assert!(reads(&absent) && reads(&present));
    let exchanged = Pieces::with(|pieces| {
        pieces.unique_ids = [tlv(0x82, &[&[0, 2]]), tlv(0x81, &[&[0, 1]])].concat();
    });
    assert!(!reads(&exchanged));
}

#[test]
fn a_deep_nest_takes_no_stack() {
    let deep = (0..5_000).fold(vec![0x05, 0x00], |inner, _| tlv(0x30, &[&inner]));
    let name = name(&[0x06, 0x03, 0x55, 0x04, 0x03], &deep);
    assert!(reads(&Pieces::with(|pieces| pieces.subject = name)));
}

/// The addresses that another reader finds.
fn addresses(certificate: &X509Certificate<'_>) -> Option<Vec<Vec<u8>>> {
    let names = certificate.subject_alternative_name().ok()?;
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let addresses = names.filter_map(|name| {
        let GeneralName::OtherName(kind, value) = name else {
            return None;
        };
        (kind.as_bytes() == &XMPP_ADDR[2..]).then(|| value.to_vec())
    });
    Some(addresses.collect())
}

/// A byte set, inserted or taken out.
#[derive(Debug, Clone)]
enum Edit {
    Set(sample::Index, u8),
    Insert(sample::Index, u8),
    Remove(sample::Index),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Set(at, byte) => *at.get_mut(bytes) = *byte,
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Self::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = prop_oneof![
        any::<u8>(),
        sample::select(
            &[
                0x00, 0x02, 0x03, 0x04, 0x06, 0x0c, 0x30, 0x31, 0x80, 0x81, 0xa0, 0xa3
            ][..]
        )
    ];
    let at = any::<sample::Index>;
    prop_oneof![
        (at(), byte.clone()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), byte).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        at().prop_map(Edit::Remove),
    ]
}

proptest! {
    #[test]
    fn what_is_read_another_reader_finds_too(ours: bool, edits in collection::vec(edit(), 0..4)) {
        let mut certificate = match ours {
            true => Identity::generate("a@b", &zeroize::Zeroizing::new([7; 32]), 1_000_000_000).unwrap().certificate().to_vec(),
            false => Pieces::new().whole(),
        };
        for edit in edits {
            edit.apply(&mut certificate);
        }
        let theirs = X509Certificate::from_der(&certificate);
        if let Ok(key) = san::spki(&certificate) {
            let (_, theirs) = theirs.as_ref().unwrap();
            prop_assert_eq!(theirs.tbs_certificate.subject_pki.raw, key);
        }
        if let Ok(names) = san::names(&certificate) {
            let (_, theirs) = theirs.as_ref().unwrap();
            let addresses = addresses(theirs).unwrap();
            match names {
                Names::None => prop_assert!(addresses.is_empty()),
                Names::One(jid) => {
                    let [value] = addresses.as_slice() else {
                        panic!("{addresses:02x?}");
                    };
                    let text = str::from_utf8(&value[4..]).unwrap();
                    prop_assert_eq!(text.to_ascii_lowercase(), jid);
                }
                Names::Several => prop_assert!(addresses.len() > 1),
            }
        }
    }
}
