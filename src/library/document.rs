//! What the hub holds of the licence a paper names: said only under a permit for that licence, like any answer about it.
use super::codes::LicenceId;
use super::licence::LicenceRow;
use super::look_up;
use super::question::{AsOf, Asked, Question, RecordKey, Subject};
use super::record::View;
use super::schema::Library;
use super::verified::Verified;
use crate::failure::{Failure, Reason};
use crate::paper::report::{Named, Report};
use crate::policy::Permit;
use crate::receipt::recorder::Finding;
use crate::seal::certificate::Certificate;
use crate::seal::owner::{self, Ownership};
use crate::seal::step::Profile;
use crate::wire::document::verdict;
use crate::wire::proto::document::v1::{Check, DocumentVerdict, LicenceMatch, SealOwner};
use crate::wire::proto::exchange::v1::payload::Answer;
use crate::wire::proto::library::v1::{IssuerStanding, LicenceStanding, LicenceState};
use crate::wire::proto::receipt::v1::{GrantRef, Kind, Operator, Outcome, Purpose, RecordVersion};
use bytes::Bytes;

/// A question about a paper, after the edge has parsed it.
#[derive(Clone, Debug)]
pub struct DocumentAsked {
    /// The question as sent.
    pub bytes: Bytes,
    /// Why.
    pub purpose: Purpose,
    /// Who sits behind the system.
    pub operator: Operator,
    /// SM3 of the file.
    pub file_sm3: [u8; 32],
    /// Its length, 1 to 20 MiB.
    pub file_bytes: usize,
    /// How strictly it is judged.
    pub profile: Profile,
}

impl DocumentAsked {
    /// What is recorded of such a question, however it ended.
    #[must_use]
    pub fn finding(&self, outcome: Outcome, answer: Answer) -> Finding {
        Finding {
            kind: Kind::VerifyDocument,
            question: self.bytes.clone(),
            outcome,
            answer,
            subject: None,
            records: Vec::new(),
            grant: None,
            purpose: self.purpose.clone(),
            operator: self.operator.clone(),
            caller_signature: None,
        }
    }

    /// The look-up of the licence the paper names that policy decides on: whether it is there and how it stands, no field of it.
    #[must_use]
    pub fn about(&self, id: &LicenceId) -> Asked {
        Asked {
            kind: Kind::VerifyDocument,
            bytes: self.bytes.clone(),
            purpose: self.purpose.clone(),
            operator: self.operator.clone(),
            as_of: AsOf::default(),
            seen: Bytes::new(),
            caller_signature: None,
            seal: None,
            question: Question::LookUp {
                key: RecordKey::Licence(id.clone()),
                fields: Vec::new(),
                complete: false,
                mode: None,
            },
        }
    }
}

/// The licence a paper names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedLicence {
    /// None, or none whose identifier can be read.
    None,
    /// Exactly one.
    One(LicenceId),
    /// Several.
    Several,
}

impl NamedLicence {
    /// Of a judged paper.
    #[must_use]
    pub fn of(report: &Report) -> Self {
        let mut found: Option<LicenceId> = None;
        for Named { value, .. } in &report.named {
            let Ok(id) = LicenceId::parse(value) else { continue };
            match &found {
                Some(known) if known.to_string() != id.to_string() => return Self::Several,
                _ => found = Some(id),
            }
        }
        found.map_or(Self::None, Self::One)
    }
}

/// A permit for the licence a paper names, with the look-up it was decided on.
pub type LicencePermit = (Permit, Asked);

/// The answer about a judged paper. `_permit`: the caller may have papers judged; `licence`: it may learn of the licence named.
///
/// # Errors
/// [`Reason::RecordDamaged`], store faults.
pub async fn answer(
    view: &View,
    _permit: &Permit,
    asked: &DocumentAsked,
    report: &Report,
    licence: Option<&LicencePermit>,
) -> Result<Verified<Finding>, Failure> {
    let mut said = verdict(report, &asked.file_sm3);
    let named = NamedLicence::of(report);
    let mut finding = asked.finding(Outcome::Judged, Answer::Document(DocumentVerdict::default()));
    match &named {
        NamedLicence::None => {}
        NamedLicence::Several => said.licence = Some(LicenceMatch::default().held(Outcome::Ambiguous)),
        NamedLicence::One(id) => {
            let covered = report.named.iter().any(|n| n.covered);
            let mut matched = LicenceMatch { licence_id: id.to_string(), covered, ..LicenceMatch::default() };
            finding.subject = Some(Subject::new("licence", id.to_string()));
            match licence {
                None => matched = matched.held(Outcome::Refused),
                Some((permit, about)) => {
                    let held = Held::look_up(view, permit, about, id).await?;
                    finding.records.clone_from(&held.records);
                    finding.grant.clone_from(&held.grant);
                    matched = held.into_match(matched, &asked.file_sm3, &report.signers, &mut said)?;
                }
            }
            said.licence = Some(matched);
        }
    }
    finding.answer = Answer::Document(said);
    Ok(Verified::new(finding))
}

