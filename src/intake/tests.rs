//! Imports over a whole hub in memory: what is taken, what is not, and what a kill leaves.
use super::desk::{Intake, Progress};
use super::state::ImportId;
use super::step::{Kind as StepKind, Step, row_leaf, rows_root};
use crate::exchange::test_house::{AUTHORITY, Ground, House, NOON_MS, caller, uri};
use crate::exchange::{Exchange, Order, Request};
use crate::failure::{Failure, Reason};
use crate::library::codes::{CalendarDate, CitizenId, Uscc};
use crate::library::day;
use crate::library::geospatial::{Position, cells_for};
use crate::library::licence::SignedThing;
use crate::library::question::{Subject, credit_key};
use crate::library::record::{LinkKind, Moment, Opened};
use crate::library::schema::Library;
use crate::log::SuiteName;
use crate::policy::{Caller, Operation};
use crate::receipt::fsck;
use crate::store::faulty::Fault;
use crate::store::key_space::{self, Prefix};
use crate::store::{CommitError, Direction, KeyRange};
use crate::wire::order::{Repeatable, ordered};
use crate::wire::proto::catalogue::v1::{Resource, ResourceField, Role, SharingClass};
use crate::wire::proto::exchange::v1::{Payload, payload::Answer};
use crate::wire::proto::intake::v1::{
    ImportFormat, ImportOpening, ImportPart, ImportPhase, ImportResponse, ImportScope, ListQuarantineRequest, Manifest,
    QuarantinedRow, ReleaseImportRequest,
};
use crate::wire::proto::receipt::v1::{Kind, Outcome};
use prost::Message;
use sha2::{Digest, Sha256};
use std::sync::Arc;

const DAY_MS: u64 = 24 * 3_600 * 1_000;
const HEADER: [&str; 8] =
    ["holder_code_type", "holder_code", "name", "sex", "birth_date", "division", "life_status", "valid_from"];

/// A running hub with a police that brings persons and a market authority that brings everything else.
struct City {
    house: House,
    intake: Arc<Intake>,
    police: Caller,
    market: Caller,
}

impl City {
    async fn new(ground: &Ground) -> Self {
        let house = ground.start().await;
        let city = Self::on(house);
        city.house.put_system("police", "population", &[Role::Source]).await;
        city.house.put_system("market", "registry", &[Role::Source]).await;
        city.house.put_resource(resource("residents", "police", Library::Population)).await;
        city.house.put_resource(resource("visitors", "market", Library::Population)).await;
        city.house.put_resource(resource("penalties", "market", Library::Credit)).await;
        city.house.put_resource(resource("places", "market", Library::Geospatial)).await;
        city
    }

    fn on(house: House) -> Self {
        let intake = Intake::new(house.exchange.clone());
        Self { house, intake, police: caller("police", "population"), market: caller("market", "registry") }
    }

    /// Sends a whole file and waits for the report.
    async fn import(&self, ground: &Ground, file: &File) -> ImportResponse {
        self.try_import(ground, file, false).await.unwrap()
    }

    async fn try_import(&self, ground: &Ground, file: &File, dry_run: bool) -> Result<ImportResponse, Failure> {
        let caller = caller(&file.department, file.manifest.system.rsplit('/').next().unwrap());
        let opened = self.intake.open(&caller, &file.opening(ground, dry_run)).await?;
        let id = ImportId::parse(&opened.import_id).unwrap();
        if opened.phase() == ImportPhase::Staging {
            let mut offset = opened.staged_bytes;
            for bytes in file.bytes[usize::try_from(offset).unwrap()..].chunks(20_000) {
                let part = ImportPart { offset, bytes: bytes.to_vec().into() };
                offset = self.intake.stage(&caller, id, &part).await?.staged_bytes;
            }
        }
        ended(self.intake.follow(id)).await
    }

    /// Every row the import left is accounted for by the log.
    async fn assert_clean(&self) {
        let Exchange { store, vault, hub, .. } = self.house.exchange.as_ref();
        let subject = fsck::Subject { store: store.as_ref(), vault, hub, fence: None };
        let report = fsck::check(subject, &mut |_| ()).await.unwrap();
        assert!(report.is_clean() && report.import_rows > 0, "{:?}", report.findings);
    }

    async fn newest(&self, library: Library, code_type: &str, code: &str) -> Option<Opened> {
        self.house.view().await.newest_of(library, code_type, code).await.unwrap()
    }

    async fn rows(&self, range: KeyRange) -> usize {
        let snapshot = self.house.exchange.store.snapshot().await.unwrap();
        let (mut rest, mut count) = (Some(range), 0);
        while let Some(range) = rest {
            let page = snapshot.scan(range, Direction::Forward, 1_000).await.unwrap();
            (count, rest) = (count + page.rows.len(), page.next);
        }
        count
    }

