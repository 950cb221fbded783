//! Each planted damage is found and named; a store at rest is clean.
use super::{Report, Subject, What, check};
use crate::library::schema::Library;
use crate::log::merkle::leaf_hash;
use crate::log::{Frontier, SuiteName, in_suite};
use crate::receipt::house::{HUB, House, PERSON, caller, change, department};
use crate::receipt::sequencer::{Draft, Unit};
use crate::store::key_space::{self, IndexKey, Prefix};
use crate::store::{Direction, Key};
use crate::wire::proto::exchange::v1::{Change, ChangeQuestion, ChangedRecord, payload::Answer};
use crate::wire::proto::receipt::v1::{Kind, PublicEvent, Tick, public_event::Event};
use bytes::Bytes;
use prost::Message;

/// What the small store holds before its questions: two departments (one in two versions), an import chunk, a release, a tick.
const CHANGES: u64 = 6;

async fn import(house: &House, codes: &[&str]) {
    let view = house.view().await;
    let mut rows: Vec<_> = codes.iter().map(|code| department(code, 0)).collect();
    rows.sort_by_key(|row| view.index_key(Library::Department, &row.code_type, &row.code));
    let writes: Vec<_> = rows.iter().map(|row| view.write(Library::Department, row, 0, &[]).unwrap()).collect();
    let leaves: Vec<_> = writes
        .iter()
        .map(|write| {
            let record = &write.record;
            let library = (record.library as u16).to_be_bytes();
            let leaf = [&library, record.index_key.as_ref(), &record.version.to_be_bytes(), record.digest.as_ref()];
            in_suite!(house.vault.suite(), S => leaf_hash::<S>(&leaf.concat()))
        })
        .collect();
    let root = in_suite!(house.vault.suite(), S => Frontier::<S>::new().append(&leaves).into_frontier().root());
    let (mut finding, mutations) = change(Kind::Import, writes);
    finding.records.clear(); // a chunk names its rows by their root
    let rows_root = Bytes::copy_from_slice(&root);
    finding.answer = Answer::Change(Change { rows: leaves.len() as u64, rows_root, ..Change::default() });
    let _ = house.recorder().record(&view, &caller(), vec![finding], mutations, None).await.unwrap();
}

/// A held import goes on: a statement of an import without rows.
async fn release(house: &House) {
    let view = house.view().await;
    let (mut finding, mutations) = change(Kind::Import, Vec::new());
    let mut question = ChangeQuestion::decode(finding.question.clone()).unwrap();
    let (id, name) = ([0xab; 16], "ab".repeat(16));
    question.digests = vec![Bytes::copy_from_slice(&house.vault.suite().hash(&[name.as_bytes()]))];
    for _ in 0..4 {
        house.commit(|batch| _ = batch.put(key_space::import(&id), Bytes::new())).await; // its state was moved
    }
    finding.question = question.encode_to_vec().into();
    let library = u32::from(Library::Import.number());
    let released = ChangedRecord { library, name, version: 3 };
    finding.answer = Answer::Change(Change { records: vec![released], ..Change::default() });
    let _ = house.recorder().record(&view, &caller(), vec![finding], mutations, None).await.unwrap();
}

async fn house(questions: usize) -> House {
    house_of(SuiteName::Ed25519, questions).await
}

async fn house_of(suite: SuiteName, questions: usize) -> House {
    let mut house = House::of(suite).await;
    let _ = house.put("alpha", 0, Some("request")).await;
    let _ = house.put("alpha", 1, None).await;
    let _ = house.put("beta", 0, None).await;
    import(&house, &["one", "two", "three", "four", "five"]).await;
    release(&house).await;
    let tick = PublicEvent { format: 1, hub: HUB.into(), event: Some(Event::Tick(Tick::default())) };
    let unit = Unit { drafts: vec![Draft::Public(tick.encode_to_vec().into())], ..Unit::default() };
    house.ledger().record(unit).await.unwrap();
    house.record(questions).await;
    house.stop().await;
    house
}

async fn walk(house: &House) -> Report {
    let subject = Subject { store: house.store.as_ref(), vault: &house.vault, hub: HUB, fence: Some(&house.fence) };
    check(subject, &mut |_| ()).await.unwrap()
}

async fn found(house: &House) -> Vec<What> {
    let report = walk(house).await;
    assert_eq!(report.findings.len() as u64, report.findings_total);
    report.findings.iter().map(|finding| finding.what).collect()
}

fn row(house: &House, code: &str, version: u64) -> Key {
    let index_key = house.vault.index_key(Library::Department.number(), "department", code);
    key_space::record_row(Library::Department.number(), &index_key, version)
}

