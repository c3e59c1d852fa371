//! The definitions of a tenant at one moment, ready to decide by.

use std::{collections::HashMap, sync::Arc};

use terms::{Fault, Reason};

use crate::{
    rule::Rules,
    touchpoint::{Touchpoint, TouchpointId},
    treatment::{Treatment, TreatmentId},
};

/// A treatment with its rules compiled.
#[derive(Debug)]
pub struct Candidate {
    /// The treatment.
    pub treatment: Treatment,
    /// Its rules.
    pub rules: Rules,
}

impl Candidate {
    /// Compiles what was stored.
    ///
    /// # Errors
    /// When a stored rule is no rule any more.
    pub fn new(treatment: Treatment) -> Result<Self, Fault> {
        let spec = &treatment.spec;
        let rules = Rules::compile(&spec.eligibility, &spec.statement_relevance)
            .map_err(|fault| Fault::internal(format!("rules of {}: {fault}", treatment.id)))?;
        Ok(Self { treatment, rules })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.treatment.spec.name
    }
}

/// A touchpoint with its candidates at hand.
#[derive(Debug, Clone)]
pub struct Place {
    /// The touchpoint.
    pub touchpoint: Arc<Touchpoint>,
    /// Its candidates, in its order.
    pub candidates: Arc<[Arc<Candidate>]>,
    /// What remains when every candidate is excluded.
    pub default: Option<Arc<Candidate>>,
    /// The catalog's version.
    pub catalog_version: i64,
}

impl Place {
    /// Puts the candidates to a touchpoint.
    ///
    /// # Errors
    /// When `find` does not know one.
    pub fn new(
        touchpoint: Arc<Touchpoint>,
        catalog_version: i64,
        find: impl Fn(TreatmentId) -> Option<Arc<Candidate>>,
    ) -> Result<Self, Fault> {
        let find = |id: TreatmentId| {
            find(id).ok_or_else(|| Fault::internal(format!("touchpoint {} names {id}, which is gone", touchpoint.id)))
        };
        let candidates = touchpoint.candidates.iter().map(|id| find(*id)).collect::<Result<_, _>>()?;
        let default = touchpoint.default.map(find).transpose()?;
        Ok(Self { touchpoint, candidates, default, catalog_version })
    }
}

/// Every definition of a tenant. Immutable: a change makes another one.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    version: i64,
    treatments: HashMap<TreatmentId, Arc<Candidate>>,
    treatment_names: HashMap<String, TreatmentId>,
    touchpoints: HashMap<TouchpointId, Arc<Touchpoint>>,
    touchpoint_names: HashMap<String, TouchpointId>,
    places: HashMap<TouchpointId, Place>,
}

impl Catalog {
    /// Counts the changes of this tenant's definitions; 0 before the first.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// This catalog after changes that lead to `version`.
    ///
    /// # Errors
    /// When what was stored does not fit together.
    pub fn after(&self, version: i64, treatments: Vec<Treatment>, touchpoints: Vec<Touchpoint>) -> Result<Self, Fault> {
        let mut next = self.clone();
        next.version = version;
        for treatment in treatments {
            next.put_treatment(treatment)?;
        }
        for touchpoint in touchpoints {
            next.put_touchpoint(touchpoint);
        }
        next.places = next
            .touchpoints
            .values()
            .map(|touchpoint| Ok((touchpoint.id, next.place(touchpoint.clone())?)))
            .collect::<Result<_, Fault>>()?;
        Ok(next)
    }

    fn put_treatment(&mut self, treatment: Treatment) -> Result<(), Fault> {
        if treatment.deleted {
            self.treatments.remove(&treatment.id);
            self.treatment_names.remove(&treatment.spec.name);
        } else {
            self.treatment_names.insert(treatment.spec.name.clone(), treatment.id);
            self.treatments.insert(treatment.id, Arc::new(Candidate::new(treatment)?));
        }
        Ok(())
    }

    fn put_touchpoint(&mut self, touchpoint: Touchpoint) {
        if touchpoint.deleted {
            self.touchpoints.remove(&touchpoint.id);
            self.touchpoint_names.remove(&touchpoint.spec.name);
        } else {
            self.touchpoint_names.insert(touchpoint.spec.name.clone(), touchpoint.id);
            self.touchpoints.insert(touchpoint.id, Arc::new(touchpoint));
        }
    }

    fn place(&self, touchpoint: Arc<Touchpoint>) -> Result<Place, Fault> {
        Place::new(touchpoint, self.version, |id| self.treatments.get(&id).cloned())
    }

    /// Where something must be chosen, by name or id.
    ///
    /// # Errors
    /// [`Reason::TouchpointNotFound`].
    pub fn place_of(&self, touchpoint: &str) -> Result<&Place, Fault> {
        self.touchpoint_names
            .get(touchpoint)
            .copied()
            .or_else(|| touchpoint.parse().ok())
            .and_then(|id| self.places.get(&id))
            .ok_or_else(|| Fault::not_found(Reason::TouchpointNotFound, format!("touchpoint `{touchpoint}`")))
    }

    /// A treatment by name or id.
    ///
    /// # Errors
    /// [`Reason::TreatmentNotFound`].
    pub fn treatment(&self, treatment: &str) -> Result<&Arc<Candidate>, Fault> {
        self.treatment_names
            .get(treatment)
            .copied()
            .or_else(|| treatment.parse().ok())
            .and_then(|id| self.treatments.get(&id))
            .ok_or_else(|| Fault::not_found(Reason::TreatmentNotFound, format!("treatment `{treatment}`")))
    }

    /// A treatment by id.
    pub fn treatment_by_id(&self, id: TreatmentId) -> Option<&Arc<Candidate>> {
        self.treatments.get(&id)
    }

    /// Every treatment, in no order.
    pub fn treatments(&self) -> impl Iterator<Item = &Treatment> {
        self.treatments.values().map(|candidate| &candidate.treatment)
    }

    /// Every touchpoint with its candidates, in no order.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.values()
    }

    /// Names of the touchpoints that use a treatment, sorted.
    pub fn users_of(&self, treatment: TreatmentId) -> Vec<&str> {
        let uses = |t: &&Arc<Touchpoint>| t.candidates.contains(&treatment) || t.default == Some(treatment);
        let mut names: Vec<_> = self.touchpoints.values().filter(uses).map(|t| t.spec.name.as_str()).collect();
        names.sort_unstable();
        names
    }
}
