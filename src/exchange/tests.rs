//! The two roads under races.
use super::test_house::{AUTHORITY, Ground, caller, uri};
use super::{Order, Request};
use crate::library::schema::Library;
use crate::policy::Operation;
use crate::wire::order::{Repeatable, ordered};
use crate::wire::proto::catalogue::v1 as c;
use crate::wire::proto::receipt::v1::{Kind, Outcome};

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
    let words = |kind| ordered(kind, "", Repeatable::None, None, None, &[]).unwrap();
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
