//! The tree of RFC 9162 section 2.1: append a batch, prove it, verify proofs.
//!
//! Leaf `H(0x00 ‖ entry)`, node `H(0x01 ‖ left ‖ right)`. A node with no right sibling yet is carried up unhashed, which gives
//! the same roots as the RFC's recursive definition. Generating proofs from stored hashes is in [`super::proof`].

use std::marker::PhantomData;

use super::suite::{Hash, Suite};

/// Bytes of a hash in a path.
pub const HASH_BYTES: usize = 32;

/// Root of the tree with no leaves.
#[must_use]
pub fn empty_root<S: Suite>() -> Hash {
    S::hash(&[])
}

/// Hash of a leaf.
#[must_use]
pub fn leaf_hash<S: Suite>(entry: &[u8]) -> Hash {
    S::hash(&[&[0x00], entry])
}

/// Hash of an inner node.
#[must_use]
pub fn node_hash<S: Suite>(left: &Hash, right: &Hash) -> Hash {
    S::hash(&[&[0x01], left, right])
}

/// A complete subtree: at level 0 a leaf, at level n the root over 2^n leaves from `index · 2^n` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId {
    /// Height above the leaves.
    pub level: u8,
    /// Number of the node within its level, from 0.
    pub index: u64,
}

/// Why a proof or a stored frontier does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index is not below the size, or the old size is above the new one.
    #[error("index or size outside the tree")]
    OutsideTree,
    /// The path is not exactly as long as index and size prescribe.
    #[error("path of the wrong length")]
    WrongLength,
    /// The hashes do not lead to the root.
    #[error("path does not lead to the root")]
    WrongRoot,
    /// A frontier whose number of roots does not fit its size.
    #[error("frontier does not fit its size")]
    WrongFrontier,
}

/// The right edge of the tree: roots of the complete subtrees that make it up, largest (leftmost) first, one for each bit set in
/// the size. All that is needed to go on appending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier<S> {
    size: u64,
    roots: Vec<Hash>,
    suite: PhantomData<S>,
}

impl<S: Suite> Default for Frontier<S> {
    fn default() -> Self {
        Self { size: 0, roots: Vec::new(), suite: PhantomData }
    }
}

impl<S: Suite> Frontier<S> {
    /// The frontier of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A frontier as it was stored.
    ///
    /// # Errors
    /// [`ProofError::WrongFrontier`] when there are not as many roots as bits in `size`.
    pub fn from_parts(size: u64, roots: Vec<Hash>) -> Result<Self, ProofError> {
        if usize::try_from(size.count_ones()) != Ok(roots.len()) {
            return Err(ProofError::WrongFrontier);
        }
        Ok(Self { size, roots, suite: PhantomData })
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The subtree roots, largest first: what the head row stores beside the size.
    #[must_use]
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut smallest_first = self.roots.iter().rev().copied();
        let Some(last) = smallest_first.next() else { return empty_root::<S>() };
        smallest_first.fold(last, |right, left| node_hash::<S>(&left, &right))
    }

    /// Size and roots as bytes: `size u64 ‖ roots`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.size.to_be_bytes().as_slice(), self.roots.as_flattened()].concat()
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`ProofError::WrongFrontier`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofError> {
        let (size, roots) = bytes.split_first_chunk::<8>().ok_or(ProofError::WrongFrontier)?;
        let (roots, []) = roots.as_chunks::<HASH_BYTES>() else { return Err(ProofError::WrongFrontier) };
        Self::from_parts(u64::from_be_bytes(*size), roots.to_vec())
    }

