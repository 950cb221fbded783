//! What the hub does with seals: judges them when they come in, applies them when an answer is asked sealed.
//!
//! Promise: a signature leaves this room only after it was judged as any stranger would judge it, in every step of the configured profile,
//! against the very bytes it is for. It is made before the use is recorded and released after: what the hub has released stands in its
//! log. A crash between leaves a signature nobody was given, and in the seal system's own records a use that our log does not have.
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

use super::answer::{document, property};
use super::chain::Anchors;
use super::judge::{self, Grounds, SealReport};
use super::ses::{Generation, Seal};
use super::signer::{SealSigner, SignOrder, SignerKind};
use super::step::{Finding, Profile};
use super::write::{self, UseDraft};
use crate::failure::{Failure, FieldFault, Reason};
use crate::gm::{self, Signature};
use crate::wire::proto::exchange::v1::SealUse;
use crate::wire::proto::receipt::v1::Purpose;

/// Bytes of a seal file, at most: with all that stands beside it, it must fit into one row.
pub const ESL_BYTES_MAX: usize = 48 << 10;

/// The hub's seals desk, as configured.
pub struct Office {
    anchors: ArcSwap<Anchors>,
    profile: Profile,
    signer: Option<Arc<dyn SealSigner>>,
    sign_max: Duration,
}

/// An answer to be sealed.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The seal's identifier.
    pub seal_id: &'a str,
    /// The seal file.
    pub esl: &'a [u8],
    /// The answer's payload.
    pub payload: &'a [u8],
    /// Its digest, as its statement has it.
    pub payload_digest: &'a [u8],
    /// The calling system.
    pub caller: &'a str,
    /// Why it asks.
    pub purpose: &'a Purpose,
    /// Now, Unix seconds.
    pub now_s: u64,
}

impl Office {
    /// A desk that believes these anchors and signs with this signer, waiting so long for it.
    #[must_use]
    pub fn new(anchors: Anchors, profile: Profile, signer: Option<Arc<dyn SealSigner>>, sign_max: Duration) -> Self {
        Self { anchors: ArcSwap::from_pointee(anchors), profile, signer, sign_max }
    }

    /// Takes over other anchors and revocation lists while the hub runs.
    pub fn believe(&self, anchors: Anchors) {
        self.anchors.store(Arc::new(anchors));
    }

    /// The rules seals are judged by.
    #[must_use]
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Where signatures are made; `None`: the hub holds seals but applies none.
    #[must_use]
    pub fn signer(&self) -> Option<SignerKind> {
        self.signer.as_ref().map(|signer| signer.kind())
    }

    /// Judges a seal file that is to be held, as it would be used now.
    ///
    /// # Errors
    /// [`Reason::SealsNotConfigured`] without anchors for seal makers; [`Reason::SealNotAccepted`] with every step that failed.
    pub async fn judge(&self, esl: &[u8], now_s: u64) -> Result<SealReport, Failure> {
        let anchors = self.anchors.load_full();
        if anchors.seal_makers.is_empty() {
            return Err(Failure::new(Reason::SealsNotConfigured).because("no anchors for seal makers"));
        }
        if esl.len() > ESL_BYTES_MAX {
            return Err(Failure::field("esl", "印章文件超过 48 KiB。", "The seal file is larger than 48 KiB."));
        }
        let (bytes, profile) = (esl.to_vec(), self.profile);
        let judged = tokio::task::spawn_blocking(move || {
            let seal = Seal::parse(&bytes).map_err(|error| refused_file(error.to_string()))?;
            if seal.generation != Generation::V4 {
                return Err(refused_file(format!("{}: only GB/T 38540-2020 seals are held", seal.generation.as_str())));
            }
            let report = judge::seal(seal, now_s, Grounds { anchors: &anchors, now_s, issuer: None });
            let faults = faults(profile, &report.findings);
            if faults.is_empty() { Ok(report) } else { Err(Failure::new(Reason::SealNotAccepted).with_fields(faults)) }
        });
        judged.await.map_err(|error| Failure::new(Reason::Internal).because(error))?
    }

