//! The first pass: every row checked, the whole held against what is there, nothing changed.
//!
//! What a crash leaves: quarantine rows and runs of a pass that did not end. The next pass removes them and begins again.
use super::desk::Tell;
use super::join::Join;
use super::manifest::resource_of;
use super::parse::{FileFault, fault};
use super::pipeline::{Pipeline, Stopped};
use super::quarantine;
use super::runs::{Class, Entry, Writer};
use super::settle::{Row, Standing};
use super::stage;
use super::state::{Import, Stored};
use super::validate::{self, Plan, Refused};
use crate::exchange::Exchange;
use crate::failure::{Failure, Reason};
use crate::library::schema::Library;
use crate::receipt::sequencer::Unit;
use crate::store::{Key, key_space};
use crate::wire::proto::intake::v1::{ImportPhase, ImportScope};
use bytes::Bytes;
use std::sync::Arc;

/// The guard where the resource names none: more than 50 ‰ changed or removed is held.
const GUARD_PERMILLE: u32 = 50;
/// Quarantine rows of one commit: rows and bytes.
const ASIDE_ROWS: usize = 200;
const ASIDE_BYTES: usize = 512 << 10;

/// Checks a staged import and moves it on: applying, held, refused, or the end of a dry run.
pub(super) async fn examine(exchange: &Arc<Exchange>, import: &mut Import, tell: &Tell) -> Result<(), Failure> {
    if !stage::digest_holds(exchange, import).await? {
        return refuse(exchange, import, import.stored.clone(), Reason::DigestMismatch, None).await;
    }
    stage::remove_all(exchange, import, key_space::quarantined(&import.id.0)).await?;
    stage::clean_runs(exchange, import).await?;
    let view = exchange.view().await?;
    let resource = resource_of(&view, &import.manifest.resource).await?;
    let guard =
        u64::from(if resource.delta_guard_permille == 0 { GUARD_PERMILLE } else { resource.delta_guard_permille });
    let plan = Arc::new(Plan::open(exchange, &view, import, resource, validate::Pass::Checking).await?);
    drop(view);
    let mut pass =
        Pass { exchange, import, writer: Writer::default(), aside: Aside::default(), found: Stored::default() };
    let mut pipeline = Pipeline::start(exchange, import, &plan, 0);
    loop {
        match pipeline.next().await {
            Ok(Some(batch)) => pass.take(batch).await?,
            Ok(None) => break,
            Err(Stopped::Hub(failure)) => return Err(failure),
            Err(Stopped::File(why)) => {
                let found = pass.end().await?.0;
                return refuse(exchange, import, found, Reason::ImportFileInvalid, Some(why)).await;
            }
        }
        tell.checked(&pass.found);
    }
    let (mut found, held) = pass.compare(plan.library).await?;
    if found.rows_checked != import.manifest.rows {
        let (read, stated) = (found.rows_checked, import.manifest.rows);
        let why = FileFault {
            zh: format!("文件{read}行，清单{stated}行"),
            en: format!("{read} rows, {stated} stated"),
        };
        return refuse(exchange, import, found, Reason::RowCountMismatch, Some(why)).await;
    }
    let moved = found.rows_to_change.saturating_add(found.rows_to_remove);
    let phase = if import.stored.dry_run {
        let (add, change, remove) = (found.rows_to_add, found.rows_to_change, found.rows_to_remove);
        found.reason = format!(
            "DRY_RUN: would add {add}, change {change}, remove {remove} of {held} held. \
             将新增{add}条、变更{change}条、移除{remove}条（现有{held}条）。"
        );
        ImportPhase::DryRunDone
    } else if held > 0 && u128::from(moved) * 1_000 > u128::from(held) * u128::from(guard) {
        let zh =
            format!("现有{held}条中将变更{}条、移除{}条，超过{guard}‰", found.rows_to_change, found.rows_to_remove);
        let (change, remove) = (found.rows_to_change, found.rows_to_remove);
        let en =
            format!("of {held} records held it would change {change} and remove {remove}, more than {guard} per mille");
        found.reason = said(Reason::ImportHeld, Some(&FileFault { zh, en }));
        ImportPhase::Held
    } else {
        ImportPhase::Applying
    };
    found.set_phase(phase);
    found.next_chunk = 1;
    import.commit(exchange.recorder.ledger(), &exchange.vault, found, Unit::default()).await
}

/// A checking pass under way.
struct Pass<'a> {
    exchange: &'a Arc<Exchange>,
    import: &'a Import,
    writer: Writer,
    aside: Aside,
    /// The counts so far; the rest of the state is filled in at the end.
    found: Stored,
}

