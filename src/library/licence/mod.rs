//! Licences (电子证照): signed by their issuing authority, held with the proof that the hub checked it.
mod bulk;
mod change;
mod face;
mod issuer;
mod row;
mod standing;
mod state;

pub use bulk::{AsPrepared, FILE_COLUMNS, Office, same_content};
pub use change::{change, content_of, distrust, issue, prepare, put_type, trusted};
pub use issuer::{Certified, IssuerTrust, Issuers, SM2_SM3, SignedThing, Signer, verify_question};
pub use row::{IssuerKeyRow, LicenceRow, held_by, version_at};
pub use standing::{fill, standing};
pub use state::after;
