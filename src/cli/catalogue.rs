//! `wuku catalogue`: departments, systems, resources, licence types. A put names the version it takes the place of.
use super::answer::ChangeArgs;
use super::connection::{Connection, Stop, reason, request};
use super::licence::all_types;
use super::message::{self, shown};
use super::words::table;
use crate::clock::Clock;
use crate::failure::Reason;
use crate::wire::proto::catalogue::v1::catalogue_service_client::CatalogueServiceClient;
use crate::wire::proto::catalogue::v1::{
    Department, ListDepartmentsRequest, ListResourcesRequest, ListSystemsRequest, PutDepartmentRequest,
    PutResourceRequest, PutSystemRequest, Resource, Role, SharingClass, System, WhoAmIRequest, WhoAmIResponse,
};
use crate::wire::proto::licence::v1::licence_service_client::LicenceServiceClient;
use crate::wire::proto::licence::v1::{LicenceType, PutLicenceTypeRequest};
use clap::{Args, Subcommand};
use prost::Message;
use serde_json::Value;
use std::path::PathBuf;
use tonic::Status;
use tonic::transport::Channel;

const DEPARTMENT: &str = "wuku.catalogue.v1.Department";
const SYSTEM: &str = "wuku.catalogue.v1.System";
const RESOURCE: &str = "wuku.catalogue.v1.Resource";
const LICENCE_TYPE: &str = "wuku.licence.v1.LicenceType";

/// Arguments of `wuku catalogue`.
#[derive(Args, Debug)]
#[command(after_help = "\
Example (示例):
  wuku catalogue whoami
  wuku catalogue systems --json
  wuku catalogue put-department --set code=civil --set name=民政局 --set uscc=11331099MB00000000 --set division=331023")]
pub struct CatalogueArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Who you are to the hub: system, department, roles, grants (我是谁)
    #[command(after_help = "Example (示例): wuku catalogue whoami --json")]
    Whoami(ListArgs),
    /// List departments (部门)
    #[command(after_help = "Example (示例): wuku catalogue departments")]
    Departments(ListArgs),
    /// List systems you may see (业务系统)
    #[command(after_help = "Example (示例): wuku catalogue systems")]
    Systems(ListArgs),
    /// List data resources (信息资源)
    #[command(after_help = "Example (示例): wuku catalogue resources --json")]
    Resources(ListArgs),
    /// Put a department (登记或变更部门)
    #[command(after_help = "Example (示例): wuku catalogue put-department department.toml --set version=1")]
    PutDepartment(PutArgs),
    /// Put a system; `enabled=false` shuts it out within seconds (登记、变更或停用系统)
    #[command(after_help = "\
Example (示例): wuku catalogue put-system --set uri=wuku://hub/civil/window --set name=民政窗口 --set department=civil \\
    --set roles=consumer,clerk --set enabled=true")]
    PutSystem(PutArgs),
    /// Put a data resource (登记或变更信息资源)
    #[command(after_help = "Example (示例): wuku catalogue put-resource resource.json")]
    PutResource(PutArgs),
    /// Put a licence type (登记或变更证照类型)
    #[command(
        after_help = "Example (示例): wuku catalogue put-licence-type type.json --set retired=true --set version=2"
    )]
    PutLicenceType(PutArgs),
}

