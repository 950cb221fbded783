//! Seals: judged when they come in, bound by their owner, applied by the city's seal system, and every use stands in the log.
use crate::client::{
    Caller, Proved, administration, blamed, citizen, context, failed, handling, licence, random, reason, request_id,
};
use crate::harness::Hub;
use crate::world::{
    AUDITOR, CIVIL, CLINICS, CONSOLE, DESK, FOOD, FOOD_FIELDS, HEALTH, HOLDER, ITEM, MARKET, PEOPLE, REGISTRY, TAX,
    WINDOW, draft, food_type, full_grant, people_resource, refused, uri,
};
use prost::Message;
use prost::bytes::Bytes;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};
use wuku::cli::dev_certs::Pair;
use wuku::cli::dev_seals::{DevSeal, DevSeals};
use wuku::clock::Clock;
use wuku::config::{Config, SealService, Seals};
use wuku::failure::Reason;
use wuku::receipt::{Kind, Outcome, evidence};
use wuku::seal::ses::SealSignature;
use wuku::seal::signer::{SealSigner, SignOrder, SoftwareSigner};
use wuku::wire::proto::catalogue::v1::{Grant, QuestionKind};
use wuku::wire::proto::exchange::v1::derive_question::Fact;
use wuku::wire::proto::exchange::v1::payload::Answer;
use wuku::wire::proto::exchange::v1::{
    AppliedSeal, BatchLookUpRequest, DeriveQuestion, DeriveRequest, HolderQuestion, LicenceValidOn,
    LookUpHolderRequest, LookUpQuestion, LookUpRequest, LookUpResponse, MatchQuestion, MatchRequest, RecordedItem,
    SealUse, SealUseList,
};
use wuku::wire::proto::library::v1::Library;
use wuku::wire::proto::receipt::v1::{Purpose, PurposeKind};
use wuku::wire::proto::seal::v1::seal_service_client::SealServiceClient;
use wuku::wire::proto::seal::v1::{
    BindSealRequest, ImportSealRequest, ListSealUsesRequest, ListSealsRequest, Seal, SealBinding, SealUseListQuestion,
    WatchSealUsesRequest, WatchSealUsesResponse,
};
use wuku::wire::proto::sealsystem::v1::seal_system_service_server::{SealSystemService, SealSystemServiceServer};
use wuku::wire::proto::sealsystem::v1::{SignRequest, SignResponse};

/// The seal of the department that issues food permits.
pub const SEAL: &str = "33109900000001";
/// A seal of another department.
const OTHER: &str = "33109900000002";
/// No seal has this identifier.
const NOBODYS: &str = "33109900000099";

/// A hub with seals in a folder beside it.
pub struct Sealed {
    /// The hub.
    pub hub: Hub,
    seals: DevSeals,
    _folder: TempDir,
}

/// What the seal system does when asked.
const SIGNS: u8 = 0;
const HANGS: u8 = 1;
const SIGNS_WITH_ANOTHERS_KEY: u8 = 2;
const SIGNS_SOMETHING_ELSE: u8 = 3;
const REFUSES: u8 = 4;

/// A city's seal system, small but real: mutual TLS, the keys of the seals, a mind of its own.
struct City {
    keys: SoftwareSigner,
    does: Arc<AtomicU8>,
}

#[tonic::async_trait]
impl SealSystemService for City {
    async fn sign(&self, request: Request<SignRequest>) -> Result<Response<SignResponse>, Status> {
        assert!(request.peer_certs().is_some_and(|chain| !chain.is_empty()), "the hub shows its certificate");
        let SignRequest { seal_id, to_sign, caller, purpose } = request.into_inner();
        let does = self.does.load(Ordering::SeqCst);
        let mut order = SignOrder { seal_id, to_sign: to_sign.to_vec(), caller, purpose: purpose.unwrap() };
        match does {
            HANGS => std::future::pending().await,
            REFUSES => return Err(Status::permission_denied("印章已停用")),
            SIGNS_WITH_ANOTHERS_KEY => order.seal_id = OTHER.into(),
            SIGNS_SOMETHING_ELSE => order.to_sign.push(0),
            _ => {}
        }
        let signed = self.keys.sign(order).await.map_err(|error| Status::not_found(error.to_string()))?;
        Ok(Response::new(SignResponse { certificate: signed.certificate.into(), signature: signed.signature.into() }))
    }
}

