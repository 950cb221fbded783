//! Bytes into rows, a few at a time: CSV (UTF-8 or GB18030) and JSON Lines.
//!
//! Runs on a blocking thread and reads from a channel, so memory holds a few parts and one row. What is wrong with one row is
//! that row's fault; what makes the whole file unreadable (no header, unknown columns, a row without end) ends the reading.
use crate::library::schema::{ExtensionField, Library};
use crate::wire::proto::intake::v1::{ImportFormat, RowFault};
use bytes::{Buf, Bytes};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;
use tokio::sync::mpsc;

/// A row that takes more bytes than this has no end (an unclosed quote, most often).
const ROW_BYTES_MAX: usize = 1 << 20;

/// Why a file cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFault {
    /// One sentence.
    pub(super) zh: String,
    /// The same.
    pub(super) en: String,
}

/// A row as the file has it.
#[derive(Debug)]
pub(super) struct RawRow {
    /// From 1, the header not counted.
    pub(super) number: u64,
    /// (field, value), the field by its name in the schema where it is known.
    pub(super) fields: Vec<(Rc<str>, String)>,
    /// What is wrong with the row before any field is looked at.
    pub(super) faults: Vec<RowFault>,
}

/// A fault of a row.
pub(super) fn fault(field: &str, reason: &str, zh: impl Into<String>, en: impl Into<String>) -> RowFault {
    RowFault { field: field.to_owned(), reason: reason.to_owned(), text_zh: zh.into(), text_en: en.into() }
}

/// The names a column may have: the schema's name, or the Chinese name.
pub(super) struct Names {
    library: Library,
    by_spelling: BTreeMap<String, Rc<str>>,
    required: Vec<(Rc<str>, &'static str)>,
}

impl Names {
    /// The names of a library's core fields and a resource's extension fields (name, Chinese name).
    pub(super) fn new(library: Library, extensions: &[(ExtensionField, String)]) -> Self {
        let mut by_spelling = BTreeMap::new();
        let mut required = Vec::new();
        for (extension, title) in extensions {
            let name: Rc<str> = extension.name.as_str().into();
            by_spelling.insert(title.clone(), name.clone());
            by_spelling.insert(extension.name.clone(), name);
        }
        for spec in library.fields() {
            let name: Rc<str> = spec.name.into();
            by_spelling.insert(spec.title_zh.to_owned(), name.clone());
            by_spelling.insert(spec.name.to_owned(), name.clone());
            if spec.required {
                required.push((name, spec.title_zh));
            }
        }
        Self { library, by_spelling, required }
    }

    fn of(&self, spelling: &str) -> Option<Rc<str>> {
        self.by_spelling.get(spelling.trim()).cloned()
    }
}

/// The rows of a staged file.
pub(super) struct Rows {
    names: Names,
    source: Source,
    budget: Rc<Cell<usize>>,
    number: u64,
}

enum Source {
    Csv { reader: Box<csv::Reader<Box<dyn Read>>>, columns: Vec<Rc<str>>, record: csv::ByteRecord },
    Json { reader: Box<dyn BufRead>, line: Vec<u8> },
}

impl Rows {
    /// Begins to read; a CSV's header is read and held against the schema.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn open(parts: mpsc::Receiver<Bytes>, format: ImportFormat, names: Names) -> Result<Self, FileFault> {
        let budget = Rc::new(Cell::new(0));
        let bytes = Parts { parts, part: Bytes::new(), budget: budget.clone() };
        let source = match format {
            ImportFormat::JsonLines => Source::Json { reader: Box::new(BufReader::new(bytes)), line: Vec::new() },
            ImportFormat::CsvGb18030 => csv(Box::new(Gb18030::new(bytes)), &names)?,
            _ => csv(Box::new(bytes), &names)?,
        };
        Ok(Self { names, source, budget, number: 0 })
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// A file that cannot be read on.
    pub(super) fn next(&mut self) -> Result<Option<RawRow>, FileFault> {
        self.budget.set(0);
        let number = self.number.saturating_add(1);
        let row = match &mut self.source {
            Source::Csv { reader, columns, record } => {
                let more = reader.read_byte_record(record).map_err(|e| endless(number, &e))?;
                more.then(|| csv_row(number, columns, record))
            }
            Source::Json { reader, line } => {
                next_line(reader.as_mut(), line, &self.budget, number)?.then(|| json_row(number, line, &self.names))
            }
        };
        self.number = if row.is_some() { number } else { self.number };
        Ok(row)
    }
}

fn endless(row: u64, error: &dyn fmt::Display) -> FileFault {
    FileFault {
        zh: format!("第{row}行无法读取（引号未闭合或过长）"), en: format!("row {row} cannot be read: {error}")
    }
}

fn csv(bytes: Box<dyn Read>, names: &Names) -> Result<Source, FileFault> {
    let mut reader = Box::new(csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes));
    let mut record = csv::ByteRecord::new();
    let read = reader.read_byte_record(&mut record);
    if !read.map_err(|e| endless(0, &e))? {
        return Err(FileFault { zh: "没有表头".into(), en: "there is no header line".into() });
    }
    let columns = columns(&record, names)?;
    Ok(Source::Csv { reader, columns, record })
}

