//! The head row: how far the log goes, kept with the frontier so that appending needs no read.
use crate::failure::{Failure, Reason};
use crate::library::record::from_store;
use crate::log::entry::Entry;
use crate::log::merkle::leaf_hash;
use crate::log::proof::Plan;
use crate::log::tiles::{RightEdge, TILE_HEIGHT, TILE_LEVELS, TileId, node_in_tile, parse_tile, place};
use crate::log::{Frontier, Hash, NodeId, Origin, Suite};
use crate::store::{Direction, Snapshot, Store, key_space};
use bytes::Bytes;
use prost::Message;

/// The head row.
#[derive(Clone, PartialEq, Message)]
pub struct Head {
    /// The log's origin.
    #[prost(string, tag = "1")]
    pub origin: String,
    /// Entries.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// Root over them.
    #[prost(bytes = "bytes", tag = "3")]
    pub root: Bytes,
    /// Time of the newest, Unix seconds.
    #[prost(uint64, tag = "4")]
    pub time_s: u64,
    /// The right edge of the tree.
    #[prost(bytes = "bytes", tag = "5")]
    pub frontier: Bytes,
}

impl Head {
    /// The head of a tree.
    #[must_use]
    pub fn of<S: Suite>(origin: &Origin, frontier: &Frontier<S>, time_s: u64) -> Self {
        Self {
            origin: origin.to_string(),
            size: frontier.size(),
            root: Bytes::copy_from_slice(&frontier.root()),
            time_s,
            frontier: frontier.to_bytes().into(),
        }
    }
}

/// What a sequencer starts from.
pub struct Stored<S> {
    /// The right edge as hashes.
    pub frontier: Frontier<S>,
    /// The tiles that are not full yet.
    pub edge: RightEdge<S>,
    /// Time of the newest entry.
    pub time_s: u64,
    /// Version of the head row; 0 for none.
    pub head_version: u64,
}

/// Reads the head row of a snapshot; `None` for an empty store.
///
/// # Errors
/// [`Reason::RecordDamaged`] where it does not decode.
pub async fn read(snapshot: &dyn Snapshot) -> Result<Option<(Head, u64)>, Failure> {
    let Some(value) = snapshot.get(&key_space::head()).await.map_err(from_store)? else { return Ok(None) };
    let head = Head::decode(value.body).map_err(|e| damaged(format!("head row: {e}")))?;
    Ok(Some((head, value.version)))
}

/// Loads what the sequencer of `origin` starts from, and checks it against the stored leaves of the right edge.
///
/// # Errors
/// [`Reason::RecordDamaged`] where head, tiles and entries do not fit together.
pub async fn load<S: Suite>(store: &dyn Store, origin: &Origin) -> Result<Stored<S>, Failure> {
    let snapshot = store.snapshot().await.map_err(from_store)?;
    let Some((head, head_version)) = read(snapshot.as_ref()).await? else {
        return Ok(Stored { frontier: Frontier::new(), edge: RightEdge::new(), time_s: 0, head_version: 0 });
    };
    if head.origin != origin.to_string() {
        return Err(damaged(format!("the stored log is {}, the configured one {origin}", head.origin)));
    }
    let frontier = Frontier::<S>::parse(&head.frontier).map_err(damaged)?;
    let mut partial = Vec::new();
    for level in 0..TILE_LEVELS {
        partial.push(partial_tile::<S>(snapshot.as_ref(), level, head.size).await?);
    }
    let edge =
        RightEdge::from_parts(head.size, partial).ok_or_else(|| damaged("the right edge does not fit the head"))?;
    let root = root_at::<S>(snapshot.as_ref(), head.size).await?;
    if frontier.size() != head.size || frontier.root() != root || head.root.as_ref() != root {
        return Err(damaged("the head's root is not the root over the stored entries"));
    }
    Ok(Stored { frontier, edge, time_s: head.time_s, head_version })
}

