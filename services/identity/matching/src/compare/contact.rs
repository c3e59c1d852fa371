//! E-mail addresses, phone numbers, identifiers, organisations and other fields: the best of all combinations.

use super::{Context, Found};
use crate::{
    corpus::{Corpus, EmailRow, ExtraRow, IdentifierRow},
    frequency::Field,
    level::{Comparison, Level, MISSING, email, identifier, phone, text},
    lexicon::{Lexicon, Term},
    weight::Weight,
};

pub(super) fn emails(context: Context<'_>, xs: &[EmailRow], ys: &[EmailRow]) -> Found {
    let lexicon = &context.corpus.lexicons.emails;
    let mut best = Found::MISSING;
    for x in xs {
        for y in ys {
            let found = if x.whole == y.whole {
                let surprise = context.corpus.surprises.of(Field::Email, x.whole);
                Found { level: email::EXACT, adjustment: context.exactly(Field::Email, surprise) }
            } else {
                email(context, lexicon, x, y)
            };
            best = best.better(found, context.weights, Comparison::Email);
        }
    }
    best
}

fn email(context: Context<'_>, lexicon: &Lexicon, x: &EmailRow, y: &EmailRow) -> Found {
    let slip = lexicon.within_one_edit(x.whole, y.whole);
    let dropped = slip && lexicon.sketch(x.whole).length() != lexicon.sketch(y.whole).length();
    // Numbers in an address tell people of one name apart: a slip is one of letters.
    let numbers = |term: Term| {
        let digits = lexicon.word(term).bytes().iter().filter(|b| b.is_ascii_digit());
        digits.fold(0u64, |n, b| n.wrapping_mul(11).wrapping_add(u64::from(*b)))
    };
    let near = slip || lexicon.reaches(x.whole, y.whole, 950);
    if dropped || (near && numbers(x.whole) == numbers(y.whole)) {
        let surprises = &context.corpus.surprises;
        let adjustment =
            context.nearly(Field::Email, surprises.of(Field::Email, x.whole), surprises.of(Field::Email, y.whole));
        return Found { level: email::CLOSE, adjustment: adjustment.min(Weight::ZERO) };
    }
    Found::plain(if x.local == y.local {
        email::SAME_LOCAL_PART
    } else if lexicon.reaches(x.local, y.local, 920) {
        email::SIMILAR
    } else {
        email::DIFFERENT
    })
}

pub(super) fn phones(context: Context<'_>, xs: &[Term], ys: &[Term]) -> Found {
    let lexicon = &context.corpus.lexicons.phones;
    let carried = |term: Term| context.exactly(Field::Phone, context.corpus.surprises.of(Field::Phone, term));
    let mut best = Found::MISSING;
    for x in xs {
        for y in ys {
            let level = phone_level(lexicon, *x, *y);
            let adjustment = match level {
                phone::EXACT => carried(*x),
                phone::SUFFIX | phone::CLOSE => carried(*x).min(carried(*y)).min(Weight::ZERO),
                _ => Weight::ZERO,
            };
            best = best.better(Found { level, adjustment }, context.weights, Comparison::Phone);
        }
    }
    best
}

fn phone_level(lexicon: &Lexicon, x: Term, y: Term) -> Level {
    /// A number without area or country code is at least this long.
    const SUBSCRIBER: u32 = 7;
    if x == y {
        return phone::EXACT;
    }
    let (a, b) = (lexicon.sketch(x), lexicon.sketch(y));
    let ends = |x: Term, y: Term| lexicon.word(y).bytes().ends_with(lexicon.word(x).bytes());
    if a.length().min(b.length()) >= SUBSCRIBER && a.may_end(b) && (ends(x, y) || ends(y, x)) {
        phone::SUFFIX
    } else if a.length() >= SUBSCRIBER && lexicon.within_one_edit(x, y) {
        phone::CLOSE
    } else {
        phone::DIFFERENT
    }
}

