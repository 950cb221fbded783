//! Logs to standard error and metrics for the operator; never a person's or a licence's number in either.
//!
//! No globals of our own: [`Metrics`] is made once by `main` and handed to whoever counts something. Label values come
//! from fixed sets (rpc names, codes, outcomes), never from what a caller sent, so that nothing personal and nothing
//! unbounded can become a label.
use std::fmt;
use std::io::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogFormat, Logging};

/// Sends log lines to standard error from here on, for the whole process.
///
/// # Errors
/// A sentence, if the filter does not parse or a subscriber is already in place.
pub fn start(logging: &Logging) -> Result<LogLines, String> {
    let lines = LogLines::default();
    let subscriber = subscriber(logging, lines.clone())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|e| e.to_string())?;
    let gathered = lines.clone();
    let flushing = move || {
        loop {
            std::thread::sleep(ACCESS_LINES_KEPT);
            gathered.flush();
        }
    };
    std::thread::Builder::new().name("log-lines".into()).spawn(flushing).map_err(|e| e.to_string())?;
    Ok(lines)
}

/// How long a line of the access log may wait for others, so that thousands a second are not thousands of system calls.
const ACCESS_LINES_KEPT: Duration = Duration::from_millis(100);
/// Bytes of them that gather at most. Standard error that takes nothing for so long makes calls wait.
const GATHERED_BYTES_MAX: usize = 4 << 20;

/// Log lines on their way to standard error: those of the access log a tenth of a second late, all others at once and in order. A
/// crash loses the access lines of that tenth; what was asked and answered is in the log of entries, not here.
#[derive(Clone, Default)]
pub struct LogLines(Arc<Gathered>);

#[derive(Default)]
struct Gathered {
    lines: Mutex<Vec<u8>>,
    /// Held while lines are written out, so that they keep their order. Whoever only adds a line never waits for it: a slow disk under
    /// the log file is no reason for a call to be slow.
    writing: Mutex<()>,
}

impl LogLines {
    /// Writes out what has gathered. To be called before the process ends.
    pub fn flush(&self) {
        let _in_order = self.0.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut *self.0.lines.lock().unwrap_or_else(PoisonError::into_inner));
        // There is nobody to tell that telling fails.
        let _unwritten = std::io::stderr().write_all(&lines);
    }

    fn take(&self, line: &[u8], at_once: bool) {
        let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.extend_from_slice(line);
        let full = lines.len() >= GATHERED_BYTES_MAX;
        drop(lines);
        if at_once || full {
            self.flush();
        }
    }
}

/// Where one line goes.
pub struct Line<'a> {
    lines: &'a LogLines,
    at_once: bool,
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, at_once: true }
    }

    fn make_writer_for(&'a self, line: &tracing::Metadata<'_>) -> Line<'a> {
        Line { lines: self, at_once: line.target() != ACCESS_TARGET }
    }
}

impl std::io::Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.lines.take(line, self.at_once);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The target of the access log's lines.
pub const ACCESS_TARGET: &str = "wuku::access";

pub(crate) fn subscriber<W>(logging: &Logging, writer: W) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, String>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&logging.filter).map_err(|e| format!("logging.filter: {e}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false);
    Ok(match logging.format {
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_current_span(false).finish()),
        LogFormat::Text => Box::new(builder.finish()),
    })
}

/// What is known of a finished call. The values are rpc names of our own contract or `unknown`.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct CallLabels {
    /// Full service name, e.g. `wuku.exchange.v1.ExchangeService`.
    pub grpc_service: String,
    /// Rpc name.
    pub grpc_method: String,
    /// gRPC code in capitals, e.g. `PERMISSION_DENIED`.
    pub grpc_code: &'static str,
}

/// Which rpc, for the duration histogram.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct MethodLabels {
    /// Full service name.
    pub grpc_service: String,
    /// Rpc name.
    pub grpc_method: String,
}

/// What an entry of the log says happened.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct OutcomeLabels {
    /// Kind of statement, e.g. `look_up`.
    pub kind: &'static str,
    /// Outcome, e.g. `found`, `absent`, `refused`.
    pub outcome: &'static str,
}

/// How something ended, from a fixed set of words.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct ResultLabels {
    /// The word.
    pub result: &'static str,
}

type Histograms = Family<MethodLabels, Histogram, fn() -> Histogram>;

