//! Blocking: which pairs are compared at all.
//!
//! Each record has a few keys; two records are compared if they share one. A key that too many records share is a *stop
//! key*: a model keeps the set of them, records refine a stop key by birth year and by area, and what is still too
//! common is dropped. As the stop keys belong to the model, whether two records are compared depends on the two records
//! and the model alone, and not on what else is there or came first.

mod whole;

use std::collections::BTreeSet;

use crate::{
    corpus::{Corpus, Lexicons, Person, RecordIndex},
    lexicon::{NONE, Term, mix},
};

pub use whole::{BlockingReport, Blocks, LARGEST_BLOCK, stop_keys};

/// A blocking key: the rule in the highest byte, a hash below it.
pub type Key = u64;

/// What a key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rule {
    Identifier = 1,
    Email,
    Phone,
    BirthDate,
    Names,
    Premise,
    NumberPostcode,
    NumberLocality,
    StreetLocality,
    EmailLocalPart,
    SurnameBirthYear,
    SurnameBirthDay,
    GivenNameBirthMonth,
    GivenNameBirthDay,
    NamePostcode,
    NameStreet,
    NameNumber,
    NameLocality,
    Organisation,
    /// A stop key, refined.
    Refined,
}

impl Rule {
    pub const ALL: [Rule; 20] = [
        Rule::Identifier,
        Rule::Email,
        Rule::Phone,
        Rule::BirthDate,
        Rule::Names,
        Rule::Premise,
        Rule::NumberPostcode,
        Rule::NumberLocality,
        Rule::StreetLocality,
        Rule::EmailLocalPart,
        Rule::SurnameBirthYear,
        Rule::SurnameBirthDay,
        Rule::GivenNameBirthMonth,
        Rule::GivenNameBirthDay,
        Rule::NamePostcode,
        Rule::NameStreet,
        Rule::NameNumber,
        Rule::NameLocality,
        Rule::Organisation,
        Rule::Refined,
    ];

    /// The rule that made a key.
    pub fn of(key: Key) -> Option<Rule> {
        Rule::ALL.into_iter().find(|rule| *rule as u64 == key >> 56)
    }

    fn key(self, value: u64) -> Key {
        (self as u64) << 56 | mix(value) >> 8
    }
}

/// The keys of a record, ascending and each once.
pub fn keys(corpus: &Corpus, stop_keys: &BTreeSet<Key>, index: RecordIndex, keys: &mut Vec<Key>) {
    refined_keys(corpus, &|key| stop_keys.contains(&key), index, keys);
}

/// The same, however it is known what is a stop key.
fn refined_keys(corpus: &Corpus, is_stop: &impl Fn(Key) -> bool, index: RecordIndex, keys: &mut Vec<Key>) {
    keys.clear();
    let person = corpus.person(index);
    raw_keys(corpus, person, keys);
    refine(corpus, person, is_stop, keys);
    keys.sort_unstable();
    keys.dedup();
}

fn refine(corpus: &Corpus, person: &Person, is_stop: &impl Fn(Key) -> bool, keys: &mut Vec<Key>) {
    let stopped: Vec<Key> = keys.extract_if(.., |key| is_stop(*key)).collect();
    let mut by = |key: Key, value: u64, salt: u64| {
        let refined = Rule::Refined.key(key ^ mix(value ^ salt << 60));
        if !is_stop(refined) {
            keys.push(refined);
        }
    };
    for key in stopped {
        if person.birth_date.year() != 0 {
            by(key, person.birth_date.year().into(), 1);
        }
        if person.birth_date.is_whole() {
            by(key, u64::from(person.birth_date.month()) * 32 + u64::from(person.birth_date.day()), 2);
        }
        for address in person.addresses.of(&corpus.addresses) {
            if address.postcode != NONE {
                by(key, corpus.lexicons.codes.word(address.postcode).hash, 3);
            } else if address.locality != NONE {
                by(key, corpus.lexicons.places.word(address.locality).hash, 4);
            }
        }
    }
}

