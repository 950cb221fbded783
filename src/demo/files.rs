//! Large files of a city, for loads and measurements: residents as a source sends them, licences as their authority signed them.
//!
//! Made on every core and written in order. The same seed, people, day and key make the same bytes on any machine.

use super::city::{City, Row};
use super::licences::LicenceDraft;
use super::messages::{department_message, draft_message, licence_type_message};
use super::organisation::DemoLicenceType;
use crate::library::codes::CodeFault;
use crate::library::licence::{FILE_COLUMNS, content_of};
use crate::library::schema::Library;
use crate::wire::proto::library::v1::DepartmentSignature;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost::Message;
use std::io::{self, Write};
use std::num::NonZero;
use std::ops::Range;
use std::thread;

/// Residents made at once by one thread.
const BLOCK: u64 = 2_048;

/// How an authority signs the bytes of a licence.
pub type Sign<'a> = &'a (dyn Fn(&[u8]) -> io::Result<DepartmentSignature> + Sync);

/// Writes the residents as CSV (UTF-8) with all core fields of the population library as header; returns how many.
///
/// # Errors
/// What the writer says.
pub fn write_people(city: &City, mut to: impl Write) -> io::Result<u64> {
    let names: Vec<&str> = Library::Population.fields().iter().map(|field| field.name).collect();
    to.write_all(&lines(|csv| csv.write_record(&names).map_err(io::Error::other))?)?;
    let block = |range: Range<u64>| {
        lines(|csv| {
            for row in city.residents_of(range) {
                let row: Row = row.map_err(io::Error::other)?;
                let text =
                    |name: &&str| row.iter().find(|(field, _)| field == name).map_or("", |(_, text)| text.as_str());
                csv.write_record(names.iter().map(text)).map_err(io::Error::other)?;
            }
            Ok(())
        })
    };
    in_order(city.people(), block, |bytes| to.write_all(&bytes).map(|()| true))?;
    to.flush()?;
    Ok(city.people())
}

/// Writes at most so many licences of one type, held by residents, as a file of signed licences (see [`crate::intake`]); returns
/// how many there are.
///
/// # Errors
/// What the writer or the signer says.
pub fn write_licences(
    city: &City,
    hub: &str,
    kind: &DemoLicenceType,
    most: u64,
    sign: Sign<'_>,
    mut to: impl Write,
) -> io::Result<u64> {
    to.write_all(&lines(|csv| csv.write_record(FILE_COLUMNS.map(|(name, _)| name)).map_err(io::Error::other))?)?;
    let block = |range: Range<u64>| {
        let mut signed = Vec::new();
        for index in range {
            for draft in city.licences_of_resident(index).map_err(io::Error::other)? {
                if draft.kind.key == kind.key {
                    let content = content(&draft, hub)?;
                    signed.push((sign(&content)?, content));
                }
            }
        }
        Ok(signed)
    };
    let mut count = 0_u64;
    in_order(city.people(), block, |signed| {
        let room = usize::try_from(most.saturating_sub(count)).unwrap_or(usize::MAX);
        let (mut before, take) = (None, signed.len().min(room));
        let bytes = lines(|csv| {
            for (signature, content) in signed.into_iter().take(take) {
                // Certificates stand where they change: an empty column means those of the row before.
                let chain: Vec<String> = signature.chain.iter().map(|der| BASE64.encode(der)).collect();
                let shown = if before.as_ref() == Some(&signature.chain) { String::new() } else { chain.join(" ") };
                before = Some(signature.chain);
                let record = [BASE64.encode(content), BASE64.encode(&signature.value), signature.algorithm, shown];
                csv.write_record(record).map_err(io::Error::other)?;
            }
            Ok(())
        })?;
        count = count.saturating_add(take as u64);
        to.write_all(&bytes)?;
        Ok(count < most)
    })?;
    to.flush()?;
    Ok(count)
}

