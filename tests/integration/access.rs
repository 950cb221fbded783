//! Who may ask: roles, grants, systems and certificates that lose their standing, and the limits of the edge.
use crate::client::{administration, failed, licence, reason, request_id};
use crate::harness::{HUB, Hub};
use crate::world::{
    AUDIT_ADMIN, AUDITOR, Body, CIVIL, CLINICS, CONSOLE, DESK, FOOD, FOOD_FIELDS, MARKET, REGISTRY, SECURITY_ADMIN,
    STRANGER, SYSTEM_ADMIN, SYSTEMS, WINDOW, draft, food_licence, food_resource, full_grant, people_resource, refused,
    system, uri,
};
use futures_util::StreamExt;
use prost::Message;
use prost::bytes::Bytes;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use wuku::cli::dev_certs::{Authority, DevCerts, Validity};
use wuku::clock::Clock;
use wuku::failure::Reason;
use wuku::receipt::Outcome;
use wuku::wire::proto::catalogue::v1::{
    Grant, GrantMode, GrantState, ListDepartmentsRequest, ListGrantsRequest, ListResourcesRequest, ListSystemsRequest,
    QuestionKind, Role, SharingClass, System, WhoAmIRequest,
};
use wuku::wire::proto::exchange::v1::LookUpRequest;
use wuku::wire::proto::library::v1::{IssuerStanding, LicenceState};
use wuku::wire::proto::licence::v1::{DistrustIssuerKeyRequest, ListLicenceTypesRequest};
use wuku::wire::proto::receipt::v1::{Purpose, PurposeKind};

/// How soon who lost trust must get nothing more.
const WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_withdrawn_grant_answers_nothing_more_and_the_refusal_is_recorded() {
    let hub = Hub::new().await;
    let id = hub.issue(draft()).await;
    let (window, console) = (hub.caller(WINDOW), hub.caller(CONSOLE));
    assert_eq!(refused(&window, window.look_up(&licence(&id, &[])).await), Reason::PurposeNotGranted);
    let (grant, state) = window.apply(full_grant(FOOD, &FOOD_FIELDS)).await.unwrap();
    assert_eq!(state, GrantState::Applied, "a conditional resource is decided by its source");
    assert_eq!(refused(&window, window.look_up(&licence(&id, &[])).await), Reason::PurposeNotGranted);
    hub.caller(REGISTRY).decide(&grant, true, "").await.unwrap();
    let answer = window.look_up(&licence(&id, &[])).await.unwrap();
    assert_eq!(answer.statement.grant.as_ref().map(|g| g.id.as_str()), Some(grant.as_str()));
    console.withdraw(&grant, "到期清理").await.unwrap();
    assert_eq!(refused(&window, window.look_up(&licence(&id, &[])).await), Reason::PurposeNotGranted);
    assert_eq!(failed(console.withdraw(&grant, "again").await), Reason::TransitionNotAllowed);
    assert_eq!(failed(console.decide(&grant, true, "").await), Reason::TransitionNotAllowed);
    hub.end().await;
}

#[tokio::test]
async fn a_grant_is_found_among_any_number_that_have_ended() {
    let hub = Hub::new().await;
    let id = hub.issue(draft()).await;
    let window = hub.caller(WINDOW);
    hub.grant_food().await;
    let ended = (0..150).map(|_| async {
        let (grant, _) = window.apply(full_grant(FOOD, &FOOD_FIELDS)).await.unwrap();
        window.withdraw(&grant, "用毕").await.unwrap();
    });
    futures_util::stream::iter(ended).for_each_concurrent(32, |done| done).await;
    window.look_up(&licence(&id, &["number"])).await.unwrap();
    let who = window.catalogue().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!(who.grants_in_force, 1);
    hub.end().await;
}

#[tokio::test]
async fn a_grant_covers_what_it_names_and_nothing_beside_it() {
    let hub = Hub::new().await;
    let id = hub.issue(draft()).await;
    let window = hub.caller(WINDOW);
    let mut narrow = full_grant(FOOD, &["number"]);
    narrow.kinds = vec![QuestionKind::LookUp as i32];
    narrow.facts.clear();
    hub.grant(WINDOW, narrow).await;
    let question = licence(&id, &["number"]);
    assert_eq!(window.look_up(&question).await.unwrap().field("number"), Some("JY13310990000017"));
    let with = |change: &dyn Fn(&mut Purpose)| {
        let mut question = licence(&id, &["number"]);
        change(question.context.as_mut().unwrap().purpose.as_mut().unwrap());
        question
    };
    for wrong in [
        licence(&id, &["number", "holder_name"]),
        with(&|purpose| purpose.item = "331023000002".into()),
        with(&|purpose| purpose.kind = PurposeKind::PreCheck as i32),
        with(&|purpose| purpose.kind = PurposeKind::Audit as i32),
    ] {
        assert_eq!(refused(&window, window.look_up(&wrong).await), Reason::PurposeNotGranted);
    }
    hub.end().await;
}

