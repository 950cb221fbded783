//! A response body with somebody watching: what starts with a call must also hold for the last byte of its answer.
//!
//! A streamed answer leaves long after the service returned. Its place among the calls in progress, its deadline, its
//! caller's standing and its line in the access log last as long as the body does.
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Bytes, Frame, SizeHint};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;

/// Looks at each frame before it leaves. Dropped when the body is: finished, refused or abandoned alike.
pub(super) trait Watch: Send + Unpin + 'static {
    /// Asked before each frame; a status ends the answer with that status and nothing more of the body.
    fn stop(&mut self, _cx: &mut Context<'_>) -> Option<Status> {
        None
    }

    /// Told of each frame that goes out.
    fn sent(&mut self, _frame: &Frame<Bytes>) {}
}

/// Puts `watch` around a response's body.
pub(super) fn watched(response: http::Response<Body>, watch: impl Watch) -> http::Response<Body> {
    // For an answer without a body (a refusal is all headers) `Body::new` drops the watcher at once: it is over.
    response.map(|body| Body::new(Watched { body, watch, over: false }))
}

struct Watched<W> {
    body: Body,
    watch: W,
    over: bool,
}

impl<W: Watch> hyper::body::Body for Watched<W> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let frame = if let Some(status) = self.watch.stop(cx) {
            self.over = true;
            // Whatever the service still had to say is dropped here, not sent.
            self.body = Body::empty();
            Frame::trailers(trailers(&status))
        } else {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                other => {
                    self.over = true;
                    return Poll::Ready(other);
                }
            }
        };
        self.watch.sent(&frame);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default() // may be cut short, so no promise
    }
}

/// A request's body that must be in within `most` of the first wait for it, or the call ends with `late`. A body that never keeps us
/// waiting costs no timer.
pub(super) fn in_time(body: Body, most: Duration, late: impl Fn() -> Status + Send + Unpin + 'static) -> Body {
    Body::new(InTime { body, most, late, end: None })
}

struct InTime<F> {
    body: Body,
    most: Duration,
    late: F,
    end: Option<Pin<Box<Sleep>>>,
}

impl<F: Fn() -> Status + Unpin> hyper::body::Body for InTime<F> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let most = self.most;
        let end = self.end.get_or_insert_with(|| Box::pin(tokio::time::sleep(most)));
        ready!(end.as_mut().poll(cx));
        Poll::Ready(Some(Err((self.late)())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn trailers(status: &Status) -> http::HeaderMap {
    let mut trailers = http::HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.clear();
        trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from(status.code() as i32));
    }
    trailers
}
