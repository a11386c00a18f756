//! Messages as JSON, in etcd 3.4's manner: names as in the protocol definitions (camel case is
//! understood, too), bytes in base64, numbers of 64 bits as text, what is not set left out, and what
//! is not known passed over.
//!
//! It goes straight from JSON to protobuf's bytes and back, by the tables in [`crate::schema`].
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, BufMut as _, Bytes};
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use serde_json::{Map, Value};

use crate::schema::{Field, Kind, Message};
use crate::status::{Code, Status};

fn misfit(field: &Field, wanted: &str) -> Status {
    let text = format!("json: the value of {} is not {wanted}", field.name);
    Status::of(Code::InvalidArgument, text)
}

/// Reads a message.
pub fn read(message: &Message, value: &Value) -> Result<Bytes, Status> {
    let mut bytes = Vec::new();
    match value {
        Value::Null => {}
        Value::Object(object) => read_object(message, object, &mut bytes)?,
        _ => {
            let text = "json: a message is an object";
            return Err(Status::new(Code::InvalidArgument, text));
        }
    }
    Ok(bytes.into())
}

fn read_object(
    message: &Message,
    object: &Map<String, Value>,
    bytes: &mut Vec<u8>,
) -> Result<(), Status> {
    for (name, value) in object {
        let is_it = |field: &&Field| field.name == name || field.json_name == name;
        let Some(field) = message.fields.iter().find(is_it) else {
            continue;
        };
        match value {
            Value::Null => {}
            Value::Array(values) if field.repeated => {
                for value in values {
                    read_value(field, value, bytes)?;
                }
            }
            _ if field.repeated => return Err(misfit(field, "an array")),
            value => read_value(field, value, bytes)?,
        }
    }
    Ok(())
}

fn read_value(field: &Field, value: &Value, bytes: &mut Vec<u8>) -> Result<(), Status> {
    match (&field.kind, value) {
        (Kind::Message(inside), Value::Object(object)) => {
            let mut held = Vec::new();
            read_object(inside, object, &mut held)?;
            write_held(field, &held, bytes);
        }
        (Kind::Message(_), _) => return Err(misfit(field, "an object")),
        (Kind::Text, Value::String(text)) => write_held(field, text.as_bytes(), bytes),
        (Kind::Text, _) => return Err(misfit(field, "a string")),
        (Kind::Bytes, Value::String(text)) => {
            let held = STANDARD.decode(text);
            let held = held.map_err(|_| misfit(field, "base64"))?;
            write_held(field, &held, bytes);
        }
        (Kind::Bytes, _) => return Err(misfit(field, "a string of base64")),
        (Kind::Bool, Value::Bool(given)) => write_number(field, u64::from(*given), bytes),
        (Kind::Bool, _) => return Err(misfit(field, "true or false")),
        (Kind::Enum(values), value) => {
            let number = choice(values, value);
            let number = number.ok_or_else(|| misfit(field, "one of its names or numbers"))?;
            write_number(field, i64::from(number).cast_unsigned(), bytes);
        }
        (Kind::Number | Kind::Int64 | Kind::Uint64, value) => {
            let number = number(&field.kind, value);
            let number = number.ok_or_else(|| misfit(field, "a whole number that fits"))?;
            write_number(field, number, bytes);
        }
    }
    Ok(())
}

fn choice(values: &[(&str, i32)], value: &Value) -> Option<i32> {
    match value {
        Value::String(name) => {
            let found = values.iter().find(|(known, _)| known == name);
            found.map(|(_, number)| *number)
        }
        value => i32::try_from(value.as_i64()?).ok(),
    }
}

/// A number as protobuf writes it: below 0 in two's complement.
fn number(kind: &Kind, value: &Value) -> Option<u64> {
    let (signed, unsigned) = match value {
        Value::String(text) => (text.parse().ok(), text.parse().ok()),
        Value::Number(number) => (number.as_i64(), number.as_u64()),
        _ => return None,
    };
    match kind {
        Kind::Uint64 => unsigned,
        Kind::Int64 => signed.map(i64::cast_unsigned),
        _ => u32::try_from(unsigned?).ok().map(u64::from),
    }
}

