//! Small worlds to decide in.

use std::sync::Arc;

use customization_domain::{
    catalog::{Candidate, Place},
    profile::{
        Basis, Boundary, BoundaryId, Budget, Consent, ConsentId, ConsentState, Need, Profile, Promise, PromiseId,
        Scope, Statement, StatementId, StatementKind,
    },
    touchpoint::{Policy, PolicyKind, Touchpoint, TouchpointSpec},
    treatment::{Treatment, TreatmentSpec, TreatmentState},
};
use proptest::prelude::*;
use rules::Value;
use terms::{CustomerId, Id, Timestamp};
use uuid::Uuid;

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

/// A treatment in a few words.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) value: f64,
    pub(crate) rule: &'static str,
    pub(crate) topic: Option<&'static str>,
    pub(crate) serves: Option<&'static str>,
    pub(crate) purpose: &'static str,
    pub(crate) channel: &'static str,
    pub(crate) selling: bool,
    pub(crate) uses_budget: bool,
    pub(crate) min_confidence: f64,
    pub(crate) paused: bool,
    pub(crate) valid_until: Option<Timestamp>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            value: 1.0,
            rule: "",
            topic: None,
            serves: None,
            purpose: "",
            channel: "",
            selling: false,
            uses_budget: false,
            min_confidence: 0.0,
            paused: false,
            valid_until: None,
        }
    }
}

/// A customer and a touchpoint in a few words.
#[derive(Debug, Clone)]
pub(crate) struct Sketch {
    pub(crate) treatments: Vec<Draft>,
    pub(crate) default: bool,
    pub(crate) policy: PolicyKind,
    pub(crate) results: u32,
    pub(crate) page: &'static str,
    pub(crate) confidence: f64,
    pub(crate) contested: bool,
    pub(crate) country: Option<&'static str>,
    pub(crate) tier: Option<&'static str>,
    /// Topic, value, whether it is a need.
    pub(crate) statements: Vec<(&'static str, &'static str, bool)>,
    pub(crate) segments: Vec<&'static str>,
    pub(crate) needs: Vec<(&'static str, f64)>,
    pub(crate) boundary_topics: Vec<&'static str>,
    pub(crate) everything_forbidden: bool,
    pub(crate) consents: Vec<(&'static str, bool)>,
    pub(crate) broken_promise: bool,
    pub(crate) budget_spent: bool,
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            treatments: vec![Draft::default(); 4],
            default: false,
            policy: PolicyKind::Deterministic,
            results: 1,
            page: "home",
            confidence: 1.0,
            contested: false,
            country: None,
            tier: None,
            statements: Vec::new(),
            segments: Vec::new(),
            needs: Vec::new(),
            boundary_topics: Vec::new(),
            everything_forbidden: false,
            consents: Vec::new(),
            broken_promise: false,
            budget_spent: false,
        }
    }
}

const RULES: [&str; 9] = [
    "",
    "customer.country == \"NO\"",
    "statements.diet == \"vegan\"",
    "has(statements.diet)",
    "\"fans\" in segments || customer.country == \"SE\"",
    "value.tier == \"rest\" && context.page == \"home\"",
    "!(\"fans\" in segments)",
    "statements.colour != \"red\"",
    "false",
];

fn draft() -> impl Strategy<Value = Draft> {
    let texts = (
        prop::sample::select(&RULES[..]),
        prop::option::of(prop::sample::select(&["alcohol", "sport"][..])),
        prop::option::of(prop::sample::select(&["stay-dry", "save-time"][..])),
        prop::sample::select(&["", "marketing", "transactional"][..]),
        prop::sample::select(&["", "email"][..]),
    );
    let rest = (1u8..6, any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1), prop::bool::weighted(0.2));
    (texts, rest).prop_map(|((rule, topic, serves, purpose, channel), (value, selling, uses_budget, paused, sure))| {
        Draft {
            value: f64::from(value),
            rule,
            topic,
            serves,
            purpose,
            channel,
            selling,
            uses_budget,
            min_confidence: if sure { 0.8 } else { 0.0 },
            paused,
            valid_until: None,
        }
    })
}

