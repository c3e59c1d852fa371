//! Names: given name and surname, as written or transposed; middle name; generation.

use super::{Context, Found, Sink};
use crate::{
    corpus::NameRow,
    frequency::{Field, Surprise, near},
    level::{Comparison, Level, MISSING, middle, name, order, same},
    lexicon::{Lexicon, NONE, Term},
    nickname::{is_abbreviation, is_diminutive},
    similarity::jaro_winkler,
    weight::Weight,
};

/// Given name and surname of a pair in one order.
#[derive(Clone, Copy)]
struct Reading {
    given: Found,
    surname: Found,
    order: Level,
    total: Weight,
    pair: (NameRow, NameRow),
}

/// Notes the best reading of any name of one with any name of the other.
pub(super) fn compare<S: Sink>(context: Context<'_>, xs: &[NameRow], ys: &[NameRow], sink: &mut S) {
    let mut best: Option<Reading> = None;
    for x in xs {
        for y in ys {
            let reading = read(context, *x, *y);
            if best.is_none_or(|best| reading.total > best.total) {
                best = Some(reading);
            }
        }
    }
    let Some(Reading { given, surname, order, pair: (x, y), .. }) = best else { return };
    sink.note(Comparison::GivenName, given);
    sink.note(Comparison::Surname, surname);
    sink.note(Comparison::NameOrder, Found::plain(order));
    if x.middle != NONE && y.middle != NONE {
        sink.note(
            Comparison::MiddleName,
            Found::plain(middle_level(&context.corpus.lexicons.names, x.middle, y.middle)),
        );
    }
    if x.generation != 0 && y.generation != 0 {
        let level = if x.generation == y.generation { same::YES } else { same::NO };
        sink.note(Comparison::Generation, Found::plain(level));
    }
}

fn read(context: Context<'_>, x: NameRow, y: NameRow) -> Reading {
    let given = part(context, Comparison::GivenName, (x.given, Field::GivenName), (y.given, Field::GivenName));
    let mut surname = part(context, Comparison::Surname, (x.surname, Field::Surname), (y.surname, Field::Surname));
    if surname.level >= name::INITIAL
        && ((x.middle != NONE && x.middle == y.surname) || (y.middle != NONE && y.middle == x.surname))
    {
        // One calls the other's middle name the surname: a maiden name, a second surname, a name misread.
        surname = Found::plain(name::SIMILAR);
    }
    let complete = given.level != MISSING && surname.level != MISSING;
    let total =
        given.weight(context.weights, Comparison::GivenName) + surname.weight(context.weights, Comparison::Surname);
    let order = if complete { order::STRAIGHT } else { MISSING };
    let straight = Reading { given, surname, order, total, pair: (x, y) };
    // Names that agree in either place have not changed places.
    let agrees = |level: Level| level != MISSING && level < name::INITIAL;
    if agrees(given.level) || agrees(surname.level) {
        return straight;
    }
    let given = part(context, Comparison::GivenName, (x.given, Field::GivenName), (y.surname, Field::Surname));
    let surname = part(context, Comparison::Surname, (x.surname, Field::Surname), (y.given, Field::GivenName));
    if !agrees(given.level) && !agrees(surname.level) {
        return straight;
    }
    let total = given.weight(context.weights, Comparison::GivenName)
        + surname.weight(context.weights, Comparison::Surname)
        + context.weights.of(Comparison::NameOrder, order::TRANSPOSED);
    if total > straight.total {
        Reading { given, surname, order: order::TRANSPOSED, total, pair: (x, y) }
    } else {
        straight
    }
}

/// One part of a name against one of the other, which may be another part there.
fn part(context: Context<'_>, comparison: Comparison, x: (Term, Field), y: (Term, Field)) -> Found {
    if x.0 == NONE || y.0 == NONE {
        return Found::MISSING;
    }
    let level = level(&context.corpus.lexicons.names, x.0, y.0, comparison == Comparison::GivenName);
    let surprises = &context.corpus.surprises;
    let usual =
        context.weights.usual(if comparison == Comparison::GivenName { Field::GivenName } else { Field::Surname });
    let adjustment = match level {
        name::EXACT => {
            // In both places the value is as common as in the place where it is more common.
            let (a, b) = (surprises.of(x.1, x.0), surprises.of(y.1, x.0));
            a.exact.min(b.exact) - usual
        }
        name::CLOSE | name::SIMILAR => adjust_near(surprises.of(x.1, x.0), surprises.of(y.1, y.0), usual),
        name::RELATED => {
            let (a, b) = (surprises.of(x.1, x.0), surprises.of(y.1, y.0));
            halve(a.exact.min(b.exact) - usual)
        }
        _ => Weight::ZERO,
    };
    Found { level, adjustment }
}

