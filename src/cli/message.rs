//! Any of our messages from JSON or TOML, driven by the compiled descriptors: the way back of [`crate::receipt::readable`].
//!
//! Field names are taken in lowerCamelCase and snake_case, enum values in full or short (`consumer` for `ROLE_CONSUMER`), days as
//! `YYYY-MM-DD`, holder codes as `111:code`, SHA-256 in hex, other bytes in base64. Every fault is named at once.
use super::connection::Stop;
use crate::library::codes::CalendarDate;
use crate::library::day;
use crate::receipt::readable;
use crate::wire::DESCRIPTORS;
use crate::wire::proto::library::v1 as lib;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Value};
use std::io::Read as _;
use std::path::Path;

const DATE: &str = "wuku.library.v1.Date";
const HOLDER_CODE: &str = "wuku.library.v1.HolderCode";
const FIELD: &str = "wuku.library.v1.Field";

/// Reads a JSON or TOML file (`-` for standard input) into a value, and sets what `NAME=VALUE` assignments name.
///
/// # Errors
/// A file that is neither, an assignment without `=`.
pub fn value(file: Option<&Path>, assignments: &[String]) -> Result<Value, Stop> {
    let mut value = match file {
        Some(path) => parse(&text_of(path)?).map_err(|e| Stop::usage(format!("{}: {e}", path.display())))?,
        None => Value::Object(Map::new()),
    };
    for assignment in assignments {
        let (name, text) = assignment
            .split_once('=')
            .ok_or_else(|| Stop::usage(format!("{assignment}: use NAME=VALUE (应为 名称=值)")))?;
        set(&mut value, name, Value::String(text.to_owned()));
    }
    Ok(value)
}

/// Sets a field, `a.b` for one inside another.
pub fn set(value: &mut Value, name: &str, new: Value) {
    let mut at = value;
    for part in name.split('.') {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Some(object) = at.as_object_mut() else { return };
        let known = object.keys().find(|key| snake(key) == snake(part)).cloned();
        at = object.entry(known.unwrap_or_else(|| part.to_owned())).or_insert(Value::Null);
    }
    *at = new;
}

/// The message of a value.
///
/// # Errors
/// Every field that is unknown or does not fit.
pub fn read<M: Message + Default>(name: &str, value: &Value) -> Result<M, Stop> {
    let inside = |e: &dyn std::fmt::Display| Stop::failed(format!("{name}: {e}"));
    let files = FileDescriptorSet::decode(DESCRIPTORS).map_err(|e| inside(&e))?;
    let mut writer = Writer { files: &files, faults: Vec::new() };
    let bytes = writer.message(name, value, "");
    if writer.faults.is_empty() {
        return M::decode(bytes.as_slice()).map_err(|e| inside(&e));
    }
    Err(Stop::usage(format!("内容有误。The content does not fit:\n  {}", writer.faults.join("\n  "))))
}

/// A message for people.
#[must_use]
pub fn shown<M: Message>(name: &str, message: &M) -> Value {
    readable::to_json(name, &message.encode_to_vec()).unwrap_or_default()
}

fn text_of(path: &Path) -> Result<String, Stop> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text),
        _ => std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map(|_| text).map_err(|e| Stop::usage(format!("{}: {e}", path.display())))
}

fn parse(text: &str) -> Result<Value, String> {
    let json: Result<Value, _> = serde_json::from_str(text);
    match json {
        Ok(value) => Ok(value),
        Err(json) if text.trim_start().starts_with(['{', '[']) => Err(format!("no JSON: {json}")),
        Err(_) => toml::from_str(text).map_err(|toml| format!("neither JSON nor TOML: {toml}")),
    }
}

struct Writer<'a> {
    files: &'a FileDescriptorSet,
    faults: Vec<String>,
}

impl<'a> Writer<'a> {
    fn fault(&mut self, path: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{}: {what}", if path.is_empty() { "." } else { path }));
    }

    fn message(&mut self, name: &str, value: &Value, path: &str) -> Vec<u8> {
        if let (DATE, Value::String(text)) = (name, value) {
            return match CalendarDate::parse(text) {
                Ok(date) => day::to_proto(date).encode_to_vec(),
                Err(fault) => {
                    self.fault(path, format!("{} {}", fault.zh(), fault.en()));
                    Vec::new()
                }
            };
        }
        if let (HOLDER_CODE, Some((code_type, code))) = (name, value.as_str().and_then(|text| text.split_once(':'))) {
            return lib::HolderCode { code_type: code_type.to_owned(), code: code.to_owned() }.encode_to_vec();
        }
        let Some(descriptor) = self.descriptor(name) else {
            self.fault(path, format!("no message {name}"));
            return Vec::new();
        };
        let Some(object) = value.as_object() else {
            self.fault(path, "应为对象 is no object");
            return Vec::new();
        };
        let known = |key: &str| descriptor.field.iter().find(|field| field.name() == snake(key));
        for key in object.keys().filter(|key| known(key).is_none()) {
            let names: Vec<&str> = descriptor.field.iter().map(FieldDescriptorProto::name).collect();
            self.fault(&join(path, key), format!("没有此字段 no such field; there are {}", names.join(", ")));
        }
        let mut fields: Vec<&FieldDescriptorProto> = descriptor.field.iter().collect();
        fields.sort_by_key(|field| field.number());
        let mut bytes = Vec::new();
        for field in fields {
            let given = object.iter().find(|(key, _)| snake(key) == field.name()).map(|(_, value)| value);
            if let Some(value) = given.filter(|value| !value.is_null()) {
                self.field(field, value, &join(path, field.name()), &mut bytes);
            }
        }
        bytes
    }

