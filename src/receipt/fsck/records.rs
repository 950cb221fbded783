//! Record rows against the statements that brought them, and import chunks against their roots.
use super::log::is_change;
use super::{Chunk, Pages, Said, Walk, What, hex};
use crate::failure::Failure;
use crate::library::record::{Row, Stamp, from_store};
use crate::library::schema::Library;
use crate::log::merkle::{empty_root, leaf_hash};
use crate::log::{Frontier, Suite};
use crate::receipt::statement::{PAYLOAD_NAME, payload_digest};
use crate::store::key_space::{self, IndexKey, Prefix};
use crate::store::vault::Class;
use crate::store::{Key, Snapshot, Store};
use crate::wire::proto::exchange::v1::{Change, ChangeQuestion, ChangedRecord, Payload, payload::Answer};
use crate::wire::proto::receipt::v1::Kind;
use bytes::Bytes;
use prost::Message;

/// One version of a record as its key names it.
type Place = (u16, IndexKey, u64);

impl<S: Suite> Walk<'_, S> {
    /// Every record version: it opens, is what its key says, follows the version before, and a statement brought it.
    pub(super) async fn records(&mut self) -> Result<(), Failure> {
        let mut pages = Pages::over(self.subject.store, Prefix::RecordRow.range());
        let mut above: Option<Place> = None;
        while let Some((snapshot, rows)) = pages.next().await? {
            let mut places = Vec::with_capacity(rows.len());
            for (key, _) in &rows {
                let Some(place) = key_space::parse_record_row(key) else {
                    self.find(What::RecordDamaged, hex(key.as_bytes()), "a key of a strange length");
                    continue;
                };
                self.follows(above.replace(place), Some(place));
                places.push(place);
            }
            let stamps: Vec<Key> = places.iter().map(|(l, k, v)| key_space::record_stamp(*l, k, *v)).collect();
            let stamps = snapshot.multi_get(&stamps).await.map_err(from_store)?;
            let bodies = rows.iter().filter(|(key, _)| key_space::parse_record_row(key).is_some());
            for ((place, stamp), (key, value)) in places.into_iter().zip(stamps).zip(bodies) {
                self.report.versions = self.report.versions.saturating_add(1);
                let stamp = stamp.and_then(|stamp| Stamp::split(&stamp.body)).map(|(stamp, _)| stamp);
                self.version(snapshot.as_ref(), place, key, &value.body, stamp).await?;
            }
            self.tell("records", self.report.versions, None);
        }
        self.follows(above, None);
        Ok(())
    }

    /// Versions come newest first and end with 1.
    fn follows(&mut self, above: Option<Place>, this: Option<Place>) {
        let Some((library, index_key, version)) = above else { return };
        let same = this.filter(|(l, k, _)| (*l, *k) == (library, index_key));
        let gap = match same {
            Some((_, _, next)) => next.checked_add(1) != Some(version),
            None => version != 1,
        };
        if gap {
            let place = name_of((library, index_key, version));
            self.find(What::VersionGap, place, "the version before it is missing");
        }
    }

    async fn version(
        &mut self,
        snapshot: &dyn Snapshot,
        place: Place,
        key: &Key,
        body: &[u8],
        stamp: Option<Stamp>,
    ) -> Result<(), Failure> {
        let (library, index_key, version) = place;
        let plain = match self.subject.vault.open_row(Class::Library(library), version, key.as_bytes(), body) {
            Ok(plain) => plain,
            Err(error) => {
                self.find(What::RecordDamaged, name_of(place), error);
                return Ok(());
            }
        };
        match Row::decode(plain.as_slice()) {
            Err(error) => self.find(What::RecordDamaged, name_of(place), error),
            Ok(row) if self.subject.vault.index_key(library, &row.code_type, &row.code) != index_key => {
                self.find(What::RecordDamaged, name_of(place), "it holds the record of another key");
            }
            Ok(_) => {}
        }
        let Some(stamp) = stamp else {
            self.find(What::StampWrong, name_of(place), "it has no stamp");
            return Ok(());
        };
        if stamp.index >= self.size() {
            self.find(What::StampWrong, name_of(place), format!("it names entry {}, which is not there", stamp.index));
            return Ok(());
        }
        let Some(said) = self.said(snapshot, stamp.index).await? else {
            let detail = format!("no statement opens at entry {}", stamp.index);
            self.find_unless_erased(stamp.index, What::RecordUnstated, name_of(place), detail);
            return Ok(());
        };
        if said.time_s != stamp.time_s {
            self.find(What::StampWrong, name_of(place), "it has another time than its entry");
        }
        self.brought(place, stamp.index, &said, &S::hash(&[&plain]));
        Ok(())
    }

    /// The statement a version is stamped with names it, one by one or by the root of its chunk.
    fn brought(&mut self, place: Place, index: u64, said: &Said, digest: &[u8]) {
        let (library, index_key, version) = place;
        let named = said.statement.records.iter().find(|record| {
            record.library == u32::from(library)
                && record.index_key == index_key.0.as_slice()
                && record.version == version
        });
        match named {
            _ if !is_change(said.kind()) => {
                self.find(What::RecordUnstated, name_of(place), format!("entry {index} is no change"));
            }
            Some(record) if record.digest == digest => {}
            Some(_) => self.find(What::RecordDiffers, name_of(place), format!("entry {index} names another digest")),
            None if said.kind() == Kind::Import => {
                let leaf = [&library.to_be_bytes(), index_key.0.as_slice(), &version.to_be_bytes(), digest].concat();
                let chunk = self.chunks.entry(index).or_insert_with(|| Chunk { rows: 0, frontier: Frontier::new() });
                chunk.rows = chunk.rows.saturating_add(1);
                chunk.frontier = chunk.frontier.append(&[leaf_hash::<S>(&leaf)]).into_frontier();
                self.report.import_rows = self.report.import_rows.saturating_add(1);
            }
            None => self.find(What::RecordUnstated, name_of(place), format!("entry {index} does not name it")),
        }
    }

    /// No stamp stands without its record.
    pub(super) async fn stamps(&mut self) -> Result<(), Failure> {
        let mut pages = Pages::over(self.subject.store, Prefix::RecordStamp.range());
        while let Some((snapshot, rows)) = pages.next().await? {
            let stamps: Vec<(Place, u64)> = rows
                .iter()
                .filter_map(|(key, value)| {
                    Some((key_space::parse_record_stamp(key)?, Stamp::split(&value.body)?.0.index))
                })
                .collect();
            let keys: Vec<Key> = stamps.iter().map(|((l, k, v), _)| key_space::record_row(*l, k, *v)).collect();
            let found = snapshot.multi_get(&keys).await.map_err(from_store)?;
            for ((place, index), row) in stamps.into_iter().zip(found) {
                if row.is_none() {
                    let detail = format!("stamped by entry {index}");
                    self.find_unless_erased(index, What::RecordMissing, name_of(place), detail);
                }
            }
        }
        Ok(())
    }

    /// Each import statement was made over exactly the rows stamped with it: its payload, rebuilt with their count and root, has the
    /// digest that was stated.
    pub(super) async fn import_chunks(&mut self) -> Result<(), Failure> {
        let imports = std::mem::take(&mut self.imports);
        let total = u64::try_from(imports.len()).ok();
        for (done, index) in (1_u64..).zip(imports) {
            let snapshot = self.subject.store.snapshot().await.map_err(from_store)?;
            let Some(said) = self.said(snapshot.as_ref(), index).await? else { continue };
            let (rows, root) = match self.chunks.remove(&index) {
                Some(chunk) => (chunk.rows, chunk.frontier.root()),
                None => (0, empty_root::<S>()),
            };
            let records = self.changed(snapshot.as_ref(), &said).await?;
            let change = Change { records, rows, rows_root: Bytes::copy_from_slice(&root) };
            let explained =
                states::<S>(&said, &change) || (rows == 0 && is_release::<S>(self.subject.store, &said).await?);
            if !explained {
                let detail = format!("{rows} rows are stamped with it");
                self.find_unless_erased(index, What::ImportRowsDiffer, format!("entry {index}"), detail);
            }
            self.tell("imports", done, total);
        }
        Ok(())
    }

    /// The records that an import names one by one, as its payload shows them.
    async fn changed(&self, snapshot: &dyn Snapshot, said: &Said) -> Result<Vec<ChangedRecord>, Failure> {
        let mut changed = Vec::with_capacity(said.statement.records.len());
        for record in &said.statement.records {
            let library = u16::try_from(record.library).unwrap_or(u16::MAX);
            let index_key = IndexKey(record.index_key.as_ref().try_into().unwrap_or_default());
            let key = key_space::record_row(library, &index_key, record.version);
            let row = snapshot.get(&key).await.map_err(from_store)?;
            let name = row.and_then(|row| {
                let class = Class::Library(library);
                let plain = self.subject.vault.open_row(class, record.version, key.as_bytes(), &row.body).ok()?;
                Some(Row::decode(plain.as_slice()).ok()?.code)
            });
            let name = name.unwrap_or_default(); // reported where the row itself is looked at
            changed.push(ChangedRecord { library: record.library, name, version: record.version });
        }
        Ok(changed)
    }
}

