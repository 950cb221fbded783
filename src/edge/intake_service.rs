//! IntakeService: files of source departments, streamed up; progress and the report streamed down.
//!
//! The stream is only a window: staged bytes are durable before they are acknowledged, and checking and applying go on in the
//! hub when the window closes. Who comes back with the same manifest sees the same import.
use super::caller::Called;
use super::stack::RequestId;
use super::status::{answered, to_status};
use crate::failure::{Failure, Reason};
use crate::intake::{ImportId, Intake, Progress};
use crate::policy::Caller;
use crate::wire::proto::intake::v1::import_request::Message as Up;
use crate::wire::proto::intake::v1::intake_service_server::IntakeService;
use crate::wire::proto::intake::v1::{
    GetImportRequest, GetImportResponse, ImportPhase, ImportRequest, ImportResponse, ListQuarantineRequest,
    ListQuarantineResponse, ReleaseImportRequest, ReleaseImportResponse,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Progress is said at least so often while the hub works.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// And at most so often, however fast it goes.
const SAY_AT_MOST: Duration = Duration::from_millis(200);

/// The service.
#[derive(Clone)]
pub struct IntakeRpc {
    intake: Arc<Intake>,
}

impl IntakeRpc {
    /// The service over a hub's imports.
    #[must_use]
    pub fn new(intake: Arc<Intake>) -> Self {
        Self { intake }
    }
}

type Down = mpsc::Sender<Result<ImportResponse, Status>>;

#[tonic::async_trait]
impl IntakeService for IntakeRpc {
    type ImportStream = ReceiverStream<Result<ImportResponse, Status>>;

    async fn import(&self, request: Request<Streaming<ImportRequest>>) -> Result<Response<Self::ImportStream>, Status> {
        let Called { caller, request, message } = Called::of(request)?;
        let (down, responses) = mpsc::channel(8);
        let call = Call { intake: self.intake.clone(), caller: Caller::clone(&caller), request, down };
        tokio::spawn(call.run(message));
        Ok(Response::new(ReceiverStream::new(responses)))
    }

    async fn get_import(&self, request: Request<GetImportRequest>) -> Result<Response<GetImportResponse>, Status> {
        let called = Called::of(request)?;
        let progress = async {
            let id = crate::intake::read_id(&called.message.import_id)?;
            self.intake.progress(&called.caller, id).await
        };
        let progress = progress.await.map_err(|failure| called.failed(&failure))?;
        Ok(Response::new(GetImportResponse { progress: Some(progress) }))
    }

    async fn list_quarantine(
        &self,
        request: Request<ListQuarantineRequest>,
    ) -> Result<Response<ListQuarantineResponse>, Status> {
        let called = Called::of(request)?;
        let page = self.intake.quarantine(&called.caller, &called.message).await;
        page.map(Response::new).map_err(|failure| called.failed(&failure))
    }

    async fn release_import(
        &self,
        request: Request<ReleaseImportRequest>,
    ) -> Result<Response<ReleaseImportResponse>, Status> {
        let called = Called::of(request)?;
        let recorded = self.intake.release(&called.caller, &called.message).await;
        let recorded = recorded.map_err(|failure| called.failed(&failure))?;
        let item = answered(&recorded, called.request.as_ref())?;
        let (payload, receipt) = (item.payload().clone(), Some(item.receipt().clone()));
        Ok(Response::new(ReleaseImportResponse { payload, receipt }))
    }
}

/// One stream.
struct Call {
    intake: Arc<Intake>,
    caller: Caller,
    request: Option<RequestId>,
    down: Down,
}

/// Why a stream ends before its report.
enum Ended {
    /// With a failure that the caller is told.
    Failed(Failure),
    /// With the status the connection broke with; nobody may be there to hear it.
    Broken(Status),
    /// The caller has gone, or has said all it wanted to for now.
    Gone,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Call {
    async fn run(self, mut up: Streaming<ImportRequest>) {
        let status = match self.receive(&mut up).await {
            Ok(()) | Err(Ended::Gone) => return,
            Err(Ended::Failed(failure)) => to_status(&failure, self.request.as_ref()),
            Err(Ended::Broken(status)) => status,
        };
        let _gone = self.down.send(Err(status)).await;
    }

    /// Opening, parts, then the hub's own work.
    async fn receive(&self, up: &mut Streaming<ImportRequest>) -> Result<(), Ended> {
        let first = up.message().await.map_err(Ended::Broken)?;
        let Some(Up::Opening(opening)) = first.and_then(|request| request.message) else {
            let en = "The first message of the stream is the opening.";
            return Err(Failure::field("message", "第一条消息须为 opening。", en).into());
        };
        let mut state = self.intake.open(&self.caller, &opening).await?;
        let id = crate::intake::read_id(&state.import_id)?;
        let whole = opening_size(&opening.manifest);
        self.say(state.clone()).await?;
        while state.phase() == ImportPhase::Staging && state.staged_bytes < whole {
            // Who closes its side early comes back later and goes on behind what is durable.
            let Some(request) = up.message().await.map_err(Ended::Broken)? else { return Err(Ended::Gone) };
            let Some(Up::Part(part)) = request.message else {
                let en = "After the opening only parts of the file follow.";
                return Err(Failure::field("message", "opening 之后只能是 part。", en).into());
            };
            state = self.intake.stage(&self.caller, id, &part).await?;
            self.say(state.clone()).await?;
        }
        self.follow(id).await
    }

    /// Says how far the hub is until it has ended.
    async fn follow(&self, id: ImportId) -> Result<(), Ended> {
        let mut progress = self.intake.follow(id);
        loop {
            let Progress { response, ended } = progress.borrow_and_update().clone();
            match ended {
                Some(ended) => {
                    ended?;
                    return self.say(response).await;
                }
                // Before its task has begun there is nothing to say yet.
                None if !response.import_id.is_empty() => self.say(response).await?,
                None => {}
            }
            tokio::time::sleep(SAY_AT_MOST).await;
            self.changed(&mut progress).await?;
        }
    }

    async fn changed(&self, progress: &mut watch::Receiver<Progress>) -> Result<(), Ended> {
        match tokio::time::timeout(SAY_EVERY, progress.changed()).await {
            Ok(Ok(())) | Err(_) => Ok(()),
            // A task that ended without a word has panicked.
            Ok(Err(_)) if progress.borrow().ended.is_some() => Ok(()),
            Ok(Err(_)) => Err(Failure::new(Reason::Internal).because("an import's task ended without a report").into()),
        }
    }

    async fn say(&self, response: ImportResponse) -> Result<(), Ended> {
        self.down.send(Ok(response)).await.map_err(|_| Ended::Gone)
    }
}

/// How many bytes the manifest announces; it was read when the import was opened.
fn opening_size(manifest: &[u8]) -> u64 {
    use prost::Message;
    crate::wire::proto::intake::v1::Manifest::decode(manifest).map_or(0, |manifest| manifest.file_bytes)
}
