//! What a policy may say. Every wrong field is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use terms::{Fault, Violations};

use super::{Normaliser, Policy, Rules, Strategy, Thresholds, blocked::Blocked, default_rules};
use crate::{
    name,
    normalise::{MAX_VALUE, normal_form},
};

/// How many namespaces a policy declares at most.
pub const MAX_NAMESPACES: usize = 256;
/// The highest limit of values per customer, and of customers per value.
pub const MAX_LIMIT: u32 = 1_000;
/// The longest period of a limit: ten years.
pub const MAX_PERIOD: Duration = Duration::from_secs(3_653 * 24 * 60 * 60);
/// The highest and, negative, the lowest priority.
pub const MAX_PRIORITY: i32 = 1_000_000;
/// How many blocked values, and how many patterns, a namespace has at most.
pub const MAX_BLOCKED: usize = 1_000;
/// How many traits have a rule of their own at most.
pub const MAX_TRAIT_RULES: usize = 256;
/// How many sources are ranked at most.
pub const MAX_SOURCES: usize = 256;

/// A namespace as it was declared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceInput {
    /// Its name.
    pub namespace: String,
    /// How values are normalised; `None`: as its name suggests.
    pub normaliser: Option<Normaliser>,
    /// See [`Rules::unique`].
    pub unique: bool,
    /// See [`Rules::max_per_customer`].
    pub max_per_customer: u32,
    /// See [`Rules::limit_period`].
    pub limit_period: Option<Duration>,
    /// See [`Rules::priority`].
    pub priority: i32,
    /// Values that prove nothing.
    pub blocked_values: Vec<String>,
    /// Patterns of such values.
    pub blocked_patterns: Vec<String>,
    /// See [`Rules::max_customers_per_value`].
    pub max_customers_per_value: u32,
    /// See [`Rules::strip_plus_tag`].
    pub strip_plus_tag: bool,
}

/// Checks declared namespaces.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] with every wrong field, below `namespaces`.
pub fn namespaces(given: Vec<NamespaceInput>) -> Result<BTreeMap<String, Rules>, Fault> {
    let mut wrong = Violations::new();
    wrong.add_if(given.len() > MAX_NAMESPACES, "namespaces", "has too many entries; give at most 256");
    let mut declared = BTreeMap::new();
    for (i, input) in given.into_iter().take(MAX_NAMESPACES).enumerate() {
        let at = format!("namespaces[{i}]");
        wrong.take(name::check("namespace", &input.namespace).map_err(|fault| fault.within(&at)));
        check_namespace(&at, &input, &mut wrong);
        if declared.contains_key(&input.namespace) {
            wrong.add(format!("{at}.namespace"), "is declared twice; keep one of the two");
            continue;
        }
        let normaliser = input.normaliser.unwrap_or_else(|| default_rules(&input.namespace).normaliser);
        let rules = Rules {
            normaliser,
            unique: input.unique,
            max_per_customer: input.max_per_customer,
            limit_period: input.limit_period,
            priority: input.priority,
            max_customers_per_value: input.max_customers_per_value,
            strip_plus_tag: input.strip_plus_tag,
            blocked: Blocked { values: input.blocked_values, patterns: input.blocked_patterns, forms: BTreeSet::new() },
        };
        wrong.add_if(
            rules.strip_plus_tag && normaliser != Normaliser::Email,
            &format!("{at}.strip_plus_tag"),
            "is for e-mail alone; leave it false, or give the normalizer NORMALIZER_EMAIL",
        );
        declared.insert(input.namespace, rules);
    }
    wrong.done()?;
    Ok(declared)
}

