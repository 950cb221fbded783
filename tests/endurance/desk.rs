//! Clerks who go on working whatever is done to the hub meanwhile, and say which call failed.
//!
//! Each takes a new connection every few calls, so that handshakes are part of the load, and sends back the newest checkpoint it
//! knows with every question, as a careful client does.
use crate::client::{Answered, Caller, context, licence};
use crate::harness::{HUB, Hub, Proofs};
use crate::world::{Name, REGISTRY, WINDOW, draft, issuing};
use prost::Message;
use prost::bytes::Bytes;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::Status;
use wuku::cli::client::Client;
use wuku::cli::dev_certs::{Authority, DevCerts};
use wuku::receipt::trust::Trust;
use wuku::wire::proto::exchange::v1::{Context, LookUpRequest};

/// Calls on one connection.
const CALLS_PER_CONNECTION: u64 = 10;
/// Between two calls: the load is to be steady, not the most the machine can do.
const PAUSE: Duration = Duration::from_millis(10);

/// What every clerk holds, replaced while they work.
#[derive(Clone)]
pub struct Papers {
    /// The trust file they verify with.
    pub trust: Arc<Trust>,
    /// Their certificates.
    pub certs: DevCerts,
    /// The authorities they believe a server of.
    pub ca: PathBuf,
}

/// Clerks at work.
pub struct Desk {
    /// What they hold.
    pub papers: Arc<RwLock<Papers>>,
    stop: Arc<AtomicBool>,
    /// By clerk, how many connections it has begun.
    begun: Vec<Arc<AtomicU64>>,
    clerks: Vec<JoinHandle<Worked>>,
}

/// What came of it.
#[derive(Default)]
pub struct Worked {
    /// Calls that were answered and proved.
    pub calls: u64,
    /// The others.
    pub failed: Vec<String>,
    /// The slowest of all, milliseconds.
    pub slowest_ms: u64,
}

impl Desk {
    /// Sets so many clerks to work.
    pub fn open(hub: &Hub, clerks: usize) -> Self {
        let ca = hub.certs.authority(Authority::Client).certificate;
        let papers = Papers { trust: hub.trust.clone(), certs: hub.certs.clone(), ca };
        let papers = Arc::new(RwLock::new(papers));
        let stop = Arc::new(AtomicBool::new(false));
        let address = hub.endpoint(hub.certs.system(WINDOW.0, WINDOW.1)).endpoint;
        let begun: Vec<Arc<AtomicU64>> = (0..clerks).map(|_| Arc::default()).collect();
        let clerks = begun.iter().map(|begun| {
            let clerk = Clerk {
                address: address.clone(),
                papers: papers.clone(),
                proofs: hub.proofs.clone(),
                signing: hub.certs.clone(),
                stop: stop.clone(),
                seen: Bytes::new(),
                mine: None,
                begun: begun.clone(),
                worked: Worked::default(),
            };
            tokio::spawn(clerk.work())
        });
        let clerks = clerks.collect();
        Self { papers, stop, begun, clerks }
    }

    /// Changes what the clerks hold.
    pub fn hand_out(&self, change: impl FnOnce(&mut Papers)) {
        change(&mut self.papers.write().unwrap());
    }

    /// Lets them work for a while.
    pub async fn work(&self, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }

    /// Waits until every clerk works on a connection made with what it holds now.
    pub async fn settled(&self) {
        let then: Vec<u64> = self.begun.iter().map(|begun| begun.load(Ordering::SeqCst)).collect();
        while self.begun.iter().zip(&then).any(|(begun, then)| begun.load(Ordering::SeqCst) <= *then) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the day.
    pub async fn close(self) -> Worked {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Worked::default();
        for clerk in self.clerks {
            let Worked { calls, failed, slowest_ms } = clerk.await.unwrap();
            all.calls += calls;
            all.failed.extend(failed);
            all.slowest_ms = all.slowest_ms.max(slowest_ms);
        }
        all
    }
}

struct Clerk {
    address: String,
    papers: Arc<RwLock<Papers>>,
    proofs: Proofs,
    signing: DevCerts,
    stop: Arc<AtomicBool>,
    seen: Bytes,
    mine: Option<String>,
    begun: Arc<AtomicU64>,
    worked: Worked,
}

impl Clerk {
    async fn work(mut self) -> Worked {
        while !self.stop.load(Ordering::Relaxed) {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let (mut window, mut registry) = (self.connect(WINDOW), self.connect(REGISTRY));
            for call in 0..CALLS_PER_CONNECTION {
                let begun = Instant::now();
                let done = if call == 0 || self.mine.is_none() {
                    self.issue(&mut registry).await
                } else {
                    self.ask(&mut window).await
                };
                self.worked.slowest_ms = self.worked.slowest_ms.max(begun.elapsed().as_millis() as u64);
                match done {
                    Ok(()) => self.worked.calls += 1,
                    Err(status) => self.worked.failed.push(format!("{:?}: {}", status.code(), status.message())),
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        self.worked
    }

    fn connect(&self, system: Name) -> Caller {
        let papers = self.papers.read().unwrap().clone();
        let pair = papers.certs.system(system.0, system.1);
        let client =
            Client { endpoint: self.address.clone(), ca: papers.ca, certificate: pair.certificate, key: pair.key };
        let uri = format!("wuku://{HUB}/{}/{}", system.0, system.1);
        let channel = client.endpoint().unwrap().connect_lazy();
        Caller { uri, channel, trust: papers.trust, proofs: self.proofs.clone() }
    }

    /// Verified with the trust file that is out when the answer is there.
    fn got(&mut self, caller: &mut Caller, response: impl Answered) -> crate::client::Proved {
        caller.trust = self.papers.read().unwrap().trust.clone();
        let proved = caller.got(response);
        self.seen = proved.receipt().checkpoint.clone();
        proved
    }

    async fn issue(&mut self, registry: &mut Caller) -> Result<(), Status> {
        let prepared = registry.licence().prepare_licence(draft()).await?.into_inner();
        let prepared = match self.got(registry, prepared).payload.answer {
            Some(wuku::wire::proto::exchange::v1::payload::Answer::PreparedLicence(prepared)) => prepared,
            other => panic!("{other:?}"),
        };
        let issued = registry.licence().issue_licence(issuing(&self.signing, &prepared)).await?.into_inner();
        self.got(registry, issued);
        self.mine = Some(prepared.licence_id);
        Ok(())
    }

    async fn ask(&mut self, window: &mut Caller) -> Result<(), Status> {
        let mut question = licence(self.mine.as_deref().unwrap_or_default(), &["number"]);
        question.context = Some(Context { seen: self.seen.clone(), ..context() });
        let request = LookUpRequest { question: question.encode_to_vec().into(), ..LookUpRequest::default() };
        let response = window.exchange().look_up(request).await?.into_inner();
        assert_eq!(self.got(window, response).field("number"), Some(draft().number.as_str()));
        Ok(())
    }
}
