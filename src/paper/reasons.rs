//! Why a file cannot be read, for a clerk: each word a program sees, in two languages.

/// Word, Chinese, English. The words are never renamed.
pub const REASONS: [(&str, &str, &str); 28] = [
    ("bad-directory", "文件不完整或被截断、附加了内容", "the file is cut short, or something was added to it"),
    ("bad-extra-field", "文件结构异常（附加字段）", "an extra field of an entry is not as it should be"),
    ("bad-name", "文件内含有不安全的名称", "a part has a name that is not safe"),
    ("bad-seal", "不是可识别的电子印章", "not an electronic seal"),
    ("bad-signature-xml", "签名描述无法读取", "the description of a signature cannot be read"),
    ("bad-xml", "文件内容不是合格的 XML", "a part is not good XML"),
    ("damaged-part", "文件内容已损坏", "a part does not unpack to what its entry states"),
    (
        "element-stands-twice",
        "同一项出现两次，不同软件会读出不同内容",
        "an element stands twice: two readers would see two things",
    ),
    ("encrypted", "文件已加密", "the file is encrypted"),
    ("entries-not-adjacent", "文件中夹有不属于任何部分的内容", "bytes that no part owns, or that two own"),
    ("folder-with-content", "文件结构异常（目录带内容）", "a folder with content"),
    (
        "name-stands-twice",
        "两个部分同名，不同软件会读出不同内容",
        "two parts of one name: two readers would see two things",
    ),
    ("no-file", "读不到文件或信任锚", "a file cannot be read"),
    ("not-a-container", "不是版式文件", "not a ZIP file"),
    ("not-ofd", "不是 OFD 版式文件", "a ZIP file, but no OFD"),
    ("second-name", "部分另有名称，不同软件会读出不同内容", "a part has a second name"),
    ("symbolic-link", "文件内含有链接", "an entry is a link"),
    ("too-large", "文件超过 20 MiB", "the file is longer than 20 MiB"),
    ("too-many-entries", "文件内部分过多", "too many entries"),
    ("too-many-signatures", "签名过多", "too many signatures"),
    ("too-slow", "核验未能在限定时间内完成", "judging it takes longer than is allowed"),
    ("two-headers-differ", "文件结构自相矛盾", "an entry says one thing in two ways"),
    ("unknown-kind", "不是可识别的文件类型", "neither OFD, PDF nor a picture"),
    ("unknown-method", "使用了不支持的压缩方式", "packed in a way that is not read"),
    ("unpacks-too-large", "解压后过大", "it unpacks to more than is allowed"),
    (
        "xml-forbidden",
        "XML 含有不允许的内容（实体、文档类型等）",
        "XML with entities, a document type or another encoding",
    ),
    ("xml-too-large", "XML 过大或过深", "XML that is too large or too deep"),
    ("zip64", "使用了不支持的大文件格式", "sizes in a form that is not read"),
];

/// What a word means, Chinese and English.
#[must_use]
pub fn words(reason: &str) -> Option<(&'static str, &'static str)> {
    REASONS.iter().find(|(word, ..)| *word == reason).map(|(_, zh, en)| (*zh, *en))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where words are given out.
    const SOURCES: [&str; 6] = [
        include_str!("container.rs"),
        include_str!("judge.rs"),
        include_str!("package.rs"),
        include_str!("report.rs"),
        include_str!("xml.rs"),
        include_str!("command.rs"),
    ];

    #[test]
    fn every_word_that_is_given_out_is_explained_and_no_other() {
        let mut given: Vec<&str> = Vec::new();
        for source in SOURCES {
            for rest in source.split("Unreadable::new(").skip(1) {
                if let Some((word, _)) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                    given.push(word);
                }
            }
        }
        given.sort_unstable();
        given.dedup();
        let explained: Vec<&str> = REASONS.iter().map(|(word, ..)| *word).collect();
        assert_eq!(given, explained);
        assert!(REASONS.iter().all(|(_, zh, en)| !zh.is_ascii() && en.is_ascii()));
    }
}
