//! Entries, tiles, head, fence, and each statement under its entry.
use super::{Pages, Walk, What, open};
use crate::failure::Failure;
use crate::library::record::{Stamp, from_store};
use crate::log::merkle::leaf_hash;
use crate::log::tiles::{RightEdge, filled};
use crate::log::{Entry, Frontier, Hash, Suite};
use crate::receipt::{head, question, statement};
use crate::store::fence::{Fence, Head as FenceHead};
use crate::store::key_space::{self, IndexKey, Prefix};
use crate::store::{Direction, Key, Snapshot};
use crate::wire::proto::receipt::v1::{Kind, Outcome, public_event::Event};
use bytes::Bytes;
use std::collections::BTreeMap;

/// The tree as its entries give it.
struct Tree<S> {
    frontier: Frontier<S>,
    edge: RightEdge<S>,
    time_s: u64,
    /// An entry is missing: nothing after it can be computed.
    broken: bool,
    fence: Option<FenceHead>,
}

impl<S: Suite> Walk<'_, S> {
    /// The log from its first entry to its head.
    pub(super) async fn log(&mut self) -> Result<(), Failure> {
        let snapshot = self.subject.store.snapshot().await.map_err(from_store)?;
        self.head = head::read(snapshot.as_ref()).await?.map(|(head, _)| head);
        let fence = self.fence();
        if let Some(head) = &self.head {
            self.report.origin.clone_from(&head.origin);
            self.report.size = head.size;
        }
        let mut tree = Tree { frontier: Frontier::<S>::new(), edge: RightEdge::new(), time_s: 0, broken: false, fence };
        self.fence_at(&mut tree);
        let mut pages = Pages::over(self.subject.store, Prefix::Entry.range());
        let mut next = 0;
        while let Some((snapshot, rows)) = pages.next().await? {
            let rows: Vec<(u64, Bytes)> =
                rows.into_iter().filter_map(|(key, value)| Some((key_space::parse_entry(&key)?, value.body))).collect();
            self.entries(snapshot.as_ref(), &mut tree, &rows, &mut next).await?;
            self.tell("log", next, Some(self.size()));
        }
        self.after_last(next).await?;
        self.end_of_tree(&tree, next).await
    }

    fn fence(&mut self) -> Option<FenceHead> {
        if let Some(why) = self.subject.fence.and_then(Fence::torn) {
            self.find(What::FenceTorn, "fence", why);
        }
        match self.subject.fence.map(Fence::read)? {
            Ok(head) => head,
            Err(error) => {
                self.find(What::FenceUnreadable, "fence", error);
                None
            }
        }
    }

    /// One page of entries with their statements.
    async fn entries(
        &mut self,
        snapshot: &dyn Snapshot,
        tree: &mut Tree<S>,
        rows: &[(u64, Bytes)],
        next: &mut u64,
    ) -> Result<(), Failure> {
        let Some(((first, _), (last, _))) = rows.first().zip(rows.last()) else { return Ok(()) };
        let mut sealed = statement_rows(snapshot, (*first).min(*next), last.saturating_add(1)).await?;
        for (index, body) in rows {
            if *index != *next {
                self.find(
                    What::EntryMissing,
                    format!("entry {next}"),
                    format!("{} missing", index.saturating_sub(*next)),
                );
                tree.broken = true;
            }
            *next = index.saturating_add(1);
            if *index >= self.size() {
                self.find(What::EntryExtra, format!("entry {index}"), format!("the head says {}", self.size()));
                continue;
            }
            if !tree.broken {
                self.grow(snapshot, tree, &leaf_hash::<S>(body)).await?;
            }
            match Entry::parse(body) {
                Err(error) => self.find(What::EntryDamaged, format!("entry {index}"), error),
                Ok(entry) => {
                    if entry.time_s() < tree.time_s {
                        self.find(
                            What::EntryDamaged,
                            format!("entry {index}"),
                            "its time is before the entry before it",
                        );
                    }
                    tree.time_s = tree.time_s.max(entry.time_s());
                    self.entry(snapshot, *index, &entry, sealed.remove(index)).await?;
                }
            }
        }
        for index in sealed.into_keys() {
            self.find(What::StatementExtra, format!("statement {index}"), "no statement entry stands at this index");
        }
        Ok(())
    }

    /// One more leaf: the tile it fills is compared with the stored one.
    async fn grow(&mut self, snapshot: &dyn Snapshot, tree: &mut Tree<S>, leaf: &Hash) -> Result<(), Failure> {
        tree.frontier = tree.frontier.append(std::slice::from_ref(leaf)).into_frontier();
        for (tile, hashes) in tree.edge.append(std::slice::from_ref(leaf)) {
            let stored = snapshot.get(&key_space::tile(tile.level, tile.index)).await.map_err(from_store)?;
            self.report.tiles = self.report.tiles.saturating_add(1);
            if stored.is_none_or(|stored| stored.body != hashes.as_flattened()) {
                let place = format!("tile {} of level {}", tile.index, tile.level);
                self.find(What::TileDiffers, place, "not what the entries below it give");
            }
        }
        self.fence_at(tree);
        Ok(())
    }

    /// Where the tree has the size the fence has seen, it must have that root.
    fn fence_at(&mut self, tree: &mut Tree<S>) {
        let reached = tree.fence.take_if(|fence| fence.size == tree.frontier.size());
        if let Some(fence) = reached.filter(|fence| fence.root != tree.frontier.root()) {
            self.find(What::FenceDiffers, format!("size {}", fence.size), "another root than the fence has seen");
        }
    }

    /// One entry and its statement.
    async fn entry(
        &mut self,
        snapshot: &dyn Snapshot,
        index: u64,
        entry: &Entry,
        sealed: Option<Bytes>,
    ) -> Result<(), Failure> {
        let place = format!("entry {index}");
        if let Entry::Public { event, .. } = entry {
            match statement::parse_public(event) {
                Err(error) => self.find(What::EntryDamaged, place, error),
                Ok(event) if event.hub != self.subject.hub => self.find(What::EntryDamaged, place, "another hub's"),
                Ok(event) => {
                    if matches!(event.event, Some(Event::Erased(_))) {
                        self.erased_before = self.erased_before.max(index);
                    }
                }
            }
            if sealed.is_some() {
                self.find(What::StatementExtra, format!("statement {index}"), "a public entry has no statement");
            }
            return Ok(());
        }
        let Some(sealed) = sealed else {
            self.find_unless_erased(index, What::StatementMissing, place, "no row");
            return Ok(());
        };
        let said = match open::<S>(self.subject.vault, entry, &sealed) {
            Ok(said) => said,
            Err(why) => {
                self.find(What::StatementDamaged, place, why);
                return Ok(());
            }
        };
        self.report.statements = self.report.statements.saturating_add(1);
        let stated = &said.statement;
        let rules = [
            (stated.hub == self.subject.hub, "another hub's"),
            (stated.position <= index, "decided from a position after itself"),
            (stated.decided_ms / 1_000 <= said.time_s, "decided after its entry"),
            (question::read(said.kind(), &said.kept.question).is_ok(), "its question is not canonical"),
        ];
        for (_, why) in rules.iter().filter(|(kept, _)| !kept) {
            self.find(What::StatementDamaged, place.clone(), why);
        }
        if let Ok(subject_ref) = <[u8; 16]>::try_from(stated.subject_ref.as_ref()) {
            self.subjects = self.subjects.saturating_add(1);
            if snapshot.get(&key_space::ledger(&subject_ref, index)).await.map_err(from_store)?.is_none() {
                self.find_unless_erased(index, What::LedgerDiffers, place.clone(), "no ledger row for its subject");
            }
        }
        if said.kind() == Kind::Import && stated.outcome() == Outcome::Done {
            self.imports.push(index);
        }
        let changes = is_change(said.kind());
        for record in &stated.records {
            let library = u16::try_from(record.library).unwrap_or(u16::MAX);
            let Ok(index_key) = <[u8; 16]>::try_from(record.index_key.as_ref()).map(IndexKey) else {
                self.find(What::StatementDamaged, place.clone(), "an index key that is not 16 bytes");
                continue;
            };
            let row = key_space::record_row(library, &index_key, record.version);
            let stamp = key_space::record_stamp(library, &index_key, record.version);
            self.named(snapshot, index, changes, &row, &stamp).await?;
        }
        Ok(())
    }

    /// A record version that a statement names is there, and a change's own is stamped with it.
    async fn named(
        &mut self,
        snapshot: &dyn Snapshot,
        index: u64,
        changes: bool,
        row: &Key,
        stamp: &Key,
    ) -> Result<(), Failure> {
        let place = super::records::place_of(row);
        let [row, stamp]: [_; 2] =
            match snapshot.multi_get(&[row.clone(), stamp.clone()]).await.map_err(from_store)?.try_into() {
                Ok(both) => both,
                Err(_) => return Ok(()),
            };
        if row.is_none() {
            self.find_unless_erased(index, What::RecordMissing, place, format!("named by entry {index}"));
            return Ok(());
        }
        let brought = stamp.and_then(|stamp| Stamp::split(&stamp.body)).map(|(stamp, _)| stamp.index);
        if changes && brought != Some(index) {
            self.find(What::StampWrong, place, format!("entry {index} brought it"));
        }
        Ok(())
    }

    /// Nothing stands after the last entry.
    async fn after_last(&mut self, next: u64) -> Result<(), Failure> {
        let snapshot = self.subject.store.snapshot().await.map_err(from_store)?;
        let range = key_space::statement_rows(next, u64::MAX);
        let page = snapshot.scan(range, Direction::Forward, 1).await.map_err(from_store)?;
        if let Some(index) = page.rows.first().and_then(|(key, _)| key_space::parse_statement_row(key)) {
            self.find(What::StatementExtra, format!("statement {index}"), "it stands after the last entry");
        }
        Ok(())
    }

    /// Head, tiles and fence against the tree that was computed.
    async fn end_of_tree(&mut self, tree: &Tree<S>, next: u64) -> Result<(), Failure> {
        let size = self.size();
        if next < size {
            let missing = size.saturating_sub(next);
            self.find(What::EntryMissing, format!("entry {next}"), format!("{missing} missing before the head"));
        }
        if let Some(fence) = tree.fence.as_ref().filter(|fence| fence.size > size) {
            let detail = format!("the fence has seen {}, the head says {size}", fence.size);
            self.find(What::FenceDiffers, format!("size {}", fence.size), detail);
        }
        let Some(head) = self.head.clone() else { return Ok(()) };
        if let Some(origin) = self.fence_origin().filter(|origin| *origin != head.origin) {
            self.find(What::FenceDiffers, "fence", format!("the fence is of {origin}, the log is {}", head.origin));
        }
        if tree.broken || next < size {
            return Ok(());
        }
        let computed = (tree.frontier.size(), tree.frontier.root(), tree.frontier.to_bytes(), tree.time_s);
        let stored = (head.size, head.root.as_ref(), head.frontier.as_ref(), head.time_s);
        if (computed.0, computed.1.as_slice(), computed.2.as_slice(), computed.3) != stored {
            self.find(What::HeadDiffers, "head", format!("computed over {} entries", computed.0));
        }
        let expected = u64::try_from(filled(0, size).count()).unwrap_or(u64::MAX);
        let mut stored = 0_u64;
        let mut pages = Pages::over(self.subject.store, Prefix::Tile.range());
        while let Some((_, rows)) = pages.next().await? {
            stored = stored.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
        }
        if stored > expected {
            self.find(What::TileDiffers, "tiles", format!("{stored} stored, {expected} are full at this size"));
        }
        Ok(())
    }

    fn fence_origin(&self) -> Option<String> {
        Some(self.subject.fence.map(Fence::read)?.ok()??.origin)
    }
}

