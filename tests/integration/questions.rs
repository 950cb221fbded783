//! What the hub knows it says, with a receipt; what it does not know it tells apart; what it must not say it does not.
use crate::audit;
use crate::client::{Proved, blamed, by_key, citizen, context, date, failed, licence, person, random, request_id};
use crate::harness::Hub;
use crate::world::{
    CONSOLE, DESK, FOOD, FOOD_FIELDS, HOLDER, MARKET, PEOPLE, REGISTRY, WINDOW, draft, food_type, full_grant,
    people_resource, refused,
};
use prost::Message;
use prost::bytes::Bytes;
use std::time::Duration;
use wuku::failure::Reason;
use wuku::library::codes::{LicenceId, LicenceTypeCode, Uscc};
use wuku::log::checkpoint::SignedCheckpoint;
use wuku::log::{Checkpoint, Entry, LogKey, Origin, SuiteName};
use wuku::receipt::verify::{Options, Step, verify};
use wuku::receipt::{Outcome, PublicEvent, Statement, evidence};
use wuku::wire::proto::catalogue::v1::GrantMode;
use wuku::wire::proto::exchange::v1::derive_question::Fact;
use wuku::wire::proto::exchange::v1::{
    AnswerMode, AsOf, Context, DeriveQuestion, HolderQuestion, LicenceValidOn, LookUpRequest, MatchQuestion, Payload,
    Truth,
};
use wuku::wire::proto::library::v1::{LicenceState, record_key::Key};
use wuku::wire::proto::licence::v1::OrderAction;
use wuku::wire::proto::receipt::v1::public_event::Event;

/// A well-formed identifier of the food permit that was never allotted.
fn nobodys() -> String {
    let kind = LicenceTypeCode::parse(&food_type()).unwrap();
    LicenceId::make(&kind, &Uscc::parse(&MARKET.uscc()).unwrap(), "00000000000000000000", 1).unwrap().to_string()
}

fn state(answer: &Proved) -> LicenceState {
    answer.record().licence.clone().unwrap().state()
}

#[tokio::test]
async fn absent_not_covered_and_uncertain_are_told_apart_each_with_a_receipt() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let (console, window) = (hub.caller(CONSOLE), hub.caller(WINDOW));
    let answer = window.look_up(&licence(&nobodys(), &[])).await.unwrap();
    assert_eq!((answer.outcome(), answer.absence().reason.as_str()), (Outcome::Absent, "ABSENT"));

    console.put_resource(people_resource()).await.unwrap();
    hub.grant(WINDOW, full_grant(PEOPLE, &["name"])).await;
    let answer = window.look_up(&person(HOLDER.1, &["name"])).await.unwrap();
    assert_eq!((answer.outcome(), answer.absence().reason.as_str()), (Outcome::Absent, "ABSENT"));
    let answer = window.look_up(&person("11010519491231002X", &["name"])).await.unwrap();
    assert_eq!((answer.outcome(), answer.absence().reason.as_str()), (Outcome::NotCovered, "KEY_OUTSIDE_COVERAGE"));

    let mut weekly = people_resource();
    (weekly.update_cycle_days, weekly.version) = (7, 1);
    console.put_resource(weekly).await.unwrap();
    let answer = window.look_up(&person(HOLDER.1, &["name"])).await.unwrap();
    assert_eq!((answer.outcome(), answer.absence().reason.as_str()), (Outcome::Uncertain, "NEVER_LOADED"));
    assert_eq!((answer.absence().resource.as_str(), answer.absence().update_cycle_days), (PEOPLE, 7));
    hub.end().await;
}

#[tokio::test]
async fn a_refusal_looks_the_same_whether_or_not_the_record_exists() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let there = hub.issue(draft()).await;
    let desk = hub.caller(DESK);
    let mut bare = Vec::new();
    for id in [there, nobodys()] {
        let status = desk.look_up(&licence(&id, &["number"])).await.unwrap_err();
        let (reason, proved) = desk.refused(&status);
        assert_eq!(reason, Reason::PurposeNotGranted);
        bare.push((status.code(), status.message().to_owned(), status.metadata().len(), bared(&proved)));
    }
    assert_eq!(bare[0], bare[1]);
    hub.end().await;
}

