//! Papers people bring to the demo's window: a good one, one that was altered, and the good one again when its licence has been revoked.
use super::super::{CliError, CliResult};
use super::desk::{Answer, Desk, context};
use crate::clock::Clock;
use crate::demo::organisation::department_of;
use crate::demo::paper::{DemoSeal, altered};
use crate::paper::judge::sm3_of;
use crate::wire::proto::document::v1::verify_document_request::Message as Up;
use crate::wire::proto::document::v1::{DocumentQuestion, DocumentVerdict, VerifyDocumentRequest};
use crate::wire::proto::exchange::v1::payload;
use bytes::Bytes;
use prost::Message;
use std::path::Path;

/// Where the demo hub's anchors for papers lie, in its folder.
pub(super) const ANCHORS: &str = "anchors";
/// What the configuration says of them.
pub(super) const SETTINGS: &str = "[papers]\nanchor_folders = [\"anchors\"]\n";

/// The market regulation's demo seal; its authority is what the hub believes.
pub(super) fn seal(folder: &Path, clock: &Clock) -> CliResult<DemoSeal> {
    let office = department_of("market-regulation").ok_or_else(|| CliError("no market regulation".into()))?;
    let seal = DemoSeal::make(office.uscc()?.as_str(), office.name, clock.now_ms() / 1_000).map_err(CliError)?;
    seal.write_anchors(&folder.join(ANCHORS))?;
    Ok(seal)
}

/// The paper of a licence, written into the folder too, for whoever wants to try `wuku document verify` on it.
pub(super) fn paper(seal: &DemoSeal, licence_id: &str, folder: &Path) -> CliResult<Vec<u8>> {
    let lines = ["食品经营许可证（演示样本）".to_owned(), format!("证照标识 {licence_id}")];
    let paper = seal.paper(licence_id, &lines, Clock::system().now_ms() / 1_000).map_err(CliError)?;
    std::fs::write(folder.join("paper.ofd"), &paper)?;
    Ok(paper)
}

/// The one-window platform has a paper judged; what must come out: verdict, and the word for the licence.
pub(super) async fn judged(
    desk: &Desk,
    item: &str,
    paper: &[u8],
    expected: (&str, &str),
) -> CliResult<(String, String)> {
    let verdict = ask(desk, item, paper).await?;
    let licence = verdict.licence.clone().unwrap_or_default();
    if (verdict.verdict.as_str(), licence.words.as_str()) != expected {
        return Err(CliError(format!("{} / {}: {verdict:?}", verdict.verdict, licence.words)));
    }
    let zh = format!("{}；证照库：{}", verdict.words, licence.words);
    Ok((zh, format!("{}; in the library: {}", verdict.words_en, licence.words_en)))
}

/// A copy with another word on its page, its ZIP in order.
pub(super) fn forged(paper: &[u8]) -> CliResult<Vec<u8>> {
    altered(paper, "食品", "药品").map_err(CliError)
}

async fn ask(desk: &Desk, item: &str, paper: &[u8]) -> CliResult<DocumentVerdict> {
    let context = context(item)?;
    let question = DocumentQuestion {
        nonce: context.nonce,
        purpose: context.purpose,
        operator: context.operator,
        file_sm3: Bytes::copy_from_slice(&sm3_of(paper)),
        file_bytes: u64::try_from(paper.len())?,
        profile: String::new(),
    };
    let messages = [Up::Question(question.encode_to_vec().into()), Up::Part(Bytes::copy_from_slice(paper))];
    let messages = messages.map(|message| VerifyDocumentRequest { message: Some(message) });
    let response = desk.at("one-window")?.documents().verify_document(tokio_stream::iter(messages)).await?.into_inner();
    match Answer::read(response.payload, response.receipt)?.payload.answer {
        Some(payload::Answer::Document(verdict)) => Ok(verdict),
        other => Err(CliError(format!("no verdict: {other:?}"))),
    }
}
