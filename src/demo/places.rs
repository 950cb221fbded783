//! The real places: divisions of five prefectures and the boundaries of their counties.

use super::random::Random;
use crate::library::codes::Division;
use crate::library::geospatial::{Geometry, Position, SourceDatum};
use std::collections::BTreeMap;

/// The county the demo is at home in: Tiantai.
pub const HOME: &str = "331023";
/// The prefecture around it: Taizhou.
pub const PREFECTURE: &str = "3310";
/// A county code of that prefecture that was never assigned; all made-up numbers stand in it.
pub const UNASSIGNED: &str = "331099";

const DIVISIONS: &str = include_str!("data/divisions.csv");
const COUNTIES: &str = include_str!("data/counties.geojson");

/// Names of divisions, boundaries of counties.
#[derive(Debug)]
pub struct Places {
    names: BTreeMap<&'static str, &'static str>,
    boundaries: BTreeMap<String, Geometry>,
    villages: Vec<&'static str>,
}

impl Places {
    /// Reads the data compiled into the program.
    ///
    /// # Errors
    /// What is wrong with that data.
    pub fn load() -> Result<Self, String> {
        let names: BTreeMap<&str, &str> = DIVISIONS
            .lines()
            .skip(1)
            .filter_map(|line| {
                let (code, rest) = line.split_once(',')?;
                Some((code, rest.split(',').next()?))
            })
            .collect();
        let file: geojson::FeatureCollection =
            COUNTIES.parse::<geojson::GeoJson>().and_then(TryInto::try_into).map_err(|error| error.to_string())?;
        let mut boundaries = BTreeMap::new();
        for feature in file.features {
            let code =
                feature.property("code").and_then(|code| code.as_str()).ok_or("a county without a code")?.to_owned();
            let text = feature.geometry.ok_or("a county without a boundary")?.to_string();
            let boundary = Geometry::from_geojson(&text, SourceDatum::Cgcs2000).map_err(|fault| fault.en())?;
            boundaries.insert(code, boundary);
        }
        let villages = names.keys().copied().filter(|code| code.len() == 12 && code.starts_with(HOME)).collect();
        Ok(Self { names, boundaries, villages })
    }

    /// The name of a division.
    pub fn name(&self, code: &str) -> Option<&'static str> {
        self.names.get(code).copied()
    }

    /// Whether the data lists this division.
    pub fn is_listed(&self, code: &str) -> bool {
        self.names.contains_key(code)
    }

    /// The names from the province down, joined.
    pub fn full_name(&self, code: &str) -> String {
        let Ok(division) = Division::parse(code) else { return String::new() };
        let mut above: Vec<Division> = std::iter::successors(Some(division), Division::parent).collect();
        above.reverse();
        above.iter().filter_map(|division| self.name(division.as_str())).collect()
    }

    /// The boundary of a county.
    pub fn boundary(&self, county: &str) -> Option<&Geometry> {
        self.boundaries.get(county)
    }

    /// Counties of the home prefecture, by code.
    pub fn counties(&self) -> impl Iterator<Item = (&str, &Geometry)> {
        self.boundaries.iter().filter(|(code, _)| code.starts_with(PREFECTURE)).map(|(code, at)| (code.as_str(), at))
    }

    /// A village of the home county.
    pub fn village(&self, random: &mut Random) -> &'static str {
        random.pick(&self.villages)
    }

    /// A place inside a county's boundary.
    pub fn place_in(&self, county: &str, random: &mut Random) -> Option<Position> {
        let boundary = self.boundary(county)?;
        let (low, high) = boundary.bounds();
        // A county fills a good part of its box; a hundred misses in a row do not happen with the data compiled in.
        (0..100)
            .map(|_| Position {
                longitude_e9: random.between(low.longitude_e9, high.longitude_e9),
                latitude_e9: random.between(low.latitude_e9, high.latitude_e9),
            })
            .find(|position| boundary.covers(*position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_division_of_made_up_numbers_was_never_assigned() {
        let places = Places::load().unwrap();
        assert!(!places.is_listed(UNASSIGNED) && places.is_listed(HOME));
        assert!(!DIVISIONS.lines().any(|line| line.starts_with(UNASSIGNED)), "no township or village below it either");
        assert_eq!(places.full_name("331023"), "浙江省台州市天台县");
        assert_eq!(places.counties().count(), 9);
    }

    #[test]
    fn places_lie_inside_the_real_boundary() {
        let places = Places::load().unwrap();
        let mut random = Random::of(1, "places", 0);
        for (county, boundary) in places.counties() {
            let place = places.place_in(county, &mut random).unwrap();
            assert!(boundary.covers(place), "{county}");
        }
        assert!(places.full_name(places.village(&mut random)).starts_with("浙江省台州市天台县"));
    }
}
