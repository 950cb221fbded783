//! `wuku log`: what the hub's log shows to everybody, checked here, and who looked at a subject.
use super::answer::{AnswerArgs, Answered, Asked, open_trust, refusal, show};
use super::connection::{Connection, PurposeArgs, Stop, fresh, request};
use super::lookup::{holder, licence_id};
use super::words::instant;
use crate::clock::Clock;
use crate::edge::identity::hex;
use crate::log::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::log::entry::Entry;
use crate::log::merkle::{leaf_hash, root_from_inclusion, verify_consistency};
use crate::log::{Hash, SuiteName, in_suite};
use crate::receipt::trust::Trust;
use crate::receipt::{canonical, readable};
use crate::wire::proto::receipt::v1::receipt_service_client::ReceiptServiceClient;
use crate::wire::proto::receipt::v1::{
    AccessQuestion, GetCheckpointRequest, GetConsistencyProofRequest, GetInclusionProofRequest, ListAccessesRequest,
    ListEntriesRequest,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tonic::transport::Channel;

/// Arguments of `wuku log`.
#[derive(Args, Debug)]
#[command(after_help = "\
Keep a checkpoint, and later have the hub prove that it went on from there (保存检查点，日后要求枢纽证明其延续):
  wuku log checkpoint --trust trust.note > then.note
  wuku log consistency then.note --trust trust.note")]
pub struct LogArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// The newest published checkpoint (最新检查点)
    #[command(after_help = "Example (示例): wuku log checkpoint --trust trust.note > checkpoint.note")]
    Checkpoint(Shared),
    /// Entries as they were hashed (日志条目)
    #[command(after_help = "Example (示例): wuku log entries --start 100 --count 20")]
    Entries {
        /// The first index, from 0 (起始叶序号)
        #[arg(long, default_value_t = 0)]
        start: u64,
        /// At most so many (至多)
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
        count: u32,
        #[command(flatten)]
        shared: Shared,
    },
    /// Prove that an entry is in the log, and check the proof (包含证明)
    #[command(after_help = "Example (示例): wuku log inclusion 42 --trust trust.note")]
    Inclusion {
        /// The entry (叶序号)
        index: u64,
        #[command(flatten)]
        shared: Shared,
    },
    /// Prove that the log goes on from a checkpoint you kept, and check the proof (一致性证明)
    #[command(after_help = "Example (示例): wuku log consistency then.note --trust trust.note")]
    Consistency {
        /// The checkpoint you kept (已保存的检查点)
        old: PathBuf,
        #[command(flatten)]
        shared: Shared,
    },
    /// Who looked at a subject, when and why; recorded like any question (谁查询过该主体)
    #[command(after_help = "\
Example (示例): wuku log accesses 111 331099199001010018 --purpose correction --cause 当事人申请查询 --operator 0042
Types (类型): a holder code type (111, 001 …), licence, feature, credit, grant, system, resource")]
    Accesses {
        /// Type of the subject (主体类型)
        subject_type: String,
        /// Its code (主体代码)
        code: String,
        /// Only entries before this index (早于该叶序号)
        #[arg(long, default_value_t = 0)]
        before: u64,
        /// At most so many (至多)
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
        #[command(flatten)]
        connection: Box<Connection>,
        #[command(flatten)]
        purpose: Box<PurposeArgs>,
        #[command(flatten)]
        answer: Box<AnswerArgs>,
    },
}

#[derive(Args, Debug)]
struct Shared {
    #[command(flatten)]
    connection: Connection,
    /// Check signatures against this trust file (信任文件)
    #[arg(long, env = "WUKU_TRUST", value_name = "TRUST_NOTE", hide_env_values = true)]
    trust: Option<PathBuf>,
    /// The root key as published, or the fingerprint of the trust file (根密钥或信任文件指纹)
    #[arg(long, value_name = "VKEY_OR_FINGERPRINT", requires = "trust")]
    root_key: Option<String>,
    /// Print JSON (以 JSON 输出)
    #[arg(long)]
    json: bool,
}

impl Shared {
    fn trust(&self) -> Result<Option<Trust>, Stop> {
        self.trust.as_deref().map(|path| open_trust(path, self.root_key.as_deref())).transpose()
    }
}

