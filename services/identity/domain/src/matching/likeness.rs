//! From a source record to what the matcher compares.

use std::collections::BTreeMap;

use identity_matching::{
    lexicon::stable_hash,
    record::{Address, BirthDate, Identifier as Number, PersonName, Record as Compared},
};
use serde_json::{Map, Value};

use super::field::{Field, Part, field};
use crate::{
    customer::Kind,
    record::{Claim, Facts, Record},
};

/// What is compared of one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Likeness {
    /// What sort of party the record says it is; parties of different sorts are never compared.
    pub kind: Kind,
    /// What it says, read. Its key is made of the source's key, and so does not depend on when the record arrived.
    pub compared: Compared,
}

/// Values of one record longer than this are cut: nobody's name is.
const LONGEST: usize = 256;
/// More values of one field than this are not compared.
const MOST: usize = 8;

/// Whether an identifier of this namespace is compared as a number, and whether nobody has two of them.
pub type Numbered<'a> = &'a (dyn Fn(&str) -> Option<bool> + Sync);

/// What is compared of `record`; `None` where there is nothing to match on: no name, or nothing beside a name. A name
/// alone never makes two records one, however rare it is.
pub fn likeness(record: &Record, claims: &[&Claim], numbered: Numbered<'_>) -> Option<Likeness> {
    Some(said(record, claims, numbered)).filter(|likeness| is_matchable(&likeness.compared))
}

/// All that `record` says and that can be compared, however little it is.
pub fn said(record: &Record, claims: &[&Claim], numbered: Numbered<'_>) -> Likeness {
    let kind = record.facts.kind.map_or(Kind::default(), |kind| kind.value);
    let mut reading = Reading::default();
    for (name, observation) in &record.facts.traits {
        if let (Some((field, place)), Some(value)) = (field(name), &observation.value) {
            reading.take(field, place, value);
        }
    }
    for claim in claims {
        reading.claim(claim, numbered);
    }
    let compared = Compared { key: key(record, claims), ..reading.compared(kind) };
    Likeness { kind, compared }
}

/// Whether these facts name somebody, or did: only then is there anything to match on, now or before.
pub fn has_name(facts: &Facts) -> bool {
    facts.traits.keys().any(|name| is_name(name))
}

/// Whether the trait `name` says what somebody is called.
pub fn is_name(name: &str) -> bool {
    matches!(
        field(name),
        Some((Field::Name | Field::GivenName | Field::FamilyName | Field::FormerName | Field::Organisation, _))
    )
}

fn is_matchable(compared: &Compared) -> bool {
    let named = !compared.names.is_empty() || !compared.organisations.is_empty();
    let more = compared.birth_date.is_some()
        || !compared.addresses.is_empty()
        || !compared.emails.is_empty()
        || !compared.phones.is_empty()
        || !compared.identifiers.is_empty();
    named && more
}

/// Breaks ties: a hash of the source's key, then the chance in the record's id, so that no two are the same.
fn key(record: &Record, claims: &[&Claim]) -> u128 {
    let mut text = record.source.clone();
    match &record.source_record_id {
        Some(id) => {
            text.push('\0');
            text.push_str(id);
        }
        None => {
            let mut identifiers: Vec<_> = claims.iter().map(|claim| &claim.identifier).collect();
            identifiers.sort_unstable();
            for identifier in identifiers {
                for part in ["\0", &identifier.namespace, "\0", &identifier.value] {
                    text.push_str(part);
                }
            }
        }
    }
    let chance = record.id.uuid().as_u128() & u128::from(u64::MAX);
    u128::from(stable_hash(text.as_bytes())) << 64 | chance
}

/// A record while its traits are read.
#[derive(Default)]
struct Reading {
    name: PersonName,
    others: Vec<PersonName>,
    former: Vec<String>,
    addresses: BTreeMap<Option<&'static str>, Address>,
    more_addresses: Vec<Address>,
    rest: Compared,
}

impl Reading {
    fn take(&mut self, field: Field, place: Option<&'static str>, value: &Value) {
        match field {
            Field::Name => self.names(value),
            Field::GivenName => set(&mut self.name.given, value),
            Field::MiddleName => set(&mut self.name.middle, value),
            Field::FamilyName => set(&mut self.name.family, value),
            Field::Suffix => set(&mut self.name.suffix, value),
            Field::FormerName => self.former.extend(texts(value)),
            Field::BirthDate => self.rest.birth_date = birth_date(value),
            Field::BirthDateVerified => self.rest.birth_date_verified = value.as_bool() == Some(true),
            Field::Email => self.rest.emails.extend(texts(value)),
            Field::Phone => self.rest.phones.extend(texts(value)),
            Field::Address(Part::Whole) => self.whole_address(place, value),
            Field::Address(part) => set_part(self.addresses.entry(place).or_default(), part, value),
            Field::Gender => self.rest.gender = texts(value).into_iter().next(),
            Field::Organisation => self.rest.organisations.extend(texts(value)),
            Field::Number(namespace) => {
                let number = |value| Number { namespace: namespace.to_owned(), value, verified_unique: false };
                self.rest.identifiers.extend(texts(value).into_iter().map(number));
            }
            Field::Other(name) => self.rest.extra.extend(texts(value).into_iter().map(|v| (name.to_owned(), v))),
        }
    }

