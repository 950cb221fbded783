//! `wuku fsck`: the whole store held against its log, with the hub at rest. Nothing is written.
use super::{CliError, CliResult, hub};
use crate::clock::Clock;
use crate::config::Config;
use crate::receipt::fsck::{Finding, Progress, Report, Subject, check};
use crate::receipt::report::Language;
use crate::store::Store;
use crate::store::vault::Vault;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Arguments of `wuku fsck`.
#[derive(Args, Debug)]
pub struct FsckArgs {
    /// The configuration file (配置文件)
    #[arg(long, default_value = "/etc/wuku/wuku.toml")]
    config: PathBuf,
    /// Print the report as JSON (以 JSON 输出)
    #[arg(long)]
    json: bool,
}

/// Walks the store; exit 0 clean, 1 findings, 2 unreadable.
#[must_use]
pub fn run(args: &FsckArgs, clock: &Clock) -> ExitCode {
    let language = Language::of_environment();
    let checked = super::block_on(async {
        let config = Config::load(&args.config)?;
        let store = hub::open_store(&config, clock)?;
        walk(&config, &store).await
    });
    match checked {
        Ok(report) => {
            if args.json {
                println!("{:#}", to_json(&report));
            } else {
                print!("{}", to_text(&report, language));
            }
            ExitCode::from(u8::from(!report.is_clean()))
        }
        Err(CliError(why)) => {
            if args.json {
                println!("{:#}", json!({"verdict": "unreadable", "detail": why}));
            }
            eprintln!("wuku: {why}");
            ExitCode::from(2)
        }
    }
}

/// Walks an open store with a progress bar on standard error, where that is a terminal.
///
/// # Errors
/// A key-encryption key that does not open the store; store faults.
pub async fn walk(config: &Config, store: &Arc<dyn Store>) -> CliResult<Report> {
    let vault = hub::open_vault(config, store.as_ref()).await?;
    let fence = Some(config.fence.path.as_path());
    walk_with(&vault, &config.hub.name, fence, store.as_ref()).await
}

/// The same with keys that are open already, and with or without the fence.
///
/// # Errors
/// Store faults.
pub async fn walk_with(vault: &Vault, hub: &str, fence: Option<&Path>, store: &dyn Store) -> CliResult<Report> {
    let subject = Subject { store, vault, hub, fence };
    let bar = ProgressBar::no_length(); // draws on standard error, and only where that is a terminal
    let mut stage = "";
    let report = check(subject, &mut |progress| show(&bar, &mut stage, progress)).await;
    bar.finish_and_clear();
    Ok(report?)
}

fn show(bar: &ProgressBar, stage: &mut &'static str, Progress { stage: now, done, total }: Progress) {
    if *stage != now {
        *stage = now;
        let template = if total.is_some() { "{msg:9} {bar:40} {pos}/{len} {eta}" } else { "{msg:9} {spinner} {pos}" };
        bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message(now);
    }
    match total {
        Some(total) => bar.set_length(total),
        None => bar.unset_length(),
    }
    bar.set_position(done);
}

/// The report as JSON: `verdict` is `clean` or `findings`.
#[must_use]
pub fn to_json(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "what": finding.what.name(), "where": finding.place, "detail": finding.detail,
            "textZh": finding.what.text_zh(), "remedyZh": finding.what.remedy_zh(),
            "textEn": finding.what.text_en(), "remedyEn": finding.what.remedy_en(),
        })
    };
    json!({
        "verdict": if report.is_clean() { "clean" } else { "findings" },
        "origin": report.origin,
        "size": report.size,
        "statements": report.statements,
        "tiles": report.tiles,
        "recordVersions": report.versions,
        "importRows": report.import_rows,
        "links": report.links,
        "requests": report.requests,
        "erased": report.erased,
        "findingsTotal": report.findings_total,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// The report for a person.
#[must_use]
pub fn to_text(report: &Report, language: Language) -> String {
    let chinese = language == Language::Chinese;
    let mut lines = Vec::new();
    for Finding { what, place, detail } in &report.findings {
        let (text, remedy) =
            if chinese { (what.text_zh(), what.remedy_zh()) } else { (what.text_en(), what.remedy_en()) };
        lines.push(format!("{} {place}: {text} ({detail})\n    {remedy}", what.name()));
    }
    let Report { origin, size, statements, tiles, versions, links, requests, findings_total, .. } = report;
    lines.push(if chinese {
        format!("{origin}：{size} 条日志、{statements} 份陈述、{tiles} 个哈希块、{versions} 个记录版本、{links} 条关联、{requests} 个已答复请求已核对")
    } else {
        format!("{origin}: {size} entries, {statements} statements, {tiles} tiles, {versions} record versions, {links} links, {requests} answered requests checked")
    });
    lines.push(match (findings_total, chinese) {
        (0, true) => "未发现问题。".to_owned(),
        (0, false) => "Clean.".to_owned(),
        (n, true) => format!("发现 {n} 处问题。"),
        (n, false) => format!("{n} findings."),
    });
    lines.join("\n") + "\n"
}