/// Everything the hub counts. Cheap to clone; all clones count into the same place.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,

    /// Calls finished, by rpc and code.
    pub calls: Family<CallLabels, Counter>,
    /// Seconds from a call's first byte to its last, by rpc.
    pub call_seconds: Histograms,
    /// Calls in progress over all connections.
    pub in_flight: Gauge,
    /// Calls turned away because too many were in progress.
    pub shed: Counter,
    /// Calls that ended in a panic: each one a bug, and the hub went on.
    pub panics: Counter,
    /// Connections open.
    pub connections: Gauge,
    /// Handshakes by how they ended: `ok`, `timeout`, `tls`, `no_h2`, `no_identity`, `full`.
    pub handshakes: Family<ResultLabels, Counter>,
    /// Times the certificate or revocation files could not be taken over.
    pub trust_reload_failures: Counter,
    /// Last second of the server's certificate, Unix seconds.
    pub server_certificate_not_after: Gauge,
    /// Earliest `nextUpdate` of the client revocation lists, Unix seconds.
    pub client_crl_next_update: Gauge,

    /// Entries in the log.
    pub log_size: Gauge,
    /// Entries of one sequencer batch.
    pub batch_entries: Histogram,
    /// Seconds one durable commit took.
    pub commit_seconds: Histogram,
    /// Milliseconds the fence is behind the newest durable head.
    pub fence_lag_ms: Gauge<f64, AtomicU64>,
    /// 1 while recording is paused, with the reason in the log.
    pub recording_paused: Gauge,

    /// Bytes free on the data disk; -1 where the file system does not tell.
    pub storage_free_bytes: Gauge,
    /// Bytes that must be free for changes and imports: the engine's own and the reserve for questions.
    pub storage_kept_bytes: Gauge,
    /// 0: room for everybody; 1: for questions alone; 2: for nobody.
    pub storage_level: Gauge,

    /// Recorded answers, refusals and changes, by kind and outcome.
    pub outcomes: Family<OutcomeLabels, Counter>,
    /// Questions refused because a quota was used up.
    pub quota_refusals: Counter,
    /// Stored rows that did not open under their binding. Anything but 0 wakes somebody.
    pub damaged_rows: Counter,
    /// Imported rows by result: `applied`, `quarantined`, `unchanged`.
    pub import_rows: Family<ResultLabels, Counter>,
}

impl Metrics {
    /// A fresh set, all zero.
    #[must_use]
    pub fn new() -> Self {
        let mut r = Registry::default();
        let call_seconds: Histograms = Family::new_with_constructor(seconds);
        Self {
            calls: add(&mut r, "grpc_server_handled", "Calls finished, by rpc and code", Family::default()),
            call_seconds: add(&mut r, "grpc_server_handling_seconds", "Duration of calls, by rpc", call_seconds),
            in_flight: add(&mut r, "wuku_in_flight", "Calls in progress", Gauge::default()),
            shed: add(&mut r, "wuku_shed", "Calls turned away for overload", Counter::default()),
            panics: add(&mut r, "wuku_panics", "Calls that ended in a panic", Counter::default()),
            connections: add(&mut r, "wuku_connections", "Connections open", Gauge::default()),
            handshakes: add(&mut r, "wuku_handshakes", "Handshakes by result", Family::default()),
            trust_reload_failures: add(
                &mut r,
                "wuku_trust_reload_failures",
                "Certificate or revocation files that could not be taken over",
                Counter::default(),
            ),
            server_certificate_not_after: add(
                &mut r,
                "wuku_server_certificate_not_after_seconds",
                "Last second of the server certificate (Unix)",
                Gauge::default(),
            ),
            client_crl_next_update: add(
                &mut r,
                "wuku_client_crl_next_update_seconds",
                "Earliest nextUpdate of the client revocation lists (Unix)",
                Gauge::default(),
            ),
            log_size: add(&mut r, "wuku_log_size", "Entries in the log", Gauge::default()),
            batch_entries: add(&mut r, "wuku_batch_entries", "Entries of one sequencer batch", entries()),
            commit_seconds: add(&mut r, "wuku_commit_seconds", "Duration of durable commits", seconds()),
            fence_lag_ms: add(
                &mut r,
                "wuku_fence_lag_ms",
                "Milliseconds the fence is behind the durable head",
                Gauge::default(),
            ),
            recording_paused: add(&mut r, "wuku_recording_paused", "1 while recording is paused", Gauge::default()),
            storage_free_bytes: add(&mut r, "wuku_storage_free_bytes", "Free on the data disk", Gauge::default()),
            storage_kept_bytes: add(
                &mut r,
                "wuku_storage_kept_bytes",
                "Must be free for changes and imports",
                Gauge::default(),
            ),
            storage_level: add(
                &mut r,
                "wuku_storage_level",
                "0: room for all, 1: for questions only, 2: for nobody",
                Gauge::default(),
            ),
            outcomes: add(&mut r, "wuku_outcomes", "Log entries by kind and outcome", Family::default()),
            quota_refusals: add(&mut r, "wuku_quota_refusals", "Questions over quota", Counter::default()),
            damaged_rows: add(&mut r, "wuku_damaged_rows", "Stored rows that did not open", Counter::default()),
            import_rows: add(&mut r, "wuku_import_rows", "Imported rows by result", Family::default()),
            registry: Arc::new(r),
        }
    }

