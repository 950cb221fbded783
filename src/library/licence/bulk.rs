//! Licences that come by the file (存量证照批量入库): each judged as on the single road, by the same functions.
//!
//! A licence that was issued before there was a hub has its identifier already, and no ticket. In place of the ticket its content is
//! prepared again from what it says itself: what `PrepareLicence` would have given must be those very bytes. All else is as
//! `IssueLicence` demands it: type, authority, issuer, certificate, signature, version 1.
use super::change::{department_named, first_row, holder_keys, issued_type, issuer_is, parse_id, stored};
use super::issuer::{Certified, SignedThing};
use super::{LicenceRow, content_of};
use crate::failure::{Failure, Reason};
use crate::library::question::licence_series;
use crate::library::record::{Row, Source, View};
use crate::store::key_space::IndexKey;
use crate::store::vault::Vault;
use crate::wire::proto::catalogue::v1::Department;
use crate::wire::proto::library::v1::DepartmentSignature;
use crate::wire::proto::licence::v1::{LicenceContent, LicenceType, PrepareLicenceRequest};
use bytes::Bytes;
use prost::Message;

/// The columns of a file of signed licences, with their Chinese names.
///
/// `content`: the signed bytes, a serialised `wuku.licence.v1.LicenceContent`, base64. `signature`: the authority's signature over
/// `"wuku/licence/v1" ‖ 0x00 ‖ content`, base64. `algorithm`: `sm2-sm3`, `ed25519` or `ecdsa-p256-sha256`. `certificates`: the signer's
/// certificate and those above it but the root, DER, each base64, a space between; empty: those of the row before.
pub const FILE_COLUMNS: [(&str, &str); 4] =
    [("content", "证照内容"), ("signature", "签名值"), ("algorithm", "签名算法"), ("certificates", "签名证书")];

/// What licences of one type and one authority are judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Office {
    hub: String,
    kind: LicenceType,
    department: Department,
}

/// A licence whose bytes are those the hub would have prepared.
#[derive(Debug)]
pub struct AsPrepared {
    content: Bytes,
    licence: LicenceContent,
    /// Type, issuer and serial: the key of its record.
    pub series: String,
}

impl Office {
    /// The office of a department for a type.
    ///
    /// # Errors
    /// [`Reason::DepartmentUnknown`], [`Reason::LicenceTypeUnknown`], [`Reason::IssuerNotAuthorised`].
    pub async fn open(view: &View, department: &str, hub: &str, type_code: &str) -> Result<Self, Failure> {
        let department = department_named(view, department).await?;
        let kind = issued_type(view, type_code, &department).await?;
        Ok(Self { hub: hub.to_owned(), kind, department })
    }

    /// The resource its licences belong to.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.kind.resource
    }

    /// Reads the signed bytes of a licence.
    ///
    /// # Errors
    /// [`Reason::LicenceTypeUnknown`] for another type than the office's; [`Reason::IssuerNotAuthorised`];
    /// [`Reason::TransitionNotAllowed`] for a later version than the first; [`Reason::RequestMalformed`] and
    /// [`Reason::LicenceFieldsInvalid`] with every fault; [`Reason::LicenceBytesDiffer`] for bytes that would have been prepared
    /// otherwise.
    pub fn read(&self, content: Bytes) -> Result<AsPrepared, Failure> {
        let licence =
            LicenceContent::decode(content.clone()).map_err(|e| Failure::new(Reason::LicenceBytesDiffer).because(e))?;
        if licence.type_code != self.kind.type_code {
            return Err(Failure::new(Reason::LicenceTypeUnknown).because("the file is for licences of another type"));
        }
        issuer_is(&licence, &self.department)?;
        let id = parse_id(&licence.licence_id, "licence_id")?;
        if id.issuer() != self.department.uscc || id.type_code() != self.kind.type_code {
            return Err(Failure::new(Reason::IssuerNotAuthorised));
        }
        if id.version() != 1 || !licence.previous_licence_id.is_empty() {
            let why = "a later version comes with a change order";
            return Err(Failure::new(Reason::TransitionNotAllowed).because(why));
        }
        let series = licence_series(&id);
        let draft = PrepareLicenceRequest {
            type_code: licence.type_code,
            number: licence.number,
            holders: licence.holders,
            issued_on: licence.issued_on,
            valid_from: licence.valid_from,
            valid_until: licence.valid_until,
            division: licence.division,
            previous_licence_id: licence.previous_licence_id,
            face_fields: licence.face_fields,
            item_code: licence.item_code,
            ..PrepareLicenceRequest::default()
        };
        let licence = content_of(&draft, &self.kind, &self.department, &self.hub, &id.to_string())?;
        // Equal bytes also say that there was nothing unknown, nothing twice, and another hub or name nowhere.
        if licence.encode_to_vec() != content {
            return Err(Failure::new(Reason::LicenceBytesDiffer));
        }
        Ok(AsPrepared { content, licence, series })
    }

    /// Verifies that the office's department signed a licence.
    ///
    /// # Errors
    /// [`Reason::IssuerMismatch`], [`Reason::SignatureInvalid`].
    pub fn verify(
        &self,
        prepared: &AsPrepared,
        certified: &Certified,
        algorithm: &str,
        value: &[u8],
    ) -> Result<(), Failure> {
        self.is_signer(certified)?;
        certified.verify(SignedThing::Licence, &prepared.content, algorithm, value).map(|_| ())
    }

    /// Whether a certificate is one of the office's department.
    ///
    /// # Errors
    /// [`Reason::IssuerMismatch`].
    pub fn is_signer(&self, certified: &Certified) -> Result<(), Failure> {
        if certified.signer()?.uscc == self.department.uscc {
            return Ok(());
        }
        Err(Failure::new(Reason::IssuerMismatch))
    }

    /// The record of a licence whose signature was verified.
    #[must_use]
    pub fn row(
        &self,
        prepared: &AsPrepared,
        certified: &Certified,
        algorithm: &str,
        value: &Bytes,
        source: Source,
        now_ms: u64,
    ) -> Row {
        let signature = DepartmentSignature {
            algorithm: algorithm.to_owned(),
            chain: certified.chain().to_vec(),
            value: value.clone(),
        };
        let AsPrepared { content, licence, series } = prepared;
        let row = first_row(content.clone(), signature, certified.fingerprint(), licence, now_ms);
        stored(&self.kind, series, &row, source)
    }
}

impl AsPrepared {
    /// Where links from its holders begin.
    #[must_use]
    pub fn holder_keys(&self, vault: &Vault) -> Vec<IndexKey> {
        holder_keys(vault, &self.licence).collect()
    }
}

/// Whether a record holds the very bytes that `row` would bring: then there is nothing to do.
///
/// # Errors
/// [`Reason::RecordDamaged`].
pub fn same_content(row: &Row, held: &Row) -> Result<bool, Failure> {
    let content = |row: &Row| LicenceRow::decode(row.body.clone()).map(|row| row.content);
    let damaged = |e| Failure::new(Reason::RecordDamaged).because(format!("a licence row: {e}"));
    Ok(content(row).map_err(damaged)? == content(held).map_err(damaged)?)
}
