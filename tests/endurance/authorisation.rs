//! Who may ask what, against a second opinion: a Python program that read the design and not the hub's code.
//!
//! A world of systems, grants and records is put into a real hub, 20,000 questions are asked of it over mutual TLS, and
//! `tests/oracle/authorisation.py` judges every decision: refused and why, under which grant, which records, which fields, masked or
//! open. `WUKU_SEED` repeats a run's choices.
use crate::chance::Rng;
use crate::client::{self, Caller, citizen, date, licence, person};
use crate::figure::{self, Target};
use crate::harness::Hub;
use crate::world::{
    AUDITOR, AUTHORITY, BODIES, CLINICS, CONSOLE, Delivery, FOOD, FOOD_FIELDS, HEALTH, ITEM, MARKET, Name,
    PERSON_HEADER, POLICE, POPULATION, REGISTRY, department, draft, food_licence, food_resource, food_type, full_grant,
    people, people_resource, resident, system, uri,
};
use prost::Message;
use prost::bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use wuku::clock::Clock;
use wuku::receipt::{Outcome, Receipt, Statement};
use wuku::wire::proto::catalogue::v1::{
    AllowedPurpose, FactKind, Grant, GrantMode, QuestionKind, Resource, Role, SharingClass,
};
use wuku::wire::proto::exchange::v1::area_question::Where;
use wuku::wire::proto::exchange::v1::derive_question::Fact;
use wuku::wire::proto::exchange::v1::payload::Answer;
use wuku::wire::proto::exchange::v1::{
    AgeAtLeast, AnswerMode, AreaQuestion, BatchLookUpRequest, DeriveQuestion, DeriveRequest, HolderQuestion,
    LicenceValidOn, LookUpAreaRequest, LookUpHolderRequest, LookUpQuestion, LookUpRequest, MatchQuestion, MatchRequest,
    NotListedOn, Payload, RegisteredIn, Represents,
};
use wuku::wire::proto::intake::v1::{ImportPhase, ImportScope};
use wuku::wire::proto::library::v1::{CreditKey, Date, Library, Point, RecordKey, record_key::Key};
use wuku::wire::proto::licence::v1::{Holder, LicenceType, PrepareLicenceRequest};
use wuku::wire::proto::receipt::v1::{Purpose, PurposeKind};

const QUESTIONS: usize = 20_000;
/// At once; an unoptimised hub on a busy machine would not answer 200 within the life of a snapshot.
const BATCH: usize = 50;
/// Of ten questions, those asked by key, in batches; the others one at a time.
const BY_KEY: u64 = 9;
const GRANTS_A_SYSTEM: u64 = 12;
const ITEMS: [&str; 3] = [ITEM, "331023000002", "331023000003"];
const PURPOSES: [PurposeKind; 6] = [
    PurposeKind::Handling,
    PurposeKind::PreCheck,
    PurposeKind::Supervision,
    PurposeKind::Policy,
    PurposeKind::Correction,
    PurposeKind::Audit,
];
const KINDS: [QuestionKind; 5] =
    [QuestionKind::LookUp, QuestionKind::Match, QuestionKind::Derive, QuestionKind::Holder, QuestionKind::Area];
const FACTS: [FactKind; 5] = [
    FactKind::AgeAtLeast,
    FactKind::LicenceValidOn,
    FactKind::NotListedOn,
    FactKind::RegisteredIn,
    FactKind::Represents,
];

/// Has every grant there is; tells us which index key is whose.
const KNOWER: Name = ("authority", "knower");
/// Its grants end by quota.
const METERED: Name = ("tax", "metered");
const PERSON_FIELDS: [&str; 6] = ["name", "sex", "birth_date", "address", "division", "phone"];

/// Consumers with grants, their roles, and what becomes of them afterwards.
const CONSUMERS: [(Name, &[Role], After); 8] = [
    (("civil", "window"), &[Role::Consumer], After::Stays),
    (("civil", "counter"), &[Role::Clerk], After::Stays),
    (("tax", "desk"), &[Role::Consumer, Role::Clerk], After::Stays),
    (("health", "ward"), &[Role::Consumer, Role::Source], After::Stays),
    (("audit", "inquiry"), &[Role::Consumer, Role::Auditor], After::Stays),
    (("tax", "old"), &[Role::Consumer], After::Disabled),
    (("civil", "moved"), &[Role::Consumer], After::LosesRole),
    (("civil", "lost"), &[Role::Consumer], After::OtherCertificate),
];

#[derive(Clone, Copy, PartialEq)]
enum After {
    Stays,
    Disabled,
    LosesRole,
    OtherCertificate,
}

/// A record that is held, as the oracle is told of it.
struct Held {
    library: &'static str,
    resource: &'static str,
    licence_type: String,
    key: String,
    holder: String,
    fields: BTreeMap<&'static str, String>,
}

/// What was put into the hub.
struct World {
    lines: Vec<Value>,
    held: Vec<Held>,
    grants: BTreeMap<Name, Vec<Grant>>,
    /// Which record an index key stands for.
    keys: HashMap<Bytes, String>,
}

/// A question: as the hub reads it, and as the oracle does.
struct Ask {
    system: Name,
    body: Body,
    told: Value,
}

