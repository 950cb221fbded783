//! Judged rows against what stands now, and, while applying, sealed: everything about a row that needs no order among rows.
//!
//! Runs on the threads that judge rows. What is read here can be outdated when a row is committed; each row's own check, that its
//! next version is absent, says so then.
use super::licences;
use super::parse::fault;
use super::step::Planned;
use super::validate::{Candidate, Checked, Pass, Plan, Refused};
use crate::exchange::Exchange;
use crate::failure::{Failure, Reason};
use crate::library::licence::same_content;
use crate::library::record::{Opened, View, from_store};
use crate::library::schema::Library;
use crate::store::Key;
use crate::store::key_space::{self, IndexKey};
use std::sync::Arc;

/// Keys of one read: few enough that the store reads them where it is asked.
const KEYS_AT_ONCE: usize = 64;

/// A row by its number in the file.
pub(super) type Row = (u64, Result<Settled, Refused>);

/// A row that may be taken.
pub(super) struct Settled {
    pub(super) index_key: IndexKey,
    pub(super) standing: Standing,
    /// While applying: what it writes, unless it says nothing new.
    pub(super) planned: Option<Planned>,
}

/// Holds a batch against what stands now: its records, and the keys its licences were signed with.
pub(super) async fn settle(exchange: &Arc<Exchange>, plan: &Plan, batch: Vec<Checked>) -> Result<Vec<Row>, Failure> {
    let view = exchange.view().await?;
    let distrusted = licences::distrusted(&view, &batch).await?;
    let newest = newest_of(&view, plan.library, &batch).await?;
    let mut settled = Vec::with_capacity(batch.len());
    for (Checked { number, outcome }, newest) in batch.into_iter().zip(newest) {
        let outcome = match outcome {
            Err(refused) => Err(refused),
            Ok(candidate) => match candidate.signer.as_ref().and_then(|signer| distrusted.get(signer.fingerprint())) {
                Some(failure) => Err(licences::refused(&candidate, failure.clone())),
                None => match standing(plan.library, &candidate, newest.as_ref())? {
                    Ok(standing) => Ok(planned(plan, candidate, standing)?),
                    Err(refused) => Err(refused),
                },
            },
        };
        settled.push((number, outcome));
    }
    Ok(settled)
}

fn planned(plan: &Plan, candidate: Candidate, standing: Standing) -> Result<Settled, Failure> {
    let index_key = candidate.index_key;
    let planned = match standing {
        Standing::Next { previous, .. } if plan.pass == Pass::Applying => {
            let Candidate { index_key, row, holders, cells, signer } = candidate;
            Some(Planned::of(plan, index_key, row, previous, &holders, &cells, signer)?)
        }
        _ => None,
    };
    Ok(Settled { index_key, standing, planned })
}

/// What a candidate means for the record that is held.
pub(super) enum Standing {
    /// Nothing new.
    Same,
    /// The version after `previous`.
    Next { previous: u64, changed: bool },
}

/// Compares a candidate with the version held: the newest; of a licence the first, which is what its authority issued.
fn standing(
    library: Library,
    candidate: &Candidate,
    held: Option<&Opened>,
) -> Result<Result<Standing, Refused>, Failure> {
    let row = &candidate.row;
    let Some(opened) = held else { return Ok(Ok(Standing::Next { previous: 0, changed: false })) };
    let held = &opened.row;
    if library == Library::Licence {
        // What became of it since is not a file's to say.
        let same = held.resource == row.resource && same_content(row, held)?;
        let exists = || licences::refused(candidate, Failure::new(Reason::AlreadyExists));
        return Ok(if same { Ok(Standing::Same) } else { Err(exists()) });
    }
    if held.removed {
        return Ok(Ok(Standing::Next { previous: opened.version, changed: false }));
    }
    if held.resource != row.resource {
        return Ok(Err(foreign(candidate)));
    }
    // Where it came from differs with each import and is no change.
    if held.valid_from == row.valid_from && held.quality_flags == row.quality_flags && held.body == row.body {
        return Ok(Ok(Standing::Same));
    }
    Ok(Ok(Standing::Next { previous: opened.version, changed: true }))
}

/// The versions held of the records that a batch is about, as [`standing`] compares them; `None` for refused rows as well.
async fn newest_of(view: &View, library: Library, batch: &[Checked]) -> Result<Vec<Option<Opened>>, Failure> {
    let keys: Vec<Option<IndexKey>> = batch.iter().map(|row| row.outcome.as_ref().ok().map(|c| c.index_key)).collect();
    // Version 1 is there if any is: one read for the whole batch says which records are new.
    let first: Vec<Key> = keys.iter().flatten().map(|key| key_space::record_row(library.number(), key, 1)).collect();
    let mut known = Vec::with_capacity(first.len());
    for some in first.chunks(KEYS_AT_ONCE) {
        known.extend(view.snapshot().multi_get(some).await.map_err(from_store)?);
    }
    let mut known = first.iter().zip(known);
    let mut newest = Vec::with_capacity(batch.len());
    for key in keys {
        let first = if key.is_some() { known.next() } else { None };
        let held = match (key, first) {
            (Some(_), Some((place, Some(row)))) if library == Library::Licence => {
                Some(view.open(library, place, &row.body)?)
            }
            (Some(key), Some((_, Some(_)))) => view.newest(library, &key).await?,
            _ => None,
        };
        newest.push(held);
    }
    Ok(newest)
}

/// A row about a record that another resource holds.
fn foreign(candidate: &Candidate) -> Refused {
    let zh = "该记录由另一资源的数源部门维护（一数一源）";
    let faults = vec![fault("", "OTHER_SOURCE", zh, "another resource is the lead source of this record")];
    let raw = vec![(candidate.row.code_type.clone(), candidate.row.code.clone())];
    Refused { index_key: Some(candidate.index_key), faults, raw }
}
