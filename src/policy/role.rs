//! Which roles may do what at all: the coarse table before any grant is read.
use crate::wire::proto::catalogue::v1::Role;

/// Everything a system can ask the hub to do that is decided by role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is the rpc of that name")]
pub enum Operation {
    LookUp,
    BatchLookUp,
    Match,
    Derive,
    LookUpHolder,
    LookUpArea,
    PrepareLicence,
    IssueLicence,
    ChangeLicence,
    PutLicenceType,
    ListLicenceTypes,
    DistrustIssuerKey,
    Import,
    GetImport,
    ListQuarantine,
    ReleaseImport,
    WhoAmI,
    PutDepartment,
    PutSystem,
    PutResource,
    ListDepartments,
    ListSystems,
    ListResources,
    ApplyGrant,
    DecideGrant,
    WithdrawGrant,
    ListGrants,
    GetTrust,
    VerifyEvidence,
    GetCheckpoint,
    ListEntries,
    GetInclusionProof,
    GetConsistencyProof,
    ListAccesses,
    ImportSeal,
    BindSeal,
    ListSeals,
    ListSealUses,
    WatchSealUses,
    VerifyDocument,
}

impl Operation {
    /// All operations.
    pub const ALL: &[Self] = &[
        Self::LookUp,
        Self::BatchLookUp,
        Self::Match,
        Self::Derive,
        Self::LookUpHolder,
        Self::LookUpArea,
        Self::PrepareLicence,
        Self::IssueLicence,
        Self::ChangeLicence,
        Self::PutLicenceType,
        Self::ListLicenceTypes,
        Self::DistrustIssuerKey,
        Self::Import,
        Self::GetImport,
        Self::ListQuarantine,
        Self::ReleaseImport,
        Self::WhoAmI,
        Self::PutDepartment,
        Self::PutSystem,
        Self::PutResource,
        Self::ListDepartments,
        Self::ListSystems,
        Self::ListResources,
        Self::ApplyGrant,
        Self::DecideGrant,
        Self::WithdrawGrant,
        Self::ListGrants,
        Self::GetTrust,
        Self::VerifyEvidence,
        Self::GetCheckpoint,
        Self::ListEntries,
        Self::GetInclusionProof,
        Self::GetConsistencyProof,
        Self::ListAccesses,
        Self::ImportSeal,
        Self::BindSeal,
        Self::ListSeals,
        Self::ListSealUses,
        Self::WatchSealUses,
        Self::VerifyDocument,
    ];
}

/// Every role.
const ANY: &[Role] = &[
    Role::DataAuthority,
    Role::Source,
    Role::Consumer,
    Role::Clerk,
    Role::Auditor,
    Role::SystemAdministrator,
    Role::SecurityAdministrator,
    Role::AuditAdministrator,
];

/// The roles that may do an operation; a system needs one of them. Deny by default: the match has no catch-all arm.
#[must_use]
pub fn allowed_roles(operation: Operation) -> &'static [Role] {
    match operation {
        Operation::LookUp
        | Operation::BatchLookUp
        | Operation::Match
        | Operation::Derive
        | Operation::LookUpHolder
        | Operation::LookUpArea
        | Operation::VerifyDocument => &[Role::Consumer, Role::Clerk],
        Operation::ApplyGrant => &[Role::Consumer, Role::Clerk],
        Operation::PrepareLicence | Operation::IssueLicence | Operation::ChangeLicence => &[Role::Source],
        Operation::PutLicenceType => &[Role::DataAuthority, Role::Source],
        Operation::DistrustIssuerKey => &[Role::DataAuthority, Role::SecurityAdministrator],
        Operation::Import | Operation::ListQuarantine => &[Role::Source],
        Operation::GetImport => &[Role::Source, Role::DataAuthority],
        Operation::ReleaseImport | Operation::PutDepartment | Operation::PutResource => &[Role::DataAuthority],
        Operation::PutSystem => &[Role::DataAuthority, Role::SystemAdministrator, Role::SecurityAdministrator],
        Operation::DecideGrant => &[Role::Source, Role::DataAuthority],
        Operation::WithdrawGrant => {
            &[Role::Source, Role::DataAuthority, Role::SecurityAdministrator, Role::Consumer, Role::Clerk]
        }
        Operation::ListAccesses => &[Role::Auditor, Role::AuditAdministrator, Role::DataAuthority],
        Operation::ImportSeal | Operation::BindSeal => &[Role::DataAuthority, Role::Source],
        // Of whose department the seal is not, only auditors: decided where the seal is read.
        Operation::ListSealUses | Operation::WatchSealUses => {
            &[Role::Source, Role::Consumer, Role::Clerk, Role::DataAuthority, Role::Auditor, Role::AuditAdministrator]
        }
        Operation::ListSeals
        | Operation::ListLicenceTypes
        | Operation::WhoAmI
        | Operation::ListDepartments
        | Operation::ListSystems
        | Operation::ListResources
        | Operation::ListGrants
        | Operation::GetTrust
        | Operation::VerifyEvidence
        | Operation::GetCheckpoint
        | Operation::ListEntries
        | Operation::GetInclusionProof
        | Operation::GetConsistencyProof => ANY,
    }
}

/// Whether a set of roles keeps system, security and audit administrator apart (三员分立).
#[must_use]
pub fn roles_separate(roles: &[Role]) -> bool {
    let administrators = [Role::SystemAdministrator, Role::SecurityAdministrator, Role::AuditAdministrator];
    administrators.iter().filter(|role| roles.contains(role)).count() <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_administrators_are_never_one_account() {
        assert!(roles_separate(&[Role::SystemAdministrator, Role::Consumer]));
        assert!(!roles_separate(&[Role::SystemAdministrator, Role::AuditAdministrator]));
        assert!(!roles_separate(&[Role::SecurityAdministrator, Role::AuditAdministrator]));
    }

    #[test]
    fn an_administrator_of_systems_sees_nobodys_records() {
        for operation in
            [Operation::LookUp, Operation::LookUpHolder, Operation::ListAccesses, Operation::ListQuarantine]
        {
            assert!(!allowed_roles(operation).contains(&Role::SystemAdministrator), "{operation:?}");
        }
    }
}
