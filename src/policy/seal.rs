//! Reading a seal's binding: may this department have this answer sealed with it, for this item?
use crate::failure::Failure;
use crate::library::question::{Question, base_library};
use crate::library::record::View;
use crate::library::schema::Library;
use crate::wire::proto::catalogue::v1::Grant;
use crate::wire::proto::receipt::v1::{Purpose, RecordVersion};
use crate::wire::proto::seal::v1::Seal;
use std::sync::Arc;

/// A seal that the question's answers may bear. Only the policy makes one.
#[derive(Clone, Debug)]
pub struct SealPermit {
    /// The seal, file included.
    pub seal: Seal,
    /// How statements name the version decided on.
    pub record: RecordVersion,
}

/// The seal of this identifier, where its binding covers the question; `None` for one that is not there, alike.
pub(super) async fn permitted(
    view: &View,
    id: &str,
    department: &str,
    question: &Question,
    purpose: &Purpose,
) -> Result<Option<Arc<SealPermit>>, Failure> {
    let Some(opened) = view.newest_of(Library::Seal, "seal", id).await? else { return Ok(None) };
    let seal = Seal { version: opened.version, ..opened.body()? };
    let covered = covers(&seal, department, question, purpose, view.now_ms / 1_000);
    Ok(covered.then(|| Arc::new(SealPermit { seal, record: opened.record_version() })))
}

/// Whether a grant lets its answers bear a seal.
pub(super) fn grant_names(grant: &Grant, seal_id: &str) -> bool {
    grant.seals.iter().any(|named| named == seal_id)
}

/// Deny by default: what a binding does not name is not covered, a purpose without an item neither.
fn covers(seal: &Seal, department: &str, question: &Question, purpose: &Purpose, now_s: u64) -> bool {
    let Some(binding) = &seal.binding else { return false };
    let ours = seal.owner_department == department || binding.delegated_departments.iter().any(|d| d == department);
    let in_time = (seal.valid_from_s..=seal.valid_until_s).contains(&now_s);
    let for_item = !purpose.item.is_empty() && binding.items.contains(&purpose.item);
    let type_named = |code: &str| binding.licence_types.iter().any(|named| named == code);
    let library_named = |library: Library| {
        library != Library::Licence && binding.libraries().any(|named| named as i32 == i32::from(library.number()))
    };
    let scope = match question {
        Question::Holder { licence_types, libraries, .. } => {
            // By holder nothing is known of the answer beforehand: every type and library must be named, and covered.
            let licences = libraries.is_empty() || libraries.contains(&Library::Licence);
            let others = libraries.iter().filter(|library| **library != Library::Licence);
            (!licences || (!licence_types.is_empty() && licence_types.iter().all(|code| type_named(code))))
                && others.copied().all(library_named)
        }
        Question::Match { holder, .. } => library_named(base_library(holder)),
        Question::LookUp { .. } | Question::Derive(_) | Question::Area { .. } => match question.scope() {
            None => false,
            Some(scope) => match scope.strip_prefix("licence:") {
                Some(code) => type_named(code),
                None => Library::from_code(&scope).is_some_and(library_named),
            },
        },
    };
    binding.enabled && ours && in_time && for_item && scope
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::codes::{HolderCode, LicenceId, LicenceTypeCode, Uscc};
    use crate::library::question::{Fact, RecordKey};
    use crate::wire::proto::library::v1::Library as LibraryCode;
    use crate::wire::proto::seal::v1::SealBinding;

    const OWNER: &str = "market";
    const ITEM: &str = "331023000001";

    fn type_code() -> String {
        format!("{}001", Uscc::make("11", "331099", "MB000012").unwrap().as_str())
    }

    fn other_type() -> String {
        format!("{}002", type_code().get(..18).unwrap())
    }

    fn seal() -> Seal {
        Seal {
            owner_department: OWNER.into(),
            valid_from_s: 100,
            valid_until_s: 200,
            binding: Some(SealBinding {
                enabled: true,
                items: vec![ITEM.into()],
                licence_types: vec![type_code()],
                libraries: vec![LibraryCode::Population as i32],
                delegated_departments: vec!["civil".into()],
            }),
            ..Seal::default()
        }
    }

    fn licence(code: &str) -> Question {
        let kind = LicenceTypeCode::parse(code).unwrap();
        let issuer = Uscc::parse(code.get(..18).unwrap()).unwrap();
        let id = LicenceId::make(&kind, &issuer, "00000000000000000001", 1).unwrap();
        Question::LookUp { key: RecordKey::Licence(id), fields: vec![], complete: false, mode: None }
    }

    fn person() -> HolderCode {
        HolderCode::parse("111", "11010519491231002X").unwrap()
    }

    fn check(change: impl FnOnce(&mut Seal, &mut Purpose, &mut u64), department: &str, question: &Question, may: bool) {
        let (mut seal, mut now_s) = (seal(), 150);
        let mut purpose = Purpose { item: ITEM.into(), ..Purpose::default() };
        change(&mut seal, &mut purpose, &mut now_s);
        assert_eq!(covers(&seal, department, question, &purpose, now_s), may, "{department} {question:?}");
    }

    #[test]
    fn a_seal_may_be_used_only_for_what_its_binding_names() {
        let food = licence(&type_code());
        check(|_, _, _| {}, OWNER, &food, true);
        check(|_, _, _| {}, "civil", &food, true);
        check(|_, _, _| {}, "tax", &food, false);
        check(|s, _, _| s.binding.as_mut().unwrap().enabled = false, OWNER, &food, false);
        check(|s, _, _| s.binding = None, OWNER, &food, false);
        check(|_, p, _| p.item = "331023000002".into(), OWNER, &food, false);
        check(|_, p, _| p.item.clear(), OWNER, &food, false);
        check(|_, _, now| *now = 99, OWNER, &food, false);
        check(|_, _, now| *now = 201, OWNER, &food, false);
        check(|_, _, _| {}, OWNER, &licence(&other_type()), false);
        check(|_, _, _| {}, OWNER, &Question::Match { holder: person(), name: "x".into() }, true);
        check(|_, _, _| {}, OWNER, &Question::Derive(Fact::AgeAtLeast { person: person(), years: 18 }), true);
        let entity = Uscc::make("91", "331099", "MB000012").unwrap();
        let represents = Question::Derive(Fact::Represents { person: person(), entity });
        check(|_, _, _| {}, OWNER, &represents, false);
    }

    #[test]
    fn by_holder_every_type_and_library_must_be_named_and_covered() {
        let holder = |types: &[String], libraries: &[Library]| Question::Holder {
            holder: person(),
            licence_types: types.to_vec(),
            libraries: libraries.to_vec(),
            fields: vec![],
        };
        let known = type_code();
        check(|_, _, _| {}, OWNER, &holder(&[], &[]), false);
        check(|_, _, _| {}, OWNER, &holder(std::slice::from_ref(&known), &[]), true);
        check(|_, _, _| {}, OWNER, &holder(&[known.clone(), other_type()], &[]), false);
        check(|_, _, _| {}, OWNER, &holder(&[], &[Library::Population]), true);
        check(|_, _, _| {}, OWNER, &holder(&[], &[Library::Population, Library::Credit]), false);
    }
}
