//! What every call passes before a service sees it, outermost first.
//!
//! Layers do what needs no decoded message: naming the call, counting it, bounding it, knowing the caller. Whether the
//! caller may ask *this* is policy's question and needs the message, so it is not a layer.
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::{Bytes, Frame};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use tokio::time::{Instant, Sleep};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::layer::util::{Identity, Stack};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

use super::body::{Watch, in_time, watched};
use super::identity::hex;
use super::listener::Connection;
use super::overload::InFlight;
use super::status::unlogged;
use super::trust::Standing;
use crate::config::Limits;
use crate::failure::{Failure, Reason};
use crate::limits::{CALL_BODY_MS_MAX, DOCUMENT_BODY_MS_MAX};
use crate::random::Random;
use crate::telemetry::{ACCESS_TARGET, CallLabels, MethodLabels, Metrics};

type L<A> = AroundLayer<A>;
/// The finished stack, for `tonic::transport::Server::layer`.
pub type EdgeStack = Stack<
    L<Caller>,
    Stack<L<Deadlines>, Stack<L<Panics>, Stack<L<AccessLog>, Stack<L<RequestIds>, Stack<L<InFlight>, Identity>>>>>,
>;

/// Top is outermost. Anything that must see refusals stands above what refuses; overload alone is refused before anything else, for
/// what is turned away by the thousand must cost next to nothing.
#[must_use]
pub fn stack(limits: &Limits, metrics: &Metrics) -> EdgeStack {
    ServiceBuilder::new()
        .layer(AroundLayer::new(InFlight::new(limits, metrics))) // refuse rather than queue: callers retry elsewhere
        .layer(AroundLayer::new(RequestIds::default())) // every later line can name the call
        .layer(AroundLayer::new(AccessLog::new(metrics))) // sees every outcome, refused and abandoned ones included
        .layer(AroundLayer::new(Panics::new(metrics))) // a bug in one call is that call's end, not the hub's
        .layer(AroundLayer::new(Deadlines::new(limits))) // keep time to say why we failed
        .layer(AroundLayer::new(Caller)) // client certificate → policy::Caller; no Caller, no service
        .into_inner()
}

/// The call's name in logs and failure details. In the request's extensions and the response's `x-request-id`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RequestId(pub Arc<str>);

/// When the answer must be there. In the request's extensions: services look before each costly step.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

/// What a layer does around the rest of the stack.
pub trait Around: Send + Sync + 'static {
    /// Handles one call; `inner` is everything further in.
    fn call<S: Inner>(self: Arc<Self>, request: Request<Body>, inner: S)
    -> impl Future<Output = Response<Body>> + Send;
}

/// The rest of the stack, as a layer sees it.
pub trait Inner:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Send + 'static
{
}

impl<S> Inner for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send> + Send + 'static
{
}

