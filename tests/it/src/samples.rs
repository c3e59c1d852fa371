//! A sample request of every RPC that is served.

use std::sync::LazyLock;

use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use crate::{contract::Rpc, furniture::Furniture};

/// A request that is answered, given the furniture; `$name` stands for a piece of it.
#[derive(Debug)]
pub struct Sample {
    /// The RPC.
    pub rpc: &'static str,
    body: Value,
    /// What makes it another request.
    change: Value,
}

impl Sample {
    /// The sample of an RPC.
    pub fn of(rpc: &str) -> Option<&'static Self> {
        all().iter().find(|sample| sample.rpc == rpc)
    }

    /// The pieces of furniture that it names; not the ones that only make it unique.
    pub fn pieces(&self) -> Vec<&'static str> {
        const PIECES: [&str; 15] = [
            "email",
            "customer",
            "other_customer",
            "joined_customer",
            "joined_alias",
            "candidate",
            "interaction",
            "statement",
            "boundary",
            "segment",
            "other_segment",
            "treatment",
            "free_treatment",
            "touchpoint",
            "decision",
        ];
        let text = self.body.to_string();
        PIECES.into_iter().filter(|piece| text.contains(&format!("\"${piece}\""))).collect()
    }

    /// The request.
    pub fn request(&self, furniture: &Furniture) -> DynamicMessage {
        message(self.rpc, filled(&self.body, furniture))
    }

    /// The request with further fields.
    pub fn request_with(&self, furniture: &Furniture, fields: &Value) -> DynamicMessage {
        let mut body = self.body.clone();
        merge(&mut body, fields);
        message(self.rpc, filled(&body, furniture))
    }

    /// Another request under the same `request_id`.
    pub fn changed_with(&self, furniture: &Furniture, fields: &Value) -> DynamicMessage {
        let mut body = self.body.clone();
        merge(&mut body, &self.change);
        merge(&mut body, fields);
        message(self.rpc, filled(&body, furniture))
    }
}

fn message(rpc: &str, body: Value) -> DynamicMessage {
    DynamicMessage::deserialize(Rpc::named(rpc).input(), body)
        .unwrap_or_else(|error| panic!("sample of {rpc}: {error}"))
}

fn filled(body: &Value, furniture: &Furniture) -> Value {
    match body {
        Value::String(text) => match text.split_once('$') {
            Some(("", name)) => json!(furniture.get(name)),
            Some((before, name)) => json!(format!("{before}{}", furniture.get(name))),
            None => body.clone(),
        },
        Value::Array(items) => items.iter().map(|item| filled(item, furniture)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), filled(value, furniture))).collect(),
        _ => body.clone(),
    }
}

fn merge(body: &mut Value, change: &Value) {
    match (body, change) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(fields.entry(name).or_insert(Value::Null), change);
            }
        }
        (body, change) => *body = change.clone(),
    }
}

/// Every sample.
pub fn all() -> &'static [Sample] {
    static ALL: LazyLock<Vec<Sample>> = LazyLock::new(|| {
        [identity(), interaction(), segmentation(), customization(), inner()].into_iter().flatten().collect()
    });
    &ALL
}

fn sample(rpc: &'static str, body: Value, change: Value) -> Sample {
    Sample { rpc, body, change }
}

fn read(rpc: &'static str, body: Value) -> Sample {
    Sample { rpc, body, change: Value::Null }
}

fn customer() -> Value {
    json!({ "customer_id": "$customer" })
}