    async fn quarantine(&self, caller: &Caller, import_id: &str) -> Vec<QuarantinedRow> {
        let (mut rows, mut after_row) = (Vec::new(), 0);
        loop {
            let request = ListQuarantineRequest { import_id: import_id.into(), page_size: 7, after_row };
            let page = self.intake.quarantine(caller, &request).await.unwrap();
            rows.extend(page.rows);
            after_row = page.next_after_row;
            if after_row == 0 {
                return rows;
            }
        }
    }

    async fn last_complete_load(&self) -> Option<CalendarDate> {
        let opened = self.newest(Library::Resource, "resource", "residents").await.unwrap();
        opened.body::<Resource>().unwrap().last_complete_load.as_ref().and_then(day::from_proto)
    }
}

async fn ended(mut progress: tokio::sync::watch::Receiver<Progress>) -> Result<ImportResponse, Failure> {
    loop {
        let now = progress.borrow_and_update().clone();
        if let Some(ended) = now.ended {
            return ended.map(|()| now.response);
        }
        progress.changed().await.unwrap();
    }
}

fn resource(code: &str, department: &str, library: Library) -> Resource {
    Resource {
        code: code.into(),
        name: code.into(),
        library: library.number().into(),
        source_department: department.into(),
        sharing_class: SharingClass::Unconditional.into(),
        update_cycle_days: 30,
        coverage_divisions: vec!["331023".into()],
        fields: vec![ResourceField {
            name: "hobby".into(),
            title_zh: "爱好".into(),
            kind: "text".into(),
            extension: true,
            ..ResourceField::default()
        }],
        ..Resource::default()
    }
}

/// A file with what its manifest says.
struct File {
    department: String,
    manifest: Manifest,
    bytes: Vec<u8>,
}

impl File {
    fn new(resource: &str, scope: ImportScope, format: ImportFormat, bytes: Vec<u8>, rows: u64, batch: &str) -> Self {
        let (department, system) = match resource {
            "residents" => ("police", "population"),
            _ => ("market", "registry"),
        };
        let manifest = Manifest {
            format: 1,
            hub: crate::exchange::test_house::HUB.into(),
            resource: resource.into(),
            system: uri(department, system),
            scope: scope.into(),
            file_format: format.into(),
            file_bytes: bytes.len() as u64,
            file_sha256: Sha256::digest(&bytes).to_vec().into(),
            rows,
            source_time_ms: NOON_MS - DAY_MS,
            batch: batch.into(),
        };
        Self { department: department.into(), manifest, bytes }
    }

    fn residents(scope: ImportScope, people: &[Vec<String>], batch: &str) -> Self {
        let bytes = csv(&HEADER, people).into_bytes();
        Self::new("residents", scope, ImportFormat::CsvUtf8, bytes, people.len() as u64, batch)
    }

    fn opening(&self, ground: &Ground, dry_run: bool) -> ImportOpening {
        let manifest = self.manifest.encode_to_vec();
        let signature = Some(ground.sign(&self.department, SignedThing::Manifest, &manifest));
        ImportOpening { manifest: manifest.into(), signature, dry_run, operator: None }
    }
}

fn csv(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).unwrap();
    rows.iter().for_each(|row| writer.write_record(row).unwrap());
    String::from_utf8(writer.into_inner().unwrap()).unwrap()
}

fn code(n: i32) -> String {
    let birth = CalendarDate::new(1970, 1, 1).unwrap().plus_days(n % 10_000).unwrap();
    CitizenId::make("331099", birth, u16::try_from(n / 10_000 + 1).unwrap()).unwrap().as_str().to_owned()
}

fn person(n: i32) -> Vec<String> {
    let code = code(n);
    let birth = format!("{}-{}-{}", &code[6..10], &code[10..12], &code[12..14]);
    ["111", &code, &format!("演示·样本{n}"), "女", &birth, "331023", "健在", ""].map(str::to_owned).to_vec()
}

fn people(range: std::ops::Range<i32>) -> Vec<Vec<String>> {
    range.map(person).collect()
}

/// A person with one field set to something else.
fn with(n: i32, field: &str, value: &str) -> Vec<String> {
    let mut row = person(n);
    row[HEADER.iter().position(|name| *name == field).unwrap()] = value.to_owned();
    row
}

fn reasons(rows: &[QuarantinedRow]) -> Vec<(u64, Vec<(&str, &str)>)> {
    let faults =
        |row: &QuarantinedRow| row.faults.iter().map(|f| (f.field.clone(), f.reason.clone())).collect::<Vec<_>>();
    for row in rows {
        assert!(row.faults.iter().all(|f| !f.text_en.is_empty() && !f.text_zh.is_ascii()), "{:?}", faults(row));
    }
    rows.iter()
        .map(|row| (row.row, row.faults.iter().map(|f| (f.field.as_str(), f.reason.as_str())).collect()))
        .collect()
}

