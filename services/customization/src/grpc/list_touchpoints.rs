//! `ListTouchpoints`.

use customization_domain::{catalog::Place, ports::Definitions};
use host::Call;
use rapport_proto::customization::v1::{ListTouchpointsRequest, ListTouchpointsResponse};
use rules::{FactSheet, Schema, Type};
use terms::{Fault, Revision, Violations};

use super::{
    Ports, get_touchpoint,
    lists::{Key, Wanted},
};

pub(super) async fn list_touchpoints(
    ports: &Ports,
    call: Call,
    body: ListTouchpointsRequest,
) -> Result<ListTouchpointsResponse, Fault> {
    let mut wrong = Violations::new();
    let page = (body.page_size, body.page_token.as_str());
    let wanted = Wanted::parse(&mut wrong, "ListTouchpoints", page, &body.filter, &body.order_by, schema());
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least)).unwrap_or_default();
    wrong.done()?;
    let catalog = ports.store.catalog(call.tenant(), &at_least).await?;
    let key = |place: &&Place| Key {
        name: place.touchpoint.spec.name.clone(),
        created_at: place.touchpoint.created_at,
        updated_at: place.touchpoint.updated_at,
    };
    let (page, next_page_token) = wanted.page(catalog.places(), key, |place| facts(place), ports.clock.now());
    Ok(ListTouchpointsResponse {
        touchpoints: page.into_iter().map(get_touchpoint::encode).collect(),
        next_page_token,
        revision: at_least.to_string(),
    })
}

fn schema() -> Schema {
    Schema::new()
        .declare("name", Type::String)
        .declare("channel", Type::String)
        .declare("treatments", Type::list(Type::String))
        .declare("create_time", Type::Timestamp)
        .clock()
}

fn facts(place: &Place) -> FactSheet {
    let touchpoint = &place.touchpoint;
    FactSheet::new()
        .with("name", touchpoint.spec.name.as_str())
        .with("channel", touchpoint.spec.channel.as_str())
        .with("treatments", place.candidates.iter().map(|candidate| candidate.name()).collect::<Vec<_>>())
        .with("create_time", touchpoint.created_at)
}
