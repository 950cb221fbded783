//! `wuku explain REASON`: what a reason means and what to do about it.
use crate::failure::Reason;
use crate::paper::reasons;
use clap::Args;
use std::process::ExitCode;

/// Arguments of `wuku explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The reason, as in an error: PURPOSE_NOT_GRANTED, or of an unreadable paper: bad-directory. Without one, all errors are listed
    /// (原因代码)
    reason: Option<String>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// Explains.
#[must_use]
pub fn run(args: &ExplainArgs) -> ExitCode {
    let reasons: Vec<Reason> = match &args.reason {
        None => Reason::ALL.to_vec(),
        Some(name) => match Reason::from_name(&name.to_uppercase()) {
            Some(reason) => vec![reason],
            None if reasons::words(&name.to_lowercase()).is_some() => {
                let (zh, en) = reasons::words(&name.to_lowercase()).unwrap_or_default();
                let name = name.to_lowercase();
                match args.json {
                    true => println!("{}", serde_json::json!({ "reason": name, "textZh": zh, "textEn": en })),
                    false => println!("{name}\n  {zh}。\n  {en}.\n"),
                }
                return ExitCode::SUCCESS;
            }
            None => {
                eprintln!("wuku: no reason {name:?}; `wuku explain` lists all (没有这个原因代码)");
                return ExitCode::FAILURE;
            }
        },
    };
    for reason in reasons {
        if args.json {
            let line = serde_json::json!({
                "reason": reason.name(),
                "textZh": reason.text_zh(), "remedyZh": reason.remedy_zh(),
                "textEn": reason.text_en(), "remedyEn": reason.remedy_en(),
            });
            println!("{line}");
        } else {
            println!(
                "{}\n  {} {}\n  {} {}\n",
                reason.name(),
                reason.text_zh(),
                reason.remedy_zh(),
                reason.text_en(),
                reason.remedy_en()
            );
        }
    }
    ExitCode::SUCCESS
}