impl Sealed {
    /// A hub that signs with the software keys of the demo seals.
    pub async fn new() -> Self {
        Self::with(|config, seals| config.software_keys = Some(seals.signers())).await
    }

    /// A hub that has its seals applied by a seal system; what that does can be changed.
    async fn by_system() -> (Self, Arc<AtomicU8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap());
        let does = Arc::new(AtomicU8::new(SIGNS));
        let sealed = Self::with(|config, _| {
            config.sign_ms_max = 1_000;
            config.service = Some(SealService { endpoint, ..SealService::default() });
        })
        .await;
        let read = |path: &std::path::Path| std::fs::read(path).unwrap();
        let Pair { certificate, key } = sealed.hub.certs.server();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(read(&certificate), read(&key)))
            .client_ca_root(Certificate::from_pem(read(&sealed.hub.config.listen.client_ca_file)));
        let city = City { keys: SoftwareSigner::open(&sealed.seals.signers()).unwrap(), does: does.clone() };
        let server = Server::builder().tls_config(tls).unwrap().add_service(SealSystemServiceServer::new(city));
        tokio::spawn(server.serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)));
        (sealed, does)
    }

    async fn with(tune: impl FnOnce(&mut Seals, &DevSeals)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let of = |id: &str, body: &crate::world::Body| {
            let signer = body.signer();
            DevSeal { id: id.into(), uscc: signer.uscc, name: signer.name }
        };
        let made = [of(SEAL, &MARKET), of(OTHER, &HEALTH)];
        let seals = DevSeals::make(&folder.path().join("seals"), &made, &Clock::system()).unwrap();
        let hub = Hub::tuned(|config: &mut Config| {
            let mut section = Seals { anchors: seals.anchors(), ..Seals::default() };
            tune(&mut section, &seals);
            if let Some(service) = &mut section.service {
                let certs = config.listen.client_ca_file.parent().unwrap();
                service.ca_file = config.listen.client_ca_file.clone();
                service.certificate_file = certs.join("systems/authority.console.pem");
                service.key_file = certs.join("systems/authority.console.key");
            }
            config.seals = Some(section);
        })
        .await;
        Self { hub, seals, _folder: folder }
    }

    fn esl(&self, id: &str) -> Bytes {
        std::fs::read(self.seals.esl(id)).unwrap().into()
    }

    /// Imports the seal and binds it to the test item, the food permit and the population, delegated to the window's department.
    pub async fn bound(&self) {
        self.hub.caller(CONSOLE).import_seal(self.esl(SEAL), MARKET.code, 0).await.unwrap();
        self.hub.caller(REGISTRY).bind_seal(SEAL, binding(), 1).await.unwrap();
    }

    /// A licence, and a window that may have answers about it sealed.
    async fn licence(&self) -> String {
        self.bound().await;
        self.hub.grant(WINDOW, sealing_grant()).await;
        self.hub.issue(draft()).await
    }
}

/// What the window's grant allows, the seal included.
pub fn sealing_grant() -> Grant {
    Grant { seals: vec![SEAL.into(), NOBODYS.into(), OTHER.into()], ..full_grant(FOOD, &FOOD_FIELDS) }
}

/// The binding of the tests.
pub fn binding() -> SealBinding {
    SealBinding {
        enabled: true,
        items: vec![ITEM.into()],
        licence_types: vec![food_type()],
        libraries: vec![Library::Population as i32],
        delegated_departments: vec![CIVIL.code.into()],
    }
}

impl Caller {
    /// Its seal client.
    pub fn seals(&self) -> SealServiceClient<tonic::transport::Channel> {
        SealServiceClient::new(self.channel.clone())
    }

