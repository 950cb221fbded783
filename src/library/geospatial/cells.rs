//! The index: which cells a geometry touches, and which cells to ask for a place.
//!
//! H3 cells at one fixed resolution cover the geometry; complete families of cells are then replaced by their parent. Hexagons of
//! one resolution do not fill their parent exactly, but the *logical* hierarchy is exact, and only that is used: a place looks up
//! its own cell and that cell's ancestors. The cover may touch more than the geometry, never less; the exact predicate decides.

use super::shape::{Geometry, Position, Shape};
use h3o::geom::{ContainmentMode, TilerBuilder};
use h3o::{CellIndex, LatLng, Resolution};
use std::collections::BTreeSet;

/// The resolution of covers: hexagons of about 0.1 km², edge 200 m.
pub const RESOLUTION: Resolution = Resolution::Nine;
/// Most cells of one cover, so that a feature with its index rows fits into one store batch (design 8). Larger covers become
/// coarser at the finest level, which costs exact tests, never a hit.
pub const CELLS_MAX: usize = 400;
/// H3 draws cell edges as great circles, the tiler as straight lines in degrees; at this resolution they are millimetres apart. A
/// place within half a metre of an edge therefore asks for the cells on both sides.
const EDGE_DEGREES: f64 = 0.000_005;

/// A cell, numbered so that all its descendants follow in one contiguous range: base cell, fifteen digits of three bits (7 where
/// unused), resolution. As big-endian bytes it sorts the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey(u64);

impl CellKey {
    fn of(cell: CellIndex) -> Self {
        // An H3 index: 1 reserved bit, 4 mode, 3 reserved, 4 resolution, 7 base cell, 15 × 3 digits (7 where unused).
        let bits = u64::from(cell);
        let resolution = (bits >> 52) & 0xF;
        let path = bits & ((1 << 52) - 1);
        Self((path << 4) | resolution)
    }

    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// Eight bytes that sort as the number does.
    pub fn bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The cell with these bytes.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// First and last number of the cell and all its descendants.
    pub fn family(self) -> (Self, Self) {
        let resolution = self.0 & 0xF;
        let unused = 15u64.saturating_sub(resolution).saturating_mul(3);
        // The digits below this cell's resolution are all ones; descendants hold anything there.
        let below = ((1u64 << unused) - 1) << 4;
        (Self((self.0 & !below) & !0xF), Self(self.0 | below | 0xF))
    }
}

/// The cells of a geometry's index rows, ascending.
pub fn cover(geometry: &Geometry) -> Vec<CellKey> {
    compacted(geometry).into_iter().map(CellKey::of).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The cells whose rows may name a geometry that covers this place: its cell (near an edge also the neighbour's) and all ancestors.
pub fn cells_for(position: Position) -> Vec<CellKey> {
    let mut keys = BTreeSet::new();
    for cell in cells_at(position) {
        keys.insert(CellKey::of(cell));
        keys.extend(ancestors(cell).map(CellKey::of));
    }
    keys.into_iter().collect()
}

/// What to read to find every geometry that may share a place with another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AreaScan {
    /// Single cells: ancestors of the cover, where large features stand.
    pub cells: Vec<CellKey>,
    /// Ranges, both ends included: the cover and everything below it.
    pub families: Vec<(CellKey, CellKey)>,
}

/// The reads that find every geometry that may share a place with this one.
pub fn area_scan(geometry: &Geometry) -> AreaScan {
    let cover = compacted(geometry);
    let cells: BTreeSet<CellKey> = cover.iter().flat_map(|cell| ancestors(*cell)).map(CellKey::of).collect();
    let families: BTreeSet<(CellKey, CellKey)> = cover.iter().map(|cell| CellKey::of(*cell).family()).collect();
    AreaScan { cells: cells.into_iter().collect(), families: families.into_iter().collect() }
}

fn compacted(geometry: &Geometry) -> BTreeSet<CellIndex> {
    let mut resolution = match geometry.shape() {
        Shape::Point(position) => return cells_at(*position),
        Shape::Polygons(_) => tiling_resolution(geometry),
    };
    let mut cells = tiled(geometry, resolution);
    if resolution != RESOLUTION {
        // The logical ancestor of a place's cell is the cell of this resolution around the place, or a neighbour of that.
        cells = cells.iter().flat_map(|cell| cell.grid_disk_safe(1)).collect();
    }
    // The corners' own cells close the millimetres between the two ways to draw an edge.
    cells.extend(geometry.positions().flat_map(cells_at).filter_map(|cell| cell.parent(resolution)));
    loop {
        let mut compact: Vec<CellIndex> = cells.iter().copied().collect();
        // Fails on duplicates or mixed resolutions only, and a set of one resolution has neither; uncompacted is right as well.
        if CellIndex::compact(&mut compact).is_err() {
            compact = cells.iter().copied().collect();
        }
        let Some(coarser) = resolution.pred().filter(|_| compact.len() > CELLS_MAX) else {
            return compact.into_iter().collect();
        };
        resolution = coarser;
        cells = cells.iter().filter_map(|cell| cell.parent(coarser)).collect();
    }
}

/// The resolution to tile at: the fixed one, or for large areas a coarser one, since their covers are made coarser anyway and
/// tiling a county in 200-metre hexagons takes most of a second.
fn tiling_resolution(geometry: &Geometry) -> Resolution {
    let area_km2 = geometry.area_m2() / 1e6;
    let mut resolution = RESOLUTION;
    while area_km2 / resolution.area_km2() > (CELLS_MAX * 5) as f64 {
        let Some(coarser) = resolution.pred() else { break };
        resolution = coarser;
    }
    resolution
}

fn tiled(geometry: &Geometry, resolution: Resolution) -> BTreeSet<CellIndex> {
    let mut tiler = TilerBuilder::new(resolution).containment_mode(ContainmentMode::Covers).build();
    let polygons = match geometry.to_degrees() {
        geo::Geometry::Polygon(polygon) => vec![polygon],
        geo::Geometry::MultiPolygon(many) => many.0,
        _ => Vec::new(),
    };
    for polygon in polygons {
        // Only non-finite or degenerate rings fail, which a valid geometry has not; its corners still index it.
        let _ = tiler.add(polygon);
    }
    tiler.into_coverage().collect()
}

/// The cell of a place, and of places half a metre around it.
fn cells_at(position: Position) -> BTreeSet<CellIndex> {
    let (longitude, latitude) = position.degrees();
    [(0.0, 0.0), (1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)]
        .into_iter()
        .filter_map(|(east, north)| LatLng::new(latitude + north * EDGE_DEGREES, longitude + east * EDGE_DEGREES).ok())
        .map(|place| place.to_cell(RESOLUTION))
        .collect()
}

fn ancestors(cell: CellIndex) -> impl Iterator<Item = CellIndex> {
    std::iter::successors(cell.resolution().pred(), |resolution| resolution.pred())
        .filter_map(move |resolution| cell.parent(resolution))
}

#[cfg(test)]
#[path = "cells_tests.rs"]
mod tests;
