//! `wuku import`: signs a file's manifest with the department's key, sends it, shows how far it is, prints the report.
//!
//! Everything in the manifest comes from the file and the options, so the same command is the same import: begun again after
//! anything, it goes on where the hub's durable bytes end. A lost connection is tried again by itself.
use super::connection::{Connection, Stop, reason, save, words_of};
use super::sign::DepartmentKey;
use crate::edge::identity;
use crate::failure::Reason;
use crate::intake::count_rows;
use crate::library::licence::SignedThing;
use crate::receipt::readable;
use crate::wire::proto::intake::v1::import_request::Message as Up;
use crate::wire::proto::intake::v1::intake_service_client::IntakeServiceClient;
use crate::wire::proto::intake::v1::{
    ImportFormat, ImportOpening, ImportPart, ImportPhase, ImportRequest, ImportResponse, ImportScope, Manifest,
};
use crate::wire::proto::receipt::v1::Operator;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use prost::Message;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// Bytes of one part.
const PART_BYTES: usize = 256 << 10;
/// Pause before the first try to reach the hub again; doubled up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// What `--help` says of the file.
const FILE_HELP: &str = "\
文件 The file:
  CSV with a header line (UTF-8 or GB18030) or JSON Lines. Columns are the fields of the resource's library, by name or Chinese name.
  带表头的 CSV 或 JSON Lines；列名用英文字段名或中文名。

证照文件 Files of licences (a resource of the licence library): licences you have issued, as you signed them, one a row:
  content       证照内容  the signed bytes (wuku.licence.v1.LicenceContent), base64
  signature     签名值    over \"wuku/licence/v1\", a zero byte, content; base64
  algorithm     签名算法  sm2-sm3 | ed25519 | ecdsa-p256-sha256
  certificates  签名证书  DER, base64, signer's first, a space between; empty: as in the row before
  Always as an increment (仅限增量). Each row is judged as IssueLicence judges a licence; bad rows are set aside with the same reasons.
  `wuku demo files` writes an example.";

/// Options of `wuku import`.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = FILE_HELP)]
pub struct ImportArgs {
    #[command(flatten)]
    connection: Connection,
    /// The file to send (要导入的文件)
    file: PathBuf,
    /// Catalogue resource it belongs to (信息资源代码)
    #[arg(long)]
    resource: String,
    /// Department's signing key, PKCS#8 PEM, ECDSA P-256 (部门签名私钥)
    #[arg(long, value_name = "PEM")]
    manifest_key: PathBuf,
    /// Its certificate chain, PEM (部门签名证书链)
    #[arg(long, value_name = "PEM")]
    manifest_cert: PathBuf,
    /// Whole state or changes only (全量或增量)
    #[arg(long, value_enum, default_value_t = Scope::Increment)]
    scope: Scope,
    /// How the file is written; by default seen from its name and bytes (文件格式)
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Your own name of the batch; by default the file's name (批次名)
    #[arg(long)]
    batch: Option<String>,
    /// When the source says it was so, Unix milliseconds; by default when the file was written (来源时间)
    #[arg(long, value_name = "MS")]
    source_time_ms: Option<u64>,
    /// Person behind it, by your own number (经办人)
    #[arg(long, env = "WUKU_OPERATOR", hide_env_values = true)]
    operator: Option<String>,
    /// Check everything, change nothing (只检查，不生效)
    #[arg(long)]
    dry_run: bool,
    /// Print the report as JSON (以 JSON 输出报告)
    #[arg(long)]
    json: bool,
    /// Save the receipt of the last chunk as evidence (保存证据)
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// Seconds without progress after which to give up reaching the hub again (断线后放弃重试的秒数)
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    give_up_after: u64,
}

/// The scopes as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scope {
    /// Records that are not in it are removed (全量)
    Snapshot,
    /// Only what is in it changes (增量)
    Increment,
}

/// The formats as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// CSV with a header, UTF-8
    CsvUtf8,
    /// CSV with a header, GB18030 (GBK, GB2312)
    CsvGb18030,
    /// One JSON object a line, UTF-8
    JsonLines,
}

