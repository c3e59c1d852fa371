//! `rapport dev --demo`: a year of 2,469 real households, loaded through the public RPCs.
//!
//! The data is dunnhumby's "The Complete Journey" (CC0); `demo/ORIGIN.md` says what it is. Loading twice changes
//! nothing: every line has a key.
//!
//! | file | what it knows |
//! |---|---|
//! | [`lines`] | the four files, and how their lines are mapped |
//! | [`catalog`] | segments, touchpoints, treatments |

pub mod catalog;
pub mod lines;

use std::collections::{BTreeMap, BTreeSet};

use crate::connect::Transport;
use anyhow::{Context, Result, bail};
use rapport_proto::{
    customization::v1::{
        DecideBatchRequest, DecideRequest, ReportOutcomeRequest,
        customization_service_client::CustomizationServiceClient, decide_result,
    },
    google::r#type::Money,
    identity::v1::{LookupCustomerRequest, identity_service_client::IdentityServiceClient},
    interaction::v1::{
        Consent, ConsentState, LawfulBasis, RecordConsentRequest, interaction_service_client::InteractionServiceClient,
    },
    r#type::v1::{CustomerRef, Identifier, Motivation, customer_ref::Ref},
};
use terms::{Clock, Timestamp};

use crate::import::{progress, send, template::Row, value::prost_time};
use lines::Demo;

/// How many calls may be under way at once.
const CALLS: usize = 64;

/// Loads the demo into the server behind `channel`.
///
/// # Errors
/// When the server goes away, or refuses a line: the demo's lines are all good.
pub async fn load(channel: Transport, clock: &dyn Clock) -> Result<()> {
    let demo = Demo::read(clock.now())?;
    stream(&channel, "households", lines::HOUSEHOLDS, &demo, demo.households.clone()).await?;
    consents(&channel, &demo).await?;
    catalog::create(&channel).await?;
    stream(&channel, "baskets", lines::BASKETS, &demo, demo.baskets.clone()).await?;
    stream(&channel, "campaigns", lines::CAMPAIGNS, &demo, demo.mailings.clone()).await?;
    stream(&channel, "redemptions", lines::REDEMPTIONS, &demo, demo.redemptions.clone()).await?;
    outcomes(&channel, &demo).await
}

/// The household of the banner: it buys spirits now and then, and told us its demographics.
const SHOWN: &str = "1";

/// What to try first, as lines to paste.
///
/// # Errors
/// When the server does not know the household.
pub async fn banner(channel: &Transport, address: std::net::SocketAddr) -> Result<String> {
    let request = LookupCustomerRequest { customer: Some(household(SHOWN)), ..LookupCustomerRequest::default() };
    let reply = IdentityServiceClient::new(channel.clone()).lookup_customer(request).await?.into_inner();
    let port = address.port();
    let server = if port == 7400 { String::new() } else { format!(" --address http://{address}") };
    let decide = format!(
        r#"grpcurl -plaintext -d '{{"customer": {{"identifier": {{"namespace": "household", "value": "{SHOWN}"}}}}, "touchpoint": "home-page", "explain": true}}' \
      localhost:{port} rapport.customization.v1.CustomizationService/Decide"#
    );
    Ok(format!(
        r#"
The demo is loaded, for the tenant `default`, at {address}. Three things to try:

1. Who is household {SHOWN} ({id})?

  rapport show customer household:{SHOWN}{server}

2. What would the home page show it?

  {decide}

3. It tells us something; ask 2 again: it comes out differently, and `because` names the statement.

  grpcurl -plaintext -d '{{"customer": {{"identifier": {{"namespace": "household", "value": "{SHOWN}"}}}}, "statement": {{"topic": "alcohol", "kind": "STATEMENT_KIND_BOUNDARY", "value": true, "utterance": "I never want alcohol offers"}}}}' \
      localhost:{port} rapport.interaction.v1.InteractionService/RecordStatement
  grpcurl -plaintext -d '{{"customer": {{"identifier": {{"namespace": "household", "value": "{SHOWN}"}}}}, "statement": {{"topic": "diet", "kind": "STATEMENT_KIND_NEED", "value": "vegetarian", "utterance": "I cook vegetarian"}}}}' \
      localhost:{port} rapport.interaction.v1.InteractionService/RecordStatement
"#,
        id = reply.customer_id,
    ))
}

