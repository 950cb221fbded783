//! Which stored hashes make up a proof, and putting them together (RFC 9162 sections 2.1.3.1 and 2.1.4.1).
//!
//! A proof is planned first ([`Plan`]: the complete nodes to fetch) and assembled from their hashes then, so that a reader may
//! fetch them as it likes, in one go and asynchronously. [`inclusion_path`] and [`consistency_path`] do both over a
//! [`HashSource`] that answers at once.

use super::merkle::{NodeId, ProofError, empty_root, node_hash};
use super::suite::{Hash, Suite};

/// Where hashes of complete nodes come from.
pub trait HashSource {
    /// What goes wrong when reading; planning errors convert to it.
    type Error: From<ProofError>;
    /// Hash of a complete node.
    ///
    /// # Errors
    /// Whatever reading may fail with.
    fn node(&self, node: NodeId) -> Result<Hash, Self::Error>;
}

/// Complete nodes to fetch, in groups; each group folds to one hash of the proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    nodes: Vec<NodeId>,
    groups: Vec<usize>,
}

impl Plan {
    /// The plan of the inclusion path of leaf `index` in a tree of `size`.
    ///
    /// # Errors
    /// [`ProofError::OutsideTree`] when there is no such leaf.
    pub fn inclusion(index: u64, size: u64) -> Result<Self, ProofError> {
        if index >= size {
            return Err(ProofError::OutsideTree);
        }
        let mut groups = Vec::new();
        let (mut start, mut end) = (0, size);
        while end.saturating_sub(start) > 1 {
            let middle = split(start, end);
            if index < middle {
                groups.push((middle, end));
                end = middle;
            } else {
                groups.push((start, middle));
                start = middle;
            }
        }
        groups.reverse();
        Ok(Self::of(&groups))
    }

    /// The plan of the consistency proof between trees of `old` and `new` leaves; empty where one is empty or both are the same.
    ///
    /// # Errors
    /// [`ProofError::OutsideTree`] when `old` is larger.
    pub fn consistency(old: u64, new: u64) -> Result<Self, ProofError> {
        if old > new {
            return Err(ProofError::OutsideTree);
        }
        let mut groups = Vec::new();
        if old > 0 && old < new {
            let (mut start, mut end) = (0, new);
            while end != old {
                let middle = split(start, end);
                if old <= middle {
                    groups.push((middle, end));
                    end = middle;
                } else {
                    groups.push((start, middle));
                    start = middle;
                }
            }
            // When nothing to the left was taken, this subtree is the old tree and its root is known to the verifier.
            if start > 0 {
                groups.push((start, end));
            }
            groups.reverse();
        }
        Ok(Self::of(&groups))
    }

    /// The plan of the root of a tree of `size` leaves.
    #[must_use]
    pub fn root(size: u64) -> Self {
        if size == 0 { Self::of(&[]) } else { Self::of(&[(0, size)]) }
    }

    /// The nodes whose hashes [`Self::assemble`] wants, in this order.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// The proof's hashes.
    ///
    /// # Errors
    /// [`ProofError::WrongLength`] when there are not as many hashes as nodes.
    pub fn assemble<S: Suite>(&self, hashes: &[Hash]) -> Result<Vec<Hash>, ProofError> {
        if hashes.len() != self.nodes.len() {
            return Err(ProofError::WrongLength);
        }
        let mut rest = hashes;
        let mut proof = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            let (these, later) = rest.split_at_checked(*group).ok_or(ProofError::WrongLength)?;
            rest = later;
            let folded = these.iter().rev().copied().reduce(|right, left| node_hash::<S>(&left, &right));
            proof.push(folded.ok_or(ProofError::WrongLength)?);
        }
        Ok(proof)
    }

    fn of(ranges: &[(u64, u64)]) -> Self {
        let mut plan = Self { nodes: Vec::new(), groups: Vec::new() };
        for (start, end) in ranges {
            let before = plan.nodes.len();
            plan.push_complete_nodes(*start, *end);
            plan.groups.push(plan.nodes.len().saturating_sub(before));
        }
        plan
    }

    /// The complete nodes that cover `[start, end)`, left to right; `start` is always aligned to the largest of them.
    fn push_complete_nodes(&mut self, start: u64, end: u64) {
        let mut at = start;
        while at < end {
            let rest = end.saturating_sub(at);
            let level = rest.ilog2();
            let width = 1_u64 << level;
            self.nodes.push(NodeId { level: u8::try_from(level).unwrap_or(u8::MAX), index: at >> level });
            at = at.saturating_add(width);
        }
    }
}

/// Where the RFC splits a tree over `[start, end)` of at least two leaves: after the largest power of two below its width.
fn split(start: u64, end: u64) -> u64 {
    let below = end.saturating_sub(start).saturating_sub(1).max(1);
    start.saturating_add(1 << below.ilog2())
}

/// Inclusion path of leaf `index` in the tree of `size`, 32 bytes a hash, leaf to root.
///
/// # Errors
/// What the source fails with, or [`ProofError`].
pub fn inclusion_path<S: Suite, H: HashSource>(source: &H, index: u64, size: u64) -> Result<Vec<u8>, H::Error> {
    Ok(fetch::<S, H>(source, &Plan::inclusion(index, size)?)?.into_flattened())
}

/// Consistency proof between the trees of `old` and `new` leaves.
///
/// # Errors
/// What the source fails with, or [`ProofError`].
pub fn consistency_path<S: Suite, H: HashSource>(source: &H, old: u64, new: u64) -> Result<Vec<Hash>, H::Error> {
    fetch::<S, H>(source, &Plan::consistency(old, new)?)
}

/// Root of the tree of `size` leaves.
///
/// # Errors
/// What the source fails with.
pub fn root_at<S: Suite, H: HashSource>(source: &H, size: u64) -> Result<Hash, H::Error> {
    let root = fetch::<S, H>(source, &Plan::root(size))?;
    Ok(root.first().copied().unwrap_or_else(empty_root::<S>))
}

fn fetch<S: Suite, H: HashSource>(source: &H, plan: &Plan) -> Result<Vec<Hash>, H::Error> {
    let hashes = plan.nodes().iter().map(|node| source.node(*node)).collect::<Result<Vec<_>, _>>()?;
    Ok(plan.assemble::<S>(&hashes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_only_complete_nodes_inside_the_tree() {
        for size in 1..200_u64 {
            for index in 0..size {
                let plan = Plan::inclusion(index, size).unwrap();
                assert!(plan.nodes().iter().all(|n| (n.index + 1) << n.level <= size), "{index} of {size}");
            }
        }
        assert!(Plan::inclusion(u64::MAX - 1, u64::MAX).is_ok());
        assert!(Plan::consistency(u64::MAX - 1, u64::MAX).is_ok());
        assert_eq!(Plan::inclusion(5, 5), Err(ProofError::OutsideTree));
        assert_eq!(Plan::consistency(6, 5), Err(ProofError::OutsideTree));
    }

    #[test]
    fn too_few_hashes_do_not_make_a_proof() {
        let plan = Plan::inclusion(0, 8).unwrap();
        assert_eq!(plan.assemble::<crate::log::Ed25519>(&[[0; 32]; 2]), Err(ProofError::WrongLength));
    }
}
