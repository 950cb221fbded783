//! The trust file: which logs and keys a verifier believes, and for which sizes.
//!
//! `trust.note` is a signed note whose text is canonical JSON {hub, epoch, logs[]} and whose one line is by `<hub>/root`. The
//! root key is taken offline; the hub never holds it. The first copy goes by hand, its fingerprint published; later ones are
//! accepted only from the same root with a higher epoch.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::json::Object;
use crate::log::checkpoint::SignedCheckpoint;
use crate::log::note::{Note, NoteError};
use crate::log::origin::parse_decimal;
use crate::log::{HubName, LogKey, Origin, SuiteName, VerifierKey};

/// What a verifier believes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The hub whose logs these are.
    pub hub: HubName,
    /// Number of this issue of the file, from 1; a later issue has a higher one.
    pub epoch: u64,
    /// The hub's logs.
    pub logs: Vec<TrustedLog>,
}

/// One log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedLog {
    /// Its origin.
    pub origin: Origin,
    /// Its suite.
    pub suite: SuiteName,
    /// The keys that sign or signed its checkpoints.
    pub keys: Vec<TrustedKey>,
    /// When it was closed, Unix seconds: no entry of it is later.
    pub closed_at_s: Option<u64>,
}

/// One key of a log. A checkpoint is good under it only if `from_size ≤ size ≤ to_size`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The key; its name is the origin.
    pub key: VerifierKey,
    /// Least size it signs for.
    pub from_size: u64,
    /// Greatest size it signs for; `None` is open.
    pub to_size: Option<u64>,
    /// Whether it is in use, no more, or in other hands.
    pub state: KeyState,
}

/// What has become of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// In use.
    Active,
    /// No longer in use; what it signed within its sizes stays good.
    Retired,
    /// In other hands: nothing under it is good until refreshed under a live key.
    Compromised,
}

impl KeyState {
    const ALL: [Self; 3] = [Self::Active, Self::Retired, Self::Compromised];

    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Compromised => "compromised",
        }
    }
}