#[tokio::test]
async fn an_application_is_checked_whole_and_an_unconditional_one_is_granted_by_rule() {
    let hub = Hub::new().await;
    let (console, window) = (hub.caller(CONSOLE), hub.caller(WINDOW));
    let status = window.apply(Grant { resource: FOOD.into(), ..Grant::default() }).await.unwrap_err();
    let missing = ["kinds", "mode", "purposes", "legal_basis"].map(|f| format!("grant.{f}"));
    assert_eq!(crate::client::blamed(&status), missing.into());
    assert_eq!(failed(window.apply(full_grant(FOOD, &["shoe_size"])).await), Reason::FieldUnknown);
    assert_eq!(failed(window.apply(full_grant("no-such", &[])).await), Reason::ResourceUnknown);
    let mut others = full_grant(FOOD, &["number"]);
    others.system = uri(DESK);
    assert_eq!(failed(window.apply(others).await), Reason::RoleNotAllowed, "nobody applies for another");

    let mut open = food_resource();
    (open.version, open.sharing_class, open.sharing_condition) = (1, SharingClass::Unconditional as i32, String::new());
    console.put_resource(open.clone()).await.unwrap();
    let (_, state) = window.apply(full_grant(FOOD, &["number"])).await.unwrap();
    assert_eq!(state, GrantState::Granted);
    let id = hub.issue(draft()).await;
    window.look_up(&licence(&id, &["number"])).await.unwrap();

    // Closed later: what was granted opens nothing any more.
    let closed = wuku::wire::proto::catalogue::v1::Resource {
        version: 2,
        sharing_class: SharingClass::NotShared as i32,
        sharing_condition: "《保守国家秘密法》".into(),
        ..open
    };
    console.put_resource(closed).await.unwrap();
    assert_eq!(refused(&window, window.look_up(&licence(&id, &["number"])).await), Reason::PurposeNotGranted);
    assert_eq!(failed(window.apply(full_grant(FOOD, &["number"])).await), Reason::ResourceNotShared);
    hub.end().await;
}

#[tokio::test]
async fn a_quota_is_used_up_and_says_when_to_return() {
    let hub = Hub::new().await;
    let id = hub.issue(draft()).await;
    let mut small = full_grant(FOOD, &FOOD_FIELDS);
    small.quota_per_day = 2;
    hub.grant(WINDOW, small).await;
    let window = hub.caller(WINDOW);
    for _ in 0..2 {
        window.look_up(&licence(&id, &[])).await.unwrap();
    }
    let status = window.look_up(&licence(&id, &[])).await.unwrap_err();
    assert_eq!(reason(&status), Reason::QuotaExceeded);
    assert!(tonic_types::StatusExt::get_details_retry_info(&status).is_some());
    hub.end().await;
}

#[tokio::test]
async fn each_role_does_its_own_and_the_three_administrators_are_kept_apart() {
    let hub = Hub::new().await;
    let id = hub.issue(draft()).await;
    let console = hub.caller(CONSOLE);
    for (name, _) in SYSTEMS.iter().filter(|(name, _)| ![WINDOW, DESK].contains(name)) {
        let caller = hub.caller(*name);
        assert_eq!(refused(&caller, caller.look_up(&licence(&id, &[])).await), Reason::RoleNotAllowed, "{name:?}");
    }
    for name in [REGISTRY, WINDOW, AUDITOR, SYSTEM_ADMIN, SECURITY_ADMIN, AUDIT_ADMIN] {
        let caller = hub.caller(name);
        assert_eq!(refused(&caller, caller.put_resource(people_resource()).await), Reason::RoleNotAllowed, "{name:?}");
    }
    for (one, other) in [
        (Role::SystemAdministrator, Role::SecurityAdministrator),
        (Role::SystemAdministrator, Role::AuditAdministrator),
        (Role::SecurityAdministrator, Role::AuditAdministrator),
    ] {
        let both = system(("authority", "both"), &[one, other]);
        assert_eq!(failed(console.put_system(both).await), Reason::RolesNotSeparate);
    }
    // A system administrator registers and enables; a security administrator shuts out and does no more.
    let (systems, security) = (hub.caller(SYSTEM_ADMIN), hub.caller(SECURITY_ADMIN));
    let fresh = system(("tax", "fresh"), &[Role::Consumer]);
    systems.put_system(fresh.clone()).await.unwrap();
    let shut = System { enabled: false, version: 1, ..fresh.clone() };
    security.put_system(shut.clone()).await.unwrap();
    let opened = System { enabled: true, version: 2, ..fresh.clone() };
    assert_eq!(failed(security.put_system(opened.clone()).await), Reason::RoleNotAllowed);
    let raised = System { roles: vec![Role::DataAuthority as i32], version: 2, ..shut };
    assert_eq!(failed(security.put_system(raised).await), Reason::RoleNotAllowed);
    assert_eq!(failed(systems.put_system(fresh).await), Reason::StateChangedMeanwhile, "names the version it follows");
    systems.put_system(opened).await.unwrap();
    assert_eq!(
        failed(console.put_system(system(("no-such", "x"), &[Role::Consumer])).await),
        Reason::DepartmentUnknown
    );
    hub.end().await;
}

