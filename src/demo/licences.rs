//! Licence drafts of eight types: holders, validity and face, ready to be prepared, signed and issued.

use super::city::{City, Firm, Parcel, Resident};
use super::organisation::{DemoLicenceType, LICENCE_TYPES, SAMPLE, department_of, licence_type};
use super::places::HOME;
use crate::library::codes::{CalendarDate, CodeFault, HolderCode, LicenceId};

/// A licence before its authority signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenceDraft {
    /// Its type.
    pub kind: &'static DemoLicenceType,
    /// 证照编号, as printed.
    pub number: String,
    /// A serial for identifiers allotted outside the hub, unique within the type: 20 capitals and digits.
    pub serial: String,
    /// Holders with their names, one or two.
    pub holders: Vec<(HolderCode, String)>,
    /// Day of issue.
    pub issued_on: CalendarDate,
    /// First valid day.
    pub valid_from: CalendarDate,
    /// Last valid day; `None` for long-term.
    pub valid_until: Option<CalendarDate>,
    /// Division.
    pub division: &'static str,
    /// (field, text) in the order of the type's face; always with 演示样本.
    pub face: Vec<(&'static str, String)>,
    /// What happened to it afterwards.
    pub order: Option<DraftOrder>,
}

/// A change of state after the issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftOrder {
    /// What is done.
    pub action: DraftAction,
    /// The document that orders it (文号).
    pub document_number: String,
    /// Why.
    pub reason: &'static str,
    /// From which day.
    pub effective_on: CalendarDate,
}

/// What an order does; numbers as in `wuku.licence.v1.OrderAction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum DraftAction {
    /// 暂扣
    Suspend = 3,
    /// 吊销
    Revoke = 6,
    /// 注销
    Cancel = 7,
}

impl LicenceDraft {
    /// The identifier it has when its serial is allotted outside the hub.
    ///
    /// # Errors
    /// None for drafts of this module; a test makes them.
    pub fn licence_id(&self) -> Result<LicenceId, CodeFault> {
        let issuer = department_of(self.kind.department)
            .map_or_else(|| crate::library::codes::Uscc::parse(""), super::organisation::DemoDepartment::uscc)?;
        LicenceId::make(&self.kind.type_code()?, &issuer, &self.serial, 1)
    }
}

/// Face values, one for each field of the type but the mark.
type Values = Vec<String>;