pub(super) async fn answer_of(inner: impl Inner, request: Request<Body>) -> Response<Body> {
    match inner.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Gives each call a name.
#[derive(Default)]
pub struct RequestIds {
    random: Random,
}

impl Around for RequestIds {
    async fn call<S: Inner>(self: Arc<Self>, mut request: Request<Body>, inner: S) -> Response<Body> {
        let id = request.headers().get(&REQUEST_ID).and_then(sane_id);
        let id = id.unwrap_or_else(|| fresh_id(&self.random));
        let header = HeaderValue::from_str(&id).ok();
        request.extensions_mut().insert(RequestId(id));
        let mut response = answer_of(inner, request).await;
        if let Some(header) = header {
            response.headers_mut().insert(REQUEST_ID, header);
        }
        response
    }
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Only the shapes of a UUID: a looser rule would let a caller put an identity number into our log.
fn sane_id(value: &HeaderValue) -> Option<Arc<str>> {
    let text = value.to_str().ok()?;
    let dashes: Vec<usize> = text.bytes().enumerate().filter(|(_, b)| *b == b'-').map(|(i, _)| i).collect();
    let shaped = (text.len() == 36 && dashes == [8, 13, 18, 23]) || (text.len() == 32 && dashes.is_empty());
    (shaped && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())).then(|| text.into())
}

fn fresh_id(random: &Random) -> Arc<str> {
    // Without randomness the call still runs; it only shares its name with others.
    hex(&random.bytes::<16>().unwrap_or_default()).into()
}

/// One log line and one count for each call. Names the calling *system* and the rpc, never what was asked.
pub struct AccessLog {
    metrics: Metrics,
    methods: HashMap<String, Arc<Method>>,
    unknown: Arc<Method>,
}

impl AccessLog {
    fn new(metrics: &Metrics) -> Self {
        let methods = known_methods().into_iter().map(|(path, labels)| (path, Arc::new(Method::new(labels))));
        let unknown = Arc::new(Method::new(labels("unknown", "unknown")));
        Self { metrics: metrics.clone(), methods: methods.collect(), unknown }
    }
}

/// An rpc with its own counters, looked up by their labels once.
struct Method {
    labels: MethodLabels,
    seconds: OnceLock<Histogram>,
    calls: [OnceLock<Counter>; CODES],
}

/// gRPC's codes are 0 to 16.
const CODES: usize = 17;

impl Method {
    fn new(labels: MethodLabels) -> Self {
        Self { labels, seconds: OnceLock::new(), calls: [const { OnceLock::new() }; CODES] }
    }

    fn count(&self, metrics: &Metrics, took: Duration, code: Code) {
        let seconds = self.seconds.get_or_init(|| metrics.call_seconds.get_or_create_owned(&self.labels));
        seconds.observe(took.as_secs_f64());
        let Some(calls) = usize::try_from(code as i32).ok().and_then(|code| self.calls.get(code)) else { return };
        let MethodLabels { grpc_service, grpc_method } = &self.labels;
        let counter = calls.get_or_init(|| {
            let (grpc_service, grpc_method) = (grpc_service.clone(), grpc_method.clone());
            metrics.calls.get_or_create_owned(&CallLabels { grpc_service, grpc_method, grpc_code: code_name(code) })
        });
        counter.inc();
    }
}

impl Around for AccessLog {
    async fn call<S: Inner>(self: Arc<Self>, request: Request<Body>, inner: S) -> Response<Body> {
        // A path nobody serves could hold anything, so it is not repeated.
        let method = self.methods.get(request.uri().path()).unwrap_or(&self.unknown).clone();
        self.metrics.in_flight.inc();
        let mut line = Line {
            log: self,
            method,
            connection: request.extensions().get::<Connection>().cloned(),
            id: request.extensions().get::<RequestId>().map(|i| Arc::clone(&i.0)).unwrap_or_default(),
            since: Instant::now(),
            code: Code::Cancelled, // unless something better is seen before the line is dropped
        };
        let response = answer_of(inner, request).await;
        line.see(response.headers());
        watched(response, line)
    }
}

struct Line {
    log: Arc<AccessLog>,
    method: Arc<Method>,
    connection: Option<Connection>,
    id: Arc<str>,
    since: Instant,
    code: Code,
}

impl Line {
    fn see(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get(Status::GRPC_STATUS) {
            self.code = Code::from_bytes(code.as_bytes());
        }
    }
}

impl Watch for Line {
    fn sent(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref() {
            self.see(trailers);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let MethodLabels { grpc_service, grpc_method } = &self.method.labels;
        let (took, code) = (self.since.elapsed(), code_name(self.code));
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let caller = self.connection.as_ref().map_or("", |connection| connection.peer().uri.as_str());
        tracing::info!(
            target: ACCESS_TARGET,
            service = grpc_service, method = grpc_method, code, caller, ms, request_id = &*self.id,
            "call"
        );
        self.log.metrics.in_flight.dec();
        self.method.count(&self.log.metrics, took, self.code);
    }
}

/// Makes a panic in one call the end of that call.
pub struct Panics {
    metrics: Metrics,
}

impl Panics {
    fn new(metrics: &Metrics) -> Self {
        Self { metrics: metrics.clone() }
    }
}

impl Around for Panics {
    async fn call<S: Inner>(self: Arc<Self>, request: Request<Body>, inner: S) -> Response<Body> {
        let id = request.extensions().get::<RequestId>().cloned();
        // What the call held is dropped with it. What it shared with others is behind locks that bear a holder's panic, and a change
        // takes effect in the sequencer's own task or not at all.
        match AssertUnwindSafe(answer_of(inner, request)).catch_unwind().await {
            Ok(response) => response,
            Err(_panic) => {
                self.metrics.panics.inc();
                tracing::error!(request_id = id.as_ref().map(|RequestId(id)| &**id), "a call ended in a panic");
                refusal(Reason::Internal, id.as_ref(), None).into_http()
            }
        }
    }
}

/// Ends every call in time to say so, body included.
pub struct Deadlines {
    most: Duration,
    most_for_imports: Duration,
    reserve: Duration,
}

impl Deadlines {
    fn new(limits: &Limits) -> Self {
        Self {
            most: Duration::from_millis(limits.deadline_ms_max),
            most_for_imports: Duration::from_millis(limits.import_deadline_ms_max),
            reserve: Duration::from_millis(limits.deadline_reserve_ms),
        }
    }
}

pub(super) const IMPORT: &str = "/wuku.intake.v1.IntakeService/Import";
pub(super) const WATCH: &str = "/wuku.seal.v1.SealService/WatchSealUses";
pub(super) const DOCUMENT: &str = "/wuku.document.v1.DocumentService/VerifyDocument";

impl Around for Deadlines {
    async fn call<S: Inner>(self: Arc<Self>, mut request: Request<Body>, inner: S) -> Response<Body> {
        let long = [IMPORT, WATCH].contains(&request.uri().path());
        let most = if long { self.most_for_imports } else { self.most };
        let asked = request.headers().get("grpc-timeout").and_then(parse_timeout);
        let left = asked.unwrap_or(most).min(most).saturating_sub(self.reserve);
        let id = request.extensions().get::<RequestId>().cloned();
        if left.is_zero() {
            return refusal(Reason::DeadlineTooShort, id.as_ref(), None).into_http();
        }
        let at = Instant::now() + left;
        request.extensions_mut().insert(Deadline(at));
        if request.uri().path() != IMPORT {
            // Until its message is in a call holds a place for nothing.
            let most = if request.uri().path() == DOCUMENT { DOCUMENT_BODY_MS_MAX } else { CALL_BODY_MS_MAX };
            let (id, most) = (id.clone(), Duration::from_millis(most));
            let late = move || refusal(Reason::DeadlineTooShort, id.as_ref(), None);
            request = request.map(|body| in_time(body, most, late));
        }
        let mut end = Box::pin(tokio::time::sleep_until(at));
        tokio::select! {
            biased;
            response = answer_of(inner, request) => watched(response, Timed { end, id }),
            () = &mut end => refusal(Reason::DeadlineTooShort, id.as_ref(), None).into_http(),
        }
    }
}

struct Timed {
    end: Pin<Box<Sleep>>,
    id: Option<RequestId>,
}

impl Watch for Timed {
    fn stop(&mut self, cx: &mut Context<'_>) -> Option<Status> {
        let over = self.end.as_mut().poll(cx).is_ready();
        over.then(|| refusal(Reason::DeadlineTooShort, self.id.as_ref(), None))
    }
}

/// `grpc-timeout`: at most eight digits and a unit (gRPC over HTTP/2). Anything else counts as not given.
pub(super) fn parse_timeout(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let n: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(n.checked_mul(3_600)?)),
        "M" => Some(Duration::from_secs(n.checked_mul(60)?)),
        "S" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_millis(n)),
        "u" => Some(Duration::from_micros(n)),
        "n" => Some(Duration::from_nanos(n)),
        _ => None,
    }
}