/// Runs `wuku log`.
///
/// # Errors
/// A proof or signature that does not hold, a refusal (1); a file that is no checkpoint (2).
pub async fn run(args: &LogArgs, clock: &Clock) -> Result<(), Stop> {
    match &args.what {
        What::Checkpoint(shared) => checkpoint(shared).await,
        What::Entries { start, count, shared } => entries(*start, *count, shared).await,
        What::Inclusion { index, shared } => inclusion(*index, shared).await,
        What::Consistency { old, shared } => consistency(old, shared).await,
        What::Accesses { subject_type, code, before, limit, connection, purpose, answer } => {
            let question = Bytes::from(canonical::encode(&AccessQuestion {
                nonce: Bytes::copy_from_slice(&fresh::<32>()?),
                purpose: Some(purpose.of_audit()),
                operator: purpose.operator(),
                subject_type: subject_type.clone(),
                subject_code: subject(subject_type, code)?,
                before_index: *before,
                limit: *limit,
            }));
            let mut client = ReceiptServiceClient::new(connection.open().await?);
            let message = ListAccessesRequest { question: question.clone() };
            let reply = client.list_accesses(request(message)).await;
            let reply =
                reply.map_err(|status| refusal(answer, &status, Asked::Question(&question), clock))?.into_inner();
            let answered = Answered::one(reply.payload, reply.receipt)?;
            show(answer, &[(answered, Asked::Question(&question))], None, clock).map(|_| ())
        }
    }
}

/// A subject's code in canonical form, where its type has one.
fn subject(subject_type: &str, code: &str) -> Result<String, Stop> {
    match subject_type {
        "licence" => licence_id(code),
        "feature" | "credit" | "grant" | "system" | "resource" | "seal" => Ok(code.to_owned()),
        _ => Ok(holder(Some(subject_type), code)?.code),
    }
}

async fn checkpoint(shared: &Shared) -> Result<(), Stop> {
    let trust = shared.trust()?;
    let note = newest(shared.connection.open().await?).await?;
    let (signed, _) = read(&note, trust.as_ref())?;
    if shared.json {
        println!(
            "{:#}",
            json!({
                "origin": signed.origin.to_string(), "size": signed.size, "root": BASE64.encode(signed.root),
                "verified": trust.is_some(), "note": String::from_utf8_lossy(&note),
            })
        );
        return Ok(());
    }
    said_if_unchecked(trust.is_some());
    std::io::stdout().write_all(&note).map_err(|e| Stop::failed(e.to_string()))
}

async fn entries(start: u64, count: u32, shared: &Shared) -> Result<(), Stop> {
    let mut client = ReceiptServiceClient::new(shared.connection.open().await?);
    let reply = client.list_entries(request(ListEntriesRequest { start, count })).await?.into_inner();
    let entries: Vec<(u64, Result<Entry, _>)> =
        reply.entries.iter().zip(start..).map(|(bytes, index)| (index, Entry::parse(bytes))).collect();
    let unreadable = entries.iter().find(|(_, entry)| entry.is_err()).map(|(index, _)| *index);
    if let Some(index) = unreadable {
        return Err(Stop::failed(format!("entry {index} is no log entry (不是日志条目)")));
    }
    let entries: Vec<(u64, Entry)> =
        entries.into_iter().filter_map(|(index, entry)| Some((index, entry.ok()?))).collect();
    if shared.json {
        let all: Vec<Value> = entries.iter().map(|(index, entry)| of_entry(*index, entry)).collect();
        println!("{:#}", json!({ "size": reply.size, "entries": all }));
        return Ok(());
    }
    for (index, entry) in &entries {
        let what = match entry {
            Entry::Statement { commitment, .. } => format!("statement {}", hex(commitment)),
            Entry::Public { event, .. } => format!("public {}", of_event(event)),
        };
        println!("#{index}  {}  {what}", instant(entry.time_s().saturating_mul(1_000)));
    }
    eprintln!("wuku: {} of {} entries (条目)", entries.len(), reply.size);
    Ok(())
}

fn of_entry(index: u64, entry: &Entry) -> Value {
    match entry {
        Entry::Statement { time_s, commitment } => {
            json!({ "index": index, "timeS": time_s, "commitment": hex(commitment) })
        }
        Entry::Public { time_s, event } => json!({ "index": index, "timeS": time_s, "event": of_event(event) }),
    }
}

fn of_event(event: &[u8]) -> Value {
    readable::to_json("wuku.receipt.v1.PublicEvent", event).unwrap_or_default()
}

async fn inclusion(index: u64, shared: &Shared) -> Result<(), Stop> {
    let trust = shared.trust()?;
    let channel = shared.connection.open().await?;
    let (head, suite) = read(&newest(channel.clone()).await?, trust.as_ref())?;
    let mut client = ReceiptServiceClient::new(channel);
    let reply = client.list_entries(request(ListEntriesRequest { start: index, count: 1 })).await?.into_inner();
    let entry = reply.entries.into_iter().next().ok_or_else(|| Stop::failed("there is no such entry (没有此条目)"))?;
    let proof = GetInclusionProofRequest { leaf_index: index, size: head.size };
    let path = client.get_inclusion_proof(request(proof)).await?.into_inner().path;
    is_included(suite, &entry, index, &path, &head)?;
    holds(
        shared,
        trust.is_some(),
        "条目在日志中 the entry is in the log",
        json!({
            "index": index, "size": head.size, "origin": head.origin.to_string(), "entry": hex(&entry),
            "path": hashes(&path).iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
        }),
    );
    Ok(())
}

