//! How far an import is: one sealed row, moved on only under a check of its version.
//!
//! Whoever moves it names the version it read, so two drivers of one import exclude each other, and a chunk's rows and the
//! state that says so are one commit: after a crash the state tells exactly which rows are in effect.
use super::manifest;
use crate::failure::{Failure, Reason};
use crate::library::record::from_store;
use crate::policy::Caller;
use crate::receipt::sequencer::{Ledger, NotRecorded, Unit};
use crate::store::vault::{Class, Vault};
use crate::store::{Check, Key, Snapshot, key_space};
use crate::wire::proto::intake::v1::{ImportPhase, ImportResponse, Manifest};
use crate::wire::proto::library::v1::DepartmentSignature;
use crate::wire::proto::receipt::v1::Operator;
use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use std::fmt;

/// Names an import: the first 16 bytes of SHA-256 of its manifest. The same manifest is the same import.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImportId(pub [u8; 16]);

impl ImportId {
    /// The import of a manifest.
    #[must_use]
    pub fn of_manifest(bytes: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let [first, _] = digest.as_chunks::<16>().0 else { return Self([0; 16]) };
        Self(*first)
    }

    /// Reads 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ImportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImportId({self})")
    }
}

/// A sorted run of the file's keys: its first row among the run rows, and how many entries.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Run {
    #[prost(uint32, tag = "1")]
    pub(super) first: u32,
    #[prost(uint32, tag = "2")]
    pub(super) rows: u32,
}

/// The stored state. Tags are stored for ever.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Stored {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    /// What the department signed.
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) manifest: Bytes,
    /// Its signature, as verified at the opening.
    #[prost(message, optional, tag = "3")]
    pub(super) signature: Option<DepartmentSignature>,
    #[prost(bool, tag = "4")]
    pub(super) dry_run: bool,
    #[prost(message, optional, tag = "5")]
    pub(super) operator: Option<Operator>,
    /// Who opened it: chunks are applied in this system's name, after a restart too.
    #[prost(string, tag = "6")]
    pub(super) caller_uri: String,
    #[prost(string, tag = "7")]
    pub(super) caller_serial: String,
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) caller_fingerprint: Bytes,
    #[prost(enumeration = "ImportPhase", tag = "10")]
    pub(super) phase: i32,
    /// Bytes and parts that are durable.
    #[prost(uint64, tag = "11")]
    pub(super) staged_bytes: u64,
    #[prost(uint32, tag = "12")]
    pub(super) parts: u32,
    /// Why it is held or refused.
    #[prost(string, tag = "13")]
    pub(super) reason: String,
    /// True once parts and runs are gone.
    #[prost(bool, tag = "14")]
    pub(super) cleaned: bool,
    /// What checking found.
    #[prost(message, repeated, tag = "20")]
    pub(super) runs: Vec<Run>,
    #[prost(uint64, tag = "21")]
    pub(super) rows_checked: u64,
    #[prost(uint64, tag = "22")]
    pub(super) rows_quarantined: u64,
    /// Records the snapshot would remove.
    #[prost(uint64, tag = "23")]
    pub(super) rows_to_remove: u64,
    #[prost(uint64, tag = "24")]
    pub(super) rows_to_change: u64,
    #[prost(uint64, tag = "25")]
    pub(super) rows_to_add: u64,
    #[prost(uint64, tag = "26")]
    pub(super) rows_same: u64,
    /// What is in effect: all rows of the file up to this number, from 1.
    #[prost(uint64, tag = "30")]
    pub(super) rows_done: u64,
    /// Number of the next chunk, from 1.
    #[prost(uint64, tag = "31")]
    pub(super) next_chunk: u64,
    #[prost(uint64, tag = "32")]
    pub(super) rows_applied: u64,
    #[prost(uint64, tag = "33")]
    pub(super) rows_unchanged: u64,
    #[prost(uint64, tag = "34")]
    pub(super) rows_removed: u64,
    /// Who released it.
    #[prost(string, tag = "35")]
    pub(super) released_by: String,
}