/// Whether the payload with this change has the digest that was stated.
fn states<S: Suite>(said: &Said, change: &Change) -> bool {
    let payload = Payload {
        format: 1,
        question: said.kept.question.clone(),
        outcome: said.statement.outcome,
        valid_at_ms: said.kept.valid_at_ms,
        blind: said.kept.blind.clone(),
        answer: Some(Answer::Change(change.clone())),
    };
    said.statement.payload_digest == payload_digest::<S>(PAYLOAD_NAME, &payload.encode_to_vec()).as_slice()
}

/// Whether the statement is the release of a held import, which brings no rows. Its question holds the digest of the import's id, and
/// its payload names the version its state row then had.
async fn is_release<S: Suite>(store: &dyn Store, said: &Said) -> Result<bool, Failure> {
    let question = ChangeQuestion::decode(said.kept.question.clone()).unwrap_or_default();
    let Some(digest) = question.digests.first() else { return Ok(false) };
    let library = u32::from(Library::Import.number());
    let mut pages = Pages::over(store, Prefix::Import.range());
    while let Some((_, rows)) = pages.next().await? {
        for (id, newest) in rows.iter().filter_map(|(key, value)| Some((key_space::parse_import(key)?, value.version)))
        {
            let name = hex(&id);
            if digest.as_ref() == S::hash(&[name.as_bytes()]) {
                return Ok((1..=newest).any(|version| {
                    let released = ChangedRecord { library, name: name.clone(), version };
                    states::<S>(said, &Change { records: vec![released], ..Change::default() })
                }));
            }
        }
    }
    Ok(false)
}

/// How a finding names a record version.
pub(super) fn place_of(key: &Key) -> String {
    key_space::parse_record_row(key).map_or_else(|| hex(key.as_bytes()), name_of)
}

fn name_of((library, index_key, version): Place) -> String {
    let code = Library::from_number(library).map_or_else(|| format!("library {library}"), |l| l.code().to_owned());
    format!("{code} {} version {version}", hex(&index_key.0))
}
