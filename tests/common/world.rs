//! Who there is in the tests' city: departments, systems, one licence type with its resource, grants, licences.
use crate::client::{Caller, Proved, administration, citizen, date, handling, reason, request_id};
use crate::harness::{HUB, Hub};
use prost::Message;
use prost::bytes::Bytes;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tonic::Status;
use wuku::cli::dev_certs::{DevCerts, DevDepartment, Pair};
use wuku::clock::Clock;
use wuku::config::Config;
use wuku::library::codes::{CalendarDate, CitizenId, HolderCode, Uscc};
use wuku::log::SuiteName;
use wuku::wire::proto::catalogue::v1::{
    AllowedPurpose, ApplyGrantRequest, DecideGrantRequest, Department, FactKind, Grant, GrantMode, GrantState,
    PutDepartmentRequest, PutResourceRequest, PutSystemRequest, QuestionKind, Resource, Role, SharingClass, System,
    WithdrawGrantRequest,
};
use wuku::wire::proto::exchange::v1::PreparedLicence;
use wuku::wire::proto::exchange::v1::payload::Answer;
use wuku::wire::proto::intake::v1::import_request::Message as Up;
use wuku::wire::proto::intake::v1::{
    ImportFormat, ImportOpening, ImportPart, ImportRequest, ImportResponse, ImportScope, Manifest,
};
use wuku::wire::proto::library::v1::{DepartmentSignature, Field, Library};
use wuku::wire::proto::licence::v1::{
    Authority, ChangeLicenceRequest, FaceField, Holder, HolderCategory, IssueLicenceRequest, LicenceOrder, LicenceType,
    OrderAction, PrepareLicenceRequest, PutLicenceTypeRequest,
};
use wuku::wire::proto::receipt::v1::PurposeKind;

/// A department of the city.
pub struct Body {
    /// Its short name in URIs.
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What makes its credit code its own.
    organisation: &'static str,
}

impl Body {
    const fn new(code: &'static str, name: &'static str, organisation: &'static str) -> Self {
        Self { code, name, organisation }
    }

    /// Its credit code, under a division that was never assigned.
    pub fn uscc(&self) -> String {
        Uscc::make("11", "331099", self.organisation).unwrap().to_string()
    }

    /// As the certificate maker wants it.
    pub fn signer(&self) -> DevDepartment {
        DevDepartment { uscc: self.uscc(), name: self.name.into() }
    }
}

/// The data authority.
pub const AUTHORITY: Body = Body::new("authority", "演示县数据局", "MB000001");
/// Issues the licence type of these tests.
pub const MARKET: Body = Body::new("market", "演示县市场监督管理局", "MB000002");
/// Another source department, which may not.
pub const HEALTH: Body = Body::new("health", "演示县卫生健康局", "MB000003");
/// Keeps the population library.
pub const POLICE: Body = Body::new("police", "演示县公安局", "MB000005");
/// The window's department.
pub const CIVIL: Body = Body::new("civil", "演示县民政局", "MB000006");
/// A consumer's department.
pub const TAX: Body = Body::new("tax", "演示县税务局", "MB000007");
const AUDIT: Body = Body::new("audit", "演示县审计局", "MB000008");
/// All of them.
pub const BODIES: [Body; 7] = [AUTHORITY, MARKET, HEALTH, POLICE, CIVIL, TAX, AUDIT];

