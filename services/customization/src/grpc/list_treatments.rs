//! `ListTreatments`.

use customization_domain::{ports::Definitions, treatment::Treatment, treatment::TreatmentState};
use host::Call;
use rapport_proto::customization::v1::{ListTreatmentsRequest, ListTreatmentsResponse};
use rules::{FactSheet, Schema, Type};
use terms::{Fault, Revision, Violations};

use super::{
    Ports,
    lists::{Key, Wanted},
    treatments,
};

pub(super) async fn list_treatments(
    ports: &Ports,
    call: Call,
    body: ListTreatmentsRequest,
) -> Result<ListTreatmentsResponse, Fault> {
    let mut wrong = Violations::new();
    let page = (body.page_size, body.page_token.as_str());
    let wanted = Wanted::parse(&mut wrong, "ListTreatments", page, &body.filter, &body.order_by, schema());
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let catalog = ports.store.catalog(call.tenant(), &at_least).await?;
    let key = |treatment: &&Treatment| Key {
        name: treatment.spec.name.clone(),
        created_at: treatment.created_at,
        updated_at: treatment.updated_at,
    };
    let (page, next_page_token) = wanted.page(catalog.treatments(), key, |t| facts(t), ports.clock.now());
    Ok(ListTreatmentsResponse {
        treatments: page.into_iter().map(treatments::encode).collect(),
        next_page_token,
        revision: at_least.to_string(),
    })
}

fn schema() -> Schema {
    Schema::new()
        .declare("name", Type::String)
        .declare("tags", Type::list(Type::String))
        .declare("topics", Type::list(Type::String))
        .declare("purpose", Type::String)
        .declare("channel", Type::String)
        .declare("state", Type::String)
        .declare("create_time", Type::Timestamp)
        .clock()
}

fn facts(treatment: &Treatment) -> FactSheet {
    let spec = &treatment.spec;
    let list = |items: &[String]| items.to_vec();
    let state = match spec.state {
        TreatmentState::Active => "active",
        TreatmentState::Paused => "paused",
    };
    FactSheet::new()
        .with("name", spec.name.as_str())
        .with("tags", list(&spec.tags))
        .with("topics", list(&spec.topics))
        .with("purpose", spec.purpose())
        .with("channel", spec.channel.as_str())
        .with("state", state)
        .with("create_time", treatment.created_at)
}
