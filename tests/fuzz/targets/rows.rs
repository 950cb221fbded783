//! Rows of source departments' files: the first byte chooses the format, the rest is the file.
#![no_main]
use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use wuku::wire::proto::intake::v1::ImportFormat;
use wuku::wire::rows::{Names, Rows, count_rows};

fuzz_target!(|data: &[u8]| {
    wuku_fuzz::planted(data);
    let Some((choice, file)) = data.split_first() else { return };
    let format = match choice % 3 {
        0 => ImportFormat::CsvUtf8,
        1 => ImportFormat::CsvGb18030,
        _ => ImportFormat::JsonLines,
    };
    let mut names = Names::new("试验", "trial", choice & 0x80 != 0);
    names.add("name", "姓名", true);
    names.add("certificates", "签名证书", false);
    names.add_extension("note", "备注");
    let counted = count_rows(Cursor::new(file.to_vec()), format);
    let Ok(mut rows) = Rows::open(Cursor::new(file.to_vec()), format, names) else { return };
    let mut read = 0_u64;
    while let Ok(Some(batch)) = rows.next(0) {
        for row in batch.rows() {
            read += 1;
            assert_eq!(row.number, read, "numbers have no gap");
        }
    }
    // What the sender counted beforehand is never less than what the hub reads.
    assert!(counted.is_err() || counted.is_ok_and(|counted| counted >= read), "{read} rows");
});