pub(crate) fn sketch() -> impl Strategy<Value = Sketch> {
    let place = (prop::collection::vec(draft(), 0..7), any::<bool>(), 1u32..4, any::<bool>());
    let told = (
        prop::option::of(prop::sample::select(&["vegan", "omnivore"][..])),
        prop::option::of(prop::sample::select(&["red", "blue"][..])),
        prop::option::of(prop::sample::select(&["stay-dry", "save-time"][..])),
    );
    let known = (
        prop::option::of(prop::sample::select(&["NO", "SE"][..])),
        prop::option::of(prop::sample::select(&["rest", "most_valuable"][..])),
        any::<bool>(),
        any::<bool>(),
        prop::sample::select(&[0.5, 1.0][..]),
    );
    let limits = (
        prop::collection::vec(prop::sample::select(&["alcohol", "sport"][..]), 0..2),
        prop::bool::weighted(0.05),
        prop::collection::vec((prop::sample::select(&["marketing", "service"][..]), any::<bool>()), 0..4),
        any::<bool>(),
        any::<bool>(),
    );
    (place, told, known, limits).prop_map(|(place, told, known, limits)| {
        let mut statements = Vec::new();
        statements.extend(told.0.map(|value| ("diet", value, false)));
        statements.extend(told.1.map(|value| ("colour", value, false)));
        // Statements and segmentation do not tell of the same need here: one hides the other.
        let needs: Vec<_> = if known.3 { vec![("save-time", 14.0)] } else { Vec::new() };
        statements.extend(told.2.filter(|need| !known.3 || *need != "save-time").map(|need| ("jobs", need, true)));
        Sketch {
            treatments: place.0,
            default: place.1,
            policy: if place.3 { PolicyKind::Deterministic } else { PolicyKind::Uniform },
            results: place.2,
            country: known.0,
            tier: known.1,
            segments: if known.2 { vec!["fans"] } else { Vec::new() },
            needs,
            confidence: known.4,
            statements,
            boundary_topics: limits.0,
            everything_forbidden: limits.1,
            consents: limits.2,
            broken_promise: limits.3,
            budget_spent: limits.4,
            ..Sketch::default()
        }
    })
}

pub(crate) fn id<K: terms::IdKind>(n: u128) -> Id<K> {
    Id::from_uuid(Uuid::from_u128(n))
}

fn treatment(n: usize, draft: &Draft) -> Arc<Candidate> {
    let list = |text: Option<&str>| text.map(str::to_owned).into_iter().collect();
    let spec = TreatmentSpec {
        name: format!("t{n}"),
        value: draft.value,
        eligibility: draft.rule.to_owned(),
        topics: list(draft.topic),
        needs_served: list(draft.serves),
        purpose: draft.purpose.to_owned(),
        channel: draft.channel.to_owned(),
        selling: draft.selling,
        uses_contact_budget: draft.uses_budget,
        min_identity_confidence: draft.min_confidence,
        state: if draft.paused { TreatmentState::Paused } else { TreatmentState::Active },
        valid_until: draft.valid_until,
        ..TreatmentSpec::default()
    };
    spec.check().unwrap();
    let treatment =
        Treatment { id: id(n as u128 + 1), version: 1, created_at: NOW, updated_at: NOW, deleted: false, spec };
    Arc::new(Candidate::new(treatment).unwrap())
}

pub(crate) fn place(sketch: &Sketch) -> Place {
    let candidates: Vec<_> = sketch.treatments.iter().enumerate().map(|(n, draft)| treatment(n, draft)).collect();
    let default = sketch.default.then(|| treatment(99, &Draft { topic: Some("sport"), ..Draft::default() }));
    let touchpoint = Touchpoint {
        id: id(1),
        version: 1,
        created_at: NOW,
        updated_at: NOW,
        deleted: false,
        candidates: candidates.iter().map(|c| c.treatment.id).collect(),
        default: default.as_ref().map(|d| d.treatment.id),
        spec: TouchpointSpec {
            name: "home".into(),
            policy: Policy { kind: sketch.policy, max_results: sketch.results, exploration_floor: 0.0 },
            ..TouchpointSpec::default()
        },
    };
    Place { touchpoint: Arc::new(touchpoint), candidates: candidates.into(), default, catalog_version: 1 }
}

fn map(entries: impl IntoIterator<Item = (&'static str, &'static str)>) -> Value {
    entries.into_iter().collect()
}