enum Body {
    LookUp(Bytes),
    Match(Bytes),
    Derive(Bytes),
    Holder(Bytes),
    Area(Bytes),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_decides_as_a_second_reading_of_the_rules_does() {
    let mut rng = Rng::seeded();
    let hub = found().await;
    let world = World::fill(&hub, &mut rng).await;
    let begun = Instant::now();
    let mut judged = metered(&hub, &world).await;
    let (mut by_key, mut single) = (Vec::new(), Vec::new());
    while judged.len() + by_key.len() + single.len() < QUESTIONS {
        let ask = world.ask(&mut rng);
        if matches!(ask.body, Body::LookUp(_)) { by_key.push(ask) } else { single.push(ask) }
    }
    judged.append(&mut batches(&hub, &world, by_key).await);
    judged.append(&mut singles(&hub, &world, single).await);
    let took = begun.elapsed();
    assert_eq!(judged.len(), QUESTIONS);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("world.jsonl");
    std::fs::write(&path, lines(&world.lines)).unwrap();
    let (said, differences) = oracle(&path, &judged);
    eprintln!("{QUESTIONS} questions asked in {took:?}: {}", said["seen"]);
    differences.iter().take(50).for_each(|difference| eprintln!("{difference}"));
    figure::note("authorisation", "questions judged", QUESTIONS as f64, "questions", Target::AtLeast(20_000.0));
    figure::note("authorisation", "differences", differences.len() as f64, "questions", Target::Exactly(0.0));
    assert!(differences.is_empty(), "{} differences", differences.len());
    let seen = |begin: &str| -> u64 {
        let all = said["seen"].as_object().unwrap();
        all.iter().filter(|(key, _)| key.starts_with(begin)).map(|(_, n)| n.as_u64().unwrap()).sum()
    };
    for kind in KINDS {
        let kind = name(kind.as_str_name(), "QUESTION_KIND_");
        for result in
            ["PERMITTED", "REFUSED PURPOSE_NOT_GRANTED", "REFUSED SYSTEM_DISABLED", "REFUSED ROLE_NOT_ALLOWED"]
        {
            assert!(seen(&format!("{kind} {result}")) > 0, "never {kind} {result}: the questions do not ask");
        }
    }
    assert!(seen("LOOK_UP QUOTA_EXCEEDED") > 0);

    // The control: each kind of wrong decision, planted once, is found.
    let planted = planted(&judged);
    let (_, found) = oracle(&path, &planted);
    assert_eq!(found.len(), planted.len(), "a planted difference was not found: {found:#?}");
    figure::note("authorisation", "planted differences found", found.len() as f64, "kinds", Target::Exactly(6.0));
    hub.end_large().await;
}

/// Decisions as a hub would make them that leaks, withholds or refuses wrongly.
fn planted(judged: &[Value]) -> Vec<Value> {
    let one = |fits: &dyn Fn(&Value) -> bool| judged.iter().find(|ask| fits(ask)).unwrap().clone();
    let found = |ask: &Value, mode: Option<&str>| {
        ask["kind"] == "LOOK_UP"
            && ask["decision"]["items"][0]["outcome"] == "FOUND"
            && ask["decision"]["items"][0]["fields"].as_array().is_some_and(|fields| !fields.is_empty())
            && mode.is_none_or(|mode| ask["mode"] == mode)
    };
    let full = one(&|ask| found(ask, Some("FULL")));
    let mut more = full.clone();
    more["decision"]["items"][0]["fields"].as_array_mut().unwrap().push(json!(["marital_status", "single", false]));
    let mut less = full.clone();
    less["decision"]["items"][0]["fields"].as_array_mut().unwrap().pop();
    let mut other = full.clone();
    other["decision"]["items"][0]["grant"] = json!("g-0000000000000000");
    let mut refused = full;
    refused["decision"] = json!({ "result": "REFUSED", "reason": "PURPOSE_NOT_GRANTED" });
    let mut masked = one(&|ask| {
        let fields = &ask["decision"]["items"][0]["fields"];
        found(ask, None) && fields.as_array().unwrap().iter().any(|field| field[0] == "name" && field[2] == true)
    });
    for field in masked["decision"]["items"][0]["fields"].as_array_mut().unwrap() {
        field[2] = json!(false);
    }
    let mut permitted = one(&|ask| ask["kind"] == "LOOK_UP" && ask["decision"]["reason"] == "SYSTEM_DISABLED");
    permitted["decision"] = json!({ "result": "PERMITTED", "items": [] });
    vec![more, less, other, refused, masked, permitted]
}

/// What the oracle says of the decisions: its last line, and the differences.
fn oracle(world: &std::path::Path, judged: &[Value]) -> (Value, Vec<String>) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/authorisation.py");
    let mut python = Command::new("python3")
        .args([script, world.to_str().unwrap()])
        .env("PYTHONUTF8", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed to judge");
    let mut sink = python.stdin.take().unwrap();
    let text = lines(judged);
    // Written from a thread of its own: the oracle answers while it reads.
    let writer = std::thread::spawn(move || sink.write_all(text.as_bytes()));
    let said = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let mut differences: Vec<String> = said.lines().map(str::to_owned).collect();
    let last: Value = serde_json::from_str(&differences.pop().expect("the oracle said nothing")).unwrap();
    assert_eq!(last["asked"].as_u64(), Some(judged.len() as u64));
    assert_eq!(last["differ"].as_u64(), Some(differences.len() as u64));
    (last, differences)
}

fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}

/// `QUESTION_KIND_LOOK_UP` without its beginning.
fn name<'a>(whole: &'a str, prefix: &str) -> &'a str {
    whole.strip_prefix(prefix).unwrap()
}

