//! Customers, statements and treatments to work on.

use anyhow::{Context, Result};
use prost_types::{Struct, Value, value::Kind};
use rapport_proto::{
    customization::v1::{
        CreateTouchpointRequest, CreateTreatmentRequest, Touchpoint, Treatment,
        customization_service_client::CustomizationServiceClient,
    },
    identity::v1::{
        IdentifierClaim, IdentifyRequest, IdentifyStreamRequest, identify_verdict,
        identity_service_client::IdentityServiceClient,
    },
    interaction::v1::{
        Consent, ConsentState, LawfulBasis, RecordConsentRequest, RecordStatementRequest, StatementInput,
        interaction_service_client::InteractionServiceClient,
    },
    segmentation::v1::{
        CreateSegmentRequest, Segment, segment, segmentation_service_client::SegmentationServiceClient,
    },
    r#type::v1::{CustomerRef, Identifier, StatementKind, customer_ref::Ref},
};
use tonic::transport::Channel;

/// A text as a value.
pub fn text(value: &str) -> Value {
    Value { kind: Some(Kind::StringValue(value.to_owned())) }
}

/// A customer by id.
pub fn by_id(id: &str) -> CustomerRef {
    CustomerRef { r#ref: Some(Ref::CustomerId(id.to_owned())) }
}

/// Makes `count` customers with a few traits; gives their ids.
///
/// # Errors
/// When the server refuses one.
pub async fn customers(channel: &Channel, count: usize) -> Result<Vec<String>> {
    let requests = (0..count).map(|n| IdentifyStreamRequest {
        record: Some(IdentifyRequest {
            source: "load".to_owned(),
            source_record_id: format!("load-{n}"),
            identifiers: vec![IdentifierClaim {
                identifier: Some(Identifier { namespace: "email".to_owned(), value: format!("c{n}@example.org") }),
                verified: Some(true),
            }],
            traits: Some(Struct {
                fields: [
                    ("city".to_owned(), text(["Ulm", "Bonn", "Jena"][n % 3])),
                    ("plan".to_owned(), text(["basic", "plus"][n % 2])),
                    ("age".to_owned(), Value { kind: Some(Kind::NumberValue((20 + n % 60) as f64)) }),
                ]
                .into(),
            }),
            ..IdentifyRequest::default()
        }),
        ..IdentifyStreamRequest::default()
    });
    let requests: Vec<_> = requests.collect();
    let mut replies =
        IdentityServiceClient::new(channel.clone()).identify_stream(tokio_stream::iter(requests)).await?.into_inner();
    let mut ids = Vec::with_capacity(count);
    while let Some(reply) = replies.message().await? {
        for verdict in reply.verdicts {
            match verdict.outcome {
                Some(identify_verdict::Outcome::Result(result)) => ids.push(result.customer_id),
                other => anyhow::bail!("a customer was refused: {other:?}"),
            }
        }
    }
    Ok(ids)
}

/// Makes two segments, ten treatments and the touchpoint `load`; lets every customer be written to, and say one thing.
///
/// # Errors
/// When the server refuses one.
pub async fn catalog(channel: &Channel, ids: &[String]) -> Result<()> {
    let mut segmentation = SegmentationServiceClient::new(channel.clone());
    for (name, definition) in
        [("plus", r#"customer.plan == "plus""#), ("active", r#"count("purchase", duration("720h")) >= 1"#)]
    {
        let segment = Segment {
            name: name.to_owned(),
            kind: Some(segment::Kind::Definition(definition.to_owned())),
            ..Segment::default()
        };
        let request = CreateSegmentRequest { segment: Some(segment), ..CreateSegmentRequest::default() };
        segmentation.create_segment(request).await.context("a segment")?;
    }
    let mut customization = CustomizationServiceClient::new(channel.clone());
    let mut names = Vec::new();
    for n in 0..10 {
        let eligibility = match n % 5 {
            0 => r#""plus" in segments"#,
            1 => "customer.age >= 40.0",
            2 => r#"customer.city == "Ulm""#,
            3 => r#"statements["diet"] != "vegetarian""#,
            _ => "",
        };
        let treatment = Treatment {
            name: format!("t{n}"),
            eligibility: eligibility.to_owned(),
            topics: vec![format!("topic{n}")],
            value: f64::from(5 + n),
            propensity_prior: 0.2,
            purpose: "marketing".to_owned(),
            channel: "web".to_owned(),
            ..Treatment::default()
        };
        names.push(treatment.name.clone());
        let request = CreateTreatmentRequest { treatment: Some(treatment), ..CreateTreatmentRequest::default() };
        customization.create_treatment(request).await.context("a treatment")?;
    }
    let touchpoint = Touchpoint {
        name: "load".to_owned(),
        default_treatment: "t4".to_owned(),
        treatments: names,
        channel: "web".to_owned(),
        ..Touchpoint::default()
    };
    let request = CreateTouchpointRequest { touchpoint: Some(touchpoint), ..CreateTouchpointRequest::default() };
    customization.create_touchpoint(request).await.context("a touchpoint")?;

    let mut calls = tokio::task::JoinSet::new();
    for (n, id) in ids.iter().enumerate() {
        if calls.len() >= 64 {
            calls.join_next().await.context("no call")???;
        }
        let mut client = InteractionServiceClient::new(channel.clone());
        let consent = consent(id);
        let statement = statement(id, ["none", "vegan", "vegetarian"][n % 3]);
        calls.spawn(async move {
            client.record_consent(consent).await?;
            client.record_statement(statement).await?;
            Ok::<_, anyhow::Error>(())
        });
    }
    while let Some(done) = calls.join_next().await {
        done??;
    }
    Ok(())
}

fn consent(id: &str) -> RecordConsentRequest {
    RecordConsentRequest {
        customer: Some(by_id(id)),
        consents: vec![Consent {
            purpose: "marketing".to_owned(),
            state: ConsentState::Granted.into(),
            lawful_basis: LawfulBasis::Consent.into(),
            source: "load".to_owned(),
            ..Consent::default()
        }],
        ..RecordConsentRequest::default()
    }
}

/// A customer says what it eats.
pub fn statement(id: &str, diet: &str) -> RecordStatementRequest {
    RecordStatementRequest {
        customer: Some(by_id(id)),
        statement: Some(StatementInput {
            topic: "diet".to_owned(),
            value: Some(text(diet)),
            kind: StatementKind::Preference.into(),
            ..StatementInput::default()
        }),
        ..RecordStatementRequest::default()
    }
}
