//! Licences by the file: each stands as if issued alone, and each bad one has the reason the single road gives.
use crate::client::{administration, citizen, context, failed, licence, request_id};
use crate::harness::{HUB, Hub};
use crate::world::{
    CLINICS, Chunk, Delivery, FOOD, HEALTH, MARKET, REGISTRY, SECURITY_ADMIN, WINDOW, department, draft, food_licence,
    opening, resident, signature,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message;
use std::time::Duration;
use wuku::cli::dev_certs::{DevCerts, Validity};
use wuku::cli::sign::DepartmentKey;
use wuku::clock::Clock;
use wuku::failure::Reason;
use wuku::library::codes::{LicenceId, LicenceTypeCode, Uscc};
use wuku::library::licence::{SignedThing, content_of};
use wuku::log::SuiteName;
use wuku::receipt::Outcome;
use wuku::wire::proto::exchange::v1::HolderQuestion;
use wuku::wire::proto::intake::v1::{
    GetImportRequest, ImportFormat, ImportPhase, ImportResponse, ImportScope, ListQuarantineRequest,
};
use wuku::wire::proto::library::v1::{DepartmentSignature, LicenceState};
use wuku::wire::proto::licence::v1::{DistrustIssuerKeyRequest, Holder, LicenceContent, OrderAction};

const HEADER: &str = "content,signature,algorithm,certificates\n";

/// The n-th licence: its identifier and what its authority signs.
fn content(n: u32) -> LicenceContent {
    let type_code = LicenceTypeCode::parse(&food_licence().type_code).unwrap();
    let id = LicenceId::make(&type_code, &Uscc::parse(&MARKET.uscc()).unwrap(), &format!("OLD{n:07}"), 1).unwrap();
    let mut draft = draft();
    draft.number = format!("JY1331099{n:07}");
    draft.holders = vec![Holder { code: Some(citizen(&resident(n, "").0)), name: "演示样本甲".into() }];
    content_of(&draft, &food_licence(), &department(&MARKET), HUB, &id.to_string()).unwrap()
}

/// A row of the file.
fn row(content: &[u8], signature: &DepartmentSignature) -> String {
    let chain: Vec<String> = signature.chain.iter().map(|der| BASE64.encode(der)).collect();
    let (content, value) = (BASE64.encode(content), BASE64.encode(&signature.value));
    format!("{content},{value},{},{}\n", signature.algorithm, chain.join(" "))
}

fn key(hub: &Hub) -> DepartmentKey {
    let pair = hub.certs.issuer(&MARKET.uscc());
    DepartmentKey::load(&pair.key, &pair.certificate).unwrap()
}

/// A row as the market authority signs it.
fn signed(key: &DepartmentKey, licence: &LicenceContent) -> String {
    let content = licence.encode_to_vec();
    row(&content, &key.sign(SignedThing::Licence, &content).unwrap())
}

fn delivery<'a>(rows: &[String], batch: &'a str) -> Delivery<'a> {
    Delivery {
        system: REGISTRY,
        body: &MARKET,
        resource: FOOD,
        scope: ImportScope::Increment,
        format: ImportFormat::CsvUtf8,
        file: format!("{HEADER}{}", rows.concat()).into_bytes(),
        rows: rows.len() as u64,
        batch,
    }
}

/// The refused rows of an import: number, field and reason of the first fault.
async fn refused(hub: &Hub, report: &ImportResponse) -> Vec<(u64, String)> {
    let ask = ListQuarantineRequest { import_id: report.import_id.clone(), page_size: 100, after_row: 0 };
    let rows = hub.caller(REGISTRY).intake().list_quarantine(ask).await.unwrap().into_inner().rows;
    rows.iter().map(|row| (row.row, row.faults[0].reason.clone())).collect()
}

#[tokio::test]
async fn a_licence_of_a_file_stands_as_if_it_had_been_issued_alone() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let key = key(&hub);
    let licences: Vec<LicenceContent> = (1..=300).map(content).collect();
    let rows: Vec<String> = licences.iter().map(|licence| signed(&key, licence)).collect();
    let report = hub.import(&delivery(&rows, "1")).await.unwrap();
    assert_eq!((report.phase(), report.rows_applied, report.rows_quarantined), (ImportPhase::Done, 300, 0));
    hub.caller(REGISTRY).got(Chunk(report));

    let window = hub.caller(WINDOW);
    let id = &licences[7].licence_id;
    let mut question = licence(id, &["number", "holder_name", "premises"]);
    question.complete_licence = true;
    let answer = window.look_up(&question).await.unwrap();
    assert_eq!((answer.outcome(), answer.field("number")), (Outcome::Found, Some("JY13310990000008")));
    let record = answer.record();
    assert_eq!(record.licence.as_ref().unwrap().state(), LicenceState::Valid);
    let whole = record.complete_licence.clone().unwrap();
    assert_eq!(whole.content, licences[7].encode_to_vec());
    let by_holder = HolderQuestion {
        context: Some(context()),
        holder: Some(citizen(&resident(8, "").0)),
        fields: vec!["licence_id".into()],
        ..HolderQuestion::default()
    };
    let found = window.holder(&by_holder).await.unwrap();
    assert_eq!((found.len(), found[0].field("licence_id")), (1, Some(id.as_str())));

    // What was issued so is changed by order like any other; the file again says nothing new, not even of the revoked one.
    hub.order(id, OrderAction::Revoke).await;
    let again = hub.import(&delivery(&rows, "2")).await.unwrap();
    assert_eq!((again.rows_applied, again.rows_unchanged, again.rows_quarantined), (0, 300, 0));
    let answer = window.look_up(&licence(id, &["number"])).await.unwrap();
    assert_eq!(answer.record().licence.as_ref().unwrap().state(), LicenceState::Revoked);
    hub.end().await;
}

