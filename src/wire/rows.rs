//! Bytes into rows, a batch at a time: CSV (UTF-8 or GB18030) and JSON Lines.
//!
//! Cutting a file into rows is the one thing that must go through it in order; memory holds a few batches. Reading a row's fields
//! can be done anywhere ([`Batch::rows`]). What is wrong with one row is that row's fault; what makes the whole file unreadable (no
//! header, unknown columns, a row without end) ends the reading. Knows nothing of libraries, stores or tasks: it is given columns and
//! bytes, so that hostile files can be tried on it alone.
use crate::wire::proto::intake::v1::{ImportFormat, RowFault};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// A batch is closed with so many rows …
pub const BATCH_ROWS: usize = 256;
/// … or so many bytes.
const BATCH_BYTES: usize = 512 << 10;
/// A row that takes more bytes than this has no end (an unclosed quote, most often).
const ROW_BYTES_MAX: usize = 1 << 20;

/// Why a file cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// One sentence.
    pub zh: String,
    /// The same.
    pub en: String,
}

/// A row as the file has it.
#[derive(Debug)]
pub struct RawRow<'a> {
    /// From 1, the header not counted.
    pub number: u64,
    /// (field, value), the field by its name in the schema where it is known.
    pub fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// What is wrong with the row before any field is looked at.
    pub faults: Vec<RowFault>,
    /// Signed licences: the certificates that count for this row, from it or from the last one that named any.
    pub certificates: &'a Arc<str>,
}

impl RawRow<'_> {
    /// The value of a field.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_ref())
    }
}

/// A fault of a row.
pub fn fault(field: &str, reason: &str, zh: impl Into<String>, en: impl Into<String>) -> RowFault {
    RowFault { field: field.to_owned(), reason: reason.to_owned(), text_zh: zh.into(), text_en: en.into() }
}

/// The names a column may have: the schema's name, or the Chinese name.
pub struct Names {
    title_zh: &'static str,
    code: &'static str,
    certificates: bool,
    by_spelling: BTreeMap<String, Arc<str>>,
    required: Vec<(Arc<str>, &'static str)>,
}

impl Names {
    /// No columns yet, for a file of this kind: its name in Chinese and its code. `certificates`: a row may leave the column of that
    /// name to the row before it.
    #[must_use]
    pub fn new(title_zh: &'static str, code: &'static str, certificates: bool) -> Self {
        Self { title_zh, code, certificates, by_spelling: BTreeMap::new(), required: Vec::new() }
    }

    /// A column that need not be there; a later one of the same spelling takes its place.
    pub fn add_extension(&mut self, name: &str, title: &str) {
        let name: Arc<str> = name.into();
        self.by_spelling.insert(title.to_owned(), name.clone());
        self.by_spelling.insert(name.to_string(), name);
    }

    /// A column of this name and Chinese name.
    pub fn add(&mut self, name: &str, title: &'static str, required: bool) {
        let name: Arc<str> = name.into();
        self.by_spelling.insert(title.to_owned(), name.clone());
        self.by_spelling.insert(name.to_string(), name.clone());
        if required {
            self.required.push((name, title));
        }
    }

    fn of(&self, spelling: &str) -> Option<&Arc<str>> {
        self.by_spelling.get(spelling.trim())
    }
}

/// The column that a row may leave to the row before it.
const CERTIFICATES: &str = "certificates";

/// The rows of a staged file, cut but not read.
pub struct Rows {
    names: Arc<Names>,
    columns: Arc<[Arc<str>]>,
    source: Source,
    budget: Rc<Cell<usize>>,
    number: u64,
    certificates: Arc<str>,
}

enum Source {
    Csv { reader: Box<csv::Reader<Box<dyn Read>>>, record: csv::ByteRecord },
    Json { reader: Box<dyn BufRead>, line: Vec<u8> },
}

/// Some rows of a file: their bytes, and where each begins and ends.
pub struct Batch {
    names: Arc<Names>,
    /// Of a CSV; empty for JSON Lines, where each row is one cell.
    columns: Arc<[Arc<str>]>,
    json: bool,
    text: Vec<u8>,
    /// Where each cell ends.
    ends: Vec<usize>,
    /// Number of each row, its cells, its certificates.
    rows: Vec<(u64, Range<usize>, Arc<str>)>,
}

impl Rows {
    /// Begins to read; a CSV's header is read and held against the schema.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(bytes: impl Read + 'static, format: ImportFormat, names: Names) -> Result<Self, FileFault> {
        let budget = Rc::new(Cell::new(0));
        let bytes = Bounded { bytes, budget: budget.clone() };
        let (source, columns) = match format {
            ImportFormat::JsonLines => {
                (Source::Json { reader: Box::new(BufReader::new(bytes)), line: Vec::new() }, Vec::new())
            }
            ImportFormat::CsvGb18030 => csv(Box::new(Gb18030::new(bytes)), &names)?,
            _ => csv(Box::new(bytes), &names)?,
        };
        let (names, columns) = (Arc::new(names), columns.into());
        Ok(Self { names, columns, source, budget, number: 0, certificates: "".into() })
    }

