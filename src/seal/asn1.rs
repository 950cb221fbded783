//! Reading DER over the original bytes: what was signed is a piece of the file, never something written anew.
use der::asn1::AnyRef;
use der::{DateTime, Decode, Reader as _, SliceReader, Tag};

/// Elements of one structure that are read at most: a bound on what a hostile file can make us hold.
const PIECES_MAX: usize = 4_096;

/// Why bytes are not the structure they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

impl Malformed {
    /// With what is wrong.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl From<der::Error> for Malformed {
    fn from(error: der::Error) -> Self {
        Self(format!("not DER: {error}"))
    }
}

/// What reading gives.
pub type Read<T> = Result<T, Malformed>;

/// The elements of a SEQUENCE, each whole (tag, length and value) and as it stands in the file.
///
/// # Errors
/// Another tag, trailing bytes, lengths that are not minimal, more than 4 096 elements.
pub fn pieces(tlv: &[u8]) -> Read<Vec<&[u8]>> {
    inside(tlv, Tag::Sequence)
}

/// The elements of a SET, as [`pieces`].
///
/// # Errors
/// As [`pieces`].
pub fn set(tlv: &[u8]) -> Read<Vec<&[u8]>> {
    inside(tlv, Tag::Set)
}

fn inside(tlv: &[u8], tag: Tag) -> Read<Vec<&[u8]>> {
    let outer = AnyRef::from_der(tlv)?;
    if outer.header().tag() != tag {
        return Err(Malformed::new(format!("not a {tag}")));
    }
    elements(outer.value())
}

/// The elements of a value, each whole.
///
/// # Errors
/// As [`pieces`].
pub fn elements(value: &[u8]) -> Read<Vec<&[u8]>> {
    let mut reader = SliceReader::new(value)?;
    let mut found = Vec::new();
    while !reader.is_finished() {
        if found.len() == PIECES_MAX {
            return Err(Malformed::new("too many elements"));
        }
        found.push(reader.tlv_bytes()?);
    }
    Ok(found)
}

/// One element of any kind.
///
/// # Errors
/// Where it is not exactly one.
pub fn any(tlv: &[u8]) -> Read<AnyRef<'_>> {
    Ok(AnyRef::from_der(tlv)?)
}

/// An element of one derived type.
///
/// # Errors
/// Where it is not.
pub fn decode<'a, T: Decode<'a>>(tlv: &'a [u8]) -> Read<T>
where
    Malformed: From<<T as Decode<'a>>::Error>,
{
    Ok(T::from_der(tlv)?)
}

/// The bytes of an OCTET STRING.
///
/// # Errors
/// Another tag.
pub fn octets<'a>(element: AnyRef<'a>) -> Read<&'a [u8]> {
    if element.header().tag() == Tag::OctetString {
        return Ok(element.value());
    }
    Err(Malformed::new("not an OCTET STRING"))
}

/// The bytes of a BIT STRING without unused bits.
///
/// # Errors
/// Another tag, or unused bits.
pub fn bits<'a>(element: AnyRef<'a>) -> Read<&'a [u8]> {
    match (element.header().tag(), element.value().split_first()) {
        (Tag::BitString, Some((0, bytes))) => Ok(bytes),
        _ => Err(Malformed::new("not a BIT STRING of whole bytes")),
    }
}

/// The text of any string type. Bytes that are no UTF-8 become U+FFFD: a name is shown, never decided on.
///
/// # Errors
/// Another tag.
pub fn text(element: AnyRef<'_>) -> Read<String> {
    match element.header().tag() {
        Tag::Utf8String | Tag::Ia5String | Tag::PrintableString | Tag::TeletexString | Tag::VisibleString => {
            Ok(String::from_utf8_lossy(element.value()).into_owned())
        }
        Tag::BmpString => {
            let (pairs, _) = element.value().as_chunks::<2>();
            Ok(char::decode_utf16(pairs.iter().map(|pair| u16::from_be_bytes(*pair)))
                .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect())
        }
        _ => Err(Malformed::new("not a string")),
    }
}

/// A time in UTC, as Unix seconds: GeneralizedTime or UTCTime ending in `Z` (a fraction of a second is dropped).
///
/// # Errors
/// Another tag, no `Z`, no such moment, or a year before 1970.
pub fn time(element: AnyRef<'_>) -> Read<u64> {
    let digits = std::str::from_utf8(element.value()).ok().and_then(|text| text.strip_suffix('Z'));
    let digits = digits.ok_or_else(|| Malformed::new("a time not in UTC"))?;
    match element.header().tag() {
        Tag::GeneralizedTime => moment(digits.split_once('.').map_or(digits, |(whole, _)| whole)),
        Tag::UtcTime => {
            let century = if digits.get(..2).is_some_and(|year| year < "50") { "20" } else { "19" };
            moment(&format!("{century}{digits}"))
        }
        _ => Err(Malformed::new("not a time")),
    }
}

/// `YYYYMMDDHHMMSS` in UTC, as Unix seconds.
///
/// # Errors
/// Not 14 digits, or no such moment.
pub fn moment(digits: &str) -> Read<u64> {
    let bad = || Malformed::new("not a moment");
    if digits.len() != 14 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let number = |range: std::ops::Range<usize>| -> Read<u16> {
        digits.get(range).and_then(|part| part.parse().ok()).ok_or_else(bad)
    };
    let small = |range| number(range).and_then(|n| u8::try_from(n).map_err(|_| bad()));
    let date = DateTime::new(number(0..4)?, small(4..6)?, small(6..8)?, small(8..10)?, small(10..12)?, small(12..14)?)?;
    Ok(date.unix_duration().as_secs())
}

/// Unix seconds as `2020-10-10T07:11:20Z`; beyond the year 9999 as a number.
#[must_use]
pub fn show_time(seconds: u64) -> String {
    DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))
        .map_or_else(|_| seconds.to_string(), |date| date.to_string())
}

/// Writes an element: tag, shortest length, value.
#[must_use]
pub fn write(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len();
    let mut out = vec![tag];
    if length < 128 {
        out.push(u8::try_from(length).unwrap_or_default());
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
        out.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
        out.extend(bytes);
    }
    out.extend_from_slice(value);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_files_own_bytes_and_nothing_may_follow_them() {
        let tlv = write(0x30, &[write(2, &[1]), write(4, &[9; 200])].concat());
        let found = pieces(&tlv).unwrap();
        assert_eq!(found, vec![&tlv[3..6], &tlv[6..]]);
        assert!(pieces(&[tlv.as_slice(), &[0]].concat()).is_err());
        assert!(pieces(&[0x30, 0x81, 0x03, 2, 1, 1]).is_err(), "a length that is not the shortest");
        assert!(pieces(&[0x30, 0x80, 2, 1, 1, 0, 0]).is_err(), "an indefinite length");
        assert!(pieces(&write(4, &[])).is_err());
    }

    #[test]
    fn times_are_read_in_utc_or_not_at_all() {
        let generalized = |text: &str| time(any(&write(24, text.as_bytes())).unwrap());
        assert_eq!(generalized("20201010071120Z"), Ok(1_602_313_880));
        assert_eq!(generalized("20201010071120.302Z"), Ok(1_602_313_880));
        assert_eq!(time(any(&write(23, b"201010071120Z")).unwrap()), Ok(1_602_313_880));
        assert!(generalized("20201010151120+0800").is_err() && generalized("20201310071120Z").is_err());
        assert_eq!(show_time(1_602_313_880), "2020-10-10T07:11:20Z");
    }
}
