//! A question after the edge has parsed it: codes are types, days exist, the purpose is complete.
use super::codes::{CalendarDate, Division, HolderCode, LicenceId, Uscc};
use super::schema::Library;
use crate::wire::proto::catalogue::v1::{FactKind, QuestionKind};
use crate::wire::proto::receipt::v1::{CallerSignature, Kind, Operator, Purpose};
use bytes::Bytes;

/// One question with what every question carries.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What kind of statement its answer makes.
    pub kind: Kind,
    /// The question as sent: what the payload holds.
    pub bytes: Bytes,
    /// Why.
    pub purpose: Purpose,
    /// Who sits behind the system, as stated.
    pub operator: Operator,
    /// As of when.
    pub as_of: AsOf,
    /// A checkpoint the caller has seen; empty for none.
    pub seen: Bytes,
    /// The caller's signature over the question.
    pub caller_signature: Option<CallerSignature>,
    /// The question itself.
    pub question: Question,
    /// The seal the answer is to bear as well.
    pub seal: Option<String>,
}

/// A point in the hub's two times; both absent means now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AsOf {
    /// What stood on this day.
    pub valid_on: Option<CalendarDate>,
    /// What the hub held then.
    pub recorded: Option<Recorded>,
}

/// A point in recorded time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// When the log had this many entries.
    Position(u64),
    /// At the end of this second, Unix time.
    Second(u64),
}

/// How far a value is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Existence and standing only.
    YesNo,
    /// Masked.
    Masked,
    /// In full.
    Full,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// One record by its key.
    LookUp {
        /// The key.
        key: RecordKey,
        /// The fields wanted.
        fields: Vec<String>,
        /// The complete signed licence wanted.
        complete: bool,
        /// Less than the grant gives.
        mode: Option<Mode>,
    },
    /// Do name and code belong together?
    Match {
        /// The code.
        holder: HolderCode,
        /// The name.
        name: String,
    },
    /// A derived fact.
    Derive(Fact),
    /// Everything of one holder.
    Holder {
        /// The holder.
        holder: HolderCode,
        /// Only these types; empty for all granted.
        licence_types: Vec<String>,
        /// The libraries wanted.
        libraries: Vec<Library>,
        /// The fields wanted.
        fields: Vec<String>,
    },
    /// Features by place.
    Area {
        /// Where.
        place: Place,
        /// Only this kind; empty for all.
        kind: String,
        /// The fields wanted.
        fields: Vec<String>,
        /// At most so many, 1 to 200.
        limit: usize,
        /// Features after this key of the previous page.
        after: Option<[u8; 16]>,
    },
}

/// Where to look for features.
#[derive(Clone, Debug)]
pub enum Place {
    /// 1e-9 degree, longitude then latitude.
    Point(i64, i64),
    /// Inside this feature.
    Within(String),
}

/// A fact that is answered yes, no or unknown.
#[derive(Clone, Debug)]
pub enum Fact {
    /// Age reached.
    AgeAtLeast {
        /// The person.
        person: HolderCode,
        /// Years.
        years: u16,
    },
    /// Licence valid on a day.
    LicenceValidOn {
        /// The licence.
        licence: LicenceId,
        /// The day; today where absent.
        day: Option<CalendarDate>,
    },
    /// On no list.
    NotListedOn {
        /// Whom it is about.
        subject: HolderCode,
        /// The list.
        category: String,
        /// The day; today where absent.
        day: Option<CalendarDate>,
    },
    /// Registered in a division.
    RegisteredIn {
        /// Person or entity.
        subject: HolderCode,
        /// The division.
        division: Division,
    },
    /// Legal representative.
    Represents {
        /// The person.
        person: HolderCode,
        /// The entity.
        entity: Uscc,
    },
}

/// The key of one record.
#[derive(Clone, Debug)]
pub enum RecordKey {
    /// Population.
    Person(HolderCode),
    /// Legal entity.
    Entity(Uscc),
    /// Credit.
    Credit {
        /// Whom it is about.
        subject: HolderCode,
        /// The source's number.
        record_id: String,
    },
    /// Geospatial.
    Feature(String),
    /// Licence.
    Licence(LicenceId),
}

/// Whom a statement is about: type and canonical code, as `subject_ref` hashes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Holder code type, or `licence`, `feature`, `credit`, `grant`, `system`, `resource`.
    pub code_type: String,
    /// Canonical code.
    pub code: String,
}

impl Subject {
    /// A subject of this type and code.
    pub fn new(code_type: impl Into<String>, code: impl Into<String>) -> Self {
        Self { code_type: code_type.into(), code: code.into() }
    }
}

impl From<&HolderCode> for Subject {
    fn from(holder: &HolderCode) -> Self {
        Self::new(holder.code_type().as_str(), holder.code())
    }
}

impl RecordKey {
    /// The library that keeps it.
    #[must_use]
    pub fn library(&self) -> Library {
        match self {
            Self::Person(_) => Library::Population,
            Self::Entity(_) => Library::LegalEntity,
            Self::Credit { .. } => Library::Credit,
            Self::Feature(_) => Library::Geospatial,
            Self::Licence(_) => Library::Licence,
        }
    }

