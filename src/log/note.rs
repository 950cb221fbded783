//! C2SP signed notes: text, a blank line, signature lines `— <name> base64(key id[4] ‖ signature)`; and their keys.
//!
//! A line by an unknown key is ignored; a line by a *known* key that is not good rejects the whole note.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use sha2::{Digest as _, Sha256};

use super::key::LogKey;
use super::suite::SuiteName;

/// Longest note read, bytes.
pub const NOTE_BYTES_MAX: usize = 1 << 20;
/// Most signature lines read; the specification asks for at least 16.
const SIGNATURES_MAX: usize = 100;
const SIGNATURE_PREFIX: &str = "— ";

/// What is wrong with a note or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note")]
    Malformed,
    /// Not a key in text form, or its id does not fit.
    #[error("not a key")]
    Key,
    /// A key's name may hold neither white space nor `+`.
    #[error("not a name for a key")]
    KeyName,
    /// A line by a known key is not good.
    #[error("signature by a known key does not verify")]
    BadSignature,
    /// No line is by a known key.
    #[error("no signature by a known key")]
    NoKnownKey,
    /// The operating system gave no random bytes.
    #[error("no randomness")]
    NoRandomness,
    /// The key did not sign.
    #[error("the key did not sign")]
    NotSigned,
    /// The device that holds the key did not sign: what it said.
    #[error("{0}")]
    Device(String),
}

/// A public key with its name, as published: `<name>+<key id, 8 hex digits>+base64(type ‖ public key)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    suite: SuiteName,
    public: Vec<u8>,
}

impl VerifierKey {
    /// A key of that name.
    ///
    /// # Errors
    /// [`NoteError::KeyName`], or [`NoteError::Key`] when the public key has the wrong length.
    pub fn new(name: &str, suite: SuiteName, public: Vec<u8>) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::KeyName);
        }
        if public.len() != suite.public_key_len() {
            return Err(NoteError::Key);
        }
        let id = key_id(name, suite, &public);
        Ok(Self { name: name.to_owned(), id, suite, public })
    }

    /// Reads the published form.
    ///
    /// # Errors
    /// [`NoteError::Key`] for anything else, an id that does not fit included.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = BASE64.decode(key).map_err(|_| NoteError::Key)?;
        for suite in SuiteName::ALL {
            let Some(public) = bytes.strip_prefix(suite.key_type()) else { continue };
            let key = Self::new(name, suite, public.to_vec()).map_err(|_| NoteError::Key)?;
            return if key.to_string() == text { Ok(key) } else { Err(NoteError::Key) };
        }
        Err(NoteError::Key)
    }

    /// Its name: the log's origin, or `<hub>/root`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of `SHA-256(name ‖ 0x0A ‖ type ‖ public key)`, in every suite.
    #[must_use]
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }

    /// The id as 8 hex digits.
    #[must_use]
    pub fn id_hex(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.id))
    }

    /// The suite it signs in.
    #[must_use]
    pub const fn suite(&self) -> SuiteName {
        self.suite
    }

    /// The public key's bytes, without the type.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Whether this is a good signature over the message.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.suite.verify(&self.public, message, signature)
    }

    /// Whether the line claims to be by this key.
    #[must_use]
    pub fn made(&self, line: &SignatureLine) -> bool {
        line.name == self.name && line.id == self.id
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = BASE64.encode([self.suite.key_type(), &self.public].concat());
        write!(f, "{}+{}+{key}", self.name, self.id_hex())
    }
}

fn key_id(name: &str, suite: SuiteName, public: &[u8]) -> [u8; 4] {
    let digest: [u8; 32] = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update(suite.key_type())
        .chain_update(public)
        .finalize()
        .into();
    let [a, b, c, d, ..] = digest;
    [a, b, c, d]
}

/// Whether a key may have that name: not empty, no white space, no `+`.
pub(crate) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// Name of the key.
    pub name: String,
    /// Its id.
    pub id: [u8; 4],
    /// The signature, or for a cosignature what stands in its place.
    pub signature: Vec<u8>,
}

/// A note: text and its signature lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text, ending in a newline.
    pub text: String,
    /// The lines, in their order.
    pub signatures: Vec<SignatureLine>,
}

