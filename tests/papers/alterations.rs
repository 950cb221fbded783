//! One byte of any part altered, the package rebuilt around it: never "the whole document is valid".
use crate::judged::{self, sample};
use std::io::Write as _;
use wuku::paper::container::{Container, LIMITS};

/// A package of stored parts, as any ZIP writer makes it.
pub fn pack(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in parts {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        let (length, at) = (u32::try_from(bytes.len()).unwrap(), u32::try_from(out.len()).unwrap());
        let mut common = Vec::new();
        for field in [20u16, 0x800, 0, 0, 33] {
            common.write_all(&field.to_le_bytes()).unwrap();
        }
        for field in [crc.sum(), length, length] {
            common.write_all(&field.to_le_bytes()).unwrap();
        }
        common.write_all(&u16::try_from(name.len()).unwrap().to_le_bytes()).unwrap();
        out.extend([b"PK\x03\x04", common.as_slice(), &[0, 0], name.as_bytes(), bytes].concat());
        directory
            .extend([b"PK\x01\x02\x14\x00", common.as_slice(), &[0; 12], &at.to_le_bytes(), name.as_bytes()].concat());
    }
    let (count, size, at) = (
        u16::try_from(parts.len()).unwrap(),
        u32::try_from(directory.len()).unwrap(),
        u32::try_from(out.len()).unwrap(),
    );
    out.extend(directory);
    out.extend(
        [
            b"PK\x05\x06\0\0\0\0".as_slice(),
            &count.to_le_bytes(),
            &count.to_le_bytes(),
            &size.to_le_bytes(),
            &at.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    out
}

fn parts(file: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(sample(file)).unwrap();
    let container = Container::open(&bytes, &LIMITS).unwrap();
    container.parts().map(|part| (part.to_owned(), container.read(part).unwrap().unwrap())).collect()
}

fn check(file: &str, anchors: &[String], every: usize) {
    let good = parts(file);
    let code = judged::bytes(&pack(&good), anchors).verdict.code();
    assert!(matches!(code, 0 | 3), "{file}: packing anew changes nothing, {code}");
    let mut altered = 0;
    for part in 0..good.len() {
        let length = good[part].1.len();
        // Every byte of what is not content; of content, which one digest covers whole, the ends and some between.
        let housekeeping = good[part].0.contains("Sign");
        let step = if housekeeping { every } else { length.div_ceil(5).max(1) };
        for at in (0..length).step_by(step).chain([length - 1]) {
            let flip = if altered % 2 == 0 { 0x01 } else { 0xff };
            let mut parts = good.clone();
            parts[part].1[at] ^= flip;
            let report = judged::bytes(&pack(&parts), anchors);
            assert_ne!(report.verdict.code(), 0, "{file}: {} at byte {at} ^ {flip:02x}", good[part].0);
            altered += 1;
        }
    }
    assert!(altered > 100);
}

#[test]
fn a_v4_file_altered_in_any_part_is_never_wholly_valid() {
    check("ofd/v4signed.ofd", &[], 23);
}

#[test]
fn a_file_whose_list_of_signatures_is_covered_is_never_wholly_valid_when_altered() {
    check("ofd/allprotected.ofd", &[sample("cert/ofdrw-root.pem").display().to_string()], 151);
}

#[test]
fn a_licence_with_plain_signatures_is_never_wholly_valid_when_altered() {
    check("ofd/licence-yunnan-landuse-p7-sign.ofd", &[], 101);
}

#[test]
fn a_bare_signature_is_never_wholly_valid_when_altered() {
    check("ofd/type-sign-raw-sm2.ofd", &[sample("cert/ofdrw-user.pem").display().to_string()], 9);
}

#[test]
fn every_byte_of_an_unprotected_list_of_signatures_matters() {
    let good = parts("ofd/v4signed.ofd");
    let list = good.iter().position(|(name, _)| name.ends_with("Signatures.xml")).unwrap();
    for at in 0..good[list].1.len() {
        for flip in [1u8, 2, 64] {
            let mut parts = good.clone();
            parts[list].1[at] ^= flip;
            let report = judged::bytes(&pack(&parts), &[]);
            assert_ne!(report.verdict.code(), 0, "byte {at} ^ {flip:02x}: {}", String::from_utf8_lossy(&parts[list].1));
        }
    }
}

/// Of the bytes around the parts some say nothing of them: which program wrote an entry, on which system, who may read it there.
/// Whoever alters one of those changes neither name nor content of any part; whoever alters another is found out.
#[test]
fn a_structural_byte_altered_is_found_out_or_changes_no_part() {
    let unpacked = |bytes: &[u8]| {
        let container = Container::open(bytes, &LIMITS).ok()?;
        container
            .parts()
            .map(|part| Some((part.to_owned(), container.read(part).ok().flatten()?)))
            .collect::<Option<Vec<_>>>()
    };
    for file in ["ofd/v4signed.ofd", "ofd/type-sign-raw-sm2.ofd"] {
        let good = std::fs::read(sample(file)).unwrap();
        let parts = unpacked(&good).unwrap();
        let (mut found_out, mut harmless) = (0, 0);
        for at in 0..good.len() {
            for flip in [0x01, 0x80] {
                let mut altered = good.clone();
                altered[at] ^= flip;
                // A container that does not open, or gives other parts, is judged below; only what seems whole needs more.
                if unpacked(&altered).is_some_and(|found| found == parts) {
                    harmless += 1;
                } else {
                    found_out += 1;
                    let whole = at % 13 == 0 && matches!(judged::bytes(&altered, &[]).verdict.code(), 0);
                    assert!(!whole, "{file}: byte {at} ^ {flip:02x}");
                }
            }
        }
        // 12 bytes a row of the directory (writer, attributes), 3 bits of flags, the version to read it twice; extra fields.
        assert!(found_out > 10 * harmless, "{file}: {found_out} found out, {harmless} harmless");
    }
}

#[test]
fn a_part_added_or_taken_away_is_found_out() {
    let good = parts("ofd/v4signed.ofd");
    for part in 0..good.len() {
        let mut fewer = good.clone();
        fewer.remove(part);
        assert_ne!(judged::bytes(&pack(&fewer), &[]).verdict.code(), 0, "without {}", good[part].0);
    }
    let mut more = good.clone();
    more.push(("Doc_0/Pages/Page_1/Content.xml".to_owned(), b"<x/>".to_vec()));
    let report = judged::bytes(&pack(&more), &[]);
    assert_eq!(
        (report.verdict.code(), report.json["uncovered"][0].as_str()),
        (3, Some("Doc_0/Pages/Page_1/Content.xml"))
    );
}
