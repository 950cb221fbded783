//! A new log after a loss: the hub was restored to an older state than outsiders have seen.
//!
//! The old origin ends where its last signature ended: continuing it would sign a second history. The new origin `<hub>/wuku/<n+1>`
//! takes over the restored entries as its first leaves, byte for byte and index for index, and its first entry of its own says so in
//! clear: the old origin, the highest head that anybody is known to have seen, and the head restored to. So
//!
//! - stamps, positions, statements and the ledger keep their indices: nothing stored is moved or renamed;
//! - a restored entry is proved in both logs, and a consistency proof from the restored head shows that none was changed;
//! - evidence of the old log, lost entries included, stays verifiable: it carries its own checkpoint, and the trust file keeps the old
//!   log, closed.
//!
//! Order: key file, store, fence. A crash after the first leaves a key that is used when run again; after the second, a store whose log
//! is ahead of the fence's, which is recognised and finished when run again; the hub does not start in between.
mod tail;

pub use tail::{Shortened, TailFault, cut_tails};

use super::head::{self, Head, Stored};
use super::trust::TrustedKey;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::library::record::from_store;
use crate::log::checkpoint::SignedCheckpoint;
use crate::log::merkle::leaf_hash;
use crate::log::note::NoteError;
use crate::log::{Entry, LogKey, Origin, Suite};
use crate::store::fence::{Fence, FenceError, Head as FenceHead};
use crate::store::{Batch, BatchId, Check, CommitError, Store, key_space};
use crate::wire::proto::receipt::v1::{Head as SaidHead, LogOpened, PublicEvent, public_event::Event};
use bytes::Bytes;
use prost::Message;
use std::path::Path;

/// What is known when a new log is to be opened.
pub struct Loss<'a> {
    /// The restored store.
    pub store: &'a dyn Store,
    /// The fence's folder.
    pub fence: &'a Path,
    /// The operator says that the fence is gone; else it must read.
    pub fence_lost: bool,
    /// Checkpoints of the old log that others hold.
    pub seen: &'a [SignedCheckpoint],
    /// The old log's keys, one of which those must be signed with.
    pub old_keys: &'a [TrustedKey],
    /// The origin as still configured.
    pub configured: &'a Origin,
}

/// A new log that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLog {
    /// Its origin.
    pub origin: Origin,
    /// The log it goes on from.
    pub old_origin: Origin,
    /// Its first entry of its own, and the least size its key signs for.
    pub size: u64,
    /// When that entry was made, Unix seconds: the old log is closed at it.
    pub time_s: u64,
    /// Entries of the old log taken over.
    pub restored: u64,
    /// Entries of the old log that somebody has seen.
    pub known: u64,
}

/// Why no new log was opened.
#[derive(Debug, thiserror::Error)]
pub enum RecoverFault {
    /// The stored log goes on from everything that is known: a new one would lose trust for nothing.
    #[error(
        "nothing is lost: the stored log has everything that fence and checkpoints have seen. Start the hub. \
             (没有丢失：库中日志包含所有已知的历史，可直接启动。)"
    )]
    NothingLost,
    /// The fence does not read, and the operator has not said that it is gone.
    #[error("{0}. If its disk is gone for good, add --fence-lost. (防回退文件无法读取；确已丢失的加 --fence-lost。)")]
    FenceUnreadable(FenceError),
    /// Fence, store and configuration are of different logs.
    #[error(
        "the store holds log {store}, fence and configuration speak of {other}: check the paths \
             (库中、防回退文件与配置不是同一日志，请核对路径)"
    )]
    OtherLog {
        /// In the store.
        store: String,
        /// Elsewhere.
        other: String,
    },
    /// A checkpoint is of another log or not signed by its key.
    #[error("a checkpoint given with --seen is not signed by the old log's key (--seen 的检查点不是原日志密钥签名的)")]
    SeenForeign,
    /// What was restored is damaged itself.
    #[error("the restored log does not fit together, restore another backup: {0} (恢复的日志前后不符，请换一份备份)")]
    Damaged(Failure),
    /// Times never go down.
    #[error("the clock stands more than a second behind the newest entry: set it first (时钟落后于最新条目，请先校时)")]
    ClockBehind,
    /// The new key could not be made or kept.
    #[error("the new log key: {0}")]
    Key(String),
    /// The store did not take it.
    #[error("the store did not take the new log, run this again: {0} (库未写入，请再运行一次)")]
    Commit(#[from] CommitError),
    /// The fence could not be moved; the store was.
    #[error("the fence could not be moved, run this again: {0} (防回退文件未更新，请再运行一次)")]
    Fence(FenceError),
}