    /// Imports a seal.
    pub async fn import_seal(&self, esl: Bytes, owner: &str, version: u64) -> Result<Proved, Status> {
        let (purpose, owner_department) = (Some(administration()), owner.to_owned());
        let request = ImportSealRequest { request_id: request_id(), esl, owner_department, version, purpose };
        self.seals().import_seal(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Binds a seal.
    pub async fn bind_seal(&self, id: &str, binding: SealBinding, version: u64) -> Result<Proved, Status> {
        let (purpose, binding, seal_id) = (Some(administration()), Some(binding), id.to_owned());
        let request = BindSealRequest { request_id: request_id(), seal_id, binding, version, purpose };
        self.seals().bind_seal(request).await.map(|r| self.got(r.into_inner()))
    }

    async fn list_seals(&self) -> Vec<Seal> {
        self.seals().list_seals(ListSealsRequest::default()).await.unwrap().into_inner().seals
    }

    /// Who used a seal.
    pub async fn seal_uses(&self, id: &str, before_index: u64, limit: u32) -> Result<SealUseList, Status> {
        let question = SealUseListQuestion { before_index, limit, ..uses_of(id) }.encode_to_vec().into();
        let response = self.seals().list_seal_uses(ListSealUsesRequest { question }).await?.into_inner();
        Ok(uses(&self.got(response)))
    }

    async fn ask_sealed(&self, question: &LookUpQuestion, request_id: &str) -> Result<LookUpResponse, Status> {
        let request_id = request_id.to_owned();
        let request = LookUpRequest { question: question.encode_to_vec().into(), request_id, ..Default::default() };
        self.exchange().look_up(request).await.map(Response::into_inner)
    }

    /// An answer whose receipt, and the receipt of its seal's use, are good.
    fn sealed(&self, response: LookUpResponse) -> (Proved, AppliedSeal, Proved) {
        let seal = response.seal.clone().expect("a seal");
        let used = RecordedItem { payload: seal.use_payload.clone(), receipt: seal.use_receipt.clone(), seal: None };
        (self.got(response), seal, self.got(used))
    }
}

/// A question about the uses of a seal.
pub fn uses_of(id: &str) -> SealUseListQuestion {
    let purpose = Purpose { kind: PurposeKind::Audit as i32, use_cause: "用印检查".into(), ..Purpose::default() };
    SealUseListQuestion {
        nonce: Bytes::copy_from_slice(&random::<16>()),
        purpose: Some(purpose),
        seal_id: id.into(),
        ..SealUseListQuestion::default()
    }
}

fn uses(proved: &Proved) -> SealUseList {
    match &proved.payload.answer {
        Some(Answer::SealUseList(list)) => list.clone(),
        other => panic!("no list: {other:?}"),
    }
}

fn use_of(proved: &Proved) -> &SealUse {
    match &proved.payload.answer {
        Some(Answer::SealUse(used)) => used,
        other => panic!("no use of a seal: {other:?}"),
    }
}

fn sealed_by(id: &str, question: LookUpQuestion) -> LookUpQuestion {
    let mut with_seal = question.context.clone().unwrap();
    with_seal.seal_id = id.into();
    LookUpQuestion { context: Some(with_seal), ..question }
}

#[tokio::test]
async fn a_seal_comes_in_only_where_it_stands_and_is_its_owners() {
    let sealed = Sealed::new().await;
    let (console, registry) = (sealed.hub.caller(CONSOLE), sealed.hub.caller(REGISTRY));
    let imported = registry.import_seal(sealed.esl(SEAL), MARKET.code, 0).await.unwrap();
    assert_eq!(imported.change().records[0].name, SEAL);
    assert_eq!(imported.statement.kind(), Kind::SealChange);

    // A byte of its face: the step that failed is named.
    let mut altered = sealed.esl(SEAL).to_vec();
    let face = altered.windows(4).position(|window| window == b"IDAT").unwrap();
    altered[face + 8] ^= 1;
    let status = console.import_seal(altered.into(), MARKET.code, 1).await.unwrap_err();
    assert_eq!(reason(&status), Reason::SealNotAccepted);
    assert_eq!(blamed(&status), ["esl.seal-signature".to_owned()].into());
    // Of makers nobody here believes, of another generation, no seal at all.
    for strange in
        [&include_bytes!("../samples/seal/UserV4.esl")[..], include_bytes!("../samples/seal/UserV1.esl"), b"x"]
    {
        let refused = console.import_seal(Bytes::copy_from_slice(strange), MARKET.code, 0).await;
        assert_eq!(failed(refused), Reason::SealNotAccepted);
    }
    let large = console.import_seal(vec![0; 49 << 10].into(), MARKET.code, 0).await;
    assert_eq!(failed(large), Reason::RequestMalformed);
    // Another authority's seal is not this department's, whoever brings it; a department brings its own only.
    let status = console.import_seal(sealed.esl(OTHER), MARKET.code, 0).await.unwrap_err();
    assert_eq!(
        (reason(&status), blamed(&status)),
        (Reason::SealNotAccepted, ["esl.issuing-authority".to_owned()].into())
    );
    assert_eq!(
        failed(sealed.hub.caller(CLINICS).import_seal(sealed.esl(SEAL), MARKET.code, 1).await),
        Reason::RoleNotAllowed
    );
    let desk = sealed.hub.caller(DESK);
    assert_eq!(refused(&desk, desk.import_seal(sealed.esl(SEAL), TAX.code, 0).await), Reason::RoleNotAllowed);
    assert_eq!(failed(console.import_seal(sealed.esl(OTHER), "nobody", 0).await), Reason::DepartmentUnknown);
    assert_eq!(failed(console.import_seal(sealed.esl(SEAL), MARKET.code, 0).await), Reason::StateChangedMeanwhile);
    console.import_seal(sealed.esl(SEAL), MARKET.code, 1).await.unwrap();

    // Bound by its owner. Who is not cannot tell it from one that is not there.
    let clinics = sealed.hub.caller(CLINICS);
    for id in [SEAL, NOBODYS] {
        assert_eq!(failed(clinics.bind_seal(id, binding(), 2).await), Reason::TargetUnknown);
    }
    let status =
        registry.bind_seal(SEAL, SealBinding { libraries: vec![5], ..SealBinding::default() }, 2).await.unwrap_err();
    assert_eq!(blamed(&status), ["binding.items".to_owned(), "binding.libraries".to_owned()].into());
    let nowhere = SealBinding { delegated_departments: vec!["nowhere".into()], ..binding() };
    assert_eq!(failed(registry.bind_seal(SEAL, nowhere, 2).await), Reason::DepartmentUnknown);
    registry.bind_seal(SEAL, binding(), 2).await.unwrap();
    // Listed to its owner, to whom it is delegated, and to who oversees; without its file.
    for (name, sees) in
        [(REGISTRY, true), (WINDOW, true), (CONSOLE, true), (AUDITOR, true), (CLINICS, false), (DESK, false)]
    {
        let seen = sealed.hub.caller(name).list_seals().await;
        assert_eq!(seen.iter().any(|seal| seal.id == SEAL && seal.esl.is_empty()), sees, "{name:?}");
        assert!(seen.iter().all(|seal| seal.name.contains("演示") && seal.ownership == "matched" && seal.version == 3));
    }
    let signer = console.seals().list_seals(ListSealsRequest::default()).await.unwrap().into_inner().signer;
    assert_eq!(signer, "software");
    sealed.hub.end().await;

    let bare = Hub::new().await;
    let refused = bare.caller(CONSOLE).import_seal(vec![0x30, 0].into(), MARKET.code, 0).await;
    assert_eq!(failed(refused), Reason::SealsNotConfigured);
    bare.end().await;
}

#[tokio::test]
async fn an_answer_is_sealed_by_the_seal_system_and_verifies_offline() {
    let (sealed, _) = Sealed::by_system().await;
    let id = sealed.licence().await;
    let window = sealed.hub.caller(WINDOW);
    let question = sealed_by(SEAL, licence(&id, &["number"]));
    let request = request_id();
    let response = window.ask_sealed(&question, &request).await.unwrap();
    let again = window.ask_sealed(&question, &request).await.unwrap();
    assert_eq!(
        again.seal.as_ref().unwrap().signature,
        response.seal.as_ref().unwrap().signature,
        "a repeat is the same"
    );
    let (answer, seal, used) = window.sealed(response);
    assert_eq!(answer.field("number"), Some("JY13310990000017"));
    assert_eq!(used.receipt().leaf_index, answer.receipt().leaf_index + 1);
    assert_eq!((used.statement.kind(), used.outcome()), (Kind::SealUse, Outcome::Done));
    assert_eq!(used.statement.purpose, Some(handling()));
    assert_eq!(use_of(&used).signer, "service");
    let parsed = SealSignature::parse(&seal.signature).unwrap();
    assert_eq!((parsed.seal.id.as_str(), parsed.seal.bytes.as_slice()), (SEAL, sealed.esl(SEAL).as_ref()));
    let named: String = answer.statement.payload_digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(parsed.property, format!("wuku:payload/v1;name=wuku.exchange.v1.Payload;digest={named}"));

    // Offline: the evidence with its seal; another answer's evidence, another file, an altered seal.
    let other = window.look_up(&licence(&id, &[])).await.unwrap();
    let (ours, theirs) = (sealed.hub.path("a.json"), sealed.hub.path("b.json"));
    std::fs::write(&ours, evidence::to_json(&answer.evidence)).unwrap();
    std::fs::write(&theirs, evidence::to_json(&other.evidence)).unwrap();
    let file = sealed.hub.path("a.seal");
    let verify = |evidence: &std::path::Path, seal: &[u8]| {
        std::fs::write(&file, seal).unwrap();
        let out = Command::new(env!("CARGO_BIN_EXE_wuku-verify"))
            .arg(evidence)
            .arg("--trust")
            .arg(sealed.hub.path("trust.note"))
            .arg("--seal")
            .arg(&file)
            .arg("--seal-anchors")
            .arg(sealed.seals.anchors())
            .arg("--json")
            .output()
            .unwrap();
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        (out.status.code(), said["verdict"].clone(), said["seal"].clone())
    };
    let (code, verdict, said) = verify(&ours, &seal.signature);
    assert_eq!((code, verdict.as_str(), said["verdict"].as_str()), (Some(0), Some("good"), Some("valid")), "{said}");
    assert_eq!((said["sealId"].as_str(), said["steps"]["signature"].as_str()), (Some(SEAL), Some("ok")), "{said}");
    let (code, verdict, said) = verify(&theirs, &seal.signature);
    assert_eq!((code, verdict.as_str(), said["verdict"].as_str()), (Some(1), Some("bad"), Some("not-valid")));
    assert_eq!(said["reasons"], serde_json::json!(["data-hash", "property"]), "{said}");
    let mut altered = seal.signature.to_vec();
    *altered.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&ours, &altered).0, Some(1));
    assert_eq!(verify(&ours, b"no seal").0, Some(1));
    // What a person reads first is not a good word over a bad seal.
    let text = Command::new(env!("CARGO_BIN_EXE_wuku-verify"))
        .arg(&ours)
        .arg("--trust")
        .arg(sealed.hub.path("trust.note"))
        .arg("--seal")
        .arg(&file)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("BAD: ") && text.contains("the seal beside it is not good"), "{text}");
    sealed.hub.end().await;
}

