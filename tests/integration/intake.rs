//! How data gets in over the wire, and what can be asked of it then: match, derived facts, places.
use crate::client::{Caller, administration, citizen, context, failed, person, request_id};
use crate::harness::Hub;
use crate::world::{
    CLINICS, CONSOLE, Chunk, Delivery, HEALTH, MARKET, PEOPLE, POLICE, POPULATION, REGISTRY, WINDOW, full_grant,
    opening, people, people_resource, resident,
};
use prost::Message;
use prost::bytes::Bytes;
use wuku::failure::Reason;
use wuku::receipt::Outcome;
use wuku::wire::proto::catalogue::v1::{QuestionKind, Resource};
use wuku::wire::proto::exchange::v1::area_question::Where;
use wuku::wire::proto::exchange::v1::derive_question::Fact;
use wuku::wire::proto::exchange::v1::{AgeAtLeast, AreaQuestion, DeriveQuestion, MatchQuestion, Payload, Truth};
use wuku::wire::proto::intake::v1::{
    GetImportRequest, ImportFormat, ImportPart, ImportPhase, ImportRequest, ImportResponse, ImportScope,
    ListQuarantineRequest, ReleaseImportRequest, import_request::Message as Up,
};
use wuku::wire::proto::library::v1::{Library, Point};

async fn with_people() -> Hub {
    let hub = Hub::new().await;
    let mut weekly = people_resource();
    weekly.update_cycle_days = 7;
    hub.caller(CONSOLE).put_resource(weekly).await.unwrap();
    hub.grant(WINDOW, full_grant(PEOPLE, &["name", "birth_date", "address"])).await;
    hub
}

#[tokio::test]
async fn good_rows_take_effect_bad_ones_are_named_with_their_reasons_and_a_snapshot_makes_absence_known() {
    let hub = with_people().await;
    let window = hub.caller(WINDOW);
    let (first, good) = resident(1, "演示样本·艾力");
    let (second, other) = resident(2, "演示样本𬊤");
    let bad = good.replace("1990-03-07,", "1990-03-08,").replace(&first, &resident(3, "").0);
    let nobody = resident(9, "").0;
    assert_eq!(window.look_up(&person(&nobody, &[])).await.unwrap().outcome(), Outcome::Uncertain);
    let report = hub.import(&people(ImportScope::Snapshot, &[good, bad, other], "1")).await.unwrap();
    assert_eq!((report.phase(), report.rows_applied, report.rows_quarantined), (ImportPhase::Done, 2, 1));
    assert_eq!(
        (report.first_quarantined[0].row, report.first_quarantined[0].faults[0].field.as_str()),
        (2, "birth_date")
    );
    let police = hub.caller(POPULATION);
    police.got(Chunk(report.clone()));
    let ask = ListQuarantineRequest { import_id: report.import_id.clone(), ..ListQuarantineRequest::default() };
    let rows = police.intake().list_quarantine(ask.clone()).await.unwrap().into_inner().rows;
    assert_eq!((rows.len(), rows[0].row), (1, 2));
    assert!(!rows[0].faults[0].text_zh.is_ascii() && rows[0].faults[0].text_en.is_ascii());
    assert_eq!(failed(hub.caller(CLINICS).intake().list_quarantine(ask).await), Reason::TargetUnknown);
    let get = GetImportRequest { import_id: report.import_id.clone() };
    let again = police.intake().get_import(get).await.unwrap().into_inner().progress.unwrap();
    assert_eq!((again.phase(), again.rows_applied), (ImportPhase::Done, 2));

    let answer = window.look_up(&person(&first, &["name", "birth_date"])).await.unwrap();
    assert_eq!((answer.field("name"), answer.field("birth_date")), (Some("演示样本·艾力"), Some("1990-03-07")));
    assert_eq!(window.look_up(&person(&second, &["name"])).await.unwrap().field("name"), Some("演示样本𬊤"));
    assert_eq!(window.look_up(&person(&nobody, &[])).await.unwrap().outcome(), Outcome::Absent, "the load is complete");
    hub.end().await;
}