#[derive(Args, Debug)]
struct ListArgs {
    #[command(flatten)]
    connection: Connection,
    /// Print JSON (以 JSON 输出)
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct PutArgs {
    /// The entry as JSON or TOML, - for standard input; as the lists print it with --json (条目文件)
    file: Option<PathBuf>,
    /// Set a field; lists with commas; may be given several times (字段)
    #[arg(long = "set", value_name = "NAME=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    change: ChangeArgs,
}

impl PutArgs {
    fn entry<M: Message + Default>(&self, name: &str) -> Result<M, Stop> {
        if self.file.is_none() && self.set.is_empty() {
            return Err(Stop::usage("give a file or --set NAME=VALUE (请给出文件或 --set 名称=值)"));
        }
        message::read(name, &message::value(self.file.as_deref(), &self.set)?)
    }
}

/// Runs `wuku catalogue`.
///
/// # Errors
/// An entry that does not fit (2); a refusal, another version meanwhile (1).
pub async fn run(args: &CatalogueArgs, clock: &Clock) -> Result<(), Stop> {
    match &args.what {
        What::Whoami(list) => whoami(list).await,
        What::Departments(list) => {
            let all = departments(list.connection.open().await?).await?;
            print(list.json, DEPARTMENT, &all, |d| {
                (d.code.clone(), format!("{} · {} · {} · v{}", d.name, d.uscc, d.division, d.version))
            });
            Ok(())
        }
        What::Systems(list) => {
            let all = systems(list.connection.open().await?).await?;
            print(list.json, SYSTEM, &all, |s| (s.uri.clone(), of_system(s)));
            Ok(())
        }
        What::Resources(list) => {
            let all = resources(list.connection.open().await?).await?;
            print(list.json, RESOURCE, &all, |r| (r.code.clone(), of_resource(r)));
            Ok(())
        }
        What::PutDepartment(put) => put_department(put, clock).await,
        What::PutSystem(put) => put_system(put, clock).await,
        What::PutResource(put) => put_resource(put, clock).await,
        What::PutLicenceType(put) => put_licence_type(put, clock).await,
    }
}

async fn put_department(put: &PutArgs, clock: &Clock) -> Result<(), Stop> {
    let entry: Department = put.entry(DEPARTMENT)?;
    let (key, version) = (entry.code.clone(), entry.version);
    let channel = put.change.connection.open().await?;
    let request_id = put.change.id()?;
    let id = request_id.clone();
    let message = PutDepartmentRequest { request_id, department: Some(entry), purpose: put.change.purpose.of_change() };
    match CatalogueServiceClient::new(channel.clone()).put_department(request(message)).await {
        Ok(reply) => {
            let reply = reply.into_inner();
            put.change.done(reply.payload, reply.receipt, &id, clock)
        }
        Err(status) => {
            let stop = put.change.stopped(&status);
            let now = match moved(&status) {
                true => departments(channel).await.ok(),
                false => None,
            };
            Err(conflict(stop, version, now.map(|all| all.iter().find(|d| d.code == key).map_or(0, |d| d.version))))
        }
    }
}

async fn put_system(put: &PutArgs, clock: &Clock) -> Result<(), Stop> {
    let entry: System = put.entry(SYSTEM)?;
    let (key, version) = (entry.uri.clone(), entry.version);
    let channel = put.change.connection.open().await?;
    let request_id = put.change.id()?;
    let id = request_id.clone();
    let message = PutSystemRequest { request_id, system: Some(entry), purpose: put.change.purpose.of_change() };
    match CatalogueServiceClient::new(channel.clone()).put_system(request(message)).await {
        Ok(reply) => {
            let reply = reply.into_inner();
            put.change.done(reply.payload, reply.receipt, &id, clock)
        }
        Err(status) => {
            let stop = put.change.stopped(&status);
            let now = match moved(&status) {
                true => systems(channel).await.ok(),
                false => None,
            };
            Err(conflict(stop, version, now.map(|all| all.iter().find(|s| s.uri == key).map_or(0, |s| s.version))))
        }
    }
}

async fn put_resource(put: &PutArgs, clock: &Clock) -> Result<(), Stop> {
    let entry: Resource = put.entry(RESOURCE)?;
    let (key, version) = (entry.code.clone(), entry.version);
    let channel = put.change.connection.open().await?;
    let request_id = put.change.id()?;
    let id = request_id.clone();
    let message = PutResourceRequest { request_id, resource: Some(entry), purpose: put.change.purpose.of_change() };
    match CatalogueServiceClient::new(channel.clone()).put_resource(request(message)).await {
        Ok(reply) => {
            let reply = reply.into_inner();
            put.change.done(reply.payload, reply.receipt, &id, clock)
        }
        Err(status) => {
            let stop = put.change.stopped(&status);
            let now = match moved(&status) {
                true => resources(channel).await.ok(),
                false => None,
            };
            Err(conflict(stop, version, now.map(|all| all.iter().find(|r| r.code == key).map_or(0, |r| r.version))))
        }
    }
}

async fn put_licence_type(put: &PutArgs, clock: &Clock) -> Result<(), Stop> {
    let entry: LicenceType = put.entry(LICENCE_TYPE)?;
    let (key, version) = (entry.type_code.clone(), entry.version);
    let channel = put.change.connection.open().await?;
    let request_id = put.change.id()?;
    let id = request_id.clone();
    let purpose = put.change.purpose.of_change();
    let message = PutLicenceTypeRequest { request_id, licence_type: Some(entry), purpose };
    match LicenceServiceClient::new(channel.clone()).put_licence_type(request(message)).await {
        Ok(reply) => {
            let reply = reply.into_inner();
            put.change.done(reply.payload, reply.receipt, &id, clock)
        }
        Err(status) => {
            let stop = put.change.stopped(&status);
            let now = match moved(&status) {
                true => all_types(channel).await.ok(),
                false => None,
            };
            let at = |all: Vec<LicenceType>| all.iter().find(|t| t.type_code == key).map_or(0, |t| t.version);
            Err(conflict(stop, version, now.map(at)))
        }
    }
}

fn moved(status: &Status) -> bool {
    reason(status) == Some(Reason::StateChangedMeanwhile)
}

/// The same refusal with the version that is there now, 0 where there is none.
fn conflict(stop: Stop, named: u64, now: Option<u64>) -> Stop {
    let Some(now) = now else { return stop };
    let text = match now {
        0 => "目录中尚无此条目：version 应为 0。There is no such entry yet: put version 0.".to_owned(),
        _ => format!(
            "目录中现为第 {now} 版，提交时写的是第 {named} 版。看过现有内容后，以 --set version={now} 再提交。\n  It is at version {now} now, you named {named}. Look at it, then put it again with --set version={now}."
        ),
    };
    Stop { text: format!("{}\n  {text}", stop.text), ..stop }
}

async fn whoami(list: &ListArgs) -> Result<(), Stop> {
    let mut client = CatalogueServiceClient::new(list.connection.open().await?);
    let who = client.who_am_i(request(WhoAmIRequest {})).await?.into_inner();
    if list.json {
        println!("{:#}", shown("wuku.catalogue.v1.WhoAmIResponse", &who));
    } else {
        print!("{}", of_caller(&who));
    }
    Ok(())
}

fn of_caller(who: &WhoAmIResponse) -> String {
    let system = who.system.clone().unwrap_or_default();
    let department = who.department.clone().unwrap_or_default();
    let row = |label: &str, value: String| (label.to_owned(), value);
    table(&[
        row("枢纽 hub", format!("{} · {}", who.hub, who.position)),
        row("系统 system", system.uri.clone()),
        row("名称 name", of_system(&system)),
        row("部门 department", format!("{} · {} · {}", department.name, department.code, department.uscc)),
        row("许可 grants in force", who.grants_in_force.to_string()),
        row("证书 certificate", who.certificate_serial.clone()),
    ])
}

fn of_system(system: &System) -> String {
    let short = |role: Role| role.as_str_name().strip_prefix("ROLE_").unwrap_or_default().to_ascii_lowercase();
    let roles: Vec<String> = system.roles().map(short).collect();
    let enabled = if system.enabled { "" } else { " · 已停用 disabled" };
    format!("{} · {}{enabled} · v{}", system.name, roles.join(", "), system.version)
}

fn of_resource(resource: &Resource) -> String {
    let class = match resource.sharing_class() {
        SharingClass::Unconditional => "无条件共享 unconditional",
        SharingClass::Conditional => "有条件共享 conditional",
        SharingClass::NotShared => "不予共享 not shared",
        SharingClass::Unspecified => "-",
    };
    format!("{} · {} · {class} · v{}", resource.name, resource.source_department, resource.version)
}

/// Entries as JSON or one a line.
pub(super) fn print<M: Message>(json: bool, name: &str, all: &[M], row: impl Fn(&M) -> (String, String)) {
    if json {
        println!("{:#}", Value::Array(all.iter().map(|entry| shown(name, entry)).collect()));
    } else {
        print!("{}", table(&all.iter().map(row).collect::<Vec<_>>()));
    }
}

async fn departments(channel: Channel) -> Result<Vec<Department>, Stop> {
    let mut client = CatalogueServiceClient::new(channel);
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = ListDepartmentsRequest { page_size: 200, page_token };
        let reply = client.list_departments(request(message)).await?.into_inner();
        all.extend(reply.departments);
        if reply.next_page_token.is_empty() {
            return Ok(all);
        }
        page_token = reply.next_page_token;
    }
}