impl City {
    /// All licence drafts, those of residents first, then firms', then parcels'; about 2.5 for each resident.
    pub fn licences(&self) -> impl Iterator<Item = Result<LicenceDraft, CodeFault>> + '_ {
        let persons = (0..self.people()).flat_map(|index| each(self.licences_of_resident(index)));
        let firms = (0..self.firms_count()).flat_map(|index| each(self.licences_of_firm(index)));
        let parcels =
            (0..self.parcels_count()).flat_map(|index| each(self.licence_of_parcel(index).map(|one| vec![one])));
        persons.chain(firms).chain(parcels)
    }

    /// The drafts whose (first) holder is this resident.
    ///
    /// # Errors
    /// As [`resident`](Self::resident).
    pub fn licences_of_resident(&self, index: u64) -> Result<Vec<LicenceDraft>, CodeFault> {
        let resident = self.resident(index)?;
        let age = self.age(resident.birth);
        let mut drafts = Vec::new();
        if age >= 16 && resident.code.code_type().as_str() == "111" {
            drafts.extend(self.id_card(&resident, age));
        }
        if age < 6 {
            drafts.extend(self.birth_certificate(&resident)?);
        }
        if resident.male && age >= 20 && !resident.deceased {
            drafts.extend(self.household(&resident));
        }
        if let (true, Some(spouse)) = (resident.male, resident.spouse) {
            drafts.extend(self.marriage(&resident, &self.resident(spouse)?));
        }
        let drives = (18..70).contains(&age) && self.random("drives", index).chance(500);
        if (drives && !resident.deceased) || self.is_suspended_driver(index) {
            drafts.extend(self.driving_licence(&resident, age));
        }
        Ok(drafts)
    }

    /// Business licence and, for those who sell food, food permit.
    ///
    /// # Errors
    /// As [`firm`](Self::firm).
    pub fn licences_of_firm(&self, index: u64) -> Result<Vec<LicenceDraft>, CodeFault> {
        let firm = self.firm(index)?;
        let representative = self.resident(firm.representative)?.name;
        let mut drafts: Vec<LicenceDraft> = self.business_licence(&firm, representative).into_iter().collect();
        if firm.food {
            drafts.extend(self.food_permit(&firm));
        }
        Ok(drafts)
    }

    fn draft(
        &self,
        key: &str,
        index: u64,
        number: String,
        holders: Vec<(HolderCode, String)>,
        issued_on: CalendarDate,
        values: Values,
    ) -> Option<LicenceDraft> {
        let kind = licence_type(key)?;
        let at = LICENCE_TYPES.iter().position(|other| other.key == key)?;
        let names = kind.face.iter().map(|field| field.name);
        let values = values.into_iter().chain([SAMPLE.to_owned()]);
        Some(LicenceDraft {
            kind,
            number,
            serial: format!("DEMO{at:02}{index:014}"),
            holders,
            issued_on,
            valid_from: issued_on,
            valid_until: None,
            division: HOME,
            face: names.zip(values).filter(|(_, value)| !value.is_empty()).collect(),
            order: None,
        })
    }

    fn order(
        &self,
        action: DraftAction,
        document: &str,
        index: u64,
        reason: &'static str,
        days_ago: i64,
    ) -> Option<DraftOrder> {
        let effective_on = self.days_ago(days_ago);
        let document_number = format!("天{document}〔{}〕演示{index}号", effective_on.year());
        Some(DraftOrder { action, document_number, reason, effective_on })
    }

    fn id_card(&self, who: &Resident, age: u16) -> Option<LicenceDraft> {
        let mut random = self.random("id-card", who.index);
        let issued = self.days_ago(random.between(100, i64::from(age.saturating_sub(15).min(8)) * 365 + 100));
        let values = vec![
            who.name.clone(),
            sex(who.male),
            who.ethnic_group.to_owned(),
            who.birth.to_string(),
            who.address.clone(),
            who.code.code().to_owned(),
        ];
        let number = who.code.code().to_owned();
        let mut draft = self.draft("id-card", who.index, number, vec![holder(who)], issued, values)?;
        // 居民身份证法 art. 5: 10 years from 16 to 25, 20 years to 45, long-term after.
        draft.valid_until = match age {
            ..=25 => issued.plus_years(10),
            26..=45 => issued.plus_years(20),
            _ => None,
        };
        if who.deceased {
            draft.order = self.order(DraftAction::Cancel, "公注", who.index, "持证人死亡", 60);
        }
        Some(draft)
    }

    fn birth_certificate(&self, child: &Resident) -> Result<Option<LicenceDraft>, CodeFault> {
        let mut mother = None;
        for step in 1..200 {
            // Women have odd indexes.
            let index = ((child.index + step * 2) % self.people()) | 1;
            if index >= self.people() {
                continue;
            }
            let other = self.resident(index)?;
            if !other.male
                && (21..45).contains(&self.age(other.birth).saturating_sub(self.age(child.birth)))
                && !other.deceased
            {
                mother = Some(other);
                break;
            }
        }
        let Some(mother) = mother else { return Ok(None) };
        let values = vec![
            child.name.clone(),
            sex(child.male),
            child.birth.to_string(),
            mother.name.clone(),
            mother.code.code().to_owned(),
            "浙江省台州市天台县演示医院".to_owned(),
        ];
        let number = format!("Y33{:07}", child.index);
        let holders = vec![holder(child), holder(&mother)];
        Ok(self.draft("birth", child.index, number, holders, child.birth, values))
    }

    fn household(&self, head: &Resident) -> Option<LicenceDraft> {
        let members = if head.spouse.is_some() { "2" } else { "1" };
        let household_number = format!("YS{:08}", head.index);
        let values = vec![household_number.clone(), head.name.clone(), members.to_owned(), head.address.clone()];
        let issued = self.days_ago(self.random("household", head.index).between(100, 1_500));
        self.draft("household", head.index, household_number, vec![holder(head)], issued, values)
    }

    fn marriage(&self, first: &Resident, second: &Resident) -> Option<LicenceDraft> {
        let years = i64::from(self.age(first.birth).min(self.age(second.birth)).saturating_sub(22));
        let registered = self.days_ago(self.random("marriage", first.index).between(100, years * 365 + 200));
        let values = vec![
            first.name.clone(),
            first.code.code().to_owned(),
            second.name.clone(),
            second.code.code().to_owned(),
            registered.to_string(),
        ];
        let number = format!("J331023-{}-{:06}", registered.year(), first.index);
        self.draft("marriage", first.index, number, vec![holder(first), holder(second)], registered, values)
    }

    fn driving_licence(&self, who: &Resident, age: u16) -> Option<LicenceDraft> {
        let mut random = self.random("driving", who.index);
        let years = i64::from(age.saturating_sub(18).min(5));
        let issued = self.days_ago(random.between(30, years * 365 + 60));
        let class = random.pick(&["C1", "C1", "C1", "C2", "B2", "A2", "D"]);
        let values = vec![
            who.name.clone(),
            who.code.code().to_owned(),
            class.to_owned(),
            issued.to_string(),
            who.address.clone(),
        ];
        let number = who.code.code().to_owned();
        let mut draft = self.draft("driving", who.index, number, vec![holder(who)], issued, values)?;
        draft.valid_until = issued.plus_years(6).and_then(|day| day.plus_days(-1));
        if self.is_suspended_driver(who.index) {
            draft.order = self.order(DraftAction::Suspend, "公交", who.index, "饮酒后驾驶机动车，暂扣六个月", 20);
        }
        Some(draft)
    }

    fn business_licence(&self, firm: &Firm, representative: String) -> Option<LicenceDraft> {
        let values = vec![
            firm.uscc.to_string(),
            firm.name.clone(),
            match firm.kind {
                "enterprise" => "有限责任公司",
                "individual_business" => "个体工商户",
                _ => "农民专业合作社",
            }
            .to_owned(),
            representative,
            firm.capital.to_string(),
            firm.founded.to_string(),
            firm.address.clone(),
            firm.scope.to_owned(),
        ];
        let holders = vec![(HolderCode::of_organisation(&firm.uscc), firm.name.clone())];
        let number = firm.uscc.to_string();
        let mut draft = self.draft("business", firm.index, number, holders, firm.founded, values)?;
        draft.order = match firm.status {
            "revoked" => self.order(DraftAction::Revoke, "市监处", firm.index, "开业后自行停业连续六个月以上", 45),
            "cancelled" => self.order(DraftAction::Cancel, "市监注", firm.index, "申请注销登记", 45),
            _ => None,
        };
        Some(draft)
    }

    fn food_permit(&self, firm: &Firm) -> Option<LicenceDraft> {
        // The expired one ran out a month ago; the others were issued within their five years.
        let issued = if firm.index == 1 {
            self.days_ago(5 * 365 + 31)
        } else {
            self.days_ago(self.random("food", firm.index).between(10, 1_700)).max(firm.founded)
        };
        let values = vec![
            firm.name.clone(),
            firm.uscc.to_string(),
            "食品销售经营者".to_owned(),
            firm.scope.to_owned(),
            firm.address.clone(),
        ];
        let holders = vec![(HolderCode::of_organisation(&firm.uscc), firm.name.clone())];
        let mut draft =
            self.draft("food", firm.index, format!("JY1331099{:07}", firm.index), holders, issued, values)?;
        draft.valid_until = if firm.index == 1 {
            Some(self.days_ago(30))
        } else {
            issued.plus_years(5).and_then(|day| day.plus_days(-1))
        };
        Some(draft)
    }

    /// The real-estate licence of a parcel.
    ///
    /// # Errors
    /// As [`resident`](Self::resident).
    pub fn licence_of_parcel(&self, index: u64) -> Result<LicenceDraft, CodeFault> {
        let parcel: Parcel = self.parcel(index);
        let owner = self.resident(parcel.owner)?;
        let issued = self.days_ago(self.random("real-estate", index).between(30, 3_000));
        let values = vec![
            owner.name.clone(),
            parcel.code.clone(),
            format!("{}演示宗地{index}", self.places().full_name(&parcel.county)),
            "国有建设用地使用权/房屋所有权".to_owned(),
            format!("{:.2}", parcel.geometry.area_m2()),
        ];
        let number = format!("浙（{}）天台县不动产权第{index:07}号", issued.year());
        self.draft("real-estate", index, number, vec![holder(&owner)], issued, values).ok_or_else(|| {
            CodeFault::new(crate::library::codes::CodeKind::LicenceType, crate::library::codes::Problem::Empty)
        })
    }
}

