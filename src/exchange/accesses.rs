//! The third small road: who looked at a subject. The log is asked instead of a library; the order is the same.
use super::{Exchange, refusal};
use crate::failure::Failure;
use crate::policy::{Caller, Decision, Operation};
use crate::receipt::access::{self, AccessAsked};
use crate::receipt::recorder::{Mutations, Recorded};

impl Exchange {
    /// Says who looked at a subject: permitted by role and purpose, verified line by line, recorded like any answer. A refusal
    /// is recorded too.
    ///
    /// # Errors
    /// What stopped it; then nothing was answered.
    pub async fn accesses(&self, caller: &Caller, asked: &AccessAsked) -> Result<Recorded, Failure> {
        let view = self.view().await?;
        let finding = match self.policy.admit(&view, caller, Operation::ListAccesses).await? {
            Decision::Permitted(permit) => access::list(&view, &permit, &self.recorder, asked).await?.into_finding(),
            Decision::Refused(refusal) => refusal::of_accesses(asked, refusal),
        };
        Ok(self.recorder.record(&view, caller, vec![finding], Mutations::default(), None).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;
    use crate::library::licence::Issuers;
    use crate::library::record::Row;
    use crate::library::schema::Library;
    use crate::policy::Policy;
    use crate::receipt::house::{self, HUB, House, PERSON};
    use crate::store::key_space;
    use crate::wire::access::accesses;
    use crate::wire::proto::catalogue::v1::{Role, System};
    use crate::wire::proto::exchange::v1::{AccessList, Payload, payload::Answer};
    use crate::wire::proto::receipt::v1::{AccessQuestion, Kind, Outcome, Purpose, PurposeKind, Statement};
    use bytes::Bytes;
    use prost::Message;

    /// A hub that knows the calling system in one role.
    async fn hub(role: Role) -> (House, Exchange) {
        let house = House::new().await;
        let view = house.view().await;
        let system = System { uri: house::caller().uri, roles: vec![role.into()], enabled: true, ..System::default() };
        let row = Row {
            format: 1,
            code_type: "system".into(),
            code: system.uri.clone(),
            body: system.encode_to_vec().into(),
            ..Row::default()
        };
        let write = view.write(Library::System, &row, 0, &[]).unwrap();
        let (finding, mutations) = house::change(Kind::Bootstrap, vec![write]);
        let _ = house.recorder().record(&view, &house::caller(), vec![finding], mutations, None).await.unwrap();
        let exchange = Exchange {
            hub: HUB.into(),
            store: house.store.clone(),
            vault: house.vault.clone(),
            policy: Policy::default(),
            issuers: Issuers::default(),
            recorder: house.recorder().clone(),
            log_keys: arc_swap::ArcSwap::default(),
            seals: None,
            clock: house::clock(),
        };
        (house, exchange)
    }

    fn asked(before_index: u64, limit: u32) -> AccessAsked {
        let purpose = Purpose { kind: PurposeKind::Audit.into(), use_cause: "complaint".into(), ..Purpose::default() };
        let question = AccessQuestion {
            nonce: Bytes::from_static(&[7; 16]),
            purpose: Some(purpose),
            subject_type: "111".into(),
            subject_code: PERSON.into(),
            before_index,
            limit,
            ..AccessQuestion::default()
        };
        accesses(question.encode_to_vec().into()).unwrap()
    }

    fn listed(recorded: &Recorded) -> AccessList {
        match Payload::decode(recorded.single().unwrap().payload().clone()).unwrap().answer {
            Some(Answer::AccessList(list)) => list,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn who_looked_is_listed_newest_first_page_by_page_and_looking_is_listed_too() {
        let (house, exchange) = hub(Role::Auditor).await; // entry 0
        house.record(5).await; // entries 1 to 5
        let first = exchange.accesses(&house::caller(), &asked(0, 3)).await.unwrap(); // entry 6
        let list = listed(&first);
        assert_eq!(list.accesses.iter().map(|access| access.index).collect::<Vec<_>>(), [5, 4, 3]);
        assert!(
            list.accesses.iter().all(|access| access.kind() == Kind::LookUp && access.caller == house::caller().uri)
        );
        assert!(list.accesses.iter().all(|access| access.purpose == Some(house::purpose())));
        let second = listed(&exchange.accesses(&house::caller(), &asked(list.next_before_index, 3)).await.unwrap());
        assert_eq!(second.accesses.iter().map(|access| access.index).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(second.next_before_index, 0);
        let third = listed(&exchange.accesses(&house::caller(), &asked(0, 200)).await.unwrap());
        assert_eq!(third.accesses[0].kind(), Kind::AccessList);
        assert_eq!(third.accesses.len(), 7);
        let receipt = first.single().unwrap().receipt();
        let statement = Statement::decode(receipt.statement.clone()).unwrap();
        assert_eq!((statement.kind(), statement.outcome()), (Kind::AccessList, Outcome::Found));
    }

    #[tokio::test]
    async fn who_may_not_look_is_refused_and_that_is_recorded() {
        let (house, exchange) = hub(Role::Consumer).await;
        house.record(1).await;
        let recorded = exchange.accesses(&house::caller(), &asked(0, 0)).await.unwrap();
        assert_eq!(recorded.single().unwrap().outcome(), Outcome::Refused);
        assert_eq!(house.ledger().latest().head.size, 3);
    }

    #[tokio::test]
    async fn a_ledger_row_that_leads_elsewhere_is_damage() {
        let (house, exchange) = hub(Role::Auditor).await;
        house.record(1).await;
        let subject_ref = house.vault.subject_ref("111", PERSON);
        house.commit(|batch| _ = batch.put_fresh(key_space::ledger(&subject_ref, 0), Bytes::new())).await;
        let failure = exchange.accesses(&house::caller(), &asked(0, 0)).await.unwrap_err();
        assert_eq!(failure.reason, Reason::RecordDamaged);
    }
}