/// How a verifier knows that a trust file is the hub's.
#[derive(Clone, Copy, Debug)]
pub enum Root<'a> {
    /// It holds the root key.
    Key(&'a VerifierKey),
    /// It holds the [`fingerprint`] of this very file.
    Fingerprint(&'a str),
    /// It was handed the file and believes the hand. The signature cannot be checked; the form is.
    ByHand,
}

/// Why a trust file is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not a signed note with exactly one line.
    #[error("trust file is not a signed note with one signature")]
    Note,
    /// Its text is not canonical JSON of a trust file, or breaks a rule of it.
    #[error("trust file breaks the rule: {0}")]
    Content(&'static str),
    /// Not signed by the root key that the verifier holds.
    #[error("trust file is not signed by the expected root key")]
    OtherRoot,
    /// Another file than the one whose fingerprint the verifier holds.
    #[error("trust file does not have the expected fingerprint")]
    OtherFingerprint,
    /// Another hub's, or not newer than the one already held.
    #[error("trust file is for another hub or not newer than the one held")]
    NotNewer,
}

impl Trust {
    /// Reads a trust file and believes it on the strength of `root`.
    ///
    /// # Errors
    /// [`TrustError`] saying why not.
    pub fn open(bytes: &[u8], root: Root<'_>) -> Result<Self, TrustError> {
        let note = Note::parse(bytes).map_err(|_| TrustError::Note)?;
        let [line] = note.signatures.as_slice() else { return Err(TrustError::Note) };
        if note.to_bytes() != bytes {
            return Err(TrustError::Note);
        }
        match root {
            Root::Key(key) => {
                note.verify(&[key]).map_err(|_| TrustError::OtherRoot)?;
            }
            Root::Fingerprint(expected) if !same_fingerprint(expected, bytes) => {
                return Err(TrustError::OtherFingerprint);
            }
            Root::Fingerprint(_) | Root::ByHand => {}
        }
        let trust = Self::parse_json(&note.text)?;
        if line.name != trust.hub.root_key_name() {
            return Err(TrustError::OtherRoot);
        }
        Ok(trust)
    }

    /// Reads a later trust file: from the same root, for the same hub, with a higher epoch.
    ///
    /// # Errors
    /// [`TrustError`] saying why it does not take the place of this one.
    pub fn succeed(&self, bytes: &[u8], root: &VerifierKey) -> Result<Self, TrustError> {
        let newer = Self::open(bytes, Root::Key(root))?;
        if newer.hub == self.hub && newer.epoch > self.epoch { Ok(newer) } else { Err(TrustError::NotNewer) }
    }

    /// The trust file, signed by the hub's root key.
    ///
    /// # Errors
    /// [`TrustError::Content`] when the content breaks a rule, [`TrustError::OtherRoot`] for a key not named `<hub>/root`.
    pub fn sign(&self, root: &LogKey) -> Result<Vec<u8>, TrustError> {
        self.check()?;
        if root.verifier().name() != self.hub.root_key_name() {
            return Err(TrustError::OtherRoot);
        }
        let note = Note::sign(&self.to_json(), &[root]).map_err(|_: NoteError| TrustError::Note)?;
        Ok(note.to_bytes())
    }

    /// The log of that origin.
    #[must_use]
    pub fn log(&self, origin: &Origin) -> Option<&TrustedLog> {
        self.logs.iter().find(|log| log.origin == *origin)
    }

    /// The content as canonical JSON, with its final newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let logs: Vec<String> = self.logs.iter().map(TrustedLog::to_json).collect();
        Object::new().text("hub", self.hub.as_str()).number("epoch", self.epoch).array("logs", &logs).end_text()
    }

    /// Reads the content of a trust file, as [`Self::to_json`] writes it: a draft not yet signed, so not believed by anybody.
    ///
    /// # Errors
    /// [`TrustError::Content`] naming the rule it breaks.
    pub fn parse_json(text: &str) -> Result<Self, TrustError> {
        let file: TrustFile =
            serde_json::from_str(text).map_err(|_| TrustError::Content("text is not a trust file"))?;
        let trust = Self {
            hub: HubName::parse(&file.hub).ok_or(TrustError::Content("hub is not a hub's name"))?,
            epoch: number(&file.epoch)?.unwrap_or(0),
            logs: file.logs.into_iter().map(LogFile::into_log).collect::<Result<_, _>>()?,
        };
        if trust.to_json() != text {
            return Err(TrustError::Content("text is not canonical JSON"));
        }
        trust.check()?;
        Ok(trust)
    }

    fn check(&self) -> Result<(), TrustError> {
        let twice = |log: &TrustedLog| self.logs.iter().filter(|other| other.origin == log.origin).count() > 1;
        let key_twice = |log: &TrustedLog, key: &TrustedKey| {
            log.keys.iter().filter(|other| other.key.id() == key.key.id()).count() > 1
        };
        if self.epoch == 0 || self.logs.is_empty() {
            return Err(TrustError::Content("no epoch or no log"));
        }
        for log in &self.logs {
            if *log.origin.hub() != self.hub || twice(log) || log.keys.is_empty() || log.closed_at_s == Some(0) {
                return Err(TrustError::Content(
                    "a log of another hub, a log twice, a log without keys or closed at 0",
                ));
            }
            for key in &log.keys {
                if key.key.name() != log.origin.to_string() || key.key.suite() != log.suite {
                    return Err(TrustError::Content("a key of another name or suite than its log"));
                }
                if key_twice(log, key) || key.to_size.is_some_and(|to| to == 0 || to < key.from_size) {
                    return Err(TrustError::Content("a key id twice, or sizes in the wrong order"));
                }
            }
        }
        Ok(())
    }
}

impl TrustedLog {
    fn to_json(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(TrustedKey::to_json).collect();
        Object::new()
            .text("origin", &self.origin.to_string())
            .text("suite", self.suite.as_str())
            .array("keys", &keys)
            .number("closedAt", self.closed_at_s.unwrap_or(0))
            .end()
    }
}

impl TrustedKey {
    /// Whether a checkpoint of that size is within the key's sizes.
    #[must_use]
    pub fn covers(&self, size: u64) -> bool {
        self.from_size <= size && self.to_size.is_none_or(|to| size <= to)
    }

    /// Whether a checkpoint is signed by this key, within its sizes and while it is in nobody else's hands.
    #[must_use]
    pub fn vouches_for(&self, signed: &SignedCheckpoint) -> bool {
        self.state != KeyState::Compromised
            && self.covers(signed.checkpoint.size)
            && self.key.made(&signed.line)
            && self.key.verify(signed.checkpoint.to_text().as_bytes(), &signed.line.signature)
    }

    fn to_json(&self) -> String {
        Object::new()
            .text("vkey", &self.key.to_string())
            .number("fromSize", self.from_size)
            .number("toSize", self.to_size.unwrap_or(0))
            .text("state", self.state.as_str())
            .end()
    }
}