#[tokio::test]
async fn each_bad_licence_of_a_file_has_the_reason_of_the_single_road_and_the_good_ones_are_taken() {
    let hub = Hub::new().await;
    let key = key(&hub);
    let good = |n| signed(&key, &content(n));
    let bent = |n, bend: &dyn Fn(&mut LicenceContent)| {
        let mut licence = content(n);
        bend(&mut licence);
        signed(&key, &licence)
    };
    let with = |n, pair: &wuku::cli::dev_certs::Pair, label: &str| {
        let content = content(n).encode_to_vec();
        row(&content, &signature(pair, label, &content))
    };
    let stranger = DevCerts::make(&hub.path("foreign"), HUB, &[], &[MARKET.signer()], &Clock::system()).unwrap();
    let (ours, theirs) = (hub.certs.issuer(&MARKET.uscc()), hub.certs.issuer(&HEALTH.uscc()));
    let later = |licence: &mut LicenceContent| {
        let id = LicenceId::parse(&licence.licence_id).unwrap();
        licence.licence_id = id.next_version().unwrap().to_string();
    };
    let foreign = |licence: &mut LicenceContent| licence.issuer.as_mut().unwrap().uscc = HEALTH.uscc();
    // Issued alone before; the file brings other bytes under its identifier.
    hub.import(&delivery(&[good(1)], "0")).await.unwrap();
    let table: Vec<(String, &str)> = vec![
        (good(2), ""),
        (bent(1, &|l| l.number.push('8')), Reason::AlreadyExists.name()),
        (with(3, &ours, "order"), Reason::SignatureInvalid.name()),
        (with(4, &theirs, "licence"), Reason::IssuerMismatch.name()),
        (with(5, &stranger.issuer(&MARKET.uscc()), "licence"), Reason::IssuerCertificateUntrusted.name()),
        (with(6, &hub.certs.server(), "licence"), Reason::HubKeyNotAllowed.name()),
        (bent(7, &|l| l.type_name.push('X')), Reason::LicenceBytesDiffer.name()),
        (bent(8, &|l| l.hub = "hub.elsewhere".into()), Reason::LicenceBytesDiffer.name()),
        (bent(9, &|l| l.face_fields.clear()), Reason::LicenceFieldsInvalid.name()),
        (bent(10, &|l| l.holders.clear()), Reason::RequestMalformed.name()),
        (bent(11, &|l| l.type_code = format!("{}002", MARKET.uscc())), Reason::LicenceTypeUnknown.name()),
        (bent(12, &foreign), Reason::IssuerNotAuthorised.name()),
        (bent(13, &later), Reason::TransitionNotAllowed.name()),
        ("?,AA==,ed25519,\n".into(), Reason::RequestMalformed.name()),
        (good(14), ""),
        (good(14), "KEY_TWICE"),
        // An empty column: the certificates of the row before.
        (good(15).rsplit_once(',').unwrap().0.to_owned() + ",\n", ""),
    ];
    let rows: Vec<String> = table.iter().map(|(row, _)| row.clone()).collect();
    let report = hub.import(&delivery(&rows, "1")).await.unwrap();
    let expected: Vec<(u64, String)> = (1..)
        .zip(&table)
        .filter(|(_, (_, reason))| !reason.is_empty())
        .map(|(number, (_, reason))| (number, (*reason).to_owned()))
        .collect();
    assert_eq!(refused(&hub, &report).await, expected);
    assert_eq!((report.phase(), report.rows_applied), (ImportPhase::Done, 3));

    // The same as JSON Lines: what was taken is there, and what was not still is not.
    let json: String = rows
        .iter()
        .map(|row| {
            let cells: Vec<&str> = row.trim_end().split(',').collect();
            let (content, signature, algorithm, certificates) = (cells[0], cells[1], cells[2], cells[3]);
            format!(
                "{{\"证照内容\":\"{content}\",\"signature\":\"{signature}\",\"algorithm\":\"{algorithm}\",\"签名证书\":\"{certificates}\"}}\n"
            )
        })
        .collect();
    let lines = Delivery { file: json.into_bytes(), format: ImportFormat::JsonLines, ..delivery(&rows, "2") };
    let report = hub.import(&lines).await.unwrap();
    assert_eq!((report.rows_applied, report.rows_unchanged), (0, 3));
    assert_eq!(refused(&hub, &report).await, expected);
    hub.end().await;
}

