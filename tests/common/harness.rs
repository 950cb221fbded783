//! A hub as an operator runs it: certificates, a configuration file, `wuku init`, `wuku serve`.
use crate::audit;
use crate::client::Caller;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wuku::cli::client::Client;
use wuku::cli::dev_certs::{Authority, DevCerts, DevDepartment, Pair};
use wuku::clock::Clock;
use wuku::config::{Config, LogFormat};
use wuku::log::SuiteName;
use wuku::receipt::Evidence;
use wuku::receipt::trust::{Root, Trust};

/// The hub's name in all tests.
pub const HUB: &str = "hub.test";

/// Every answer that was given out and found good, to be found again when the hub has stopped.
pub type Proofs = Arc<Mutex<Vec<Evidence>>>;

/// A hub in a folder of its own.
pub struct Hub {
    folder: TempDir,
    /// Its certificates and revocation lists.
    pub certs: DevCerts,
    /// Its configuration, as written.
    pub config: Config,
    /// The trust file `wuku init` wrote.
    pub trust: Arc<Trust>,
    /// Everything it has said.
    pub proofs: Proofs,
    /// Environment of the next `wuku serve`.
    pub environment: Vec<(String, String)>,
    server: Option<Server>,
    ended: bool,
}

/// A running `wuku serve`.
struct Server {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Hub {
    /// Makes a hub of the suite `ed25519` and starts it; `tune` changes its configuration before.
    pub fn make(systems: &[(&str, &str)], issuers: &[DevDepartment], tune: impl FnOnce(&mut Config)) -> Self {
        Self::make_in(SuiteName::Ed25519, systems, issuers, tune)
    }

    /// The same in a suite of the test's choice.
    pub fn make_in(
        suite: SuiteName,
        systems: &[(&str, &str)],
        issuers: &[DevDepartment],
        tune: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certs, config) = Self::configure(&folder, systems, issuers, tune);
        Self::init(&folder, suite, &[]);
        Self::started(folder, certs, config, Vec::new())
    }

