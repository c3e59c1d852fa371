//! Treatments: what can be done differently.

use serde::{Deserialize, Serialize};
use terms::{Fault, Id, Reason, Timestamp, Violations};

use crate::{
    key::{KEY_MAX, TOPIC_MAX, check_keys, check_length, check_name, check_optional_key, check_range},
    rule::Rules,
};

/// The id of a treatment, `trt_…`.
pub type TreatmentId = Id<terms::id::Treatment>;

/// Probability of success before anything is learnt, where the treatment says none.
pub const PROPENSITY_PRIOR: f64 = 0.1;
/// The purpose where the treatment says none.
pub const SERVICE: &str = "service";
/// The largest value, cost or lever.
const AMOUNT_MAX: f64 = 1e12;

/// A treatment at one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Treatment {
    /// Its id.
    pub id: TreatmentId,
    /// From 1; every change makes a new one.
    pub version: u64,
    /// When it was created (record time).
    pub created_at: Timestamp,
    /// When this version was made (record time).
    pub updated_at: Timestamp,
    /// Whether it was deleted; the version stays for replay.
    #[serde(default)]
    pub deleted: bool,
    /// What it says.
    pub spec: TreatmentSpec,
}

/// Whether a treatment may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TreatmentState {
    /// It may be.
    #[default]
    Active,
    /// It is never chosen.
    Paused,
}

/// What a treatment says: everything that the caller writes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TreatmentSpec {
    /// Handle; never changes.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// What it is for.
    pub description: String,
    /// What the caller gets to show or do.
    pub content: serde_json::Value,
    /// CEL: for whom it is. Empty: everyone.
    pub eligibility: String,
    /// Keys of jobs, or `job/outcome`, that it serves.
    pub needs_served: Vec<String>,
    /// Tags by which boundaries may exclude it.
    pub tags: Vec<String>,
    /// Dotted topics that it touches.
    pub topics: Vec<String>,
    /// What one success is worth; 0 is the same as 1.
    pub value: f64,
    /// What using it costs.
    pub cost: f64,
    /// Purpose for which permission is needed; empty: `service`.
    pub purpose: String,
    /// Channel for which permission is needed; empty: that of the touchpoint.
    pub channel: String,
    /// What it offers in return for engagement; empty: nothing.
    pub inducement: String,
    /// How sure of the identity it must be, 0 to 1.
    pub min_identity_confidence: f64,
    /// Probability of success before anything is learnt; 0: 0.1.
    pub propensity_prior: f64,
    /// Weight by the business; 0: 1.
    pub lever: f64,
    /// Whether it sells something.
    pub selling: bool,
    /// Whether carrying it out contacts the customer.
    pub uses_contact_budget: bool,
    /// CEL: a factor on the need fit. Empty: 1.
    pub statement_relevance: String,
    /// Whether it may be chosen.
    pub state: TreatmentState,
    /// From when it may be chosen.
    pub valid_from: Option<Timestamp>,
    /// Until when it may be chosen.
    pub valid_until: Option<Timestamp>,
}

macro_rules! fields {
    ($($name:ident),* $(,)?) => {
        impl TreatmentSpec {
            /// Every field that an update may change, as in update masks.
            pub const FIELDS: &'static [&'static str] = &[$(stringify!($name)),*];

            /// Takes one field from `other`. False if there is no such field.
            pub fn take(&mut self, field: &str, other: &Self) -> bool {
                match field {
                    $(stringify!($name) => self.$name.clone_from(&other.$name),)*
                    _ => return false,
                }
                true
            }

            /// The fields in which `self` says something.
            pub fn set_fields(&self) -> Vec<&'static str> {
                let blank = Self::default();
                let mut set = Vec::new();
                $(if self.$name != blank.$name { set.push(stringify!($name)); })*
                set
            }
        }
    };
}

fields!(
    display_name,
    description,
    content,
    eligibility,
    needs_served,
    tags,
    topics,
    value,
    cost,
    purpose,
    channel,
    inducement,
    min_identity_confidence,
    propensity_prior,
    lever,
    selling,
    uses_contact_budget,
    statement_relevance,
    state,
    valid_from,
    valid_until,
);

impl TreatmentSpec {
    /// The purpose for which permission is needed.
    pub fn purpose(&self) -> &str {
        if self.purpose.is_empty() { SERVICE } else { &self.purpose }
    }

