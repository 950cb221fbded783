//! `wuku init` killed at any moment: the next run says what to remove, and with just that removed it makes a whole hub.
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::world::AUTHORITY;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wuku::log::SuiteName;

const KILLS: u32 = 12;
const KILLS_LONG: u32 = 100;

fn init(hub: &Hub) -> Command {
    let (config, root, uscc) = (hub.path("wuku.toml"), hub.path("root.key"), AUTHORITY.uscc());
    let mut command = Command::new(env!("CARGO_BIN_EXE_wuku"));
    command.arg("init").arg("--config").arg(config).arg("--root-key").arg(root);
    command.args(["--authority-department", AUTHORITY.code, "--authority-name", AUTHORITY.name]);
    command.args(["--authority-uscc", &uscc, "--authority-division", "331023"]);
    command
}

/// Runs it to its end: what it said, and whether it made a hub.
fn whole(hub: &Hub) -> Result<(), String> {
    let output = init(hub).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn remove(path: &Path) {
    if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
}

/// Removes a hub that nobody has asked anything yet.
fn clear(hub: &Hub) {
    let config = &hub.config;
    let made =
        [&config.data.path, &config.fence.path, &config.keys.kek_file, &config.keys.log_key_file, &config.trust.file];
    made.into_iter().chain([&hub.path("root.key")]).filter(|path| path.exists()).for_each(|path| remove(path));
}

/// The paths that a refused run names, one a line.
fn named(why: &str) -> Vec<PathBuf> {
    let lines = why.lines().filter_map(|line| line.strip_prefix("  "));
    lines.map(|line| PathBuf::from(line.rsplit(" = ").next().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_init_killed_at_any_moment_says_what_to_remove_and_then_makes_a_whole_hub() {
    let mut hub = Hub::of(SuiteName::Sm2).await; // what `wuku init` makes where nobody says
    assert!(hub.stop().await.success());
    hub.proofs.lock().unwrap().clear();
    clear(&hub);
    let begun = Instant::now();
    whole(&hub).unwrap();
    let takes = begun.elapsed();
    let kills = if figure::long() { KILLS_LONG } else { KILLS };
    let mut interrupted = 0;
    for kill in 0..kills {
        clear(&hub);
        let mut running = init(&hub).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(takes.as_secs_f64() * f64::from(kill) / f64::from(kills)));
        running.kill().unwrap();
        running.wait().unwrap();
        match whole(&hub) {
            Ok(()) => {} // killed before it had made anything
            Err(why) if why.contains("nothing was made") => assert!(why.contains("wuku serve"), "{why}"), // it had ended
            Err(why) => {
                assert!(
                    why.contains("interrupted") && why.contains("中断") && why.contains(".init-unfinished"),
                    "{why}"
                );
                let refused = hub.try_start().unwrap_err();
                assert!(refused.contains("wuku init"), "{refused}");
                named(&why).iter().for_each(|path| remove(path));
                whole(&hub).unwrap();
                interrupted += 1;
            }
        }
        hub.start();
        assert!(hub.stop().await.success(), "kill {kill}");
    }
    assert!(interrupted > 0, "no kill fell into it");
    figure::note("init", "kills survived", f64::from(kills), "kills", Target::AtLeast(f64::from(kills)));
    figure::note("init", "of them half-way", f64::from(interrupted), "kills", Target::AtLeast(1.0));
    hub.audit().await;
}
