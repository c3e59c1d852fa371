//! The order in which things that use each other are computed.

use std::collections::{BTreeMap, BTreeSet};

/// A circle of names: each uses the next, the last uses the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle(pub Vec<String>);

impl std::fmt::Display for Cycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = self.0.first().map_or("", String::as_str);
        write!(f, "{} → {first}", self.0.join(" → "))
    }
}

impl std::error::Error for Cycle {}

/// The names such that each comes after all that it uses; among those that are free, by the alphabet. What is used
/// but is not itself a key is left out.
///
/// # Errors
/// A circle, if there is one.
pub fn topological_order(uses: &BTreeMap<String, BTreeSet<String>>) -> Result<Vec<String>, Cycle> {
    let mut waits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, used) in uses {
        let known = used.iter().filter(|used| uses.contains_key(*used));
        waits.insert(name, known.clone().count());
        known.for_each(|used| users.entry(used).or_default().push(name));
    }
    let mut free: BTreeSet<&str> = waits.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    let mut order = Vec::with_capacity(uses.len());
    while let Some(name) = free.pop_first() {
        order.push(name.to_owned());
        waits.remove(name);
        for user in users.get(name).into_iter().flatten() {
            if let Some(count) = waits.get_mut(user) {
                *count -= 1;
                if *count == 0 {
                    free.insert(user);
                }
            }
        }
    }
    if waits.is_empty() { Ok(order) } else { Err(circle(uses, &waits)) }
}

/// Every name that still waits uses another that still waits: following them must come round.
fn circle(uses: &BTreeMap<String, BTreeSet<String>>, waits: &BTreeMap<&str, usize>) -> Cycle {
    let mut path: Vec<&str> = Vec::new();
    let mut next = waits.keys().next().copied();
    while let Some(name) = next {
        if let Some(begin) = path.iter().position(|passed| *passed == name) {
            return Cycle(path.split_off(begin).into_iter().map(str::to_owned).collect());
        }
        path.push(name);
        let used = uses.get(name).into_iter().flatten();
        next = used.map(String::as_str).find(|used| waits.contains_key(used));
    }
    Cycle(path.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    fn graph(edges: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        edges.iter().map(|(name, used)| ((*name).to_owned(), used.iter().map(|u| (*u).to_owned()).collect())).collect()
    }

    #[test]
    fn a_diamond_is_accepted_and_a_circle_refused() {
        let diamond = graph(&[("c", &["a", "b"]), ("b", &["a"]), ("a", &["gone"])]);
        assert_eq!(topological_order(&diamond).unwrap(), ["a", "b", "c"]);
        let circle = graph(&[("c", &["a", "b"]), ("b", &["a"]), ("a", &["c"]), ("z", &["a"])]);
        assert_eq!(topological_order(&circle).unwrap_err().to_string(), "a → c → a");
        assert_eq!(topological_order(&graph(&[("a", &["a"])])), Err(Cycle(vec!["a".to_owned()])));
    }

    proptest! {
        #[test]
        fn an_order_or_a_circle(edges in collection::btree_map("[a-h]", collection::btree_set("[a-h]", 0..4), 0..8)) {
            match topological_order(&edges) {
                Ok(order) => {
                    prop_assert_eq!(order.len(), edges.len());
                    for (at, name) in order.iter().enumerate() {
                        for used in &edges[name] {
                            prop_assert!(!edges.contains_key(used) || order[..at].contains(used));
                        }
                    }
                }
                Err(Cycle(names)) => {
                    for (at, name) in names.iter().enumerate() {
                        prop_assert!(edges[name].contains(&names[(at + 1) % names.len()]));
                    }
                }
            }
        }
    }
}