    /// The tree with these leaf hashes appended. `self` stays as it is, so a batch that does not become durable is simply
    /// dropped. Hashes `O(batch + log size)` nodes, reads nothing.
    #[must_use]
    pub fn append(&self, leaves: &[Hash]) -> Appended<S> {
        let mut levels = Vec::new();
        let mut row = Row { first: self.size, nodes: leaves.to_vec(), left: None };
        let mut level = 0_u8;
        let count = u64::try_from(leaves.len()).unwrap_or(u64::MAX);
        let size = self.size.saturating_add(count);
        while !row.nodes.is_empty() {
            row.left = if row.first & 1 == 1 { self.at_level(level) } else { None };
            let next = row.parents::<S>();
            let is_root = row.first == 0 && row.nodes.len() == 1;
            levels.push(row);
            if is_root {
                break;
            }
            row = next;
            level = level.saturating_add(1);
        }
        let mut appended = Appended { before: self.size, frontier: Self::new(), levels };
        appended.frontier = Self { size, roots: appended.roots_at(self, size), suite: PhantomData };
        appended
    }

    /// The subtree root at that level, if the size has that bit.
    fn at_level(&self, level: u8) -> Option<Hash> {
        let larger = self.size.checked_shr(u32::from(level))?;
        if larger & 1 == 0 {
            return None;
        }
        let position = usize::try_from(larger.count_ones()).ok()?.checked_sub(1)?;
        self.roots.get(position).copied()
    }
}

/// One level of the part of the tree that a batch touches.
#[derive(Clone, Debug)]
struct Row {
    /// Index of the first node.
    first: u64,
    /// Nodes from `first` to the right edge; the last may be a carried-up, incomplete one.
    nodes: Vec<Hash>,
    /// The node just left of `first`, where `first` is a right child: it was in the frontier.
    left: Option<Hash>,
}

impl Row {
    fn parents<S: Suite>(&self) -> Self {
        let all: Vec<Hash> = self.left.into_iter().chain(self.nodes.iter().copied()).collect();
        let join = |pair: &[Hash]| match pair {
            [left, right] => node_hash::<S>(left, right),
            [alone] => *alone,
            _ => [0; HASH_BYTES],
        };
        Self { first: self.first >> 1, nodes: all.chunks(2).map(join).collect(), left: None }
    }

    fn at(&self, index: u64) -> Option<Hash> {
        match index.checked_sub(self.first) {
            Some(offset) => self.nodes.get(usize::try_from(offset).ok()?).copied(),
            None if index.checked_add(1) == Some(self.first) => self.left,
            None => None,
        }
    }
}

/// A tree with a batch appended: its new frontier and the paths of the batch's leaves.
#[derive(Clone, Debug)]
pub struct Appended<S> {
    before: u64,
    frontier: Frontier<S>,
    levels: Vec<Row>,
}

impl<S: Suite> Appended<S> {
    /// The frontier after the batch.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier<S> {
        &self.frontier
    }

    /// The frontier after the batch.
    #[must_use]
    pub fn into_frontier(self) -> Frontier<S> {
        self.frontier
    }

    /// Index in the log of the batch's first leaf.
    #[must_use]
    pub const fn first_index(&self) -> u64 {
        self.before
    }

    /// Inclusion path of leaf `index` (its index in the log) in the new tree, 32 bytes a hash, leaf to root.
    /// `None` when the leaf is not one of this batch.
    #[must_use]
    pub fn path(&self, index: u64) -> Option<Vec<u8>> {
        if index < self.before || index >= self.frontier.size {
            return None;
        }
        let mut path = Vec::with_capacity(self.levels.len().saturating_mul(HASH_BYTES));
        let mut index = index;
        for row in &self.levels {
            path.extend(row.at(index ^ 1).into_iter().flatten());
            index >>= 1;
        }
        Some(path)
    }

    fn roots_at(&self, old: &Frontier<S>, size: u64) -> Vec<Hash> {
        let mut roots = Vec::new();
        for level in (0..64_u8).rev().filter(|level| (size >> level) & 1 == 1) {
            let index = (size >> level).saturating_sub(1);
            let fresh = self.levels.get(usize::from(level)).and_then(|row| row.at(index));
            roots.extend(fresh.or_else(|| old.at_level(level)));
        }
        roots
    }
}

/// Number of hashes in the inclusion path of leaf `index` in a tree of `size` leaves.
///
/// # Errors
/// [`ProofError::OutsideTree`] when there is no such leaf.
pub fn inclusion_path_len(index: u64, size: u64) -> Result<u32, ProofError> {
    let (inner, border) = split_path(index, size)?;
    Ok(inner.saturating_add(border))
}