    /// Applies a seal to a payload: has it signed, then judges what came back.
    ///
    /// # Errors
    /// [`Reason::SealsNotConfigured`] without a signer; [`Reason::SealNotApplied`] where it gives none in time, or one that does not hold.
    pub async fn apply(&self, wanted: Wanted<'_>) -> Result<SealUse, Failure> {
        let not_applied = |why: String| Failure::new(Reason::SealNotApplied).because(why);
        let signer =
            self.signer.as_ref().ok_or_else(|| Failure::new(Reason::SealsNotConfigured).because("no seal signer"))?;
        let document = document(wanted.payload);
        let property = property(wanted.payload_digest);
        let data_hash = gm::sm3(&[&document]);
        let draft = UseDraft { seal: wanted.esl, at_s: wanted.now_s, data_hash, property: &property };
        let to_sign = draft.to_sign().map_err(|error| Failure::new(Reason::RecordDamaged).because(error))?;
        let order = SignOrder {
            seal_id: wanted.seal_id.to_owned(),
            to_sign: to_sign.clone(),
            caller: wanted.caller.to_owned(),
            purpose: wanted.purpose.clone(),
        };
        let answered = tokio::time::timeout(self.sign_max, signer.sign(order)).await;
        let signed = answered
            .map_err(|_| not_applied("the signer did not answer in time".into()))?
            .map_err(|error| not_applied(error.to_string()))?;
        let (value, _) = Signature::from_either(&signed.signature).map_err(|error| not_applied(error.to_string()))?;
        let whole = write::signature(&to_sign, &signed.certificate, &value);
        let whole = whole.map_err(|error| not_applied(error.to_string()))?;
        let (anchors, profile, now_s) = (self.anchors.load_full(), self.profile, wanted.now_s);
        let judged = tokio::task::spawn_blocking({
            let property = property.clone();
            move || {
                let grounds = Grounds { anchors: &anchors, now_s, issuer: None };
                judge::signature(&whole, &document, Some(&property), grounds)
            }
        });
        let report = judged.await.map_err(|error| Failure::new(Reason::Internal).because(error))?;
        let bad: Vec<&str> = profile.reasons(&report.findings).into_iter().map(|step| step.as_str()).collect();
        if !bad.is_empty() {
            return Err(not_applied(format!("what the signer made does not hold: {}", bad.join(", "))));
        }
        Ok(SealUse {
            signed_at_s: wanted.now_s,
            data_hash: data_hash.to_vec().into(),
            property,
            certificate: signed.certificate.into(),
            signature: value.to_der().into(),
            signer: signer.kind().as_str().to_owned(),
        })
    }
}

impl std::fmt::Debug for Office {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Office({}, {:?})", self.profile.as_str(), self.signer())
    }
}

/// The complete SES_Signature of a recorded use: the same bytes that were judged before it was recorded.
///
/// # Errors
/// [`Reason::RecordDamaged`] where seal and use do not make one.
pub fn signature(esl: &[u8], used: &SealUse) -> Result<Vec<u8>, Failure> {
    let damaged = |why: String| Failure::new(Reason::RecordDamaged).because(format!("seal use: {why}"));
    let data_hash = used.data_hash.as_ref().try_into().map_err(|_| damaged("dataHash is not 32 bytes".into()))?;
    let draft = UseDraft { seal: esl, at_s: used.signed_at_s, data_hash, property: &used.property };
    let to_sign = draft.to_sign().map_err(|error| damaged(error.to_string()))?;
    let value = Signature::from_der(&used.signature).map_err(|error| damaged(error.to_string()))?;
    write::signature(&to_sign, &used.certificate, &value).map_err(|error| damaged(error.to_string()))
}

fn refused_file(why: String) -> Failure {
    let fault = FieldFault::new("esl", "不是 GB/T 38540-2020 印章文件。", why);
    Failure::new(Reason::SealNotAccepted).with_fields(vec![fault])
}

/// Every step that makes a seal not acceptable, named.
fn faults(profile: Profile, findings: &[Finding]) -> Vec<FieldFault> {
    let fault = |finding: &Finding| {
        let (zh, en) = finding.step.words();
        FieldFault::new(
            format!("esl.{}", finding.step.as_str()),
            format!("{zh}。"),
            format!("{en} ({})", finding.detail),
        )
    };
    findings.iter().filter(|finding| profile.rejects(finding)).map(fault).collect()
}
