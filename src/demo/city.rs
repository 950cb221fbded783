//! The made-up people, firms, credit records and places of a city.
//!
//! Everything follows from (seed, number of people, day): any record can be made at will, none is kept in memory, and the same
//! three values give the same city everywhere. Numbers are unique because each is a one-to-one function of its index.

use super::places::{HOME, Places, UNASSIGNED};
use super::random::Random;
use crate::library::codes::{CalendarDate, CitizenId, CodeFault, ForeignPermit, HolderCode, Uscc};
use crate::library::geospatial::{Datum, Geometry, Position, Shape};
use crate::library::schema::Library;

/// (field name, text) in schema order, as a line of an import file has them.
pub type Row = Vec<(&'static str, String)>;

/// Residents with these indexes are the hard cases; ordinary ones follow.
const RESERVED: u64 = 16;
/// Birth days an ordinary resident may have: 93 years.
const DAYS: u64 = 34_000;
/// Coprime to [`DAYS`], so that pairs walk through all days before one comes again.
const STEP: u64 = 9_973;
/// A wife is so many days younger: a constant keeps numbers unique.
const YOUNGER: u64 = 431;
/// Fewest and most people of a city.
const PEOPLE: std::ops::RangeInclusive<u64> = 200..=10_000_000;

/// Indexes of the residents who are hard cases.
mod hard {
    pub(super) const RARE: u64 = 0;
    pub(super) const DOTTED: u64 = 1;
    pub(super) const X_CHECK: u64 = 2;
    pub(super) const FIFTEEN: u64 = 3;
    pub(super) const FOREIGN: u64 = 4;
    pub(super) const DECEASED: u64 = 5;
    pub(super) const PRIVATE_USE: u64 = 6;
    pub(super) const MINOR: u64 = 7;
    pub(super) const ADULT: u64 = 8;
    pub(super) const SUSPENDED_DRIVER: u64 = 9;
    pub(super) const TRADER: u64 = 10;
}

/// A city.
#[derive(Debug)]
pub struct City {
    seed: u64,
    people: u64,
    today: CalendarDate,
    places: Places,
}

/// A resident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// Index in the city.
    pub index: u64,
    /// Canonical code.
    pub code: HolderCode,
    /// The code as the source sends it; differs for the old 15-digit number.
    pub code_as_sent: String,
    /// Name.
    pub name: String,
    /// Male or female.
    pub male: bool,
    /// Birth date.
    pub birth: CalendarDate,
    /// Ethnic group.
    pub ethnic_group: &'static str,
    /// Village of registration, 12 digits.
    pub village: &'static str,
    /// Registered address.
    pub address: String,
    /// No longer alive.
    pub deceased: bool,
    /// The husband's or wife's index.
    pub spouse: Option<u64>,
}

/// A firm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firm {
    /// Index in the city.
    pub index: u64,
    /// Credit code.
    pub uscc: Uscc,
    /// Name.
    pub name: String,
    /// `enterprise`, `individual_business`, `farmers_cooperative`.
    pub kind: &'static str,
    /// Index of the legal representative.
    pub representative: u64,
    /// Yuan.
    pub capital: u64,
    /// Address.
    pub address: String,
    /// Day of founding.
    pub founded: CalendarDate,
    /// Business scope.
    pub scope: &'static str,
    /// `active`, `revoked`, `cancelled`.
    pub status: &'static str,
    /// Sells or makes food.
    pub food: bool,
}

/// A parcel of land.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    /// Index in the city.
    pub index: u64,
    /// Real-estate unit number, 28 characters.
    pub code: String,
    /// County.
    pub county: String,
    /// Boundary.
    pub geometry: Geometry,
    /// Index of the owner.
    pub owner: u64,
}