/// Payload and statement without what is random, what is time, and what the caller itself said.
fn bared(proved: &Proved) -> (Payload, Statement, usize) {
    let payload = Payload { question: Bytes::new(), blind: Bytes::new(), valid_at_ms: 0, ..proved.payload.clone() };
    let statement = Statement {
        decided_ms: 0,
        position: 0,
        subject_ref: Bytes::new(),
        payload_digest: Bytes::new(),
        ..proved.statement.clone()
    };
    (payload, statement, proved.evidence.payload.len())
}

#[tokio::test]
async fn a_revocation_shows_at_the_next_question_and_older_days_and_positions_give_the_older_state() {
    let hub = Hub::of(SuiteName::Sm2).await;
    hub.grant_food().await;
    let window = hub.caller(WINDOW);
    let id = hub.issue(draft()).await;
    let as_of = |as_of: AsOf| {
        let mut question = licence(&id, &[]);
        question.context.as_mut().unwrap().as_of = Some(as_of);
        question
    };
    let before = window.look_up(&licence(&id, &[])).await.unwrap();
    assert_eq!(state(&before), LicenceState::Valid);
    tokio::time::sleep(Duration::from_millis(1_050)).await; // so that the revocation stands in a later second
    let revoked = hub.order(&id, OrderAction::Revoke).await;
    let (index, second) = (revoked.receipt().leaf_index, revoked.receipt().time_s);
    let now = window.look_up(&licence(&id, &[])).await.unwrap();
    assert_eq!(state(&now), LicenceState::Revoked);
    assert!(now.statement.position > index, "decided after the change");

    let last_month = AsOf { valid_on: Some(date(2026, 2, 28)), ..AsOf::default() };
    assert_eq!(state(&window.look_up(&as_of(last_month)).await.unwrap()), LicenceState::Valid);
    let that_day = AsOf { valid_on: Some(date(2026, 3, 2)), ..AsOf::default() };
    assert_eq!(state(&window.look_up(&as_of(that_day)).await.unwrap()), LicenceState::Revoked);
    let held = |recorded_position| AsOf { recorded_position, ..AsOf::default() };
    assert_eq!(state(&window.look_up(&as_of(held(index))).await.unwrap()), LicenceState::Valid);
    assert_eq!(state(&window.look_up(&as_of(held(index + 1))).await.unwrap()), LicenceState::Revoked);
    let earlier = AsOf { recorded_time_s: before.receipt().time_s, ..AsOf::default() };
    assert_eq!(state(&window.look_up(&as_of(earlier)).await.unwrap()), LicenceState::Valid);
    // Before it was issued, the hub held nothing.
    let answer = window.look_up(&as_of(held(1))).await.unwrap();
    assert_eq!(answer.outcome(), Outcome::Absent);
    // Beyond the log is malformed, not guessed.
    let status = window.look_up(&as_of(held(1_000_000))).await.unwrap_err();
    assert_eq!(blamed(&status), ["context.as_of.recorded_position".to_owned()].into());
    let both = AsOf { recorded_position: 1, recorded_time_s: second, ..AsOf::default() };
    assert_eq!(failed(window.look_up(&as_of(both)).await), Reason::RequestMalformed);
    hub.end().await;
}

#[tokio::test]
async fn a_question_about_the_newest_second_makes_a_public_tick() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let window = hub.caller(WINDOW);
    let id = hub.issue(draft()).await;
    let newest = window.look_up(&licence(&id, &[])).await.unwrap();
    let (index, second) = (newest.receipt().leaf_index, newest.receipt().time_s);
    let mut question = licence(&id, &[]);
    question.context.as_mut().unwrap().as_of = Some(AsOf { recorded_time_s: second + 3_600, ..AsOf::default() });
    assert_eq!(failed(window.look_up(&question).await), Reason::RecordedTimeTooNew);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    question.context.as_mut().unwrap().as_of = Some(AsOf { recorded_time_s: second, ..AsOf::default() });
    let answer = window.look_up(&question).await.unwrap();
    assert_eq!(answer.receipt().leaf_index, index + 2, "one tick, then the answer");
    let mut hub = hub;
    assert!(hub.stop().await.success());
    let opened = audit::open(&hub).await;
    let entries = audit::entries(&opened).await;
    drop(opened);
    let Entry::Public { event, .. } = Entry::parse(&entries[usize::try_from(index).unwrap() + 1]).unwrap() else {
        panic!("no public entry")
    };
    assert!(matches!(PublicEvent::decode(event.as_slice()).unwrap().event, Some(Event::Tick(_))));
    hub.audit().await;
}

