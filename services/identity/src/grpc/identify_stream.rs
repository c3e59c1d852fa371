//! `IdentifyStream`: what arrives together is written together.

use std::sync::Arc;

use data::once;
use futures::{Stream, StreamExt};
use host::{Call, Requests, decode};
use identity_domain::{Identified, Identify, Policy};
use prost::Message;
use rapport_proto::{
    google::rpc,
    identity::v1::{
        IdentifyResponse, IdentifyStreamRequest, IdentifyStreamResponse, IdentifyVerdict, identify_verdict::Outcome,
    },
};
use terms::{CustomerId, Fault, Identifier, Once, Revision, Service, Violations, partition};

use super::{Ports, identify::checked};
use crate::encode;

/// How many records one transaction takes at most. It takes fewer when fewer have arrived; it waits for none.
const GROUP: usize = 256;
/// The RPC whose request ids count: those of single records.
const IDENTIFY: &str = "rapport.identity.v1.IdentityService/Identify";

pub(super) async fn identify_stream(
    ports: Arc<Ports>,
    call: Call,
    records: Requests<IdentifyStreamRequest>,
) -> Result<impl Stream<Item = Result<IdentifyStreamResponse, Fault>> + Send + 'static, Fault> {
    let groups = records.enumerate().ready_chunks(GROUP);
    Ok(groups.then(move |group| {
        let (ports, call) = (ports.clone(), call.clone());
        async move { verdicts(&ports, &call, group).await }
    }))
}

/// A record of the stream on its way to its verdict.
struct Item {
    index: u64,
    correlation: String,
    state: State,
}

enum State {
    Waiting { command: Box<Identify>, claims: Vec<Identifier>, once: Option<Once> },
    Done(Outcome),
}

/// The verdicts on a group, in its order. A record that cannot be read from the wire ends the stream.
async fn verdicts(
    ports: &Ports,
    call: &Call,
    group: Vec<(usize, Result<IdentifyStreamRequest, Fault>)>,
) -> Result<IdentifyStreamResponse, Fault> {
    let policy = ports.policies.get(call.tenant()).await?;
    let mut items = Vec::with_capacity(group.len());
    for (index, record) in group {
        items.push(item(ports, call, &policy, index as u64, record?));
    }
    let mut from = 0;
    while let Some(rest) = items.get_mut(from..).filter(|rest| !rest.is_empty()) {
        from += run(ports, call, rest).await;
    }
    let verdicts = items.into_iter().map(|item| IdentifyVerdict {
        index: item.index,
        correlation: item.correlation,
        outcome: match item.state {
            State::Done(outcome) => Some(outcome),
            State::Waiting { .. } => Some(refused(Fault::internal("a record was passed over"))),
        },
    });
    Ok(IdentifyStreamResponse { verdicts: verdicts.collect() })
}

fn item(ports: &Ports, call: &Call, policy: &Arc<Policy>, index: u64, request: IdentifyStreamRequest) -> Item {
    let mut wrong = Violations::new();
    wrong.add_if(request.correlation.len() > 128, "correlation", "is too long; give at most 128 bytes");
    let record = wrong.take(decode::required("record", request.record));
    let checked = record.and_then(|record| {
        let once = once(&call.caller, IDENTIFY, &record.request_id, &record);
        wrong.take(checked(ports, policy, record, once).map_err(|fault| fault.within("record")))
    });
    let checked = checked
        .map(|(command, claims, once)| (Identify { defer_matching: request.defer_matching, ..command }, claims, once));
    let state = match (wrong.done(), checked) {
        (Ok(()), Some((command, claims, once))) => State::Waiting { command: Box::new(command), claims, once },
        (Err(fault), _) => State::Done(refused(fault)),
        (Ok(()), None) => State::Done(refused(Fault::internal("a checked record is missing"))),
    };
    // A correlation that is too long is not worth sending back.
    let correlation = if request.correlation.len() > 128 { String::new() } else { request.correlation };
    Item { index, correlation, state }
}

/// Carries out what stands first: one record with a request id, or all up to the next such. Gives how many.
async fn run(ports: &Ports, call: &Call, items: &mut [Item]) -> usize {
    // A request id, a trial and a question without permission to create concern one record alone.
    let alone = |item: &Item| match &item.state {
        State::Waiting { once, command, .. } => once.is_some() || command.validate_only || !command.create_if_missing,
        State::Done(_) => false,
    };
    if let Some(first) = items.first_mut()
        && alone(first)
        && let State::Waiting { command, claims, once } = &mut first.state
    {
        let written = ports.customers.identify(&call.caller, once.take(), (**command).clone()).await;
        let outcome = match written {
            Ok(written) => Outcome::Result(encode::identified(&written.value, claims, &written.revision)),
            Err(fault) => refused(fault),
        };
        first.state = State::Done(outcome);
        return 1;
    }
    let count = items.iter().position(alone).unwrap_or(items.len());
    let commands: Vec<Identify> = items
        .iter()
        .take(count)
        .filter_map(|item| match &item.state {
            State::Waiting { command, .. } => Some((**command).clone()),
            State::Done(_) => None,
        })
        .collect();
    if commands.is_empty() {
        return count;
    }
    let written = ports.customers.identify_many(&call.caller, commands).await;
    let (mut verdicts, revision, failure) = match written {
        Ok(written) => (written.value.into_iter(), written.revision, None),
        Err(fault) => (Vec::new().into_iter(), Revision::new(), Some(status(fault))),
    };
    for item in items.iter_mut().take(count) {
        let State::Waiting { claims, .. } = &item.state else { continue };
        item.state = State::Done(match (verdicts.next(), &failure) {
            (Some(Ok(reply)), _) => Outcome::Result(taken(call, &reply, claims, &revision)),
            (Some(Err(fault)), _) => refused(fault),
            (None, Some(failure)) => Outcome::Error(failure.clone()),
            (None, None) => refused(Fault::internal("a record had no verdict")),
        });
    }
    count
}

/// The answer with what the group's revision says of its customers.
fn taken(call: &Call, reply: &Identified, claims: &[Identifier], group: &Revision) -> IdentifyResponse {
    let mut revision = Revision::new();
    let customers: Vec<CustomerId> = reply.customer.into_iter().chain(reply.merged.iter().copied()).collect();
    for customer in customers {
        let partition = partition(call.tenant(), customer);
        if let Some(position) = group.position(Service::Identity, partition) {
            revision.raise(Service::Identity, partition, position);
        }
    }
    encode::identified(reply, claims, &revision)
}

fn refused(fault: Fault) -> Outcome {
    Outcome::Error(status(fault))
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
