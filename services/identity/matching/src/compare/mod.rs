//! Comparing two records: one level for each comparison, with its term-frequency adjustment.

mod address;
mod contact;
mod date;
mod look;
mod name;

use crate::{
    corpus::{Corpus, RecordIndex},
    frequency::{Field, Surprise, near},
    level::{Comparison, Level, MISSING, identifier, same},
    model::Weights,
    weight::Weight,
};

pub use date::compare as birth_date_level;
pub use name::level as name_level;

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub level: Level,
    /// By how much this value says more (or less) than the average value of its level.
    pub adjustment: Weight,
}

impl Found {
    pub(crate) const MISSING: Found = Found { level: MISSING, adjustment: Weight::ZERO };

    pub(crate) fn plain(level: Level) -> Found {
        Found { level, adjustment: Weight::ZERO }
    }

    pub(crate) fn weight(self, weights: &Weights, comparison: Comparison) -> Weight {
        weights.of(comparison, self.level) + self.adjustment
    }

    /// Whichever weighs more; a value beats none.
    fn better(self, other: Found, weights: &Weights, comparison: Comparison) -> Found {
        let worse = other.level == MISSING
            || (self.level != MISSING && self.weight(weights, comparison) >= other.weight(weights, comparison));
        if worse { self } else { other }
    }
}

/// Receives what is found, comparison by comparison. A score sums, training counts, an explanation lists: all of them
/// see the same.
pub trait Sink {
    fn note(&mut self, comparison: Comparison, found: Found);

    /// Whether anything that weighs `most` at most still matters.
    fn cares(&self, _most: Weight) -> bool {
        true
    }
}

/// A corpus with the weights to judge it by.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub corpus: &'a Corpus,
    pub weights: &'a Weights,
    /// No address weighs more.
    address_at_most: Weight,
}

impl<'a> Context<'a> {
    pub(crate) fn new(corpus: &'a Corpus, weights: &'a Weights) -> Context<'a> {
        Context { corpus, weights, address_at_most: address::at_most(corpus, weights) }
    }

    /// The adjustment for agreeing on a value exactly.
    fn exactly(&self, field: Field, surprise: Surprise) -> Weight {
        surprise.exact - self.weights.usual(field)
    }

    /// The adjustment for values that nearly agree.
    fn nearly(&self, field: Field, a: Surprise, b: Surprise) -> Weight {
        near(a, b) - self.weights.usual(field)
    }
}

/// Compares two records. The result does not depend on their order. Comparisons are noted in the order of what they cost.
pub(crate) fn compare<S: Sink>(context: Context<'_>, a: RecordIndex, b: RecordIndex, sink: &mut S) {
    let corpus = context.corpus;
    let (x, y) = (corpus.person(a), corpus.person(b));
    look::ahead(corpus, x, y);
    name::compare(context, x.names.of(&corpus.names), y.names.of(&corpus.names), sink);
    if !x.birth_date.is_missing() && !y.birth_date.is_missing() {
        let level = date::compare(x.birth_date, y.birth_date);
        let adjustment = match level {
            crate::level::birth::EXACT => context.exactly(Field::BirthDate, x.birth_surprise).min(Weight::ZERO),
            _ => Weight::ZERO,
        };
        sink.note(Comparison::BirthDate, Found { level, adjustment });
    }
    if !x.emails.is_empty() && !y.emails.is_empty() {
        let found = contact::emails(context, x.emails.of(&corpus.emails), y.emails.of(&corpus.emails));
        sink.note(Comparison::Email, found);
    }
    if !x.phones.is_empty() && !y.phones.is_empty() {
        let found = contact::phones(context, x.phones.of(&corpus.phones), y.phones.of(&corpus.phones));
        sink.note(Comparison::Phone, found);
    }
    if !x.identifiers.is_empty() && !y.identifiers.is_empty() {
        let (x, y) = (x.identifiers.of(&corpus.identifiers), y.identifiers.of(&corpus.identifiers));
        sink.note(Comparison::Identifier, contact::identifiers(context, x, y));
    }
    if x.gender != 0 && y.gender != 0 {
        let level = if x.gender == y.gender { same::YES } else { same::NO };
        sink.note(Comparison::Gender, Found::plain(level));
    }
    if !x.organisations.is_empty() && !y.organisations.is_empty() {
        let (x, y) = (x.organisations.of(&corpus.organisations), y.organisations.of(&corpus.organisations));
        sink.note(Comparison::Organisation, contact::organisations(context, x, y));
    }
    if !x.extras.is_empty() && !y.extras.is_empty() {
        contact::extras(context, x.extras.of(&corpus.extras), y.extras.of(&corpus.extras), |found| {
            sink.note(Comparison::Extra, found);
        });
    }
    // Last, as it takes most of the time, and most pairs are strangers whatever their addresses.
    if !x.addresses.is_empty() && !y.addresses.is_empty() && sink.cares(context.address_at_most) {
        let found = address::compare(context, x.addresses.of(&corpus.addresses), y.addresses.of(&corpus.addresses));
        sink.note(Comparison::Address, found);
    }
}

/// Whether two records agree exactly on an identifier.
pub(crate) fn shares_identifier(corpus: &Corpus, a: RecordIndex, b: RecordIndex) -> bool {
    let (x, y) = (corpus.person(a), corpus.person(b));
    let (x, y) = (x.identifiers.of(&corpus.identifiers), y.identifiers.of(&corpus.identifiers));
    contact::identifier_level(corpus, x, y) == identifier::EXACT
}