/// Department and system of a caller.
pub type Name = (&'static str, &'static str);
/// The data authority's console, made by `wuku init`.
pub const CONSOLE: Name = ("authority", "console");
/// Prepares, issues and changes licences.
pub const REGISTRY: Name = ("market", "registry");
/// A source department's system without a licence type.
pub const CLINICS: Name = ("health", "clinics");
/// Imports the population library.
pub const POPULATION: Name = ("police", "population");
/// A consumer with grants.
pub const WINDOW: Name = ("civil", "window");
/// A consumer without any.
pub const DESK: Name = ("tax", "desk");
/// An auditor.
pub const AUDITOR: Name = ("audit", "office");
/// System administrator.
pub const SYSTEM_ADMIN: Name = ("authority", "systems");
/// Security administrator.
pub const SECURITY_ADMIN: Name = ("authority", "security");
/// Audit administrator.
pub const AUDIT_ADMIN: Name = ("authority", "audits");
/// A good certificate of a system that is in no catalogue.
pub const STRANGER: Name = ("tax", "stranger");

/// Systems with their roles; the console and the stranger aside.
pub const SYSTEMS: [(Name, &[Role]); 9] = [
    (REGISTRY, &[Role::Source]),
    (CLINICS, &[Role::Source]),
    (POPULATION, &[Role::Source]),
    (WINDOW, &[Role::Consumer]),
    (DESK, &[Role::Consumer, Role::Clerk]),
    (AUDITOR, &[Role::Auditor]),
    (SYSTEM_ADMIN, &[Role::SystemAdministrator]),
    (SECURITY_ADMIN, &[Role::SecurityAdministrator]),
    (AUDIT_ADMIN, &[Role::AuditAdministrator]),
];

/// The service item of the test grants.
pub const ITEM: &str = "331023000001";
/// The resource of the licence type.
pub const FOOD: &str = "food-permit";
/// The population resource.
pub const PEOPLE: &str = "population";
/// A name and a number that belong to nobody: the division was never assigned.
pub const HOLDER: (&str, &str) = ("演示样本·艾力", "331099199003070013");
/// Fields of the licence resource that grants name.
pub const FOOD_FIELDS: [&str; 8] =
    ["licence_id", "type_name", "number", "holder_name", "holder_code", "valid_until", "premises", "complete_licence"];

/// The type code of the food permit.
pub fn food_type() -> String {
    format!("{}001", MARKET.uscc())
}

/// `wuku://hub/department/system`.
pub fn uri(name: Name) -> String {
    format!("wuku://{HUB}/{}/{}", name.0, name.1)
}

impl Hub {
    /// A hub with departments, systems, the licence type and its resource.
    pub async fn new() -> Self {
        Self::tuned(|_| {}).await
    }

    /// The same in a suite of the test's choice.
    pub async fn of(suite: SuiteName) -> Self {
        Self::tuned_in(suite, |_| {}).await
    }

    /// The same with another configuration.
    pub async fn tuned(tune: impl FnOnce(&mut Config)) -> Self {
        Self::tuned_in(SuiteName::Ed25519, tune).await
    }

    /// The same with both of the test's choice.
    pub async fn tuned_in(suite: SuiteName, tune: impl FnOnce(&mut Config)) -> Self {
        let names: Vec<Name> = SYSTEMS.iter().map(|(name, _)| *name).chain([CONSOLE, STRANGER]).collect();
        let issuers: Vec<DevDepartment> = [MARKET, HEALTH, POLICE].iter().map(Body::signer).collect();
        let hub = Self::make_in(suite, &names, &issuers, tune);
        let console = hub.caller(CONSOLE);
        let bodies =
            BODIES.iter().filter(|b| b.code != AUTHORITY.code).map(|body| console.put_department(department(body)));
        futures_util::future::join_all(bodies).await.into_iter().for_each(|put| _ = put.unwrap());
        let systems = SYSTEMS.map(|(name, roles)| console.put_system(system(name, roles)));
        futures_util::future::join_all(systems).await.into_iter().for_each(|put| _ = put.unwrap());
        console.put_resource(food_resource()).await.unwrap();
        console.put_type(food_licence()).await.unwrap();
        hub
    }
}

/// A department's entry.
pub fn department(body: &Body) -> Department {
    Department {
        code: body.code.into(),
        name: body.name.into(),
        uscc: body.uscc(),
        division: "331023".into(),
        version: 0,
    }
}

