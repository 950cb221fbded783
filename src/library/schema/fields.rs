//! The tables: one line a field.

use super::FieldKind::{
    Date, Datum, Decimal, Digest, Division, Enum, Flag, Geometry, HolderCode, HolderCodeType, LicenceId, LicenceType,
    Name, Text, Uscc,
};
use super::Sensitivity::{Internal, Personal, Public, Sensitive};
use super::{Choice, FieldKind, FieldSpec, Mask, Sensitivity};

const REQUIRED: bool = true;
const OPTIONAL: bool = false;

const fn field(
    name: &'static str,
    title_zh: &'static str,
    kind: FieldKind,
    required: bool,
    sensitivity: Sensitivity,
    mask: Mask,
) -> FieldSpec {
    FieldSpec { name, title_zh, kind, required, sensitivity, mask }
}

const fn choice(name: &'static str, zh: &'static str, also: &'static [&'static str]) -> Choice {
    Choice { name, zh, also }
}

/// 人口库: key = holder_code_type + holder_code.
pub(super) const POPULATION: &[FieldSpec] = &[
    field("holder_code_type", "证件类型代码", HolderCodeType, REQUIRED, Internal, Mask::None),
    field("holder_code", "证件号码", HolderCode("holder_code_type"), REQUIRED, Sensitive, Mask::Id),
    field("name", "姓名", Name, REQUIRED, Personal, Mask::Name),
    field("sex", "性别", Enum(SEX), REQUIRED, Personal, Mask::None),
    field("birth_date", "出生日期", Date, REQUIRED, Personal, Mask::Id),
    field("ethnic_group", "民族", Text, OPTIONAL, Sensitive, Mask::Name),
    field("address", "户籍地址", Text, OPTIONAL, Personal, Mask::Address),
    field("division", "户籍地行政区划", Division, REQUIRED, Internal, Mask::None),
    field("residence", "居住地址", Text, OPTIONAL, Personal, Mask::Address),
    field("marital_status", "婚姻状况", Enum(MARITAL_STATUS), OPTIONAL, Sensitive, Mask::Name),
    field("life_status", "生存状态", Enum(LIFE_STATUS), REQUIRED, Personal, Mask::None),
    field("phone", "联系电话", Text, OPTIONAL, Personal, Mask::Phone),
    field("photo_digest", "照片摘要", Digest, OPTIONAL, Sensitive, Mask::Id),
    field("valid_from", "生效日期", Date, OPTIONAL, Internal, Mask::None),
];

/// 法人库: key = uscc.
pub(super) const LEGAL_ENTITY: &[FieldSpec] = &[
    field("uscc", "统一社会信用代码", Uscc, REQUIRED, Public, Mask::None),
    field("name", "名称", Name, REQUIRED, Public, Mask::None),
    field("kind", "类型", Enum(ENTITY_KIND), REQUIRED, Public, Mask::None),
    field("legal_representative_name", "法定代表人", Name, OPTIONAL, Personal, Mask::Name),
    field("legal_representative_code_type", "法定代表人证件类型代码", HolderCodeType, OPTIONAL, Internal, Mask::None),
    field(
        "legal_representative_code",
        "法定代表人证件号码",
        HolderCode("legal_representative_code_type"),
        OPTIONAL,
        Sensitive,
        Mask::Id,
    ),
    field("registered_capital", "注册资本（元）", Decimal, OPTIONAL, Public, Mask::None),
    field("address", "住所", Text, OPTIONAL, Public, Mask::Address),
    field("division", "登记地行政区划", Division, REQUIRED, Public, Mask::None),
    field("founded", "成立日期", Date, REQUIRED, Public, Mask::None),
    field("term_end", "经营期限至", Date, OPTIONAL, Public, Mask::None),
    field("scope", "经营范围", Text, OPTIONAL, Public, Mask::None),
    field("status", "登记状态", Enum(ENTITY_STATUS), REQUIRED, Public, Mask::None),
    field("registering_authority", "登记机关", Text, OPTIONAL, Public, Mask::None),
    field("valid_from", "生效日期", Date, OPTIONAL, Internal, Mask::None),
];

/// 信用库: key = subject + record_id.
pub(super) const CREDIT: &[FieldSpec] = &[
    field("subject_code_type", "主体代码类型", HolderCodeType, REQUIRED, Internal, Mask::None),
    field("subject_code", "主体代码", HolderCode("subject_code_type"), REQUIRED, Sensitive, Mask::Id),
    field("record_id", "记录编号", Text, REQUIRED, Internal, Mask::None),
    field("category", "记录类别", Enum(CREDIT_CATEGORY), REQUIRED, Internal, Mask::None),
    field("basis", "认定依据", Text, REQUIRED, Internal, Mask::None),
    field("authority", "认定机关", Text, REQUIRED, Internal, Mask::None),
    field("effective_date", "生效日期", Date, REQUIRED, Internal, Mask::None),
    field("end_date", "截止日期", Date, OPTIONAL, Internal, Mask::None),
    field("repaired", "是否已修复", Flag, REQUIRED, Internal, Mask::None),
    field("severity", "程度", Enum(SEVERITY), OPTIONAL, Internal, Mask::None),
];