    /// The next rows after row `skip`; `None` at the end.
    ///
    /// # Errors
    /// A file that cannot be read on; rows before it that were cut in this call are lost with it.
    pub fn next(&mut self, skip: u64) -> Result<Option<Batch>, FileFault> {
        let mut batch = Batch {
            names: self.names.clone(),
            columns: self.columns.clone(),
            json: matches!(self.source, Source::Json { .. }),
            text: Vec::with_capacity(BATCH_ROWS * 256),
            ends: Vec::with_capacity(BATCH_ROWS * self.columns.len().max(1)),
            rows: Vec::with_capacity(BATCH_ROWS),
        };
        while batch.rows.len() < BATCH_ROWS && batch.text.len() < BATCH_BYTES {
            self.budget.set(0);
            let number = self.number.saturating_add(1);
            if !self.source.advance(&self.budget, number)? {
                break;
            }
            self.number = number;
            if self.names.certificates
                && let Some(named) = self.source.certificates(&self.columns, &self.names)
            {
                self.certificates = named;
            }
            if number > skip {
                self.source.copy_to(&mut batch);
                let first = batch.rows.last().map_or(0, |(_, cells, _)| cells.end);
                batch.rows.push((number, first..batch.ends.len(), self.certificates.clone()));
            }
        }
        Ok((!batch.rows.is_empty()).then_some(batch))
    }
}

impl Source {
    /// Goes to the next row; false at the end.
    fn advance(&mut self, budget: &Cell<usize>, number: u64) -> Result<bool, FileFault> {
        match self {
            Self::Csv { reader, record } => reader.read_byte_record(record).map_err(|e| endless(number, &e)),
            Self::Json { reader, line } => next_line(reader.as_mut(), line, budget, number),
        }
    }

    /// The certificates this row names, if it names any.
    fn certificates(&self, columns: &[Arc<str>], names: &Names) -> Option<Arc<str>> {
        match self {
            Self::Csv { record, .. } => {
                let at = columns.iter().position(|name| &**name == CERTIFICATES)?;
                let text = record.get(at)?.trim_ascii();
                (!text.is_empty()).then(|| String::from_utf8_lossy(text).into())
            }
            Self::Json { line, .. } => {
                let none: Arc<str> = "".into();
                let row = json_row(0, line, names, &none);
                row.text(CERTIFICATES).map(str::trim).filter(|text| !text.is_empty()).map(Into::into)
            }
        }
    }

    fn copy_to(&self, batch: &mut Batch) {
        match self {
            Self::Csv { record, .. } => {
                for cell in record {
                    batch.text.extend_from_slice(cell);
                    batch.ends.push(batch.text.len());
                }
            }
            Self::Json { line, .. } => {
                batch.text.extend_from_slice(line);
                batch.ends.push(batch.text.len());
            }
        }
    }
}

