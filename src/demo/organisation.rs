//! The demo county's static organisation: departments, systems, data resources, licence types.
//!
//! Kinds and names are those of a real county; every unified social credit code is made up in the unassigned division 331099.

use super::places::UNASSIGNED;
use crate::library::codes::{CodeFault, LicenceTypeCode, Uscc};
use crate::library::mask::Mask;
use crate::library::schema::{FieldKind, Library};

/// A department.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoDepartment {
    /// Its short name in URIs.
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Body of its made-up organisation code.
    organisation: &'static str,
}

impl DemoDepartment {
    /// Its made-up credit code.
    ///
    /// # Errors
    /// None for the table below; a test makes them all.
    pub fn uscc(&self) -> Result<Uscc, CodeFault> {
        Uscc::make("11", UNASSIGNED, self.organisation)
    }
}

const fn department(code: &'static str, name: &'static str, organisation: &'static str) -> DemoDepartment {
    DemoDepartment { code, name, organisation }
}

/// The 24 departments.
pub const DEPARTMENTS: [DemoDepartment; 24] = [
    department("public-security", "天台县公安局", "MD100001"),
    department("civil-affairs", "天台县民政局", "MD100002"),
    department("market-regulation", "天台县市场监督管理局", "MD100003"),
    department("natural-resources", "天台县自然资源和规划局", "MD100004"),
    department("housing", "天台县住房和城乡建设局", "MD100005"),
    department("human-resources", "天台县人力资源和社会保障局", "MD100006"),
    department("medical-insurance", "天台县医疗保障局", "MD100007"),
    department("health", "天台县卫生健康局", "MD100008"),
    department("education", "天台县教育局", "MD100009"),
    department("taxation", "国家税务总局天台县税务局", "MD100010"),
    department("transport", "天台县交通运输局", "MD100011"),
    department("emergency", "天台县应急管理局", "MD100012"),
    department("agriculture", "天台县农业农村局", "MD100013"),
    department("justice", "天台县司法局", "MD100014"),
    department("finance", "天台县财政局", "MD100015"),
    department("development-reform", "天台县发展和改革局", "MD100016"),
    department("government-services", "天台县政务服务管理办公室", "MD100017"),
    department("data-bureau", "天台县大数据发展管理局", "MD100018"),
    department("audit", "天台县审计局", "MD100019"),
    department("veterans", "天台县退役军人事务局", "MD100020"),
    department("culture-tourism", "天台县文化和广电旅游体育局", "MD100021"),
    department("ecology", "台州市生态环境局天台分局", "MD100022"),
    department("water", "天台县水利局", "MD100023"),
    department("urban-enforcement", "天台县综合行政执法局", "MD100024"),
];

/// The department of this code.
pub fn department_of(code: &str) -> Option<&'static DemoDepartment> {
    DEPARTMENTS.iter().find(|department| department.code == code)
}

/// What a system may be; numbers as in `wuku.catalogue.v1.Role`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum DemoRole {
    /// 数据主管部门
    DataAuthority = 1,
    /// 数源部门
    Source = 2,
    /// 数据需求部门
    Consumer = 3,
    /// 窗口人员
    Clerk = 4,
    /// 审计人员
    Auditor = 5,
    /// 系统管理员
    SystemAdministrator = 6,
    /// 安全保密管理员
    SecurityAdministrator = 7,
    /// 安全审计员
    AuditAdministrator = 8,
}

use DemoRole::{Auditor, Clerk, Consumer, DataAuthority, Source};

/// A system of a department.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoSystem {
    /// Its department's code.
    pub department: &'static str,
    /// Its short name in URIs; differs from all others.
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it may be.
    pub roles: &'static [DemoRole],
}

impl DemoSystem {
    /// Its URI in the certificate, at the hub of this name (`tiantai`).
    pub fn uri(&self, hub: &str) -> String {
        format!("wuku://{hub}/{}/{}", self.department, self.code)
    }
}

