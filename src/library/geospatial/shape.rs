//! Points and areas in whole billionths of a degree.
//!
//! Predicates run on those whole numbers as `f64`, which holds them exactly, so inside, outside and boundary are decided without
//! rounding. Degrees as floating point exist only at the doors: GeoJSON in, the cell index, area.

use super::{Datum, SourceDatum};
use geo::orient::Direction;
use geo::{Area, BoundingRect, CoordsIter, GeodesicArea, Intersects, Orient, Relate, Validation};
use std::fmt;

/// Most positions of one geometry.
pub const POINTS_MAX: usize = 20_000;
const E9: f64 = 1e9;

/// A place: 1e-9 degree east and north.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// East, 1e-9 degree.
    pub longitude_e9: i64,
    /// North, 1e-9 degree.
    pub latitude_e9: i64,
}

impl Position {
    /// From degrees; `None` outside the box that holds China with its seas (73–136° E, 3–54° N), which is also how swapped
    /// coordinates are noticed.
    pub fn from_degrees(longitude: f64, latitude: f64) -> Option<Self> {
        let inside = (73.0..=136.0).contains(&longitude) && (3.0..=54.0).contains(&latitude);
        inside.then(|| Self {
            longitude_e9: (longitude * E9).round() as i64,
            latitude_e9: (latitude * E9).round() as i64,
        })
    }

    /// Degrees east and north.
    pub fn degrees(self) -> (f64, f64) {
        (self.longitude_e9 as f64 / E9, self.latitude_e9 as f64 / E9)
    }

    fn whole(self) -> geo::Coord {
        geo::Coord { x: self.longitude_e9 as f64, y: self.latitude_e9 as f64 }
    }
}

/// A polygon: rings, the outer one first, each closed.
pub type Rings = Vec<Vec<Position>>;

/// What a geometry is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One place.
    Point(Position),
    /// One polygon or several.
    Polygons(Vec<Rings>),
}

/// Why a geometry cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GeometryFault {
    /// No GeoJSON geometry.
    Unreadable(String),
    /// A geometry type other than Point, Polygon, MultiPolygon.
    Kind(String),
    /// Coordinates outside China, or swapped.
    OutOfRange {
        /// Longitude as given.
        longitude: String,
        /// Latitude as given.
        latitude: String,
    },
    /// Too many positions.
    TooManyPoints(usize),
    /// A ring that is open, too short or crosses itself, a hole outside its polygon.
    Invalid(String),
}

impl GeometryFault {
    /// One Chinese sentence.
    pub fn zh(&self) -> String {
        match self {
            Self::Unreadable(_) => "几何不是可读的GeoJSON".to_owned(),
            Self::Kind(kind) => format!("几何类型{kind}不支持，应为Point、Polygon或MultiPolygon"),
            Self::OutOfRange { longitude, latitude } => {
                format!("坐标（{longitude}, {latitude}）不在中国范围内，应为（经度, 纬度），是否颠倒？")
            }
            Self::TooManyPoints(found) => format!("几何有{found}个点，最多{POINTS_MAX}个"),
            Self::Invalid(what) => format!("多边形无效：{what}"),
        }
    }

    /// One English sentence.
    pub fn en(&self) -> String {
        match self {
            Self::Unreadable(what) => format!("the geometry is not readable as GeoJSON: {what}"),
            Self::Kind(kind) => {
                format!("a geometry of type {kind} is not supported; use Point, Polygon or MultiPolygon")
            }
            Self::OutOfRange { longitude, latitude } => {
                format!("({longitude}, {latitude}) lies outside China; write (longitude, latitude). Swapped?")
            }
            Self::TooManyPoints(found) => format!("the geometry has {found} points, at most {POINTS_MAX} are allowed"),
            Self::Invalid(what) => format!("the polygon is not valid: {what}"),
        }
    }
}

impl fmt::Display for GeometryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en())
    }
}

