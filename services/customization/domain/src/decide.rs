//! Chooses among the treatments of a touchpoint for one customer, and says why. Pure: the same arguments give the same
//! decision, byte for byte.
//!
//! Candidates → guards → score → rank → default if none remained → `because`: what the result would have been without
//! each thing that was read.

use std::sync::Arc;

use rules::Value;
use terms::Timestamp;

use crate::{
    catalog::{Candidate, Place},
    guard::{Evidence, Exclusion, Guard, pass, pass_default},
    profile::{BoundaryId, ConsentId, Profile, PromiseId, StatementId, look_up},
    score::{Parts, parts},
    touchpoint::PolicyKind,
    treatment::TreatmentId,
    view::{Factor, Reads, View},
};

/// Which version of this procedure: logged with each decision.
pub const ENGINE_VERSION: &str = "1";

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Where.
    pub place: &'a Place,
    /// For whom.
    pub profile: &'a Profile,
    /// In which situation: a map, or null.
    pub context: &'a Value,
    /// What rules see as now.
    pub now: Timestamp,
    /// Makes every random choice.
    pub seed: u64,
    /// Most treatments; `None`: as many as the touchpoint allows.
    pub limit: Option<usize>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// What to do, best first.
    pub ranked: Vec<Ranked>,
    /// What was ruled out, in the order of the candidates.
    pub excluded: Vec<Excluded>,
    /// What changed the result, in the order in which it was read.
    pub because: Vec<Because>,
    /// Whether only the default remained.
    pub defaulted: bool,
}

/// A treatment of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// The candidate at this place in the list.
    Candidate(usize),
    /// The default.
    Default,
}

impl Pick {
    /// The treatment.
    pub fn of(self, place: &Place) -> Option<&Arc<Candidate>> {
        match self {
            Self::Candidate(n) => place.candidates.get(n),
            Self::Default => place.default.as_ref(),
        }
    }
}

/// A treatment that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    /// Which.
    pub pick: Pick,
    /// Its score.
    pub score: f64,
    /// The parts of the score.
    pub parts: Parts,
    /// Probability with which the policy chose it for this place.
    pub propensity: f64,
}

/// A candidate that was ruled out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    /// Its place in the list.
    pub candidate: usize,
    /// The first guard that held it back.
    pub guard: Guard,
    /// What stands behind it.
    pub evidence: Evidence,
}

/// Something that changed the result.
#[derive(Debug, Clone, PartialEq)]
pub struct Because {
    /// What.
    pub cause: Cause,
    /// The result without it.
    pub without: Vec<Pick>,
}

/// What can change a result.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// What the customer said on a topic.
    Statement {
        /// Its id.
        id: StatementId,
        /// Its topic.
        topic: Arc<str>,
        /// What they said.
        value: Value,
    },
    /// A boundary, and the statement that goes with it.
    Boundary(BoundaryId, Option<StatementId>),
    /// A consent.
    Consent(ConsentId),
    /// A broken promise.
    Promise(PromiseId),
    /// An attribute, a membership (`segments.<name>`) or a need (`needs.<job>`).
    Attribute {
        /// Its path.
        path: Arc<str>,
        /// Its value.
        value: Value,
    },
}

impl Ask<'_> {
    fn limit(&self) -> usize {
        let allowed = self.place.touchpoint.spec.max_results();
        self.limit.map_or(allowed, |limit| limit.clamp(1, allowed))
    }

    fn channel(&self) -> &str {
        &self.place.touchpoint.spec.channel
    }

    fn view(&self) -> View<'_> {
        View::new(self.profile, self.context, self.now)
    }
}

/// Decides.
pub fn decide(ask: &Ask<'_>) -> Decision {
    let reads = Reads::default();
    let view = ask.view().noting(&reads);
    let mut readers = Vec::with_capacity(ask.place.candidates.len());
    let mut verdicts = Vec::with_capacity(ask.place.candidates.len());
    for candidate in ask.place.candidates.iter() {
        verdicts.push(judge(candidate, ask.channel(), &view));
        readers.push(reads.turn());
    }
    let scores: Vec<Option<f64>> = verdicts.iter().map(|v| v.as_ref().ok().map(Parts::score)).collect();
    let ranking = rank(ask, &scores);
    let picks = result(ask, &ranking, &view);
    let mut decision = Decision { defaulted: picks == [Pick::Default], ..Decision::default() };
    let fitting = ranking.len();
    for pick in &picks {
        decision.ranked.push(ranked(ask, *pick, &verdicts, fitting, &view));
    }
    drop(reads.turn());
    let factors = reads.into_factors();
    for (place, factor) in factors.iter().enumerate() {
        let without = reconsider(ask, factor, |candidate| reads_it(&readers, candidate, place), &scores);
        if without != picks {
            decision.because.extend(cause(ask.profile, factor).map(|cause| Because { cause, without }));
        }
    }
    decision.excluded = excluded(verdicts, &picks);
    decision
}

fn judge(candidate: &Candidate, channel: &str, view: &View<'_>) -> Result<Parts, Exclusion> {
    pass(candidate, channel, view)?;
    Ok(parts(candidate, view))
}

fn reads_it(readers: &[Vec<u16>], candidate: usize, factor: usize) -> bool {
    readers.get(candidate).is_some_and(|read| read.iter().any(|place| usize::from(*place) == factor))
}

