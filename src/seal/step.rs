//! The steps of judging a signature, what came of each, and the profiles that make a verdict of them.

/// One step. Each is taken whatever became of the others, so that a report says everything that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The signature could be read.
    Format,
    /// Signature and seal state one version.
    Version,
    /// The document's parts have the digests the signature lists.
    References,
    /// They are listed with a digest method that proves something.
    DigestMethod,
    /// The seal beside the signature is the seal inside it.
    SealFile,
    /// The hash inside the signature is that of the list of parts.
    DataHash,
    /// What the signature says it protects is this list of parts.
    Property,
    /// The named algorithms are SM2 with SM3.
    Algorithm,
    /// The signer's signature.
    Signature,
    /// The signer is on the seal's list.
    SignerInList,
    /// The signer's certificate leads to a configured anchor, by way of issuers that may issue.
    SignerCertificate,
    /// The signer's certificate was within its dates when signing.
    SignerDates,
    /// It was not revoked by then.
    SignerRevocation,
    /// The time of signing lies in the past.
    SignedAt,
    /// The time stamp over the signature.
    TimeStamp,
    /// Critical extensions are understood.
    Extensions,
    /// The seal maker's signature.
    SealSignature,
    /// The seal was made before it was used, and before it is stamped.
    SealCreated,
    /// The seal was within its dates when used.
    SealDates,
    /// The maker's certificate leads to a configured anchor.
    MakerCertificate,
    /// The maker's certificate was within its dates when the seal was made.
    MakerDatesAtCreation,
    /// The maker's certificate was within its dates, and not revoked, when the seal was used.
    MakerDatesAtSigning,
    /// The maker's certificate was not revoked when the seal was made.
    MakerRevocation,
    /// The time stamp over the seal.
    SealTimeStamp,
    /// The signer's certificate names the authority the licence is from.
    IssuingAuthority,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Ok,
    /// It does not.
    Bad,
    /// There is nothing to check, and nothing had to be there.
    Absent,
    /// It could not be checked: no anchors, no revocation list, no time.
    NotChecked,
}

/// A step with its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub step: Step,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, in English, for whoever looks closer.
    pub detail: String,
}

/// How strictly outcomes become a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Profile {
    /// GM/T 0031-2025 to the letter: everything must have been checked. Rejects some seals in national use.
    Strict2025,
    /// GB/T 38540-2020: the maker's certificate must be good when the seal is used.
    #[default]
    Gbt2020,
    /// For old files: what the maker's certificate was when the seal was made or used is noted, not held against it.
    LenientHistory,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Strict2025, Self::Gbt2020, Self::LenientHistory];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict2025 => "strict-2025",
            Self::Gbt2020 => "gbt-2020",
            Self::LenientHistory => "lenient-history",
        }
    }

    /// By its name.
    ///
    /// # Errors
    /// The names there are.
    pub fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|profile| profile.as_str() == name);
        found.ok_or_else(|| format!("one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }

    /// Whether this outcome alone makes a signature not valid.
    #[must_use]
    pub fn rejects(self, finding: &Finding) -> bool {
        match (finding.outcome, finding.step) {
            (Outcome::Ok | Outcome::Absent, _) => false,
            (Outcome::NotChecked, Step::References | Step::IssuingAuthority) => false,
            (Outcome::NotChecked, Step::Signature) => true,
            (Outcome::NotChecked, _) => self == Self::Strict2025,
            // New in 2025; a national seal was made days before its maker's certificate began.
            (Outcome::Bad, Step::MakerDatesAtCreation | Step::SealCreated) => self == Self::Strict2025,
            // 2025 asks about the making only; a national maker's certificate ended before its seal was used.
            (Outcome::Bad, Step::MakerDatesAtSigning) => self == Self::Gbt2020,
            // Met in real documents.
            (Outcome::Bad, Step::Extensions) => self == Self::Strict2025,
            (Outcome::Bad, _) => true,
        }
    }

    /// The steps that make a signature not valid; none: valid.
    #[must_use]
    pub fn reasons(self, findings: &[Finding]) -> Vec<Step> {
        findings.iter().filter(|finding| self.rejects(finding)).map(|finding| finding.step).collect()
    }
}

impl Outcome {
    /// `ok`, `bad`, `absent`, `not-checked`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Bad => "bad",
            Self::Absent => "absent",
            Self::NotChecked => "not-checked",
        }
    }
}

