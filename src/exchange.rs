//! START HERE: the two roads on one screen.
//!
//! A question: `edge → policy → library → receipt → answer`. A change: `edge → policy → library → receipt → acknowledgement`.
//! This file decides order only. Each step consumes what the one before produced: a `Caller` gets a `Permit`, with it the
//! library gives something `Verified`, and only what is `Recorded` leaves. Leaving a step out does not compile.
mod accesses;
mod bootstrap;
mod document;
mod order;
mod refusal;
mod rotation;
mod seal_uses;
mod sealed;
mod seen;
mod summary;
#[cfg(test)]
pub(crate) mod test_house;
#[cfg(test)]
mod tests;

pub use order::Order;
pub use rotation::{NotRotated, Switched};
pub use seal_uses::Following;

use crate::clock::Clock;
use crate::failure::{Failure, Reason};
use crate::library::licence::Issuers;
use crate::library::look_up;
use crate::library::question::Asked;
use crate::library::record::{View, from_store};
use crate::library::transition::Ordered;
use crate::log::SuiteName;
use crate::policy::{Caller, Decision, Operation, Permit, Policy};
use crate::receipt::head;
use crate::receipt::recorder::{Mutations, Recorded, Recorder, RequestId};
use crate::receipt::sequencer::NotRecorded;
use crate::receipt::trust::TrustedKey;
use crate::seal::office::Office;
use crate::store::Store;
use crate::store::vault::Vault;
use arc_swap::ArcSwap;
use bytes::Bytes;
use sealed::Bearing;
use std::sync::Arc;

/// How often a change is decided anew because what it was decided on changed before its commit.
const DECIDED_AGAIN_MAX: u32 = 3;

/// The hub behind the edge: everything the two roads need.
pub struct Exchange {
    /// This hub's name.
    pub hub: String,
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What opens it.
    pub vault: Arc<Vault>,
    /// The decision-maker.
    pub policy: Policy,
    /// CAs listed for issuers.
    pub issuers: Issuers,
    /// Writes into the log.
    pub recorder: Recorder,
    /// Verify checkpoints that callers have seen: every key of this log, those before a rotation included.
    pub log_keys: ArcSwap<Vec<TrustedKey>>,
    /// Judges and applies seals; `None` where no seals are configured.
    pub seals: Option<Arc<Office>>,
    /// The only clock.
    pub clock: Clock,
}

/// A reply, and where a listing goes on.
pub struct Reply {
    /// What the log has taken.
    pub recorded: Recorded,
    /// The last key of a page that has more behind it.
    pub next: Option<[u8; 16]>,
    /// The signature (SES_Signature, DER) on each item; empty where none bears a seal.
    pub seals: Vec<Option<Bytes>>,
}

/// What makes a request repeatable: its id and the message it came in.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The caller's id; empty for none.
    pub id: &'a str,
    /// The decoded message, encoded again.
    pub message: &'a [u8],
}

