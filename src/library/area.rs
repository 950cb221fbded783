//! Features by place: which a point lies in, which lie within a feature. The index finds candidates, the exact predicate decides.
use super::geospatial::{Datum, Geometry, Position, area_scan, cells_for};
use super::look_up::Room;
use super::project::read_fields;
use super::question::{Place, Subject};
use super::record::{Opened, from_store};
use super::schema::Library;
use crate::failure::{Failure, Reason};
use crate::receipt::recorder::Finding;
use crate::store::key_space::{self, IndexKey};
use crate::store::{Direction, KeyRange};
use crate::wire::geometry;
use crate::wire::proto::exchange::v1::Absence;
use crate::wire::proto::exchange::v1::payload::Answer;
use crate::wire::proto::receipt::v1::Outcome;
use std::collections::BTreeSet;

/// Index rows looked at for one question, at most; a wider question is to be asked in parts.
const CANDIDATES_MAX: usize = 20_000;

/// The features of a place, one finding each, in the order of their keys; and where the next page begins.
pub(super) async fn by_place(
    room: &Room<'_>,
    place: &Place,
    kind: &str,
    limit: usize,
    after: Option<[u8; 16]>,
) -> Result<(Vec<Finding>, Option<[u8; 16]>), Failure> {
    let Some(asked) = Asked::of(room, place).await? else {
        return Ok((vec![nothing(room, "FEATURE_UNKNOWN")?], None));
    };
    let mut findings = Vec::new();
    let mut last = None;
    for index_key in asked.candidates(room).await? {
        if after.is_some_and(|after| index_key.0 <= after) {
            continue;
        }
        // An index without its record is damage; a record that was not there at the moment asked about is not.
        let Some(opened) = room.view.at(Library::Geospatial, &index_key, room.moment).await? else {
            if room.view.newest(Library::Geospatial, &index_key).await?.is_none() {
                return Err(Failure::new(Reason::RecordDamaged).because("a feature in the index is missing"));
            }
            continue;
        };
        let Some(candidate) = room.permit.candidate_for(&opened.row.resource) else { continue };
        if !kind.is_empty() && read_fields(&opened)?.text("kind") != Some(kind) {
            continue;
        }
        if !asked.holds(&opened)? {
            continue;
        }
        if findings.len() == limit {
            return Ok((findings, last));
        }
        let subject = Subject::new("feature", opened.row.code.clone());
        findings.push(room.found(&opened, candidate, subject).await?);
        last = Some(index_key.0);
    }
    if findings.is_empty() {
        findings.push(nothing(room, "NO_FEATURE_HERE")?);
    }
    Ok((findings, None))
}

/// What is looked for, as geometry.
enum Asked {
    Point(Position),
    Within(Box<Geometry>, IndexKey),
}

impl Asked {
    /// `None` where the feature to look within is not there, or not granted.
    async fn of(room: &Room<'_>, place: &Place) -> Result<Option<Self>, Failure> {
        match place {
            Place::Point(longitude_e9, latitude_e9) => {
                Ok(Some(Self::Point(Position { longitude_e9: *longitude_e9, latitude_e9: *latitude_e9 })))
            }
            Place::Within(code) => {
                let index_key = room.view.index_key(Library::Geospatial, "feature", code);
                let opened = room.view.at(Library::Geospatial, &index_key, room.moment).await?;
                let granted = opened.filter(|o| room.permit.candidate_for(&o.row.resource).is_some());
                let Some(opened) = granted else { return Ok(None) };
                Ok(geometry_of(&opened)?.map(|geometry| Self::Within(Box::new(geometry), index_key)))
            }
        }
    }

    /// The features whose index rows may name a hit, ascending.
    async fn candidates(&self, room: &Room<'_>) -> Result<BTreeSet<IndexKey>, Failure> {
        let ranges: Vec<KeyRange> = match self {
            Self::Point(position) => {
                cells_for(*position).into_iter().map(|cell| key_space::features_in_cell(cell.number())).collect()
            }
            Self::Within(geometry, _) => {
                let scan = area_scan(geometry);
                // What lies within has its own cover inside this one; ancestors hold only what is larger.
                let families = scan.families.into_iter().map(|(first, last)| KeyRange {
                    start: key_space::features_in_cell(first.number()).start,
                    end: key_space::features_in_cell(last.number()).end,
                });
                families.chain(scan.cells.into_iter().map(|cell| key_space::features_in_cell(cell.number()))).collect()
            }
        };
        let mut found = BTreeSet::new();
        for range in ranges {
            let mut rest = Some(range);
            while let Some(range) = rest {
                let page = room.view.snapshot().scan(range, Direction::Forward, 1_000).await.map_err(from_store)?;
                found.extend(
                    page.rows.iter().filter_map(|(key, _)| key_space::parse_cell(key)).map(|(_, feature)| feature),
                );
                if found.len() > CANDIDATES_MAX {
                    let zh = "范围内要素过多，请分片查询。";
                    return Err(Failure::field("where.within_feature", zh, "Too many features there: ask in parts."));
                }
                rest = page.next;
            }
        }
        Ok(found)
    }

    /// The exact predicate.
    fn holds(&self, opened: &Opened) -> Result<bool, Failure> {
        let Some(geometry) = geometry_of(opened)? else { return Ok(false) };
        Ok(match self {
            Self::Point(position) => geometry.covers(*position),
            Self::Within(outer, itself) => opened.index_key != *itself && geometry.is_within(outer),
        })
    }
}

/// The geometry of a feature record.
fn geometry_of(opened: &Opened) -> Result<Option<Geometry>, Failure> {
    let Some(held) = read_fields(opened)?.geometry else { return Ok(None) };
    let geometry =
        geometry::from_proto(&held).ok_or_else(|| Failure::new(Reason::RecordDamaged).because("a stored geometry"))?;
    Ok(Some(geometry).filter(|g| matches!(g.datum(), Datum::Cgcs2000 | Datum::Wgs84)))
}

/// Nothing there: absent where the load is fresh, else uncertain. A place has no key that coverage could be judged by.
fn nothing(room: &Room<'_>, reason: &str) -> Result<Finding, Failure> {
    let candidate = room.permit.candidates().first();
    let candidate = candidate.ok_or_else(|| Failure::new(Reason::Internal).because("a permit without a grant"))?;
    let (outcome, mut absence): (Outcome, Absence) =
        super::coverage::missing(&candidate.resource, "feature", "", room.moment.day);
    if outcome == Outcome::Absent {
        absence.reason = reason.to_owned();
    }
    Ok(room.finding(outcome, Answer::Absence(absence), None, Vec::new(), Some(candidate.grant.clone())))
}