/// Puts the [`crate::policy::Caller`] into the request's extensions, if its certificate is still good; and stops the answer when it no
/// longer is.
pub struct Caller;

impl Around for Caller {
    async fn call<S: Inner>(self: Arc<Self>, mut request: Request<Body>, inner: S) -> Response<Body> {
        let id = request.extensions().get::<RequestId>().cloned();
        let Some(connection) = request.extensions().get::<Connection>().cloned() else {
            return refusal(Reason::CallerUnknown, id.as_ref(), None).into_http();
        };
        let mut standing = StandingWatch { connection, id };
        if let Some(status) = standing.refusal() {
            return status.into_http();
        }
        request.extensions_mut().insert(standing.connection.caller().clone());
        let response = answer_of(inner, request).await;
        // An answer that became ready after the revocation does not leave either.
        match standing.refusal() {
            Some(status) => status.into_http(),
            None => watched(response, standing),
        }
    }
}

struct StandingWatch {
    connection: Connection,
    id: Option<RequestId>,
}

impl StandingWatch {
    fn refusal(&mut self) -> Option<Status> {
        let reason = match self.connection.standing() {
            Standing::Good => return None,
            Standing::Revoked => Reason::CertificateRevoked,
            Standing::Expired | Standing::Unknown => Reason::CallerUnknown,
        };
        Some(refusal(reason, self.id.as_ref(), None))
    }
}