#[tokio::test]
async fn a_disabled_system_gets_nothing_more_on_a_live_connection_not_even_what_it_had_before() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    let window = hub.caller(WINDOW);
    let ask = LookUpRequest {
        question: licence(&id, &["number"]).encode_to_vec().into(),
        request_id: request_id(),
        ..LookUpRequest::default()
    };
    window.exchange().look_up(ask.clone()).await.unwrap();
    let shut = System { enabled: false, version: 1, ..system(WINDOW, &[Role::Consumer]) };
    hub.caller(SECURITY_ADMIN).put_system(shut).await.unwrap();
    let status = window.look_up(&licence(&id, &["number"])).await.unwrap_err();
    assert_eq!(window.refused(&status).0, Reason::SystemDisabled, "at the very next question");
    let repeated = window.exchange().look_up(ask).await.map(|r| window.got(r.into_inner()));
    assert_eq!(failed(repeated), Reason::SystemDisabled, "a repeat is an answer too");
    assert_eq!(failed(window.catalogue().who_am_i(WhoAmIRequest {}).await), Reason::SystemDisabled);
    let stranger = hub.caller(STRANGER);
    assert_eq!(refused(&stranger, stranger.look_up(&licence(&id, &[])).await), Reason::SystemDisabled);
    hub.end().await;
}

#[tokio::test]
async fn a_system_with_pinned_certificates_is_known_by_those_only() {
    let hub = Hub::new().await;
    let desk = hub.caller(DESK);
    let fingerprint = |pair: &wuku::cli::dev_certs::Pair| {
        let der = CertificateDer::from_pem_slice(&std::fs::read(&pair.certificate).unwrap()).unwrap();
        Bytes::copy_from_slice(&Sha256::digest(&der))
    };
    let pinned = System {
        certificate_sha256: vec![fingerprint(&hub.certs.system(DESK.0, DESK.1))],
        version: 1,
        ..system(DESK, &[Role::Consumer])
    };
    hub.caller(CONSOLE).put_system(pinned).await.unwrap();
    desk.catalogue().who_am_i(WhoAmIRequest {}).await.unwrap();
    // The same name in another certificate of the same authority.
    let other = hub.certs.make_system(HUB, DESK.0, DESK.1, Validity::days(&Clock::system(), 7)).unwrap();
    let other = hub.caller_with(DESK, other);
    assert_eq!(failed(other.catalogue().who_am_i(WhoAmIRequest {}).await), Reason::SystemDisabled);
    hub.end().await;
}

#[tokio::test]
async fn a_revoked_certificate_gets_nothing_within_five_seconds_on_a_live_connection() {
    let hub = Hub::new().await;
    let window = hub.caller(WINDOW);
    window.catalogue().who_am_i(WhoAmIRequest {}).await.unwrap();
    let serial = DevCerts::serial(&hub.certs.system(WINDOW.0, WINDOW.1).certificate).unwrap();
    hub.certs.revoke(Authority::Client, &serial).unwrap();
    tokio::time::sleep(WITHIN).await;
    assert_eq!(failed(window.catalogue().who_am_i(WhoAmIRequest {}).await), Reason::CertificateRevoked);
    hub.caller(DESK).catalogue().who_am_i(WhoAmIRequest {}).await.unwrap();
    let again = hub.caller(WINDOW).catalogue().who_am_i(WhoAmIRequest {}).await.unwrap_err();
    assert!(tonic_types::StatusExt::get_details_error_info(&again).is_none(), "no TLS, no status of ours: {again:?}");
    hub.end().await;
}