impl Format {
    fn code(self) -> ImportFormat {
        match self {
            Self::CsvUtf8 => ImportFormat::CsvUtf8,
            Self::CsvGb18030 => ImportFormat::CsvGb18030,
            Self::JsonLines => ImportFormat::JsonLines,
        }
    }

    /// By the name, else by whether the bytes are UTF-8.
    fn seen(path: &Path) -> io::Result<Self> {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if ["jsonl", "ndjson", "json"].contains(&ending.as_str()) {
            return Ok(Self::JsonLines);
        }
        let mut file = BufReader::new(File::open(path)?);
        let (mut bytes, mut kept) = (vec![0; PART_BYTES], 0_usize);
        loop {
            let count = file.read(bytes.get_mut(kept..).unwrap_or_default())?;
            let all = bytes.get(..kept.saturating_add(count)).unwrap_or_default();
            match std::str::from_utf8(all) {
                Err(error) if error.error_len().is_some() || count == 0 => return Ok(Self::CsvGb18030),
                // A character cut by the end of the buffer is looked at with what follows.
                Err(error) => {
                    let rest = all.get(error.valid_up_to()..).unwrap_or_default().to_vec();
                    kept = rest.len();
                    bytes.get_mut(..kept).unwrap_or_default().copy_from_slice(&rest);
                }
                Ok(_) if count == 0 => return Ok(Self::CsvUtf8),
                Ok(_) => kept = 0,
            }
        }
    }
}

/// Sends the file and prints the report.
///
/// # Errors
/// What the hub refused, in words; an import that is held or refused as a whole.
pub async fn run(args: &ImportArgs) -> Result<(), Stop> {
    let certificate = CertificateDer::from_pem_file(&args.connection.cert);
    let certificate = certificate.map_err(|e| Stop::failed(format!("{}: {e}", args.connection.cert.display())))?;
    let system = identity::named(&certificate).map_err(|e| Stop::failed(e.to_string()))?;
    let opening = opening(args, &system)?;
    let bar = Bar::new();
    let hurry = Duration::from_secs(args.give_up_after);
    let sent = send(&args.file, &opening, hurry, || args.connection.open(), |response| bar.show(response)).await;
    bar.end();
    let report = sent?;
    if let Some(path) = &args.evidence
        && let Some(receipt) = &report.receipt
    {
        save(path, &report.payload, receipt)?;
    }
    print(&report, args.json).map_err(|e| Stop::failed(e.to_string()))?;
    match report.phase() {
        ImportPhase::Done | ImportPhase::DryRunDone => Ok(()),
        _ => Err(Stop::failed(report.reason)),
    }
}

