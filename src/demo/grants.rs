//! Who may ask what: one line for each need, about three hundred grants.

use super::organisation::{DemoSharing, LICENCE_TYPES, resource_of, system_of};

/// Kinds of question; numbers as in `wuku.catalogue.v1.QuestionKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum DemoQuestion {
    /// By key.
    LookUp = 1,
    /// Does name and code fit.
    Match = 2,
    /// A derived fact.
    Derive = 3,
    /// By holder.
    Holder = 4,
    /// By place.
    Area = 5,
}

/// Derived facts; numbers as in `wuku.catalogue.v1.FactKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum DemoFact {
    /// Of age.
    AgeAtLeast = 1,
    /// A licence valid on a day.
    LicenceValidOn = 2,
    /// Not listed.
    NotListedOn = 3,
    /// Registered in a division.
    RegisteredIn = 4,
    /// Represents a legal entity.
    Represents = 5,
}

/// How far fields are opened; numbers as in `wuku.catalogue.v1.GrantMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum DemoMode {
    /// Existence and standing only.
    YesNo = 1,
    /// Masked values.
    Masked = 2,
    /// Full values.
    Full = 3,
}

/// Purposes; numbers as in `wuku.receipt.v1.PurposeKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum DemoPurpose {
    /// Handling a case.
    Handling = 1,
    /// Checking materials beforehand.
    PreCheck = 2,
    /// Supervision.
    Supervision = 3,
    /// Carrying out a policy.
    Policy = 4,
}

/// A grant to be put into the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoGrant {
    /// Code of the system.
    pub system: &'static str,
    /// Code of the resource.
    pub resource: &'static str,
    /// The fields.
    pub fields: Vec<&'static str>,
    /// The kinds of question.
    pub kinds: &'static [DemoQuestion],
    /// The facts, where deriving is among the kinds.
    pub facts: &'static [DemoFact],
    /// How far fields are opened.
    pub mode: DemoMode,
    /// The purposes.
    pub purposes: &'static [DemoPurpose],
    /// The items, 12 characters each.
    pub items: &'static [&'static str],
    /// Legal basis.
    pub legal_basis: &'static str,
}

use DemoFact::{AgeAtLeast, LicenceValidOn, NotListedOn, RegisteredIn, Represents};
use DemoMode::{Full, Masked, YesNo};
use DemoPurpose::{Handling, Policy, PreCheck, Supervision};
use DemoQuestion::{Area, Derive, Holder, LookUp, Match};

/// Resource, kinds, facts, mode, systems with a space between.
type Need = (&'static str, &'static [DemoQuestion], &'static [DemoFact], DemoMode, &'static str);