pub(crate) fn profile(sketch: &Sketch) -> Profile {
    let mut profile = Profile { customer: Some(CustomerId::from_uuid(Uuid::from_u128(1))), ..Profile::default() };
    profile.identity.confidence = sketch.confidence;
    profile.identity.contested = sketch.contested;
    profile.identity.traits = map(sketch.country.map(|country| ("country", country)));
    profile.segmentation.value = map(sketch.tier.map(|tier| ("tier", tier)));
    profile.segmentation.segments = sketch.segments.iter().map(|s| (*s).to_owned()).collect();
    let need = |(job, opportunity): &(&str, f64)| Need {
        job: (*job).to_owned(),
        outcome: String::new(),
        opportunity: *opportunity,
    };
    profile.segmentation.needs = sketch.needs.iter().map(need).collect();
    for (n, (topic, value, need)) in sketch.statements.iter().enumerate() {
        profile.interaction.statements.push(Statement {
            id: id(n as u128 + 100),
            topic: (*topic).into(),
            value: (*value).into(),
            kind: if *need { StatementKind::Need } else { StatementKind::Fact },
            confidence: 1.0,
            valid_until: None,
            occurred_at: NOW,
            source_interaction: String::new(),
        });
    }
    profile.interaction.statements.sort_by(|a, b| a.topic.cmp(&b.topic));
    let everything = sketch.everything_forbidden.then(|| Scope { everything: true, ..Scope::default() });
    let scopes = sketch.boundary_topics.iter().map(|t| Scope { topics: vec![(*t).to_owned()], ..Scope::default() });
    for (n, scope) in scopes.chain(everything).enumerate() {
        profile.interaction.boundaries.push(Boundary {
            id: id(n as u128 + 200),
            scope,
            valid_until: None,
            words: "never".into(),
            statement: None,
            occurred_at: NOW,
        });
    }
    for (n, (purpose, granted)) in sketch.consents.iter().enumerate() {
        profile.interaction.consents.push(Consent {
            id: id(n as u128 + 300),
            purpose: (*purpose).to_owned(),
            channel: String::new(),
            topic: String::new(),
            state: if *granted { ConsentState::Granted } else { ConsentState::Withdrawn },
            basis: Basis::Consent,
            valid_from: None,
            valid_until: None,
        });
    }
    if sketch.broken_promise {
        let promise =
            Promise { id: id(400), due_at: Some(NOW), broken: false, topic: String::new(), text: String::new() };
        profile.interaction.promises.push(promise);
    }
    if sketch.budget_spent {
        profile.interaction.budgets.push(Budget {
            channel: String::new(),
            purpose: String::new(),
            max_contacts: 1,
            window_micros: 10,
            used_at: vec![NOW],
        });
    }
    profile
}

/// Something that can be taken out of a profile.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Statement(StatementId),
    Boundary(BoundaryId),
    Consent(ConsentId),
    Promise(PromiseId),
    Attribute(String),
}

/// Everything that can be taken out.
pub(crate) fn parts(profile: &Profile) -> Vec<Part> {
    let interaction = &profile.interaction;
    let mut parts: Vec<Part> = Vec::new();
    parts.extend(interaction.statements.iter().map(|s| Part::Statement(s.id)));
    parts.extend(interaction.boundaries.iter().map(|b| Part::Boundary(b.id)));
    parts.extend(interaction.consents.iter().map(|c| Part::Consent(c.id)));
    parts.extend(interaction.promises.iter().map(|p| Part::Promise(p.id)));
    parts.extend(profile.segmentation.segments.iter().map(|s| Part::Attribute(format!("segments.{s}"))));
    parts.extend(profile.segmentation.needs.iter().map(|n| Part::Attribute(format!("needs.{}", n.job))));
    for (root, value) in [("customer", &profile.identity.traits), ("value", &profile.segmentation.value)] {
        if let Value::Map(map) = value {
            parts.extend(map.keys().map(|key| Part::Attribute(format!("{root}.{key}"))));
        }
    }
    parts
}

/// The profile without it.
pub(crate) fn without(profile: &Profile, part: &Part) -> Profile {
    let mut less = profile.clone();
    match part {
        Part::Statement(id) => less.interaction.statements.retain(|s| s.id != *id),
        Part::Boundary(id) => less.interaction.boundaries.retain(|b| b.id != *id),
        Part::Consent(id) => less.interaction.consents.retain(|c| c.id != *id),
        Part::Promise(id) => less.interaction.promises.retain(|p| p.id != *id),
        Part::Attribute(path) => match path.split_once('.') {
            Some(("segments", name)) => less.segmentation.segments.retain(|s| s != name),
            Some(("needs", job)) => less.segmentation.needs.retain(|n| n.job != job),
            Some(("customer", _)) => less.identity.traits = Value::Null,
            Some(("value", _)) => less.segmentation.value = Value::Null,
            _ => panic!("{path}"),
        },
    }
    less
}
