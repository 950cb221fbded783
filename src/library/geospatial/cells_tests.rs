//! The index against brute force, on the real boundaries of 35 counties.

use super::*;
use crate::library::geospatial::{Datum, SourceDatum};
use proptest::prelude::*;
use std::sync::LazyLock;

/// Code, boundary, cells of every county in the demo data.
static COUNTIES: LazyLock<Vec<(String, Geometry, BTreeSet<CellKey>)>> = LazyLock::new(|| {
    let file: geojson::FeatureCollection =
        include_str!("../../demo/data/counties.geojson").parse::<geojson::GeoJson>().unwrap().try_into().unwrap();
    file.features
        .into_iter()
        .map(|feature| {
            let code = feature.property("code").unwrap().as_str().unwrap().to_owned();
            let text = feature.geometry.unwrap().to_string();
            let geometry =
                Geometry::from_geojson(&text, SourceDatum::Cgcs2000).unwrap_or_else(|fault| panic!("{code}: {fault}"));
            let cells = cover(&geometry).into_iter().collect();
            (code, geometry, cells)
        })
        .collect()
});

fn found_by_index(position: Position) -> Vec<&'static str> {
    let keys = cells_for(position);
    COUNTIES
        .iter()
        .filter(|(_, geometry, cells)| keys.iter().any(|key| cells.contains(key)) && geometry.covers(position))
        .map(|(code, ..)| code.as_str())
        .collect()
}

fn found_by_force(position: Position) -> Vec<&'static str> {
    COUNTIES.iter().filter(|(_, geometry, _)| geometry.covers(position)).map(|(code, ..)| code.as_str()).collect()
}

fn square(x: i64, y: i64, side: i64) -> Geometry {
    let at = |longitude_e9, latitude_e9| Position { longitude_e9, latitude_e9 };
    let ring = vec![at(x, y), at(x + side, y), at(x + side, y + side), at(x, y + side), at(x, y)];
    Geometry::from_shape(Shape::Polygons(vec![vec![ring]]), Datum::Cgcs2000).unwrap()
}

#[test]
fn every_county_fits_its_index_rows_into_one_batch() {
    assert_eq!(COUNTIES.len(), 35);
    for (code, geometry, cells) in COUNTIES.iter() {
        assert!(!cells.is_empty() && cells.len() <= CELLS_MAX, "{code}: {} cells", cells.len());
        assert!(geometry.area_m2() > 1e6, "{code}");
    }
}

#[test]
fn tiantai_is_found_from_its_town() {
    let town = Position::from_degrees(121.03, 29.14).unwrap();
    assert_eq!(found_by_index(town), ["331023"]);
}

#[test]
fn corners_of_boundaries_are_found() {
    for (code, geometry, _) in COUNTIES.iter() {
        for position in geometry.positions().step_by(7) {
            assert!(found_by_index(position).contains(&code.as_str()), "{code} {position:?}");
        }
    }
}

#[test]
fn a_family_holds_exactly_the_descendants() {
    let cell = LatLng::new(29.14, 121.03).unwrap().to_cell(Resolution::Seven);
    let (first, last) = CellKey::of(cell).family();
    let within = |key: CellKey| (first..=last).contains(&key);
    assert!(within(CellKey::of(cell)));
    assert!(cell.children(Resolution::Nine).all(|child| within(CellKey::of(child))));
    assert!(!ancestors(cell).any(|above| within(CellKey::of(above))));
    for neighbour in cell.grid_disk::<Vec<_>>(1).into_iter().filter(|other| *other != cell) {
        assert!(!within(CellKey::of(neighbour)));
        assert!(!neighbour.children(Resolution::Nine).any(|child| within(CellKey::of(child))));
    }
    assert_eq!(CellKey::from_bytes(CellKey::of(cell).bytes()), CellKey::of(cell));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_index_finds_what_brute_force_finds(county in 0usize..35, east in 0.0f64..1.0, north in 0.0f64..1.0) {
        let (low, high) = COUNTIES[county].1.bounds();
        let between = |low: i64, high: i64, share: f64| low + ((high - low) as f64 * share) as i64;
        let position = Position {
            longitude_e9: between(low.longitude_e9, high.longitude_e9, east),
            latitude_e9: between(low.latitude_e9, high.latitude_e9, north),
        };
        prop_assert_eq!(found_by_index(position), found_by_force(position));
    }

    #[test]
    fn a_parcel_is_found_from_every_place_in_it(
        x in 120_700_000_000i64..121_200_000_000, y in 28_950_000_000i64..29_300_000_000, side in 10_000i64..9_000_000,
        east in 0.0f64..=1.0, north in 0.0f64..=1.0,
    ) {
        let parcel = square(x, y, side);
        let cells = cover(&parcel);
        let place = Position { longitude_e9: x + (side as f64 * east) as i64, latitude_e9: y + (side as f64 * north) as i64 };
        prop_assert!(parcel.covers(place));
        prop_assert!(cells_for(place).iter().any(|key| cells.contains(key)));
    }

    #[test]
    fn an_area_scan_misses_no_feature_that_touches(
        x in 120_700_000_000i64..121_200_000_000, y in 28_950_000_000i64..29_300_000_000,
        big in 100_000i64..60_000_000, small in 10_000i64..5_000_000, east in -0.2f64..1.2, north in -0.2f64..1.2,
    ) {
        let area = square(x, y, big);
        let feature = square(x + (big as f64 * east) as i64, y + (big as f64 * north) as i64, small);
        let scan = area_scan(&area);
        let hit = |key: &CellKey| scan.cells.contains(key) || scan.families.iter().any(|(first, last)| (first..=last).contains(&key));
        if area.intersects(&feature) {
            prop_assert!(cover(&feature).iter().any(hit));
        }
        let point = Geometry::of_point(Position { longitude_e9: x + big / 2, latitude_e9: y + big / 3 }, Datum::Cgcs2000);
        prop_assert!(cover(&point).iter().any(hit));
    }
}