/// What the library says of the licence, under the permit.
struct Held {
    outcome: Outcome,
    standing: Option<LicenceStanding>,
    row: Option<LicenceRow>,
    records: Vec<RecordVersion>,
    grant: Option<GrantRef>,
}

impl Held {
    async fn look_up(view: &View, permit: &Permit, about: &Asked, id: &LicenceId) -> Result<Self, Failure> {
        let answered = look_up::answer(view, permit, about, view.now()).await?;
        let found = answered.findings.into_inner().into_iter().next();
        let found = found.ok_or_else(|| Failure::new(Reason::Internal).because("a look-up without a finding"))?;
        let standing = match found.answer {
            Answer::Record(record) => record.licence,
            _ => None,
        };
        let mut row = None;
        if standing.is_some() {
            let key = RecordKey::Licence(id.clone()).row_key();
            let index_key = view.index_key(Library::Licence, &key.code_type, &key.code);
            let opened = super::licence::version_at(view, &index_key, Some(id.version()), view.now()).await?;
            row = opened.map(|opened| opened.body::<LicenceRow>()).transpose()?;
        }
        Ok(Self { outcome: found.outcome, standing, row, records: found.records, grant: found.grant })
    }

    /// `signers`: of each signature of the paper, in the verdict's order.
    fn into_match(
        self,
        matched: LicenceMatch,
        file_sm3: &[u8; 32],
        signers: &[Option<Certificate>],
        said: &mut DocumentVerdict,
    ) -> Result<LicenceMatch, Failure> {
        let mut matched = LicenceMatch { standing: self.standing, ..matched.held(self.outcome) };
        let (Some(standing), Some(row)) = (&matched.standing, &self.row) else { return Ok(matched) };
        let current = standing.successor_licence_id.is_empty();
        matched.current = yes(current).into();
        if !row.file_sm3.is_empty() {
            matched.file_matches = yes(row.file_sm3.as_ref() == file_sm3).into();
        }
        if let Some(issuer) = row.licence()?.issuer {
            for (signature, signer) in said.signatures.iter_mut().zip(signers) {
                let Some(signer) = signer else { continue };
                let owner = match owner::of_certificate(signer, &issuer.uscc) {
                    Ownership::Matched => SealOwner::Matched,
                    Ownership::NotStated => SealOwner::NotStated,
                    Ownership::Differs { .. } => SealOwner::Differs,
                };
                signature.seal_owner = owner.into();
            }
        }
        let (zh, en) = words_of(standing);
        matched.words = zh.to_owned();
        matched.words_en = en.to_owned();
        Ok(matched)
    }
}

const fn yes(holds: bool) -> Check {
    if holds { Check::Yes } else { Check::No }
}

/// Words where there is no standing to speak of; replaced where there is.
trait SayHeld {
    fn held(self, outcome: Outcome) -> Self;
}

impl SayHeld for LicenceMatch {
    fn held(self, outcome: Outcome) -> Self {
        let (zh, en) = match outcome {
            Outcome::Refused => ("无权查询", "no grant: whether the hub holds it is not said"),
            Outcome::Absent => ("未查到", "the hub holds no such licence"),
            Outcome::Ambiguous => {
                ("需人工核对：文件中写有多个证照标识", "check by hand: the paper names several licences")
            }
            _ => ("需人工核对：证照库不能确定", "check by hand: the library cannot say"),
        };
        Self { held: outcome.into(), words: zh.to_owned(), words_en: en.to_owned(), ..self }
    }
}

fn words_of(standing: &LicenceStanding) -> (&'static str, &'static str) {
    if standing.issuer_standing() == IssuerStanding::IssuerDistrusted {
        return ("需人工核对：签发密钥已被停止信任", "check by hand: the issuer's key is distrusted");
    }
    if !standing.successor_licence_id.is_empty() {
        return ("已换发：库中有更新的版本", "superseded: the hub holds a newer version");
    }
    match standing.state() {
        LicenceState::Valid => ("有效", "in force"),
        LicenceState::Suspended => ("暂扣中", "suspended"),
        LicenceState::Rescinded => ("已撤销", "rescinded"),
        LicenceState::Cancelled => ("已注销", "cancelled"),
        LicenceState::Lapsed => ("已过期", "lapsed"),
        LicenceState::TransferredOut => ("已转出", "transferred out"),
        LicenceState::Revoked => ("已吊销", "revoked"),
        LicenceState::NotYetValid => ("尚未生效", "not yet in force"),
        LicenceState::Unspecified => ("需人工核对", "check by hand"),
    }
}