const NEEDS: &[Need] = &[
    ("population", &[LookUp, Match, Holder], &[], Masked, "one-window social-security real-estate"),
    ("population", &[LookUp, Match, Holder], &[], Full, "marriage assistance"),
    (
        "population-identity",
        &[Match],
        &[],
        YesNo,
        "registration food-permit real-estate construction property social-security employment settlement birth clinics enrolment collection road-transport subsidy homestead notary legal-aid payment benefits one-window self-service enforcement",
    ),
    (
        "population-birth",
        &[Derive],
        &[AgeAtLeast],
        YesNo,
        "marriage registration employment enrolment road-transport benefits social-security one-window self-service traffic",
    ),
    (
        "population-register",
        &[Derive],
        &[RegisteredIn],
        YesNo,
        "enrolment subsidy assistance homestead benefits employment legal-aid one-window property",
    ),
    (
        "population-register",
        &[LookUp],
        &[],
        Masked,
        "enrolment assistance homestead one-window property notary legal-aid",
    ),
    (
        "population-residence",
        &[LookUp],
        &[],
        Masked,
        "enrolment assistance payment legal-aid enforcement benefits one-window homestead",
    ),
    ("population-marital", &[LookUp], &[], Full, "real-estate property homestead assistance notary"),
    (
        "population-life",
        &[LookUp],
        &[],
        Full,
        "social-security payment subsidy benefits assistance settlement registration real-estate notary legal-aid property one-window",
    ),
    ("population-contact", &[LookUp], &[], Masked, "assistance benefits one-window"),
    ("population-ethnic", &[LookUp], &[], Full, "enrolment employment"),
    (
        "legal-entity",
        &[LookUp, Match],
        &[],
        Full,
        "collection social-security construction food-permit credit investment one-window road-transport safety inspection",
    ),
    ("legal-entity", &[Derive], &[Represents], YesNo, "one-window self-service real-estate collection construction"),
    (
        "legal-entity-status",
        &[LookUp],
        &[],
        Full,
        "settlement clinics real-estate employment subsidy payment enforcement road-transport safety notary property one-window",
    ),
    (
        "legal-entity-scope",
        &[LookUp],
        &[],
        Full,
        "food-permit clinics road-transport safety inspection enforcement one-window construction investment",
    ),
    (
        "legal-entity-address",
        &[LookUp],
        &[],
        Full,
        "inspection enforcement safety collection food-permit clinics one-window property employment",
    ),
    ("legal-entity-capital", &[LookUp], &[], Full, "construction investment collection credit"),
    (
        "legal-entity-person",
        &[LookUp, Match],
        &[],
        Masked,
        "collection construction investment credit one-window notary",
    ),
    ("credit", &[LookUp, Holder], &[], Full, "investment one-window inspection"),
    (
        "credit-penalty",
        &[LookUp],
        &[],
        Full,
        "construction food-permit road-transport safety inspection enforcement clinics registration investment settlement",
    ),
    ("credit-permit", &[LookUp], &[], Full, "inspection enforcement investment safety one-window"),
    (
        "credit-blacklist",
        &[Derive],
        &[NotListedOn],
        YesNo,
        "registration construction subsidy payment investment one-window self-service employment food-permit road-transport clinics",
    ),
    ("credit-red-list", &[LookUp], &[], Full, "investment collection one-window"),
    (
        "credit-commitment",
        &[LookUp],
        &[],
        Full,
        "registration food-permit construction one-window enforcement inspection clinics",
    ),
    ("geospatial", &[LookUp, Area], &[], Full, "real-estate construction"),
    (
        "geospatial-division",
        &[LookUp, Area],
        &[],
        Full,
        "real-estate construction homestead registration enrolment one-window enforcement safety investment",
    ),
    (
        "geospatial-address",
        &[LookUp, Area],
        &[],
        Full,
        "registration enrolment food-permit enforcement safety population one-window collection investment",
    ),
    (
        "geospatial-parcel",
        &[LookUp, Area],
        &[],
        Full,
        "real-estate construction homestead investment collection enforcement property safety",
    ),
    ("geospatial-owner", &[LookUp], &[], Masked, "real-estate construction homestead collection"),
    ("geospatial-facility", &[LookUp, Area], &[], Full, "safety enforcement one-window self-service"),
    (
        "licence-id-card",
        &[LookUp, Holder],
        &[],
        Masked,
        "registration marriage social-security property notary employment settlement enrolment legal-aid benefits",
    ),
    ("licence-id-card", &[LookUp, Holder], &[], Full, "one-window self-service real-estate"),
    (
        "licence-household",
        &[LookUp, Holder],
        &[],
        Masked,
        "enrolment marriage assistance real-estate one-window homestead social-security settlement",
    ),
    (
        "licence-marriage",
        &[LookUp, Holder],
        &[],
        Full,
        "population real-estate birth property notary assistance one-window",
    ),
    (
        "licence-business",
        &[LookUp, Holder, Derive],
        &[LicenceValidOn],
        Full,
        "food-permit construction road-transport clinics collection social-security safety inspection enforcement one-window self-service credit",
    ),
    (
        "licence-real-estate",
        &[LookUp, Holder],
        &[],
        Masked,
        "enrolment registration collection property notary one-window",
    ),
    ("licence-driving", &[LookUp, Holder, Derive], &[LicenceValidOn], Full, "road-transport employment one-window"),
    (
        "licence-food",
        &[LookUp, Holder, Derive],
        &[LicenceValidOn],
        Full,
        "inspection enforcement enrolment collection one-window registration",
    ),
    ("licence-birth", &[LookUp, Holder], &[], Full, "population settlement social-security enrolment one-window"),
    (
        "licence-business-standing",
        &[LookUp],
        &[],
        Full,
        "settlement real-estate employment investment subsidy notary payment property legal-aid construction inspection",
    ),
    ("licence-food-standing", &[LookUp], &[], Full, "credit clinics safety self-service investment"),
    ("licence-driving-standing", &[LookUp], &[], Full, "traffic enforcement safety"),
    ("licence-real-estate-standing", &[LookUp], &[], Full, "settlement assistance homestead payment"),
    ("population-birth", &[Derive], &[AgeAtLeast], YesNo, "notary legal-aid payment subsidy"),
    ("legal-entity-status", &[LookUp], &[], Full, "self-service"),
];