/// The signed manifest of a file.
fn opening(args: &ImportArgs, system: &str) -> Result<ImportOpening, Stop> {
    let failed = |e: io::Error| Stop::failed(format!("{}: {e}", args.file.display()));
    let hub = system.strip_prefix("wuku://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let key = DepartmentKey::load(&args.manifest_key, &args.manifest_cert)?;
    let format = args.format.map_or_else(|| Format::seen(&args.file), Ok).map_err(failed)?.code();
    let mut file = File::open(&args.file).map_err(failed)?;
    let mut hash = Sha256::new();
    let file_bytes = io::copy(&mut file, &mut Hashing(&mut hash)).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let written = file.metadata().and_then(|m| m.modified()).map_err(failed)?;
    let written_ms = written.duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
    let name = args.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let manifest = Manifest {
        format: 1,
        hub: hub.to_owned(),
        resource: args.resource.clone(),
        system: system.to_owned(),
        scope: match args.scope {
            Scope::Snapshot => ImportScope::Snapshot.into(),
            Scope::Increment => ImportScope::Increment.into(),
        },
        file_format: format.into(),
        file_bytes,
        file_sha256: Bytes::copy_from_slice(&hash.finalize()),
        rows: count_rows(file, format).map_err(failed)?,
        source_time_ms: args.source_time_ms.unwrap_or(written_ms),
        batch: args.batch.clone().or(name).unwrap_or_default(),
    };
    let manifest = Bytes::from(manifest.encode_to_vec());
    let operator = args.operator.clone().map(|id| Operator { id, window: String::new() });
    let signature = Some(key.sign(SignedThing::Manifest, &manifest)?);
    Ok(ImportOpening { manifest, signature, dry_run: args.dry_run, operator })
}

struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends until the report is there, over as many connections as it takes.
///
/// # Errors
/// What the hub refused, or the last thing that went wrong when nothing moved for `give_up_after`.
pub async fn send<C: Future<Output = Result<Channel, Stop>>>(
    file: &Path,
    opening: &ImportOpening,
    give_up_after: Duration,
    connect: impl Fn() -> C,
    show: impl Fn(&ImportResponse),
) -> Result<ImportResponse, Stop> {
    let mut channel = Some(connect().await?); // a wrong address is said at once, not after five minutes
    let (mut pause, mut waited, mut furthest) = (FIRST_PAUSE, Duration::ZERO, 0);
    loop {
        let opened = match channel.take() {
            Some(channel) => Ok(channel),
            None => connect().await,
        };
        let why = match opened {
            Err(stop) => stop.text,
            Ok(channel) => match once(file, opening, channel, &show, &mut furthest).await {
                Ok(report) => return Ok(report),
                Err(Broken::Stopped(stop)) => return Err(stop),
                Err(Broken::Lost { status, moved }) => {
                    if moved {
                        (pause, waited) = (FIRST_PAUSE, Duration::ZERO);
                    }
                    words_of(&status)
                }
            },
        };
        if waited >= give_up_after {
            return Err(Stop::failed(why));
        }
        eprintln!("wuku: 连接中断，{} 秒后续传 (going on in a moment): {why}", pause.as_secs_f32());
        tokio::time::sleep(pause).await;
        waited = waited.saturating_add(pause);
        pause = pause.saturating_mul(2).min(LAST_PAUSE);
    }
}

/// How one connection ended without a report.
enum Broken {
    /// The hub or this machine said no.
    Stopped(Stop),
    /// The connection went; `moved`: further than any before.
    Lost { status: Status, moved: bool },
}

async fn once(
    file: &Path,
    opening: &ImportOpening,
    channel: Channel,
    show: &impl Fn(&ImportResponse),
    furthest: &mut u64,
) -> Result<ImportResponse, Broken> {
    let mut moved = false;
    let mut last = None;
    let ended = stream(file, opening, channel, |response| {
        show(response);
        let far = [response.staged_bytes, response.rows_checked, response.rows_applied, response.rows_unchanged];
        let far = far.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
        moved |= far > *furthest;
        *furthest = far.max(*furthest);
        last = Some(response.clone());
    });
    match ended.await {
        Ok(()) => match last {
            Some(report) if is_final(&report) => Ok(report),
            _ => Err(Broken::Lost { status: Status::unavailable("the stream ended early"), moved }),
        },
        Err(Ended::Here(stop)) => Err(Broken::Stopped(stop)),
        Err(Ended::There(status)) if worth_another_try(&status) => Err(Broken::Lost { status, moved }),
        Err(Ended::There(status)) => Err(Broken::Stopped(status.into())),
    }
}

/// A status of the hub itself says whether to try again; one without a reason came from the connection.
fn worth_another_try(status: &Status) -> bool {
    match reason(status) {
        Some(reason) => {
            status.code() == Code::Unavailable
                || matches!(reason, Reason::ImportOffsetWrong | Reason::StateChangedMeanwhile)
        }
        None => !matches!(status.code(), Code::Unimplemented | Code::Unauthenticated | Code::PermissionDenied),
    }
}

fn is_final(report: &ImportResponse) -> bool {
    let phase = report.phase();
    matches!(phase, ImportPhase::Done | ImportPhase::Held | ImportPhase::Refused | ImportPhase::DryRunDone)
}

enum Ended {
    /// On this side: the file cannot be read.
    Here(Stop),
    /// On the other, or between.
    There(Status),
}

/// One stream: opening, what is missing of the file, progress until it ends.
async fn stream(
    file: &Path,
    opening: &ImportOpening,
    channel: Channel,
    mut heard: impl FnMut(&ImportResponse),
) -> Result<(), Ended> {
    let failed = |e: io::Error| Ended::Here(Stop::failed(format!("{}: {e}", file.display())));
    let (up, requests) = mpsc::channel(2);
    let first = ImportRequest { message: Some(Up::Opening(opening.clone())) };
    let _full = up.try_send(first); // an empty channel has room
    let mut client = IntakeServiceClient::new(channel);
    let responses = client.import(ReceiverStream::new(requests)).await;
    let mut responses = responses.map_err(Ended::There)?.into_inner();
    let Some(opened) = responses.message().await.map_err(Ended::There)? else { return Ok(()) };
    heard(&opened);
    let mut parts = (opened.phase() == ImportPhase::Staging).then(|| Parts::open(file, opened.staged_bytes));
    let mut parts = parts.take().transpose().map_err(failed)?;
    let mut up = Some(up);
    loop {
        let sending = async {
            match &up {
                Some(up) if parts.is_some() => up.reserve().await.ok(),
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            response = responses.message() => match response.map_err(Ended::There)? {
                Some(response) => heard(&response),
                None => return Ok(()),
            },
            room = sending => {
                let next = parts.as_mut().map(Parts::next).transpose().map_err(failed)?.flatten();
                match (room, next) {
                    (Some(room), Some(part)) => room.send(ImportRequest { message: Some(Up::Part(part)) }),
                    // Sent whole, or nobody takes any more: what happened stands in the responses.
                    _ => parts = None,
                }
            }
        }
        if parts.is_none() {
            up = None;
        }
    }
}

/// The rest of a file, part by part.
struct Parts {
    file: File,
    offset: u64,
}

impl Parts {
    fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, offset })
    }

    fn next(&mut self) -> io::Result<Option<ImportPart>> {
        let mut bytes = Vec::with_capacity(PART_BYTES);
        (&mut self.file).take(PART_BYTES as u64).read_to_end(&mut bytes)?;
        let part = ImportPart { offset: self.offset, bytes: bytes.into() };
        self.offset = self.offset.saturating_add(part.bytes.len() as u64);
        Ok(Some(part).filter(|part| !part.bytes.is_empty()))
    }
}

