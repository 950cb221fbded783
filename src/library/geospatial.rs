//! Geometry that can be trusted: a known datum, whole numbers, exact predicates, and an index that misses nothing.
//!
//! Promise: coordinates enter with the datum their source states. CGCS2000 and WGS 84 (apart by centimetres) are taken as they
//! are; GCJ-02 and BD-09, shifted by 100–700 m, are converted and the conversion is remembered; anything else is refused.

mod cells;
mod datum;
mod shape;

pub use cells::{AreaScan, CELLS_MAX, CellKey, RESOLUTION, area_scan, cells_for, cover};
pub use datum::{Datum, SourceDatum};
pub use shape::{Geometry, GeometryFault, POINTS_MAX, Position, Shape};
