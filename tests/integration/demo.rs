//! `wuku demo` plays its scenario to the end, and leaves nobody's name or number in plain text in its folder.
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use wuku::clock::Clock;
use wuku::demo::city::City;
use wuku::library::day;

const PEOPLE: u64 = 200;
const SEED: u64 = 20_260_101;

#[test]
fn the_demo_ends_as_expected_and_leaves_nobody_in_plain_text() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("demo");
    let people = PEOPLE.to_string();
    let arguments =
        ["demo", "--once", "--licences", "60", "--people", &people, "--seed", &SEED.to_string(), "--folder"];
    let today = day::of_ms(Clock::system().now_ms());
    let demo =
        Command::new(env!("CARGO_BIN_EXE_wuku")).args(arguments).arg(&place).env("LC_ALL", "C").output().unwrap();
    let said = String::from_utf8_lossy(&demo.stdout);
    assert!(demo.status.success(), "{said}{}", String::from_utf8_lossy(&demo.stderr));
    assert!(said.contains("23 steps, 0 not as expected"), "{said}");

    let city = City::new(SEED, PEOPLE, today).unwrap();
    let residents: Vec<_> = (0..PEOPLE).map(|index| city.resident(index).unwrap()).collect();
    let numbers = residents.iter().map(|resident| resident.code.code().as_bytes().to_vec());
    let names = residents.iter().map(|resident| resident.name.as_bytes().to_vec()).filter(|name| name.len() >= 6);
    let secrets: HashSet<Vec<u8>> = numbers.chain(names).collect();
    assert!(secrets.len() > 250, "{}", secrets.len());
    let mut found = Vec::new();
    let mut read = 0;
    search(&place, &secrets, &mut found, &mut read);
    assert!(read > 500_000, "the folder was read: {read} bytes");
    assert!(found.is_empty(), "{found:#?}");

    // Control: one name and one number, planted, are found.
    let planted = residents[7].name.clone() + residents[8].code.code();
    std::fs::write(place.join("planted"), format!("before{planted}after")).unwrap();
    search(&place, &secrets, &mut found, &mut read);
    assert!(found.len() >= 2, "{found:?}");
}

/// Every secret in every file below a folder, by its first bytes and then whole.
fn search(folder: &Path, secrets: &HashSet<Vec<u8>>, found: &mut Vec<String>, read: &mut usize) {
    let heads: HashSet<&[u8]> = secrets.iter().map(|secret| &secret[..6]).collect();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, secrets, found, read);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        *read += bytes.len();
        for at in 0..bytes.len().saturating_sub(5) {
            // Numbers begin with a digit or a capital, names with the first byte of a Chinese character.
            let plausible = matches!(bytes[at], b'0'..=b'9' | b'A'..=b'Z' | 0xe3..=0xf0);
            if plausible && heads.contains(&bytes[at..at + 6]) {
                let whole = secrets.iter().filter(|secret| bytes[at..].starts_with(secret));
                found.extend(whole.map(|s| format!("{} in {}", String::from_utf8_lossy(s), path.display())));
            }
        }
    }
}
