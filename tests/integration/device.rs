//! The log key in a token (SoftHSM 2 in a folder of its own) and under a passphrase. Where SoftHSM is missing these are red.
use crate::client::{administration, request_id};
use crate::harness::Hub;
use crate::world::{AUTHORITY, CONSOLE, MARKET, department};
use std::path::{Path, PathBuf};
use std::process::Command;
use wuku::config::{Config, Pkcs11};
use wuku::wire::proto::catalogue::v1::PutDepartmentRequest;

struct Token {
    folder: tempfile::TempDir,
    module: PathBuf,
}

impl Token {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        std::fs::write(folder.path().join("conf"), format!("directories.tokendir = {}\n", tokens.display())).unwrap();
        std::fs::write(folder.path().join("pin"), "1234\n").unwrap();
        let arch = std::env::consts::ARCH;
        let at = ["/usr/lib/softhsm", &format!("/usr/lib/{arch}-linux-gnu/softhsm"), "/usr/lib64/softhsm"];
        let module = at.iter().map(|at| Path::new(at).join("libsofthsm2.so")).find(|path| path.exists());
        let token =
            Self { folder, module: module.expect("SoftHSM 2 is not installed: deploy/install-build-deps.sh --test") };
        let made = Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "wuku", "--pin", "1234", "--so-pin", "5678"])
            .envs(token.environment())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        token
    }

    fn environment(&self) -> Vec<(String, String)> {
        vec![("SOFTHSM2_CONF".into(), self.folder.path().join("conf").to_str().unwrap().into())]
    }

    fn configured(&self) -> Pkcs11 {
        Pkcs11 {
            module: self.module.clone(),
            token_label: "wuku".into(),
            pin_file: self.folder.path().join("pin"),
            key_label: "wuku-log".into(),
            sign_mechanism: None,
            generate_mechanism: None,
        }
    }

    fn hub(&self) -> Hub {
        Hub::make_with(self.environment(), &[CONSOLE], |config| config.keys.pkcs11 = Some(self.configured()))
    }
}

/// A driver that hands everything on to SoftHSM's, until a file says that the token has been taken away: SoftHSM itself signs on
/// from memory whatever becomes of its files.
fn removable(folder: &Path) -> PathBuf {
    const SOURCE: &str = r#"
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
typedef unsigned long R;
struct list { unsigned char version[2]; void *f[68]; };
static struct list own;
static R (*real_slots)(unsigned char, R *, R *);
static R (*real_sign_init)(R, void *, R);
static int away(void) { return access(getenv("TOKEN_AWAY"), F_OK) == 0; }
static R slots(unsigned char present, R *list, R *count) {
    if (away()) { *count = 0; return 0; }
    return real_slots(present, list, count);
}
static R sign_init(R session, void *mechanism, R key) {
    return away() ? 0x32 /* CKR_DEVICE_REMOVED */ : real_sign_init(session, mechanism, key);
}
R C_GetFunctionList(struct list **out) {
    void *driver = dlopen(getenv("TOKEN_DRIVER"), RTLD_NOW);
    struct list *real;
    R (*get)(struct list **) = driver ? dlsym(driver, "C_GetFunctionList") : 0;
    R code = get ? get(&real) : 5;
    if (code) return code;
    own = *real;
    real_slots = own.f[4];
    own.f[4] = slots;
    real_sign_init = own.f[42];
    own.f[42] = sign_init;
    *out = &own;
    return 0;
}
"#;
    let (source, driver) = (folder.join("removable.c"), folder.join("removable.so"));
    std::fs::write(&source, SOURCE).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&driver, &source]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    driver
}

async fn change(hub: &Hub) -> Result<(), tonic::Status> {
    hub.caller(CONSOLE).put_department(department(&MARKET)).await.map(|_| ())
}