/// The hard cases by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardCases {
    /// A name with a character of four UTF-8 bytes.
    pub rare_character: Resident,
    /// A name with a middle dot.
    pub dotted_name: Resident,
    /// A check digit X.
    pub x_check: Resident,
    /// A 15-digit number as sent; its code is the upgraded one.
    pub fifteen_digits: Resident,
    /// A foreign permanent resident.
    pub foreign: Resident,
    /// No longer alive.
    pub deceased: Resident,
    /// A name with a private-use character.
    pub private_use: Resident,
    /// Ten years old.
    pub minor: Resident,
    /// An ordinary adult for the scenario.
    pub adult: Resident,
    /// Whose driving licence is suspended.
    pub suspended_driver: Resident,
    /// Whose firm has lost its business licence.
    pub trader: Resident,
    /// Whose business licence is revoked.
    pub revoked_firm: Firm,
    /// Whose food permit has expired.
    pub expired_permit_firm: Firm,
    /// An ordinary firm for the scenario.
    pub firm: Firm,
    /// On the list of seriously untrustworthy subjects.
    pub listed_firm: Firm,
    /// A right number that nobody has, inside the coverage.
    pub nobody: HolderCode,
    /// A passport: a kind of holder no population resource covers.
    pub not_covered: HolderCode,
    /// A place inside Tiantai.
    pub place: Position,
}

impl City {
    /// A city of so many people (at least 200) as it stands on this day.
    ///
    /// # Errors
    /// What is wrong with the data compiled in, or a number of people out of range.
    pub fn new(seed: u64, people: u64, today: CalendarDate) -> Result<Self, String> {
        if !PEOPLE.contains(&people) {
            return Err(format!("a demo city has {} to {} people, not {people}", PEOPLE.start(), PEOPLE.end()));
        }
        Ok(Self { seed, people, today, places: Places::load()? })
    }

    /// Number of residents.
    pub fn people(&self) -> u64 {
        self.people
    }

    /// Number of firms: one for twenty people.
    pub fn firms_count(&self) -> u64 {
        self.people / 20
    }

    /// Number of parcels: one for ten people.
    pub fn parcels_count(&self) -> u64 {
        self.people / 10
    }

    /// The day it stands on.
    pub fn today(&self) -> CalendarDate {
        self.today
    }

    /// Divisions and boundaries.
    pub fn places(&self) -> &Places {
        &self.places
    }

    pub(super) fn random(&self, purpose: &str, index: u64) -> Random {
        Random::of(self.seed, purpose, index)
    }

    /// So many days before today.
    pub(super) fn days_ago(&self, days: i64) -> CalendarDate {
        i32::try_from(days).ok().and_then(|days| self.today.plus_days(days.checked_neg()?)).unwrap_or(self.today)
    }

    /// Whole years from a birth to today.
    pub fn age(&self, birth: CalendarDate) -> u16 {
        let had_birthday = (self.today.month(), self.today.day()) >= (birth.month(), birth.day());
        self.today.year().saturating_sub(birth.year()).saturating_sub(u16::from(!had_birthday))
    }

