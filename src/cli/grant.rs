//! `wuku grant`: applying for, deciding, withdrawing and listing what a system may ask (共享许可).
use super::answer::ChangeArgs;
use super::catalogue::print;
use super::connection::{Connection, PurposeWord, Stop, request};
use super::message;
use crate::clock::Clock;
use crate::wire::proto::catalogue::v1::catalogue_service_client::CatalogueServiceClient;
use crate::wire::proto::catalogue::v1::{
    AllowedPurpose, ApplyGrantRequest, DecideGrantRequest, Grant, GrantState, ListGrantsRequest, WithdrawGrantRequest,
};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::PathBuf;

const GRANT: &str = "wuku.catalogue.v1.Grant";

/// Arguments of `wuku grant`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example (示例):
  wuku grant apply --resource person --fields name,sex --kinds look-up,match --mode masked \\
      --for handling=ITEM-1,ITEM-2 --legal-basis 浙江省公共数据条例第二十二条
  wuku grant list --json
  wuku grant decide g-0123456789abcdef --agree")]
pub struct GrantArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Apply for a grant for your own system; unconditional resources are granted by rule (共享申请)
    #[command(after_help = "\
Everything may stand in a file, flags come on top (内容可放在 JSON 或 TOML 文件中).
Example (示例): wuku grant apply --resource driving-licence --fields number,state --kinds look-up,derive \\
    --facts licence-valid-on --mode full --for supervision --legal-basis 道路交通安全法")]
    Apply {
        #[command(flatten)]
        wanted: Box<Wanted>,
        #[command(flatten)]
        change: Box<ChangeArgs>,
    },
    /// Agree to or refuse an application (共享答复)
    #[command(
        after_help = "Example (示例): wuku grant decide g-0123456789abcdef --refuse --reason 未写明法律依据；字段超出事项所需"
    )]
    Decide {
        /// The grant (许可标识)
        id: String,
        /// Agree (同意)
        #[arg(long, conflicts_with = "refuse", required_unless_present = "refuse")]
        agree: bool,
        /// Refuse; needs a reason (不同意)
        #[arg(long, requires = "reason")]
        refuse: bool,
        /// Everything that is missing, at once (理由)
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        change: Box<ChangeArgs>,
    },
    /// Withdraw a grant; the next question without it is refused (收回)
    #[command(after_help = "Example (示例): wuku grant withdraw g-0123456789abcdef --reason 事项已取消")]
    Withdraw {
        /// The grant (许可标识)
        id: String,
        /// Why (理由)
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        change: Box<ChangeArgs>,
    },
    /// List grants of a system, your own where none is named, or on a resource (许可列表)
    #[command(after_help = "Example (示例): wuku grant list --resource person")]
    List {
        /// Of this system (系统)
        #[arg(long, value_name = "URI", conflicts_with = "resource")]
        system: Option<String>,
        /// On this resource (信息资源)
        #[arg(long)]
        resource: Option<String>,
        #[command(flatten)]
        connection: Connection,
        /// Print JSON (以 JSON 输出)
        #[arg(long)]
        json: bool,
    },
}

/// What is asked for.
#[derive(Args, Debug)]
struct Wanted {
    /// The application as JSON or TOML, - for standard input (申请文件)
    #[arg(long)]
    file: Option<PathBuf>,
    /// The catalogue resource (信息资源代码)
    #[arg(long)]
    resource: Option<String>,
    /// Fields, comma between; `geometry` and `complete_licence` are fields too (字段)
    #[arg(long, value_delimiter = ',')]
    fields: Vec<String>,
    /// look-up, match, derive, holder, area; comma between (查询方式)
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<String>,
    /// age-at-least, licence-valid-on, not-listed-on, registered-in, represents; comma between (派生事实)
    #[arg(long, value_delimiter = ',')]
    facts: Vec<String>,
    /// yes-no, masked or full (答复方式)
    #[arg(long)]
    mode: Option<String>,
    /// A purpose, with its items where not all of the department's; may be given several times (用途)
    #[arg(long = "for", value_name = "PURPOSE[=ITEM,ITEM]", value_parser = parse_purpose)]
    purposes: Vec<AllowedPurpose>,
    /// Legal basis (法律依据)
    #[arg(long)]
    legal_basis: Option<String>,
    /// Questions a day (每日限额)
    #[arg(long)]
    quota: Option<u32>,
    /// Hours of the day, first and last, 0 to 23 (时段)
    #[arg(long, value_name = "FROM-UNTIL", value_parser = parse_hours)]
    hours: Option<(u32, u32)>,
    /// First day of the term (起始日期)
    #[arg(long, value_name = "DAY")]
    term_from: Option<String>,
    /// Last day of the term; twelve months on where not given (截止日期)
    #[arg(long, value_name = "DAY")]
    term_until: Option<String>,
}