impl From<NoteError> for RecoverFault {
    fn from(error: NoteError) -> Self {
        Self::Key(error.to_string())
    }
}

/// Opens the new log. `key_of` makes the key of the new origin and keeps it durably, or reads the one kept by an earlier run.
///
/// # Errors
/// A [`RecoverFault`]; before [`RecoverFault::Commit`] nothing was changed.
pub async fn new_log<S: Suite>(
    loss: Loss<'_>,
    clock: &Clock,
    key_of: impl FnOnce(&Origin) -> Result<LogKey, RecoverFault>,
) -> Result<NewLog, RecoverFault> {
    let fence = match Fence::open(loss.fence) {
        Ok(fence) => Some(fence),
        Err(_) if loss.fence_lost => None,
        Err(error) => return Err(RecoverFault::FenceUnreadable(error)),
    };
    let stored = read_head(loss.store).await?;
    if let Some(done) = interrupted(&loss, fence.as_ref(), stored.as_ref()).await? {
        move_fence(&loss, fence, &done.1)?;
        return Ok(done.0);
    }
    let held = held(&loss, stored.as_ref())?;
    let known = known(&loss, fence.as_ref())?;
    let base = head::load::<S>(loss.store, &held).await.map_err(RecoverFault::Damaged)?;
    let earlier = held != *loss.configured;
    if !earlier && !loss.fence_lost && !is_lost::<S>(&loss, &known, base.frontier.size()).await? {
        return Err(RecoverFault::NothingLost);
    }
    let highest = highest(&known, &base);
    let origin = loss.configured.next().ok_or_else(|| RecoverFault::Key("origins have run out".into()))?;
    let now_ms = clock.now_ms();
    if now_ms.saturating_add(1_000) < base.time_s.saturating_mul(1_000) {
        return Err(RecoverFault::ClockBehind);
    }
    let key = key_of(&origin)?;
    let time_s = base.time_s.max(now_ms / 1_000);
    let restored = base.frontier.size();
    let event = LogOpened {
        origin: origin.to_string(),
        suite: S::NAME.as_str().to_owned(),
        vkey: key.verifier().to_string(),
        previous_origin: loss.configured.to_string(),
        previous_head: Some(highest.clone()),
        restored_head: Some(said(restored, &base.frontier.root())),
    };
    let moved = commit::<S>(loss.store, base, &origin, time_s, event).await?;
    move_fence(&loss, fence, &moved)?;
    Ok(NewLog { old_origin: loss.configured.clone(), origin, size: moved.size, time_s, restored, known: highest.size })
}

async fn read_head(store: &dyn Store) -> Result<Option<Head>, RecoverFault> {
    let snapshot = store.snapshot().await.map_err(|e| RecoverFault::Damaged(from_store(e)))?;
    let head = head::read(snapshot.as_ref()).await.map_err(RecoverFault::Damaged)?;
    Ok(head.map(|(head, _)| head))
}

