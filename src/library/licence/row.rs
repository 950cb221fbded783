//! What is stored of a licence, and finding the version that is asked about.
use crate::failure::{Failure, Reason};
use crate::library::codes::HolderCode;
use crate::library::record::{Moment, Opened, View};
use crate::library::schema::Library;
use crate::store::key_space::IndexKey;
use crate::wire::proto::library::v1::DepartmentSignature;
use crate::wire::proto::licence::v1::LicenceContent;
use bytes::Bytes;
use prost::Message;

/// One state of one licence version. All versions of a serial are rows of one record. Tags are stored for ever.
#[derive(Clone, PartialEq, Message)]
pub struct LicenceRow {
    /// The signed bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub content: Bytes,
    /// The authority's signature over them.
    #[prost(message, optional, tag = "2")]
    pub signature: Option<DepartmentSignature>,
    /// SHA-256 of the signed bytes, as verified at intake.
    #[prost(bytes = "bytes", tag = "3")]
    pub content_sha256: Bytes,
    /// SHA-256 of the signer's certificate.
    #[prost(bytes = "bytes", tag = "4")]
    pub issuer_certificate_sha256: Bytes,
    /// When signature and chain were verified, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub verified_at_ms: u64,
    /// The version in the identifier, 1 for `001`.
    #[prost(uint32, tag = "6")]
    pub licence_version: u32,
    /// A `LicenceState` that was ordered; expiry by date is computed, not stored.
    #[prost(int32, tag = "7")]
    pub state: i32,
    /// The day the state holds from, `YYYYMMDD`.
    #[prost(uint32, tag = "8")]
    pub state_since: u32,
    /// The document that ordered the state; empty for the issue itself.
    #[prost(string, tag = "9")]
    pub document_number: String,
    /// The signed order.
    #[prost(bytes = "bytes", tag = "10")]
    pub order: Bytes,
    /// Its signature.
    #[prost(message, optional, tag = "11")]
    pub order_signature: Option<DepartmentSignature>,
    /// SM3 of the version's file, as its authority's system handed it in; empty: it handed in none.
    #[prost(bytes = "bytes", tag = "12")]
    pub file_sm3: Bytes,
}

/// What the hub was told about an issuer's key.
#[derive(Clone, PartialEq, Message)]
pub struct IssuerKeyRow {
    /// True while it is distrusted.
    #[prost(bool, tag = "1")]
    pub distrusted: bool,
    /// The document that ordered it.
    #[prost(string, tag = "2")]
    pub document_number: String,
    /// Why.
    #[prost(string, tag = "3")]
    pub reason: String,
}

impl LicenceRow {
    /// The licence, after its bytes have been held against the digest whose signature was verified.
    ///
    /// # Errors
    /// [`Reason::RecordDamaged`].
    pub fn licence(&self) -> Result<LicenceContent, Failure> {
        use sha2::{Digest, Sha256};
        if Sha256::digest(&self.content).as_slice() != self.content_sha256.as_ref() {
            return Err(Failure::new(Reason::RecordDamaged).because("licence bytes do not hash to the verified digest"));
        }
        LicenceContent::decode(self.content.clone())
            .map_err(|e| Failure::new(Reason::RecordDamaged).because(format!("licence content: {e}")))
    }
}

/// The row of a licence version at a moment: its newest state then. `None` asks for the version current at the moment.
///
/// # Errors
/// As [`View::newest`].
pub async fn version_at(
    view: &View,
    index_key: &IndexKey,
    licence_version: Option<u16>,
    moment: Moment,
) -> Result<Option<Opened>, Failure> {
    let Some(current) = view.at(Library::Licence, index_key, moment).await? else { return Ok(None) };
    let Some(wanted) = licence_version.map(u32::from) else { return Ok(Some(current)) };
    let row: LicenceRow = current.body()?;
    if row.licence_version == wanted {
        return Ok(Some(current));
    }
    // An earlier version: its last state before the next version took its place.
    for opened in view.versions(Library::Licence, index_key, 1_000).await? {
        let visible = opened.row.valid_from <= crate::library::day::number(moment.day);
        let recorded = match moment.position {
            Some(position) => view.stamp(&opened).await?.is_some_and(|stamp| stamp.index < position),
            None => true,
        };
        if visible && recorded && opened.body::<LicenceRow>()?.licence_version == wanted {
            return Ok(Some(opened));
        }
    }
    Ok(None)
}

/// Whether a holder is among those the licence names.
///
/// # Errors
/// Damage.
pub fn held_by(row: &LicenceRow, holder: &HolderCode) -> Result<bool, Failure> {
    let licence = row.licence()?;
    let codes = licence.holders.iter().filter_map(|h| h.code.as_ref());
    Ok(codes.into_iter().any(|c| c.code == holder.code() && c.code_type == holder.code_type().as_str()))
}