/// A system's entry.
pub fn system(name: Name, roles: &[Role]) -> System {
    System {
        uri: uri(name),
        name: format!("{} {}", name.0, name.1),
        department: name.0.into(),
        roles: roles.iter().map(|r| *r as i32).collect(),
        enabled: true,
        ..System::default()
    }
}

/// The resource of the licence type.
pub fn food_resource() -> Resource {
    Resource {
        code: FOOD.into(),
        name: "食品经营许可证".into(),
        library: Library::Licence as i32,
        source_department: MARKET.code.into(),
        sharing_class: SharingClass::Conditional as i32,
        sharing_condition: "限办理相关政务服务事项".into(),
        licence_type: food_type(),
        ..Resource::default()
    }
}

/// The population resource, kept record by record.
pub fn people_resource() -> Resource {
    Resource {
        code: PEOPLE.into(),
        name: "人口基础信息".into(),
        library: Library::Population as i32,
        source_department: POLICE.code.into(),
        sharing_class: SharingClass::Conditional as i32,
        sharing_condition: "限办理相关政务服务事项".into(),
        coverage_divisions: vec!["3310".into()],
        coverage_code_types: vec!["111".into()],
        ..Resource::default()
    }
}

/// The licence type.
pub fn food_licence() -> LicenceType {
    let face = |name: &str, title: &str, kind: &str, required, mask: &str| FaceField {
        name: name.into(),
        title_zh: title.into(),
        kind: kind.into(),
        required,
        mask: mask.into(),
    };
    LicenceType {
        type_code: food_type(),
        name: "食品经营许可证".into(),
        defining_authority: Some(Authority { name: MARKET.name.into(), uscc: MARKET.uscc() }),
        holder_category: HolderCategory::Mixed as i32,
        issuer_usccs: vec![MARKET.uscc()],
        face_fields: vec![
            face("premises", "经营场所", "text", true, "address"),
            face("phone", "联系电话", "text", false, "phone"),
            face("floor_area", "面积", "decimal", false, "none"),
        ],
        resource: FOOD.into(),
        ..LicenceType::default()
    }
}

/// What a licence is prepared from.
pub fn draft() -> PrepareLicenceRequest {
    PrepareLicenceRequest {
        purpose: Some(handling()),
        type_code: food_type(),
        number: "JY13310990000017".into(),
        holders: vec![Holder { code: Some(citizen(HOLDER.1)), name: HOLDER.0.into() }],
        issued_on: Some(date(2026, 1, 5)),
        valid_from: Some(date(2026, 1, 5)),
        valid_until: Some(date(2098, 1, 4)),
        division: "331023".into(),
        face_fields: vec![field("premises", "浙江省台州市天台县演示样本路88号"), field("phone", "13800000000")],
        item_code: ITEM.into(),
        ..PrepareLicenceRequest::default()
    }
}

/// A face field.
pub fn field(name: &str, value: &str) -> Field {
    Field { name: name.into(), value: value.into(), masked: false }
}

/// A grant on a resource with every kind of question that suits a licence, in full.
pub fn full_grant(resource: &str, fields: &[&str]) -> Grant {
    Grant {
        resource: resource.into(),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        kinds: [QuestionKind::LookUp, QuestionKind::Derive, QuestionKind::Holder, QuestionKind::Match]
            .map(|k| k as i32)
            .to_vec(),
        facts: [FactKind::LicenceValidOn, FactKind::AgeAtLeast].map(|f| f as i32).to_vec(),
        mode: GrantMode::Full as i32,
        purposes: vec![AllowedPurpose { kind: PurposeKind::Handling as i32, items: vec![ITEM.into()] }],
        legal_basis: "《浙江省公共数据条例》第二十二条".into(),
        ..Grant::default()
    }
}

