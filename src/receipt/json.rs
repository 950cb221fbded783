//! Canonical JSON (design 7): lowerCamelCase keys in field order, no default-valued keys, no white space outside strings,
//! 64-bit integers as strings, padded standard base64, strings raw but for `"`, `\` and U+0000–001F; one final newline.
//!
//! Readers use `serde` and are strict by writing again what they read and comparing the bytes.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

/// Writes one object, leaving out what has its default value.
#[derive(Debug)]
pub struct Object(String);

impl Default for Object {
    fn default() -> Self {
        Self::new()
    }
}

impl Object {
    /// An object without keys.
    #[must_use]
    pub fn new() -> Self {
        Self("{".to_owned())
    }

    /// A string.
    #[must_use]
    pub fn text(self, key: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.raw(key, &quoted(value)) }
    }

    /// A 64-bit integer, as a string.
    #[must_use]
    pub fn number(self, key: &str, value: u64) -> Self {
        if value == 0 { self } else { self.raw(key, &format!("\"{value}\"")) }
    }

    /// Bytes, in base64.
    #[must_use]
    pub fn bytes(self, key: &str, value: &[u8]) -> Self {
        self.text(key, &BASE64.encode(value))
    }

    /// An array of values already written.
    #[must_use]
    pub fn array(self, key: &str, values: &[String]) -> Self {
        if values.is_empty() { self } else { self.raw(key, &format!("[{}]", values.join(","))) }
    }

    /// A value already written.
    #[must_use]
    pub fn raw(mut self, key: &str, value: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{key}\":{value}");
        self
    }

    /// The object's text, to be put into another.
    #[must_use]
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    /// The object as a whole text, with the final newline.
    #[must_use]
    pub fn end_text(self) -> String {
        self.end() + "\n"
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{08}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{0c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_raw_but_for_what_must_be_escaped() {
        assert_eq!(quoted("𠮷·é\u{7f}\u{2028}/"), "\"𠮷·é\u{7f}\u{2028}/\"");
        assert_eq!(quoted("\"\\\u{8}\t\n\u{c}\r\u{1f}\0"), r#""\"\\\b\t\n\f\r\u001f\u0000""#);
    }

    #[test]
    fn defaults_are_left_out_and_numbers_are_strings() {
        let object =
            Object::new().text("a", "").number("b", 0).bytes("c", b"").number("d", u64::MAX).bytes("e", b"\xff");
        assert_eq!(object.end_text(), "{\"d\":\"18446744073709551615\",\"e\":\"/w==\"}\n");
        assert_eq!(Object::new().array("x", &[]).array("y", &["1".into(), "2".into()]).end(), "{\"y\":[1,2]}");
    }
}