    fn field(&mut self, field: &FieldDescriptorProto, value: &Value, path: &str, bytes: &mut Vec<u8>) {
        if field.label() != Label::Repeated {
            return self.one(field, value, path, bytes);
        }
        match value {
            Value::Array(all) => {
                for (n, value) in all.iter().enumerate() {
                    self.one(field, value, &format!("{path}[{n}]"), bytes);
                }
            }
            // `--set roles=consumer,clerk`
            Value::String(text) if field.r#type() != Type::Message => {
                for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                    self.one(field, &Value::String(part.to_owned()), path, bytes);
                }
            }
            // `{"name": "value"}` for a list of fields
            Value::Object(map) if field.type_name() == format!(".{FIELD}") => {
                for (name, value) in map {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    let one = serde_json::json!({ "name": name, "value": text });
                    self.one(field, &one, &join(path, name), bytes);
                }
            }
            _ => self.fault(path, "应为列表 is no list"),
        }
    }

    fn one(&mut self, field: &FieldDescriptorProto, value: &Value, path: &str, bytes: &mut Vec<u8>) {
        let Ok(tag) = u32::try_from(field.number()) else { return };
        let delimited = |bytes: &mut Vec<u8>, part: &[u8]| {
            encode_key(tag, WireType::LengthDelimited, bytes);
            encode_varint(u64::try_from(part.len()).unwrap_or(u64::MAX), bytes);
            bytes.extend_from_slice(part);
        };
        match field.r#type() {
            Type::String => match text(value) {
                Some(text) => delimited(bytes, text.as_bytes()),
                None => self.fault(path, "应为文本 is no text"),
            },
            Type::Bytes => match value.as_str().and_then(|text| raw(field.name(), text)) {
                Some(part) => delimited(bytes, &part),
                None => self.fault(path, "应为 base64（摘要可用十六进制） is no base64 (digests: hex too)"),
            },
            Type::Message => {
                let part = self.message(field.type_name().trim_start_matches('.'), value, path);
                delimited(bytes, &part);
            }
            kind => match self.number(field, kind, value) {
                Ok(number) => {
                    encode_key(tag, WireType::Varint, bytes);
                    encode_varint(number, bytes);
                }
                Err(what) => self.fault(path, what),
            },
        }
    }

    fn number(&self, field: &FieldDescriptorProto, kind: Type, value: &Value) -> Result<u64, String> {
        let text = text(value).unwrap_or_default();
        match kind {
            Type::Bool => {
                text.parse::<bool>().map(u64::from).map_err(|_| "应为 true 或 false is no true or false".into())
            }
            Type::Uint32 => text.parse::<u32>().map(u64::from).map_err(|_| "应为非负整数 is no whole number".into()),
            Type::Uint64 => text.parse().map_err(|_| "应为非负整数 is no whole number".into()),
            Type::Int32 => text
                .parse::<i32>()
                .map(|n| i64::from(n).cast_unsigned())
                .map_err(|_| "应为整数 is no whole number".into()),
            Type::Sint64 => text
                .parse::<i64>()
                .map(|n| ((n << 1) ^ (n >> 63)).cast_unsigned())
                .map_err(|_| "应为整数 is no whole number".into()),
            Type::Enum => self.enumerated(field, &text),
            _ => Err("no such type here".into()),
        }
    }

    /// The number of an enum value, named in full or without its prefix, in any case, with `-` or `_`.
    fn enumerated(&self, field: &FieldDescriptorProto, text: &str) -> Result<u64, String> {
        let known = self.enumeration(field.type_name()).ok_or("no such enum")?;
        let zero = known.value.iter().find(|value| value.number() == 0).map(|value| value.name()).unwrap_or_default();
        let prefix = zero.strip_suffix("UNSPECIFIED").unwrap_or_default();
        let asked = text.replace('-', "_").to_ascii_uppercase();
        let fits = |name: &str| name == asked || name.strip_prefix(prefix) == Some(asked.as_str());
        let found = known.value.iter().find(|value| fits(value.name()) && value.number() != 0);
        found.and_then(|value| u64::try_from(value.number()).ok()).ok_or_else(|| {
            let names = known.value.iter().filter(|value| value.number() != 0).map(|value| value.name());
            let short: Vec<String> =
                names.map(|name| name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase()).collect();
            format!("应为其中之一 is none of {}", short.join(", "))
        })
    }

    fn descriptor(&self, name: &str) -> Option<&'a DescriptorProto> {
        let (package, name) = name.rsplit_once('.')?;
        let files = self.files.file.iter().filter(|file| file.package() == package);
        files.flat_map(|file| &file.message_type).find(|message| message.name() == name)
    }

    fn enumeration(&self, name: &str) -> Option<&'a EnumDescriptorProto> {
        let (package, name) = name.strip_prefix('.')?.rsplit_once('.')?;
        let files = self.files.file.iter().filter(|file| file.package() == package);
        files.flat_map(|file| &file.enum_type).find(|known| known.name() == name)
    }
}

