//! `RecordInteractions`: what arrives together is written together, and acknowledged when it is on disk.

use std::sync::Arc;

use futures::{Stream, StreamExt, future};
use host::{Call, Requests};
use interaction_domain::{
    draft::InteractionDraft,
    record_interactions::{Batch, record_interactions as record},
};
use prost::Message;
use rapport_proto::{
    google::rpc,
    interaction::v1::{
        RecordInteractionsRequest, RecordInteractionsResponse, RecordVerdict, RecordedInteraction,
        record_verdict::Outcome,
    },
};
use terms::{Fault, Revision, Violations};
use tracing::Instrument;

use super::Ports;
use crate::decode;

/// How many groups are under way at once: one is read and resolved while the one before it is written. With the size of
/// a group it bounds what a stream holds; what comes beyond waits in the transport.
const GROUPS: usize = 2;
/// The longest correlation, in bytes.
const CORRELATION_MAX: usize = 128;

pub(super) async fn record_interactions(
    ports: Arc<Ports>,
    call: Call,
    records: Requests<RecordInteractionsRequest>,
) -> Result<impl Stream<Item = Result<RecordInteractionsResponse, Fault>> + Send + 'static, Fault> {
    let size = ports.config.stream_group.max(1);
    let groups = records.enumerate().ready_chunks(size);
    let answers = groups
        .map(move |group| {
            let (ports, call) = (ports.clone(), call.clone());
            let work = async move { verdicts(&ports, &call, group).await };
            // In a task of its own: groups are worked on while the stream reads on.
            let task = tokio::spawn(work.in_current_span());
            async move { task.await.unwrap_or_else(|_| (Vec::new(), Revision::new(), Some(gone()))) }
        })
        .buffered(GROUPS);
    Ok(answers
        .scan(Revision::new(), |so_far, (verdicts, revision, fault)| {
            so_far.merge(&revision);
            let answer = RecordInteractionsResponse { verdicts, revision: so_far.to_string() };
            let answer = if answer.verdicts.is_empty() { None } else { Some(Ok(answer)) };
            let items: Vec<Result<_, Fault>> = answer.into_iter().chain(fault.map(Err)).collect();
            future::ready(Some(futures::stream::iter(items)))
        })
        .flatten())
}

fn gone() -> Fault {
    Fault::new(terms::Reason::ShuttingDown, "the server is going away; send again what has no verdict")
}

/// The verdicts on a group, in its order; and the fault that ends the stream, if a message could not be read.
async fn verdicts(
    ports: &Ports,
    call: &Call,
    group: Vec<(usize, Result<RecordInteractionsRequest, Fault>)>,
) -> (Vec<RecordVerdict>, Revision, Option<Fault>) {
    let now = ports.domain.clock.now();
    let (mut places, mut drafts, mut end) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()), None);
    for (index, record) in group {
        match record {
            Ok(record) => {
                let (correlation, draft) = read(record, now);
                places.push((index as u64, correlation));
                drafts.push(draft);
            }
            Err(fault) => {
                end = Some(fault);
                break;
            }
        }
    }
    let (outcomes, revision): (Vec<Outcome>, Revision) = match record(&ports.domain, &call.caller, drafts).await {
        Ok(Batch { verdicts, revision }) => (verdicts.into_iter().map(outcome).collect(), revision),
        Err(fault) => {
            let status = status(fault);
            (places.iter().map(|_| Outcome::Error(status.clone())).collect(), Revision::new())
        }
    };
    let verdicts = places.into_iter().zip(outcomes).map(|((index, correlation), outcome)| RecordVerdict {
        index,
        correlation,
        outcome: Some(outcome),
    });
    (verdicts.collect(), revision, end)
}

fn read(record: RecordInteractionsRequest, now: terms::Timestamp) -> (String, Result<InteractionDraft, Fault>) {
    let mut wrong = Violations::new();
    let long = record.correlation.len() > CORRELATION_MAX;
    wrong.add_if(long, "correlation", "is too long; give at most 128 bytes");
    let draft = decode::interaction(&mut wrong, "interaction", record.interaction, now);
    let draft = wrong.done().and_then(|()| draft.ok_or_else(decode::incomplete));
    // A correlation that is too long is not worth sending back.
    (if long { String::new() } else { record.correlation }, draft)
}

fn outcome(verdict: Result<interaction_domain::record::Acknowledged, Fault>) -> Outcome {
    match verdict {
        Ok(taken) => Outcome::Recorded(RecordedInteraction {
            interaction_id: taken.interaction.to_string(),
            customer_id: taken.customer.to_string(),
            statement_ids: taken.statements.iter().map(ToString::to_string).collect(),
            duplicate: taken.duplicate,
        }),
        Err(fault) => Outcome::Error(status(fault)),
    }
}

/// The status of a unary call, as a message.
fn status(fault: Fault) -> rpc::Status {
    let status = host::status(fault);
    rpc::Status::decode(status.details()).unwrap_or_else(|_| rpc::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: vec![],
    })
}
