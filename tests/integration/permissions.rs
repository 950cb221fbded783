//! The permission table: role × rpc × purpose × field set and mode, asked of the policy itself, kept as `tests/golden/permissions.txt`.
//!
//! A change of that file is a change of who may see what, and is reviewed as such. `WUKU_BLESS=1` writes it anew.
use crate::client::{by_key, citizen, context, licence};
use crate::world::{FOOD, HOLDER, ITEM, PEOPLE, food_resource, food_type, full_grant, people_resource};
use prost::Message;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use wuku::clock::Clock;
use wuku::library::codes::{LicenceId, LicenceTypeCode, Uscc};
use wuku::library::question::Asked;
use wuku::library::record::{LinkKind, Row, Stamp, View};
use wuku::library::schema::Library;
use wuku::log::SuiteName;
use wuku::policy::{Caller, Decision, EVERY_SCOPE, Operation, Policy, allowed_roles, scope_index};
use wuku::receipt::Kind;
use wuku::store::memory::Memory;
use wuku::store::vault::{Kek, Vault};
use wuku::store::{Batch, BatchId, Store};
use wuku::wire::proto::catalogue::v1::{
    AllowedPurpose, FactKind, Grant, GrantMode, GrantState, QuestionKind, Resource, Role, SharingClass, System,
};
use wuku::wire::proto::exchange::v1::area_question::Where;
use wuku::wire::proto::exchange::v1::derive_question::Fact;
use wuku::wire::proto::exchange::v1::{
    AgeAtLeast, AnswerMode, AreaQuestion, DeriveQuestion, HolderQuestion, LicenceValidOn, MatchQuestion, NotListedOn,
    RegisteredIn, Represents,
};
use wuku::wire::proto::library::v1::record_key::Key;
use wuku::wire::proto::library::v1::{Library as LibraryCode, Point};
use wuku::wire::proto::receipt::v1::{Purpose, PurposeKind};
use wuku::wire::question;

const ROLES: [Role; 8] = [
    Role::DataAuthority,
    Role::Source,
    Role::Consumer,
    Role::Clerk,
    Role::Auditor,
    Role::SystemAdministrator,
    Role::SecurityAdministrator,
    Role::AuditAdministrator,
];
const MODES: [GrantMode; 3] = [GrantMode::YesNo, GrantMode::Masked, GrantMode::Full];
const FEATURES: &str = "features";

