//! The structures of an electronic seal and of a signature made with one, in their three generations.
//!
//! GM/T 0031-2014 (V1), GB/T 38540-2020 (V4), GM/T 0031-2025 (V5). What is signed is kept as it stands in the file; nothing is
//! ever encoded anew. Deliberately absent: any judgement, which is [`judge`](super::judge)'s.
use der::Sequence;
use der::asn1::{AnyRef, ObjectIdentifier};

use super::asn1::{self, Malformed, Read};

/// The generation of a seal, from its shape and its header's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// GM/T 0031-2014.
    V1,
    /// GB/T 38540-2020.
    V4,
    /// GM/T 0031-2025.
    V5,
}

impl Generation {
    /// `SES-1`, `SES-4` or `SES-5`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "SES-1",
            Self::V4 => "SES-4",
            Self::V5 => "SES-5",
        }
    }
}

/// Who may use a seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signers {
    /// DER certificates.
    Certificates(Vec<Vec<u8>>),
    /// Digests of certificates, each with its algorithm's name or OID.
    Digests(Vec<(String, Vec<u8>)>),
}

/// What a seal looks like; never decoded here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// `png`, `ofd`, `GIF` …, as written.
    pub kind: String,
    /// The picture's bytes.
    pub data: Vec<u8>,
    /// Width in millimetres.
    pub width_mm: u32,
    /// Height in millimetres.
    pub height_mm: u32,
}

/// An extension of a seal or of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Which one.
    pub id: ObjectIdentifier,
    /// Whether it says that who does not know it must not accept.
    pub critical: bool,
    /// Its value.
    pub value: Vec<u8>,
}

/// An electronic seal (SESeal).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The whole seal as it stands in the file.
    pub bytes: Vec<u8>,
    /// Generation.
    pub generation: Generation,
    /// The header's version number.
    pub version: u32,
    /// Vendor.
    pub vendor: String,
    /// Seal identifier (esID, 印章标识); 14 digits when filed with the police.
    pub id: String,
    /// Kind of seal as its maker numbers it.
    pub kind: u32,
    /// Name (印章名称).
    pub name: String,
    /// Who may sign with it.
    pub signers: Signers,
    /// When it was made, Unix seconds.
    pub created_s: u64,
    /// From when it may be used, Unix seconds.
    pub valid_from_s: u64,
    /// Until when, Unix seconds.
    pub valid_until_s: u64,
    /// What it looks like.
    pub picture: Picture,
    /// Extensions.
    pub extensions: Vec<Extension>,
    /// The maker's certificate (制章者), DER.
    pub maker_certificate: Vec<u8>,
    /// The algorithm the maker names.
    pub algorithm: ObjectIdentifier,
    /// What the maker signed.
    pub signed: Vec<u8>,
    /// The maker's signature.
    pub signature: Vec<u8>,
    /// A time stamp over the signature (V5).
    pub time_stamp: Option<Vec<u8>>,
}

/// A signature made with a seal (SES_Signature).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealSignature {
    /// The version number it states; equal to its seal's.
    pub version: u32,
    /// The seal it was made with.
    pub seal: Seal,
    /// When, Unix seconds; `None` where V1 gives a time stamp token or text that is no time.
    pub at_s: Option<u64>,
    /// What the hash of the document should be.
    pub data_hash: Vec<u8>,
    /// What is protected: in OFD the path of the `Signature.xml`.
    pub property: String,
    /// Extensions.
    pub extensions: Vec<Extension>,
    /// The signer's certificate (签章者), DER.
    pub certificate: Vec<u8>,
    /// The algorithm the signer names.
    pub algorithm: ObjectIdentifier,
    /// What the signer signed (TBS_Sign).
    pub signed: Vec<u8>,
    /// The signer's signature.
    pub signature: Vec<u8>,
    /// A time stamp over the signature (V4, V5), or V1's token.
    pub time_stamp: Option<Vec<u8>>,
}