const fn system(
    department: &'static str,
    code: &'static str,
    name: &'static str,
    roles: &'static [DemoRole],
) -> DemoSystem {
    DemoSystem { department, code, name, roles }
}

const BOTH: &[DemoRole] = &[Source, Consumer];
const ASKS: &[DemoRole] = &[Consumer];

/// The 37 systems. The three administrators are three systems (三员分立).
pub const SYSTEMS: [DemoSystem; 37] = [
    system("public-security", "population", "人口管理系统", BOTH),
    system("public-security", "traffic", "交通管理综合应用平台", BOTH),
    system("public-security", "exit-entry", "出入境管理系统", BOTH),
    system("civil-affairs", "marriage", "婚姻登记系统", BOTH),
    system("civil-affairs", "assistance", "社会救助系统", BOTH),
    system("market-regulation", "registration", "市场主体登记系统", BOTH),
    system("market-regulation", "food-permit", "食品经营许可系统", BOTH),
    system("market-regulation", "inspection", "双随机监管系统", ASKS),
    system("natural-resources", "real-estate", "不动产登记系统", BOTH),
    system("natural-resources", "planning", "规划一张图系统", BOTH),
    system("housing", "construction", "工程建设审批系统", BOTH),
    system("housing", "property", "房产交易系统", ASKS),
    system("human-resources", "social-security", "社会保险系统", BOTH),
    system("human-resources", "employment", "就业服务系统", ASKS),
    system("medical-insurance", "settlement", "医保结算系统", ASKS),
    system("health", "birth", "出生医学证明管理系统", BOTH),
    system("health", "clinics", "医疗机构审批系统", ASKS),
    system("education", "enrolment", "入学报名系统", ASKS),
    system("taxation", "collection", "税费征收系统", BOTH),
    system("transport", "road-transport", "道路运输管理系统", BOTH),
    system("emergency", "safety", "安全生产监管系统", BOTH),
    system("agriculture", "subsidy", "惠农补贴系统", ASKS),
    system("agriculture", "homestead", "宅基地审批系统", BOTH),
    system("justice", "notary", "公证业务系统", ASKS),
    system("justice", "legal-aid", "法律援助系统", ASKS),
    system("finance", "payment", "惠民资金发放系统", ASKS),
    system("development-reform", "credit", "公共信用信息平台", BOTH),
    system("development-reform", "investment", "投资项目在线审批监管平台", ASKS),
    system("government-services", "one-window", "一窗受理平台", &[Consumer, Clerk]),
    system("government-services", "self-service", "自助服务终端平台", ASKS),
    system("data-bureau", "catalogue", "政务数据目录系统", &[DataAuthority]),
    system("data-bureau", "operations", "枢纽运行管理系统", &[DemoRole::SystemAdministrator]),
    system("data-bureau", "security", "枢纽安全管理系统", &[DemoRole::SecurityAdministrator]),
    system("data-bureau", "security-audit", "枢纽安全审计系统", &[DemoRole::AuditAdministrator]),
    system("audit", "big-data", "大数据审计平台", &[Auditor]),
    system("veterans", "benefits", "优抚待遇系统", ASKS),
    system("urban-enforcement", "enforcement", "综合执法办案系统", ASKS),
];

/// The system of this code.
pub fn system_of(code: &str) -> Option<&'static DemoSystem> {
    SYSTEMS.iter().find(|system| system.code == code)
}

/// How a resource is shared; numbers as in `wuku.catalogue.v1.SharingClass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum DemoSharing {
    /// 无条件共享
    Unconditional = 1,
    /// 有条件共享
    Conditional = 2,
    /// 不予共享
    NotShared = 3,
}

