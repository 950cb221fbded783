//! What is left of a value where a grant opens it masked only.
//!
//! Promise: a masked value never gives away the whole, not even when the value is short, odd or no such value at all. The rules
//! are pinned by the golden table `tests/golden/mask.txt`; a change there changes answers and needs a new payload format.

use super::codes::HolderCodeType;

/// How a value is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mask {
    /// Left as it is.
    None,
    /// First character, then one star whatever the length.
    Name,
    /// First four and last four characters, stars between; shorter ones less.
    Id,
    /// First three and last four digits, stars between.
    Phone,
    /// Down to the county, then `***`.
    Address,
}

impl Mask {
    /// All masks.
    pub const ALL: [Self; 5] = [Self::None, Self::Name, Self::Id, Self::Phone, Self::Address];

    /// The name in the catalogue.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Name => "name",
            Self::Id => "id",
            Self::Phone => "phone",
            Self::Address => "address",
        }
    }

    /// The mask with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mask| mask.name() == name)
    }

    /// The masked value.
    pub fn apply(self, value: &str) -> String {
        match self {
            Self::None => value.to_owned(),
            Self::Name => name(value),
            Self::Id => id(value),
            Self::Phone => phone(value),
            Self::Address => address(value),
        }
    }
}

/// A holder code masked by its type: codes of organisations are public and stay, codes of persons are cut as [`Mask::Id`].
pub fn holder_code(code_type: HolderCodeType, code: &str) -> String {
    if code_type == HolderCodeType::USCC { code.to_owned() } else { id(code) }
}

fn name(value: &str) -> String {
    let mut chars = value.chars();
    match (chars.next(), chars.next()) {
        (None, _) => String::new(),
        // A name of one character would be given away whole.
        (Some(_), None) => "*".to_owned(),
        (Some(first), Some(_)) => format!("{first}*"),
    }
}

fn id(value: &str) -> String {
    // Under twelve characters, eight of them would leave too little to guess.
    match value.chars().count() {
        0..=3 => stars(value.chars().count()),
        4..=11 => keep(value, 1, 1),
        _ => keep(value, 4, 4),
    }
}

fn phone(value: &str) -> String {
    match value.chars().count() {
        count @ 0..=7 => stars(count),
        8..=9 => keep(value, 0, 4),
        _ => keep(value, 3, 4),
    }
}

fn stars(count: usize) -> String {
    "*".repeat(count)
}

/// The first `head` and last `tail` characters, the others as stars.
fn keep(value: &str, head: usize, tail: usize) -> String {
    let count = value.chars().count();
    let last = count.saturating_sub(tail);
    value.chars().enumerate().map(|(at, c)| if at < head || at >= last { c } else { '*' }).collect()
}

/// Up to and including the county-level name; nothing of an address whose county cannot be told.
fn address(value: &str) -> String {
    let known = value.len().saturating_sub(after_county(value).len());
    let (shown, rest) = value.split_at_checked(known).unwrap_or(("", value));
    if rest.is_empty() { shown.to_owned() } else { format!("{shown}***") }
}

/// What follows the county in an address; the whole address if no division is found at its beginning.
fn after_county(value: &str) -> &str {
    let (rest, municipality) = after_province(value);
    let Some((first, after_first)) = component(rest) else { return rest };
    // A county, a district, a banner: done. A city may be a prefecture with a county behind it, or a county-level city itself.
    let may_hold_counties =
        ["市", "盟", "地区", "自治州"].iter().any(|suffix| first.ends_with(suffix)) && !municipality;
    if !may_hold_counties {
        return after_first;
    }
    component(after_first).map_or(after_first, |(_, after)| after)
}

/// Drops a province, autonomous region or municipality from the front; says whether it was a municipality.
fn after_province(value: &str) -> (&str, bool) {
    for municipality in ["北京市", "天津市", "上海市", "重庆市"] {
        if let Some(rest) = value.strip_prefix(municipality) {
            return (rest, true);
        }
    }
    for suffix in ["省", "自治区", "特别行政区"] {
        if let Some((name, rest)) = value.split_once(suffix)
            && (1..=7).contains(&name.chars().count())
            && !name.contains(['市', '县', '区', '路', '镇', '乡', '街'])
        {
            return (rest, false);
        }
    }
    (value, false)
}

/// Places whose own name holds a character that otherwise begins a township, village or street.
const ODD_NAMES: [&str; 11] =
    ["景德镇市", "新乡市", "新乡县", "萍乡市", "湘乡市", "桐乡市", "宁乡市", "武乡县", "内乡县", "西乡县", "金乡县"];