impl Exchange {
    /// Answers questions, each decided by itself, all recorded together.
    ///
    /// Nothing leaves the hub unless it is permitted, verified and recorded, in that order. A refusal by policy is recorded too:
    /// an auditor must see what was asked for and not given.
    ///
    /// # Errors
    /// What stopped it; then nothing was answered.
    pub async fn answer(&self, caller: &Caller, questions: &[Asked], request: Request<'_>) -> Result<Reply, Failure> {
        loop {
            let view = self.view_for(caller, questions).await?; // grant, records and position from one moment
            let id = match self.once(&view, caller, request).await? {
                Ok(id) => id,
                Err(reply) => return Ok(reply), // answered before
            };
            let (mut findings, mut bearing, mut next) = (Vec::new(), Vec::new(), None);
            for asked in questions {
                match self.policy.decide(&view, caller, asked).await? {
                    Decision::Permitted(permit) => {
                        let moment = self.moment(&view, asked).await?;
                        let answered = look_up::answer(&view, &permit, asked, moment).await?; // Verified
                        self.remember_match(&view, caller, asked, &answered);
                        next = answered.next;
                        for finding in answered.findings.into_inner() {
                            bearing.push(Bearing::of(asked, permit.seal(), &finding));
                            findings.push(self.recorder.draft(&view, caller, finding)?);
                        }
                    }
                    Decision::Refused(refusal) => {
                        let finding = refusal::of_question(asked, refusal);
                        bearing.push(Bearing::refused(asked, refusal, &finding));
                        findings.push(self.recorder.draft(&view, caller, finding)?);
                    }
                }
            }
            if bearing.iter().any(Option::is_some) {
                findings = self.seal(&view, caller, findings, bearing).await?; // signed and judged, not yet released
            }
            let id = id.map(|id| id.going_on_at(next));
            match self.recorder.record_drafted(findings, Mutations::default(), id.clone()).await {
                // Durable, in the log, with its receipts.
                Ok(recorded) => return Ok(Reply { seals: self.signatures(&recorded).await?, recorded, next }),
                Err(NotRecorded::CheckFailed(key)) if id.is_some_and(|id| id.is_row(&key)) => {} // the same request won a race
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Makes a change: decided by role, checked whole, committed together with its entry.
    ///
    /// # Errors
    /// What stopped it; then nothing was changed.
    pub async fn change(
        &self,
        caller: &Caller,
        operation: Operation,
        order: Order<'_>,
        ordered: &Ordered,
        request: Request<'_>,
    ) -> Result<Recorded, Failure> {
        let mut decided_again = 0;
        loop {
            let view = self.view().await?;
            let id = match self.once(&view, caller, request).await? {
                Ok(id) => id,
                Err(reply) => return Ok(reply.recorded),
            };
            let mut relied_on = Vec::new();
            let (findings, mutations) = match self.policy.admit(&view, caller, operation).await? {
                Decision::Permitted(permit) => {
                    let transition = self.check(&view, &permit, &order, ordered).await?; // Verified
                    let mut mutations = transition.mutations;
                    // Whatever permit and check were decided on (system, department, type, resource, key, grant) must still be so.
                    relied_on = view.relied_on();
                    relied_on.retain(|check| !mutations.checks.contains(check));
                    mutations.checks.extend(relied_on.iter().cloned());
                    (vec![transition.finding.into_inner()], mutations)
                }
                Decision::Refused(refusal) => (vec![refusal::of_order(ordered, refusal)], Mutations::default()),
            };
            match self.recorder.record(&view, caller, findings, mutations, id.clone()).await {
                Ok(recorded) => return Ok(recorded),
                Err(NotRecorded::CheckFailed(key)) => {
                    // The same request may have won the race, whichever of its rows was found taken: its answer is this one's.
                    if let Err(reply) = self.once(&self.view().await?, caller, request).await? {
                        return Ok(reply.recorded);
                    }
                    let outdated =
                        relied_on.iter().any(|check| *check.key() == key) && decided_again < DECIDED_AGAIN_MAX;
                    decided_again += u32::from(outdated);
                    if !outdated && !id.is_some_and(|id| id.is_row(&key)) {
                        return Err(NotRecorded::CheckFailed(key).into());
                    }
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// The suite of the hub: that of its log and of its rows.
    #[must_use]
    pub fn suite(&self) -> SuiteName {
        self.vault.suite()
    }

    /// One moment: snapshot, and the log's size in it.
    ///
    /// # Errors
    /// Store faults.
    pub async fn view(&self) -> Result<View, Failure> {
        let snapshot = self.store.snapshot().await.map_err(from_store)?;
        let head = head::read(snapshot.as_ref()).await?;
        let (position, time_s) = head.map_or((0, 0), |(head, _)| (head.size, head.time_s));
        Ok(View::new(snapshot, self.vault.clone(), position, time_s, &self.clock))
    }

    /// Decides by role alone, for what holds nobody's data and is not recorded.
    ///
    /// # Errors
    /// [`crate::failure::Reason::RoleNotAllowed`], [`crate::failure::Reason::SystemDisabled`].
    pub async fn admit(&self, view: &View, caller: &Caller, operation: Operation) -> Result<Permit, Failure> {
        match self.policy.admit(view, caller, operation).await? {
            Decision::Permitted(permit) => Ok(permit),
            Decision::Refused(refusal) => Err(refusal.reason.into()),
        }
    }

    /// Notes what stopped a request: for the operator's counters, and for the caller's summary of this minute.
    pub fn note(&self, caller: &Caller, failure: &Failure) {
        self.recorder.tally().note(&caller.uri, failure.reason.name());
        match failure.reason {
            Reason::QuotaExceeded => {
                self.recorder.metrics().quota_refusals.inc();
            }
            Reason::RecordDamaged => {
                self.recorder.metrics().damaged_rows.inc();
            }
            _ => {}
        }
    }

    /// Whether the request was answered before; `Ok(Ok(None))` where it has no id. A repeat is an answer too: who may ask nothing any
    /// more gets none.
    async fn once(
        &self,
        view: &View,
        caller: &Caller,
        request: Request<'_>,
    ) -> Result<Result<Option<RequestId>, Reply>, Failure> {
        if request.id.is_empty() {
            return Ok(Ok(None));
        }
        let answered = match self.recorder.request(view, caller, request.id, request.message).await? {
            Ok(id) => return Ok(Ok(Some(id))),
            Err(answered) => answered,
        };
        if let Decision::Refused(_) = self.policy.admit(view, caller, Operation::WhoAmI).await? {
            return Ok(Ok(None)); // shut out since: refused like any question, and that is recorded
        }
        let (recorded, next) = self.recorder.repeat(self.store.as_ref(), answered).await?;
        Ok(Err(Reply { seals: self.signatures(&recorded).await?, recorded, next }))
    }
}

/// Keeps the log key out of the exchange's debug output.
impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Exchange({})", self.hub)
    }
}
