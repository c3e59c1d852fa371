//! `DecideBatch`.

use futures::{StreamExt, stream};
use host::{Call, decode};
use prost::Message;
use rapport_proto::{
    customization::v1::{
        DecideBatchRequest, DecideBatchResponse, DecideRequest, DecideResponse, DecideResult, decide_result,
    },
    google::rpc,
};
use sha2::{Digest, Sha256};
use terms::{Fault, Once, Revision, Violations};

use super::{
    Ports,
    decide::{Wanted, log, make},
};

/// The most decisions in one call.
const MOST: usize = 1_000;
/// How many profiles are read at once, where they are not in process.
const AT_ONCE: usize = 32;

pub(super) async fn decide_batch(
    ports: &Ports,
    call: Call,
    body: DecideBatchRequest,
) -> Result<DecideBatchResponse, Fault> {
    let mut wrong = Violations::new();
    let once = super::once(&mut wrong, &call, "DecideBatch", &body.request_id, &body);
    let requests = wrong.take(decode::at_most("requests", body.requests, MOST)).unwrap_or_default();
    wrong.add_if(wrong.is_empty() && requests.is_empty(), "requests", "is empty; ask for at least one decision");
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let (ports, call, at_least) = (&ports, &call, &at_least);
    let each = requests.into_iter().enumerate().map(|(n, request)| {
        let once = once.as_ref().map(|once| part(once, n));
        async move { one(ports, call, request, at_least, once).await }
    });
    let outcomes: Vec<_> = stream::iter(each).buffered(AT_ONCE).collect().await;
    let mut revision = Revision::new();
    for decision in outcomes.iter().flatten() {
        revision.merge(&Revision::parse("revision", &decision.revision)?);
    }
    let result = |outcome| match outcome {
        Ok(decision) => decide_result::Result::Decision(decision),
        Err(fault) => decide_result::Result::Error(status(fault)),
    };
    let results = outcomes.into_iter().map(|outcome| DecideResult { result: Some(result(outcome)) }).collect();
    Ok(DecideBatchResponse { results, revision: revision.to_string() })
}

async fn one(
    ports: &Ports,
    call: &Call,
    request: DecideRequest,
    at_least: &Revision,
    once: Option<Once>,
) -> Result<DecideResponse, Fault> {
    let mut wanted = Wanted::decode(Violations::new(), request)?;
    wanted.at_least.merge(at_least);
    let made = make(ports, call, &wanted).await?;
    log(ports, made, once).await
}

/// The key of one decision of a batch: its place, and the body of the whole.
fn part(once: &Once, n: usize) -> Once {
    let fingerprint = Sha256::new().chain_update(once.fingerprint).chain_update(n.to_be_bytes()).finalize().into();
    Once { request_id: format!("{}#{n}", once.request_id), fingerprint, ..once.clone() }
}

fn status(fault: Fault) -> rpc::Status {
    let status = host::status(fault);
    rpc::Status::decode(status.details()).unwrap_or_else(|_| rpc::Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}
