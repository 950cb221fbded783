//! Every rpc of the contract, once, on its good path; the hub's own metrics say that none was left out.
use crate::client::{Caller, administration, by_key, citizen, context, licence, person, request_id};
use crate::harness::Hub;
use crate::receipt::{accesses, published};
use crate::seals::{SEAL, Sealed, uses_of};
use crate::world::{
    AUDIT_ADMIN, AUDITOR, CONSOLE, DESK, FOOD, MARKET, PEOPLE, POPULATION, REGISTRY, WINDOW, draft, full_grant, people,
    people_resource, resident,
};
use prost::Message;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use wuku::receipt::{Outcome, evidence};
use wuku::wire::DESCRIPTORS;
use wuku::wire::proto::catalogue::v1::{
    ListDepartmentsRequest, ListGrantsRequest, ListResourcesRequest, ListSystemsRequest, QuestionKind, Resource,
    WhoAmIRequest,
};
use wuku::wire::proto::exchange::v1::area_question::Where;
use wuku::wire::proto::exchange::v1::derive_question::Fact;
use wuku::wire::proto::exchange::v1::{AreaQuestion, DeriveQuestion, HolderQuestion, LicenceValidOn, MatchQuestion};
use wuku::wire::proto::intake::v1::{
    GetImportRequest, ImportPhase, ImportScope, ListQuarantineRequest, ReleaseImportRequest,
};
use wuku::wire::proto::library::v1::{Library, Point, record_key::Key};
use wuku::wire::proto::licence::v1::{DistrustIssuerKeyRequest, ListLicenceTypesRequest, OrderAction};
use wuku::wire::proto::receipt::v1::{
    GetConsistencyProofRequest, GetInclusionProofRequest, GetTrustRequest, ListEntriesRequest, VerifyEvidenceRequest,
};
use wuku::wire::proto::seal::v1::{ListSealsRequest, WatchSealUsesRequest};

#[tokio::test]
async fn every_rpc_answers() {
    let sealed = Sealed::new().await;
    let hub = &sealed.hub; // PutDepartment, PutSystem, PutResource, PutLicenceType
    let (console, window, desk) = (hub.caller(CONSOLE), hub.caller(WINDOW), hub.caller(DESK));
    intake(hub).await;
    licences(hub).await;
    seals(&sealed).await;
    let grant = hub.grant_food().await; // ApplyGrant, DecideGrant
    hub.grant(WINDOW, full_grant(PEOPLE, &["name"])).await;
    let id = hub.issue(draft()).await;
    let features = Resource { code: "features".into(), library: Library::Geospatial as i32, ..people_resource() };
    console.put_resource(features).await.unwrap();
    let mut area = full_grant("features", &["name"]);
    (area.kinds, area.facts) = (vec![QuestionKind::Area as i32], vec![]);
    hub.grant(WINDOW, area).await;
    questions(&window, &id).await;
    proofs(hub, &window, &id).await;
    let catalogue = || desk.catalogue();
    catalogue().who_am_i(WhoAmIRequest {}).await.unwrap();
    catalogue().list_departments(ListDepartmentsRequest::default()).await.unwrap();
    catalogue().list_systems(ListSystemsRequest::default()).await.unwrap();
    catalogue().list_resources(ListResourcesRequest::default()).await.unwrap();
    catalogue().list_grants(ListGrantsRequest::default()).await.unwrap();
    desk.licence().list_licence_types(ListLicenceTypesRequest::default()).await.unwrap();
    console.withdraw(&grant, "用毕").await.unwrap();
    hub.order(&id, OrderAction::Cancel).await;

    desk.judge(b"%PDF-1.7").await.unwrap();

    let metrics = hub.admin("/metrics").await;
    let answered: BTreeSet<String> = metrics
        .lines()
        .filter(|line| line.starts_with("grpc_server_handled_total") && line.contains("grpc_code=\"OK\""))
        .filter_map(|line| {
            let of = |label: &str| line.split_once(&format!("{label}=\""))?.1.split('"').next();
            Some(format!("{}/{}", of("grpc_service")?, of("grpc_method")?))
        })
        .collect();
    let descriptors: prost_types::FileDescriptorSet = prost::Message::decode(DESCRIPTORS).unwrap();
    let mut rpcs = 0;
    for file in &descriptors.file {
        for service in &file.service {
            for method in &service.method {
                rpcs += 1;
                let rpc = format!("{}.{}/{}", file.package(), service.name(), method.name());
                assert!(answered.contains(&rpc), "{rpc} was not answered; {answered:?}");
            }
        }
    }
    assert_eq!(rpcs, wuku::policy::Operation::ALL.len(), "every rpc is an operation of the permission table");
    sealed.hub.end().await;
}