/// The root over the first `size` stored entries, from tiles and entries, not from the head.
///
/// # Errors
/// [`Reason::RecordDamaged`] where something is missing.
pub async fn root_at<S: Suite>(snapshot: &dyn Snapshot, size: u64) -> Result<Hash, Failure> {
    if size == 0 {
        return Ok(Frontier::<S>::new().root());
    }
    let hashes = assemble::<S>(snapshot, &Plan::root(size)).await?;
    hashes.first().copied().ok_or_else(|| damaged("a root without hashes"))
}

/// The hashes of a proof, read from a snapshot.
///
/// # Errors
/// [`Reason::RecordDamaged`] where something is missing.
pub async fn assemble<S: Suite>(snapshot: &dyn Snapshot, plan: &Plan) -> Result<Vec<Hash>, Failure> {
    let mut hashes = Vec::with_capacity(plan.nodes().len());
    for node in plan.nodes() {
        hashes.push(node_hash_at::<S>(snapshot, *node).await?);
    }
    plan.assemble::<S>(&hashes).map_err(damaged)
}

/// The hash of a complete node: from its full tile, else from what lies below it.
async fn node_hash_at<S: Suite>(snapshot: &dyn Snapshot, node: NodeId) -> Result<Hash, Failure> {
    let (tile, height, offset) = place(node);
    if let Some(row) = snapshot.get(&key_space::tile(tile.level, tile.index)).await.map_err(from_store)? {
        let hashes = parse_tile(&row.body).ok_or_else(|| damaged("a tile of a strange length"))?;
        return node_in_tile::<S>(hashes, height, offset).ok_or_else(|| damaged("a tile that is too short"));
    }
    // The tile is not full: only the hashes this node needs.
    let width = 1_u64 << height;
    let first = tile.index * 256 + u64::from(offset) * width;
    let hashes = level_hashes::<S>(snapshot, tile.level, first, first + width).await?;
    node_in_tile::<S>(&hashes, height, 0).ok_or_else(|| damaged("entries are missing below a node"))
}

/// The hashes of tile level `level` from `first` up to `end`: leaf hashes at 0, above that roots of full tiles.
async fn level_hashes<S: Suite>(
    snapshot: &dyn Snapshot,
    level: u8,
    first: u64,
    end: u64,
) -> Result<Vec<Hash>, Failure> {
    if level == 0 {
        let page = snapshot.scan(key_space::entries(first, end), Direction::Forward, 256).await.map_err(from_store)?;
        for ((key, _), expected) in page.rows.iter().zip(first..) {
            if key_space::parse_entry(key) != Some(expected) {
                return Err(damaged(format!("entry {expected} is missing")));
            }
        }
        return Ok(page.rows.iter().map(|(_, value)| leaf_hash::<S>(&value.body)).collect());
    }
    let mut hashes = Vec::new();
    for index in first..end {
        let row = snapshot.get(&key_space::tile(level - 1, index)).await.map_err(from_store)?;
        let row = row.ok_or_else(|| damaged(format!("tile {index} of level {} is missing", level - 1)))?;
        let tile = parse_tile(&row.body).ok_or_else(|| damaged("a tile of a strange length"))?;
        hashes.push(node_in_tile::<S>(tile, TILE_HEIGHT, 0).ok_or_else(|| damaged("a tile that is too short"))?);
    }
    Ok(hashes)
}

/// The hashes of the last, not full tile of a level.
async fn partial_tile<S: Suite>(snapshot: &dyn Snapshot, level: u8, size: u64) -> Result<Vec<Hash>, Failure> {
    let count = size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0);
    let tile = TileId { level, index: count / 256 };
    let width = tile.width_at(size) as u64;
    level_hashes::<S>(snapshot, level, tile.index * 256, tile.index * 256 + width).await
}

/// One entry as it was hashed.
///
/// # Errors
/// [`Reason::RecordDamaged`] where it is missing or no entry.
pub async fn entry_at(snapshot: &dyn Snapshot, index: u64) -> Result<Entry, Failure> {
    let row = snapshot.get(&key_space::entry(index)).await.map_err(from_store)?;
    let row = row.ok_or_else(|| damaged(format!("entry {index} is missing")))?;
    Entry::parse(&row.body).map_err(damaged)
}

fn damaged(why: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::RecordDamaged).because(format!("log: {why}"))
}
