//! Geometry between its wire form (whole numbers of 1e-9 degree) and the domain's.
use super::proto::library::v1::{Geometry as Wire, Point, Polygon, Ring};
use crate::library::geospatial::{Datum, Geometry, Position, Shape};

/// The wire form.
pub fn to_proto(geometry: &Geometry) -> Wire {
    let datum = geometry.datum().name().to_owned();
    match geometry.shape() {
        Shape::Point(p) => {
            let point = Point { longitude_e9: p.longitude_e9, latitude_e9: p.latitude_e9 };
            Wire { point: Some(point), polygons: Vec::new(), datum }
        }
        Shape::Polygons(polygons) => {
            let ring = |ring: &Vec<Position>| Ring {
                coordinates_e9: ring.iter().flat_map(|p| [p.longitude_e9, p.latitude_e9]).collect(),
            };
            let polygons = polygons.iter().map(|rings| Polygon { rings: rings.iter().map(ring).collect() }).collect();
            Wire { point: None, polygons, datum }
        }
    }
}

/// The domain form; `None` for what no valid geometry was made of.
pub fn from_proto(wire: &Wire) -> Option<Geometry> {
    let datum = Datum::from_name(&wire.datum)?;
    let shape = match (&wire.point, wire.polygons.is_empty()) {
        (Some(point), true) => {
            Shape::Point(Position { longitude_e9: point.longitude_e9, latitude_e9: point.latitude_e9 })
        }
        (None, false) => {
            let ring = |ring: &Ring| {
                let (pairs, rest) = ring.coordinates_e9.as_chunks::<2>();
                let positions = pairs.iter().map(|[longitude_e9, latitude_e9]| Position {
                    longitude_e9: *longitude_e9,
                    latitude_e9: *latitude_e9,
                });
                rest.is_empty().then(|| positions.collect::<Vec<_>>())
            };
            let polygons =
                wire.polygons.iter().map(|polygon| polygon.rings.iter().map(ring).collect::<Option<Vec<_>>>());
            Shape::Polygons(polygons.collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    };
    Geometry::from_shape(shape, datum).ok()
}
