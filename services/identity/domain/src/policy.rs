//! What a tenant may decide about identity: the rules of its namespaces, when records match, which value of a trait
//! holds.

pub mod blocked;
pub mod check;
mod shipped;

use std::{collections::BTreeMap, hash::Hasher, sync::LazyLock, time::Duration};

use rlibphonenumber::enums::Region;
use serde::{Deserialize, Serialize};

use self::blocked::Blocked;

/// How values of a namespace are made comparable; see [`crate::normalise`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normaliser {
    /// Surrounding white space removed, NFC; case is kept.
    #[default]
    Opaque,
    /// NFKC and case folding.
    CaseFold,
    /// An e-mail address.
    Email,
    /// A phone number in E.164.
    Phone,
    /// Digits only.
    Digits,
}

/// The rules of one namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Rules {
    /// How values are normalised.
    pub normaliser: Normaliser,
    /// Whether one value belongs to one customer only, and so proves identity. What is not unique leads to a customer,
    /// and never makes one of two.
    pub unique: bool,
    /// Most values that one customer may have within `limit_period`; 0: no limit.
    pub max_per_customer: u32,
    /// Period of `max_per_customer`, in event time; `None`: for ever.
    pub limit_period: Option<Duration>,
    /// When identifiers lead to different customers, the higher priority wins.
    pub priority: i32,
    /// A value that was seen with more customers than this is shared, and leads to nobody; 0: no limit. A value that is
    /// neither unique nor limited moves to the customer with whom it was seen last.
    pub max_customers_per_value: u32,
    /// E-mail: whether `+tag` in the local part is ignored.
    pub strip_plus_tag: bool,
    /// Values that prove nothing, beside the built-in ones.
    pub blocked: Blocked,
}

impl Rules {
    /// Whether a value goes where it was seen last: a session.
    pub fn moves(&self) -> bool {
        !self.unique && self.max_customers_per_value == 0
    }

    /// Whether values of a customer are counted or compared: then they are kept in its anchors.
    pub fn anchors(&self) -> bool {
        self.unique || self.max_per_customer > 0
    }
}

/// Strategies to choose among values of a trait; ties go to the most recent, then to the younger record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The value observed last.
    #[default]
    MostRecent,
    /// The value of the highest-ranked source.
    MostTrusted,
    /// The value that most records carry.
    MostFrequent,
    /// The longest text.
    Longest,
    /// Only what the source `manual` says.
    Manual,
}

/// When a probabilistic match counts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Thresholds {
    /// At or above this probability records are linked at once; `None`: as the model in force says.
    pub upper: Option<f64>,
    /// At or above this, and below `upper`, the pair goes to review; `None`: as the model in force says.
    pub lower: Option<f64>,
    /// If true, only deterministic evidence links.
    pub probabilistic_disabled: bool,
}

impl Thresholds {
    /// The upper threshold; the shipped model's 3.3 bits where none is set.
    pub fn upper(self) -> f64 {
        self.upper.unwrap_or_else(|| probability(3.3))
    }

    /// The lower threshold; the shipped model's −1 bit where none is set.
    pub fn lower(self) -> f64 {
        self.lower.unwrap_or_else(|| probability(-1.0))
    }
}

/// The probability that a match weight in bits stands for.
fn probability(bits: f64) -> f64 {
    let odds = bits.exp2();
    odds / (1.0 + odds)
}

/// The identity policy of a tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Declared namespaces.
    pub namespaces: BTreeMap<String, Rules>,
    /// Whether a namespace that is not declared is taken, with the rules that its name has by default.
    pub allow_undeclared: bool,
    /// When a probabilistic match counts.
    pub thresholds: Thresholds,
    /// How the golden value of a trait is chosen.
    pub survivorship: BTreeMap<String, Strategy>,
    /// The same for every other trait.
    pub default_survivorship: Strategy,
    /// Sources, most trusted first; those not listed come last.
    pub source_ranking: Vec<String>,
    /// The region whose dialling rules read a phone number without a country code; `None`: such a number is refused.
    #[serde(with = "region")]
    pub default_region: Option<Region>,
}

static SHIPPED: LazyLock<Policy> = LazyLock::new(|| Policy::shipped(None, false));
static UNDECLARED: LazyLock<Rules> = LazyLock::new(shipped::undeclared);

impl Default for Policy {
    fn default() -> Self {
        SHIPPED.clone()
    }
}

impl Policy {
    /// Whether values of a namespace are numbers that the matcher compares, and whether nobody has two of them. What
    /// proves nothing says nothing about who somebody is: a device, a visit.
    pub fn number(&self, namespace: &str) -> Option<bool> {
        let rules = self.rules(namespace).filter(|rules| rules.unique)?;
        Some(rules.max_per_customer == 1 && rules.limit_period.is_none())
    }

    /// What holds for a tenant that has decided nothing: the shipped namespaces.
    pub fn shipped(default_region: Option<Region>, strip_plus_tag: bool) -> Self {
        Self {
            namespaces: shipped::namespaces(strip_plus_tag),
            allow_undeclared: true,
            thresholds: Thresholds::default(),
            survivorship: BTreeMap::new(),
            default_survivorship: Strategy::default(),
            source_ranking: Vec::new(),
            default_region,
        }
    }

