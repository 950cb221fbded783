//! Papers judged over the wire: the verdict and its receipt, what is said of the licence a paper names, and what is never taken in.
use crate::client::{Caller, Proved, failed, handling, random, request_id};
use crate::harness::Hub;
use crate::world::{DESK, FOOD, MARKET, REGISTRY, WINDOW, draft, full_grant, refused};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use prost::Message;
use prost::bytes::Bytes;
use std::sync::LazyLock;
use tonic::Status;
use wuku::clock::Clock;
use wuku::demo::paper::{DemoSeal, altered};
use wuku::failure::Reason;
use wuku::paper::judge::sm3_of;
use wuku::receipt::{Kind, Outcome};
use wuku::wire::proto::document::v1::document_service_client::DocumentServiceClient;
use wuku::wire::proto::document::v1::verify_document_request::Message as Up;
use wuku::wire::proto::document::v1::{
    Check, DocumentQuestion, DocumentVerdict, LicenceMatch, SealOwner, VerifyDocumentRequest,
};
use wuku::wire::proto::exchange::v1::payload::Answer;
use wuku::wire::proto::library::v1::LicenceState;
use wuku::wire::proto::licence::v1::{IssueLicenceRequest, OrderAction};
use wuku::wire::proto::receipt::v1::Operator;

const SIGNED: &[u8] = include_bytes!("../samples/ofd/v4signed.ofd");

/// The market authority's demo seal; made once, keys of it are nowhere on disk.
static SEAL: LazyLock<DemoSeal> =
    LazyLock::new(|| DemoSeal::make(&MARKET.uscc(), MARKET.name, Clock::system().now_ms() / 1_000).unwrap());

/// The question for a file.
pub fn question(file: &[u8]) -> DocumentQuestion {
    DocumentQuestion {
        nonce: Bytes::copy_from_slice(&random::<16>()),
        purpose: Some(handling()),
        operator: Some(Operator { id: "window-7".into(), window: "7".into() }),
        file_sm3: Bytes::copy_from_slice(&sm3_of(file)),
        file_bytes: file.len() as u64,
        profile: String::new(),
    }
}

fn opening(question: &DocumentQuestion) -> VerifyDocumentRequest {
    VerifyDocumentRequest { message: Some(Up::Question(question.encode_to_vec().into())) }
}

fn part(bytes: &[u8]) -> VerifyDocumentRequest {
    VerifyDocumentRequest { message: Some(Up::Part(Bytes::copy_from_slice(bytes))) }
}

impl Caller {
    /// Its document client.
    pub fn document(&self) -> DocumentServiceClient<tonic::transport::Channel> {
        DocumentServiceClient::new(self.channel.clone())
    }

    /// Sends these messages.
    async fn send(&self, messages: Vec<VerifyDocumentRequest>) -> Result<Proved, Status> {
        let response = self.document().verify_document(tokio_stream::iter(messages)).await?;
        Ok(self.got(response.into_inner()))
    }

    /// Has a file judged.
    pub async fn judge(&self, file: &[u8]) -> Result<Proved, Status> {
        let parts = file.chunks(100_000).map(part);
        self.send(std::iter::once(opening(&question(file))).chain(parts).collect()).await
    }
}

/// The verdict in an answer.
fn verdict(proved: &Proved) -> &DocumentVerdict {
    match &proved.payload.answer {
        Some(Answer::Document(verdict)) => verdict,
        other => panic!("no verdict: {other:?}"),
    }
}

fn wuku(words: &[&str]) -> std::process::Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_wuku")).args(words).output().unwrap()
}

fn licence(proved: &Proved) -> &LicenceMatch {
    verdict(proved).licence.as_ref().unwrap_or_else(|| panic!("no licence: {proved:?}"))
}

/// A hub that believes the demo seal's authority.
async fn hub() -> Hub {
    let folder = tempfile::tempdir().unwrap().keep();
    SEAL.write_anchors(&folder).unwrap();
    Hub::tuned(|config| config.papers.anchor_folders = vec![folder]).await
}

/// Issues a licence together with its file.
async fn issued(hub: &Hub) -> (String, Vec<u8>) {
    let registry = hub.caller(REGISTRY);
    let prepared = registry.prepare(draft()).await.unwrap();
    let file = paper(&prepared.licence_id);
    let file_sm3 = Bytes::copy_from_slice(&sm3_of(&file));
    registry.issue(IssueLicenceRequest { file_sm3, ..hub.issuing(&prepared) }).await.unwrap();
    (prepared.licence_id, file)
}

