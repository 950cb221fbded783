//! A mix shaped like a county: every system asks what its own grants are for, as often as its kind of system does.
//!
//! The demand model: windows and settlement ask most, enforcement and administration least; a call is one material of a case, a whole
//! package of five now and then. What a system may not ask it does not ask, but for the few that have no grant at all: theirs are
//! refused, and the refusals recorded.
use super::super::{CliError, CliResult};
use super::city::CityFolder;
use super::load::{Call, Caller};
use super::questions::{call, wire};
use super::rpc::Rpc;
use crate::demo::city::{City, Resident};
use crate::demo::grants::{DemoFact, DemoGrant, DemoQuestion, grants};
use crate::demo::organisation::{DemoResource, SYSTEMS, resource_of};
use crate::demo::places::HOME;
use crate::demo::random::Random;
use crate::library::codes::HolderCode;
use crate::library::schema::Library;
use crate::wire::proto::exchange::v1 as x;
use crate::wire::proto::exchange::v1::derive_question::Fact;
use crate::wire::proto::library::v1 as lib;
use crate::wire::proto::library::v1::record_key::Key;
use bytes::Bytes;
use prost::Message;

/// Materials of a package, 一件事.
const PACKAGE: u32 = 5;
/// Of a hundred calls: by key, match, derived fact, holder, place, package.
const SHARES: [(Kind, u64); 6] = [
    (Kind::LookUp, 40),
    (Kind::Match, 20),
    (Kind::Derive, 15),
    (Kind::Holder, 12),
    (Kind::Area, 3),
    (Kind::Package, 10),
];
/// Credit records and features asked about: their keys are read from the city once.
const KEYS: usize = 2_000;
/// An item of the city, for grants that name none.
const ANY_ITEM: &str = "330711001001";
/// Residents before this one are the city's hard cases.
const FIRST_ORDINARY: u64 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    LookUp,
    Match,
    Derive,
    Holder,
    Area,
    Package,
}

/// How much a system asks, in parts.
fn weight(system: &str, may_ask: bool) -> u32 {
    match system {
        "one-window" => 120,
        "self-service" | "settlement" => 50,
        "social-security" => 40,
        "traffic" | "real-estate" | "enrolment" => 20,
        _ if may_ask => 10,
        _ => 1,
    }
}

/// Every system of the city with its part of `calls`.
///
/// # Errors
/// A system without a certificate.
pub(super) fn callers(folder: &CityFolder, hub: &str, calls: u64, seed: u64) -> CliResult<Vec<Caller>> {
    let county = County::new(folder.city()?)?;
    let all: Vec<(&str, Vec<&(DemoGrant, DemoResource)>)> = SYSTEMS
        .iter()
        .map(|system| (system.code, county.grants.iter().filter(|(grant, _)| grant.system == system.code).collect()))
        .collect();
    let sum: u64 = all.iter().map(|(system, grants)| u64::from(weight(system, !grants.is_empty()))).sum();
    let mut callers = Vec::new();
    let mut left = calls;
    for (at, (system, grants)) in all.iter().enumerate() {
        let weight = weight(system, !grants.is_empty());
        // Each asks at least once; the last takes what rounding left, so that the sum is what was asked for.
        let share = if at + 1 == all.len() { left } else { (calls * u64::from(weight) / sum).max(1).min(left) };
        if share == 0 {
            return Err(CliError(format!("{calls} calls are too few for {} systems", all.len())));
        }
        left = left.saturating_sub(share);
        let mut random = Random::of(seed, system, 0);
        let calls = (0..share).map(|_| county.call(grants, &mut random)).collect::<CliResult<_>>()?;
        callers.push(Caller { target: folder.target(hub, system)?, calls, weight });
    }
    Ok(callers)
}

struct County {
    city: City,
    grants: Vec<(DemoGrant, DemoResource)>,
    credit: Vec<lib::CreditKey>,
    features: Vec<String>,
}

