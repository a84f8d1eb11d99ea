//! The parts of a certificate that are told to people (RFC 5280 §4.1). Whether it holds is for rustls to say.

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{DateTime, Decode as _, Reader as _, Result, SliceReader, Tag, TagNumber, Tagged as _};

/// A certificate in DER, taken apart.
#[derive(Debug)]
pub(super) struct X509<'a> {
    /// The issuer's name, with its tag and length.
    pub(super) issuer: &'a [u8],
    /// The subject's name, likewise.
    pub(super) subject: &'a [u8],
    /// Its first moment, if it is one since 1970.
    pub(super) not_before: Option<DateTime>,
    /// Its last one.
    pub(super) not_after: Option<DateTime>,
    /// SubjectPublicKeyInfo, with its tag and length.
    pub(super) key: &'a [u8],
    /// Kinds and values.
    extensions: Vec<(&'a [u8], &'a [u8])>,
}

impl<'a> X509<'a> {
    pub(super) fn read(certificate: &'a [u8]) -> Result<Self> {
        let mut reader = SliceReader::new(certificate)?;
        let parts = reader.sequence(|reader| {
            let parts = reader.sequence(Self::to_be_signed)?;
            reader.tlv_bytes()?; // algorithm
            reader.tlv_bytes()?; // signature
            Result::Ok(parts)
        })?;
        reader.finish()?;
        Ok(parts)
    }

    fn to_be_signed(reader: &mut SliceReader<'a>) -> Result<Self> {
        if Tag::peek(reader)? == explicit(0) {
            reader.tlv_bytes()?; // version
        }
        reader.tlv_bytes()?; // serial number
        reader.tlv_bytes()?; // algorithm
        let issuer = reader.tlv_bytes()?;
        let (not_before, not_after) =
            reader.sequence(|reader| Result::Ok((date(reader)?, date(reader)?)))?;
        let subject = reader.tlv_bytes()?;
        let key = reader.tlv_bytes()?;
        let mut extensions = Vec::new();
        while !reader.is_finished() {
            let any = AnyRef::decode(reader)?;
            // Before them there may be unique identifiers.
            if any.tag() == explicit(3) {
                for extension in Values::of(sole(any.value(), Tag::Sequence)?)? {
                    extensions.push(kind_and_value(extension?)?);
                }
            }
        }
        Ok(Self {
            issuer,
            subject,
            not_before,
            not_after,
            key,
            extensions,
        })
    }

    /// The values of the extensions of this kind; RFC 5280 §4.2 allows one.
    pub(super) fn extensions(&self, kind: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let alike = move |(other, value): &(&[u8], &'a [u8])| (*other == kind).then_some(*value);
        self.extensions.iter().filter_map(alike)
    }
}

/// Values in DER, one after another.
#[derive(Debug)]
pub(super) struct Values<'a>(SliceReader<'a>);

impl<'a> Values<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self> {
        SliceReader::new(bytes).map(Self)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<AnyRef<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let more = !self.0.is_finished() && !self.0.is_failed();
        more.then(|| self.0.decode())
    }
}

/// The content of the one value, with this tag, that these bytes are.
pub(super) fn sole(bytes: &[u8], tag: Tag) -> Result<&[u8]> {
    let any = AnyRef::try_from(bytes)?;
    any.tag().assert_eq(tag)?;
    Ok(any.value())
}

/// The tag `[number]` around another one.
pub(super) const fn explicit(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

/// The tag `[number]` in the place of one of a string.
pub(super) const fn implicit(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: false,
        number: TagNumber(number),
    }
}

/// A name, as `CN=Root, O=Example`.
pub(super) fn name(bytes: &[u8]) -> Result<String> {
    let mut relative = Vec::new();
    for set in Values::of(sole(bytes, Tag::Sequence)?)? {
        let set = set?;
        set.tag().assert_eq(Tag::Set)?;
        let attributes = Values::of(set.value())?.map(|attribute| attribute.and_then(said));
        relative.push(attributes.collect::<Result<Vec<_>>>()?.join(" + "));
    }
    Ok(relative.join(", "))
}

/// An attribute of a name.
fn said(attribute: AnyRef<'_>) -> Result<String> {
    attribute.sequence(|reader| {
        let kind = AnyRef::decode(reader)?;
        kind.tag().assert_eq(Tag::ObjectIdentifier)?;
        let value = AnyRef::decode(reader)?;
        let short = KINDS.iter().find(|(known, _)| *known == kind.value());
        let kind = short.map_or_else(|| dotted(kind.value()), |(_, short)| (*short).to_owned());
        Ok(format!("{kind}={}", text(value)))
    })
}

/// Text of any kind, and anything else as hexadecimal digits.
fn text(value: AnyRef<'_>) -> String {
    let bytes = value.value();
    let text = match value.tag() == Tag::BmpString {
        true => utf16(bytes),
        false => str::from_utf8(bytes).ok().map(ToOwned::to_owned),
    };
    let text = text.filter(|_| TEXTS.contains(&value.tag()));
    text.unwrap_or_else(|| bytes.iter().map(|byte| format!("{byte:02X}")).collect())
}

fn utf16(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks();
    let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
    String::from_utf16(&units).ok().filter(|_| rest.is_empty())
}

/// An object identifier as its numbers (X.690 §8.19).
fn dotted(oid: &[u8]) -> String {
    let numbers = oid.split_inclusive(|byte| *byte < 0x80).map(|bytes| {
        let low = bytes.iter().map(|byte| u128::from(byte & 0x7f));
        low.fold(0, |number: u128, low| number << 7 | low)
    });
    let mut text = String::new();
    for (at, number) in numbers.enumerate() {
        match (at, number) {
            (0, 0..80) => text = format!("{}.{}", number / 40, number % 40),
            (0, _) => text = format!("2.{}", number - 80),
            _ => text += &format!(".{number}"),
        }
    }
    text
}

fn kind_and_value(extension: AnyRef<'_>) -> Result<(&[u8], &[u8])> {
    extension.sequence(|reader| {
        let kind = AnyRef::decode(reader)?;
        kind.tag().assert_eq(Tag::ObjectIdentifier)?;
        if Tag::peek(reader)? == Tag::Boolean {
            reader.tlv_bytes()?; // critical
        }
        let value = AnyRef::decode(reader)?;
        value.tag().assert_eq(Tag::OctetString)?;
        Ok((kind.value(), value.value()))
    })
}

fn date(reader: &mut SliceReader<'_>) -> Result<Option<DateTime>> {
    let any = AnyRef::decode(reader)?;
    let utc = any.decode_as::<UtcTime>().map(|time| time.to_date_time());
    let generalized = |_| {
        any.decode_as::<GeneralizedTime>()
            .map(|time| time.to_date_time())
    };
    Ok(utc.or_else(generalized).ok())
}

const TEXTS: [Tag; 8] = [
    Tag::Utf8String,
    Tag::PrintableString,
    Tag::Ia5String,
    Tag::NumericString,
    Tag::VisibleString,
    Tag::GeneralString,
    Tag::TeletexString,
    Tag::BmpString,
];

/// The kinds of attributes that names of authorities have.
const KINDS: [(&[u8], &str); 9] = [
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
        "DC",
    ),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "Email"),
];

#[cfg(test)]
mod tests;