impl Seal {
    /// Reads a seal.
    ///
    /// # Errors
    /// What is wrong with its structure.
    pub fn parse(bytes: &[u8]) -> Read<Self> {
        let outer = asn1::pieces(bytes)?;
        let (info, maker_certificate, algorithm, signature, time_stamp) = match outer.as_slice() {
            [info, sign_info] => match asn1::pieces(sign_info)?.as_slice() {
                [certificate, algorithm, signature] => (*info, *certificate, *algorithm, *signature, None),
                _ => return Err(Malformed::new("a V1 seal's signInfo has three elements")),
            },
            [info, certificate, algorithm, signature] => (*info, *certificate, *algorithm, *signature, None),
            [info, certificate, algorithm, signature, stamp] => {
                (*info, *certificate, *algorithm, *signature, Some(time_stamp(stamp)?))
            }
            _ => return Err(Malformed::new("a seal has two, four or five elements")),
        };
        let read = Info::read(info, outer.len() == 2)?;
        let generation = match (outer.len(), read.version) {
            (2, 1..=3) => Generation::V1,
            (4, 4) => Generation::V4,
            (4 | 5, 5) => Generation::V5,
            (shape, version) => {
                return Err(Malformed::new(format!("a seal of {shape} elements cannot be version {version}")));
            }
        };
        // V1 signs information, certificate and algorithm together; V4 and V5 sign the information alone.
        let signed = match generation {
            Generation::V1 => asn1::write(0x30, &[info, maker_certificate, algorithm].concat()),
            Generation::V4 | Generation::V5 => info.to_vec(),
        };
        Ok(Self {
            bytes: bytes.to_vec(),
            generation,
            version: read.version,
            vendor: read.vendor,
            id: read.id,
            kind: read.kind,
            name: read.name,
            signers: read.signers,
            created_s: read.created_s,
            valid_from_s: read.valid_from_s,
            valid_until_s: read.valid_until_s,
            picture: read.picture,
            extensions: read.extensions,
            maker_certificate: asn1::octets(asn1::any(maker_certificate)?)?.to_vec(),
            algorithm: asn1::decode(algorithm)?,
            signed,
            signature: asn1::bits(asn1::any(signature)?)?.to_vec(),
            time_stamp,
        })
    }
}

impl SealSignature {
    /// Reads a signature made with a seal.
    ///
    /// # Errors
    /// What is wrong with its structure.
    pub fn parse(bytes: &[u8]) -> Read<Self> {
        match asn1::pieces(bytes)?.as_slice() {
            [signed, signature] => Self::v1(signed, signature),
            [signed, certificate, algorithm, signature] => Self::v4(signed, certificate, algorithm, signature, None),
            [signed, certificate, algorithm, signature, stamp] => {
                Self::v4(signed, certificate, algorithm, signature, Some(time_stamp(stamp)?))
            }
            _ => Err(Malformed::new("a seal's signature has two, four or five elements")),
        }
    }

    fn v1(signed: &[u8], signature: &[u8]) -> Read<Self> {
        let inner = asn1::pieces(signed)?;
        let [version, seal, at, hash, property, certificate, algorithm] = inner.as_slice() else {
            return Err(Malformed::new("a V1 TBS_Sign has seven elements"));
        };
        let seal = Seal::parse(seal)?;
        if seal.generation != Generation::V1 {
            return Err(Malformed::new("a V1 signature over a seal of another generation"));
        }
        let at = asn1::bits(asn1::any(at)?)?;
        let at_s = time_of_text(at);
        Ok(Self {
            version: asn1::decode(version)?,
            seal,
            at_s,
            data_hash: asn1::bits(asn1::any(hash)?)?.to_vec(),
            property: asn1::text(asn1::any(property)?)?,
            extensions: Vec::new(),
            certificate: asn1::octets(asn1::any(certificate)?)?.to_vec(),
            algorithm: asn1::decode(algorithm)?,
            signed: signed.to_vec(),
            signature: asn1::bits(asn1::any(signature)?)?.to_vec(),
            time_stamp: (at_s.is_none() && at.first() == Some(&0x30)).then(|| at.to_vec()),
        })
    }

    fn v4(signed: &[u8], certificate: &[u8], algorithm: &[u8], signature: &[u8], stamp: Option<Vec<u8>>) -> Read<Self> {
        let inner = asn1::pieces(signed)?;
        let ([version, seal, at, hash, property], rest) =
            inner.split_first_chunk::<5>().ok_or_else(|| Malformed::new("a TBS_Sign has five or six elements"))?;
        let extensions = match rest {
            [] => Vec::new(),
            [tagged] => extensions(explicit(tagged)?)?,
            _ => return Err(Malformed::new("a TBS_Sign has five or six elements")),
        };
        let seal = Seal::parse(seal)?;
        if seal.generation == Generation::V1 {
            return Err(Malformed::new("a V4 or V5 signature over a V1 seal"));
        }
        Ok(Self {
            version: asn1::decode(version)?,
            seal,
            at_s: Some(asn1::time(asn1::any(at)?)?),
            data_hash: asn1::bits(asn1::any(hash)?)?.to_vec(),
            property: asn1::text(asn1::any(property)?)?,
            extensions,
            certificate: asn1::octets(asn1::any(certificate)?)?.to_vec(),
            algorithm: asn1::decode(algorithm)?,
            signed: signed.to_vec(),
            signature: asn1::bits(asn1::any(signature)?)?.to_vec(),
            time_stamp: stamp,
        })
    }
}

#[derive(Sequence)]
struct HeaderDer<'a> {
    id: AnyRef<'a>,
    version: u32,
    vendor: AnyRef<'a>,
}

/// V4 and V5; V1 has no `list_type`.
#[derive(Sequence)]
struct PropertyDer<'a> {
    kind: u32,
    name: AnyRef<'a>,
    #[asn1(optional = "true")]
    list_type: Option<u32>,
    list: AnyRef<'a>,
    created: AnyRef<'a>,
    valid_from: AnyRef<'a>,
    valid_until: AnyRef<'a>,
}