    /// Checks every field and compiles the rules.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] and [`Reason::RuleInvalid`], with every violation; [`Reason::NotYetServed`] for what
    /// comes with a later release.
    pub fn check(&self) -> Result<Rules, Fault> {
        let mut wrong = Violations::new();
        check_name(&mut wrong, "name", &self.name);
        self.check_texts(&mut wrong);
        self.check_numbers(&mut wrong);
        let rules = match Rules::compile(&self.eligibility, &self.statement_relevance) {
            Err(fault) if fault.reason() == Reason::RuleInvalid => wrong.take(Err(fault)).ok_or_else(not_compiled),
            outcome => outcome,
        };
        wrong.done()?;
        rules
    }

    fn check_texts(&self, wrong: &mut Violations) {
        check_length(wrong, "display_name", &self.display_name, 256);
        check_length(wrong, "description", &self.description, 4_096);
        let content = serde_json::to_string(&self.content).map_or(0, |text| text.len());
        if content > 64 << 10 {
            wrong.add("content", format!("has {content} bytes as JSON; at most 65536 are taken"));
        }
        if self.needs_served.len() > 64 {
            wrong.add("needs_served", format!("has {} entries; at most 64 are taken", self.needs_served.len()));
        }
        for (i, need) in self.needs_served.iter().enumerate() {
            let (job, outcome) = need.split_once('/').unwrap_or((need, "outcome"));
            if !crate::key::is_key(job, TOPIC_MAX) || !crate::key::is_key(outcome, TOPIC_MAX) {
                wrong.add(format!("needs_served[{i}]"), "must be the key of a job, or `job/outcome`");
            }
        }
        check_keys(wrong, "tags", &self.tags, 64, KEY_MAX);
        check_keys(wrong, "topics", &self.topics, 64, TOPIC_MAX);
        check_optional_key(wrong, "purpose", &self.purpose);
        check_optional_key(wrong, "channel", &self.channel);
        check_length(wrong, "inducement", &self.inducement, 256);
    }

    fn check_numbers(&self, wrong: &mut Violations) {
        check_range(wrong, "value", self.value, 0.0, AMOUNT_MAX);
        check_range(wrong, "cost", self.cost, 0.0, AMOUNT_MAX);
        check_range(wrong, "min_identity_confidence", self.min_identity_confidence, 0.0, 1.0);
        check_range(wrong, "propensity_prior", self.propensity_prior, 0.0, 1.0);
        check_range(wrong, "lever", self.lever, 0.0, AMOUNT_MAX);
        if let (Some(from), Some(until)) = (self.valid_from, self.valid_until)
            && until <= from
        {
            wrong.add("valid_until", "must be later than `valid_from`");
        }
    }
}

/// Stands in for rules that are wrong; the violations say why.
fn not_compiled() -> Fault {
    Fault::internal("rules that are right were not compiled")
}

/// The etag of a version.
pub fn etag(version: u64) -> String {
    format!("v{version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_field_is_told() {
        let spec = TreatmentSpec {
            name: "No".into(),
            tags: vec!["a b".into()],
            needs_served: vec!["a//b".into()],
            lever: f64::NAN,
            min_identity_confidence: 2.0,
            eligibility: "customer.country ==".into(),
            ..TreatmentSpec::default()
        };
        let fault = spec.check().unwrap_err();
        assert_eq!(fault.reason(), Reason::RuleInvalid);
        let fields: Vec<_> = fault.violations().iter().map(|v| v.field.as_str()).collect();
        for field in ["name", "tags[0]", "needs_served[0]", "lever", "min_identity_confidence", "eligibility"] {
            assert!(fields.contains(&field), "{field} of {fields:?}");
        }
    }

    #[test]
    fn every_field_but_the_name_can_be_taken() {
        let other = TreatmentSpec { name: "b".into(), lever: 2.0, tags: vec!["x".into()], ..TreatmentSpec::default() };
        let mut spec = TreatmentSpec { name: "a".into(), ..TreatmentSpec::default() };
        for field in TreatmentSpec::FIELDS {
            assert!(spec.take(field, &other));
        }
        assert!(!spec.take("name", &other) && !spec.take("x", &other));
        assert_eq!(spec, TreatmentSpec { name: "a".into(), ..other.clone() });
        assert_eq!(other.set_fields(), ["tags", "lever"]);
    }
}
