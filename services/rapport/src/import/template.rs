//! `{column}` texts, and typed values made of them.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};
use terms::Timestamp;
use time::{OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// One line of the input, by column. Nested JSON is reached with dots.
pub type Row = Map<String, Value>;

/// A text with `{column}` in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or_else(|| format!("`{text}` has a `{{` without its `}}`"))? + open;
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            parts.push(Part::Column(rest[open + 1..close].trim().to_owned()));
            rest = &rest[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

impl Template {
    /// The text for `row`, trimmed; empty where its columns are.
    pub fn text(&self, row: &Row) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Column(name) => match column(row, name) {
                    None | Some(Value::Null) => {}
                    Some(Value::String(value)) => text.push_str(value),
                    Some(other) => text.push_str(&other.to_string()),
                },
            }
        }
        let trimmed = text.trim();
        if trimmed.len() == text.len() { text } else { trimmed.to_owned() }
    }

    /// The columns that it names.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The value itself, where the template is one column and nothing else.
    fn value<'a>(&self, row: &'a Row) -> Option<&'a Value> {
        match self.0.as_slice() {
            [Part::Column(name)] => column(row, name),
            _ => None,
        }
    }
}

fn column<'a>(row: &'a Row, path: &str) -> Option<&'a Value> {
    if let Some(value) = row.get(path) {
        return Some(value);
    }
    let mut names = path.split('.');
    let mut value = row.get(names.next()?)?;
    for name in names {
        value = value.get(name)?;
    }
    Some(value)
}

/// What type a value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// A string; a value of JSON stays what it is.
    #[default]
    Text,
    /// A number.
    Number,
    /// `true`, `yes`, `y`, `1` or `false`, `no`, `n`, `0`.
    Bool,
    /// Texts between `|`.
    List,
}

/// A template with a type: `"{city}"`, or `{ value = "{age}", type = "number" }`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Typed {
    /// A text.
    Text(Template),
    /// Something else.
    Of {
        /// Where it comes from.
        value: Template,
        /// What it is.
        #[serde(rename = "type", default)]
        kind: Type,
    },
}

/// Why a line cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    /// The field of the mapping.
    pub field: String,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field, self.why)
    }
}

impl Typed {
    /// The template behind it.
    pub fn template(&self) -> &Template {
        match self {
            Self::Text(template) | Self::Of { value: template, .. } => template,
        }
    }

    /// The value for `row`; `None` where it is empty.
    ///
    /// # Errors
    /// When the text is not of the type.
    pub fn value(&self, field: &str, row: &Row) -> Result<Option<Value>, Unfit> {
        let kind = match self {
            Self::Text(_) => Type::Text,
            Self::Of { kind, .. } => *kind,
        };
        if let (Type::Text, Some(value)) = (kind, self.template().value(row)) {
            let empty = value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
            return Ok((!empty).then(|| value.clone()));
        }
        let text = self.template().text(row);
        if text.is_empty() {
            return Ok(None);
        }
        let unfit = |why: &str| Unfit { field: field.to_owned(), why: why.to_owned() };
        Ok(Some(match kind {
            Type::Text => Value::String(text),
            Type::Number => text
                .parse::<f64>()
                .ok()
                .and_then(serde_json::Number::from_f64)
                .map(Value::Number)
                .ok_or_else(|| unfit("is not a number"))?,
            Type::Bool => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "1" => Value::Bool(true),
                "false" | "no" | "n" | "0" => Value::Bool(false),
                _ => return Err(unfit("is neither true nor false")),
            },
            Type::List => text.split('|').filter(|item| !item.is_empty()).map(Value::from).collect(),
        }))
    }
}

/// Reads RFC 3339, `2017-01-28 19:06:53` or `2017-01-28` (both UTC), or seconds since 1970.
///
/// # Errors
/// When it is none of these.
pub fn time(field: &str, text: &str) -> Result<Timestamp, Unfit> {
    let parsed = OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .or_else(|| {
            let format = format_description!("[year]-[month]-[day][optional [[first [ ][T]][hour]:[minute]:[second]]]");
            let whole = if text.len() == 10 { format!("{text} 00:00:00") } else { text.to_owned() };
            PrimitiveDateTime::parse(&whole, format).ok().map(PrimitiveDateTime::assume_utc)
        })
        .map(|at| at.unix_timestamp_nanos() / 1_000)
        .or_else(|| text.parse::<i64>().ok().map(|seconds| i128::from(seconds) * 1_000_000));
    parsed
        .and_then(|micros| i64::try_from(micros).ok())
        .map(Timestamp)
        .filter(|at| (Timestamp::MIN..=Timestamp::MAX).contains(at))
        .ok_or_else(|| Unfit {
            field: field.to_owned(),
            why: "is not a time: write 2017-01-28T19:06:53Z, 2017-01-28 19:06:53, 2017-01-28 or seconds since 1970"
                .to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    fn template(text: &str) -> Template {
        Template::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn texts() {
        let row = row(r#"{"first": " Ann ", "n": 5, "address": {"city": "Ulm"}, "none": null}"#);
        assert_eq!(template("{first}").text(&row), "Ann");
        assert_eq!(template("{n}-{address.city}{none}{absent}").text(&row), "5-Ulm");
        assert!(Template::try_from("{open".to_owned()).is_err());
    }

    #[test]
    fn values() {
        let row = row(r#"{"age": "35", "kids": "yes", "tags": "a|b|", "odd": "x", "deep": {"k": [1]}, "empty": " "}"#);
        let typed = |value: &str, kind| Typed::Of { value: template(value), kind };
        assert_eq!(typed("{age}", Type::Number).value("f", &row), Ok(Some(35.0.into())));
        assert_eq!(typed("{kids}", Type::Bool).value("f", &row), Ok(Some(true.into())));
        assert_eq!(typed("{tags}", Type::List).value("f", &row), Ok(Some(serde_json::json!(["a", "b"]))));
        assert_eq!(typed("{deep}", Type::Text).value("f", &row), Ok(Some(serde_json::json!({"k": [1]}))));
        assert_eq!(typed("{empty}", Type::Text).value("f", &row), Ok(None));
        assert!(typed("{odd}", Type::Number).value("f", &row).is_err());
    }

    #[test]
    fn times() {
        let second = Timestamp::from_seconds(1_485_630_413);
        for text in ["2017-01-28T19:06:53Z", "2017-01-28T20:06:53+01:00", "2017-01-28 19:06:53", "1485630413"] {
            assert_eq!(time("at", text), Ok(second), "{text}");
        }
        assert_eq!(time("at", "2017-01-28"), Ok(Timestamp::from_seconds(1_485_561_600)));
        for wrong in ["", "yesterday", "2017-13-01", "99999999999999999"] {
            assert!(time("at", wrong).is_err(), "{wrong}");
        }
    }
}
