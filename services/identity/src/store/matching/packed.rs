//! What is compared of a record, as it is stored: protobuf, so that a field may be added. Its bytes pass the sealer.

use identity_domain::{Kind, matching::Likeness};
use identity_matching::record::{self, Record};
use prost::Message;
use terms::Fault;

#[derive(Clone, PartialEq, Message)]
struct Packed {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(fixed64, tag = "2")]
    key_high: u64,
    #[prost(fixed64, tag = "3")]
    key_low: u64,
    #[prost(message, repeated, tag = "4")]
    names: Vec<Name>,
    #[prost(string, repeated, tag = "5")]
    organisations: Vec<String>,
    #[prost(oneof = "Birth", tags = "6, 7, 8")]
    birth: Option<Birth>,
    #[prost(bool, tag = "9")]
    birth_verified: bool,
    #[prost(message, repeated, tag = "10")]
    addresses: Vec<Address>,
    #[prost(string, repeated, tag = "11")]
    emails: Vec<String>,
    #[prost(string, repeated, tag = "12")]
    phones: Vec<String>,
    #[prost(message, repeated, tag = "13")]
    numbers: Vec<Number>,
    #[prost(string, optional, tag = "14")]
    gender: Option<String>,
    #[prost(string, repeated, tag = "15")]
    extra_names: Vec<String>,
    #[prost(string, repeated, tag = "16")]
    extra_values: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Name {
    #[prost(string, tag = "1")]
    given: String,
    #[prost(string, tag = "2")]
    middle: String,
    #[prost(string, tag = "3")]
    family: String,
    #[prost(string, tag = "4")]
    suffix: String,
    #[prost(string, tag = "5")]
    full: String,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Birth {
    #[prost(string, tag = "6")]
    Text(String),
    /// Year, month, day as digits `yyyymmdd`, each 0 where unknown.
    #[prost(uint32, tag = "7")]
    Parts(u32),
    /// Age and year as `yyyyaaa`.
    #[prost(uint32, tag = "8")]
    Age(u32),
}

#[derive(Clone, PartialEq, Message)]
struct Address {
    #[prost(string, tag = "1")]
    full: String,
    #[prost(string, tag = "2")]
    number: String,
    #[prost(string, tag = "3")]
    street: String,
    #[prost(string, tag = "4")]
    unit: String,
    #[prost(string, tag = "5")]
    locality: String,
    #[prost(string, tag = "6")]
    postcode: String,
    #[prost(string, tag = "7")]
    region: String,
    #[prost(string, tag = "8")]
    country: String,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bool, tag = "3")]
    verified_unique: bool,
}

/// Packs.
pub(super) fn pack(likeness: &Likeness) -> Vec<u8> {
    let Record { key, names, organisations, birth_date, birth_date_verified, .. } = likeness.compared.clone();
    let Record { addresses, emails, phones, identifiers, gender, extra, .. } = likeness.compared.clone();
    let (extra_names, extra_values) = extra.into_iter().unzip();
    let name = |n: record::PersonName| Name {
        given: n.given,
        middle: n.middle,
        family: n.family,
        suffix: n.suffix,
        full: n.full,
    };
    let packed = Packed {
        kind: match likeness.kind {
            Kind::Person => 1,
            Kind::Household => 2,
            Kind::Organization => 3,
        },
        key_high: (key >> 64) as u64,
        key_low: key as u64,
        names: names.into_iter().map(name).collect(),
        organisations,
        birth: birth_date.map(birth),
        birth_verified: birth_date_verified,
        addresses: addresses.into_iter().map(address).collect(),
        emails,
        phones,
        numbers: identifiers
            .into_iter()
            .map(|n| Number { namespace: n.namespace, value: n.value, verified_unique: n.verified_unique })
            .collect(),
        gender,
        extra_names,
        extra_values,
    };
    packed.encode_to_vec()
}