/// A hub with departments, systems, resources and licence types.
async fn found() -> Hub {
    let others = [CONSOLE, REGISTRY, CLINICS, POPULATION, AUDITOR, KNOWER, METERED, ("tax", "stranger")];
    let names: Vec<Name> = CONSUMERS.iter().map(|(name, ..)| *name).chain(others).collect();
    let issuers: Vec<_> = [MARKET, HEALTH, POLICE].iter().map(crate::world::Body::signer).collect();
    let hub = Hub::make(&names, &issuers, |config| config.logging.filter = "warn".into());
    let console = hub.caller(CONSOLE);
    for body in BODIES.iter().filter(|body| body.code != AUTHORITY.code) {
        console.put_department(department(body)).await.unwrap();
    }
    let fixed: [(Name, &[Role]); 6] = [
        (REGISTRY, &[Role::Source]),
        (CLINICS, &[Role::Source]),
        (POPULATION, &[Role::Source]),
        (AUDITOR, &[Role::Auditor]),
        (KNOWER, &[Role::Consumer]),
        (METERED, &[Role::Consumer]),
    ];
    let systems = CONSUMERS.iter().map(|(name, roles, _)| (*name, *roles)).chain(fixed);
    for (name, roles) in systems {
        console.put_system(system(name, roles)).await.unwrap();
    }
    for (_, _, resource) in resources() {
        console.put_resource(resource).await.unwrap();
    }
    console.put_type(food_licence()).await.unwrap();
    console.put_type(hygiene_licence()).await.unwrap();
    hub
}

fn hygiene_licence() -> LicenceType {
    LicenceType {
        type_code: hygiene_type(),
        name: "公共场所卫生许可证".into(),
        resource: "hygiene".into(),
        ..food_licence()
    }
}

fn hygiene_type() -> String {
    format!("{}002", MARKET.uscc())
}

/// Every resource with its library and the fields grants name.
fn resources() -> Vec<(&'static str, Vec<&'static str>, Resource)> {
    let plain = |code: &str, library: Library| Resource {
        code: code.into(),
        name: code.into(),
        library: library as i32,
        source_department: MARKET.code.into(),
        sharing_class: SharingClass::Conditional as i32,
        sharing_condition: "限办理相关政务服务事项".into(),
        ..Resource::default()
    };
    let food = |code: &str| Resource { code: code.into(), view_of: FOOD.into(), ..food_resource() };
    let brief = Resource { code: "people-brief".into(), view_of: "population".into(), ..people_resource() };
    let temps = Resource { code: "temps".into(), source_department: HEALTH.code.into(), ..people_resource() };
    let open = Resource { sharing_class: SharingClass::Unconditional as i32, ..food("food-open") };
    let hygiene = Resource { code: "hygiene".into(), licence_type: hygiene_type(), ..food_resource() };
    let person = || PERSON_FIELDS.to_vec();
    let licence = || FOOD_FIELDS.iter().copied().chain(["phone"]).collect::<Vec<_>>();
    vec![
        ("POPULATION", person(), people_resource()),
        ("POPULATION", vec!["name", "division"], brief),
        ("POPULATION", person(), temps),
        ("LEGAL_ENTITY", vec!["name", "status", "address"], plain("entities", Library::LegalEntity)),
        ("CREDIT", vec!["category", "basis"], plain("credit", Library::Credit)),
        ("GEOSPATIAL", vec!["name", "kind", "geometry"], plain("places", Library::Geospatial)),
        ("LICENCE", licence(), food_resource()),
        ("LICENCE", vec!["type_name", "valid_until"], food("food-brief")),
        ("LICENCE", licence(), open),
        ("LICENCE", licence(), food("food-closed")),
        ("LICENCE", licence(), hygiene),
    ]
}

impl World {
    /// Records, grants, and then what becomes of systems and resources.
    async fn fill(hub: &Hub, rng: &mut Rng) -> Self {
        let mut world = Self { lines: Vec::new(), held: Vec::new(), grants: BTreeMap::new(), keys: HashMap::new() };
        world.people(hub).await;
        world.licences(hub).await;
        world.learn_keys(hub).await;
        let systems = CONSUMERS.map(|(name, _, after)| {
            let mut rng = rng.fork();
            async move {
                let mut given = Vec::new();
                for _ in 0..GRANTS_A_SYSTEM {
                    given.push(grant(hub, name, &mut rng, after).await);
                }
                (name, given)
            }
        });
        for (name, given) in futures_util::future::join_all(systems).await {
            for (grant, state) in given {
                world.lines.push(line_of(&grant, state));
                world.grants.entry(name).or_default().push(grant);
            }
        }
        world.open_places(hub).await;
        world.become_of(hub).await;
        let lines = world.held.iter().map(|held| {
            json!({ "line": "record", "library": held.library, "resource": held.resource, "key": held.key,
                "holder": held.holder, "fields": held.fields })
        });
        let lines: Vec<Value> = lines.collect();
        world.lines.extend(lines);
        world
    }

    /// Chance alone may leave places closed to everybody.
    async fn open_places(&mut self, hub: &Hub) {
        let (name, ..) = CONSUMERS[0];
        let places = Grant { kinds: vec![QuestionKind::Area as i32], ..full_grant("places", &["name", "kind"]) };
        let id = hub.grant(name, places.clone()).await;
        let grant = Grant { id, system: uri(name), ..places };
        self.lines.push(line_of(&grant, "GRANTED"));
        self.grants.entry(name).or_default().push(grant);
    }

