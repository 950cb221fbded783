//! May they ask this, for this purpose?
//!
//! [`Policy::decide`] is the only maker of a [`Permit`]; what has none is refused, and the refusal is recorded like any answer.
//! Deny by default. This room knows nothing of tonic, of records' content, or of how a refusal reaches the caller.
mod caller;
mod decide;
mod grant;
mod known;
mod quota;
mod role;
mod seal;
mod throttle;

pub use caller::Caller;
pub use decide::{Candidate, Decision, Permit, Policy, Refusal};
pub use grant::{EVERY_SCOPE, GrantFault, covers, scope_index, term_covers};
pub use quota::Quota;
pub use role::{Operation, allowed_roles, roles_separate};
pub use seal::SealPermit;
pub use throttle::Throttle;