#[tokio::test]
async fn the_permission_table_is_the_reviewed_one() {
    let table = format!("{HEAD}\n{}\n{}", roles_table(), questions_table().await);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/permissions.txt");
    if std::env::var_os("WUKU_BLESS").is_some() {
        std::fs::write(&path, &table).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap();
    for (n, (made, reviewed)) in table.lines().zip(reviewed.lines()).enumerate() {
        assert_eq!(made, reviewed, "line {} differs; review it, then WUKU_BLESS=1", n + 1);
    }
    assert_eq!(table.len(), reviewed.len(), "the table has become longer or shorter");
}

const HEAD: &str = "\
Who may what. Made by tests/integration/permissions.rs from the policy itself; a change here is a change of who sees what.

1. Which role may call which rpc at all (everything else is decided below, by department, or in the library).
";

fn roles_table() -> String {
    let mut table = format!("{:<22}", "rpc");
    for role in ROLES {
        let _ = write!(table, " {}", short(role));
    }
    table.push('\n');
    for operation in Operation::ALL {
        let _ = write!(table, "{:<22}", format!("{operation:?}"));
        for role in ROLES {
            let may = if allowed_roles(*operation).contains(&role) { "yes" } else { "-" };
            let _ = write!(table, " {may:<width$}", width = short(role).len());
        }
        while table.ends_with(' ') {
            table.pop();
        }
        table.push('\n');
    }
    table
}

fn short(role: Role) -> String {
    role.as_str_name().trim_start_matches("ROLE_").to_lowercase()
}

/// Questions in the order of the table: name, what is asked, made from a purpose.
type Line = (&'static str, Box<dyn Fn(Purpose) -> Asked>);

async fn questions_table() -> String {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(Memory::store(Clock::system()));
    let kek = Kek::create(&folder.path().join("kek"), &folder.path().join("data")).unwrap();
    let vault = Arc::new(Vault::create(&kek, store.as_ref(), SuiteName::Ed25519).await.unwrap());
    for resource in [food_resource(), people_resource(), features_resource()] {
        put(&store, &vault, Library::Resource, "resource", &resource.code.clone(), &resource, &[]).await;
    }
    for role in ROLES {
        for mode in MODES {
            let uri = uri(role, mode);
            let system = System { uri: uri.clone(), roles: vec![role as i32], enabled: true, ..System::default() };
            put(&store, &vault, Library::System, "system", &uri, &system, &[]).await;
            for (resource, scope) in [
                (FOOD, format!("licence:{}", food_type())),
                (PEOPLE, "population".to_owned()),
                (FEATURES, "geospatial".to_owned()),
            ] {
                put_grant(&store, &vault, &uri, mode, resource, &scope).await;
            }
        }
    }
    let view = View::new(store.snapshot().await.unwrap(), vault, 0, 0, &Clock::system());
    let mut table = String::from(QUESTIONS);
    let mut blocks: Vec<(String, String)> = Vec::new();
    for role in ROLES {
        for mode in MODES {
            let caller = Caller::from_certificate(&uri(role, mode), "01", [0; 32]).unwrap();
            let mut block = String::new();
            let mut same = None;
            for (name, asked) in lines() {
                let _ = write!(block, "{name:<44}");
                for (purpose, short) in purposes() {
                    // A policy of its own: matches that nobody answers count as tries and would throttle the rest of the table.
                    let policy = Policy::new(1_000_000);
                    let cell = match policy.decide(&view, &caller, &asked(purpose)).await.unwrap() {
                        Decision::Permitted(_) => "yes",
                        Decision::Refused(refusal) => refusal.reason.name(),
                    };
                    let shown = match cell {
                        "PURPOSE_NOT_GRANTED" => "-",
                        other => other,
                    };
                    let _ = write!(block, " {shown:<width$}", width = short.len());
                    same = match same {
                        None => Some(Some(cell)),
                        Some(Some(before)) if before == cell => Some(Some(cell)),
                        _ => Some(None),
                    };
                }
                while block.ends_with(' ') {
                    block.pop();
                }
                block.push('\n');
            }
            let mode = mode.as_str_name().trim_start_matches("GRANT_MODE_");
            let title = format!("role {}, grants of mode {mode}", short(role));
            if let Some(Some(always)) = same {
                let _ = writeln!(table, "\n{title}: {always} to every question");
                continue;
            }
            if let Some((other, _)) = blocks.iter().find(|(_, before)| *before == block) {
                let _ = writeln!(table, "\n{title}: as {other}");
                continue;
            }
            let _ = write!(table, "\n{title}\n{:<44}", "question");
            purposes().iter().for_each(|(_, short)| _ = write!(table, " {short}"));
            let _ = write!(table, "\n{block}");
            blocks.push((title, block));
        }
    }
    table
}

const QUESTIONS: &str = "\
2. Questions, by role, grant mode and purpose. Each system has three grants, for the purposes HANDLING {item 331023000001} and
SUPERVISION: on a licence type (fields number, holder_name, complete_licence; LOOK_UP, DERIVE, HOLDER; fact LICENCE_VALID_ON), on the
population (no fields; MATCH, DERIVE; facts AGE_AT_LEAST, REGISTERED_IN) and on features (field name; AREA).
`-` is PURPOSE_NOT_GRANTED, the same answer whether or not the record exists.
";

fn purposes() -> Vec<(Purpose, &'static str)> {
    use PurposeKind::{Audit, Correction, Handling, Policy, PreCheck, Supervision};
    [
        (Handling, ITEM, "HANDLING"),
        (Handling, "331023000002", "HANDLING-other-item"),
        (PreCheck, ITEM, "PRE_CHECK"),
        (Supervision, "", "SUPERVISION"),
        (Policy, "", "POLICY"),
        (Correction, "", "CORRECTION"),
        (Audit, "", "AUDIT"),
    ]
    .map(|(kind, item, short)| {
        let purpose =
            Purpose { kind: kind as i32, item: item.into(), reference: "r-1".into(), use_cause: "测试".into() };
        (purpose, short)
    })
    .to_vec()
}

fn lines() -> Vec<Line> {
    let id = {
        let kind = LicenceTypeCode::parse(&food_type()).unwrap();
        let issuer = Uscc::parse(&crate::world::MARKET.uscc()).unwrap();
        LicenceId::make(&kind, &issuer, "00000000000000000000", 1).unwrap().to_string()
    };
    let mut lines: Vec<Line> = Vec::new();
    for (name, fields, complete, mode) in [
        ("LookUp licence, no field", &[][..], false, AnswerMode::Unspecified),
        ("LookUp licence, granted fields", &["number", "holder_name"], false, AnswerMode::Unspecified),
        ("LookUp licence, granted fields, YES_NO", &["number"], false, AnswerMode::YesNo),
        ("LookUp licence, granted fields, MASKED", &["number"], false, AnswerMode::Masked),
        ("LookUp licence, granted fields, FULL", &["number"], false, AnswerMode::Full),
        ("LookUp licence, one field more", &["number", "holder_code"], false, AnswerMode::Unspecified),
        ("LookUp licence, complete", &[], true, AnswerMode::Unspecified),
    ] {
        let mut question = licence(&id, fields);
        (question.complete_licence, question.mode) = (complete, mode as i32);
        lines.push((
            name,
            Box::new(move |purpose| {
                let mut question = question.clone();
                question.context.as_mut().unwrap().purpose = Some(purpose);
                question::look_up(question.encode_to_vec().into(), Kind::LookUp, None).unwrap()
            }),
        ));
    }
    for (name, key) in [
        ("LookUp person (no LOOK_UP grant)", Key::Person(citizen(HOLDER.1))),
        ("LookUp legal entity (no grant)", Key::Uscc(crate::world::MARKET.uscc())),
        ("LookUp feature (no LOOK_UP grant)", Key::FeatureCode("f-1".into())),
    ] {
        let question = by_key(key, &[]);
        lines.push((
            name,
            Box::new(move |purpose| {
                let mut question = question.clone();
                question.context.as_mut().unwrap().purpose = Some(purpose);
                question::look_up(question.encode_to_vec().into(), Kind::BatchItem, None).unwrap()
            }),
        ));
    }
    lines.push((
        "Match person",
        Box::new(|purpose| {
            let context = wuku::wire::proto::exchange::v1::Context { purpose: Some(purpose), ..context() };
            let question =
                MatchQuestion { context: Some(context), holder: Some(citizen(HOLDER.1)), name: "甲".into() };
            question::matching(question.encode_to_vec().into(), None).unwrap()
        }),
    ));
    let person = || Some(citizen(HOLDER.1));
    for (name, fact) in [
        ("Derive LICENCE_VALID_ON", Fact::LicenceValidOn(LicenceValidOn { licence_id: id, day: None })),
        ("Derive AGE_AT_LEAST", Fact::AgeAtLeast(AgeAtLeast { person: person(), years: 18 })),
        ("Derive REGISTERED_IN", Fact::RegisteredIn(RegisteredIn { subject: person(), division: "331023".into() })),
        (
            "Derive NOT_LISTED_ON (no grant)",
            Fact::NotListedOn(NotListedOn { subject: person(), category: "blacklist".into(), day: None }),
        ),
        (
            "Derive REPRESENTS (no grant)",
            Fact::Represents(Represents { person: person(), uscc: crate::world::MARKET.uscc() }),
        ),
    ] {
        lines.push((
            name,
            Box::new(move |purpose| {
                let context = wuku::wire::proto::exchange::v1::Context { purpose: Some(purpose), ..context() };
                let question = DeriveQuestion { context: Some(context), fact: Some(fact.clone()) };
                question::derive(question.encode_to_vec().into(), None).unwrap()
            }),
        ));
    }
    for (name, libraries) in [
        ("LookUpHolder licences", vec![]),
        ("LookUpHolder population (no HOLDER grant)", vec![LibraryCode::Population as i32]),
    ] {
        lines.push((
            name,
            Box::new(move |purpose| {
                let context = wuku::wire::proto::exchange::v1::Context { purpose: Some(purpose), ..context() };
                let question = HolderQuestion {
                    context: Some(context),
                    holder: Some(citizen(HOLDER.1)),
                    libraries: libraries.clone(),
                    fields: vec!["holder_code".into()],
                    ..HolderQuestion::default()
                };
                question::by_holder(question.encode_to_vec().into()).unwrap()
            }),
        ));
    }
    for (name, field) in [("LookUpArea, granted field", "name"), ("LookUpArea, geometry (not granted)", "geometry")] {
        lines.push((
            name,
            Box::new(move |purpose| {
                let context = wuku::wire::proto::exchange::v1::Context { purpose: Some(purpose), ..context() };
                let question = AreaQuestion {
                    context: Some(context),
                    r#where: Some(Where::Point(Point { longitude_e9: 121_000_000_000, latitude_e9: 29_000_000_000 })),
                    fields: vec![field.into()],
                    ..AreaQuestion::default()
                };
                question::by_place(question.encode_to_vec().into(), |_| Ok(None)).unwrap()
            }),
        ));
    }
    lines
}

fn uri(role: Role, mode: GrantMode) -> String {
    format!("wuku://hub.test/{}/{}", short(role), mode.as_str_name().to_lowercase())
}

fn features_resource() -> Resource {
    Resource {
        code: FEATURES.into(),
        library: LibraryCode::Geospatial as i32,
        sharing_class: SharingClass::Conditional as i32,
        ..people_resource()
    }
}

async fn put_grant(
    store: &Arc<dyn Store>,
    vault: &Arc<Vault>,
    uri: &str,
    mode: GrantMode,
    resource: &str,
    scope: &str,
) {
    use FactKind::{AgeAtLeast, LicenceValidOn, RegisteredIn};
    use QuestionKind::{Area, Derive, Holder, LookUp, Match};
    let (kinds, facts, fields): (&[QuestionKind], &[FactKind], &[&str]) = match resource {
        FOOD => (&[LookUp, Derive, Holder], &[LicenceValidOn], &["number", "holder_name", "complete_licence"]),
        PEOPLE => (&[Match, Derive], &[AgeAtLeast, RegisteredIn], &[]),
        _ => (&[Area], &[], &["name"]),
    };
    let grant = Grant {
        id: format!("{uri} {resource}"),
        system: uri.to_owned(),
        kinds: kinds.iter().map(|k| *k as i32).collect(),
        facts: facts.iter().map(|f| *f as i32).collect(),
        mode: mode as i32,
        purposes: vec![
            AllowedPurpose { kind: PurposeKind::Handling as i32, items: vec![ITEM.into()] },
            AllowedPurpose { kind: PurposeKind::Supervision as i32, items: vec![] },
        ],
        state: GrantState::Granted as i32,
        ..full_grant(resource, fields)
    };
    let view = View::new(store.snapshot().await.unwrap(), vault.clone(), 0, 0, &Clock::system());
    let links =
        [(LinkKind::Scope, scope_index(&view, uri, EVERY_SCOPE)), (LinkKind::Scope, scope_index(&view, uri, scope))];
    put(store, vault, Library::Grant, "grant", &grant.id.clone(), &grant, &links).await;
}

async fn put<M: Message>(
    store: &Arc<dyn Store>,
    vault: &Arc<Vault>,
    library: Library,
    code_type: &str,
    code: &str,
    message: &M,
    links: &[(LinkKind, wuku::store::key_space::IndexKey)],
) {
    let view = View::new(store.snapshot().await.unwrap(), vault.clone(), 0, 0, &Clock::system());
    let body = message.encode_to_vec().into();
    let row = Row { format: 1, code_type: code_type.into(), code: code.into(), body, ..Row::default() };
    let write = view.write(library, &row, 0, links).unwrap();
    let mut batch = Batch::new(BatchId::random().unwrap());
    write.puts.into_iter().chain(write.fresh).for_each(|(key, body)| _ = batch.put(key, body));
    let stamp = Stamp { index: 0, time_s: 0 }.to_bytes();
    write.stamped.into_iter().for_each(|(key, _)| _ = batch.put(key, stamp.to_vec()));
    store.commit(batch).await.unwrap();
}
