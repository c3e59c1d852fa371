//! The identity policy on the wire, both ways.

use host::{
    decode::{self as fields, Mask},
    encode::{duration, timestamp},
};
use identity_domain::{
    Policy,
    policy::{Normaliser, Rules, Strategy, check},
    update_identity_policy::{Edit, VersionedPolicy},
};
use rapport_proto::identity::v1::{
    IdentityPolicy, MatchThresholds, NamespacePolicy, Normalizer, SurvivorshipRule, SurvivorshipStrategy,
};
use terms::{Fault, Reason, Violations};

/// What can be changed.
pub(super) const PATHS: [&str; 7] = [
    "namespaces",
    "allow_undeclared_namespaces",
    "thresholds",
    "survivorship",
    "default_survivorship",
    "source_ranking",
    "default_region",
];

/// What a request changes.
pub(super) fn edit(given: IdentityPolicy, mask: &Mask) -> Result<Edit, Fault> {
    let mut wrong = Violations::new();
    let mut edit = Edit::default();
    if mask.touches("namespaces", !given.namespaces.is_empty()) {
        edit.namespaces = namespaces(given.namespaces, &mut wrong);
    }
    if mask.touches("allow_undeclared_namespaces", given.allow_undeclared_namespaces) {
        edit.allow_undeclared = Some(given.allow_undeclared_namespaces);
    }
    if mask.touches("thresholds", given.thresholds.is_some()) {
        let MatchThresholds { upper, lower, probabilistic_disabled } = given.thresholds.unwrap_or_default();
        edit.thresholds = wrong.take(check::thresholds(upper, lower, probabilistic_disabled));
    }
    if mask.touches("survivorship", !given.survivorship.is_empty()) {
        edit.survivorship = survivorship(given.survivorship, &mut wrong);
    }
    if mask.touches("default_survivorship", given.default_survivorship != 0) {
        let strategy = fields::enumeration::<SurvivorshipStrategy>("default_survivorship", given.default_survivorship);
        edit.default_survivorship = wrong.take(strategy).map(|strategy| strategy_of(strategy).unwrap_or_default());
    }
    if mask.touches("source_ranking", !given.source_ranking.is_empty()) {
        edit.source_ranking = wrong.take(check::source_ranking(given.source_ranking));
    }
    if mask.touches("default_region", !given.default_region.is_empty()) {
        edit.default_region = match given.default_region.as_str() {
            "" => Some(None),
            code => {
                let region = Policy::region(code);
                wrong
                    .take(region.map_err(|problem| Fault::invalid("default_region", Reason::InvalidFields, problem)))
                    .map(Some)
            }
        };
    }
    wrong.done()?;
    Ok(edit)
}

fn namespaces(
    given: Vec<NamespacePolicy>,
    wrong: &mut Violations,
) -> Option<std::collections::BTreeMap<String, Rules>> {
    let mut inputs = Vec::with_capacity(given.len());
    for (i, given) in given.into_iter().enumerate() {
        let at = format!("namespaces[{i}]");
        let normaliser = fields::enumeration::<Normalizer>(&format!("{at}.normalizer"), given.normalizer);
        inputs.push(check::NamespaceInput {
            normaliser: wrong.take(normaliser).and_then(normaliser_of),
            limit_period: wrong.take(fields::duration(&format!("{at}.limit_period"), given.limit_period)).flatten(),
            namespace: given.namespace,
            unique: given.unique,
            max_per_customer: given.max_per_customer,
            priority: given.priority,
            blocked_values: given.blocked_values,
            blocked_patterns: given.blocked_patterns,
            max_customers_per_value: given.max_customers_per_value,
            strip_plus_tag: given.strip_plus_tag,
        });
    }
    wrong.take(check::namespaces(inputs))
}