/// The root that a leaf hash and its path lead to (RFC 9162 section 2.1.3.2). The caller compares it with a signed one.
///
/// # Errors
/// [`ProofError::OutsideTree`] or [`ProofError::WrongLength`]: the length must be exactly what index and size prescribe.
pub fn root_from_inclusion<S: Suite>(leaf: &Hash, index: u64, size: u64, path: &[u8]) -> Result<Hash, ProofError> {
    let (inner, border) = split_path(index, size)?;
    let (hashes, []) = path.as_chunks::<HASH_BYTES>() else { return Err(ProofError::WrongLength) };
    if usize::try_from(inner.saturating_add(border)) != Ok(hashes.len()) {
        return Err(ProofError::WrongLength);
    }
    let steps = hashes.iter().zip(0_u32..);
    Ok(steps.fold(*leaf, |hash, (sibling, step)| {
        // Above the inner part the node is always a right child: what is missing on the right was carried up.
        let is_right = step >= inner || (index >> step) & 1 == 1;
        if is_right { node_hash::<S>(sibling, &hash) } else { node_hash::<S>(&hash, sibling) }
    }))
}

/// Whether the tree of `new` leaves is the tree of `old` leaves with more appended (RFC 9162 section 2.1.4.2). Everything is
/// consistent with the empty tree.
///
/// # Errors
/// [`ProofError`] saying what does not fit.
pub fn verify_consistency<S: Suite>(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::OutsideTree);
    }
    if old == new || old == 0 {
        let same = if old == new { old_root == new_root } else { *old_root == empty_root::<S>() };
        return match proof {
            [] if same => Ok(()),
            [] => Err(ProofError::WrongRoot),
            _ => Err(ProofError::WrongLength),
        };
    }
    // The path of the old tree's last leaf in the new tree, from where it leaves the old tree's last complete subtree.
    let last = old.saturating_sub(1);
    let (inner, border) = split_path(last, new)?;
    let shift = old.trailing_zeros();
    let inner = inner.saturating_sub(shift);
    let (seed, rest) = match proof.split_first() {
        _ if old.is_power_of_two() => (old_root, proof),
        Some(split) => split,
        None => return Err(ProofError::WrongLength),
    };
    if usize::try_from(inner.saturating_add(border)) != Ok(rest.len()) {
        return Err(ProofError::WrongLength);
    }
    let (mut from_old, mut from_new) = (*seed, *seed);
    for (sibling, step) in rest.iter().zip(0_u32..) {
        if step >= inner || (last >> shift >> step) & 1 == 1 {
            from_old = node_hash::<S>(sibling, &from_old);
            from_new = node_hash::<S>(sibling, &from_new);
        } else {
            from_new = node_hash::<S>(&from_new, sibling);
        }
    }
    if from_old == *old_root && from_new == *new_root { Ok(()) } else { Err(ProofError::WrongRoot) }
}

/// Length of the two parts of a path: below the point where the leaf's way meets the right edge of the tree, and above it.
fn split_path(index: u64, size: u64) -> Result<(u32, u32), ProofError> {
    let last = size.checked_sub(1).filter(|last| index <= *last).ok_or(ProofError::OutsideTree)?;
    let inner = u64::BITS.saturating_sub((index ^ last).leading_zeros());
    let border = index.checked_shr(inner).unwrap_or(0).count_ones();
    Ok((inner, border))
}

#[cfg(test)]
mod tests {
    use super::super::proof::{HashSource, consistency_path, inclusion_path};
    use super::*;
    use crate::log::Ed25519;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;