fn rewrite(hub: &mut Hub, change: impl FnOnce(&mut Config)) {
    change(&mut hub.config);
    std::fs::write(hub.path("wuku.toml"), toml::to_string(&hub.config).unwrap()).unwrap();
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

#[tokio::test]
async fn a_hub_whose_key_is_in_a_token_survives_a_kill_and_a_rotation() {
    let token = Token::new();
    let mut hub = token.hub();
    let file = std::fs::read_to_string(&hub.config.keys.log_key_file).unwrap();
    assert!(file.starts_with("DEVICE+KEY+wuku-log-"), "the file says where the key is, and holds none: {file}");
    assert!(hub.log().contains("PKCS#11"), "the start says who keeps the key");
    change(&hub).await.unwrap();
    hub.kill();
    hub.start();
    hub.caller(CONSOLE).put_department(department(&crate::world::HEALTH)).await.unwrap();
    let (draft, root) = (hub.path("draft.json"), hub.path("root.key"));
    let words = |path: &Path| path.to_str().unwrap().to_owned();
    let made = hub.wuku(&["rotate", "log-key", "prepare", "--draft", &words(&draft)]);
    assert!(made.status.success(), "{}", said(&made));
    let note = hub.config.trust.file.clone();
    let signed = Command::new(env!("CARGO_BIN_EXE_wuku"))
        .args([
            "trust",
            "sign",
            "--draft",
            &words(&draft),
            "--root-key",
            &words(&root),
            "--out",
            &words(&hub.path("new.note")),
        ])
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", said(&signed));
    std::fs::rename(hub.path("new.note"), note).unwrap();
    let switched = hub.wuku(&["rotate", "log-key", "switch"]);
    assert!(switched.status.success(), "{}", said(&switched));
    let second = std::fs::read_to_string(&hub.config.keys.log_key_file).unwrap();
    assert!(second.starts_with("DEVICE+KEY+wuku-log-") && second != file, "another key of the token: {second}");
    let ended = hub.stop().await;
    assert!(ended.success(), "{}", hub.log());
    hub.start();
    assert!(hub.stop().await.success());
    let fsck = hub.fsck();
    assert!(fsck.status.success(), "{}", said(&fsck));
    hub.end_damaged(); // the harness holds the first trust file; fsck has read the whole log
}

#[tokio::test]
async fn each_way_not_to_sign_has_its_own_message_before_anything_starts() {
    let token = Token::new();
    let mut hub = token.hub();
    change(&hub).await.unwrap();
    assert!(hub.stop().await.success());
    let good = hub.command(&["check"]);
    assert!(good.status.success(), "{}", said(&good));
    let pin = token.folder.path().join("pin");
    let mut seen = Vec::new();
    let mut only = |hub: &mut Hub, word: &str| {
        let check = hub.command(&["check"]);
        let (said, refused) = (said(&check), hub.try_start().unwrap_err());
        assert!(!check.status.success() && said.contains(word) && refused.contains(word), "{word}: {said} {refused}");
        assert!(!seen.contains(&word.to_owned()));
        seen.push(word.to_owned());
        rewrite(hub, |config| config.keys.pkcs11 = Some(token.configured()));
    };
    std::fs::write(&pin, "9999\n").unwrap();
    only(&mut hub, "PIN is wrong");
    std::fs::write(&pin, "\n").unwrap();
    only(&mut hub, "passphrase file is empty");
    std::fs::remove_file(&pin).unwrap();
    only(&mut hub, "keys.pkcs11.pin_file");
    std::fs::write(&pin, "1234\n").unwrap();
    let with = |hub: &mut Hub, change: &dyn Fn(&mut Pkcs11)| {
        rewrite(hub, |config| change(config.keys.pkcs11.as_mut().unwrap()));
    };
    with(&mut hub, &|p| p.module = "/nowhere/driver.so".into());
    only(&mut hub, "does not load");
    with(&mut hub, &|p| p.token_label = "another".into());
    only(&mut hub, "No token is labelled another");
    with(&mut hub, &|p| p.sign_mechanism = Some(0x8000_0001));
    only(&mut hub, "does not know mechanism 0x80000001");
    rewrite(&mut hub, |config| config.keys.pkcs11 = None);
    only(&mut hub, "configure [keys.pkcs11]");
    let file = hub.config.keys.log_key_file.clone();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("wuku-log-", "wuku-gone-")).unwrap();
    only(&mut hub, "holds no key labelled wuku-gone-");
    std::fs::write(&file, text).unwrap();
    hub.start();
    change(&hub).await.unwrap_err(); // the same again: refused as a change, so it answers
    hub.end().await;
}

#[tokio::test]
async fn a_token_taken_away_stops_recording_with_its_reason_and_loses_nothing() {
    let mut token = Token::new();
    let (away, mut environment) = (token.folder.path().join("away"), token.environment());
    environment.push(("TOKEN_AWAY".into(), away.to_str().unwrap().into()));
    environment.push(("TOKEN_DRIVER".into(), token.module.to_str().unwrap().into()));
    token.module = removable(token.folder.path());
    let mut hub = Hub::make_with(environment, &[CONSOLE], |config| config.keys.pkcs11 = Some(token.configured()));
    change(&hub).await.unwrap();
    std::fs::write(&away, "").unwrap();
    let request = PutDepartmentRequest {
        request_id: request_id(),
        department: Some(department(&crate::world::HEALTH)),
        purpose: Some(administration()),
    };
    let console = hub.caller(CONSOLE);
    console.catalogue().put_department(request.clone()).await.unwrap_err();
    assert!(!hub.ends().await.success());
    assert!(hub.log().contains("No token is labelled wuku: insert it"), "{}", hub.log());
    assert!(hub.try_start().unwrap_err().contains("No token is labelled wuku: insert it"));
    std::fs::remove_file(&away).unwrap();
    hub.start();
    // The same request goes through: nothing of it had been taken.
    let console = hub.caller(CONSOLE);
    console.got(console.catalogue().put_department(request).await.unwrap().into_inner());
    assert_eq!(AUTHORITY.code, CONSOLE.0);
    hub.end().await;
}

#[tokio::test]
async fn a_hub_whose_key_is_under_a_passphrase_starts_with_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let phrase = folder.path().join("phrase");
    std::fs::write(&phrase, "correct horse\n").unwrap();
    let mut hub = Hub::make_with(Vec::new(), &[CONSOLE], |config| {
        config.keys.log_key_passphrase_file = Some(phrase.clone());
    });
    assert!(std::fs::read_to_string(&hub.config.keys.log_key_file).unwrap().starts_with("ENCRYPTED+KEY+"));
    assert!(hub.log().contains("software key, not a certified device"), "{}", hub.log());
    change(&hub).await.unwrap();
    hub.kill();
    std::fs::write(&phrase, "another\n").unwrap();
    let refused = hub.try_start().unwrap_err();
    assert!(refused.contains("passphrase is wrong"), "{refused}");
    std::fs::write(&phrase, "correct horse\n").unwrap();
    hub.start();
    hub.end().await;
}
