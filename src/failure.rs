//! What stopped a request, and what to do about it.
//!
//! What the hub *knows* (revoked, absent, refused by policy) is an answer with a receipt. What *stopped* it is a [`Failure`].
//! Each has a [`Reason`]: UPPER_SNAKE_CASE, never renamed, explained in Chinese and English by `wuku explain REASON`.
use std::borrow::Cow;
use std::time::Duration;

/// Whose fault it is, which decides whether asking again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is wrong; sent again unchanged it fails again.
    Request,
    /// The caller may not; it needs another certificate, role or grant.
    Caller,
    /// The world moved: read again, then decide.
    State,
    /// The caller is over its quota; later it works.
    Quota,
    /// The hub cannot at the moment; try again.
    Busy,
    /// The hub is damaged or has a bug; somebody must look.
    Hub,
}

macro_rules! reasons {
    ($($variant:ident $name:literal $fault:ident $http:literal
        zh $zh:literal then_zh $fix_zh:literal
        en $en:literal then_en $fix_en:literal;)*) => {
        /// Every reason the hub gives. The names are part of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "each variant is explained in both languages by the table below")]
        pub enum Reason { $($variant,)* }

        impl Reason {
            /// All reasons, in the order of the table.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];
            /// The name on the wire.
            #[must_use]
            pub fn name(self) -> &'static str { match self { $(Reason::$variant => $name,)* } }
            /// Whose fault it is.
            #[must_use]
            pub fn fault(self) -> Fault { match self { $(Reason::$variant => Fault::$fault,)* } }
            /// The canonical gRPC code, by number.
            #[must_use]
            pub fn code(self) -> i32 { match self { $(Reason::$variant => $http,)* } }
            /// What it means, in Chinese.
            #[must_use]
            pub fn text_zh(self) -> &'static str { match self { $(Reason::$variant => $zh,)* } }
            /// What to do about it, in Chinese.
            #[must_use]
            pub fn remedy_zh(self) -> &'static str { match self { $(Reason::$variant => $fix_zh,)* } }
            /// What it means, in English.
            #[must_use]
            pub fn text_en(self) -> &'static str { match self { $(Reason::$variant => $en,)* } }
            /// What to do about it, in English.
            #[must_use]
            pub fn remedy_en(self) -> &'static str { match self { $(Reason::$variant => $fix_en,)* } }
        }
    };
}