    /// The RFC's own definition, word for word.
    fn mth(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => empty_root::<Ed25519>(),
            [one] => leaf_hash::<Ed25519>(one),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node_hash::<Ed25519>(&mth(&leaves[..split]), &mth(&leaves[split..]))
            }
        }
    }

    struct Leaves<'a>(&'a [Vec<u8>]);
    impl HashSource for Leaves<'_> {
        type Error = ProofError;
        fn node(&self, node: NodeId) -> Result<Hash, ProofError> {
            let start = (node.index << node.level) as usize;
            Ok(mth(self.0.get(start..start + (1 << node.level)).ok_or(ProofError::OutsideTree)?))
        }
    }

    fn leaves(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|i| i.to_be_bytes().to_vec()).collect()
    }

    fn hashes(leaves: &[Vec<u8>]) -> Vec<Hash> {
        leaves.iter().map(|l| leaf_hash::<Ed25519>(l)).collect()
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    }

    /// The eight leaves of the Certificate Transparency reference tests, and what they publish about them.
    const CT_LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const CT_ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    const CT_PATHS: [(u64, u64, &[&str]); 5] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
        (
            1,
            5,
            &[
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    const CT_CONSISTENCY: [(u64, u64, &[&str]); 4] = [
        (1, 1, &[]),
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];

    #[test]
    fn roots_and_proofs_are_the_published_ones() {
        let leaves: Vec<Vec<u8>> = CT_LEAVES.iter().map(|l| hex(l)).collect();
        let source = Leaves(&leaves);
        let mut frontier = Frontier::<Ed25519>::new();
        assert_eq!(frontier.root().to_vec(), hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        for (leaf, root) in leaves.iter().zip(CT_ROOTS) {
            frontier = frontier.append(&[leaf_hash::<Ed25519>(leaf)]).into_frontier();
            assert_eq!(frontier.root().to_vec(), hex(root));
        }
        for (index, size, path) in CT_PATHS {
            let path = hex(&path.concat());
            assert_eq!(inclusion_path::<Ed25519, _>(&source, index, size).unwrap(), path);
            let leaf = leaf_hash::<Ed25519>(&leaves[index as usize]);
            let root = root_from_inclusion::<Ed25519>(&leaf, index, size, &path).unwrap();
            assert_eq!(root.to_vec(), hex(CT_ROOTS[size as usize - 1]));
        }
        for (old, new, proof) in CT_CONSISTENCY {
            let proof: Vec<Hash> = proof.iter().map(|h| hex(h).try_into().unwrap()).collect();
            assert_eq!(consistency_path::<Ed25519, _>(&source, old, new).unwrap(), proof);
            let root = |size: u64| hex(CT_ROOTS[size as usize - 1]).try_into().unwrap();
            assert_eq!(verify_consistency::<Ed25519>(old, new, &root(old), &root(new), &proof), Ok(()));
        }
    }

    #[test]
    fn a_batch_gives_the_same_tree_and_paths_as_ct_merkle_however_it_is_cut() {
        for (before, batch) in
            [(0, 1), (0, 7), (1, 1), (3, 5), (7, 1), (8, 8), (5, 20), (31, 3), (64, 33), (100, 1), (0, 70)]
        {
            let all = leaves(before + batch);
            let hashed = hashes(&all);
            let frontier = Frontier::<Ed25519>::new().append(&hashed[..before]).into_frontier();
            let appended = frontier.append(&hashed[before..]);
            let mut oracle = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
            all.iter().for_each(|leaf| oracle.push(leaf.clone()));
            assert_eq!(appended.frontier().root().as_slice(), oracle.root().as_bytes().as_slice(), "{before}+{batch}");
            assert_eq!(appended.frontier().root(), mth(&all));
            for index in before..before + batch {
                let path = appended.path(index as u64).unwrap();
                assert_eq!(path, oracle.prove_inclusion(index).as_bytes(), "{before}+{batch} leaf {index}");
                assert_eq!(path, inclusion_path::<Ed25519, _>(&Leaves(&all), index as u64, all.len() as u64).unwrap());
            }
            assert_eq!(before.checked_sub(1).and_then(|i| appended.path(i as u64)), None);
            assert_eq!(appended.path(all.len() as u64), None);
            let stored = Frontier::<Ed25519>::parse(&appended.frontier().to_bytes());
            assert_eq!(stored.as_ref(), Ok(appended.frontier()));
        }
    }

    #[test]
    fn an_empty_batch_changes_nothing() {
        let frontier = Frontier::<Ed25519>::new().append(&hashes(&leaves(5))).into_frontier();
        assert_eq!(frontier.append(&[]).into_frontier(), frontier);
    }

    #[test]
    fn a_path_verifies_at_its_own_index_size_and_length_only() {
        for size in 1..40_u64 {
            let all = leaves(size as usize);
            let root = mth(&all);
            for index in 0..size {
                let leaf = leaf_hash::<Ed25519>(&all[index as usize]);
                let path = inclusion_path::<Ed25519, _>(&Leaves(&all), index, size).unwrap();
                assert_eq!(path.len() / 32, inclusion_path_len(index, size).unwrap() as usize);
                let good = |i, n, p: &[u8]| root_from_inclusion::<Ed25519>(&leaf, i, n, p) == Ok(root);
                assert!(good(index, size, &path));
                for other in (0..size + 3).filter(|i| *i != index) {
                    assert!(!good(other, size, &path), "index {index} passed as {other} of {size}");
                }
                let long = [path.as_slice(), &[0; 32]].concat();
                assert_eq!(root_from_inclusion::<Ed25519>(&leaf, index, size, &long), Err(ProofError::WrongLength));
                for cut in 0..path.len() {
                    assert_eq!(
                        root_from_inclusion::<Ed25519>(&leaf, index, size, &path[..cut]),
                        Err(ProofError::WrongLength)
                    );
                }
            }
            assert_eq!(inclusion_path_len(size, size), Err(ProofError::OutsideTree));
        }
        assert_eq!(inclusion_path_len(0, 0), Err(ProofError::OutsideTree));
        assert_eq!(inclusion_path_len(u64::MAX - 1, u64::MAX), Ok(63));
    }

    #[test]
    fn consistency_holds_between_true_sizes_and_fails_for_everything_else() {
        let all = leaves(34);
        let root = |n: u64| mth(&all[..n as usize]);
        for new in 1..=34_u64 {
            let mut oracle = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
            all[..new as usize].iter().for_each(|leaf| oracle.push(leaf.clone()));
            for old in 1..=new {
                let proof = consistency_path::<Ed25519, _>(&Leaves(&all), old, new).unwrap();
                let theirs = oracle.prove_consistency((new - old) as usize);
                assert_eq!(proof.as_flattened(), theirs.as_bytes(), "{old} to {new}");
                let check = |o, n, ro: &Hash, rn: &Hash, p: &[Hash]| verify_consistency::<Ed25519>(o, n, ro, rn, p);
                assert_eq!(check(old, new, &root(old), &root(new), &proof), Ok(()));
                if old < new {
                    assert!(check(old, new, &root(new), &root(old), &proof).is_err(), "roots swapped");
                    assert!(check(old, new, &root(old - 1), &root(new), &proof).is_err(), "other old root");
                    assert!(check(old + 1, new, &root(old), &root(new), &proof).is_err(), "other old size");
                }
                let long = [proof.as_slice(), &[[0; 32]]].concat();
                assert!(check(old, new, &root(old), &root(new), &long).is_err(), "extended");
                for at in 0..proof.len() {
                    let mut bent = proof.clone();
                    bent[at][0] ^= 1;
                    assert!(check(old, new, &root(old), &root(new), &bent).is_err(), "bent at {at}");
                    assert!(check(old, new, &root(old), &root(new), &proof[..at]).is_err(), "cut at {at}");
                }
            }
            assert_eq!(verify_consistency::<Ed25519>(0, new, &root(0), &root(new), &[]), Ok(()));
        }
    }

    #[test]
    fn a_frontier_that_does_not_fit_its_size_is_refused() {
        assert!(Frontier::<Ed25519>::from_parts(3, vec![[0; 32]]).is_err());
        assert!(Frontier::<Ed25519>::parse(&[0; 9]).is_err());
        assert!(Frontier::<Ed25519>::parse(&[0; 8]).is_ok());
    }
}
