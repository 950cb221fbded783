//! Coordinate systems met in source data, and the way back from the shifted ones.

use std::f64::consts::PI;

/// The datum of coordinates the hub holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Datum {
    /// China Geodetic Coordinate System 2000.
    Cgcs2000,
    /// World Geodetic System 1984; within centimetres of CGCS2000.
    Wgs84,
}

impl Datum {
    /// The canonical name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgcs2000 => "CGCS2000",
            Self::Wgs84 => "WGS84",
        }
    }

    /// The datum with this canonical name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Cgcs2000, Self::Wgs84].into_iter().find(|datum| datum.name() == name)
    }
}

/// The datum a source states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceDatum {
    /// Kept as it is.
    Cgcs2000,
    /// Kept as it is.
    Wgs84,
    /// The shifted system of online maps (火星坐标); converted.
    Gcj02,
    /// The twice shifted system of one map provider; converted.
    Bd09,
}

impl SourceDatum {
    /// Reads the names found in source data, without regard to case, hyphens and spaces; `None` for any other datum.
    pub fn parse(text: &str) -> Option<Self> {
        let name: String = text.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_uppercase()).collect();
        match name.as_str() {
            "CGCS2000" | "EPSG4490" | "国家2000" | "2000国家大地坐标系" => Some(Self::Cgcs2000),
            "WGS84" | "WGS1984" | "EPSG4326" => Some(Self::Wgs84),
            "GCJ02" | "火星坐标" | "火星坐标系" => Some(Self::Gcj02),
            "BD09" | "BD09LL" | "百度坐标" | "百度坐标系" => Some(Self::Bd09),
            _ => None,
        }
    }

    /// The canonical name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cgcs2000 => "CGCS2000",
            Self::Wgs84 => "WGS84",
            Self::Gcj02 => "GCJ02",
            Self::Bd09 => "BD09",
        }
    }

    /// The datum the hub holds such coordinates in.
    pub fn held_as(self) -> Datum {
        match self {
            Self::Cgcs2000 => Datum::Cgcs2000,
            Self::Wgs84 | Self::Gcj02 | Self::Bd09 => Datum::Wgs84,
        }
    }

    /// Degrees (longitude, latitude) in the datum the hub holds them in.
    pub fn to_held(self, longitude: f64, latitude: f64) -> (f64, f64) {
        match self {
            Self::Cgcs2000 | Self::Wgs84 => (longitude, latitude),
            Self::Gcj02 => unshift(longitude, latitude),
            Self::Bd09 => {
                let (longitude, latitude) = bd09_to_gcj02(longitude, latitude);
                unshift(longitude, latitude)
            }
        }
    }
}

/// The inverse of the shift has no closed form: the shift varies slowly, so subtracting it repeatedly converges; eight rounds are
/// far below 1e-9 degree.
fn unshift(longitude: f64, latitude: f64) -> (f64, f64) {
    let (mut x, mut y) = (longitude, latitude);
    for _ in 0..8 {
        let (shifted_x, shifted_y) = wgs84_to_gcj02(x, y);
        x -= shifted_x - longitude;
        y -= shifted_y - latitude;
    }
    (x, y)
}

/// The published form of the shift: a series in both coordinates, scaled on the Krasovsky ellipsoid.
fn wgs84_to_gcj02(longitude: f64, latitude: f64) -> (f64, f64) {
    const SEMI_MAJOR_M: f64 = 6_378_245.0;
    const ECCENTRICITY_SQUARED: f64 = 0.006_693_421_622_965_94;
    let (x, y) = (longitude - 105.0, latitude - 35.0);
    let common = (20.0 * (6.0 * x * PI).sin() + 20.0 * (2.0 * x * PI).sin()) * 2.0 / 3.0;
    let north = -100.0
        + 2.0 * x
        + 3.0 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * x.abs().sqrt()
        + common
        + (20.0 * (y * PI).sin() + 40.0 * (y * PI / 3.0).sin()) * 2.0 / 3.0
        + (160.0 * (y * PI / 12.0).sin() + 320.0 * (y * PI / 30.0).sin()) * 2.0 / 3.0;
    let east = 300.0
        + x
        + 2.0 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * x.abs().sqrt()
        + common
        + (20.0 * (x * PI).sin() + 40.0 * (x * PI / 3.0).sin()) * 2.0 / 3.0
        + (150.0 * (x * PI / 12.0).sin() + 300.0 * (x * PI / 30.0).sin()) * 2.0 / 3.0;
    let radians = latitude.to_radians();
    let root = (1.0 - ECCENTRICITY_SQUARED * radians.sin() * radians.sin()).sqrt();
    let meridian = SEMI_MAJOR_M * (1.0 - ECCENTRICITY_SQUARED) / (root * root * root);
    let parallel = SEMI_MAJOR_M / root * radians.cos();
    (longitude + (east / parallel).to_degrees(), latitude + (north / meridian).to_degrees())
}