fn stamp(house: &House, code: &str, version: u64) -> Key {
    let index_key = house.vault.index_key(Library::Department.number(), "department", code);
    key_space::record_stamp(Library::Department.number(), &index_key, version)
}

async fn first(house: &House, prefix: Prefix) -> Key {
    let snapshot = house.store.snapshot().await.unwrap();
    snapshot.scan(prefix.range(), Direction::Forward, 1).await.unwrap().rows[0].0.clone()
}

#[tokio::test]
async fn a_store_at_rest_is_clean_and_counted() {
    for suite in SuiteName::ALL {
        let house = house_of(suite, 300).await;
        let report = walk(&house).await;
        assert!(report.is_clean(), "{suite}: {:?}", report.findings);
        assert_eq!((report.size, report.statements, report.tiles), (CHANGES + 300, CHANGES + 299, 1));
        assert_eq!((report.versions, report.import_rows, report.links, report.requests), (8, 5, 2, 1));
        let empty = House::of(suite).await;
        assert!(walk(&empty).await.is_clean());
    }
}

#[tokio::test]
async fn damage_to_the_log_is_found() {
    let damaged = house(3).await;
    damaged.flip(key_space::entry(7), 20).await;
    assert!(found(&damaged).await.contains(&What::HeadDiffers));
    assert!(found(&damaged).await.contains(&What::StatementDamaged));

    let damaged = house(3).await;
    damaged.delete(key_space::entry(2)).await;
    assert!(found(&damaged).await.contains(&What::EntryMissing));
    damaged.delete(key_space::entry(CHANGES + 2)).await;
    assert_eq!(found(&damaged).await.iter().filter(|what| **what == What::EntryMissing).count(), 2);

    let damaged = house(260).await;
    damaged.flip(key_space::tile(0, 0), 40).await;
    assert_eq!(found(&damaged).await, [What::TileDiffers]);
    damaged.delete(key_space::tile(0, 0)).await;
    assert_eq!(found(&damaged).await, [What::TileDiffers]);
}

#[tokio::test]
async fn a_swapped_removed_or_invented_statement_is_found() {
    let damaged = house(3).await;
    let (a, b) = (key_space::statement_row(0), key_space::statement_row(7));
    let (first, second) = (damaged.body(&a).await, damaged.body(&b).await);
    damaged.commit(|batch| _ = batch.put_fresh(a, second).put_fresh(b.clone(), first)).await;
    let all = found(&damaged).await;
    assert_eq!(all.iter().filter(|what| **what == What::StatementDamaged).count(), 2, "{all:?}");

    let damaged = house(3).await;
    let kept = damaged.body(&b).await;
    damaged.delete(b).await;
    assert!(found(&damaged).await.contains(&What::StatementMissing));

    for index in [CHANGES - 1, CHANGES + 3] {
        let damaged = house(3).await; // at the public entry, and after the last
        damaged.commit(|batch| _ = batch.put_fresh(key_space::statement_row(index), kept.clone())).await;
        assert_eq!(found(&damaged).await, [What::StatementExtra]);
    }
}

#[tokio::test]
async fn a_flipped_removed_or_rolled_back_record_is_found() {
    let damaged = house(1).await;
    damaged.flip(row(&damaged, "beta", 1), 30).await;
    assert_eq!(found(&damaged).await, [What::RecordDamaged]);

    let damaged = house(1).await;
    damaged.delete(row(&damaged, "alpha", 2)).await;
    assert!(found(&damaged).await.contains(&What::RecordMissing), "the newest version is gone");
    damaged.delete(stamp(&damaged, "alpha", 2)).await;
    assert_eq!(found(&damaged).await, [What::RecordMissing], "with its stamp");

    let damaged = house(1).await;
    damaged.delete(row(&damaged, "alpha", 1)).await;
    assert!(found(&damaged).await.contains(&What::VersionGap), "an old version is gone");

    let damaged = house(1).await;
    damaged.delete(stamp(&damaged, "beta", 1)).await;
    assert!(found(&damaged).await.contains(&What::StampWrong));
}