impl std::error::Error for GeometryFault {}

/// A valid geometry in a datum the hub holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    shape: Shape,
    datum: Datum,
    converted_from: Option<SourceDatum>,
    /// The shape once more, in whole numbers as `geo` wants them.
    whole: geo::Geometry,
}

impl Geometry {
    /// Reads the text of a GeoJSON geometry whose coordinates are in `source`, converting where the hub does not hold that datum.
    ///
    /// # Errors
    /// Unreadable, another type, out of range, too many points, invalid rings.
    pub fn from_geojson(text: &str, source: SourceDatum) -> Result<Self, GeometryFault> {
        let geometry: geojson::Geometry =
            text.parse().map_err(|error: geojson::Error| GeometryFault::Unreadable(cut(&error.to_string())))?;
        let geometry = geo::Geometry::<f64>::try_from(geometry)
            .map_err(|error| GeometryFault::Unreadable(cut(&error.to_string())))?;
        let points = geometry.coords_count();
        if points > POINTS_MAX {
            return Err(GeometryFault::TooManyPoints(points));
        }
        let shape = match geometry {
            geo::Geometry::Point(point) => Shape::Point(held(point.0, source)?),
            geo::Geometry::Polygon(polygon) => Shape::Polygons(vec![rings(&polygon, source)?]),
            geo::Geometry::MultiPolygon(many) => {
                Shape::Polygons(many.iter().map(|polygon| rings(polygon, source)).collect::<Result<_, _>>()?)
            }
            other => return Err(GeometryFault::Kind(kind_of(&other).to_owned())),
        };
        let converted_from = matches!(source, SourceDatum::Gcj02 | SourceDatum::Bd09).then_some(source);
        Self::checked(shape, source.held_as(), converted_from)
    }

    /// A geometry from whole numbers, as stored and sent.
    ///
    /// # Errors
    /// As [`from_geojson`](Self::from_geojson).
    pub fn from_shape(shape: Shape, datum: Datum) -> Result<Self, GeometryFault> {
        for position in positions(&shape) {
            let (longitude, latitude) = position.degrees();
            Position::from_degrees(longitude, latitude).ok_or_else(|| out_of_range(longitude, latitude))?;
        }
        Self::checked(shape, datum, None)
    }

    /// A point.
    pub fn of_point(position: Position, datum: Datum) -> Self {
        let whole = geo::Geometry::Point(position.whole().into());
        Self { shape: Shape::Point(position), datum, converted_from: None, whole }
    }