#[tokio::test]
async fn a_repeated_request_id_gives_the_same_payload_and_leaf_under_a_later_checkpoint() {
    let hub = Hub::of(SuiteName::Sm2).await;
    hub.grant_food().await;
    let (registry, window) = (hub.caller(REGISTRY), hub.caller(WINDOW));
    let prepared = registry.prepare(draft()).await.unwrap();
    let request = hub.issuing(&prepared);
    // The same change five times at once is one change.
    let at_once = futures_util::future::join_all((0..5).map(|_| registry.issue(request.clone()))).await;
    let first = at_once[0].as_ref().unwrap().clone();
    for again in at_once {
        let again = again.unwrap();
        assert_eq!(
            (again.receipt().leaf_index, &again.evidence.payload),
            (first.receipt().leaf_index, &first.evidence.payload)
        );
    }
    let size = |proved: &Proved| SignedCheckpoint::parse(&proved.receipt().checkpoint).unwrap().checkpoint.size;
    let ask = LookUpRequest {
        question: licence(&prepared.licence_id, &["number"]).encode_to_vec().into(),
        request_id: request_id(),
        ..LookUpRequest::default()
    };
    let asked = async |request: &LookUpRequest| {
        window.exchange().look_up(request.clone()).await.map(|r| window.got(r.into_inner()))
    };
    let answer = asked(&ask).await.unwrap();
    hub.order(&prepared.licence_id, OrderAction::Suspend).await;
    let again = asked(&ask).await.unwrap();
    assert_eq!(again.evidence.payload, answer.evidence.payload, "what was said then, not what is so now");
    assert_eq!((again.receipt().leaf_index, &again.statement), (answer.receipt().leaf_index, &answer.statement));
    assert!(size(&again) > size(&answer));

    let other = LookUpRequest { question: licence(&prepared.licence_id, &[]).encode_to_vec().into(), ..ask.clone() };
    assert_eq!(failed(asked(&other).await), Reason::RequestIdReused);
    let mut changed = request.clone();
    changed.operator = context().operator;
    assert_eq!(failed(registry.issue(changed).await), Reason::RequestIdReused);
    let second = wuku::wire::proto::licence::v1::IssueLicenceRequest { request_id: request_id(), ..request.clone() };
    assert_eq!(failed(registry.issue(second).await), Reason::AlreadyExists, "another id is another change");
    // The id is the caller's own: somebody else's same id is something else.
    let desk = hub.caller(DESK);
    let status = desk.exchange().look_up(ask.clone()).await.unwrap_err();
    assert_eq!(desk.refused(&status).0, Reason::PurposeNotGranted);
    hub.end().await;
}

#[tokio::test]
async fn each_item_of_a_batch_has_its_own_outcome_and_entry() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let window = hub.caller(WINDOW);
    let valid = hub.issue(draft()).await;
    let revoked = hub.issue(draft()).await;
    hub.order(&revoked, OrderAction::Revoke).await;
    let questions = [
        licence(&valid, &["number"]),
        licence(&revoked, &["number"]),
        licence(&nobodys(), &["number"]),
        person(HOLDER.1, &["name"]), // no grant
        licence(&valid, &["number"]),
    ];
    let items = window.batch(&questions).await.unwrap();
    let outcomes: Vec<Outcome> = items.iter().map(Proved::outcome).collect();
    assert_eq!(outcomes, [Outcome::Found, Outcome::Found, Outcome::Absent, Outcome::Refused, Outcome::Found]);
    assert_eq!((state(&items[0]), state(&items[1])), (LicenceState::Valid, LicenceState::Revoked));
    let first = items[0].receipt().leaf_index;
    for (n, item) in items.iter().enumerate() {
        assert_eq!(item.receipt().leaf_index, first + n as u64);
        assert_eq!(item.payload.question, questions[n].encode_to_vec());
    }
    let many = vec![licence(&valid, &[]); 201];
    assert_eq!(failed(window.batch(&many).await), Reason::BatchTooLarge);
    assert_eq!(window.batch(&many[..200]).await.unwrap().len(), 200);
    let mut wrong = questions.to_vec();
    wrong[2].context.as_mut().unwrap().nonce = Bytes::from_static(b"short");
    let status = window.batch(&wrong).await.unwrap_err();
    assert_eq!(blamed(&status), ["questions[2].context.nonce".to_owned()].into());
    hub.end().await;
}

