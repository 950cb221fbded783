//! Parts → rows → checked rows, a few at a time: one task reads and opens parts, one thread parses and judges, and whoever
//! asks for [`Pipeline::next`] does the rest. Dropping it ends both.
use super::parse::{FileFault, Names, Rows};
use super::stage;
use super::state::Import;
use super::validate::{Checked, Plan};
use crate::exchange::Exchange;
use crate::failure::{Failure, Reason};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A batch is closed with so many rows …
const BATCH_ROWS: usize = 256;
/// … or so many bytes of records.
const BATCH_BYTES: usize = 1 << 20;

/// The checked rows of a staged file.
pub(super) struct Pipeline {
    batches: mpsc::Receiver<Vec<Checked>>,
    feeder: Option<JoinHandle<Result<(), Failure>>>,
    reader: Option<JoinHandle<Result<(), FileFault>>>,
}

/// Why there are no more rows before the end.
pub(super) enum Stopped {
    /// The file cannot be read.
    File(FileFault),
    /// The hub cannot at the moment.
    Hub(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Hub(failure)
    }
}

impl Pipeline {
    /// Begins after row `skip`.
    pub(super) fn start(exchange: &Arc<Exchange>, import: &Import, plan: &Arc<Plan>, skip: u64) -> Self {
        let (parts_in, parts) = mpsc::channel::<Bytes>(4);
        let (batches_in, batches) = mpsc::channel(2);
        let (hub, staged) = (exchange.clone(), import.clone());
        let feeder = tokio::spawn(async move { stage::feed(&hub, &staged, parts_in).await });
        let plan = plan.clone();
        let reader = tokio::task::spawn_blocking(move || read(parts, &plan, skip, &batches_in));
        Self { batches, feeder: Some(feeder), reader: Some(reader) }
    }

    /// The next rows; `None` at the end of the file.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Checked>>, Stopped> {
        if let Some(batch) = self.batches.recv().await {
            return Ok(Some(batch));
        }
        let ended = |e: tokio::task::JoinError| Failure::new(Reason::Internal).because(format!("reading a file: {e}"));
        // A feeder that failed looks like the end of the file to the reader: its word counts first.
        if let Some(feeder) = self.feeder.take() {
            feeder.await.map_err(ended)??;
        }
        if let Some(reader) = self.reader.take() {
            reader.await.map_err(ended)?.map_err(Stopped::File)?;
        }
        Ok(None)
    }
}

fn read(
    parts: mpsc::Receiver<Bytes>,
    plan: &Plan,
    skip: u64,
    out: &mpsc::Sender<Vec<Checked>>,
) -> Result<(), FileFault> {
    let names = Names::new(plan.library, &plan.extensions);
    let mut rows = Rows::open(parts, plan.manifest.file_format(), names)?;
    let (mut batch, mut bytes) = (Vec::with_capacity(BATCH_ROWS), 0_usize);
    while let Some(row) = rows.next()? {
        if row.number <= skip {
            continue;
        }
        let checked = plan.check(row);
        bytes = bytes.saturating_add(match &checked.outcome {
            Ok(candidate) => candidate.row.body.len(),
            Err(refused) => refused.raw.iter().map(|(_, value)| value.len()).sum(),
        });
        batch.push(checked);
        if batch.len() >= BATCH_ROWS || bytes >= BATCH_BYTES {
            bytes = 0;
            if out.blocking_send(std::mem::take(&mut batch)).is_err() {
                return Ok(()); // nobody wants more
            }
        }
    }
    if !batch.is_empty() {
        let _ = out.blocking_send(batch);
    }
    Ok(())
}