    /// The same with an environment for every command, the first one included.
    #[allow(dead_code, reason = "of the integration tests")]
    pub fn make_with(
        environment: Vec<(String, String)>,
        systems: &[(&str, &str)],
        tune: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certs, config) = Self::configure(&folder, systems, &[], tune);
        Self::init(&folder, SuiteName::Ed25519, &environment);
        Self::started(folder, certs, config, environment)
    }

    /// Starts a hub whose data, fence, keys and trust file are in the folder already, with certificates of its own.
    pub fn adopt(
        folder: TempDir,
        systems: &[(&str, &str)],
        issuers: &[DevDepartment],
        tune: impl FnOnce(&mut Config),
    ) -> Self {
        let (certs, config) = Self::configure(&folder, systems, issuers, tune);
        Self::started(folder, certs, config, Vec::new())
    }

    fn started(folder: TempDir, certs: DevCerts, config: Config, environment: Vec<(String, String)>) -> Self {
        let trust = Trust::open(&std::fs::read(folder.path().join("trust.note")).unwrap(), Root::ByHand).unwrap();
        let trust = Arc::new(trust);
        let mut hub =
            Self { folder, certs, config, trust, proofs: Proofs::default(), environment, server: None, ended: false };
        hub.start();
        hub
    }

    fn configure(
        folder: &TempDir,
        systems: &[(&str, &str)],
        issuers: &[DevDepartment],
        tune: impl FnOnce(&mut Config),
    ) -> (DevCerts, Config) {
        let at = |name: &str| folder.path().join(name);
        let certs = DevCerts::make(&at("certs"), HUB, systems, issuers, &Clock::system()).unwrap();
        let mut config = Config::parse(&format!("[hub]\nname = \"{HUB}\"")).unwrap();
        config.data.path = at("data");
        config.fence.path = at("fence");
        config.keys.kek_file = at("keys/kek");
        config.keys.log_key_file = at("keys/log.key");
        config.trust.file = at("trust.note");
        config.listen.address = "127.0.0.1:0".into();
        config.listen.admin_address = "127.0.0.1:0".into();
        config.listen.tls_certificate_file = certs.server().certificate;
        config.listen.tls_key_file = certs.server().key;
        config.listen.client_ca_file = certs.authority(Authority::Client).certificate;
        config.listen.client_crl_files = vec![certs.crl(Authority::Client)];
        config.listen.drain_ms_max = 3_000;
        config.issuers.ca_file = certs.authority(Authority::Issuer).certificate;
        config.issuers.crl_files = vec![certs.crl(Authority::Issuer)];
        config.store.rocks_cache_mib = 16;
        config.logging.format = LogFormat::Json;
        tune(&mut config);
        std::fs::write(at("wuku.toml"), toml::to_string(&config).unwrap()).unwrap();
        (certs, config)
    }

    fn init(folder: &TempDir, suite: SuiteName, environment: &[(String, String)]) {
        let at = |name: &str| folder.path().join(name);
        let first = crate::world::AUTHORITY;
        let uscc = first.uscc();
        let root_key = at("root.key");
        let words = [
            ("--root-key", root_key.to_str().unwrap()),
            ("--authority-department", first.code),
            ("--authority-name", first.name),
            ("--authority-uscc", &uscc),
            ("--authority-division", "331023"),
        ];
        let words = words.iter().flat_map(|(name, value)| [*name, *value]);
        let made = Command::new(env!("CARGO_BIN_EXE_wuku"))
            .args(["init", "--suite", suite.as_str(), "--config", at("wuku.toml").to_str().unwrap()])
            .args(words)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        assert!(made.status.success(), "init: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// Its suite, as the trust file says: all logs of a hub are of one.
    pub fn suite(&self) -> SuiteName {
        self.trust.logs[0].suite
    }

    /// A path in the hub's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the hub; it must not be running.
    pub fn start(&mut self) {
        self.try_start().unwrap_or_else(|why| panic!("the hub did not start {why}"));
    }

    /// Starts the hub if it will: else how it ended and what it said.
    pub fn try_start(&mut self) -> Result<(), String> {
        assert!(self.server.is_none());
        let log = File::options().create(true).append(true).open(self.path("hub.log")).unwrap();
        let said_before = log.metadata().unwrap().len();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wuku"))
            .args(["serve", "--json", "--config", self.path("wuku.toml").to_str().unwrap()])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let status = child.wait();
            let log = std::fs::read(self.path("hub.log")).unwrap();
            let log = log.get(usize::try_from(said_before).unwrap()..).unwrap_or_default();
            return Err(format!("({status:?}): {}", String::from_utf8_lossy(log)));
        }
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = |name: &str| said[name].as_str().unwrap().parse().unwrap();
        self.server = Some(Server { child, address: address("address"), admin: address("adminAddress") });
        Ok(())
    }

    /// The running hub's process.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().unwrap().child.id()
    }

    /// Runs another subcommand on the hub's configuration.
    pub fn wuku(&self, words: &[&str]) -> std::process::Output {
        let config = self.path("wuku.toml");
        let config = ["--config", config.to_str().unwrap()];
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        Command::new(env!("CARGO_BIN_EXE_wuku")).args(words).args(config).envs(environment).output().unwrap()
    }

    /// Where it answers.
    #[allow(dead_code, reason = "of the endurance tests")]
    pub fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address
    }

    /// A connection's parts for whoever holds the certificate.
    pub fn endpoint(&self, pair: Pair) -> Client {
        Client {
            endpoint: format!("https://{}", self.server.as_ref().unwrap().address),
            ca: self.certs.authority(Authority::Client).certificate,
            certificate: pair.certificate,
            key: pair.key,
        }
    }

    /// A system of the catalogue, connected with its own certificate.
    pub fn caller(&self, system: (&str, &str)) -> Caller {
        self.caller_with(system, self.certs.system(system.0, system.1))
    }

    /// A system connected with a certificate of the test's choice.
    pub fn caller_with(&self, system: (&str, &str), pair: Pair) -> Caller {
        let channel = self.endpoint(pair).endpoint().unwrap().connect_lazy();
        let uri = format!("wuku://{HUB}/{}/{}", system.0, system.1);
        Caller { uri, channel, trust: self.trust.clone(), proofs: self.proofs.clone() }
    }

    /// A page of the admin address.
    pub async fn admin(&self, path: &str) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut tcp = tokio::net::TcpStream::connect(self.server.as_ref().unwrap().admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).await.unwrap();
        text
    }

    /// What the hub wrote to standard error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("hub.log")).unwrap()
    }

    /// Kills the hub as a power cut would: no signal handler, no drain.
    pub fn kill(&mut self) {
        let mut server = self.server.take().unwrap();
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }

    /// Asks the hub to stop, as systemd does.
    pub async fn stop(&mut self) -> ExitStatus {
        let mut server = self.server.take().unwrap();
        // Not a shell of the test's own making: the only signal std sends is SIGKILL.
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", server.child.id())]).status().unwrap();
        assert!(asked.success());
        server.wait().await
    }

    /// Sends the running hub a signal, as `HUP`.
    pub fn signal(&self, name: &str) {
        let id = self.server.as_ref().unwrap().child.id();
        assert!(Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status().unwrap().success());
    }

    /// Runs a command of the hub's own binary on its configuration.
    pub fn command(&self, words: &[&str]) -> std::process::Output {
        let config = self.path("wuku.toml");
        let config = ["--config", config.to_str().unwrap()];
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        Command::new(env!("CARGO_BIN_EXE_wuku")).args(words).args(config).envs(environment).output().unwrap()
    }

    /// Waits until the hub has ended by itself.
    pub async fn ends(&mut self) -> ExitStatus {
        self.server.take().unwrap().wait().await
    }

    /// Stops the hub, demands exit code 0, and verifies the whole log with everything that was said. Every test ends here.
    pub async fn end(mut self) {
        let status = self.stop().await;
        assert!(status.success(), "the hub ended with {status}: {}", self.log());
        self.audit().await;
    }

    /// As [`Hub::end`], for a test that left a log too large to be read through here as well: `wuku fsck` verifies it alone.
    #[allow(dead_code, reason = "of the endurance tests")]
    pub async fn end_large(mut self) {
        let status = self.stop().await;
        assert!(status.success(), "the hub ended with {status}: {}", self.log());
        self.ended = true;
        let fsck = self.fsck();
        assert!(fsck.status.success(), "fsck: {}", String::from_utf8_lossy(&fsck.stdout));
    }

    /// Verifies the whole log of a hub that has stopped.
    pub async fn audit(mut self) {
        self.ended = true;
        let fsck = self.fsck();
        let (said, why) = (String::from_utf8_lossy(&fsck.stdout), String::from_utf8_lossy(&fsck.stderr));
        assert!(fsck.status.success(), "fsck: {said} {why}");
        audit::whole(&self).await;
    }

    /// What `wuku fsck` says of a hub that has stopped.
    pub fn fsck(&self) -> std::process::Output {
        let config = self.path("wuku.toml");
        Command::new(env!("CARGO_BIN_EXE_wuku")).args(["fsck", "--config", config.to_str().unwrap()]).output().unwrap()
    }

    /// For a test that has damaged the hub on purpose.
    pub fn end_damaged(mut self) {
        self.ended = true;
        if self.server.is_some() {
            self.kill();
        }
    }
}

impl Server {
    /// Never blocks the thread: the test's own connections must see the hub's goodbye, or it waits for them in vain.
    async fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > until {
                self.child.kill().unwrap();
                panic!("the hub did not stop within 20 seconds");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.child.kill();
            let _ = server.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the hub's log ---\n{}", self.log());
        } else {
            assert!(self.ended, "a test must end its hub, so that the log is verified");
        }
    }
}