/// Watching ends well with its deadline.
async fn seals(sealed: &Sealed) {
    sealed.bound().await;
    let registry = sealed.hub.caller(REGISTRY);
    registry.seals().list_seals(ListSealsRequest::default()).await.unwrap();
    registry.seal_uses(SEAL, 0, 0).await.unwrap();
    let question = uses_of(SEAL).encode_to_vec().into();
    let mut request = tonic::Request::new(WatchSealUsesRequest { question });
    request.set_timeout(std::time::Duration::from_millis(600));
    let mut watched = registry.seals().watch_seal_uses(request).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().is_none(), "no use yet, and a good end");
}

async fn intake(hub: &Hub) {
    let (console, police) = (hub.caller(CONSOLE), hub.caller(POPULATION));
    console.put_resource(people_resource()).await.unwrap();
    let rows: Vec<String> = (1..=40).map(|n| resident(n, "演示样本甲").1).collect();
    hub.import(&people(ImportScope::Snapshot, &rows, "1")).await.unwrap();
    let held = hub.import(&people(ImportScope::Snapshot, &rows[..5], "2")).await.unwrap();
    assert_eq!(held.phase(), ImportPhase::Held);
    let import_id = held.import_id;
    police.intake().get_import(GetImportRequest { import_id: import_id.clone() }).await.unwrap();
    let ask = ListQuarantineRequest { import_id: import_id.clone(), ..ListQuarantineRequest::default() };
    police.intake().list_quarantine(ask).await.unwrap();
    let release = ReleaseImportRequest { request_id: request_id(), import_id, purpose: Some(administration()) };
    console.got(console.intake().release_import(release).await.unwrap().into_inner());
}

async fn licences(hub: &Hub) {
    let registry = hub.caller(REGISTRY);
    let prepared = registry.prepare(draft()).await.unwrap();
    registry.issue(hub.issuing(&prepared)).await.unwrap();
    hub.order(&prepared.licence_id, OrderAction::Suspend).await;
    let certificate = std::fs::read(hub.certs.issuer(&MARKET.uscc()).certificate).unwrap();
    let der = CertificateDer::from_pem_slice(&certificate).unwrap();
    for trusted_again in [false, true] {
        let request = DistrustIssuerKeyRequest {
            request_id: request_id(),
            certificate_sha256: prost::bytes::Bytes::copy_from_slice(&Sha256::digest(&der)),
            document_number: "演数〔2026〕9号".into(),
            reason: "核查".into(),
            trusted_again,
            purpose: Some(administration()),
        };
        hub.caller(CONSOLE).licence().distrust_issuer_key(request).await.unwrap();
    }
}

async fn questions(window: &Caller, id: &str) {
    let found = window.look_up(&licence(id, &["number"])).await.unwrap();
    assert_eq!(found.outcome(), Outcome::Found);
    let batch = [licence(id, &[]), person(&resident(1, "").0, &["name"]), by_key(Key::FeatureCode("f".into()), &[])];
    window.batch(&batch).await.unwrap();
    let holder = Some(citizen(&resident(1, "").0));
    let asked = MatchQuestion { context: Some(context()), holder: holder.clone(), name: "演示样本甲".into() };
    window.r#match(&asked).await.unwrap();
    let fact = Fact::LicenceValidOn(LicenceValidOn { licence_id: id.into(), day: None });
    window.derive(&DeriveQuestion { context: Some(context()), fact: Some(fact) }).await.unwrap();
    let asked = HolderQuestion { context: Some(context()), holder, ..HolderQuestion::default() };
    window.holder(&asked).await.unwrap();
    let point = Where::Point(Point { longitude_e9: 121_050_000_000, latitude_e9: 29_050_000_000 });
    let asked = AreaQuestion { context: Some(context()), r#where: Some(point), ..AreaQuestion::default() };
    window.area(&asked).await.unwrap();
}

async fn proofs(hub: &Hub, window: &Caller, id: &str) {
    let answer = window.look_up(&licence(id, &[])).await.unwrap();
    let leaf_index = answer.receipt().leaf_index;
    let new = published(window, leaf_index + 1).await;
    let receipt = || window.receipt();
    receipt().get_trust(GetTrustRequest {}).await.unwrap();
    receipt().list_entries(ListEntriesRequest { start: 0, count: 10 }).await.unwrap();
    receipt().get_inclusion_proof(GetInclusionProofRequest { leaf_index, size: new.size }).await.unwrap();
    let ask = GetConsistencyProofRequest { old_size: 3, new_size: new.size };
    receipt().get_consistency_proof(ask).await.unwrap();
    let evidence_json = evidence::to_json(&answer.evidence).into();
    assert!(receipt().verify_evidence(VerifyEvidenceRequest { evidence_json }).await.unwrap().into_inner().good);
    for name in [AUDITOR, AUDIT_ADMIN] {
        let auditor = hub.caller(name);
        auditor.got(auditor.receipt().list_accesses(accesses("resource", FOOD)).await.unwrap().into_inner());
    }
}
