//! DocumentService: a file streamed up, judged beside the calls, answered with a receipt. The file lives in memory while it is judged and
//! nowhere else.
//!
//! Limits stand before memory: who may bring a file, how long it may be and how many are in hand are asked before its first byte is kept.
//! A place is held until the judging thread has ended, whether or not anybody still waits for it.
use super::caller::Called;
use super::status::answered;
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::failure::{Failure, Reason};
use crate::library::document::DocumentAsked;
use crate::limits::{DOCUMENT_JUDGED_MS_MAX, DOCUMENTS_AT_ONCE, DOCUMENTS_PER_CALLER};
use crate::paper::container::Patience;
use crate::paper::judge::sm3_of;
use crate::paper::report::{self, Report};
use crate::policy::Caller;
use crate::seal::chain::Anchors;
use crate::seal::judge::Grounds;
use crate::seal::step::Profile;
use crate::wire::document;
use crate::wire::proto::document::v1::document_service_server::DocumentService;
use crate::wire::proto::document::v1::verify_document_request::Message as Up;
use crate::wire::proto::document::v1::{VerifyDocumentRequest, VerifyDocumentResponse};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

/// Room that is made for a file before its bytes come.
const ROOM_BYTES: usize = 1 << 20;

/// What papers are judged by, and how many at once.
pub struct Bench {
    /// Whom this hub believes; exchanged while it runs.
    pub anchors: ArcSwap<Anchors>,
    profile: Profile,
    clock: Clock,
    judged_within: Duration,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    by_caller: HashMap<String, usize>,
}

/// A place at the bench; given back when dropped.
struct Place {
    bench: Arc<Bench>,
    caller: String,
}

impl Bench {
    /// A bench with these anchors and this usual profile.
    #[must_use]
    pub fn new(anchors: Anchors, profile: Profile, clock: Clock) -> Arc<Self> {
        let judged_within = Duration::from_millis(DOCUMENT_JUDGED_MS_MAX);
        Arc::new(Self {
            anchors: ArcSwap::from_pointee(anchors),
            profile,
            clock,
            judged_within,
            held: Mutex::default(),
        })
    }

    fn enter(self: &Arc<Self>, caller: &Caller) -> Result<Place, Failure> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = held.by_caller.get(&caller.uri).copied().unwrap_or(0);
        if mine >= DOCUMENTS_PER_CALLER || held.all >= DOCUMENTS_AT_ONCE {
            return Err(Failure::new(Reason::HubOverloaded).because("as many files as may be are being judged"));
        }
        held.all += 1;
        held.by_caller.insert(caller.uri.clone(), mine + 1);
        Ok(Place { bench: Arc::clone(self), caller: caller.uri.clone() })
    }

    /// Judges a file on this thread, no longer than is allowed.
    fn judge(&self, file: &[u8], profile: Profile) -> Result<Report, Failure> {
        let end = Instant::now() + self.judged_within;
        let over = || Instant::now() >= end;
        let anchors = self.anchors.load();
        let grounds = Grounds { anchors: &anchors, now_s: self.clock.now_ms() / 1_000, issuer: None };
        let report = report::of_file_within(file, profile, grounds, Patience::until(&over));
        if report.reason() == Some("too-slow") {
            return Err(Failure::new(Reason::DocumentTooSlow));
        }
        Ok(report)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.bench.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all = held.all.saturating_sub(1);
        let mine = held.by_caller.get(&self.caller).copied().unwrap_or(0);
        if mine > 1 {
            held.by_caller.insert(self.caller.clone(), mine - 1);
        } else {
            held.by_caller.remove(&self.caller);
        }
    }
}

/// The service.
#[derive(Clone)]
pub struct DocumentRpc {
    exchange: Arc<Exchange>,
    bench: Arc<Bench>,
}

impl DocumentRpc {
    /// The service over a hub and its bench.
    #[must_use]
    pub fn new(exchange: Arc<Exchange>, bench: Arc<Bench>) -> Self {
        Self { exchange, bench }
    }