/// Text, numbers and truth values as text; lists and objects are none.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// 64 hex digits for a SHA-256, base64 for everything else: no 32 bytes have 64 characters in base64.
fn raw(name: &str, text: &str) -> Option<Vec<u8>> {
    if name.ends_with("sha256") && text.len() == 64 && text.is_ascii() {
        return (0..64).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect();
    }
    BASE64.decode(text).ok()
}

/// `lowerCamelCase` as `snake_case`; digits stay where they are.
fn snake(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(if c == '-' { '_' } else { c.to_ascii_lowercase() });
    }
    text
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto::catalogue::v1::{Grant, GrantMode, QuestionKind, Role, System};
    use crate::wire::proto::licence::v1::PrepareLicenceRequest;
    use serde_json::json;

    const SYSTEM: &str = "wuku.catalogue.v1.System";

    #[test]
    fn what_is_shown_can_be_put_back() {
        let system = System {
            uri: "wuku://h/d/s".into(),
            roles: vec![Role::Consumer.into(), Role::Clerk.into()],
            enabled: true,
            certificate_sha256: vec![vec![7; 32].into()],
            version: 3,
            ..System::default()
        };
        assert_eq!(read::<System>(SYSTEM, &shown(SYSTEM, &system)).unwrap(), system);
        let hex = json!({"uri": "wuku://h/d/s", "roles": "consumer,CLERK", "enabled": "true", "version": "3",
            "certificate_sha256": "07".repeat(32)});
        assert_eq!(read::<System>(SYSTEM, &hex).unwrap(), system);
    }

    #[test]
    fn days_holders_and_faces_are_written_as_people_write_them() {
        let value = json!({
            "typeCode": "t", "validFrom": "2026-06-30", "faceFields": {"a": "x", "n": 5},
            "holders": [{"code": "111:1", "name": "张三"}],
        });
        let request: PrepareLicenceRequest = read("wuku.licence.v1.PrepareLicenceRequest", &value).unwrap();
        assert_eq!(request.valid_from.map(|d| (d.year, d.month, d.day)), Some((2026, 6, 30)));
        assert_eq!(request.holders[0].code.as_ref().unwrap().code_type, "111");
        assert_eq!(request.face_fields.iter().map(|f| f.value.as_str()).collect::<Vec<_>>(), ["x", "5"]);
    }

    #[test]
    fn json_toml_and_assignments_make_one_message() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("grant.toml");
        std::fs::write(&file, "resource = \"r\"\nkinds = [\"look-up\"]\nmode = \"masked\"\nquota_per_day = 5\n")
            .unwrap();
        let value = value(Some(&file), &["quotaPerDay=7".into(), "termUntil=2026-06-30".into()]).unwrap();
        let grant: Grant = read("wuku.catalogue.v1.Grant", &value).unwrap();
        assert_eq!((grant.quota_per_day, grant.mode()), (7, GrantMode::Masked));
        assert_eq!(grant.kinds, [i32::from(QuestionKind::LookUp)]);
        assert!(grant.term_until.is_some());
        std::fs::write(&file, "{\"a\":").unwrap();
        assert_eq!(super::value(Some(&file), &[]).unwrap_err().code, 2);
        assert_eq!(super::value(None, &["a".into()]).unwrap_err().code, 2);
    }

    #[test]
    fn every_field_that_does_not_fit_is_named_at_once() {
        let value = json!({"urli": 1, "roles": ["boss"], "enabled": "perhaps", "version": -1, "certificateSha256": ["!"], "name": []});
        let stop = read::<System>(SYSTEM, &value).unwrap_err();
        for part in ["urli", "roles[0]", "consumer", "enabled", "version", "certificate_sha256[0]", "name"] {
            assert!(stop.text.contains(part), "{part}: {}", stop.text);
        }
        assert_eq!(stop.code, 2);
    }
}