/// 地理空间库: key = feature_code.
pub(super) const GEOSPATIAL: &[FieldSpec] = &[
    field("feature_code", "要素代码", Text, REQUIRED, Internal, Mask::None),
    field("kind", "要素类别", Enum(FEATURE_KIND), REQUIRED, Internal, Mask::None),
    field("name", "名称", Name, REQUIRED, Internal, Mask::None),
    field("division", "所在行政区划", Division, REQUIRED, Internal, Mask::None),
    field("geometry", "几何", Geometry, REQUIRED, Internal, Mask::None),
    field("datum", "坐标系", Datum, REQUIRED, Internal, Mask::None),
    field("source_datum", "来源坐标系", Text, OPTIONAL, Internal, Mask::None),
    field("area_m2", "面积（平方米）", Decimal, OPTIONAL, Internal, Mask::None),
    field("owner_code_type", "权利人代码类型", HolderCodeType, OPTIONAL, Internal, Mask::None),
    field("owner_code", "权利人代码", HolderCode("owner_code_type"), OPTIONAL, Sensitive, Mask::Id),
];

/// 电子证照库: key = licence_id. The metadata of GB/T 36903; face fields are declared by the licence type.
pub(super) const LICENCE: &[FieldSpec] = &[
    field("licence_id", "证照标识", LicenceId, REQUIRED, Internal, Mask::None),
    field("type_code", "证照类型代码", LicenceType, REQUIRED, Public, Mask::None),
    field("type_name", "证照类型名称", Text, REQUIRED, Public, Mask::None),
    field("number", "证照编号", Text, REQUIRED, Personal, Mask::Id),
    field("issuer_name", "证照颁发机构", Text, REQUIRED, Public, Mask::None),
    field("issuer_code", "证照颁发机构代码", Uscc, REQUIRED, Public, Mask::None),
    field("holder_name", "持证主体", Name, REQUIRED, Personal, Mask::Name),
    field("holder_code_type", "持证主体代码类型代码", HolderCodeType, REQUIRED, Internal, Mask::None),
    field("holder_code", "持证主体代码", HolderCode("holder_code_type"), REQUIRED, Sensitive, Mask::Id),
    field("issued_on", "证照颁发日期", Date, REQUIRED, Internal, Mask::None),
    field("valid_from", "证照有效期起始日期", Date, REQUIRED, Internal, Mask::None),
    field("valid_until", "证照有效期截止日期", Date, OPTIONAL, Internal, Mask::None),
    field("division", "所属管辖属地编码", Division, OPTIONAL, Internal, Mask::None),
    field("previous_licence_id", "关联证照标识", LicenceId, OPTIONAL, Internal, Mask::None),
    field("item_code", "关联事项代码", Text, OPTIONAL, Internal, Mask::None),
];

const SEX: &[Choice] = &[
    choice("male", "男", &["1", "男性"]),
    choice("female", "女", &["2", "女性"]),
    choice("unknown", "未知", &["0", "9", "未说明", "未知的性别"]),
];

const MARITAL_STATUS: &[Choice] = &[
    choice("single", "未婚", &["10"]),
    choice("married", "已婚", &["20", "21", "22", "23", "初婚", "再婚", "复婚"]),
    choice("widowed", "丧偶", &["30"]),
    choice("divorced", "离婚", &["40", "离异"]),
    choice("unknown", "未说明", &["90", "未知"]),
];

const LIFE_STATUS: &[Choice] =
    &[choice("alive", "健在", &["正常", "生存"]), choice("deceased", "死亡", &["已故", "死亡注销"])];

const ENTITY_KIND: &[Choice] = &[
    choice("enterprise", "企业", &["企业法人", "有限责任公司", "股份有限公司"]),
    choice("individual_business", "个体工商户", &["个体户"]),
    choice("farmers_cooperative", "农民专业合作社", &["合作社"]),
    choice("institution", "事业单位", &["事业法人"]),
    choice("government", "机关", &["机关法人", "行政机关"]),
    choice("social_organisation", "社会组织", &["社会团体", "基金会", "民办非企业单位", "社会服务机构"]),
    choice("other", "其他", &["其他组织"]),
];

const ENTITY_STATUS: &[Choice] = &[
    choice("active", "存续", &["在业", "开业", "正常"]),
    choice("dormant", "歇业", &["停业"]),
    choice("revoked", "吊销", &["吊销未注销", "吊销，未注销"]),
    choice("cancelled", "注销", &["已注销"]),
    choice("moved_out", "迁出", &[]),
];

const CREDIT_CATEGORY: &[Choice] = &[
    choice("permit", "行政许可", &[]),
    choice("penalty", "行政处罚", &[]),
    choice("blacklist", "严重失信主体名单", &["黑名单", "失信被执行人"]),
    choice("red_list", "守信激励名单", &["红名单"]),
    choice("commitment_breach", "承诺失信", &["违反承诺"]),
    choice("abnormal_operation", "经营异常名录", &["经营异常"]),
];

const SEVERITY: &[Choice] =
    &[choice("minor", "轻微", &[]), choice("ordinary", "一般", &[]), choice("serious", "严重", &["特别严重"])];

const FEATURE_KIND: &[Choice] = &[
    choice("division", "行政区", &["行政区划"]),
    choice("parcel", "宗地", &["地块"]),
    choice("building", "建筑物", &["房屋"]),
    choice("address_point", "地址点", &["门牌"]),
    choice("facility", "设施", &["公共设施"]),
    choice("other", "其他要素", &["其他"]),
];