/// A data resource, which is also an interface of the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoResource {
    /// Its code.
    pub code: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The library its records lie in.
    pub library: Library,
    /// The system of its lead source; the owner is that system's department.
    pub lead: &'static str,
    /// Days within which a complete load comes again; 0: kept record by record.
    pub cycle_days: u32,
    /// How it is shared.
    pub sharing: DemoSharing,
    /// Condition, or why it is not shared.
    pub condition: &'static str,
    /// Names of its fields, a space between; empty means all core fields of the library (for a licence: all face fields).
    fields: &'static str,
    /// For a licence type: its key in [`LICENCE_TYPES`].
    pub licence: &'static str,
}

impl DemoResource {
    /// Names of its fields.
    pub fn fields(&self) -> Vec<&'static str> {
        if !self.fields.is_empty() {
            return self.fields.split(' ').collect();
        }
        let core = self.library.fields().iter().map(|field| field.name);
        let face = licence_type(self.licence).into_iter().flat_map(|kind| kind.face.iter().map(|field| field.name));
        core.chain(face.filter(|name| self.library.field(name).is_none())).collect()
    }

    /// The department that keeps it.
    pub fn owner(&self) -> &'static str {
        system_of(self.lead).map_or("data-bureau", |system| system.department)
    }

    /// Whether records are imported or issued under this resource itself; the others are narrower views of the same library.
    pub fn is_whole(&self) -> bool {
        self.fields.is_empty()
    }

    /// Division prefixes its keys may have: the prefecture, which made-up numbers begin with too; none for codes without one.
    pub fn coverage_divisions(&self) -> &'static [&'static str] {
        &[super::places::PREFECTURE]
    }

    /// Holder code types its keys may have; empty where keys are no holder codes.
    pub fn coverage_code_types(&self) -> &'static [&'static str] {
        match self.library {
            Library::Population => &["111", "553"],
            Library::LegalEntity => &["001"],
            Library::Credit => &["001", "111"],
            _ => &[],
        }
    }
}

use DemoSharing::{Conditional, NotShared, Unconditional};
use Library::{Credit, Geospatial, LegalEntity, Licence, Population};

/// Code, name, library, lead system, cycle, sharing, condition, fields, licence key.
type ResourceLine =
    (&'static str, &'static str, Library, &'static str, u32, DemoSharing, &'static str, &'static str, &'static str);

const ON_ITEM: &str = "限办理相关政务服务事项";

