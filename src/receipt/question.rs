//! Which question stands behind a kind of statement, and what of it must come back.

use prost::Message;
use prost::bytes::Bytes;

use super::Kind;
use super::canonical::{self, NotCanonical};
use crate::wire::proto::document::v1::DocumentQuestion;
use crate::wire::proto::exchange::v1::{
    AreaQuestion, AsOf, ChangeQuestion, Context, DeriveQuestion, HolderQuestion, LookUpQuestion, MatchQuestion,
    SealUseQuestion,
};
use crate::wire::proto::receipt::v1::{AccessQuestion, Operator, Purpose};
use crate::wire::proto::seal::v1::SealUseListQuestion;

/// What every question carries, whatever its kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Echo {
    /// Full protobuf name of the question message.
    pub message_name: &'static str,
    /// The caller's nonce; for a change its request id.
    pub nonce: Bytes,
    /// Whether the nonce is a real one (16 to 64 random bytes) and not a request id.
    pub is_nonce: bool,
    /// Why the caller asked.
    pub purpose: Option<Purpose>,
    /// Who sat behind the calling system.
    pub operator: Option<Operator>,
    /// As of when.
    pub as_of: Option<AsOf>,
}

/// Full protobuf name of the question message of statements of that kind. What the hub notes of itself (summaries, its
/// bootstrap) is put as a change.
#[must_use]
pub const fn message_name(kind: Kind) -> &'static str {
    match kind {
        Kind::LookUp | Kind::BatchItem => "wuku.exchange.v1.LookUpQuestion",
        Kind::Match => "wuku.exchange.v1.MatchQuestion",
        Kind::Derive => "wuku.exchange.v1.DeriveQuestion",
        Kind::Holder => "wuku.exchange.v1.HolderQuestion",
        Kind::Area => "wuku.exchange.v1.AreaQuestion",
        Kind::AccessList => "wuku.receipt.v1.AccessQuestion",
        Kind::SealUse => "wuku.exchange.v1.SealUseQuestion",
        Kind::SealUseList => "wuku.seal.v1.SealUseListQuestion",
        Kind::VerifyDocument => "wuku.document.v1.DocumentQuestion",
        _ => "wuku.exchange.v1.ChangeQuestion",
    }
}

/// Reads the question of a statement of that kind from its canonical bytes.
///
/// # Errors
/// [`NotCanonical`] for any other bytes.
pub fn read(kind: Kind, bytes: &[u8]) -> Result<Echo, NotCanonical> {
    let echo = match kind {
        Kind::LookUp | Kind::BatchItem => context::<LookUpQuestion>(bytes, |q| q.context)?,
        Kind::Match => context::<MatchQuestion>(bytes, |q| q.context)?,
        Kind::Derive => context::<DeriveQuestion>(bytes, |q| q.context)?,
        Kind::Holder => context::<HolderQuestion>(bytes, |q| q.context)?,
        Kind::Area => context::<AreaQuestion>(bytes, |q| q.context)?,
        Kind::AccessList => {
            let question: AccessQuestion = canonical::decode(bytes)?;
            let AccessQuestion { nonce, purpose, operator, .. } = question;
            Echo { nonce, is_nonce: true, purpose, operator, ..Echo::default() }
        }
        Kind::SealUse => {
            let SealUseQuestion { purpose, operator, .. } = canonical::decode(bytes)?;
            Echo { purpose, operator, ..Echo::default() }
        }
        Kind::SealUseList => {
            let SealUseListQuestion { nonce, purpose, operator, .. } = canonical::decode(bytes)?;
            Echo { nonce, is_nonce: true, purpose, operator, ..Echo::default() }
        }
        Kind::VerifyDocument => {
            let DocumentQuestion { nonce, purpose, operator, .. } = canonical::decode(bytes)?;
            Echo { nonce, is_nonce: true, purpose, operator, ..Echo::default() }
        }
        _ => {
            let ChangeQuestion { request_id, purpose, operator, .. } = canonical::decode(bytes)?;
            Echo { nonce: request_id.into(), purpose, operator, ..Echo::default() }
        }
    };
    Ok(Echo { message_name: message_name(kind), ..echo })
}

fn context<M: Message + Default>(bytes: &[u8], of: fn(M) -> Option<Context>) -> Result<Echo, NotCanonical> {
    let Context { nonce, purpose, operator, as_of, .. } = of(canonical::decode(bytes)?).unwrap_or_default();
    Ok(Echo { nonce, is_nonce: true, purpose, operator, as_of, ..Echo::default() })
}
