//! The face of a seal that is none: a red ring with the two characters 演示 in it, as a PNG.
//!
//! Drawn dot by dot, so that no font and no picture of anybody's seal is needed.
use flate2::Compression;
use flate2::Crc;
use flate2::write::ZlibEncoder;
use std::io::Write as _;

use super::asn1::Malformed;
use super::write::Written;

/// Pixels a side.
const SIDE: i32 = 120;
/// Pixels a dot of a character.
const DOT: i32 = 3;
const RED: [u8; 4] = [200, 16, 16, 255];
const CLEAR: [u8; 4] = [255, 255, 255, 0];

/// 演, 16 dots a side.
const YAN: [&str; 16] = [
    ".##......##.....",
    "..##......##....",
    "...#.###########",
    ".....##.......##",
    "##...##.......##",
    ".##...#########.",
    "..#.......##....",
    ".....##########.",
    ".....##...##..#.",
    "..#..##########.",
    "..#..##...##..#.",
    ".##..##########.",
    ".#.......##.....",
    "##.....##..##...",
    "#....###....###.",
    "....##........##",
];
/// 示.
const SHI: [&str; 16] = [
    "................",
    "..############..",
    "..############..",
    "................",
    "................",
    "################",
    "################",
    ".......##.......",
    "...##..##..##...",
    "...##..##..##...",
    "..##...##...##..",
    ".##....##....##.",
    "##.....##.....##",
    ".......##.......",
    ".....####.......",
    "......##........",
];

/// The picture, RGBA, 120 × 120.
///
/// # Errors
/// Never in fact: it is written into memory.
pub fn png() -> Written<Vec<u8>> {
    let failed = |error: std::io::Error| Malformed::new(error.to_string());
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    for y in 0..SIDE {
        packed.write_all(&[0]).map_err(failed)?; // no filter
        for x in 0..SIDE {
            packed.write_all(if is_red(x, y) { &RED } else { &CLEAR }).map_err(failed)?;
        }
    }
    let side = SIDE.to_be_bytes();
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    // 8 bits a sample, colour with alpha, deflate, no filter method of another kind, not interlaced.
    chunk(&mut out, b"IHDR", &[side.as_slice(), &side, &[8, 6, 0, 0, 0]].concat());
    chunk(&mut out, b"IDAT", &packed.finish().map_err(failed)?);
    chunk(&mut out, b"IEND", &[]);
    Ok(out)
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    let mut crc = Crc::new();
    crc.update(kind);
    crc.update(data);
    out.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(kind);
    out.extend_from_slice(data);
    out.extend(crc.sum().to_be_bytes());
}

fn is_red(x: i32, y: i32) -> bool {
    let (dx, dy) = (2 * x - SIDE + 1, 2 * y - SIDE + 1);
    let squared = dx * dx + dy * dy;
    let ring = (108 * 108..=118 * 118).contains(&squared);
    ring || dot(&YAN, x - 11, y - 36) || dot(&SHI, x - 62, y - 36)
}

fn dot(character: &[&str; 16], x: i32, y: i32) -> bool {
    let at = |n: i32| usize::try_from(n.div_euclid(DOT)).ok();
    let (Some(column), Some(row)) = (at(x), at(y)) else { return false };
    character.get(row).and_then(|line| line.as_bytes().get(column)) == Some(&b'#')
}
