//! Any of our messages as JSON for people, driven by the compiled descriptors of `proto/`.
//!
//! For reading only: nothing is decided on it, and it is not the canonical JSON of evidence files. Field names are
//! lowerCamelCase as in proto3 JSON, enum values are their names, bytes are base64, 64-bit integers are numbers.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Value};

use crate::wire::DESCRIPTORS;

/// Deepest nesting shown.
const DEPTH_MAX: u8 = 32;

/// The message as JSON. `None` when the name is not one of ours or the bytes are not such a message.
#[must_use]
pub fn to_json(message_name: &str, bytes: &[u8]) -> Option<Value> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).ok()?;
    Reader { files: &files }.message(message_name, bytes, 0)
}

struct Reader<'a> {
    files: &'a FileDescriptorSet,
}

impl Reader<'_> {
    fn message(&self, name: &str, mut bytes: &[u8], depth: u8) -> Option<Value> {
        let descriptor = self.descriptor(name)?;
        let mut object = Map::new();
        while !bytes.is_empty() {
            let (tag, wire) = decode_key(&mut bytes).ok()?;
            let field = descriptor.field.iter().find(|field| u32::try_from(field.number()) == Ok(tag))?;
            let values = self.values(field, wire, &mut bytes, depth)?;
            let key = field.json_name().to_owned();
            if field.label() == Label::Repeated {
                let list = object.entry(key).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut()?.extend(values);
            } else {
                object.insert(key, values.into_iter().next_back()?);
            }
        }
        Some(Value::Object(object))
    }

    /// The values of one occurrence of a field: several where scalars are packed.
    fn values(&self, field: &FieldDescriptorProto, wire: WireType, bytes: &mut &[u8], depth: u8) -> Option<Vec<Value>> {
        match wire {
            WireType::Varint => Some(vec![self.number(field, decode_varint(bytes).ok()?)?]),
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(bytes).ok()?).ok()?;
                let (mut part, rest) = bytes.split_at_checked(length)?;
                *bytes = rest;
                match field.r#type() {
                    Type::String => Some(vec![std::str::from_utf8(part).ok()?.into()]),
                    Type::Bytes => Some(vec![BASE64.encode(part).into()]),
                    Type::Message => {
                        let deeper = depth.checked_add(1).filter(|depth| *depth < DEPTH_MAX)?;
                        Some(vec![self.message(field.type_name().strip_prefix('.')?, part, deeper)?])
                    }
                    _ => {
                        let mut packed = Vec::new();
                        while !part.is_empty() {
                            packed.push(self.number(field, decode_varint(&mut part).ok()?)?);
                        }
                        Some(packed)
                    }
                }
            }
            // Our messages have no fixed-width fields.
            _ => None,
        }
    }

    fn number(&self, field: &FieldDescriptorProto, raw: u64) -> Option<Value> {
        Some(match field.r#type() {
            Type::Bool => (raw != 0).into(),
            Type::Uint32 | Type::Uint64 => raw.into(),
            Type::Int32 | Type::Int64 => raw.cast_signed().into(),
            Type::Sint32 | Type::Sint64 => ((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed())).into(),
            Type::Enum => {
                let number = i32::try_from(raw).ok()?;
                let named = self.enumeration(field.type_name())?.value.iter().find(|value| value.number() == number);
                named.map_or_else(|| number.into(), |value| value.name().into())
            }
            _ => return None,
        })
    }

    fn descriptor(&self, name: &str) -> Option<&DescriptorProto> {
        let (package, name) = name.rsplit_once('.')?;
        let files = self.files.file.iter().filter(|file| file.package() == package);
        files.flat_map(|file| &file.message_type).find(|message| message.name() == name)
    }

    fn enumeration(&self, name: &str) -> Option<&EnumDescriptorProto> {
        let (package, name) = name.strip_prefix('.')?.rsplit_once('.')?;
        let files = self.files.file.iter().filter(|file| file.package() == package);
        files.flat_map(|file| &file.enum_type).find(|known| known.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::{Kind, Statement};
    use crate::wire::proto::receipt::v1::{CallerSignature, Purpose, PurposeKind, RecordVersion};

    #[test]
    fn a_message_is_shown_with_names_and_words() {
        let purpose = Purpose { kind: PurposeKind::PreCheck.into(), item: "事项".into(), ..Default::default() };
        let statement = Statement {
            format: 1,
            kind: Kind::LookUp.into(),
            decided_ms: 1 << 40,
            purpose: Some(purpose),
            records: vec![RecordVersion { library: 1, ..Default::default() }, RecordVersion::default()],
            caller_signature: Some(CallerSignature { value: vec![0xff].into(), ..Default::default() }),
            ..Default::default()
        };
        let json = to_json("wuku.receipt.v1.Statement", &statement.encode_to_vec()).unwrap();
        let expected = serde_json::json!({
            "format": 1, "kind": "KIND_LOOK_UP", "decidedMs": 1_u64 << 40,
            "purpose": {"kind": "PURPOSE_KIND_PRE_CHECK", "item": "事项"},
            "records": [{"library": 1}, {}], "callerSignature": {"value": "/w=="},
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_not_such_a_message_is_not_shown() {
        assert_eq!(to_json("wuku.receipt.v1.Nothing", b""), None);
        assert_eq!(to_json("wuku.receipt.v1.Statement", &[0x0a]), None);
        assert_eq!(to_json("wuku.receipt.v1.Statement", &[0x12, 9, b'x']), None);
        assert_eq!(to_json("wuku.receipt.v1.Statement", &[0xa8, 0x06, 1]), None);
    }
}
