//! Answers to questions about records: by key, by holder, match, derived facts. Places are in [`super::area`].
use super::codes::{CalendarDate, HolderCode};
use super::coverage::missing;
use super::licence::{self, LicenceRow};
use super::name::{self, NameMatch};
use super::project::{project, read_fields};
use super::question::{Asked, Fact, Mode, Question, RecordKey, Subject, base_library, licence_series};
use super::record::{Fields, LinkKind, Moment, Opened, View};
use super::schema::Library;
use super::verified::Verified;
use super::{area, day};
use crate::failure::{Failure, Reason};
use crate::policy::{Candidate, Permit};
use crate::receipt::recorder::Finding;
use crate::wire::proto::catalogue::v1::Resource;
use crate::wire::proto::exchange::v1::payload::Answer;
use crate::wire::proto::exchange::v1::{Absence, DeriveAnswer, MatchAnswer, Truth};
use crate::wire::proto::library::v1::{LicenceState, Provenance, Record};
use crate::wire::proto::receipt::v1::{GrantRef, Outcome, RecordVersion};
use std::sync::Arc;

/// Records of one holder that are looked at for one question; where there are more, the answer says so.
const LINKS_MAX: usize = 10_000;
/// Records one answer by holder may give.
pub(super) const ITEMS_MAX: usize = 200;

/// Answers a question under its permit: one finding an entry, at least one.
///
/// # Errors
/// [`Reason::RecordDamaged`] where a row does not open, or an index leads to no record; never ABSENT then.
pub async fn answer(view: &View, permit: &Permit, asked: &Asked, moment: Moment) -> Result<Answered, Failure> {
    let room = Room { view, permit, asked, moment };
    let (findings, next) = match &asked.question {
        Question::LookUp { key, .. } => (vec![room.by_key(key).await?], None),
        Question::Match { holder, name } => (vec![room.matches(holder, name).await?], None),
        Question::Derive(fact) => (vec![room.derives(fact).await?], None),
        Question::Holder { holder, libraries, .. } => room.by_holder(holder, libraries).await?,
        Question::Area { place, kind, limit, after, .. } => area::by_place(&room, place, kind, *limit, *after).await?,
    };
    Ok(Answered { findings: Verified::new(findings), next })
}

/// The findings of a question, and where a listing goes on.
pub struct Answered {
    /// One an entry.
    pub findings: Verified<Vec<Finding>>,
    /// The last key of a page that has more behind it.
    pub next: Option<[u8; 16]>,
}

/// A question being answered.
pub(super) struct Room<'a> {
    pub(super) view: &'a View,
    pub(super) permit: &'a Permit,
    pub(super) asked: &'a Asked,
    pub(super) moment: Moment,
}