    /// Everything in OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String fails only if a metric's own encoder does; a cut-off page without `# EOF` then says so.
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "metrics could not be written");
        }
        text
    }

    /// Counts one entry of the log.
    pub fn outcome(&self, kind: &'static str, outcome: &'static str) {
        self.outcomes.get_or_create(&OutcomeLabels { kind, outcome }).inc();
    }

    /// Handshakes that let nobody in, by how they ended, since the start.
    #[must_use]
    pub fn failed_handshakes(&self) -> Vec<(&'static str, u64)> {
        let ends = ["timeout", "tls", "no_h2", "no_identity", "full"];
        ends.map(|result| (result, self.handshakes.get_or_create(&ResultLabels { result }).get())).to_vec()
    }

    /// Counts one handshake.
    pub fn handshake(&self, result: &'static str) {
        self.handshakes.get_or_create(&ResultLabels { result }).inc();
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn add<M: Clone + prometheus_client::registry::Metric>(r: &mut Registry, name: &str, help: &str, metric: M) -> M {
    r.register(name, help, metric.clone());
    metric
}

/// From a cached read to the deadline.
fn seconds() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

/// Up to what one sequencer batch can hold.
fn entries() -> Histogram {
    Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::Mutex;

    #[test]
    fn what_is_counted_is_on_the_page_under_the_names_dashboards_know() {
        let metrics = Metrics::new();
        let labels = CallLabels { grpc_service: "s".into(), grpc_method: "m".into(), grpc_code: "OK" };
        metrics.calls.get_or_create(&labels).inc();
        let labels = MethodLabels { grpc_service: "s".into(), grpc_method: "m".into() };
        metrics.call_seconds.get_or_create(&labels).observe(0.2);
        metrics.clone().outcome("look_up", "absent");
        metrics.fence_lag_ms.set(1.5);
        metrics.batch_entries.observe(3.0);
        let text = metrics.text();
        for line in [
            "grpc_server_handled_total{grpc_service=\"s\",grpc_method=\"m\",grpc_code=\"OK\"} 1",
            "grpc_server_handling_seconds_count{grpc_service=\"s\",grpc_method=\"m\"} 1",
            "wuku_outcomes_total{kind=\"look_up\",outcome=\"absent\"} 1",
            "wuku_fence_lag_ms 1.5",
            "wuku_batch_entries_bucket{le=\"5.0\"} 1",
            "wuku_log_size 0",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line(format: LogFormat) -> String {
        let page = Page::default();
        let writer = page.clone();
        let logging = Logging { format, filter: "info".into() };
        let subscriber = subscriber(&logging, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(code = "OK", "done");
            tracing::debug!("not this one");
        });
        String::from_utf8(page.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_log_line_is_one_json_object_or_one_line_of_text() {
        let json: serde_json::Value = serde_json::from_str(&line(LogFormat::Json)).unwrap();
        assert_eq!((json["code"].as_str(), json["message"].as_str()), (Some("OK"), Some("done")));
        assert!(line(LogFormat::Text).trim_end().ends_with("code=\"OK\""));
        assert_eq!(line(LogFormat::Text).lines().count(), 1);
    }

    #[test]
    fn access_lines_gather_until_another_line_comes() {
        let lines = LogLines::default();
        let logging = Logging { format: LogFormat::Text, filter: "info".into() };
        let subscriber = subscriber(&logging, lines.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: ACCESS_TARGET, "one");
            tracing::info!(target: ACCESS_TARGET, "two");
            let gathered = String::from_utf8(lines.0.lines.lock().unwrap().clone()).unwrap();
            assert!(gathered.contains("one\n") && gathered.ends_with("two\n"), "{gathered}");
            tracing::info!("three");
            assert!(lines.0.lines.lock().unwrap().is_empty(), "written out in order");
        });
    }

    #[test]
    fn a_filter_that_does_not_parse_is_refused() {
        let logging = Logging { format: LogFormat::Text, filter: "info,=,=".into() };
        assert!(subscriber(&logging, std::io::stderr).is_err());
    }
}