impl Note {
    /// The text, signed by these keys in this order.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] for a text no note can have, [`NoteError::NotSigned`] where a key fails.
    pub fn sign(text: &str, keys: &[&LogKey]) -> Result<Self, NoteError> {
        if !is_note_text(text) {
            return Err(NoteError::Malformed);
        }
        let line = |key: &&LogKey| {
            let signature = key.sign(text.as_bytes())?;
            Ok(SignatureLine { name: key.verifier().name().to_owned(), id: key.verifier().id(), signature })
        };
        Ok(Self { text: text.to_owned(), signatures: keys.iter().map(line).collect::<Result<_, NoteError>>()? })
    }

    /// Reads a note. Nothing in it is to be believed before [`Self::verify`].
    ///
    /// # Errors
    /// [`NoteError::Malformed`] when it is not one.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Malformed);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed)?;
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let text = format!("{text}\n");
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        if !is_note_text(&text) {
            return Err(NoteError::Malformed);
        }
        let signatures = lines.split('\n').map(parse_line).collect::<Option<Vec<_>>>().ok_or(NoteError::Malformed)?;
        if signatures.len() > SIGNATURES_MAX {
            return Err(NoteError::Malformed);
        }
        Ok(Self { text, signatures })
    }

    /// The keys among `known` that signed it, each once.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] when any line by a known key is not good; [`NoteError::NoKnownKey`] when there is no such line.
    pub fn verify<'k>(&self, known: &[&'k VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut good: Vec<&VerifierKey> = Vec::new();
        for line in &self.signatures {
            let Some(key) = known.iter().find(|key| key.made(line)) else { continue };
            if !key.verify(self.text.as_bytes(), &line.signature) {
                return Err(NoteError::BadSignature);
            }
            if !good.contains(key) {
                good.push(key);
            }
        }
        if good.is_empty() { Err(NoteError::NoKnownKey) } else { Ok(good) }
    }

    /// The note as it is published.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\n", self.text);
        for line in &self.signatures {
            let blob = BASE64.encode([line.id.as_slice(), &line.signature].concat());
            text.push_str(&format!("{SIGNATURE_PREFIX}{} {blob}\n", line.name));
        }
        text.into_bytes()
    }
}

/// A note's text ends in a newline and holds no other control character.
fn is_note_text(text: &str) -> bool {
    text.ends_with('\n') && !text.chars().any(|c| c < ' ' && c != '\n')
}

