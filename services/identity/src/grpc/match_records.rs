//! `MatchRecords`.

use data::once;
use host::{Call, decode};
use identity_domain::{Policy, match_records::DataSet, normalise};
use prost::Message;
use rapport_proto::{google::longrunning::Operation, identity::v1::MatchRecordsRequest};
use std::sync::Arc;
use terms::{Fault, Violations};

use super::Ports;
use crate::bulk::{self, MOST_ANSWERED};

/// How many pairs are explained at most.
const MOST_PAIRS: i64 = 1_000;

pub(super) async fn match_records(ports: &Ports, call: Call, body: MatchRecordsRequest) -> Result<Operation, Fault> {
    let policy = ports.policies.get(call.tenant()).await?;
    let mut wrong = Violations::new();
    wrong.take(decode::text("matcher_id", body.matcher_id.clone(), 128));
    wrong.take(decode::share("threshold", body.threshold));
    wrong.add_if(!(0..=MOST_PAIRS).contains(&body.max_pairs_returned), "max_pairs_returned", "must be 0 to 1000");
    wrong.take(decode::request_id("request_id", body.request_id.clone()));
    wrong.add_if(
        body.records.is_empty() == body.uri.is_empty(),
        "records",
        "or `uri` is needed, and not both; give the records or where the server reads them",
    );
    if !body.uri.is_empty() {
        wrong.take(ports.bulk.places.input(&body.uri));
    }
    if !body.output_uri.is_empty() {
        wrong.take(ports.bulk.places.output(&body.output_uri, false));
    }
    check_records(&policy, &body, &mut wrong);
    wrong.done()?;
    ports.bulk.matcher(call.tenant(), &body.matcher_id).await?;
    if body.validate_only {
        // It has no name: there is no such operation.
        return Ok(Operation::default());
    }
    let once = once(&call.caller, call.rpc, &body.request_id, &body);
    let operation = ports.operations.start(&call.caller, once, &*ports.bulk, body.encode_to_vec()).await?;
    Ok(operation.message())
}

fn check_records(policy: &Arc<Policy>, body: &MatchRecordsRequest, wrong: &mut Violations) {
    wrong.add_if(body.records.len() > MOST_ANSWERED, "records", "has too many entries; give at most 10000");
    let mut set = DataSet::new(policy.clone());
    for (i, record) in body.records.iter().take(MOST_ANSWERED).enumerate() {
        let at = format!("records[{i}]");
        let Some(input) = wrong.take(bulk::input(&at, record.clone())) else { continue };
        let before = wrong.is_empty();
        for (n, claimed) in input.identifiers.iter().enumerate() {
            let read = normalise::read(&claimed.namespace, &claimed.value, policy).map(drop);
            wrong.take(read.map_err(|fault| fault.within(&format!("{at}.identifiers[{n}]"))));
        }
        if before && wrong.is_empty() {
            wrong.take(set.push(input).map_err(|fault| fault.within(&at)));
        }
    }
}