#[tokio::test]
async fn every_bad_row_is_kept_aside_with_its_number_and_every_reason_and_the_others_are_in_effect() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let visitor = csv(&HEADER, &[person(500)]).into_bytes();
    let visitors = File::new("visitors", ImportScope::Increment, ImportFormat::CsvUtf8, visitor, 1, "v");
    assert_eq!(city.import(&ground, &visitors).await.phase(), ImportPhase::Done);

    let mut short = person(3);
    short.pop();
    let rows = [
        person(1),                                    // 1: good
        with(2, "holder_code", "331099199001010011"), // 2: check digit
        short,                                        // 3: a column too few
        with(4, "name", ""),                          // 4: missing
        with(5, "sex", "难"),                         // 5: no such choice
        with(6, "birth_date", "2025-13-01"),          // 6: no such day
        with(7, "name", "=HYPERLINK(\"http://x\")"),  // 7: formula
        with(8, "name", "张\u{202E}三"),              // 8: hidden control character
        with(9, "division", "110105"),                // 9: not covered
        person(1),                                    // 10: key of row 1
        person(500),                                  // 11: another resource's record
        with(12, "name", &"长".repeat(201)),          // 12: too long
        with(13, "birth_date", "1971-01-01"),         // 13: contradicts the code
        {
            let mut two = with(14, "sex", "");
            two[6] = "?".into();
            two // 14: two faults
        },
        person(15), // 15: good
    ];
    // Written by hand, since a CSV writer refuses the short row; row 16 is not UTF-8.
    let mut bytes = format!("\u{feff}{}\n", HEADER.join(",")).into_bytes();
    for row in &rows {
        let quoted: Vec<String> = row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
        bytes.extend_from_slice(format!("{}\r\n", quoted.join(",")).as_bytes());
    }
    bytes.extend_from_slice(person(16).join(",").replace("演示", "@@").as_bytes());
    let at = bytes.windows(2).position(|w| w == b"@@").unwrap();
    bytes[at..at + 2].copy_from_slice(&[0xd1, 0xdd]);
    let file = File::new("residents", ImportScope::Increment, ImportFormat::CsvUtf8, bytes, 16, "faults");
    let report = city.import(&ground, &file).await;
    assert_eq!(report.phase(), ImportPhase::Done, "{}", report.reason);
    let rows = city.quarantine(&city.police, &report.import_id).await;
    assert_eq!(
        reasons(&rows),
        [
            (2, vec![("holder_code", "CODE_INVALID")]),
            (3, vec![("", "COLUMN_COUNT")]),
            (4, vec![("name", "FIELD_MISSING")]),
            (5, vec![("sex", "CHOICE_UNKNOWN")]),
            (6, vec![("birth_date", "DATE_INVALID")]),
            (7, vec![("name", "FORMULA_INJECTION")]),
            (8, vec![("name", "TEXT_INVALID")]),
            (9, vec![("division", "DIVISION_NOT_COVERED")]),
            (10, vec![("", "KEY_TWICE")]),
            (11, vec![("", "OTHER_SOURCE")]),
            (12, vec![("name", "TEXT_TOO_LONG")]),
            (13, vec![("birth_date", "CONTRADICTION")]),
            (14, vec![("sex", "FIELD_MISSING"), ("life_status", "CHOICE_UNKNOWN")]),
            (16, vec![("name", "TEXT_INVALID"), ("name", "TEXT_INVALID")]),
        ]
    );
    let counts = (report.rows_checked, report.rows_applied, report.rows_quarantined, report.rows_unchanged);
    assert_eq!(counts, (16, 2, 14, 0));
    assert_eq!(report.first_quarantined, rows);
    for (n, held) in [(1, true), (15, true), (4, false), (9, false)] {
        assert_eq!(city.newest(Library::Population, "111", &code(n)).await.is_some(), held, "{n}");
    }
    let elsewhere = city.newest(Library::Population, "111", &code(500)).await.unwrap();
    assert_eq!((elsewhere.version, elsewhere.row.resource.as_str()), (1, "visitors"));
    assert_eq!(city.rows(key_space::import_parts(&ImportId::parse(&report.import_id).unwrap().0)).await, 0);
}

