//! A whole hub in memory, for tests of what stands on the exchange: real vault, sequencer, fence and certificates, no network.
//!
//! [`Ground`] is what survives a kill (store, keys, certificates, clock); [`Ground::start`] puts a running hub on it.
use super::{Exchange, Order, Request};
use crate::cli::dev_certs::{Authority, DevCerts, DevDepartment};
use crate::clock::Clock;
use crate::library::codes::Uscc;
use crate::library::licence::{IssuerTrust, Issuers, SignedThing};
use crate::library::record::View;
use crate::log::{Ed25519, HubName, LogKey, SuiteName};
use crate::policy::{Caller, Operation, Policy};
use crate::receipt::recorder::{Recorded, Recorder};
use crate::receipt::sequencer::{self, Parts};
use crate::receipt::trust::known_keys;
use crate::store::faulty::FaultyStore;
use crate::store::fence::{Fence, FenceThread};
use crate::store::memory::Memory;
use crate::store::vault::{Kek, Vault};
use crate::store::{Batch, BatchId, BatchOutcome, CommitError, Snapshot, Store, StoreError};
use crate::telemetry::Metrics;
use crate::wire::order::{Repeatable, ordered};
use crate::wire::proto::catalogue::v1 as c;
use crate::wire::proto::library::v1::DepartmentSignature;
use crate::wire::proto::receipt::v1::{Kind, Outcome};
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivatePkcs8KeyDer};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use tokio::sync::Notify;

/// The hub's name.
pub(crate) const HUB: &str = "hub.test";
/// 2026-03-10 12:00 in Shanghai.
pub(crate) const NOON_MS: u64 = 1_773_115_200_000;
/// The data authority: department and system.
pub(crate) const AUTHORITY: (&str, &str) = ("data", "catalogue");
/// Departments that are made, with the start of their credit codes.
pub(crate) const DEPARTMENTS: [&str; 3] = ["data", "police", "market"];

/// The credit code of a department of the house; of no real place.
pub(crate) fn uscc(department: &str) -> String {
    let n = DEPARTMENTS.iter().position(|d| *d == department).unwrap();
    Uscc::make("11", "331099", &format!("0000000{}", n + 1)).unwrap().as_str().to_owned()
}

/// What survives a kill.
pub(crate) struct Ground {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Clock,
    pub(crate) certs: DevCerts,
    now_ms: Arc<AtomicU64>,
    starts: AtomicU64,
    folder: tempfile::TempDir,
}

/// A running hub.
pub(crate) struct House {
    pub(crate) exchange: Arc<Exchange>,
    /// Counts commits, and fails when told to.
    pub(crate) commits: Arc<FaultyStore>,
    /// Kills the hub at a commit when told to.
    pub(crate) mortal: Arc<Mortal>,
}

/// A store whose process dies in the middle of a commit: it never returns, the batch being durable or not.
pub(crate) struct Mortal {
    inner: Arc<dyn Store>,
    left: AtomicI64,
    durable: AtomicBool,
    died: Notify,
}

impl Mortal {
    fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, left: AtomicI64::new(i64::MAX), durable: AtomicBool::new(false), died: Notify::new() }
    }

    /// Dies with the `n`th commit from now, the first being 1.
    pub(crate) fn die_at(&self, n: i64, durable: bool) {
        self.durable.store(durable, Ordering::SeqCst);
        self.left.store(n, Ordering::SeqCst);
    }

    /// Waits for the death.
    pub(crate) async fn died(&self) {
        self.died.notified().await;
    }
}

#[async_trait::async_trait]
impl Store for Mortal {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, StoreError> {
        self.inner.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left > 1 {
            return self.inner.commit(batch).await;
        }
        if left == 1 && self.durable.load(Ordering::SeqCst) {
            self.inner.commit(batch).await?;
        }
        self.died.notify_one();
        std::future::pending().await
    }

    async fn outcome(&self, id: BatchId) -> Result<BatchOutcome, StoreError> {
        self.inner.outcome(id).await
    }
}

impl Ground {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now_ms = Arc::new(AtomicU64::new(NOON_MS));
        let reads = now_ms.clone();
        let clock = Clock::from_fn(move || reads.load(Ordering::SeqCst));
        let departments = DEPARTMENTS.map(|code| DevDepartment { uscc: uscc(code), name: code.to_owned() });
        let certs = DevCerts::make(&folder.path().join("certs"), HUB, &[AUTHORITY], &departments, &clock).unwrap();
        let store = Arc::new(Memory::store(clock.clone()));
        Self { store, clock, certs, now_ms, starts: AtomicU64::new(0), folder }
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Starts a hub on what is there; on nothing, with its departments and the data authority's system.
    pub(crate) async fn start(&self) -> House {
        let start = self.starts.fetch_add(1, Ordering::SeqCst);
        let (data, kek) = (self.folder.path().join("data"), self.folder.path().join("kek"));
        let vault = if start == 0 {
            Vault::create(&Kek::create(&kek, &data).unwrap(), self.store.as_ref(), SuiteName::Ed25519).await.unwrap()
        } else {
            Vault::open(&Kek::load(&kek, &data).unwrap(), self.store.as_ref()).await.unwrap()
        };
        let (vault, clock) = (Arc::new(vault), self.clock.clone());
        // A fence of its own each time: the thread of a killed hub may still hold the one before.
        let fence = Fence::create(&self.folder.path().join(format!("fence-{start}"))).unwrap();
        let origin = HubName::parse(HUB).unwrap().log(NonZeroU64::MIN);
        let key = LogKey::from_seed(&origin.to_string(), SuiteName::Ed25519, &[7; 32]).unwrap();
        let log_keys = ArcSwap::from_pointee(known_keys(key.verifier(), None));
        let mortal = Arc::new(Mortal::new(self.store.clone()));
        let commits = Arc::new(FaultyStore::new(mortal.clone()));
        let fence = FenceThread::start(fence, clock.clone()).unwrap();
        let key = Arc::new(ArcSwap::from_pointee(key));
        let parts = Parts { store: commits.clone(), key, fence, clock: clock.clone(), metrics: Metrics::new() };
        let ledger = sequencer::start::<Ed25519>(parts, origin).await.unwrap();
        let exchange = Arc::new(Exchange {
            hub: HUB.to_owned(),
            store: commits.clone(),
            vault: vault.clone(),
            policy: Policy::default(),
            issuers: Issuers::from_pointee(self.issuer_trust()),
            recorder: Recorder::new(HUB, "1", vault, ledger, clock.clone()),
            log_keys,
            seals: None,
            clock,
        });
        let house = House { exchange, commits, mortal };
        if start == 0 {
            house.found().await;
        }
        house
    }