    fn checked(shape: Shape, datum: Datum, converted_from: Option<SourceDatum>) -> Result<Self, GeometryFault> {
        let points = positions(&shape).count();
        if points > POINTS_MAX {
            return Err(GeometryFault::TooManyPoints(points));
        }
        let whole = whole(&shape);
        if let Shape::Polygons(polygons) = &shape {
            // geo closes an open ring by itself; we want what was sent to be what is meant.
            let closed = |ring: &Vec<Position>| ring.len() >= 4 && ring.first() == ring.last();
            if polygons.is_empty() || polygons.iter().any(|rings| rings.is_empty() || !rings.iter().all(closed)) {
                return Err(GeometryFault::Invalid("a ring is open or has fewer than four positions".to_owned()));
            }
            whole.check_validation().map_err(|error| GeometryFault::Invalid(cut(&error.to_string())))?;
        }
        Ok(Self { shape, datum, converted_from, whole })
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The datum it is held in.
    pub fn datum(&self) -> Datum {
        self.datum
    }

    /// Whether its coordinates were converted when it was read.
    pub fn was_converted(&self) -> bool {
        self.converted_from.is_some()
    }

    /// The same in degrees, for `geo` and the cell index.
    pub fn to_degrees(&self) -> geo::Geometry {
        use geo::MapCoords;
        self.whole.map_coords(|coord| geo::Coord { x: coord.x / E9, y: coord.y / E9 })
    }

    /// Canonical GeoJSON: no white space, at most nine decimals, `Polygon` for one polygon.
    pub fn to_geojson(&self) -> String {
        match &self.shape {
            Shape::Point(position) => format!(r#"{{"type":"Point","coordinates":{}}}"#, position_text(*position)),
            Shape::Polygons(polygons) => match polygons.as_slice() {
                [only] => format!(r#"{{"type":"Polygon","coordinates":{}}}"#, rings_text(only)),
                many => format!(r#"{{"type":"MultiPolygon","coordinates":[{}]}}"#, joined(many, rings_text)),
            },
        }
    }

    /// Whether the place is inside or on the boundary (for a point: the same place).
    pub fn covers(&self, position: Position) -> bool {
        self.whole.intersects(&position.whole())
    }

    /// Whether the two share at least one place, a boundary included.
    pub fn intersects(&self, other: &Self) -> bool {
        self.whole.intersects(&other.whole)
    }

    /// Whether no place of this lies outside `other`; sharing boundaries is allowed.
    pub fn is_within(&self, other: &Self) -> bool {
        let apart = match (self.whole.bounding_rect(), other.whole.bounding_rect()) {
            (Some(ours), Some(theirs)) => !ours.intersects(&theirs),
            _ => true,
        };
        !apart && self.whole.relate(&other.whole).is_coveredby()
    }

    /// Area on the WGS 84 ellipsoid, square metres; 0 for a point.
    pub fn area_m2(&self) -> f64 {
        // Winding decides which side of a ring counts: outer rings counter-clockwise, holes clockwise, however they were sent.
        match self.to_degrees() {
            geo::Geometry::Polygon(polygon) => polygon.orient(Direction::Default).geodesic_area_unsigned(),
            geo::Geometry::MultiPolygon(many) => many.orient(Direction::Default).geodesic_area_unsigned(),
            _ => 0.0,
        }
    }

    /// South-west and north-east corners.
    pub fn bounds(&self) -> (Position, Position) {
        let corner = |longitude_e9, latitude_e9| Position { longitude_e9, latitude_e9 };
        let longitudes = || positions(&self.shape).map(|position| position.longitude_e9);
        let latitudes = || positions(&self.shape).map(|position| position.latitude_e9);
        (
            corner(longitudes().min().unwrap_or(0), latitudes().min().unwrap_or(0)),
            corner(longitudes().max().unwrap_or(0), latitudes().max().unwrap_or(0)),
        )
    }

    /// All positions, ring by ring.
    pub fn positions(&self) -> impl Iterator<Item = Position> + '_ {
        positions(&self.shape)
    }

    /// Whether it is an area of no extent or a point.
    pub fn is_flat(&self) -> bool {
        self.whole.unsigned_area() == 0.0
    }
}

fn positions(shape: &Shape) -> impl Iterator<Item = Position> + '_ {
    let (point, polygons) = match shape {
        Shape::Point(position) => (Some(*position), &[][..]),
        Shape::Polygons(polygons) => (None, polygons.as_slice()),
    };
    point.into_iter().chain(polygons.iter().flatten().flatten().copied())
}

fn whole(shape: &Shape) -> geo::Geometry {
    let ring = |ring: &Vec<Position>| geo::LineString(ring.iter().map(|position| position.whole()).collect());
    let polygon = |rings: &Rings| {
        let mut rings = rings.iter().map(ring);
        let outer = rings.next().unwrap_or_else(|| geo::LineString(Vec::new()));
        geo::Polygon::new(outer, rings.collect())
    };
    match shape {
        Shape::Point(position) => geo::Geometry::Point(position.whole().into()),
        Shape::Polygons(polygons) => match polygons.as_slice() {
            [only] => geo::Geometry::Polygon(polygon(only)),
            many => geo::Geometry::MultiPolygon(many.iter().map(polygon).collect()),
        },
    }
}

fn rings(polygon: &geo::Polygon, source: SourceDatum) -> Result<Rings, GeometryFault> {
    std::iter::once(polygon.exterior())
        .chain(polygon.interiors())
        .map(|ring| {
            let mut positions = ring.0.iter().map(|coord| held(*coord, source)).collect::<Result<Vec<_>, _>>()?;
            positions.dedup();
            Ok(positions)
        })
        .collect()
}

fn held(coord: geo::Coord, source: SourceDatum) -> Result<Position, GeometryFault> {
    let fault = || out_of_range(coord.x, coord.y);
    Position::from_degrees(coord.x, coord.y).ok_or_else(fault)?;
    let (longitude, latitude) = source.to_held(coord.x, coord.y);
    Position::from_degrees(longitude, latitude).ok_or_else(fault)
}

fn out_of_range(longitude: f64, latitude: f64) -> GeometryFault {
    GeometryFault::OutOfRange { longitude: longitude.to_string(), latitude: latitude.to_string() }
}

fn kind_of(geometry: &geo::Geometry) -> &'static str {
    match geometry {
        geo::Geometry::LineString(_) | geo::Geometry::Line(_) => "LineString",
        geo::Geometry::MultiPoint(_) => "MultiPoint",
        geo::Geometry::MultiLineString(_) => "MultiLineString",
        _ => "GeometryCollection",
    }
}

fn cut(text: &str) -> String {
    text.chars().take(120).collect()
}

fn rings_text(rings: &Rings) -> String {
    format!("[{}]", joined(rings, |ring| format!("[{}]", joined(ring, |position| position_text(*position)))))
}

fn joined<T>(items: &[T], text: impl Fn(&T) -> String) -> String {
    items.iter().map(text).collect::<Vec<_>>().join(",")
}

fn position_text(position: Position) -> String {
    format!("[{},{}]", degrees_text(position.longitude_e9), degrees_text(position.latitude_e9))
}

/// Exact decimal degrees, without trailing zeros.
fn degrees_text(e9: i64) -> String {
    let (sign, size) = if e9 < 0 { ("-", e9.unsigned_abs()) } else { ("", e9.unsigned_abs()) };
    let (degrees, billionths) = (size / 1_000_000_000, size % 1_000_000_000);
    if billionths == 0 {
        return format!("{sign}{degrees}");
    }
    let fraction = format!("{billionths:09}");
    format!("{sign}{degrees}.{}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Geometry, GeometryFault> {
        Geometry::from_geojson(text, SourceDatum::Cgcs2000)
    }

    fn at(longitude: f64, latitude: f64) -> Position {
        Position::from_degrees(longitude, latitude).unwrap()
    }

    const SQUARE: &str = r#"{"type":"Polygon","coordinates":[[[121,29],[121.01,29],[121.01,29.01],[121,29.01],[121,29]],
        [[121.004,29.004],[121.006,29.004],[121.006,29.006],[121.004,29.006],[121.004,29.004]]]}"#;

    #[test]
    fn inside_hole_boundary_and_outside_are_told_apart() {
        let square = read(SQUARE).unwrap();
        for (longitude, latitude, expected) in [
            (121.001, 29.001, true),
            (121.005, 29.005, false), // in the hole
            (121.0, 29.005, true),    // on the boundary
            (121.004, 29.005, true),  // on the hole's boundary
            (121.01, 29.01, true),    // a corner
            (121.010_000_001, 29.01, false),
        ] {
            assert_eq!(square.covers(at(longitude, latitude)), expected, "{longitude} {latitude}");
        }
    }

    #[test]
    fn within_and_intersects_follow_the_boundary_rules() {
        let square = read(SQUARE).unwrap();
        let corner =
            read(r#"{"type":"Polygon","coordinates":[[[121,29],[121.002,29],[121.002,29.002],[121,29]]]}"#).unwrap();
        let hole = read(r#"{"type":"Polygon","coordinates":[[[121.0045,29.0045],[121.005,29.0045],[121.005,29.005],[121.0045,29.0045]]]}"#).unwrap();
        let beside =
            read(r#"{"type":"Polygon","coordinates":[[[121.01,29],[121.02,29],[121.02,29.01],[121.01,29]]]}"#).unwrap();
        assert!(corner.is_within(&square) && corner.intersects(&square) && !square.is_within(&corner));
        assert!(!hole.is_within(&square) && !hole.intersects(&square));
        assert!(beside.intersects(&square) && !beside.is_within(&square));
        let point = Geometry::of_point(at(121.0, 29.0), Datum::Cgcs2000);
        assert!(point.is_within(&square) && square.intersects(&point));
    }

    #[test]
    fn area_is_that_of_the_ellipsoid_less_the_holes() {
        let area = read(SQUARE).unwrap().area_m2();
        // 0.01° × 0.01° at 29° N: 973.9 m × 1,108.5 m, less a twenty-fifth for the hole.
        assert!((area - 973.9 * 1_108.5 * 0.96).abs() < 2_000.0, "{area}");
        assert_eq!(Geometry::of_point(at(121.0, 29.0), Datum::Wgs84).area_m2(), 0.0);
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_the_reason() {
        let fault = |text: &str| read(text).unwrap_err();
        assert!(matches!(fault("{"), GeometryFault::Unreadable(_)));
        assert!(matches!(fault(r#"{"type":"Point","coordinates":[121]}"#), GeometryFault::Unreadable(_)));
        assert_eq!(
            fault(r#"{"type":"LineString","coordinates":[[121,29],[122,29]]}"#),
            GeometryFault::Kind("LineString".into())
        );
        assert!(matches!(fault(r#"{"type":"Point","coordinates":[29,121]}"#), GeometryFault::OutOfRange { .. }));
        let bow = r#"{"type":"Polygon","coordinates":[[[121,29],[121.01,29.01],[121.01,29],[121,29.01],[121,29]]]}"#;
        assert!(matches!(fault(bow), GeometryFault::Invalid(_)));
        let flat = r#"{"type":"Polygon","coordinates":[[[121,29],[121.01,29.01],[121,29]]]}"#;
        assert!(matches!(fault(flat), GeometryFault::Invalid(_)));
        assert!(matches!(fault(r#"{"type":"MultiPolygon","coordinates":[]}"#), GeometryFault::Invalid(_)));
        for fault in [fault("{"), fault(bow)] {
            assert!(!fault.zh().is_empty() && !fault.en().is_empty());
        }
    }

    #[test]
    fn shifted_coordinates_are_converted_and_say_so() {
        let text = r#"{"type":"Point","coordinates":[121.531541859,31.175303984]}"#;
        let point = Geometry::from_geojson(text, SourceDatum::Gcj02).unwrap();
        assert!(point.was_converted() && point.datum() == Datum::Wgs84);
        let (longitude, latitude) = point.positions().next().unwrap().degrees();
        assert!((longitude - 121.527_210_6).abs() < 1e-6 && (latitude - 31.177_427_6).abs() < 1e-6);
        assert!(!read(text).unwrap().was_converted());
    }

    proptest! {
        #[test]
        fn canonical_text_and_whole_numbers_are_read_back(x in 73_000_000_000i64..136_000_000_000, y in 3_000_000_000i64..54_000_000_000) {
            let position = Position { longitude_e9: x, latitude_e9: y };
            let point = Geometry::of_point(position, Datum::Cgcs2000);
            let back = read(&point.to_geojson()).unwrap();
            prop_assert_eq!(back.shape(), point.shape());
            prop_assert_eq!(Geometry::from_shape(back.shape().clone(), Datum::Cgcs2000).unwrap(), point);
        }
    }
}
