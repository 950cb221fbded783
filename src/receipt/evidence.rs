//! Evidence as a file: canonical JSON of `wuku.receipt.v1.Evidence` (design 7).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use prost::bytes::Bytes;
use serde::Deserialize;

use super::json::Object;
use super::{Evidence, Receipt};
use crate::log::origin::parse_decimal;

/// Longest evidence file read, bytes.
pub const EVIDENCE_BYTES_MAX: usize = 16 << 20;

/// The bytes are not an evidence file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an evidence file in canonical JSON")]
pub struct Unreadable;

/// The evidence as a file.
#[must_use]
pub fn to_json(evidence: &Evidence) -> Vec<u8> {
    let object = Object::new().text("payloadName", &evidence.payload_name).bytes("payload", &evidence.payload);
    let object = match &evidence.receipt {
        Some(receipt) => object.raw("receipt", &receipt_json(receipt)),
        None => object,
    };
    object.end_text().into_bytes()
}

fn receipt_json(receipt: &Receipt) -> String {
    Object::new()
        .bytes("statement", &receipt.statement)
        .bytes("salt", &receipt.salt)
        .number("timeS", receipt.time_s)
        .number("leafIndex", receipt.leaf_index)
        .bytes("path", &receipt.path)
        .bytes("checkpoint", &receipt.checkpoint)
        .end()
}

/// Reads an evidence file: what was parsed is written again and must give the same bytes.
///
/// # Errors
/// [`Unreadable`] for any other bytes.
pub fn from_json(bytes: &[u8]) -> Result<Evidence, Unreadable> {
    if bytes.len() > EVIDENCE_BYTES_MAX {
        return Err(Unreadable);
    }
    let file: EvidenceFile = serde_json::from_slice(bytes).map_err(|_| Unreadable)?;
    let receipt = file.receipt.map(ReceiptFile::into_receipt).transpose()?;
    let evidence = Evidence { payload_name: file.payload_name, payload: unbase64(&file.payload)?, receipt };
    if to_json(&evidence) == bytes { Ok(evidence) } else { Err(Unreadable) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EvidenceFile {
    #[serde(default)]
    payload_name: String,
    #[serde(default)]
    payload: String,
    receipt: Option<ReceiptFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
struct ReceiptFile {
    statement: String,
    salt: String,
    time_s: String,
    leaf_index: String,
    path: String,
    checkpoint: String,
}

impl ReceiptFile {
    fn into_receipt(self) -> Result<Receipt, Unreadable> {
        Ok(Receipt {
            statement: unbase64(&self.statement)?,
            salt: unbase64(&self.salt)?,
            time_s: number(&self.time_s)?,
            leaf_index: number(&self.leaf_index)?,
            path: unbase64(&self.path)?,
            checkpoint: unbase64(&self.checkpoint)?,
        })
    }
}

fn unbase64(text: &str) -> Result<Bytes, Unreadable> {
    BASE64.decode(text).map(Bytes::from).map_err(|_| Unreadable)
}

/// A left-out number is 0.
fn number(text: &str) -> Result<u64, Unreadable> {
    if text.is_empty() { Ok(0) } else { parse_decimal(text).ok_or(Unreadable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        let receipt = Receipt {
            statement: vec![1, 2].into(),
            salt: vec![3; 32].into(),
            time_s: 1_700_000_000,
            leaf_index: 0,
            path: Bytes::new(),
            checkpoint: "c".into(),
        };
        Evidence { payload_name: "a.B".into(), payload: vec![0xff; 5].into(), receipt: Some(receipt) }
    }

    #[test]
    fn evidence_is_read_back_and_every_other_spelling_is_unreadable() {
        let text = String::from_utf8(to_json(&evidence())).unwrap();
        assert_eq!(from_json(text.as_bytes()), Ok(evidence()));
        assert!(text.starts_with(r#"{"payloadName":"a.B","payload":"//////8=","receipt":{"statement":"AQI=","#));
        let swap = |a: &str, b: &str| {
            let other = text.replacen(a, b, 1);
            assert_ne!(other, text, "{a}");
            other
        };
        for other in [
            format!(" {text}"),
            format!("{text}\n"),
            text.trim_end().to_owned(),
            swap(":\"a.B\"", ": \"a.B\""),
            swap("a.B", "a\\u002eB"),
            swap("\"1700000000\"", "1700000000"),
            swap("\"1700000000\"", "\"01700000000\""),
            swap("\"timeS\"", "\"time_s\""),
            swap("AQI=", "AQI"),
            swap("AQI=", "AQJ="),
            swap("\"checkpoint\"", "\"leafIndex\":\"0\",\"checkpoint\""),
            swap("\"checkpoint\"", "\"path\":\"\",\"checkpoint\""),
            swap("\"checkpoint\"", "\"unknown\":\"\",\"checkpoint\""),
            swap("{\"payloadName\":\"a.B\"", "{\"payloadName\":\"a.B\",\"payloadName\":\"a.B\""),
            swap(
                "{\"payloadName\":\"a.B\",\"payload\":\"//////8=\"",
                "{\"payload\":\"//////8=\",\"payloadName\":\"a.B\"",
            ),
        ] {
            assert_eq!(from_json(other.as_bytes()), Err(Unreadable), "{other}");
        }
    }
}