/// The columns of a header, each known and named once, no required one missing.
fn columns(header: &csv::ByteRecord, names: &Names) -> Result<Vec<Rc<str>>, FileFault> {
    let (mut columns, mut unknown, mut twice) = (Vec::new(), Vec::new(), Vec::new());
    for cell in header {
        let text = String::from_utf8_lossy(cell);
        let text = text.trim_start_matches('\u{feff}').trim();
        match names.of(text) {
            Some(name) if columns.contains(&name) => twice.push(text.to_owned()),
            Some(name) => columns.push(name),
            None => unknown.push(text.chars().take(40).flat_map(char::escape_debug).collect::<String>()),
        }
    }
    let missing = names.required.iter().filter(|(name, _)| !columns.contains(name));
    let (missing_en, missing_zh): (Vec<&str>, Vec<&str>) = missing.map(|(name, zh)| (&**name, *zh)).unzip();
    if unknown.is_empty() && twice.is_empty() && missing_en.is_empty() {
        return Ok(columns);
    }
    let (unknown, twice, library) = (unknown.join(", "), twice.join(", "), names.library);
    Err(FileFault {
        zh: format!(
            "{}表头不符：缺少［{}］，不认识［{unknown}］，重复［{twice}］",
            library.zh(),
            missing_zh.join("、")
        ),
        en: format!(
            "the header does not fit {}: missing [{}], unknown [{unknown}], twice [{twice}]",
            library.code(),
            missing_en.join(", ")
        ),
    })
}

fn csv_row(number: u64, columns: &[Rc<str>], record: &csv::ByteRecord) -> RawRow {
    let mut row = RawRow { number, fields: Vec::with_capacity(columns.len()), faults: Vec::new() };
    if record.len() != columns.len() {
        let (found, expected) = (record.len(), columns.len());
        let zh = format!("本行{found}列，表头{expected}列");
        row.faults.push(fault("", "COLUMN_COUNT", zh, format!("{found} columns, the header has {expected}")));
    }
    for (name, cell) in columns.iter().zip(record) {
        match std::str::from_utf8(cell) {
            Ok(text) => row.fields.push((name.clone(), text.to_owned())),
            Err(_) => {
                let zh = "含有不是UTF-8的字节，请核对文件编码";
                row.faults.push(fault(name, "TEXT_INVALID", zh, "holds bytes that are not UTF-8: check the encoding"));
                row.fields.push((name.clone(), String::from_utf8_lossy(cell).into_owned()));
            }
        }
    }
    row
}

/// Reads the next line that is not blank; false at the end.
fn next_line(
    reader: &mut dyn BufRead,
    line: &mut Vec<u8>,
    budget: &Cell<usize>,
    number: u64,
) -> Result<bool, FileFault> {
    loop {
        line.clear();
        budget.set(0);
        if reader.read_until(b'\n', line).map_err(|e| endless(number, &e))? == 0 {
            return Ok(false);
        }
        if line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        if !line.trim_ascii().is_empty() {
            return Ok(true);
        }
    }
}

