//! Reading a grant: does it cover this question, purpose, item, field, day and hour?
use crate::library::codes::CalendarDate;
use crate::library::day;
use crate::library::question::{Mode, Question};
use crate::library::record::View;
use crate::library::schema::Library;
use crate::store::key_space::IndexKey;
use crate::wire::proto::catalogue::v1::{Grant, GrantMode, GrantState};
use crate::wire::proto::receipt::v1::Purpose;

/// Why a grant does not cover a question. For our own log and for tests; the caller only learns that no grant does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantFault {
    /// Applied for, refused or withdrawn.
    NotInForce,
    /// Before or after its term.
    OutsideTerm,
    /// Outside its hours.
    OutsideHours,
    /// The kind of question.
    Kind,
    /// The derived fact.
    Fact,
    /// The purpose.
    Purpose,
    /// The item.
    Item,
    /// A field it does not open.
    Field,
    /// More than its answer mode.
    Mode,
}

/// The scope under which all grants of a system are filed that questions may look at.
pub const EVERY_SCOPE: &str = "*";

/// Where the grants of a system for a scope are filed: those applied for and those given, not those that ended.
#[must_use]
pub fn scope_index(view: &View, system: &str, scope: &str) -> IndexKey {
    view.index_key(Library::Grant, "scope", &format!("{system} {scope}"))
}

/// Whether the grant covers the question for the purpose at `now_ms`.
///
/// # Errors
/// The first thing that does not fit.
pub fn covers(grant: &Grant, question: &Question, purpose: &Purpose, now_ms: u64) -> Result<(), GrantFault> {
    if grant.state() != GrantState::Granted {
        return Err(GrantFault::NotInForce);
    }
    if !term_covers(grant, day::of_ms(now_ms)) {
        return Err(GrantFault::OutsideTerm);
    }
    if !hours_cover(grant, day::hour_of_ms(now_ms)) {
        return Err(GrantFault::OutsideHours);
    }
    if !grant.kinds().any(|kind| kind == question.kind()) {
        return Err(GrantFault::Kind);
    }
    if question.fact().is_some_and(|fact| !grant.facts().any(|granted| granted == fact)) {
        return Err(GrantFault::Fact);
    }
    purpose_covers(grant, purpose)?;
    fields_cover(grant, question)
}

/// Whether a day lies in the grant's term; both ends count whole.
#[must_use]
pub fn term_covers(grant: &Grant, today: CalendarDate) -> bool {
    let from = grant.term_from.as_ref().and_then(day::from_proto);
    let until = grant.term_until.as_ref().and_then(day::from_proto);
    from.is_none_or(|from| from <= today) && until.is_none_or(|until| today <= until)
}

/// Whether an hour lies in the grant's hours, both counted whole; 22 to 5 runs over midnight.
fn hours_cover(grant: &Grant, hour: u32) -> bool {
    let (from, until) = (grant.hour_from, grant.hour_until);
    match (from, until) {
        (0, 0) => true,
        _ if from <= until => (from..=until).contains(&hour),
        _ => hour >= from || hour <= until,
    }
}

fn purpose_covers(grant: &Grant, purpose: &Purpose) -> Result<(), GrantFault> {
    let mut of_kind = grant.purposes.iter().filter(|allowed| allowed.kind == purpose.kind).peekable();
    if of_kind.peek().is_none() {
        return Err(GrantFault::Purpose);
    }
    let item = of_kind.any(|allowed| allowed.items.is_empty() || allowed.items.contains(&purpose.item));
    if item { Ok(()) } else { Err(GrantFault::Item) }
}

