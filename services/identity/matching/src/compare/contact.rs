//! E-mail addresses, phone numbers, identifiers, organisations and other fields: the best of all combinations.

use super::{Context, Found};
use crate::{
    corpus::{Corpus, EmailRow, ExtraRow, IdentifierRow},
    frequency::Field,
    level::{Comparison, Level, MISSING, email, identifier, phone, text},
    lexicon::{Lexicon, Term, Word},
    similarity::{jaro_winkler, may_reach, within_one_edit},
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
    let (a, b) = (lexicon.word(x.whole), lexicon.word(y.whole));
    let (local_a, local_b) = (lexicon.word(x.local), lexicon.word(y.local));
    let surprises = &context.corpus.surprises;
    // Numbers in an address tell people of one name apart: a slip is one of letters.
    let numbers = |word: &Word| {
        word.bytes()
            .iter()
            .filter(|b| b.is_ascii_digit())
            .fold(0u64, |n, b| n.wrapping_mul(11).wrapping_add(u64::from(*b)))
    };
    let slip = within_one_edit(a.bytes(), b.bytes());
    let dropped = slip && a.bytes().len() != b.bytes().len();
    if dropped || (numbers(a) == numbers(b) && (slip || reaches(a, b, 950))) {
        let adjustment =
            context.nearly(Field::Email, surprises.of(Field::Email, x.whole), surprises.of(Field::Email, y.whole));
        return Found { level: email::CLOSE, adjustment: adjustment.min(Weight::ZERO) };
    }
    Found::plain(if x.local == y.local {
        email::SAME_LOCAL_PART
    } else if reaches(local_a, local_b, 920) {
        email::SIMILAR
    } else {
        email::DIFFERENT
    })
}

pub(super) fn phones(context: Context<'_>, xs: &[Term], ys: &[Term]) -> Found {
    /// A number without area or country code is at least this long.
    const SUBSCRIBER: usize = 7;
    let lexicon = &context.corpus.lexicons.phones;
    let surprises = &context.corpus.surprises;
    let mut best = Found::MISSING;
    for x in xs {
        for y in ys {
            let (a, b) = (lexicon.word(*x), lexicon.word(*y));
            let level = if x == y {
                phone::EXACT
            } else if a.bytes().len().min(b.bytes().len()) >= SUBSCRIBER
                && (a.bytes().ends_with(b.bytes()) || b.bytes().ends_with(a.bytes()))
            {
                phone::SUFFIX
            } else if a.bytes().len() >= SUBSCRIBER && within_one_edit(a.bytes(), b.bytes()) {
                phone::CLOSE
            } else {
                phone::DIFFERENT
            };
            let (sx, sy) = (surprises.of(Field::Phone, *x), surprises.of(Field::Phone, *y));
            let adjustment = match level {
                phone::EXACT => context.exactly(Field::Phone, sx),
                phone::SUFFIX | phone::CLOSE => {
                    context.exactly(Field::Phone, sx).min(context.exactly(Field::Phone, sy)).min(Weight::ZERO)
                }
                _ => Weight::ZERO,
            };
            best = best.better(Found { level, adjustment }, context.weights, Comparison::Phone);
        }
    }
    best
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
            let (a, b) = (lexicon.word(x.value), lexicon.word(y.value));
            let level = if x.value == y.value {
                identifier::EXACT
            } else if a.bytes().len() >= 5 && within_one_edit(a.bytes(), b.bytes()) {
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
    let (a, b) = (lexicon.word(x), lexicon.word(y));
    if x == y {
        let surprise = context.corpus.surprises.of(field, x);
        return Found { level: text::EXACT, adjustment: context.exactly(field, surprise) };
    }
    if a.script != b.script {
        return Found::MISSING;
    }
    Found::plain(match text_level(lexicon, a, b) {
        level if field == Field::Extra && digits(a) && digits(b) => level.max(text::SIMILAR),
        level => level,
    })
}

fn digits(word: &Word) -> bool {
    word.bytes().iter().all(u8::is_ascii_digit)
}

fn text_level(lexicon: &Lexicon, a: &Word, b: &Word) -> Level {
    let (xs, ys) = (lexicon.parts(a), lexicon.parts(b));
    let shared = xs.iter().filter(|part| ys.contains(part)).count();
    let (fewer, more) = (xs.len().min(ys.len()), xs.len().max(ys.len()));
    if reaches(a, b, 930) || (fewer > 1 && shared == more) {
        text::CLOSE
    } else if reaches(a, b, 850) || (fewer > 1 && shared * 2 >= more) || (a.sound == b.sound && a.sound != 0) {
        text::SIMILAR
    } else {
        text::DIFFERENT
    }
}

fn reaches(a: &Word, b: &Word, least: u32) -> bool {
    may_reach((a.bytes(), a.letters), (b.bytes(), b.letters), least) && jaro_winkler(a.bytes(), b.bytes()) >= least
}