/// Every key of the present key's log that a checkpoint may be signed with; the present one for certain.
#[must_use]
pub fn known_keys(present: &VerifierKey, trust: Option<&Trust>) -> Vec<TrustedKey> {
    let log = Origin::parse(present.name()).and_then(|origin| trust?.log(&origin));
    let mut keys = log.map(|log| log.keys.clone()).unwrap_or_default();
    if !keys.iter().any(|trusted| trusted.key == *present) {
        keys.push(TrustedKey { key: present.clone(), from_size: 0, to_size: None, state: KeyState::Active });
    }
    keys
}

/// Fingerprint of a trust file for publication: SHA-256 over the whole file, 64 hex digits in groups of four.
#[must_use]
pub fn fingerprint(trust_note: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(trust_note).into();
    let (groups, _) = digest.as_chunks::<2>();
    groups.iter().map(|group| format!("{:04x}", u16::from_be_bytes(*group))).collect::<Vec<_>>().join(" ")
}

/// Compares a fingerprint as a person typed it: spaces, colons and case do not count.
fn same_fingerprint(typed: &str, trust_note: &[u8]) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| !c.is_whitespace() && *c != ':' && *c != '-').map(|c| c.to_ascii_lowercase()).collect()
    };
    plain(typed) == plain(&fingerprint(trust_note))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrustFile {
    hub: String,
    epoch: String,
    logs: Vec<LogFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LogFile {
    origin: String,
    suite: String,
    keys: Vec<KeyFile>,
    #[serde(default)]
    closed_at: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct KeyFile {
    vkey: String,
    #[serde(default)]
    from_size: String,
    #[serde(default)]
    to_size: String,
    state: String,
}

impl LogFile {
    fn into_log(self) -> Result<TrustedLog, TrustError> {
        Ok(TrustedLog {
            origin: Origin::parse(&self.origin).ok_or(TrustError::Content("an origin is not one"))?,
            suite: SuiteName::parse(&self.suite).ok_or(TrustError::Content("a suite this build does not know"))?,
            keys: self.keys.into_iter().map(KeyFile::into_key).collect::<Result<_, _>>()?,
            closed_at_s: number(&self.closed_at)?,
        })
    }
}

impl KeyFile {
    fn into_key(self) -> Result<TrustedKey, TrustError> {
        let state = KeyState::ALL.into_iter().find(|state| state.as_str() == self.state);
        Ok(TrustedKey {
            key: VerifierKey::parse(&self.vkey).map_err(|_| TrustError::Content("a vkey is not one"))?,
            from_size: number(&self.from_size)?.unwrap_or(0),
            to_size: number(&self.to_size)?,
            state: state.ok_or(TrustError::Content("a key state is unknown"))?,
        })
    }
}

fn number(text: &str) -> Result<Option<u64>, TrustError> {
    match text {
        "" => Ok(None),
        digits => parse_decimal(digits).map(Some).ok_or(TrustError::Content("a number is not one")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, seed: u8) -> LogKey {
        LogKey::from_seed(name, SuiteName::Ed25519, &[seed; 32]).unwrap()
    }

    fn trusted(log: &LogKey, from_size: u64, to_size: Option<u64>, state: KeyState) -> TrustedKey {
        TrustedKey { key: log.verifier().clone(), from_size, to_size, state }
    }

    fn trust() -> Trust {
        let origin = Origin::parse("hub.test/wuku/1").unwrap();
        let keys = vec![
            trusted(&key("hub.test/wuku/1", 1), 0, Some(100), KeyState::Retired),
            trusted(&key("hub.test/wuku/1", 2), 90, None, KeyState::Active),
        ];
        let log = TrustedLog { origin, suite: SuiteName::Ed25519, keys, closed_at_s: None };
        Trust { hub: HubName::parse("hub.test").unwrap(), epoch: 2, logs: vec![log] }
    }

    #[test]
    fn a_trust_file_is_believed_from_its_root_only() {
        let root = key("hub.test/root", 9);
        let file = trust().sign(&root).unwrap();
        assert_eq!(Trust::open(&file, Root::Key(root.verifier())), Ok(trust()));
        assert_eq!(Trust::open(&file, Root::ByHand), Ok(trust()));
        assert_eq!(Trust::open(&file, Root::Fingerprint(&fingerprint(&file).to_uppercase())), Ok(trust()));
        assert_eq!(Trust::open(&file, Root::Fingerprint("00")), Err(TrustError::OtherFingerprint));
        let other = key("hub.test/root", 8);
        assert_eq!(Trust::open(&file, Root::Key(other.verifier())), Err(TrustError::OtherRoot));
        assert_eq!(trust().sign(&key("hub.test/wuku/1", 1)), Err(TrustError::OtherRoot));
        for at in 0..file.len() {
            let mut bent = file.clone();
            bent[at] ^= 1;
            assert!(Trust::open(&bent, Root::Key(root.verifier())).is_err(), "byte {at}");
        }
        let two = Note::sign(&trust().to_json(), &[&root, &root]).unwrap().to_bytes();
        assert_eq!(Trust::open(&two, Root::Key(root.verifier())), Err(TrustError::Note));
        let foreign = Note::sign(&trust().to_json(), &[&key("other/root", 9)]).unwrap().to_bytes();
        assert_eq!(Trust::open(&foreign, Root::ByHand), Err(TrustError::OtherRoot));
    }

    #[test]
    fn the_present_key_is_known_whatever_the_trust_file_says() {
        let [old, new] = [key("hub.test/wuku/1", 1), key("hub.test/wuku/1", 2)];
        assert_eq!(known_keys(old.verifier(), None).len(), 1);
        assert_eq!(known_keys(new.verifier(), Some(&trust())), trust().logs[0].keys);
        assert_eq!(known_keys(key("hub.test/wuku/1", 9).verifier(), Some(&trust())).len(), 3);
        assert_eq!(known_keys(key("hub.test/wuku/2", 9).verifier(), Some(&trust())).len(), 1, "another log");
    }

    #[test]
    fn a_key_vouches_only_within_its_sizes_and_while_it_is_nobody_elses() {
        let signer = key("hub.test/wuku/1", 1);
        let signed = |size| {
            let origin = Origin::parse("hub.test/wuku/1").unwrap();
            let checkpoint = crate::log::Checkpoint { origin, size, root: [3; 32] };
            SignedCheckpoint::parse(&checkpoint.sign(&signer).unwrap()).unwrap()
        };
        let retired = trusted(&signer, 10, Some(100), KeyState::Retired);
        assert!(retired.vouches_for(&signed(10)) && retired.vouches_for(&signed(100)));
        assert!(!retired.vouches_for(&signed(9)) && !retired.vouches_for(&signed(101)));
        assert!(!trusted(&signer, 0, None, KeyState::Compromised).vouches_for(&signed(50)));
        assert!(!trusted(&key("hub.test/wuku/1", 2), 0, None, KeyState::Active).vouches_for(&signed(50)));
    }

    #[test]
    fn only_a_higher_epoch_of_the_same_hub_takes_its_place() {
        let root = key("hub.test/root", 9);
        let held = trust();
        let next = Trust { epoch: 3, ..trust() };
        assert_eq!(held.succeed(&next.sign(&root).unwrap(), root.verifier()), Ok(next.clone()));
        for epoch in [1, 2] {
            let file = Trust { epoch, ..trust() }.sign(&root).unwrap();
            assert_eq!(held.succeed(&file, root.verifier()), Err(TrustError::NotNewer));
        }
        let forged = next.sign(&key("hub.test/root", 8)).unwrap();
        assert_eq!(held.succeed(&forged, root.verifier()), Err(TrustError::OtherRoot));
    }

    #[test]
    fn a_trust_file_that_contradicts_itself_is_refused() {
        let root = key("hub.test/root", 9);
        let broken: [fn(&mut Trust); 8] = [
            |t| t.epoch = 0,
            |t| t.logs.clear(),
            |t| t.logs.push(t.logs[0].clone()),
            |t| t.logs[0].keys.clear(),
            |t| t.logs[0].origin = Origin::parse("other/wuku/1").unwrap(),
            |t| t.logs[0].keys[1].key = key("hub.test/wuku/2", 3).verifier().clone(),
            |t| t.logs[0].keys[1].key = t.logs[0].keys[0].key.clone(),
            |t| t.logs[0].keys[1].to_size = Some(89),
        ];
        for (number, damage) in broken.iter().enumerate() {
            let mut bad = trust();
            damage(&mut bad);
            assert!(bad.sign(&root).is_err(), "rule {number} on writing");
            let file = Note::sign(&bad.to_json(), &[&root]).unwrap().to_bytes();
            assert!(Trust::open(&file, Root::Key(root.verifier())).is_err(), "rule {number} on reading");
        }
        for (from, to) in [("ed25519", "sm2"), ("active", "lively"), ("\"90\"", "\"090\""), ("\"hub\"", " \"hub\"")] {
            let file = Note::sign(&trust().to_json().replacen(from, to, 1), &[&root]).unwrap().to_bytes();
            assert!(matches!(Trust::open(&file, Root::Key(root.verifier())), Err(TrustError::Content(_))), "{to}");
        }
    }
}