/// An earlier run that moved the store and not the fence: the stored log is the one after the configured one, and its newest entry
/// opened it.
async fn interrupted(
    loss: &Loss<'_>,
    fence: Option<&Fence>,
    stored: Option<&Head>,
) -> Result<Option<(NewLog, FenceHead)>, RecoverFault> {
    let Some((head, next)) = stored.zip(loss.configured.next()) else { return Ok(None) };
    let already = fence.and_then(Fence::newest).is_some_and(|newest| newest.origin == head.origin);
    let (Some(last), false) = (head.size.checked_sub(1), head.origin != next.to_string() || already) else {
        return Ok(None);
    };
    let snapshot = loss.store.snapshot().await.map_err(|e| RecoverFault::Damaged(from_store(e)))?;
    let entry = head::entry_at(snapshot.as_ref(), last).await.map_err(RecoverFault::Damaged)?;
    let Entry::Public { time_s, event } = entry else { return Ok(None) };
    let Ok(PublicEvent { event: Some(Event::LogOpened(opened)), .. }) = PublicEvent::decode(event.as_slice()) else {
        return Ok(None);
    };
    if opened.origin != head.origin || opened.previous_origin != loss.configured.to_string() {
        return Ok(None);
    }
    let root = head.root.as_ref().try_into().unwrap_or_default();
    let moved = FenceHead { origin: head.origin.clone(), size: head.size, root };
    let size_of = |head: Option<SaidHead>| head.map_or(0, |head| head.size);
    let new_log = NewLog {
        origin: next,
        old_origin: loss.configured.clone(),
        size: head.size,
        time_s,
        restored: size_of(opened.restored_head),
        known: size_of(opened.previous_head),
    };
    Ok(Some((new_log, moved)))
}

/// The log that was restored: the configured one, or an earlier one of the same hub, from a backup made before a new log was opened.
fn held(loss: &Loss<'_>, stored: Option<&Head>) -> Result<Origin, RecoverFault> {
    let Some(head) = stored else { return Ok(loss.configured.clone()) };
    let origin = Origin::parse(&head.origin);
    let ours = |held: &Origin| held.hub() == loss.configured.hub() && held.number() <= loss.configured.number();
    origin
        .filter(ours)
        .ok_or_else(|| RecoverFault::OtherLog { store: head.origin.clone(), other: loss.configured.to_string() })
}

/// Every head of the old log that somebody has seen.
fn known(loss: &Loss<'_>, fence: Option<&Fence>) -> Result<Vec<SaidHead>, RecoverFault> {
    let mut known = Vec::new();
    if let Some(newest) = fence.and_then(Fence::newest) {
        if newest.origin != loss.configured.to_string() {
            let (store, other) = (loss.configured.to_string(), newest.origin.clone());
            return Err(RecoverFault::OtherLog { store, other });
        }
        known.push(said(newest.size, &newest.root));
    }
    for seen in loss.seen {
        let signed = loss.old_keys.iter().any(|trusted| trusted.vouches_for(seen));
        if !signed || seen.checkpoint.origin != *loss.configured {
            return Err(RecoverFault::SeenForeign);
        }
        known.push(said(seen.checkpoint.size, &seen.checkpoint.root));
    }
    // What a caller has shown the running hub was kept beside the fence. It was verified then; one of an earlier log is of no matter.
    for note in Fence::kept_notes(loss.fence).map_err(RecoverFault::Fence)? {
        let kept = SignedCheckpoint::parse(&note).ok().filter(|seen| seen.checkpoint.origin == *loss.configured);
        known.extend(kept.map(|seen| said(seen.checkpoint.size, &seen.checkpoint.root)));
    }
    Ok(known)
}