fn birth(date: record::BirthDate) -> Birth {
    match date {
        record::BirthDate::Text(text) => Birth::Text(text),
        record::BirthDate::Parts { year, month, day } => {
            let part = |value: Option<u8>| u32::from(value.unwrap_or(0)) % 100;
            Birth::Parts(u32::from(year.unwrap_or(0)) * 10_000 + part(month) * 100 + part(day))
        }
        record::BirthDate::Age { years, in_year } => Birth::Age(u32::from(in_year) * 1_000 + u32::from(years) % 1_000),
    }
}

fn address(a: record::Address) -> Address {
    Address {
        full: a.full,
        number: a.number,
        street: a.street,
        unit: a.unit,
        locality: a.locality,
        postcode: a.postcode,
        region: a.region,
        country: a.country,
    }
}

/// Unpacks.
pub(super) fn unpack(bytes: &[u8]) -> Result<Likeness, Fault> {
    let packed = Packed::decode(bytes).map_err(Fault::internal)?;
    let kind = match packed.kind {
        2 => Kind::Household,
        3 => Kind::Organization,
        _ => Kind::Person,
    };
    let name = |n: Name| record::PersonName {
        given: n.given,
        middle: n.middle,
        family: n.family,
        suffix: n.suffix,
        full: n.full,
    };
    let address = |a: Address| record::Address {
        full: a.full,
        number: a.number,
        street: a.street,
        unit: a.unit,
        locality: a.locality,
        postcode: a.postcode,
        region: a.region,
        country: a.country,
    };
    let number =
        |n: Number| record::Identifier { namespace: n.namespace, value: n.value, verified_unique: n.verified_unique };
    let compared = Record {
        key: u128::from(packed.key_high) << 64 | u128::from(packed.key_low),
        names: packed.names.into_iter().map(name).collect(),
        organisations: packed.organisations,
        birth_date: packed.birth.map(birth_date),
        birth_date_verified: packed.birth_verified,
        addresses: packed.addresses.into_iter().map(address).collect(),
        emails: packed.emails,
        phones: packed.phones,
        identifiers: packed.numbers.into_iter().map(number).collect(),
        gender: packed.gender,
        extra: packed.extra_names.into_iter().zip(packed.extra_values).collect(),
    };
    Ok(Likeness { kind, compared })
}

fn birth_date(birth: Birth) -> record::BirthDate {
    match birth {
        Birth::Text(text) => record::BirthDate::Text(text),
        Birth::Parts(parts) => record::BirthDate::Parts {
            year: u16::try_from(parts / 10_000).ok().filter(|year| *year != 0),
            month: u8::try_from(parts / 100 % 100).ok().filter(|month| *month != 0),
            day: u8::try_from(parts % 100).ok().filter(|day| *day != 0),
        },
        Birth::Age(age) => record::BirthDate::Age {
            years: u16::try_from(age % 1_000).unwrap_or_default(),
            in_year: u16::try_from(age / 1_000).unwrap_or_default(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_and_unpacked() {
        let text = |n: u8| format!("value {n}");
        let compared = Record {
            key: u128::MAX - 7,
            names: vec![record::PersonName { given: text(1), full: text(2), ..Default::default() }; 2],
            organisations: vec![text(3)],
            birth_date: Some(record::BirthDate::Parts { year: Some(1970), month: None, day: Some(3) }),
            birth_date_verified: true,
            addresses: vec![record::Address { street: text(4), country: text(5), ..Default::default() }],
            emails: vec![text(6)],
            phones: vec![text(7)],
            identifiers: vec![record::Identifier { namespace: text(8), value: text(9), verified_unique: true }],
            gender: Some(text(10)),
            extra: vec![(text(11), text(12))],
        };
        let births = [
            None,
            Some(record::BirthDate::Text(text(13))),
            Some(record::BirthDate::Age { years: 40, in_year: 2001 }),
            compared.birth_date.clone(),
        ];
        for (kind, birth_date) in
            [Kind::Person, Kind::Household, Kind::Organization, Kind::Person].into_iter().zip(births)
        {
            let likeness = Likeness { kind, compared: Record { birth_date, ..compared.clone() } };
            assert_eq!(unpack(&pack(&likeness)).unwrap(), likeness);
        }
    }
}