    async fn people(&mut self, hub: &Hub) {
        let mut rows = [Vec::new(), Vec::new()];
        for n in (1..=30).chain(2_001..=2_015) {
            let (id, row) = resident(n, "演示样本甲");
            let cells: Vec<&str> = row.trim_end().split(',').collect();
            let fields =
                PERSON_HEADER.trim_end().split(',').zip(&cells).filter(|(name, _)| PERSON_FIELDS.contains(name));
            self.held.push(Held {
                library: "POPULATION",
                resource: if n > 2_000 { "temps" } else { "population" },
                licence_type: String::new(),
                key: id.clone(),
                holder: id,
                fields: fields.map(|(name, cell)| (name, (*cell).to_owned())).collect(),
            });
            rows[usize::from(n > 2_000)].push(row);
        }
        let first = people(ImportScope::Increment, &rows[0], "1");
        let second = people(ImportScope::Increment, &rows[1], "2");
        let second = Delivery { system: CLINICS, body: &HEALTH, resource: "temps", ..second };
        for delivery in [first, second] {
            let report = hub.import(&delivery).await.unwrap();
            assert_eq!((report.phase(), report.rows_applied), (ImportPhase::Done, delivery.rows));
        }
    }

    async fn licences(&mut self, hub: &Hub) {
        for n in 1..=10 {
            let (holder, _) = resident(n % 6 + 1, "");
            let (type_code, resource) = if n % 3 == 0 { (hygiene_type(), "hygiene") } else { (food_type(), FOOD) };
            let draft = PrepareLicenceRequest {
                type_code: type_code.clone(),
                holders: vec![Holder { code: Some(citizen(&holder)), name: "演示样本甲".into() }],
                ..draft()
            };
            let face = |name: &str| draft.face_fields.iter().find(|f| f.name == name).unwrap().value.clone();
            let mut fields: BTreeMap<&'static str, String> = [
                ("type_name", if resource == FOOD { food_licence().name } else { hygiene_licence().name }),
                ("number", draft.number.clone()),
                ("holder_name", "演示样本甲".into()),
                ("holder_code", holder.clone()),
                ("valid_until", "2098-01-04".into()),
                ("premises", face("premises")),
                ("phone", face("phone")),
            ]
            .into();
            let key = hub.issue(draft).await;
            fields.insert("licence_id", key.clone());
            self.held.push(Held { library: "LICENCE", resource, licence_type: type_code, key, holder, fields });
        }
    }

    /// A statement names a record by its index key; what that stands for is learnt by asking.
    async fn learn_keys(&mut self, hub: &Hub) {
        for resource in ["population", "temps", FOOD, "hygiene"] {
            hub.grant(KNOWER, full_grant(resource, &[])).await;
        }
        let knower = hub.caller(KNOWER);
        let questions: Vec<_> = self.held.iter().map(|held| question_of(held, &[])).collect();
        for (held, answer) in self.held.iter().zip(knower.batch(&questions).await.unwrap()) {
            self.keys.insert(answer.statement.records[0].index_key.clone(), held.key.clone());
        }
        assert_eq!(self.keys.len(), self.held.len());
    }

    /// What becomes of systems and resources after the grants were given.
    async fn become_of(&mut self, hub: &Hub) {
        let console = hub.caller(CONSOLE);
        for (name, roles, after) in CONSUMERS {
            let mut entry = system(name, roles);
            entry.version = 1;
            match after {
                After::Stays => {}
                After::Disabled => entry.enabled = false,
                After::LosesRole => entry.roles = vec![Role::Auditor as i32],
                After::OtherCertificate => entry.certificate_sha256 = vec![Bytes::from_static(&[7; 32])],
            }
            if after != After::Stays {
                console.put_system(entry.clone()).await.unwrap();
            }
            let roles: Vec<&str> = entry.roles().map(name_of_role).collect();
            self.lines.push(json!({ "line": "system", "uri": entry.uri, "enabled": entry.enabled, "roles": roles,
                "certificate_fits": after != After::OtherCertificate }));
        }
        for (name, role) in
            [(METERED, "CONSUMER"), (AUDITOR, "AUDITOR"), (REGISTRY, "SOURCE"), (CONSOLE, "DATA_AUTHORITY")]
        {
            self.lines.push(json!({ "line": "system", "uri": uri(name), "enabled": true, "roles": [role],
                "certificate_fits": true }));
        }
        for (library, _, mut resource) in resources() {
            let closed = resource.code == "food-closed";
            self.lines.push(json!({ "line": "resource", "code": resource.code, "library": library,
                "licence_type": resource.licence_type, "view_of": resource.view_of, "shared": !closed }));
            if closed {
                (resource.sharing_class, resource.version) = (SharingClass::NotShared as i32, 1);
                console.put_resource(resource).await.unwrap();
            }
        }
        for (quota, mode) in [(3, GrantMode::Full), (4, GrantMode::Masked)] {
            let grant = Grant { mode: mode as i32, quota_per_day: quota, ..full_grant("population", &["name"]) };
            let id = hub.grant(METERED, grant.clone()).await;
            self.lines.push(line_of(&Grant { id, system: uri(METERED), ..grant }, "GRANTED"));
        }
    }

    /// A question: often one a grant might cover, changed here and there; sometimes anything.
    fn ask(&self, rng: &mut Rng) -> Ask {
        let names: Vec<Name> = CONSUMERS.iter().map(|(name, ..)| *name).collect();
        let other = [AUDITOR, REGISTRY, ("tax", "stranger")];
        let system = match rng.between(0, 20) {
            0 => *rng.one(&other),
            1..4 => *rng.one(&names[5..]),
            _ => *rng.one(&names[..5]), // who may ask
        };
        let of = if self.grants.contains_key(&system) { system } else { *rng.one(&names[..5]) };
        let grant = rng.one(&self.grants[&of]).clone();
        let resources = resources();
        let aimed = resources.iter().find(|(_, _, resource)| resource.code == grant.resource).unwrap();
        let (library, fields, resource) = if rng.between(0, 8) == 0 { rng.one(&resources) } else { aimed };
        let allowed = rng.one(&grant.purposes);
        let kind = if rng.between(0, 6) == 0 { *rng.one(&PURPOSES) } else { allowed.kind() };
        let mut item = allowed.items.first().map_or(ITEMS[0], String::as_str).to_owned();
        if rng.between(0, 6) == 0 {
            item = (*rng.one(&ITEMS)).to_owned();
        }
        let known: &[String] = &grant.fields;
        let mut wanted: Vec<String> = known.iter().filter(|_| rng.between(0, 3) == 0).cloned().collect();
        if rng.between(0, 8) == 0 {
            let more = (*rng.one(fields)).to_owned();
            wanted.retain(|field| *field != more);
            wanted.push(more);
        }
        wanted.retain(|field| field != "complete_licence");
        let kind_of_question = if rng.between(0, 10) < BY_KEY {
            QuestionKind::LookUp
        } else {
            // One that suits the library, as a rule; by key goes in batches.
            let suits: &[QuestionKind] = match *library {
                "GEOSPATIAL" => &[QuestionKind::Area],
                "POPULATION" | "LEGAL_ENTITY" => &KINDS[1..4],
                _ => &KINDS[2..4],
            };
            if rng.between(0, 5) == 0 { *rng.one(&KINDS[1..]) } else { *rng.one(suits) }
        };
        let purpose = Purpose {
            kind: kind as i32,
            item: item.clone(),
            reference: "TT-2026-000001".into(),
            use_cause: "核对规则".into(),
        };
        let told = json!({ "system": uri(system), "kind": name(kind_of_question.as_str_name(), "QUESTION_KIND_"),
            "library": library, "licence_type": resource.licence_type, "purpose": name(kind.as_str_name(), "PURPOSE_KIND_"),
            "item": item, "fields": wanted });
        let about = About { library, resource, purpose, wanted, grant: &grant };
        let (body, more) = match kind_of_question {
            QuestionKind::Match => self.matching(rng, &about),
            QuestionKind::Derive => self.derive(rng, &about),
            QuestionKind::Holder => self.holder(rng, &about),
            QuestionKind::Area => area(&about),
            _ => self.look_up(rng, &about),
        };
        let mut told = told;
        told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Ask { system, body, told }
    }

    fn look_up(&self, rng: &mut Rng, about: &About<'_>) -> (Body, Value) {
        let held: Vec<&Held> = self.held.iter().filter(|held| held.library == about.library).collect();
        let fits = |held: &&&Held| about.library != "LICENCE" || held.licence_type == about.resource.licence_type;
        let held: Vec<&Held> = held.iter().filter(fits).copied().collect();
        let (key, told) = match about.library {
            "LEGAL_ENTITY" => (Key::Uscc(MARKET.uscc()), MARKET.uscc()),
            "CREDIT" => {
                let subject = Some(citizen(&resident(1, "").0));
                (Key::Credit(CreditKey { subject, record_id: "1".into() }), "1".into())
            }
            "GEOSPATIAL" => (Key::FeatureCode("f".into()), "f".into()),
            "POPULATION" if rng.between(0, 10) == 0 => {
                let nobody = resident(500, "").0;
                (Key::Person(citizen(&nobody)), nobody)
            }
            _ => {
                let held = rng.one(&held);
                (question_of(held, &[]).key.unwrap().key.unwrap(), held.key.clone())
            }
        };
        let mode = *rng.one(&[
            AnswerMode::Unspecified,
            AnswerMode::Unspecified,
            AnswerMode::Unspecified,
            AnswerMode::YesNo,
            AnswerMode::Masked,
            AnswerMode::Full,
        ]);
        let complete = about.library == "LICENCE" && rng.between(0, 6) == 0;
        let question = LookUpQuestion {
            context: Some(about.context()),
            key: Some(RecordKey { key: Some(key) }),
            fields: about.wanted.clone(),
            complete_licence: complete,
            mode: mode as i32,
        };
        let mode = match mode {
            AnswerMode::Unspecified => "",
            mode => name(mode.as_str_name(), "ANSWER_MODE_"),
        };
        (Body::LookUp(question.encode_to_vec().into()), json!({ "key": told, "complete": complete, "mode": mode }))
    }

    /// Names that fit nobody are asked of a number each: five misses on one would stop the department.
    fn matching(&self, rng: &mut Rng, about: &About<'_>) -> (Body, Value) {
        let (holder, library) = match about.library {
            "LEGAL_ENTITY" => {
                let code =
                    wuku::library::codes::Uscc::make("91", "331099", &format!("{:08}", rng.between(0, 90_000_000)));
                let code = wuku::wire::proto::library::v1::HolderCode {
                    code_type: "001".into(),
                    code: code.unwrap().to_string(),
                };
                (code, "LEGAL_ENTITY")
            }
            _ => (citizen(&resident(u32::try_from(rng.between(3_000, 5_000_000)).unwrap(), "").0), "POPULATION"),
        };
        let question =
            MatchQuestion { context: Some(about.context()), holder: Some(holder), name: "演示样本甲".into() };
        (Body::Match(question.encode_to_vec().into()), json!({ "library": library, "fields": [] }))
    }

    fn derive(&self, rng: &mut Rng, about: &About<'_>) -> (Body, Value) {
        let kind = if rng.between(0, 4) == 0 {
            *rng.one(&FACTS)
        } else {
            let fitting = FACTS.iter().find(|fact| about.fits(**fact));
            *fitting.unwrap_or(&FactKind::LicenceValidOn)
        };
        let someone = citizen(&resident(1, "").0);
        let entity = about.library == "LEGAL_ENTITY";
        let company = wuku::wire::proto::library::v1::HolderCode { code_type: "001".into(), code: MARKET.uscc() };
        let licences: Vec<&Held> = self.held.iter().filter(|held| held.library == "LICENCE").collect();
        let wanted = licences.iter().find(|held| held.licence_type == about.resource.licence_type);
        let held = wanted.unwrap_or(&licences[0]);
        let fact = match kind {
            FactKind::LicenceValidOn => {
                Fact::LicenceValidOn(LicenceValidOn { licence_id: held.key.clone(), day: None })
            }
            FactKind::NotListedOn => {
                Fact::NotListedOn(NotListedOn { subject: Some(someone), category: "blacklist".into(), day: None })
            }
            FactKind::RegisteredIn => {
                let subject = Some(if entity { company } else { someone });
                Fact::RegisteredIn(RegisteredIn { subject, division: "331023".into() })
            }
            FactKind::Represents => Fact::Represents(Represents { person: Some(someone), uscc: MARKET.uscc() }),
            _ => Fact::AgeAtLeast(AgeAtLeast { person: Some(someone), years: 18 }),
        };
        let question = DeriveQuestion { context: Some(about.context()), fact: Some(fact) };
        let told = json!({ "fact": name(kind.as_str_name(), "FACT_KIND_"), "entity": entity, "fields": [],
            "licence_type": held.licence_type });
        (Body::Derive(question.encode_to_vec().into()), told)
    }

    fn holder(&self, rng: &mut Rng, about: &About<'_>) -> (Body, Value) {
        let n = u32::try_from(rng.between(1, 9)).unwrap();
        let key = if rng.between(0, 6) == 0 { resident(2_001, "").0 } else { resident(n, "").0 };
        let types = [food_type(), hygiene_type()];
        let licence_types: Vec<String> = types.into_iter().filter(|_| rng.between(0, 4) == 0).collect();
        let all = [Library::Population, Library::Licence, Library::Credit];
        let mut libraries: Vec<Library> = all.into_iter().filter(|_| rng.between(0, 3) == 0).collect();
        let own = all.into_iter().find(|library| name(library.as_str_name(), "LIBRARY_") == about.library);
        libraries.extend(own.filter(|own| !libraries.contains(own)));
        let question = HolderQuestion {
            context: Some(about.context()),
            holder: Some(citizen(&key)),
            licence_types: licence_types.clone(),
            libraries: libraries.iter().map(|library| *library as i32).collect(),
            fields: about.wanted.clone(),
        };
        let libraries: Vec<&str> = libraries.iter().map(|library| name(library.as_str_name(), "LIBRARY_")).collect();
        let told = json!({ "key": key, "licence_types": licence_types, "libraries": libraries });
        (Body::Holder(question.encode_to_vec().into()), told)
    }

    /// What the hub decided, for the oracle.
    fn decision(&self, items: &[(Bytes, Option<Receipt>)]) -> (u64, Value) {
        let mut at_ms = 0;
        let mut told = Vec::new();
        for (payload, receipt) in items {
            let payload = Payload::decode(payload.clone()).unwrap();
            let statement = Statement::decode(receipt.as_ref().unwrap().statement.clone()).unwrap();
            at_ms = payload.valid_at_ms;
            let record = match payload.answer.clone() {
                Some(Answer::Refusal(refusal)) => {
                    return (at_ms, json!({ "result": "REFUSED", "reason": refusal.reason }));
                }
                Some(Answer::Record(record)) => record,
                _ => Default::default(),
            };
            let fields: Vec<Value> = record.fields.iter().map(|f| json!([f.name, f.value, f.masked])).collect();
            let key = statement.records.first().and_then(|record| self.keys.get(&record.index_key));
            let outcome = if payload.outcome() == Outcome::Found { "FOUND" } else { "NOTHING" };
            told.push(json!({ "outcome": outcome, "grant": statement.grant.map(|grant| grant.id), "fields": fields,
                "complete": record.complete_licence.is_some(), "key": key }));
        }
        (at_ms, json!({ "result": "PERMITTED", "items": told }))
    }
}