fn survivorship(
    given: Vec<SurvivorshipRule>,
    wrong: &mut Violations,
) -> Option<std::collections::BTreeMap<String, Strategy>> {
    let mut rules = Vec::with_capacity(given.len());
    for (i, rule) in given.into_iter().enumerate() {
        let field = format!("survivorship[{i}].strategy");
        match fields::enumeration::<SurvivorshipStrategy>(&field, rule.strategy) {
            Ok(strategy) => rules.push((rule.r#trait, strategy_of(strategy))),
            Err(fault) => {
                wrong.absorb(fault);
                rules.push((rule.r#trait, Some(Strategy::default())));
            }
        }
    }
    wrong.take(check::survivorship(rules))
}

/// The policy as replies give it.
pub(super) fn encode(known: &VersionedPolicy) -> IdentityPolicy {
    let policy = &known.policy;
    IdentityPolicy {
        namespaces: policy.namespaces.iter().map(|(name, rules)| namespace(name, rules)).collect(),
        allow_undeclared_namespaces: policy.allow_undeclared,
        thresholds: Some(MatchThresholds {
            upper: policy.thresholds.upper(),
            lower: policy.thresholds.lower(),
            probabilistic_disabled: policy.thresholds.probabilistic_disabled,
        }),
        survivorship: policy
            .survivorship
            .iter()
            .map(|(name, strategy)| SurvivorshipRule {
                r#trait: name.clone(),
                strategy: wire_strategy(*strategy).into(),
            })
            .collect(),
        default_survivorship: wire_strategy(policy.default_survivorship).into(),
        source_ranking: policy.source_ranking.clone(),
        default_region: policy.default_region.map(|region| region.to_string()).unwrap_or_default(),
        update_time: (known.version > 0).then(|| timestamp(known.updated_at)),
        etag: known.etag(),
    }
}

fn namespace(name: &str, rules: &Rules) -> NamespacePolicy {
    NamespacePolicy {
        namespace: name.to_owned(),
        normalizer: wire_normaliser(rules.normaliser).into(),
        unique: rules.unique,
        max_per_customer: rules.max_per_customer,
        limit_period: rules.limit_period.map(duration),
        priority: rules.priority,
        blocked_values: rules.blocked.values.clone(),
        max_customers_per_value: rules.max_customers_per_value,
        strip_plus_tag: rules.strip_plus_tag,
        blocked_patterns: rules.blocked.patterns.clone(),
    }
}

fn normaliser_of(wire: Normalizer) -> Option<Normaliser> {
    match wire {
        Normalizer::Unspecified => None,
        Normalizer::Opaque => Some(Normaliser::Opaque),
        Normalizer::CaseFold => Some(Normaliser::CaseFold),
        Normalizer::Email => Some(Normaliser::Email),
        Normalizer::Phone => Some(Normaliser::Phone),
        Normalizer::Digits => Some(Normaliser::Digits),
    }
}

fn wire_normaliser(normaliser: Normaliser) -> Normalizer {
    match normaliser {
        Normaliser::Opaque => Normalizer::Opaque,
        Normaliser::CaseFold => Normalizer::CaseFold,
        Normaliser::Email => Normalizer::Email,
        Normaliser::Phone => Normalizer::Phone,
        Normaliser::Digits => Normalizer::Digits,
    }
}

fn strategy_of(wire: SurvivorshipStrategy) -> Option<Strategy> {
    match wire {
        SurvivorshipStrategy::Unspecified => None,
        SurvivorshipStrategy::MostRecent => Some(Strategy::MostRecent),
        SurvivorshipStrategy::MostTrusted => Some(Strategy::MostTrusted),
        SurvivorshipStrategy::MostFrequent => Some(Strategy::MostFrequent),
        SurvivorshipStrategy::Longest => Some(Strategy::Longest),
        SurvivorshipStrategy::Manual => Some(Strategy::Manual),
    }
}

fn wire_strategy(strategy: Strategy) -> SurvivorshipStrategy {
    match strategy {
        Strategy::MostRecent => SurvivorshipStrategy::MostRecent,
        Strategy::MostTrusted => SurvivorshipStrategy::MostTrusted,
        Strategy::MostFrequent => SurvivorshipStrategy::MostFrequent,
        Strategy::Longest => SurvivorshipStrategy::Longest,
        Strategy::Manual => SurvivorshipStrategy::Manual,
    }
}
