//! Guards: what forbids that two records are one person, whatever their score.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    cluster::Edge,
    compare::{Context, Found, Sink, birth_date_level, compare, name_level, shares_identifier},
    corpus::{Corpus, NameRow, RecordIndex},
    level::{Comparison, birth, name},
    lexicon::{Lexicon, NONE, Term},
    normalize::date::PartialDate,
    record::RecordKey,
    score::Scorer,
    weight::Weight,
};

/// Why two records must not be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Veto {
    /// Somebody said so: a split, a steward's decision.
    CannotLink,
    /// Two different values of an identifier that nobody has two of, both verified.
    Identifier,
    /// Birth dates further apart than typing errors explain.
    BirthDate,
    /// Senior and junior.
    Generation,
    /// Two given names that are not forms of one: twins, siblings, spouses.
    GivenName,
    /// Nothing but names agrees.
    NamesAlone,
}

impl Veto {
    pub const ALL: [Veto; 6] =
        [Veto::CannotLink, Veto::Identifier, Veto::BirthDate, Veto::Generation, Veto::GivenName, Veto::NamesAlone];

    /// A sentence for a steward.
    pub fn reason(self) -> &'static str {
        match self {
            Veto::CannotLink => "they were declared to be two",
            Veto::Identifier => "their verified identifiers of one kind differ",
            Veto::BirthDate => "their birth dates are further apart than typing errors explain",
            Veto::Generation => "one is senior, the other junior (or another bearer of the name)",
            Veto::GivenName => "their given names are not forms of one name",
            Veto::NamesAlone => "nothing but their names agrees",
        }
    }
}

/// A set of vetoes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vetoes(u8);

impl Vetoes {
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
    pub fn contains(self, veto: Veto) -> bool {
        self.0 & (1 << veto as u8) != 0
    }
    pub fn iter(self) -> impl Iterator<Item = Veto> {
        Veto::ALL.into_iter().filter(move |veto| self.contains(*veto))
    }
    /// Whether this veto and no other is in the set.
    pub fn is_only(self, veto: Veto) -> bool {
        self.0 == 1 << veto as u8
    }
    pub fn union(self, other: Vetoes) -> Vetoes {
        Vetoes(self.0 | other.0)
    }
    fn set(&mut self, veto: Veto, holds: bool) {
        self.0 |= u8::from(holds) << veto as u8;
    }
}

impl fmt::Display for Vetoes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<&str> = self.iter().map(Veto::reason).collect();
        f.write_str(&reasons.join("; "))
    }
}

/// Pairs of records that were declared to be two people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CannotLinks(BTreeSet<(RecordKey, RecordKey)>);

impl CannotLinks {
    pub fn insert(&mut self, a: RecordKey, b: RecordKey) -> bool {
        self.0.insert((a.min(b), a.max(b)))
    }
    pub fn remove(&mut self, a: RecordKey, b: RecordKey) -> bool {
        self.0.remove(&(a.min(b), a.max(b)))
    }
    pub fn contains(&self, a: RecordKey, b: RecordKey) -> bool {
        !self.0.is_empty() && self.0.contains(&(a.min(b), a.max(b)))
    }
    pub fn iter(&self) -> impl Iterator<Item = (RecordKey, RecordKey)> {
        self.0.iter().copied()
    }
}

/// What forbids to join two records.
pub fn vetoes(corpus: &Corpus, cannot_links: &CannotLinks, a: RecordIndex, b: RecordIndex) -> Vetoes {
    let (x, y) = (corpus.person(a), corpus.person(b));
    let mut vetoes = Vetoes::default();
    vetoes.set(Veto::CannotLink, cannot_links.contains(corpus.key(a), corpus.key(b)));
    vetoes.set(Veto::Identifier, identifiers_conflict(corpus, a, b));
    let verified = x.birth_date_verified && y.birth_date_verified;
    vetoes.set(Veto::BirthDate, verified && birth_dates_conflict(x.birth_date, y.birth_date));
    vetoes.set(Veto::Generation, generations_conflict(x.names.of(&corpus.names), y.names.of(&corpus.names)));
    vetoes
}

/// What makes a high score of two records doubtful: a conflict that a typing error does not explain, or agreement on
/// names alone. Doubts give way to a score that is certain in spite of them; see [`CERTAIN`].
pub fn doubts(scorer: Scorer<'_>, a: RecordIndex, b: RecordIndex) -> Vetoes {
    let corpus = scorer.corpus();
    let (x, y) = (corpus.person(a), corpus.person(b));
    let (xs, ys) = (x.names.of(&corpus.names), y.names.of(&corpus.names));
    let mut doubts = Vetoes::default();
    doubts.set(Veto::BirthDate, birth_dates_conflict(x.birth_date, y.birth_date));
    let given = given_names_conflict(&corpus.lexicons.names, xs, ys) && !shares_identifier(corpus, a, b);
    doubts.set(Veto::GivenName, given);
    let mut support = Support { context: scorer.context(), found: false };
    compare(scorer.context(), a, b, &mut support);
    doubts.set(Veto::NamesAlone, !support.found);
    doubts
}

/// By how much a score must exceed the merge threshold to hold in spite of a doubt.
pub const CERTAIN: Weight = Weight(4_000);
/// The same for birth dates alone: they are mistyped, and mistaken for another's, more often than given names.
const MISTYPED: Weight = Weight(1_000);

