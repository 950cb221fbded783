//! Parts → rows → judged rows, a few batches at a time: one task reads and opens parts, one thread cuts rows, every core judges them
//! and holds them against what stands ([`Judges`]), and whoever asks for [`Pipeline::next`] gets them in the order of the file. Dropping
//! it ends all.
use super::judges::{Judges, behind};
use super::parse::{self, FileFault};
use super::settle::{Row, settle};
use super::stage;
use super::state::Import;
use super::validate::Plan;
use crate::exchange::Exchange;
use crate::failure::{Failure, Reason};
use bytes::Bytes;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Batches being judged, or judged and waiting to be taken.
const BATCHES_AHEAD: usize = 6;

/// The judged rows of a staged file.
pub(super) struct Pipeline {
    batches: mpsc::Receiver<Judged>,
    feeder: Option<JoinHandle<Result<(), Failure>>>,
    reader: Option<JoinHandle<Result<(), Stopped>>>,
}

/// A batch that will have been judged.
type Judged = oneshot::Receiver<Result<Vec<Row>, Failure>>;

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
        let (batches_in, batches) = mpsc::channel(BATCHES_AHEAD);
        let (hub, staged) = (exchange.clone(), import.clone());
        let feeder = tokio::spawn(async move { stage::feed(&hub, &staged, parts_in).await });
        let plan = plan.clone();
        let runtime = Handle::current();
        let hub = exchange.clone();
        // On the runtime's pool somebody waits for the threads, so that they are gone when the runtime is.
        let reader = tokio::task::spawn_blocking(move || {
            behind(move || read(parts, &hub, &plan, skip, &runtime, &batches_in)).map_err(ended)?
        });
        Self { batches, feeder: Some(feeder), reader: Some(reader) }
    }

    /// The next rows; `None` at the end of the file.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Row>>, Stopped> {
        if let Some(batch) = self.batches.recv().await {
            return Ok(Some(batch.await.map_err(ended)??));
        }
        // A feeder that failed looks like the end of the file to the reader: its word counts first.
        if let Some(feeder) = self.feeder.take() {
            feeder.await.map_err(ended)??;
        }
        if let Some(reader) = self.reader.take() {
            reader.await.map_err(ended)??;
        }
        Ok(None)
    }
}

fn read(
    parts: mpsc::Receiver<Bytes>,
    exchange: &Arc<Exchange>,
    plan: &Arc<Plan>,
    skip: u64,
    runtime: &Handle,
    out: &mpsc::Sender<Judged>,
) -> Result<(), Stopped> {
    let judges = Judges::start().map_err(ended)?;
    let names = parse::names(plan.library, &plan.extensions);
    let mut rows = parse::open(parts, plan.manifest.file_format(), names).map_err(Stopped::File)?;
    while let Some(batch) = rows.next(skip).map_err(Stopped::File)? {
        let (exchange, plan, here) = (exchange.clone(), plan.clone(), runtime.clone());
        let (done, judged) = oneshot::channel();
        judges.judge(move || {
            let checked = plan.check_all(&batch);
            let _ = done.send(here.block_on(settle(&exchange, &plan, checked))); // nobody wants it any more
        });
        if out.blocking_send(judged).is_err() {
            return Ok(()); // nobody wants more
        }
    }
    Ok(())
}

/// A thread or task of the import is gone, or never was.
fn ended(why: impl std::fmt::Display) -> Failure {
    Failure::new(Reason::Internal).because(format!("reading a file: {why}"))
}
