//! An import file with a dozen deliberate mistakes among good rows, and the list of them.

use super::city::{City, Row};
use crate::library::codes::CodeFault;
use crate::library::schema::{Library, RowReason};
use std::io;

/// One deliberate mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mistake {
    /// The field.
    pub field: &'static str,
    /// What stands in it; `None` for what the code made from the row.
    text: Option<&'static str>,
    /// Why the row is refused.
    pub reason: RowReason,
    /// What is wrong, for the transcript.
    pub zh: &'static str,
}

const fn mistake(field: &'static str, text: &'static str, reason: RowReason, zh: &'static str) -> Mistake {
    Mistake { field, text: Some(text), reason, zh }
}

/// The mistakes, one a row, in the order of the file.
pub const MISTAKES: [Mistake; 12] = [
    Mistake { field: "holder_code", text: None, reason: RowReason::CodeInvalid, zh: "校验位不符" },
    mistake("holder_code", "331099199002300011", RowReason::CodeInvalid, "出生日期不存在"),
    mistake("holder_code", "33109919900101", RowReason::CodeInvalid, "位数不对"),
    mistake("holder_code", "3310991990O1010017", RowReason::CodeInvalid, "数字0误为字母O"),
    mistake("name", "", RowReason::FieldMissing, "缺姓名"),
    mistake("sex", "难", RowReason::ChoiceUnknown, "性别不在可选值中"),
    mistake("birth_date", "2001-01-02", RowReason::Contradiction, "出生日期与号码不一致"),
    mistake("division", "33102", RowReason::CodeInvalid, "行政区划位数不对"),
    mistake("holder_code_type", "1A1", RowReason::CodeInvalid, "证件类型不是三位数字"),
    mistake("address", "天台县\u{202E}赤城街道", RowReason::TextInvalid, "含改变显示顺序的控制字符"),
    mistake("photo_digest", "无", RowReason::CodeInvalid, "照片摘要不是十六进制"),
    mistake("valid_from", "2025-13-01", RowReason::DateInvalid, "生效日期不存在"),
];

/// Good rows before, between and after the mistakes.
const GOOD_BETWEEN: u64 = 3;

impl City {
    /// The rows of the file, each with its mistake if it has one: mistakes stand at every fourth row. All persons are residents,
    /// so a good row changes nothing.
    ///
    /// # Errors
    /// As [`resident`](Self::resident).
    pub fn rows_with_mistakes(&self) -> Result<Vec<(Row, Option<Mistake>)>, CodeFault> {
        let mut residents = self.residents().skip(50);
        let mut rows = Vec::new();
        for mistake in MISTAKES {
            for _ in 0..GOOD_BETWEEN {
                if let Some(row) = residents.next() {
                    rows.push((row?, None));
                }
            }
            if let Some(row) = residents.next() {
                rows.push((spoilt(row?, &mistake), Some(mistake)));
            }
        }
        Ok(rows)
    }

    /// Writes the file as CSV with a header; returns (row number from 1, mistake) of each.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write_rows_with_mistakes(&self, to: impl io::Write) -> io::Result<Vec<(u64, Mistake)>> {
        let rows = self.rows_with_mistakes().map_err(io::Error::other)?;
        let mistakes = (1..).zip(&rows).filter_map(|(number, (_, mistake))| Some((number, (*mistake)?))).collect();
        write_csv(Library::Population, rows.into_iter().map(|(row, _)| Ok(row)), to)?;
        Ok(mistakes)
    }
}

/// Writes rows as CSV (UTF-8) with all core fields of the library as header; returns how many rows.
///
/// # Errors
/// What the writer says, or a row that could not be made.
pub fn write_csv(
    library: Library,
    rows: impl Iterator<Item = Result<Row, CodeFault>>,
    to: impl io::Write,
) -> io::Result<u64> {
    let names: Vec<&str> = library.fields().iter().map(|field| field.name).collect();
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(&names)?;
    let mut count = 0u64;
    for row in rows {
        let row = row.map_err(io::Error::other)?;
        let text = |name: &&str| row.iter().find(|(field, _)| field == name).map_or("", |(_, text)| text.as_str());
        writer.write_record(names.iter().map(text))?;
        count = count.saturating_add(1);
    }
    writer.flush()?;
    Ok(count)
}

fn spoilt(mut row: Row, mistake: &Mistake) -> Row {
    for (field, text) in &mut row {
        if *field == mistake.field {
            *text = match mistake.text {
                Some(other) => other.to_owned(),
                None => wrong_check(text),
            };
        }
    }
    row
}

/// The same number with another last digit.
fn wrong_check(code: &str) -> String {
    let mut code = code.to_owned();
    let last = code.pop();
    code.push(if last == Some('7') { '8' } else { '7' });
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::library::codes::CalendarDate;
    use crate::library::schema::validate_row;

    #[test]
    fn exactly_the_mistakes_are_refused_and_for_their_reason() {
        let city = City::new(9, 500, CalendarDate::new(2026, 3, 1).unwrap()).unwrap();
        let rows = city.rows_with_mistakes().unwrap();
        assert_eq!(rows.len(), 48);
        for (row, mistake) in rows {
            match (validate_row(Library::Population, &row), mistake) {
                (Ok(_), None) => {}
                (Err(faults), Some(mistake)) => {
                    let found: Vec<_> = faults.iter().map(|fault| (fault.field.as_str(), fault.reason)).collect();
                    assert_eq!(found, [(mistake.field, mistake.reason)], "{}", mistake.zh);
                }
                (result, mistake) => panic!("{mistake:?}: {result:?}"),
            }
        }
    }

    #[test]
    fn the_file_names_the_rows_of_its_mistakes() {
        let city = City::new(9, 500, CalendarDate::new(2026, 3, 1).unwrap()).unwrap();
        let mut file = Vec::new();
        let mistakes = city.write_rows_with_mistakes(&mut file).unwrap();
        assert_eq!(mistakes.len(), 12);
        let mut reader = csv::Reader::from_reader(file.as_slice());
        let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 48);
        let (row, missing_name) = mistakes[4];
        assert_eq!((missing_name.field, records[row as usize - 1].get(2)), ("name", Some("")));
    }
}
