//! Data sets in files: CSV and lines of JSON, read as records.
//!
//! Columns are known by their names, without case, spaces and signs: those that [`field`] knows are compared, the others
//! are passed over.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use identity_domain::{match_records::MatchInput, matching::field::field};
use serde_json::{Map, Value, json};

/// Which columns hold the key of a record, the most telling first.
const KEYS: [&str; 5] = ["key", "id", "record_id", "unique_id", "rec_id"];
/// Which hold where it comes from.
const SOURCES: [&str; 3] = ["source", "source_dataset", "data_source"];
/// Parts of a birth date in columns of their own, and what they are called within it.
const BIRTH: [(&str, &str); 3] = [("birth_year", "year"), ("birth_month", "month"), ("birth_day", "day")];

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated; the first line names the columns.
    Csv,
    /// One JSON object in each line.
    JsonLines,
}

impl Format {
    /// By the end of a file's name; `None` if it tells none.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// What columns mean that are not called what they are.
#[derive(Debug, Clone, Default)]
pub struct Columns(BTreeMap<String, String>);

impl Columns {
    /// `column` to `trait`: `key`, `source`, the name of a trait, `birth_year`, `birth_month` or `birth_day`. An empty
    /// name: nothing.
    pub fn new(renamed: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(renamed.into_iter().map(|(column, name)| (plain(&column), plain(&name))).collect())
    }

    /// What a column is called.
    pub fn name(&self, column: &str) -> String {
        let plain = plain(column);
        self.0.get(&plain).cloned().unwrap_or(plain)
    }