impl Watch for StandingWatch {
    fn stop(&mut self, _cx: &mut Context<'_>) -> Option<Status> {
        self.refusal()
    }
}

/// A refusal by a layer, in the shape every failure of the hub has.
pub(super) fn refusal(reason: Reason, id: Option<&RequestId>, retry_after: Option<Duration>) -> Status {
    let failure = Failure::new(reason);
    unlogged(&retry_after.into_iter().fold(failure, Failure::retry_after), id)
}

/// Every rpc of our contract, and health and reflection: what a label may name.
fn known_methods() -> HashMap<String, MethodLabels> {
    let descriptors: prost_types::FileDescriptorSet =
        prost::Message::decode(crate::wire::DESCRIPTORS).unwrap_or_default();
    let mut known = HashMap::new();
    let mut add = |service: &str, method: &str| known.insert(format!("/{service}/{method}"), labels(service, method));
    for file in &descriptors.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            service.method.iter().for_each(|m| drop(add(&name, m.name())));
        }
    }
    add("grpc.health.v1.Health", "Check");
    add("grpc.health.v1.Health", "Watch");
    add("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo");
    add("grpc.reflection.v1alpha.ServerReflection", "ServerReflectionInfo");
    known
}

fn labels(service: &str, method: &str) -> MethodLabels {
    MethodLabels { grpc_service: service.to_owned(), grpc_method: method.to_owned() }
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Makes a tower layer of an [`Around`].
pub struct AroundLayer<A>(Arc<A>);

impl<A> Clone for AroundLayer<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A> AroundLayer<A> {
    fn new(around: A) -> Self {
        Self(Arc::new(around))
    }
}

impl<A, S> Layer<S> for AroundLayer<A> {
    type Service = AroundService<A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        AroundService { around: self.0.clone(), inner }
    }
}

/// An [`Around`] with what it stands around.
pub struct AroundService<A, S> {
    around: Arc<A>,
    inner: S,
}

impl<A, S: Clone> Clone for AroundService<A, S> {
    fn clone(&self) -> Self {
        Self { around: self.around.clone(), inner: self.inner.clone() }
    }
}

impl<A: Around, S: Inner + Clone> Service<Request<Body>> for AroundService<A, S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(())) // `oneshot` waits for the inner service
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (around, inner) = (self.around.clone(), self.inner.clone());
        Box::pin(async move { Ok(around.call(request, inner).await) })
    }
}