    /// The file as announced: not a byte more, and with its hash.
    async fn receive(
        &self,
        up: &mut Streaming<VerifyDocumentRequest>,
        asked: &DocumentAsked,
    ) -> Result<Vec<u8>, Stopped> {
        let mut file = Vec::with_capacity(asked.file_bytes.min(ROOM_BYTES));
        while let Some(request) = up.message().await.map_err(Stopped::Broken)? {
            let Some(Up::Part(part)) = request.message else {
                let en = "After the opening only parts of the file follow.";
                return Err(Failure::field("message", "opening 之后只能是 part。", en).into());
            };
            if part.len() > asked.file_bytes.saturating_sub(file.len()) {
                return Err(Failure::new(Reason::DigestMismatch).because("more bytes than were announced").into());
            }
            file.extend_from_slice(&part);
        }
        if file.len() != asked.file_bytes || sm3_of(&file) != asked.file_sm3 {
            return Err(Failure::new(Reason::DigestMismatch).into());
        }
        Ok(file)
    }
}

/// Why no verdict is given.
enum Stopped {
    Failed(Failure),
    /// The connection broke: nobody may be there to hear it.
    Broken(Status),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

#[tonic::async_trait]
impl DocumentService for DocumentRpc {
    async fn verify_document(
        &self,
        request: Request<Streaming<VerifyDocumentRequest>>,
    ) -> Result<Response<VerifyDocumentResponse>, Status> {
        let called = Called::of(request)?;
        let Called { caller, request, message: mut up } = called;
        let verdict = async {
            let first = up.message().await.map_err(Stopped::Broken)?;
            let Some(Up::Question(question)) = first.and_then(|request| request.message) else {
                let en = "The first message of the stream is the question.";
                return Err(Failure::field("message", "第一条消息须为 question。", en).into());
            };
            let asked = document::document(question, self.bench.profile)?;
            if let Some(refused) = self.exchange.may_bring(&caller, &asked).await? {
                return Ok(refused);
            }
            let place = self.bench.enter(&caller)?;
            let file = self.receive(&mut up, &asked).await?;
            let profile = asked.profile;
            let judged = tokio::task::spawn_blocking(move || {
                let report = place.bench.judge(&file, profile);
                drop((file, place)); // given back here, not when somebody hears of it
                report
            });
            let report = judged.await.map_err(|e| Failure::new(Reason::Internal).because(e))??;
            Ok(self.exchange.verify_document(&caller, &asked, &report).await?)
        };
        let recorded = verdict.await.map_err(|stopped: Stopped| match stopped {
            Stopped::Failed(failure) => {
                self.exchange.note(&caller, &failure);
                super::status::to_status(&failure, request.as_ref())
            }
            Stopped::Broken(status) => status,
        })?;
        let item = answered(&recorded, request.as_ref())?;
        let (payload, receipt) = (item.payload().clone(), Some(item.receipt().clone()));
        Ok(Response::new(VerifyDocumentResponse { payload, receipt }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &[u8] = include_bytes!("../../tests/samples/ofd/v4signed.ofd");

    fn bench() -> Arc<Bench> {
        Bench::new(Anchors::default(), Profile::Gbt2020, Clock::from_fn(|| 1_795_305_600_000))
    }

    fn caller(system: &str) -> Caller {
        Caller::from_certificate(&format!("wuku://hub/department/{system}"), "01", [0; 32]).unwrap()
    }

    #[test]
    fn one_caller_holds_its_own_places_and_all_together_only_so_many() {
        let bench = bench();
        let mine: Vec<Place> = (0..DOCUMENTS_PER_CALLER).map(|_| bench.enter(&caller("a")).unwrap()).collect();
        assert_eq!(bench.enter(&caller("a")).err().map(|f| f.reason), Some(Reason::HubOverloaded));
        let others: Vec<Place> =
            (0..DOCUMENTS_AT_ONCE).map_while(|n| bench.enter(&caller(&format!("b{n}"))).ok()).collect();
        assert_eq!(mine.len() + others.len(), DOCUMENTS_AT_ONCE);
        drop(mine);
        assert!(bench.enter(&caller("a")).is_ok());
        drop(others);
        let held = bench.held.lock().unwrap();
        assert_eq!((held.all, held.by_caller.len()), (0, 0), "nothing of a caller is remembered");
    }

    #[test]
    fn a_file_that_takes_too_long_is_given_up_and_said_to_be_so() {
        let mut slow = Arc::into_inner(bench()).unwrap();
        assert_eq!(slow.judge(SIGNED, Profile::Gbt2020).unwrap().verdict.as_str(), "valid-but-not-anchored");
        slow.judged_within = Duration::ZERO;
        assert_eq!(slow.judge(SIGNED, Profile::Gbt2020).unwrap_err().reason, Reason::DocumentTooSlow);
    }
}
