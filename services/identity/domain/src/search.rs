//! What a steward types to find somebody: the beginnings of names and of identifiers.
//!
//! Customers are found by **tokens**: each word of a golden name, and each identifier's value. Both are folded, so that
//! case, width, diacritics and punctuation make no difference (`Müller` and `muller` are one token). A store keeps for
//! each token a key that is found by the token's beginning, and asks [`Search::matches`] of what it found: keys may be
//! left over from names that hold no more.

use std::{collections::BTreeSet, ops::Bound};

use icu_normalizer::{
    DecomposingNormalizerBorrowed, properties::CanonicalCombiningClassMapBorrowed, uts46::Uts46MapperBorrowed,
};
use rlibphonenumber::PhoneNumber;
use serde_json::Value;
use terms::{Fault, Identifier, Reason};

use crate::{customer::Customer, golden::Golden};

/// The fewest characters of a token by which its beginning is found; a shorter term finds whole tokens only.
pub const MIN_CHARS: usize = 3;
/// The longest query, in bytes.
pub const MAX_QUERY: usize = 256;
/// How many words a query may have.
pub const MAX_WORDS: usize = 8;

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search {
    /// A token that begins with this; one of fewer than [`MIN_CHARS`] characters is a whole token.
    Term(String),
    /// All of these.
    All(Vec<Search>),
    /// Any of these.
    Any(Vec<Search>),
}

impl Search {
    /// Reads a query; `None` if it is blank. Words that white space separates must all be there, each as the beginning
    /// of a word of a name or of an identifier; or the whole, without its spaces, begins an identifier.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] for `query`.
    pub fn parse(text: &str) -> Result<Option<Self>, Fault> {
        let wrong = |why: &str| Err(Fault::invalid("query", Reason::InvalidFields, why));
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > MAX_QUERY {
            return wrong("is too long; give at most 256 bytes");
        }
        if text.chars().any(char::is_control) {
            return wrong("holds a control character; remove it");
        }
        let chunks: Vec<&str> = text.split_whitespace().collect();
        if chunks.len() > MAX_WORDS {
            return wrong("has too many words; give at most 8");
        }
        let mut all = Vec::new();
        for chunk in &chunks {
            all.extend(part(chunk));
        }
        let mut any = vec![join(all, Self::All)];
        if chunks.len() > 1 && text.chars().any(|c| c.is_ascii_digit()) {
            any.push(join(values(&chunks.concat()), Self::Any));
        }
        match join(any.into_iter().flatten().collect(), Self::Any) {
            Some(search) => Ok(Some(search)),
            None => wrong("holds neither a letter nor a digit; give the beginning of a name or an identifier"),
        }
    }

    /// Whether a customer is what is looked for.
    pub fn matches(&self, customer: &Customer) -> bool {
        let names = customer.traits.iter().map(|t| (t.name.as_str(), &t.value));
        let mut tokens = name_tokens(names);
        tokens.extend(customer.identifiers.iter().flat_map(|known| identifier_tokens(&known.identifier)));
        self.among(&tokens)
    }

    fn among(&self, tokens: &BTreeSet<String>) -> bool {
        match self {
            Self::Term(term) if term.chars().nth(MIN_CHARS - 1).is_none() => tokens.contains(term),
            Self::Term(term) => {
                let from = (Bound::Included(term.as_str()), Bound::Unbounded);
                tokens.range::<str, _>(from).next().is_some_and(|token| token.starts_with(term.as_str()))
            }
            Self::All(parts) => parts.iter().all(|part| part.among(tokens)),
            Self::Any(parts) => parts.iter().any(|part| part.among(tokens)),
        }
    }
}

/// A word of a query: the beginning of an identifier, or words of a name that punctuation separates.
fn part(chunk: &str) -> Option<Search> {
    let mut any = values(chunk);
    let words = words(chunk).into_iter().map(Search::Term).collect();
    if let Some(words) = join(words, Search::All)
        && !any.contains(&words)
    {
        any.push(words);
    }
    join(any, Search::Any)
}

/// The ways in which a text may begin an identifier's token. Leading zeros are how a number is dialled.
fn values(text: &str) -> Vec<Search> {
    let value = value(text);
    let dialled = value.trim_start_matches('0');
    let number = dialled.len() < value.len() && dialled.bytes().all(|b| b.is_ascii_digit());
    let mut values = Vec::new();
    if number && dialled.len() >= MIN_CHARS {
        values.push(Search::Term(dialled.to_owned()));
    }
    if !value.is_empty() {
        values.push(Search::Term(value));
    }
    values
}

/// One stands for itself.
fn join(mut parts: Vec<Search>, how: fn(Vec<Search>) -> Search) -> Option<Search> {
    if parts.len() > 1 { Some(how(parts)) } else { parts.pop() }
}

/// Whether a trait is a name: its last part ends with `name` (`name`, `lastName`, `company.display_name`), or is
/// `company`, `organization` or `organisation`.
pub fn is_name(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    last.ends_with("name") || matches!(last.as_str(), "company" | "organization" | "organisation")
}

/// The tokens of golden names.
pub fn golden_tokens(golden: &Golden) -> BTreeSet<String> {
    name_tokens(golden.traits.iter().map(|(name, winner)| (name.as_str(), &winner.value)))
}

fn name_tokens<'a>(traits: impl Iterator<Item = (&'a str, &'a Value)>) -> BTreeSet<String> {
    let names = traits.filter(|(name, _)| is_name(name)).filter_map(|(_, value)| value.as_str());
    names.flat_map(words).collect()
}