#[tokio::test]
async fn a_certificate_that_expires_on_a_live_connection_is_nobodys() {
    let hub = Hub::new().await;
    let now_s = Clock::system().now_ms() / 1_000;
    let short = Validity { from_s: now_s - 60, to_s: now_s + 3 };
    let desk = hub.caller_with(DESK, hub.certs.make_system(HUB, DESK.0, DESK.1, short).unwrap());
    desk.catalogue().who_am_i(WhoAmIRequest {}).await.unwrap();
    tokio::time::sleep(Duration::from_millis(4_200)).await;
    assert_eq!(failed(desk.catalogue().who_am_i(WhoAmIRequest {}).await), Reason::CallerUnknown);
    hub.end().await;
}

#[tokio::test]
async fn licences_of_a_distrusted_key_are_found_with_a_word_of_warning() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    let (window, registry, security) = (hub.caller(WINDOW), hub.caller(REGISTRY), hub.caller(SECURITY_ADMIN));
    let certificate = hub.certs.issuer(&MARKET.uscc()).certificate;
    let der = CertificateDer::from_pem_slice(&std::fs::read(certificate).unwrap()).unwrap();
    let distrust = |trusted_again| DistrustIssuerKeyRequest {
        request_id: request_id(),
        certificate_sha256: Bytes::copy_from_slice(&Sha256::digest(&der)),
        document_number: "演数〔2026〕9号".into(),
        reason: "私钥疑似泄露".into(),
        trusted_again,
        purpose: Some(administration()),
    };
    let prepared = registry.prepare(draft()).await.unwrap();
    let told = security.licence().distrust_issuer_key(distrust(false)).await.unwrap().into_inner();
    security.got(told);
    let answer = window.look_up(&licence(&id, &["number"])).await.unwrap();
    assert_eq!(answer.outcome(), Outcome::Found);
    let standing = answer.record().licence.clone().unwrap();
    assert_eq!((standing.issuer_standing(), standing.state()), (IssuerStanding::IssuerDistrusted, LicenceState::Valid));
    assert_eq!(failed(registry.issue(hub.issuing(&prepared)).await), Reason::IssuerDistrusted);
    security.licence().distrust_issuer_key(distrust(true)).await.unwrap();
    let answer = window.look_up(&licence(&id, &["number"])).await.unwrap();
    assert_eq!(answer.record().licence.clone().unwrap().issuer_standing(), IssuerStanding::Good);
    registry.issue(hub.issuing(&prepared)).await.unwrap();
    hub.end().await;
}

#[tokio::test]
async fn lists_are_paged_and_show_what_the_caller_may_see() {
    let hub = Hub::new().await;
    let grant = hub.grant_food().await;
    let (window, desk, auditor) = (hub.caller(WINDOW), hub.caller(DESK), hub.caller(AUDITOR));
    let mut codes = Vec::new();
    let mut page = ListDepartmentsRequest { page_size: 3, ..ListDepartmentsRequest::default() };
    loop {
        let response = window.catalogue().list_departments(page.clone()).await.unwrap().into_inner();
        assert!(response.departments.len() <= 3);
        codes.extend(response.departments.into_iter().map(|d| d.code));
        if response.next_page_token.is_empty() {
            break;
        }
        page.page_token = response.next_page_token;
    }
    codes.sort_unstable();
    let mut expected = crate::world::BODIES.map(|b: Body| b.code);
    expected.sort_unstable();
    assert_eq!(codes, expected);
    assert_eq!(failed(desk.catalogue().list_departments(page).await), Reason::RequestMalformed, "another's token");

    let all = ListSystemsRequest { page_size: 200, ..ListSystemsRequest::default() };
    let seen = async |caller: &crate::client::Caller| {
        caller.catalogue().list_systems(all.clone()).await.unwrap().into_inner().systems.len()
    };
    assert_eq!(seen(&auditor).await, SYSTEMS.len() + 1);
    assert_eq!(seen(&window).await, 1, "its own department's");
    let resources = window.catalogue().list_resources(ListResourcesRequest::default()).await.unwrap().into_inner();
    assert_eq!(resources.resources[0].code, FOOD);
    let types = window.licence().list_licence_types(ListLicenceTypesRequest::default()).await.unwrap().into_inner();
    assert_eq!(types.licence_types[0].type_code, food_licence().type_code);

    let of = |system: &str, resource: &str| ListGrantsRequest {
        system: system.into(),
        resource: resource.into(),
        ..ListGrantsRequest::default()
    };
    let own = window.catalogue().list_grants(of("", "")).await.unwrap().into_inner().grants;
    assert_eq!((own.len(), own[0].id.as_str(), own[0].mode()), (1, grant.as_str(), GrantMode::Full));
    let on_mine = hub.caller(REGISTRY).catalogue().list_grants(of("", FOOD)).await.unwrap().into_inner().grants;
    assert_eq!(on_mine.len(), 1);
    assert_eq!(failed(desk.catalogue().list_grants(of(&uri(WINDOW), "")).await), Reason::RoleNotAllowed);
    assert_eq!(failed(hub.caller(CLINICS).catalogue().list_grants(of("", FOOD)).await), Reason::RoleNotAllowed);
    let who = window.catalogue().who_am_i(WhoAmIRequest {}).await.unwrap().into_inner();
    assert_eq!((who.grants_in_force, who.hub.as_str(), who.department.unwrap().code.as_str()), (1, HUB, CIVIL.code));
    assert_eq!(who.system.unwrap().uri, uri(WINDOW));
    hub.end().await;
}