impl County {
    fn new(city: City) -> CliResult<Self> {
        let value = |row: &[(&str, String)], name: &str| {
            row.iter().find(|(field, _)| *field == name).map(|(_, text)| text.clone()).unwrap_or_default()
        };
        let mut credit = Vec::new();
        for row in city.credit_records().take(KEYS) {
            let row = row?;
            let subject = HolderCode::parse(&value(&row, "subject_code_type"), &value(&row, "subject_code"))?;
            credit.push(lib::CreditKey { subject: Some(wire(&subject)), record_id: value(&row, "record_id") });
        }
        let mut features = Vec::new();
        for row in city.features().take(KEYS) {
            features.push(value(&row?, "feature_code"));
        }
        let grants =
            grants().filter_map(|grant| resource_of(grant.resource).map(|resource| (grant, resource))).collect();
        Ok(Self { city, grants, credit, features })
    }

    /// One call of a system with these grants.
    fn call(&self, grants: &[&(DemoGrant, DemoResource)], random: &mut Random) -> CliResult<Call> {
        if grants.is_empty() {
            return self.not_granted(random);
        }
        // A few tries find a kind that this system has a grant for; every system that has grants looks up or derives or matches.
        for _ in 0..64 {
            let kind = pick_kind(random);
            let question = question_of(kind);
            let fitting: Vec<_> = grants.iter().filter(|(grant, _)| grant.kinds.contains(&question)).collect();
            let Some((grant, resource)) = one(&fitting, random).copied() else { continue };
            if let Some(call) = self.of_kind(kind, grant, resource, grants, random)? {
                return Ok(call);
            }
        }
        self.not_granted(random)
    }

    /// What nobody granted: refused, and recorded.
    fn not_granted(&self, random: &mut Random) -> CliResult<Call> {
        let question = x::LookUpQuestion {
            context: Some(super::questions::handling(ANY_ITEM, random)),
            key: Some(lib::RecordKey { key: Some(Key::Person(wire(&self.resident(random)?.code))) }),
            fields: vec!["name".to_owned()],
            ..Default::default()
        };
        Ok(call(Rpc::LookUp, &x::LookUpRequest { question: question.encode_to_vec().into(), ..Default::default() }, 1))
    }

    fn of_kind(
        &self,
        kind: Kind,
        grant: &DemoGrant,
        resource: &DemoResource,
        all: &[&(DemoGrant, DemoResource)],
        random: &mut Random,
    ) -> CliResult<Option<Call>> {
        let made = match kind {
            Kind::LookUp => self
                .look_up(grant, resource, random)?
                .map(|question| call(Rpc::LookUp, &x::LookUpRequest { question, ..Default::default() }, 1)),
            Kind::Package => {
                let may: Vec<_> = all.iter().filter(|(g, _)| g.kinds.contains(&DemoQuestion::LookUp)).collect();
                let mut questions = Vec::new();
                for _ in 0..PACKAGE {
                    let Some((grant, resource)) = one(&may, random).copied() else { return Ok(None) };
                    questions.extend(self.look_up(grant, resource, random)?);
                }
                let items = u32::try_from(questions.len())?;
                (items > 0).then(|| call(Rpc::Batch, &x::BatchLookUpRequest { questions, ..Default::default() }, items))
            }
            Kind::Match => {
                let (holder, name) = match resource.library {
                    Library::LegalEntity => {
                        let firm = self.city.firm(random.below(self.city.firms_count()))?;
                        (HolderCode::of_organisation(&firm.uscc), firm.name)
                    }
                    _ => {
                        let resident = self.resident(random)?;
                        (resident.code, resident.name)
                    }
                };
                let context = Some(context(grant, random));
                let question = x::MatchQuestion { context, holder: Some(wire(&holder)), name };
                Some(call(Rpc::Match, &x::MatchRequest { question: bytes(&question), ..Default::default() }, 1))
            }
            Kind::Derive => self.fact(grant, resource, random)?.map(|fact| {
                let question = x::DeriveQuestion { context: Some(context(grant, random)), fact: Some(fact) };
                call(Rpc::Derive, &x::DeriveRequest { question: bytes(&question), ..Default::default() }, 1)
            }),
            Kind::Holder => {
                let question = x::HolderQuestion {
                    context: Some(context(grant, random)),
                    holder: Some(wire(&self.resident(random)?.code)),
                    licence_types: Vec::new(),
                    libraries: vec![i32::from(resource.library.number())],
                    fields: some_fields(grant),
                };
                Some(call(Rpc::Holder, &x::LookUpHolderRequest { question: bytes(&question), ..Default::default() }, 1))
            }
            Kind::Area => {
                let place = self.city.home_place();
                let point = lib::Point { longitude_e9: place.longitude_e9, latitude_e9: place.latitude_e9 };
                let question = x::AreaQuestion {
                    context: Some(context(grant, random)),
                    r#where: Some(x::area_question::Where::Point(point)),
                    kind: "division".to_owned(),
                    fields: vec!["name".to_owned()],
                    limit: 5,
                    page_token: String::new(),
                };
                Some(call(Rpc::Area, &x::LookUpAreaRequest { question: bytes(&question), ..Default::default() }, 1))
            }
        };
        Ok(made)
    }

