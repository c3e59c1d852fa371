//! Addresses: premise (number, street, unit) and area (locality, postcode, region) in one comparison.

use super::{Context, Found, look};
use crate::{
    corpus::{AddressRow, Corpus},
    frequency::Field,
    level::{Comparison, Level, MISSING, address},
    lexicon::{Lexicon, NONE, Term},
    model::Weights,
    weight::Weight,
};

/// The best of any address of one with any of the other.
pub(super) fn compare(context: Context<'_>, xs: &[AddressRow], ys: &[AddressRow]) -> Found {
    let mut best = Found::MISSING;
    for x in xs {
        for y in ys {
            best = best.better(pair(context, x, y), context.weights, Comparison::Address);
        }
    }
    best
}

/// What no two addresses exceed.
pub(super) fn at_most(corpus: &Corpus, weights: &Weights) -> Weight {
    let rarest = |field: Field| (corpus.surprises.rarest(field) - weights.usual(field)).max(Weight::ZERO);
    let (premise, area) = (rarest(Field::Premise), rarest(Field::Locality).max(rarest(Field::Postcode)));
    let levels = 0..Comparison::Address.levels().len() as Level;
    let most = levels.map(|level| {
        let adjustment = match address::premise(level) {
            address::PREMISE_EXACT => premise,
            address::PREMISE_SIMILAR => Weight::ZERO,
            _ => area,
        };
        weights.of(Comparison::Address, level) + adjustment
    });
    most.fold(Weight::ZERO, Weight::max)
}

fn pair(context: Context<'_>, x: &AddressRow, y: &AddressRow) -> Found {
    look::ahead_at_addresses(context.corpus, x, y);
    let premise = premise(context.corpus, x, y);
    let (area, agreed) = area(context.corpus, x, y);
    let level = address::level(premise, area);
    if level == MISSING {
        return Found::MISSING;
    }
    let surprises = &context.corpus.surprises;
    let adjustment = match premise {
        address::PREMISE_EXACT if x.premise == y.premise => {
            context.exactly(Field::Premise, surprises.of(Field::Premise, x.premise))
        }
        address::PREMISE_EXACT | address::PREMISE_SIMILAR => {
            let (a, b) = (surprises.of(Field::Premise, x.premise), surprises.of(Field::Premise, y.premise));
            (a.exact.min(b.exact) - context.weights.usual(Field::Premise)).min(Weight::ZERO)
        }
        _ => match (area, agreed) {
            (address::AREA_EXACT | address::AREA_ONE, Some((field, term))) => {
                context.exactly(field, surprises.of(field, term))
            }
            _ => Weight::ZERO,
        },
    };
    Found { level, adjustment }
}

fn premise(corpus: &Corpus, x: &AddressRow, y: &AddressRow) -> u8 {
    if x.street == NONE || y.street == NONE {
        return address::ABSENT;
    }
    let street = likeness(&corpus.lexicons.streets, x.street, y.street);
    let number = if x.number == NONE || y.number == NONE {
        None
    } else {
        Some(likeness(&corpus.lexicons.codes, x.number, y.number))
    };
    // Two flats in one house are two premises that share the street.
    let units_differ = x.unit != NONE && y.unit != NONE && x.unit != y.unit;
    match (street, number) {
        (Likeness::Same, Some(Likeness::Same)) if !units_differ => address::PREMISE_EXACT,
        (Likeness::Same | Likeness::Near, Some(Likeness::Same)) => address::PREMISE_SIMILAR,
        (Likeness::Same, Some(Likeness::Near)) => address::PREMISE_SIMILAR,
        (Likeness::Same | Likeness::Near, _) => address::PREMISE_STREET,
        (Likeness::Other, _) => address::PREMISE_DIFFERENT,
    }
}

/// The level of the area, and a value that agrees.
fn area(corpus: &Corpus, x: &AddressRow, y: &AddressRow) -> (u8, Option<(Field, Term)>) {
    let places = &corpus.lexicons.places;
    let locality = known(x.locality, y.locality).map(|()| likeness(places, x.locality, y.locality));
    let postcode = known(x.postcode, y.postcode).map(|()| likeness(&corpus.lexicons.codes, x.postcode, y.postcode));
    let by_postcode = Some((Field::Postcode, x.postcode));
    let by_locality = Some((Field::Locality, x.locality));
    use Likeness::{Near, Other, Same};
    match (locality, postcode) {
        (None | Some(Same | Near), Some(Same)) => (address::AREA_EXACT, by_postcode),
        (Some(Same), None) => (address::AREA_EXACT, by_locality),
        (Some(Same), Some(Near)) => (address::AREA_EXACT, by_locality),
        (Some(Other), Some(Same)) => (address::AREA_ONE, by_postcode),
        (Some(Same), Some(Other)) => (address::AREA_ONE, by_locality),
        (Some(Near), _) | (_, Some(Near)) => (address::AREA_SIMILAR, None),
        (Some(Other), _) | (_, Some(Other)) => (address::AREA_DIFFERENT, None),
        (None, None) => (address::ABSENT, None),
    }
}

fn known(x: Term, y: Term) -> Option<()> {
    (x != NONE && y != NONE).then_some(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Likeness {
    Same,
    Near,
    Other,
}

const NEAR: u32 = 880;

fn likeness(lexicon: &Lexicon, x: Term, y: Term) -> Likeness {
    if x == y {
        return Likeness::Same;
    }
    let (a, b) = (lexicon.sketch(x), lexicon.sketch(y));
    let near = if a.is_digits() && b.is_digits() {
        a.length().max(b.length()) > 2 && lexicon.within_one_edit(x, y)
    } else {
        // One place within the other: `salem` and `west salem`.
        let within = |x: Term, y: Term| lexicon.sketch(y).is_several() && lexicon.parts(y).contains(&x);
        within(x, y)
            || within(y, x)
            || (a.length().min(b.length()) >= 4 && lexicon.within_one_edit(x, y))
            || lexicon.reaches(x, y, NEAR)
    };
    if near { Likeness::Near } else { Likeness::Other }
}