/// The items a system handles, 12 characters each.
fn items_of(system: &str) -> &'static [&'static str] {
    match system {
        "population" => &["330901001001", "330901001002"],
        "traffic" => &["330109001001"],
        "marriage" => &["330711001001"],
        "assistance" => &["330511001001"],
        "registration" => &["330131001001"],
        "food-permit" => &["330131002001"],
        "real-estate" => &["330715001001"],
        "construction" => &["330117001001"],
        "property" => &["330117002001"],
        "social-security" => &["332014001001", "332014001002"],
        "employment" => &["332014002001"],
        "settlement" => &["332036001001"],
        "birth" => &["330723001001"],
        "clinics" => &["330123001001"],
        "enrolment" => &["332005001001"],
        "collection" => &["330930001001"],
        "road-transport" => &["330118001001"],
        "subsidy" => &["330520001001"],
        "homestead" => &["330120001001"],
        "notary" => &["332012001001"],
        "legal-aid" => &["330512001001"],
        "benefits" => &["330525001001"],
        "investment" => &["330104001001"],
        "one-window" | "self-service" => &[
            "330131001001",
            "330131002001",
            "330715001001",
            "330711001001",
            "332014001001",
            "332005001001",
            "330109001001",
        ],
        _ => &[],
    }
}

fn purposes_of(system: &str) -> &'static [DemoPurpose] {
    match system {
        "one-window" | "self-service" => &[Handling, PreCheck],
        "inspection" | "safety" | "enforcement" | "credit" => &[Supervision],
        "payment" | "subsidy" | "benefits" | "assistance" => &[Handling, Policy],
        _ => &[Handling],
    }
}

/// The grants, one for each (need, system).
pub fn grants() -> impl Iterator<Item = DemoGrant> {
    NEEDS.iter().filter_map(|need| Some((need, resource_of(need.0)?))).flat_map(|(need, resource)| {
        let (code, kinds, facts, mode, systems) = *need;
        // Existence and derived facts open no field; a match names the fields it compares.
        let fields = match kinds {
            [Derive] => Vec::new(),
            [Match] => vec!["name"],
            _ => resource.fields(),
        };
        let legal_basis = if resource.sharing == DemoSharing::Conditional {
            "《国务院关于加快推进全国一体化在线政务服务平台建设的指导意见》"
        } else {
            "《政务信息资源共享管理暂行办法》第五条"
        };
        systems.split(' ').filter_map(system_of).map(move |system| DemoGrant {
            system: system.code,
            resource: code,
            fields: fields.clone(),
            kinds,
            facts,
            mode,
            purposes: purposes_of(system.code),
            items: items_of(system.code),
            legal_basis,
        })
    })
}

/// The items of licence types and systems, each once, ascending.
pub fn items() -> Vec<&'static str> {
    let of_systems = super::organisation::SYSTEMS.iter().flat_map(|system| items_of(system.code).iter().copied());
    let mut items: Vec<_> = of_systems.chain(LICENCE_TYPES.iter().map(|kind| kind.item_code)).collect();
    items.sort_unstable();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::organisation::{DemoRole, SYSTEMS, resources};
    use std::collections::BTreeSet;

    #[test]
    fn there_are_about_three_hundred_grants_and_each_names_a_consumer_and_a_shared_resource() {
        let grants: Vec<_> = grants().collect();
        let wanted: usize = NEEDS.iter().map(|need| need.4.split(' ').count()).sum();
        assert_eq!(grants.len(), wanted, "a system or resource is misspelt");
        assert!((280..=320).contains(&grants.len()), "{}", grants.len());
        let mut seen = BTreeSet::new();
        for grant in &grants {
            assert!(system_of(grant.system).unwrap().roles.contains(&DemoRole::Consumer), "{}", grant.system);
            assert_ne!(resource_of(grant.resource).unwrap().sharing, DemoSharing::NotShared, "{}", grant.resource);
            assert_eq!(grant.kinds.contains(&Derive), !grant.facts.is_empty(), "{}", grant.resource);
            assert!(!grant.purposes.is_empty() && grant.items.iter().all(|item| item.len() == 12));
            seen.insert((
                grant.system,
                grant.resource,
                grant.kinds.iter().map(|kind| *kind as i32).collect::<Vec<_>>(),
            ));
        }
        assert_eq!(seen.len(), grants.len(), "a grant is listed twice");
    }

    #[test]
    fn every_shared_resource_is_used_and_nobody_asks_as_an_administrator() {
        let used: BTreeSet<_> = grants().map(|grant| grant.resource).collect();
        for resource in resources() {
            assert_eq!(used.contains(resource.code), resource.sharing != DemoSharing::NotShared, "{}", resource.code);
        }
        let asking: BTreeSet<_> = grants().map(|grant| grant.system).collect();
        assert!(
            SYSTEMS
                .iter()
                .filter(|system| system.department == "data-bureau")
                .all(|system| !asking.contains(system.code))
        );
        assert!(items().len() >= 20);
    }
}