fn identity() -> Vec<Sample> {
    let record = |address: &str| {
        json!({
            "source": "shop", "source_record_id": "r-$tag",
            "identifiers": [{ "identifier": { "namespace": "email", "value": address } }],
            "traits": { "country": "BE", "visits": 3 }, "observed_at": "2026-01-05T10:00:00Z",
            "kind": "CUSTOMER_KIND_PERSON",
        })
    };
    vec![
        sample(
            "rapport.identity.v1.IdentityService/Identify",
            record("someone.else@example.org"),
            json!({ "source": "till" }),
        ),
        read(
            "rapport.identity.v1.IdentityService/IdentifyStream",
            json!({ "correlation": "c", "record": record("streamed@example.org") }),
        ),
        read("rapport.identity.v1.IdentityService/GetCustomer", json!({ "customer": customer() })),
        read("rapport.identity.v1.IdentityService/BatchGetCustomers", json!({ "customers": [customer()] })),
        read("rapport.identity.v1.IdentityService/ListCustomers", json!({ "page_size": 10, "query": "marker" })),
        sample(
            "rapport.identity.v1.IdentityService/MergeCustomers",
            json!({
                "survivor": customer(), "losers": [{ "customer_id": "$other_customer" }],
                "reason": "the clerk knows both",
            }),
            json!({ "reason": "the clerk knows them" }),
        ),
        sample(
            "rapport.identity.v1.IdentityService/SplitCustomer",
            json!({
                "customer": { "customer_id": "$joined_customer" }, "alias": "$joined_alias",
                "reason": "the clerk knows better",
            }),
            json!({ "reason": "the clerk knows all" }),
        ),
        read("rapport.identity.v1.IdentityService/ListIdentityHistory", json!({ "customer": customer() })),
        read("rapport.identity.v1.IdentityService/ExplainIdentity", json!({ "customer": customer() })),
        read("rapport.identity.v1.IdentityService/ListMatchCandidates", json!({ "page_size": 10 })),
        sample(
            "rapport.identity.v1.IdentityService/DecideMatchCandidate",
            json!({
                "candidate_id": "$candidate", "verdict": "MATCH_VERDICT_DIFFERENT",
                "reason": "the clerk has seen both",
            }),
            json!({ "reason": "the clerk has seen them" }),
        ),
        sample(
            "rapport.identity.v1.IdentityService/TrainMatcher",
            json!({ "random_seed": 1, "max_pairs": 1000, "max_iterations": 2 }),
            json!({ "random_seed": 2 }),
        ),
        sample(
            "rapport.identity.v1.IdentityService/MatchRecords",
            json!({
                "records": [{
                    "key": "1", "source": "shop",
                    "identifiers": [{ "namespace": "email", "value": "somebody@example.org" }],
                    "traits": { "name": "Somebody", "city": "Ghent" },
                }],
            }),
            json!({ "link_only": true }),
        ),
        read("rapport.identity.v1.IdentityService/GetMatcher", json!({})),
        read("rapport.identity.v1.IdentityService/GetIdentityPolicy", json!({})),
        sample(
            "rapport.identity.v1.IdentityService/UpdateIdentityPolicy",
            json!({ "policy": { "default_region": "BE" }, "update_mask": "defaultRegion" }),
            json!({ "policy": { "default_region": "NL" } }),
        ),
        read(
            "rapport.identity.v1.IdentityService/LookupCustomer",
            json!({ "identifiers": [{ "namespace": "email", "value": "$email" }] }),
        ),
        sample(
            "rapport.identity.v1.IdentityService/RelateCustomers",
            json!({
                "from_customer": customer(), "to_customer": { "customer_id": "$other_customer" },
                "type": "RELATION_TYPE_GUARDIAN", "role": "parent", "valid_from": "2026-01-05T10:00:00Z",
                "valid_until": "2090-01-01T00:00:00Z",
            }),
            json!({ "role": "aunt" }),
        ),
        read("rapport.identity.v1.IdentityService/ListRelations", json!({ "customer": customer() })),
    ]
}

