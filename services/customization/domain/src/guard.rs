//! What can rule a treatment out, in the order in which it is checked.

use crate::{
    catalog::Candidate,
    permission::{is_exempt, permit},
    profile::{About, BoundaryId, ConsentId, PromiseId, StatementId},
    treatment::TreatmentState,
    view::{Factor, View},
};

/// The guards, in their order; the numbers are those of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// Paused, or outside its validity.
    Inactive = 1,
    /// The identity is not sure enough.
    IdentityConfidence = 2,
    /// A boundary of the customer.
    Boundary = 3,
    /// No permission for its purpose, channel and topics.
    Permission = 4,
    /// The contact budget is spent.
    ContactBudget = 5,
    /// Its eligibility rule does not hold.
    Eligibility = 6,
    /// It sells, and a promise to this customer was broken.
    PromiseBroken = 7,
    /// Not part of the customer's arm.
    Experiment = 8,
    /// Ranked below the limit.
    Limit = 9,
    /// What it depends on could not be read.
    ProfileUnavailable = 10,
}

impl Guard {
    /// Every guard, in order.
    pub const ALL: [Self; 10] = [
        Self::Inactive,
        Self::IdentityConfidence,
        Self::Boundary,
        Self::Permission,
        Self::ContactBudget,
        Self::Eligibility,
        Self::PromiseBroken,
        Self::Experiment,
        Self::Limit,
        Self::ProfileUnavailable,
    ];

    /// By its number.
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|guard| *guard as i32 == number)
    }

    /// Why, in one sentence.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Inactive => "It is paused, or outside of its validity.",
            Self::IdentityConfidence => "It is not sure enough who the customer is.",
            Self::Boundary => "The customer set a boundary that forbids it.",
            Self::Permission => "There is no permission for its purpose, channel and topics.",
            Self::ContactBudget => "The contact budget is spent.",
            Self::Eligibility => "Its eligibility rule does not hold.",
            Self::PromiseBroken => "It sells, and a promise to this customer was broken.",
            Self::Experiment => "It is not part of the customer's arm.",
            Self::Limit => "It ranks below the limit.",
            Self::ProfileUnavailable => "What it depends on could not be read.",
        }
    }
}

/// What stands behind an exclusion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Statements.
    pub statements: Vec<StatementId>,
    /// Boundaries.
    pub boundaries: Vec<BoundaryId>,
    /// Consents.
    pub consents: Vec<ConsentId>,
    /// Broken promises.
    pub promises: Vec<PromiseId>,
}

/// An exclusion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exclusion {
    pub(crate) guard: Guard,
    pub(crate) evidence: Evidence,
}

impl From<Guard> for Exclusion {
    fn from(guard: Guard) -> Self {
        Self { guard, evidence: Evidence::default() }
    }
}

/// Passes a candidate by every guard; the first that holds it back is named.
pub(crate) fn pass(candidate: &Candidate, channel: &str, view: &View<'_>) -> Result<(), Exclusion> {
    let spec = &candidate.treatment.spec;
    let channel = if spec.channel.is_empty() { channel } else { &spec.channel };
    let about = About { purpose: spec.purpose(), channel, topics: &spec.topics, tags: &spec.tags };
    let unread = view.profile().degraded.interaction;
    active(candidate, view)?;
    confidence(candidate, view)?;
    boundaries(&about, view)?;
    if !unread {
        permission(&about, view)?;
        budget(candidate, &about, view)?;
    }
    eligibility(candidate, view)?;
    promises(candidate, view)?;
    // Without interaction's section nothing is known of consents and promises: what needs them waits.
    let needs = (!channel.is_empty() && !is_exempt(about.purpose)) || spec.selling || spec.uses_contact_budget;
    if (unread && needs) || view.take_missed() {
        return Err(Guard::ProfileUnavailable.into());
    }
    Ok(())
}

/// Passes a default by the guards that hold even for what is safe for everyone.
pub(crate) fn pass_default(candidate: &Candidate, channel: &str, view: &View<'_>) -> Result<(), Exclusion> {
    let spec = &candidate.treatment.spec;
    let channel = if spec.channel.is_empty() { channel } else { &spec.channel };
    active(candidate, view)?;
    boundaries(&About { purpose: spec.purpose(), channel, topics: &spec.topics, tags: &spec.tags }, view)
}

fn active(candidate: &Candidate, view: &View<'_>) -> Result<(), Exclusion> {
    let spec = &candidate.treatment.spec;
    let within = spec.valid_from.is_none_or(|from| from <= view.now())
        && spec.valid_until.is_none_or(|until| view.now() < until);
    let fine = spec.state == TreatmentState::Active && !candidate.treatment.deleted && within;
    if fine { Ok(()) } else { Err(Guard::Inactive.into()) }
}

fn confidence(candidate: &Candidate, view: &View<'_>) -> Result<(), Exclusion> {
    let needed = candidate.treatment.spec.min_identity_confidence;
    if needed == 0.0 || view.profile().identity.confidence() >= needed {
        return Ok(());
    }
    let unread = view.profile().degraded.identity;
    Err(if unread { Guard::ProfileUnavailable } else { Guard::IdentityConfidence }.into())
}

fn boundaries(about: &About<'_>, view: &View<'_>) -> Result<(), Exclusion> {
    let mut evidence = Evidence::default();
    for (place, boundary) in view.boundaries().filter(|(_, b)| b.scope.covers(about)) {
        view.read(Factor::Boundary(place));
        evidence.boundaries.push(boundary.id);
        evidence.statements.extend(boundary.statement);
    }
    if evidence.boundaries.is_empty() { Ok(()) } else { Err(Exclusion { guard: Guard::Boundary, evidence }) }
}

fn permission(about: &About<'_>, view: &View<'_>) -> Result<(), Exclusion> {
    let Err(refusal) = permit(view, about) else { return Ok(()) };
    let consent = refusal.consent.and_then(|place| view.profile().interaction.consents.get(place));
    let evidence = Evidence { consents: consent.map(|c| c.id).into_iter().collect(), ..Evidence::default() };
    Err(Exclusion { guard: Guard::Permission, evidence })
}

fn budget(candidate: &Candidate, about: &About<'_>, view: &View<'_>) -> Result<(), Exclusion> {
    if !candidate.treatment.spec.uses_contact_budget || is_exempt(about.purpose) {
        return Ok(());
    }
    let budgets = &view.profile().interaction.budgets;
    let spent = budgets.iter().any(|budget| budget.is_spent(about.purpose, about.channel, view.now()));
    if spent { Err(Guard::ContactBudget.into()) } else { Ok(()) }
}

fn eligibility(candidate: &Candidate, view: &View<'_>) -> Result<(), Exclusion> {
    let Some(rule) = &candidate.rules.eligibility else { return Ok(()) };
    let holds = rule.eval(view, view.now());
    if view.take_missed() {
        return Err(Guard::ProfileUnavailable.into());
    }
    if holds { Ok(()) } else { Err(Guard::Eligibility.into()) }
}

fn promises(candidate: &Candidate, view: &View<'_>) -> Result<(), Exclusion> {
    if !candidate.treatment.spec.selling {
        return Ok(());
    }
    let mut evidence = Evidence::default();
    for (place, promise) in view.broken_promises() {
        view.read(Factor::Promise(place));
        evidence.promises.push(promise.id);
    }
    if evidence.promises.is_empty() { Ok(()) } else { Err(Exclusion { guard: Guard::PromiseBroken, evidence }) }
}