const RESOURCE_LINES: [ResourceLine; 40] = [
    ("population", "人口基础信息", Population, "population", 30, Conditional, ON_ITEM, "", ""),
    (
        "population-identity",
        "人口身份核验",
        Population,
        "population",
        30,
        Conditional,
        ON_ITEM,
        "holder_code_type holder_code name",
        "",
    ),
    ("population-birth", "出生日期核验", Population, "population", 30, Conditional, ON_ITEM, "birth_date sex", ""),
    (
        "population-register",
        "户籍地址信息",
        Population,
        "population",
        30,
        Conditional,
        ON_ITEM,
        "name address division",
        "",
    ),
    (
        "population-residence",
        "居住地址信息",
        Population,
        "population",
        30,
        Conditional,
        ON_ITEM,
        "name residence division",
        "",
    ),
    (
        "population-marital",
        "婚姻状况信息",
        Population,
        "population",
        30,
        Conditional,
        ON_ITEM,
        "name marital_status",
        "",
    ),
    ("population-life", "生存状态信息", Population, "population", 30, Conditional, ON_ITEM, "name life_status", ""),
    (
        "population-contact",
        "联系方式信息",
        Population,
        "population",
        30,
        Conditional,
        "限主动服务回访",
        "name phone",
        "",
    ),
    (
        "population-ethnic",
        "民族成分信息",
        Population,
        "population",
        30,
        Conditional,
        "限民族成分认定",
        "name ethnic_group",
        "",
    ),
    (
        "population-photo",
        "人像摘要信息",
        Population,
        "population",
        30,
        NotShared,
        "个人信息保护法第二十八条",
        "photo_digest",
        "",
    ),
    ("legal-entity", "市场主体基础信息", LegalEntity, "registration", 7, Unconditional, "", "", ""),
    (
        "legal-entity-status",
        "市场主体登记状态",
        LegalEntity,
        "registration",
        7,
        Unconditional,
        "",
        "uscc name status",
        "",
    ),
    (
        "legal-entity-scope",
        "市场主体经营范围",
        LegalEntity,
        "registration",
        7,
        Unconditional,
        "",
        "uscc name scope",
        "",
    ),
    (
        "legal-entity-address",
        "市场主体住所信息",
        LegalEntity,
        "registration",
        7,
        Unconditional,
        "",
        "uscc name address division",
        "",
    ),
    (
        "legal-entity-capital",
        "市场主体注册资本",
        LegalEntity,
        "registration",
        7,
        Unconditional,
        "",
        "uscc name registered_capital founded",
        "",
    ),
    (
        "legal-entity-person",
        "法定代表人信息",
        LegalEntity,
        "registration",
        7,
        Conditional,
        ON_ITEM,
        "uscc name legal_representative_name legal_representative_code_type legal_representative_code",
        "",
    ),
    ("credit", "公共信用信息", Credit, "credit", 7, Conditional, "限信用核查", "", ""),
    (
        "credit-penalty",
        "行政处罚信息",
        Credit,
        "credit",
        7,
        Unconditional,
        "",
        "record_id category basis authority effective_date",
        "",
    ),
    (
        "credit-permit",
        "行政许可信息",
        Credit,
        "credit",
        7,
        Unconditional,
        "",
        "record_id category authority effective_date end_date",
        "",
    ),
    (
        "credit-blacklist",
        "严重失信主体名单",
        Credit,
        "credit",
        7,
        Unconditional,
        "",
        "record_id category effective_date end_date repaired",
        "",
    ),
    (
        "credit-red-list",
        "守信激励名单",
        Credit,
        "credit",
        7,
        Unconditional,
        "",
        "record_id category effective_date",
        "",
    ),
    (
        "credit-commitment",
        "承诺履行信息",
        Credit,
        "credit",
        7,
        Conditional,
        "限告知承诺事中事后监管",
        "record_id category effective_date severity repaired",
        "",
    ),
    ("geospatial", "自然资源空间要素", Geospatial, "planning", 90, Conditional, ON_ITEM, "", ""),
    (
        "geospatial-division",
        "行政区域界线",
        Geospatial,
        "planning",
        90,
        Unconditional,
        "",
        "feature_code kind name division geometry datum",
        "",
    ),
    (
        "geospatial-address",
        "标准地址",
        Geospatial,
        "planning",
        90,
        Unconditional,
        "",
        "feature_code kind name division geometry",
        "",
    ),
    (
        "geospatial-parcel",
        "宗地信息",
        Geospatial,
        "planning",
        90,
        Conditional,
        ON_ITEM,
        "feature_code kind name division geometry area_m2",
        "",
    ),
    (
        "geospatial-owner",
        "宗地权利人",
        Geospatial,
        "planning",
        90,
        Conditional,
        ON_ITEM,
        "feature_code owner_code_type owner_code",
        "",
    ),
    (
        "geospatial-facility",
        "公共设施",
        Geospatial,
        "planning",
        90,
        Unconditional,
        "",
        "feature_code kind name geometry",
        "",
    ),
    ("licence-id-card", "居民身份证", Licence, "population", 0, Conditional, ON_ITEM, "", "id-card"),
    ("licence-household", "居民户口簿", Licence, "population", 0, Conditional, ON_ITEM, "", "household"),
    ("licence-marriage", "结婚证", Licence, "marriage", 0, Conditional, ON_ITEM, "", "marriage"),
    ("licence-business", "营业执照", Licence, "registration", 0, Unconditional, "", "", "business"),
    ("licence-real-estate", "不动产权证书", Licence, "real-estate", 0, Conditional, ON_ITEM, "", "real-estate"),
    ("licence-driving", "机动车驾驶证", Licence, "traffic", 0, Conditional, ON_ITEM, "", "driving"),
    ("licence-food", "食品经营许可证", Licence, "food-permit", 0, Unconditional, "", "", "food"),
    ("licence-birth", "出生医学证明", Licence, "birth", 0, Conditional, ON_ITEM, "", "birth"),
    (
        "licence-business-standing",
        "营业执照状态",
        Licence,
        "registration",
        0,
        Unconditional,
        "",
        "licence_id type_code holder_name valid_until",
        "business",
    ),
    (
        "licence-food-standing",
        "食品经营许可状态",
        Licence,
        "food-permit",
        0,
        Unconditional,
        "",
        "licence_id type_code holder_name valid_until",
        "food",
    ),
    (
        "licence-driving-standing",
        "驾驶证状态",
        Licence,
        "traffic",
        0,
        Conditional,
        ON_ITEM,
        "licence_id type_code valid_until vehicle_class",
        "driving",
    ),
    (
        "licence-real-estate-standing",
        "不动产权属状态",
        Licence,
        "real-estate",
        0,
        Conditional,
        ON_ITEM,
        "licence_id type_code holder_name unit_number",
        "real-estate",
    ),
];