#[tokio::test]
async fn no_seal_leaves_that_was_not_made_well_in_time_and_recorded() {
    let (sealed, does) = Sealed::by_system().await;
    let id = sealed.licence().await;
    let window = sealed.hub.caller(WINDOW);
    let question = || sealed_by(SEAL, licence(&id, &["number"]));
    let before = window.look_up(&licence(&id, &[])).await.unwrap().receipt().leaf_index;
    for bad in [HANGS, REFUSES, SIGNS_WITH_ANOTHERS_KEY, SIGNS_SOMETHING_ELSE] {
        does.store(bad, Ordering::SeqCst);
        assert_eq!(failed(window.ask_sealed(&question(), "").await), Reason::SealNotApplied, "{bad}");
    }
    does.store(SIGNS, Ordering::SeqCst);
    let (answer, ..) = window.sealed(window.ask_sealed(&question(), "").await.unwrap());
    assert_eq!(answer.receipt().leaf_index, before + 1, "what was not sealed was not recorded as answered");
    assert_eq!(sealed.hub.caller(REGISTRY).seal_uses(SEAL, 0, 0).await.unwrap().uses.len(), 1);
    sealed.hub.end().await;
}

#[tokio::test]
async fn use_outside_the_binding_is_refused_alike_whether_the_seal_is_there_or_not() {
    let sealed = Sealed::new().await;
    let id = sealed.licence().await;
    let hub = &sealed.hub;
    hub.caller(CONSOLE).import_seal(sealed.esl(OTHER), HEALTH.code, 0).await.unwrap();
    let without = Grant { seals: vec![], ..full_grant(FOOD, &FOOD_FIELDS) };
    hub.grant(DESK, without).await;
    let (window, desk, registry) = (hub.caller(WINDOW), hub.caller(DESK), hub.caller(REGISTRY));
    let question = |seal: &str| sealed_by(seal, licence(&id, &["number"]));
    let mut other_item = question(SEAL);
    other_item.context.as_mut().unwrap().purpose.as_mut().unwrap().item = "331023000002".into();
    let status = window.ask_sealed(&other_item, "").await.unwrap_err();
    assert_eq!(reason(&status), Reason::PurposeNotGranted, "no grant at all comes before the seal");

    let mut seen = Vec::new();
    // A grant that does not name it; one that is not there; another department's that is bound to nothing.
    for (caller, seal) in [(&desk, SEAL), (&desk, NOBODYS), (&window, NOBODYS), (&window, OTHER)] {
        let status = caller.ask_sealed(&question(seal), "").await.unwrap_err();
        let (found, proved) = caller.refused(&status);
        assert_eq!(found, Reason::SealNotAllowed);
        let next = caller.ask_sealed(&question(seal), "").await.unwrap_err();
        let (_, next) = caller.refused(&next);
        seen.push((status.message().to_owned(), next.receipt().leaf_index - proved.receipt().leaf_index));
    }
    assert!(seen.iter().all(|one| *one == seen[0]), "they must not differ: {seen:?}");
    // Taken back by its owner: the very next question is refused.
    window.sealed(window.ask_sealed(&question(SEAL), "").await.unwrap());
    for narrower in [
        SealBinding { items: vec!["331023000002".into()], ..binding() },
        SealBinding { licence_types: vec![], ..binding() },
        SealBinding { delegated_departments: vec![], ..binding() },
        SealBinding { enabled: false, ..binding() },
    ] {
        let version = registry.list_seals().await[0].version;
        registry.bind_seal(SEAL, narrower, version).await.unwrap();
        assert_eq!(refused(&window, look_up(&window, &question(SEAL)).await), Reason::SealNotAllowed);
    }
    // Its owner sees who tried.
    let uses = registry.seal_uses(SEAL, 0, 0).await.unwrap().uses;
    let tried =
        |name| uses.iter().filter(|used| used.caller == uri(name) && used.outcome() == Outcome::Refused).count();
    assert_eq!((tried(WINDOW), tried(DESK)), (4, 2));
    sealed.hub.end().await;
}