fn parse_line(line: &str) -> Option<SignatureLine> {
    let (name, blob) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    let bytes = BASE64.decode(blob).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    let fits = is_key_name(name) && !signature.is_empty();
    fits.then(|| SignatureLine { name: name.to_owned(), id: *id, signature: signature.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published with Go's `sumdb/note`.
    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const PETER_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn key(name: &str, seed: u8) -> LogKey {
        LogKey::from_seed(name, SuiteName::Ed25519, &[seed; 32]).unwrap()
    }

    #[test]
    fn a_key_of_the_sm2_suite_is_published_signs_and_refuses_every_bent_byte() {
        let key = LogKey::from_seed("hub.test/wuku/1", SuiteName::Sm2, &[7; 32]).unwrap();
        let published = key.verifier().to_string();
        assert_eq!(VerifierKey::parse(&published).as_ref(), Ok(key.verifier()));
        for at in 0..published.len() {
            let mut bent = published.clone().into_bytes();
            bent[at] ^= 1;
            let read = std::str::from_utf8(&bent).ok().and_then(|text| VerifierKey::parse(text).ok());
            assert!(read.is_none(), "at {at}");
        }
        let note = Note::sign("text\n", &[&key]).unwrap();
        assert_eq!(note.verify(&[key.verifier()]), Ok(vec![key.verifier()]));
        for at in 0..64 {
            let mut bent = note.clone();
            bent.signatures[0].signature[at] ^= 1;
            assert_eq!(bent.verify(&[key.verifier()]), Err(NoteError::BadSignature), "at {at}");
        }
        let mut longer = note.clone();
        longer.signatures[0].signature.push(0);
        assert_eq!(longer.verify(&[key.verifier()]), Err(NoteError::BadSignature));
        let der = crate::gm::Signature::from_raw(&note.signatures[0].signature).unwrap().to_der();
        let other_form =
            Note { signatures: vec![SignatureLine { signature: der, ..note.signatures[0].clone() }], ..note };
        assert_eq!(other_form.verify(&[key.verifier()]), Err(NoteError::BadSignature), "one form only");
    }

    #[test]
    fn the_published_note_verifies_and_is_made_again() {
        let peter = VerifierKey::parse(PETER).unwrap();
        let note = Note::parse(PETER_NOTE.as_bytes()).unwrap();
        assert_eq!(note.verify(&[&peter]), Ok(vec![&peter]));
        let secret = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        let again = Note::sign(&note.text, &[&LogKey::parse(secret).unwrap()]).unwrap();
        assert_eq!(again.to_bytes(), PETER_NOTE.as_bytes());
    }

    #[test]
    fn no_part_and_no_bent_form_of_a_key_is_a_key() {
        for start in 0..PETER.len() {
            for end in start..PETER.len() {
                assert!(VerifierKey::parse(&PETER[start..end]).is_err());
            }
        }
        for at in 0..PETER.len() {
            let mut bent = PETER.as_bytes().to_vec();
            bent[at] ^= 1;
            assert!(std::str::from_utf8(&bent).map_or(true, |text| VerifierKey::parse(text).is_err()), "at {at}");
        }
    }

    #[test]
    fn unknown_lines_are_ignored_and_a_bad_known_one_rejects_the_note() {
        let (log, witness, stranger) = (key("log", 1), key("witness", 2), key("stranger", 3));
        let mut note = Note::sign("text\n", &[&log, &witness, &stranger]).unwrap();
        let known = [log.verifier(), witness.verifier()];
        let back = Note::parse(&note.to_bytes()).unwrap();
        assert_eq!(back, note);
        assert_eq!(back.verify(&known), Ok(vec![log.verifier(), witness.verifier()]));
        assert_eq!(back.verify(&[key("other", 4).verifier()]), Err(NoteError::NoKnownKey));
        note.signatures[2].signature[0] ^= 1;
        assert!(note.verify(&known).is_ok());
        note.signatures[1].signature[0] ^= 1;
        assert_eq!(note.verify(&known), Err(NoteError::BadSignature));
        // A signature under another name is another key's: the id binds the name.
        let renamed = key("log2", 1);
        assert_eq!(back.verify(&[renamed.verifier()]), Err(NoteError::NoKnownKey));
    }

    #[test]
    fn a_witness_named_twice_counts_once() {
        let witness = key("witness", 2);
        let note = Note::sign("text\n", &[&witness, &witness]).unwrap();
        assert_eq!(note.verify(&[witness.verifier()]).unwrap().len(), 1);
    }

    #[test]
    fn what_is_not_a_note_is_not_read() {
        let good = Note::sign("a\n\nb\n", &[&key("log", 1)]).unwrap().to_bytes();
        assert_eq!(Note::parse(&good).unwrap().text, "a\n\nb\n");
        let good = String::from_utf8(good).unwrap();
        for bad in [
            "",
            "text",
            "text\n",
            "text\n\n",
            "text\n\n\n",
            &good[..good.len() - 1],
            &good.replace("— ", "- "),
            &good.replace("a\n", "a\r\n"),
            &format!("{good}\n"),
            &format!("{good}x\n"),
            &good.replace("log ", "log  "),
            "text\n\n— log AAAAAA==\n",
            "text\n\n— log AAAAAAB=\n",
        ] {
            assert_eq!(Note::parse(bad.as_bytes()), Err(NoteError::Malformed), "{bad:?}");
        }
        assert_eq!(Note::parse(b"\xff\n\n"), Err(NoteError::Malformed));
        let many = format!("text\n\n{}", "— log AAAAAAE=\n".repeat(101));
        assert_eq!(Note::parse(many.as_bytes()), Err(NoteError::Malformed));
        assert!(Note::parse(format!("text\n\n{}", "— log AAAAAAE=\n".repeat(16)).as_bytes()).is_ok());
    }
}