fn paper(licence_id: &str) -> Vec<u8> {
    SEAL.paper(licence_id, &["食品经营许可证（演示）".to_owned()], Clock::system().now_ms() / 1_000 - 60).unwrap()
}

#[tokio::test]
async fn a_licences_paper_is_judged_and_held_against_the_library_with_a_receipt() {
    let hub = hub().await;
    let window = hub.caller(WINDOW);
    let (id, file) = issued(&hub).await;
    let grant = hub.grant(WINDOW, full_grant(FOOD, &["number"])).await;

    let proved = window.judge(&file).await.unwrap();
    let said = verdict(&proved);
    assert_eq!((said.verdict.as_str(), said.kind.as_str(), said.anchored), ("valid", "ofd", true), "{said:?}");
    assert!(said.words.starts_with("有效") && said.uncovered.is_empty());
    assert_eq!(said.sm3, sm3_of(&file).as_slice());
    let [one] = said.signatures.as_slice() else { panic!("{said:?}") };
    assert_eq!((one.container.as_str(), one.signature.as_str(), one.seal_signature.as_str()), ("SES-4", "ok", "ok"));
    assert_eq!((one.references_ok, one.signer_in_list(), one.seal_owner()), (5, Check::Yes, SealOwner::Matched));
    assert!(one.seal_name.contains("演示") && one.steps.len() > 15);
    let matched = licence(&proved);
    assert_eq!((matched.licence_id.as_str(), matched.covered, matched.held()), (id.as_str(), true, Outcome::Found));
    assert_eq!((matched.current(), matched.file_matches(), matched.words.as_str()), (Check::Yes, Check::Yes, "有效"));
    assert_eq!(matched.standing.as_ref().unwrap().state(), LicenceState::Valid);
    let statement = &proved.statement;
    assert_eq!((statement.kind(), statement.outcome()), (Kind::VerifyDocument, Outcome::Judged));
    assert_eq!(statement.grant.as_ref().map(|g| g.id.as_str()), Some(grant.as_str()));
    assert_eq!((statement.records.len(), statement.subject_ref.len()), (1, 16));
    // The answer is about the file and does not hold it.
    assert!(!proved.evidence.payload.windows(64).any(|piece| piece == &file[file.len() / 2..][..64]));

    // Another file of the same licence, sealed by the same authority: good, and not the one that was handed in.
    let other = SEAL.paper(&id, &["另一版面（演示）".to_owned()], Clock::system().now_ms() / 1_000 - 60).unwrap();
    let proved = window.judge(&other).await.unwrap();
    assert_eq!((verdict(&proved).verdict.as_str(), licence(&proved).file_matches()), ("valid", Check::No));

    // One word of its page altered: the library still holds the licence, the paper is worth nothing.
    let forged = altered(&file, "食品", "药品").unwrap();
    let proved = window.judge(&forged).await.unwrap();
    assert_eq!((verdict(&proved).verdict.as_str(), verdict(&proved).words.as_str()), ("not-valid", "文件被改动"));
    assert_eq!(verdict(&proved).signatures[0].references_bad, ["Doc_0/Pages/Page_0/Content.xml"]);
    assert!(!licence(&proved).covered && licence(&proved).file_matches() == Check::No);
    hub.order(&id, OrderAction::Revoke).await;
    let proved = window.judge(&file).await.unwrap();
    assert_eq!((verdict(&proved).verdict.as_str(), licence(&proved).words.as_str()), ("valid", "已吊销"));
    assert_eq!(licence(&proved).standing.as_ref().unwrap().state(), LicenceState::Revoked);
    hub.end().await;
}