/// The 40 resources of the catalogue.
pub fn resources() -> impl Iterator<Item = DemoResource> {
    RESOURCE_LINES.iter().map(|(code, name, library, lead, cycle_days, sharing, condition, fields, licence)| {
        DemoResource {
            code,
            name,
            library: *library,
            lead,
            cycle_days: *cycle_days,
            sharing: *sharing,
            condition,
            fields,
            licence,
        }
    })
}

/// The resource of this code.
pub fn resource_of(code: &str) -> Option<DemoResource> {
    resources().find(|resource| resource.code == code)
}

/// One field of a licence's face.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaceSpec {
    /// Its name.
    pub name: &'static str,
    /// Its name on the licence.
    pub title_zh: &'static str,
    /// What it holds.
    pub kind: FieldKind,
    /// Must be there.
    pub required: bool,
    /// What is left of it when masked.
    pub mask: Mask,
}

const fn face(name: &'static str, title_zh: &'static str, kind: FieldKind, mask: Mask) -> FaceSpec {
    FaceSpec { name, title_zh, kind, required: true, mask }
}

/// The mark on every made-up licence.
pub const SAMPLE: &str = "演示样本";

const MARK: FaceSpec = face("sample_mark", "样本标记", FieldKind::Text, Mask::None);

/// A licence type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoLicenceType {
    /// Its key here and in [`DemoResource::licence`].
    pub key: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The department that defines it and, here, issues it.
    pub department: &'static str,
    /// The system that issues it.
    pub system: &'static str,
    /// The three digits of its type code.
    number: &'static str,
    /// 1 persons, 2 legal entities, 3 both, as in `wuku.licence.v1.HolderCategory`.
    pub holder_category: i32,
    /// The item it results from, 12 characters.
    pub item_code: &'static str,
    /// The catalogue resource its grants name.
    pub resource: &'static str,
    /// The face.
    pub face: &'static [FaceSpec],
}

impl DemoLicenceType {
    /// Its 21-character code: the defining department's made-up credit code and three digits.
    ///
    /// # Errors
    /// None for the table below; a test makes them all.
    pub fn type_code(&self) -> Result<LicenceTypeCode, CodeFault> {
        let uscc = department_of(self.department).map_or_else(|| Uscc::parse(""), DemoDepartment::uscc)?;
        LicenceTypeCode::parse(&format!("{uscc}{}", self.number))
    }

    /// Departments that may issue it.
    pub fn issuers(&self) -> [&'static str; 1] {
        [self.department]
    }
}

/// The licence type of this key.
pub fn licence_type(key: &str) -> Option<&'static DemoLicenceType> {
    LICENCE_TYPES.iter().find(|kind| kind.key == key)
}

