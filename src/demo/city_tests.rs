//! The made-up city keeps its promises.

use super::*;
use crate::library::codes::QualityFlag;
use crate::library::schema::validate_row;
use std::collections::BTreeSet;

fn city() -> City {
    City::new(5, 2_000, CalendarDate::new(2026, 3, 1).unwrap()).unwrap()
}

#[test]
fn every_row_is_accepted_and_no_key_comes_twice() {
    let city = city();
    for library in [Library::Population, Library::LegalEntity, Library::Credit, Library::Geospatial] {
        let mut keys = BTreeSet::new();
        for row in city.rows(library) {
            let row = row.unwrap();
            let row = validate_row(library, &row).unwrap_or_else(|faults| panic!("{row:?}: {faults:?}"));
            assert!(keys.insert(row.key.clone()), "{:?} twice", row.key);
            if let Some(subject) = &row.subject {
                let made_up = subject.code().contains(UNASSIGNED) || subject.code_type().as_str() == "553";
                assert!(made_up, "{subject} might be somebody's");
            }
        }
        assert!(keys.len() as u64 >= city.people() / 20, "{library:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_city_and_another_seed_another() {
    let other = City::new(6, 2_000, city().today()).unwrap();
    let rows = |city: &City| city.residents().take(50).map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(rows(&city()), rows(&city()));
    assert_ne!(rows(&city()), rows(&other));
}

#[test]
fn numbers_stay_unique_when_birth_days_come_again() {
    let city = City::new(1, 10_000_000, CalendarDate::new(2026, 3, 1).unwrap()).unwrap();
    let mut seen = BTreeSet::new();
    for start in [0, 2 * DAYS - 100, 4 * DAYS, 9_999_800] {
        for index in start..start + 200 {
            assert!(seen.insert(city.resident(index).unwrap().code), "{index}");
        }
    }
}

#[test]
fn the_hard_cases_are_what_their_names_say() {
    let city = city();
    let hard = city.hard_cases().unwrap();
    assert!(hard.rare_character.name.chars().any(|c| c.len_utf8() == 4));
    assert!(hard.dotted_name.name.contains('·'));
    assert!(hard.x_check.code.code().ends_with('X'));
    assert_eq!(hard.fifteen_digits.code_as_sent.len(), 15);
    assert_eq!(HolderCode::parse("111", &hard.fifteen_digits.code_as_sent).unwrap(), hard.fifteen_digits.code);
    assert_eq!(hard.foreign.code.code_type().as_str(), "553");
    assert!(hard.deceased.deceased && !hard.adult.deceased);
    assert!(city.age(hard.minor.birth) < 18 && city.age(hard.adult.birth) >= 18);
    assert_eq!((hard.revoked_firm.status, hard.revoked_firm.representative), ("revoked", hard.trader.index));
    assert_eq!((hard.firm.status, hard.listed_firm.status, hard.expired_permit_firm.food), ("active", "active", true));
    assert!((0..city.people()).all(|index| city.resident(index).unwrap().code != hard.nobody));
    assert!(city.places().boundary(HOME).unwrap().covers(hard.place));
    let flags: Vec<QualityFlag> = [hard.fifteen_digits.index, hard.private_use.index]
        .into_iter()
        .flat_map(|index| {
            validate_row(Library::Population, &city.resident_row(&city.resident(index).unwrap())).unwrap().flags
        })
        .collect();
    assert_eq!(flags, [QualityFlag::UpgradedFromFifteen, QualityFlag::PrivateUseCharacter]);
}

#[test]
fn parcels_lie_in_the_real_county_they_name_and_most_in_tiantai() {
    let city = city();
    let parcels: Vec<Parcel> = (0..city.parcels_count()).map(|index| city.parcel(index)).collect();
    for parcel in &parcels {
        assert!(parcel.geometry.is_within(city.places().boundary(&parcel.county).unwrap()), "{}", parcel.code);
        assert!(parcel.geometry.area_m2() > 90.0 && parcel.code.len() == 28);
    }
    assert!(parcels.iter().filter(|parcel| parcel.county == HOME).count() * 2 > parcels.len());
}

#[test]
fn spouses_name_each_other() {
    let city = city();
    let wed = (0..city.people()).filter_map(|index| Some((index, city.resident(index).unwrap().spouse?)));
    let wed: Vec<(u64, u64)> = wed.collect();
    assert!(wed.len() > 400);
    assert!(wed.iter().all(|(one, other)| city.resident(*other).unwrap().spouse == Some(*one)));
}