#[derive(Sequence)]
struct PictureDer<'a> {
    kind: AnyRef<'a>,
    data: AnyRef<'a>,
    width: u32,
    height: u32,
}

#[derive(Sequence)]
struct ExtensionDer<'a> {
    id: ObjectIdentifier,
    // Written in the field even where FALSE, though DER would leave a default out: both are read.
    #[asn1(optional = "true")]
    critical: Option<bool>,
    value: AnyRef<'a>,
}

#[derive(Sequence)]
struct DigestDer<'a> {
    algorithm: AnyRef<'a>,
    value: AnyRef<'a>,
}

/// SES_SealInfo, read.
struct Info {
    version: u32,
    vendor: String,
    id: String,
    kind: u32,
    name: String,
    signers: Signers,
    created_s: u64,
    valid_from_s: u64,
    valid_until_s: u64,
    picture: Picture,
    extensions: Vec<Extension>,
}

impl Info {
    fn read(info: &[u8], v1: bool) -> Read<Self> {
        let parts = asn1::pieces(info)?;
        let ([header, id, property, picture], rest) = parts
            .split_first_chunk::<4>()
            .ok_or_else(|| Malformed::new("a seal's information has four or five elements"))?;
        let extensions = match rest {
            [] => Vec::new(),
            [list] => extensions(list)?,
            _ => return Err(Malformed::new("a seal's information has four or five elements")),
        };
        let header: HeaderDer<'_> = asn1::decode(header)?;
        if asn1::text(header.id)? != "ES" {
            return Err(Malformed::new("a seal's header begins with ES"));
        }
        let property: PropertyDer<'_> = asn1::decode(property)?;
        let picture: PictureDer<'_> = asn1::decode(picture)?;
        let signers = match (v1, property.list_type) {
            (true, None) | (false, Some(1)) => Signers::Certificates(certificates(property.list)?),
            (false, Some(2)) => Signers::Digests(digests(property.list)?),
            _ => return Err(Malformed::new("a list of signers is of type 1 or 2, and V1 does not say")),
        };
        Ok(Self {
            version: header.version,
            vendor: asn1::text(header.vendor)?,
            id: asn1::text(asn1::any(id)?)?,
            kind: property.kind,
            name: asn1::text(property.name)?,
            signers,
            created_s: asn1::time(property.created)?,
            valid_from_s: asn1::time(property.valid_from)?,
            valid_until_s: asn1::time(property.valid_until)?,
            picture: Picture {
                kind: asn1::text(picture.kind)?,
                data: asn1::octets(picture.data)?.to_vec(),
                width_mm: picture.width,
                height_mm: picture.height,
            },
            extensions,
        })
    }
}

/// Whatever stands in the list is kept by its bytes, as real seals list other things too: only the signer's certificate matches.
fn certificates(list: AnyRef<'_>) -> Read<Vec<Vec<u8>>> {
    sequence(list)?.into_iter().map(|item| Ok(asn1::any(item)?.value().to_vec())).collect()
}

fn digests(list: AnyRef<'_>) -> Read<Vec<(String, Vec<u8>)>> {
    let read = |item| {
        let digest: DigestDer<'_> = asn1::decode(item)?;
        Ok((asn1::text(digest.algorithm)?, asn1::octets(digest.value)?.to_vec()))
    };
    sequence(list)?.into_iter().map(read).collect()
}

fn sequence(list: AnyRef<'_>) -> Read<Vec<&[u8]>> {
    if list.header().tag() != der::Tag::Sequence {
        return Err(Malformed::new("a list is a SEQUENCE"));
    }
    asn1::elements(list.value())
}

fn extensions(list: &[u8]) -> Read<Vec<Extension>> {
    let read = |item| {
        let extension: ExtensionDer<'_> = asn1::decode(item)?;
        Ok(Extension {
            id: extension.id,
            critical: extension.critical.unwrap_or(false),
            value: asn1::octets(extension.value)?.to_vec(),
        })
    };
    asn1::pieces(list)?.into_iter().map(read).collect()
}

/// The element inside `[0] EXPLICIT`.
fn explicit(tlv: &[u8]) -> Read<&[u8]> {
    match (tlv.first(), asn1::elements(asn1::any(tlv)?.value())?.as_slice()) {
        (Some(0xa0), [inner]) => Ok(inner),
        _ => Err(Malformed::new("not [0] with one element")),
    }
}

fn time_stamp(tlv: &[u8]) -> Read<Vec<u8>> {
    Ok(asn1::bits(asn1::any(explicit(tlv)?)?)?.to_vec())
}

/// V1's time: `20200125073156Z`, `2020-01-25T07:31:56.377Z` and the like, in UTC only.
fn time_of_text(bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    if !whole.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | 'T' | ' ')) {
        return None;
    }
    asn1::moment(&whole.chars().filter(char::is_ascii_digit).collect::<String>()).ok()
}