// gRPC codes: 3 INVALID_ARGUMENT, 5 NOT_FOUND, 6 ALREADY_EXISTS, 7 PERMISSION_DENIED, 8 RESOURCE_EXHAUSTED, 9 FAILED_PRECONDITION,
// 10 ABORTED, 13 INTERNAL, 14 UNAVAILABLE, 15 DATA_LOSS, 16 UNAUTHENTICATED, 4 DEADLINE_EXCEEDED.
reasons! {
    RequestMalformed "REQUEST_MALFORMED" Request 3
        zh "请求内容有误。" then_zh "按所列字段逐项更正后重发。"
        en "The request is malformed." then_en "Correct every field listed and send it again.";
    BatchTooLarge "BATCH_TOO_LARGE" Request 3
        zh "批量查询超过 200 项。" then_zh "分成每批不超过 200 项。"
        en "A batch holds more than 200 items." then_en "Split it into batches of at most 200.";
    CallerUnknown "CALLER_UNKNOWN" Caller 16
        zh "未能识别调用方证书。" then_zh "使用本枢纽认可的客户端证书，且证书中含一个 wuku:// 开头的系统标识。"
        en "The client certificate names no system of this hub." then_en "Use a certificate of the configured client CA with exactly one wuku:// SAN URI.";
    CertificateRevoked "CERTIFICATE_REVOKED" Caller 16
        zh "调用方证书已被吊销。" then_zh "向数据主管部门申领新证书。"
        en "The client certificate has been revoked." then_en "Obtain a new certificate from the data authority.";
    SystemDisabled "SYSTEM_DISABLED" Caller 7
        zh "该系统未登记或已停用。" then_zh "请数据主管部门在目录中登记或启用该系统（wuku 的 PutSystem）。"
        en "The system is not registered or is disabled." then_en "Ask the data authority to register or enable it (PutSystem).";
    RoleNotAllowed "ROLE_NOT_ALLOWED" Caller 7
        zh "该系统的角色不能进行此项操作。" then_zh "用 WhoAmI 查看角色；需要时请数据主管部门调整。"
        en "The system's roles do not allow this operation." then_en "See WhoAmI for your roles; ask the data authority if one is missing.";
    RolesNotSeparate "ROLES_NOT_SEPARATE" Request 9
        zh "系统、安全、审计三类管理员不得为同一账号。" then_zh "为每类管理员登记单独的系统。"
        en "System, security and audit administrator may not be one account." then_en "Register one system for each.";
    PurposeNotGranted "PURPOSE_NOT_GRANTED" Caller 7
        zh "没有适用于此用途的共享许可。" then_zh "核对用途、事项、字段和查询方式；没有许可的，先提交共享申请（ApplyGrant）。"
        en "No grant covers this question and purpose." then_en "Compare purpose, item, fields and kind with your grants (ListGrants); apply for one that is missing (ApplyGrant).";
    MatchThrottled "MATCH_THROTTLED" Quota 8
        zh "同一代码多次比对不符，已暂停比对。" then_zh "十分钟后再试；请先与当事人核对姓名和号码。"
        en "Too many mismatches on one code; matching it is paused." then_en "Try again after ten minutes, and check name and number with the person first.";
    QuotaExceeded "QUOTA_EXCEEDED" Quota 8
        zh "超过共享许可的当日调用限额。" then_zh "次日再试，或向数源部门申请提高限额。"
        en "The grant's quota for today is used up." then_en "Try again tomorrow, or ask the source department for a larger quota.";
    RequestIdMissing "REQUEST_ID_MISSING" Request 3
        zh "变更请求必须带请求编号。" then_zh "为每次变更生成一个新的请求编号（如 UUID），重试时沿用。"
        en "A change needs a request id." then_en "Make a new id for each change (a UUID, say) and keep it when retrying.";
    RequestIdReused "REQUEST_ID_REUSED" Request 3
        zh "同一请求编号已用于不同内容。" then_zh "新请求使用新的请求编号。"
        en "The request id was used for something else." then_en "Use a new id for a new request.";
    CheckpointUnknown "CHECKPOINT_UNKNOWN" Request 3
        zh "seen 中的检查点不是本枢纽签名的。" then_zh "只传回本枢纽此前签发的完整检查点，或不传。"
        en "The checkpoint in `seen` is not signed by this hub." then_en "Send back a complete checkpoint this hub gave you, or none.";
    RecordedTimeTooNew "RECORDED_TIME_TOO_NEW" State 9
        zh "所问的记录时间还没有过去。" then_zh "询问早于当前时间的一秒，或改用记录位置。"
        en "The recorded time asked about is not past yet." then_en "Ask about an earlier second, or about a recorded position.";
    DepartmentUnknown "DEPARTMENT_UNKNOWN" Request 5
        zh "目录中没有该部门。" then_zh "先登记部门（PutDepartment）。"
        en "There is no such department in the catalogue." then_en "Register the department first (PutDepartment).";
    ResourceUnknown "RESOURCE_UNKNOWN" Request 5
        zh "目录中没有该信息资源。" then_zh "用 ListResources 查看资源代码。"
        en "There is no such resource in the catalogue." then_en "See ListResources for the codes.";
    ResourceNotShared "RESOURCE_NOT_SHARED" Caller 9
        zh "该信息资源不予共享。" then_zh "依据见目录中的共享条件；如有异议向数据主管部门提出。"
        en "The resource is not shared." then_en "The catalogue names the legal basis; raise an objection with the data authority.";
    FieldUnknown "FIELD_UNKNOWN" Request 3
        zh "资源中没有所列字段。" then_zh "用 ListResources 核对字段名。"
        en "The resource has no such field." then_en "Compare the names with ListResources.";
    LicenceTypeUnknown "LICENCE_TYPE_UNKNOWN" Request 5
        zh "目录中没有该证照类型，或已停用。" then_zh "用 ListLicenceTypes 查看类型代码。"
        en "There is no such licence type, or it is retired." then_en "See ListLicenceTypes for the codes.";
    LicenceFieldsInvalid "LICENCE_FIELDS_INVALID" Request 3
        zh "照面信息不符合该证照类型的要求。" then_zh "按所列字段逐项更正。"
        en "The face fields do not fit the licence type." then_en "Correct every field listed.";
    IssuerNotAuthorised "ISSUER_NOT_AUTHORISED" Caller 7
        zh "该部门无权签发此类证照。" then_zh "由有权部门签发，或请定义机构在证照类型目录中增列签发机构。"
        en "The department may not issue this type of licence." then_en "Let an authorised department issue it, or have the defining authority list yours.";
    IssuerMismatch "ISSUER_MISMATCH" Request 9
        zh "签名证书不属于证照上的颁发机构。" then_zh "使用颁发机构自己的签发证书（证书 O 项以其统一社会信用代码开头）。"
        en "The signing certificate does not belong to the issuing authority named." then_en "Sign with the issuing authority's own certificate (its O begins with the authority's USCC).";
    IssuerCertificateUntrusted "ISSUER_CERTIFICATE_UNTRUSTED" Request 9
        zh "签名证书不能追溯到所配置的签发机构 CA。" then_zh "附上完整证书链，并确认其 CA 已列入 issuers 配置。"
        en "The signing certificate does not chain to a CA listed for issuers." then_en "Send the complete chain, and see that its CA is in the `issuers` configuration.";
    IssuerCertificateExpired "ISSUER_CERTIFICATE_EXPIRED" Request 9
        zh "签名证书不在有效期内。" then_zh "换用有效的签发证书重新签名。"
        en "The signing certificate is outside its validity." then_en "Sign again with a certificate that is valid now.";
    IssuerCertificateRevoked "ISSUER_CERTIFICATE_REVOKED" Request 9
        zh "签名证书已被吊销。" then_zh "换用有效的签发证书重新签名。"
        en "The signing certificate has been revoked." then_en "Sign again with a certificate that is not revoked.";
    HubKeyNotAllowed "HUB_KEY_NOT_ALLOWED" Request 9
        zh "证照不得用枢纽自己的密钥签名。" then_zh "由颁发机构用自己的密钥签名。"
        en "A licence may not be signed with a key of the hub." then_en "The issuing authority signs with its own key.";
    LicenceBytesDiffer "LICENCE_BYTES_DIFFER" Request 9
        zh "提交的内容与准备时给出的不同。" then_zh "对 PrepareLicence 返回的字节原样签名并原样提交。"
        en "The bytes are not those that were prepared." then_en "Sign and submit exactly the bytes PrepareLicence returned.";
    SignatureInvalid "SIGNATURE_INVALID" Request 9
        zh "签名不成立。" then_zh "检查签名前缀、算法和密钥是否与证书一致。"
        en "The signature does not verify." then_en "Check the prefix that is signed, the algorithm, and that key and certificate belong together.";
    IssuerDistrusted "ISSUER_DISTRUSTED" Caller 9
        zh "该签发密钥已被停止信任。" then_zh "换用新的签发证书；已签发的证照需人工核对。"
        en "The issuer's key is distrusted." then_en "Use a new issuer certificate; licences under the old one need a person.";
    AlreadyExists "ALREADY_EXISTS" Request 6
        zh "该证照标识已入库。" then_zh "换版用 ChangeLicence；新证照重新准备。"
        en "The licence is already in the library." then_en "Use ChangeLicence for a new version; prepare again for a new licence.";
    TargetUnknown "TARGET_UNKNOWN" Request 5
        zh "要变更的对象不存在。" then_zh "核对标识；只有有权变更者会得到此答复。"
        en "What is to be changed does not exist." then_en "Check the identifier.";
    TransitionNotAllowed "TRANSITION_NOT_ALLOWED" State 9
        zh "当前状态下不能进行此项变更。" then_zh "先查询当前状态，再决定操作。"
        en "The present state does not allow this change." then_en "Look up the present state first.";
    OrderRequired "ORDER_REQUIRED" Request 9
        zh "终止状态只能凭恢复令离开，且须写明裁定或取消转出的文号。" then_zh "提交 RESTORE 命令，填写 ruling_document。"
        en "An end state is left only by a Restore order naming a ruling or a cancelled transfer." then_en "Send a RESTORE order with `ruling_document`.";
    StateChangedMeanwhile "STATE_CHANGED_MEANWHILE" State 10
        zh "对象在此期间已被他人变更。" then_zh "重新读取后再试。"
        en "Somebody else changed it meanwhile." then_en "Read it again, then decide.";
    NotLeadSource "NOT_LEAD_SOURCE" Caller 7
        zh "该部门不是此资源的数源部门。" then_zh "由数源部门导入；其他来源须由主管部门调整目录。"
        en "The department is not the lead source of this resource." then_en "Let the lead source import, or have the data authority change the catalogue.";
    DigestMismatch "DIGEST_MISMATCH" Request 9
        zh "文件与清单中的摘要不符。" then_zh "检查文件是否被改动或传输不完整，重新生成并签署清单。"
        en "The file does not have the digest its manifest states." then_en "See whether the file was changed or cut; make and sign a new manifest.";
    RowCountMismatch "ROW_COUNT_MISMATCH" Request 9
        zh "文件行数与清单不符。" then_zh "核对文件，重新生成并签署清单。"
        en "The file does not have the number of rows its manifest states." then_en "Check the file; make and sign a new manifest.";
    ImportOffsetWrong "IMPORT_OFFSET_WRONG" Request 9
        zh "上传位置与已接收的不衔接。" then_zh "从应答中的 staged_bytes 处继续上传。"
        en "The part does not begin where the staged file ends." then_en "Go on from `staged_bytes` of the last response.";
    ImportHeld "IMPORT_HELD" State 9
        zh "该导入的变动量超过限度，已被扣留。" then_zh "请数据主管部门核实后放行（ReleaseImport），或更正文件后重新导入。"
        en "The import would change more than its guard allows and is held." then_en "The data authority releases it (ReleaseImport), or correct the file and import again.";
    ImportFileInvalid "IMPORT_FILE_INVALID" Request 3
        zh "文件无法按所述格式读取。" then_zh "核对编码、表头和格式。"
        en "The file cannot be read as the format stated." then_en "Check encoding, header and format.";
    SealNotAllowed "SEAL_NOT_ALLOWED" Caller 7
        zh "不得使用此印章。" then_zh "核对共享许可是否列明该印章，印章授权是否包含本部门、本事项及证照类型或基础库；需要时请印章所属部门调整授权（BindSeal）。"
        en "This seal may not be used here." then_en "See that your grant names the seal, and that its binding covers your department, the item and the licence type or library; its owner changes a binding (BindSeal).";
    SealNotAccepted "SEAL_NOT_ACCEPTED" Request 9
        zh "印章文件未通过核验，未入库。" then_zh "按所列步骤核对；请向印章系统重新申领，或请运维人员核对制章者信任锚与吊销列表。"
        en "The seal file does not stand and was not taken in." then_en "See the steps listed; have the seal system issue it again, or have the operator check anchors and revocation lists of seal makers.";
    SealsNotConfigured "SEALS_NOT_CONFIGURED" Hub 9
        zh "枢纽未配置印章核验或用印服务。" then_zh "运维人员：在配置中填写 [seals]。"
        en "The hub is not configured to hold or apply seals." then_en "Operators: fill in `[seals]` in the configuration.";
    SealNotApplied "SEAL_NOT_APPLIED" Busy 14
        zh "用印未成功，未答复任何内容。" then_zh "稍后重试；运维人员请查看印章系统是否应答，及其签名未通过哪一步核验（见日志）。"
        en "The seal could not be applied, so nothing was answered." then_en "Try again later; operators: see in the log whether the seal system answered, and which step its signature failed.";
    DocumentTooLarge "DOCUMENT_TOO_LARGE" Request 3
        zh "文件超过 20 MiB，未接收。" then_zh "请提供原始版式文件（OFD）；扫描件和图片不予核验，无需上传。"
        en "The file is longer than 20 MiB and was not taken in." then_en "Send the original OFD file; scans and pictures are not judged, so there is no need to send them.";
    DocumentTooSlow "DOCUMENT_TOO_SLOW" Request 9
        zh "文件过于复杂，未能在限定时间内核验完毕，未作结论。" then_zh "请人工核对；可用 wuku document verify 离线核验，并把文件交给运维人员查看。"
        en "The file is so intricate that it was not judged within its time; nothing is said of it." then_en "Check it by hand; `wuku document verify` judges it offline without that limit, and show the operator the file.";
    TrustFileMissing "TRUST_FILE_MISSING" Hub 9
        zh "枢纽没有配置信任文件。" then_zh "在配置中填写 receipt.trust_file。"
        en "The hub has no trust file configured." then_en "Set `receipt.trust_file` in the configuration.";
    DeadlineTooShort "DEADLINE_TOO_SHORT" Request 4
        zh "剩余时间不足以完成请求。" then_zh "放宽客户端的截止时间。"
        en "Too little time is left to answer." then_en "Allow a longer deadline.";
    HubOverloaded "HUB_OVERLOADED" Busy 14
        zh "枢纽繁忙。" then_zh "按所给间隔重试。"
        en "The hub is too busy." then_en "Try again after the delay given.";
    RecordingPaused "RECORDING_PAUSED" Busy 14
        zh "日志暂停记录，未答复任何内容。" then_zh "稍后重试；运维人员请查看健康状态中的原因（时钟、防回退文件、磁盘）。"
        en "The log does not record at the moment, so nothing is answered." then_en "Try again later; operators: see the reason in the health status (clock, fence, disk).";
    RecordingStopped "RECORDING_STOPPED" Hub 14
        zh "日志因发现不一致而停止记录。" then_zh "运维人员：保留现场，运行 wuku fsck，再看 wuku recover --help。"
        en "The log stopped recording because it found two histories." then_en "Operators: keep everything, run `wuku fsck`, then read `wuku recover --help`.";
    StorageLow "STORAGE_LOW" Busy 8
        zh "存储空间不足，未记录任何内容。" then_zh "稍后重试；运维人员请腾出数据盘空间或扩容，枢纽随即自动恢复，无需重启。余量先留给查询，变更和导入先停；所需余量见健康状态（/readyz）。"
        en "Too little room is left on the hub's disk, so nothing was recorded." then_en "Try again later; operators: free space on the data disk or enlarge it, and the hub goes on by itself. What is left is kept for questions first, so changes and imports stop before them; /readyz says how much is needed.";
    StoreUnavailable "STORE_UNAVAILABLE" Busy 14
        zh "存储暂时不可用。" then_zh "稍后重试。"
        en "The store is unavailable." then_en "Try again later.";
    RecordDamaged "RECORD_DAMAGED" Hub 15
        zh "库中记录未通过校验，未予答复。" then_zh "运维人员运行 wuku fsck 并从备份恢复该记录。"
        en "A stored record does not verify; it is not answered from." then_en "Operators: run `wuku fsck` and restore the record from a backup.";
    Internal "INTERNAL" Hub 13
        zh "枢纽内部错误。" then_zh "把请求编号告知运维人员。"
        en "Something inside the hub failed." then_en "Tell the operator the request id.";
}

