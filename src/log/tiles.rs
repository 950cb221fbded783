//! The tree cut into tiles of 256 hashes (C2SP tlog-tiles): which become full, where a node lies, how they are named.
//!
//! Tile (l, n) holds the hashes of tree level 8·l from index 256·n on. Only full tiles are stored; partial ones are computed.

use std::fmt::Write as _;

use super::merkle::{HASH_BYTES, NodeId, node_hash};
use super::suite::{Hash, Suite};

/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 256;
/// Tree levels in a tile.
pub const TILE_HEIGHT: u8 = 8;
/// Levels of tiles that 64-bit sizes can fill.
pub const TILE_LEVELS: u8 = 8;

/// Name of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Level of tiles, 0 holding leaf hashes.
    pub level: u8,
    /// Number within its level, from 0.
    pub index: u64,
}

impl TileId {
    /// How many hashes this tile has in a tree of `size` leaves, 0 to 256.
    #[must_use]
    pub fn width_at(self, size: u64) -> usize {
        let hashes = nodes_at(self.level, size);
        let width = hashes.saturating_sub(self.index.saturating_mul(256)).min(256);
        usize::try_from(width).unwrap_or(TILE_WIDTH)
    }

    /// Node of the tree that is the tile's hash number `offset`.
    #[must_use]
    pub fn node(self, offset: u8) -> NodeId {
        let index = self.index.saturating_mul(256).saturating_add(u64::from(offset));
        NodeId { level: self.level.saturating_mul(TILE_HEIGHT), index }
    }

    /// Path under which the tile is published, `tile/<level>/x001/x234/067` with `.p/<width>` when it is not full.
    #[must_use]
    pub fn path(self, width: usize) -> String {
        let mut path = format!("tile/{}/", self.level);
        path.push_str(&path_number(self.index));
        push_width(&mut path, width);
        path
    }
}

/// Path of a bundle of 256 entries, `tile/entries/…`.
#[must_use]
pub fn entries_path(index: u64, width: usize) -> String {
    let mut path = format!("tile/entries/{}", path_number(index));
    push_width(&mut path, width);
    path
}

/// The tiles that are full at `after` leaves and were not at `before`, lowest level first.
pub fn filled(before: u64, after: u64) -> impl Iterator<Item = TileId> {
    (0..TILE_LEVELS).flat_map(move |level| {
        let full = |size| nodes_at(level, size) / 256;
        (full(before)..full(after)).map(move |index| TileId { level, index })
    })
}

/// Where a complete node lies: its tile, its height inside the tile, and its number at that height.
#[must_use]
pub fn place(node: NodeId) -> (TileId, u8, u8) {
    let (level, height) = (node.level / TILE_HEIGHT, node.level % TILE_HEIGHT);
    let bits = u32::from(TILE_HEIGHT.saturating_sub(height));
    let offset = node.index & (1_u64 << bits).saturating_sub(1);
    (TileId { level, index: node.index >> bits }, height, u8::try_from(offset).unwrap_or(u8::MAX))
}

/// The hash of a node at `height` inside a tile, number `offset` at that height. `None` when the tile is too short.
#[must_use]
pub fn node_in_tile<S: Suite>(tile: &[Hash], height: u8, offset: u8) -> Option<Hash> {
    let width = 1_usize.checked_shl(u32::from(height))?;
    let start = usize::from(offset).checked_mul(width)?;
    let mut row = tile.get(start..start.checked_add(width)?)?.to_vec();
    while row.len() > 1 {
        row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash::<S>(left, right)).collect();
    }
    row.first().copied()
}

/// A stored tile as hashes. `None` when the bytes are no whole number of hashes, or more than 256.
#[must_use]
pub fn parse_tile(bytes: &[u8]) -> Option<&[Hash]> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    (rest.is_empty() && hashes.len() <= TILE_WIDTH).then_some(hashes)
}

/// Hashes at tile level `level` in a tree of `size` leaves.
fn nodes_at(level: u8, size: u64) -> u64 {
    size.checked_shr(u32::from(level.saturating_mul(TILE_HEIGHT))).unwrap_or(0)
}

/// A number in groups of three digits, all but the last with an `x` before them.
fn path_number(index: u64) -> String {
    let mut text = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    text
}

fn push_width(path: &mut String, width: usize) {
    if width < TILE_WIDTH {
        let _ = write!(path, ".p/{width}");
    }
}

/// The tiles at the right edge that are not full yet, kept in memory by whoever appends.
#[derive(Clone, Debug, Default)]
pub struct RightEdge<S> {
    partial: Vec<Vec<Hash>>,
    size: u64,
    suite: std::marker::PhantomData<S>,
}