/// Decides again as if `factor` were not known. Only candidates that read it need to be judged anew.
fn reconsider(ask: &Ask<'_>, factor: &Factor, reads: impl Fn(usize) -> bool, scores: &[Option<f64>]) -> Vec<Pick> {
    let view = ask.view().without(factor);
    let mut scores = scores.to_vec();
    for (n, (candidate, score)) in ask.place.candidates.iter().zip(&mut scores).enumerate() {
        if reads(n) {
            *score = judge(candidate, ask.channel(), &view).ok().map(|parts| parts.score());
        }
    }
    result(ask, &rank(ask, &scores), &view)
}

/// The candidates that passed, best first.
fn rank(ask: &Ask<'_>, scores: &[Option<f64>]) -> Vec<usize> {
    let uniform = ask.place.touchpoint.spec.policy.kind == PolicyKind::Uniform;
    let mut fitting: Vec<(f64, usize)> = scores
        .iter()
        .enumerate()
        .zip(ask.place.candidates.iter())
        .filter_map(|((n, score), candidate)| {
            let score = (*score)?;
            Some((if uniform { draw(ask.seed, candidate.treatment.id) } else { score }, n))
        })
        .collect();
    let name = |n: usize| ask.place.candidates.get(n).map_or("", |candidate| candidate.name());
    fitting.sort_by(|(a, m), (b, n)| b.total_cmp(a).then_with(|| name(*m).cmp(name(*n))));
    fitting.into_iter().map(|(_, n)| n).collect()
}

/// Cut to the limit; the default if nothing remained.
fn result(ask: &Ask<'_>, ranking: &[usize], view: &View<'_>) -> Vec<Pick> {
    if !ranking.is_empty() {
        return ranking.iter().take(ask.limit()).map(|n| Pick::Candidate(*n)).collect();
    }
    match &ask.place.default {
        Some(default) if pass_default(default, ask.channel(), view).is_ok() => vec![Pick::Default],
        _ => Vec::new(),
    }
}

fn ranked(ask: &Ask<'_>, pick: Pick, verdicts: &[Result<Parts, Exclusion>], fitting: usize, view: &View<'_>) -> Ranked {
    let known = match pick {
        Pick::Candidate(n) => verdicts.get(n).and_then(|verdict| verdict.as_ref().ok()).copied(),
        Pick::Default => ask.place.default.as_ref().map(|default| parts(default, view)),
    };
    let parts = known.unwrap_or_default();
    let uniform = ask.place.touchpoint.spec.policy.kind == PolicyKind::Uniform && fitting > 0;
    let propensity = if uniform { 1.0 / fitting as f64 } else { 1.0 };
    Ranked { pick, score: parts.score(), parts, propensity }
}

fn excluded(verdicts: Vec<Result<Parts, Exclusion>>, picks: &[Pick]) -> Vec<Excluded> {
    let outcome = |(candidate, verdict): (usize, Result<Parts, Exclusion>)| match verdict {
        Err(Exclusion { guard, evidence }) => Some(Excluded { candidate, guard, evidence }),
        Ok(_) if picks.contains(&Pick::Candidate(candidate)) => None,
        Ok(_) => Some(Excluded { candidate, guard: Guard::Limit, evidence: Evidence::default() }),
    };
    verdicts.into_iter().enumerate().filter_map(outcome).collect()
}

/// A number that the seed gives to a treatment: evenly spread, and the same whoever else is a candidate.
/// SplitMix64 (Steele, Lea and Flood 2014).
fn draw(seed: u64, treatment: TreatmentId) -> f64 {
    let id = treatment.uuid().as_u128();
    let mixed = mix(seed ^ mix(id as u64) ^ mix((id >> 64) as u64).rotate_left(32));
    // 53 bits: every double between 0 and 1 that can be.
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A factor by its id.
fn cause(profile: &Profile, factor: &Factor) -> Option<Cause> {
    let interaction = &profile.interaction;
    Some(match factor {
        Factor::Statement(place) => {
            let statement = interaction.statements.get(*place)?;
            Cause::Statement { id: statement.id, topic: statement.topic.clone(), value: statement.value.clone() }
        }
        Factor::Boundary(place) => {
            let boundary = interaction.boundaries.get(*place)?;
            Cause::Boundary(boundary.id, boundary.statement)
        }
        Factor::Consent(place) => Cause::Consent(interaction.consents.get(*place)?.id),
        Factor::Promise(place) => Cause::Promise(interaction.promises.get(*place)?.id),
        Factor::Need(place) => {
            let need = profile.segmentation.needs.get(*place)?;
            let path = if need.outcome.is_empty() {
                format!("needs.{}", need.job)
            } else {
                format!("needs.{}.{}", need.job, need.outcome)
            };
            Cause::Attribute { path: path.into(), value: Value::Double(need.opportunity) }
        }
        Factor::Segment(place) => {
            let path = format!("segments.{}", profile.segmentation.segments.get(*place)?);
            Cause::Attribute { path: path.into(), value: Value::Bool(true) }
        }
        Factor::Attribute(path) => {
            Cause::Attribute { path: path.clone(), value: attribute(profile, path).unwrap_or_default() }
        }
    })
}

fn attribute(profile: &Profile, path: &str) -> Option<Value> {
    let parts: Vec<Arc<str>> = path.split('.').map(Arc::from).collect();
    let (root, rest) = parts.split_first()?;
    let from = match &**root {
        "customer" => &profile.identity.traits,
        "traits" => &profile.segmentation.traits,
        "value" => &profile.segmentation.value,
        "needs" => &profile.segmentation.needs_attributes,
        _ => return None,
    };
    look_up(from, rest).cloned()
}
