//! Blocking: which pairs are compared at all.
//!
//! Each record has a few keys; two records are compared if they share one. A key that too many records share is a *stop
//! key*: a model keeps the set of them, records refine a stop key by birth year and by area, and what is still too
//! common is dropped. As the stop keys belong to the model, whether two records are compared depends on the two records
//! and the model alone, and not on what else is there or came first.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use crate::{
    corpus::{Corpus, Lexicons, Person, RecordIndex},
    lexicon::{NONE, Term, mix},
};

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
    keys.clear();
    let person = corpus.person(index);
    raw_keys(corpus, person, keys);
    if !stop_keys.is_empty() {
        refine(corpus, person, stop_keys, keys);
    }
    keys.sort_unstable();
    keys.dedup();
}

fn refine(corpus: &Corpus, person: &Person, stop_keys: &BTreeSet<Key>, keys: &mut Vec<Key>) {
    let stopped: Vec<Key> = keys.iter().copied().filter(|key| stop_keys.contains(key)).collect();
    if stopped.is_empty() {
        return;
    }
    keys.retain(|key| !stop_keys.contains(key));
    let mut by = |key: Key, value: u64, salt: u64| {
        let refined = Rule::Refined.key(key ^ mix(value ^ salt << 60));
        if !stop_keys.contains(&refined) {
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
        let word = lexicons.texts.word(*organisation);
        keys.push(Rule::Organisation.key(word.sound));
        for part in lexicons.texts.parts(word).iter().filter(|part| lexicons.texts.word(**part).bytes().len() >= 4) {
            keys.push(Rule::Organisation.key(lexicons.texts.word(*part).sound));
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
    let sound = |term: Term| if term == NONE || lexicon.word(term).is_initial() { 0 } else { lexicon.word(term).sound };
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
        let initial = u64::from(lexicon.word(given).bytes()[0]);
        for address in person.addresses.of(&corpus.addresses).iter().filter(|address| address.locality != NONE) {
            let place = corpus.lexicons.places.word(address.locality).hash;
            keys.push(Rule::NameLocality.key(mix(surname_sound) ^ place ^ initial));
        }
    }
}

/// Blocks larger than this are refined: pairs then grow with the records, and not with their square.
pub const LARGEST_BLOCK: usize = 50;

/// The stop keys of a corpus: keys that more than `largest` records share, refined ones among them.
pub fn stop_keys(corpus: &Corpus, largest: usize) -> BTreeSet<Key> {
    let mut stop = BTreeSet::new();
    let mut buffer = Vec::new();
    // Twice: refined keys can be too common as well.
    for _ in 0..2 {
        let mut all: Vec<Key> = Vec::new();
        for index in corpus.indices() {
            keys(corpus, &stop, index, &mut buffer);
            all.extend_from_slice(&buffer);
        }
        all.sort_unstable();
        let before = stop.len();
        stop.extend(all.chunk_by(|a, b| a == b).filter(|block| block.len() > largest).map(|block| block[0]));
        if stop.len() == before {
            break;
        }
    }
    stop
}

/// What blocking a whole corpus found, rule by rule: blocks, pairs and what was too common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockingReport {
    /// By rule: how many blocks of two or more, and how many pairs they hold, pairs in several blocks counted once.
    pub rules: Vec<(Rule, u64, u64)>,
    pub pairs: u64,
    /// Keys that were refined or dropped.
    pub stop_keys: usize,
}

/// The blocks of a whole corpus.
pub struct Blocks {
    /// Keys of all records, by record.
    keys: Vec<Key>,
    offsets: Vec<u32>,
    /// Records by key, in blocks of two at least.
    members: Vec<(Key, RecordIndex)>,
    stop_keys: usize,
}

impl Blocks {
    pub fn new(corpus: &Corpus, stop_keys: &BTreeSet<Key>) -> Blocks {
        let mut all = Vec::new();
        let mut offsets = Vec::with_capacity(corpus.len() + 1);
        let mut members = Vec::new();
        let mut buffer = Vec::new();
        offsets.push(0);
        for index in corpus.indices() {
            keys(corpus, stop_keys, index, &mut buffer);
            all.extend_from_slice(&buffer);
            members.extend(buffer.iter().map(|key| (*key, index)));
            offsets.push(all.len() as u32);
        }
        members.sort_unstable();
        Blocks { keys: all, offsets, members, stop_keys: stop_keys.len() }
    }

    /// Calls `visit` once for every pair of records that share a key.
    pub fn for_each_pair(&self, visit: impl FnMut(RecordIndex, RecordIndex)) -> BlockingReport {
        self.for_some_pairs(|_, _| true, visit)
    }

    /// Calls `visit` once for every pair of records that share a key and that are `wanted`.
    pub fn for_some_pairs(
        &self,
        wanted: impl Fn(RecordIndex, RecordIndex) -> bool,
        mut visit: impl FnMut(RecordIndex, RecordIndex),
    ) -> BlockingReport {
        let mut by_rule: FxHashMap<u64, (u64, u64)> = FxHashMap::default();
        for block in self.members.chunk_by(|a, b| a.0 == b.0).filter(|block| block.len() > 1) {
            let key = block[0].0;
            let entry = by_rule.entry(key >> 56).or_default();
            entry.0 += 1;
            for (at, (_, a)) in block.iter().enumerate() {
                for (_, b) in &block[at + 1..] {
                    // A pair belongs to the first key that it shares.
                    if wanted(*a, *b) && self.first_shared(*a, *b) == key {
                        entry.1 += 1;
                        visit(*a, *b);
                    }
                }
            }
        }
        let rules: Vec<(Rule, u64, u64)> = Rule::ALL
            .into_iter()
            .filter_map(|rule| by_rule.get(&(rule as u64)).map(|(blocks, pairs)| (rule, *blocks, *pairs)))
            .collect();
        BlockingReport { pairs: rules.iter().map(|(_, _, pairs)| pairs).sum(), rules, stop_keys: self.stop_keys }
    }

    /// How many pairs there are, those in several blocks counted in each.
    pub fn pairs_at_most(&self) -> u64 {
        self.members.chunk_by(|a, b| a.0 == b.0).map(|block| (block.len() * (block.len() - 1) / 2) as u64).sum()
    }

    fn keys_of(&self, index: RecordIndex) -> &[Key] {
        let at = index as usize;
        &self.keys[self.offsets[at] as usize..self.offsets[at + 1] as usize]
    }

    fn first_shared(&self, a: RecordIndex, b: RecordIndex) -> Key {
        let (mut xs, mut ys) = (self.keys_of(a), self.keys_of(b));
        while let ([x, rest_x @ ..], [y, rest_y @ ..]) = (xs, ys) {
            if x == y {
                return *x;
            }
            if x < y { xs = rest_x } else { ys = rest_y }
        }
        0
    }
}