impl Caller {
    /// Puts a department.
    pub async fn put_department(&self, department: Department) -> Result<Proved, Status> {
        let request = PutDepartmentRequest {
            request_id: request_id(),
            department: Some(department),
            purpose: Some(administration()),
        };
        self.catalogue().put_department(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Puts a system.
    pub async fn put_system(&self, system: System) -> Result<Proved, Status> {
        let request =
            PutSystemRequest { request_id: request_id(), system: Some(system), purpose: Some(administration()) };
        self.catalogue().put_system(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Puts a resource.
    pub async fn put_resource(&self, resource: Resource) -> Result<Proved, Status> {
        let request =
            PutResourceRequest { request_id: request_id(), resource: Some(resource), purpose: Some(administration()) };
        self.catalogue().put_resource(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Puts a licence type.
    pub async fn put_type(&self, kind: LicenceType) -> Result<Proved, Status> {
        let request = PutLicenceTypeRequest {
            request_id: request_id(),
            licence_type: Some(kind),
            purpose: Some(administration()),
        };
        self.licence().put_licence_type(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Applies for a grant: its id and the state it got.
    pub async fn apply(&self, grant: Grant) -> Result<(String, GrantState), Status> {
        let request =
            ApplyGrantRequest { request_id: request_id(), grant: Some(grant), purpose: Some(administration()) };
        let response = self.catalogue().apply_grant(request).await?.into_inner();
        let state = response.state();
        Ok((self.got(response).change().records[0].name.clone(), state))
    }

    /// Decides an application.
    pub async fn decide(&self, grant_id: &str, agree: bool, why: &str) -> Result<Proved, Status> {
        let request = DecideGrantRequest {
            request_id: request_id(),
            grant_id: grant_id.into(),
            agree,
            reason: why.into(),
            purpose: Some(administration()),
        };
        self.catalogue().decide_grant(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Takes a grant back.
    pub async fn withdraw(&self, grant_id: &str, why: &str) -> Result<Proved, Status> {
        let request = WithdrawGrantRequest {
            request_id: request_id(),
            grant_id: grant_id.into(),
            reason: why.into(),
            purpose: Some(administration()),
        };
        self.catalogue().withdraw_grant(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Prepares a licence.
    pub async fn prepare(&self, draft: PrepareLicenceRequest) -> Result<PreparedLicence, Status> {
        let response = self.licence().prepare_licence(draft).await?.into_inner();
        match self.got(response).payload.answer {
            Some(Answer::PreparedLicence(prepared)) => Ok(prepared),
            other => panic!("{other:?}"),
        }
    }

    /// Hands in a signed licence.
    pub async fn issue(&self, request: IssueLicenceRequest) -> Result<Proved, Status> {
        self.licence().issue_licence(request).await.map(|r| self.got(r.into_inner()))
    }

    /// Hands in a signed order.
    pub async fn change(&self, request: ChangeLicenceRequest) -> Result<Proved, Status> {
        self.licence().change_licence(request).await.map(|r| self.got(r.into_inner()))
    }
}

impl Hub {
    /// Gives a system a grant: applied for by itself, agreed to by the data authority. Gives its id.
    pub async fn grant(&self, system: Name, grant: Grant) -> String {
        let (id, state) = self.caller(system).apply(grant).await.unwrap();
        if state != GrantState::Granted {
            self.caller(CONSOLE).decide(&id, true, "").await.unwrap();
        }
        id
    }

    /// Gives the window everything the food permit holds.
    pub async fn grant_food(&self) -> String {
        self.grant(WINDOW, full_grant(FOOD, &FOOD_FIELDS)).await
    }

    /// A department's signature over a licence, an order, a manifest.
    pub fn signed(&self, by: &Body, label: &str, bytes: &[u8]) -> DepartmentSignature {
        signature(&self.certs.issuer(&by.uscc()), label, bytes)
    }

    /// As [`issuing`].
    pub fn issuing(&self, prepared: &PreparedLicence) -> IssueLicenceRequest {
        issuing(&self.certs, prepared)
    }

    /// Prepares, signs and issues a licence; gives its identifier.
    pub async fn issue(&self, draft: PrepareLicenceRequest) -> String {
        let registry = self.caller(REGISTRY);
        let prepared = registry.prepare(draft).await.unwrap();
        registry.issue(self.issuing(&prepared)).await.unwrap();
        prepared.licence_id
    }

    /// As [`ordering`].
    pub fn ordering(&self, order: &LicenceOrder) -> ChangeLicenceRequest {
        ordering(&self.certs, order)
    }

    /// Carries out an order.
    pub async fn order(&self, licence_id: &str, action: OrderAction) -> Proved {
        self.caller(REGISTRY).change(self.ordering(&order(licence_id, action))).await.unwrap()
    }
}

/// A request to issue what was prepared, signed by its authority.
pub fn issuing(certs: &DevCerts, prepared: &PreparedLicence) -> IssueLicenceRequest {
    IssueLicenceRequest {
        request_id: request_id(),
        content: prepared.content.clone(),
        ticket: prepared.ticket.clone(),
        signature: Some(signature(&certs.issuer(&MARKET.uscc()), "licence", &prepared.content)),
        purpose: Some(handling()),
        ..IssueLicenceRequest::default()
    }
}

/// A request to carry out an order, signed by the licence's authority.
pub fn ordering(certs: &DevCerts, order: &LicenceOrder) -> ChangeLicenceRequest {
    let order = Bytes::from(order.encode_to_vec());
    ChangeLicenceRequest {
        request_id: request_id(),
        signature: Some(signature(&certs.issuer(&MARKET.uscc()), "order", &order)),
        order,
        purpose: Some(handling()),
        ..ChangeLicenceRequest::default()
    }
}

/// An order that names its document and takes effect on 2 March 2026.
pub fn order(licence_id: &str, action: OrderAction) -> LicenceOrder {
    LicenceOrder {
        format: 1,
        hub: HUB.into(),
        action: action as i32,
        licence_id: licence_id.into(),
        document_number: "演市监〔2026〕1号".into(),
        reason: "测试".into(),
        effective_on: Some(date(2026, 3, 2)),
        ..LicenceOrder::default()
    }
}

/// ECDSA P-256 over `"wuku/<label>/v1" ‖ 0x00 ‖ bytes`, with the key and certificate of a pair of files.
pub fn signature(pair: &Pair, label: &str, bytes: &[u8]) -> DepartmentSignature {
    let certificate = CertificateDer::from_pem_slice(&std::fs::read(&pair.certificate).unwrap()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&std::fs::read(&pair.key).unwrap()).unwrap();
    let rng = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key.secret_der(), &rng).unwrap();
    let message = [format!("wuku/{label}/v1\0").as_bytes(), bytes].concat();
    DepartmentSignature {
        algorithm: "ecdsa-p256-sha256".into(),
        chain: vec![Bytes::copy_from_slice(&certificate)],
        value: Bytes::copy_from_slice(key.sign(&rng, &message).unwrap().as_ref()),
    }
}

/// A refusal recorded for a caller: its reason. Fails where it was not recorded.
pub fn refused(caller: &Caller, result: Result<Proved, Status>) -> wuku::failure::Reason {
    let status = result.unwrap_err();
    let (found, _) = caller.refused(&status);
    assert_eq!(found, reason(&status));
    found
}

/// A file of a source department.
pub struct Delivery<'a> {
    /// The system that sends it.
    pub system: Name,
    /// The department that signs it.
    pub body: &'a Body,
    /// The resource.
    pub resource: &'a str,
    /// Snapshot or increment.
    pub scope: ImportScope,
    /// How it is written.
    pub format: ImportFormat,
    /// The file.
    pub file: Vec<u8>,
    /// Its rows.
    pub rows: u64,
    /// The batch; another one makes another import of the same file.
    pub batch: &'a str,
}

impl Delivery<'_> {
    /// The manifest.
    pub fn manifest(&self) -> Manifest {
        Manifest {
            format: 1,
            hub: HUB.into(),
            resource: self.resource.into(),
            system: uri(self.system),
            scope: self.scope as i32,
            file_format: self.format as i32,
            file_bytes: self.file.len() as u64,
            file_sha256: Bytes::copy_from_slice(&Sha256::digest(&self.file)),
            rows: self.rows,
            source_time_ms: Clock::system().now_ms() - 60_000,
            batch: self.batch.into(),
        }
    }
}

/// The opening of an import, signed by its department.
pub fn opening(certs: &DevCerts, body: &Body, manifest: &Manifest) -> ImportOpening {
    let manifest = Bytes::from(manifest.encode_to_vec());
    ImportOpening {
        signature: Some(signature(&certs.issuer(&body.uscc()), "manifest", &manifest)),
        manifest,
        ..ImportOpening::default()
    }
}

impl Caller {
    /// Streams an import and reads everything that is said: the last word, if it ended well.
    pub async fn import(&self, opening: ImportOpening, file: &[u8]) -> Result<ImportResponse, Status> {
        let parts = file.chunks(50_000).scan(0, |offset, bytes| {
            let part = ImportPart { offset: *offset, bytes: Bytes::copy_from_slice(bytes) };
            *offset += bytes.len() as u64;
            Some(ImportRequest { message: Some(Up::Part(part)) })
        });
        let first = std::iter::once(ImportRequest { message: Some(Up::Opening(opening)) });
        let messages: Vec<ImportRequest> = first.chain(parts).collect();
        let mut down = self.intake().import(tokio_stream::iter(messages)).await?.into_inner();
        let mut last = None;
        while let Some(response) = down.message().await? {
            last = Some(response);
        }
        last.ok_or_else(|| Status::cancelled("nothing was said"))
    }
}

impl Hub {
    /// Imports a file whole.
    pub async fn import(&self, delivery: &Delivery<'_>) -> Result<ImportResponse, Status> {
        let opening = opening(&self.certs, delivery.body, &delivery.manifest());
        self.caller(delivery.system).import(opening, &delivery.file).await
    }
}

/// The population file's header.
pub const PERSON_HEADER: &str = "holder_code_type,holder_code,name,sex,birth_date,address,division,life_status\n";

/// The n-th resident, the first thousand born on 7 March 1990, the next a day later: identity number and row.
pub fn resident(n: u32, name: &str) -> (String, String) {
    let birth = CalendarDate::new(1990, 3, 7).unwrap().plus_days(i32::try_from(n / 1_000).unwrap()).unwrap();
    let sequence = u16::try_from(n % 1_000).unwrap();
    let id = HolderCode::of_citizen(&CitizenId::make("331099", birth, sequence).unwrap()).code().to_owned();
    let sex = if n % 2 == 1 { "male" } else { "female" };
    let row = format!("111,{id},{name},{sex},{birth},浙江省台州市天台县演示样本路{n}号,331023,alive\n");
    (id, row)
}

/// A population file of these rows.
pub fn people<'a>(scope: ImportScope, rows: &[String], batch: &'a str) -> Delivery<'a> {
    Delivery {
        system: POPULATION,
        body: &POLICE,
        resource: PEOPLE,
        scope,
        format: ImportFormat::CsvUtf8,
        file: format!("{PERSON_HEADER}{}", rows.concat()).into_bytes(),
        rows: rows.len() as u64,
        batch,
    }
}

/// The last chunk's payload and receipt in an import's report.
pub struct Chunk(pub ImportResponse);

impl crate::client::Answered for Chunk {
    fn parts(self) -> (Bytes, Option<wuku::receipt::Receipt>) {
        (self.0.payload, self.0.receipt)
    }
}