impl Wanted {
    fn grant(&self) -> Result<Grant, Stop> {
        let mut value = message::value(self.file.as_deref(), &[])?;
        let texts = [
            ("resource", &self.resource),
            ("mode", &self.mode),
            ("legal_basis", &self.legal_basis),
            ("term_from", &self.term_from),
            ("term_until", &self.term_until),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                message::set(&mut value, name, json!(text));
            }
        }
        for (name, list) in [("fields", &self.fields), ("kinds", &self.kinds), ("facts", &self.facts)] {
            if !list.is_empty() {
                message::set(&mut value, name, json!(list));
            }
        }
        let mut grant: Grant = message::read(GRANT, &value)?;
        if !self.purposes.is_empty() {
            grant.purposes.clone_from(&self.purposes);
        }
        if let Some(quota) = self.quota {
            grant.quota_per_day = quota;
        }
        if let Some((from, until)) = self.hours {
            (grant.hour_from, grant.hour_until) = (from, until);
        }
        Ok(grant)
    }
}

fn parse_purpose(text: &str) -> Result<AllowedPurpose, String> {
    let (kind, items) = text.split_once('=').unwrap_or((text, ""));
    let kind = PurposeWord::from_str(kind, true)?.kind();
    let items = items.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
    Ok(AllowedPurpose { kind: kind.into(), items })
}

fn parse_hours(text: &str) -> Result<(u32, u32), String> {
    let hour = |text: &str| text.parse::<u32>().ok().filter(|hour| *hour < 24);
    let hours = text.split_once('-').and_then(|(from, until)| Some((hour(from)?, hour(until)?)));
    hours.ok_or_else(|| "use FROM-UNTIL with hours 0 to 23, as 8-18".to_owned())
}

/// Runs `wuku grant`.
///
/// # Errors
/// An application that does not fit (2); a refusal (1).
pub async fn run(args: &GrantArgs, clock: &Clock) -> Result<(), Stop> {
    match &args.what {
        What::Apply { wanted, change } => {
            let grant = wanted.grant()?;
            let mut client = CatalogueServiceClient::new(change.connection.open().await?);
            let id = change.id()?;
            let message =
                ApplyGrantRequest { request_id: id.clone(), grant: Some(grant), purpose: change.purpose.of_change() };
            let reply = client.apply_grant(request(message)).await.map_err(|status| change.stopped(&status))?;
            let reply = reply.into_inner();
            eprintln!("wuku: {}", of_state(reply.state()));
            change.done(reply.payload, reply.receipt, &id, clock)
        }
        What::Decide { id: grant, agree, reason, change, .. } => {
            let mut client = CatalogueServiceClient::new(change.connection.open().await?);
            let id = change.id()?;
            let message = DecideGrantRequest {
                request_id: id.clone(),
                grant_id: grant.clone(),
                agree: *agree,
                reason: reason.clone().unwrap_or_default(),
                purpose: change.purpose.of_change(),
            };
            let reply = client.decide_grant(request(message)).await.map_err(|status| change.stopped(&status))?;
            let reply = reply.into_inner();
            change.done(reply.payload, reply.receipt, &id, clock)
        }
        What::Withdraw { id: grant, reason, change } => {
            let mut client = CatalogueServiceClient::new(change.connection.open().await?);
            let id = change.id()?;
            let message = WithdrawGrantRequest {
                request_id: id.clone(),
                grant_id: grant.clone(),
                reason: reason.clone(),
                purpose: change.purpose.of_change(),
            };
            let reply = client.withdraw_grant(request(message)).await.map_err(|status| change.stopped(&status))?;
            let reply = reply.into_inner();
            change.done(reply.payload, reply.receipt, &id, clock)
        }
        What::List { system, resource, connection, json } => {
            let (system, resource) = (system.clone().unwrap_or_default(), resource.clone().unwrap_or_default());
            let all = list(connection, system, resource).await?;
            print(*json, GRANT, &all, |grant| (grant.id.clone(), of_grant(grant)));
            Ok(())
        }
    }
}