impl Batch {
    /// The rows, read one by one.
    pub fn rows(&self) -> impl Iterator<Item = RawRow<'_>> {
        self.rows.iter().map(|(number, cells, certificates)| {
            if self.json {
                return json_row(*number, self.cell(cells.start), &self.names, certificates);
            }
            self.csv_row(*number, cells.clone(), certificates)
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    fn cell(&self, at: usize) -> &[u8] {
        let begin = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(at).copied().unwrap_or(begin);
        self.text.get(begin..end).unwrap_or_default()
    }

    fn csv_row<'a>(&'a self, number: u64, cells: Range<usize>, certificates: &'a Arc<str>) -> RawRow<'a> {
        let fields = Vec::with_capacity(self.columns.len());
        let mut row = RawRow { number, fields, faults: Vec::new(), certificates };
        if cells.len() != self.columns.len() {
            let (found, expected) = (cells.len(), self.columns.len());
            let zh = format!("本行{found}列，表头{expected}列");
            row.faults.push(fault("", "COLUMN_COUNT", zh, format!("{found} columns, the header has {expected}")));
        }
        for (name, cell) in self.columns.iter().zip(cells) {
            let name: &str = name;
            let cell = self.cell(cell);
            let text = std::str::from_utf8(cell).map(Cow::Borrowed).unwrap_or_else(|_| {
                let zh = "含有不是UTF-8的字节，请核对文件编码";
                let en = "holds bytes that are not UTF-8: check the encoding";
                row.faults.push(fault(name, "TEXT_INVALID", zh, en));
                String::from_utf8_lossy(cell)
            });
            row.fields.push((Cow::Borrowed(name), text));
        }
        row
    }
}

fn endless(row: u64, error: &dyn fmt::Display) -> FileFault {
    FileFault {
        zh: format!("第{row}行无法读取（引号未闭合或过长）"), en: format!("row {row} cannot be read: {error}")
    }
}

fn csv(bytes: Box<dyn Read>, names: &Names) -> Result<(Source, Vec<Arc<str>>), FileFault> {
    let mut reader = Box::new(csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes));
    let mut record = csv::ByteRecord::new();
    let read = reader.read_byte_record(&mut record);
    if !read.map_err(|e| endless(0, &e))? {
        return Err(FileFault { zh: "没有表头".into(), en: "there is no header line".into() });
    }
    let columns = columns(&record, names)?;
    Ok((Source::Csv { reader, record }, columns))
}

/// The columns of a header, each known and named once, no required one missing.
fn columns(header: &csv::ByteRecord, names: &Names) -> Result<Vec<Arc<str>>, FileFault> {
    let (mut columns, mut unknown, mut twice) = (Vec::<Arc<str>>::new(), Vec::new(), Vec::new());
    for cell in header {
        let text = String::from_utf8_lossy(cell);
        let text = text.trim_start_matches('\u{feff}').trim();
        match names.of(text) {
            Some(name) if columns.contains(name) => twice.push(text.to_owned()),
            Some(name) => columns.push(name.clone()),
            None => unknown.push(text.chars().take(40).flat_map(char::escape_debug).collect::<String>()),
        }
    }
    let missing = names.required.iter().filter(|(name, _)| !columns.contains(name));
    let (missing_en, missing_zh): (Vec<&str>, Vec<&str>) = missing.map(|(name, zh)| (&**name, *zh)).unzip();
    if unknown.is_empty() && twice.is_empty() && missing_en.is_empty() {
        return Ok(columns);
    }
    let (unknown, twice) = (unknown.join(", "), twice.join(", "));
    Err(FileFault {
        zh: format!(
            "{}表头不符：缺少［{}］，不认识［{unknown}］，重复［{twice}］",
            names.title_zh,
            missing_zh.join("、")
        ),
        en: format!(
            "the header does not fit {}: missing [{}], unknown [{unknown}], twice [{twice}]",
            names.code,
            missing_en.join(", ")
        ),
    })
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

fn json_row<'a>(number: u64, line: &[u8], names: &'a Names, certificates: &'a Arc<str>) -> RawRow<'a> {
    let mut row = RawRow { number, fields: Vec::new(), faults: Vec::new(), certificates };
    let pairs = match serde_json::from_slice::<Pairs>(line) {
        Ok(Pairs(pairs)) => pairs,
        Err(error) => {
            row.faults.push(fault("", "ROW_UNREADABLE", "不是一个JSON对象", format!("not a JSON object: {error}")));
            // What could not be read is kept, so that the sender finds it again.
            let line = String::from_utf8_lossy(line).trim_end().to_owned();
            row.fields.push((Cow::Borrowed(""), Cow::Owned(line)));
            return row;
        }
    };
    for (spelling, value) in pairs {
        let name: Cow<'a, str> = names.of(&spelling).map_or(Cow::Owned(spelling), |name| Cow::Borrowed(&**name));
        let text = match value {
            serde_json::Value::Null => continue,
            serde_json::Value::String(text) => text,
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => value.to_string(),
            serde_json::Value::Object(_) if name == "geometry" => value.to_string(),
            nested => {
                let zh = "应为文字、数字或真假值";
                row.faults.push(fault(&name, "ROW_UNREADABLE", zh, "must be a string, a number or a boolean"));
                nested.to_string()
            }
        };
        row.fields.push((name, Cow::Owned(text)));
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

/// A stream that refuses to go on when a row has taken too much.
struct Bounded<R> {
    bytes: R,
    budget: Rc<Cell<usize>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.budget.get() > ROW_BYTES_MAX {
            return Err(io::Error::other(format!("it has more than {ROW_BYTES_MAX} bytes")));
        }
        let count = self.bytes.read(out)?;
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
