//! What the targets share: a package written around parts, and faults planted on demand that a run must find.
use std::io::Write as _;

/// 2026-11-22, Unix seconds: finds do not grow old.
pub const NOW_S: u64 = 1_795_305_600;

/// The control of the whole harness: with `WUKU_FUZZ_PLANT` set to `panic`, `hang` or `memory` every target has that fault, on inputs that
/// hold a certain byte. A run that does not end red then looks at nothing.
pub fn planted(data: &[u8]) {
    let Ok(fault) = std::env::var("WUKU_FUZZ_PLANT") else { return };
    if data.len() < 4 || !data.contains(&b'!') {
        return;
    }
    match fault.as_str() {
        "panic" => panic!("the planted fault"),
        "hang" => std::thread::sleep(std::time::Duration::from_secs(60)),
        "memory" => {
            let mut held = vec![1_u8; 400 << 20];
            held.fill(2);
            // libFuzzer looks once a second; a longer sleep would be taken for a hang.
            std::thread::sleep(std::time::Duration::from_millis(700));
            std::hint::black_box(held);
        }
        _ => {}
    }
}

/// Parts from one input: two bytes of length (little endian) and that many bytes for each name and each content, by turns.
pub fn parts(mut data: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut take = || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let (piece, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        data = rest;
        Some(piece)
    };
    let mut found = Vec::new();
    while let (Some(name), Some(content)) = (take(), take()) {
        found.push((String::from_utf8_lossy(name).into_owned(), content.to_vec()));
    }
    found
}

/// A ZIP of stored parts whose structure is in order, so that what is inside is reached.
pub fn pack(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in parts {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let (length, at) = (bytes.len() as u32, out.len() as u32);
        let mut common = Vec::new();
        for field in [20_u16, 0x800, 0, 0, 33] {
            let _ = common.write_all(&field.to_le_bytes());
        }
        for field in [crc.sum(), length, length] {
            let _ = common.write_all(&field.to_le_bytes());
        }
        let _ = common.write_all(&(name.len() as u16).to_le_bytes());
        out.extend([b"PK\x03\x04", common.as_slice(), &[0, 0], name.as_bytes(), bytes].concat());
        directory
            .extend([b"PK\x01\x02\x14\x00", common.as_slice(), &[0; 12], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (count, size, at) = (parts.len() as u16, directory.len() as u32, out.len() as u32);
    out.extend(directory);
    out.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count.to_le_bytes(), &count.to_le_bytes()].concat());
    out.extend([&size.to_le_bytes()[..], &at.to_le_bytes(), &[0, 0]].concat());
    out
}
