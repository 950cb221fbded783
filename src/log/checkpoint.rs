//! What a hub signs: origin, size and root of its log (C2SP tlog-checkpoint, without extension lines).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::key::LogKey;
use super::note::{Note, NoteError, SignatureLine};
use super::origin::{Origin, parse_decimal};
use super::suite::Hash;

/// A head of a log. Its text is three lines: origin, size in decimal, root in base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: Origin,
    /// Number of entries.
    pub size: u64,
    /// Root of the tree at that size.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root))
    }

    /// Reads a checkpoint's text, only in the form [`Self::to_text`] gives.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] for anything else.
    pub fn parse_text(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.strip_suffix('\n').ok_or(NoteError::Malformed)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(NoteError::Malformed);
        };
        let checkpoint = Self {
            origin: Origin::parse(origin).ok_or(NoteError::Malformed)?,
            size: parse_decimal(size).ok_or(NoteError::Malformed)?,
            root: BASE64.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or(NoteError::Malformed)?,
        };
        if checkpoint.to_text() == text { Ok(checkpoint) } else { Err(NoteError::Malformed) }
    }

    /// The signed checkpoint with one line, the log key's. The key must bear the origin's name.
    ///
    /// # Errors
    /// [`NoteError::KeyName`] for a key of another name.
    pub fn sign(&self, key: &LogKey) -> Result<Vec<u8>, NoteError> {
        if key.verifier().name() != self.origin.to_string() {
            return Err(NoteError::KeyName);
        }
        Ok(Note::sign(&self.to_text(), &[key])?.to_bytes())
    }
}

/// A signed checkpoint as it stands in a receipt: exactly one line, under the origin's name. Not believed before its signature
/// is verified with a key from the verifier's own trust file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Its one line.
    pub line: SignatureLine,
}

impl SignedCheckpoint {
    /// Reads one, rebuilds it from what was read and demands the same bytes.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] for anything else.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse_text(&note.text)?;
        let [line] = note.signatures.as_slice() else { return Err(NoteError::Malformed) };
        let rebuilt = Note { text: checkpoint.to_text(), signatures: vec![line.clone()] };
        if rebuilt.to_bytes() != bytes || line.name != checkpoint.origin.to_string() {
            return Err(NoteError::Malformed);
        }
        Ok(Self { checkpoint, line: line.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::SuiteName;

    fn key(name: &str) -> LogKey {
        LogKey::from_seed(name, SuiteName::Ed25519, &[5; 32]).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: Origin::parse("hub.test/wuku/1").unwrap(), size: 42, root: [9; 32] }
    }

    #[test]
    fn a_signed_checkpoint_is_read_back_and_every_changed_byte_shows() {
        let key = key("hub.test/wuku/1");
        let bytes = checkpoint().sign(&key).unwrap();
        let read = SignedCheckpoint::parse(&bytes).unwrap();
        assert_eq!(read.checkpoint, checkpoint());
        assert!(key.verifier().made(&read.line));
        assert!(key.verifier().verify(checkpoint().to_text().as_bytes(), &read.line.signature));
        for at in 0..bytes.len() {
            let mut bent = bytes.clone();
            bent[at] ^= 1;
            let good = SignedCheckpoint::parse(&bent).is_ok_and(|read| {
                let text = read.checkpoint.to_text();
                key.verifier().made(&read.line) && key.verifier().verify(text.as_bytes(), &read.line.signature)
            });
            assert!(!good, "at {at}");
        }
    }

    #[test]
    fn only_the_one_form_is_a_checkpoint() {
        let text = checkpoint().to_text();
        assert_eq!(Checkpoint::parse_text(&text), Ok(checkpoint()));
        for bad in [
            text.replace("42", "042"),
            text.replace("42", "+42"),
            text.replace("42", ""),
            format!("{text}extension\n"),
            text.replace("hub.test/wuku/1", "hub.test/other/1"),
            text.replace('=', ""),
            text.trim_end().to_owned(),
        ] {
            assert_eq!(Checkpoint::parse_text(&bad), Err(NoteError::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn in_a_receipt_there_is_one_line_and_it_is_the_logs() {
        let (log, other) = (key("hub.test/wuku/1"), key("hub.test/wuku/2"));
        let text = checkpoint().to_text();
        for keys in [vec![&log, &log], vec![&log, &other], vec![&other]] {
            assert!(SignedCheckpoint::parse(&Note::sign(&text, &keys).unwrap().to_bytes()).is_err());
        }
        assert_eq!(checkpoint().sign(&other), Err(NoteError::KeyName));
    }
}
