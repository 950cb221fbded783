//! Protobuf bytes that can be written in one way only.
//!
//! A reader decodes, which drops what it does not know, and encodes again: fields ascending, defaults omitted, scalars packed.
//! Other bytes than came in means an unknown field at some depth, a repeated one, a default spelled out, or another order.

use prost::Message;

/// The bytes are not the canonical form of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical protobuf")]
pub struct NotCanonical;

/// Reads a message, only from its canonical bytes.
///
/// # Errors
/// [`NotCanonical`] for any other bytes.
pub fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, NotCanonical> {
    let message = M::decode(bytes).map_err(|_| NotCanonical)?;
    if message.encode_to_vec() == bytes { Ok(message) } else { Err(NotCanonical) }
}

/// The canonical bytes of a message.
#[must_use]
pub fn encode<M: Message>(message: &M) -> Vec<u8> {
    message.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::{PublicEvent, Statement};
    use crate::wire::DESCRIPTORS;
    use crate::wire::proto::receipt::v1::{Operator, Tick, public_event::Event};
    use prost_types::field_descriptor_proto::{Label, Type};
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn only_the_one_form_is_read() {
        let operator = Operator { id: "x".into(), ..Default::default() };
        let statement = Statement { format: 1, hub: "h".into(), operator: Some(operator), ..Default::default() };
        let bytes = encode(&statement);
        assert_eq!(decode::<Statement>(&bytes).unwrap(), statement);
        let with = |tail: &[u8]| [bytes.as_slice(), tail].concat();
        assert!(decode::<Statement>(&with(&[0xa8, 0x06, 1])).is_err(), "unknown field 101");
        assert!(decode::<Statement>(&with(&[0x08, 1])).is_err(), "a field twice");
        assert!(decode::<Statement>(&with(&[0x48, 0])).is_err(), "a default spelled out");
        assert!(decode::<Statement>(&[0x08, 0x81, 0x00]).is_err(), "a varint longer than needed");
        assert!(decode::<Statement>(&[0x12, 1, b'h', 0x08, 1]).is_err(), "fields out of order");
        assert!(decode::<Statement>(&[0x3a, 5, 0x0a, 1, b'x', 0x18, 1]).is_err(), "unknown field one level down");
        assert!(decode::<Statement>(&[0x12, 1, 0xff]).is_err(), "text that is not UTF-8");
        assert!(decode::<Statement>(&bytes[..bytes.len() - 1]).is_err(), "cut");
    }

    #[test]
    fn a_present_but_empty_message_is_not_an_absent_one() {
        let event = PublicEvent { format: 1, hub: "h".into(), event: Some(Event::Tick(Tick {})) };
        assert_eq!(decode::<PublicEvent>(&encode(&event)).unwrap(), event);
    }

    /// Design 7: no map, float or group; oneof tags adjoin. Walks everything reachable from what is hashed.
    #[test]
    fn what_is_hashed_uses_only_field_types_with_one_encoding() {
        let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let mut messages = BTreeMap::new();
        for file in &files.file {
            for message in &file.message_type {
                messages.insert(format!(".{}.{}", file.package(), message.name()), message);
                assert!(
                    message.nested_type.is_empty() || !file.package().starts_with("wuku"),
                    "no nested types, so no maps"
                );
            }
        }
        let mut waiting: Vec<String> = messages.keys().filter(|n| n.ends_with("Question")).cloned().collect();
        waiting.extend(
            ["exchange.v1.Payload", "receipt.v1.Statement", "receipt.v1.PublicEvent"].map(|n| format!(".wuku.{n}")),
        );
        assert!(waiting.len() >= 10);
        let mut seen = BTreeSet::new();
        while let Some(name) = waiting.pop() {
            let Some(message) = messages.get(&name) else { panic!("{name} is not one of ours") };
            if !seen.insert(name.clone()) {
                continue;
            }
            let mut oneofs: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
            for field in &message.field {
                assert!(!matches!(field.r#type(), Type::Float | Type::Double | Type::Group), "{name}.{}", field.name());
                assert_ne!(field.label(), Label::Required);
                if field.r#type() == Type::Message {
                    waiting.push(field.type_name().to_owned());
                }
                if let (Some(oneof), false) = (field.oneof_index, field.proto3_optional()) {
                    oneofs.entry(oneof).or_default().push(field.number());
                }
            }
            for tags in oneofs.values() {
                let (low, high) = (tags.iter().min().unwrap(), tags.iter().max().unwrap());
                let between = message.field.iter().filter(|f| (low..=high).contains(&&f.number())).count();
                assert_eq!(between, tags.len(), "{name}: another field stands among the tags of a oneof");
            }
        }
    }
}
