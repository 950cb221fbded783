//! Proofs for outsiders, who looked at whom, and what a damaged hub says.
use crate::audit;
use crate::client::{Caller, Proved, failed, licence, random};
use crate::harness::Hub;
use crate::world::{AUDITOR, DESK, HOLDER, WINDOW, draft};
use prost::Message;
use prost::bytes::Bytes;
use std::time::Duration;
use wuku::failure::Reason;
use wuku::library::schema::Library;
use wuku::log::checkpoint::SignedCheckpoint;
use wuku::log::entry::{commitment, statement_entry};
use wuku::log::merkle::{leaf_hash, root_from_inclusion, verify_consistency};
use wuku::log::{Checkpoint, SuiteName, in_suite};
use wuku::receipt::{Kind, Outcome, Receipt, evidence};
use wuku::store::{Batch, BatchId, Direction, key_space};
use wuku::wire::proto::exchange::v1::payload::Answer;
use wuku::wire::proto::receipt::v1::{
    AccessQuestion, GetCheckpointRequest, GetConsistencyProofRequest, GetInclusionProofRequest, GetTrustRequest,
    ListAccessesRequest, ListEntriesRequest, Purpose, PurposeKind, VerifyEvidenceRequest,
};

/// The published checkpoint, once it is of at least this size: it is published once a second.
pub async fn published(caller: &Caller, size: u64) -> Checkpoint {
    for _ in 0..60 {
        let note = caller.receipt().get_checkpoint(GetCheckpointRequest {}).await.unwrap().into_inner().checkpoint;
        let checkpoint = SignedCheckpoint::parse(&note).map(|signed| signed.checkpoint);
        match checkpoint {
            Ok(checkpoint) if checkpoint.size >= size => return checkpoint,
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    panic!("no checkpoint of size {size} within six seconds");
}

/// Who looked at a subject?
pub fn accesses(subject_type: &str, subject_code: &str) -> ListAccessesRequest {
    let use_cause = "群众反映信息被违规查询".into();
    let question = AccessQuestion {
        nonce: Bytes::copy_from_slice(&random::<16>()),
        purpose: Some(Purpose { kind: PurposeKind::Audit as i32, use_cause, ..Purpose::default() }),
        subject_type: subject_type.into(),
        subject_code: subject_code.into(),
        ..AccessQuestion::default()
    };
    ListAccessesRequest { question: question.encode_to_vec().into() }
}

#[tokio::test]
async fn an_outsider_finds_each_entry_in_the_tree_and_each_tree_in_the_next() {
    for suite in SuiteName::ALL {
        an_outsider_proves(Hub::of(suite).await).await;
    }
}

async fn an_outsider_proves(hub: Hub) {
    let suite = hub.suite();
    hub.grant_food().await;
    let (window, desk) = (hub.caller(WINDOW), hub.caller(DESK));
    let id = hub.issue(draft()).await;
    let first = window.look_up(&licence(&id, &[])).await.unwrap();
    let old = published(&desk, first.receipt().leaf_index + 1).await;
    let last = window.look_up(&licence(&id, &[])).await.unwrap();
    let new = published(&desk, last.receipt().leaf_index + 1).await;

    let mut entries = Vec::new();
    while (entries.len() as u64) < new.size {
        let ask = ListEntriesRequest { start: entries.len() as u64, count: 7 };
        let some = desk.receipt().list_entries(ask).await.unwrap().into_inner().entries;
        assert!((1..=7).contains(&some.len()));
        entries.extend(some.into_iter().map(|entry| entry.to_vec()));
    }
    assert_eq!(
        audit::roots(suite, &entries)[usize::try_from(new.size).unwrap()],
        new.root,
        "every entry, hashed by the outsider"
    );
    let Receipt { statement, salt, time_s, leaf_index, .. } = last.receipt().clone();
    let salt = salt.as_ref().try_into().unwrap();
    let entry = statement_entry(time_s, &in_suite!(suite, S => commitment::<S>(&salt, &statement)));
    assert_eq!(entries[usize::try_from(leaf_index).unwrap()], entry);

    let ask = GetInclusionProofRequest { leaf_index, size: new.size };
    let path = desk.receipt().get_inclusion_proof(ask).await.unwrap().into_inner().path;
    let root = in_suite!(suite, S => root_from_inclusion::<S>(&leaf_hash::<S>(&entry), leaf_index, new.size, &path));
    assert_eq!(root.unwrap(), new.root);
    let ask = GetConsistencyProofRequest { old_size: old.size, new_size: new.size };
    let path = desk.receipt().get_consistency_proof(ask).await.unwrap().into_inner().path;
    let (path, rest) = path.as_chunks::<32>();
    assert!(rest.is_empty());
    in_suite!(suite, S => verify_consistency::<S>(old.size, new.size, &old.root, &new.root, path)).unwrap();
    let ask = GetInclusionProofRequest { leaf_index: new.size, size: new.size };
    assert_eq!(failed(desk.receipt().get_inclusion_proof(ask).await), Reason::RequestMalformed);

    let trust = desk.receipt().get_trust(GetTrustRequest {}).await.unwrap().into_inner().trust_note;
    assert_eq!(trust, std::fs::read(&hub.config.trust.file).unwrap());
    let mut file = evidence::to_json(&last.evidence);
    let check = async |file: &[u8]| {
        let ask = VerifyEvidenceRequest { evidence_json: Bytes::copy_from_slice(file) };
        desk.receipt().verify_evidence(ask).await.unwrap().into_inner()
    };
    let said = check(&file).await;
    assert_eq!((said.good, said.index), (true, leaf_index));
    let at = file.len() / 2;
    file[at] ^= 1;
    assert!(!check(&file).await.good);
    hub.end().await;
}

#[tokio::test]
async fn an_auditor_sees_who_looked_at_a_person_and_is_seen_looking() {
    let hub = Hub::of(SuiteName::Sm2).await;
    hub.grant_food().await;
    let (window, auditor, desk) = (hub.caller(WINDOW), hub.caller(AUDITOR), hub.caller(DESK));
    let id = hub.issue(draft()).await;
    let looked = window.look_up(&licence(&id, &[])).await.unwrap();
    let refused = desk.look_up(&licence(&id, &[])).await.unwrap_err();
    let (_, refused) = desk.refused(&refused);
    let list = async || {
        let response = auditor.receipt().list_accesses(accesses("licence", &id)).await.unwrap().into_inner();
        let proved: Proved = auditor.got(response);
        match proved.payload.answer {
            Some(Answer::AccessList(list)) => list.accesses,
            other => panic!("{other:?}"),
        }
    };
    let seen = list().await;
    let of = |proved: &Proved| {
        let access = seen.iter().find(|access| access.index == proved.receipt().leaf_index).unwrap();
        (access.caller.clone(), access.operator.clone().unwrap().id, access.outcome())
    };
    assert_eq!(of(&looked), (window.uri.clone(), "window-7".into(), Outcome::Found));
    assert_eq!(of(&refused), (desk.uri.clone(), "window-7".into(), Outcome::Refused));
    let again = list().await;
    assert_eq!((again[0].kind(), again[0].caller.as_str()), (Kind::AccessList, auditor.uri.as_str()), "newest first");
    let status = window.receipt().list_accesses(accesses("111", HOLDER.1)).await.unwrap_err();
    assert_eq!(window.refused(&status).0, Reason::RoleNotAllowed);
    hub.end().await;
}

#[tokio::test]
async fn a_row_that_does_not_open_is_damage_never_absence_and_fsck_names_it() {
    for suite in SuiteName::ALL {
        damage_is_named(Hub::of(suite).await).await;
    }
}

async fn damage_is_named(mut hub: Hub) {
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    assert!(hub.stop().await.success());
    {
        let opened = audit::open(&hub).await;
        let range = key_space::library_rows(Library::Licence.number());
        let page = opened.snapshot.scan(range, Direction::Forward, 10).await.unwrap();
        let (key, value) = page.rows[0].clone();
        let mut body = value.body.to_vec();
        *body.last_mut().unwrap() ^= 1;
        let mut batch = Batch::new(BatchId::random().unwrap());
        batch.put(key, body);
        opened.store.commit(batch).await.unwrap();
    }
    assert_eq!(hub.fsck().status.code(), Some(1));
    hub.start();
    assert_eq!(failed(hub.caller(WINDOW).look_up(&licence(&id, &[])).await), Reason::RecordDamaged);
    hub.end_damaged();
}

#[tokio::test]
async fn a_hub_whose_fence_cannot_be_written_pauses_says_so_and_goes_on_when_it_can() {
    let hub = Hub::new().await;
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    let window = hub.caller(WINDOW);
    let away = hub.path("fence-away");
    std::fs::rename(&hub.config.fence.path, &away).unwrap();
    let mut paused = None;
    for _ in 0..10 {
        if let Err(status) = window.look_up(&licence(&id, &[])).await {
            paused = Some(crate::client::reason(&status));
            break;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert_eq!(paused, Some(Reason::RecordingPaused));
    std::fs::rename(&away, &hub.config.fence.path).unwrap();
    let mut answered = false;
    for _ in 0..50 {
        answered = window.look_up(&licence(&id, &[])).await.is_ok();
        if answered {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(answered, "recording goes on once the fence is there again");
    hub.end().await;
}

#[tokio::test]
async fn a_hub_with_an_unreadable_trust_file_says_so_to_who_wants_evidence_checked() {
    let mut hub = Hub::new().await;
    hub.grant_food().await;
    let id = hub.issue(draft()).await;
    let answer = hub.caller(WINDOW).look_up(&licence(&id, &[])).await.unwrap();
    assert!(hub.stop().await.success());
    let note = std::fs::read(&hub.config.trust.file).unwrap();
    std::fs::write(&hub.config.trust.file, "no note").unwrap();
    hub.start();
    let ask = VerifyEvidenceRequest { evidence_json: evidence::to_json(&answer.evidence).into() };
    assert_eq!(failed(hub.caller(DESK).receipt().verify_evidence(ask).await), Reason::TrustFileMissing);
    std::fs::write(&hub.config.trust.file, note).unwrap();
    hub.end().await;
}
