//! What the fence sees: one row for each way it can be missing, torn, foreign or ahead; and how a hub goes on afterwards.
//!
//! Done as an operator would: folders copied back, the real binary started, its words read, the remedy it names carried out.
use crate::audit;
use crate::client::{Proved, context, licence, reason};
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::world::{WINDOW, draft};
use prost::bytes::Bytes;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use wuku::failure::Reason;
use wuku::receipt::evidence;
use wuku::receipt::trust::{Root, Trust};
use wuku::store::fence::{Fence, Head};
use wuku::wire::proto::exchange::v1::Context;

/// A stopped hub with copies of its folders: as they were earlier, and as they are.
struct Kept {
    hub: Hub,
    id: String,
    /// Said before the earlier copy was made, and after it.
    before: Proved,
    after: Proved,
}

impl Kept {
    async fn new() -> Self {
        let mut hub = Hub::new().await;
        hub.grant_food().await;
        let id = hub.issue(draft()).await;
        let before = hub.caller(WINDOW).look_up(&licence(&id, &["number"])).await.unwrap();
        assert!(hub.stop().await.success());
        keep(&hub, "earlier");
        hub.start();
        let window = hub.caller(WINDOW);
        for _ in 0..3 {
            window.look_up(&licence(&id, &["number"])).await.unwrap();
        }
        let after = window.look_up(&licence(&id, &["number"])).await.unwrap();
        assert!(hub.stop().await.success());
        keep(&hub, "now");
        Self { hub, id, before, after }
    }

    /// Puts copies back: of the data, and of the fence.
    fn put_back(&self, data: &str, fence: &str) {
        replace(&self.hub.path(&format!("kept/{data}/data")), &self.hub.config.data.path);
        replace(&self.hub.path(&format!("kept/{fence}/fence")), &self.hub.config.fence.path);
    }

    fn fence(&self) -> &Path {
        &self.hub.config.fence.path
    }

    /// Another fence in its place, which has seen this head.
    fn foreign_fence(&self, origin: &str, root: [u8; 32]) {
        let size = Fence::read(self.fence()).unwrap().unwrap().size;
        std::fs::remove_dir_all(self.fence()).unwrap();
        let mut fence = Fence::create(self.fence()).unwrap();
        fence.begin_origin(Head { origin: origin.into(), size, root }).unwrap();
    }

    /// `wuku recover --new-log` with these words, and every step it says comes next. The hub then serves the new log.
    fn recover(&mut self, words: &[&str]) {
        let done = self.hub.wuku(&[&["recover", "--new-log", "--json"], words].concat());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "{said}");
        let done: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        let text = |name: &str| done[name].as_str().unwrap().to_owned();
        assert!(said.contains(&text("origin")) && said.contains("接下来") && said.contains("trust add-key"), "{said}");
        let (trust, draft) = (self.hub.config.trust.file.clone(), self.hub.path("draft.json"));
        let (trust, draft) = (trust.to_str().unwrap(), draft.to_str().unwrap());
        let size = done["fromSize"].as_u64().unwrap().to_string();
        let close = format!("{}@{}", text("oldOrigin"), done["oldLogClosedAt"]);
        run(&["trust", "add-key", "--trust", trust, "--key", &text("vkey"), "--from-size", &size])
            .args(["--close", &close, "--draft", draft])
            .done();
        let root = self.hub.path("root.key");
        std::fs::rename(trust, self.hub.path("trust.old")).unwrap();
        run(&["trust", "sign", "--draft", draft, "--root-key", root.to_str().unwrap(), "--out", trust]).done();
        self.hub.config.hub.origin_number = text("origin").rsplit('/').next().unwrap().parse().unwrap();
        self.hub.config.keys.log_key_file = text("keyFile").into();
        std::fs::write(self.hub.path("wuku.toml"), toml::to_string(&self.hub.config).unwrap()).unwrap();
        self.hub.trust = Arc::new(Trust::open(&std::fs::read(trust).unwrap(), Root::ByHand).unwrap());
    }

    /// `wuku-verify` and the trust file published now say that evidence is good.
    fn good(&self, what: &str, proved: &Proved) {
        let file = self.hub.path("evidence.json");
        std::fs::write(&file, evidence::to_json(&proved.evidence)).unwrap();
        let verified = Command::new(env!("CARGO_BIN_EXE_wuku-verify"))
            .arg("--trust")
            .arg(&self.hub.config.trust.file)
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verified.stdout);
        assert!(verified.status.success(), "{what}: {said} {}", String::from_utf8_lossy(&verified.stderr));
    }

    /// The hub goes on under the new origin, old evidence stays good, and so does the log.
    async fn goes_on(mut self, lost: &[&Proved]) {
        self.hub.start();
        let new = self.hub.caller(WINDOW).look_up(&licence(&self.id, &["number"])).await.unwrap();
        let checkpoint = String::from_utf8(new.receipt().checkpoint.to_vec()).unwrap();
        assert!(checkpoint.starts_with("hub.test/wuku/2\n"), "{checkpoint}");
        self.good("said before what was restored", &self.before);
        self.good("said since", &new);
        for proved in lost {
            self.good("lost with the log, seen by others", proved);
        }
        // What was lost is not in the log; everything else that was ever said is.
        let kept_size = self.before.receipt().leaf_index;
        let new_from = new.receipt().leaf_index;
        self.hub.proofs.lock().unwrap().retain(|evidence| {
            let receipt = evidence.receipt.as_ref().unwrap();
            receipt.leaf_index <= kept_size
                || (receipt.leaf_index >= new_from && receipt.checkpoint.starts_with(b"hub.test/wuku/2\n"))
        });
        self.hub.end().await;
    }
}

