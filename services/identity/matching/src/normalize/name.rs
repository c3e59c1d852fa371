//! Personal names: parts, titles, generational suffixes, particles.

use std::cell::Cell;

use super::text::words;
use crate::record::PersonName;

/// A name in folded parts. Empty where unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameParts {
    /// The first given name.
    pub given: String,
    /// The second given name, or its initial.
    pub middle: String,
    /// All words of the family name, with one space between them.
    pub surname: String,
    pub generation: Generation,
}

/// Which bearer of the same name this is: 0 unknown, 1 senior, 2 junior, 3 the third, and so on.
pub type Generation = u8;

const TITLES: [&str; 17] = [
    "mr",
    "mrs",
    "ms",
    "miss",
    "mx",
    "dr",
    "prof",
    "professor",
    "sir",
    "dame",
    "lord",
    "lady",
    "rev",
    "herr",
    "frau",
    "mme",
    "esq",
];

/// Words that open a family name of several words.
const PARTICLES: [&str; 24] = [
    "van", "von", "der", "den", "de", "del", "della", "di", "da", "do", "dos", "du", "la", "le", "el", "al", "bin",
    "ibn", "ben", "abu", "ter", "ten", "zu", "st",
];

/// Normalises a name. Words that are titles vanish; a generational suffix is found wherever it ends a part.
pub fn normalize(name: &PersonName) -> NameParts {
    let generation = Cell::new(words(&name.suffix).iter().find_map(|word| generation_of(word)).unwrap_or(0));
    let bears = |found: Generation| generation.set(generation.get().max(found));
    let part = |text: &str| {
        let mut list = words(text);
        // A title alone is a name after all: somebody is called Lord.
        if list.iter().any(|word| !TITLES.contains(&word.as_str())) {
            list.retain(|word| !TITLES.contains(&word.as_str()));
        }
        while list.len() > 1
            && let Some(found) = list.last().and_then(|word| generation_of(word))
        {
            bears(found);
            list.pop();
        }
        list
    };
    let (mut given, mut middle, mut family) = (part(&name.given), part(&name.middle), part(&name.family));
    if given.is_empty() && family.is_empty() {
        (given, middle, family) = match name.full.split_once(',') {
            None => split_full(part(&name.full)),
            // `John Smith, Jr.`
            Some((last, first)) => match part(first).as_slice() {
                // `John Smith, Jr.`
                [only] if generation_of(only).is_some() => {
                    generation_of(only).into_iter().for_each(bears);
                    split_full(part(last))
                }
                first => (first.to_vec(), Vec::new(), part(last)),
            },
        };
    }
    if given.len() > 1 {
        // Given names after the first are middle names wherever they were written.
        let rest = given.split_off(1);
        middle.splice(0..0, rest);
    }
    NameParts {
        given: given.into_iter().next().unwrap_or_default(),
        middle: middle.into_iter().next().unwrap_or_default(),
        surname: family.join(" "),
        generation: generation.get(),
    }
}

/// First, middle, last: the last name begins at the first particle, else it is the last word.
fn split_full(mut words: Vec<String>) -> (Vec<String>, Vec<String>, Vec<String>) {
    if words.len() < 2 {
        return (Vec::new(), Vec::new(), words);
    }
    let last = words.len() - 1;
    let from = (1..last).find(|at| PARTICLES.contains(&words[*at].as_str())).unwrap_or(last);
    let family = words.split_off(from);
    let middle = words.split_off(1);
    (words, middle, family)
}

fn generation_of(word: &str) -> Option<Generation> {
    Some(match word {
        "sr" | "snr" | "senior" | "i" | "1st" => 1,
        "jr" | "jnr" | "junior" | "ii" | "2nd" => 2,
        "iii" | "3rd" => 3,
        "iv" | "4th" => 4,
        "v" | "5th" => 5,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> (String, String, String, Generation) {
        let parts = normalize(&PersonName { full: text.into(), ..PersonName::default() });
        (parts.given, parts.middle, parts.surname, parts.generation)
    }

    fn expect(
        given: &str,
        middle: &str,
        surname: &str,
        generation: Generation,
    ) -> (String, String, String, Generation) {
        (given.into(), middle.into(), surname.into(), generation)
    }

    #[test]
    fn full_names_are_parsed() {
        assert_eq!(full("Rosemary A Thomas"), expect("rosemary", "a", "thomas", 0));
        assert_eq!(full("Salenger, Kristin"), expect("kristin", "", "salenger", 0));
        assert_eq!(full("Dr. Ludwig van Beethoven"), expect("ludwig", "", "van beethoven", 0));
        assert_eq!(full("John Smith, Jr."), expect("john", "", "smith", 2));
        assert_eq!(full("Cher"), expect("", "", "cher", 0));
        assert_eq!(full(""), expect("", "", "", 0));
    }

    #[test]
    fn suffixes_are_found_in_any_part() {
        let parts =
            normalize(&PersonName { given: "Morris II".into(), family: "Klein".into(), ..PersonName::default() });
        assert_eq!((parts.given.as_str(), parts.generation), ("morris", 2));
        let parts =
            normalize(&PersonName { given: "David".into(), family: "Dobbins Senior".into(), ..Default::default() });
        assert_eq!((parts.surname.as_str(), parts.generation), ("dobbins", 1));
    }

    #[test]
    fn second_given_names_are_middle_names() {
        let one = normalize(&PersonName { given: "Anna Maria".into(), family: "Aguilar".into(), ..Default::default() });
        let two = normalize(&PersonName {
            given: "Anna".into(),
            middle: "Maria".into(),
            family: "Aguilar".into(),
            ..Default::default()
        });
        assert_eq!(one, two);
    }
}
