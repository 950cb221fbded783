//! START HERE: what can be done with an import. Open it, stage its bytes, follow it, read what was refused, release it.
//!
//! Checking and applying run in a task of the hub, one for each import, whether or not anybody listens: a sender that goes away
//! loses the report, not the import. Imports of one resource go one after the other, so that what a guard counted is still so
//! when it is applied.
use super::apply::{apply, ordered, recall};
use super::examine::examine;
use super::manifest;
use super::quarantine;
use super::stage;
use super::state::{Import, ImportId, Stored};
use super::step::{Kind, Step};
use crate::exchange::{Exchange, Order, Request};
use crate::failure::{Failure, Fault, Reason};
use crate::library::record::{View, from_store};
use crate::policy::{Caller, Operation};
use crate::receipt::recorder::Recorded;
use crate::receipt::sequencer::Unit;
use crate::store::Direction;
use crate::store::key_space::{self, Prefix};
use crate::wire::order::{self, Repeatable};
use crate::wire::proto::catalogue::v1::Role;
use crate::wire::proto::intake::v1::{
    ImportOpening, ImportPart, ImportPhase, ImportResponse, ListQuarantineRequest, ListQuarantineResponse,
    ReleaseImportRequest,
};
use crate::wire::proto::receipt::v1::{Kind as StatementKind, Operator, Outcome};
use bytes::Bytes;
use prost::Message;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How often a pass begins again by itself after the hub could not, and how long it waits in between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// Rows of one page of refused rows.
const QUARANTINE_PAGE: u32 = 50;
const QUARANTINE_PAGE_MAX: u32 = 1_000;

/// The imports of a hub.
pub struct Intake {
    exchange: Arc<Exchange>,
    running: Mutex<HashMap<ImportId, watch::Receiver<Progress>>>,
    /// One import of a resource at a time.
    lanes: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// How far an import is, and whether the hub goes on with it.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Progress, or the report.
    pub response: ImportResponse,
    /// Set once the hub does nothing more by itself: the report is whole, or this stopped it.
    pub ended: Option<Result<(), Failure>>,
}

impl Intake {
    /// The imports of this hub.
    #[must_use]
    pub fn new(exchange: Arc<Exchange>) -> Arc<Self> {
        Arc::new(Self { exchange, running: Mutex::default(), lanes: Mutex::default() })
    }

    /// Opens an import, or goes on with it: the answer's phase and `staged_bytes` say where.
    ///
    /// # Errors
    /// [`Reason::RoleNotAllowed`], [`Reason::SystemDisabled`], [`Reason::RequestMalformed`], [`Reason::ResourceUnknown`],
    /// [`Reason::NotLeadSource`], [`Reason::SignatureInvalid`] and what else is wrong with signature and certificate.
    pub async fn open(&self, caller: &Caller, opening: &ImportOpening) -> Result<ImportResponse, Failure> {
        let exchange = &self.exchange;
        let view = exchange.view().await?;
        let permit = exchange.admit(&view, caller, Operation::Import).await?;
        let issuers = exchange.issuers.load();
        let admitted = manifest::admit(&view, &permit, &exchange.hub, &issuers, opening).await?;
        let fresh = Stored {
            format: 1,
            manifest: opening.manifest.clone(),
            signature: opening.signature.clone(),
            dry_run: opening.dry_run,
            operator: opening.operator.clone().filter(|o| *o != Operator::default()),
            caller_uri: caller.uri.clone(),
            caller_serial: caller.serial.clone(),
            caller_fingerprint: Bytes::copy_from_slice(&caller.fingerprint),
            phase: ImportPhase::Staging.into(),
            ..Stored::default()
        };
        ordered(exchange, &fresh, "opening")?; // an operator that no statement may hold is refused now, not in the middle
        let present = Import::load(view.snapshot().as_ref(), &exchange.vault, admitted.id).await?;
        let new = Import { id: admitted.id, version: 0, stored: Stored::default(), manifest: admitted.manifest };
        let mut import = present.unwrap_or(new);
        let stored = match import.phase() {
            // A dry run that ended left no bytes: the same file is sent again to take effect.
            ImportPhase::DryRunDone if !opening.dry_run => {
                stage::clean(exchange, &mut import).await?;
                stage::remove_all(exchange, &import, key_space::quarantined(&import.id.0)).await?;
                fresh
            }
            ImportPhase::Unspecified => fresh,
            ImportPhase::Staging | ImportPhase::Checking => resumed(&import.stored, fresh, true),
            ImportPhase::Held | ImportPhase::Applying => resumed(&import.stored, fresh, false),
            ImportPhase::Done | ImportPhase::Refused | ImportPhase::DryRunDone => import.stored.clone(),
        };
        if stored != import.stored {
            import.commit(exchange.recorder.ledger(), &exchange.vault, stored, Unit::default()).await?;
        }
        Ok(import.response())
    }

