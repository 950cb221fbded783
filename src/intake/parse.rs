//! Staged parts into rows: what a library's file may hold, and the parts as one stream. The reading itself is [`crate::wire::rows`].
use crate::library::licence::FILE_COLUMNS;
use crate::library::schema::{ExtensionField, Library};
use crate::wire::proto::intake::v1::ImportFormat;
use crate::wire::rows;
pub use crate::wire::rows::count_rows;
pub(super) use crate::wire::rows::{Batch, FileFault, Names, RawRow, Rows, fault};
use bytes::{Buf, Bytes};
use std::io::{self, Read};
use tokio::sync::mpsc;

/// The names of a library's core fields and a resource's extension fields (name, Chinese name); of a file of signed licences those
/// of [`FILE_COLUMNS`].
pub(super) fn names(library: Library, extensions: &[(ExtensionField, String)]) -> Names {
    let mut names = Names::new(library.zh(), library.code(), library == Library::Licence);
    if library == Library::Licence {
        FILE_COLUMNS.iter().for_each(|(name, title)| names.add(name, title, true));
        return names;
    }
    extensions.iter().for_each(|(extension, title)| names.add_extension(&extension.name, title));
    library.fields().iter().for_each(|spec| names.add(spec.name, spec.title_zh, spec.required));
    names
}

/// Begins to read a staged file on a blocking thread.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn open(parts: mpsc::Receiver<Bytes>, format: ImportFormat, names: Names) -> Result<Rows, FileFault> {
    rows::Rows::open(Parts { parts, part: Bytes::new() }, format, names)
}

/// The staged parts as one stream.
struct Parts {
    parts: mpsc::Receiver<Bytes>,
    part: Bytes,
}

impl Read for Parts {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.parts.blocking_recv() {
                Some(part) => self.part = part,
                None => return Ok(0),
            }
        }
        let count = self.part.len().min(out.len());
        self.part.split_to(count).copy_to_slice(out.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}