fn interaction() -> Vec<Sample> {
    let input = json!({
        "customer": customer(), "type": "purchase", "channel": "web", "touchpoint": "checkout",
        "direction": "INTERACTION_DIRECTION_INBOUND", "motivation": "MOTIVATION_INCENTIVISED", "inducement": "deal-1",
        "occurred_at": "2026-01-05T10:00:00Z", "properties": { "basket": { "items": 3 } },
        "value": { "currency_code": "EUR", "units": "12", "nanos": 500_000_000 },
        "statements": [{ "topic": "delivery", "value": "evening", "utterance": "in the evening, please" }],
        "source": "webshop",
    });
    let statement = json!({
        "topic": "diet", "value": "vegetarian", "kind": "STATEMENT_KIND_NEED", "confidence": 0.9,
        "utterance": "we eat no meat", "valid_until": "2090-01-01T00:00:00Z", "occurred_at": "2026-01-05T10:00:00Z",
    });
    vec![
        sample(
            "rapport.interaction.v1.InteractionService/RecordInteraction",
            json!({ "interaction": input }),
            json!({ "interaction": { "type": "visit" } }),
        ),
        read(
            "rapport.interaction.v1.InteractionService/RecordInteractions",
            json!({ "interaction": input, "correlation": "c" }),
        ),
        read("rapport.interaction.v1.InteractionService/GetInteraction", json!({ "interaction_id": "$interaction" })),
        read("rapport.interaction.v1.InteractionService/ListInteractions", json!({ "customer": customer() })),
        read("rapport.interaction.v1.InteractionService/WatchInteractions", json!({ "customer": customer() })),
        sample(
            "rapport.interaction.v1.InteractionService/RecordStatement",
            json!({ "customer": customer(), "statement": statement, "source_interaction": "$interaction" }),
            json!({ "statement": { "value": "vegan" } }),
        ),
        sample(
            "rapport.interaction.v1.InteractionService/RetractStatement",
            json!({ "statement_id": "$statement", "reason": "a slip" }),
            json!({ "reason": "another" }),
        ),
        read("rapport.interaction.v1.InteractionService/ListStatements", json!({ "customer": customer() })),
        sample(
            "rapport.interaction.v1.InteractionService/RecordConsent",
            json!({
                "customer": customer(), "source_interaction": "$interaction",
                "consents": [{
                    "purpose": "marketing", "channel": "email", "state": "CONSENT_STATE_GRANTED", "source": "form-3",
                    "evidence": "ticked", "occurred_at": "2026-01-05T10:00:00Z",
                }],
            }),
            json!({ "consents": [{ "purpose": "research", "state": "CONSENT_STATE_DENIED", "source": "form-3" }] }),
        ),
        sample(
            "rapport.interaction.v1.InteractionService/SetBoundary",
            json!({
                "customer": customer(), "statement": "nothing by phone", "scope": { "channels": ["phone"] },
                "source_interaction": "$interaction",
            }),
            json!({ "statement": "never by phone" }),
        ),
        sample(
            "rapport.interaction.v1.InteractionService/LiftBoundary",
            json!({ "boundary_id": "$boundary", "reason": "she changed her mind" }),
            json!({ "reason": "he changed his mind" }),
        ),
        read("rapport.interaction.v1.InteractionService/GetPermissions", json!({ "customer": customer() })),
    ]
}