/// The entry and its path lead to the checkpoint's root.
fn is_included(suite: Option<SuiteName>, entry: &[u8], index: u64, path: &[u8], head: &Checkpoint) -> Result<(), Stop> {
    let root = |suite: SuiteName| in_suite!(suite, S => root_from_inclusion::<S>(&leaf_hash::<S>(entry), index, head.size, path));
    for suite in suites(suite) {
        match root(suite) {
            Ok(root) if root == head.root => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(Stop::failed(format!("包含证明不成立。The proof does not hold: {error}"))),
        }
    }
    Err(Stop::failed("包含证明不成立。The proof leads to another root than the checkpoint's."))
}

/// The suites a proof may hold in. Without a trust file nothing says the log's, and nothing is believed either: a proof to a root that
/// nobody's key vouches for may be in any.
fn suites(known: Option<SuiteName>) -> Vec<SuiteName> {
    known.map_or_else(|| SuiteName::ALL.to_vec(), |suite| vec![suite])
}

async fn consistency(old: &Path, shared: &Shared) -> Result<(), Stop> {
    let trust = shared.trust()?;
    let note = std::fs::read(old).map_err(|e| Stop::usage(format!("{}: {e}", old.display())))?;
    let (then, suite) = read(&note, trust.as_ref())
        .map_err(|stop| Stop { text: format!("{}: {}", old.display(), stop.text), ..stop })?;
    let channel = shared.connection.open().await?;
    let (now, _) = read(&newest(channel.clone()).await?, trust.as_ref())?;
    if then.origin != now.origin {
        let text = format!("日志已更换：{} → {}。The log is another one.", then.origin, now.origin);
        return Err(Stop::failed(text));
    }
    if then.size > now.size {
        let text = format!(
            "日志变短了：{} → {}，请保留检查点并报告。The log is shorter than it was; keep the checkpoint and report it.",
            then.size, now.size
        );
        return Err(Stop::failed(text));
    }
    let proof = if then.size == 0 || then.size == now.size {
        Bytes::new()
    } else {
        let message = GetConsistencyProofRequest { old_size: then.size, new_size: now.size };
        ReceiptServiceClient::new(channel).get_consistency_proof(request(message)).await?.into_inner().path
    };
    continues(suite, &then, &now, &proof)?;
    holds(
        shared,
        trust.is_some(),
        "日志由此延续 the log goes on from there",
        json!({
            "origin": now.origin.to_string(), "oldSize": then.size, "newSize": now.size,
            "path": hashes(&proof).iter().map(|hash| hex(hash)).collect::<Vec<_>>(),
        }),
    );
    Ok(())
}

/// The log of the newer checkpoint begins with that of the older.
fn continues(suite: Option<SuiteName>, then: &Checkpoint, now: &Checkpoint, proof: &[u8]) -> Result<(), Stop> {
    let whole = proof.len().is_multiple_of(size_of::<Hash>());
    let proof = hashes(proof);
    let held = suites(suite).into_iter().any(|suite| {
        in_suite!(suite, S => verify_consistency::<S>(then.size, now.size, &then.root, &now.root, proof)).is_ok()
    });
    match held && whole {
        true => Ok(()),
        false => Err(Stop::failed(
            "一致性证明不成立：两个检查点不在同一历史上，请保留两者并报告。\n  The proof does not hold: keep both checkpoints and report it; the log may have two histories.",
        )),
    }
}

fn hashes(path: &[u8]) -> &[Hash] {
    path.as_chunks().0
}

fn holds(shared: &Shared, verified: bool, text: &str, facts: Value) {
    if shared.json {
        let mut facts = facts;
        if let Some(object) = facts.as_object_mut() {
            object.insert("verified".into(), verified.into());
        }
        println!("{facts:#}");
    } else {
        println!("{text}");
        said_if_unchecked(verified);
    }
}

fn said_if_unchecked(verified: bool) {
    if !verified {
        eprintln!("wuku: signature not checked; give --trust (签名未核验，可加 --trust)");
    }
}

async fn newest(channel: Channel) -> Result<Bytes, Stop> {
    Ok(ReceiptServiceClient::new(channel)
        .get_checkpoint(request(GetCheckpointRequest {}))
        .await?
        .into_inner()
        .checkpoint)
}