pub(super) fn identifiers(context: Context<'_>, xs: &[IdentifierRow], ys: &[IdentifierRow]) -> Found {
    let level = identifier_level(context.corpus, xs, ys);
    let mut adjustment = Weight::ZERO;
    if level == identifier::EXACT {
        let shared = |x: &&IdentifierRow| ys.iter().any(|y| x.namespace == y.namespace && x.value == y.value);
        let surprises = &context.corpus.surprises;
        adjustment = xs
            .iter()
            .filter(shared)
            .map(|x| context.exactly(Field::Identifier, surprises.of(Field::Identifier, x.value)))
            .max()
            .unwrap_or_default();
    }
    Found { level, adjustment }
}

/// One identifier that agrees outweighs others that differ: people have two passports.
pub(super) fn identifier_level(corpus: &Corpus, xs: &[IdentifierRow], ys: &[IdentifierRow]) -> Level {
    let lexicon = &corpus.lexicons.codes;
    let mut best = MISSING;
    for x in xs {
        for y in ys.iter().filter(|y| y.namespace == x.namespace) {
            let level = if x.value == y.value {
                identifier::EXACT
            } else if lexicon.sketch(x.value).length() >= 5 && lexicon.within_one_edit(x.value, y.value) {
                identifier::CLOSE
            } else {
                identifier::DIFFERENT
            };
            if best == MISSING || level < best {
                best = level;
            }
        }
    }
    best
}

pub(super) fn organisations(context: Context<'_>, xs: &[Term], ys: &[Term]) -> Found {
    let mut best = Found::MISSING;
    for x in xs {
        for y in ys {
            let found = text(context, Field::Organisation, *x, *y);
            best = best.better(found, context.weights, Comparison::Organisation);
        }
    }
    best
}

/// Each field that both have, by its best combination.
pub(super) fn extras(context: Context<'_>, xs: &[ExtraRow], ys: &[ExtraRow], mut note: impl FnMut(Found)) {
    for (at, x) in xs.iter().enumerate() {
        if xs[..at].iter().any(|before| before.field == x.field) {
            continue;
        }
        let mut best = Found::MISSING;
        for x in xs[at..].iter().filter(|other| other.field == x.field) {
            for y in ys.iter().filter(|y| y.field == x.field) {
                let found = text(context, Field::Extra, x.value, y.value);
                best = best.better(found, context.weights, Comparison::Extra);
            }
        }
        if best.level != MISSING {
            note(best);
        }
    }
}

fn text(context: Context<'_>, field: Field, x: Term, y: Term) -> Found {
    let lexicon = &context.corpus.lexicons.texts;
    if x == y {
        let surprise = context.corpus.surprises.of(field, x);
        return Found { level: text::EXACT, adjustment: context.exactly(field, surprise) };
    }
    let (a, b) = (lexicon.sketch(x), lexicon.sketch(y));
    if a.script() != b.script() {
        return Found::MISSING;
    }
    Found::plain(match text_level(lexicon, x, y) {
        level if field == Field::Extra && a.is_digits() && b.is_digits() => level.max(text::SIMILAR),
        level => level,
    })
}

fn text_level(lexicon: &Lexicon, x: Term, y: Term) -> Level {
    let (xs, ys) = (lexicon.parts(x), lexicon.parts(y));
    let shared = xs.iter().filter(|part| ys.contains(part)).count();
    let (fewer, more) = (xs.len().min(ys.len()), xs.len().max(ys.len()));
    let alike = lexicon.sound(x) == lexicon.sound(y) && lexicon.sound(x) != 0;
    if lexicon.reaches(x, y, 930) || (fewer > 1 && shared == more) {
        text::CLOSE
    } else if lexicon.reaches(x, y, 850) || (fewer > 1 && shared * 2 >= more) || alike {
        text::SIMILAR
    } else {
        text::DIFFERENT
    }
}