/// The next prefecture or county name and what follows it; `None` where something smaller begins.
fn component(text: &str) -> Option<(&str, &str)> {
    if let Some(odd) = ODD_NAMES.iter().find(|odd| text.starts_with(**odd)) {
        return text.split_at_checked(odd.len());
    }
    for (position, (at, c)) in text.char_indices().enumerate() {
        let end = at.saturating_add(c.len_utf8());
        let name = text.get(..end)?;
        match c {
            '县' | '旗' | '市' | '区' | '盟' | '州' if position == 0 => return None,
            '州' if !name.ends_with("自治州") => {} // 杭州, 台州: part of a name
            '区' if ["小区", "社区", "园区", "校区", "厂区", "库区", "片区", "城区"]
                .iter()
                .any(|s| name.ends_with(s)) =>
            {
                return None;
            }
            '县' | '旗' | '市' | '区' | '盟' | '州' => return text.split_at_checked(end),
            // As a first character these belong to a name (镇海区, 乡宁县, 路桥区); later they end a township or a street.
            '镇' | '乡' | '路' | '街' | '村' | '巷' | '弄' | '号' | '道' if position > 0 => return None,
            _ if c.is_ascii_digit() || position >= 15 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CASES: &[(Mask, &str)] = &[
        (Mask::None, "11331023MB0T74698J"),
        (Mask::Name, "张三"),
        (Mask::Name, "欧阳明月"),
        (Mask::Name, "𠮷田"),
        (Mask::Name, "阿不都热合曼·买买提"),
        (Mask::Name, "JOHN SMITH"),
        (Mask::Name, "王"),
        (Mask::Name, ""),
        (Mask::Id, "11010519491231002X"),
        (Mask::Id, "110105491231002"),
        (Mask::Id, "CAN123456789012"),
        (Mask::Id, "911124198108030024"),
        (Mask::Id, "E12345678"),
        (Mask::Id, "军字第1234567号"),
        (Mask::Id, "123"),
        (Mask::Id, ""),
        (Mask::Phone, "13812345678"),
        (Mask::Phone, "0576-83901234"),
        (Mask::Phone, "83901234"),
        (Mask::Phone, "12345"),
        (Mask::Phone, ""),
        (Mask::Address, "浙江省台州市天台县赤城街道劳动路1号"),
        (Mask::Address, "台州市天台县平桥镇"),
        (Mask::Address, "天台县白鹤镇左溪村"),
        (Mask::Address, "浙江省台州市路桥区路北街道"),
        (Mask::Address, "浙江省宁波市镇海区招宝山街道"),
        (Mask::Address, "浙江省嘉兴市桐乡市梧桐街道"),
        (Mask::Address, "浙江省临海市古城街道东方小区2幢"),
        (Mask::Address, "浙江省台州市临海市杜桥镇市场路5号"),
        (Mask::Address, "北京市海淀区中关村大街1号"),
        (Mask::Address, "上海市浦东新区世纪大道100号"),
        (Mask::Address, "重庆市酉阳土家族苗族自治县桃花源街道"),
        (Mask::Address, "广西壮族自治区南宁市青秀区民族大道"),
        (Mask::Address, "内蒙古自治区锡林郭勒盟锡林浩特市希日塔拉街道"),
        (Mask::Address, "吉林省延边朝鲜族自治州延吉市河南街道"),
        (Mask::Address, "新疆维吾尔自治区阿克苏地区阿克苏市红桥街道"),
        (Mask::Address, "江西省景德镇市珠山区新村街道"),
        (Mask::Address, "河南省新乡市新乡县翟坡镇"),
        (Mask::Address, "广东省东莞市莞城街道"),
        (Mask::Address, "山西省临汾市乡宁县昌宁镇"),
        (Mask::Address, "香港特别行政区湾仔区"),
        (Mask::Address, "浙江省台州市天台县"),
        (Mask::Address, "劳动路1号"),
        (Mask::Address, "阳光小区3幢201室"),
        (Mask::Address, "1 Main Street"),
        (Mask::Address, ""),
    ];

    /// `WUKU_BLESS=1` writes the table anew; the difference is then reviewed like code.
    #[test]
    fn masked_values_are_those_of_the_golden_table() {
        let lines: Vec<String> =
            CASES.iter().map(|(mask, value)| format!("{}\t{value}\t{}", mask.name(), mask.apply(value))).collect();
        let table = format!("# mask\tvalue\tmasked\n{}\n", lines.join("\n"));
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/mask.txt");
        if std::env::var_os("WUKU_BLESS").is_some() {
            std::fs::write(path, &table).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), table, "see WUKU_BLESS");
    }

    #[test]
    fn codes_of_organisations_stay_and_codes_of_persons_are_cut() {
        assert_eq!(holder_code(HolderCodeType::USCC, "91460100MA5THWMM2J"), "91460100MA5THWMM2J");
        assert_eq!(holder_code(HolderCodeType::CITIZEN_ID, "11010519491231002X"), "1101**********002X");
    }

    proptest! {
        #[test]
        fn a_mask_never_gives_away_the_whole(value in "\\PC{1,40}") {
            for mask in [Mask::Name, Mask::Id, Mask::Phone] {
                let masked = mask.apply(&value);
                prop_assert!(masked != value || value.chars().all(|c| c == '*') || (mask == Mask::Name && value.ends_with('*')));
            }
            let _ = Mask::Address.apply(&value);
        }

        #[test]
        fn no_street_or_house_survives(street in "[劳动路街巷村]{1,6}[0-9]{1,4}号") {
            let masked = Mask::Address.apply(&format!("浙江省台州市天台县{street}"));
            prop_assert_eq!(masked, "浙江省台州市天台县***");
        }
    }
}
