//! Metrics and health for the operator: a small HTTP/1 server on an address of its own.
//!
//! No TLS and no authentication, so nothing here may be secret or personal, and the address belongs on a loopback or
//! management network. `/metrics` OpenMetrics text, `/healthz` 200 while the process turns, `/readyz` 200 while the hub
//! would answer (what it refuses for want of disk stands below `ready`), else 503 with the reasons, one a line.
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::telemetry::Metrics;

const CONNECTIONS_MAX: usize = 64;
const HEADER_READ: Duration = Duration::from_secs(5);
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);

/// How the hub is now. Sentences for an operator, without personal data.
#[derive(Clone, Debug, Default)]
pub struct Condition {
    /// Why it would not answer; empty means ready.
    pub not_ready: Vec<String>,
    /// What somebody should look at while it answers.
    pub warnings: Vec<String>,
}

/// Asks how the hub is.
pub type Health = Arc<dyn Fn() -> Condition + Send + Sync>;

/// Serves until `shutdown` completes. Never fails: a broken connection is dropped.
pub async fn serve(listener: TcpListener, metrics: Metrics, health: Health, shutdown: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => return,
        };
        let Ok((tcp, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (metrics, health) = (metrics.clone(), Arc::clone(&health));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&request, &metrics, &health);
                async move { Ok::<_, Infallible>(response) }
            });
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADER_READ).max_buf_size(16 << 10);
            let connection = server.serve_connection(TokioIo::new(tcp), service);
            // However it ends, the operator's next request opens another.
            let _ended = tokio::time::timeout(CONNECTION_AGE_MAX, connection).await;
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, metrics: &Metrics, health: &Health) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n".into());
    }
    match request.uri().path() {
        "/metrics" => {
            page(StatusCode::OK, "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics.text())
        }
        "/healthz" => page(StatusCode::OK, TEXT, "ok\n".into()),
        "/readyz" => match health() {
            Condition { not_ready, warnings } if not_ready.is_empty() => {
                let said: String = warnings.iter().map(|warning| format!("{warning}\n")).collect();
                page(StatusCode::OK, TEXT, format!("ready\n{said}"))
            }
            Condition { not_ready, .. } => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, not_ready.join("\n") + "\n"),
        },
        _ => page(StatusCode::NOT_FOUND, TEXT, "/metrics /healthz /readyz\n".into()),
    }
}

fn page(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn ask(address: std::net::SocketAddr, line: &str) -> String {
        let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        tcp.write_all(format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn the_operator_sees_metrics_health_and_why_the_hub_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let paused = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&paused);
        let health: Health = Arc::new(move || match seen.load(Ordering::Relaxed) {
            true => Condition { not_ready: vec!["recording is paused".into()], ..Condition::default() },
            false => Condition { warnings: vec!["storage is low".into()], ..Condition::default() },
        });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(serve(listener, Metrics::new(), health, async { drop(stopped.await) }));
        assert!(ask(address, "GET /metrics").await.trim_end().ends_with("# EOF"));
        assert!(ask(address, "GET /healthz").await.starts_with("HTTP/1.1 200"));
        let text = ask(address, "GET /readyz").await;
        assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("ready\nstorage is low\n"), "{text}");
        paused.store(true, Ordering::Relaxed);
        let text = ask(address, "GET /readyz").await;
        assert!(text.starts_with("HTTP/1.1 503") && text.ends_with("recording is paused\n"), "{text}");
        assert!(ask(address, "POST /metrics").await.starts_with("HTTP/1.1 405"));
        assert!(ask(address, "GET /data").await.starts_with("HTTP/1.1 404"));
        stop.send(()).unwrap();
        server.await.unwrap();
    }
}
