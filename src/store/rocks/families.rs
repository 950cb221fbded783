//! Which rows stand apart from the others in the engine, and why: a row's family follows from the first byte of its key.
//!
//! Entries and statements come with every answer, in ascending order, and are never written again. In one key space with the records
//! they would be merged into tables again and again; alone, a table that was written once is only moved. The ledger comes with every
//! answer too, in no order.
use super::super::contract::KeyRange;
use super::super::key_space::Prefix;
use bytes::Bytes;

/// Rows that share tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Whatever stands nowhere else; in a folder of format 1, everything.
    Rest,
    /// Entries of the log.
    Entries,
    /// Statements, sealed.
    Statements,
    /// Who looked at whom.
    Ledger,
}

impl Family {
    /// Those that a folder of format 1 does not have.
    pub(super) const APART: [Self; 3] = [Self::Entries, Self::Statements, Self::Ledger];

    /// The engine's name for it, on disk: never changed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rest => "default",
            Self::Entries => "entries",
            Self::Statements => "statements",
            Self::Ledger => "ledger",
        }
    }

    /// Where a key stands.
    pub(super) fn of(key: &[u8]) -> Self {
        let first = key.first().copied();
        Self::APART.into_iter().find(|family| first == family.prefix().map(Prefix::byte)).unwrap_or(Self::Rest)
    }

    /// Whether its keys come in ascending order, each once.
    pub(super) fn is_appended(self) -> bool {
        matches!(self, Self::Entries | Self::Statements)
    }

    fn prefix(self) -> Option<Prefix> {
        match self {
            Self::Rest => None,
            Self::Entries => Some(Prefix::Entry),
            Self::Statements => Some(Prefix::StatementRow),
            Self::Ledger => Some(Prefix::Ledger),
        }
    }
}

/// A range cut where the family changes, in byte order.
pub(super) fn stretches(range: &KeyRange) -> impl DoubleEndedIterator<Item = (Family, KeyRange)> {
    let mut cuts: Vec<Bytes> = Family::APART
        .iter()
        .filter_map(|family| family.prefix())
        .flat_map(|prefix| [prefix.byte(), prefix.byte().saturating_add(1)])
        .map(|byte| Bytes::copy_from_slice(&[byte]))
        .filter(|cut| *cut > range.start && range.end.as_ref().is_none_or(|end| cut < end))
        .collect();
    cuts.sort();
    cuts.dedup();
    let starts: Vec<Bytes> = std::iter::once(range.start.clone()).chain(cuts.iter().cloned()).collect();
    let ends: Vec<Option<Bytes>> = cuts.into_iter().map(Some).chain([range.end.clone()]).collect();
    starts.into_iter().zip(ends).map(|(start, end)| (Family::of(&start), KeyRange { start, end }))
}

#[cfg(test)]
mod tests {
    use super::super::super::key_space::{self, entry};
    use super::*;

    #[test]
    fn a_range_is_cut_where_the_family_changes_and_nowhere_else() {
        let cut = |range: KeyRange| -> Vec<(Family, Vec<u8>, Option<Vec<u8>>)> {
            stretches(&range).map(|(f, r)| (f, r.start.to_vec(), r.end.map(|e| e.to_vec()))).collect()
        };
        let inside = key_space::entries(3, 9);
        let whole = (Family::Entries, inside.start.to_vec(), inside.end.clone().map(|e| e.to_vec()));
        assert_eq!(cut(inside), [whole]);
        assert_eq!(cut(Prefix::Entry.range()), [(Family::Entries, vec![0x11], Some(vec![0x12]))]);
        assert_eq!(cut(Prefix::RecordRow.range()), [(Family::Rest, vec![0x20], Some(vec![0x21]))]);
        let all = cut(KeyRange { start: Bytes::new(), end: None });
        let families: Vec<Family> = all.iter().map(|(family, ..)| *family).collect();
        let rest = Family::Rest;
        assert_eq!(families, [rest, Family::Entries, rest, Family::Statements, Family::Ledger, rest]);
        assert!(all.windows(2).all(|pair| pair[0].2.as_ref() == Some(&pair[1].1)), "no gap, no overlap: {all:?}");
        assert_eq!((all[0].1.as_slice(), &all[5].2), ([].as_slice(), &None));
        let from = cut(KeyRange {
            start: Bytes::copy_from_slice(entry(7).as_bytes()),
            end: Some(Bytes::from_static(b"\x12\x01")),
        });
        assert_eq!(from.len(), 2);
    }

    #[test]
    fn a_key_stands_in_the_family_of_its_first_byte() {
        for (key, family) in [
            (entry(1), Family::Entries),
            (key_space::statement_row(1), Family::Statements),
            (key_space::ledger(&[1; 16], 1), Family::Ledger),
            (key_space::head(), Family::Rest),
            (key_space::tile(0, 0), Family::Rest),
        ] {
            assert_eq!(Family::of(key.as_bytes()), family);
        }
        assert_eq!(Family::of(&[]), Family::Rest);
        assert_eq!(Family::APART.map(Family::name), ["entries", "statements", "ledger"]);
    }
}