#[tokio::test]
async fn by_holder_gives_what_is_granted_and_leaves_the_rest_out() {
    let hub = Hub::new().await;
    let question = HolderQuestion {
        context: Some(context()),
        holder: Some(citizen(HOLDER.1)),
        fields: vec!["licence_id".into(), "number".into()],
        ..HolderQuestion::default()
    };
    let (window, desk) = (hub.caller(WINDOW), hub.caller(DESK));
    hub.grant_food().await;
    let none = window.holder(&question).await.unwrap();
    assert_eq!((none.len(), none[0].outcome()), (1, Outcome::Absent));
    let ids = [hub.issue(draft()).await, hub.issue(draft()).await];
    let mut others = draft();
    others.holders[0].code = Some(citizen("331099199003070021"));
    let _others = hub.issue(others).await;
    let found = window.holder(&question).await.unwrap();
    let mut given: Vec<&str> = found.iter().map(|item| item.field("licence_id").unwrap()).collect();
    given.sort_unstable();
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    ids.sort_unstable();
    assert_eq!(given, ids);
    assert!(found.iter().all(|item| item.statement.subject_ref == none[0].statement.subject_ref), "about the person");
    assert_eq!(refused(&desk, desk.holder(&question).await.map(|mut f| f.remove(0))), Reason::PurposeNotGranted);
    hub.end().await;
}

#[tokio::test]
async fn a_derived_answer_is_yes_no_or_unknown_and_never_holds_the_field_beneath() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let window = hub.caller(WINDOW);
    let id = hub.issue(draft()).await;
    let on = |day| DeriveQuestion {
        context: Some(context()),
        fact: Some(Fact::LicenceValidOn(LicenceValidOn { licence_id: id.clone(), day })),
    };
    for (day, expected) in [
        (Some(date(2026, 1, 4)), Truth::No),
        (Some(date(2026, 1, 5)), Truth::Yes),
        (None, Truth::Yes),
        (Some(date(2098, 1, 4)), Truth::Yes),
        (Some(date(2098, 1, 5)), Truth::No),
    ] {
        let answer = window.derive(&on(day)).await.unwrap();
        // Before its first valid day the hub held no licence: that is unknown, as any missing record.
        let truth = answer.derived().truth();
        assert!(truth == expected || (truth == Truth::Unknown && expected == Truth::No), "{day:?}: {truth:?}");
        let bare = Payload { question: Bytes::new(), ..answer.payload.clone() }.encode_to_vec();
        let until = date(2098, 1, 4).encode_to_vec();
        for secret in [until.as_slice(), b"2098-01-04", HOLDER.0.as_bytes(), HOLDER.1.as_bytes(), b"JY1331"] {
            let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|w| w == secret);
            assert!(!holds(&bare) && !holds(&answer.receipt().statement), "{secret:?}");
        }
    }
    // A fact that is not granted is refused, whatever else is.
    let listed = DeriveQuestion {
        context: Some(context()),
        fact: Some(Fact::NotListedOn(wuku::wire::proto::exchange::v1::NotListedOn {
            subject: Some(citizen(HOLDER.1)),
            category: "blacklist".into(),
            day: None,
        })),
    };
    assert_eq!(refused(&window, window.derive(&listed).await), Reason::PurposeNotGranted);
    hub.end().await;
}

#[tokio::test]
async fn a_masked_grant_gives_masked_values_and_a_full_one_gives_less_when_asked() {
    let hub = Hub::new().await;
    let id = hub.issue(draft()).await;
    let window = hub.caller(WINDOW);
    let mut masked = full_grant(FOOD, &FOOD_FIELDS);
    masked.mode = GrantMode::Masked as i32;
    let grant = hub.grant(WINDOW, masked).await;
    let fields = ["number", "holder_name", "holder_code", "premises", "type_name"];
    let expected = |answer: &Proved| {
        assert_eq!(answer.field("number"), Some("JY13********0017"));
        assert_eq!(answer.field("holder_name"), Some("演*"));
        assert_eq!(answer.field("holder_code"), Some("3310**********0013"));
        assert_eq!(answer.field("premises"), Some("浙江省台州市天台县***"));
        assert_eq!(answer.field("type_name"), Some("食品经营许可证"));
        for secret in [HOLDER.1, HOLDER.0, "JY13310990000017", "88号"] {
            assert!(!String::from_utf8_lossy(&answer.evidence.payload).contains(secret), "{secret}");
        }
    };
    expected(&window.look_up(&licence(&id, &fields)).await.unwrap());
    let mut more = licence(&id, &fields);
    more.mode = AnswerMode::Full as i32;
    assert_eq!(refused(&window, window.look_up(&more).await), Reason::PurposeNotGranted);
    let mut whole = licence(&id, &[]);
    whole.complete_licence = true;
    assert_eq!(refused(&window, window.look_up(&whole).await), Reason::PurposeNotGranted);

    hub.caller(CONSOLE).withdraw(&grant, "换发").await.unwrap();
    hub.grant_food().await;
    let mut less = licence(&id, &fields);
    less.mode = AnswerMode::Masked as i32;
    expected(&window.look_up(&less).await.unwrap());
    less.mode = AnswerMode::YesNo as i32;
    let answer = window.look_up(&less).await.unwrap();
    assert!(answer.record().fields.is_empty() && state(&answer) == LicenceState::Valid);
    hub.end().await;
}