#[tokio::test]
async fn a_record_says_where_it_came_from_and_its_chunk_has_a_receipt() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let mut rows = people(0..3);
    rows[1][7] = "2026-02-01".into();
    let report = city.import(&ground, &File::residents(ImportScope::Increment, &rows, "first")).await;
    let record = city.newest(Library::Population, "111", &code(1)).await.unwrap();
    let source = record.row.source.clone().unwrap();
    assert_eq!((source.department.as_str(), source.batch.as_str()), ("police", report.import_id.as_str()));
    assert_eq!((source.system, source.source_time_ms), (uri("police", "population"), NOON_MS - DAY_MS));
    assert_eq!((record.row.valid_from, record.row.resource.as_str()), (20_260_201, "residents"));
    assert_eq!(record.fields().unwrap().text("name"), Some("演示·样本1"));
    let payload = Payload::decode(report.payload.clone()).unwrap();
    let Some(Answer::Change(change)) = &payload.answer else { panic!("{payload:?}") };
    assert_eq!((payload.outcome(), change.rows), (Outcome::Done, 3));
    assert!(report.receipt.is_some());
    // An increment says nothing about completeness.
    assert_eq!(city.last_complete_load().await, None);
}

#[tokio::test]
async fn the_same_rows_are_the_same_records_in_every_format_and_encoding() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let mut rows = people(0..40);
    rows[3][2] = "𠮷·卡迪尔".into(); // four bytes in GB18030 as in UTF-8
    let titles = ["证件类型代码", "证件号码", "姓名", "性别", "出生日期", "户籍地行政区划", "生存状态", "生效日期"];
    let text = csv(&titles, &rows);
    let json: String = rows
        .iter()
        .map(|row| {
            let pairs = HEADER.iter().zip(row).map(|(name, value)| (name.to_string(), value.clone().into()));
            format!("{}\n", serde_json::Value::Object(pairs.collect()))
        })
        .collect();
    let (gb18030, _, lossy) = encoding_rs::GB18030.encode(&text);
    assert!(!lossy && gb18030.as_ref() != text.as_bytes());
    let files = [
        (ImportFormat::CsvUtf8, text.clone().into_bytes()),
        (ImportFormat::CsvGb18030, gb18030.into_owned()),
        (ImportFormat::CsvUtf8, format!("\u{feff}{text}").into_bytes()),
        (ImportFormat::JsonLines, json.into_bytes()),
    ];
    for (n, (format, bytes)) in files.into_iter().enumerate() {
        let file = File::new("residents", ImportScope::Increment, format, bytes, 40, &n.to_string());
        let report = city.import(&ground, &file).await;
        assert_eq!((report.phase(), report.rows_quarantined), (ImportPhase::Done, 0), "{format:?} {}", report.reason);
        let expected = if n == 0 { (40, 0) } else { (0, 40) };
        assert_eq!((report.rows_applied, report.rows_unchanged), expected, "{format:?}");
    }
    let name = city.newest(Library::Population, "111", &code(3)).await.unwrap();
    assert_eq!(name.fields().unwrap().text("name"), Some("𠮷·卡迪尔"));
}

#[tokio::test]
async fn a_dry_run_reports_and_changes_nothing_and_the_same_file_may_then_take_effect() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let mut rows = people(0..10);
    rows[4][3] = "难".into();
    let file = File::residents(ImportScope::Snapshot, &rows, "dry");
    let before = city.house.view().await.position;
    let report = city.try_import(&ground, &file, true).await.unwrap();
    assert_eq!((report.phase(), report.rows_checked), (ImportPhase::DryRunDone, 10));
    assert_eq!((report.rows_applied, report.rows_quarantined, report.first_quarantined[0].row), (0, 1, 5));
    assert!(report.reason.contains("would add 9"), "{}", report.reason);
    assert_eq!(city.house.view().await.position, before, "nothing was logged");
    assert_eq!(city.rows(key_space::library_rows(Library::Population.number())).await, 0);
    assert_eq!(city.rows(Prefix::ImportPart.range()).await, 0);
    assert_eq!(city.last_complete_load().await, None);

    let report = city.import(&ground, &file).await;
    assert_eq!((report.phase(), report.rows_applied, report.rows_quarantined), (ImportPhase::Done, 9, 1));
    assert_eq!(city.quarantine(&city.police, &report.import_id).await.len(), 1);
}

#[tokio::test]
async fn nothing_takes_effect_of_a_file_that_is_not_the_one_its_manifest_names() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let rows = people(0..10);
    let good = || File::residents(ImportScope::Increment, &rows, "x");
    let mut other_bytes = good();
    other_bytes.bytes[200] ^= 1;
    let mut more_rows = good();
    more_rows.manifest.rows = 11;
    let column = csv(&["holder_code", "password"], &[vec!["1".into(), "2".into()]]).into_bytes();
    let unknown = File::new("residents", ImportScope::Increment, ImportFormat::CsvUtf8, column, 1, "x");
    let endless = format!("{}\n\"{}", HEADER.join(","), "长".repeat(800_000)).into_bytes();
    let endless = File::new("residents", ImportScope::Increment, ImportFormat::CsvUtf8, endless, 1, "x");
    for (file, reason) in [
        (other_bytes, Reason::DigestMismatch),
        (more_rows, Reason::RowCountMismatch),
        (unknown, Reason::ImportFileInvalid),
        (endless, Reason::ImportFileInvalid),
    ] {
        let report = city.import(&ground, &file).await;
        assert_eq!(report.phase(), ImportPhase::Refused, "{reason:?}");
        assert!(report.reason.starts_with(&format!("{}: ", reason.name())), "{}", report.reason);
        assert_eq!(city.import(&ground, &file).await.phase(), ImportPhase::Refused, "and it stays so");
    }
    assert_eq!(city.rows(key_space::library_rows(Library::Population.number())).await, 0);
    assert_eq!(city.rows(Prefix::ImportPart.range()).await, 0);
}

