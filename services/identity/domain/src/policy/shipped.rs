//! The rules that hold where a tenant has decided nothing.

use std::collections::BTreeMap;

use super::{Normaliser, Rules};

/// Most customers with whom an address or a number that proves identity is claimed in vain before it counts as a hub:
/// an office's mailbox, a switchboard.
const HUB: u32 = 20;

/// The shipped namespaces.
pub(super) fn namespaces(strip_plus_tag: bool) -> BTreeMap<String, Rules> {
    let unique = |priority, normaliser| Rules { unique: true, priority, normaliser, ..Rules::default() };
    let device = Rules { priority: 10, max_customers_per_value: 1, ..Rules::default() };
    let email = unique(50, Normaliser::Email);
    [
        ("user_id", Rules { max_per_customer: 1, ..unique(100, Normaliser::Opaque) }),
        ("email", Rules { strip_plus_tag, max_customers_per_value: HUB, ..email }),
        ("phone", Rules { max_customers_per_value: HUB, ..unique(40, Normaliser::Phone) }),
        ("device", device.clone()),
        ("cookie", device.clone()),
        ("anonymous_id", device),
        ("session", Rules { priority: 5, ..Rules::default() }),
    ]
    .map(|(name, rules)| (name.to_owned(), rules))
    .into()
}

/// The rules of any other name: a key that some system gives to one customer each.
pub(super) fn undeclared() -> Rules {
    Rules { unique: true, priority: 30, ..Rules::default() }
}
