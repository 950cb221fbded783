//! The two roads under races.
use super::test_house::{AUTHORITY, Ground, House, caller, uri};
use super::{Order, Request};
use crate::library::codes::HolderCode;
use crate::library::question::{AsOf, Asked, Question, RecordKey};
use crate::library::schema::Library;
use crate::log::SuiteName;
use crate::policy::{Caller, Operation};
use crate::wire::order::{Repeatable, ordered};
use crate::wire::proto::catalogue::v1 as c;
use crate::wire::proto::exchange::v1::{Payload, payload::Answer};
use crate::wire::proto::receipt::v1::{Kind, Operator, Outcome, Purpose, PurposeKind};
use prost::Message;

#[tokio::test]
async fn a_change_decided_before_its_system_was_shut_out_does_not_take_effect_after_it() {
    let ground = Ground::new();
    let house = ground.start().await;
    let second = house.put_system(AUTHORITY.0, "second", &[c::Role::DataAuthority]).await;
    let shut = c::System {
        uri: uri(AUTHORITY.0, "second"),
        name: "second".into(),
        department: AUTHORITY.0.into(),
        roles: vec![c::Role::DataAuthority.into()],
        enabled: false,
        version: 1,
        ..c::System::default()
    };
    let shut = c::PutSystemRequest { system: Some(shut), ..Default::default() };
    let mut market: c::Department = {
        let opened = house.view().await.newest_of(Library::Department, "department", "market").await.unwrap();
        opened.unwrap().body().unwrap()
    };
    (market.version, market.name) = (1, "renamed".into());
    let rename = c::PutDepartmentRequest { department: Some(market), ..Default::default() };
    let words = |kind| ordered(SuiteName::Ed25519, kind, "", Repeatable::None, None, None, &[]).unwrap();
    let (shutting, renaming) = (words(Kind::SystemChange), words(Kind::DepartmentChange));
    let request = Request { id: "", message: b"" };
    let authority = caller(AUTHORITY.0, AUTHORITY.1);
    // Both are decided on the same moment; the one that shuts the other out is handed in first.
    let (shut, renamed) = tokio::join!(
        house.exchange.change(&authority, Operation::PutSystem, Order::PutSystem(&shut), &shutting, request),
        house.exchange.change(&second, Operation::PutDepartment, Order::PutDepartment(&rename), &renaming, request),
    );
    assert_eq!(shut.unwrap().single().unwrap().outcome(), Outcome::Done);
    assert_ne!(renamed.unwrap().single().unwrap().outcome(), Outcome::Done);
    let market = house.view().await.newest_of(Library::Department, "department", "market").await.unwrap().unwrap();
    assert_eq!(market.version, 1);
}

/// A desk that asks about persons, and what changes between its questions.
struct Asking {
    house: House,
    desk: Caller,
    _ground: Ground,
}

impl Asking {
    async fn new() -> Self {
        let ground = Ground::new();
        let house = ground.start().await;
        house
            .put_resource(c::Resource {
                code: "persons".into(),
                name: "persons".into(),
                library: i32::from(Library::Population.number()),
                source_department: AUTHORITY.0.into(),
                sharing_class: c::SharingClass::Unconditional.into(),
                ..c::Resource::default()
            })
            .await;
        let desk = house.put_system(AUTHORITY.0, "desk", &[c::Role::Consumer]).await;
        Self { house, desk, _ground: ground }
    }

    /// Applies; an unconditional resource is granted by rule. Gives the grant's id.
    async fn apply(&self, n: u32) -> String {
        let grant = c::Grant {
            resource: "persons".into(),
            kinds: vec![c::QuestionKind::LookUp.into()],
            mode: c::GrantMode::YesNo.into(),
            purposes: vec![c::AllowedPurpose { kind: PurposeKind::Audit.into(), items: Vec::new() }],
            legal_basis: format!("basis {n}"),
            ..c::Grant::default()
        };
        let request = c::ApplyGrantRequest { grant: Some(grant), ..Default::default() };
        let ordered = ordered(SuiteName::Ed25519, Kind::GrantChange, "", Repeatable::None, None, None, &[]).unwrap();
        let (order, again) = (Order::ApplyGrant(&request), Request { id: "", message: b"" });
        let applied =
            self.house.exchange.change(&self.desk, Operation::ApplyGrant, order, &ordered, again).await.unwrap();
        let payload = Payload::decode(applied.single().unwrap().payload().clone()).unwrap();
        match payload.answer {
            Some(Answer::Change(change)) => change.records[0].name.clone(),
            other => panic!("{other:?}"),
        }
    }

    async fn withdraw(&self, grant_id: &str) {
        let request =
            c::WithdrawGrantRequest { grant_id: grant_id.into(), reason: "over".into(), ..Default::default() };
        let order = Order::WithdrawGrant(&request);
        let _ = self.house.change(Kind::GrantChange, Operation::WithdrawGrant, order).await;
    }

    async fn enable(&self, enabled: bool, version: u64) {
        let system = c::System {
            uri: self.desk.uri.clone(),
            name: "desk".into(),
            department: AUTHORITY.0.into(),
            roles: vec![c::Role::Consumer.into()],
            enabled,
            version,
            ..c::System::default()
        };
        let request = c::PutSystemRequest { system: Some(system), ..Default::default() };
        let _ = self.house.change(Kind::SystemChange, Operation::PutSystem, Order::PutSystem(&request)).await;
    }

    async fn ask(&self) -> Outcome {
        let asked = Asked {
            kind: Kind::LookUp,
            bytes: bytes::Bytes::new(),
            purpose: Purpose { kind: PurposeKind::Audit.into(), ..Purpose::default() },
            operator: Operator::default(),
            as_of: AsOf::default(),
            seen: bytes::Bytes::new(),
            caller_signature: None,
            question: Question::LookUp {
                key: RecordKey::Person(HolderCode::parse("111", "11010519491231002X").unwrap()),
                fields: Vec::new(),
                complete: false,
                mode: None,
            },
            seal: None,
        };
        let reply = self.house.exchange.answer(&self.desk, &[asked], Request { id: "", message: b"" }).await.unwrap();
        reply.recorded.single().unwrap().outcome()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_refuses_the_very_next_question_however_many_are_being_answered() {
    let asking = std::sync::Arc::new(Asking::new().await);
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    // Others keep asking, so that what is known of the catalogue is read and kept under every state it passes through.
    let others: Vec<_> = (0..3)
        .map(|_| {
            let (asking, done) = (asking.clone(), done.clone());
            tokio::spawn(async move {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    asking.ask().await;
                }
            })
        })
        .collect();
    let mut version = 1;
    for n in 0..40 {
        assert_eq!(asking.ask().await, Outcome::Refused, "no grant, round {n}");
        let grant = asking.apply(n).await;
        assert_eq!(asking.ask().await, Outcome::Absent, "granted, round {n}");
        if n % 4 == 0 {
            asking.enable(false, version).await;
            assert_eq!(asking.ask().await, Outcome::Refused, "shut out, round {n}");
            asking.enable(true, version + 1).await;
            assert_eq!(asking.ask().await, Outcome::Absent, "let in again, round {n}");
            version += 2;
        }
        asking.withdraw(&grant).await;
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    for other in others {
        other.await.unwrap();
    }
}