impl Room<'_> {
    /// A finding of this question.
    pub(super) fn finding(
        &self,
        outcome: Outcome,
        answer: Answer,
        subject: Option<Subject>,
        records: Vec<RecordVersion>,
        grant: Option<GrantRef>,
    ) -> Finding {
        Finding {
            kind: self.asked.kind,
            question: self.asked.bytes.clone(),
            outcome,
            answer,
            subject,
            records,
            grant,
            purpose: self.asked.purpose.clone(),
            operator: self.asked.operator.clone(),
            caller_signature: self.asked.caller_signature.clone(),
        }
    }

    fn first_candidate(&self) -> Result<&Candidate, Failure> {
        self.permit
            .candidates()
            .first()
            .ok_or_else(|| Failure::new(Reason::Internal).because("a permit without a grant"))
    }

    /// Nothing is held under a key: says which kind of nothing.
    pub(super) async fn nothing(&self, key: &Subject, subject: Option<Subject>) -> Result<Finding, Failure> {
        let (outcome, absence) = self.missing_of(key).await?;
        let grant = self.permit.candidate_for(&absence.resource).or(self.permit.candidates().first());
        let grant = grant.map(|candidate| candidate.grant.clone());
        Ok(self.finding(outcome, Answer::Absence(absence), subject, Vec::new(), grant))
    }

    /// Which kind of nothing, over all resources that are granted: what one of them can say counts before what another does not
    /// cover, and doubt before certainty. Loads are judged as of the recorded position asked about, and today.
    async fn missing_of(&self, key: &Subject) -> Result<(Outcome, Absence), Failure> {
        let mut best: Option<(u8, Outcome, Absence)> = None;
        for candidate in self.permit.candidates() {
            let mut resource = candidate.resource.clone();
            if self.moment.position.is_some() {
                let code = if resource.view_of.is_empty() { &resource.code } else { &resource.view_of };
                let index_key = self.view.index_key(Library::Resource, "resource", code);
                let then = Moment { day: self.view.today(), ..self.moment };
                let then = self.view.at(Library::Resource, &index_key, then).await?;
                let then: Option<Resource> = then.map(|opened| opened.body()).transpose()?;
                Arc::make_mut(&mut resource).last_complete_load = then.and_then(|r| r.last_complete_load);
            }
            let (outcome, absence) = missing(&resource, &key.code_type, &key.code, self.view.today());
            let rank = match outcome {
                Outcome::Uncertain => 0,
                Outcome::Absent => 1,
                _ => 2,
            };
            if best.as_ref().is_none_or(|(least, ..)| rank < *least) {
                best = Some((rank, outcome, absence));
            }
        }
        let best = best.ok_or_else(|| Failure::new(Reason::Internal).because("a permit without a grant"))?;
        Ok((best.1, best.2))
    }

    async fn by_key(&self, key: &RecordKey) -> Result<Finding, Failure> {
        let row_key = key.row_key();
        let index_key = self.view.index_key(key.library(), &row_key.code_type, &row_key.code);
        let found = match key {
            RecordKey::Licence(id) => {
                licence::version_at(self.view, &index_key, Some(id.version()), self.moment).await?
            }
            _ => self.view.at(key.library(), &index_key, self.moment).await?,
        };
        // A record of a resource that is not granted is not this resource's: absent there, whoever holds it elsewhere.
        let found = found.and_then(|opened| self.permit.candidate_for(&opened.row.resource).map(|c| (opened, c)));
        match found {
            Some((opened, candidate)) => self.found(&opened, candidate, key.subject()).await,
            None => self.nothing(&key.coverage_key(), Some(key.subject())).await,
        }
    }

    /// A record that is there, cut to the grant and to what was asked.
    pub(super) async fn found(
        &self,
        opened: &Opened,
        candidate: &Candidate,
        subject: Subject,
    ) -> Result<Finding, Failure> {
        let mode = match &self.asked.question {
            Question::LookUp { mode: Some(asked), .. } => candidate.mode.min(*asked),
            _ => candidate.mode,
        };
        let wanted = self.asked.question.fields();
        let mut record = Record {
            library: i32::from(opened.library.number()),
            version: opened.version,
            provenance: Some(self.provenance(opened).await?),
            quality_flags: opened.row.quality_flags.clone(),
            ..Record::default()
        };
        if opened.library == Library::Licence {
            let row: LicenceRow = opened.body()?;
            let whole = matches!(self.asked.question, Question::LookUp { complete: true, .. });
            licence::fill(self.view, &row, opened, candidate, mode, wanted, whole, self.moment, &mut record).await?;
        } else {
            let held = read_fields(opened)?;
            record.fields =
                project(opened.library, &held.fields, wanted, &candidate.fields, mode, &candidate.resource.fields);
            let geometry = wanted.iter().chain(candidate.fields.iter()).filter(|f| *f == "geometry").count() == 2;
            record.geometry = held.geometry.filter(|_| geometry && mode != Mode::YesNo);
        }
        let grant = Some(candidate.grant.clone());
        Ok(self.finding(Outcome::Found, Answer::Record(record), Some(subject), vec![opened.record_version()], grant))
    }

    async fn provenance(&self, opened: &Opened) -> Result<Provenance, Failure> {
        let source = opened.row.source.clone().unwrap_or_default();
        let stamp = self.view.stamp(opened).await?;
        Ok(Provenance {
            department: source.department,
            system: source.system,
            batch: source.batch,
            source_time_ms: source.source_time_ms,
            recorded_index: stamp.map_or(0, |s| s.index),
            recorded_time_s: stamp.map_or(0, |s| s.time_s),
            age_s: self.view.now_ms.saturating_sub(source.source_time_ms) / 1_000,
        })
    }

    /// Everything of one holder: base record, licences, credit records; one finding each.
    async fn by_holder(
        &self,
        holder: &HolderCode,
        libraries: &[Library],
    ) -> Result<(Vec<Finding>, Option<[u8; 16]>), Failure> {
        let mut findings = Vec::new();
        let mut next = None;
        let base = base_library(holder);
        if libraries.contains(&base) {
            let opened = self.view.at(base, &self.key_of(base, holder), self.moment).await?;
            if let Some((opened, candidate)) =
                opened.and_then(|o| self.permit.candidate_for(&o.row.resource).map(|c| (o, c)))
            {
                findings.push(self.found(&opened, candidate, holder.into()).await?);
            }
        }
        let linked = [Library::Licence, Library::Credit].into_iter();
        for library in linked.filter(|l| libraries.contains(l) || (libraries.is_empty() && *l == Library::Licence)) {
            let from = self.view.index_key(library, holder.code_type().as_str(), holder.code());
            let links = self.view.links(LinkKind::Holder, &from, Some(library), None, LINKS_MAX + 1).await?;
            if links.len() > LINKS_MAX {
                next = links.last().map(|(_, index_key)| index_key.0); // more than are looked at: the answer says so
            }
            for (_, index_key) in links.into_iter().take(LINKS_MAX) {
                let opened = match library {
                    Library::Licence => licence::version_at(self.view, &index_key, None, self.moment).await?,
                    _ => self.view.at(library, &index_key, self.moment).await?,
                };
                let granted = opened.and_then(|o| self.permit.candidate_for(&o.row.resource).map(|c| (o, c)));
                let Some((opened, candidate)) = granted else { continue };
                if library == Library::Licence && !licence::held_by(&opened.body::<LicenceRow>()?, holder)? {
                    continue; // an earlier version was theirs, this one is not
                }
                if findings.len() == ITEMS_MAX {
                    next = Some(index_key.0);
                    break;
                }
                findings.push(self.found(&opened, candidate, holder.into()).await?);
            }
        }
        if findings.is_empty() {
            let key = Subject::from(holder);
            findings.push(self.nothing(&key, Some(key.clone())).await?);
        }
        Ok((findings, next))
    }

    fn key_of(&self, library: Library, holder: &HolderCode) -> crate::store::key_space::IndexKey {
        self.view.index_key(library, holder.code_type().as_str(), holder.code())
    }

    /// The base record of a holder, where the permit covers its resource.
    async fn base_record(&self, holder: &HolderCode) -> Result<Option<(Opened, Fields)>, Failure> {
        let library = base_library(holder);
        let opened = self.view.at(library, &self.key_of(library, holder), self.moment).await?;
        let granted = opened.filter(|o| self.permit.candidate_for(&o.row.resource).is_some());
        granted.map(|opened| read_fields(&opened).map(|fields| (opened, fields))).transpose()
    }

    async fn matches(&self, holder: &HolderCode, name: &str) -> Result<Finding, Failure> {
        let subject = Subject::from(holder);
        let candidate = self.first_candidate()?;
        let grant = Some(candidate.grant.clone());
        let say =
            |truth: Truth, reason: &str| Answer::Match(MatchAnswer { truth: truth as i32, reason: reason.to_owned() });
        // A name that cannot be compared is unknown before anything is looked up, or it would tell whether there is somebody.
        if let Err(doubt) = name::fold(name) {
            let answer = say(Truth::Unknown, doubt.name());
            return Ok(self.finding(Outcome::Found, answer, Some(subject), Vec::new(), grant));
        }
        let held = self.base_record(holder).await?;
        let compared = held.as_ref().map(|(_, fields)| name::compare(fields.text("name").unwrap_or_default(), name));
        let (outcome, answer, records) = match (held, compared) {
            // Only a yes rests on a record that may be named.
            (Some((opened, _)), Some(NameMatch::Yes)) => {
                (Outcome::Found, say(Truth::Yes, ""), vec![opened.record_version()])
            }
            (_, Some(NameMatch::Unknown(doubt))) => (Outcome::Found, say(Truth::Unknown, doubt.name()), Vec::new()),
            // Nobody with that code and a wrong name look alike in outcome and answer: NO where a fresh load covers the code,
            // else UNKNOWN.
            _ => match self.missing_of(&subject).await? {
                (Outcome::Absent, _) => (Outcome::Found, say(Truth::No, ""), Vec::new()),
                (other, absence) => (other, say(Truth::Unknown, &absence.reason), Vec::new()),
            },
        };
        Ok(self.finding(outcome, answer, Some(subject), records, grant))
    }

    async fn derives(&self, fact: &Fact) -> Result<Finding, Failure> {
        let candidate = self.first_candidate()?;
        let judged = self.judge(fact).await?;
        let answer = Answer::Derive(DeriveAnswer { truth: judged.truth as i32, reason: judged.reason });
        let subject = self.asked.question.subject();
        Ok(self.finding(judged.outcome, answer, subject, judged.records, Some(candidate.grant.clone())))
    }

    async fn judge(&self, fact: &Fact) -> Result<Judged, Failure> {
        match fact {
            Fact::AgeAtLeast { person, years } => self.age_at_least(person, *years).await,
            Fact::LicenceValidOn { licence: id, day } => self.licence_valid_on(id, *day).await,
            Fact::NotListedOn { subject, category, day } => self.not_listed_on(subject, category, *day).await,
            Fact::RegisteredIn { subject, division } => {
                let Some((opened, fields)) = self.base_record(subject).await? else {
                    return Ok(Judged::of_missing(self.missing_of(&subject.into()).await?));
                };
                let registered = fields.text("division").map(|text| text.starts_with(division.as_str()));
                Ok(Judged::known(registered, "DIVISION_NOT_HELD", opened.record_version()))
            }
            Fact::Represents { person, entity } => {
                let key = Subject::new("001", entity.as_str());
                let index_key = self.view.index_key(Library::LegalEntity, &key.code_type, &key.code);
                let opened = self.view.at(Library::LegalEntity, &index_key, self.moment).await?;
                let Some(opened) = opened.filter(|o| self.permit.candidate_for(&o.row.resource).is_some()) else {
                    return Ok(Judged::of_missing(self.missing_of(&key).await?));
                };
                let fields = read_fields(&opened)?;
                let code_type = fields.text("legal_representative_code_type").unwrap_or("111");
                let represents = fields
                    .text("legal_representative_code")
                    .map(|code| code == person.code() && code_type == person.code_type().as_str());
                Ok(Judged::known(represents, "REPRESENTATIVE_NOT_HELD", opened.record_version()))
            }
        }
    }

    async fn age_at_least(&self, person: &HolderCode, years: u16) -> Result<Judged, Failure> {
        let Some((opened, fields)) = self.base_record(person).await? else {
            return Ok(Judged::of_missing(self.missing_of(&person.into()).await?));
        };
        let birth = fields.text("birth_date").and_then(|text| CalendarDate::parse(text).ok());
        // The age rises at 00:00 of the birthday; who was born on 29 February, on 1 March of a common year.
        let reached = birth.and_then(|birth| birth.plus_years(years)).map(|day| day <= self.moment.day);
        Ok(Judged::known(reached, "BIRTH_DATE_NOT_HELD", opened.record_version()))
    }

    async fn licence_valid_on(
        &self,
        id: &super::codes::LicenceId,
        on: Option<CalendarDate>,
    ) -> Result<Judged, Failure> {
        let moment = Moment { day: on.unwrap_or(self.moment.day), ..self.moment };
        let key = Subject::new("licence", licence_series(id));
        let index_key = self.view.index_key(Library::Licence, &key.code_type, &key.code);
        let opened = licence::version_at(self.view, &index_key, Some(id.version()), moment).await?;
        let Some(opened) = opened.filter(|o| self.permit.candidate_for(&o.row.resource).is_some()) else {
            return Ok(Judged::of_missing(self.missing_of(&key).await?));
        };
        let row: LicenceRow = opened.body()?;
        let standing = licence::standing(self.view, &row, &opened, moment).await?;
        if standing.issuer_standing() == crate::wire::proto::library::v1::IssuerStanding::IssuerDistrusted {
            return Ok(Judged {
                outcome: Outcome::Found,
                truth: Truth::Unknown,
                reason: "ISSUER_DISTRUSTED".into(),
                records: vec![opened.record_version()],
            });
        }
        Ok(Judged::known(Some(standing.state() == LicenceState::Valid), "", opened.record_version()))
    }

    async fn not_listed_on(
        &self,
        subject: &HolderCode,
        category: &str,
        on: Option<CalendarDate>,
    ) -> Result<Judged, Failure> {
        let day = on.unwrap_or(self.moment.day);
        let from = self.view.index_key(Library::Credit, subject.code_type().as_str(), subject.code());
        let links = self.view.links(LinkKind::Holder, &from, Some(Library::Credit), None, LINKS_MAX + 1).await?;
        if links.len() > LINKS_MAX {
            let reason = "TOO_MANY_RECORDS".to_owned();
            return Ok(Judged { outcome: Outcome::Uncertain, truth: Truth::Unknown, reason, records: Vec::new() });
        }
        let mut records = Vec::new();
        for (_, index_key) in links {
            let Some(opened) = self.view.at(Library::Credit, &index_key, Moment { day, ..self.moment }).await? else {
                continue;
            };
            if self.permit.candidate_for(&opened.row.resource).is_none() {
                continue;
            }
            let fields = read_fields(&opened)?;
            // One listing decides; naming them all would tell how many there are.
            if fields.text("category") == Some(category) && listed(&fields, day) {
                records.push(opened.record_version());
                break;
            }
        }
        if !records.is_empty() {
            return Ok(Judged { outcome: Outcome::Found, truth: Truth::No, reason: String::new(), records });
        }
        // On no list that we hold: a NO is only as good as the load behind it.
        let key = Subject::from(subject);
        let (outcome, absence) = self.missing_of(&key).await?;
        Ok(match outcome {
            Outcome::Absent => Judged { outcome: Outcome::Found, truth: Truth::Yes, reason: String::new(), records },
            other => Judged { outcome: other, truth: Truth::Unknown, reason: absence.reason, records },
        })
    }
}