impl Reason {
    /// The reason of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.name() == name)
    }
}

/// One thing wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    /// Path of the field, as in `question.key.person.code`.
    pub field: String,
    /// What is wrong, in Chinese.
    pub text_zh: Cow<'static, str>,
    /// What is wrong, in English.
    pub text_en: Cow<'static, str>,
}

impl FieldFault {
    /// A fault of the named field.
    pub fn new(
        field: impl Into<String>,
        text_zh: impl Into<Cow<'static, str>>,
        text_en: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { field: field.into(), text_zh: text_zh.into(), text_en: text_en.into() }
    }
}

/// Why a request got no answer.
///
/// The caller sees reason, its two sentences and the field faults. `inside` is for our own log and never crosses the edge.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The reason.
    pub reason: Reason,
    /// Every field that is wrong.
    pub fields: Vec<FieldFault>,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// What happened inside, for the log. Holds no person's data.
    pub inside: Option<String>,
}

impl Failure {
    /// A failure with nothing but its reason.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        let retry_after = matches!(reason.fault(), Fault::Busy).then(|| Duration::from_millis(200));
        Self { reason, fields: Vec::new(), retry_after, inside: None }
    }

    /// A malformed request with every fault found.
    #[must_use]
    pub fn malformed(fields: Vec<FieldFault>) -> Self {
        Self { fields, ..Self::new(Reason::RequestMalformed) }
    }

    /// A malformed request with one fault.
    pub fn field(field: impl Into<String>, zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        Self::malformed(vec![FieldFault::new(field, zh, en)])
    }

    /// The same failure with what happened inside.
    #[must_use]
    pub fn because(mut self, inside: impl std::fmt::Display) -> Self {
        self.inside = Some(inside.to_string());
        self
    }

    /// The same failure with faults of fields.
    #[must_use]
    pub fn with_fields(mut self, fields: Vec<FieldFault>) -> Self {
        self.fields = fields;
        self
    }

    /// The same failure with a time to try again.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason.name(), self.reason.text_en())?;
        for fault in &self.fields {
            write!(f, " [{}: {}]", fault.field, fault.text_en)?;
        }
        match &self.inside {
            Some(inside) => write!(f, " ({inside})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_explained_in_both_languages_and_named_once() {
        let mut names = std::collections::BTreeSet::new();
        for reason in Reason::ALL {
            let name = reason.name();
            assert!(name.len() <= 63 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{name}");
            assert!(names.insert(name), "{name} stands twice");
            for text in [reason.text_en(), reason.remedy_en()] {
                assert!(text.len() > 10 && text.ends_with('.'), "{name}: {text}");
            }
            for text in [reason.text_zh(), reason.remedy_zh()] {
                assert!(text.ends_with('。') && !text.is_ascii(), "{name}: {text}");
            }
        }
    }
}