    /// Makes the next part of the file durable.
    ///
    /// # Errors
    /// [`Reason::ImportOffsetWrong`] where it does not begin where the staged file ends; [`Reason::RequestMalformed`];
    /// [`Reason::TargetUnknown`], [`Reason::SystemDisabled`].
    pub async fn stage(&self, caller: &Caller, id: ImportId, part: &ImportPart) -> Result<ImportResponse, Failure> {
        let view = self.exchange.view().await?;
        let _permit = self.exchange.admit(&view, caller, Operation::Import).await?;
        let mut import = self.load(&view, id).await?;
        if import.stored.caller_uri != caller.uri {
            return Err(Failure::new(Reason::TargetUnknown));
        }
        if import.phase() != ImportPhase::Staging {
            return Err(Failure::new(Reason::ImportOffsetWrong).because("the file is staged whole"));
        }
        drop(view);
        match stage::stage(&self.exchange, &mut import, part.offset, &part.bytes).await {
            // Somebody else staged the same bytes meanwhile.
            Err(f) if f.reason == Reason::StateChangedMeanwhile => Err(Failure::new(Reason::ImportOffsetWrong)),
            done => done.map(|()| import.response()),
        }
    }

    /// Goes on with an import for as long as the hub can by itself, and says how far it is. Whoever asks while it runs follows
    /// the same task.
    #[must_use]
    pub fn follow(self: &Arc<Self>, id: ImportId) -> watch::Receiver<Progress> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = running.get(&id)
            && progress.borrow().ended.is_none()
            && progress.has_changed().is_ok()
        {
            return progress.clone();
        }
        let (sender, receiver) = watch::channel(Progress::default());
        running.insert(id, receiver.clone());
        let intake = self.clone();
        tokio::spawn(async move {
            let tell = Tell(sender);
            let ended = intake.run(id, &tell).await;
            if let Err(failure) = &ended {
                tracing::warn!(import = %id, %failure, "an import stopped");
            }
            // Out of the map first: who comes now begins anew, who holds the receiver hears the end.
            intake.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            tell.0.send_modify(|progress| progress.ended = Some(ended));
        });
        receiver
    }

    /// How far an import is.
    ///
    /// # Errors
    /// [`Reason::TargetUnknown`] for one that is not the caller's department's (unless it is the data authority),
    /// [`Reason::RoleNotAllowed`].
    pub async fn progress(&self, caller: &Caller, id: ImportId) -> Result<ImportResponse, Failure> {
        let view = self.exchange.view().await?;
        let permit = self.exchange.admit(&view, caller, Operation::GetImport).await?;
        let import = self.load(&view, id).await?;
        if import.caller()?.department != caller.department && !permit.has(Role::DataAuthority) {
            return Err(Failure::new(Reason::TargetUnknown));
        }
        let now = self.running.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let mut response = now.map(|p| p.borrow().response.clone()).filter(|r| r.phase == import.stored.phase);
        let response = response.get_or_insert_with(|| import.response());
        // The rows themselves are the sender's: the data authority sees counts.
        if import.caller()?.department == caller.department {
            response.first_quarantined = quarantine::first(&self.exchange, &import).await?;
        } else {
            response.first_quarantined.clear();
        }
        Ok(response.clone())
    }

    /// A page of refused rows.
    ///
    /// # Errors
    /// As [`Intake::progress`], for the sender's department alone.
    pub async fn quarantine(
        &self,
        caller: &Caller,
        request: &ListQuarantineRequest,
    ) -> Result<ListQuarantineResponse, Failure> {
        let view = self.exchange.view().await?;
        let _permit = self.exchange.admit(&view, caller, Operation::ListQuarantine).await?;
        let import = self.load(&view, read_id(&request.import_id)?).await?;
        if import.caller()?.department != caller.department {
            return Err(Failure::new(Reason::TargetUnknown));
        }
        let size = match request.page_size {
            0 => QUARANTINE_PAGE,
            size if size <= QUARANTINE_PAGE_MAX => size,
            _ => return Err(Failure::field("page_size", "至多 1000。", "At most 1000.")),
        };
        let limit = usize::try_from(size).unwrap_or(1);
        let (rows, more) = quarantine::list(&self.exchange, &import, request.after_row, limit).await?;
        let next_after_row = if more { rows.last().map_or(0, |row| row.row) } else { 0 };
        Ok(ListQuarantineResponse { rows, next_after_row })
    }

    /// Releases a held import: a change like any other; then the hub goes on with it.
    ///
    /// # Errors
    /// [`Reason::TargetUnknown`], [`Reason::TransitionNotAllowed`], [`Reason::RoleNotAllowed`] for who imported it.
    pub async fn release(
        self: &Arc<Self>,
        caller: &Caller,
        request: &ReleaseImportRequest,
    ) -> Result<Recorded, Failure> {
        let id = read_id(&request.import_id)?;
        let (kind, purpose) = (StatementKind::Import, request.purpose.as_ref());
        let parts = [request.import_id.as_bytes()];
        let suite = self.exchange.suite();
        let ordered = order::ordered(suite, kind, &request.request_id, Repeatable::Required, purpose, None, &parts)?;
        let message = request.encode_to_vec();
        let step = Step(Kind::Release(id));
        let once = Request { id: &request.request_id, message: &message };
        let order = Order::Import(&step);
        let recorded = self.exchange.change(caller, Operation::ReleaseImport, order, &ordered, once).await?;
        // A crash here leaves it released; the next start goes on. A refusal that was recorded starts nothing.
        if recorded.single()?.outcome() == Outcome::Done {
            drop(self.follow(id));
        }
        Ok(recorded)
    }

    /// Goes on with every import that a stop of the hub interrupted, or a full disk. Called at the start, and when there is room again.
    ///
    /// # Errors
    /// Damage and store faults.
    pub async fn resume_all(self: &Arc<Self>) -> Result<usize, Failure> {
        let (mut rest, mut resumed) = (Some(Prefix::Import.range()), 0_usize);
        while let Some(range) = rest {
            let view = self.exchange.view().await?;
            let page = view.snapshot().scan(range, Direction::Forward, 100).await.map_err(from_store)?;
            for (key, _) in &page.rows {
                let Some(id) = key_space::parse_import(key).map(ImportId) else { continue };
                let import = self.load(&view, id).await?;
                let stored = &import.stored;
                let go_on = match import.phase() {
                    ImportPhase::Checking | ImportPhase::Applying => true,
                    ImportPhase::Done | ImportPhase::Refused | ImportPhase::DryRunDone => !stored.cleaned,
                    ImportPhase::Staging => stored.staged_bytes == import.manifest.file_bytes,
                    ImportPhase::Held | ImportPhase::Unspecified => false,
                };
                if go_on {
                    drop(self.follow(id));
                    resumed += 1;
                }
            }
            rest = page.next;
        }
        Ok(resumed)
    }

    async fn load(&self, view: &View, id: ImportId) -> Result<Import, Failure> {
        let import = Import::load(view.snapshot().as_ref(), &self.exchange.vault, id).await?;
        import.ok_or(Failure::new(Reason::TargetUnknown))
    }

    /// Goes on until the import has ended, is held, or cannot go on; begins a pass again where the world moved beneath it.
    async fn run(&self, id: ImportId, tell: &Tell) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            match self.pass(id, tell).await {
                // What was decided on a chunk that found no room is outdated with it: the want of room is what the sender must hear.
                Err(failure) if failure.reason == Reason::StateChangedMeanwhile => {
                    if let Some(why) = self.exchange.recorder.ledger().space().short() {
                        return Err(Failure::new(Reason::StorageLow).because(why));
                    }
                    if tries >= TRIES {
                        return Err(failure);
                    }
                    tries += 1;
                }
                Err(failure) if again(&failure) && tries < TRIES => tries += 1,
                ended => return ended,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn pass(&self, id: ImportId, tell: &Tell) -> Result<(), Failure> {
        let exchange = &self.exchange;
        let resource = self.load(&exchange.view().await?, id).await?.manifest.resource;
        let lane = self.lanes.lock().unwrap_or_else(PoisonError::into_inner).entry(resource).or_default().clone();
        let _one_at_a_time = lane.lock().await;
        let mut import = self.load(&exchange.view().await?, id).await?;
        let mut recorded = None;
        loop {
            tell.at(&import);
            match import.phase() {
                ImportPhase::Staging if import.stored.staged_bytes == import.manifest.file_bytes => {
                    let mut stored = import.stored.clone();
                    stored.set_phase(ImportPhase::Checking);
                    import.commit(exchange.recorder.ledger(), &exchange.vault, stored, Unit::default()).await?;
                }
                ImportPhase::Checking => examine(exchange, &mut import, tell).await?,
                ImportPhase::Applying => recorded = Some(apply(exchange, &mut import, tell).await?),
                ImportPhase::Done | ImportPhase::Refused | ImportPhase::DryRunDone if !import.stored.cleaned => {
                    stage::clean(exchange, &mut import).await?;
                }
                ImportPhase::Done if recorded.is_none() => {
                    recorded = recall(exchange, &import).await?;
                    break;
                }
                _ => break,
            }
        }
        let mut report = import.response();
        report.first_quarantined = quarantine::first(exchange, &import).await?;
        if let Some(item) = recorded.as_ref().map(Recorded::single).transpose()? {
            report.payload = item.payload().clone();
            report.receipt = Some(item.receipt().clone());
        }
        tell.0.send_modify(|progress| progress.response = report);
        Ok(())
    }
}