async fn look_up(caller: &Caller, question: &LookUpQuestion) -> Result<Proved, Status> {
    caller.ask_sealed(question, "").await.map(|response| caller.got(response))
}

#[tokio::test]
async fn every_kind_of_answer_can_bear_a_seal() {
    let sealed = Sealed::new().await;
    let id = sealed.licence().await;
    let hub = &sealed.hub;
    hub.caller(CONSOLE).put_resource(people_resource()).await.unwrap();
    let matching = Grant { kinds: vec![QuestionKind::Match as i32], facts: vec![], ..full_grant(PEOPLE, &["name"]) };
    hub.grant(WINDOW, Grant { seals: vec![SEAL.into()], ..matching }).await;
    let window = hub.caller(WINDOW);
    let context = || {
        let mut with_seal = context();
        with_seal.seal_id = SEAL.into();
        Some(with_seal)
    };
    let mut bears = Vec::new();
    let holder = Some(citizen(HOLDER.1));
    let asked = MatchQuestion { context: context(), holder: holder.clone(), name: HOLDER.0.into() };
    let request = MatchRequest { question: asked.encode_to_vec().into(), ..MatchRequest::default() };
    bears.push(window.exchange().r#match(request).await.unwrap().into_inner().seal);
    let fact = Some(Fact::LicenceValidOn(LicenceValidOn { licence_id: id.clone(), day: None }));
    let asked = DeriveQuestion { context: context(), fact };
    let request = DeriveRequest { question: asked.encode_to_vec().into(), ..DeriveRequest::default() };
    bears.push(window.exchange().derive(request).await.unwrap().into_inner().seal);
    let fields = vec!["number".to_owned()];
    let asked =
        HolderQuestion { context: context(), holder, licence_types: vec![food_type()], fields, ..Default::default() };
    let request = LookUpHolderRequest { question: asked.encode_to_vec().into(), ..LookUpHolderRequest::default() };
    let response = window.exchange().look_up_holder(request).await.unwrap().into_inner();
    bears.extend(response.items.iter().map(|item| item.seal.clone()));
    // A batch of which one question asks for a seal; and one of too many.
    let questions = [sealed_by(SEAL, licence(&id, &[])), licence(&id, &[])];
    let request = |questions: &[LookUpQuestion]| BatchLookUpRequest {
        questions: questions.iter().map(|question| question.encode_to_vec().into()).collect(),
        ..BatchLookUpRequest::default()
    };
    let response = window.exchange().batch_look_up(request(&questions)).await.unwrap().into_inner();
    assert_eq!(response.items.len(), 2, "the use of a seal goes with its answer");
    assert!(response.items[1].seal.is_none());
    bears.push(response.items[0].seal.clone());
    for seal in &bears {
        let seal = seal.as_ref().expect("a seal");
        assert_eq!(SealSignature::parse(&seal.signature).unwrap().seal.id, SEAL);
    }
    window.items(response.items, &response.checkpoint);
    assert_eq!(hub.caller(REGISTRY).seal_uses(SEAL, 0, 0).await.unwrap().uses.len(), bears.len());
    let many = vec![sealed_by(SEAL, licence(&id, &[])); 51];
    assert_eq!(failed(window.exchange().batch_look_up(request(&many)).await), Reason::RequestMalformed);
    sealed.hub.end().await;
}

#[tokio::test]
async fn the_owner_and_auditors_see_every_use_and_nobody_else_does() {
    let sealed = Sealed::new().await;
    let id = sealed.licence().await;
    let hub = &sealed.hub;
    let (window, registry) = (hub.caller(WINDOW), hub.caller(REGISTRY));
    let use_it = async || {
        let answer = window.ask_sealed(&sealed_by(SEAL, licence(&id, &["number"])), "").await.unwrap();
        window.sealed(answer).2.receipt().leaf_index
    };
    let mut indices = Vec::new();
    for _ in 0..3 {
        indices.push(use_it().await);
    }
    let first = registry.seal_uses(SEAL, 0, 2).await.unwrap();
    let second = registry.seal_uses(SEAL, first.next_before_index, 2).await.unwrap();
    let listed: Vec<u64> = first.uses.iter().chain(&second.uses).map(|used| used.index).collect();
    assert_eq!((listed, second.next_before_index), (indices.iter().rev().copied().collect(), 0));
    let one = &first.uses[0];
    assert_eq!((one.caller.as_str(), one.kind(), one.outcome()), (uri(WINDOW).as_str(), Kind::LookUp, Outcome::Done));
    assert_eq!((one.purpose.clone(), one.seal_version, one.payload_digest.len()), (Some(handling()), 2, 32));
    assert_eq!(one.operator.clone().unwrap().id, "window-7");
    assert_eq!(hub.caller(AUDITOR).seal_uses(SEAL, 0, 0).await.unwrap().uses.len(), 3);
    assert_eq!(hub.caller(AUDITOR).seal_uses(NOBODYS, 0, 0).await.unwrap().uses.len(), 0);
    // Who used it, whose it is not, who governs: refused, recorded, and alike for a seal that is not there.
    for name in [WINDOW, DESK, CONSOLE, CLINICS] {
        for seal in [SEAL, NOBODYS] {
            let caller = hub.caller(name);
            let status = caller.seal_uses(seal, 0, 0).await.unwrap_err();
            assert_eq!(caller.refused(&status).0, Reason::RoleNotAllowed, "{name:?}");
            let mut watched = watch(&caller, seal, 0).await;
            let status = watched.message().await.unwrap_err();
            assert_eq!(caller.refused(&status).0, Reason::RoleNotAllowed, "{name:?}");
        }
    }
    // Watched from the second on, then as it happens, then from where the stream broke off.
    let mut watched = watch(&registry, SEAL, indices[1]).await;
    let (seen, _) = page(&registry, watched.message().await.unwrap().unwrap());
    assert_eq!(seen, indices[1..]);
    let fourth = use_it().await;
    let (seen, next) = page(&registry, watched.message().await.unwrap().unwrap());
    assert_eq!(seen, [fourth]);
    drop(watched);
    let fifth = use_it().await;
    let mut watched = watch(&registry, SEAL, next).await;
    assert_eq!(page(&registry, watched.message().await.unwrap().unwrap()).0, [fifth]);
    // A hub that stops lets its watchers go: it must not wait for them.
    sealed.hub.end().await;
    assert!(!matches!(watched.message().await, Ok(Some(_))));
}

async fn watch(caller: &Caller, id: &str, from_index: u64) -> tonic::Streaming<WatchSealUsesResponse> {
    let question = SealUseListQuestion { from_index, ..uses_of(id) }.encode_to_vec().into();
    caller.seals().watch_seal_uses(WatchSealUsesRequest { question }).await.unwrap().into_inner()
}

/// The indices of a page, whose receipt is good, and where it says to go on.
fn page(caller: &Caller, response: WatchSealUsesResponse) -> (Vec<u64>, u64) {
    let next = response.next_from_index;
    let list = uses(&caller.got(response));
    (list.uses.iter().map(|used| used.index).collect(), next)
}