/// A further rotation and scaling about the origin, undone as its publisher describes.
fn bd09_to_gcj02(longitude: f64, latitude: f64) -> (f64, f64) {
    const TURN: f64 = PI * 3000.0 / 180.0;
    let undo = |x: f64, y: f64, guess_x: f64, guess_y: f64| {
        let radius = x.hypot(y) - 0.000_02 * (guess_y * TURN).sin();
        let angle = y.atan2(x) - 0.000_003 * (guess_x * TURN).cos();
        (radius * angle.cos(), radius * angle.sin())
    };
    let (x, y) = (longitude - 0.0065, latitude - 0.006);
    // The terms undone depend on the result; the usual single step errs by up to a metre, more steps converge.
    let (mut guess_x, mut guess_y) = (x, y);
    for _ in 0..8 {
        (guess_x, guess_y) = undo(x, y, guess_x, guess_y);
    }
    (guess_x, guess_y)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gcj02_to_bd09(x: f64, y: f64) -> (f64, f64) {
        const TURN: f64 = PI * 3000.0 / 180.0;
        let radius = x.hypot(y) + 0.000_02 * (y * TURN).sin();
        let angle = y.atan2(x) + 0.000_003 * (x * TURN).cos();
        (radius * angle.cos() + 0.0065, radius * angle.sin() + 0.006)
    }

    #[test]
    fn the_shift_is_the_published_one() {
        for (longitude, latitude, shifted_longitude, shifted_latitude) in [
            (121.527_210_6, 31.177_427_6, 121.531_541_859_215, 31.175_303_983_645_97),
            (113.912_316, 22.543_847, 113.917_176_480_836_3, 22.540_796_131_694_766),
            (116.377_817, 39.911_954, 116.384_047_224_554_57, 39.913_345_545_360_69),
        ] {
            let (x, y) = wgs84_to_gcj02(longitude, latitude);
            assert!((x - shifted_longitude).abs() < 1e-6 && (y - shifted_latitude).abs() < 1e-6, "{x} {y}");
        }
    }

    #[test]
    fn unknown_datums_are_not_guessed() {
        for text in ["", "Beijing54", "西安80", "WGS", "GCJ"] {
            assert_eq!(SourceDatum::parse(text), None, "{text}");
        }
        assert_eq!(SourceDatum::parse("cgcs-2000"), Some(SourceDatum::Cgcs2000));
        assert_eq!(SourceDatum::parse("GCJ-02"), Some(SourceDatum::Gcj02));
    }

    proptest::proptest! {
        #[test]
        fn converting_undoes_the_shift_to_a_billionth_of_a_degree(x in 74.0f64..135.0, y in 4.0f64..53.0) {
            let (gcj_x, gcj_y) = wgs84_to_gcj02(x, y);
            let (back_x, back_y) = SourceDatum::Gcj02.to_held(gcj_x, gcj_y);
            proptest::prop_assert!((back_x - x).abs() < 1e-9 && (back_y - y).abs() < 1e-9);
            let (bd_x, bd_y) = gcj02_to_bd09(gcj_x, gcj_y);
            let (back_x, back_y) = SourceDatum::Bd09.to_held(bd_x, bd_y);
            proptest::prop_assert!((back_x - x).abs() < 1e-9 && (back_y - y).abs() < 1e-9, "{} {}", back_x - x, back_y - y);
        }
    }
}