fn json_row(number: u64, line: &[u8], names: &Names) -> RawRow {
    let mut row = RawRow { number, fields: Vec::new(), faults: Vec::new() };
    let pairs = match serde_json::from_slice::<Pairs>(line) {
        Ok(Pairs(pairs)) => pairs,
        Err(error) => {
            row.faults.push(fault("", "ROW_UNREADABLE", "不是一个JSON对象", format!("not a JSON object: {error}")));
            // What could not be read is kept, so that the sender finds it again.
            row.fields.push(("".into(), String::from_utf8_lossy(line).trim_end().to_owned()));
            return row;
        }
    };
    for (spelling, value) in pairs {
        let name = names.of(&spelling).unwrap_or_else(|| spelling.as_str().into());
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text,
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
            serde_json::Value::Object(_) if &*name == "geometry" => value.to_string(),
            nested => {
                let zh = "应为文字、数字或真假值";
                row.faults.push(fault(&name, "ROW_UNREADABLE", zh, "must be a string, a number or a boolean"));
                nested.to_string()
            }
        };
        row.fields.push((name, text));
    }
    row
}

/// A JSON object as it is written: a name given twice stays twice.
struct Pairs(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Counts the rows of a file as the hub will: CSV records after the header, JSON lines that are not blank. No byte of a longer
/// GB18030 character is a quote, a comma or a line end, so nothing need be decoded.
///
/// # Errors
/// What reading says.
pub fn count_rows(file: impl Read, format: ImportFormat) -> io::Result<u64> {
    let mut rows = 0_u64;
    if format == ImportFormat::JsonLines {
        let (mut reader, mut line) = (BufReader::new(file), Vec::new());
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
            rows = rows.saturating_add(u64::from(!text.trim_ascii().is_empty()));
            line.clear();
        }
        return Ok(rows);
    }
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(io::Error::other)? {
        rows = rows.saturating_add(1);
    }
    Ok(rows.saturating_sub(1))
}

/// The staged parts as one stream. Refuses to go on when a row has taken too much.
struct Parts {
    parts: mpsc::Receiver<Bytes>,
    part: Bytes,
    budget: Rc<Cell<usize>>,
}

impl Read for Parts {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.parts.blocking_recv() {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
        if self.budget.get() > ROW_BYTES_MAX {
            return Err(io::Error::other(format!("it has more than {ROW_BYTES_MAX} bytes")));
        }
        let count = self.part.len().min(out.len());
        self.part.split_to(count).copy_to_slice(out.get_mut(..count).unwrap_or_default());
        self.budget.set(self.budget.get().saturating_add(count));
        Ok(count)
    }
}

/// Decodes GB18030 on the way. Bytes that are none become U+FFFD, which no field accepts.
struct Gb18030<R> {
    inner: R,
    decoder: encoding_rs::Decoder,
    raw: Vec<u8>,
    text: String,
    at: usize,
    ended: bool,
}

impl<R: Read> Gb18030<R> {
    fn new(inner: R) -> Self {
        let decoder = encoding_rs::GB18030.new_decoder_without_bom_handling();
        Self { inner, decoder, raw: vec![0; 16 << 10], text: String::new(), at: 0, ended: false }
    }
}

impl<R: Read> Read for Gb18030<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.text.len() && !self.ended {
            let count = self.inner.read(&mut self.raw)?;
            self.ended = count == 0;
            let raw = self.raw.get(..count).unwrap_or_default();
            self.text.clear();
            self.at = 0;
            let room = self.decoder.max_utf8_buffer_length(count).unwrap_or(count.saturating_mul(4));
            self.text.reserve(room);
            // With that much room all of it is read.
            let _ = self.decoder.decode_to_string(raw, &mut self.text, self.ended);
        }
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let count = rest.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at = self.at.saturating_add(count);
        Ok(count)
    }
}