#[tokio::test]
async fn a_snapshot_removes_what_it_does_not_name_from_the_day_it_speaks_of() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let report = city.import(&ground, &File::residents(ImportScope::Snapshot, &people(0..100), "one")).await;
    assert_eq!((report.phase(), report.rows_applied), (ImportPhase::Done, 100), "nothing was held: no guard");
    let yesterday = day::of_ms(NOON_MS - DAY_MS);
    assert_eq!(city.last_complete_load().await, Some(yesterday));

    ground.pass(10 * DAY_MS);
    // Row 7 is bad: its record is not in the file as it should be, and stays.
    let mut rows = people(2..100);
    rows[5] = with(7, "sex", "难");
    rows[6][2] = "改·名".into();
    let mut file = File::residents(ImportScope::Snapshot, &rows, "two");
    file.manifest.source_time_ms = NOON_MS + 9 * DAY_MS;
    let report = city.import(&ground, &file).await;
    let counts = (report.rows_applied, report.rows_unchanged, report.rows_removed, report.rows_quarantined);
    assert_eq!((report.phase(), counts), (ImportPhase::Done, (1, 96, 2, 1)), "{}", report.reason);
    assert_eq!(city.last_complete_load().await, yesterday.plus_days(10));
    let view = city.house.view().await;
    let key = view.index_key(Library::Population, "111", &code(1));
    let at = async |day| view.at(Library::Population, &key, Moment { day, position: None }).await.unwrap().is_some();
    assert!(at(yesterday.plus_days(9).unwrap()).await && !at(yesterday.plus_days(10).unwrap()).await);
    assert_eq!(city.newest(Library::Population, "111", &code(7)).await.unwrap().version, 1);
    let from = view.index_key(Library::Resource, "resource", "residents");
    let links = view.links(LinkKind::Resource, &from, Some(Library::Population), None, 1_000).await.unwrap();
    assert_eq!(links.len(), 98, "what is removed is no longer held");

    // A record that comes back is a new version of the same record.
    let report = city.import(&ground, &File::residents(ImportScope::Increment, &people(0..2), "back")).await;
    assert_eq!(report.rows_applied, 2);
    let back = city.newest(Library::Population, "111", &code(1)).await.unwrap();
    assert_eq!((back.version, back.row.removed), (3, false));
    city.assert_clean().await;
}

#[tokio::test]
async fn a_snapshot_that_would_change_too_much_is_held_until_a_second_person_releases_it() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let first = city.import(&ground, &File::residents(ImportScope::Snapshot, &people(0..100), "one")).await;
    assert_eq!(first.phase(), ImportPhase::Done);
    let mut rows = people(3..100);
    rows.iter_mut().take(3).for_each(|row| row[2] = "改名".into());
    let file = File::residents(ImportScope::Snapshot, &rows, "two");
    let before = city.house.view().await.position;
    let held = city.import(&ground, &file).await;
    assert_eq!((held.phase(), held.rows_removed), (ImportPhase::Held, 3));
    assert!(held.reason.starts_with("IMPORT_HELD: ") && held.reason.contains("change 3"), "{}", held.reason);
    assert_eq!(city.house.view().await.position, before);
    assert_eq!(city.import(&ground, &file).await.phase(), ImportPhase::Held, "sending it again does not help");

    let request =
        |n: &str| ReleaseImportRequest { request_id: n.into(), import_id: held.import_id.clone(), purpose: None };
    let refused = city.intake.release(&city.police, &request("r1")).await.unwrap();
    assert_eq!(refused.single().unwrap().outcome(), Outcome::Refused, "a source has no say");
    let authority = caller(AUTHORITY.0, AUTHORITY.1);
    let unknown = ReleaseImportRequest { import_id: "0".repeat(32), ..request("r2") };
    assert_eq!(city.intake.release(&authority, &unknown).await.unwrap_err().reason, Reason::TargetUnknown);
    let released = city.intake.release(&authority, &request("r3")).await.unwrap();
    assert_eq!(released.single().unwrap().outcome(), Outcome::Done);
    let report = city.import(&ground, &file).await;
    let counts = (report.rows_applied, report.rows_unchanged, report.rows_removed);
    assert_eq!((report.phase(), counts), (ImportPhase::Done, (3, 94, 3)));
    let again = city.intake.release(&authority, &request("r4")).await.unwrap_err();
    assert_eq!(again.reason, Reason::TransitionNotAllowed);
    city.assert_clean().await;
}