    /// Rows of the population library.
    pub fn residents(&self) -> impl Iterator<Item = Result<Row, CodeFault>> + '_ {
        self.residents_of(0..self.people)
    }

    /// Some rows of the population library.
    pub(super) fn residents_of(
        &self,
        indexes: std::ops::Range<u64>,
    ) -> impl Iterator<Item = Result<Row, CodeFault>> + '_ {
        indexes.map(|index| Ok(self.resident_row(&self.resident(index)?)))
    }

    /// Rows of the legal-entity library.
    pub fn firms(&self) -> impl Iterator<Item = Result<Row, CodeFault>> + '_ {
        (0..self.firms_count()).map(|index| self.firm_row(&self.firm(index)?))
    }

    /// Rows of the credit library: one for twenty people.
    pub fn credit_records(&self) -> impl Iterator<Item = Result<Row, CodeFault>> + '_ {
        (0..self.people / 20).map(|index| self.credit_row(index))
    }

    /// Rows of the geospatial library: nine counties, parcels, as many address points, twenty facilities.
    pub fn features(&self) -> impl Iterator<Item = Result<Row, CodeFault>> + '_ {
        let counties = self.places.counties().map(|(code, boundary)| Ok(self.county_row(code, boundary)));
        let parcels = (0..self.parcels_count()).map(|index| self.parcel_row(&self.parcel(index)));
        let addresses = (0..self.parcels_count()).map(|index| Ok(self.point_row("address_point", "AP", index)));
        let facilities = (0..20).map(|index| Ok(self.point_row("facility", "FC", index)));
        counties.chain(parcels).chain(addresses).chain(facilities)
    }

    /// The rows of one of the four imported libraries; none for the others (licences are issued: see `licences.rs`).
    pub fn rows(&self, library: Library) -> Box<dyn Iterator<Item = Result<Row, CodeFault>> + '_> {
        match library {
            Library::Population => Box::new(self.residents()),
            Library::LegalEntity => Box::new(self.firms()),
            Library::Credit => Box::new(self.credit_records()),
            Library::Geospatial => Box::new(self.features()),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// The resident of this index.
    ///
    /// # Errors
    /// None below [`people`](Self::people); a test makes them all.
    pub fn resident(&self, index: u64) -> Result<Resident, CodeFault> {
        let mut random = self.random("resident", index);
        let village = self.places.village(&mut random);
        let address = format!("{}{}号", self.places.full_name(village), random.between(1, 299));
        if index < RESERVED {
            return self.hard_resident(index, village, address);
        }
        let (pair, male) = ((index - RESERVED) / 2, index.is_multiple_of(2));
        let birth = self.ordinary_birth(pair, male);
        let round = u16::try_from(pair / DAYS).unwrap_or(u16::MAX);
        let sequence = round.saturating_mul(2).saturating_add(if male { 1 } else { 2 });
        let id = CitizenId::make(UNASSIGNED, birth, sequence)?;
        let name = made_up_name(&mut random, male);
        Ok(Resident {
            index,
            code: HolderCode::of_citizen(&id),
            code_as_sent: id.to_string(),
            name,
            male,
            birth,
            ethnic_group: if random.chance(980) {
                "汉族"
            } else {
                random.pick(&["畲族", "回族", "苗族", "土家族"])
            },
            village,
            address,
            deceased: self.is_deceased(index, birth),
            spouse: self.spouse_of(index, pair, male),
        })
    }

    fn ordinary_birth(&self, pair: u64, male: bool) -> CalendarDate {
        let walk = (pair % DAYS) * STEP + if male { YOUNGER } else { 0 };
        self.days_ago(i64::try_from(walk % DAYS).unwrap_or(0))
    }

    fn is_deceased(&self, index: u64, birth: CalendarDate) -> bool {
        let age = self.age(birth);
        self.random("deceased", index).chance(if age > 85 {
            400
        } else if age > 70 {
            100
        } else {
            2
        })
    }

    fn spouse_of(&self, index: u64, pair: u64, male: bool) -> Option<u64> {
        let other = if male { index.checked_add(1)? } else { index.checked_sub(1)? };
        let adults = [male, !male].iter().all(|sex| self.age(self.ordinary_birth(pair, *sex)) >= 25);
        let wed = adults && other < self.people && self.random("wed", pair).chance(750);
        wed.then_some(other)
    }

    fn hard_resident(&self, index: u64, village: &'static str, address: String) -> Result<Resident, CodeFault> {
        let (name, male, years, sequence) = match index {
            hard::RARE => ("陈𬎆演", true, 41, 901),
            hard::DOTTED => ("阿依演·买买提", false, 29, 902),
            hard::X_CHECK => ("林演末", false, 36, 904),
            hard::FIFTEEN => ("周演老", true, 78, 905),
            hard::FOREIGN => ("SAMPLE MARIA", false, 44, 906),
            hard::DECEASED => ("吴演逝", true, 88, 907),
            hard::PRIVATE_USE => ("张\u{E815}", true, 52, 909),
            hard::MINOR => ("郑演童", false, 10, 910),
            hard::ADULT => ("徐演示", true, 33, 911),
            hard::SUSPENDED_DRIVER => ("何演驾", true, 47, 913),
            hard::TRADER => ("马演商", false, 50, 914),
            _ => ("孙演余", true, 40, 915_u64.saturating_add(index.saturating_mul(2)).min(997)),
        };
        let birth = self.days_ago(i64::from(years) * 365 + 100);
        let sequence = u16::try_from(sequence).unwrap_or(999);
        let mut id = CitizenId::make(UNASSIGNED, birth, sequence)?;
        if index == hard::X_CHECK {
            // The sums of five last and seven middle digits reach every remainder of 11, so one of them ends in X.
            id = (0..35)
                .filter_map(|step| CitizenId::make(UNASSIGNED, birth, 930 + step * 2).ok())
                .find(|id| id.as_str().ends_with('X'))
                .unwrap_or(id);
        }
        let code = if index == hard::FOREIGN {
            HolderCode::parse("553", ForeignPermit::make("33999", birth, sequence)?.as_str())?
        } else {
            HolderCode::of_citizen(&id)
        };
        let fifteen = if index == hard::FIFTEEN { id.to_fifteen() } else { None };
        Ok(Resident {
            index,
            code_as_sent: fifteen.unwrap_or_else(|| code.code().to_owned()),
            code,
            name: name.to_owned(),
            male,
            birth,
            ethnic_group: match index {
                hard::DOTTED => "维吾尔族",
                hard::FOREIGN => "",
                _ => "汉族",
            },
            village,
            address,
            deceased: index == hard::DECEASED,
            spouse: None,
        })
    }

    fn resident_row(&self, resident: &Resident) -> Row {
        let mut random = self.random("resident-row", resident.index);
        let marital = match resident.spouse {
            Some(other) if self.resident(other).is_ok_and(|other| other.deceased) => "widowed",
            Some(_) => "married",
            None if self.age(resident.birth) >= 35 && random.chance(300) => "divorced",
            None => "single",
        };
        // No mobile number begins with 100.
        let phone =
            if self.age(resident.birth) < 12 { String::new() } else { format!("100{:08}", random.below(100_000_000)) };
        let residence = if random.chance(900) {
            resident.address.clone()
        } else {
            format!("{}{}号", self.places.full_name(self.places.village(&mut random)), random.between(1, 299))
        };
        vec![
            ("holder_code_type", resident.code.code_type().to_string()),
            ("holder_code", resident.code_as_sent.clone()),
            ("name", resident.name.clone()),
            ("sex", if resident.male { "男" } else { "女" }.to_owned()),
            ("birth_date", resident.birth.to_string()),
            ("ethnic_group", resident.ethnic_group.to_owned()),
            ("address", resident.address.clone()),
            ("division", resident.village.to_owned()),
            ("residence", residence),
            ("marital_status", marital.to_owned()),
            ("life_status", if resident.deceased { "deceased" } else { "alive" }.to_owned()),
            ("phone", phone),
            ("photo_digest", (0..4).map(|_| format!("{:016x}", random.number())).collect()),
            ("valid_from", self.days_ago(random.between(40, 400)).to_string()),
        ]
    }

    /// The firm of this index.
    ///
    /// # Errors
    /// None below [`firms_count`](Self::firms_count); a test makes them all.
    pub fn firm(&self, index: u64) -> Result<Firm, CodeFault> {
        let mut random = self.random("firm", index);
        let (trade, scope, food) = random.pick(TRADES);
        let (trade, scope, food) =
            if index == 1 { ("食品", "预包装食品销售；餐饮服务", true) } else { (trade, scope, food) };
        let (head, kind, tail) = match random.below(20) {
            _ if index < 4 => ("91", "enterprise", "有限公司"),
            0..=10 => ("91", "enterprise", "有限公司"),
            11..=18 => ("92", "individual_business", "店"),
            _ => ("93", "farmers_cooperative", "专业合作社"),
        };
        let word: String = (0..2).map(|_| random.pick(WORDS)).collect();
        let place = self.places.village(&mut random);
        Ok(Firm {
            index,
            uscc: Uscc::make(head, UNASSIGNED, &organisation(index))?,
            name: format!("天台县演示{word}{trade}{tail}"),
            kind,
            representative: if index == 0 { hard::TRADER } else { self.adult(index * 37 + 5)? },
            capital: u64::from(random.pick(&[50_000_u32, 100_000, 500_000, 1_000_000, 5_000_000])),
            address: format!("{}{}号", self.places.full_name(place), random.between(1, 299)),
            founded: self.days_ago(random.between(200, 7_000)),
            scope,
            status: match random.below(100) {
                _ if index == 0 => "revoked",
                0..=93 => "active",
                _ if index < 4 => "active",
                94..=97 => "cancelled",
                _ => "revoked",
            },
            food,
        })
    }

    /// A living adult's index, searched from `start`.
    pub(super) fn adult(&self, start: u64) -> Result<u64, CodeFault> {
        for step in 0..self.people {
            let index = start.wrapping_add(step) % self.people;
            if index < RESERVED {
                continue;
            }
            let resident = self.resident(index)?;
            if (20..75).contains(&self.age(resident.birth)) && !resident.deceased {
                return Ok(index);
            }
        }
        Ok(hard::ADULT)
    }

    fn firm_row(&self, firm: &Firm) -> Result<Row, CodeFault> {
        let person = self.resident(firm.representative)?;
        Ok(vec![
            ("uscc", firm.uscc.to_string()),
            ("name", firm.name.clone()),
            ("kind", firm.kind.to_owned()),
            ("legal_representative_name", person.name),
            ("legal_representative_code_type", person.code.code_type().to_string()),
            ("legal_representative_code", person.code.code().to_owned()),
            ("registered_capital", firm.capital.to_string()),
            ("address", firm.address.clone()),
            ("division", HOME.to_owned()),
            ("founded", firm.founded.to_string()),
            ("term_end", String::new()),
            ("scope", firm.scope.to_owned()),
            ("status", firm.status.to_owned()),
            ("registering_authority", "天台县市场监督管理局".to_owned()),
            ("valid_from", firm.founded.to_string()),
        ])
    }

    fn credit_row(&self, index: u64) -> Result<Row, CodeFault> {
        let mut random = self.random("credit", index);
        let (category, severity, firm) = match index {
            0 => ("blacklist", "serious", Some(3)),
            1 => ("penalty", "serious", Some(0)),
            2 => ("permit", "", Some(2)),
            _ => {
                let category = random.pick(&[
                    "permit",
                    "permit",
                    "permit",
                    "penalty",
                    "penalty",
                    "red_list",
                    "blacklist",
                    "commitment_breach",
                    "abnormal_operation",
                ]);
                let severity = if matches!(category, "penalty" | "blacklist" | "commitment_breach") {
                    random.pick(&["minor", "ordinary", "serious"])
                } else {
                    ""
                };
                (category, severity, random.chance(600).then(|| random.below(self.firms_count())))
            }
        };
        let subject = match firm {
            Some(firm) => HolderCode::of_organisation(&self.firm(firm)?.uscc),
            None => self.resident(self.adult(random.below(self.people))?)?.code,
        };
        let effective = self.days_ago(random.between(60, 1_500));
        let ends = index == 0 || !random.chance(300);
        Ok(vec![
            ("subject_code_type", subject.code_type().to_string()),
            ("subject_code", subject.code().to_owned()),
            ("record_id", format!("YS{:08}", index)),
            ("category", category.to_owned()),
            ("basis", "演示依据第一条".to_owned()),
            (
                "authority",
                random
                    .pick(&[
                        "天台县市场监督管理局",
                        "天台县综合行政执法局",
                        "天台县应急管理局",
                        "台州市生态环境局天台分局",
                    ])
                    .to_owned(),
            ),
            ("effective_date", effective.to_string()),
            ("end_date", effective.plus_years(5).filter(|_| ends).map(|date| date.to_string()).unwrap_or_default()),
            ("repaired", if index > 1 && random.chance(200) { "true" } else { "false" }.to_owned()),
            ("severity", severity.to_owned()),
        ])
    }

    fn county_row(&self, code: &str, boundary: &Geometry) -> Row {
        vec![
            ("feature_code", format!("DIV{code}")),
            ("kind", "division".to_owned()),
            ("name", self.places.name(code).unwrap_or(code).to_owned()),
            ("division", code.to_owned()),
            ("geometry", boundary.to_geojson()),
            ("datum", "CGCS2000".to_owned()),
            ("area_m2", format!("{:.0}", boundary.area_m2())),
        ]
    }

    fn county(&self, random: &mut Random) -> String {
        let counties: Vec<&str> = self.places.counties().map(|(code, _)| code).collect();
        if random.chance(800) { HOME.to_owned() } else { random.pick(&counties).to_owned() }
    }

    /// The parcel of this index: a rectangle of 10 to 60 metres a side inside its county.
    pub fn parcel(&self, index: u64) -> Parcel {
        let mut random = self.random("parcel", index);
        let county = self.county(&mut random);
        let boundary = self.places.boundary(&county);
        // At 29° N a metre is about 8,980e-9 degree north and 10,270e-9 degree east.
        let (east, north) = (random.between(10, 60) * 10_270, random.between(10, 60) * 8_980);
        let corners = |place: Position| {
            let at =
                |x: i64, y: i64| Position { longitude_e9: place.longitude_e9 + x, latitude_e9: place.latitude_e9 + y };
            vec![at(0, 0), at(east, 0), at(east, north), at(0, north), at(0, 0)]
        };
        let geometry = (0..50)
            .filter_map(|_| self.places.place_in(&county, &mut random))
            .map(corners)
            .find(|ring| boundary.is_some_and(|boundary| ring.iter().all(|corner| boundary.covers(*corner))))
            .and_then(|ring| Geometry::from_shape(Shape::Polygons(vec![vec![ring]]), Datum::Cgcs2000).ok())
            .unwrap_or_else(|| Geometry::of_point(self.home_place(), Datum::Cgcs2000));
        // Cadastral district, parcel, no building: 6 + 6 + 2 + 5 + 9 characters.
        let code = format!("{UNASSIGNED}{:06}GB{:05}W00000000", index / 100_000 + 1_001, index % 100_000);
        let owner = if index == 0 { hard::ADULT } else { self.adult(index * 11 + 3).unwrap_or(hard::ADULT) };
        Parcel { index, code, county, geometry, owner }
    }

    fn parcel_row(&self, parcel: &Parcel) -> Result<Row, CodeFault> {
        let owner = self.resident(parcel.owner)?;
        Ok(vec![
            ("feature_code", parcel.code.clone()),
            ("kind", "parcel".to_owned()),
            ("name", format!("{}演示宗地{}", self.places.name(&parcel.county).unwrap_or_default(), parcel.index)),
            ("division", parcel.county.clone()),
            ("geometry", parcel.geometry.to_geojson()),
            ("datum", "CGCS2000".to_owned()),
            ("area_m2", format!("{:.2}", parcel.geometry.area_m2())),
            ("owner_code_type", owner.code.code_type().to_string()),
            ("owner_code", owner.code.code().to_owned()),
        ])
    }

    fn point_row(&self, kind: &'static str, prefix: &str, index: u64) -> Row {
        let mut random = self.random(kind, index);
        let county = self.county(&mut random);
        let place = self.places.place_in(&county, &mut random).unwrap_or_else(|| self.home_place());
        let name = if kind == "facility" {
            format!("演示{}{index}", random.pick(&["便民服务点", "卫生站", "图书室", "停车场"]))
        } else {
            format!("{}演示路{index}号", self.places.full_name(&county))
        };
        vec![
            ("feature_code", format!("{prefix}{UNASSIGNED}{index:08}")),
            ("kind", kind.to_owned()),
            ("name", name),
            ("division", county),
            ("geometry", Geometry::of_point(place, Datum::Cgcs2000).to_geojson()),
            ("datum", "CGCS2000".to_owned()),
        ]
    }

    /// A place in Tiantai's county town.
    pub fn home_place(&self) -> Position {
        Position { longitude_e9: 121_030_000_000, latitude_e9: 29_140_000_000 }
    }

    /// The hard cases, by name.
    ///
    /// # Errors
    /// None with the data compiled in; a test makes them.
    pub fn hard_cases(&self) -> Result<HardCases, CodeFault> {
        let birth = self.days_ago(30 * 365);
        Ok(HardCases {
            rare_character: self.resident(hard::RARE)?,
            dotted_name: self.resident(hard::DOTTED)?,
            x_check: self.resident(hard::X_CHECK)?,
            fifteen_digits: self.resident(hard::FIFTEEN)?,
            foreign: self.resident(hard::FOREIGN)?,
            deceased: self.resident(hard::DECEASED)?,
            private_use: self.resident(hard::PRIVATE_USE)?,
            minor: self.resident(hard::MINOR)?,
            adult: self.resident(hard::ADULT)?,
            suspended_driver: self.resident(hard::SUSPENDED_DRIVER)?,
            trader: self.resident(hard::TRADER)?,
            revoked_firm: self.firm(0)?,
            expired_permit_firm: self.firm(1)?,
            firm: self.firm(2)?,
            listed_firm: self.firm(3)?,
            // Sequence 999 is given to nobody.
            nobody: HolderCode::of_citizen(&CitizenId::make(UNASSIGNED, birth, 999)?),
            not_covered: HolderCode::parse("414", "EE0000000")?,
            place: self.home_place(),
        })
    }

    pub(super) fn is_suspended_driver(&self, index: u64) -> bool {
        index == hard::SUSPENDED_DRIVER
    }
}