    fn claim(&mut self, claim: &Claim, numbered: Numbered<'_>) {
        let identifier = &claim.identifier;
        match identifier.namespace.as_str() {
            "email" => self.rest.emails.push(identifier.value.clone()),
            "phone" => self.rest.phones.push(identifier.value.clone()),
            namespace => {
                if let Some(single) = numbered(namespace) {
                    self.rest.identifiers.push(Number {
                        namespace: namespace.to_owned(),
                        value: cut(&identifier.value),
                        verified_unique: single && claim.is_verified(),
                    });
                }
            }
        }
    }

    /// One name or several; in one text, or in parts.
    fn names(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().take(MOST).for_each(|item| self.names(item)),
            Value::Object(parts) => self.others.push(name_of(parts)),
            value if self.name.full.is_empty() => set(&mut self.name.full, value),
            value => {
                let full = texts(value).into_iter().next().unwrap_or_default();
                self.others.push(PersonName { full, ..PersonName::default() });
            }
        }
    }

    fn whole_address(&mut self, place: Option<&'static str>, value: &Value) {
        match value {
            Value::Array(items) => {
                items.iter().take(MOST).for_each(|item| self.more_addresses.push(address_of(item)));
            }
            Value::Object(_) => self.more_addresses.push(address_of(value)),
            value => set(&mut self.addresses.entry(place).or_default().full, value),
        }
    }

    fn compared(self, kind: Kind) -> Compared {
        let Self { name, others, former, addresses, more_addresses, rest: mut compared } = self;
        let given = name.given.clone();
        let former = former.into_iter().map(|family| PersonName { given: given.clone(), family, ..Default::default() });
        let names: Vec<PersonName> = std::iter::once(name).chain(others).chain(former).filter(says_who).collect();
        if kind == Kind::Person {
            compared.names = names;
        } else {
            // What a household or a company is called is no person's name.
            compared.organisations.extend(names.into_iter().map(|name| name.full).filter(|name| !name.is_empty()));
            compared.birth_date = None;
            compared.gender = None;
        }
        let addresses = addresses.into_values().chain(more_addresses);
        compared.addresses = addresses.filter(|address| !is_only_a_country(address)).collect();
        distinct(&mut compared.names);
        distinct(&mut compared.addresses);
        distinct(&mut compared.emails);
        distinct(&mut compared.phones);
        distinct(&mut compared.organisations);
        distinct(&mut compared.identifiers);
        compared.extra.truncate(MOST);
        compared
    }
}

/// Each once, and not too many.
fn distinct<T: PartialEq>(values: &mut Vec<T>) {
    let mut kept: Vec<T> = Vec::with_capacity(values.len().min(MOST));
    for value in values.drain(..) {
        if kept.len() < MOST && !kept.contains(&value) {
            kept.push(value);
        }
    }
    *values = kept;
}

fn says_who(name: &PersonName) -> bool {
    !(name.given.is_empty() && name.family.is_empty() && name.full.is_empty())
}

fn is_only_a_country(address: &Address) -> bool {
    *address == Address { country: address.country.clone(), region: address.region.clone(), ..Address::default() }
}

/// The texts that a value holds; a number is read as it is written.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => vec![cut(text.trim())],
        // Numbers come from protobuf as doubles: a postcode is one without a fraction.
        Value::Number(number) => match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 && whole.abs() < 1e15 => vec![format!("{whole:.0}")],
            _ => vec![number.to_string()],
        },
        Value::Array(items) => items.iter().take(MOST).filter(|item| !item.is_array()).flat_map(texts).collect(),
        Value::Object(fields) => fields.get("value").filter(|inner| inner.is_string()).map(texts).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

fn set(part: &mut String, value: &Value) {
    if let Some(text) = texts(value).into_iter().next() {
        *part = text;
    }
}

fn name_of(parts: &Map<String, Value>) -> PersonName {
    let mut name = PersonName::default();
    for (key, value) in parts {
        match (key.as_str(), field(key)) {
            ("first" | "given", _) | (_, Some((Field::GivenName, _))) => set(&mut name.given, value),
            ("middle", _) | (_, Some((Field::MiddleName, _))) => set(&mut name.middle, value),
            ("last" | "family", _) | (_, Some((Field::FamilyName, _))) => set(&mut name.family, value),
            ("full" | "formatted" | "text", _) | (_, Some((Field::Name, _))) => set(&mut name.full, value),
            (_, Some((Field::Suffix, _))) => set(&mut name.suffix, value),
            _ => {}
        }
    }
    name
}