#[tokio::test]
async fn without_a_grant_a_paper_says_nothing_of_the_library() {
    let hub = hub().await;
    let desk = hub.caller(DESK);
    let (id, file) = issued(&hub).await;
    let (held, sealed) = (desk.judge(&file).await.unwrap(), SEAL.paper(&id, &[], 1_700_000_000).unwrap());
    assert!(!sealed.is_empty());
    // A well-formed identifier that nobody holds: the last digit of another serial, with its own check character.
    let absent = hub.caller(REGISTRY).prepare(draft()).await.unwrap().licence_id;
    let not_held = desk.judge(&paper(&absent)).await.unwrap();
    for proved in [&held, &not_held] {
        assert_eq!(verdict(proved).verdict, "valid", "the verdict on the file needs no grant");
        let matched = licence(proved);
        assert_eq!((matched.held(), matched.words.as_str()), (Outcome::Refused, "无权查询"));
        assert_eq!((matched.current(), matched.file_matches()), (Check::Unspecified, Check::Unspecified));
        assert!(matched.standing.is_none() && proved.statement.records.is_empty() && proved.statement.grant.is_none());
        assert_eq!(verdict(proved).signatures[0].seal_owner(), SealOwner::Unspecified);
    }
    // With one, the same paper of nobody's licence is not found.
    hub.grant(DESK, full_grant(FOOD, &["number"])).await;
    let matched = licence(&desk.judge(&paper(&absent)).await.unwrap()).clone();
    assert!(matches!(matched.held(), Outcome::Absent | Outcome::Uncertain | Outcome::NotCovered), "{matched:?}");
    assert!(matched.standing.is_none());
    hub.end().await;
}

#[tokio::test]
async fn whatever_somebody_brings_gets_an_answer_that_says_what_it_is() {
    let hub = Hub::new().await; // believes nobody
    let window = hub.caller(WINDOW);
    let changed = include_bytes!("../samples/ofd/v4signed-altered-document.ofd");
    for (file, expected, reason, words) in [
        (SIGNED, "valid-but-not-anchored", "", "需人工核对"),
        (changed, "not-valid", "", "文件被改动"),
        (include_bytes!("../samples/ofd/relative-paths-ofdxml-uncovered.ofd"), "valid-but-uncovered", "", "未受保护"),
        (b"%PDF-1.7 a scan", "not-verified", "", "只留存，不核验"),
        (b"\x89PNG\r\n\x1a\n a photo", "not-verified", "", "只留存，不核验"),
        (b"PK\x03\x04 half a file", "unreadable", "bad-directory", "无法读取"),
        (b"what is this", "unreadable", "unknown-kind", "无法读取"),
    ] {
        let proved = window.judge(file).await.unwrap();
        let said = verdict(&proved);
        assert_eq!((said.verdict.as_str(), said.reason.as_str()), (expected, reason), "{said:?}");
        assert!(said.words.contains(words) && !said.words_en.is_empty(), "{}", said.words);
        assert!(!said.anchored && said.licence.is_none() && said.sm3 == sm3_of(file).as_slice());
        assert_eq!(proved.outcome(), Outcome::Judged);
    }
    let strict = DocumentQuestion { profile: "strict-2025".into(), ..question(SIGNED) };
    let proved = window.send(vec![opening(&strict), part(SIGNED)]).await.unwrap();
    assert_eq!((verdict(&proved).verdict.as_str(), verdict(&proved).profile.as_str()), ("not-valid", "strict-2025"));
    hub.end().await;
}

#[tokio::test]
async fn limits_stand_before_memory_and_a_refusal_before_the_file() {
    let hub = Hub::new().await;
    let window = hub.caller(WINDOW);
    let long = DocumentQuestion { file_bytes: (20 << 20) + 1, ..question(b"x") };
    assert_eq!(failed(window.send(vec![opening(&long)]).await), Reason::DocumentTooLarge);
    // Not the file that was announced: other bytes, fewer, more.
    let announced = opening(&question(SIGNED));
    for parts in [vec![part(b"other")], vec![part(&SIGNED[1..])], vec![part(SIGNED), part(b"!")], vec![]] {
        let messages = std::iter::once(announced.clone()).chain(parts).collect();
        assert_eq!(failed(window.send(messages).await), Reason::DigestMismatch);
    }
    assert_eq!(failed(window.send(vec![part(SIGNED)]).await), Reason::RequestMalformed, "no question first");
    assert_eq!(failed(window.send(vec![announced.clone(), announced.clone()]).await), Reason::RequestMalformed);
    assert_eq!(failed(window.send(vec![]).await), Reason::RequestMalformed);
    // Who may not ask is told, and it is recorded, before a byte of the file is sent.
    let registry = hub.caller(REGISTRY);
    assert_eq!(refused(&registry, registry.send(vec![announced.clone()]).await), Reason::RoleNotAllowed);
    // Of three files of one system in hand at once, whichever comes last is told to come back; another system's is taken.
    let mut held: FuturesUnordered<_> = (0..3)
        .map(|_| {
            let (up, stream) = tokio::sync::mpsc::channel::<VerifyDocumentRequest>(4);
            let (mut client, announced) = (window.document(), announced.clone());
            async move {
                up.send(announced).await.unwrap();
                up.send(part(&SIGNED[..100])).await.unwrap();
                let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
                (tokio::spawn(async move { client.verify_document(stream).await }), up)
            }
        })
        .collect();
    let mut calls = Vec::new();
    while let Some(call) = held.next().await {
        calls.push(call);
    }
    let (ended, at) = {
        let ends = calls.iter_mut().map(|(call, _)| call);
        let (ended, at, _) = futures_util::future::select_all(ends).await;
        (ended.unwrap(), at)
    };
    assert_eq!(crate::client::reason(&ended.unwrap_err()), Reason::HubOverloaded);
    calls.remove(at);
    hub.caller(DESK).judge(SIGNED).await.unwrap();
    for (call, up) in calls {
        up.send(part(&SIGNED[100..])).await.unwrap();
        drop(up);
        window.got(call.await.unwrap().unwrap().into_inner());
    }
    window.judge(SIGNED).await.unwrap();
    hub.end().await;
}