struct Run(Command);

fn run(words: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wuku"));
    command.args(words);
    Run(command)
}

impl Run {
    fn args<const N: usize>(mut self, words: [&str; N]) -> Self {
        self.0.args(words);
        self
    }

    fn done(mut self) {
        let output = self.0.output().unwrap();
        assert!(output.status.success(), "{:?}: {}", self.0, String::from_utf8_lossy(&output.stderr));
    }
}

fn keep(hub: &Hub, name: &str) {
    let folder = hub.path(&format!("kept/{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    replace(&hub.config.data.path, &folder.join("data"));
    replace(&hub.config.fence.path, &folder.join("fence"));
}

/// Makes `to` a copy of the folder `from`.
pub fn replace(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").args([from, to]).status().unwrap();
    assert!(copied.success());
}

type Spoil = fn(&mut Kept);

/// What is done to the folders, and what `wuku serve` must say; nothing where it must start.
const MATRIX: [(&str, Spoil, &[&str]); 9] = [
    ("the fence is missing", |kept| std::fs::remove_dir_all(kept.fence()).unwrap(), NO_FENCE),
    ("both slots are unreadable", |kept| ["slot-0", "slot-1"].iter().for_each(|slot| tear(kept, slot)), LOST_FENCE),
    ("the first slot is torn", |kept| tear(kept, "slot-0"), &[]),
    ("the second slot is torn", |kept| tear(kept, "slot-1"), &[]),
    ("the fence is older than the log", |kept| kept.put_back("now", "earlier"), &[]),
    ("an older data folder was restored", |kept| kept.put_back("earlier", "now"), OLDER_DATA),
    (
        "the fence is another log's",
        |kept| kept.foreign_fence("hub.test/wuku/7", [1; 32]),
        &["names the log hub.test/wuku/7", "Compare hub.origin_number", "防回退文件的日志是 hub.test/wuku/7", "核对"],
    ),
    (
        "the fence has seen another history",
        |kept| kept.foreign_fence("hub.test/wuku/1", [1; 32]),
        &["another root than the fence has seen", "wuku fsck", "历史被改动过", "保留现场"],
    ),
    (
        "the log key is another log's",
        |kept| kept.hub.config.hub.origin_number = 2,
        &["log key belongs to hub.test/wuku/1", "keys.log_key_file", "核对"],
    ),
];

const NO_FENCE: &[&str] =
    &["fence.path", "cannot read", "wuku recover --new-log --fence-lost", "读不到", "挂上原来的磁盘"];
const LOST_FENCE: &[&str] =
    &["The fence cannot be read", "wuku recover --new-log --fence-lost", "防回退文件无法读取", "核对 fence.path"];
const OLDER_DATA: &[&str] =
    &["replaced by an older copy", "`wuku recover --new-log` opens a new log", "较早的副本", "恢复较新的备份"];

fn tear(kept: &Kept, slot: &str) {
    let path = kept.fence().join(slot);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100..300].fill(0xa5);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_a_fence_can_be_wrong_is_refused_with_its_reason_and_its_remedy() {
    let mut kept = Kept::new().await;
    for (what, spoil, words) in MATRIX {
        kept.put_back("now", "now");
        spoil(&mut kept);
        std::fs::write(kept.hub.path("wuku.toml"), toml::to_string(&kept.hub.config).unwrap()).unwrap();
        match kept.hub.try_start() {
            Ok(()) => {
                assert!(words.is_empty(), "{what}: it started");
                kept.hub.caller(WINDOW).look_up(&licence(&kept.id, &["number"])).await.unwrap();
                assert!(kept.hub.stop().await.success());
            }
            Err(why) => {
                assert!(!words.is_empty(), "{what}: {why}");
                words.iter().for_each(|word| assert!(why.contains(word), "{what}: {word} is missing in {why}"));
            }
        }
        kept.hub.config.hub.origin_number = 1;
    }
    figure::note("fence", "rows of the matrix", MATRIX.len() as f64, "rows", Target::AtLeast(9.0));
    // Each row began from the folders as they are: what the last one said is theirs alone.
    kept.put_back("now", "now");
    std::fs::write(kept.hub.path("wuku.toml"), toml::to_string(&kept.hub.config).unwrap()).unwrap();
    let last = kept.after.receipt().leaf_index;
    kept.hub.proofs.lock().unwrap().retain(|evidence| evidence.receipt.as_ref().unwrap().leaf_index <= last);
    kept.hub.start();
    kept.hub.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_older_data_folder_a_new_log_goes_on_and_old_evidence_stays_good() {
    let mut kept = Kept::new().await;
    kept.put_back("earlier", "now");
    kept.hub.try_start().unwrap_err();
    kept.recover(&[]);
    let after = kept.after.clone();
    kept.goes_on(&[&after]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fence_is_lost_with_the_newest_data_a_checkpoint_that_others_hold_opens_the_new_log() {
    let mut kept = Kept::new().await;
    kept.put_back("earlier", "now");
    std::fs::remove_dir_all(kept.fence()).unwrap();
    let seen = kept.hub.path("seen.note");
    std::fs::write(&seen, &kept.after.receipt().checkpoint).unwrap();
    let refused = kept.hub.wuku(&["recover", "--new-log"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("--fence-lost"), "{why}");
    kept.recover(&["--fence-lost", "--seen", seen.to_str().unwrap()]);
    let after = kept.after.clone();
    kept.goes_on(&[&after]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_set_back_as_a_whole_is_convicted_by_what_a_caller_has_seen_and_stays_so() {
    let mut kept = Kept::new().await;
    kept.put_back("earlier", "earlier"); // as a snapshot of the machine: nothing in it can tell
    kept.hub.start();
    let mut question = licence(&kept.id, &["number"]);
    let checkpoint: Bytes = kept.after.receipt().checkpoint.clone();
    question.context = Some(Context { seen: checkpoint, ..context() });
    let status = kept.hub.caller(WINDOW).look_up(&question).await.unwrap_err();
    assert_eq!(reason(&status), Reason::RecordingStopped);
    assert!(!kept.hub.ends().await.success(), "an operator must look");
    // A supervisor starts it again: without the note it would sign a second history from here.
    for _ in 0..2 {
        let why = kept.hub.try_start().unwrap_err();
        for word in ["A caller holds a checkpoint", "recover --new-log", "有调用方持", "恢复较新的备份"] {
            assert!(why.contains(word), "{word} is missing in {why}");
        }
    }
    // Given back everything up to that checkpoint, it starts: nothing is lost then.
    keep(&kept.hub, "convicted");
    replace(&kept.hub.path("kept/now/data"), &kept.hub.config.data.path);
    kept.hub.start();
    assert!(kept.hub.stop().await.success());
    kept.put_back("convicted", "convicted");
    kept.recover(&[]);
    let after = kept.after.clone();
    kept.goes_on(&[&after]).await;
}

/// The control: a hub that is not shown what others have seen starts on the older copy, and the audit of the log finds what is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_what_others_have_seen_a_machine_set_back_is_found_by_the_oracle_alone() {
    let mut kept = Kept::new().await;
    kept.put_back("earlier", "earlier");
    kept.hub.start();
    assert!(kept.hub.stop().await.success());
    let opened = audit::open(&kept.hub).await;
    let entries = audit::entries(&opened).await;
    let lost = usize::try_from(kept.after.receipt().leaf_index).unwrap();
    assert!(entries.len() <= lost, "the restored log holds what it lost");
    drop(opened);
    kept.hub.end_damaged();
}