/// The bar on a terminal; nothing elsewhere.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{msg} [{bar:40}] {pos}/{len} {per_sec} {eta}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    fn show(&self, response: &ImportResponse) {
        let done = [response.rows_applied, response.rows_unchanged, response.rows_quarantined, response.rows_removed];
        let (text, at) = match response.phase() {
            ImportPhase::Staging => ("上传 sent bytes", response.staged_bytes),
            ImportPhase::Checking => ("检查 rows checked", response.rows_checked),
            _ => ("生效 rows applied", done.iter().fold(0_u64, |sum, n| sum.saturating_add(*n))),
        };
        if self.0.message() != text {
            self.0.reset_eta();
            self.0.set_message(text);
        }
        self.0.set_length(at.max(response.rows_checked.max(1)));
        self.0.set_position(at);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
}

/// The report on standard output.
fn print(report: &ImportResponse, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        let shown = readable::to_json("wuku.intake.v1.ImportResponse", &report.encode_to_vec());
        return writeln!(out, "{}", shown.unwrap_or_default());
    }
    writeln!(out, "导入 import      {}", report.import_id)?;
    writeln!(out, "阶段 phase       {}", phase_words(report.phase()))?;
    writeln!(out, "已检查 checked   {}", report.rows_checked)?;
    writeln!(out, "已生效 applied   {}", report.rows_applied)?;
    writeln!(out, "无变化 unchanged {}", report.rows_unchanged)?;
    writeln!(out, "已移除 removed   {}", report.rows_removed)?;
    writeln!(out, "未采纳 refused   {}", report.rows_quarantined)?;
    if !report.reason.is_empty() {
        writeln!(out, "说明 reason      {}", report.reason)?;
    }
    for row in &report.first_quarantined {
        for fault in &row.faults {
            writeln!(out, "  第 {} 行 {} {}: {} {}", row.row, fault.field, fault.reason, fault.text_zh, fault.text_en)?;
        }
    }
    let shown = u64::try_from(report.first_quarantined.len()).unwrap_or(u64::MAX);
    if let Some(more @ 1..) = report.rows_quarantined.checked_sub(shown) {
        writeln!(out, "  另有 {more} 行，见 ListQuarantine ({more} more: ListQuarantine)")?;
    }
    if let Some(receipt) = &report.receipt {
        writeln!(out, "回执 receipt     leaf {} at {}", receipt.leaf_index, receipt.time_s)?;
    }
    Ok(())
}