fn write_number(field: &Field, number: u64, bytes: &mut Vec<u8>) {
    encode_key(field.number, WireType::Varint, bytes);
    encode_varint(number, bytes);
}

fn write_held(field: &Field, held: &[u8], bytes: &mut Vec<u8>) {
    encode_key(field.number, WireType::LengthDelimited, bytes);
    encode_varint(held.len() as u64, bytes);
    bytes.put_slice(held);
}

/// A field as it stands in a message.
enum Entry<'a> {
    Number(u64),
    Held(&'a [u8]),
}

fn malformed() -> Status {
    Status::new(Code::Internal, "etcdserver: malformed answer")
}

fn entries(mut bytes: &[u8]) -> Result<Vec<(u32, Entry<'_>)>, Status> {
    let mut entries = Vec::new();
    while bytes.has_remaining() {
        let (number, kind) = decode_key(&mut bytes).map_err(|_| malformed())?;
        let value = decode_varint(&mut bytes).map_err(|_| malformed())?;
        let entry = match kind {
            WireType::Varint => Entry::Number(value),
            WireType::LengthDelimited => {
                let length = usize::try_from(value).map_err(|_| malformed())?;
                let (held, rest) = bytes.split_at_checked(length).ok_or_else(malformed)?;
                bytes = rest;
                Entry::Held(held)
            }
            _ => return Err(malformed()),
        };
        entries.push((number, entry));
    }
    Ok(entries)
}

/// Writes a message.
pub fn write(message: &Message, bytes: &[u8], json: &mut Vec<u8>) -> Result<(), Status> {
    let entries = entries(bytes)?;
    json.push(b'{');
    let mut is_first = true;
    for field in message.fields {
        let of_field = || (entries.iter()).filter(|(number, _)| *number == field.number);
        let Some((_, last)) = of_field().next_back() else {
            continue;
        };
        if !std::mem::replace(&mut is_first, false) {
            json.push(b',');
        }
        write_text(field.name, json);
        json.push(b':');
        if field.repeated {
            write_list(field, of_field().map(|(_, entry)| entry), json)?;
        } else {
            write_entry(field, last, json)?;
        }
    }
    json.push(b'}');
    Ok(())
}

fn write_list<'a>(
    field: &Field,
    entries: impl Iterator<Item = &'a Entry<'a>>,
    json: &mut Vec<u8>,
) -> Result<(), Status> {
    let mut opening = b'[';
    for entry in entries {
        json.push(std::mem::replace(&mut opening, b','));
        write_entry(field, entry, json)?;
    }
    json.push(b']');
    Ok(())
}

fn write_entry(field: &Field, entry: &Entry<'_>, json: &mut Vec<u8>) -> Result<(), Status> {
    match (&field.kind, entry) {
        (Kind::Message(inside), Entry::Held(held)) => write(inside, held, json)?,
        (Kind::Text, Entry::Held(held)) => write_text(&String::from_utf8_lossy(held), json),
        (Kind::Bytes, Entry::Held(held)) => write_text(&STANDARD.encode(held), json),
        (Kind::Bool, Entry::Number(number)) => {
            let text: &[u8] = if *number == 0 { b"false" } else { b"true" };
            json.extend_from_slice(text);
        }
        (Kind::Number, Entry::Number(number)) => {
            json.extend_from_slice(number.to_string().as_bytes());
        }
        (Kind::Int64, Entry::Number(number)) => {
            write_text(&number.cast_signed().to_string(), json);
        }
        (Kind::Uint64, Entry::Number(number)) => write_text(&number.to_string(), json),
        (Kind::Enum(values), Entry::Number(number)) => {
            let known = |(_, known): &&(&str, i32)| i64::from(*known) == number.cast_signed();
            match values.iter().find(known) {
                Some((name, _)) => write_text(name, json),
                None => json.extend_from_slice(number.cast_signed().to_string().as_bytes()),
            }
        }
        _ => return Err(malformed()),
    }
    Ok(())
}