/// The bytes of a draft as the hub itself would prepare them, under the identifier its serial has.
fn content(draft: &LicenceDraft, hub: &str) -> io::Result<Vec<u8>> {
    let made = || -> Result<_, CodeFault> {
        let (kind, department) = (licence_type_message(draft.kind)?, department_message(draft.kind)?);
        Ok((draft_message(draft)?, kind, department, draft.licence_id()?.to_string()))
    };
    let (request, kind, department, id) = made().map_err(io::Error::other)?;
    let content = content_of(&request, &kind, &department, hub, &id).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(content.encode_to_vec())
}

fn lines(fill: impl FnOnce(&mut csv::Writer<Vec<u8>>) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    fill(&mut csv)?;
    csv.into_inner().map_err(|e| io::Error::other(e.to_string()))
}

/// Makes blocks of `0..count` on every core and takes them in order, until `take` says that it has enough.
fn in_order<T: Send>(
    count: u64,
    make: impl Fn(Range<u64>) -> io::Result<T> + Sync,
    mut take: impl FnMut(T) -> io::Result<bool>,
) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut next = 0;
    while next < count {
        let mut ranges = Vec::with_capacity(threads);
        while ranges.len() < threads && next < count {
            let end = next.saturating_add(BLOCK).min(count);
            ranges.push(next..end);
            next = end;
        }
        let made: Vec<io::Result<T>> = thread::scope(|scope| {
            let make = &make;
            let started: Vec<_> = ranges.into_iter().map(|range| scope.spawn(move || make(range))).collect();
            let ended = |_| Err(io::Error::other("a thread that makes rows has panicked"));
            started.into_iter().map(|thread| thread.join().unwrap_or_else(ended)).collect()
        });
        for block in made {
            if !take(block?)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::organisation::licence_type;
    use crate::library::codes::CalendarDate;
    use crate::library::schema::validate_row;
    use bytes::Bytes;

    fn city() -> City {
        City::new(5, 5_000, CalendarDate::new(2026, 3, 1).unwrap()).unwrap()
    }

    #[test]
    fn every_resident_stands_in_the_file_in_order_and_is_a_good_row() {
        let mut file = Vec::new();
        assert_eq!(write_people(&city(), &mut file).unwrap(), 5_000);
        let mut reader = csv::Reader::from_reader(file.as_slice());
        let header = reader.headers().unwrap().clone();
        let mut rows = 0;
        for (record, resident) in reader.records().zip(city().residents()) {
            let record = record.unwrap();
            let row: Vec<(&str, &str)> = header.iter().zip(&record).filter(|(_, value)| !value.is_empty()).collect();
            let made = resident.unwrap();
            let made: Vec<(&str, &str)> =
                made.iter().map(|(name, text)| (*name, text.as_str())).filter(|(_, text)| !text.is_empty()).collect();
            assert_eq!(row, made);
            validate_row(Library::Population, &row).unwrap();
            rows += 1;
        }
        assert_eq!(rows, 5_000);
    }

    #[test]
    fn so_many_licences_as_asked_for_are_signed_and_the_certificate_stands_where_it_changes() {
        let sign = |bytes: &[u8]| {
            Ok(DepartmentSignature {
                algorithm: "ed25519".into(),
                chain: vec![Bytes::from_static(b"chain")],
                value: Bytes::copy_from_slice(&bytes[..4]),
            })
        };
        let file = |most| {
            let mut file = Vec::new();
            let count = write_licences(&city(), "hub.test", licence_type("id-card").unwrap(), most, &sign, &mut file);
            (count.unwrap(), file)
        };
        let (count, bytes) = file(3_000);
        assert_eq!((count, file(3_000).1 == bytes), (3_000, true), "the same again");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 3_000);
        assert_eq!((records[0].get(3), records[1].get(3)), (Some(BASE64.encode("chain").as_str()), Some("")));
        assert!(file(1_000_000).0 < 5_000, "children have no identity card");
    }
}
