//! Sealing an answer, between what the library verified and what the log takes.
//!
//! The payload has its last byte when it is sealed; the signature is judged, then answer and use are recorded as one unit, and only then does
//! either leave. **A crash after the signing and before the commit** leaves a signature that nobody was given and the log does not
//! know. **A crash after the commit** leaves a use in the log whose signature may not have arrived: the repeat of the request gives the very
//! same one, built anew from the recorded use.
use super::Exchange;
use crate::failure::{Failure, Reason};
use crate::library::question::Asked;
use crate::library::record::View;
use crate::library::schema::Library;
use crate::library::seal::subject;
use crate::policy::{Caller, Refusal, SealPermit};
use crate::receipt::recorder::{Drafted, Finding, Recorded, RecordedItem};
use crate::receipt::statement::PAYLOAD_NAME;
use crate::seal::office::{self, Office, Wanted};
use crate::wire::proto::exchange::v1::{Payload, SealUseQuestion, payload::Answer};
use crate::wire::proto::receipt::v1::{GrantRef, Kind, Operator, Outcome, Purpose, RecordVersion, Statement};
use crate::wire::proto::seal::v1::Seal;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use prost::Message;
use std::sync::Arc;

/// Sealed answers in one reply, at most: with the entries of their uses they must fit into one batch of the log.
const SEALED_MAX: usize = 50;
/// Signatures asked for at once.
const SIGNED_AT_ONCE: usize = 8;

/// What is to be said of a seal beside one finding.
pub(super) struct Bearing {
    seal_id: String,
    /// `None`: its use was refused.
    permitted: Option<Arc<SealPermit>>,
    kind: Kind,
    purpose: Purpose,
    operator: Operator,
    grant: Option<GrantRef>,
}

impl Bearing {
    /// Of a finding that is to bear the seal asked for; `None` where none was.
    pub(super) fn of(asked: &Asked, permitted: Option<&Arc<SealPermit>>, finding: &Finding) -> Option<Self> {
        Some(Self { permitted: Some(permitted?.clone()), ..Self::asked(asked, finding)? })
    }

    /// Of a question that was refused for its seal; `None` where it was refused for something else.
    pub(super) fn refused(asked: &Asked, refusal: Refusal, finding: &Finding) -> Option<Self> {
        if refusal.reason == Reason::SealNotAllowed { Self::asked(asked, finding) } else { None }
    }

    fn asked(asked: &Asked, finding: &Finding) -> Option<Self> {
        Some(Self {
            seal_id: asked.seal.clone()?,
            permitted: None,
            kind: finding.kind,
            purpose: finding.purpose.clone(),
            operator: finding.operator.clone(),
            grant: finding.grant.clone(),
        })
    }

    fn finding(&self, digest: Bytes, outcome: Outcome, answer: Answer, records: Vec<RecordVersion>) -> Finding {
        let question = SealUseQuestion {
            purpose: Some(self.purpose.clone()).filter(|purpose| *purpose != Purpose::default()),
            operator: Some(self.operator.clone()).filter(|operator| *operator != Operator::default()),
            seal_id: self.seal_id.clone(),
            kind: self.kind as i32,
            payload_name: if digest.is_empty() { String::new() } else { PAYLOAD_NAME.to_owned() },
            payload_digest: digest,
        };
        Finding {
            kind: Kind::SealUse,
            question: question.encode_to_vec().into(),
            outcome,
            answer,
            subject: Some(subject(&self.seal_id)),
            records,
            grant: self.grant.clone(),
            purpose: self.purpose.clone(),
            operator: self.operator.clone(),
            caller_signature: None,
        }
    }
}

impl Exchange {
    /// The seals desk.
    ///
    /// # Errors
    /// [`Reason::SealsNotConfigured`].
    pub fn office(&self) -> Result<&Office, Failure> {
        self.seals.as_deref().ok_or_else(|| Failure::new(Reason::SealsNotConfigured))
    }