/// Whether a credit record is in force on a day: begun, not ended, not repaired.
fn listed(fields: &Fields, on: CalendarDate) -> bool {
    let date = |name: &str| fields.text(name).and_then(|text| CalendarDate::parse(text).ok());
    let begun = date("effective_date").is_none_or(|from| from <= on);
    let ended = date("end_date").is_some_and(|until| until < on);
    let repaired = matches!(fields.text("repaired"), Some("true" | "1" | "yes"));
    begun && !ended && !repaired
}

/// A fact as judged.
struct Judged {
    outcome: Outcome,
    truth: Truth,
    reason: String,
    records: Vec<RecordVersion>,
}

impl Judged {
    /// The record is there; the field may not be.
    fn known(truth: Option<bool>, unknown: &str, record: RecordVersion) -> Self {
        let (truth, reason) = match truth {
            Some(true) => (Truth::Yes, ""),
            Some(false) => (Truth::No, ""),
            None => (Truth::Unknown, unknown),
        };
        Self { outcome: Outcome::Found, truth, reason: reason.to_owned(), records: vec![record] }
    }

    /// There is no record: unknown, and why.
    fn of_missing((outcome, absence): (Outcome, Absence)) -> Self {
        Self { outcome, truth: Truth::Unknown, reason: absence.reason, records: Vec::new() }
    }
}

/// The moment a question looks at, given the position its recorded time stands for.
#[must_use]
pub fn moment(view: &View, valid_on: Option<CalendarDate>, position: Option<u64>) -> Moment {
    Moment { day: valid_on.unwrap_or_else(|| day::of_ms(view.now_ms)), position }
}
