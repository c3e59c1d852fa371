//! The decision record: what the log keeps of a decision, and the canonical form that replay reproduces.

use customization_domain::{
    Ask, Decision,
    catalog::Place,
    decide,
    decide::{Because, Cause, ENGINE_VERSION, Excluded, Pick, Ranked},
    guard::{Evidence, Guard},
    ports::{Effect, Logged, Word},
    profile::{Degraded, Profile},
    report_outcome::Chosen,
    score::Parts,
};
use prost::Message;
use rapport_proto::customization::v1 as wire;
use rules::Value;
use terms::{Fault, Id, IdKind, Revision};
use uuid::Uuid;

use crate::{reply, values};

/// The log's own form: result and circumstances by number, without what the definitions and the inputs say already.
/// Grows by fields, as any protobuf message; never by a change of meaning.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Body {
    #[prost(uint64, tag = "1")]
    pub(crate) touchpoint_version: u64,
    #[prost(fixed64, tag = "2")]
    pub(crate) seed: u64,
    /// As asked for; 0: as the touchpoint says.
    #[prost(uint32, tag = "3")]
    pub(crate) limit: u32,
    #[prost(bool, tag = "4")]
    pub(crate) explained: bool,
    /// A serialized `google.protobuf.Struct`.
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) context: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) revision: Vec<u8>,
    /// Bits: 1 identity, 2 interaction, 4 segmentation.
    #[prost(uint32, tag = "7")]
    pub(crate) degraded: u32,
    #[prost(string, tag = "8")]
    pub(crate) actor: String,
    #[prost(string, tag = "9")]
    pub(crate) engine: String,
    #[prost(message, repeated, tag = "10")]
    ranked: Vec<RankedBody>,
    #[prost(message, repeated, tag = "11")]
    excluded: Vec<ExcludedBody>,
    #[prost(message, repeated, tag = "12")]
    because: Vec<BecauseBody>,
    #[prost(bool, tag = "13")]
    pub(crate) defaulted: bool,
}