/// A grant of the rng's choice, applied for and then decided one way or the other.
async fn grant(hub: &Hub, system: Name, rng: &mut Rng, after: After) -> (Grant, &'static str) {
    let resources = resources();
    let (_, fields, resource) = rng.one(&resources);
    let hour = i64::from(hour());
    let around = |offset: i64| u32::try_from((hour + offset).rem_euclid(24)).unwrap();
    let today = today();
    let (hour_from, hour_until) = *rng.one(&[
        (0, 0),
        (0, 0),
        (0, 0),
        (around(-1), around(1)),
        (around(0), around(0)),
        (around(-12), around(1)),
        (around(2), around(5)),
        (around(-5), around(-2)),
    ]);
    let (term_from, term_until) = *rng.one(&[
        (None, None),
        (None, None),
        (None, None),
        (Some(0), Some(0)),
        (Some(-400), Some(30)),
        (Some(-30), Some(-1)),
        (Some(1), Some(30)),
        (Some(-400), None),
    ]);
    let date_at = |days: Option<i64>| days.map(|days| date_of(today + days));
    let mut purposes = Vec::new();
    for _ in 0..rng.between(1, 3) {
        let items = ITEMS.iter().filter(|_| rng.between(0, 3) == 0).map(|item| (*item).to_owned()).collect();
        purposes.push(AllowedPurpose { kind: *rng.one(&PURPOSES) as i32, items });
    }
    let some = |rng: &mut Rng, all: &[i32]| {
        let chosen: Vec<i32> = all.iter().copied().filter(|_| rng.between(0, 4) > 0).collect();
        if chosen.is_empty() { vec![all[0]] } else { chosen }
    };
    let grant = Grant {
        resource: resource.code.clone(),
        fields: fields.iter().filter(|_| rng.between(0, 4) > 0).map(|f| (*f).to_owned()).collect(),
        kinds: some(rng, &KINDS.map(|kind| kind as i32)),
        facts: some(rng, &FACTS.map(|fact| fact as i32)),
        mode: *rng.one(&[GrantMode::Full, GrantMode::Full, GrantMode::Masked, GrantMode::YesNo]) as i32,
        purposes,
        legal_basis: "《浙江省公共数据条例》第二十二条".into(),
        hour_from,
        hour_until,
        term_from: date_at(term_from),
        term_until: date_at(term_until),
        ..Grant::default()
    };
    let (id, by_rule) = hub.caller(system).apply(grant.clone()).await.unwrap();
    let grant = Grant { id, system: uri(system), ..grant };
    let console = hub.caller(CONSOLE);
    let by_rule = by_rule == wuku::wire::proto::catalogue::v1::GrantState::Granted;
    let mut state = if by_rule { "GRANTED" } else { "APPLIED" };
    // Most are given, so that questions find something; some are not decided, refused, or taken back.
    let fate = if after == After::Stays { rng.between(0, 20) } else { 19 };
    if !by_rule && fate > 0 {
        let agree = fate > 1;
        console.decide(&grant.id, agree, "不予同意").await.unwrap();
        state = if agree { "GRANTED" } else { "REFUSED" };
    }
    if state == "GRANTED" && fate < 3 {
        console.withdraw(&grant.id, "用毕").await.unwrap();
        state = "WITHDRAWN";
    }
    (grant, state)
}