#[tokio::test]
async fn the_command_has_a_hub_judge_a_file_and_saves_the_verdict_with_its_receipt() {
    let hub = hub().await;
    let (id, file) = issued(&hub).await;
    hub.grant(WINDOW, full_grant(FOOD, &["number"])).await;
    let at = |name: &str| hub.path(name).display().to_string();
    std::fs::write(at("paper.ofd"), &file).unwrap();
    std::fs::write(at("forged.ofd"), altered(&file, "食品", "药品").unwrap()).unwrap();
    std::fs::write(at("unanchored.ofd"), SIGNED).unwrap();
    let pair = hub.certs.system(WINDOW.0, WINDOW.1);
    let (url, ca) = (format!("https://localhost:{}", hub.address().port()), at("certs/client-ca.pem"));
    let (cert, key) = (pair.certificate.display().to_string(), pair.key.display().to_string());
    let (trust, saved) = (at("trust.note"), at("verdict.json"));
    let run = |paper: &str, more: &[&str]| {
        let paper = at(paper);
        let words = ["document", "verify", &paper, "--hub", &url, "--ca", &ca, "--cert", &cert, "--key", &key];
        let why = ["--item", crate::world::ITEM, "--reference", "TT-1", "--cause", "核对材料", "--trust", &trust];
        let output = wuku(&[&words[..], &why, more].concat());
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), output.stderr)
    };
    let (code, said, why) = run("paper.ofd", &["--evidence", &saved, "--json"]);
    assert_eq!(code, 0, "{said} {}", String::from_utf8_lossy(&why));
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&json["outcome"], &json["verified"]), (&"JUDGED".into(), &true.into()), "{json:#}");
    let verdict = &json["answer"]["document"];
    assert_eq!((&verdict["verdict"], &verdict["licence"]["licenceId"]), (&"valid".into(), &id.as_str().into()));
    let good = wuku(&["verify", &saved, "--trust", &trust]);
    assert!(good.status.success(), "{}", String::from_utf8_lossy(&good.stdout));
    let (code, said, _) = run("paper.ofd", &["--require-anchor"]);
    assert!(code == 0 && said.contains(&id) && said.contains(MARKET.name), "{said}");
    assert_eq!(run("forged.ofd", &[]).0, 1);
    assert_eq!((run("unanchored.ofd", &[]).0, run("unanchored.ofd", &["--require-anchor"]).0), (1, 1));
    assert_eq!(run("wuku.toml", &[]).0, 2, "unreadable");
    assert_eq!(run("paper.ofd", &["--anchors", &at("certs")]).0, 2, "the hub's anchors are its own");
    hub.end().await;
}

#[tokio::test]
async fn a_files_digest_handed_in_with_a_licence_is_one() {
    let hub = Hub::new().await;
    let registry = hub.caller(REGISTRY);
    let prepared = registry.prepare(draft()).await.unwrap();
    let short = IssueLicenceRequest {
        file_sm3: Bytes::from_static(b"short"),
        request_id: request_id(),
        ..hub.issuing(&prepared)
    };
    assert_eq!(failed(registry.issue(short).await), Reason::RequestMalformed);
    hub.end().await;
}