    /// Type and code as the record's row is keyed. A licence is keyed by its serial: its versions share one record.
    #[must_use]
    pub fn row_key(&self) -> Subject {
        match self {
            Self::Person(holder) => holder.into(),
            Self::Entity(uscc) => Subject::new("001", uscc.as_str()),
            Self::Credit { subject, record_id } => credit_key(subject, record_id),
            Self::Feature(code) => Subject::new("feature", code.as_str()),
            Self::Licence(id) => Subject::new("licence", licence_series(id)),
        }
    }

    /// Type and code that a resource's coverage is judged by: of a credit record, whom it is about.
    #[must_use]
    pub fn coverage_key(&self) -> Subject {
        match self {
            Self::Credit { subject, .. } => subject.into(),
            other => other.row_key(),
        }
    }

    /// Whom the statement is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Licence(id) => Subject::new("licence", id.to_string()),
            Self::Credit { subject, .. } => subject.into(),
            other => other.row_key(),
        }
    }

    /// What grants for it are filed under; see [`scope_of`].
    #[must_use]
    pub fn scope(&self) -> String {
        match self {
            Self::Licence(id) => scope_of(Library::Licence, id.type_code()),
            other => scope_of(other.library(), ""),
        }
    }
}

/// The key of a credit record: subject and the source's number.
#[must_use]
pub fn credit_key(subject: &HolderCode, record_id: &str) -> Subject {
    Subject::new("credit", format!("{} {} {record_id}", subject.code_type().as_str(), subject.code()))
}

/// The part of a licence identifier that all its versions share: type, issuer, serial.
#[must_use]
pub fn licence_series(id: &LicenceId) -> String {
    format!("{}.{}.{}", id.type_code(), id.issuer(), id.serial())
}

/// What grants are filed under: the library, and for licences the type.
#[must_use]
pub fn scope_of(library: Library, licence_type: &str) -> String {
    if library == Library::Licence { format!("licence:{licence_type}") } else { library.code().to_owned() }
}

impl Question {
    /// The kind a grant must allow.
    #[must_use]
    pub fn kind(&self) -> QuestionKind {
        match self {
            Self::LookUp { .. } => QuestionKind::LookUp,
            Self::Match { .. } => QuestionKind::Match,
            Self::Derive(_) => QuestionKind::Derive,
            Self::Holder { .. } => QuestionKind::Holder,
            Self::Area { .. } => QuestionKind::Area,
        }
    }

    /// The fact a grant must allow, for derived facts.
    #[must_use]
    pub fn fact(&self) -> Option<FactKind> {
        match self {
            Self::Derive(fact) => Some(match fact {
                Fact::AgeAtLeast { .. } => FactKind::AgeAtLeast,
                Fact::LicenceValidOn { .. } => FactKind::LicenceValidOn,
                Fact::NotListedOn { .. } => FactKind::NotListedOn,
                Fact::RegisteredIn { .. } => FactKind::RegisteredIn,
                Fact::Represents { .. } => FactKind::Represents,
            }),
            _ => None,
        }
    }

    /// What the grant is filed under; `None` where every grant of the system may serve (by holder).
    #[must_use]
    pub fn scope(&self) -> Option<String> {
        match self {
            Self::LookUp { key, .. } => Some(key.scope()),
            Self::Match { holder, .. } => Some(scope_of(base_library(holder), "")),
            Self::Derive(fact) => Some(match fact {
                Fact::AgeAtLeast { .. } => scope_of(Library::Population, ""),
                Fact::LicenceValidOn { licence, .. } => scope_of(Library::Licence, licence.type_code()),
                Fact::NotListedOn { .. } => scope_of(Library::Credit, ""),
                Fact::RegisteredIn { subject, .. } => scope_of(base_library(subject), ""),
                Fact::Represents { .. } => scope_of(Library::LegalEntity, ""),
            }),
            Self::Holder { .. } => None,
            Self::Area { .. } => Some(scope_of(Library::Geospatial, "")),
        }
    }

    /// Whom a refusal or an empty result is about. Areas have no subject.
    #[must_use]
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Self::LookUp { key, .. } => Some(key.subject()),
            Self::Match { holder, .. } | Self::Holder { holder, .. } => Some(holder.into()),
            Self::Derive(fact) => Some(match fact {
                Fact::AgeAtLeast { person, .. } | Fact::Represents { person, .. } => person.into(),
                Fact::LicenceValidOn { licence, .. } => Subject::new("licence", licence.to_string()),
                Fact::NotListedOn { subject, .. } | Fact::RegisteredIn { subject, .. } => subject.into(),
            }),
            Self::Area { .. } => None,
        }
    }

    /// The fields the grant must cover.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        match self {
            Self::LookUp { fields, .. } | Self::Area { fields, .. } | Self::Holder { fields, .. } => fields,
            Self::Match { .. } | Self::Derive(_) => &[],
        }
    }
}

/// The library that holds a holder's base record.
#[must_use]
pub fn base_library(holder: &HolderCode) -> Library {
    if holder.code_type().is_person() { Library::Population } else { Library::LegalEntity }
}