#[tokio::test]
async fn a_match_about_nobody_is_no_and_five_misses_throttle_the_pair() {
    let hub = Hub::new().await;
    hub.caller(CONSOLE).put_resource(people_resource()).await.unwrap();
    hub.grant(WINDOW, full_grant(PEOPLE, &[])).await;
    hub.grant(DESK, full_grant(PEOPLE, &[])).await;
    let (window, desk) = (hub.caller(WINDOW), hub.caller(DESK));
    let of = |code: &str, name: &str| MatchQuestion {
        context: Some(context()),
        holder: Some(citizen(code)),
        name: name.into(),
    };
    let unknown = window.r#match(&of("11010519491231002X", "甲")).await.unwrap();
    assert_eq!(unknown.matched().truth(), Truth::Unknown);
    assert_eq!((unknown.outcome(), unknown.matched().reason.as_str()), (Outcome::NotCovered, "KEY_OUTSIDE_COVERAGE"));
    for _ in 0..5 {
        let answer = window.r#match(&of(HOLDER.1, "演示样本")).await.unwrap();
        assert_eq!((answer.matched().truth(), answer.outcome()), (Truth::No, Outcome::Found));
        assert!(answer.statement.records.is_empty());
    }
    let status = window.r#match(&of(HOLDER.1, "演示样本")).await.unwrap_err();
    assert_eq!(crate::client::reason(&status), Reason::MatchThrottled);
    assert!(
        tonic_types::StatusExt::get_details_retry_info(&status).unwrap().retry_delay.unwrap()
            > Duration::from_secs(590)
    );
    window.r#match(&of("331099199003070021", "演示样本")).await.unwrap();
    desk.r#match(&of(HOLDER.1, "演示样本")).await.unwrap();
    hub.end().await;
}

#[tokio::test]
async fn a_checkpoint_of_ours_is_held_against_the_log_and_a_foreign_one_is_refused() {
    for suite in SuiteName::ALL {
        checkpoints_are_held_against_the_log(Hub::of(suite).await).await;
    }
}

async fn checkpoints_are_held_against_the_log(hub: Hub) {
    hub.grant_food().await;
    let window = hub.caller(WINDOW);
    let id = hub.issue(draft()).await;
    let answer = window.look_up(&licence(&id, &[])).await.unwrap();
    let seen = |checkpoint: Bytes| {
        let mut question = licence(&id, &[]);
        question.context = Some(Context { seen: checkpoint, ..context() });
        question
    };
    window.look_up(&seen(answer.receipt().checkpoint.clone())).await.unwrap();
    let foreign = LogKey::generate(&hub.config.origin(), hub.suite()).unwrap();
    let ours = SignedCheckpoint::parse(&answer.receipt().checkpoint).unwrap().checkpoint;
    let signed = |key: &LogKey, checkpoint: &Checkpoint| Bytes::from(checkpoint.sign(key).unwrap());
    assert_eq!(failed(window.look_up(&seen(signed(&foreign, &ours))).await), Reason::CheckpointUnknown);
    assert_eq!(failed(window.look_up(&seen(Bytes::from_static(b"no checkpoint"))).await), Reason::CheckpointUnknown);
    let mut cut = answer.receipt().checkpoint.to_vec();
    cut.pop();
    assert_eq!(failed(window.look_up(&seen(cut.into())).await), Reason::CheckpointUnknown);
    hub.end().await;
}