fn check_namespace(at: &str, input: &NamespaceInput, wrong: &mut Violations) {
    let limit = "is too high; give at most 1000, or 0 for no limit";
    wrong.add_if(input.max_per_customer > MAX_LIMIT, &format!("{at}.max_per_customer"), limit);
    wrong.add_if(input.max_customers_per_value > MAX_LIMIT, &format!("{at}.max_customers_per_value"), limit);
    if let Some(period) = input.limit_period {
        let field = format!("{at}.limit_period");
        wrong.add_if(input.max_per_customer == 0, &field, "needs a limit; give `max_per_customer` as well");
        wrong.add_if(
            !(Duration::from_secs(1)..=MAX_PERIOD).contains(&period),
            &field,
            "must lie between one second and ten years",
        );
    }
    wrong.add_if(
        !(-MAX_PRIORITY..=MAX_PRIORITY).contains(&input.priority),
        &format!("{at}.priority"),
        "must lie between -1000000 and 1000000",
    );
    for (list, texts) in [("blocked_values", &input.blocked_values), ("blocked_patterns", &input.blocked_patterns)] {
        wrong.add_if(texts.len() > MAX_BLOCKED, &format!("{at}.{list}"), "has too many entries; give at most 1000");
        for (i, text) in texts.iter().take(MAX_BLOCKED).enumerate() {
            let field = format!("{at}.{list}[{i}]");
            wrong.add_if(text.trim().is_empty(), &field, "is empty; give 1 to 512 bytes of UTF-8");
            wrong.add_if(text.len() > MAX_VALUE, &field, "is too long; give 1 to 512 bytes of UTF-8");
            let all = list == "blocked_patterns" && text.trim().bytes().all(|b| b == b'*');
            wrong.add_if(all && !text.trim().is_empty(), &field, "would block every value; give some of its text");
        }
    }
}

/// Checks the strategies of traits.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] with every wrong field, below `survivorship`.
pub fn survivorship(given: Vec<(String, Option<Strategy>)>) -> Result<BTreeMap<String, Strategy>, Fault> {
    let mut wrong = Violations::new();
    wrong.add_if(given.len() > MAX_TRAIT_RULES, "survivorship", "has too many entries; give at most 256");
    let mut rules = BTreeMap::new();
    for (i, (name, strategy)) in given.into_iter().take(MAX_TRAIT_RULES).enumerate() {
        let field = format!("survivorship[{i}].trait");
        wrong.add_if(
            !name::is_trait_name(&name),
            &field,
            "is no name of a trait; give 1 to 128 letters, digits, `_`, `-` and `.`",
        );
        wrong.add_if(rules.contains_key(&name), &field, "has a rule already; keep one of the two");
        match strategy {
            Some(strategy) => {
                rules.entry(name).or_insert(strategy);
            }
            None => wrong.add(format!("survivorship[{i}].strategy"), "is required"),
        }
    }
    wrong.done()?;
    Ok(rules)
}

/// Checks the ranking of sources.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] with every wrong field, below `source_ranking`.
pub fn source_ranking(given: Vec<String>) -> Result<Vec<String>, Fault> {
    let mut wrong = Violations::new();
    wrong.add_if(given.len() > MAX_SOURCES, "source_ranking", "has too many entries; give at most 256");
    for (i, source) in given.iter().take(MAX_SOURCES).enumerate() {
        let field = format!("source_ranking[{i}]");
        wrong.take(name::check(&field, source));
        let before = given.get(..i).unwrap_or_default();
        wrong.add_if(before.contains(source), &field, "is ranked twice; keep one of the two");
    }
    wrong.done()?;
    Ok(given)
}

/// Checks thresholds; 0 stands for the shipped one.
///
/// # Errors
/// [`terms::Reason::InvalidFields`] with every wrong field, below `thresholds`.
pub fn thresholds(upper: f64, lower: f64, probabilistic_disabled: bool) -> Result<Thresholds, Fault> {
    let mut wrong = Violations::new();
    let mut read = |field: &str, given: f64| {
        wrong.add_if(!(0.0..=1.0).contains(&given), &format!("thresholds.{field}"), "must lie between 0 and 1");
        Some(given).filter(|given| *given != 0.0)
    };
    let thresholds = Thresholds { upper: read("upper", upper), lower: read("lower", lower), probabilistic_disabled };
    wrong.add_if(
        thresholds.lower() > thresholds.upper(),
        "thresholds.lower",
        "lies above `upper`; give at most that (0 stands for the default)",
    );
    wrong.done()?;
    Ok(thresholds)
}