    /// A question by key; none where the city has no key for that resource.
    fn look_up(&self, grant: &DemoGrant, resource: &DemoResource, random: &mut Random) -> CliResult<Option<Bytes>> {
        let key = match resource.library {
            Library::Population => Some(Key::Person(wire(&self.resident(random)?.code))),
            Library::LegalEntity => {
                let firm = self.city.firm(random.below(self.city.firms_count()))?;
                Some(Key::Uscc(firm.uscc.as_str().to_owned()))
            }
            Library::Credit => one(&self.credit, random).cloned().map(Key::Credit),
            Library::Geospatial => one(&self.features, random).cloned().map(Key::FeatureCode),
            Library::Licence => self.licence(resource.licence, random)?.map(Key::LicenceId),
            _ => None,
        };
        Ok(key.map(|key| {
            let question = x::LookUpQuestion {
                context: Some(context(grant, random)),
                key: Some(lib::RecordKey { key: Some(key) }),
                fields: some_fields(grant),
                ..Default::default()
            };
            bytes(&question)
        }))
    }

    /// The identifier of a licence of this type; only types of which licences are brought as files.
    fn licence(&self, kind: &str, random: &mut Random) -> CliResult<Option<String>> {
        if !matches!(kind, "id-card" | "driving") {
            return Ok(None);
        }
        let resident = self.resident(random)?;
        let drafts = self.city.licences_of_resident(resident.index)?;
        let id = drafts.iter().find(|draft| draft.kind.key == kind).map(|draft| draft.licence_id()).transpose()?;
        Ok(id.map(|id| id.to_string()))
    }

    fn fact(&self, grant: &DemoGrant, resource: &DemoResource, random: &mut Random) -> CliResult<Option<Fact>> {
        let person = |random: &mut Random| self.resident(random).map(|resident| Some(wire(&resident.code)));
        let fact = grant.facts.first().copied().ok_or_else(|| CliError("a grant to derive nothing".into()))?;
        Ok(match fact {
            DemoFact::AgeAtLeast => Some(Fact::AgeAtLeast(x::AgeAtLeast { person: person(random)?, years: 18 })),
            DemoFact::LicenceValidOn => self
                .licence(resource.licence, random)?
                .map(|licence_id| Fact::LicenceValidOn(x::LicenceValidOn { licence_id, day: None })),
            DemoFact::NotListedOn => Some(Fact::NotListedOn(x::NotListedOn {
                subject: person(random)?,
                category: "blacklist".to_owned(),
                day: None,
            })),
            DemoFact::RegisteredIn => {
                Some(Fact::RegisteredIn(x::RegisteredIn { subject: person(random)?, division: HOME.to_owned() }))
            }
            DemoFact::Represents => {
                let uscc = self.city.firm(random.below(self.city.firms_count()))?.uscc;
                Some(Fact::Represents(x::Represents { person: person(random)?, uscc: uscc.as_str().to_owned() }))
            }
        })
    }