    /// Reads a region, as in `DE`: ISO 3166-1 alpha-2.
    ///
    /// # Errors
    /// A text that says what is expected.
    pub fn region(code: &str) -> Result<Region, String> {
        code.parse::<Region>().map_err(|_| "is not a region; give two letters of ISO 3166-1, such as DE".to_owned())
    }

    /// The rules of a namespace; `None` where it is not declared and undeclared ones are not taken.
    pub fn rules(&self, namespace: &str) -> Option<&Rules> {
        if let Some(declared) = self.namespaces.get(namespace) {
            return Some(declared);
        }
        self.allow_undeclared.then(|| default_rules(namespace))
    }

    /// How the golden value of a trait is chosen.
    pub fn strategy(&self, name: &str) -> Strategy {
        self.survivorship.get(name).copied().unwrap_or(self.default_survivorship)
    }

    /// The place of a source in the ranking, the most trusted first.
    pub fn rank(&self, source: &str) -> usize {
        self.source_ranking.iter().position(|ranked| ranked == source).unwrap_or(self.source_ranking.len())
    }

    /// Whether any trait follows `strategy`.
    pub fn follows(&self, strategy: Strategy) -> bool {
        self.default_survivorship == strategy || self.survivorship.values().any(|s| *s == strategy)
    }

    /// Tells apart policies under which golden records may differ; 0 for the shipped one. Stable over versions.
    pub fn survivorship_mark(&self) -> u64 {
        let shipped = self.default_survivorship == Strategy::MostRecent
            && self.survivorship.values().all(|strategy| *strategy == Strategy::MostRecent);
        if shipped {
            return 0;
        }
        let ranking = if self.follows(Strategy::MostTrusted) { self.source_ranking.as_slice() } else { &[] };
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        for (name, strategy) in &self.survivorship {
            hasher.write(format!("{name} {strategy:?}\n").as_bytes());
        }
        hasher.write(format!("{:?}\n", self.default_survivorship).as_bytes());
        for source in ranking {
            hasher.write(format!("{source}\n").as_bytes());
        }
        hasher.finish().max(1)
    }
}

/// The rules of a namespace that nobody declared: by its name, or those of any other name.
pub fn default_rules(namespace: &str) -> &'static Rules {
    SHIPPED.namespaces.get(namespace).unwrap_or(&UNDECLARED)
}

/// FNV-1a (Fowler, Noll, Vo), 64 bits.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// A region as its two letters.
mod region {
    use rlibphonenumber::enums::Region;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(region: &Option<Region>, to: S) -> Result<S::Ok, S::Error> {
        match region {
            Some(region) => to.serialize_some(&region.to_string()),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Region>, D::Error> {
        let code = Option::<String>::deserialize(from)?;
        code.map(|code| super::Policy::region(&code).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undeclared_namespaces_have_the_rules_of_their_names() {
        let mut policy = Policy::default();
        policy.namespaces.clear();
        assert_eq!(policy.rules("email").map(|r| r.normaliser), Some(Normaliser::Email));
        assert!(policy.rules("crm").is_some_and(|r| r.unique && r.normaliser == Normaliser::Opaque));
        assert!(policy.rules("device").is_some_and(|r| !r.unique && !r.moves()));
        assert!(policy.rules("session").is_some_and(Rules::moves));
        policy.allow_undeclared = false;
        assert!(policy.rules("crm").is_none() && policy.rules("email").is_none());
    }

    #[test]
    fn a_policy_survives_its_storage() {
        let mut policy = Policy::shipped(Some(Policy::region("DE").unwrap()), true);
        policy.survivorship.insert("name".to_owned(), Strategy::Longest);
        let stored = serde_json::to_vec(&policy).unwrap();
        assert_eq!(serde_json::from_slice::<Policy>(&stored).unwrap(), policy);
    }

    #[test]
    fn golden_records_are_marked_by_what_they_depend_on() {
        let shipped = Policy::default();
        assert_eq!(shipped.survivorship_mark(), 0);
        let ranked = Policy { source_ranking: vec!["crm".to_owned()], ..shipped.clone() };
        assert_eq!(ranked.survivorship_mark(), 0, "nobody asks for the ranking");
        let trusted = Policy { default_survivorship: Strategy::MostTrusted, ..ranked };
        let other = Policy { source_ranking: vec!["erp".to_owned()], ..trusted.clone() };
        assert_ne!(trusted.survivorship_mark(), 0);
        assert_ne!(trusted.survivorship_mark(), other.survivorship_mark());
    }

    #[test]
    fn thresholds_are_those_of_the_shipped_model() {
        let (upper, lower) = (Thresholds::default().upper(), Thresholds::default().lower());
        assert!((upper - 0.907_83).abs() < 1e-4 && (lower - 1.0 / 3.0).abs() < 1e-9, "{upper} {lower}");
    }
}