impl Step {
    /// Its name in reports; never renamed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.names().0
    }

    /// What a failure of it means, for a clerk.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        let (_, zh, en) = self.names();
        (zh, en)
    }

    const fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Format => ("format", "签名数据无法读取", "the signature cannot be read"),
            Self::Version => ("version", "签章与印章版本不一致", "signature and seal state different versions"),
            Self::References => ("references", "文件被改动", "the file was altered"),
            Self::DigestMethod => ("digest-method", "摘要算法过弱或不支持", "the digest method proves nothing"),
            Self::SealFile => {
                ("seal-file", "印章文件与签章内印章不一致", "the seal beside the signature is another one")
            }
            Self::DataHash => ("data-hash", "文件被改动（签名描述）", "the file was altered (list of parts)"),
            Self::Property => ("property", "签章保护的不是本文件", "the signature says it protects something else"),
            Self::Algorithm => ("algorithm", "签名算法不是国密算法", "an algorithm other than SM2 with SM3"),
            Self::Signature => {
                ("signature", "签名无效或签名者未知", "the signature does not verify, or nobody known made it")
            }
            Self::SignerInList => ("signer-in-list", "签章者不在印章名单内", "the signer is not on the seal's list"),
            Self::SignerCertificate => {
                ("signer-certificate", "签章者证书不可信", "the signer's certificate is not trusted")
            }
            Self::SignerDates => (
                "signer-dates",
                "签名时签章者证书不在有效期内",
                "the signer's certificate was out of date when signing",
            ),
            Self::SignerRevocation => {
                ("signer-revocation", "签名时签章者证书已吊销", "the signer's certificate was revoked when signing")
            }
            Self::SignedAt => ("signed-at", "签名时间在将来", "signed in the future"),
            Self::TimeStamp => ("time-stamp", "时间戳无效", "the time stamp is not good"),
            Self::Extensions => ("extensions", "含未知的关键扩展项", "a critical extension is not understood"),
            Self::SealSignature => {
                ("seal-signature", "印章无效（制章者签名）", "the seal maker's signature does not verify")
            }
            Self::SealCreated => ("seal-created", "制章时间不合理", "the seal was made after it was used or stamped"),
            Self::SealDates => ("seal-dates", "签名时印章不在有效期内", "the seal was out of date when used"),
            Self::MakerCertificate => {
                ("maker-certificate", "制章者证书不可信", "the seal maker's certificate is not trusted")
            }
            Self::MakerDatesAtCreation => (
                "maker-dates-at-creation",
                "制章时制章者证书不在有效期内",
                "the maker's certificate was out of date when the seal was made",
            ),
            Self::MakerDatesAtSigning => (
                "maker-dates-at-signing",
                "签名时制章者证书不在有效期内",
                "the maker's certificate was out of date when the seal was used",
            ),
            Self::MakerRevocation => (
                "maker-revocation",
                "制章时制章者证书已吊销",
                "the maker's certificate was revoked when the seal was made",
            ),
            Self::SealTimeStamp => ("seal-time-stamp", "印章时间戳无效", "the seal's time stamp is not good"),
            Self::IssuingAuthority => {
                ("issuing-authority", "印章不属于颁证机构", "the seal is not the issuing authority's")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejects(profile: Profile, step: Step, outcome: Outcome) -> bool {
        profile.rejects(&Finding { step, outcome, detail: String::new() })
    }

    #[test]
    fn profiles_differ_only_in_what_the_field_needs() {
        use Outcome::{Bad, NotChecked};
        let by_profile = |step, outcome| Profile::ALL.map(|profile| rejects(profile, step, outcome));
        assert_eq!(by_profile(Step::MakerDatesAtCreation, Bad), [true, false, false]);
        assert_eq!(by_profile(Step::MakerDatesAtSigning, Bad), [false, true, false]);
        assert_eq!(by_profile(Step::Extensions, Bad), [true, false, false]);
        assert_eq!(by_profile(Step::SignerCertificate, NotChecked), [true, false, false]);
        for step in
            [Step::References, Step::DataHash, Step::Signature, Step::SealSignature, Step::SignerDates, Step::SealDates]
        {
            assert_eq!(by_profile(step, Bad), [true; 3], "{step:?}");
        }
        assert_eq!(Profile::ALL.map(|p| Profile::parse(p.as_str())), Profile::ALL.map(Ok));
    }
}