/// Whether the pair may be joined without asking, as far as guards are concerned.
pub fn permits(scorer: Scorer<'_>, cannot_links: &CannotLinks, merge: Weight, edge: Edge) -> bool {
    let Edge { a, b, score } = edge;
    if score < merge || !vetoes(scorer.corpus(), cannot_links, a, b).is_empty() {
        return false;
    }
    let doubts = doubts(scorer, a, b);
    let margin = if doubts.is_only(Veto::BirthDate) { MISTYPED } else { CERTAIN };
    doubts.is_empty() || (score >= merge + margin && !doubts.contains(Veto::NamesAlone))
}

/// Whether two records speak against being in one cluster, by a veto or by a conflict that their score does not outweigh.
pub fn conflict(scorer: Scorer<'_>, cannot_links: &CannotLinks, merge: Weight, edge: Edge) -> Option<Vetoes> {
    let Edge { a, b, score } = edge;
    let corpus = scorer.corpus();
    let mut found = vetoes(corpus, cannot_links, a, b);
    if score < merge + CERTAIN {
        let (x, y) = (corpus.person(a), corpus.person(b));
        let (xs, ys) = (x.names.of(&corpus.names), y.names.of(&corpus.names));
        let given = given_names_conflict(&corpus.lexicons.names, xs, ys) && !shares_identifier(corpus, a, b);
        found.set(Veto::GivenName, given);
        found.set(Veto::BirthDate, birth_dates_conflict(x.birth_date, y.birth_date));
    }
    (!found.is_empty()).then_some(found)
}

/// Whether a record lacks what would tell between two others that conflict: a John Smith without a birth date may be
/// the father or the son.
pub fn lacks(corpus: &Corpus, index: RecordIndex, conflict: Vetoes) -> bool {
    let person = corpus.person(index);
    let names = person.names.of(&corpus.names);
    let full = |term: Term| term != NONE && !corpus.lexicons.names.sketch(term).is_initial();
    conflict.iter().all(|veto| match veto {
        Veto::BirthDate => person.birth_date.is_missing(),
        Veto::GivenName => !names.iter().any(|name| full(name.given)),
        Veto::Generation => names.iter().all(|name| name.generation == 0),
        Veto::CannotLink | Veto::Identifier | Veto::NamesAlone => true,
    })
}

/// Looks for evidence that is not a name.
struct Support<'a> {
    context: Context<'a>,
    found: bool,
}

/// Agreement of fewer bits supports nothing: half of all people share a gender, and hundreds one office's address.
const SUPPORT: Weight = Weight(2_500);

impl Sink for Support<'_> {
    fn note(&mut self, comparison: Comparison, found: Found) {
        let name = matches!(
            comparison,
            Comparison::GivenName
                | Comparison::Surname
                | Comparison::NameOrder
                | Comparison::MiddleName
                | Comparison::Generation
        );
        self.found |= !name && found.weight(self.context.weights, comparison) >= SUPPORT;
    }
}

fn identifiers_conflict(corpus: &Corpus, a: RecordIndex, b: RecordIndex) -> bool {
    let (x, y) = (corpus.person(a), corpus.person(b));
    let (xs, ys) = (x.identifiers.of(&corpus.identifiers), y.identifiers.of(&corpus.identifiers));
    xs.iter().filter(|x| x.verified_unique).any(|x| {
        let mut same_kind = ys.iter().filter(|y| y.verified_unique && y.namespace == x.namespace).peekable();
        same_kind.peek().is_some() && same_kind.all(|y| y.value != x.value)
    })
}

/// Two typing errors at most are forgiven in any two dates.
const SLIPS: usize = 2;

/// Whether two birth dates are further apart than typing errors explain. A missing one conflicts with none.
pub fn birth_dates_conflict(x: PartialDate, y: PartialDate) -> bool {
    if x.is_missing() || y.is_missing() || birth_date_level(x, y) != birth::DIFFERENT {
        return false;
    }
    if x.is_whole() && y.is_whole() {
        let digits = |date: PartialDate| format!("{:04}{:02}{:02}", date.year(), date.month(), date.day());
        return digits(x).bytes().zip(digits(y).bytes()).filter(|(a, b)| a != b).count() > SLIPS;
    }
    // Of partial dates the years must be clearly apart.
    x.year() != 0 && y.year() != 0 && x.year().abs_diff(y.year()) > 2
}

fn generations_conflict(xs: &[NameRow], ys: &[NameRow]) -> bool {
    let stated = |names: &[NameRow]| names.iter().map(|name| name.generation).find(|g| *g != 0);
    matches!((stated(xs), stated(ys)), (Some(a), Some(b)) if a != b)
}

/// Whether no name of one can be read as a name of the other.
fn given_names_conflict(lexicon: &Lexicon, xs: &[NameRow], ys: &[NameRow]) -> bool {
    let mut compared = false;
    for x in xs {
        for y in ys {
            if x.given == NONE || y.given == NONE {
                return false;
            }
            compared = true;
            let forms = |a: Term, b: Term| a != NONE && b != NONE && !differ(lexicon, a, b);
            // The second given name may be the one that is used; given name and surname may have changed places.
            if forms(x.given, y.given)
                || forms(x.middle, y.given)
                || forms(x.given, y.middle)
                || forms(x.given, y.surname)
                || forms(x.surname, y.given)
            {
                return false;
            }
        }
    }
    compared
}

/// Two names that are somewhat similar differ if both are well known as names of their own.
fn differ(lexicon: &Lexicon, x: Term, y: Term) -> bool {
    // A nickname may begin with another letter: B. is Robert.
    if lexicon.sketch(x).is_initial() || lexicon.sketch(y).is_initial() {
        return false;
    }
    match name_level(lexicon, x, y, true) {
        name::DIFFERENT => true,
        name::WEAK => lexicon.sketch(x).is_known() && lexicon.sketch(y).is_known(),
        _ => false,
    }
}