/// The tokens of an identifier: its value; that of a phone number also as it is dialled in its own country.
pub fn identifier_tokens(identifier: &Identifier) -> BTreeSet<String> {
    let whole = value(&identifier.value);
    let mut tokens = BTreeSet::new();
    if let Some(international) = identifier.value.strip_prefix('+')
        && let Some(digits) = international.split(';').next()
        && let Ok(number) = PhoneNumber::parse(&identifier.value, None)
        && let Some(national) = digits.strip_prefix(number.country_code.to_string().as_str())
    {
        tokens.insert(national.to_owned());
    }
    if !whole.is_empty() {
        tokens.insert(whole);
    }
    tokens
}

/// The words of a name. An apostrophe is part of a word, and left out: `O'Brien` is `obrien`.
fn words(text: &str) -> BTreeSet<String> {
    let folded: String = fold(text).chars().filter(|c| !matches!(c, '\'' | '’' | 'ʼ' | '`')).collect();
    folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// An identifier's value without what people leave out or put in: spaces, dots, dashes, brackets, plus signs.
fn value(text: &str) -> String {
    fold(text).chars().filter(|c| c.is_alphanumeric() || *c == '@').collect()
}

/// NFKC and case folding (UTS 46 "Map"), then without diacritics (NFD, combining marks dropped) and without ligatures
/// and strokes that have no decomposition.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    let mapped: String = Uts46MapperBorrowed::new().map_normalize(text.chars()).collect();
    let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(&mapped);
    let classes = CanonicalCombiningClassMapBorrowed::new();
    let mut folded = String::with_capacity(decomposed.len());
    for c in decomposed.chars().filter(|c| classes.get_u8(*c) == 0) {
        match c {
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            'œ' => folded.push_str("oe"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' | 'ð' => folded.push('d'),
            'þ' => folded.push_str("th"),
            'ı' => folded.push('i'),
            _ => folded.push(c),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(name: &str, identifiers: &[(&str, &str)]) -> BTreeSet<String> {
        let name = Value::from(name);
        let mut tokens = name_tokens([("full_name", &name)].into_iter());
        for (namespace, value) in identifiers {
            let identifier = Identifier { namespace: (*namespace).to_owned(), value: (*value).to_owned() };
            tokens.extend(identifier_tokens(&identifier));
        }
        tokens
    }

    fn finds(query: &str, tokens: &BTreeSet<String>) -> bool {
        Search::parse(query).unwrap().is_some_and(|search| search.among(tokens))
    }

    #[test]
    fn names_are_found_by_their_beginnings() {
        let jane = tokens("Jane Anne-Marie O'Brien-Müller", &[]);
        for query in [
            "jane",
            "JAN",
            "anne",
            "marie",
            "anne-marie",
            "o'brien",
            "obrien",
            "OBRI",
            "müll",
            "mull",
            "MÜLLER",
            "ｊａｎｅ",
            "jane muller",
            "mul jan",
            "mu\u{308}ller",
        ] {
            assert!(finds(query, &jane), "{query}");
        }
        for query in ["ane", "janet", "ja", "jane smith", "brien", "jane anne marie x"] {
            assert!(!finds(query, &jane), "{query}");
        }
        assert!(finds("li", &tokens("Li Wei", &[])) && !finds("li", &tokens("Lisa", &[])));
        assert!(finds("王小", &tokens("王小", &[])) && finds("straße", &tokens("Strasse", &[])));
        assert!(finds("soren", &tokens("Søren", &[])) && finds("łód", &tokens("Lodz", &[])));
    }

    #[test]
    fn identifiers_are_found_by_their_beginnings() {
        let known = tokens(
            "",
            &[("email", "jane.doe@example.org"), ("phone", "+4930901820"), ("card", "DE-123 456"), ("crm", "A7")],
        );
        for query in [
            "jane.doe@exa",
            "jane.",
            "janedoe",
            "+49 30 9018",
            "0049 30",
            "030 90 18 20",
            "(030) 901",
            "493090",
            "de-123",
            "DE 123",
            "de123456",
            "a7",
        ] {
            assert!(finds(query, &known), "{query}");
        }
        for query in ["doe@example", "example", "901820", "+49 31", "A", "123456"] {
            assert!(!finds(query, &known), "{query}");
        }
    }

    #[test]
    fn queries_that_are_none() {
        assert_eq!(Search::parse("  ").unwrap(), None);
        for wrong in ["?", "' -", &"x".repeat(257), "a b c d e f g h i"] {
            assert!(Search::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn which_traits_are_names() {
        for name in ["name", "firstName", "last_name", "company", "contact.surname", "display_name"] {
            assert!(is_name(name), "{name}");
        }
        for other in ["city", "name.title", "named", "country"] {
            assert!(!is_name(other), "{other}");
        }
    }

    proptest! {
        /// Whatever is stored is found by each beginning that is long enough.
        #[test]
        fn every_beginning_finds(name in "\\PC{0,30}", from in 0usize..4) {
            for token in tokens(&name, &[("crm", &name)]) {
                let ends: Vec<usize> = token.char_indices().map(|(i, c)| i + c.len_utf8()).collect();
                for end in ends.iter().skip(MIN_CHARS - 1 + from) {
                    prop_assert!(finds(&token[..*end], &tokens(&name, &[("crm", &name)])), "{}", &token[..*end]);
                }
            }
        }
    }
}
