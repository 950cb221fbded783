//! What departments sign: a question so that who asked is proved to third parties; and everything with SM2, by OpenSSL's hand.
use crate::client::{failed, licence, request_id};
use crate::harness::{HUB, Hub};
use crate::world::{
    Body, CIVIL, CONSOLE, DESK, HEALTH, HOLDER, MARKET, PERSON_HEADER, POLICE, POPULATION, REGISTRY, WINDOW, draft,
    opening, order, ordering, people, people_resource, resident, signature,
};
use prost::Message;
use prost::bytes::Bytes;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::process::Command;
use wuku::cli::dev_certs::{Authority, DevCerts, Pair, Validity};
use wuku::clock::Clock;
use wuku::failure::Reason;
use wuku::wire::proto::exchange::v1::LookUpRequest;
use wuku::wire::proto::intake::v1::{ImportOpening, ImportScope};
use wuku::wire::proto::library::v1::DepartmentSignature;
use wuku::wire::proto::licence::v1::{IssueLicenceRequest, OrderAction};
use wuku::wire::proto::receipt::v1::CallerSignature;

#[tokio::test]
async fn a_signed_question_is_proved_and_anothers_signature_is_refused() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    let question = licence(&id, &["holder_name"]).encode_to_vec();
    let signed_by =
        |name: (&str, &str), bytes: &[u8]| caller(signature(&hub.certs.system(name.0, name.1), "question", bytes));
    let window = hub.caller(WINDOW);
    let ask = |caller_signature| {
        let request = LookUpRequest { question: question.clone().into(), caller_signature, ..LookUpRequest::default() };
        let mut client = window.exchange();
        async move { client.look_up(request).await }
    };
    let own = signed_by(WINDOW, &question);
    let answer = window.got(ask(own.clone()).await.unwrap().into_inner());
    assert_eq!(answer.statement.caller_signature, own, "the statement repeats it");
    assert_eq!(failed(ask(signed_by(DESK, &question)).await), Reason::IssuerCertificateUntrusted, "another system's");
    assert_eq!(failed(ask(signed_by(WINDOW, b"other bytes")).await), Reason::SignatureInvalid, "over other bytes");
    assert_eq!(failed(ask(Some(CallerSignature::default())).await), Reason::SignatureInvalid, "no certificate");
    hub.end().await;
}

/// A hub that lists an SM2 CA beside the other one, and SM2 certificates of its departments.
async fn sm2_hub() -> Hub {
    let clock = Clock::system();
    let hub = Hub::tuned(|config| {
        let certs = DevCerts::open(config.issuers.ca_file.parent().unwrap(), &clock);
        certs.make_sm2_authority(HUB).unwrap();
        config.issuers.crl_files.push(certs.crl(Authority::IssuerSm2));
    })
    .await;
    for body in [&MARKET, &HEALTH, &POLICE, &CIVIL] {
        hub.certs.make_issuer_sm2(&body.signer(), Validity::days(&clock, 7)).unwrap();
    }
    hub
}

fn caller(made: DepartmentSignature) -> Option<CallerSignature> {
    Some(CallerSignature { algorithm: made.algorithm, chain: made.chain, value: made.value })
}

/// SM2 with SM3 over `"wuku/<label>/v1" ‖ 0x00 ‖ bytes` as OpenSSL makes it, for a user id.
fn sm2_as(user_id: &str, pair: &Pair, label: &str, bytes: &[u8]) -> DepartmentSignature {
    let folder = tempfile::tempdir().unwrap();
    let (message, value) = (folder.path().join("message"), folder.path().join("value"));
    std::fs::write(&message, [format!("wuku/{label}/v1\0").as_bytes(), bytes].concat()).unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let made = Command::new("openssl")
        .args(["pkeyutl", "-sign", "-rawin", "-digest", "sm3", "-pkeyopt", &format!("distid:{user_id}")])
        .args(["-inkey", &path(&pair.key), "-in", &path(&message), "-out", &path(&value)])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let chain = CertificateDer::pem_file_iter(&pair.certificate).unwrap();
    DepartmentSignature {
        algorithm: "sm2-sm3".into(),
        chain: chain.map(|der| Bytes::copy_from_slice(&der.unwrap())).collect(),
        value: std::fs::read(value).unwrap().into(),
    }
}