    /// Whether anything is read from a column of this name.
    pub fn is_read(&self, column: &str) -> bool {
        let name = self.name(column);
        is_compared(&name) || KEYS.contains(&name.as_str()) || SOURCES.contains(&name.as_str())
    }
}

fn is_compared(name: &str) -> bool {
    field(name).is_some() || BIRTH.iter().any(|(column, _)| *column == name)
}

/// Lower case; `_` for whatever is no letter or digit.
fn plain(name: &str) -> String {
    let name = name.trim().trim_start_matches('\u{feff}').to_lowercase();
    name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

/// The records of a file, each as read or why it cannot be, with the number of its line.
pub type Rows = Box<dyn Iterator<Item = (u64, Result<MatchInput, String>)> + Send>;

/// Reads records.
///
/// # Errors
/// When there is no header.
pub fn read(input: impl Read + Send + 'static, format: Format, columns: Columns) -> Result<Rows, String> {
    match format {
        Format::Csv => {
            let mut reader = csv::Reader::from_reader(BufReader::new(input));
            let headers = reader.headers().map_err(|_| "the first line names no columns".to_owned())?;
            let names: Vec<String> = headers.iter().map(|header| columns.name(header)).collect();
            let rows = reader.into_records().zip(2..).map(move |(record, line)| {
                let fields = record.map_err(|_| "has other columns than the first line, or is no text".to_owned());
                let fields = fields.map(|record| {
                    let values = record.iter().map(|text| Value::from(text.trim()));
                    names.iter().cloned().zip(values).collect()
                });
                (line, fields.map(|fields| record_of(line, fields)))
            });
            Ok(Box::new(rows))
        }
        Format::JsonLines => {
            let lines = BufReader::new(input).lines().zip(1..);
            let lines = lines.filter(|(text, _)| text.as_ref().map_or(true, |text| !text.trim().is_empty()));
            Ok(Box::new(lines.map(move |(text, line)| {
                let object: Result<Map<String, Value>, String> = text
                    .map_err(|_| "is no text".to_owned())
                    .and_then(|text| serde_json::from_str(&text).map_err(|_| "is no JSON object".to_owned()));
                let fields = object.map(|o| o.into_iter().map(|(name, value)| (columns.name(&name), value)).collect());
                (line, fields.map(|fields| record_of(line, fields)))
            })))
        }
    }
}

fn record_of(line: u64, fields: Vec<(String, Value)>) -> MatchInput {
    let said = |value: &Value| !(value.is_null() || value.as_str() == Some(""));
    let mut fields: Vec<(String, Value)> = fields.into_iter().filter(|(_, value)| said(value)).collect();
    let mut take = |names: &[&str]| {
        let place = names.iter().find_map(|name| fields.iter().position(|(given, _)| given == name))?;
        text(&fields.remove(place).1)
    };
    let key = take(&KEYS).unwrap_or_else(|| line.to_string());
    let source = take(&SOURCES).unwrap_or_default();
    let mut birth = Map::new();
    let mut traits: Vec<(String, Value)> = Vec::with_capacity(fields.len());
    for (name, value) in fields.into_iter().filter(|(name, _)| is_compared(name)) {
        match BIRTH.iter().find(|(column, _)| *column == name) {
            Some((_, part)) => {
                let number = text(&value).and_then(|text| text.parse::<u32>().ok());
                birth.extend(number.map(|number| ((*part).to_owned(), json!(number))));
            }
            // Of two columns of one name the first says it.
            None if traits.iter().any(|(known, _)| *known == name) => {}
            None => traits.push((name, value)),
        }
    }
    if !birth.is_empty() && !traits.iter().any(|(name, _)| name == "birth_date") {
        traits.push(("birth_date".to_owned(), Value::Object(birth)));
    }
    MatchInput { key, source, identifiers: Vec::new(), traits }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &'static str, format: Format, map: &[(&str, &str)]) -> Vec<Result<MatchInput, String>> {
        let columns = Columns::new(map.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())));
        read(text.as_bytes(), format, columns).unwrap().map(|(_, row)| row).collect()
    }

    fn traits(input: &MatchInput) -> Value {
        Value::Object(input.traits.iter().cloned().collect())
    }

    #[test]
    fn columns_are_known_by_their_names() {
        let text = "Unique ID,Source Dataset,First Name,SURNAME,dob,cluster,e-mail\n\
                    7,a,Jane,Doe,1970-03-01,1,\n\
                    8,b,,Doe,,1,j@x.org\n";
        let rows = all(text, Format::Csv, &[("E-Mail", "email")]);
        let first = rows[0].as_ref().unwrap();
        assert_eq!((first.key.as_str(), first.source.as_str()), ("7", "a"));
        assert_eq!(traits(first), json!({ "first_name": "Jane", "surname": "Doe", "dob": "1970-03-01" }));
        assert_eq!(traits(rows[1].as_ref().unwrap()), json!({ "surname": "Doe", "email": "j@x.org" }));
    }

    #[test]
    fn columns_of_other_names_are_mapped() {
        let text = "fname_c1,lname_c1,by,bm,bd,email\nCARSTEN,MEIER,1949,7,22,x@y.org\n";
        let map = [("fname_c1", "first_name"), ("LNAME_C1", "last_name"), ("by", "birth_year"), ("bm", "birth_month")];
        let rows = all(text, Format::Csv, &[map.as_slice(), &[("bd", "birth_day"), ("email", "")]].concat());
        let first = rows[0].as_ref().unwrap();
        assert_eq!((first.key.as_str(), first.source.as_str()), ("2", ""), "the number of the line");
        let born = json!({ "year": 1949, "month": 7, "day": 22 });
        assert_eq!(traits(first), json!({ "first_name": "CARSTEN", "last_name": "MEIER", "birth_date": born }));
    }

    #[test]
    fn lines_of_json() {
        let text =
            "{\"id\": 1, \"name\": {\"first\": \"Jane\"}, \"data_source\": \"crm\"}\n\n[1]\n{\"key\":\"b\",\"id\":2}\n";
        let rows = all(text, Format::JsonLines, &[]);
        assert_eq!(traits(rows[0].as_ref().unwrap()), json!({ "name": { "first": "Jane" } }));
        assert_eq!(
            (rows[0].as_ref().unwrap().key.as_str(), rows[1].as_ref().unwrap_err().as_str()),
            ("1", "is no JSON object")
        );
        assert_eq!(rows[2].as_ref().unwrap().key, "b");
    }

    #[test]
    fn a_line_of_other_columns_is_told() {
        let rows = all("key,name\na,Jane\nb\n", Format::Csv, &[]);
        assert!(rows[0].is_ok() && rows[1].is_err());
        assert_eq!(Format::of(Path::new("x/People.CSV")), Some(Format::Csv));
        assert_eq!(Format::of(Path::new("people.parquet")), None);
    }
}
