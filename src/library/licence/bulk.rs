//! Licences that come by the file.

/// The columns of a file of signed licences, with their Chinese names.
pub const FILE_COLUMNS: [(&str, &str); 4] =
    [("content", "证照内容"), ("signature", "签名值"), ("algorithm", "签名算法"), ("certificates", "签名证书")];