impl<S: Suite> RightEdge<S> {
    /// The edge of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a stored tree. `partial` holds, for each level from 0, the hashes of its last, not full tile: at level 0 the
    /// leaf hashes after the last full tile, above that the roots ([`node_in_tile`] at height 8) of the full tiles below that
    /// no full tile holds yet. `None` when the counts do not fit the size.
    #[must_use]
    pub fn from_parts(size: u64, mut partial: Vec<Vec<Hash>>) -> Option<Self> {
        while partial.last().is_some_and(Vec::is_empty) {
            partial.pop();
        }
        let fits = (0..TILE_LEVELS).all(|level| {
            let expected = usize::try_from(nodes_at(level, size) % 256).ok();
            expected == Some(partial.get(usize::from(level)).map_or(0, Vec::len))
        });
        let suite = std::marker::PhantomData;
        (fits && partial.len() <= usize::from(TILE_LEVELS)).then_some(Self { partial, size, suite })
    }

    /// Leaves in the tree.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the last, not full tile of a level.
    #[must_use]
    pub fn partial(&self, level: u8) -> &[Hash] {
        self.partial.get(usize::from(level)).map_or(&[], Vec::as_slice)
    }

    /// Appends leaf hashes and gives the tiles that became full, as [`filled`] lists them but in the order they filled.
    pub fn append(&mut self, leaves: &[Hash]) -> Vec<(TileId, Vec<Hash>)> {
        let mut full = Vec::new();
        for leaf in leaves {
            let mut hash = *leaf;
            let mut index = self.size;
            for level in 0..TILE_LEVELS {
                if self.partial.len() <= usize::from(level) {
                    self.partial.push(Vec::new());
                }
                let Some(tile) = self.partial.get_mut(usize::from(level)) else { break };
                tile.push(hash);
                index /= 256;
                if tile.len() < TILE_WIDTH {
                    break;
                }
                let tile = std::mem::take(tile);
                hash = node_in_tile::<S>(&tile, TILE_HEIGHT, 0).unwrap_or_default();
                full.push((TileId { level, index }, tile));
            }
            self.size = self.size.saturating_add(1);
        }
        full
    }
}

#[cfg(test)]
mod tests {
    use super::super::merkle::{Frontier, ProofError, leaf_hash};
    use super::super::proof::{HashSource, inclusion_path, root_at};
    use super::*;
    use crate::log::Ed25519;
    use std::collections::BTreeMap;

    struct Tiles(BTreeMap<TileId, Vec<Hash>>, RightEdge<Ed25519>);
    impl HashSource for Tiles {
        type Error = ProofError;
        fn node(&self, node: NodeId) -> Result<Hash, ProofError> {
            let (tile, height, offset) = place(node);
            let hashes = self.0.get(&tile).map_or(self.1.partial(tile.level), Vec::as_slice);
            node_in_tile::<Ed25519>(hashes, height, offset).ok_or(ProofError::OutsideTree)
        }
    }

    #[test]
    fn every_hash_of_the_tree_is_found_in_stored_tiles_and_the_edge() {
        let leaves: Vec<Hash> = (0..66_000_u32).map(|i| leaf_hash::<Ed25519>(&i.to_be_bytes())).collect();
        let mut tiles = Tiles(BTreeMap::new(), RightEdge::new());
        let mut frontier = Frontier::<Ed25519>::new();
        for batch in leaves.chunks(997) {
            let before = frontier.size();
            let appended = frontier.append(batch);
            let mut full = tiles.1.append(batch);
            full.sort_by_key(|(id, _)| *id);
            let after = appended.frontier().size();
            assert_eq!(full.iter().map(|(id, _)| *id).collect::<Vec<_>>(), filled(before, after).collect::<Vec<_>>());
            tiles.0.extend(full);
            assert_eq!(root_at::<Ed25519, _>(&tiles, after).unwrap(), appended.frontier().root());
            assert_eq!(inclusion_path::<Ed25519, _>(&tiles, before, after).unwrap(), appended.path(before).unwrap());
            frontier = appended.into_frontier();
        }
        assert!(tiles.0.contains_key(&TileId { level: 1, index: 0 }));
        let parts = (0..3).map(|level| tiles.1.partial(level).to_vec()).collect::<Vec<_>>();
        assert_eq!(RightEdge::<Ed25519>::from_parts(66_000, parts.clone()).unwrap().size(), 66_000);
        assert!(RightEdge::<Ed25519>::from_parts(66_001, parts).is_none());
    }

    #[test]
    fn tiles_are_named_as_the_specification_names_them() {
        assert_eq!(TileId { level: 0, index: 1_234_067 }.path(256), "tile/0/x001/x234/067");
        assert_eq!(TileId { level: 1, index: 0 }.path(5), "tile/1/000.p/5");
        assert_eq!(entries_path(1000, 256), "tile/entries/x001/000");
        assert_eq!(TileId { level: 0, index: 1 }.width_at(300), 44);
        assert_eq!(TileId { level: 1, index: 0 }.width_at(300), 1);
        assert_eq!(TileId { level: 0, index: 2 }.width_at(300), 0);
        assert_eq!(TileId { level: 1, index: 2 }.node(3), NodeId { level: 8, index: 515 });
    }
}