async fn list(connection: &Connection, system: String, resource: String) -> Result<Vec<Grant>, Stop> {
    let mut client = CatalogueServiceClient::new(connection.open().await?);
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let message =
            ListGrantsRequest { system: system.clone(), resource: resource.clone(), page_size: 200, page_token };
        let reply = client.list_grants(request(message)).await?.into_inner();
        all.extend(reply.grants);
        if reply.next_page_token.is_empty() {
            return Ok(all);
        }
        page_token = reply.next_page_token;
    }
}

fn of_state(state: GrantState) -> &'static str {
    match state {
        GrantState::Applied => "已申请，待数源部门答复 applied: the source department decides",
        GrantState::Granted => "已许可 granted",
        GrantState::Refused => "不同意 refused",
        GrantState::Withdrawn => "已收回 withdrawn",
        GrantState::Unspecified => "-",
    }
}

fn of_grant(grant: &Grant) -> String {
    let purposes: Vec<String> = grant.purposes.iter().map(of_purpose).collect();
    let parts = [
        of_state(grant.state()).to_owned(),
        grant.system.clone(),
        grant.resource.clone(),
        grant.fields.join(","),
        purposes.join("; "),
        grant.state_reason.clone(),
        format!("v{}", grant.version),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

fn of_purpose(purpose: &AllowedPurpose) -> String {
    let kind = purpose.kind().as_str_name();
    let kind = kind.strip_prefix("PURPOSE_KIND_").unwrap_or(kind).to_ascii_lowercase();
    if purpose.items.is_empty() { kind } else { format!("{kind}={}", purpose.items.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::catalogue::v1::{FactKind, GrantMode, QuestionKind};
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        grant: GrantArgs,
    }

    fn line(words: &[&str]) -> Result<What, i32> {
        let place = ["--hub", "https://h:1", "--ca", "a", "--cert", "c", "--key", "k"];
        let line = ["wuku"].iter().chain(words).chain(&place);
        Line::try_parse_from(line).map(|line| line.grant.what).map_err(|e| e.exit_code())
    }

    #[test]
    fn an_application_is_read_from_file_and_flags() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("g.toml");
        std::fs::write(&file, "resource = \"a\"\nlegal_basis = \"法\"\nfields = [\"x\"]\n").unwrap();
        let words = [
            "apply",
            "--file",
            file.to_str().unwrap(),
            "--resource",
            "b",
            "--kinds",
            "look-up,derive",
            "--facts",
            "age-at-least",
            "--mode",
            "yes-no",
            "--for",
            "handling=I1,I2",
            "--for",
            "audit",
            "--hours",
            "8-18",
            "--quota",
            "9",
        ];
        let Ok(What::Apply { wanted, .. }) = line(&words) else { panic!() };
        let grant = wanted.grant().unwrap();
        assert_eq!((grant.resource.as_str(), grant.legal_basis.as_str()), ("b", "法"));
        assert_eq!(grant.fields, ["x"]);
        assert_eq!(grant.kinds().collect::<Vec<_>>(), [QuestionKind::LookUp, QuestionKind::Derive]);
        assert_eq!(grant.facts().collect::<Vec<_>>(), [FactKind::AgeAtLeast]);
        assert_eq!(
            (grant.mode(), grant.quota_per_day, grant.hour_from, grant.hour_until),
            (GrantMode::YesNo, 9, 8, 18)
        );
        assert!(of_grant(&grant).contains("handling=I1,I2; audit"), "{}", of_grant(&grant));
    }

    #[test]
    fn a_decision_is_one_of_two_and_a_refusal_has_its_reason() {
        let decide = |more: &[&str]| line(&[&["decide", "g-1"][..], more].concat()).map(|_| ());
        assert_eq!(decide(&["--agree"]), Ok(()));
        assert_eq!(decide(&["--refuse", "--reason", "r"]), Ok(()));
        for wrong in [&[][..], &["--refuse"], &["--agree", "--refuse", "--reason", "r"]] {
            assert_eq!(decide(wrong), Err(2), "{wrong:?}");
        }
        assert_eq!(line(&["withdraw", "g-1"]).err(), Some(2));
        assert_eq!(line(&["apply", "--for", "fun"]).err(), Some(2));
        assert_eq!(line(&["apply", "--hours", "8-24"]).err(), Some(2));
        let Ok(What::Apply { wanted, .. }) = line(&["apply", "--kinds", "guess"]) else { panic!() };
        assert_eq!(wanted.grant().unwrap_err().code, 2);
    }
}
