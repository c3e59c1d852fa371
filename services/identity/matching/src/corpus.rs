//! Normalised records, interned and packed: what is compared, millions of times a second.

use rustc_hash::FxHashMap;

use crate::{
    frequency::{Counts, Field, Frequencies, Surprise, UNKNOWN},
    lexicon::{Lexicon, NONE, Term, mix, stable_hash},
    normalize::{address, contact, date, date::PartialDate, name},
    record::{Record, RecordKey},
    weight::Weight,
};

/// A record by its place in a [`Corpus`].
pub type RecordIndex = u32;

/// Where a record's rows lie in a table of the corpus.
#[derive(Clone, Copy, Debug, Default)]
pub struct Span {
    start: u32,
    length: u16,
}

impl Span {
    #[inline]
    pub fn of<T>(self, table: &[T]) -> &[T] {
        &table[self.start as usize..self.start as usize + usize::from(self.length)]
    }
    pub fn is_empty(self) -> bool {
        self.length == 0
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NameRow {
    pub given: Term,
    pub middle: Term,
    pub surname: Term,
    pub generation: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressRow {
    /// Number and street as one value, for counting; [`NONE`] unless both are known.
    pub premise: Term,
    pub number: Term,
    pub street: Term,
    pub unit: Term,
    pub locality: Term,
    pub postcode: Term,
    pub region: Term,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmailRow {
    pub whole: Term,
    pub local: Term,
    pub domain: Term,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdentifierRow {
    pub namespace: Term,
    pub value: Term,
    pub verified_unique: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraRow {
    pub field: Term,
    pub value: Term,
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    pub birth_date: PartialDate,
    pub birth_date_verified: bool,
    pub birth_surprise: Surprise,
    /// 0 unknown.
    pub gender: u8,
    pub names: Span,
    pub addresses: Span,
    pub emails: Span,
    pub phones: Span,
    pub identifiers: Span,
    pub organisations: Span,
    pub extras: Span,
}

/// The lexicons, one for each kind of value.
#[derive(Clone, Debug, Default)]
pub struct Lexicons {
    pub names: Lexicon,
    pub streets: Lexicon,
    pub places: Lexicon,
    pub codes: Lexicon,
    pub emails: Lexicon,
    pub phones: Lexicon,
    pub texts: Lexicon,
}

/// The surprises of interned values, by term.
#[derive(Clone, Debug, Default)]
pub struct Surprises {
    tables: [Vec<Surprise>; crate::frequency::FIELD_COUNT],
    /// The most that an exact agreement carries.
    rarest: [Weight; crate::frequency::FIELD_COUNT],
}

impl Surprises {
    #[inline]
    pub fn of(&self, field: Field, term: Term) -> Surprise {
        self.tables[field as usize].get(term as usize).copied().unwrap_or(UNKNOWN)
    }

    /// No agreement on a value of this field carries more.
    pub(crate) fn rarest(&self, field: Field) -> Weight {
        self.rarest[field as usize]
    }
}

/// Many records, ready to be compared.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    keys: Vec<RecordKey>,
    by_key: FxHashMap<RecordKey, RecordIndex>,
    pub(crate) people: Vec<Person>,
    pub(crate) names: Vec<NameRow>,
    pub(crate) addresses: Vec<AddressRow>,
    pub(crate) emails: Vec<EmailRow>,
    pub(crate) phones: Vec<Term>,
    pub(crate) identifiers: Vec<IdentifierRow>,
    pub(crate) organisations: Vec<Term>,
    pub(crate) extras: Vec<ExtraRow>,
    pub(crate) lexicons: Lexicons,
    pub(crate) surprises: Surprises,
}

impl Corpus {
    pub fn new() -> Corpus {
        Corpus::default()
    }

    pub fn len(&self) -> usize {
        self.people.len()
    }

    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    pub fn key(&self, index: RecordIndex) -> RecordKey {
        self.keys[index as usize]
    }

    pub fn index(&self, key: RecordKey) -> Option<RecordIndex> {
        self.by_key.get(&key).copied()
    }

    pub fn indices(&self) -> std::ops::Range<RecordIndex> {
        0..self.people.len() as RecordIndex
    }

    #[inline]
    pub(crate) fn person(&self, index: RecordIndex) -> &Person {
        &self.people[index as usize]
    }

    /// Normalises and adds a record. A record with a key that is here already replaces that one.
    ///
    /// The rows of a replaced record stay in memory until the corpus is built anew.
    pub fn push(&mut self, record: &Record) -> RecordIndex {
        let person = self.pack(record);
        if let Some(index) = self.index(record.key) {
            self.people[index as usize] = person;
            return index;
        }
        let index = self.people.len() as RecordIndex;
        self.keys.push(record.key);
        self.by_key.insert(record.key, index);
        self.people.push(person);
        index
    }

    fn pack(&mut self, record: &Record) -> Person {
        let lexicons = &mut self.lexicons;
        let names: Vec<NameRow> = record
            .names
            .iter()
            .map(|raw| {
                let parts = name::normalize(raw);
                NameRow {
                    given: lexicons.names.intern(&parts.given),
                    middle: lexicons.names.intern(&parts.middle),
                    surname: lexicons.names.intern(&parts.surname),
                    generation: parts.generation,
                }
            })
            .filter(|row| row.given != NONE || row.surname != NONE)
            .collect();
        let addresses: Vec<AddressRow> = record
            .addresses
            .iter()
            .map(|raw| {
                let parts = address::normalize(raw);
                let premise = if parts.number.is_empty() || parts.street.is_empty() {
                    String::new()
                } else {
                    format!("{} {}", parts.number, parts.street)
                };
                AddressRow {
                    premise: lexicons.codes.intern(&premise),
                    number: lexicons.codes.intern(&parts.number),
                    street: lexicons.streets.intern(&parts.street),
                    unit: lexicons.codes.intern(&parts.unit),
                    locality: lexicons.places.intern(&parts.locality),
                    postcode: lexicons.codes.intern(&parts.postcode),
                    region: lexicons.places.intern(&parts.region),
                }
            })
            .filter(|row| *row != AddressRow::default())
            .collect();
        let emails: Vec<EmailRow> = record
            .emails
            .iter()
            .filter_map(|raw| contact::email(raw))
            .map(|email| {
                let (local, domain) = email.split_once('@').unwrap_or((&email, ""));
                EmailRow {
                    whole: lexicons.emails.intern(&email),
                    local: lexicons.emails.intern(local),
                    domain: lexicons.texts.intern(domain),
                }
            })
            .collect();
        let phones: Vec<Term> =
            record.phones.iter().filter_map(|raw| contact::phone(raw)).map(|p| lexicons.phones.intern(&p)).collect();
        let identifiers: Vec<IdentifierRow> = record
            .identifiers
            .iter()
            .filter_map(|raw| {
                let (namespace, value) = contact::identifier(raw)?;
                Some(IdentifierRow {
                    namespace: lexicons.texts.intern(&namespace),
                    value: lexicons.codes.intern(&value),
                    verified_unique: raw.verified_unique,
                })
            })
            .collect();
        let mut text = |raw: &str| lexicons.texts.intern(raw);
        let organisations: Vec<Term> =
            record.organisations.iter().map(|raw| text(&contact::organisation(raw))).filter(|t| *t != NONE).collect();
        let extras: Vec<ExtraRow> = record
            .extra
            .iter()
            .map(|(field, value)| ExtraRow { field: text(&contact::text(field)), value: text(&contact::text(value)) })
            .filter(|row| row.field != NONE && row.value != NONE)
            .collect();
        Person {
            birth_date: record.birth_date.as_ref().map(date::normalize).unwrap_or_default(),
            birth_date_verified: record.birth_date_verified,
            birth_surprise: UNKNOWN,
            gender: record.gender.as_deref().map_or(0, contact::gender),
            names: extend(&mut self.names, names),
            addresses: extend(&mut self.addresses, addresses),
            emails: extend(&mut self.emails, emails),
            phones: extend(&mut self.phones, phones),
            identifiers: extend(&mut self.identifiers, identifiers),
            organisations: extend(&mut self.organisations, organisations),
            extras: extend(&mut self.extras, extras),
        }
    }

    /// Counts the values of every field.
    pub fn frequencies(&self) -> Frequencies {
        let mut frequencies = Frequencies::default();
        for field in Field::ALL {
            let counts = if field.is_identifying() {
                Counts::by_companions(self.with_surnames(field))
            } else {
                Counts::from_values(self.values(field).map(|term| self.value_hash(field, term)))
            };
            frequencies.set(field, counts);
        }
        frequencies
    }

    /// Every value of a field, as often as it occurs.
    fn values(&self, field: Field) -> Box<dyn Iterator<Item = Term> + '_> {
        let people = self.people.iter();
        match field {
            Field::GivenName => Box::new(people.flat_map(|p| p.names.of(&self.names)).map(|n| n.given).filter(known)),
            Field::Surname => Box::new(people.flat_map(|p| p.names.of(&self.names)).map(|n| n.surname).filter(known)),
            Field::BirthDate => Box::new(people.map(|p| p.birth_date.bits()).filter(known)),
            Field::Premise => {
                Box::new(people.flat_map(|p| p.addresses.of(&self.addresses)).map(|a| a.premise).filter(known))
            }
            Field::Locality => {
                Box::new(people.flat_map(|p| p.addresses.of(&self.addresses)).map(|a| a.locality).filter(known))
            }
            Field::Postcode => {
                Box::new(people.flat_map(|p| p.addresses.of(&self.addresses)).map(|a| a.postcode).filter(known))
            }
            Field::Email => Box::new(people.flat_map(|p| p.emails.of(&self.emails)).map(|e| e.whole)),
            Field::Phone => Box::new(people.flat_map(|p| p.phones.of(&self.phones)).copied()),
            Field::Identifier => Box::new(people.flat_map(|p| p.identifiers.of(&self.identifiers)).map(|i| i.value)),
            Field::Organisation => Box::new(people.flat_map(|p| p.organisations.of(&self.organisations)).copied()),
            Field::Extra => Box::new(people.flat_map(|p| p.extras.of(&self.extras)).map(|e| e.value)),
        }
    }

    /// Every value of a field, with how the surname beside it sounds.
    fn with_surnames(&self, field: Field) -> Vec<(u64, u64)> {
        let mut pairs = Vec::new();
        for person in &self.people {
            let surname = person.names.of(&self.names).first().map_or(NONE, |name| name.surname);
            let surname = self.lexicons.names.sound(surname);
            let mut push = |term: Term| {
                if term != NONE {
                    pairs.push((self.value_hash(field, term), surname));
                }
            };
            match field {
                Field::Premise => person.addresses.of(&self.addresses).iter().for_each(|a| push(a.premise)),
                Field::Email => person.emails.of(&self.emails).iter().for_each(|e| push(e.whole)),
                Field::Phone => person.phones.of(&self.phones).iter().for_each(|p| push(*p)),
                _ => person.identifiers.of(&self.identifiers).iter().for_each(|i| push(i.value)),
            }
        }
        pairs
    }

    fn lexicon(&self, field: Field) -> Option<&Lexicon> {
        Some(match field {
            Field::GivenName | Field::Surname => &self.lexicons.names,
            Field::BirthDate => return None,
            Field::Premise | Field::Postcode | Field::Identifier => &self.lexicons.codes,
            Field::Locality => &self.lexicons.places,
            Field::Email => &self.lexicons.emails,
            Field::Phone => &self.lexicons.phones,
            Field::Organisation | Field::Extra => &self.lexicons.texts,
        })
    }

    fn value_hash(&self, field: Field, term: Term) -> u64 {
        self.lexicon(field).map_or_else(|| mix(u64::from(term)), |lexicon| lexicon.word(term).hash)
    }

    /// Looks up anew what agreeing on each value carries.
    pub fn weigh(&mut self, frequencies: &Frequencies) {
        self.surprises = Surprises::default();
        self.weigh_terms(frequencies);
        for index in self.indices() {
            self.weigh_birth_date(index, frequencies);
        }
    }

    /// Looks up what agreeing on the values of one record carries that has just been pushed.
    pub fn weigh_last(&mut self, index: RecordIndex, frequencies: &Frequencies) {
        self.weigh_terms(frequencies);
        self.weigh_birth_date(index, frequencies);
    }

    /// Looks up the values that were interned since the last time.
    fn weigh_terms(&mut self, frequencies: &Frequencies) {
        for field in Field::ALL {
            let Some(lexicon) = self.lexicon(field) else { continue };
            let from = self.surprises.tables[field as usize].len();
            let new: Vec<Surprise> = (from..lexicon.len())
                .map(|term| frequencies.surprise(field, lexicon.word(term as Term).hash))
                .collect();
            let rarest = &mut self.surprises.rarest[field as usize];
            *rarest = new.iter().map(|surprise| surprise.exact).fold(*rarest, Weight::max);
            self.surprises.tables[field as usize].extend(new);
        }
    }

    fn weigh_birth_date(&mut self, index: RecordIndex, frequencies: &Frequencies) {
        let person = &mut self.people[index as usize];
        person.birth_surprise = frequencies.surprise(Field::BirthDate, mix(u64::from(person.birth_date.bits())));
    }

    /// A hash of what the record says, for keys of records that have none.
    pub fn text_key(text: &str) -> RecordKey {
        u128::from(stable_hash(text.as_bytes())) << 64
            | u128::from(mix(stable_hash(text.as_bytes()) ^ text.len() as u64))
    }
}

fn known(term: &Term) -> bool {
    *term != NONE
}

/// Adds rows to a table. More than 65,535 rows of one record are cut off.
fn extend<T>(table: &mut Vec<T>, rows: Vec<T>) -> Span {
    let start = table.len() as u32;
    table.extend(rows.into_iter().take(usize::from(u16::MAX)));
    Span { start, length: (table.len() - start as usize) as u16 }
}