fn fields_cover(grant: &Grant, question: &Question) -> Result<(), GrantFault> {
    // By holder, each record gives what its own grant covers; elsewhere every field named must be covered.
    let Question::LookUp { complete, mode, .. } = question else {
        let all =
            matches!(question, Question::Holder { .. }) || question.fields().iter().all(|f| grant.fields.contains(f));
        return if all { Ok(()) } else { Err(GrantFault::Field) };
    };
    if question.fields().iter().any(|field| !grant.fields.contains(field)) {
        return Err(GrantFault::Field);
    }
    if *complete && (!grant.fields.iter().any(|f| f == "complete_licence") || mode_of(grant) != Mode::Full) {
        return Err(GrantFault::Field);
    }
    if mode.is_some_and(|asked| asked > mode_of(grant)) {
        return Err(GrantFault::Mode);
    }
    if mode_of(grant) == Mode::YesNo && !question.fields().is_empty() {
        return Err(GrantFault::Mode);
    }
    Ok(())
}

/// How far a grant opens fields; what it does not say is the least.
#[must_use]
pub(super) fn mode_of(grant: &Grant) -> Mode {
    match grant.mode() {
        GrantMode::Full => Mode::Full,
        GrantMode::Masked => Mode::Masked,
        GrantMode::YesNo | GrantMode::Unspecified => Mode::YesNo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::codes::HolderCode;
    use crate::library::question::RecordKey;
    use crate::wire::proto::catalogue::v1::{AllowedPurpose, QuestionKind};
    use crate::wire::proto::receipt::v1::PurposeKind;

    const NOON: u64 = 1_767_240_000_000; // 2026-01-01T12:00+08:00

    fn grant() -> Grant {
        Grant {
            state: GrantState::Granted as i32,
            kinds: vec![QuestionKind::LookUp as i32],
            fields: vec!["name".into(), "address".into()],
            mode: GrantMode::Full as i32,
            purposes: vec![AllowedPurpose { kind: PurposeKind::Handling as i32, items: vec!["330101".into()] }],
            term_from: Some(day::to_proto(CalendarDate::new(2026, 1, 1).unwrap())),
            term_until: Some(day::to_proto(CalendarDate::new(2026, 1, 1).unwrap())),
            ..Grant::default()
        }
    }

    fn check(
        change: impl FnOnce(&mut Grant, &mut Purpose, &mut u64),
        fields: &[&str],
        expected: Result<(), GrantFault>,
    ) {
        let (mut grant, mut now) = (grant(), NOON);
        let mut purpose = Purpose { kind: PurposeKind::Handling as i32, item: "330101".into(), ..Purpose::default() };
        change(&mut grant, &mut purpose, &mut now);
        let key = RecordKey::Person(HolderCode::parse("111", "11010519491231002X").unwrap());
        let fields = fields.iter().map(|f| (*f).to_owned()).collect();
        let question = Question::LookUp { key, fields, complete: false, mode: None };
        assert_eq!(covers(&grant, &question, &purpose, now), expected);
    }

    #[test]
    fn a_grant_covers_only_what_it_names() {
        check(|_, _, _| {}, &["name"], Ok(()));
        check(|g, _, _| g.state = GrantState::Withdrawn as i32, &["name"], Err(GrantFault::NotInForce));
        check(|_, _, now| *now += 86_400_000, &["name"], Err(GrantFault::OutsideTerm));
        check(|g, _, _| (g.hour_from, g.hour_until) = (8, 11), &["name"], Err(GrantFault::OutsideHours));
        check(|g, _, _| (g.hour_from, g.hour_until) = (22, 12), &["name"], Ok(()));
        check(|g, _, _| g.kinds = vec![QuestionKind::Match as i32], &["name"], Err(GrantFault::Kind));
        check(|_, p, _| p.kind = PurposeKind::Supervision as i32, &["name"], Err(GrantFault::Purpose));
        check(|_, p, _| p.item = "other".into(), &["name"], Err(GrantFault::Item));
        check(|_, _, _| {}, &["name", "phone"], Err(GrantFault::Field));
        check(|g, _, _| g.mode = GrantMode::YesNo as i32, &["name"], Err(GrantFault::Mode));
        check(|g, _, _| g.mode = GrantMode::YesNo as i32, &[], Ok(()));
    }
}
