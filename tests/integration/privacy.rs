//! No name and no identity number is in plain text in the data folder, the fence, the logs or the metrics.
use crate::audit;
use crate::client::{by_key, citizen, context, failed, licence, person};
use crate::harness::Hub;
use crate::receipt::accesses;
use crate::world::{
    AUDITOR, CONSOLE, DESK, HOLDER, PEOPLE, WINDOW, draft, full_grant, people, people_resource, resident,
};
use std::path::Path;
use wuku::failure::Reason;
use wuku::log::SuiteName;
use wuku::store::key_space::Prefix;
use wuku::store::{Batch, BatchId, Direction, Key};
use wuku::wire::proto::exchange::v1::MatchQuestion;
use wuku::wire::proto::intake::v1::ImportScope;
use wuku::wire::proto::library::v1::record_key::Key as RecordKey;
use wuku::wire::proto::licence::v1::OrderAction;

#[tokio::test]
async fn nobodys_name_or_number_is_in_plain_text_on_the_disk_in_logs_or_in_metrics() {
    let mut hub = Hub::of(SuiteName::Sm2).await;
    hub.caller(CONSOLE).put_resource(people_resource()).await.unwrap();
    hub.grant_food().await;
    hub.grant(WINDOW, full_grant(PEOPLE, &["name", "address"])).await;
    let (window, desk) = (hub.caller(WINDOW), hub.caller(DESK));
    let rows: Vec<(String, String)> = (1..=30).map(|n| resident(n, &format!("欧阳演示{n}"))).collect();
    let mut file: Vec<String> = rows.iter().map(|(_, row)| row.clone()).collect();
    file.push(file[0].replace(",male,", ",难,")); // quarantined, with what it holds
    hub.import(&people(ImportScope::Snapshot, &file, "1")).await.unwrap();
    let id = hub.issue(draft()).await;
    hub.order(&id, OrderAction::Suspend).await;
    window.look_up(&licence(&id, &["holder_name", "holder_code", "number"])).await.unwrap();
    window.look_up(&person(&rows[3].0, &["name", "address"])).await.unwrap();
    desk.look_up(&person(&rows[4].0, &["name"])).await.unwrap_err();
    let asked =
        MatchQuestion { context: Some(context()), holder: Some(citizen(&rows[5].0)), name: "欧阳演示6".into() };
    window.r#match(&asked).await.unwrap();
    hub.caller(AUDITOR).receipt().list_accesses(accesses("111", &rows[3].0)).await.unwrap();
    // A wrong check digit, and a number where a licence identifier belongs: faults must not repeat what was typed.
    let wrong = format!("{}{}", &rows[6].0[..17], if rows[6].0.ends_with('0') { '1' } else { '0' });
    assert_eq!(failed(window.look_up(&person(&wrong, &[])).await), Reason::RequestMalformed);
    let typed = by_key(RecordKey::LicenceId(rows[7].0.clone()), &[]);
    assert_eq!(failed(window.look_up(&typed).await), Reason::RequestMalformed);
    let metrics = hub.admin("/metrics").await;
    assert!(hub.stop().await.success());

    let mut secrets: Vec<String> = rows.iter().map(|(id, _)| id.clone()).collect();
    secrets.extend((1..=30).map(|n| format!("欧阳演示{n}")));
    secrets.extend([HOLDER.0, HOLDER.1, "JY13310990000017", "13800000000", "演示样本路", &wrong].map(str::to_owned));
    let found = |place: &str, bytes: &[u8]| -> Vec<String> {
        let holds = |secret: &&String| spellings(secret).iter().any(|s| contains(bytes, s));
        secrets.iter().filter(holds).map(|secret| format!("{secret} in {place}")).collect()
    };
    let mut all = found("metrics", metrics.as_bytes());
    all.extend(found("the log", hub.log().as_bytes()));
    for folder in [&hub.config.data.path, &hub.config.fence.path] {
        files(folder, &mut |path, bytes| all.extend(found(&path.display().to_string(), bytes)));
    }
    // Blocks of the engine may be compressed: its rows are read too, keys and bodies.
    let opened = audit::open(&hub).await;
    let mut rows_seen = 0;
    for prefix in 0..=u8::MAX {
        let Some(prefix) = Key::from_bytes(vec![prefix]).as_ref().and_then(Prefix::of) else { continue };
        let mut range = Some(prefix.range());
        while let Some(next) = range {
            let page = opened.snapshot.scan(next, Direction::Forward, 200).await.unwrap();
            for (key, value) in page.rows {
                rows_seen += 1;
                all.extend(found("a key", key.as_bytes()));
                all.extend(found("a row", &value.body));
            }
            range = page.next;
        }
    }
    assert!(rows_seen > 200, "the rows were read: {rows_seen}");
    assert!(all.is_empty(), "{all:#?}");

    // Control: what is planted is found, in a file, in the engine's own files, in each spelling.
    for (n, spelling) in spellings(HOLDER.0).into_iter().enumerate() {
        let planted = hub.config.data.path.join("planted");
        std::fs::write(&planted, [b"before", spelling.as_slice(), b"after"].concat()).unwrap();
        let mut seen = Vec::new();
        files(&hub.config.data.path, &mut |path, bytes| seen.extend(found(&path.display().to_string(), bytes)));
        assert_eq!(seen.len(), 1, "spelling {n}");
        std::fs::remove_file(planted).unwrap();
    }
    let mut batch = Batch::new(BatchId::random().unwrap());
    batch.put(Key::from_bytes(vec![0xfe]).unwrap(), HOLDER.1.as_bytes().to_vec());
    opened.store.commit(batch).await.unwrap();
    drop(opened);
    let mut seen = Vec::new();
    files(&hub.config.data.path, &mut |path, bytes| seen.extend(found(&path.display().to_string(), bytes)));
    assert!(!seen.is_empty(), "a plain row is found in the engine's files");
    hub.end_damaged();
}

/// UTF-8, UTF-16 of both orders, GB18030.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let utf16: Vec<u16> = text.encode_utf16().collect();
    let mut spellings = vec![
        text.as_bytes().to_vec(),
        utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
        utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
        encoding_rs::GB18030.encode(text).0.into_owned(),
    ];
    spellings.dedup();
    spellings
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Every file below a folder, names included.
fn files(folder: &Path, look: &mut impl FnMut(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, look);
        } else {
            let mut bytes = path.file_name().unwrap().as_encoded_bytes().to_vec();
            bytes.extend(std::fs::read(&path).unwrap());
            look(&path, &bytes);
        }
    }
}