impl Pass<'_> {
    /// Sorts a batch into records to come and rows set aside.
    async fn take(&mut self, batch: Vec<Row>) -> Result<(), Failure> {
        for (number, outcome) in batch {
            self.found.rows_checked = self.found.rows_checked.saturating_add(1);
            let entry = match outcome {
                Ok(settled) => {
                    let class = match settled.standing {
                        Standing::Same => Class::Same,
                        Standing::Next { changed: false, .. } => Class::New,
                        Standing::Next { changed: true, .. } => Class::Changed,
                    };
                    Some(Entry { key: settled.index_key, row: number, class })
                }
                Err(refused) => {
                    let entry = refused.index_key.map(|key| Entry { key, row: number, class: Class::Refused });
                    self.set_aside(number, refused).await?;
                    entry
                }
            };
            if let Some(entry) = entry {
                self.writer.push(self.exchange, self.import, entry).await?;
            }
        }
        Ok(())
    }

    async fn set_aside(&mut self, row: u64, refused: Refused) -> Result<(), Failure> {
        self.found.rows_quarantined = self.found.rows_quarantined.saturating_add(1);
        let (key, body) = quarantine::sealed(self.exchange, self.import, row, refused)?;
        self.aside.bytes = self.aside.bytes.saturating_add(body.len());
        self.aside.puts.push((key, body));
        if self.aside.puts.len() >= ASIDE_ROWS || self.aside.bytes >= ASIDE_BYTES {
            self.flush_aside().await?;
        }
        Ok(())
    }

    async fn flush_aside(&mut self) -> Result<(), Failure> {
        let puts = std::mem::take(&mut self.aside).puts;
        if puts.is_empty() {
            return Ok(());
        }
        let unit = Unit { puts, ..Unit::default() };
        Ok(self.import.commit_beside(self.exchange.recorder.ledger(), unit).await?)
    }

    /// The state with what was counted.
    async fn end(mut self) -> Result<(Stored, u64), Failure> {
        self.flush_aside().await?;
        let runs = std::mem::take(&mut self.writer).finish(self.exchange, self.import).await?;
        let (found, before) = (self.found, self.import.stored.clone());
        let (rows_checked, rows_quarantined) = (found.rows_checked, found.rows_quarantined);
        Ok((Stored { runs, rows_checked, rows_quarantined, ..before }, 0))
    }

    /// Finds keys that the file has twice, and, for a snapshot, what is held and not in the file. Gives how many are held.
    async fn compare(mut self, library: Library) -> Result<(Stored, u64), Failure> {
        let runs = std::mem::take(&mut self.writer).finish(self.exchange, self.import).await?;
        let snapshot = self.import.manifest.scope() == ImportScope::Snapshot;
        let mut join = Join::open(self.exchange, self.import, &runs, library, snapshot).await?;
        let mut counts = [0_u64; 3];
        let (mut held, mut gone) = (0_u64, 0_u64);
        while let Some(joined) = join.next().await? {
            held = held.saturating_add(u64::from(joined.held));
            gone = gone.saturating_add(u64::from(joined.rows.is_empty()));
            let mut good = joined.rows.iter().filter(|entry| entry.class != Class::Refused);
            let Some(first) = good.next() else { continue };
            if let Some(count) = counts.get_mut(first.class as usize) {
                *count = count.saturating_add(1);
            }
            for twice in good {
                self.set_aside(twice.row, key_twice(first.row)).await?;
            }
        }
        drop(join);
        let (mut found, _) = Pass { writer: Writer::default(), ..self }.end().await?;
        let [same, new, changed] = counts;
        (found.rows_same, found.rows_to_add, found.rows_to_change, found.rows_to_remove) = (same, new, changed, gone);
        found.runs = runs;
        Ok((found, held))
    }
}

#[derive(Default)]
struct Aside {
    puts: Vec<(Key, Bytes)>,
    bytes: usize,
}

fn key_twice(first: u64) -> Refused {
    let zh = format!("主键与第{first}行相同");
    let faults = vec![fault("", "KEY_TWICE", zh, format!("has the key of row {first}"))];
    Refused { index_key: None, faults, raw: Vec::new() }
}

/// Ends an import of which nothing may take effect.
async fn refuse(
    exchange: &Exchange,
    import: &mut Import,
    mut found: Stored,
    reason: Reason,
    why: Option<FileFault>,
) -> Result<(), Failure> {
    found.set_phase(ImportPhase::Refused);
    found.reason = said(reason, why.as_ref());
    import.commit(exchange.recorder.ledger(), &exchange.vault, found, Unit::default()).await
}

/// Reason, English, Chinese; with what was found.
fn said(reason: Reason, why: Option<&FileFault>) -> String {
    let (mut en, mut zh) = (reason.text_en().to_owned(), reason.text_zh().to_owned());
    if let Some(why) = why {
        en = format!("{en} {}.", why.en);
        zh = format!("{zh}{}。", why.zh);
    }
    format!("{}: {en} {zh}", reason.name())
}