use FieldKind::{Date, Decimal, Integer, Name, Text};

/// The eight licence types.
pub const LICENCE_TYPES: [DemoLicenceType; 8] = [
    DemoLicenceType {
        key: "id-card",
        name: "中华人民共和国居民身份证",
        department: "public-security",
        system: "population",
        number: "001",
        holder_category: 1,
        item_code: "330901001001",
        resource: "licence-id-card",
        face: &[
            face("name", "姓名", Name, Mask::Name),
            face("sex", "性别", Text, Mask::None),
            face("ethnic_group", "民族", Text, Mask::Name),
            face("birth_date", "出生", Date, Mask::Id),
            face("address", "住址", Text, Mask::Address),
            face("citizen_id", "公民身份号码", Text, Mask::Id),
            MARK,
        ],
    },
    DemoLicenceType {
        key: "household",
        name: "居民户口簿",
        department: "public-security",
        system: "population",
        number: "002",
        holder_category: 1,
        item_code: "330901001002",
        resource: "licence-household",
        face: &[
            face("household_number", "户号", Text, Mask::Id),
            face("head_name", "户主姓名", Name, Mask::Name),
            face("members", "家庭成员数", Integer, Mask::None),
            face("address", "住址", Text, Mask::Address),
            MARK,
        ],
    },
    DemoLicenceType {
        key: "marriage",
        name: "结婚证",
        department: "civil-affairs",
        system: "marriage",
        number: "001",
        holder_category: 1,
        item_code: "330711001001",
        resource: "licence-marriage",
        face: &[
            face("first_name", "持证人姓名", Name, Mask::Name),
            face("first_code", "持证人身份证件号", Text, Mask::Id),
            face("second_name", "配偶姓名", Name, Mask::Name),
            face("second_code", "配偶身份证件号", Text, Mask::Id),
            face("registered_on", "登记日期", Date, Mask::None),
            MARK,
        ],
    },
    DemoLicenceType {
        key: "business",
        name: "营业执照",
        department: "market-regulation",
        system: "registration",
        number: "001",
        holder_category: 2,
        item_code: "330131001001",
        resource: "licence-business",
        face: &[
            face("uscc", "统一社会信用代码", FieldKind::Uscc, Mask::None),
            face("name", "名称", Name, Mask::None),
            face("kind", "类型", Text, Mask::None),
            face("legal_representative_name", "法定代表人", Name, Mask::Name),
            face("registered_capital", "注册资本（元）", Decimal, Mask::None),
            face("founded", "成立日期", Date, Mask::None),
            face("address", "住所", Text, Mask::Address),
            face("scope", "经营范围", Text, Mask::None),
            MARK,
        ],
    },
    DemoLicenceType {
        key: "real-estate",
        name: "不动产权证书",
        department: "natural-resources",
        system: "real-estate",
        number: "001",
        holder_category: 3,
        item_code: "330715001001",
        resource: "licence-real-estate",
        face: &[
            face("owner_name", "权利人", Name, Mask::Name),
            face("unit_number", "不动产单元号", Text, Mask::Id),
            face("address", "坐落", Text, Mask::Address),
            face("right_kind", "权利类型", Text, Mask::None),
            face("area_m2", "面积（平方米）", Decimal, Mask::None),
            MARK,
        ],
    },
    DemoLicenceType {
        key: "driving",
        name: "中华人民共和国机动车驾驶证",
        department: "public-security",
        system: "traffic",
        number: "003",
        holder_category: 1,
        item_code: "330109001001",
        resource: "licence-driving",
        face: &[
            face("name", "姓名", Name, Mask::Name),
            face("licence_number", "证号", Text, Mask::Id),
            face("vehicle_class", "准驾车型", Text, Mask::None),
            face("first_issued_on", "初次领证日期", Date, Mask::None),
            face("address", "住址", Text, Mask::Address),
            MARK,
        ],
    },
    DemoLicenceType {
        key: "food",
        name: "食品经营许可证",
        department: "market-regulation",
        system: "food-permit",
        number: "002",
        holder_category: 2,
        item_code: "330131002001",
        resource: "licence-food",
        face: &[
            face("operator_name", "经营者名称", Name, Mask::None),
            face("uscc", "社会信用代码", FieldKind::Uscc, Mask::None),
            face("operator_kind", "主体业态", Text, Mask::None),
            face("items", "经营项目", Text, Mask::None),
            face("address", "经营场所", Text, Mask::Address),
            MARK,
        ],
    },
    DemoLicenceType {
        key: "birth",
        name: "出生医学证明",
        department: "health",
        system: "birth",
        number: "001",
        holder_category: 1,
        item_code: "330723001001",
        resource: "licence-birth",
        face: &[
            face("child_name", "新生儿姓名", Name, Mask::Name),
            face("sex", "性别", Text, Mask::None),
            face("birth_date", "出生日期", Date, Mask::Id),
            face("mother_name", "母亲姓名", Name, Mask::Name),
            face("mother_code", "母亲身份证件号", Text, Mask::Id),
            face("birth_place", "出生地点", Text, Mask::Address),
            MARK,
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_organisation_has_the_numbers_it_promises_and_its_references_hold() {
        let codes: BTreeSet<_> = DEPARTMENTS.iter().map(|department| department.code).collect();
        let usccs: BTreeSet<_> = DEPARTMENTS.iter().map(|department| department.uscc().unwrap().to_string()).collect();
        assert_eq!((codes.len(), usccs.len()), (24, 24));
        assert!(usccs.iter().all(|uscc| uscc.get(2..8) == Some(UNASSIGNED)));
        let systems: BTreeSet<_> = SYSTEMS.iter().map(|system| system.code).collect();
        assert_eq!(systems.len(), 37);
        assert!(SYSTEMS.iter().all(|system| codes.contains(system.department)));
        assert_eq!(SYSTEMS[0].uri("tiantai"), "wuku://tiantai/public-security/population");
        let resources: Vec<_> = resources().collect();
        assert_eq!(resources.iter().map(|resource| resource.code).collect::<BTreeSet<_>>().len(), 40);
        for resource in &resources {
            assert!(system_of(resource.lead).unwrap().roles.contains(&Source), "{}", resource.code);
            assert_eq!(resource.library == Licence, licence_type(resource.licence).is_some(), "{}", resource.code);
            for name in resource.fields() {
                let face =
                    licence_type(resource.licence).is_some_and(|kind| kind.face.iter().any(|field| field.name == name));
                assert!(face || resource.library.field(name).is_some(), "{} {name}", resource.code);
            }
            assert_eq!(resource.sharing == Unconditional, resource.condition.is_empty(), "{}", resource.code);
        }
    }

    #[test]
    fn every_licence_type_has_a_code_an_issuer_a_resource_and_the_sample_mark() {
        let codes: BTreeSet<_> = LICENCE_TYPES.iter().map(|kind| kind.type_code().unwrap().to_string()).collect();
        assert_eq!(codes.len(), 8);
        for kind in &LICENCE_TYPES {
            assert_eq!(resource_of(kind.resource).unwrap().licence, kind.key);
            assert_eq!(system_of(kind.system).unwrap().department, kind.department);
            assert!(kind.face.contains(&MARK) && kind.item_code.len() == 12);
        }
    }

    #[test]
    fn the_three_administrators_are_three_systems() {
        use DemoRole::{AuditAdministrator, SecurityAdministrator, SystemAdministrator};
        for role in [SystemAdministrator, SecurityAdministrator, AuditAdministrator] {
            let holders: Vec<_> = SYSTEMS.iter().filter(|system| system.roles.contains(&role)).collect();
            assert!(matches!(holders.as_slice(), [only] if only.roles == [role]));
        }
    }
}