/// `pick` counts the candidates from 1; 0 is the default.
#[derive(Clone, PartialEq, Message)]
struct RankedBody {
    #[prost(uint32, tag = "1")]
    pick: u32,
    #[prost(double, tag = "2")]
    score: f64,
    #[prost(double, tag = "3")]
    propensity: f64,
    #[prost(double, repeated, tag = "4")]
    parts: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct ExcludedBody {
    #[prost(uint32, tag = "1")]
    candidate: u32,
    #[prost(int32, tag = "2")]
    guard: i32,
    /// 16 bytes each.
    #[prost(bytes = "vec", tag = "3")]
    statements: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    boundaries: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    consents: Vec<u8>,
    #[prost(bytes = "vec", tag = "6")]
    promises: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct BecauseBody {
    /// 1 statement, 2 boundary, 3 consent, 4 promise, 5 attribute.
    #[prost(uint32, tag = "1")]
    kind: u32,
    /// 16 bytes; of a boundary 32: then the statement that goes with it.
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    /// Topic or path.
    #[prost(string, tag = "3")]
    name: String,
    #[prost(message, optional, tag = "4")]
    value: Option<prost_types::Value>,
    #[prost(uint32, repeated, tag = "5")]
    without: Vec<u32>,
}

/// In which circumstances a decision was made.
#[derive(Debug, Clone)]
pub(crate) struct Circumstances {
    pub(crate) seed: u64,
    pub(crate) limit: u32,
    pub(crate) explained: bool,
    pub(crate) context: Vec<u8>,
    pub(crate) revision: Vec<u8>,
    pub(crate) degraded: Degraded,
    pub(crate) actor: String,
}

impl Body {
    pub(crate) fn new(place: &Place, decision: &Decision, made: Circumstances) -> Self {
        Self {
            touchpoint_version: place.touchpoint.version,
            seed: made.seed,
            limit: made.limit,
            explained: made.explained,
            context: made.context,
            revision: made.revision,
            degraded: bits(made.degraded),
            actor: made.actor,
            engine: ENGINE_VERSION.to_owned(),
            ranked: decision.ranked.iter().map(ranked_body).collect(),
            excluded: decision.excluded.iter().map(excluded_body).collect(),
            because: decision.because.iter().map(because_body).collect(),
            defaulted: decision.defaulted,
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Fault> {
        Self::decode(bytes).map_err(Fault::internal)
    }

    pub(crate) fn circumstances(&self) -> Circumstances {
        Circumstances {
            seed: self.seed,
            limit: self.limit,
            explained: self.explained,
            context: self.context.clone(),
            revision: self.revision.clone(),
            degraded: self.degraded(),
            actor: self.actor.clone(),
        }
    }

    pub(crate) fn degraded(&self) -> Degraded {
        Degraded {
            identity: self.degraded & 1 != 0,
            interaction: self.degraded & 2 != 0,
            segmentation: self.degraded & 4 != 0,
        }
    }

    /// The decision that was logged.
    pub(crate) fn decision(&self) -> Decision {
        Decision {
            ranked: self.ranked.iter().map(ranked).collect(),
            excluded: self.excluded.iter().filter_map(excluded).collect(),
            because: self.because.iter().filter_map(because).collect(),
            defaulted: self.defaulted,
        }
    }

    /// The treatments that were chosen, best first.
    pub(crate) fn chosen(&self, place: &Place) -> Vec<Chosen> {
        let candidates = self.ranked.iter().filter_map(|ranked| pick(ranked.pick).of(place));
        candidates
            .map(|candidate| Chosen {
                id: candidate.treatment.id,
                name: candidate.name().to_owned(),
                has_inducement: !candidate.treatment.spec.inducement.is_empty(),
            })
            .collect()
    }

    /// Decides again, with the inputs and the seed of then.
    pub(crate) fn again(&self, place: &Place, profile: &Profile, at: terms::Timestamp) -> Result<Self, Fault> {
        let context = context(&self.context)?;
        let limit = (self.limit > 0).then_some(self.limit as usize);
        let ask = Ask { place, profile, context: &context, now: at, seed: self.seed, limit };
        Ok(Self::new(place, &decide(&ask), self.circumstances()))
    }
}

/// The context of a decision as rules read it.
pub(crate) fn context(bytes: &[u8]) -> Result<Value, Fault> {
    Ok(values::map(Some(&prost_types::Struct::decode(bytes).map_err(Fault::internal)?)))
}

fn bits(degraded: Degraded) -> u32 {
    u32::from(degraded.identity) | u32::from(degraded.interaction) << 1 | u32::from(degraded.segmentation) << 2
}

fn number(pick: Pick) -> u32 {
    match pick {
        Pick::Default => 0,
        Pick::Candidate(n) => u32::try_from(n + 1).unwrap_or(u32::MAX),
    }
}

fn pick(number: u32) -> Pick {
    number.checked_sub(1).map_or(Pick::Default, |n| Pick::Candidate(n as usize))
}

fn ranked_body(ranked: &Ranked) -> RankedBody {
    let Parts { propensity, value, need_fit, lever, cost } = ranked.parts;
    RankedBody {
        pick: number(ranked.pick),
        score: ranked.score,
        propensity: ranked.propensity,
        parts: vec![propensity, value, need_fit, lever, cost],
    }
}

fn ranked(body: &RankedBody) -> Ranked {
    let part = |n: usize| body.parts.get(n).copied().unwrap_or_default();
    Ranked {
        pick: pick(body.pick),
        score: body.score,
        parts: Parts { propensity: part(0), value: part(1), need_fit: part(2), lever: part(3), cost: part(4) },
        propensity: body.propensity,
    }
}

fn join<K: IdKind>(ids: &[Id<K>]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

fn split<K: IdKind>(bytes: &[u8]) -> Vec<Id<K>> {
    let ids = bytes.chunks_exact(16).filter_map(|chunk| chunk.first_chunk::<16>());
    ids.map(|id| Id::from_uuid(Uuid::from_bytes(*id))).collect()
}

fn excluded_body(excluded: &Excluded) -> ExcludedBody {
    ExcludedBody {
        candidate: u32::try_from(excluded.candidate).unwrap_or(u32::MAX),
        guard: excluded.guard as i32,
        statements: join(&excluded.evidence.statements),
        boundaries: join(&excluded.evidence.boundaries),
        consents: join(&excluded.evidence.consents),
        promises: join(&excluded.evidence.promises),
    }
}

fn excluded(body: &ExcludedBody) -> Option<Excluded> {
    Some(Excluded {
        candidate: body.candidate as usize,
        guard: Guard::from_number(body.guard)?,
        evidence: Evidence {
            statements: split(&body.statements),
            boundaries: split(&body.boundaries),
            consents: split(&body.consents),
            promises: split(&body.promises),
        },
    })
}

fn because_body(because: &Because) -> BecauseBody {
    let without = because.without.iter().map(|pick| number(*pick)).collect();
    let body = |kind, id: Vec<u8>| BecauseBody { kind, id, without, ..BecauseBody::default() };
    match &because.cause {
        Cause::Statement { id, topic, value } => {
            BecauseBody { name: topic.to_string(), value: Some(values::wire(value)), ..body(1, join(&[*id])) }
        }
        Cause::Boundary(id, statement) => {
            let statement = statement.map(|id| *id.as_bytes());
            body(2, id.as_bytes().iter().copied().chain(statement.into_iter().flatten()).collect())
        }
        Cause::Consent(id) => body(3, join(&[*id])),
        Cause::Promise(id) => body(4, join(&[*id])),
        Cause::Attribute { path, value } => {
            BecauseBody { name: path.to_string(), value: Some(values::wire(value)), ..body(5, Vec::new()) }
        }
    }
}

fn because(body: &BecauseBody) -> Option<Because> {
    let value = || values::value(body.value.as_ref());
    let cause = match body.kind {
        1 => Cause::Statement { id: first(&body.id)?, topic: body.name.as_str().into(), value: value() },
        2 => Cause::Boundary(first(&body.id)?, first(body.id.get(16..).unwrap_or_default())),
        3 => Cause::Consent(first(&body.id)?),
        4 => Cause::Promise(first(&body.id)?),
        5 => Cause::Attribute { path: body.name.as_str().into(), value: value() },
        _ => return None,
    };
    Some(Because { cause, without: body.without.iter().map(|number| pick(*number)).collect() })
}

fn first<K: IdKind>(bytes: &[u8]) -> Option<Id<K>> {
    split(bytes).first().copied()
}

/// What of the customer's own words had an effect on a decision.
pub(crate) fn effects(decision: &Decision) -> Vec<Effect> {
    let mut effects: Vec<Effect> = Vec::new();
    let mut note = |of: Word, changed: bool, exclusions: u32| match effects.iter_mut().find(|e| e.of == of) {
        Some(known) => {
            known.changed |= changed;
            known.exclusions += exclusions;
        }
        None => effects.push(Effect { of, changed, exclusions }),
    };
    for because in &decision.because {
        match &because.cause {
            Cause::Statement { id, .. } => note(Word::Statement(*id), true, 0),
            Cause::Boundary(id, statement) => {
                note(Word::Boundary(*id), true, 0);
                // A boundary is the customer's word too: the statement behind it was heard.
                statement.iter().for_each(|id| note(Word::Statement(*id), true, 0));
            }
            Cause::Consent(_) | Cause::Promise(_) | Cause::Attribute { .. } => {}
        }
    }
    for id in decision.excluded.iter().flat_map(|excluded| &excluded.evidence.boundaries) {
        note(Word::Boundary(*id), false, 1);
    }
    effects
}

/// The canonical record.
pub(crate) fn record(
    logged: &Logged,
    body: &Body,
    place: &Place,
    inputs: Option<&wire::DecisionInputs>,
) -> wire::DecisionRecord {
    let decision = body.decision();
    let version = |candidate: &std::sync::Arc<customization_domain::catalog::Candidate>| wire::TreatmentVersion {
        treatment_id: candidate.treatment.id.to_string(),
        version: i64::try_from(candidate.treatment.version).unwrap_or(i64::MAX),
    };
    let revision = Revision::from_bytes(&body.revision).unwrap_or_default().to_string();
    wire::DecisionRecord {
        decision_id: logged.id.to_string(),
        customer_id: logged.arrived_as.map_or_else(String::new, |id| id.to_string()),
        touchpoint: place.touchpoint.spec.name.clone(),
        touchpoint_id: place.touchpoint.id.to_string(),
        touchpoint_version: i64::try_from(place.touchpoint.version).unwrap_or(i64::MAX),
        context: body.context.clone().into(),
        decide_time: Some(host::encode::timestamp(logged.at)),
        seed: body.seed,
        treatment_versions: place.candidates.iter().chain(&place.default).map(version).collect(),
        inputs: inputs.map(|inputs| wire::DecisionInputs { revision, ..inputs.clone() }),
        treatments: reply::ranked(place, &decision.ranked, true, |_| None),
        excluded: reply::excluded(place, &decision.excluded),
        because: reply::because(place, &decision.because),
        defaulted: body.defaulted,
        experiment: None,
        engine_version: body.engine.clone(),
        actor: body.actor.clone(),
        explained: body.explained,
        limit: i32::try_from(body.limit).unwrap_or(i32::MAX),
        experiment_version: 0,
        degraded: reply::degraded(body.degraded()),
    }
}