/// Whether a pass that ended so may begin again by itself.
fn again(failure: &Failure) -> bool {
    // Space does not come back in a second: whoever waits is told, and the hub begins again when there is some.
    let busy = failure.reason.fault() == Fault::Busy && failure.reason != Reason::StorageLow;
    failure.reason == Reason::StateChangedMeanwhile || busy
}

/// An import found as opened before: the newest certificate of its system counts, and until it was checked, whether it is a
/// dry run.
fn resumed(present: &Stored, fresh: Stored, dry_run_too: bool) -> Stored {
    Stored {
        caller_serial: fresh.caller_serial,
        caller_fingerprint: fresh.caller_fingerprint,
        dry_run: if dry_run_too { fresh.dry_run } else { present.dry_run },
        ..present.clone()
    }
}

/// Reads the id of an import.
///
/// # Errors
/// [`Reason::RequestMalformed`].
pub fn read_id(text: &str) -> Result<ImportId, Failure> {
    ImportId::parse(text)
        .ok_or_else(|| Failure::field("import_id", "应为 32 位小写十六进制。", "32 lower-case hexadecimal digits."))
}

/// Where a pass says how far it is.
pub(super) struct Tell(watch::Sender<Progress>);

impl Tell {
    fn at(&self, import: &Import) {
        self.0.send_modify(|progress| progress.response = import.response());
    }

    /// While rows are checked.
    pub(super) fn checked(&self, found: &Stored) {
        self.0.send_modify(|progress| {
            progress.response.rows_checked = found.rows_checked;
            progress.response.rows_quarantined = found.rows_quarantined;
        });
    }

    /// While rows take effect.
    pub(super) fn applied(&self, after: &Stored) {
        self.0.send_modify(|progress| {
            let response = &mut progress.response;
            response.rows_applied = after.rows_applied;
            response.rows_unchanged = after.rows_unchanged;
            response.rows_removed = after.rows_removed;
            response.rows_quarantined = after.rows_quarantined;
        });
    }
}