/// A string of JSON.
pub fn write_text(text: &str, json: &mut Vec<u8>) {
    json.extend_from_slice(Value::from(text).to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use serde_json::json;

    use super::*;
    use crate::proto::etcdserverpb::request_op::Request;
    use crate::proto::etcdserverpb::{
        AlarmMember, AlarmResponse, PutRequest, RangeRequest, RangeResponse, RequestOp,
        ResponseHeader, TxnRequest,
    };
    use crate::proto::mvccpb::KeyValue;
    use crate::schema::method;

    fn range(value: &Value) -> Result<RangeRequest, Status> {
        let range = method("/etcdserverpb.KV/Range").unwrap();
        let bytes = read(range.input, value)?;
        Ok(RangeRequest::decode(bytes).unwrap())
    }

    #[test]
    fn requests_are_read() {
        let wanted = RangeRequest {
            key: "a".into(),
            range_end: "b".into(),
            limit: -7,
            sort_order: 2,
            sort_target: 1,
            count_only: true,
            ..RangeRequest::default()
        };
        let read = range(&json!({
            "key": "YQ==", "rangeEnd": "Yg==", "limit": "-7", "sort_order": "DESCEND",
            "sort_target": 1, "count_only": true, "serializable": null, "nothing": [1],
        }));
        assert_eq!(read, Ok(wanted));
        assert_eq!(range(&json!({})), Ok(RangeRequest::default()));
        assert_eq!(range(&Value::Null), Ok(RangeRequest::default()));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for wrong in [
            json!([]),
            json!({"key": 1}),
            json!({"key": "%"}),
            json!({"limit": "x"}),
            json!({"limit": 1.5}),
            json!({"limit": [1]}),
            json!({"count_only": 1}),
            json!({"sort_order": "NOPE"}),
            json!({"sort_order": true}),
        ] {
            let refused = range(&wrong).unwrap_err();
            assert_eq!(refused.code, Code::InvalidArgument, "{wrong}");
        }
    }

    #[test]
    fn messages_inside_messages_are_read() {
        let txn = method("/etcdserverpb.KV/Txn").unwrap();
        let put = json!({"request_put": {"key": "YQ==", "value": ""}});
        let bytes = read(txn.input, &json!({"success": [put]})).unwrap();
        let put = PutRequest {
            key: "a".into(),
            ..PutRequest::default()
        };
        let operation = RequestOp {
            request: Some(Request::RequestPut(put)),
        };
        let wanted = TxnRequest {
            success: vec![operation],
            ..TxnRequest::default()
        };
        assert_eq!(TxnRequest::decode(bytes), Ok(wanted));
        assert!(read(txn.input, &json!({"success": {}})).is_err());
    }

    fn written(path: &str, message: &impl prost::Message) -> String {
        let mut json = Vec::new();
        let output = method(path).unwrap().output;
        write(output, &message.encode_to_vec(), &mut json).unwrap();
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn answers_are_written() {
        let key_value = |version| KeyValue {
            key: "a\u{0}".into(),
            version,
            lease: -1,
            ..KeyValue::default()
        };
        let response = RangeResponse {
            header: Some(ResponseHeader {
                member_id: u64::MAX,
                ..ResponseHeader::default()
            }),
            kvs: vec![key_value(3), key_value(4)],
            more: true,
            count: 2,
        };
        let wanted = r#"{"header":{"member_id":"18446744073709551615"},"kvs":[{"key":"YQA=","version":"3","lease":"-1"},{"key":"YQA=","version":"4","lease":"-1"}],"more":true,"count":"2"}"#;
        assert_eq!(written("/etcdserverpb.KV/Range", &response), wanted);
        let alarms = AlarmResponse {
            header: None,
            alarms: vec![AlarmMember {
                member_id: 1,
                alarm: 1,
            }],
        };
        let wanted = r#"{"alarms":[{"memberID":"1","alarm":"NOSPACE"}]}"#;
        assert_eq!(written("/etcdserverpb.Maintenance/Alarm", &alarms), wanted);
    }

    #[test]
    fn what_is_no_message_is_not_written() {
        let output = method("/etcdserverpb.KV/Range").unwrap().output;
        for wrong in [&b"\x0a"[..], b"\x0a\x05a", b"\x0d\0\0\0\0", b"\xff"] {
            assert!(write(output, wrong, &mut Vec::new()).is_err(), "{wrong:?}");
        }
    }
}