/// The drafts one by one, or the one fault.
fn each(drafts: Result<Vec<LicenceDraft>, CodeFault>) -> impl Iterator<Item = Result<LicenceDraft, CodeFault>> {
    let (drafts, fault) = match drafts {
        Ok(drafts) => (drafts, None),
        Err(fault) => (Vec::new(), Some(fault)),
    };
    drafts.into_iter().map(Ok).chain(fault.map(Err))
}

fn holder(who: &Resident) -> (HolderCode, String) {
    (who.code.clone(), who.name.clone())
}

fn sex(male: bool) -> String {
    if male { "男" } else { "女" }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn city() -> City {
        City::new(5, 2_000, CalendarDate::new(2026, 3, 1).unwrap()).unwrap()
    }

    #[test]
    fn all_eight_types_are_there_and_every_face_is_marked_as_a_sample() {
        let (mut counts, mut ids) = (BTreeMap::new(), BTreeSet::new());
        for draft in city().licences() {
            let draft = draft.unwrap();
            *counts.entry(draft.kind.key).or_insert(0) += 1;
            assert!(draft.face.contains(&("sample_mark", SAMPLE.to_owned())));
            assert_eq!(draft.face.len(), draft.kind.face.len(), "{} {}", draft.kind.key, draft.number);
            assert!(ids.insert(draft.licence_id().unwrap().to_string()), "identifier twice");
            assert!(!draft.holders.is_empty() && draft.valid_from <= draft.valid_until.unwrap_or(draft.valid_from));
            assert!(draft.issued_on <= city_today());
        }
        assert_eq!(counts.len(), 8, "{counts:?}");
        assert!(ids.len() > 2_500, "{counts:?}");
    }

    fn city_today() -> CalendarDate {
        CalendarDate::new(2026, 3, 1).unwrap()
    }

    #[test]
    fn the_hard_cases_have_their_licences() {
        let city = city();
        let hard = city.hard_cases().unwrap();
        let of_firm = |index, key: &str| {
            city.licences_of_firm(index).unwrap().into_iter().find(|draft| draft.kind.key == key).unwrap()
        };
        let revoked = of_firm(hard.revoked_firm.index, "business");
        assert_eq!(revoked.order.unwrap().action, DraftAction::Revoke);
        let expired = of_firm(hard.expired_permit_firm.index, "food");
        assert!(expired.valid_until.unwrap() < city.today() && expired.order.is_none());
        let driver = city.licences_of_resident(hard.suspended_driver.index).unwrap();
        let driving = driver.into_iter().find(|draft| draft.kind.key == "driving").unwrap();
        assert_eq!(driving.order.unwrap().action, DraftAction::Suspend);
        assert!(driving.valid_until.unwrap() > city.today());
        let deceased = city.licences_of_resident(hard.deceased.index).unwrap();
        assert!(
            deceased.iter().all(|draft| draft.order.as_ref().is_some_and(|order| order.action == DraftAction::Cancel))
        );
        let adult = city.licences_of_resident(hard.adult.index).unwrap();
        assert!(adult.iter().any(|draft| draft.kind.key == "id-card" && draft.order.is_none()));
    }
}
