//! Files of signed licences: each row judged as the single road judges a licence (see [`crate::library::licence::Office`]).
//!
//! The signature over a licence is verified when the file is checked. The bytes it covers are the staged ones, sealed and held
//! against the manifest's digest, so it holds for them for ever and is not computed again while applying. What can change is asked
//! anew for each batch and again in each chunk: type, authority, certificate chain, revocation, distrust.
use super::parse::{Batch, RawRow, fault};
use super::state::Import;
use super::validate::{Candidate, Checked, Pass, Plan, Refused, owned};
use crate::exchange::Exchange;
use crate::failure::{Failure, Reason};
use crate::library::licence::{Certified, Office, trusted};
use crate::library::record::View;
use crate::library::schema::Library;
use crate::store::vault::PLAINTEXT_BYTES_MAX;
use crate::wire::proto::catalogue::v1::Resource;
use crate::wire::proto::intake::v1::RowFault;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use prost::Message;
use std::collections::HashMap;
use std::sync::Arc;

/// What the rows of a file of licences are judged by.
pub(super) struct Licences {
    pub(super) office: Office,
    exchange: Arc<Exchange>,
}

impl Licences {
    /// The office of the import's department for the licences of its resource.
    ///
    /// # Errors
    /// As [`Office::open`]; [`Reason::ResourceUnknown`] where the resource is not the one these licences belong to.
    pub(super) async fn open(
        exchange: &Arc<Exchange>,
        view: &View,
        import: &Import,
        resource: &Resource,
    ) -> Result<Self, Failure> {
        let office = office_of(view, &import.caller()?.department, &exchange.hub, resource).await?;
        Ok(Self { office, exchange: exchange.clone() })
    }

    /// Judges some rows.
    pub(super) fn check_all(&self, plan: &Plan, pass: Pass, batch: &Batch, checked: &mut Vec<Checked>) {
        let desk = Desk { licences: self, plan, pass, now_ms: self.exchange.clock.now_ms() };
        let mut chains = Chains::default();
        for mut raw in batch.rows() {
            let number = raw.number;
            let faults = std::mem::take(&mut raw.faults);
            let outcome =
                if faults.is_empty() { desk.check(&raw, &mut chains).map_err(faults_of) } else { Err(faults) };
            let refused = |faults| Refused { index_key: None, faults, raw: owned(raw.fields) };
            checked.push(Checked { number, outcome: outcome.map_err(refused) });
        }
    }
}

/// The office of a department for the licences of a resource.
pub(super) async fn office_of(
    view: &View,
    department: &str,
    hub: &str,
    resource: &Resource,
) -> Result<Office, Failure> {
    let office = Office::open(view, department, hub, &resource.licence_type).await?;
    if office.resource() == resource.code { Ok(office) } else { Err(Failure::new(Reason::ResourceUnknown)) }
}

/// Certificate chains by their text, each judged once for the rows of a batch.
type Chains = HashMap<Arc<str>, Result<Arc<Certified>, Failure>>;

struct Desk<'a> {
    licences: &'a Licences,
    plan: &'a Plan,
    pass: Pass,
    now_ms: u64,
}

impl Desk<'_> {
    fn check(&self, raw: &RawRow<'_>, chains: &mut Chains) -> Result<Candidate, Failure> {
        let office = &self.licences.office;
        let prepared = office.read(base64_of(raw, "content")?)?;
        let certified = match chains.get(raw.certificates) {
            Some(judged) => judged.clone()?,
            None => {
                let judged = self.certify(raw.certificates).map(Arc::new);
                chains.entry(raw.certificates.clone()).or_insert(judged).clone()?
            }
        };
        let (algorithm, value) = (raw.text("algorithm").unwrap_or_default().trim(), base64_of(raw, "signature")?);
        match self.pass {
            Pass::Checking => office.verify(&prepared, &certified, algorithm, &value)?,
            Pass::Applying => office.is_signer(&certified)?,
        }
        let row = office.row(&prepared, &certified, algorithm, &value, self.plan.source.clone(), self.now_ms);
        if row.encoded_len() > PLAINTEXT_BYTES_MAX {
            let zh = format!("整条记录超过{PLAINTEXT_BYTES_MAX}字节。");
            return Err(Failure::field("content", zh, format!("A record has at most {PLAINTEXT_BYTES_MAX} bytes.")));
        }
        let vault = &self.plan.vault;
        let index_key = vault.index_key(Library::Licence.number(), &row.code_type, &row.code);
        let holders = prepared.holder_keys(vault);
        Ok(Candidate { index_key, row, holders, cells: Vec::new(), signer: Some(certified) })
    }

    fn certify(&self, text: &str) -> Result<Certified, Failure> {
        let chain: Result<Vec<Bytes>, _> =
            text.split_ascii_whitespace().map(|der| BASE64.decode(der).map(Bytes::from)).collect();
        let chain = chain.map_err(|_| not_base64("certificates"))?;
        self.licences.exchange.issuers.load().certify(&chain, self.now_ms)
    }
}

/// Which of some licences may not be taken now because their signer's key is distrusted; asks once for each key.
pub(super) async fn distrusted(view: &View, rows: &[Checked]) -> Result<HashMap<[u8; 32], Failure>, Failure> {
    let mut told: HashMap<[u8; 32], Option<Failure>> = HashMap::new();
    for signer in rows.iter().filter_map(|row| row.outcome.as_ref().ok()?.signer.as_ref()) {
        if told.contains_key(signer.fingerprint()) {
            continue;
        }
        let answer = match trusted(view, signer.fingerprint()).await {
            Ok(()) => None,
            Err(failure) if failure.reason == Reason::IssuerDistrusted => Some(failure),
            Err(failure) => return Err(failure),
        };
        told.insert(*signer.fingerprint(), answer);
    }
    Ok(told.into_iter().filter_map(|(key, failure)| Some((key, failure?))).collect())
}

/// A licence that is not taken, after its row was read.
pub(super) fn refused(candidate: &Candidate, failure: Failure) -> Refused {
    let raw = vec![(candidate.row.code_type.clone(), candidate.row.code.clone())];
    Refused { index_key: Some(candidate.index_key), faults: faults_of(failure), raw }
}

/// The reasons of the single road, as faults of a row.
fn faults_of(failure: Failure) -> Vec<RowFault> {
    let reason = failure.reason;
    if failure.fields.is_empty() {
        return vec![fault("", reason.name(), reason.text_zh(), reason.text_en())];
    }
    failure.fields.into_iter().map(|f| fault(&f.field, reason.name(), f.text_zh, f.text_en)).collect()
}

fn base64_of(raw: &RawRow<'_>, field: &'static str) -> Result<Bytes, Failure> {
    let text = raw.text(field).unwrap_or_default().trim();
    if text.is_empty() {
        return Err(Failure::field(field, "缺少此项。", "Is missing."));
    }
    BASE64.decode(text).map(Bytes::from).map_err(|_| not_base64(field))
}

fn not_base64(field: &'static str) -> Failure {
    Failure::field(field, "不是 Base64。", "Is no base64.")
}
