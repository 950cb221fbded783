//! One unit never decides over another's.
use super::*;
use crate::library::record::LinkKind;
use crate::library::schema::Library;
use crate::receipt::house::{House, caller, change, department};
use crate::receipt::recorder::Mutations;
use crate::wire::proto::receipt::v1::Kind;

fn key(n: u8) -> Key {
    key_space::request(&[n; 16])
}

fn row(n: u8) -> (Key, Bytes) {
    (key(n), Bytes::from_static(b"row"))
}

#[tokio::test]
async fn a_unit_no_store_would_take_is_refused_alone_and_recording_goes_on() {
    let house = House::new().await;
    let large = Bytes::from(vec![0; STORE_VALUE_BYTES_MAX]);
    let over = Bytes::from(vec![0; STORE_VALUE_BYTES_MAX + 1]);
    let unfit = [
        Unit { puts: vec![row(1), row(1)], ..Unit::default() },
        Unit { puts: vec![row(1)], fresh: vec![row(1)], ..Unit::default() },
        Unit { stamped: vec![row(1)], deletes: vec![key(1)], ..Unit::default() },
        Unit { deletes: vec![key(1), key(1)], ..Unit::default() },
        Unit { puts: vec![(key(1), over)], ..Unit::default() },
        Unit { stamped: vec![(key(1), large.clone())], ..Unit::default() },
        Unit { drafts: vec![Draft::Public(large)], ..Unit::default() },
    ];
    for (n, unit) in unfit.into_iter().enumerate() {
        let refused = house.ledger().record(unit).await.unwrap_err();
        assert!(matches!(refused, NotRecorded::Failed(ref f) if f.reason == Reason::Internal), "{n}: {refused:?}");
        let fit = Unit { puts: vec![row(2)], ..Unit::default() };
        house.ledger().record(fit).await.unwrap();
    }
    assert!(house.ledger().stopped().borrow().is_none());
}

#[tokio::test]
async fn units_that_remove_or_write_the_same_key_go_one_after_the_other() {
    let house = House::new().await;
    let ledger = house.ledger();
    let delete = || Unit { deletes: vec![key(1)], ..Unit::default() };
    let fresh = Unit { fresh: vec![row(1)], ..Unit::default() };
    let (a, b, c) = tokio::join!(ledger.record(delete()), ledger.record(delete()), ledger.record(fresh));
    assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{a:?} {b:?} {c:?}");
}

#[tokio::test]
async fn a_record_filed_twice_under_one_key_has_one_link() {
    let house = House::new().await;
    let view = house.view().await;
    let link = (LinkKind::Table, view.index_key(Library::Department, "table", ""));
    let write = view.write(Library::Department, &department("d", 0), 0, &[link, link]).unwrap();
    let (finding, mutations) = change(Kind::DepartmentChange, vec![write]);
    let recorded = house.recorder().record(&view, &caller(), vec![finding], mutations, None).await;
    assert!(recorded.is_ok(), "{:?}", recorded.err());
}

#[tokio::test]
async fn a_payload_larger_than_a_row_is_kept_in_parts_and_given_back_whole() {
    use crate::wire::proto::exchange::v1::{Change, ChangedRecord, payload::Answer};
    let house = House::new().await;
    let findings = |bytes: usize| {
        let (mut finding, _) = change(Kind::DepartmentChange, Vec::new());
        let record = ChangedRecord { name: "n".repeat(bytes), ..ChangedRecord::default() };
        finding.answer = Answer::Change(Change { records: vec![record], ..Change::default() });
        finding
    };
    let view = house.view().await;
    let id = house.recorder().request(&view, &caller(), "r", b"m").await.unwrap().unwrap();
    let sizes = [10, 200_000, 30_000, 48 << 10, 10];
    let sent = sizes.map(findings).to_vec();
    let first = house.recorder().record(&view, &caller(), sent, Mutations::default(), Some(id)).await.unwrap();
    let view = house.view().await;
    let answered = house.recorder().request(&view, &caller(), "r", b"m").await.unwrap().unwrap_err();
    let (again, _) = house.recorder().repeat(house.store.as_ref(), answered).await.unwrap();
    let payloads = |r: &crate::receipt::recorder::Recorded| -> Vec<Bytes> {
        r.items().iter().map(|item| item.payload().clone()).collect()
    };
    assert_eq!(payloads(&first).len(), sizes.len());
    assert!(payloads(&first) == payloads(&again), "a repeat gives other payloads");
}

#[tokio::test]
async fn units_that_condition_on_the_same_key_share_a_batch_and_a_write_of_it_waits() {
    let house = House::new().await;
    let ledger = house.ledger();
    let reads = |n| Unit { checks: vec![Check::Absent(key(9))], puts: vec![row(n)], ..Unit::default() };
    ledger.record(Unit { puts: vec![row(1)], ..Unit::default() }).await.unwrap();
    let snapshot = house.store.snapshot().await.unwrap();
    let (_, before) = crate::receipt::head::read(snapshot.as_ref()).await.unwrap().unwrap();
    let (a, b) = tokio::join!(ledger.record(reads(1)), ledger.record(reads(2)));
    assert!(a.is_ok() && b.is_ok());
    let snapshot = house.store.snapshot().await.unwrap();
    let (_, after) = crate::receipt::head::read(snapshot.as_ref()).await.unwrap().unwrap();
    assert_eq!(after, before + 1, "one batch for both");
    let write = Unit { puts: vec![row(9)], ..Unit::default() };
    let (written, outdated) = tokio::join!(ledger.record(write), ledger.record(reads(3)));
    assert!(written.is_ok());
    assert!(matches!(outdated, Err(NotRecorded::CheckFailed(failed)) if failed == key(9)));
}

#[tokio::test]
async fn a_repeat_is_given_while_the_log_grows_past_the_view_and_says_where_its_page_goes_on() {
    let house = House::new().await;
    let recorder = house.recorder();
    let request = async |view| recorder.request(view, &caller(), "r", b"m").await.unwrap();
    let view = house.view().await;
    let id = request(&view).await.unwrap().going_on_at(Some([3; 16]));
    let (finding, mutations) = change(Kind::DepartmentChange, Vec::new());
    let first = recorder.record(&view, &caller(), vec![finding], mutations, Some(id)).await.unwrap();
    let view = house.view().await;
    let answered = request(&view).await.unwrap_err();
    house.record(5).await; // newer than the view
    let (again, next) = recorder.repeat(house.store.as_ref(), answered).await.unwrap();
    let (first, again) = (first.single().unwrap(), again.single().unwrap());
    assert_eq!(first.payload(), again.payload());
    assert_eq!(first.receipt().leaf_index, again.receipt().leaf_index);
    assert_eq!(again.receipt().checkpoint, house.ledger().latest().checkpoint);
    assert_eq!(next, Some([3; 16]));
}
