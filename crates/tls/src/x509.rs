//! A certificate in DER, read to its last byte (RFC 5280 §4.1).
//!
//! What nobody looks at is read as strictly as the rest: no two readers may find different keys or names in the same bytes.

use der::{
    Decode as _, Reader as _, Result, SliceReader, Tag, TagMode, TagNumber, Tagged as _,
    asn1::{AnyRef, BitStringRef, GeneralizedTime},
};

/// `id-ce-subjectAltName` (RFC 5280 §4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// What is kept of a certificate.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    /// SubjectPublicKeyInfo, with its tag and length.
    pub(crate) spki: &'a [u8],
    /// The value of each subjectAltName extension.
    pub(crate) alternative_names: Vec<&'a [u8]>,
}

impl<'a> Certificate<'a> {
    /// Reads one, and leaves what comes after it.
    pub(crate) fn read(reader: &mut SliceReader<'a>) -> Result<Self> {
        reader.sequence(|reader| {
            let certificate = reader.sequence(Self::to_be_signed)?;
            algorithm(reader)?;
            check_bits(BitStringRef::decode(reader)?)?;
            Ok(certificate)
        })
    }

    fn to_be_signed(reader: &mut SliceReader<'a>) -> Result<Self> {
        reader.context_specific::<u8>(TagNumber(0), TagMode::Explicit)?; // version
        content(reader, Tag::Integer)?; // serial number
        algorithm(reader)?;
        name(reader)?; // issuer
        reader.sequence(|reader| {
            date(reader)?;
            date(reader)
        })?;
        name(reader)?; // subject
        let spki = public_key(reader)?;
        for unique_id in [1, 2] {
            let bits = reader.context_specific(TagNumber(unique_id), TagMode::Implicit)?;
            bits.map_or(Ok(()), check_bits)?;
        }
        let mut alternative_names = Vec::new();
        if !reader.is_finished() {
            let mut inside = SliceReader::new(content(reader, explicit(3))?)?;
            inside.sequence(|reader| {
                while !reader.is_finished() {
                    alternative_names.extend(alternative_name(reader)?);
                }
                Result::Ok(())
            })?;
            inside.finish()?;
        }
        Ok(Self {
            spki,
            alternative_names,
        })
    }
}

/// The content of the next value, which has this tag.
pub(crate) fn content<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> Result<&'a [u8]> {
    let any = AnyRef::decode(reader)?;
    any.tag().assert_eq(tag)?;
    Ok(any.value())
}

/// The tag `[number]` around another one.
pub(crate) fn explicit(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

/// An object identifier, as its bytes: those of other people know no limit.
pub(crate) fn oid<'a>(reader: &mut SliceReader<'a>) -> Result<&'a [u8]> {
    let oid = content(reader, Tag::ObjectIdentifier)?;
    check_oid(oid)?;
    Ok(oid)
}

/// X.690 §8.19.2: base 128, the last byte of each number below 0x80 and no first one 0x80.
pub(crate) fn check_oid(oid: &[u8]) -> Result<()> {
    let whole = oid.last().is_some_and(|last| *last < 0x80);
    let mut numbers = oid.split_inclusive(|byte| *byte < 0x80);
    match whole && numbers.all(|number| number.first() != Some(&0x80)) {
        true => Ok(()),
        false => Err(Tag::ObjectIdentifier.value_error().into()),
    }
}

/// X.690 §11.2.1: bits that belong to the last byte and not to the string are zero.
fn check_bits(bits: BitStringRef<'_>) -> Result<()> {
    let zeros = bits
        .raw_bytes()
        .last()
        .map_or(0, |last| last.trailing_zeros());
    match u32::from(bits.unused_bits()) <= zeros {
        true => Ok(()),
        false => Err(Tag::BitString.value_error().into()),
    }
}

/// Name: a sequence of sets of types with values.
pub(crate) fn name(reader: &mut SliceReader<'_>) -> Result<()> {
    let mut relative = SliceReader::new(content(reader, Tag::Sequence)?)?;
    while !relative.is_finished() {
        let mut attributes = SliceReader::new(content(&mut relative, Tag::Set)?)?;
        if attributes.is_finished() {
            return Err(Tag::Set.value_error().into());
        }
        while !attributes.is_finished() {
            attributes.sequence(|reader| {
                oid(reader)?;
                AnyRef::decode(reader)
            })?;
        }
    }
    Ok(())
}

/// AlgorithmIdentifier: a type, and parameters if it has some.
fn algorithm(reader: &mut SliceReader<'_>) -> Result<()> {
    reader.sequence(|reader| {
        oid(reader)?;
        if !reader.is_finished() {
            AnyRef::decode(reader)?;
        }
        Ok(())
    })
}

/// A date of any year, in one of the forms of RFC 5280 §4.1.2.5.
fn date(reader: &mut SliceReader<'_>) -> Result<()> {
    let any = AnyRef::decode(reader)?;
    let wrong = || any.tag().value_error();
    let (year, rest) = any
        .value()
        .split_last_chunk::<{ "MMDDhhmmssZ".len() }>()
        .ok_or_else(wrong)?;
    let form = match year.len() {
        2 => Tag::UtcTime,
        _ => Tag::GeneralizedTime,
    };
    any.tag().assert_eq(form)?;
    let year: u16 = str::from_utf8(year)
        .ok()
        .filter(|year| matches!(year.len(), 2 | 4) && !year.starts_with('+'))
        .and_then(|year| year.parse().ok())
        .ok_or_else(wrong)?;
    // `der` knows no year before 1970, and calendars repeat after 400.
    let year = format!("{}", 2000 + year % 400);
    let date = [year.as_bytes(), rest].concat();
    AnyRef::new(Tag::GeneralizedTime, &date)?.decode_as::<GeneralizedTime>()?;
    Ok(())
}

/// SubjectPublicKeyInfo: of which kind, and the key.
fn public_key<'a>(reader: &mut SliceReader<'a>) -> Result<&'a [u8]> {
    let all = reader.clone().tlv_bytes()?;
    reader.sequence(|reader| {
        algorithm(reader)?;
        check_bits(BitStringRef::decode(reader)?)
    })?;
    Ok(all)
}

/// One extension; its value if it is subjectAltName.
fn alternative_name<'a>(reader: &mut SliceReader<'a>) -> Result<Option<&'a [u8]>> {
    reader.sequence(|reader| {
        let kind = oid(reader)?;
        if Tag::peek(reader)? == Tag::Boolean {
            bool::decode(reader)?; // critical
        }
        let value = content(reader, Tag::OctetString)?;
        Ok((kind == SUBJECT_ALT_NAME).then_some(value))
    })
}

#[cfg(test)]
mod tests;
