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
    formals
});

/// The formal names that a folded given name may stand for, itself among them if it is one, in ascending order. Two
/// names are nicknames of each other when they share one.
pub fn formals(name: &str) -> &'static [Formal] {
    FORMALS.get(name).map_or(&[], Vec::as_slice)
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
        assert!(formals("xyzzy").is_empty());
    }

    #[test]
    fn the_lists_ascend() {
        assert!(FORMALS.values().all(|list| list.windows(2).all(|pair| pair[0] < pair[1])));
    }
}
