//! Domain values to replies.

use std::collections::BTreeMap;

use host::{decode::Amount, encode::timestamp};
use rapport_proto::{
    google::r#type::Money,
    segmentation::v1::{
        CustomerValue, Membership as WireMembership, MembershipReason, Rfm as WireRfm, Segment as WireSegment,
        SegmentState, StaticMembers, segment::Kind as WireKind,
    },
};
use segmentation_domain::{
    catalog::Catalog,
    membership::{Membership, Memberships},
    rfm::{Rfm, Scores},
    segment::{Kind, Segment, SegmentId, State},
};
use terms::Timestamp;

/// A segment with what the catalog knows of it.
pub(crate) fn segment(catalog: &Catalog, segment: &Segment, member_count: i64) -> WireSegment {
    WireSegment {
        segment_id: segment.id.to_string(),
        name: segment.name.clone(),
        display_name: segment.display_name.clone(),
        description: segment.description.clone(),
        version: segment.version,
        member_count,
        state: state(segment.state).into(),
        depends_on: catalog.uses(segment.id).into_iter().map(str::to_owned).collect(),
        used_by: catalog.users(segment.id).into_iter().map(|name| format!("segment:{name}")).collect(),
        create_time: Some(timestamp(segment.created_at)),
        update_time: Some(timestamp(segment.updated_at)),
        etag: segment.etag(),
        kind: Some(match &segment.kind {
            Kind::Rule(definition) => WireKind::Definition(definition.clone()),
            Kind::List => WireKind::StaticMembers(StaticMembers::default()),
        }),
    }
}

fn state(state: State) -> SegmentState {
    match state {
        State::Building => SegmentState::Building,
        State::Live => SegmentState::Live,
        State::Deleted => SegmentState::Deleted,
    }
}

/// The word that a filter compares with: `building`, `live`.
pub(crate) fn state_word(state: State) -> &'static str {
    match state {
        State::Building => "building",
        State::Live => "live",
        State::Deleted => "deleted",
    }
}

/// A reason, by its code in the domain, which is its number here.
pub(crate) fn reason(reason: segmentation_domain::membership::Reason) -> MembershipReason {
    MembershipReason::try_from(reason.code()).unwrap_or_default()
}

/// Memberships, by name of the segment.
pub(crate) fn memberships(
    catalog: &Catalog,
    memberships: &Memberships,
    exits: &BTreeMap<SegmentId, Timestamp>,
) -> Vec<WireMembership> {
    let known = memberships.iter().filter_map(|(id, m)| membership(catalog, *id, m, exits.get(id).copied()));
    let mut known: Vec<WireMembership> = known.collect();
    known.sort_unstable_by(|a, b| a.segment.cmp(&b.segment));
    known
}

/// One membership; `None` of a segment that is gone.
pub(crate) fn membership(
    catalog: &Catalog,
    segment: SegmentId,
    membership: &Membership,
    exit: Option<Timestamp>,
) -> Option<WireMembership> {
    Some(WireMembership {
        segment_id: segment.to_string(),
        segment: catalog.get(segment)?.name.clone(),
        since: Some(timestamp(membership.since)),
        reason: reason(membership.reason).into(),
        expected_exit_at: exit.map(timestamp),
        version: membership.version,
    })
}

fn money(micros: i64, currency: &str) -> Option<Money> {
    (!currency.is_empty()).then(|| host::encode::money(&Amount { currency: currency.to_owned(), micros }))
}

const DAY: f64 = 86_400e6;

/// What purchases say, as of `now`.
pub(crate) fn value(rfm: &Rfm, scores: Scores, now: Timestamp) -> CustomerValue {
    CustomerValue {
        rfm: Some(WireRfm {
            frequency: rfm.frequency(),
            recency_days: rfm.recency() as f64 / DAY,
            age_days: rfm.age as f64 / DAY,
            monetary: rfm.monetary.and_then(|micros| money(micros, &rfm.currency)),
            total: money(rfm.total, &rfm.currency),
            purchase_count: rfm.purchases,
            first_purchase_at: Some(timestamp(rfm.first)),
            last_purchase_at: Some(timestamp(rfm.last)),
            days_since_last: now.since(rfm.last).as_micros() as f64 / DAY,
            recency_score: scores.recency,
            frequency_score: scores.frequency,
            monetary_score: scores.monetary,
            organic_share: rfm.organic_share,
        }),
        currency: rfm.currency.clone(),
        compute_time: Some(timestamp(now)),
        ..CustomerValue::default()
    }
}