/// An import as read: what is stored, and the version it was read at (0: not stored yet).
#[derive(Clone, Debug)]
pub(super) struct Import {
    pub(super) id: ImportId,
    pub(super) version: u64,
    pub(super) stored: Stored,
    pub(super) manifest: Manifest,
}

impl Import {
    /// Reads an import.
    pub(super) async fn load(snapshot: &dyn Snapshot, vault: &Vault, id: ImportId) -> Result<Option<Self>, Failure> {
        let key = key_space::import(&id.0);
        let Some(value) = snapshot.get(&key).await.map_err(from_store)? else { return Ok(None) };
        let plain = vault.open_row(Class::Imports, value.version, key.as_bytes(), &value.body).map_err(damaged)?;
        let stored = Stored::decode(plain.as_slice()).map_err(damaged)?;
        let manifest = manifest::decode(&stored.manifest).map_err(|_| damaged("a stored manifest"))?;
        Ok(Some(Self { id, version: value.version, stored, manifest }))
    }

    /// The phase.
    pub(super) fn phase(&self) -> ImportPhase {
        self.stored.phase()
    }

    /// The system that opened it.
    pub(super) fn caller(&self) -> Result<Caller, Failure> {
        let fingerprint = self.stored.caller_fingerprint.as_ref().try_into().map_err(damaged)?;
        Caller::from_certificate(&self.stored.caller_uri, &self.stored.caller_serial, fingerprint)
            .ok_or_else(|| damaged("a stored caller"))
    }

    /// The row that says `stored`, and the condition that nobody moved the import since it was read.
    pub(super) fn moved_to(&self, vault: &Vault, stored: &Stored) -> Result<(Check, (Key, Bytes)), Failure> {
        let key = key_space::import(&self.id.0);
        let sealed = vault
            .seal_row(Class::Imports, self.version.saturating_add(1), key.as_bytes(), &stored.encode_to_vec())
            .map_err(|e| Failure::new(Reason::Internal).because(e))?;
        let check = match self.version {
            0 => Check::Absent(key.clone()),
            version => Check::Version(key.clone(), version),
        };
        Ok((check, (key, sealed)))
    }

    /// Makes `stored` durable together with a unit that has no entries of its own.
    ///
    /// # Errors
    /// [`Reason::StateChangedMeanwhile`] where somebody else moved it; then nothing of the unit is stored.
    pub(super) async fn commit(
        &mut self,
        ledger: &Ledger,
        vault: &Vault,
        stored: Stored,
        mut unit: Unit,
    ) -> Result<(), Failure> {
        let (check, row) = self.moved_to(vault, &stored)?;
        unit.checks.push(check);
        unit.puts.push(row);
        ledger.record(unit).await?;
        self.version = self.version.saturating_add(1);
        self.stored = stored;
        Ok(())
    }

    /// Makes rows durable that belong to this state of the import, without moving it.
    ///
    /// # Errors
    /// As [`Import::commit`].
    pub(super) async fn commit_beside(&self, ledger: &Ledger, mut unit: Unit) -> Result<(), NotRecorded> {
        unit.checks.push(Check::Version(key_space::import(&self.id.0), self.version));
        ledger.record(unit).await.map(|_| ())
    }

    /// Progress, or the report: everything but the first refused rows and the receipt.
    pub(super) fn response(&self) -> ImportResponse {
        let s = &self.stored;
        let dry = self.phase() == ImportPhase::DryRunDone;
        ImportResponse {
            import_id: self.id.to_string(),
            phase: s.phase,
            staged_bytes: s.staged_bytes,
            rows_checked: s.rows_checked,
            rows_applied: s.rows_applied,
            rows_unchanged: if dry { s.rows_same } else { s.rows_unchanged },
            rows_quarantined: s.rows_quarantined,
            rows_removed: match self.phase() {
                ImportPhase::Held | ImportPhase::DryRunDone => s.rows_to_remove,
                _ => s.rows_removed,
            },
            reason: s.reason.clone(),
            ..ImportResponse::default()
        }
    }
}

/// A stored row that is not what was stored.
pub(super) fn damaged(why: impl fmt::Display) -> Failure {
    Failure::new(Reason::RecordDamaged).because(format!("import: {why}"))
}
