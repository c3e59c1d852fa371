//! `ListMembers`.

use std::sync::Arc;

use futures::{Stream, stream};
use host::{Call, decode as fields, encode::timestamp};
use rapport_proto::segmentation::v1::{ListMembersRequest, ListMembersResponse, Member};
use segmentation_domain::{
    ports::Store,
    segment::{SegmentId, SegmentRef},
};
use terms::{CustomerId, Fault, Revision, Tenant, Timestamp, Violations};

use super::{Ports, decode};

/// Members in one message.
const PAGE: usize = 1_000;

pub(super) async fn list_members(
    ports: Arc<Ports>,
    call: Call,
    body: ListMembersRequest,
) -> Result<impl Stream<Item = Result<ListMembersResponse, Fault>> + Send + 'static, Fault> {
    let mut wrong = Violations::new();
    let which = wrong.take(SegmentRef::parse("segment", &body.segment));
    let as_of = wrong.take(fields::timestamp("as_of", body.as_of));
    let after = match body.resume_after.as_str() {
        "" => None,
        given => wrong.take(CustomerId::parse("resume_after", given)),
    };
    let at_least = wrong.take(Revision::parse("at_least", &body.at_least));
    wrong.done()?;
    let (which, at_least) = (decode::checked(which)?, decode::checked(at_least)?);
    ports.reach(&call, &at_least).await?;
    let catalog = ports.segments.catalog(call.tenant()).await?;
    let segment = catalog.find(&which)?.id;
    // One moment for all pages: who enters or leaves meanwhile does so after it.
    let as_of = as_of.flatten().unwrap_or_else(|| ports.clock.now());
    let counts = ports.segments.count_members(call.tenant(), Some(segment), Some(as_of)).await?;
    let listing = Listing {
        tenant: call.tenant().clone(),
        ports,
        segment,
        as_of,
        total_count: counts.get(&segment).copied().unwrap_or(0),
        revision: at_least.to_string(),
    };
    Ok(stream::try_unfold(Some((listing, after, true)), |state| async move {
        let Some((listing, after, first)) = state else { return Ok(None) };
        let page = listing.page(after).await?;
        let members = i64::try_from(page.members.len()).unwrap_or(i64::MAX);
        let last = page.members.last().and_then(|member| member.customer_id.parse().ok());
        match last {
            // Also of a segment without members one message is sent, with the count.
            None if first => Ok(Some((page, None))),
            None => Ok(None),
            Some(_) if members < PAGE as i64 => Ok(Some((page, None))),
            last => Ok(Some((page, Some((listing, last, false))))),
        }
    }))
}

/// The members of one segment at one moment.
struct Listing {
    ports: Arc<Ports>,
    tenant: Tenant,
    segment: SegmentId,
    as_of: Timestamp,
    total_count: i64,
    revision: String,
}

impl Listing {
    async fn page(&self, after: Option<CustomerId>) -> Result<ListMembersResponse, Fault> {
        let segments = &self.ports.segments;
        let members = segments.members(&self.tenant, self.segment, Some(self.as_of), after, PAGE).await?;
        let members = members
            .into_iter()
            .map(|(id, since)| Member { customer_id: id.to_string(), since: Some(timestamp(since)) });
        Ok(ListMembersResponse {
            members: members.collect(),
            total_count: self.total_count,
            revision: self.revision.clone(),
        })
    }
}
