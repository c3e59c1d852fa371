//! One of each resource, to call RPCs about.

use std::collections::BTreeMap;

use rapport_proto::{
    identity::v1::{IdentifyRequest, MergeCustomersRequest},
    interaction::v1::SetBoundaryRequest,
    r#type::v1::BoundaryScope,
};
use serde_json::json;
use tonic::Status;

use crate::app::{App, by_id, claim};

/// Personal data of every piece of furniture contains this text: it must turn up nowhere else.
pub const MARKER: &str = "marker7f3a";

/// A pair in review: two with verified accounts that differ share an address.
async fn candidate(app: &App, tag: &str) -> Result<String, Status> {
    let email = format!("{MARKER}-pair-{tag}@{}.example.org", app.tenant);
    let mut found = Vec::new();
    for account in ["one", "two"] {
        let mut record = IdentifyRequest {
            source: "shop".to_owned(),
            identifiers: vec![claim("user_id", &format!("{MARKER}-{account}-{tag}")), claim("email", &email)],
            ..IdentifyRequest::default()
        };
        record.identifiers.iter_mut().for_each(|claim| claim.verified = Some(true));
        found = app.identity().identify(record).await?.into_inner().candidate_ids;
    }
    found.pop().ok_or_else(|| Status::internal("a pair in review"))
}

/// Resources of one tenant by the names that samples give them, as in `$customer`.
#[derive(Debug, Clone)]
pub struct Furniture(BTreeMap<&'static str, String>);

impl Furniture {
    /// Makes one of each; `tag` tells them from others of the same tenant.
    ///
    /// # Errors
    /// The status of what cannot be made.
    pub async fn make(app: &App, tag: &str) -> Result<Self, Status> {
        let mut made = BTreeMap::new();
        let email = format!("{MARKER}-{tag}@{}.example.org", app.tenant);
        let traits = json!({ "name": format!("{MARKER} {tag}"), "country": "NL" });
        let customer = app.identify(&[("email", &email)], traits).await?.customer_id;
        let mut others = Vec::new();
        for name in ["other", "joined", "alias"] {
            let email = format!("{MARKER}-{name}-{tag}@{}.example.org", app.tenant);
            others.push(app.identify(&[("email", &email)], json!({})).await?.customer_id);
        }
        let [other_customer, joined_customer, joined_alias] =
            <[String; 3]>::try_from(others).map_err(|_| Status::internal("three customers"))?;
        let join = MergeCustomersRequest {
            survivor: Some(by_id(&joined_customer)),
            losers: vec![by_id(&joined_alias)],
            reason: "to be split".to_owned(),
            ..MergeCustomersRequest::default()
        };
        app.identity().merge_customers(join).await?;
        let candidate = candidate(app, tag).await?;
        let interaction = app.record(by_id(&customer), "purchase", 20).await?;
        let statement = app.say(by_id(&customer), &format!("topic-{tag}"), json!(MARKER)).await?;
        let boundary = SetBoundaryRequest {
            customer: Some(by_id(&customer)),
            statement: format!("never {MARKER}"),
            scope: Some(BoundaryScope { topics: vec!["alcohol".to_owned()], ..BoundaryScope::default() }),
            ..SetBoundaryRequest::default()
        };
        let boundary = app.interaction().set_boundary(boundary).await?.into_inner().boundary.unwrap_or_default();
        let [segment, other_segment, treatment, free_treatment, touchpoint] =
            ["segment", "other-segment", "treatment", "free-treatment", "touchpoint"]
                .map(|kind| format!("{kind}-{tag}"));
        app.segment(&segment, r#"customer.country == "NL""#).await?;
        app.segment(&other_segment, r#"count("purchase") >= 1"#).await?;
        app.treatment(&treatment, "", 5.0).await?;
        app.treatment(&free_treatment, "", 5.0).await?;
        app.touchpoint(&touchpoint, &[treatment.as_str()]).await?;
        let decision = app.decide(by_id(&customer), &touchpoint, &statement.revision).await?;
        made.insert("email", email);
        made.insert("customer", customer);
        made.insert("other_customer", other_customer);
        made.insert("joined_customer", joined_customer);
        made.insert("joined_alias", joined_alias);
        made.insert("candidate", candidate);
        made.insert("interaction", interaction.interaction.unwrap_or_default().interaction_id);
        made.insert("statement", statement.statement.unwrap_or_default().statement_id);
        made.insert("boundary", boundary.boundary_id);
        made.insert("segment", segment);
        made.insert("other_segment", other_segment);
        made.insert("treatment", treatment);
        made.insert("free_treatment", free_treatment);
        made.insert("touchpoint", touchpoint);
        made.insert("decision", decision.decision_id);
        made.insert("tag", tag.to_owned());
        Ok(Self(made))
    }

    /// The name or id of a piece.
    ///
    /// # Panics
    /// When there is no such piece.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("no `${name}`"))
    }

    /// The same furniture with one piece of `other`'s.
    #[must_use]
    pub fn with_piece_of(&self, other: &Self, name: &str) -> Self {
        let mut mixed = self.clone();
        if let (Some(own), Some(foreign)) = (mixed.0.get_mut(name), other.0.get(name)) {
            own.clone_from(foreign);
        }
        mixed
    }
}