fn address_of(value: &Value) -> Address {
    let mut address = Address::default();
    let Value::Object(parts) = value else {
        set(&mut address.full, value);
        return address;
    };
    for (key, value) in parts {
        match (key.as_str(), field(key)) {
            ("number", _) => set_part(&mut address, Part::Number, value),
            ("full" | "formatted" | "text", _) => set(&mut address.full, value),
            (_, Some((Field::Address(part), _))) => set_part(&mut address, part, value),
            _ => {}
        }
    }
    address
}

fn set_part(address: &mut Address, part: Part, value: &Value) {
    let place = match part {
        Part::Whole => &mut address.full,
        Part::Number => &mut address.number,
        Part::Street => &mut address.street,
        Part::Unit => &mut address.unit,
        Part::Locality => &mut address.locality,
        Part::Postcode => &mut address.postcode,
        Part::Region => &mut address.region,
        Part::Country => &mut address.country,
    };
    set(place, value);
}

fn birth_date(value: &Value) -> Option<BirthDate> {
    if let Value::Object(parts) = value {
        let part = |name: &str| parts.get(name).and_then(Value::as_f64).filter(|n| n.fract() == 0.0 && *n >= 1.0);
        let small = |name: &str| part(name).filter(|n| *n <= 31.0).map(|n| n as u8);
        let year = part("year").filter(|n| *n <= 9999.0).map(|n| n as u16);
        return Some(BirthDate::Parts { year, month: small("month"), day: small("day") });
    }
    texts(value).into_iter().next().map(BirthDate::Text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use terms::{Id, Identifier, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::record::Observed;

    fn record(traits: &Value) -> Record {
        let observed = |value: &Value| Observed {
            value: Some(value.clone()).filter(|v| !v.is_null()),
            observed_at: Timestamp::EPOCH,
            record_time: Timestamp::EPOCH,
        };
        let traits = traits.as_object().unwrap().iter().map(|(name, value)| (name.clone(), observed(value))).collect();
        Record {
            id: Id::from_uuid(Uuid::from_u128(7)),
            source: "crm".to_owned(),
            source_record_id: Some("1".to_owned()),
            home: Id::from_uuid(Uuid::from_u128(1)),
            facts: Facts { traits, kind: None },
            observed_at: Timestamp::EPOCH,
            created_at: Timestamp::EPOCH,
        }
    }

    fn claim(namespace: &str, value: &str, verified: bool) -> Claim {
        Claim {
            identifier: Identifier { namespace: namespace.to_owned(), value: value.to_owned() },
            raw_value: value.to_owned(),
            verified: Some(Observed { value: verified, observed_at: Timestamp::EPOCH, record_time: Timestamp::EPOCH }),
            first_seen: Timestamp::EPOCH,
            last_seen: Timestamp::EPOCH,
            certainty: 1.0,
            actor: String::new(),
            created_at: Timestamp::EPOCH,
        }
    }

    /// Cards are numbers, user ids are numbers of which nobody has two, devices say nothing.
    fn numbered(namespace: &str) -> Option<bool> {
        match namespace {
            "device" => None,
            namespace => Some(namespace == "user_id"),
        }
    }

    fn compared(traits: &Value, claims: &[Claim]) -> Option<Compared> {
        Some(likeness(&record(traits), &claims.iter().collect::<Vec<_>>(), &numbered)?.compared)
    }

    #[test]
    fn a_person_in_parts() {
        let traits = json!({
            "firstName": "Jane", "last_name": "Doe", "suffix": "Jr", "dob": "1970-03-01", "gender": "f",
            "street": "Main St", "house_number": 12, "city": "Springfield", "zip": 12345.0, "shipping_city": "Shelby",
            "company": "Acme", "employer": "Acme Inc", "ssn": "294-66-9999", "favourite": "tea", "maiden_name": "Roe",
        });
        let claims = [claim("email", "jane@x.org", false), claim("device", "d", true), claim("user_id", "u1", true)];
        let all = compared(&traits, &claims).unwrap();
        assert_eq!(all.names.len(), 2);
        assert_eq!((all.names[0].given.as_str(), all.names[0].family.as_str()), ("Jane", "Doe"));
        assert_eq!((all.names[1].given.as_str(), all.names[1].family.as_str()), ("Jane", "Roe"));
        assert_eq!(all.birth_date, Some(BirthDate::Text("1970-03-01".to_owned())));
        let address = &all.addresses[0];
        assert_eq!(
            (address.number.as_str(), address.street.as_str(), address.postcode.as_str()),
            ("12", "Main St", "12345")
        );
        assert_eq!(all.addresses[1].locality, "Shelby");
        assert_eq!((all.emails.len(), all.phones.len(), all.organisations.len()), (1, 0, 1));
        let numbers: Vec<_> = all.identifiers.iter().map(|n| (n.namespace.as_str(), n.verified_unique)).collect();
        assert_eq!(numbers, [("ssn", false), ("user_id", true)]);
        assert_eq!(all.extra, [("employer".to_owned(), "Acme Inc".to_owned())]);
    }

    #[test]
    fn structures_and_lists() {
        let traits = json!({
            "name": [{ "first": "Jane", "family": "Doe" }, "Jane Roe"],
            "birth_date": { "year": 1970, "month": 3 },
            "addresses": [{ "street": "12 Main St", "city": "Springfield" }, "7 Elm Rd, Shelby"],
            "phones": ["+4930901820", { "value": "+4930901821" }],
        });
        let all = compared(&traits, &[]).unwrap();
        assert_eq!((all.names[0].full.as_str(), all.names[1].given.as_str()), ("Jane Roe", "Jane"));
        assert_eq!(all.birth_date, Some(BirthDate::Parts { year: Some(1970), month: Some(3), day: None }));
        assert_eq!((all.addresses.len(), all.addresses[1].full.as_str()), (2, "7 Elm Rd, Shelby"));
        assert_eq!(all.phones, ["+4930901820", "+4930901821"]);
    }

    #[test]
    fn names_alone_and_the_nameless_are_not_compared() {
        assert_eq!(compared(&json!({ "name": "Jane Doe" }), &[]), None);
        assert_eq!(compared(&json!({ "name": "Jane Doe", "country": "NL" }), &[]), None);
        assert_eq!(compared(&json!({ "city": "Bonn" }), &[claim("email", "a@x.org", false)]), None);
        assert_eq!(compared(&json!({ "name": "Jane", "gender": "f" }), &[claim("device", "d", false)]), None);
        assert!(compared(&json!({ "name": "Jane" }), &[claim("email", "a@x.org", false)]).is_some());
        assert!(has_name(&record(&json!({ "name": null })).facts), "somebody was named");
        assert!(!has_name(&record(&json!({ "city": "Bonn" })).facts));
    }

    #[test]
    fn a_company_has_no_given_name() {
        let mut company = record(&json!({ "name": "Acme Ltd", "street": "1 Main St", "gender": "f" }));
        company.facts.kind =
            Some(Observed { value: Kind::Organization, observed_at: Timestamp::EPOCH, record_time: Timestamp::EPOCH });
        let likeness = likeness(&company, &[], &numbered).unwrap();
        assert_eq!((likeness.kind, likeness.compared.names.len()), (Kind::Organization, 0));
        assert_eq!((likeness.compared.organisations, likeness.compared.gender), (vec!["Acme Ltd".to_owned()], None));
    }

    #[test]
    fn ties_do_not_depend_on_the_time_of_arrival() {
        let traits = json!({ "name": "Jane", "city": "Bonn" });
        let (mut early, mut late) = (record(&traits), record(&traits));
        late.id = Id::from_uuid(Uuid::from_u128(u128::MAX));
        let key = |record: &Record| likeness(record, &[], &numbered).unwrap().compared.key;
        assert_ne!(key(&early), key(&late));
        assert_eq!(key(&early) >> 64, key(&late) >> 64);
        early.source_record_id = Some("2".to_owned());
        assert_ne!(key(&early) >> 64, key(&late) >> 64);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,24}".prop_map(Value::from),
            "[0-9/., -]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 4, |inner| {
            let key =
                prop::sample::select(vec!["first", "last", "street", "city", "year", "month", "day", "value", "full"]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(key.prop_map(str::to_owned), inner, 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_that_arrives_stops_the_matcher(
            values in prop::collection::vec(any_json(), 10),
            email in "\\PC{1,20}",
        ) {
            let names = ["name", "first_name", "last_name", "dob", "email", "phone", "address", "street", "zip", "gender"];
            let traits: Map<String, Value> = names.iter().map(|n| (*n).to_owned()).zip(values).collect();
            let claims = [claim("email", &email, false), claim("card", &email, true)];
            if let Some(all) = compared(&Value::Object(traits), &claims) {
                let mut corpus = identity_matching::corpus::Corpus::new();
                let model = identity_matching::model::Model::default();
                let one = corpus.push(&all);
                let two = corpus.push(&Compared { key: 1, ..all.clone() });
                corpus.weigh(&model.frequencies);
                let mut keys = Vec::new();
                identity_matching::block::keys(&corpus, &model.stop_keys, one, &mut keys);
                let weights = model.weights();
                identity_matching::score::Scorer::new(&corpus, &weights).score(one, two);
            }
        }
    }
}