#[tokio::test]
async fn an_import_goes_on_where_it_stopped_and_the_same_again_changes_nothing() {
    let hub = with_people().await;
    let police = hub.caller(POPULATION);
    let rows: Vec<String> = (1..=400).map(|n| resident(n, "演示样本甲").1).collect();
    let delivery = people(ImportScope::Increment, &rows, "1");
    let opened = opening(&hub.certs, &POLICE, &delivery.manifest());
    let id = {
        // The opening and one part; then the sender goes away.
        let part = |offset: u64, bytes: &[u8]| ImportRequest {
            message: Some(Up::Part(ImportPart { offset, bytes: Bytes::copy_from_slice(bytes) })),
        };
        let begun =
            vec![ImportRequest { message: Some(Up::Opening(opened.clone())) }, part(0, &delivery.file[..10_000])];
        let mut down = police.intake().import(tokio_stream::iter(begun)).await.unwrap().into_inner();
        let mut last = ImportResponse::default();
        while let Ok(Some(response)) = down.message().await {
            last = response;
        }
        assert_eq!((last.phase(), last.staged_bytes), (ImportPhase::Staging, 10_000));
        let wrong = vec![ImportRequest { message: Some(Up::Opening(opened.clone())) }, part(20_000, b"later")];
        assert_eq!(failed(drain(&police, wrong).await), Reason::ImportOffsetWrong);
        let rest =
            vec![ImportRequest { message: Some(Up::Opening(opened.clone())) }, part(10_000, &delivery.file[10_000..])];
        let report = drain(&police, rest).await.unwrap();
        assert_eq!((report.phase(), report.rows_applied), (ImportPhase::Done, 400));
        report.import_id
    };
    let before = hub.caller(WINDOW).look_up(&person(&resident(7, "").0, &["name"])).await.unwrap();
    let again = police.import(opened, &delivery.file).await.unwrap();
    assert_eq!((again.import_id.as_str(), again.rows_applied, again.phase()), (id.as_str(), 400, ImportPhase::Done));
    let unchanged = hub.import(&people(ImportScope::Increment, &rows, "2")).await.unwrap();
    assert_eq!((unchanged.rows_applied, unchanged.rows_unchanged), (0, 400));
    let after = hub.caller(WINDOW).look_up(&person(&resident(7, "").0, &["name"])).await.unwrap();
    assert_eq!(after.record().version, before.record().version);
    hub.end().await;
}

async fn drain(caller: &Caller, messages: Vec<ImportRequest>) -> Result<ImportResponse, tonic::Status> {
    let mut down = caller.intake().import(tokio_stream::iter(messages)).await?.into_inner();
    let mut last = ImportResponse::default();
    while let Some(response) = down.message().await? {
        last = response;
    }
    Ok(last)
}

