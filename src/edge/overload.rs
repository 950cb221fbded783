//! More calls than the hub can take: refused outermost, before they cost anything.
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::body::Body;

use super::body::{Watch, watched};
use super::listener::Connection;
use super::share::{NoPlace, Place, Share};
use super::stack::{Around, DOCUMENT, IMPORT, Inner, WATCH, answer_of, parse_timeout, refusal};
use crate::config::Limits;
use crate::failure::Reason;
use crate::telemetry::{ACCESS_TARGET, Metrics};

/// Bounds the calls in progress over all connections together, and how many of them are one department's.
///
/// A refusal here reads no body, touches no store, makes no name and no log line of its own: one line a second says how many there
/// were, and `wuku_shed` counts them.
///
/// Even so, refusing thousands a second takes what other departments' answers need. A department that floods while others are there
/// (refused more often in half a second than there are places) is told a moment late: meanwhile the calls of its
/// connection are under way, and a connection has only so many of them.
pub struct InFlight {
    share: Arc<Share>,
    /// How many may be told late at once.
    late: Semaphore,
    /// The refusal, made once.
    refusal: HeaderMap,
    said: Mutex<Said>,
    metrics: Metrics,
}

/// When the log was last told of refusals, and how many there were since.
struct Said {
    at: Instant,
    since: u64,
}

impl InFlight {
    pub(super) fn new(limits: &Limits, metrics: &Metrics) -> Self {
        let status = refusal(Reason::HubOverloaded, None, Some(Duration::from_millis(limits.overload_retry_ms)));
        let (parts, _) = status.into_http::<Body>().into_parts();
        Self {
            share: Share::adapting(limits.in_flight_max),
            late: Semaphore::new(TOLD_LATE_MAX),
            refusal: parts.headers,
            said: Mutex::new(Said { at: Instant::now(), since: 0 }),
            metrics: metrics.clone(),
        }
    }

    fn refuse(&self) -> Response<Body> {
        self.metrics.shed.inc();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.since += 1;
        if said.at.elapsed() > SAY_EVERY {
            tracing::warn!(target: ACCESS_TARGET, refused = said.since, "more calls than the hub can take");
            *said = Said { at: Instant::now(), since: 0 };
        }
        drop(said);
        let mut response = Response::new(Body::empty());
        *response.headers_mut() = self.refusal.clone();
        response
    }
}

const SAY_EVERY: Duration = Duration::from_secs(1);
/// How late who floods is told, or half its patience.
const TOLD_LATE: Duration = Duration::from_secs(1);
/// Some kilobytes each; beyond it they are told at once.
const TOLD_LATE_MAX: usize = 4_096;
/// Streams that wait for something; the time they take says nothing of how busy the hub is.
const WAITING: [&str; 6] = [
    IMPORT,
    WATCH,
    DOCUMENT,
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

impl Around for InFlight {
    async fn call<S: Inner>(self: Arc<Self>, request: Request<Body>, inner: S) -> Response<Body> {
        let measured = !WAITING.contains(&request.uri().path());
        let department = request.extensions().get::<Connection>().map(|c| Arc::clone(c.department()));
        match self.share.enter(&department.unwrap_or_default(), measured) {
            Ok(place) => watched(answer_of(inner, request).await, place),
            Err(NoPlace::Full) => self.refuse(),
            Err(NoPlace::Flooding) => {
                let refusal = self.refuse();
                let patience = request.headers().get("grpc-timeout").and_then(parse_timeout).unwrap_or(Duration::MAX);
                drop(request);
                if let Ok(_one_of_so_many) = self.late.try_acquire() {
                    tokio::time::sleep(TOLD_LATE.min(patience / 2)).await;
                }
                refusal
            }
        }
    }
}

impl Watch for Place {}