#[tokio::test]
async fn health_and_reflection_are_for_authenticated_callers() {
    let hub = Hub::new().await;
    let desk = hub.caller(DESK);
    let health = HealthClient::new(desk.channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status(), ServingStatus::Serving);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asked = tokio_stream::iter([ask]);
    let mut said =
        ServerReflectionClient::new(desk.channel.clone()).server_reflection_info(asked).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(services)) = said.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services")
    };
    let services: Vec<String> = services.service.into_iter().map(|s| s.name).collect();
    for service in
        ["wuku.exchange.v1.ExchangeService", "wuku.licence.v1.LicenceService", "wuku.catalogue.v1.CatalogueService"]
    {
        assert!(services.iter().any(|s| s == service), "{services:?}");
    }
    drop(said);
    // Who has no certificate does not even learn that much.
    let mut bare = hub.endpoint(hub.certs.system(DESK.0, DESK.1));
    let foreign = DevCerts::make(&hub.path("foreign"), HUB, &[DESK], &[], &Clock::system()).unwrap();
    (bare.certificate, bare.key) = (foreign.system(DESK.0, DESK.1).certificate, foreign.system(DESK.0, DESK.1).key);
    let channel = bare.endpoint().unwrap().connect_lazy();
    HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap_err();
    assert!(hub.admin("/readyz").await.starts_with("HTTP/1.1 200"));
    hub.end().await;
}

#[tokio::test]
async fn too_large_too_late_and_too_many_are_told_apart() {
    let hub = Hub::tuned(|config| {
        config.limits.in_flight_max = 12;
        config.limits.message_bytes_max = 64 << 10;
        config.limits.deadline_reserve_ms = 100;
    })
    .await;
    hub.grant_food().await;
    let window = hub.caller(WINDOW);
    let large = LookUpRequest { question: vec![0; 65 << 10].into(), ..LookUpRequest::default() };
    let status = window.exchange().look_up(large).await.unwrap_err();
    assert!(
        [tonic::Code::OutOfRange, tonic::Code::ResourceExhausted].contains(&status.code()),
        "refused by its length, unread: {status:?}"
    );
    let mut hasty = tonic::Request::new(WhoAmIRequest {});
    hasty.metadata_mut().insert("grpc-timeout", "50m".parse().unwrap());
    assert_eq!(failed(window.catalogue().who_am_i(hasty).await), Reason::DeadlineTooShort);
    // The limit counts calls over all connections; streams hold their place. One department gets three quarters of the places.
    let mut watching = Vec::new();
    let status = loop {
        let mut health = HealthClient::new(hub.caller(DESK).channel);
        match health.watch(HealthCheckRequest::default()).await {
            Ok(stream) => watching.push(stream.into_inner()),
            Err(status) => break status,
        }
    };
    assert_eq!((watching.len(), reason(&status)), (9, Reason::HubOverloaded));
    assert!(status.metadata().contains_key("grpc-retry-pushback-ms"));
    hub.caller(CONSOLE).catalogue().who_am_i(WhoAmIRequest {}).await.unwrap();
    drop(watching);
    tokio::time::sleep(Duration::from_millis(300)).await;
    hub.caller(DESK).catalogue().who_am_i(WhoAmIRequest {}).await.unwrap();
    hub.end().await;
}
