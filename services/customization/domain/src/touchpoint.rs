//! Touchpoints: where something must be chosen.

use serde::{Deserialize, Serialize};
use terms::{Fault, Id, Reason, Timestamp, Violations};

use crate::{
    key::{check_length, check_name, check_optional_key, check_range},
    treatment::TreatmentId,
};

/// The id of a touchpoint, `tp_…`.
pub type TouchpointId = Id<terms::id::Touchpoint>;

/// The most candidates of a touchpoint.
pub const CANDIDATES_MAX: usize = 1_000;
/// The most treatments in a reply.
pub const RESULTS_MAX: u32 = 100;

/// A touchpoint at one version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Touchpoint {
    /// Its id.
    pub id: TouchpointId,
    /// From 1; every change makes a new one.
    pub version: u64,
    /// When it was created (record time).
    pub created_at: Timestamp,
    /// When this version was made (record time).
    pub updated_at: Timestamp,
    /// Whether it was deleted; the version stays for replay.
    #[serde(default)]
    pub deleted: bool,
    /// The candidates, each once, in the order given.
    pub candidates: Vec<TreatmentId>,
    /// What remains when every candidate is excluded.
    pub default: Option<TreatmentId>,
    /// What else it says.
    pub spec: TouchpointSpec,
}

/// What a touchpoint says: everything that the caller writes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TouchpointSpec {
    /// Handle; never changes.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// What is chosen there.
    pub description: String,
    /// Candidates by name or id, as written; resolved ones stand in [`Touchpoint::candidates`].
    #[serde(skip)]
    pub treatments: Vec<String>,
    /// Name or id of the treatment that is safe for everyone; empty: none.
    #[serde(skip)]
    pub default_treatment: String,
    /// How to choose.
    pub policy: Policy,
    /// Its channel, for permission; empty: none needed.
    pub channel: String,
}

/// How a touchpoint chooses among its candidates.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// The method.
    pub kind: PolicyKind,
    /// Most treatments in a reply; 0: 1.
    pub max_results: u32,
    /// Least probability with which a learning policy tries each candidate.
    pub exploration_floor: f64,
}

/// Methods of choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// Highest score first; ties by name.
    #[default]
    Deterministic,
    /// Thompson sampling.
    Thompson,
    /// Linear contextual bandit.
    LinearBandit,
    /// Each candidate with the same probability.
    Uniform,
}

impl PolicyKind {
    /// Whether this release can choose by it.
    pub const fn is_served(self) -> bool {
        matches!(self, Self::Deterministic | Self::Uniform)
    }
}

macro_rules! fields {
    ($($name:ident),* $(,)?) => {
        impl TouchpointSpec {
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

fields!(display_name, description, treatments, default_treatment, policy, channel);

impl TouchpointSpec {
    /// How many treatments a reply may hold.
    pub fn max_results(&self) -> usize {
        self.policy.max_results.clamp(1, RESULTS_MAX) as usize
    }

    /// Checks every field, but for whether the treatments exist.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] with every violation; [`Reason::NotYetServed`] for a policy of a later release.
    pub fn check(&self) -> Result<(), Fault> {
        let mut wrong = Violations::new();
        check_name(&mut wrong, "name", &self.name);
        check_length(&mut wrong, "display_name", &self.display_name, 256);
        check_length(&mut wrong, "description", &self.description, 4_096);
        check_optional_key(&mut wrong, "channel", &self.channel);
        if self.treatments.len() > CANDIDATES_MAX {
            let n = self.treatments.len();
            wrong.add("treatments", format!("has {n} entries; at most {CANDIDATES_MAX} are taken"));
        }
        if self.policy.max_results > RESULTS_MAX {
            wrong.add("policy.max_results", format!("is {}; at most {RESULTS_MAX}", self.policy.max_results));
        }
        check_range(&mut wrong, "policy.exploration_floor", self.policy.exploration_floor, 0.0, 1.0);
        wrong.done()?;
        if self.policy.kind.is_served() {
            return Ok(());
        }
        Err(Fault::new(
            Reason::NotYetServed,
            "policies that learn come with a later release; use a deterministic or a uniform one",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_that_learn_are_not_served_yet() {
        let mut spec = TouchpointSpec { name: "home".into(), ..TouchpointSpec::default() };
        assert!(spec.check().is_ok());
        spec.policy.kind = PolicyKind::Thompson;
        assert_eq!(spec.check().unwrap_err().reason(), Reason::NotYetServed);
        spec.policy.max_results = 101;
        assert_eq!(spec.check().unwrap_err().reason(), Reason::InvalidFields);
    }
}
