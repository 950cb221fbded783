//! Walks the whole store and holds every row against the log.
//!
//! What the vault cannot show (a row removed, an older one put back) shows here: every change statement names its record versions
//! and their digests, every import chunk its rows by an RFC 9162 root, and the log names every statement. So, in this order:
//!
//! 1. entries → leaves → root, tiles, head, fence; each statement opens under its entry's commitment and keeps the rules;
//! 2. record rows → stamps → statements, and back; import chunks by their root;
//! 3. ledger, links, cells, answered requests lead to what is there.
//!
//! Nothing is written. Pages take fresh snapshots, so a store of any size is walked; the store should be at rest, or what is
//! written meanwhile is reported as found.
mod finding;
mod log;
mod records;
mod rows;
#[cfg(test)]
mod tests;

pub use finding::{Finding, What};

use super::head;
use super::recorder::KeptStatement;
use super::statement;
use crate::failure::Failure;
use crate::library::record::from_store;
use crate::log::entry::{Entry, commitment};
use crate::log::{Frontier, Hash, Suite, in_suite};
use crate::store::vault::Vault;
use crate::store::{Direction, Key, KeyRange, Snapshot, Store, Versioned, key_space};
use crate::wire::proto::receipt::v1::{Kind, Statement};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

/// Rows of one page.
const PAGE: usize = 256;
/// Findings kept with their words; the rest is counted.
const FINDINGS_KEPT: usize = 10_000;
/// Opened statements remembered: the rows of one import chunk lie far apart.
const REMEMBERED: usize = 20_000;

/// What is walked.
pub struct Subject<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// What opens its rows.
    pub vault: &'a Vault,
    /// The hub's name, as in every statement.
    pub hub: &'a str,
    /// The fence's folder; `None` leaves it out.
    pub fence: Option<&'a Path>,
}

/// How far the walk is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// `log`, `records`, `imports`, `ledger`, `links`, `requests`.
    pub stage: &'static str,
    /// Rows done in it.
    pub done: u64,
    /// Of how many, where that is known.
    pub total: Option<u64>,
}

/// What was looked at and what was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The log's origin; empty for an empty log.
    pub origin: String,
    /// Its size.
    pub size: u64,
    /// Statements opened.
    pub statements: u64,
    /// Full tiles compared.
    pub tiles: u64,
    /// Record versions opened.
    pub versions: u64,
    /// Rows of import chunks among them.
    pub import_rows: u64,
    /// Link and cell rows followed.
    pub links: u64,
    /// Answered requests opened.
    pub requests: u64,
    /// Statements and rows that a public entry says were erased, or may have been.
    pub erased: u64,
    /// What is wrong, in the order found, at most 10,000.
    pub findings: Vec<Finding>,
    /// How many there are in all.
    pub findings_total: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings_total == 0
    }
}

/// Walks the store. Findings are in the report; an error means that the walk could not go on.
///
/// # Errors
/// Store faults; a head row that does not decode.
pub async fn check(subject: Subject<'_>, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, Failure> {
    in_suite!(subject.vault.suite(), S => walk::<S>(subject, tell).await)
}

async fn walk<S: Suite>(subject: Subject<'_>, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Report, Failure> {
    let mut walk = Walk::<S> {
        subject,
        tell,
        report: Report::default(),
        head: None,
        imports: Vec::new(),
        chunks: HashMap::new(),
        erasable: Vec::new(),
        erased_before: 0,
        remembered: HashMap::new(),
        subjects: 0,
        suite: PhantomData,
    };
    walk.log().await?;
    walk.records().await?;
    walk.stamps().await?;
    walk.import_chunks().await?;
    walk.ledger().await?;
    walk.links().await?;
    walk.requests().await?;
    Ok(walk.close())
}

/// A walk under way.
struct Walk<'a, S> {
    subject: Subject<'a>,
    tell: &'a mut (dyn FnMut(Progress) + Send),
    report: Report,
    head: Option<head::Head>,
    /// Indices of import statements that took effect.
    imports: Vec<u64>,
    /// Rows stamped with an import's index, in the order of their index keys.
    chunks: HashMap<u64, Chunk<S>>,
    /// Findings that an erasure recorded later than the index would explain.
    erasable: Vec<(u64, Finding)>,
    /// Entries before this index may have been erased since.
    erased_before: u64,
    remembered: HashMap<u64, Option<Arc<Said>>>,
    /// Statements with a subject.
    subjects: u64,
    suite: PhantomData<S>,
}