#[tokio::test]
async fn a_snapshot_that_would_remove_too_much_is_held_until_a_second_person_releases_it() {
    let hub = with_people().await;
    let (police, console) = (hub.caller(POPULATION), hub.caller(CONSOLE));
    let rows: Vec<String> = (1..=40).map(|n| resident(n, "演示样本甲").1).collect();
    hub.import(&people(ImportScope::Snapshot, &rows, "1")).await.unwrap();
    let held = hub.import(&people(ImportScope::Snapshot, &rows[..10], "2")).await.unwrap();
    assert_eq!((held.phase(), held.rows_removed), (ImportPhase::Held, 30));
    assert!(held.reason.starts_with(Reason::ImportHeld.name()), "{}", held.reason);
    let window = hub.caller(WINDOW);
    assert_eq!(window.look_up(&person(&resident(30, "").0, &[])).await.unwrap().outcome(), Outcome::Found);
    let release = |id: &str| ReleaseImportRequest {
        request_id: request_id(),
        import_id: id.to_owned(),
        purpose: Some(administration()),
    };
    let status = police.intake().release_import(release(&held.import_id)).await.unwrap_err();
    assert_eq!(police.refused(&status).0, Reason::RoleNotAllowed);
    let unknown = console.intake().release_import(release(&"0".repeat(32))).await;
    assert_eq!(failed(unknown), Reason::TargetUnknown);
    console.got(console.intake().release_import(release(&held.import_id)).await.unwrap().into_inner());
    for _ in 0..100 {
        let get = GetImportRequest { import_id: held.import_id.clone() };
        if console.intake().get_import(get).await.unwrap().into_inner().progress.unwrap().phase() == ImportPhase::Done {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let answer = window.look_up(&person(&resident(30, "").0, &[])).await.unwrap();
    assert_eq!(answer.outcome(), Outcome::Absent, "removed by the source");
    assert_eq!(failed(console.intake().release_import(release(&held.import_id)).await), Reason::TransitionNotAllowed);
    hub.end().await;
}

#[tokio::test]
async fn a_manifest_is_the_lead_sources_own_and_the_file_is_what_it_says() {
    let hub = with_people().await;
    let good = |batch: &'static str| people(ImportScope::Increment, &[resident(1, "演示样本甲").1], batch);
    let mut foreign = good("1");
    (foreign.system, foreign.body) = (CLINICS, &HEALTH);
    assert_eq!(failed(hub.import(&foreign).await), Reason::NotLeadSource);
    let mut signed = good("2");
    signed.body = &HEALTH;
    assert_eq!(failed(hub.import(&signed).await), Reason::IssuerMismatch);
    let mut nowhere = good("3");
    nowhere.resource = "no-such";
    assert_eq!(failed(hub.import(&nowhere).await), Reason::ResourceUnknown);

    let police = hub.caller(POPULATION);
    let refused = async |batch, change: &dyn Fn(&mut wuku::wire::proto::intake::v1::Manifest, &mut Vec<u8>)| {
        let mut delivery = good(batch);
        let mut manifest = delivery.manifest();
        change(&mut manifest, &mut delivery.file);
        let report = police.import(opening(&hub.certs, &POLICE, &manifest), &delivery.file).await.unwrap();
        assert_eq!(report.phase(), ImportPhase::Refused);
        report.reason.split(':').next().unwrap().to_owned()
    };
    assert_eq!(refused("4", &|_, file| *file.last_mut().unwrap() ^= 1).await, Reason::DigestMismatch.name());
    assert_eq!(refused("5", &|manifest, _| manifest.rows = 2).await, Reason::RowCountMismatch.name());
    let json = |manifest: &mut wuku::wire::proto::intake::v1::Manifest, _: &mut Vec<u8>| {
        manifest.file_format = ImportFormat::CsvGb18030 as i32;
        manifest.rows = 9;
    };
    assert_ne!(refused("6", &json).await, "");
    // A dry run says the same and changes nothing.
    let delivery = good("7");
    let mut dry = opening(&hub.certs, &POLICE, &delivery.manifest());
    dry.dry_run = true;
    assert_eq!(police.import(dry, &delivery.file).await.unwrap().phase(), ImportPhase::DryRunDone);
    let answer = hub.caller(WINDOW).look_up(&person(&resident(1, "").0, &[])).await.unwrap();
    assert_eq!(answer.outcome(), Outcome::Uncertain);
    hub.end().await;
}

#[tokio::test]
async fn names_match_whatever_the_keyboard_and_own_characters_are_unknown() {
    let hub = with_people().await;
    let rows = [resident(1, "演示样本·艾力").1, resident(2, "演示样本\u{E123}").1];
    hub.import(&people(ImportScope::Snapshot, &rows, "1")).await.unwrap();
    let window = hub.caller(WINDOW);
    let ask = async |n: u32, name: &str| {
        let question =
            MatchQuestion { context: Some(context()), holder: Some(citizen(&resident(n, "").0)), name: name.into() };
        let answer = window.r#match(&question).await.unwrap();
        (answer.matched().truth(), answer.matched().reason.clone())
    };
    for same in ["演示样本·艾力", "演示样本•艾力", "演示样本・艾力", "演示样本‧艾力", " 演示样本 · 艾力　"]
    {
        assert_eq!(ask(1, same).await.0, Truth::Yes, "{same}");
    }
    assert_eq!(ask(1, "演示样本艾力").await.0, Truth::No, "a dot is a character");
    assert_eq!(ask(2, "演示样本灏").await, (Truth::Unknown, "PRIVATE_USE_CHARACTER".into()));
    hub.end().await;
}

#[tokio::test]
async fn age_is_answered_without_the_birth_date() {
    let hub = with_people().await;
    hub.import(&people(ImportScope::Snapshot, &[resident(1, "演示样本甲").1], "1")).await.unwrap();
    let window = hub.caller(WINDOW);
    for (years, expected) in [(18, Truth::Yes), (36, Truth::Yes), (120, Truth::No)] {
        let fact = AgeAtLeast { person: Some(citizen(&resident(1, "").0)), years };
        let question = DeriveQuestion { context: Some(context()), fact: Some(Fact::AgeAtLeast(fact)) };
        let answer = window.derive(&question).await.unwrap();
        assert_eq!(answer.derived().truth(), expected, "{years}");
        let bare = Payload { question: Bytes::new(), ..answer.payload.clone() }.encode_to_vec();
        for secret in ["1990-03-07", "19900307", "演示样本甲"] {
            let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!holds(&bare) && !holds(&answer.receipt().statement), "{secret}");
        }
    }
    hub.end().await;
}

#[tokio::test]
async fn a_point_is_found_in_its_area_and_an_area_gives_what_lies_within_page_by_page() {
    let hub = Hub::new().await;
    let features = Resource {
        code: "features".into(),
        name: "地理实体".into(),
        library: Library::Geospatial as i32,
        source_department: MARKET.code.into(),
        coverage_divisions: vec![],
        coverage_code_types: vec![],
        ..people_resource()
    };
    hub.caller(CONSOLE).put_resource(features).await.unwrap();
    let mut grant = full_grant("features", &["name", "kind"]);
    grant.kinds = vec![QuestionKind::Area as i32];
    grant.facts.clear();
    hub.grant(WINDOW, grant).await;
    let square =
        r#"{"type":"Polygon","coordinates":[[[121.0,29.0],[121.1,29.0],[121.1,29.1],[121.0,29.1],[121.0,29.0]]]}"#;
    let feature = |code: &str, kind: &str, geometry: &str| {
        format!(
            "{{\"feature_code\":\"{code}\",\"kind\":\"{kind}\",\"name\":\"演示样本{code}\",\"division\":\"331023\",\"geometry\":{geometry},\"datum\":\"CGCS2000\"}}\n"
        )
    };
    let mut lines = vec![feature("county", "division", square)];
    for n in 0..5 {
        let point = format!("{{\"type\":\"Point\",\"coordinates\":[121.0{},29.05]}}", n + 1);
        lines.push(feature(&format!("door-{n}"), "address_point", &point));
    }
    lines.push(feature("outside", "address_point", r#"{"type":"Point","coordinates":[121.2,29.05]}"#));
    let delivery = Delivery {
        system: REGISTRY,
        body: &MARKET,
        resource: "features",
        scope: ImportScope::Increment,
        format: ImportFormat::JsonLines,
        rows: lines.len() as u64,
        file: lines.concat().into_bytes(),
        batch: "1",
    };
    let report = hub.import(&delivery).await.unwrap();
    assert_eq!((report.rows_applied, report.rows_quarantined), (7, 0), "{:?}", report.first_quarantined);
    let window = hub.caller(WINDOW);
    let ask = |place: Where, kind: &str, limit, page_token: &str| AreaQuestion {
        context: Some(context()),
        r#where: Some(place),
        kind: kind.into(),
        fields: vec!["name".into()],
        limit,
        page_token: page_token.into(),
    };
    let at = |longitude_e9| Where::Point(Point { longitude_e9, latitude_e9: 29_050_000_000 });
    let (found, _) = window.area(&ask(at(121_050_000_000), "division", 0, "")).await.unwrap();
    assert_eq!((found.len(), found[0].field("name")), (1, Some("演示样本county")));
    let (none, _) = window.area(&ask(at(121_300_000_000), "division", 0, "")).await.unwrap();
    assert_eq!((none.len(), none[0].outcome()), (1, Outcome::Absent));

    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let place = Where::WithinFeature("county".into());
        let (page, next) = window.area(&ask(place, "address_point", 2, &token)).await.unwrap();
        assert!(page.len() <= 2);
        names.extend(page.iter().map(|item| item.field("name").unwrap().to_owned()));
        if next.is_empty() {
            break;
        }
        token = next;
    }
    names.sort_unstable();
    assert_eq!(names, (0..5).map(|n| format!("演示样本door-{n}")).collect::<Vec<_>>());
    // Geometry is a field of its own.
    let mut more = ask(at(121_050_000_000), "division", 0, "");
    more.fields.push("geometry".into());
    let status = window.area(&more).await.unwrap_err();
    assert_eq!(window.refused(&status).0, Reason::PurposeNotGranted);
    hub.end().await;
}