/// Reads a checkpoint; with a trust file its signature must be by a key that covers its size and is in nobody else's hands, and the
/// suite is the one the file names.
fn read(note: &[u8], trust: Option<&Trust>) -> Result<(Checkpoint, Option<SuiteName>), Stop> {
    let signed = SignedCheckpoint::parse(note).map_err(|_| Stop::usage("不是检查点。Not a checkpoint."))?;
    let Some(trust) = trust else { return Ok((signed.checkpoint, None)) };
    let log = trust.log(&signed.checkpoint.origin);
    match log.filter(|log| log.keys.iter().any(|trusted| trusted.vouches_for(&signed))) {
        Some(log) => Ok((signed.checkpoint, Some(log.suite))),
        None => Err(Stop::failed("检查点的签名不成立或不被信任。The checkpoint's signature is not trusted.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::merkle::Frontier;
    use crate::log::{Ed25519, HubName, LogKey, Origin, Suite};
    use crate::receipt::trust::{KeyState, TrustedKey, TrustedLog};

    const ORIGIN: &str = "hub.test/wuku/1";

    fn key(suite: SuiteName, seed: u8) -> LogKey {
        LogKey::from_seed(ORIGIN, suite, &[seed; 32]).unwrap()
    }

    fn trust(suite: SuiteName, state: KeyState) -> Trust {
        let keys = vec![TrustedKey { key: key(suite, 1).verifier().clone(), from_size: 2, to_size: None, state }];
        let log = TrustedLog { origin: Origin::parse(ORIGIN).unwrap(), suite, keys, closed_at_s: None };
        Trust { hub: HubName::parse("hub.test").unwrap(), epoch: 1, logs: vec![log] }
    }

    fn head<S: Suite>(size: u64) -> Checkpoint {
        let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash::<S>(&n.to_be_bytes())).collect();
        let root = Frontier::<S>::new().append(&leaves).into_frontier().root();
        Checkpoint { origin: Origin::parse(ORIGIN).unwrap(), size, root }
    }

    #[test]
    fn a_checkpoint_is_believed_only_under_a_key_that_is_trusted_for_it() {
        for suite in SuiteName::ALL {
            let (head, trust) = (head::<Ed25519>, |state| trust(suite, state));
            let note = head(3).sign(&key(suite, 1)).unwrap();
            assert_eq!(read(&note, None).unwrap(), (head(3), None));
            assert_eq!(read(&note, Some(&trust(KeyState::Active))).unwrap(), (head(3), Some(suite)));
            assert!(read(&note, Some(&trust(KeyState::Compromised))).is_err());
            let early = head(1).sign(&key(suite, 1)).unwrap();
            assert!(read(&early, Some(&trust(KeyState::Active))).is_err(), "before its sizes");
            let other = head(3).sign(&key(suite, 2)).unwrap();
            assert!(read(&other, Some(&trust(KeyState::Active))).is_err(), "another key");
        }
        assert_eq!(read(b"note", None).unwrap_err().code, 2);
    }

    #[test]
    fn an_entry_and_a_continuation_are_checked_against_the_roots() {
        in_suite!(SuiteName::Ed25519, S => proofs_hold::<S>(SuiteName::Sm2));
        in_suite!(SuiteName::Sm2, S => proofs_hold::<S>(SuiteName::Ed25519));
    }

    fn proofs_hold<S: Suite>(other: SuiteName) {
        let leaves: Vec<Hash> = (0..2_u64).map(|n| leaf_hash::<S>(&n.to_be_bytes())).collect();
        let (path, head) = (leaves[0], head::<S>);
        let proof = leaf_hash::<S>(&2_u64.to_be_bytes());
        for suite in [None, Some(S::NAME)] {
            assert!(is_included(suite, &1_u64.to_be_bytes(), 1, &path, &head(2)).is_ok());
            assert!(is_included(suite, &0_u64.to_be_bytes(), 1, &path, &head(2)).is_err());
            assert!(is_included(suite, &1_u64.to_be_bytes(), 1, &[], &head(2)).is_err());
            assert!(continues(suite, &head(2), &head(3), &proof).is_ok());
            assert!(continues(suite, &head(3), &head(3), &[]).is_ok());
            assert!(continues(suite, &head(2), &head(3), &leaves[0]).is_err());
            assert!(continues(suite, &head(2), &head(3), &[&proof[..], &[0]].concat()).is_err());
            let forked = Checkpoint { root: [9; 32], ..head(2) };
            assert!(continues(suite, &forked, &head(3), &proof).is_err());
        }
        assert!(is_included(Some(other), &1_u64.to_be_bytes(), 1, &path, &head(2)).is_err());
        assert!(continues(Some(other), &head(2), &head(3), &proof).is_err());
    }

    #[test]
    fn subjects_are_named_in_canonical_form() {
        assert_eq!(subject("111", "11010519491231002x").unwrap(), "11010519491231002X");
        assert_eq!(subject("system", "wuku://h/d/s").unwrap(), "wuku://h/d/s");
        assert_eq!(subject("111", "1").unwrap_err().code, 2);
        assert_eq!(subject("dog", "rex").unwrap_err().code, 2);
    }
}