fn raw_keys(corpus: &Corpus, person: &Person, keys: &mut Vec<Key>) {
    let lexicons = &corpus.lexicons;
    for row in person.identifiers.of(&corpus.identifiers) {
        keys.push(Rule::Identifier.key(lexicons.codes.word(row.value).hash));
    }
    for row in person.emails.of(&corpus.emails) {
        keys.push(Rule::Email.key(lexicons.emails.word(row.whole).hash));
        let local = lexicons.emails.word(row.local);
        if local.bytes().len() >= 4 {
            keys.push(Rule::EmailLocalPart.key(local.hash));
        }
    }
    for phone in person.phones.of(&corpus.phones) {
        let bytes = lexicons.phones.word(*phone).bytes();
        let subscriber = &bytes[bytes.len().saturating_sub(7)..];
        keys.push(Rule::Phone.key(subscriber.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))));
    }
    let date = person.birth_date;
    if date.is_whole() {
        // Day and month may be swapped.
        let (low, high) = (date.month().min(date.day()), date.month().max(date.day()));
        keys.push(Rule::BirthDate.key(u64::from(date.year()) << 16 | u64::from(low) << 8 | u64::from(high)));
    }
    for organisation in person.organisations.of(&corpus.organisations) {
        keys.push(Rule::Organisation.key(lexicons.texts.sound(*organisation)));
        for part in
            lexicons.texts.parts(*organisation).iter().filter(|part| lexicons.texts.sketch(**part).length() >= 4)
        {
            keys.push(Rule::Organisation.key(lexicons.texts.sound(*part)));
        }
    }
    for address in person.addresses.of(&corpus.addresses) {
        if address.premise != NONE {
            keys.push(Rule::Premise.key(lexicons.codes.word(address.premise).hash));
        }
        let (street, number) = (lexicons.streets.word(address.street).hash, lexicons.codes.word(address.number).hash);
        let (place, postcode) = (lexicons.places.word(address.locality).hash, anagram(lexicons, address.postcode));
        if address.number != NONE && address.postcode != NONE {
            keys.push(Rule::NumberPostcode.key(number ^ mix(postcode)));
        }
        if address.number != NONE && address.locality != NONE {
            keys.push(Rule::NumberLocality.key(number ^ mix(place)));
        }
        if address.street != NONE && address.locality != NONE {
            keys.push(Rule::StreetLocality.key(street ^ mix(place)));
        }
    }
    for name in person.names.of(&corpus.names) {
        name_keys(corpus, person, name.given, name.surname, keys);
    }
}

/// A postcode, whatever the order of its characters: two of them are often transposed.
fn anagram(lexicons: &Lexicons, postcode: Term) -> u64 {
    lexicons.codes.word(postcode).bytes().iter().fold(0, |sum: u64, byte| sum.wrapping_add(mix(u64::from(*byte) + 1)))
}

/// How many formal names a nickname leads to in blocking; scoring knows them all.
const FORMALS: usize = 4;

fn name_keys(corpus: &Corpus, person: &Person, given: Term, surname: Term, keys: &mut Vec<Key>) {
    let lexicon = &corpus.lexicons.names;
    let sound = |term: Term| if lexicon.sketch(term).length() < 2 { 0 } else { lexicon.sound(term) };
    let (given_sound, surname_sound) = (sound(given), sound(surname));
    let date = person.birth_date;
    let day = u64::from(date.month()) << 5 | u64::from(date.day());
    for (term, surname_of) in [(given, false), (surname, true)] {
        if term == NONE {
            continue;
        }
        let sound = sound(term);
        if sound == 0 {
            continue;
        }
        let (year_rule, day_rule) = if surname_of {
            (Rule::SurnameBirthYear, Rule::SurnameBirthDay)
        } else {
            (Rule::GivenNameBirthMonth, Rule::GivenNameBirthDay)
        };
        if date.year() != 0 && (surname_of || date.month() != 0) {
            let month = if surname_of { 0 } else { u64::from(date.month()) };
            keys.push(year_rule.key(mix(sound) ^ (u64::from(date.year()) << 4 | month)));
        }
        if date.month() != 0 && date.day() != 0 {
            keys.push(day_rule.key(mix(sound) ^ day));
        }
        for address in person.addresses.of(&corpus.addresses) {
            if address.postcode != NONE {
                keys.push(Rule::NamePostcode.key(mix(sound) ^ anagram(&corpus.lexicons, address.postcode)));
            }
            if address.postcode != NONE && address.number != NONE {
                // Postal regions are the beginnings of postcodes.
                let region = corpus.lexicons.codes.word(address.postcode).bytes().iter().take(2);
                let region = region.fold(0u64, |region, byte| region << 8 | u64::from(*byte));
                let number = corpus.lexicons.codes.word(address.number).hash;
                keys.push(Rule::NameNumber.key(mix(sound) ^ number.wrapping_add(region)));
            }
            if address.street != NONE {
                keys.push(Rule::NameStreet.key(mix(sound) ^ corpus.lexicons.streets.word(address.street).hash));
            }
        }
    }
    if given_sound != 0 && surname_sound != 0 {
        // A sum does not know which came first.
        keys.push(Rule::Names.key(mix(given_sound).wrapping_add(mix(surname_sound))));
        for formal in lexicon.word(given).formals.iter().take(FORMALS) {
            keys.push(Rule::Names.key(mix(u64::from(*formal) + 1).wrapping_add(mix(surname_sound))));
        }
    }
    if surname_sound != 0 && given != NONE {
        let initial = lexicon.sketch(given).first();
        for address in person.addresses.of(&corpus.addresses).iter().filter(|address| address.locality != NONE) {
            let place = corpus.lexicons.places.word(address.locality).hash;
            keys.push(Rule::NameLocality.key(mix(surname_sound) ^ place ^ initial));
        }
    }
}