fn adjust_near(a: Surprise, b: Surprise, usual: Weight) -> Weight {
    halve(near(a, b) - usual)
}

/// Near agreements are worth a part of the adjustment: how common similar values are is known less well.
fn halve(weight: Weight) -> Weight {
    Weight(weight.0 / 2)
}

/// The level of two names. Given names know nicknames, surnames several words.
pub fn level(lexicon: &Lexicon, x: Term, y: Term, given: bool) -> Level {
    let (a, b) = (lexicon.sketch(x), lexicon.sketch(y));
    if x == y {
        return if a.is_initial() { name::INITIAL } else { name::EXACT };
    }
    if a.script() != b.script() {
        return MISSING;
    }
    if a.is_initial() || b.is_initial() {
        return if a.first() == b.first() { name::INITIAL } else { name::DIFFERENT };
    }
    let related = if given { are_forms(lexicon, x, y) } else { shares_a_word(lexicon, x, y) };
    if related {
        return name::RELATED;
    }
    let alike = lexicon.sound(x) == lexicon.sound(y) && lexicon.sound(x) != 0;
    if !a.may_reach(b, WEAK as i32) {
        return if alike { name::SIMILAR } else { name::DIFFERENT };
    }
    let similarity = jaro_winkler(lexicon.word(x).bytes(), lexicon.word(y).bytes());
    if similarity >= CLOSE || (a.length().min(b.length()) >= 4 && lexicon.within_one_edit(x, y)) {
        name::CLOSE
    } else if alike {
        name::SIMILAR
    } else if given && a.is_known() && b.is_known() {
        // Both are well known as names of their own: Mark is not a misspelt Marsha.
        name::DIFFERENT
    } else if similarity >= SIMILAR {
        name::SIMILAR
    } else if similarity >= WEAK {
        name::WEAK
    } else {
        name::DIFFERENT
    }
}

const CLOSE: u32 = 940;
const SIMILAR: u32 = 880;
const WEAK: u32 = 750;

/// Whether one given name is a nickname, a pet form or an abbreviation of the other.
fn are_forms(lexicon: &Lexicon, x: Term, y: Term) -> bool {
    let (a, b) = (lexicon.sketch(x), lexicon.sketch(y));
    // Pet forms share three letters, abbreviations the first.
    let begin_alike = a.common_prefix(b) > 0;
    let both_known = a.is_known() && b.is_known();
    if !begin_alike && !both_known {
        return false;
    }
    let (a, b) = (lexicon.word(x), lexicon.word(y));
    a.is_nickname_of(b)
        || (begin_alike && (is_diminutive(a.bytes(), b.bytes()) || is_abbreviation(a.bytes(), b.bytes())))
}

fn shares_a_word(lexicon: &Lexicon, x: Term, y: Term) -> bool {
    if !lexicon.sketch(x).is_several() && !lexicon.sketch(y).is_several() {
        return false;
    }
    let (xs, ys) = (lexicon.parts(x), lexicon.parts(y));
    xs.contains(&y) || ys.contains(&x) || xs.iter().any(|part| ys.contains(part))
}

fn middle_level(lexicon: &Lexicon, x: Term, y: Term) -> Level {
    match level(lexicon, x, y, true) {
        MISSING => MISSING,
        name::EXACT => middle::EXACT,
        name::INITIAL => middle::INITIAL,
        name::RELATED | name::CLOSE | name::SIMILAR => middle::SIMILAR,
        _ => middle::DIFFERENT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(a: &str, b: &str) -> Level {
        let mut lexicon = Lexicon::default();
        let (x, y) = (lexicon.intern(a), lexicon.intern(b));
        level(&lexicon, x, y, true)
    }

    #[test]
    fn levels_of_given_names() {
        assert_eq!(given("robert", "robert"), name::EXACT);
        assert_eq!(given("robert", "bob"), name::RELATED);
        assert_eq!(given("thomas", "thoas"), name::CLOSE);
        assert_eq!(given("mohamed", "muhammed"), name::SIMILAR);
        assert_eq!(given("mark", "marsha"), name::DIFFERENT);
        assert_eq!(given("robert", "r"), name::INITIAL);
        assert_eq!(given("j", "j"), name::INITIAL);
        assert_eq!(given("mark", "julia"), name::DIFFERENT);
        assert_eq!(given("王杰", "wang"), MISSING);
    }

    #[test]
    fn surnames_of_several_words() {
        let mut lexicon = Lexicon::default();
        let (x, y) = (lexicon.intern("sanchez mendoza"), lexicon.intern("sanchez"));
        assert_eq!(level(&lexicon, x, y, false), name::RELATED);
    }
}