/// What a question is about, before it has a kind.
struct About<'a> {
    library: &'a str,
    resource: &'a Resource,
    purpose: Purpose,
    wanted: Vec<String>,
    grant: &'a Grant,
}

impl About<'_> {
    fn context(&self) -> wuku::wire::proto::exchange::v1::Context {
        wuku::wire::proto::exchange::v1::Context { purpose: Some(self.purpose.clone()), ..client::context() }
    }

    fn fits(&self, fact: FactKind) -> bool {
        let library = match fact {
            FactKind::AgeAtLeast | FactKind::RegisteredIn => "POPULATION",
            FactKind::LicenceValidOn => "LICENCE",
            FactKind::NotListedOn => "CREDIT",
            _ => "LEGAL_ENTITY",
        };
        library == self.library && self.grant.facts().any(|granted| granted == fact)
    }
}

fn area(about: &About<'_>) -> (Body, Value) {
    let point = Point { longitude_e9: 121_000_000_000, latitude_e9: 29_100_000_000 };
    let question = AreaQuestion {
        context: Some(about.context()),
        r#where: Some(Where::Point(point)),
        fields: about.wanted.clone(),
        ..AreaQuestion::default()
    };
    (Body::Area(question.encode_to_vec().into()), json!({}))
}

/// Asks for a record that is held.
fn question_of(held: &Held, fields: &[&str]) -> LookUpQuestion {
    if held.library == "LICENCE" { licence(&held.key, fields) } else { person(&held.key, fields) }
}