/// Whether somebody has seen what the store does not have.
async fn is_lost<S: Suite>(loss: &Loss<'_>, known: &[SaidHead], size: u64) -> Result<bool, RecoverFault> {
    let snapshot = loss.store.snapshot().await.map_err(|e| RecoverFault::Damaged(from_store(e)))?;
    for head in known {
        if head.size > size {
            return Ok(true);
        }
        let root = head::root_at::<S>(snapshot.as_ref(), head.size).await.map_err(RecoverFault::Damaged)?;
        if root != head.root.as_ref() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The highest of them; the restored head where nobody is known to have seen any.
fn highest<S: Suite>(known: &[SaidHead], base: &Stored<S>) -> SaidHead {
    let own = said(base.frontier.size(), &base.frontier.root());
    known.iter().max_by_key(|head| head.size).cloned().unwrap_or(own)
}

/// One batch: the opening entry, the tiles it fills, the head under the new origin.
async fn commit<S: Suite>(
    store: &dyn Store,
    mut base: Stored<S>,
    origin: &Origin,
    time_s: u64,
    opened: LogOpened,
) -> Result<FenceHead, RecoverFault> {
    let event = PublicEvent { format: 1, hub: origin.hub().to_string(), event: Some(Event::LogOpened(opened)) };
    let entry = Entry::Public { time_s, event: event.encode_to_vec() };
    let entry = entry.to_bytes().map_err(|e| RecoverFault::Key(e.to_string()))?;
    let leaf = leaf_hash::<S>(&entry);
    let index = base.frontier.size();
    let frontier = base.frontier.append(&[leaf]).into_frontier();
    let mut batch = Batch::new(BatchId::random().map_err(|e| RecoverFault::Key(e.to_string()))?);
    batch.put_fresh(key_space::entry(index), entry);
    for (tile, hashes) in base.edge.append(&[leaf]) {
        batch.put_fresh(key_space::tile(tile.level, tile.index), hashes.as_flattened().to_vec());
    }
    batch.put(key_space::head(), Head::of(origin, &frontier, time_s).encode_to_vec());
    batch.check(match base.head_version {
        0 => Check::Absent(key_space::head()),
        version => Check::Version(key_space::head(), version),
    });
    // From here a crash leaves the new log in the store and the old one in the fence: run again to finish.
    store.commit(batch).await?;
    Ok(FenceHead { origin: origin.to_string(), size: frontier.size(), root: frontier.root() })
}

fn move_fence(loss: &Loss<'_>, fence: Option<Fence>, head: &FenceHead) -> Result<(), RecoverFault> {
    let fence = match fence {
        Some(fence) => Ok(fence),
        None => Fence::create(loss.fence),
    };
    fence.and_then(|mut fence| fence.begin_origin(head.clone())).map_err(RecoverFault::Fence)
}

fn said(size: u64, root: &[u8]) -> SaidHead {
    SaidHead { size, root: Bytes::copy_from_slice(root) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{HubName, SuiteName, in_suite};
    use crate::receipt::fsck::{Subject, check};
    use crate::receipt::house::{HUB, House, clock};
    use crate::receipt::recorder::Recorded;
    use crate::receipt::start::StartFault;
    use crate::receipt::statement::PAYLOAD_NAME;
    use crate::receipt::trust::{KeyState, Trust, TrustedKey, TrustedLog};
    use crate::receipt::verify::{Options, verify_message};
    use crate::receipt::{Evidence, Step};

    const NEW_SEED: [u8; 32] = [8; 32];

    fn evidence(recorded: &Recorded) -> Evidence {
        let item = recorded.single().unwrap();
        let receipt = Some(item.receipt().clone());
        Evidence { payload_name: PAYLOAD_NAME.into(), payload: item.payload().clone(), receipt }
    }

    /// A hub restored to its state after three entries, with a fourth and fifth known to others.
    async fn restored() -> (House, Recorded, Recorded) {
        restored_in(SuiteName::Ed25519).await
    }

    async fn restored_in(suite: SuiteName) -> (House, Recorded, Recorded) {
        let mut house = House::of(suite).await;
        let kept = house.look_up().await;
        house.record(2).await;
        let backup = house.copy_of_store().await;
        house.record(1).await;
        let lost = house.look_up().await;
        house.stop().await;
        house.store = backup;
        (house, kept, lost)
    }

    async fn recover(house: &House, fence_lost: bool, seen: &[SignedCheckpoint]) -> Result<NewLog, RecoverFault> {
        let old_keys = crate::receipt::trust::known_keys(house.key().verifier(), None);
        let loss = Loss {
            store: house.store.as_ref(),
            fence: &house.fence,
            fence_lost,
            seen,
            old_keys: &old_keys,
            configured: &house.origin,
        };
        let suite = house.vault.suite();
        let key = |origin: &Origin| Ok(LogKey::from_seed(&origin.to_string(), suite, &NEW_SEED)?);
        in_suite!(suite, S => new_log::<S>(loss, &clock(), key).await)
    }

    fn trust(house: &House, new: &NewLog) -> Trust {
        let suite = house.vault.suite();
        let log = |origin: &Origin, seed: &[u8; 32], from_size, closed_at_s| {
            let key = LogKey::from_seed(&origin.to_string(), suite, seed).unwrap();
            let key = TrustedKey { key: key.verifier().clone(), from_size, to_size: None, state: KeyState::Active };
            TrustedLog { origin: origin.clone(), suite, keys: vec![key], closed_at_s }
        };
        let logs = vec![
            log(&new.old_origin, &house.key_seed, 0, Some(new.time_s)),
            log(&new.origin, &NEW_SEED, new.size, None),
        ];
        Trust { hub: HubName::parse(HUB).unwrap(), epoch: 2, logs }
    }

    #[tokio::test]
    async fn a_restored_hub_goes_on_in_a_new_log_and_all_evidence_stays_good() {
        for suite in SuiteName::ALL {
            goes_on(suite).await;
        }
    }

    async fn goes_on(suite: SuiteName) {
        let (mut house, kept, lost) = restored_in(suite).await;
        assert!(matches!(house.open().await, Err(StartFault::FenceAhead { fence: 5, head: 3 })));
        let new = recover(&house, false, &[]).await.unwrap();
        assert_eq!((new.origin.number(), new.restored, new.known, new.size), (2, 3, 5, 4));
        let trust = trust(&house, &new);
        house.origin = new.origin.clone();
        house.key_seed = NEW_SEED;
        house.seed_key();
        house.start().await;
        let after = house.look_up().await;
        assert_eq!(after.single().unwrap().receipt().leaf_index, 4);
        for (name, recorded) in [("kept", &kept), ("lost", &lost), ("after", &after)] {
            let verdict = verify_message(&evidence(recorded), &trust, &Options::default());
            assert!(verdict.good, "{name}: {:?} {}", verdict.failed_step, verdict.detail);
        }
        // The entry that was kept is proved in the new log too.
        let mut moved = evidence(&kept);
        let receipt = moved.receipt.as_mut().unwrap();
        let snapshot = house.store.snapshot().await.unwrap();
        let proved = in_suite!(suite, S => crate::receipt::proofs::inclusion::<S>(snapshot.as_ref(), 5, 0, 5).await);
        receipt.path = proved.unwrap();
        receipt.checkpoint = house.ledger().latest().checkpoint;
        assert!(verify_message(&moved, &trust, &Options::default()).good);
        // The one that was lost is not.
        let mut forged = evidence(&lost);
        forged.receipt.as_mut().unwrap().checkpoint = house.ledger().latest().checkpoint;
        assert_eq!(verify_message(&forged, &trust, &Options::default()).failed_step, Some(Step::Root));
        house.stop().await;
        let subject = Subject { store: house.store.as_ref(), vault: &house.vault, hub: HUB, fence: Some(&house.fence) };
        let report = check(subject, &mut |_| ()).await.unwrap();
        assert!(report.is_clean(), "{:?}", report.findings);
    }

    #[tokio::test]
    async fn the_first_entry_of_its_own_names_the_old_log_and_both_heads() {
        let (house, ..) = restored().await;
        let known = Fence::read(&house.fence).unwrap().unwrap();
        recover(&house, false, &[]).await.unwrap();
        let snapshot = house.store.snapshot().await.unwrap();
        let Entry::Public { event, .. } = head::entry_at(snapshot.as_ref(), 3).await.unwrap() else { panic!() };
        let event = crate::receipt::statement::parse_public(&event).unwrap();
        let Some(Event::LogOpened(opened)) = event.event else { panic!("{event:?}") };
        assert_eq!((opened.origin.as_str(), opened.previous_origin.as_str()), ("hub.test/wuku/2", "hub.test/wuku/1"));
        assert_eq!(opened.previous_head, Some(said(5, &known.root)));
        let root = head::root_at::<crate::log::Ed25519>(snapshot.as_ref(), 3).await.unwrap();
        assert_eq!(opened.suite, "ed25519");
        assert_eq!(opened.restored_head, Some(said(3, &root)));
    }

    #[tokio::test]
    async fn where_nothing_is_lost_no_new_log_is_opened() {
        let mut house = House::new().await;
        house.record(3).await;
        house.stop().await;
        assert!(matches!(recover(&house, false, &[]).await, Err(RecoverFault::NothingLost)));
        assert_eq!(house.open().await.unwrap().latest().head.size, 3, "it still starts");
    }

    #[tokio::test]
    async fn a_checkpoint_that_others_hold_counts_and_a_foreign_one_is_refused() {
        let (mut house, _, lost) = restored().await;
        let seen = SignedCheckpoint::parse(&lost.single().unwrap().receipt().checkpoint).unwrap();
        std::fs::remove_dir_all(&house.fence).unwrap();
        assert!(matches!(recover(&house, false, &[]).await, Err(RecoverFault::FenceUnreadable(_))));
        house.key_seed = [9; 32];
        assert!(matches!(recover(&house, true, std::slice::from_ref(&seen)).await, Err(RecoverFault::SeenForeign)));
        house.key_seed = [7; 32];
        let new = recover(&house, true, &[seen]).await.unwrap();
        assert_eq!((new.restored, new.known), (3, 5));
        assert_eq!(Fence::read(&house.fence).unwrap().unwrap().origin, "hub.test/wuku/2");
    }

    #[tokio::test]
    async fn a_backup_from_before_an_earlier_new_log_is_recovered_into_a_third() {
        let (mut house, ..) = restored().await;
        let backup = house.copy_of_store().await;
        let second = recover(&house, false, &[]).await.unwrap();
        house.origin = second.origin;
        house.seed_key();
        house.store = backup; // the log of the first origin again
        assert!(matches!(house.open().await, Err(StartFault::OtherOrigin { place: "store", .. })));
        let third = recover(&house, false, &[]).await.unwrap();
        assert_eq!((third.origin.number(), third.old_origin.number()), (3, 2));
        assert_eq!((third.restored, third.known), (3, 4));
        house.origin = third.origin;
        house.key_seed = NEW_SEED;
        house.seed_key();
        house.start().await;
        assert_eq!(house.look_up().await.single().unwrap().receipt().leaf_index, 4);
    }

    #[tokio::test]
    async fn a_run_cut_between_store_and_fence_is_finished_by_the_next() {
        let (house, ..) = restored().await;
        let slots: Vec<_> = ["slot-0", "slot-1"].map(|slot| std::fs::read(house.fence.join(slot)).unwrap()).into();
        let first = recover(&house, false, &[]).await.unwrap();
        for (slot, bytes) in ["slot-0", "slot-1"].iter().zip(slots) {
            std::fs::write(house.fence.join(slot), bytes).unwrap();
        }
        assert!(matches!(house.open().await, Err(StartFault::OtherOrigin { place: "store", .. })));
        assert_eq!(recover(&house, false, &[]).await.unwrap(), first);
        assert_eq!(Fence::read(&house.fence).unwrap().unwrap().size, 4);
    }
}