impl Policy {
    /// Works out in which forms blocked values are met. Call it whenever namespaces or the region changed.
    pub fn prepare(&mut self) {
        let region = self.default_region;
        for rules in self.namespaces.values_mut() {
            let mut forms = BTreeSet::new();
            for value in &rules.blocked.values {
                forms.insert(value.trim().to_lowercase());
                forms.extend(normal_form(value, rules, region).ok());
            }
            rules.blocked.forms = forms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fault: &Fault) -> Vec<&str> {
        fault.violations().iter().map(|v| v.field.as_str()).collect()
    }

    #[test]
    fn every_wrong_field_of_a_namespace_is_told() {
        let wrong = NamespaceInput {
            namespace: "E-Mail".to_owned(),
            normaliser: Some(Normaliser::Phone),
            max_per_customer: 0,
            limit_period: Some(Duration::ZERO),
            priority: i32::MIN,
            blocked_values: vec![String::new(), "x".repeat(513)],
            blocked_patterns: vec!["**".to_owned()],
            max_customers_per_value: 1_001,
            strip_plus_tag: true,
            ..NamespaceInput::default()
        };
        let twice = NamespaceInput { namespace: "crm".to_owned(), ..NamespaceInput::default() };
        let fault = namespaces(vec![twice.clone(), wrong, twice]).unwrap_err();
        assert_eq!(
            fields(&fault),
            [
                "namespaces[1].namespace",
                "namespaces[1].max_customers_per_value",
                "namespaces[1].limit_period",
                "namespaces[1].limit_period",
                "namespaces[1].priority",
                "namespaces[1].blocked_values[0]",
                "namespaces[1].blocked_values[1]",
                "namespaces[1].blocked_patterns[0]",
                "namespaces[1].strip_plus_tag",
                "namespaces[2].namespace",
            ]
        );
    }

    #[test]
    fn a_name_suggests_a_normaliser() {
        let named = |name: &str| NamespaceInput { namespace: name.to_owned(), ..NamespaceInput::default() };
        let declared = namespaces(vec![named("email"), named("crm")]).unwrap();
        assert_eq!(declared["email"].normaliser, Normaliser::Email);
        assert_eq!(declared["crm"].normaliser, Normaliser::Opaque);
    }

    #[test]
    fn the_rest_is_checked_too() {
        let rule = |name: &str, strategy| (name.to_owned(), strategy);
        let longest = Some(Strategy::Longest);
        let fault = survivorship(vec![rule("name", longest), rule("a b", None), rule("name", longest)]).unwrap_err();
        assert_eq!(fields(&fault), ["survivorship[1].trait", "survivorship[1].strategy", "survivorship[2].trait"]);
        let fault = source_ranking(["crm", "Web Shop", "crm"].map(str::to_owned).to_vec()).unwrap_err();
        assert_eq!(fields(&fault), ["source_ranking[1]", "source_ranking[2]"]);
        assert_eq!(fields(&thresholds(1.5, f64::NAN, false).unwrap_err()), ["thresholds.upper", "thresholds.lower"]);
        assert_eq!(fields(&thresholds(0.5, 0.6, false).unwrap_err()), ["thresholds.lower"]);
        assert_eq!(thresholds(0.0, 0.0, false).unwrap(), Thresholds::default());
    }

    #[test]
    fn blocked_values_are_met_in_every_form() {
        let input = NamespaceInput {
            namespace: "email".to_owned(),
            blocked_values: vec![" Info@MÜNCHEN.example".to_owned(), "nix".to_owned()],
            ..NamespaceInput::default()
        };
        let mut policy = Policy { namespaces: namespaces(vec![input]).unwrap(), ..Policy::default() };
        policy.prepare();
        let blocked = &policy.namespaces["email"].blocked;
        for value in ["info@xn--mnchen-3ya.example", "info@münchen.example", "NIX"] {
            assert!(blocked.contains(value), "{value}");
        }
    }
}