fn sm2(hub: &Hub, body: &Body, label: &str, bytes: &[u8]) -> DepartmentSignature {
    sm2_as("1234567812345678", &hub.certs.issuer_sm2(&body.uscc()), label, bytes)
}

#[tokio::test]
async fn a_department_with_an_sm2_certificate_issues_changes_imports_and_asks() {
    let hub = sm2_hub().await;
    hub.grant_food().await;
    let registry = hub.caller(REGISTRY);
    let prepared = registry.prepare(draft()).await.unwrap();
    let signature = Some(sm2(&hub, &MARKET, "licence", &prepared.content));
    let request = IssueLicenceRequest { signature: signature.clone(), ..hub.issuing(&prepared) };
    registry.issue(request).await.unwrap();
    let mut revoke = ordering(&hub.certs, &order(&prepared.licence_id, OrderAction::Revoke));
    revoke.signature = Some(sm2(&hub, &MARKET, "order", &revoke.order));
    registry.change(revoke).await.unwrap();

    hub.caller(CONSOLE).put_resource(people_resource()).await.unwrap();
    let rows: Vec<String> = (1..=3).map(|n| resident(n, "演示").1).collect();
    let file = people(ImportScope::Increment, &rows, "sm2");
    let opening = opening(&hub.certs, &POLICE, &file.manifest());
    let signed = sm2(&hub, &POLICE, "manifest", &opening.manifest);
    let population = hub.caller(POPULATION);
    population.import(ImportOpening { signature: Some(signed), ..opening.clone() }, &file.file).await.unwrap();
    assert!(file.file.starts_with(PERSON_HEADER.as_bytes()));
    let others = sm2(&hub, &HEALTH, "manifest", &opening.manifest);
    let refused = population.import(ImportOpening { signature: Some(others), ..opening }, &file.file).await;
    assert_eq!(failed(refused), Reason::IssuerMismatch);

    let mut whole = licence(&prepared.licence_id, &["holder_name"]);
    whole.complete_licence = true;
    let question = whole.encode_to_vec();
    let window = hub.caller(WINDOW);
    let ask = |caller_signature| {
        let request = LookUpRequest { question: question.clone().into(), caller_signature, ..LookUpRequest::default() };
        let mut client = window.exchange();
        async move { client.look_up(request).await }
    };
    let own = caller(sm2(&hub, &CIVIL, "question", &question));
    let answer = window.got(ask(own.clone()).await.unwrap().into_inner());
    assert_eq!(answer.field("holder_name"), Some(HOLDER.0));
    assert_eq!(answer.statement.caller_signature, own, "who asked is proved to whoever reads the statement");
    let complete = answer.record().complete_licence.clone().unwrap();
    assert_eq!(complete.signature, signature, "the issuer's own signature is handed on");
    let anothers = caller(sm2(&hub, &HEALTH, "question", &question));
    assert_eq!(failed(ask(anothers).await), Reason::IssuerMismatch, "another department's");
    let over_other_bytes = caller(sm2(&hub, &CIVIL, "question", b"other bytes"));
    assert_eq!(failed(ask(over_other_bytes).await), Reason::SignatureInvalid);
    hub.end().await;
}