#[tokio::test]
async fn who_imported_may_not_release_even_as_data_authority() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let name = "double";
    let double = city.house.put_system("police", name, &[Role::Source, Role::DataAuthority]).await;
    let mut files = [("one", people(0..20)), ("two", people(10..20))]
        .map(|(batch, rows)| File::residents(ImportScope::Snapshot, &rows, batch));
    files.iter_mut().for_each(|file| file.manifest.system = uri("police", name));
    assert_eq!(city.import(&ground, &files[0]).await.phase(), ImportPhase::Done);
    let held = city.import(&ground, &files[1]).await;
    assert_eq!(held.phase(), ImportPhase::Held);
    let request = ReleaseImportRequest { request_id: "r".into(), import_id: held.import_id, purpose: None };
    assert_eq!(city.intake.release(&double, &request).await.unwrap_err().reason, Reason::RoleNotAllowed);
}

#[tokio::test]
async fn an_opening_is_refused_for_the_reason_that_is_wrong_with_it() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let file = || File::residents(ImportScope::Increment, &people(0..2), "x");
    let open = async |caller: &Caller, opening: &ImportOpening| {
        city.intake.open(caller, opening).await.map(|_| ()).map_err(|failure| failure.reason)
    };
    let check = async |change: fn(&mut File), expected: Reason| {
        let mut file = file();
        change(&mut file);
        assert_eq!(open(&city.police, &file.opening(&ground, false)).await, Err(expected));
    };
    check(|f| f.manifest.hub = "other".into(), Reason::RequestMalformed).await;
    check(|f| f.manifest.scope = 0, Reason::RequestMalformed).await;
    check(|f| f.manifest.source_time_ms = NOON_MS + 2 * DAY_MS, Reason::RequestMalformed).await;
    check(|f| f.manifest.resource = "nothing".into(), Reason::ResourceUnknown).await;
    check(|f| f.manifest.resource = "visitors".into(), Reason::NotLeadSource).await;
    check(|f| f.manifest.system = uri("market", "registry"), Reason::NotLeadSource).await;
    check(|f| f.department = "market".into(), Reason::IssuerMismatch).await;
    let mut signed = file().opening(&ground, false);
    signed.signature = Some(ground.sign("police", SignedThing::Order, &signed.manifest));
    assert_eq!(open(&city.police, &signed).await, Err(Reason::SignatureInvalid));
    let mut padded = file().opening(&ground, false);
    padded.manifest = [padded.manifest.as_ref(), &[0xa0, 6, 1]].concat().into();
    assert_eq!(open(&city.police, &padded).await, Err(Reason::RequestMalformed), "an unknown field");
    let consumer = city.house.put_system("police", "desk", &[Role::Consumer]).await;
    assert_eq!(open(&consumer, &file().opening(&ground, false)).await, Err(Reason::RoleNotAllowed));
    let licences =
        Resource { licence_type: "11100000000013338W001".into(), ..resource("ids", "police", Library::Licence) };
    city.house.put_resource(licences).await;
    check(|f| f.manifest.resource = "ids".into(), Reason::LicenceTypeUnknown).await;
    assert_eq!(open(&city.police, &file().opening(&ground, false)).await, Ok(()), "and without a fault it opens");
}

#[tokio::test]
async fn a_part_goes_only_where_the_staged_file_ends_and_only_the_sender_sends_it() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let file = File::residents(ImportScope::Increment, &people(0..300), "x");
    let opened = city.intake.open(&city.police, &file.opening(&ground, false)).await.unwrap();
    let id = ImportId::parse(&opened.import_id).unwrap();
    let stage = async |caller: &Caller, offset: u64, bytes: &[u8]| {
        let part = ImportPart { offset, bytes: bytes.to_vec().into() };
        city.intake.stage(caller, id, &part).await.map(|r| r.staged_bytes).map_err(|failure| failure.reason)
    };
    assert_eq!(stage(&city.police, 0, &file.bytes[..1_000]).await, Ok(1_000));
    for offset in [0, 999, 1_001] {
        assert_eq!(stage(&city.police, offset, &file.bytes[..10]).await, Err(Reason::ImportOffsetWrong));
    }
    assert_eq!(stage(&city.market, 1_000, &file.bytes[..10]).await, Err(Reason::TargetUnknown));
    assert_eq!(stage(&city.police, 1_000, &file.bytes).await, Err(Reason::RequestMalformed), "more than announced");
    let again = city.intake.open(&city.police, &file.opening(&ground, false)).await.unwrap();
    assert_eq!((again.phase(), again.staged_bytes), (ImportPhase::Staging, 1_000));
    for caller in [&city.market, &city.police] {
        let seen = city.intake.progress(caller, id).await.map(|r| r.staged_bytes).map_err(|f| f.reason);
        let expected = if caller == &city.police { Ok(1_000) } else { Err(Reason::TargetUnknown) };
        assert_eq!(seen, expected);
    }
    assert_eq!(city.import(&ground, &file).await.rows_applied, 300);
}

