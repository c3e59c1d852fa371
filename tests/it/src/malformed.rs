//! Everything that can be wrong with a request.

use prost_reflect::{Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use crate::contract::{POOL, is_output_only, is_well_known};

/// How deep fields are changed.
const DEPTH: usize = 5;

/// One wrong value in one field.
#[derive(Debug, Clone)]
pub struct Mistake {
    /// The fields that lead there.
    pub path: Vec<FieldDescriptor>,
    /// What is wrong, for people.
    pub what: &'static str,
    /// Whether every RPC must refuse it; otherwise it may have a meaning.
    pub must_refuse: bool,
    value: Value,
}

impl Mistake {
    /// The path, as in `interaction.value.nanos`.
    pub fn field(&self) -> String {
        self.path.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
    }

    /// Makes it.
    pub fn make(&self, message: &mut DynamicMessage) {
        put(message, &self.path, &self.value);
    }
}

fn put(message: &mut DynamicMessage, path: &[FieldDescriptor], value: &Value) {
    let Some((field, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        let whole = match value {
            Value::List(_) | Value::Map(_) => value.clone(),
            one if field.is_list() => Value::List(vec![one.clone()]),
            one => one.clone(),
        };
        message.set_field(field, whole);
        return;
    }
    let Kind::Message(inner) = field.kind() else { return };
    let next = message.get_field_mut(field);
    match next {
        Value::List(items) => {
            if items.is_empty() {
                items.push(Value::Message(DynamicMessage::new(inner)));
            }
            if let Some(Value::Message(first)) = items.first_mut() {
                put(first, rest, value);
            }
        }
        Value::Message(below) => put(below, rest, value),
        _ => {}
    }
}

/// Every mistake that can be made in a message.
pub fn mistakes(message: &MessageDescriptor) -> Vec<Mistake> {
    let mut found = Vec::new();
    walk(message, &mut Vec::new(), &mut found);
    found
}

fn walk(message: &MessageDescriptor, path: &mut Vec<FieldDescriptor>, found: &mut Vec<Mistake>) {
    for field in message.fields().filter(|field| !is_output_only(field)) {
        path.push(field.clone());
        for (what, must_refuse, value) in wrong_values(&field) {
            found.push(Mistake { path: path.clone(), what, must_refuse, value });
        }
        if let Kind::Message(inner) = field.kind()
            && !is_well_known(&inner)
            && !field.is_map()
            && path.len() < DEPTH
        {
            walk(&inner, path, found);
        }
        path.pop();
    }
}

type Wrong = (&'static str, bool, Value);

fn wrong_values(field: &FieldDescriptor) -> Vec<Wrong> {
    let mut wrong = match field.kind() {
        Kind::String => texts(),
        Kind::Enum(_) => {
            vec![("no such value", true, Value::EnumNumber(9_999)), ("negative", true, Value::EnumNumber(-1))]
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            let page = field.name() == "page_size";
            vec![
                ("negative", page, Value::I32(-1)),
                ("least", page, Value::I32(i32::MIN)),
                ("greatest", false, Value::I32(i32::MAX)),
            ]
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => vec![
            ("negative", false, Value::I64(-1)),
            ("least", false, Value::I64(i64::MIN)),
            ("greatest", false, Value::I64(i64::MAX)),
        ],
        Kind::Uint32 | Kind::Fixed32 => vec![("greatest", false, Value::U32(u32::MAX))],
        Kind::Uint64 | Kind::Fixed64 => vec![("greatest", false, Value::U64(u64::MAX))],
        Kind::Double => vec![
            ("not a number", true, Value::F64(f64::NAN)),
            ("infinite", true, Value::F64(f64::INFINITY)),
            ("least", false, Value::F64(f64::MIN)),
            ("greatest", false, Value::F64(f64::MAX)),
        ],
        Kind::Bytes => vec![("garbage", false, Value::Bytes(vec![0xFF; 64].into()))],
        Kind::Message(inner) => messages(&inner),
        _ => Vec::new(),
    };
    if field.cardinality() == Cardinality::Repeated && !field.is_map() {
        if let Kind::Message(inner) = field.kind() {
            let empty = Value::Message(DynamicMessage::new(inner));
            wrong.push(("20000 empty ones", false, Value::List(vec![empty; 20_000])));
        }
        if let Kind::String = field.kind() {
            wrong.push(("20000 texts", false, Value::List(vec![Value::String("x".to_owned()); 20_000])));
        }
    }
    wrong
}

fn texts() -> Vec<Wrong> {
    let text = |what, must_refuse, text: String| (what, must_refuse, Value::String(text));
    vec![
        text("U+0000", true, "a\0b".to_owned()),
        text("70000 characters", true, "x".repeat(70_000)),
        text("an id of nothing", false, "cust_zzzzzzzzzzzzzzzzzzzzzzzzzz".to_owned()),
        text("quotes", false, "'; DROP TABLE customer; --\"\\%_".to_owned()),
        text("odd characters", false, "\u{202e}\u{1F600}\u{FFFD}\r\n\t".to_owned()),
        text("white space", false, "   ".to_owned()),
    ]
}

fn of(name: &str, fields: &[(&str, Value)]) -> Value {
    let mut message = DynamicMessage::new(POOL.get_message_by_name(name).expect("a described message"));
    for (field, value) in fields {
        message.set_field_by_name(field, value.clone());
    }
    Value::Message(message)
}

fn messages(message: &MessageDescriptor) -> Vec<Wrong> {
    match message.full_name() {
        name @ ("google.protobuf.Timestamp" | "google.protobuf.Duration") => vec![
            ("too far away", true, of(name, &[("seconds", Value::I64(i64::MAX))])),
            ("too long ago", true, of(name, &[("seconds", Value::I64(i64::MIN))])),
            ("broken nanoseconds", true, of(name, &[("seconds", Value::I64(1)), ("nanos", Value::I32(-5))])),
            ("at the edge", false, of(name, &[("seconds", Value::I64(253_402_300_799))])),
        ],
        name @ "google.protobuf.Value" => vec![
            ("not a number", true, of(name, &[("number_value", Value::F64(f64::NAN))])),
            ("U+0000", true, of(name, &[("string_value", Value::String("\0".to_owned()))])),
            ("70000 characters", true, of(name, &[("string_value", Value::String("x".repeat(70_000)))])),
            ("nested deeply", true, nested(40)),
            ("no kind", false, of(name, &[])),
        ],
        name @ "google.protobuf.Struct" => {
            let with = |key: &str, value: Value| {
                let fields = [(MapKey::String(key.to_owned()), value)].into_iter().collect();
                of(name, &[("fields", Value::Map(fields))])
            };
            let nan = of("google.protobuf.Value", &[("number_value", Value::F64(f64::NAN))]);
            let text = of("google.protobuf.Value", &[("string_value", Value::String("x".repeat(70_000)))]);
            let fine = of("google.protobuf.Value", &[("bool_value", Value::Bool(true))]);
            vec![
                ("not a number", true, with("key", nan)),
                ("70000 characters", true, with("key", text)),
                ("U+0000 in a key", true, with("k\0y", fine.clone())),
                ("a long key", true, with(&"k".repeat(70_000), fine)),
                ("nested deeply", true, with("key", nested(40))),
            ]
        }
        name @ "google.type.Money" => {
            let money = |code: &str, units, nanos| {
                of(
                    name,
                    &[
                        ("currency_code", Value::String(code.to_owned())),
                        ("units", Value::I64(units)),
                        ("nanos", Value::I32(nanos)),
                    ],
                )
            };
            vec![
                ("no currency", true, money("", 1, 0)),
                ("a broken currency", true, money("euro", 1, 0)),
                ("too many nanos", true, money("EUR", 1, 1_000_000_000)),
                ("two signs", true, money("EUR", 1, -1)),
                ("greatest", false, money("EUR", i64::MAX, 999_999_999)),
                ("least", false, money("EUR", i64::MIN, -999_999_999)),
            ]
        }
        name @ "google.protobuf.FieldMask" => {
            let paths = |path: &str| of(name, &[("paths", Value::List(vec![Value::String(path.to_owned())]))]);
            vec![
                ("an unknown path", true, paths("no_such_field")),
                ("U+0000", true, paths("\0")),
                ("an output path", true, paths("create_time")),
            ]
        }
        _ => vec![("empty", false, Value::Message(DynamicMessage::new(message.clone())))],
    }
}

/// Lists in lists.
fn nested(levels: usize) -> Value {
    let mut value = of("google.protobuf.Value", &[("bool_value", Value::Bool(true))]);
    for _ in 0..levels {
        let list = of("google.protobuf.ListValue", &[("values", Value::List(vec![value]))]);
        value = of("google.protobuf.Value", &[("list_value", list)]);
    }
    value
}
