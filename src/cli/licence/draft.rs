//! The content of a licence as an authority types it, and the signed request it keeps for a retry.
use crate::cli::connection::{PurposeArgs, Stop, reason, refused};
use crate::cli::message;
use crate::failure::Fault;
use crate::library::codes::CalendarDate;
use crate::library::day;
use crate::receipt::canonical;
use crate::wire::proto::library::v1::Field;
use crate::wire::proto::licence::v1::PrepareLicenceRequest;
use clap::Args;
use prost::Message;
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tonic::Status;

const PREPARE: &str = "wuku.licence.v1.PrepareLicenceRequest";

/// The content of a licence.
#[derive(Args, Debug, Default)]
pub(super) struct Draft {
    /// Content as JSON or TOML, - for standard input (内容文件)
    #[arg(long)]
    file: Option<PathBuf>,
    /// Licence type, 21 characters (证照类型代码)
    #[arg(long = "type", value_name = "CODE")]
    type_code: Option<String>,
    /// The number printed on it (证照编号)
    #[arg(long)]
    number: Option<String>,
    /// A holder; may be given several times (持证主体)
    #[arg(long = "holder", value_name = "TYPE:CODE=NAME")]
    holders: Vec<String>,
    /// Day of issue; today where not given (颁发日期)
    #[arg(long, value_name = "DAY")]
    issued_on: Option<String>,
    /// First valid day; the day of issue where not given (有效期起)
    #[arg(long, value_name = "DAY")]
    valid_from: Option<String>,
    /// Last valid day, whole; long-term where not given (有效期止，缺省为长期)
    #[arg(long, value_name = "DAY")]
    valid_until: Option<String>,
    /// Division (属地行政区划代码)
    #[arg(long)]
    division: Option<String>,
    /// A face field; may be given several times (照面字段)
    #[arg(long = "face", value_name = "NAME=VALUE")]
    face: Vec<String>,
}

impl Draft {
    /// The request to prepare it; `previous` is the version it takes the place of.
    pub(super) fn request(
        &self,
        purpose: &PurposeArgs,
        previous: &str,
        today: CalendarDate,
    ) -> Result<PrepareLicenceRequest, Stop> {
        let mut value = message::value(self.file.as_deref(), &[])?;
        let texts = [
            ("type_code", &self.type_code),
            ("number", &self.number),
            ("issued_on", &self.issued_on),
            ("valid_from", &self.valid_from),
            ("valid_until", &self.valid_until),
            ("division", &self.division),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                message::set(&mut value, name, json!(text));
            }
        }
        if !self.holders.is_empty() {
            let holders: Result<Vec<Value>, Stop> = self.holders.iter().map(|text| holder(text)).collect();
            message::set(&mut value, "holders", holders?.into());
        }
        let mut draft: PrepareLicenceRequest = message::read(PREPARE, &value)?;
        for text in &self.face {
            let (name, value) =
                text.split_once('=').ok_or_else(|| Stop::usage(format!("{text}: use NAME=VALUE (应为 名称=值)")))?;
            draft.face_fields.retain(|field| field.name != name);
            draft.face_fields.push(Field { name: name.to_owned(), value: value.to_owned(), masked: false });
        }
        let issued_on = draft.issued_on.unwrap_or_else(|| day::to_proto(today));
        draft.issued_on = Some(issued_on);
        draft.valid_from = draft.valid_from.or(Some(issued_on));
        draft.previous_licence_id = previous.to_owned();
        draft.purpose = purpose.of_change().or(draft.purpose);
        draft.operator = purpose.operator().or(draft.operator);
        if draft.item_code.is_empty() {
            draft.item_code = purpose.item.clone().unwrap_or_default();
        }
        Ok(draft)
    }
}

fn holder(text: &str) -> Result<Value, Stop> {
    let form = || Stop::usage(format!("{text}: use TYPE:CODE=NAME (应为 代码类型:代码=姓名)"));
    let (code, name) = text.split_once('=').ok_or_else(form)?;
    if !code.contains(':') {
        return Err(form());
    }
    Ok(json!({ "code": code, "name": name }))
}

/// A signature is random, so a retry must be the very request that was signed before; it is kept in a file for that.
#[derive(Args, Debug)]
pub(super) struct Attempt {
    /// Keep the signed request here before it is sent; run again with the same file to retry it (保存已签名的请求，重试时沿用)
    #[arg(long, value_name = "FILE")]
    pub(super) attempt: Option<PathBuf>,
}

impl Attempt {
    /// The request of an earlier attempt.
    pub(super) fn earlier<M: Message + Default>(&self) -> Result<Option<M>, Stop> {
        let Some(path) = self.attempt.as_deref().filter(|path| path.exists()) else { return Ok(None) };
        let failed = |e: String| Stop::usage(format!("{}: {e}", path.display()));
        let bytes = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        let message = canonical::decode(&bytes).map_err(|_| failed("not a kept request (不是保存的请求)".into()))?;
        eprintln!("wuku: retrying (重试) {}", path.display());
        Ok(Some(message))
    }

    /// Keeps a request, for its owner only: it holds what the licence says. A crash before the rename leaves no attempt.
    pub(super) fn keep<M: Message>(&self, message: &M) -> Result<(), Stop> {
        let Some(path) = &self.attempt else { return Ok(()) };
        let beside = path.with_added_extension("tmp");
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
            file.write_all(&message.encode_to_vec())?;
            file.sync_all()?;
            std::fs::rename(&beside, path)
        };
        write().map_err(|e| Stop::failed(format!("{}: {e}", path.display())))
    }

    /// Refusals are final; where nobody knows whether it took effect, says how to find out.
    pub(super) fn stopped(&self, status: &Status, evidence: Option<&Path>) -> Stop {
        let stop = refused(status, evidence);
        if reason(status).is_some_and(|reason| reason.fault() != Fault::Busy) {
            return stop;
        }
        let text = match &self.attempt {
            Some(path) => format!("同一命令再运行一次即重试 {0}。Run the same command again to retry {0}.", path.display()),
            None => "先查询该证照，再决定是否重做；下次可加 --attempt。Look the licence up before doing it again; next time give --attempt.".to_owned(),
        };
        Stop { text: format!("{}\n  {text}", stop.text), ..stop }
    }
}