fn segmentation() -> Vec<Sample> {
    vec![
        sample(
            "rapport.segmentation.v1.SegmentationService/CreateSegment",
            json!({ "segment": {
                "name": "new-$tag", "display_name": "New ones", "definition": r#"customer.country == "BE""#,
            } }),
            json!({ "segment": { "display_name": "Others" } }),
        ),
        read("rapport.segmentation.v1.SegmentationService/GetSegment", json!({ "segment": "$segment" })),
        read("rapport.segmentation.v1.SegmentationService/ListSegments", json!({ "page_size": 10 })),
        sample(
            "rapport.segmentation.v1.SegmentationService/UpdateSegment",
            json!({
                "segment": { "name": "$segment", "description": "the Dutch" }, "update_mask": "description",
            }),
            json!({ "segment": { "description": "from the Netherlands" } }),
        ),
        sample(
            "rapport.segmentation.v1.SegmentationService/DeleteSegment",
            json!({ "segment": "$segment" }),
            json!({ "segment": "another" }),
        ),
        read(
            "rapport.segmentation.v1.SegmentationService/PreviewSegment",
            json!({ "definition": r#"count("purchase") >= 1"#, "sample_size": 3 }),
        ),
        read("rapport.segmentation.v1.SegmentationService/GetMemberships", json!({ "customer": customer() })),
        read(
            "rapport.segmentation.v1.SegmentationService/CheckMembership",
            json!({ "customer": customer(), "segments": ["$segment"] }),
        ),
        read("rapport.segmentation.v1.SegmentationService/ListMembers", json!({ "segment": "$segment" })),
        read("rapport.segmentation.v1.SegmentationService/WatchSegment", json!({ "segment": "$segment" })),
        read(
            "rapport.segmentation.v1.SegmentationService/CompareSegments",
            json!({ "segments": ["$segment", "$other_segment"] }),
        ),
        read("rapport.segmentation.v1.SegmentationService/GetDifferentiation", json!({ "customer": customer() })),
    ]
}

fn customization() -> Vec<Sample> {
    vec![
        sample(
            "rapport.customization.v1.CustomizationService/CreateTreatment",
            json!({ "treatment": {
                "name": "new-$tag", "display_name": "New", "content": { "headline": "hello" },
                "eligibility": r#"customer.country == "NL""#, "needs_served": ["dinner"], "tags": ["wine"],
                "topics": ["alcohol"], "value": 10, "cost": 1, "purpose": "marketing", "channel": "web",
                "min_identity_confidence": 0.5, "propensity_prior": 0.2, "lever": 1.5, "selling": true,
                "valid_until": "2090-01-01T00:00:00Z",
            } }),
            json!({ "treatment": { "value": 11 } }),
        ),
        read("rapport.customization.v1.CustomizationService/GetTreatment", json!({ "treatment": "$treatment" })),
        read("rapport.customization.v1.CustomizationService/ListTreatments", json!({ "page_size": 10 })),
        sample(
            "rapport.customization.v1.CustomizationService/UpdateTreatment",
            json!({ "treatment": { "name": "$treatment", "value": 7 }, "update_mask": "value" }),
            json!({ "treatment": { "value": 8 } }),
        ),
        sample(
            "rapport.customization.v1.CustomizationService/DeleteTreatment",
            json!({ "treatment": "$free_treatment" }),
            json!({ "treatment": "another" }),
        ),
        sample(
            "rapport.customization.v1.CustomizationService/CreateTouchpoint",
            json!({ "touchpoint": {
                "name": "new-$tag", "display_name": "New", "treatments": ["$treatment"],
                "default_treatment": "$treatment", "policy": { "max_results": 3 }, "channel": "web",
            } }),
            json!({ "touchpoint": { "display_name": "Other" } }),
        ),
        read("rapport.customization.v1.CustomizationService/GetTouchpoint", json!({ "touchpoint": "$touchpoint" })),
        read("rapport.customization.v1.CustomizationService/ListTouchpoints", json!({ "page_size": 10 })),
        sample(
            "rapport.customization.v1.CustomizationService/UpdateTouchpoint",
            json!({
                "touchpoint": { "name": "$touchpoint", "treatments": ["$treatment"] }, "update_mask": "treatments",
            }),
            json!({ "update_mask": "treatments,description" }),
        ),
        sample(
            "rapport.customization.v1.CustomizationService/DeleteTouchpoint",
            json!({ "touchpoint": "$touchpoint" }),
            json!({ "touchpoint": "another" }),
        ),
        sample(
            "rapport.customization.v1.CustomizationService/Decide",
            json!({
                "customer": customer(), "touchpoint": "$touchpoint", "context": { "page": "home" }, "explain": true,
            }),
            json!({ "context": { "page": "basket" } }),
        ),
        sample(
            "rapport.customization.v1.CustomizationService/DecideBatch",
            json!({ "requests": [{ "customer": customer(), "touchpoint": "$touchpoint" }] }),
            json!({ "requests": [{ "customer": customer(), "touchpoint": "$touchpoint", "explain": true }] }),
        ),
        sample(
            "rapport.customization.v1.CustomizationService/ReportOutcome",
            json!({
                "decision_id": "$decision", "outcome": "accepted", "reward": 1,
                "value": { "currency_code": "EUR", "units": "9" }, "properties": { "page": "home" },
            }),
            json!({ "outcome": "shown" }),
        ),
        read("rapport.customization.v1.CustomizationService/GetDecision", json!({ "decision_id": "$decision" })),
        read("rapport.customization.v1.CustomizationService/ReplayDecision", json!({ "decision_id": "$decision" })),
        read("rapport.customization.v1.CustomizationService/GetRelationship", json!({ "customer": customer() })),
    ]
}

/// What the services say to each other.
fn inner() -> Vec<Sample> {
    vec![
        read("rapport.feed.v1.FeedService/Watch", json!({ "service": "identity" })),
        read(
            "rapport.profile.v1.ProfileService/GetSection",
            json!({ "customer_id": "$customer", "kind": "SECTION_KIND_IDENTITY" }),
        ),
        read("rapport.profile.v1.ProfileService/ResolveRefs", json!({ "refs": [customer()] })),
        read("rapport.profile.v1.ProfileService/GetDialogue", json!({ "customer_id": "$customer" })),
    ]
}