/// How a life of the hub ends.
enum End {
    /// A commit is refused, and recording stops.
    Refused,
    /// The process is gone in the middle of a commit, the batch being durable or not.
    Killed,
}

/// Sends a file to a hub that dies again and again until the import is done; gives the report and the number of lives.
fn over_many_lives(file: &File, ground: &Ground, end: &End) -> (ImportResponse, u64) {
    for life in 1..200 {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let report = runtime.block_on(async {
            let city = City::on(ground.start().await);
            match end {
                End::Refused => {
                    let lost = Fault::Refused(CommitError::Unavailable("lost".into()));
                    city.house.commits.fail(6 + life % 3, lost);
                }
                End::Killed => city.house.mortal.die_at(i64::try_from(6 + life % 3).unwrap(), life % 2 == 0),
            }
            // Whether the hub goes on by itself or the sender comes back first: both happen.
            if life % 4 < 2 {
                let _ = city.intake.resume_all().await;
            }
            tokio::select! {
                report = city.try_import(ground, file, false) => report.ok(),
                () = city.house.mortal.died() => None,
            }
        });
        runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        if let Some(report) = report
            && report.phase() == ImportPhase::Done
        {
            return (report, life);
        }
    }
    panic!("it never ended");
}

fn each_row_takes_effect_once(end: &End) {
    let ground = Ground::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let city = City::new(&ground).await;
        let report = city.import(&ground, &File::residents(ImportScope::Snapshot, &people(0..900), "before")).await;
        assert_eq!(report.phase(), ImportPhase::Done);
        let guard = resource("residents", "police", Library::Population);
        city.house.put_resource(Resource { delta_guard_permille: 1_000, version: 2, ..guard }).await;
    });
    drop(runtime);
    // 500 gone, 200 the same, 200 changed, 3,300 new, 50 bad.
    let mut rows = people(500..4_250);
    rows[200..400].iter_mut().for_each(|row| row[2] = "改名".into());
    rows[3_700..].iter_mut().for_each(|row| row[3] = "难".into());
    let file = File::residents(ImportScope::Snapshot, &rows, "killed");
    let (report, lives) = over_many_lives(&file, &ground, end);
    assert!(lives > 5, "only {lives} lives: little was tested");
    let counts = (report.rows_applied, report.rows_unchanged, report.rows_removed, report.rows_quarantined);
    assert_eq!(counts, (3_500, 200, 500, 50));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let city = City::on(ground.start().await);
        for n in 0..4_250 {
            let newest = city.newest(Library::Population, "111", &code(n)).await;
            let expected = match n {
                0..500 => Some((2, true)),
                500..700 => Some((1, false)),
                700..900 => Some((2, false)),
                900..4_200 => Some((1, false)),
                _ => None,
            };
            assert_eq!(newest.map(|o| (o.version, o.row.removed)), expected, "{n}");
        }
        assert_eq!(city.last_complete_load().await, Some(day::of_ms(NOON_MS - DAY_MS)));
        let cleaned = ended(city.intake.follow(ImportId::parse(&report.import_id).unwrap())).await.unwrap();
        assert!(cleaned.receipt.is_some(), "the receipt is still there for who asks again");
        assert_eq!(city.rows(Prefix::ImportPart.range()).await, 0);
        city.assert_clean().await;
    });
}

#[test]
fn each_row_takes_effect_once_however_often_a_commit_is_refused() {
    each_row_takes_effect_once(&End::Refused);
}

#[test]
fn each_row_takes_effect_once_however_often_the_hub_is_killed() {
    each_row_takes_effect_once(&End::Killed);
}