#[tokio::test]
async fn two_histories_under_our_own_signature_stop_the_hub_and_the_note_is_kept() {
    let mut hub = Hub::of(SuiteName::Sm2).await;
    hub.grant_food().await;
    let window = hub.caller(WINDOW);
    let id = hub.issue(draft()).await;
    window.look_up(&licence(&id, &[])).await.unwrap();
    let key = std::fs::read_to_string(&hub.config.keys.log_key_file).unwrap();
    let key = LogKey::parse(key.trim_end()).unwrap();
    let forked = Checkpoint { origin: Origin::parse(&hub.config.origin()).unwrap(), size: 3, root: random() };
    let mut question = licence(&id, &[]);
    question.context = Some(Context { seen: forked.sign(&key).unwrap().into(), ..context() });
    let status = window.look_up(&question).await.unwrap_err();
    assert_eq!(crate::client::reason(&status), Reason::RecordingStopped);
    let ended = hub.ends().await;
    assert!(!ended.success(), "an operator must look");
    let line = forked.to_text().lines().nth(2).unwrap().to_owned();
    assert!(hub.log().contains(&line), "the note that convicts is in the log");
    hub.audit().await;
}

#[tokio::test]
async fn evidence_answers_one_question_and_one_byte_more_or_less_is_not_good() {
    let hub = Hub::of(SuiteName::Sm2).await;
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    let question = licence(&id, &["number"]);
    let answer = hub.caller(WINDOW).look_up(&question).await.unwrap();
    let file = evidence::to_json(&answer.evidence);
    let nonce = question.context.as_ref().unwrap().nonce.clone();
    let asked = question.encode_to_vec();
    let options = Options { nonce: Some(&nonce), question: Some(&asked), ..Options::default() };
    assert!(verify(&file, &hub.trust, &options).good);
    let other = licence(&id, &["number"]);
    let nonce = other.context.as_ref().unwrap().nonce.clone();
    let verdict = verify(&file, &hub.trust, &Options { nonce: Some(&nonce), ..Options::default() });
    assert_eq!(verdict.failed_step, Some(Step::Nonce));
    for at in (0..file.len()).step_by(7) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(!verify(&changed, &hub.trust, &Options::default()).good, "byte {at}");
    }
    // The command line says the same, offline.
    let path = hub.path("evidence.json");
    let trust = hub.config.trust.file.to_str().unwrap().to_owned();
    let said = |file: &[u8]| {
        std::fs::write(&path, file).unwrap();
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_wuku"))
            .args(["verify", "--json", "--trust", &trust, path.to_str().unwrap()])
            .output()
            .unwrap();
        (run.status.code(), String::from_utf8(run.stdout).unwrap())
    };
    let (code, text) = said(&file);
    assert!(code == Some(0) && text.contains(&answer.receipt().leaf_index.to_string()), "{code:?} {text}");
    let bad = file.iter().rposition(|b| *b == b'A').unwrap();
    let mut changed = file.clone();
    changed[bad] = b'B';
    assert_ne!(said(&changed).0, Some(0));
    hub.end().await;
}

#[tokio::test]
async fn every_fault_of_a_question_is_named_at_once() {
    let hub = Hub::new().await;
    let window = hub.caller(WINDOW);
    let mut question = by_key(Key::LicenceId("1.2.156.3005.2.nonsense".into()), &["number", "number"]);
    let context = question.context.as_mut().unwrap();
    context.nonce = Bytes::from_static(&[7; 15]);
    context.purpose = Some(wuku::receipt::Statement::default().purpose.unwrap_or_default());
    question.mode = 9;
    let status = window.look_up(&question).await.unwrap_err();
    let expected =
        ["context.nonce", "context.purpose.kind", "context.purpose.use_cause", "fields[1]", "key.licence_id", "mode"];
    assert_eq!(blamed(&status), expected.map(str::to_owned).into());
    // A spelling the hub would have to interpret is malformed: the recorded question names the canonical key.
    let status = window.look_up(&person("11010519491231002x", &[])).await.unwrap_err();
    assert_eq!(blamed(&status), ["key.person.code".to_owned()].into());
    // Bytes that are no canonical message.
    let mut bytes = licence(&nobodys(), &[]).encode_to_vec();
    bytes.extend([0x78, 0x00]);
    let request = LookUpRequest { question: bytes.into(), ..LookUpRequest::default() };
    assert_eq!(failed(window.exchange().look_up(request).await), Reason::RequestMalformed);
    hub.end().await;
}
