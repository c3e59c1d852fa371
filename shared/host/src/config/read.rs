//! Reads typed settings from the raw tree. A text of the environment is read as the type that the setting has.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        self, IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer, StrDeserializer},
    },
};

use super::tree::{Leaf, Node, Raw, join};

/// What is wrong, at which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) key: String,
    pub(super) message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.key, self.message)
    }
}

impl std::error::Error for Mistake {}

/// An unknown key is marked until the table that it stands in is known.
const UNKNOWN: &str = "\u{1}";

impl de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { key: String::new(), message: message.to_string() }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let near = expected.iter().map(|known| (distance(field, known), *known)).min();
        let message = match near {
            Some((0..=3, known)) => format!("is no setting; is `{known}` meant?"),
            _ => format!("is no setting; these are: {}", expected.join(", ")),
        };
        Self { key: format!("{UNKNOWN}{field}"), message }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { key: field.to_owned(), message: "is missing".to_owned() }
    }
}

impl Mistake {
    /// The same, seen from the table around it.
    fn below(mut self, path: &str) -> Self {
        match self.key.strip_prefix(UNKNOWN) {
            Some(field) => self.key = join(path, field),
            None if self.key.is_empty() => self.key = path.to_owned(),
            None => self.key = join(path, &self.key),
        }
        self
    }
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let next = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, next);
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Reads the section `path` from `node`.
pub(super) fn read<T: for<'de> Deserialize<'de>>(node: &Node, path: &str) -> Result<T, Mistake> {
    T::deserialize(Reader(node)).map_err(|e| e.below(path))
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a Node);

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 {
            Node::Leaf(Leaf { raw: Raw::Typed(value), .. }) => {
                value.clone().deserialize_any(visitor).map_err(|e| typed(&e))
            }
            Node::Leaf(Leaf { raw: Raw::Text(text), .. }) => match literal(text) {
                Some(value) => value.deserialize_any(visitor).map_err(|e| typed(&e)),
                None => visitor.visit_str(text),
            },
            Node::Table(table) => visitor.visit_map(Entries { left: table.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.0 {
            Node::Leaf(Leaf { raw: Raw::Text(text), .. }) if text.is_empty() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match self.0 {
            Node::Leaf(Leaf { raw: Raw::Text(text), .. }) => {
                visitor.visit_enum(IntoDeserializer::<Mistake>::into_deserializer(text.as_str()))
            }
            Node::Leaf(Leaf { raw: Raw::Typed(value), .. }) => {
                value.clone().deserialize_enum(name, variants, visitor).map_err(|e| typed(&e))
            }
            Node::Table(_) => Err(de::Error::custom("is a table; one word is expected")),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.text().map(|text| text.parse()) {
            Some(Ok(value)) => visitor.visit_bool(value),
            Some(Err(_)) => Err(de::Error::custom("is neither `true` nor `false`")),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.text() {
            Some(text) => visitor.visit_str(text),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_str(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.text().map(|text| text.trim().replace('_', "").parse()) {
            Some(Ok(value)) => visitor.visit_i64(value),
            Some(Err(_)) => Err(de::Error::custom("is no whole number in range")),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.text().map(|text| text.trim().replace('_', "").parse()) {
            Some(Ok(value)) => visitor.visit_u64(value),
            Some(Err(_)) => Err(de::Error::custom("is no whole number from 0 up")),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.text().map(|text| text.trim().parse()) {
            Some(Ok(value)) => visitor.visit_f64(value),
            Some(Err(_)) => Err(de::Error::custom("is no number")),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_i64(visitor)
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        self.deserialize_f64(visitor)
    }

    /// `a, b` or `["a", "b"]`.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.text().map(str::trim) {
            None => self.deserialize_any(visitor),
            Some(text) if text.starts_with('[') => match literal(text) {
                Some(value) => value.deserialize_any(visitor).map_err(|e| typed(&e)),
                None => Err(de::Error::custom("begins like a list and is none")),
            },
            Some(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                visitor.visit_seq(SeqDeserializer::<_, Mistake>::new(items))
            }
        }
    }

    /// From a text: `{ a = 1, b = 2 }`.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        match self.text() {
            None => self.deserialize_any(visitor),
            Some("") => visitor.visit_map(MapDeserializer::<_, Mistake>::new(std::iter::empty::<(&str, &str)>())),
            Some(text) => match literal(text.trim()) {
                Some(value @ toml::Value::Table(_)) => value.deserialize_any(visitor).map_err(|e| typed(&e)),
                _ => Err(de::Error::custom("is no table of the form `{ key = value }`")),
            },
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        self.deserialize_map(visitor)
    }

    serde::forward_to_deserialize_any! {
        bytes byte_buf unit unit_struct tuple tuple_struct ignored_any
    }
}

impl Reader<'_> {
    fn text(&self) -> Option<&str> {
        match self.0 {
            Node::Leaf(Leaf { raw: Raw::Text(text), .. }) => Some(text),
            _ => None,
        }
    }
}

/// A text as a TOML value, if it is one.
fn literal(text: &str) -> Option<toml::Value> {
    let table: toml::Table = toml::from_str(&format!("value = {text}")).ok()?;
    if table.len() == 1 { table.into_iter().next().map(|(_, value)| value) } else { None }
}

/// The fault of a typed value: the first line of what the reader says, without the source excerpt.
fn typed(error: &toml::de::Error) -> Mistake {
    de::Error::custom(format!("does not fit: {}", error.message()))
}

struct Entries<'a> {
    left: std::collections::btree_map::Iter<'a, String, Node>,
    value: Option<(&'a str, &'a Node)>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Mistake;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Mistake> {
        let Some((key, value)) = self.left.next() else { return Ok(None) };
        self.value = Some((key, value));
        seed.deserialize(StrDeserializer::<Mistake>::new(key)).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let Some((key, value)) = self.value.take() else { return Err(de::Error::custom("has no value")) };
        seed.deserialize(Reader(value)).map_err(|e| e.below(key))
    }
}