#[tokio::test]
async fn the_root_in_a_chunks_answer_is_the_root_over_the_rows_stamped_with_its_entry() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let report = city.import(&ground, &File::residents(ImportScope::Snapshot, &people(0..450), "roots")).await;
    let view = city.house.view().await;
    let library = Library::Population;
    let mut stamped: Vec<(u64, Opened)> = Vec::new();
    for n in 0..450 {
        let opened = city.newest(library, "111", &code(n)).await.unwrap();
        stamped.push((view.stamp(&opened).await.unwrap().unwrap().index, opened));
    }
    stamped.sort_by_key(|(_, opened)| opened.index_key);
    let mut rows = Vec::new();
    for chunk in 1..=3 {
        let id = format!("import:{}:{chunk}", report.import_id);
        let step = Step(StepKind::Recall);
        let ordered = ordered(SuiteName::Ed25519, Kind::Import, &id, Repeatable::Required, None, None, &[]).unwrap();
        let request = Request { id: &id, message: id.as_bytes() };
        let order = Order::Import(&step);
        let change = city.house.exchange.change(&city.police, Operation::Import, order, &ordered, request);
        let recorded = change.await.unwrap();
        let item = recorded.single().unwrap();
        let Some(Answer::Change(change)) = Payload::decode(item.payload().clone()).unwrap().answer else { panic!() };
        let index = item.receipt().leaf_index;
        let of_entry = stamped.iter().filter(|(at, _)| *at == index);
        let leaves: Vec<_> =
            of_entry.map(|(_, opened)| row_leaf(SuiteName::Ed25519, &opened.record_version())).collect();
        assert_eq!((leaves.len() as u64, rows_root(SuiteName::Ed25519, &leaves)), (change.rows, change.rows_root));
        rows.push(change.rows);
    }
    assert_eq!(rows, [200, 200, 50]);
}

#[tokio::test]
async fn credit_records_are_found_by_their_subject_and_features_by_their_place() {
    let ground = Ground::new();
    let city = City::new(&ground).await;
    let entity = Uscc::make("91", "331099", "00000019").unwrap().as_str().to_owned();
    let header = [
        "subject_code_type",
        "subject_code",
        "record_id",
        "category",
        "basis",
        "authority",
        "effective_date",
        "repaired",
    ];
    let penalty = |id: &str| {
        ["001", &entity, id, "行政处罚", "《行政处罚法》", "市场监管局", "2026-01-05", "否"].map(str::to_owned).to_vec()
    };
    let bytes = csv(&header, &[penalty("P-1"), penalty("P-2"), penalty("P-1")]).into_bytes();
    let file = File::new("penalties", ImportScope::Increment, ImportFormat::CsvUtf8, bytes, 3, "credit");
    let report = city.import(&ground, &file).await;
    assert_eq!((report.phase(), report.rows_applied, report.rows_quarantined), (ImportPhase::Done, 2, 1));
    let subject = crate::library::codes::HolderCode::parse("001", &entity).unwrap();
    let view = city.house.view().await;
    let from = view.index_key(Library::Credit, "001", &entity);
    let links = view.links(LinkKind::Holder, &from, Some(Library::Credit), None, 10).await.unwrap();
    let key: Subject = credit_key(&subject, "P-2");
    let opened = view.newest_of(Library::Credit, &key.code_type, &key.code).await.unwrap().unwrap();
    assert!(links.len() == 2 && links.contains(&(Library::Credit.number(), opened.index_key)));
    assert_eq!(
        opened.row.valid_from, 0,
        "its own dates say when it is in force: a corrected date leaves no earlier version standing"
    );

    let feature = concat!(
        r#"{"feature_code":"331023-AP-1","kind":"门牌","name":"劳动路1号","division":"331023","datum":"CGCS2000","#,
        r#""geometry":{"type":"Point","coordinates":[121.03,29.14]},"hobby":"无"}"#,
        "\n\n",
        r#"{"feature_code":"331023-AP-2","kind":"门牌","name":"x","name":"y","division":"331023","datum":"CGCS2000"}"#,
        "\nnot json\n",
    );
    let bytes = feature.as_bytes().to_vec();
    let file = File::new("places", ImportScope::Increment, ImportFormat::JsonLines, bytes, 3, "places");
    let report = city.import(&ground, &file).await;
    assert_eq!((report.phase(), report.rows_applied), (ImportPhase::Done, 1), "{:?}", report.first_quarantined);
    assert_eq!(
        reasons(&report.first_quarantined),
        [(2, vec![("name", "FIELD_TWICE"), ("geometry", "FIELD_MISSING")]), (3, vec![("", "ROW_UNREADABLE")])]
    );
    let view = city.house.view().await;
    let opened = view.newest_of(Library::Geospatial, "feature", "331023-AP-1").await.unwrap().unwrap();
    let fields = opened.fields().unwrap();
    assert_eq!((fields.text("hobby"), fields.geometry.is_some()), (Some("无"), true));
    let place = Position::from_degrees(121.03, 29.14).unwrap();
    let mut found = Vec::new();
    for cell in cells_for(place) {
        let range = key_space::features_in_cell(cell.number());
        let page = view.snapshot().scan(range, Direction::Forward, 10).await.unwrap();
        found.extend(page.rows.iter().filter_map(|(key, _)| key_space::parse_cell(key)).map(|(_, feature)| feature));
    }
    assert!(found.contains(&opened.index_key));
    city.assert_clean().await;
}