async fn systems(channel: Channel) -> Result<Vec<System>, Stop> {
    let mut client = CatalogueServiceClient::new(channel);
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = ListSystemsRequest { page_size: 200, page_token };
        let reply = client.list_systems(request(message)).await?.into_inner();
        all.extend(reply.systems);
        if reply.next_page_token.is_empty() {
            return Ok(all);
        }
        page_token = reply.next_page_token;
    }
}

async fn resources(channel: Channel) -> Result<Vec<Resource>, Stop> {
    let mut client = CatalogueServiceClient::new(channel);
    let (mut all, mut page_token) = (Vec::new(), String::new());
    loop {
        let message = ListResourcesRequest { page_size: 200, page_token };
        let reply = client.list_resources(request(message)).await?.into_inner();
        all.extend(reply.resources);
        if reply.next_page_token.is_empty() {
            return Ok(all);
        }
        page_token = reply.next_page_token;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::status::to_status;
    use crate::failure::Failure;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        catalogue: CatalogueArgs,
    }

    fn line(words: &[&str]) -> Result<What, i32> {
        let place = ["--hub", "https://h:1", "--ca", "a", "--cert", "c", "--key", "k"];
        let line = ["wuku"].iter().chain(words).chain(&place);
        Line::try_parse_from(line).map(|line| line.catalogue.what).map_err(|e| e.exit_code())
    }

    #[test]
    fn an_entry_is_put_from_flags_and_an_empty_one_is_a_wrong_use() {
        let words =
            ["put-system", "--set", "uri=wuku://h/d/s", "--set", "roles=consumer,clerk", "--set", "enabled=true"];
        let Ok(What::PutSystem(put)) = line(&words) else { panic!() };
        let system: System = put.entry(SYSTEM).unwrap();
        assert_eq!(system.roles().collect::<Vec<_>>(), [Role::Consumer, Role::Clerk]);
        assert_eq!(of_system(&system), " · consumer, clerk · v0");
        let Ok(What::PutDepartment(put)) = line(&["put-department"]) else { panic!() };
        assert_eq!(put.entry::<Department>(DEPARTMENT).unwrap_err().code, 2);
        assert_eq!(line(&["put-nothing"]).err(), Some(2));
    }

    #[test]
    fn a_version_conflict_says_which_version_is_there() {
        let status = to_status(&Failure::new(Reason::StateChangedMeanwhile), None);
        assert!(moved(&status) && !moved(&to_status(&Failure::new(Reason::Internal), None)));
        let stop = conflict(Stop::from(status), 1, Some(4));
        assert!(
            stop.text.contains("STATE_CHANGED_MEANWHILE") && stop.text.contains("--set version=4"),
            "{}",
            stop.text
        );
        assert!(conflict(Stop::failed("x"), 1, Some(0)).text.contains("version 0"));
        assert_eq!(conflict(Stop::failed("x"), 1, None).text, "x");
    }
}
