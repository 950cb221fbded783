//! Whose seal it is: the unified social credit code in the signer's certificate against that of an authority.
//!
//! Government signers' certificates have O = credit code directly followed by the organisation's name (met in the field; no standard
//! demands it), so "not stated" is an answer of its own. Whether the certificate is to be believed is [`chain`](super::chain)'s question.
use super::certificate::Certificate;
use super::ses::{Seal, Signers};

/// Whether a certificate, or a seal, is an authority's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It states the authority's code.
    Matched,
    /// It states no code.
    NotStated,
    /// It states another code.
    Differs {
        /// The code it states.
        stated: String,
    },
}

impl Ownership {
    /// `matched`, `not-stated`, `differs`: never renamed.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::NotStated => "not-stated",
            Self::Differs { .. } => "differs",
        }
    }
}

/// Whether the signer's certificate is of the authority with this credit code (证照颁发机构代码).
#[must_use]
pub fn of_certificate(signer: &Certificate, authority_uscc: &str) -> Ownership {
    match signer.organisation().and_then(|organisation| organisation.uscc) {
        None => Ownership::NotStated,
        Some(stated) if stated == authority_uscc => Ownership::Matched,
        Some(stated) => Ownership::Differs { stated },
    }
}

/// Whether a seal is an authority's, by the certificates it lists: one that states another code decides against it, whatever the others
/// say; then one that states the code decides for it. A list of digests states nothing.
#[must_use]
pub fn of_seal(seal: &Seal, authority_uscc: &str) -> Ownership {
    let Signers::Certificates(listed) = &seal.signers else { return Ownership::NotStated };
    let mut found = Ownership::NotStated;
    for der in listed {
        match Certificate::from_der(der).map(|signer| of_certificate(&signer, authority_uscc)) {
            Ok(differs @ Ownership::Differs { .. }) => return differs,
            Ok(Ownership::Matched) => found = Ownership::Matched,
            Ok(Ownership::NotStated) | Err(_) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::maker::{Authority, Subject};

    const OURS: &str = "11331099MB00000021";

    fn signer(organisation: &str) -> Certificate {
        let authority = Authority::make("DEV 演示制章者", 1_700_000_000, 2_000_000_000).unwrap();
        let subject = Subject { common_name: "33109900000001", organisation };
        Certificate::from_der(&authority.issue(subject, 1_700_000_000, 2_000_000_000).unwrap().certificate).unwrap()
    }

    #[test]
    fn a_certificate_is_an_authoritys_only_where_it_states_that_code() {
        assert_eq!(of_certificate(&signer(&format!("{OURS}演示局")), OURS), Ownership::Matched);
        assert_eq!(of_certificate(&signer("演示局"), OURS), Ownership::NotStated);
        let stated = "11331099MB0000003X".to_owned();
        let differs = of_certificate(&signer(&format!("{stated}另一局")), OURS);
        assert_eq!(differs, Ownership::Differs { stated });
    }
}