fn phase_words(phase: ImportPhase) -> &'static str {
    match phase {
        ImportPhase::Unspecified => "?",
        ImportPhase::Staging => "接收中 STAGING",
        ImportPhase::Checking => "检查中 CHECKING",
        ImportPhase::Held => "被扣留，待放行 HELD",
        ImportPhase::Applying => "生效中 APPLYING",
        ImportPhase::Done => "已全部生效 DONE",
        ImportPhase::Refused => "整批未采纳 REFUSED",
        ImportPhase::DryRunDone => "试运行完成，未改变任何数据 DRY_RUN_DONE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::intake_service::IntakeRpc;
    use crate::exchange::test_house::{Ground, HUB, House, NOON_MS, caller, uri, uscc};
    use crate::intake::Intake;
    use crate::library::codes::{CalendarDate, CitizenId};
    use crate::library::schema::Library;
    use crate::wire::proto::catalogue::v1::{Resource, Role, SharingClass};
    use crate::wire::proto::intake::v1::intake_service_server::IntakeServiceServer;
    use std::sync::{Arc, Mutex};
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::service::interceptor::InterceptedService;
    use tonic::transport::{Endpoint, Server};

    /// The intake service on a port of its own, every caller being the police.
    async fn serve(house: &House) -> (Channel, tokio::task::JoinHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let police = Arc::new(caller("police", "population"));
        let rpc = IntakeServiceServer::new(IntakeRpc::new(Intake::new(house.exchange.clone())));
        let service = InterceptedService::new(rpc, move |mut request: tonic::Request<()>| {
            request.extensions_mut().insert(police.clone());
            Ok(request)
        });
        let server = Server::builder().add_service(service);
        let task = tokio::spawn(async move {
            let _ = server.serve_with_incoming(TcpListenerStream::new(listener)).await;
        });
        (Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy(), task)
    }

    async fn seeded(ground: &Ground) -> House {
        let house = ground.start().await;
        house.put_system("police", "population", &[Role::Source]).await;
        house
            .put_resource(Resource {
                code: "residents".into(),
                name: "residents".into(),
                library: Library::Population.number().into(),
                source_department: "police".into(),
                sharing_class: SharingClass::Unconditional.into(),
                ..Resource::default()
            })
            .await;
        house
    }

    fn args(ground: &Ground, folder: &Path, rows: u16) -> ImportArgs {
        let file = folder.join("people.csv");
        let mut text = String::from("证件类型代码,证件号码,姓名,性别,出生日期,户籍地行政区划,生存状态\n");
        let birth = CalendarDate::new(1990, 1, 1).unwrap();
        for n in 1..=rows {
            let division = format!("{}", 331_001 + u32::from(n / 999));
            let code = CitizenId::make(&division, birth, n % 999 + 1).unwrap();
            let sex = if n == 7 { "难" } else { "女" };
            text += &format!("111,{},\"演示, 样本{n}\",{sex},1990-01-01,331023,健在\n", code.as_str());
        }
        std::fs::write(&file, encoding_rs::GB18030.encode(&text).0).unwrap();
        let pair = ground.certs.issuer(&uscc("police"));
        let connection =
            Connection { hub: "https://unused".into(), ca: PathBuf::new(), cert: PathBuf::new(), key: PathBuf::new() };
        ImportArgs {
            connection,
            file,
            resource: "residents".into(),
            manifest_key: pair.key,
            manifest_cert: pair.certificate,
            scope: Scope::Snapshot,
            format: None,
            batch: None,
            source_time_ms: Some(NOON_MS),
            operator: Some("A-17".into()),
            dry_run: false,
            json: false,
            evidence: None,
            give_up_after: 20,
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_is_signed_sent_and_reported_and_sent_again_is_the_same_import() {
        let (ground, folder) = (Ground::new(), tempfile::tempdir().unwrap());
        let house = seeded(&ground).await;
        let (channel, _server) = serve(&house).await;
        let mut args = args(&ground, folder.path(), 3_000);
        let connect = || async { Ok(channel.clone()) };
        let import = async |args: &ImportArgs| {
            let opening = opening(args, &uri("police", "population")).unwrap();
            let phases = Mutex::new(Vec::new());
            let show = |r: &ImportResponse| phases.lock().unwrap().push(r.phase());
            let report = send(&args.file, &opening, Duration::from_secs(20), connect, show).await;
            (report.map_err(|stop| stop.text), phases.into_inner().unwrap())
        };
        args.dry_run = true;
        let (dry, _) = import(&args).await;
        assert_eq!(dry.unwrap().phase(), ImportPhase::DryRunDone);
        args.dry_run = false;
        let (report, phases) = import(&args).await;
        let report = report.unwrap();
        assert_eq!((report.phase(), report.rows_applied, report.rows_quarantined), (ImportPhase::Done, 2_999, 1));
        assert_eq!((report.first_quarantined[0].row, report.receipt.is_some()), (7, true));
        assert_eq!(phases.first(), Some(&ImportPhase::Staging));
        assert_eq!(import(&args).await.0.unwrap().receipt, report.receipt, "the same import, the same receipt");
        args.resource = "nothing".into();
        assert!(import(&args).await.0.unwrap_err().starts_with("RESOURCE_UNKNOWN"));
        assert_eq!(opening(&args, &uri("police", "population")).unwrap().operator.unwrap().id, "A-17");
        assert_eq!(HUB, "hub.test");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_import_goes_on_by_itself_when_the_hub_comes_back() {
        let (ground, folder) = (Ground::new(), tempfile::tempdir().unwrap());
        let args = args(&ground, folder.path(), 9_000);
        // The hub that dies has threads of its own, so that all of it goes at once, its connections included.
        let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let ground = Arc::new(ground);
        let begun = ground.clone();
        let (first, channel) = doomed
            .spawn(async move {
                let first = seeded(&begun).await;
                let (channel, _server) = serve(&first).await;
                (first, channel)
            })
            .await
            .unwrap();
        // The third part is durable and never acknowledged.
        first.mortal.die_at(4, true);
        let there = Arc::new(Mutex::new(channel));
        let now = there.clone();
        let connect = move || {
            let channel = now.lock().unwrap().clone();
            async move { Ok(channel) }
        };
        let opening = opening(&args, &uri("police", "population")).unwrap();
        let sending = tokio::spawn({
            let (file, opening) = (args.file.clone(), opening.clone());
            async move { send(&file, &opening, Duration::from_secs(20), connect, |_| ()).await }
        });
        first.mortal.died().await;
        let second = ground.start().await;
        let (channel, _server) = serve(&second).await;
        *there.lock().unwrap() = channel;
        doomed.shutdown_background();
        let report = sending.await.unwrap().map_err(|stop| stop.text).unwrap();
        assert_eq!((report.phase(), report.rows_applied), (ImportPhase::Done, 8_999));
        assert!(report.staged_bytes > 2 * PART_BYTES as u64);
    }

    #[test]
    fn the_format_is_seen_from_name_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let check = |name: &str, bytes: &[u8], expected: Format| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Format::seen(&path).unwrap(), expected, "{name}");
        };
        let long = "长".repeat(PART_BYTES); // characters cut by the buffer's end
        check("a.csv", long.as_bytes(), Format::CsvUtf8);
        check("b.csv", &encoding_rs::GB18030.encode(&long).0, Format::CsvGb18030);
        check("c.csv", &long.as_bytes()[..long.len() - 1], Format::CsvGb18030);
        check("d.jsonl", b"{}", Format::JsonLines);
    }

    #[test]
    fn rows_are_counted_as_the_hub_counts_them() {
        let count = |text: &str, format| count_rows(text.as_bytes(), format).unwrap();
        assert_eq!(count("a,b\n1,\"x\ny\"\n\n2,3", ImportFormat::CsvUtf8), 2);
        assert_eq!(count("a,b\n", ImportFormat::CsvUtf8), 0);
        assert_eq!(count("{}\n\n  \n{}", ImportFormat::JsonLines), 2);
    }
}