#[tokio::test]
async fn a_file_of_licences_is_its_issuers_alone_and_never_removes_any() {
    let hub = Hub::new().await;
    let rows = [signed(&key(&hub), &content(1))];
    let mut theirs = delivery(&rows, "1");
    (theirs.system, theirs.body) = (CLINICS, &HEALTH);
    assert_eq!(failed(hub.import(&theirs).await), Reason::IssuerNotAuthorised);
    let mut snapshot = delivery(&rows, "2");
    snapshot.scope = ImportScope::Snapshot;
    assert_eq!(failed(hub.import(&snapshot).await), Reason::RequestMalformed);
    let mut retired = food_licence();
    (retired.retired, retired.version) = (true, 1);
    hub.caller(crate::world::CONSOLE).put_type(retired).await.unwrap();
    assert_eq!(failed(hub.import(&delivery(&rows, "3")).await), Reason::LicenceTypeUnknown);
    hub.end().await;
}

#[tokio::test]
async fn licences_signed_with_a_distrusted_key_are_not_taken_and_those_of_another_key_are() {
    let hub = Hub::new().await;
    let pair = hub.certs.make_issuer_ed25519(&MARKET.signer(), Validity::days(&Clock::system(), 7)).unwrap();
    let (key, second) = (key(&hub), DepartmentKey::load(&pair.key, &pair.certificate).unwrap());
    let order = DistrustIssuerKeyRequest {
        request_id: request_id(),
        certificate_sha256: second.fingerprint().to_vec().into(),
        document_number: "演数〔2026〕7号".into(),
        reason: "测试".into(),
        trusted_again: false,
        purpose: Some(administration()),
    };
    let rows = [signed(&key, &content(1)), signed(&second, &content(2)), signed(&key, &content(3))];
    // Before, both keys are good.
    let report = hub.import(&delivery(&[signed(&second, &content(9))], "0")).await.unwrap();
    assert_eq!(report.rows_applied, 1, "{:?}", report.first_quarantined);
    let security = hub.caller(SECURITY_ADMIN);
    security.got(security.licence().distrust_issuer_key(order).await.unwrap().into_inner());
    let report = hub.import(&delivery(&rows, "1")).await.unwrap();
    assert_eq!((report.rows_applied, report.rows_quarantined), (2, 1));
    assert_eq!(refused(&hub, &report).await, [(2, Reason::IssuerDistrusted.name().to_owned())]);
    hub.end().await;
}

#[tokio::test]
async fn a_killed_hub_goes_on_with_a_file_of_licences_and_each_takes_effect_once() {
    let mut hub = Hub::of(SuiteName::Sm2).await;
    hub.grant_food().await;
    let key = key(&hub);
    let licences: Vec<LicenceContent> = (1..=1_500).map(content).collect();
    let rows: Vec<String> = licences.iter().map(|licence| signed(&key, licence)).collect();
    let delivery = delivery(&rows, "1");
    let opening = opening(&hub.certs, &MARKET, &delivery.manifest());
    let (caller, file, sent) = (hub.caller(REGISTRY), delivery.file.clone(), opening.clone());
    let sender = tokio::spawn(async move { caller.import(sent, &file).await });
    // Killed as soon as something is in effect, and again a little later each time.
    let mut cut = 0;
    for round in 0..4_u64 {
        let progress = async |hub: &Hub| {
            let import_id = wuku::intake::ImportId::of_manifest(&opening.manifest).to_string();
            let got = hub.caller(REGISTRY).intake().get_import(GetImportRequest { import_id }).await;
            got.ok().and_then(|got| got.into_inner().progress).unwrap_or_default()
        };
        let before = progress(&hub).await.rows_applied;
        for _ in 0..2_000 {
            let now = progress(&hub).await;
            if now.phase() == ImportPhase::Done || now.rows_applied > before {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(round * 7)).await;
        cut += u64::from(progress(&hub).await.phase() == ImportPhase::Applying);
        hub.kill();
        hub.start();
    }
    let _lost = sender.await.unwrap();
    assert!(cut > 0, "no kill came in the middle");
    let report = hub.caller(REGISTRY).import(opening, &delivery.file).await.unwrap();
    assert_eq!((report.phase(), report.rows_applied, report.rows_quarantined), (ImportPhase::Done, 1_500, 0));
    let window = hub.caller(WINDOW);
    for at in [0, 199, 200, 777, 1_499] {
        let answer = window.look_up(&licence(&licences[at].licence_id, &["number"])).await.unwrap();
        assert_eq!((answer.outcome(), answer.record().version), (Outcome::Found, 1), "{at}");
    }
    let nobody = window.look_up(&licence(&content(5_000).licence_id, &["number"])).await.unwrap();
    assert_ne!(nobody.outcome(), Outcome::Found);
    hub.end().await;
}