fn line_of(grant: &Grant, state: &str) -> Value {
    let text = |date: &Option<Date>| date.as_ref().map(|d| format!("{:04}-{:02}-{:02}", d.year, d.month, d.day));
    let purposes: Vec<Value> = (grant.purposes.iter())
        .map(|p| json!({ "kind": name(p.kind().as_str_name(), "PURPOSE_KIND_"), "items": p.items }))
        .collect();
    let kinds: Vec<&str> = grant.kinds().map(|kind| name(kind.as_str_name(), "QUESTION_KIND_")).collect();
    let facts: Vec<&str> = grant.facts().map(|fact| name(fact.as_str_name(), "FACT_KIND_")).collect();
    let (from, until) = (text(&grant.term_from), text(&grant.term_until));
    json!({ "line": "grant", "id": grant.id, "system": grant.system, "resource": grant.resource, "fields": grant.fields,
        "kinds": kinds, "facts": facts, "mode": name(grant.mode().as_str_name(), "GRANT_MODE_"), "purposes": purposes,
        "hours": [grant.hour_from, grant.hour_until], "term_from": from, "term_until": until, "state": state,
        "quota": grant.quota_per_day, "decided_on": text(&Some(date_of(today()))) })
}

fn name_of_role(role: Role) -> &'static str {
    name(role.as_str_name(), "ROLE_")
}

/// Days since 1970 in Shanghai.
fn today() -> i64 {
    i64::try_from((Clock::system().now_ms() + 8 * 3_600_000) / 86_400_000).unwrap()
}

fn hour() -> u32 {
    u32::try_from((Clock::system().now_ms() / 3_600_000 + 8) % 24).unwrap()
}