/// Eight characters of an organisation code, another for every index below 31^6.
fn organisation(index: u64) -> String {
    const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
    let mut rest = index.wrapping_mul(700_001).wrapping_add(12_345) % 31_u64.pow(6);
    let mut body = String::from("MD");
    for _ in 0..6 {
        let at = usize::try_from(rest % 31).unwrap_or(0);
        body.push(ALPHABET.get(at).copied().map_or('0', char::from));
        rest /= 31;
    }
    body
}

fn made_up_name(random: &mut Random, male: bool) -> String {
    let given = if male { MALE } else { FEMALE };
    let second = if random.chance(700) { random.pick(given) } else { "" };
    format!("{}{}{second}", random.pick(SURNAMES), random.pick(given))
}

const SURNAMES: &[&str] = &[
    "王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙", "胡", "朱", "高", "林", "何", "郭", "马",
    "罗", "梁", "宋", "郑", "谢", "韩", "唐", "冯", "于", "董", "萧", "程", "曹", "袁", "邓", "许", "傅", "沈", "曾",
    "彭", "吕", "苏", "卢", "蒋", "蔡", "贾", "丁", "魏", "薛", "叶", "阎", "余", "潘", "杜", "戴", "夏", "钟", "汪",
    "田", "任", "姜", "欧阳", "诸葛", "上官", "司马",
];
const MALE: &[&str] = &[
    "伟", "强", "磊", "军", "勇", "杰", "涛", "明", "超", "辉", "刚", "平", "建", "国", "文", "斌", "鹏", "宇", "浩",
    "俊", "峰", "志", "海", "云", "天", "台", "山", "成",
];
const FEMALE: &[&str] = &[
    "芳", "娜", "敏", "静", "丽", "艳", "娟", "霞", "秀", "英", "兰", "玲", "红", "梅", "燕", "雪", "慧", "婷", "欣",
    "怡", "佳", "琳", "月", "莲", "春", "晓", "雅", "青",
];
const WORDS: &[&str] =
    &["华", "顶", "石", "梁", "寒", "岩", "赤", "城", "国", "清", "琼", "台", "始", "丰", "桐", "柏"];
/// Trade, scope, food.
const TRADES: &[(&str, &str, bool)] = &[
    ("茶叶", "茶叶种植、加工、销售", true),
    ("餐饮", "餐饮服务", true),
    ("食品", "预包装食品销售", true),
    ("橡塑", "橡胶制品、塑料制品制造", false),
    ("汽车用品", "汽车装饰用品制造、销售", false),
    ("旅游", "旅游信息咨询；住宿服务", false),
    ("工艺品", "工艺品制造、销售", false),
    ("建材", "建筑材料销售", false),
    ("药材", "中药材种植", false),
];

#[cfg(test)]
#[path = "city_tests.rs"]
mod tests;
