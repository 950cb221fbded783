//! What is hashed, and what a statement must look like.

use super::canonical::{self, NotCanonical};
use super::{Kind, Outcome, PublicEvent, Statement};
use crate::limits::USE_CAUSE_CHARS_MAX;
use crate::log::{Hash, HubName, Suite};

/// Full name of the payload message of every answer and change.
pub const PAYLOAD_NAME: &str = "wuku.exchange.v1.Payload";
/// The only format of statements and public events so far.
pub const FORMAT: u32 = 1;
/// Bytes of a subject reference.
pub const SUBJECT_REF_BYTES: usize = 16;
/// Bytes of a payload's blind.
pub const BLIND_BYTES: usize = 16;

/// Digest of a payload: `H("wuku/payload/v1" ‖ 0x00 ‖ full message name ‖ 0x00 ‖ payload)`.
#[must_use]
pub fn payload_digest<S: Suite>(message_name: &str, payload: &[u8]) -> Hash {
    S::hash(&[b"wuku/payload/v1\0", message_name.as_bytes(), b"\0", payload])
}

/// Why bytes are not a statement or a public event. The text says which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Not canonical protobuf.
    #[error("not canonical protobuf")]
    NotCanonical,
    /// A field breaks a rule of its own.
    #[error("{0}")]
    Field(&'static str),
}

impl From<NotCanonical> for StatementError {
    fn from(_: NotCanonical) -> Self {
        Self::NotCanonical
    }
}

/// Reads a statement from its canonical bytes and holds it to the rules every statement keeps.
///
/// # Errors
/// [`StatementError`] naming the rule.
pub fn parse(bytes: &[u8]) -> Result<Statement, StatementError> {
    let statement: Statement = canonical::decode(bytes)?;
    let cause = statement.purpose.as_ref().map_or(0, |purpose| purpose.use_cause.chars().count());
    let rules = [
        (statement.format == FORMAT, "format is not 1"),
        (HubName::parse(&statement.hub).is_some(), "hub is not a hub's name"),
        (Kind::try_from(statement.kind).is_ok_and(|kind| kind != Kind::Unspecified), "kind is unknown"),
        (Outcome::try_from(statement.outcome).is_ok_and(|o| o != Outcome::Unspecified), "outcome is unknown"),
        (matches!(statement.subject_ref.len(), 0 | SUBJECT_REF_BYTES), "subject_ref is not 16 bytes"),
        (statement.payload_digest.len() == size_of::<Hash>(), "payload_digest is not 32 bytes"),
        (statement.records.iter().all(|r| r.library <= u32::from(u16::MAX)), "a library number is above 65535"),
        (statement.records.iter().all(|r| r.digest.len() == size_of::<Hash>()), "a record digest is not 32 bytes"),
        (cause <= USE_CAUSE_CHARS_MAX, "use_cause is too long"),
    ];
    match rules.iter().find(|(kept, _)| !kept) {
        Some((_, rule)) => Err(StatementError::Field(rule)),
        None => Ok(statement),
    }
}

/// Reads a public event from its canonical bytes.
///
/// # Errors
/// [`StatementError`] naming the rule.
pub fn parse_public(bytes: &[u8]) -> Result<PublicEvent, StatementError> {
    let event: PublicEvent = canonical::decode(bytes)?;
    let rules = [
        (event.format == FORMAT, "format is not 1"),
        (HubName::parse(&event.hub).is_some(), "hub is not a hub's name"),
        (event.event.is_some(), "no event"),
    ];
    match rules.iter().find(|(kept, _)| !kept) {
        Some((_, rule)) => Err(StatementError::Field(rule)),
        None => Ok(event),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Ed25519;
    use crate::wire::proto::receipt::v1::{RecordVersion, Tick, public_event::Event};

    fn good() -> Statement {
        Statement {
            format: 1,
            hub: "hub.test".into(),
            kind: Kind::LookUp.into(),
            outcome: Outcome::Found.into(),
            subject_ref: vec![1; 16].into(),
            payload_digest: vec![2; 32].into(),
            records: vec![RecordVersion { library: 5, digest: vec![3; 32].into(), ..Default::default() }],
            ..Default::default()
        }
    }

    #[test]
    fn a_statement_that_breaks_a_rule_is_refused() {
        assert_eq!(parse(&canonical::encode(&good())).unwrap(), good());
        let broken: [fn(&mut Statement); 8] = [
            |s| s.format = 2,
            |s| s.hub = "Hub".into(),
            |s| s.kind = 99,
            |s| s.outcome = 0,
            |s| s.subject_ref = vec![1; 15].into(),
            |s| s.payload_digest = vec![1; 31].into(),
            |s| s.records[0].library = 65_536,
            |s| s.records[0].digest = Vec::new().into(),
        ];
        for (number, damage) in broken.iter().enumerate() {
            let mut statement = good();
            damage(&mut statement);
            assert!(matches!(parse(&canonical::encode(&statement)), Err(StatementError::Field(_))), "rule {number}");
        }
        assert_eq!(parse(&[0x08]), Err(StatementError::NotCanonical));
    }

    #[test]
    fn a_public_event_says_something() {
        let event = PublicEvent { format: 1, hub: "h".into(), event: Some(Event::Tick(Tick {})) };
        assert_eq!(parse_public(&canonical::encode(&event)).unwrap(), event);
        assert!(parse_public(&canonical::encode(&PublicEvent { event: None, ..event })).is_err());
    }

    #[test]
    fn the_digest_binds_the_message_name() {
        let digest = payload_digest::<Ed25519>;
        assert_ne!(digest("a.B", b"x"), digest("a.C", b"x"));
        assert_ne!(digest("a.B", b"x"), digest("a.Bx", b""));
        assert_eq!(digest("a.B", b"x"), Ed25519::hash(&[b"wuku/payload/v1\0a.B\0x"]));
    }
}