    fn issuer_trust(&self) -> IssuerTrust {
        let ca = CertificateDer::from_pem_file(self.certs.authority(Authority::Issuer).certificate).unwrap();
        let crl = CertificateRevocationListDer::from_pem_file(self.certs.crl(Authority::Issuer)).unwrap();
        IssuerTrust::new(vec![ca], vec![crl], std::collections::HashSet::new()).unwrap()
    }

    /// A department's signature.
    pub(crate) fn sign(&self, department: &str, thing: SignedThing, bytes: &[u8]) -> DepartmentSignature {
        let pair = self.certs.issuer(&uscc(department));
        let key = PrivatePkcs8KeyDer::from_pem_file(&pair.key).unwrap();
        let random = ring::rand::SystemRandom::new();
        let algorithm = &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING;
        let key = ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, key.secret_pkcs8_der(), &random).unwrap();
        let value = key.sign(&random, &thing.message(bytes)).unwrap();
        let certificate = CertificateDer::from_pem_file(&pair.certificate).unwrap();
        DepartmentSignature {
            algorithm: "ecdsa-p256-sha256".into(),
            chain: vec![certificate.to_vec().into()],
            value: value.as_ref().to_vec().into(),
        }
    }
}

fn department(code: &str) -> c::Department {
    c::Department { code: code.into(), name: code.into(), uscc: uscc(code), division: "331023".into(), version: 0 }
}

/// The URI of a system.
pub(crate) fn uri(department: &str, system: &str) -> String {
    format!("wuku://{HUB}/{department}/{system}")
}

/// A system as its certificate names it.
pub(crate) fn caller(department: &str, system: &str) -> Caller {
    Caller::from_certificate(&uri(department, system), "01", [1; 32]).unwrap()
}

impl House {
    /// The first rows: the data authority by the bootstrap of a new hub, everything after it by a change of its own.
    async fn found(&self) {
        let system = c::System {
            uri: uri(AUTHORITY.0, AUTHORITY.1),
            name: "目录".into(),
            department: AUTHORITY.0.into(),
            roles: vec![c::Role::DataAuthority.into()],
            enabled: true,
            ..c::System::default()
        };
        self.exchange.bootstrap(&department(AUTHORITY.0), &system).await.unwrap();
        for code in &DEPARTMENTS[1..] {
            self.put_department(department(code)).await;
        }
    }

    pub(crate) async fn view(&self) -> View {
        self.exchange.view().await.unwrap()
    }

    /// The data authority changes something; it must be done.
    pub(crate) async fn change(&self, kind: Kind, operation: Operation, order: Order<'_>) -> Recorded {
        let ordered = ordered(self.exchange.suite(), kind, "", Repeatable::None, None, None, &[]).unwrap();
        let request = Request { id: "", message: b"" };
        let caller = caller(AUTHORITY.0, AUTHORITY.1);
        let recorded = self.exchange.change(&caller, operation, order, &ordered, request).await.unwrap();
        assert_eq!(recorded.single().unwrap().outcome(), Outcome::Done);
        recorded
    }

    pub(crate) async fn put_department(&self, department: c::Department) {
        let request = c::PutDepartmentRequest { department: Some(department), ..Default::default() };
        let order = Order::PutDepartment(&request);
        let _ = self.change(Kind::DepartmentChange, Operation::PutDepartment, order).await;
    }

    /// Puts an enabled system with these roles; gives its caller.
    pub(crate) async fn put_system(&self, department: &str, system: &str, roles: &[c::Role]) -> Caller {
        let entry = c::System {
            uri: uri(department, system),
            name: system.into(),
            department: department.into(),
            roles: roles.iter().map(|role| (*role).into()).collect(),
            enabled: true,
            ..c::System::default()
        };
        let request = c::PutSystemRequest { system: Some(entry), ..Default::default() };
        let _ = self.change(Kind::SystemChange, Operation::PutSystem, Order::PutSystem(&request)).await;
        caller(department, system)
    }

    pub(crate) async fn put_resource(&self, resource: c::Resource) {
        let request = c::PutResourceRequest { resource: Some(resource), ..Default::default() };
        let order = Order::PutResource(&request);
        let _ = self.change(Kind::ResourceChange, Operation::PutResource, order).await;
    }
}