/// Whether statements of this kind bring the records they name; the others rest on them.
pub(super) fn is_change(kind: Kind) -> bool {
    match kind {
        Kind::PrepareLicence
        | Kind::IssueLicence
        | Kind::ChangeLicence
        | Kind::DistrustIssuer
        | Kind::LicenceTypeChange
        | Kind::Import
        | Kind::ResourceChange
        | Kind::DepartmentChange
        | Kind::SystemChange
        | Kind::GrantChange
        | Kind::SealChange
        | Kind::Bootstrap => true,
        Kind::Unspecified
        | Kind::LookUp
        | Kind::BatchItem
        | Kind::Match
        | Kind::Derive
        | Kind::Holder
        | Kind::Area
        | Kind::AccessList
        | Kind::CatalogueRead
        | Kind::Summary
        | Kind::VerifyEvidence
        | Kind::SealUse
        | Kind::SealUseList
        | Kind::VerifyDocument => false,
    }
}

/// The statement rows of a run of entries.
async fn statement_rows(snapshot: &dyn Snapshot, start: u64, end: u64) -> Result<BTreeMap<u64, Bytes>, Failure> {
    let mut found = BTreeMap::new();
    let mut rest = Some(key_space::statement_rows(start, end));
    while let Some(range) = rest {
        let page = snapshot.scan(range, Direction::Forward, super::PAGE).await.map_err(from_store)?;
        found.extend(
            page.rows.into_iter().filter_map(|(key, value)| Some((key_space::parse_statement_row(&key)?, value.body))),
        );
        rest = page.next;
    }
    Ok(found)
}