#[tokio::test]
async fn a_record_without_a_statement_or_with_another_digest_is_found() {
    let damaged = house(1).await;
    let view = damaged.view().await;
    let write = view.write(Library::Department, &department("ghost", 0), 0, &[]).unwrap();
    let (key, body) = write.fresh[0].clone();
    let stamp_of_question = damaged.body(&stamp(&damaged, "beta", 1)).await;
    damaged
        .commit(|batch| _ = batch.put_fresh(key, body).put_fresh(write.stamped[0].0.clone(), stamp_of_question))
        .await;
    assert_eq!(found(&damaged).await, [What::RecordUnstated]);

    let damaged = house(1).await;
    let view = damaged.view().await;
    let forged = view.write(Library::Department, &department("beta", 99), 0, &[]).unwrap();
    let (key, body) = forged.fresh[0].clone();
    damaged.commit(|batch| _ = batch.put_fresh(key, body)).await;
    assert_eq!(found(&damaged).await, [What::RecordDiffers], "sealed with the hub's own keys");
}

#[tokio::test]
async fn a_row_taken_from_or_slipped_into_an_import_is_found() {
    let damaged = house(1).await;
    damaged.delete(row(&damaged, "three", 1)).await;
    damaged.delete(stamp(&damaged, "three", 1)).await;
    assert_eq!(found(&damaged).await, [What::ImportRowsDiffer]);

    let damaged = house(1).await;
    let view = damaged.view().await;
    let write = view.write(Library::Department, &department("six", 0), 0, &[]).unwrap();
    let (key, body) = write.fresh[0].clone();
    let import_stamp = damaged.body(&stamp(&damaged, "one", 1)).await;
    damaged.commit(|batch| _ = batch.put_fresh(key, body).put_fresh(write.stamped[0].0.clone(), import_stamp)).await;
    assert_eq!(found(&damaged).await, [What::ImportRowsDiffer]);

    let damaged = house(1).await;
    for code in ["one", "two", "three", "four", "five"] {
        damaged.delete(row(&damaged, code, 1)).await;
        damaged.delete(stamp(&damaged, code, 1)).await;
    }
    assert_eq!(found(&damaged).await, [What::ImportRowsDiffer], "a whole chunk is gone");
}

#[tokio::test]
async fn links_cells_ledger_and_requests_that_lead_nowhere_are_found() {
    let damaged = house(1).await;
    let nobody = IndexKey([9; 16]);
    let link = key_space::link(1, &[8; 16], Library::Licence.number(), &nobody.0);
    damaged.commit(|batch| _ = batch.put_fresh(link, Bytes::new())).await;
    assert_eq!(found(&damaged).await, [What::LinkDangles]);

    let damaged = house(1).await;
    damaged.commit(|batch| _ = batch.put_fresh(key_space::cell(77, &nobody), Bytes::new())).await;
    assert_eq!(found(&damaged).await, [What::LinkDangles]);

    let damaged = house(2).await;
    let subject_ref = damaged.vault.subject_ref("111", PERSON);
    damaged.commit(|batch| _ = batch.put_fresh(key_space::ledger(&subject_ref, 0), Bytes::new())).await;
    assert_eq!(found(&damaged).await, [What::LedgerDiffers], "a row too many");

    let damaged = house(2).await;
    damaged.delete(key_space::ledger(&subject_ref_of(&damaged), CHANGES)).await;
    assert_eq!(found(&damaged).await, [What::LedgerDiffers], "somebody hid who looked");

    let damaged = house(1).await;
    damaged.flip(first(&damaged, Prefix::Request).await, 40).await;
    assert_eq!(found(&damaged).await, [What::RequestDamaged]);
}

fn subject_ref_of(house: &House) -> [u8; 16] {
    house.vault.subject_ref("111", PERSON)
}

#[tokio::test]
async fn a_fence_that_knows_better_is_found() {
    let mut ahead = House::new().await;
    ahead.record(2).await;
    let backup = ahead.copy_of_store().await;
    ahead.record(1).await;
    ahead.stop().await;
    ahead.store = backup;
    assert_eq!(found(&ahead).await, [What::FenceDiffers]);

    let mut other = House::new().await;
    other.record(5).await;
    other.stop().await;
    other.fence.clone_from(&ahead.fence);
    assert_eq!(found(&other).await, [What::FenceDiffers]);

    std::fs::remove_dir_all(&other.fence).unwrap();
    assert_eq!(found(&other).await, [What::FenceUnreadable]);
}

#[test]
fn every_finding_is_explained_in_both_languages() {
    for what in What::ALL {
        assert!(what.name().chars().all(|c| c.is_ascii_uppercase() || c == '_'));
        for text in [what.text_en(), what.remedy_en()] {
            assert!(text.ends_with('.'), "{text}");
        }
        for text in [what.text_zh(), what.remedy_zh()] {
            assert!(text.ends_with('。'), "{text}");
        }
    }
}
