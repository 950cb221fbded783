//! Writing GB/T 38540-2020 (V4): the bytes a seal maker signs, the bytes a signer signs, and what both become.
//!
//! Promise: what is written here is read by [`ses`](super::ses) to the same values, and has one encoding: the same draft and signature give
//! the same bytes. Writing and signing are apart, because the key is in another room, device or city system. Deliberately absent:
//! keys, and any judgement of what is written.
use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, Ia5StringRef, ObjectIdentifier, OctetString, OctetStringRef};
use der::{Decode as _, Encode as _, Sequence};
use std::time::Duration;

use super::asn1::Malformed;
use super::certificate::SM2_WITH_SM3;
use super::ses::{Extension, Picture};
use crate::gm::{Digest, Signature};

/// What writing gives; the error says what cannot be written: text outside its alphabet, a moment outside the years 1970 to 9999.
pub type Written<T> = Result<T, Malformed>;

/// The version number of GB/T 38540-2020.
const V4: u32 = 4;
/// `certListType`: the list holds certificates.
const LIST_OF_CERTIFICATES: u32 = 1;

/// A seal before its maker has signed it (SES_SealInfo).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealDraft {
    /// Vendor, ASCII (厂商标识).
    pub vendor: String,
    /// Seal identifier, ASCII (印章标识); 14 digits when filed with the police.
    pub id: String,
    /// Kind of seal as its maker numbers it (印章类型).
    pub kind: u32,
    /// Name (印章名称).
    pub name: String,
    /// Who may sign with it: DER certificates.
    pub signers: Vec<Vec<u8>>,
    /// When it is made, Unix seconds.
    pub created_s: u64,
    /// From when it may be used, Unix seconds.
    pub valid_from_s: u64,
    /// Until when, Unix seconds.
    pub valid_until_s: u64,
    /// What it looks like.
    pub picture: Picture,
    /// Extensions.
    pub extensions: Vec<Extension>,
}

/// The use of a seal before it is signed (TBS_Sign).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseDraft<'a> {
    /// The seal, whole, as it stands in its file.
    pub seal: &'a [u8],
    /// When, Unix seconds.
    pub at_s: u64,
    /// SM3 of what is sealed.
    pub data_hash: Digest,
    /// What is protected, ASCII (签名原文属性信息).
    pub property: &'a str,
}

impl SealDraft {
    /// What the maker signs: DER of SES_SealInfo.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn to_sign(&self) -> Written<Vec<u8>> {
        let signers = self.signers.iter().map(|der| OctetString::new(der.as_slice())).collect::<Result<_, _>>()?;
        let extensions = self.extensions.iter().map(ExtensionDer::of).collect::<Written<Vec<_>>>()?;
        let info = InfoDer {
            header: HeaderDer { id: Ia5StringRef::new("ES")?, version: V4, vendor: Ia5StringRef::new(&self.vendor)? },
            id: Ia5StringRef::new(&self.id)?,
            property: PropertyDer {
                kind: self.kind,
                name: self.name.clone(),
                list_type: LIST_OF_CERTIFICATES,
                list: signers,
                created: time(self.created_s)?,
                valid_from: time(self.valid_from_s)?,
                valid_until: time(self.valid_until_s)?,
            },
            picture: PictureDer {
                kind: Ia5StringRef::new(&self.picture.kind)?,
                data: OctetStringRef::new(&self.picture.data)?,
                width: self.picture.width_mm,
                height: self.picture.height_mm,
            },
            extensions: (!extensions.is_empty()).then_some(extensions),
        };
        Ok(info.to_der()?)
    }
}

impl UseDraft<'_> {
    /// What the signer signs: DER of TBS_Sign.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn to_sign(&self) -> Written<Vec<u8>> {
        let tbs = UseDer {
            version: V4,
            seal: AnyRef::from_der(self.seal)?,
            at: time(self.at_s)?,
            data_hash: BitStringRef::from_bytes(&self.data_hash)?,
            property: Ia5StringRef::new(self.property)?,
        };
        Ok(tbs.to_der()?)
    }
}

/// A seal (SESeal): what was signed, the maker's certificate (DER), its signature over exactly these bytes.
///
/// # Errors
/// What cannot be written.
pub fn seal(information: &[u8], maker_certificate: &[u8], signature: &Signature) -> Written<Vec<u8>> {
    signed(information, maker_certificate, signature)
}

/// A signature made with a seal (SES_Signature): what was signed, the signer's certificate (DER), its signature.
///
/// # Errors
/// What cannot be written.
pub fn signature(to_sign: &[u8], signer_certificate: &[u8], signature: &Signature) -> Written<Vec<u8>> {
    signed(to_sign, signer_certificate, signature)
}

/// Seal and signature have one shape.
fn signed(content: &[u8], certificate: &[u8], signature: &Signature) -> Written<Vec<u8>> {
    let signature = signature.to_der(); // raw r ‖ s is read, DER is written
    let whole = SignedDer {
        content: AnyRef::from_der(content)?,
        certificate: OctetStringRef::new(certificate)?,
        algorithm: SM2_WITH_SM3,
        signature: BitStringRef::from_bytes(&signature)?,
    };
    Ok(whole.to_der()?)
}

fn time(seconds: u64) -> Written<GeneralizedTime> {
    Ok(GeneralizedTime::from_unix_duration(Duration::from_secs(seconds))?)
}

#[derive(Sequence)]
struct HeaderDer<'a> {
    id: Ia5StringRef<'a>,
    version: u32,
    vendor: Ia5StringRef<'a>,
}

#[derive(Sequence)]
struct PropertyDer {
    kind: u32,
    name: String,
    list_type: u32,
    list: Vec<OctetString>,
    created: GeneralizedTime,
    valid_from: GeneralizedTime,
    valid_until: GeneralizedTime,
}

#[derive(Sequence)]
struct PictureDer<'a> {
    kind: Ia5StringRef<'a>,
    data: &'a OctetStringRef,
    width: u32,
    height: u32,
}

#[derive(Sequence)]
struct ExtensionDer<'a> {
    id: ObjectIdentifier,
    #[asn1(default = "Default::default")]
    critical: bool,
    value: &'a OctetStringRef,
}

impl<'a> ExtensionDer<'a> {
    fn of(extension: &'a Extension) -> Written<Self> {
        let value = OctetStringRef::new(&extension.value)?;
        Ok(Self { id: extension.id, critical: extension.critical, value })
    }
}

#[derive(Sequence)]
struct InfoDer<'a> {
    header: HeaderDer<'a>,
    id: Ia5StringRef<'a>,
    property: PropertyDer,
    picture: PictureDer<'a>,
    #[asn1(optional = "true")]
    extensions: Option<Vec<ExtensionDer<'a>>>,
}

#[derive(Sequence)]
struct UseDer<'a> {
    version: u32,
    seal: AnyRef<'a>,
    at: GeneralizedTime,
    data_hash: BitStringRef<'a>,
    property: Ia5StringRef<'a>,
}

#[derive(Sequence)]
struct SignedDer<'a> {
    content: AnyRef<'a>,
    certificate: &'a OctetStringRef,
    algorithm: ObjectIdentifier,
    signature: BitStringRef<'a>,
}

#[cfg(test)]
mod tests;
