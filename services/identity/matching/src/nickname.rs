//! Which given names stand for one another: Bob for Robert, Peggy for Margaret.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

/// Formal names and their nicknames, a formal name a line.
const TABLE: &str = include_str!("../data/nicknames.txt");

/// A formal name, by its place in the table.
pub type Formal = u16;

static FORMALS: LazyLock<FxHashMap<&'static str, Vec<Formal>>> = LazyLock::new(|| {
    let mut formals: FxHashMap<&'static str, Vec<Formal>> = FxHashMap::default();
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    for (place, (formal, nicknames)) in lines.filter_map(|line| line.split_once(": ")).enumerate() {
        for name in std::iter::once(formal).chain(nicknames.split(' ')) {
            formals.entry(name).or_default().push(place as Formal);
        }
    }
    // Peggie is what Peggy is: the endings of pet names are interchangeable.
    let names: Vec<&'static str> = formals.keys().copied().collect();
    let respelt: Vec<(&'static str, Vec<Formal>)> = names
        .into_iter()
        .filter_map(|name| {
            let mut all: Vec<Formal> =
                respellings(name).iter().filter_map(|other| formals.get(other.as_str())).flatten().copied().collect();
            all.sort_unstable();
            all.dedup();
            (!all.is_empty()).then_some((name, all))
        })
        .collect();
    formals.extend(respelt);
    formals
});

const PET_ENDINGS: [&str; 4] = ["ie", "ey", "y", "i"];

/// A name with each of the endings of pet names, if it has one.
fn respellings(name: &str) -> Vec<String> {
    let Some(stem) = PET_ENDINGS.iter().find_map(|end| name.strip_suffix(end)) else { return Vec::new() };
    PET_ENDINGS.iter().map(|end| format!("{stem}{end}")).collect()
}

/// The formal names that a folded given name may stand for, itself among them if it is one, in ascending order. Two
/// names are nicknames of each other when they share one.
pub fn formals(name: &str) -> &'static [Formal] {
    if let Some(formals) = FORMALS.get(name) {
        return formals;
    }
    respellings(name).iter().find_map(|other| FORMALS.get(other.as_str())).map_or(&[], Vec::as_slice)
}

/// Whether one is a pet form of the other, by its ending: Robbie of Robert, Susie of Susan.
pub fn is_diminutive(a: &[u8], b: &[u8]) -> bool {
    let of = |pet: &[u8], name: &[u8]| {
        let stem = pet.strip_suffix(b"ie").or_else(|| pet.strip_suffix(b"y")).or_else(|| pet.strip_suffix(b"i"));
        stem.is_some_and(|stem| {
            let doubled = stem.len() > 3 && stem[stem.len() - 1] == stem[stem.len() - 2];
            let stem = if doubled { &stem[..stem.len() - 1] } else { stem };
            stem.len() >= 3 && name.len() > stem.len() + 1 && name.starts_with(stem)
        })
    };
    of(a, b) || of(b, a)
}

/// Whether one is written for the other by leaving out letters, vowels first: Wm for William, Mhd for Mohamed.
pub fn is_abbreviation(short: &[u8], long: &[u8]) -> bool {
    let (short, long) = if short.len() <= long.len() { (short, long) } else { (long, short) };
    let vowel = |byte: &u8| b"aeiou".contains(byte);
    if !(2..=4).contains(&short.len()) || long.len() < short.len() + 2 || short[0] != long[0] || short.iter().any(vowel)
    {
        return false;
    }
    let mut rest = long.iter();
    short.iter().all(|letter| rest.any(|other| other == letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(a: &str, b: &str) -> bool {
        formals(a).iter().any(|formal| formals(b).contains(formal))
    }

    #[test]
    fn nicknames_share_a_formal_name() {
        assert!(share("bob", "robert"));
        assert!(share("bob", "rob"));
        assert!(share("peggy", "margaret"));
        assert!(!share("robert", "richard"));
        assert!(share("peggie", "margaret"));
        assert!(formals("xyzzy").is_empty());
    }

    #[test]
    fn diminutives_share_a_stem() {
        assert!(is_diminutive(b"robbie", b"robert"));
        assert!(is_diminutive(b"susan", b"susie"));
        assert!(!is_diminutive(b"mary", b"mark"));
        assert!(!is_diminutive(b"jenny", b"jane"));
    }

    #[test]
    fn abbreviations_leave_out_vowels() {
        for (short, long) in [("wm", "william"), ("mhd", "mohamed"), ("thms", "thomas")] {
            assert!(is_abbreviation(short.as_bytes(), long.as_bytes()), "{short}");
        }
        assert!(!is_abbreviation(b"rob", b"robert"));
        assert!(!is_abbreviation(b"wm", b"walter"));
    }

    #[test]
    fn the_lists_ascend() {
        assert!(FORMALS.values().all(|list| list.windows(2).all(|pair| pair[0] < pair[1])));
    }
}
