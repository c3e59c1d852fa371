//! Published data sets: the mapping of their columns to the record model, and nothing else.

use anyhow::{Context, Result};
use identity_matching::record::{Address, BirthDate, Identifier, PersonName, Record};
use serde_json::Value;
use testkit_datasets::dataset;

use crate::People;

/// FEBRL 4 (Christen 2008): 5,000 people and one misspelt copy of each. `ssn`: with social security numbers.
pub fn febrl4(ssn: bool) -> Result<Option<People>> {
    let mut people = People::default();
    for file in ["dataset4a.csv", "dataset4b.csv"] {
        let Some(path) = dataset("febrl4", file) else { return Ok(None) };
        for_rows(&path, |row| {
            let id = row.get("rec_id");
            let identifiers = if ssn { identifiers("ssn", row.get("soc_sec_id")) } else { Vec::new() };
            people.truth.push(id.split('-').nth(1).unwrap_or_default().to_owned());
            people.records.push(Record {
                key: people.records.len() as u128,
                names: name(row.get("given_name"), row.get("surname")),
                birth_date: birth_date(row.get("date_of_birth")),
                addresses: vec![Address {
                    number: row.get("street_number").into(),
                    street: row.get("address_1").into(),
                    unit: row.get("address_2").into(),
                    locality: row.get("suburb").into(),
                    postcode: row.get("postcode").into(),
                    region: row.get("state").into(),
                    ..Address::default()
                }],
                identifiers,
                ..Record::default()
            });
        })?;
    }
    Ok(Some(people))
}

/// fake_1000 of Splink: 1,000 records of 251 people, with names, birth date, city and e-mail.
pub fn fake_1000() -> Result<Option<People>> {
    let Some(path) = dataset("fake-1000", "fake_1000.csv") else { return Ok(None) };
    let mut people = People::default();
    for_rows(&path, |row| {
        people.truth.push(row.get("cluster").to_owned());
        people.records.push(Record {
            key: people.records.len() as u128,
            names: name(row.get("first_name"), row.get("surname")),
            birth_date: birth_date(row.get("dob")),
            addresses: vec![Address { locality: row.get("city").into(), ..Address::default() }],
            emails: vec![row.get("email").into()],
            ..Record::default()
        });
    })?;
    Ok(Some(people))
}

/// RLdata10000 of the R package RecordLinkage: German names and birth dates, 1,000 pairs.
pub fn rldata10000() -> Result<Option<People>> {
    let Some(path) = dataset("rldata10000", "RLdata10000.csv") else { return Ok(None) };
    let mut people = People::default();
    for_rows(&path, |row| {
        let number = |column: &str| row.get(column).parse::<u16>().ok();
        people.truth.push(row.get("label_true").to_owned());
        people.records.push(Record {
            key: people.records.len() as u128,
            names: vec![PersonName {
                given: row.get("fname_c1").into(),
                middle: row.get("fname_c2").into(),
                family: format!("{} {}", row.get("lname_c1"), row.get("lname_c2")),
                ..PersonName::default()
            }],
            birth_date: Some(BirthDate::Parts {
                year: number("by"),
                month: number("bm").and_then(|month| u8::try_from(month).ok()),
                day: number("bd").and_then(|day| u8::try_from(day).ok()),
            }),
            ..Record::default()
        });
    })?;
    Ok(Some(people))
}

/// The truth set of Senzing: 159 records of three sources, made of hard cases.
pub fn senzing_truth_set() -> Result<Option<People>> {
    let Some(path) = dataset("senzing-truth-set", "actual_truthset_key.csv") else { return Ok(None) };
    let mut truth = std::collections::BTreeMap::new();
    for_rows(&path, |row| {
        truth.insert(format!("{} {}", row.get("DATA_SOURCE"), row.get("RECORD_ID")), row.get("CLUSTER_ID").to_owned());
    })?;
    let mut people = People::default();
    for file in ["customers.jsonl", "reference.jsonl", "watchlist.jsonl"] {
        let Some(path) = dataset("senzing-truth-set", file) else { return Ok(None) };
        for line in std::fs::read_to_string(path)?.lines() {
            let json: Value = serde_json::from_str(line)?;
            let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
            let id = format!("{} {}", text("DATA_SOURCE"), text("RECORD_ID"));
            people.truth.push(truth.get(&id).cloned().with_context(|| format!("no truth for {id}"))?);
            people.records.push(senzing_record(&json, people.records.len() as u128));
        }
    }
    Ok(Some(people))
}

fn senzing_record(json: &Value, key: u128) -> Record {
    let mut record = Record { key, ..Record::default() };
    for feature in json["FEATURES"].as_array().into_iter().flatten() {
        let text = |key: &str| feature[key].as_str().unwrap_or_default().to_owned();
        let has = |prefix: &str| feature.as_object().is_some_and(|f| f.keys().any(|key| key.starts_with(prefix)));
        if has("NAME_ORG") {
            record.organisations.push(text("NAME_ORG"));
        } else if has("NAME_") {
            record.names.push(PersonName {
                given: text("NAME_FIRST"),
                middle: text("NAME_MIDDLE"),
                family: text("NAME_LAST"),
                suffix: text("NAME_SUFFIX"),
                full: text("NAME_FULL"),
            });
        }
        if has("ADDR_") {
            record.addresses.push(Address {
                full: text("ADDR_FULL"),
                street: text("ADDR_LINE1"),
                locality: text("ADDR_CITY"),
                postcode: text("ADDR_POSTAL_CODE"),
                region: text("ADDR_STATE"),
                country: text("ADDR_COUNTRY"),
                ..Address::default()
            });
        }
        record.birth_date = birth_date(&text("DATE_OF_BIRTH")).or(record.birth_date);
        record.gender = Some(text("GENDER")).filter(|gender| !gender.is_empty()).or(record.gender);
        record.emails.extend(Some(text("EMAIL_ADDRESS")).filter(|email| !email.is_empty()));
        record.phones.extend(Some(text("PHONE_NUMBER")).filter(|phone| !phone.is_empty()));
        record.extra.extend(Some(text("EMPLOYER")).filter(|e| !e.is_empty()).map(|e| ("employer".into(), e)));
        for kind in ["SSN", "PASSPORT", "DRIVERS_LICENSE", "NATIONAL_ID", "TAX_ID", "LEI"] {
            record.identifiers.extend(identifiers(kind, &text(&format!("{kind}_NUMBER"))));
        }
    }
    record
}

fn name(given: &str, family: &str) -> Vec<PersonName> {
    vec![PersonName { given: given.into(), family: family.into(), ..PersonName::default() }]
}

fn birth_date(text: &str) -> Option<BirthDate> {
    (!text.is_empty()).then(|| BirthDate::Text(text.into()))
}

fn identifiers(namespace: &str, value: &str) -> Vec<Identifier> {
    let identifier = Identifier { namespace: namespace.into(), value: value.into(), verified_unique: false };
    if value.is_empty() { Vec::new() } else { vec![identifier] }
}

/// A row of a CSV file, by column.
struct Row<'a> {
    headers: &'a csv::StringRecord,
    values: &'a csv::StringRecord,
}

impl Row<'_> {
    fn get(&self, column: &str) -> &str {
        let at = self.headers.iter().position(|header| header == column);
        at.and_then(|at| self.values.get(at)).unwrap_or_default()
    }
}

fn for_rows(path: &std::path::Path, mut visit: impl FnMut(Row<'_>)) -> Result<()> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path)?;
    let headers = reader.headers()?.clone();
    for values in reader.records() {
        visit(Row { headers: &headers, values: &values? });
    }
    Ok(())
}