    /// Puts behind each drafted answer that is to bear a seal the use of it. `bearing` is parallel to `drafted`.
    ///
    /// # Errors
    /// [`Reason::SealNotApplied`], [`Reason::SealsNotConfigured`]; then nothing is recorded and nothing leaves.
    pub(super) async fn seal(
        &self,
        view: &View,
        caller: &Caller,
        drafted: Vec<Drafted>,
        bearing: Vec<Option<Bearing>>,
    ) -> Result<Vec<Drafted>, Failure> {
        if bearing.iter().flatten().filter(|bearing| bearing.permitted.is_some()).count() > SEALED_MAX {
            let zh = "一次答复至多为 50 项用印：请限定证照类型或减少项数。";
            let en = "At most 50 answers of one reply bear a seal: name licence types, or ask for fewer.";
            return Err(Failure::field("context.seal_id", zh, en));
        }
        let pairs = drafted.into_iter().zip(bearing);
        let pairs = stream::iter(pairs).map(|(answer, bearing)| async move {
            let used = match &bearing {
                Some(bearing) => Some(self.used(view, caller, bearing, &answer).await?),
                None => None,
            };
            Ok::<_, Failure>(std::iter::once(answer).chain(used))
        });
        let pairs: Vec<_> = pairs.buffered(SIGNED_AT_ONCE).try_collect().await?;
        Ok(pairs.into_iter().flatten().collect())
    }

    async fn used(
        &self,
        view: &View,
        caller: &Caller,
        bearing: &Bearing,
        answer: &Drafted,
    ) -> Result<Drafted, Failure> {
        let Some(SealPermit { seal, record }) = bearing.permitted.as_deref() else {
            let said = super::refusal::said(Refusal { reason: Reason::SealNotAllowed });
            let refused = bearing.finding(Bytes::new(), Outcome::Refused, said, Vec::new());
            return self.recorder.draft(view, caller, refused);
        };
        let wanted = Wanted {
            seal_id: &bearing.seal_id,
            esl: &seal.esl,
            payload: answer.payload(),
            payload_digest: answer.digest(),
            caller: &caller.uri,
            purpose: &bearing.purpose,
            now_s: self.clock.now_ms() / 1_000,
        };
        let used = self.office()?.apply(wanted).await?;
        let digest = Bytes::copy_from_slice(answer.digest());
        let finding = bearing.finding(digest, Outcome::Done, Answer::SealUse(used), vec![record.clone()]);
        self.recorder.draft(view, caller, finding)
    }

    /// The complete signature on each recorded answer that bears a seal, built from its recorded use.
    ///
    /// # Errors
    /// [`Reason::RecordDamaged`] where use and seal do not belong together; store faults.
    pub(super) async fn signatures(&self, recorded: &Recorded) -> Result<Vec<Option<Bytes>>, Failure> {
        let applied = |item: &RecordedItem| item.seal_use().filter(|used| used.outcome() == Outcome::Done).cloned();
        if !recorded.items().iter().any(|item| item.seal_use().is_some()) {
            return Ok(Vec::new());
        }
        let view = self.view().await?;
        let mut signatures = Vec::with_capacity(recorded.items().len());
        for item in recorded.items() {
            signatures.push(match applied(item) {
                Some(used) => Some(signature(&view, &used).await?),
                None => None,
            });
        }
        Ok(signatures)
    }
}

async fn signature(view: &View, item: &RecordedItem) -> Result<Bytes, Failure> {
    let damaged = |why: &str| Failure::new(Reason::RecordDamaged).because(format!("seal use: {why}"));
    let payload = Payload::decode(item.payload().clone()).map_err(|_| damaged("its payload does not decode"))?;
    let Some(Answer::SealUse(used)) = payload.answer else { return Err(damaged("its payload is something else")) };
    let statement = Statement::decode(item.receipt().statement.clone()).map_err(|_| damaged("no statement"))?;
    let named = statement.records.first().ok_or_else(|| damaged("its statement names no seal"))?;
    let index_key = named.index_key.as_ref().try_into().map_err(|_| damaged("a strange index key"))?;
    let opened = view.version(Library::Seal, &crate::store::key_space::IndexKey(index_key), named.version).await?;
    let opened = opened.filter(|opened| opened.digest == named.digest.as_ref());
    let seal: Seal = opened.ok_or_else(|| damaged("the version of the seal it names is missing"))?.body()?;
    Ok(office::signature(&seal.esl, &used)?.into())
}
