//! What the hub says about a licence besides its face: state on a day, successor, whether the issuer's key still stands.
use super::face::{mask_of_face, texts};
use super::row::{IssuerKeyRow, LicenceRow};
use crate::failure::Failure;
use crate::library::codes::CalendarDate;
use crate::library::day;
use crate::library::mask::Mask;
use crate::library::project::project_with;
use crate::library::question::Mode;
use crate::library::record::{Moment, Opened, View};
use crate::library::schema::Library;
use crate::policy::Candidate;
use crate::wire::proto::library::v1::{CompleteLicence, IssuerStanding, LicenceStanding, LicenceState, Record};
use crate::wire::proto::licence::v1::{LicenceContent, LicenceType};

/// The standing of a licence version at a moment.
///
/// # Errors
/// Damage and store faults.
pub async fn standing(
    view: &View,
    row: &LicenceRow,
    opened: &Opened,
    moment: Moment,
) -> Result<LicenceStanding, Failure> {
    let licence = row.licence()?;
    let mut standing = LicenceStanding {
        state: row.state,
        since: day::from_number(row.state_since).map(day::to_proto),
        document_number: row.document_number.clone(),
        successor_licence_id: String::new(),
        issuer_standing: issuer_standing(view, row, moment).await? as i32,
        issuer_certificate_sha256: row.issuer_certificate_sha256.clone(),
        verified_at_ms: row.verified_at_ms,
    };
    if let Some(current) = view.at(Library::Licence, &opened.index_key, moment).await? {
        let newest: LicenceRow = current.body()?;
        if newest.licence_version > row.licence_version {
            standing.state = LicenceState::Lapsed as i32;
            standing.since = day::from_number(current.row.valid_from).map(day::to_proto);
            standing.document_number = newest.document_number.clone();
            standing.successor_licence_id = newest.licence()?.licence_id;
            return Ok(standing);
        }
    }
    if row.state == LicenceState::Valid as i32 {
        by_date(&licence, moment.day, &mut standing);
    }
    Ok(standing)
}

/// Expiry and first valid day are computed, never stored; the last valid day counts whole.
fn by_date(licence: &LicenceContent, on: CalendarDate, standing: &mut LicenceStanding) {
    let from = licence.valid_from.as_ref().and_then(day::from_proto);
    let until = licence.valid_until.as_ref().and_then(day::from_proto);
    if from.is_some_and(|from| on < from) {
        standing.state = LicenceState::NotYetValid as i32;
    } else if let Some(until) = until.filter(|until| on > *until) {
        standing.state = LicenceState::Lapsed as i32;
        standing.since = until.plus_days(1).map(day::to_proto);
    }
}

async fn issuer_standing(view: &View, row: &LicenceRow, moment: Moment) -> Result<IssuerStanding, Failure> {
    let code = hex(&row.issuer_certificate_sha256);
    let index_key = view.index_key(Library::IssuerKey, "issuer_key", &code);
    let told = view.at(Library::IssuerKey, &index_key, Moment { day: view.today(), ..moment }).await?;
    let distrusted = told.map(|o| o.body::<IssuerKeyRow>()).transpose()?.is_some_and(|key| key.distrusted);
    Ok(if distrusted { IssuerStanding::IssuerDistrusted } else { IssuerStanding::Good })
}

/// Fills the licence part of a record: standing always, fields and the complete licence as far as grant and question go.
///
/// # Errors
/// Damage and store faults.
#[expect(clippy::too_many_arguments, reason = "each is one of the things an answer about a licence depends on")]
pub async fn fill(
    view: &View,
    row: &LicenceRow,
    opened: &Opened,
    candidate: &Candidate,
    mode: Mode,
    wanted: &[String],
    whole: bool,
    moment: Moment,
    record: &mut Record,
) -> Result<(), Failure> {
    let licence = row.licence()?;
    let kind = match mode {
        Mode::Masked => view.newest_of(Library::LicenceType, "licence_type", &licence.type_code).await?,
        _ => None,
    };
    let kind: Option<LicenceType> = kind.map(|o| o.body()).transpose()?;
    let mask_of = |name: &str| match Library::Licence.field(name) {
        Some(spec) => spec.mask,
        None => kind.as_ref().map_or(Mask::None, |kind| mask_of_face(kind, name)),
    };
    record.fields = project_with(&texts(&licence), wanted, &candidate.fields, mode, mask_of);
    record.licence = Some(standing(view, row, opened, moment).await?);
    let covered = mode == Mode::Full && candidate.fields.iter().any(|f| f == "complete_licence");
    if whole && covered {
        record.complete_licence =
            Some(CompleteLicence { content: row.content.clone(), signature: row.signature.clone() });
    }
    Ok(())
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(on: (u16, u8, u8), expected: LicenceState) {
        let date = |y, m, d| CalendarDate::new(y, m, d).map(day::to_proto);
        let licence =
            LicenceContent { valid_from: date(2026, 1, 2), valid_until: date(2026, 3, 4), ..LicenceContent::default() };
        let mut standing = LicenceStanding { state: LicenceState::Valid as i32, ..LicenceStanding::default() };
        by_date(&licence, CalendarDate::new(on.0, on.1, on.2).unwrap(), &mut standing);
        assert_eq!(standing.state(), expected, "{on:?}");
    }

    #[test]
    fn the_last_valid_day_counts_whole() {
        check((2026, 1, 1), LicenceState::NotYetValid);
        check((2026, 1, 2), LicenceState::Valid);
        check((2026, 3, 4), LicenceState::Valid);
        check((2026, 3, 5), LicenceState::Lapsed);
    }
}