/// The rows of one import chunk so far.
struct Chunk<S> {
    rows: u64,
    frontier: Frontier<S>,
}

/// What a statement says, opened under its entry.
struct Said {
    time_s: u64,
    kept: KeptStatement,
    statement: Statement,
}

impl Said {
    fn kind(&self) -> Kind {
        self.statement.kind()
    }
}

impl<S: Suite> Walk<'_, S> {
    fn find(&mut self, what: What, place: impl Into<String>, detail: impl std::fmt::Display) {
        self.report.findings_total = self.report.findings_total.saturating_add(1);
        if self.report.findings.len() < FINDINGS_KEPT {
            self.report.findings.push(Finding::new(what, place, detail));
        }
    }

    /// Something is missing that an erasure after `index` may have taken.
    fn find_unless_erased(&mut self, index: u64, what: What, place: impl Into<String>, detail: impl std::fmt::Display) {
        self.erasable.push((index, Finding::new(what, place, detail)));
    }

    fn tell(&mut self, stage: &'static str, done: u64, total: Option<u64>) {
        (self.tell)(Progress { stage, done, total });
    }

    fn size(&self) -> u64 {
        self.head.as_ref().map_or(0, |head| head.size)
    }

    /// Sorts out what was erased.
    fn close(mut self) -> Report {
        for (index, finding) in std::mem::take(&mut self.erasable) {
            if index < self.erased_before {
                self.report.erased = self.report.erased.saturating_add(1);
            } else {
                self.report.findings_total = self.report.findings_total.saturating_add(1);
                self.report.findings.push(finding);
            }
        }
        self.report
    }

    /// The statement at an index; `None` where it does not open, which the first part has reported.
    async fn said(&mut self, snapshot: &dyn Snapshot, index: u64) -> Result<Option<Arc<Said>>, Failure> {
        if let Some(said) = self.remembered.get(&index) {
            return Ok(said.clone());
        }
        let entry = snapshot.get(&key_space::entry(index)).await.map_err(from_store)?;
        let row = snapshot.get(&key_space::statement_row(index)).await.map_err(from_store)?;
        let opened = entry.zip(row).and_then(|(entry, row)| {
            let entry = Entry::parse(&entry.body).ok()?;
            open::<S>(self.subject.vault, &entry, &row.body).ok()
        });
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        let said = opened.map(Arc::new);
        self.remembered.insert(index, said.clone());
        Ok(said)
    }
}

/// Opens a statement row under its entry: the row's binding, the commitment, the rules of statements.
fn open<S: Suite>(vault: &Vault, entry: &Entry, body: &[u8]) -> Result<Said, String> {
    let Entry::Statement { time_s, commitment: expected } = entry else {
        return Err("the entry is no statement".into());
    };
    let kept = KeptStatement::open(vault, expected, body).map_err(|e| e.inside.unwrap_or_default())?;
    let salt = kept.salt.as_ref().try_into().map_err(|_| "its salt is not 32 bytes")?;
    let made: Hash = commitment::<S>(salt, &kept.statement);
    if made != *expected {
        return Err("salt and statement do not give the entry's commitment".into());
    }
    let statement = statement::parse(&kept.statement).map_err(|e| e.to_string())?;
    Ok(Said { time_s: *time_s, kept, statement })
}

/// Pages over a range, each in a fresh snapshot: one lives five seconds, and the walk is longer.
struct Pages<'a> {
    store: &'a dyn Store,
    rest: Option<KeyRange>,
}

impl<'a> Pages<'a> {
    fn over(store: &'a dyn Store, range: KeyRange) -> Self {
        Self { store, rest: Some(range) }
    }

    async fn next(&mut self) -> Result<Option<(Arc<dyn Snapshot>, Vec<(Key, Versioned)>)>, Failure> {
        let Some(range) = self.rest.take() else { return Ok(None) };
        let snapshot = self.store.snapshot().await.map_err(from_store)?;
        let page = snapshot.scan(range, Direction::Forward, PAGE).await.map_err(from_store)?;
        self.rest = page.next;
        Ok(Some((snapshot, page.rows)))
    }
}

/// Bytes as hexadecimal digits, for places: keyed hashes, never a person.
fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