fn date_of(days: i64) -> Date {
    let epoch = wuku::library::codes::CalendarDate::new(1970, 1, 1).unwrap();
    let text = epoch.plus_days(i32::try_from(days).unwrap()).unwrap().to_string();
    let parts: Vec<i32> = text.split('-').map(|part| part.parse().unwrap()).collect();
    date(parts[0], parts[1], parts[2])
}

/// Questions one after the other to a system whose two grants end by quota.
async fn metered(hub: &Hub, world: &World) -> Vec<Value> {
    let caller = hub.caller(METERED);
    let mut judged = Vec::new();
    for held in world.held.iter().take(12) {
        let question = Bytes::from(question_of(held, &["name"]).encode_to_vec());
        let told = json!({ "system": uri(METERED), "kind": "LOOK_UP", "library": held.library, "licence_type": "",
            "purpose": "HANDLING", "item": ITEM, "fields": ["name"], "key": held.key, "complete": false, "mode": "" });
        let request = LookUpRequest { question, ..LookUpRequest::default() };
        let result = caller.exchange().look_up(request).await.map(|response| {
            let response = response.into_inner();
            vec![(response.payload, response.receipt)]
        });
        judged.push(with_decision(told, world, result));
    }
    judged
}

/// Questions by key, many at once.
async fn batches(hub: &Hub, world: &World, asks: Vec<Ask>) -> Vec<Value> {
    let mut by_system: BTreeMap<Name, Vec<Ask>> = BTreeMap::new();
    for ask in asks {
        by_system.entry(ask.system).or_default().push(ask);
    }
    let mut judged = Vec::new();
    for (system, asks) in by_system {
        let caller = hub.caller(system);
        for some in asks.chunks(BATCH) {
            let questions = some.iter().map(|ask| match &ask.body {
                Body::LookUp(bytes) => bytes.clone(),
                _ => unreachable!("by key only"),
            });
            let request = BatchLookUpRequest { questions: questions.collect(), ..BatchLookUpRequest::default() };
            let response = patiently(|| async { caller.exchange().batch_look_up(request.clone()).await }).await;
            let response = response.unwrap().into_inner();
            assert_eq!(response.items.len(), some.len());
            for (ask, item) in some.iter().zip(response.items) {
                judged.push(with_decision(ask.told.clone(), world, Ok(vec![(item.payload, item.receipt)])));
            }
        }
    }
    judged
}

/// Questions of all other kinds, a few at once.
async fn singles(hub: &Hub, world: &World, asks: Vec<Ask>) -> Vec<Value> {
    let mut callers: BTreeMap<Name, Caller> = BTreeMap::new();
    for ask in &asks {
        callers.entry(ask.system).or_insert_with(|| hub.caller(ask.system));
    }
    let mut judged = Vec::new();
    for some in asks.chunks(64) {
        let answers = some.iter().map(|ask| patiently(|| single(&callers[&ask.system], &ask.body)));
        for (ask, answer) in some.iter().zip(futures_util::future::join_all(answers).await) {
            judged.push(with_decision(ask.told.clone(), world, answer));
        }
    }
    judged
}

/// Asks again while the hub is too busy: that is no decision.
async fn patiently<T, F: Future<Output = Result<T, Status>>>(ask: impl Fn() -> F) -> Result<T, Status> {
    loop {
        match ask().await {
            Err(status) if status.code() == Code::Unavailable => tokio::time::sleep(Duration::from_millis(100)).await,
            other => return other,
        }
    }
}

async fn single(caller: &Caller, body: &Body) -> Result<Vec<(Bytes, Option<Receipt>)>, Status> {
    let mut exchange = caller.exchange();
    match body {
        Body::LookUp(_) => unreachable!("asked in batches"),
        Body::Match(question) => {
            let request = MatchRequest { question: question.clone(), ..MatchRequest::default() };
            exchange.r#match(request).await.map(|r| r.into_inner()).map(|r| vec![(r.payload, r.receipt)])
        }
        Body::Derive(question) => {
            let request = DeriveRequest { question: question.clone(), ..DeriveRequest::default() };
            exchange.derive(request).await.map(|r| r.into_inner()).map(|r| vec![(r.payload, r.receipt)])
        }
        Body::Holder(question) => {
            let request = LookUpHolderRequest { question: question.clone(), ..LookUpHolderRequest::default() };
            let items = exchange.look_up_holder(request).await?.into_inner().items;
            Ok(items.into_iter().map(|item| (item.payload, item.receipt)).collect())
        }
        Body::Area(question) => {
            let request = LookUpAreaRequest { question: question.clone(), ..LookUpAreaRequest::default() };
            let items = exchange.look_up_area(request).await?.into_inner().items;
            Ok(items.into_iter().map(|item| (item.payload, item.receipt)).collect())
        }
    }
}

/// The question with its decision; what is no refusal by policy is told by its reason.
fn with_decision(mut told: Value, world: &World, result: Result<Vec<(Bytes, Option<Receipt>)>, Status>) -> Value {
    let (at_ms, decision) = match result {
        Ok(items) => world.decision(&items),
        Err(status) => {
            let reason = status.get_details_error_info().unwrap_or_else(|| panic!("{status:?}")).reason;
            let refused = status.code() == Code::PermissionDenied;
            let decision =
                if refused { json!({ "result": "REFUSED", "reason": reason }) } else { json!({ "result": reason }) };
            (Clock::system().now_ms(), decision)
        }
    };
    told["at_ms"] = json!(at_ms);
    told["decision"] = decision;
    told
}