/// How a household is named in calls.
pub fn household(id: &str) -> CustomerRef {
    let identifier = Identifier { namespace: "household".to_owned(), value: id.to_owned() };
    CustomerRef { r#ref: Some(Ref::Identifier(identifier)) }
}

async fn stream(channel: &Transport, noun: &str, mapping: &str, demo: &Demo, rows: Vec<Row>) -> Result<()> {
    let mapping = lines::mapping(mapping, demo.shift_days)?;
    let bar = progress(noun, rows.len() as u64);
    let lines = rows.into_iter().zip(1..).map(|(row, number)| send::Line { number, row: Ok(row) });
    let mut outcomes = send::send(channel.clone(), mapping.into(), false, lines);
    while let Some(outcome) = outcomes.recv().await {
        if let Some(rejection) = outcome?.rejection {
            bail!("the server refused a line of the demo's {noun}: {}", rejection.message);
        }
        bar.inc(1);
    }
    bar.finish();
    Ok(())
}

/// Who holds the retailer's card may be written to, as long as they do not object.
async fn consents(channel: &Transport, demo: &Demo) -> Result<()> {
    let client = InteractionServiceClient::new(channel.clone());
    let bar = progress("permissions", demo.households.len() as u64);
    let mut calls = tokio::task::JoinSet::new();
    for id in demo.ids() {
        if calls.len() >= CALLS {
            finish_one(&mut calls).await?;
            bar.inc(1);
        }
        let mut client = client.clone();
        let request = RecordConsentRequest {
            customer: Some(household(&id)),
            consents: vec![Consent {
                purpose: "marketing".to_owned(),
                state: ConsentState::Granted.into(),
                lawful_basis: LawfulBasis::LegitimateInterest.into(),
                source: "loyalty card".to_owned(),
                occurred_at: Some(prost_time(demo.begins())),
                ..Consent::default()
            }],
            request_id: format!("demo:permission:{id}"),
            ..RecordConsentRequest::default()
        };
        calls.spawn(async move { client.record_consent(request).await.map(|_| ()) });
    }
    while !calls.is_empty() {
        finish_one(&mut calls).await?;
        bar.inc(1);
    }
    bar.finish();
    Ok(())
}

async fn finish_one(calls: &mut tokio::task::JoinSet<Result<(), tonic::Status>>) -> Result<()> {
    if let Some(done) = calls.join_next().await {
        done?.context("the server refused a permission of the demo")?;
    }
    Ok(())
}

/// Decides the next mailing of who redeemed coupons, and reports what they redeemed since as its outcome: the log then
/// holds decisions with outcomes, as after weeks of use.
async fn outcomes(channel: &Transport, demo: &Demo) -> Result<()> {
    let mut client = CustomizationServiceClient::new(channel.clone());
    let mut redeemed: BTreeMap<String, Timestamp> = BTreeMap::new();
    for row in &demo.redemptions {
        let (Some(id), Some(at)) = (lines::text(row, "household_id"), demo.time(row, "date")) else { continue };
        let last = redeemed.entry(id.to_owned()).or_insert(at);
        *last = (*last).max(at);
    }
    let bar = progress("outcomes", redeemed.len() as u64);
    let households: Vec<_> = redeemed.into_iter().collect();
    for some in households.chunks(100) {
        let requests = some.iter().map(|(id, _)| DecideRequest {
            customer: Some(household(id)),
            touchpoint: "mailer".to_owned(),
            request_id: format!("demo:mailer:{id}"),
            ..DecideRequest::default()
        });
        let request = DecideBatchRequest { requests: requests.collect(), ..DecideBatchRequest::default() };
        let results = client.decide_batch(request).await.context("deciding the mailings")?.into_inner().results;
        for ((id, at), result) in some.iter().zip(results) {
            bar.inc(1);
            let Some(decide_result::Result::Decision(decision)) = result.result else { continue };
            let Some(first) = decision.treatments.first() else { continue };
            let request = ReportOutcomeRequest {
                decision_id: decision.decision_id,
                outcome: "redeemed".to_owned(),
                treatment: first.treatment.clone(),
                value: Some(Money { currency_code: "USD".to_owned(), units: 1, nanos: 0 }),
                occurred_at: Some(prost_time(*at)),
                motivation: Motivation::Incentivised.into(),
                request_id: format!("demo:redeemed:{id}"),
                ..ReportOutcomeRequest::default()
            };
            client.report_outcome(request).await.context("reporting an outcome")?;
        }
    }
    bar.finish();
    Ok(())
}

/// The households of `rows`.
fn ids<'a>(rows: impl IntoIterator<Item = &'a Row>) -> BTreeSet<String> {
    rows.into_iter().filter_map(|row| lines::text(row, "household_id")).map(str::to_owned).collect()
}