    fn resident(&self, random: &mut Random) -> CliResult<Resident> {
        let ordinary = self.city.people().saturating_sub(FIRST_ORDINARY);
        Ok(self.city.resident(FIRST_ORDINARY.saturating_add(random.below(ordinary)))?)
    }
}

fn pick_kind(random: &mut Random) -> Kind {
    let mut at = random.below(SHARES.iter().map(|(_, share)| share).sum());
    for (kind, share) in SHARES {
        if at < share {
            return kind;
        }
        at -= share;
    }
    Kind::LookUp
}

fn question_of(kind: Kind) -> DemoQuestion {
    match kind {
        Kind::LookUp | Kind::Package => DemoQuestion::LookUp,
        Kind::Match => DemoQuestion::Match,
        Kind::Derive => DemoQuestion::Derive,
        Kind::Holder => DemoQuestion::Holder,
        Kind::Area => DemoQuestion::Area,
    }
}

/// A purpose the grant allows.
fn context(grant: &DemoGrant, random: &mut Random) -> x::Context {
    // A grant without items is for every item, but a case is always one of some item.
    let item = if grant.items.is_empty() { ANY_ITEM } else { random.pick(grant.items) };
    let mut context = super::questions::handling(item, random);
    if let (Some(purpose), Some(kind)) = (&mut context.purpose, one(grant.purposes, random)) {
        purpose.kind = *kind as i32;
    }
    context
}

/// A form needs a few fields, not all.
fn some_fields(grant: &DemoGrant) -> Vec<String> {
    grant.fields.iter().filter(|name| **name != "geometry").take(4).map(|name| (*name).to_owned()).collect()
}

fn one<'a, T>(all: &'a [T], random: &mut Random) -> Option<&'a T> {
    all.get(usize::try_from(random.below(all.len() as u64)).ok()?)
}

fn bytes(question: &impl Message) -> Bytes {
    question.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::codes::CalendarDate;
    use std::collections::BTreeMap;

    #[test]
    fn every_system_asks_what_it_has_grants_for_and_all_kinds_of_question_occur() {
        let county = County::new(City::new(7, 2_000, CalendarDate::new(2026, 6, 1).unwrap()).unwrap()).unwrap();
        let mut kinds: BTreeMap<usize, u32> = BTreeMap::new();
        for system in SYSTEMS {
            let grants: Vec<_> = county.grants.iter().filter(|(grant, _)| grant.system == system.code).collect();
            let mut random = Random::of(1, system.code, 0);
            for _ in 0..60 {
                let call = county.call(&grants, &mut random).unwrap();
                *kinds.entry(call.rpc as usize).or_default() += 1;
                assert!(call.items >= 1 && is_well_formed(&call), "{}", system.code);
            }
        }
        assert!(kinds.len() == Rpc::ALL.len() - 1, "{kinds:?}");
    }

    /// As the edge reads it.
    fn is_well_formed(call: &Call) -> bool {
        use crate::receipt::Kind;
        use crate::wire::question;
        let message = call.framed.slice(5..);
        let one = || x::LookUpRequest::decode(message.clone()).unwrap().question;
        match call.rpc {
            Rpc::LookUp => question::look_up(one(), Kind::LookUp, None).is_ok(),
            Rpc::Batch => {
                let all = x::BatchLookUpRequest::decode(message.clone()).unwrap().questions;
                all.into_iter().all(|one| question::look_up(one, Kind::BatchItem, None).is_ok())
            }
            Rpc::Match => question::matching(one(), None).is_ok(),
            Rpc::Derive => question::derive(one(), None).is_ok(),
            Rpc::Holder => question::by_holder(one()).is_ok(),
            Rpc::Area => question::by_place(one(), |_| Ok(None)).is_ok(),
            Rpc::Echo => false,
        }
    }
}
