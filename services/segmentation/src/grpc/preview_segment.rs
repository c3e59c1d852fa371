//! `PreviewSegment`.

use host::Call;
use rapport_proto::segmentation::v1::{AttributeInfluence, PreviewSegmentRequest, PreviewSegmentResponse};
use segmentation_domain::{
    ports::Store,
    preview_segment::{Trial, Tried},
    segment::{MAX_DEFINITION, SegmentId, SegmentRef},
};
use terms::{Fault, Revision, Violations};

use super::{Ports, decode};

/// Customers in one read.
const PAGE: usize = 1_000;
/// Members that are shown without a wish.
const SAMPLE: usize = 10;
/// Members that are shown at most.
const MAX_SAMPLE: usize = 1_000;

pub(super) async fn preview_segment(
    ports: &Ports,
    call: Call,
    body: PreviewSegmentRequest,
) -> Result<PreviewSegmentResponse, Fault> {
    let mut wrong = Violations::new();
    wrong.add_if(body.definition.trim().is_empty(), "definition", "is required: a rule in CEL");
    wrong.add_if(body.definition.len() > MAX_DEFINITION, "definition", "is longer than 16384 bytes");
    wrong.add_if(body.sample_size < 0, "sample_size", "is negative; give 0 for the default of 10");
    let compare_with = match body.compare_with.as_str() {
        "" => None,
        given => wrong.take(SegmentRef::parse("compare_with", given)),
    };
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least));
    wrong.done()?;
    let at_least = decode::checked(at_least)?;
    ports.reach(&call, &at_least).await?;
    let catalog = ports.segments.catalog(call.tenant()).await?;
    let trial = Trial::new(&catalog, "definition", &body.definition)?;
    let compare_with: Option<SegmentId> = compare_with.map(|which| catalog.find(&which).map(|s| s.id)).transpose()?;
    let sample = match usize::try_from(body.sample_size) {
        Ok(0) | Err(_) => SAMPLE,
        Ok(size) => size.min(MAX_SAMPLE),
    };
    let tried = look_at_all(ports, &call, &trial, compare_with, sample).await?;
    Ok(PreviewSegmentResponse {
        count: tried.count,
        population: tried.population,
        share: if tried.population > 0 { tried.count as f64 / tried.population as f64 } else { 0.0 },
        sample: tried.sample().iter().map(ToString::to_string).collect(),
        influences: if body.attributes { influences(&trial, &tried) } else { Vec::new() },
        would_enter: tried.would_enter,
        would_leave: tried.would_leave,
        depends_on: trial.depends_on.iter().cloned().collect(),
        result_type: "bool".to_owned(),
        revision: at_least.to_string(),
    })
}

async fn look_at_all<'t>(
    ports: &Ports,
    call: &Call,
    trial: &'t Trial,
    compare_with: Option<SegmentId>,
    sample: usize,
) -> Result<Tried<'t>, Fault> {
    let mut tried = Tried::new(trial, compare_with, sample, ports.clock.now());
    let mut after = None;
    loop {
        let people = ports.segments.people(call.tenant(), trial.needs(), after, PAGE).await?;
        for (customer, person) in &people {
            tried.look(*customer, person);
        }
        match people.last() {
            Some((last, _)) if people.len() == PAGE => after = Some(*last),
            _ => return Ok(tried),
        }
    }
}

/// Each attribute of each clause; first the clauses without which the most would belong.
fn influences(trial: &Trial, tried: &Tried<'_>) -> Vec<AttributeInfluence> {
    let clauses = trial.clauses().iter().zip(&tried.clauses);
    let mut influences: Vec<AttributeInfluence> = clauses
        .flat_map(|(clause, (passing, without))| {
            clause.reads.iter().map(|attribute| AttributeInfluence {
                attribute: attribute.clone(),
                clause: clause.source.clone(),
                passing: *passing,
                count_without: *without,
            })
        })
        .collect();
    influences.sort_by_key(|influence| std::cmp::Reverse(influence.count_without));
    influences
}