#[tokio::test]
async fn an_sm2_signature_is_refused_for_what_is_wrong_with_it() {
    let hub = sm2_hub().await;
    hub.grant_food().await;
    let known = hub.issue(draft()).await;
    let registry = hub.caller(REGISTRY);
    let prepared = registry.prepare(draft()).await.unwrap();
    let issue = |signature| {
        let request =
            IssueLicenceRequest { signature: Some(signature), request_id: request_id(), ..hub.issuing(&prepared) };
        let registry = hub.caller(REGISTRY);
        async move { failed(registry.issue(request).await) }
    };
    let good = sm2(&hub, &MARKET, "licence", &prepared.content);
    let as_ = |pair: &Pair, user_id: &str| sm2_as(user_id, pair, "licence", &prepared.content);
    let ours = hub.certs.issuer_sm2(&MARKET.uscc());

    assert_eq!(issue(sm2(&hub, &HEALTH, "licence", &prepared.content)).await, Reason::IssuerMismatch, "wrong USCC");
    assert_eq!(issue(sm2(&hub, &MARKET, "order", &prepared.content)).await, Reason::SignatureInvalid, "label");
    assert_eq!(issue(as_(&ours, "1234567812345679")).await, Reason::SignatureInvalid, "another user id");
    let mut altered = good.value.to_vec();
    *altered.last_mut().unwrap() ^= 1;
    let with = |value: Vec<u8>| DepartmentSignature { value: value.into(), ..good.clone() };
    assert_eq!(issue(with(altered)).await, Reason::SignatureInvalid, "an altered byte");
    assert_eq!(issue(with([&good.value[..], &[0]].concat())).await, Reason::SignatureInvalid, "a trailing byte");
    let raw = wuku::gm::Signature::from_der(&good.value).unwrap().to_raw();
    assert_eq!(issue(with(raw.to_vec())).await, Reason::SignatureInvalid, "another encoding");
    for algorithm in ["ecdsa-p256-sha256", "ed25519", "none"] {
        let renamed = DepartmentSignature { algorithm: algorithm.into(), ..good.clone() };
        assert_eq!(issue(renamed).await, Reason::SignatureInvalid, "{algorithm}");
    }
    let by_p256 = hub.signed(&MARKET, "licence", &prepared.content);
    let renamed = DepartmentSignature { algorithm: "sm2-sm3".into(), ..by_p256 };
    assert_eq!(issue(renamed).await, Reason::SignatureInvalid, "an SM2 signature by another kind of key");

    let clock = Clock::system();
    let foreign = DevCerts::make(&hub.path("foreign"), HUB, &[], &[], &clock).unwrap();
    foreign.make_sm2_authority(HUB).unwrap();
    let theirs = foreign.make_issuer_sm2(&MARKET.signer(), Validity::days(&clock, 7)).unwrap();
    assert_eq!(issue(as_(&theirs, "1234567812345678")).await, Reason::IssuerCertificateUntrusted, "another CA");
    let authority = hub.certs.authority(Authority::IssuerSm2);
    assert_eq!(issue(as_(&authority, "1234567812345678")).await, Reason::IssuerCertificateUntrusted, "the CA itself");
    // A signer is no CA: what it vouches for is vouched for by nobody.
    let mut two = good.clone();
    two.chain.insert(0, sm2_chain_of(&theirs));
    assert_eq!(issue(two).await, Reason::IssuerCertificateUntrusted, "a chain that does not lead up");

    let now_s = clock.now_ms() / 1_000;
    let past = Validity { from_s: now_s - 7_200, to_s: now_s - 3_600 };
    let expired = as_(&hub.certs.make_issuer_sm2(&MARKET.signer(), past).unwrap(), "1234567812345678");
    assert_eq!(issue(expired).await, Reason::IssuerCertificateExpired);
    // The list is read again while the hub runs. A question shows when: it is refused from then on, and issues nothing.
    let serial = DevCerts::serial(&hub.certs.issuer_sm2(&CIVIL.uscc()).certificate).unwrap();
    hub.certs.revoke(Authority::IssuerSm2, &serial).unwrap();
    let question = licence(&known, &["holder_name"]).encode_to_vec();
    let signed = caller(sm2(&hub, &CIVIL, "question", &question));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let request = LookUpRequest {
            question: question.clone().into(),
            caller_signature: signed.clone(),
            ..LookUpRequest::default()
        };
        let found = hub.caller(WINDOW).exchange().look_up(request).await;
        match found {
            Err(status) if crate::client::reason(&status) == Reason::IssuerCertificateRevoked => break,
            _ => assert!(std::time::Instant::now() < until, "never refused"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // Whoever is not on the list signs on.
    hub.caller(REGISTRY).issue(IssueLicenceRequest { signature: Some(good), ..hub.issuing(&prepared) }).await.unwrap();
    hub.end().await;
}

fn sm2_chain_of(pair: &Pair) -> Bytes {
    Bytes::copy_from_slice(&CertificateDer::from_pem_file(&pair.certificate).unwrap())
}
