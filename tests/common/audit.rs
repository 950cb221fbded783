//! After every test: the log is whole, it is the one the fence saw, and everything the hub ever said stands in it.
use crate::harness::Hub;
use prost::Message;
use std::collections::HashSet;
use std::sync::Arc;
use wuku::clock::Clock;
use wuku::log::checkpoint::SignedCheckpoint;
use wuku::log::entry::{commitment, statement_entry};
use wuku::log::merkle::{empty_root, leaf_hash};
use wuku::log::{Checkpoint, Entry, Frontier, Hash, Suite, SuiteName, in_suite};
use wuku::receipt::recorder::KeptStatement;
use wuku::receipt::statement::{self, PAYLOAD_NAME};
use wuku::receipt::verify::{Options, verify_message};
use wuku::receipt::{Kind, Outcome, head};
use wuku::store::fence::Fence;
use wuku::store::rocks::{Rocks, RocksSettings};
use wuku::store::vault::{Kek, Vault};
use wuku::store::{Direction, Snapshot, Store, key_space};
use wuku::wire::proto::exchange::v1::ChangeQuestion;

/// A stopped hub's data folder, opened.
pub struct Opened {
    /// One moment of it.
    pub snapshot: Arc<dyn Snapshot>,
    /// What opens its rows.
    pub vault: Vault,
    /// The store, for who damages it.
    pub store: Arc<dyn Store>,
}

impl Opened {
    /// A fresh moment of it: at rest all are the same, and none lives long enough to read a long log in.
    pub async fn moment(&self) -> Arc<dyn Snapshot> {
        self.store.snapshot().await.unwrap()
    }
}

/// Opens a stopped hub's data folder.
pub async fn open(hub: &Hub) -> Opened {
    let settings = RocksSettings { block_cache_bytes: 8 << 20, ..RocksSettings::default() };
    let store: Arc<dyn Store> = Arc::new(Rocks::open(&hub.config.data.path, &settings, Clock::system()).unwrap());
    let kek = Kek::load(&hub.config.keys.kek_file, &hub.config.data.path).unwrap();
    let vault = Vault::open(&kek, store.as_ref()).await.unwrap();
    Opened { snapshot: store.snapshot().await.unwrap(), vault, store }
}

/// Every entry of the log, read by itself.
pub async fn entries(opened: &Opened) -> Vec<Vec<u8>> {
    let (head, _) = head::read(opened.moment().await.as_ref()).await.unwrap().unwrap();
    let mut entries = Vec::new();
    let mut range = Some(key_space::entries(0, head.size));
    while let Some(next) = range {
        let page = opened.moment().await.scan(next, Direction::Forward, 256).await.unwrap();
        for (key, value) in page.rows {
            assert_eq!(key_space::parse_entry(&key), Some(entries.len() as u64), "an entry is missing");
            entries.push(value.body.to_vec());
        }
        range = page.next;
    }
    assert_eq!(entries.len() as u64, head.size);
    entries
}

/// Verifies the whole log of a stopped hub.
pub async fn whole(hub: &Hub) {
    let opened = open(hub).await;
    let entries = entries(&opened).await;
    let roots = roots(hub.suite(), &entries);
    let (head, _) = head::read(opened.moment().await.as_ref()).await.unwrap().unwrap();
    assert_eq!(head.root.as_ref(), roots.last().unwrap(), "the head's root is not the root over the entries");
    let fence = Fence::read(&hub.config.fence.path).unwrap().expect("a fence that has seen the log");
    assert!(fence.size <= head.size, "the fence is ahead of the log");
    assert_eq!(fence.root, roots[usize::try_from(fence.size).unwrap()], "the fence has seen another log");
    let mut last_s = 0;
    let mut changes = HashSet::new();
    for (index, bytes) in entries.iter().enumerate() {
        let entry = Entry::parse(bytes).unwrap();
        assert!(entry.time_s() >= last_s, "time went down at entry {index}");
        last_s = entry.time_s();
        if let Some(change) = statement_of(&opened, index as u64, &entry).await {
            assert!(changes.insert(change.clone()), "a change stands in the log twice: {change:?}");
        }
    }
    for evidence in hub.proofs.lock().unwrap().iter() {
        still_good(hub, evidence, &entries, &roots);
    }
}

/// The kept statement of an entry opens under it and is canonical. Gives caller and request id of a change that took effect.
async fn statement_of(opened: &Opened, index: u64, entry: &Entry) -> Option<(String, String)> {
    match entry {
        Entry::Public { event, .. } => {
            statement::parse_public(event).unwrap();
            None
        }
        Entry::Statement { commitment: stored, .. } => {
            let row = opened.moment().await.get(&key_space::statement_row(index)).await.unwrap().unwrap();
            let kept = KeptStatement::open(&opened.vault, stored, &row.body).unwrap();
            let salt = kept.salt.as_ref().try_into().unwrap();
            let made = in_suite!(opened.vault.suite(), S => commitment::<S>(&salt, &kept.statement));
            assert_eq!(made, *stored, "entry {index} commits to something else");
            let statement = statement::parse(&kept.statement).unwrap();
            assert_eq!(statement.payload_name, PAYLOAD_NAME);
            assert!(statement.position <= index);
            if statement.outcome() != Outcome::Done || statement.kind() == Kind::SealUse {
                return None;
            }
            let asked = ChangeQuestion::decode(kept.question).unwrap();
            (!asked.request_id.is_empty()).then_some((statement.caller, asked.request_id))
        }
    }
}

/// Evidence given out before is still good, and its entry and checkpoint are of this very log.
pub fn still_good(hub: &Hub, evidence: &wuku::receipt::Evidence, entries: &[Vec<u8>], roots: &[Hash]) {
    let verdict = verify_message(evidence, &hub.trust, &Options::default());
    assert!(verdict.good, "{:?} {}", verdict.failed_step, verdict.detail);
    let receipt = evidence.receipt.as_ref().unwrap();
    let salt = receipt.salt.as_ref().try_into().unwrap();
    let made = in_suite!(hub.suite(), S => commitment::<S>(&salt, &receipt.statement));
    let entry = statement_entry(receipt.time_s, &made);
    let index = usize::try_from(receipt.leaf_index).unwrap();
    assert_eq!(entries.get(index).map(Vec::as_slice), Some(entry.as_slice()), "entry {index} is lost or another");
    consistent(&receipt.checkpoint, roots);
}

/// A checkpoint that was given out is a prefix of the log.
pub fn consistent(checkpoint: &[u8], roots: &[Hash]) {
    let Checkpoint { size, root, .. } = SignedCheckpoint::parse(checkpoint).unwrap().checkpoint;
    assert_eq!(Some(&root), roots.get(usize::try_from(size).unwrap()), "no prefix of the log: size {size}");
}

/// The root at every size, the empty log's first.
pub fn roots(suite: SuiteName, entries: &[Vec<u8>]) -> Vec<Hash> {
    in_suite!(suite, S => roots_in::<S>(entries))
}

fn roots_in<S: Suite>(entries: &[Vec<u8>]) -> Vec<Hash> {
    let mut frontier = Frontier::<S>::new();
    let mut roots = vec![empty_root::<S>()];
    for entry in entries {
        frontier = frontier.append(&[leaf_hash::<S>(entry)]).into_frontier();
        roots.push(frontier.root());
    }
    roots
}
